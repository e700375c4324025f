//! From what the pipeline decided to the HTTP reply of the client.

use std::io::Write as _;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use sluice_dialect::failure::{Blame, Failure};

use super::call::Settle;
use crate::exchange::{Reply, ReplyBody};
use crate::providers::headers;

pub const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// What the target could not be told of the request.
const LOST: HeaderName = HeaderName::from_static("x-sluice-lost");

/// Where the call was tried, with which key and how that went.
const ATTEMPTS: HeaderName = HeaderName::from_static("x-sluice-attempts");

/// The longest list of what was lost, bytes.
const MAX_LOST: usize = 1024;

/// What took the time until now, in milliseconds: `sluice`, everything but waiting for others, and `upstream`, waiting for the provider.
/// `more`: waits that the record does not have yet. `None` where it is not known.
pub fn timing(settle: &Settle, more: Duration) -> Option<HeaderValue> {
    let own = settle.record.overhead(settle.started.elapsed())?.saturating_sub(more).as_micros();
    let upstream = (settle.record.waited + more).as_micros();
    let mut text = [0u8; 80];
    let mut left = text.as_mut_slice();
    let (own, upstream) = ((own / 1000, own % 1000), (upstream / 1000, upstream % 1000));
    write!(left, "sluice;dur={}.{:03}, upstream;dur={}.{:03}", own.0, own.1, upstream.0, upstream.1).ok()?;
    let free = left.len();
    HeaderValue::from_bytes(text.get(..text.len() - free)?).ok()
}

/// The head of a good reply: what the provider may tell the client, what plugins set, what Sluice adds.
pub fn head(settle: &Settle, provider: Option<&HeaderMap>, content_type: &'static str) -> HeaderMap {
    let mut out = HeaderMap::with_capacity(12);
    if let Some(provider) = provider {
        headers::to_client(provider, &mut out);
    }
    out.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if settle.core().config.demo {
        out.insert("x-sluice-demo", HeaderValue::from_static("echo"));
    }
    if let Some(admitted) = &settle.admitted {
        admitted.tell(settle.record.dialect, &mut out);
    }
    own_headers(settle, &mut out);
    if settle.record.tell_losses && !settle.record.lost.is_empty() {
        out.extend(lost(&settle.record.lost).map(|value| (LOST, value)));
    }
    out
}

/// Names as they stand in a header: what is no visible ASCII becomes `?`.
fn lost(names: &[String]) -> Option<HeaderValue> {
    let mut text = names.join(", ");
    text.truncate(text.floor_char_boundary(MAX_LOST));
    let plain = text.chars().map(|letter| if letter == ' ' || letter.is_ascii_graphic() { letter } else { '?' });
    HeaderValue::try_from(plain.collect::<String>()).ok()
}

/// What plugins set, and what the operator wants to be told of the call.
fn own_headers(settle: &Settle, out: &mut HeaderMap) {
    if let Some(state) = &settle.state {
        extend(out, &state.reply_headers);
    }
    if settle.core().config.server.plugin_header
        && !settle.record.receipt.is_empty()
        && let Ok(value) = HeaderValue::try_from(settle.record.receipt_header())
    {
        out.insert("x-sluice-plugins", value);
    }
    if settle.core().config.server.attempts_header {
        out.extend(
            settle.record.attempts_header().and_then(|text| Some((ATTEMPTS, HeaderValue::try_from(text).ok()?))),
        );
    }
}

/// Adds headers that were checked when they were set.
pub fn extend(out: &mut HeaderMap, headers: &[(String, String)]) {
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            out.insert(name, value);
        }
    }
}

pub fn with(status: StatusCode, headers: HeaderMap, body: ReplyBody) -> Reply {
    let mut reply = Response::new(body);
    *reply.status_mut() = status;
    *reply.headers_mut() = headers;
    reply
}

/// A failed call in the client's dialect. The only place that turns a `Failure` of a call into bytes.
pub fn refuse(mut settle: Settle, failure: &Failure) -> Reply {
    settle.fail(failure, false);
    let mut headers = HeaderMap::with_capacity(8);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-sluice-error-source", HeaderValue::from_static(failure.blame.as_str()));
    if let Some(after) = failure.retry_after {
        // Rounded up: a client that comes a moment too early is refused again.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if failure.blame != Blame::Provider && failure.status >= 500 && failure.retry_after.is_none() {
        // The client's own retries cannot mend a failing policy or gateway.
        headers.insert("x-should-retry", HeaderValue::from_static("false"));
    }
    // A provider's refusal tells of the provider's limits.
    if let Some(admitted) = settle.admitted.as_ref().filter(|_| failure.blame != Blame::Provider) {
        admitted.tell(settle.record.dialect, &mut headers);
    }
    own_headers(&settle, &mut headers);
    extend(&mut headers, &failure.headers);
    headers.extend(timing(&settle, Duration::ZERO).map(|timing| (SERVER_TIMING, timing)));
    let body = ReplyBody::whole(settle.record.dialect.api().write_error(failure, &settle.record.id));
    with(StatusCode::from_u16(failure.status).unwrap_or(StatusCode::BAD_GATEWAY), headers, body)
}

/// A whole JSON reply that settles the call.
pub fn whole(settle: Settle, mut headers: HeaderMap, body: Bytes) -> Reply {
    headers.extend(timing(&settle, Duration::ZERO).map(|timing| (SERVER_TIMING, timing)));
    drop(settle);
    with(StatusCode::OK, headers, ReplyBody::whole(body))
}
