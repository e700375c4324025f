//! Every recorded case passes byte for byte, compared on the bytes of both sockets: what the provider received against what the client
//! sent, and what the client received against what the provider sent.
//!
//! What may differ is exactly what the gateway promises to change: the model name, `include_usage` in a stream whose client did not ask
//! (and the chunk it causes), events without data, and the rendering of errors.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use serde_json::Value;
use sluice_tests::gateway::Gateway;
use sluice_tests::http::{End, Reply};
use sluice_tests::json;
use sluice_tests::mock::{Exchange, Mock};
use sluice_tests::sse::{self, Item};
use sluice_tests::wire::{self, Case};

use crate::support::{CHAT, four_keys, gateway, refused};

/// What the client must get for a recorded reply.
#[derive(Debug)]
pub(crate) enum Expected {
    Whole,
    Error {
        status: u16,
        provider: Value,
    },
    /// The provider's 200 is not a reply.
    BadGateway,
    /// Comments and data in order; `broken`: then an error event in place of the rest.
    Stream {
        items: Vec<Vec<u8>>,
        broken: bool,
    },
}

/// Whether the recorded request asks for a stream, and for usage in it.
pub(crate) fn asks(request: &[u8]) -> (bool, bool) {
    let body: Value = serde_json::from_slice(request).expect("a recorded request");
    (body["stream"] == Value::Bool(true), body["stream_options"]["include_usage"] == Value::Bool(true))
}

pub(crate) fn expected(case: &Case) -> Expected {
    if case.status != 200 {
        let provider = serde_json::from_slice(&case.body).unwrap_or(Value::Null);
        return Expected::Error { status: case.status, provider };
    }
    let (stream, asked) = asks(&case.request);
    if stream {
        return expected_stream(case, asked);
    }
    match serde_json::from_slice::<Value>(&case.body) {
        Ok(body)
            if body.get("choices").is_some_and(Value::is_array) && body.get("error").is_none_or(Value::is_null) =>
        {
            Expected::Whole
        }
        _ => Expected::BadGateway,
    }
}

fn has_content(data: &Value) -> bool {
    let filled = |value: &Value| match value {
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(members) => !members.is_empty(),
        _ => false,
    };
    let fields = ["content", "reasoning_content", "reasoning", "refusal", "tool_calls", "function_call", "audio"];
    let choices = data["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
    choices.iter().any(|choice| fields.iter().any(|field| filled(&choice["delta"][field])))
}

fn expected_stream(case: &Case, asked: bool) -> Expected {
    if !case.content_type().starts_with("text/event-stream") {
        return Expected::BadGateway;
    }
    let mut out = Vec::new();
    let (mut content, mut complete, mut broken) = (false, false, false);
    for item in sse::items(&case.body) {
        let data = match item {
            Item::Comment(text) => {
                out.push([b":", text.as_slice()].concat());
                continue;
            }
            Item::Event { data, .. } => data,
        };
        if data == b"[DONE]" {
            complete = true;
            out.push(data);
            break;
        }
        let Ok(value @ Value::Object(_)) = serde_json::from_slice::<Value>(&data) else {
            broken = true;
            break;
        };
        if value.get("error").is_some_and(|error| !error.is_null()) {
            broken = true;
            break;
        }
        let choices = value["choices"].as_array().map(Vec::as_slice).unwrap_or_default();
        content |= has_content(&value);
        complete |=
            choices.iter().any(|choice| choice["finish_reason"].as_str().is_some_and(|reason| !reason.is_empty()));
        if asked || !choices.is_empty() || value["usage"].is_null() {
            out.push(data);
        }
    }
    broken |= !complete;
    if broken && !content { Expected::BadGateway } else { Expected::Stream { items: out, broken } }
}

/// The bytes that the client saw, as comments and data.
pub(crate) fn seen(body: &[u8]) -> Vec<Vec<u8>> {
    let bytes = |item| match item {
        Item::Comment(text) => [b":", text.as_slice()].concat(),
        Item::Event { data, .. } => data,
    };
    sse::items(body).into_iter().map(bytes).collect()
}

pub(crate) fn check_reply(case: &Case, reply: &Reply) {
    let name = &case.name;
    match expected(case) {
        Expected::Whole => {
            assert_eq!(reply.status, 200, "{name}: {}", reply.text());
            assert!(reply.body == case.body, "{name}: the reply's bytes differ:\n{}", reply.text());
        }
        Expected::BadGateway => {
            // An error inside a 200 takes the status that its own code names.
            let error = &serde_json::from_slice::<Value>(&case.body).unwrap_or_default()["error"];
            let own =
                ["status", "code"].iter().find_map(|name| error[name].as_u64()).filter(|own| (400..600).contains(own));
            refused(reply, own.map_or(502, |own| own as u16));
            assert_eq!(reply.header("x-sluice-error-source"), Some("provider"), "{name}");
        }
        Expected::Error { status, provider } => check_error(case, reply, status, &provider),
        Expected::Stream { items, broken } => {
            assert_eq!(reply.status, 200, "{name}: {}", reply.text());
            assert!(reply.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream")), "{name}");
            let mut got = seen(&reply.body);
            if broken {
                four_keys(&got.pop().unwrap_or_default());
            }
            for (index, (got, want)) in got.iter().zip(&items).enumerate() {
                let texts = (String::from_utf8_lossy(got), String::from_utf8_lossy(want));
                assert!(got == want, "{name}: item {index} differs:\n got {}\nwant {}", texts.0, texts.1);
            }
            assert_eq!(got.len(), items.len(), "{name}: another number of events:\n{}", reply.text());
        }
    }
    assert_eq!(reply.end, End::Proper, "{name}");
}

fn check_error(case: &Case, reply: &Reply, status: u16, provider: &Value) {
    let name = &case.name;
    assert_eq!(reply.status, status, "{name}: {}", reply.text());
    assert_eq!(reply.header("x-sluice-error-source"), Some("provider"), "{name}");
    if reply.body == case.body {
        return;
    }
    let error = four_keys(&reply.body);
    let message = provider["error"]["message"].as_str().unwrap_or_default();
    // A message that quotes something like a key may have lost it.
    let quotes_key = ["sk-", "key", "REDACTED", "*", "Bearer"].iter().any(|part| message.contains(part));
    if !quotes_key && message.len() < 500 {
        let got = error["message"].as_str().unwrap_or_default();
        assert!(got.contains(message.trim()), "{name}: the provider's message {message:?} became {got:?}");
    }
    if let Some(code) = provider["error"]["code"].as_str() {
        assert_eq!(error["code"].as_str(), Some(code), "{name}");
    }
    if let Some(wish) = case.headers.get("retry-after") {
        assert_eq!(reply.header("retry-after"), Some(wish.as_str()), "{name}");
    }
}

/// The bytes that the provider received, against those it should have.
fn check_request(case: &Case, want: &[u8], got: &Exchange) {
    let (stream, asked) = asks(want);
    assert_eq!(got.method, "POST");
    assert!(got.target.ends_with("/v1/chat/completions"), "{}: {}", case.name, got.target);
    let same = got.body == want || (stream && !asked && usage_inserted(want, &got.body));
    let texts = (String::from_utf8_lossy(&got.body), String::from_utf8_lossy(want));
    assert!(same, "{}: the request's bytes differ:\n got {}\nwant {}", case.name, texts.0, texts.1);
}

/// Whether `got` is `want` and nothing but the wish for usage.
fn usage_inserted(want: &[u8], got: &[u8]) -> bool {
    let forms: [&[u8]; 2] =
        [br#""stream_options":{"include_usage":true},"#, br#","stream_options":{"include_usage":true}"#];
    let removed = forms.iter().any(|form| {
        let mut at = got.windows(form.len()).enumerate().filter(|(_, window)| window == form);
        at.any(|(at, _)| [&got[..at], &got[at + form.len()..]].concat() == want)
    });
    let refused = json::member(want, "stream_options").is_some_and(|range| {
        let turned = String::from_utf8_lossy(&want[range.clone()]).replace("false", "true");
        json::splice(want, range, turned.as_bytes()) == got
    });
    removed || refused
}

/// `request` with `prefix` before its model name; `None` where it names none.
fn with_prefix(request: &[u8], prefix: &str) -> Option<Vec<u8>> {
    let range = json::member(request, "model")?;
    let literal = request[range.clone()].strip_prefix(b"\"")?;
    let prefixed = [format!("\"{prefix}/").as_bytes(), literal].concat();
    Some(json::splice(request, range, &prefixed))
}

/// Runs `check` and keeps what it panicked with, so that one run names every case that fails.
fn keep(failures: &Mutex<Vec<String>>, check: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(check)) {
        let text = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a check failed".to_owned());
        failures.lock().unwrap_or_else(PoisonError::into_inner).push(text.chars().take(1500).collect());
    }
}

/// Fails with every kept panic.
fn none(failures: &Mutex<Vec<String>>) {
    let failures = failures.lock().unwrap_or_else(PoisonError::into_inner);
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

fn send(gateway: &Gateway, mock: &Mock, lane: &str, path: &str, case: &Case, sent: &[u8]) -> (Exchange, Reply) {
    mock.script(lane, case.script());
    let reply = gateway.post(path, sent);
    (mock.last(lane), reply)
}

#[test]
fn under_a_providers_prefix_nothing_is_changed() {
    let mock = Mock::start();
    let gateway = gateway(&mock, &["openai"]);
    let failures = Mutex::default();
    let mut passed = BTreeMap::<String, usize>::new();
    for case in wire::load() {
        let body: Value = serde_json::from_slice(&case.request).unwrap();
        // There the prefix is the provider's name, not a part of the model's.
        if body["model"].as_str().is_some_and(|model| model.starts_with("openai/")) {
            continue;
        }
        let path =
            if passed.len().is_multiple_of(2) { "/openai/chat/completions" } else { "/openai/v1/chat/completions" };
        let before = mock.journal().count("openai");
        keep(&failures, || {
            let (exchange, reply) = send(&gateway, &mock, "openai", path, &case, &case.request);
            let asked = mock.journal().count("openai") - before;
            // What may pass is asked for again, up to three times.
            let most = if reply.status == 200 { 1 } else { 3 };
            assert!((1..=most).contains(&asked), "{}: asked {asked} times: {}", case.name, reply.text());
            check_request(&case, &case.request, &exchange);
            check_reply(&case, &reply);
        });
        *passed.entry(case.provider).or_default() += 1;
    }
    none(&failures);
    assert!(passed.len() >= 12, "{passed:?}");
}

#[test]
fn on_v1_only_the_providers_name_is_taken_off_the_model() {
    let mock = Mock::start();
    let lanes = ["lane0", "lane1", "lane2"];
    let gateway = gateway(&mock, &lanes);
    let cases = wire::load();
    let failures = Mutex::default();
    std::thread::scope(|scope| {
        for (number, lane) in lanes.into_iter().enumerate() {
            let (mock, gateway, cases, failures) = (&mock, &gateway, &cases, &failures);
            scope.spawn(move || {
                for case in cases.iter().skip(number).step_by(lanes.len()) {
                    let Some(sent) = with_prefix(&case.request, lane) else { continue };
                    keep(failures, || {
                        let (exchange, reply) = send(gateway, mock, lane, CHAT, case, &sent);
                        check_request(case, &case.request, &exchange);
                        check_reply(case, &reply);
                    });
                }
            });
        }
    });
    none(&failures);
    assert!(lanes.iter().all(|lane| mock.journal().count(lane) > 100));
}
