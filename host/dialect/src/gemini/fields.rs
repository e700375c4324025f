//! Members of Gemini's objects, taken by their camelCase names in either spelling: the API reads `maxOutputTokens` and `max_output_tokens`.

use serde_json::{Map, Number, Value};

use crate::Dialect;
use crate::hub::Rest;

/// An object whose members are taken out one by one; what is left is what nobody here knows. A list, since objects here are small and each is
/// asked for many names.
pub(super) struct Fields(Vec<(String, Value)>);

impl Fields {
    pub(super) fn new(members: Map<String, Value>) -> Fields {
        Fields(members.into_iter().filter(|(_, value)| !value.is_null()).collect())
    }

    /// The members of an object; none of anything else.
    pub(super) fn of(value: Value) -> Fields {
        match value {
            Value::Object(members) => Fields::new(members),
            _ => Fields(Vec::new()),
        }
    }

    /// The member of that name, unless it is null.
    pub(super) fn take(&mut self, camel: &str) -> Option<Value> {
        let at = self.0.iter().position(|(key, _)| is(key, camel))?;
        Some(self.0.remove(at).1)
    }

    pub(super) fn get(&self, camel: &str) -> Option<&Value> {
        self.0.iter().find(|(key, _)| is(key, camel)).map(|(_, value)| value)
    }

    pub(super) fn has(&self, camel: &str) -> bool {
        self.get(camel).is_some()
    }

    /// Whether any member has one of these names.
    pub(super) fn any(&self, names: &[&str]) -> bool {
        self.0.iter().any(|(key, _)| names.iter().any(|name| is(key, name)))
    }

    /// A string; one of another type stays where it is.
    pub(super) fn text(&mut self, camel: &str) -> Option<String> {
        match self.take(camel)? {
            Value::String(text) => Some(text),
            other => self.put_back(camel, other),
        }
    }

    /// A number, or a string that holds one, as the API reads its 64-bit numbers.
    pub(super) fn number(&mut self, camel: &str) -> Option<Number> {
        match self.take(camel)? {
            Value::Number(number) => Some(number),
            Value::String(text) => match text.trim().parse() {
                Ok(number) => Some(number),
                Err(_) => self.put_back(camel, Value::String(text)),
            },
            other => self.put_back(camel, other),
        }
    }

    pub(super) fn flag(&mut self, camel: &str) -> Option<bool> {
        match self.take(camel)? {
            Value::Bool(flag) => Some(flag),
            other => self.put_back(camel, other),
        }
    }

    /// An object.
    pub(super) fn fields(&mut self, camel: &str) -> Option<Fields> {
        match self.take(camel)? {
            Value::Object(members) => Some(Fields::new(members)),
            other => self.put_back(camel, other),
        }
    }

    /// A list; a single value counts as a list of one.
    pub(super) fn list(&mut self, camel: &str) -> Vec<Value> {
        match self.take(camel) {
            Some(Value::Array(list)) => list,
            Some(single) => vec![single],
            None => Vec::new(),
        }
    }

    /// Puts a member back that was taken.
    pub(super) fn restore(&mut self, camel: &str, value: Option<Value>) {
        if let Some(value) = value {
            self.0.push((camel.to_owned(), value));
        }
    }

    fn put_back<T>(&mut self, camel: &str, value: Value) -> Option<T> {
        self.0.push((camel.to_owned(), value));
        None
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was not taken.
    pub(super) fn left(self) -> Map<String, Value> {
        self.0.into_iter().collect()
    }

    pub(super) fn rest(self) -> Rest {
        if self.0.is_empty() {
            return Rest::default();
        }
        Rest::new(Dialect::Gemini, self.left())
    }
}

/// Whether `key` is `camel` or its snake_case form, with or without a leading underscore (`_responseJsonSchema`).
pub(super) fn is(key: &str, camel: &str) -> bool {
    if key.len() <= camel.len() {
        return key == camel;
    }
    let mut rest = key.strip_prefix('_').unwrap_or(key).bytes();
    camel.bytes().all(|want| match rest.next() {
        Some(b'_') => want.is_ascii_uppercase() && rest.next() == Some(want.to_ascii_lowercase()),
        Some(byte) => byte == want,
        None => false,
    }) && rest.next().is_none()
}
