//! What passes between the server and the pipeline: a read request one way, a reply with its body the other.
//!
//! The server knows nothing of providers, the pipeline nothing of sockets; these few types are all they share.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};

use crate::governance::keys::Caller;

/// What a path asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    Chat,
    Models,
    /// One model by name, percent-decoded.
    Model(String),
}

/// Where a call came in: the client's dialect is OpenAI's for every road of this version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Road {
    pub operation: Operation,
    /// The provider named by the path's prefix (`/openai/...`); `None` on `/v1`.
    pub provider: Option<&'static str>,
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

/// A source of body bytes. `None` ends the body properly; whatever went wrong has been said in the stream's own shape before.
pub trait Pump {
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>>;
}

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
    type Error = std::convert::Infallible;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.get_mut() {
            ReplyBody::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            ReplyBody::Stream(pump) => pump.as_mut().poll_next(context).map(|next| next.map(|b| Ok(Frame::data(b)))),
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
