//! What the road reads of a request: the few facts, and the texts.
//!
//! Text is what a model reads as language: contents and instructions, calls and their results, and the `description`s of functions and
//! schemas. Names, schemas without a description, addresses and encoded media are not.

use std::ops::Range;

use super::{fields, texts};
use crate::dialect::Said;
use crate::failure::Failure;
use crate::json;
use crate::peek::{self, Model, Peek, StreamOptions};
use crate::text::{self, Kind, Role, TextMap, Visit, walk};

/// The model and whether to stream are the path's, so the place of the model in the body is empty (0..0).
///
/// # Errors
/// A 400 for a body that is not JSON or not an object.
pub(super) fn peek(body: &[u8], said: &Said) -> Result<Peek, Failure> {
    let (mut empty, mut generation, mut fallbacks) = (true, None, None);
    let checked = json::validate_members(body, |member| {
        empty = false;
        if member.is(body, "fallbacks") {
            fallbacks = Some(member);
        } else if fields::is(&texts::name(body, &member.key), "generationConfig") {
            generation = Some(member.value);
        }
    });
    if checked.is_err() {
        return Err(super::read_request::not_json(body));
    }
    let start = walk::blank(body, 0);
    if body.get(start) != Some(&b'{') {
        return Err(Failure::invalid("invalid_type", "The request body must be a JSON object."));
    }
    let named = fallbacks.map(|member| peek::fallbacks(body, &member)).transpose()?.flatten();
    let (fallbacks, fallbacks_at) = named.map_or_else(Default::default, |(names, range)| (names, Some(range)));
    Ok(Peek {
        fallbacks,
        fallbacks_at,
        model: said.model.clone().map(|name| Model { literal: 0..0, name }),
        null_model: None,
        stream: said.stream,
        n: generation.map_or(1, |value| candidates(body, &value)),
        stream_options: StreamOptions::Absent,
        body_open: start + 1,
        empty,
    })
}

fn candidates(body: &[u8], generation: &Range<usize>) -> u32 {
    let count = |member: json::Member| {
        let name = texts::name(body, &member.key);
        let text = std::str::from_utf8(body.get(member.value)?).ok()?;
        fields::is(&name, "candidateCount").then(|| text.trim_matches('"').parse::<f64>().ok()).flatten()
    };
    let mut members = json::object(body, generation.start).into_iter().flatten();
    members.find_map(count).map_or(1, |number| number.clamp(1.0, f64::from(u32::MAX)) as u32)
}

/// The pieces of the request in the order of its bytes. Anything that is not an object has none. Requests for embeddings and for counting,
/// which hold contents in other places, are read too.
pub(super) fn text_map(bytes: &[u8]) -> TextMap {
    let mut map = TextMap::default();
    // Requests inside requests are one level deep.
    scan(bytes, walk::blank(bytes, 0), 2, &mut map);
    map
}

fn scan(bytes: &[u8], at: usize, depth: u8, map: &mut TextMap) -> Option<usize> {
    walk::members(bytes, at, |key, at| {
        let key = texts::name(bytes, &key);
        let is = |name: &str| fields::is(&key, name);
        if is("contents") || is("content") {
            return texts::content(bytes, at, Role::User, map);
        }
        if is("systemInstruction") {
            let first = map.pieces.len();
            let end = texts::content(bytes, at, Role::System, map);
            map.pieces.get_mut(first..).unwrap_or_default().iter_mut().for_each(|piece| piece.role = Role::System);
            return end;
        }
        if let Some(depth) = depth.checked_sub(1) {
            if is("generateContentRequest") {
                return scan(bytes, at, depth, map);
            }
            if is("requests") || is("instances") {
                return walk::items(bytes, at, |item| scan(bytes, item, depth, map));
            }
        }
        let value = json::value(bytes, at)?;
        let end = value.end;
        if is("tools") || is("toolConfig") || is("generationConfig") {
            let descriptions = |key: &str, _| if key == "description" { Visit::Take } else { Visit::Enter };
            text::strings(bytes, value, false, descriptions, |literal| {
                map.push(bytes, Role::System, Kind::Other, 0, literal);
            });
        } else if !QUIET.iter().any(|name| is(name)) {
            texts::loose(bytes, value, Role::Other, Kind::Other, map);
        }
        Some(end)
    })
}

/// Top-level members that set something and say nothing to the model.
const QUIET: [&str; 8] =
    ["safetySettings", "cachedContent", "labels", "model", "serviceTier", "modelArmorConfig", "taskType", "parameters"];

/// The text of the newest content of the user that has some, its parts joined by a line feed. Results of tools, which the user's contents
/// bring as well, are not his words.
pub(super) fn last_user_text(bytes: &[u8]) -> Option<String> {
    let mut newest = TextMap::default();
    let mut take = |at: usize| {
        let mut map = TextMap::default();
        let end = texts::content(bytes, at, Role::User, &mut map);
        map.pieces.retain(|piece| piece.role == Role::User && piece.kind == Kind::Text);
        if !map.pieces.is_empty() {
            newest = map;
        }
        end
    };
    walk::members(bytes, walk::blank(bytes, 0), |key, at| {
        if texts::name(bytes, &key) != "contents" {
            return walk::pass(bytes, at);
        }
        if bytes.get(at) == Some(&b'[') { walk::items(bytes, at, &mut take) } else { take(at) }
    });
    text::lines(bytes, &newest.pieces)
}
