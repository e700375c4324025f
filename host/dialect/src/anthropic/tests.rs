use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::dialect::Api as _;
use crate::hub::*;
use crate::{Dialect, sse};

mod cases;
mod failures;
mod requests;
mod state;
mod texts;

/// One recorded exchange.
struct Case {
    name: String,
    request: Value,
    status: u64,
    body: String,
}

fn recorded() -> Vec<Case> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/wire/anthropic");
    let mut cases = Vec::new();
    for file in ["anthropic.jsonl", "openrouter.jsonl"] {
        let text = std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
        for line in text.lines() {
            let mut line: Value = serde_json::from_str(line).unwrap();
            cases.push(Case {
                name: line["name"].as_str().unwrap().to_owned(),
                request: line["request"].take(),
                status: line["response"]["status"].as_u64().unwrap(),
                body: line["response"]["body"].as_str().unwrap_or_default().to_owned(),
            });
        }
    }
    assert!(cases.len() > 150, "{} cases", cases.len());
    cases
}

fn is_stream(case: &Case) -> bool {
    case.status == 200 && !case.body.trim_start().starts_with('{')
}

/// The events of a body: name and data.
fn events(body: &[u8]) -> Vec<(Option<Vec<u8>>, Vec<u8>)> {
    let mut framer = sse::Framer::new(usize::MAX);
    framer.push(bytes::Bytes::copy_from_slice(body));
    let mut out = Vec::new();
    while let Some(frame) = framer.finish().unwrap() {
        if let Some(data) = frame.data().filter(|data| &data[..] != b"[DONE]") {
            out.push((frame.event().map(<[u8]>::to_vec), data.to_vec()));
        }
    }
    out
}

fn decode(body: &[u8]) -> Vec<Delta> {
    let mut decoder = Api.decoder();
    let mut out = Vec::new();
    for (event, data) in events(body) {
        decoder.event(event.as_deref(), &data, &mut out);
    }
    decoder.end(&mut out);
    out
}

fn gather(deltas: &[Delta]) -> Reply {
    let mut assembler = Assembler::new(usize::MAX);
    for delta in deltas {
        assembler.push(delta.clone()).unwrap();
    }
    assembler.finish()
}

fn encode(deltas: &[Delta], asked: &Asked) -> Vec<u8> {
    let mut encoder = Api.encoder(asked);
    let mut out = Vec::new();
    for delta in deltas {
        encoder.delta(delta, &mut out);
    }
    out
}

/// The target that takes what the client's own dialect says.
fn native(chat: &Chat) -> Target<'_> {
    let adaptive_thinking = chat.reasoning.as_ref().is_some_and(|said| said.adaptive);
    Target { provider: "anthropic", model: &chat.model, adaptive_thinking, ..Target::default() }
}
