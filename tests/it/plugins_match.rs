//! `match`: which plugins run on which calls, by what the client sent; one that does not fit is as if it were not there, streamed or
//! whole, and one that fits cannot be walked around by another name of the same model.

use serde_json::{Value, json};
use sluice_tests::gateway::{Gateway, replace};
use sluice_tests::http::Reply;
use sluice_tests::mock::Mock;

use crate::plugins_support::{PATIENT, active, asking, before, component, log_line, says, text_of};
use crate::support::{CHAT, blamed, row, setup};

/// Everyone may call; whoever sends a key is known by it.
const CALLERS: &str = "\
server: { plugin_header: true, clients: open }
aliases: { fast: p/small }
keys:
  - { name: search-prod, value: env:SEARCH_KEY, team: search, labels: { region: eu } }
  - { name: ads-prod, value: env:ADS_KEY, team: ads }
";

/// Plugins by what they match; each is the same component.
const MATCHES: &[(&str, &str)] = &[
    ("always", "{}"),
    ("model", "{ model: [other, p/sm*] }"),
    ("openai", "{ model: openai/* }"),
    ("key", "{ key: '*' }"),
    ("team", "{ team: [search, sales] }"),
    ("label", "{ label: { region: e* } }"),
    ("header", "{ header: { X-App: beta-* } }"),
    ("chat", "{ operation: chat }"),
    ("none", "{ operation: embeddings }"),
    ("both", "{ team: search, model: p/small }"),
];

fn start(mock: &Mock) -> Gateway {
    let chain: String = MATCHES
        .iter()
        .map(|(name, matched)| format!("    {name}: {{ component: nop.wasm, match: {matched}, {PATIENT} }}\n"))
        .collect();
    let rows = [row(mock, "p", ""), row(mock, "openai", "")];
    let gateway = setup(&rows, &format!("{CALLERS}plugins:\n  chain:\n{chain}"))
        .env("SEARCH_KEY", "sk-search")
        .env("ADS_KEY", "sk-ads")
        .plugin("nop.wasm", component("nop"))
        .start();
    for (name, _) in MATCHES {
        active(&gateway, name);
    }
    gateway
}

fn call(gateway: &Gateway, path: &str, headers: &[(&str, &str)], model: &str, stream: bool) -> Reply {
    let body = json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "hi"}]});
    let headers = [&[("content-type", "application/json")], headers].concat();
    gateway.call("POST", path, &headers, body.to_string().as_bytes())
}

/// The plugins in the receipt of the access log, sorted.
fn ran(line: &Value) -> Vec<String> {
    let stamps = line["plugins"].as_array().unwrap_or_else(|| panic!("no receipt: {line}"));
    let mut names: Vec<String> =
        stamps.iter().map(|stamp| stamp["plugin"].as_str().unwrap_or_default().to_owned()).collect();
    names.sort();
    names
}

/// Path, headers, model, and the plugins that run.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str, &'a [&'a str]);

#[test]
fn each_call_meets_the_plugins_that_it_fits() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let (whole, streamed) = (crate::support::reply("fine"), crate::plugins_support::streaming(&["fine"]));
    mock.on("openai", move |exchange| {
        if crate::plugins_support::wants_stream(exchange) {
            streamed.clone()
        } else {
            sluice_tests::mock::Script::json(200, &whole)
        }
    });
    let gateway = start(&mock);
    let search = ("authorization", "Bearer sk-search");
    let ads = ("x-api-key", "sk-ads");
    let on_prefix = "/openai/v1/chat/completions";
    let cases: &[Case] = &[
        (CHAT, &[], "p/large", &["always", "chat"]),
        (CHAT, &[], "p/small", &["always", "chat", "model"]),
        (CHAT, &[], "fast", &["always", "chat", "model"]),
        (CHAT, &[search], "fast", &["always", "both", "chat", "key", "label", "model", "team"]),
        (CHAT, &[search], "p/large", &["always", "chat", "key", "label", "team"]),
        (CHAT, &[ads], "p/large", &["always", "chat", "key"]),
        (CHAT, &[("x-app", "beta-7")], "p/large", &["always", "chat", "header"]),
        (CHAT, &[("x-app", "gamma"), ("x-app", "beta-8")], "p/large", &["always", "chat", "header"]),
        (CHAT, &[("x-app", "a beta-7")], "p/large", &["always", "chat"]),
        (CHAT, &[("authorization", "Bearer sk-unknown")], "p/large", &["always", "chat"]),
        (CHAT, &[], "openai/small", &["always", "chat", "openai"]),
        (on_prefix, &[], "small", &["always", "chat", "openai"]),
        (on_prefix, &[], "openai/small", &["always", "chat", "openai"]),
    ];
    for round in 0..2 {
        for (path, headers, model, due) in cases {
            for stream in [false, true] {
                let reply = call(&gateway, path, headers, model, stream);
                assert_eq!((reply.status, text_of(&reply).as_str()), (200, "fine"), "{model}: {}", reply.text());
                let what = format!("round {round}, stream {stream}: {path} {headers:?} {model}");
                assert_eq!(&ran(&log_line(&gateway, &reply)), due, "{what}");
                let header = reply.header("x-sluice-plugins").unwrap_or_default();
                assert_eq!(header.split(',').count(), due.len(), "{what}: {header}");
            }
        }
    }
}

#[test]
fn a_guard_guards_its_own_callers_only() {
    let mock = Mock::start();
    says(&mock, &["a sec", "ret"]);
    let chain = format!(
        "plugins:\n  chain:\n    \
         words: {{ component: deny-words.wasm, match: {{ team: search }}, {PATIENT}, settings: {{ words: [codename] }} }}\n    \
         held: {{ component: response-guard.wasm, match: {{ key: ads-* }}, streams: refuse, {PATIENT}, settings: {{ words: [secret] }} }}\n"
    );
    let gateway = setup(&[row(&mock, "p", "")], &format!("{CALLERS}{chain}"))
        .env("SEARCH_KEY", "sk-search")
        .env("ADS_KEY", "sk-ads")
        .plugin("deny-words.wasm", component("deny-words"))
        .plugin("response-guard.wasm", component("response-guard"))
        .start();
    active(&gateway, "words");
    active(&gateway, "held");
    let post = |headers: &[(&str, &str)], text: &str, stream: bool| {
        let headers = [&[("content-type", "application/json")], headers].concat();
        gateway.call("POST", CHAT, &headers, asking(text, stream).as_bytes())
    };
    let (search, ads) = (("authorization", "Bearer sk-search"), ("authorization", "Bearer sk-ads"));
    for stream in [false, true] {
        let refused = post(&[search], "the codename", stream);
        assert_eq!(blamed(&refused, 400, "plugin")["code"], "content_filter");
        assert_eq!(text_of(&post(&[], "the codename", stream)), "a secret", "not its caller");
    }
    assert_eq!(text_of(&post(&[ads], "the codename", false)), "a ***");
    assert_eq!(blamed(&post(&[ads], "hi", true), 400, "plugin")["code"], "stream_refused");
    let asked = mock.journal().count("p");
    post(&[search], "the codename", false);
    assert_eq!(mock.journal().count("p"), asked, "the provider sees nothing of a refused call");
}

#[test]
fn an_edited_match_is_live_and_a_bad_one_changes_nothing() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let yaml = |matched: &str| format!("match: {matched}\n{PATIENT}\nsettings: {{ words: [codename] }}\n");
    let gateway = before(&mock, "")
        .plugin("words.wasm", component("deny-words"))
        .plugin("words.yaml", yaml("{ model: nobody/* }"))
        .start();
    let first = active(&gateway, "words");
    assert_eq!(first["conditional"], true, "{first}");
    assert_eq!(gateway.post(CHAT, asking("the codename", false)).status, 200);
    let file = gateway.plugins().join("words.yaml");
    replace(&file, yaml("{ model: p/* }").as_bytes());
    gateway.wait_plugin("words", |state| state["generation"] != first["generation"]);
    assert_eq!(gateway.post(CHAT, asking("the codename", false)).status, 400);
    replace(&file, yaml("{ header: { authorization: x } }").as_bytes());
    let stale = gateway.wait_plugin("words", |state| state["state"] == "stale");
    assert!(stale["error"].as_str().unwrap().contains("credential"), "{stale}");
    assert_eq!(gateway.post(CHAT, asking("the codename", false)).status, 400);
}

#[test]
fn a_required_plugin_that_is_missing_refuses_calls_that_it_would_not_run_on() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let more = format!(
        "plugins:\n  required: [words]\n  chain:\n    \
         words: {{ match: {{ model: nobody/* }}, {PATIENT}, settings: {{ words: [codename] }} }}\n    \
         other: {{ component: nop.wasm, match: {{ model: nobody/* }}, {PATIENT} }}\n"
    );
    let gateway = before(&mock, &more).plugin("nop.wasm", component("nop")).start();
    active(&gateway, "other");
    assert_eq!(gateway.post(CHAT, asking("hi", false)).status, 503);
    replace(&gateway.plugins().join("words.wasm"), &component("deny-words"));
    gateway.wait_plugin("words", |state| state["state"] == "active");
    assert_eq!(gateway.post(CHAT, asking("hi", false)).status, 200);
}

#[test]
fn made_up_headers_and_models_change_only_their_own_calls() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let chain: String = (0..12)
        .map(|bit| {
            format!("    h{bit}: {{ component: nop.wasm, match: {{ header: {{ x-h{bit}: '1' }} }}, {PATIENT} }}\n")
        })
        .collect();
    let more = format!(
        "plugins:\n  chain:\n{chain}    guard: {{ component: words.wasm, {PATIENT}, settings: {{ words: [codename] }} }}\n"
    );
    let gateway =
        before(&mock, &more).plugin("nop.wasm", component("nop")).plugin("words.wasm", component("deny-words")).start();
    active(&gateway, "guard");
    // More combinations than are kept, each met twice.
    for number in (0..200_u32).chain(0..200) {
        let names: Vec<String> = (0..12).filter(|bit| number >> bit & 1 == 1).map(|bit| format!("x-h{bit}")).collect();
        let mut headers = vec![("content-type", "application/json")];
        headers.extend(names.iter().map(|name| (name.as_str(), "1")));
        let reply = gateway.call("POST", CHAT, &headers, asking("hi", false).as_bytes());
        let receipt = reply.header("x-sluice-plugins").unwrap_or_default();
        let seen = (0..12).filter(|bit| receipt.contains(&format!("h{bit}@"))).count();
        assert_eq!((reply.status, seen), (200, names.len()), "{number}: {receipt}");
        let refused = gateway.call("POST", CHAT, &headers, asking("the codename", false).as_bytes());
        assert_eq!(refused.status, 400, "{number}: the guard runs on every call");
    }
}

#[test]
fn the_document_on_running_plugins_shows_what_works() {
    let shown = crate::blocks::blocks(&crate::python_client::root().join("docs/plugins.md"));
    let [block] = shown.as_slice() else { panic!("{} blocks, not one", shown.len()) };
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let limits = |yaml: &str| yaml.replace("      settings:", &format!("      {PATIENT}\n      settings:"));
    let rows = [row(&mock, "p", ""), row(&mock, "llama", "")];
    mock.script("llama", sluice_tests::mock::Script::json(200, crate::support::reply("fine")));
    let gateway = setup(&rows, &format!("{CALLERS}{}", limits(&block.text)))
        .env("SEARCH_KEY", "sk-search")
        .env("ADS_KEY", "sk-ads")
        .plugin("deny-words.wasm", component("deny-words"))
        .plugin("rate-limit-by-header.wasm", component("rate-limit-by-header"))
        .start();
    assert_eq!(active(&gateway, "codenames")["conditional"], true);
    assert_eq!(active(&gateway, "fair-use")["breaker"], "closed");
    let post = |key: &str, user: &str, model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "the bluebird"}]}).to_string();
        let key = format!("Bearer {key}");
        let headers = [("content-type", "application/json"), ("authorization", key.as_str()), ("x-user-id", user)];
        gateway.call("POST", CHAT, &headers, body.as_bytes()).status
    };
    assert_eq!(post("sk-search", "a", "llama/m"), 400, "its team and its model");
    assert_eq!(post("sk-search", "b", "p/m"), 200, "another model");
    assert_eq!(post("sk-ads", "c", "llama/m"), 200, "another team");
    assert_eq!(post("sk-ads", "c", "llama/m"), 429, "one at once for each user");
}
