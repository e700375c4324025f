//! Errors in Anthropic's shape, and what the provider's say.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::Value;

use super::out::Object;
use crate::failure::{Class, Failure, Original, Retry};
use crate::{Dialect, told};

/// The dialect's types, with the status of each, and the class of those whose words say no other.
const TYPES: [(&str, u16, Class); 10] = [
    ("invalid_request_error", 400, Class::Invalid),
    ("authentication_error", 401, Class::Auth),
    ("billing_error", 402, Class::Quota),
    ("permission_error", 403, Class::Permission),
    ("not_found_error", 404, Class::NotFound),
    ("timeout_error", 504, Class::Timeout),
    ("request_too_large", 413, Class::TooLarge),
    ("rate_limit_error", 429, Class::RateLimit),
    ("api_error", 500, Class::Server),
    ("overloaded_error", 529, Class::Overloaded),
];

/// The failure behind a provider's error reply.
pub fn read(status: u16, content_type: Option<&str>, body: &[u8]) -> Failure {
    let mut failure = told::from_provider(status, content_type, body);
    classify(&mut failure, body);
    failure
}

/// The failure that an event of a stream tells, if it tells one.
pub fn in_stream(event: Option<&[u8]>, data: &[u8]) -> Option<Failure> {
    let kind = serde_json::from_slice::<Value>(data).ok();
    let named = event == Some(b"error");
    let itself = kind.as_ref().and_then(|value| value.get("type")?.as_str()) == Some("error");
    let mut failure = if named || itself { told::from_error_event(data) } else { told::in_stream(data)? };
    if let Some((_, status, _)) = TYPES.iter().find(|(kind, ..)| *kind == failure.kind) {
        failure.status = *status;
        if matches!(status, 400 | 404 | 413) {
            failure.retry = Retry::No;
        }
    }
    classify(&mut failure, data);
    Some(failure)
}

/// The failure that a whole reply with status 200 tells instead of a message.
pub(super) fn in_reply(body: &[u8]) -> Option<Failure> {
    let mut failure = told::inside_reply(body)?;
    classify(&mut failure, body);
    Some(failure)
}

fn classify(failure: &mut Failure, body: &[u8]) {
    if failure.class.is_none() {
        failure.class = TYPES.iter().find(|(kind, ..)| *kind == failure.kind).map(|(.., class)| *class);
    }
    if is_ours(body) {
        failure.original = told::original(Dialect::Anthropic, body);
    }
}

fn is_ours(body: &[u8]) -> bool {
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return false };
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str);
    text("/type") == Some("error") && text("/error/type").is_some() && text("/error/message").is_some()
}

/// The body of an error reply.
pub fn render(failure: &Failure, id: &str) -> Bytes {
    match own(failure) {
        Some(original) => original.body.clone(),
        None => {
            let mut out = Vec::with_capacity(160 + failure.message.len());
            write(failure, id, &mut out);
            Bytes::from(out)
        }
    }
}

/// The event that ends a stream which cannot go on.
pub fn event(failure: &Failure) -> Bytes {
    let mut out = Vec::with_capacity(176 + failure.message.len());
    out.extend_from_slice(b"event: error\ndata: ");
    match own(failure).filter(|original| memchr::memchr2(b'\n', b'\r', &original.body).is_none()) {
        Some(original) => out.extend_from_slice(&original.body),
        None => write(failure, "", &mut out),
    }
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

fn own(failure: &Failure) -> Option<&Original> {
    failure.original.as_deref().filter(|original| original.dialect == Dialect::Anthropic)
}

fn write(failure: &Failure, id: &str, out: &mut Vec<u8>) {
    let mut object = Object::typed(out, "error");
    let mut error = Object::typed(object.at("error"), word(failure));
    error.text("message", &message(failure));
    if let Some(code) = &failure.code {
        error.text("code", code);
    }
    if let Some(param) = &failure.param {
        error.text("param", param);
    }
    error.close();
    if !id.is_empty() {
        object.text("request_id", id);
    }
    object.close();
}

fn word(failure: &Failure) -> &'static str {
    match failure.class() {
        Class::Invalid | Class::ContextLength | Class::ContentFilter | Class::Unsupported => "invalid_request_error",
        Class::Auth => "authentication_error",
        Class::Permission => "permission_error",
        Class::NotFound => "not_found_error",
        Class::TooLarge => "request_too_large",
        Class::Quota => "billing_error",
        Class::RateLimit => "rate_limit_error",
        Class::Overloaded => "overloaded_error",
        Class::Timeout => "timeout_error",
        Class::Server => "api_error",
    }
}

/// Clients know a prompt that is too long by these words and by nothing else: they then shorten it.
fn message(failure: &Failure) -> Cow<'_, str> {
    const TOO_LONG: &str = "prompt is too long";
    if failure.class() == Class::ContextLength && !failure.message.contains(TOO_LONG) {
        return format!("{TOO_LONG}: {}", failure.message).into();
    }
    Cow::Borrowed(&failure.message)
}
