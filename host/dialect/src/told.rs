//! Reading the many shapes in which providers tell that they failed.
//!
//! Of a provider's error only a JSON document's message, type, code and field name reach the client, cleaned of secrets, addresses and
//! traces; anything else is for the log. A document that needs no cleaning is kept as it came as well, for clients of its own dialect.
//! Whether to retry is said here by status; when, the response's headers say, which nobody here sees.

use std::borrow::Cow;

use serde_json::Value;

use crate::clean;
use crate::failure::{Blame, Class, Failure, Retry};

mod class;

/// The longest message a client gets, in characters.
pub(crate) const MAX_MESSAGE: usize = 2000;

/// The longest `type`, `code` or `param`, in characters.
const MAX_WORD: usize = 128;

/// How much of an unreadable body the log gets, in characters.
const MAX_DETAIL: usize = 500;

/// The failure behind a provider's reply with an error status. A status outside 400 to 599 becomes 502.
///
/// The content type is not trusted: providers send JSON under others, and web pages under JSON's.
pub fn from_provider(status: u16, content_type: Option<&str>, body: &[u8]) -> Failure {
    let told = serde_json::from_slice(body).map_or_else(|_| Told::default(), |value| told(&value));
    let known = (400..=599).contains(&status);
    let mut failure = failure(told, if known { status } else { 502 }, body);
    // What is wrong with this account need not be wrong with the next target's.
    let elsewhere = matches!(failure.class, Some(Class::Auth | Class::Quota | Class::RateLimit | Class::Overloaded));
    failure.retry = if known && !elsewhere { retry(status) } else { Retry::NextTarget };
    if failure.detail.is_empty() && !body.is_empty() {
        failure.detail = format!("{}: {}", content_type.unwrap_or("no content type"), excerpt(body));
    }
    failure
}

fn retry(status: u16) -> Retry {
    match status {
        401..=403 | 408 | 409 | 425 | 429 | 500.. => Retry::NextTarget,
        _ => Retry::No,
    }
}

fn kind(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "insufficient_quota",
        403 => "permission_error",
        429 => "rate_limit_error",
        408 | 500.. => "server_error",
        _ => "invalid_request_error",
    }
}

/// The provider's error inside a stream's event: an object with an `error` that is not null, or one that calls itself an error.
pub fn in_stream(data: &[u8]) -> Option<Failure> {
    // Nearly every event of a stream has no such word.
    memchr::memmem::find(data, b"\"error\"")?;
    inside(&serde_json::from_slice(data).ok()?, data)
}

/// The failure of an event that is named `error`, whatever its data is.
pub fn from_error_event(data: &[u8]) -> Failure {
    match serde_json::from_slice(data) {
        Ok(value) => in_success(&value, data),
        Err(_) => failure(Told::default(), 502, data).with_retry(Retry::NextTarget),
    }
}

/// The provider's error inside a whole reply with status 200; a look at the whole body, for replies that are suspect.
pub(crate) fn inside_reply(body: &[u8]) -> Option<Failure> {
    match serde_json::from_slice(body) {
        Ok(value) => inside(&value, body),
        // Valid, but nested deeper than anything that explains itself.
        Err(_) => Some(failure(Told::default(), 502, body).with_retry(Retry::NextTarget)),
    }
}

/// The failure that a choice of a reply tells in its `error`. `data`: the document around it, for the log.
pub(crate) fn inside_choice(error: &Value, data: &[u8]) -> Failure {
    in_success(&serde_json::json!({ "error": error }), data)
}

/// A failure inside a success has the status that its own code names (OpenRouter's 502, Groq's `status_code`), else 502.
fn in_success(value: &Value, data: &[u8]) -> Failure {
    let inner = value.get("error").filter(|error| error.is_object()).unwrap_or(value);
    let named = ["status_code", "code", "status"].iter().find_map(|name| {
        let status = inner.get(*name)?;
        let status = status.as_u64().or_else(|| status.as_str()?.parse().ok())?;
        u16::try_from(status).ok().filter(|status| (400..=599).contains(status))
    });
    failure(told(value), named.unwrap_or(502), data).with_retry(Retry::NextTarget)
}

fn inside(value: &Value, data: &[u8]) -> Option<Failure> {
    // Some servers fill the field on success, with nothing.
    let empty = |error: &Value| match error {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Object(object) => object.is_empty(),
        _ => false,
    };
    let error = value.get("error").is_some_and(|error| !empty(error));
    let itself = value.get("object").and_then(Value::as_str) == Some("error");
    (error || itself).then(|| in_success(value, data))
}

fn failure(told: Told, status: u16, body: &[u8]) -> Failure {
    let detail = if told.message.is_some() && !told.more { String::new() } else { excerpt(body) };
    let said = told.message.as_deref().unwrap_or_default();
    // A provider that passes another's error on has its words beside its own, which then only say that there was one.
    let words = told.passed_on.as_deref().map_or(Cow::Borrowed(said), |raw| Cow::Owned(format!("{said}\n{raw}")));
    let class = class::of(status, told.code.as_deref(), told.kind.as_deref(), &words);
    let limited = status == 429 || matches!(class, Some(Class::RateLimit | Class::Overloaded));
    let retry_after = told.message.as_deref().filter(|_| limited).and_then(class::delay);
    Failure {
        blame: Blame::Provider,
        retry: Retry::No,
        status,
        kind: told.kind.map_or(Cow::Borrowed(kind(status)), Cow::Owned),
        code: told.code.map(Cow::Owned),
        param: told.param.map(Cow::Owned),
        message: told.message.unwrap_or_else(|| silent(status)),
        detail,
        retry_after,
        class,
        original: None,
        headers: Vec::new(),
    }
}

fn silent(status: u16) -> String {
    let what = match status {
        401 | 403 => "did not accept the gateway's credentials",
        404 => "does not know this model or path",
        408 | 504 => "took too long",
        429 => "is limiting requests",
        503 => "is overloaded",
        500.. => "failed",
        _ => "refused the request",
    };
    format!("The provider {what} (status {status}) and gave no readable reason.")
}

/// The beginning of a body for the log: one line, without secrets.
pub(crate) fn excerpt(body: &[u8]) -> String {
    let head = body.get(..body.len().min(MAX_DETAIL * 4)).unwrap_or_default();
    clean::log_line(&String::from_utf8_lossy(head), MAX_DETAIL)
}

/// What a provider's error says, cleaned.
#[derive(Default)]
struct Told {
    message: Option<String>,
    kind: Option<String>,
    code: Option<String>,
    param: Option<String>,
    /// The error of another provider behind this one, as it came (OpenRouter's `metadata.raw`).
    passed_on: Option<String>,
    /// There is more than the client gets.
    more: bool,
}

fn told(value: &Value) -> Told {
    // Gemini's OpenAI road wraps the object in a list.
    let value = value.as_array().map_or(value, |list| list.first().unwrap_or(&Value::Null));
    let inner = value.get("error").filter(|error| error.is_object()).unwrap_or(value);
    let from = |name: &str| inner.get(name).or_else(|| value.get(name)).filter(|found| !found.is_null());
    let message = message(inner).or_else(|| message(value));
    let status_word = from("status").and_then(Value::as_str);
    Told {
        message: message.as_deref().and_then(|text| clean::message(text, MAX_MESSAGE)),
        // A type is a word; a phrase there is no type that a client could know.
        kind: from("type").or_else(|| from("error_type")).and_then(word).filter(|kind| !kind.contains(' ')),
        code: from("code").filter(|code| status_word.is_none() || !code.is_number()).and_then(word).or_else(|| {
            // Where the code is a number beside a word (Gemini), the word says more.
            status_word.and_then(|status| clean::word(status, MAX_WORD))
        }),
        param: from("param").and_then(word),
        passed_on: from("metadata").and_then(|more| more.get("raw")?.as_str().map(str::to_owned)),
        more: from("metadata").is_some(),
    }
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => clean::word(text, MAX_WORD),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// The sentence in an error object, wherever this provider keeps it.
fn message(object: &Value) -> Option<String> {
    const PLACES: [&str; 6] = ["message", "error", "detail", "error_description", "errors", "msg"];
    PLACES.iter().filter_map(|name| object.get(name)).find_map(|found| sentence(found, 3))
}

fn sentence(value: &Value, depth: u8) -> Option<String> {
    let deeper = depth.checked_sub(1)?;
    match value {
        Value::String(text) => (!text.trim().is_empty()).then(|| text.clone()),
        Value::Array(list) => list.iter().find_map(|item| validation(item).or_else(|| sentence(item, deeper))),
        Value::Object(object) => {
            let places = ["message", "msg", "detail", "error"];
            places.iter().filter_map(|name| object.get(*name)).find_map(|found| sentence(found, deeper))
        }
        _ => None,
    }
}

/// `{"loc": ["body", "messages"], "msg": "Field required"}`, as FastAPI servers say it.
fn validation(item: &Value) -> Option<String> {
    let msg = item.get("msg")?.as_str()?;
    let path: Vec<String> = item.get("loc")?.as_array()?.iter().filter_map(word).collect();
    Some(if path.is_empty() { msg.to_owned() } else { format!("{}: {msg}", path.join(".")) })
}

/// The body as it came, if it may pass to a client of its own dialect: a JSON object of reasonable size in which cleaning changes no text.
pub(crate) fn original(dialect: crate::Dialect, body: &[u8]) -> Option<Box<crate::failure::Original>> {
    const MAX: usize = 16 * 1024;
    let value: Value = serde_json::from_slice(body.get(..body.len().min(MAX + 1))?).ok()?;
    (value.is_object() && is_clean(&value)).then(|| {
        let body = bytes::Bytes::copy_from_slice(body);
        Box::new(crate::failure::Original { dialect, body })
    })
}

fn is_clean(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty() || clean::is_clean(text),
        Value::Array(list) => list.iter().all(is_clean),
        Value::Object(members) => members.values().all(is_clean),
        _ => true,
    }
}
