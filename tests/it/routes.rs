//! Named routes, the examples of docs/routes.md among them, and fallbacks that clients bring.

use serde_json::{Value, json};
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::mock::{Mock, Script};

use crate::blocks::blocks;
use crate::python_client::root;
use crate::support::{CHAT, body, reply, row, setup};

const ENV: [(&str, &str); 5] = [
    ("OPENAI_API_KEY", "sk-openai-main"),
    ("OPENAI_SPARE_KEY", "sk-openai-spare"),
    ("ANTHROPIC_API_KEY", "sk-ant-main"),
    ("SEARCH_KEY", "sk-search-app"),
    ("OTHER_KEY", "sk-other-app"),
];

fn message(text: &str) -> Script {
    let reply = json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude", "stop_reason": "end_turn", "stop_sequence": null,
        "content": [{ "type": "text", "text": text }], "usage": { "input_tokens": 3, "output_tokens": 2 },
    });
    Script::json(200, reply.to_string())
}

/// The example of that name, with every provider at the mock.
fn example(mock: &Mock, title: &str) -> Gateway {
    let all = blocks(&root().join("docs/routes.md"));
    let mut found = all.iter().filter(|block| block.text.starts_with(&format!("# {title}\n")));
    let text = found.next().unwrap_or_else(|| panic!("docs/routes.md has no example `{title}`")).text.clone();
    assert!(found.next().is_none(), "two examples `{title}`");
    let mut text = text;
    for name in ["openai", "anthropic"] {
        let base = mock.base(name);
        text = text.replace(&format!("\n  {name}: {{ "), &format!("\n  {name}: {{ base_url: \"{base}\", "));
        text = text.replace(&format!("\n  {name}:\n"), &format!("\n  {name}:\n    base_url: \"{base}\"\n"));
    }
    for (address, name) in [("http://10.0.0.5:8000/v1", "frankfurt"), ("http://10.1.0.5:8000/v1", "virginia")] {
        text = text.replace(address, &mock.base(name));
    }
    let setup = ENV.iter().fold(Setup::config(text), |setup, (name, value)| setup.env(name, value));
    for name in ["openai", "frankfurt", "virginia"] {
        mock.script(name, Script::json(200, reply(name)));
    }
    mock.script("anthropic", message("from anthropic"));
    setup.start()
}

/// The models that were asked of that provider, in order.
fn models(mock: &Mock, name: &str) -> Vec<String> {
    let of =
        |body: &[u8]| serde_json::from_slice::<Value>(body).unwrap()["model"].as_str().unwrap_or_default().to_owned();
    mock.exchanges(name).iter().map(|exchange| of(&exchange.body)).collect()
}

fn content(reply: &sluice_tests::http::Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["choices"][0]["message"]["content"].as_str().unwrap().to_owned()
}

#[test]
fn every_example_is_run_here() {
    const RUN: [&str; 7] = [
        "Fallback across providers",
        "A pool of keys",
        "Five percent for a canary",
        "The cheapest that can do it",
        "Only in the EU",
        "A route for each team",
        "Long prompts, and nights",
    ];
    let all = blocks(&root().join("docs/routes.md"));
    let titles: Vec<&str> = all.iter().filter_map(|block| block.text.lines().next()?.strip_prefix("# ")).collect();
    assert_eq!((titles, all.len()), (RUN.to_vec(), RUN.len()));
}

#[test]
fn fallback_across_providers() {
    let mock = Mock::start();
    let gateway = example(&mock, "Fallback across providers");
    content(&gateway.post(CHAT, body("smart", false)));
    assert_eq!((models(&mock, "openai"), models(&mock, "anthropic").len()), (vec!["gpt-4o".to_owned()], 0));
    mock.script("openai", Script::json(500, "{}"));
    assert_eq!(content(&gateway.post(CHAT, body("smart", false))), "from anthropic");
    assert_eq!(models(&mock, "anthropic"), ["claude-sonnet-4-5"]);
}

#[test]
fn a_pool_of_keys() {
    let mock = Mock::start();
    let gateway = example(&mock, "A pool of keys");
    let used = |mock: &Mock| -> Vec<String> {
        mock.exchanges("openai").iter().filter_map(|call| call.head.get("authorization").map(str::to_owned)).collect()
    };
    // Each call opens a conversation of its own: one that goes on would keep its key.
    let opening = |at: usize| {
        json!({ "model": "openai/gpt-4o", "messages": [{ "role": "user", "content": format!("hello {at}") }] })
            .to_string()
    };
    for at in 0..60 {
        content(&gateway.post(CHAT, opening(at)));
    }
    let spare = used(&mock).iter().filter(|key| key.ends_with("sk-openai-spare")).count();
    assert!((2..40).contains(&spare), "{spare} of 60 with a quarter of the weight");
    mock.on("openai", |exchange| {
        let main = exchange.head.get("authorization").is_some_and(|key| key.ends_with("sk-openai-main"));
        if main { Script::json(401, "{}") } else { Script::json(200, reply("openai")) }
    });
    let before = used(&mock).len();
    for _ in 0..20 {
        content(&gateway.post(CHAT, body("openai/gpt-4o", false)));
    }
    let refused = used(&mock).iter().skip(before).filter(|key| key.ends_with("sk-openai-main")).count();
    assert!(refused <= 1, "a key that is refused is out: {refused}");
}

#[test]
fn five_percent_for_a_canary() {
    let mock = Mock::start();
    let gateway = example(&mock, "Five percent for a canary");
    for _ in 0..300 {
        content(&gateway.post(CHAT, body("chat", false)));
    }
    let models = models(&mock, "openai");
    let canary = models.iter().filter(|model| *model == "gpt-4.1").count();
    assert_eq!(models.len(), 300);
    // Fifteen are due; less than one in a million runs leaves this.
    assert!((1..=40).contains(&canary), "{canary} of 300");
}

#[test]
fn the_cheapest_that_can_do_it() {
    let mock = Mock::start();
    let gateway = example(&mock, "The cheapest that can do it");
    for _ in 0..20 {
        content(&gateway.post(CHAT, body("thrifty", false)));
    }
    assert!(models(&mock, "openai").iter().all(|model| model == "gpt-4o-mini"));
}

#[test]
fn only_in_the_eu() {
    let mock = Mock::start();
    let gateway = example(&mock, "Only in the EU");
    for _ in 0..20 {
        content(&gateway.post(CHAT, body("llama", false)));
    }
    mock.script("frankfurt", Script::json(500, "{}"));
    assert_eq!(gateway.post(CHAT, body("llama", false)).status, 500);
    assert_eq!(mock.exchanges("virginia").len(), 0, "no call leaves the EU, whatever fails");
}

#[test]
fn a_route_for_each_team() {
    let mock = Mock::start();
    let gateway = example(&mock, "A route for each team");
    let call = |key: &str, model: &str| {
        let bearer = format!("Bearer {key}");
        let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
        gateway.call("POST", CHAT, &headers, body(model, false).as_bytes())
    };
    content(&call("sk-search-app", "smart"));
    content(&call("sk-other-app", "smart"));
    assert_eq!(models(&mock, "openai"), ["gpt-4o", "gpt-4o-mini"]);
    for model in ["large", "openai/gpt-4o"] {
        assert_eq!(call("sk-other-app", model).status, 403, "{model}");
    }
    let listed = |key: &str| {
        let bearer = format!("Bearer {key}");
        let reply = gateway.call("GET", "/v1/models", &[("authorization", bearer.as_str())], b"").json();
        let names = reply["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(listed("sk-other-app"), ["smart"]);
    let guest = json!({ "model": "smart", "fallbacks": ["openai/gpt-4o"], "messages": [] }).to_string();
    let headers = [("content-type", "application/json"), ("authorization", "Bearer sk-other-app")];
    assert_eq!(gateway.call("POST", CHAT, &headers, guest.as_bytes()).status, 403, "a fallback must be allowed too");
}

#[test]
fn long_prompts_and_nights() {
    let mock = Mock::start();
    let gateway = example(&mock, "Long prompts, and nights");
    let long = json!({ "model": "auto", "messages": [{ "role": "user", "content": "word ".repeat(10_000) }] });
    content(&gateway.post(CHAT, body("auto", false)));
    content(&gateway.post(CHAT, long.to_string()));
    assert_eq!(models(&mock, "openai"), ["gpt-4o-mini", "gpt-4.1"]);
}

/// Two providers of OpenAI's format, `a` and `b`.
fn pair(more: &str) -> (Mock, Gateway) {
    let mock = Mock::start();
    let rows = ["a", "b"].map(|name| {
        mock.script(name, Script::json(200, reply(name)));
        row(&mock, name, "models: [one]")
    });
    let gateway = setup(&rows, more).start();
    (mock, gateway)
}

fn with_fallbacks(model: &str, fallbacks: &[&str]) -> String {
    json!({ "fallbacks": fallbacks, "model": model, "messages": [{ "role": "user", "content": "hello" }] }).to_string()
}

#[test]
fn fallbacks_of_the_body_are_tried_in_order_and_seen_by_nobody() {
    let (mock, gateway) = pair("");
    mock.script("a", Script::json(503, "{}"));
    content(&gateway.post(CHAT, with_fallbacks("a/one", &["a/two", "b/three"])));
    assert_eq!((models(&mock, "a"), models(&mock, "b")), (vec!["one".into(), "two".into()], vec!["three".to_owned()]));
    for exchange in mock.exchanges("a").iter().chain(&mock.exchanges("b")) {
        assert!(!String::from_utf8_lossy(&exchange.body).contains("fallbacks"), "{exchange:?}");
    }
    let unknown = gateway.post(CHAT, with_fallbacks("a/one", &["nobody-knows"]));
    assert_eq!(unknown.status, 404, "{}", unknown.text());
}

#[test]
fn routes_are_listed_and_found_under_open_prefixes_and_by_aliases() {
    let (mock, gateway) = pair("aliases: { best: smart }\nroutes: { smart: { tiers: b/big } }");
    for (path, name) in [(CHAT, "smart"), (CHAT, "best"), ("/openai/v1/chat/completions", "smart")] {
        content(&gateway.post(path, body(name, false)));
    }
    assert_eq!(models(&mock, "b"), ["big", "big", "big"]);
    let listed = gateway.get("/v1/models").json();
    let names: Vec<&str> = listed["data"].as_array().unwrap().iter().filter_map(|model| model["id"].as_str()).collect();
    assert_eq!(names[..2], ["smart", "best"], "{names:?}");
    assert_eq!(gateway.get("/v1/models/smart").json()["id"], "smart");
    let near = gateway.post(CHAT, body("smrat", false));
    assert!(near.status == 404 && near.text().contains("`smart`"), "{}", near.text());
}

#[test]
fn what_cannot_do_the_call_is_left_out_with_a_reason() {
    let small =
        "catalog: { a/one: { context_window: 4000, vision: false }, b/one: { context_window: 8000, vision: false } }";
    let (mock, gateway) = pair(&format!("{small}\nroutes: {{ r: {{ tiers: [a/one, b/one] }} }}"));
    let call =
        |content: Value| json!({ "model": "r", "messages": [{ "role": "user", "content": content }] }).to_string();
    content(&gateway.post(CHAT, call(json!("word ".repeat(4_800)))));
    assert_eq!((models(&mock, "a").len(), models(&mock, "b").len()), (0, 1), "the larger one");
    let picture = json!([{ "type": "image_url", "image_url": { "url": "https://example.com/a.png" } }]);
    let refused = gateway.post(CHAT, call(picture));
    assert_eq!(refused.status, 400, "{}", refused.text());
    let error = &refused.json()["error"];
    assert_eq!(error["code"], "no_capable_target");
    assert!(error["message"].as_str().unwrap().contains("a/one: no images; b/one: no images"), "{error}");
    assert_eq!((models(&mock, "a").len(), models(&mock, "b").len()), (0, 1), "no money was spent");
}
