//! Clients' requests in all their spellings, and what providers are sent.

use serde_json::{Value, json};

use crate::Dialect;
use crate::dialect::{Api as _, Said};
use crate::gemini::{Api, operation, path, read_count};
use crate::hub::{
    Asked, Call, Chat, Media, MediaKind, Opaque, Output, Part, Reasoning, Rest, Role, Source, State, Target, Text,
    Thinking, Tool, ToolChoice, ToolKind, ToolResult, Turn,
};

fn read(body: &Value) -> Chat {
    Api.read_request(body.to_string().as_bytes(), &Said::default()).unwrap()
}

fn write(chat: &Chat, target: &Target<'_>) -> Value {
    serde_json::from_slice(&Api.write_request(chat, target).unwrap().0).unwrap()
}

fn lost(chat: &Chat, target: &Target<'_>) -> Vec<String> {
    let (_, losses) = Api.write_request(chat, target).unwrap();
    losses.iter().map(|loss| format!("{}{}", loss.what, if loss.hint { " (hint)" } else { "" })).collect()
}

fn turn(role: Role, parts: Vec<Part>) -> Turn {
    Turn { role, parts, name: None, rest: Rest::default() }
}

fn user(text: &str) -> Turn {
    turn(Role::User, vec![Part::Text(Text::of(text))])
}

fn call(id: &str, name: &str, arguments: &str) -> Part {
    Part::Call(Call { id: id.into(), name: name.into(), arguments: arguments.into(), ..Call::default() })
}

fn chat(turns: Vec<Turn>) -> Chat {
    Chat { turns, ..Chat::default() }
}

#[test]
fn every_spelling_says_the_same() {
    let plain = read(&json!({
        "systemInstruction": {"role": "user", "parts": [{"text": "be brief"}]},
        "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
        "generationConfig": {"maxOutputTokens": 5, "topP": 0.5, "stopSequences": ["a"], "responseModalities": ["TEXT"]},
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": {"type": "object"}}]}],
    }));
    assert_eq!(plain.turns.iter().map(|turn| turn.role).collect::<Vec<_>>(), [Role::System, Role::User]);
    assert!(plain.rest.is_empty());
    for other in [
        json!({
            "system_instruction": {"parts": {"text": "be brief"}},
            "contents": {"parts": {"text": "hi"}},
            "generation_config": {"max_output_tokens": "5", "top_p": 0.5, "stop_sequences": "a", "seed": null},
            "tools": {"function_declarations": {"name": "f", "parameters": {"type": "OBJECT"}}},
            "cachedContent": null,
        }),
        json!({
            "systemInstruction": "be brief",
            "contents": "hi",
            "generationConfig": {"maxOutputTokens": 5, "topP": 0.5, "stopSequences": ["a"]},
            "tools": [{"functionDeclarations": [{"name": "f", "parameters_json_schema": {"type": "object"}}]}],
        }),
        json!({
            "systemInstruction": [{"text": "be brief"}],
            "contents": ["hi"],
            "generationConfig": {"maxOutputTokens": 5, "topP": 0.5, "stopSequences": ["a"]},
            "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "object"}}]}],
        }),
        json!({
            "systemInstruction": {"text": "be brief"},
            "contents": [{"role": null, "parts": ["hi"]}],
            "generationConfig": {"maxOutputTokens": 5, "topP": 0.5, "stopSequences": ["a"]},
            "tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "object"}}]}],
        }),
    ] {
        assert_eq!(read(&other), plain, "{other}");
    }
}

#[test]
fn what_cannot_be_a_request_is_refused() {
    for (body, code) in [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[]", "invalid_type"),
        (r#"{"contents":[1]}"#, "invalid_type"),
        (r#"{"contents":[{"parts":[{"text":"a"}]},true]}"#, "invalid_type"),
    ] {
        let failure = Api.read_request(body.as_bytes(), &Said::default()).unwrap_err();
        assert_eq!((failure.status, failure.code.as_deref()), (400, Some(code)), "{body}");
    }
    let half = Api.read_request(br#"{"contents":"a\ud83d"}"#, &Said::default()).unwrap();
    assert_eq!(half.turns[0].parts, [Part::Text(Text::of("a\u{fffd}"))]);
}

#[test]
fn results_find_their_calls() {
    let answer = |name: &str, text: &str| json!({"functionResponse": {"name": name, "response": {"output": text}}});
    let got = read(&json!({"contents": [
        {"role": "model", "parts": [
            {"functionCall": {"name": "f", "args": {"n": 1}}, "thoughtSignature": "c2ln"},
            {"functionCall": {"name": "g"}},
            {"functionCall": {"name": "f", "args": {"n": 2}}},
            {"functionCall": {"id": "own", "name": "f", "args": {}}},
        ]},
        {"role": "user", "parts": [
            answer("f", "one"), answer("f", "two"), {"text": "and"}, answer("g", "gee"),
            {"functionResponse": {"id": "own", "name": "f", "response": {"error": "no"}}},
            answer("h", "nobody asked"),
        ]},
    ]}));
    let roles: Vec<Role> = got.turns.iter().map(|turn| turn.role).collect();
    assert_eq!(roles, [Role::Assistant, Role::Tool, Role::User, Role::Tool]);
    let calls: Vec<(&str, &str)> = got.turns[0]
        .parts
        .iter()
        .map(|part| match part {
            Part::Call(call) => (call.id.as_str(), call.arguments.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(calls, [("call_1", r#"{"n":1}"#), ("call_2", "{}"), ("call_3", r#"{"n":2}"#), ("own", "{}")]);
    let results = got.turns.iter().filter(|turn| turn.role == Role::Tool).flat_map(|turn| &turn.parts);
    let results: Vec<(&str, bool)> = results
        .map(|part| match part {
            Part::Result(result) => (result.id.as_str(), result.error),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(results, [("call_1", false), ("call_3", false), ("call_2", false), ("own", true), ("result_5", false)]);
    assert!(
        matches!(&got.turns[0].parts[0], Part::Call(call) if call.opaque == Some(Opaque::signature(Dialect::Gemini, "c2ln")))
    );
}

#[test]
fn thoughts_that_a_stream_told_in_pieces_are_one_again() {
    let foreign = Opaque::signature(Dialect::Anthropic, "c2ln").made_by("a");
    let text = Text { text: "a".into(), opaque: Some(Opaque::signature(Dialect::Gemini, "Zm9y")), ..Text::default() };
    let thought =
        Reasoning { text: "think".into(), summary: true, opaque: Some(foreign.clone()), rest: Rest::default() };
    for signed in [
        json!({"text": "", "thought": true, "thoughtSignature": foreign.wrap()}),
        json!({"text": "", "thoughtSignature": foreign.wrap()}),
    ] {
        let got = read(&json!({"contents": [
            {"role": "model", "parts": [{"text": "th", "thought": true}]},
            {"role": "model", "parts": [{"text": "ink", "thought": true}]},
            {"role": "model", "parts": [signed]},
            {"role": "model", "parts": [{"text": "a"}]},
            {"role": "model", "parts": [{"text": "", "thoughtSignature": "Zm9y"}]},
        ]}));
        let parts = vec![Part::Reasoning(thought.clone()), Part::Text(text.clone())];
        assert_eq!(got.turns, [turn(Role::Assistant, parts)]);
    }
    // Anthropic's hidden thoughts belong to no text.
    let hidden = Opaque::encrypted(Dialect::Anthropic, "c2ln", None).made_by("a");
    let parts = json!([{"text": "think", "thought": true}, {"text": "", "thoughtSignature": hidden.wrap()}]);
    let got = read(&json!({"contents": [{"role": "model", "parts": parts}]}));
    assert_eq!(got.turns[0].parts.len(), 2);
}

#[test]
fn schemas_in_openapi_spelling_become_json_schema() {
    let got = read(&json!({"tools": [{"functionDeclarations": [{"name": "f", "parameters": {
        "type": "OBJECT",
        "propertyOrdering": ["b", "a"],
        "properties": {
            "a": {"type": "STRING", "nullable": true, "enum": ["x"]},
            "b": {"type": "ARRAY", "items": {"type": "INTEGER", "format": "int32"}, "minItems": "1", "max_items": 4},
            "type": {"any_of": [{"type": "NUMBER"}, {"type": "TYPE_UNSPECIFIED", "example": 3}]},
        },
    }}]}]}));
    let ToolKind::Function { schema, .. } = &got.tools[0].kind else { panic!() };
    let expected = json!({
        "type": "object",
        "properties": {
            "b": {"type": "array", "items": {"type": "integer", "format": "int32"}, "minItems": 1, "maxItems": 4},
            "a": {"type": ["string", "null"], "enum": ["x", null]},
            "type": {"anyOf": [{"type": "number"}, {"examples": [3]}]},
        },
    });
    assert_eq!(schema.to_string(), expected.to_string());
    let own = json!({"type": "object", "properties": {"A": {"const": "TYPE"}}, "propertyOrdering": ["A"]});
    let got = read(&json!({"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": own}]}]}));
    assert_eq!(got.tools[0].kind, ToolKind::Function { schema: own, strict: None });
}

#[test]
fn settings_are_read_whole() {
    let got = read(&json!({
        "toolConfig": {"functionCallingConfig": {"mode": "any", "allowed_function_names": ["f"]}, "includeServerSideToolInvocations": true},
        "tools": [{"functionDeclarations": [{"name": "f"}], "codeExecution": {}}, {"googleSearch": {}}],
        "safetySettings": [{"category": "HARM", "threshold": "BLOCK_NONE"}],
        "serviceTier": "FLEX",
        "generationConfig": {
            "candidateCount": 2, "responseLogprobs": true, "logprobs": 3, "presencePenalty": 0.1, "frequencyPenalty": 0.2, "seed": 7,
            "thinkingConfig": {"thinkingBudget": -1, "includeThoughts": true},
            "responseMimeType": "application/json", "responseSchema": {"type": "STRING"},
            "responseModalities": ["TEXT", "IMAGE"], "speechConfig": {"x": 1}, "topK": "40",
        },
    }));
    assert_eq!(got.choice, Some(ToolChoice::Named("f".into())));
    let kinds: Vec<(&str, bool)> =
        got.tools.iter().map(|tool| (tool.name.as_str(), matches!(tool.kind, ToolKind::Foreign(..)))).collect();
    assert_eq!(kinds, [("f", false), ("codeExecution", true), ("googleSearch", true)]);
    let mut foreign: Vec<&str> = got.rest.foreign_to(Dialect::Anthropic).collect();
    foreign.sort_unstable();
    let names = [
        "generationConfig.responseModalities",
        "generationConfig.speechConfig",
        "safetySettings",
        "toolConfig.includeServerSideToolInvocations",
    ];
    assert_eq!(foreign, names);
    let thinking = got.reasoning.clone().unwrap();
    assert_eq!((thinking.adaptive, thinking.show, thinking.budget), (true, Some(true), None));
    assert_eq!(
        got.output,
        Some(Output::Schema { name: None, description: None, schema: json!({"type": "string"}), strict: None })
    );
    assert_eq!((got.params.service_tier.as_deref(), got.params.top_k.clone()), (Some("flex"), Some(40.into())));
    // And back: everything is said again.
    let body = write(&got, &Target::default());
    assert_eq!(read(&body), got);
    assert_eq!(body["generationConfig"]["speechConfig"], json!({"x": 1}));
    assert_eq!(body["toolConfig"]["includeServerSideToolInvocations"], json!(true));
    assert!(lost(&got, &Target::default()).is_empty());

    let modes = [
        (json!({"mode": "AUTO"}), Some(ToolChoice::Auto)),
        (json!({"mode": 3}), Some(ToolChoice::None)),
        (json!({"mode": "ANY"}), Some(ToolChoice::Required)),
        (
            json!({"mode": "ANY", "allowedFunctionNames": ["a", "b"]}),
            Some(ToolChoice::Allowed { required: true, names: vec!["a".into(), "b".into()] }),
        ),
        (
            json!({"mode": "VALIDATED", "allowedFunctionNames": ["a"]}),
            Some(ToolChoice::Allowed { required: false, names: vec!["a".into()] }),
        ),
        (json!({"mode": "VALIDATED"}), Some(ToolChoice::Auto)),
        (json!({}), None),
    ];
    for (config, choice) in modes {
        let tools = json!([{"functionDeclarations": [{"name": "a"}, {"name": "b"}]}]);
        let got = read(&json!({"tools": tools, "toolConfig": {"functionCallingConfig": config}}));
        assert_eq!(got.choice, choice, "{config}");
        assert_eq!(read(&write(&got, &Target::default())), got, "{config}");
    }
    let off = read(&json!({"generationConfig": {"thinkingConfig": {"thinkingBudget": 0}}}));
    assert!(off.reasoning.unwrap().off);
    let words =
        read(&json!({"generationConfig": {"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING"}}}));
    assert_eq!((words.output.is_none(), words.rest.foreign_to(Dialect::OpenaiChat).count()), (true, 2));
}

#[test]
fn a_conversation_of_another_dialect() {
    let result = |id: &str, text: &str, error: bool| {
        let parts = vec![Part::Text(Text::of(text))];
        Part::Result(ToolResult { id: id.into(), parts, error, ..ToolResult::default() })
    };
    let mut got = chat(vec![
        turn(Role::System, vec![Part::Text(Text::of("one"))]),
        user("q"),
        turn(Role::Developer, vec![Part::Text(Text::of("two"))]),
        turn(
            Role::Assistant,
            vec![
                Part::Reasoning(Reasoning {
                    opaque: Some(Opaque::encrypted(Dialect::OpenaiResponses, "x", None)),
                    ..Reasoning::default()
                }),
                Part::Text(Text::of("wait")),
                call("a", "f", r#"{"n": 1}"#),
                call("b", "g", ""),
                call("c", "g", r#"{"cut"#),
                Part::Foreign(Dialect::Anthropic, json!({"type": "server_tool_use"})),
            ],
        ),
        turn(Role::Tool, vec![result("a", r#" {"k": [1]} "#, false), result("b", "[1]", false)]),
        turn(Role::Tool, vec![result("c", "bad", true)]),
        user("and?"),
        user("well?"),
    ]);
    got.tools = vec![
        Tool {
            name: "f".into(),
            description: Some("d".into()),
            kind: ToolKind::Function { schema: json!({"type": "object"}), strict: Some(true) },
            namespace: None,
            rest: Rest::default(),
        },
        Tool {
            name: "p".into(),
            description: None,
            kind: ToolKind::Custom { format: Some(json!({"type": "grammar"})) },
            namespace: Some("n".into()),
            rest: Rest::default(),
        },
        Tool {
            name: "web".into(),
            description: None,
            kind: ToolKind::Foreign(Dialect::Anthropic, json!({})),
            namespace: None,
            rest: Rest::default(),
        },
    ];
    got.choice = Some(ToolChoice::Named("p".into()));
    got.parallel = Some(false);
    let body = write(&got, &Target::default());
    assert_eq!(
        body,
        json!({
            "contents": [
                {"role": "user", "parts": [{"text": "q"}]},
                {"role": "model", "parts": [
                    {"text": "wait"},
                    {"functionCall": {"id": "a", "name": "f", "args": {"n": 1}}},
                    {"functionCall": {"id": "b", "name": "g", "args": {}}},
                    {"functionCall": {"id": "c", "name": "g", "args": {"arguments": "{\"cut"}}},
                ]},
                {"role": "user", "parts": [
                    {"functionResponse": {"id": "a", "name": "f", "response": {"k": [1]}}},
                    {"functionResponse": {"id": "b", "name": "g", "response": {"result": "[1]"}}},
                    {"functionResponse": {"id": "c", "name": "g", "response": {"error": "bad"}}},
                    {"text": "and?"},
                    {"text": "well?"},
                ]},
            ],
            "systemInstruction": {"parts": [{"text": "one"}, {"text": "two"}]},
            "tools": [{"functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object"}},
                {"name": "n__p", "parametersJsonSchema": {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}},
            ]}],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["n__p"]}},
        })
    );
    let losses =
        ["messages.server_tool_use", "tools.strict (hint)", "tools.format", "tools.web", "parallel_tool_calls"];
    assert_eq!(lost(&got, &Target::default()), losses);
}

#[test]
fn instructions_alone_are_what_the_user_says() {
    let got = chat(vec![turn(Role::System, vec![Part::Text(Text::of("do"))])]);
    assert_eq!(write(&got, &Target::default()), json!({"contents": [{"role": "user", "parts": [{"text": "do"}]}]}));
    // A content that would have no parts is left out.
    let thought =
        Part::Reasoning(Reasoning { opaque: Some(Opaque::signature(Dialect::Anthropic, "x")), ..Reasoning::default() });
    let got = chat(vec![user("a"), turn(Role::Assistant, vec![thought]), user("b")]);
    let contents = json!([{"role": "user", "parts": [{"text": "a"}]}, {"role": "user", "parts": [{"text": "b"}]}]);
    assert_eq!(write(&got, &Target::default())["contents"], contents);
}

#[test]
fn signatures_go_to_their_maker_and_newer_models_get_one_for_each_step() {
    let signed = |id: &str, opaque: Option<Opaque>| {
        Part::Call(Call { id: id.into(), name: "f".into(), opaque, ..Call::default() })
    };
    let own = Opaque::signature(Dialect::Gemini, "own").made_by("gemini");
    let done = |id: &str| turn(Role::Tool, vec![Part::Result(ToolResult { id: id.into(), ..ToolResult::default() })]);
    let got = chat(vec![
        user("q"),
        turn(Role::Assistant, vec![signed("old", None)]),
        done("old"),
        user("next"),
        turn(Role::Assistant, vec![signed("a", Some(own.clone())), signed("b", None)]),
        done("a"),
        done("b"),
        turn(Role::Assistant, vec![signed("c", Some(own.clone().made_by("vertex"))), signed("d", None)]),
        done("c"),
        done("d"),
    ]);
    let signatures = |thinking_level: bool| -> Vec<Option<String>> {
        let body = write(&got, &Target { provider: "gemini", thinking_level, ..Target::default() });
        let parts: Vec<Value> = body["contents"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|content| content["parts"].as_array().unwrap().clone())
            .collect();
        let calls = parts.iter().filter(|part| part.get("functionCall").is_some());
        calls.map(|part| part["thoughtSignature"].as_str().map(str::to_owned)).collect()
    };
    let dummy = Some("skip_thought_signature_validator".to_owned());
    assert_eq!(signatures(false), [None, Some("own".to_owned()), None, None, None]);
    assert_eq!(signatures(true), [None, Some("own".to_owned()), None, dummy, None]);
}

#[test]
fn thinking_by_budget_and_by_level() {
    let config = |thinking: Thinking, thinking_level: bool| {
        let chat = Chat { reasoning: Some(thinking), ..Chat::default() };
        let target = Target { thinking_level, ..Target::default() };
        (write(&chat, &target)["generationConfig"]["thinkingConfig"].clone(), lost(&chat, &target))
    };
    let effort = |word: &str| Thinking { effort: Some(word.into()), ..Thinking::default() };
    for (thinking, budget, level) in [
        (effort("low"), json!({"thinkingBudget": 1024}), json!({"thinkingLevel": "low"})),
        (effort("medium"), json!({"thinkingBudget": 8192}), json!({"thinkingLevel": "medium"})),
        (effort("xhigh"), json!({"thinkingBudget": 24576}), json!({"thinkingLevel": "high"})),
        (effort("none"), json!({"thinkingBudget": 0}), json!({"thinkingLevel": "low"})),
        (effort("odd"), Value::Null, Value::Null),
        (Thinking { off: true, ..Thinking::default() }, json!({"thinkingBudget": 0}), json!({"thinkingLevel": "low"})),
        (Thinking { adaptive: true, ..Thinking::default() }, json!({"thinkingBudget": -1}), Value::Null),
        (
            Thinking { budget: Some(99.into()), show: Some(true), ..Thinking::default() },
            json!({"thinkingBudget": 99, "includeThoughts": true}),
            json!({"thinkingBudget": 99, "includeThoughts": true}),
        ),
    ] {
        assert_eq!(config(thinking.clone(), false).0, budget, "{thinking:?}");
        assert_eq!(config(thinking.clone(), true).0, level, "{thinking:?}");
    }
    assert_eq!(config(effort("odd"), true).1, ["reasoning_effort"]);
    assert_eq!(config(effort("xhigh"), false).1, ["reasoning_effort (hint)"]);
    let refuses = Target { refuses_reasoning: true, refuses_sampling: true, ..Target::default() };
    let mut chat = Chat { reasoning: Some(effort("high")), ..Chat::default() };
    chat.params.top_k = Some(4.into());
    assert_eq!(
        (write(&chat, &refuses), lost(&chat, &refuses)),
        (json!({"contents": []}), vec!["top_k".to_owned(), "reasoning_effort".to_owned()])
    );
}

#[test]
fn media_in_every_form() {
    let media = |kind, source, mime: Option<&str>| {
        let mime = mime.map(str::to_owned);
        Media { kind, source, mime, name: None, detail: None, rest: Rest::default() }
    };
    let part = |media: Media| {
        write(&chat(vec![turn(Role::User, vec![Part::Media(media)])]), &Target::default())["contents"][0]["parts"][0]
            .clone()
    };
    for (given, expected) in [
        (
            media(MediaKind::Image, Source::Inline("AA==".into()), Some("image/png")),
            json!({"inlineData": {"mimeType": "image/png", "data": "AA=="}}),
        ),
        (
            media(MediaKind::File, Source::Inline("JVBERi0x".into()), None),
            json!({"inlineData": {"mimeType": "application/pdf", "data": "JVBERi0x"}}),
        ),
        (
            media(MediaKind::Image, Source::Url("https://h/a/cat.JPG?x=1".into()), None),
            json!({"fileData": {"mimeType": "image/jpeg", "fileUri": "https://h/a/cat.JPG?x=1"}}),
        ),
        (
            media(MediaKind::Image, Source::Url("https://h/cat".into()), None),
            json!({"fileData": {"mimeType": "image/jpeg", "fileUri": "https://h/cat"}}),
        ),
        (
            media(MediaKind::Image, Source::Url("data:image/gif;base64,R0lG".into()), None),
            json!({"inlineData": {"mimeType": "image/gif", "data": "R0lG"}}),
        ),
        (
            media(MediaKind::File, Source::Text("hi".into()), None),
            json!({"inlineData": {"mimeType": "text/plain", "data": "aGk="}}),
        ),
        (
            media(MediaKind::Video, Source::Id("gs://b/o".into()), Some("video/mp4")),
            json!({"fileData": {"mimeType": "video/mp4", "fileUri": "gs://b/o"}}),
        ),
    ] {
        assert_eq!(part(given), expected);
    }
    let stored =
        chat(vec![turn(Role::User, vec![Part::Media(media(MediaKind::File, Source::Id("file-1".into()), None))])]);
    assert_eq!(Api.write_request(&stored, &Target::default()).unwrap_err().class(), crate::failure::Class::Unsupported);

    // In a result: inside for those that take it, else directly behind the results.
    let image = media(MediaKind::Image, Source::Inline("AA==".into()), Some("image/png"));
    let result = |id: &str| {
        Part::Result(ToolResult {
            id: id.into(),
            name: Some("f".into()),
            parts: vec![Part::Text(Text::of("see")), Part::Media(image.clone())],
            ..ToolResult::default()
        })
    };
    let got = chat(vec![
        user("q"),
        turn(Role::Assistant, vec![call("a", "f", ""), call("b", "f", "")]),
        turn(Role::Tool, vec![result("a")]),
        turn(Role::Tool, vec![result("b")]),
        user("so?"),
    ]);
    let inline = json!({"inlineData": {"mimeType": "image/png", "data": "AA=="}});
    let answer = |id: &str| json!({"functionResponse": {"id": id, "name": "f", "response": {"result": "see"}}});
    let parts = write(&got, &Target::default())["contents"][2]["parts"].clone();
    assert_eq!(parts, json!([answer("a"), answer("b"), inline, inline, {"text": "so?"}]));
    let newer = write(&got, &Target { thinking_level: true, ..Target::default() });
    assert_eq!(newer["contents"][2]["parts"][0]["functionResponse"]["parts"], json!([inline]));
}

#[test]
fn custom_tools_and_wrapped_state_of_others() {
    let custom = Part::Call(Call {
        id: "a".into(),
        name: "patch".into(),
        arguments: "*** \"x\"\n".into(),
        custom: true,
        namespace: Some("n".into()),
        ..Call::default()
    });
    let got = chat(vec![user("q"), turn(Role::Assistant, vec![custom])]);
    let call = write(&got, &Target::default())["contents"][1]["parts"][0]["functionCall"].clone();
    assert_eq!(call, json!({"id": "a", "name": "n__patch", "args": {"input": "*** \"x\"\n"}}));
    assert_eq!(Asked::as_input(&call["args"].to_string()), "*** \"x\"\n");
    // Thoughts with a text are told as thoughts, without what only their maker reads.
    let opaque = Some(Opaque { dialect: Dialect::Anthropic, provider: None, state: State::Signature("s".into()) });
    let thought = Part::Reasoning(Reasoning { text: "hm".into(), summary: false, opaque, rest: Rest::default() });
    let got = chat(vec![user("q"), turn(Role::Assistant, vec![thought])]);
    assert_eq!(write(&got, &Target::default())["contents"][1]["parts"], json!([{"text": "hm", "thought": true}]));
}

#[test]
fn paths_and_counts() {
    assert_eq!(path("gemini-2.5-flash", false), "/models/gemini-2.5-flash:generateContent");
    assert_eq!(path("models/x", true), "/models/x:streamGenerateContent?alt=sse");
    assert_eq!(operation("tunedModels/a-1", "countTokens"), "/tunedModels/a-1:countTokens");
    assert_eq!(path("a/../../files:upload?k=é#", false), "/models/a/files%3Aupload%3Fk%3D%C3%A9%23:generateContent");
    let inner = json!({"model": "models/m", "contents": "hi"});
    for body in [inner.clone(), json!({"generateContentRequest": inner})] {
        let chat = read_count(body.to_string().as_bytes(), &Said::default()).unwrap();
        assert_eq!((chat.model.as_str(), chat.turns.len()), ("m", 1));
    }
    assert_eq!(crate::gemini::read_counted(&crate::gemini::write_count(42)), Some(42));
}
