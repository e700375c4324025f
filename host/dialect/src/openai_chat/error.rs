//! Errors in OpenAI's shape. What providers' errors say is read by `told`.

use bytes::Bytes;

use super::OWN;
use crate::failure::Failure;
use crate::{json, told};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

pub use crate::told::{from_error_event, in_stream};
pub(super) use crate::told::{inside_choice, inside_reply};

/// The failure behind a provider's reply with an error status. A body in OpenAI's shape is kept, for clients of this dialect.
pub fn from_provider(status: u16, content_type: Option<&str>, body: &[u8]) -> Failure {
    let mut failure = told::from_provider(status, content_type, body);
    if has_shape(body) {
        failure.original = told::original(OWN, body);
    }
    failure
}

/// A sentence and a word or a number beside it: what clients of this dialect can read, and as much as any provider of it sends.
pub(crate) fn has_shape(body: &[u8]) -> bool {
    let first = |pointer: &str| json::pointer(body, pointer).and_then(|at| body.get(at.start));
    let named = ["/error/code", "/error/type"].iter().any(|pointer| first(pointer).is_some_and(|byte| *byte != b'n'));
    json::validate(body).is_ok() && named && first("/error/message") == Some(&b'"')
}

/// The body of an error reply: the provider's own where it was one of this dialect, else the same four keys for every failure. The call's id
/// travels in the header.
pub fn render(failure: &Failure, _id: &str) -> Bytes {
    if let Some(original) = failure.original.as_deref().filter(|original| original.dialect == OWN) {
        return original.body.clone();
    }
    let mut out = Vec::with_capacity(128 + failure.message.len());
    write(failure, &mut out);
    Bytes::from(out)
}

/// The event that ends a stream which cannot go on.
pub fn stream_event(failure: &Failure) -> Bytes {
    let mut out = Vec::with_capacity(136 + failure.message.len());
    out.extend_from_slice(b"data: ");
    write(failure, &mut out);
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

fn write(failure: &Failure, out: &mut Vec<u8>) {
    let nullable = |value: Option<&str>, out: &mut Vec<u8>| match value {
        Some(text) => json::quote(text, out),
        None => out.extend_from_slice(b"null"),
    };
    out.extend_from_slice(b"{\"error\":{\"message\":");
    json::quote(&failure.message, out);
    out.extend_from_slice(b",\"type\":");
    json::quote(&failure.kind, out);
    out.extend_from_slice(b",\"param\":");
    nullable(failure.param.as_deref(), out);
    out.extend_from_slice(b",\"code\":");
    nullable(failure.code.as_deref(), out);
    out.extend_from_slice(b"}}");
}
