//! The shipped plugins in a running gateway: the cache answers the same call by the same caller only, the limiter counts exactly under
//! many clients, the log has one line a call. `deny-words` has tests of its own.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};
use sluice_tests::gateway::Gateway;
use sluice_tests::http::Reply;
use sluice_tests::mock::{Mock, Script};
use sluice_tests::wait_for;

use crate::plugins_support::{PATIENT, component, is_stream, says, text_of};
use crate::support::{CHAT, PROVIDER_KEY, reply, row, setup};

const KEYS: &str = "keys: [{ name: a, value: env:KEY_A, team: t }, { name: b, value: env:KEY_B, team: t }]\n\
    server: { clients: keys }\naliases: { other: p/two }\n";
const KEY_A: &str = "sk-client-a-0123456789abcdef";
const KEY_B: &str = "sk-client-b-0123456789abcdef";

fn gateway(mock: &Mock, more: &str, plugins: &[(&str, &str)]) -> Gateway {
    let mut setup = setup(&[row(mock, "p", "models: [one, two]")], more).env("KEY_A", KEY_A).env("KEY_B", KEY_B);
    for (name, block) in plugins {
        setup = setup
            .plugin(&format!("{name}.yaml"), format!("{PATIENT}\n{block}\n"))
            .plugin(&format!("{name}.wasm"), component(name));
    }
    let gateway = setup.start();
    if more.is_empty() {
        for (name, _) in plugins {
            gateway.wait_plugin(name, |state| state["state"] == "active");
        }
    }
    gateway
}

fn chat(model: &str, text: &str) -> Value {
    json!({
        "model": model, "messages": [{ "role": "user", "content": text }],
        "tools": [{ "type": "function", "function": { "name": "f", "parameters": { "type": "object" } } }],
    })
}

fn by(gateway: &Gateway, key: &str, body: &str) -> Reply {
    let bearer = format!("Bearer {key}");
    gateway.call(
        "POST",
        CHAT,
        &[("content-type", "application/json"), ("authorization", bearer.as_str())],
        body.as_bytes(),
    )
}

fn cache(reply: &Reply) -> &str {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("x-sluice-cache").unwrap_or("no header")
}

/// The words of `text`, to be answered from the store from now on: storing happens behind the reply.
fn stored(gateway: &Gateway, key: &str, body: &Value) -> Reply {
    wait_for("a hit", || {
        let reply = by(gateway, key, &body.to_string());
        (cache(&reply) == "hit").then_some(reply)
    })
}

#[test]
fn the_same_call_by_the_same_caller_is_answered_whole_and_streamed() {
    let mock = Mock::start();
    let gateway = gateway(&mock, KEYS, &[("response-cache", "grants: { kv: {} }")]);
    let body = chat("p/one", "hi");
    mock.script("p", Script::json(200, reply("from the provider")));
    let first = by(&gateway, KEY_A, &body.to_string());
    assert_eq!(cache(&first), "miss");
    let hit = stored(&gateway, KEY_A, &body);
    assert_eq!((&hit.json()["id"], &hit.json()["usage"]), (&first.json()["id"], &first.json()["usage"]));
    assert_eq!(text_of(&hit), "from the provider");
    assert!(hit.header("x-sluice-cache-age").is_some_and(|age| age.parse::<u64>().is_ok()));
    let asked = mock.exchanges("p").len();
    // Shuffled members, other white space and escapes, streamed.
    let shuffled = r#"{ "stream": true, "tools": [ { "function": { "parameters": {"type":"object"}, "name": "f" },
        "type": "function" } ], "messages": [ { "content": "\u0068i", "role": "user" } ], "model": "p/one" }"#;
    let streamed = by(&gateway, KEY_A, shuffled);
    assert_eq!(cache(&streamed), "hit");
    assert!(is_stream(&streamed) && streamed.text().ends_with("data: [DONE]\n\n"), "{}", streamed.text());
    assert_eq!(text_of(&streamed), "from the provider");
    assert_eq!(mock.exchanges("p").len(), asked, "the provider was asked again");
    let line = gateway.wait_access("\"cache\":\"hit\"");
    assert!(line.contains("\"outcome\":\"answered\""), "{line}");
    assert!(!line.contains("from the provider") && !line.contains(KEY_A), "{line}");
}

#[test]
fn anothers_call_is_never_answered() {
    let mock = Mock::start();
    let gateway = gateway(&mock, KEYS, &[("response-cache", "grants: { kv: {} }")]);
    let body = chat("p/one", "hi");
    mock.script("p", Script::json(200, reply("for a")));
    by(&gateway, KEY_A, &body.to_string());
    stored(&gateway, KEY_A, &body);
    mock.script("p", Script::json(200, reply("another")));
    let changed = |pointer: &str, value: Value| {
        let mut body = body.clone();
        *body.pointer_mut(pointer).expect("a place") = value;
        body
    };
    let mut more = body.clone();
    more["temperature"] = json!(0.1);
    let other_prefix = gateway.call(
        "POST",
        "/openai/v1/chat/completions",
        &[("content-type", "application/json"), ("authorization", &format!("Bearer {KEY_A}"))],
        body.to_string().as_bytes(),
    );
    assert_eq!((other_prefix.status, cache(&other_prefix)), (200, "miss"), "{}", other_prefix.text());
    for (key, body) in [
        (KEY_B, body.clone()),
        (KEY_A, chat("p/two", "hi")),
        (KEY_A, chat("one", "hi")),
        (KEY_A, chat("other", "hi")),
        (KEY_A, chat("p/one", "ho")),
        (KEY_A, changed("/tools", json!([]))),
        (KEY_A, changed("/tools/0/function/name", json!("g"))),
        (KEY_A, more),
    ] {
        let reply = by(&gateway, key, &body.to_string());
        assert_eq!((cache(&reply), text_of(&reply).as_str()), ("miss", "another"), "{body}");
    }
    assert_eq!(text_of(&by(&gateway, KEY_A, &body.to_string())), "for a");
}

#[test]
fn streams_are_stored_and_broken_ones_are_not() {
    let mock = Mock::start();
    let gateway = gateway(&mock, KEYS, &[("response-cache", "grants: { kv: {} }")]);
    let mut body = chat("p/one", "stream me");
    body["stream"] = json!(true);
    // Cut before its end: an error ending, never stored.
    let cut = format!("{}{}", crate::support::role_event(), crate::support::text_event("half a"));
    mock.script("p", Script::sse_head().chunk(cut).close());
    let broken = by(&gateway, KEY_A, &body.to_string());
    assert_eq!(broken.status, 200);
    mock.script("p", Script::json(500, r#"{"error":{"message":"no","type":"server_error"}}"#));
    assert_eq!(by(&gateway, KEY_A, &body.to_string()).status, 500);
    says(&mock, &["a stream", " that ends"]);
    let first = by(&gateway, KEY_A, &body.to_string());
    assert_eq!((cache(&first), text_of(&first).as_str()), ("miss", "a stream that ends"));
    let hit = stored(&gateway, KEY_A, &body);
    assert_eq!(text_of(&hit), "a stream that ends");
    body["stream"] = json!(false);
    let whole = by(&gateway, KEY_A, &body.to_string());
    assert_eq!((cache(&whole), is_stream(&whole), text_of(&whole).as_str()), ("hit", false, "a stream that ends"));
}

#[test]
fn a_hit_passes_the_guards_of_replies() {
    let mock = Mock::start();
    let mask = "order: 1\nsettings: { words: [secret], action: mask }";
    let gateway = gateway(&mock, KEYS, &[("response-cache", "order: 900\ngrants: { kv: {} }"), ("deny-words", mask)]);
    mock.script("p", Script::json(200, reply("a secret")));
    let body = chat("p/one", "tell");
    assert_eq!(text_of(&by(&gateway, KEY_A, &body.to_string())), "a ***");
    let hit = stored(&gateway, KEY_A, &body);
    assert_eq!(text_of(&hit), "a ***");
    // A rule that came later holds for what was stored earlier.
    let stricter = format!("{PATIENT}\norder: 1\nsettings: {{ words: [\"***\", secret], mask: none, action: mask }}\n");
    sluice_tests::gateway::replace(&gateway.plugins().join("deny-words.yaml"), stricter.as_bytes());
    wait_for("the new rule", || (text_of(&by(&gateway, KEY_A, &body.to_string())) == "a none").then_some(()));
}

#[test]
fn identical_misses_at_once_do_no_harm() {
    let mock = Mock::start();
    let gateway = gateway(&mock, KEYS, &[("response-cache", "grants: { kv: {} }")]);
    mock.script("p", Script::json(200, reply("same")));
    thread::scope(|scope| {
        for client in 0..16 {
            let gateway = &gateway;
            scope.spawn(move || {
                let key = if client % 2 == 0 { KEY_A } else { KEY_B };
                for round in 0..20 {
                    let reply = by(gateway, key, &chat("p/one", &format!("round {round}")).to_string());
                    assert!(["hit", "miss"].contains(&cache(&reply)));
                    assert_eq!(text_of(&reply), "same");
                }
            });
        }
    });
    stored(&gateway, KEY_A, &chat("p/one", "round 0"));
    stored(&gateway, KEY_B, &chat("p/one", "round 19"));
}

#[test]
fn the_limiter_counts_exactly_under_many_clients() {
    let mock = Mock::start();
    let block = "grants: { kv: {} }\nsettings: { header: x-user-id, rate: 1/d, burst: 40 }";
    let gateway = gateway(&mock, "", &[("rate-limit-by-header", block)]);
    mock.script("p", Script::json(200, reply("yes")));
    let (passed, limited) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    let headers = [("content-type", "application/json"), ("x-user-id", "u1")];
                    let reply = gateway.call("POST", CHAT, &headers, chat("p/one", "hi").to_string().as_bytes());
                    match reply.status {
                        200 => passed.fetch_add(1, Ordering::Relaxed),
                        429 => {
                            let error = reply.json();
                            assert_eq!(error["error"]["code"], "rate_limit_exceeded");
                            let wait = reply.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
                            assert!(wait.is_some_and(|wait| (1..=86_400).contains(&wait)), "{wait:?}");
                            limited.fetch_add(1, Ordering::Relaxed)
                        }
                        other => panic!("{other}: {}", reply.text()),
                    };
                }
            });
        }
    });
    assert_eq!((passed.into_inner(), limited.into_inner()), (40, 40));
    let headers = [("content-type", "application/json"), ("x-user-id", "u2")];
    let other = gateway.call("POST", CHAT, &headers, chat("p/one", "hi").to_string().as_bytes());
    assert_eq!((other.status, other.header("x-ratelimit-remaining-requests")), (200, Some("39")));
}

#[test]
fn without_its_grant_a_plugin_waits_and_says_what_to_add() {
    let mock = Mock::start();
    let setup = setup(&[row(&mock, "p", "")], "").plugin("response-cache.wasm", component("response-cache"));
    let gateway = setup.start();
    let state = gateway.wait_plugin("response-cache", |state| state["state"] == "waiting");
    assert!(state.to_string().contains("grants: { kv: {} }"), "{state}");
}

#[test]
fn the_usage_log_has_one_line_for_every_call() {
    let mock = Mock::start();
    let mut gateway = gateway(&mock, KEYS, &[("usage-log", "settings: { format: logfmt }")]);
    mock.script("p", Script::json(200, reply("words of the reply")));
    for number in 0..200 {
        let key = if number % 2 == 0 { KEY_A } else { KEY_B };
        let status = by(&gateway, key, &chat("p/one", "words of the prompt").to_string()).status;
        assert_eq!(status, 200);
    }
    mock.script("p", Script::json(500, r#"{"error":{"message":"no","type":"server_error"}}"#));
    by(&gateway, KEY_A, &chat("p/one", "hi").to_string());
    assert_eq!(gateway.plugin_state("usage-log").expect("a state")["on_error"], "open", "it only observes");
    // A stop writes what is still waiting.
    gateway.process.signal(15);
    gateway.process.wait();
    let log = gateway.process.err.text();
    let lines: Vec<&str> = log.lines().filter(|line| line.contains("usage-log") && line.contains("outcome=")).collect();
    assert_eq!(lines.len(), 201, "{log}");
    assert_eq!(lines.iter().filter(|line| line.contains("outcome=ok") && line.contains("key=a")).count(), 100);
    assert!(lines.iter().filter(|line| line.contains("outcome=ok")).all(|line| line.contains("tokens.output=1")));
    assert_eq!(lines.iter().filter(|line| line.contains("outcome=upstream-error")).count(), 1);
    for secret in ["words of", KEY_A, KEY_B, PROVIDER_KEY] {
        assert!(!log.contains(secret), "{secret}");
    }
}
