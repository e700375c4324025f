//! What passes to its provider as it is, with the provider's credentials: whatever Sluice does not serve itself below a provider's prefix,
//! and OpenAI's other operations for any provider of that format.
//!
//! No plugin reads these calls, so a closed one refuses them. The request is read whole, within the server's limit; a JSON reply is read
//! for what it counts, any other passes as it comes.

use std::cell::Cell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use sluice_dialect::dialect::Said;
use sluice_dialect::failure::{Blame, Class, Failure};
use sluice_dialect::openai_chat::reply as openai;
use sluice_dialect::peek::Peek;
use sluice_dialect::splice::splice;
use sluice_dialect::sse::Framer;
use sluice_dialect::usage::Usage;
use sluice_dialect::{Dialect, json};

use super::ask::{self, Question};
use super::{multipart, renamed, unseen};
use crate::app::{Core, Gateway};
use crate::config::Timeouts;
use crate::exchange::{Inbound, Pump, Raw, Reply, ReplyBody};
use crate::observe::record::Outcome;
use crate::pipeline::call::{Call, Settle, select};
use crate::pipeline::generator::{First, Generator, Outlet};
use crate::pipeline::tries::{Fault, Tries};
use crate::pipeline::upstream::{Source, Upstream};
use crate::pipeline::{attempt, cut, models, reply, required};
use crate::providers::Provider;
use crate::providers::headers;
use crate::routing::capability::Needs;
use crate::routing::names;

/// By which users of Bifrost say the provider of an operation without a model.
const PROVIDER: &str = "x-model-provider";

/// The model that the body names, and how to name another.
enum Named {
    Json(Box<Peek>),
    Form(std::ops::Range<usize>, String),
    No,
}

impl Named {
    fn find(inbound: &mut Inbound) -> Named {
        let kind = inbound.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if kind.starts_with("multipart/") {
            return multipart::model(&inbound.body, kind).map_or(Named::No, |(range, name)| Named::Form(range, name));
        }
        // Whether the body is what the operation takes is for the provider to say.
        let peek = sluice_dialect::peek::peek(&inbound.body).ok().filter(|peek| peek.model.is_some());
        let api = Dialect::OpenaiChat.api();
        let peek = peek.and_then(|peek| peek.settled(api, &mut inbound.body, &Said::default()).ok());
        peek.map_or(Named::No, |peek| Named::Json(Box::new(peek)))
    }

    fn model(&self) -> Option<&str> {
        match self {
            Named::Json(peek) => peek.model.as_ref().map(|model| &*model.name),
            Named::Form(_, name) => Some(name),
            Named::No => None,
        }
    }

    fn body(&self, body: &Bytes, model: Option<&str>) -> Bytes {
        match (self, model) {
            (Named::Json(peek), Some(model)) => renamed(body, peek, model),
            (Named::Form(range, name), Some(model)) if name != model => {
                splice(body, &[(range.clone(), model.as_bytes())])
            }
            _ => body.clone(),
        }
    }
}

pub(super) async fn run(gateway: &Rc<Gateway>, core: &Arc<Core>, mut inbound: Inbound, raw: &Raw) -> Reply {
    let mut settle = Settle::new(core, &mut inbound);
    let named = Named::find(&mut inbound);
    let said = inbound.road.said.model.clone().or_else(|| named.model().map(str::to_owned));
    if let Some(model) = &said {
        settle.record.model = crate::observe::document::cut(model, 200).to_owned();
    }
    let chain = core.plugins.chain();
    settle.record.generation = chain.generation;
    let chain = select(core, chain, &settle.record, &inbound.headers, (said.as_deref(), &[]));
    settle.tell(&chain);
    let mut call = Call::raw(inbound, chain, settle);
    let sent = tokio::select! {
        biased;
        sent = send(gateway, core, &mut call, raw, &named, said.as_deref()) => sent,
        () = gateway.cut.wait() => Err(cut::stopping()),
    };
    let (provider, upstream) = match sent {
        Ok(sent) => sent,
        Err(failure) => return reply::refuse(call.settle, &failure),
    };
    match kind(&upstream.headers) {
        Kind::Json => whole(call.settle, provider, upstream).await,
        Kind::Events => passed(call.settle, provider, upstream, true).await,
        Kind::Other => passed(call.settle, provider, upstream, false).await,
    }
}

async fn send<'a>(
    gateway: &Rc<Gateway>,
    core: &'a Arc<Core>,
    call: &mut Call,
    raw: &Raw,
    named: &Named,
    said: Option<&str>,
) -> Result<(&'a Provider, Upstream), Failure> {
    required(&call.chain)?;
    if let Some(caller) = &call.settle.record.caller {
        models::admit(core, caller, call.prefix, said)?;
    }
    unseen(&call.chain, call.settle.record.operation)?;
    // Forms hold files and sound, whose size says nothing of tokens.
    let (body, dialect) = (call.body.clone(), call.dialect);
    call.settle.take(|| if matches!(named, Named::Json(_)) { Needs::of(dialect, &body).tokens } else { 0 })?;
    let mut tries = tries(core, call, said)?;
    loop {
        match once(gateway, core, call, &mut tries, (raw, named)).await {
            Ok(sent) => return Ok(sent),
            Err(fault) => tries.failed(core, call, fault)?,
        }
    }
}

async fn once<'a>(
    gateway: &Rc<Gateway>,
    core: &'a Arc<Core>,
    call: &mut Call,
    tries: &mut Tries,
    (raw, named): (&Raw, &Named),
) -> Result<(&'a Provider, Upstream), Fault> {
    let candidate = tries.next(core, call).await.map_err(Fault::unsent)?;
    let provider = core.providers.get(candidate.provider).ok_or_else(attempt::gone).map_err(Fault::unsent)?;
    let dialect = if provider.speaks(call.dialect) { call.dialect } else { provider.nearest(call.dialect) };
    if call.prefix.is_none() && !matches!(dialect, Dialect::OpenaiChat | Dialect::OpenaiResponses) {
        return Err(Fault::unsent(unserved(&format!("The provider `{}`", provider.name))));
    }
    let model = candidate.model.as_deref();
    let body = named.body(&call.body, model);
    let uri = provider.raw_uri(&raw.path, call.query.as_deref()).map_err(Fault::unsent)?;
    let key = attempt::place(call, tries, &candidate, provider, model.unwrap_or_default()).await?;
    let headers = Arc::clone(&call.headers);
    let client = (&*headers, call.dialect);
    let question = Question { provider, key: key.as_ref(), method: raw.method.clone(), uri, client, dialect, body };
    Ok((provider, ask::send(gateway, core, &mut call.settle, &question).await?))
}

/// Who may be asked, by the model; a call that names none goes to the provider that its path or a header says.
fn tries(core: &Core, call: &mut Call, model: Option<&str>) -> Result<Tries, Failure> {
    if core.config.demo {
        return Err(unserved("The demo provider"));
    }
    if model.is_some() {
        return Tries::of_raw(core, call, model);
    }
    if let Some(prefix) = call.prefix {
        return Tries::of_provider(core, names::of_prefix(core, prefix)?);
    }
    let said = call.headers.get(PROVIDER).and_then(|value| value.to_str().ok());
    let only = || (core.providers.len() == 1).then_some(0);
    let found = match said {
        Some(name) => core.provider_named(name),
        None => core.provider_named("openai").or_else(only),
    };
    let at = found.ok_or_else(|| {
        let message = "This call names no model: say the provider by its prefix in the path (`/openai/v1/...`), or in the header \
                       `x-model-provider`.";
        Failure::new(Blame::Client, 404, "invalid_request_error", "provider_not_found", message)
    })?;
    Tries::of_provider(core, at)
}

fn unserved(who: &str) -> Failure {
    let message = format!("{who} has no such operation. Its own are below its prefix in the path, in its own format.");
    Failure::invalid("unsupported_operation", message).with_class(Class::Unsupported)
}

#[derive(Clone, Copy)]
enum Kind {
    Json,
    Events,
    Other,
}

fn kind(headers: &HeaderMap) -> Kind {
    let kind = headers.get(header::CONTENT_TYPE).map(|value| value.as_bytes().to_ascii_lowercase()).unwrap_or_default();
    if kind.starts_with(b"text/event-stream") {
        Kind::Events
    } else if kind.starts_with(b"application/json") {
        Kind::Json
    } else {
        Kind::Other
    }
}

/// The head of a reply that passes: what a client may read of the provider's, its type included.
fn head(settle: &Settle, provider: &HeaderMap) -> HeaderMap {
    let mut out = reply::head(settle, Some(provider), "application/octet-stream");
    if let Some(kind) = provider.get(header::CONTENT_TYPE) {
        out.insert(header::CONTENT_TYPE, kind.clone());
    }
    for name in headers::OF_FILES {
        if let Some(value) = provider.get(*name) {
            out.insert(*name, value.clone());
        }
    }
    out
}

async fn whole(mut settle: Settle, provider: &Provider, upstream: Upstream) -> Reply {
    match ask::collect(&mut settle, provider, upstream).await {
        Ok((status, told, body)) => {
            settle.record.usage = usage(&body);
            settle.end(Outcome::Ok, status.as_u16());
            let headers = head(&settle, &told);
            let mut reply = reply::whole(settle, headers, body);
            *reply.status_mut() = status;
            reply
        }
        Err(failure) => reply::refuse(settle, &failure),
    }
}

/// What a reply counted, in either spelling of OpenAI's.
fn usage(body: &[u8]) -> Option<Usage> {
    openai::usage(body).or_else(|| {
        let range = json::field(body, 0, "usage")?;
        let count = |name| {
            let range = json::field(body, range.start, name)?;
            std::str::from_utf8(body.get(range)?).ok()?.parse::<u64>().ok()
        };
        let (input, output) = (count("input_tokens"), count("output_tokens"));
        let said = input.is_some() || output.is_some();
        said.then(|| Usage { input: input.unwrap_or(0), output: output.unwrap_or(0), ..Usage::default() })
    })
}

/// A reply that passes as it comes. What it counts is read from the side of a stream of events.
async fn passed(settle: Settle, provider: &Provider, upstream: Upstream, events: bool) -> Reply {
    let mut headers = head(&settle, &upstream.headers);
    let coded = upstream.headers.contains_key(header::CONTENT_ENCODING);
    if let Some(length) = upstream.headers.get(header::CONTENT_LENGTH).filter(|_| !coded) {
        headers.insert(header::CONTENT_LENGTH, length.clone());
    }
    let status = upstream.status;
    let broken = Rc::new(Cell::new(false));
    let copy = Copy {
        settle,
        timeouts: provider.config.timeouts,
        status,
        source: upstream.source,
        framer: events.then(|| Framer::new(provider.config.limits.event_size)),
        broken: Rc::clone(&broken),
    };
    let mut generator = Generator::new(|outlet| copy.run(outlet));
    match generator.first().await {
        First::Bytes(bytes) => {
            let body = ReplyBody::Stream(Box::pin(Copied { inner: generator.into_pump(bytes), broken }));
            reply::with(status, headers, body)
        }
        First::Empty => reply::with(status, headers, ReplyBody::empty()),
        First::Failed((failure, settle)) => reply::refuse(settle, &failure),
    }
}

struct Copy {
    settle: Settle,
    timeouts: Timeouts,
    status: StatusCode,
    source: Source,
    framer: Option<Framer>,
    broken: Rc<Cell<bool>>,
}

impl Copy {
    /// Copies to the end. What goes wrong before the first byte is returned; later it breaks the body off, so that no client takes a part
    /// for the whole.
    async fn run(mut self, outlet: Outlet) -> Option<(Failure, Settle)> {
        let timeouts = self.timeouts;
        let end = Instant::now() + timeouts.total;
        let mut begun = false;
        loop {
            let limit = if begun { timeouts.idle } else { timeouts.first_token };
            let until = end.min(Instant::now() + limit);
            let asked = Instant::now();
            let next = tokio::time::timeout_at(until.into(), self.source.next()).await;
            self.settle.waited(asked.elapsed());
            let failure = match next {
                Ok(Some(Ok(bytes))) => {
                    self.count(&bytes);
                    begun = true;
                    self.settle.first_token();
                    outlet.send(bytes).await;
                    continue;
                }
                Ok(None) => {
                    self.settle.replied();
                    self.settle.end(Outcome::Ok, self.status.as_u16());
                    return None;
                }
                Ok(Some(Err(detail))) => {
                    let message = "The provider broke off before the reply was complete.";
                    Failure::bad_gateway("reply_truncated", message).with_detail(detail)
                }
                Err(_) => Failure::timeout("idle_timeout", "The provider sent nothing for too long."),
            };
            if !begun {
                return Some((failure, self.settle));
            }
            self.broken.set(true);
            self.settle.fail(&failure, true);
            return None;
        }
    }

    /// Reads usage from events; an event that is too long, or no JSON, only costs its count.
    fn count(&mut self, bytes: &Bytes) {
        let Some(framer) = &mut self.framer else { return };
        framer.push(bytes.clone());
        loop {
            match framer.next() {
                Ok(Some(frame)) => {
                    if let Some(found) = frame.data().and_then(|data| usage(&data)) {
                        self.settle.record.usage = Some(found);
                    }
                }
                Ok(None) => return,
                Err(_) => {
                    self.framer = None;
                    return;
                }
            }
        }
    }
}

/// A pump that knows whether its end is one.
struct Copied {
    inner: Pin<Box<dyn Pump>>,
    broken: Rc<Cell<bool>>,
}

impl Pump for Copied {
    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        self.get_mut().inner.as_mut().poll_next(context)
    }

    fn is_broken(&self) -> bool {
        self.broken.get()
    }
}
