//! What is common to the streams of all dialects that pass through untranslated.

use std::fmt;

use crate::json::SyntaxError;
use crate::usage::Usage;

/// Why the data of an event cannot be an event of a reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotJson {
    Syntax(SyntaxError),
    /// Valid JSON, but an array, a number or another value that is not an object.
    NotObject,
}

impl fmt::Display for NotJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotJson::Syntax(error) => write!(f, "not JSON: {error}"),
            NotJson::NotObject => f.write_str("not a JSON object"),
        }
    }
}

impl std::error::Error for NotJson {}

/// What a stream that passes through has to know of an event.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Glance {
    /// Something that a model made: non-empty text, reasoning, refusal, audio, or a tool call's name or arguments. It resets deadlines.
    pub content: bool,
    /// How many choices end here. From the first on the stream may end properly.
    pub finished: u32,
    /// This event is the dialect's own end (`message_stop`, `response.completed`); nothing need follow.
    pub done: bool,
    /// What the provider has counted so far.
    pub usage: Option<Usage>,
    /// It carries nothing but usage, so it can be withheld.
    pub only_usage: bool,
    /// It tells a failure of the provider.
    pub error: bool,
}
