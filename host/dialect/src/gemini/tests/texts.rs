//! What hooks see of requests and replies.

use serde_json::{Value, json};

use super::recorded::{cases, events};
use crate::dialect::{Api as _, Said};
use crate::document::Document;
use crate::gemini::Api;
use crate::json as scan;
use crate::text::{Kind, Mend, Role, TextMap};

fn seen(map: &TextMap, bytes: &[u8]) -> Vec<(Role, Kind, u32, String, Option<String>)> {
    let text = |range: &std::ops::Range<usize>| scan::string(bytes, range.clone()).map(std::borrow::Cow::into_owned);
    let piece = |piece: &crate::text::Piece| {
        let name = piece.tool_name.as_ref().and_then(text);
        (piece.role, piece.kind, piece.choice, text(&piece.literal).unwrap_or_default(), name)
    };
    map.pieces.iter().map(piece).collect()
}

fn of_request(body: &Value) -> Vec<(Role, Kind, String)> {
    let body = body.to_string();
    let pieces = seen(&Api.request_texts(body.as_bytes()), body.as_bytes());
    pieces.into_iter().map(|(role, kind, _, text, _)| (role, kind, text)).collect()
}

#[test]
fn a_request_shows_every_text_once() {
    let body = json!({
        "model": "models/m",
        "systemInstruction": {"role": "user", "parts": [{"text": "sys"}]},
        "contents": [
            {"parts": [{"text": "no role"}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}, "videoMetadata": {"note": "odd"}}], "role": "user"},
            {"role": "model", "parts": [
                {"text": "hm", "thought": true, "thoughtSignature": "c2ln"},
                {"functionCall": {"name": "f", "args": {"a": ["x", {"b": "y"}], "n": 1}, "id": "1"}},
                {"functionCall": {"name": "g", "args": {}}},
                {"executableCode": {"language": "PYTHON", "code": "print()"}},
                {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "out"}},
            ]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"result": "r"}, "parts": [{"inlineData": {"data": "AA=="}}]}}]},
            {"role": "function", "parts": {"text": "t"}},
            "bare",
        ],
        "tools": [{"functionDeclarations": [{"name": "f", "description": "does", "parameters": {"properties": {"description": {"type": "STRING", "description": "inner"}}}}]}],
        "generationConfig": {"stopSequences": ["stop"], "responseSchema": {"description": "form"}},
        "safetySettings": [{"category": "c", "threshold": "t"}],
        "brandNew": {"deep": ["unknown"]},
    });
    use Kind::{Other, Reasoning, Text, ToolArguments, ToolResult};
    use Role::{Assistant, System, Tool, User};
    let expected = [
        (System, Text, "sys"),
        (User, Text, "no role"),
        (User, Other, "odd"),
        (Assistant, Reasoning, "hm"),
        (Assistant, ToolArguments, "x"),
        (Assistant, ToolArguments, "y"),
        (Assistant, ToolArguments, ""),
        (Assistant, ToolArguments, "print()"),
        (Tool, ToolResult, "out"),
        (Tool, ToolResult, "r"),
        (Tool, Text, "t"),
        (User, Text, "bare"),
        (System, Other, "does"),
        (System, Other, "inner"),
        (System, Other, "form"),
        (Role::Other, Other, "unknown"),
    ];
    let expected: Vec<(Role, Kind, String)> =
        expected.into_iter().map(|(role, kind, text)| (role, kind, text.to_owned())).collect();
    assert_eq!(of_request(&body), expected);
    let text = body.to_string();
    let names: Vec<Option<String>> =
        seen(&Api.request_texts(text.as_bytes()), text.as_bytes()).into_iter().map(|piece| piece.4).collect();
    let named: Vec<(usize, &str)> =
        names.iter().enumerate().filter_map(|(at, name)| Some((at, name.as_deref()?))).collect();
    assert_eq!(named, [(4, "f"), (5, "f"), (6, "g"), (9, "f")]);
    assert_eq!(Api.last_user_text(text.as_bytes()).as_deref(), Some("bare"));
}

#[test]
fn other_places_of_texts() {
    use Kind::Text;
    use Role::User;
    let user = |texts: &[&str]| -> Vec<(Role, Kind, String)> {
        texts.iter().map(|text| (User, Text, (*text).to_owned())).collect()
    };
    for (body, texts) in [
        (json!({"contents": "a"}), vec!["a"]),
        (json!({"contents": {"parts": {"text": "a"}}}), vec!["a"]),
        (json!({"contents": [[{"text": "a"}], {"text": "b"}]}), vec!["a", "b"]),
        (json!({"generateContentRequest": {"contents": [{"parts": [{"text": "a"}]}]}}), vec!["a"]),
        (json!({"content": {"parts": [{"text": "a"}]}, "taskType": "Q"}), vec!["a"]),
        (
            json!({"requests": [{"model": "m", "content": {"parts": [{"text": "a"}]}}, {"content": {"parts": [{"text": "b"}]}}]}),
            vec!["a", "b"],
        ),
        (json!({"instances": [{"content": "a", "task_type": "Q"}], "parameters": {"x": "y"}}), vec!["a"]),
    ] {
        assert_eq!(of_request(&body), user(&texts), "{body}");
    }
    // Keys that are spelt with escapes mean the same to a provider.
    let escaped = br#"{"c\u006fntents":[{"p\u0061rts":[{"te\u0078t":"a"}]}],"system\u0049nstruction":"s"}"#;
    assert_eq!(seen(&Api.request_texts(escaped), escaped).len(), 2);
    let last = |body: Value| Api.last_user_text(body.to_string().as_bytes());
    let result = json!({"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"r": "x"}}}]});
    let model = json!({"role": "model", "parts": [{"text": "m"}]});
    let words = json!({"role": "user", "parts": [{"text": "one"}, {"inlineData": {"data": "AA=="}}, {"text": "two"}]});
    assert_eq!(last(json!({"contents": [words, model, result]})).as_deref(), Some("one\ntwo"));
    assert_eq!(last(json!({"contents": [model]})), None);
    assert_eq!(last(json!({"contents": "hi"})).as_deref(), Some("hi"));
}

#[test]
fn a_reply_shows_its_texts_and_what_repeats_them() {
    let body = json!({
        "candidates": [
            {"content": {"parts": [{"text": "secret", "thought": true}, {"text": "the secret word"}, {"functionCall": {"name": "f", "args": {"q": "arg"}}}], "role": "model"},
             "finishReason": "STOP", "index": 3, "safetyRatings": [{"category": "X", "probability": "LOW"}], "finishMessage": "said",
             "groundingMetadata": {"webSearchQueries": ["query"], "groundingSupports": [{"segment": {"endIndex": 5, "text": "secret word"}}]},
             "logprobsResult": {"chosenCandidates": [{"token": "secret"}]}},
        ],
        "promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "words"},
        "usageMetadata": {"trafficType": "ON_DEMAND"}, "modelVersion": "m", "responseId": "r", "createTime": "t", "extra": "new",
    });
    let text = body.to_string();
    let map = Api.reply_texts(text.as_bytes());
    let pieces: Vec<(Kind, u32, String)> =
        seen(&map, text.as_bytes()).into_iter().map(|(_, kind, choice, text, _)| (kind, choice, text)).collect();
    let expected = [
        (Kind::Reasoning, 3, "secret"),
        (Kind::Text, 3, "the secret word"),
        (Kind::ToolArguments, 3, "arg"),
        (Kind::Other, 3, "said"),
        (Kind::Other, 3, "query"),
        (Kind::Other, 0, "words"),
        (Kind::Other, 0, "new"),
    ];
    assert_eq!(pieces, expected.map(|(kind, choice, text)| (kind, choice, text.to_owned())));
    assert_eq!(
        map.copies.iter().map(|copy| (copy.choice, copy.kind, copy.how)).collect::<Vec<_>>(),
        [(3, Kind::Other, Mend::Null), (3, Kind::Text, Mend::Empty)]
    );
    // What a plugin takes out is nowhere any more.
    let mut document = Document::new(text.into(), |bytes| Api.reply_texts(bytes), 1 << 20);
    for index in [0, 1] {
        document.set_text(index, "***").unwrap();
    }
    let left = String::from_utf8(document.commit().to_vec()).unwrap();
    assert!(!left.contains("secret") && serde_json::from_str::<Value>(&left).is_ok(), "{left}");
}

#[test]
fn recorded_documents_show_all_their_words() {
    for case in cases() {
        if let Some(request) = &case.request {
            let map = Api.request_texts(request.as_bytes());
            assert!(!map.pieces.is_empty(), "{}", case.name);
            let shown = crate::text::joined(request.as_bytes(), &map);
            let mut texts = Vec::new();
            words(&serde_json::from_str(request).unwrap(), &mut texts);
            assert!(texts.iter().all(|text| shown.contains(text.as_str())), "{}", case.name);
            let peek =
                Api.peek(request.as_bytes(), &Said { model: Some("m".into()), stream: true, sse: true }).unwrap();
            assert_eq!(
                (peek.model.unwrap().name.as_str(), peek.stream, peek.n),
                ("m", true, 1 + u32::from(request.contains(r#""candidateCount":2"#)))
            );
        }
        for reply in if case.body.starts_with("data:") { events(&case.body) } else { vec![case.body.clone()] } {
            let map = Api.reply_texts(reply.as_bytes());
            let shown = crate::text::joined(reply.as_bytes(), &map);
            let mut texts = Vec::new();
            words(&serde_json::from_str(&reply).unwrap(), &mut texts);
            for text in texts.iter().filter(|text| !shown.contains(text.as_str())) {
                let copied = map.copies.iter().any(|copy| {
                    reply.get(copy.range.clone()).is_some_and(|copy| {
                        serde_json::from_str::<Value>(copy)
                            .unwrap()
                            .to_string()
                            .contains(&Value::from(text.as_str()).to_string())
                    })
                });
                assert!(copied, "{}: {text}", case.name);
            }
        }
    }
}

/// The strings of members that hold language in this dialect.
fn words(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(list) => list.iter().for_each(|item| words(item, found)),
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text)
                        if matches!(
                            name.as_str(),
                            "text" | "code" | "output" | "description" | "blockReasonMessage" | "renderedContent"
                        ) =>
                    {
                        found.push(text.replace('\u{1e}', "\u{fffd}"));
                    }
                    _ => words(value, found),
                }
            }
        }
        _ => {}
    }
}

#[test]
fn what_is_no_request_is_refused_at_the_first_look() {
    for (body, code) in [("", "invalid_json"), ("{", "invalid_json"), ("[]", "invalid_type"), ("1", "invalid_type")] {
        let failure = Api.peek(body.as_bytes(), &Said::default()).unwrap_err();
        assert_eq!((failure.status, failure.code.as_deref()), (400, Some(code)));
    }
    let empty = Api.peek(b" {} ", &Said::default()).unwrap();
    assert!(empty.empty && empty.body_open == 2 && empty.model.is_none() && !empty.stream);
    for odd in ["", "[", "nope", "{\"contents\":", "[[[[", "{\"contents\":[{\"parts\":[{\"text\":"] {
        assert!(Api.request_texts(odd.as_bytes()).pieces.is_empty());
        assert!(Api.reply_texts(odd.as_bytes()).pieces.is_empty());
        assert_eq!(Api.last_user_text(odd.as_bytes()), None);
    }
}
