//! A provider's whole response object.

use serde_json::{Map, Value, json};

use super::{count, read_request, take};
use crate::Dialect;
use crate::failure::Failure;
use crate::hub::{Call, Choice, Finish, Media, MediaKind, Part, Reasoning, Reply, Rest, Source, Text};
use crate::json;

const OWN: Dialect = Dialect::OpenaiResponses;

/// Reads the object.
///
/// # Errors
/// A response that failed, and what is no response.
#[allow(clippy::result_large_err, reason = "the one failure type is large, and built only for a call that failed")]
pub fn read(body: &[u8]) -> Result<Reply, Failure> {
    let good = |map: &Map<String, Value>| {
        let status = map.get("status").and_then(Value::as_str);
        map.get("output").is_some_and(Value::is_array)
            && map.get("error").is_none_or(Value::is_null)
            && status != Some("failed")
    };
    let mut map = match json::tree(body) {
        Some(Value::Object(map)) if good(&map) => map,
        other => {
            // What is wrong, another look at the bytes says best.
            super::reply::check(body)?;
            let Some(Value::Object(map)) = other else {
                let message = "The provider's reply is nested too deeply to be read.";
                return Err(Failure::bad_gateway("invalid_reply", message));
            };
            map
        }
    };
    let usage = map.get("usage").and_then(count::read);
    let end = end(&map);
    let mut parts = Vec::new();
    let mut logprobs = Vec::new();
    for item in take::list(&mut map, "output") {
        add(item, &mut parts, &mut logprobs);
    }
    let finish = finish(end, &parts);
    let logprobs = (!logprobs.is_empty()).then(|| json!({"content": logprobs, "refusal": null}));
    Ok(Reply {
        id: take::string(&mut map, "id").unwrap_or_default(),
        model: take::string(&mut map, "model").unwrap_or_default(),
        created: created(&map),
        choices: vec![Choice { parts, finish, logprobs, ..Choice::default() }],
        usage,
        // A word that OpenAI does not know is its provider's own.
        service_tier: take::word(&mut map, "service_tier").filter(|tier| super::write_reply::is_tier(tier)),
        rest: Rest::default(),
    })
}

pub(super) fn created(map: &Map<String, Value>) -> Option<u64> {
    let at = map.get("created_at")?;
    at.as_u64().or_else(|| at.as_f64().filter(|at| *at >= 0.0).map(|at| at as u64))
}

/// The finish that the status says; `None` where the response ended as it should.
pub(super) fn end(map: &Map<String, Value>) -> Option<Finish> {
    match map.get("status").and_then(Value::as_str) {
        None | Some("completed" | "") => None,
        Some("incomplete") => {
            let reason =
                map.get("incomplete_details").and_then(|details| details.get("reason")).and_then(Value::as_str);
            Some(match reason {
                Some("max_output_tokens") => Finish::Length,
                Some("content_filter") => Finish::ContentFilter,
                Some(other) => Finish::Other(other.to_owned()),
                None => Finish::Cut,
            })
        }
        Some(other) => Some(Finish::Other(other.to_owned())),
    }
}

/// What a response that ended as it should ended with.
fn finish(end: Option<Finish>, parts: &[Part]) -> Finish {
    let calls = parts.iter().any(|part| matches!(part, Part::Call(_)));
    let refused = parts.iter().any(|part| matches!(part, Part::Refusal(_)));
    settled(end, calls, refused)
}

pub(super) fn settled(end: Option<Finish>, calls: bool, refused: bool) -> Finish {
    end.unwrap_or(match (calls, refused) {
        (true, _) => Finish::ToolCalls,
        (_, true) => Finish::Refusal,
        _ => Finish::Stop,
    })
}

/// The parts of an output item.
fn add(item: Value, parts: &mut Vec<Part>, logprobs: &mut Vec<Value>) {
    let Value::Object(mut map) = item else { return };
    match map.get("type").and_then(Value::as_str) {
        Some("message") => {
            let rest = kept(&map);
            for content in take::list(&mut map, "content") {
                parts.extend(said(content, &rest, logprobs));
            }
        }
        Some("reasoning") => {
            let rest = kept(&map);
            let mut thoughts = Vec::new();
            read_request::thought(&mut map, &mut thoughts);
            parts.extend(
                thoughts.into_iter().map(|thought| Part::Reasoning(Reasoning { rest: rest.clone(), ..thought })),
            );
        }
        Some("function_call" | "custom_tool_call") => {
            let mut call = call(map);
            if call.id.is_empty() {
                call.id = format!("call_{}", parts.iter().filter(|part| matches!(part, Part::Call(_))).count());
            }
            parts.push(Part::Call(call));
        }
        _ => parts.push(whole(map)),
    }
}

/// What the blocks of an item keep of it: its id and the phase of its message.
pub(super) fn kept(item: &Map<String, Value>) -> Rest {
    let named = ["id", "phase"].into_iter().filter_map(|name| Some((name.to_owned(), item.get(name)?.clone())));
    Rest::new(OWN, named.filter(|(_, value)| value.is_string()).collect())
}

/// A call, with what it keeps of its item.
pub(super) fn call(item: Map<String, Value>) -> Call {
    let rest = kept(&item);
    Call { rest, ..read_request::call(item) }
}

/// One content of a message.
fn said(content: Value, rest: &Rest, logprobs: &mut Vec<Value>) -> Option<Part> {
    let mut map = match content {
        Value::Object(map) => map,
        Value::String(text) => return Some(Part::Text(Text::of(text))),
        _ => return None,
    };
    match map.get("type").and_then(Value::as_str) {
        Some("refusal") => Some(Part::Refusal(take::string(&mut map, "refusal").unwrap_or_default())),
        Some("output_text" | "text") | None => {
            logprobs.extend(take::list(&mut map, "logprobs"));
            let citations = Some((OWN, take::list(&mut map, "annotations"))).filter(|(_, list)| !list.is_empty());
            let text = take::string(&mut map, "text").unwrap_or_default();
            Some(Part::Text(Text { text, citations, rest: rest.clone(), opaque: None }))
        }
        Some(_) => Some(Part::Foreign(OWN, Value::Object(map))),
    }
}

/// An item that needs no client: an image that was made, else something of this dialect alone.
pub(super) fn whole(mut map: Map<String, Value>) -> Part {
    let made = map.get("type").and_then(Value::as_str) == Some("image_generation_call");
    if made && let Some(data) = take::word(&mut map, "result") {
        let mime = format!("image/{}", map.get("output_format").and_then(Value::as_str).unwrap_or("png"));
        return Part::Media(Media {
            kind: MediaKind::Image,
            source: Source::Inline(data),
            mime: Some(mime),
            name: None,
            detail: None,
            rest: Rest::default(),
        });
    }
    Part::Foreign(OWN, Value::Object(map))
}
