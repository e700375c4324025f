//! Providers as rows: where each is called, with which credential, and what the configuration can add without code.

use serde_json::{Value, json};
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::mock::{Mock, Script};

use crate::support::{CHAT, body, reply};

const KEY: &str = "sk-provider-7f3a9c5e1b2d4f60";

/// A gateway whose providers are these lines; `BASE` stands for the mock's address with the script's name.
fn start(mock: &Mock, lines: &str) -> Gateway {
    let base = |name: &str| format!("http://{}/{name}", mock.address());
    let text = lines.lines().map(|line| {
        let name = line.trim_start().split(':').next().unwrap_or_default();
        line.replace("BASE", &base(name))
    });
    let text: Vec<String> = text.collect();
    Setup::config(format!("providers:\n{}\n", text.join("\n"))).env("KEY", KEY).start()
}

fn anthropic_reply() -> String {
    json!({
        "id": "msg_1", "type": "message", "role": "assistant", "model": "claude-x", "content": [{"type": "text", "text": "hi"}],
        "stop_reason": "end_turn", "stop_sequence": null, "usage": {"input_tokens": 3, "output_tokens": 1},
    })
    .to_string()
}

fn gemini_reply() -> String {
    json!({
        "candidates": [{"content": {"role": "model", "parts": [{"text": "hi"}]}, "finishReason": "STOP", "index": 0}],
        "usageMetadata": {"promptTokenCount": 3, "candidatesTokenCount": 1, "totalTokenCount": 4}, "modelVersion": "gemini-x",
    })
    .to_string()
}

const MESSAGES: &str = r#"{"model":"MODEL","max_tokens":5,"messages":[{"role":"user","content":"hello"}]}"#;
const CONTENTS: &str = r#"{"contents":[{"role":"user","parts":[{"text":"hello"}]}]}"#;

#[test]
fn each_row_is_called_at_its_address_with_its_kind_of_key() {
    let mock = Mock::start();
    for name in ["groq", "deepseek", "azure"] {
        mock.script(name, Script::json(200, reply("hi")));
    }
    mock.script("anthropic", Script::json(200, anthropic_reply()));
    mock.script("gemini", Script::json(200, gemini_reply()));
    let gateway = start(
        &mock,
        "  groq: { base_url: 'BASE/openai/v1', keys: ['env:KEY'] }\n  \
         deepseek: { base_url: BASE, keys: ['env:KEY'] }\n  \
         anthropic: { base_url: BASE, keys: ['env:KEY'] }\n  \
         gemini: { base_url: BASE, keys: ['env:KEY'] }\n  \
         azure: { base_url: BASE, keys: ['env:KEY'], azure: { api_version: '2024-10-21', deployments: { gpt: my-gpt } } }",
    );
    for (model, target, header, value) in [
        ("groq/m", "/groq/openai/v1/chat/completions", "authorization", format!("Bearer {KEY}")),
        ("deepseek/m", "/deepseek/chat/completions", "authorization", format!("Bearer {KEY}")),
        ("anthropic/m", "/anthropic/v1/messages", "x-api-key", KEY.to_owned()),
        ("gemini/m", "/gemini/v1beta/models/m:generateContent", "x-goog-api-key", KEY.to_owned()),
        (
            "azure/gpt",
            "/azure/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21",
            "api-key",
            KEY.to_owned(),
        ),
    ] {
        let got = gateway.call(
            "POST",
            CHAT,
            &[
                ("content-type", "application/json"),
                ("authorization", "Bearer of-the-client"),
                ("x-api-key", "of-the-client"),
            ],
            body(model, false).as_bytes(),
        );
        assert_eq!(got.status, 200, "{model}: {}", got.text());
        let script = model.split('/').next().unwrap();
        let asked = mock.last(script);
        assert_eq!(asked.target, target);
        assert_eq!(asked.head.get(header), Some(value.as_str()), "{model}");
        let sent = format!("{:?}", asked.head);
        assert!(!sent.contains("of-the-client"), "a client's credential went on: {sent}");
        assert_eq!(got.json()["choices"][0]["message"]["content"], "hi", "{model}");
    }
    assert_eq!(mock.last("anthropic").head.get("anthropic-version"), Some("2023-06-01"));
    let said: Value = serde_json::from_slice(&mock.last("azure").body).unwrap();
    assert_eq!(said["model"], "my-gpt");
}

#[test]
fn a_provider_of_ones_own_needs_no_code() {
    let mock = Mock::start();
    mock.script("mine", Script::json(200, anthropic_reply()));
    mock.script("twin", Script::json(200, reply("hi")));
    let gateway = start(
        &mock,
        "  mine: { dialect: anthropic, base_url: 'BASE/v1', keys: ['env:KEY'] }\n  \
         twin: { like: mistral, base_url: 'BASE/v1', keys: ['env:KEY'] }",
    );
    let got = gateway.post("/v1/messages?beta=true", MESSAGES.replace("MODEL", "mine/claude-x"));
    assert_eq!(got.status, 200, "{}", got.text());
    assert_eq!(got.json()["content"][0]["text"], "hi");
    assert_eq!(mock.last("mine").target, "/mine/v1/messages?beta=true");
    // Mistral's spelling of a forced call, from Anthropic's.
    let forced = r#"{"model":"twin/m","max_tokens":5,"messages":[{"role":"user","content":"x"}],"tool_choice":{"type":"any"},
        "tools":[{"name":"f","input_schema":{"type":"object"}}]}"#;
    assert_eq!(gateway.post("/v1/messages", forced).status, 200);
    let said: Value = serde_json::from_slice(&mock.last("twin").body).unwrap();
    assert_eq!(said["tool_choice"], "any");
}

#[test]
fn under_a_prefix_other_providers_models_are_called_by_name() {
    let mock = Mock::start();
    mock.script("openai", Script::json(200, reply("hi")));
    mock.script("anthropic", Script::json(200, anthropic_reply()));
    let gateway = start(
        &mock,
        "  openai: { base_url: 'BASE/v1', keys: ['env:KEY'] }\n  anthropic: { base_url: BASE, keys: ['env:KEY'] }",
    );
    let typed = [("content-type", "application/json")];
    for (path, sent, script) in [
        ("/anthropic/v1/messages", MESSAGES.replace("MODEL", "openai/gpt-x"), "openai"),
        ("/anthropic/v1/messages", MESSAGES.replace("MODEL", "claude-x"), "anthropic"),
        ("/genai/v1beta/models/anthropic/claude-x:generateContent", CONTENTS.to_owned(), "anthropic"),
        ("/genai/v1beta/openai/gpt-x:generateContent", CONTENTS.to_owned(), "openai"),
        ("/openai/v1/chat/completions", body("anthropic/claude-x", false), "anthropic"),
        ("/openai/v1/chat/completions", body("meta-llama/x", false), "openai"),
        ("/litellm/v1/messages", MESSAGES.replace("MODEL", "anthropic/claude-x"), "anthropic"),
        ("/langchain/anthropic/v1/messages", MESSAGES.replace("MODEL", "claude-x"), "anthropic"),
        ("/pydanticai/chat/completions", body("openai/gpt-x", false), "openai"),
    ] {
        let before = mock.journal().count(script);
        let got = gateway.call("POST", path, &typed, sent.as_bytes());
        assert_eq!(got.status, 200, "{path}: {}", got.text());
        assert_eq!(mock.journal().count(script), before + 1, "{path}");
    }
    // An address of Azure's older form, whose path says the model.
    let got = gateway.post("/openai/deployments/gpt-y/chat/completions?api-version=2024-10-21", r#"{"messages":[]}"#);
    assert_eq!(got.status, 200, "{}", got.text());
    let said: Value = serde_json::from_slice(&mock.last("openai").body).unwrap();
    assert_eq!((&said["model"], mock.last("openai").target.as_str()), (&json!("gpt-y"), "/openai/v1/chat/completions"));
}

#[test]
fn refusals_are_in_the_form_of_the_clients_dialect() {
    let mock = Mock::start();
    let gateway = start(&mock, "  groq: { base_url: 'BASE/v1', keys: ['env:KEY'] }");
    let anthropic = gateway.post("/anthropic/v1/messages", MESSAGES.replace("MODEL", "claude-x"));
    assert_eq!((anthropic.status, anthropic.json()["type"].as_str()), (404, Some("error")), "{}", anthropic.text());
    assert!(anthropic.text().contains("ANTHROPIC_API_KEY"), "{}", anthropic.text());
    let gemini = gateway.post("/genai/v1beta/models/gemini-x:generateContent", CONTENTS);
    assert_eq!((gemini.status, gemini.json()["error"]["code"].as_i64()), (404, Some(404)), "{}", gemini.text());
    let stray = gateway.get("/v1beta/nothing");
    assert_eq!((stray.status, stray.json()["error"]["status"].as_str()), (404, Some("NOT_FOUND")), "{}", stray.text());
    assert_eq!(gateway.get("/anthropic/api/hello").status, 404);
}

#[test]
fn virtual_keys_are_taken_where_each_client_puts_them() {
    let mock = Mock::start();
    mock.script("gemini", Script::json(200, gemini_reply()));
    let config = format!(
        "server: {{ clients: keys }}\nkeys: [{{ name: app, value: 'env:CLIENT' }}]\n\
         providers: {{ gemini: {{ base_url: 'http://{}/gemini', keys: ['env:KEY'] }} }}\n",
        mock.address()
    );
    let gateway = Setup::config(config).env("KEY", KEY).env("CLIENT", "sk-client-app").start();
    let path = "/genai/v1beta/models/m:generateContent";
    let typed = ("content-type", "application/json");
    for header in ["x-goog-api-key", "x-api-key", "api-key", "x-sluice-key", "x-bf-vk"] {
        let got = gateway.call("POST", path, &[typed, (header, "sk-client-app")], CONTENTS.as_bytes());
        assert_eq!(got.status, 200, "{header}: {}", got.text());
        assert!(!format!("{:?}", mock.last("gemini").head).contains("sk-client-app"), "{header}");
    }
    let got = gateway.call("POST", &format!("{path}?key=sk-client-app"), &[typed], CONTENTS.as_bytes());
    assert_eq!(got.status, 200, "{}", got.text());
    assert!(!mock.last("gemini").target.contains("key="), "{}", mock.last("gemini").target);
    let refused = gateway.call("POST", &format!("{path}?key=wrong"), &[typed], CONTENTS.as_bytes());
    assert_eq!((refused.status, refused.json()["error"]["status"].as_str()), (401, Some("UNAUTHENTICATED")));
    gateway.wait_access("\"status\":401");
    let said = [gateway.process.out.text(), gateway.process.err.text()].concat();
    assert!(!said.contains("sk-client-app"), "a key is in the log");
}

#[test]
fn entra_and_the_metadata_server_give_tokens_that_are_kept() {
    let mock = Mock::start();
    let token = |text: &str| Script::json(200, json!({"access_token": text, "expires_in": 3600}).to_string());
    mock.script("tenant", token("entra-token"));
    mock.script("computeMetadata", token("google-token"));
    mock.script("azure", Script::json(200, reply("hi")));
    mock.script("vertex", Script::json(200, gemini_reply()));
    let address = mock.address();
    let config = format!(
        "providers:\n  \
         azure:\n    base_url: http://{address}/azure\n    azure: {{ authority: 'http://{address}', tenant_id: tenant, client_id: app, \
         client_secret: 'env:KEY' }}\n  \
         vertex:\n    base_url: http://{address}/vertex\n    vertex: {{ project: p, location: europe-west4, metadata_host: '{address}' }}\n"
    );
    let gateway = Setup::config(config).env("KEY", KEY).start();
    for _ in 0..2 {
        for model in ["azure/gpt", "vertex/gemini-2.5-flash"] {
            let got = gateway.post(CHAT, body(model, false));
            assert_eq!(got.status, 200, "{model}: {}", got.text());
        }
    }
    assert_eq!(mock.last("azure").head.get("authorization"), Some("Bearer entra-token"));
    assert_eq!(mock.last("azure").target, "/azure/openai/v1/chat/completions");
    let vertex = mock.last("vertex");
    assert_eq!(vertex.head.get("authorization"), Some("Bearer google-token"));
    let at = "/vertex/v1/projects/p/locations/europe-west4/publishers/google/models/gemini-2.5-flash:generateContent";
    assert_eq!(vertex.target, at);
    assert_eq!(
        [mock.journal().count("tenant"), mock.journal().count("computeMetadata")],
        [1, 1],
        "asked once and kept"
    );
    let asked = String::from_utf8_lossy(&mock.last("tenant").body).into_owned();
    assert!(asked.contains("grant_type=client%5Fcredentials") && asked.contains("client_id=app"), "{asked}");
    // Anthropic's models there: the model in the address, the version in the body.
    mock.script("vertex", Script::json(200, anthropic_reply()));
    let got = gateway.post("/v1/messages", MESSAGES.replace("MODEL", "vertex/claude-x@1"));
    assert_eq!(got.status, 200, "{}", got.text());
    let vertex = mock.last("vertex");
    assert!(vertex.target.ends_with("/publishers/anthropic/models/claude-x@1:rawPredict"), "{}", vertex.target);
    let said: Value = serde_json::from_slice(&vertex.body).unwrap();
    assert_eq!((said.get("model"), &said["anthropic_version"]), (None, &json!("vertex-2023-10-16")));
}

#[test]
fn the_catalog_leads_bare_names_and_tells_what_models_refuse() {
    let mock = Mock::start();
    mock.script("openai", Script::json(200, reply("hi")));
    mock.script("anthropic", Script::json(200, anthropic_reply()));
    let gateway = start(
        &mock,
        "  openai: { base_url: 'BASE/v1', keys: ['env:KEY'] }\n  anthropic: { base_url: BASE, keys: ['env:KEY'] }",
    );
    for (model, script) in [("gpt-4o", "openai"), ("claude-opus-4-7", "anthropic")] {
        let got = gateway.post(CHAT, body(model, false));
        assert_eq!(got.status, 200, "{model}: {}", got.text());
        assert_eq!(mock.journal().count(script), 1, "{model}");
    }
    assert_eq!(gateway.post(CHAT, body("no-such-model", false)).status, 404);
    // Gemini's clients always send what this model refuses.
    let asked = r#"{"contents":[{"parts":[{"text":"x"}]}],"generationConfig":{"temperature":1,"topP":0.95,"topK":64}}"#;
    let got = gateway.post("/genai/v1beta/models/anthropic/claude-opus-4-7:generateContent", asked);
    assert_eq!(got.status, 200, "{}", got.text());
    let said: Value = serde_json::from_slice(&mock.last("anthropic").body).unwrap();
    assert_eq!([said.get("temperature"), said.get("top_p"), said.get("top_k")], [None; 3], "{said}");
    assert!(got.header("x-sluice-lost").is_some_and(|lost| lost.contains("temperature")), "{:?}", got.head);
    // Below a prefix without its provider, what another one is known to serve.
    let gateway = start(
        &mock,
        "  openai: { base_url: 'BASE/v1', keys: ['env:KEY'] }\n  groq: { base_url: 'BASE/v1', keys: ['env:KEY'] }",
    );
    let got = gateway.post("/anthropic/v1/messages", MESSAGES.replace("MODEL", "gpt-4o"));
    assert_eq!(got.status, 200, "{}", got.text());
}

#[test]
fn what_a_target_cannot_be_told_follows_the_policy_of_its_provider() {
    let mock = Mock::start();
    mock.script("anthropic", Script::json(200, anthropic_reply()));
    let asked = r#"{"model":"anthropic/m","seed":7,"messages":[{"role":"user","content":"x"}]}"#;
    for (policy, status, told) in [("warn", 200, true), ("drop", 200, false), ("reject", 400, false)] {
        let row = format!("  anthropic: {{ base_url: BASE, keys: ['env:KEY'], params: {policy} }}");
        let gateway = start(&mock, &row);
        mock.journal().clear();
        let got = gateway.post(CHAT, asked);
        assert_eq!(got.status, status, "{policy}: {}", got.text());
        assert_eq!(got.header("x-sluice-lost").is_some_and(|lost| lost.contains("seed")), told, "{policy}");
        assert_eq!(mock.journal().count("anthropic"), usize::from(status == 200), "{policy}");
        if status == 400 {
            assert!(
                got.json()["error"]["message"].as_str().is_some_and(|said| said.contains("seed")),
                "{}",
                got.text()
            );
        } else {
            let line: Value = serde_json::from_str(&gateway.wait_access(got.header("x-request-id").unwrap())).unwrap();
            assert_eq!(line["lost"], json!(["seed"]), "{policy}: {line}");
        }
    }
}
