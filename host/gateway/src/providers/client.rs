//! The HTTP client of the hot path: hyper-util's pooled client for HTTP/1.1, connections of `multiplex` for HTTP/2, both over TLS, straight
//! or through a proxy.
//!
//! It keeps connections, bounds how long connecting and answering may take, and repeats what nobody has looked at. It does not follow
//! redirects, retry, decode or read bodies, and it adds no header but `host` and a plain proxy's `proxy-authorization`. One for each
//! serving thread; dropping a future or a body of it closes the connection, or resets the stream, at once.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::{Extensions, Request, Response};
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as Pooled, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::Instant;

use super::link::{Connector, Link, Outgoing, Sending, Spares};
use super::multiplex::{Fate, Host, Hosts, Place, Way};
use super::proxy::{self, Dialer};
use super::tls;
use crate::config::{Http, Network};

/// Below the idle limit of most servers and load balancers (60 s), so that they rarely close a connection that is about to be used.
const IDLE: Duration = Duration::from_secs(55);
/// For each host and serving thread.
const IDLE_PER_HOST: usize = 64;
/// How long the operating system waits on a silent connection before it asks whether the other end is still there.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// A longer chain of causes is cut, in bytes.
const LONGEST_DETAIL: usize = 400;

/// Why there is no reply. The details are for the log: they may hold addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SendError {
    /// No connection: the name, the address, the proxy or TLS failed, or all of it together took too long.
    Connect { timeout: bool, detail: String },
    /// The request is out, and no head of a reply has come in time. Interim replies do not count.
    HeadersTimeout,
    /// The connection ended before a whole head.
    Reset { detail: String },
    /// What came is not HTTP.
    Protocol { detail: String },
}

/// See the module.
pub struct Client {
    pooled: Pooled<Connector, Outgoing>,
    /// For repeats: keeps no connection, so each request gets a fresh one.
    fresh: Pooled<Connector, Outgoing>,
    /// Those that may speak HTTP/2.
    hosts: Hosts,
    network: Arc<Network>,
}

impl Client {
    /// A client that reads the certificate authorities itself; threads better share them, see [`Client::with_trust`].
    ///
    /// # Errors
    /// A certificate file that cannot be used.
    pub fn new(network: &Network) -> Result<Client, String> {
        Ok(Client::with_trust(network, tls::trust(&network.ca)?))
    }

    /// A client that believes the authorities of [`tls::trust`].
    pub fn with_trust(network: &Network, trust: Arc<ClientConfig>) -> Client {
        let network = Arc::new(network.clone());
        let mut direct = HttpConnector::new();
        direct.enforce_http(false);
        direct.set_nodelay(true);
        direct.set_keepalive(Some(KEEPALIVE));
        let to_proxy = HttpsConnector::from((direct.clone(), Arc::clone(&trust)));
        let dialer = Dialer::new(direct, to_proxy, Arc::clone(&network));
        let spares = Spares::default();
        let connector = |offer: &[&[u8]], spares| {
            let trust = if offer.is_empty() { Arc::clone(&trust) } else { Arc::new(tls::offering(&trust, offer)) };
            Connector::new(HttpsConnector::from((dialer.clone(), trust)), spares)
        };
        let hosts = Hosts::new(connector(&[b"h2", b"http/1.1"], None), connector(&[b"h2"], None), spares.clone());
        let mut builder = Pooled::builder(TokioExecutor::new());
        builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        let fresh = builder.pool_max_idle_per_host(0).build(connector(&[], None));
        let pooled = builder.pool_max_idle_per_host(IDLE_PER_HOST).build(connector(&[], Some(spares)));
        Client { pooled, fresh, hosts, network }
    }

    /// Sends the request that `make` makes, with an absolute address, and waits for the head of the reply.
    ///
    /// `connect` bounds everything until the request goes out, TLS, proxy and the wait for a place on a shared connection included;
    /// `headers` counts from when it has gone out. A request that nobody has looked at is made and sent once more, on another connection: it
    /// died on a reused connection before any byte of its reply came, which the provider closed at that moment, or, by HTTP/2, the provider
    /// says so. Nothing else is repeated.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(
        &self,
        make: impl Fn() -> Request<Bytes>,
        http: Http,
        connect: Duration,
        headers: Duration,
    ) -> Result<Response<Body>, SendError> {
        let mut request = make();
        if let Some(host) = self.hosts.of(request.uri(), http) {
            // Boxed, so that a call by HTTP/1.1 is no larger for it.
            match Box::pin(carried(&host, request, &make, connect, headers)).await {
                Carried::Ended(result) => return result,
                Carried::WantsOne(unsent) => request = unsent,
            }
        }
        let request = self.through_proxy(request);
        match once(&self.pooled, request, connect, headers).await {
            Err(Lost { stale: true, .. }) => {}
            result => return result.map(Body::of).map_err(|lost| lost.error),
        }
        let repeat = once(&self.fresh, self.through_proxy(make()), connect, headers).await;
        repeat.map(Body::of).map_err(|lost| lost.error)
    }

    /// A plain request through a proxy carries the proxy's own credentials; a tunnel asks for its way before.
    fn through_proxy(&self, mut request: Request<Bytes>) -> Request<Bytes> {
        if request.uri().scheme_str() == Some("http")
            && let Some(proxy) = proxy::for_address(&self.network, request.uri())
            && let Some(authorization) = proxy::authorization(proxy)
        {
            request.headers_mut().insert(PROXY_AUTHORIZATION, authorization);
        }
        request
    }
}

/// A reply's body as it comes from the provider. Dropping it ends the call at the provider: its stream, or its whole connection.
#[derive(Debug)]
pub struct Body {
    incoming: Incoming,
    /// By HTTP/2, until the body has ended.
    place: Option<Place>,
}

impl Body {
    fn of(reply: Response<Incoming>) -> Response<Body> {
        reply.map(|incoming| Body { incoming, place: None })
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(context));
        if frame.is_none() {
            self.place = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}

struct Lost {
    error: SendError,
    /// The request died on a reused connection without a byte of a reply.
    stale: bool,
}

impl From<SendError> for Lost {
    fn from(error: SendError) -> Lost {
        Lost { error, stale: false }
    }
}

/// One try by HTTP/1.1.
async fn once(
    client: &Pooled<Connector, Outgoing>,
    request: Request<Bytes>,
    connect: Duration,
    headers: Duration,
) -> Result<Response<Incoming>, Lost> {
    let sending = Sending::new(Instant::now());
    let watched = Arc::clone(&sending);
    let reply = client.request(request.map(|body| Outgoing::new(body, sending)));
    match timed(reply, &watched, connect, headers).await? {
        Ok(mut reply) => {
            if let Some(link) = reply.extensions_mut().remove::<Arc<Link>>() {
                link.replied();
            }
            Ok(reply)
        }
        Err(error) => Err(classify(&error)),
    }
}

/// What came of a request by HTTP/2.
enum Carried {
    Ended(Result<Response<Body>, SendError>),
    /// It is to go by HTTP/1.1.
    WantsOne(Request<Bytes>),
}

/// A request by HTTP/2: `request`, and what `make` makes where that is lost and nobody has looked at it.
async fn carried(
    host: &Rc<Host>,
    mut request: Request<Bytes>,
    make: &impl Fn() -> Request<Bytes>,
    connect: Duration,
    headers: Duration,
) -> Carried {
    let mut repeated = false;
    loop {
        let start = Instant::now();
        let (mut carrier, place) = match host.way(start + connect).await {
            Ok(Way::Carrier(carrier, place)) => (carrier, place),
            Ok(Way::One) => return Carried::WantsOne(request),
            Err(error) => return Carried::Ended(Err(error)),
        };
        let age = carrier.age();
        let sending = Sending::new(start);
        let watched = Arc::clone(&sending);
        let reply = carrier.send(request.map(|body| Outgoing::new(body, sending)));
        let error = match timed(reply, &watched, connect, headers).await {
            Ok(Ok(reply)) => {
                carrier.replied();
                return Carried::Ended(Ok(reply.map(|incoming| Body { incoming, place: Some(place) })));
            }
            Ok(Err(error)) => error,
            Err(late) => {
                if !carrier.has_heard_since(age) {
                    // It may be dead without anybody having said so; the next call had better not wait for it as long.
                    carrier.retire();
                }
                return Carried::Ended(Err(late));
            }
        };
        let fate = Fate::of(error.error(), error.message().is_some());
        if fate == Fate::WantsOne && host.wants_one() {
            return Carried::WantsOne(make());
        }
        if !repeated && (fate == Fate::Unseen || (fate == Fate::Unclear && carrier.is_silent_since(age))) {
            repeated = true;
            carrier.retire();
            request = make();
            continue;
        }
        let detail = describe(error.error());
        return Carried::Ended(Err(match fate {
            Fate::Garbled => SendError::Protocol { detail },
            _ => SendError::Reset { detail },
        }));
    }
}

/// Waits for a reply's head: `connect` until the request goes out, `headers` from then on.
async fn timed<T>(
    reply: impl Future<Output = T>,
    watched: &Sending,
    connect: Duration,
    headers: Duration,
) -> Result<T, SendError> {
    let start = watched.start();
    let mut reply = pin!(reply);
    // One timer for both limits: when it fires, it is set to whichever limit counts by then.
    let mut timer = pin!(tokio::time::sleep_until(start + connect.min(headers)));
    poll_fn(|context| {
        if let Poll::Ready(result) = reply.as_mut().poll(context) {
            return Poll::Ready(Ok(result));
        }
        loop {
            ready!(timer.as_mut().poll(context));
            let now = Instant::now();
            let due = match watched.last() {
                Some(sent) if now >= sent + headers => return Poll::Ready(Err(SendError::HeadersTimeout)),
                Some(sent) => sent + headers,
                None if now >= start + connect => {
                    let detail = format!("no connection within {connect:?}");
                    return Poll::Ready(Err(SendError::Connect { timeout: true, detail }));
                }
                None => (start + connect).min(now + headers),
            };
            timer.as_mut().reset(due);
        }
    })
    .await
}

fn classify(error: &PoolError) -> Lost {
    if error.is_connect() {
        return unconnected(error).into();
    }
    let detail = describe(error);
    let cause = error.source().and_then(|source| source.downcast_ref::<hyper::Error>());
    if cause.is_some_and(|cause| cause.is_parse() || cause.is_parse_too_large() || cause.is_user()) {
        return SendError::Protocol { detail }.into();
    }
    let mut extensions = Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut extensions);
    }
    let stale = extensions.get::<Arc<Link>>().is_some_and(|link| link.is_stale());
    Lost { error: SendError::Reset { detail }, stale }
}

/// Why there is no connection, with what the operator may do where it is known.
pub(super) fn unconnected(error: &(dyn Error + 'static)) -> SendError {
    let mut detail = describe(error);
    if detail.contains("UnknownIssuer") {
        detail.push_str("; name the file of the authority that signed it under network.ca");
    }
    SendError::Connect { timeout: is_timeout(error), detail }
}

/// Whether the operating system gave up waiting, which may be before our own limit.
fn is_timeout(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if error.downcast_ref::<std::io::Error>().is_some_and(|error| error.kind() == std::io::ErrorKind::TimedOut) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// An error with its causes, for the log.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.ends_with(&next) {
            text.push_str(": ");
            text.push_str(&next);
        }
        cause = error.source();
    }
    if text.len() > LONGEST_DETAIL {
        text.truncate(text.floor_char_boundary(LONGEST_DETAIL));
    }
    text
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
pub(super) mod tests;
