//! One client's connection: what hyper is shown of its bytes, and which clocks run over it.
//!
//! [`Guard`] stands between the socket and hyper. It hands on one checked head and exactly the body that the head announces, and keeps
//! whatever a client sends behind it. So no byte is read by rules other than `head.rs`'s, a refused head gets a reply in the client's
//! shape (hyper's own are empty), and a client that leaves is noticed although bytes of its next request wait. It is not a parser of its
//! own: hyper still parses every head and body.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

use super::Limits;
use super::head::{self, Framing, Refusal};

/// What hyper reads in place of a refused head. Its reply waits for its turn behind the replies of earlier requests.
const REFUSED: &[u8] = b"GET / HTTP/1.1\r\nhost: refused\r\nconnection: close\r\n\r\n";

/// How much is read at a time while a head is awaited: a usual request with its body in one read.
const READ: usize = 8 * 1024;

/// How long a closing connection is read on after a reply that did not wait for the whole request. Closing at once would reset the
/// connection, and the client would lose the reply.
const LINGER: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Between calls, since then.
    Idle(Instant),
    /// A head is incomplete; its first byte came then.
    Head(Instant),
    /// From a complete head to the last byte of the reply's body. The call's own deadlines run.
    Call,
    /// The reply is out, the rest of the request is read away, since then.
    Closing(Instant),
}

/// What guard, service and clocks of one connection know of each other. All on one thread.
pub(super) struct Shared {
    phase: Cell<Phase>,
    started: Cell<Instant>,
    /// How long the rest of the current request's head took to come.
    head_took: Cell<Duration>,
    refusal: Cell<Option<Refusal>>,
    chunked: Cell<bool>,
    linger: Cell<bool>,
    stalled: Cell<Option<Instant>>,
    /// The guard holds bytes that hyper may have once the call is over, and hyper does not know to ask.
    held: Cell<bool>,
    draining: Cell<bool>,
    late: Cell<bool>,
    last: Cell<bool>,
    task: RefCell<Option<Waker>>,
}

impl Shared {
    pub(super) fn new() -> Rc<Shared> {
        let now = Instant::now();
        Rc::new(Shared {
            phase: Cell::new(Phase::Idle(now)),
            started: Cell::new(now),
            head_took: Cell::new(Duration::ZERO),
            refusal: Cell::new(None),
            chunked: Cell::new(false),
            linger: Cell::new(false),
            stalled: Cell::new(None),
            held: Cell::new(false),
            draining: Cell::new(false),
            late: Cell::new(false),
            last: Cell::new(false),
            task: RefCell::new(None),
        })
    }

    /// When the first byte of the current request's head was seen.
    pub(super) fn started(&self) -> Instant {
        self.started.get()
    }

    pub(super) fn head_took(&self) -> Duration {
        self.head_took.get()
    }

    /// Why the head was refused in whose place the current request stands.
    pub(super) fn take_refusal(&self) -> Option<Refusal> {
        self.refusal.take()
    }

    /// Whether the connection must close after the current reply: behind a chunked body nobody counts the bytes for the guard.
    pub(super) fn must_close(&self) -> bool {
        self.chunked.get() || self.late.get() || self.last.get()
    }

    /// Accepted while the server drains.
    pub(super) fn set_late(&self) {
        self.late.set(true);
    }

    /// The next reply is the last: another process serves what comes after.
    pub(super) fn set_last(&self) {
        self.last.set(true);
    }

    pub(super) fn is_late(&self) -> bool {
        self.late.get()
    }

    /// The reply goes out before the request was read to its end.
    pub(super) fn linger(&self) {
        self.linger.set(true);
    }

    /// Asks the connection to close after its current call, or now if it has none.
    pub(super) fn drain(&self) {
        self.draining.set(true);
        self.wake();
    }

    fn wake(&self) {
        if let Some(task) = self.task.borrow().as_ref() {
            task.wake_by_ref();
        }
    }

    fn due(&self, limits: &Limits) -> Option<Instant> {
        match (self.phase.get(), self.stalled.get()) {
            (Phase::Closing(since), _) => Some(since + LINGER),
            (_, Some(since)) => Some(since + limits.stall),
            (Phase::Idle(since), None) => Some(since + limits.idle),
            (Phase::Head(first), None) => Some(first + limits.head),
            (Phase::Call, None) => None,
        }
    }
}

/// Held from a complete head to the reply's last byte; its drop ends the call for the connection.
pub(super) struct Turn(Rc<Shared>);

impl Turn {
    pub(super) fn begin(shared: &Rc<Shared>) -> Turn {
        Turn(Rc::clone(shared))
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if matches!(self.0.phase.get(), Phase::Call) {
            self.0.phase.set(Phase::Idle(Instant::now()));
        }
        if self.0.held.take() {
            self.0.wake();
        }
    }
}

/// Runs the connection to its end: hyper's part, the connection's clocks, and the request to drain.
pub(super) async fn drive<T, S, B>(
    connection: hyper::server::conn::http1::Connection<Guard<T>, S>,
    shared: &Shared,
    limits: &Limits,
) where
    T: AsyncRead + AsyncWrite + Unpin,
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut connection = pin!(connection);
    let mut clock = pin!(tokio::time::sleep(limits.idle));
    std::future::poll_fn(move |context| {
        if shared.task.borrow().is_none() {
            *shared.task.borrow_mut() = Some(context.waker().clone());
        }
        loop {
            if shared.draining.take() {
                connection.as_mut().graceful_shutdown();
            }
            if let Poll::Ready(end) = connection.as_mut().poll(context) {
                if let Err(error) = end {
                    tracing::debug!(%error, "client connection ended");
                }
                return Poll::Ready(());
            }
            let Some(due) = shared.due(limits) else { return Poll::Pending };
            if clock.deadline().into_std() > due {
                clock.as_mut().reset(due.into());
            }
            ready!(clock.as_mut().poll(context));
            if Instant::now() < due {
                clock.as_mut().reset(due.into());
                ready!(clock.as_mut().poll(context));
            }
            match (shared.phase.get(), shared.stalled.get()) {
                (Phase::Closing(_), _) | (_, Some(_)) | (Phase::Call, None) => return Poll::Ready(()),
                (Phase::Idle(_), None) => {
                    connection.as_mut().graceful_shutdown();
                    shared.phase.set(Phase::Closing(Instant::now()));
                }
                (Phase::Head(_), None) => {
                    shared.refusal.set(Some(head::TOO_SLOW));
                    shared.phase.set(Phase::Idle(Instant::now()));
                }
            }
        }
    })
    .await;
}

enum State {
    Head,
    /// So many bytes of the buffer are checked; behind them so many of the body are still to come.
    Checked(usize, Framing),
    Body(u64),
    /// A chunked body: hyper finds its end, and the connection closes behind it.
    Chunked,
    Refused,
}

/// The socket, or what TLS makes of it, as hyper sees it.
pub(super) struct Guard<T> {
    io: TokioIo<T>,
    buffer: BytesMut,
    seen: usize,
    state: State,
    head_bytes: usize,
    shared: Rc<Shared>,
    shut: bool,
}

impl<T: AsyncRead + Unpin> Guard<T> {
    pub(super) fn new(stream: T, head_bytes: usize, shared: Rc<Shared>) -> Guard<T> {
        let io = TokioIo::new(stream);
        Guard { io, buffer: BytesMut::new(), seen: 0, state: State::Head, head_bytes, shared, shut: false }
    }

    /// Looks for a whole head in the buffer; true if the state has changed.
    fn advance(&mut self) -> bool {
        if let Some(refusal) = self.shared.take_refusal() {
            return self.refuse(refusal);
        }
        // An empty line before a request line is an old client's mistake that everybody skips.
        while self.seen == 0 && self.buffer.starts_with(b"\r\n") {
            self.buffer.advance(2);
        }
        if self.buffer.is_empty() {
            return false;
        }
        if let Phase::Idle(_) = self.shared.phase.get() {
            let now = Instant::now();
            self.shared.started.set(now);
            self.shared.phase.set(Phase::Head(now));
        }
        let end = match head::find_end(&self.buffer, self.seen) {
            Ok(Some(end)) if end <= self.head_bytes => end,
            Ok(None) if self.buffer.len() < self.head_bytes => {
                self.seen = self.buffer.len();
                return false;
            }
            Ok(_) => return self.refuse(head::TOO_LARGE),
            Err(refusal) => return self.refuse(refusal),
        };
        match head::inspect(self.buffer.get(..end).unwrap_or_default()) {
            Ok(Framing::Length(length)) => {
                let here = usize::try_from(length).unwrap_or(usize::MAX).min(self.buffer.len() - end);
                self.state = State::Checked(end + here, Framing::Length(length - here as u64));
            }
            Ok(Framing::Chunked) => {
                self.shared.chunked.set(true);
                self.state = State::Checked(self.buffer.len(), Framing::Chunked);
            }
            Err(refusal) => return self.refuse(refusal),
        }
        self.shared.phase.set(Phase::Call);
        let in_one = self.seen == 0;
        self.shared.head_took.set(if in_one { Duration::ZERO } else { self.shared.started.get().elapsed() });
        self.seen = 0;
        true
    }

    fn refuse(&mut self, refusal: Refusal) -> bool {
        self.shared.refusal.set(Some(refusal));
        self.shared.phase.set(Phase::Call);
        self.shared.linger();
        self.buffer.clear();
        self.buffer.extend_from_slice(REFUSED);
        self.state = State::Checked(REFUSED.len(), Framing::Length(0));
        true
    }

    /// Copies at most `limit` buffered bytes to hyper.
    fn hand_over(&mut self, limit: usize, target: &mut ReadBufCursor<'_>) -> usize {
        let count = limit.min(self.buffer.len()).min(target.remaining());
        target.put_slice(self.buffer.get(..count).unwrap_or_default());
        self.buffer.advance(count);
        count
    }

    /// Reads at most `limit` bytes from the socket straight into hyper's buffer; 0 is the end.
    fn pass(
        &mut self,
        context: &mut Context<'_>,
        limit: usize,
        target: &mut ReadBufCursor<'_>,
    ) -> Poll<io::Result<usize>> {
        // SAFETY: the bytes behind the cursor are only handed to a `ReadBuf`, which never makes them uninitialised.
        let mut space = ReadBuf::uninit(unsafe { target.as_mut() });
        let mut space = space.take(limit);
        ready!(Pin::new(self.io.inner_mut()).poll_read(context, &mut space))?;
        let count = space.filled().len();
        // SAFETY: the read has initialised the first `count` bytes behind the cursor.
        unsafe { target.advance(count) };
        Poll::Ready(Ok(count))
    }
}

impl<T: AsyncRead + Unpin> Read for Guard<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut target: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        loop {
            match guard.state {
                State::Head => {
                    let calling = matches!(guard.shared.phase.get(), Phase::Call);
                    if !calling && guard.advance() {
                        continue;
                    }
                    guard.shared.held.set(calling && !guard.buffer.is_empty());
                    if guard.buffer.len() >= guard.head_bytes {
                        return Poll::Pending;
                    }
                    guard.buffer.reserve(READ);
                    let count = ready!(pin!(guard.io.inner_mut().read_buf(&mut guard.buffer)).poll(context))?;
                    if count == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                State::Checked(left, framing) => {
                    let left = left - guard.hand_over(left, &mut target);
                    guard.state = match framing {
                        _ if left > 0 => State::Checked(left, framing),
                        _ if guard.shared.refusal.get().is_some() => State::Refused,
                        Framing::Length(0) => State::Head,
                        Framing::Length(more) => State::Body(more),
                        Framing::Chunked => State::Chunked,
                    };
                    return Poll::Ready(Ok(()));
                }
                State::Body(left) => {
                    let limit = usize::try_from(left).unwrap_or(usize::MAX);
                    let count = ready!(guard.pass(context, limit, &mut target))? as u64;
                    guard.state = if count == left { State::Head } else { State::Body(left - count) };
                    return Poll::Ready(Ok(()));
                }
                State::Chunked => {
                    ready!(guard.pass(context, usize::MAX, &mut target))?;
                    return Poll::Ready(Ok(()));
                }
                // Nothing behind a refused head is read as a request; not even its end, which would take back the reply.
                State::Refused => return Poll::Pending,
            }
        }
    }
}

impl<T> Guard<T> {
    /// Remembers since when the client has taken no byte.
    fn note<R>(&self, poll: Poll<R>) -> Poll<R> {
        let stalled = &self.shared.stalled;
        match poll {
            Poll::Ready(_) if stalled.get().is_some() => stalled.set(None),
            Poll::Pending if stalled.get().is_none() => stalled.set(Some(Instant::now())),
            _ => {}
        }
        poll
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> Write for Guard<T> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write(context, bytes);
        self.note(poll)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS takes bytes before the socket does, so that only here it shows that a client takes none.
        let poll = Pin::new(&mut self.io).poll_flush(context);
        self.note(poll)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let guard = self.get_mut();
        if !guard.shut {
            ready!(Pin::new(&mut guard.io).poll_shutdown(context))?;
            guard.shut = true;
            guard.shared.phase.set(Phase::Closing(Instant::now()));
        }
        while guard.shared.linger.get() {
            guard.buffer.clear();
            guard.buffer.reserve(READ);
            if ready!(pin!(guard.io.inner_mut().read_buf(&mut guard.buffer)).poll(context))? == 0 {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.io).poll_write_vectored(context, slices);
        self.note(poll)
    }
}
