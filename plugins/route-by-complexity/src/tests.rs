//! The plugin from outside its hook: which targets an easy and a hard prompt go to.

use serde_json::json;
use sluice::testing::{self, FakeCall, FakeTarget};

use super::*;

fn router() -> Router {
    let tiers = json!([{ "up_to": 20, "use": ["*/small", "*"] }, { "use": ["*/large"] }]);
    testing::configure(&json!({ "tiers": tiers, "hard_words": ["Kontrapunkt"] }).to_string()).unwrap()
}

fn call(request: serde_json::Value) -> FakeCall {
    FakeCall::chat(request).offered(FakeTarget::new("a/large")).offered(FakeTarget::new("a/small"))
}

fn asking(text: &str) -> FakeCall {
    call(json!({ "model": "m", "messages": [{ "role": "user", "content": text }] }))
}

fn first(mut call: FakeCall) -> String {
    call.routed(&router()).unwrap().expect("an order").remove(0)
}

#[test]
fn easy_prompts_go_to_the_first_tier_and_hard_ones_to_the_last() {
    assert_eq!(first(asking("What is the capital of France?")), "a/small");
    let hard =
        format!("Prove why this is optimal, step by step, and debug it:\n```rust\n{}```", "let x = 1;\n".repeat(40));
    let mut hard = asking(&hard);
    assert_eq!(hard.routed(&router()), Ok(Some(vec!["a/large".to_owned()])), "what is not named is not tried");
    assert!(hard.tags().get("complexity").unwrap().parse::<u32>().unwrap() > 20);
    assert_eq!(asking("hi").routed(&router()), Ok(Some(vec!["a/small".to_owned(), "a/large".to_owned()])));
}

#[test]
fn every_sign_counts_and_none_decides_alone() {
    let score = |request: serde_json::Value| {
        let mut call = call(request);
        call.on_route(&router()).unwrap();
        call.tags().get("complexity").unwrap().parse::<u32>().unwrap()
    };
    let text = |text: &str| json!({ "messages": [{ "role": "user", "content": text }] });
    assert_eq!(score(text("hi")), 0);
    assert_eq!(score(text("Why?")), 5);
    assert_eq!(score(text("whys and compares")), 0, "words by themselves");
    assert_eq!(score(text("Was ist ein Kontrapunkt?")), 5);
    assert_eq!(score(text(&"why prove debug compare derive analyze ".repeat(3))), 21);
    assert_eq!(score(text("a? b? c?")), 4);
    assert_eq!(score(text("```\nx\n```")), 15);
    assert_eq!(score(text(&"word ".repeat(100_000))), 40, "length alone is not hard");
    let mut turns = vec![json!({ "role": "user", "content": "hi" }), json!({ "role": "assistant", "content": "ho" })];
    turns.push(json!({ "role": "user", "content": "hi" }));
    let request =
        json!({ "messages": turns, "tools": [{ "type": "function" }], "response_format": { "type": "json_object" } });
    assert_eq!(score(request), 12);
    assert_eq!(score(json!({ "messages": [], "tools": [], "response_format": null })), 0);
}

#[test]
fn a_call_without_the_tiers_targets_keeps_its_order() {
    let mut other = FakeCall::asking(&"why prove debug compare ".repeat(60)).offered(FakeTarget::new("b/medium"));
    assert_eq!(other.routed(&router()), Ok(None));
}

#[test]
fn tiers_rise() {
    let one = json!({ "up_to": 20, "use": ["a/b"] });
    for (tiers, words) in [
        (json!([]), "settings.tiers: must be at least two"),
        (json!([{ "use": ["a/b"] }]), "settings.tiers: must be at least two"),
        (json!([one, one]), "tiers[1].up_to: the last tier"),
        (json!([{ "use": ["a"] }, { "use": ["a"] }]), "tiers[0].up_to: is missing"),
        (json!([one, { "up_to": 20, "use": ["a"] }, { "use": ["a"] }]), "tiers[1].up_to: must be below 100 and rise"),
        (json!([{ "up_to": 100, "use": ["a"] }, { "use": ["a"] }]), "tiers[0].up_to: must be below 100"),
        (json!([one, { "use": [] }]), "tiers[1].use"),
        (json!([one, { "use": ["a"], "weight": 1 }]), "unknown field `weight`"),
    ] {
        let fault = testing::configure::<Router>(&json!({ "tiers": tiers }).to_string()).err().unwrap();
        assert!(matches!(&fault, Fault::InvalidConfig(text) if text.contains(words)), "{tiers}: {fault}");
    }
    let words = json!({ "tiers": [one, { "use": ["a"] }], "hard_words": [" "] });
    assert!(testing::configure::<Router>(&words.to_string()).is_err());
}
