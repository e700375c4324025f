//! What a provider of Messages is asked, for requests of every kind.

use super::*;
use crate::failure::{Blame, Class};

fn written(chat: &Chat, target: &Target<'_>) -> (Value, Vec<String>) {
    let (body, losses) = Api.write_request(chat, target).unwrap();
    let named = losses.iter().map(|loss| format!("{}{}", if loss.hint { "~" } else { "" }, loss.what)).collect();
    (serde_json::from_slice(&body).unwrap(), named)
}

fn target() -> Target<'static> {
    Target { provider: "anthropic", model: "claude-x", ..Target::default() }
}

fn turn(role: Role, parts: Vec<Part>) -> Turn {
    Turn { role, parts, name: None, rest: Rest::default() }
}

fn say(role: Role, text: &str) -> Turn {
    turn(role, vec![Part::Text(Text::of(text))])
}

fn call(id: &str, arguments: &str) -> Part {
    Part::Call(Call { id: id.into(), name: "look".into(), arguments: arguments.into(), ..Call::default() })
}

fn result(id: &str, text: &str) -> Part {
    let parts = vec![Part::Text(Text::of(text))];
    Part::Result(ToolResult { id: id.into(), parts, ..ToolResult::default() })
}

fn asking(turns: Vec<Turn>) -> Chat {
    Chat { model: "m".into(), turns, ..Chat::default() }
}

fn thinking(effort: &str) -> Option<Thinking> {
    Some(Thinking { effort: Some(effort.into()), ..Thinking::default() })
}

fn look() -> Tool {
    let kind = ToolKind::Function { schema: json!({"properties": {"a": {"type": "integer"}}}), strict: Some(true) };
    Tool { name: "look".into(), description: Some("Looks.".into()), kind, namespace: None, rest: Rest::default() }
}

#[test]
fn instructions_stand_apart_and_roles_take_turns() {
    let chat = asking(vec![
        say(Role::System, "Be brief."),
        say(Role::User, "a"),
        say(Role::User, "b"),
        turn(Role::Assistant, vec![Part::Text(Text::of(""))]),
        say(Role::Developer, "Be kind."),
        say(Role::User, "  "),
        say(Role::User, "c"),
        say(Role::Assistant, "So: \n"),
    ]);
    let (body, losses) = written(&chat, &target());
    assert_eq!(body["system"], json!([{"type": "text", "text": "Be brief."}, {"type": "text", "text": "Be kind."}]));
    let text = |text: &str| json!({"type": "text", "text": text});
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [text("a"), text("b"), text("c")]},
            {"role": "assistant", "content": [text("So:")]},
        ])
    );
    assert_eq!((body["model"].as_str(), body["max_tokens"].as_u64()), (Some("claude-x"), Some(8192)));
    assert!(losses.is_empty(), "{losses:?}");
}

#[test]
fn a_conversation_of_instructions_alone_ends_in_a_question() {
    let (body, losses) = written(&asking(vec![say(Role::System, "s"), say(Role::System, "Tell a joke.")]), &target());
    assert_eq!(body["messages"], json!([{"role": "user", "content": [{"type": "text", "text": "Tell a joke."}]}]));
    assert_eq!(body["system"], json!([{"type": "text", "text": "s"}]));
    assert_eq!(losses, ["messages.role"]);
}

#[test]
fn results_stand_first_behind_their_calls() {
    let chat = asking(vec![
        say(Role::User, "go"),
        turn(Role::Assistant, vec![call("call_0", "{\"a\": 1}"), call("x.y:1", "")]),
        say(Role::User, "and?"),
        turn(Role::Tool, vec![result("x.y:1", "two")]),
        turn(Role::Tool, vec![result("call_0", "one")]),
        turn(Role::Assistant, vec![call("call_0", "{\"a\": tr")]),
        turn(Role::Tool, vec![result("call_0", "three"), result("unknown", "four")]),
    ]);
    let (body, _) = written(&chat, &target());
    let answer = |id: &str, text: &str| json!({"type": "tool_result", "tool_use_id": id, "content": text});
    let used = |id: &str, input: Value| json!({"type": "tool_use", "id": id, "name": "look", "input": input});
    assert_eq!(
        body["messages"],
        json!([
            {"role": "user", "content": [{"type": "text", "text": "go"}]},
            {"role": "assistant", "content": [used("call_0", json!({"a": 1})), used("x_y_1", json!({}))]},
            {"role": "user", "content": [answer("x_y_1", "two"), answer("call_0", "one"), {"type": "text", "text": "and?"}]},
            {"role": "assistant", "content": [used("call_0_2", json!({"arguments": "{\"a\": tr"}))]},
            {"role": "user", "content": [answer("call_0_2", "three"), answer("unknown", "four")]},
        ])
    );
}

#[test]
fn effort_is_a_budget_or_a_word() {
    let mut chat = asking(vec![say(Role::User, "q")]);
    chat.reasoning = thinking("high");
    chat.params.temperature = serde_json::Number::from_f64(0.5);
    chat.params.top_k = Some(40.into());
    let (body, losses) = written(&chat, &target());
    assert_eq!(body["thinking"], json!({"type": "enabled", "budget_tokens": 16384}));
    assert_eq!(body["max_tokens"], json!(8192 + 16384));
    assert!(body.get("temperature").is_none() && body.get("top_k").is_none());
    assert_eq!(losses, ["temperature", "top_k"]);

    let adaptive = Target { adaptive_thinking: true, max_output: Some(64_000), ..target() };
    let (body, _) = written(&chat, &adaptive);
    assert_eq!(body["thinking"], json!({"type": "adaptive"}));
    assert_eq!(body["output_config"], json!({"effort": "high"}));
    assert_eq!(body["max_tokens"], json!(64_000));

    assert_eq!(written(&chat, &Target { max_output: None, ..adaptive }).0["max_tokens"], json!(8192 + 16384));

    chat.params.max_tokens = Some(3000.into());
    let (body, _) = written(&chat, &target());
    assert_eq!((&body["max_tokens"], &body["thinking"]["budget_tokens"]), (&json!(3000), &json!(1500)));
    chat.params.max_tokens = Some(600.into());
    let (body, losses) = written(&chat, &target());
    assert!(body.get("thinking").is_none() && losses.contains(&"reasoning_effort".to_owned()), "{losses:?}");
    assert_eq!(body["temperature"], json!(0.5));

    let (body, losses) = written(&chat, &Target { refuses_reasoning: true, refuses_sampling: true, ..target() });
    assert!(body.get("thinking").is_none() && body.get("temperature").is_none());
    assert_eq!(losses, ["reasoning_effort", "temperature", "top_k"]);

    chat.reasoning = thinking("none");
    assert_eq!(written(&chat, &target()).0["thinking"], json!({"type": "disabled"}));
}

#[test]
fn thoughts_go_back_to_their_maker_only() {
    let thought = |opaque: Option<Opaque>| {
        let reasoning = Reasoning { text: "Hm.".into(), opaque, ..Reasoning::default() };
        turn(Role::Assistant, vec![Part::Reasoning(reasoning), call("c", "{}")])
    };
    let chat = |opaque| {
        let turns = vec![say(Role::User, "q"), thought(opaque), turn(Role::Tool, vec![result("c", "r")])];
        Chat { reasoning: thinking("low"), ..asking(turns) }
    };
    let own = Opaque::signature(Dialect::Anthropic, "sig").made_by("anthropic");
    let (body, losses) = written(&chat(Some(own.clone())), &target());
    assert_eq!(body["messages"][1]["content"][0], json!({"type": "thinking", "thinking": "Hm.", "signature": "sig"}));
    assert_eq!(body["thinking"]["type"], json!("enabled"));
    assert!(losses.is_empty());
    for foreign in [None, Some(Opaque::signature(Dialect::Gemini, "x")), Some(own.made_by("bedrock"))] {
        let (body, losses) = written(&chat(foreign), &target());
        assert_eq!(body["messages"][1]["content"][0]["type"], json!("tool_use"));
        // Without the thoughts of this round the provider would refuse to think on.
        assert!(body.get("thinking").is_none());
        assert_eq!(losses, ["reasoning_effort", "~messages.reasoning"]);
    }
}

#[test]
fn tools_and_their_choice() {
    let custom = Tool {
        name: "patch".into(),
        description: None,
        kind: ToolKind::Custom { format: Some(json!({"type": "grammar", "syntax": "lark", "definition": "start: X"})) },
        namespace: Some("fs".into()),
        rest: Rest::default(),
    };
    let search = Tool {
        name: "web_search".into(),
        kind: ToolKind::Foreign(Dialect::OpenaiResponses, json!({"type": "web_search"})),
        ..look()
    };
    let mut chat = Chat { tools: vec![look(), custom, search], ..asking(vec![say(Role::User, "q")]) };
    let (body, losses) = written(&chat, &target());
    assert_eq!(
        body["tools"],
        json!([
            {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {"a": {"type": "integer"}}}, "strict": true},
            {"name": "fs__patch", "input_schema": {"type": "object", "properties": {"input": {"type": "string", "description": "start: X"}}, "required": ["input"]}},
        ])
    );
    assert!(body.get("tool_choice").is_none());
    assert_eq!(losses, ["tools.fs__patch.format", "tools.web_search"]);

    chat.parallel = Some(false);
    let mut choose = |choice: Option<ToolChoice>| {
        chat.choice = choice;
        let (body, _) = written(&chat, &target());
        (body["tool_choice"].clone(), body["tools"].as_array().map_or(0, Vec::len))
    };
    let one = |kind: &str| json!({"type": kind, "disable_parallel_tool_use": true});
    assert_eq!(choose(None), (one("auto"), 2));
    assert_eq!(choose(Some(ToolChoice::Required)), (one("any"), 2));
    assert_eq!(choose(Some(ToolChoice::None)), (json!({"type": "none"}), 2));
    let named = json!({"type": "tool", "name": "fs__patch", "disable_parallel_tool_use": true});
    assert_eq!(choose(Some(ToolChoice::Named("patch".into()))), (named, 2));
    let allowed = |required| Some(ToolChoice::Allowed { required, names: vec!["look".into()] });
    assert_eq!(choose(allowed(true)), (one("any"), 1));
    assert_eq!(choose(allowed(false)), (one("auto"), 1));
    chat.choice = Some(ToolChoice::Required);
    chat.reasoning = thinking("low");
    let (body, losses) = written(&chat, &target());
    assert_eq!(body["tool_choice"]["type"], json!("any"));
    assert!(body.get("thinking").is_none() && losses.contains(&"reasoning_effort".to_owned()));
}

#[test]
fn what_has_no_word_is_named() {
    let mut chat = asking(vec![say(Role::User, "q")]);
    chat.params = Params {
        n: Some(2.into()),
        seed: Some(1.into()),
        temperature: serde_json::Number::from_f64(1.7),
        top_p: serde_json::Number::from_f64(0.9),
        stop: vec!["\n".into(), "END".into()],
        user: Some("u".into()),
        service_tier: Some("flex".into()),
        ..Params::default()
    };
    chat.output = Some(Output::Json);
    let (body, losses) = written(&chat, &Target { one_sampling: true, ..target() });
    assert_eq!(body["temperature"], json!(1));
    assert_eq!(body["stop_sequences"], json!(["END"]));
    assert_eq!(body["metadata"], json!({"user_id": "u"}));
    assert_eq!(losses, ["temperature", "top_p", "n", "seed", "stop", "response_format", "~service_tier"]);
}

#[test]
fn an_answers_schema_is_closed_where_it_is_open() {
    let mut chat = asking(vec![say(Role::User, "q")]);
    let schema = json!({"type": "object", "properties": {
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "any": {"type": "object"},
        "open": {"type": "object", "properties": {"b": {}}, "additionalProperties": true},
    }});
    let output = |schema| Some(Output::Schema { name: Some("n".into()), description: None, schema, strict: None });
    chat.output = output(schema);
    assert_eq!(
        written(&chat, &target()).0["output_config"],
        json!({"format": {"type": "json_schema", "schema": {"type": "object", "properties": {
            "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}, "additionalProperties": false}},
            "any": {"type": "object"},
            "open": {"type": "object", "properties": {"b": {}}, "additionalProperties": true},
        }, "additionalProperties": false}}})
    );
    chat.output = output(Value::Null);
    let (body, losses) = written(&chat, &target());
    assert!(body.get("output_config").is_none());
    assert_eq!(losses, ["response_format"]);
}

#[test]
fn media_of_every_source() {
    let media = |kind, source, mime: Option<&str>| {
        let mime = mime.map(str::to_owned);
        let media = Media { kind, source, mime, name: Some("n".into()), detail: None, rest: Rest::default() };
        Api.write_request(&asking(vec![turn(Role::User, vec![Part::Media(media)])]), &target()).map(|(body, _)| {
            let body: Value = serde_json::from_slice(&body).unwrap();
            body["messages"][0]["content"][0].clone()
        })
    };
    let image = |source: Value| json!({"type": "image", "source": source});
    let document = |source: Value| json!({"type": "document", "source": source, "title": "n"});
    use {MediaKind::*, Source::*};
    for (kind, source, mime, block) in [
        (
            Image,
            Inline("iVBORw0K".into()),
            None,
            image(json!({"type": "base64", "media_type": "image/png", "data": "iVBORw0K"})),
        ),
        (Image, Url("https://x/y".into()), None, image(json!({"type": "url", "url": "https://x/y"}))),
        (
            Image,
            Url("data:image/jpg;base64,/9j/".into()),
            None,
            image(json!({"type": "base64", "media_type": "image/jpeg", "data": "/9j/"})),
        ),
        (
            File,
            Inline("JVBERi0=".into()),
            None,
            document(json!({"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="})),
        ),
        (
            File,
            Inline("YSxiCg==".into()),
            Some("text/csv"),
            document(json!({"type": "text", "media_type": "text/plain", "data": "a,b\n"})),
        ),
        (File, Text("hi".into()), None, document(json!({"type": "text", "media_type": "text/plain", "data": "hi"}))),
        (File, Id("file_1".into()), None, document(json!({"type": "file", "file_id": "file_1"}))),
    ] {
        assert_eq!(media(kind, source, mime).unwrap(), block);
    }
    for (kind, source, mime) in [
        (Audio, Inline("AAAA".into()), Some("audio/wav")),
        (File, Inline("/w==".into()), Some("application/zip")),
        (File, Id("file-abc".into()), None),
    ] {
        let failure = media(kind, source, mime).unwrap_err();
        assert_eq!((failure.status, failure.blame), (400, Blame::Client));
    }
    assert_eq!(media(Video, Url("https://v".into()), None).unwrap_err().class(), Class::Unsupported);
}

fn read(body: Value) -> Chat {
    Api.read_request(body.to_string().as_bytes(), &Said::default()).unwrap()
}

#[test]
fn generous_forms_are_read() {
    let chat = read(json!({
        "model": "m", "system": {"type": "text", "text": "s"}, "stream": null, "temperature": "hot",
        "messages": {"role": "user", "content": {"type": "text", "text": "q"}},
        "tools": {"name": "t", "parameters": {"type": "object"}}, "tool_choice": "any", "top_p": null,
    }));
    assert_eq!(chat.turns.iter().map(|turn| turn.role).collect::<Vec<_>>(), [Role::System, Role::User]);
    assert_eq!(chat.tools[0].kind, ToolKind::Function { schema: json!({"type": "object"}), strict: None });
    assert_eq!((chat.choice, chat.params.odd.len()), (Some(ToolChoice::Required), 1));
    for (body, place) in [
        ("[]", "object"),
        ("{\"messages\":[{\"role\":\"user\",\"content\":\"\\ud83d\"}", "JSON"),
        ("{}", "messages"),
        ("{\"messages\":[3]}", "messages[0]"),
        ("{\"messages\":[{\"role\":\"tool\",\"content\":\"\"}]}", "messages[0].role"),
        ("{\"messages\":[{\"role\":\"user\",\"content\":7}]}", "messages[0].content"),
        ("{\"messages\":[],\"system\":[1]}", "system"),
    ] {
        let failure = Api.read_request(body.as_bytes(), &Said::default()).unwrap_err();
        assert_eq!(failure.status, 400);
        assert!(failure.message.contains(place), "{body}: {}", failure.message);
    }
    let lone = Api.read_request(br#"{"messages":[{"role":"user","content":"\ud83d"}]}"#, &Said::default()).unwrap();
    assert_eq!(lone.turns[0].parts, [Part::Text(Text::of("\u{fffd}"))]);
}

#[test]
fn results_and_questions_are_turns_of_their_own() {
    let chat = read(json!({"messages": [
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "look", "input": {"x": [1.50]}}]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "a", "is_error": true, "content": [
                {"type": "text", "text": "no"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AA=="}},
            ]},
            {"type": "text", "text": "so?"},
        ]},
        {"role": "system", "content": "now"},
    ]}));
    let roles: Vec<Role> = chat.turns.iter().map(|turn| turn.role).collect();
    assert_eq!(roles, [Role::Assistant, Role::Tool, Role::User, Role::System]);
    let Part::Result(result) = &chat.turns[1].parts[0] else { panic!() };
    assert_eq!((result.name.as_deref(), result.error, result.parts.len()), (Some("look"), true, 2));
    let Part::Call(call) = &chat.turns[0].parts[0] else { panic!() };
    assert!(call.arguments.starts_with("{\"x\":[1.5"), "{}", call.arguments);
}

#[test]
fn documents_made_of_blocks_are_text_elsewhere_and_themselves_here() {
    let search = json!({"type": "search_result", "source": "https://s", "title": "T", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "citations": {"enabled": true}});
    let mixed = json!({"type": "document", "source": {"type": "content", "content": [
        {"type": "text", "text": "three"}, {"type": "image", "source": {"type": "url", "url": "https://i"}}]}});
    let chat = read(json!({"messages": [{"role": "user", "content": [search, mixed]}]}));
    let parts = &chat.turns[0].parts;
    let Part::Media(media) = &parts[0] else { panic!() };
    assert_eq!((&media.source, media.name.as_deref()), (&Source::Text("one\n\ntwo".into()), Some("T")));
    assert!(matches!(&parts[1], Part::Text(text) if text.text == "three") && matches!(&parts[2], Part::Media(_)));
    assert_eq!(written(&chat, &target()).0["messages"][0]["content"][0], search);
}

#[test]
fn state_of_other_dialects_comes_back_from_beside() {
    let signed = |data: &str| Some(Opaque::signature(Dialect::Gemini, data).made_by("gemini"));
    let call =
        Call { id: "c".into(), name: "f".into(), arguments: "{}".into(), opaque: signed("on-call"), ..Call::default() };
    let text = Text { text: "t".into(), opaque: signed("on-text"), ..Text::default() };
    let thought = Reasoning { text: "Hm.".into(), opaque: signed("on-thought"), ..Reasoning::default() };
    let unsigned = Reasoning { text: "Oh.".into(), ..Reasoning::default() };
    let sealed = Reasoning {
        opaque: Some(Opaque::encrypted(Dialect::OpenaiResponses, "e", Some("rs_1".into())).made_by("gemini")),
        ..Reasoning::default()
    };
    let parts = vec![
        Part::Reasoning(thought),
        Part::Reasoning(unsigned),
        Part::Reasoning(sealed),
        Part::Text(text),
        Part::Call(call),
    ];
    let choice = Choice { parts: parts.clone(), finish: Finish::ToolCalls, ..Choice::default() };
    let reply = Reply { id: "r".into(), model: "m".into(), choices: vec![choice], ..Reply::default() };
    let asked = Asked { provider: "gemini".into(), ..Asked::default() };

    let (whole, losses) = Api.write_reply(&reply, &asked);
    assert!(losses.is_empty());
    let whole: Value = serde_json::from_slice(&whole).unwrap();
    let streamed = cases::accumulate(&encode(&tell(&reply), &asked));
    assert_eq!(whole["content"], streamed["content"]);
    for block in whole["content"].as_array().unwrap() {
        assert!(block.get("signature").is_none_or(|signature| !signature.as_str().unwrap().is_empty()));
    }
    let mut content = whole["content"].as_array().unwrap().clone();
    let back = |content: &[Value]| {
        read(json!({"messages": [{"role": "assistant", "content": content}]})).turns[0].parts.clone()
    };
    assert_eq!(back(&content), parts);
    // Some clients put calls last.
    let end = content.len() - 1;
    content.swap(end - 1, end);
    assert_eq!(back(&content), parts);
    assert!(is_wrapped(&serde_json::to_vec(&content).unwrap()));
}

#[test]
fn vertex_has_the_model_elsewhere() {
    for (body, wanted) in [
        (r#"{"model":"a","x":1}"#, r#"{"anthropic_version":"vertex-2023-10-16","x":1}"#),
        (r#" { "x": 1, "model": "a" }"#, r#" {"anthropic_version":"vertex-2023-10-16", "x": 1 }"#),
        (r#"{"model":"a"}"#, r#"{"anthropic_version":"vertex-2023-10-16"}"#),
        (r#"{"anthropic_version":"v","model":"a"}"#, r#"{"anthropic_version":"v"}"#),
        ("{}", r#"{"anthropic_version":"vertex-2023-10-16"}"#),
    ] {
        assert_eq!(vertex_body(&Bytes::from_static(body.as_bytes())), wanted);
    }
    assert_eq!(read_count(&write_count(12)), Some(12));
}
