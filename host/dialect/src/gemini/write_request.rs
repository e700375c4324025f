//! A request for Gemini or Vertex. The model and whether to stream stand in the address, not here.
//!
//! Strict where the API is: one content per run of a role, results as objects directly behind their calls, and for models that check them
//! (Gemini 3) a signature on the first call of each step since the user last spoke.

use std::collections::HashMap;

use bytes::Bytes;

use super::{write_config, write_part};
use crate::Dialect;
use crate::failure::Failure;
use crate::hub::{
    Asked, Call, Chat, Losses, Media, Opaque, Part, Reasoning, Rest, Role, Source, Target, ToolResult, Turn,
};
use crate::json::build as put;

/// What Google documents for a call whose signature is not at hand, for instance one that another model made.
const NO_SIGNATURE: &str = "skip_thought_signature_validator";

/// The request, and what of it cannot be said.
///
/// # Errors
/// A 400 for a file that another provider stores.
pub(super) fn write(chat: &Chat, target: &Target<'_>) -> Result<(Bytes, Losses), Failure> {
    let mut writer = Writer {
        target,
        names: HashMap::new(),
        losses: Losses::default(),
        out: Vec::with_capacity(1024),
        // The newest turn begins behind what the user said last.
        newest: chat.turns.iter().rposition(|turn| turn.role == Role::User).map_or(0, |at| at + 1),
    };
    writer.out.push(b'{');
    writer.contents(chat)?;
    writer.system(chat);
    let Writer { mut losses, mut out, .. } = writer;
    write_config::tools(chat, &mut losses, &mut out);
    write_config::generation(chat, target, &mut losses, &mut out);
    write_config::beside(chat, &mut losses, &mut out);
    out.push(b'}');
    Ok((Bytes::from(out), losses))
}

struct Writer<'a> {
    target: &'a Target<'a>,
    /// Call id to tool name.
    names: HashMap<&'a str, String>,
    losses: Losses,
    out: Vec<u8>,
    newest: usize,
}

fn is_system(turn: &Turn) -> bool {
    matches!(turn.role, Role::System | Role::Developer)
}

impl<'a> Writer<'a> {
    /// System texts, wherever they stand: the API has one place for them.
    fn system(&mut self, chat: &Chat) {
        let turns = chat.turns.iter().filter(|turn| is_system(turn));
        if !speaks(chat) || turns.clone().all(|turn| turn.parts.is_empty()) {
            return;
        }
        put::key(&mut self.out, "systemInstruction");
        self.out.extend_from_slice(b"{\"parts\":[");
        for turn in turns {
            self.losses.beside(&turn.rest, Dialect::Gemini);
            for part in &turn.parts {
                match part {
                    Part::Text(text) => {
                        self.losses.beside(&text.rest, Dialect::Gemini);
                        write_part::text(&text.text, false, None, &text.rest, &mut self.out);
                    }
                    Part::Foreign(Dialect::Gemini, value) => write_part::foreign(value, &mut self.out),
                    Part::Media(media) if write_part::can_say(media) => {
                        write_part::media(media, &mut self.losses, &mut self.out);
                    }
                    _ => self.losses.lose("system"),
                }
            }
        }
        self.out.extend_from_slice(b"]}");
    }

    fn contents(&mut self, chat: &'a Chat) -> Result<(), Failure> {
        put::key(&mut self.out, "contents");
        self.out.push(b'[');
        let speaks = speaks(chat);
        if !speaks && chat.turns.iter().any(|turn| !turn.parts.is_empty()) {
            self.losses.lose("messages.role");
        }
        let (mut role, mut start) = (None, None);
        // Media of results, to stand behind the last result of their content.
        let mut media: Vec<&'a Media> = Vec::new();
        let mut signed = false;
        for (at, turn) in chat.turns.iter().enumerate() {
            if (speaks && is_system(turn)) || turn.parts.is_empty() {
                continue;
            }
            let own = if turn.role == Role::Assistant { "model" } else { "user" };
            if turn.role != Role::Tool {
                self.media(&mut media)?;
            }
            if role != Some(own) {
                self.content_ends(start);
                start = Some(self.out.len());
                put::comma(&mut self.out);
                self.out.push(b'{');
                put::text(&mut self.out, "role", own);
                put::members(&mut self.out, turn.rest.of(Dialect::Gemini));
                put::key(&mut self.out, "parts");
                self.out.push(b'[');
                role = Some(own);
                signed = at < self.newest || !self.target.thinking_level;
            }
            self.losses.beside(&turn.rest, Dialect::Gemini);
            if turn.name.is_some() {
                self.losses.hint("name");
            }
            for part in &turn.parts {
                self.part(part, &mut signed, &mut media, chat)?;
            }
        }
        self.media(&mut media)?;
        self.content_ends(start);
        self.out.push(b']');
        Ok(())
    }

    /// Ends the content that began at `start`. The API refuses one without parts.
    fn content_ends(&mut self, start: Option<usize>) {
        let Some(start) = start else { return };
        if self.out.last() == Some(&b'[') {
            self.out.truncate(start);
        } else {
            self.out.extend_from_slice(b"]}");
        }
    }

    fn media(&mut self, waiting: &mut Vec<&'a Media>) -> Result<(), Failure> {
        for media in waiting.drain(..) {
            one_media(media, &mut self.losses, &mut self.out)?;
        }
        Ok(())
    }

    fn part(
        &mut self,
        part: &'a Part,
        signed: &mut bool,
        media: &mut Vec<&'a Media>,
        chat: &'a Chat,
    ) -> Result<(), Failure> {
        match part {
            Part::Text(text) => {
                let signature = self.fitting(text.opaque.as_ref());
                self.losses.beside(&text.rest, Dialect::Gemini);
                write_part::text(&text.text, false, signature, &text.rest, &mut self.out);
            }
            Part::Refusal(text) => write_part::text(text, false, None, &Rest::default(), &mut self.out),
            Part::Reasoning(thought) => self.reasoning(thought),
            Part::Call(call) => self.call(call, signed),
            Part::Result(result) => self.result(result, media, chat)?,
            Part::Media(media) => one_media(media, &mut self.losses, &mut self.out)?,
            Part::Foreign(Dialect::Gemini, value) => write_part::foreign(value, &mut self.out),
            Part::Foreign(_, value) => {
                let kind = value.get("type").and_then(serde_json::Value::as_str).unwrap_or("block");
                self.losses.lose(format!("messages.{kind}"));
            }
        }
        Ok(())
    }

    fn fitting<'o>(&self, opaque: Option<&'o Opaque>) -> Option<&'o str> {
        let fits = |opaque: &&Opaque| opaque.fits(Dialect::Gemini, self.target.provider);
        opaque.filter(fits).map(write_part::signature)
    }

    /// Thoughts without text are nothing but their state, so another provider's are left out; thoughts with text are told as thoughts.
    fn reasoning(&mut self, thought: &Reasoning) {
        let signature = self.fitting(thought.opaque.as_ref());
        if thought.text.is_empty() && signature.is_none() {
            return;
        }
        let shown = !thought.text.is_empty();
        write_part::text(&thought.text, shown, signature, &thought.rest, &mut self.out);
    }

    fn call(&mut self, call: &'a Call, signed: &mut bool) {
        let own = self.fitting(call.opaque.as_ref());
        // Of parallel calls the first one alone carries a signature.
        let signature = own.or_else(|| (!*signed).then_some(NO_SIGNATURE));
        *signed = true;
        let name = Asked::flat(call.namespace.as_deref(), &call.name).into_owned();
        let custom = call.custom.then(|| Asked::as_arguments(&call.arguments));
        let arguments = custom.as_deref().unwrap_or(&call.arguments);
        self.losses.beside(&call.rest, Dialect::Gemini);
        write_part::call(&call.id, &name, arguments, signature, &call.rest, &mut self.out);
        self.names.insert(&call.id, name);
    }

    fn result(&mut self, result: &'a ToolResult, media: &mut Vec<&'a Media>, chat: &Chat) -> Result<(), Failure> {
        let named = self.names.get(result.id.as_str()).map(String::as_str);
        // The API wants a name; a result of a call that is not in the conversation has its id at least.
        let name =
            named.or(result.name.as_deref()).or_else(|| chat.tool_of(&result.id)).unwrap_or(&result.id).to_owned();
        let (mut texts, mut inside) = (Vec::new(), Vec::new());
        for part in &result.parts {
            match part {
                Part::Text(text) => {
                    self.losses.beside(&text.rest, Dialect::Gemini);
                    texts.push(text.text.as_str());
                }
                Part::Refusal(text) => texts.push(text),
                Part::Media(Media { source: Source::Text(text), .. }) => texts.push(text),
                Part::Media(one) => inside.push(one),
                _ => self.losses.lose("tool result"),
            }
        }
        self.losses.beside(&result.rest, Dialect::Gemini);
        // Only the models that set their thinking by level take media inside a result.
        if !self.target.thinking_level {
            media.append(&mut inside);
        }
        if let Some(unknown) = inside.iter().find(|media| !write_part::can_say(media)) {
            return Err(stored_elsewhere(unknown));
        }
        write_part::result(result, &name, &texts, &inside, &mut self.losses, &mut self.out);
        Ok(())
    }
}

/// Whether anything but instructions is said. A conversation of instructions alone is sent as the user's words, since the API wants some.
fn speaks(chat: &Chat) -> bool {
    chat.turns.iter().any(|turn| !is_system(turn) && !turn.parts.is_empty())
}

fn one_media(media: &Media, losses: &mut Losses, out: &mut Vec<u8>) -> Result<(), Failure> {
    if !write_part::can_say(media) {
        return Err(stored_elsewhere(media));
    }
    write_part::media(media, losses, out);
    Ok(())
}

fn stored_elsewhere(_media: &Media) -> Failure {
    let message = "The message refers to a file that another provider stores, which this target cannot read. Send the file's data or a URL.";
    Failure::invalid("unsupported_file_reference", message).with_class(crate::failure::Class::Unsupported)
}
