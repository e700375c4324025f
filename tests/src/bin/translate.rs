//! The dialects' translations as a program, so that judges that are not written in Rust can ask for them.
//!
//! Reads one JSON object a line and answers one a line, in order. `{"op": "reply", "from", "to", "path", "stream", "request", "status",
//! "content_type", "body"}`: what a client of the dialect `to` gets for what a provider of the dialect `from` answered (`status`,
//! `content_type`, `body`, `losses`), by the rules by which the gateway puts the same functions together. `{"op": "request", "from", "to",
//! "path", "request"}`: what a provider of the dialect `to` is asked (`body`, `losses`), or how the client is refused (`refused`). A panic
//! is told as `panic` and ends nothing.
#![allow(clippy::print_stdout, clippy::unwrap_used, clippy::expect_used)]

use std::io::{BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sluice_dialect::dialect::Said;
use sluice_dialect::failure::Failure;
use sluice_dialect::hub::{Asked, BlockKind, Delta, Losses, MaxTokens, Target};
use sluice_dialect::sse::Framer;
use sluice_dialect::{Dialect, openai_responses};

#[derive(Deserialize)]
struct Job<'a> {
    op: String,
    from: String,
    to: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    stream: bool,
    #[serde(borrow)]
    request: Option<&'a RawValue>,
    #[serde(default)]
    status: u16,
    content_type: Option<String>,
    #[serde(default)]
    body: String,
}

fn main() {
    let mut out = std::io::stdout().lock();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let job: Job = serde_json::from_str(&line).expect("a job");
        let answer = catch_unwind(AssertUnwindSafe(|| run(&job))).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            json!({"panic": text.unwrap_or_default()})
        });
        writeln!(out, "{answer}").expect("somebody who reads");
        out.flush().expect("somebody who reads");
    }
}

fn run(job: &Job) -> Value {
    let dialect = |name: &str| Dialect::named(name).expect("a dialect's name");
    let (from, to) = (dialect(&job.from), dialect(&job.to));
    match job.op.as_str() {
        "request" => request(job, from, to),
        _ => reply(job, from, to),
    }
}

/// What a Gemini path says; nothing for others.
fn said(path: &str, dialect: Dialect) -> Said {
    if dialect != Dialect::Gemini {
        return Said::default();
    }
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let (before, method) = path.rsplit_once(':').unwrap_or((path, ""));
    let model = before.rsplit_once("models/").map(|(_, model)| model.to_owned());
    Said { model, stream: method.starts_with("stream"), sse: query.contains("alt=sse") }
}

fn target(dialect: Dialect) -> Target<'static> {
    let (provider, max_tokens) = match dialect {
        Dialect::OpenaiChat | Dialect::OpenaiResponses => ("openai", MaxTokens::Completion),
        Dialect::Anthropic => ("anthropic", MaxTokens::Old),
        Dialect::Gemini => ("gemini", MaxTokens::Old),
    };
    Target { provider, model: "some-model", max_tokens, ..Target::default() }
}

fn body_of<'a>(job: &Job<'a>) -> &'a [u8] {
    job.request.map_or("", RawValue::get).as_bytes()
}

fn named(losses: &Losses) -> Value {
    losses.iter().map(|loss| json!([loss.what, loss.hint])).collect()
}

fn request(job: &Job, from: Dialect, to: Dialect) -> Value {
    let refused = |step: &str, failure: &Failure| json!({"refused": failure.message, "step": step});
    let chat = match from.api().read_request(body_of(job), &said(&job.path, from)) {
        Ok(chat) => chat,
        Err(failure) => return refused("read", &failure),
    };
    if let Some(failure) = openai_responses::refuse_stored(&chat) {
        return refused("write", &failure);
    }
    match to.api().write_request(&chat, &target(to)) {
        Ok((body, losses)) => json!({"body": text(&body), "losses": named(&losses)}),
        Err(failure) => refused("write", &failure),
    }
}

/// What the client's request must have been, had it been made in its dialect: what replies repeat of it.
fn asked(job: &Job, from: Dialect, to: Dialect) -> Asked {
    let chat = job.request.and_then(|body| {
        let chat = from.api().read_request(body.get().as_bytes(), &said(&job.path, from)).ok()?;
        let (body, _) = to.api().write_request(&chat, &target(to)).ok()?;
        to.api().read_request(&body, &Said { stream: job.stream, sse: true, ..Said::default() }).ok()
    });
    let chat = chat.unwrap_or_default();
    Asked {
        id: "0123456789abcdef".to_owned(),
        created: 1_700_000_000,
        model: "some-model".to_owned(),
        provider: "the-provider".to_owned(),
        stream_usage: true,
        sse: true,
        called: Asked::tools(&chat),
        echo: openai_responses::echo(&chat),
    }
}

fn reply(job: &Job, from: Dialect, to: Dialect) -> Value {
    let asked = asked(job, from, to);
    if job.status != 200 {
        return failed(&from.api().read_error(job.status, job.content_type.as_deref(), job.body.as_bytes()), to);
    }
    if job.stream {
        return stream(job, from, to, &asked);
    }
    match from.api().read_reply(job.body.as_bytes()) {
        Err(failure) => failed(&failure, to),
        Ok(reply) => {
            let (body, losses) = to.api().write_reply(&reply, &asked);
            json!({"status": 200, "content_type": "application/json", "body": text(&body), "losses": named(&losses)})
        }
    }
}

fn failed(failure: &Failure, to: Dialect) -> Value {
    let body = to.api().write_error(failure, "0123456789abcdef");
    json!({
        "status": failure.status,
        "content_type": "application/json",
        "body": text(&body),
        "class": format!("{:?}", failure.class()),
    })
}

/// Like the gateway: a failure before anything was said is an HTTP error.
fn stream(job: &Job, from: Dialect, to: Dialect, asked: &Asked) -> Value {
    let deltas = decoded(job, from);
    let said = |delta: &Delta| match delta {
        Delta::Text { .. } | Delta::Opaque { .. } | Delta::Foreign(..) | Delta::Finish { .. } => true,
        Delta::Open { kind, .. } => !matches!(kind, BlockKind::Text { .. } | BlockKind::Reasoning { .. }),
        _ => false,
    };
    if let Some(Delta::Failed(failure)) = deltas.last()
        && !deltas.iter().any(said)
    {
        return failed(failure, to);
    }
    let mut encoder = to.api().encoder(asked);
    let mut body = Vec::new();
    for delta in &deltas {
        encoder.delta(delta, &mut body);
    }
    json!({"status": 200, "content_type": "text/event-stream", "body": text(&body), "losses": named(encoder.losses())})
}

fn decoded(job: &Job, from: Dialect) -> Vec<Delta> {
    let over = |deltas: &[Delta]| matches!(deltas.last(), Some(Delta::Done | Delta::Failed(_)));
    let (mut framer, mut decoder, mut deltas) = (Framer::new(64 << 20), from.api().decoder(), Vec::new());
    framer.push(Bytes::copy_from_slice(job.body.as_bytes()));
    let mut frames = Vec::new();
    while let Ok(Some(frame)) = framer.next() {
        frames.push(frame);
    }
    frames.extend(framer.finish().ok().flatten());
    for frame in frames {
        match frame.data() {
            Some(data) if data == "[DONE]" => break,
            Some(data) => decoder.event(frame.event(), &data, &mut deltas),
            None => {}
        }
        if over(&deltas) {
            return deltas;
        }
    }
    decoder.end(&mut deltas);
    deltas
}

fn text(body: &[u8]) -> String {
    String::from_utf8(body.to_vec()).expect("what is written is UTF-8")
}
