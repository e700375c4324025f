//! Plugins that order a call's targets: who serves, who is tried after a failure, who never, and what happens where a plugin refuses or
//! fails. Each target is a provider of its own at the mock, so that its journal says who was asked.

use serde_json::{Value, json};
use sluice_tests::gateway::Gateway;
use sluice_tests::http::Reply;
use sluice_tests::mock::{Mock, Script};
use sluice_tests::wait_for;

use crate::plugins_support::{PATIENT, active, component, streaming, text_of, wants_stream};
use crate::support::{CHAT, blamed, reply, row, setup};

const ROUTE: &str = "routes: { smart: { tiers: [[a/m], [b/m], [c/m]] } }\nserver: { plugin_header: true }\n";

/// Providers a, b and c, which answer with their names; a route through all of them in that order, and one plugin.
fn start(mock: &Mock, name: &str, block: &str) -> Gateway {
    for provider in ["a", "b", "c"] {
        let (whole, streamed) = (Script::json(200, reply(provider)), streaming(&[provider]));
        mock.on(provider, move |exchange| if wants_stream(exchange) { streamed.clone() } else { whole.clone() });
    }
    let rows = [row(mock, "a", ""), row(mock, "b", "labels: { region: eu }"), row(mock, "c", "")];
    let gateway = setup(&rows, ROUTE)
        .plugin(&format!("{name}.yaml"), format!("{PATIENT}\n{block}\n"))
        .plugin(&format!("{name}.wasm"), component(name))
        .start();
    active(&gateway, name);
    gateway
}

fn rules(mock: &Mock, rules: &Value, more: &str) -> Gateway {
    start(mock, "route-rules", &format!("{more}\nsettings: {{ rules: {rules} }}"))
}

fn asking(model: &str, text: &str, stream: bool) -> String {
    json!({ "model": model, "stream": stream, "messages": [{ "role": "user", "content": text }] }).to_string()
}

#[track_caller]
fn served(reply: &Reply, by: &str) {
    assert_eq!((reply.status, text_of(reply).as_str()), (200, by), "{}", reply.text());
}

fn asked(mock: &Mock) -> [usize; 3] {
    ["a", "b", "c"].map(|provider| mock.exchanges(provider).len())
}

/// The document of the last of so many calls.
fn document(gateway: &Gateway, count: usize) -> Value {
    wait_for("the calls", || {
        let answer = gateway.get("/api/calls").json();
        let calls = answer["calls"].as_array()?;
        (calls.len() == count).then(|| calls.last().cloned())?
    })
}

#[test]
fn a_rule_sends_calls_where_it_says_on_every_road() {
    let mock = Mock::start();
    let plugin = json!([{ "when": "headers['x-team'] == 'b'", "use": ["b/*", "*"], "reason": "the team's own" }]);
    let gateway = rules(&mock, &plugin, "");
    served(&gateway.post(CHAT, asking("smart", "hi", false)), "a");
    for stream in [false, true] {
        let body = asking("smart", "hi", stream);
        let headers = [("content-type", "application/json"), ("x-team", "b")];
        let reply = gateway.call("POST", CHAT, &headers, body.as_bytes());
        served(&reply, "b");
        let receipt = reply.header("x-sluice-plugins").unwrap_or_default();
        assert!(receipt.contains("route-rules@") && receipt.contains("on-route=order"), "{receipt}");
    }
    assert_eq!(asked(&mock), [1, 2, 0]);
    let message = json!({ "model": "smart", "max_tokens": 9, "messages": [{ "role": "user", "content": "hi" }] });
    let headers = [("content-type", "application/json"), ("x-team", "b")];
    let reply = gateway.call("POST", "/v1/messages", &headers, message.to_string().as_bytes());
    assert_eq!((reply.status, reply.json()["content"][0]["text"].as_str()), (200, Some("b")), "{}", reply.text());
}

#[test]
fn an_order_is_followed_past_failures_and_never_left() {
    let mock = Mock::start();
    let plugin = json!([{ "when": "true", "use": ["c/m", "b/m"], "reason": "not a" }]);
    let gateway = rules(&mock, &plugin, "");
    let failing = Script::json(500, r#"{"error":{"message":"broken"}}"#);
    mock.script("c", failing.clone());
    served(&gateway.post(CHAT, asking("smart", "hi", false)), "b");
    assert_eq!(asked(&mock), [0, 1, 1]);
    let document = document(&gateway, 1);
    let skipped = document["skipped"].to_string();
    assert!(skipped.contains("a/m") && skipped.contains("left out by route-rules: not a"), "{document}");
    mock.script("b", failing);
    let refused = gateway.post(CHAT, asking("smart", "hi", false));
    assert!(refused.status >= 500, "{}", refused.text());
    assert_eq!(asked(&mock)[0], 0, "what the order leaves out is not tried");
}

#[test]
fn a_plugin_that_leaves_no_target_refuses_the_call() {
    let mock = Mock::start();
    let gateway = rules(&mock, &json!([{ "when": "true", "use": ["nobody/*"], "reason": "secret-reason" }]), "");
    let reply = gateway.post(CHAT, asking("smart", "hi", false));
    let error = blamed(&reply, 503, "plugin");
    assert_eq!(error["code"], "no_route", "{error}");
    assert!(error.to_string().contains("route-rules") && !error.to_string().contains("secret-reason"), "{error}");
    assert_eq!(asked(&mock), [0, 0, 0]);
}

#[test]
fn a_rule_that_cannot_be_computed_is_what_on_error_says() {
    let mock = Mock::start();
    let plugin = json!([{ "when": "int(headers['x-number']) > 1", "use": ["b/m"] }]);
    for (more, expected) in [("", None), ("on_error: open", Some("a"))] {
        let gateway = rules(&mock, &plugin, more);
        let reply = gateway.post(CHAT, asking("smart", "hi", false));
        match expected {
            None => assert_eq!(blamed(&reply, 500, "plugin")["code"], "plugin_error"),
            Some(by) => served(&reply, by),
        }
        let headers = [("content-type", "application/json"), ("x-number", "2")];
        served(&gateway.call("POST", CHAT, &headers, asking("smart", "hi", false).as_bytes()), "b");
        let state = active(&gateway, "route-rules");
        assert_eq!(state["counters"]["hooks"]["on-route"]["runs"], 2, "{state}");
    }
}

#[test]
fn a_wrong_expression_keeps_the_plugin_out_and_says_where() {
    let mock = Mock::start();
    let gateway = rules(&mock, &json!([{ "when": "true", "use": ["b/m"] }]), "");
    let wrong = json!([{ "when": "callr.team == 'x'", "use": ["b/m"] }]);
    std::fs::write(gateway.plugins().join("route-rules.yaml"), format!("settings: {{ rules: {wrong} }}\n")).unwrap();
    let state = gateway.wait_plugin("route-rules", |state| state["state"] == "stale");
    assert!(state.to_string().contains("rules[0].when: 1:1: there is no `callr.team`"), "{state}");
    served(&gateway.post(CHAT, asking("smart", "hi", false)), "b");
}

#[test]
fn the_cheapest_that_can_and_the_one_for_hard_prompts() {
    let mock = Mock::start();
    let gateway = start(&mock, "route-cheapest-capable", "settings: { unpriced: never }");
    let reply = gateway.post(CHAT, asking("smart", "hi", false));
    assert_eq!(blamed(&reply, 503, "plugin")["code"], "no_route", "nobody knows the mock's prices");
    drop(gateway);
    let mock = Mock::start();
    let tiers = json!([{ "up_to": 15, "use": ["b/m", "*"] }, { "use": ["c/m"] }]);
    let gateway = start(&mock, "route-by-complexity", &format!("settings: {{ tiers: {tiers} }}"));
    served(&gateway.post(CHAT, asking("smart", "hi", true)), "b");
    let hard = "Prove why, step by step, and compare with:\n```\nx\n```".repeat(20);
    served(&gateway.post(CHAT, asking("smart", &hard, false)), "c");
    let document = document(&gateway, 2);
    let score: u32 = document["tags"]["complexity"].as_str().and_then(|score| score.parse().ok()).unwrap_or_default();
    assert!(score > 15, "{document}");
}
