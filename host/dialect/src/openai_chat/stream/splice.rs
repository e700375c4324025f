//! Writing events: an event with some values replaced, and a new event around a text.

use std::ops::Range;

use bytes::Bytes;

use super::{Event, Place};
use crate::{json, splice};

/// Replacements in a document.
#[derive(Debug, Default)]
pub(crate) struct Edits {
    edits: Vec<(Range<usize>, Vec<u8>)>,
}

impl Edits {
    pub(crate) fn replace(&mut self, range: Range<usize>, with: impl Into<Vec<u8>>) {
        self.edits.push((range, with.into()));
    }

    pub(crate) fn text(&mut self, literal: Range<usize>, text: &str) {
        let mut quoted = Vec::with_capacity(text.len() + 2);
        json::quote(text, &mut quoted);
        self.edits.push((literal, quoted));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.edits.is_empty()
    }

    /// Takes the choices that `gone` names out of the array, commas included.
    pub(crate) fn remove_choices(&mut self, event: &Event, gone: impl Fn(u32) -> bool) {
        let mut kept = false;
        let mut before: Option<usize> = None;
        for (position, choice) in event.choices.iter().enumerate() {
            let object = &choice.object;
            if !gone(choice.index) {
                kept = true;
            } else if let (true, Some(before)) = (kept, before) {
                self.replace(before..object.end, Vec::new());
            } else {
                let end = event.choices.get(position + 1).map_or(object.end, |next| next.object.start);
                self.replace(object.start..end, Vec::new());
            }
            before = Some(object.end);
        }
    }

    /// The document with every replacement made.
    pub(crate) fn apply(mut self, data: &[u8]) -> Bytes {
        self.edits.sort_by_key(|(range, _)| range.start);
        let edits: Vec<_> = self.edits.iter().map(|(range, with)| (range.clone(), with.as_slice())).collect();
        splice::splice(data, &edits)
    }
}

/// The finish reason of a choice that a hook ended.
pub(crate) fn refusing_reason() -> &'static [u8] {
    b"\"content_filter\""
}

/// What a made event says of its choice.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says<'a> {
    /// Not of [`Place::Loose`]: what surrounds such a text is unknown, so the event would say nothing.
    Text(Place, &'a str),
    /// The choice ends here, with [`refusing_reason`].
    Refused,
}

/// Members that name the stream and so belong on every event of it. Nothing else of the template is taken over: it may be said once, or
/// repeat text.
const IDENTITY: [&[u8]; 7] =
    [b"id", b"object", b"created", b"model", b"provider", b"service_tier", b"system_fingerprint"];

/// A new event of the stream that `template`, the data of an earlier event, belongs to.
pub(crate) fn synthesise(template: &[u8], choice: u32, says: Says<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.push(b'{');
    for member in json::object(template, 0).into_iter().flatten() {
        if IDENTITY.contains(&&*json::name(template, &member.key)) {
            out.extend_from_slice(template.get(member.key).unwrap_or_default());
            out.push(b':');
            out.extend_from_slice(template.get(member.value).unwrap_or_default());
            out.push(b',');
        }
    }
    out.extend_from_slice(format!("\"choices\":[{{\"index\":{choice},\"delta\":").as_bytes());
    match says {
        Says::Text(place, text) => {
            delta(place, text, &mut out);
            out.extend_from_slice(b",\"finish_reason\":null}]}");
        }
        Says::Refused => {
            out.extend_from_slice(b"{},\"finish_reason\":");
            out.extend_from_slice(refusing_reason());
            out.extend_from_slice(b"}]}");
        }
    }
    out
}

fn delta(place: Place, text: &str, out: &mut Vec<u8>) {
    let (before, after) = match place {
        Place::Member(name) => (format!("{{\"{name}\":"), "}"),
        Place::Part => ("{\"content\":[{\"type\":\"text\",\"text\":".to_owned(), "}]}"),
        Place::Thinking => {
            ("{\"content\":[{\"type\":\"thinking\",\"thinking\":[{\"type\":\"text\",\"text\":".to_owned(), "}]}]}")
        }
        Place::Detail(name) => {
            let kind = if name == "summary" { "reasoning.summary" } else { "reasoning.text" };
            (format!("{{\"reasoning_details\":[{{\"type\":\"{kind}\",\"{name}\":"), "}]}")
        }
        Place::Tool { index, custom, .. } => {
            let (body, text) = if custom { ("custom", "input") } else { ("function", "arguments") };
            (format!("{{\"tool_calls\":[{{\"index\":{index},\"{body}\":{{\"{text}\":"), "}}]}")
        }
        Place::FunctionCall => ("{\"function_call\":{\"arguments\":".to_owned(), "}}"),
        Place::Transcript => ("{\"audio\":{\"transcript\":".to_owned(), "}}"),
        Place::ChoiceText => ("{\"content\":".to_owned(), "}"),
        Place::Block(block) => (format!("{{\"block\":{block},\"text\":"), "}"),
        Place::Loose { .. } => return out.extend_from_slice(b"{}"),
    };
    out.extend_from_slice(before.as_bytes());
    json::quote(text, out);
    out.extend_from_slice(after.as_bytes());
}
