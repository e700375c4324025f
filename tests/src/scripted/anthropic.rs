//! The scripted model in Anthropic's Messages.

use serde_json::{Value, json};

use super::{Done, Offered, Told, Turn, joined, list, named, pieces, text};

pub(super) fn read(body: &Value) -> Told {
    let mut told = Told { stream: body["stream"] == true, ..Told::default() };
    told.tools = list(&body["tools"]).iter().map(|tool| Offered::function(tool, &tool["input_schema"])).collect();
    for block in list(&body["messages"]).iter().flat_map(|message| list(&message["content"])) {
        match block["type"].as_str() {
            Some("thinking") => told.states.push(text(&block["signature"])),
            Some("tool_use") => told.called.push(text(&block["id"])),
            Some("tool_result") => {
                told.answered.push(text(&block["tool_use_id"]));
                told.results.push(joined(&block["content"]));
            }
            _ => {}
        }
    }
    told
}

fn message(turn: &Turn, content: Value, end: &Value) -> Value {
    json!({
        "id": format!("msg_{}", turn.number), "type": "message", "role": "assistant", "model": turn.model, "content": content,
        "stop_reason": end, "stop_sequence": null, "usage": {"input_tokens": 20, "output_tokens": 7},
    })
}

fn end(turn: &Turn) -> Value {
    if matches!(turn.done, Done::Call { .. }) { "tool_use" } else { "end_turn" }.into()
}

pub(super) fn whole(turn: &Turn) -> Value {
    let thinking = json!({"type": "thinking", "thinking": turn.thought, "signature": turn.state});
    let block = match &turn.done {
        Done::Say(text) => json!({"type": "text", "text": text}),
        Done::Call { id, name, input, .. } => {
            let input: Value = serde_json::from_str(input).expect("arguments of the play");
            json!({"type": "tool_use", "id": id, "name": name, "input": input})
        }
    };
    message(turn, json!([thinking, block]), &end(turn))
}

pub(super) fn stream(turn: &Turn) -> Vec<String> {
    let mut out = vec![named(&json!({"type": "message_start", "message": message(turn, json!([]), &Value::Null)}))];
    out.push(named(&json!({"type": "ping"})));
    let mut block = |index: usize, start: Value, deltas: Vec<Value>| {
        out.push(named(&json!({"type": "content_block_start", "index": index, "content_block": start})));
        for delta in deltas {
            out.push(named(&json!({"type": "content_block_delta", "index": index, "delta": delta})));
        }
        out.push(named(&json!({"type": "content_block_stop", "index": index})));
    };
    let of = |kind: &str, member: &str, text: &str| -> Vec<Value> {
        pieces(text).into_iter().map(|piece| json!({"type": kind, member: piece})).collect()
    };
    let mut thinking = of("thinking_delta", "thinking", &turn.thought);
    thinking.push(json!({"type": "signature_delta", "signature": turn.state}));
    block(0, json!({"type": "thinking", "thinking": "", "signature": ""}), thinking);
    match &turn.done {
        Done::Say(text) => block(1, json!({"type": "text", "text": ""}), of("text_delta", "text", text)),
        Done::Call { id, name, input, .. } => {
            let start = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
            block(1, start, of("input_json_delta", "partial_json", input));
        }
    }
    let delta = json!({"stop_reason": end(turn), "stop_sequence": null});
    out.push(named(&json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 7}})));
    out.push(named(&json!({"type": "message_stop"})));
    out
}
