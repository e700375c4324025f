//! A stream, step by step.
//!
//! Each choice is a sequence of numbered blocks. A block is opened once, gets text, and is closed once; readers open and close even where
//! their dialect does not say so. A reader may still send text for a closed block (interleaved tool calls): writers place it by its number.

use serde_json::Value;

use super::{Finish, Media, Opaque, Rest};
use crate::Dialect;
use crate::failure::Failure;
use crate::usage::Usage;

#[derive(Clone, Debug, PartialEq)]
pub enum Delta {
    /// First, once: who answers. Fields are empty where the provider has not said them by the first event.
    Start {
        id: String,
        model: String,
        created: Option<u64>,
        rest: Rest,
    },
    /// Block numbers count from 0 in each choice, in the order in which blocks begin.
    Open {
        choice: u32,
        block: u32,
        kind: BlockKind,
    },
    /// Text of whatever the block is: an answer, a thought, a refusal, a piece of a call's arguments. Never empty.
    Text {
        choice: u32,
        block: u32,
        text: String,
    },
    /// Signature or encrypted state of the block. At most one a block; a later one replaces it.
    Opaque {
        choice: u32,
        block: u32,
        opaque: Opaque,
    },
    /// A citation of a text block, as that dialect spells it.
    Citation {
        choice: u32,
        block: u32,
        dialect: Dialect,
        citation: Value,
    },
    /// OpenAI chat's `logprobs` beside the text just given.
    Logprobs {
        choice: u32,
        logprobs: Value,
    },
    Close {
        choice: u32,
        block: u32,
    },
    /// Once a choice, after its blocks are closed.
    Finish {
        choice: u32,
        finish: Finish,
        stop_sequence: Option<String>,
        rest: Rest,
    },
    /// Cumulative; the last one counts.
    Usage(Usage),
    /// Something that only this dialect says, whole: for its own writer.
    Foreign(Dialect, Value),
    /// The provider is alive and says nothing.
    Ping,
    /// The provider failed inside its stream. The last delta.
    Failed(Box<Failure>),
    /// The proper end, as the dialect has it. The last delta.
    Done,
}

#[derive(Clone, Debug, PartialEq)]
pub enum BlockKind {
    Text {
        rest: Rest,
    },
    Reasoning {
        summary: bool,
        rest: Rest,
    },
    Refusal,
    /// `id` is never empty.
    Call {
        id: String,
        name: String,
        custom: bool,
        namespace: Option<String>,
        rest: Rest,
    },
    /// Generated media, whole.
    Media(Media),
    /// A block that only this dialect has, as it begins; what follows for it are [`Delta::Foreign`]s.
    Foreign(Dialect, Value),
}
