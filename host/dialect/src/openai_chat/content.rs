//! Messages of requests and of replies as parts of the hub.
//!
//! Reads what the providers of this format send, and what clients send back of it: thoughts under four names, contents as a text, a list or
//! an object, calls in the old and the new form. It decides nothing by role.

use std::collections::{HashMap, HashSet, VecDeque};

use serde_json::{Map, Value};

use super::{OWN, media, take, thoughts};
use crate::Dialect;
use crate::hub::{Call, Opaque, Part, Rest, State, Text};

/// The calls of a document: ids are made up where none came, and results find the names.
#[derive(Default)]
pub(super) struct Calls {
    made: usize,
    /// By id: the name, and whether its input is free text.
    known: HashMap<String, (String, bool)>,
    /// Calls without a result yet, oldest first: id and name. Results that name no call follow in order.
    open: VecDeque<(String, String)>,
    answered: HashSet<String>,
}

impl Calls {
    fn id(&mut self, given: Option<String>) -> String {
        let id = given.filter(|id| !id.is_empty()).unwrap_or_else(|| format!("call_{}", self.made));
        self.made += 1;
        id
    }

    pub(super) fn named(&self, id: &str) -> Option<(&str, bool)> {
        self.known.get(id).map(|(name, custom)| (name.as_str(), *custom))
    }

    /// The call that a result answers: the one it names, else the oldest (of that name) whose result has not come.
    pub(super) fn answered(&mut self, id: Option<String>, name: Option<&str>) -> Option<String> {
        if let Some(id) = id {
            self.answered.insert(id.clone());
            return Some(id);
        }
        while self.open.pop_front_if(|(id, _)| self.answered.remove(id)).is_some() {}
        let at = self.open.iter().position(|(_, open)| name.is_none_or(|name| open == name))?;
        self.open.remove(at).map(|(id, _)| id)
    }
}

/// What a message says. Parts stand in the order thoughts, content, refusal, calls.
#[derive(Default)]
pub(super) struct Message {
    pub role: Option<String>,
    pub name: Option<String>,
    pub tool_call_id: Option<String>,
    pub parts: Vec<Part>,
    pub rest: Map<String, Value>,
}

pub(super) fn message(members: Map<String, Value>, calls: &mut Calls) -> Message {
    let mut said = Message::default();
    let mut plain = None;
    let (mut details, mut body, mut called, mut annotations) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut refusal = None;
    let mut signature = None;
    for (name, value) in members {
        match (name.as_str(), value) {
            (_, Value::Null) => {}
            ("role", Value::String(text)) => said.role = Some(text),
            ("name", Value::String(text)) => said.name = Some(text),
            ("tool_call_id", Value::String(text)) => said.tool_call_id = Some(text),
            ("content", value) => content(value, &mut body),
            ("refusal", Value::String(text)) => refusal = Some(text).filter(|text| !text.is_empty()),
            // The same thoughts often come under both names.
            ("reasoning_content" | "reasoning", Value::String(text)) => {
                plain = plain.filter(|known: &String| !known.is_empty()).or(Some(text));
            }
            ("reasoning_details", Value::Array(list)) => details = list,
            ("annotations", Value::Array(list)) => annotations = list,
            ("images", Value::Array(list)) => list.into_iter().for_each(|image| part(image, &mut body)),
            ("audio", Value::Object(audio)) if audio.contains_key("data") => media::spoken(audio, &mut body),
            ("tool_calls", value) => {
                called.extend(take::list(value).into_iter().filter_map(|value| call(value, calls)));
            }
            ("function_call", Value::Object(function)) => called.extend(old_call(function, calls)),
            ("extra_content", Value::Object(mut extra)) => {
                signature = google_signature(&mut extra);
                if !extra.is_empty() {
                    said.rest.insert(name, Value::Object(extra));
                }
            }
            // Random bytes against guessing by length.
            ("padding", Value::String(_)) => {}
            (_, value) => {
                said.rest.insert(name, value);
            }
        }
    }
    said.parts = thoughts::read(plain.unwrap_or_default(), details);
    said.parts.append(&mut body);
    said.parts.extend(refusal.map(Part::Refusal));
    on_last_text(&mut said, annotations, signature);
    said.parts.append(&mut called);
    said
}

/// Citations and a signature beside a message belong to its text; without one they stay beside.
fn on_last_text(said: &mut Message, annotations: Vec<Value>, signature: Option<Opaque>) {
    let last = said.parts.iter_mut().rev().find_map(|part| if let Part::Text(text) = part { Some(text) } else { None });
    match last {
        Some(text) => {
            text.citations = (!annotations.is_empty()).then_some((OWN, annotations));
            text.opaque = signature;
        }
        None if !annotations.is_empty() => {
            said.rest.insert("annotations".to_owned(), Value::Array(annotations));
        }
        None => {}
    }
}

/// A content: a text, parts, one part, or (Cloudflare, for a JSON schema) any object. An empty text is none.
pub(super) fn content(value: Value, out: &mut Vec<Part>) {
    match value {
        Value::Null => {}
        Value::String(text) => push_text(text, out),
        Value::Array(list) => list.into_iter().for_each(|item| part(item, out)),
        Value::Object(object) if object.get("type").is_some_and(Value::is_string) => part(Value::Object(object), out),
        other => push_text(other.to_string(), out),
    }
}

fn push_text(text: String, out: &mut Vec<Part>) {
    if !text.is_empty() {
        out.push(Part::Text(Text::of(text)));
    }
}

/// One part of a content. What nobody has described is kept whole.
pub(super) fn part(value: Value, out: &mut Vec<Part>) {
    let mut object = match value {
        Value::Object(object) => object,
        Value::String(text) => return push_text(text, out),
        Value::Null => return,
        other => return out.push(Part::Foreign(OWN, other)),
    };
    let kind = object.get("type").and_then(Value::as_str).unwrap_or_default();
    match kind {
        "text" | "input_text" | "output_text" | "" if object.get("text").is_some_and(Value::is_string) => {
            object.shift_remove("type");
            let text = take::text(&mut object, "text").unwrap_or_default();
            let rest = Rest::new(OWN, take::left(object));
            if !text.is_empty() {
                out.push(Part::Text(Text { text, rest, ..Text::default() }));
            }
        }
        "thinking" | "reasoning" => thoughts::part(object, out),
        "refusal" if object.get("refusal").is_some_and(Value::is_string) => {
            let text = take::text(&mut object, "refusal").unwrap_or_default();
            if !text.is_empty() {
                out.push(Part::Refusal(text));
            }
        }
        _ => match media::part(object) {
            Ok(media) => out.push(Part::Media(media)),
            Err(object) => out.push(Part::Foreign(OWN, Value::Object(object))),
        },
    }
}

/// One of `tool_calls`. An object that names no tool is none.
fn call(value: Value, calls: &mut Calls) -> Option<Part> {
    let Value::Object(mut members) = value else { return None };
    members.shift_remove("index");
    members.shift_remove("type");
    let custom = members.get("custom").is_some_and(Value::is_object) && !members.contains_key("function");
    let inner = take::object(&mut members, if custom { "custom" } else { "function" })?;
    let id = take::text(&mut members, "id");
    let opaque = take::object(&mut members, "extra_content").and_then(|mut extra| {
        let signature = google_signature(&mut extra);
        if !extra.is_empty() {
            members.insert("extra_content".to_owned(), Value::Object(extra));
        }
        signature
    });
    let mut call = function(inner, custom, id, calls)?;
    call.opaque = opaque;
    let mut rest = take::left(members);
    // Some providers write the other form's object beside, empty.
    rest.retain(|name, _| !matches!(name.as_str(), "custom" | "function"));
    call.rest = Rest::new(OWN, rest);
    Some(Part::Call(call))
}

fn old_call(function: Map<String, Value>, calls: &mut Calls) -> Option<Part> {
    Some(Part::Call(self::function(function, false, None, calls)?))
}

fn function(mut function: Map<String, Value>, custom: bool, id: Option<String>, calls: &mut Calls) -> Option<Call> {
    let name = take::text(&mut function, "name").filter(|name| !name.is_empty() || id.is_some())?;
    let arguments = arguments(function.shift_remove(if custom { "input" } else { "arguments" }));
    let id = calls.id(id);
    calls.open.push_back((id.clone(), name.clone()));
    calls.known.insert(id.clone(), (name.clone(), custom));
    Some(Call { id, name, arguments, custom, ..Call::default() })
}

/// As text; some write the object itself, or null for a call without any.
pub(super) fn arguments(value: Option<Value>) -> String {
    match value {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text,
        Some(other) => other.to_string(),
    }
}

/// Gemini's own place for it in this format: `extra_content.google.thought_signature`.
pub(super) fn google_signature(extra: &mut Map<String, Value>) -> Option<Opaque> {
    let Some(Value::Object(google)) = extra.get_mut("google") else { return None };
    let signature = take::text(google, "thought_signature").filter(|signature| !signature.is_empty());
    if google.is_empty() {
        extra.shift_remove("google");
    }
    Some(Opaque::read(Dialect::Gemini, &signature?, |text| State::Signature(text.to_owned())))
}
