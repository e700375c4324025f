//! A client's stream: server-sent events with CRLF, or one JSON array.
//!
//! Every event is a whole reply object with the next piece. A call goes out whole, so its arguments are gathered; what ends the candidates
//! goes out with the usage in the last event, once the provider's stream has ended as it should.

use std::collections::BTreeMap;

use crate::Dialect;
use crate::dialect::Encode;
use crate::gemini::{error, logprobs, part, usage, write_part, write_reply};
use crate::hub::{Asked, BlockKind, Call, Delta, Finish, Losses, Opaque, Rest};
use crate::json::build as put;
use crate::usage::Usage;

pub(in crate::gemini) struct Encoder {
    asked: Asked,
    losses: Losses,
    id: String,
    model: String,
    rest: Rest,
    /// Something was written; in an array the next object needs a comma.
    begun: bool,
    over: bool,
    choices: BTreeMap<u32, State>,
    usage: Option<Usage>,
}

#[derive(Default)]
struct State {
    kinds: BTreeMap<u32, Kind>,
    /// Calls that have begun, by block: a call may get text after another one has begun.
    calls: BTreeMap<u32, Call>,
    /// State of texts and thoughts by block, until the block ends: a later one replaces it.
    signed: BTreeMap<u32, Opaque>,
    /// Another dialect's state of the thought before. It goes out on the call behind it, where Gemini has its own: Gemini CLI takes thoughts
    /// out of its history, with what stands on them.
    held: Option<Opaque>,
    refused: bool,
    cited: Vec<serde_json::Value>,
    finish: Option<(Finish, Rest)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Thought,
    Call,
    Other,
}

impl Encoder {
    pub(in crate::gemini) fn new(asked: &Asked) -> Encoder {
        Encoder {
            asked: asked.clone(),
            losses: Losses::default(),
            id: String::new(),
            model: String::new(),
            rest: Rest::default(),
            begun: false,
            over: false,
            choices: BTreeMap::new(),
            usage: None,
        }
    }

    fn open(&mut self, choice: u32, block: u32, kind: &BlockKind, out: &mut Vec<u8>) {
        let kind = match kind {
            BlockKind::Text { rest } => {
                self.losses.beside(rest, Dialect::Gemini);
                Kind::Text
            }
            BlockKind::Reasoning { rest, .. } => {
                self.losses.beside(rest, Dialect::Gemini);
                Kind::Thought
            }
            BlockKind::Refusal => {
                self.state(choice).refused = true;
                Kind::Text
            }
            BlockKind::Call { id, name, custom, namespace, rest } => {
                let call = Call {
                    id: id.clone(),
                    name: name.clone(),
                    custom: *custom,
                    namespace: namespace.clone(),
                    rest: rest.clone(),
                    ..Call::default()
                };
                self.state(choice).calls.insert(block, call);
                Kind::Call
            }
            BlockKind::Media(_) | BlockKind::Foreign(..) => Kind::Other,
        };
        self.signatures(choice, out);
        // Calls stay in their place among the other blocks.
        if kind == Kind::Call {
            let state = self.state(choice);
            if let Some(call) = state.calls.get_mut(&block) {
                call.opaque = state.held.take();
            }
        } else {
            self.release(choice, out);
            self.calls(choice, out);
        }
        self.state(choice).kinds.insert(block, kind);
    }

    fn state(&mut self, choice: u32) -> &mut State {
        self.choices.entry(choice).or_default()
    }

    /// Sends the calls that wait.
    fn calls(&mut self, choice: u32, out: &mut Vec<u8>) {
        let calls = std::mem::take(&mut self.state(choice).calls);
        for call in calls.into_values() {
            let mut part = Vec::with_capacity(64 + call.arguments.len());
            write_reply::call(&call, &self.asked, &mut self.losses, &mut part);
            self.piece(choice, out, |out| out.extend_from_slice(&part));
        }
    }

    /// One event with one part of one candidate.
    fn piece(&mut self, choice: u32, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
        self.begin(out);
        out.extend_from_slice(b"{\"candidates\":[{\"content\":{\"parts\":[");
        write(out);
        out.extend_from_slice(b"],\"role\":\"model\"}");
        put::number(out, "index", choice);
        out.extend_from_slice(b"}]");
        self.end(out);
    }

    fn begin(&mut self, out: &mut Vec<u8>) {
        if self.asked.sse {
            out.extend_from_slice(b"data: ");
        } else {
            out.extend_from_slice(if self.begun { b"\r\n,\r\n" } else { b"[" });
        }
        self.begun = true;
    }

    fn end(&self, out: &mut Vec<u8>) {
        write_reply::identity(&self.model, &self.id, &self.asked, out);
        out.push(b'}');
        self.frame(out);
    }

    fn frame(&self, out: &mut Vec<u8>) {
        if self.asked.sse {
            out.extend_from_slice(b"\r\n\r\n");
        }
    }

    fn text(&mut self, choice: u32, block: u32, text: &str, out: &mut Vec<u8>) {
        let state = self.state(choice);
        let kind = state.kinds.get(&block).copied().unwrap_or(Kind::Other);
        match kind {
            Kind::Call => match state.calls.get_mut(&block) {
                Some(call) => call.arguments.push_str(text),
                None => self.losses.lose("tool call arguments"),
            },
            Kind::Other => {}
            Kind::Text | Kind::Thought => {
                let thought = kind == Kind::Thought;
                self.piece(choice, out, |out| write_part::text(text, thought, None, &Rest::default(), out));
            }
        }
    }

    fn opaque(&mut self, choice: u32, block: u32, opaque: &Opaque) {
        let state = self.state(choice);
        match state.calls.get_mut(&block) {
            Some(call) => call.opaque = Some(opaque.clone()),
            None if state.kinds.get(&block) == Some(&Kind::Call) => self.losses.lose("signature"),
            None => {
                state.signed.insert(block, opaque.clone());
            }
        }
    }

    /// State of a text comes on an empty part behind it, as the API itself sends it. That of another dialect's thought waits for a call.
    fn signatures(&mut self, choice: u32, out: &mut Vec<u8>) {
        for (block, opaque) in std::mem::take(&mut self.state(choice).signed) {
            let thought = self.state(choice).kinds.get(&block) == Some(&Kind::Thought);
            if thought && part::is_of_a_thought(&opaque) {
                self.release(choice, out);
                self.state(choice).held = Some(opaque);
                continue;
            }
            let signature = write_reply::state(&opaque, &self.asked);
            self.piece(choice, out, |out| write_part::text("", thought, Some(&signature), &Rest::default(), out));
        }
    }

    /// Sends the state that no call followed.
    fn release(&mut self, choice: u32, out: &mut Vec<u8>) {
        if let Some(opaque) = self.state(choice).held.take() {
            let signature = write_reply::state(&opaque, &self.asked);
            self.piece(choice, out, |out| write_part::text("", true, Some(&signature), &Rest::default(), out));
        }
    }

    /// The last event: endings and usage.
    fn ending(&mut self, out: &mut Vec<u8>) {
        let indices: Vec<u32> = self.choices.keys().copied().collect();
        for index in indices {
            self.signatures(index, out);
            self.release(index, out);
            self.calls(index, out);
        }
        self.begin(out);
        out.push(b'{');
        let blocked = self.rest.of(Dialect::Gemini).any(|(name, _)| name == "promptFeedback");
        if !blocked {
            put::key(out, "candidates");
            out.push(b'[');
            for (index, state) in std::mem::take(&mut self.choices) {
                put::comma(out);
                out.extend_from_slice(b"{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"}");
                let (finish, rest) = state.finish.unwrap_or_default();
                write_reply::ending(&finish, state.refused, &rest, out);
                put::number(out, "index", index);
                write_reply::cite(&state.cited, out);
                out.push(b'}');
                self.losses.beside(&rest, Dialect::Gemini);
            }
            out.push(b']');
        }
        put::members(out, self.rest.of(Dialect::Gemini));
        if let Some(counted) = &self.usage {
            usage::write(counted, out);
        }
        self.end(out);
        self.close(out);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        if !self.asked.sse {
            out.extend_from_slice(b"\r\n]");
        }
        self.over = true;
    }

    fn failed(&mut self, failure: &crate::failure::Failure, out: &mut Vec<u8>) {
        self.begin(out);
        error::append(failure, out);
        self.frame(out);
        self.close(out);
    }
}

impl Encode for Encoder {
    fn delta(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match delta {
            Delta::Start { id, model, rest, .. } => {
                self.id.clone_from(id);
                self.model.clone_from(model);
                self.rest = rest.clone();
                self.losses.beside(rest, Dialect::Gemini);
            }
            Delta::Open { choice, block, kind } => {
                self.open(*choice, *block, kind, out);
                match kind {
                    BlockKind::Media(media) if write_part::can_say(media) => {
                        let mut losses = std::mem::take(&mut self.losses);
                        self.piece(*choice, out, |out| write_part::media(media, &mut losses, out));
                        self.losses = losses;
                    }
                    BlockKind::Media(_) => self.losses.lose("file"),
                    BlockKind::Foreign(Dialect::Gemini, value) => {
                        self.piece(*choice, out, |out| write_part::foreign(value, out));
                    }
                    BlockKind::Foreign(_, value) => write_reply::lose_foreign(value, &mut self.losses),
                    _ => {}
                }
            }
            Delta::Text { choice, block, text } => self.text(*choice, *block, text, out),
            Delta::Opaque { choice, block, opaque } => self.opaque(*choice, *block, opaque),
            Delta::Citation { choice, dialect: Dialect::Gemini, citation, .. } => {
                self.state(*choice).cited.push(citation.clone());
            }
            Delta::Citation { .. } => self.losses.lose("citations"),
            Delta::Logprobs { choice, logprobs } => {
                if let Some(result) = logprobs::write(logprobs) {
                    self.logprobs(*choice, &result, out);
                }
            }
            Delta::Finish { choice, finish, rest, .. } => {
                self.signatures(*choice, out);
                self.release(*choice, out);
                self.calls(*choice, out);
                self.state(*choice).finish = Some((finish.clone(), rest.clone()));
            }
            Delta::Usage(counted) => self.usage = Some(*counted),
            Delta::Failed(failure) => self.failed(failure, out),
            Delta::Done => self.ending(out),
            // What only another dialect says of a block was noted when the block began; clients of this one know no pings.
            Delta::Foreign(..) | Delta::Ping => {}
            Delta::Close { choice, .. } => self.signatures(*choice, out),
        }
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}

impl Encoder {
    fn logprobs(&mut self, choice: u32, result: &serde_json::Value, out: &mut Vec<u8>) {
        self.begin(out);
        out.extend_from_slice(b"{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"\"}],\"role\":\"model\"}");
        put::number(out, "index", choice);
        put::member(out, "logprobsResult", result);
        out.extend_from_slice(b"}]");
        self.end(out);
    }
}
