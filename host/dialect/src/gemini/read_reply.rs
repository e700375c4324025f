//! A provider's whole reply.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::part::{self, Ids};
use super::{finish, logprobs, reply};
use crate::Dialect;
use crate::failure::Failure;
use crate::hub::{Choice, Finish, Part, Reply, Rest};
use crate::json;

/// The highest number of a candidate that is believed.
pub(super) const MAX_INDEX: u32 = 1024;

/// Members of a candidate that cite sources: they belong to its text.
pub(super) const CITING: [&str; 2] = ["groundingMetadata", "citationMetadata"];

/// The reply.
///
/// # Errors
/// As [`reply::check`].
pub(super) fn read(body: &[u8]) -> Result<Reply, Failure> {
    let usage = reply::check(body)?;
    let unread = || Failure::bad_gateway("invalid_reply", "The provider's reply is nested too deep to be read.");
    let mut whole = Fields::of(json::tree(body).ok_or_else(unread)?);
    let id = whole.text("responseId").unwrap_or_default();
    let mut ids = Ids::of_reply(&id);
    let model = whole.text("modelVersion").unwrap_or_default();
    let created = whole.text("createTime").and_then(|time| seconds(&time));
    let mut service_tier = None;
    if let Some(mut counted) = whole.fields("usageMetadata") {
        service_tier = counted.text("serviceTier").map(|tier| match tier.to_ascii_lowercase().as_str() {
            // As the other dialects call it.
            "standard" => "default".to_owned(),
            other => other.to_owned(),
        });
    }
    let candidates = whole.list("candidates");
    let mut choices: Vec<Choice> =
        (0..).zip(candidates).map(|(at, candidate)| read_candidate(Fields::of(candidate), at, &mut ids)).collect();
    choices.sort_by_key(|choice| choice.index);
    if choices.is_empty() {
        // Neither a candidate nor a reason why there is none: nothing was finished.
        let blocked = whole.get("promptFeedback").and_then(blocked);
        choices.push(blocked.unwrap_or(Choice { finish: Finish::Cut, ..Choice::default() }));
    }
    Ok(Reply { id, model, created, choices, usage, service_tier, rest: whole.rest() })
}

fn read_candidate(mut candidate: Fields, position: u32, ids: &mut Ids) -> Choice {
    let index = index(&mut candidate).unwrap_or(position);
    let mut choice = Choice { index, ..Choice::default() };
    for value in parts(&mut candidate) {
        if let Some(part) = part::read(value, ids) {
            part::add(part, &mut choice.parts);
        }
    }
    let mut left = Map::new();
    let ended = candidate.take("finishReason").and_then(|reason| finish::read(&reason, &mut left));
    choice.finish = ended.unwrap_or_default();
    choice.finish = choice.settled();
    choice.logprobs = candidate.take("logprobsResult").and_then(logprobs::read);
    let text = choice.parts.iter_mut().rev().find_map(|part| match part {
        Part::Text(text) => Some(text),
        _ => None,
    });
    if let Some(text) = text {
        let cited = citations(&mut candidate);
        text.citations = (!cited.is_empty()).then_some((Dialect::Gemini, cited));
    }
    left.append(&mut candidate.left());
    choice.rest = Rest::new(Dialect::Gemini, left);
    choice
}

/// `candidates[].index`, where it is a number that can be one.
pub(super) fn index(candidate: &mut Fields) -> Option<u32> {
    let index = candidate.number("index")?.as_u64()?;
    u32::try_from(index).ok().map(|index| index.min(MAX_INDEX))
}

pub(super) fn parts(candidate: &mut Fields) -> Vec<Value> {
    candidate.fields("content").map(|mut content| content.list("parts")).unwrap_or_default()
}

/// What cites sources, each under its own name.
pub(super) fn citations(candidate: &mut Fields) -> Vec<Value> {
    let take = |name: &str| {
        let value = candidate.take(name).filter(|value| value.as_object().is_none_or(|members| !members.is_empty()))?;
        Some(Value::Object(Map::from_iter([(name.to_owned(), value)])))
    };
    CITING.into_iter().filter_map(take).collect()
}

/// The one choice of a prompt that was blocked, by its `promptFeedback`: the filter's words, if it has some, and no others.
pub(super) fn blocked(feedback: &Value) -> Option<Choice> {
    let feedback = feedback.as_object()?;
    let member = |name: &str| {
        let found = feedback.iter().find(|(key, value)| super::fields::is(key, name) && !value.is_null());
        found.map(|(_, value)| value)
    };
    member("blockReason")?;
    let words = member("blockReasonMessage").and_then(Value::as_str).filter(|words| !words.is_empty());
    Some(Choice {
        parts: words.map(|words| Part::Refusal(words.to_owned())).into_iter().collect(),
        finish: Finish::ContentFilter,
        ..Choice::default()
    })
}

/// Seconds since 1970 of `2026-05-27T16:53:45.443719Z`.
pub(super) fn seconds(time: &str) -> Option<u64> {
    let number = |range: std::ops::Range<usize>| time.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
    let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
    let month_from_march = (month + 9).rem_euclid(12);
    let year = if month <= 2 { year - 1 } else { year };
    // Days of the Gregorian calendar, counted from 1 March of year 0.
    let days = year * 365 + year.div_euclid(4) - year.div_euclid(100)
        + year.div_euclid(400)
        + (month_from_march * 153 + 2).div_euclid(5)
        + day
        - 1;
    u64::try_from((days - 719_468) * 86_400 + hour * 3600 + minute * 60 + second).ok()
}
