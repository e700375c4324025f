//! A new version that fails in more than 1% of its first 1,000 hooks is taken back by itself: the last good one serves again, and the bad
//! one is not tried again, after a restart either, until its files change.

use serde_json::Value;
use sluice_tests::gateway::replace;
use sluice_tests::mock::Mock;

use crate::plugins_support::{PATIENT, component, says};
use crate::restart_plugins::version;
use crate::restart_support::{Running, Site};
use crate::support::row;

/// Fails on calls that say `now!`.
const FAILS: &str = "settings: { mode: fault, trigger: \"now!\" }";
/// Never fails.
const SOUND: &str = "settings: { mode: hold-all, trigger: never }";

fn site(settings: &str) -> (Mock, Site) {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let site = Site::new(&format!("server: {{ threads: 1 }}\nproviders:\n{}", row(&mock, "p", "")));
    replace(&site.plugin("odd.yaml"), yaml(settings).as_bytes());
    replace(&site.plugin("odd.wasm"), &component("hostile"));
    (mock, site)
}

fn yaml(settings: &str) -> String {
    format!("{PATIENT}\n{settings}\n")
}

#[track_caller]
fn calls(running: &Running, count: usize, text: &str, status: u16) {
    for number in 0..count {
        assert_eq!(running.chat("p/m", text), status, "call {number}: {}", running.plugins());
    }
}

fn odd(running: &Running) -> Value {
    running.plugin("odd").unwrap()
}

fn rollbacks(running: &Running) -> bool {
    running.get("/metrics").text().contains("\nsluice_plugin_rollbacks_total{plugin=\"odd\"} 1")
}

#[test]
fn a_version_that_fails_is_taken_back_and_stays_away() {
    let (_mock, site) = site(FAILS);
    let running = site.start();
    let first = odd(&running);
    assert!(first["probation"].is_null(), "there is nothing to go back to: {first}");
    calls(&running, 15, "now!", 500);
    assert_eq!(odd(&running)["state"], "active");
    let wasm = site.plugin("odd.wasm");
    let second = version(&component("hostile"), 2);
    replace(&wasm, &second);
    let state = running.wait_plugin("odd", |state| state["digest"] != first["digest"]);
    assert_eq!(state["probation"], serde_json::json!({"hooks": 0, "failed": 0, "of": 1000}));
    calls(&running, 5, "be good", 200);
    calls(&running, 10, "now!", 500);
    let state = odd(&running);
    assert_eq!((&state["state"], &state["probation"]["failed"]), (&"active".into(), &10.into()), "{state}");
    calls(&running, 1, "now!", 500);
    let back = running.wait_plugin("odd", |state| state["state"] == "stale");
    assert_eq!(back["digest"], first["digest"]);
    let why = back["error"].as_str().unwrap();
    let short = &state["digest"].as_str().unwrap()["sha256:".len()..][..12];
    for part in ["was taken back", short, "11 of its first 16 hooks failed", "faults on purpose"] {
        assert!(why.contains(part), "no {part:?} in: {why}");
    }
    assert!(rollbacks(&running) && running.get("/health").text().contains("was taken back"));
    assert!(running.process.err.text().contains("serves again"), "{}", running.process.err.text());
    // The same bytes again are the same version; so they are after a restart.
    let generation = running.plugins()["generation"].clone();
    replace(&wasm, &second);
    replace(&site.plugin("neighbour.wasm"), &component("nop"));
    running.wait_plugin("neighbour", |state| state["state"] == "active");
    assert_eq!(
        (odd(&running)["digest"].clone(), odd(&running)["state"].clone()),
        (first["digest"].clone(), "stale".into())
    );
    assert_ne!(running.plugins()["generation"], generation);
    drop(running);
    let running = site.start();
    let state = odd(&running);
    assert_eq!((&state["digest"], &state["state"]), (&first["digest"], &"stale".into()), "{state}");
    assert!(state["error"].as_str().unwrap().contains("was taken back"), "{state}");
    // Another file is another version.
    replace(&wasm, &version(&component("hostile"), 3));
    let state = running.wait_plugin("odd", |state| state["state"] == "active");
    assert!(state["error"].is_null() && !state["probation"].is_null(), "{state}");
}

#[test]
fn settings_are_a_version_too_and_a_restart_ends_no_probation() {
    let (_mock, site) = site(SOUND);
    let running = site.start();
    replace(&site.plugin("odd.yaml"), yaml(FAILS).as_bytes());
    running.wait_plugin("odd", |state| !state["probation"].is_null());
    calls(&running, 3, "now!", 500);
    drop(running);
    // What it would go back to is in the state folder only.
    let running = site.start();
    assert_eq!(odd(&running)["probation"]["of"], 1000);
    calls(&running, 11, "now!", 500);
    let state = running.wait_plugin("odd", |state| state["state"] == "stale");
    assert!(state["error"].as_str().unwrap().contains("11 of its first 11 hooks failed"), "{state}");
    calls(&running, 3, "now!", 200);
    // The settings that were live before, put back: nothing is amiss any more.
    replace(&site.plugin("odd.yaml"), yaml(SOUND).as_bytes());
    running.wait_plugin("odd", |state| state["state"] == "active" && state["error"].is_null());
}

#[test]
fn one_in_a_hundred_is_allowed_and_later_failures_are_not_counted() {
    let (_mock, site) = site(SOUND);
    let running = site.start();
    replace(&site.plugin("odd.yaml"), yaml(FAILS).as_bytes());
    running.wait_plugin("odd", |state| !state["probation"].is_null());
    for _ in 0..10 {
        calls(&running, 1, "now!", 500);
        calls(&running, 99, "be good", 200);
    }
    assert_eq!(odd(&running)["probation"], serde_json::json!({"hooks": 1000, "failed": 10, "of": 1000}));
    calls(&running, 1, "be good", 200);
    running.wait_plugin("odd", |state| state["probation"].is_null());
    for _ in 0..12 {
        calls(&running, 1, "now!", 500);
        calls(&running, 3, "be good", 200);
    }
    let state = odd(&running);
    assert_eq!((&state["state"], rollbacks(&running)), (&"active".into(), false), "{state}");
    // It is the last good one now.
    drop(running);
    replace(&site.plugin("odd.yaml"), b"settings: [\n");
    let running = site.start();
    assert_eq!(odd(&running)["state"], "stale");
    calls(&running, 1, "now!", 500);
}
