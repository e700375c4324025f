//! Misbehaving guests, one way at a time in each hook: each has its own outcome and gets it, the call ends soon, the next call on the
//! same plugin is served, and its neighbours in the chain (every other way to misbehave among them) notice nothing.

use std::time::{Duration, Instant};

use serde_json::Value;
use sluice_tests::gateway::Gateway;
use sluice_tests::http::Reply;
use sluice_tests::mock::{Mock, Script};

use crate::plugins_support::{PATIENT, active, asking, before, component, errors, says, text_of};
use crate::support::{CHAT, blamed, broken_off};

/// What a mode comes to in a hook.
#[derive(Clone, Copy, Debug, PartialEq)]
enum End {
    /// The hook failed with this kind.
    Fails(&'static str),
    /// A verdict like any other.
    Passes,
    /// Every attempt was judged worth another.
    Exhausted,
    /// The text becomes this.
    Says(&'static str),
}
use End::{Exhausted, Fails, Passes, Says};

/// Mode, and what it comes to on requests, on replies, in windows of whole replies (which hold nothing), in windows of streams.
const MODES: &[(&str, [End; 4])] = &[
    ("trap", [Fails("trap"); 4]),
    ("panic", [Fails("trap"); 4]),
    ("exit", [Fails("trap"); 4]),
    ("spin", [Fails("timeout"); 4]),
    ("recurse", [Fails("trap"); 4]),
    ("grab-memory", [Fails("memory"); 4]),
    ("huge-result", [Fails("bad_verdict"); 4]),
    ("bad-text", [Fails("bad_verdict"); 4]),
    ("bad-answer", [Fails("bad_verdict"), Fails("bad_verdict"), Says("short"), Fails("bad_verdict")]),
    ("sleep", [Fails("timeout"); 4]),
    ("bad-denial", [Fails("bad_verdict"); 4]),
    ("bad-piece", [Fails("fault"); 4]),
    ("fault", [Fails("fault"); 4]),
    ("huge-remember", [Fails("fault"); 4]),
    ("log-flood", [Passes; 4]),
    ("set-text-then-trap", [Fails("trap"); 4]),
    ("set-text-then-fault", [Fails("fault"); 4]),
    ("hold-all", [Passes; 4]),
    ("retry-forever", [Passes, Exhausted, Passes, Passes]),
];

const HOOKS: [&str; 4] = ["request", "response", "delta", "delta"];
const SAID: [&str; 2] = ["All is ", "well here."];
/// The limit of the modes that would never end.
const LIMIT: Duration = Duration::from_millis(200);

fn trigger(mode: &str) -> String {
    format!("go:{mode};")
}

fn never_ends(mode: &str) -> bool {
    matches!(mode, "spin" | "sleep")
}

/// One plugin a mode, all of them in one chain.
fn chain(mock: &Mock, hook: &str, on_error: &str) -> Gateway {
    let mut yaml = "plugins:\n  chain:\n".to_owned();
    for (mode, _) in MODES {
        let limits = if never_ends(mode) { "limits: { wall: 200ms, delta: 200ms, start: 20s }" } else { PATIENT };
        let settings = format!("{{ mode: {mode}, hook: {hook}, trigger: \"{}\" }}", trigger(mode));
        yaml.push_str(&format!(
            "    {mode}: {{ component: hostile.wasm, on_error: {on_error}, streams: hold, {limits}, settings: {settings} }}\n"
        ));
    }
    let gateway = before(mock, &yaml).plugin("hostile.wasm", component("hostile")).start();
    for (mode, _) in MODES {
        active(&gateway, mode);
    }
    gateway
}

/// Serves a call that misbehaves, and says whether the one plugin, and only it, was booked with `end`.
#[track_caller]
fn misbehave(gateway: &Gateway, mode: &str, end: End, text: &str, stream: bool) -> Reply {
    let before = gateway.plugin_states();
    let began = Instant::now();
    let reply = gateway.post(CHAT, asking(text, stream));
    let spent = began.elapsed();
    if never_ends(mode) {
        assert!(spent >= LIMIT / 2 && spent < LIMIT * 10, "{mode}: the call took {spent:?}");
    }
    let after = gateway.plugin_states();
    for (old, new) in before["plugins"].as_array().unwrap().iter().zip(after["plugins"].as_array().unwrap()) {
        let name = new["name"].as_str().unwrap();
        // The component's own name has no settings, so it waits.
        if name == "hostile" {
            continue;
        }
        for (kind, count) in new["counters"]["errors"].as_object().unwrap() {
            let added = count.as_u64().unwrap() - errors(old, kind);
            let due = u64::from(name == mode && matches!(end, Fails(failure) if failure == kind));
            assert_eq!(added, due, "{mode}: {name} was booked with {kind}: {}", new["counters"]);
        }
    }
    if let Fails(kind) = end {
        let state = active(gateway, mode);
        let last = state["counters"]["last_error"].as_str().unwrap_or_default();
        assert!(last.starts_with(&format!("{kind}: ")), "{mode}: {last}");
        let metric = format!("sluice_plugin_errors_total{{kind=\"{kind}\",plugin=\"{mode}\"}}");
        assert!(gateway.get("/metrics").text().contains(&metric), "{mode}: no {metric}");
        let named = |line: &String| line.contains("a plugin failed") && line.contains(mode) && line.contains(kind);
        sluice_tests::wait_for(&format!("a log line that names {mode} and {kind}"), || {
            gateway.process.err.all().iter().any(named).then_some(())
        });
    }
    reply
}

#[track_caller]
fn plugin_error(reply: &Reply, mode: &str) {
    let error = blamed(reply, 500, "plugin");
    assert_eq!(error["code"], "plugin_error", "{mode}");
    assert!(error["message"].as_str().unwrap().contains(mode), "{mode}: {error}");
    assert_eq!(reply.header("x-edited"), None, "{mode}: a failed hook's header reached the client");
}

#[track_caller]
fn served(gateway: &Gateway, stream: bool, what: &str) {
    let reply = gateway.post(CHAT, asking("be good", stream));
    assert_eq!(reply.status, 200, "{what}: {}", reply.text());
    assert_eq!(text_of(&reply), SAID.concat(), "{what}");
}

/// Every mode in one hook, with `on_error: closed`.
fn closed(at: usize, stream: bool) {
    let mock = Mock::start();
    says(&mock, &SAID);
    let gateway = chain(&mock, HOOKS[at], "closed");
    for (mode, ends) in MODES {
        let asked = mock.journal().count("p");
        let reply = misbehave(&gateway, mode, ends[at], &trigger(mode), stream);
        let asked = mock.journal().count("p") - asked;
        match ends[at] {
            Fails(_) => {
                plugin_error(&reply, mode);
                assert_eq!(asked, usize::from(at > 0), "{mode}: requests to the provider");
            }
            Passes => assert_eq!((reply.status, text_of(&reply)), (200, SAID.concat()), "{mode}: {}", reply.text()),
            Says(text) => assert_eq!((reply.status, text_of(&reply).as_str()), (200, text), "{mode}: {}", reply.text()),
            Exhausted => {
                assert_eq!(blamed(&reply, 502, "plugin")["code"], "attempts_exhausted");
                assert!((2..=5).contains(&asked), "{asked} attempts");
            }
        }
        served(&gateway, stream, mode);
    }
}

/// Every mode in one hook, with `on_error: open`: the call passes as if the plugin were not there.
fn open(at: usize, stream: bool) {
    let mock = Mock::start();
    says(&mock, &SAID);
    let gateway = chain(&mock, HOOKS[at], "open");
    for (mode, ends) in MODES.iter().filter(|(_, ends)| matches!(ends[at], Fails(_))) {
        let text = trigger(mode);
        let reply = misbehave(&gateway, mode, ends[at], &text, stream);
        assert_eq!(reply.status, 200, "{mode}: {}", reply.text());
        assert_eq!(text_of(&reply), SAID.concat(), "{mode}");
        assert_eq!(reply.header("x-edited"), None, "{mode}");
        let sent: Value = serde_json::from_slice(&mock.last("p").body).unwrap();
        assert_eq!(sent["messages"][0]["content"], text.as_str(), "{mode}: an edit of a failed hook was sent");
        let line = crate::plugins_support::log_line(&gateway, &reply);
        assert!(line["tags"].is_null(), "{mode}: a failed hook's tag was kept: {line}");
    }
    served(&gateway, stream, "after all");
}

#[test]
fn on_requests() {
    closed(0, false);
    open(0, false);
}

#[test]
fn on_whole_replies() {
    closed(1, false);
    open(1, false);
}

#[test]
fn on_streams_held_for_a_plugin_of_whole_replies() {
    closed(1, true);
    open(1, true);
}

#[test]
fn in_windows_of_whole_replies() {
    closed(2, false);
    open(2, false);
}

#[test]
fn in_windows_of_streams_before_any_content() {
    closed(3, true);
    open(3, true);
}

#[test]
fn in_windows_of_streams_after_content() {
    let mock = Mock::start();
    for on_error in ["closed", "open"] {
        let gateway = chain(&mock, "delta", on_error);
        for (mode, ends) in MODES {
            let Fails(_) = ends[3] else { continue };
            let pieces = ["Harmless so far. ", &trigger(mode), " and on"];
            says(&mock, &pieces);
            let reply = misbehave(&gateway, mode, ends[3], "be good", true);
            assert!(text_of(&reply).starts_with(pieces[0]), "{mode}: {}", reply.text());
            if on_error == "closed" {
                broken_off(&reply);
                assert!(reply.text().contains("plugin_error") && !text_of(&reply).contains("go:"), "{}", reply.text());
            } else {
                assert_eq!(text_of(&reply), pieces.concat(), "{mode}");
                assert!(reply.text().ends_with("data: [DONE]\n\n"), "{mode}: {}", reply.text());
            }
            says(&mock, &SAID);
            served(&gateway, true, mode);
        }
    }
}

#[test]
fn text_held_for_ever_ends_at_the_cap() {
    let mock = Mock::start();
    let yaml = format!("settings: {{ mode: hold-all, hook: delta, trigger: hold }}\n{PATIENT}\n");
    let gateway = crate::plugins_support::start(&mock, &[("holder", "hostile", &yaml)]);
    let piece = "x".repeat(8 * 1024);
    let pieces = vec![piece.as_str(); 20];
    says(&mock, &pieces);
    let reply = gateway.post(CHAT, asking("hold it", true));
    assert_eq!(blamed(&reply, 503, "plugin")["code"], "plugin_error");
    assert!(reply.header("retry-after").is_some(), "{:?}", reply.head);
    assert_eq!(errors(&active(&gateway, "holder"), "overload"), 1);
    says(&mock, &SAID);
    served(&gateway, true, "after the cap");
    mock.script("p", Script::json(200, crate::support::reply("whole")));
    assert_eq!(gateway.post(CHAT, asking("hold it", false)).status, 200);
}
