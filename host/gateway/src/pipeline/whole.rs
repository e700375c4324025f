//! A whole reply: held until it is complete and known to be one, then shown to the reply hooks.

use std::time::Instant;

use bytes::Bytes;
use sluice_dialect::Dialect;
use sluice_dialect::failure::{Blame, Failure};
use sluice_dialect::hub::Asked;

use super::attempt::{Answered, is_stream};
use super::call::{Call, deadline};
use super::upstream::{Source, Upstream};
use crate::config::{ProviderLimits, Timeouts};
use crate::hooks::delta::lost;
use crate::hooks::reply::Decision;
use crate::hooks::view::ReplyView;
use crate::providers::decode::Decoder;

/// A reply's bytes, checked to be one.
pub struct Whole {
    pub body: Bytes,
    /// Kept with the provider's `content-encoding`.
    pub encoded: bool,
}

/// Reads the reply to its end, and writes it in the client's dialect where that is another one. Anything but a whole reply is the provider's
/// failure.
pub async fn read(
    call: &mut Call,
    answered: &mut Answered,
    timeouts: &Timeouts,
    limits: &ProviderLimits,
) -> Result<Whole, Failure> {
    if is_stream(&answered.upstream) {
        return Err(Failure::bad_gateway(
            "unexpected_stream",
            "The provider sent an event stream for a call that asked for a whole reply.",
        ));
    }
    let body = collect(call, &mut answered.upstream, timeouts, limits).await?;
    if answered.encoded {
        check_encoded(answered.dialect, &answered.upstream, &body, limits)?;
        call.settle.replied();
        return Ok(Whole { body, encoded: true });
    }
    let body = match &answered.asked {
        None => {
            call.settle.record.usage = answered.dialect.api().check_reply(&body)?;
            body
        }
        Some(asked) => translated(call, answered.dialect, &body, asked)?,
    };
    call.settle.replied();
    Ok(Whole { body, encoded: false })
}

fn translated(call: &mut Call, from: Dialect, body: &[u8], asked: &Asked) -> Result<Bytes, Failure> {
    let reply = from.api().read_reply(body)?;
    call.settle.record.usage = reply.usage;
    let (body, losses) = call.dialect.api().write_reply(&reply, asked);
    call.settle.record.lose(&losses);
    Ok(body)
}

/// A streamed call was answered with a whole body: an error in it is shown, anything else is not what was asked for.
pub async fn instead_of_stream(
    call: &mut Call,
    answered: &mut Answered,
    timeouts: &Timeouts,
    limits: &ProviderLimits,
) -> Failure {
    let body = match collect(call, &mut answered.upstream, timeouts, limits).await {
        Ok(body) => body,
        Err(failure) => return failure,
    };
    match answered.dialect.api().check_reply(&body) {
        Err(failure) if failure.code.as_deref() == Some("unexpected_stream") => Failure::bad_gateway(
            "unexpected_type",
            "The provider sent an event stream without the content type of one.",
        ),
        Err(failure) => failure,
        Ok(_) => Failure::bad_gateway(
            "unexpected_reply",
            "The provider sent a whole reply for a call that asked for a stream.",
        ),
    }
}

async fn collect(
    call: &mut Call,
    upstream: &mut Upstream,
    timeouts: &Timeouts,
    limits: &ProviderLimits,
) -> Result<Bytes, Failure> {
    let began = Instant::now();
    let until = deadline(upstream.head, timeouts.reply_body).min(deadline(upstream.sent, timeouts.total));
    let body = upstream.source.collect(limits.reply_size, until).await;
    if !matches!(upstream.source, Source::Ready(_)) {
        call.settle.waited(began.elapsed());
    }
    body.map_err(|broken| broken.failure(limits.reply_size, timeouts.reply_body))
}

/// A body that passes compressed is still checked where it can be read here; other encodings are the client's to judge.
fn check_encoded(dialect: Dialect, upstream: &Upstream, body: &[u8], limits: &ProviderLimits) -> Result<(), Failure> {
    let Some(encoding) = upstream.headers.get(http::header::CONTENT_ENCODING) else { return Ok(()) };
    let Ok(mut decoder) = Decoder::new(encoding.as_bytes(), limits.reply_size) else { return Ok(()) };
    let unreadable = |detail| {
        Failure::bad_gateway("invalid_encoding", "The provider's compressed reply cannot be read.").with_detail(detail)
    };
    let mut plain = decoder.push(body).map_err(unreadable)?.to_vec();
    plain.extend_from_slice(&decoder.finish().map_err(unreadable)?);
    dialect.api().check_reply(&plain).map(|_| ())
}

/// What the reply hooks made of a whole reply.
pub enum Judged {
    /// The body to send, the provider's own where nothing was edited; `edited` says whether it was.
    Reply { body: Bytes, edited: bool },
    /// Try again, on that target or another.
    Retry(Option<String>),
}

/// Shows a whole reply to the chain. `target`: the provider's name, or that of the plugin at `answered_by` which answered instead.
pub async fn judge(
    call: &mut Call,
    body: Bytes,
    target: &str,
    upstream: Option<(Instant, Instant)>,
    answered_by: Option<usize>,
    max: usize,
) -> Result<Judged, Failure> {
    if !call.chain.has_reply_hooks() {
        return Ok(Judged::Reply { body, edited: false });
    }
    let Some(mut state) = call.settle.state.take() else {
        return Err(lost());
    };
    let (first_byte, total) = upstream.map(|(sent, head)| (head - sent, sent.elapsed())).unwrap_or_default();
    state.attempt = call.settle.record.attempts.max(1);
    let target =
        if answered_by.is_some() { target.to_owned() } else { format!("{target}/{}", call.settle.record.last.model) };
    state.reply =
        Some(ReplyView { document: call.dialect.reply_document(body, max), gone: false, target, first_byte, total });
    let decision;
    (state, decision) = crate::hooks::reply::run(&call.chain, state, answered_by, &mut call.settle.record).await;
    let document = state.reply.take().map(|reply| reply.document);
    call.settle.record.tags.clone_from(&state.tags);
    call.settle.state = Some(state);
    match (decision, document) {
        (Decision::Deny(failure) | Decision::Fail(failure), _) => Err(failure),
        (Decision::Retry(target), _) => Ok(Judged::Retry(target)),
        (Decision::Pass, Some(document)) => {
            let edited = document.edited();
            let body = document.commit();
            if edited {
                call.dialect.api().check_reply(&body).map_err(|failure| {
                    Failure::new(Blame::Plugin, 500, "server_error", "plugin_error", "A policy made the reply invalid.")
                        .with_detail(failure.message)
                })?;
            }
            Ok(Judged::Reply { body, edited })
        }
        (Decision::Pass, None) => Err(lost()),
    }
}
