//! What Gemini and Vertex really sent.

use std::path::Path;

use serde_json::Value;

use crate::Dialect;
use crate::dialect::{Api as _, Said};
use crate::gemini::Api;
use crate::hub::{Asked, Assembler, Delta, Part, Reply, Target};

pub(super) struct Case {
    pub(super) name: String,
    pub(super) request: Option<String>,
    pub(super) status: u16,
    pub(super) body: String,
}

pub(super) fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/wire/gemini");
    let mut cases = Vec::new();
    for file in ["gemini.jsonl", "vertex.jsonl"] {
        for line in std::fs::read_to_string(folder.join(file)).unwrap().lines() {
            let case: Value = serde_json::from_str(line).unwrap();
            cases.push(Case {
                name: case["name"].as_str().unwrap().to_owned(),
                request: case.get("request").filter(|request| request.is_object()).map(Value::to_string),
                status: u16::try_from(case["response"]["status"].as_u64().unwrap()).unwrap(),
                body: case["response"]["body"].as_str().unwrap_or_default().to_owned(),
            });
        }
    }
    assert!(cases.len() > 150, "{}", cases.len());
    cases
}

pub(super) fn events(body: &str) -> Vec<String> {
    let lines = body.lines().filter_map(|line| line.strip_prefix("data:"));
    lines.map(|data| data.trim_start().to_owned()).collect()
}

pub(super) fn decode(events: &[String]) -> Vec<Delta> {
    let mut decoder = Api.decoder();
    let mut out = Vec::new();
    for event in events {
        decoder.event(None, event.as_bytes(), &mut out);
    }
    decoder.end(&mut out);
    out
}

pub(super) fn assemble(deltas: &[Delta]) -> Reply {
    let mut assembler = Assembler::new(1 << 26);
    for delta in deltas {
        assembler.push(delta.clone()).unwrap();
    }
    assembler.finish()
}

pub(super) fn encode(deltas: &[Delta], sse: bool) -> String {
    let asked = Asked { sse, provider: "gemini".to_owned(), id: "made-up".to_owned(), ..Asked::default() };
    let mut encoder = Api.encoder(&asked);
    let mut out = Vec::new();
    for delta in deltas {
        encoder.delta(delta, &mut out);
    }
    String::from_utf8(out).unwrap()
}

#[test]
fn requests_survive_the_hub() {
    let mut seen = 0;
    for case in cases() {
        let Some(request) = &case.request else { continue };
        let said = Said { model: Some("m".to_owned()), ..Said::default() };
        let chat = Api.read_request(request.as_bytes(), &said).unwrap();
        // Only the models that think by level take media inside results.
        let media = |part: &Part| matches!(part, Part::Result(result) if result.parts.iter().any(|part| matches!(part, Part::Media(_))));
        let newer = chat.turns.iter().flat_map(|turn| &turn.parts).any(media)
            || request.contains("hinkingLevel")
            || request.contains("thinking_level");
        let target = Target { provider: "gemini", model: "m", thinking_level: newer, ..Target::default() };
        let (body, losses) = Api.write_request(&chat, &target).unwrap();
        assert!(losses.iter().all(|loss| loss.hint), "{}: {losses:?}", case.name);
        let again = Api.read_request(&body, &said).unwrap();
        if chat != again {
            assert_eq!(format!("{chat:#?}"), format!("{again:#?}"), "{}", case.name);
        }
        seen += 1;
    }
    assert!(seen > 150, "{seen}");
}

#[test]
fn whole_replies_survive_the_hub() {
    let mut seen = 0;
    for case in cases().iter().filter(|case| case.status == 200 && !case.body.starts_with("data:")) {
        let reply = Api.read_reply(case.body.as_bytes()).unwrap();
        assert!(!reply.choices.is_empty(), "{}", case.name);
        let asked = Asked { id: "x".to_owned(), ..Asked::default() };
        let (body, losses) = Api.write_reply(&reply, &asked);
        assert!(losses.is_empty(), "{}: {losses:?}", case.name);
        let mut again = Api.read_reply(&body).unwrap();
        (again.service_tier, again.created) = (reply.service_tier.clone(), reply.created);
        assert_eq!(reply, again, "{}", case.name);
        let (other, _) = Dialect::Gemini.api().write_reply(&again, &asked);
        assert_eq!(body, other);
        seen += 1;
    }
    assert!(seen > 100, "{seen}");
}

#[test]
fn streams_come_out_as_they_came_in() {
    let mut seen = 0;
    for case in cases().iter().filter(|case| case.status == 200 && case.body.starts_with("data:")) {
        let deltas = decode(&events(&case.body));
        if !matches!(deltas.last(), Some(Delta::Done)) {
            assert!(!case.body.contains("finishReason"), "{}: {:?}", case.name, deltas.last());
            continue;
        }
        let reply = assemble(&deltas);
        assert!(!reply.choices.is_empty() && reply.usage.is_some(), "{}", case.name);
        let told = encode(&deltas, true);
        let mut again = assemble(&decode(&events(&told)));
        again.created = reply.created;
        if reply != again {
            assert_eq!(format!("{reply:#?}"), format!("{again:#?}"), "{}", case.name);
        }
        let array: Vec<Value> = serde_json::from_str(&encode(&deltas, false)).unwrap();
        let chunks: Vec<String> = array.iter().map(Value::to_string).collect();
        assert_eq!(assemble(&decode(&chunks)).choices, reply.choices, "{}", case.name);
        // What a stream told at once would be: the texts of all events.
        let texts: String = texts_of(&reply);
        let said: String = events(&case.body).iter().map(|event| raw_texts(event)).collect();
        assert_eq!(texts, said, "{}", case.name);
        seen += 1;
    }
    assert!(seen > 35, "{seen}");
}

fn texts_of(reply: &Reply) -> String {
    let parts = reply.choices.iter().flat_map(|choice| &choice.parts);
    let texts = parts.map(|part| match part {
        Part::Text(text) => text.text.as_str(),
        Part::Reasoning(thought) => thought.text.as_str(),
        _ => "",
    });
    texts.collect()
}

fn raw_texts(event: &str) -> String {
    let event: Value = serde_json::from_str(event).unwrap();
    let parts = event["candidates"][0]["content"]["parts"].as_array().cloned().unwrap_or_default();
    parts.iter().filter_map(|part| part["text"].as_str()).collect()
}
