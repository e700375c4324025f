//! What passes between the server and the pipeline: a read request one way, a reply with its body the other.
//!
//! The server knows nothing of providers, the pipeline nothing of sockets; these few types are all they share.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Method, Response};
use http_body::{Frame, SizeHint};
use sluice_dialect::Dialect;
use sluice_dialect::dialect::Said;

use crate::governance::caller::Caller;

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A conversation, in the road's dialect.
    Chat,
    Models,
    /// One model by name, percent-decoded.
    Model(String),
    /// How many tokens a conversation's request is, without asking a model.
    CountTokens,
    Embeddings,
    /// Anything else that a provider has: passes as it is, with the provider's credentials.
    Raw(Raw),
}

/// A request that Sluice does not read further than it has to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw {
    pub method: Method,
    /// Below the provider's prefix, as the client wrote it and checked to stay below; begins with a slash and, where the client said one,
    /// the version (`/v1`).
    pub path: String,
}

impl Operation {
    /// As plugins, their `match` and the log know it.
    pub fn as_str(&self) -> &'static str {
        match self {
            Operation::Chat => "chat",
            Operation::Models | Operation::Model(_) => "models",
            Operation::CountTokens => "count-tokens",
            Operation::Embeddings => "embeddings",
            Operation::Raw(raw) => raw.kind(),
        }
    }
}

impl Operation {
    /// Every name that [`Operation::as_str`] gives.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ["chat", "models", "count-tokens", "embeddings", "raw"].into_iter().chain(Raw::KINDS)
    }
}

impl Raw {
    /// Raw operations that are known by a name of their own; every other one is `raw`.
    const KINDS: [&'static str; 7] = ["audio", "batches", "completions", "files", "images", "moderations", "rerank"];

    fn kind(&self) -> &'static str {
        let path = self.unversioned().trim_start_matches('/');
        let first = path.split('/').next().unwrap_or_default();
        Raw::KINDS.iter().find(|kind| **kind == first).copied().unwrap_or("raw")
    }

    /// The path without the version that the client wrote.
    pub fn unversioned(&self) -> &str {
        split_version(&self.path).1
    }
}

/// Parts a path that begins with a version (`/v1`, `/v1beta`) from it; the first is empty where there is none.
pub fn split_version(path: &str) -> (&str, &str) {
    let Some(rest) = path.strip_prefix('/') else { return ("", path) };
    let end = rest.find('/').unwrap_or(rest.len());
    let word = rest.get(..end).unwrap_or_default();
    if is_version(word) { path.split_at(end + 1) } else { ("", path) }
}

/// `v`, a number, and perhaps a word: `v1`, `v4`, `v1beta1`.
fn is_version(word: &str) -> bool {
    let after = word.strip_prefix('v').unwrap_or_default();
    after.starts_with(|c: char| c.is_ascii_digit())
        && after.len() < 12
        && after.chars().all(|c| c.is_ascii_alphanumeric())
}

/// Where a call came in, and what its path says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Road {
    pub operation: Operation,
    /// The provider named by the path's prefix (`/openai/...`); `None` on `/v1` and its like.
    pub provider: Option<&'static str>,
    /// The client's dialect: of the request and of every reply, refusals included.
    pub dialect: Dialect,
    pub said: Said,
    /// The query without credentials; `None` where nothing is left.
    pub query: Option<String>,
}

/// One client request, read whole.
#[derive(Debug)]
pub struct Inbound {
    /// Echoed or minted; in every reply as `x-request-id`.
    pub id: String,
    /// When the head's first byte was seen, or the best that is known.
    pub started: Instant,
    /// Of the time since then, how long the client's bytes were waited for.
    pub waited: Duration,
    pub road: Road,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// `None` for an anonymous caller that the loopback rules or `clients: open` let in.
    pub caller: Option<Caller>,
}

pub type Reply = Response<ReplyBody>;

/// A reply's body: known bytes, or a pump that is polled by the connection that it feeds. Dropping it (the client left) drops the pump
/// and with it the provider's request.
pub enum ReplyBody {
    Whole(Option<Bytes>),
    Stream(Pin<Box<dyn Pump>>),
}

/// A source of body bytes. `None` ends the body properly, unless it says that it is broken; whatever else went wrong has been said in the
/// stream's own shape before.
pub trait Pump {
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>>;

    /// Whether the end that came is none: the connection is then broken off, because the body has no shape to say it in.
    fn is_broken(&self) -> bool {
        false
    }
}

/// The body could not be completed, and its own shape cannot say so.
#[derive(Clone, Copy, Debug)]
pub struct CutOff;

impl std::fmt::Display for CutOff {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the reply could not be completed")
    }
}

impl std::error::Error for CutOff {}

impl ReplyBody {
    pub fn whole(bytes: Bytes) -> ReplyBody {
        ReplyBody::Whole(Some(bytes))
    }

    pub fn empty() -> ReplyBody {
        ReplyBody::Whole(None)
    }
}

impl http_body::Body for ReplyBody {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            ReplyBody::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            ReplyBody::Stream(pump) => match pump.as_mut().poll_next(context) {
                Poll::Ready(None) if pump.is_broken() => Poll::Ready(Some(Err(CutOff))),
                next => next.map(|next| next.map(|bytes| Ok(Frame::data(bytes)))),
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, ReplyBody::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ReplyBody::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64)),
            ReplyBody::Stream(_) => SizeHint::default(),
        }
    }
}

/// What the server calls for each request. Futures stay on their serving thread.
pub trait Handler: 'static {
    /// The state of the gateway that one request is served by, from its head to its settlement, whatever changes meanwhile.
    type Snapshot: 'static;

    fn handle(self: std::rc::Rc<Self>, snapshot: Self::Snapshot, inbound: Inbound) -> impl Future<Output = Reply>;
}
