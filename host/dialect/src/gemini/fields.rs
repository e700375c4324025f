//! Members of Gemini's objects, taken by their camelCase names in either spelling: the API reads `maxOutputTokens` and `max_output_tokens`.

use serde_json::{Map, Number, Value};

use crate::Dialect;
use crate::hub::Rest;

/// An object whose members are taken out one by one; what is left is what nobody here knows.
pub(super) struct Fields(Map<String, Value>);

impl Fields {
    pub(super) fn new(members: Map<String, Value>) -> Fields {
        Fields(members)
    }

    /// The members of an object; none of anything else.
    pub(super) fn of(value: Value) -> Fields {
        match value {
            Value::Object(members) => Fields(members),
            _ => Fields(Map::new()),
        }
    }

    /// The member of that name, unless it is null.
    pub(super) fn take(&mut self, camel: &str) -> Option<Value> {
        let found = match self.0.shift_remove(camel) {
            Some(value) => Some(value),
            None => {
                let other = self.0.keys().find(|key| key.len() > camel.len() && is(key, camel)).cloned()?;
                self.0.shift_remove(&other)
            }
        };
        found.filter(|value| !value.is_null())
    }

    pub(super) fn get(&self, camel: &str) -> Option<&Value> {
        self.0.iter().find(|(key, value)| is(key, camel) && !value.is_null()).map(|(_, value)| value)
    }

    pub(super) fn has(&self, camel: &str) -> bool {
        self.get(camel).is_some()
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
            Value::Object(members) => Some(Fields(members)),
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
            self.0.insert(camel.to_owned(), value);
        }
    }

    fn put_back<T>(&mut self, camel: &str, value: Value) -> Option<T> {
        self.0.insert(camel.to_owned(), value);
        None
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What was not taken; nulls are absent.
    pub(super) fn left(self) -> Map<String, Value> {
        let mut left = self.0;
        left.retain(|_, value| !value.is_null());
        left
    }

    pub(super) fn rest(self) -> Rest {
        Rest::new(Dialect::Gemini, self.left())
    }
}

/// Whether `key` is `camel` or its snake_case form, with or without a leading underscore (`_responseJsonSchema`).
pub(super) fn is(key: &str, camel: &str) -> bool {
    let mut rest = key.strip_prefix('_').unwrap_or(key).bytes();
    camel.bytes().all(|want| match rest.next() {
        Some(b'_') => want.is_ascii_uppercase() && rest.next() == Some(want.to_ascii_lowercase()),
        Some(byte) => byte == want,
        None => false,
    }) && rest.next().is_none()
}
