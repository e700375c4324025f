use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use sluice_dialect::failure::Failure;
use sluice_sandbox::Hook;

use super::super::record::{Class, Stamp};
use super::*;
use crate::governance::caller::Caller;
use crate::routing::Skipped;

const SCHEMA: &str = include_str!("../../../../../wit/finished-call.schema.json");

fn document(record: &Record, outcome: Outcome) -> Value {
    let mut out = Vec::new();
    let now = UNIX_EPOCH + Duration::from_millis(1_764_000_000_007);
    write(&mut out, record, outcome, Duration::from_micros(12_345), now);
    serde_json::from_slice(&out).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)))
}

fn attempt(status: u16, class: Class) -> Attempt {
    Attempt {
        provider: "openai".into(),
        model: "gpt-4o".into(),
        key: Some("main".into()),
        status,
        class,
        waited: Duration::from_micros(1_005),
        target: "openai/gpt-4o".into(),
        reason: if class == Class::Ok { String::new() } else { format!("why {}", class.as_str()) },
    }
}

/// A record that fills every field.
fn full() -> Record {
    let caller = Caller {
        key: "search-prod".into(),
        team: Some("search".into()),
        user: Some("ann".into()),
        labels: Arc::new(BTreeMap::from([("region".to_owned(), "e\"u".to_owned())])),
        ..Caller::default()
    };
    let stamp = Stamp {
        plugin: "pii".into(),
        digest: "0123456789ab".into(),
        hook: Hook::OnRequest,
        verdict: "edit",
        spent: Duration::from_micros(7),
        runs: 1,
    };
    Record {
        id: "call-1".into(),
        dialect: sluice_dialect::Dialect::OpenaiChat,
        operation: "chat",
        prefix: Some("openai"),
        streamed: true,
        model: "fast".into(),
        caller: Some(caller),
        attempts: 2,
        last: attempt(0, Class::Timeout),
        earlier: vec![attempt(429, Class::RateLimited)],
        route: Some("smart".into()),
        skipped: vec![Skipped { target: "llama/small".into(), reason: "no images".into() }],
        session: true,
        status: 504,
        failure: Some(Failure::timeout("headers_timeout", "late").with_detail("10 s")),
        usage: Some(Usage { input: 1, output: 2, ..Usage::default() }),
        receipt: vec![stamp],
        tags: vec![("a".into(), "b\n".into())],
        generation: 3,
        waited: Duration::from_micros(12_000),
        client_waited: Duration::from_micros(45),
        first_token: Some(Duration::from_micros(900)),
        lost: vec!["top_k".into()],
        tell_losses: true,
        broken_off: false,
    }
}

#[test]
fn everything_is_told() {
    let mut expected = json!({
        "ts": 1_764_000_000.007, "time": "2025-11-24T16:00:00.007Z", "id": "call-1",
        "outcome": "upstream-error", "status": 504, "operation": "chat", "dialect": "openai-chat", "stream": true,
        "prefix": "openai", "model": "fast", "provider": "openai", "upstream_model": "gpt-4o",
        "key": "search-prod", "team": "search", "user": "ann", "labels": {"region": "e\"u"},
        "attempts": 2,
        "targets": [
            {"provider": "openai", "model": "gpt-4o", "key": "main", "status": 429, "class": "rate-limited", "ms": 1.005, "target": "openai/gpt-4o", "reason": "why rate-limited"},
            {"provider": "openai", "model": "gpt-4o", "key": "main", "class": "timeout", "ms": 1.005, "target": "openai/gpt-4o", "reason": "why timeout"},
        ],
        "route": "smart", "session": true, "skipped": [{"target": "llama/small", "reason": "no images"}],
        "us": 12_345, "overhead_us": 300, "first_token_us": 900,
        "tokens": {"input": 1, "cache-read": 0, "cache-write": 0, "output": 2, "reasoning": 0},
        "generation": 3,
        "plugins": [{"plugin": "pii", "digest": "0123456789ab", "hook": "on-request", "verdict": "edit", "us": 7, "runs": 1}],
        "lost": ["top_k"],
        "tags": {"a": "b\n"},
        "blame": "provider", "code": "headers_timeout", "error": "late", "detail": "10 s",
    });
    assert_eq!(document(&full(), Outcome::UpstreamError), expected);
    // What was waited for in the middle of a wait is not known.
    expected["outcome"] = json!("client-gone");
    expected.as_object_mut().unwrap().remove("overhead_us");
    assert_eq!(document(&Record { broken_off: true, ..full() }, Outcome::ClientGone), expected);
}

#[test]
fn a_bare_record_has_only_what_is_always_there() {
    let record = Record {
        id: "x".into(),
        dialect: sluice_dialect::Dialect::OpenaiChat,
        operation: "chat",
        broken_off: true,
        ..Record::default()
    };
    let document = document(&record, Outcome::Refused);
    let mut names: Vec<&str> = document.as_object().unwrap().keys().map(String::as_str).collect();
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let mut required: Vec<&str> = schema["required"].as_array().unwrap().iter().map(|n| n.as_str().unwrap()).collect();
    names.sort_unstable();
    required.sort_unstable();
    assert_eq!(names, required);
}

#[test]
fn the_schema_knows_every_field_and_every_word() {
    let schema: Value = serde_json::from_str(SCHEMA).unwrap();
    let names = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let sorted = |mut names: Vec<String>| {
        names.sort();
        names
    };
    let document = document(&full(), Outcome::UpstreamError);
    assert_eq!(sorted(names(&document)), sorted(names(&schema["properties"])));
    let properties = &schema["properties"];
    for (list, field) in [("targets", 0), ("plugins", 0), ("skipped", 0)] {
        let item = &properties[list]["items"]["properties"];
        assert_eq!(sorted(names(&document[list][field])), sorted(names(item)), "{list}");
    }
    let words =
        |value: &Value| value["enum"].as_array().unwrap().iter().map(|w| w.as_str().unwrap().to_owned()).collect();
    let outcomes: Vec<String> = words(&properties["outcome"]);
    assert_eq!(outcomes, Outcome::ALL.map(Outcome::as_str));
    let classes: Vec<String> = words(&properties["targets"]["items"]["properties"]["class"]);
    assert_eq!(classes, Class::ALL.map(Class::as_str));
}

#[test]
fn many_targets_that_were_left_out_are_told_of_in_part() {
    let one = Skipped { target: "llama/small".into(), reason: "\u{d55c}".repeat(5_000) };
    let told = document(&Record { skipped: vec![one; 500], ..full() }, Outcome::Ok);
    let skipped = told["skipped"].as_array().unwrap();
    assert_eq!(skipped.len(), MAX_SKIPPED);
    assert!(skipped[0]["reason"].as_str().unwrap().len() <= MAX_TEXT);
}

#[test]
fn long_texts_are_cut_at_a_character() {
    assert_eq!(cut("h\u{e9}llo", 2), "h");
    assert_eq!(cut("h\u{e9}llo", 3), "h\u{e9}");
    assert_eq!(cut("short", 100), "short");
    let mut record = full();
    record.failure = Some(Failure::invalid("x", "\u{d55c}".repeat(10_000)));
    let told = document(&record, Outcome::Refused);
    assert!(told["error"].as_str().unwrap().len() <= MAX_TEXT);
}
