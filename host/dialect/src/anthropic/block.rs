//! Content blocks, read: the same in requests and replies.
//!
//! A block that the provider itself acts on (its tools and what they gave back, compactions) and one that nobody here knows is
//! [`Part::Foreign`], never a call for the client to run.

use serde_json::Value;

use super::members::Members;
use crate::Dialect;
use crate::hub::{Call, Media, MediaKind, Opaque, Part, Reasoning, Rest, Source, State, Text, ToolResult};

/// Begins the id in wrapped state that belongs to a call or a text of another dialect: the dialect has no place for it there, so it
/// travels as `redacted_thinking` beside. What follows is the call's id, or nothing for the text before.
pub(super) const BESIDE: &str = "beside:";

/// Whether it can be a `content`: a string, a list of blocks and strings, or a single block.
pub(super) fn readable(content: &Value) -> bool {
    let item = |value: &Value| matches!(value, Value::Null | Value::String(_) | Value::Object(_));
    match content {
        Value::Array(list) => list.iter().all(item),
        one => item(one),
    }
}

/// The parts of a [`readable`] content.
pub(super) fn read_all(content: Option<Value>) -> Vec<Part> {
    let list = match content {
        None => return Vec::new(),
        Some(Value::Array(list)) => list,
        Some(one) => vec![one],
    };
    let mut parts = Vec::with_capacity(list.len());
    for item in list {
        match item {
            Value::String(text) if !text.is_empty() => parts.push(Part::Text(Text::of(text))),
            Value::Object(members) => read(Members(members), &mut parts),
            _ => {}
        }
    }
    if parts.iter().any(|part| owner(part).is_some()) {
        settle(&mut parts);
    }
    parts
}

/// One block. Nearly always one part.
pub(super) fn read(mut block: Members, parts: &mut Vec<Part>) {
    let part = match block.str("type") {
        Some("text") | None if block.str("text").is_some() => text(block),
        Some("thinking") => thinking(block),
        Some("redacted_thinking") if block.str("data").is_some() => redacted(block),
        Some("tool_use") if block.str("name").is_some() => call(block),
        Some("tool_result") => result(block),
        Some("image") => media(block, MediaKind::Image),
        Some("document") => return document(block, parts),
        Some("search_result") => match written(block.0.get("content")) {
            Some(text) => {
                let name = block.str("title").map(str::to_owned);
                Some(as_text("search_result", block, text, name))
            }
            None => Some(foreign(block)),
        },
        _ => {
            block.0.retain(|_, value| !value.is_null());
            Some(foreign(block))
        }
    };
    parts.extend(part);
}

fn foreign(block: Members) -> Part {
    Part::Foreign(Dialect::Anthropic, Value::Object(block.0))
}

fn text(mut block: Members) -> Option<Part> {
    block.0.shift_remove("type");
    let text = block.string("text")?;
    let citations = match block.0.get("citations") {
        Some(Value::Array(_)) => block.list("citations"),
        _ => Vec::new(),
    };
    let citations = (!citations.is_empty()).then_some((Dialect::Anthropic, citations));
    Some(Part::Text(Text { text, citations, opaque: None, rest: block.rest() }))
}

fn thinking(mut block: Members) -> Option<Part> {
    block.0.shift_remove("type");
    let text = block.string("thinking").unwrap_or_default();
    let opaque = block.string("signature").and_then(|signature| signed(&signature));
    Some(Part::Reasoning(Reasoning { text, summary: false, opaque, rest: block.rest() }))
}

/// The state behind a signature; `None` for an empty one, also where it was wrapped.
pub(super) fn signed(signature: &str) -> Option<Opaque> {
    let opaque = Opaque::read(Dialect::Anthropic, signature, |text| State::Signature(text.to_owned()));
    (!matches!(&opaque.state, State::Signature(text) if text.is_empty())).then_some(opaque)
}

fn redacted(mut block: Members) -> Option<Part> {
    block.0.shift_remove("type");
    let data = block.string("data")?;
    let opaque = Opaque::read(Dialect::Anthropic, &data, |data| State::Encrypted { data: data.to_owned(), id: None });
    Some(Part::Reasoning(Reasoning { opaque: Some(opaque), rest: block.rest(), ..Reasoning::default() }))
}

/// The call or text that a thought's state belongs to, where it travelled beside it.
fn owner(part: &Part) -> Option<&str> {
    let Part::Reasoning(Reasoning { opaque: Some(opaque), .. }) = part else { return None };
    match &opaque.state {
        State::Encrypted { id: Some(id), .. } => id.strip_prefix(BESIDE),
        _ => None,
    }
}

/// Gives state that travelled beside a call or a text back to it; clients may have put it elsewhere. Where its owner is gone it stays a
/// thought without text.
fn settle(parts: &mut Vec<Part>) {
    let mut at = 0;
    while let Some(part) = parts.get(at) {
        let Some(of) = owner(part) else {
            at += 1;
            continue;
        };
        let place = parts.iter().enumerate().rev().find_map(|(place, part)| match part {
            Part::Call(call) if call.id == of => Some(place),
            Part::Text(_) if of.is_empty() && place < at => Some(place),
            _ => None,
        });
        let Part::Reasoning(Reasoning { opaque: Some(mut opaque), .. }) = parts.remove(at) else { continue };
        if let State::Encrypted { data, .. } = opaque.state {
            opaque.state = State::Signature(data);
        }
        // What stood behind the thought has moved up.
        match place.and_then(|place| parts.get_mut(if place > at { place - 1 } else { place })) {
            Some(Part::Call(call)) => call.opaque = Some(opaque),
            Some(Part::Text(text)) => text.opaque = Some(opaque),
            _ => {
                parts.insert(at, Part::Reasoning(Reasoning { opaque: Some(opaque), ..Reasoning::default() }));
                at += 1;
            }
        }
    }
}

fn call(mut block: Members) -> Option<Part> {
    block.0.shift_remove("type");
    let id = block.string("id").unwrap_or_default();
    let name = block.string("name")?;
    let arguments = match block.any("input") {
        None => String::new(),
        Some(Value::String(text)) => text,
        Some(input) => input.to_string(),
    };
    Some(Part::Call(Call { id, name, arguments, rest: block.rest(), ..Call::default() }))
}

fn result(mut block: Members) -> Option<Part> {
    block.0.shift_remove("type");
    let id = block.string("tool_use_id").unwrap_or_default();
    let error = block.bool("is_error").unwrap_or(false);
    let parts = match block.any("content") {
        // A number or a list of lists: its JSON is what the tool gave back.
        Some(odd) if !readable(&odd) => vec![Part::Text(Text::of(odd.to_string()))],
        content => read_all(content),
    };
    Some(Part::Result(ToolResult { id, name: None, parts, error, custom: false, rest: block.rest() }))
}

/// The texts of a content that has nothing else, joined by empty lines.
fn written(content: Option<&Value>) -> Option<String> {
    let list = match content? {
        Value::String(text) => return Some(text.clone()),
        Value::Array(list) => list.as_slice(),
        one => std::slice::from_ref(one),
    };
    let texts: Option<Vec<&str>> = list.iter().map(|block| block.get("text")?.as_str()).collect();
    texts.map(|texts| texts.join("\n\n"))
}

/// A block whose text another dialect can have as a document; the block itself is kept for this one.
fn as_text(kind: &str, block: Members, text: String, name: Option<String>) -> Part {
    let mut whole = serde_json::Map::new();
    whole.insert(kind.to_owned(), Value::Object(block.0));
    Part::Media(Media {
        kind: MediaKind::File,
        source: Source::Text(text),
        mime: Some("text/plain".to_owned()),
        name,
        detail: None,
        rest: Rest::new(Dialect::Anthropic, whole),
    })
}

fn document(block: Members, parts: &mut Vec<Part>) {
    let content = block.0.get("source").filter(|source| kind_of(source) == "content").and_then(|it| it.get("content"));
    if content.is_none() {
        parts.extend(media(block, MediaKind::File));
        return;
    }
    match written(content) {
        Some(text) => {
            let name = block.str("title").map(str::to_owned);
            parts.push(as_text("document", block, text, name));
        }
        // Images among the texts: each block by itself, for no dialect has such a document.
        None => parts.extend(read_all(content.cloned())),
    }
}

fn kind_of(source: &Value) -> &str {
    source.get("type").and_then(Value::as_str).unwrap_or_default()
}

/// An image or a document with a source of its own.
fn media(mut block: Members, kind: MediaKind) -> Option<Part> {
    let field = match block.0.get("source").map(kind_of) {
        Some("base64" | "text") => "data",
        Some("url") => "url",
        Some("file") => "file_id",
        _ => return Some(foreign(block)),
    };
    if block.0.get("source").and_then(|source| source.get(field)?.as_str()).is_none() {
        return Some(foreign(block));
    }
    block.0.shift_remove("type");
    let mut source = block.object("source")?;
    let data = source.string(field)?;
    let mime = source.string("media_type");
    let source = match (field, source.str("type")) {
        ("url", _) => Source::Url(data),
        ("file_id", _) => Source::Id(data),
        (_, Some("text")) => Source::Text(data),
        _ => Source::Inline(data),
    };
    let name = if kind == MediaKind::File { block.string("title") } else { None };
    Some(Part::Media(Media { kind, source, mime, name, detail: None, rest: block.rest() }))
}
