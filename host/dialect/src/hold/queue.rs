//! Frames that wait for their text, and what has become of the text so far.

use std::collections::VecDeque;
use std::ops::Range;

use bytes::Bytes;

use super::chain::Piece;
use super::run::Run;
use crate::json;
use crate::openai_chat::stream::Event;
use crate::sse::Frame;

/// What becomes of one slot of a waiting frame.
#[derive(Debug, Default)]
pub(super) struct Part {
    pub(super) piece: Option<usize>,
    /// Which of its piece's names it brings, from 1; 0 for none.
    pub(super) name: u32,
    /// Bytes of its decoded text, and how many of them are decided.
    len: usize,
    done: usize,
    /// The text so far, once it is no longer the provider's.
    out: Option<String>,
    /// Bytes of the text so far that left in events of their own.
    pub(super) sent: usize,
    /// No stage can be asked about it.
    pub(super) unread: bool,
}

impl Part {
    pub(super) fn of(piece: usize, name: u32) -> Part {
        Part { piece: Some(piece), name, ..Part::default() }
    }

    pub(super) fn refused() -> Part {
        Part::default()
    }

    pub(super) fn empty() -> Part {
        Part::default()
    }

    pub(super) fn unread() -> Part {
        Part { unread: true, ..Part::default() }
    }

    /// Says this, whatever the provider wrote.
    pub(super) fn fixed(text: String) -> Part {
        Part { out: Some(text), ..Part::default() }
    }

    pub(super) fn is_decided(&self) -> bool {
        self.done == self.len
    }

    /// Its literal has to be rewritten.
    pub(super) fn differs(&self) -> bool {
        self.sent > 0 || self.out.is_some()
    }

    pub(super) fn has_text(&self) -> bool {
        self.out.as_ref().map_or(self.len > 0, |out| !out.is_empty())
    }
}

/// An event that waits.
#[derive(Debug)]
pub(super) struct Framed {
    pub(super) frame: Frame,
    pub(super) data: Bytes,
    pub(super) event: Event,
    /// One for each slot of the event.
    pub(super) parts: Vec<Part>,
    /// Choices that had been ended by a stage when the event came: nothing of them leaves.
    pub(super) gone: Vec<u32>,
}

impl Framed {
    fn literal(&self, slot: usize) -> Option<Range<usize>> {
        self.event.slots.get(slot).and_then(|slot| slot.literal.clone())
    }

    /// A slot's text as the provider sent it. A literal that cannot be read is one replacement character, for every reader alike.
    fn original(&self, slot: usize) -> String {
        let mut text = String::new();
        if let Some(literal) = self.literal(slot)
            && literal.len() > 2
            && !json::append_string(&self.data, literal, &mut text)
        {
            text.push(char::REPLACEMENT_CHARACTER);
        }
        text
    }

    /// What is decided of a slot's text and has not left.
    pub(super) fn ready_text(&self, slot: usize) -> String {
        let Some(part) = self.parts.get(slot) else { return String::new() };
        match &part.out {
            Some(out) => out.get(part.sent..).unwrap_or_default().to_owned(),
            None => self.original(slot).get(part.sent..part.done).unwrap_or_default().to_owned(),
        }
    }

    /// Adds text to a slot; `taken` bytes of the provider's text are decided by it. `same`: it is exactly those bytes.
    fn add(&mut self, slot: usize, text: &str, taken: usize, same: bool) {
        let starts = self.parts.get(slot).is_some_and(|part| part.out.is_none()) && !same;
        let original = if starts { Some(self.original(slot)) } else { None };
        let Some(part) = self.parts.get_mut(slot) else { return };
        if let Some(mut original) = original {
            original.truncate(part.done);
            part.out = Some(original);
        }
        if let Some(out) = &mut part.out {
            out.push_str(text);
        }
        part.done += taken;
    }
}

/// About what is kept of an event besides its bytes, and of every text in it after the first.
const EVENT_WEIGHT: usize = 512;
const TEXT_WEIGHT: usize = 256;

#[derive(Debug)]
pub(super) enum Entry {
    Opaque(Bytes),
    Event(Box<Framed>),
    /// The end of a block, by choice and number, which leaves behind all of its text.
    Close(u32, u32, Bytes),
    /// An event of our own that ends a choice.
    Refusal(u32),
    /// The provider is done; with the choices that a stage ended after that.
    End(Vec<u32>),
}

impl Entry {
    fn weight(&self) -> usize {
        match self {
            Entry::Opaque(raw) | Entry::Close(.., raw) => raw.len() + size_of::<Entry>(),
            Entry::Event(framed) => {
                framed.frame.raw.len() + EVENT_WEIGHT + framed.parts.len().saturating_sub(1) * TEXT_WEIGHT
            }
            Entry::Refusal(_) | Entry::End(_) => 0,
        }
    }
}

/// Entries in the order of the stream, numbered from the stream's first.
#[derive(Debug, Default)]
pub(super) struct Queue {
    entries: VecDeque<Entry>,
    /// The number of the front entry.
    base: u64,
    bytes: usize,
    unread: usize,
}

impl Queue {
    pub(super) fn push(&mut self, entry: Entry) -> u64 {
        self.bytes += entry.weight();
        self.unread += unread(&entry);
        self.entries.push_back(entry);
        self.base + self.entries.len() as u64 - 1
    }

    pub(super) fn pop(&mut self) -> Option<Entry> {
        let entry = self.entries.pop_front()?;
        self.base += 1;
        self.bytes -= entry.weight();
        self.unread -= unread(&entry);
        Some(entry)
    }

    pub(super) fn front(&self) -> Option<&Entry> {
        self.entries.front()
    }

    pub(super) fn front_mut(&mut self) -> Option<&mut Entry> {
        self.entries.front_mut()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn has_unread(&self) -> bool {
        self.unread > 0
    }

    /// Sees to it that something ends the choice: a frame of the provider's that waits, or an event of our own.
    pub(super) fn refuse(&mut self, choice: u32) {
        if self.will_finish(choice) {
            return;
        }
        let end = self.entries.iter_mut().find_map(|entry| match entry {
            Entry::End(refused) => Some(refused),
            _ => None,
        });
        match end {
            Some(refused) => refused.push(choice),
            None => {
                self.push(Entry::Refusal(choice));
            }
        }
    }

    fn will_finish(&self, choice: u32) -> bool {
        self.entries.iter().any(|entry| match entry {
            Entry::Opaque(_) | Entry::Close(..) => false,
            Entry::Refusal(refused) => *refused == choice,
            Entry::End(refused) => refused.contains(&choice),
            Entry::Event(framed) => {
                let ends = framed.event.choices.iter().any(|other| other.index == choice && other.finish.is_some());
                ends && !framed.gone.contains(&choice)
            }
        })
    }

    /// The text and the presence of a name of a slot that was just pushed.
    pub(super) fn read(&mut self, sequence: u64, slot: usize) -> Option<(String, bool)> {
        let framed = self.framed(sequence)?;
        let text = framed.original(slot);
        let part = framed.parts.get_mut(slot)?;
        part.len = text.len();
        Some((text, part.name > 0))
    }

    /// What became of a slot's text; `None` where it is the provider's.
    pub(super) fn changed(&mut self, sequence: u64, slot: usize) -> Option<&str> {
        self.framed(sequence)?.parts.get(slot)?.out.as_deref()
    }

    fn framed(&mut self, sequence: u64) -> Option<&mut Framed> {
        let at = usize::try_from(sequence.checked_sub(self.base)?).ok()?;
        match self.entries.get_mut(at)? {
            Entry::Event(framed) => Some(framed),
            Entry::Opaque(_) | Entry::Close(..) | Entry::Refusal(_) | Entry::End(_) => None,
        }
    }

    /// Gives released text to the frames it came from; says whether any of it is not the provider's.
    pub(super) fn deliver(&mut self, piece: &mut Piece, runs: Vec<Run>) -> bool {
        let mut changed = false;
        for run in runs {
            changed |= !run.same && (run.src > 0 || !run.text.is_empty());
            if run.src > 0 {
                self.deliver_sourced(piece, run);
            } else if !run.text.is_empty() {
                self.deliver_added(piece, &run.text);
            }
        }
        changed
    }

    fn deliver_sourced(&mut self, piece: &mut Piece, mut run: Run) {
        if !piece.spill.is_empty() {
            run.text.insert_str(0, &piece.spill);
            piece.spill.clear();
            run.same = false;
        }
        let mut rest = run.text.as_str();
        let mut left = run.src;
        while left > 0 {
            let Some(&(sequence, slot)) = piece.sources.front() else { return };
            let Some(framed) = self.framed(sequence) else {
                piece.sources.pop_front();
                continue;
            };
            let Some(open) = framed.parts.get(slot).map(|part| part.len - part.done) else { return };
            let taken = open.min(left);
            if run.same {
                let (now, later) = rest.split_at_checked(taken).unwrap_or((rest, ""));
                framed.add(slot, now, taken, true);
                rest = later;
            } else {
                framed.add(slot, std::mem::take(&mut rest), taken, false);
            }
            left -= taken;
            if taken == open {
                piece.sources.pop_front();
                piece.last = Some((sequence, slot));
            }
        }
    }

    /// Text without a source stands where the text before it stood, or where the next one will.
    fn deliver_added(&mut self, piece: &mut Piece, text: &str) {
        let begun = piece.sources.front().copied().filter(|&(sequence, slot)| {
            self.framed(sequence).and_then(|framed| framed.parts.get(slot)).is_some_and(|part| part.done > 0)
        });
        let place = if piece.spill.is_empty() { begun.or(piece.last) } else { None };
        match place.and_then(|(sequence, slot)| self.framed(sequence).map(|framed| (framed, slot))) {
            Some((framed, slot)) => framed.add(slot, text, 0, false),
            None => piece.spill.push_str(text),
        }
    }
}

fn unread(entry: &Entry) -> usize {
    match entry {
        Entry::Event(framed) => usize::from(framed.parts.iter().any(|part| part.unread)),
        Entry::Opaque(_) | Entry::Close(..) | Entry::Refusal(_) | Entry::End(_) => 0,
    }
}
