//! Replies and streams: odd cases of providers, and what clients get of other dialects' replies.

use serde_json::{Value, json};

use super::recorded::{assemble, cases, decode, encode, events};
use crate::Dialect;
use crate::dialect::Api as _;
use crate::failure::{Blame, Failure};
use crate::gemini::Api;
use crate::hub::{
    Asked, BlockKind, Call, Called, Choice, Delta, Finish, Opaque, Part, Reasoning, Reply, Rest, State, Text, tell,
};
use crate::usage::Usage;

fn read(body: &Value) -> Reply {
    Api.read_reply(body.to_string().as_bytes()).unwrap()
}

fn asked() -> Asked {
    let called = vec![Called { sent: "n__p".into(), name: "p".into(), namespace: Some("n".into()), custom: true }];
    Asked { id: "made".into(), model: "asked".into(), provider: "there".into(), sse: true, called, ..Asked::default() }
}

fn write(reply: &Reply) -> Value {
    serde_json::from_slice(&Api.write_reply(reply, &asked()).0).unwrap()
}

fn candidate(parts: Value, finish: &str) -> Value {
    json!({"candidates": [{"content": {"parts": parts, "role": "model"}, "finishReason": finish}], "responseId": "a+b/c"})
}

#[test]
fn finish_reasons_read_as_what_they_are() {
    let text = json!([{"text": "x"}]);
    for (word, finish) in [
        ("STOP", Finish::Stop),
        ("MAX_TOKENS", Finish::Length),
        ("SAFETY", Finish::ContentFilter),
        ("PROHIBITED_CONTENT", Finish::ContentFilter),
        ("MALFORMED_FUNCTION_CALL", Finish::Other("MALFORMED_FUNCTION_CALL".into())),
        ("SOMETHING_NEW", Finish::Other("SOMETHING_NEW".into())),
    ] {
        let reply = read(&candidate(text.clone(), word));
        assert_eq!(reply.choices[0].finish, finish);
        let back = write(&reply);
        let expected = if word == "SOMETHING_NEW" { "OTHER" } else { word };
        assert_eq!(back["candidates"][0]["finishReason"], expected);
        let stream = decode(&[candidate(text.clone(), word).to_string()]);
        assert_eq!(assemble(&stream).choices[0].finish, finish);
    }
    // Calls end with a stop here, and numbers stand for words in some replies.
    assert_eq!(read(&candidate(json!([{"functionCall": {"name": "f"}}]), "STOP")).choices[0].finish, Finish::ToolCalls);
    for (number, finish) in [(1, Finish::Stop), (2, Finish::Length), (17, Finish::ContentFilter)] {
        assert_eq!(read(&json!({"candidates": [{"finishReason": number}]})).choices[0].finish, finish);
    }
    // Cut off before the first part, and no candidate at all.
    let cut = read(&json!({"candidates": [{"content": {"role": "model"}, "finishReason": "MAX_TOKENS", "index": 0}]}));
    assert_eq!((cut.choices[0].parts.len(), &cut.choices[0].finish), (0, &Finish::Length));
    let none = read(&json!({"usageMetadata": {"promptTokenCount": 3}}));
    assert_eq!((none.choices.len(), &none.choices[0].finish), (1, &Finish::Cut));
}

#[test]
fn made_up_ids_differ_over_a_conversation() {
    let ids = |id: &str| -> Vec<String> {
        let body = json!({"responseId": id, "candidates": [{"content": {"parts": [{"functionCall": {"name": "f"}}, {"functionCall": {"name": "f"}}]}}]});
        let parts = read(&body).choices.remove(0).parts;
        parts
            .into_iter()
            .map(|part| match part {
                Part::Call(call) => call.id,
                other => panic!("{other:?}"),
            })
            .collect()
    };
    assert_eq!(ids("T8y+/S_a-1"), ["call_T8yS_a-1_1", "call_T8yS_a-1_2"]);
    assert_ne!(ids("other"), ids("another"));
    assert!(ids(&"x".repeat(200)).iter().all(|id| id.len() <= 64));
}

#[test]
fn a_blocked_prompt_is_a_refusal_in_the_filters_words() {
    let body = json!({"promptFeedback": {"blockReason": "SAFETY", "blockReasonMessage": "no"}, "usageMetadata": {"promptTokenCount": 4}});
    let reply = read(&body);
    assert_eq!(
        reply.choices,
        [Choice { parts: vec![Part::Refusal("no".into())], finish: Finish::ContentFilter, ..Choice::default() }]
    );
    let told = assemble(&decode(&[body.to_string()]));
    assert_eq!((&told.choices, told.usage), (&reply.choices, reply.usage));
    assert_eq!(write(&reply)["promptFeedback"], body["promptFeedback"]);
    assert!(write(&reply).get("candidates").is_none());
    let silent = read(&json!({"promptFeedback": {"blockReason": "OTHER"}}));
    assert!(silent.choices[0].parts.is_empty());
}

#[test]
fn usage_is_counted_once() {
    let usage = |counts: Value| {
        let usage = Api.check_reply(json!({"candidates": [], "usageMetadata": counts}).to_string().as_bytes()).unwrap();
        usage.map(|usage| (usage.classes(), usage.overlap))
    };
    let full = json!({"promptTokenCount": 100, "cachedContentTokenCount": 30, "candidatesTokenCount": 7, "thoughtsTokenCount": 5, "toolUsePromptTokenCount": 11, "totalTokenCount": 123});
    assert_eq!(usage(full), Some(([81, 30, 0, 7, 5], 0)));
    assert_eq!(usage(json!({"promptTokenCount": 3, "totalTokenCount": 3})), Some(([3, 0, 0, 0, 0], 0)));
    assert_eq!(usage(json!({"promptTokenCount": 3, "cachedContentTokenCount": 5})), Some(([0, 5, 0, 0, 0], 2)));
    assert_eq!(usage(json!({"trafficType": "ON_DEMAND"})), None);
    let reply = Reply {
        usage: Some(Usage { input: 5, cache_read: 3, cache_write: 2, output: 7, reasoning: 4, ..Usage::default() }),
        ..Reply::default()
    };
    assert_eq!(
        write(&reply)["usageMetadata"],
        json!({"promptTokenCount": 10, "candidatesTokenCount": 7, "totalTokenCount": 21, "cachedContentTokenCount": 3, "thoughtsTokenCount": 4})
    );
}

fn foreign_reply() -> Reply {
    let thought = Opaque::signature(Dialect::Anthropic, "sig");
    let parts = vec![
        Part::Reasoning(Reasoning { text: "hm".into(), summary: true, opaque: Some(thought), rest: Rest::default() }),
        Part::Text(Text::of("a\u{2028}\"b\"\n")),
        Part::Call(Call { id: "c1".into(), name: "f".into(), arguments: "{\"x\":\n 1}".into(), ..Call::default() }),
        Part::Call(Call {
            id: "c2".into(),
            name: "n__p".into(),
            arguments: r#"{"input":"*"}"#.into(),
            ..Call::default()
        }),
        Part::Call(Call { id: "c3".into(), name: "f".into(), arguments: r#"{"x"#.into(), ..Call::default() }),
        Part::Foreign(Dialect::Anthropic, json!({"type": "server_tool_use"})),
    ];
    let logprobs = json!({"content": [{"token": "a", "logprob": -0.5, "bytes": [97], "top_logprobs": [{"token": "b", "logprob": -2.0, "bytes": [98]}]}], "refusal": null});
    let choice = Choice { parts, finish: Finish::ToolCalls, logprobs: Some(logprobs), ..Choice::default() };
    let other = Choice { index: 1, parts: vec![Part::Refusal("I will not".into())], ..Choice::default() };
    let usage = Some(Usage { input: 1, output: 2, ..Usage::default() });
    Reply { id: "r".into(), choices: vec![choice, other], usage, ..Reply::default() }
}

#[test]
fn another_dialects_reply_whole() {
    let (body, losses) = Api.write_reply(&foreign_reply(), &asked());
    let body: Value = serde_json::from_slice(&body).unwrap();
    let wrapped =
        Opaque { dialect: Dialect::Anthropic, provider: Some("there".into()), state: State::Signature("sig".into()) }
            .wrap();
    assert_eq!(
        body,
        json!({
            "candidates": [
                {
                    "content": {"parts": [
                        {"text": "hm", "thought": true, "thoughtSignature": wrapped},
                        {"text": "a\u{2028}\"b\"\n"},
                        {"functionCall": {"id": "c1", "name": "f", "args": {"x": 1}}},
                        {"functionCall": {"id": "c2", "name": "p", "args": {"input": "*"}}},
                        {"functionCall": {"id": "c3", "name": "f", "args": {"arguments": "{\"x"}}},
                    ], "role": "model"},
                    "finishReason": "STOP",
                    "index": 0,
                    "logprobsResult": {
                        "chosenCandidates": [{"token": "a", "logProbability": -0.5}],
                        "topCandidates": [{"candidates": [{"token": "b", "logProbability": -2.0}]}],
                    },
                },
                {"content": {"parts": [{"text": "I will not"}], "role": "model"}, "finishReason": "SAFETY", "index": 1},
            ],
            "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 2, "totalTokenCount": 3},
            "modelVersion": "asked",
            "responseId": "r",
        })
    );
    assert_eq!(losses.iter().map(|loss| &*loss.what).collect::<Vec<_>>(), ["server_tool_use"]);
}

#[test]
fn another_dialects_reply_streamed_reads_like_the_whole() {
    let reply = foreign_reply();
    let whole = Api.read_reply(&Api.write_reply(&reply, &asked()).0).unwrap();
    let deltas = tell(&reply);
    for sse in [true, false] {
        let mut encoder = Api.encoder(&Asked { sse, ..asked() });
        let mut out = Vec::new();
        deltas.iter().for_each(|delta| encoder.delta(delta, &mut out));
        assert_eq!(encoder.losses().iter().map(|loss| &*loss.what).collect::<Vec<_>>(), ["server_tool_use"]);
        let text = String::from_utf8(out).unwrap();
        let chunks = if sse {
            assert!(
                text.split("\r\n\r\n")
                    .all(|event| event.is_empty() || (event.starts_with("data: {") && !event.contains('\n')))
            );
            events(&text)
        } else {
            let list: Vec<Value> = serde_json::from_str(&text).unwrap();
            list.iter().map(Value::to_string).collect()
        };
        let told = assemble(&decode(&chunks));
        assert_eq!(told, whole);
    }
}

#[test]
fn a_stream_event_by_event() {
    let mut encoder = Api.encoder(&asked());
    let mut step = |delta: Delta| {
        let mut out = Vec::new();
        encoder.delta(&delta, &mut out);
        String::from_utf8(out).unwrap()
    };
    let (choice, block) = (0, 0);
    assert_eq!(step(Delta::Start { id: "r".into(), model: "m".into(), created: None, rest: Rest::default() }), "");
    assert_eq!(step(Delta::Open { choice, block, kind: BlockKind::Text { rest: Rest::default() } }), "");
    let text = "data: {\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"hi\"}],\"role\":\"model\"},\"index\":0}],\"modelVersion\":\"m\",\"responseId\":\"r\"}\r\n\r\n";
    assert_eq!(step(Delta::Text { choice, block, text: "hi".into() }), text);
    assert_eq!(step(Delta::Ping), "");
    let call = |block, id: &str| Delta::Open {
        choice,
        block,
        kind: BlockKind::Call {
            id: id.into(),
            name: "f".into(),
            custom: false,
            namespace: None,
            rest: Rest::default(),
        },
    };
    // Calls whose arguments come in turns are held, each until it is known whole, and go out in the order in which they began.
    assert_eq!(step(Delta::Close { choice, block }), "");
    for delta in [
        call(1, "a"),
        Delta::Text { choice, block: 1, text: "{\"n\":".into() },
        call(2, "b"),
        Delta::Text { choice, block: 2, text: "{}".into() },
        Delta::Close { choice, block: 2 },
        Delta::Text { choice, block: 1, text: "1}".into() },
        Delta::Close { choice, block: 1 },
    ] {
        assert_eq!(step(delta), "");
    }
    let told = step(Delta::Finish { choice, finish: Finish::ToolCalls, stop_sequence: None, rest: Rest::default() });
    let calls: Vec<Value> = events(&told)
        .iter()
        .map(|event| {
            serde_json::from_str::<Value>(event).unwrap()["candidates"][0]["content"]["parts"][0]["functionCall"]
                .clone()
        })
        .collect();
    assert_eq!(calls, [json!({"id": "a", "name": "f", "args": {"n": 1}}), json!({"id": "b", "name": "f", "args": {}})]);
    assert_eq!(step(Delta::Usage(Usage { input: 1, ..Usage::default() })), "");
    let last: Value = serde_json::from_str(&events(&step(Delta::Done))[0]).unwrap();
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert_eq!(last["usageMetadata"]["totalTokenCount"], 1);
    assert_eq!(step(Delta::Done), "");
}

#[test]
fn a_failure_ends_the_stream_in_either_form() {
    let failure = Box::new(Failure::new(Blame::Provider, 503, "server_error", "overloaded", "full"));
    let start = Delta::Start { id: "r".into(), model: "m".into(), created: None, rest: Rest::default() };
    let open = Delta::Open { choice: 0, block: 0, kind: BlockKind::Text { rest: Rest::default() } };
    let text = Delta::Text { choice: 0, block: 0, text: "x".into() };
    let deltas = [start, open, text, Delta::Failed(failure), Delta::Done];
    let error = json!({"error": {"code": 503, "message": "full", "status": "UNAVAILABLE", "details": [
        {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "overloaded", "domain": "sluice"},
    ]}});
    let told = events(&encode(&deltas, true));
    assert_eq!((told.len(), serde_json::from_str::<Value>(&told[1]).unwrap()), (2, error.clone()));
    let list: Vec<Value> = serde_json::from_str(&encode(&deltas, false)).unwrap();
    assert_eq!((list.len(), &list[1]), (2, &error));
    let nothing: Vec<Value> = serde_json::from_str(&encode(&deltas[3..], false)).unwrap();
    assert_eq!(nothing, [error]);
    // Read again it is the same failure.
    let Some(Delta::Failed(read)) = decode(&told).pop() else { panic!() };
    assert_eq!((read.status, read.message.as_str()), (503, "full"));
}

#[test]
fn providers_streams_that_go_wrong() {
    let last = |events: &[&str]| {
        let events: Vec<String> = events.iter().map(|event| (*event).to_owned()).collect();
        let deltas = decode(&events);
        assert_eq!(deltas.iter().filter(|delta| matches!(delta, Delta::Failed(_) | Delta::Done)).count(), 1);
        match deltas.last() {
            Some(Delta::Failed(failure)) => (failure.status, failure.code.clone().unwrap_or_default().into_owned()),
            other => (200, format!("{other:?}")),
        }
    };
    let text = r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]}"#;
    let end = r#"{"candidates":[{"finishReason":"STOP"}]}"#;
    assert_eq!(last(&[text, end]).0, 200);
    assert_eq!(last(&[]), (502, "stream_truncated".into()));
    assert_eq!(last(&[text]), (502, "stream_truncated".into()));
    assert_eq!(last(&[text, "{", end]), (502, "invalid_event".into()));
    assert_eq!(last(&[text, "[]", end]), (502, "invalid_event".into()));
    let error = r#"{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED"}}"#;
    assert_eq!(last(&[text, error, end]), (429, "RESOURCE_EXHAUSTED".into()));
    assert_eq!(last(&[&format!("[{error}]")]), (429, "RESOURCE_EXHAUSTED".into()));
    // Two candidates, of which one has no end.
    let two = r#"{"candidates":[{"index":0,"finishReason":"STOP"},{"index":1,"content":{"parts":[{"text":"b"}]}}]}"#;
    assert_eq!(last(&[two]), (502, "stream_truncated".into()));
}

#[test]
fn calls_in_pieces_are_put_together() {
    let piece = |call: Value| json!({"candidates": [{"content": {"parts": [{"functionCall": call}]}}]}).to_string();
    let partial = |path: &str, name: &str, value: Value, more: bool| json!({"partialArgs": [{"jsonPath": path, name: value, "willContinue": more}], "willContinue": true});
    let told = decode(&[
        piece(json!({"name": "f", "willContinue": true})),
        piece(partial("$.a.b[0].c", "stringValue", json!("x"), true)),
        piece(partial("$.a.b[0].c", "stringValue", json!("y"), false)),
        piece(partial("$.a.b[1]", "numberValue", json!(2.5), false)),
        piece(partial("$['a']['d e']", "boolValue", json!(true), false)),
        piece(partial("$.a.n", "nullValue", json!("NULL_VALUE"), false)),
        // What names no place, or one far away, is passed over.
        piece(partial("$", "stringValue", json!("z"), false)),
        piece(partial("$.a.b[99]", "stringValue", json!("z"), false)),
        piece(partial("a[", "stringValue", json!("z"), false)),
        piece(json!({})),
        piece(json!({"name": "g", "args": {"k": 1}})),
        piece(json!({"name": "h", "willContinue": true})),
        json!({"candidates": [{"finishReason": "STOP"}]}).to_string(),
    ]);
    let reply = assemble(&told);
    let calls: Vec<(&str, &str)> = reply.choices[0]
        .parts
        .iter()
        .map(|part| match part {
            Part::Call(call) => (call.name.as_str(), call.arguments.as_str()),
            other => panic!("{other:?}"),
        })
        .collect();
    let arguments = r#"{"a":{"b":[{"c":"xy"},2.5],"d e":true,"n":null}}"#;
    assert_eq!(calls, [("f", arguments), ("g", r#"{"k":1}"#), ("h", "{}")]);
    assert_eq!(reply.choices[0].finish, Finish::ToolCalls);
}

#[test]
fn citations_stay_with_the_text_and_come_back() {
    let grounding =
        json!({"webSearchQueries": ["q"], "groundingChunks": [{"web": {"uri": "https://a", "title": "t"}}]});
    let mut body = candidate(json!([{"text": "x"}, {"executableCode": {"code": "1"}}]), "STOP");
    body["candidates"][0]["groundingMetadata"] = grounding.clone();
    let reply = read(&body);
    let Part::Text(text) = &reply.choices[0].parts[0] else { panic!() };
    assert_eq!(text.citations, Some((Dialect::Gemini, vec![json!({"groundingMetadata": grounding})])));
    assert!(matches!(&reply.choices[0].parts[1], Part::Foreign(Dialect::Gemini, _)));
    assert_eq!(write(&reply)["candidates"][0]["groundingMetadata"], grounding);
    let streamed = assemble(&decode(&[body.to_string()]));
    assert_eq!(streamed.choices, reply.choices);
    let again = events(&encode(&tell(&reply), true));
    assert_eq!(assemble(&decode(&again)).choices, reply.choices);
}

#[test]
fn glances_see_what_they_must() {
    let glance = |event: &str| Api.glance(None, event.as_bytes()).unwrap();
    let mut seen = (0, 0);
    for case in cases().iter().filter(|case| case.status == 200 && case.body.starts_with("data:")) {
        let events = events(&case.body);
        let finished: u32 = events.iter().map(|event| glance(event).finished).sum();
        let complete = matches!(decode(&events).last(), Some(Delta::Done));
        assert_eq!(finished > 0, complete, "{}", case.name);
        let counted = events.iter().filter_map(|event| glance(event).usage).next_back();
        assert_eq!(counted.is_some(), complete, "{}", case.name);
        assert!(events.iter().any(|event| glance(event).content), "{}", case.name);
        seen = (seen.0 + 1, seen.1 + u32::from(complete));
    }
    assert!(seen.1 > 35, "{seen:?}");
    let only = glance(r#"{"usageMetadata":{"promptTokenCount":1},"modelVersion":"m"}"#);
    assert!(only.only_usage && !only.content && only.usage.is_some());
    for (event, content) in [
        (r#"{"candidates":[{"content":{"parts":[{"text":""}]}}]}"#, false),
        (r#"{"candidates":[{"content":{"parts":[{"text":"","thoughtSignature":"abc"}]}}]}"#, false),
        (r#"{"candidates":[{"content":{"parts":[{"te\u0078t":"a"}]}}]}"#, true),
        (r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]}}]}"#, true),
        (r#"{"candidates":[{"content":{"parts":[{"functionCall":{}}]}}]}"#, false),
        (r#"{"candidates":[{"content":{"parts":[{"inlineData":{"data":"AA=="}}]}}]}"#, true),
    ] {
        assert_eq!(glance(event).content, content, "{event}");
    }
    assert_eq!(glance(r#"{"candidates":[{"finishReason":"STOP"},{"finishReason":1},{"finishReason":0}]}"#).finished, 2);
    assert_eq!(glance(r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#).finished, 1);
    assert!(glance(r#"{"error":{}}"#).error && !glance(r#"{"error":null}"#).error);
    assert!(Api.glance(None, b"[1]").is_err() && Api.glance(None, b"{").is_err());
}

#[test]
fn what_is_no_reply_is_told_as_what_it_is() {
    for (body, status, code) in [
        ("", 502, "empty_reply"),
        ("<html>", 502, "html_reply"),
        ("data: {}\r\n\r\n", 502, "unexpected_stream"),
        (r#"{"candidates":["#, 502, "truncated_reply"),
        ("nope", 502, "invalid_reply"),
        ("{}", 502, "invalid_reply"),
        (r#"{"error":{"code":503,"message":"m","status":"UNAVAILABLE"}}"#, 503, "UNAVAILABLE"),
        (r#"[{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT"}}]"#, 400, "INVALID_ARGUMENT"),
        (r#"{"error":{"message":"m"},"candidates":[]}"#, 502, ""),
    ] {
        let failure = Api.check_reply(body.as_bytes()).unwrap_err();
        assert_eq!((failure.status, failure.code.as_deref().unwrap_or("")), (status, code), "{body}");
        assert!(Api.read_reply(body.as_bytes()).is_err());
    }
}

#[test]
fn frames_that_were_kept_tell_the_whole_reply() {
    let reply = foreign_reply();
    let frames: Vec<bytes::Bytes> = encode(&tell(&reply), true)
        .split_inclusive("\r\n\r\n")
        .map(|frame| bytes::Bytes::from(frame.to_owned()))
        .collect();
    let whole = Dialect::Gemini.assemble(frames.clone(), 1 << 20).unwrap();
    let told = Api.read_reply(&whole).unwrap();
    assert_eq!(
        told.choices.iter().map(|choice| choice.finish.clone()).collect::<Vec<_>>(),
        [Finish::ToolCalls, Finish::ContentFilter]
    );
    let cut = Dialect::Gemini.assemble(frames[..2].to_vec(), 1 << 20).unwrap();
    assert_eq!(Api.read_reply(&cut).unwrap().choices[0].finish, Finish::Other("OTHER".into()));
}
