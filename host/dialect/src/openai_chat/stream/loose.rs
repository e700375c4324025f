//! Strings of an event that nobody has described: which there are, by the rules of whole replies, and which of them say a known text again.
//!
//! A member that no provider's documents name may carry what a model wrote, so all of it is shown. Nothing tells whether the strings of two
//! events belong together: a word that such a member spells over several events is found only where it repeats a described text.

use std::ops::Range;

use super::analyse::{COMPARED, Scan};
use super::{MAX_LOOSE, Mend, Place, Repeat, Slot};
use crate::json;
use crate::openai_chat::parts;
use crate::text::{self, Kind, Visit};

/// An undescribed string before it is known whether it is a text of its own.
#[derive(Debug)]
pub(super) struct Loose {
    kind: Kind,
    literal: Range<usize>,
    name: Option<Range<usize>>,
}

/// What is known of a value with undescribed strings.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) kind: Kind,
    /// The name of the tool whose arguments it is.
    pub(super) name: Option<Range<usize>>,
    /// A model wrote every member, whatever it is called.
    pub(super) all: bool,
    /// It stands beside `choices`.
    pub(super) top: bool,
}

impl Source {
    pub(super) fn of(kind: Kind) -> Source {
        Source { kind, name: None, all: false, top: false }
    }
}

/// Whether a member beside `choices` has nothing to read. Padding is other letters in every event and would be asked about each time.
pub(super) fn is_event_fact(key: &[u8]) -> bool {
    parts::is_reply_fact(key) || matches!(key, b"obfuscation" | b"p")
}

impl Scan<'_> {
    /// A member of the event besides `choices` and facts.
    #[cold]
    pub(super) fn top_member(&mut self, key: &[u8], at: usize) -> Option<usize> {
        let value = json::value(self.data, at)?;
        let end = value.end;
        if matches!(key, b"prompt_logprobs" | b"prompt_token_ids") {
            self.event.repeats.push(Repeat {
                choice: 0,
                kind: None,
                range: value,
                mend: Mend::Null,
                unread: false,
                says: None,
                outside: true,
            });
        } else {
            self.collect(Source { top: true, ..Source::of(Kind::Other) }, value);
        }
        Some(end)
    }

    /// A member of a delta that is none of the described ones, or not of their type.
    pub(super) fn delta_member(&mut self, key: &[u8], at: usize) -> Option<usize> {
        let data = self.data;
        let value = json::value(data, at)?;
        let end = value.end;
        match key {
            fact if parts::is_message_fact(fact) => {}
            b"executed_tools" if data.get(at) == Some(&b'[') => {
                parts::executed(data, value, |_, kind, value| self.collect(Source::of(kind), value));
            }
            b"reasoning" | b"reasoning_content" | b"reasoning_details" => {
                self.collect(Source::of(Kind::Reasoning), value);
            }
            _ => self.collect(Source::of(Kind::Other), value),
        }
        Some(end)
    }

    /// Whether the member of a part may hold language.
    pub(super) fn may_say(&self, key: &[u8], value: &Range<usize>) -> bool {
        matches!(self.data.get(value.start), Some(b'"' | b'[' | b'{'))
            && !parts::is_mute(self.data, &String::from_utf8_lossy(key), value.start)
    }

    /// Takes all strings of the value at `at`; returns the place behind it.
    pub(super) fn strings(&mut self, source: Source, at: usize) -> Option<usize> {
        let value = json::value(self.data, at)?;
        let end = value.end;
        self.collect(source, value);
        Some(end)
    }

    /// Notes every undescribed string of the value. Cold, like what leads here, so that events without any are not slowed down. They become slots when all texts that they may repeat are known.
    #[cold]
    pub(super) fn collect(&mut self, source: Source, value: Range<usize>) {
        let data = self.data;
        if !matches!(data.get(value.start), Some(b'"' | b'[' | b'{')) {
            return;
        }
        let Source { kind, name, all, top } = source;
        let list = if top { &mut self.top } else { &mut self.loose };
        let overfull = &mut self.event.overfull;
        let found = |literal: Range<usize>| {
            let says = literal.len() > 2;
            let room = list.len() < MAX_LOOSE;
            *overfull |= says && !room;
            if says && room {
                list.push(Loose { kind, literal, name: name.clone() });
            }
        };
        match all {
            true => text::strings(data, value, true, |_, _| Visit::Take, found),
            false => parts::loose_strings(data, value, found),
        }
    }

    /// Makes slots and repeats of what was found in the choice whose slots begin at `first`.
    pub(super) fn settle(&mut self, first: usize) {
        if !self.loose.is_empty() {
            let loose = std::mem::take(&mut self.loose);
            self.place(loose, first, false);
        }
    }

    /// As [`Scan::settle`], beside the choices: such a string may repeat a text of any of them.
    pub(super) fn settle_top(&mut self) {
        if !self.top.is_empty() {
            let loose = std::mem::take(&mut self.top);
            self.place(loose, 0, true);
        }
    }

    fn place(&mut self, loose: Vec<Loose>, first: usize, top: bool) {
        let event = &mut self.event;
        let described: Vec<(usize, u32, Kind, Range<usize>)> = (event.slots.iter().enumerate().skip(first))
            .filter(|(_, slot)| !slot.is_loose())
            .filter_map(|(at, slot)| Some((at, slot.choice, slot.kind, slot.literal.clone()?)))
            .take(COMPARED)
            .collect();
        for Loose { kind, literal, name } in loose {
            let twin = described.iter().find(|(.., other)| same_text(self.data, other, &literal));
            if let Some(&(at, choice, kind, _)) = twin {
                let (kind, mend) = (Some(kind), Mend::Follow(at));
                event.repeats.push(Repeat {
                    choice,
                    kind,
                    range: literal,
                    mend,
                    unread: false,
                    says: None,
                    outside: top,
                });
            } else if event.slots.len() <= MAX_LOOSE {
                let place = Place::Loose { top };
                event.slots.push(Slot { choice: 0, kind, place, literal: Some(literal), name, id: None });
            } else {
                event.overfull = true;
            }
        }
    }
}

/// Whether two literals say the same, however they spell it.
fn same_text(data: &[u8], one: &Range<usize>, other: &Range<usize>) -> bool {
    let bytes = |literal: &Range<usize>| data.get(literal.clone()).unwrap_or_default();
    let escaped = |literal| memchr::memchr(b'\\', bytes(literal)).is_some();
    bytes(one) == bytes(other)
        || ((escaped(one) || escaped(other)) && json::string(data, one.clone()) == json::string(data, other.clone()))
}
