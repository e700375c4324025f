//! Targets and providers' keys for operators: how they stand, what is wrong with them, their metrics, and draining. Names only, no secrets.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};
use sluice_dialect::failure::{Blame, Failure};

use crate::app::Core;
use crate::config;
use crate::observe::targets::Seen;
use crate::routing::health::{Standing, Target};

/// The shortest and the longest that an operator may keep calls from a target.
const LASTING: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(86_400));

/// Names in an answer to a name that is none.
const NEAR: usize = 20;

/// The targets that the configuration names, by name.
pub fn all(core: &Core) -> Vec<Arc<Target>> {
    let mut all: Vec<_> = core.providers.iter().flat_map(|provider| provider.targets().cloned()).collect();
    all.sort_by(|one, other| one.name.cmp(&other.name));
    all
}

/// `GET /api/targets`.
pub fn document(core: &Core, now: Instant) -> Value {
    let targets: Vec<Value> = all(core).iter().map(|target| target.describe(now)).collect();
    let providers: Vec<Value> = core
        .providers
        .iter()
        .map(|provider| {
            json!({ "name": &*provider.name, "keys": provider.keys_described(now), "limits": provider.limit_described() })
        })
        .collect();
    json!({ "targets": targets, "providers": providers, "problems": troubles(core, now) })
}

/// The keys of all providers: provider, key, and how it stands.
fn keys(core: &Core, now: Instant) -> Vec<(&str, String, Value)> {
    let of = |described: Value| match described {
        Value::Array(keys) => keys,
        _ => Vec::new(),
    };
    let named = |key: Value| (key["name"].as_str().unwrap_or_default().to_owned(), key);
    core.providers
        .iter()
        .flat_map(|provider| {
            let keys = of(provider.keys_described(now)).into_iter().map(named);
            keys.map(|(name, key)| (&*provider.name, name, key))
        })
        .collect()
}

/// What an operator should know, one text each: targets that get no calls, and keys that are out. A key that cools down is none: it comes
/// back by itself, and others serve meanwhile.
pub fn troubles(core: &Core, now: Instant) -> Vec<String> {
    let mut out = Vec::new();
    for target in all(core) {
        let name = &target.name;
        let why = || target.reason().unwrap_or_default();
        match target.standing(now) {
            Standing::Ready => {}
            Standing::Probe => out.push(format!("target {name} was ejected and is to be tried again: {}", why())),
            Standing::Ejected { left } => {
                out.push(format!("target {name} is ejected for {}: {}", seconds(left), why()));
            }
            Standing::Drained { left } => {
                out.push(format!("target {name} is drained by an operator for {}", seconds(left)));
            }
        }
    }
    for (provider, name, key) in keys(core, now) {
        let why = key["why"].as_str().unwrap_or("it is not used");
        match key["state"].as_str() {
            Some("out") => out.push(format!("key {name} of {provider} is out: {why}")),
            Some("probe") if why != "rate-limited" => {
                out.push(format!("key {name} of {provider} was out and is to be tried again: {why}"));
            }
            _ => {}
        }
        for model in key["models"].as_array().into_iter().flatten().filter(|model| model["state"] == "out") {
            let (name_of_model, why) = (model["model"].as_str(), model["why"].as_str());
            let (model, why) = (name_of_model.unwrap_or_default(), why.unwrap_or_default());
            out.push(format!("key {name} of {provider} is out for {model}: {why}"));
        }
    }
    out
}

/// A time as it stands in a sentence.
pub fn seconds(left: Duration) -> String {
    match left.as_secs_f64().ceil() as u64 {
        seconds @ 0..120 => format!("{seconds} s"),
        seconds => format!("{} min", seconds.div_ceil(60)),
    }
}

/// The page of metrics, with what targets and keys are like now.
pub fn metrics(core: &Core, now: Instant) -> Vec<u8> {
    let all = all(core);
    let targets = all.iter().map(|target| Seen {
        target: &target.name,
        up: matches!(target.standing(now), Standing::Ready | Standing::Probe),
        in_flight: target.in_flight(),
        first_token: target.first_token(),
    });
    let keys = keys(core, now);
    let keys = keys.into_iter().map(|(provider, name, key)| (provider, name, is_up(&key)));
    core.metrics.targets.show(targets, keys, || core.metrics.render())
}

fn is_up(key: &Value) -> bool {
    matches!(key["state"].as_str(), Some("ready" | "probe"))
}

/// What `POST /api/drain` is asked.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    target: String,
    #[serde(default, rename = "for")]
    lasting: Option<String>,
    #[serde(default)]
    undo: bool,
}

/// `POST /api/drain`: keeps calls from a target, or ends that.
///
/// # Errors
/// 400 for a question that is none, 404 for a target that the configuration does not name.
pub fn drain(core: &Core, body: &[u8], now: Instant) -> Result<Value, Failure> {
    let wanted: Wanted = serde_json::from_slice(body).map_err(|error| {
        invalid(format!(
            "Send {{\"target\": \"PROVIDER/MODEL\", \"for\": \"30m\"}}, or \"undo\": true for `for`: {error}."
        ))
    })?;
    let lasting = match (&wanted.lasting, wanted.undo) {
        (None, true) => None,
        (Some(text), false) => Some(lasting(text)?),
        _ => return Err(invalid("Say either `for`, with a time such as 30m, or `undo`.".to_owned())),
    };
    let meant = meant(core, &wanted.target)?;
    for target in &meant {
        target.drain(lasting);
        match lasting {
            Some(lasting) => {
                tracing::warn!(
                    target_name = &*target.name,
                    "drained by an operator for {}",
                    config::show_duration(lasting)
                );
            }
            None => tracing::warn!(target_name = &*target.name, "an operator ended its drain"),
        }
    }
    Ok(json!({ "targets": meant.iter().map(|target| target.describe(now)).collect::<Vec<_>>() }))
}

fn lasting(text: &str) -> Result<Duration, Failure> {
    let lasting = config::duration(text).map_err(|why| invalid(format!("`for`: {why}.")))?;
    let (least, most) = LASTING;
    if (least..=most).contains(&lasting) {
        Ok(lasting)
    } else {
        Err(invalid(format!("`for` is {text}: say a time from 1s to 24h.")))
    }
}

/// The targets of that name: one, or all of a provider.
fn meant(core: &Core, name: &str) -> Result<Vec<Arc<Target>>, Failure> {
    let all = all(core);
    let of_provider = core.providers.iter().any(|provider| *provider.name == *name);
    let meant = |target: &&Arc<Target>| {
        let provider = target.name.split_once('/').map(|(provider, _)| provider);
        if of_provider { provider == Some(name) } else { *target.name == *name }
    };
    let found: Vec<_> = all.iter().filter(meant).cloned().collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let known: Vec<&str> = all.iter().take(NEAR).map(|target| &*target.name).collect();
    let more = if all.len() > NEAR { ", and more: GET /api/targets" } else { "" };
    let shown: String = name.chars().take(200).collect();
    let message = format!(
        "There is no target `{shown}`. A provider's name means all of its targets; they are: {}{more}.",
        known.join(", ")
    );
    Err(Failure::new(Blame::Client, 404, "invalid_request_error", "target_not_found", message))
}

fn invalid(message: String) -> Failure {
    Failure::invalid("invalid_question", message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up() {
        for (millis, text) in [(0, "0 s"), (1, "1 s"), (119_000, "119 s"), (119_001, "2 min"), (1_795_000, "30 min")] {
            assert_eq!(seconds(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn a_drain_has_bounds() {
        assert_eq!(lasting("30m").unwrap(), Duration::from_secs(1800));
        for wrong in ["", "soon", "0s", "500ms", "25h", "1d"] {
            assert_eq!(lasting(wrong).unwrap_err().status, 400, "{wrong}");
        }
    }
}
