//! Texts inside the values that requests and replies share: contents, parts, tool calls, and objects nobody has described.

use std::ops::Range;

use crate::json;
use crate::text::{self, Kind, Role, TextMap, Visit};

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

/// Every string inside the value but those of machine members; a value that is a string counts itself.
pub(super) fn loose(bytes: &[u8], value: Range<usize>, role: Role, kind: Kind, choice: u32, map: &mut TextMap) {
    let visit = |key: &str, at: usize| match key {
        "data" | "file_data" if is_encoded(bytes, at) => Visit::Skip,
        _ if is_machine(key) => Visit::Skip,
        _ => Visit::Take,
    };
    text::strings(bytes, value, true, visit, |literal| {
        map.push(bytes, role, kind, choice, literal);
    });
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

/// A second `type` overrides the first for many parsers, so a type only names the kind and never hides a string.
fn part(bytes: &[u8], item: Range<usize>, role: Role, choice: u32, map: &mut TextMap) {
    let named = json::field(bytes, item.start, "type");
    let kind = match named.and_then(|literal| json::string(bytes, literal)).as_deref() {
        Some("thinking" | "reasoning") => Kind::Reasoning,
        Some("refusal") => Kind::Refusal,
        Some("text" | "input_text" | "output_text") | None => Kind::Text,
        Some(_) => Kind::Other,
    };
    loose(bytes, item, role, kind, choice, map);
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
            text::strings(bytes, member.value, true, all, |literal| {
                map.push(bytes, role, Kind::ToolArguments, choice, literal);
            });
        }
    }
    for piece in map.pieces.get_mut(first..).unwrap_or_default() {
        piece.tool_name.clone_from(&name);
    }
    name
}
