//! Broken and twisted documents: whatever comes, an answer and no panic.

use proptest::prelude::*;
use serde_json::Value;

use super::recorded::{cases, decode, encode, events};
use crate::dialect::{Api as _, Said};
use crate::gemini::{Api, embed, read_count};
use crate::hub::{Asked, Target};

/// Everything that reads bytes of somebody else, and everything that writes what was read.
fn swallow(bytes: &[u8]) {
    let said = Said::default();
    let _ = Api.peek(bytes, &said);
    let _ = (Api.request_texts(bytes), Api.reply_texts(bytes), Api.last_user_text(bytes), read_count(bytes, &said));
    let _ = (
        embed::to_openai(bytes, "m"),
        embed::from_openai_reply(bytes, true),
        embed::from_openai(bytes, "m", embed::Form::Single),
    );
    if let Ok(chat) = Api.read_request(bytes, &said) {
        for thinking_level in [false, true] {
            if let Ok((body, _)) = Api.write_request(&chat, &Target { thinking_level, ..Target::default() }) {
                assert!(serde_json::from_slice::<Value>(&body).is_ok(), "{}", String::from_utf8_lossy(&body));
            }
        }
    }
    if let Ok(reply) = Api.read_reply(bytes) {
        let (body, _) = Api.write_reply(&reply, &Asked::default());
        assert!(serde_json::from_slice::<Value>(&body).is_ok(), "{}", String::from_utf8_lossy(&body));
    }
    let failure = Api.read_error(500, None, bytes);
    assert!(serde_json::from_slice::<Value>(&Api.write_error(&failure, "")).is_ok());
    let _ = (Api.glance(None, bytes), Api.stream_failure(None, bytes));
    let deltas = decode(&[String::from_utf8_lossy(bytes).into_owned()]);
    assert!(serde_json::from_str::<Vec<Value>>(&encode(&deltas, false)).is_ok());
}

fn documents() -> Vec<Vec<u8>> {
    let short = |text: &String| text.len() < 4000;
    let mut all: Vec<String> = cases().into_iter().filter_map(|case| case.request).filter(short).collect();
    for case in cases() {
        if case.body.starts_with("data:") {
            all.extend(events(&case.body).into_iter().filter(short).take(2));
        } else if short(&case.body) {
            all.push(case.body);
        }
    }
    all.into_iter().step_by(6).map(String::into_bytes).collect()
}

#[test]
fn recorded_documents_cut_and_with_a_byte_changed() {
    let replacements = [b'"', b'{', b'}', b'[', b']', b',', b':', b'0', b'\\', b'n', 0xff];
    for (number, document) in documents().into_iter().enumerate() {
        swallow(&document);
        for step in 0..12 {
            let at = (number * 131 + step * 977) % document.len();
            swallow(&document[..at]);
            let mut changed = document.clone();
            changed[at] = replacements[(number + step) % replacements.len()];
            swallow(&changed);
        }
    }
}

/// Any tree with this dialect's names in it.
fn twisted() -> impl Strategy<Value = Value> {
    let names = proptest::sample::select(vec![
        "contents",
        "parts",
        "text",
        "role",
        "functionCall",
        "functionResponse",
        "name",
        "args",
        "id",
        "response",
        "candidates",
        "content",
        "index",
        "finishReason",
        "thought",
        "thoughtSignature",
        "partialArgs",
        "jsonPath",
        "stringValue",
        "willContinue",
        "usageMetadata",
        "promptTokenCount",
        "tools",
        "functionDeclarations",
        "parameters",
        "type",
        "properties",
        "toolConfig",
        "functionCallingConfig",
        "mode",
        "generationConfig",
        "thinkingConfig",
        "thinkingBudget",
        "responseSchema",
        "logprobsResult",
        "chosenCandidates",
        "promptFeedback",
        "blockReason",
        "error",
        "details",
        "retryDelay",
        "requests",
        "embedding",
        "embeddings",
        "values",
        "input",
        "data",
        "inlineData",
        "fileData",
        "fileUri",
        "mimeType",
        "systemInstruction",
        "groundingMetadata",
    ]);
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        proptest::sample::select(vec![
            "",
            "model",
            "user",
            "STOP",
            "$.a[0]",
            "$.a.b",
            "AUTO",
            "x\"\\\n",
            "data:a;base64,b",
            "9e9s",
            "OBJECT",
            "-1"
        ])
        .prop_map(Value::from),
    ];
    leaf.prop_recursive(7, 96, 6, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::vec((names.clone(), inner), 0..6)
                .prop_map(|members| members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 600, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn twisted_documents(value in twisted()) {
        swallow(value.to_string().as_bytes());
        for name in ["contents", "candidates", "tools", "generationConfig", "error"] {
            let whole: Value = [(name.to_owned(), value.clone())].into_iter().collect();
            swallow(whole.to_string().as_bytes());
        }
    }

    #[test]
    fn any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        swallow(&bytes);
    }
}

#[test]
fn nesting_without_end() {
    for open in ["[", "{\"contents\":", "{\"parts\":[", "{\"candidates\":[{\"content\":{\"parts\":["] {
        swallow(open.repeat(20_000).as_bytes());
    }
    let deep = format!("{}1{}", "{\"properties\":".repeat(120), "}".repeat(120));
    let body = format!("{{\"tools\":{{\"functionDeclarations\":{{\"name\":\"f\",\"parameters\":{deep}}}}}}}");
    swallow(body.as_bytes());
}
