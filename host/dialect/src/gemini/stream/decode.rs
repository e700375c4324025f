//! A provider's stream: every event is a whole reply object with the next piece of each candidate.
//!
//! Text of one kind goes on in one block; a call comes whole, or (Vertex) in pieces of its arguments. A candidate may name its reason before
//! its last piece, so the endings are told when the body has ended.

use std::collections::BTreeMap;
use std::ops::Range;

use serde_json::{Map, Value};

use super::partial::Partial;
use crate::Dialect;
use crate::dialect::Decode;
use crate::failure::Failure;
use crate::gemini::fields::{self, Fields};
use crate::gemini::part::{self, Ids};
use crate::gemini::read_reply::{self, MAX_INDEX};
use crate::gemini::{error, finish, logprobs, usage};
use crate::hub::{BlockKind, Delta, Finish, Opaque, Part, Reasoning, Rest};
use crate::json;
use crate::text::walk;
use crate::usage::Usage;

/// More blocks than any model makes.
const MAX_BLOCKS: u32 = 1 << 16;

#[derive(Default)]
pub(in crate::gemini) struct Decoder {
    started: bool,
    over: bool,
    ids: Ids,
    choices: BTreeMap<u32, State>,
    usage: Option<Usage>,
}

/// One candidate.
#[derive(Default)]
struct State {
    /// The number of the next block.
    next: u32,
    open: Option<Open>,
    /// The last text block, which citations belong to.
    text: Option<u32>,
    call: Option<Begun>,
    calls: bool,
    finish: Option<Finish>,
    rest: Map<String, Value>,
}

#[derive(Clone, Copy)]
struct Open {
    block: u32,
    thought: bool,
    signed: bool,
}

/// A call whose arguments are still coming.
struct Begun {
    id: String,
    name: String,
    opaque: Option<Opaque>,
    arguments: Partial,
}

impl Decode for Decoder {
    fn event(&mut self, _event: Option<&[u8]>, data: &[u8], out: &mut Vec<Delta>) {
        if self.over {
            return;
        }
        if let Some(failure) = error::inside(data) {
            self.fail(failure, out);
            return;
        }
        let start = walk::blank(data, 0);
        if json::validate(data).is_err() || data.get(start) != Some(&b'{') {
            let message = "The provider sent an event that is not a JSON object.";
            self.fail(Failure::bad_gateway("invalid_event", message), out);
            return;
        }
        self.chunk(data, start, out);
    }

    fn end(&mut self, out: &mut Vec<Delta>) {
        if self.over {
            return;
        }
        if self.choices.is_empty() || self.choices.values().any(|choice| choice.finish.is_none()) {
            let message = "The provider broke off before the reply was complete.";
            self.fail(Failure::bad_gateway("stream_truncated", message), out);
            return;
        }
        self.over = true;
        for (index, mut state) in std::mem::take(&mut self.choices) {
            state.close_call(index, out);
            state.close(index, out);
            let finish = match state.finish.unwrap_or_default() {
                Finish::Stop if state.calls => Finish::ToolCalls,
                finish => finish,
            };
            let rest = Rest::new(Dialect::Gemini, state.rest);
            out.push(Delta::Finish { choice: index, finish, stop_sequence: None, rest });
        }
        out.extend(self.usage.map(Delta::Usage));
        out.push(Delta::Done);
    }
}

impl Decoder {
    fn fail(&mut self, failure: Failure, out: &mut Vec<Delta>) {
        self.over = true;
        out.push(Delta::Failed(Box::new(failure)));
    }

    /// Looks where the known members stand; only what is rare becomes a tree.
    fn chunk(&mut self, data: &[u8], start: usize, out: &mut Vec<Delta>) {
        if !self.started {
            self.started = true;
            self.start(data, start, out);
        }
        let (mut position, mut counted) = (0, None);
        walk::members(data, start, |key, at| {
            if data.get(key.clone()) == Some(b"\"candidates\"") {
                return walk::items(data, at, |candidate| {
                    let value = json::value(data, candidate)?;
                    if position < MAX_INDEX {
                        self.candidate(data, value.start, position, out);
                        position += 1;
                    }
                    Some(value.end)
                });
            }
            let value = json::value(data, at)?;
            let end = value.end;
            if data.get(key) == Some(b"\"usageMetadata\"") {
                counted = usage::read(data, value);
            }
            Some(end)
        });
        if position == 0 {
            self.blocked(data, start, out);
        }
        if let Some(counted) = counted.filter(|counted| self.usage != Some(*counted)) {
            self.usage = Some(counted);
            out.push(Delta::Usage(counted));
        }
    }

    fn candidate(&mut self, data: &[u8], at: usize, position: u32, out: &mut Vec<Delta>) {
        let given =
            json::field(data, at, "index").and_then(|range| std::str::from_utf8(data.get(range)?).ok()?.parse().ok());
        let index = given.map_or(position, |index: u32| index.min(MAX_INDEX));
        let state = self.choices.entry(index).or_default();
        let mut left = Map::new();
        for member in json::object(data, at).into_iter().flatten() {
            match data.get(member.key.clone()).unwrap_or_default() {
                b"\"content\"" => {
                    let parts = json::field(data, member.value.start, "parts");
                    for part in parts.and_then(|parts| json::array(data, parts.start)).into_iter().flatten() {
                        state.piece(index, data, part, &mut self.ids, out);
                    }
                }
                b"\"index\"" => {}
                _ => {
                    let value = data.get(member.value).and_then(json::tree).unwrap_or(Value::Null);
                    let key = json::string(data, member.key).unwrap_or_default().into_owned();
                    left.insert(key, value);
                }
            }
        }
        if !left.is_empty() {
            state.beside(index, Fields::new(left), out);
        }
    }

    fn start(&mut self, data: &[u8], start: usize, out: &mut Vec<Delta>) {
        let text = |name: &str| {
            let text = json::field(data, start, name).and_then(|range| json::string(data, range));
            text.map(std::borrow::Cow::into_owned)
        };
        let id = text("responseId").unwrap_or_default();
        let model = text("modelVersion").unwrap_or_default();
        let created = text("createTime").and_then(|time| read_reply::seconds(&time));
        self.ids = Ids::of_reply(&id);
        let feedback = json::field(data, start, "promptFeedback").and_then(|range| json::tree(data.get(range)?));
        let rest = feedback.map(|value| Map::from_iter([("promptFeedback".to_owned(), value)])).unwrap_or_default();
        out.push(Delta::Start { id, model, created, rest: Rest::new(Dialect::Gemini, rest) });
    }

    /// A prompt that was blocked ends its one candidate.
    fn blocked(&mut self, data: &[u8], start: usize, out: &mut Vec<Delta>) {
        let feedback = json::field(data, start, "promptFeedback").and_then(|range| json::tree(data.get(range)?));
        let Some(blocked) = feedback.as_ref().and_then(read_reply::blocked) else { return };
        let state = self.choices.entry(0).or_default();
        if state.finish.is_some() {
            return;
        }
        state.finish = Some(blocked.finish);
        for part in blocked.parts {
            state.part(0, part, out);
        }
    }
}

impl State {
    /// One element of `parts`. Nearly all are a text and nothing else.
    fn piece(&mut self, choice: u32, data: &[u8], range: Range<usize>, ids: &mut Ids, out: &mut Vec<Delta>) {
        if self.next >= MAX_BLOCKS {
            return;
        }
        let (mut text, mut thought, mut plain) = (None, false, data.get(range.start) == Some(&b'{'));
        for member in json::object(data, range.start).into_iter().flatten() {
            match data.get(member.key).unwrap_or_default() {
                b"\"text\"" if text.is_none() => text = json::string(data, member.value),
                b"\"thought\"" => thought = data.get(member.value) == Some(b"true"),
                _ => plain = false,
            }
        }
        match text {
            Some(text) if plain => {
                self.close_call(choice, out);
                if !text.is_empty() {
                    self.text(choice, text.into_owned(), thought, None, Rest::default(), out);
                }
            }
            _ => self.rare(choice, data.get(range).and_then(json::tree).unwrap_or(Value::Null), ids, out),
        }
    }

    fn rare(&mut self, choice: u32, value: Value, ids: &mut Ids, out: &mut Vec<Delta>) {
        let part = match value {
            Value::Object(members) => {
                let mut part = Fields::new(members);
                if self.piece_of_call(choice, &mut part, ids, out) {
                    return;
                }
                Value::Object(part.left())
            }
            other => other,
        };
        if let Some(part) = part::read(part, ids) {
            self.part(choice, part, out);
        }
    }

    /// What a candidate says beside its content.
    fn beside(&mut self, choice: u32, mut candidate: Fields, out: &mut Vec<Delta>) {
        if let Some(logprobs) = candidate.take("logprobsResult").and_then(logprobs::read) {
            out.push(Delta::Logprobs { choice, logprobs });
        }
        if let Some(block) = self.text {
            for citation in read_reply::citations(&mut candidate) {
                out.push(Delta::Citation { choice, block, dialect: Dialect::Gemini, citation });
            }
        }
        let reason = candidate.take("finishReason");
        if let Some(finish) = reason.and_then(|reason| finish::read(&reason, &mut self.rest)) {
            self.finish = Some(finish);
        }
        self.rest.append(&mut candidate.left());
    }

    fn part(&mut self, choice: u32, part: Part, out: &mut Vec<Delta>) {
        match part {
            Part::Text(text) => self.text(choice, text.text, false, text.opaque, text.rest, out),
            Part::Reasoning(thought) => self.thought(choice, thought, out),
            Part::Call(mut call) => {
                if let Some(opaque) = call.opaque.take_if(|opaque| part::is_of_a_thought(opaque)) {
                    self.thought(choice, Reasoning { opaque: Some(opaque), ..Reasoning::default() }, out);
                }
                let kind =
                    BlockKind::Call { id: call.id, name: call.name, custom: false, namespace: None, rest: call.rest };
                self.calls = true;
                self.whole(choice, kind, call.arguments, call.opaque, out);
            }
            Part::Refusal(text) => self.whole(choice, BlockKind::Refusal, text, None, out),
            Part::Media(media) => self.whole(choice, BlockKind::Media(media), String::new(), None, out),
            Part::Foreign(dialect, value) => {
                self.whole(choice, BlockKind::Foreign(dialect, value), String::new(), None, out);
            }
            // A model never writes one.
            Part::Result(_) => {}
        }
    }

    /// A signature without text belongs to the open block, else it is a thought of its own.
    fn thought(&mut self, choice: u32, thought: Reasoning, out: &mut Vec<Delta>) {
        if !thought.text.is_empty() {
            return self.text(choice, thought.text, true, thought.opaque, thought.rest, out);
        }
        let own = thought.summary || thought.opaque.as_ref().is_some_and(|opaque| opaque.dialect == Dialect::Gemini);
        let thinks = thought.summary || thought.opaque.as_ref().is_some_and(part::is_of_a_thought);
        let begun = self.open.as_mut().filter(|open| !open.signed && (own || thinks) && open.thought == thinks);
        match (begun, thought.opaque) {
            (Some(open), Some(opaque)) => {
                open.signed = true;
                out.push(Delta::Opaque { choice, block: open.block, opaque });
            }
            (_, opaque) => {
                let kind = BlockKind::Reasoning { summary: false, rest: thought.rest };
                self.whole(choice, kind, String::new(), opaque, out);
            }
        }
    }

    fn text(
        &mut self,
        choice: u32,
        text: String,
        thought: bool,
        opaque: Option<Opaque>,
        rest: Rest,
        out: &mut Vec<Delta>,
    ) {
        let goes_on = self.open.filter(|open| open.thought == thought && !open.signed && rest.is_empty());
        let block = match goes_on {
            Some(open) => open.block,
            None => {
                let kind =
                    if thought { BlockKind::Reasoning { summary: true, rest } } else { BlockKind::Text { rest } };
                let block = self.begin(choice, kind, out);
                self.open = Some(Open { block, thought, signed: false });
                if !thought {
                    self.text = Some(block);
                }
                block
            }
        };
        if !text.is_empty() {
            out.push(Delta::Text { choice, block, text });
        }
        if let (Some(opaque), Some(open)) = (opaque, self.open.as_mut()) {
            open.signed = true;
            out.push(Delta::Opaque { choice, block, opaque });
        }
    }

    /// Opens a block behind those before; an open one ends there.
    fn begin(&mut self, choice: u32, kind: BlockKind, out: &mut Vec<Delta>) -> u32 {
        self.close(choice, out);
        let block = self.next;
        self.next += 1;
        out.push(Delta::Open { choice, block, kind });
        block
    }

    fn whole(&mut self, choice: u32, kind: BlockKind, text: String, opaque: Option<Opaque>, out: &mut Vec<Delta>) {
        let block = self.begin(choice, kind, out);
        if !text.is_empty() {
            out.push(Delta::Text { choice, block, text });
        }
        out.extend(opaque.map(|opaque| Delta::Opaque { choice, block, opaque }));
        out.push(Delta::Close { choice, block });
    }

    fn close(&mut self, choice: u32, out: &mut Vec<Delta>) {
        if let Some(open) = self.open.take() {
            out.push(Delta::Close { choice, block: open.block });
        }
    }

    /// Takes a call that comes in pieces: its name first, then arguments by their paths, then a piece that says that none will follow.
    /// Whether the part was one.
    fn piece_of_call(&mut self, choice: u32, part: &mut Fields, ids: &mut Ids, out: &mut Vec<Delta>) -> bool {
        let call = part.get("functionCall").and_then(Value::as_object);
        let named =
            call.is_some_and(|call| call.get("name").and_then(Value::as_str).is_some_and(|name| !name.is_empty()));
        let pieces = |key: &String| fields::is(key, "willContinue") || fields::is(key, "partialArgs");
        if call.is_none_or(|call| named && !call.keys().any(pieces)) {
            self.close_call(choice, out);
            return false;
        }
        let Some(mut call) = part.fields("functionCall") else { return false };
        let goes_on = call.flag("willContinue").unwrap_or(false);
        if named {
            self.close_call(choice, out);
            let name = call.text("name").unwrap_or_default();
            let id = ids.call(call.text("id"), &name);
            self.call = Some(Begun { id, name, opaque: part::signature(part), arguments: Partial::default() });
        }
        // A piece of nothing that was begun.
        let Some(begun) = self.call.as_mut() else { return true };
        for piece in call.list("partialArgs") {
            begun.arguments.add(Fields::of(piece));
        }
        if !goes_on {
            self.close_call(choice, out);
        }
        true
    }

    fn close_call(&mut self, choice: u32, out: &mut Vec<Delta>) {
        let Some(Begun { id, name, opaque, arguments }) = self.call.take() else { return };
        self.calls = true;
        let kind = BlockKind::Call { id, name, custom: false, namespace: None, rest: Rest::default() };
        self.whole(choice, kind, arguments.finish(), opaque, out);
    }
}
