//! The HTTP client of the hot path, and the only module that names it: hyper-util's pooled client over TLS, straight or through a proxy.
//!
//! It keeps connections, bounds how long connecting and answering may take, and repeats one kind of lost request. It does not follow
//! redirects, retry, decode or read bodies, and it adds no header but `host` and a plain proxy's `proxy-authorization`. One for each
//! serving thread; dropping a future or a body of it closes the connection at once.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::PROXY_AUTHORIZATION;
use http::{Extensions, Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client as Pooled, Error as PoolError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::Instant;

use super::link::{Connector, Link, Outgoing, Sending};
use super::proxy::{self, Dialer};
use super::tls;
use crate::config::Network;

/// A reply's body as it comes from the provider.
pub type Body = hyper::body::Incoming;

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
        let dialer = Dialer::new(direct.clone(), secured(direct, &trust), Arc::clone(&network));
        let connector = Connector::new(secured(dialer, &trust));
        let mut builder = Pooled::builder(TokioExecutor::new());
        builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE);
        let fresh = builder.pool_max_idle_per_host(0).build(connector.clone());
        let pooled = builder.pool_max_idle_per_host(IDLE_PER_HOST).build(connector);
        Client { pooled, fresh, network }
    }

    /// Sends the request that `make` makes, with an absolute address, and waits for the head of the reply.
    ///
    /// `connect` bounds everything until the request goes out, TLS and proxy included; `headers` counts from when it has gone out. A
    /// request that dies on a reused connection before any byte of its reply came is made and sent once more, on a fresh one: the provider
    /// closed an idle connection at that moment, and never saw the request. Nothing else is repeated.
    ///
    /// # Errors
    /// See [`SendError`].
    pub async fn send(
        &self,
        make: impl Fn() -> Request<Bytes>,
        connect: Duration,
        headers: Duration,
    ) -> Result<Response<Body>, SendError> {
        match once(&self.pooled, self.through_proxy(make()), connect, headers).await {
            Err(Lost { stale: true, .. }) => {}
            result => return result.map_err(|lost| lost.error),
        }
        once(&self.fresh, self.through_proxy(make()), connect, headers).await.map_err(|lost| lost.error)
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

fn secured<T>(inner: T, trust: &Arc<ClientConfig>) -> HttpsConnector<T> {
    let config = ClientConfig::clone(trust);
    HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1().wrap_connector(inner)
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

async fn once(
    client: &Pooled<Connector, Outgoing>,
    request: Request<Bytes>,
    connect: Duration,
    headers: Duration,
) -> Result<Response<Body>, Lost> {
    let start = Instant::now();
    let sending = Sending::new(start);
    let watched = Arc::clone(&sending);
    let mut reply = pin!(client.request(request.map(|body| Outgoing::new(body, sending))));
    // One timer for both limits: when it fires, it is set to whichever limit counts by then.
    let mut timer = pin!(tokio::time::sleep_until(start + connect.min(headers)));
    let result = poll_fn(|context| {
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
    .await?;
    match result {
        Ok(mut reply) => {
            if let Some(link) = reply.extensions_mut().remove::<Arc<Link>>() {
                link.replied();
            }
            Ok(reply)
        }
        Err(error) => Err(classify(&error)),
    }
}

fn classify(error: &PoolError) -> Lost {
    let detail = describe(error);
    if error.is_connect() {
        return SendError::Connect { timeout: is_timeout(error), detail }.into();
    }
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

/// Whether the operating system gave up waiting, which may be before our own limit.
fn is_timeout(error: &PoolError) -> bool {
    let mut cause = error.source();
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
