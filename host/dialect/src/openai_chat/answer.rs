//! Replies that change their form: a whole reply told as a stream, a stream gathered into a whole reply, and a plugin's own answer made
//! complete. Only for calls that a plugin answers or holds; a reply that merely passes never comes here.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::failure::{Blame, Failure};

mod assemble;
mod finished;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

pub use assemble::Assembler;

/// The texts of a message in the order in which a stream tells them; the rest of a message comes in one chunk behind them.
const TOLD_FIRST: [&str; 4] = ["reasoning_content", "reasoning", "content", "refusal"];

/// A whole reply as events of `chat.completion.chunk`, each choice in turn: role, texts, tool calls, whatever else the message has, finish;
/// then, if asked for and known, usage; then `[DONE]`. Fails (502) if the reply is not an object with a list of choices.
pub fn to_stream(reply: &[u8], include_usage: bool) -> Result<Bytes, Failure> {
    let unfit = || Failure::bad_gateway("invalid_reply", "The reply to be streamed is not an object with choices.");
    let Ok(Value::Object(reply)) = serde_json::from_slice(reply) else { return Err(unfit()) };
    let Some(choices) = reply.get("choices").and_then(Value::as_array) else { return Err(unfit()) };
    let usage = reply.get("usage").filter(|usage| usage.is_object());
    let mut out = Out { head: head(&reply), bytes: Vec::new(), null_usage: include_usage && usage.is_some() };
    for (position, choice) in choices.iter().enumerate() {
        let choice = choice.as_object().ok_or_else(unfit)?;
        let extras = if position + 1 == choices.len() { extras(&reply) } else { Map::new() };
        out.choice(choice, position, extras);
    }
    if include_usage && let Some(usage) = usage {
        out.null_usage = false;
        out.event(Value::Array(Vec::new()), Map::from_iter([("usage".to_owned(), usage.clone())]));
    }
    out.bytes.extend_from_slice(b"data: [DONE]\n\n");
    Ok(Bytes::from(out.bytes))
}

/// What every chunk repeats.
fn head(reply: &Map<String, Value>) -> Map<String, Value> {
    let mut head = Map::new();
    for name in ["id", "object", "created", "model", "system_fingerprint", "service_tier"] {
        if name == "object" {
            head.insert(name.to_owned(), Value::from("chat.completion.chunk"));
        } else if let Some(value) = reply.get(name) {
            head.insert(name.to_owned(), value.clone());
        }
    }
    head
}

/// Members of a provider's own (citations, search results): told once, with the last finish.
fn extras(reply: &Map<String, Value>) -> Map<String, Value> {
    let common = ["id", "object", "created", "model", "system_fingerprint", "service_tier", "choices", "usage"];
    reply.iter().filter(|(name, _)| !common.contains(&name.as_str())).map(|(n, v)| (n.clone(), v.clone())).collect()
}

struct Out {
    head: Map<String, Value>,
    bytes: Vec<u8>,
    /// Where a usage event follows, the others say `null`, as OpenAI's do.
    null_usage: bool,
}

impl Out {
    fn event(&mut self, choices: Value, extras: Map<String, Value>) {
        let mut event = self.head.clone();
        event.insert("choices".to_owned(), choices);
        if self.null_usage {
            event.insert("usage".to_owned(), Value::Null);
        }
        event.extend(extras);
        self.bytes.extend_from_slice(b"data: ");
        self.bytes.extend_from_slice(Value::Object(event).to_string().as_bytes());
        self.bytes.extend_from_slice(b"\n\n");
    }

    fn delta(&mut self, index: &Value, delta: Value, logprobs: Option<&Value>) {
        let mut choice = json!({"index": index, "delta": delta, "finish_reason": null});
        if let (Some(logprobs), Some(choice)) = (logprobs, choice.as_object_mut()) {
            choice.insert("logprobs".to_owned(), logprobs.clone());
        }
        self.event(json!([choice]), Map::new());
    }

    fn choice(&mut self, choice: &Map<String, Value>, position: usize, extras: Map<String, Value>) {
        let index = choice.get("index").filter(|index| index.is_u64()).cloned().unwrap_or_else(|| json!(position));
        let empty = Map::new();
        let message = choice.get("message").and_then(Value::as_object).unwrap_or(&empty);
        let role = message.get("role").filter(|role| role.is_string()).cloned().unwrap_or_else(|| json!("assistant"));
        // A client adds the contents up, so nothing must not begin as an empty text.
        let begins = message.get("content").filter(|content| !content.is_null()).map(|_| "");
        self.delta(&index, json!({"role": role, "content": begins}), None);
        let mut logprobs = choice.get("logprobs").filter(|logprobs| !logprobs.is_null());
        for name in TOLD_FIRST {
            let said = message.get(name).filter(|text| !text.is_null() && text.as_str() != Some(""));
            if let Some(text) = said {
                let with = if name == "content" { logprobs.take() } else { None };
                self.delta(&index, json!({name: text}), with);
            }
        }
        for (position, call) in message.get("tool_calls").and_then(Value::as_array).into_iter().flatten().enumerate() {
            let mut told = Map::from_iter([("index".to_owned(), json!(position))]);
            let members = call.as_object().into_iter().flatten().filter(|(name, _)| *name != "index");
            told.extend(members.map(|(name, value)| (name.clone(), value.clone())));
            self.delta(&index, json!({"tool_calls": [told]}), None);
        }
        let told = |name: &str| TOLD_FIRST.contains(&name) || name == "role" || name == "tool_calls";
        let rest: Map<_, _> = message
            .iter()
            .filter(|(name, value)| !told(name) && !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect();
        if !rest.is_empty() {
            self.delta(&index, Value::Object(rest), None);
        }
        let mut last = Map::from_iter([("index".to_owned(), index), ("delta".to_owned(), json!({}))]);
        if let Some(logprobs) = logprobs {
            last.insert("logprobs".to_owned(), logprobs.clone());
        }
        let own = choice.iter().filter(|(name, _)| !matches!(name.as_str(), "index" | "message" | "logprobs"));
        last.extend(own.map(|(name, value)| (name.clone(), value.clone())));
        let reason = last.entry("finish_reason").or_insert(Value::Null);
        if reason.is_null() {
            *reason = json!("stop");
        }
        self.event(json!([last]), extras);
    }
}

/// A plugin's answer as a complete reply: what it left out is filled in (identity, `choices[].index`, role, `finish_reason`, zero usage, for
/// no provider counted anything). `{"content": "..."}` alone is the short form of one choice. Anything else is the plugin's fault (500).
/// A reply that is complete keeps its bytes.
///
/// `created` is in seconds since 1970.
pub fn complete(reply: &[u8], id: &str, model: &str, created: u64) -> Result<Bytes, Failure> {
    if finished::is_complete(reply) {
        return Ok(Bytes::copy_from_slice(reply));
    }
    let Ok(Value::Object(mut reply)) = serde_json::from_slice(reply) else {
        return Err(bad_answer("is not a JSON object"));
    };
    if !reply.contains_key("choices")
        && let Some(content) = reply.remove("content")
    {
        reply.insert("choices".to_owned(), json!([{"message": {"content": content}}]));
    }
    let mut whole = Map::new();
    for (name, value) in
        [("id", json!(id)), ("object", json!("chat.completion")), ("created", json!(created)), ("model", json!(model))]
    {
        let given = reply.remove(name).filter(|given| !given.is_null() && name != "object");
        whole.insert(name.to_owned(), given.unwrap_or(value));
    }
    let Some(Value::Array(choices)) = reply.get_mut("choices") else {
        return Err(bad_answer("has no list of choices"));
    };
    if choices.is_empty() {
        return Err(bad_answer("has no choice"));
    }
    for (position, choice) in choices.iter_mut().enumerate() {
        complete_choice(choice, position)?;
    }
    whole.extend(reply);
    if whole.get("usage").is_none_or(Value::is_null) {
        whole.insert("usage".to_owned(), json!({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}));
    }
    Ok(Bytes::from(Value::Object(whole).to_string()))
}

fn complete_choice(choice: &mut Value, position: usize) -> Result<(), Failure> {
    let Some(choice) = choice.as_object_mut() else { return Err(bad_answer("has a choice that is not an object")) };
    let Some(Value::Object(message)) = choice.get_mut("message") else {
        return Err(bad_answer("has a choice without a message"));
    };
    fill(message, "role", || json!("assistant"));
    let content = message.entry("content").or_insert(Value::Null);
    if !(content.is_null() || content.is_string() || content.is_array()) {
        return Err(bad_answer("has a content that is neither text nor a list of parts"));
    }
    let calls = message.get("tool_calls").filter(|calls| !calls.is_null());
    if calls.is_some_and(|calls| !calls.is_array()) {
        return Err(bad_answer("has tool_calls that are not a list"));
    }
    if calls.and_then(Value::as_array).into_iter().flatten().any(|call| !call.is_object()) {
        return Err(bad_answer("has a tool call that is not an object"));
    }
    let called = calls.and_then(Value::as_array).is_some_and(|calls| !calls.is_empty());
    if choice.get("index").is_some_and(|index| !index.is_null() && !index.is_u64()) {
        return Err(bad_answer("has a choice whose index is no whole number"));
    }
    if choice.get("finish_reason").is_some_and(|reason| !reason.is_null() && !reason.is_string()) {
        return Err(bad_answer("has a finish_reason that is no text"));
    }
    fill(choice, "index", || json!(position));
    fill(choice, "finish_reason", || json!(if called { "tool_calls" } else { "stop" }));
    fill(choice, "logprobs", || Value::Null);
    Ok(())
}

fn fill(object: &mut Map<String, Value>, name: &str, value: impl FnOnce() -> Value) {
    let slot = object.entry(name).or_insert(Value::Null);
    if slot.is_null() {
        *slot = value();
    }
}

fn bad_answer(what: &str) -> Failure {
    Failure::new(Blame::Plugin, 500, "server_error", "plugin_fault", "A plugin gave an answer that cannot be used.")
        .with_detail(format!("the plugin's answer {what}"))
}
