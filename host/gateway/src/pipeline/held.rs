//! A streamed reply that is held whole for a plugin with `on-response` only (`streams: hold`).
//!
//! The provider's events are kept and assembled into a whole reply, the reply hooks run on that, and it is streamed on: with the
//! provider's own events where nothing was edited, as a new stream of the edited reply where something was.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use sluice_dialect::failure::Failure;
use sluice_dialect::openai_chat::answer::Assembler;
use sluice_dialect::sse::Frame;

use super::feed::{Feed, Item};

/// What came of holding a stream.
pub enum Held {
    /// Complete: the events as they will be sent if nothing is edited, and the reply they make.
    Whole { events: Bytes, reply: Bytes },
    /// Over the cap: what was read so far.
    Overflow(VecDeque<Frame>),
}

/// Reads the stream to its end, or to `max` bytes.
pub async fn collect(feed: &mut Feed, max: usize, withhold_usage: bool) -> Result<Held, Failure> {
    let mut frames = VecDeque::new();
    let mut events = BytesMut::new();
    let mut assembler = Assembler::new(max);
    let mut size = 0usize;
    loop {
        while let Some(item) = feed.ready()? {
            match item {
                Item::Event { frame, data, glance } => {
                    size += frame.raw.len();
                    if size > max || assembler.push(&data).is_err() {
                        frames.push_back(frame);
                        return Ok(Held::Overflow(frames));
                    }
                    if !(withhold_usage && glance.only_usage) {
                        events.extend_from_slice(&frame.raw);
                    }
                    frames.push_back(frame);
                }
                // They kept the connection alive; the client will get the reply at once.
                Item::Comment(_) => {}
                Item::Done(frame) => {
                    events.extend_from_slice(&frame.raw);
                    return Ok(Held::Whole { events: events.freeze(), reply: assembler.finish() });
                }
                Item::End => return Ok(Held::Whole { events: events.freeze(), reply: assembler.finish() }),
            }
        }
        feed.fill().await?;
    }
}
