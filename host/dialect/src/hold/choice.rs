//! What is known of one of the alternative answers, whatever its pieces are.

use super::Hold;
use super::said::Said;
use crate::openai_chat::stream::Place;
use crate::text::Kind;

#[derive(Debug)]
pub(super) struct Choice {
    pub(super) index: u32,
    /// Pieces begun.
    pub(super) parts: u32,
    /// A frame with the role has left.
    pub(super) role_sent: bool,
    /// The provider ended it.
    pub(super) finished: bool,
    /// A stage ended it.
    pub(super) refused: bool,
    pub(super) changed: KindSet,
    /// It has text.
    pub(super) wrote: bool,
    pub(super) said: Option<Said>,
}

/// The kinds of text of a choice that were ever changed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct KindSet(u8);

impl KindSet {
    fn bit(kind: Kind) -> u8 {
        match kind {
            Kind::Text => 1,
            Kind::Reasoning => 2,
            Kind::Refusal => 4,
            Kind::ToolArguments => 8,
            Kind::ToolResult | Kind::Other => 16,
        }
    }

    pub(super) fn add(&mut self, kind: Kind) {
        self.0 |= KindSet::bit(kind);
    }

    pub(super) fn has(self, kind: Option<Kind>) -> bool {
        kind.map_or(self.0 != 0, |kind| self.0 & KindSet::bit(kind) != 0)
    }
}

impl Hold {
    /// The place of a choice's state, made on first use.
    pub(super) fn choice_at(&mut self, index: u32) -> usize {
        if let Some(at) = self.choices.iter().position(|choice| choice.index == index) {
            return at;
        }
        self.choices.push(Choice {
            index,
            parts: 0,
            role_sent: false,
            finished: false,
            refused: false,
            changed: KindSet::default(),
            wrote: false,
            said: None,
        });
        self.choices.len() - 1
    }

    /// From here on copies of that choice's texts are mended. None of them repeats what stands beside `choices`.
    pub(super) fn note_changed(&mut self, choice: u32, kind: Kind, place: Place) {
        if place == (Place::Loose { top: true }) {
            return;
        }
        let index = self.choice_at(choice);
        if let Some(choice) = self.choices.get_mut(index) {
            choice.changed.add(kind);
        }
    }
}
