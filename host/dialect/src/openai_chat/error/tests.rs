use super::*;
use crate::clean;
use crate::failure::{Blame, Retry};
use crate::told::MAX_MESSAGE;
use crate::told::excerpt;
use std::borrow::Cow;

fn from(status: u16, body: &str) -> Failure {
    from_provider(status, Some("application/json"), body.as_bytes())
}

fn said(status: u16, body: &str) -> (String, String, Option<String>, Option<String>) {
    let failure = from(status, body);
    let owned = |text: Option<Cow<'static, str>>| text.map(Cow::into_owned);
    (failure.message, failure.kind.into_owned(), owned(failure.code), owned(failure.param))
}

fn words(
    message: &str,
    kind: &str,
    code: Option<&str>,
    param: Option<&str>,
) -> (String, String, Option<String>, Option<String>) {
    (message.to_owned(), kind.to_owned(), code.map(str::to_owned), param.map(str::to_owned))
}

#[test]
fn renders_four_keys_always() {
    let mut failure = Failure::invalid("bad", "quote \" and\nline");
    assert_eq!(
        render(&failure, "id"),
        r#"{"error":{"message":"quote \" and\nline","type":"invalid_request_error","param":null,"code":"bad"}}"#
    );
    failure.code = None;
    failure.param = Some("model".into());
    assert_eq!(
        stream_event(&failure),
        "data: {\"error\":{\"message\":\"quote \\\" and\\nline\",\"type\":\"invalid_request_error\",\"param\":\"model\",\"code\":null}}\n\n"
    );
}

#[test]
fn reads_the_shapes_that_providers_send() {
    let invalid = "invalid_request_error";
    // OpenAI, with its key masked by itself, and with a field at fault.
    assert_eq!(
        said(
            401,
            "{\n \"error\": {\"message\": \"Incorrect API key provided: bad-key-**********test. You can find your API key at https://platform.openai.com/account/api-keys.\",\"type\":\"invalid_request_error\",\"param\":null,\"code\":\"invalid_api_key\"}}\n"
        ),
        words(
            "Incorrect API key provided: bad-key-**********test. You can find your API key at https://platform.openai.com/account/api-keys.",
            invalid,
            Some("invalid_api_key"),
            None
        )
    );
    assert_eq!(
        said(
            400,
            r#"{"error":{"message":"Unsupported parameter: 'max_tokens' is not supported with this model.","type":"invalid_request_error","param":"max_tokens","code":"unsupported_parameter"}}"#
        ),
        words(
            "Unsupported parameter: 'max_tokens' is not supported with this model.",
            invalid,
            Some("unsupported_parameter"),
            Some("max_tokens")
        )
    );
    // Mistral: flat. xAI: the code beside a text. Hugging Face and Venice: only a text.
    assert_eq!(
        said(
            400,
            r#"{"code":"1500","message":"Invalid model: definitely-not-a-model","object":"error","param":null,"raw_status_code":400,"type":"invalid_model"}"#
        ),
        words("Invalid model: definitely-not-a-model", "invalid_model", Some("1500"), None)
    );
    assert_eq!(
        said(404, r#"{"code":"Some requested entity was not found","error":"The model grok-beta was deprecated."}"#),
        words("The model grok-beta was deprecated.", invalid, Some("Some requested entity was not found"), None)
    );
    assert_eq!(
        said(422, r#"{"error":"Template error: template not found","error_type":"template_error"}"#),
        words("Template error: template not found", "template_error", None, None)
    );
    // FastAPI servers; Gemini's list; OpenRouter's number; a list of errors.
    assert_eq!(
        said(422, r#"{"detail":[{"type":"missing","loc":["body","messages"],"msg":"Field required","input":{"prompt":"Paris is"}}]}"#).0,
        "body.messages: Field required"
    );
    assert_eq!(said(404, r#"{"detail":"Not Found"}"#).0, "Not Found");
    assert_eq!(
        said(
            400,
            r#"[{"error":{"code":400,"message":"API key not valid. Please pass a valid API key.","status":"INVALID_ARGUMENT"}}]"#
        ),
        words("API key not valid. Please pass a valid API key.", invalid, Some("INVALID_ARGUMENT"), None)
    );
    assert_eq!(
        said(
            429,
            r#"{"error":{"code":429,"message":"Rate limit exceeded: free-models-per-min. ","metadata":{"provider_name":null}},"user_id":"user_x"}"#
        ),
        words("Rate limit exceeded: free-models-per-min.", "rate_limit_error", Some("429"), None)
    );
    assert_eq!(
        said(500, r#"{"errors":[{"message":"AiError: internal","code":3043}],"success":false}"#).0,
        "AiError: internal"
    );
    assert_eq!(
        said(
            400,
            r#"{"code":400,"message":"Validation: Temperature must be between 0 and 2, got 100","type":"Bad Request"}"#
        )
        .1,
        invalid
    );
    assert_eq!(said(400, r#"{"id":"2da0","message":"model 'x' not found"}"#).0, "model 'x' not found");
}

#[test]
fn anything_but_json_stays_inside() {
    for body in [
        "<html><body>nginx 10.0.0.1</body></html>",
        "upstream connect error",
        "",
        "\u{0}\u{1}",
        "\"text\"",
        "{\"a\":1}",
    ] {
        let failure = from(503, body);
        assert_eq!(failure.message, "The provider is overloaded (status 503) and gave no readable reason.", "{body}");
        assert_eq!((failure.status, &*failure.kind, failure.code), (503, "server_error", None));
    }
    let page = from(500, r#"{"error":{"message":"<!DOCTYPE html><title>x</title>","code":"boom"}}"#);
    assert!(!page.message.contains('<'), "{}", page.message);
    assert_eq!(page.code.as_deref(), Some("boom"));
    assert!(from(503, "upstream connect error").detail.contains("upstream connect error"));
}

#[test]
fn retry_and_status_follow_the_status() {
    let retry = |status| from(status, "{}").retry;
    for status in [401, 402, 403, 408, 409, 429, 500, 502, 503, 529] {
        assert_eq!(retry(status), Retry::NextTarget, "{status}");
        assert_eq!(from(status, "{}").status, status);
    }
    for status in [400, 404, 413, 422] {
        assert_eq!(retry(status), Retry::No, "{status}");
    }
    for odd in [204, 302, 101, 700] {
        assert_eq!((from(odd, "{}").status, retry(odd)), (502, Retry::NextTarget));
    }
    assert_eq!(from(429, "{}").blame, Blame::Provider);
}

#[test]
fn secrets_go() {
    for secret in [
        "sk-proj-abcDEF1234567890",
        "sk-ant-api03-AbCd_efGh-1234",
        "sk-1234567890abcdef1234567890abcdef",
        "sk-abc***def",
        "sk-or-v1-0123456789abcdef",
        "gsk_aB3dE5fG7hI9jK1lM3nO5",
        "AIzaSyD-1234567890abcdefghijklmnopqrstu",
        "xai-a1b2c3d4e5f6g7h8i9j0",
        "hf_abcdefghijKLMNOP12345678",
        "AKIAIOSFODNN7EXAMPLE",
        "sk-abcdefghijklmnopqrst",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N",
        "pplx-0a1b2c3d4e5f6a7b",
        "sk-svcacct-Ab12Cd34",
        "nvapi-Zz9Yy8Xx7Ww6Vv5",
        "r8_AbCdEfGh12345678",
        "sk-…6789",
    ] {
        for shape in ["Invalid key {}.", "key={}&x=1", "(\"{}\")", "Bearer {}", "https://a.example.com/v1?key={}"] {
            let message = clean::message(&shape.replace("{}", secret), 200).unwrap();
            assert!(!message.contains(secret), "{message}");
            assert!(message.contains("[redacted]"), "{message}");
        }
    }
    for (text, kept) in [
        ("Incorrect API key provided: sk-wrong.", "Incorrect API key provided: [redacted]."),
        ("Authorization: Bearer abc123def456", "Authorization: Bearer [redacted]"),
        ("{\"api_key\":\"9f8e7d6c5b4a\"}", "{\"api_key\":\"[redacted]\"}"),
    ] {
        assert_eq!(clean::message(text, 200).as_deref(), Some(kept));
    }
    assert!(!excerpt(b"oops sk-proj-abcDEF1234567890").contains("abcDEF"));
}

#[test]
fn words_that_merely_look_like_secrets_or_addresses_stay() {
    for text in [
        "Use sk-learn or sk-learn-contrib for a task-force of risk-free desk-bound work.",
        "The Bearer token is missing; Bearer authentication-required.",
        "Invalid API key: please check your key.",
        "Incorrect API key provided: <not-a-r****key>. Find it.",
        "Your api key: ****-key is invalid",
        "model gpt-4o-mini-2024-07-18 and meta-llama/Llama-3.3-70B-Instruct-Turbo, xai-grok, hf_hub, sk-ant colony",
        "See https://platform.openai.com/docs/guides/rate-limits and POST /v1/chat/completions.",
        "Limit: 30000 tokens per min, version 1.2.3, at 12:30:45, ratio 3/4, std::vector, a/b.",
        "Invalid 'messages[3]'. Content blocks are expected; request 37af79ff-d317-436b-a3e9-80eede49ef50",
        "This model's maximum context length is 128000 tokens.",
        "models/gemini-1.5-flash is not found for API version v1beta",
        "max token: 4096. Token limit: gpt-4o",
    ] {
        assert_eq!(clean::message(text, 500).as_deref(), Some(text));
    }
}

#[test]
fn addresses_paths_traces_and_controls_go() {
    for (text, kept) in [
        ("dial tcp 10.0.0.5:443: connect: refused", "dial tcp [address]: connect: refused"),
        ("POST http://vllm-0:8000/v1/x failed", "POST [address] failed"),
        ("at https://user:pw@api.example.com/x.", "at [address]."),
        ("http://model.svc.cluster.local/x and localhost:11434", "[address] and [address]"),
        ("[fd00::12]:80 host=192.168.1.9", "[address] host=[address]"),
        ("No such file: '/home/deploy/app/model.bin'", "No such file: '[path]'"),
        ("in /usr/lib/python3/site.py:12, x", "in [path], x"),
        ("C:\\models\\a.bin missing", "[path] missing"),
        ("boom\nTraceback (most recent call last):\n  File \"x.py\"", "boom"),
        ("TypeError: x\n    at run (server.js:1:2)", "TypeError: x"),
        ("a\u{0}b\r\n\tc\u{202e}d", "a b c d"),
    ] {
        assert_eq!(clean::message(text, 500).as_deref(), Some(kept));
    }
    assert_eq!(clean::message("Traceback (most recent call last)", 500), None);
}

#[test]
fn long_messages_are_cut_at_the_cap() {
    let body = serde_json::json!({"error": {"message": "é".repeat(9000), "code": "c".repeat(900)}}).to_string();
    let failure = from(400, &body);
    assert_eq!(failure.message.chars().count(), MAX_MESSAGE);
    assert!(failure.code.unwrap().chars().count() <= 128);
    // A key across the cap does not survive as half a key.
    let text = format!("{} sk-proj-abcDEF1234567890abcdef", "x".repeat(MAX_MESSAGE - 10));
    assert!(!clean::message(&text, MAX_MESSAGE).unwrap().contains("sk-"));
}

#[test]
fn errors_inside_streams() {
    let openrouter = br#"{"id":"gen-1","choices":[{"delta":{"content":""},"finish_reason":"error","index":0}],"error":{"code":502,"message":"Provider returned error"}}"#;
    let failure = in_stream(openrouter).unwrap();
    assert_eq!((failure.status, failure.message.as_str()), (502, "Provider returned error"));
    assert_eq!(
        (failure.blame, failure.retry, failure.code.as_deref()),
        (Blame::Provider, Retry::NextTarget, Some("502"))
    );
    let tgi = br#"{"error":"Request failed during generation","error_type":"generation"}"#;
    assert_eq!(in_stream(tgi).unwrap().message, "Request failed during generation");
    assert!(in_stream(br#"{"object":"error","message":"boom","code":400}"#).is_some());
    assert_eq!(in_stream(br#"{"choices":[{"delta":{"content":"\"error\""}}]}"#), None);
    assert_eq!(in_stream(br#"{"error":null,"choices":[]}"#), None);
    assert_eq!(in_stream(b"[DONE]"), None);
    assert_eq!(from_error_event(br#"{"message":"Tool call failed","status_code":400}"#).message, "Tool call failed");
    assert_eq!(from_error_event(b"plain words").status, 502);
}

#[test]
fn a_clean_body_of_the_dialect_stays_as_it_came() {
    let body =
        "{ \"error\": {\"message\":\"No.\",\"type\":\"x\",\"code\":429, \"metadata\":{\"a\":[1]}},\"user_id\":\"u\"}\n";
    assert_eq!(render(&from(429, body), "id"), body);
    for other in [
        r#"{"error":{"message":"at http://10.0.0.1/","type":"x"}}"#,
        r#"{"error":"text"}"#,
        r#"{"detail":"Not Found"}"#,
        r#"{"error":{"message":"No.","trace":"sk-proj-abcDEF1234567890"}}"#,
        "[{\"error\":{\"message\":\"No.\"}}]",
        r#"{"error":{"message":"cut"#,
    ] {
        let rendered = render(&from(400, other), "id");
        assert!(rendered.starts_with(b"{\"error\":{\"message\":") && rendered != other, "{other}");
        assert_eq!(json::object(&rendered, 9).map(Iterator::count), Some(4), "{other}");
    }
    let mut foreign = from(429, body);
    foreign.original.as_mut().unwrap().dialect = crate::Dialect::Anthropic;
    assert!(render(&foreign, "id").starts_with(b"{\"error\":{\"message\":\"No.\",\"type\":\"x\",\"param\":null"));
}

#[test]
fn an_error_inside_a_success_has_the_status_that_it_names() {
    let groq = br#"{"error":{"message":"Tool call failed","type":"invalid_request_error","code":"tool_use_failed","status_code":400}}"#;
    assert_eq!(from_error_event(groq).status, 400);
    let azure = br#"{"error":{"message":"filtered","code":"content_filter","status":400}}"#;
    let failure = in_stream(azure).unwrap();
    assert_eq!((failure.status, failure.class()), (400, crate::failure::Class::ContentFilter));
    assert_eq!(in_stream(br#"{"error":{"message":"x","code":200}}"#).unwrap().status, 502);
}
