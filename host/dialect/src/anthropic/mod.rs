//! Anthropic's Messages.

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

#[allow(unused_variables)]
impl dialect::Api for Api {
    fn peek(&self, body: &[u8], said: &Said) -> Result<Peek, Failure> {
        todo!()
    }
    fn request_texts(&self, body: &[u8]) -> TextMap {
        todo!()
    }
    fn last_user_text(&self, body: &[u8]) -> Option<String> {
        todo!()
    }
    fn read_request(&self, body: &[u8], said: &Said) -> Result<Chat, Failure> {
        todo!()
    }
    fn write_request(&self, chat: &Chat, target: &Target<'_>) -> Result<(Bytes, Losses), Failure> {
        todo!()
    }
    fn check_reply(&self, body: &[u8]) -> Result<Option<Usage>, Failure> {
        todo!()
    }
    fn reply_texts(&self, body: &[u8]) -> TextMap {
        todo!()
    }
    fn read_reply(&self, body: &[u8]) -> Result<Reply, Failure> {
        todo!()
    }
    fn write_reply(&self, reply: &Reply, asked: &Asked) -> (Bytes, Losses) {
        todo!()
    }
    fn glance(&self, event: Option<&[u8]>, data: &[u8]) -> Result<Glance, NotJson> {
        todo!()
    }
    fn stream_failure(&self, event: Option<&[u8]>, data: &[u8]) -> Option<Failure> {
        todo!()
    }
    fn decoder(&self) -> Box<dyn Decode> {
        todo!()
    }
    fn encoder(&self, asked: &Asked) -> Box<dyn Encode> {
        todo!()
    }
    fn read_error(&self, status: u16, content_type: Option<&str>, body: &[u8]) -> Failure {
        todo!()
    }
    fn write_error(&self, failure: &Failure, id: &str) -> Bytes {
        todo!()
    }
    fn error_event(&self, failure: &Failure) -> Bytes {
        todo!()
    }
}
