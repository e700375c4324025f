//! Errors: what Google's say, and the same shape for clients.

use std::time::Duration;

use bytes::Bytes;
use serde_json::Value;

use crate::Dialect;
use crate::failure::{Class, Failure, Retry};
use crate::json::build as put;
use crate::told;

/// The failure behind a reply with an error status.
pub(super) fn read(status: u16, content_type: Option<&str>, body: &[u8]) -> Failure {
    let mut failure = told::from_provider(status, content_type, body);
    let Ok(value) = serde_json::from_slice::<Value>(body) else { return failure };
    // A stream that is a JSON array tells its error in one, too.
    let (whole, wrapped) = match value {
        Value::Array(list) => (list.into_iter().next().unwrap_or(Value::Null), true),
        whole => (whole, false),
    };
    let Some(error) = whole.get("error").filter(|error| error.is_object()) else { return failure };
    let class = classify(error, failure.status);
    // Google says 400 of a key that it does not know.
    if class == Class::Auth {
        failure.retry = Retry::NextTarget;
    }
    failure.class = Some(class);
    failure.retry_after = details(error).find_map(delay);
    failure.original = if wrapped {
        told::original(Dialect::Gemini, whole.to_string().as_bytes())
    } else {
        told::original(Dialect::Gemini, body)
    };
    failure
}

/// The failure that an object inside a 200 tells; `None` where it tells none.
pub(super) fn inside(data: &[u8]) -> Option<Failure> {
    memchr::memmem::find(data, b"\"error\"")?;
    let value: Value = serde_json::from_slice(data).ok()?;
    let whole = value.as_array().map_or(&value, |list| list.first().unwrap_or(&Value::Null));
    let error = whole.get("error").filter(|error| !error.is_null())?;
    let code = error.get("code").and_then(Value::as_u64).and_then(|code| u16::try_from(code).ok());
    let status = code.filter(|code| (400..=599).contains(code)).unwrap_or(502);
    let mut failure = read(status, Some("application/json"), data);
    if failure.status >= 500 {
        failure.retry = Retry::NextTarget;
    }
    Some(failure)
}

fn details(error: &Value) -> impl Iterator<Item = &Value> {
    error.get("details").and_then(Value::as_array).into_iter().flatten()
}

fn classify(error: &Value, status: u16) -> Class {
    let word = error.get("status").and_then(Value::as_str).unwrap_or_default();
    let message = error.get("message").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
    let reason = details(error).find_map(|detail| detail.get("reason")?.as_str()).unwrap_or_default();
    let says = |words: &[&str]| words.iter().any(|words| message.contains(words));
    if reason.starts_with("API_KEY_INVALID") || says(&["api key not valid", "api key expired", "api_key_invalid"]) {
        return Class::Auth;
    }
    match word {
        "UNAUTHENTICATED" => Class::Auth,
        "PERMISSION_DENIED" => Class::Permission,
        "NOT_FOUND" => Class::NotFound,
        "RESOURCE_EXHAUSTED" => exhausted(error, &message),
        "UNAVAILABLE" => Class::Overloaded,
        "DEADLINE_EXCEEDED" | "CANCELLED" => Class::Timeout,
        "UNIMPLEMENTED" => Class::Unsupported,
        "INTERNAL" | "UNKNOWN" | "DATA_LOSS" => Class::Server,
        "INVALID_ARGUMENT" | "FAILED_PRECONDITION" | "OUT_OF_RANGE" => {
            if says(&["token count", "maximum number of tokens", "context length", "context window"])
                && says(&["exceed", "too l", "larger"])
            {
                Class::ContextLength
            } else if says(&["payload size exceeds", "request payload"]) {
                Class::TooLarge
            } else if says(&["is not enabled for", "not supported", "unsupported", "does not support"]) {
                Class::Unsupported
            } else if says(&["blocked by", "safety settings", "prohibited content", "content policy"]) {
                Class::ContentFilter
            } else {
                Class::Invalid
            }
        }
        _ => Failure { class: None, ..Failure::new(crate::failure::Blame::Provider, status, "", "", "") }.class(),
    }
}

/// A quota that is renewed by the day, or that is none at all, is not waited for.
fn exhausted(error: &Value, message: &str) -> Class {
    let violations = details(error).filter_map(|detail| detail.get("violations")?.as_array()).flatten();
    let mut daily =
        violations.filter_map(|violation| violation.get("quotaId")?.as_str()).map(|id| id.contains("PerDay"));
    if daily.any(|daily| daily) || message.contains("per day") || message.contains("limit: 0,") {
        Class::Quota
    } else {
        Class::RateLimit
    }
}

/// `RetryInfo`: `"48s"`, `"48.939935699s"`, or seconds and nanoseconds.
fn delay(detail: &Value) -> Option<Duration> {
    // Longer than anybody waits.
    const MOST: f64 = 86_400.0 * 7.0;
    let seconds = match detail.get("retryDelay")? {
        Value::String(text) => text.trim_end_matches('s').parse::<f64>().ok()?,
        Value::Object(parts) => {
            parts.get("seconds").and_then(|seconds| seconds.as_f64().or_else(|| seconds.as_str()?.parse().ok()))?
        }
        _ => return None,
    };
    (0.0..=MOST).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

/// The body of an error reply: a Gemini provider's own words as they came, else the failure in Google's shape.
pub(super) fn write(failure: &Failure) -> Bytes {
    if let Some(original) = failure.original.as_deref().filter(|original| original.dialect == Dialect::Gemini) {
        return original.body.clone();
    }
    let mut out = Vec::with_capacity(128 + failure.message.len());
    append(failure, &mut out);
    Bytes::from(out)
}

/// What ends a stream that cannot go on.
pub(super) fn event(failure: &Failure) -> Bytes {
    let mut out = Vec::with_capacity(144 + failure.message.len());
    out.extend_from_slice(b"data: ");
    append(failure, &mut out);
    out.extend_from_slice(b"\r\n\r\n");
    Bytes::from(out)
}

/// `{"error":{...}}` in one line.
pub(super) fn append(failure: &Failure, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"error\":{");
    put::number(out, "code", failure.status);
    put::text(out, "message", &failure.message);
    let own = failure.code.as_deref().filter(|code| WORDS.contains(code));
    put::text(out, "status", own.unwrap_or_else(|| word(failure.class(), failure.status)));
    let code = failure.code.as_deref().filter(|code| own.is_none() && !code.is_empty());
    if code.is_some() || failure.retry_after.is_some() {
        put::key(out, "details");
        out.push(b'[');
        if let Some(code) = code {
            out.extend_from_slice(b"{\"@type\":\"type.googleapis.com/google.rpc.ErrorInfo\"");
            put::text(out, "reason", code);
            put::text(out, "domain", "sluice");
            out.push(b'}');
        }
        if let Some(delay) = failure.retry_after {
            put::comma(out);
            out.extend_from_slice(b"{\"@type\":\"type.googleapis.com/google.rpc.RetryInfo\"");
            let seconds = delay.as_secs() + u64::from(delay.subsec_nanos() > 0);
            put::text(out, "retryDelay", &format!("{seconds}s"));
            out.push(b'}');
        }
        out.push(b']');
    }
    out.extend_from_slice(b"}}");
}

/// Google's words for what went wrong.
const WORDS: [&str; 15] = [
    "INVALID_ARGUMENT",
    "FAILED_PRECONDITION",
    "OUT_OF_RANGE",
    "UNAUTHENTICATED",
    "PERMISSION_DENIED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "ABORTED",
    "RESOURCE_EXHAUSTED",
    "CANCELLED",
    "DATA_LOSS",
    "INTERNAL",
    "UNAVAILABLE",
    "DEADLINE_EXCEEDED",
    "UNIMPLEMENTED",
];

fn word(class: Class, status: u16) -> &'static str {
    match class {
        Class::Auth => "UNAUTHENTICATED",
        Class::Permission => "PERMISSION_DENIED",
        Class::NotFound => "NOT_FOUND",
        Class::Quota | Class::RateLimit => "RESOURCE_EXHAUSTED",
        Class::Overloaded => "UNAVAILABLE",
        Class::Unsupported if status == 501 => "UNIMPLEMENTED",
        Class::Timeout => "DEADLINE_EXCEEDED",
        Class::Server => "INTERNAL",
        _ if status >= 500 => "INTERNAL",
        Class::Invalid | Class::ContextLength | Class::TooLarge | Class::ContentFilter | Class::Unsupported => {
            "INVALID_ARGUMENT"
        }
    }
}
