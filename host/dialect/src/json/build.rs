//! Writing JSON straight into bytes: for writers of requests and replies, whose documents are known member by member.
//!
//! Whether a comma is due is read off the last byte, so nobody keeps count. It checks nothing: who opens a container closes it.

use serde_json::Value;

use super::quote;

/// Puts the comma that is due before a member or an element.
pub(crate) fn comma(out: &mut Vec<u8>) {
    if !matches!(out.last(), None | Some(b'{' | b'[' | b',' | b':')) {
        out.push(b',');
    }
}

/// Begins a member; its value is to follow.
pub(crate) fn key(out: &mut Vec<u8>, name: &str) {
    comma(out);
    quote(name, out);
    out.push(b':');
}

/// A member that is a string.
pub(crate) fn text(out: &mut Vec<u8>, name: &str, text: &str) {
    key(out, name);
    quote(text, out);
}

/// A member that is a string, where there is one.
pub(crate) fn maybe_text(out: &mut Vec<u8>, name: &str, text: Option<&str>) {
    if let Some(text) = text {
        self::text(out, name, text);
    }
}

/// A member that is JSON already.
pub(crate) fn raw(out: &mut Vec<u8>, name: &str, json: &str) {
    key(out, name);
    out.extend_from_slice(json.as_bytes());
}

pub(crate) fn number(out: &mut Vec<u8>, name: &str, number: impl std::fmt::Display) {
    use std::io::Write as _;
    key(out, name);
    // Writing into memory does not fail.
    let _ = write!(out, "{number}");
}

/// A member of any value.
pub(crate) fn member(out: &mut Vec<u8>, name: &str, value: &Value) {
    key(out, name);
    self::value(out, value);
}

/// A value where it stands.
pub(crate) fn value(out: &mut Vec<u8>, value: &Value) {
    // Writing into memory does not fail, and a tree has string keys alone.
    let _ = serde_json::to_writer(out, value);
}

/// All members of an object, into the one that is open.
pub(crate) fn members<'a>(out: &mut Vec<u8>, members: impl IntoIterator<Item = (&'a String, &'a Value)>) {
    for (name, value) in members {
        member(out, name, value);
    }
}
