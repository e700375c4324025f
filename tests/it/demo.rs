//! Without a config file and without any provider key, on loopback, the gateway answers by itself and says so; with either it never does.

use serde_json::json;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::sse;

use crate::support::{CHAT, blamed, body};

/// The prefixes of this version's roads.
const PATHS: [&str; 3] = [CHAT, "/openai/chat/completions", "/openai/v1/chat/completions"];

fn demo() -> Gateway {
    Setup::default().start()
}

#[test]
fn every_name_on_every_prefix_is_answered_and_says_what_it_is() {
    let gateway = demo();
    for path in PATHS {
        for model in ["gpt-4o-mini", "openai/gpt-4o-mini", "anthropic/claude", "anything"] {
            let got = gateway.post(path, body(model, false));
            assert_eq!(got.status, 200, "{path} {model}: {}", got.text());
            let reply = got.json();
            let text = reply["choices"][0]["message"]["content"].as_str().expect("a text");
            assert!(text.contains("hello"), "not an echo: {text}");
            assert!(text.contains("OPENAI_API_KEY"), "it does not say what to set: {text}");
            assert_eq!(reply["choices"][0]["finish_reason"], "stop");
            assert!(reply["usage"]["total_tokens"].as_u64().is_some_and(|total| total > 0), "{reply}");
            let said = |(name, value): &(String, String)| {
                name.starts_with("x-sluice-") && format!("{name}{value}").contains("demo")
            };
            assert!(got.head.headers.iter().any(said), "no header says demo: {:?}", got.head.headers);
        }
    }
    let banner = gateway.process.err.text();
    assert!(banner.contains("OPENAI_API_KEY") && banner.to_lowercase().contains("demo"), "{banner}");
}

#[test]
fn streamed_it_is_the_same_text() {
    let gateway = demo();
    for asked in [false, true] {
        let whole = gateway.post(CHAT, body("gpt-4o-mini", false)).json();
        let request = json!({"model": "gpt-4o-mini", "stream": true, "stream_options": {"include_usage": asked},
            "messages": [{"role": "user", "content": "hello"}]});
        let got = gateway.post(CHAT, request.to_string());
        let mut events = sse::data(&got.body);
        assert_eq!(events.pop().unwrap(), b"[DONE]");
        let events: Vec<serde_json::Value> = events.iter().map(|data| serde_json::from_slice(data).unwrap()).collect();
        let text: String = events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
        assert_eq!(text, whole["choices"][0]["message"]["content"].as_str().unwrap());
        assert!(events.len() > 3, "streamed in one piece");
        assert_eq!(events.iter().any(|event| event["usage"].is_object()), asked, "{}", got.text());
    }
}

#[test]
fn it_takes_what_clients_replay() {
    let gateway = demo();
    let messages = json!([
        {"role": "user", "content": [{"type": "text", "text": "first"}]},
        {"role": "assistant", "content": "an answer", "refusal": null, "tool_calls": null, "function_call": null, "audio": null},
        {"role": "user", "content": "second"},
    ]);
    let got = gateway.post(CHAT, json!({"model": "gpt-4o-mini", "messages": messages, "tools": null}).to_string());
    assert_eq!(got.status, 200, "{}", got.text());
    assert!(got.json()["choices"][0]["message"]["content"].as_str().unwrap().contains("second"));
    blamed(&gateway.post(CHAT, "{\"model\":"), 400, "client");
}

#[test]
fn a_key_or_a_file_turns_it_off() {
    let gateways = [
        Setup::config("providers:\n  llama: { dialect: openai-chat, base_url: \"http://127.0.0.1:1/v1\" }\n").start(),
        Setup::config("{}\n").start(),
    ];
    for gateway in &gateways {
        let error = blamed(&gateway.post(CHAT, body("openai/gpt-4o-mini", false)), 404, "client");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("OPENAI_API_KEY") && message.contains("providers"), "{message}");
        assert!(!gateway.process.err.text().to_lowercase().contains("demo mode"), "{}", gateway.process.err.text());
    }
    let keyed = Setup::default().env("OPENAI_API_KEY", "sk-none").start();
    // Not called here: it would go to the internet. An unknown prefix shows that nothing echoes.
    blamed(&keyed.post("/anthropic/chat/completions", body("x", false)), 404, "client");
    assert!(!keyed.process.err.text().to_lowercase().contains("demo mode"), "{}", keyed.process.err.text());
}
