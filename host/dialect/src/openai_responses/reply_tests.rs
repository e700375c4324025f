use bytes::Bytes;

use super::*;
use crate::document::Document;
use crate::failure::Class;

/// Masks a word in every piece, then looks for it anywhere.
fn masked(json: &str, word: &str) -> Value {
    let mut document = Document::new(Bytes::copy_from_slice(json.as_bytes()), text_map, 1 << 20);
    for index in 0..document.pieces().len() {
        let text = document.text(index).expect("a piece").into_owned();
        document.set_text(index, &text.replace(word, "***")).expect("an edit");
    }
    let bytes = document.commit();
    json::validate(&bytes).expect("still JSON");
    let value: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert!(!value.to_string().contains(word), "{value}");
    value
}

fn shown(json: &str) -> Vec<(Kind, String)> {
    let bytes = json.as_bytes();
    json::validate(bytes).expect("test input");
    let text = |literal| json::string(bytes, literal).expect("a literal").into_owned();
    text_map(bytes).pieces.into_iter().map(|piece| (piece.kind, text(piece.literal))).collect()
}

const REPLY: &str = r#"{"id":"resp_1","object":"response","status":"completed","error":null,"instructions":"Never tell.","model":"m","output":[
    {"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"A secret thought."}],"encrypted_content":"gAAA"},
    {"type":"web_search_call","id":"ws_1","status":"completed","action":{"type":"search","query":"a secret"}},
    {"type":"message","id":"msg_1","role":"assistant","status":"completed","content":[
        {"type":"output_text","text":"One secret.","annotations":[{"type":"url_citation","url":"https://x.example","title":"secret page","start_index":0,"end_index":3}],"logprobs":[{"token":" secret","logprob":-0.1,"bytes":[1],"top_logprobs":[]}]},
        {"type":"output_text","text":" Two.","annotations":[]}]},
    {"type":"function_call","id":"fc_1","call_id":"c","name":"look","arguments":"{\"a\":\"secret\"}","status":"completed"},
    {"type":"custom_tool_call","id":"ctc_1","call_id":"d","name":"exec","input":"secret"},
    {"type":"brand_new","payload":["secret"]}],
    "output_text":"One secret. Two.","tools":[{"type":"function","name":"look","description":"x"}],"usage":{"input_tokens":3,"input_tokens_details":{"cached_tokens":1},"output_tokens":2,"output_tokens_details":{"reasoning_tokens":1},"total_tokens":5}}"#;

#[test]
fn every_text_and_every_copy() {
    let kinds: Vec<Kind> = shown(REPLY).into_iter().map(|(kind, _)| kind).collect();
    use Kind::*;
    // The address of a citation is shown as well as its title: a model may have written either.
    assert_eq!(kinds, [Reasoning, ToolArguments, Text, Other, Other, Text, ToolArguments, ToolArguments, Other]);
    let value = masked(REPLY, "secret");
    assert!(value.pointer("/output/2/content/0/logprobs").unwrap().is_null());
    assert_eq!(value["output_text"], "");
    assert_eq!(value["output"][4]["input"], "***");
    assert_eq!(value["instructions"], "Never tell.");
}

#[test]
fn one_text_repeated_at_the_top_follows() {
    let json = r#"{"output":[{"type":"message","content":[{"type":"output_text","text":"secret"}]}],"output_text":"secret","output_messages":[{"content":"secret"}]}"#;
    let value = masked(json, "secret");
    assert_eq!(value["output_text"], "***");
    assert!(value["output_messages"].is_null());
    masked(r#"{"output":[],"output_text":"secret"}"#, "secret");
    masked(r#"{"output":"secret","brand_new":"secret"}"#, "secret");
}

#[test]
fn a_reply_is_checked() {
    let usage = check(REPLY.as_bytes()).unwrap().unwrap();
    assert_eq!(usage.classes(), [2, 1, 0, 1, 1]);
    let failed = |body: &str| {
        let failure = check(body.as_bytes()).unwrap_err();
        (failure.status, failure.code.unwrap_or_default().into_owned(), failure.class.unwrap_or(Class::Server))
    };
    for (body, status, code, class) in [
        ("", 502, "empty_reply", Class::Server),
        ("<html>", 502, "html_reply", Class::Server),
        ("event: x\n", 502, "unexpected_stream", Class::Server),
        (r#"{"output":["#, 502, "truncated_reply", Class::Server),
        ("nothing", 502, "invalid_reply", Class::Server),
        (r#"{"choices":[]}"#, 502, "invalid_reply", Class::Server),
        (
            r#"{"status":"failed","error":{"code":"rate_limit_exceeded","message":"slow"},"output":[]}"#,
            429,
            "rate_limit_exceeded",
            Class::RateLimit,
        ),
        (
            r#"{"status":"failed","error":{"code":"server_error","message":"x"},"output":[]}"#,
            502,
            "server_error",
            Class::Server,
        ),
        (
            r#"{"status":"failed","error":{"code":"context_length_exceeded","message":"x"},"output":[]}"#,
            400,
            "context_length_exceeded",
            Class::ContextLength,
        ),
        (r#"{"status":"failed","error":null,"output":[]}"#, 502, "response_failed", Class::Server),
        (r#"{"error":{"code":502,"message":"upstream"},"user_id":"u"}"#, 502, "502", Class::Server),
    ] {
        assert_eq!(failed(body), (status, code.to_owned(), class), "{body}");
    }
    assert!(check(br#"{"status":"queued","output":[],"error":null}"#).is_ok());
}
