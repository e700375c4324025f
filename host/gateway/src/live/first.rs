//! The configuration to start with: what the file says or, where it cannot be used, the last good one.

use super::reload::Good;
use super::source::{Found, Seen, Source};
use crate::config::{Config, ConfigErrors, Input};
use crate::state::State;

/// See the module.
pub struct First {
    pub config: Config,
    /// What the file was when it was read.
    pub seen: Seen,
    /// What the configuration was made of; none where no file gave it.
    pub good: Option<Good>,
    /// Why the file is not in force.
    pub stale: Option<String>,
}

/// Reads the configuration, of this start or of an earlier one that is kept in `state`.
///
/// # Errors
/// What is wrong with the file, where no earlier one could be used instead.
pub fn first(source: &Source, state: &State) -> Result<First, ConfigErrors> {
    let found = source.find();
    let (errors, inputs) = match &found {
        Found::Text(text) => {
            let reading = source.parse(text);
            match reading.result {
                Ok(config) => {
                    let seen = Seen::new(&found, reading.inputs.clone());
                    let good = Good { text: text.clone(), inputs: reading.inputs };
                    return Ok(First { config, seen, good: Some(good), stale: None });
                }
                Err(errors) => (errors, reading.inputs),
            }
        }
        Found::Absent => (absent(source), Vec::new()),
        Found::Bad(errors) => (errors.clone(), Vec::new()),
    };
    let fresh = matches!(found, Found::Absent) && !source.is_named();
    match state.good_config().and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(text) => last_good(source, text, &found, errors, inputs),
        None if fresh => {
            Ok(First { config: source.defaults()?, seen: Seen::new(&found, inputs), good: None, stale: None })
        }
        None => Err(errors),
    }
}

fn absent(source: &Source) -> ConfigErrors {
    let file = source.path().display().to_string();
    ConfigErrors::of(file, "there is no such file; leave --config out to start without one".to_owned())
}

/// Serves what an earlier start has served, marked as stale.
fn last_good(
    source: &Source,
    text: String,
    found: &Found,
    mut errors: ConfigErrors,
    inputs: Vec<Input>,
) -> Result<First, ConfigErrors> {
    let reading = source.parse(&text);
    match reading.result {
        Ok(config) => {
            let path = source.path().display();
            let why = match found {
                Found::Absent => format!(
                    "{path}: the file is gone; put it back, or start afresh with an empty file or another --state"
                ),
                Found::Text(_) | Found::Bad(_) => errors.to_string(),
            };
            tracing::error!("the configuration cannot be used, the last good one serves:\n{why}");
            let good = Good { text, inputs: reading.inputs };
            Ok(First { config, seen: Seen::new(found, inputs), good: Some(good), stale: Some(why) })
        }
        Err(further) => {
            // The file is what the operator can mend; that there was no way round it comes after.
            errors.0.extend(further.0.into_iter().map(|mut error| {
                error.file = format!("the last good configuration ({})", error.file);
                error
            }));
            Err(errors)
        }
    }
}
