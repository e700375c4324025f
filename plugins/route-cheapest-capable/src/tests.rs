//! The plugin from outside its hook: who comes first, and who is left out.

use serde_json::{Value, json};
use sluice::testing::{self, FakeCall, FakeTarget};

use super::*;

fn router(settings: Value) -> Router {
    testing::configure(&settings.to_string()).unwrap()
}

fn large() -> FakeTarget {
    FakeTarget::new("a/large").prices(5.0, 20.0).number("context-window", 200_000.0)
}

fn small() -> FakeTarget {
    FakeTarget::new("a/small").prices(0.2, 0.6).number("context-window", 8_000.0).number("max-output", 4_000.0)
}

fn new() -> FakeTarget {
    FakeTarget::new("b/new")
}

#[track_caller]
fn order(router: &Router, request: Value, tokens: u32, targets: &[FakeTarget]) -> Vec<String> {
    let call = FakeCall::chat(request).estimated_tokens(tokens);
    let mut call = targets.iter().cloned().fold(call, FakeCall::offered);
    call.routed(router).unwrap().expect("an order")
}

fn plain() -> Value {
    json!({ "model": "m", "messages": [{ "role": "user", "content": "hi" }] })
}

#[test]
fn the_cheapest_that_can_comes_first() {
    let plugin = router(json!({}));
    assert_eq!(order(&plugin, plain(), 100, &[new(), large(), small()]), ["a/small", "a/large", "b/new"]);
    assert_eq!(order(&plugin, plain(), 7_999, &[large(), small()]), ["a/small", "a/large"]);
    assert_eq!(order(&plugin, plain(), 8_001, &[large(), small()]), ["a/large"], "the prompt is too long");
    let long = json!({ "model": "m", "max_tokens": 5_000, "messages": [] });
    assert_eq!(order(&plugin, long, 100, &[small(), large()]), ["a/large"], "the reply is too long");
    let both = json!({ "model": "m", "max_completion_tokens": 2_000, "messages": [] });
    assert_eq!(order(&plugin, both, 7_000, &[small(), large()]), ["a/large"], "both together are");
}

#[test]
fn a_long_reply_is_what_costs() {
    let (asks, tells) = (FakeTarget::new("a/asks").prices(1.0, 9.0), FakeTarget::new("a/tells").prices(2.0, 2.0));
    let targets = [asks, tells];
    assert_eq!(order(&router(json!({ "reply_tokens": 10 })), plain(), 1_000, &targets), ["a/asks", "a/tells"]);
    assert_eq!(order(&router(json!({})), plain(), 1_000, &targets), ["a/tells", "a/asks"]);
    let short = json!({ "max_tokens": 10, "messages": [] });
    assert_eq!(order(&router(json!({})), short, 1_000, &targets), ["a/asks", "a/tells"]);
}

#[test]
fn what_a_call_needs_leaves_out_who_lacks_it() {
    let plugin = router(json!({}));
    let image = json!([{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "data:" } }] }]);
    for (capability, request) in [
        ("tools", json!({ "messages": [], "tools": [{ "type": "function" }] })),
        ("vision", json!({ "messages": image })),
        ("json-schema", json!({ "messages": [], "response_format": { "type": "json_schema" } })),
        ("reasoning", json!({ "messages": [], "reasoning_effort": "high" })),
    ] {
        let targets = [small().lacks(capability), large()];
        assert_eq!(order(&plugin, request.clone(), 100, &targets), ["a/large"], "{capability}");
        assert_eq!(order(&plugin, plain(), 100, &targets), ["a/small", "a/large"], "{capability} is not needed");
        let mut alone = FakeCall::chat(request).offered(small().lacks(capability));
        let Ok(RouteVerdict::Deny(denial)) = alone.on_route(&plugin) else { panic!("{capability}: not refused") };
        assert_eq!((denial.status, denial.code.as_str()), (400, "no_capable_target"));
        assert!(denial.message.contains(&format!("a/small: no {capability}")), "{}", denial.message);
    }
    let said = json!({ "messages": [{ "role": "user", "content": "the part \"image_url\"" }], "tools": [] });
    assert_eq!(order(&plugin, said, 100, &[small().lacks("vision").lacks("tools")]), ["a/small"]);
}

#[test]
fn those_that_ail_stand_behind() {
    let plugin = router(json!({}));
    assert_eq!(order(&plugin, plain(), 100, &[small().lacks("healthy"), large()]), ["a/large", "a/small"]);
    assert_eq!(order(&plugin, plain(), 100, &[small().number("error-rate", 0.6), large()]), ["a/large", "a/small"]);
    assert_eq!(order(&plugin, plain(), 100, &[small().number("error-rate", 0.5), large()]), ["a/small", "a/large"]);
}

#[test]
fn an_unknown_price_stands_where_the_operator_says() {
    let with = |unpriced: &str| router(json!({ "unpriced": unpriced }));
    assert_eq!(order(&with("first"), plain(), 100, &[small(), new()]), ["b/new", "a/small"]);
    assert_eq!(order(&with("never"), plain(), 100, &[small(), new()]), ["a/small"]);
    assert!(order(&with("never"), plain(), 100, &[new()]).is_empty());
}

#[test]
fn settings_have_bounds() {
    for (settings, field) in [
        (json!({ "reply_tokens": 0 }), "settings.reply_tokens"),
        (json!({ "error_rate": 0 }), "settings.error_rate"),
        (json!({ "error_rate": 1.5 }), "settings.error_rate"),
        (json!({ "unpriced": "maybe" }), "settings.unpriced"),
        (json!({ "unpriced": "last", "more": 1 }), "unknown field `more`"),
    ] {
        let fault = testing::configure::<Router>(&settings.to_string()).err().unwrap();
        assert!(matches!(&fault, Fault::InvalidConfig(text) if text.contains(field)), "{settings}: {fault}");
    }
}
