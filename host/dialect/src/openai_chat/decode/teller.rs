//! What the events of one choice say, as blocks of the hub.

use serde_json::{Map, Value};

use super::super::read_reply::settled;
use super::super::{OWN, content, take, thoughts};
use super::{MAX, too_many};
use crate::failure::Failure;
use crate::hub::{BlockKind, Delta, Opaque, Part, Rest};

#[derive(Default)]
pub(super) struct Choice {
    pub next: u32,
    pub open: Option<Open>,
    /// The newest text, for what is said of it later.
    pub text: Option<u32>,
    pub calls: Vec<Call>,
    /// Blocks of thoughts by their own numbers, with what is known of them beside text.
    pub thoughts: Vec<Thought>,
    pub refused: bool,
    pub reason: Option<String>,
    pub rest: Map<String, Value>,
    pub annotations: Vec<Value>,
}

pub(super) struct Open {
    block: u32,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// With the position in [`Choice::thoughts`] where the provider numbers them.
    Thought(Option<usize>),
    Refusal,
    Call,
    Other,
}

pub(super) struct Thought {
    place: (String, u64),
    block: u32,
}

pub(super) struct Call {
    pub index: Option<u64>,
    pub id: String,
    /// Told: the block it has. Before its name came, its arguments wait.
    pub block: Option<u32>,
    waiting: String,
    custom: bool,
}

/// What one event says, told where it belongs.
pub(super) struct Teller<'a> {
    pub number: u32,
    pub choice: &'a mut Choice,
    pub out: &'a mut Vec<Delta>,
}

impl Teller<'_> {
    pub(super) fn delta(&mut self, delta: Map<String, Value>) -> Result<(), Failure> {
        let mut plain = None;
        let (mut details, mut calls) = (Vec::new(), Vec::new());
        let (mut body, mut refusal, mut old) = (None, None, None);
        for (name, value) in delta {
            match (name.as_str(), value) {
                (_, Value::Null) | ("role" | "name" | "padding" | "token_id" | "channel", _) => {}
                ("content", value) => body = Some(value),
                ("reasoning_content" | "reasoning", Value::String(text)) => {
                    plain = plain.filter(|known: &String| !known.is_empty()).or(Some(text));
                }
                ("reasoning_details", Value::Array(list)) => details = list,
                ("refusal", Value::String(text)) => refusal = Some(text),
                ("tool_calls", value) => calls = take::list(value),
                ("function_call", Value::Object(function)) => old = Some(function),
                ("annotations", Value::Array(mut list)) => {
                    // Where the piece belongs is said by its order as well.
                    list.iter_mut().filter_map(Value::as_object_mut).for_each(|one| drop(one.shift_remove("index")));
                    self.choice.annotations.extend(list);
                }
                ("images", Value::Array(list)) => list.into_iter().for_each(|image| self.whole(image)),
                ("extra_content", Value::Object(mut extra)) => {
                    if let (Some(opaque), Some(block)) = (content::google_signature(&mut extra), self.choice.text) {
                        self.out.push(Delta::Opaque { choice: self.number, block, opaque });
                    }
                }
                ("audio", value) => self.out.push(Delta::Foreign(OWN, serde_json::json!({"audio": value}))),
                // Its last word is the whole one.
                (_, Value::Array(list)) if list.is_empty() => {}
                (_, value) => self.beside(name, value),
            }
        }
        self.thoughts(plain.unwrap_or_default(), details)?;
        if let Some(body) = body {
            self.content(body)?;
        }
        if let Some(refusal) = refusal.filter(|text| !text.is_empty()) {
            self.choice.refused = true;
            self.say(Kind::Refusal, refusal)?;
        }
        if let Some(function) = old {
            // The older form has one call, which its later pieces continue.
            let value =
                Map::from_iter([("index".to_owned(), 0.into()), ("function".to_owned(), Value::Object(function))]);
            calls.push(Value::Object(value));
        }
        for call in calls {
            self.call(call)?;
        }
        self.cite();
        Ok(())
    }

    fn beside(&mut self, name: String, value: Value) {
        let message = self.choice.rest.entry("message").or_insert_with(|| Value::Object(Map::new()));
        if let Value::Object(message) = message {
            message.insert(name, value);
        }
    }

    /// Citations belong to the newest text, and wait for the first.
    pub(super) fn cite(&mut self) {
        let Some(block) = self.choice.text else { return };
        let choice = self.number;
        let cite = |citation| Delta::Citation { choice, block, dialect: OWN, citation };
        self.out.extend(self.choice.annotations.drain(..).map(cite));
    }

    fn content(&mut self, body: Value) -> Result<(), Failure> {
        match body {
            Value::String(text) => self.say(Kind::Text, text),
            Value::Array(list) => list.into_iter().try_for_each(|item| self.item(item)),
            Value::Object(ref object) if object.get("type").is_some_and(Value::is_string) => self.item(body),
            other => self.say(Kind::Text, other.to_string()),
        }
    }

    fn item(&mut self, item: Value) -> Result<(), Failure> {
        let kind = item.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        match (kind.as_str(), item) {
            (_, Value::String(text)) => self.say(Kind::Text, text),
            ("thinking" | "reasoning", Value::Object(mut part)) => {
                let inner = ["thinking", "reasoning", "text"].iter().find_map(|name| take::any(&mut part, name));
                self.say(Kind::Thought(None), inner.map(thoughts::texts).unwrap_or_default())
            }
            ("text" | "output_text" | "", Value::Object(mut part))
                if part.get("text").is_some_and(Value::is_string) =>
            {
                self.say(Kind::Text, take::text(&mut part, "text").unwrap_or_default())
            }
            (_, Value::Null) => Ok(()),
            (_, item) => {
                self.whole(item);
                Ok(())
            }
        }
    }

    /// A part that comes in one piece.
    fn whole(&mut self, item: Value) {
        let mut parts = Vec::new();
        content::part(item, &mut parts);
        for part in parts {
            let kind = match part {
                Part::Media(media) => BlockKind::Media(media),
                Part::Foreign(dialect, value) => BlockKind::Foreign(dialect, value),
                _ => continue,
            };
            if self.open(Kind::Other, kind).is_ok() {
                self.close();
            }
        }
    }

    fn open(&mut self, kind: Kind, told: BlockKind) -> Result<u32, Failure> {
        self.close();
        let block = self.choice.next;
        if block >= MAX {
            return Err(too_many());
        }
        self.choice.next += 1;
        self.choice.open = Some(Open { block, kind });
        self.out.push(Delta::Open { choice: self.number, block, kind: told });
        Ok(block)
    }

    pub(super) fn close(&mut self) {
        if let Some(open) = self.choice.open.take() {
            self.out.push(Delta::Close { choice: self.number, block: open.block });
        }
    }

    pub(super) fn say(&mut self, kind: Kind, text: String) -> Result<(), Failure> {
        if text.is_empty() {
            return Ok(());
        }
        let block = match &self.choice.open {
            Some(open) if open.kind == kind => open.block,
            _ => {
                let told = match kind {
                    Kind::Refusal => BlockKind::Refusal,
                    Kind::Thought(_) => BlockKind::Reasoning { summary: false, rest: Rest::default() },
                    _ => BlockKind::Text { rest: Rest::default() },
                };
                self.open(kind, told)?
            }
        };
        if kind == Kind::Text {
            self.choice.text = Some(block);
        }
        self.out.push(Delta::Text { choice: self.number, block, text });
        Ok(())
    }

    /// A text under a plain name, and blocks that repeat it, number it and sign it.
    fn thoughts(&mut self, plain: String, details: Vec<Value>) -> Result<(), Failure> {
        let mut plain = Some(plain).filter(|text| !text.is_empty());
        for detail in details {
            let Value::Object(detail) = detail else { continue };
            let place = thoughts::place(&detail);
            let thought = thoughts::block(detail);
            let known = place
                .as_ref()
                .and_then(|place| self.choice.thoughts.iter().position(|thought| thought.place == *place));
            let (text, state) = (thought.text, thought.opaque);
            if !text.is_empty() {
                plain = None;
            } else if state.is_none() {
                continue;
            }
            let at = match (known, place) {
                (Some(at), _) => at,
                (None, place) => {
                    let at = self.choice.thoughts.len();
                    let told = BlockKind::Reasoning { summary: thought.summary, rest: Rest::default() };
                    let block = self.open(Kind::Thought(Some(at)), told)?;
                    // Numbers past any that a provider gives tell blocks apart that have none.
                    let place = place.unwrap_or_else(|| (String::new(), u64::MAX - u64::from(block)));
                    self.choice.thoughts.push(Thought { place, block });
                    at
                }
            };
            let block = self.choice.thoughts.get(at).map_or(0, |thought| thought.block);
            if !text.is_empty() {
                self.out.push(Delta::Text { choice: self.number, block, text });
            }
            if let Some(opaque) = state {
                self.out.push(Delta::Opaque { choice: self.number, block, opaque });
            }
        }
        match plain {
            Some(text) => self.say(Kind::Thought(None), text),
            None => Ok(()),
        }
    }

    /// Calls are told apart by `index`; without one by `id`, and without that each that brings a name is new.
    fn call(&mut self, value: Value) -> Result<(), Failure> {
        let Value::Object(mut members) = value else { return Ok(()) };
        let index = members.get("index").and_then(Value::as_u64);
        let id = take::text(&mut members, "id").unwrap_or_default();
        let custom = members.get("custom").is_some_and(Value::is_object) && !members.contains_key("function");
        let mut inner = take::object(&mut members, if custom { "custom" } else { "function" }).unwrap_or_default();
        let name = take::text(&mut inner, "name").unwrap_or_default();
        let arguments = content::arguments(inner.shift_remove(if custom { "input" } else { "arguments" }));
        let opaque =
            take::object(&mut members, "extra_content").and_then(|mut extra| content::google_signature(&mut extra));
        let at = match self.known(index, &id, &name) {
            Some(at) => at,
            None => {
                if self.choice.calls.len() >= MAX as usize {
                    return Err(too_many());
                }
                self.choice.calls.push(Call { index, id: id.clone(), block: None, waiting: String::new(), custom });
                self.choice.calls.len() - 1
            }
        };
        self.fill(at, id, name, arguments, opaque)
    }

    fn known(&self, index: Option<u64>, id: &str, name: &str) -> Option<usize> {
        let calls = &self.choice.calls;
        let found = match index {
            Some(_) => calls.iter().rposition(|call| call.index == index)?,
            None if !id.is_empty() => calls.iter().rposition(|call| call.id == id)?,
            None if name.is_empty() => calls.len().checked_sub(1)?,
            None => return None,
        };
        // Some give every call the same number.
        let call = calls.get(found)?;
        let another =
            !id.is_empty() && !name.is_empty() && !call.id.is_empty() && call.id != id && call.block.is_some();
        (!another).then_some(found)
    }

    fn fill(
        &mut self,
        at: usize,
        id: String,
        name: String,
        arguments: String,
        opaque: Option<Opaque>,
    ) -> Result<(), Failure> {
        let Some(call) = self.choice.calls.get_mut(at) else { return Ok(()) };
        if call.id.is_empty() {
            call.id = id;
        }
        let block = match call.block {
            Some(block) => block,
            None if name.is_empty() => {
                call.waiting.push_str(&arguments);
                return Ok(());
            }
            None => {
                let block = self.tell_call(at, name)?;
                if let Some(call) = self.choice.calls.get_mut(at) {
                    let waiting = std::mem::take(&mut call.waiting);
                    if !waiting.is_empty() {
                        self.out.push(Delta::Text { choice: self.number, block, text: waiting });
                    }
                }
                block
            }
        };
        if !arguments.is_empty() {
            self.out.push(Delta::Text { choice: self.number, block, text: arguments });
        }
        if let Some(opaque) = opaque {
            self.out.push(Delta::Opaque { choice: self.number, block, opaque });
        }
        Ok(())
    }

    fn tell_call(&mut self, at: usize, name: String) -> Result<u32, Failure> {
        let (id, custom) = match self.choice.calls.get_mut(at) {
            Some(call) => {
                if call.id.is_empty() {
                    call.id = format!("call_{at}");
                }
                (call.id.clone(), call.custom)
            }
            None => (format!("call_{at}"), false),
        };
        let told = BlockKind::Call { id, name, custom, namespace: None, rest: Rest::default() };
        let block = self.open(Kind::Call, told)?;
        if let Some(call) = self.choice.calls.get_mut(at) {
            call.block = Some(block);
        }
        Ok(block)
    }

    pub(super) fn finish(&mut self) {
        self.close();
        let choice = self.number;
        let calls = self.choice.calls.iter().any(|call| call.block.is_some());
        let finish = settled(self.choice.reason.as_deref().unwrap_or_default(), calls, self.choice.refused);
        let mut rest = std::mem::take(&mut self.choice.rest);
        if !self.choice.annotations.is_empty() {
            let annotations = Value::Array(std::mem::take(&mut self.choice.annotations));
            let message = rest.entry("message").or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(message) = message {
                message.insert("annotations".to_owned(), annotations);
            }
        }
        self.out.push(Delta::Finish { choice, finish, stop_sequence: None, rest: Rest::new(OWN, rest) });
    }
}
