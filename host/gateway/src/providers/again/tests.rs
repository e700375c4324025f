//! Every recorded and documented spelling, and junk.

use http::{HeaderName, HeaderValue};
use serde_json::json;

use super::*;

/// 2026-03-01T12:00:00Z.
const NOW: u64 = 1_772_366_400;

fn asked(headers: &[(&str, &str)], body: &str) -> Option<f64> {
    let headers: HeaderMap = headers
        .iter()
        .map(|(name, value)| (HeaderName::try_from(*name).unwrap(), HeaderValue::from_bytes(value.as_bytes()).unwrap()))
        .collect();
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(NOW);
    retry_after(StatusCode::TOO_MANY_REQUESTS, &headers, body.as_bytes(), now)
        .map(|delay| (delay.as_secs_f64() * 1000.0).round() / 1000.0)
}

#[test]
fn headers_in_every_spelling() {
    let moment_ms = format!("{}", (NOW + 45) * 1000);
    let moment = format!("{}", NOW + 45);
    type Row<'a> = (&'a [(&'a str, &'a str)], Option<f64>);
    let table: &[Row<'_>] = &[
        (&[("retry-after", "20")], Some(20.0)),
        (&[("retry-after", " 20 ")], Some(20.0)),
        (&[("retry-after", "0")], Some(0.0)),
        (&[("retry-after", "1.5")], Some(1.5)),
        (&[("retry-after", "2s")], Some(2.0)),
        (&[("retry-after", "Sun, 01 Mar 2026 12:00:30 GMT")], Some(30.0)),
        (&[("retry-after-ms", "1500")], Some(1.5)),
        (&[("retry-after-ms", "1500"), ("retry-after", "2")], Some(1.5)),
        // As Azure sends it.
        (&[("retry-after-ms", "0"), ("retry-after", "1")], Some(1.0)),
        (&[("retry-after-ms", "0")], Some(0.0)),
        (&[("retry-after-ms", "soon"), ("retry-after", "3")], Some(3.0)),
        (&[("retry-after", &moment)], Some(45.0)),
        (&[("x-ratelimit-reset", &moment_ms), ("x-ratelimit-remaining", "0")], Some(45.0)),
        (&[("x-ratelimit-reset", &moment)], Some(45.0)),
        (&[("x-ratelimit-reset", "12")], Some(12.0)),
        (&[("ratelimit-reset", "9")], Some(9.0)),
        (
            &[
                ("x-ratelimit-reset-requests", "17ms"),
                ("x-ratelimit-remaining-requests", "4"),
                ("x-ratelimit-reset-tokens", "6m0s"),
                ("x-ratelimit-remaining-tokens", "0"),
            ],
            Some(360.0),
        ),
        (&[("x-ratelimit-reset-requests", "1m2.5s"), ("x-ratelimit-remaining-requests", "0")], Some(62.5)),
        (
            &[
                ("anthropic-ratelimit-tokens-reset", "2026-03-01T12:00:10Z"),
                ("anthropic-ratelimit-tokens-remaining", "0"),
                ("anthropic-ratelimit-requests-reset", "2026-03-01T13:00:00Z"),
                ("anthropic-ratelimit-requests-remaining", "49"),
            ],
            Some(10.0),
        ),
        (&[("retry-after", "5"), ("x-ratelimit-reset", "50")], Some(5.0)),
        // Nothing is used up: it is no rate that refused.
        (&[("x-ratelimit-reset-tokens", "6m0s"), ("x-ratelimit-remaining-tokens", "100")], None),
    ];
    for (headers, expected) in table {
        assert_eq!(asked(headers, ""), *expected, "{headers:?}");
    }
}

#[test]
fn bodies_in_every_spelling() {
    let google = |delay: serde_json::Value| {
        json!({"error": {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [
            {"@type": "type.googleapis.com/google.rpc.QuotaFailure"},
            {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay},
        ]}})
    };
    let openrouter = json!({"error": {"code": 429, "message": "Rate limit exceeded", "metadata": {
        "headers": {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": ((NOW + 50) * 1000).to_string()}
    }}});
    let number = json!({"error": {"metadata": {"headers": {"X-RateLimit-Reset": (NOW + 50) * 1000}}}});
    for (body, expected) in [
        (google(json!("48s")), Some(48.0)),
        (google(json!("48.939935699s")), Some(48.94)),
        (google(json!({"seconds": 30, "nanos": 500_000_000})), Some(30.5)),
        (google(json!({"seconds": "30"})), Some(30.0)),
        (json!([google(json!("7s"))]), Some(7.0)),
        (openrouter, Some(50.0)),
        (number, Some(50.0)),
        (json!({"error": {"message": "slow down", "retry_after": 3}}), Some(3.0)),
        (json!({"error": {"metadata": {"retry_after_seconds": 2.5}}}), Some(2.5)),
        (json!({"retry_after": "4"}), Some(4.0)),
        (google(json!("-3s")), None),
        (google(json!("soon")), None),
        (google(json!({"nanos": 5})), None),
        (json!({"error": "no"}), None),
        (json!([]), None),
    ] {
        assert_eq!(asked(&[], &body.to_string()), expected, "{body}");
    }
    assert_eq!(asked(&[("retry-after", "9")], &google(json!("48s")).to_string()), Some(9.0), "headers go first");
    assert_eq!(asked(&[("retry-after", "junk")], &google(json!("48s")).to_string()), Some(48.0));
}

#[test]
fn a_failure_of_the_server_is_no_matter_of_rates() {
    let headers = HeaderMap::from_iter([("x-ratelimit-reset".parse().unwrap(), "60".parse().unwrap())]);
    assert_eq!(retry_after(StatusCode::BAD_GATEWAY, &headers, b"", SystemTime::now()), None);
    let headers = HeaderMap::from_iter([("retry-after".parse().unwrap(), "60".parse().unwrap())]);
    assert!(retry_after(StatusCode::BAD_GATEWAY, &headers, b"", SystemTime::now()).is_some());
}

#[test]
fn junk_is_nothing() {
    for text in [
        "",
        "-1",
        "-0.5",
        "+5",
        "1e3",
        "inf",
        "nan",
        "soon",
        "5 minutes",
        "0x10",
        "1,5",
        "..",
        "1.2.3",
        "s",
        "5x",
        "99999999",
        "999999999999999999999999999999",
        "Sun, 01 Mar 2026 11:59:59 GMT",
        "Sun, 01 Mar 2027 12:00:00 GMT",
        "2026-03-01T11:00:00Z",
        "32 Foo 2026",
        "\u{ff15}",
    ] {
        assert_eq!(asked(&[("retry-after", text)], ""), None, "{text:?}");
        assert_eq!(asked(&[("x-ratelimit-reset", text)], ""), None, "{text:?}");
    }
    for text in ["-5", "x", "99999999999999"] {
        assert_eq!(asked(&[("retry-after-ms", text)], ""), None, "{text:?}");
    }
    for body in ["{", "null", "\u{0}", "[[[[", "{\"error\":{\"details\":7,\"metadata\":[]}}"] {
        assert_eq!(asked(&[], body), None, "{body:?}");
    }
}
