//! The part of the file that says which targets a named route leads to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DurationText, Named, OneOrMany};

/// One route, which clients name as their `model`.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Route {
    /// The targets (`PROVIDER/MODEL`, or an alias), in tiers: a later tier serves while none of the earlier can. A tier is one target, a list
    /// of targets of equal weight, or a mapping of targets and their weights, above 0. May be left out where every call fits a rule.
    pub(in crate::config) tiers: Option<Tiers>,
    /// How one of a tier's targets is chosen.
    pub(in crate::config) balance: Balance,
    /// Whether calls of one session stay with one target as long as it is usable, so that its prompt cache keeps hitting.
    pub(in crate::config) affinity: bool,
    /// Targets of certain providers only, whatever tier or rule names them; each value is a pattern or a list of patterns, in which `*` stands for any text.
    pub(in crate::config) require: Require,
    /// How often and for how long a call is tried.
    pub(in crate::config) retry: Retry,
    /// The first rule whose `when` fits decides which targets are used in place of `tiers`.
    pub(in crate::config) rules: Vec<Rule>,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Require {
    /// Labels of the provider, by name. `label.region: eu` says the same as `label: { region: eu }`.
    #[schemars(extend("x-dotted" = true))]
    pub(in crate::config) label: Named<OneOrMany<String>>,
}

/// The forms in which tiers are written.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Tiers {
    One(String),
    Many(Vec<Tier>),
    Weighted(Named<f64>),
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(in crate::config) enum Tier {
    One(String),
    Equal(Vec<String>),
    Weighted(Named<f64>),
}

#[derive(Clone, Copy, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Balance {
    /// By weight.
    #[default]
    Weighted,
    /// The one with the fewest calls in flight for its weight.
    LeastInFlight,
    /// The better of two random ones by the time to the first token.
    Fastest,
    /// The one with the lowest price for the call; targets without a known price come last.
    Cheapest,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Retry {
    /// Attempts of the whole call, fallbacks and other keys included, from 1 to 10.
    #[schemars(range(min = 1, max = 10))]
    pub(in crate::config) attempts: u32,
    /// Time for the whole call until its first content. Without it: twice what the first target may take for its first token.
    pub(in crate::config) deadline: Option<DurationText>,
    /// The first wait before the same target is tried again; doubled each time, and shortened at random.
    pub(in crate::config) backoff: DurationText,
    /// Repeats that a provider may get, as a share of its calls, from 0 to 1.
    #[schemars(range(min = 0, max = 1))]
    pub(in crate::config) budget: f64,
    /// Whether calls that are no conversation (files, batches, images) are repeated after a provider has taken their bytes.
    pub(in crate::config) repeat_unsafe: bool,
}

impl Default for Retry {
    fn default() -> Self {
        let policy = crate::routing::Policy::default();
        Retry {
            attempts: policy.attempts,
            deadline: None,
            backoff: DurationText(policy.backoff),
            budget: policy.budget,
            repeat_unsafe: policy.repeat_unsafe,
        }
    }
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Rule {
    /// The calls that it is for: everything given must fit. Without it: every call.
    pub(in crate::config) when: When,
    /// What serves them: targets as in `tiers`, or the name of another route, which goes by its own rules and settings.
    #[serde(rename = "use")]
    #[schemars(extend("x-required" = true))]
    pub(in crate::config) using: Option<Tiers>,
}

/// Each text is a pattern or a list of patterns, in which `*` stands for any text; one of a list is enough.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct When {
    /// What the call asks for, as in a plugin's `match`: `chat`, `embeddings`, `count-tokens`.
    pub(in crate::config) operation: Option<OneOrMany<String>>,
    /// The model as the client wrote it: the route's name or an alias of it.
    pub(in crate::config) model: Option<OneOrMany<String>>,
    /// The name of the caller's virtual key. An anonymous call does not fit, not even `*`.
    pub(in crate::config) key: Option<OneOrMany<String>>,
    /// The team of the caller's key.
    pub(in crate::config) team: Option<OneOrMany<String>>,
    /// Labels of the caller's key, by name. `label.region: eu` says the same as `label: { region: eu }`.
    #[schemars(extend("x-dotted" = true))]
    pub(in crate::config) label: Named<OneOrMany<String>>,
    /// The client's request headers, by name; `*` fits any that is sent. `header.x-app: a` says the same as `header: { x-app: a }`.
    #[schemars(extend("x-dotted" = true))]
    pub(in crate::config) header: Named<OneOrMany<String>>,
    /// Whether the client asked for a stream.
    pub(in crate::config) stream: Option<bool>,
    /// The estimated tokens of the prompt: `">8k"`, `">=8000"`, `"<2k"` or `"<=2000"`.
    pub(in crate::config) tokens: Option<String>,
    /// The time of day: `"22:00-06:00"`. A span over midnight belongs to the day on which it begins.
    pub(in crate::config) time: Option<String>,
    /// Days of the week: `mon`, `tue`, `wed`, `thu`, `fri`, `sat`, `sun`.
    pub(in crate::config) days: Option<OneOrMany<String>>,
    /// What `time` and `days` are counted in, as an offset from UTC: `UTC`, `"+02:00"`, `"-05:30"`. Without it: UTC.
    pub(in crate::config) zone: Option<String>,
}
