//! One request's way from its head to the site and back: refusals first, in the order of what they cost.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context as TaskContext, Poll};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_ENCODING, HeaderMap, HeaderValue, UPGRADE};
use http::request::Parts;
use http::{Method, Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use sluice_dialect::Dialect;
use sluice_dialect::failure::{Blame, Failure};

use super::body::{self, Unread};
use super::connection::{Shared, Turn};
use super::route::{self, Missed, Page, Route};
use super::{Options, Site, loopback, respond};
use crate::exchange::{CutOff, Inbound, Reply, ReplyBody, Road};
use crate::governance::caller::Caller;

/// What all connections of a thread share.
pub(super) struct Context<S> {
    pub(super) site: Rc<S>,
    pub(super) calls: Arc<AtomicUsize>,
    /// Serving threads, of which this is one.
    pub(super) threads: usize,
}

impl<S: Site> Context<S> {
    /// The options in force now.
    pub(super) fn options(&self) -> Arc<Options> {
        Arc::clone(S::options(&self.site.snapshot()))
    }
}

/// The client has left; hyper closes the connection.
#[derive(Debug)]
pub(super) struct Gone;

impl std::fmt::Display for Gone {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("the client left")
    }
}

impl std::error::Error for Gone {}

/// One of the calls that may run at once.
struct Permit(Arc<AtomicUsize>);

impl Permit {
    fn take(calls: &Arc<AtomicUsize>, max: usize) -> Option<Permit> {
        let permit = Permit(Arc::clone(calls));
        (calls.fetch_add(1, Ordering::Relaxed) < max).then_some(permit)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A reply's body that ends the connection's turn, and frees the call's place, with its last byte.
pub(super) struct Sent {
    /// Dropped first: who sees that the body is gone finds its place free.
    _permit: Option<Permit>,
    body: ReplyBody,
    _turn: Turn,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut TaskContext<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Serves one request. The future is dropped, wherever it stands, when the client leaves.
pub(super) async fn answer<S: Site>(
    context: Rc<Context<S>>,
    shared: Rc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Sent>, Gone> {
    let turn = Turn::begin(&shared);
    let (mut parts, body) = request.into_parts();
    if let Some((name, value)) = route::credential(&parts.uri, &parts.headers) {
        parts.headers.insert(name, value);
    }
    let id = respond::request_id(&parts.headers);
    let name = HeaderValue::try_from(id.as_str()).ok();
    let has_body = !body.is_end_stream();
    let mut permit = None;
    let snapshot = context.site.snapshot();
    let mut reply = match find(&context, &snapshot, &shared, &parts) {
        Ok(Route::Road(road)) => match check(&context, &snapshot, &shared, &parts, has_body) {
            Ok((caller, taken)) => {
                permit = Some(taken);
                call(&context, snapshot, &shared, Head { road, caller, id, headers: parts.headers }, body).await?
            }
            Err(failure) => {
                context.site.turned_away(&snapshot, &id, shared.started(), Some(&road), None, &failure);
                early(&shared, has_body, respond::failure(road.dialect, &failure, &id))
            }
        },
        Ok(Route::Page(page)) if page.takes_body() => asked(&context, &snapshot, &shared, page, &id, body).await?,
        Ok(Route::Page(page)) => {
            let reply = context.site.page(&snapshot, page, parts.uri.query(), &Bytes::new());
            early(&shared, has_body, reply)
        }
        Err(Stray::Options(allow)) => early(&shared, has_body, respond::options(allow)),
        Err(Stray::Failed(failure)) => {
            context.site.turned_away(&snapshot, &id, shared.started(), None, None, &failure);
            let dialect = route::dialect_of(&parts.uri, &parts.headers);
            early(&shared, has_body, respond::failure(dialect, &failure, &id))
        }
    };
    if let Some(name) = name {
        reply.headers_mut().insert(respond::REQUEST_ID, name);
    }
    if !reply.headers().contains_key(respond::SERVER_TIMING) {
        reply.headers_mut().insert(respond::SERVER_TIMING, respond::timing(shared.started().elapsed()));
    }
    if shared.must_close() {
        reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(reply.map(|body| Sent { body, _permit: permit, _turn: turn }))
}

/// A reply to a request whose body nobody has read.
fn early(shared: &Shared, has_body: bool, reply: Reply) -> Reply {
    if has_body {
        shared.linger();
    }
    reply
}

/// A page that is asked by a body.
async fn asked<S: Site>(
    context: &Context<S>,
    snapshot: &S::Snapshot,
    shared: &Shared,
    page: Page,
    id: &str,
    body: Incoming,
) -> Result<Reply, Gone> {
    match body::read(body, &S::options(snapshot).limits).await {
        Ok((body, _)) => Ok(context.site.page(snapshot, page, None, &body)),
        Err(Unread::Gone) => Err(Gone),
        Err(Unread::Refused(failure)) => {
            context.site.turned_away(snapshot, id, shared.started(), None, None, &failure);
            shared.linger();
            let mut reply = respond::failure(Dialect::OpenaiChat, &failure, id);
            reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            Ok(reply)
        }
    }
}

/// A request that leads nowhere.
enum Stray {
    Failed(Failure),
    /// It asked what these are.
    Options(&'static str),
}

impl From<Failure> for Stray {
    fn from(failure: Failure) -> Stray {
        Stray::Failed(failure)
    }
}

/// The route, or why there is none.
fn find<S: Site>(context: &Context<S>, snapshot: &S::Snapshot, shared: &Shared, parts: &Parts) -> Result<Route, Stray> {
    if let Some(refusal) = shared.take_refusal() {
        return Err(respond::refused(refusal).into());
    }
    if wants_websocket(&parts.headers) {
        return Err(respond::no_websocket().into());
    }
    match route::find(&parts.method, &parts.uri, &parts.headers) {
        Ok(Route::Page(page)) => {
            may_see(context, snapshot, parts, page)?;
            Ok(Route::Page(page))
        }
        Ok(route) => Ok(route),
        Err(Missed::Method(allow)) if parts.method == Method::OPTIONS => Err(Stray::Options(allow)),
        Err(Missed::Method(allow)) => Err(respond::wrong_method(allow).into()),
        Err(Missed::Unclean) => Err(respond::unclean_path().into()),
        Err(Missed::Path) => Err(respond::not_found(parts.uri.path()).into()),
        Err(Missed::Name) => {
            Err(Failure::invalid("malformed_model_name", "The model's name in the path is malformed.").into())
        }
    }
}

fn wants_websocket(headers: &HeaderMap) -> bool {
    let names = |value: &HeaderValue| {
        value.to_str().is_ok_and(|value| value.split(',').any(|name| name.trim().eq_ignore_ascii_case("websocket")))
    };
    headers.get_all(UPGRADE).iter().any(names)
}

/// Pages that say more than that the gateway runs need the admin token or, for metrics, a known caller; without either, a request that no
/// foreign web page can have made. What takes a body may also change something: that no foreign page may ask for, whatever it knows.
fn may_see<S: Site>(context: &Context<S>, snapshot: &S::Snapshot, parts: &Parts, page: Page) -> Result<(), Failure> {
    let names = &S::options(snapshot).names;
    if page.takes_body() {
        loopback::check_change(names, parts.uri.authority(), &parts.headers)?;
    }
    let known = match page {
        Page::Home | Page::Live | Page::Ready | Page::Health => true,
        Page::Status | Page::Plugins | Page::Calls | Page::Targets | Page::Explain | Page::Drain => {
            context.site.administer(snapshot, &parts.headers)?
        }
        Page::Metrics => {
            matches!(context.site.administer(snapshot, &parts.headers), Ok(true))
                || context.site.admit(snapshot, &parts.headers)?.is_some()
        }
    };
    if known {
        return Ok(());
    }
    loopback::check(names, parts.uri.authority(), &parts.headers, page.takes_body())
}

/// Everything that a head can tell: room for one more call, the caller, and how the body is written.
fn check<S: Site>(
    context: &Context<S>,
    snapshot: &S::Snapshot,
    shared: &Shared,
    parts: &Parts,
    has_body: bool,
) -> Result<(Option<Caller>, Permit), Failure> {
    if shared.is_late() {
        return Err(Failure::overloaded("The gateway is stopping; try again, another one may answer."));
    }
    let permit = Permit::take(&context.calls, S::options(snapshot).limits.max_calls)
        .ok_or_else(|| Failure::overloaded("The gateway is serving as many calls as it may; try again soon."))?;
    let caller = context.site.admit(snapshot, &parts.headers)?;
    if caller.is_none() {
        loopback::check(&S::options(snapshot).names, parts.uri.authority(), &parts.headers, has_body)?;
    }
    let plain = |coding: &HeaderValue| coding.as_bytes().eq_ignore_ascii_case(b"identity");
    if parts.headers.get_all(CONTENT_ENCODING).iter().all(plain) {
        return Ok((caller, permit));
    }
    Err(Failure::new(
        Blame::Client,
        415,
        "invalid_request_error",
        "unsupported_content_encoding",
        "Send the body without content-encoding: compressed requests are not served.",
    ))
}

/// A checked head, on its way to the site.
struct Head {
    road: Road,
    caller: Option<Caller>,
    id: String,
    headers: HeaderMap,
}

async fn call<S: Site>(
    context: &Context<S>,
    snapshot: S::Snapshot,
    shared: &Shared,
    head: Head,
    body: Incoming,
) -> Result<Reply, Gone> {
    let (body, waited) = match body::read(body, &S::options(&snapshot).limits).await {
        Ok(read) => read,
        Err(Unread::Gone) => return Err(Gone),
        Err(Unread::Refused(failure)) => {
            let caller = head.caller.as_ref();
            context.site.turned_away(&snapshot, &head.id, shared.started(), Some(&head.road), caller, &failure);
            shared.linger();
            let mut reply = respond::failure(head.road.dialect, &failure, &head.id);
            reply.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            return Ok(reply);
        }
    };
    let Head { road, caller, id, headers } = head;
    let waited = waited + shared.head_took();
    let inbound = Inbound { id, started: shared.started(), waited, road, headers, body, caller };
    Ok(Rc::clone(&context.site).handle(snapshot, inbound).await)
}
