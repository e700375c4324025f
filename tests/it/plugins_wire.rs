//! Recorded traffic under guards: a masked word is nowhere in the client's bytes, whatever repeats it; with guards that pass everything,
//! the bytes are the provider's own.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use serde_json::{Value, json};
use sluice_tests::gateway::Gateway;
use sluice_tests::http::{End, Reply};
use sluice_tests::mock::{Mock, Script};
use sluice_tests::sse::{self, Item};
use sluice_tests::wire::{self, Case};

use crate::plugins_mask::{leaks, texts, words};
use crate::plugins_support::{PATIENT, asking, contains, is_stream, start, wants_stream, with};
use crate::support::{CHAT, row, setup};
use crate::wire_passthrough::{Expected, check_reply, expected, seen};

/// Cases whose reply reaches the client.
fn good_cases() -> Vec<Case> {
    let good = |case: &Case| matches!(expected(case), Expected::Whole | Expected::Stream { broken: false, .. });
    wire::load().into_iter().filter(good).collect()
}

fn serve(gateway: &Gateway, mock: &Mock, case: &Case) -> Reply {
    mock.script("openai", case.script());
    gateway.post("/openai/v1/chat/completions", &case.request)
}

fn before_openai(mock: &Mock, guard: &str, yaml: &str) -> Gateway {
    let gateway = with(setup(&[row(mock, "openai", "")], ""), guard, guard, yaml).start();
    crate::plugins_support::active(&gateway, guard);
    gateway
}

fn streamed(case: &Case) -> bool {
    case.content_type().starts_with("text/event-stream")
}

/// Serves every recorded case with words of every case masked, and names each place where one can still be read.
fn masks(guard: &str, more: &str) {
    let cases = good_cases();
    assert!(cases.len() > 400, "{}", cases.len());
    let mut all: Vec<String> = cases.iter().flat_map(|case| words(&texts(&case.body, streamed(case)), 2)).collect();
    all.sort();
    all.dedup();
    assert!(all.len() > 300, "{}", all.len());
    let mock = Mock::start();
    let yaml = format!("streams: hold\n{PATIENT}\nsettings: {{ words: {}{more} }}\n", json!(all));
    let gateway = before_openai(&mock, guard, &yaml);
    let (mut found, mut masked) = (BTreeMap::<String, usize>::new(), 0);
    for case in &cases {
        let reply = serve(&gateway, &mock, case);
        assert_eq!((reply.status, reply.end), (200, End::Proper), "{}: {}", case.name, reply.text());
        assert_eq!(is_stream(&reply), streamed(case), "{}", case.name);
        for (place, word) in leaks(&reply, &all) {
            let place = place.split('#').next().unwrap_or_default().to_owned();
            *found.entry(format!("{} ({}) {place}: {word}", case.name, case.provider)).or_default() += 1;
        }
        if !words(&texts(&case.body, streamed(case)), 2).is_empty() {
            masked += 1;
            assert!(contains(&reply.body, "***"), "{}: nothing was masked: {}", case.name, reply.text());
        }
    }
    assert!(masked > 300, "{masked}");
    let list: Vec<String> = found.into_iter().map(|(place, count)| format!("{place} x{count}")).collect();
    assert!(list.is_empty(), "{guard}: {} leaks:\n{}", list.len(), list.join("\n"));
}

#[test]
fn no_masked_word_is_left_by_a_guard_with_every_hook() {
    masks("deny-words", ", action: mask, where: [reply]");
}

#[test]
fn no_masked_word_is_left_by_a_guard_of_windows() {
    masks("delta-guard", "");
}

#[test]
fn no_masked_word_is_left_by_a_guard_of_whole_replies() {
    masks("response-guard", "");
}

/// Serves every case past a guard that passes everything.
fn passes(guard: &str, check: impl Fn(&Case, &Reply)) {
    let mock = Mock::start();
    let gateway = before_openai(&mock, guard, &format!("streams: hold\n{PATIENT}\n"));
    let (mut failures, mut passed) = (Vec::new(), 0);
    for case in wire::load() {
        let reply = serve(&gateway, &mock, &case);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| check(&case, &reply))) {
            let text = panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a check failed".to_owned());
            failures.push(text.chars().take(1500).collect::<String>());
        }
        passed += 1;
    }
    assert!(failures.is_empty(), "{guard}: {} of {passed} differ:\n{}", failures.len(), failures.join("\n"));
    let state = crate::plugins_support::active(&gateway, guard);
    let runs = |hook: &str| state["counters"]["hooks"][hook]["runs"].as_u64().unwrap_or(0);
    assert!(runs("on-delta") + runs("on-response") > 500, "{state}");
}

#[test]
fn a_guard_of_windows_that_passes_all_changes_no_byte() {
    passes("delta-nop", check_reply);
}

#[test]
fn a_guard_of_whole_replies_that_passes_all_changes_no_byte() {
    passes("reads-all", |case, reply| match expected(case) {
        // Nothing of it has left when it breaks, and comments have done their work when it is complete.
        Expected::Stream { broken: true, .. } => assert!(reply.status >= 400, "{}: {}", case.name, reply.text()),
        Expected::Stream { items, broken: false } => {
            let want: Vec<Vec<u8>> = items.into_iter().filter(|item| !item.starts_with(b":")).collect();
            assert_eq!(reply.status, 200, "{}: {}", case.name, reply.text());
            assert!(seen(&reply.body) == want, "{}: the events differ:\n{}", case.name, reply.text());
        }
        _ => check_reply(case, reply),
    });
}

/// Two tool calls and a text at once, each with the word split over events; `indexed` as most providers number them.
fn parallel_events() -> Vec<String> {
    let call = |index: usize, name: Option<&str>, arguments: &str| {
        let function = match name {
            Some(name) => json!({"name": name, "arguments": arguments}),
            None => json!({"arguments": arguments}),
        };
        let mut call = json!({"index": index, "function": function});
        if name.is_some() {
            call["id"] = json!(format!("call_{index}"));
            call["type"] = json!("function");
        }
        call
    };
    let deltas = [
        json!({"role": "assistant", "content": "Telling the blue"}),
        json!({"tool_calls": [call(0, Some("send"), ""), call(1, Some("note"), "{\"to\":\"Blu")]}),
        json!({"content": "bird now", "tool_calls": [call(0, None, "{\"text\":\"about blue")]}),
        json!({"tool_calls": [call(1, None, "ebird\",\"n\":1,\"bl")]}),
        json!({"tool_calls": [call(0, None, "b\\u0069rd\"}"), call(1, None, "uebird\":2}")]}),
    ];
    let mut events: Vec<String> = deltas.into_iter().map(|delta| crate::support::event(delta, None)).collect();
    events.push(crate::support::event(json!({}), Some("tool_calls")));
    events.push(crate::support::DONE.to_owned());
    events
}

fn parallel_whole() -> String {
    let call = |id: &str, name: &str, arguments: &str| json!({"id": id, "type": "function", "function": {"name": name, "arguments": arguments}});
    let calls = [
        call("call_0", "send", "{\"text\":\"about blueb\\u0069rd\"}"),
        call("call_1", "note", "{\"to\":\"Bluebird\",\"n\":1,\"bluebird\":2}"),
    ];
    let message = json!({"role": "assistant", "content": "Telling the bluebird now", "tool_calls": calls});
    let choice = json!({"index": 0, "message": message, "finish_reason": "tool_calls"});
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]}).to_string()
}

#[test]
fn parallel_tool_calls_are_masked_each_for_itself() {
    let mock = Mock::start();
    let (whole, events) = (Script::json(200, parallel_whole()), parallel_events());
    mock.on("p", move |exchange| if wants_stream(exchange) { Script::sse(&events) } else { whole.clone() });
    let yaml = format!("streams: hold\n{PATIENT}\nsettings: {{ words: [bluebird], action: mask, where: [reply] }}\n");
    let gateway = start(&mock, &[("guard", "deny-words", &yaml)]);
    for stream in [false, true] {
        let reply = gateway.post(CHAT, asking("hi", stream));
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(leaks(&reply, &["bluebird".to_owned()]), [], "{}", reply.text());
        let found = texts(&reply.body, stream);
        let at = |part: &str| {
            let place = found.iter().find(|(place, _)| place.ends_with(part));
            place.map(|(_, text)| text.clone()).unwrap_or_else(|| panic!("no {part} in {found:?}"))
        };
        assert_eq!(at(".content"), "Telling the *** now", "stream {stream}");
        assert_eq!(at("tool_calls.0.function.arguments"), "{\"text\":\"about ***\"}", "stream {stream}");
        let second: Value = serde_json::from_str(&at("tool_calls.1.function.arguments")).unwrap();
        assert_eq!((&second["to"], &second["n"]), (&"***".into(), &1.into()), "{second}");
        for name in ["send", "note", "call_0", "call_1"] {
            assert_eq!(reply.text().matches(&format!("\"{name}\"")).count(), 1, "{name}: {}", reply.text());
        }
    }
}

#[test]
fn comments_keep_their_place_before_what_is_held() {
    let mock = Mock::start();
    let events = [
        crate::support::text_event("one sec"),
        ": ping\n\n".to_owned(),
        crate::support::text_event("ret two"),
        crate::support::finish_event(),
        crate::support::DONE.to_owned(),
    ];
    mock.script("p", Script::sse(&events));
    let yaml = format!("{PATIENT}\nsettings: {{ words: [secret] }}\n");
    let gateway = start(&mock, &[("guard", "delta-guard", &yaml)]);
    let reply = gateway.post(CHAT, asking("hi", true));
    assert_eq!(crate::plugins_support::text_of(&reply), "one *** two");
    let comments = sse::items(&reply.body).iter().filter(|item| matches!(item, Item::Comment(_))).count();
    assert_eq!(comments, 1, "{}", reply.text());
}
