//! Gemini's generateContent, also as Vertex serves it: requests, whole replies, streams, errors, counts and embeddings.
//!
//! The model, the operation and whether to stream stand in the address ([`path`]), not in the body.

mod config;
mod count;
pub mod embed;
mod error;
mod fields;
mod finish;
mod logprobs;
mod part;
mod read_reply;
mod read_request;
mod reply;
mod request;
mod schema;
mod stream;
mod texts;
mod usage;
mod write_config;
mod write_part;
mod write_reply;
mod write_request;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

use bytes::Bytes;

use crate::dialect::{self, Decode, Encode, Said};
use crate::failure::Failure;
use crate::hub::{Asked, Chat, Losses, Reply, Target};
use crate::peek::Peek;
use crate::stream::{Glance, NotJson};
use crate::text::TextMap;
use crate::usage::Usage;

pub use count::{read_count, read_counted, write_count};

/// The dialect.
pub struct Api;

/// The path and query behind a provider's base address, for either form of a model's name: `/models/NAME:streamGenerateContent?alt=sse`.
pub fn path(model: &str, stream: bool) -> String {
    operation(model, if stream { "streamGenerateContent?alt=sse" } else { "generateContent" })
}

/// The same for another operation (`countTokens`, `batchEmbedContents`).
pub fn operation(model: &str, operation: &str) -> String {
    // Names of a collection of their own (`tunedModels/x`, `publishers/meta/models/y`) stand without `models/`.
    const COLLECTIONS: [&str; 4] = ["models/", "tunedModels/", "publishers/", "endpoints/"];
    let whole = COLLECTIONS.iter().any(|collection| model.starts_with(collection));
    let mut out = String::from(if whole { "" } else { "/models" });
    // A name is data: it must not reach another path, another operation or the query.
    for segment in model.split('/').filter(|segment| !matches!(*segment, "" | "." | "..")) {
        out.push('/');
        for byte in segment.bytes() {
            match byte {
                b'-' | b'_' | b'.' | b'~' | b'@' => out.push(char::from(byte)),
                _ if byte.is_ascii_alphanumeric() => out.push(char::from(byte)),
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    out.push(':');
    out.push_str(operation);
    out
}

impl dialect::Api for Api {
    fn peek(&self, body: &[u8], said: &Said) -> Result<Peek, Failure> {
        request::peek(body, said)
    }

    fn request_texts(&self, body: &[u8]) -> TextMap {
        request::text_map(body)
    }

    fn last_user_text(&self, body: &[u8]) -> Option<String> {
        request::last_user_text(body)
    }

    fn read_request(&self, body: &[u8], said: &Said) -> Result<Chat, Failure> {
        read_request::read(body, said)
    }

    fn write_request(&self, chat: &Chat, target: &Target<'_>) -> Result<(Bytes, Losses), Failure> {
        write_request::write(chat, target)
    }

    fn check_reply(&self, body: &[u8]) -> Result<Option<Usage>, Failure> {
        reply::check(body)
    }

    fn reply_texts(&self, body: &[u8]) -> TextMap {
        reply::text_map(body)
    }

    fn read_reply(&self, body: &[u8]) -> Result<Reply, Failure> {
        read_reply::read(body)
    }

    fn write_reply(&self, reply: &Reply, asked: &Asked) -> (Bytes, Losses) {
        write_reply::write(reply, asked)
    }

    fn glance(&self, _event: Option<&[u8]>, data: &[u8]) -> Result<Glance, NotJson> {
        stream::glance(data)
    }

    fn stream_failure(&self, _event: Option<&[u8]>, data: &[u8]) -> Option<Failure> {
        error::inside(data)
    }

    fn decoder(&self) -> Box<dyn Decode> {
        Box::new(stream::Decoder::default())
    }

    fn encoder(&self, asked: &Asked) -> Box<dyn Encode> {
        Box::new(stream::Encoder::new(asked))
    }

    fn read_error(&self, status: u16, content_type: Option<&str>, body: &[u8]) -> Failure {
        error::read(status, content_type, body)
    }

    fn write_error(&self, failure: &Failure, _id: &str) -> Bytes {
        error::write(failure)
    }

    fn error_event(&self, failure: &Failure) -> Bytes {
        error::event(failure)
    }
}
