//! What translating costs, without HTTP around it: a client's request into the provider's dialect and the reply back, and one step of a
//! stream. CPU of this thread, hot; beside it, as the reference of the same run, reading and writing the same JSON as a tree.

use std::time::Instant;

use bytes::Bytes;
use serde_json::{Value, json};
use sluice_dialect::Dialect;
use sluice_dialect::dialect::Said;
use sluice_dialect::hub::{Asked, Delta, Target};
use sluice_dialect::sse::Frame;

const ROUNDS: u32 = 20_000;

/// Prints the table.
pub fn run() {
    println!("| translation, hot | us | of reading and writing the same JSON |\n|---|---|---|");
    let request = anthropic_request();
    let reply = chat_reply();
    let tree = time(|| {
        let value: Value = serde_json::from_slice(&request).expect("JSON");
        let other: Value = serde_json::from_slice(&reply).expect("JSON");
        value.to_string().len() + other.to_string().len()
    });
    let (client, provider) = (Dialect::Anthropic.api(), Dialect::OpenaiChat.api());
    let target = Target { provider: "openai", model: "m", ..Target::default() };
    let both = time(|| {
        let chat = client.read_request(&request, &Said::default()).expect("a request");
        let asked = Asked { called: Asked::tools(&chat), ..Asked::default() };
        let (sent, _) = provider.write_request(&chat, &target).expect("a request that can be said");
        let read = provider.read_reply(&reply).expect("a reply");
        sent.len() + client.write_reply(&read, &asked).0.len()
    });
    println!(
        "| {} byte Anthropic request to OpenAI chat, and {} bytes back | {both:.1} | {:.2} x |",
        request.len(),
        reply.len(),
        both / tree
    );
    for (from, to) in [(Dialect::OpenaiChat, Dialect::Anthropic), (Dialect::OpenaiChat, Dialect::OpenaiResponses)] {
        let step = delta(from, to);
        println!("| one delta of a stream, {} to {} | {step:.2} | |", from.as_str(), to.as_str());
    }
    println!();
}

/// The time of one run in microseconds: the best of five batches.
fn time(mut run: impl FnMut() -> usize) -> f64 {
    let batch = |_| {
        let began = Instant::now();
        let sum: usize = (0..ROUNDS / 5).map(|_| run()).sum();
        assert!(sum > 0, "something was written");
        began.elapsed().as_secs_f64() * 1e6 / f64::from(ROUNDS / 5)
    };
    (0..5).map(batch).fold(f64::INFINITY, f64::min)
}

/// One text delta from a provider's frame to the client's bytes.
fn delta(from: Dialect, to: Dialect) -> f64 {
    let mut events = Vec::new();
    let mut writer = from.api().encoder(&Asked { sse: true, ..Asked::default() });
    let told = [
        Delta::Start { id: "r".into(), model: "m".into(), created: Some(1), rest: Default::default() },
        Delta::Open { choice: 0, block: 0, kind: sluice_dialect::hub::BlockKind::Text { rest: Default::default() } },
        Delta::Text { choice: 0, block: 0, text: "some fourteen".into() },
    ];
    for step in &told {
        let mut bytes = Vec::new();
        writer.delta(step, &mut bytes);
        events.push(Frame::new(Bytes::from(bytes)));
    }
    let (mut reader, mut client) = (from.api().decoder(), to.api().encoder(&Asked { sse: true, ..Asked::default() }));
    let mut one = |frame: &Frame| {
        let (mut told, mut out) = (Vec::new(), Vec::new());
        if let Some(data) = frame.data() {
            reader.event(frame.event(), &data, &mut told);
        }
        told.iter().for_each(|delta| client.delta(delta, &mut out));
        out.len()
    };
    let last = events.pop().expect("the text");
    for frame in &events {
        one(frame);
    }
    time(|| one(&last))
}

fn anthropic_request() -> Vec<u8> {
    let text =
        "Tell me about the river that runs through the old town, its bridges and its floods, and why it matters. ";
    let turn = |at: usize| {
        let role = if at.is_multiple_of(2) { "user" } else { "assistant" };
        json!({"role": role, "content": [{"type": "text", "text": text.repeat(2)}]})
    };
    let schema = json!({"type": "object", "properties": {"place": {"type": "string"}}, "required": ["place"]});
    let messages: Vec<Value> = (0..7).map(turn).collect();
    let tools = json!([{"name": "look_up", "description": "Looks a place up.", "input_schema": schema}]);
    json!({"model": "m", "max_tokens": 500, "system": text, "messages": messages, "tools": tools})
        .to_string()
        .into_bytes()
}

fn chat_reply() -> Vec<u8> {
    let message = json!({"role": "assistant", "content": "The river is old. ".repeat(100), "refusal": null});
    let usage = json!({"prompt_tokens": 500, "completion_tokens": 300, "total_tokens": 800});
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
    .to_string()
    .into_bytes()
}
