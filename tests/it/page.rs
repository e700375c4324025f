//! The page at `/` in a real browser, the documents behind it, and the rules by which either is shown.

mod terminal;

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::http::request;
use sluice_tests::mock::{Mock, Script};
use sluice_tests::{skip, wait_for};

use crate::plugins_support::component;
use crate::python_client::{command, python, root};
use crate::support::{CHAT, PROVIDER_KEY, body, refused, reply, row, setup};

const TOKEN: &str = "admin-4f1d7c0e9b8a6352";

/// A program of this name that the machine has.
fn program(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    names.iter().flat_map(|name| folders.iter().map(move |folder| folder.join(name))).find(|file| file.is_file())
}

/// What the scripts need, or what is missing.
fn browser() -> Result<(PathBuf, PathBuf), &'static str> {
    let node = program(&["node", "nodejs"]).ok_or("no node")?;
    let chromium = program(&["chromium", "chromium-browser", "google-chrome"]).ok_or("no chromium")?;
    let packages = root().join("tests/node/node_modules/playwright-core");
    if packages.is_dir() { Ok((node, chromium)) } else { Err("no tests/node/node_modules: make node") }
}

/// Runs a script of `tests/node`, which says `seen` when it has seen everything.
#[track_caller]
fn script(node: &Path, name: &str, gateway: &Gateway, plan: &Value) {
    let file = gateway.folder().join("plan.json");
    std::fs::write(&file, plan.to_string()).unwrap();
    let mut command = Command::new(node);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", gateway.folder());
    let output = command.arg(root().join("tests/node").join(name)).arg(file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("seen"), "{text}");
}

/// With `SLUICE_BLESS` the picture in the documentation is taken anew.
fn picture() -> Option<PathBuf> {
    std::env::var_os("SLUICE_BLESS").map(|_| root().join("docs/page.png"))
}

#[test]
fn a_browser_sees_a_fresh_start_calls_and_plugins() {
    let (node, chromium) = match browser() {
        Ok(found) => found,
        Err(why) => skip!("{why}"),
    };
    let gateway = Setup::default().start();
    let wasm = gateway.folder().join("component.wasm");
    std::fs::write(&wasm, component("deny-words")).unwrap();
    let snippets = gateway.folder().join("snippets.json");
    let plan = json!({
        "url": format!("http://{}", gateway.address), "plugins": gateway.plugins(), "component": wasm, "chromium": chromium,
        "settings": "settings: { words: [codename] }\nlimits: { wall: 20s, delta: 20s, start: 20s }\n",
        "snippets": snippets, "picture": picture(),
    });
    script(&node, "page.mjs", &gateway, &plan);
    let texts: Value = serde_json::from_slice(&std::fs::read(&snippets).unwrap()).unwrap();
    shown_snippets(&gateway, &node, &texts);
}

#[test]
fn a_browser_needs_the_admin_token_where_there_is_one() {
    let (node, chromium) = match browser() {
        Ok(found) => found,
        Err(why) => skip!("{why}"),
    };
    let gateway = guarded();
    let plan = json!({ "url": format!("http://{}", gateway.address), "token": TOKEN, "chromium": chromium,
        "config": gateway.folder().join("sluice.yaml") });
    script(&node, "page-token.mjs", &gateway, &plan);
}

/// What the page tells people to run, run as they would.
#[track_caller]
fn shown_snippets(gateway: &Gateway, node: &Path, texts: &Value) {
    let folder = gateway.folder();
    let run = |mut command: Command, name: &str| {
        let output = command.current_dir(folder).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{name}: {text}\n{}", String::from_utf8_lossy(&output.stderr));
        assert!(text.contains("Hello, Sluice"), "{name}: {text}");
    };
    let file = |name: &str, kind: &str| {
        let file = folder.join(name);
        std::fs::write(&file, texts[kind].as_str().unwrap_or_else(|| panic!("no {kind} in {texts}"))).unwrap();
        file
    };
    let mut curl = Command::new("sh");
    curl.arg(file("curl.sh", "curl"));
    run(curl, "curl");
    std::os::unix::fs::symlink(root().join("tests/node/node_modules"), folder.join("node_modules")).unwrap();
    let mut script = Command::new(node);
    script.arg(file("shown.mjs", "Node"));
    run(script, "Node");
    match python() {
        Some(python) => {
            run(command(&python, &file("shown.py", "Python")), "Python");
            run(command(&python, &file("graph.py", "LangGraph")), "LangGraph");
        }
        None => sluice_tests::skip::record("the page's Python", "no .venv: make venv"),
    }
}

/// A gateway with an admin token and a provider that nobody calls.
fn guarded() -> Gateway {
    let config = format!(
        "server: {{ admin_token: {TOKEN} }}\nproviders:\n  llama: {{ dialect: openai-chat, base_url: \"http://127.0.0.1:1/v1\" }}\n"
    );
    Setup::config(config).start()
}

#[test]
fn the_page_is_served_to_everybody_under_a_strict_policy() {
    let gateway = guarded();
    let got = gateway.get("/");
    assert_eq!(got.status, 200);
    assert_eq!(got.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = got.header("content-security-policy").expect("a policy");
    for part in
        ["default-src 'none'", "frame-ancestors 'none'", "form-action 'none'", "script-src 'sha256-", "base-uri 'none'"]
    {
        assert!(policy.contains(part), "{policy}");
    }
    assert!(!policy.contains("unsafe") && !policy.contains('*'), "{policy}");
    let headers = [
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-opener-policy", "same-origin"),
        ("x-frame-options", "DENY"),
    ];
    for (name, value) in headers {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
    // The length of a body that does not follow.
    let mut head = gateway.connect();
    head.send(&request("HEAD", "/", &gateway.host(), &[], b""));
    assert_eq!(head.read_head().expect("a head").status(), 200);
    assert_eq!(refused(&gateway.call("POST", "/", &[], b""), 405)["code"], "method_not_allowed");
    for secret in [TOKEN, "llama"] {
        assert!(!got.text().contains(secret), "the page itself says {secret}");
    }
}

#[test]
fn the_documents_need_the_token_or_a_request_of_this_machine() {
    let with_token = guarded();
    let bearer = format!("Bearer {TOKEN}");
    let without = Setup::default().start();
    for path in ["/api/status", "/api/plugins", "/api/targets", "/api/calls?after=0", "/api/calls"] {
        refused(&with_token.get(path), 401);
        refused(&with_token.call("GET", path, &[("authorization", "Bearer wrong")], b""), 401);
        let got = with_token.call("GET", path, &[("authorization", &bearer), ("host", "gateway.corp")], b"");
        assert_eq!(got.status, 200, "{path}: {}", got.text());
        assert_eq!(got.header("cache-control"), Some("no-store"));
        assert_eq!(without.get(path).status, 200, "{path}");
        refused(&without.call("GET", path, &[("host", "evil.example")], b""), 403);
        refused(&without.call("GET", path, &[("origin", "https://evil.example")], b""), 403);
    }
}

#[test]
fn the_status_names_what_is_served_and_no_secret() {
    let mock = Mock::start();
    mock.script("llama", Script::json(200, reply("hi")));
    let row = row(&mock, "llama", "models: [one, two]");
    let gateway = setup(&[row], "aliases: { fast: llama/one }\nplugins: { required: [audit] }\n").start();
    let status = gateway.get("/api/status").json();
    assert_eq!(status["status"], "not ready", "{status}");
    assert!(status["reason"].as_str().is_some_and(|reason| reason.contains("audit")), "{status}");
    assert_eq!(status["listen"], json!([gateway.address.to_string()]));
    assert_eq!(status["demo"], false);
    assert_eq!(status["config"]["state"], "active");
    assert_eq!(status["aliases"], json!([{ "name": "fast", "target": "llama/one" }]));
    let provider = &status["providers"][0];
    assert_eq!(provider["name"], "llama");
    assert_eq!(provider["models"], json!(["one", "two"]));
    assert_eq!(provider["keys"].as_array().map(Vec::len), Some(1), "{provider}");
    assert!(!status.to_string().contains(PROVIDER_KEY), "{status}");
}

#[test]
fn the_document_on_them_names_every_field() {
    let text = std::fs::read_to_string(root().join("docs/admin.md")).unwrap();
    let config = "providers:\n  llama: { dialect: openai-chat, base_url: \"http://127.0.0.1:1/v1\" }\naliases: { fast: llama/x }\n";
    let gateway = Setup::config(config).start();
    let status = gateway.get("/api/status").json();
    let mut seen = 0;
    for object in [&status, &status["config"], &status["providers"][0], &status["aliases"][0]] {
        for field in object.as_object().unwrap_or_else(|| panic!("no object: {status}")).keys() {
            assert!(text.contains(&format!("`{field}`")), "docs/admin.md does not say what `{field}` is");
            seen += 1;
        }
    }
    assert!(seen > 25, "only {seen} fields");
    let targets = gateway.get("/api/targets").json();
    for object in [&targets, &targets["targets"][0], &targets["providers"][0]] {
        for field in object.as_object().unwrap_or_else(|| panic!("no object: {targets}")).keys() {
            assert!(
                text.contains(&format!("`{field}`")) || text.contains(&format!("\"{field}\"")),
                "no `{field}` in docs/admin.md"
            );
        }
    }
    for field in gateway.get("/api/calls").json().as_object().unwrap().keys() {
        assert!(text.contains(&format!("\"{field}\"")), "docs/admin.md does not show `{field}`");
    }
}

/// The answer to `/api/calls` once it has `count` calls.
fn calls(gateway: &Gateway, after: u64, count: usize) -> Value {
    wait_for("the calls", || {
        let answer = gateway.get(&format!("/api/calls?after={after}")).json();
        (answer["calls"].as_array()?.len() == count).then_some(answer)
    })
}

#[test]
fn calls_are_told_once_each_and_without_their_texts() {
    let gateway = Setup::default().start();
    for number in 0..3 {
        gateway.post(CHAT, body(&format!("model-{number}"), number == 2));
    }
    let all = calls(&gateway, 0, 3);
    assert_eq!(all["newest"], 3);
    let models: Vec<&str> = all["calls"].as_array().unwrap().iter().filter_map(|call| call["model"].as_str()).collect();
    assert_eq!(models, ["model-0", "model-1", "model-2"]);
    assert!(!all.to_string().contains("hello"), "{all}");
    assert!(all["calls"][2]["stream"] == true && all["calls"][0]["us"].is_u64(), "{all}");
    assert_eq!(calls(&gateway, 2, 1)["calls"][0]["model"], "model-2");
    assert_eq!(calls(&gateway, 3, 0)["newest"], 3);
    // A reader that knew an earlier process, and one that says nothing sensible.
    calls(&gateway, 900, 3);
    for query in ["", "?", "?after=", "?after=-1", "?after=x", "?before=2", "?after=99999999999999999999999"] {
        let got = gateway.get(&format!("/api/calls{query}"));
        assert_eq!(got.json()["calls"].as_array().map(Vec::len), Some(3), "{query}: {}", got.text());
    }
    for _ in 0..210 {
        gateway.post(CHAT, "{");
    }
    let kept = calls(&gateway, 0, 200);
    assert_eq!(kept["newest"], 213);
}
