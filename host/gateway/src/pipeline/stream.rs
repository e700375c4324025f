//! The pump of a streamed reply: reads the provider's events, lets the delta hooks see them where there are any, feeds the client.
//!
//! Nothing leaves before the first content that has been released, so that an error or a refusal before it is a proper HTTP error. After
//! it, an error is one event in the client's dialect and the body ends properly, without an end mark that the provider did not send.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::HeaderValue;
use sluice_dialect::Dialect;
use sluice_dialect::failure::Failure;
use sluice_dialect::hub::Delta;
use sluice_dialect::sse::Frame;

use super::call::Settle;
use super::cut::{Cut, stopping};
use super::feed::{Feed, Item};
use super::generator::Outlet;
use super::reply;
use super::translate::Translation;
use crate::hooks::delta::{Deltas, Verdict};
use crate::observe::record::Outcome;

const DONE: &[u8] = b"data: [DONE]\n\n";

/// What the pump works on; it owns the call's settlement to the end.
pub struct Pump {
    pub feed: Feed,
    /// None: no plugin sees events.
    pub deltas: Option<Box<Deltas>>,
    /// None: events pass in the provider's own frames.
    pub translation: Option<Box<Translation>>,
    /// The client's.
    pub dialect: Dialect,
    pub settle: Settle,
    /// Usage was asked for on the client's behalf.
    pub withhold_usage: bool,
    pub head: Rc<RefCell<Head>>,
    /// The gateway stops, and the limit for that is over.
    pub cut: Rc<Cut>,
}

/// What is known of the reply's head when it goes out, with the first bytes.
#[derive(Debug, Default)]
pub struct Head {
    /// Headers that plugins set.
    pub plugins: Vec<(String, String)>,
    pub timing: Option<HeaderValue>,
}

/// Output that has arrived together leaves together, up to about this many bytes.
const TOGETHER: usize = 16 * 1024;

/// Handing bytes to the connection takes microseconds, unless the client is slow to take those before them.
const CLIENT_WAITS: Duration = Duration::from_millis(1);

/// Frames and bytes held before the first content: more is a provider that sends bookkeeping without end.
const MAX_WAITING: (usize, usize) = (4096, 8 << 20);

/// Output that waits for the first content, then leaves at every turn.
struct Out {
    outlet: Outlet,
    waiting: Vec<Bytes>,
    /// Of what waited before the first content.
    bytes: usize,
    open: bool,
}

impl Out {
    fn size(&self) -> usize {
        self.waiting.iter().map(Bytes::len).sum()
    }

    /// Before content, what waits is bounded; afterwards it leaves at once.
    fn check_size(&mut self) -> Result<(), Failure> {
        if self.open {
            return Ok(());
        }
        self.bytes += self.waiting.last().map_or(0, Bytes::len);
        if self.waiting.len() <= MAX_WAITING.0 && self.bytes <= MAX_WAITING.1 {
            return Ok(());
        }
        Err(Failure::bad_gateway("no_content", "The provider sent too much before any content."))
    }

    /// Sends what has gathered; before content it only gathers.
    async fn flush(&mut self, content: bool, settle: &mut Settle) {
        if content && !self.open {
            self.open = true;
            settle.first_token();
        }
        if self.open && !self.waiting.is_empty() {
            if let Some(kept) = &mut settle.kept {
                kept.events(&self.waiting);
            }
            self.send(settle).await;
        }
    }

    /// The connection takes more at once, or as soon as the client does: the rest of the time is the client's.
    async fn send(&mut self, settle: &mut Settle) {
        let began = Instant::now();
        self.outlet.send(join(&mut self.waiting)).await;
        let took = began.elapsed();
        if took >= CLIENT_WAITS {
            settle.record.client_waited += took;
        }
    }
}

fn join(frames: &mut Vec<Bytes>) -> Bytes {
    if frames.len() == 1 {
        return frames.pop().unwrap_or_default();
    }
    let mut all = BytesMut::with_capacity(frames.iter().map(Bytes::len).sum());
    for frame in frames.drain(..) {
        all.extend_from_slice(&frame);
    }
    all.freeze()
}

impl Pump {
    /// Runs the stream to its end. Returns the failure, with what is needed to render it, if nothing was sent before it.
    pub async fn run(mut self, outlet: Outlet) -> Option<(Failure, Settle)> {
        let mut out = Out { outlet, waiting: Vec::new(), bytes: 0, open: false };
        let ended = self.relay(&mut out).await;
        self.settle.record.usage = self.feed.usage.take();
        self.settle.waited(self.feed.waited);
        if let Some(translation) = &self.translation {
            self.settle.record.lose(translation.losses());
        }
        if let (true, Some(state)) = (self.deltas.is_some(), &self.settle.state) {
            self.settle.record.tags.clone_from(&state.tags);
        }
        match ended {
            Ok(mark) => {
                self.settle.replied();
                self.settle.end(Outcome::Ok, 200);
                self.fill_head(&out);
                out.waiting.extend(mark);
                out.flush(true, &mut self.settle).await;
                self.feed.release();
                None
            }
            Err(failure) if out.open => {
                self.settle.fail(&failure, true);
                if let Some(kept) = &mut self.settle.kept {
                    // The error event is not of the reply.
                    kept.events(&out.waiting);
                }
                let event = match &mut self.translation {
                    Some(translation) => translation.fail(&failure),
                    None => self.dialect.api().error_event(&failure),
                };
                out.waiting.push(event);
                out.send(&mut self.settle).await;
                None
            }
            Err(failure) => Some((failure, self.settle)),
        }
    }

    /// To the end mark, which is returned, or to whatever else ends the stream.
    async fn relay(&mut self, out: &mut Out) -> Result<Option<Bytes>, Failure> {
        loop {
            loop {
                let item = match self.feed.ready() {
                    Ok(Some(item)) => item,
                    Ok(None) => break,
                    Err(failure) => {
                        // What came before the error in the same bytes leaves first: the end must not depend on how bytes were cut.
                        self.leave(out).await;
                        return Err(failure);
                    }
                };
                match item {
                    Item::Event { frame, data, glance } => {
                        if self.withhold_usage && glance.only_usage {
                            continue;
                        }
                        self.event(frame, data, out)?;
                    }
                    Item::Comment(comment) => self.comment(comment, out)?,
                    Item::Done(frame) => {
                        let mark = self.translation.is_none().then_some(frame.raw);
                        self.finish(out).await?;
                        return Ok(mark);
                    }
                    Item::End => {
                        self.finish(out).await?;
                        return Ok(None);
                    }
                }
                if self.deltas.is_some() && self.windows(out).await? {
                    return Ok(self.end_mark(out));
                }
                out.check_size()?;
            }
            let more = self.more(out).await;
            if let Ok(true) = more {
                continue;
            }
            self.leave(out).await;
            more?;
            self.fill().await?;
        }
    }

    /// An event on its way to the client, through plugins or past them.
    fn event(&mut self, frame: Frame, data: Bytes, out: &mut Out) -> Result<(), Failure> {
        match (&mut self.translation, &mut self.deltas) {
            (None, None) => out.waiting.push(frame.raw),
            (None, Some(deltas)) => deltas.event(frame, &data)?,
            (Some(translation), None) => {
                for delta in translation.decode(&frame, &data) {
                    translation.encode(delta, &mut out.waiting)?;
                }
            }
            (Some(translation), Some(deltas)) => {
                let told = translation.decode(&frame, &data);
                deltas.blocks(translation.raw(&frame), told);
            }
        }
        Ok(())
    }

    /// A comment says that the provider is alive; only a stream in its own frames passes it on as it is.
    fn comment(&mut self, comment: Bytes, out: &mut Out) -> Result<(), Failure> {
        match (&mut self.translation, &mut self.deltas) {
            (None, None) => out.waiting.push(comment),
            (None, Some(deltas)) => deltas.pass(comment),
            (Some(translation), None) => translation.encode(Delta::Ping, &mut out.waiting)?,
            (Some(_), Some(deltas)) => deltas.blocks(None, vec![Delta::Ping]),
        }
        Ok(())
    }

    /// What ends a stream whose every choice a plugin has ended.
    fn end_mark(&mut self, out: &mut Out) -> Option<Bytes> {
        match &mut self.translation {
            Some(translation) => {
                translation.finish(&mut out.waiting);
                None
            }
            None => (self.dialect == Dialect::OpenaiChat).then(|| Bytes::from_static(DONE)),
        }
    }

    /// Waits for the provider. A client that leaves behind the last event has all it wanted.
    async fn fill(&mut self) -> Result<(), Failure> {
        if self.feed.is_done() {
            self.settle.record.usage = self.feed.usage;
            self.settle.replied();
            self.settle.end(Outcome::Ok, 200);
        }
        tokio::select! {
            biased;
            filled = self.feed.fill() => filled,
            () = self.cut.wait() => {
                self.settle.record.broken_off = true;
                Err(stopping())
            }
        }
    }

    /// Takes in what else has arrived. The HTTP client hands over one chunk and then needs its turn to hand over the next, although it has
    /// read them all: giving it that turn saves a write to the client for each.
    async fn more(&mut self, out: &Out) -> Result<bool, Failure> {
        if out.size() >= TOGETHER {
            return Ok(false);
        }
        tokio::task::yield_now().await;
        self.feed.fill_now()
    }

    /// Sends what may leave now.
    async fn leave(&mut self, out: &mut Out) {
        let content = self.content();
        if content {
            self.fill_head(out);
        }
        out.flush(content, &mut self.settle).await;
    }

    /// Before the first bytes: what is to be in the head. From here on plugins cannot set a header.
    fn fill_head(&mut self, out: &Out) {
        if out.open {
            return;
        }
        let mut head = self.head.borrow_mut();
        head.timing = reply::timing(&self.settle, self.feed.waited);
        if let (true, Some(state)) = (self.deltas.is_some(), &mut self.settle.state) {
            state.head_sent = true;
            head.plugins.clone_from(&state.reply_headers);
        }
    }

    /// Whether content may leave, or has left.
    fn content(&self) -> bool {
        self.deltas.as_ref().map_or_else(|| self.feed.had_content(), |deltas| deltas.released())
    }

    /// The provider is done: every piece gets its last window.
    async fn finish(&mut self, out: &mut Out) -> Result<(), Failure> {
        let told = self.translation.as_mut().map(|translation| translation.decode_end()).unwrap_or_default();
        match (&mut self.translation, &mut self.deltas) {
            (Some(translation), None) => {
                told.into_iter().try_for_each(|delta| translation.encode(delta, &mut out.waiting))?;
            }
            (_, Some(deltas)) => {
                // The provider's last word comes behind all text that only the end sets free.
                deltas.end();
                deltas.blocks(None, told);
                self.windows(out).await?;
            }
            (None, None) => {}
        }
        Ok(())
    }

    /// Runs the delta hooks on what is new. True: a plugin ended every choice, so the provider is cancelled and the end is ours.
    async fn windows(&mut self, out: &mut Out) -> Result<bool, Failure> {
        let Some(deltas) = &mut self.deltas else { return Ok(false) };
        let verdict = deltas.run(&mut self.settle.state, &mut self.settle.record).await;
        match &mut self.translation {
            None => deltas.take_output(&mut out.waiting),
            Some(translation) => {
                let mut released = Vec::new();
                deltas.take_blocks(&mut released);
                for released in released {
                    translation.release(released, &mut out.waiting)?;
                }
            }
        }
        match verdict {
            Verdict::Go => Ok(false),
            Verdict::Finished => Ok(true),
            Verdict::Stop(failure) => {
                self.leave(out).await;
                Err(failure)
            }
        }
    }
}
