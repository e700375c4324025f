//! Misbehaving guests in the hooks on finished calls: the client has its reply and notices nothing, each failure is booked under its own
//! kind, and a neighbour in the chain sees every call end exactly once.

use serde_json::json;
use sluice_tests::gateway::Gateway;
use sluice_tests::mock::Mock;
use sluice_tests::wait_for;

use crate::plugins_support::{PATIENT, active, before, component, errors, says, text_of};
use crate::support::CHAT;

/// Mode, and the kind of failure that it comes to.
const MODES: &[(&str, Option<&str>)] = &[
    ("trap", Some("trap")),
    ("panic", Some("trap")),
    ("exit", Some("trap")),
    ("spin", Some("timeout")),
    ("sleep", Some("timeout")),
    ("recurse", Some("trap")),
    ("grab-memory", Some("memory")),
    ("huge-result", Some("bad_verdict")),
    ("bad-text", Some("bad_verdict")),
    ("fault", Some("fault")),
    ("set-text-then-trap", Some("trap")),
    ("set-text-then-fault", Some("fault")),
    // It is granted no keys here.
    ("kv-flood", Some("fault")),
    ("log-flood", None),
];

const SAID: [&str; 2] = ["All is ", "well here."];

/// In the request's text, which `on-finish` reads, and in the model's name, which a finished call's document has.
fn asking(word: &str, stream: bool) -> String {
    let message = json!({"role": "user", "content": word});
    json!({"model": format!("p/{word}"), "stream": stream, "messages": [message]}).to_string()
}

fn chain(mock: &Mock, hook: &str) -> Gateway {
    let mut yaml = format!("plugins:\n  chain:\n    finisher: {{ {PATIENT} }}\n");
    for (mode, _) in MODES {
        let endless = matches!(*mode, "spin" | "sleep");
        let limits = if endless { "limits: { wall: 200ms, start: 20s }" } else { PATIENT };
        let settings = format!("{{ mode: {mode}, hook: {hook}, trigger: \"go-{mode}-go\" }}");
        yaml.push_str(&format!("    {mode}: {{ component: hostile.wasm, {limits}, settings: {settings} }}\n"));
    }
    let setup = before(mock, &yaml).plugin("hostile.wasm", component("hostile"));
    let gateway = setup.plugin("finisher.wasm", component("finisher")).start();
    MODES.iter().for_each(|(mode, _)| drop(active(&gateway, mode)));
    gateway
}

/// What a plugin was booked with, over all kinds.
fn booked(gateway: &Gateway, name: &str) -> u64 {
    let state = active(gateway, name);
    let counts = state["counters"]["errors"].as_object().expect("counts");
    counts.values().map(|count| count.as_u64().expect("a count")).sum()
}

fn every_mode(hook: &str) {
    let mock = Mock::start();
    says(&mock, &SAID);
    let gateway = chain(&mock, hook);
    let mut calls = Vec::new();
    for (mode, kind) in MODES {
        for stream in [false, true] {
            let reply = gateway.post(CHAT, asking(&format!("go-{mode}-go"), stream));
            assert_eq!((reply.status, text_of(&reply)), (200, SAID.concat()), "{mode}: {}", reply.text());
            calls.push(reply.header("x-request-id").expect("an id").to_owned());
            // One at a time, so that a batch of `on-complete` cannot hold both.
            if let Some(kind) = kind {
                let due = u64::from(stream) + 1;
                wait_for(&format!("{mode} to be booked with {kind}, {due} times"), || {
                    (errors(&active(&gateway, mode), kind) == due).then_some(())
                });
            }
        }
    }
    for (mode, kind) in MODES {
        assert_eq!(booked(&gateway, mode), if kind.is_some() { 2 } else { 0 }, "{mode}");
    }
    let lines = || gateway.process.err.all();
    let ended =
        |id: &String, word: &str| lines().iter().filter(|line| line.contains(&format!("{word} {id} ok"))).count();
    for id in &calls {
        for word in ["finish", "completed"] {
            wait_for(&format!("`{word} {id} ok`"), || (ended(id, word) > 0).then_some(()));
        }
    }
    for id in &calls {
        assert_eq!((ended(id, "finish"), ended(id, "completed")), (1, 1), "{id}");
    }
    assert_eq!(booked(&gateway, "finisher"), 0);
    let last = gateway.post(CHAT, asking("be good", false));
    assert_eq!(text_of(&last), SAID.concat());
}

#[test]
fn after_a_calls_end() {
    every_mode("finish");
}

#[test]
fn on_batches_of_finished_calls() {
    every_mode("complete");
}
