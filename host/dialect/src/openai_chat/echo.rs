//! The replies of the built-in `echo` provider: they say what they are, how to get a real one, and what was asked.
//!
//! For a first run without any key. Counts are rough (four characters a token) and no text is interpreted.

use bytes::Bytes;
use serde_json::{Value, json};

use super::request;
use crate::json as read;
use crate::text;

/// How much of the question comes back, in characters.
const MAX_ECHO: usize = 4000;

/// A streamed reply has at most this many events of text.
const MAX_EVENTS: usize = 200;

/// The whole reply. `note` says how to set up a provider; `created` is in seconds since 1970.
pub fn whole(request: &[u8], model: &str, note: &str, id: &str, created: u64) -> Bytes {
    let text = say(request, note);
    let reply = json!({
        "id": id, "object": "chat.completion", "created": created, "model": model,
        "choices": [{
            "index": 0,
            "message": {"role": "assistant", "content": text, "refusal": null},
            "logprobs": null,
            "finish_reason": "stop",
        }],
        "usage": usage(request, &text),
    });
    Bytes::from(reply.to_string())
}

/// The same reply as events, one to be sent after the other: role, words, finish, usage if the request asks for it, `[DONE]`.
pub fn stream(request: &[u8], model: &str, note: &str, id: &str, created: u64) -> Vec<Bytes> {
    let text = say(request, note);
    let asked = read::pointer(request, "/stream_options/include_usage").and_then(|at| request.get(at)) == Some(b"true");
    let event = |choices: Value, usage: Option<Value>| {
        let mut event = json!({
            "id": id, "object": "chat.completion.chunk", "created": created, "model": model, "choices": choices,
        });
        if asked && let Some(event) = event.as_object_mut() {
            event.insert("usage".to_owned(), usage.unwrap_or(Value::Null));
        }
        Bytes::from(format!("data: {event}\n\n"))
    };
    let delta = |delta: Value, finish: Value| {
        event(json!([{"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish}]), None)
    };
    let mut events = vec![delta(json!({"role": "assistant", "content": ""}), Value::Null)];
    events.extend(words(&text).into_iter().map(|word| delta(json!({"content": word}), Value::Null)));
    events.push(delta(json!({}), json!("stop")));
    if asked {
        events.push(event(json!([]), Some(usage(request, &text))));
    }
    events.push(Bytes::from_static(b"data: [DONE]\n\n"));
    events
}

fn say(request: &[u8], note: &str) -> String {
    let asked = request::last_user_text(request).unwrap_or_default();
    let kept: String = asked.chars().take(MAX_ECHO).collect();
    let cut = if kept.len() < asked.len() { "…" } else { "" };
    let note = note.trim();
    let gap = if note.is_empty() { "" } else { " " };
    if kept.is_empty() {
        return format!("This is Sluice's echo, not a model.{gap}{note}");
    }
    format!("This is Sluice's echo, not a model.{gap}{note}\n\nYou said: {kept}{cut}")
}

fn usage(request: &[u8], text: &str) -> Value {
    let asked = text::joined(request, &request::text_map(request));
    let (prompt, completion) = (tokens(&asked), tokens(text));
    json!({"prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion})
}

fn tokens(text: &str) -> usize {
    (text.chars().count() / 4).max(1)
}

/// Pieces that end behind white space, a few words each in a long text.
fn words(text: &str) -> Vec<&str> {
    let least = text.len() / MAX_EVENTS;
    let mut words = Vec::new();
    let mut start = 0;
    for (at, character) in text.char_indices() {
        let end = at + character.len_utf8();
        if (character.is_whitespace() && end - start > least) || end - start > least + 200 {
            words.extend(text.get(start..end));
            start = end;
        }
    }
    words.extend(text.get(start..).filter(|rest| !rest.is_empty()));
    words
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    const REQUEST: &[u8] =
        br#"{"model":"m","messages":[{"role":"user","content":"older"},{"role":"assistant","content":"x"},{"role":"user","content":[{"type":"text","text":"hello \"you\""}]}],"stream":true,"stream_options":{"include_usage":true}}"#;

    #[test]
    fn whole_says_what_it_is_and_repeats_the_question() {
        let reply: Value = serde_json::from_slice(&whole(REQUEST, "gpt-x", "Set OPENAI_API_KEY.", "id-1", 7)).unwrap();
        let text = reply.pointer("/choices/0/message/content").and_then(Value::as_str).unwrap();
        assert_eq!(text, "This is Sluice's echo, not a model. Set OPENAI_API_KEY.\n\nYou said: hello \"you\"");
        assert_eq!(reply.get("model"), Some(&json!("gpt-x")));
        assert_eq!(reply.pointer("/usage/completion_tokens"), Some(&json!(text.chars().count() / 4)));
        // older, x and the question, with two separators between them.
        assert_eq!(reply.pointer("/usage/prompt_tokens"), Some(&json!(19 / 4)));
    }

    #[test]
    fn stream_tells_the_same_text_and_ends_properly() {
        let events = stream(REQUEST, "m", "note", "id", 7);
        let mut text = String::new();
        for event in &events[..events.len() - 1] {
            let data = event.strip_prefix(b"data: ").unwrap().strip_suffix(b"\n\n").unwrap();
            let value: Value = serde_json::from_slice(data).unwrap();
            text.push_str(value.pointer("/choices/0/delta/content").and_then(Value::as_str).unwrap_or_default());
            assert!(value.get("usage").is_some());
        }
        assert_eq!(text, "This is Sluice's echo, not a model. note\n\nYou said: hello \"you\"");
        assert!(events.len() > 8, "several words, several events");
        assert_eq!(events.last().unwrap(), "data: [DONE]\n\n");
        let before = String::from_utf8_lossy(&events[events.len() - 2]).into_owned();
        assert!(before.contains("\"choices\":[]") && before.contains("total_tokens"));
    }

    #[test]
    fn usage_only_when_asked_and_long_texts_stay_few_events() {
        let long = "word ".repeat(5000);
        let request = json!({"messages": [{"role": "user", "content": long}]}).to_string();
        let events = stream(request.as_bytes(), "m", "", "id", 7);
        assert!(events.len() < MAX_EVENTS + 5, "{}", events.len());
        assert!(!events.iter().any(|event| memchr::memmem::find(event, b"usage").is_some()));
        assert_eq!(stream(b"{}", "m", "n", "id", 7).last().unwrap(), "data: [DONE]\n\n");
    }
}
