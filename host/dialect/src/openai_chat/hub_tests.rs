//! What providers and clients really sent, through the hub and back.

use std::fs;
use std::path::Path;

use bytes::Bytes;
use serde_json::Value;

use super::*;
use crate::dialect::{Api as _, Said};
use crate::hub::{Asked, Assembler, Chat, Delta, MediaKind, Part, Reply, Rest, Source, Target};
use crate::json as scan;
use crate::sse::Framer;

struct Case {
    name: String,
    request: Value,
    status: u64,
    body: String,
    stream: bool,
}

/// All recorded chat cases of the repository.
fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire");
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "jsonl") {
            continue;
        }
        for line in fs::read_to_string(&path).unwrap().lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            let text = |pointer: &str| case.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            cases.push(Case {
                name: text("/name"),
                request: case["request"].clone(),
                status: case["response"]["status"].as_u64().unwrap(),
                body: text("/response/body"),
                stream: text("/operation") == "chat-stream",
            });
        }
    }
    assert!(cases.len() > 600, "{}", cases.len());
    cases
}

fn asked() -> Asked {
    Asked { id: "made".into(), created: 7, model: "asked".into(), stream_usage: true, ..Asked::default() }
}

fn events(body: &[u8]) -> Vec<(Option<Bytes>, Bytes)> {
    let mut framer = Framer::new(1 << 24);
    framer.push(Bytes::copy_from_slice(body));
    let mut events = Vec::new();
    loop {
        let frame = match framer.next().unwrap() {
            Some(frame) => frame,
            None => match framer.finish().unwrap() {
                Some(frame) => frame,
                None => return events,
            },
        };
        if let Some(data) = frame.data() {
            events.push((frame.event().map(Bytes::copy_from_slice), Bytes::copy_from_slice(&data)));
        }
    }
}

fn decoded(body: &[u8]) -> Vec<Delta> {
    let mut decoder = Api.decoder();
    let mut out = Vec::new();
    for (event, data) in events(body) {
        if data.trim_ascii() != b"[DONE]" {
            decoder.event(event.as_deref(), &data, &mut out);
        }
    }
    decoder.end(&mut out);
    out
}

/// Where two values differ, short enough to read; all cases at once.
#[derive(Default)]
struct Differences(Vec<String>);

impl Differences {
    fn check(&mut self, name: &str, left: &impl std::fmt::Debug, right: &impl std::fmt::Debug) {
        let (left, right) = (format!("{left:?}"), format!("{right:?}"));
        if left == right {
            return;
        }
        let at = left.bytes().zip(right.bytes()).take_while(|(left, right)| left == right).count().saturating_sub(60);
        let window = |text: &str| text.bytes().skip(at).take(260).map(char::from).collect::<String>();
        self.0.push(format!("{name}\n   {}\n   {}", window(&left), window(&right)));
    }
}

impl Drop for Differences {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            assert!(self.0.is_empty(), "{} differ:\n{}", self.0.len(), self.0.join("\n"));
        }
    }
}

fn assembled(deltas: &[Delta]) -> Reply {
    let mut assembler = Assembler::new(1 << 24);
    for delta in deltas {
        assembler.push(delta.clone()).unwrap();
    }
    assembler.finish()
}

/// What the writer adds where the provider said nothing.
fn name(reply: &mut Reply) {
    if reply.id.is_empty() {
        reply.id = "chatcmpl-made".to_owned();
    }
    if reply.model.is_empty() {
        reply.model = "asked".to_owned();
    }
    for part in reply.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        if let Part::Call(call) = part
            && call.arguments.is_empty()
        {
            call.arguments = "{}".to_owned();
        }
    }
}

/// Equal but for what this format cannot keep apart: neighbouring texts, and where between them something else stood.
fn flattened(mut reply: Reply) -> Reply {
    for choice in &mut reply.choices {
        let (mut thought, mut text, mut rest) = (None::<Part>, None::<Part>, Vec::new());
        for part in std::mem::take(&mut choice.parts) {
            match (part, &mut thought, &mut text) {
                (Part::Text(more), _, Some(Part::Text(text))) => {
                    text.text.push_str(&more.text);
                    text.citations = text.citations.take().or(more.citations);
                }
                (Part::Text(first), _, slot) => *slot = Some(Part::Text(first)),
                (Part::Reasoning(more), Some(Part::Reasoning(thought)), _) => {
                    thought.text.push_str(&more.text);
                    thought.opaque = thought.opaque.take().or(more.opaque);
                    thought.summary |= more.summary;
                }
                (Part::Reasoning(first), slot, _) => *slot = Some(Part::Reasoning(first)),
                (other, ..) => rest.push(other),
            }
        }
        choice.parts.extend(thought);
        choice.parts.extend(text);
        choice.parts.extend(rest);
    }
    reply
}

#[test]
fn whole_replies_come_back_equal() {
    let mut differences = Differences::default();
    let mut seen = 0;
    for case in cases() {
        if case.stream || case.status != 200 {
            continue;
        }
        let Ok(reply) = Api.read_reply(case.body.as_bytes()) else {
            assert!(case.body.contains("\"error\""), "{}", case.name);
            continue;
        };
        seen += 1;
        let (written, losses) = Api.write_reply(&reply, &asked());
        assert!(
            losses.is_empty() || reply.choices[0].parts.iter().any(|part| matches!(part, Part::Foreign(..))),
            "{} {losses:?}",
            case.name
        );
        let again = Api.read_reply(&written).unwrap();
        let mut reply = reply;
        reply.created = reply.created.or(Some(7));
        name(&mut reply);
        differences.check(&case.name, &flattened(again), &flattened(reply));
    }
    assert!(seen > 300, "{seen}");
}

#[test]
fn streams_tell_what_the_whole_reply_says() {
    let mut differences = Differences::default();
    let mut seen = 0;
    for case in cases() {
        if !case.stream || case.status != 200 {
            continue;
        }
        let deltas = decoded(case.body.as_bytes());
        if let Some(Delta::Failed(failure)) = deltas.last() {
            assert!(case.body.contains("\"error\""), "{} {failure:?}", case.name);
            continue;
        }
        assert_eq!(deltas.last(), Some(&Delta::Done), "{}", case.name);
        seen += 1;
        let mut whole = answer::Assembler::new(1 << 24);
        for (_, data) in events(case.body.as_bytes()) {
            whole.push(&data).unwrap();
        }
        let mut expected = Api.read_reply(&whole.finish()).unwrap();
        let mut told = assembled(&deltas);
        for reply in [&mut expected, &mut told] {
            reply.rest = Rest::default();
            reply.service_tier = None;
            // Some name each chunk anew.
            reply.id = String::new();
            reply.created = None;
            reply.choices.iter_mut().for_each(|choice| choice.rest = Rest::default());
        }
        differences.check(&case.name, &flattened(told), &flattened(expected));
    }
    assert!(seen > 180, "{seen}");
}

#[test]
fn a_stream_written_is_the_stream_read() {
    let mut differences = Differences::default();
    for case in cases() {
        if !case.stream || case.status != 200 {
            continue;
        }
        let deltas = decoded(case.body.as_bytes());
        let mut encoder = Api.encoder(&asked());
        let mut out = Vec::new();
        for delta in &deltas {
            encoder.delta(delta, &mut out);
        }
        let again = decoded(&out);
        if let Some(Delta::Failed(failure)) = deltas.last() {
            let Some(Delta::Failed(told)) = again.last() else { panic!("{}", case.name) };
            assert_eq!(failure.message, told.message);
            continue;
        }
        assert!(out.ends_with(b"data: [DONE]\n\n"), "{}", case.name);
        let (mut before, mut after) = (assembled(&deltas), assembled(&again));
        for reply in [&mut before, &mut after] {
            reply.rest = Rest::default();
            for choice in &mut reply.choices {
                choice.rest = Rest::default();
                choice.parts.retain(|part| !matches!(part, Part::Foreign(..)));
                for part in &mut choice.parts {
                    if let Part::Reasoning(thought) = part {
                        // A stream has one name for all thoughts.
                        thought.summary = false;
                    }
                }
            }
        }
        before.created = before.created.or(Some(7));
        name(&mut before);
        differences.check(&case.name, &flattened(after), &flattened(before));
    }
}

/// The writer names a file that has no name.
fn named_files(mut chat: Chat) -> Chat {
    for part in chat.turns.iter_mut().flat_map(|turn| &mut turn.parts) {
        if let Part::Media(media) = part
            && (media.kind, media.name.is_none(), matches!(media.source, Source::Inline(_)))
                == (MediaKind::File, true, true)
        {
            media.name = Some("file.pdf".to_owned());
        }
    }
    chat
}

#[test]
fn requests_keep_turns_tools_and_parameters() {
    let mut differences = Differences::default();
    let said = Said::default();
    let mut seen = 0;
    for case in cases() {
        let body = case.request.to_string();
        let Ok(chat) = Api.read_request(body.as_bytes(), &said) else {
            assert!(case.request.get("messages").is_none_or(|messages| !messages.is_array()), "{}", case.name);
            continue;
        };
        seen += 1;
        let target = Target { model: &chat.model, canonical: true, ..Target::default() };
        let (written, _) = Api.write_request(&chat, &target).unwrap();
        scan::validate(&written).unwrap();
        let again = Api.read_request(&written, &said).unwrap();
        differences.check(&case.name, &again.turns, &named_files(chat.clone()).turns);
        differences.check(&case.name, &again.tools, &chat.tools);
        differences.check(&case.name, &(&again.choice, &again.output), &(&chat.choice, &chat.output));
        let mut params = chat.params.clone();
        params.odd.clear();
        differences.check(&case.name, &again.params, &params);
        differences.check(
            &case.name,
            &(&again.rest, again.stream_usage),
            &(&chat.rest, chat.stream && chat.stream_usage),
        );
    }
    assert!(seen > 600, "{seen}");
}

/// Bytes changed, cut and doubled at places that a plain generator picks.
fn mutated(body: &[u8], seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % (below.max(1) as u64)).unwrap()
    };
    let words: [&[u8]; 12] = [
        b"null",
        b"\"\"",
        b"[]",
        b"{}",
        b"0",
        b"-1",
        b"1e99",
        b"true",
        b"\\ud800",
        b"\"content\"",
        b"4294967296",
        b"\n\n",
    ];
    let mut out = body.to_vec();
    for _ in 0..=next(6) {
        let at = next(out.len());
        match next(4) {
            0 => out.truncate(at),
            1 => {
                let word = words[next(words.len())];
                out.splice(at..at, word.iter().copied());
            }
            2 => {
                // A whole value for another.
                let word = words[next(words.len())];
                if let Some(range) = scan::value(&out, at).filter(|range| range.end <= out.len()) {
                    out.splice(range, word.iter().copied());
                }
            }
            _ => {
                if let Some(byte) = out.get_mut(at) {
                    *byte = b"\"{}[],:0a\\ "[next(11)];
                }
            }
        }
    }
    out
}

#[test]
fn nothing_that_arrives_makes_a_panic() {
    let mut read = 0;
    for (number, case) in (0_u64..).zip(cases()) {
        for round in 0..3 {
            let seed = number * 31 + round;
            let request = mutated(case.request.to_string().as_bytes(), seed);
            if let Ok(chat) = Api.read_request(&request, &Said::default()) {
                read += 1;
                for canonical in [false, true] {
                    let _ = Api.write_request(&chat, &Target { canonical, ..Target::default() });
                }
            }
            let body = mutated(case.body.as_bytes(), seed + 7);
            if let Ok(reply) = Api.read_reply(&body) {
                read += 1;
                scan::validate(&Api.write_reply(&reply, &asked()).0).unwrap();
            }
            if case.stream {
                let mut encoder = Api.encoder(&asked());
                let mut out = Vec::new();
                for delta in decoded(&body) {
                    encoder.delta(&delta, &mut out);
                }
            }
            let _ = Api.read_error(500, None, &body);
        }
    }
    assert!(read > 500, "{read}");
}
