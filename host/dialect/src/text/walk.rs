//! Walking down a document in one pass: each visitor says where the value it was shown ends, having looked into it or not.
//!
//! The iterators of `json` find a value's end before they show it, so every level of nesting would read the long texts inside again.

use std::ops::Range;

use crate::json;

/// Shows every member (key literal, start of its value) of the object at `at`; returns the place behind the object. Where no object begins
/// there, nothing is shown and the value is passed over. `None` where the document is broken or a visitor said so.
pub(crate) fn members(
    bytes: &[u8],
    at: usize,
    mut visit: impl FnMut(Range<usize>, usize) -> Option<usize>,
) -> Option<usize> {
    if bytes.get(at) != Some(&b'{') {
        return pass(bytes, at);
    }
    elements(bytes, at + 1, b'}', |at| {
        let key = json::value(bytes, at)?;
        let colon = blank(bytes, key.end);
        if bytes.get(colon) != Some(&b':') {
            return None;
        }
        visit(key, blank(bytes, colon + 1))
    })
}

/// Shows the start of every element of the array at `at`; otherwise as [`members`].
pub(crate) fn items(bytes: &[u8], at: usize, visit: impl FnMut(usize) -> Option<usize>) -> Option<usize> {
    if bytes.get(at) != Some(&b'[') {
        return pass(bytes, at);
    }
    elements(bytes, at + 1, b']', visit)
}

/// The place behind the value at `at`.
pub(crate) fn pass(bytes: &[u8], at: usize) -> Option<usize> {
    json::value(bytes, at).map(|value| value.end)
}

/// The first place at or after `at` that is not white space.
pub(crate) fn blank(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// Always moves on: a visitor that stays where it is ends the walk.
fn elements(bytes: &[u8], at: usize, close: u8, mut visit: impl FnMut(usize) -> Option<usize>) -> Option<usize> {
    let mut at = blank(bytes, at);
    if bytes.get(at) == Some(&close) {
        return Some(at + 1);
    }
    loop {
        let end = visit(at).filter(|end| *end > at)?;
        at = blank(bytes, end);
        match *bytes.get(at)? {
            b',' => at = blank(bytes, at + 1),
            byte if byte == close => return Some(at + 1),
            _ => return None,
        }
    }
}
