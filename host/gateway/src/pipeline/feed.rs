//! A provider's stream, read event by event under its deadlines.
//!
//! It says what each event is (content, bookkeeping, the end mark) and when the stream is complete, broken or late; it changes nothing and
//! holds nothing back. Only content moves the first-token and idle deadlines: comments, pings, role chunks and usage keep a connection
//! alive, not a call.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::FutureExt as _;
use sluice_dialect::Dialect;
use sluice_dialect::failure::Failure;
use sluice_dialect::sse::{Frame, Framer};
use sluice_dialect::stream::Glance;
use sluice_dialect::usage::Usage;

use super::call::deadline;
use super::upstream::{Source, Upstream};
use crate::config::Timeouts;

/// What the provider said next.
pub enum Item {
    /// An event with a JSON object.
    Event { frame: Frame, data: Bytes, glance: Glance },
    /// Comments, with a blank line.
    Comment(Bytes),
    /// `[DONE]`: the call ends even if the connection stays open.
    Done(Frame),
    /// Complete without an end mark: the dialect's own last event has come, or the body ended after a finish reason.
    End,
}

/// How long the end of the body is waited for behind the dialect's own last event.
const BEHIND_DONE: Duration = Duration::from_millis(250);

pub struct Feed {
    dialect: Dialect,
    source: Source,
    framer: Framer,
    /// Read already and given again, for a stream that could not be held after all.
    replay: VecDeque<Frame>,
    timeouts: Timeouts,
    sent: Instant,
    content_at: Option<Instant>,
    finished: bool,
    /// When the dialect's own last event came.
    done_at: Option<Instant>,
    ended: bool,
    pub usage: Option<Usage>,
    /// Time spent waiting for the provider.
    pub waited: Duration,
}

impl Feed {
    /// A feed of the provider's dialect.
    pub fn new(dialect: Dialect, upstream: Upstream, event_size: usize, timeouts: Timeouts) -> Feed {
        Feed {
            dialect,
            source: upstream.source,
            framer: Framer::new(event_size),
            replay: VecDeque::new(),
            timeouts,
            sent: upstream.sent,
            content_at: None,
            finished: false,
            done_at: None,
            ended: false,
            usage: None,
            waited: Duration::ZERO,
        }
    }

    /// Gives these frames first, then what the provider still sends.
    pub fn replay(&mut self, frames: VecDeque<Frame>) {
        self.replay = frames;
    }

    /// Whether the dialect's own last event has come: the reply is complete, whatever follows.
    pub fn is_done(&self) -> bool {
        self.done_at.is_some()
    }

    pub fn had_content(&self) -> bool {
        self.content_at.is_some()
    }

    /// What has arrived already; `None` when the provider must be waited for.
    pub fn ready(&mut self) -> Result<Option<Item>, Failure> {
        loop {
            let frame = match self.replay.pop_front() {
                Some(frame) => Some(frame),
                None if self.ended => self.framer.finish().map_err(|error| too_long(&error))?,
                None => self.framer.next().map_err(|error| too_long(&error))?,
            };
            let Some(frame) = frame else {
                return if self.ended { self.end().map(Some) } else { Ok(None) };
            };
            if let Some(item) = self.judge(frame)? {
                return Ok(Some(item));
            }
        }
    }

    /// Takes more bytes if they have arrived already; says whether there was anything. What arrived together can leave together, at a
    /// fraction of the cost, and later than at once only by the time that reading takes.
    pub fn fill_now(&mut self) -> Result<bool, Failure> {
        if self.ended {
            return Ok(false);
        }
        match self.source.next().now_or_never() {
            Some(read) => self.take(read).map(|()| true),
            None => Ok(false),
        }
    }

    /// Waits for more bytes.
    pub async fn fill(&mut self) -> Result<(), Failure> {
        let total = deadline(self.sent, self.timeouts.total);
        let content = match self.content_at {
            None => deadline(self.sent, self.timeouts.first_token),
            Some(at) => deadline(at, self.timeouts.idle),
        };
        let until = match self.done_at {
            // Some providers say a last word behind it, and most end the body at once.
            Some(at) => deadline(at, BEHIND_DONE),
            None => total.min(content),
        };
        let began = Instant::now();
        let read = tokio::time::timeout_at(until.into(), self.source.next()).await;
        self.waited += began.elapsed();
        match read {
            Ok(read) => return self.take(read),
            Err(_) if self.finished => self.ended = true,
            Err(_) => return Err(self.late(until == total)),
        }
        Ok(())
    }

    fn take(&mut self, read: Option<Result<Bytes, String>>) -> Result<(), Failure> {
        match read {
            Some(Ok(bytes)) => self.framer.push(bytes),
            Some(Err(detail)) if self.finished => {
                // A finish reason makes a stream complete, however HTTP ended.
                tracing::debug!("the provider's connection broke after the finish reason: {detail}");
                self.ended = true;
            }
            Some(Err(detail)) => return Err(cut(detail)),
            None => self.ended = true,
        }
        Ok(())
    }

    /// After the end mark: lets the connection go back to its pool if the body ends soon.
    pub fn release(self) {
        self.source.drain();
    }

    fn judge(&mut self, frame: Frame) -> Result<Option<Item>, Failure> {
        let frame = if frame.is_terminated() { frame } else { terminated(&frame) };
        let Some(data) = frame.data() else {
            // A block without data is dropped (an `id:` alone makes clients raise); its comments are not.
            return Ok(frame.has_comment().then(|| Item::Comment(frame.comments())));
        };
        if data.trim_ascii() == b"[DONE]" {
            return Ok(Some(Item::Done(frame)));
        }
        let api = self.dialect.api();
        let event = frame.event();
        if event == Some(b"error")
            && let Some(failure) = api.stream_failure(event, &data)
        {
            return Err(failure);
        }
        let glance = api.glance(event, &data).map_err(|error| {
            Failure::bad_gateway("invalid_stream", "The provider sent an event that is not a JSON object.")
                .with_detail(format!("{error} in a {}-byte event", data.len()))
        })?;
        if glance.error
            && let Some(failure) = api.stream_failure(event, &data)
        {
            return Err(failure);
        }
        if glance.content {
            self.content_at = Some(Instant::now());
        }
        self.finished |= glance.finished > 0 || glance.done;
        if glance.done {
            self.done_at = Some(Instant::now());
        }
        if let Some(usage) = glance.usage {
            self.usage = Some(usage.after(self.usage));
        }
        Ok(Some(Item::Event { frame, data, glance }))
    }

    fn end(&self) -> Result<Item, Failure> {
        if self.finished {
            return Ok(Item::End);
        }
        Err(cut("the body ended without a finish reason or [DONE]".to_owned()))
    }

    fn late(&self, total: bool) -> Failure {
        let (code, what, limit, key) = if total {
            ("total_timeout", "did not finish", self.timeouts.total, "total")
        } else if self.content_at.is_some() {
            ("idle_timeout", "stopped sending content", self.timeouts.idle, "idle")
        } else {
            ("first_token_timeout", "sent no content", self.timeouts.first_token, "first_token")
        };
        Failure::timeout(code, format!("The provider {what} within {}.", crate::config::show_duration(limit)))
            .with_detail(format!("raise `timeouts.{key}` of the provider if it needs longer"))
    }
}

/// A last block without its blank line: clients would ignore it as it is.
fn terminated(frame: &Frame) -> Frame {
    let mut raw = frame.raw.to_vec();
    raw.extend_from_slice(b"\n\n");
    Frame::new(Bytes::from(raw))
}

fn too_long(error: &sluice_dialect::sse::TooLong) -> Failure {
    Failure::bad_gateway("event_too_long", "The provider sent an event that is too long to pass on.")
        .with_detail(format!("{error}; raise `limits.event_size` of the provider if this is expected"))
}

fn cut(detail: String) -> Failure {
    Failure::bad_gateway("stream_truncated", "The provider broke off before the reply was complete.")
        .with_detail(detail)
}
