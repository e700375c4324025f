//! Texts inside the values that requests and replies share: contents, parts, tool calls, and objects nobody has described.

use std::ops::Range;

use crate::json;
use crate::text::{self, Kind, Piece, Role, TextMap, Visit};

/// Members whose strings name, number, sign or encode something and are not language.
fn is_machine(key: &str) -> bool {
    matches!(
        key,
        "type"
            | "id"
            | "role"
            | "object"
            | "index"
            | "format"
            | "signature"
            | "encrypted_content"
            | "detail"
            | "model"
            | "status"
            | "file_id"
            | "mime_type"
            | "media_type"
            | "cache_control"
            | "tool_call_id"
            | "padding"
            | "obfuscation"
            | "provider"
            | "service_tier"
            | "system_fingerprint"
            | "request_id"
            | "severity"
            | "image_url"
            | "input_audio"
            | "video_url"
            | "audio_url"
    )
}

/// Whether the string at `at` begins like base64 or a data address: media, ciphertext. A document part may carry its plain text as `data`.
fn is_encoded(bytes: &[u8], at: usize) -> bool {
    const HEAD: usize = 256;
    let Some(b'"') = bytes.get(at) else { return false };
    let inner = bytes.get(at + 1..).unwrap_or_default();
    let mut head = inner.iter().take(HEAD).take_while(|byte| **byte != b'"');
    head.all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_:;,.".contains(byte))
}

/// Whether the strings of that member, whose value begins at `at`, are not language.
pub(super) fn is_mute(bytes: &[u8], key: &str, at: usize) -> bool {
    is_machine(key) || (matches!(key, "data" | "file_data") && is_encoded(bytes, at))
}

/// Every string inside the value but those of machine members; a value that is a string counts itself.
pub(super) fn loose(bytes: &[u8], value: Range<usize>, role: Role, kind: Kind, choice: u32, map: &mut TextMap) {
    loose_strings(bytes, value, |literal| {
        map.push(bytes, role, kind, choice, literal);
    });
}

/// The literals that [`loose`] makes pieces of, empty ones included.
pub(crate) fn loose_strings(bytes: &[u8], value: Range<usize>, found: impl FnMut(Range<usize>)) {
    let visit = |key: &str, at| if is_mute(bytes, key, at) { Visit::Skip } else { Visit::Take };
    text::strings(bytes, value, true, visit, found);
}

/// Whether that member of a reply or of an event (`key` without its quotes) holds facts about it and nothing that a model wrote. Every event
/// of every stream that a hook reads asks this of all its members, hence by length first.
pub(super) fn is_reply_fact(key: &[u8]) -> bool {
    match key.len() {
        2 => key == b"id",
        4 => key == b"cost",
        5 => matches!(key, b"model" | b"usage"),
        6 => matches!(key, b"object" | b"x_groq"),
        7 => matches!(key, b"created" | b"user_id"),
        8 => matches!(key, b"provider" | b"metadata"),
        10 => matches!(key, b"moderation" | b"request_id"),
        12 => key == b"service_tier",
        13 => key == b"copilot_usage",
        15 => key == b"usage_breakdown",
        18 => key == b"system_fingerprint",
        21 => key == b"prompt_filter_results",
        _ => false,
    }
}

/// As [`is_reply_fact`], of a member of `choices[]`.
pub(super) fn is_choice_fact(key: &[u8]) -> bool {
    matches!(
        key,
        b"finish_reason"
            | b"native_finish_reason"
            | b"stop_reason"
            | b"matched_stop"
            | b"seed"
            | b"content_filter_results"
            | b"finish_details"
    )
}

/// As [`is_reply_fact`], of a member of a message or delta.
pub(super) fn is_message_fact(key: &[u8]) -> bool {
    matches!(key, b"role" | b"padding" | b"name" | b"reasoning_encrypted")
}

/// Tools that the provider itself ran (Groq): arguments, then whatever came back. Shows the values that may have strings in them.
pub(super) fn executed(bytes: &[u8], value: Range<usize>, mut found: impl FnMut(Role, Kind, Range<usize>)) {
    for tool in json::array(bytes, value.start).into_iter().flatten() {
        for member in json::object(bytes, tool.start).into_iter().flatten() {
            match bytes.get(member.key.start + 1..member.key.end.saturating_sub(1)).unwrap_or_default() {
                b"type" | b"name" | b"index" => {}
                b"arguments" => found(Role::Assistant, Kind::ToolArguments, member.value),
                _ => found(Role::Tool, Kind::ToolResult, member.value),
            }
        }
    }
}

/// A `content`: null, a string, a list of strings and parts, or (Cloudflare, for a JSON schema) any object.
pub(super) fn content(bytes: &[u8], value: Range<usize>, role: Role, choice: u32, map: &mut TextMap) {
    match bytes.get(value.start) {
        Some(b'"') => {
            map.push(bytes, role, Kind::Text, choice, value);
        }
        Some(b'[') => {
            for item in json::array(bytes, value.start).into_iter().flatten() {
                part(bytes, item, role, choice, map);
            }
        }
        Some(b'{') => {
            let visit = |_: &str, _| Visit::Take;
            text::strings(bytes, value, true, visit, |literal| {
                map.push(bytes, role, Kind::Text, choice, literal);
            });
        }
        _ => {}
    }
}

fn part(bytes: &[u8], item: Range<usize>, role: Role, choice: u32, map: &mut TextMap) {
    let kind = part_kind(bytes, item.start);
    loose(bytes, item, role, kind, choice, map);
}

/// The kind of the part that begins at `at`. A second `type` overrides the first for many parsers, so a type only names the kind and never
/// hides a string.
pub(super) fn part_kind(bytes: &[u8], at: usize) -> Kind {
    let named = json::field(bytes, at, "type");
    match named.and_then(|literal| json::string(bytes, literal)).as_deref() {
        Some("thinking" | "reasoning") => Kind::Reasoning,
        Some("refusal") => Kind::Refusal,
        Some("text" | "input_text" | "output_text") | None => Kind::Text,
        Some(_) => Kind::Other,
    }
}

/// One element of `tool_calls`, a `function` or a `custom` one: its arguments or input become pieces. Returns the name's literal.
pub(super) fn tool_call(
    bytes: &[u8],
    call: Range<usize>,
    role: Role,
    choice: u32,
    map: &mut TextMap,
) -> Option<Range<usize>> {
    let mut name = None;
    for member in json::object(bytes, call.start).into_iter().flatten() {
        if member.is(bytes, "function") || member.is(bytes, "custom") {
            name = function(bytes, member.value, role, choice, map).or(name);
        }
    }
    name
}

/// An object with a `name` and `arguments` (`input` of a custom tool). Arguments that are an object instead of a string give one piece a
/// string. Returns the name's literal.
pub(super) fn function(
    bytes: &[u8],
    value: Range<usize>,
    role: Role,
    choice: u32,
    map: &mut TextMap,
) -> Option<Range<usize>> {
    let first = map.pieces.len();
    let mut name = None;
    for member in json::object(bytes, value.start).into_iter().flatten() {
        if member.is(bytes, "name") {
            name = Some(member.value).filter(|value| bytes.get(value.start) == Some(&b'"'));
        } else if member.is(bytes, "arguments") || member.is(bytes, "input") {
            let all = |_: &str, _| Visit::Take;
            let called = bytes.get(member.value.start) == Some(&b'"');
            text::strings(bytes, member.value, true, all, |literal| {
                let shown = map.push(bytes, role, Kind::ToolArguments, choice, literal.clone());
                if called && !shown {
                    // A call without arguments is still a call: whoever judges tools by name must meet it.
                    map.pieces.push(Piece { role, kind: Kind::ToolArguments, choice, literal, tool_name: None });
                }
            });
        }
    }
    for piece in map.pieces.get_mut(first..).unwrap_or_default() {
        piece.tool_name.clone_from(&name);
    }
    name
}
