//! Where a plugin stands, as its files and the configuration say: aliases, places, waiting, disabled, required, edited settings.

use sluice_tests::gateway::replace;
use sluice_tests::mock::Mock;

use crate::plugins_support::{PATIENT, active, asking, before, component, contains, says, start, text_of};
use crate::support::{CHAT, blamed};

#[test]
fn one_component_under_several_names() {
    let mock = Mock::start();
    says(&mock, &["one ", "two ", "three"]);
    let block = |order: i32, word: &str| {
        format!(
            "{{ component: words.wasm, order: {order}, {PATIENT}, settings: {{ words: [{word}], action: mask, where: [reply] }} }}"
        )
    };
    let more = format!("plugins:\n  chain:\n    ones: {}\n    twos: {}\n", block(1, "one"), block(2, "two"));
    let gateway = before(&mock, &more).plugin("words.wasm", component("deny-words")).start();
    let digests: Vec<_> = ["ones", "twos"].iter().map(|name| active(&gateway, name)["digest"].clone()).collect();
    assert_eq!(digests[0], digests[1]);
    for stream in [false, true] {
        assert_eq!(text_of(&gateway.post(CHAT, asking("hi", stream))), "*** *** three");
    }
    // The file is both plugins': replaced, both are news; bad, both go on.
    replace(&gateway.plugins().join("words.wasm"), b"garbage");
    for name in ["ones", "twos"] {
        gateway.wait_plugin(name, |state| state["state"] == "stale");
    }
    assert_eq!(text_of(&gateway.post(CHAT, asking("hi", false))), "*** *** three");
    assert!(gateway.get("/metrics").text().contains("\nsluice_config_stale{kind=\"plugin\"} 2"));
    // It is not a third plugin, by its own name.
    let names: Vec<_> = gateway.get("/api/plugins").json()["plugins"].as_array().unwrap().clone();
    assert_eq!(names.len(), 2, "{names:?}");
}

#[test]
fn settings_in_two_places_are_an_error() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let more = "plugins:\n  chain:\n    guard: { settings: { words: [bluebird] } }\n";
    let gateway = before(&mock, more).plugin("guard.wasm", component("deny-words")).start();
    active(&gateway, "guard");
    let two = |why: &str| why.contains("guard.yaml") && why.contains("plugins.chain.guard");
    replace(&gateway.plugins().join("guard.yaml"), b"settings: { words: [redbird] }\n");
    let state = gateway.wait_plugin("guard", |state| state["state"] == "stale");
    assert!(state["error"].as_str().is_some_and(two), "{state}");
    assert_eq!(gateway.post(CHAT, asking("the redbird", false)).status, 200);
    std::fs::remove_file(gateway.plugins().join("guard.yaml")).unwrap();
    gateway.wait_plugin("guard", |state| state["state"] == "active");
    assert_eq!(gateway.post(CHAT, asking("the bluebird", false)).status, 400);
    assert_eq!(gateway.post(CHAT, asking("the redbird", false)).status, 200);
}

#[test]
fn a_plugin_that_needs_settings_waits_for_them() {
    let mock = Mock::start();
    says(&mock, &["a secret"]);
    let gateway = before(&mock, "").plugin("guard.wasm", component("delta-guard")).start();
    let state = gateway.plugin_state("guard").unwrap();
    assert_eq!(state["state"], "waiting", "{state}");
    assert!(state["error"].as_str().unwrap().contains("words"), "{state}");
    assert!(gateway.process.err.find("plugin waits").is_some_and(|line| line.contains("guard")));
    assert!(gateway.get("/health").text().contains("waiting"));
    assert_eq!(text_of(&gateway.post(CHAT, asking("hi", false))), "a secret");
    let file = gateway.plugins().join("guard.yaml");
    let yaml = |word: &str| format!("{PATIENT}\nsettings: {{ words: [{word}] }}\n");
    replace(&file, yaml("secret").as_bytes());
    gateway.wait_plugin("guard", |state| state["state"] == "active");
    assert_eq!(text_of(&gateway.post(CHAT, asking("hi", true))), "a ***");
    // Edited again: the same component, another generation.
    let before = active(&gateway, "guard");
    replace(&file, yaml("other").as_bytes());
    let after = gateway.wait_plugin("guard", |state| state["generation"] != before["generation"]);
    assert_eq!(after["digest"], before["digest"]);
    assert_eq!(text_of(&gateway.post(CHAT, asking("hi", true))), "a secret");
    // Settings taken away: the last good ones guard on.
    std::fs::remove_file(&file).unwrap();
    let state = gateway.wait_plugin("guard", |state| state["state"] == "stale");
    assert!(state["error"].as_str().unwrap().contains("words"), "{state}");
}

#[test]
fn a_disabled_plugin_is_taken_out() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let yaml = |enabled: bool| format!("enabled: {enabled}\n{PATIENT}\nsettings: {{ words: [bluebird] }}\n");
    let gateway = start(&mock, &[("guard", "deny-words", &yaml(true))]);
    assert_eq!(gateway.post(CHAT, asking("the bluebird", false)).status, 400);
    let file = gateway.plugins().join("guard.yaml");
    replace(&file, yaml(false).as_bytes());
    gateway.wait_plugin("guard", |state| state["state"] == "disabled");
    assert_eq!(gateway.post(CHAT, asking("the bluebird", false)).status, 200);
    assert!(gateway.get("/metrics").text().contains("\nsluice_config_stale{kind=\"plugin\"} 0"));
    replace(&file, yaml(true).as_bytes());
    gateway.wait_plugin("guard", |state| state["state"] == "active");
    assert_eq!(gateway.post(CHAT, asking("the bluebird", false)).status, 400);
}

#[test]
fn a_missing_required_plugin_makes_the_gateway_not_ready_and_never_unguarded() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let gateway = before(&mock, "plugins: { required: [guard] }\n").start();
    let refused = || {
        assert_eq!(gateway.get("/readyz").status, 503);
        assert_eq!(gateway.get("/livez").status, 200);
        for stream in [false, true] {
            assert_eq!(blamed(&gateway.post(CHAT, asking("hi", stream)), 503, "gateway")["code"], "policy_missing");
        }
        let missing = gateway.plugin_states()["required_missing"].clone();
        assert_eq!(missing, serde_json::json!(["guard"]));
    };
    refused();
    assert!(gateway.process.err.find("required plugins are not loaded: guard").is_some());
    let file = gateway.plugins().join("guard.wasm");
    replace(
        &gateway.plugins().join("guard.yaml"),
        format!("{PATIENT}\nsettings: {{ words: [bluebird] }}\n").as_bytes(),
    );
    gateway.wait_plugin("guard", |state| state["state"] == "missing");
    refused();
    replace(&file, b"garbage");
    gateway.wait_plugin("guard", |state| state["state"] == "failed");
    refused();
    replace(&file, &component("deny-words"));
    gateway.wait_plugin("guard", |state| state["state"] == "active");
    assert_eq!(gateway.get("/readyz").status, 200);
    assert_eq!(gateway.post(CHAT, asking("hi", true)).status, 200);
    assert_eq!(gateway.post(CHAT, asking("bluebird", false)).status, 400);
    // A bad file: the last good version is enough to be ready. No file: it is not.
    replace(&file, b"garbage");
    gateway.wait_plugin("guard", |state| state["state"] == "stale");
    assert_eq!(gateway.get("/readyz").status, 200);
    assert_eq!(gateway.post(CHAT, asking("bluebird", false)).status, 400);
    std::fs::remove_file(&file).unwrap();
    gateway.wait_plugin("guard", |state| state["state"] == "missing");
    refused();
    assert!(!mock.exchanges("p").iter().any(|exchange| contains(&exchange.body, "bluebird")));
}
