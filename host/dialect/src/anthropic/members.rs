//! An object that is read by taking members out of it; what nobody took is kept beside.
//!
//! An explicit null is as good as absent, and a member of another type than asked for stays where it is.

use serde_json::{Map, Number, Value};

use crate::Dialect;
use crate::hub::Rest;

#[derive(Debug, Default)]
pub(super) struct Members(pub(super) Map<String, Value>);

impl Members {
    /// The object, or the value back where it is none.
    pub(super) fn of(value: Value) -> Result<Members, Value> {
        match value {
            Value::Object(members) => Ok(Members(members)),
            other => Err(other),
        }
    }

    pub(super) fn any(&mut self, name: &str) -> Option<Value> {
        self.0.shift_remove(name).filter(|value| !value.is_null())
    }

    pub(super) fn string(&mut self, name: &str) -> Option<String> {
        self.0.get(name)?.as_str()?;
        match self.0.shift_remove(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    pub(super) fn bool(&mut self, name: &str) -> Option<bool> {
        let value = self.0.get(name)?.as_bool()?;
        self.0.shift_remove(name);
        Some(value)
    }

    pub(super) fn number(&mut self, name: &str) -> Option<Number> {
        self.0.get(name)?.as_number()?;
        match self.0.shift_remove(name) {
            Some(Value::Number(number)) => Some(number),
            _ => None,
        }
    }

    pub(super) fn object(&mut self, name: &str) -> Option<Members> {
        self.0.get(name)?.as_object()?;
        self.0.shift_remove(name).and_then(|value| Members::of(value).ok())
    }

    /// A list; a single thing that stands for a list of one is read as one.
    pub(super) fn list(&mut self, name: &str) -> Vec<Value> {
        match self.any(name) {
            None => Vec::new(),
            Some(Value::Array(list)) => list,
            Some(one) => vec![one],
        }
    }

    pub(super) fn str(&self, name: &str) -> Option<&str> {
        self.0.get(name)?.as_str()
    }

    /// What is left.
    pub(super) fn rest(mut self) -> Rest {
        self.0.retain(|_, value| !value.is_null());
        Rest::new(Dialect::Anthropic, self.0)
    }
}
