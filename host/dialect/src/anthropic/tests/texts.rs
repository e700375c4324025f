//! What hooks see of a request and of a reply.

use super::*;
use crate::document::Document;
use crate::text::{Kind, Role as Speaker, joined};

fn shown(body: &[u8], map: &TextMap) -> Vec<(Speaker, Kind, String, Option<String>)> {
    let text = |range: &std::ops::Range<usize>| crate::json::string(body, range.clone()).unwrap().into_owned();
    let pieces = map.pieces.iter();
    pieces.map(|piece| (piece.role, piece.kind, text(&piece.literal), piece.tool_name.as_ref().map(text))).collect()
}

#[test]
fn every_text_of_a_request_is_shown() {
    let body = json!({
        "model": "m", "max_tokens": 9,
        "system": [{"type": "text", "text": "sys", "cache_control": {"type": "ephemeral"}}],
        "messages": [
            {"content": "plain", "role": "user"},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "A".repeat(300)},
                {"type": "text", "text": "said", "citations": [{"type": "char_location", "cited_text": "cited", "document_index": 0}]},
                {"input": {"city": "Rome", "n": 3}, "name": "look", "id": "t1", "type": "tool_use"},
                {"type": "tool_use", "id": "t2", "name": "now", "input": {}},
                {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {"query": "cats"}},
                {"type": "web_search_tool_result", "tool_use_id": "s1", "content": [{"type": "web_search_result", "title": "Cat", "encrypted_content": "xx"}]},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "sun"}]},
                {"type": "tool_result", "tool_use_id": "t2", "content": "noon"},
                {"type": "document", "title": "Title", "source": {"type": "text", "media_type": "text/plain", "data": "B".repeat(300)}},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "C".repeat(300)}},
                {"type": "new_block", "words": "unheard"},
            ]},
            {"role": "system", "content": "now then", "aside": "odd"},
        ],
        "tools": [{"name": "look", "description": "looks", "input_schema": {"type": "object", "properties": {"city": {"type": "string", "description": "a city"}}}}],
        "metadata": {"user_id": "u"},
    })
    .to_string();
    let map = Api.request_texts(body.as_bytes());
    let (call, result) = (Kind::ToolArguments, Kind::ToolResult);
    let of = |name: &str| Some(name.to_owned());
    let want = vec![
        (Speaker::System, Kind::Text, "sys".to_owned(), None),
        (Speaker::User, Kind::Text, "plain".to_owned(), None),
        (Speaker::Assistant, Kind::Reasoning, "hm".to_owned(), None),
        (Speaker::Assistant, Kind::Text, "said".to_owned(), None),
        (Speaker::Assistant, Kind::Other, "cited".to_owned(), None),
        (Speaker::Assistant, call, "Rome".to_owned(), of("look")),
        (Speaker::Assistant, call, "now".to_owned(), of("now")),
        (Speaker::Assistant, call, "cats".to_owned(), of("web_search")),
        (Speaker::Tool, result, "Cat".to_owned(), of("web_search")),
        (Speaker::Tool, result, "sun".to_owned(), of("look")),
        (Speaker::Tool, result, "noon".to_owned(), of("now")),
        (Speaker::User, Kind::Other, "Title".to_owned(), None),
        (Speaker::User, Kind::Other, "B".repeat(300), None),
        (Speaker::User, Kind::Other, "unheard".to_owned(), None),
        (Speaker::System, Kind::Text, "now then".to_owned(), None),
        (Speaker::System, Kind::Other, "odd".to_owned(), None),
        (Speaker::System, Kind::Other, "looks".to_owned(), None),
        (Speaker::System, Kind::Other, "a city".to_owned(), None),
    ];
    assert_eq!(shown(body.as_bytes(), &map), want);
}

#[test]
fn the_newest_user_text_is_not_a_result() {
    let last = |messages: Value| Api.last_user_text(json!({ "messages": messages }).to_string().as_bytes());
    let result = json!({"type": "tool_result", "tool_use_id": "t", "content": "r"});
    let asked = json!({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]});
    assert_eq!(last(json!([asked, {"role": "user", "content": [result]}])).as_deref(), Some("a\nb"));
    assert_eq!(
        last(json!([asked, {"role": "user", "content": [result, {"type": "text", "text": "c"}]}])).as_deref(),
        Some("c")
    );
    assert_eq!(last(json!([{"role": "assistant", "content": "x"}])), None);
    assert_eq!(last(json!({"role": "user", "content": "one"})).as_deref(), Some("one"));
}

#[test]
fn an_edit_changes_its_text_alone() {
    let body =
        r#"{"model":"m", "messages":[ {"role":"user","content":[{"type":"text","text":"my card is 42"}]} ],"x":1.50}"#;
    let mut document = Document::new(Bytes::from_static(body.as_bytes()), |bytes| Api.request_texts(bytes), 1000);
    document.set_text(0, "my card is \"**\"").unwrap();
    assert_eq!(document.commit(), body.replace("my card is 42", "my card is \\\"**\\\""));
}

#[test]
fn every_text_of_a_reply_is_shown() {
    let body = json!({
        "id": "msg", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
            {"type": "text", "text": "said"},
            {"type": "tool_use", "id": "t", "name": "look", "input": {"a": ["b"]}, "caller": {"type": "direct"}},
            {"type": "code_execution_tool_result", "tool_use_id": "s", "content": {"type": "code_execution_result", "stdout": "out"}},
        ],
        "stop_sequence": "END", "stop_details": {"type": "refusal", "explanation": "why"},
        "usage": {"input_tokens": 1, "output_tokens": 2, "service_tier": "standard"},
    })
    .to_string();
    let map = Api.reply_texts(body.as_bytes());
    assert_eq!(joined(body.as_bytes(), &map), "hm\u{1e}said\u{1e}b\u{1e}out\u{1e}END\u{1e}why");
    assert_eq!(map.pieces[2].kind, Kind::ToolArguments);
    assert_eq!((map.pieces[3].role, map.pieces[3].kind), (Speaker::Tool, Kind::ToolResult));
}

/// A guard that looks for a word by the texts must meet it wherever a provider reads it.
#[test]
fn no_recorded_text_is_hidden() {
    for case in recorded() {
        for body in [case.request.to_string(), case.body.clone()] {
            if case.status != 200 || !body.starts_with('{') || !body.contains("\"content\"") {
                continue;
            }
            let request = body.contains("\"messages\"");
            let map = if request { Api.request_texts(body.as_bytes()) } else { Api.reply_texts(body.as_bytes()) };
            let all = joined(body.as_bytes(), &map);
            let tree: Value = serde_json::from_str(&body).unwrap();
            let mut said = Vec::new();
            collect(&tree, &mut said);
            for text in said {
                assert!(all.contains(&text), "{}: {text}", case.name);
            }
        }
    }
}

fn collect(value: &Value, said: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, value) in members {
                match value {
                    Value::String(text) if matches!(name.as_str(), "text" | "thinking" | "description") => {
                        said.push(text.clone());
                    }
                    _ => collect(value, said),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|item| collect(item, said)),
        _ => {}
    }
}
