//! A provider's stream of chunks as steps of the hub.
//!
//! Blocks are opened and closed here, for this format does not say where one ends. Choices end with the stream: a reason to finish may be
//! said before the last words, twice, or not at all.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::read_reply::seconds;
use super::{OWN, error, take};
use crate::dialect::Decode;
use crate::failure::Failure;
use crate::hub::{Delta, Rest};
use crate::json;
use crate::usage::Usage;

mod quick;
mod teller;

use teller::{Choice, Kind, Teller};

/// More choices, calls or blocks than any provider has; past it the stream is refused.
const MAX: u32 = 1024;

#[derive(Default)]
pub(super) struct Decoder {
    started: bool,
    over: bool,
    choices: BTreeMap<u32, Choice>,
    usage: Option<Usage>,
    /// An event came that has usage and no choices: the last one of a proper stream.
    closed: bool,
    /// Members around the choices that came after the start.
    late: Map<String, Value>,
}

impl Decoder {
    fn fail(&mut self, failure: Failure, out: &mut Vec<Delta>) {
        self.over = true;
        out.push(Delta::Failed(Box::new(failure)));
    }

    fn start(&mut self, members: &mut Map<String, Value>, out: &mut Vec<Delta>) {
        let text = |members: &mut Map<String, Value>, name| take::text(members, name).unwrap_or_default();
        let (id, model) = (text(members, "id"), text(members, "model"));
        let created = members.shift_remove("created").as_ref().and_then(seconds);
        let chosen = members.get("choices").and_then(Value::as_array).is_some_and(|choices| !choices.is_empty());
        if self.started || (id.is_empty() && !chosen) {
            return;
        }
        self.started = true;
        let mut rest = std::mem::take(&mut self.late);
        rest.extend(facts(members));
        out.push(Delta::Start { id, model, created, rest: Rest::new(OWN, rest) });
    }

    fn count(&mut self, data: &[u8], members: &Map<String, Value>, out: &mut Vec<Delta>) {
        if !members.contains_key("usage") && !members.contains_key("x_groq") {
            return;
        }
        let Some(usage) = super::reply::usage(data) else { return };
        self.closed |= members.get("choices").and_then(Value::as_array).is_none_or(Vec::is_empty);
        if self.usage != Some(usage) {
            self.usage = Some(usage);
            out.push(Delta::Usage(usage));
        }
    }

    fn choice(&mut self, value: Value, position: usize, out: &mut Vec<Delta>) -> Result<(), Failure> {
        let Value::Object(mut members) = value else { return Ok(()) };
        let given = members.shift_remove("index").and_then(|index| u32::try_from(index.as_u64()?).ok());
        let number =
            given.or_else(|| u32::try_from(position).ok()).filter(|number| *number < MAX).ok_or_else(too_many)?;
        let choice = self.choices.entry(number).or_default();
        let reason = take::text(&mut members, "finish_reason").filter(|reason| !reason.is_empty());
        // Some say it twice; the first word is the one that the model's end had.
        choice.reason = choice.reason.take().or(reason);
        let delta = take::object(&mut members, "delta");
        let message = take::object(&mut members, "message");
        let text = take::text(&mut members, "text");
        let delta = delta.or(message).or_else(|| Some(Map::from_iter([("content".to_owned(), Value::String(text?))])));
        let logprobs = take::any(&mut members, "logprobs").filter(Value::is_object);
        members.retain(|_, value| !value.is_null());
        choice.rest.extend(members);
        let mut teller = Teller { number, choice, out };
        if let Some(delta) = delta {
            teller.delta(delta)?;
        }
        if let Some(logprobs) = logprobs {
            out.push(Delta::Logprobs { choice: number, logprobs });
        }
        Ok(())
    }

    /// Tells the piece of an event that has nothing else; false where the full look is needed.
    fn quick(&mut self, data: &[u8], out: &mut Vec<Delta>) -> Result<bool, Failure> {
        if !self.started {
            return Ok(false);
        }
        let Some(piece) = quick::piece(data) else { return Ok(false) };
        let Some(choice) = self.choices.get_mut(&piece.choice) else { return Ok(false) };
        let Some(text) = json::string(data, piece.literal) else { return Ok(false) };
        let mut teller = Teller { number: piece.choice, choice, out };
        match piece.place {
            quick::Place::Content => teller.say(Kind::Text, text.into_owned())?,
            quick::Place::Reasoning => teller.say(Kind::Thought(None), text.into_owned())?,
            quick::Place::Refusal => {
                teller.choice.refused = true;
                teller.say(Kind::Refusal, text.into_owned())?;
            }
            quick::Place::Arguments(index) => {
                let call = teller.choice.calls.iter().rfind(|call| call.index == Some(index));
                let Some(block) = call.and_then(|call| call.block) else { return Ok(false) };
                teller.out.push(Delta::Text { choice: piece.choice, block, text: text.into_owned() });
                return Ok(true);
            }
        }
        teller.cite();
        Ok(true)
    }

    fn read(&mut self, data: &[u8], out: &mut Vec<Delta>) -> Result<(), Failure> {
        if self.quick(data, out)? {
            return Ok(());
        }
        let Some(Value::Object(mut members)) = json::tree(data) else {
            return Err(Failure::bad_gateway("invalid_stream", "The provider's stream has an event that is not JSON."));
        };
        if members.get("error").is_some_and(|error| !error.is_null())
            && let Some(failure) = error::in_stream(data)
        {
            self.count(data, &members, out);
            return Err(failure);
        }
        if members.get("object").and_then(Value::as_str) == Some("error") {
            return Err(error::from_error_event(data));
        }
        self.start(&mut members, out);
        self.count(data, &members, out);
        let choices = members.shift_remove("choices").map(take::list).unwrap_or_default();
        for (position, value) in choices.into_iter().enumerate() {
            if let Some(failure) = value.get("error").filter(|error| !error.is_null()) {
                return Err(error::inside_choice(failure, data));
            }
            self.choice(value, position, out)?;
        }
        self.late.extend(facts(&mut members));
        Ok(())
    }
}

/// What an event says beside its choices and is not random, empty or said with every one.
fn facts(members: &mut Map<String, Value>) -> Map<String, Value> {
    const KNOWN: [&str; 9] =
        ["id", "object", "created", "model", "choices", "usage", "obfuscation", "p", "stream_options"];
    let names: Vec<String> = members
        .iter()
        .filter(|(name, value)| {
            let empty = match value {
                Value::Null => true,
                Value::String(text) => text.is_empty(),
                Value::Array(list) => list.is_empty(),
                _ => false,
            };
            !empty && !KNOWN.contains(&name.as_str())
        })
        .map(|(name, _)| name.clone())
        .collect();
    names.into_iter().filter_map(|name| members.shift_remove(&name).map(|value| (name, value))).collect()
}

fn too_many() -> Failure {
    Failure::bad_gateway("invalid_stream", "The provider's stream numbers a choice or a tool call past any limit.")
}

impl Decode for Decoder {
    fn event(&mut self, event: Option<&[u8]>, data: &[u8], out: &mut Vec<Delta>) {
        if self.over || data.trim_ascii().is_empty() {
            return;
        }
        if event == Some(b"error") {
            return self.fail(error::from_error_event(data), out);
        }
        if let Err(failure) = self.read(data, out) {
            self.fail(failure, out);
        }
    }

    fn end(&mut self, out: &mut Vec<Delta>) {
        if self.over {
            return;
        }
        let ended = |choice: &Choice| choice.reason.is_some();
        // Snowflake never says why a choice ended, but counts at the proper end.
        let whole = self.closed || (!self.choices.is_empty() && self.choices.values().all(ended));
        for (number, choice) in &mut self.choices {
            let mut teller = Teller { number: *number, choice, out };
            if whole || teller.choice.reason.is_some() {
                teller.finish();
            } else {
                teller.close();
            }
        }
        if !whole {
            let message = "The provider's stream ended before the reply was complete.";
            return self.fail(Failure::bad_gateway("stream_truncated", message), out);
        }
        if !self.late.is_empty() {
            out.push(Delta::Foreign(OWN, Value::Object(std::mem::take(&mut self.late))));
        }
        self.over = true;
        out.push(Delta::Done);
    }
}
