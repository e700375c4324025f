//! The part of the file that says when a provider's targets are left out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DurationText;

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Health {
    /// Whether targets are left out at all.
    pub(in crate::config) enabled: bool,
    /// Calls that must have failed one after the other, from 1 to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub(in crate::config) consecutive: u32,
    /// Or: more than this share of the calls in the window failed, in percent, from 1 to 99; or as many had their first token far later
    /// than usual.
    #[schemars(range(min = 1, max = 99))]
    pub(in crate::config) errors: u32,
    /// Calls that the window must have for that, from 1 to 100000.
    #[schemars(range(min = 1, max = 100_000))]
    pub(in crate::config) min: u32,
    /// How far back calls count, from 1s to 10m.
    pub(in crate::config) window: DurationText,
    /// How long a target is left out before one call tries it, from 10ms to 5m, and up to a fifth longer at random; doubles up to 5m as
    /// long as that call fails, or the target soon fails again.
    pub(in crate::config) eject: DurationText,
    /// How often the provider is asked for its list of models, from 1s, to learn early that it is down or back. Without it: never.
    pub(in crate::config) check: Option<DurationText>,
}

impl Default for Health {
    fn default() -> Self {
        Health {
            enabled: true,
            consecutive: 5,
            errors: 50,
            min: 10,
            window: DurationText::seconds(10),
            eject: DurationText::seconds(5),
            check: None,
        }
    }
}
