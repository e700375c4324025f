//! The circuit breaker: a plugin that keeps failing is not run for a while, `on_error` says what that means for calls, and it comes back
//! by itself once its hooks go well again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use sluice_tests::gateway::{Gateway, replace};
use sluice_tests::http::Reply;
use sluice_tests::mock::Mock;

use crate::plugins_support::{active, asking, before, component, errors, log_line, says, text_of};
use crate::support::{CHAT, blamed};

const BAD: &str = "go:now;";
const MIN: usize = 20;

fn yaml(mode: &str, hook: &str, more: &str) -> String {
    format!(
        "limits: {{ wall: 500ms, delta: 500ms, start: 20s }}\n{more}\nsettings: {{ mode: {mode}, hook: {hook}, trigger: \"{BAD}\" }}\n"
    )
}

/// One plugin that fails on calls with the trigger.
fn start(mock: &Mock, mode: &str, hook: &str, more: &str) -> Gateway {
    let gateway =
        before(mock, "").plugin("p.wasm", component("hostile")).plugin("p.yaml", yaml(mode, hook, more)).start();
    active(&gateway, "p");
    gateway
}

fn position(gateway: &Gateway) -> String {
    active(gateway, "p")["breaker"].as_str().unwrap_or_default().to_owned()
}

fn gauge(gateway: &Gateway) -> String {
    let text = gateway.get("/metrics").text();
    let line = text.lines().find(|line| line.starts_with("sluice_plugin_breaker_open{plugin=\"p\"}"));
    line.and_then(|line| line.rsplit(' ').next()).unwrap_or_default().to_owned()
}

fn runs(state: &Value, hook: &str) -> u64 {
    state["counters"]["hooks"][hook]["runs"].as_u64().unwrap_or_else(|| panic!("no runs of {hook}: {state}"))
}

/// Fails hooks until it is open.
fn open(gateway: &Gateway, stream: bool) {
    for number in 0..MIN {
        assert_eq!(position(gateway), "closed", "after {number}");
        gateway.post(CHAT, asking(BAD, stream));
    }
    assert_eq!((position(gateway).as_str(), gauge(gateway).as_str()), ("open", "1"));
}

#[track_caller]
fn refused_quickly(reply: &Reply) {
    let error = blamed(reply, 503, "plugin");
    assert_eq!(error["code"], "plugin_error", "{error}");
    let wait: u64 = reply.header("retry-after").and_then(|text| text.parse().ok()).expect("retry-after in seconds");
    assert!((1..=61).contains(&wait), "{wait}");
}

#[test]
fn closed_plugins_refuse_while_open_and_recover_by_themselves() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    for (mode, kind) in [("fault", "fault"), ("trap", "trap"), ("spin", "timeout"), ("bad-answer", "bad_verdict")] {
        let gateway = start(&mock, mode, "request", "on_error: closed\nbreaker: { pause: 60s, window: 60s }");
        open(&gateway, false);
        let before = active(&gateway, "p");
        assert_eq!(errors(&before, kind), MIN as u64, "{mode}: {before}");
        for stream in [false, true] {
            let began = Instant::now();
            let reply = gateway.post(CHAT, asking("be good", stream));
            refused_quickly(&reply);
            assert!(began.elapsed() < Duration::from_secs(5));
            let line = log_line(&gateway, &reply);
            assert_eq!(line["plugins"][0]["verdict"], "breaker_open", "{line}");
        }
        let after = active(&gateway, "p");
        assert_eq!(errors(&after, "breaker_open"), 2, "{after}");
        assert_eq!(runs(&after, "on-request"), runs(&before, "on-request"), "{mode}: a hook ran while open");
        assert_eq!(after["counters"]["last_error"], before["counters"]["last_error"], "the cause stays to be read");
        assert_eq!(mock.journal().count("p"), 0);
        // A version put right starts closed.
        let file = gateway.plugins().join("p.yaml");
        replace(&file, yaml(mode, "response", "breaker: { pause: 60s }").as_bytes());
        gateway.wait_plugin("p", |state| state["generation"] != after["generation"]);
        assert_eq!(text_of(&gateway.post(CHAT, asking("be good", false))), "fine");
        assert_eq!(position(&gateway), "closed");
        sluice_tests::wait_for("the old version's mark to go", || (gauge(&gateway) == "0").then_some(()));
        mock.journal().clear();
    }
}

#[test]
fn open_plugins_are_passed_by_on_every_road() {
    let mock = Mock::start();
    says(&mock, &["all ", "is well go:now;"]);
    for (hook, stream) in [("request", false), ("response", false), ("delta", false), ("delta", true)] {
        let gateway = start(&mock, "fault", hook, "on_error: open\nstreams: hold\nbreaker: { pause: 60s }");
        open(&gateway, stream);
        let before = active(&gateway, "p");
        let asked = mock.journal().count("p");
        let reply = gateway.post(CHAT, asking(BAD, stream));
        assert_eq!((reply.status, text_of(&reply).as_str()), (200, "all is well go:now;"), "{hook}, stream {stream}");
        assert_eq!(mock.journal().count("p"), asked + 1);
        let line = log_line(&gateway, &reply);
        let verdicts: Vec<&Value> = line["plugins"].as_array().unwrap().iter().map(|stamp| &stamp["verdict"]).collect();
        assert!(verdicts.iter().any(|verdict| *verdict == "breaker_open"), "{hook}, stream {stream}: {line}");
        let after = active(&gateway, "p");
        assert!(errors(&after, "breaker_open") >= 1, "{after}");
        assert_eq!(errors(&after, "fault"), errors(&before, "fault"), "{hook}, stream {stream}: it ran while open");
    }
}

#[test]
fn a_stream_is_refused_while_open_where_a_window_must_be_seen() {
    let mock = Mock::start();
    says(&mock, &["all ", "is well go:now;"]);
    let gateway = start(&mock, "fault", "delta", "on_error: closed\nbreaker: { pause: 60s, window: 60s }");
    open(&gateway, true);
    for stream in [false, true] {
        refused_quickly(&gateway.post(CHAT, asking("be good", stream)));
    }
}

#[test]
fn it_tries_one_hook_after_the_pause_and_closes_after_three_good_ones() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let gateway = start(&mock, "fault", "request", "on_error: closed\nbreaker: { pause: 300ms }");
    open(&gateway, false);
    // Still failing: each pause lets one hook through, and pauses grow.
    let failed = || errors(&active(&gateway, "p"), "fault");
    let began = Instant::now();
    sluice_tests::wait_for("two tried hooks", || {
        gateway.post(CHAT, asking(BAD, false));
        (failed() >= MIN as u64 + 2).then_some(())
    });
    assert!(began.elapsed() >= Duration::from_millis(250), "{:?}: hooks ran without a pause", began.elapsed());
    assert_eq!(failed(), MIN as u64 + 2);
    assert_eq!(position(&gateway), "open");
    // Well again.
    sluice_tests::wait_for("the breaker to close", || {
        gateway.post(CHAT, asking("be good", false));
        (position(&gateway) == "closed").then_some(())
    });
    assert_eq!(gauge(&gateway), "0");
    assert_eq!(text_of(&gateway.post(CHAT, asking("be good", false))), "fine");
    let said = |what: &str| gateway.process.err.all().iter().filter(|line| line.contains(what)).count();
    assert_eq!(said("circuit breaker open: "), 1, "said once a change");
    assert_eq!(said("circuit breaker closed"), 1);
    assert_eq!(said("a plugin failed"), MIN + 2, "what is not run is not logged as failed");
}

#[test]
fn under_load_a_hanging_plugin_stops_costing_its_limit() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let more = "on_error: open\nbreaker: { pause: 60s }";
    let gateway = start(&mock, "spin", "request", more);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let loads: Vec<_> = (0..6)
            .map(|_| {
                scope.spawn(|| {
                    let mut failures = Vec::new();
                    while !stop.load(Ordering::SeqCst) {
                        let reply = gateway.post(CHAT, asking(BAD, false));
                        if reply.status != 200 {
                            failures.push(reply.text());
                        }
                    }
                    failures
                })
            })
            .collect();
        let opened = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            sluice_tests::wait_for("the breaker to open", || (position(&gateway) == "open").then_some(()));
            let passed = errors(&active(&gateway, "p"), "breaker_open");
            sluice_tests::wait_for("calls that pass it by", || {
                (errors(&active(&gateway, "p"), "breaker_open") > passed + 100).then_some(())
            });
        }));
        stop.store(true, Ordering::SeqCst);
        for load in loads {
            assert_eq!(load.join().unwrap(), Vec::<String>::new());
        }
        assert!(opened.is_ok());
    });
    // Those under way when it opened may add to the least number, nobody else.
    let state = active(&gateway, "p");
    let timeouts = errors(&state, "timeout");
    assert!((MIN as u64..MIN as u64 + 6).contains(&timeouts), "{timeouts}");
}

#[test]
fn few_or_rare_failures_and_a_breaker_turned_off_change_nothing() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let gateway = start(&mock, "fault", "request", "on_error: closed\n");
    for number in 0..60 {
        let (text, status) = if number % 3 == 0 { (BAD, 500) } else { ("be good", 200) };
        assert_eq!(gateway.post(CHAT, asking(text, false)).status, status, "{number}");
    }
    assert_eq!(position(&gateway), "closed");
    let gateway = start(&mock, "fault", "request", "on_error: closed\nbreaker: { enabled: false }");
    for _ in 0..3 * MIN {
        assert_eq!(gateway.post(CHAT, asking(BAD, false)).status, 500);
    }
    assert_eq!((position(&gateway).as_str(), gauge(&gateway).as_str()), ("closed", "0"));
}

#[test]
fn a_new_place_in_the_chain_keeps_the_breaker_open() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let gateway = start(&mock, "fault", "request", "on_error: closed\nbreaker: { pause: 60s, window: 60s }");
    open(&gateway, false);
    let more = "order: 7\non_error: open\nbreaker: { pause: 60s, window: 60s }";
    replace(&gateway.plugins().join("p.yaml"), yaml("fault", "request", more).as_bytes());
    gateway.wait_plugin("p", |state| state["order"] == 7);
    assert_eq!(position(&gateway), "open", "the same version is as broken as before");
    assert_eq!(gateway.post(CHAT, asking("be good", false)).status, 200);
}

#[test]
fn a_plugin_that_fails_after_calls_goes_on_guarding_them() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let gateway = start(&mock, "fault", "finish", "on_error: closed\nbreaker: { pause: 60s, window: 60s }");
    for number in 0..MIN {
        assert_eq!(gateway.post(CHAT, asking(BAD, false)).status, 200, "{number}");
    }
    let state = gateway.wait_plugin("p", |state| state["finish_breaker"] == "open");
    assert_eq!((state["breaker"].as_str(), errors(&state, "fault")), (Some("closed"), MIN as u64), "{state}");
    let before = runs(&state, "on-finish");
    assert_eq!(text_of(&gateway.post(CHAT, asking(BAD, false))), "fine");
    let after = gateway.wait_plugin("p", |state| errors(state, "breaker_open") == 1);
    assert_eq!(runs(&after, "on-finish"), before);
}
