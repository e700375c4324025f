//! Lines as they are written, from documents as the gateway makes them.

use serde_json::{Value, json};
use sluice::Level;
use sluice::testing;

use super::*;

fn call() -> Value {
    json!({
        "ts": 1789000000.125, "time": "2026-09-10T00:26:40.125Z", "id": "c1", "outcome": "ok", "status": 200, "operation": "chat",
        "dialect": "openai-chat", "stream": false, "model": "fast \"one\"", "provider": "openai", "upstream_model": "gpt", "key": "k=1",
        "attempts": 1, "us": 1200, "overhead_us": 90, "generation": 3, "tokens": { "input": 7, "output": 2 }, "labels": { "a b": "x\ny" },
        "plugins": [],
    })
}

fn lines(settings: Value, calls: &[Value]) -> Vec<String> {
    let plugin: UsageLog = testing::configure(&settings.to_string()).unwrap();
    testing::complete(&plugin, calls).unwrap();
    testing::logs()
        .into_iter()
        .map(|(level, line)| {
            assert_eq!(level, Level::Info);
            line
        })
        .collect()
}

#[test]
fn one_line_a_call_with_what_is_known() {
    let lines = lines(json!({}), &[call(), call()]);
    assert_eq!(lines.len(), 2);
    let line: Value = serde_json::from_str(&lines[0]).unwrap();
    assert_eq!(line["tokens"], json!({ "input": 7, "output": 2 }));
    assert_eq!(line["model"], "fast \"one\"");
    assert!(line.get("team").is_none() && line.get("plugins").is_none());
    assert!(lines[0].starts_with(r#"{"ts":1789000000.125,"id":"c1","key":"k=1","#), "{}", lines[0]);
}

#[test]
fn logfmt_cannot_be_forged() {
    let fields = json!(["model", "key", "tokens", "tokens.output", "labels", "plugins", "nothing"]);
    let lines = lines(json!({ "format": "logfmt", "fields": fields }), &[call()]);
    let expected = r#"model="fast \"one\"" key="k=1" tokens.input=7 tokens.output=2 tokens.output=2 labels.a_b="x\ny" plugins="[]""#;
    assert_eq!(lines, [expected]);
}

#[test]
fn only_wanted_outcomes() {
    let mut denied = call();
    denied["outcome"] = json!("denied");
    assert_eq!(
        lines(json!({ "outcomes": ["denied"], "fields": ["outcome"] }), &[call(), denied]),
        [r#"{"outcome":"denied"}"#]
    );
}

#[test]
fn settings_have_bounds() {
    for (settings, field) in [
        (json!({ "fields": [] }), "settings.fields"),
        (json!({ "fields": [""] }), "settings.fields[0]"),
        (json!({ "outcomes": ["good"] }), "settings.outcomes"),
        (json!({ "format": "xml" }), "settings.format"),
        (json!({ "field": [] }), "field"),
    ] {
        let fault = testing::configure::<UsageLog>(&settings.to_string()).err().unwrap();
        assert!(matches!(&fault, Fault::InvalidConfig(text) if text.contains(field)), "{settings}: {fault}");
    }
}

#[test]
fn a_document_that_is_none_is_a_fault() {
    let plugin: UsageLog = testing::configure("{}").unwrap();
    assert!(testing::complete(&plugin, &[json!([1])]).is_ok(), "no outcome: not wanted");
}
