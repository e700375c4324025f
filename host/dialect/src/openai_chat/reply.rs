//! A whole `chat.completion`: whether it is one, its texts and every place that repeats them, and its few facts.
//!
//! The scan errs on the side of showing: a string in a member that nobody has described is a piece of kind other, so that a word a plugin
//! masks survives nowhere. Streamed replies are `stream`'s work. Nothing here edits.

use std::borrow::Cow;
use std::ops::Range;

use super::{error, parts};
use crate::failure::Failure;
use crate::json;
use crate::text::{Copy, Kind, Mend, Piece, Role, TextMap, walk};
use crate::usage::Usage;
use crate::whole;

/// How many times the size of a reply is spent on finding repeats. Past it a repeat is a piece of its own, which is as safe.
const COMPARED: usize = 16;

/// The pieces and copies of the reply. Pieces stand in the order of the bytes, except that reasoning which repeats stands where it first
/// occurs and as a copy elsewhere. Anything that is not an object has none.
pub fn text_map(bytes: &[u8]) -> TextMap {
    let mut map = TextMap::default();
    let mut budget = bytes.len().saturating_mul(COMPARED);
    walk::members(bytes, walk::blank(bytes, 0), |key, at| {
        if bytes.get(key.clone()) == Some(b"\"choices\"") {
            let mut position = 0;
            return walk::items(bytes, at, |choice| {
                position += 1;
                scan_choice(bytes, choice, position - 1, &mut map, &mut budget)
            });
        }
        let value = json::value(bytes, at)?;
        let end = value.end;
        scan_top(bytes, &json::Member { key, value }, &mut map);
        Some(end)
    });
    map
}

fn scan_top(bytes: &[u8], member: &json::Member, map: &mut TextMap) {
    let value = member.value.clone();
    match key(bytes, member) {
        fact if parts::is_reply_fact(fact) => {}
        b"prompt_logprobs" | b"prompt_token_ids" => {
            map.copies.push(Copy { choice: 0, kind: Kind::Other, range: value, how: Mend::Null });
        }
        _ => parts::loose(bytes, value, Role::Other, Kind::Other, 0, map),
    }
}

/// The key as it is spelt, without its quotes.
fn key<'a>(bytes: &'a [u8], member: &json::Member) -> &'a [u8] {
    bytes.get(member.key.start + 1..member.key.end.saturating_sub(1)).unwrap_or_default()
}

/// `choices[].index` where it is given, else the position. An index past `u32` is the position.
fn choice_number(bytes: &[u8], given: Option<Range<usize>>, position: usize) -> u32 {
    given
        .and_then(|range| std::str::from_utf8(bytes.get(range)?).ok()?.parse().ok())
        .unwrap_or_else(|| u32::try_from(position).unwrap_or(u32::MAX))
}

/// The number may stand behind the texts, so they get it at the end.
fn scan_choice(bytes: &[u8], choice: usize, position: usize, map: &mut TextMap, budget: &mut usize) -> Option<usize> {
    let (first, first_copy) = (map.pieces.len(), map.copies.len());
    let mut given = None;
    // What may repeat the message is judged when the message has been read, wherever it stands.
    let mut later = TextMap::default();
    let end = walk::members(bytes, choice, |key, at| {
        let name = bytes.get(key.start + 1..key.end.saturating_sub(1)).unwrap_or_default();
        if name == b"message" {
            return scan_message(bytes, at, map, budget);
        }
        let value = json::value(bytes, at)?;
        let end = value.end;
        match name {
            b"index" => given = Some(value),
            b"logprobs" | b"token_ids" => {
                if matches!(bytes.get(at), Some(b'{' | b'[')) {
                    map.copies.push(Copy { choice: 0, kind: Kind::Other, range: value, how: Mend::Null });
                }
            }
            fact if parts::is_choice_fact(fact) => {}
            _ => parts::loose(bytes, value, Role::Assistant, Kind::Other, 0, &mut later),
        }
        Some(end)
    });
    for piece in later.pieces {
        if !repeats(bytes, &piece, first, map, budget) {
            map.pieces.push(piece);
        }
    }
    let number = choice_number(bytes, given, position);
    map.pieces.iter_mut().skip(first).for_each(|piece| piece.choice = number);
    map.copies.iter_mut().skip(first_copy).for_each(|copy| copy.choice = number);
    end
}

fn scan_message(bytes: &[u8], message: usize, map: &mut TextMap, budget: &mut usize) -> Option<usize> {
    let first = map.pieces.len();
    let role = Role::Assistant;
    walk::members(bytes, message, |key, at| {
        let value = json::value(bytes, at)?;
        let end = value.end;
        match bytes.get(key.start + 1..key.end.saturating_sub(1)).unwrap_or_default() {
            fact if parts::is_message_fact(fact) => {}
            b"content" => parts::content(bytes, value, role, 0, map),
            b"refusal" => {
                map.push(bytes, role, Kind::Refusal, 0, value);
            }
            b"reasoning_content" | b"reasoning" | b"reasoning_details" => {
                reasoning(bytes, value, first, map, budget);
            }
            b"tool_calls" => {
                for call in json::array(bytes, value.start).into_iter().flatten() {
                    parts::tool_call(bytes, call, role, 0, map);
                }
            }
            b"function_call" => {
                parts::function(bytes, value, role, 0, map);
            }
            b"audio" => audio(bytes, value, map),
            b"executed_tools" => {
                parts::executed(bytes, value, |role, kind, value| parts::loose(bytes, value, role, kind, 0, map));
            }
            _ => parts::loose(bytes, value, role, Kind::Other, 0, map),
        }
        Some(end)
    })
}

/// Providers send the same reasoning under two names, or whole and in blocks. The longer text is the piece; what repeats it is a copy.
fn reasoning(bytes: &[u8], value: Range<usize>, first: usize, map: &mut TextMap, budget: &mut usize) {
    let mut seen = TextMap::default();
    parts::loose(bytes, value, Role::Assistant, Kind::Reasoning, 0, &mut seen);
    for piece in seen.pieces {
        if !repeats(bytes, &piece, first, map, budget) {
            absorb(bytes, &piece, first, map, budget);
            map.pieces.push(piece);
        }
    }
}

/// Whether a piece at or after `first` already shows this one's text; if so, this one is entered as its copy. Unless it is of kind other,
/// only a piece of the same kind counts.
fn repeats(bytes: &[u8], new: &Piece, first: usize, map: &mut TextMap, budget: &mut usize) -> bool {
    let Some(text) = json::string(bytes, new.literal.clone()) else { return false };
    for (index, piece) in map.pieces.iter().enumerate().skip(first) {
        if new.kind != Kind::Other && new.kind != piece.kind {
            continue;
        }
        let Some(left) = budget.checked_sub(piece.literal.len() + new.literal.len()) else { return false };
        *budget = left;
        let Some(whole) = json::string(bytes, piece.literal.clone()) else { continue };
        if whole.contains(&*text) {
            let how = if whole == text { Mend::Repeat(index) } else { Mend::Empty };
            map.copies.push(Copy { choice: piece.choice, kind: piece.kind, range: new.literal.clone(), how });
            return true;
        }
    }
    false
}

/// Pieces whose text the new one contains become its copies: blocks that stand before the whole.
fn absorb(bytes: &[u8], new: &Piece, first: usize, map: &mut TextMap, budget: &mut usize) {
    let text = json::string(bytes, new.literal.clone()).unwrap_or_default();
    let mut index = first;
    while let Some(earlier) = map.pieces.get(index) {
        let cost = earlier.literal.len() + new.literal.len() + map.pieces.len() + map.copies.len();
        let Some(left) = budget.checked_sub(cost) else { return };
        *budget = left;
        let part = earlier.kind == new.kind
            && json::string(bytes, earlier.literal.clone()).is_some_and(|earlier| text.contains(&*earlier));
        if !part {
            index += 1;
            continue;
        }
        let range = map.pieces.remove(index).literal;
        // Pieces behind it have moved up by one. What repeated it is a part of the new text as well.
        for copy in &mut map.copies {
            copy.how = match copy.how {
                Mend::Repeat(source) if source == index => Mend::Empty,
                Mend::Repeat(source) if source > index => Mend::Repeat(source - 1),
                how => how,
            };
        }
        map.copies.push(Copy { choice: new.choice, kind: new.kind, range, how: Mend::Empty });
    }
}

/// The spoken form says the transcript again, and nothing can mask a word inside it: it falls silent as a whole.
fn audio(bytes: &[u8], value: Range<usize>, map: &mut TextMap) {
    for member in json::object(bytes, value.start).into_iter().flatten() {
        match key(bytes, &member) {
            b"transcript" => {
                map.push(bytes, Role::Assistant, Kind::Text, 0, member.value);
            }
            b"data" => {
                map.copies.push(Copy { choice: 0, kind: Kind::Text, range: member.value, how: Mend::Empty });
            }
            _ => {}
        }
    }
}

/// Whether a provider's 200 is a whole reply: one JSON object with a list of `choices`. Otherwise who failed and how; a provider's `error`
/// object keeps its message and code.
pub fn check(bytes: &[u8]) -> Result<Option<Usage>, Failure> {
    let (mut choices, mut suspect, mut counted) = (false, false, None);
    whole::members(bytes, |member| {
        if member.is(bytes, "choices") {
            choices = bytes.get(member.value.start) == Some(&b'[');
        } else if member.is(bytes, "error") {
            suspect |= bytes.get(member.value.start) != Some(&b'n');
        } else if member.is(bytes, "object") {
            suspect |= bytes.get(member.value) == Some(b"\"error\"");
        } else if member.is(bytes, "usage") {
            counted = Some(member.value);
        }
    })?;
    if suspect && let Some(failure) = error::inside_reply(bytes) {
        return Err(failure);
    }
    if choices {
        return Ok(counted.and_then(|range| Usage::from_openai(bytes, range)));
    }
    Err(whole::no_reply(bytes, "The provider's reply has no choices."))
}

/// What the provider counted: `usage`, else Groq's `x_groq.usage`.
pub fn usage(bytes: &[u8]) -> Option<Usage> {
    let own = json::field(bytes, 0, "usage").and_then(|range| Usage::from_openai(bytes, range));
    own.or_else(|| Usage::from_openai(bytes, json::pointer(bytes, "/x_groq/usage")?))
}

/// Why that choice ended; `None` where it is null, empty or not said, and where there is no such choice.
pub fn finish_reason(bytes: &[u8], choice: u32) -> Option<String> {
    let choices = json::field(bytes, 0, "choices")?;
    let number =
        |position, item: &Range<usize>| choice_number(bytes, json::field(bytes, item.start, "index"), position);
    let (_, wanted) =
        json::array(bytes, choices.start)?.enumerate().find(|(position, item)| number(*position, item) == choice)?;
    let reason = json::string(bytes, json::field(bytes, wanted.start, "finish_reason")?)?;
    (!reason.is_empty()).then(|| reason.into_owned())
}

/// The model that the provider says it used.
pub fn model(bytes: &[u8]) -> Option<Cow<'_, str>> {
    json::string(bytes, json::field(bytes, 0, "model")?)
}

#[cfg(test)]
#[path = "reply_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
