//! The plugin from outside its hook: which bucket a call takes from, and what a client is told.

use serde_json::json;
use sluice::testing::{self, FakeCall};
use sluice::{Fault, RequestVerdict};

use super::*;

fn limit(settings: serde_json::Value) -> RateLimit {
    testing::configure(&settings.to_string()).unwrap()
}

fn from(user: &str) -> FakeCall {
    FakeCall::asking("hi").header("x-user-id", user)
}

fn passes(plugin: &RateLimit, mut call: FakeCall) -> bool {
    matches!(call.on_request(plugin), Ok(RequestVerdict::Pass))
}

#[test]
fn each_value_has_a_bucket_that_refills() {
    testing::set_now_ms(1_000_000);
    let plugin = limit(json!({ "header": "X-User-Id", "rate": "60/min", "burst": 2 }));
    let mut first = from("a");
    assert_eq!(first.on_request(&plugin), Ok(RequestVerdict::Pass));
    assert_eq!(first.reply_headers().get("x-ratelimit-limit-requests").map(String::as_str), Some("2"));
    assert_eq!(first.reply_headers().get("x-ratelimit-remaining-requests").map(String::as_str), Some("1"));
    assert!(passes(&plugin, from("a")));
    let Ok(RequestVerdict::Deny(denial)) = from("a").on_request(&plugin) else { panic!("not refused") };
    assert_eq!((denial.status, denial.code.as_str()), (429, "rate_limit_exceeded"));
    assert!(denial.headers.contains(&("retry-after".to_owned(), "1".to_owned())));
    assert!(passes(&plugin, from("b")), "another value, another bucket");
    testing::advance(Duration::from_millis(999));
    assert!(!passes(&plugin, from("a")));
    testing::advance(Duration::from_millis(1));
    assert!(passes(&plugin, from("a")) && !passes(&plugin, from("a")));
    testing::advance(Duration::from_secs(3600));
    assert!(passes(&plugin, from("a")) && passes(&plugin, from("a")) && !passes(&plugin, from("a")));
}

#[test]
fn calls_without_the_header_go_as_the_operator_says() {
    let with = |without: &str| limit(json!({ "header": "x-user-id", "rate": "1/h", "without": without }));
    let plain = || FakeCall::asking("hi");
    let share = with("share");
    assert!(passes(&share, plain()) && !passes(&share, plain()));
    assert!(passes(&share, from("none")), "a value is never taken for no value");
    let allow = with("allow");
    assert!((0..5).all(|_| passes(&allow, plain())));
    let Ok(RequestVerdict::Deny(denial)) = plain().on_request(&with("deny")) else { panic!("not refused") };
    assert_eq!((denial.status, denial.code.as_str()), (400, "missing_header"));
}

#[test]
fn long_values_stand_under_their_digest() {
    let plugin = limit(json!({ "header": "x-user-id", "rate": "1/h" }));
    let long = "u".repeat(5000);
    assert!(passes(&plugin, from(&long)) && !passes(&plugin, from(&long)));
    assert!(passes(&plugin, from(&format!("{long}v"))));
    assert!(testing::kept().keys().all(|key| key.len() <= 202));
}

#[test]
fn a_smaller_bucket_is_not_overdrawn_by_an_old_one() {
    testing::set_now_ms(5_000);
    assert!(passes(&limit(json!({ "header": "x-user-id", "rate": "1000/min" })), from("a")));
    let smaller = limit(json!({ "header": "x-user-id", "rate": "1/min" }));
    assert!(passes(&smaller, from("a")) && !passes(&smaller, from("a")));
}

#[test]
fn without_a_store_it_fails_and_does_not_guess() {
    let plugin = limit(json!({ "header": "x-user-id", "rate": "1/h" }));
    testing::grant_kv(false);
    assert!(matches!(from("a").on_request(&plugin), Err(Fault::Denied(_))));
    testing::grant_kv(true);
}

#[test]
fn settings_have_bounds() {
    for (settings, field) in [
        (json!({ "rate": "1/s" }), "header"),
        (json!({ "header": "x" }), "rate"),
        (json!({ "header": "x", "rate": "0/s" }), "settings.rate"),
        (json!({ "header": "x", "rate": "+1/s" }), "settings.rate"),
        (json!({ "header": "x", "rate": "1/week" }), "settings.rate"),
        (json!({ "header": "x", "rate": "1/s", "burst": 0 }), "settings.burst"),
        (json!({ "header": "x y", "rate": "1/s" }), "settings.header"),
        (json!({ "header": "Authorization", "rate": "1/s" }), "credentials"),
        (json!({ "header": "x", "rate": "1/s", "without": "pass" }), "settings.without"),
    ] {
        let fault = testing::configure::<RateLimit>(&settings.to_string()).err().unwrap();
        assert!(matches!(&fault, Fault::InvalidConfig(text) if text.contains(field)), "{settings}: {fault}");
    }
}
