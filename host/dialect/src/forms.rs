//! Replies that change their form in one dialect: events put together, a reply told as a stream, a plugin's answer in a client's dialect.

use std::collections::BTreeMap;

use bytes::Bytes;

use crate::Dialect;
use crate::document::Document;
use crate::failure::Failure;
use crate::hub::{self, Asked, Delta};
use crate::json;
use crate::openai_chat::answer;
use crate::sse::{Frame, Framer};

/// Choices of a stream whose finish reason is looked for.
const MAX_REASONS: u32 = 16;

impl Dialect {
    /// The whole reply that a client's bytes tell, event by event or several at once; `None` where they tell none. `max`: as
    /// [`hub::Assembler::new`].
    pub fn assemble(self, frames: Vec<Bytes>, max: usize) -> Option<Bytes> {
        if self == Dialect::OpenaiChat {
            return assemble_chat(frames, max);
        }
        let mut assembler = hub::Assembler::new(max);
        // What was sent to the client has been looked at before. That the stream was not complete is no news here.
        let any = self.told_by(frames).into_iter().map(|delta| assembler.push(delta)).filter(Result::is_ok).count() > 0;
        any.then(|| self.api().write_reply(&assembler.finish(), &Asked::default()).0)
    }

    /// What a client's bytes tell.
    fn told_by(self, frames: Vec<Bytes>) -> Vec<Delta> {
        let (mut told, mut decoder) = (Vec::new(), self.api().decoder());
        if self == Dialect::Gemini && frames.first().is_some_and(|first| first.trim_ascii_start().starts_with(b"[")) {
            // A list instead of events.
            let list = frames.concat();
            for item in json::array(&list, 0).into_iter().flatten() {
                decoder.event(None, list.get(item).unwrap_or_default(), &mut told);
            }
        } else {
            let mut framer = Framer::new(usize::MAX);
            frames.into_iter().for_each(|bytes| framer.push(bytes));
            while let Ok(Some(frame)) = framer.finish() {
                if let Some(data) = frame.data() {
                    decoder.event(frame.event(), &data, &mut told);
                }
            }
        }
        decoder.end(&mut told);
        told
    }

    /// The finish reasons that bytes of a client's stream say, by choice, in the canonical form's words.
    pub fn frame_reasons(self, frame: &Bytes) -> BTreeMap<u32, String> {
        if self == Dialect::OpenaiChat {
            let data = Frame::new(frame.clone()).data().unwrap_or_default();
            let said = |choice| Some((choice, crate::openai_chat::reply::finish_reason(&data, choice)?));
            return (0..MAX_REASONS).filter_map(said).collect();
        }
        let said = |delta| match delta {
            Delta::Finish { choice, finish, .. } if choice < MAX_REASONS => {
                Some((choice, crate::openai_chat::finish_reason(&finish).to_owned()))
            }
            _ => None,
        };
        self.told_by(vec![frame.clone()]).into_iter().filter_map(said).collect()
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
