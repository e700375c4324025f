//! A provider's stream of chunks as steps of the hub.
//!
//! Blocks are opened and closed here, for this format does not say where one ends. Choices end with the stream: a reason to finish may be
//! said before the last words, twice, or not at all.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::read_reply::{seconds, settled};
use super::{OWN, content, error, take, thoughts};
use crate::dialect::Decode;
use crate::failure::Failure;
use crate::hub::{BlockKind, Delta, Opaque, Part, Rest};
use crate::json;
use crate::usage::Usage;

mod quick;

/// More choices, calls or blocks than any provider has; past it the stream is refused.
const MAX: u32 = 1024;

#[derive(Default)]
pub(super) struct Decoder {
    started: bool,
    over: bool,
    choices: BTreeMap<u32, Choice>,
    usage: Option<Usage>,
    /// An event came that has usage and no choices: the last one of a proper stream.
    closed: bool,
    /// Members around the choices that came after the start.
    late: Map<String, Value>,
}

#[derive(Default)]
struct Choice {
    next: u32,
    open: Option<Open>,
    /// The newest text, for what is said of it later.
    text: Option<u32>,
    calls: Vec<Call>,
    /// Blocks of thoughts by their own numbers, with what is known of them beside text.
    thoughts: Vec<Thought>,
    refused: bool,
    reason: Option<String>,
    rest: Map<String, Value>,
    annotations: Vec<Value>,
}

struct Open {
    block: u32,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    /// With the position in [`Choice::thoughts`] where the provider numbers them.
    Thought(Option<usize>),
    Refusal,
    Call,
    Other,
}

struct Thought {
    place: (String, u64),
    block: u32,
}

struct Call {
    index: Option<u64>,
    id: String,
    /// Told: the block it has. Before its name came, its arguments wait.
    block: Option<u32>,
    waiting: String,
    custom: bool,
}

/// What one event says, told where it belongs.
struct Teller<'a> {
    number: u32,
    choice: &'a mut Choice,
    out: &'a mut Vec<Delta>,
}

impl Decoder {
    fn fail(&mut self, failure: Failure, out: &mut Vec<Delta>) {
        self.over = true;
        out.push(Delta::Failed(Box::new(failure)));
    }

    fn start(&mut self, members: &mut Map<String, Value>, out: &mut Vec<Delta>) {
        let text = |members: &mut Map<String, Value>, name| take::text(members, name).unwrap_or_default();
        let (id, model) = (text(members, "id"), text(members, "model"));
        let created = members.shift_remove("created").as_ref().and_then(seconds);
        let chosen = members.get("choices").and_then(Value::as_array).is_some_and(|choices| !choices.is_empty());
        if self.started || (id.is_empty() && !chosen) {
            return;
        }
        self.started = true;
        let mut rest = std::mem::take(&mut self.late);
        rest.extend(facts(members));
        out.push(Delta::Start { id, model, created, rest: Rest::new(OWN, rest) });
    }

    fn count(&mut self, data: &[u8], members: &Map<String, Value>, out: &mut Vec<Delta>) {
        if !members.contains_key("usage") && !members.contains_key("x_groq") {
            return;
        }
        let Some(usage) = super::reply::usage(data) else { return };
        self.closed |= members.get("choices").and_then(Value::as_array).is_none_or(Vec::is_empty);
        if self.usage != Some(usage) {
            self.usage = Some(usage);
            out.push(Delta::Usage(usage));
        }
    }

    fn choice(&mut self, value: Value, position: usize, out: &mut Vec<Delta>) -> Result<(), Failure> {
        let Value::Object(mut members) = value else { return Ok(()) };
        let given = members.shift_remove("index").and_then(|index| u32::try_from(index.as_u64()?).ok());
        let number =
            given.or_else(|| u32::try_from(position).ok()).filter(|number| *number < MAX).ok_or_else(too_many)?;
        let choice = self.choices.entry(number).or_default();
        let reason = take::text(&mut members, "finish_reason").filter(|reason| !reason.is_empty());
        // Some say it twice; the first word is the one that the model's end had.
        choice.reason = choice.reason.take().or(reason);
        let delta = take::object(&mut members, "delta");
        let message = take::object(&mut members, "message");
        let text = take::text(&mut members, "text");
        let delta = delta.or(message).or_else(|| Some(Map::from_iter([("content".to_owned(), Value::String(text?))])));
        let logprobs = take::any(&mut members, "logprobs").filter(Value::is_object);
        members.retain(|_, value| !value.is_null());
        choice.rest.extend(members);
        let mut teller = Teller { number, choice, out };
        if let Some(delta) = delta {
            teller.delta(delta)?;
        }
        if let Some(logprobs) = logprobs {
            out.push(Delta::Logprobs { choice: number, logprobs });
        }
        Ok(())
    }

    /// Tells the piece of an event that has nothing else; false where the full look is needed.
    fn quick(&mut self, data: &[u8], out: &mut Vec<Delta>) -> Result<bool, Failure> {
        if !self.started {
            return Ok(false);
        }
        let Some(piece) = quick::piece(data) else { return Ok(false) };
        let Some(choice) = self.choices.get_mut(&piece.choice) else { return Ok(false) };
        let Some(text) = json::string(data, piece.literal) else { return Ok(false) };
        let mut teller = Teller { number: piece.choice, choice, out };
        match piece.place {
            quick::Place::Content => teller.say(Kind::Text, text.into_owned())?,
            quick::Place::Reasoning => teller.say(Kind::Thought(None), text.into_owned())?,
            quick::Place::Refusal => {
                teller.choice.refused = true;
                teller.say(Kind::Refusal, text.into_owned())?;
            }
            quick::Place::Arguments(index) => {
                let call = teller.choice.calls.iter().rfind(|call| call.index == Some(index));
                let Some(block) = call.and_then(|call| call.block) else { return Ok(false) };
                teller.out.push(Delta::Text { choice: piece.choice, block, text: text.into_owned() });
                return Ok(true);
            }
        }
        teller.cite();
        Ok(true)
    }

    fn read(&mut self, data: &[u8], out: &mut Vec<Delta>) -> Result<(), Failure> {
        if self.quick(data, out)? {
            return Ok(());
        }
        let Some(Value::Object(mut members)) = json::tree(data) else {
            return Err(Failure::bad_gateway("invalid_stream", "The provider's stream has an event that is not JSON."));
        };
        if members.get("error").is_some_and(|error| !error.is_null())
            && let Some(failure) = error::in_stream(data)
        {
            self.count(data, &members, out);
            return Err(failure);
        }
        if members.get("object").and_then(Value::as_str) == Some("error") {
            return Err(error::from_error_event(data));
        }
        self.start(&mut members, out);
        self.count(data, &members, out);
        let choices = members.shift_remove("choices").map(take::list).unwrap_or_default();
        for (position, value) in choices.into_iter().enumerate() {
            if let Some(failure) = value.get("error").filter(|error| !error.is_null()) {
                return Err(error::inside_choice(failure, data));
            }
            self.choice(value, position, out)?;
        }
        self.late.extend(facts(&mut members));
        Ok(())
    }
}

/// What an event says beside its choices and is not random, empty or said with every one.
fn facts(members: &mut Map<String, Value>) -> Map<String, Value> {
    const KNOWN: [&str; 9] =
        ["id", "object", "created", "model", "choices", "usage", "obfuscation", "p", "stream_options"];
    let names: Vec<String> = members
        .iter()
        .filter(|(name, value)| {
            let empty = match value {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Array(list) => list.is_empty(),
                _ => false,
            };
            !empty && !KNOWN.contains(&name.as_str())
        })
        .map(|(name, _)| name.clone())
        .collect();
    names.into_iter().filter_map(|name| members.shift_remove(&name).map(|value| (name, value))).collect()
}

fn too_many() -> Failure {
    Failure::bad_gateway("invalid_stream", "The provider's stream numbers a choice or a tool call past any limit.")
}

impl Teller<'_> {
    fn delta(&mut self, delta: Map<String, Value>) -> Result<(), Failure> {
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
    fn cite(&mut self) {
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

    fn close(&mut self) {
        if let Some(open) = self.choice.open.take() {
            self.out.push(Delta::Close { choice: self.number, block: open.block });
        }
    }

    fn say(&mut self, kind: Kind, text: String) -> Result<(), Failure> {
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

    fn finish(&mut self) {
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

impl Decode for Decoder {
    fn event(&mut self, event: Option<&[u8]>, data: &[u8], out: &mut Vec<Delta>) {
        if self.over || data.trim_ascii().is_empty() {
            return;
        }
        if event == Some(b"error") {
            return self.fail(error::from_error_event(data), out);
        }
        if let Err(failure) = self.read(data, out) {
            self.fail(failure, out);
        }
    }

    fn end(&mut self, out: &mut Vec<Delta>) {
        if self.over {
            return;
        }
        let ended = |choice: &Choice| choice.reason.is_some();
        // Snowflake never says why a choice ended, but counts at the proper end.
        let whole = self.closed || (!self.choices.is_empty() && self.choices.values().all(ended));
        for (number, choice) in &mut self.choices {
            let mut teller = Teller { number: *number, choice, out };
            if whole || teller.choice.reason.is_some() {
                teller.finish();
            } else {
                teller.close();
            }
        }
        if !whole {
            let message = "The provider's stream ended before the reply was complete.";
            return self.fail(Failure::bad_gateway("stream_truncated", message), out);
        }
        if !self.late.is_empty() {
            out.push(Delta::Foreign(OWN, Value::Object(std::mem::take(&mut self.late))));
        }
        self.over = true;
        out.push(Delta::Done);
    }
}
