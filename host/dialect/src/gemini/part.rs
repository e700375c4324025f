//! Parts of a content: the same in requests and in replies.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::fields::Fields;
use crate::Dialect;
use crate::hub::{Call, Media, MediaKind, Opaque, Part, Reasoning, Rest, Source, State, Text, ToolResult};

/// Members that say that a part is one which other dialects have, too.
const KINDS: [&str; 7] =
    ["text", "functionCall", "functionResponse", "inlineData", "fileData", "thoughtSignature", "thought"];

/// Members that say that it is one of Google's own.
const OWN: [&str; 4] = ["executableCode", "codeExecutionResult", "toolCall", "toolResponse"];

/// Makes up ids for the calls that have none, and finds the call that a result without an id belongs to.
#[derive(Default)]
pub(super) struct Ids {
    /// Between `call_` and the number: what is unique of a reply, so that ids differ over a conversation.
    middle: String,
    /// How many calls there were.
    count: usize,
    used: HashSet<String>,
    /// Name and id of every call that no result has answered.
    open: Vec<(String, String)>,
}

impl Ids {
    /// For a reply: its id keeps made-up ids apart from those of the replies before.
    pub(super) fn of_reply(id: &str) -> Ids {
        // OpenAI takes call ids of at most 64 characters.
        const MOST: usize = 40;
        let plain = id.chars().filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_'));
        let mut middle: String = plain.take(MOST).collect();
        if !middle.is_empty() {
            middle.push('_');
        }
        Ids { middle, ..Ids::default() }
    }

    pub(super) fn call(&mut self, given: Option<String>, name: &str) -> String {
        self.count += 1;
        let given = given.filter(|id| !id.is_empty());
        let id = given.unwrap_or_else(|| {
            let mut number = self.count;
            loop {
                let id = format!("call_{}{number}", self.middle);
                if !self.used.contains(&id) {
                    return id;
                }
                number += 1;
            }
        });
        self.used.insert(id.clone());
        self.open.push((name.to_owned(), id.clone()));
        id
    }

    fn result(&mut self, given: Option<String>, name: Option<&str>) -> String {
        if let Some(id) = given.filter(|id| !id.is_empty()) {
            if let Some(at) = self.open.iter().position(|(_, open)| *open == id) {
                self.open.remove(at);
            }
            return id;
        }
        // In the order of the calls, which is all that older models' clients keep.
        let at = self.open.iter().position(|(called, _)| Some(called.as_str()) == name);
        match at {
            Some(at) => self.open.remove(at).1,
            None => {
                self.count += 1;
                format!("result_{}{}", self.middle, self.count)
            }
        }
    }
}

/// One part; `None` for one that says nothing.
pub(super) fn read(value: Value, ids: &mut Ids) -> Option<Part> {
    let members = match value {
        Value::Object(members) => members,
        Value::String(text) => return Some(Part::Text(Text::of(text))),
        _ => return None,
    };
    if members.is_empty() {
        return None;
    }
    let mut part = Fields::new(members);
    if !part.any(&KINDS) || part.any(&OWN) {
        return Some(Part::Foreign(Dialect::Gemini, Value::Object(part.left())));
    }
    let opaque = signature(&mut part);
    if let Some(call) = part.fields("functionCall") {
        return Some(Part::Call(read_call(call, part, opaque, ids)));
    }
    if let Some(result) = part.fields("functionResponse") {
        return Some(Part::Result(read_result(result, part, ids)));
    }
    if part.has("inlineData") || part.has("fileData") {
        return read_media(part);
    }
    let thought = part.flag("thought").unwrap_or(false);
    let text = part.text("text").unwrap_or_default();
    let rest = part.rest();
    if text.is_empty() && opaque.is_none() && rest.is_empty() {
        return None;
    }
    // A signature alone stands for thoughts that are not shown.
    if thought || (text.is_empty() && opaque.is_some()) {
        return Some(Part::Reasoning(Reasoning { text, summary: thought, opaque, rest }));
    }
    Some(Part::Text(Text { text, citations: None, opaque, rest }))
}

/// The state on a part.
pub(super) fn signature(part: &mut Fields) -> Option<Opaque> {
    let signature = part.text("thoughtSignature").filter(|signature| !signature.is_empty())?;
    Some(Opaque::read(Dialect::Gemini, &signature, |fresh| State::Signature(fresh.to_owned())))
}

/// Adds a part to those before it. Thoughts that a stream told in pieces become one again, since a signature belongs to all of them; the
/// signature of a text comes on an empty part behind it, another dialect's state of a thought there or on the call behind it.
pub(super) fn add(part: Part, parts: &mut Vec<Part>) {
    let foreign = |more: &Reasoning| more.text.is_empty() && more.opaque.as_ref().is_some_and(is_of_a_thought);
    let part = match part {
        Part::Call(mut call) if call.opaque.as_ref().is_some_and(is_of_a_thought) => {
            let thought = Reasoning { opaque: call.opaque.take(), ..Reasoning::default() };
            add(Part::Reasoning(thought), parts);
            Part::Call(call)
        }
        part => part,
    };
    match (part, parts.last_mut()) {
        (Part::Reasoning(more), Some(Part::Reasoning(begun)))
            if begun.opaque.is_none() && (more.summary || foreign(&more)) =>
        {
            begun.text.push_str(&more.text);
            begun.opaque = more.opaque;
        }
        (
            Part::Reasoning(Reasoning { text, summary: false, opaque: Some(opaque), .. }),
            Some(Part::Text(Text { opaque: place @ None, .. })),
        ) if text.is_empty() && opaque.dialect == Dialect::Gemini => *place = Some(opaque),
        (part, _) => parts.push(part),
    }
}

/// Whether it is another dialect's state of a thought with a text. Anthropic's hidden thoughts stand alone.
pub(super) fn is_of_a_thought(opaque: &Opaque) -> bool {
    match opaque.dialect {
        Dialect::Gemini => false,
        Dialect::Anthropic => matches!(opaque.state, State::Signature(_)),
        Dialect::OpenaiChat | Dialect::OpenaiResponses => true,
    }
}

/// Members of the inner object keep its name around them.
fn nested(name: &str, inner: Fields, part: Fields) -> Rest {
    let mut left = part.left();
    left.retain(|key, value| key != "thought" || *value != Value::Bool(false));
    let inner = inner.left();
    if !inner.is_empty() {
        left.insert(name.to_owned(), Value::Object(inner));
    }
    Rest::new(Dialect::Gemini, left)
}

fn read_call(mut call: Fields, part: Fields, opaque: Option<Opaque>, ids: &mut Ids) -> Call {
    let name = call.text("name").unwrap_or_default();
    let id = ids.call(call.text("id"), &name);
    let arguments = call.take("args").map_or_else(|| "{}".to_owned(), |args| args.to_string());
    let rest = nested("functionCall", call, part);
    Call { id, name, arguments, custom: false, namespace: None, opaque, rest }
}

fn read_result(mut result: Fields, part: Fields, ids: &mut Ids) -> ToolResult {
    let name = result.text("name").filter(|name| !name.is_empty());
    let id = ids.result(result.text("id"), name.as_deref());
    let (text, error) = result.take("response").map_or((None, false), response);
    let mut parts: Vec<Part> = text.map(|text| Part::Text(Text::of(text))).into_iter().collect();
    for media in result.list("parts") {
        parts.extend(read(media, ids));
    }
    let rest = nested("functionResponse", result, part);
    ToolResult { id, name, parts, error, custom: false, rest }
}

/// The words of a result: its JSON as it is, and whether it tells an error, in the way that the API documents.
fn response(value: Value) -> (Option<String>, bool) {
    match value {
        Value::String(text) => (Some(text), false),
        other => {
            let error = other.as_object().is_some_and(|members| members.len() == 1 && members.contains_key("error"));
            (Some(other.to_string()), error)
        }
    }
}

fn read_media(mut part: Fields) -> Option<Part> {
    let (name, mut data, source) = if let Some(mut data) = part.fields("inlineData") {
        let source = Source::Inline(data.text("data").unwrap_or_default());
        ("inlineData", data, source)
    } else {
        let mut data = part.fields("fileData")?;
        let uri = data.text("fileUri").unwrap_or_default();
        ("fileData", data, if is_stored(&uri) { Source::Id(uri) } else { Source::Url(uri) })
    };
    let mime = data.text("mimeType");
    let kind = kind_of(mime.as_deref());
    let file = data.text("displayName");
    let rest = nested(name, data, part);
    Some(Part::Media(Media { kind, source, mime, name: file, detail: None, rest }))
}

/// Whether only Google can read what stands there.
pub(super) fn is_stored(uri: &str) -> bool {
    ["https://generativelanguage.googleapis.com/", "gs://", "files/"].iter().any(|place| uri.starts_with(place))
}

fn kind_of(mime: Option<&str>) -> MediaKind {
    match mime.and_then(|mime| mime.split('/').next()) {
        Some("image") => MediaKind::Image,
        Some("audio") => MediaKind::Audio,
        Some("video") => MediaKind::Video,
        _ => MediaKind::File,
    }
}

/// The members of a part or a content that a map has beside those that are known.
pub(super) fn inner<'a>(rest: &'a Rest, name: &str) -> Option<&'a Map<String, Value>> {
    rest.of(Dialect::Gemini).find(|(key, _)| *key == name)?.1.as_object()
}
