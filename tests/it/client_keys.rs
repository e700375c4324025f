//! Callers' keys: every place that a client may put one, in every dialect, in every state that a key may be in; their limits and lists.

use serde_json::{Value, json};
use sluice_tests::gateway::Gateway;
use sluice_tests::http::Reply;
use sluice_tests::mock::{Mock, Script};

use crate::support::{CHAT, body, reply, row, setup};

const JSON: (&str, &str) = ("content-type", "application/json");

/// Where a client of a dialect calls, and what it sends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Dialect {
    Chat,
    Responses,
    Anthropic,
    Gemini,
}

/// A road: its dialect, and its path for a model. Without a prefix the model carries its provider.
type Road = (Dialect, fn(&str) -> String);

const ROADS: [Road; 8] = [
    (Dialect::Chat, |_| CHAT.to_owned()),
    (Dialect::Chat, |_| "/openai/v1/chat/completions".to_owned()),
    (Dialect::Responses, |_| "/v1/responses".to_owned()),
    (Dialect::Responses, |_| "/openai/v1/responses".to_owned()),
    (Dialect::Anthropic, |_| "/v1/messages".to_owned()),
    (Dialect::Anthropic, |_| "/anthropic/v1/messages".to_owned()),
    (Dialect::Gemini, |model| format!("/v1beta/models/openai/{model}:generateContent")),
    (Dialect::Gemini, |model| format!("/genai/v1beta/models/{model}:generateContent")),
];

/// Where a key may stand; the last is the query.
const PLACES: [&str; 7] =
    ["authorization", "x-api-key", "x-goog-api-key", "api-key", "x-sluice-key", "x-bf-vk", "?key="];

/// A key, the model it asks for, and what comes of it.
struct State {
    key: &'static str,
    model: &'static str,
    status: u16,
    code: &'static str,
    message: &'static str,
}

const fn state(
    key: &'static str,
    model: &'static str,
    status: u16,
    code: &'static str,
    message: &'static str,
) -> State {
    State { key, model, status, code, message }
}

const STATES: [State; 8] = [
    state("sk-good-1c5f", "m-ok", 200, "", ""),
    state("sk-old-7e21", "m-ok", 200, "", ""),
    state("sk-new-90ab", "m-ok", 200, "", ""),
    state(
        "sk-unknown-33d0",
        "m-ok",
        401,
        "invalid_api_key",
        "The key you sent is not known here. Ask the operator of this gateway for one.",
    ),
    state(
        "sk-expired-5b7c",
        "m-ok",
        401,
        "api_key_expired",
        "The key you sent has expired, at 2020-01-02T00:00:00Z. Ask the operator of this gateway for another one.",
    ),
    state(
        "sk-off-2f4e",
        "m-ok",
        403,
        "api_key_disabled",
        "The key you sent is switched off. Ask the operator of this gateway.",
    ),
    state("sk-good-1c5f", "m-other", 403, "model_not_allowed", "Your key may not use the model `{}`."),
    state(
        "sk-slow-88aa",
        "m-ok",
        429,
        "rate_limit_exceeded",
        "Your key may use 1 request in a day, and has for now. Try again in 24 hours.",
    ),
];

const KEYS: &str = "keys:
  - { name: good, value: env:GOOD, models: ['*/m-ok'] }
  - { name: turning, value: env:OLD, also: env:NEW }
  - { name: expired, value: env:EXPIRED, expires: 2020-01-01 }
  - { name: off, value: env:OFF, enabled: false }
  - { name: slow, value: env:SLOW, rate: 1/day }
";

fn start(mock: &Mock) -> Gateway {
    mock.script("p", Script::json(200, reply("hi")));
    let rows: Vec<String> = ["openai", "anthropic", "gemini"]
        .iter()
        .map(|name| row(mock, "p", "").replacen("  p:", &format!("  {name}:"), 1))
        .collect();
    let variables = [
        ("GOOD", "sk-good-1c5f"),
        ("OLD", "sk-old-7e21"),
        ("NEW", "sk-new-90ab"),
        ("EXPIRED", "sk-expired-5b7c"),
        ("OFF", "sk-off-2f4e"),
        ("SLOW", "sk-slow-88aa"),
    ];
    variables.iter().fold(setup(&rows, KEYS), |setup, (name, value)| setup.env(name, value)).start()
}

/// The name by which a road's request asks for the model.
fn asked(path: &str, model: &str) -> String {
    if path.starts_with("/v1") { format!("openai/{model}") } else { model.to_owned() }
}

fn request(dialect: Dialect, model: &str) -> String {
    match dialect {
        Dialect::Chat => body(model, false),
        Dialect::Responses => json!({"model": model, "input": "hello"}).to_string(),
        Dialect::Anthropic => {
            json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]}).to_string()
        }
        Dialect::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": "hello"}]}]}).to_string(),
    }
}

fn send(gateway: &Gateway, road: Road, place: &str, key: &str, model: &str) -> (String, Reply) {
    let (dialect, path) = road;
    let path = path(model);
    let name = asked(&path, model);
    let (value, query);
    let mut headers = vec![JSON];
    if dialect == Dialect::Anthropic {
        headers.push(("anthropic-version", "2023-06-01"));
    }
    match place {
        "authorization" => {
            value = format!("Bearer {key}");
            query = String::new();
            headers.push((place, &value));
        }
        "?key=" => query = format!("?key={key}"),
        _ => {
            query = String::new();
            headers.push((place, key));
        }
    }
    let reply = gateway.call("POST", &format!("{path}{query}"), &headers, request(dialect, &name).as_bytes());
    (name, reply)
}

/// The whole body of a refusal in each dialect's shape.
fn refusal(dialect: Dialect, state: &State, message: &str, got: &Reply) -> Value {
    let param = if state.code == "model_not_allowed" { json!("model") } else { Value::Null };
    let (kind, word) = match state.status {
        401 => ("authentication_error", "UNAUTHENTICATED"),
        403 => ("permission_error", "PERMISSION_DENIED"),
        _ => ("rate_limit_error", "RESOURCE_EXHAUSTED"),
    };
    match dialect {
        Dialect::Chat | Dialect::Responses => {
            let kind = if state.status == 429 { "requests" } else { kind };
            json!({"error": {"message": message, "type": kind, "param": param, "code": state.code}})
        }
        Dialect::Anthropic => {
            let mut error = json!({"type": kind, "message": message, "code": state.code});
            if !param.is_null() {
                error["param"] = param;
            }
            json!({"type": "error", "error": error, "request_id": got.header("x-request-id")})
        }
        Dialect::Gemini => {
            let mut details = vec![
                json!({"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": state.code, "domain": "sluice"}),
            ];
            if let Some(after) = got.header("retry-after") {
                let delay = format!("{after}s");
                details.push(json!({"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}));
            }
            json!({"error": {"code": state.status, "message": message, "status": word, "details": details}})
        }
    }
}

fn headers_of_limits(dialect: Dialect) -> [&'static str; 3] {
    match dialect {
        Dialect::Anthropic => [
            "anthropic-ratelimit-requests-limit",
            "anthropic-ratelimit-requests-remaining",
            "anthropic-ratelimit-requests-reset",
        ],
        _ => ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
    }
}

#[track_caller]
fn limits(got: &Reply, dialect: Dialect, limit: Option<&str>, left: Option<&str>) {
    let [all, remaining, reset] = headers_of_limits(dialect);
    assert_eq!((got.header(all), got.header(remaining)), (limit, left), "{dialect:?} {:?}", got.head);
    assert_eq!(got.header(reset).is_some(), limit.is_some(), "{:?}", got.head);
}

#[test]
fn every_place_in_every_dialect_in_every_state() {
    let mock = Mock::start();
    let gateway = start(&mock);
    // Uses up what the slow key may take.
    let (_, first) = send(&gateway, ROADS[0], "x-api-key", "sk-slow-88aa", "m-ok");
    assert_eq!(first.status, 200, "{}", first.text());
    limits(&first, Dialect::Chat, Some("1"), Some("0"));
    let mut served = mock.journal().count("p");
    for road in ROADS {
        for place in PLACES {
            for state in &STATES {
                let (name, got) = send(&gateway, road, place, state.key, state.model);
                let cell = format!("{:?} {} {place} {} {}", road.0, (road.1)(state.model), state.key, state.model);
                assert_eq!(got.status, state.status, "{cell}: {}", got.text());
                assert_eq!(got.header("content-type"), Some("application/json"), "{cell}");
                assert!(!got.text().contains("sk-") && !format!("{:?}", got.head).contains("sk-"), "{cell}: {got:?}");
                if state.status == 200 {
                    served += 1;
                    limits(&got, road.0, None, None);
                    assert!(!got.text().contains("\"error\":{"), "{cell}: {}", got.text());
                    continue;
                }
                let message = state.message.replace("{}", &name);
                assert_eq!(got.json(), refusal(road.0, state, &message, &got), "{cell}");
                assert_eq!(got.header("x-sluice-error-source"), Some("client"), "{cell}");
                let challenge = (state.status == 401).then_some("Bearer");
                assert_eq!(got.header("www-authenticate"), challenge, "{cell}");
                if state.status == 429 {
                    limits(&got, road.0, Some("1"), Some("0"));
                    let after: u64 = got.header("retry-after").and_then(|after| after.parse().ok()).unwrap_or_default();
                    assert!((86_000..=86_400).contains(&after), "{cell}: {after}");
                } else {
                    assert_eq!(got.header("retry-after"), None, "{cell}");
                }
            }
        }
    }
    assert_eq!(mock.journal().count("p"), served, "a refused call reaches no provider");
    for exchange in mock.exchanges("p") {
        let sent =
            format!("{} {}", String::from_utf8_lossy(&exchange.head.raw), String::from_utf8_lossy(&exchange.body));
        for state in &STATES {
            assert!(!sent.contains(state.key), "a client's key reached the provider: {sent}");
        }
    }
}

/// Sluice's own place means what it says; the others are filled by clients out of habit.
#[test]
fn sluices_own_place_goes_before_the_others() {
    let mock = Mock::start();
    let gateway = start(&mock);
    let send = |headers: &[(&str, &str)]| {
        let headers = [&[JSON], headers].concat();
        gateway.call("POST", CHAT, &headers, body("openai/m-ok", false).as_bytes()).status
    };
    assert_eq!(send(&[("authorization", "Bearer dummy"), ("x-sluice-key", "sk-good-1c5f")]), 200);
    assert_eq!(send(&[("authorization", "Bearer sk-good-1c5f"), ("x-bf-vk", "dummy")]), 401);
    assert_eq!(send(&[("authorization", "Basic c2stZ29vZC0xYzVm"), ("x-api-key", "sk-good-1c5f")]), 200);
    assert_eq!(send(&[("authorization", "Basic c2stZ29vZC0xYzVm")]), 401);
}

/// A gateway with one provider `openai` and these further lines; the clients' keys are `sk-a` and `sk-b`.
fn with(mock: &Mock, more: &str) -> Gateway {
    let rows = [row(mock, "openai", "models: [m1, m2]")];
    setup(&rows, more).env("KEY_A", "sk-a").env("KEY_B", "sk-b").start()
}

fn call(gateway: &Gateway, key: &str, model: &str) -> Reply {
    gateway.call("POST", CHAT, &[JSON, ("x-api-key", key)], body(model, false).as_bytes())
}

/// A team's limits are its keys' together, and both must be passed; what one of them refuses takes nothing from the other.
#[test]
fn a_team_shares_its_limits() {
    let mock = Mock::start();
    mock.script("openai", Script::json(200, reply("hi")));
    let more = "teams: { search: { rate: 3/day } }\nkeys:\n  - { name: a, value: env:KEY_A, team: search, rate: 2/day }\n  - { name: b, value: env:KEY_B, team: search }\n";
    let gateway = with(&mock, more);
    for left in ["1", "0"] {
        let got = call(&gateway, "sk-a", "openai/m1");
        assert_eq!(got.status, 200, "{}", got.text());
        limits(&got, Dialect::Chat, Some("2"), Some(left));
    }
    for _ in 0..3 {
        let got = call(&gateway, "sk-a", "openai/m1");
        assert_eq!(got.status, 429);
        assert!(got.text().contains("Your key may use 2 requests in a day"), "{}", got.text());
    }
    let got = call(&gateway, "sk-b", "openai/m1");
    assert_eq!(got.status, 200, "{}", got.text());
    limits(&got, Dialect::Chat, Some("3"), Some("0"));
    let got = call(&gateway, "sk-b", "openai/m1");
    assert_eq!(got.status, 429);
    assert!(got.text().contains("Your key's team may use 3 requests in a day"), "{}", got.text());
    // Another name for the same limit is no new one, nor is an edit of something else.
    let text = std::fs::read_to_string(gateway.folder().join("sluice.yaml")).unwrap();
    std::fs::write(gateway.folder().join("sluice.yaml"), format!("{text}aliases: {{ fast: openai/m1 }}\n")).unwrap();
    sluice_tests::wait_for("the alias in the list", || {
        let list = gateway.call("GET", "/v1/models", &[("x-api-key", "sk-a")], b"").text();
        list.contains("\"fast\"").then_some(())
    });
    assert_eq!(call(&gateway, "sk-b", "fast").status, 429);
}

/// Tokens are taken by the estimate, and set right by what the provider counts; a call that failed takes none.
#[test]
fn tokens_are_settled_by_what_was_used() {
    let mock = Mock::start();
    let gateway = with(&mock, "keys: [{ name: a, value: env:KEY_A, tokens: 1000/day }]\n");
    let left = |got: &Reply| {
        let left = got.header("x-ratelimit-remaining-tokens").and_then(|left| left.parse::<u64>().ok());
        left.unwrap_or_else(|| panic!("{:?}", got.head))
    };
    mock.script("openai", Script::json(400, r#"{"error":{"message":"no","type":"invalid_request_error"}}"#));
    assert_eq!(call(&gateway, "sk-a", "openai/m1").status, 400);
    let counting = |total: u64| {
        let mut whole: Value = serde_json::from_str(&reply("hi")).unwrap();
        whole["usage"] = json!({"prompt_tokens": total - 1, "completion_tokens": 1, "total_tokens": total});
        Script::json(200, whole.to_string())
    };
    mock.script("openai", counting(600));
    let first = left(&call(&gateway, "sk-a", "openai/m1"));
    assert!((980..1000).contains(&first), "the estimate alone is taken: {first}");
    // A reply may reach the client a moment before the call is settled.
    let second = sluice_tests::wait_for("the call's tokens to be counted", || {
        mock.script("openai", counting(1));
        let got = call(&gateway, "sk-a", "openai/m1");
        Some(left(&got)).filter(|left| *left < 400)
    });
    assert!((370..400).contains(&second), "{second}");
    let got = gateway.call(
        "POST",
        CHAT,
        &[JSON, ("x-api-key", "sk-a")],
        body(&format!("openai/{}", "m".repeat(9)), false).replace("hello", &"word ".repeat(900)).as_bytes(),
    );
    assert_eq!(got.status, 429, "{}", got.text());
    let error = &got.json()["error"];
    assert_eq!((&error["type"], &error["code"]), (&json!("tokens"), &json!("rate_limit_exceeded")));
    assert!(error["message"].as_str().is_some_and(|message| message.contains("send less")), "{error}");
    assert_eq!((got.header("retry-after"), got.header("x-should-retry")), (None, Some("false")));
}

/// A streamed call is settled too, by the usage at its end.
#[test]
fn a_streams_tokens_count() {
    use crate::support::{DONE, finish_event, text_event};
    let mock = Mock::start();
    let usage = json!({"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m", "choices": [], "usage": {"prompt_tokens": 500, "completion_tokens": 100, "total_tokens": 600}});
    mock.script(
        "openai",
        Script::sse([text_event("hi"), finish_event(), format!("data: {usage}\n\n"), DONE.to_owned()]),
    );
    let gateway = with(&mock, "keys: [{ name: a, value: env:KEY_A, tokens: 1000/day }]\n");
    let stream = || gateway.call("POST", CHAT, &[JSON, ("x-api-key", "sk-a")], body("openai/m1", true).as_bytes());
    let left = |got: &Reply| got.header("x-ratelimit-remaining-tokens").and_then(|left| left.parse::<u64>().ok());
    let first = stream();
    assert_eq!(first.status, 200, "{}", first.text());
    assert!(left(&first).is_some_and(|left| left > 980), "{:?}", first.head);
    let second = stream();
    assert!(left(&second).is_some_and(|left| (370..400).contains(&left)), "{:?}", second.head);
}

/// Where the key has limits its own take the place of the provider's; where it has none the provider's pass.
#[test]
fn a_providers_own_limits_are_told_where_the_key_has_none() {
    let mock = Mock::start();
    let headers = [JSON, ("x-ratelimit-limit-requests", "5000"), ("x-ratelimit-remaining-tokens", "77")];
    mock.script("openai", Script::whole(200, &headers, reply("hi")));
    let more = "keys:\n  - { name: a, value: env:KEY_A, rate: 9/day }\n  - { name: b, value: env:KEY_B }\n";
    let gateway = with(&mock, more);
    let told = |key| {
        let got = call(&gateway, key, "openai/m1");
        ["x-ratelimit-limit-requests", "x-ratelimit-remaining-tokens"].map(|name| got.head.all(name).join(","))
    };
    assert_eq!(told("sk-a"), ["9", "77"]);
    assert_eq!(told("sk-b"), ["5000", "77"]);
}

/// A team's list and its key's must both have a name; the list of models shows what both do.
#[test]
fn a_team_narrows_what_its_keys_may_use() {
    let mock = Mock::start();
    mock.script("openai", Script::json(200, reply("hi")));
    let more = "aliases: { fast: openai/m1, slow: openai/m2 }\nteams: { search: { models: [fast, 'openai/*'] } }\nkeys:\n  \
                - { name: a, value: env:KEY_A, team: search, models: [fast, slow, openai/m2] }\n  - { name: b, value: env:KEY_B, team: search }\n";
    let gateway = with(&mock, more);
    let status = |key: &str, model: &str| call(&gateway, key, model).status;
    assert_eq!(["fast", "slow", "openai/m1", "openai/m2"].map(|model| status("sk-a", model)), [200, 200, 403, 200]);
    assert_eq!(["fast", "slow", "openai/m1", "openai/m9"].map(|model| status("sk-b", model)), [200; 4]);
    let list = |key: &str| {
        let list = gateway.call("GET", "/v1/models", &[("x-api-key", key)], b"").json();
        let ids = list["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str());
        ids.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(list("sk-a"), ["fast", "slow", "openai/m2"]);
    assert_eq!(list("sk-b"), ["fast", "slow", "openai/m1", "openai/m2"]);
}

/// Whoever may use a route may use what it leads to, by the route's name alone, in the list of models too, and with no way around it in
/// `fallbacks`.
#[test]
fn a_key_with_routes_may_use_nothing_else() {
    let mock = Mock::start();
    mock.script("openai", Script::json(200, reply("hi")));
    let more = "routes: { smart: { tiers: [[openai/m1]] }, other: { tiers: [[openai/m2]] } }\naliases: { fast: openai/m1 }\n\
                keys: [{ name: a, value: env:KEY_A, routes: [smart] }, { name: b, value: env:KEY_B, models: [openai/m1] }]\n";
    let gateway = with(&mock, more);
    let status = |key: &str, model: &str| call(&gateway, key, model).status;
    assert_eq!(
        ["smart", "other", "fast", "openai/m1", "m1"].map(|model| status("sk-a", model)),
        [200, 403, 403, 403, 403]
    );
    assert_eq!(["openai/m1", "fast", "smart", "other"].map(|model| status("sk-b", model)), [200, 200, 403, 403]);
    let list = gateway.call("GET", "/v1/models", &[("x-api-key", "sk-a")], b"").json();
    let ids: Vec<&str> = list["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str()).collect();
    assert_eq!(ids, ["smart"]);
    let around = body("smart", false).replacen('{', "{\"fallbacks\":[\"openai/m2\"],", 1);
    let got = gateway.call("POST", CHAT, &[JSON, ("x-api-key", "sk-a")], around.as_bytes());
    assert_eq!(got.status, 403, "{}", got.text());
}

/// What the document shows is a configuration, and does what it says.
#[test]
fn the_document_shows_what_works() {
    let found = crate::blocks::blocks(&crate::python_client::root().join("docs/callers.md"));
    let [shown] = found.as_slice() else { panic!("{found:?}") };
    let mock = Mock::start();
    mock.script("openai", Script::json(200, reply("hi")));
    let more =
        format!("aliases: {{ fast: openai/m1 }}\nroutes: {{ smart: {{ tiers: [[openai/m1]] }} }}\n{}", shown.text);
    let rows = [row(&mock, "openai", "models: [m1, m2]")];
    let gateway = setup(&rows, &more).env("NEXT_KEY", "sk-next").env("NOTEBOOK_KEY", "sk-notebook").start();
    for key in ["second-key", "sk-next"] {
        let got = call(&gateway, key, "smart");
        assert_eq!((got.status, got.header("x-ratelimit-limit-requests")), (200, Some("600")), "{}", got.text());
        assert_eq!(got.header("x-ratelimit-limit-tokens"), Some("100000"));
        assert_eq!(call(&gateway, key, "fast").status, 403);
    }
    assert_eq!(call(&gateway, "sk-notebook", "openai/m2").status, 200);
}
