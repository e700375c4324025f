//! The scripted model in Gemini's generateContent.

use serde_json::{Value, json};

use super::{Done, Offered, Told, Turn, list, pieces, text};

pub(super) fn read(body: &Value, path: &str) -> Told {
    let mut told = Told { stream: path.ends_with(":streamGenerateContent"), ..Told::default() };
    let declared = list(&body["tools"]).iter().flat_map(|tool| list(&tool["functionDeclarations"]));
    told.tools = declared
        .map(|tool| {
            let schema = tool.get("parametersJsonSchema").unwrap_or(&tool["parameters"]);
            Offered::function(tool, schema)
        })
        .collect();
    for part in list(&body["contents"]).iter().flat_map(|content| list(&content["parts"])) {
        if let Some(result) = part.get("functionResponse") {
            let response = &result["response"];
            let said = ["output", "result", "content"].iter().find_map(|name| response[name].as_str());
            told.results.push(said.map_or_else(|| response.to_string(), str::to_owned));
        }
        // Google's own client for Python writes bytes in the other alphabet.
        let state = part.get("thoughtSignature").map(|state| text(state).replace('-', "+").replace('_', "/"));
        told.states.extend(state);
    }
    told
}

fn chunk(turn: &Turn, parts: &Value, last: bool) -> Value {
    let mut candidate = json!({"content": {"role": "model", "parts": parts}, "index": 0});
    if last {
        candidate["finishReason"] = json!("STOP");
    }
    json!({
        "candidates": [candidate], "modelVersion": turn.model, "responseId": format!("r-{}", turn.number),
        "usageMetadata": {"promptTokenCount": 20, "candidatesTokenCount": 4, "thoughtsTokenCount": 3, "totalTokenCount": 27},
    })
}

fn call(turn: &Turn, name: &str, input: &str) -> Value {
    let args: Value = serde_json::from_str(input).expect("arguments of the play");
    json!({"functionCall": {"name": name, "args": args}, "thoughtSignature": turn.state})
}

pub(super) fn whole(turn: &Turn) -> Value {
    let thought = json!({"text": turn.thought, "thought": true});
    let part = match &turn.done {
        Done::Say(text) => json!({"text": text, "thoughtSignature": turn.state}),
        Done::Call { name, input, .. } => call(turn, name, input),
    };
    chunk(turn, &json!([thought, part]), true)
}

pub(super) fn stream(turn: &Turn) -> Vec<String> {
    let mut out = Vec::new();
    let mut say = |part: Value, last: bool| out.push(format!("data: {}\r\n\r\n", chunk(turn, &json!([part]), last)));
    for piece in pieces(&turn.thought) {
        say(json!({"text": piece, "thought": true}), false);
    }
    match &turn.done {
        Done::Say(text) => {
            pieces(text).into_iter().for_each(|piece| say(json!({"text": piece}), false));
            say(json!({"text": "", "thoughtSignature": turn.state}), true);
        }
        Done::Call { name, input, .. } => say(call(turn, name, input), true),
    }
    out
}
