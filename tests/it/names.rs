//! How a model's name finds its provider, and what a name that finds none is told.

use serde_json::{Value, json};
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::mock::{Mock, Script};

use crate::support::{CHAT, blamed, body, refused, reply, row, setup};

fn start(rows: &[(&str, &str)], more: &str) -> (Mock, Gateway) {
    let mock = Mock::start();
    let rows: Vec<String> = rows
        .iter()
        .map(|(name, extra)| {
            mock.script(name, Script::json(200, reply(name)));
            row(&mock, name, extra)
        })
        .collect();
    let gateway = setup(&rows, more).start();
    (mock, gateway)
}

/// The model that the provider `script` received last.
fn received(mock: &Mock, script: &str) -> Value {
    serde_json::from_slice::<Value>(&mock.last(script).body).unwrap()["model"].clone()
}

#[test]
fn with_one_provider_bare_and_strange_names_go_there() {
    let (mock, gateway) = start(&[("llama", "")], "");
    for (asked, sent) in [
        ("llama/x", "x"),
        ("new-model", "new-model"),
        ("meta-llama/x", "meta-llama/x"),
        ("llama/meta-llama/x:free", "meta-llama/x:free"),
        ("llama/Ünïcode \"q\"", "Ünïcode \"q\""),
    ] {
        let got = gateway.post(CHAT, body(asked, false));
        assert_eq!(got.status, 200, "{asked}: {}", got.text());
        assert_eq!(received(&mock, "llama"), sent, "{asked}");
        assert_eq!(got.json()["model"], "m-2026", "the name in a reply is the provider's own");
    }
}

#[test]
fn with_several_a_bare_name_needs_a_listing() {
    let (mock, gateway) = start(
        &[("a", "models: [gpt-one, shared]"), ("b", "models: [gpt-two, shared]")],
        "aliases: { fast: b/gpt-two }",
    );
    for (asked, script, sent) in
        [("gpt-one", "a", "gpt-one"), ("gpt-two", "b", "gpt-two"), ("b/other", "b", "other"), ("fast", "b", "gpt-two")]
    {
        let got = gateway.post(CHAT, body(asked, false));
        assert_eq!(got.status, 200, "{asked}: {}", got.text());
        assert_eq!(received(&mock, script), sent, "{asked}");
    }
    let error = blamed(&gateway.post(CHAT, body("gpt-tow", false)), 404, "client");
    assert!(error["message"].as_str().unwrap().contains("gpt-two"), "no near name: {error}");
    assert_eq!(error["code"], "model_not_found");
    let error = blamed(&gateway.post(CHAT, body("unheard-of", false)), 404, "client");
    assert!(error["message"].as_str().is_some_and(|text| text.contains("unheard-of")), "{error}");
}

#[test]
fn under_a_prefix_every_name_and_none_pass() {
    let (mock, gateway) = start(&[("openai", ""), ("other", "")], "");
    for path in ["/openai/chat/completions", "/openai/v1/chat/completions"] {
        for name in ["gpt-99", "meta-llama/x", "unheard-of"] {
            assert_eq!(gateway.post(path, body(name, false)).status, 200);
            assert_eq!(received(&mock, "openai"), name);
        }
        assert_eq!(gateway.post(path, "{\"messages\":[]}").status, 200);
        assert_eq!(mock.last("openai").body, b"{\"messages\":[]}");
    }
    refused(&gateway.post(CHAT, "{\"messages\":[]}"), 400);
}

#[test]
fn a_prefix_without_its_provider_names_the_key_and_the_line() {
    let (_mock, gateway) = start(&[("llama", "")], "");
    for (path, model) in [("/openai/chat/completions", "gpt-4o-mini"), (CHAT, "openai/gpt-4o-mini")] {
        let got = gateway.post(path, body(model, false));
        // A lone provider takes unknown first parts as part of the name; `openai` is known to be one.
        let error = blamed(&got, 404, "client");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("OPENAI_API_KEY") && message.contains("providers"), "{message}");
    }
}

#[test]
fn base_addresses_with_and_without_a_version() {
    let mock = Mock::start();
    mock.script("plain", Script::json(200, reply("x")));
    let bases =
        [("a", "/plain"), ("b", "/plain/"), ("c", "/plain/v1"), ("d", "/plain/v1/"), ("e", "/plain/openai/v1beta")];
    let rows: Vec<String> = bases
        .iter()
        .map(|(name, path)| {
            format!("  {name}: {{ dialect: openai-chat, base_url: \"http://{}{path}\" }}\n", mock.address())
        })
        .collect();
    let gateway = setup(&rows, "").start();
    for (name, path) in bases {
        assert_eq!(gateway.post(CHAT, body(&format!("{name}/m"), false)).status, 200);
        let exchange = mock.last("plain");
        assert_eq!(exchange.target, format!("{}/chat/completions", path.trim_end_matches('/')));
        assert_eq!(exchange.head.get("authorization"), None, "no key was configured");
    }
}

#[test]
fn a_name_cannot_write_headers_or_paths() {
    let (mock, gateway) = start(&[("p", "")], "");
    for name in ["p/x\\r\\nx-evil: 1", "p/..", "p/.", "p/\\u0000", "..", "p/a?b#c"] {
        let got = gateway.post(CHAT, format!("{{\"model\":\"{name}\"}}"));
        assert!(got.status == 200 || got.status == 400 || got.status == 404, "{name}: {}", got.text());
        if got.status == 200 {
            assert!(mock.last("p").head.get("x-evil").is_none());
            assert_eq!(mock.last("p").target, "/p/v1/chat/completions");
        }
        assert!(got.head.get("x-evil").is_none());
    }
}

#[test]
fn model_lists() {
    let (_mock, gateway) = start(
        &[("a", "models: [gpt-one]"), ("openai", "models: [gpt-two, org/three]")],
        "aliases: { fast: a/gpt-one }",
    );
    let ids = |path: &str| -> Vec<String> {
        let got = gateway.get(path);
        assert_eq!(got.status, 200, "{path}: {}", got.text());
        let list = got.json();
        assert_eq!(list["object"], "list");
        list["data"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let all = ids("/v1/models");
    for name in ["fast", "gpt-one", "gpt-two"] {
        assert!(all.iter().any(|id| id == name || id.ends_with(&format!("/{name}"))), "{name} is not in {all:?}");
    }
    assert!(!ids("/openai/models").is_empty() && !ids("/openai/v1/models").is_empty());
    let one = gateway.get(&format!("/v1/models/{}", all[0].replace('/', "%2F")));
    assert_eq!((one.status, one.json()["id"].as_str()), (200, Some(all[0].as_str())));
    for (callable, owner) in
        [("gpt-one", "a"), ("org/three", "openai"), ("a/gpt-one", "a"), ("openai/org/three", "openai"), ("fast", "a")]
    {
        let one = gateway.get(&format!("/v1/models/{callable}"));
        assert_eq!(one.status, 200, "{callable} can be called");
        assert_eq!(one.json()["owned_by"], owner, "{callable}");
    }
    assert_eq!(gateway.get("/openai/models/org/three").json()["owned_by"], "openai");
    blamed(&gateway.get("/v1/models/unheard-of"), 404, "client");
}

#[test]
fn probes_and_metrics() {
    let (_mock, gateway) = start(&[("p", "")], "");
    for path in ["/livez", "/readyz", "/health"] {
        assert_eq!(gateway.get(path).status, 200, "{path}");
    }
    gateway.post(CHAT, body("p/m", false));
    sluice_tests::wait_for("the call in the metrics", || {
        let text = gateway.get("/metrics").text();
        let counted = |line: &str| line.starts_with("sluice_requests_total{") && !line.ends_with(" 0");
        text.lines().any(counted).then_some(())
    });
}

#[test]
fn a_bad_config_names_every_mistake_with_its_place() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("sluice.yaml");
    std::fs::write(&file, "providers:\n  p:\n    base_ur: http://x\n    dialect: openai-chat\nserver:\n  thread: 2\n")
        .unwrap();
    for verb in ["check", "serve"] {
        let output =
            sluice_tests::gateway::command(home.path(), &[]).arg(verb).arg("--config").arg(&file).output().unwrap();
        assert!(!output.status.success(), "{verb}");
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        for part in [":3:5", "base_url", ":6:3", "threads"] {
            assert!(text.contains(part), "{verb}: no {part} in {text}");
        }
    }
    let good =
        Setup::config("providers:\n  p: { dialect: openai-chat, base_url: \"http://127.0.0.1:1/v1\" }\n").start();
    let file = good.folder().join("sluice.yaml");
    let output =
        sluice_tests::gateway::command(home.path(), &[]).arg("check").arg("--config").arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_drop_in_path_reaches_every_configured_provider_by_its_name() {
    let mock = Mock::start();
    mock.script("p", Script::json(200, reply("fine")));
    let rows = [row(&mock, "p", "")];
    let gateway = setup(&rows, "aliases: { fast: p/m2 }\n").start();
    let ask = |path: &str, model: &str| {
        let body = json!({"model": model, "max_tokens": 9, "messages": [{"role": "user", "content": "hi"}]});
        gateway.post(path, body.to_string())
    };
    for path in ["/openai/v1/chat/completions", "/anthropic/v1/messages"] {
        assert_eq!(ask(path, "p/m1").status, 200, "{path}");
        assert!(String::from_utf8_lossy(&mock.last("p").body).contains("\"m1\""), "{path}");
        assert_eq!(ask(path, "fast").status, 200, "{path}");
        assert!(String::from_utf8_lossy(&mock.last("p").body).contains("\"m2\""), "{path}");
        assert_eq!(ask(path, "other").status, 404, "{path}");
        assert_eq!(ask(path, "meta-llama/x").status, 404, "{path}");
    }
}
