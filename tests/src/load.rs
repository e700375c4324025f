//! The fixed call of load runs: a 2 KB request of eight messages, a 2 KB reply, and a stream of the same text.

use serde_json::json;

use crate::mock::{Mock, Script};

/// Events of the streamed reply, besides the first (role), the finish, the usage and `[DONE]`.
pub const EVENTS: usize = 32;

const WORDS: &str = "The tide turned before noon and the boats came in one by one, low in the water, while the gulls argued \
    over what the nets had missed and nobody on the quay paid them any mind at all. ";

/// What a provider adds before `[DONE]` where usage is asked for.
const USAGE: &str = "data: {\"id\":\"chatcmpl-load\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"load\",\"choices\":[],\
    \"usage\":{\"prompt_tokens\":480,\"completion_tokens\":32,\"total_tokens\":512}}\n\n";

/// The request: eight messages of about 228 bytes.
pub fn request(model: &str, stream: bool) -> String {
    let text: String = WORDS.chars().cycle().take(228).collect();
    let role = |index: usize| match index {
        0 => "system",
        _ if index % 2 == 1 => "user",
        _ => "assistant",
    };
    let messages: Vec<_> = (0..8).map(|index| json!({"role": role(index), "content": text})).collect();
    let mut body = json!({"model": model, "messages": messages});
    if stream {
        body["stream"] = json!(true);
    }
    body.to_string()
}

fn event(delta: serde_json::Value, finish: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish});
    let body = json!({"id": "chatcmpl-load", "object": "chat.completion.chunk", "created": 1, "model": "load", "choices": [choice]});
    format!("data: {body}\n\n")
}

/// The whole reply, about 2 KB.
pub fn reply() -> String {
    let text: String = WORDS.chars().cycle().take(1700).collect();
    let message = json!({"role": "assistant", "content": text, "refusal": null, "annotations": []});
    let choice = json!({"index": 0, "message": message, "logprobs": null, "finish_reason": "stop"});
    let usage = json!({"prompt_tokens": 480, "completion_tokens": 350, "total_tokens": 830});
    json!({"id": "chatcmpl-load", "object": "chat.completion", "created": 1, "model": "load", "choices": [choice], "usage": usage})
        .to_string()
}

/// The pieces of the streamed reply, one per event.
pub fn stream() -> Vec<String> {
    let mut out = vec![event(json!({"role": "assistant", "content": ""}), None)];
    let words: Vec<&str> = WORDS.split_inclusive(' ').collect();
    out.extend((0..EVENTS).map(|index| event(json!({"content": words[index % words.len()]}), None)));
    out.push(event(json!({}), Some("stop")));
    out.push("data: [DONE]\n\n".to_owned());
    out
}

/// Registers the script `bench`.
pub fn register(mock: &Mock) {
    let whole = Script::json(200, reply());
    let events = stream();
    let streamed = Script::sse(&events);
    let (done, before) = events.split_last().expect("a stream");
    let metered = before.iter().map(String::as_str).chain([USAGE, done]);
    let metered = Script::sse(metered);
    mock.on("bench", move |exchange| {
        let has = |part: &[u8]| exchange.body.windows(part.len()).any(|window| window == part);
        match (has(b"\"stream\":true"), has(b"\"include_usage\":true")) {
            (true, true) => metered.clone(),
            (true, false) => streamed.clone(),
            (false, _) => whole.clone(),
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_call_has_its_announced_size() {
        let body = request("load", false);
        assert!((2000..2400).contains(&body.len()), "{}", body.len());
        assert!((1900..2200).contains(&reply().len()), "{}", reply().len());
        assert_eq!(stream().len(), EVENTS + 3);
        assert!(request("load", true).ends_with("\"stream\":true}"));
    }
}
