//! One attempt at one target: the request that goes out, and what its head says.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Uri, header};
use sluice_dialect::Dialect;
use sluice_dialect::failure::{Blame, Failure};
use sluice_dialect::hub::Asked;
use sluice_dialect::openai_chat::echo;

use super::call::{Call, Settle, Under, deadline};
use super::outgoing::{self, Outgoing};
use super::tries::{Fault, Tries};
use super::upstream::{self, Source, Upstream};
use crate::app::{Core, Gateway};
use crate::config::Timeouts;
use crate::providers::auth::Credential;
use crate::providers::client::{Client, SendError};
use crate::providers::{Provider, again, headers};
use crate::routing::decide::Phase;
use crate::routing::plan::Candidate;

/// A reply that is a 200 of the kind that was asked for.
pub struct Answered {
    pub upstream: Upstream,
    /// The provider's.
    pub dialect: Dialect,
    /// What a writer of the client's dialect must know; absent where nothing is written and bytes pass.
    pub asked: Option<Box<Asked>>,
    /// Usage was asked for on the client's behalf: the chunk that carries only it is withheld.
    pub withhold_usage: bool,
    /// The body passes with the provider's `content-encoding`, because nobody reads it.
    pub encoded: bool,
}

/// Asks the next target and waits for a head that promises a reply.
pub async fn send(gateway: &Gateway, core: &Core, call: &mut Call, tries: &mut Tries) -> Result<Answered, Fault> {
    let candidate = tries.next(core, call).await.map_err(Fault::unsent)?;
    let provider = core.providers.get(candidate.provider).ok_or_else(gone).map_err(Fault::unsent)?;
    let outgoing = outgoing::write(call, provider, candidate.model.as_deref()).map_err(Fault::unsent)?;
    let name = candidate.model.as_deref().map(str::to_owned).or_else(|| call.model()).unwrap_or_default();
    let key = place(call, tries, &candidate, provider, &name).await?;
    let limit = due(call, tries, provider);
    ask(&gateway.clients.of(&core.way), call, provider, (&name, key), outgoing, limit).await
}

/// What an attempt needs before anything is sent: a key, a place at the provider and at the key, and a line in the record.
///
/// # Errors
/// No key may be used now, or there is no room.
pub(super) async fn place(
    call: &mut Call,
    tries: &mut Tries,
    candidate: &Candidate,
    provider: &Provider,
    name: &str,
) -> Result<Option<Credential>, Fault> {
    let timeouts = &provider.config.timeouts;
    let until = tries.until(call, begins(call, timeouts));
    let key = match provider.credential(name, tries.session(), tries.keys()).await {
        Ok(key) => key,
        Err(failure) => match provider.sole_credential(name) {
            Some(key) if tries.is_alone() => Some(key),
            _ => return Err(Fault::unsent(failure)),
        },
    };
    let permit = provider.enter(key.as_ref(), until).await.map_err(Fault::unsent)?;
    provider.repeats.earn(tries.policy().budget);
    let settle = &mut call.settle;
    settle.attempt(Some(candidate.provider), &provider.name, name);
    settle.record.last.target = Arc::clone(&candidate.live.name);
    settle.record.last.key = key.as_ref().map(|key| Arc::clone(&key.name));
    settle.under = Some(Under::new(candidate.live.begin(), permit, key.clone()));
    Ok(key)
}

/// How long a target has to begin its answer.
fn begins(call: &Call, timeouts: &Timeouts) -> Duration {
    if call.streamed() { timeouts.first_token } else { timeouts.headers }
}

/// How long this attempt may wait for a head: a stream's is due by when its first content is, and the call's own deadline counts too.
fn due(call: &Call, tries: &mut Tries, provider: &Provider) -> Duration {
    let timeouts = &provider.config.timeouts;
    let first = begins(call, timeouts);
    let left = tries.until(call, first).saturating_duration_since(Instant::now());
    first.min(timeouts.headers).min(left)
}

/// A place among the providers that there is not.
pub(super) fn gone() -> Failure {
    Failure::new(Blame::Gateway, 500, "server_error", "internal", "The route is gone.")
}

/// `name`: the model, for the address.
async fn ask(
    client: &Client,
    call: &mut Call,
    provider: &Provider,
    (name, key): (&str, Option<Credential>),
    outgoing: Outgoing,
    limit: Duration,
) -> Result<Answered, Fault> {
    let Outgoing { body, dialect, asked, withhold_usage } = outgoing;
    let body = provider.dressed(dialect, body, call.said.model.is_some());
    // A stream is always read: only its events say whether it is complete.
    let hooks = call.chain.has_reply_hooks() || call.chain.has_finish_hooks();
    let reads = call.streamed() || provider.config.meter || hooks || asked.is_some();
    // A client's query is of its own dialect.
    let query = (dialect == call.dialect).then_some(call.query.as_deref()).flatten();
    let uri = provider.uri(dialect, name, call.streamed(), query).map_err(Fault::unsent)?;
    let make = || request(call, provider, (dialect, uri.clone()), key.as_ref(), body.clone(), reads);
    let timeouts = &provider.config.timeouts;
    let sent = Instant::now();
    let response = client.send(make, provider.config.http, timeouts.connect, limit).await;
    call.settle.waited(sent.elapsed());
    let head = Instant::now();
    let (parts, incoming) = response.map_err(|error| unanswered(&error, provider, limit))?.into_parts();
    call.settle.record.last.status = parts.status.as_u16();
    let encoding = upstream::encoding(&parts.headers);
    let ok = parts.status == StatusCode::OK;
    let max = if ok { provider.config.limits.reply_size } else { provider.config.limits.error_size };
    // A client that named no encoding is not given one, whatever the provider sends unasked.
    let encoded = ok && !reads && encoding.is_some() && call.headers.contains_key(header::ACCEPT_ENCODING);
    let decoder = match encoding {
        Some(encoding) if !encoded => Some(upstream::decoder(encoding, max)?),
        _ => None,
    };
    let source = Source::Provider { body: incoming, decoder };
    let upstream = Upstream { status: parts.status, headers: parts.headers, source, sent, head };
    if !ok {
        return Err(Fault {
            failure: refused(&mut call.settle, provider, dialect, upstream).await,
            phase: Phase::Head,
        });
    }
    Ok(Answered { upstream, dialect, asked, withhold_usage, encoded })
}

fn request(
    call: &Call,
    provider: &Provider,
    to: (Dialect, Uri),
    key: Option<&Credential>,
    body: Bytes,
    reads: bool,
) -> Request<Bytes> {
    let mut out = HeaderMap::with_capacity(16);
    headers::to_provider(&call.headers, call.dialect, to.0, &mut out);
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let accepts = if reads { None } else { call.headers.get(header::ACCEPT_ENCODING).cloned() };
    out.insert(header::ACCEPT_ENCODING, accepts.unwrap_or_else(|| HeaderValue::from_static("identity")));
    for (name, value) in &provider.config.headers {
        out.insert(name.clone(), value.clone());
    }
    if let Some(key) = key {
        key.authorize(&mut out);
    }
    let mut request = Request::new(body);
    *request.method_mut() = Method::POST;
    *request.uri_mut() = to.1;
    *request.headers_mut() = out;
    request
}

/// No head came, and how far the request had come. `limit`: how long it had for that.
pub(super) fn unanswered(error: &SendError, provider: &Provider, limit: Duration) -> Fault {
    let phase = if matches!(error, SendError::Connect { .. }) { Phase::Connect } else { Phase::Sent };
    Fault { failure: unreachable(error, provider, limit), phase }
}

fn unreachable(error: &SendError, provider: &Provider, limit: Duration) -> Failure {
    let name = &provider.name;
    let timeouts = &provider.config.timeouts;
    let show = crate::config::show_duration;
    match error {
        SendError::Connect { timeout: true, detail } => Failure::timeout(
            "connect_timeout",
            format!("The provider `{name}` could not be reached within {}.", show(timeouts.connect)),
        )
        .with_detail(detail.clone()),
        SendError::Connect { timeout: false, detail } => {
            Failure::bad_gateway("connect_failed", format!("The provider `{name}` could not be reached."))
                .with_detail(detail.clone())
        }
        SendError::HeadersTimeout => {
            Failure::timeout("headers_timeout", format!("The provider `{name}` did not answer within {}.", show(limit)))
                .with_detail(if limit >= timeouts.headers {
                    "raise `timeouts.headers` of the provider if it needs longer"
                } else if limit >= timeouts.first_token {
                    "raise `timeouts.first_token` of the provider if its streams need longer"
                } else {
                    "the call's own deadline came before the provider's"
                })
        }
        SendError::Reset { detail } => Failure::bad_gateway(
            "connection_reset",
            format!("The provider `{name}` closed the connection without a reply."),
        )
        .with_detail(detail.clone()),
        SendError::Protocol { detail } => {
            Failure::bad_gateway("protocol_error", format!("The provider `{name}` did not answer in proper HTTP."))
                .with_detail(detail.clone())
        }
    }
}

/// Reads an error reply: its status survives, of its body only a JSON error's message and code.
pub(super) async fn refused(
    settle: &mut Settle,
    provider: &Provider,
    dialect: Dialect,
    mut upstream: Upstream,
) -> Failure {
    let status = upstream.status;
    if !status.is_client_error() && !status.is_server_error() {
        let detail = format!("status {status}; redirects are not followed, so that credentials go nowhere else");
        return Failure::bad_gateway("unexpected_status", "The provider answered with something that is not a reply.")
            .with_detail(detail);
    }
    let began = Instant::now();
    let until = deadline(upstream.head, provider.config.timeouts.error_body);
    // An error body that is late, cut or too long only costs its message.
    let body = upstream.source.collect(provider.config.limits.error_size, until).await.unwrap_or_default();
    settle.waited(began.elapsed());
    let content_type = upstream.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let mut failure = dialect.api().read_error(status.as_u16(), content_type, &body);
    let asked = again::retry_after(status, &upstream.headers, &body, SystemTime::now());
    failure.retry_after = asked.or(failure.retry_after);
    failure.headers = error_headers(provider, &upstream.headers);
    failure
}

/// What an error reply keeps of the provider's headers: when to come again, rates, and its request id, which its support asks for.
fn error_headers(provider: &Provider, told: &HeaderMap) -> Vec<(String, String)> {
    let mut kept = HeaderMap::new();
    headers::to_client(told, &mut kept);
    provider.credentials.hide(&mut kept);
    // These describe a body that the client does not get.
    kept.remove(header::CONTENT_TYPE);
    kept.remove(header::CACHE_CONTROL);
    kept.iter().filter_map(|(name, value)| Some((name.to_string(), value.to_str().ok()?.to_owned()))).collect()
}

/// Whether a reply is an event stream, by its head.
pub fn is_stream(upstream: &Upstream) -> bool {
    let kind = upstream.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    kind.to_ascii_lowercase().starts_with(b"text/event-stream")
}

/// The demo provider's answer to the call.
pub fn demo(core: &Core, call: &mut Call) -> Result<Answered, Failure> {
    let model = call.model().unwrap_or_else(|| "echo".to_owned());
    call.settle.attempt(None, &core.echo, &model);
    call.settle.record.last.status = 200;
    let Outgoing { body, dialect, asked, .. } = outgoing::for_echo(call, &model)?;
    let now = Instant::now();
    let created = crate::app::unix_seconds();
    let note = crate::app::DEMO_NOTE;
    let id = format!("chatcmpl-{}", call.settle.record.id);
    let mut headers = HeaderMap::new();
    let chunks: std::collections::VecDeque<Bytes> = if call.streamed() {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        echo::stream(&body, &model, note, &id, created).into()
    } else {
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        [echo::whole(&body, &model, note, &id, created)].into()
    };
    let upstream = Upstream { status: StatusCode::OK, headers, source: Source::Ready(chunks), sent: now, head: now };
    Ok(Answered { upstream, dialect, asked, withhold_usage: false, encoded: false })
}
