//! Anthropic's Messages.

use bytes::Bytes;
use serde_json::Value;

use crate::dialect::{self, Decode, Encode, Said};
use crate::failure::Failure;
use crate::hub::{Asked, Chat, Losses, Reply, Target};
use crate::peek::{Peek, StreamOptions};
use crate::splice::splice;
use crate::stream::{Glance, NotJson};
use crate::text::TextMap;
use crate::usage::Usage;
use crate::{json, peek};

mod block;
mod error;
mod members;
mod out;
mod plan;
mod read_reply;
mod read_request;
mod reply;
mod request;
mod stream;
mod texts;
mod turns;
mod usage;
mod write_reply;
mod write_request;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

/// The version that Vertex wants named in the body.
const VERTEX_VERSION: &str = "vertex-2023-10-16";

/// The dialect.
pub struct Api;

impl dialect::Api for Api {
    fn peek(&self, body: &[u8], _: &Said) -> Result<Peek, Failure> {
        let peek = peek::peek(body)?;
        // Usage always comes, one choice is all there is, and members of other dialects are nobody's here.
        Ok(Peek { n: 1, stream_options: StreamOptions::Other, ..peek })
    }
    fn request_texts(&self, body: &[u8]) -> TextMap {
        request::text_map(body)
    }
    fn last_user_text(&self, body: &[u8]) -> Option<String> {
        request::last_user_text(body)
    }
    fn read_request(&self, body: &[u8], _: &Said) -> Result<Chat, Failure> {
        read_request::read(body)
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
    fn glance(&self, event: Option<&[u8]>, data: &[u8]) -> Result<Glance, NotJson> {
        stream::glance(event, data)
    }
    fn stream_failure(&self, event: Option<&[u8]>, data: &[u8]) -> Option<Failure> {
        error::in_stream(event, data)
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
    fn write_error(&self, failure: &Failure, id: &str) -> Bytes {
        error::render(failure, id)
    }
    fn error_event(&self, failure: &Failure) -> Bytes {
        error::event(failure)
    }
}

/// The body as Vertex wants it: the model is in the path, the version in the body. `body` must be an object; one of another form is given
/// back as it is.
pub fn vertex_body(body: &Bytes) -> Bytes {
    let Some(members) = json::object(body, 0) else { return body.clone() };
    let members: Vec<json::Member> = members.collect();
    let mut edits: Vec<(std::ops::Range<usize>, Vec<u8>)> = Vec::new();
    let (mut versioned, mut left) = (false, members.len());
    for (at, member) in members.iter().enumerate() {
        if member.is(body, "model") {
            // With the comma behind it; the last one with the comma before.
            let range = match (members.get(at + 1), at.checked_sub(1).and_then(|at| members.get(at))) {
                (Some(next), _) => member.key.start..next.key.start,
                (None, Some(before)) => before.value.end..member.value.end,
                (None, None) => member.key.start..member.value.end,
            };
            edits.push((range, Vec::new()));
            left -= 1;
        }
        versioned |= member.is(body, "anthropic_version");
    }
    if !versioned {
        let open = body.iter().position(|byte| *byte == b'{').map_or(0, |at| at + 1);
        let mut member = Vec::with_capacity(48);
        member.extend_from_slice(b"\"anthropic_version\":");
        json::quote(VERTEX_VERSION, &mut member);
        if left > 0 {
            member.push(b',');
        }
        edits.insert(0, (open..open, member));
    }
    let edits: Vec<_> = edits.iter().map(|(range, text)| (range.clone(), text.as_slice())).collect();
    splice(body, &edits)
}

/// The reply to a count of tokens.
pub fn write_count(tokens: u64) -> Bytes {
    Bytes::from(format!("{{\"input_tokens\":{tokens}}}"))
}

/// What a provider counted for `count_tokens`.
pub fn read_count(body: &[u8]) -> Option<u64> {
    serde_json::from_slice::<Value>(body).ok()?.get("input_tokens")?.as_u64()
}
