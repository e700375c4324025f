//! Hold-back for streams in the hub's form: [`Delta`]s go in with the provider's frame that told them, and come out when every plugin has
//! released their text.
//!
//! [`Hold`] does the work. Here each delta becomes one of its entries (text as a small frame that is never sent to anyone, everything else
//! as a number) and is found again when the entry leaves. A frame all of whose deltas leave unchanged is given back as it came, so that a
//! stream that is not translated keeps its bytes.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use bytes::Bytes;
use serde_json::Value;

use crate::hold::Hold;
use crate::hub::{BlockKind, Delta, Finish};
use crate::json;
use crate::openai_chat;
use crate::openai_chat::stream::{Choice, Event, MAX_LOOSE, Place, Slot};
use crate::sse::Frame;
use crate::text::Kind;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

/// What may leave.
#[derive(Debug)]
pub enum Released {
    /// A frame of the provider's and the deltas that it told, all unchanged.
    Frame(Bytes, Vec<Delta>),
    Delta(Delta),
}

/// The machine for one stream.
#[derive(Debug)]
pub struct Guard {
    pub hold: Hold,
    entries: VecDeque<Entry>,
    next: u64,
    /// The frame whose entries are leaving, unchanged so far.
    group: Option<Group>,
    /// Blocks that began and have not ended for the client.
    open: BTreeSet<(u32, u32)>,
    kinds: BTreeMap<(u32, u32), Kind>,
    /// Choices that ended for the client.
    ended: BTreeSet<u32>,
    /// Something that is no text, but made by a model, has left.
    released: bool,
}

/// One delta in the machine.
#[derive(Debug)]
struct Entry {
    number: u64,
    delta: Option<Delta>,
    /// What was pushed for it, to see whether it came out as it was.
    pushed: Bytes,
    /// The provider's frame; its last delta carries the bytes.
    frame: u64,
    raw: Option<Bytes>,
}

#[derive(Debug)]
struct Group {
    frame: u64,
    deltas: Vec<Delta>,
}

impl Guard {
    /// As [`Hold::new`].
    pub fn new(stages: usize, choices: u32, max_held: usize) -> Guard {
        Guard {
            hold: Hold::new(stages, choices, max_held),
            entries: VecDeque::new(),
            next: 0,
            group: None,
            open: BTreeSet::new(),
            kinds: BTreeMap::new(),
            ended: BTreeSet::new(),
            released: false,
        }
    }

    /// Takes what one frame of the provider's told. `raw`: its bytes, where they may be sent as they are.
    pub fn push(&mut self, raw: Option<Bytes>, deltas: Vec<Delta>) {
        let frame = self.next;
        let mut left = deltas.len();
        if left == 0
            && let Some(raw) = raw
        {
            return self.enter(None, frame, Some(raw));
        }
        for delta in deltas {
            left -= 1;
            self.enter(Some(delta), frame, if left == 0 { raw.clone() } else { None });
        }
    }

    /// Whether anything that a model made has been given out.
    pub fn released_content(&self) -> bool {
        self.released || self.hold.released_content()
    }

    fn enter(&mut self, delta: Option<Delta>, frame: u64, raw: Option<Bytes>) {
        let number = self.next;
        self.next += 1;
        let pushed = match &delta {
            Some(Delta::Text { choice, block, text }) => self.push_text(number, *choice, *block, text),
            Some(Delta::Open { choice, block, kind }) => self.push_open(number, *choice, *block, kind),
            Some(Delta::Citation { choice, citation, .. }) => self.push_loose(number, *choice, false, citation),
            Some(Delta::Foreign(_, value)) => self.push_loose(number, 0, true, value),
            Some(Delta::Finish { choice, .. }) => self.push_finish(number, *choice),
            Some(Delta::Close { choice, block }) => {
                let mark = mark(number);
                self.hold.push_close(*choice, *block, mark.clone());
                mark
            }
            _ => self.push_mark(number),
        };
        self.entries.push_back(Entry { number, delta, pushed, frame, raw });
    }

    fn push_mark(&mut self, number: u64) -> Bytes {
        let mark = mark(number);
        self.hold.push_opaque(mark.clone());
        mark
    }

    fn push_text(&mut self, number: u64, choice: u32, block: u32, text: &str) -> Bytes {
        let kind = self.kinds.get(&(choice, block)).copied().unwrap_or(Kind::Text);
        self.push_slot(number, choice, block, kind, "text", text)
    }

    fn push_slot(&mut self, number: u64, choice: u32, block: u32, kind: Kind, member: &str, text: &str) -> Bytes {
        let mut data =
            format!("{{\"choices\":[{{\"index\":{choice},\"delta\":{{\"n\":{number},\"block\":{block},\"{member}\":")
                .into_bytes();
        let start = data.len();
        json::quote(text, &mut data);
        let literal = Some(start..data.len());
        data.extend_from_slice(b"}}]}");
        let (literal, name) = if member == "name" { (None, literal) } else { (literal, None) };
        let place = Place::Block(block);
        let slot = Slot { choice, kind, place, literal, name, id: None };
        self.push_event(&data, choice, Event { slots: vec![slot], content: true, ..Event::default() })
    }

    fn push_open(&mut self, number: u64, choice: u32, block: u32, kind: &BlockKind) -> Bytes {
        let of = match kind {
            BlockKind::Text { .. } | BlockKind::Media(_) => Kind::Text,
            BlockKind::Reasoning { .. } => Kind::Reasoning,
            BlockKind::Refusal => Kind::Refusal,
            BlockKind::Call { .. } => Kind::ToolArguments,
            BlockKind::Foreign(..) => Kind::Other,
        };
        self.kinds.insert((choice, block), of);
        match kind {
            BlockKind::Call { name, .. } => self.push_slot(number, choice, block, of, "name", name),
            BlockKind::Foreign(_, value) => self.push_loose(number, choice, false, value),
            _ => self.push_mark(number),
        }
    }

    /// A value that nobody has described: every string in it that may be language is shown.
    fn push_loose(&mut self, number: u64, choice: u32, top: bool, value: &Value) -> Bytes {
        let mut data =
            format!("{{\"choices\":[{{\"index\":{choice},\"delta\":{{\"n\":{number},\"value\":").into_bytes();
        let start = data.len();
        data.extend_from_slice(value.to_string().as_bytes());
        let range = start..data.len();
        data.extend_from_slice(b"}}]}");
        let mut event = Event { content: true, ..Event::default() };
        openai_chat::loose_strings(&data, range, |literal| {
            if literal.len() <= 2 {
                return;
            }
            if event.slots.len() >= MAX_LOOSE {
                event.overfull = true;
                return;
            }
            let place = Place::Loose { top };
            event.slots.push(Slot { choice, kind: Kind::Other, place, literal: Some(literal), name: None, id: None });
        });
        self.push_event(&data, choice, event)
    }

    fn push_finish(&mut self, number: u64, choice: u32) -> Bytes {
        let data =
            format!("{{\"choices\":[{{\"index\":{choice},\"delta\":{{\"n\":{number}}},\"finish_reason\":\"\"}}]}}");
        let end = data.len() - 3;
        let finish = Some(end - 2..end);
        let object = 12..data.len() - 2;
        let choices = vec![Choice { index: choice, object, finish, role: false }];
        self.push_frame(data.as_bytes(), Event { choices, ..Event::default() })
    }

    fn push_event(&mut self, data: &[u8], choice: u32, mut event: Event) -> Bytes {
        event.choices = vec![Choice { index: choice, object: 12..data.len() - 2, finish: None, role: false }];
        self.push_frame(data, event)
    }

    fn push_frame(&mut self, data: &[u8], event: Event) -> Bytes {
        let mut raw = Vec::with_capacity(data.len() + 8);
        raw.extend_from_slice(b"data: ");
        raw.extend_from_slice(data);
        raw.extend_from_slice(b"\n\n");
        let raw = Bytes::from(raw);
        self.hold.push(Frame::new(raw.clone()), event);
        raw
    }

    /// Appends what may leave now.
    pub fn take_output(&mut self, out: &mut Vec<Released>) {
        let mut frames = Vec::new();
        self.hold.take_output(&mut frames);
        for bytes in frames {
            if self.entries.front().is_some_and(|entry| entry.pushed.as_ptr() == bytes.as_ptr()) {
                if let Some(entry) = self.entries.pop_front() {
                    self.unchanged(entry, out);
                }
                continue;
            }
            self.other(&bytes, out);
        }
        let waits = |group: &Group| self.entries.front().is_some_and(|entry| entry.frame == group.frame);
        if self.group.as_ref().is_some_and(|group| !waits(group)) {
            self.ungroup(out);
        }
    }

    /// An entry leaves as it was pushed.
    fn unchanged(&mut self, entry: Entry, out: &mut Vec<Released>) {
        let Entry { delta, frame, raw, .. } = entry;
        if self.group.as_ref().is_some_and(|group| group.frame != frame) {
            self.ungroup(out);
        }
        let had = delta.is_some();
        let delta = delta.and_then(|delta| self.admit(delta, out));
        let whole = delta.is_some() || !had;
        let first = frame == entry.number;
        if first && whole {
            self.group = Some(Group { frame, deltas: Vec::new() });
        }
        match &mut self.group {
            Some(group) if whole => group.deltas.extend(delta),
            _ => {
                self.ungroup(out);
                out.extend(delta.map(Released::Delta));
            }
        }
        if let Some(raw) = raw {
            out.extend(self.group.take().map(|group| Released::Frame(raw, group.deltas)));
        } else if self.entries.front().is_none_or(|next| next.frame != frame) {
            self.ungroup(out);
        }
    }

    /// The frame cannot leave as it came.
    fn ungroup(&mut self, out: &mut Vec<Released>) {
        if let Some(group) = self.group.take() {
            out.extend(group.deltas.into_iter().map(Released::Delta));
        }
    }

    /// A rewritten entry, or a frame that the machine made.
    fn other(&mut self, bytes: &Bytes, out: &mut Vec<Released>) {
        self.ungroup(out);
        let number = if let Some(digits) = bytes.strip_prefix(b"#") {
            std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok())
        } else {
            None
        };
        let data = Frame::new(bytes.clone()).data().and_then(|data| serde_json::from_slice::<Value>(&data).ok());
        let choice = data.as_ref().map(|data| &data["choices"][0]);
        let number = number.or_else(|| choice.and_then(|choice| choice["delta"]["n"].as_u64()));
        let Some(number) = number else {
            return self.made(choice.unwrap_or(&Value::Null), out);
        };
        // Entries before it never leave: their choice was ended.
        while self.entries.front().is_some_and(|entry| entry.number < number) {
            self.entries.pop_front();
        }
        let Some(entry) = self.entries.pop_front() else { return };
        if entry.pushed == *bytes {
            return self.unchanged(entry, out);
        }
        let refused = choice.is_some_and(|choice| choice["finish_reason"] == "content_filter");
        let value = data.and_then(|mut data| data.pointer_mut("/choices/0/delta").map(Value::take)).unwrap_or_default();
        if let Some(delta) = entry.delta.and_then(|delta| rewritten(delta, value, refused)) {
            let delta = self.admit(delta, out);
            out.extend(delta.map(Released::Delta));
        }
    }

    /// Text of which a part leaves ahead, text that a plugin added at the end of a block, or the end of a choice that a plugin ended.
    fn made(&mut self, choice: &Value, out: &mut Vec<Released>) {
        let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
        let Some(index) = number(&choice["index"]) else { return };
        let delta = if choice["finish_reason"] == "content_filter" {
            Delta::Finish {
                choice: index,
                finish: Finish::ContentFilter,
                stop_sequence: None,
                rest: Default::default(),
            }
        } else if let (Some(block), Some(text)) = (number(&choice["delta"]["block"]), choice["delta"]["text"].as_str())
        {
            Delta::Text { choice: index, block, text: text.to_owned() }
        } else {
            return;
        };
        let delta = self.admit(delta, out);
        out.extend(delta.map(Released::Delta));
    }

    /// What the client may be told of it, given what it has been told. A choice that ends has its blocks closed before.
    fn admit(&mut self, delta: Delta, out: &mut Vec<Released>) -> Option<Delta> {
        match &delta {
            Delta::Open { choice, block, kind } => {
                if self.ended.contains(choice) {
                    return None;
                }
                self.open.insert((*choice, *block));
                self.released |= matches!(kind, BlockKind::Media(_) | BlockKind::Foreign(..));
            }
            Delta::Text { choice, block, text } => {
                // Interleaved calls get text after their end; a block that never began gets none.
                let began = self.open.contains(&(*choice, *block)) || self.kinds.contains_key(&(*choice, *block));
                if self.ended.contains(choice) || !began || text.is_empty() {
                    return None;
                }
            }
            Delta::Close { choice, block } if !self.open.remove(&(*choice, *block)) || self.ended.contains(choice) => {
                return None;
            }
            Delta::Opaque { choice, block, .. } | Delta::Citation { choice, block, .. }
                if self.ended.contains(choice) || !self.open.contains(&(*choice, *block)) =>
            {
                return None;
            }
            // They spell the text again.
            Delta::Logprobs { choice, .. } if self.ended.contains(choice) || self.hold.has_changed(*choice) => {
                return None;
            }
            Delta::Finish { choice, .. } => {
                if !self.ended.insert(*choice) {
                    return None;
                }
                let left: Vec<(u32, u32)> = self.open.iter().copied().filter(|(of, _)| of == choice).collect();
                if !left.is_empty() {
                    self.ungroup(out);
                }
                for (choice, block) in left {
                    self.open.remove(&(choice, block));
                    out.push(Released::Delta(Delta::Close { choice, block }));
                }
            }
            _ => {}
        }
        Some(delta)
    }
}

fn mark(number: u64) -> Bytes {
    Bytes::from(format!("#{number}"))
}

/// The delta with what plugins made of its text; `None` where nothing is left to say.
fn rewritten(delta: Delta, mut told: Value, refused: bool) -> Option<Delta> {
    match delta {
        Delta::Text { choice, block, .. } => {
            let text = told["text"].as_str().unwrap_or_default().to_owned();
            (!text.is_empty()).then_some(Delta::Text { choice, block, text })
        }
        Delta::Open { choice, block, kind: BlockKind::Foreign(dialect, _) } => {
            Some(Delta::Open { choice, block, kind: BlockKind::Foreign(dialect, told["value"].take()) })
        }
        Delta::Citation { choice, block, dialect, .. } => {
            Some(Delta::Citation { choice, block, dialect, citation: told["value"].take() })
        }
        Delta::Foreign(dialect, _) => Some(Delta::Foreign(dialect, told["value"].take())),
        Delta::Finish { choice, rest, .. } if refused => {
            Some(Delta::Finish { choice, finish: Finish::ContentFilter, stop_sequence: None, rest })
        }
        other => Some(other),
    }
}
