//! A whole message for the client.

use bytes::Bytes;

use super::block::BESIDE;
use super::out::{Object, append, next};
use super::write_request::list;
use super::{turns, usage};
use crate::Dialect;
use crate::hub::{Asked, Choice, Finish, Losses, Opaque, Part, Reasoning, Reply, Rest, State, Text};

/// The reply, and what of it could not be said.
pub fn write(reply: &Reply, asked: &Asked) -> (Bytes, Losses) {
    let mut losses = Losses::default();
    let none = Choice::default();
    let choice = reply.choices.first().unwrap_or(&none);
    let mut content = Vec::new();
    let (shown, unowned) = choice.parts.split_at(behind_last_text(&choice.parts));
    for (at, part) in shown.iter().enumerate() {
        match part {
            Part::Text(last) if at + 1 == shown.len() && last.opaque.as_ref().is_some_and(is_foreign) => {
                self::text(&Text { opaque: None, ..last.clone() }, asked, &mut content, &mut losses);
                losses.hint(TRAILING);
            }
            part => self::part(part, asked, &mut content, &mut losses),
        }
    }
    if !unowned.is_empty() {
        losses.hint(TRAILING);
    }
    for other in reply.choices.iter().skip(1) {
        losses.lose(format!("choices[{}]", other.index));
    }
    if choice.logprobs.is_some() {
        losses.lose("logprobs");
    }
    losses.beside(&reply.rest, Dialect::Anthropic);
    losses.beside(&choice.rest, Dialect::Anthropic);
    let mut out = Vec::with_capacity(content.len() + 512);
    let mut object = Object::open(&mut out);
    head(&reply.id, &reply.model, asked, &mut object);
    list(object.at("content"), &content);
    let finish = match choice.settled() {
        Finish::Stop if choice.parts.iter().any(|part| matches!(part, Part::Refusal(_))) => Finish::Refusal,
        finish => finish,
    };
    ending(&finish, choice.stop_sequence.as_deref(), &choice.rest, &mut object, &mut losses);
    usage::write(reply.usage.unwrap_or_default(), object.at("usage"));
    object.rest(&choice.rest);
    object.rest(&reply.rest);
    object.close();
    (Bytes::from(out), losses)
}

/// State that another dialect gave for a reply's last text. A client takes a reply's last block for the answer (Claude Code prints nothing
/// where that is no text), and no provider requires the state of a text.
pub(super) const TRAILING: &str = "signature";

/// Where a reply that ends with a text ends, without the thoughts behind it of which only another dialect's state is told.
fn behind_last_text(parts: &[Part]) -> usize {
    let trails = |part: &Part| matches!(part, Part::Reasoning(thought) if thought.text.is_empty() && thought.opaque.as_ref().is_some_and(is_foreign));
    match parts.iter().rposition(|part| !trails(part)) {
        Some(at) if matches!(parts.get(at), Some(Part::Text(_))) => at + 1,
        _ => parts.len(),
    }
}

pub(super) fn is_foreign(opaque: &Opaque) -> bool {
    opaque.dialect != Dialect::Anthropic
}

/// Who answers.
pub(super) fn head(id: &str, model: &str, asked: &Asked, object: &mut Object<'_>) {
    if id.is_empty() {
        object.text("id", &format!("msg_{}", asked.id));
    } else {
        object.text("id", id);
    }
    object.text("type", "message");
    object.text("role", "assistant");
    object.text("model", if model.is_empty() { &asked.model } else { model });
}

/// Why it ended.
pub(super) fn ending(
    finish: &Finish,
    stop_sequence: Option<&str>,
    rest: &Rest,
    object: &mut Object<'_>,
    losses: &mut Losses,
) {
    let reason = stop_reason(finish, losses);
    object.text("stop_reason", reason);
    object.optional("stop_sequence", stop_sequence);
    if rest.of(Dialect::Anthropic).all(|(name, _)| name != "stop_details") {
        if reason == "refusal" {
            object.raw("stop_details", br#"{"type":"refusal","category":null,"explanation":null}"#);
        } else {
            object.raw("stop_details", b"null");
        }
    }
}

/// The word for the end. A reply that was cut has no word of its own: it reads as one that hit a limit.
fn stop_reason(finish: &Finish, losses: &mut Losses) -> &'static str {
    match finish {
        Finish::Stop => "end_turn",
        Finish::Length | Finish::Cut => "max_tokens",
        Finish::ToolCalls => "tool_use",
        Finish::ContentFilter | Finish::Refusal => "refusal",
        Finish::StopSequence => "stop_sequence",
        Finish::Pause => "pause_turn",
        Finish::Other(word) => match word.as_str() {
            "compaction" => "compaction",
            "model_context_window_exceeded" => "model_context_window_exceeded",
            _ => {
                losses.lose("finish_reason");
                "end_turn"
            }
        },
    }
}

fn part(part: &Part, asked: &Asked, out: &mut Vec<u8>, losses: &mut Losses) {
    match part {
        Part::Text(text) => self::text(text, asked, out, losses),
        Part::Refusal(text) if text.is_empty() => {}
        Part::Refusal(text) => {
            let mut object = Object::typed(next(out), "text");
            object.text("text", text);
            object.close();
        }
        Part::Reasoning(thought) => self::thought(thought, asked, out, losses),
        Part::Call(call) => {
            let mut object = Object::typed(next(out), "tool_use");
            object.text("id", &call.id);
            object.text("name", &Asked::flat(call.namespace.as_deref(), &call.name));
            turns::input(call, object.at("input"));
            object.rest(&call.rest);
            object.close();
            losses.beside(&call.rest, Dialect::Anthropic);
            if let Some(opaque) = &call.opaque {
                redacted(&beside(opaque, &call.id), asked, &Rest::default(), out);
            }
        }
        Part::Foreign(Dialect::Anthropic, whole) => append(whole, next(out)),
        Part::Foreign(_, whole) => losses.lose(foreign(whole)),
        Part::Media(_) => losses.lose("media"),
        // A model never writes one.
        Part::Result(_) => losses.lose("tool_result"),
    }
}

/// The name of a block that only another dialect has.
pub(super) fn foreign(whole: &serde_json::Value) -> String {
    whole.get("type").and_then(serde_json::Value::as_str).unwrap_or("block").to_owned()
}

fn text(text: &Text, asked: &Asked, out: &mut Vec<u8>, losses: &mut Losses) {
    if !text.text.is_empty() || text.citations.is_some() {
        let mut object = Object::typed(next(out), "text");
        object.text("text", &text.text);
        match &text.citations {
            Some((Dialect::Anthropic, citations)) => {
                let mut items = Vec::new();
                citations.iter().for_each(|citation| append(citation, next(&mut items)));
                list(object.at("citations"), &items);
            }
            Some(_) => losses.lose("citations"),
            None => {}
        }
        object.rest(&text.rest);
        object.close();
        losses.beside(&text.rest, Dialect::Anthropic);
    }
    if let Some(opaque) = &text.opaque {
        redacted(&beside(opaque, ""), asked, &Rest::default(), out);
    }
}

/// State that another dialect keeps on a call or a text, for a block of its own.
pub(super) fn beside(opaque: &Opaque, owner: &str) -> Opaque {
    let (State::Signature(data) | State::Encrypted { data, .. }) = &opaque.state;
    let state = State::Encrypted { data: data.clone(), id: Some(format!("{BESIDE}{owner}")) };
    Opaque { state, ..opaque.clone() }
}

fn thought(thought: &Reasoning, asked: &Asked, out: &mut Vec<u8>, losses: &mut Losses) {
    losses.beside(&thought.rest, Dialect::Anthropic);
    match (&thought.opaque, thought.text.is_empty()) {
        (None, true) => {}
        (Some(opaque), true) if is_sealed(opaque) => redacted(opaque, asked, &thought.rest, out),
        (opaque, _) => {
            let mut object = Object::typed(next(out), "thinking");
            object.text("thinking", &thought.text);
            object.text("signature", &signature(opaque.as_ref(), asked));
            object.rest(&thought.rest);
            object.close();
        }
    }
}

/// Whether a thought without text is `redacted_thinking`, and not `thinking` that the client did not want to see.
pub(super) fn is_sealed(opaque: &Opaque) -> bool {
    opaque.dialect != Dialect::Anthropic || matches!(opaque.state, State::Encrypted { .. })
}

fn redacted(opaque: &Opaque, asked: &Asked, rest: &Rest, out: &mut Vec<u8>) {
    let mut object = Object::typed(next(out), "redacted_thinking");
    object.text("data", &sealed(opaque, asked));
    object.rest(rest);
    object.close();
}

/// The `data` of a `redacted_thinking`.
pub(super) fn sealed(opaque: &Opaque, asked: &Asked) -> String {
    match &opaque.state {
        State::Encrypted { data, id: None } if opaque.dialect == Dialect::Anthropic => data.clone(),
        _ => opaque.clone().made_by(&asked.provider).wrap(),
    }
}

/// The `signature` of a `thinking`. Never empty: a thought that another provider left unsigned must be known for one when it comes back,
/// for this dialect's own provider refuses it.
pub(super) fn signature(opaque: Option<&Opaque>, asked: &Asked) -> String {
    match opaque {
        Some(Opaque { dialect: Dialect::Anthropic, state: State::Signature(signature), .. }) => signature.clone(),
        Some(opaque) => opaque.clone().made_by(&asked.provider).wrap(),
        None => Opaque::signature(Dialect::OpenaiChat, "").made_by(&asked.provider).wrap(),
    }
}
