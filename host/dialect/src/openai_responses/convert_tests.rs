//! Requests and replies whose reading or writing the recordings do not show.

use serde_json::{Value, json};

use super::{Api, echo, refuse_stored};
use crate::Dialect;
use crate::dialect::{Api as _, Said};
use crate::failure::Failure;
use crate::hub::{
    Asked, Call, Chat, Losses, Media, MediaKind, Opaque, Output, Params, Part, Reasoning, Rest, Role, Source, Target,
    Text, Thinking, Tool, ToolChoice, ToolKind, ToolResult, Turn,
};

fn read(request: &Value) -> Chat {
    Api.read_request(request.to_string().as_bytes(), &Said::default()).unwrap()
}

fn target() -> Target<'static> {
    Target { provider: "p", model: "m", ..Target::default() }
}

#[allow(clippy::result_large_err)]
fn try_write(chat: &Chat, target: &Target<'_>) -> Result<(Value, Losses), Failure> {
    let (body, losses) = Api.write_request(chat, target)?;
    Ok((serde_json::from_slice(&body).unwrap(), losses))
}

fn write(chat: &Chat) -> Value {
    try_write(chat, &target()).unwrap().0
}

fn names(losses: &Losses, hint: bool) -> Vec<&str> {
    losses.iter().filter(|loss| loss.hint == hint).map(|loss| &*loss.what).collect()
}

fn turn(role: Role, parts: Vec<Part>) -> Turn {
    Turn { role, parts, name: None, rest: Rest::default() }
}

fn said(text: &str) -> Part {
    Part::Text(Text::of(text))
}

#[test]
fn codex_brings_its_tools_in_an_item() {
    let chat = read(&json!({"model": "gpt-6-sol", "store": false, "include": ["reasoning.encrypted_content"],
        "client_metadata": {"a": "b"}, "reasoning": {"effort": "high", "context": "all_turns"}, "parallel_tool_calls": false,
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "custom", "name": "exec"}, {"type": "web_search"}]},
        "tools": [{"type": "web_search"}, {"type": "function", "function": {"name": "nested", "parameters": {"type": "object"}}, "name": null}],
        "input": [
            {"type": "additional_tools", "role": "developer", "id": "at", "tools": [
                {"type": "namespace", "name": "fs", "description": "Files", "tools": [
                    {"type": "custom", "name": "exec", "description": "Runs", "format": {"type": "grammar", "syntax": "lark", "definition": "x"}},
                    {"type": "function", "name": "read", "parameters": {"type": "object"}, "strict": true, "defer_loading": true}]}]},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "a"}, {"type": "input_text", "text": "b"}], "internal_chat_message_metadata_passthrough": {"turn_id": "t"}},
            {"role": "user", "content": "Go."},
            {"type": "function_call", "id": "fc_1", "call_id": "c1", "namespace": "fs", "name": "read", "arguments": "{}"},
            {"type": "custom_tool_call", "call_id": "c2", "name": "exec", "input": "ls"},
            {"type": "local_shell_call", "call_id": "c3", "action": {}},
            {"type": "function_call_output", "call_id": "c1", "output": "x"},
            {"type": "custom_tool_call_output", "call_id": "c2", "output": "y"}]}));
    let tools: Vec<_> = chat.tools.iter().map(|tool| (tool.name.as_str(), tool.namespace.as_deref())).collect();
    assert_eq!(tools, [("web_search", None), ("nested", None), ("exec", Some("fs")), ("read", Some("fs"))]);
    assert_eq!(
        chat.choice,
        Some(ToolChoice::Allowed { required: true, names: vec!["exec".into(), "web_search".into()] })
    );
    let roles: Vec<_> = chat.turns.iter().map(|turn| (turn.role, turn.parts.len())).collect();
    assert_eq!(roles, [(Role::Developer, 2), (Role::User, 1), (Role::Assistant, 3), (Role::Tool, 2)]);
    let Part::Result(result) = &chat.turns[3].parts[1] else { panic!() };
    assert_eq!((result.custom, result.name.as_deref()), (true, Some("exec")));
    let called = Asked::tools(&chat);
    assert_eq!((called[0].sent.as_str(), called[0].custom, called[1].sent.as_str()), ("fs__exec", true, "fs__read"));
    // Across, what is named is a hint and nothing more.
    let mut losses = Losses::default();
    losses.beside(&chat.rest, Dialect::Anthropic);
    losses.beside(&chat.turns[0].rest, Dialect::Anthropic);
    assert_eq!(names(&losses, false), [""; 0]);

    let body = write(&chat);
    assert_eq!(body["tools"][2]["tools"][0]["format"]["syntax"], "lark");
    assert_eq!((&body["tools"][2]["type"], &body["tools"][2]["description"]), (&json!("namespace"), &json!("Files")));
    assert_eq!(body["tool_choice"]["tools"], json!([{"type": "custom", "name": "exec"}, {"type": "web_search"}]));
    assert_eq!(body["reasoning"], json!({"effort": "high", "context": "all_turns"}));
    assert_eq!(body["input"][2]["namespace"], "fs");
    assert_eq!(body["input"][0]["internal_chat_message_metadata_passthrough"], json!({"turn_id": "t"}));
    assert_eq!((&body["client_metadata"], &body["store"]), (&json!({"a": "b"}), &json!(false)));
}

#[test]
fn generous_reading() {
    let chat = read(&json!({"model": null, "instructions": "", "input": [
        "Hello", {"role": "user", "content": {"type": "text", "text": "x"}}, {"type": "message", "role": "user", "content": null},
        {"role": "assistant", "content": [{"type": "output_text", "text": "a", "annotations": [], "logprobs": []}]},
        {"role": "assistant", "content": "b"},
        {"type": "function_call", "name": "f", "arguments": {"a": 1}}, {"type": "function_call_output", "call_id": "zz", "output": {"ok": true}}],
        "tools": {"type": "function", "name": "f", "parameters": null}, "tool_choice": "any", "temperature": null, "stream": null,
        "text": {"format": {"type": "json_schema", "json_schema": {"name": "n", "schema": {}}}, "verbosity": "low"},
        "truncation": "disabled", "stream_options": {"include_obfuscation": false}}));
    assert_eq!((chat.model.as_str(), chat.tools.len(), chat.rest.is_empty()), ("", 1, true));
    assert_eq!(chat.turns.iter().filter(|turn| turn.role == Role::Assistant).count(), 2);
    let Part::Call(call) = &chat.turns[4].parts[1] else { panic!("{:?}", chat.turns) };
    assert_eq!((call.id.as_str(), call.arguments.as_str()), ("call_0", "{\"a\":1}"));
    assert_eq!(chat.choice, Some(ToolChoice::Required));
    assert!(matches!(chat.output, Some(Output::Schema { name: Some(ref name), .. }) if name == "n"));
    assert_eq!(chat.params.verbosity.as_deref(), Some("low"));
    for wrong in ["{", "[]", r#"{"input":5}"#, ""] {
        assert_eq!(Api.read_request(wrong.as_bytes(), &Said::default()).unwrap_err().status, 400, "{wrong}");
    }
    let half = Api.read_request(br#"{"input":"half \ud83d"}"#, &Said::default()).unwrap();
    assert_eq!(half.turns[0].parts, [said("half \u{fffd}")]);
}

#[test]
fn media_and_reasoning_in_all_forms() {
    let chat = read(&json!({"input": [{"role": "user", "content": [
        {"type": "input_image", "image_url": "data:image/png;base64,AAAA", "detail": "low"},
        {"type": "input_image", "image_url": "https://x.example/a.png"},
        {"type": "image_url", "image_url": {"url": "https://x.example/b.png"}},
        {"type": "input_file", "file_id": "f1"},
        {"type": "input_file", "file_data": "data:application/pdf;base64,BBBB", "filename": "a.pdf"},
        {"type": "input_file", "file_url": "https://x.example/a.pdf"},
        {"type": "input_audio", "input_audio": {"data": "CCCC", "format": "mp3"}}]},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}], "encrypted_content": "gAAA"},
        {"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}],
        "reasoning": {"effort": "none", "summary": "detailed"}}));
    let media: Vec<_> = chat.turns[0]
        .parts
        .iter()
        .map(|part| match part {
            Part::Media(media) => (media.kind, media.source.clone(), media.mime.clone()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(media[0], (MediaKind::Image, Source::Inline("AAAA".into()), Some("image/png".into())));
    assert_eq!(media[2].1, Source::Url("https://x.example/b.png".into()));
    assert_eq!(media[3].1, Source::Id("f1".into()));
    assert_eq!(media[6], (MediaKind::Audio, Source::Inline("CCCC".into()), Some("audio/mpeg".into())));
    let [Part::Reasoning(one), Part::Reasoning(two), Part::Refusal(_)] = chat.turns[1].parts.as_slice() else {
        panic!()
    };
    assert_eq!((one.text.as_str(), &one.opaque), ("one", &None));
    assert_eq!(two.opaque, Some(Opaque::encrypted(Dialect::OpenaiResponses, "gAAA", Some("rs_1".into()))));
    let thinking = chat.reasoning.as_ref().unwrap();
    assert_eq!((thinking.off, thinking.show), (true, Some(true)));
    let failure = try_write(&chat, &target()).unwrap_err();
    assert_eq!((failure.status, failure.code.as_deref()), (400, Some("unsupported_media")));
    let mut chat = chat;
    chat.turns[0].parts.pop();
    let body = write(&chat);
    assert_eq!(
        body["input"][1],
        json!({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "one"}, {"type": "summary_text", "text": "two"}], "encrypted_content": "gAAA"})
    );
    assert_eq!(body["reasoning"], json!({"effort": "none", "summary": "detailed"}));
}

#[test]
fn what_another_dialects_client_says() {
    let thought = |opaque| Part::Reasoning(Reasoning { text: "Hm".into(), opaque, ..Reasoning::default() });
    let own = Opaque::encrypted(Dialect::OpenaiResponses, "gAAA", Some("rs_1".into()));
    let call = |id: &str| Part::Call(Call { id: id.into(), name: "f".into(), ..Call::default() });
    let long = "x".repeat(70);
    let image = Media {
        kind: MediaKind::Image,
        source: Source::Inline("AAAA".into()),
        mime: Some("image/png".into()),
        name: None,
        detail: None,
        rest: Rest::default(),
    };
    let result = |id: &str, parts| Part::Result(ToolResult { id: id.into(), parts, ..ToolResult::default() });
    let chat = Chat {
        turns: vec![
            turn(Role::System, vec![said("s1"), said("s2")]),
            turn(Role::User, vec![said("u")]),
            turn(
                Role::Assistant,
                vec![thought(Some(Opaque::signature(Dialect::Anthropic, "c2ln"))), said("a"), call("c1"), call(&long)],
            ),
            turn(Role::Tool, vec![result("c1", vec![said("r"), Part::Media(image)]), result(&long, vec![])]),
            turn(Role::Assistant, vec![thought(Some(own.clone().made_by("p"))), said("b")]),
            turn(Role::Assistant, vec![thought(Some(own.clone().made_by("other"))), thought(None)]),
            turn(Role::Assistant, vec![said("c"), thought(Some(own))]),
        ],
        tools: vec![
            Tool {
                name: "f".into(),
                description: None,
                kind: ToolKind::Function { schema: Value::Null, strict: None },
                namespace: None,
                rest: Rest::default(),
            },
            Tool {
                name: "search".into(),
                description: None,
                kind: ToolKind::Foreign(Dialect::Anthropic, json!({})),
                namespace: None,
                rest: Rest::default(),
            },
        ],
        choice: Some(ToolChoice::Named("f".into())),
        params: Params {
            max_tokens: Some(5.into()),
            top_k: Some(3.into()),
            stop: vec!["x".into()],
            temperature: Some(1.into()),
            user: Some("u".repeat(65)),
            service_tier: Some("standard_only".into()),
            ..Params::default()
        },
        reasoning: Some(Thinking { budget: Some(4000.into()), show: Some(true), ..Thinking::default() }),
        stream: true,
        rest: Rest::new(
            Dialect::OpenaiChat,
            [("prompt_cache_key".to_owned(), json!("k")), ("logit_bias".to_owned(), json!({"1": 2}))]
                .into_iter()
                .collect(),
        ),
        ..Chat::default()
    };
    let (body, losses) = try_write(&chat, &Target { refuses_sampling: true, ..target() }).unwrap();
    let kinds: Vec<_> = body["input"].as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    let expected = [
        "message",
        "message",
        "message",
        "function_call",
        "function_call",
        "function_call_output",
        "function_call_output",
        "reasoning",
        "message",
        "message",
    ];
    assert_eq!(kinds, expected);
    assert_eq!((&body["instructions"], &body["input"][0]["role"]), (&json!("s1"), &json!("system")));
    assert_eq!(
        body["input"][2]["content"][0],
        json!({"type": "output_text", "text": "a", "annotations": [], "logprobs": []})
    );
    assert_eq!(body["input"][3]["arguments"], "{}");
    assert_eq!(body["input"][4]["call_id"], body["input"][6]["call_id"]);
    assert!(body["input"][4]["call_id"].as_str().unwrap().len() <= 64);
    assert_eq!(body["input"][5]["output"][1]["image_url"], "data:image/png;base64,AAAA");
    assert_eq!(
        body["tools"],
        json!([{"type": "function", "name": "f", "parameters": {"type": "object", "properties": {}}, "strict": false}])
    );
    assert_eq!(body["tool_choice"], json!({"type": "function", "name": "f"}));
    assert_eq!(
        (&body["max_output_tokens"], &body["store"], &body["stream"]),
        (&json!(16), &json!(false), &json!(true))
    );
    assert_eq!(
        (&body["reasoning"], &body["include"]),
        (&json!({"effort": "medium", "summary": "auto"}), &json!(["reasoning.encrypted_content"]))
    );
    assert_eq!((&body["prompt_cache_key"], body.get("user"), body.get("temperature")), (&json!("k"), None, None));
    assert_eq!(names(&losses, false), ["tools.search", "max_tokens", "temperature", "top_k", "stop", "logit_bias"]);
    assert_eq!(names(&losses, true), ["reasoning", "user", "service_tier"]);
    let (body, losses) = try_write(&chat, &Target { refuses_reasoning: true, ..target() }).unwrap();
    assert_eq!((body.get("reasoning"), body.get("include")), (None, None));
    assert!(names(&losses, false).contains(&"reasoning"));
}

#[test]
fn stored_state_is_refused_in_words() {
    for (request, param) in [
        (json!({"previous_response_id": "resp_1", "input": "x"}), Some("previous_response_id")),
        (json!({"conversation": "conv_1", "input": "x"}), Some("conversation")),
        (json!({"prompt": {"id": "pmpt_1"}}), Some("prompt")),
        (json!({"background": true, "input": "x"}), Some("background")),
        (json!({"input": [{"type": "item_reference", "id": "msg_1"}]}), Some("input")),
        (
            json!({"background": false, "previous_response_id": null, "conversation": null, "store": true, "input": "x"}),
            None,
        ),
    ] {
        let chat = read(&request);
        let refused = refuse_stored(&chat);
        assert_eq!(refused.as_ref().and_then(|failure| failure.param.as_deref()), param, "{request}");
        assert!(refused.is_none_or(|failure| failure.status == 400 && failure.message.contains(param.unwrap())));
        // This dialect's own providers get it.
        let body = write(&chat);
        for (name, value) in
            request.as_object().unwrap().iter().filter(|(name, value)| *name != "input" && !value.is_null())
        {
            assert_eq!(&body[name], value);
        }
    }
}

#[test]
fn the_object_repeats_the_request() {
    let chat = read(
        &json!({"model": "m", "instructions": "Be brief.", "input": "x", "temperature": 0.5, "max_output_tokens": 100,
        "metadata": {"a": "b"}, "store": false, "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true}, {"type": "web_search"}],
        "tool_choice": "required", "text": {"format": {"type": "json_object"}}, "reasoning": {"effort": "low", "summary": "auto"}, "parallel_tool_calls": false, "user": "u"}),
    );
    let asked = Asked { id: "1".into(), model: "m".into(), echo: echo(&chat), ..Asked::default() };
    let (body, _) = Api.write_reply(&crate::hub::Reply::default(), &asked);
    let body: Value = serde_json::from_slice(&body).unwrap();
    for (name, value) in [
        ("id", json!("resp_1")),
        ("object", json!("response")),
        ("instructions", json!("Be brief.")),
        ("temperature", json!(0.5)),
        ("max_output_tokens", json!(100)),
        ("metadata", json!({"a": "b"})),
        ("store", json!(false)),
        ("tool_choice", json!("required")),
        ("text", json!({"format": {"type": "json_object"}})),
        ("reasoning", json!({"effort": "low", "summary": "auto"})),
        ("parallel_tool_calls", json!(false)),
        ("user", json!("u")),
        ("error", json!(null)),
        ("previous_response_id", json!(null)),
    ] {
        assert_eq!(body[name], value, "{name}");
    }
    assert_eq!(
        body["tools"],
        json!([{"type": "function", "name": "f", "parameters": {"type": "object"}, "strict": true}, {"type": "web_search"}])
    );
}

#[test]
fn generated_images_and_foreign_citations() {
    let body = json!({"id": "r", "status": "completed", "output": [{"type": "image_generation_call", "id": "ig", "status": "completed", "result": "AAAA", "output_format": "webp"}]});
    let reply = Api.read_reply(body.to_string().as_bytes()).unwrap();
    let Part::Media(media) = &reply.choices[0].parts[0] else { panic!() };
    assert_eq!((media.mime.as_deref(), &media.source), (Some("image/webp"), &Source::Inline("AAAA".into())));
    let (again, losses) = Api.write_reply(&reply, &Asked::default());
    assert!(losses.is_empty());
    assert_eq!(Api.read_reply(&again).unwrap().choices, reply.choices);

    let mut reply = reply;
    let citations = vec![
        json!({"type": "url_citation", "url_citation": {"url": "https://x.example", "title": "X", "start_index": 1, "end_index": 2}}),
        json!({"type": "page_location"}),
    ];
    reply.choices[0].parts = vec![Part::Text(Text {
        text: "abc".into(),
        citations: Some((Dialect::OpenaiChat, citations)),
        ..Text::default()
    })];
    let (body, losses) = Api.write_reply(&reply, &Asked::default());
    let body: Value = serde_json::from_slice(&body).unwrap();
    let annotation =
        json!([{"type": "url_citation", "start_index": 1, "end_index": 2, "url": "https://x.example", "title": "X"}]);
    assert_eq!(body["output"][0]["content"][0]["annotations"], annotation);
    assert_eq!(names(&losses, false), ["citations"]);
}

#[test]
fn what_openai_would_refuse_is_not_sent() {
    let search = Tool {
        name: "search".into(),
        description: None,
        kind: ToolKind::Foreign(Dialect::Anthropic, json!({"type": "web_search_20250305"})),
        namespace: None,
        rest: Rest::default(),
    };
    let result = |id: &str| Part::Result(ToolResult { id: id.into(), parts: vec![said("r")], ..ToolResult::default() });
    let call = Part::Call(Call { id: "c1".into(), name: "f".into(), arguments: "{".into(), ..Call::default() });
    let chat = Chat {
        turns: vec![
            turn(Role::User, vec![]),
            turn(Role::Assistant, vec![call]),
            turn(Role::Tool, vec![result(""), result("")]),
            turn(Role::User, vec![Part::Foreign(Dialect::Gemini, json!({"executableCode": {}})), said("u")]),
        ],
        tools: vec![search],
        choice: Some(ToolChoice::Required),
        parallel: Some(true),
        params: Params {
            max_tokens: serde_json::Number::from_f64(100.0),
            presence_penalty: serde_json::Number::from_f64(0.0),
            frequency_penalty: serde_json::Number::from_f64(0.5),
            ..Params::default()
        },
        ..Chat::default()
    };
    let (body, losses) = try_write(&chat, &target()).unwrap();
    assert_eq!((body.get("tools"), body.get("tool_choice"), body.get("parallel_tool_calls")), (None, None, None));
    assert_eq!(body["max_output_tokens"].to_string(), "100");
    assert_eq!((&body["input"][0]["arguments"], &body["input"][1]["call_id"]), (&json!("{"), &json!("c1")));
    assert_eq!((&body["input"][2]["call_id"], &body["input"][3]["content"][0]["text"]), (&json!("call"), &json!("u")));
    assert_eq!(names(&losses, false), ["executableCode", "tools.search", "tool_choice", "frequency_penalty"]);
    assert_eq!(names(&losses, true), ["presence_penalty"]);
}
