//! What the tests of all four dialects share: providers that speak each, requests of each, replies in the bytes of each, and what a client
//! of each reads.

use bytes::Bytes;
use serde_json::{Value, json};
use sluice_dialect::Dialect;
use sluice_dialect::hub::{Asked, Assembler, Choice, Delta, Finish, Part, Reply, tell};
use sluice_dialect::sse::Framer;
use sluice_tests::gateway::Setup;
use sluice_tests::http;
use sluice_tests::mock::{Exchange, Mock, Script};

use crate::support::setup;

/// A provider of that dialect, called by its name; its script has that name too.
pub(crate) fn row(mock: &Mock, dialect: Dialect) -> String {
    let (name, base) = (dialect.as_str(), mock.base(dialect.as_str()));
    format!("  {name}: {{ dialect: {name}, base_url: \"{base}\", keys: [\"env:MOCK_KEY\"] }}\n")
}

/// A gateway before one provider of each dialect, with receipts in a header.
pub(crate) fn before(mock: &Mock) -> Setup {
    setup(&Dialect::ALL.map(|dialect| row(mock, dialect)), "server: { plugin_header: true }\n")
}

/// The path and the body of a question in that dialect.
pub(crate) fn asking(dialect: Dialect, model: &str, text: &str, stream: bool) -> (String, String) {
    match dialect {
        Dialect::OpenaiChat => {
            let messages = json!([{"role": "system", "content": "be kind"}, {"role": "user", "content": text}]);
            ("/v1/chat/completions".into(), json!({"model": model, "stream": stream, "messages": messages}).to_string())
        }
        Dialect::OpenaiResponses => {
            let body = json!({"model": model, "stream": stream, "instructions": "be kind", "input": text});
            ("/v1/responses".into(), body.to_string())
        }
        Dialect::Anthropic => {
            let messages = json!([{"role": "user", "content": [{"type": "text", "text": text}]}]);
            let body =
                json!({"model": model, "stream": stream, "max_tokens": 99, "system": "be kind", "messages": messages});
            ("/v1/messages".into(), body.to_string())
        }
        Dialect::Gemini => {
            let method = if stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
            let contents = json!([{"role": "user", "parts": [{"text": text}]}]);
            let body = json!({"systemInstruction": {"parts": [{"text": "be kind"}]}, "contents": contents});
            (format!("/genai/v1beta/models/{model}:{method}"), body.to_string())
        }
    }
}

/// Whether the provider is asked for a stream.
pub(crate) fn wants_stream(exchange: &Exchange) -> bool {
    let body: Value = serde_json::from_slice(&exchange.body).unwrap_or_default();
    body["stream"] == true || exchange.target.contains(":streamGenerateContent")
}

/// A reply with this text.
pub(crate) fn replying(text: &str) -> Reply {
    let parts = vec![Part::Text(sluice_dialect::hub::Text::of(text))];
    let choice = Choice { parts, finish: Finish::Stop, ..Choice::default() };
    let usage = Some(sluice_dialect::usage::Usage { input: 11, output: 5, ..Default::default() });
    Reply { id: "r1".into(), model: "m".into(), created: Some(7), choices: vec![choice], usage, ..Reply::default() }
}

/// What a provider of the dialect is asked and says: `reply` whole, or streamed with every text in these pieces.
pub(crate) fn says(mock: &Mock, dialect: Dialect, pieces: &[&str]) {
    let whole = dialect.api().write_reply(&replying(&pieces.concat()), &asked()).0;
    let whole = Script::json(200, whole);
    let streamed = Script::sse(events(dialect, &replying(&pieces.concat()), pieces));
    mock.on(dialect.as_str(), move |exchange| if wants_stream(exchange) { streamed.clone() } else { whole.clone() });
}

fn asked() -> Asked {
    Asked { id: "a1".into(), model: "m".into(), sse: true, stream_usage: true, ..Asked::default() }
}

/// The stream of a reply, in one piece of bytes for each step; its text comes in these pieces.
pub(crate) fn events(dialect: Dialect, reply: &Reply, pieces: &[&str]) -> Vec<Vec<u8>> {
    let mut encoder = dialect.api().encoder(&asked());
    let mut out = Vec::new();
    for delta in tell(reply) {
        let steps = match delta {
            Delta::Text { choice, block, .. } => {
                let step = |text: &&str| Delta::Text { choice, block, text: (*text).to_owned() };
                pieces.iter().filter(|text| !text.is_empty()).map(step).collect()
            }
            other => vec![other],
        };
        for step in steps {
            let mut bytes = Vec::new();
            encoder.delta(&step, &mut bytes);
            if !bytes.is_empty() {
                out.push(bytes);
            }
        }
    }
    out
}

/// What a client of the dialect reads.
pub(crate) fn read(dialect: Dialect, reply: &http::Reply, stream: bool) -> Reply {
    if !stream {
        return dialect.api().read_reply(&reply.body).unwrap_or_else(|failure| panic!("{failure:?}: {}", reply.text()));
    }
    let mut assembler = Assembler::new(1 << 24);
    for delta in deltas(dialect, &reply.body) {
        assembler.push(delta).unwrap_or_else(|failure| panic!("{failure:?}: {}", reply.text()));
    }
    assembler.finish()
}

/// What a stream of the dialect tells.
pub(crate) fn deltas(dialect: Dialect, body: &[u8]) -> Vec<Delta> {
    let mut framer = Framer::new(1 << 24);
    framer.push(Bytes::copy_from_slice(body));
    let (mut decoder, mut out) = (dialect.api().decoder(), Vec::new());
    while let Some(frame) = framer.next().expect("events that fit") {
        if let Some(data) = frame.data().filter(|data| data.trim_ascii() != b"[DONE]") {
            decoder.event(frame.event(), &data, &mut out);
        }
    }
    decoder.end(&mut out);
    out
}

/// The text of the first choice.
pub(crate) fn text_of(reply: &Reply) -> String {
    let parts = reply.choices.first().map(|choice| choice.parts.as_slice()).unwrap_or_default();
    let text = |part: &Part| match part {
        Part::Text(text) => text.text.clone(),
        Part::Refusal(text) => text.clone(),
        _ => String::new(),
    };
    parts.iter().map(text).collect()
}
