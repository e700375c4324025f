//! From what a call says to the targets that may serve it, by tiers. It reads the configuration as prepared at load, and parses nothing on
//! the way. Which target is next, and when, is `balance`'s and `decide`'s.

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::SystemTime;

use http::HeaderMap;
use sluice_dialect::failure::{Blame, Failure};

use super::capability::{Lack, Needs};
use super::health::Target;
use super::names::{self, Route as Named};
use super::routes::{Choice, Use};
use super::{Balance, Policy, Skipped, capability, rules};
use crate::app::Core;
use crate::governance::caller::Caller;
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
    /// The plan of a call that names no model: the provider alone.
    pub fn of_provider(at: usize, provider: &Provider) -> Plan {
        let live = Arc::clone(provider.live(None));
        Plan::of(vec![Candidate { provider: at, model: None, weight: 1.0, tier: 0, live }])
    }

    /// The call's session, where a target or a key is kept for it; found out by `find` only then.
    pub fn session(&self, core: &Core, find: impl FnOnce() -> Option<u64>) -> Option<u64> {
        let keeps =
            |candidate: &Candidate| core.providers.get(candidate.provider).is_some_and(Provider::keeps_sessions);
        if self.affinity || self.candidates.iter().any(keeps) { find() } else { None }
    }

    /// What no route says otherwise.
    fn of(candidates: Vec<Candidate>) -> Plan {
        Plan {
            route: None,
            rule: None,
            candidates,
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

/// The targets for a call.
///
/// # Errors
/// A 404 with near names for a name that leads nowhere, and a 400 for none where one is needed, for a call that no rule of a route is for,
/// and for one that no target can serve, with the reasons.
pub fn plan(core: &Core, wish: &Wish<'_>) -> Result<Plan, Failure> {
    let route = wish.model.and_then(|model| core.routes.find(core, wish.prefix, model));
    if route.is_none() && wish.fallbacks.is_empty() {
        let named = names::resolve(core, wish.prefix, wish.model)?;
        return Ok(Plan::of(vec![candidate(core, named, 0)]));
    }
    let needs = OnceCell::new();
    let needs = || *needs.get_or_init(|| (wish.needs)());
    let mut draft = Draft { core, plan: Plan::of(Vec::new()), known: Vec::new(), tiers: 0 };
    match route {
        Some(at) => draft.follow(at, wish, &needs)?,
        None => draft.add(candidate(core, names::resolve(core, wish.prefix, wish.model)?, 0)),
    }
    for fallback in wish.fallbacks {
        match core.routes.find(core, None, fallback) {
            // Its targets, and none of its settings: those are the first name's.
            Some(at) => {
                let mut other = Draft { core, plan: Plan::of(Vec::new()), known: Vec::new(), tiers: draft.tiers };
                other.follow(at, &Wish { model: Some(fallback), ..*wish }, &needs)?;
                draft.plan.skipped.append(&mut other.plan.skipped);
                for candidate in other.plan.candidates {
                    draft.add(candidate);
                }
                draft.tiers = other.tiers;
            }
            None => {
                let tier = draft.tiers;
                draft.add(candidate(core, names::resolve(core, None, Some(fallback))?, tier));
            }
        }
    }
    draft.able(wish.operation, &needs)
}

/// A plan in the making.
struct Draft<'a> {
    core: &'a Core,
    plan: Plan,
    /// What is known of each candidate's model, for those of routes.
    known: Vec<Option<&'a Choice>>,
    /// How many there are.
    tiers: usize,
}

impl<'a> Draft<'a> {
    /// Adds the targets of a route, by the first of its rules that fits.
    fn follow(&mut self, mut at: usize, wish: &Wish<'_>, needs: &dyn Fn() -> Needs) -> Result<(), Failure> {
        let core = self.core;
        let mut passed = Vec::new();
        loop {
            let Some(route) = core.routes.get(at) else { return Err(gone()) };
            let rule = route.rules.iter().position(|(when, _)| rules::fits(when, wish, needs));
            if passed.is_empty() {
                self.plan.route = Some(Arc::clone(&route.name));
                self.plan.rule = rule;
            }
            let tiers = match rule.and_then(|rule| route.rules.get(rule)) {
                Some((_, Use::Route(next))) => {
                    passed.push(route);
                    at = *next;
                    continue;
                }
                Some((_, Use::Tiers(choices))) => choices,
                None if route.choices.is_empty() => return Err(no_rule(&route.name)),
                None => &route.choices,
            };
            (self.plan.balance, self.plan.policy, self.plan.affinity) = (route.balance, route.policy, route.affinity);
            let base = self.tiers;
            self.plan.candidates.reserve(tiers.len());
            self.known.reserve(tiers.len());
            for choice in tiers {
                let outer = || passed.iter().find_map(|route| route.refuses(core, choice.candidate.provider));
                if let Some(reason) = choice.refused.clone().or_else(outer) {
                    self.plan.skipped.push(Skipped { target: Arc::clone(&choice.name), reason });
                    continue;
                }
                let mut candidate = choice.candidate.clone();
                candidate.tier += base;
                self.tiers = self.tiers.max(candidate.tier + 1);
                self.plan.candidates.push(candidate);
                self.known.push(Some(choice));
            }
            return Ok(());
        }
    }

    /// Adds one target as a tier of its own, unless it is there already.
    fn add(&mut self, candidate: Candidate) {
        let same = |known: &Candidate| known.provider == candidate.provider && known.model == candidate.model;
        if !self.plan.candidates.iter().any(same) {
            self.tiers = self.tiers.max(candidate.tier + 1);
            self.plan.candidates.push(candidate);
            self.known.push(None);
        }
    }

    /// Leaves out what cannot do the call, where there is a choice. What is merely not known to be able serves while nothing better does.
    fn able(mut self, operation: &str, needs: &dyn Fn() -> Needs) -> Result<Plan, Failure> {
        let core = self.core;
        if self.plan.candidates.len() + self.plan.skipped.len() < 2 {
            return self.finish();
        }
        let lacks: Vec<Option<Lack>> = self
            .plan
            .candidates
            .iter()
            .zip(&self.known)
            .map(|(candidate, choice)| {
                let known = match choice {
                    Some(choice) => choice.known.as_ref(),
                    None => {
                        let provider = core.providers.get(candidate.provider)?;
                        provider.catalogued(candidate.model.as_deref()?)
                    }
                };
                capability::lack(known?, operation, needs)
            })
            .collect();
        let kept = lacks.iter().any(Option::is_none);
        if lacks.iter().all(Option::is_none) {
            return self.finish();
        }
        let mut left = lacks.iter();
        let skipped = &mut self.plan.skipped;
        self.plan.candidates.retain(|candidate| {
            let Some(lack) = left.next().copied().flatten().filter(|lack| kept || lack.certain()) else { return true };
            skipped.push(Skipped { target: full_name(core, candidate), reason: lack.to_string() });
            false
        });
        self.finish()
    }

    fn finish(self) -> Result<Plan, Failure> {
        if self.plan.candidates.is_empty() { Err(incapable(&self.plan)) } else { Ok(self.plan) }
    }
}

/// `provider/model`, for records.
pub fn full_name(core: &Core, candidate: &Candidate) -> Arc<str> {
    let provider = core.providers.get(candidate.provider).map_or(&core.echo, |provider| &provider.name);
    match candidate.model.as_deref() {
        Some(model) => format!("{provider}/{model}").into(),
        None => Arc::clone(provider),
    }
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

fn incapable(plan: &Plan) -> Failure {
    let shown: Vec<String> =
        plan.skipped.iter().take(8).map(|skipped| format!("{}: {}", skipped.target, skipped.reason)).collect();
    let more = plan.skipped.len().saturating_sub(shown.len());
    let more = if more > 0 { format!("; and {more} more") } else { String::new() };
    let message = format!("No target can serve this call: {}{more}.", shown.join("; "));
    Failure::new(Blame::Client, 400, "invalid_request_error", "no_capable_target", message)
}

fn no_rule(route: &str) -> Failure {
    let message = format!("No rule of the route `{route}` is for this call, and it has no targets for others.");
    Failure::new(Blame::Client, 400, "invalid_request_error", "no_rule_fits", message).with_param("model")
}

fn gone() -> Failure {
    Failure::new(Blame::Gateway, 500, "server_error", "internal", "The route is gone.")
}
