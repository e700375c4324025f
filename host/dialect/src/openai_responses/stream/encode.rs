//! Writing a client's stream: each item with all of its events, and a last event that repeats all of it.
//!
//! Texts that follow one another are one message; a thought and a call are an item each. State that belongs to a text or a call has no place
//! there: it follows as a thought without text, which the reader of requests puts back.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde_json::{Value, json};

use super::super::take::foreign_name;
use super::super::write_reply::{self, Ending, Head};
use super::item::{self, Block, Call, Input, Says};
use crate::Dialect;
use crate::dialect::Encode;
use crate::hub::{Asked, BlockKind, Called, Delta, Finish, Losses, Media, MediaKind, Opaque, Rest, Source, State};
use crate::json::{build, quote};
use crate::usage::Usage;

const OWN: Dialect = Dialect::OpenaiResponses;

/// Writes the events.
pub struct Encoder {
    pub(super) head: Head,
    /// Made up by the gateway; item ids are made from it.
    pub(super) base: String,
    pub(super) provider: String,
    pub(super) called: Vec<Called>,
    /// Only the object at the end is wanted.
    pub(super) silent: bool,
    pub(super) number: u64,
    pub(super) started: bool,
    pub(super) ended: bool,
    /// The items by their number; empty while they are open.
    pub(super) items: Vec<Vec<u8>>,
    pub(super) message: Option<Message>,
    pub(super) blocks: BTreeMap<u32, Block>,
    /// The choice that the client gets.
    pub(super) choice: Option<u32>,
    pub(super) finish: Finish,
    pub(super) refused: bool,
    pub(super) usage: Option<Usage>,
    pub(super) losses: Losses,
}

/// The message that is open.
pub(super) struct Message {
    pub(super) item: usize,
    pub(super) id: String,
    pub(super) phase: Option<String>,
    pub(super) parts: Vec<Vec<u8>>,
}

impl Encode for Encoder {
    fn delta(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        self.step(delta, out);
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}

impl Encoder {
    pub fn new(asked: &Asked) -> Encoder {
        Encoder {
            head: Head::new(asked),
            base: asked.id.clone(),
            provider: asked.provider.clone(),
            called: asked.called.clone(),
            silent: false,
            number: 0,
            started: false,
            ended: false,
            items: Vec::new(),
            message: None,
            blocks: BTreeMap::new(),
            choice: None,
            finish: Finish::Stop,
            refused: false,
            usage: None,
            losses: Losses::default(),
        }
    }

    /// One that writes no events, for [`Encoder::into_reply`].
    pub(in super::super) fn silent(asked: &Asked) -> Encoder {
        Encoder { silent: true, ..Encoder::new(asked) }
    }

    pub(in super::super) fn tier(&mut self, tier: Option<&str>) {
        self.head.tier = tier.filter(|tier| write_reply::is_tier(tier)).map(str::to_owned);
    }

    /// The response object of all that was told.
    pub(in super::super) fn into_reply(mut self) -> (Bytes, Losses) {
        self.begin("", "", None, &mut Vec::new());
        let ending = Ending::With(&self.finish, self.refused);
        let object = self.head.object(&ending, &self.items, self.usage.as_ref());
        (Bytes::from(object), self.losses)
    }

    pub(in super::super) fn step(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        match delta {
            Delta::Start { id, model, created, .. } => return self.begin(id, model, *created, out),
            Delta::Ping if !self.silent => return out.extend_from_slice(b": keepalive\n\n"),
            _ => self.begin("", "", None, out),
        }
        match delta {
            Delta::Open { choice, block, kind } if self.mine(*choice) => self.open(*block, kind, out),
            Delta::Text { choice, block, text } if self.mine(*choice) => self.text(*block, text, out),
            Delta::Opaque { choice, block, opaque } if self.mine(*choice) => self.opaque(*block, opaque, out),
            Delta::Citation { choice, block, dialect, citation } if self.mine(*choice) => {
                self.cite(*block, *dialect, citation, out);
            }
            Delta::Logprobs { choice, logprobs } if self.mine(*choice) => self.logprobs(logprobs),
            Delta::Close { choice, block } if self.mine(*choice) => self.close(*block, out),
            Delta::Finish { choice, finish, .. } if self.mine(*choice) => {
                self.finish = finish.clone();
                self.close_all(out);
            }
            Delta::Usage(usage) => self.usage = Some(*usage),
            Delta::Failed(failure) => self.fail(failure, out),
            Delta::Done => self.done(out),
            _ => {}
        }
    }

    /// The client can have one choice: the first that comes.
    fn mine(&mut self, choice: u32) -> bool {
        let mine = *self.choice.get_or_insert(choice) == choice;
        if !mine {
            self.losses.lose(format!("choices[{choice}]"));
        }
        mine
    }

    fn begin(&mut self, id: &str, model: &str, created: Option<u64>, out: &mut Vec<u8>) {
        if self.started {
            return;
        }
        self.started = true;
        self.head.id = if id.is_empty() { format!("resp_{}", self.base) } else { id.to_owned() };
        if !model.is_empty() {
            model.clone_into(&mut self.head.model);
        }
        self.head.created = created.unwrap_or(self.head.created);
        if !self.silent {
            let object = self.head.object(&Ending::Open, &[], None);
            for name in ["response.created", "response.in_progress"] {
                self.event(name, out, |out| {
                    build::key(out, "response");
                    out.extend_from_slice(&object);
                });
            }
        }
    }

    /// One event; `body` adds its members.
    pub(super) fn event(&mut self, name: &str, out: &mut Vec<u8>, body: impl FnOnce(&mut Vec<u8>)) {
        if self.silent {
            return;
        }
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(name.as_bytes());
        out.extend_from_slice(b"\ndata: {");
        build::text(out, "type", name);
        build::number(out, "sequence_number", self.number);
        self.number += 1;
        body(out);
        out.extend_from_slice(b"}\n\n");
    }

    fn item_event(&mut self, name: &str, at: usize, item: &[u8], out: &mut Vec<u8>) {
        self.event(name, out, |out| {
            build::number(out, "output_index", at);
            build::key(out, "item");
            out.extend_from_slice(item);
        });
    }

    /// The id of the item, where it came as one of this dialect, else one that is made up.
    fn item_id(&self, rest: &Rest, prefix: &str, at: usize) -> String {
        own(rest, "id").map_or_else(|| format!("{prefix}_{}_{at}", self.base), str::to_owned)
    }

    /// Begins an item; its number is the next.
    fn add(&mut self, item: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
        let at = self.items.len();
        self.items.push(Vec::new());
        if !self.silent {
            let mut json = Vec::new();
            item(&mut json);
            self.item_event("response.output_item.added", at, &json, out);
        }
    }

    pub(super) fn end_item(&mut self, at: usize, item: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) {
        let mut json = Vec::new();
        item(&mut json);
        self.item_event("response.output_item.done", at, &json, out);
        if let Some(slot) = self.items.get_mut(at) {
            *slot = json;
        }
    }

    fn open(&mut self, number: u32, kind: &BlockKind, out: &mut Vec<u8>) {
        if !matches!(kind, BlockKind::Text { .. } | BlockKind::Refusal) {
            self.close_message(out);
        }
        let at = self.items.len();
        let (item, says) = match kind {
            BlockKind::Text { rest } => {
                let (item, content) = self.content(rest, |json| item::text_part("", &[], &[], json), out);
                (item, Says::Text { content, annotations: Vec::new(), logprobs: Vec::new() })
            }
            BlockKind::Refusal => {
                self.refused = true;
                let (item, content) = self.content(&Rest::default(), |json| item::refusal_part("", json), out);
                (item, Says::Refusal { content })
            }
            BlockKind::Reasoning { rest, .. } => {
                let id = self.item_id(rest, "rs", at);
                self.add(|json| item::thought(&id, "", None, json), out);
                (at, Says::Thought { id, begun: false })
            }
            BlockKind::Call { id, name, custom, namespace, rest } => {
                let called = self.called.iter().find(|called| called.sent == *name);
                let custom_item = *custom || called.is_some_and(|called| called.custom);
                let item_id = self.item_id(rest, if custom_item { "ctc" } else { "fc" }, at);
                let call = Call::new(item_id, id, name, *custom, namespace.as_deref(), called);
                self.add(|json| call.write("in_progress", "", json), out);
                (at, Says::Call(call))
            }
            BlockKind::Media(media) => {
                self.media(media, out);
                (at, Says::Nothing)
            }
            BlockKind::Foreign(OWN, value) => {
                let json = value.to_string().into_bytes();
                self.add(|out| out.extend_from_slice(&json), out);
                self.end_item(at, |out| out.extend_from_slice(&json), out);
                (at, Says::Nothing)
            }
            BlockKind::Foreign(_, value) => {
                self.losses.lose(foreign_name(value).to_owned());
                (at, Says::Nothing)
            }
        };
        self.blocks.insert(number, Block { item, open: true, text: String::new(), says, opaque: None });
    }

    /// Begins a part of the message, and the message where none is open.
    fn content(&mut self, rest: &Rest, part: impl FnOnce(&mut Vec<u8>), out: &mut Vec<u8>) -> (usize, usize) {
        let other = |message: &Message| own(rest, "id").is_some_and(|id| id != message.id);
        if self.message.as_ref().is_some_and(other) {
            self.close_message(out);
        }
        if self.message.is_none() {
            let at = self.items.len();
            let id = self.item_id(rest, "msg", at);
            let phase = own(rest, "phase").map(str::to_owned);
            self.add(|json| item::message(&id, "in_progress", phase.as_deref(), &[], json), out);
            self.message = Some(Message { item: at, id, phase, parts: Vec::new() });
        }
        let Some(message) = self.message.as_mut() else { return (0, 0) };
        let (at, content, id) = (message.item, message.parts.len(), message.id.clone());
        message.parts.push(Vec::new());
        self.event("response.content_part.added", out, |out| {
            place(&id, at, Some(("content_index", content)), out);
            build::key(out, "part");
            part(out);
        });
        (at, content)
    }

    fn text(&mut self, number: u32, text: &str, out: &mut Vec<u8>) {
        let Some(block) = self.blocks.get_mut(&number) else { return };
        if !block.open {
            return self.late(number, text, out);
        }
        block.text.push_str(text);
        let at = block.item;
        let (name, id, index) = match &mut block.says {
            Says::Text { content, .. } => ("response.output_text.delta", None, Some(("content_index", *content))),
            Says::Refusal { content } => ("response.refusal.delta", None, Some(("content_index", *content))),
            Says::Thought { id, begun } => {
                let first = !std::mem::replace(begun, true);
                let id = id.clone();
                if first {
                    self.event("response.reasoning_summary_part.added", out, |out| {
                        place(&id, at, Some(("summary_index", 0)), out);
                        build::key(out, "part");
                        item::summary_part("", out);
                    });
                }
                ("response.reasoning_summary_text.delta", Some(id), Some(("summary_index", 0)))
            }
            // Free text inside an object is known when the object is whole.
            Says::Call(Call { input: Input::Wrapped, .. }) | Says::Nothing => return,
            Says::Call(call) => (call_event(call.input, false), Some(call.item.clone()), None),
        };
        let spoken = name == "response.output_text.delta";
        let message = self.message.take();
        let id = id.as_deref().or(message.as_ref().map(|message| message.id.as_str())).unwrap_or_default();
        self.event(name, out, |out| {
            place(id, at, index, out);
            build::text(out, "delta", text);
            if spoken {
                out.extend_from_slice(b",\"logprobs\":[]");
            }
        });
        self.message = message;
    }

    /// Text for a block whose end was told: a call gets its end again, a text goes on in another part.
    fn late(&mut self, number: u32, text: &str, out: &mut Vec<u8>) {
        let Some(block) = self.blocks.get_mut(&number) else { return };
        let kind = match &mut block.says {
            Says::Call(call) => {
                call.late = true;
                block.open = true;
                return self.text(number, text, out);
            }
            Says::Text { .. } => BlockKind::Text { rest: Rest::default() },
            Says::Refusal { .. } => BlockKind::Refusal,
            Says::Thought { .. } => BlockKind::Reasoning { summary: true, rest: Rest::default() },
            Says::Nothing => return,
        };
        self.open(number, &kind, out);
        self.text(number, text, out);
    }

    fn opaque(&mut self, number: u32, opaque: &Opaque, out: &mut Vec<u8>) {
        let Some(block) = self.blocks.get_mut(&number) else { return };
        block.opaque = Some(opaque.clone());
        if !block.open && !matches!(block.says, Says::Thought { .. } | Says::Nothing) {
            self.state_behind(number, out);
        }
    }

    /// An item for the state of a text or call that has ended.
    pub(super) fn state_behind(&mut self, number: u32, out: &mut Vec<u8>) {
        let Some(opaque) = self.blocks.get_mut(&number).and_then(|block| block.opaque.take()) else { return };
        self.close_message(out);
        let at = self.items.len();
        let id = self.item_id(&Rest::default(), "rs", at);
        let state = opaque.made_by(&self.provider).wrap();
        self.add(|json| item::thought(&id, "", None, json), out);
        self.end_item(at, |json| item::thought(&id, "", Some(&state), json), out);
    }

    /// The id and the state of a thought. State of this dialect goes with its own id or is wrapped with it.
    pub(super) fn state(&self, id: &str, opaque: Option<Opaque>) -> (String, Option<String>) {
        let Some(opaque) = opaque else { return (id.to_owned(), None) };
        if opaque.dialect == OWN
            && let State::Encrypted { data, id: made } = &opaque.state
            && (self.silent || made.as_deref().is_none_or(|made| made == id))
        {
            return (made.as_deref().unwrap_or(id).to_owned(), Some(data.clone()));
        }
        (id.to_owned(), Some(opaque.made_by(&self.provider).wrap()))
    }

    fn cite(&mut self, number: u32, dialect: Dialect, citation: &Value, out: &mut Vec<u8>) {
        let Some(Block { item, text, says: Says::Text { content, annotations, .. }, open: true, .. }) =
            self.blocks.get_mut(&number)
        else {
            return;
        };
        let said = write_reply::annotation(dialect, citation, text.chars().count(), &mut self.losses);
        let Some(annotation) = said else { return };
        let (at, content, count) = (*item, *content, annotations.len());
        annotations.push(annotation.clone());
        let id = self.message.as_ref().map(|message| message.id.clone()).unwrap_or_default();
        self.event("response.output_text.annotation.added", out, |out| {
            place(&id, at, Some(("content_index", content)), out);
            build::number(out, "annotation_index", count);
            build::member(out, "annotation", &annotation);
        });
    }

    /// Of the text that came last.
    fn logprobs(&mut self, more: &Value) {
        let texts = self.blocks.values_mut().rev();
        let last = texts.into_iter().find_map(|block| match &mut block.says {
            Says::Text { logprobs, .. } if block.open => Some(logprobs),
            _ => None,
        });
        let list = more.get("content").and_then(Value::as_array);
        if let (Some(logprobs), Some(list)) = (last, list) {
            logprobs.extend(list.iter().map(logprob));
        }
    }

    fn media(&mut self, media: &Media, out: &mut Vec<u8>) {
        let (MediaKind::Image, Source::Inline(data)) = (media.kind, &media.source) else {
            let what = match media.kind {
                MediaKind::Image => "image",
                MediaKind::Audio => "audio",
                MediaKind::Video => "video",
                MediaKind::File => "file",
            };
            return self.losses.lose(what);
        };
        let at = self.items.len();
        let id = self.item_id(&Rest::default(), "ig", at);
        let format = media.mime.as_deref().and_then(|mime| mime.strip_prefix("image/")).unwrap_or("png");
        let open = json!({"id": id, "type": "image_generation_call", "status": "in_progress", "result": null});
        self.add(|json| build::value(json, &open), out);
        self.event("response.image_generation_call.completed", out, |out| place(&id, at, None, out));
        let whole = json!({"id": id, "type": "image_generation_call", "status": "completed", "result": data, "output_format": format});
        self.end_item(at, |json| build::value(json, &whole), out);
    }
}

/// A member of this dialect.
fn own<'a>(rest: &'a Rest, name: &str) -> Option<&'a str> {
    rest.of(OWN).find(|(member, _)| *member == name)?.1.as_str()
}

pub(super) fn call_event(input: Input, done: bool) -> &'static str {
    match (input, done) {
        (Input::Arguments, false) => "response.function_call_arguments.delta",
        (Input::Arguments, true) => "response.function_call_arguments.done",
        (_, false) => "response.custom_tool_call_input.delta",
        (_, true) => "response.custom_tool_call_input.done",
    }
}

/// Where in the response an event belongs.
pub(super) fn place(id: &str, at: usize, index: Option<(&str, usize)>, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"item_id\":");
    quote(id, out);
    build::number(out, "output_index", at);
    if let Some((name, index)) = index {
        build::number(out, name, index);
    }
}

/// A log probability with the members that this dialect wants.
fn logprob(from: &Value) -> Value {
    let list = |name: &str| from.get(name).filter(|list| list.is_array()).cloned().unwrap_or_else(|| json!([]));
    json!({
        "token": from.get("token").cloned().unwrap_or_else(|| "".into()),
        "bytes": list("bytes"),
        "logprob": from.get("logprob").cloned().unwrap_or_else(|| json!(0)),
        "top_logprobs": list("top_logprobs"),
    })
}
