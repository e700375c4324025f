//! `logprobsResult`, and OpenAI chat's `logprobs` object, which is the hub's.

use serde_json::{Map, Value, json};

use super::fields::Fields;

pub(super) fn read(value: Value) -> Option<Value> {
    let mut result = Fields::of(value);
    let tops = result.list("topCandidates");
    let mut tops = tops.into_iter().map(|top| Fields::of(top).list("candidates"));
    let chosen = result.list("chosenCandidates");
    let content: Vec<Value> = chosen
        .into_iter()
        .map(|chosen| {
            let top: Vec<Value> =
                tops.next().unwrap_or_default().into_iter().map(|one| Value::Object(token(one))).collect();
            let mut token = token(chosen);
            token.insert("top_logprobs".to_owned(), Value::Array(top));
            Value::Object(token)
        })
        .collect();
    (!content.is_empty()).then(|| json!({"content": content, "refusal": null}))
}

fn token(value: Value) -> Map<String, Value> {
    let mut fields = Fields::of(value);
    let text = fields.text("token").unwrap_or_default();
    let bytes: Vec<u8> = text.bytes().collect();
    let logprob = fields.number("logProbability").map_or(Value::from(0.0), Value::Number);
    Map::from_iter([
        ("token".to_owned(), Value::from(text)),
        ("logprob".to_owned(), logprob),
        ("bytes".to_owned(), Value::from(bytes)),
    ])
}

/// `None` where nothing is in it.
pub(super) fn write(logprobs: &Value) -> Option<Value> {
    let content = logprobs.get("content").and_then(Value::as_array).filter(|content| !content.is_empty())?;
    let chosen: Vec<Value> = content.iter().map(candidate).collect();
    let has_top = |one: &Value| one.get("top_logprobs").and_then(Value::as_array).is_some_and(|top| !top.is_empty());
    let mut result = Map::from_iter([("chosenCandidates".to_owned(), Value::Array(chosen))]);
    if content.iter().any(has_top) {
        let tops = content.iter().map(|one| {
            let top = one.get("top_logprobs").and_then(Value::as_array).into_iter().flatten();
            json!({"candidates": top.map(candidate).collect::<Vec<Value>>()})
        });
        result.insert("topCandidates".to_owned(), tops.collect());
    }
    Some(Value::Object(result))
}

fn candidate(token: &Value) -> Value {
    let member = |name: &str| token.get(name).cloned().unwrap_or(Value::Null);
    json!({"token": member("token"), "logProbability": member("logprob")})
}
