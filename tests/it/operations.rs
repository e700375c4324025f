//! Operations beside chat: lists in each dialect's form, counts of tokens, embeddings, and what passes raw; and that policies hold there.

use serde_json::{Value, json};
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::http::End;
use sluice_tests::mock::{Mock, Script, chunk};

use crate::plugins_support::{PATIENT, active, with};
use crate::support::reply;

const KEY: &str = "sk-provider-7f3a9c5e1b2d4f60";
const JSON: (&str, &str) = ("content-type", "application/json");

/// OpenAI, Anthropic and Gemini, each the mock's script of its name.
fn setup(mock: &Mock) -> Setup {
    let at = mock.address();
    let config = format!(
        "providers:\n  openai: {{ base_url: 'http://{at}/openai/v1', keys: ['env:KEY'] }}\n  \
         anthropic: {{ base_url: 'http://{at}/anthropic', keys: ['env:KEY'] }}\n  \
         gemini: {{ base_url: 'http://{at}/gemini', keys: ['env:KEY'] }}\n"
    );
    Setup::config(config).env("KEY", KEY)
}

fn start(mock: &Mock) -> Gateway {
    setup(mock).start()
}

fn said(mock: &Mock, script: &str) -> Value {
    serde_json::from_slice(&mock.last(script).body).unwrap_or_default()
}

#[test]
fn lists_of_models_have_the_form_of_the_clients_dialect() {
    let mock = Mock::start();
    mock.script("openai", Script::json(200, json!({"data": [{"id": "gpt-x", "object": "model"}]}).to_string()));
    let created = "2026-01-02T03:04:05Z";
    let claude = json!({"type": "model", "id": "claude-x", "display_name": "Claude X", "created_at": created});
    mock.script("anthropic", Script::json(200, json!({"data": [claude], "has_more": false}).to_string()));
    let flash =
        json!({"name": "models/gemini-x", "displayName": "Gemini X", "inputTokenLimit": 9, "outputTokenLimit": 8});
    mock.script("gemini", Script::json(200, json!({"models": [flash]}).to_string()));
    let gateway = start(&mock);
    let all = gateway.get("/v1/models").json();
    let ids: Vec<&str> = all["data"].as_array().unwrap().iter().map(|model| model["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["openai/gpt-x", "anthropic/claude-x", "gemini/gemini-x"]);
    let anthropic = gateway.get("/anthropic/v1/models?limit=1000").json();
    assert_eq!(anthropic["data"], json!([claude]));
    assert_eq!(
        (&anthropic["has_more"], &anthropic["first_id"], &anthropic["last_id"]),
        (&json!(false), &json!("claude-x"), &json!("claude-x"))
    );
    let version = [("anthropic-version", "2023-06-01")];
    let named = gateway.call("GET", "/v1/models?limit=2", &version, b"").json();
    assert_eq!((&named["has_more"], &named["last_id"]), (&json!(true), &json!("anthropic/claude-x")));
    let gemini = gateway.get("/genai/v1beta/models").json();
    assert_eq!(
        (&gemini["models"][0]["name"], &gemini["models"][0]["inputTokenLimit"]),
        (&json!("models/gemini-x"), &json!(9))
    );
    let one = gateway.get("/genai/v1beta/models/gemini-x").json();
    assert_eq!((&one["name"], &one["displayName"]), (&json!("models/gemini-x"), &json!("Gemini X")));
    let asked = mock.last("gemini");
    assert!(
        asked.target.starts_with("/gemini/v1beta/models") && asked.head.get("x-goog-api-key") == Some(KEY),
        "{}",
        asked.target
    );
}

#[test]
fn tokens_are_counted_for_models_of_every_provider() {
    let mock = Mock::start();
    mock.script("anthropic", Script::json(200, r#"{"input_tokens":77}"#));
    mock.script("gemini", Script::json(200, r#"{"totalTokens":78}"#));
    let gateway = start(&mock);
    let messages = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "foo"}]}).to_string();
    let count = "/anthropic/v1/messages/count_tokens?beta=true";
    assert_eq!(gateway.post(count, messages("claude-x")).json(), json!({"input_tokens": 77}));
    let asked = mock.last("anthropic");
    assert_eq!(asked.target, "/anthropic/v1/messages/count_tokens?beta=true");
    let estimated = gateway.post(count, messages("openai/gpt-x"));
    assert_eq!(estimated.header("x-sluice-estimated"), Some("tokens"));
    assert!((1..40).contains(&estimated.json()["input_tokens"].as_u64().unwrap()), "{}", estimated.text());
    assert_eq!(mock.journal().count("openai"), 0, "an estimate asks nobody");
    let contents = r#"{"contents":[{"parts":[{"text":"foo"}]}]}"#;
    assert_eq!(gateway.post("/genai/v1beta/models/gemini-x:countTokens", contents).json(), json!({"totalTokens": 78}));
    assert_eq!(mock.last("gemini").target, "/gemini/v1beta/models/gemini-x:countTokens");
    let bridged = gateway.post("/genai/v1beta/models/anthropic/claude-x:countTokens", contents).json();
    assert!(bridged["totalTokens"].as_u64() >= Some(1), "{bridged}");
    let input = gateway.post("/v1/responses/input_tokens", r#"{"model":"anthropic/claude-x","input":"foo"}"#).json();
    assert_eq!(input["object"], "response.input_tokens");
    // A provider without the operation is no reason to fail.
    mock.script("anthropic", Script::json(404, "{}"));
    assert_eq!(gateway.post(count, messages("claude-x")).status, 200);
}

#[test]
fn embeddings_pass_between_formats() {
    let mock = Mock::start();
    let list = json!({
        "object": "list", "model": "e", "usage": {"prompt_tokens": 2, "total_tokens": 2},
        "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}],
    });
    mock.script("openai", Script::json(200, list.to_string()));
    mock.script("gemini", Script::json(200, r#"{"embeddings":[{"values":[0.25,1.0]}]}"#));
    let gateway = start(&mock);
    let ask = |model: &str| gateway.post("/v1/embeddings", json!({"model": model, "input": "words"}).to_string());
    let native = ask("openai/e");
    assert_eq!((native.status, native.json()), (200, list));
    assert_eq!(
        (said(&mock, "openai")["model"].as_str(), mock.last("openai").target.as_str()),
        (Some("e"), "/openai/v1/embeddings")
    );
    let bridged = ask("gemini/gemini-embedding-001");
    assert_eq!(bridged.status, 200, "{}", bridged.text());
    assert_eq!(bridged.json()["data"][0]["embedding"], json!([0.25, 1.0]));
    assert_eq!(mock.last("gemini").target, "/gemini/v1beta/models/gemini-embedding-001:batchEmbedContents");
    let none = ask("anthropic/claude-x");
    assert_eq!((none.status, none.json()["error"]["code"].as_str()), (400, Some("unsupported_operation")));
    // Gemini's own form, to a provider of the other.
    let content = r#"{"content":{"parts":[{"text":"words"}]}}"#;
    let back = gateway.post("/genai/v1beta/models/openai/e:embedContent", content);
    assert_eq!(back.json()["embedding"]["values"], json!([0.5, -1.0]), "{}", back.text());
    assert_eq!(
        gateway.post("/genai/v1beta/models/gemini-embedding-001:batchEmbedContents", "{\"requests\":[]}").status,
        200
    );
}

#[test]
fn what_is_not_served_passes_with_the_providers_credentials() {
    let mock = Mock::start();
    mock.script("openai", Script::json(200, r#"{"id":"file-1"}"#));
    mock.script("anthropic", Script::json(200, r#"{"data":[]}"#));
    mock.script("gemini", Script::json(200, r#"{"cachedContents":[]}"#));
    let gateway = start(&mock);
    let own = [
        ("authorization", "Bearer of-the-client"),
        ("x-api-key", "of-the-client"),
        ("x-goog-api-key", "of-the-client"),
    ];
    let client = [JSON, own[0], own[1], own[2], ("anthropic-beta", "files-api-2025-04-14")];
    for (method, path, script, target) in [
        ("GET", "/openai/v1/files?limit=2", "openai", "/openai/v1/files?limit=2"),
        ("DELETE", "/openai/files/file-1", "openai", "/openai/v1/files/file-1"),
        ("GET", "/v1/files/file-1", "openai", "/openai/v1/files/file-1"),
        ("GET", "/v1/responses/resp_1", "openai", "/openai/v1/responses/resp_1"),
        ("GET", "/anthropic/v1/files", "anthropic", "/anthropic/v1/files"),
        (
            "GET",
            "/genai/v1beta/cachedContents?key=of-the-client&pageSize=3",
            "gemini",
            "/gemini/v1beta/cachedContents?pageSize=3",
        ),
    ] {
        let got = gateway.call(method, path, &client, b"");
        assert_eq!(got.status, 200, "{method} {path}: {}", got.text());
        let asked = mock.last(script);
        assert_eq!((asked.method.as_str(), asked.target.as_str()), (method, target));
        let sent = format!("{:?}", asked.head);
        assert!(sent.contains(KEY) && !sent.contains("of-the-client"), "{path}: {sent}");
    }
    assert_eq!(mock.last("anthropic").head.get("anthropic-beta"), Some("files-api-2025-04-14"));
    let moderation = gateway.post("/v1/moderations", r#"{"model":"openai/omni","input":"x"}"#);
    assert_eq!((moderation.status, said(&mock, "openai")["model"].as_str()), (200, Some("omni")));
    let foreign = gateway.post("/v1/images/generations", r#"{"model":"anthropic/claude-x","prompt":"x"}"#);
    assert_eq!(foreign.json()["error"]["code"], "unsupported_operation", "{}", foreign.text());
    let up = gateway.get("/openai/v1/files/%2e%2e/%2e%2e/secret");
    assert_eq!((up.status, up.json()["error"]["code"].as_str()), (400, Some("malformed_path")));
    let form = "--x9\r\ncontent-disposition: form-data; name=\"model\"\r\n\r\nopenai/whisper\r\n--x9--\r\n";
    let kind = [("content-type", "multipart/form-data; boundary=x9")];
    assert_eq!(gateway.call("POST", "/v1/audio/transcriptions", &kind, form.as_bytes()).status, 200);
    assert_eq!(String::from_utf8_lossy(&mock.last("openai").body), form.replace("openai/whisper", "whisper"));
    // A provider's error keeps its status and its words, in the client's form.
    mock.script(
        "anthropic",
        Script::json(404, r#"{"type":"error","error":{"type":"not_found_error","message":"no such file"}}"#),
    );
    let missing = gateway.get("/anthropic/v1/files/file-9");
    assert_eq!((missing.status, missing.json()["error"]["message"].as_str()), (404, Some("no such file")));
}

#[test]
fn raw_bodies_stream_and_break_off_as_the_providers_do() {
    let mock = Mock::start();
    let audio = [("content-type", "audio/mpeg"), ("transfer-encoding", "chunked")];
    let gateway = start(&mock);
    let speak = || gateway.post("/openai/v1/audio/speech", r#"{"model":"tts","input":"x"}"#);
    mock.script("openai", Script::new().head(200, &audio).chunk("one").chunk("two").end_chunks());
    let whole = speak();
    assert_eq!(
        (whole.status, whole.header("content-type"), &whole.body[..]),
        (200, Some("audio/mpeg"), &b"onetwo"[..])
    );
    mock.script("openai", Script::new().head(200, &audio).write(chunk(b"one")).close());
    let cut = speak();
    assert_eq!(cut.status, 200);
    assert_ne!(cut.end, End::Proper, "a part was given out as the whole");
    let usage = "data: {\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":6}}\n\n";
    mock.script("openai", Script::sse(["data: {}\n\n", usage, "data: [DONE]\n\n"]));
    let events = gateway.post("/openai/v1/completions", r#"{"model":"m","prompt":"x","stream":true}"#);
    assert!(events.text().ends_with("data: [DONE]\n\n"));
    let line = gateway.wait_access(events.header("x-request-id").unwrap());
    assert!(line.contains("\"completions\"") && line.contains("\"openai\""), "{line}");
}

#[test]
fn a_closed_policy_refuses_what_it_cannot_see_and_reads_what_it_can() {
    let mock = Mock::start();
    mock.script("openai", Script::json(200, reply("hi")));
    mock.script("anthropic", Script::json(200, r#"{"input_tokens":77}"#));
    let words = format!("{PATIENT}\non_error: closed\nsettings: {{ words: [codename] }}\n");
    let gateway = with(setup(&mock), "deny-words", "deny-words", &words).start();
    active(&gateway, "deny-words");
    let refused = gateway.get("/openai/v1/files");
    assert_eq!(
        (refused.status, refused.json()["error"]["code"].as_str()),
        (403, Some("unseen_by_policy")),
        "{}",
        refused.text()
    );
    assert!(refused.text().contains("deny-words") && refused.text().contains("operation"), "{}", refused.text());
    assert_eq!(gateway.get("/anthropic/v1/files").json()["type"], "error");
    let embed = |text: &str| gateway.post("/v1/embeddings", json!({"model": "openai/e", "input": [text]}).to_string());
    assert_eq!(embed("plain words").status, 200);
    assert!(embed("the codename").status >= 400, "the policy reads the texts of embeddings");
    assert_eq!(mock.journal().count("openai"), 1, "nothing refused has reached the provider");
    // A count is made here: its text must not leave unread.
    let count =
        json!({"model": "anthropic/claude-x", "messages": [{"role": "user", "content": "codename"}]}).to_string();
    assert_eq!(gateway.post("/v1/messages/count_tokens", count).status, 200);
    assert_eq!(mock.journal().count("anthropic"), 0);
    // The operator may let raw calls pass.
    let narrow = format!("{words}match: {{ operation: [chat, embeddings] }}\n");
    let gateway = with(setup(&mock), "deny-words", "deny-words", &narrow).start();
    active(&gateway, "deny-words");
    assert_eq!(gateway.get("/openai/v1/files").status, 200);
}
