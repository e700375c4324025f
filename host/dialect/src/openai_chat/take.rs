//! Taking members out of a tree: an explicit null counts as absent, and what is of another type than the dialect knows stays where it is.

use serde_json::{Map, Number, Value};

/// The member, unless it is absent or null.
pub(super) fn any(members: &mut Map<String, Value>, name: &str) -> Option<Value> {
    members.shift_remove(name).filter(|value| !value.is_null())
}

pub(super) fn text(members: &mut Map<String, Value>, name: &str) -> Option<String> {
    match members.get_mut(name)? {
        Value::String(text) => {
            let text = std::mem::take(text);
            members.shift_remove(name);
            Some(text)
        }
        _ => None,
    }
}

pub(super) fn object(members: &mut Map<String, Value>, name: &str) -> Option<Map<String, Value>> {
    match members.get_mut(name)? {
        Value::Object(object) => {
            let object = std::mem::take(object);
            members.shift_remove(name);
            Some(object)
        }
        _ => None,
    }
}

/// A list; a single value counts as a list of one.
pub(super) fn list(value: Value) -> Vec<Value> {
    match value {
        Value::Array(list) => list,
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

pub(super) fn number(value: Value) -> Option<Number> {
    if let Value::Number(number) = value { Some(number) } else { None }
}

/// What is left of an object, without its nulls.
pub(super) fn left(mut members: Map<String, Value>) -> Map<String, Value> {
    members.retain(|_, value| !value.is_null());
    members
}
