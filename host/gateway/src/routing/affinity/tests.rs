//! What makes two calls one conversation, and what does not.

use std::collections::HashSet;

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::*;

fn of(dialect: Dialect, body: &Value) -> Option<u64> {
    session(&HeaderMap::new(), dialect, body.to_string().as_bytes(), None)
}

fn headers(name: &'static str, value: &str) -> HeaderMap {
    HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())])
}

/// One conversation's first and second turn, and the first of one that opens otherwise, in each dialect.
fn conversations() -> [(Dialect, Value, Value, Value); 4] {
    let tool = json!([{"type": "function", "function": {"name": "f", "parameters": {}}}]);
    let chat = |user: &str, later: &[Value]| {
        let opening = [json!({"role": "system", "content": "Be brief."}), json!({"role": "user", "content": user})];
        let messages: Vec<&Value> = opening.iter().chain(later).collect();
        json!({"model": "m", "tools": tool, "messages": messages})
    };
    let responses = |user: &str, later: &[Value]| {
        let opening = [
            json!({"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Rules."}]}),
            json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": user}]}),
        ];
        let input: Vec<&Value> = opening.iter().chain(later).collect();
        json!({"model": "m", "instructions": "Be brief.", "tools": tool, "input": input})
    };
    // The mark for the cache moves to the last message.
    let anthropic = |user: Value, later: &[Value]| {
        let opening = [json!({"role": "user", "content": user})];
        let messages: Vec<&Value> = opening.iter().chain(later).collect();
        json!({"model": "m", "max_tokens": 9, "system": [{"type": "text", "text": "Be brief."}], "messages": messages})
    };
    let marked = |text: &str| json!([{"type": "text", "text": text, "cache_control": {"type": "ephemeral"}}]);
    let gemini = |user: &str, later: &[Value]| {
        let opening = [json!({"role": "user", "parts": [{"text": user}]})];
        let contents: Vec<&Value> = opening.iter().chain(later).collect();
        json!({"systemInstruction": {"parts": [{"text": "Be brief."}]}, "contents": contents})
    };
    let turns = [json!({"role": "assistant", "content": "A."}), json!({"role": "user", "content": "And then?"})];
    let gemini_turns =
        [json!({"role": "model", "parts": [{"text": "A."}]}), json!({"role": "user", "parts": [{"text": "And?"}]})];
    [
        (Dialect::OpenaiChat, chat("Hello", &[]), chat("Hello", &turns), chat("Good day", &[])),
        (Dialect::OpenaiResponses, responses("Hello", &[]), responses("Hello", &turns), responses("Good day", &[])),
        (
            Dialect::Anthropic,
            anthropic(marked("Hello"), &[]),
            anthropic(json!("Hello"), &turns),
            anthropic(marked("Good day"), &[]),
        ),
        (Dialect::Gemini, gemini("Hello", &[]), gemini("Hello", &gemini_turns), gemini("Good day", &[])),
    ]
}

#[test]
fn a_conversations_opening_is_its_session_in_every_dialect() {
    for (dialect, first, second, other) in conversations() {
        let session = of(dialect, &first);
        assert!(session.is_some(), "{dialect:?}");
        assert_eq!(session, of(dialect, &second), "{dialect:?}");
        assert_ne!(session, of(dialect, &other), "{dialect:?}");
        let text = first.to_string();
        let mut changed = first.clone();
        changed["temperature"] = json!(0.5);
        changed["stream"] = json!(true);
        assert_eq!(session, of(dialect, &changed), "{dialect:?}");
        for said in ["Be brief.", "\"name\":\"f\""] {
            let other = text.replace(said, &said.replace(['B', 'f'], "X"));
            let other = super::session(&HeaderMap::new(), dialect, other.as_bytes(), None);
            assert!(!text.contains(said) || other != session, "{dialect:?} {said}");
        }
        let users =
            ["", "ann", "bob"].map(|user| super::session(&HeaderMap::new(), dialect, text.as_bytes(), Some(user)));
        assert_eq!(HashSet::from(users).len(), 3, "{dialect:?}");
    }
}

#[test]
fn inputs_and_contents_may_be_plain() {
    let plain = json!({"input": "Hello"});
    assert!(of(Dialect::OpenaiResponses, &plain).is_some());
    assert_ne!(of(Dialect::OpenaiResponses, &plain), of(Dialect::OpenaiResponses, &json!({"input": "Bye"})));
    let gemini = json!({"contents": [{"parts": [{"text": "Hello"}]}]});
    assert!(of(Dialect::Gemini, &gemini).is_some());
    let image = |data: &str| json!({"contents": [{"parts": [{"inlineData": {"data": data}}]}]});
    assert_ne!(of(Dialect::Gemini, &image("a")), of(Dialect::Gemini, &image("b")));
}

#[test]
fn what_the_client_says_goes_before_and_headers_first_of_all() {
    let (dialect, first, _, other) = conversations().into_iter().next().unwrap();
    for name in HEADERS {
        let named =
            |value: &str, body: &Value| session(&headers(name, value), dialect, body.to_string().as_bytes(), None);
        assert_eq!(named("s-1", &first), named("s-1", &other), "{name}");
        assert_ne!(named("s-1", &first), named("s-2", &first), "{name}");
        assert_eq!(named("", &first), of(dialect, &first), "an empty {name} names nothing");
    }
    let table = [
        (Dialect::OpenaiChat, json!({"user": "U"}), json!({"prompt_cache_key": "K", "user": "U"})),
        (Dialect::OpenaiResponses, json!({"conversation": {"id": "U"}}), json!({"user": "x", "prompt_cache_key": "K"})),
        (Dialect::Anthropic, json!({"metadata": {"user_id": "U"}}), json!({"metadata": {"user_id": "K"}})),
        (Dialect::Gemini, json!({"cachedContent": "U"}), json!({"cachedContent": "K"})),
    ];
    let expected = ["U", "K"].map(|name| Some(named(name.as_bytes())));
    for (dialect, one, two) in table {
        assert_eq!([of(dialect, &one), of(dialect, &two)], expected, "{dialect:?}");
    }
    // Nothing is named by an empty text or another type.
    for user in [json!(""), json!(null), json!(7), json!([])] {
        let mut body = first.clone();
        body["user"] = user;
        assert_eq!(of(Dialect::OpenaiChat, &body), of(Dialect::OpenaiChat, &first));
    }
}

#[test]
fn nothing_said_is_no_session_and_hostile_bodies_end() {
    for (dialect, body) in [
        (Dialect::OpenaiChat, "{}"),
        (Dialect::OpenaiChat, "{\"messages\":[]}"),
        (Dialect::OpenaiChat, "[]"),
        (Dialect::OpenaiChat, ""),
        (Dialect::Gemini, "{\"contents\":[]}"),
        (Dialect::Anthropic, "{\"metadata\":{}}"),
    ] {
        assert_eq!(session(&HeaderMap::new(), dialect, body.as_bytes(), None), None, "{body}");
    }
    let (dialect, first, ..) = conversations().into_iter().nth(2).unwrap();
    let text = first.to_string();
    for end in 0..text.len() {
        let _ = session(&HeaderMap::new(), dialect, &text.as_bytes()[..end], None);
    }
    for body in [
        "{\"messages\":7}",
        "{\"messages\":[7,\"x\",{\"role\":3,\"content\":[1]}]}",
        "{\"system\":{\"parts\":1},\"messages\":{}}",
    ] {
        for dialect in [Dialect::OpenaiChat, Dialect::OpenaiResponses, Dialect::Anthropic, Dialect::Gemini] {
            let _ = session(&HeaderMap::new(), dialect, body.as_bytes(), None);
        }
    }
}

#[test]
fn a_thousand_conversations_are_a_thousand_sessions() {
    let sessions: HashSet<_> = (0..1000)
        .map(|at| {
            of(Dialect::OpenaiChat, &json!({"messages": [{"role": "user", "content": format!("question {at}")}]}))
        })
        .collect();
    assert_eq!(sessions.len(), 1000);
}

#[test]
fn eight_kilobytes_take_microseconds() {
    let messages: Vec<Value> = (0..8)
        .map(|at| json!({"role": if at % 2 == 0 { "user" } else { "assistant" }, "content": "word ".repeat(200)}))
        .collect();
    let body = json!({"model": "m", "messages": messages}).to_string();
    let began = std::time::Instant::now();
    for _ in 0..10_000 {
        assert!(session(&HeaderMap::new(), Dialect::OpenaiChat, std::hint::black_box(body.as_bytes()), None).is_some());
    }
    let each = began.elapsed() / 10_000;
    println!("a session of {} bytes: {each:?}", body.len());
    assert!(each < std::time::Duration::from_millis(1), "{each:?}");
}
