//! Errors of Google, and any failure in Google's shape.

use std::time::Duration;

use serde_json::{Value, json};

use super::recorded::cases;
use crate::Dialect;
use crate::dialect::Api as _;
use crate::failure::{Blame, Class, Failure, Retry};
use crate::gemini::Api;

fn read(status: u16, body: &Value) -> Failure {
    Api.read_error(status, Some("application/json"), body.to_string().as_bytes())
}

fn write(failure: &Failure) -> Value {
    serde_json::from_slice(&Api.write_error(failure, "id")).unwrap()
}

#[test]
fn recorded_errors_have_their_class_and_pass_as_they_came() {
    let mut seen = 0;
    for case in cases().iter().filter(|case| case.status != 200) {
        let failure = Api.read_error(case.status, Some("text/event-stream"), case.body.as_bytes());
        let told: Value = serde_json::from_str(&case.body).unwrap();
        let message = told["error"]["message"].as_str().unwrap();
        assert_eq!(failure.status, case.status, "{}", case.name);
        let class = match message {
            _ if message.contains("is not found") || message.contains("not found.") => Class::NotFound,
            _ if message.contains("API key not valid") => Class::Auth,
            _ if message.contains("exhausted") || message.contains("exceeded your current quota") => Class::RateLimit,
            _ if message.contains("not enabled for") || message.contains("not supported by") => Class::Unsupported,
            _ => Class::Invalid,
        };
        assert_eq!(failure.class(), class, "{}: {message}", case.name);
        assert_eq!(failure.code.as_deref(), told["error"]["status"].as_str());
        assert_eq!(
            failure.retry,
            if matches!(class, Class::Auth | Class::RateLimit) { Retry::NextTarget } else { Retry::No }
        );
        // A client of this dialect reads the provider's own words; one of another, the message.
        if failure.original.is_some() {
            assert_eq!(write(&failure), told);
            seen += 1;
        }
        let waits = told["error"]["details"].to_string().contains("retryDelay");
        assert_eq!(failure.retry_after.is_some(), waits, "{}", case.name);
    }
    assert!(seen > 15, "{seen}");
}

#[test]
fn classes_delays_and_wrapped_bodies() {
    let error = |code: u16, status: &str, message: &str, details: Value| json!({"error": {"code": code, "status": status, "message": message, "details": details}});
    let info = |delay: Value| json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay});
    let quota =
        |id: &str| json!({"@type": "type.googleapis.com/google.rpc.QuotaFailure", "violations": [{"quotaId": id}]});
    for (status, word, message, details, class) in [
        (401, "UNAUTHENTICATED", "m", json!([]), Class::Auth),
        (403, "PERMISSION_DENIED", "m", json!([]), Class::Permission),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "m",
            json!([quota("GenerateRequestsPerDayPerProjectPerModel-FreeTier"), info(json!("3s"))]),
            Class::Quota,
        ),
        (
            429,
            "RESOURCE_EXHAUSTED",
            "m",
            json!([quota("GenerateRequestsPerMinutePerProject"), info(json!("3s"))]),
            Class::RateLimit,
        ),
        (503, "UNAVAILABLE", "The model is overloaded. Please try again later.", Value::Null, Class::Overloaded),
        (504, "DEADLINE_EXCEEDED", "m", Value::Null, Class::Timeout),
        (500, "INTERNAL", "m", Value::Null, Class::Server),
        (
            400,
            "INVALID_ARGUMENT",
            "The input token count (1048577) exceeds the maximum number of tokens allowed (1048576).",
            Value::Null,
            Class::ContextLength,
        ),
        (
            400,
            "INVALID_ARGUMENT",
            "Request payload size exceeds the limit: 20971520 bytes.",
            Value::Null,
            Class::TooLarge,
        ),
        (400, "INVALID_ARGUMENT", "Function calling is not supported by this model", Value::Null, Class::Unsupported),
        (400, "FAILED_PRECONDITION", "Budget 0 is invalid.", Value::Null, Class::Invalid),
        (418, "NEW_WORD", "m", Value::Null, Class::Invalid),
    ] {
        let failure = read(status, &error(status, word, message, details.clone()));
        assert_eq!((failure.class(), failure.status), (class, status), "{word} {message}");
        assert_eq!(failure.retry_after.is_some(), details.to_string().contains("retryDelay"));
    }
    for (delay, seconds) in [
        (json!("48s"), Some(48.0)),
        (json!("48.939935699s"), Some(48.939_935_699)),
        (json!({"seconds": "7", "nanos": 5}), Some(7.0)),
        (json!("-1s"), None),
        (json!("soon"), None),
        (json!("1e300s"), None),
    ] {
        let failure = read(429, &error(429, "RESOURCE_EXHAUSTED", "m", json!([info(delay)])));
        assert_eq!(failure.retry_after, seconds.map(Duration::from_secs_f64));
    }
    let inner = error(400, "INVALID_ARGUMENT", "m", json!([]));
    let wrapped = read(400, &json!([inner]));
    assert_eq!((wrapped.message.as_str(), write(&wrapped)), ("m", inner));
    for odd in ["", "<html>", "[]", "{}", r#"{"error":"plain"}"#, r#"{"error":{"code":"x"}}"#] {
        assert_eq!(Api.read_error(500, None, odd.as_bytes()).status, 500);
    }
}

#[test]
fn any_failure_in_googles_shape() {
    let mut failure = Failure::new(Blame::Provider, 429, "rate_limit_error", "rate_limit_exceeded", "Too fast.");
    failure.retry_after = Some(Duration::from_millis(1500));
    assert_eq!(
        write(&failure),
        json!({"error": {"code": 429, "message": "Too fast.", "status": "RESOURCE_EXHAUSTED", "details": [
            {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "rate_limit_exceeded", "domain": "sluice"},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "2s"},
        ]}})
    );
    for (class, word) in [
        (Class::Auth, "UNAUTHENTICATED"),
        (Class::NotFound, "NOT_FOUND"),
        (Class::ContextLength, "INVALID_ARGUMENT"),
        (Class::Quota, "RESOURCE_EXHAUSTED"),
        (Class::Overloaded, "UNAVAILABLE"),
        (Class::Timeout, "DEADLINE_EXCEEDED"),
    ] {
        let failure = Failure { code: None, ..Failure::invalid("x", "m").with_class(class) };
        assert_eq!(write(&failure), json!({"error": {"code": 400, "message": "m", "status": word}}));
        // Another dialect's own words are not for this one's clients.
        let body = bytes::Bytes::from_static(b"{}");
        let other = Failure {
            original: Some(Box::new(crate::failure::Original { dialect: Dialect::Anthropic, body })),
            ..failure
        };
        assert_eq!(write(&other)["error"]["status"], word);
    }
    let event = Api.error_event(&failure);
    let data = event.strip_prefix(b"data: ").unwrap().strip_suffix(b"\r\n\r\n").unwrap();
    assert_eq!(serde_json::from_slice::<Value>(data).unwrap(), write(&failure));
    let read = Api.stream_failure(None, data).unwrap();
    assert_eq!((read.status, read.message.as_str()), (429, "Too fast."));
}
