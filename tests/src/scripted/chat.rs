//! The scripted model in OpenAI's chat completions, with thoughts as DeepSeek tells them.

use serde_json::{Value, json};

use super::{Done, Offered, Told, Turn, joined, list, pieces, text};

pub(super) fn read(body: &Value) -> Told {
    let mut told = Told { stream: body["stream"] == true, ..Told::default() };
    told.tools = list(&body["tools"])
        .iter()
        .map(|tool| Offered::function(&tool["function"], &tool["function"]["parameters"]))
        .collect();
    for message in list(&body["messages"]) {
        if message["role"] == "tool" {
            told.answered.push(text(&message["tool_call_id"]));
            told.results.push(joined(&message["content"]));
        }
        told.called.extend(list(&message["tool_calls"]).iter().map(|call| text(&call["id"])));
        told.states.extend(message["reasoning_content"].as_str().map(str::to_owned));
    }
    told
}

fn usage() -> Value {
    json!({
        "prompt_tokens": 20, "completion_tokens": 7, "total_tokens": 27,
        "completion_tokens_details": {"reasoning_tokens": 3},
    })
}

fn finish(turn: &Turn) -> &'static str {
    if matches!(turn.done, Done::Call { .. }) { "tool_calls" } else { "stop" }
}

pub(super) fn whole(turn: &Turn) -> Value {
    let mut message = json!({"role": "assistant", "content": null, "reasoning_content": turn.thought});
    match &turn.done {
        Done::Say(text) => message["content"] = json!(text),
        Done::Call { id, name, input, .. } => {
            let function = json!({"name": name, "arguments": input});
            message["tool_calls"] = json!([{"id": id, "type": "function", "function": function}]);
        }
    }
    json!({
        "id": format!("chatcmpl-{}", turn.number), "object": "chat.completion", "created": 1, "model": turn.model,
        "choices": [{"index": 0, "message": message, "logprobs": null, "finish_reason": finish(turn)}],
        "usage": usage(),
    })
}

pub(super) fn stream(turn: &Turn) -> Vec<String> {
    let chunk = |choices: Value, usage: Value| {
        let id = format!("chatcmpl-{}", turn.number);
        let chunk = json!({
            "id": id, "object": "chat.completion.chunk", "created": 1, "model": turn.model, "choices": choices, "usage": usage,
        });
        format!("data: {chunk}\n\n")
    };
    let delta = |delta: Value, finish: Value| {
        chunk(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]), Value::Null)
    };
    let mut out = vec![delta(json!({"role": "assistant", "content": null}), Value::Null)];
    let mut say = |part: Value| out.push(delta(part, Value::Null));
    for piece in pieces(&turn.thought) {
        say(json!({"reasoning_content": piece}));
    }
    match &turn.done {
        Done::Say(text) => pieces(text).into_iter().for_each(|piece| say(json!({"content": piece}))),
        Done::Call { id, name, input, .. } => {
            let function = json!({"name": name, "arguments": ""});
            say(json!({"tool_calls": [{"index": 0, "id": id, "type": "function", "function": function}]}));
            for piece in pieces(input) {
                say(json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}));
            }
        }
    }
    out.push(delta(json!({}), finish(turn).into()));
    out.push(chunk(json!([]), usage()));
    out.push("data: [DONE]\n\n".to_owned());
    out
}
