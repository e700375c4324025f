//! Providers keep prompts that begin alike: the same request makes the same bytes, also after a restart, and an edit of the last message
//! leaves the bytes before it.

use serde_json::{Value, json};
use sluice_dialect::Dialect;
use sluice_tests::gateway::Gateway;
use sluice_tests::mock::Mock;

use crate::dialects_support::{asking, before, says};
use crate::plugins_support::{PATIENT, active, with};

/// A question with a long prompt and a tool behind it.
fn long(dialect: Dialect, model: &str, last: &str) -> (String, String) {
    let (path, body) = asking(dialect, model, &"A long story. ".repeat(200), false);
    let mut body: Value = serde_json::from_str(&body).unwrap();
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}, "day": {"type": "integer"}}});
    match dialect {
        Dialect::OpenaiChat => {
            body["tools"] = json!([{"type": "function", "function": {"name": "look", "parameters": schema}}]);
            body["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": last}));
        }
        Dialect::OpenaiResponses => {
            body["tools"] = json!([{"type": "function", "name": "look", "parameters": schema}]);
            let first = body["input"].take();
            body["input"] = json!([{"role": "user", "content": first}, {"role": "user", "content": last}]);
        }
        Dialect::Anthropic => {
            body["tools"] = json!([{"name": "look", "input_schema": schema}]);
            body["messages"].as_array_mut().unwrap().push(json!({"role": "user", "content": last}));
        }
        Dialect::Gemini => {
            body["tools"] = json!([{"functionDeclarations": [{"name": "look", "parametersJsonSchema": schema}]}]);
            body["contents"].as_array_mut().unwrap().push(json!({"role": "user", "parts": [{"text": last}]}));
        }
    }
    (path, body.to_string())
}

/// What the provider got for this last message.
fn sent(gateway: &Gateway, mock: &Mock, (client, provider): (Dialect, Dialect), last: &str) -> Vec<u8> {
    let (path, body) = long(client, &format!("{}/m", provider.as_str()), last);
    let reply = gateway.post(&path, body);
    assert_eq!(reply.status, 200, "{client:?} {provider:?}: {}", reply.text());
    mock.last(provider.as_str()).body
}

fn roads() -> impl Iterator<Item = (Dialect, Dialect)> {
    Dialect::ALL.into_iter().flat_map(|client| Dialect::ALL.map(|provider| (client, provider)))
}

#[test]
fn the_same_request_makes_the_same_bytes_across_restarts() {
    let mock = Mock::start();
    Dialect::ALL.iter().for_each(|dialect| says(&mock, *dialect, &["fine"]));
    let gateway = before(&mock).start();
    let first: Vec<Vec<u8>> = roads().map(|road| sent(&gateway, &mock, road, "go")).collect();
    let again: Vec<Vec<u8>> = roads().map(|road| sent(&gateway, &mock, road, "go")).collect();
    assert!(first == again, "other bytes for the same request");
    let gateway = gateway.restart();
    let later: Vec<Vec<u8>> = roads().map(|road| sent(&gateway, &mock, road, "go")).collect();
    assert!(first == later, "other bytes after a restart");
}

#[test]
fn an_edit_of_the_last_message_leaves_the_bytes_before_it() {
    let mock = Mock::start();
    Dialect::ALL.iter().for_each(|dialect| says(&mock, *dialect, &["fine"]));
    let plain = before(&mock).start();
    let yaml = format!("{PATIENT}\nsettings: {{ words: [bluebird], action: mask, where: [request] }}");
    let guarded = with(before(&mock), "guard", "deny-words", &yaml).start();
    active(&guarded, "guard");
    for road in roads() {
        let unedited = sent(&plain, &mock, road, "the bluebird");
        let edited = sent(&guarded, &mock, road, "the bluebird");
        let place = unedited.windows(8).rposition(|window| window == b"bluebird").expect("the word");
        assert!(edited.get(..place) == Some(&unedited[..place]), "{road:?}: {}", String::from_utf8_lossy(&edited));
        assert!(edited[place..].starts_with(b"***"), "{road:?}: {}", String::from_utf8_lossy(&edited));
        assert!(edited[place + 3..] == unedited[place + 8..], "{road:?}: {}", String::from_utf8_lossy(&edited));
    }
}
