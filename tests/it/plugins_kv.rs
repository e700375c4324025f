//! `kv`: a plugin's own keys and values, by grant. They are counted exactly whoever counts, end when they should, keep to their room, and
//! outlive versions of the plugin.

use std::time::{Duration, Instant};

use sluice_tests::gateway::{Gateway, replace};
use sluice_tests::mock::Mock;

use crate::plugins_support::{PATIENT, active, asking, before, component, says, start, text_of};
use crate::support::CHAT;

fn yaml(grants: &str) -> String {
    format!("{PATIENT}\ngrants: {grants}\n")
}

/// A gateway with one probe that is granted `kv`.
fn probe(mock: &Mock, grants: &str) -> Gateway {
    says(mock, &["nobody answered"]);
    start(mock, &[("probe", "kv-probe", &yaml(grants))])
}

/// What the probe answers to these words.
fn kv(gateway: &Gateway, words: &str) -> String {
    let reply = gateway.post(CHAT, asking(&format!("kv {words}"), false));
    assert_eq!(reply.status, 200, "{words}: {}", reply.text());
    text_of(&reply)
}

/// A metric of the plugin `probe`.
fn metric(gateway: &Gateway, name: &str) -> u64 {
    let text = gateway.get("/metrics").text();
    let line = text.lines().find(|line| line.starts_with(&format!("{name}{{plugin=\"probe\"}}")));
    let number = line.and_then(|line| line.rsplit(' ').next()?.parse().ok());
    number.unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[test]
fn a_plugin_that_wants_it_waits_for_the_grant() {
    let mock = Mock::start();
    says(&mock, &["nobody answered"]);
    let gateway = before(&mock, "").plugin("probe.wasm", component("kv-probe")).start();
    let state = gateway.plugin_state("probe").unwrap();
    assert_eq!(state["state"], "waiting", "{state}");
    assert!(state["error"].as_str().unwrap().contains("grants: { kv: {} }"), "the line to add: {state}");
    assert_eq!(kv(&gateway, "get a"), "nobody answered");
    replace(&gateway.plugins().join("probe.yaml"), b"grants: { kv: {} }\n");
    gateway.wait_plugin("probe", |state| state["state"] == "active");
    assert_eq!(kv(&gateway, "get a"), "none");
}

#[test]
fn what_one_call_keeps_another_reads() {
    let mock = Mock::start();
    let gateway = probe(&mock, "{ kv: {} }");
    assert_eq!(kv(&gateway, "set a one"), "ok");
    assert_eq!(kv(&gateway, "get a"), "one");
    assert_eq!(kv(&gateway, "set a two"), "ok");
    assert_eq!(kv(&gateway, "get a"), "two");
    assert!(kv(&gateway, "increment a 1").starts_with("fault: "), "no number");
    assert_eq!(kv(&gateway, "get a"), "two");
    assert_eq!(kv(&gateway, "delete a"), "ok");
    assert_eq!(kv(&gateway, "get a"), "none");
    assert_eq!(kv(&gateway, "increment n 40"), "40");
    assert_eq!(kv(&gateway, "increment n 2"), "42");
    assert_eq!(kv(&gateway, "get n"), "42");
    assert!(kv(&gateway, "increment n 9223372036854775800").starts_with("fault: "), "past 64 bits");
    assert_eq!(kv(&gateway, "get n"), "42");
    assert!(metric(&gateway, "sluice_kv_bytes") > 0);
    assert_eq!(metric(&gateway, "sluice_kv_evictions_total"), 0);
}

#[test]
fn keys_end_with_their_time() {
    let mock = Mock::start();
    let gateway = probe(&mock, "{ kv: {} }");
    let began = Instant::now();
    assert_eq!(kv(&gateway, "set t x 700"), "ok");
    assert_eq!(kv(&gateway, "increment c 1 700"), "1");
    let (seen, counted) = (kv(&gateway, "get t"), kv(&gateway, "increment c 1 60000"));
    if began.elapsed() < Duration::from_millis(600) {
        assert_eq!((seen.as_str(), counted.as_str()), ("x", "2"));
    }
    sluice_tests::wait_for("the value to end", || (kv(&gateway, "get t") == "none").then_some(()));
    sluice_tests::wait_for("the count to end", || (kv(&gateway, "get c") == "none").then_some(()));
    assert!(began.elapsed() >= Duration::from_millis(690), "{:?}", began.elapsed());
    assert_eq!(kv(&gateway, "increment c 1"), "1", "the count began anew");
}

#[test]
fn eight_clients_count_exactly() {
    let mock = Mock::start();
    let gateway = probe(&mock, "{ kv: {} }");
    let sums = std::sync::Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let sum: i64 = kv(&gateway, "increment n 1").parse().unwrap();
                    sums.lock().unwrap().push(sum);
                }
            });
        }
    });
    let mut sums = sums.into_inner().unwrap();
    sums.sort_unstable();
    assert_eq!(sums, (1..=400).collect::<Vec<i64>>(), "each count is seen by one call");
    assert_eq!(kv(&gateway, "get n"), "400");
}

#[test]
fn it_keeps_to_its_room_and_to_its_counters() {
    let mock = Mock::start();
    let gateway = probe(&mock, "{ kv: { max: 64KiB } }");
    assert_eq!(kv(&gateway, "increment n 7"), "7");
    for round in 0..20 {
        assert_eq!(kv(&gateway, &format!("fill r{round}- 100 1000")), "ok");
        let bytes = metric(&gateway, "sluice_kv_bytes");
        assert!(bytes <= 64 * 1024, "{bytes}");
    }
    assert!(metric(&gateway, "sluice_kv_evictions_total") > 1800);
    assert_eq!(kv(&gateway, "get r0-0"), "none");
    assert_eq!(kv(&gateway, "get r19-99").len(), 1000);
    assert_eq!(kv(&gateway, "increment n 1"), "8", "values do not push counters out");
    let refused = kv(&gateway, "fill big 1 50000");
    assert!(refused.starts_with("fault: ") && refused.contains("grants.kv.max"), "{refused}");
}

#[test]
fn values_outlive_versions_of_the_plugin_and_are_its_own() {
    let mock = Mock::start();
    says(&mock, &["nobody answered"]);
    let gateway = start(
        &mock,
        &[
            ("probe", "kv-probe", &yaml("{ kv: {} }")),
            ("second", "kv-probe", &format!("enabled: true\norder: 200\n{}", yaml("{ kv: {} }"))),
        ],
    );
    assert_eq!(kv(&gateway, "set a mine"), "ok");
    assert_eq!(kv(&gateway, "increment n 5"), "5");
    let file = gateway.plugins().join("probe.wasm");
    let edited = |settings: &str| {
        let before = active(&gateway, "probe");
        replace(&gateway.plugins().join("probe.yaml"), settings.as_bytes());
        gateway.wait_plugin("probe", |state| {
            state["generation"] != before["generation"] || state["state"] != before["state"]
        })
    };
    let still = |what: &str| {
        assert_eq!((kv(&gateway, "get a"), kv(&gateway, "increment n 0")), ("mine".into(), "5".into()), "{what}");
    };
    // Another file, other limits, more room; and a version that is refused.
    let again = [component("kv-probe"), b"\0\x02\x01v".to_vec()].concat();
    replace(&file, &again);
    gateway.wait_plugin("probe", |state| state["size"].as_u64() == Some(again.len() as u64));
    still("a new file");
    edited("limits: { wall: 19s, start: 20s }\ngrants: { kv: {} }\n");
    still("other limits");
    edited(&format!("order: 50\n{}", yaml("{ kv: { max: 1MiB } }")));
    still("more room");
    let stale = edited(&yaml("{ kv: { max: 1KiB } }"));
    assert_eq!(stale["state"], "stale", "{stale}");
    still("a refused edit");
    // Without the grant the edit is refused, too, and the version that goes on has none either.
    replace(&gateway.plugins().join("probe.yaml"), format!("{PATIENT}\n").as_bytes());
    gateway.wait_plugin("probe", |state| state["error"].as_str().is_some_and(|why| why.contains("grants: { kv")));
    assert!(kv(&gateway, "get a").contains("not granted"));
    // Out and in again.
    replace(&gateway.plugins().join("probe.yaml"), b"enabled: false\n");
    gateway.wait_plugin("probe", |state| state["state"] == "disabled");
    assert_eq!(kv(&gateway, "get a"), "none", "the second one has keys of its own");
    replace(&gateway.plugins().join("probe.yaml"), yaml("{ kv: {} }").as_bytes());
    gateway.wait_plugin("probe", |state| state["state"] == "active");
    still("taken out and put back");
}

#[test]
fn the_dry_run_of_a_new_version_touches_no_real_key() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    // Each hook of it counts in its keys.
    let gateway = start(&mock, &[("probe", "finisher", &yaml("{ kv: {} }"))]);
    let state = active(&gateway, "probe");
    replace(&gateway.plugins().join("probe.yaml"), format!("settings: {{}}\n{}", yaml("{ kv: {} }")).as_bytes());
    gateway.wait_plugin("probe", |now| now["generation"] != state["generation"]);
    assert_eq!(metric(&gateway, "sluice_kv_bytes"), 0);
}
