//! Texts inside what requests and replies share: contents, their parts, and objects that nobody has described.
//!
//! As with the other dialects, a string in a place that nobody knows is a text, so that what is new is not a way around a guard.

use std::borrow::Cow;
use std::ops::Range;

use super::fields;
use crate::json;
use crate::text::{self, Kind, Piece, Role, TextMap, Visit, walk};

/// Members whose strings name, number, sign or encode something and are not language.
const MACHINE: [&str; 23] = [
    "role",
    "mimeType",
    "fileUri",
    "thoughtSignature",
    "id",
    "language",
    "outcome",
    "toolType",
    "finishReason",
    "jsonPath",
    "type",
    "format",
    "model",
    "category",
    "probability",
    "severity",
    "startOffset",
    "endOffset",
    "scheduling",
    "mediaResolution",
    "taskType",
    "urlRetrievalStatus",
    "blockReason",
];

/// A key's text. Only one with a backslash has to be decoded.
pub(super) fn name<'a>(bytes: &'a [u8], key: &Range<usize>) -> Cow<'a, str> {
    json::string(bytes, key.clone()).unwrap_or_default()
}

/// Media begin like base64; a part may carry plain text as `data`.
fn is_encoded(bytes: &[u8], at: usize) -> bool {
    const HEAD: usize = 256;
    let Some(b'"') = bytes.get(at) else { return false };
    let inner = bytes.get(at + 1..).unwrap_or_default();
    let mut head = inner.iter().take(HEAD).take_while(|byte| **byte != b'"');
    head.all(|byte| byte.is_ascii_alphanumeric() || b"+/=-_".contains(byte))
}

fn is_mute(bytes: &[u8], key: &str, at: usize) -> bool {
    MACHINE.iter().any(|machine| fields::is(key, machine)) || (key == "data" && is_encoded(bytes, at))
}

/// Every string inside the value but those of machine members; a value that is a string counts itself.
pub(super) fn loose(bytes: &[u8], value: Range<usize>, role: Role, kind: Kind, map: &mut TextMap) {
    let visit = |key: &str, at| if is_mute(bytes, key, at) { Visit::Skip } else { Visit::Take };
    text::strings(bytes, value, true, visit, |literal| {
        map.push(bytes, role, kind, 0, literal);
    });
}

/// A content whose value begins at `at`: an object, a text, or a list of either; returns its end. `role`: where it says none.
pub(super) fn content(bytes: &[u8], at: usize, role: Role, map: &mut TextMap) -> Option<usize> {
    match bytes.get(at)? {
        b'[' => walk::items(bytes, at, |item| content(bytes, item, role, map)),
        b'{' => {
            let first = map.pieces.len();
            let mut said = None;
            let mut single = false;
            let end = walk::members(bytes, at, |key, at| {
                let key = name(bytes, &key);
                match &*key {
                    "parts" => parts(bytes, at, role, map),
                    "role" => {
                        let value = json::value(bytes, at)?;
                        said = Some(role_of(json::string(bytes, value.clone()).as_deref()));
                        Some(value.end)
                    }
                    _ => {
                        single |= KINDS.iter().any(|kind| fields::is(&key, kind));
                        walk::pass(bytes, at)
                    }
                }
            });
            if single {
                // A part where a content is expected.
                part(bytes, at, role, map);
            }
            // The role may stand behind the parts. Results keep theirs.
            if let Some(said) = said {
                let pieces = map.pieces.get_mut(first..).unwrap_or_default();
                pieces.iter_mut().filter(|piece| piece.role == role).for_each(|piece| piece.role = said);
            }
            end
        }
        _ => {
            let value = json::value(bytes, at)?;
            let end = value.end;
            map.push(bytes, role, Kind::Text, 0, value);
            Some(end)
        }
    }
}

/// Members by which a part is known.
const KINDS: [&str; 5] = ["text", "functionCall", "functionResponse", "inlineData", "fileData"];

fn role_of(word: Option<&str>) -> Role {
    match word {
        Some("user") => Role::User,
        Some("model" | "assistant") => Role::Assistant,
        Some("system") => Role::System,
        Some("function" | "tool") => Role::Tool,
        _ => Role::Other,
    }
}

/// `parts`: a list, or a single one.
pub(super) fn parts(bytes: &[u8], at: usize, role: Role, map: &mut TextMap) -> Option<usize> {
    if bytes.get(at) == Some(&b'[') {
        return walk::items(bytes, at, |item| part(bytes, item, role, map));
    }
    part(bytes, at, role, map)
}

fn part(bytes: &[u8], at: usize, role: Role, map: &mut TextMap) -> Option<usize> {
    if bytes.get(at) != Some(&b'{') {
        let value = json::value(bytes, at)?;
        let end = value.end;
        loose(bytes, value, role, Kind::Text, map);
        return Some(end);
    }
    let first = map.pieces.len();
    let mut thought = false;
    let end = walk::members(bytes, at, |key, at| {
        let value = json::value(bytes, at)?;
        let end = value.end;
        let key = name(bytes, &key);
        if key == "text" {
            loose(bytes, value, role, Kind::Text, map);
        } else if key == "thought" {
            // A thought by mistake is still shown, as a thought.
            thought |= bytes.get(value) == Some(b"true");
        } else if fields::is(&key, "functionCall") || fields::is(&key, "toolCall") {
            call(bytes, value, Role::Assistant, Kind::ToolArguments, "args", map);
        } else if fields::is(&key, "functionResponse") || fields::is(&key, "toolResponse") {
            call(bytes, value, Role::Tool, Kind::ToolResult, "response", map);
        } else if fields::is(&key, "executableCode") {
            loose(bytes, value, Role::Assistant, Kind::ToolArguments, map);
        } else if fields::is(&key, "codeExecutionResult") {
            loose(bytes, value, Role::Tool, Kind::ToolResult, map);
        } else if !is_mute(bytes, &key, at) {
            loose(bytes, value, role, Kind::Other, map);
        }
        Some(end)
    });
    if thought {
        let pieces = map.pieces.get_mut(first..).unwrap_or_default();
        pieces.iter_mut().filter(|piece| piece.kind == Kind::Text).for_each(|piece| piece.kind = Kind::Reasoning);
    }
    end
}

/// A call or a result: every string of its object, each with the tool's name.
fn call(bytes: &[u8], value: Range<usize>, role: Role, kind: Kind, object: &str, map: &mut TextMap) {
    let first = map.pieces.len();
    let (mut tool, mut whole) = (None, None);
    for member in json::object(bytes, value.start).into_iter().flatten() {
        let key = name(bytes, &member.key);
        if key == "name" {
            tool = Some(member.value).filter(|value| bytes.get(value.start) == Some(&b'"'));
        } else if fields::is(&key, object) {
            whole = Some(member.value.clone());
            map.push_all(bytes, role, kind, member.value);
        } else if !is_mute(bytes, &key, member.value.start) {
            loose(bytes, member.value, role, kind, map);
        }
    }
    // A call without any text is still a call: whoever judges tools by name must meet it.
    if kind == Kind::ToolArguments
        && map.pieces.len() == first
        && let Some(literal) = whole.or_else(|| tool.clone())
    {
        map.pieces.push(Piece { role, kind, choice: 0, literal, tool_name: None });
    }
    for piece in map.pieces.get_mut(first..).unwrap_or_default() {
        piece.tool_name.clone_from(&tool);
    }
}
