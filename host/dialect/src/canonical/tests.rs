//! Edits of the canonical form on what clients and providers really sent.

use std::fs;
use std::path::Path;

use super::*;

const FOLDERS: [(Dialect, &str); 3] =
    [(Dialect::Anthropic, "anthropic"), (Dialect::Gemini, "gemini"), (Dialect::OpenaiResponses, "responses")];

struct Case {
    name: String,
    dialect: Dialect,
    request: String,
    reply: Option<String>,
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for (dialect, folder) in FOLDERS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire").join(folder);
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "jsonl") {
                continue;
            }
            for line in fs::read_to_string(&path).unwrap().lines() {
                let case: Value = serde_json::from_str(line).unwrap();
                let text = |pointer: &str| case.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
                let request = case["request"].to_string();
                if dialect.api().read_request(request.as_bytes(), &Said::default()).is_err() {
                    continue;
                }
                let body = text("/response/body");
                let reply = dialect.api().read_reply(body.as_bytes()).is_ok().then_some(body);
                cases.push(Case { name: text("/name"), dialect, request, reply });
            }
        }
    }
    assert!(cases.len() > 300, "{}", cases.len());
    cases
}

fn value(json: &str) -> Value {
    serde_json::from_str(json).unwrap()
}

#[test]
fn every_request_can_be_shown_and_appended_to() {
    let (mut refused, mut rewritten) = (Vec::new(), Vec::new());
    let cases = cases();
    for case in &cases {
        let mut document = case.dialect.request_document(Bytes::from(case.request.clone()), 1 << 24);
        let before = value(document.get("").expect(&case.name));
        assert!(before["messages"].is_array(), "{}", case.name);
        let added = r#"{"role":"user","content":"An added question."}"#;
        if document.insert("/messages/-", added).is_err() {
            refused.push(case.name.as_str());
            assert_eq!(document.commit(), case.request);
            continue;
        }
        let bytes = document.commit();
        let chat = case.dialect.api().read_request(&bytes, &Said::default()).unwrap();
        let last = chat.turns.last().unwrap();
        assert!(
            matches!(last.parts.last(), Some(Part::Text(text)) if text.text == "An added question."),
            "{}",
            case.name
        );
        // What stands before the last message is the prompt that a provider has cached.
        let same = bytes.iter().zip(case.request.as_bytes()).take_while(|(new, old)| new == old).count();
        let list = ["\"messages\":", "\"contents\":", "\"input\":"].iter().find_map(|name| case.request.find(name));
        if list.is_some_and(|list| same < list) {
            rewritten.push(format!("{} {}", case.name, String::from_utf8_lossy(&bytes[..bytes.len().min(400)])));
        }
    }
    assert!(refused.is_empty(), "{} of {} refused: {refused:#?}", refused.len(), cases.len());
    // A document of a text among parts that are media is a text of its own in the canonical form.
    assert!(rewritten.len() < 6, "{} of {} rewritten: {rewritten:#?}", rewritten.len(), cases.len());
}

#[test]
fn a_masked_text_is_nowhere() {
    let mut refused = Vec::new();
    let cases = cases();
    for case in &cases {
        let mut document = case.dialect.request_document(Bytes::from(case.request.clone()), 1 << 24);
        let shown = value(document.get("").unwrap());
        for (at, message) in shown["messages"].as_array().unwrap().iter().enumerate() {
            let mut document = document.clone();
            let Some(text) = message["content"].as_str().filter(|text| text.len() > 30) else { continue };
            let set = document.set(&format!("/messages/{at}/content"), "\"[masked]\"");
            if let Err(error) = set {
                refused.push(format!("{} {at} {error}", case.name));
                continue;
            }
            let after = value(document.get("").unwrap());
            assert!(after["messages"].to_string().contains("[masked]"), "{}", case.name);
            let quoted = value(&case.request).to_string();
            let literal = Value::from(text).to_string();
            if quoted.matches(&literal).count() == 1 {
                let now = value(std::str::from_utf8(&document.commit()).unwrap()).to_string();
                assert!(!now.contains(&literal), "{} {at}", case.name);
            }
        }
        let _ = document.set("/temperature", "0.5");
    }
    assert!(refused.is_empty(), "{} refused: {refused:#?}", refused.len());
}

#[test]
fn replies_are_shown_and_edited() {
    let mut refused = Vec::new();
    let mut seen = 0;
    for case in cases() {
        let Some(reply) = case.reply else { continue };
        seen += 1;
        let mut document = case.dialect.reply_document(Bytes::from(reply.clone()), 1 << 24);
        let Some(shown) = document.get("").map(value) else { panic!("{}", case.name) };
        let Some(text) = shown.pointer("/choices/0/message/content").and_then(Value::as_str) else { continue };
        if let Err(error) = document.set("/choices/0/message/content", "\"[masked]\"") {
            refused.push(format!("{} {error}", case.name));
            continue;
        }
        let now = document.get("/choices/0/message/content").unwrap();
        assert_eq!(now, "\"[masked]\"", "{}", case.name);
        let bytes = document.commit();
        let literal = Value::from(text).to_string();
        if text.len() > 20 && value(&reply).to_string().matches(&literal).count() == 1 {
            assert!(!value(std::str::from_utf8(&bytes).unwrap()).to_string().contains(&literal), "{}", case.name);
        }
    }
    assert!(refused.is_empty(), "{} of {seen} refused: {refused:#?}", refused.len());
}
