//! The cache from outside its hooks: what is found again, by whom, and what is never stored.

use serde_json::{Value, json};
use sluice::testing::{self, FakeCall};
use sluice::{Fault, RequestVerdict};

use super::*;
use std::time::Duration;

fn cache(settings: &str) -> Cache {
    testing::configure(settings).unwrap()
}

fn body() -> Value {
    json!({
        "model": "m",
        "messages": [{ "role": "user", "content": "hi" }],
        "tools": [{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }],
    })
}

fn reply(text: &str) -> Value {
    json!({ "id": "c1", "object": "chat.completion", "model": "m", "choices": [
        { "index": 0, "message": { "role": "assistant", "content": text }, "finish_reason": "stop" }] })
}

/// Asks, and has the provider say `text` where the cache does not answer. What the cache answered, if it did, and its header.
fn ask(cache: &Cache, call: FakeCall, text: &str) -> (Option<Value>, String) {
    let mut call = call.replied(reply(text)).outcome("ok");
    let verdict = call.on_request(cache).unwrap();
    let status = call.reply_headers().get(STATUS).cloned().unwrap_or_default();
    match verdict {
        RequestVerdict::Answer(json) => (Some(serde_json::from_str(&json).unwrap()), status),
        _ => {
            call.on_finish(cache).unwrap();
            (None, status)
        }
    }
}

fn by(key: &str) -> FakeCall {
    FakeCall::chat(body()).caller("key", key).caller("team", "t")
}

#[test]
fn the_second_call_is_answered() {
    let cache = cache("{}");
    assert_eq!(ask(&cache, by("a"), "one"), (None, "miss".to_owned()));
    assert_eq!(ask(&cache, by("a"), "two"), (Some(reply("one")), "hit".to_owned()));
    let mut streamed = body();
    streamed["stream"] = json!(true);
    streamed["stream_options"] = json!({ "include_usage": true });
    let streamed = FakeCall::chat(streamed).caller("key", "a").caller("team", "t");
    assert_eq!(ask(&cache, streamed, "two").1, "hit");
    testing::advance(Duration::from_secs(599));
    let mut call = by("a");
    assert!(matches!(call.on_request(&cache), Ok(RequestVerdict::Answer(_))));
    assert_eq!(call.reply_headers().get(AGE).map(String::as_str), Some("599"));
    assert_eq!(call.tags().get("cache").map(String::as_str), Some("hit"));
    testing::advance(Duration::from_secs(2));
    assert_eq!(ask(&cache, by("a"), "three").1, "miss");
}

#[test]
fn another_caller_prefix_model_or_request_never_is() {
    let cache = cache("{}");
    ask(&cache, by("a"), "one");
    let mut others = vec![
        by("b"),
        FakeCall::chat(body()),
        FakeCall::chat(body()).caller("key", "a"),
        FakeCall::chat(body()).caller("key", "a").caller("team", "other"),
        by("a").caller("user", "u"),
        by("a").prefix("openai"),
        // Parts of one caller may not run into another's.
        FakeCall::chat(body()).caller("key", "a\nteam+1:t"),
    ];
    for (pointer, value) in [
        ("/model", json!("n")),
        ("/messages/0/content", json!("hi ")),
        ("/messages/0/role", json!("system")),
        ("/tools", json!([])),
        ("/tools/0/function/name", json!("g")),
        ("/tools/0/function/parameters", json!({ "type": "object", "required": [] })),
    ] {
        let mut body = body();
        *body.pointer_mut(pointer).unwrap() = value;
        others.push(FakeCall::chat(body).caller("key", "a").caller("team", "t"));
    }
    for (name, value) in [("temperature", json!(0)), ("n", json!(2)), ("user", json!("u")), ("unknown", Value::Null)] {
        let mut body = body();
        body[name] = value;
        others.push(FakeCall::chat(body).caller("key", "a").caller("team", "t"));
    }
    for (at, other) in others.into_iter().enumerate() {
        assert_eq!(ask(&cache, other, "other").1, "miss", "{at}");
    }
    assert_eq!(ask(&cache, by("a"), "two").0, Some(reply("one")));
}

#[test]
fn scopes_share_as_they_say() {
    let team = cache(r#"{ "scope": "team" }"#);
    ask(&team, by("a"), "one");
    assert_eq!(ask(&team, by("b"), "two").1, "hit");
    assert_eq!(ask(&team, FakeCall::chat(body()).caller("key", "a"), "two").1, "miss", "no team: alone");
    assert_eq!(ask(&team, FakeCall::chat(body()).caller("key", "c"), "two").1, "miss");
    let everyone = cache(r#"{ "scope": "everyone" }"#);
    ask(&everyone, by("a"), "one");
    assert_eq!(ask(&everyone, FakeCall::chat(body()), "two").1, "hit");
}

#[test]
fn only_complete_replies_are_stored() {
    let cache = cache(r#"{ "max_reply_kb": 1 }"#);
    let finished = |call: FakeCall, reply: Value, outcome: &str| {
        let mut call = call.replied(reply).outcome(outcome);
        call.on_request(&cache).unwrap();
        call.on_finish(&cache).unwrap();
        testing::kept().len()
    };
    for outcome in ["truncated", "client-gone", "denied", "answered", "upstream-error", "failed", "refused"] {
        assert_eq!(finished(by("a"), reply("x"), outcome), 0, "{outcome}");
    }
    for reason in [json!("length"), json!("content_filter"), Value::Null] {
        let mut cut = reply("x");
        cut["choices"][0]["finish_reason"] = reason;
        assert_eq!(finished(by("a"), cut, "ok"), 0);
    }
    let mut one_cut = reply("x");
    let second = json!({ "index": 1, "message": { "content": "y" }, "finish_reason": "length" });
    one_cut["choices"].as_array_mut().unwrap().push(second);
    assert_eq!(finished(by("a"), one_cut, "ok"), 0);
    assert_eq!(finished(by("a"), json!({ "object": "chat.completion", "choices": [] }), "ok"), 0);
    assert_eq!(finished(by("a"), reply(&"x".repeat(1024)), "ok"), 0, "too large");
    assert_eq!(finished(by("a"), reply("x"), "ok"), 1);
}

#[test]
fn a_client_can_decline() {
    let cache = cache("{}");
    let with = |directive: &str| by("a").header("cache-control", directive);
    assert_eq!(ask(&cache, with("no-store"), "one").1, "no-store");
    assert_eq!(testing::kept().len(), 0);
    ask(&cache, by("a"), "one");
    assert_eq!(ask(&cache, with("max-age=0, No-Cache"), "two").1, "miss");
    assert_eq!(ask(&cache, by("a"), "three").0, Some(reply("two")));
}

#[test]
fn a_store_that_fails_or_holds_junk_costs_no_call() {
    let cache = cache("{}");
    ask(&cache, by("a"), "one");
    let key = testing::kept().keys().next().cloned().unwrap();
    for junk in [&b""[..], b"short", b"\xff\xfe12345678"] {
        kv::set(&key, junk, None).unwrap();
        assert_eq!(ask(&cache, by("a").header("cache-control", "x"), "two").1, "miss");
    }
    testing::grant_kv(false);
    let mut call = by("a");
    assert_eq!(call.on_request(&cache), Ok(RequestVerdict::Pass));
    testing::grant_kv(true);
}

#[test]
fn settings_have_bounds() {
    for (settings, field) in [
        (r#"{ "ttl": "0s" }"#, "settings.ttl"),
        (r#"{ "ttl": "31d" }"#, "settings.ttl"),
        (r#"{ "ttl": 5 }"#, "settings.ttl"),
        (r#"{ "scope": "me" }"#, "settings.scope"),
        (r#"{ "max_reply_kb": 1001 }"#, "settings.max_reply_kb"),
        (r#"{ "tll": "1m" }"#, "tll"),
    ] {
        let fault = testing::configure::<Cache>(settings).err().unwrap();
        assert!(matches!(&fault, Fault::InvalidConfig(text) if text.contains(field)), "{settings}: {fault}");
    }
}
