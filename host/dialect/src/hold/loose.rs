//! Undescribed strings: pieces that begin and end with their event, and what is remembered of them.
//!
//! Some providers send the same sources with every event of a stream. What all stages together made of a string is remembered, so that they
//! are asked once about each; a string that is not remembered is asked about again, which is as safe. Memory is bounded and local to one
//! stream, and a stage that is taken out of the chain empties it.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;

use super::Hold;
use super::chain::Piece;
use super::queue::Part;
use crate::openai_chat::stream::Slot;

/// Strings remembered at a time. When there are more, all are forgotten: what a provider still repeats comes again soon.
const MAX_JUDGED: usize = 1024;

/// What became of strings that were judged, by a hash of all that stages are told about them. The hash is seeded for each stream, so nobody can
/// look for two strings with the same one.
#[derive(Debug)]
pub(super) struct Judged {
    seed: RandomState,
    /// The text that stands for the string; `None` where it stays.
    known: HashMap<u64, Option<String>>,
    /// Bytes of the texts in `known`, and how many there may be.
    bytes: usize,
    max_bytes: usize,
}

impl Judged {
    pub(super) fn new(max_bytes: usize) -> Judged {
        Judged { seed: RandomState::new(), known: HashMap::new(), bytes: 0, max_bytes }
    }

    fn key(&self, data: &[u8], slot: &Slot) -> u64 {
        let literal = |range: &Option<std::ops::Range<usize>>| range.clone().and_then(|range| data.get(range));
        self.seed.hash_one((slot.choice, slot.kind, literal(&slot.name), literal(&slot.literal)))
    }

    fn note(&mut self, key: u64, text: Option<&str>) {
        let more = text.map_or(0, str::len);
        if more > self.max_bytes {
            return;
        }
        if self.known.len() >= MAX_JUDGED || self.bytes + more > self.max_bytes {
            self.forget();
        }
        if let Some(Some(before)) = self.known.insert(key, text.map(str::to_owned)) {
            self.bytes -= before.len();
        }
        self.bytes += more;
    }

    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.bytes = 0;
    }
}

impl Hold {
    /// What becomes of an undescribed string, and the piece to feed where stages are to be asked. `top`: it may leave although its choice was
    /// ended, and then says nothing.
    pub(super) fn loose_part(&mut self, data: &[u8], slot: &Slot, top: bool) -> (Part, Option<usize>) {
        let choice_at = self.choice_at(slot.choice);
        if self.choices.get(choice_at).is_none_or(|choice| choice.refused) {
            return (if top { Part::fixed(String::new()) } else { Part::refused() }, None);
        }
        let key = self.judged.key(data, slot);
        match self.judged.known.get(&key).cloned() {
            Some(None) => return (Part::empty(), None),
            Some(Some(text)) => {
                self.note_changed(slot.choice, slot.kind, slot.place);
                return (Part::fixed(text), None);
            }
            None => {}
        }
        if self.is_full() {
            return (Part::unread(), None);
        }
        let mut piece = Piece::new(slot, self.skipped.len());
        piece.key = key;
        piece.show_name(data, slot);
        // Its frame knows the text's place by itself; a part that named the piece would keep the piece's place from being used again.
        (Part::default(), Some(self.begin(piece, choice_at)))
    }

    /// The last stage is done with an undescribed string.
    pub(super) fn retire(&mut self, at: usize) {
        let Some((last, key)) = self.pieces.get(at).map(|piece| (piece.last, piece.key)) else { return };
        if let Some((sequence, slot)) = last {
            self.judged.note(key, self.queue.changed(sequence, slot));
        }
        self.free.push(at);
    }
}
