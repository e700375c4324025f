//! The cheap look at an event, for streams that no hook reads.

use std::ops::Range;

use crate::gemini::usage;
use crate::json;
use crate::stream::{Glance, NotJson};
use crate::text::walk;

/// Looks at the data of one event; reads it twice (syntax, then members), allocates nothing.
pub(in crate::gemini) fn glance(data: &[u8]) -> Result<Glance, NotJson> {
    json::validate(data).map_err(NotJson::Syntax)?;
    let start = walk::blank(data, 0);
    if data.get(start) != Some(&b'{') {
        return Err(NotJson::NotObject);
    }
    let mut found = Glance { only_usage: true, ..Glance::default() };
    walk::members(data, start, |key, at| {
        match &*json::name(data, &key) {
            b"candidates" => {
                found.only_usage = false;
                return walk::items(data, at, |candidate| look_at_candidate(data, candidate, &mut found));
            }
            b"usageMetadata" => {
                let value = json::value(data, at)?;
                let end = value.end;
                found.usage = usage::read(data, value);
                return Some(end);
            }
            // A prompt that was blocked ends its stream.
            b"promptFeedback" => {
                found.only_usage = false;
                let blocked = json::field(data, at, "blockReason").is_some_and(|reason| is_word(data, &reason));
                found.finished += u32::from(blocked);
            }
            b"error" => found.error |= data.get(at) != Some(&b'n'),
            _ => {}
        }
        walk::pass(data, at)
    });
    found.only_usage &= found.usage.is_some();
    Ok(found)
}

/// A reason by name or by number; neither null, empty nor the number of none.
fn is_word(data: &[u8], value: &Range<usize>) -> bool {
    !matches!(data.get(value.clone()), Some(b"null" | b"\"\"" | b"0" | b"\"FINISH_REASON_UNSPECIFIED\"") | None)
}

fn look_at_candidate(data: &[u8], at: usize, found: &mut Glance) -> Option<usize> {
    walk::members(data, at, |key, at| match &*json::name(data, &key) {
        b"content" => walk::members(data, at, |key, at| {
            if &*json::name(data, &key) == b"parts" {
                return walk::items(data, at, |part| look_at_part(data, part, &mut found.content));
            }
            walk::pass(data, at)
        }),
        b"finishReason" => {
            let value = json::value(data, at)?;
            found.finished += u32::from(is_word(data, &value));
            Some(value.end)
        }
        _ => walk::pass(data, at),
    })
}

/// Anything but an empty text, a flag and a signature is content.
fn look_at_part(data: &[u8], at: usize, content: &mut bool) -> Option<usize> {
    walk::members(data, at, |key, at| {
        let value = json::value(data, at)?;
        *content |= match &*json::name(data, &key) {
            b"text" => data.get(at) == Some(&b'"') && value.len() > 2,
            b"thought" | b"thoughtSignature" => false,
            _ => matches!(data.get(at), Some(b'{')) && value.len() > 2,
        };
        Some(value.end)
    })
}
