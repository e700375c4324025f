use super::*;
use crate::openai_chat::reply;

const REPLY: &str = r#"{"id":"c1","object":"chat.completion","created":5,"model":"m","system_fingerprint":"fp","citations":["u"],"choices":[
  {"index":0,"message":{"role":"assistant","content":"Hello \"you\"","reasoning_content":"hm","refusal":null,"annotations":[{"type":"url_citation"}],"tool_calls":[{"id":"t1","type":"function","function":{"name":"f","arguments":"{\"a\":1}"}},{"id":"t2","type":"custom","custom":{"name":"g","input":"x"}}]},"logprobs":{"content":[{"token":"Hello"}]},"finish_reason":"tool_calls"},
  {"index":1,"message":{"role":"assistant","content":null,"refusal":"No."},"logprobs":null,"finish_reason":"content_filter"}],
  "usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;

fn data(stream: &[u8]) -> Vec<String> {
    let text = std::str::from_utf8(stream).unwrap();
    text.split_terminator("\n\n").map(|event| event.strip_prefix("data: ").unwrap().to_owned()).collect()
}

fn gather(events: &[String]) -> Value {
    let mut assembler = Assembler::new(1 << 20);
    for event in events {
        assembler.push(event.as_bytes()).unwrap();
    }
    serde_json::from_slice(&assembler.finish()).unwrap()
}

#[test]
fn a_reply_told_and_gathered_again_is_the_same() {
    let events = data(&to_stream(REPLY.as_bytes(), true).unwrap());
    assert_eq!(events.last().unwrap(), "[DONE]");
    let whole = gather(&events);
    let original: Value = serde_json::from_str(REPLY).unwrap();
    for pointer in [
        "/id",
        "/model",
        "/created",
        "/object",
        "/citations",
        "/usage",
        "/system_fingerprint",
        "/choices/0/finish_reason",
        "/choices/0/message/content",
        "/choices/0/message/reasoning_content",
        "/choices/0/message/annotations",
        "/choices/0/logprobs",
        "/choices/1/message/refusal",
        "/choices/1/finish_reason",
        "/choices/1/message/content",
        "/choices/0/message/tool_calls/0/function",
        "/choices/0/message/tool_calls/1/custom",
        "/choices/0/message/tool_calls/1/id",
    ] {
        assert_eq!(whole.pointer(pointer), original.pointer(pointer), "{pointer}");
    }
}

#[test]
fn the_stream_has_openais_order() {
    let events = data(&to_stream(REPLY.as_bytes(), true).unwrap());
    let first: Value = serde_json::from_str(&events[0]).unwrap();
    assert_eq!(first.pointer("/choices/0/delta"), Some(&json!({"role": "assistant", "content": ""})));
    assert_eq!(first["object"], "chat.completion.chunk");
    assert_eq!(first["usage"], Value::Null);
    let usage: Value = serde_json::from_str(&events[events.len() - 2]).unwrap();
    assert_eq!((&usage["choices"], &usage["usage"]["total_tokens"]), (&json!([]), &json!(3)));
    let without = to_stream(REPLY.as_bytes(), false).unwrap();
    assert!(!String::from_utf8_lossy(&without).contains("usage"));
    assert!(to_stream(b"{}", true).is_err());
    assert!(to_stream(b"{\"choices\":[1]}", true).is_err());
}

#[test]
fn complete_fills_what_is_missing() {
    let whole = complete(br#"{"content":"hi"}"#, "id1", "m1", 9).unwrap();
    assert_eq!(
        whole,
        r#"{"id":"id1","object":"chat.completion","created":9,"model":"m1","choices":[{"message":{"content":"hi","role":"assistant"},"index":0,"finish_reason":"stop","logprobs":null}],"usage":{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}}"#
    );
    reply::check(&whole).unwrap();
    let own = br#"{"id":"x","object":"nonsense","choices":[{"message":{"tool_calls":[{"id":"1"}]}},{"index":1,"message":{"content":"b"},"finish_reason":"length"}],"extra":1,"usage":{"prompt_tokens":1}}"#;
    let value: Value = serde_json::from_slice(&complete(own, "id", "m", 1).unwrap()).unwrap();
    assert_eq!((&value["id"], &value["object"], &value["extra"]), (&json!("x"), &json!("chat.completion"), &json!(1)));
    assert_eq!(value["choices"][0]["finish_reason"], "tool_calls");
    assert_eq!(value["choices"][1]["finish_reason"], "length");
    assert_eq!(value["usage"]["prompt_tokens"], 1);
    for bad in [
        r#"{"choices":[{"message":{},"index":"q"}]}"#,
        r#"{"choices":[{"message":{},"finish_reason":7}]}"#,
        r#"{"choices":[{"message":{"tool_calls":[1]}}]}"#,
        "",
        "[]",
        "{}",
        r#"{"choices":[]}"#,
        r#"{"choices":[{}]}"#,
        r#"{"choices":[{"message":{"content":7}}]}"#,
        r#"{"choices":[{"message":{"tool_calls":7}}]}"#,
    ] {
        let failure = complete(bad.as_bytes(), "i", "m", 1).unwrap_err();
        assert_eq!((failure.blame, failure.status), (Blame::Plugin, 500), "{bad}");
        assert!(!failure.detail.is_empty());
    }
}

#[test]
fn a_complete_reply_keeps_its_bytes() {
    let complete = |reply: &str| complete(reply.as_bytes(), "id", "m", 1);
    assert_eq!(complete(REPLY).unwrap(), REPLY);
    let spare = r#"{ "model":"m","choices":[{"finish_reason":"stop","message":{"content":[],"role":"assistant"},"index":0}],"usage":{},"created":1,"id":"c","object":"chat.completion"}"#;
    assert_eq!(complete(spare).unwrap(), spare);
    // One thing away from it, everything is as if it had never been complete.
    for (part, instead) in [
        (r#""id":"c","#, ""),
        (r#""id":"c""#, r#""id":null"#),
        (r#""created":1,"#, ""),
        (r#""model":"m","#, ""),
        (r#""usage":{}"#, r#""usage":null"#),
        ("chat.completion", "nonsense"),
        (r#""index":0"#, r#""index":null"#),
        (r#","index":0"#, ""),
        (r#""finish_reason":"stop","#, ""),
        (r#""finish_reason":"stop""#, r#""finish_reason":null"#),
        (r#","role":"assistant""#, ""),
        (r#""content":[],"#, ""),
        (r#""id":"c""#, r#""id":"a","id":"c""#),
        (r#""id":"c""#, r#""id":"c","\u0069d":"d""#),
        (r#""content":[]"#, r#""content":"a","content":"b""#),
        (r#""content":[]"#, r#""content":"a","cont\u0065nt":"b""#),
    ] {
        let text = spare.replacen(part, instead, 1);
        assert_ne!(text, spare, "{part}");
        let made = complete(&text).unwrap();
        assert_ne!(made, text, "{part} {instead}");
        let value: Value = serde_json::from_slice(&made).unwrap();
        assert_eq!(value["object"], "chat.completion");
        assert_eq!(value["choices"][0]["logprobs"], Value::Null);
        assert!(finished::is_complete(&made), "{}", String::from_utf8_lossy(&made));
        let twice: Value = serde_json::from_str(&text).unwrap();
        for pointer in ["/id", "/choices/0/message/content"] {
            let given = twice.pointer(pointer).filter(|given| !given.is_null());
            assert!(given.is_none() || given == value.pointer(pointer), "{text}");
        }
    }
    for bad in [
        spare.replace("[]", "7"),
        spare.replace(r#""index":0"#, r#""index":0.5"#),
        spare.replace(r#""role""#, r#""tool_calls":[1],"role""#),
        spare.replace(r#""role""#, r#""tool_calls":{},"role""#),
        spare.replace(r#""stop""#, "7"),
        spare.replace(r#"[{"finish"#, r#"[{},{"finish"#),
        format!("{spare}}}"),
        spare.replace('}', ""),
    ] {
        assert!(complete(&bad).is_err(), "{bad}");
    }
}

#[test]
fn gathers_what_providers_stream() {
    // OpenAI: id and name first, then fragments; parallel calls by index; usage last.
    let whole = gather(&[
        r#"{"id":"c","model":"m","created":3,"choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"add","arguments":""}}]},"finish_reason":null}]}"#.to_owned(),
        r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"{\"x\""}}]}}]}"#.to_owned(),
        r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","type":"function","function":{"name":"mul","arguments":"{}"}},{"index":0,"id":"","function":{"name":"","arguments":":1}"}}]}}]}"#.to_owned(),
        r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}],"usage":null}"#.to_owned(),
        r#"{"id":"c","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#.to_owned(),
        "[DONE]".to_owned(),
    ]);
    assert_eq!(
        whole["choices"][0]["message"]["tool_calls"][0]["function"],
        json!({"name": "add", "arguments": "{\"x\":1}"})
    );
    assert_eq!(whole["choices"][0]["message"]["tool_calls"][0]["id"], "a");
    assert_eq!(whole["choices"][0]["message"]["tool_calls"][1]["function"]["name"], "mul");
    assert_eq!(
        (&whole["choices"][0]["finish_reason"], &whole["usage"]["completion_tokens"]),
        (&json!("tool_calls"), &json!(2))
    );
    // Azure: an empty first event. Mistral: parts, then text; calls without an index.
    let whole = gather(&[
        r#"{"id":"","model":"","created":0,"choices":[],"prompt_filter_results":[]}"#.to_owned(),
        r#"{"id":"z","model":"mm","created":7,"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"I th"}]}]}}]}"#.to_owned(),
        r#"{"choices":[{"index":0,"delta":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"ink"}]}]}}]}"#.to_owned(),
        r#"{"choices":[{"index":0,"delta":{"content":"Four"}}]}"#.to_owned(),
        r#"{"choices":[{"index":0,"delta":{"content":".","tool_calls":[{"id":"p","function":{"name":"f","arguments":"{}"}},{"id":"q","function":{"name":"g","arguments":"{}"}}]},"finish_reason":"stop"}]}"#.to_owned(),
    ]);
    assert_eq!(whole["id"], "z");
    assert_eq!(
        whole["choices"][0]["message"]["content"],
        json!([{"type": "thinking", "thinking": [{"type": "text", "text": "I think"}]}, {"type": "text", "text": "Four."}])
    );
    assert_eq!(whole["choices"][0]["message"]["tool_calls"][1]["id"], "q");
    // Perplexity's cumulative message and Together's text repeat; OpenRouter's details continue by index; Groq's usage.
    let whole = gather(&[
        r#"{"id":"p","choices":[{"index":0,"delta":{"content":"He","reasoning":"a","reasoning_details":[{"type":"reasoning.text","text":"a","index":0,"format":null}]},"message":{"content":"He"},"text":"He"}],"search_results":[{"title":"t"}]}"#.to_owned(),
        r#"{"id":"p","choices":[{"index":0,"delta":{"content":"llo","reasoning":"b","reasoning_details":[{"type":"reasoning.text","text":"b","index":0},{"type":"reasoning.encrypted","data":"X","index":1}]},"message":{"content":"Hello"},"text":"llo","finish_reason":"stop"}],"search_results":[{"title":"t"}],"x_groq":{"usage":{"prompt_tokens":4}}}"#.to_owned(),
    ]);
    let message = &whole["choices"][0]["message"];
    assert_eq!((&message["content"], &message["reasoning"]), (&json!("Hello"), &json!("ab")));
    assert_eq!(message["reasoning_details"][0]["text"], "ab");
    assert_eq!(message["reasoning_details"][1]["data"], "X");
    assert!(whole["choices"][0].get("text").is_none());
    assert_eq!(whole["usage"]["prompt_tokens"], 4);
}

#[test]
fn holding_is_bounded() {
    let mut assembler = Assembler::new(1000);
    let event = |text: &str| format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{{"content":"{text}"}}}}]}}"#);
    let mut pushed = 0;
    let failure = loop {
        match assembler.push(event(&"x".repeat(100)).as_bytes()) {
            Ok(()) => pushed += 1,
            Err(failure) => break failure,
        }
        assert!(pushed < 100);
    };
    assert_eq!((failure.code.as_deref(), failure.status), (Some("reply_too_large"), 502));
    assert!(pushed >= 8, "{pushed}");
    // What repeats in every event is not held again and again.
    let mut assembler = Assembler::new(400);
    for _ in 0..1000 {
        assembler
            .push(br#"{"id":"c","model":"m","choices":[],"search_results":[{"title":"long enough to count"}]}"#)
            .unwrap();
    }
    assert!(Assembler::new(99).push(br#"{"choices":[{"index":99999,"delta":{}}]}"#).is_err());
    assert!(Assembler::new(99).push(b"not json").is_err());
    assert!(Assembler::new(99).push(b"").is_ok());
}
