// A tool loop of two turns in official clients, as applications write it, whole and streamed.
//
// usage: node loops.mjs PLAN
//
// PLAN is a JSON file: {"runs": [{"name", "library", "base_url", "model"}]}. Prints {NAME: {"whole": OUTCOME, "streamed": OUTCOME}}, where an
// outcome is {"text", "calls"} or {"error"}; judging is the caller's.

import { readFileSync } from "node:fs";
import Anthropic from "@anthropic-ai/sdk";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { GoogleGenAI } from "@google/genai";
import { generateText, jsonSchema, stepCountIs, streamText, tool as aiTool } from "ai";
import OpenAI from "openai";

const KEY = "sk-from-the-client";
const QUESTION = "How warm is it in Paris?";
const ABOUT = "The weather of a city";
const SCHEMA = { type: "object", properties: { city: { type: "string" } }, required: ["city"], additionalProperties: false };
const TURNS = 4;

async function openaiChat(run, streamed, tell) {
  const client = new OpenAI({ baseURL: `${run.base_url}/v1`, apiKey: KEY, maxRetries: 0 });
  const tools = [{ type: "function", function: { name: "weather", description: ABOUT, parameters: SCHEMA, strict: true } }];
  const messages = [{ role: "user", content: QUESTION }];
  for (let turn = 0; turn < TURNS; turn += 1) {
    const asked = { model: run.model, messages, tools };
    const reply = streamed
      ? await client.chat.completions.stream(asked).finalChatCompletion()
      : await client.chat.completions.create(asked);
    const { parsed, ...message } = reply.choices[0].message;
    if (!message.tool_calls?.length) return message.content;
    messages.push(message);
    for (const call of message.tool_calls) {
      messages.push({ role: "tool", tool_call_id: call.id, content: tell(JSON.parse(call.function.arguments)) });
    }
  }
}

async function openaiResponses(run, streamed, tell) {
  const client = new OpenAI({ baseURL: `${run.base_url}/v1`, apiKey: KEY, maxRetries: 0 });
  const tools = [{ type: "function", name: "weather", description: ABOUT, parameters: SCHEMA, strict: true }];
  const input = [{ role: "user", content: QUESTION }];
  for (let turn = 0; turn < TURNS; turn += 1) {
    const asked = { model: run.model, input, tools, store: false, include: ["reasoning.encrypted_content"] };
    const reply = streamed
      ? await client.responses.stream(asked).finalResponse()
      : await client.responses.create(asked);
    const calls = reply.output.filter((item) => item.type === "function_call");
    if (!calls.length) return reply.output_text;
    input.push(...reply.output.map(({ parsed_arguments: _, ...item }) => item));
    for (const call of calls) {
      input.push({ type: "function_call_output", call_id: call.call_id, output: tell(JSON.parse(call.arguments)) });
    }
  }
}

async function anthropic(run, streamed, tell) {
  const client = new Anthropic({ baseURL: run.base_url, apiKey: KEY, maxRetries: 0 });
  const tools = [{ name: "weather", description: ABOUT, input_schema: SCHEMA }];
  const messages = [{ role: "user", content: QUESTION }];
  for (let turn = 0; turn < TURNS; turn += 1) {
    const thinking = { type: "enabled", budget_tokens: 2000 };
    const asked = { model: run.model, max_tokens: 4000, thinking, tools, messages };
    const reply = streamed ? await client.messages.stream(asked).finalMessage() : await client.messages.create(asked);
    const calls = reply.content.filter((block) => block.type === "tool_use");
    if (!calls.length) return reply.content.flatMap((block) => (block.type === "text" ? [block.text] : [])).join("");
    messages.push({ role: "assistant", content: reply.content });
    const results = calls.map((call) => ({ type: "tool_result", tool_use_id: call.id, content: tell(call.input) }));
    messages.push({ role: "user", content: results });
  }
}

async function googleGenai(run, streamed, tell) {
  const client = new GoogleGenAI({ apiKey: KEY, httpOptions: { baseUrl: run.base_url } });
  const functionDeclarations = [{ name: "weather", description: ABOUT, parametersJsonSchema: SCHEMA }];
  const config = { tools: [{ functionDeclarations }], thinkingConfig: { includeThoughts: true } };
  const contents = [{ role: "user", parts: [{ text: QUESTION }] }];
  for (let turn = 0; turn < TURNS; turn += 1) {
    const asked = { model: run.model, contents, config };
    const parts = [];
    const take = (chunk) => parts.push(...(chunk.candidates?.[0]?.content?.parts ?? []));
    if (streamed) {
      for await (const chunk of await client.models.generateContentStream(asked)) take(chunk);
    } else {
      take(await client.models.generateContent(asked));
    }
    const calls = parts.flatMap((part) => (part.functionCall ? [part.functionCall] : []));
    if (!calls.length) return parts.flatMap((part) => (part.text && !part.thought ? [part.text] : [])).join("");
    contents.push({ role: "model", parts });
    const results = calls.map((call) => ({
      functionResponse: { id: call.id, name: call.name, response: { output: tell(call.args) } },
    }));
    contents.push({ role: "user", parts: results });
  }
}

async function ai(run, streamed, tell) {
  const provider = createOpenAICompatible({ name: "sluice", baseURL: `${run.base_url}/v1`, apiKey: KEY });
  const weather = aiTool({ description: ABOUT, inputSchema: jsonSchema(SCHEMA), execute: async (input) => tell(input) });
  const asked = {
    model: provider(run.model),
    prompt: QUESTION,
    tools: { weather },
    stopWhen: stepCountIs(TURNS),
    maxRetries: 0,
  };
  if (!streamed) return (await generateText(asked)).text;
  let failed;
  const stream = streamText({ ...asked, onError: ({ error }) => (failed = error) });
  const text = await stream.text;
  if (failed) throw failed;
  return text;
}

const LIBRARIES = {
  "openai-chat": openaiChat,
  "openai-responses": openaiResponses,
  anthropic,
  "google-genai": googleGenai,
  ai,
};

async function outcome(run, streamed) {
  let calls = 0;
  const tell = ({ city }) => {
    calls += 1;
    return `21 degrees in ${city}`;
  };
  try {
    return { text: await LIBRARIES[run.library](run, streamed, tell), calls };
  } catch (error) {
    return { error: `${error?.stack ?? error}` };
  }
}

const plan = JSON.parse(readFileSync(process.argv[2], "utf8"));
const results = {};
for (const run of plan.runs) {
  results[run.name] = { whole: await outcome(run, false), streamed: await outcome(run, true) };
}
// Through the callback, because a pipe takes a long text in parts.
process.stdout.write(JSON.stringify(results), () => process.exit(0));
