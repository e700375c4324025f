//! Runs `on-route`: once a call that goes to a provider, in rising order, after `on-request` and before the first attempt.
//!
//! The first plugin that orders the targets decides, and the ones behind it are not asked. It chooses among what the plan offers and
//! nothing else: which targets there are, what the caller may use and what is tried next are `routing`'s and the pipeline's.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sluice_dialect::failure::{Blame, Failure};
use sluice_sandbox::{Hook, RouteVerdict, Targets};

use super::outcome::{denied, failed};
use super::request::unwrap;
use super::run;
use super::view::CallState;
use crate::observe::record::Record;
use crate::plugins::chain::Chain;
use crate::providers::catalog::Model;

/// What a plugin is told of one target, as it is when the call is routed.
#[derive(Clone, Debug)]
pub struct Offered {
    /// `provider/model`, or the provider alone where the call names no model.
    pub name: String,
    /// The provider's.
    pub labels: Arc<BTreeMap<String, String>>,
    /// Neither ejected nor drained.
    pub healthy: bool,
    /// Calls in flight.
    pub in_flight: u32,
    /// Moving averages; none before the first call has ended.
    pub first_token: Option<Duration>,
    pub tokens_per_second: Option<f64>,
    /// From 0 to 1.
    pub error_rate: Option<f64>,
    pub weight: f64,
    /// What is known of the model; `None` is taken for one that can everything.
    pub known: Option<Model>,
    /// Tokens of the call's prompt, for this target.
    pub estimated_tokens: u64,
}

/// What a plugin decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// Places among those offered, first choice first, none twice, never empty. What is not in it is not to be tried.
    pub order: Vec<usize>,
    /// For operators: at most 256 bytes without control characters.
    pub reason: String,
    /// Whose decision it is.
    pub plugin: Arc<str>,
}

/// The targets offered to the plugins of one call.
pub struct Offers(Arc<[Offered]>);

/// Runs the chain's `on-route` hooks on a call; `None` leaves the route's own order.
///
/// # Errors
/// A plugin refused the call, left no target for it, or failed and is `on_error: closed`.
pub async fn run(
    chain: &Chain,
    mut state: Box<CallState>,
    offered: Arc<[Offered]>,
    record: &mut Record,
) -> (Box<CallState>, Result<Option<Chosen>, Failure>) {
    let mut decided = Ok(None);
    state.targets = Some(Offers(offered));
    for entry in chain.entries.iter().filter(|entry| entry.has(Hook::OnRoute)) {
        state.begin(entry, Hook::OnRoute);
        let ran = run::hook(&entry.breaker, state, |view| entry.plugin.on_route(view)).await;
        state = unwrap(ran.view);
        entry.ran(Hook::OnRoute, ran.spent);
        let word = match &ran.result {
            Ok(RouteVerdict::Pass) => "pass",
            Ok(RouteVerdict::Order { .. }) => "order",
            Ok(RouteVerdict::Deny(_)) => "deny",
            Err(error) => error.kind.as_str(),
        };
        record.stamp(&entry.name, &entry.digest, Hook::OnRoute, word, ran.spent);
        match ran.result {
            Ok(verdict) => {
                state.commit();
                decided = match verdict {
                    RouteVerdict::Pass => continue,
                    RouteVerdict::Deny(denial) => Err(denied(denial)),
                    RouteVerdict::Order { targets, reason } if targets.is_empty() => Err(none(&entry.name, &reason)),
                    RouteVerdict::Order { targets: order, reason } => {
                        Ok(Some(Chosen { order, reason, plugin: Arc::clone(&entry.name) }))
                    }
                };
                break;
            }
            Err(error) => {
                state.roll_back();
                if let Err(failure) = failed(entry, Hook::OnRoute, &error) {
                    decided = Err(failure);
                    break;
                }
            }
        }
    }
    state.targets = None;
    (state, decided)
}

/// A plugin let none of the targets serve the call.
fn none(plugin: &str, reason: &str) -> Failure {
    let message =
        format!("The routing policy `{plugin}` lets no model serve this call now; ask for another one, or try later.");
    let mut failure = Failure::new(Blame::Plugin, 503, "server_error", "no_route", message);
    let reason = if reason.is_empty() { "it gave no reason" } else { reason };
    failure.detail = format!("plugin {plugin} left no target: {reason}");
    failure
}

/// Nano-dollars as dollars; the plugin interface has no integer as wide.
fn dollars(nanos: u64) -> f64 {
    nanos as f64 / 1e9
}

impl Offers {
    fn at(&self, target: u32) -> Option<&Offered> {
        self.0.get(target as usize)
    }
}

impl Targets for Offers {
    fn count(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    fn name(&self, target: u32) -> String {
        self.at(target).map(|offered| offered.name.clone()).unwrap_or_default()
    }

    fn number(&self, target: u32, field: &str) -> Option<f64> {
        let offered = self.at(target)?;
        let known = || offered.known.as_ref();
        match field {
            "weight" => Some(offered.weight),
            "in-flight" => Some(f64::from(offered.in_flight)),
            "first-byte-ms" => offered.first_token.map(|first| first.as_secs_f64() * 1e3),
            "tokens-per-second" => offered.tokens_per_second,
            "error-rate" => offered.error_rate,
            "input-price" => known()?.price.input.map(dollars),
            "output-price" => known()?.price.output.map(dollars),
            "context-window" => known()?.window.map(|tokens| tokens as f64),
            "max-output" => known()?.output.map(|tokens| tokens as f64),
            "estimated-tokens" => Some(offered.estimated_tokens as f64),
            _ => None,
        }
    }

    fn label(&self, target: u32, name: &str) -> Option<String> {
        self.at(target)?.labels.get(name).cloned()
    }

    fn has(&self, target: u32, capability: &str) -> bool {
        let Some(offered) = self.at(target) else { return false };
        let known = |has: fn(&Model) -> bool| offered.known.as_ref().is_none_or(has);
        match capability {
            "healthy" => offered.healthy,
            "tools" => known(|model| model.tools),
            "vision" => known(|model| model.vision),
            "json-schema" => known(|model| model.schema),
            "reasoning" => known(|model| model.reasoning),
            _ => false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::providers::catalog;

    fn offered(name: &str, known: Option<Model>) -> Offered {
        Offered {
            name: name.to_owned(),
            labels: Arc::new(BTreeMap::from([("region".to_owned(), "eu".to_owned())])),
            healthy: false,
            in_flight: 3,
            first_token: Some(Duration::from_millis(250)),
            tokens_per_second: None,
            error_rate: Some(0.25),
            weight: 2.0,
            known,
            estimated_tokens: 9_000,
        }
    }

    #[test]
    fn numbers_are_what_is_known() {
        let known = catalog::find("openai", "gpt-4o").unwrap().clone();
        let offers = Offers([offered("openai/gpt-4o", Some(known)), offered("local/new", None)].into());
        assert_eq!((offers.count(), offers.name(1).as_str()), (2, "local/new"));
        for (field, first, second) in [
            ("weight", Some(2.0), Some(2.0)),
            ("in-flight", Some(3.0), Some(3.0)),
            ("first-byte-ms", Some(250.0), Some(250.0)),
            ("tokens-per-second", None, None),
            ("error-rate", Some(0.25), Some(0.25)),
            ("input-price", Some(2.5), None),
            ("output-price", Some(10.0), None),
            ("context-window", Some(128_000.0), None),
            ("max-output", Some(16_384.0), None),
            ("estimated-tokens", Some(9_000.0), Some(9_000.0)),
            ("no-such-number", None, None),
        ] {
            assert_eq!((offers.number(0, field), offers.number(1, field)), (first, second), "{field}");
        }
        assert_eq!(offers.label(0, "region").as_deref(), Some("eu"));
        assert_eq!((offers.label(0, "zone"), offers.number(2, "weight"), offers.has(2, "tools")), (None, None, false));
    }

    #[test]
    fn a_model_of_which_nothing_is_known_has_every_capability() {
        let plain = Model { tools: true, ..Model::default() };
        let offers = Offers([offered("a/plain", Some(plain)), offered("b/new", None)].into());
        for (capability, first, second) in [
            ("tools", true, true),
            ("vision", false, true),
            ("json-schema", false, true),
            ("reasoning", false, true),
            ("healthy", false, false),
            ("telepathy", false, false),
        ] {
            assert_eq!((offers.has(0, capability), offers.has(1, capability)), (first, second), "{capability}");
        }
    }

    #[test]
    fn no_target_left_says_so_to_the_client_and_why_to_the_operator() {
        let failure = none("eu-only", "no target in eu");
        assert_eq!((failure.status, failure.code.as_deref()), (503, Some("no_route")));
        assert!(failure.message.contains("eu-only") && !failure.message.contains("no target in eu"));
        assert!(failure.detail.contains("no target in eu"));
    }
}
