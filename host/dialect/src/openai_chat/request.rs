//! The texts of a request, and what else the road reads from it.
//!
//! Text is what a model reads as language: message contents, refusals and reasoning sent back, tool calls and their results, and outside of
//! messages the `description`s of tools and functions (role system, kind other), `prompt`, `input` (of embeddings), `prediction.content`, `instructions` and
//! `documents`. Names, identifiers, schemas without a description, addresses and encoded media are not. A content part or a tool call of an
//! unknown type and an unknown member of a message are looked through for strings, so that what is new is not a way around a guard. It edits
//! nothing.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::parts;
use crate::json;
use crate::text::{self, Kind, Role, TextMap, Visit, walk};

/// The pieces of the request in the order of its bytes. Anything that is not an object has none.
pub fn text_map(bytes: &[u8]) -> TextMap {
    let mut scan = Scan { bytes, map: TextMap::default(), tools: HashMap::new() };
    walk::members(bytes, walk::blank(bytes, 0), |key, at| scan.member(&key, at));
    scan.map
}

/// The text of the newest user message, its parts joined by a line feed. `None` without a user message or where it has no text.
pub fn last_user_text(bytes: &[u8]) -> Option<String> {
    let mut newest = None;
    walk::members(bytes, walk::blank(bytes, 0), |key, at| {
        if !is(bytes, &key, "messages") {
            return walk::pass(bytes, at);
        }
        walk::items(bytes, at, |message| {
            let mut role = Role::Other;
            let end = walk::members(bytes, message, |key, at| {
                let end = walk::pass(bytes, at)?;
                if is(bytes, &key, "role") {
                    role = role_of(bytes, &(at..end));
                }
                Some(end)
            });
            if role == Role::User {
                newest = Some(message);
            }
            end
        })
    });
    let mut map = TextMap::default();
    for member in json::object(bytes, newest?)?.filter(|member| member.is(bytes, "content")) {
        parts::content(bytes, member.value, Role::User, 0, &mut map);
    }
    text::lines(bytes, &map.pieces)
}

fn is(bytes: &[u8], key: &Range<usize>, name: &str) -> bool {
    json::Member { key: key.clone(), value: 0..0 }.is(bytes, name)
}

fn role_of(bytes: &[u8], literal: &Range<usize>) -> Role {
    let plain = bytes.get(literal.clone()).unwrap_or_default();
    match plain {
        b"\"user\"" => Role::User,
        b"\"assistant\"" => Role::Assistant,
        b"\"system\"" | b"\"developer\"" => Role::System,
        b"\"tool\"" | b"\"function\"" => Role::Tool,
        // The only other spelling of those words has escapes.
        _ if plain.contains(&b'\\') => match json::string(bytes, literal.clone()).as_deref() {
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("system" | "developer") => Role::System,
            Some("tool" | "function") => Role::Tool,
            _ => Role::Other,
        },
        _ => Role::Other,
    }
}

/// What a message says about all of its texts.
#[derive(Default)]
struct Head {
    role: Option<Role>,
    name: Option<Range<usize>>,
    call: Option<Range<usize>>,
}

struct Scan<'a> {
    bytes: &'a [u8],
    map: TextMap,
    /// Tool call id to the literal of the tool's name.
    tools: HashMap<Cow<'a, str>, Range<usize>>,
}

impl Scan<'_> {
    fn member(&mut self, key: &Range<usize>, at: usize) -> Option<usize> {
        let bytes = self.bytes;
        if is(bytes, key, "messages") {
            if bytes.get(at) == Some(&b'[') {
                return walk::items(bytes, at, |message| self.message(message));
            }
            return self.oddly_placed(at);
        }
        let value = json::value(bytes, at)?;
        let end = value.end;
        let map = &mut self.map;
        if is(bytes, key, "tools") || is(bytes, key, "functions") || is(bytes, key, "response_format") {
            let descriptions = |key: &str, _| if key == "description" { Visit::Take } else { Visit::Enter };
            text::strings(bytes, value, false, descriptions, |literal| {
                map.push(bytes, Role::System, Kind::Other, 0, literal);
            });
        } else if is(bytes, key, "prompt") || is(bytes, key, "input") {
            parts::content(bytes, value, Role::User, 0, map);
        } else if is(bytes, key, "instructions") || is(bytes, key, "system") {
            parts::content(bytes, value, Role::System, 0, map);
        } else if is(bytes, key, "documents") {
            parts::loose(bytes, value, Role::Other, Kind::Other, 0, map);
        } else if is(bytes, key, "prediction") {
            for inner in json::object(bytes, value.start).into_iter().flatten() {
                if inner.is(bytes, "content") {
                    parts::content(bytes, inner.value, Role::Assistant, 0, map);
                }
            }
        }
        Some(end)
    }

    /// Members come in any order and may come twice: role and tool name are known at the end only, so the pieces get them there.
    fn message(&mut self, message: usize) -> Option<usize> {
        let bytes = self.bytes;
        if bytes.get(message) != Some(&b'{') {
            return self.oddly_placed(message);
        }
        let first = self.map.pieces.len();
        let mut head = Head::default();
        let end = walk::members(bytes, message, |key, at| {
            let value = json::value(bytes, at)?;
            let end = value.end;
            self.message_member(key, value, &mut head);
            Some(end)
        });
        let tool = if head.role == Some(Role::Tool) { self.tool_name(head.call, head.name) } else { None };
        let role = head.role.unwrap_or(Role::Other);
        for piece in self.map.pieces.get_mut(first..).unwrap_or_default() {
            piece.role = role;
            if role == Role::Tool && piece.kind != Kind::ToolArguments {
                piece.kind = Kind::ToolResult;
                piece.tool_name.clone_from(&tool);
            }
        }
        end
    }

    /// Messages in a form that no dialect describes: some lenient provider may read them all the same.
    fn oddly_placed(&mut self, at: usize) -> Option<usize> {
        let value = json::value(self.bytes, at)?;
        let end = value.end;
        parts::loose(self.bytes, value, Role::User, Kind::Text, 0, &mut self.map);
        Some(end)
    }

    fn message_member(&mut self, key: Range<usize>, value: Range<usize>, head: &mut Head) {
        let bytes = self.bytes;
        match bytes.get(key.clone()).unwrap_or_default() {
            b"\"role\"" => head.role = Some(role_of(bytes, &value)),
            b"\"content\"" => parts::content(bytes, value, Role::Other, 0, &mut self.map),
            b"\"name\"" => head.name = Some(value),
            b"\"tool_call_id\"" => head.call = Some(value),
            // A key spelt with escapes means the same to a provider.
            _ if is(bytes, &key, "role") => head.role = Some(role_of(bytes, &value)),
            _ if is(bytes, &key, "content") => parts::content(bytes, value, Role::Other, 0, &mut self.map),
            _ if is(bytes, &key, "name") => head.name = Some(value),
            _ if is(bytes, &key, "tool_call_id") => head.call = Some(value),
            _ => self.rare(&json::Member { key, value }),
        }
    }

    fn rare(&mut self, member: &json::Member) {
        let bytes = self.bytes;
        let value = member.value.clone();
        let map = &mut self.map;
        if member.is(bytes, "tool_calls") {
            if bytes.get(value.start) == Some(&b'{') {
                parts::loose(bytes, value.clone(), Role::Assistant, Kind::ToolArguments, 0, map);
            }
            for call in json::array(bytes, value.start).into_iter().flatten() {
                self.tool_call(call);
            }
        } else if member.is(bytes, "function_call") {
            parts::function(bytes, value, Role::Assistant, 0, map);
        } else if member.is(bytes, "refusal") {
            map.push(bytes, Role::Other, Kind::Refusal, 0, value);
        } else if ["reasoning_content", "reasoning", "reasoning_details"].iter().any(|name| member.is(bytes, name)) {
            parts::loose(bytes, value, Role::Other, Kind::Reasoning, 0, map);
        } else {
            let key = json::string(bytes, member.key.clone()).unwrap_or_default();
            if !parts::is_mute(bytes, &key, value.start) {
                parts::loose(bytes, value, Role::Other, Kind::Other, 0, map);
            }
        }
    }

    fn tool_call(&mut self, call: Range<usize>) {
        let bytes = self.bytes;
        let name = parts::tool_call(bytes, call.clone(), Role::Assistant, 0, &mut self.map);
        // A call of a type that nobody has described keeps its input elsewhere.
        for member in json::object(bytes, call.start).into_iter().flatten() {
            let key = json::string(bytes, member.key.clone()).unwrap_or_default();
            if key != "function" && key != "custom" && !parts::is_mute(bytes, &key, member.value.start) {
                parts::loose(bytes, member.value, Role::Assistant, Kind::ToolArguments, 0, &mut self.map);
            }
        }
        let id = json::field(bytes, call.start, "id").and_then(|id| json::string(bytes, id));
        if let (Some(id), Some(name)) = (id, name) {
            self.tools.insert(id, name);
        }
    }

    fn tool_name(&self, call: Option<Range<usize>>, name: Option<Range<usize>>) -> Option<Range<usize>> {
        let known = call.and_then(|id| json::string(self.bytes, id)).and_then(|id| self.tools.get(&id).cloned());
        known.or_else(|| name.filter(|name| self.bytes.get(name.start) == Some(&b'"')))
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
