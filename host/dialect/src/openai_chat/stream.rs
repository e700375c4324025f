//! What one event of a streamed chat completion says: two looks at the JSON object of one `data` line.
//!
//! [`glance`] is for streams that pass through: it tells content from bookkeeping and reads usage, and copies nothing. [`analyse`] is for
//! hooks: it finds every text a model wrote, every copy of that text, and what is needed to rewrite the event at just those places. Neither
//! keeps state from one event to the next; [`crate::hold`] does. The end mark `[DONE]` is not JSON and has to be recognised before.

mod analyse;
mod glance;
mod loose;
mod splice;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

use std::ops::Range;

use crate::text::Kind;

pub use analyse::analyse;
pub use glance::glance;

pub use crate::stream::{Glance, NotJson};
pub(crate) use splice::{Edits, Says, refusing_reason, synthesise};

/// Where in a choice a text stands. Texts at the same place of the same choice are one piece, for clients concatenate them; only [`Place::Loose`]
/// is a piece each time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// A string member of `delta`: `content`, `refusal`, `reasoning_content`, `reasoning`, ...
    Member(&'static str),
    /// A `text` item of a `content` list.
    Part,
    /// A text inside a `thinking` item of a `content` list.
    Thinking,
    /// `text` or `summary` of an item of `reasoning_details` that no other member repeats.
    Detail(&'static str),
    /// Arguments of a function or input of a custom tool. `indexed`: the provider numbered the call; otherwise `index` is its position in
    /// this event, and a later event with a name at the same position begins another call.
    Tool { index: u32, indexed: bool, custom: bool },
    /// The arguments of the old `function_call`.
    FunctionCall,
    /// What an audio answer says.
    Transcript,
    /// `choices[].text` of a choice without `delta`.
    ChoiceText,
    /// A string of a member that nobody has described: citations, a provider's own tools, whatever is new. It is complete in its event.
    /// `top`: it stands beside `choices`, and counts as choice 0.
    Loose { top: bool },
    /// A numbered block of a stream in the hub's form, which only [`crate::guard`] makes.
    Block(u32),
}

/// How many undescribed strings of an event are looked at.
pub(crate) const MAX_LOOSE: usize = 4096;

/// One text in an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slot {
    pub choice: u32,
    pub kind: Kind,
    pub place: Place,
    /// The string literal with its quotes; `None` for a tool call that brings a name and no arguments.
    pub literal: Option<Range<usize>>,
    /// A tool's non-empty name, as a literal. With [`Place::Loose`] it is the name that another slot of the event brings.
    pub name: Option<Range<usize>>,
    /// A tool call's non-empty id, as a literal.
    pub id: Option<Range<usize>>,
}

impl Slot {
    /// The index of the tool call in the stream, for tool arguments.
    pub fn tool(&self) -> Option<u32> {
        match self.place {
            Place::Tool { index, .. } => Some(index),
            _ => None,
        }
    }

    pub fn is_loose(&self) -> bool {
        matches!(self.place, Place::Loose { .. })
    }

    /// Whether there is any text, judged by the literal alone.
    pub fn has_text(&self) -> bool {
        self.literal.as_ref().is_some_and(|literal| literal.len() > 2)
    }
}

/// How a copy of a text is kept from telling what the text no longer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    /// Repeats the slot of that index exactly and gets the same new text.
    Follow(usize),
    /// Becomes `null`.
    Null,
    /// Becomes `""`.
    Empty,
    /// A whole message; becomes one without text.
    Message,
}

/// A value that repeats text of its choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repeat {
    pub choice: u32,
    /// The kind of text it repeats; `None` where it may be any.
    pub kind: Option<Kind>,
    pub range: Range<usize>,
    pub mend: Mend,
    /// It shows text that this event itself does not bring, so nobody may have read it yet: mended always.
    pub unread: bool,
    /// The text of a whole message, where this event does not bring it: a copy if it is all that was said so far, else as above.
    pub says: Option<Range<usize>>,
    /// It stands beside `choices`, so it may leave where its choice does not.
    pub outside: bool,
}

/// One member of `choices`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    pub index: u32,
    pub object: Range<usize>,
    /// The value of `finish_reason` where it ends the choice (not null, not `""`).
    pub finish: Option<Range<usize>>,
    /// `delta` names a role.
    pub role: bool,
}

/// What [`analyse`] found. All ranges are places in the data it was given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    /// Of each choice in the order of the bytes, undescribed strings last; then those beside `choices`.
    pub slots: Vec<Slot>,
    pub repeats: Vec<Repeat>,
    pub choices: Vec<Choice>,
    /// There is content in the sense of [`Glance::content`].
    pub content: bool,
    /// `usage` is there and not null.
    pub usage: bool,
    /// `error` is there and not null.
    pub error: bool,
    /// There were more undescribed strings than are looked at, so nobody knows all that the event says.
    pub overfull: bool,
}

impl Event {
    /// Whether a part of the text may go out in an event of its own, ahead of the rest: there is one text besides undescribed strings, nothing
    /// repeats it word for word, and the part would not overtake a name, an id or (unless `role_sent`) the role.
    pub fn cuttable(&self, role_sent: bool) -> bool {
        let mut described = self.slots.iter().filter(|slot| !slot.is_loose());
        let (Some(slot), None) = (described.next(), described.next()) else { return false };
        let follows = self.repeats.iter().any(|repeat| matches!(repeat.mend, Mend::Follow(_)));
        let role = self.choices.iter().any(|choice| choice.role);
        self.choices.len() == 1
            && slot.has_text()
            && slot.name.is_none()
            && slot.id.is_none()
            && !follows
            && (role_sent || !role)
    }
}
