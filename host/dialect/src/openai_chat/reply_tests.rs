use super::*;
use crate::document::Document;
use bytes::Bytes;

fn shown(json: &str) -> Vec<(Kind, u32, String)> {
    let bytes = json.as_bytes();
    json::validate(bytes).expect("test input");
    let text = |literal| json::string(bytes, literal).expect("a literal").into_owned();
    text_map(bytes).pieces.into_iter().map(|piece| (piece.kind, piece.choice, text(piece.literal))).collect()
}

/// Masks a word in every piece, then looks for it anywhere, decoded too.
fn masked(json: &str, word: &str) -> serde_json::Value {
    let mut document = Document::new(Bytes::copy_from_slice(json.as_bytes()), text_map, 1 << 20);
    for index in 0..document.pieces().len() {
        let text = document.text(index).expect("a piece").into_owned();
        document.set_text(index, &text.replace(word, "***")).expect("an edit");
    }
    let bytes = document.commit();
    json::validate(&bytes).expect("still JSON");
    let value: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
    assert!(!value.to_string().contains(word), "{value}");
    value
}

const OPENAI: &str = r#"{"id":"chatcmpl-1","object":"chat.completion","created":1,"model":"gpt-4o","choices":[{"index":0,"message":{"role":"assistant","content":"A secret.","refusal":null,"annotations":[]},"logprobs":{"content":[{"token":" secret","logprob":-0.1,"bytes":[32,115],"top_logprobs":[{"token":" secret","logprob":-0.1,"bytes":null}]}],"refusal":null},"finish_reason":"stop"},{"index":1,"message":{"role":"assistant","content":"Other."},"logprobs":{"content":[{"token":"Other"}]},"finish_reason":"length"}],"usage":{"prompt_tokens":3,"completion_tokens":2,"total_tokens":5}}"#;

#[test]
fn logprobs_vanish_with_an_edit_of_their_choice_only() {
    assert_eq!(shown(OPENAI), [(Kind::Text, 0, "A secret.".to_owned()), (Kind::Text, 1, "Other.".to_owned())]);
    let value = masked(OPENAI, "secret");
    assert!(value.pointer("/choices/0/logprobs").unwrap().is_null());
    assert_eq!(value.pointer("/choices/1/logprobs/content/0/token").unwrap(), "Other");
    assert_eq!(finish_reason(OPENAI.as_bytes(), 1).as_deref(), Some("length"));
    assert_eq!(finish_reason(OPENAI.as_bytes(), 2), None);
    assert_eq!(model(OPENAI.as_bytes()).as_deref(), Some("gpt-4o"));
    assert_eq!(usage(OPENAI.as_bytes()).unwrap(), Usage { input: 3, output: 2, ..Usage::default() });
}

#[test]
fn repeated_reasoning_is_one_piece_whatever_comes_first() {
    let whole = r#""reasoning":"First secret. Then more.""#;
    let details = r#""reasoning_details":[{"type":"reasoning.text","text":"First secret.","signature":"c2ln","format":"unknown","index":0},{"type":"reasoning.summary","summary":" Then more.","id":"rs_1"},{"type":"reasoning.encrypted","data":"AAAA"}]"#;
    for (one, two) in [(whole, details), (details, whole)] {
        let json = format!(r#"{{"choices":[{{"index":0,"message":{{"content":"Done.",{one},{two}}}}}]}}"#);
        let mut kinds: Vec<_> =
            shown(&json).into_iter().map(|(kind, _, text)| (kind == Kind::Reasoning, text)).collect();
        kinds.sort();
        assert_eq!(kinds, [(false, "Done.".to_owned()), (true, "First secret. Then more.".to_owned())]);
        let value = masked(&json, "secret");
        assert_eq!(value.pointer("/choices/0/message/reasoning").unwrap(), "First ***. Then more.");
        assert_eq!(value.pointer("/choices/0/message/reasoning_details/2/data").unwrap(), "AAAA");
        assert_eq!(value.pointer("/choices/0/message/content").unwrap(), "Done.");
    }
    // Two names for the same text: both say the new one.
    let json = r#"{"choices":[{"message":{"reasoning":"a secret","reasoning_content":"a secret","content":"x"}}]}"#;
    assert_eq!(masked(json, "secret").pointer("/choices/0/message/reasoning_content").unwrap(), "a ***");
    // Different texts are different pieces, and details alone are pieces.
    let json = r#"{"choices":[{"message":{"reasoning":"one","reasoning_content":"two","content":null,"reasoning_details":[{"text":"three"}]}}]}"#;
    assert_eq!(shown(json).len(), 3);
}

#[test]
fn three_spellings_of_reasoning_keep_their_copies_straight() {
    let json = r#"{"choices":[{"message":{"reasoning_details":[{"text":"secret a"},{"text":"b"}],"reasoning_content":"secret a","reasoning":"secret a, b and c","content":"the secret"},"text":"the secret"}]}"#;
    let value = masked(json, "secret");
    assert_eq!(value.pointer("/choices/0/message/reasoning").unwrap(), "*** a, b and c");
    assert_eq!(value.pointer("/choices/0/message/content").unwrap(), "the ***");
    assert_eq!(value.pointer("/choices/0/text").unwrap(), "the ***");
}

#[test]
fn providers_own_members_are_seen() {
    // Together: the text beside the message. Perplexity: an old delta, sources. Groq: tools it ran. Cloudflare: an object. Venice, vLLM.
    let together = r#"{"id":"1","prompt":[],"choices":[{"text":"my secret","seed":1,"logprobs":{"tokens":[" secret"],"token_logprobs":[0]},"message":{"role":"assistant","content":"my secret","tool_calls":[]}}]}"#;
    assert_eq!(shown(together).len(), 1);
    assert_eq!(masked(together, "secret").pointer("/choices/0/text").unwrap(), "my ***");
    let perplexity = r#"{"citations":["https://x.org/secret"],"search_results":[{"title":"secret","url":"u","snippet":"a secret","date":"2026"}],"choices":[{"index":0,"message":{"content":"secret [1]"},"delta":{"role":"assistant","content":"secret"}}],"related_questions":["which secret?"]}"#;
    masked(perplexity, "secret");
    let groq = r#"{"choices":[{"message":{"content":"x","executed_tools":[{"index":0,"type":"search","arguments":"{\"query\":\"secret\"}","output":"Title: secret","search_results":{"results":[{"title":"secret","content":"secret","score":1}]}}]}}]}"#;
    assert_eq!(shown(groq)[1], (Kind::ToolArguments, 0, "{\"query\":\"secret\"}".to_owned()));
    masked(groq, "secret");
    masked(r#"{"choices":[{"message":{"content":{"title":"secret","type":"the secret","n":1}}}]}"#, "secret");
    masked(
        r#"{"venice_parameters":{"web_search_citations":[{"content":"secret"}]},"choices":[{"message":{"content":"secret"},"token_ids":[1,2]}],"prompt_logprobs":[{"1":{"decoded_token":"secret"}}]}"#,
        "secret",
    );
    let mistral = r#"{"choices":[{"index":0,"message":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"my secret"}]},{"type":"text","text":"It is 4."}]}}]}"#;
    assert_eq!(shown(mistral), [(Kind::Reasoning, 0, "my secret".to_owned()), (Kind::Text, 0, "It is 4.".to_owned())]);
    masked(mistral, "secret");
    let audio = r#"{"choices":[{"message":{"content":null,"audio":{"id":"a","data":"UklGRg==","transcript":"my secret","expires_at":1}}}]}"#;
    assert_eq!(masked(audio, "secret").pointer("/choices/0/message/audio/data").unwrap(), "");
}

#[test]
fn parallel_tool_calls_have_their_names() {
    let json = r#"{"choices":[{"message":{"content":null,"function_call":{"name":"old","arguments":"{}"},"tool_calls":[{"id":"1","type":"function","function":{"name":"add","arguments":"{\"a\":\"secret\"}"}},{"id":"2","type":"function","function":{"arguments":"{\"b\":2}","name":"mul"}},{"id":"3","type":"custom","custom":{"name":"sh","input":"ls"}}]},"finish_reason":"tool_calls"}]}"#;
    let document = Document::new(Bytes::from_static(json.as_bytes()), text_map, 9999);
    let names: Vec<_> = (0..4).map(|index| document.tool_name(index).unwrap().into_owned()).collect();
    assert_eq!(names, ["old", "add", "mul", "sh"]);
    masked(json, "secret");
}

#[test]
fn check_tells_a_reply_from_what_is_none() {
    check(OPENAI.as_bytes()).unwrap();
    check(br#"{"error":null,"choices":[]}"#).unwrap();
    check(br#"{"error":"","choices":[]}"#).unwrap();
    let code = |body: &[u8]| {
        let failure = check(body).unwrap_err();
        assert_eq!((failure.status, failure.blame), (502, crate::failure::Blame::Provider));
        failure.code.unwrap_or_default().into_owned()
    };
    assert_eq!(code(b""), "empty_reply");
    assert_eq!(code(b" \r\n"), "empty_reply");
    assert_eq!(code(b"<html>hi</html>"), "html_reply");
    assert_eq!(code(b"data: {\"choices\":[]}\n\n"), "unexpected_stream");
    assert_eq!(code(b": ping\n\ndata: x"), "unexpected_stream");
    assert_eq!(code(&OPENAI.as_bytes()[..OPENAI.len() - 9]), "truncated_reply");
    assert_eq!(code(b"{\"choices\":[]}}"), "invalid_reply");
    assert_eq!(code(b"nonsense"), "invalid_reply");
    assert_eq!(code(b"[]"), "invalid_reply");
    assert_eq!(code(b"{\"choices\":{}}"), "invalid_reply");
    let deep = format!("{{\"choices\":[],\"error\":{}1{}}}", "[".repeat(200), "]".repeat(200));
    assert_eq!(code(deep.as_bytes()), "");
    let openrouter =
        br#"{"error":{"code":502,"message":"Provider returned error","metadata":{"raw":"AiError"}},"user_id":"u"}"#;
    let failure = check(openrouter).unwrap_err();
    assert_eq!(
        (failure.status, failure.message.as_str(), failure.code.as_deref()),
        (502, "Provider returned error", Some("502"))
    );
    assert!(failure.detail.contains("AiError"));
}

#[test]
fn an_adversarial_reply_costs_little_more_than_its_size() {
    let blocks: Vec<_> = (0..20_000).map(|n| format!(r#"{{"text":"block {n}"}}"#)).collect();
    let filler = "block x ".repeat(50_000);
    let json = format!(
        r#"{{"choices":[{{"message":{{"reasoning":"{filler}","reasoning_details":[{}]}}}}]}}"#,
        blocks.join(",")
    );
    let started = std::time::Instant::now();
    let map = text_map(json.as_bytes());
    assert!(map.pieces.len() + map.copies.len() == 20_001);
    assert!(started.elapsed().as_secs() < 10);
}
