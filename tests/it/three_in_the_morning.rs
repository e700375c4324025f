//! Three in the morning: a key is revoked, a provider goes down, somebody's plugin is broken. The application's loop notices nothing, and
//! whoever looks in the morning is told each cause, by the command line and by the page.
#![cfg(unix)]

use serde_json::{Value, json};
use sluice_dialect::Dialect;
use sluice_tests::gateway::{Gateway, Setup, replace};
use sluice_tests::http::Reply;
use sluice_tests::mock::{Exchange, Mock, Script};
use sluice_tests::wait_for;

use crate::cli_support::{err, out, sluice};
use crate::client_loop::Loop;
use crate::faults_support::error;
use crate::plugins_support::{PATIENT, component};
use crate::support::{CHAT, body, reply};

const TEAM_KEY: &str = "sk-team-2b8f6d0c4e1a7935";
const ADMIN: &str = "admin-9c1e5a7d3f0b8264";
/// The keys of the provider `north`; the second one is revoked in the night.
const NORTH: [&str; 2] = ["sk-north-main-51c7e9", "sk-north-spare-8d2f4b"];
const SOUTH: &str = "sk-south-only-6a0e3c";

fn key_of(exchange: &Exchange) -> &str {
    exchange.head.get("authorization").unwrap_or_default().trim_start_matches("Bearer ")
}

/// Two providers, three keys, one team's key, one guard.
fn evening(north: &Mock, south: &Mock) -> Gateway {
    north.script("north", Script::json(200, reply("from the north")));
    south.script("south", Script::json(200, reply("from the south")));
    let (up, down) = (north.base("north"), south.base("south"));
    let config = format!(
        "server: {{ clients: keys, admin_token: env:ADMIN }}\n\
         providers:\n\
         \x20 north:\n    dialect: openai-chat\n    base_url: \"{up}\"\n    keys:\n\
         \x20     - {{ name: main, value: env:NORTH_MAIN }}\n      - {{ name: spare, value: env:NORTH_SPARE }}\n\
         \x20 south: {{ dialect: openai-chat, base_url: \"{down}\", keys: [{{ name: only, value: env:SOUTH }}] }}\n\
         routes:\n  smart: {{ tiers: [[south/m], [north/m]] }}\n\
         teams: {{ search: {{}} }}\n\
         keys: [{{ name: search-prod, team: search, value: env:TEAM, models: [smart] }}]\n"
    );
    let settings = format!("{PATIENT}\nsettings: {{ words: [codename] }}\n");
    let gateway = Setup::config(config)
        .env("ADMIN", ADMIN)
        .env("NORTH_MAIN", NORTH[0])
        .env("NORTH_SPARE", NORTH[1])
        .env("SOUTH", SOUTH)
        .env("TEAM", TEAM_KEY)
        .plugin("guard.wasm", component("deny-words"))
        .plugin("guard.yaml", settings)
        .start();
    wait_for("the guard", || (plugin(&gateway, "guard")["state"] == "active").then_some(()));
    gateway
}

fn admin(gateway: &Gateway, path: &str) -> Value {
    let reply = gateway.call("GET", path, &[("authorization", &format!("Bearer {ADMIN}"))], b"");
    assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    reply.json()
}

fn plugin(gateway: &Gateway, name: &str) -> Value {
    let all = admin(gateway, "/api/plugins");
    all["plugins"].as_array().into_iter().flatten().find(|plugin| plugin["name"] == name).cloned().unwrap_or_default()
}

fn ask(gateway: &Gateway, text: &str) -> Reply {
    let auth = format!("Bearer {TEAM_KEY}");
    let headers = [("content-type", "application/json"), ("authorization", auth.as_str())];
    gateway.call("POST", CHAT, &headers, body("smart", false).replace("hello", text).as_bytes())
}

#[track_caller]
fn guards(gateway: &Gateway) {
    let refused = ask(gateway, "the codename");
    assert_eq!(refused.status, 400, "{}", refused.text());
}

/// What one command of the command line says, by whatever status it ends.
fn says(gateway: &Gateway, args: &[&str]) -> String {
    let url = format!("http://{}", gateway.address);
    let mut all = args.to_vec();
    all.extend(["--url", &url]);
    let output = sluice(gateway.folder(), &[("SLUICE_ADMIN_TOKEN", ADMIN)], &all);
    let text = out(&output);
    assert!(!text.is_empty(), "{args:?} says nothing: {}", err(&output));
    text
}

#[track_caller]
fn names(what: &str, text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{what} does not name {part:?}:\n{text}");
    }
    for secret in [NORTH[0], NORTH[1], SOUTH, TEAM_KEY, ADMIN] {
        assert!(!text.contains(secret), "{what} tells a secret:\n{text}");
    }
}

#[test]
fn nobody_notices_and_each_cause_is_named() {
    let (north, south) = (Mock::start(), Mock::start());
    let mut gateway = evening(&north, &south);
    let auth = format!("Bearer {TEAM_KEY}");
    Loop::beside(&gateway, "smart", &[("authorization", &auth)], || night(&gateway, &north, &south));
    morning(&gateway);
    guards(&gateway);
    gateway.process.signal(15);
    gateway.process.wait();
    let logs = format!("{}{}", gateway.process.err.text(), gateway.process.out.text());
    for secret in [NORTH[0], NORTH[1], SOUTH, TEAM_KEY, ADMIN] {
        assert!(!logs.contains(secret), "a secret is in a log");
    }
    for mock in [&north, &south] {
        let seen = mock.journal().all(|_| true);
        assert!(!seen.iter().any(|exchange| String::from_utf8_lossy(&exchange.body).contains("codename")));
    }
}

/// Everything at once.
fn night(gateway: &Gateway, north: &Mock, south: &Mock) {
    assert!(ask(gateway, "hello").text().contains("from the south"));
    // The spare key is revoked at the provider.
    north.on("north", |exchange| {
        if key_of(exchange) == NORTH[1] {
            error(Dialect::OpenaiChat, 401, None)
        } else {
            Script::json(200, reply("from the north"))
        }
    });
    // The provider that everything goes to dies in the middle of it.
    south.die();
    // A conversation stays with its key, so there must be many of them.
    let mut talks = 0..;
    wait_for("the revoked key to be met", || {
        assert_eq!(ask(gateway, &format!("hello {:?}", talks.next())).status, 200);
        north.exchanges("north").iter().any(|exchange| key_of(exchange) == NORTH[1]).then_some(())
    });
    // Somebody copies half a plugin over the one that works.
    replace(&gateway.plugins().join("guard.wasm"), b"half a file");
    wait_for("the broken plugin to be seen", || (plugin(gateway, "guard")["state"] == "stale").then_some(()));
    guards(gateway);
    // After all of it the revoked key is asked no more, and the dead provider is known to be.
    let met = || north.exchanges("north").iter().filter(|exchange| key_of(exchange) == NORTH[1]).count();
    let before = met();
    for talk in 0..50 {
        let got = ask(gateway, &format!("good night {talk}"));
        assert!(got.status == 200 && got.text().contains("from the north"), "{}", got.text());
    }
    assert_eq!(met(), before, "the revoked key is tried again and again");
    assert!(before <= 8, "the revoked key was tried {before} times");
}

/// What somebody who was asleep is told.
fn morning(gateway: &Gateway) {
    let status = says(gateway, &["status"]);
    println!("{status}");
    names("sluice status", &status, &["south/m", "ejected", "spare", "does not accept", "guard", "stale"]);
    let explained = says(gateway, &["explain", "--key", "search-prod", "--model", "smart"]);
    println!("{explained}");
    names("sluice explain", &explained, &["smart", "south/m", "ejected", "north/m", "spare", "does not accept"]);

    let targets = admin(gateway, "/api/targets");
    names("/api/targets", &targets.to_string(), &["south/m", "north/m", "spare", "main", "only"]);
    let plugins = admin(gateway, "/api/plugins").to_string();
    names("/api/plugins", &plugins, &["guard", "stale"]);
    // What the page shows first: that something is wrong, and what.
    let page = admin(gateway, "/api/status");
    assert!(page["problems"].as_array().is_some_and(|problems| !problems.is_empty()), "{page}");
    names("/api/status", &page["problems"].to_string(), &["guard", "south/m", "spare of north"]);
    let calls = admin(gateway, "/api/calls");
    assert!(calls["calls"].as_array().is_some_and(|calls| calls.iter().any(|call| call["outcome"] == json!("ok"))));
    assert_eq!(gateway.get("/readyz").status, 200);
}
