//! HTTP/2 to providers: connections that carry many calls at once, of one serving thread.
//!
//! Whether a host speaks it is found out by connecting, once for all calls that wait for the answer. Calls are spread so that no connection
//! carries more than [`MOST_STREAMS`]: a lost packet holds up every stream of its connection, and one thread of the provider serves them
//! all. This module does not repeat requests and knows no deadline but that of a connection; `client` does and does.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;
use std::time::Duration;

use futures_util::future::{FutureExt as _, LocalBoxFuture, Shared, WeakShared};
use http::uri::{Authority, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::TrySendError;
use hyper::client::conn::http2::{Builder, Connection, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::time::Instant;
use tower_service::Service as _;

use super::client::{SendError, unconnected};
use super::link::{Connector, Link, Linked, Outgoing, Spares, nanos};
use crate::config::Http;

/// Calls at once on one connection. Servers allow about 100.
pub(super) const MOST_STREAMS: u32 = 80;
/// Connections to one host; with all of them full, the least loaded takes more.
const MOST_CARRIERS: usize = 16;
/// A configuration has some dozens.
const MOST_HOSTS: usize = 256;
/// A host without HTTP/2 is asked again after that.
const RELEARN: Duration = Duration::from_secs(600);
/// A connection without a call for one to two of these is closed: before most servers and load balancers do it (60 s).
const IDLE: Duration = Duration::from_secs(27);
/// With streams open and nothing heard for so long, the other end is asked whether it is there...
const PING_AFTER: Duration = Duration::from_secs(15);
/// ...and has so long to say so; else the connection is given up, with all that is on it.
const PING_LIMIT: Duration = Duration::from_secs(10);
/// What a provider may send of one stream before its client has taken it, in bytes.
const STREAM_WINDOW: u32 = 256 * 1024;
/// Of all streams together: clients that take nothing do not hold up the others.
const CONNECTION_WINDOW: u32 = MOST_STREAMS * STREAM_WINDOW;
/// Of a request's body at a time, so that a slow upload is not mistaken for a slow reply.
const SEND_BUFFER: usize = 256 * 1024;
/// A reply's head, in bytes.
const LARGEST_HEAD: u32 = 64 * 1024;

pub(super) type Sent = Result<Response<Incoming>, TrySendError<Request<Outgoing>>>;

type Opening = LocalBoxFuture<'static, Result<(), SendError>>;

/// The hosts that may speak HTTP/2.
pub(super) struct Hosts {
    known: RefCell<Vec<Rc<Host>>>,
    /// To hosts that may choose.
    any: Connector,
    /// To hosts that must speak HTTP/2.
    two: Connector,
    spares: Spares,
}

#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    Unknown,
    One { since: Instant },
    Two,
}

/// A host, what it speaks, and the connections to it.
pub(super) struct Host {
    scheme: Scheme,
    authority: Authority,
    wish: Http,
    speaks: Cell<Speaks>,
    carriers: RefCell<Vec<Carrier>>,
    opening: RefCell<Option<WeakShared<Opening>>>,
    connector: Connector,
    spares: Spares,
}

/// One connection.
#[derive(Clone)]
pub(super) struct Carrier {
    sender: SendRequest<Outgoing>,
    link: Arc<Link>,
    opened: Instant,
    load: Arc<Load>,
}

/// How much a connection carries. Atomics only because the task that drives it may cross threads by its type; it never does.
#[derive(Debug)]
struct Load {
    streams: AtomicU32,
    /// The provider's own limit.
    allowed: AtomicU32,
    /// Counts calls, to see that there are none.
    calls: AtomicU32,
    /// It takes no further call.
    retired: AtomicBool,
}

/// A call's place on a connection, until its reply's body has ended or is dropped.
#[derive(Debug)]
pub(super) struct Place(Arc<Load>);

impl Drop for Place {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a host is called.
pub(super) enum Way {
    Carrier(Carrier, Place),
    /// By HTTP/1.1.
    One,
}

impl Hosts {
    /// `any` and `two` offer HTTP/2 where the scheme lets them; connections that turn out to speak HTTP/1.1 go to `spares`.
    pub(super) fn new(any: Connector, two: Connector, spares: Spares) -> Hosts {
        Hosts { known: RefCell::default(), any, two, spares }
    }

    /// The host of an address; `None` for what no host needs to be kept for, because it is called by HTTP/1.1.
    pub(super) fn of(&self, uri: &Uri, wish: Http) -> Option<Rc<Host>> {
        let scheme = uri.scheme()?;
        if wish == Http::One || (wish == Http::Auto && *scheme != Scheme::HTTPS) {
            return None;
        }
        let authority = uri.authority()?;
        let mut known = self.known.borrow_mut();
        let found =
            known.iter().find(|host| host.wish == wish && host.authority == *authority && host.scheme == *scheme);
        if let Some(host) = found {
            return (!host.is_one()).then(|| Rc::clone(host));
        }
        if known.len() >= MOST_HOSTS {
            // Those of configurations that are gone; calls under way keep theirs.
            known.clear();
        }
        let host = Rc::new(Host {
            scheme: scheme.clone(),
            authority: authority.clone(),
            wish,
            speaks: Cell::new(Speaks::Unknown),
            carriers: RefCell::default(),
            opening: RefCell::default(),
            connector: if wish == Http::Two { self.two.clone() } else { self.any.clone() },
            spares: self.spares.clone(),
        });
        known.push(Rc::clone(&host));
        Some(host)
    }
}

impl Host {
    fn is_one(&self) -> bool {
        match self.speaks.get() {
            Speaks::One { since } if since.elapsed() < RELEARN => true,
            Speaks::One { .. } => {
                self.speaks.set(Speaks::Unknown);
                false
            }
            Speaks::Unknown | Speaks::Two => false,
        }
    }

    /// The provider wants HTTP/1.1, it says; nothing can be done where the configuration wants HTTP/2.
    pub(super) fn wants_one(&self) -> bool {
        if self.wish == Http::Auto {
            self.speaks.set(Speaks::One { since: Instant::now() });
        }
        self.wish == Http::Auto
    }

    /// A place on a connection with room, for which one is opened if need be.
    ///
    /// # Errors
    /// No connection came about by `until`.
    pub(super) async fn way(self: &Rc<Host>, until: Instant) -> Result<Way, SendError> {
        // Each round adds a connection; the last ones only where connections end as soon as they are there.
        for _ in 0..=MOST_CARRIERS {
            if let Some((carrier, place)) = self.with_room() {
                return Ok(Way::Carrier(carrier, place));
            }
            if matches!(self.speaks.get(), Speaks::One { .. }) {
                return Ok(Way::One);
            }
            match tokio::time::timeout_at(until, self.opening()).await {
                Ok(opened) => opened?,
                Err(_) => {
                    let detail = "no HTTP/2 connection in time".to_owned();
                    return Err(SendError::Connect { timeout: true, detail });
                }
            }
        }
        let detail = "HTTP/2 connections end as soon as they are opened".to_owned();
        Err(SendError::Connect { timeout: false, detail })
    }

    fn with_room(&self) -> Option<(Carrier, Place)> {
        let mut carriers = self.carriers.borrow_mut();
        carriers.retain(Carrier::is_good);
        let found = match carriers.iter().find(|carrier| carrier.load.has_room()) {
            None if carriers.len() >= MOST_CARRIERS => {
                carriers.iter().min_by_key(|carrier| carrier.load.streams.load(Ordering::Relaxed))
            }
            found => found,
        }?;
        Some((found.clone(), found.load.enter()))
    }

    /// The attempt to connect that is under way, or a new one. It goes on while anybody waits for it.
    fn opening(self: &Rc<Host>) -> Shared<Opening> {
        let mut opening = self.opening.borrow_mut();
        let running = opening.as_ref().and_then(WeakShared::upgrade).filter(|running| running.peek().is_none());
        running.unwrap_or_else(|| {
            let host = Rc::clone(self);
            let new = async move { Box::pin(host.open()).await }.boxed_local().shared();
            *opening = new.downgrade();
            new
        })
    }

    async fn open(&self) -> Result<(), SendError> {
        let address = Uri::builder().scheme(self.scheme.clone()).authority(self.authority.clone()).path_and_query("/");
        let address =
            address.build().map_err(|error| SendError::Connect { timeout: false, detail: error.to_string() })?;
        let linked = self.connector.clone().call(address).await.map_err(|error| unconnected(&*error))?;
        let plain = self.scheme != Scheme::HTTPS;
        if plain && linked.is_proxied() {
            let detail = "`http: 2` without TLS does not pass a proxy: name the host in network.no_proxy".to_owned();
            return Err(SendError::Connect { timeout: false, detail });
        }
        if linked.speaks_two() || plain {
            return self.carry(linked).await;
        }
        if self.wish == Http::Two {
            let detail = "the other end does not speak HTTP/2: take `http: 2` out of the provider".to_owned();
            return Err(SendError::Connect { timeout: false, detail });
        }
        self.speaks.set(Speaks::One { since: Instant::now() });
        self.spares.put(self.authority.clone(), linked);
        Ok(())
    }

    async fn carry(&self, mut linked: Linked) -> Result<(), SendError> {
        let opened = Instant::now();
        let link = linked.note_times(opened);
        let handshake = builder().handshake(linked).await;
        let (sender, connection) = handshake.map_err(|error| unconnected(&error))?;
        let load = Arc::new(Load {
            streams: AtomicU32::new(0),
            allowed: AtomicU32::new(MOST_STREAMS),
            calls: AtomicU32::new(0),
            retired: AtomicBool::new(false),
        });
        tokio::spawn(drive(connection, Arc::clone(&load)));
        self.speaks.set(Speaks::Two);
        self.carriers.borrow_mut().push(Carrier { sender, link, opened, load });
        Ok(())
    }
}

fn builder() -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .initial_max_send_streams(MOST_STREAMS as usize)
        .max_send_buf_size(SEND_BUFFER)
        .max_header_list_size(LARGEST_HEAD)
        .keep_alive_interval(PING_AFTER)
        .keep_alive_timeout(PING_LIMIT);
    builder
}

/// Runs a connection until it ends, or has had nothing to do for a while.
async fn drive(connection: Connection<Linked, Outgoing, TokioExecutor>, load: Arc<Load>) {
    let mut connection = pin!(connection);
    let mut clock = pin!(tokio::time::sleep(IDLE));
    let mut calls = 0;
    std::future::poll_fn(|context| {
        let ended = connection.as_mut().poll(context);
        load.allow(connection.current_max_send_streams());
        if let Poll::Ready(end) = ended {
            if let Err(error) = end {
                tracing::debug!(%error, "an HTTP/2 connection to a provider ended");
            }
            return Poll::Ready(());
        }
        while clock.as_mut().poll(context).is_ready() {
            let now = load.calls.load(Ordering::Relaxed);
            if now == calls && load.streams.load(Ordering::Relaxed) == 0 {
                return Poll::Ready(());
            }
            calls = now;
            clock.as_mut().reset(Instant::now() + IDLE);
        }
        Poll::Pending
    })
    .await;
    load.retired.store(true, Ordering::Relaxed);
}

impl Load {
    fn allow(&self, streams: usize) {
        let streams = u32::try_from(streams).unwrap_or(u32::MAX).clamp(1, MOST_STREAMS);
        self.allowed.store(streams, Ordering::Relaxed);
    }

    fn has_room(&self) -> bool {
        self.streams.load(Ordering::Relaxed) < self.allowed.load(Ordering::Relaxed)
    }

    fn enter(self: &Arc<Load>) -> Place {
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.calls.fetch_add(1, Ordering::Relaxed);
        Place(Arc::clone(self))
    }
}

impl Carrier {
    fn is_good(&self) -> bool {
        !self.load.retired.load(Ordering::Relaxed) && !self.sender.is_closed()
    }

    /// It takes no further call; those on it go on.
    pub(super) fn retire(&self) {
        self.load.retired.store(true, Ordering::Relaxed);
    }

    /// The head of a reply has come.
    pub(super) fn replied(&self) {
        self.link.replied();
    }

    /// The connection's age, to ask later whether anything has come since.
    pub(super) fn age(&self) -> u64 {
        nanos(self.opened)
    }

    /// Whether anything has come since that age.
    pub(super) fn has_heard_since(&self, age: u64) -> bool {
        self.link.has_heard_since(age)
    }

    /// Whether the connection has served a request before and nothing has come since that age: it may have ended long ago.
    pub(super) fn is_silent_since(&self, age: u64) -> bool {
        self.link.has_replied() && !self.link.has_heard_since(age)
    }

    pub(super) fn send(&mut self, request: Request<Outgoing>) -> impl Future<Output = Sent> + use<> {
        self.sender.try_send_request(request)
    }
}

/// What becomes of a request that was lost on a connection of this kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It may have been served.
    Unclear,
    /// The provider says, or it is known, that nobody has looked at it.
    Unseen,
    /// Unseen, and the provider wants it by HTTP/1.1.
    WantsOne,
    /// What came is not HTTP/2.
    Garbled,
}

impl Fate {
    /// `kept`: the request never left.
    pub(super) fn of(error: &hyper::Error, kept: bool) -> Fate {
        let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<h2::Error>());
        match cause {
            _ if kept => Fate::Unseen,
            // Only requests beyond the last one that the provider served end by its GOAWAY.
            Some(cause) if cause.is_remote() && cause.is_go_away() => Fate::Unseen,
            Some(cause) if cause.is_remote() && cause.reason() == Some(h2::Reason::REFUSED_STREAM) => Fate::Unseen,
            Some(cause) if cause.is_remote() && cause.reason() == Some(h2::Reason::HTTP_1_1_REQUIRED) => Fate::WantsOne,
            Some(cause) if cause.is_library() => Fate::Garbled,
            _ => Fate::Unclear,
        }
    }
}
