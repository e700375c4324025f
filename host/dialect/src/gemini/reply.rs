//! A whole reply where it lies: whether it is one, its texts and every place that repeats them.

use std::ops::Range;

use super::{error, texts, usage};
use crate::failure::Failure;
use crate::json;
use crate::text::{Copy, Kind, Mend, Role, TextMap, walk};
use crate::usage::Usage;
use crate::whole;

/// Whether a provider's 200 is a whole reply: one JSON object with candidates, or one that says why it has none.
pub(super) fn check(bytes: &[u8]) -> Result<Option<Usage>, Failure> {
    let (mut reply, mut suspect, mut counted) = (false, false, None);
    whole::members(bytes, |member| {
        let object = bytes.get(member.value.start) == Some(&b'{');
        if member.is(bytes, "candidates") {
            reply |= bytes.get(member.value.start) == Some(&b'[');
        } else if member.is(bytes, "promptFeedback") {
            reply |= object;
        } else if member.is(bytes, "usageMetadata") {
            reply |= object;
            counted = Some(member.value);
        } else if member.is(bytes, "error") {
            suspect |= bytes.get(member.value.start) != Some(&b'n');
        }
    })?;
    if (suspect || bytes.trim_ascii_start().starts_with(b"["))
        && let Some(failure) = error::inside(bytes)
    {
        return Err(failure);
    }
    if reply {
        return Ok(counted.and_then(|range| usage::read(bytes, range)));
    }
    Err(whole::no_reply(bytes, "The provider's reply has no candidates."))
}

/// The pieces of the reply in the order of its bytes, but for what grounds them, and what repeats them.
pub(super) fn text_map(bytes: &[u8]) -> TextMap {
    let mut map = TextMap::default();
    walk::members(bytes, walk::blank(bytes, 0), |key, at| {
        let name = texts::name(bytes, &key);
        if name == "candidates" {
            let mut position = 0;
            return walk::items(bytes, at, |candidate| {
                position += 1;
                self::candidate(bytes, candidate, position - 1, &mut map)
            });
        }
        let value = json::value(bytes, at)?;
        let end = value.end;
        if !FACTS.contains(&&*name) {
            texts::loose(bytes, value, Role::Other, Kind::Other, &mut map);
        }
        Some(end)
    });
    map
}

const FACTS: [&str; 4] = ["usageMetadata", "modelVersion", "responseId", "createTime"];

/// Facts about a candidate, with nothing in them that a model wrote.
const CANDIDATE_FACTS: [&str; 5] = ["finishReason", "avgLogprobs", "safetyRatings", "tokenCount", "urlContextMetadata"];

/// The number may stand behind the texts, so they get it at the end.
fn candidate(bytes: &[u8], at: usize, position: u32, map: &mut TextMap) -> Option<usize> {
    let (first, first_copy) = (map.pieces.len(), map.copies.len());
    let mut number = position;
    // What may repeat the text is judged when the text has been read.
    let mut grounding = None;
    let end = walk::members(bytes, at, |key, at| {
        let name = texts::name(bytes, &key);
        if name == "content" {
            return texts::content(bytes, at, Role::Assistant, map);
        }
        let value = json::value(bytes, at)?;
        let end = value.end;
        match &*name {
            "index" => {
                let given = bytes.get(value).and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
                number = given.unwrap_or(position);
            }
            "logprobsResult" => {
                map.copies.push(Copy { choice: 0, kind: Kind::Other, range: value, how: Mend::Null });
            }
            "groundingMetadata" => grounding = Some(value),
            fact if CANDIDATE_FACTS.contains(&fact) => {}
            _ => texts::loose(bytes, value, Role::Assistant, Kind::Other, map),
        }
        Some(end)
    });
    if let Some(value) = grounding {
        repeated(bytes, value, first, map);
    }
    map.pieces.iter_mut().skip(first).for_each(|piece| piece.choice = number);
    map.copies.iter_mut().skip(first_copy).for_each(|copy| copy.choice = number);
    end
}

/// Segments of the answer stand again in what grounds them; all else there is text of its own.
fn repeated(bytes: &[u8], value: Range<usize>, first: usize, map: &mut TextMap) {
    let mut seen = TextMap::default();
    texts::loose(bytes, value, Role::Assistant, Kind::Other, &mut seen);
    let mut whole = String::new();
    for piece in map.pieces.iter().skip(first).filter(|piece| piece.kind == Kind::Text) {
        json::append_string(bytes, piece.literal.clone(), &mut whole);
    }
    // Comparing costs at most this many times the reply.
    const COMPARED: usize = 16;
    let mut budget = bytes.len().saturating_mul(COMPARED);
    for piece in seen.pieces {
        let left = budget.checked_sub(whole.len() + piece.literal.len());
        budget = left.unwrap_or(0);
        let again =
            left.is_some() && json::string(bytes, piece.literal.clone()).is_some_and(|text| whole.contains(&*text));
        if again {
            map.copies.push(Copy { choice: 0, kind: Kind::Text, range: piece.literal, how: Mend::Empty });
        } else {
            map.pieces.push(piece);
        }
    }
}
