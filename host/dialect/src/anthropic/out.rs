//! Writing JSON objects member by member, into the bytes that go out: nothing is built as a tree first.

use serde_json::{Number, Value};

use crate::Dialect;
use crate::hub::Rest;
use crate::json::{self, build};

/// An object that is being written. [`Object::close`] ends it.
pub(super) struct Object<'a> {
    out: &'a mut Vec<u8>,
}

impl<'a> Object<'a> {
    pub(super) fn open(out: &'a mut Vec<u8>) -> Object<'a> {
        out.push(b'{');
        Object { out }
    }

    /// An object that says its type first.
    pub(super) fn typed(out: &'a mut Vec<u8>, kind: &str) -> Object<'a> {
        let mut object = Object::open(out);
        object.text("type", kind);
        object
    }

    /// The place for a member's value, which the caller writes whole.
    pub(super) fn at(&mut self, name: &str) -> &mut Vec<u8> {
        build::key(self.out, name);
        self.out
    }

    pub(super) fn text(&mut self, name: &str, text: &str) {
        json::quote(text, self.at(name));
    }

    pub(super) fn optional(&mut self, name: &str, text: Option<&str>) {
        match text {
            Some(text) => self.text(name, text),
            None => self.raw(name, b"null"),
        }
    }

    pub(super) fn raw(&mut self, name: &str, value: &[u8]) {
        self.at(name).extend_from_slice(value);
    }

    pub(super) fn bool(&mut self, name: &str, value: bool) {
        self.raw(name, if value { b"true" } else { b"false" });
    }

    pub(super) fn number(&mut self, name: &str, number: &Number) {
        build::number(self.out, name, number);
    }

    pub(super) fn count(&mut self, name: &str, count: u64) {
        build::number(self.out, name, count);
    }

    pub(super) fn value(&mut self, name: &str, value: &Value) {
        append(value, self.at(name));
    }

    /// The members that only this dialect knows.
    pub(super) fn rest(&mut self, rest: &Rest) {
        for (name, value) in rest.of(Dialect::Anthropic) {
            self.value(name, value);
        }
    }

    pub(super) fn close(self) {
        self.out.push(b'}');
    }
}

/// The value's JSON.
pub(super) fn append(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::String(text) => json::quote(text, out),
        other => build::value(out, other),
    }
}

/// The list, behind the comma that is due before its next item.
pub(super) fn next(list: &mut Vec<u8>) -> &mut Vec<u8> {
    build::comma(list);
    list
}
