//! Replies that the gateway makes itself: failures in the client's dialect and small pages, with the headers that every reply carries.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, UPGRADE};
use http::{Response, StatusCode};
use sluice_dialect::Dialect;
use sluice_dialect::failure::{Blame, Failure};

use super::head::Refusal;
use crate::exchange::{Reply, ReplyBody};

/// The call's id, in every reply.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Whose fault a failure is: `client`, `provider`, `gateway` or `plugin`.
pub(super) const ERROR_SOURCE: HeaderName = HeaderName::from_static("x-sluice-error-source");

pub(super) const SERVER_TIMING: HeaderName = HeaderName::from_static("server-timing");

/// The longest id that is taken over from a client, in bytes.
const MAX_ID: usize = 128;

/// The client's own request id if it is harmless in headers and logs, else a new one.
pub(super) fn request_id(headers: &HeaderMap) -> String {
    let own = headers.get(REQUEST_ID).and_then(|value| value.to_str().ok()).filter(|id| is_sane(id));
    own.map_or_else(|| uuid::Uuid::now_v7().to_string(), str::to_owned)
}

fn is_sane(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    (1..=MAX_ID).contains(&id.len()) && id.bytes().all(allowed)
}

/// How long a reply took that asked nobody else.
pub(super) fn timing(took: Duration) -> HeaderValue {
    let took = format!("sluice;dur={:.3}", took.as_secs_f64() * 1e3);
    HeaderValue::try_from(took).unwrap_or_else(|_| HeaderValue::from_static("sluice"))
}

/// A failure in the client's dialect: status, body, whose fault it is, and when to come again.
pub fn failure(dialect: Dialect, failure: &Failure, id: &str) -> Reply {
    let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut reply = json(status, dialect.api().write_error(failure, id));
    let headers = reply.headers_mut();
    headers.insert(ERROR_SOURCE, HeaderValue::from_static(failure.blame.as_str()));
    if let Some(after) = failure.retry_after {
        // Rounded up: a client that comes a moment too early is refused again.
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    for (name, value) in &failure.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name.as_str()), HeaderValue::try_from(value.as_str())) {
            headers.insert(name, value);
        }
    }
    reply
}

/// A JSON document.
pub fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    with_type(status, HeaderValue::from_static("application/json"), body)
}

/// A page of any type, such as metrics.
pub fn with_type(status: StatusCode, kind: HeaderValue, body: impl Into<Bytes>) -> Reply {
    let mut reply = Response::new(ReplyBody::whole(body.into()));
    *reply.status_mut() = status;
    reply.headers_mut().insert(CONTENT_TYPE, kind);
    reply
}

pub(super) fn refused(refusal: Refusal) -> Failure {
    let Refusal { status, code, message } = refusal;
    with(Failure::new(Blame::Client, status, "invalid_request_error", code, message), &[(CONNECTION, "close")])
}

pub(super) fn not_found(path: &str) -> Failure {
    let shown: String = path.chars().take(200).collect();
    let message = format!("There is nothing at {shown}. Chat completions are at /v1/chat/completions.");
    Failure::new(Blame::Client, 404, "invalid_request_error", "unknown_path", message)
}

pub(super) fn unclean_path() -> Failure {
    let message = "The path can be read in two ways (`..`, a backslash, a slash too many, an escaped or misspelt operation); send it plainly.";
    Failure::invalid("malformed_path", message)
}

pub(super) fn wrong_method(allow: &'static str) -> Failure {
    let message = format!("This path does not serve that method; it serves {allow}.");
    let failed = Failure::new(Blame::Client, 405, "invalid_request_error", "method_not_allowed", message);
    with(failed, &[(ALLOW, allow)])
}

/// What is served at a path. Without cross-origin permissions: pages of other origins are not clients.
pub(super) fn options(allow: &'static str) -> Reply {
    let mut reply = Response::new(ReplyBody::empty());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    reply.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
    reply
}

/// Some clients (Codex) try WebSocket first and fall back to HTTP at once on this status and on no other.
pub(super) fn no_websocket() -> Failure {
    let message = "This path speaks plain HTTP, not WebSocket: send the request without the upgrade.";
    let failed = Failure::new(Blame::Client, 426, "invalid_request_error", "websocket_not_supported", message);
    with(failed, &[(UPGRADE, "HTTP/1.1"), (CONNECTION, "upgrade, close")])
}

fn with(mut failure: Failure, headers: &[(HeaderName, &str)]) -> Failure {
    failure.headers = headers.iter().map(|(name, value)| (name.as_str().to_owned(), (*value).to_owned())).collect();
    failure
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn takes_over_only_sane_ids() {
        let id = |value: &str| {
            let headers = [(REQUEST_ID, HeaderValue::from_str(value).unwrap())].into_iter().collect();
            request_id(&headers)
        };
        assert_eq!(id("req-1_A.b"), "req-1_A.b");
        assert_eq!(id(&"x".repeat(128)), "x".repeat(128));
        for bad in ["", "a b", "a\"b", "a/b", &"x".repeat(129)] {
            assert_eq!(id(bad).len(), 36, "{bad:?} is replaced");
        }
        assert_ne!(request_id(&HeaderMap::new()), request_id(&HeaderMap::new()));
    }

    #[test]
    fn failures_carry_their_headers() {
        let mut failed = Failure::overloaded("Later.");
        failed.retry_after = Some(Duration::from_millis(1_200));
        failed.headers = vec![("x-why".to_owned(), "because".to_owned()), ("bad name".to_owned(), "x".to_owned())];
        let reply = failure(Dialect::OpenaiChat, &failed, "id");
        assert_eq!(reply.status(), 503);
        assert_eq!(reply.headers()["retry-after"], "2");
        assert_eq!(reply.headers()["x-why"], "because");
        assert_eq!(reply.headers()["x-sluice-error-source"], "gateway");
        assert_eq!(reply.headers()["content-type"], "application/json");
    }
}
