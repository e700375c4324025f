//! The cheap look at an event, for streams that pass through.

use std::ops::Range;

use crate::anthropic::usage::Counts;
use crate::json;
use crate::stream::{Glance, NotJson};
use crate::text::walk;
use crate::usage::Usage;

/// Looks at the data of one event; reads it twice (syntax, then members), allocates nothing.
///
/// # Errors
/// [`NotJson`] for data that is not a JSON object.
pub fn glance(event: Option<&[u8]>, data: &[u8]) -> Result<Glance, NotJson> {
    json::validate(data).map_err(NotJson::Syntax)?;
    let start = walk::blank(data, 0);
    if data.get(start) != Some(&b'{') {
        return Err(NotJson::NotObject);
    }
    let mut found = Glance { error: event == Some(b"error"), ..Glance::default() };
    for member in json::object(data, start).into_iter().flatten() {
        let value = member.value;
        match &*json::name(data, &member.key) {
            b"type" => match data.get(value).unwrap_or_default() {
                b"\"message_stop\"" => found.done = true,
                b"\"error\"" => found.error = true,
                _ => {}
            },
            b"usage" => found.usage = usage(data, &value),
            b"message" => look_at_message(data, value.start, &mut found),
            b"delta" => look_at_delta(data, value.start, &mut found),
            b"content_block" => found.content |= brings(data, value.start),
            b"error" => found.error |= data.get(value.start) == Some(&b'{'),
            _ => {}
        }
    }
    Ok(found)
}

fn usage(data: &[u8], value: &Range<usize>) -> Option<Usage> {
    Counts::at(data, value).usage()
}

/// The beginning; after a call from the provider's own code it has content, and may be the end as well.
fn look_at_message(data: &[u8], message: usize, found: &mut Glance) {
    for member in json::object(data, message).into_iter().flatten() {
        let value = member.value;
        match &*json::name(data, &member.key) {
            b"usage" => found.usage = usage(data, &value),
            b"content" => {
                found.content |= json::array(data, value.start).is_some_and(|mut items| items.next().is_some());
            }
            b"stop_reason" => found.finished += u32::from(data.get(value.start) == Some(&b'"')),
            _ => {}
        }
    }
}

fn look_at_delta(data: &[u8], delta: usize, found: &mut Glance) {
    for member in json::object(data, delta).into_iter().flatten() {
        let text = data.get(member.value.start) == Some(&b'"') && member.value.len() > 2;
        match &*json::name(data, &member.key) {
            b"stop_reason" => found.finished += u32::from(text),
            b"text" | b"thinking" | b"partial_json" | b"signature" | b"content" => found.content |= text,
            b"citation" => found.content = true,
            _ => {}
        }
    }
}

/// Whether a block has content as it begins: all but empty texts and thoughts.
fn brings(data: &[u8], block: usize) -> bool {
    let mut empty = false;
    for member in json::object(data, block).into_iter().flatten() {
        match &*json::name(data, &member.key) {
            b"type" => empty = matches!(data.get(member.value).unwrap_or_default(), b"\"text\"" | b"\"thinking\""),
            b"text" | b"thinking" | b"signature" if member.value.len() > 2 => return true,
            _ => {}
        }
    }
    !empty
}
