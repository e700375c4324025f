//! Who may call, and which headers travel: loopback is not a boundary for web pages, keys are compared and never forwarded, and headers
//! pass by allow-list in both directions.

use sluice_tests::gateway::Gateway;
use sluice_tests::http::Reply;
use sluice_tests::mock::{Mock, Script};

use crate::support::{CHAT, PROVIDER_KEY, blamed, body, gateway, refused, reply, row, setup};

const JSON: (&str, &str) = ("content-type", "application/json");

fn send(gateway: &Gateway, headers: &[(&str, &str)]) -> Reply {
    let headers = [&[JSON], headers].concat();
    gateway.call("POST", CHAT, &headers, body("p/m", false).as_bytes())
}

fn start() -> (Mock, Gateway) {
    let mock = Mock::start();
    mock.script("p", Script::json(200, reply("hi")));
    let gateway = gateway(&mock, &["p"]);
    (mock, gateway)
}

#[test]
fn a_web_page_cannot_spend_the_keys() {
    let (mock, gateway) = start();
    for host in ["evil.example", "evil.example:8080", "localhost.evil.example", "10.0.0.1", "[2001:db8::1]:80"] {
        blamed(&send(&gateway, &[("host", host)]), 403, "client");
    }
    for origin in ["https://evil.example", "null", "http://localhost.evil.example", "file://"] {
        blamed(&send(&gateway, &[("origin", origin)]), 403, "client");
    }
    assert_eq!(mock.journal().count("p"), 0);
    for host in ["localhost", "localhost:8080", "127.0.0.1", "127.9.9.9:1", "[::1]:8080", "app.localhost", "LOCALHOST"]
    {
        assert_eq!(send(&gateway, &[("host", host)]).status, 200, "{host}");
    }
    for origin in ["http://localhost:3000", "http://127.0.0.1", "http://[::1]:5"] {
        assert_eq!(send(&gateway, &[("origin", origin)]).status, 200, "{origin}");
    }
}

#[test]
fn configured_names_are_hosts_too() {
    let mock = Mock::start();
    mock.script("p", Script::json(200, reply("hi")));
    let gateway = setup(&[row(&mock, "p", "")], "server: { names: [gateway.corp] }").start();
    assert_eq!(send(&gateway, &[("host", "gateway.corp")]).status, 200);
    assert_eq!(send(&gateway, &[("host", "gateway.corp:8080"), ("origin", "https://gateway.corp")]).status, 200);
    blamed(&send(&gateway, &[("host", "other.corp")]), 403, "client");
}

#[test]
fn credentials_and_foreign_headers_never_reach_the_provider() {
    let (mock, gateway) = start();
    let secret = "client-secret-5d1f";
    let named = [
        "authorization",
        "x-api-key",
        "api-key",
        "x-goog-api-key",
        "cookie",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "x-private",
        "x-forwarded-for",
        "forwarded",
        "via",
        "x-sluice-tenant",
        "keep-alive",
    ];
    let mut headers: Vec<(&str, &str)> = named.iter().map(|name| (*name, secret)).collect();
    headers.push(("connection", "keep-alive, x-private"));
    assert_eq!(send(&gateway, &headers).status, 200);
    let got = mock.last("p");
    let raw = String::from_utf8_lossy(&got.head.raw).into_owned();
    assert!(!raw.contains(secret), "{raw}");
    assert_eq!(got.head.get("authorization"), Some(format!("Bearer {PROVIDER_KEY}").as_str()));
    assert_eq!(got.head.get("host"), Some(mock.address().to_string().as_str()));
    assert_eq!(got.head.get("content-type"), Some("application/json"));
    assert_eq!(got.head.all("content-length").len(), 1);
    assert!(got.head.get("transfer-encoding").is_none(), "{raw}");
}

#[test]
fn only_listed_reply_headers_reach_the_client() {
    let (mock, gateway) = start();
    let headers = [
        JSON,
        ("set-cookie", "session=1"),
        ("server", "cloudflare"),
        ("alt-svc", "h3=\":443\""),
        ("strict-transport-security", "max-age=1"),
        ("x-private", "1"),
        ("connection", "x-private"),
        ("x-ratelimit-remaining-requests", "99"),
        ("openai-processing-ms", "12"),
        ("x-request-id", "req-of-the-provider"),
    ];
    mock.script("p", Script::whole(200, &headers, reply("hi")));
    let got = send(&gateway, &[("x-request-id", "mine")]);
    assert_eq!(got.status, 200);
    for name in ["set-cookie", "server", "alt-svc", "strict-transport-security", "x-private", "connection"] {
        assert_eq!(got.header(name), None, "{name}");
    }
    assert_eq!(got.header("x-ratelimit-remaining-requests"), Some("99"));
    assert_eq!(got.header("openai-processing-ms"), Some("12"));
    assert_eq!(got.header("x-request-id"), Some("mine"));
    assert_eq!(got.head.all("content-length").len(), 1);
}

#[test]
fn configured_keys_are_required_and_compared() {
    let mock = Mock::start();
    mock.script("p", Script::json(200, reply("hi")));
    // The hash is of the text "second-key".
    let keys = "keys:\n  - { name: one, value: \"env:CLIENT_KEY\" }\n  - { name: two, hash: \"sha256:f397f260a275cc4d42e7965c556167bf3f068aed491d35a8f5b38c8c2db96bb0\", models: [p/allowed*] }\n";
    let gateway = setup(&[row(&mock, "p", "")], keys).env("CLIENT_KEY", "first-key").start();
    blamed(&send(&gateway, &[]), 401, "client");
    for (name, value) in [
        ("authorization", "Bearer wrong"),
        ("authorization", "first-key2"),
        ("x-api-key", ""),
        ("x-api-key", "first-ke"),
    ] {
        blamed(&send(&gateway, &[(name, value)]), 401, "client");
    }
    for (name, value) in
        [("authorization", "Bearer first-key"), ("authorization", "bearer first-key"), ("x-api-key", "first-key")]
    {
        assert_eq!(send(&gateway, &[(name, value)]).status, 200, "{name}: {value}");
    }
    let raw = String::from_utf8_lossy(&mock.last("p").head.raw).into_owned();
    assert!(!raw.contains("first-key"), "{raw}");
    let with = [JSON, ("x-api-key", "second-key")];
    let call = |model: &str| gateway.call("POST", CHAT, &with, body(model, false).as_bytes());
    assert_eq!(call("p/allowed-1").status, 200);
    let reply = call("p/m");
    assert!([403, 404].contains(&reply.status), "{}", reply.text());
    refused(&reply, reply.status);
    assert_eq!(gateway.get("/livez").status, 200, "probes need no key");
}

#[test]
fn secrets_are_in_no_log() {
    let (_mock, mut gateway) = start();
    let client = "client-secret-5d1f";
    for headers in [
        &[("authorization", client)][..],
        &[("x-api-key", client)],
        &[("host", "evil.example"), ("authorization", client)],
    ] {
        send(&gateway, headers);
    }
    gateway.process.signal(15);
    let status = gateway.process.wait();
    assert!(status.success(), "{status}");
    let logs = format!("{}\n{}", gateway.process.err.text(), gateway.process.out.text());
    assert!(!logs.contains(client) && !logs.contains(PROVIDER_KEY), "{logs}");
    assert!(!logs.contains("hello") && !logs.contains("\"hi\""), "prompt or reply text was logged: {logs}");
}

/// A key's list holds on every path and for every spelling of a name, and cannot be passed by naming no model at all.
#[test]
fn a_key_with_a_list_of_models() {
    let mock = Mock::start();
    mock.script("openai", Script::json(200, reply("hi")));
    let more =
        "aliases: { fast: openai/m1 }\nkeys: [{ name: one, value: \"env:CLIENT_KEY\", models: [\"openai/m1\"] }]\n";
    let gateway = setup(&[row(&mock, "openai", "models: [m1, m2]")], more).env("CLIENT_KEY", "first-key").start();
    let with = [JSON, ("x-api-key", "first-key")];
    let call = |path: &str, model: &str| gateway.call("POST", path, &with, body(model, false).as_bytes());
    const PREFIXED: &str = "/openai/chat/completions";
    for (path, model) in [
        (CHAT, "openai/m1"),
        (CHAT, "m1"),
        (CHAT, "fast"),
        (PREFIXED, "m1"),
        (PREFIXED, "openai/m1"),
        (PREFIXED, "fast"),
    ] {
        assert_eq!(call(path, model).status, 200, "{path} {model}");
        let sent: serde_json::Value = serde_json::from_slice(&mock.last("openai").body).unwrap();
        assert_eq!(sent["model"], "m1", "{path} {model}");
    }
    let before = mock.journal().count("openai");
    for (path, model) in [(CHAT, "openai/m2"), (CHAT, "m2"), (PREFIXED, "m2"), (PREFIXED, "openai/m2")] {
        let error = blamed(&call(path, model), 403, "client");
        assert_eq!((&error["code"], &error["param"]), (&"model_not_allowed".into(), &"model".into()));
    }
    for path in [CHAT, PREFIXED] {
        blamed(&gateway.call("POST", path, &with, b"{\"messages\":[]}"), 403, "client");
    }
    assert_eq!(mock.journal().count("openai"), before);
    for (path, ids) in [("/v1/models", &["fast", "openai/m1"][..]), ("/openai/models", &["m1"])] {
        let list = gateway.call("GET", path, &with, b"").json();
        let got: Vec<&str> = list["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str()).collect();
        assert_eq!(got, ids, "{path}");
    }
}

/// What is refused before a call begins is a line of the access log and a count, like any other refusal.
#[test]
fn refusals_at_the_door_are_recorded() {
    let mock = Mock::start();
    let more = "server: { limits: { body_size: 1MiB } }\nkeys: [{ name: one, value: \"env:CLIENT_KEY\" }]\n";
    let gateway = setup(&[row(&mock, "p", "")], more).env("CLIENT_KEY", "first-key").start();
    blamed(&send(&gateway, &[("authorization", "Bearer wrong"), ("x-request-id", "no-key")]), 401, "client");
    let with = [JSON, ("x-api-key", "first-key"), ("x-request-id", "too-large")];
    blamed(&gateway.call("POST", CHAT, &with, &vec![b' '; (1 << 20) + 1]), 413, "client");
    for (id, status, key) in [("no-key", 401, None), ("too-large", 413, Some("one"))] {
        let line = sluice_tests::wait_for("the line in the log", || {
            let text = gateway.process.out.text();
            text.lines().find(|line| line.contains(id)).map(str::to_owned)
        });
        let line: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!((&line["outcome"], &line["status"]), (&"refused".into(), &status.into()), "{line}");
        assert_eq!(line["key"].as_str(), key, "{line}");
    }
    let metrics = gateway.call("GET", "/metrics", &[("x-api-key", "first-key")], b"").text();
    assert!(metrics.contains("sluice_requests_total{outcome=\"refused\",provider=\"\"} 2\n"), "{metrics}");
}
