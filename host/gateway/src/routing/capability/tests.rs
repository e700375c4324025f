use serde_json::{Value, json};

use super::*;
use crate::providers::catalog::{Denied, Price};

fn needs(dialect: Dialect, body: &Value) -> Needs {
    Needs::of(dialect, body.to_string().as_bytes())
}

#[test]
fn every_dialect_says_in_its_own_way_what_it_needs() {
    let all = Needs { tools: true, images: true, json_schema: true, reasoning: true, ..Needs::default() };
    for (dialect, body) in [
        (
            Dialect::OpenaiChat,
            json!({
                "messages": [{ "role": "user", "content": [{ "type": "image_url", "image_url": { "url": "https://e/a.png" } }] }],
                "tools": [{ "type": "function", "function": { "name": "f" } }], "reasoning_effort": "high",
                "response_format": { "type": "json_schema", "json_schema": { "schema": {} } }, "max_completion_tokens": 64,
            }),
        ),
        (
            Dialect::OpenaiResponses,
            json!({
                "input": [{ "role": "user", "content": [{ "type": "input_image", "image_url": "https://e/a.png" }] }],
                "tools": [{ "type": "function", "name": "f" }], "reasoning": { "effort": "low" },
                "text": { "format": { "type": "json_schema", "schema": {} } }, "max_output_tokens": 64,
            }),
        ),
        (
            Dialect::Anthropic,
            json!({
                "messages": [{ "role": "user", "content": [{ "type": "image", "source": { "type": "url", "url": "https://e/a" } }] }],
                "tools": [{ "name": "f", "input_schema": {} }], "thinking": { "type": "enabled", "budget_tokens": 2000 },
                "output_config": { "format": { "type": "json_schema", "schema": {} } }, "max_tokens": 64,
            }),
        ),
        (
            Dialect::Gemini,
            json!({
                "contents": [{ "parts": [{ "inlineData": { "mimeType": "image/png", "data": "AAAA" } }] }],
                "tools": [{ "functionDeclarations": [{ "name": "f" }] }],
                "generationConfig": {
                    "responseJsonSchema": {}, "thinkingConfig": { "thinkingBudget": 100 }, "maxOutputTokens": 64,
                },
            }),
        ),
    ] {
        let found = needs(dialect, &body);
        assert_eq!(Needs { tokens: 0, max_output: None, ..found }, all, "{dialect:?}");
        assert_eq!(found.max_output, Some(64), "{dialect:?}");
    }
}

#[test]
fn a_plain_call_needs_nothing() {
    for body in [
        json!({ "messages": [{ "role": "user", "content": "tools, image_url, json_schema" }], "tools": [] }),
        json!({ "messages": [], "response_format": { "type": "text" }, "reasoning_effort": "none" }),
        json!({ "messages": [], "thinking": { "type": "disabled" }, "metadata": { "type": "json_schema" } }),
    ] {
        let found = needs(Dialect::OpenaiChat, &body);
        assert_eq!(Needs { tokens: 0, ..found }, Needs::default(), "{body}");
    }
    for body in ["", "{", "[1,2]", "null"] {
        assert_eq!(Needs::of(Dialect::OpenaiChat, body.as_bytes()).tokens, 1, "{body:?}");
    }
}

#[test]
fn the_estimate_grows_with_what_is_read_alone() {
    let of = |content: Value| {
        needs(
            Dialect::OpenaiChat,
            &json!({ "metadata": { "a": "b".repeat(9_000) }, "messages": [{ "role": "user", "content": content }] }),
        )
        .tokens
    };
    let words = |times: usize| of(json!("one more word ".repeat(times)));
    assert!((340..420).contains(&words(100)), "{}", words(100));
    assert!(of(json!("\u{d55c}".repeat(100))) >= 100);
    let picture = |size: usize| {
        of(
            json!([{ "type": "image_url", "image_url": { "url": format!("data:image/png;base64,{}", "A".repeat(size)) } }]),
        )
    };
    assert_eq!(picture(10_000), picture(1_000_000));
    let recording = json!([{ "type": "input_audio", "input_audio": { "data": "AAAA", "format": "wav" } }]);
    assert!(needs(Dialect::OpenaiChat, &json!({ "messages": [{ "content": recording }] })).audio);
    let deep = format!("{{\"messages\":{}{}}}", "[".repeat(120), "]".repeat(120));
    assert_eq!(Needs::of(Dialect::OpenaiChat, deep.as_bytes()).tokens, 1, "nesting costs no stack");
}

#[test]
fn what_is_unknown_is_able_and_what_is_denied_is_certain() {
    let picture = Needs { images: true, tokens: 10, ..Needs::default() };
    let judge = |model: &Model, needs: Needs| lack(model, "chat", &|| needs);
    assert_eq!(judge(&Model::default(), picture), None, "nothing is said of it");
    let text = Model { tools: true, ..Model::default() };
    let unlisted = judge(&text, picture).unwrap();
    assert_eq!((unlisted, unlisted.certain()), (Lack::Images { certain: false }, false));
    let denied = Model { denied: Denied { vision: true, ..Denied::default() }, ..Model::default() };
    assert!(judge(&denied, picture).unwrap().certain());
    let both = Model { refuses_reasoning: true, ..text };
    assert_eq!(judge(&both, Needs { reasoning: true, ..picture }), Some(Lack::Reasoning), "the certain first");
}

#[test]
fn a_context_must_hold_the_prompt_and_the_reply() {
    let model = Model { window: Some(1_000), output: Some(400), ..Model::default() };
    let judge = |tokens, max_output| lack(&model, "chat", &|| Needs { tokens, max_output, ..Needs::default() });
    assert_eq!(judge(900, None), None);
    let over = Lack::Context { window: 1_000, tokens: 1_300 };
    assert_eq!(judge(900, Some(9_999)), Some(over), "no more of a reply than the model writes");
    assert!(over.certain() && !Lack::Context { window: 1_000, tokens: 1_050 }.certain());
    assert_eq!(over.to_string(), "context 1000 is less than about 1300 tokens");
    let embeds = Model { embeds: true, ..Model::default() };
    let operation = |model: &Model, name| lack(model, name, &|| panic!("the request is not read for this"));
    assert_eq!(operation(&embeds, "chat"), Some(Lack::Operation { embeds: true }));
    assert_eq!(operation(&embeds, "embeddings"), None);
    assert_eq!(operation(&model, "embeddings"), Some(Lack::Operation { embeds: false }));
    assert_eq!(operation(&model, "files"), None);
}

#[test]
fn prices_are_of_the_prompt_and_of_the_reply_that_is_allowed() {
    let model = |output| Model {
        output,
        price: Price { input: Some(2_000_000_000), output: Some(8_000_000_000), ..Price::default() },
        ..Model::default()
    };
    let of = |model: &Model, max_output| price(Some(model), &Needs { tokens: 500, max_output, ..Needs::default() });
    assert_eq!(of(&model(None), Some(100)), Some(500 * 2_000 + 100 * 8_000));
    assert_eq!(of(&model(None), None), Some(500 * 2_000 + 1_000 * 8_000));
    assert_eq!(of(&model(Some(50)), None), Some(500 * 2_000 + 50 * 8_000));
    assert_eq!(of(&Model::default(), None), None, "an unknown price is none");
    assert_eq!(price(None, &Needs::default()), None);
}
