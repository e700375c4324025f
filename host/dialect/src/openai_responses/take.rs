//! Moving members out of JSON objects: an explicit null is as good as absent, and what has another type stays where it was.

use serde_json::{Map, Number, Value};

/// The member, unless it is null.
pub(super) fn any(map: &mut Map<String, Value>, name: &str) -> Option<Value> {
    map.shift_remove(name).filter(|value| !value.is_null())
}

pub(super) fn string(map: &mut Map<String, Value>, name: &str) -> Option<String> {
    matches!(map.get(name), Some(Value::String(_))).then(|| map.shift_remove(name))?.and_then(into_string)
}

/// As [`string`], and absent where it is empty.
pub(super) fn word(map: &mut Map<String, Value>, name: &str) -> Option<String> {
    string(map, name).filter(|word| !word.is_empty())
}

pub(super) fn bool(map: &mut Map<String, Value>, name: &str) -> Option<bool> {
    let value = map.get(name)?.as_bool()?;
    map.shift_remove(name);
    Some(value)
}

pub(super) fn number(map: &mut Map<String, Value>, name: &str) -> Option<Number> {
    match map.get(name) {
        Some(Value::Number(_)) => {}
        _ => return None,
    }
    match map.shift_remove(name) {
        Some(Value::Number(number)) => Some(number),
        _ => None,
    }
}

pub(super) fn object(map: &mut Map<String, Value>, name: &str) -> Option<Map<String, Value>> {
    match map.get(name) {
        Some(Value::Object(_)) => {}
        _ => return None,
    }
    match map.shift_remove(name) {
        Some(Value::Object(object)) => Some(object),
        _ => None,
    }
}

/// A list; a single thing that stands for a list of one is read as one.
pub(super) fn list(map: &mut Map<String, Value>, name: &str) -> Vec<Value> {
    match map.shift_remove(name) {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
    }
}

pub(super) fn into_string(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        _ => None,
    }
}

/// The JSON source of a value; a string is taken to be one.
pub(super) fn source(value: Value) -> String {
    match value {
        Value::String(text) => text,
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// Drops nulls and empty lists and objects, which say nothing.
pub(super) fn drop_empty(map: &mut Map<String, Value>) {
    map.retain(|_, value| match value {
        Value::Null => false,
        Value::Array(list) => !list.is_empty(),
        Value::Object(object) => !object.is_empty(),
        _ => true,
    });
}

/// What to call a block of another dialect: its type, or the member that stands for one (Gemini).
pub(super) fn foreign_name(value: &Value) -> &str {
    let first = || value.as_object().and_then(|map| map.keys().next()).map(String::as_str);
    value.get("type").and_then(Value::as_str).or_else(first).unwrap_or("part")
}
