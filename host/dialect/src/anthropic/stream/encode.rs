//! A client's stream, written: `message_start`, each block's events under its own number, `message_delta`, `message_stop`.
//!
//! A block begins here when there is something to show of it: an empty text block would come back in the client's next request, where
//! it is refused. The end waits for the usage, which other dialects tell last.

use std::collections::BTreeMap;

use crate::Dialect;
use crate::anthropic::out::Object;
use crate::anthropic::{error, usage, write_reply};
use crate::dialect::Encode;
use crate::hub::{Asked, BlockKind, Delta, Finish, Losses, Opaque, Rest};
use crate::json;
use crate::usage::Usage;

/// Readers show no more.
const MAX_BLOCKS: usize = 1024;

/// Writes the events of one stream.
#[derive(Debug)]
pub struct Encoder {
    asked: Asked,
    losses: Losses,
    started: bool,
    ended: bool,
    /// Of the first choice, by the hub's numbers.
    blocks: BTreeMap<u32, Block>,
    /// The next block's number.
    count: u32,
    /// The block that is open on the wire, by the hub's number: clients know one at a time.
    current: Option<u32>,
    /// Another dialect's state behind a text: it is told before the next block, and never as the last one.
    held: Option<(Opaque, Rest)>,
    /// The last block on the wire is a text.
    told_text: bool,
    finish: Option<(Finish, Option<String>, Rest)>,
    called: bool,
    refused: bool,
    usage: Option<Usage>,
    /// What the beginning said beside; repeated nowhere.
    rest: Rest,
}

#[derive(Debug)]
struct Block {
    kind: Kind,
    /// Its number in the stream, once it has begun there.
    at: Option<u32>,
    opaque: Option<Opaque>,
    closed: bool,
    /// What stands on it, until it begins.
    rest: Rest,
}

#[derive(Debug)]
enum Kind {
    Text,
    Thought,
    /// With the call's id.
    Call(String),
    /// Nothing of it is shown.
    Lost,
}

impl Encoder {
    pub fn new(asked: &Asked) -> Encoder {
        Encoder {
            asked: asked.clone(),
            losses: Losses::default(),
            started: false,
            ended: false,
            blocks: BTreeMap::new(),
            count: 0,
            current: None,
            held: None,
            told_text: false,
            finish: None,
            called: false,
            refused: false,
            usage: None,
            rest: Rest::default(),
        }
    }
}

impl Encode for Encoder {
    fn delta(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        if !self.started && !matches!(delta, Delta::Start { .. } | Delta::Ping | Delta::Failed(_)) {
            self.start("", "", out);
        }
        match delta {
            Delta::Start { id, model, rest, .. } => {
                self.losses.beside(rest, Dialect::Anthropic);
                self.rest = rest.clone();
                self.start(id, model, out);
            }
            Delta::Open { choice, .. } | Delta::Text { choice, .. } | Delta::Finish { choice, .. } if *choice > 0 => {
                self.losses.lose(format!("choices[{choice}]"));
            }
            Delta::Opaque { choice, .. }
            | Delta::Citation { choice, .. }
            | Delta::Logprobs { choice, .. }
            | Delta::Close { choice, .. }
                if *choice > 0 => {}
            Delta::Open { block, kind, .. } => self.open(*block, kind, out),
            Delta::Text { block, text, .. } => self.text(*block, text, out),
            Delta::Opaque { block, opaque, .. } => {
                if let Some(block) = self.blocks.get_mut(block).filter(|block| !block.closed) {
                    block.opaque = Some(opaque.clone());
                }
            }
            Delta::Citation { block, dialect, citation, .. } => self.citation(*block, *dialect, citation, out),
            Delta::Logprobs { .. } => self.losses.lose("logprobs"),
            Delta::Close { block, .. } => self.close(*block, out),
            Delta::Finish { finish, stop_sequence, rest, .. } => {
                self.losses.beside(rest, Dialect::Anthropic);
                self.finish = Some((finish.clone(), stop_sequence.clone(), rest.clone()));
            }
            Delta::Usage(usage) => self.usage = Some(*usage),
            Delta::Foreign(Dialect::Anthropic, _) => {}
            Delta::Foreign(_, whole) => self.losses.lose(write_reply::foreign(whole)),
            Delta::Ping => out.extend_from_slice(b"event: ping\ndata: {\"type\":\"ping\"}\n\n"),
            Delta::Failed(failure) => {
                self.ended = true;
                out.extend_from_slice(&error::event(failure));
            }
            Delta::Done => self.done(out),
        }
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}

/// One event: its members are written by `body`, behind its type.
fn event(kind: &str, out: &mut Vec<u8>, body: impl FnOnce(&mut Object<'_>)) {
    out.extend_from_slice(b"event: ");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\ndata: ");
    let mut object = Object::typed(out, kind);
    body(&mut object);
    object.close();
    out.extend_from_slice(b"\n\n");
}

/// The event of a delta that is one text.
fn block_delta(at: u32, kind: &str, field: &str, text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":");
    number(at, out);
    out.extend_from_slice(b",\"delta\":{\"type\":\"");
    out.extend_from_slice(kind.as_bytes());
    out.extend_from_slice(b"\",\"");
    out.extend_from_slice(field.as_bytes());
    out.extend_from_slice(b"\":");
    json::quote(text, out);
    out.extend_from_slice(b"}}\n\n");
}

fn number(number: u32, out: &mut Vec<u8>) {
    if number < 10 {
        out.push(b'0' + number as u8);
    } else {
        out.extend_from_slice(number.to_string().as_bytes());
    }
}

fn block_start(at: u32, kind: &str, out: &mut Vec<u8>, body: impl FnOnce(&mut Object<'_>)) {
    event("content_block_start", out, |event| {
        event.count("index", u64::from(at));
        let mut block = Object::typed(event.at("content_block"), kind);
        body(&mut block);
        block.close();
    });
}

fn block_stop(at: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b"event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":");
    number(at, out);
    out.extend_from_slice(b"}\n\n");
}

impl Encoder {
    fn start(&mut self, id: &str, model: &str, out: &mut Vec<u8>) {
        if std::mem::replace(&mut self.started, true) {
            return;
        }
        let (asked, rest) = (&self.asked, &self.rest);
        event("message_start", out, |event| {
            let mut message = Object::open(event.at("message"));
            write_reply::head(id, model, asked, &mut message);
            message.raw("content", b"[]");
            message.raw("stop_reason", b"null");
            message.raw("stop_sequence", b"null");
            if rest.of(Dialect::Anthropic).all(|(name, _)| name != "stop_details") {
                message.raw("stop_details", b"null");
            }
            usage::write(self.usage.unwrap_or_default(), message.at("usage"));
            message.rest(rest);
            message.close();
        });
    }

    fn open(&mut self, number: u32, kind: &BlockKind, out: &mut Vec<u8>) {
        if self.blocks.len() >= MAX_BLOCKS {
            self.losses.lose("content");
            return;
        }
        self.refused |= matches!(kind, BlockKind::Refusal);
        let (kind, rest) = match kind {
            BlockKind::Text { rest } => (Kind::Text, rest.clone()),
            BlockKind::Reasoning { rest, .. } => (Kind::Thought, rest.clone()),
            BlockKind::Refusal => (Kind::Text, Rest::default()),
            BlockKind::Call { id, name, namespace, rest, .. } => {
                self.called = true;
                self.stop(out);
                let at = self.next();
                block_start(at, "tool_use", out, |block| {
                    block.text("id", id);
                    block.text("name", &Asked::flat(namespace.as_deref(), name));
                    block.raw("input", b"{}");
                    block.rest(rest);
                });
                block_delta(at, "input_json_delta", "partial_json", "", out);
                self.losses.beside(rest, Dialect::Anthropic);
                let block = Block {
                    kind: Kind::Call(id.clone()),
                    at: Some(at),
                    opaque: None,
                    closed: false,
                    rest: Rest::default(),
                };
                self.blocks.insert(number, block);
                self.current = Some(number);
                return;
            }
            BlockKind::Foreign(Dialect::Anthropic, whole) => {
                self.foreign(whole, out);
                (Kind::Lost, Rest::default())
            }
            BlockKind::Foreign(_, whole) => {
                self.losses.lose(write_reply::foreign(whole));
                (Kind::Lost, Rest::default())
            }
            BlockKind::Media(_) => {
                self.losses.lose("media");
                (Kind::Lost, Rest::default())
            }
        };
        self.losses.beside(&rest, Dialect::Anthropic);
        self.blocks.insert(number, Block { kind, at: None, opaque: None, closed: false, rest });
    }

    fn next(&mut self) -> u32 {
        self.told_text = false;
        self.count += 1;
        self.count - 1
    }

    /// A block of the provider's own, as the provider tells it.
    fn foreign(&mut self, whole: &serde_json::Value, out: &mut Vec<u8>) {
        self.stop(out);
        let at = self.next();
        let kind = whole.get("type").and_then(serde_json::Value::as_str).unwrap_or_default();
        let held = match kind {
            "server_tool_use" | "mcp_tool_use" => Some("input"),
            "compaction" => Some("content"),
            _ => None,
        };
        let held = held.and_then(|name| Some((name, whole.get(name)?)));
        block_start(at, kind, out, |block| {
            for (name, value) in whole.as_object().into_iter().flatten().filter(|(name, _)| *name != "type") {
                match held {
                    Some(("input", _)) if name == "input" => block.raw("input", b"{}"),
                    Some((held, _)) if held == name => block.raw(name, b"null"),
                    _ => block.value(name, value),
                }
            }
        });
        match held {
            Some(("input", input)) => {
                block_delta(at, "input_json_delta", "partial_json", &input.to_string(), out);
            }
            Some((name, content)) => event("content_block_delta", out, |event| {
                event.count("index", u64::from(at));
                let mut delta = Object::typed(event.at("delta"), "compaction_delta");
                delta.value(name, content);
                delta.close();
            }),
            None => {}
        }
        block_stop(at, out);
    }

    /// The number of a text or a thought, which begins now if it has not, or if another block came between.
    fn begun(&mut self, number: u32, out: &mut Vec<u8>) -> Option<u32> {
        let block = self.blocks.get(&number)?;
        match (block.at, &block.kind) {
            (Some(at), Kind::Call(_)) => return Some(at),
            (Some(at), _) if self.current == Some(number) => return Some(at),
            (_, Kind::Call(_) | Kind::Lost) => return None,
            _ => {}
        }
        self.stop(out);
        let next = self.next();
        let block = self.blocks.get_mut(&number)?;
        let rest = &block.rest;
        let thought = matches!(block.kind, Kind::Thought);
        block_start(next, if thought { "thinking" } else { "text" }, out, |block| {
            if thought {
                block.text("thinking", "");
                block.text("signature", "");
            } else {
                block.text("text", "");
            }
            block.rest(rest);
        });
        block.at = Some(next);
        self.current = Some(number);
        self.told_text = !thought;
        Some(next)
    }

    /// Makes room for the next block: ends the one that is open on the wire, and tells the state that belongs behind it.
    fn stop(&mut self, out: &mut Vec<u8>) {
        self.end(out);
        if let Some((opaque, rest)) = self.held.take() {
            self.sealed(&opaque, &rest, out);
        }
    }

    /// Ends the block that is open on the wire.
    fn end(&mut self, out: &mut Vec<u8>) {
        let Some(block) = self.current.take().and_then(|number| self.blocks.get_mut(&number)) else { return };
        let Some(at) = block.at else { return };
        if matches!(block.kind, Kind::Thought) {
            let signature = write_reply::signature(block.opaque.take().as_ref(), &self.asked);
            block_delta(at, "signature_delta", "signature", &signature, out);
        }
        block_stop(at, out);
    }

    fn text(&mut self, number: u32, text: &str, out: &mut Vec<u8>) {
        let Some(at) = self.begun(number, out) else { return };
        let (kind, field) = match self.blocks.get(&number).map(|block| &block.kind) {
            Some(Kind::Thought) => ("thinking_delta", "thinking"),
            Some(Kind::Call(_)) => ("input_json_delta", "partial_json"),
            _ => ("text_delta", "text"),
        };
        block_delta(at, kind, field, text, out);
    }

    fn citation(&mut self, number: u32, dialect: Dialect, citation: &serde_json::Value, out: &mut Vec<u8>) {
        if dialect != Dialect::Anthropic {
            self.losses.lose("citations");
            return;
        }
        if let Some(at) = self.begun(number, out) {
            event("content_block_delta", out, |event| {
                event.count("index", u64::from(at));
                let mut delta = Object::typed(event.at("delta"), "citations_delta");
                delta.value("citation", citation);
                delta.close();
            });
        }
    }

    fn close(&mut self, number: u32, out: &mut Vec<u8>) {
        let Some(block) = self.blocks.get_mut(&number).filter(|block| !block.closed) else { return };
        block.closed = true;
        let (at, rest) = (block.at, std::mem::take(&mut block.rest));
        let state = match &block.kind {
            // The state of a thought that was told goes with its end.
            Kind::Thought if at.is_some() => None,
            Kind::Thought => block.opaque.clone(),
            Kind::Call(id) => block.opaque.take().map(|opaque| write_reply::beside(&opaque, id)),
            Kind::Text => block.opaque.take().map(|opaque| write_reply::beside(&opaque, "")),
            Kind::Lost => None,
        };
        if self.current == Some(number) {
            self.end(out);
        }
        match state {
            // A thought that is not shown, as the own dialect has it.
            Some(opaque) if at.is_none() && !write_reply::is_sealed(&opaque) => {
                self.begun(number, out);
                self.stop(out);
            }
            Some(opaque) if self.told_text && self.held.is_none() && write_reply::is_foreign(&opaque) => {
                self.held = Some((opaque, rest));
            }
            Some(opaque) => {
                self.stop(out);
                self.sealed(&opaque, &rest, out);
            }
            None => {}
        }
    }

    fn sealed(&mut self, opaque: &Opaque, rest: &Rest, out: &mut Vec<u8>) {
        let at = self.next();
        let data = write_reply::sealed(opaque, &self.asked);
        block_start(at, "redacted_thinking", out, |block| {
            block.text("data", &data);
            block.rest(rest);
        });
        block_stop(at, out);
    }

    fn done(&mut self, out: &mut Vec<u8>) {
        self.ended = true;
        self.start("", "", out);
        let open: Vec<u32> = self.blocks.iter().filter(|(_, block)| !block.closed).map(|(number, _)| *number).collect();
        open.into_iter().for_each(|number| self.close(number, out));
        self.end(out);
        if self.held.take().is_some() {
            self.losses.hint(write_reply::TRAILING);
        }
        let (finish, stop_sequence, rest) = self.finish.take().unwrap_or_default();
        let finish = match finish {
            Finish::Stop if self.called => Finish::ToolCalls,
            Finish::Stop if self.refused => Finish::Refusal,
            finish => finish,
        };
        let (losses, usage) = (&mut self.losses, self.usage.unwrap_or_default());
        event("message_delta", out, |event| {
            let mut delta = Object::open(event.at("delta"));
            write_reply::ending(&finish, stop_sequence.as_deref(), &rest, &mut delta, losses);
            for (name, value) in rest.of(Dialect::Anthropic).filter(|(name, _)| *name != "context_management") {
                delta.value(name, value);
            }
            delta.close();
            usage::write(usage, event.at("usage"));
            for (name, value) in rest.of(Dialect::Anthropic).filter(|(name, _)| *name == "context_management") {
                event.value(name, value);
            }
        });
        event("message_stop", out, |_| {});
    }
}
