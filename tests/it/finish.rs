//! What comes after a call: `on-finish` once for every ending, with the reply as the client was sent it, and `on-complete` with the call's
//! document, neither of them the client's business.

use std::collections::BTreeMap;

use serde_json::json;
use sluice_tests::gateway::{Gateway, replace};
use sluice_tests::http::{Reply, request};
use sluice_tests::mock::{Mock, Script};
use sluice_tests::wait_for;

use crate::plugins_support::{PATIENT, active, asking, before, errors, says, text_of, wants_stream, with};
use crate::support::{
    CHAT, DONE, event, finish_event, reply, role_event, row, setup, stream_until, text_event, usage_event,
};

const TERM: i32 = 15;

/// What the guest `finisher` says of one finished call.
#[derive(Clone, Debug, PartialEq, Eq)]
struct End {
    outcome: String,
    target: String,
    output: String,
    question: String,
    reply: String,
}

/// The lines of finished calls so far, by the call's id.
fn ends(gateway: &Gateway) -> BTreeMap<String, Vec<End>> {
    let mut found: BTreeMap<String, Vec<End>> = BTreeMap::new();
    for line in gateway.process.err.all() {
        let Some(at) = line.find("finish call-") else { continue };
        // The gateway writes what a plugin logged first and its own fields behind it.
        let said = line[at..].split(" plugin=").next().unwrap_or_default();
        let field = |name: &str, next: &str| {
            let rest = said.split_once(name).unwrap_or_else(|| panic!("no {name} in {line}")).1;
            let end = if next.is_empty() { rest.len() } else { rest.find(next).unwrap_or(rest.len()) };
            rest[..end].to_owned()
        };
        let mut words = said.split(' ');
        let id = words.nth(1).unwrap_or_default().to_owned();
        found.entry(id).or_default().push(End {
            outcome: words.next().unwrap_or_default().to_owned(),
            target: field(" target=", " output="),
            output: field(" output=", " question="),
            question: field(" question=", " reply="),
            reply: field(" reply=", ""),
        });
    }
    found
}

fn wait_end(gateway: &Gateway, id: &str) -> End {
    let all = wait_for(&format!("the end of {id}"), || ends(gateway).remove(id));
    assert_eq!(all.len(), 1, "more than one end of {id}: {all:?}");
    all[0].clone()
}

fn wait_completed(gateway: &Gateway, id: &str) -> String {
    let wanted = format!("completed {id} ");
    let line = wait_for(&format!("{id} in a batch"), || gateway.process.err.find(&wanted));
    line.split(&wanted).nth(1).unwrap_or_default().split(' ').next().unwrap_or_default().to_owned()
}

fn raw(gateway: &Gateway, id: &str, body: &str) -> Vec<u8> {
    let headers = [("content-type", "application/json"), ("x-request-id", id)];
    request("POST", CHAT, &gateway.host(), &headers, body.as_bytes())
}

fn call(gateway: &Gateway, id: &str, body: &str) -> Reply {
    let mut connection = gateway.connect();
    connection.send(&raw(gateway, id, body));
    connection.reply()
}

/// One call that ends as expected, twice: whole and streamed.
#[track_caller]
fn ends_as(gateway: &Gateway, name: &str, question: &str, status: u16, expected: (&str, &str, &str)) {
    for stream in [false, true] {
        let id = format!("call-{name}-{stream}");
        let got = call(gateway, &id, &asking(question, stream));
        assert_eq!(got.status, status, "{id}: {}", got.text());
        let end = wait_end(gateway, &id);
        let (outcome, target, text) = expected;
        assert_eq!((&*end.outcome, &*end.target, &*end.reply), (outcome, target, text), "{id}");
        if status == 200 {
            assert_eq!(end.reply, text_of(&got), "{id}: what the hook saw is not what the client got");
        }
        assert_eq!(wait_completed(gateway, &id), outcome, "{id}");
    }
}

/// The finisher first, then a mask for requests and replies, one that answers, and one that fails.
fn chain(mock: &Mock) -> Gateway {
    let mut setup = with(before(mock, ""), "finisher", "finisher", &format!("order: 1\n{PATIENT}\n"));
    let settings = "settings: { text: no need to ask, when: answer }";
    setup = with(setup, "answers", "answers", &format!("order: 2\n{settings}\n{PATIENT}\n"));
    let settings = "settings: { mode: trap, trigger: misbehave }";
    setup = with(setup, "hostile", "hostile", &format!("order: 3\n{settings}\n{PATIENT}\n"));
    let settings = "settings: { words: [secret] }";
    setup = with(setup, "mask", "delta-guard", &format!("order: 4\n{settings}\n{PATIENT}\n"));
    let settings = "settings: { words: [forbidden] }";
    setup = with(setup, "deny-words", "deny-words", &format!("order: 5\n{settings}\n{PATIENT}\n"));
    let gateway = setup.start();
    for name in ["finisher", "answers", "hostile", "mask", "deny-words"] {
        active(&gateway, name);
    }
    gateway
}

#[test]
fn every_ending_is_told_once() {
    let mock = Mock::start();
    let mut gateway = chain(&mock);
    says(&mock, &["a sec", "ret ", "plan"]);
    ends_as(&gateway, "masked", "well", 200, ("ok", "p/m", "a *** plan"));
    ends_as(&gateway, "answered", "answer", 200, ("answered", "answers", "no need to ask"));
    ends_as(&gateway, "denied", "forbidden", 400, ("denied", "-", "-"));
    ends_as(&gateway, "failed", "misbehave", 500, ("failed", "-", "-"));
    let error = r#"{"error":{"message":"out of order","type":"server_error","code":null,"param":null}}"#;
    mock.script("p", Script::json(500, error));
    ends_as(&gateway, "upstream", "well", 500, ("upstream-error", "-", "-"));
    // Refused by a rule of the gateway after the body was read.
    for stream in [false, true] {
        let body = json!({"model": "no-such/x/y", "stream": stream, "messages": [{"role": "user", "content": "hm"}]});
        let id = format!("call-unknown-{stream}");
        // With one provider any name is its own, so this asks it.
        mock.script("p", Script::json(404, error));
        assert_eq!(call(&gateway, &id, &body.to_string()).status, 404);
        assert_eq!(wait_end(&gateway, &id).question, "hm");
    }
    stream_breaks_off(&mock, &gateway);
    client_leaves(&mock, &gateway);
    let calls = ends(&gateway);
    assert!(calls.values().all(|ends| ends.len() == 1), "{calls:?}");
    let metrics = gateway.get("/metrics").text();
    let total: u64 = metrics
        .lines()
        .filter(|line| line.starts_with("sluice_plugin_count_total{name=\"finish."))
        .map(|line| line.rsplit(' ').next().unwrap_or_default().parse::<u64>().unwrap())
        .sum();
    assert_eq!(total, calls.len() as u64, "{metrics}");
    gateway.process.signal(TERM);
    assert!(gateway.process.wait().success());
}

fn stream_breaks_off(mock: &Mock, gateway: &Gateway) {
    mock.script(
        "p",
        Script::sse_head().chunk(role_event()).chunk(text_event("half a ")).chunk(text_event("word")).close(),
    );
    let got = call(gateway, "call-truncated", &asking("well", true));
    assert_eq!(got.status, 200);
    let end = wait_end(gateway, "call-truncated");
    assert_eq!((&*end.outcome, &*end.target), ("truncated", "p/m"));
    assert_eq!(end.reply, text_of(&got));
    assert!("half a word".starts_with(&end.reply) && !end.reply.is_empty(), "{end:?}");
}

fn client_leaves(mock: &Mock, gateway: &Gateway) {
    let scripts = [
        ("call-left-early", Script::new().stall(), ""),
        ("call-left-late", Script::sse_head().chunk(role_event()).chunk(text_event("so far ")).stall(), "so far"),
    ];
    for (id, script, until) in scripts {
        mock.script("p", script);
        let asked = mock.journal().count("p");
        let mut connection = gateway.connect();
        connection.send(&raw(gateway, id, &asking("well", true)));
        mock.wait_request("p", asked + 1);
        if !until.is_empty() {
            stream_until(&mut connection, until);
        }
        drop(connection);
        let end = wait_end(gateway, id);
        assert_eq!((&*end.outcome, &*end.question), ("client-gone", "well"), "{id}");
        assert!(end.reply.starts_with(if until.is_empty() { "-" } else { until }), "{end:?}");
        assert_eq!(wait_completed(gateway, id), "client-gone");
    }
}

/// Without other hooks nothing is looked at on the way: the finisher reads what passed.
#[test]
fn replies_that_only_pass_are_seen_too() {
    let mock = Mock::start();
    let gateway = with(before(&mock, ""), "finisher", "finisher", PATIENT).start();
    active(&gateway, "finisher");
    let whole = Script::json(200, reply("as it is"));
    let pieces = [role_event(), text_event("as it "), text_event("is"), finish_event(), usage_event(), DONE.to_owned()];
    let streamed = Script::sse(pieces);
    mock.on("p", move |exchange| if wants_stream(exchange) { streamed.clone() } else { whole.clone() });
    ends_as(&gateway, "pass", "well", 200, ("ok", "p/m", "as it is"));
    // The client did not ask for usage and does not get it; the hook knows it.
    for stream in [false, true] {
        assert_eq!(wait_end(&gateway, &format!("call-pass-{stream}")).output, "1");
    }
    // Compressed for the client's sake, readable for the plugin's.
    let headers = [("content-type", "application/json"), ("x-request-id", "call-zip"), ("accept-encoding", "gzip")];
    assert_eq!(gateway.call("POST", CHAT, &headers, asking("well", false).as_bytes()).status, 200);
    assert_eq!(wait_end(&gateway, "call-zip").reply, "as it is");
}

#[test]
fn a_held_stream_is_seen_as_it_was_sent() {
    let mock = Mock::start();
    let guard = format!("order: 2\nsettings: {{ words: [secret] }}\nstreams: hold\n{PATIENT}\n");
    let setup = with(before(&mock, ""), "finisher", "finisher", &format!("order: 1\n{PATIENT}\n"));
    let gateway = with(setup, "guard", "response-guard", &guard).start();
    active(&gateway, "guard");
    says(&mock, &["no ", "secret", " here"]);
    ends_as(&gateway, "edited", "well", 200, ("ok", "p/m", "no *** here"));
    says(&mock, &["nothing ", "to hide"]);
    ends_as(&gateway, "unedited", "well", 200, ("ok", "p/m", "nothing to hide"));
}

#[test]
fn a_reply_past_the_cap_has_an_outcome_and_tokens_but_no_text() {
    let mock = Mock::start();
    let setup = setup(&[row(&mock, "p", "limits: { hold_size: 4KiB }")], "");
    let gateway = with(setup, "finisher", "finisher", PATIENT).start();
    let long = "x".repeat(3000);
    let whole = Script::json(200, reply(&long.repeat(2)));
    let pieces = [role_event(), text_event(&long), text_event(&long), finish_event(), usage_event(), DONE.to_owned()];
    let streamed = Script::sse(pieces);
    mock.on("p", move |exchange| if wants_stream(exchange) { streamed.clone() } else { whole.clone() });
    for stream in [false, true] {
        let id = format!("call-long-{stream}");
        let got = call(&gateway, &id, &asking("well", stream));
        assert_eq!(text_of(&got).len(), 6000, "the client gets all of it");
        let end = wait_end(&gateway, &id);
        assert_eq!((&*end.outcome, &*end.output, &*end.reply), ("ok", "1", "-"), "{id}");
    }
}

#[test]
fn what_fails_after_the_end_is_counted_and_nobodys_business() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let hostile = |mode: &str, hook: &str, trigger: &str| {
        format!(
            "order: 1\nsettings: {{ mode: {mode}, hook: {hook}, trigger: {trigger} }}\nlimits: {{ wall: 200ms, start: 20s }}\n"
        )
    };
    let mut setup = with(before(&mock, ""), "traps", "hostile", &hostile("trap", "finish", "misbehave"));
    setup = with(setup, "spins", "hostile", &hostile("spin", "finish", "misbehave"));
    setup = with(setup, "batch", "hostile", &hostile("trap", "complete", "call-kept"));
    let gateway = with(setup, "finisher", "finisher", &format!("order: 2\n{PATIENT}\n")).start();
    ends_as(&gateway, "kept", "misbehave", 200, ("ok", "p/m", "fine"));
    for (name, kind, least) in [("traps", "trap", 2), ("spins", "timeout", 2), ("batch", "trap", 1)] {
        let state = gateway.wait_plugin(name, |state| errors(state, kind) >= least);
        assert!(errors(&state, kind) <= 2, "{state}");
    }
    assert!(gateway.process.err.find("a plugin failed on finished calls").is_some());
}

#[test]
fn a_new_version_that_fails_after_calls_is_taken_back() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let yaml = |trigger: &str| format!("settings: {{ mode: fault, hook: finish, trigger: {trigger} }}\n{PATIENT}\n");
    let gateway = with(before(&mock, ""), "odd", "hostile", &yaml("never")).start();
    active(&gateway, "odd");
    replace(&gateway.plugins().join("odd.yaml"), yaml("misbehave").as_bytes());
    gateway.wait_plugin("odd", |state| state["probation"].is_object());
    for number in 0..11 {
        // Waits for each, so that the plugin's breaker, which looks at the last seconds, never comes into it.
        let failed = errors(&active(&gateway, "odd"), "fault");
        assert_eq!(call(&gateway, &format!("call-{number}"), &asking("misbehave", false)).status, 200);
        gateway.wait_plugin("odd", |state| errors(state, "fault") > failed);
    }
    let back = gateway.wait_plugin("odd", |state| state["state"] == "stale");
    assert!(back["error"].as_str().unwrap().contains("was taken back"), "{back}");
}

#[test]
fn documents_come_in_batches_and_a_new_version_gets_the_rest() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let gateway = with(before(&mock, ""), "finisher", "finisher", PATIENT).start();
    active(&gateway, "finisher");
    const CALLS: usize = 150;
    for number in 0..CALLS {
        assert_eq!(call(&gateway, &format!("call-{number}"), &asking("well", false)).status, 200);
        if number == CALLS / 2 {
            // The same component under other settings is another version.
            replace(&gateway.plugins().join("finisher.yaml"), b"limits: { wall: 19s, start: 20s }");
        }
    }
    for number in 0..CALLS {
        assert_eq!(wait_completed(&gateway, &format!("call-{number}")), "ok");
    }
    gateway.wait_plugin("finisher", |state| state["generation"].as_u64() > Some(1));
    let metrics = gateway.get("/metrics").text();
    let value = |name: &str| -> u64 {
        let line =
            metrics.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("no {name}: {metrics}"));
        line.rsplit(' ').next().unwrap().parse().unwrap()
    };
    assert_eq!(value("sluice_plugin_count_total{name=\"complete.ok\""), CALLS as u64);
    let batches = value("sluice_plugin_count_total{name=\"batches\"");
    assert!(batches >= 3 && batches < CALLS as u64, "{batches} batches");
    for hook in ["on-finish", "on-complete"] {
        assert_eq!(value(&format!("sluice_finish_dropped_total{{hook=\"{hook}\"}}")), 0);
    }
}

#[test]
fn a_stop_hands_over_what_has_finished() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let mut gateway = with(before(&mock, ""), "finisher", "finisher", PATIENT).start();
    active(&gateway, "finisher");
    let replies: Vec<Reply> =
        (0..10).map(|number| call(&gateway, &format!("call-{number}"), &asking("well", number % 2 == 0))).collect();
    assert!(replies.iter().all(|reply| reply.status == 200));
    gateway.process.signal(TERM);
    assert!(gateway.process.wait().success());
    for number in 0..10 {
        let id = format!("call-{number}");
        assert_eq!(wait_end(&gateway, &id).outcome, "ok");
        assert_eq!(wait_completed(&gateway, &id), "ok");
    }
}

#[test]
fn only_calls_that_a_plugin_matches_are_told_to_it() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let yaml = format!("match: {{ header: {{ x-tell: 'yes' }} }}\n{PATIENT}\n");
    let gateway = with(before(&mock, ""), "finisher", "finisher", &yaml).start();
    active(&gateway, "finisher");
    let tell = |id: &str, value: &str| {
        let headers = [("content-type", "application/json"), ("x-request-id", id), ("x-tell", value)];
        assert_eq!(gateway.call("POST", CHAT, &headers, asking("well", false).as_bytes()).status, 200);
    };
    tell("call-no", "no");
    tell("call-yes", "yes");
    assert_eq!(wait_end(&gateway, "call-yes").outcome, "ok");
    assert_eq!(wait_completed(&gateway, "call-yes"), "ok");
    assert!(gateway.process.err.find("finish call-no").is_none());
    assert!(gateway.process.err.find("completed call-no").is_none());
}

/// Two choices: both are in the assembled reply.
#[test]
fn choices_of_a_stream_are_put_together_apart() {
    let mock = Mock::start();
    let gateway = with(before(&mock, ""), "finisher", "finisher", PATIENT).start();
    active(&gateway, "finisher");
    let second = |text: &str| event(json!({ "content": text }), None).replace("\"index\":0", "\"index\":1");
    let pieces = [text_event("one "), second("two "), text_event("and"), second("too"), finish_event()];
    mock.script("p", Script::sse(pieces.into_iter().chain([DONE.to_owned()])));
    assert_eq!(call(&gateway, "call-two", &asking("well", true)).status, 200);
    // The log shows the separator between texts as a blank.
    assert_eq!(wait_end(&gateway, "call-two").reply, "one and two too");
}
