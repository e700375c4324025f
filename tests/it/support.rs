//! What several tests need: a gateway before the mock provider, usual bodies, and the shape that every refusal has.

use serde_json::{Value, json};
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::http::{Connection, Reply};
use sluice_tests::mock::Mock;
use sluice_tests::sse;

/// The provider key that every test's provider rows use; it must never reach a client or a log.
pub(crate) const PROVIDER_KEY: &str = "sk-provider-7f3a9c5e1b2d4f60";

pub(crate) const CHAT: &str = "/v1/chat/completions";

/// A provider row of the mock: its name, which is also its script, and further lines in flow style (`timeouts: { idle: 300ms }`).
pub(crate) fn row(mock: &Mock, name: &str, more: &str) -> String {
    let base = mock.base(name);
    let comma = if more.is_empty() { "" } else { ", " };
    format!("  {name}: {{ dialect: openai-chat, base_url: \"{base}\", keys: [\"env:MOCK_KEY\"]{comma}{more} }}\n")
}

/// A setup with these provider rows and further top-level lines.
pub(crate) fn setup(rows: &[String], more: &str) -> Setup {
    Setup::config(format!("providers:\n{}{more}\n", rows.concat())).env("MOCK_KEY", PROVIDER_KEY)
}

/// A gateway with one provider row for each name, all with defaults.
pub(crate) fn gateway(mock: &Mock, names: &[&str]) -> Gateway {
    let rows: Vec<String> = names.iter().map(|name| row(mock, name, "")).collect();
    setup(&rows, "").start()
}

/// A small request for `model`.
pub(crate) fn body(model: &str, stream: bool) -> String {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}).to_string()
}

/// A whole reply with this text.
pub(crate) fn reply(text: &str) -> String {
    let message = json!({"role": "assistant", "content": text});
    json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": "m-2026",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
    })
    .to_string()
}

/// One event of a stream.
pub(crate) fn event(delta: Value, finish: Option<&str>) -> String {
    let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
    let chunk =
        json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m-2026", "choices": [choice]});
    format!("data: {chunk}\n\n")
}

pub(crate) fn role_event() -> String {
    event(json!({"role": "assistant", "content": ""}), None)
}

pub(crate) fn text_event(text: &str) -> String {
    event(json!({"content": text}), None)
}

pub(crate) fn finish_event() -> String {
    event(json!({}), Some("stop"))
}

pub(crate) fn usage_event() -> String {
    let usage = json!({"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2});
    let chunk = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m-2026", "choices": [], "usage": usage});
    format!("data: {chunk}\n\n")
}

pub(crate) const DONE: &str = "data: [DONE]\n\n";

/// Checks that `body` is an error object with exactly the four keys, and gives it.
#[track_caller]
pub(crate) fn four_keys(body: &[u8]) -> Value {
    let text = String::from_utf8_lossy(body);
    let value: Value =
        serde_json::from_slice(body).unwrap_or_else(|error| panic!("an error that is no JSON ({error}): {text}"));
    let error = value.get("error").and_then(Value::as_object).unwrap_or_else(|| panic!("no error object: {text}"));
    let mut keys: Vec<&str> = error.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(keys, ["code", "message", "param", "type"], "{text}");
    assert!(error["message"].as_str().is_some_and(|message| !message.is_empty()), "{text}");
    assert!(error["type"].is_string(), "{text}");
    assert!(!text.contains(PROVIDER_KEY), "a secret reached the client: {text}");
    value["error"].clone()
}

/// A refusal: its status, JSON, the four keys, a request id.
#[track_caller]
pub(crate) fn refused(reply: &Reply, status: u16) -> Value {
    assert_eq!(reply.status, status, "{}", reply.text());
    assert!(reply.header("content-type").is_some_and(|kind| kind.starts_with("application/json")), "{:?}", reply.head);
    assert!(reply.header("x-request-id").is_some_and(|id| !id.is_empty()), "{:?}", reply.head);
    four_keys(&reply.body)
}

/// A refusal that names whose error it is.
#[track_caller]
pub(crate) fn blamed(reply: &Reply, status: u16, source: &str) -> Value {
    let error = refused(reply, status);
    assert_eq!(reply.header("x-sluice-error-source"), Some(source), "{}", reply.text());
    error
}

/// A stream that began with a 200 and broke off: its body ends properly, its last event is an error with the four keys, and no `[DONE]`
/// was made up. Gives the events before the error.
#[track_caller]
pub(crate) fn broken_off(reply: &Reply) -> Vec<Vec<u8>> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.end, sluice_tests::http::End::Proper, "{}", reply.text());
    let mut events = sse::data(&reply.body);
    let last = events.pop().unwrap_or_else(|| panic!("no event: {}", reply.text()));
    four_keys(&last);
    assert!(!events.iter().any(|data| data == b"[DONE]"), "{}", reply.text());
    events
}

/// Reads the head and the body up to the first event that has `part`; the stream stays open.
#[track_caller]
pub(crate) fn stream_until(connection: &mut Connection, part: &str) -> Vec<u8> {
    let head = connection.read_head().expect("a head");
    let mut body = Vec::new();
    if head.status() != 200 {
        panic!("{}: {}", head.first, String::from_utf8_lossy(&connection.read_rest()));
    }
    let part = part.as_bytes();
    connection.read_until(&mut body, |body| body.windows(part.len()).any(|window| window == part));
    body
}
