//! The plugin from outside its hook: which rule holds for a call, and which expressions are refused.

use serde_json::{Value, json};
use sluice::testing::{self, FakeCall, FakeTarget};

use super::*;

fn router(rules: Value) -> Result<Router, Fault> {
    testing::configure(&json!({ "rules": rules }).to_string())
}

fn chat() -> FakeCall {
    let messages = json!([
        { "role": "system", "content": "Be kind." },
        { "role": "user", "content": "hi" },
        { "role": "assistant", "content": "ho" },
        { "role": "user", "content": "please TRANSLATE this" },
    ]);
    FakeCall::chat(json!({ "model": "smart", "stream": true, "messages": messages, "tools": [{}] }))
        .offered(FakeTarget::new("a/one"))
        .offered(FakeTarget::new("b/two"))
        .estimated_tokens(9_000)
        .header("x-tier", "gold")
        .caller("key", "search-prod")
        .caller("team", "search")
        .caller("label.region", "eu")
        .tag("pii", "none")
}

/// Whether the expression holds for the call above.
#[track_caller]
fn holds(when: &str) -> bool {
    let router = router(json!([{ "when": when, "use": ["b/*"] }])).unwrap_or_else(|fault| panic!("{when}: {fault}"));
    let order = chat().routed(&router).unwrap_or_else(|fault| panic!("{when}: {fault}"));
    order.inspect(|order| assert_eq!(*order, ["b/two"])).is_some()
}

#[test]
fn expressions_read_the_call() {
    // 2025-12-31 23:59 UTC, a Wednesday.
    testing::set_now_ms(1_767_225_599_999);
    for when in [
        "true",
        "caller.team == 'search' && tokens > 8000",
        "caller.key.startsWith('search-') && caller.user == ''",
        "caller.labels.region == 'eu' && caller.labels['zone'] == ''",
        "headers['x-tier'] in ['gold', 'silver'] && headers['X-None'] == ''",
        "tags['pii'] == 'none'",
        "model == 'smart' && operation == 'chat' && dialect == 'openai-chat' && stream",
        "time.hour >= 22 || time.hour < 6",
        "time.weekday == 3 && time.minute == 59",
        "prompt.text.contains('TRANSLATE') && prompt.turns == 1 && prompt.tools && prompt.bytes > 20",
        "['search', 'ads'].exists(team, team == caller.team)",
        "size(model) == 5 ? true : false",
        "double(tokens) / 2.0 > 4000.0",
    ] {
        assert!(holds(when), "{when}");
    }
    for when in ["false", "!stream", "caller.team == 'ads'", "tokens > 9000", "['ads'].all(team, team == caller.team)"]
    {
        assert!(!holds(when), "{when}");
    }
}

#[test]
fn the_first_rule_that_holds_decides() {
    let rules = json!([
        { "when": "caller.team == 'ads'", "use": ["a/one"] },
        { "when": "caller.team == 'search'", "use": ["b/two", "*"], "reason": "search likes two" },
        { "when": "true", "use": ["a/one"] },
    ]);
    let router = router(rules).unwrap();
    let verdict = chat().on_route(&router).unwrap();
    assert_eq!(verdict, RouteVerdict::Order { targets: vec![1, 0], reason: "search likes two".to_owned() });
    let verdict = FakeCall::asking("x").offered(FakeTarget::new("a/one")).on_route(&router).unwrap();
    assert_eq!(verdict, RouteVerdict::Order { targets: vec![0], reason: "rule 3".to_owned() });
}

#[test]
fn a_rule_whose_targets_are_not_there_leaves_none() {
    let router = router(json!([{ "when": "true", "use": ["eu/*"] }])).unwrap();
    assert_eq!(chat().routed(&router), Ok(Some(Vec::new())));
}

#[test]
fn what_cannot_be_computed_is_a_fault_that_tells_nothing_of_the_call() {
    let router = router(json!([{ "when": "int(prompt.text) > 5", "use": ["*"] }])).unwrap();
    let fault = chat().on_route(&router).unwrap_err();
    assert!(fault.message().contains("rules[0].when") && !fault.message().contains("TRANSLATE"), "{fault}");
}

#[test]
fn a_wrong_expression_is_refused_with_its_place() {
    let long = format!("model == '{}'", "x".repeat(2100));
    for (when, words) in [
        ("caller.team ==", "settings.rules[0].when: 1:"),
        ("", "settings.rules[0].when: 1:"),
        ("stream &&\n  teem == 'x'", "settings.rules[0].when: 2:3: there is no `teem`; there are model,"),
        ("stream && caller.tema == 'x'", "1:11: there is no `caller.tema`"),
        ("caller['a'].b == 'x'", "1:1: there is no `caller.a.b`"),
        ("headers.size() > 0", "names written out"),
        ("'x' in headers", "names written out"),
        ("headers[model] == 'x'", "names written out"),
        ("has(headers.tier)", "compare with ''"),
        ("false && nothere(model)", "1:17: there is no function `nothere`"),
        ("model", "is a string, not true or false"),
        ("tokens > 'many'", "no matching overload"),
        ("[1, 2].exists(a, [1].exists(b, a == b))", "within another one"),
        ("Foo{a: 1} == 2", "messages cannot be made"),
        (long.as_str(), "at most 2048"),
    ] {
        let fault = router(json!([{ "when": when, "use": ["*"] }])).err().unwrap_or_else(|| panic!("{when}: taken"));
        assert!(matches!(&fault, Fault::InvalidConfig(text) if text.contains(words)), "{when}: {fault}");
    }
}

#[test]
fn settings_have_bounds() {
    let rule = json!({ "when": "true", "use": ["*"] });
    for (rules, words) in [
        (json!([]), "settings.rules: must be 1 to 64"),
        (json!(vec![rule; 65]), "settings.rules: must be 1 to 64"),
        (json!([{ "when": "true", "use": [] }]), "settings.rules[0].use"),
        (json!([{ "when": "true", "use": [""] }]), "settings.rules[0].use"),
        (json!([{ "when": "true", "use": ["*"], "reason": "" }]), "settings.rules[0].reason"),
        (json!([{ "when": "true", "use": ["*"], "then": 1 }]), "unknown field `then`"),
    ] {
        let fault = router(rules.clone()).err().unwrap();
        assert!(matches!(&fault, Fault::InvalidConfig(text) if text.contains(words)), "{rules}: {fault}");
    }
}

#[test]
fn nesting_is_bounded() {
    let deep = format!("{}true{}", "(".repeat(500), ")".repeat(500));
    assert!(router(json!([{ "when": deep, "use": ["*"] }])).is_err());
}
