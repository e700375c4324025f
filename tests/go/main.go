// The official OpenAI client for Go: does the same things at every address of a plan and prints what came of each.
//
// usage: openai-client PLAN
//
// PLAN is a JSON file: {"roads": [{"name", "base_url", "prefix"}], "cases": [{"name", "request", "stream"}], "errors": [STATUS]}.
// Prints {ROAD: {SCENARIO: OUTCOME}}; judging is the caller's.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/packages/ssestream"
)

// After how long a caller leaves who gets no answer: long enough for the provider to have been asked on a loaded machine.
const patience = 2 * time.Second

type plan struct {
	Roads []struct {
		Name    string
		BaseURL string `json:"base_url"`
		Prefix  string
	}
	Cases []struct {
		Name    string
		Request map[string]any
		Stream  bool
	}
	Errors []int
}

type outcome map[string]any

type stream = ssestream.Stream[openai.ChatCompletionChunk]

func main() {
	text, err := os.ReadFile(os.Args[1])
	if err != nil {
		panic(err)
	}
	var plan plan
	if err := json.Unmarshal(text, &plan); err != nil {
		panic(err)
	}
	results := map[string]map[string]outcome{}
	for _, road := range plan.Roads {
		options := []option.RequestOption{
			option.WithBaseURL(road.BaseURL), option.WithAPIKey("dummy-key"), option.WithRequestTimeout(time.Minute),
		}
		client := openai.NewClient(append(options, option.WithMaxRetries(0))...)
		patient := openai.NewClient(append(options, option.WithMaxRetries(2))...)
		found := map[string]outcome{}
		for _, entry := range plan.Cases {
			entry.Request["model"] = road.Prefix + entry.Name
			found["case/"+entry.Name] = recorded(client, entry.Request, entry.Stream)
		}
		for _, status := range plan.Errors {
			found[fmt.Sprintf("error/%d", status)] = whole(client, hello(road.Prefix+fmt.Sprintf("error-%d", status)))
		}
		found["error/stream"] = collect(client.Chat.Completions.NewStreaming(context.Background(), hello(road.Prefix+"error-429")))
		found["tools"] = tools(client, road.Prefix+"tools", false)
		found["tools/stream"] = tools(client, road.Prefix+"tools", true)
		found["retry"] = whole(patient, hello(road.Prefix+"retry"))
		found["abort"] = abortStream(client, road.Prefix+"abort")
		found["abort/whole"] = abortWhole(client, road.Prefix+"abort-whole")
		found["after-abort"] = whole(client, hello(road.Prefix+"after-abort"))
		found["cut"] = collect(client.Chat.Completions.NewStreaming(context.Background(), hello(road.Prefix+"cut")))
		found["models"] = models(client)
		found["model"] = model(client, road.Prefix+"listed")
		results[road.Name] = found
	}
	if err := json.NewEncoder(os.Stdout).Encode(results); err != nil {
		panic(err)
	}
}

// failure is the client's own error as data.
func failure(err error) outcome {
	var refused *openai.Error
	if errors.As(err, &refused) {
		return outcome{
			"kind": "error", "class": "Error", "status": refused.StatusCode, "message": refused.Message,
			"code": refused.Code, "type": refused.Type, "param": refused.Param,
		}
	}
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return outcome{"kind": "error", "class": "context"}
	}
	return outcome{"kind": "error", "class": "other", "message": err.Error()}
}

func hello(model string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{
		Model:    model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("hello")},
	}
}

func whole(client openai.Client, params openai.ChatCompletionNewParams) outcome {
	reply, err := client.Chat.Completions.New(context.Background(), params)
	if err != nil {
		return failure(err)
	}
	return outcome{"kind": "reply", "reply": json.RawMessage(reply.RawJSON())}
}

func collect(stream *stream) outcome {
	defer stream.Close()
	chunks := []json.RawMessage{}
	for stream.Next() {
		chunk := stream.Current()
		chunks = append(chunks, json.RawMessage(chunk.RawJSON()))
	}
	if err := stream.Err(); err != nil {
		return failure(err)
	}
	return outcome{"kind": "stream", "chunks": chunks}
}

func recorded(client openai.Client, request map[string]any, streamed bool) outcome {
	delete(request, "stream")
	text, err := json.Marshal(request)
	if err != nil {
		panic(err)
	}
	params := param.Override[openai.ChatCompletionNewParams](json.RawMessage(text))
	if streamed {
		return collect(client.Chat.Completions.NewStreaming(context.Background(), params))
	}
	return whole(client, params)
}

// tools is the tool loop as an application writes it: the model's message goes back as it came, with the tool's result behind it.
func tools(client openai.Client, model string, streamed bool) outcome {
	params := openai.ChatCompletionNewParams{
		Model:    model,
		Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("How warm is it in Paris?")},
		Tools: []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{
			Name:        "weather",
			Description: openai.String("The weather of a city"),
			Parameters: openai.FunctionParameters{
				"type":       "object",
				"properties": map[string]any{"city": map[string]string{"type": "string"}},
				"required":   []string{"city"},
			},
		})},
	}
	for turn := 1; turn <= 4; turn++ {
		message, err := ask(client, params, streamed)
		if err != nil {
			return failure(err)
		}
		if len(message.ToolCalls) == 0 {
			return outcome{"kind": "reply", "turns": turn, "text": message.Content}
		}
		params.Messages = append(params.Messages, message.ToParam())
		for _, call := range message.ToolCalls {
			var arguments struct{ City string }
			if err := json.Unmarshal([]byte(call.Function.Arguments), &arguments); err != nil {
				panic(err)
			}
			params.Messages = append(params.Messages, openai.ToolMessage("21 degrees in "+arguments.City, call.ID))
		}
	}
	return outcome{"kind": "endless"}
}

func ask(client openai.Client, params openai.ChatCompletionNewParams, streamed bool) (openai.ChatCompletionMessage, error) {
	if !streamed {
		reply, err := client.Chat.Completions.New(context.Background(), params)
		if err != nil {
			return openai.ChatCompletionMessage{}, err
		}
		return reply.Choices[0].Message, nil
	}
	params.StreamOptions = openai.ChatCompletionStreamOptionsParam{IncludeUsage: openai.Bool(true)}
	stream := client.Chat.Completions.NewStreaming(context.Background(), params)
	defer stream.Close()
	all := openai.ChatCompletionAccumulator{}
	for stream.Next() {
		all.AddChunk(stream.Current())
	}
	if err := stream.Err(); err != nil {
		return openai.ChatCompletionMessage{}, err
	}
	return all.Choices[0].Message, nil
}

func abortStream(client openai.Client, model string) outcome {
	leave, cancel := context.WithCancel(context.Background())
	defer cancel()
	stream := client.Chat.Completions.NewStreaming(leave, hello(model))
	defer stream.Close()
	texts := []string{}
	for stream.Next() {
		if chunk := stream.Current(); len(chunk.Choices) > 0 && chunk.Choices[0].Delta.Content != "" {
			texts = append(texts, chunk.Choices[0].Delta.Content)
			cancel()
		}
	}
	return outcome{"kind": "aborted", "texts": texts}
}

func abortWhole(client openai.Client, model string) outcome {
	leave, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := client.Chat.Completions.New(leave, hello(model))
	if err == nil {
		return outcome{"kind": "reply"}
	}
	return failure(err)
}

func models(client openai.Client) outcome {
	page, err := client.Models.List(context.Background())
	if err != nil {
		return failure(err)
	}
	ids := []string{}
	for _, model := range page.Data {
		ids = append(ids, model.ID)
	}
	return outcome{"kind": "models", "ids": ids}
}

func model(client openai.Client, name string) outcome {
	found, err := client.Models.Get(context.Background(), name)
	if err != nil {
		return failure(err)
	}
	return outcome{"kind": "model", "id": found.ID}
}
