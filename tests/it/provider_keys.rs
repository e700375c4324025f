//! A provider's keys: conversations keep theirs, a failed key is left alone until it is good again, and limits of calls at once hold.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_dialect::Dialect;
use sluice_tests::gateway::{Gateway, Setup, replace};
use sluice_tests::http::Reply;
use sluice_tests::mock;
use sluice_tests::mock::{Exchange, Mock, Script};
use sluice_tests::{LIMIT, wait_for};

use crate::blocks::blocks;
use crate::cli_support::{err, out, sluice};
use crate::dialects_support::asking;
use crate::python_client::root;
use crate::support::{CHAT, blamed, body, reply};

/// What a key of the mock provider answers with in place of a reply.
type Refusals = Arc<Mutex<BTreeMap<&'static str, (u16, Vec<(&'static str, &'static str)>)>>>;

const NAMES: [&str; 4] = ["sk-a", "sk-b", "sk-c", "sk-d"];

/// The key that a request carries.
fn key_of(exchange: &Exchange) -> String {
    exchange.head.get("authorization").and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().to_owned()
}

/// A provider `p` that answers by what is said of the key.
fn keyed(mock: &Mock) -> Refusals {
    let refusals = Refusals::default();
    let said = Arc::clone(&refusals);
    mock.on("p", move |exchange| {
        let refusals = said.lock().unwrap();
        match refusals.get(key_of(exchange).as_str()) {
            None => Script::json(200, reply("fine")),
            Some((status, headers)) => {
                let code = if *status == 429 { "rate_limit_exceeded" } else { "invalid_api_key" };
                let error = json!({"error": {"message": "No.", "type": code, "param": null, "code": code}});
                let headers: Vec<_> = headers.iter().copied().chain([("content-type", "application/json")]).collect();
                Script::whole(*status, &headers, error.to_string())
            }
        }
    });
    refusals
}

/// The configuration of `p` with these keys, in flow style, and further lines of the provider.
fn config(mock: &Mock, keys: &[String], more: &str) -> String {
    let base = mock.base("p");
    format!("providers:\n  p: {{ dialect: openai-chat, base_url: \"{base}\", keys: [{}]{more} }}\n", keys.join(", "))
}

/// Keys of these texts, each named by its text's last letter. The texts come from the environment.
fn plain(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| format!("{{ name: {0}, value: \"env:KEY_{0}\" }}", letter(name))).collect()
}

fn letter(name: &str) -> &str {
    &name[name.len() - 1..]
}

fn started(text: String) -> Gateway {
    NAMES.iter().fold(Setup::config(text), |setup, name| setup.env(&format!("KEY_{}", letter(name)), name)).start()
}

/// The keys that the mock was shown since the last look.
fn shown(mock: &Mock) -> Vec<String> {
    let keys = mock.exchanges("p").iter().map(key_of).collect();
    mock.journal().clear();
    keys
}

/// A further turn of the conversation that `asking` began.
fn second_turn(dialect: Dialect, body: &str) -> String {
    let mut body: Value = serde_json::from_str(body).unwrap();
    let turn = |role: &str, text: &str| json!({"role": role, "content": text});
    match dialect {
        Dialect::OpenaiChat | Dialect::Anthropic => {
            let messages = body["messages"].as_array_mut().unwrap();
            messages.extend([turn("assistant", "fine"), turn("user", "And then?")]);
        }
        Dialect::OpenaiResponses => {
            let first = body["input"].take();
            let text = first.as_str().unwrap();
            body["input"] = json!([turn("user", text), turn("assistant", "fine"), turn("user", "And then?")]);
        }
        Dialect::Gemini => {
            let part = |role: &str, text: &str| json!({"role": role, "parts": [{"text": text}]});
            body["contents"].as_array_mut().unwrap().extend([part("model", "fine"), part("user", "And then?")]);
        }
    }
    body.to_string()
}

/// One turn of each conversation, in the four dialects by turns; the keys that they met.
fn turns(gateway: &Gateway, mock: &Mock, conversations: usize, second: bool) -> Vec<String> {
    mock.journal().clear();
    for at in 0..conversations {
        let dialect = Dialect::ALL[at % Dialect::ALL.len()];
        let (path, first) = asking(dialect, "p/m", &format!("question {at}"), false);
        let body = if second { second_turn(dialect, &first) } else { first };
        let reply = gateway.post(&path, body);
        assert_eq!(reply.status, 200, "{dialect:?} {at}: {}", reply.text());
    }
    // The last key of each: an attempt with another may have gone before.
    let mut met: Vec<String> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    for exchange in mock.exchanges("p") {
        let body: Value = serde_json::from_slice(&exchange.body).unwrap();
        let text = body["messages"].to_string();
        if texts.last() == Some(&text) {
            met.pop();
        } else {
            texts.push(text);
        }
        met.push(key_of(&exchange));
    }
    assert_eq!(met.len(), conversations);
    mock.journal().clear();
    met
}

#[test]
fn conversations_keep_their_key_and_move_when_it_fails() {
    const MANY: usize = 1000;
    let mock = Mock::start();
    let refusals = keyed(&mock);
    let gateway = started(config(&mock, &plain(&NAMES), ""));
    let first = turns(&gateway, &mock, MANY, false);
    let second = turns(&gateway, &mock, MANY, true);
    let kept = first.iter().zip(&second).filter(|(one, two)| one == two).count();
    println!("{kept} of {MANY} conversations kept their key");
    assert!(kept * 100 >= MANY * 99, "{kept} of {MANY}");
    for name in NAMES {
        let share = first.iter().filter(|key| *key == name).count();
        assert!((180..=320).contains(&share), "{name} has {share} of {MANY}");
    }
    // One key is revoked: its conversations move, the others stay, no call fails, and the key is asked once.
    refusals.lock().unwrap().insert("sk-b", (401, Vec::new()));
    let moved = turns(&gateway, &mock, MANY, true);
    for (at, (was, is)) in first.iter().zip(&moved).enumerate() {
        assert_ne!(is, "sk-b", "conversation {at}");
        assert!(was == "sk-b" || was == is, "conversation {at} moved from {was} to {is}");
    }
    // Another is rate-limited for longer than the test: the same.
    refusals.lock().unwrap().insert("sk-c", (429, vec![("retry-after", "600")]));
    let moved = turns(&gateway, &mock, MANY, true);
    for (was, is) in first.iter().zip(&moved) {
        assert!(!["sk-b", "sk-c"].contains(&is.as_str()));
        assert!(["sk-b", "sk-c"].contains(&was.as_str()) || was == is, "moved from {was} to {is}");
    }
}

#[test]
fn a_revoked_key_is_asked_once_and_again_when_its_text_is_another() {
    let mock = Mock::start();
    let refusals = keyed(&mock);
    refusals.lock().unwrap().insert("sk-a", (401, Vec::new()));
    let gateway = started(config(&mock, &plain(&NAMES[..3]), ""));
    let ask = |times: usize| {
        for at in 0..times {
            let (path, body) = asking(Dialect::OpenaiChat, "p/m", &format!("again {at}"), false);
            assert_eq!(gateway.post(&path, body).status, 200);
        }
        let keys = shown(&mock);
        NAMES.map(|name| keys.iter().filter(|key| *key == name).count())
    };
    let counts = ask(60);
    assert_eq!(counts[0], 1, "{counts:?}");
    assert!(counts[1] > 0 && counts[2] > 0 && counts[1] + counts[2] == 60, "{counts:?}");
    // An edit elsewhere forgets nothing.
    let edit = |text: String| {
        let edits = || gateway.process.err.text().matches("configuration is live").count();
        let before = edits();
        replace(&gateway.folder().join("sluice.yaml"), text.as_bytes());
        wait_for("the edit", || (edits() > before).then_some(()));
    };
    edit(config(&mock, &plain(&NAMES[..3]), ", models: [m]"));
    assert_eq!(ask(20)[0], 0);
    // The operator puts a new text under the old name.
    let mut keys = plain(&NAMES[..3]);
    keys[0] = "{ name: a, value: \"env:KEY_d\" }".to_owned();
    edit(config(&mock, &keys, ", models: [m]"));
    let counts = ask(60);
    assert!(counts[3] > 0 && counts[0] == 0, "{counts:?}");
}

#[test]
fn limited_keys_are_left_alone_for_as_long_as_their_provider_asks() {
    let mock = Mock::start();
    let refusals = keyed(&mock);
    let gateway = started(config(&mock, &plain(&NAMES[..2]), ""));
    let began = Instant::now();
    for name in &NAMES[..2] {
        refusals.lock().unwrap().insert(*name, (429, vec![("retry-after", "700")]));
    }
    let reply = gateway.post(CHAT, body("p/m", false));
    assert_eq!((reply.status, reply.header("retry-after")), (429, Some("700")), "{}", reply.text());
    assert_eq!(shown(&mock).len(), 2);
    for _ in 0..10 {
        let reply = gateway.post(CHAT, body("p/m", false));
        let error = blamed(&reply, 429, "gateway");
        assert_eq!(error["code"], "no_provider_key");
        let after: u64 = reply.header("retry-after").unwrap().parse().unwrap();
        assert!((640..=700).contains(&after), "{after}");
        assert!(!reply.text().contains("sk-a"));
    }
    assert_eq!(shown(&mock).len(), 0, "the provider hears nothing of calls that it would refuse");
    assert!(began.elapsed() < Duration::from_secs(60), "nobody waits for that long");
    // Limits are of one model: others are asked for, and they are served.
    refusals.lock().unwrap().clear();
    assert_eq!(gateway.post(CHAT, body("p/other", false)).status, 200);
}

#[test]
fn a_limited_key_comes_back_by_itself() {
    let mock = Mock::start();
    let refusals = keyed(&mock);
    let gateway = started(config(&mock, &plain(&NAMES[..2]), ""));
    for name in &NAMES[..2] {
        refusals.lock().unwrap().insert(*name, (429, vec![("retry-after", "2")]));
    }
    assert_eq!(gateway.post(CHAT, body("p/m", false)).status, 429);
    refusals.lock().unwrap().clear();
    let served = || (gateway.post(CHAT, body("p/m", false)).status == 200).then_some(());
    wait_for("a key to come back", served);
    for _ in 0..5 {
        assert_eq!(gateway.post(CHAT, body("p/m", false)).status, 200, "good again for all");
    }
}

#[test]
fn where_there_is_no_other_key_and_target_a_short_limit_is_waited_for() {
    let fine = || Script::json(200, reply("fine"));
    let limited = |headers: &[(&str, &str)]| Script::whole(429, headers, "{}");
    for (keys, refusals) in [(1, vec![limited(&[])]), (2, vec![limited(&[("retry-after", "1")]); 2])] {
        let mock = Mock::start();
        let asked = refusals.len() + 1;
        mock.queue("p", refusals.into_iter().chain([fine()]).collect());
        let gateway = started(config(&mock, &plain(&NAMES[..keys]), ""));
        let reply = gateway.post(CHAT, body("p/m", false));
        assert_eq!((reply.status, mock.exchanges("p").len()), (200, asked), "{keys}: {}", reply.text());
    }
}

#[test]
fn keys_serve_the_models_they_list_and_none_while_disabled() {
    let mock = Mock::start();
    keyed(&mock);
    let keys = [
        "{ name: a, value: \"env:KEY_a\", models: [gpt-*] }",
        "{ name: b, value: \"env:KEY_b\", models: [o3], weight: 0.001 }",
        "{ name: c, value: \"env:KEY_c\", enabled: false, weight: 1000000 }",
    ]
    .map(str::to_owned);
    let gateway = started(config(&mock, &keys, ""));
    for (model, key) in [("gpt-4o", "sk-a"), ("o3", "sk-b")] {
        for _ in 0..10 {
            assert_eq!(gateway.post(CHAT, body(&format!("p/{model}"), false)).status, 200);
        }
        assert_eq!(shown(&mock), vec![key; 10]);
    }
    let error = blamed(&gateway.post(CHAT, body("p/else", false)), 503, "gateway");
    assert_eq!(error["code"], "no_provider_key");
    assert!(shown(&mock).is_empty());
}

#[track_caller]
fn busy(reply: &Reply) {
    let error = blamed(reply, 503, "gateway");
    assert_eq!((error["code"].as_str(), reply.header("retry-after")), (Some("provider_busy"), Some("1")), "{error}");
}

#[test]
fn calls_past_the_limit_wait_in_order_and_past_the_queue_are_refused_at_once() {
    for limits in [", limits: { calls: 2, queue: 1, wait: 30s }", ""] {
        let mock = Mock::start();
        let gate = mock::Gate::new();
        mock.script(
            "p",
            Script::new()
                .wait(&gate)
                .write(mock::head(
                    200,
                    &[("content-type", "application/json"), ("content-length", &reply("fine").len().to_string())],
                ))
                .write(reply("fine")),
        );
        // The same limit, of the provider or of its only key.
        let key = if limits.is_empty() { ", limits: { calls: 2, queue: 1, wait: 30s }" } else { "" };
        let keys = [format!("{{ name: a, value: \"env:KEY_a\"{key} }}")];
        let gateway = started(config(&mock, &keys, limits));
        let running: Vec<_> = (0..2).map(|_| gateway.open(CHAT, body("p/m", false))).collect();
        mock.wait_request("p", 2);
        // Of four more one waits, whichever it is; the others hear at once that there is no room.
        let (told, replies) = std::sync::mpsc::channel();
        for _ in 0..4 {
            let (mut connection, told) = (gateway.open(CHAT, body("p/m", false)), told.clone());
            std::thread::spawn(move || told.send(connection.reply()));
        }
        for _ in 0..3 {
            busy(&replies.recv_timeout(LIMIT).expect("a refusal while all places are taken"));
        }
        assert_eq!(mock.exchanges("p").len(), 2);
        gate.open();
        for mut connection in running {
            assert_eq!(connection.reply().status, 200);
        }
        assert_eq!(replies.recv_timeout(LIMIT).expect("the reply of the call that waited").status, 200);
        // All places are free again.
        for _ in 0..4 {
            assert_eq!(gateway.post(CHAT, body("p/m", false)).status, 200);
        }
    }
}

#[test]
fn a_client_that_leaves_gives_its_place_back_and_a_wait_ends_in_time() {
    let mock = Mock::start();
    mock.script("p", Script::new().stall());
    let gateway = started(config(&mock, &plain(&NAMES[..1]), ", limits: { calls: 1, queue: 5, wait: 300ms }"));
    let running = gateway.open(CHAT, body("p/m", false));
    mock.wait_request("p", 1);
    busy(&gateway.post(CHAT, body("p/m", false)));
    drop(running);
    mock.wait_cancelled("p");
    mock.script("p", Script::json(200, reply("fine")));
    wait_for("the place", || (gateway.post(CHAT, body("p/m", false)).status == 200).then_some(()));
}

#[test]
fn the_documents_example_is_a_configuration() {
    let found = blocks(&root().join("docs/provider-keys.md"));
    let [example] = found.as_slice() else { panic!("one block, or a test for each") };
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sluice.yaml"), &example.text).unwrap();
    let env = [("OPENAI_API_KEY", "sk-one"), ("OPENAI_SPARE_KEY", "sk-two")];
    let output = sluice(folder.path(), &env, &["check"]);
    assert!(output.status.success(), "{}{}", out(&output), err(&output));
    // A queue without a limit says nothing, and is told so with the line to add.
    let wrong = example.text.replace("calls: 200, ", "");
    std::fs::write(folder.path().join("sluice.yaml"), wrong).unwrap();
    let output = sluice(folder.path(), &env, &["check"]);
    assert!(!output.status.success() && err(&output).contains("add `calls: 100`"), "{}", err(&output));
}
