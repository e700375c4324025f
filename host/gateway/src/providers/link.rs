//! What the client must know of a connection and of a request on its way, and the HTTP library does not tell: whether the connection has
//! answered before, whether it has answered this request, and when the request went out.

use std::convert::Infallible;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::Uri;
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

    /// `None` while the request waits for a connection.
    pub(super) fn last(&self) -> Option<Instant> {
        let nanos = self.last.load(Ordering::Relaxed).checked_sub(1)?;
        Some(self.start + Duration::from_nanos(nanos))
    }

    fn took(&self) {
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX - 1);
        self.last.store(nanos.saturating_add(1), Ordering::Relaxed);
    }
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

/// Makes connections that keep their history.
#[derive(Clone)]
pub(super) struct Connector(HttpsConnector<Dialer>);

impl Connector {
    pub(super) fn new(inner: HttpsConnector<Dialer>) -> Connector {
        Connector(inner)
    }
}

impl Service<Uri> for Connector {
    type Response = Linked;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Linked, BoxError>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, address: Uri) -> Self::Future {
        let connecting = self.0.call(address);
        Box::pin(async move { Ok(Linked { stream: connecting.await?, link: Arc::default() }) })
    }
}

/// A connection whose bytes are noted in its [`Link`].
pub(super) struct Linked {
    stream: MaybeHttpsStream<Dialed>,
    link: Arc<Link>,
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
