//! Texts inside the items that requests and replies share.
//!
//! An item or a part of an unknown type and an unknown member are looked through for strings, so that what is new is not a way around a
//! guard. A second `type` overrides the first for many parsers, so a type only names the kind of a text and never hides one.

use std::ops::Range;

use crate::json;
use crate::text::{self, Copy, Kind, Mend, Piece, Role, TextMap, Visit};

/// Members whose strings name, number, sign or encode something and are not language.
fn is_machine(key: &str) -> bool {
    matches!(
        key,
        "type"
            | "id"
            | "call_id"
            | "item_id"
            | "role"
            | "object"
            | "index"
            | "status"
            | "phase"
            | "format"
            | "signature"
            | "encrypted_content"
            | "detail"
            | "model"
            | "file_id"
            | "container_id"
            | "approval_request_id"
            | "server_label"
            | "mime_type"
            | "media_type"
            | "cache_control"
            | "prompt_cache_breakpoint"
            | "internal_chat_message_metadata_passthrough"
            | "execution"
            | "caller"
            | "fingerprint"
            | "obfuscation"
            | "image_url"
            | "file_url"
            | "input_audio"
            | "background"
            | "output_format"
            | "quality"
            | "size"
    )
}

/// Whether the string at `at` begins like base64 or a data address: media, ciphertext. A document part may carry its plain text as data.
fn is_encoded(bytes: &[u8], at: usize) -> bool {
    const HEAD: usize = 256;
    let Some(b'"') = bytes.get(at) else { return false };
    let inner = bytes.get(at + 1..).unwrap_or_default();
    let mut head = inner.iter().take(HEAD).take_while(|byte| **byte != b'"').peekable();
    // A word is no picture.
    let long = inner.get(HEAD / 4).is_some() && !inner.iter().take(HEAD / 4).any(|byte| *byte == b'"');
    long && head.peek().is_some() && head.all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_:;,.".contains(byte))
}

/// Whether the strings of that member, whose value begins at `at`, are not language.
pub(super) fn is_mute(bytes: &[u8], key: &str, at: usize) -> bool {
    is_machine(key) || (matches!(key, "data" | "file_data" | "result") && is_encoded(bytes, at))
}

/// Every string inside the value but those of machine members; a value that is a string counts itself.
pub(super) fn loose(bytes: &[u8], value: Range<usize>, role: Role, kind: Kind, map: &mut TextMap) {
    let visit = |key: &str, at| if is_mute(bytes, key, at) { Visit::Skip } else { Visit::Take };
    text::strings(bytes, value, true, visit, |literal| {
        map.push(bytes, role, kind, 0, literal);
    });
}

/// The descriptions of tools.
pub(super) fn descriptions(bytes: &[u8], value: Range<usize>, map: &mut TextMap) {
    let visit = |key: &str, _| if key == "description" { Visit::Take } else { Visit::Enter };
    text::strings(bytes, value, false, visit, |literal| {
        map.push(bytes, Role::System, Kind::Other, 0, literal);
    });
}

/// A member's key, its escapes decoded.
pub(super) fn key<'a>(bytes: &'a [u8], member: &json::Member) -> std::borrow::Cow<'a, str> {
    json::string(bytes, member.key.clone()).unwrap_or_default()
}

/// The type of the item or part at `at`: of several the last, as nearly every parser has it.
pub(super) fn kind_of(bytes: &[u8], at: usize) -> Option<std::borrow::Cow<'_, str>> {
    let named = json::object(bytes, at)?.filter(|member| member.is(bytes, "type"));
    json::string(bytes, named.last()?.value)
}

/// The content of a message or a result: a string, a list of strings and parts, or one part. `kind`: of what is plain text.
pub(super) fn content(bytes: &[u8], value: Range<usize>, role: Role, kind: Kind, map: &mut TextMap) {
    match bytes.get(value.start) {
        Some(b'"') => {
            map.push(bytes, role, kind, 0, value);
        }
        Some(b'[') => {
            for item in json::array(bytes, value.start).into_iter().flatten() {
                part(bytes, item, role, kind, map);
            }
        }
        Some(b'{') => part(bytes, value, role, kind, map),
        _ => {}
    }
}

fn part(bytes: &[u8], item: Range<usize>, role: Role, plain: Kind, map: &mut TextMap) {
    let kind = match kind_of(bytes, item.start).as_deref() {
        Some("input_text" | "output_text" | "text") | None => plain,
        Some("refusal") => Kind::Refusal,
        Some("reasoning_text" | "summary_text") => Kind::Reasoning,
        Some(_) => Kind::Other,
    };
    if bytes.get(item.start) != Some(&b'{') {
        return loose(bytes, item, role, kind, map);
    }
    for member in json::object(bytes, item.start).into_iter().flatten() {
        match &*key(bytes, &member) {
            // Says the text again, token by token.
            "logprobs" if matches!(bytes.get(member.value.start), Some(b'[' | b'{')) => {
                map.copies.push(Copy { choice: 0, kind: Kind::Text, range: member.value, how: Mend::Null });
            }
            "logprobs" => {}
            "annotations" => loose(bytes, member.value, role, Kind::Other, map),
            name if is_mute(bytes, name, member.value.start) => {}
            _ => loose(bytes, member.value, role, kind, map),
        }
    }
}

/// What an item is, by its type.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Item {
    Message,
    /// A call for the client or by the provider.
    Call,
    /// What came back.
    Output,
    Reasoning,
    /// Tools that come as an item.
    Tools,
    Other,
}

pub(super) fn item_of(bytes: &[u8], at: usize) -> Item {
    let kind = kind_of(bytes, at);
    match kind.as_deref() {
        Some("message") => Item::Message,
        None if json::field(bytes, at, "role").is_some() => Item::Message,
        Some("reasoning") => Item::Reasoning,
        Some("additional_tools") => Item::Tools,
        Some("mcp_approval_request" | "program") => Item::Call,
        Some(kind) if kind.ends_with("_call") => Item::Call,
        Some(kind) if kind.ends_with("_output") => Item::Output,
        _ => Item::Other,
    }
}

/// A call: what it is called with, and what came back where the item says that as well. Returns the literal of the tool's name.
pub(super) fn call(bytes: &[u8], item: Range<usize>, map: &mut TextMap) -> Option<Range<usize>> {
    let name = json::field(bytes, item.start, "name").filter(|name| bytes.get(name.start) == Some(&b'"'));
    let first = map.pieces.len();
    let asks = matches!(kind_of(bytes, item.start).as_deref(), Some("function_call" | "custom_tool_call"));
    for member in json::object(bytes, item.start).into_iter().flatten() {
        let value = member.value.clone();
        match &*key(bytes, &member) {
            "name" | "namespace" => {}
            "arguments" | "input" if bytes.get(value.start) == Some(&b'"') => {
                let shown = map.push(bytes, Role::Assistant, Kind::ToolArguments, 0, value.clone());
                if !shown && asks {
                    // A call without arguments is still a call: whoever judges tools by name must meet it.
                    let (role, kind) = (Role::Assistant, Kind::ToolArguments);
                    map.pieces.push(Piece { role, kind, choice: 0, literal: value, tool_name: None });
                }
            }
            "arguments" | "input" => map.push_all(bytes, Role::Assistant, Kind::ToolArguments, value),
            "output" | "outputs" | "results" | "result" | "error" | "tools"
                if !is_mute(bytes, "result", value.start) =>
            {
                loose(bytes, value, Role::Tool, Kind::ToolResult, map);
            }
            name if is_mute(bytes, name, value.start) => {}
            _ => loose(bytes, value, Role::Assistant, Kind::ToolArguments, map),
        }
    }
    for piece in map.pieces.get_mut(first..).unwrap_or_default() {
        piece.tool_name.clone_from(&name);
    }
    name
}

/// What a tool gave back; `name`: the literal of the tool's name, where it is known.
pub(super) fn output(bytes: &[u8], item: Range<usize>, name: Option<Range<usize>>, map: &mut TextMap) {
    let first = map.pieces.len();
    for member in json::object(bytes, item.start).into_iter().flatten() {
        let value = member.value.clone();
        match &*key(bytes, &member) {
            "name" | "namespace" => {}
            "output" => content(bytes, value, Role::Tool, Kind::ToolResult, map),
            "tools" => descriptions(bytes, value, map),
            name if is_mute(bytes, name, value.start) => {}
            _ => loose(bytes, value, Role::Tool, Kind::ToolResult, map),
        }
    }
    for piece in map.pieces.get_mut(first..).unwrap_or_default().iter_mut().filter(|piece| piece.role == Role::Tool) {
        piece.kind = Kind::ToolResult;
        piece.tool_name.clone_from(&name);
    }
}

/// Tools that come as an item.
pub(super) fn tools(bytes: &[u8], item: Range<usize>, map: &mut TextMap) {
    for member in json::object(bytes, item.start).into_iter().flatten() {
        match &*key(bytes, &member) {
            "tools" => descriptions(bytes, member.value, map),
            name if is_mute(bytes, name, member.value.start) => {}
            _ => loose(bytes, member.value, Role::System, Kind::Other, map),
        }
    }
}

/// Any other item: all of its strings.
pub(super) fn other(bytes: &[u8], item: Range<usize>, role: Role, kind: Kind, map: &mut TextMap) {
    loose(bytes, item, role, kind, map);
}
