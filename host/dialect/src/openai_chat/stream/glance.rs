//! The cheap look at an event, for streams that no hook reads.

use std::ops::Range;

use crate::json;
use crate::stream::{Glance, NotJson};
use crate::text::walk;
use crate::usage::Usage;

/// Looks at the data of one event; reads it twice (syntax, then members), allocates nothing.
pub fn glance(data: &[u8]) -> Result<Glance, NotJson> {
    json::validate(data).map_err(NotJson::Syntax)?;
    let start = walk::blank(data, 0);
    if data.get(start) != Some(&b'{') {
        return Err(NotJson::NotObject);
    }
    let mut found = Glance { only_usage: true, ..Glance::default() };
    walk::members(data, start, |key, at| {
        let key = json::name(data, &key);
        if &*key == b"choices" {
            return walk::items(data, at, |choice| look_at_choice(data, choice, &mut found));
        }
        let value = json::value(data, at)?;
        let end = value.end;
        match &*key {
            b"usage" => found.usage = usage_at(data, value).or(found.usage),
            b"x_groq" => {
                let usage = json::field(data, at, "usage").and_then(|range| usage_at(data, range));
                found.usage = found.usage.or(usage);
            }
            b"error" => found.error |= !is_null(data, &value),
            _ => {}
        }
        Some(end)
    });
    found.only_usage &= found.usage.is_some();
    Ok(found)
}

pub(super) fn is_null(data: &[u8], value: &Range<usize>) -> bool {
    data.get(value.clone()) == Some(b"null")
}

/// A string literal with something between its quotes.
pub(super) fn is_text(data: &[u8], value: &Range<usize>) -> bool {
    data.get(value.start) == Some(&b'"') && value.len() > 2
}

/// Neither null nor `""`: some providers write an empty finish reason where others write null.
pub(super) fn is_finish(data: &[u8], value: &Range<usize>) -> bool {
    !is_null(data, value) && data.get(value.clone()) != Some(b"\"\"")
}

fn usage_at(data: &[u8], range: Range<usize>) -> Option<Usage> {
    if data.get(range.start) == Some(&b'{') { Usage::from_openai(data, range) } else { None }
}

/// A message beside a delta repeats what earlier events brought, so it counts only alone.
fn look_at_choice(data: &[u8], at: usize, found: &mut Glance) -> Option<usize> {
    found.only_usage = false;
    let (mut delta, mut message) = (false, None);
    let end = walk::members(data, at, |key, at| {
        let key = json::name(data, &key);
        if &*key == b"delta" && data.get(at) == Some(&b'{') {
            delta = true;
            return look_at_delta(data, at, &mut found.content);
        }
        let value = json::value(data, at)?;
        let end = value.end;
        match &*key {
            b"message" => message = Some(at),
            b"text" => found.content |= is_text(data, &value),
            b"finish_reason" => found.finished += u32::from(is_finish(data, &value)),
            _ => {}
        }
        Some(end)
    });
    if let (Some(message), false) = (message, delta) {
        look_at_delta(data, message, &mut found.content);
    }
    end
}

/// Notes whether a delta brings something that a model made.
fn look_at_delta(data: &[u8], delta: usize, content: &mut bool) -> Option<usize> {
    walk::members(data, delta, |key, at| {
        let key = json::name(data, &key);
        let value = json::value(data, at)?;
        let end = value.end;
        let more = match (&*key, data.get(at)?) {
            (b"content" | b"reasoning_content" | b"reasoning" | b"reasoning_text" | b"thinking" | b"refusal", b'"') => {
                value.len() > 2
            }
            (b"content" | b"reasoning_details", b'[') => any(data, at, |part| has_text(data, part)),
            (b"tool_calls", b'[') => any(data, at, |call| names_or_fills(data, call)),
            (b"function_call", b'{') => fills(data, at, &["name", "arguments"]),
            (b"audio", b'{') => fills(data, at, &["data", "transcript"]),
            _ => false,
        };
        *content |= more;
        Some(end)
    })
}

fn any(data: &[u8], array: usize, found: impl Fn(usize) -> bool) -> bool {
    json::array(data, array).into_iter().flatten().any(|item| found(item.start))
}

/// A part of a list, thinking parts included; the depth of the search is that of the known shapes.
fn has_text(data: &[u8], part: usize) -> bool {
    json::object(data, part).into_iter().flatten().any(|member| match &*json::name(data, &member.key) {
        b"text" | b"summary" | b"data" | b"refusal" => is_text(data, &member.value),
        b"thinking" => {
            is_text(data, &member.value) || any(data, member.value.start, |inner| fills(data, inner, &["text"]))
        }
        b"image_url" => true,
        _ => false,
    })
}

fn names_or_fills(data: &[u8], call: usize) -> bool {
    json::object(data, call).into_iter().flatten().any(|member| match &*json::name(data, &member.key) {
        b"function" => fills(data, member.value.start, &["name", "arguments"]),
        b"custom" => fills(data, member.value.start, &["name", "input"]),
        _ => false,
    })
}

/// Whether one of these members is a text.
fn fills(data: &[u8], object: usize, names: &[&str]) -> bool {
    let mut members = json::object(data, object).into_iter().flatten();
    members.any(|member| is_text(data, &member.value) && names.iter().any(|name| member.is(data, name)))
}
