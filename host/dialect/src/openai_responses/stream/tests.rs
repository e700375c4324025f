//! Events in the order in which clients want them, and providers' streams with their odd cases.

use serde_json::{Value, json};

use super::{Decoder, Encoder, failure, glance};
use crate::Dialect;
use crate::dialect::{Decode as _, Encode as _};
use crate::failure::{Class, Failure};
use crate::hub::{Asked, BlockKind, Called, Delta, Finish, Opaque, Part, Reasoning, Reply, Rest, State, Text, tell};
use crate::usage::Usage;

fn asked() -> Asked {
    let called = |sent: &str, name: &str, namespace: Option<&str>, custom| Called {
        sent: sent.into(),
        name: name.into(),
        namespace: namespace.map(str::to_owned),
        custom,
    };
    Asked {
        id: "abc-1".into(),
        created: 7,
        model: "asked".into(),
        provider: "p".into(),
        called: vec![called("exec", "exec", None, true), called("fs__read", "read", Some("fs"), false)],
        ..Asked::default()
    }
}

fn start() -> Delta {
    Delta::Start { id: "resp_1".into(), model: "m".into(), created: Some(5), rest: Rest::default() }
}

fn open(block: u32, kind: BlockKind) -> Delta {
    Delta::Open { choice: 0, block, kind }
}

fn call(id: &str, name: &str) -> BlockKind {
    BlockKind::Call { id: id.into(), name: name.into(), custom: false, namespace: None, rest: Rest::default() }
}

fn words() -> BlockKind {
    BlockKind::Text { rest: Rest::default() }
}

fn text(block: u32, text: &str) -> Delta {
    Delta::Text { choice: 0, block, text: text.into() }
}

fn close(block: u32) -> Delta {
    Delta::Close { choice: 0, block }
}

fn finish(finish: Finish) -> Delta {
    Delta::Finish { choice: 0, finish, stop_sequence: None, rest: Rest::default() }
}

/// What a client gets, as the events' data; each is framed with its type.
fn encoded(deltas: &[Delta]) -> Vec<Value> {
    let mut encoder = Encoder::new(&asked());
    let mut out = Vec::new();
    deltas.iter().for_each(|delta| encoder.delta(delta, &mut out));
    let out = String::from_utf8(out).unwrap();
    let frames = out.split("\n\n").filter(|frame| !frame.is_empty() && !frame.starts_with(':'));
    let events: Vec<Value> = frames
        .map(|frame| {
            let (event, data) = frame.split_once('\n').unwrap();
            let data: Value = serde_json::from_str(data.strip_prefix("data: ").unwrap()).unwrap();
            assert_eq!(event.strip_prefix("event: "), data["type"].as_str());
            data
        })
        .collect();
    for (number, event) in events.iter().enumerate() {
        assert_eq!(event["sequence_number"], number);
    }
    events
}

fn types(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap().trim_start_matches("response.")).collect()
}

#[test]
fn the_full_order() {
    let usage = Usage { input: 3, output: 2, reasoning: 1, ..Usage::default() };
    let events = encoded(&[
        start(),
        open(0, BlockKind::Reasoning { summary: false, rest: Rest::default() }),
        text(0, "Hm"),
        Delta::Opaque { choice: 0, block: 0, opaque: Opaque::signature(Dialect::Anthropic, "c2ln") },
        close(0),
        open(1, words()),
        text(1, "Hel"),
        text(1, "lo"),
        close(1),
        open(2, call("call_1", "look")),
        text(2, "{\"a\":"),
        text(2, "1}"),
        close(2),
        finish(Finish::ToolCalls),
        Delta::Usage(usage),
        Delta::Done,
    ]);
    let expected = [
        "created",
        "in_progress",
        "output_item.added",
        "reasoning_summary_part.added",
        "reasoning_summary_text.delta",
        "reasoning_summary_text.done",
        "reasoning_summary_part.done",
        "output_item.done",
        "output_item.added",
        "content_part.added",
        "output_text.delta",
        "output_text.delta",
        "output_text.done",
        "content_part.done",
        "output_item.done",
        "output_item.added",
        "function_call_arguments.delta",
        "function_call_arguments.delta",
        "function_call_arguments.done",
        "output_item.done",
        "completed",
    ];
    assert_eq!(types(&events), expected);
    let last = &events.last().unwrap()["response"];
    assert_eq!(
        (&last["id"], &last["model"], &last["created_at"], &last["status"]),
        (&json!("resp_1"), &json!("m"), &json!(5), &json!("completed"))
    );
    assert_eq!(last["usage"]["total_tokens"], 6);
    assert_eq!(last["output"][1]["content"][0]["text"], "Hello");
    assert_eq!(last["output"][2]["call_id"], "call_1");
    let items: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "response.output_item.done")
        .map(|event| &event["item"])
        .collect();
    assert_eq!(last["output"].as_array().unwrap().iter().collect::<Vec<_>>(), items);
    assert_eq!(events[0]["response"].get("usage"), None);
}

#[test]
fn tools_have_the_names_and_kinds_that_the_client_gave() {
    let events = encoded(&[
        start(),
        open(0, call("c0", "exec")),
        text(0, "{\"inp"),
        text(0, "ut\":\"ls \\\"a\\\"\"}"),
        close(0),
        open(1, call("c1", "fs__read")),
        close(1),
        open(2, call("c2", "exec")),
        text(2, "no json"),
        close(2),
        finish(Finish::Stop),
        Delta::Done,
    ]);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(
        (&output[0]["type"], &output[0]["name"], &output[0]["input"]),
        (&json!("custom_tool_call"), &json!("exec"), &json!("ls \"a\""))
    );
    assert_eq!(
        (&output[1]["name"], &output[1]["namespace"], &output[1]["arguments"]),
        (&json!("read"), &json!("fs"), &json!("{}"))
    );
    assert_eq!(output[2]["input"], "no json");
    let deltas: Vec<&Value> = events
        .iter()
        .filter(|event| event["type"] == "response.custom_tool_call_input.delta")
        .map(|event| &event["delta"])
        .collect();
    assert_eq!(deltas, ["ls \"a\"", "no json"]);
}

#[test]
fn how_it_ended() {
    for (reason, refusal, kind, status, details) in [
        (Finish::Stop, false, "response.completed", "completed", json!(null)),
        (Finish::Length, false, "response.incomplete", "incomplete", json!({"reason": "max_output_tokens"})),
        (Finish::ContentFilter, false, "response.incomplete", "incomplete", json!({"reason": "content_filter"})),
        (Finish::Refusal, true, "response.completed", "completed", json!(null)),
        (Finish::Refusal, false, "response.incomplete", "incomplete", json!({"reason": "content_filter"})),
        (Finish::StopSequence, false, "response.completed", "completed", json!(null)),
        (Finish::Cut, false, "response.incomplete", "incomplete", json!(null)),
    ] {
        let block = if refusal { BlockKind::Refusal } else { words() };
        let events = encoded(&[start(), open(0, block), text(0, "x"), close(0), finish(reason.clone()), Delta::Done]);
        let last = events.last().unwrap();
        assert_eq!((&last["type"], &last["response"]["status"]), (&json!(kind), &json!(status)), "{reason:?}");
        assert_eq!(last["response"]["incomplete_details"], details);
    }
}

#[test]
fn a_failure_ends_with_all_that_was_said() {
    let failure = Failure::bad_gateway("upstream", "It broke.").with_class(Class::Overloaded);
    let events = encoded(&[
        start(),
        open(0, words()),
        text(0, "Hel"),
        open(1, call("c", "look")),
        text(1, "{"),
        Delta::Failed(Box::new(failure)),
        Delta::Done,
    ]);
    let (last, before) = (&events[events.len() - 1], &events[events.len() - 2]);
    assert_eq!((&before["type"], &before["message"]), (&json!("error"), &json!("It broke.")));
    assert_eq!(
        (&last["type"], &last["response"]["error"]["code"]),
        (&json!("response.failed"), &json!("server_error"))
    );
    assert_eq!(last["response"]["output"][0]["content"][0]["text"], "Hel");
    // A call that was cut is in the object and never told as done: nobody is to run it.
    let done = events
        .iter()
        .filter(|event| event["item"]["type"] == "function_call" && event["type"] == "response.output_item.done");
    assert_eq!((done.count(), &last["response"]["output"][1]["arguments"]), (0, &json!("{")));
}

#[test]
fn text_for_a_closed_block_is_not_lost() {
    let events = encoded(&[
        start(),
        open(0, call("a", "one")),
        text(0, "{"),
        close(0),
        open(1, call("b", "two")),
        text(0, "}"),
        text(1, "{}"),
        close(1),
        open(2, words()),
        text(2, "x"),
        close(2),
        text(2, "y"),
        finish(Finish::ToolCalls),
        Delta::Done,
    ]);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!((&output[0]["arguments"], &output[1]["arguments"]), (&json!("{}"), &json!("{}")));
    let said: Vec<&str> =
        output[2]["content"].as_array().unwrap().iter().map(|part| part["text"].as_str().unwrap()).collect();
    assert_eq!(said.concat(), "xy");
}

#[test]
fn one_choice_and_what_has_no_place() {
    let mut encoder = Encoder::new(&asked());
    let mut out = Vec::new();
    let other = Delta::Open { choice: 1, block: 0, kind: words() };
    let tool = open(1, BlockKind::Foreign(Dialect::Anthropic, json!({"type": "server_tool_use"})));
    for delta in [
        start(),
        open(0, words()),
        text(0, "x"),
        other,
        close(0),
        tool,
        close(1),
        finish(Finish::Stop),
        Delta::Ping,
        Delta::Done,
    ] {
        encoder.delta(&delta, &mut out);
    }
    let lost: Vec<&str> = encoder.losses().iter().map(|loss| &*loss.what).collect();
    assert_eq!(lost, ["choices[1]", "server_tool_use"]);
    assert!(String::from_utf8(out).unwrap().contains(": keepalive\n\n"));
}

#[test]
fn state_of_a_call_follows_it() {
    let signed = Opaque::signature(Dialect::Gemini, "c2ln");
    let events = encoded(&[
        start(),
        open(0, call("c", "look")),
        Delta::Opaque { choice: 0, block: 0, opaque: signed },
        text(0, "{}"),
        close(0),
        finish(Finish::ToolCalls),
        Delta::Done,
    ]);
    let output = events.last().unwrap()["response"]["output"].clone();
    assert_eq!((&output[0]["type"], &output[1]["type"]), (&json!("function_call"), &json!("reasoning")));
    let request = json!({"model": "m", "input": output}).to_string();
    let chat = super::super::read_request::read(request.as_bytes()).unwrap();
    let Part::Call(call) = &chat.turns[0].parts[0] else { panic!() };
    assert_eq!(call.opaque, Some(Opaque::signature(Dialect::Gemini, "c2ln").made_by("p")));
    assert_eq!(chat.turns[0].parts.len(), 1);
}

fn decoded(events: &[Value]) -> Vec<Delta> {
    let mut decoder = Decoder::default();
    let mut out = Vec::new();
    for event in events {
        decoder.event(None, event.to_string().as_bytes(), &mut out);
    }
    decoder.end(&mut out);
    out
}

fn last(deltas: &[Delta]) -> (&Delta, usize) {
    let ends = deltas.iter().filter(|delta| matches!(delta, Delta::Failed(_) | Delta::Done)).count();
    (deltas.last().unwrap(), ends)
}

#[test]
fn an_error_in_the_stream_is_told_once() {
    let error = json!({"type": "error", "sequence_number": 2, "error": {"type": "insufficient_quota", "code": "insufficient_quota", "message": "No money.", "param": null}});
    let failed = json!({"type": "response.failed", "response": {"status": "failed", "error": {"code": "insufficient_quota", "message": "No money."}}});
    for events in [vec![error.clone(), failed.clone()], vec![failed.clone()], vec![error.clone()]] {
        let deltas = decoded(&events);
        let (Delta::Failed(failure), 1) = last(&deltas) else { panic!("{deltas:?}") };
        assert_eq!((failure.status, failure.class(), failure.message.as_str()), (429, Class::Quota, "No money."));
    }
    for (event, data) in [(Some(&b"error"[..]), error), (None, failed)] {
        let data = data.to_string();
        assert!(glance(event, data.as_bytes()).unwrap().error);
        assert_eq!(failure(event, data.as_bytes()).unwrap().class(), Class::Quota);
    }
}

#[test]
fn a_stream_without_its_end_was_cut() {
    let deltas =
        decoded(&[json!({"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "x"})]);
    let (Delta::Failed(failure), 1) = last(&deltas) else { panic!("{deltas:?}") };
    assert_eq!(failure.code.as_deref(), Some("stream_truncated"));
    let deltas = decoded(&[json!([1])]);
    let (Delta::Failed(failure), 1) = last(&deltas) else { panic!("{deltas:?}") };
    assert_eq!(failure.code.as_deref(), Some("invalid_event"));
}

#[test]
fn items_that_only_the_end_tells() {
    let message = |id: &str, text: &str| json!({"type": "message", "id": id, "role": "assistant", "content": [{"type": "output_text", "text": text, "annotations": []}]});
    let completed = |output: Value| json!({"type": "response.completed", "response": {"id": "r", "model": "m", "status": "completed", "output": output, "usage": {"input_tokens": 1, "output_tokens": 2}}});
    let said = |events: &[Value]| -> Vec<String> {
        let texts = decoded(events).into_iter().filter_map(|delta| match delta {
            Delta::Text { text, .. } => Some(text),
            _ => None,
        });
        texts.collect()
    };
    assert_eq!(said(&[completed(json!([message("a", "x"), message("b", "y")]))]), ["x", "y"]);
    let done = |at: u64, item: Value| json!({"type": "response.output_item.done", "output_index": at, "item": item});
    assert_eq!(said(&[done(0, message("a", "x")), completed(json!([]))]), ["x"]);
    assert_eq!(
        said(&[done(0, message("a", "x")), completed(json!([message("a", "x"), message("b", "y")]))]),
        ["x", "y"]
    );
    // A server that numbers every item 0.
    let added = |item: Value| json!({"type": "response.output_item.added", "output_index": 0, "item": item});
    let twice = [
        added(message("a", "")),
        done(0, message("a", "x")),
        added(message("b", "")),
        done(0, message("b", "y")),
        completed(json!([message("a", "x"), message("b", "y")])),
    ];
    assert_eq!(said(&twice), ["x", "y"]);
}

#[test]
fn a_held_reply_of_this_dialect_keeps_its_ids_and_state() {
    let members = |id: &str| Rest::new(Dialect::OpenaiResponses, [("id".to_owned(), json!(id))].into_iter().collect());
    let opaque = Opaque::encrypted(Dialect::OpenaiResponses, "gAAA", Some("rs_9".into()));
    let parts = vec![
        Part::Reasoning(Reasoning { opaque: Some(opaque), rest: members("rs_9"), ..Reasoning::default() }),
        Part::Text(Text { text: "a".into(), rest: members("msg_1"), ..Text::default() }),
        Part::Text(Text { text: "b".into(), rest: members("msg_2"), ..Text::default() }),
    ];
    let reply = Reply { choices: vec![crate::hub::Choice { parts, ..Default::default() }], ..Reply::default() };
    let events = encoded(&tell(&reply));
    let output = &events.last().unwrap()["response"]["output"];
    let ids: Vec<&str> = output.as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    assert_eq!((ids, &output[0]["encrypted_content"]), (vec!["rs_9", "msg_1", "msg_2"], &json!("gAAA")));
    let again = decoded(&events);
    let kept = again.iter().find_map(|delta| match delta {
        Delta::Opaque { opaque, .. } => Some(opaque.state.clone()),
        _ => None,
    });
    assert_eq!(kept, Some(State::Encrypted { data: "gAAA".into(), id: Some("rs_9".into()) }));
}

#[test]
fn a_glance_tells_content_and_the_end() {
    let look = |data: &str| glance(None, data.as_bytes()).unwrap();
    assert!(look(r#"{"type":"response.output_text.delta","delta":"x"}"#).content);
    assert!(!look(r#"{"type":"response.output_text.delta","delta":""}"#).content);
    assert!(look(r#"{"type":"response.output_item.added","item":{"type":"function_call","name":"n"}}"#).content);
    assert!(!look(r#"{"type":"response.output_item.added","item":{"type":"message","content":[]}}"#).content);
    assert!(!look(r#"{"type":"response.created","response":{"error":null,"usage":null}}"#).error);
    let end = look(
        r#"{"type":"response.completed","response":{"output":[],"usage":{"input_tokens":5,"output_tokens":2,"input_tokens_details":{"cached_tokens":1}}}}"#,
    );
    assert_eq!((end.done, end.finished, end.content, end.usage.unwrap().classes()), (true, 1, false, [4, 1, 0, 2, 0]));
    assert!(glance(None, b"[1]").is_err() && glance(None, b"{").is_err());
}
