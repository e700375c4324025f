//! The dialect's functions by their common names.

use bytes::Bytes;

use super::stream::{Decoder, Encoder};
use super::{error, read_reply, read_request, reply, request, stream, write_reply, write_request};
use crate::dialect::{self, Decode, Encode, Said};
use crate::failure::Failure;
use crate::hub::{Asked, Chat, Losses, Reply, Target};
use crate::peek::Peek;
use crate::stream::{Glance, NotJson};
use crate::text::TextMap;
use crate::usage::Usage;

/// The dialect.
pub struct Api;

#[allow(clippy::result_large_err, reason = "the one failure type is large, and built only for a call that failed")]
impl dialect::Api for Api {
    fn peek(&self, body: &[u8], _: &Said) -> Result<Peek, Failure> {
        request::peek(body)
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
        stream::failure(event, data)
    }
    fn decoder(&self) -> Box<dyn Decode> {
        Box::new(Decoder::default())
    }
    fn encoder(&self, asked: &Asked) -> Box<dyn Encode> {
        Box::new(Encoder::new(asked))
    }
    fn read_error(&self, status: u16, content_type: Option<&str>, body: &[u8]) -> Failure {
        error::from_provider(status, content_type, body)
    }
    fn write_error(&self, failure: &Failure, _: &str) -> Bytes {
        error::write(failure)
    }
    fn error_event(&self, failure: &Failure) -> Bytes {
        error::stream_event(failure)
    }
}
