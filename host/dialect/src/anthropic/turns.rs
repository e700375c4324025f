//! A conversation as Messages wants it: system texts apart, user and assistant in turns, results first in the message behind their calls.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::out::{Object, append, next};
use super::plan::thought_fits;
use super::write_request::{is_system, list};
use crate::failure::{Class, Failure};
use crate::hub::{
    Asked, Call, Chat, Losses, Media, MediaKind, Part, Reasoning, Role, Source, State, Target, Text, ToolResult, Turn,
};
use crate::{Dialect, json};

/// The items of both lists, joined by commas.
pub(super) struct Conversation {
    pub(super) system: Vec<u8>,
    pub(super) messages: Vec<u8>,
}

/// A message in the making.
struct Message {
    role: &'static str,
    results: Vec<u8>,
    blocks: Vec<u8>,
    rest: Vec<u8>,
}

/// A call that was written.
struct Called {
    id: String,
    /// The message that it stands in.
    at: usize,
    answered: bool,
}

struct Writer<'a> {
    target: &'a Target<'a>,
    losses: &'a mut Losses,
    system: Vec<u8>,
    messages: Vec<Message>,
    /// The calls by the ids that they had.
    calls: HashMap<&'a str, Vec<Called>>,
    /// The ids given so far: each may be used once.
    ids: HashSet<String>,
    /// The last text of all, if an assistant says it: it must not end in white space.
    last: Option<&'a Text>,
}

/// # Errors
/// A 400 for media that no block can hold.
pub(super) fn write<'a>(
    chat: &'a Chat,
    target: &'a Target<'a>,
    losses: &'a mut Losses,
) -> Result<Conversation, Failure> {
    let last = chat.turns.last().filter(|turn| turn.role == Role::Assistant).and_then(|turn| match turn.parts.last() {
        Some(Part::Text(text)) => Some(text),
        _ => None,
    });
    let (system, messages) = (Vec::new(), Vec::with_capacity(chat.turns.len()));
    let mut writer = Writer { target, losses, system, messages, calls: HashMap::new(), ids: HashSet::new(), last };
    // A conversation of nothing but instructions: the last of them has to be the question.
    let only = chat.turns.iter().all(|turn| is_system(turn.role)).then(|| chat.turns.len().saturating_sub(1));
    for (at, turn) in chat.turns.iter().enumerate() {
        if only == Some(at) {
            writer.losses.lose("messages.role");
            writer.turn(turn, "user")?;
        } else {
            writer.place(turn)?;
        }
    }
    Ok(writer.finish())
}

impl<'a> Writer<'a> {
    fn place(&mut self, turn: &'a Turn) -> Result<(), Failure> {
        if turn.name.is_some() {
            self.losses.lose("messages.name");
        }
        self.losses.beside(&turn.rest, Dialect::Anthropic);
        match turn.role {
            Role::System | Role::Developer => self.instructions(turn),
            Role::User => self.turn(turn, "user"),
            Role::Assistant => self.turn(turn, "assistant"),
            Role::Tool => self.results(turn),
        }
    }

    /// Instructions that are text stand before the conversation. What only this dialect has among them stays where it was.
    fn instructions(&mut self, turn: &'a Turn) -> Result<(), Failure> {
        if turn.parts.iter().any(|part| matches!(part, Part::Foreign(Dialect::Anthropic, _))) {
            return self.turn(turn, "system");
        }
        let mut blocks = std::mem::take(&mut self.system);
        for part in &turn.parts {
            match part {
                Part::Text(text) if text.text.trim().is_empty() => {}
                Part::Text(text) => self.text(text, &mut blocks),
                Part::Refusal(text) => plain(text, &mut blocks),
                _ => self.losses.lose("system.media"),
            }
        }
        self.system = blocks;
        Ok(())
    }

    fn turn(&mut self, turn: &'a Turn, role: &'static str) -> Result<(), Failure> {
        let mut blocks = Vec::new();
        let new = self.messages.last().is_none_or(|last| last.role != role);
        let at = self.messages.len() - usize::from(!new);
        // Among other things that the assistant said a blank text is taken back; alone, or from anyone else, it is refused.
        let blank = |part: &Part| matches!(part, Part::Text(text) if text.text.trim().is_empty());
        let keep_blank = role == "assistant" && !turn.parts.iter().all(blank);
        for part in turn.parts.iter().filter(|part| keep_blank || !blank(part)) {
            match part {
                Part::Call(call) => self.call(call, at, &mut blocks),
                part => self.part(part, role, &mut blocks)?,
            }
        }
        if blocks.is_empty() {
            return Ok(());
        }
        let at = self.message(role);
        if let Some(message) = self.messages.get_mut(at) {
            next(&mut message.blocks).extend_from_slice(&blocks);
            for (name, value) in turn.rest.of(Dialect::Anthropic) {
                message.rest.push(b',');
                json::quote(name, &mut message.rest);
                message.rest.push(b':');
                append(value, &mut message.rest);
            }
        }
        Ok(())
    }

    /// The message to write to: the last one if it is that role's, else a new one.
    fn message(&mut self, role: &'static str) -> usize {
        if self.messages.last().is_none_or(|last| last.role != role) {
            self.messages.push(Message { role, results: Vec::new(), blocks: Vec::new(), rest: Vec::new() });
        }
        self.messages.len() - 1
    }

    fn part(&mut self, part: &Part, role: &'static str, out: &mut Vec<u8>) -> Result<(), Failure> {
        match part {
            Part::Text(text) => self.text(text, out),
            Part::Refusal(text) => plain(text, out),
            Part::Reasoning(thought) => self.thought(thought, out),
            Part::Call(_) => {}
            // A model's images have no place in what an assistant said.
            Part::Media(_) if role != "user" => self.losses.lose("messages.assistant.media"),
            Part::Media(media) => self.media(media, out)?,
            Part::Foreign(Dialect::Anthropic, whole) => append(whole, next(out)),
            Part::Foreign(_, whole) => {
                let kind = whole.get("type").and_then(serde_json::Value::as_str).unwrap_or("unknown");
                self.losses.lose(format!("messages.{kind}"));
            }
            Part::Result(result) => self.result(result)?,
        }
        Ok(())
    }

    fn text(&mut self, text: &Text, out: &mut Vec<u8>) {
        let mut said = text.text.as_str();
        if self.last.is_some_and(|last| std::ptr::eq(last, text)) {
            said = said.trim_end();
        }
        if said.is_empty() {
            return;
        }
        let mut object = Object::typed(next(out), "text");
        object.text("text", said);
        match &text.citations {
            Some((Dialect::Anthropic, citations)) => {
                let mut items = Vec::new();
                citations.iter().for_each(|citation| append(citation, next(&mut items)));
                list(object.at("citations"), &items);
            }
            Some(_) => self.losses.hint("citations"),
            None => {}
        }
        object.rest(&text.rest);
        object.close();
        self.losses.beside(&text.rest, Dialect::Anthropic);
    }

    fn thought(&mut self, thought: &Reasoning, out: &mut Vec<u8>) {
        let opaque = thought.opaque.as_ref().filter(|_| thought_fits(thought, self.target));
        let Some(opaque) = opaque else {
            // Without a signature it is refused, and as text it would be words that nobody said.
            self.losses.hint("messages.reasoning");
            return;
        };
        let mut object = match &opaque.state {
            State::Signature(signature) => {
                let mut object = Object::typed(next(out), "thinking");
                object.text("thinking", &thought.text);
                object.text("signature", signature);
                object
            }
            State::Encrypted { data, .. } => {
                let mut object = Object::typed(next(out), "redacted_thinking");
                object.text("data", data);
                object
            }
        };
        object.rest(&thought.rest);
        object.close();
    }

    /// `at`: the message that it will stand in.
    fn call(&mut self, call: &'a Call, at: usize, out: &mut Vec<u8>) {
        let id = self.fresh(&call.id);
        let mut object = Object::typed(next(out), "tool_use");
        object.text("id", &id);
        object.text("name", &Asked::flat(call.namespace.as_deref(), &call.name));
        input(call, object.at("input"));
        object.rest(&call.rest);
        object.close();
        self.losses.beside(&call.rest, Dialect::Anthropic);
        self.calls.entry(&call.id).or_default().push(Called { id, at, answered: false });
    }

    /// An id that was not given yet: some providers number their calls from 0 in every reply.
    fn fresh(&mut self, id: &str) -> String {
        let base = call_id(id);
        let mut id = base.clone().into_owned();
        let mut count = 1;
        while !self.ids.insert(id.clone()) {
            count += 1;
            id = format!("{base}_{count}");
        }
        id
    }

    fn results(&mut self, turn: &'a Turn) -> Result<(), Failure> {
        for part in &turn.parts {
            match part {
                Part::Result(result) => self.result(result)?,
                other => {
                    let mut blocks = Vec::new();
                    self.part(other, "user", &mut blocks)?;
                    if !blocks.is_empty() {
                        let at = self.message("user");
                        if let Some(message) = self.messages.get_mut(at) {
                            next(&mut message.blocks).extend_from_slice(&blocks);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Into the message behind the one that made the call, before all else there.
    fn result(&mut self, result: &ToolResult) -> Result<(), Failure> {
        let (id, behind) = self.answer(&result.id);
        let mut block = Vec::new();
        let mut object = Object::typed(&mut block, "tool_result");
        object.text("tool_use_id", &id);
        let mut content = Vec::new();
        for part in &result.parts {
            self.part(part, "user", &mut content)?;
        }
        match result.parts.as_slice() {
            _ if content.is_empty() => {}
            [Part::Text(Text { text, rest, citations: None, .. })] if rest.is_empty() => object.text("content", text),
            _ => list(object.at("content"), &content),
        }
        if result.error {
            object.bool("is_error", true);
        }
        object.rest(&result.rest);
        object.close();
        self.losses.beside(&result.rest, Dialect::Anthropic);
        let at = behind.filter(|at| *at < self.messages.len()).unwrap_or_else(|| self.message("user"));
        if let Some(message) = self.messages.get_mut(at) {
            next(&mut message.results).extend_from_slice(&block);
        }
        Ok(())
    }

    /// The id of the call that is answered, and the message behind it: the first unanswered call of that id, else the last.
    fn answer(&mut self, id: &str) -> (String, Option<usize>) {
        let calls = self.calls.get_mut(id).map(Vec::as_mut_slice).unwrap_or_default();
        let at = calls.iter().position(|call| !call.answered).unwrap_or(calls.len().saturating_sub(1));
        match calls.get_mut(at) {
            Some(call) => {
                call.answered = true;
                (call.id.clone(), Some(call.at + 1))
            }
            None => (call_id(id).into_owned(), None),
        }
    }

    fn media(&mut self, media: &Media, out: &mut Vec<u8>) -> Result<(), Failure> {
        for (name, whole) in media.rest.of(Dialect::Anthropic) {
            if matches!(name.as_str(), "search_result" | "document") {
                append(whole, next(out));
                return Ok(());
            }
        }
        let source = source(media)?;
        let mut object = Object::typed(next(out), if source.image { "image" } else { "document" });
        let mut from = Object::typed(object.at("source"), source.kind);
        if let Some(mime) = source.mime {
            from.text("media_type", mime);
        }
        from.text(source.field, &source.data);
        from.close();
        if let (Some(name), false) = (&media.name, source.image) {
            object.text("title", name);
        }
        object.rest(&media.rest);
        object.close();
        self.losses.beside(&media.rest, Dialect::Anthropic);
        if media.detail.as_deref().is_some_and(|detail| detail != "auto") {
            self.losses.hint("detail");
        }
        Ok(())
    }

    fn finish(self) -> Conversation {
        let mut out = Vec::with_capacity(self.messages.iter().map(|it| it.blocks.len() + it.results.len() + 48).sum());
        for Message { role, results, mut blocks, rest } in self.messages {
            if !results.is_empty() && !blocks.is_empty() {
                blocks.insert(0, b',');
            }
            let mut object = Object::open(next(&mut out));
            object.text("role", role);
            let content = object.at("content");
            content.push(b'[');
            content.extend_from_slice(&results);
            content.extend_from_slice(&blocks);
            content.push(b']');
            content.extend_from_slice(&rest);
            object.close();
        }
        Conversation { system: self.system, messages: out }
    }
}

fn plain(text: &str, out: &mut Vec<u8>) {
    if !text.trim().is_empty() {
        let mut object = Object::typed(next(out), "text");
        object.text("text", text);
        object.close();
    }
}

/// Ids may have letters, digits, `_` and `-` only.
fn call_id(id: &str) -> Cow<'_, str> {
    let fits = |character: char| character.is_ascii_alphanumeric() || matches!(character, '_' | '-');
    if id.chars().all(fits) {
        return Cow::Borrowed(id);
    }
    Cow::Owned(id.chars().map(|character| if fits(character) { character } else { '_' }).collect())
}

/// A call's arguments as the object that they have to be.
pub(super) fn input(call: &Call, out: &mut Vec<u8>) {
    let source = call.arguments.trim_ascii();
    if call.custom {
        let mut object = Object::open(out);
        object.text("input", &call.arguments);
        object.close();
    } else if source.is_empty() {
        out.extend_from_slice(b"{}");
    } else if let Some(object) = json::object_source(source) {
        out.extend_from_slice(&object);
    } else {
        // Truncated, or no object: not a letter of it is lost.
        let mut object = Object::open(out);
        object.text("arguments", &call.arguments);
        object.close();
    }
}

/// Where a block's media comes from, in the dialect's words.
struct Origin<'a> {
    image: bool,
    kind: &'static str,
    field: &'static str,
    mime: Option<&'a str>,
    data: Cow<'a, str>,
}

fn source(media: &Media) -> Result<Origin<'_>, Failure> {
    match media.kind {
        MediaKind::Audio => return Err(unsupported("audio")),
        MediaKind::Video => return Err(unsupported("video")),
        MediaKind::Image | MediaKind::File => {}
    }
    let image = media.kind == MediaKind::Image;
    let (kind, field, data) = match &media.source {
        Source::Url(url) => match url.strip_prefix("data:").and_then(|rest| rest.split_once(";base64,")) {
            Some((mime, data)) => {
                return inline(media.kind, (!mime.is_empty()).then_some(mime), media.name.as_deref(), data);
            }
            None => ("url", "url", url),
        },
        Source::Id(id) if id.starts_with("file-") => {
            return Err(Failure::invalid(
                "unsupported_file",
                "A file that was uploaded to another provider cannot be used by this model's; send its content instead.",
            ));
        }
        Source::Id(id) => ("file", "file_id", id),
        Source::Text(text) => {
            let (mime, data) = (Some("text/plain"), Cow::Borrowed(text.as_str()));
            return Ok(Origin { image: false, kind: "text", field: "data", mime, data });
        }
        Source::Inline(data) => return inline(media.kind, media.mime.as_deref(), media.name.as_deref(), data),
    };
    Ok(Origin { image, kind, field, mime: None, data: Cow::Borrowed(data) })
}

fn inline<'a>(
    kind: MediaKind,
    mime: Option<&'a str>,
    name: Option<&str>,
    data: &'a str,
) -> Result<Origin<'a>, Failure> {
    let mime = match mime.filter(|mime| *mime != "application/octet-stream") {
        Some("image/jpg") => Some("image/jpeg"),
        None => guess(kind, name, data),
        mime => mime,
    };
    let data = Cow::Borrowed(data);
    match mime {
        Some(image) if image.starts_with("image/") => {
            Ok(Origin { image: true, kind: "base64", field: "data", mime, data })
        }
        Some("application/pdf") => Ok(Origin { image: false, kind: "base64", field: "data", mime, data }),
        Some(audio) if audio.starts_with("audio/") => Err(unsupported("audio")),
        Some(video) if video.starts_with("video/") => Err(unsupported("video")),
        other => {
            let text = STANDARD.decode(data.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
            match text {
                Some(text) => {
                    let mime = Some("text/plain");
                    Ok(Origin { image: false, kind: "text", field: "data", mime, data: Cow::Owned(text) })
                }
                None => Err(unsupported(other.unwrap_or("such"))),
            }
        }
    }
}

/// What the first letters of the base64, or the name, say of the type.
fn guess(kind: MediaKind, name: Option<&str>, data: &str) -> Option<&'static str> {
    const HEADS: [(&str, &str); 5] = [
        ("/9j/", "image/jpeg"),
        ("iVBOR", "image/png"),
        ("R0lG", "image/gif"),
        ("UklGR", "image/webp"),
        ("JVBER", "application/pdf"),
    ];
    let head = HEADS.iter().find(|(head, _)| data.starts_with(head)).map(|(_, mime)| *mime);
    head.or_else(|| match kind {
        MediaKind::Image => Some("image/png"),
        _ => name.filter(|name| name.to_ascii_lowercase().ends_with(".pdf")).map(|_| "application/pdf"),
    })
}

fn unsupported(what: &str) -> Failure {
    let message = format!(
        "The model's provider takes no {what} files here: text, PDF, JPEG, PNG, GIF and WebP only. Leave it out or choose another model."
    );
    Failure::invalid("unsupported_media", message).with_class(Class::Unsupported)
}
