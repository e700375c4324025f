//! A team's day with a gateway that is left running: everything that is done to it in a day, one thing after another, and a client beside it
//! that calls without pause and to which nothing fails.
#![cfg(unix)]

use sluice_tests::gateway::{Gateway, Setup, install, replace};
use sluice_tests::mock::{Mock, Script};
use sluice_tests::wait_for;

use crate::client_loop::Loop;
use crate::handover::{Successor, ended, hand_over};
use crate::plugins_support::{PATIENT, component};
use crate::support::{CHAT, body, reply};

/// The team's virtual key. Its client sends it from the start, when nobody asks for one yet: it is told before the key is required.
const KEY: &str = "sk-team-5f1d0a7c9e3b4d28";

/// A call of the team's, with this text; gives status and body.
fn ask(gateway: &Gateway, key: Option<&str>, text: &str) -> (u16, String) {
    let auth = key.map(|key| format!("Bearer {key}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(auth.as_deref().map(|auth| ("authorization", auth)));
    let reply = gateway.call("POST", CHAT, &headers, body("fast", false).replace("hello", text).as_bytes());
    (reply.status, reply.text())
}

fn config(mock: &Mock, more: &str) -> String {
    let base = mock.base("p");
    format!(
        "providers:\n  p: {{ dialect: openai-chat, base_url: \"{base}\", keys: [\"file:provider-key\"] }}\n\
         aliases: {{ fast: p/m }}\n{more}"
    )
}

/// The credential that the provider got last.
fn wait_sent(mock: &Mock, key: &str) {
    wait_for(&format!("the provider to get {key}"), || {
        (mock.exchanges("p").last()?.head.get("authorization")? == format!("Bearer {key}")).then_some(())
    });
}

fn guards(gateway: &Gateway) {
    let (status, text) = ask(gateway, Some(KEY), "the codename");
    assert_eq!(status, 400, "{text}");
    assert!(text.contains("content_filter"), "{text}");
}

#[test]
fn nothing_fails_for_the_client_all_day() {
    let mock = Mock::start();
    mock.script("p", Script::json(200, reply("from the provider")));
    // Morning: no configuration at all. The demo answers every name.
    let mut gateway = Setup::default().program("sluice").start();
    let auth = format!("Bearer {KEY}");
    let mut successor = None;
    Loop::beside(&gateway, "fast", &[("authorization", &auth)], || {
        day(&gateway, &mock);
        successor = Some(evening(&gateway));
    });
    assert!(gateway.process.wait().success());
    guards(&gateway);
    assert!(!mock.exchanges("p").iter().any(|exchange| String::from_utf8_lossy(&exchange.body).contains("codename")));
    let logs = format!("{}{}", gateway.process.err.text(), gateway.process.out.text());
    for secret in ["sk-provider-one", "sk-provider-two", KEY] {
        assert!(!logs.contains(secret), "a secret is in a log");
    }
}

fn day(gateway: &Gateway, mock: &Mock) {
    let yaml = gateway.folder().join("sluice.yaml");
    let (text, key) = (|more: &str| config(mock, more), gateway.folder().join("provider-key"));
    assert!(ask(gateway, None, "hello").1.contains("No provider is configured"));

    // A provider, its key in a file.
    std::fs::write(&key, "sk-provider-one\n").unwrap();
    replace(&yaml, text("").as_bytes());
    wait_for("the provider to be asked", || ask(gateway, None, "hello").1.contains("from the provider").then_some(()));
    wait_sent(mock, "sk-provider-one");

    // A virtual key: without one nobody is served any more.
    let digest = sluice::config::sha256(KEY.as_bytes());
    let hash: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let keys = format!("keys: [{{ name: team, team: search, hash: \"sha256:{hash}\" }}]\n");
    replace(&yaml, text(&keys).as_bytes());
    wait_for("the key to be required", || (ask(gateway, None, "hello").0 == 401).then_some(()));
    assert_eq!(ask(gateway, Some(KEY), "hello").0, 200);

    // Two plugins, dropped into the directory: one that guards, one that watches.
    let settings = format!("{PATIENT}\nsettings: {{ words: [codename] }}\n");
    replace(&gateway.plugins().join("guard.yaml"), settings.as_bytes());
    replace(&gateway.plugins().join("guard.wasm"), &component("deny-words"));
    replace(&gateway.plugins().join("watcher.yaml"), format!("{PATIENT}\n").as_bytes());
    replace(&gateway.plugins().join("watcher.wasm"), &component("reads-all"));
    for name in ["guard", "watcher"] {
        gateway.wait_plugin(name, |state| state["state"] == "active");
    }
    guards(gateway);

    // One is broken, and goes on with its last good version; then it is mended.
    replace(&gateway.plugins().join("guard.wasm"), b"half a file");
    gateway.wait_plugin("guard", |state| state["state"] == "stale");
    guards(gateway);
    assert_eq!(gateway.get("/readyz").status, 200);
    replace(&gateway.plugins().join("guard.wasm"), &component("deny-words"));
    gateway.wait_plugin("guard", |state| state["state"] == "active");
    guards(gateway);

    // So is the configuration.
    replace(&yaml, text("kees: []\n").as_bytes());
    wait_for("the edit to be refused", || gateway.get("/health").text().contains("did you mean `keys`?").then_some(()));
    assert_eq!(ask(gateway, None, "hello").0, 401);
    replace(&yaml, text(&keys).as_bytes());
    wait_for("all to be well", || (gateway.get("/health").json()["status"] == "ok").then_some(()));

    // The provider's key rotates.
    replace(&key, b"sk-provider-two\n");
    wait_sent(mock, "sk-provider-two");
}

/// The program is upgraded.
fn evening(gateway: &Gateway) -> Successor {
    let before = gateway.process.id();
    install(&gateway.folder().join("sluice"));
    let successor = hand_over(gateway, before, 1);
    wait_for("the old process to end", || ended(before).then_some(()));
    // What the day brought is still so.
    guards(gateway);
    assert_eq!(ask(gateway, None, "hello").0, 401);
    assert_eq!(gateway.get("/health").json()["status"], "ok");
    successor
}
