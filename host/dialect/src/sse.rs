//! Server-sent events as blocks of bytes.
//!
//! The road passes events on with their own bytes, so a frame is a slice of what arrived, not a decoded copy. Everything that arrived is in
//! exactly one frame, blank lines included: the frames' `raw` bytes put together are the stream. It is no client: it keeps no last event id,
//! does not reconnect, and does not look into the data.

mod frame;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]
mod tests;

use std::collections::VecDeque;
use std::fmt;

use bytes::{Buf, Bytes};

pub use frame::Frame;

const BOM: &[u8] = b"\xef\xbb\xbf";

/// A block grew past the cap. The framer gives nothing more: what follows cannot be told apart from the block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// In bytes.
    pub max_event: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an event of the stream is longer than {} bytes", self.max_event)
    }
}

impl std::error::Error for TooLong {}

/// Cuts a stream into frames. A line ends with a line feed, a carriage return or both; a blank line ends a block.
///
/// A blank line of a lone carriage return leaves open whether a line feed follows, so its frame waits for the next byte. Only behind a
/// line that itself ended with a lone carriage return it does not wait, so that a stream of these is not one event late; a line feed that
/// does follow there begins the next frame and means nothing. Either way frames do not depend on how the bytes were chunked.
#[derive(Debug)]
pub struct Framer {
    max_event: usize,
    /// Pushed and not looked at.
    waiting: VecDeque<Bytes>,
    /// What is left of the chunk in hand.
    chunk: Bytes,
    /// The beginning of a block whose end is in a later chunk.
    begun: Vec<u8>,
    lines: Lines,
    /// Nothing was given yet: a byte order mark may stand here.
    at_start: bool,
    failed: bool,
}

/// Where in a line the stream is, so that no byte is looked at twice.
#[derive(Debug, Default)]
struct Lines {
    /// Bytes of the unfinished line.
    len: usize,
    /// The byte before was a carriage return that ended a line: a line feed belongs to it.
    after_cr: bool,
    /// That line was blank and its block ends with this byte or the next.
    ending: bool,
}

impl Framer {
    /// A framer for one stream. `max_event` is in bytes, for a block with its blank line.
    pub fn new(max_event: usize) -> Framer {
        Framer {
            max_event,
            waiting: VecDeque::new(),
            chunk: Bytes::new(),
            begun: Vec::new(),
            lines: Lines::default(),
            at_start: true,
            failed: false,
        }
    }

    /// Takes the next bytes of the stream. Call [`Framer::next`] until it has none before pushing more: the cap holds for a block, not for
    /// what was pushed.
    pub fn push(&mut self, chunk: Bytes) {
        if self.failed || chunk.is_empty() {
            return;
        }
        if self.chunk.is_empty() && self.waiting.is_empty() {
            self.chunk = chunk;
        } else {
            self.waiting.push_back(chunk);
        }
    }

    /// The next block; `None` until more is pushed.
    ///
    /// # Errors
    /// [`TooLong`] for a block over the cap, now and ever after.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> Result<Option<Frame>, TooLong> {
        loop {
            if self.failed {
                return Err(TooLong { max_event: self.max_event });
            }
            if self.chunk.is_empty() {
                match self.waiting.pop_front() {
                    Some(chunk) => self.chunk = chunk,
                    None => return Ok(None),
                }
            }
            let end = self.block_end();
            let length = self.begun.len() + end.unwrap_or(self.chunk.len());
            if length > self.max_event {
                self.fail();
                continue;
            }
            match end {
                Some(end) => return Ok(Some(self.take(end))),
                None => {
                    self.begun.extend_from_slice(&self.chunk);
                    self.chunk.clear();
                }
            }
        }
    }

    /// Call at the end of the body, until it has none: what [`Framer::next`] still has, then a last block without its blank line, if any
    /// ([`Frame::is_terminated`] says which).
    ///
    /// # Errors
    /// As [`Framer::next`].
    pub fn finish(&mut self) -> Result<Option<Frame>, TooLong> {
        if let Some(frame) = self.next()? {
            return Ok(Some(frame));
        }
        Ok((!self.begun.is_empty()).then(|| {
            let terminated = self.lines.ending;
            self.lines = Lines::default();
            let mut frame = self.take(0);
            frame.set_terminated(terminated);
            frame
        }))
    }

    /// Bytes taken and not yet given as a frame.
    pub fn buffered(&self) -> usize {
        self.begun.len() + self.chunk.len() + self.waiting.iter().map(Bytes::len).sum::<usize>()
    }

    fn fail(&mut self) {
        self.failed = true;
        self.begun = Vec::new();
        self.chunk = Bytes::new();
        self.waiting = VecDeque::new();
    }

    /// The block that is begun, with the first `end` bytes of the chunk.
    fn take(&mut self, end: usize) -> Frame {
        let raw = if self.begun.is_empty() {
            self.chunk.split_to(end)
        } else {
            self.begun.extend_from_slice(self.chunk.get(..end).unwrap_or_default());
            self.chunk.advance(end);
            Bytes::from(std::mem::take(&mut self.begun))
        };
        let mark = if self.at_start && raw.starts_with(BOM) { BOM.len() } else { 0 };
        self.at_start = false;
        Frame::behind_mark(raw, mark)
    }

    /// Where in the chunk the block ends, if it does. Otherwise the whole chunk was looked at and is remembered.
    fn block_end(&mut self) -> Option<usize> {
        let bytes: &[u8] = &self.chunk;
        let mut at = 0;
        if self.lines.after_cr {
            let feed = bytes.first() == Some(&b'\n');
            at = usize::from(feed);
            // A carriage return right behind this one still asks what came before it.
            self.lines.after_cr = !feed;
            if std::mem::take(&mut self.lines.ending) {
                return Some(at);
            }
        }
        while let Some(found) = memchr::memchr2(b'\n', b'\r', bytes.get(at..)?) {
            let end = at + found;
            // A line of only the byte order mark counts as text here: it begins the first block, which reads the same.
            let blank = self.lines.len + found == 0;
            let after_cr = std::mem::take(&mut self.lines.after_cr) && found == 0;
            self.lines.len = 0;
            at = end + 1;
            if bytes.get(end) == Some(&b'\n') {
                if blank {
                    return Some(at);
                }
                continue;
            }
            match bytes.get(at) {
                _ if blank && after_cr => {
                    self.lines.after_cr = true;
                    return Some(at);
                }
                Some(b'\n') => at += 1,
                next => {
                    self.lines.after_cr = true;
                    self.lines.ending = blank && next.is_none();
                }
            }
            if blank && !self.lines.ending {
                return Some(at);
            }
        }
        self.lines.after_cr &= at == bytes.len();
        self.lines.len += bytes.len() - at;
        None
    }
}
