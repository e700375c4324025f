//! A whole response object as it lies: whether it is one, and its texts with every place that repeats them.

use std::ops::Range;

use serde_json::Value;

use super::parts::{self, Item};
use super::{count, error};
use crate::failure::Failure;
use crate::json;
use crate::text::{Copy, Kind, Mend, Role, TextMap, walk};
use crate::told;
use crate::usage::Usage;
use crate::whole;

/// Whether a provider's 200 is a response object: one with a list of `output` items that did not fail.
///
/// # Errors
/// Who failed and how; an `error` keeps its message and code, and has the status that its code names.
#[allow(clippy::result_large_err, reason = "the one failure type is large, and built only for a call that failed")]
pub fn check(bytes: &[u8]) -> Result<Option<Usage>, Failure> {
    let (mut output, mut suspect, mut failed, mut counted) = (false, false, false, None);
    whole::members(bytes, |member| {
        if member.is(bytes, "output") {
            output = bytes.get(member.value.start) == Some(&b'[');
        } else if member.is(bytes, "error") {
            suspect |= bytes.get(member.value.start) != Some(&b'n');
        } else if member.is(bytes, "status") {
            failed = bytes.get(member.value) == Some(b"\"failed\"");
        } else if member.is(bytes, "object") {
            suspect |= bytes.get(member.value) == Some(b"\"error\"");
        } else if member.is(bytes, "usage") {
            counted = Some(member.value);
        }
    })?;
    if failed {
        return Err(error::from_response(&serde_json::from_slice::<Value>(bytes).unwrap_or_default()));
    }
    if suspect && let Some(failure) = told::inside_reply(bytes) {
        return Err(error::settle(failure));
    }
    if output {
        return Ok(counted.and_then(|range| count::read(&serde_json::from_slice(bytes.get(range)?).ok()?)));
    }
    Err(whole::no_reply(bytes, "The provider's reply has no output."))
}

/// Members that are facts about the response, or repeat the request: whoever judged that judged it there.
fn is_fact(key: &str) -> bool {
    matches!(
        key,
        "id" | "object"
            | "created_at"
            | "completed_at"
            | "status"
            | "background"
            | "error"
            | "incomplete_details"
            | "instructions"
            | "max_output_tokens"
            | "max_tool_calls"
            | "model"
            | "parallel_tool_calls"
            | "previous_response_id"
            | "conversation"
            | "prompt"
            | "prompt_cache_key"
            | "prompt_cache_retention"
            | "prompt_cache_options"
            | "reasoning"
            | "safety_identifier"
            | "service_tier"
            | "store"
            | "temperature"
            | "text"
            | "tool_choice"
            | "tools"
            | "top_logprobs"
            | "top_p"
            | "truncation"
            | "usage"
            | "user"
            | "metadata"
            | "frequency_penalty"
            | "presence_penalty"
            | "content_filters"
            | "moderation"
            | "tool_usage"
            | "billing"
            | "copilot_usage"
    )
}

/// The pieces and copies of the reply, pieces in the order of the bytes. Anything that is not an object has none.
pub fn text_map(bytes: &[u8]) -> TextMap {
    let mut map = TextMap::default();
    let mut spoken = Vec::new();
    walk::members(bytes, walk::blank(bytes, 0), |literal, at| {
        let value = json::value(bytes, at)?;
        let end = value.end;
        let member = json::Member { key: literal, value };
        match &*parts::key(bytes, &member) {
            "output" => {
                if bytes.get(at) == Some(&b'[') {
                    json::array(bytes, at)?.for_each(|item| self::item(bytes, item, &mut map));
                } else {
                    parts::loose(bytes, member.value, Role::Assistant, Kind::Other, &mut map);
                }
            }
            "output_text" => spoken.push(member.value),
            // vLLM's copies of what went in and came out.
            "input_messages" | "output_messages" => {
                map.copies.push(Copy { choice: 0, kind: Kind::Other, range: member.value, how: Mend::Null });
            }
            name if is_fact(name) => {}
            _ => parts::loose(bytes, member.value, Role::Other, Kind::Other, &mut map),
        }
        Some(end)
    });
    for literal in spoken {
        repeat(bytes, literal, &mut map);
    }
    map
}

fn item(bytes: &[u8], item: Range<usize>, map: &mut TextMap) {
    match parts::item_of(bytes, item.start) {
        Item::Message => {
            for member in json::object(bytes, item.start).into_iter().flatten() {
                match &*parts::key(bytes, &member) {
                    "content" => parts::content(bytes, member.value, Role::Assistant, Kind::Text, map),
                    name if parts::is_mute(bytes, name, member.value.start) => {}
                    _ => parts::loose(bytes, member.value, Role::Assistant, Kind::Other, map),
                }
            }
        }
        Item::Call => {
            parts::call(bytes, item, map);
        }
        Item::Output => parts::output(bytes, item, None, map),
        Item::Reasoning => parts::other(bytes, item, Role::Assistant, Kind::Reasoning, map),
        Item::Tools | Item::Other => parts::other(bytes, item, Role::Assistant, Kind::Other, map),
    }
}

/// The texts of all messages once more: some servers send them joined. What is not known from a piece is a piece of its own.
fn repeat(bytes: &[u8], literal: Range<usize>, map: &mut TextMap) {
    let Some(text) = json::string(bytes, literal.clone()).filter(|text| !text.is_empty()) else { return };
    let said = |piece: &crate::text::Piece| json::string(bytes, piece.literal.clone()).unwrap_or_default();
    let texts = || map.pieces.iter().enumerate().filter(|(_, piece)| piece.kind == Kind::Text);
    let whole = texts().find(|(_, piece)| said(piece) == text).map(|(index, _)| index);
    let joined = || texts().map(|(_, piece)| said(piece)).collect::<String>() == text;
    let how = match whole {
        Some(index) => Mend::Repeat(index),
        None if joined() => Mend::Empty,
        None => {
            map.push(bytes, Role::Assistant, Kind::Text, 0, literal);
            return;
        }
    };
    map.copies.push(Copy { choice: 0, kind: Kind::Text, range: literal, how });
}

#[cfg(test)]
#[path = "reply_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
