//! A provider's stream, read.
//!
//! Blocks of the provider's own tools are shown when they are complete, so that a gathered stream equals the whole reply.

use serde_json::Value;

use crate::Dialect;
use crate::anthropic::members::Members;
use crate::anthropic::usage::Counts;
use crate::anthropic::{block, error, read_reply};
use crate::dialect::Decode;
use crate::failure::Failure;
use crate::hub::{BlockKind, Call, Delta, Finish, Opaque, Part, Reasoning, Rest, Text};

/// No reply has more blocks.
const MAX_BLOCKS: usize = 1024;

/// How much of a provider's own tool call is gathered, in bytes.
const MAX_HELD: usize = 4 << 20;

/// Reads the events of one stream.
#[derive(Debug, Default)]
pub struct Decoder {
    started: bool,
    ended: bool,
    /// By the provider's numbers.
    blocks: Vec<Option<Block>>,
    /// How many blocks were begun: the next one's number.
    count: u32,
    calls: bool,
    /// The end, as far as it was told.
    finish: Option<(Finish, Option<String>, Rest)>,
    counts: Counts,
}

#[derive(Debug)]
struct Block {
    number: u32,
    open: bool,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text,
    Thinking,
    /// `whole`: the arguments that came with the beginning, for a call that gets no pieces of them.
    Call {
        whole: Option<String>,
        said: bool,
    },
    Foreign {
        start: Value,
        input: String,
    },
}

impl Decode for Decoder {
    fn event(&mut self, event: Option<&[u8]>, data: &[u8], out: &mut Vec<Delta>) {
        if self.ended {
            return;
        }
        let Some(Ok(mut members)) = crate::json::tree(data).map(Members::of) else {
            let failure = if event == Some(b"error") { error::in_stream(event, data) } else { None };
            let failure = failure.unwrap_or_else(|| {
                Failure::bad_gateway("invalid_event", "The provider sent an event that cannot be read.")
            });
            return self.fail(failure, out);
        };
        let kind = members.string("type").unwrap_or_default();
        match kind.as_str() {
            "message_start" => self.start(members, out),
            "content_block_start" => self.block_start(members, out),
            "content_block_delta" => self.block_delta(members, out),
            "content_block_stop" => {
                if let Some(at) = index(&members) {
                    self.block_stop(at, out);
                }
            }
            "message_delta" => self.message_delta(members, out),
            "message_stop" => self.done(out),
            "ping" => out.push(Delta::Ping),
            _ => {
                if let Some(failure) = error::in_stream(event, data) {
                    self.fail(failure, out);
                }
            }
        }
    }

    fn end(&mut self, out: &mut Vec<Delta>) {
        if self.ended {
            return;
        }
        if self.finish.is_some() {
            return self.done(out);
        }
        let message = "The provider broke off before the reply was complete.";
        self.fail(Failure::bad_gateway("stream_truncated", message), out);
    }
}

fn index(members: &Members) -> Option<usize> {
    let index = members.0.get("index")?.as_u64()?;
    usize::try_from(index).ok().filter(|at| *at < MAX_BLOCKS)
}

impl Decoder {
    fn start(&mut self, mut event: Members, out: &mut Vec<Delta>) {
        if self.started {
            return;
        }
        self.started = true;
        let mut message = event.object("message").unwrap_or_default();
        message.0.shift_remove("type");
        message.0.shift_remove("role");
        // A message that goes on after the provider's own code called a tool begins with the call, and may say its end as well.
        let content = message.list("content");
        let (reason, stop_sequence) = (message.string("stop_reason"), message.string("stop_sequence"));
        let usage = message.any("usage");
        let (id, model) = (message.string("id").unwrap_or_default(), message.string("model").unwrap_or_default());
        out.push(Delta::Start { id, model, created: None, rest: message.rest() });
        if let Some(usage) = usage {
            self.count(&usage, out);
        }
        for (at, block) in content.into_iter().enumerate().take(MAX_BLOCKS) {
            let begin = [("index".to_owned(), at.into()), ("content_block".to_owned(), block)];
            self.block_start(Members(begin.into_iter().collect()), out);
            self.block_stop(at, out);
        }
        if reason.is_some() {
            let finish = read_reply::finish(reason.as_deref(), self.calls);
            self.finish = Some((finish, stop_sequence, Rest::default()));
        }
    }

    /// A stream that leaves out its beginning is read all the same.
    fn ensure_start(&mut self, out: &mut Vec<Delta>) {
        if !self.started {
            self.started = true;
            let (id, model) = (String::new(), String::new());
            out.push(Delta::Start { id, model, created: None, rest: Rest::default() });
        }
    }

    fn count(&mut self, usage: &Value, out: &mut Vec<Delta>) {
        self.counts.update(Counts::of(usage));
        out.extend(self.counts.usage().map(Delta::Usage));
    }

    fn block_start(&mut self, mut event: Members, out: &mut Vec<Delta>) {
        self.ensure_start(out);
        let Some(at) = index(&event) else {
            let message = "The provider sent more blocks than a reply can have, or one without a number.";
            return self.fail(Failure::bad_gateway("invalid_event", message), out);
        };
        self.block_stop(at, out);
        let mut parts = Vec::new();
        if let Some(block) = event.object("content_block") {
            block::read(block, &mut parts);
        }
        let number = self.count;
        self.count += 1;
        let kind = match parts.pop() {
            Some(Part::Text(text)) => open_text(number, text, out),
            Some(Part::Reasoning(thought)) => open_thought(number, thought, out),
            Some(Part::Call(call)) => {
                self.calls = true;
                open_call(number, call, out)
            }
            Some(Part::Foreign(_, start)) => Kind::Foreign { start, input: String::new() },
            // Nothing that a model says.
            Some(other) => Kind::Foreign { start: serde_json::json!({"type": kind_of(&other)}), input: String::new() },
            None => Kind::Foreign { start: serde_json::json!({"type": "unknown"}), input: String::new() },
        };
        self.put(at, Block { number, open: true, kind });
    }

    fn put(&mut self, at: usize, block: Block) {
        if self.blocks.len() <= at {
            self.blocks.resize_with(at + 1, || None);
        }
        if let Some(slot) = self.blocks.get_mut(at) {
            *slot = Some(block);
        }
    }

    fn block_delta(&mut self, mut event: Members, out: &mut Vec<Delta>) {
        let Some(at) = index(&event) else { return };
        let Some(mut delta) = event.object("delta") else { return };
        if self.blocks.get(at).is_none_or(Option::is_none) {
            self.unannounced(at, &delta, out);
        }
        let Some(Some(block)) = self.blocks.get_mut(at) else { return };
        let number = block.number;
        let mut push = |text: Option<String>| match text {
            Some(text) if !text.is_empty() => {
                out.push(Delta::Text { choice: 0, block: number, text });
                true
            }
            _ => false,
        };
        match (&mut block.kind, delta.str("type").unwrap_or_default()) {
            (Kind::Text, "text_delta") => {
                push(delta.string("text"));
            }
            (Kind::Thinking, "thinking_delta") => {
                push(delta.string("thinking"));
            }
            (Kind::Call { said, .. }, "input_json_delta") => *said |= push(delta.string("partial_json")),
            (Kind::Thinking, "signature_delta") => {
                let opaque = delta.string("signature").and_then(|signature| block::signed(&signature));
                out.extend(opaque.map(|opaque| Delta::Opaque { choice: 0, block: number, opaque }));
            }
            (Kind::Text, "citations_delta") => {
                out.extend(delta.any("citation").map(|citation| cited(number, citation)));
            }
            (Kind::Foreign { input, .. }, "input_json_delta") => {
                input.push_str(&delta.string("partial_json").unwrap_or_default());
                if input.len() > MAX_HELD {
                    let message = "The provider sent a call of its own tool that is too long.";
                    self.fail(Failure::bad_gateway("invalid_event", message), out);
                }
            }
            (Kind::Foreign { start, .. }, "compaction_delta") => extend(start, delta),
            _ => {}
        }
    }

    /// A delta for a block that was never begun says itself what the block is.
    fn unannounced(&mut self, at: usize, delta: &Members, out: &mut Vec<Delta>) {
        let kind = match delta.str("type") {
            Some("text_delta") => "text",
            Some("thinking_delta") => "thinking",
            _ => return,
        };
        let start = serde_json::json!({"index": at, "content_block": {"type": kind, "text": "", "thinking": ""}});
        if let Ok(mut event) = Members::of(start) {
            if let Some(block) = event.0.get_mut("content_block").and_then(Value::as_object_mut) {
                block.shift_remove(if kind == "text" { "thinking" } else { "text" });
            }
            self.block_start(event, out);
        }
    }

    fn block_stop(&mut self, at: usize, out: &mut Vec<Delta>) {
        let Some(Some(block)) = self.blocks.get_mut(at) else { return };
        if !std::mem::take(&mut block.open) {
            return;
        }
        let number = block.number;
        match &mut block.kind {
            Kind::Call { whole, said: false } => {
                let text = whole.take().unwrap_or_else(|| "{}".to_owned());
                out.push(Delta::Text { choice: 0, block: number, text });
            }
            Kind::Foreign { start, input } => {
                let mut start = start.take();
                if let (Some(members), Ok(input)) = (start.as_object_mut(), serde_json::from_str(input)) {
                    members.insert("input".to_owned(), input);
                }
                let kind = BlockKind::Foreign(Dialect::Anthropic, start);
                out.push(Delta::Open { choice: 0, block: number, kind });
            }
            _ => {}
        }
        out.push(Delta::Close { choice: 0, block: number });
    }

    fn message_delta(&mut self, mut event: Members, out: &mut Vec<Delta>) {
        self.ensure_start(out);
        if let Some(usage) = event.any("usage") {
            self.count(&usage, out);
        }
        let mut delta = event.object("delta").unwrap_or_default();
        let reason = delta.string("stop_reason").filter(|reason| !reason.is_empty());
        let stop_sequence = delta.string("stop_sequence");
        delta.0.shift_remove("stop_reason");
        if let Some(management) = event.any("context_management") {
            delta.0.insert("context_management".to_owned(), management);
        }
        if reason.is_some() {
            let finish = read_reply::finish(reason.as_deref(), self.calls);
            self.finish = Some((finish, stop_sequence, delta.rest()));
        }
    }

    fn done(&mut self, out: &mut Vec<Delta>) {
        self.ensure_start(out);
        for at in 0..self.blocks.len() {
            self.block_stop(at, out);
        }
        let (finish, stop_sequence, rest) =
            self.finish.take().unwrap_or_else(|| (read_reply::finish(None, self.calls), None, Rest::default()));
        out.push(Delta::Finish { choice: 0, finish, stop_sequence, rest });
        out.push(Delta::Done);
        self.ended = true;
    }

    fn fail(&mut self, failure: Failure, out: &mut Vec<Delta>) {
        self.ended = true;
        out.push(Delta::Failed(Box::new(failure)));
    }
}

fn kind_of(part: &Part) -> &'static str {
    match part {
        Part::Media(_) => "media",
        _ => "tool_result",
    }
}

fn cited(block: u32, citation: Value) -> Delta {
    Delta::Citation { choice: 0, block, dialect: Dialect::Anthropic, citation }
}

fn open_text(block: u32, text: Text, out: &mut Vec<Delta>) -> Kind {
    out.push(Delta::Open { choice: 0, block, kind: BlockKind::Text { rest: text.rest } });
    if !text.text.is_empty() {
        out.push(Delta::Text { choice: 0, block, text: text.text });
    }
    out.extend(text.citations.into_iter().flat_map(|(_, list)| list).map(|citation| cited(block, citation)));
    Kind::Text
}

fn open_thought(block: u32, thought: Reasoning, out: &mut Vec<Delta>) -> Kind {
    let kind = BlockKind::Reasoning { summary: thought.summary, rest: thought.rest };
    out.push(Delta::Open { choice: 0, block, kind });
    if !thought.text.is_empty() {
        out.push(Delta::Text { choice: 0, block, text: thought.text });
    }
    let opaque = |opaque: Opaque| Delta::Opaque { choice: 0, block, opaque };
    out.extend(thought.opaque.map(opaque));
    Kind::Thinking
}

fn open_call(block: u32, call: Call, out: &mut Vec<Delta>) -> Kind {
    let id = if call.id.is_empty() { format!("call_{block}") } else { call.id };
    let kind = BlockKind::Call { id, name: call.name, custom: false, namespace: None, rest: call.rest };
    out.push(Delta::Open { choice: 0, block, kind });
    let whole = (!matches!(call.arguments.as_str(), "" | "{}")).then_some(call.arguments);
    Kind::Call { whole, said: false }
}

/// Adds the strings of a delta to those of the block.
fn extend(start: &mut Value, delta: Members) {
    let Some(members) = start.as_object_mut() else { return };
    for (name, value) in delta.0 {
        match (members.get_mut(&name), value) {
            (_, Value::Null) => {}
            _ if name == "type" => {}
            (Some(Value::String(text)), Value::String(more)) => text.push_str(&more),
            (_, value) => {
                members.insert(name, value);
            }
        }
    }
}
