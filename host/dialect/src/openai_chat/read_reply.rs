//! A provider's whole reply as a [`Reply`].

use serde_json::{Map, Value};

use super::content::{self, Calls};
use super::{OWN, error, reply, take};
use crate::failure::Failure;
use crate::hub::{Choice, Finish, Part, Reply, Rest};
use crate::json;

pub(super) fn read(body: &[u8]) -> Result<Reply, Failure> {
    // The check names what is wrong with a body that is no reply.
    let Some(Value::Object(members)) = json::tree(body) else {
        return Err(reply::check(body)
            .err()
            .unwrap_or_else(|| Failure::bad_gateway("invalid_reply", "The provider's reply is not a JSON object.")));
    };
    let is_reply = members.get("choices").is_some_and(Value::is_array);
    let suspect = members.get("error").is_some_and(|error| !error.is_null());
    if !is_reply || suspect || members.get("object").and_then(Value::as_str) == Some("error") {
        reply::check(body)?;
    }
    let mut out = Reply { usage: reply::usage(body), ..Reply::default() };
    let mut rest = Map::new();
    for (name, value) in members {
        match (name.as_str(), value) {
            ("object" | "usage", _) | (_, Value::Null) => {}
            ("id", Value::String(id)) => out.id = id,
            ("model", Value::String(model)) => out.model = model,
            ("created", value) => out.created = seconds(&value),
            ("service_tier", Value::String(tier)) => out.service_tier = Some(tier).filter(|tier| !tier.is_empty()),
            ("choices", Value::Array(choices)) => {
                for (position, value) in (0_u32..).zip(choices) {
                    if let Value::Object(members) = value {
                        out.choices.push(choice(members, position, body)?);
                    }
                }
            }
            // Facts of the provider's own, some of them empty.
            (_, Value::Array(list)) if list.is_empty() => {}
            (_, Value::String(text)) if text.is_empty() => {}
            (_, value) => {
                rest.insert(name, value);
            }
        }
    }
    out.choices.sort_by_key(|choice| choice.index);
    out.rest = Rest::new(OWN, rest);
    Ok(out)
}

/// Some say it with a fraction.
pub(super) fn seconds(value: &Value) -> Option<u64> {
    let seconds =
        value.as_u64().or_else(|| value.as_f64().filter(|seconds| *seconds > 0.0).map(|seconds| seconds as u64));
    seconds.filter(|seconds| *seconds > 0)
}

fn choice(mut members: Map<String, Value>, position: u32, body: &[u8]) -> Result<Choice, Failure> {
    if let Some(failure) = members.get("error").filter(|error| !error.is_null()) {
        return Err(error::inside_choice(failure, body));
    }
    let index = members.shift_remove("index").and_then(|index| u32::try_from(index.as_u64()?).ok()).unwrap_or(position);
    let reason = take::text(&mut members, "finish_reason").unwrap_or_default();
    let logprobs = take::any(&mut members, "logprobs").filter(Value::is_object);
    let message = take::object(&mut members, "message");
    let message = message.or_else(|| take::object(&mut members, "delta")).or_else(|| {
        // A server of the older kind of completion.
        let text = take::text(&mut members, "text")?;
        Some(Map::from_iter([("content".to_owned(), Value::String(text))]))
    });
    let said = content::message(message.unwrap_or_default(), &mut Calls::default());
    members.retain(|name, value| {
        let spent = name == "delta" && value.as_object().is_some_and(Map::is_empty);
        !value.is_null() && !spent
    });
    if !said.rest.is_empty() {
        members.insert("message".to_owned(), Value::Object(said.rest));
    }
    let finish = finish(&reason, &said.parts);
    Ok(Choice { index, parts: said.parts, finish, stop_sequence: None, logprobs, rest: Rest::new(OWN, members) })
}

/// Why a choice ended, by all the words that providers have for it.
pub(super) fn finish(reason: &str, parts: &[Part]) -> Finish {
    let calls = parts.iter().any(|part| matches!(part, Part::Call(_)));
    let refused = parts.iter().any(|part| matches!(part, Part::Refusal(_)));
    settled(reason, calls, refused)
}

pub(super) fn settled(reason: &str, calls: bool, refused: bool) -> Finish {
    let finish = match reason {
        // A provider ran its own tools, or none: there is nothing for the client to run.
        "tool_calls" | "function_call" | "tool_use" if !calls => Finish::Stop,
        "stop" | "" | "eos" | "eos_token" | "end_turn" | "complete" | "COMPLETE" | "STOP" => Finish::Stop,
        "tool_calls" | "function_call" | "tool_use" => Finish::ToolCalls,
        "length" | "max_tokens" | "model_length" | "MAX_TOKENS" => Finish::Length,
        "content_filter" | "safety" | "SAFETY" => Finish::ContentFilter,
        "stop_sequence" => Finish::StopSequence,
        "refusal" => Finish::Refusal,
        other => Finish::Other(other.to_owned()),
    };
    match finish {
        Finish::Stop if calls => Finish::ToolCalls,
        Finish::Stop if refused => Finish::Refusal,
        finish => finish,
    }
}
