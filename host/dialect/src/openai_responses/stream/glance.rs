//! The cheap look at an event, for streams that no hook reads.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::Value;

use super::super::{count, error};
use crate::failure::Failure;
use crate::json;
use crate::stream::{Glance, NotJson};
use crate::text::walk;
use crate::usage::Usage;

/// Looks at the data of one event; reads it twice (syntax, then members).
pub fn glance(event: Option<&[u8]>, data: &[u8]) -> Result<Glance, NotJson> {
    json::validate(data).map_err(NotJson::Syntax)?;
    let start = walk::blank(data, 0);
    if data.get(start) != Some(&b'{') {
        return Err(NotJson::NotObject);
    }
    let seen = Seen::of(data, start);
    let kind = kind(event, data, seen.kind.as_ref());
    let mut found = Glance::default();
    match &*kind {
        b"response.completed" | b"response.incomplete" | b"response.done" => {
            found.finished = 1;
            found.done = true;
            found.usage = seen.response.as_ref().and_then(|response| usage(data, response));
            let output = seen.response.as_ref().and_then(|response| json::field(data, response.start, "output"));
            found.content = output
                .is_some_and(|output| json::array(data, output.start).is_some_and(|mut list| list.next().is_some()));
        }
        b"response.failed" => {
            found.error = true;
            found.usage = seen.response.as_ref().and_then(|response| usage(data, response));
        }
        b"error" => found.error = true,
        b"response.output_item.added" | b"response.output_item.done" => {
            found.content = seen.item.is_some_and(|item| is_made(data, &item));
        }
        b"" => found.error = seen.error,
        kind if kind.ends_with(b".delta") => found.content = seen.delta,
        kind => found.content = kind.ends_with(b".partial_image"),
    }
    Ok(found)
}

/// The failure that an event tells in which [`Glance::error`] is set.
pub fn failure(event: Option<&[u8]>, data: &[u8]) -> Option<Failure> {
    let seen = Seen::of(data, walk::blank(data, 0));
    match &*kind(event, data, seen.kind.as_ref()) {
        b"response.failed" => {
            let value: Value = serde_json::from_slice(data.get(seen.response?)?).ok()?;
            Some(error::from_response(&value))
        }
        b"error" => Some(error::from_event(data)),
        b"" if seen.error => Some(error::from_event(data)),
        _ => None,
    }
}

/// The members that matter.
#[derive(Default)]
struct Seen {
    kind: Option<Range<usize>>,
    response: Option<Range<usize>>,
    item: Option<Range<usize>>,
    /// There is a non-empty `delta`.
    delta: bool,
    /// There is an `error` that is not null.
    error: bool,
}

impl Seen {
    fn of(data: &[u8], start: usize) -> Seen {
        let mut seen = Seen::default();
        walk::members(data, start, |key, at| {
            let value = json::value(data, at)?;
            let end = value.end;
            match data.get(key.start + 1..key.end.saturating_sub(1)).unwrap_or_default() {
                b"type" => seen.kind = Some(value),
                b"response" => seen.response = Some(value),
                b"item" => seen.item = Some(value),
                b"delta" => seen.delta = value.len() > 2,
                b"error" => seen.error = data.get(value) != Some(b"null"),
                _ => {}
            }
            Some(end)
        });
        seen
    }
}

/// What the event calls itself; the name of the event stands in.
fn kind<'a>(event: Option<&'a [u8]>, data: &'a [u8], literal: Option<&Range<usize>>) -> Cow<'a, [u8]> {
    let told = literal.and_then(|literal| json::string(data, literal.clone()));
    match told {
        Some(Cow::Borrowed(text)) => Cow::Borrowed(text.as_bytes()),
        Some(Cow::Owned(text)) => Cow::Owned(text.into_bytes()),
        None => Cow::Borrowed(event.unwrap_or_default()),
    }
}

fn usage(data: &[u8], response: &Range<usize>) -> Option<Usage> {
    let range = json::field(data, response.start, "usage")?;
    count::read(&serde_json::from_slice(data.get(range)?).ok()?)
}

/// Whether an item says by itself that the model made something: a call, or an item that is whole.
fn is_made(data: &[u8], item: &Range<usize>) -> bool {
    let kind = json::field(data, item.start, "type").and_then(|literal| json::string(data, literal));
    match kind.as_deref() {
        Some("function_call" | "custom_tool_call") => true,
        Some("message") => {
            let content = json::field(data, item.start, "content");
            content
                .is_some_and(|content| json::array(data, content.start).is_some_and(|mut list| list.next().is_some()))
        }
        _ => false,
    }
}
