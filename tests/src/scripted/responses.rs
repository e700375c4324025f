//! The scripted model in OpenAI's Responses, with tools from both places where Codex puts them.

use serde_json::{Value, json};

use super::{Done, Offered, Told, Turn, joined, list, named, pieces, text};

pub(super) fn read(body: &Value) -> Told {
    let mut told = Told { stream: body["stream"] == true, ..Told::default() };
    offered(&body["tools"], None, &mut told.tools);
    for item in list(&body["input"]) {
        match item["type"].as_str() {
            Some("additional_tools") => offered(&item["tools"], None, &mut told.tools),
            Some("reasoning") => told.states.push(text(&item["encrypted_content"])),
            Some("function_call" | "custom_tool_call") => told.called.push(text(&item["call_id"])),
            Some("function_call_output" | "custom_tool_call_output") => {
                told.answered.push(text(&item["call_id"]));
                told.results.push(joined(&item["output"]));
            }
            _ => {}
        }
    }
    told
}

fn offered(tools: &Value, namespace: Option<&str>, out: &mut Vec<Offered>) {
    for tool in list(tools) {
        match tool["type"].as_str() {
            Some("namespace") => offered(&tool["tools"], tool["name"].as_str(), out),
            Some(kind @ ("function" | "custom")) => {
                let namespace = namespace.map(str::to_owned);
                out.push(Offered {
                    custom: kind == "custom",
                    namespace,
                    ..Offered::function(tool, &tool["parameters"])
                });
            }
            _ => {}
        }
    }
}

fn response(turn: &Turn, status: &str, output: Value) -> Value {
    let usage = json!({
        "input_tokens": 20, "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 7, "output_tokens_details": {"reasoning_tokens": 3}, "total_tokens": 27,
    });
    json!({
        "id": format!("resp_{}", turn.number), "object": "response", "created_at": 1, "status": status, "error": null,
        "incomplete_details": null, "instructions": null, "metadata": {}, "model": turn.model, "output": output,
        "parallel_tool_calls": true, "temperature": 1.0, "tool_choice": "auto", "tools": [], "top_p": 1.0,
        "usage": if status == "completed" { usage } else { Value::Null },
    })
}

fn reasoning(turn: &Turn) -> Value {
    let summary = json!([{"type": "summary_text", "text": turn.thought}]);
    json!({"type": "reasoning", "id": format!("rs_{}", turn.number), "summary": summary, "encrypted_content": turn.state})
}

/// The item behind the thought, with its text or input as given.
fn item(turn: &Turn, status: &str, content: &str) -> Value {
    let number = turn.number;
    match &turn.done {
        Done::Say(_) => {
            let part = json!({"type": "output_text", "text": content, "annotations": [], "logprobs": []});
            let content = if status == "completed" { json!([part]) } else { json!([]) };
            json!({"type": "message", "id": format!("msg_{number}"), "role": "assistant", "status": status, "content": content})
        }
        Done::Call { id, name, namespace, custom, .. } => {
            let (kind, prefix, member) =
                if *custom { ("custom_tool_call", "ctc", "input") } else { ("function_call", "fc", "arguments") };
            let mut item = json!({"type": kind, "id": format!("{prefix}_{number}"), "call_id": id, "name": name, member: content, "status": status});
            if let Some(namespace) = namespace {
                item["namespace"] = json!(namespace);
            }
            item
        }
    }
}

fn content(turn: &Turn) -> &str {
    match &turn.done {
        Done::Say(text) | Done::Call { input: text, .. } => text,
    }
}

pub(super) fn whole(turn: &Turn) -> Value {
    response(turn, "completed", json!([reasoning(turn), item(turn, "completed", content(turn))]))
}

pub(super) fn stream(turn: &Turn) -> Vec<String> {
    let mut events = vec![
        json!({"type": "response.created", "response": response(turn, "in_progress", json!([]))}),
        json!({"type": "response.in_progress", "response": response(turn, "in_progress", json!([]))}),
    ];
    think(turn, &mut events);
    act(turn, &mut events);
    events.push(json!({"type": "response.completed", "response": whole(turn)}));
    for (number, event) in events.iter_mut().enumerate() {
        event["sequence_number"] = json!(number);
    }
    events.iter().map(named).collect()
}

fn think(turn: &Turn, events: &mut Vec<Value>) {
    let id = format!("rs_{}", turn.number);
    let part = |kind: &str, text: &str| {
        let part = json!({"type": "summary_text", "text": text});
        json!({"type": kind, "item_id": id, "output_index": 0, "summary_index": 0, "part": part})
    };
    let started = json!({"type": "reasoning", "id": id, "summary": [], "encrypted_content": ""});
    events.push(json!({"type": "response.output_item.added", "output_index": 0, "item": started}));
    events.push(part("response.reasoning_summary_part.added", ""));
    for piece in pieces(&turn.thought) {
        events.push(json!({"type": "response.reasoning_summary_text.delta", "item_id": id, "output_index": 0, "summary_index": 0, "delta": piece}));
    }
    events.push(json!({"type": "response.reasoning_summary_text.done", "item_id": id, "output_index": 0, "summary_index": 0, "text": turn.thought}));
    events.push(part("response.reasoning_summary_part.done", &turn.thought));
    events.push(json!({"type": "response.output_item.done", "output_index": 0, "item": reasoning(turn)}));
}

fn act(turn: &Turn, events: &mut Vec<Value>) {
    let done = item(turn, "completed", content(turn));
    let id = &done["id"];
    events
        .push(json!({"type": "response.output_item.added", "output_index": 1, "item": item(turn, "in_progress", "")}));
    let part = |kind: &str, text: &str| {
        let part = json!({"type": "output_text", "text": text, "annotations": [], "logprobs": []});
        json!({"type": kind, "item_id": id, "output_index": 1, "content_index": 0, "part": part})
    };
    let (kind, member) = match &turn.done {
        Done::Say(_) => ("output_text", "text"),
        Done::Call { custom: true, .. } => ("custom_tool_call_input", "input"),
        Done::Call { .. } => ("function_call_arguments", "arguments"),
    };
    let says = matches!(turn.done, Done::Say(_));
    if says {
        events.push(part("response.content_part.added", ""));
    }
    let of = |last: &str, member: &str, text: &str| {
        let mut event =
            json!({"type": format!("response.{kind}.{last}"), "item_id": id, "output_index": 1, member: text});
        if says {
            event["content_index"] = json!(0);
            event["logprobs"] = json!([]);
        }
        event
    };
    for piece in pieces(content(turn)) {
        events.push(of("delta", "delta", piece));
    }
    events.push(of("done", member, content(turn)));
    if says {
        events.push(part("response.content_part.done", content(turn)));
    }
    events.push(json!({"type": "response.output_item.done", "output_index": 1, "item": done}));
}
