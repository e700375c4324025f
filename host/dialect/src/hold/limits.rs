//! How much a stream may make the machine keep.

use super::{Hold, Overflow};
use crate::openai_chat::stream::{Event, MAX_LOOSE};

/// Pieces of one stream that are read, without those that were complete in an event which has been decided; a provider that begins more is answered like one whose text cannot be held any longer.
pub(super) const MAX_PIECES: usize = 4096;

// An event with as many undescribed strings as are looked at can be read.
const _: () = assert!(MAX_LOOSE <= MAX_PIECES);

/// Alternative answers of one stream; no provider is known to give more than 128. Past it as past [`MAX_PIECES`].
const MAX_CHOICES: usize = 1024;

/// Waiting frames may weigh this many times the text that may be held: an event with what is known of it is some two hundred times its token.
const FRAME_WEIGHT: usize = 256;

impl Hold {
    /// Whether an event brings more texts or more new choices than are read.
    pub(super) fn is_crowded(&self, event: &Event) -> bool {
        let known = |index: u32| self.choices.iter().any(|state| state.index == index);
        let many = self.choices.len() + event.choices.len() > MAX_CHOICES;
        let new = event.choices.len() > MAX_CHOICES || event.choices.iter().any(|choice| !known(choice.index));
        event.overfull || event.slots.len() > MAX_PIECES || (many && new)
    }

    pub(super) fn weigh_piece(&mut self, at: usize) {
        let Some(piece) = self.pieces.get(at) else { return };
        let (held, stage) = piece.held();
        if held > self.max_held && self.overflow.is_none() {
            self.overflow = Some(Overflow { stage, choice: piece.choice });
        }
    }

    /// Frames that wait are bounded too: a held text may have few characters and many frames behind it.
    pub(super) fn weigh_queue(&mut self) {
        if self.overflow.is_some() {
            return;
        }
        let heavy = self.queue.bytes() > self.max_held.saturating_mul(FRAME_WEIGHT) && self.work.is_empty();
        if !heavy && !self.queue.has_unread() {
            return;
        }
        let holder = self.pieces.iter().find(|piece| piece.held().0 > 0);
        let (stage, choice) = match holder {
            Some(piece) => (piece.held().1, piece.choice),
            None => (self.skipped.iter().position(|skipped| !skipped).unwrap_or(0), 0),
        };
        if self.skipped.contains(&false) {
            self.overflow = Some(Overflow { stage, choice });
        }
    }
}
