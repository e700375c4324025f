//! Whether a message that stands beside a delta repeats what was said so far, and nothing else.
//!
//! Some providers send the whole reply again with every event. Such a copy is no text of its own: no stage is asked about it. A message that
//! says anything more than the deltas did is therefore never let through.

use super::Hold;
use crate::json;
use crate::openai_chat::stream::{Event, Mend, Place, Repeat, Slot};
use crate::text::Kind;

/// The length and hash of a choice's text. The hash (FNV-1a) tells honest texts apart; it is no defence against a provider that looks for
/// collisions, which could as well write anything into its deltas.
#[derive(Clone, Copy, Debug)]
pub(super) struct Said {
    bytes: usize,
    hash: u64,
}

impl Said {
    const NOTHING: Said = Said { bytes: 0, hash: 0xcbf2_9ce4_8422_2325 };

    fn add(&mut self, text: &str) {
        self.bytes += text.len();
        for byte in text.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn is(self, text: &str) -> bool {
        let mut other = Said::NOTHING;
        if self.bytes == text.len() {
            other.add(text);
        }
        self.bytes == other.bytes && self.hash == other.hash
    }
}

impl Hold {
    /// Marks the messages of an event that say what no delta said. Text is only counted from a choice's first text on where a message came
    /// with it, so that other streams pay nothing.
    pub(super) fn check_messages(&mut self, data: &[u8], event: &mut Event) {
        for at in 0..event.choices.len() {
            let Some(index) = event.choices.get(at).map(|choice| choice.index) else { break };
            let message = |repeat: &Repeat| repeat.choice == index && repeat.mend == Mend::Message;
            let state = self.choice_at(index);
            let Some(state) = self.choices.get_mut(state) else { break };
            if state.said.is_none() && !state.wrote && event.repeats.iter().any(message) {
                state.said = Some(Said::NOTHING);
            }
            for slot in event.slots.iter().filter(|slot| slot.choice == index && is_content(slot)) {
                state.wrote = true;
                let text = slot.literal.clone().and_then(|literal| json::string(data, literal));
                if let (Some(said), Some(text)) = (&mut state.said, text) {
                    said.add(&text);
                }
            }
            for repeat in event.repeats.iter_mut().filter(|repeat| message(repeat)) {
                if let Some(text) = repeat.says.clone().and_then(|literal| json::string(data, literal)) {
                    repeat.unread |= !state.said.is_some_and(|said| said.is(&text));
                }
            }
        }
    }
}

fn is_content(slot: &Slot) -> bool {
    slot.kind == Kind::Text
        && matches!(slot.place, Place::Member(_) | Place::Part | Place::ChoiceText)
        && slot.has_text()
}
