//! The dialects, and what each can do. One folder each; the rest of Sluice goes by these few functions and never asks which dialect it has.

use bytes::Bytes;

use crate::failure::Failure;
use crate::hub::{Asked, Chat, Delta, Losses, Reply, Target};
use crate::peek::Peek;
use crate::stream::{Glance, NotJson};
use crate::text::TextMap;
use crate::usage::Usage;
use crate::{anthropic, gemini, openai_chat, openai_responses};

/// A wire format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Dialect {
    #[default]
    OpenaiChat,
    OpenaiResponses,
    Anthropic,
    Gemini,
}

impl Dialect {
    pub const ALL: [Dialect; 4] = [Dialect::OpenaiChat, Dialect::OpenaiResponses, Dialect::Anthropic, Dialect::Gemini];

    /// As it is written in configurations, logs and plugins.
    pub fn as_str(self) -> &'static str {
        match self {
            Dialect::OpenaiChat => "openai-chat",
            Dialect::OpenaiResponses => "openai-responses",
            Dialect::Anthropic => "anthropic",
            Dialect::Gemini => "gemini",
        }
    }

    pub fn named(name: &str) -> Option<Dialect> {
        Dialect::ALL.into_iter().find(|dialect| dialect.as_str() == name)
    }

    /// What the dialect can do.
    pub fn api(self) -> &'static dyn Api {
        match self {
            Dialect::OpenaiChat => &openai_chat::Api,
            Dialect::OpenaiResponses => &openai_responses::Api,
            Dialect::Anthropic => &anthropic::Api,
            Dialect::Gemini => &gemini::Api,
        }
    }
}

/// What the path of a request says, for dialects whose body does not (Gemini).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Said {
    pub model: Option<String>,
    pub stream: bool,
    /// The stream is to be server-sent events (`alt=sse`).
    pub sse: bool,
}

/// One dialect: as the client's format (`read_request`, `write_reply`, `encoder`, `write_error`), as the provider's (`write_request`,
/// `read_reply`, `decoder`, `read_error`), and what the road of a call that is not translated must see of its bytes.
pub trait Api: Sync {
    /// What the road must know of a request: one pass, no tree.
    ///
    /// # Errors
    /// A 400 for a body that is not a JSON object, or says twice or in a wrong type what is read here.
    fn peek(&self, body: &[u8], said: &Said) -> Result<Peek, Failure>;

    /// The texts of a request, for hooks.
    fn request_texts(&self, body: &[u8]) -> TextMap;

    /// The text of the newest user message, its parts joined by a line feed.
    fn last_user_text(&self, body: &[u8]) -> Option<String>;

    /// The client's request. Reads generously: nulls, other spellings, single objects for lists.
    ///
    /// # Errors
    /// A 400 for what cannot be a request of this dialect.
    fn read_request(&self, body: &[u8], said: &Said) -> Result<Chat, Failure>;

    /// The request for a provider, strict, and what of it the dialect cannot say.
    ///
    /// # Errors
    /// A 400 in words where leaving something out would be wrong (a reference to stored state, media that would have to be fetched).
    fn write_request(&self, chat: &Chat, target: &Target<'_>) -> Result<(Bytes, Losses), Failure>;

    /// Whether a provider's 200 is a whole reply; what it counted.
    ///
    /// # Errors
    /// Who failed and how: an error inside the 200, not JSON, cut.
    fn check_reply(&self, body: &[u8]) -> Result<Option<Usage>, Failure>;

    /// The texts of a whole reply, and every place that repeats them, for hooks.
    fn reply_texts(&self, body: &[u8]) -> TextMap;

    /// A provider's whole reply.
    ///
    /// # Errors
    /// As [`Api::check_reply`].
    fn read_reply(&self, body: &[u8]) -> Result<Reply, Failure>;

    /// The whole reply for the client, complete and strict, and what of it the dialect cannot say.
    fn write_reply(&self, reply: &Reply, asked: &Asked) -> (Bytes, Losses);

    /// What a stream that passes through has to know of an event. `event`: its name, if it has one.
    ///
    /// # Errors
    /// [`NotJson`] for data that is not a JSON object.
    fn glance(&self, event: Option<&[u8]>, data: &[u8]) -> Result<Glance, NotJson>;

    /// The failure that an event tells in which [`Glance::error`] is set.
    fn stream_failure(&self, event: Option<&[u8]>, data: &[u8]) -> Option<Failure>;

    /// Reads a provider's stream.
    fn decoder(&self) -> Box<dyn Decode>;

    /// Writes a client's stream.
    fn encoder(&self, asked: &Asked) -> Box<dyn Encode>;

    /// The failure behind a provider's reply with an error status: class, message, code, status, delay.
    fn read_error(&self, status: u16, content_type: Option<&str>, body: &[u8]) -> Failure;

    /// The body of an error reply. `id`: the call's.
    fn write_error(&self, failure: &Failure, id: &str) -> Bytes;

    /// What ends a stream that passes through and cannot go on, event framing included.
    fn error_event(&self, failure: &Failure) -> Bytes;
}

/// A provider's stream, event by event. Gives the same deltas however the bytes were split, since it gets whole events.
pub trait Decode {
    /// Takes one event; comments and `[DONE]` never come here. Ends with at most one [`Delta::Failed`] or [`Delta::Done`].
    fn event(&mut self, event: Option<&[u8]>, data: &[u8], out: &mut Vec<Delta>);

    /// The body ended, or `[DONE]` came. A stream that was complete ends with [`Delta::Done`] here if it had none; one that was not, with
    /// [`Delta::Failed`] (`stream_truncated`).
    fn end(&mut self, out: &mut Vec<Delta>);
}

/// A client's stream: bytes for each delta, in the full event order of the dialect.
pub trait Encode {
    /// Appends what the client gets for this step; often nothing. [`Delta::Failed`] becomes the dialect's error event.
    fn delta(&mut self, delta: &Delta, out: &mut Vec<u8>);

    /// What could not be said so far.
    fn losses(&self) -> &Losses;
}
