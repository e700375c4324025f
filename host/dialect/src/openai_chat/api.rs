//! The dialect's functions by their common names.

use bytes::Bytes;

use crate::dialect::{self, Decode, Encode, Said};
use crate::failure::Failure;
use crate::hub::{Asked, Chat, Losses, Reply, Target};
use crate::peek::Peek;
use crate::stream::{Glance, NotJson};
use crate::text::TextMap;
use crate::usage::Usage;

/// The dialect.
pub struct Api;

impl dialect::Api for Api {
    fn peek(&self, body: &[u8], _: &Said) -> Result<Peek, Failure> {
        crate::peek::peek(body)
    }
    fn request_texts(&self, body: &[u8]) -> TextMap {
        super::request::text_map(body)
    }
    fn last_user_text(&self, body: &[u8]) -> Option<String> {
        super::request::last_user_text(body)
    }
    fn read_request(&self, body: &[u8], _: &Said) -> Result<Chat, Failure> {
        super::read_request::read(body)
    }
    fn write_request(&self, chat: &Chat, target: &Target<'_>) -> Result<(Bytes, Losses), Failure> {
        super::write_request::write(chat, target)
    }
    fn check_reply(&self, body: &[u8]) -> Result<Option<Usage>, Failure> {
        super::reply::check(body)
    }
    fn reply_texts(&self, body: &[u8]) -> TextMap {
        super::reply::text_map(body)
    }
    fn read_reply(&self, body: &[u8]) -> Result<Reply, Failure> {
        super::read_reply::read(body)
    }
    fn write_reply(&self, reply: &Reply, asked: &Asked) -> (Bytes, Losses) {
        super::write_reply::write(reply, asked)
    }
    fn glance(&self, _: Option<&[u8]>, data: &[u8]) -> Result<Glance, NotJson> {
        super::stream::glance(data)
    }
    fn stream_failure(&self, event: Option<&[u8]>, data: &[u8]) -> Option<Failure> {
        if event == Some(b"error") { Some(super::error::from_error_event(data)) } else { super::error::in_stream(data) }
    }
    fn decoder(&self) -> Box<dyn Decode> {
        Box::new(super::decode::Decoder::default())
    }
    fn encoder(&self, asked: &Asked) -> Box<dyn Encode> {
        Box::new(super::encode::Encoder::new(asked))
    }
    fn read_error(&self, status: u16, content_type: Option<&str>, body: &[u8]) -> Failure {
        super::error::from_provider(status, content_type, body)
    }
    fn write_error(&self, failure: &Failure, id: &str) -> Bytes {
        super::error::render(failure, id)
    }
    fn error_event(&self, failure: &Failure) -> Bytes {
        super::error::stream_event(failure)
    }
}
