//! The messages of a request.

use serde_json::Value;

use super::super::{OWN, thoughts};
use super::{Writer, content_part, refuse};
use crate::Dialect;
use crate::failure::Failure;
use crate::hub::{Asked, Call, Opaque, Part, Reasoning, Role, Source, State, Text, ToolResult, Turn};
use crate::json::build;

impl Writer<'_> {
    pub(super) fn turns(&mut self) -> Result<(), Failure> {
        build::key(&mut self.out, "messages");
        self.out.push(b'[');
        let chat = self.chat;
        // What tools gave back beside text: in a turn of the user's, behind all results that belong together.
        let mut shown: Vec<&Part> = Vec::new();
        for turn in &chat.turns {
            if turn.role == Role::Tool {
                for part in &turn.parts {
                    self.result(part, &mut shown)?;
                }
                continue;
            }
            if !shown.is_empty() {
                self.shown(&std::mem::take(&mut shown))?;
            }
            self.turn(turn)?;
        }
        if !shown.is_empty() {
            self.shown(&shown)?;
        }
        self.out.push(b']');
        Ok(())
    }

    fn open(&mut self, role: &str) {
        build::comma(&mut self.out);
        self.out.push(b'{');
        build::text(&mut self.out, "role", role);
    }

    fn shown(&mut self, parts: &[&Part]) -> Result<(), Failure> {
        self.open("user");
        self.content(parts, true)?;
        self.out.push(b'}');
        Ok(())
    }

    fn turn(&mut self, turn: &Turn) -> Result<(), Failure> {
        let developer = self.target.developer_role || self.target.canonical;
        self.open(match turn.role {
            Role::Developer if developer => "developer",
            Role::System | Role::Developer => "system",
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
        });
        build::maybe_text(&mut self.out, "name", turn.name.as_deref());
        if turn.role == Role::Assistant {
            self.assistant(turn)?;
        } else {
            let parts: Vec<&Part> = turn.parts.iter().collect();
            self.content(&parts, true)?;
        }
        build::members(&mut self.out, turn.rest.of(OWN));
        self.losses.beside(&turn.rest, OWN);
        self.out.push(b'}');
        Ok(())
    }

    fn assistant(&mut self, turn: &Turn) -> Result<(), Failure> {
        let said: Vec<&Part> = turn.parts.iter().filter(|part| is_content(part)).collect();
        let calls = turn.parts.iter().any(|part| matches!(part, Part::Call(_)));
        let refusal: String = turn
            .parts
            .iter()
            .filter_map(|part| if let Part::Refusal(text) = part { Some(text.as_str()) } else { None })
            .collect();
        if said.is_empty() && (calls || !refusal.is_empty()) {
            build::raw(&mut self.out, "content", "null");
        } else {
            self.content(&said, false)?;
        }
        if !refusal.is_empty() {
            build::text(&mut self.out, "refusal", &refusal);
        }
        self.thoughts(turn);
        if calls {
            build::key(&mut self.out, "tool_calls");
            self.out.push(b'[');
            for part in &turn.parts {
                if let Part::Call(call) = part {
                    self.call(call);
                }
            }
            self.out.push(b']');
        }
        Ok(())
    }

    /// A content: the text itself where there is one plain text, else parts. `media`: the role may show some.
    fn content(&mut self, parts: &[&Part], media: bool) -> Result<(), Failure> {
        build::key(&mut self.out, "content");
        if let [Part::Text(text)] = parts
            && text.rest.of(OWN).next().is_none()
        {
            crate::json::quote(&text.text, &mut self.out);
            self.text_losses(text);
            return Ok(());
        }
        let start = self.out.len();
        self.out.push(b'[');
        for part in parts {
            self.content_item(part, media)?;
        }
        if self.out.len() == start + 1 {
            // Nothing was said, and nothing is made up.
            self.out.truncate(start);
            self.out.extend_from_slice(b"\"\"");
            return Ok(());
        }
        self.out.push(b']');
        Ok(())
    }

    fn content_item(&mut self, part: &Part, shows: bool) -> Result<(), Failure> {
        match part {
            Part::Text(text) => {
                build::comma(&mut self.out);
                self.out.extend_from_slice(b"{\"type\":\"text\"");
                build::text(&mut self.out, "text", &text.text);
                build::members(&mut self.out, text.rest.of(OWN));
                self.out.push(b'}');
                self.text_losses(text);
            }
            Part::Media(media) => {
                if !shows && !self.target.canonical {
                    self.losses.lose(format!("messages.assistant.{}", kind_of(part)));
                    return Ok(());
                }
                if !self.target.canonical
                    && let Some(refusal) = refuse(media, self.target.openai_extras)
                {
                    return Err(refusal);
                }
                match content_part(part) {
                    Some(value) => {
                        build::comma(&mut self.out);
                        build::value(&mut self.out, &value);
                    }
                    None => self.losses.lose(format!("messages.{}", kind_of(part))),
                }
                self.losses.beside(&media.rest, OWN);
            }
            Part::Foreign(dialect, value) if *dialect == OWN => {
                build::comma(&mut self.out);
                build::value(&mut self.out, value);
            }
            Part::Foreign(_, value) if self.target.canonical => self.foreign(value),
            Part::Foreign(_, value) => self.losses.lose(format!("messages.{}", foreign_type(value))),
            Part::Refusal(text) => {
                build::comma(&mut self.out);
                self.out.extend_from_slice(b"{\"type\":\"text\"");
                build::text(&mut self.out, "text", text);
                self.out.push(b'}');
            }
            Part::Call(_) | Part::Result(_) | Part::Reasoning(_) => {
                self.losses.lose(format!("messages.{}", kind_of(part)));
            }
        }
        Ok(())
    }

    /// A part of another dialect, for plugins' eyes: with a type, so that it reads as a part.
    fn foreign(&mut self, value: &Value) {
        build::comma(&mut self.out);
        match value {
            Value::Object(members) if members.get("type").is_some_and(Value::is_string) => {
                build::value(&mut self.out, value);
            }
            Value::Object(members) => {
                self.out.push(b'{');
                build::text(&mut self.out, "type", foreign_type(value));
                build::members(&mut self.out, members.iter().filter(|(name, _)| *name != "type"));
                self.out.push(b'}');
            }
            _ => {
                self.out.extend_from_slice(b"{\"type\":\"other\"");
                build::member(&mut self.out, "value", value);
                self.out.push(b'}');
            }
        }
    }

    fn text_losses(&mut self, text: &Text) {
        self.losses.beside(&text.rest, OWN);
        if text.citations.is_some() && !self.target.canonical {
            self.losses.hint("citations");
        }
    }

    /// Thoughts go back to the provider that signed them, and as text to those that want it.
    fn thoughts(&mut self, turn: &Turn) {
        let thoughts: Vec<&Reasoning> = turn
            .parts
            .iter()
            .filter_map(|part| if let Part::Reasoning(thought) = part { Some(thought) } else { None })
            .collect();
        if thoughts.is_empty() {
            return;
        }
        let canonical = self.target.canonical;
        let fits = |opaque: &&Opaque| canonical || opaque.fits(OWN, self.target.provider);
        let details: Vec<Value> = thoughts
            .iter()
            .enumerate()
            .filter_map(|(index, thought)| {
                let opaque = thought.opaque.as_ref().filter(fits)?;
                Some(thoughts::detail(opaque, Some(&thought.text), thought.text.len(), index))
            })
            .collect();
        let text: String = thoughts.iter().map(|thought| thought.text.as_str()).collect();
        let wanted = (self.target.wants_reasoning_content || canonical) && !text.is_empty();
        if wanted {
            build::text(&mut self.out, "reasoning_content", &text);
        }
        if details.is_empty() && !wanted {
            return self.losses.hint("messages.reasoning");
        }
        if !details.is_empty() {
            build::member(&mut self.out, "reasoning_details", &Value::Array(details));
        }
    }

    fn call(&mut self, call: &Call) {
        let custom = call.custom && self.extras();
        let name = Asked::flat(call.namespace.as_deref(), &call.name);
        let canonical = self.target.canonical;
        // A provider of Gemini's models in this format takes Gemini's state.
        let fits = |opaque: &&Opaque| {
            canonical || [OWN, Dialect::Gemini].iter().any(|dialect| opaque.fits(*dialect, self.target.provider))
        };
        let opaque = call.opaque.as_ref().filter(fits);
        let out = &mut self.out;
        build::comma(out);
        out.push(b'{');
        build::text(out, "id", &call.id);
        let (kind, input) = if custom { ("custom", "input") } else { ("function", "arguments") };
        build::text(out, "type", kind);
        build::key(out, kind);
        out.push(b'{');
        build::text(out, "name", &name);
        if call.custom && !custom {
            build::text(out, input, &Asked::as_arguments(&call.arguments));
        } else if call.arguments.is_empty() && !custom {
            build::text(out, input, "{}");
        } else {
            build::text(out, input, &call.arguments);
        }
        out.push(b'}');
        if let Some(opaque) = opaque {
            build::member(out, "extra_content", &signature(opaque));
        }
        build::members(out, call.rest.of(OWN));
        out.push(b'}');
        self.losses.beside(&call.rest, OWN);
    }

    fn result<'a>(&mut self, part: &'a Part, shown: &mut Vec<&'a Part>) -> Result<(), Failure> {
        let Part::Result(ToolResult { id, parts, error, rest, .. }) = part else { return Ok(()) };
        self.open("tool");
        build::text(&mut self.out, "tool_call_id", id);
        // A document that is text can stand inside; other media cannot, for a provider.
        let outside = |part: &Part| matches!(part, Part::Media(media) if !matches!(media.source, Source::Text(_)));
        let (beside, inside): (Vec<&Part>, Vec<&Part>) =
            parts.iter().partition(|part| !self.target.canonical && outside(part));
        shown.extend(beside);
        self.content(&inside, true)?;
        build::members(&mut self.out, rest.of(OWN));
        self.losses.beside(rest, OWN);
        if *error {
            // The words of the result say so as well.
            self.losses.hint("messages.tool_result.is_error");
        }
        self.out.push(b'}');
        Ok(())
    }
}

fn is_content(part: &Part) -> bool {
    matches!(part, Part::Text(_) | Part::Media(_) | Part::Foreign(..) | Part::Result(_))
}

/// State of a call or a text, at Gemini's own place for it in this format: as it is if it is Gemini's, else wrapped.
pub(in super::super) fn signature(opaque: &Opaque) -> Value {
    let text = match &opaque.state {
        State::Signature(text) if opaque.dialect == Dialect::Gemini => text.clone(),
        _ => opaque.wrap(),
    };
    serde_json::json!({"google": {"thought_signature": text}})
}

/// What a part of another dialect calls itself.
pub(in super::super) fn foreign_type(value: &Value) -> &str {
    let first = || value.as_object().and_then(|members| members.keys().next()).map_or("other", String::as_str);
    value.get("type").and_then(Value::as_str).unwrap_or_else(first)
}

pub(in super::super) fn kind_of(part: &Part) -> &'static str {
    use crate::hub::MediaKind;
    match part {
        Part::Text(_) => "text",
        Part::Media(media) => match media.kind {
            MediaKind::Image => "image",
            MediaKind::Audio => "audio",
            MediaKind::Video => "video",
            MediaKind::File => "file",
        },
        Part::Call(_) => "tool_call",
        Part::Result(_) => "tool_result",
        Part::Reasoning(_) => "reasoning",
        Part::Refusal(_) => "refusal",
        Part::Foreign(..) => "foreign",
    }
}
