//! Targets that fail are left out and come back, checks find out without a call, and readiness means that calls can be served.

use sluice_tests::gateway::{Gateway, Setup, replace};
use sluice_tests::mock::{Mock, Script};
use sluice_tests::wait_for;

use crate::support::{CHAT, PROVIDER_KEY, body, reply, row, setup};

fn list() -> Script {
    Script::json(200, r#"{"object":"list","data":[{"id":"m","object":"model"}]}"#)
}

/// Whether some target gets no calls, by a page that is for everybody; the gateway stays ready.
fn degraded(gateway: &Gateway) -> bool {
    let reply = gateway.get("/readyz");
    assert_eq!(reply.status, 200, "an outage of a provider is none of the gateway's: {}", reply.text());
    reply.json()["degraded"].as_bool().unwrap()
}

#[test]
fn a_check_finds_out_by_asking_for_models_and_takes_no_place_of_a_call() {
    let mock = Mock::start();
    mock.script("a", Script::json(500, "{}"));
    mock.script("b", list());
    let rows = [row(&mock, "a", "models: [m], health: { check: 1s }"), row(&mock, "b", "models: [m]")];
    let gateway = setup(&rows, "").start();
    wait_for("the targets to be left out", || degraded(&gateway).then_some(()));
    let health = gateway.get("/health").json();
    assert_eq!(health["status"], "degraded", "{health}");
    // The model's own, and the one of all other models.
    assert_eq!(health["problems"][0], "targets that get no calls for now: 2; /api/targets names them", "{health}");
    mock.script("a", Script::json(401, "{}"));
    wait_for("the targets to be back", || (!degraded(&gateway)).then_some(()));
    assert_eq!(gateway.get("/health").json()["status"], "ok", "a key that is refused is no outage");
    for exchange in mock.exchanges("a") {
        assert_eq!((exchange.method.as_str(), exchange.target.as_str()), ("GET", "/a/v1/models"));
        assert_eq!(exchange.head.get("authorization"), Some(&*format!("Bearer {PROVIDER_KEY}")));
    }
    assert_eq!(mock.journal().count("b"), 0, "off unless it is asked for");
}

#[test]
fn checks_go_with_the_configuration_that_asked_for_them() {
    let (old, new) = (Mock::start(), Mock::start());
    for mock in [&old, &new] {
        mock.script("a", list());
    }
    let gateway = setup(&[row(&old, "a", "health: { check: 1s }")], "").start();
    old.wait_request("a", 1);
    let text = std::fs::read_to_string(gateway.folder().join("sluice.yaml")).unwrap();
    let moved = text.replace(&old.base("a"), &new.base("a"));
    assert_ne!(moved, text);
    replace(&gateway.folder().join("sluice.yaml"), moved.as_bytes());
    new.wait_request("a", 1);
    let before = old.journal().count("a");
    new.wait_request("a", new.journal().count("a") + 3);
    assert!(old.journal().count("a") <= before + 1, "one question may have been under way");
}

#[test]
fn ready_means_that_a_call_can_be_served() {
    let mock = Mock::start();
    mock.script("a", Script::json(401, "{}"));
    let text = |enabled: bool| {
        let base = mock.base("a");
        let key = format!("{{ name: k, value: \"file:provider-key\", enabled: {enabled} }}");
        format!("providers:\n  a: {{ dialect: openai-chat, base_url: \"{base}\", keys: [{key}] }}\n")
    };
    let reason = |gateway: &Gateway| {
        let reply = gateway.get("/readyz");
        (reply.status == 503).then(|| reply.json()["reason"].as_str().unwrap().to_owned())
    };
    let none = Setup::config("server: { clients: open }\n").start();
    assert!(reason(&none).is_some_and(|reason| reason.contains("no provider is configured")));
    assert!(reason(&Setup::default().start()).is_none(), "the demo serves");

    let gateway = none;
    let file = gateway.folder().join("sluice.yaml");
    std::fs::write(gateway.folder().join("provider-key"), PROVIDER_KEY).unwrap();
    replace(&file, text(false).as_bytes());
    let disabled = |reason: String| reason.contains("disabled").then_some(());
    wait_for("no usable key", || reason(&gateway).and_then(disabled));
    replace(&file, text(true).as_bytes());
    wait_for("ready", || reason(&gateway).is_none().then_some(()));
    // The provider refuses the key: calls fail and say so, and another gateway would do no better.
    gateway.post("/v1/chat/completions", r#"{"model":"a/m","messages":[{"role":"user","content":"hello"}]}"#);
    assert_eq!(reason(&gateway), None);
}

/// A call of `a/m` with `b/m` after it; gives who answered.
fn ask(gateway: &Gateway) -> String {
    let body = r#"{"model":"a/m","fallbacks":["b/m"],"messages":[{"role":"user","content":"hello"}]}"#;
    let reply = gateway.post(CHAT, body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[test]
fn a_target_that_fails_is_asked_no_more_but_by_one_call_and_comes_back() {
    let mock = Mock::start();
    mock.script("a", Script::json(500, r#"{"error":{"message":"broken"}}"#));
    mock.script("b", Script::json(200, reply("from b")));
    let health = "models: [m], health: { eject: 500ms, consecutive: 3 }";
    let gateway = setup(&[row(&mock, "a", health), row(&mock, "b", "models: [m]")], "").start();
    for _ in 0..3 {
        assert_eq!(ask(&gateway), "from b");
    }
    assert_eq!(mock.journal().count("a"), 3, "three calls until it is known");
    assert!(degraded(&gateway));
    // It fails for a while yet: whoever tries it is answered by the other one, and its pauses grow.
    wait_for("two tries of the target", || {
        assert_eq!(ask(&gateway), "from b");
        (mock.journal().count("a") >= 5).then_some(())
    });
    let asked = mock.journal().count("b");
    assert!(asked > 20, "500 ms and 1 s passed, so the others were not tried there: {asked}");
    mock.script("a", Script::json(200, reply("from a")));
    wait_for("the target to be back", || (ask(&gateway) == "from a").then_some(()));
    for _ in 0..10 {
        assert_eq!(ask(&gateway), "from a");
    }
    assert!(!degraded(&gateway));
}

#[test]
fn a_key_that_is_refused_and_a_bad_request_are_no_fault_of_the_target() {
    let mock = Mock::start();
    mock.script("a", Script::json(401, r#"{"error":{"message":"no such key"}}"#));
    mock.script("b", Script::json(400, r#"{"error":{"message":"what?"}}"#));
    let rows = [row(&mock, "a", "models: [m]"), row(&mock, "b", "models: [m]")];
    let gateway = setup(&rows, "").start();
    for name in ["a/m", "b/m"] {
        for _ in 0..20 {
            let status = gateway.post(CHAT, body(name, false)).status;
            assert!(status >= 400, "{status}");
        }
    }
    assert!(!degraded(&gateway));
}

#[test]
fn the_only_target_is_asked_however_often_it_fails() {
    let mock = Mock::start();
    mock.script("b", Script::json(500, r#"{"error":{"message":"broken"}}"#));
    let gateway = setup(&[row(&mock, "b", "models: [m]")], "").start();
    for _ in 0..8 {
        assert!(gateway.post(CHAT, body("b/m", false)).status >= 500);
    }
    assert!(degraded(&gateway));
    mock.script("b", Script::json(200, reply("from b")));
    let reply = gateway.post(CHAT, body("b/m", false));
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(!degraded(&gateway), "a good call is a good call");
}
