//! A stream of `chat.completion.chunk`s for a client.
//!
//! The role comes with the first words of a choice: a chunk of its own would have to say whether there will be a text. `[DONE]` is said for
//! [`Delta::Done`] alone.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::write_reply::{annotation, head, reason, usage};
use super::write_request::{foreign_type, signature};
use super::{OWN, error, media, thoughts};
use crate::Dialect;
use crate::dialect::Encode;
use crate::hub::{Asked, BlockKind, Delta, Finish, Losses, MediaKind, Opaque};
use crate::json::build;
use crate::usage::Usage;

pub(super) struct Encoder {
    asked: Asked,
    /// What every chunk begins with, from `data:` to the model.
    head: Vec<u8>,
    choices: BTreeMap<u32, Choice>,
    usage: Option<Usage>,
    losses: Losses,
    over: bool,
}

#[derive(Default)]
struct Choice {
    role: bool,
    blocks: BTreeMap<u32, Block>,
    calls: usize,
    thoughts: usize,
    refused: bool,
    /// Characters of text so far, for citations.
    said: usize,
    cited: usize,
}

enum Block {
    Text {
        start: usize,
    },
    /// `signed`: its state was told.
    Reasoning {
        index: usize,
        length: usize,
        signed: bool,
    },
    Refusal,
    /// `any`: whether arguments came.
    Call {
        index: usize,
        any: bool,
    },
    /// A custom tool's input: gathered where it comes as arguments, since only whole ones can be undone.
    Custom {
        index: usize,
        gathered: Option<String>,
    },
    Silent,
}

impl Choice {
    /// Where some thoughts have state, the lengths of the others: so that the text can be cut again.
    fn unsigned(&self) -> Vec<Value> {
        let thoughts = || {
            self.blocks.values().filter_map(|block| match block {
                Block::Reasoning { index, length, signed } => Some((*index, *length, *signed)),
                _ => None,
            })
        };
        if !thoughts().any(|(_, _, signed)| signed) {
            return Vec::new();
        }
        let unsigned = thoughts().filter(|(_, length, signed)| !signed && *length > 0);
        unsigned.map(|(index, length, _)| thoughts::unsigned_detail(length, index)).collect()
    }
}

impl Encoder {
    pub(super) fn new(asked: &Asked) -> Encoder {
        Encoder {
            asked: asked.clone(),
            head: Vec::new(),
            choices: BTreeMap::new(),
            usage: None,
            losses: Losses::default(),
            over: false,
        }
    }

    fn begin(&mut self, id: &str, model: &str, created: Option<u64>) {
        self.head = b"data: {".to_vec();
        head(&mut self.head, "chat.completion.chunk", id, model, created, &self.asked);
    }

    /// A chunk up to inside the delta of a choice. Members of the delta follow, then [`Encoder::shut`].
    fn open(&mut self, choice: u32, out: &mut Vec<u8>) {
        if self.head.is_empty() {
            self.begin("", "", None);
        }
        out.extend_from_slice(&self.head);
        build::key(out, "choices");
        out.extend_from_slice(b"[{");
        build::number(out, "index", choice);
        build::key(out, "delta");
        out.push(b'{');
        let state = self.choices.entry(choice).or_default();
        if !state.role {
            state.role = true;
            out.extend_from_slice(b"\"role\":\"assistant\"");
        }
    }

    fn shut(&self, finish: Option<&str>, logprobs: Option<&Value>, out: &mut Vec<u8>) {
        out.push(b'}');
        if let Some(logprobs) = logprobs {
            build::member(out, "logprobs", logprobs);
        }
        match finish {
            Some(finish) => build::text(out, "finish_reason", finish),
            None => build::raw(out, "finish_reason", "null"),
        }
        out.extend_from_slice(b"}]");
        if self.asked.stream_usage {
            build::raw(out, "usage", "null");
        }
        out.extend_from_slice(b"}\n\n");
    }

    fn say(&mut self, choice: u32, name: &str, text: &str, out: &mut Vec<u8>) {
        self.open(choice, out);
        build::text(out, name, text);
        self.shut(None, None, out);
    }

    /// A member of a call's delta, written by `fill` into the open call object.
    fn call(&mut self, choice: u32, index: usize, out: &mut Vec<u8>, fill: impl FnOnce(&mut Vec<u8>)) {
        self.open(choice, out);
        build::key(out, "tool_calls");
        out.extend_from_slice(b"[{");
        build::number(out, "index", index);
        fill(out);
        out.extend_from_slice(b"}]");
        self.shut(None, None, out);
    }

    fn arguments(&mut self, choice: u32, index: usize, text: &str, out: &mut Vec<u8>) {
        self.call(choice, index, out, |out| {
            build::key(out, "function");
            out.push(b'{');
            build::text(out, "arguments", text);
            out.push(b'}');
        });
    }

    fn input(&mut self, choice: u32, index: usize, text: &str, out: &mut Vec<u8>) {
        self.call(choice, index, out, |out| {
            build::key(out, "custom");
            out.push(b'{');
            build::text(out, "input", text);
            out.push(b'}');
        });
    }

    fn open_block(&mut self, choice: u32, block: u32, kind: &BlockKind, out: &mut Vec<u8>) {
        let state = self.choices.entry(choice).or_default();
        let opened = match kind {
            BlockKind::Text { .. } => Block::Text { start: state.said },
            BlockKind::Reasoning { .. } => {
                state.thoughts += 1;
                Block::Reasoning { index: state.thoughts - 1, length: 0, signed: false }
            }
            BlockKind::Refusal => {
                state.refused = true;
                Block::Refusal
            }
            BlockKind::Call { id, name, custom, namespace, .. } => {
                let index = state.calls;
                state.calls += 1;
                let name = Asked::flat(namespace.as_deref(), name);
                self.open_call(choice, index, id, &name, *custom, out)
            }
            BlockKind::Media(media) if media.kind == MediaKind::Image => {
                match media::write(media) {
                    Some(image) => {
                        self.open(choice, out);
                        build::member(out, "images", &json!([image]));
                        self.shut(None, None, out);
                    }
                    None => self.losses.lose("message.image"),
                }
                Block::Silent
            }
            BlockKind::Media(media) => {
                self.losses.lose(match media.kind {
                    MediaKind::Audio => "message.audio",
                    MediaKind::Video => "message.video",
                    MediaKind::Image | MediaKind::File => "message.file",
                });
                Block::Silent
            }
            BlockKind::Foreign(_, value) => {
                self.losses.lose(format!("message.{}", foreign_type(value)));
                Block::Silent
            }
        };
        self.choices.entry(choice).or_default().blocks.insert(block, opened);
    }

    fn open_call(&mut self, choice: u32, index: usize, id: &str, name: &str, free: bool, out: &mut Vec<u8>) -> Block {
        let called = self.asked.called(name);
        let restored = called.is_some_and(|called| called.custom) && !free;
        let name = called.map_or_else(|| name.to_owned(), |called| called.name.clone());
        let custom = free || restored;
        let (kind, input) = if custom { ("custom", "input") } else { ("function", "arguments") };
        self.call(choice, index, out, |out| {
            build::text(out, "id", id);
            build::text(out, "type", kind);
            build::key(out, kind);
            out.push(b'{');
            build::text(out, "name", &name);
            build::text(out, input, "");
            out.push(b'}');
        });
        if custom {
            Block::Custom { index, gathered: restored.then(String::new) }
        } else {
            Block::Call { index, any: false }
        }
    }

    fn text(&mut self, choice: u32, block: u32, text: &str, out: &mut Vec<u8>) {
        let Some(state) = self.choices.get_mut(&choice) else { return };
        match state.blocks.get_mut(&block) {
            Some(Block::Text { .. }) => {
                state.said += if text.is_ascii() { text.len() } else { text.chars().count() };
                self.say(choice, "content", text, out);
            }
            Some(Block::Reasoning { length, .. }) => {
                *length += text.len();
                self.say(choice, "reasoning_content", text, out);
            }
            Some(Block::Refusal) => self.say(choice, "refusal", text, out),
            Some(Block::Call { index, any }) => {
                *any = true;
                let index = *index;
                self.arguments(choice, index, text, out);
            }
            Some(Block::Custom { gathered: Some(gathered), .. }) => gathered.push_str(text),
            Some(Block::Custom { index, gathered: None }) => {
                let index = *index;
                self.input(choice, index, text, out);
            }
            Some(Block::Silent) | None => {}
        }
    }

    fn cite(&mut self, choice: u32, block: u32, dialect: Dialect, citation: &Value, out: &mut Vec<u8>) {
        let state = self.choices.entry(choice).or_default();
        let start = match state.blocks.get(&block) {
            Some(Block::Text { start }) => *start,
            _ => 0,
        };
        let Some(mut annotation) = annotation(dialect, citation, start, state.said) else {
            self.losses.lose("citations");
            return;
        };
        // OpenAI's clients put pieces of a list together by their indices, and raise where there is none.
        if let Value::Object(members) = &mut annotation {
            members.insert("index".to_owned(), state.cited.into());
        }
        state.cited += 1;
        self.open(choice, out);
        build::member(out, "annotations", &json!([annotation]));
        self.shut(None, None, out);
    }

    fn opaque(&mut self, choice: u32, block: u32, opaque: &Opaque, out: &mut Vec<u8>) {
        let Some(state) = self.choices.get_mut(&choice) else { return };
        match state.blocks.get_mut(&block) {
            Some(Block::Reasoning { index, length, signed }) => {
                *signed = true;
                let detail = thoughts::detail(opaque, None, *length, *index);
                self.open(choice, out);
                build::member(out, "reasoning_details", &json!([detail]));
                self.shut(None, None, out);
            }
            Some(block @ (Block::Call { .. } | Block::Custom { .. })) => {
                let (index, name, input) = match block {
                    Block::Custom { index, .. } => (*index, "custom", "input"),
                    Block::Call { index, .. } => (*index, "function", "arguments"),
                    _ => return,
                };
                // OpenAI's clients want the function in every piece of a call.
                self.call(choice, index, out, |out| {
                    build::member(out, name, &json!({input: ""}));
                    build::member(out, "extra_content", &signature(opaque));
                });
            }
            Some(Block::Text { .. }) => {
                self.open(choice, out);
                build::member(out, "extra_content", &signature(opaque));
                self.shut(None, None, out);
            }
            Some(Block::Refusal | Block::Silent) | None => {}
        }
    }

    fn close(&mut self, choice: u32, block: u32, out: &mut Vec<u8>) {
        let state = self.choices.get_mut(&choice).and_then(|state| state.blocks.get_mut(&block));
        if let Some(Block::Custom { index, gathered }) = state
            && let Some(arguments) = gathered.take()
        {
            let (index, input) = (*index, Asked::as_input(&arguments));
            if !input.is_empty() {
                self.input(choice, index, &input, out);
            }
        }
    }

    fn finish(&mut self, choice: u32, finish: &Finish, out: &mut Vec<u8>) {
        let state = self.choices.entry(choice).or_default();
        let calls = state.calls > 0;
        let refused = state.refused;
        // A client parses what it was told: nothing at all is no JSON.
        let bare: Vec<usize> = state
            .blocks
            .values()
            .filter_map(|block| if let Block::Call { index, any: false } = block { Some(*index) } else { None })
            .collect();
        let lengths = state.unsigned();
        for index in bare {
            self.arguments(choice, index, "{}", out);
        }
        if !lengths.is_empty() {
            self.open(choice, out);
            build::member(out, "reasoning_details", &lengths.into());
            self.shut(None, None, out);
        }
        let finish = if *finish == Finish::Stop && calls { &Finish::ToolCalls } else { finish };
        let reason = reason(finish, refused, &mut self.losses);
        self.open(choice, out);
        self.shut(Some(reason), None, out);
    }

    fn done(&mut self, out: &mut Vec<u8>) {
        if self.asked.stream_usage
            && let Some(usage) = self.usage
        {
            if self.head.is_empty() {
                self.begin("", "", None);
            }
            out.extend_from_slice(&self.head);
            build::raw(out, "choices", "[]");
            build::key(out, "usage");
            self::usage(&usage, out);
            out.extend_from_slice(b"}\n\n");
        }
        out.extend_from_slice(b"data: [DONE]\n\n");
    }
}

impl Encode for Encoder {
    fn delta(&mut self, delta: &Delta, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match delta {
            Delta::Start { id, model, created, .. } => self.begin(id, model, *created),
            Delta::Open { choice, block, kind } => self.open_block(*choice, *block, kind, out),
            Delta::Text { choice, block, text } => self.text(*choice, *block, text, out),
            Delta::Opaque { choice, block, opaque } => self.opaque(*choice, *block, opaque, out),
            Delta::Citation { choice, block, dialect, citation } => {
                self.cite(*choice, *block, *dialect, citation, out);
            }
            Delta::Logprobs { choice, logprobs } => {
                self.open(*choice, out);
                self.shut(None, Some(logprobs), out);
            }
            Delta::Close { choice, block } => self.close(*choice, *block, out),
            Delta::Finish { choice, finish, .. } => self.finish(*choice, finish, out),
            Delta::Usage(usage) => self.usage = Some(*usage),
            Delta::Foreign(dialect, value) => {
                if *dialect != OWN {
                    self.losses.lose(foreign_type(value).to_owned());
                }
            }
            Delta::Ping => {}
            Delta::Failed(failure) => {
                self.over = true;
                out.extend_from_slice(&error::stream_event(failure));
            }
            Delta::Done => {
                self.over = true;
                self.done(out);
            }
        }
    }

    fn losses(&self) -> &Losses {
        &self.losses
    }
}
