//! What is known of every plugin file, for `/api/plugins`, `/health` and the log.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};
use sluice_sandbox::Hook;

use super::chain::Entry;
use super::probation::{self, Standing};
use crate::config::{OnError, Streams};

/// Where a plugin stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// In the chain, from the file as it is.
    Active,
    /// In the chain with its last good version: the file or its settings are bad, or the version in the file was taken back.
    Stale,
    /// Not in the chain: the file is bad and there is no earlier version.
    Failed,
    /// Not in the chain: its manifest requires settings that nobody gave.
    Waiting,
    /// Not in the chain: `enabled: false`.
    Disabled,
    /// Named by the configuration, without a file.
    Missing,
}

impl State {
    pub fn as_str(self) -> &'static str {
        match self {
            State::Active => "active",
            State::Stale => "stale",
            State::Failed => "failed",
            State::Waiting => "waiting",
            State::Disabled => "disabled",
            State::Missing => "missing",
        }
    }
}

#[derive(Clone)]
pub struct Status {
    pub state: State,
    pub entry: Option<Arc<Entry>>,
    /// The generation in which this version went live.
    pub since: u64,
    /// Why the file is not live; stays until a good one arrives.
    pub error: Option<String>,
}

pub type Table = BTreeMap<String, Status>;

/// The document of `GET /api/plugins`.
pub fn render(generation: u64, table: &Table, missing: &[String]) -> Value {
    let plugins: Vec<Value> = table.iter().map(|(name, status)| one(name, status)).collect();
    json!({ "generation": generation, "required_missing": missing, "plugins": plugins })
}

fn one(name: &str, status: &Status) -> Value {
    let mut out = json!({
        "name": name,
        "state": status.state.as_str(),
        "generation": status.since,
        "error": status.error,
    });
    let (Some(entry), Some(map)) = (&status.entry, out.as_object_mut()) else { return out };
    let manifest = entry.plugin.manifest();
    let component = entry.plugin.component();
    map.insert("version".into(), json!(manifest.version));
    map.insert("description".into(), json!(manifest.description));
    map.insert("digest".into(), json!(component.digest()));
    map.insert("size".into(), json!(component.size()));
    map.insert("order".into(), json!(entry.order));
    map.insert("hooks".into(), json!(entry.hooks().iter().map(Hook::as_str).collect::<Vec<_>>()));
    map.insert("on_error".into(), json!(if entry.on_error == OnError::Closed { "closed" } else { "open" }));
    let whole_only = entry.has(Hook::OnResponse) && !entry.has(Hook::OnDelta);
    map.insert(
        "streams".into(),
        json!(match (whole_only, entry.streams) {
            (false, _) => None,
            (true, Streams::Hold) => Some("hold"),
            (true, Streams::Skip) => Some("skip"),
            (true, Streams::Refuse) => Some("refuse"),
        }),
    );
    map.insert(
        "probation".into(),
        match entry.probation.standing() {
            Standing::Counting(hooks, failed) => json!({ "hooks": hooks, "failed": failed, "of": probation::HOOKS }),
            _ => Value::Null,
        },
    );
    map.insert("breaker".into(), json!(entry.breaker.position().as_str()));
    map.insert("finish_breaker".into(), json!(entry.finish_breaker.position().as_str()));
    map.insert("conditional".into(), json!(entry.matching.is_some()));
    map.insert("counters".into(), entry.metrics.render());
    out
}
