//! From what a call says to the targets that may serve it, by tiers. It reads the configuration as prepared at load, and parses nothing on
//! the way. Which target is next, and when, is `balance`'s and `decide`'s.

use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use sluice_dialect::failure::Failure;

use super::capability::Needs;
use super::health::{Target, Targets};
use super::names::{self, Route as Named};
use super::{Balance, Policy, Skipped};
use crate::app::Core;
use crate::config::Config;
use crate::governance::keys::Caller;
use crate::providers::Provider;

/// One target that may serve the call.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// An index into the core's providers, or [`Candidate::ECHO`].
    pub provider: usize,
    /// As the provider knows it; `None`: the body names none and goes as it is.
    pub model: Option<Arc<str>>,
    /// Beside the others of its tier; above 0.
    pub weight: f64,
    /// From 0; lower ones go first.
    pub tier: usize,
    pub live: Arc<Target>,
}

impl Candidate {
    /// The demo provider, which is none of the configured ones.
    pub const ECHO: usize = usize::MAX;
}

/// What a call may be served by.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The named route that the call goes by.
    pub route: Option<Arc<str>>,
    /// Which of the route's rules decided, from 0.
    pub rule: Option<usize>,
    /// In the order of their tiers; never empty.
    pub candidates: Vec<Candidate>,
    pub balance: Balance,
    pub policy: Policy,
    /// Calls of one session should stay with one target.
    pub affinity: bool,
    /// What was left out.
    pub skipped: Vec<Skipped>,
}

impl Plan {
    /// For a call that names no model: that provider alone.
    pub fn of_provider(at: usize, provider: &Provider) -> Plan {
        let live = Arc::clone(provider.live(None));
        Plan {
            route: None,
            rule: None,
            candidates: vec![Candidate { provider: at, model: None, weight: 1.0, tier: 0, live }],
            balance: Balance::default(),
            policy: Policy::default(),
            affinity: false,
            skipped: Vec::new(),
        }
    }
}

/// What a call says of itself.
pub struct Wish<'a> {
    /// The provider named by the path, if any.
    pub prefix: Option<&'static str>,
    pub model: Option<&'a str>,
    /// Further targets that the client named, in order: each is one more tier.
    pub fallbacks: &'a [String],
    pub operation: &'static str,
    pub caller: Option<&'a Caller>,
    pub headers: &'a HeaderMap,
    pub streamed: bool,
    pub now: SystemTime,
    /// Only asked where something depends on it, and then once.
    pub needs: &'a dyn Fn() -> Needs,
}

/// What names may lead to, prepared once from one configuration.
pub struct Routes {
    echo: Arc<Target>,
}

impl Routes {
    pub fn new(_: &Config, _: &[Provider], targets: &Targets) -> Routes {
        Routes { echo: targets.of("echo/*") }
    }
}

/// The targets for a call.
///
/// # Errors
/// A 404 with near names for a name that leads nowhere, a 400 for none where one is needed.
pub fn plan(core: &Core, wish: &Wish<'_>) -> Result<Plan, Failure> {
    let mut candidates = vec![candidate(core, names::resolve(core, wish.prefix, wish.model)?, 0)];
    for (at, fallback) in wish.fallbacks.iter().enumerate() {
        candidates.push(candidate(core, names::resolve(core, None, Some(fallback))?, at + 1));
    }
    Ok(Plan {
        route: None,
        rule: None,
        candidates,
        balance: Balance::default(),
        policy: Policy::default(),
        affinity: false,
        skipped: Vec::new(),
    })
}

fn candidate(core: &Core, named: Named, tier: usize) -> Candidate {
    let (provider, model) = match named {
        Named::Provider { at, model } => (at, model),
        Named::Echo => (Candidate::ECHO, None),
    };
    let live = match core.providers.get(provider) {
        Some(provider) => Arc::clone(provider.live(model.as_deref())),
        None => Arc::clone(&core.routes.echo),
    };
    Candidate { provider, model: model.map(Arc::from), weight: 1.0, tier, live }
}
