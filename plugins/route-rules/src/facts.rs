//! The facts of a call as CEL variables: those that the rules read, and an empty text for what the call does not have.

use std::collections::{BTreeSet, HashMap};

use cel::{Context, Value};
use sluice::{Call, Role, Targets};

use crate::names::Names;

const MINUTE_MS: u64 = 60_000;

type Map = HashMap<String, Value>;

fn map<const N: usize>(entries: [(&str, Value); N]) -> Map {
    entries.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The text of each name, or an empty one.
fn texts(names: &BTreeSet<String>, text: impl Fn(&str) -> Option<String>) -> Value {
    let entries: Map = names.iter().map(|name| (name.clone(), text(name).unwrap_or_default().into())).collect();
    entries.into()
}

fn number(number: usize) -> Value {
    Value::Int(i64::try_from(number).unwrap_or(i64::MAX))
}

/// Hour and minute of the day and day of the week (1 is Monday), in UTC.
fn time(now_ms: u64) -> Map {
    let minutes = now_ms / MINUTE_MS;
    // The first day of the count was a Thursday.
    let (day, weekday) = (minutes / 1440, |day: u64| (day + 3) % 7 + 1);
    let value = |number: u64| Value::Int(i64::try_from(number).unwrap_or(0));
    map([("hour", value(minutes / 60 % 24)), ("minute", value(minutes % 60)), ("weekday", value(weekday(day)))])
}

fn prompt(call: &Call) -> Map {
    let texts = call.texts();
    let turns = texts.iter().filter(|piece| piece.role == Role::Assistant).count();
    let tools = call.get_json("/tools").is_some_and(|tools| !matches!(tools.as_str(), "[]" | "null"));
    map([
        ("text", call.last_user_text().unwrap_or_default().into()),
        ("bytes", number(texts.iter().map(|piece| piece.text.len()).sum())),
        ("turns", number(turns)),
        ("tools", Value::Bool(tools)),
    ])
}

/// Gives the expressions what they read of a call.
pub(crate) fn of_call(context: &mut Context<'_, '_>, names: &Names, call: &Call, targets: &Targets) {
    for root in &names.roots {
        let value: Value = match root.as_str() {
            "model" => call.model().into(),
            "operation" => call.operation().into(),
            "dialect" => call.dialect().into(),
            "stream" => Value::Bool(call.streaming()),
            "tokens" => Value::Int(targets.iter().map(|target| target.estimated_tokens() as i64).max().unwrap_or(0)),
            "caller" => {
                let mut caller = Map::new();
                for field in ["key", "team", "user"] {
                    caller.insert(field.to_owned(), call.caller(field).unwrap_or_default().into());
                }
                let label = |name: &str| call.caller(&format!("label.{name}"));
                caller.insert("labels".to_owned(), texts(&names.labels, label));
                caller.into()
            }
            "headers" => texts(&names.headers, |name| call.header(name)),
            "tags" => texts(&names.tags, |name| call.tagged(name)),
            "time" => time(sluice::now_ms()).into(),
            _ => prompt(call).into(),
        };
        context.add_variable_from_value(root.as_str(), value);
    }
}

/// A call of nobody's, in which every fact has the type that it has in all others.
pub(crate) fn of_nobody(context: &mut Context<'_, '_>, names: &Names) {
    let nothing = |names| texts(names, |_| None);
    for root in &names.roots {
        let value: Value = match root.as_str() {
            "stream" => Value::Bool(false),
            "tokens" => Value::Int(1),
            "caller" => {
                let mut caller = map(["key", "team", "user"].map(|field| (field, "".into())));
                caller.insert("labels".to_owned(), nothing(&names.labels));
                caller.into()
            }
            "headers" => nothing(&names.headers),
            "tags" => nothing(&names.tags),
            "time" => time(0).into(),
            "prompt" => {
                map([("text", "".into()), ("bytes", number(0)), ("turns", number(0)), ("tools", Value::Bool(false))])
                    .into()
            }
            _ => "".into(),
        };
        context.add_variable_from_value(root.as_str(), value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_of_the_day_and_of_the_week() {
        for (ms, hour, minute, weekday) in
            [(0, 0, 0, 4), (1_767_225_599_999, 23, 59, 3), (1_767_225_600_000, 0, 0, 4), (1_767_571_260_000, 0, 1, 1)]
        {
            let time = time(ms);
            let number = |name: &str| time.get(name).cloned();
            assert_eq!(number("hour"), Some(Value::Int(hour)), "{ms}");
            assert_eq!(number("minute"), Some(Value::Int(minute)), "{ms}");
            assert_eq!(number("weekday"), Some(Value::Int(weekday)), "{ms}");
        }
    }
}
