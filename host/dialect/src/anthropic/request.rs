//! The texts of a request: system, messages, and the descriptions of tools and schemas. It edits nothing.

use std::ops::Range;

use super::texts::Scan;
use crate::json;
use crate::text::{self, Kind, Role, TextMap, Visit, walk};

/// The pieces of the request in the order of its bytes. Anything that is not an object has none.
pub fn text_map(bytes: &[u8]) -> TextMap {
    let mut scan = Scan::new(bytes);
    walk::members(bytes, walk::blank(bytes, 0), |key, at| match &*json::name(bytes, &key) {
        b"messages" if bytes.get(at) == Some(&b'[') => {
            walk::items(bytes, at, |message| self::message(&mut scan, bytes, message))
        }
        b"messages" if bytes.get(at) == Some(&b'{') => message(&mut scan, bytes, at),
        b"messages" => oddly_placed(&mut scan, bytes, at),
        b"system" => {
            let value = json::value(bytes, at)?;
            let end = value.end;
            scan.content(value, Role::System, Kind::Text);
            Some(end)
        }
        b"tools" | b"output_config" | b"output_format" | b"context_management" => {
            let value = json::value(bytes, at)?;
            let end = value.end;
            descriptions(&mut scan.map, bytes, value);
            Some(end)
        }
        _ => walk::pass(bytes, at),
    });
    scan.done()
}

fn descriptions(map: &mut TextMap, bytes: &[u8], value: Range<usize>) {
    let visit = |key: &str, _| if matches!(key, "description" | "instructions") { Visit::Take } else { Visit::Enter };
    text::strings(bytes, value, false, visit, |literal| {
        map.push(bytes, Role::System, Kind::Other, 0, literal);
    });
}

/// The role may stand behind the content, so the pieces get it at the end.
fn message(scan: &mut Scan<'_>, bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'{') {
        return oddly_placed(scan, bytes, at);
    }
    let first = scan.map.pieces.len();
    let mut role = Role::Other;
    let end = walk::members(bytes, at, |key, at| {
        let value = json::value(bytes, at)?;
        let end = value.end;
        match &*json::name(bytes, &key) {
            b"role" => role = role_of(bytes, value),
            b"content" => scan.content(value, Role::Other, Kind::Text),
            b"id" | b"type" | b"model" | b"cache_control" => {}
            _ => scan.loose(value, Role::Other, Kind::Other),
        }
        Some(end)
    });
    let pieces = scan.map.pieces.get_mut(first..).unwrap_or_default();
    pieces.iter_mut().filter(|piece| piece.role == Role::Other).for_each(|piece| piece.role = role);
    end
}

/// Messages in a form that no dialect describes: some lenient provider may read them all the same.
fn oddly_placed(scan: &mut Scan<'_>, bytes: &[u8], at: usize) -> Option<usize> {
    let value = json::value(bytes, at)?;
    let end = value.end;
    scan.loose(value, Role::User, Kind::Text);
    Some(end)
}

fn role_of(bytes: &[u8], literal: Range<usize>) -> Role {
    match json::string(bytes, literal).as_deref() {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        Some("system" | "developer") => Role::System,
        _ => Role::Other,
    }
}

/// The text of the newest user message that has more than results of tools, its parts joined by a line feed.
pub fn last_user_text(bytes: &[u8]) -> Option<String> {
    let messages = json::field(bytes, 0, "messages")?;
    let list: Vec<Range<usize>> = match json::array(bytes, messages.start) {
        Some(items) => items.collect(),
        None => vec![messages],
    };
    list.into_iter().rev().find_map(|message| {
        let mut scan = Scan::new(bytes);
        self::message(&mut scan, bytes, message.start);
        text::lines(bytes, scan.map.pieces.iter().filter(|piece| piece.role == Role::User))
    })
}
