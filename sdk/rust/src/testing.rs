//! A fake call, so that a plugin is tested by `cargo test` with nothing running.
//!
//! It refuses what the gateway refuses: a piece that is not there, a place that is not there, a header without `x-`, an edit in the wrong
//! hook. It also rolls edits back where a hook fails, and holds streamed text back as the gateway does. It is not the gateway: it knows
//! the canonical form only, keeps no deadlines, and takes a panic for a test that fails.
//!
//! ```
//! # use sluice_sdk::{*, testing::{self, FakeCall}};
//! # struct Guard;
//! # impl Plugin for Guard {
//! #     type Settings = NoSettings;
//! #     fn configure(_: NoSettings) -> Result<Self, Fault> { Ok(Guard) }
//! # }
//! # impl OnRequest for Guard {
//! #     fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault> {
//! #         let refuse = call.last_user_text().is_some_and(|text| text.contains("codename"));
//! #         Ok(if refuse { Denial::new("content_filter", "No.").into() } else { RequestVerdict::Pass })
//! #     }
//! # }
//! let guard: Guard = testing::configure("{}").unwrap();
//! let mut call = FakeCall::asking("tell me the codename");
//! assert!(matches!(call.on_request(&guard), Ok(RequestVerdict::Deny(_))));
//! ```

mod document;
mod fake;
pub(crate) mod keys;
mod state;
mod stream;
mod targets;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests;

pub use fake::FakeCall;
pub use keys::{advance, grant_kv, kept, set_now_ms};
pub(crate) use state::Backend;
pub use stream::{End, Outcome, Stream};
pub use targets::FakeTarget;

use crate::finished::Finished;
use crate::plugin::{OnComplete, OnDelta, Package, Plugin, manifest};
use crate::types::{Fault, Level};
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeMap;

thread_local! {
    static LOGS: RefCell<Vec<(Level, String)>> = const { RefCell::new(Vec::new()) };
    static COUNTS: RefCell<BTreeMap<String, u64>> = const { RefCell::new(BTreeMap::new()) };
}

/// At most this many log lines are kept, as many as the gateway takes from one hook.
const MAX_LOGS: usize = 64;

pub(crate) fn record_log(level: Level, message: &str) {
    LOGS.with_borrow_mut(|logs| {
        if logs.len() < MAX_LOGS {
            logs.push((level, message.chars().take(4096).collect()));
        }
    });
}

pub(crate) fn record_count(name: &str, by: u64) {
    COUNTS.with_borrow_mut(|counts| {
        if counts.len() < 32 || counts.contains_key(name) {
            *counts.entry(name.to_owned()).or_default() += by;
        }
    });
}

/// The log lines written on this thread since the last look.
pub fn logs() -> Vec<(Level, String)> {
    LOGS.take()
}

/// The counters of this thread, since its start.
pub fn counts() -> BTreeMap<String, u64> {
    COUNTS.with_borrow(Clone::clone)
}

/// Makes a plugin from settings as the gateway does: reads the schema, then the settings, then calls `configure`.
///
/// # Errors
/// What `configure` answered, or which field is wrong, or what is wrong with the schema.
pub fn configure<P: Plugin>(settings: &str) -> Result<P, Fault> {
    let package = Package { name: "plugin", version: "0.0.0", description: "" };
    let manifest: Value = serde_json::from_str(&manifest::<P>(package))
        .map_err(|error| Fault::config(format!("the schema is not JSON: {error}")))?;
    let schema = manifest.get("settings");
    if schema.is_some_and(|schema| !schema.is_object()) {
        return Err(Fault::config("the schema is not a JSON object"));
    }
    let given: Value = serde_json::from_str(if settings.trim().is_empty() { "{}" } else { settings })
        .map_err(|error| Fault::config(format!("the settings are not JSON: {error}")))?;
    let required = schema.and_then(|schema| schema.get("required")).and_then(Value::as_array);
    for field in required.into_iter().flatten().filter_map(Value::as_str) {
        if given.get(field).is_none() {
            return Err(Fault::config(format!("settings: missing field `{field}`")));
        }
    }
    let settings = crate::settings::parse(settings)?;
    keys::configuring(|| P::configure(settings))
}

/// Hands finished calls over, as the documents that the gateway would write.
///
/// # Errors
/// The plugin's fault.
pub fn complete<P: OnComplete>(plugin: &P, documents: &[Value]) -> Result<(), Fault> {
    let batch: Vec<Finished> = documents.iter().map(|document| Finished::new(document.to_string())).collect();
    plugin.on_complete(&batch)
}

/// Streams these chunks of one text through the plugin and says what the client reads; see [`Stream`] for more.
pub fn stream<P: OnDelta>(plugin: &P, chunks: &[&str]) -> Outcome {
    Stream::new().run(plugin, chunks)
}
