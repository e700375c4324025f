//! A [`Reply`] as the whole `chat.completion` that a client gets.

use bytes::Bytes;
use serde_json::{Value, json};

use super::write_request::{foreign_type, kind_of, signature};
use super::{OWN, thoughts};
use crate::Dialect;
use crate::hub::{Asked, Call, Choice, Finish, Losses, MediaKind, Part, Reasoning, Reply, Source, Text};
use crate::json::{self, build};
use crate::usage::Usage;

pub(super) fn write(reply: &Reply, asked: &Asked) -> (Bytes, Losses) {
    let mut losses = Losses::default();
    let mut out = Vec::with_capacity(1024);
    out.push(b'{');
    head(&mut out, "chat.completion", &reply.id, &reply.model, reply.created, asked);
    build::key(&mut out, "choices");
    out.push(b'[');
    for choice in &reply.choices {
        self::choice(choice, asked, &mut out, &mut losses);
    }
    out.push(b']');
    if let Some(usage) = &reply.usage {
        build::key(&mut out, "usage");
        self::usage(usage, &mut out);
    }
    build::maybe_text(&mut out, "service_tier", tier(reply));
    build::members(&mut out, reply.rest.of(OWN).filter(|(name, _)| *name != "service_tier"));
    out.push(b'}');
    (Bytes::from(out), losses)
}

/// OpenAI's clients know a closed list of tiers; what a chat provider calls its own is repeated.
fn tier(reply: &Reply) -> Option<&str> {
    let own = reply.rest.of(OWN).next().is_some();
    match reply.service_tier.as_deref()? {
        "standard" if !own => Some("default"),
        tier if own || matches!(tier, "auto" | "default" | "flex" | "scale" | "priority") => Some(tier),
        _ => None,
    }
}

/// What a reply and each chunk of a stream begin with.
pub(super) fn head(out: &mut Vec<u8>, object: &str, id: &str, model: &str, created: Option<u64>, asked: &Asked) {
    if id.is_empty() {
        build::text(out, "id", &format!("chatcmpl-{}", asked.id));
    } else {
        build::text(out, "id", id);
    }
    build::text(out, "object", object);
    build::number(out, "created", created.unwrap_or(asked.created));
    build::text(out, "model", if model.is_empty() { &asked.model } else { model });
}

pub(super) fn usage(usage: &Usage, out: &mut Vec<u8>) {
    let (prompt, completion) = (usage.prompt(), usage.completion());
    out.push(b'{');
    build::number(out, "prompt_tokens", prompt);
    build::number(out, "completion_tokens", completion);
    build::number(out, "total_tokens", prompt.saturating_add(completion));
    build::key(out, "prompt_tokens_details");
    out.push(b'{');
    build::number(out, "cached_tokens", usage.cache_read);
    if usage.cache_write > 0 {
        build::number(out, "cache_write_tokens", usage.cache_write);
    }
    out.push(b'}');
    build::key(out, "completion_tokens_details");
    out.push(b'{');
    build::number(out, "reasoning_tokens", usage.reasoning);
    out.extend_from_slice(b"}}");
}

fn choice(choice: &Choice, asked: &Asked, out: &mut Vec<u8>, losses: &mut Losses) {
    let own = |name: &'static str| choice.rest.of(OWN).find(move |(member, _)| *member == name).map(|(_, value)| value);
    build::comma(out);
    out.push(b'{');
    build::number(out, "index", choice.index);
    build::key(out, "message");
    message(choice, asked, out, losses);
    if let Some(Value::Object(rest)) = own("message") {
        // Into the message that is still open.
        build::members(out, rest);
    }
    out.push(b'}');
    build::key(out, "logprobs");
    match &choice.logprobs {
        Some(logprobs) => build::value(out, logprobs),
        None => out.extend_from_slice(b"null"),
    }
    let refusal = choice.parts.iter().any(|part| matches!(part, Part::Refusal(_)));
    build::text(out, "finish_reason", reason(&choice.settled(), refusal, losses));
    build::members(out, choice.rest.of(OWN).filter(|(name, _)| *name != "message"));
    out.push(b'}');
}

/// Leaves the object open.
fn message(choice: &Choice, asked: &Asked, out: &mut Vec<u8>, losses: &mut Losses) {
    let parts = &choice.parts;
    let texts: Vec<&Text> =
        parts.iter().filter_map(|part| if let Part::Text(text) = part { Some(text) } else { None }).collect();
    let refusal: String = parts
        .iter()
        .filter_map(|part| if let Part::Refusal(text) = part { Some(text.as_str()) } else { None })
        .collect();
    out.extend_from_slice(b"{\"role\":\"assistant\"");
    build::key(out, "content");
    match texts.as_slice() {
        [] => out.extend_from_slice(b"null"),
        [text] => json::quote(&text.text, out),
        texts => json::quote(&texts.iter().map(|text| text.text.as_str()).collect::<String>(), out),
    }
    build::key(out, "refusal");
    if refusal.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        json::quote(&refusal, out);
    }
    reasoning(parts, out);
    citations(&texts, out, losses);
    if let Some(opaque) = texts.iter().rev().find_map(|text| text.opaque.as_ref()) {
        build::member(out, "extra_content", &signature(opaque));
    }
    calls(parts, asked, out);
    beside(parts, out, losses);
}

fn reasoning(parts: &[Part], out: &mut Vec<u8>) {
    let all: Vec<&Reasoning> = parts
        .iter()
        .filter_map(|part| if let Part::Reasoning(thought) = part { Some(thought) } else { None })
        .collect();
    let text: String = all.iter().map(|thought| thought.text.as_str()).collect();
    if !text.is_empty() {
        build::text(out, "reasoning_content", &text);
    }
    if all.iter().all(|thought| thought.opaque.is_none()) {
        return;
    }
    let own = all.iter().all(|thought| thought.opaque.as_ref().is_none_or(|opaque| opaque.dialect == OWN));
    let detail = |(index, thought): (usize, &&Reasoning)| match &thought.opaque {
        Some(opaque) => thoughts::detail(opaque, Some(&thought.text), thought.text.len(), index),
        None if own && thought.summary => {
            json!({"type": "reasoning.summary", "summary": thought.text, "index": index})
        }
        None if own => json!({"type": "reasoning.text", "text": thought.text, "index": index}),
        None => thoughts::unsigned_detail(thought.text.len(), index),
    };
    let details: Vec<Value> = all.iter().enumerate().map(detail).collect();
    build::member(out, "reasoning_details", &Value::Array(details));
}

fn citations(texts: &[&Text], out: &mut Vec<u8>, losses: &mut Losses) {
    let mut all = Vec::new();
    let mut start = 0;
    for text in texts {
        let end = start + text.text.chars().count();
        for (dialect, citation) in
            text.citations.iter().flat_map(|(dialect, list)| list.iter().map(move |c| (*dialect, c)))
        {
            match annotation(dialect, citation, start, end) {
                Some(annotation) => all.push(annotation),
                None => losses.lose("citations"),
            }
        }
        start = end;
    }
    if !all.is_empty() {
        build::member(out, "annotations", &Value::Array(all));
    }
}

/// A citation in this format's form, if it cites an address. `start` and `end`: of the text that it stands on, in characters.
pub(super) fn annotation(dialect: Dialect, citation: &Value, start: usize, end: usize) -> Option<Value> {
    if dialect == OWN {
        return Some(citation.clone());
    }
    let url = citation.get("url").or_else(|| citation.get("uri"))?.as_str()?;
    let title = citation.get("title").and_then(Value::as_str).unwrap_or_default();
    let place = |name: &str| {
        let at = citation.get(name).and_then(Value::as_u64).and_then(|at| usize::try_from(at).ok());
        // Within its own text there, within the whole here.
        at.filter(|_| dialect == Dialect::OpenaiResponses).map(|at| start.saturating_add(at))
    };
    let (from, to) = (place("start_index").unwrap_or(start), place("end_index").unwrap_or(end));
    Some(
        json!({"type": "url_citation", "url_citation": {"url": url, "title": title, "start_index": from, "end_index": to}}),
    )
}

fn calls(parts: &[Part], asked: &Asked, out: &mut Vec<u8>) {
    let mut open = false;
    for part in parts {
        let Part::Call(call) = part else { continue };
        if !open {
            build::key(out, "tool_calls");
            out.push(b'[');
            open = true;
        }
        build::comma(out);
        self::call(call, asked, out);
    }
    if open {
        out.push(b']');
    }
}

fn call(call: &Call, asked: &Asked, out: &mut Vec<u8>) {
    let sent = Asked::flat(call.namespace.as_deref(), &call.name);
    let called = asked.called(&sent);
    let name = called.map_or(&*sent, |called| &called.name);
    out.push(b'{');
    build::text(out, "id", &call.id);
    let restored = called.is_some_and(|called| called.custom) && !call.custom;
    let custom = call.custom || restored;
    let (kind, input) = if custom { ("custom", "input") } else { ("function", "arguments") };
    build::text(out, "type", kind);
    build::key(out, kind);
    out.push(b'{');
    build::text(out, "name", name);
    if restored {
        build::text(out, input, &Asked::as_input(&call.arguments));
    } else if call.arguments.is_empty() && !custom {
        build::text(out, input, "{}");
    } else {
        build::text(out, input, &call.arguments);
    }
    out.push(b'}');
    if let Some(opaque) = &call.opaque {
        build::member(out, "extra_content", &signature(opaque));
    }
    build::members(out, call.rest.of(OWN));
    out.push(b'}');
}

/// What is no text: pictures have a place that many providers use, anything else has none.
fn beside(parts: &[Part], out: &mut Vec<u8>, losses: &mut Losses) {
    let mut images = Vec::new();
    for part in parts {
        match part {
            Part::Media(media) => match (media.kind, &media.source) {
                (MediaKind::Image, Source::Inline(_) | Source::Url(_)) => images.extend(super::media::write(media)),
                (MediaKind::Audio, Source::Inline(data)) if media.rest.of(OWN).next().is_some() => {
                    build::key(out, "audio");
                    out.push(b'{');
                    build::text(out, "data", data);
                    build::members(out, media.rest.of(OWN));
                    out.push(b'}');
                }
                _ => losses.lose(format!("message.{}", kind_of(part))),
            },
            Part::Foreign(_, value) => losses.lose(format!("message.{}", foreign_type(value))),
            _ => {}
        }
    }
    if !images.is_empty() {
        build::member(out, "images", &Value::Array(images));
    }
}

/// The finish reason. A refusal has a field of its own here; told as text, its ending is a filter's.
pub(super) fn reason(finish: &Finish, refusal: bool, losses: &mut Losses) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopSequence => "stop",
        Finish::Refusal if refusal => "stop",
        Finish::Refusal | Finish::ContentFilter => "content_filter",
        Finish::Length | Finish::Cut => "length",
        Finish::ToolCalls => "tool_calls",
        Finish::Pause => {
            losses.lose("finish_reason.pause");
            "stop"
        }
        Finish::Other(word) => {
            losses.lose(format!("finish_reason.{word}"));
            "stop"
        }
    }
}
