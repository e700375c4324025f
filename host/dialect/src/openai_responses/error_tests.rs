use super::*;

#[test]
fn recorded_errors_say_what_they_are() {
    // Bodies as OpenAI, xAI, ChatGPT's backend and Azure sent them.
    for (status, body, class, passes) in [
        (
            400,
            r#"{"error":{"message":"Your input exceeds the context window of this model. Please adjust your input and try again.","type":"invalid_request_error","param":"input","code":"context_length_exceeded"}}"#,
            Class::ContextLength,
            true,
        ),
        (
            429,
            r#"{"error":{"message":"You exceeded your current quota, please check your plan and billing details.","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#,
            Class::Quota,
            true,
        ),
        (
            400,
            r#"{"error":{"message":"The requested model 'invalid-model' does not exist.","type":"invalid_request_error","param":"model","code":"model_not_found"}}"#,
            Class::NotFound,
            true,
        ),
        (
            400,
            r#"{"error":{"code":"unsupported_parameter","message":"Unsupported parameter: 'reasoning.effort' is not supported with this model.","param":"reasoning.effort","type":"invalid_request_error"}}"#,
            Class::Unsupported,
            true,
        ),
        (
            400,
            r#"{"error":{"code":"integer_below_min_value","message":"Invalid 'max_output_tokens'","param":"max_output_tokens","type":"invalid_request_error"}}"#,
            Class::Invalid,
            true,
        ),
        (
            400,
            r#"{"code":"invalid-argument","error":"Incorrect API key provided. You can obtain an API key from https://console.x.ai."}"#,
            Class::Auth,
            false,
        ),
        (400, r#"{"code":"invalid-argument","error":"Model not found: grok-nonexistent"}"#, Class::NotFound, false),
        (
            401,
            r#"{"detail":"Could not parse your authentication token. Please try signing in again."}"#,
            Class::Auth,
            false,
        ),
        (
            404,
            r#"{"error":{"code":"DeploymentNotFound","message":"The API deployment for this resource does not exist."}}"#,
            Class::NotFound,
            true,
        ),
        (
            503,
            r#"{"error":{"message":"Overloaded","type":"server_error","code":"server_is_overloaded"}}"#,
            Class::Overloaded,
            true,
        ),
    ] {
        let failure = from_provider(status, None, body.as_bytes());
        assert_eq!((failure.class(), failure.status), (class, status), "{body}");
        assert_eq!(failure.original.is_some(), passes, "{body}");
        let written: Value = serde_json::from_slice(&write(&failure)).unwrap();
        if passes {
            assert_eq!(written.to_string(), body);
        } else {
            let keys: Vec<&String> = written["error"].as_object().unwrap().keys().collect();
            assert_eq!(keys, ["message", "type", "param", "code"]);
        }
    }
}

#[test]
fn errors_of_other_dialects_get_the_four_keys() {
    let mut failure = Failure::new(crate::failure::Blame::Provider, 429, "rate_limit_error", "x", "Slow down.");
    failure.kind = "RESOURCE_EXHAUSTED".into();
    failure.code = None;
    let body: Value = serde_json::from_slice(&write(&failure)).unwrap();
    let expected =
        json!({"message": "Slow down.", "type": "rate_limit_error", "param": null, "code": "rate_limit_exceeded"});
    assert_eq!(body, json!({"error": expected}));
    failure.original = Some(Box::new(crate::failure::Original { dialect: OWN, body: "{}".into() }));
    assert_eq!(write(&failure), "{}");
}

#[test]
fn a_stream_that_breaks_off_ends_twice() {
    let failure = Failure::timeout("idle_timeout", "The provider fell silent.");
    let text = String::from_utf8(stream_event(&failure).to_vec()).unwrap();
    let events: Vec<Value> =
        text.lines().filter_map(|line| serde_json::from_str(line.strip_prefix("data: ")?).ok()).collect();
    assert_eq!(events.len(), 2);
    assert_eq!((&events[0]["type"], &events[0]["message"]), (&json!("error"), &json!("The provider fell silent.")));
    assert_eq!((&events[1]["type"], &events[1]["response"]["status"]), (&json!("response.failed"), &json!("failed")));
    assert_eq!(events[1]["response"]["error"], json!({"code": "server_error", "message": "The provider fell silent."}));
}
