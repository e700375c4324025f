//! What the client must know of a connection and of a request on its way, and the HTTP library does not tell: whether the connection has
//! answered before, whether it has answered this request, and when the request went out.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Uri;
use http::uri::Authority;
use http_body::{Body, Frame, SizeHint};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::time::{Duration, Instant};
use tower_service::Service;

use super::proxy::{BoxError, Dialed, Dialer};

/// How much of a body the HTTP library gets at a time. It takes no more while it holds this much, so the last part is taken only when the
/// rest is with the operating system, and a slow upload is not mistaken for a slow reply.
const PART: usize = 256 * 1024;

/// One connection's history. Atomics only because the library's types want to cross threads; they never do.
#[derive(Debug, Default)]
pub(super) struct Link {
    replies: AtomicU32,
    /// `replies` when the current request's first byte was written.
    begun: AtomicU32,
    answered: AtomicBool,
    /// When bytes came last, for a connection that carries many requests: nanoseconds since it was opened.
    heard: AtomicU64,
}

impl Link {
    /// The head of a reply has come.
    pub(super) fn replied(&self) {
        self.replies.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether the connection has served a request before and not a byte has come for the current one.
    pub(super) fn is_stale(&self) -> bool {
        self.replies.load(Ordering::Relaxed) > 0 && !self.answered.load(Ordering::Relaxed)
    }

    /// Whether the connection has served a request before.
    pub(super) fn has_replied(&self) -> bool {
        self.replies.load(Ordering::Relaxed) > 0
    }

    /// Whether a byte has come since then, in nanoseconds since the connection was opened.
    pub(super) fn has_heard_since(&self, nanos: u64) -> bool {
        self.heard.load(Ordering::Relaxed) >= nanos
    }

    fn wrote(&self) {
        // Only the first write after a reply begins a request: an interim reply may come between two writes of one.
        let replies = self.replies.load(Ordering::Relaxed);
        if self.begun.swap(replies, Ordering::Relaxed) != replies {
            self.answered.store(false, Ordering::Relaxed);
        }
    }

    fn read(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }
}

/// When the connection last took a part of a request's body.
#[derive(Debug)]
pub(super) struct Sending {
    start: Instant,
    /// Nanoseconds since `start`, plus one; 0 before the first part.
    last: AtomicU64,
}

impl Sending {
    pub(super) fn new(start: Instant) -> Arc<Sending> {
        Arc::new(Sending { start, last: AtomicU64::new(0) })
    }

    pub(super) fn start(&self) -> Instant {
        self.start
    }

    /// `None` while the request waits for a connection.
    pub(super) fn last(&self) -> Option<Instant> {
        let nanos = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.start + Duration::from_nanos(nanos))
    }

    fn took(&self) {
        self.last.store(nanos(self.start).saturating_add(1), Ordering::Relaxed);
    }
}

/// Nanoseconds since then; a `u64` of them is 584 years.
pub(super) fn nanos(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_nanos()).unwrap_or(u64::MAX - 1)
}

/// A request's body.
pub(super) struct Outgoing {
    rest: Bytes,
    sending: Arc<Sending>,
}

impl Outgoing {
    pub(super) fn new(bytes: Bytes, sending: Arc<Sending>) -> Outgoing {
        Outgoing { rest: bytes, sending }
    }
}

impl Body for Outgoing {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let body = self.get_mut();
        body.sending.took();
        if body.rest.is_empty() {
            return Poll::Ready(None);
        }
        let part = body.rest.split_to(body.rest.len().min(PART));
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        // An empty body is never asked for a part; the connection asks this when it takes the request.
        if self.rest.is_empty() {
            self.sending.took();
        }
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
    }
}

/// Connections that were made to see which HTTP a host speaks, and wait for the first request by HTTP/1.1.
#[derive(Clone, Default)]
pub(super) struct Spares(Arc<Mutex<VecDeque<(Authority, Linked)>>>);

/// Usually one is taken as soon as it is there.
const MOST_SPARES: usize = 8;

impl Spares {
    pub(super) fn put(&self, authority: Authority, linked: Linked) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.len() >= MOST_SPARES {
            waiting.pop_front();
        }
        waiting.push_back((authority, linked));
    }

    fn take(&self, address: &Uri) -> Option<Linked> {
        if address.scheme() != Some(&http::uri::Scheme::HTTPS) {
            return None;
        }
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = waiting.iter().position(|(authority, _)| Some(authority) == address.authority())?;
        waiting.remove(at).map(|(_, linked)| linked)
    }
}

/// Makes connections that keep their history.
#[derive(Clone)]
pub(super) struct Connector {
    inner: HttpsConnector<Dialer>,
    spares: Option<Spares>,
}

impl Connector {
    /// `spares` go before new connections.
    pub(super) fn new(inner: HttpsConnector<Dialer>, spares: Option<Spares>) -> Connector {
        Connector { inner, spares }
    }
}

impl Service<Uri> for Connector {
    type Response = Linked;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Linked, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        if let Some(spare) = self.spares.as_ref().and_then(|spares| spares.take(&address)) {
            return Box::pin(std::future::ready(Ok(spare)));
        }
        let connecting = self.inner.call(address);
        Box::pin(async move { Ok(Linked { stream: connecting.await?, link: Arc::default(), since: None }) })
    }
}

/// A connection whose bytes are noted in its [`Link`].
pub(super) struct Linked {
    stream: MaybeHttpsStream<Dialed>,
    link: Arc<Link>,
    /// Of a connection that carries many requests.
    since: Option<Instant>,
}

impl Linked {
    /// Notes from now on when bytes come. A connection that carries one request at a time has no use for it.
    pub(super) fn note_times(&mut self, since: Instant) -> Arc<Link> {
        self.since = Some(since);
        Arc::clone(&self.link)
    }

    /// Whether TLS found that the other end speaks HTTP/2.
    pub(super) fn speaks_two(&self) -> bool {
        self.stream.connected().is_negotiated_h2()
    }

    pub(super) fn is_proxied(&self) -> bool {
        self.stream.connected().is_proxied()
    }
}

impl Connection for Linked {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(Arc::clone(&self.link))
    }
}

impl Read for Linked {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        mut target: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        // SAFETY: the bytes behind the cursor are only handed to a `ReadBuf`, which never makes them uninitialised.
        let mut space = hyper::rt::ReadBuf::uninit(unsafe { target.as_mut() });
        ready!(Pin::new(&mut self.stream).poll_read(context, space.unfilled()))?;
        let count = space.filled().len();
        if count > 0 {
            self.link.read();
            if let Some(since) = self.since {
                self.link.heard.store(nanos(since), Ordering::Relaxed);
            }
        }
        // SAFETY: the read has initialised the first `count` bytes behind the cursor.
        unsafe { target.advance(count) };
        Poll::Ready(Ok(()))
    }
}

impl Write for Linked {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.link.wrote();
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.link.wrote();
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}
