//! Errors in this dialect's shape, and what kind of failure a provider's error is.
//!
//! The shape before a stream is chat's; inside a stream there are two events, `error` and `response.failed`, of which clients read either.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Value, json};

use super::write_reply;
use crate::Dialect;
use crate::failure::{Class, Failure};
use crate::hub::Asked;
use crate::openai_chat;
use crate::told;

const OWN: Dialect = Dialect::OpenaiResponses;

/// The failure behind a provider's reply with an error status.
pub fn from_provider(status: u16, content_type: Option<&str>, body: &[u8]) -> Failure {
    let mut failure = told::from_provider(status, content_type, body);
    failure.class = class(&failure);
    if openai_chat::error::has_shape(body) {
        failure.original = told::original(OWN, body);
    }
    failure
}

/// The failure that an `error` event tells, nested in `error` or flat.
pub(super) fn from_event(data: &[u8]) -> Failure {
    settle(told::from_error_event(data))
}

/// The failure of a response whose status is `failed`.
pub(super) fn from_response(response: &Value) -> Failure {
    let error = response.get("error").filter(|error| !error.is_null());
    let Some(error) = error else {
        return Failure::bad_gateway(
            "response_failed",
            "The provider says that the response failed, and gave no reason.",
        );
    };
    from_event(&json!({"error": error}).to_string().into_bytes())
}

/// Inside a 200 the code alone tells the status.
pub(super) fn settle(mut failure: Failure) -> Failure {
    failure.class = class(&failure);
    let named =
        failure.code.as_deref().and_then(|code| code.parse::<u16>().ok()).filter(|status| (400..600).contains(status));
    failure.status = named.unwrap_or(match failure.class() {
        Class::Invalid | Class::ContextLength | Class::ContentFilter => 400,
        Class::Auth => 401,
        Class::Permission => 403,
        Class::NotFound => 404,
        Class::TooLarge => 413,
        Class::Quota | Class::RateLimit => 429,
        Class::Unsupported => 501,
        Class::Overloaded => 503,
        Class::Timeout => 504,
        Class::Server => 502,
    });
    failure
}

/// What the provider's words say beyond the status.
fn class(failure: &Failure) -> Option<Class> {
    let code = failure.code.as_deref().unwrap_or_default();
    let by_word = |word: &str| {
        Some(match word {
            "context_length_exceeded" | "exceed_context_size_error" => Class::ContextLength,
            "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active" | "usage_limit_reached" => {
                Class::Quota
            }
            "rate_limit_exceeded" | "rate_limit_error" | "RateLimitReached" => Class::RateLimit,
            "invalid_api_key" | "authentication_error" | "invalid_authentication" | "token_expired" => Class::Auth,
            "permission_error" | "unsupported_country_region_territory" | "usage_not_included" => Class::Permission,
            "model_not_found" | "DeploymentNotFound" | "not_found_error" | "response_not_found" => Class::NotFound,
            "content_filter"
            | "content_policy_violation"
            | "bio_policy"
            | "image_content_policy_violation"
            | "cyber_policy"
            | "moderation_blocked" => Class::ContentFilter,
            "server_is_overloaded" | "slow_down" | "overloaded_error" | "engine_overloaded" => Class::Overloaded,
            "unsupported_parameter" | "unsupported_value" | "not_supported_error" => Class::Unsupported,
            "invalid_prompt"
            | "invalid_image"
            | "invalid_image_format"
            | "invalid_base64_image"
            | "invalid_image_url"
            | "image_too_large"
            | "image_too_small"
            | "image_parse_error"
            | "invalid_image_mode"
            | "image_file_too_large"
            | "unsupported_image_media_type"
            | "empty_image_file"
            | "failed_to_download_image"
            | "image_file_not_found" => Class::Invalid,
            "vector_store_timeout" => Class::Timeout,
            _ => return None,
        })
    };
    by_word(code).or_else(|| by_word(&failure.kind)).or_else(|| by_sentence(&failure.message)).or(failure.class)
}

/// Providers with another `code` say it in words that have not changed for years.
fn by_sentence(message: &str) -> Option<Class> {
    let has = |words: &str| message.contains(words);
    if has("exceeds the context window") || has("maximum context length") || has("maximum prompt length") {
        return Some(Class::ContextLength);
    }
    if has("Incorrect API key") || has("authentication token") {
        return Some(Class::Auth);
    }
    has("Model not found").then_some(Class::NotFound)
}

/// The body of an error reply.
pub fn write(failure: &Failure) -> Bytes {
    if let Some(original) = failure.original.as_deref().filter(|original| original.dialect == OWN) {
        return original.body.clone();
    }
    let body = json!({"error": {
        "message": failure.message,
        "type": kind(failure),
        "param": failure.param,
        "code": code(failure),
    }});
    Bytes::from(body.to_string())
}

/// OpenAI's `type`: the provider's word where it is one of this dialect.
pub(super) fn kind(failure: &Failure) -> Cow<'_, str> {
    let known = ["_error", "insufficient_quota", "tokens", "requests", "rate_limit_exceeded"];
    if known.iter().any(|known| failure.kind.ends_with(known)) {
        return Cow::Borrowed(&failure.kind);
    }
    Cow::Borrowed(match failure.class() {
        Class::Auth => "authentication_error",
        Class::Permission => "permission_error",
        Class::Quota => "insufficient_quota",
        Class::RateLimit => "rate_limit_error",
        Class::Overloaded | Class::Timeout | Class::Server => "server_error",
        _ => "invalid_request_error",
    })
}

/// The code that clients look for, where the failure has none.
pub(super) fn code(failure: &Failure) -> Option<&str> {
    failure.code.as_deref().or(match failure.class() {
        Class::ContextLength => Some("context_length_exceeded"),
        Class::Quota => Some("insufficient_quota"),
        Class::RateLimit => Some("rate_limit_exceeded"),
        Class::Overloaded => Some("server_is_overloaded"),
        Class::ContentFilter => Some("content_filter"),
        Class::Server => Some("server_error"),
        _ => None,
    })
}

/// The code in a failed response. OpenAI's schema has few; two more are what OpenAI sends and Codex gives up at instead of trying again.
pub(super) fn response_code(failure: &Failure) -> &str {
    const PUBLISHED: [&str; 20] = [
        "server_error",
        "rate_limit_exceeded",
        "invalid_prompt",
        "data_residency_mismatch",
        "bio_policy",
        "vector_store_timeout",
        "invalid_image",
        "invalid_image_format",
        "invalid_base64_image",
        "invalid_image_url",
        "image_too_large",
        "image_too_small",
        "image_parse_error",
        "image_content_policy_violation",
        "invalid_image_mode",
        "image_file_too_large",
        "unsupported_image_media_type",
        "empty_image_file",
        "failed_to_download_image",
        "image_file_not_found",
    ];
    if let Some(code) = failure.code.as_deref().filter(|code| PUBLISHED.contains(code)) {
        return code;
    }
    match failure.class() {
        Class::ContextLength => "context_length_exceeded",
        Class::Quota => "insufficient_quota",
        Class::RateLimit => "rate_limit_exceeded",
        Class::Invalid | Class::ContentFilter | Class::TooLarge | Class::Unsupported => "invalid_prompt",
        _ => "server_error",
    }
}

/// The data of the `error` event. Its fields stand flat, as OpenAI's schema has them, and nested, as OpenAI sends them.
pub(super) fn event(failure: &Failure, number: u64) -> Value {
    let code = code(failure);
    json!({
        "type": "error",
        "sequence_number": number,
        "code": code,
        "message": failure.message,
        "param": failure.param,
        "error": {"type": kind(failure), "code": code, "message": failure.message, "param": failure.param},
    })
}

/// What ends a stream that passes through: nobody here has seen its response object, so the failed one is bare.
pub fn stream_event(failure: &Failure) -> Bytes {
    let response = write_reply::failed(failure, &Asked::default());
    let failed = json!({"type": "response.failed", "sequence_number": 1, "response": response});
    let text = format!("event: error\ndata: {}\n\nevent: response.failed\ndata: {failed}\n\n", event(failure, 0));
    Bytes::from(text)
}

#[cfg(test)]
#[path = "error_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
