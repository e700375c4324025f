//! Errors in OpenAI's shape. What providers' errors say is read by `told`.

use bytes::Bytes;

use crate::failure::Failure;
use crate::json;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

pub(super) use crate::told::{excerpt, inside_choice, inside_reply};
pub use crate::told::{from_error_event, from_provider, in_stream};

/// The body of an error reply. The call's id travels in the header; the body is the same four keys for every failure.
pub fn render(failure: &Failure, _id: &str) -> Bytes {
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
