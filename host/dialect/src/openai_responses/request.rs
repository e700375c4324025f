//! A request as it lies: what the road must know of it, and its texts.
//!
//! Text is what a model reads as language: `instructions`, `input` in all of its forms, the variables of a `prompt`, and the descriptions of
//! tools and of the answer's form. A member that nobody has described is looked through. It edits nothing.

use std::borrow::Cow;
use std::collections::HashMap;
use std::ops::Range;

use super::parts::{self, Item};
use crate::failure::Failure;
use crate::json;
use crate::peek::{self, Peek, StreamOptions};
use crate::text::{self, Kind, Role, TextMap, walk};

/// As [`peek::peek`]; one choice is all that there is, and usage need not be asked for.
///
/// # Errors
/// As there.
#[allow(clippy::result_large_err, reason = "the one failure type is large, and built only for a call that is refused")]
pub fn peek(body: &[u8]) -> Result<Peek, Failure> {
    let mut peek = peek::peek(body)?;
    peek.n = 1;
    peek.stream_options = StreamOptions::Other;
    Ok(peek)
}

/// The pieces of the request in the order of its bytes. Anything that is not an object has none.
pub fn text_map(bytes: &[u8]) -> TextMap {
    let mut scan = Scan { bytes, map: TextMap::default(), tools: HashMap::new() };
    walk::members(bytes, walk::blank(bytes, 0), |key, at| {
        let value = json::value(bytes, at)?;
        let end = value.end;
        scan.member(&json::Member { key, value });
        Some(end)
    });
    scan.map
}

/// Members that set something, or name it for reports; no model reads them.
fn is_setting(key: &str) -> bool {
    matches!(
        key,
        "model"
            | "stream"
            | "stream_options"
            | "store"
            | "background"
            | "include"
            | "tool_choice"
            | "parallel_tool_calls"
            | "max_output_tokens"
            | "max_tool_calls"
            | "temperature"
            | "top_p"
            | "top_logprobs"
            | "truncation"
            | "reasoning"
            | "metadata"
            | "client_metadata"
            | "user"
            | "safety_identifier"
            | "service_tier"
            | "prompt_cache_key"
            | "prompt_cache_retention"
            | "prompt_cache_options"
            | "previous_response_id"
            | "conversation"
            | "context_management"
            | "moderation"
            | "provider"
    )
}

struct Scan<'a> {
    bytes: &'a [u8],
    map: TextMap,
    /// Call id to the literal of the tool's name.
    tools: HashMap<Cow<'a, str>, Range<usize>>,
}

impl Scan<'_> {
    fn member(&mut self, member: &json::Member) {
        let bytes = self.bytes;
        let value = member.value.clone();
        match &*parts::key(bytes, member) {
            "input" => self.items(value, Role::User),
            "instructions" => self.items(value, Role::System),
            "tools" | "text" => parts::descriptions(bytes, value, &mut self.map),
            "prompt" => {
                for inner in json::object(bytes, value.start).into_iter().flatten() {
                    if !matches!(&*parts::key(bytes, &inner), "id" | "version") {
                        parts::loose(bytes, inner.value, Role::User, Kind::Text, &mut self.map);
                    }
                }
            }
            name if is_setting(name) => {}
            _ => parts::loose(bytes, value, Role::Other, Kind::Other, &mut self.map),
        }
    }

    /// A text, a list of items, or one item. `role`: of what has none.
    fn items(&mut self, value: Range<usize>, role: Role) {
        match self.bytes.get(value.start) {
            Some(b'[') => {
                for item in json::array(self.bytes, value.start).into_iter().flatten() {
                    self.item(item, role);
                }
            }
            _ => self.item(value, role),
        }
    }

    fn item(&mut self, item: Range<usize>, role: Role) {
        let bytes = self.bytes;
        if bytes.get(item.start) != Some(&b'{') {
            return parts::loose(bytes, item, role, Kind::Text, &mut self.map);
        }
        let map = &mut self.map;
        match parts::item_of(bytes, item.start) {
            Item::Message => self.message(item, role),
            Item::Call => {
                let id = call_id(bytes, item.start);
                let name = parts::call(bytes, item, map);
                if let (Some(id), Some(name)) = (id, name) {
                    self.tools.insert(id, name);
                }
            }
            Item::Output => {
                let known = call_id(bytes, item.start).and_then(|id| self.tools.get(&id).cloned());
                let own = || json::field(bytes, item.start, "name").filter(|name| bytes.get(name.start) == Some(&b'"'));
                let name = known.or_else(own);
                parts::output(bytes, item, name, map);
            }
            Item::Reasoning => parts::other(bytes, item, Role::Assistant, Kind::Reasoning, map),
            Item::Tools => parts::tools(bytes, item, map),
            Item::Other => parts::other(bytes, item, Role::Other, Kind::Other, map),
        }
    }

    fn message(&mut self, item: Range<usize>, role: Role) {
        let bytes = self.bytes;
        let role = json::object(bytes, item.start)
            .into_iter()
            .flatten()
            .filter(|member| member.is(bytes, "role"))
            .last()
            .map_or(role, |member| role_of(bytes, member.value));
        let plain = if role == Role::Tool { Kind::ToolResult } else { Kind::Text };
        for member in json::object(bytes, item.start).into_iter().flatten() {
            match &*parts::key(bytes, &member) {
                "content" => parts::content(bytes, member.value, role, plain, &mut self.map),
                "name" => {}
                name if parts::is_mute(bytes, name, member.value.start) => {}
                _ => parts::loose(bytes, member.value, role, Kind::Other, &mut self.map),
            }
        }
    }
}

fn call_id(bytes: &[u8], at: usize) -> Option<Cow<'_, str>> {
    json::string(bytes, json::field(bytes, at, "call_id").or_else(|| json::field(bytes, at, "id"))?)
}

fn role_of(bytes: &[u8], literal: Range<usize>) -> Role {
    match json::string(bytes, literal).as_deref() {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system" | "developer") => Role::System,
        Some("tool" | "function") => Role::Tool,
        _ => Role::Other,
    }
}

/// The text of the newest user message, its parts joined by a line feed. `None` without one or where it has no text.
pub fn last_user_text(bytes: &[u8]) -> Option<String> {
    let input = json::field(bytes, 0, "input")?;
    let is_user = |item: &Range<usize>| {
        parts::item_of(bytes, item.start) == Item::Message
            && json::field(bytes, item.start, "role").map(|role| role_of(bytes, role)) == Some(Role::User)
    };
    let mut map = TextMap::default();
    match bytes.get(input.start)? {
        b'"' => {
            map.push(bytes, Role::User, Kind::Text, 0, input);
        }
        b'[' => {
            let spoken = |item: &Range<usize>| bytes.get(item.start) == Some(&b'"') || is_user(item);
            let newest = json::array(bytes, input.start)?.filter(spoken).last()?;
            newest_text(bytes, newest, &mut map);
        }
        _ => newest_text(bytes, input, &mut map),
    }
    text::lines(bytes, &map.pieces)
}

fn newest_text(bytes: &[u8], item: Range<usize>, map: &mut TextMap) {
    if bytes.get(item.start) == Some(&b'"') {
        map.push(bytes, Role::User, Kind::Text, 0, item);
        return;
    }
    for member in json::object(bytes, item.start).into_iter().flatten().filter(|member| member.is(bytes, "content")) {
        parts::content(bytes, member.value, Role::User, Kind::Text, map);
    }
}

#[cfg(test)]
#[path = "request_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
