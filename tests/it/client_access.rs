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
