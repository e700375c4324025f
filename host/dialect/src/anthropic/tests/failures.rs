//! Errors in both directions, and streams that fail.

use super::*;
use crate::failure::{Blame, Class, Failure, Retry};

fn parsed(body: &[u8]) -> Value {
    serde_json::from_slice(body).unwrap()
}

#[test]
fn classes_are_read_from_types_and_sentences() {
    for (status, kind, message, class) in [
        (400, "invalid_request_error", "prompt is too long: 208310 tokens > 200000 maximum", Class::ContextLength),
        (400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API.", Class::Quota),
        (400, "invalid_request_error", "This model does not support effort level 'xhigh'.", Class::Unsupported),
        (400, "invalid_request_error", "Output blocked by content filtering policy", Class::ContentFilter),
        (400, "invalid_request_error", "max_tokens: Field required", Class::Invalid),
        (401, "authentication_error", "invalid x-api-key", Class::Auth),
        (404, "not_found_error", "model: claude-9", Class::NotFound),
        (413, "request_too_large", "Request exceeds the maximum size", Class::TooLarge),
        (429, "rate_limit_error", "Number of request tokens has exceeded your per-minute limit", Class::RateLimit),
        (500, "api_error", "Internal server error", Class::Server),
        (529, "overloaded_error", "Overloaded", Class::Overloaded),
    ] {
        let body =
            json!({"type": "error", "error": {"type": kind, "message": message}, "request_id": "req_1"}).to_string();
        let failure = Api.read_error(status, Some("application/json"), body.as_bytes());
        assert_eq!((failure.class(), failure.status), (class, status), "{message}");
        assert_eq!(Api.write_error(&failure, "id"), body);
    }
}

#[test]
fn failures_of_others_get_every_field() {
    for (class, kind) in [
        (Class::Invalid, "invalid_request_error"),
        (Class::Auth, "authentication_error"),
        (Class::Permission, "permission_error"),
        (Class::NotFound, "not_found_error"),
        (Class::TooLarge, "request_too_large"),
        (Class::Quota, "billing_error"),
        (Class::RateLimit, "rate_limit_error"),
        (Class::Overloaded, "overloaded_error"),
        (Class::Timeout, "timeout_error"),
        (Class::Server, "api_error"),
    ] {
        let failure = Failure::new(Blame::Provider, 500, "server_error", "code_7", "It \"broke\".").with_class(class);
        let body = parsed(&Api.write_error(&failure, "call-1"));
        assert_eq!(
            body,
            json!({"type": "error", "error": {"type": kind, "message": "It \"broke\".", "code": "code_7"}, "request_id": "call-1"})
        );
    }
    let long = Failure::invalid("context_length_exceeded", "Too many tokens.").with_class(Class::ContextLength);
    let body = parsed(&Api.write_error(&long, ""));
    assert_eq!(body["error"]["message"], json!("prompt is too long: Too many tokens."));
    assert!(body.get("request_id").is_none());
}

#[test]
fn failures_inside_a_stream_end_it() {
    let overloaded = r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
    let body = format!(
        "event: message_start\ndata: {{\"type\":\"message_start\",\"message\":{{\"id\":\"m\"}}}}\n\nevent: error\ndata: {overloaded}\n\nevent: ping\ndata: {{\"type\":\"ping\"}}\n\n"
    );
    let deltas = decode(body.as_bytes());
    let Some(Delta::Failed(failure)) = deltas.last() else { panic!("{deltas:?}") };
    assert_eq!((failure.status, failure.class(), failure.retry), (529, Class::Overloaded, Retry::NextTarget));
    assert_eq!(Api.error_event(failure), format!("event: error\ndata: {overloaded}\n\n"));
    assert!(encode(&deltas, &Asked::default()).ends_with(&Api.error_event(failure)));
    let glance = Api.glance(Some(b"error"), overloaded.as_bytes()).unwrap();
    assert!(glance.error);
    assert_eq!(Api.stream_failure(Some(b"error"), overloaded.as_bytes()).as_ref(), Some(&**failure));
    assert!(Api.stream_failure(None, br#"{"type":"ping"}"#).is_none());
    for (events, code) in [
        ("event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"m\"}}\n\n", "stream_truncated"),
        ("", "stream_truncated"),
        ("data: {\"type\":\"message_st\n\n", "invalid_event"),
        ("data: {\"type\":\"content_block_start\",\"index\":9999,\"content_block\":{}}\n\n", "invalid_event"),
    ] {
        let deltas = decode(events.as_bytes());
        let Some(Delta::Failed(failure)) = deltas.last() else { panic!("{deltas:?}") };
        assert_eq!((failure.status, failure.code.as_deref()), (502, Some(code)));
    }
}

#[test]
fn an_end_that_was_told_needs_no_stop() {
    let body = "data: {\"type\":\"message_start\",\"message\":{\"id\":\"m\",\"model\":\"c\"}}\n\n\
        data: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"hi\"}}\n\n\
        data: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":3}}\n\n";
    let deltas = decode(body.as_bytes());
    assert_eq!(deltas.last(), Some(&Delta::Done));
    let reply = gather(&deltas);
    assert_eq!(reply.choices[0].parts, [Part::Text(Text::of("hi"))]);
    assert_eq!(reply.choices[0].finish, Finish::Stop);
}

#[test]
fn a_reply_that_is_none_says_who_failed() {
    for (body, code) in [
        ("", "empty_reply"),
        ("<html>", "html_reply"),
        ("event: ping\n", "unexpected_stream"),
        ("{\"content\":[", "truncated_reply"),
        ("{]", "invalid_reply"),
        ("{\"content\":null}", "invalid_reply"),
    ] {
        let failure = Api.check_reply(body.as_bytes()).unwrap_err();
        assert_eq!((failure.status, failure.code.as_deref()), (502, Some(code)), "{body}");
        assert_eq!(Api.read_reply(body.as_bytes()).unwrap_err().code, failure.code);
    }
    let inside = br#"{"type":"error","error":{"type":"api_error","message":"Broken inside"}}"#;
    assert_eq!(Api.check_reply(inside).unwrap_err().message, "Broken inside");
}

#[test]
fn interleaved_blocks_are_told_one_at_a_time() {
    let call = |id: &str| BlockKind::Call {
        id: id.into(),
        name: "f".into(),
        custom: false,
        namespace: None,
        rest: Rest::default(),
    };
    let text = |block, text: &str| Delta::Text { choice: 0, block, text: text.into() };
    let open = |block, kind| Delta::Open { choice: 0, block, kind };
    let deltas = [
        open(0, BlockKind::Text { rest: Rest::default() }),
        open(1, call("a")),
        text(1, "{}"),
        text(0, "said"),
        open(2, call("b")),
        text(0, "more"),
        open(3, BlockKind::Text { rest: Rest::default() }),
        Delta::Close { choice: 0, block: 3 },
        Delta::Finish { choice: 0, finish: Finish::Stop, stop_sequence: None, rest: Rest::default() },
        open(0, BlockKind::Refusal),
        Delta::Done,
    ];
    let written = encode(&deltas, &Asked { id: "i".into(), model: "mine".into(), ..Asked::default() });
    let message = cases::accumulate(&written);
    assert_eq!((&message["id"], &message["model"]), (&json!("msg_i"), &json!("mine")));
    assert_eq!(message["stop_reason"], json!("tool_use"));
    let kinds: Vec<&str> =
        message["content"].as_array().unwrap().iter().map(|it| it["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["tool_use", "text", "tool_use", "text"]);
    let mut open = None;
    for (name, data) in events(&written) {
        let index = parsed(&data)["index"].as_u64();
        match name.as_deref().unwrap() {
            b"content_block_start" => assert_eq!(open.replace(index), None),
            b"content_block_delta" => assert_eq!(open, Some(index)),
            b"content_block_stop" => assert_eq!(open.take(), Some(index)),
            _ => {}
        }
    }
}
