//! Where the texts are in a canonical request or reply.

use crate::texts::{Mark, SEPARATOR, Texts};
use crate::types::{Kind, Role};
use serde_json::Value;

pub(super) struct Place {
    pub(super) mark: Mark,
    pub(super) pointer: String,
    pub(super) tool: Option<String>,
}

/// The pieces of a request, in the order of the document.
pub(super) fn of_request(document: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    for (key, value) in document.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("messages", Value::Array(messages)) => {
                for (at, message) in messages.iter().enumerate() {
                    let tool = message.get("tool_call_id").and_then(|id| called_tool(messages, id));
                    message_places(message, &format!("/messages/{at}"), 0, tool, &mut places);
                }
            }
            ("tools", Value::Array(tools)) => {
                for (at, tool) in tools.iter().enumerate() {
                    if tool.pointer("/function/description").is_some_and(Value::is_string) {
                        let pointer = format!("/tools/{at}/function/description");
                        places.push(place(Role::System, Kind::Other, 0, pointer, None));
                    }
                }
            }
            ("prompt", Value::String(_)) => {
                places.push(place(Role::User, Kind::Text, 0, "/prompt".to_owned(), None));
            }
            _ => {}
        }
    }
    places
}

/// The pieces of a reply.
pub(super) fn of_reply(document: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    let choices = document.get("choices").and_then(Value::as_array);
    for (at, choice) in choices.into_iter().flatten().enumerate() {
        let index = choice.get("index").and_then(Value::as_u64).and_then(|index| u32::try_from(index).ok());
        let index = index.unwrap_or(u32::try_from(at).unwrap_or(0));
        if let Some(message) = choice.get("message") {
            message_places(message, &format!("/choices/{at}/message"), index, None, &mut places);
        }
    }
    places
}

pub(super) fn texts(document: &Value, places: &[Place]) -> Texts {
    let texts: Vec<String> = places
        .iter()
        .map(|place| text_at(document, place).unwrap_or_default().replace(SEPARATOR, "\u{FFFD}"))
        .collect();
    Texts::new(texts.join("\u{1E}"), places.iter().map(|place| place.mark).collect())
}

pub(super) fn text_at<'a>(document: &'a Value, place: &Place) -> Option<&'a str> {
    document.pointer(&place.pointer).and_then(Value::as_str)
}

fn place(role: Role, kind: Kind, choice: u32, pointer: String, tool: Option<String>) -> Place {
    Place { mark: Mark { role, kind, choice }, pointer, tool }
}

fn message_places(message: &Value, at: &str, choice: u32, tool: Option<String>, places: &mut Vec<Place>) {
    let role = match message.get("role").and_then(Value::as_str) {
        Some("system" | "developer") => Role::System,
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("tool" | "function") => Role::Tool,
        _ => Role::Other,
    };
    let kind = if role == Role::Tool { Kind::ToolResult } else { Kind::Text };
    for (key, value) in message.as_object().into_iter().flatten() {
        match (key.as_str(), value) {
            ("content", Value::String(_)) => {
                places.push(place(role, kind, choice, format!("{at}/content"), tool.clone()))
            }
            ("content", Value::Array(parts)) => {
                for (part_at, part) in parts.iter().enumerate() {
                    if part.get("text").is_some_and(Value::is_string) {
                        let pointer = format!("{at}/content/{part_at}/text");
                        places.push(place(role, kind, choice, pointer, tool.clone()));
                    }
                }
            }
            ("refusal", Value::String(_)) => {
                places.push(place(role, Kind::Refusal, choice, format!("{at}/refusal"), None));
            }
            ("reasoning_content" | "reasoning", Value::String(_)) => {
                places.push(place(role, Kind::Reasoning, choice, format!("{at}/{key}"), None));
            }
            ("tool_calls", Value::Array(calls)) => {
                for (call_at, call) in calls.iter().enumerate() {
                    if call.pointer("/function/arguments").is_some_and(Value::is_string) {
                        let pointer = format!("{at}/tool_calls/{call_at}/function/arguments");
                        let name = call.pointer("/function/name").and_then(Value::as_str).map(str::to_owned);
                        places.push(place(role, Kind::ToolArguments, choice, pointer, name));
                    }
                }
            }
            _ => {}
        }
    }
}

/// The name of the tool whose call has this id.
fn called_tool(messages: &[Value], id: &Value) -> Option<String> {
    let calls = messages.iter().filter_map(|message| message.get("tool_calls")?.as_array()).flatten();
    let call = calls.into_iter().find(|call| call.get("id") == Some(id))?;
    call.pointer("/function/name").and_then(Value::as_str).map(str::to_owned)
}

/// Replaces or adds a value.
pub(super) fn set(document: &mut Value, pointer: &str, value: Value) -> Result<(), String> {
    if let Some(slot) = document.pointer_mut(pointer) {
        *slot = value;
        return Ok(());
    }
    let (parent, key) = split(pointer)?;
    match document.pointer_mut(parent) {
        Some(Value::Object(fields)) => {
            fields.insert(key, value);
            Ok(())
        }
        _ => Err(format!("nothing at {pointer}")),
    }
}

/// Puts a value into an array before that index; `-` appends.
pub(super) fn insert(document: &mut Value, pointer: &str, value: Value) -> Result<(), String> {
    let (parent, key) = split(pointer)?;
    let Some(Value::Array(items)) = document.pointer_mut(parent) else {
        return Err(format!("no array at {parent}"));
    };
    let at = if key == "-" { Some(items.len()) } else { key.parse().ok() };
    match at {
        Some(at) if at <= items.len() => {
            items.insert(at, value);
            Ok(())
        }
        _ => Err(format!("no place {pointer} in an array of {}", items.len())),
    }
}

pub(super) fn remove(document: &mut Value, pointer: &str) -> Result<(), String> {
    let (parent, key) = split(pointer)?;
    let gone = match document.pointer_mut(parent) {
        Some(Value::Object(fields)) => fields.shift_remove(&key).is_some(),
        Some(Value::Array(items)) => match key.parse::<usize>() {
            Ok(at) if at < items.len() => {
                items.remove(at);
                true
            }
            _ => false,
        },
        _ => false,
    };
    if gone { Ok(()) } else { Err(format!("nothing at {pointer}")) }
}

fn split(pointer: &str) -> Result<(&str, String), String> {
    let (parent, key) =
        pointer.rsplit_once('/').ok_or_else(|| format!("{pointer:?} is not a place in the document"))?;
    Ok((parent, key.replace("~1", "/").replace("~0", "~")))
}
