//! A grant that is taken back is gone at once, whatever becomes of the edit that took it: no kept version goes on using it.

use sluice_tests::gateway::{Gateway, replace};
use sluice_tests::mock::Mock;

use crate::plugins_support::{PATIENT, asking, component, says, start, text_of};
use crate::restart_support::Site;
use crate::support::{CHAT, row};

const GRANTED: &str = "limits: { wall: 20s, delta: 20s, start: 20s }\ngrants: { kv: {} }\n";
/// What a use of `kv` comes to without the grant.
const DENIED: &str = "`kv` is not granted";

fn kv(gateway: &Gateway, words: &str) -> String {
    let reply = gateway.post(CHAT, asking(&format!("kv {words}"), false));
    assert_eq!(reply.status, 200, "{words}: {}", reply.text());
    text_of(&reply)
}

#[track_caller]
fn has_nothing(gateway: &Gateway) {
    for words in ["get a", "set a two", "delete a", "increment a 1", "swap a one two"] {
        let said = kv(gateway, words);
        assert!(said.starts_with("fault: ") && said.contains(DENIED), "{words}: {said}");
    }
}

/// Edits the plugin's settings and waits until they are refused for that reason.
#[track_caller]
fn refused(gateway: &Gateway, name: &str, settings: &str, why: &str) {
    replace(&gateway.plugins().join(format!("{name}.yaml")), settings.as_bytes());
    let state = gateway.wait_plugin(name, |state| state["error"].as_str().is_some_and(|error| error.contains(why)));
    assert_eq!(state["state"], "stale", "{state}");
}

#[test]
fn a_version_that_goes_on_goes_on_without_it() {
    let mock = Mock::start();
    says(&mock, &["nobody answered"]);
    let gateway = start(&mock, &[("probe", "kv-probe", GRANTED)]);
    let active = || gateway.wait_plugin("probe", |state| state["state"] == "active");
    assert_eq!(kv(&gateway, "set a one"), "ok");
    // A bad edit that leaves the grant takes nothing.
    refused(&gateway, "probe", &format!("settings: {{ nope: 1 }}\n{GRANTED}"), "nope");
    assert_eq!(kv(&gateway, "get a"), "one");
    refused(&gateway, "probe", PATIENT, "goes on without the grant `kv`");
    has_nothing(&gateway);
    // Settings that nobody can read say nothing about grants: what was taken stays taken.
    refused(&gateway, "probe", "grants: [", "probe.yaml");
    has_nothing(&gateway);
    replace(&gateway.plugins().join("probe.yaml"), GRANTED.as_bytes());
    active();
    assert_eq!(kv(&gateway, "get a"), "one", "it has its keys again");
    // The edit is bad in another way, too.
    replace(&gateway.plugins().join("probe.wasm"), b"not a component");
    gateway.wait_plugin("probe", |state| state["state"] == "stale");
    assert_eq!(kv(&gateway, "get a"), "one");
    refused(&gateway, "probe", PATIENT, "goes on without the grant `kv`");
    has_nothing(&gateway);
    replace(&gateway.plugins().join("probe.yaml"), GRANTED.as_bytes());
    replace(&gateway.plugins().join("probe.wasm"), &component("kv-probe"));
    active();
    assert_eq!(kv(&gateway, "get a"), "one");
}

#[test]
fn a_policy_without_its_grant_refuses_and_recovers() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let limits = |rate: u32| format!("{GRANTED}settings: {{ header: x-user, rate: {rate}/min, without: share }}\n");
    let gateway = start(&mock, &[("limits", "rate-limit-by-header", &limits(1_000))]);
    let file = gateway.plugins().join("limits.yaml");
    // The next version is on probation, with this one to go back to.
    replace(&file, limits(2_000).as_bytes());
    gateway.wait_plugin("limits", |state| !state["probation"].is_null());
    let call = || gateway.post(CHAT, asking("hi", false));
    assert_eq!(call().status, 200);
    refused(
        &gateway,
        "limits",
        "settings: { header: x-user, rate: 2000/min, without: share }\n",
        "needs the grant `kv`",
    );
    // More failures than a version on probation may have, and enough for its breaker.
    for _ in 0..40 {
        let reply = call();
        assert!([500, 503].contains(&reply.status), "{}", reply.text());
    }
    assert_eq!(gateway.plugin_state("limits").unwrap()["state"], "stale");
    replace(&file, limits(2_000).as_bytes());
    gateway.wait_plugin("limits", |state| state["state"] == "active" && state["error"].is_null());
    assert_eq!(call().status, 200, "neither taken back nor behind an open breaker");
}

#[test]
fn what_is_kept_for_a_restart_does_not_bring_it_back() {
    let mock = Mock::start();
    says(&mock, &["nobody answered"]);
    let config =
        format!("server: {{ threads: 1 }}\nplugins: {{ required: [probe] }}\nproviders:\n{}", row(&mock, "p", ""));
    let site = Site::new(&config);
    replace(&site.plugin("probe.yaml"), GRANTED.as_bytes());
    replace(&site.plugin("probe.wasm"), &component("kv-probe"));
    let running = site.start();
    assert_eq!(running.chat("p/m", "kv set a one"), 200);
    drop(running);
    replace(&site.plugin("probe.yaml"), PATIENT.as_bytes());
    let running = site.start();
    let plugins = running.plugins();
    assert!(plugins.to_string().contains("needs the grant `kv`"), "{plugins}");
    assert_eq!(running.chat("p/m", "kv get a"), 503, "a required policy that waits: {plugins}");
}
