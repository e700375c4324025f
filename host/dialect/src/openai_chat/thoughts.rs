//! Reasoning in this format: texts under several names, blocks with signatures, and the state of other dialects on its way through a client.
//!
//! State of this dialect is the block of `reasoning_details` without its text, as JSON. State of another one stands wrapped in a block of
//! format `sluice` that says how much of the text beside is its own.

use serde_json::{Map, Value, json};

use super::{OWN, take};
use crate::hub::{Opaque, Part, Reasoning, State, is_wrapped};

/// The format that names our own blocks of `reasoning_details`.
const FORMAT: &str = "sluice";

/// The thoughts of a message, from the text under either name and the blocks beside it.
pub(super) fn read(plain: String, details: Vec<Value>) -> Vec<Part> {
    let details: Vec<Map<String, Value>> = details
        .into_iter()
        .filter_map(|detail| if let Value::Object(detail) = detail { Some(detail) } else { None })
        .collect();
    if details.is_empty() {
        return unsigned(plain).into_iter().collect();
    }
    if details.iter().any(is_ours) {
        return restored(&plain, details);
    }
    let mut thoughts: Vec<Reasoning> = Vec::new();
    let mut last = None;
    for detail in details {
        let (place, thought) = (place(&detail), block(detail));
        match thoughts.last_mut() {
            // A stream that a client sends back as it came has one block in many pieces.
            Some(known) if place.is_some() && last == place && !thought.text.is_empty() && known.opaque.is_none() => {
                known.text.push_str(&thought.text);
                known.opaque = thought.opaque;
            }
            Some(known) if place.is_some() && last == place && thought.text.is_empty() && known.opaque.is_none() => {
                known.opaque = thought.opaque;
            }
            _ => thoughts.push(thought),
        }
        last = place;
    }
    thoughts.retain(|thought| !thought.text.is_empty() || thought.opaque.is_some());
    let mut parts: Vec<Part> = Vec::new();
    if thoughts.iter().all(|thought| thought.text.is_empty()) {
        parts.extend(unsigned(plain));
    }
    parts.extend(thoughts.into_iter().map(Part::Reasoning));
    parts
}

fn unsigned(text: String) -> Option<Part> {
    (!text.is_empty()).then(|| Part::Reasoning(Reasoning { text, ..Reasoning::default() }))
}

/// What tells one block from the next: its type and its number. Encrypted ones are whole.
pub(super) fn place(detail: &Map<String, Value>) -> Option<(String, u64)> {
    let kind = detail.get("type")?.as_str()?;
    (kind != "reasoning.encrypted").then_some(())?;
    Some((kind.to_owned(), detail.get("index")?.as_u64()?))
}

/// One block of `reasoning_details`.
pub(super) fn block(mut detail: Map<String, Value>) -> Reasoning {
    let summary = take::text(&mut detail, "summary");
    let text = take::text(&mut detail, "text");
    let is_summary = summary.is_some();
    let text = text.or(summary).unwrap_or_default();
    let full = |name: &str, detail: &Map<String, Value>| {
        detail.get(name).and_then(Value::as_str).is_some_and(|state| !state.is_empty())
    };
    let (signed, encrypted) = (full("signature", &detail), full("data", &detail));
    let opaque = (signed || encrypted).then(|| {
        let mut state = take::left(detail);
        // Two ways of reading the same block give the same state.
        state.sort_keys();
        let state = Value::Object(state).to_string();
        if signed { Opaque::signature(OWN, state) } else { Opaque::encrypted(OWN, state, None) }
    });
    Reasoning { text, summary: is_summary, opaque, ..Reasoning::default() }
}

fn is_ours(detail: &Map<String, Value>) -> bool {
    detail.get("data").and_then(Value::as_str).is_some_and(|data| is_wrapped(data.as_bytes()))
}

/// The thoughts behind wrapped state: the text is cut where the blocks say, if they account for all of it; else one block may have it whole.
fn restored(plain: &str, mut details: Vec<Map<String, Value>>) -> Vec<Part> {
    details.sort_by_key(|detail| detail.get("index").and_then(Value::as_u64));
    let blocks: Vec<(Option<Opaque>, usize)> = details
        .into_iter()
        .filter(|detail| is_ours(detail) || detail.get("format").and_then(Value::as_str) == Some(FORMAT))
        .map(|detail| {
            let data = detail.get("data").and_then(Value::as_str).filter(|data| !data.is_empty());
            let opaque = data.map(|data| Opaque::read(OWN, data, |text| State::Signature(text.to_owned())));
            let length = detail.get("length").and_then(Value::as_u64).and_then(|length| usize::try_from(length).ok());
            (opaque, length.unwrap_or(0))
        })
        .collect();
    let lengths = blocks.iter().try_fold(0_usize, |sum, (_, length)| sum.checked_add(*length));
    let mut rest = plain;
    let mut parts = Vec::new();
    if lengths == Some(plain.len()) {
        for (opaque, length) in blocks {
            let Some((text, behind)) = rest.split_at_checked(length) else {
                return unsigned(plain.to_owned()).into_iter().collect();
            };
            rest = behind;
            parts.push(Part::Reasoning(Reasoning { text: text.to_owned(), opaque, ..Reasoning::default() }));
        }
        return parts;
    }
    // A text that was changed or left out on its way no longer fits what signs it; what stands for hidden thoughts needs no text.
    parts.extend(unsigned(plain.to_owned()));
    let whole = blocks.into_iter().filter_map(|(opaque, length)| {
        let opaque = opaque.filter(|opaque| length == 0 || matches!(opaque.state, State::Encrypted { .. }))?;
        Some(Part::Reasoning(Reasoning { opaque: Some(opaque), ..Reasoning::default() }))
    });
    parts.extend(whole);
    parts
}

/// A content part of type `thinking` (Mistral) or `reasoning`.
pub(super) fn part(mut object: Map<String, Value>, out: &mut Vec<Part>) {
    let signature = take::text(&mut object, "signature").filter(|signature| !signature.is_empty());
    let opaque = signature.map(|text| Opaque::read(OWN, &text, |text| State::Signature(text.to_owned())));
    let inner = ["thinking", "reasoning", "text"].iter().find_map(|name| take::any(&mut object, name));
    let text = inner.map(texts).unwrap_or_default();
    if !text.is_empty() || opaque.is_some() {
        out.push(Part::Reasoning(Reasoning { text, opaque, ..Reasoning::default() }));
    }
}

/// A text, or a list of texts and parts with one.
pub(super) fn texts(value: Value) -> String {
    let mut all = String::new();
    for item in take::list(value) {
        match item {
            Value::String(text) => all.push_str(&text),
            Value::Object(part) => all.push_str(part.get("text").and_then(Value::as_str).unwrap_or_default()),
            _ => {}
        }
    }
    all
}

/// The block of `reasoning_details` for a thought's state. `length`: of its text, in bytes; `index`: of the block.
pub(super) fn detail(opaque: &Opaque, text: Option<&str>, length: usize, index: usize) -> Value {
    if opaque.dialect == OWN {
        let (State::Signature(state) | State::Encrypted { data: state, .. }) = &opaque.state;
        if let Ok(Value::Object(mut detail)) = serde_json::from_str(state) {
            let kind = detail.get("type").and_then(Value::as_str).unwrap_or_default();
            let name = if kind == "reasoning.summary" { "summary" } else { "text" };
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                detail.insert(name.to_owned(), json!(text));
            }
            return Value::Object(detail);
        }
        return json!({"type": "reasoning.text", "text": text.unwrap_or_default(), "signature": state, "index": index});
    }
    json!({"type": "reasoning.encrypted", "data": opaque.wrap(), "format": FORMAT, "index": index, "length": length})
}

/// The block for a thought without state that stands among thoughts with one: only its length, so that the text can be cut again.
pub(super) fn unsigned_detail(length: usize, index: usize) -> Value {
    json!({"type": "reasoning.encrypted", "data": "", "format": FORMAT, "index": index, "length": length})
}
