//! Gathering a stream into the whole reply it tells.
//!
//! Deltas are merged by what they are: texts and arguments are joined, lists grow, anything else is replaced by its latest value. What only
//! repeats the text beside a delta (cumulative messages, `choices[].text`) is left out. It does not judge whether the stream was complete.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use crate::failure::{Blame, Failure};

/// What each value counts towards the cap beside its text.
const NODE: usize = 16;

/// More choices or parallel tool calls than any provider has; past it the stream is refused.
const MAX_INDEX: u64 = 1024;

/// Fed with the data of each event, gives the whole reply.
pub struct Assembler {
    max: usize,
    held: usize,
    /// Of what was held, since replaced.
    freed: usize,
    top: Map<String, Value>,
    choices: BTreeMap<u64, Map<String, Value>>,
}

impl Assembler {
    /// `max`: how much may be held, in bytes of text and a little for each value around it.
    pub fn new(max: usize) -> Assembler {
        Assembler { max, held: 0, freed: 0, top: Map::new(), choices: BTreeMap::new() }
    }

    /// Takes one event's data; `[DONE]` and empty data are nothing. Fails where the data is not a JSON object, and past the cap.
    pub fn push(&mut self, data: &[u8]) -> Result<(), Failure> {
        let data = data.trim_ascii();
        if data.is_empty() || data == b"[DONE]" {
            return Ok(());
        }
        let Ok(Value::Object(event)) = serde_json::from_slice(data) else {
            return Err(Failure::bad_gateway("invalid_stream", "The provider's stream has an event that is not JSON."));
        };
        for (name, value) in event {
            match name.as_str() {
                "choices" => {
                    for (position, choice) in into_list(value).into_iter().enumerate() {
                        self.choice(choice, position)?;
                    }
                }
                "object" | "obfuscation" | "p" | "padding" => {}
                // The first event of some providers has these empty.
                "id" | "model" | "created" if self.top.contains_key(&name) && is_empty(&value) => {}
                _ if value.is_null() => {}
                _ => {
                    self.held += put(&mut self.top, name, value, &mut self.freed);
                }
            }
        }
        if self.held.saturating_sub(self.freed) > self.max {
            let message = "The reply is too long to be held for a plugin that reads whole replies.";
            return Err(Failure::new(Blame::Gateway, 502, "server_error", "reply_too_large", message)
                .with_detail(format!("more than {} bytes held", self.max)));
        }
        Ok(())
    }

    fn choice(&mut self, choice: Value, position: usize) -> Result<(), Failure> {
        let Value::Object(choice) = choice else { return Ok(()) };
        let index = choice.get("index").and_then(Value::as_u64).unwrap_or(position as u64);
        if index >= MAX_INDEX {
            return Err(Failure::bad_gateway(
                "invalid_stream",
                "The provider's stream numbers a choice past any limit.",
            ));
        }
        let whole = self.choices.entry(index).or_default();
        let has_delta = choice.get("delta").is_some_and(Value::is_object);
        for (name, value) in choice {
            if value.is_null() {
                continue;
            }
            match (name.as_str(), value) {
                ("index", _) => {}
                ("message" | "text", _) if has_delta => {}
                ("delta" | "message", Value::Object(delta)) => {
                    let message = whole.entry("message").or_insert_with(|| json!({}));
                    if let Value::Object(message) = message {
                        self.held += merge(message, delta)?;
                    }
                }
                ("logprobs", Value::Object(logprobs)) => {
                    let all = whole.entry("logprobs").or_insert_with(|| json!({}));
                    if let Value::Object(all) = all {
                        self.held += merge(all, logprobs)?;
                    }
                }
                // Groq and others send "" until they know.
                ("finish_reason", Value::String(reason))
                    if reason.is_empty() && whole.contains_key("finish_reason") => {}
                (_, value) => {
                    self.held += put(whole, name, value, &mut self.freed);
                }
            }
        }
        Ok(())
    }

    /// The whole reply, with its choices in the order of their numbers.
    pub fn finish(self) -> Bytes {
        let mut reply = Map::new();
        let mut top = self.top;
        for name in ["id", "object", "created", "model"] {
            match top.remove(name) {
                Some(value) => reply.insert(name.to_owned(), value),
                None if name == "object" => reply.insert(name.to_owned(), json!("chat.completion")),
                None => None,
            };
        }
        let choices = self.choices.into_iter().map(|(index, mut parts)| {
            let mut choice = Map::from_iter([("index".to_owned(), json!(index))]);
            let mut message =
                Map::from_iter([("role".to_owned(), json!("assistant")), ("content".to_owned(), Value::Null)]);
            if let Some(Value::Object(told)) = parts.remove("message") {
                message.extend(told);
            }
            choice.insert("message".to_owned(), Value::Object(message));
            choice.insert("finish_reason".to_owned(), parts.remove("finish_reason").unwrap_or(Value::Null));
            choice.extend(parts);
            Value::Object(choice)
        });
        reply.insert("choices".to_owned(), choices.collect());
        if let Some(usage) = top.get("x_groq").and_then(|groq| groq.get("usage")).cloned()
            && !top.contains_key("usage")
        {
            top.insert("usage".to_owned(), usage);
        }
        reply.extend(top);
        Bytes::from(Value::Object(reply).to_string())
    }
}

/// Puts the latest value of a member, and says what it adds.
fn put(object: &mut Map<String, Value>, name: String, value: Value, freed: &mut usize) -> usize {
    let length = name.len();
    let added = weight(&value) + length;
    if let Some(old) = object.insert(name, value) {
        *freed += weight(&old) + length;
    }
    added
}

fn into_list(value: Value) -> Vec<Value> {
    if let Value::Array(list) = value { list } else { Vec::new() }
}

fn is_empty(value: &Value) -> bool {
    value.is_null() || value.as_str() == Some("") || value.as_u64() == Some(0)
}

/// About what a value occupies.
fn weight(value: &Value) -> usize {
    NODE + match value {
        Value::String(text) => text.len(),
        Value::Array(list) => list.iter().map(weight).sum(),
        Value::Object(object) => object.iter().map(|(name, value)| name.len() + weight(value)).sum(),
        _ => 0,
    }
}

/// Merges a delta into what is there and says by how much that grew.
fn merge(whole: &mut Map<String, Value>, delta: Map<String, Value>) -> Result<usize, Failure> {
    let mut grown = 0;
    for (name, value) in delta {
        if matches!(name.as_str(), "padding" | "obfuscation") || (value.is_null() && whole.contains_key(&name)) {
            continue;
        }
        let Some(old) = whole.get_mut(&name).filter(|old| !old.is_null()) else {
            let (value, more) = if name == "tool_calls" { fresh_calls(value)? } else { (value, 0) };
            grown += if more > 0 { more } else { weight(&value) } + name.len();
            whole.insert(name, value);
            continue;
        };
        grown += match (old, value) {
            (Value::Array(old), Value::Array(new)) if name == "tool_calls" => merge_calls(old, new)?,
            (Value::Array(old), Value::Array(new)) => append(old, new)?,
            (Value::Object(old), Value::Object(new)) => merge(old, new)?,
            (Value::String(old), Value::String(new)) if is_text(&name) => {
                old.push_str(&new);
                new.len()
            }
            // Mistral changes between a plain text and a list of parts within one message.
            (old @ Value::String(_), Value::Array(new)) if name == "content" => {
                let before = std::mem::take(old);
                let mut parts = vec![json!({"type": "text", "text": before})];
                let more = append(&mut parts, new)?;
                *old = Value::Array(parts);
                more + 4 * NODE
            }
            (Value::Array(old), new @ Value::String(_)) if name == "content" => {
                append(old, vec![json!({"type": "text", "text": new})])?
            }
            (old, new) => {
                let (before, after) = (weight(old), weight(&new));
                *old = new;
                after.saturating_sub(before)
            }
        };
    }
    Ok(grown)
}

/// Members whose pieces are joined; of all others (role, id, type, name) the latest counts.
fn is_text(name: &str) -> bool {
    matches!(
        name,
        "content"
            | "reasoning_content"
            | "reasoning"
            | "refusal"
            | "arguments"
            | "input"
            | "text"
            | "summary"
            | "thinking"
            | "transcript"
            | "data"
            | "signature"
    )
}

fn fresh_calls(value: Value) -> Result<(Value, usize), Failure> {
    let Value::Array(new) = value else { return Ok((value, 0)) };
    let mut calls = Vec::new();
    let grown = merge_calls(&mut calls, new)?;
    Ok((Value::Array(calls), grown))
}

/// Tool calls are told apart by `index`; without one (Mistral) by `id`, and without that each is new.
fn merge_calls(calls: &mut Vec<Value>, new: Vec<Value>) -> Result<usize, Failure> {
    let mut grown = 0;
    for call in new {
        let Value::Object(mut call) = call else { continue };
        let id = call.get("id").filter(|id| id.as_str().is_some_and(|id| !id.is_empty())).cloned();
        let number = call.get("index").and_then(Value::as_u64);
        let found = calls.iter_mut().find(|known| match number {
            Some(_) => known.get("index").and_then(Value::as_u64) == number,
            None => id.is_some() && known.get("id") == id.as_ref(),
        });
        if let Some(Value::Object(known)) = found {
            // An empty id or name in a later fragment says nothing new.
            call.retain(|name, value| !(matches!(name.as_str(), "id" | "type") && is_empty(value)));
            if let (Some(Value::Object(function)), true) = (call.get_mut("function"), known.contains_key("function")) {
                function.retain(|name, value| !(name == "name" && is_empty(value)));
            }
            grown += merge(known, call)?;
            continue;
        }
        if calls.len() as u64 >= MAX_INDEX {
            return Err(Failure::bad_gateway("invalid_stream", "The provider's stream has too many tool calls."));
        }
        let call = Value::Object(call);
        grown += weight(&call);
        calls.push(call);
    }
    Ok(grown)
}

/// Lists grow. A part that continues the last one (same `index`, or a text behind a text) is joined to it.
fn append(list: &mut Vec<Value>, new: Vec<Value>) -> Result<usize, Failure> {
    let mut grown = 0;
    for item in new {
        match (list.last_mut(), item) {
            (Some(Value::Object(last)), Value::Object(item)) if continues(last, &item) => {
                grown += merge(last, item)?;
            }
            (_, item) => {
                grown += weight(&item);
                list.push(item);
            }
        }
    }
    Ok(grown)
}

fn continues(last: &Map<String, Value>, item: &Map<String, Value>) -> bool {
    let kind = item.get("type").and_then(Value::as_str);
    if last.get("type") != item.get("type")
        || last.get("id").is_some_and(|id| item.get("id").is_some_and(|new| new != id))
    {
        return false;
    }
    match kind {
        Some("text" | "thinking" | "reasoning.text" | "reasoning.summary") => last.get("index") == item.get("index"),
        _ => false,
    }
}
