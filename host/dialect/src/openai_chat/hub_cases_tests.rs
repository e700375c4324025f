//! Single facts of the conversions, each with the smallest document that shows it.

use serde_json::{Value, json};

use super::*;
use crate::Dialect;
use crate::dialect::{Api as _, Said};
use crate::failure::Class;
use crate::hub::{
    Asked, Assembler, BlockKind, Called, Chat, Delta, Finish, Losses, MaxTokens, Opaque, Part, Reasoning, Reply, Rest,
    Role, State, Target, Text, ToolChoice, Turn, tell,
};
use crate::usage::Usage;

fn read(request: Value) -> Chat {
    Api.read_request(request.to_string().as_bytes(), &Said::default()).unwrap()
}

fn write(chat: &Chat, target: &Target<'_>) -> (Value, Losses) {
    let (bytes, losses) = Api.write_request(chat, target).unwrap();
    (serde_json::from_slice(&bytes).unwrap(), losses)
}

fn names(losses: &Losses) -> Vec<&str> {
    losses.iter().filter(|loss| !loss.hint).map(|loss| &*loss.what).collect()
}

fn reply(reply: Value) -> Reply {
    Api.read_reply(reply.to_string().as_bytes()).unwrap()
}

fn message(message: Value, reason: &str) -> Reply {
    reply(json!({"id": "r", "choices": [{"index": 0, "message": message, "finish_reason": reason}]}))
}

fn shown(reply: &Reply, asked: &Asked) -> Value {
    serde_json::from_slice(&Api.write_reply(reply, asked).0).unwrap()
}

fn decode(events: &[Value]) -> Vec<Delta> {
    let mut decoder = Api.decoder();
    let mut out = Vec::new();
    for event in events {
        decoder.event(None, event.to_string().as_bytes(), &mut out);
    }
    decoder.end(&mut out);
    out
}

fn chunk(delta: Value, reason: Value) -> Value {
    json!({"id": "s", "model": "m", "created": 1, "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
}

fn whole(deltas: &[Delta]) -> Reply {
    let mut assembler = Assembler::new(1 << 20);
    deltas.iter().for_each(|delta| assembler.push(delta.clone()).unwrap());
    assembler.finish()
}

fn encode(deltas: &[Delta], asked: &Asked) -> String {
    let mut encoder = Api.encoder(asked);
    let mut out = Vec::new();
    deltas.iter().for_each(|delta| encoder.delta(delta, &mut out));
    String::from_utf8(out).unwrap()
}

fn texts(parts: &[Part]) -> Vec<&str> {
    parts.iter().filter_map(|part| if let Part::Text(text) = part { Some(text.text.as_str()) } else { None }).collect()
}

#[test]
fn a_request_is_read_generously() {
    let chat = read(json!({
        "model": "m", "max_tokens": 5, "max_completion_tokens": 7, "temperature": "hot", "n": null, "stop": "x",
        "messages": [
            {"role": "developer", "content": "d", "name": null},
            {"role": "user", "content": {"type": "text", "text": "one"}},
            {"role": "assistant", "content": null, "function_call": {"name": "old", "arguments": "{}"}},
            {"role": "function", "name": "old", "content": "done"},
            {"role": "assistant", "tool_calls": {"id": "c", "function": {"name": "f", "arguments": {"a": 1}}}},
            {"role": "tool", "tool_call_id": "c", "content": [{"type": "text", "text": "r"}, {"type": "image_url", "image_url": "https://a.example/i.png"}]},
        ],
        "tools": {"type": "function", "function": {"name": "f"}},
        "thinking": {"type": "disabled"}, "metadata": {"a": "b"},
    }));
    assert_eq!(chat.params.max_tokens, Some(7.into()));
    assert_eq!(chat.params.odd, ["temperature"]);
    assert_eq!(chat.params.stop, ["x"]);
    assert_eq!(chat.tools.len(), 1);
    assert!(chat.reasoning.as_ref().unwrap().off);
    assert_eq!(chat.turns[0].role, Role::Developer);
    let Part::Call(old) = &chat.turns[2].parts[0] else { panic!() };
    let Part::Result(result) = &chat.turns[3].parts[0] else { panic!() };
    assert_eq!((old.id.as_str(), result.id.as_str(), result.name.as_deref()), ("call_0", "call_0", Some("old")));
    let Part::Call(call) = &chat.turns[4].parts[0] else { panic!() };
    assert_eq!(call.arguments, "{\"a\":1}");
    // A picture that a tool gave stands in a turn of the user's directly behind.
    let (written, losses) = write(&chat, &Target { model: "t", ..Target::default() });
    let messages = written["messages"].as_array().unwrap();
    assert_eq!(messages[5], json!({"role": "tool", "tool_call_id": "c", "content": "r"}));
    assert_eq!(
        messages[6],
        json!({"role": "user", "content": [{"type": "image_url", "image_url": {"url": "https://a.example/i.png"}}]})
    );
    assert_eq!((messages[0]["role"].as_str(), written["model"].as_str()), (Some("system"), Some("t")));
    assert_eq!(names(&losses), ["temperature"]);
}

#[test]
fn what_cannot_be_a_request_is_refused_in_words() {
    for body in ["[]", "{", "{\"messages\":3}", "{\"messages\":[3]}", "{\"messages\":[{\"role\":\"boss\"}]}"] {
        let failure = Api.read_request(body.as_bytes(), &Said::default()).unwrap_err();
        assert_eq!(failure.status, 400, "{body}");
    }
}

#[test]
fn a_target_gets_its_own_spellings() {
    let chat = read(json!({
        "messages": [{"role": "developer", "content": "d"}, {"role": "user", "content": "q"}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}, "strict": true}}],
        "tool_choice": "required", "max_tokens": 9, "seed": 3, "temperature": 0.5, "top_k": 4, "stream": true,
        "stop": ["1", "2", "3", "4", "5"], "verbosity": "low",
    }));
    let openai = Target {
        max_tokens: MaxTokens::Completion,
        developer_role: true,
        openai_extras: true,
        refuses_sampling: true,
        ..Target::default()
    };
    let (written, losses) = write(&chat, &openai);
    assert_eq!(written["max_completion_tokens"], 9);
    assert_eq!(written["messages"][0]["role"], "developer");
    assert_eq!(written["stop"], json!(["1", "2", "3", "4"]));
    assert_eq!((&written["verbosity"], &written["stream_options"]), (&json!("low"), &json!({"include_usage": true})));
    assert_eq!(names(&losses), ["temperature", "top_k", "stop"]);
    let mistral = Target { required_is_any: true, random_seed: true, no_stream_options: true, ..Target::default() };
    let (written, losses) = write(&chat, &mistral);
    assert_eq!((&written["tool_choice"], &written["random_seed"]), (&json!("any"), &json!(3)));
    assert_eq!((written.get("stream_options"), &written["max_tokens"]), (None, &json!(9)));
    assert_eq!(names(&losses), ["top_k", "verbosity"]);
}

#[test]
fn budgets_become_efforts_and_off_is_left_out() {
    let effort = |thinking: Value, target: &Target<'_>| {
        let chat = read(json!({"messages": [{"role": "user", "content": "q"}], "thinking": thinking}));
        let (written, losses) = write(&chat, target);
        (written.get("reasoning_effort").and_then(Value::as_str).map(str::to_owned), losses.iter().count())
    };
    let any = Target::default();
    for (budget, word) in [(1024, "low"), (4096, "low"), (4097, "medium"), (16384, "medium"), (32000, "high")] {
        assert_eq!(effort(json!({"type": "enabled", "budget_tokens": budget}), &any), (Some(word.into()), 0));
    }
    assert_eq!(effort(json!({"type": "disabled"}), &any), (None, 1));
    assert_eq!(effort(json!({"type": "enabled"}), &any), (None, 0));
    assert_eq!(
        effort(json!({"type": "enabled", "budget_tokens": 2}), &Target { refuses_reasoning: true, ..any }),
        (None, 1)
    );
}

#[test]
fn custom_tools_go_as_functions_and_come_back() {
    let mut chat = read(json!({
        "messages": [
            {"role": "user", "content": "q"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "c", "type": "custom", "custom": {"name": "patch", "input": "free \"text\""}}]},
            {"role": "tool", "tool_call_id": "c", "content": "ok"},
        ],
        "tools": [{"type": "custom", "custom": {"name": "patch", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}}],
        "tool_choice": {"type": "custom", "custom": {"name": "patch"}},
    }));
    let native = Target { openai_extras: true, ..Target::default() };
    let (written, _) = write(&chat, &native);
    assert_eq!(written["tools"][0]["custom"]["format"]["grammar"]["syntax"], "lark");
    assert_eq!(written["messages"][1]["tool_calls"][0]["custom"]["input"], "free \"text\"");
    assert_eq!(written["tool_choice"], json!({"type": "custom", "custom": {"name": "patch"}}));
    chat.tools[0].namespace = Some("fs".to_owned());
    let (written, losses) = write(&chat, &Target::default());
    assert_eq!(written["tools"][0]["function"]["name"], "fs__patch");
    assert_eq!(written["messages"][1]["tool_calls"][0]["function"]["arguments"], "{\"input\":\"free \\\"text\\\"\"}");
    assert_eq!(written["tool_choice"], json!({"type": "function", "function": {"name": "fs__patch"}}));
    assert_eq!(names(&losses), ["tools.patch.format"]);
    // The model's call of the function is a call of the custom tool for the client, whole and streamed.
    let asked = Asked { called: Asked::tools(&chat), ..Asked::default() };
    assert_eq!(
        asked.called,
        [Called { sent: "fs__patch".into(), name: "patch".into(), namespace: Some("fs".into()), custom: true }]
    );
    let call = json!({"id": "c", "type": "function", "function": {"name": "fs__patch", "arguments": "{\"input\": \"a\\nb\"}"}});
    let reply = message(json!({"role": "assistant", "tool_calls": [call]}), "tool_calls");
    let expected = json!({"id": "c", "type": "custom", "custom": {"name": "patch", "input": "a\nb"}});
    assert_eq!(shown(&reply, &asked)["choices"][0]["message"]["tool_calls"][0], expected);
    let told = encode(&tell(&reply), &asked);
    assert!(told.contains(r#""type":"custom","custom":{"name":"patch","input":""}"#), "{told}");
    assert!(told.contains(r#""tool_calls":[{"index":0,"custom":{"input":"a\nb"}}]"#), "{told}");
}

#[test]
fn allowed_tools_keep_their_meaning() {
    let mut chat = read(json!({
        "messages": [{"role": "user", "content": "q"}],
        "tools": [{"type": "function", "function": {"name": "a"}}, {"type": "function", "function": {"name": "b"}}],
    }));
    chat.choice = Some(ToolChoice::Allowed { required: true, names: vec!["b".to_owned()] });
    let (written, _) = write(&chat, &Target { openai_extras: true, ..Target::default() });
    assert_eq!(written["tools"].as_array().unwrap().len(), 2);
    assert_eq!(read(written).choice, chat.choice);
    let (written, _) = write(&chat, &Target::default());
    assert_eq!(written["tools"], json!([{"type": "function", "function": {"name": "b"}}]));
    assert_eq!(written["tool_choice"], "required");
}

#[test]
fn thoughts_with_state_come_back_through_a_client() {
    let signed = |text: &str, dialect, state: &str| {
        let opaque = Some(Opaque::signature(dialect, state).made_by("p"));
        Part::Reasoning(Reasoning { text: text.into(), opaque, ..Reasoning::default() })
    };
    let parts = vec![
        signed("First – ", Dialect::Anthropic, "c2lnMQ=="),
        Part::Reasoning(Reasoning { text: "bare. ".into(), ..Reasoning::default() }),
        signed("Second.", Dialect::Anthropic, "c2lnMg=="),
        Part::Reasoning(Reasoning {
            opaque: Some(Opaque::encrypted(Dialect::Anthropic, "redacted", None).made_by("p")),
            ..Reasoning::default()
        }),
        Part::Text(Text::of("Answer")),
    ];
    let mut reply = Reply { id: "r".into(), ..Reply::default() };
    reply.choices.push(crate::hub::Choice { parts: parts.clone(), ..crate::hub::Choice::default() });
    let answered = shown(&reply, &Asked::default());
    let mut message = answered["choices"][0]["message"].clone();
    assert_eq!(message["reasoning_content"], "First – bare. Second.");
    let back = read(json!({"messages": [message.clone()]}));
    assert_eq!(back.turns[0].parts, parts);
    // Streamed, and gathered by the official rule: lists by index, texts joined.
    let mut gathered = answer::Assembler::new(1 << 20);
    for line in encode(&tell(&reply), &Asked::default()).split("\n\n") {
        gathered.push(line.trim_start_matches("data: ").as_bytes()).unwrap();
    }
    let streamed: Value = serde_json::from_slice(&gathered.finish()).unwrap();
    let back = read(json!({"messages": [streamed["choices"][0]["message"]]}));
    assert_eq!(back.turns[0].parts, parts);
    // A client that changes or drops the text keeps only what needs none.
    message["reasoning_content"] = json!("Changed.");
    let back = read(json!({"messages": [message.clone()]}));
    let kept: Vec<&Part> = back.turns[0].parts.iter().collect();
    assert!(matches!(kept[0], Part::Reasoning(thought) if thought.text == "Changed." && thought.opaque.is_none()));
    assert!(
        matches!(kept[1], Part::Reasoning(thought) if matches!(thought.opaque.as_ref().unwrap().state, State::Encrypted { .. }))
    );
    assert_eq!(kept.len(), 3);
    // To another provider none of it goes, and nothing of it becomes words.
    let (written, losses) = write(&back, &Target { provider: "other", ..Target::default() });
    assert_eq!(written["messages"][0], json!({"role": "assistant", "content": "Answer"}));
    assert!(names(&losses).is_empty());
    let (written, _) = write(&back, &Target { wants_reasoning_content: true, ..Target::default() });
    assert_eq!(written["messages"][0]["reasoning_content"], "Changed.");
}

#[test]
fn state_of_this_dialect_goes_back_to_its_maker_alone() {
    let detail =
        json!({"type": "reasoning.text", "text": "Hm.", "signature": "s", "format": "anthropic-claude-v1", "index": 0});
    let mut reply = message(json!({"reasoning": "Hm.", "reasoning_details": [detail], "content": "x"}), "stop");
    let Part::Reasoning(thought) = &mut reply.choices[0].parts[0] else { panic!() };
    thought.opaque = thought.opaque.take().map(|opaque| opaque.made_by("openrouter"));
    let turn = Turn { role: Role::Assistant, parts: reply.choices[0].parts.clone(), name: None, rest: Rest::default() };
    let chat = Chat { turns: vec![turn], ..Chat::default() };
    let (written, _) = write(&chat, &Target { provider: "openrouter", ..Target::default() });
    let back = &written["messages"][0]["reasoning_details"][0];
    assert_eq!(
        (&back["signature"], &back["text"], &back["format"]),
        (&json!("s"), &json!("Hm."), &json!("anthropic-claude-v1"))
    );
    let (written, _) = write(&chat, &Target { provider: "other", ..Target::default() });
    assert_eq!(written["messages"][0].get("reasoning_details"), None);
}

#[test]
fn endings_are_told_by_one_set_of_words() {
    let call = json!({"id": "c", "type": "function", "function": {"name": "f", "arguments": null}});
    for (message, reason, finish) in [
        (json!({"content": "x"}), "", Finish::Stop),
        (json!({"content": "x"}), "eos", Finish::Stop),
        (json!({"content": "x"}), "tool_calls", Finish::Stop),
        (json!({"content": null, "tool_calls": [call]}), "stop", Finish::ToolCalls),
        (
            json!({"content": null, "function_call": {"name": "f", "arguments": "{}"}}),
            "function_call",
            Finish::ToolCalls,
        ),
        (json!({"content": null, "refusal": "No."}), "stop", Finish::Refusal),
        (json!({"content": "x"}), "content_filter", Finish::ContentFilter),
        (json!({"content": "x"}), "weird", Finish::Other("weird".into())),
    ] {
        assert_eq!(self::message(message.clone(), reason).choices[0].finish, finish, "{message} {reason}");
    }
    let reason = |finish: Finish, parts: Vec<Part>| {
        let choice = crate::hub::Choice { finish, parts, ..crate::hub::Choice::default() };
        let reply = Reply { choices: vec![choice], ..Reply::default() };
        shown(&reply, &Asked::default())["choices"][0]["finish_reason"].as_str().unwrap().to_owned()
    };
    assert_eq!(reason(Finish::Refusal, vec![Part::Refusal("No.".into())]), "stop");
    assert_eq!(reason(Finish::Refusal, vec![Part::Text(Text::of("No."))]), "content_filter");
    assert_eq!(reason(Finish::Cut, Vec::new()), "length");
}

#[test]
fn a_choice_with_an_error_is_a_failure() {
    let body = json!({"id": "x", "choices": [{"index": 0, "message": {"content": "half"}, "finish_reason": null, "error": {"code": 503, "message": "Overloaded"}}]});
    let failure = Api.read_reply(body.to_string().as_bytes()).unwrap_err();
    assert_eq!((failure.status, failure.message.as_str(), failure.class()), (503, "Overloaded", Class::Overloaded));
    for body in
        ["", "{\"choices\":[", "<html>", "{\"object\":\"list\"}", "{\"error\":{\"message\":\"x\",\"code\":429}}"]
    {
        assert!(Api.read_reply(body.as_bytes()).is_err(), "{body}");
    }
}

#[test]
fn calls_in_every_shape_are_told_once() {
    // Fragments interleaved; a name that comes late; no index; one index for all.
    let call = |index: Value, id: &str, name: Value, arguments: Value| {
        let mut call = json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
        if !index.is_null() {
            call["index"] = index;
        }
        chunk(json!({"tool_calls": [call]}), Value::Null)
    };
    let end = chunk(json!({}), json!("tool_calls"));
    let told = |events: &[Value]| -> Vec<(String, String, String)> {
        let reply = whole(&decode(events));
        assert_eq!(reply.choices[0].finish, Finish::ToolCalls);
        let calls = reply.choices[0].parts.iter().filter_map(|part| match part {
            Part::Call(call) => Some((call.id.clone(), call.name.clone(), call.arguments.clone())),
            _ => None,
        });
        calls.collect()
    };
    let expected = |calls: &[(&str, &str, &str)]| -> Vec<(String, String, String)> {
        calls.iter().map(|(a, b, c)| ((*a).to_owned(), (*b).to_owned(), (*c).to_owned())).collect()
    };
    let none = Value::Null;
    assert_eq!(
        told(&[
            call(json!(0), "a", json!("f"), json!("{\"x\"")),
            call(json!(1), "b", json!("g"), json!("")),
            call(json!(0), "", none.clone(), json!(":1}")),
            call(json!(1), "", json!(""), json!("{}")),
            end.clone(),
        ]),
        expected(&[("a", "f", "{\"x\":1}"), ("b", "g", "{}")])
    );
    assert_eq!(
        told(&[
            call(json!(0), "a", none.clone(), json!("{\"x\"")),
            call(json!(0), "", json!("f"), json!(":1}")),
            end.clone()
        ]),
        expected(&[("a", "f", "{\"x\":1}")])
    );
    assert_eq!(
        told(&[
            call(none.clone(), "a", json!("f"), json!("{}")),
            call(none.clone(), "b", json!("f"), json!({"y": 2})),
            end.clone()
        ]),
        expected(&[("a", "f", "{}"), ("b", "f", "{\"y\":2}")])
    );
    assert_eq!(
        told(&[
            call(json!(0), "a", json!("f"), json!("{}")),
            call(json!(0), "b", json!("g"), none.clone()),
            end.clone()
        ]),
        expected(&[("a", "f", "{}"), ("b", "g", "")])
    );
    assert_eq!(told(&[call(none, "", json!("f"), json!("{}")), end.clone()]), expected(&[("call_0", "f", "{}")]));
    let old = |function: Value| chunk(json!({"function_call": function}), Value::Null);
    let events = [old(json!({"name": "f", "arguments": ""})), old(json!({"arguments": "{}"})), end];
    assert_eq!(told(&events), expected(&[("call_0", "f", "{}")]));
}

#[test]
fn a_stream_ends_properly_or_says_that_it_was_cut() {
    let text = chunk(json!({"content": "x"}), Value::Null);
    let failed = |events: &[Value]| match decode(events).pop() {
        Some(Delta::Failed(failure)) => failure.code.unwrap().into_owned(),
        Some(Delta::Done) => "done".to_owned(),
        other => panic!("{other:?}"),
    };
    assert_eq!(failed(std::slice::from_ref(&text)), "stream_truncated");
    assert_eq!(failed(&[]), "stream_truncated");
    assert_eq!(failed(&[text.clone(), chunk(json!({}), json!("stop"))]), "done");
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}});
    assert_eq!(failed(&[text.clone(), usage]), "done");
    let n = |index: u32, reason: Value| json!({"id": "s", "choices": [{"index": index, "delta": {"content": "x"}, "finish_reason": reason}]});
    assert_eq!(failed(&[n(0, json!("stop")), n(1, Value::Null)]), "stream_truncated");
    assert_eq!(failed(&[n(0, Value::Null), n(1, json!("stop")), n(0, json!("length"))]), "done");
    assert_eq!(failed(&[text.clone(), json!({"error": {"message": "boom", "code": 502}})]), "502");
    assert_eq!(
        failed(&[text.clone(), json!({"choices": [{"index": 0, "error": {"message": "boom", "code": "x"}}]})]),
        "x"
    );
    assert_eq!(failed(&[n(4000, Value::Null)]), "invalid_stream");
    let mut decoder = Api.decoder();
    let mut out = Vec::new();
    decoder.event(Some(b"error"), b"plain words", &mut out);
    decoder.event(None, text.to_string().as_bytes(), &mut out);
    decoder.end(&mut out);
    assert_eq!(out.len(), 1);
}

#[test]
fn a_stream_has_one_identity_and_usage_only_where_it_was_asked_for() {
    let deltas = [
        Delta::Start { id: String::new(), model: String::new(), created: None, rest: Rest::default() },
        Delta::Open { choice: 0, block: 0, kind: BlockKind::Text { rest: Rest::default() } },
        Delta::Text { choice: 0, block: 0, text: "Hel\"lo".into() },
        Delta::Close { choice: 0, block: 0 },
        Delta::Usage(Usage { input: 3, cache_read: 2, output: 1, reasoning: 4, ..Usage::default() }),
        Delta::Finish { choice: 0, finish: Finish::Stop, stop_sequence: None, rest: Rest::default() },
        Delta::Done,
    ];
    let asked = Asked { id: "abc".into(), created: 5, model: "mine".into(), ..Asked::default() };
    let head = r#"data: {"id":"chatcmpl-abc","object":"chat.completion.chunk","created":5,"model":"mine","choices":"#;
    assert_eq!(
        encode(&deltas, &asked),
        format!(
            "{head}[{{\"index\":0,\"delta\":{{\"role\":\"assistant\",\"content\":\"Hel\\\"lo\"}},\"finish_reason\":null}}]}}\n\n\
             {head}[{{\"index\":0,\"delta\":{{}},\"finish_reason\":\"stop\"}}]}}\n\ndata: [DONE]\n\n"
        )
    );
    let told = encode(&deltas, &Asked { stream_usage: true, ..asked.clone() });
    let usage = r#""choices":[],"usage":{"prompt_tokens":5,"completion_tokens":5,"total_tokens":10,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":4}}}"#;
    assert!(told.ends_with(&format!("{usage}\n\ndata: [DONE]\n\n")), "{told}");
    assert_eq!(told.matches("\"usage\":null").count(), 2);
    // Nothing is earned by a failure.
    let failed = Delta::Failed(Box::new(crate::failure::Failure::bad_gateway("x", "Broken.")));
    let told = encode(&[deltas[0].clone(), deltas[1].clone(), deltas[2].clone(), failed, Delta::Done], &asked);
    assert!(told.contains("\"error\":{\"message\":\"Broken.\"") && !told.contains("[DONE]"), "{told}");
}

#[test]
fn a_call_without_arguments_has_an_empty_object() {
    let call = json!({"index": 0, "id": "c", "function": {"name": "f", "arguments": ""}});
    let deltas = decode(&[chunk(json!({"tool_calls": [call]}), Value::Null), chunk(json!({}), json!("stop"))]);
    let told = encode(&deltas, &Asked::default());
    assert!(told.contains(r#"{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#), "{told}");
    assert!(told.contains("\"finish_reason\":\"tool_calls\""));
    assert_eq!(
        shown(&whole(&deltas), &Asked::default())["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"],
        "{}"
    );
}

#[test]
fn texts_parts_and_thoughts_of_one_content() {
    let content = json!([
        {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}], "closed": true},
        {"type": "text", "text": "Two"}, "!", {"type": "reference", "reference_ids": [1]},
    ]);
    let reply = message(json!({"content": content}), "stop");
    assert!(matches!(&reply.choices[0].parts[0], Part::Reasoning(thought) if thought.text == "Hm."));
    assert_eq!(texts(&reply.choices[0].parts), ["Two", "!"]);
    assert!(matches!(&reply.choices[0].parts[3], Part::Foreign(Dialect::OpenaiChat, _)));
    let object = message(json!({"content": {"city": "Paris", "n": [1.0]}}), "stop");
    assert_eq!(texts(&object.choices[0].parts), ["{\"city\":\"Paris\",\"n\":[1.0]}"]);
    let spoken = message(json!({"content": null, "audio": {"id": "a", "data": "AAAA", "transcript": "Hi."}}), "stop");
    assert_eq!(texts(&spoken.choices[0].parts), ["Hi."]);
}

#[test]
fn openai_itself_gets_no_media_that_it_refuses() {
    let part = |part: Value| read(json!({"messages": [{"role": "user", "content": [part]}]}));
    let video = part(json!({"type": "video_url", "video_url": {"url": "https://a.example/v.mp4"}}));
    let file = part(json!({"type": "file", "file": {"file_data": "https://a.example/f.pdf"}}));
    let openai = Target { openai_extras: true, ..Target::default() };
    for (chat, target, refused) in
        [(&video, &openai, true), (&video, &Target::default(), false), (&file, &Target::default(), true)]
    {
        let failure = Api.write_request(chat, target).err();
        assert_eq!(failure.and_then(|failure| failure.code).as_deref(), refused.then_some("unsupported_media"));
    }
}
