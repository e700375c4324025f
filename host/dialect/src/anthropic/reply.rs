//! A whole message: whether it is one, and its texts for hooks.
//!
//! The scan errs on the side of showing: a string in a member that nobody has described is a piece of kind other.

use std::ops::Range;

use super::usage::Counts;
use super::{error, texts};
use crate::failure::Failure;
use crate::json;
use crate::text::{Kind, Role, TextMap, walk};
use crate::usage::Usage;
use crate::whole;

/// The pieces of the reply in the order of its bytes; nothing here repeats another. Anything that is not an object has none.
pub fn text_map(bytes: &[u8]) -> TextMap {
    let mut scan = texts::Scan::new(bytes);
    walk::members(bytes, walk::blank(bytes, 0), |key, at| {
        let value = json::value(bytes, at)?;
        let end = value.end;
        match &*json::name(bytes, &key) {
            b"content" => scan.content(value, Role::Assistant, Kind::Text),
            // What stands in a container and in `context_management` are ids, dates and counts.
            b"id" | b"type" | b"role" | b"model" | b"usage" | b"stop_reason" | b"container" | b"context_management" => {
            }
            _ => scan.loose(value, Role::Assistant, Kind::Other),
        }
        Some(end)
    });
    scan.done()
}

/// Whether a provider's 200 is a whole message: one JSON object with a list of `content`; what it counted.
///
/// # Errors
/// Who failed and how: an error inside the 200, a web page, a stream, not JSON, cut.
pub fn check(bytes: &[u8]) -> Result<Option<Usage>, Failure> {
    let mut seen = Seen::default();
    whole::members(bytes, |member| seen.note(bytes, &member))?;
    if seen.suspect
        && let Some(failure) = error::in_reply(bytes)
    {
        return Err(failure);
    }
    if seen.content {
        return Ok(seen.usage.and_then(|range| Counts::at(bytes, &range).usage()));
    }
    Err(whole::no_reply(bytes, "The provider's reply is no message."))
}

#[derive(Default)]
struct Seen {
    content: bool,
    suspect: bool,
    usage: Option<Range<usize>>,
}

impl Seen {
    fn note(&mut self, bytes: &[u8], member: &json::Member) {
        let value = bytes.get(member.value.clone()).unwrap_or_default();
        if member.is(bytes, "content") {
            self.content = value.starts_with(b"[");
        } else if member.is(bytes, "error") {
            self.suspect |= !value.starts_with(b"n");
        } else if member.is(bytes, "usage") {
            self.usage = Some(member.value.clone());
        }
    }
}
