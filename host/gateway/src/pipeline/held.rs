//! A streamed reply that is held whole for a plugin with `on-response` only (`streams: hold`).
//!
//! The provider's events are kept and assembled into a whole reply, the reply hooks run on that, and it is streamed on: with the
//! provider's own events where nothing was edited, as a new stream of the edited reply where something was.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use sluice_dialect::Dialect;
use sluice_dialect::failure::Failure;
use sluice_dialect::hub;
use sluice_dialect::hub::Asked;
use sluice_dialect::openai_chat::answer::Assembler;
use sluice_dialect::sse::Frame;

use super::feed::{Feed, Item};
use super::translate::Translation;

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

/// As [`collect`], for a stream that is not chat from end to end: the events are written in the client's dialect, and so is the reply.
///
/// # Errors
/// A provider's failure, also one that its stream tells.
pub async fn collect_blocks(
    feed: &mut Feed,
    (from, to): (Dialect, Dialect),
    asked: &Asked,
    max: usize,
) -> Result<Held, Failure> {
    let mut translation = Translation::new(from, to, asked);
    let mut assembler = hub::Assembler::new(max);
    let (mut frames, mut written, mut size) = (VecDeque::new(), Vec::new(), 0usize);
    loop {
        while let Some(item) = feed.ready()? {
            let (frame, raw, told) = match item {
                Item::Event { frame, data, .. } => {
                    let told = translation.decode(&frame, &data);
                    let raw = translation.raw(&frame);
                    (Some(frame), raw, told)
                }
                Item::Comment(_) => continue,
                Item::Done(_) | Item::End => (None, None, translation.decode_end()),
            };
            let ended = frame.is_none();
            if let Some(frame) = frame {
                size += frame.raw.len();
                frames.push_back(frame);
            }
            for delta in &told {
                if size > max || !gather(&mut assembler, delta)? {
                    return Ok(Held::Overflow(frames));
                }
            }
            match raw {
                Some(raw) => written.push(raw),
                None => told.into_iter().try_for_each(|delta| translation.encode(delta, &mut written))?,
            }
            if ended {
                let (reply, _) = to.api().write_reply(&assembler.finish(), asked);
                return Ok(Held::Whole { events: Bytes::from(written.concat()), reply });
            }
        }
        feed.fill().await?;
    }
}

/// Says whether there is room.
fn gather(assembler: &mut hub::Assembler, delta: &hub::Delta) -> Result<bool, Failure> {
    match assembler.push(delta.clone()) {
        Ok(()) => Ok(true),
        Err(failure) if failure.code.as_deref() == Some("reply_too_large") => Ok(false),
        Err(failure) => Err(failure),
    }
}
