//! Secrets as canaries: providers' keys, clients' keys and the admin token are in no reply, log line, metric, page or document, whatever
//! providers say and wherever clients put them.

use serde_json::json;
use sluice_tests::http::Reply;
use sluice_tests::mock::{Exchange, Mock, Script};

use crate::support::{body, reply};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Keys as providers issue them, and one that looks like nothing.
const PROVIDERS: [(&str, &str); 4] = [
    ("OPENAI", "sk-proj-canaryA4f9b2c7d1e8f3a6b5c0d9e2f7a1b4c8"),
    ("ANTHROPIC", "sk-ant-api03-canaryB4f9b2c7d1e8f3a6b5c0d9e2f7a1b"),
    ("GEMINI", "AIzaSyCanaryC4f9b2c7d1e8f3a6b5c0d9e2f7"),
    ("OTHER", "canaryD4f9b2c7d1e8f3a6b5c0d9e2f7a1b4c8"),
];
const CLIENTS: [(&str, &str); 3] = [
    ("CLIENT", "sk-sluice-canaryE4f9b2c7d1e8f3a6b5c0d9e2"),
    ("EXPIRED", "sk-sluice-canaryF4f9b2c7d1e8f3a6b5c0d9e2"),
    ("NEXT", "sk-sluice-canaryG4f9b2c7d1e8f3a6b5c0d9e2"),
];
const UNKNOWN: &str = "sk-canaryH4f9b2c7d1e8f3a6b5c0d9e2";
const ADMIN: &str = "admin-canaryI4f9b2c7d1e8f3a6b5c0d9e2";

/// No text may hold this much of any of them.
fn parts() -> Vec<String> {
    ["A", "B", "C", "D", "E", "F", "G", "H", "I"].iter().map(|letter| format!("anary{letter}4f9b")).collect()
}

/// What was shown, and where.
#[derive(Default)]
struct Shown(Vec<String>);

impl Shown {
    fn text(&mut self, what: &str, text: &str) {
        for part in parts() {
            if let Some(at) = text.find(&part) {
                let around: String =
                    text.chars().skip(text[..at].chars().count().saturating_sub(80)).take(160).collect();
                self.0.push(format!("{what}: {around}"));
            }
        }
    }

    fn reply(&mut self, what: &str, got: &Reply) {
        self.text(what, &String::from_utf8_lossy(&got.head.raw));
        self.text(what, &got.text());
    }
}

/// The key that a provider was called with, wherever its dialect puts it.
fn key_of(exchange: &Exchange) -> String {
    let bearer = exchange.head.get("authorization").and_then(|value| value.strip_prefix("Bearer "));
    let own = ["x-api-key", "x-goog-api-key", "api-key"].iter().find_map(|name| exchange.head.get(name));
    bearer.or(own).expect("a provider's key").to_owned()
}

/// What providers say of a key that they do not like, each in another way; the number is in the model's name.
fn echo(exchange: &Exchange, way: usize) -> Script {
    let key = key_of(exchange);
    let error = |message: String| json!({"error": {"message": message, "type": "invalid_request_error", "code": key, "status": "UNAUTHENTICATED", "param": key}});
    match way {
        0 => Script::json(401, error(format!("Incorrect API key provided: {key}. Find yours.")).to_string()),
        1 => Script::json(400, json!({"type": "error", "error": {"type": "authentication_error", "message": format!("invalid x-api-key {key}")}}).to_string()),
        2 => Script::whole(500, &[("content-type", "text/html")], format!("<html><body>no {key}</body></html>")),
        3 => Script::whole(403, &[("content-type", "text/plain")], format!("key={key} is not allowed")),
        4 => Script::json(200, error(format!("the key \"{key}\" is out of money")).to_string()),
        5 => Script::whole(429, &[JSON, ("retry-after", &key), ("x-ratelimit-reset-requests", &key), ("request-id", &key)], error(format!("Bearer {key}")).to_string()),
        6 => Script::sse([format!("data: {}\n\n", error(format!("no {key}")))]),
        _ => Script::whole(200, &[JSON, ("x-request-id", "req-1")], format!("not JSON {key}")),
    }
}

const WAYS: usize = 8;

fn provider(mock: &Mock, name: &str, dialect: &str) -> String {
    let (base, variable) = (mock.base(name), name.to_uppercase());
    format!(
        "  {name}: {{ dialect: {dialect}, base_url: \"{base}\", keys: [{{ name: main, value: \"env:{variable}\" }}] }}\n"
    )
}

#[test]
fn secrets_are_nowhere() {
    let mock = Mock::start();
    let mut config = "server: { admin_token: env:ADMIN }\nproviders:\n".to_owned();
    for (name, dialect) in
        [("openai", "openai-chat"), ("anthropic", "anthropic"), ("gemini", "gemini"), ("other", "openai-responses")]
    {
        config.push_str(&provider(&mock, name, dialect));
        mock.on(name, |exchange| {
            let text = format!("{} {}", exchange.head.first, String::from_utf8_lossy(&exchange.body));
            match (0..WAYS).find(|way| text.contains(&format!("way-{way}"))) {
                Some(way) => echo(exchange, way),
                None => Script::json(200, reply("hi")),
            }
        });
    }
    config.push_str("keys:\n  - { name: app, value: env:CLIENT, also: env:NEXT, rate: 10k/min }\n  - { name: gone, value: env:EXPIRED, expires: 2020-01-01 }\n");
    let mut setup = sluice_tests::gateway::Setup::config(config).env("ADMIN", ADMIN);
    for (name, value) in PROVIDERS.iter().chain(&CLIENTS) {
        setup = setup.env(name, value);
    }
    let mut gateway = setup.start();
    let mut shown = Shown::default();
    let (client, next) = (CLIENTS[0].1, CLIENTS[2].1);
    // Providers that echo their key, to clients of every dialect.
    for name in ["openai", "anthropic", "gemini", "other"] {
        for way in 0..WAYS {
            let model = format!("{name}/way-{way}");
            for stream in [false, true] {
                let what = format!("{model} stream {stream}");
                let chat = gateway.call(
                    "POST",
                    "/v1/chat/completions",
                    &[JSON, ("x-api-key", client)],
                    body(&model, stream).as_bytes(),
                );
                shown.reply(&what, &chat);
                let text = json!({"model": model, "max_tokens": 9, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}).to_string();
                let headers = [JSON, ("anthropic-version", "2023-06-01"), ("authorization", &format!("Bearer {next}"))];
                shown.reply(&what, &gateway.call("POST", "/v1/messages", &headers, text.as_bytes()));
                let text = json!({"model": model, "input": "hello", "stream": stream}).to_string();
                shown.reply(
                    &what,
                    &gateway.call("POST", "/v1/responses", &[JSON, ("api-key", client)], text.as_bytes()),
                );
                let method = if stream { "streamGenerateContent" } else { "generateContent" };
                let text = json!({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}).to_string();
                let path = format!("/v1beta/models/{model}:{method}?key={client}");
                shown.reply(&what, &gateway.call("POST", &path, &[JSON], text.as_bytes()));
            }
        }
    }
    // Clients that are refused, by keys in every place.
    for key in [UNKNOWN, CLIENTS[1].1, ADMIN] {
        for name in ["x-api-key", "x-goog-api-key", "api-key", "x-sluice-key", "x-bf-vk"] {
            shown.reply(name, &gateway.call("POST", "/v1/chat/completions", &[JSON, (name, key)], b"{}"));
        }
        let bearer = format!("Bearer {key}");
        shown.reply("bearer", &gateway.call("GET", "/v1/models", &[("authorization", &bearer)], b""));
        shown.reply(
            "query",
            &gateway.call("POST", &format!("/v1beta/models/x:generateContent?key={key}"), &[JSON], b"{}"),
        );
        shown.reply("a page", &gateway.call("GET", &format!("/api/status?key={key}"), &[], b""));
        shown.reply("nowhere", &gateway.call("GET", &format!("/nowhere?key={key}"), &[("x-api-key", key)], b""));
    }
    // What Sluice tells of itself.
    for page in
        ["/", "/livez", "/readyz", "/health", "/metrics", "/api/status", "/api/plugins", "/api/calls", "/api/targets"]
    {
        let got = gateway.call("GET", page, &[("authorization", &format!("Bearer {ADMIN}"))], b"");
        assert!(got.status == 200 || page == "/api/targets", "{page}: {}", got.text());
        shown.reply(page, &got);
    }
    gateway.process.signal(15);
    let status = gateway.process.wait();
    assert!(status.success(), "{status}");
    let (out, err) = (gateway.process.out.text(), gateway.process.err.text());
    assert!(out.lines().count() > 200, "the calls are in the log: {out}");
    shown.text("the access log", &out);
    shown.text("the log", &err);
    assert!(shown.0.is_empty(), "secrets are shown in {} places:\n{}", shown.0.len(), shown.0.join("\n"));
}
