//! A whole reply for a client.

use bytes::Bytes;
use serde_json::Value;

use super::{finish, logprobs, usage, write_part};
use crate::Dialect;
use crate::hub::{Asked, Call, Choice, Losses, Opaque, Part, Reply, Rest};
use crate::json::build as put;

/// The reply, and what of it cannot be said.
pub(super) fn write(reply: &Reply, asked: &Asked) -> (Bytes, Losses) {
    let mut losses = Losses::default();
    let mut out = Vec::with_capacity(512);
    out.push(b'{');
    // A prompt that was blocked has no candidates; its feedback tells it.
    let blocked = reply
        .rest
        .of(Dialect::Gemini)
        .any(|(name, value)| name == "promptFeedback" && value.get("blockReason").is_some());
    if !blocked {
        put::key(&mut out, "candidates");
        out.push(b'[');
        for choice in &reply.choices {
            candidate(choice, asked, &mut losses, &mut out);
        }
        out.push(b']');
    }
    put::members(&mut out, reply.rest.of(Dialect::Gemini));
    losses.beside(&reply.rest, Dialect::Gemini);
    if let Some(counted) = &reply.usage {
        usage::write(counted, &mut out);
    }
    identity(&reply.model, &reply.id, asked, &mut out);
    out.push(b'}');
    (Bytes::from(out), losses)
}

/// Model and id, which clients expect in every object.
pub(super) fn identity(model: &str, id: &str, asked: &Asked, out: &mut Vec<u8>) {
    put::text(out, "modelVersion", if model.is_empty() { &asked.model } else { model });
    put::text(out, "responseId", if id.is_empty() { &asked.id } else { id });
}

fn candidate(choice: &Choice, asked: &Asked, losses: &mut Losses, out: &mut Vec<u8>) {
    put::comma(out);
    out.extend_from_slice(b"{\"content\":{\"parts\":[");
    for part in &choice.parts {
        self::part(part, asked, losses, out);
    }
    out.extend_from_slice(b"],\"role\":\"model\"}");
    ending(&choice.finish, finish::refused(choice), &choice.rest, out);
    put::number(out, "index", choice.index);
    if let Some(result) = choice.logprobs.as_ref().and_then(logprobs::write) {
        put::member(out, "logprobsResult", &result);
    }
    for part in &choice.parts {
        if let Part::Text(text) = part
            && let Some((Dialect::Gemini, citations)) = &text.citations
        {
            cite(citations, out);
        }
    }
    losses.beside(&choice.rest, Dialect::Gemini);
    out.push(b'}');
}

/// Members that tell how a candidate ended, and what else only Gemini says of it.
pub(super) fn ending(finish: &crate::hub::Finish, refused: bool, rest: &Rest, out: &mut Vec<u8>) {
    let own = |name: &str| rest.of(Dialect::Gemini).any(|(key, _)| key == name);
    let (word, message) = finish::write(finish, refused);
    if !own("finishReason") {
        put::text(out, "finishReason", word);
    }
    if !own("finishMessage") {
        put::maybe_text(out, "finishMessage", message);
    }
    put::members(out, rest.of(Dialect::Gemini));
}

/// Citations in Gemini's form are members of the candidate.
pub(super) fn cite(citations: &[Value], out: &mut Vec<u8>) {
    for citation in citations.iter().filter_map(Value::as_object) {
        put::members(out, citation);
    }
}

/// Reasoning state as a client of this dialect keeps it: Gemini's own as it is, any other wrapped.
pub(super) fn state(opaque: &Opaque, asked: &Asked) -> String {
    if opaque.dialect == Dialect::Gemini {
        return write_part::signature(opaque).to_owned();
    }
    opaque.clone().made_by(&asked.provider).wrap()
}

fn part(part: &Part, asked: &Asked, losses: &mut Losses, out: &mut Vec<u8>) {
    match part {
        Part::Text(text) => {
            let state = text.opaque.as_ref().map(|opaque| state(opaque, asked));
            if matches!(&text.citations, Some((dialect, _)) if *dialect != Dialect::Gemini) {
                losses.lose("citations");
            }
            losses.beside(&text.rest, Dialect::Gemini);
            write_part::text(&text.text, false, state.as_deref(), &text.rest, out);
        }
        Part::Refusal(text) => write_part::text(text, false, None, &Rest::default(), out),
        Part::Reasoning(thought) => {
            let state = thought.opaque.as_ref().map(|opaque| state(opaque, asked));
            losses.beside(&thought.rest, Dialect::Gemini);
            if !thought.text.is_empty() || state.is_some() {
                write_part::text(&thought.text, !thought.text.is_empty(), state.as_deref(), &thought.rest, out);
            }
        }
        Part::Call(call) => self::call(call, asked, losses, out),
        Part::Media(media) => {
            if write_part::can_say(media) {
                write_part::media(media, losses, out);
            } else {
                losses.lose("file");
            }
        }
        Part::Foreign(Dialect::Gemini, value) => write_part::foreign(value, out),
        Part::Foreign(_, value) => lose_foreign(value, losses),
        Part::Result(_) => losses.lose("tool result"),
    }
}

pub(super) fn lose_foreign(value: &Value, losses: &mut Losses) {
    losses.lose(value.get("type").and_then(Value::as_str).unwrap_or("block").to_owned());
}

/// A call by the name that the client gave the tool. A tool of kind custom has its text as the one argument.
pub(super) fn call(call: &Call, asked: &Asked, losses: &mut Losses, out: &mut Vec<u8>) {
    let state = call.opaque.as_ref().map(|opaque| state(opaque, asked));
    let flat = Asked::flat(call.namespace.as_deref(), &call.name);
    let name = asked.called(&flat).map_or(&*flat, |called| &called.name);
    let custom = call.custom.then(|| Asked::as_arguments(&call.arguments));
    losses.beside(&call.rest, Dialect::Gemini);
    write_part::call(&call.id, name, custom.as_deref().unwrap_or(&call.arguments), state.as_deref(), &call.rest, out);
}
