//! `usage-log`: writes one structured line for every finished call.
//!
//! It picks members out of the gateway's own document of the call, so there is never a text of a prompt or reply in a line. The line goes to
//! the gateway's log under this plugin's name; shipping it elsewhere is the log collector's business.

mod line;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use line::{Field, Format};
use serde_json::Value;
use sluice::{Fault, Finished, Level, OnComplete, Plugin};

#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Settings {
    format: Format,
    fields: Vec<String>,
    outcomes: Vec<String>,
}

/// What accounting asks for: when, who, what, how it ended, what it used.
const FIELDS: [&str; 14] = [
    "ts",
    "id",
    "key",
    "team",
    "user",
    "operation",
    "model",
    "provider",
    "upstream_model",
    "outcome",
    "status",
    "tokens",
    "us",
    "overhead_us",
];

const OUTCOMES: [&str; 8] =
    ["ok", "refused", "denied", "answered", "upstream-error", "truncated", "client-gone", "failed"];

impl Default for Settings {
    fn default() -> Self {
        Settings {
            format: Format::Json,
            fields: FIELDS.map(str::to_owned).to_vec(),
            outcomes: OUTCOMES.map(str::to_owned).to_vec(),
        }
    }
}

struct UsageLog {
    format: Format,
    fields: Vec<Field>,
    outcomes: Vec<String>,
}

impl Plugin for UsageLog {
    type Settings = Settings;
    const SCHEMA: &'static str = include_str!("../settings.schema.json");

    fn configure(settings: Settings) -> Result<Self, Fault> {
        let wrong = |text: String| Err(Fault::config(format!("settings.{text}")));
        if settings.fields.is_empty() || settings.fields.len() > 64 {
            return wrong("fields: give from 1 to 64, or leave it out".to_owned());
        }
        if let Some(at) = settings.fields.iter().position(|field| field.is_empty() || field.len() > 128) {
            return wrong(format!("fields[{at}]: is empty or longer than 128 bytes"));
        }
        if let Some(outcome) = settings.outcomes.iter().find(|outcome| !OUTCOMES.contains(&outcome.as_str())) {
            return wrong(format!("outcomes: `{outcome}` is none of {}", OUTCOMES.join(", ")));
        }
        let fields = settings.fields.iter().map(|field| Field::new(field)).collect();
        Ok(UsageLog { format: settings.format, fields, outcomes: settings.outcomes })
    }
}

impl UsageLog {
    /// The line for one call; `None` for an outcome that is not wanted.
    fn line(&self, document: &Finished) -> Result<Option<String>, Fault> {
        let call: Value = document.read()?;
        let wanted = call
            .get("outcome")
            .and_then(Value::as_str)
            .is_some_and(|outcome| self.outcomes.iter().any(|wanted| wanted == outcome));
        Ok(wanted.then(|| line::of(&call, &self.fields, self.format)))
    }
}

impl OnComplete for UsageLog {
    fn on_complete(&self, batch: &[Finished]) -> Result<(), Fault> {
        for document in batch {
            if let Some(line) = self.line(document)? {
                sluice::log(Level::Info, &line);
            }
        }
        Ok(())
    }
}

sluice::plugin!(UsageLog: on_complete);
