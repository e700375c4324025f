//! Replies that change their form in one dialect: events put together, a reply told as a stream, a plugin's answer in a client's dialect.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::Dialect;
use crate::document::Document;
use crate::failure::Failure;
use crate::hub::{self, Asked, Delta};
use crate::openai_chat::answer;
use crate::sse::Frame;

/// Choices of a stream whose finish reason is looked for.
const MAX_REASONS: u32 = 16;

impl Dialect {
    /// The whole reply that a client's frames tell; `None` where they tell none. `max`: as [`hub::Assembler::new`].
    pub fn assemble(self, frames: Vec<Bytes>, max: usize) -> Option<Bytes> {
        if self == Dialect::OpenaiChat {
            return assemble_chat(frames, max);
        }
        let mut assembler = hub::Assembler::new(max);
        let mut decoder = self.api().decoder();
        let (mut told, mut any) = (Vec::new(), false);
        for frame in frames {
            let frame = Frame::new(frame);
            let Some(data) = frame.data() else { continue };
            decoder.event(frame.event(), &data, &mut told);
            // What was sent to the client has been looked at before.
            any |= told.drain(..).all(|delta| assembler.push(delta).is_ok());
        }
        // Some dialects tell how it ended only then. That the stream was not complete is no news here.
        decoder.end(&mut told);
        let _ = told.drain(..).all(|delta| assembler.push(delta).is_ok());
        any.then(|| self.api().write_reply(&assembler.finish(), &Asked::default()).0)
    }

    /// The finish reasons that one frame of a client's stream says, by choice, in the canonical form's words.
    pub fn frame_reasons(self, frame: &Bytes) -> BTreeMap<u32, String> {
        let frame = Frame::new(frame.clone());
        let Some(data) = frame.data() else { return BTreeMap::new() };
        if self == Dialect::OpenaiChat {
            let said = |choice| Some((choice, crate::openai_chat::reply::finish_reason(&data, choice)?));
            return (0..MAX_REASONS).filter_map(said).collect();
        }
        let (mut told, mut decoder) = (Vec::new(), self.api().decoder());
        decoder.event(frame.event(), &data, &mut told);
        decoder.end(&mut told);
        let said = |delta| match delta {
            Delta::Finish { choice, finish, .. } if choice < MAX_REASONS => {
                Some((choice, crate::openai_chat::finish_reason(&finish).to_owned()))
            }
            _ => None,
        };
        told.into_iter().filter_map(said).collect()
    }

    /// A whole reply of this dialect as its stream.
    ///
    /// # Errors
    /// The bytes are not a reply.
    pub fn retell(self, reply: &[u8], asked: &Asked) -> Result<Bytes, Failure> {
        if self == Dialect::OpenaiChat {
            return answer::to_stream(reply, asked.stream_usage);
        }
        let reply = self.api().read_reply(reply)?;
        let mut encoder = self.api().encoder(asked);
        let mut out = Vec::new();
        for delta in hub::tell(&reply) {
            encoder.delta(&delta, &mut out);
        }
        Ok(Bytes::from(out))
    }

    /// A plugin's answer, which is a complete chat completion, in this dialect.
    ///
    /// # Errors
    /// The bytes are not a chat completion.
    pub fn answer(self, canonical: &Bytes, asked: &Asked) -> Result<Bytes, Failure> {
        if self == Dialect::OpenaiChat {
            return Ok(canonical.clone());
        }
        let reply = Dialect::OpenaiChat.api().read_reply(canonical)?;
        Ok(self.api().write_reply(&reply, asked).0)
    }
}

fn assemble_chat(frames: Vec<Bytes>, max: usize) -> Option<Bytes> {
    let mut assembler = answer::Assembler::new(max);
    let mut any = false;
    for frame in frames {
        let Some(data) = Frame::new(frame).data() else { continue };
        any |= assembler.push(&data).is_ok();
    }
    any.then(|| assembler.finish())
}

impl Document {
    /// Why that choice of a reply ended, in the canonical form's words.
    pub fn finish_reason(&self, choice: u32) -> Option<String> {
        crate::openai_chat::reply::finish_reason(self.get("")?.as_bytes(), choice)
    }
}
