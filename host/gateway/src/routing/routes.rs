//! Named routes as calls use them: prepared once from a configuration, so that a call parses nothing and makes no name.

use std::collections::HashMap;
use std::sync::Arc;

use super::health::{Target, Targets};
use super::plan::Candidate;
use super::{Balance, Policy, names};
use crate::app::Core;
use crate::config::{self, Config, When, glob};
use crate::providers::Provider;
use crate::providers::catalog::Model;

/// What names may lead to.
pub struct Routes {
    /// The demo provider's.
    pub(super) echo: Arc<Target>,
    routes: Vec<Route>,
    names: HashMap<Arc<str>, usize>,
}

pub(super) struct Route {
    pub(super) name: Arc<str>,
    /// In the order of their tiers; empty only where rules decide everything.
    pub(super) choices: Vec<Choice>,
    pub(super) balance: Balance,
    pub(super) affinity: bool,
    pub(super) policy: Policy,
    pub(super) rules: Vec<(When, Use)>,
    /// Labels of providers, with patterns.
    require: Vec<(String, Vec<String>)>,
}

pub(super) enum Use {
    /// Never empty.
    Tiers(Vec<Choice>),
    /// An index; never leads back.
    Route(usize),
}

/// A target of a route.
pub(super) struct Choice {
    pub(super) candidate: Candidate,
    /// `provider/model`, as the provider knows it.
    pub(super) name: Arc<str>,
    pub(super) known: Option<Model>,
    /// Why the route never uses it.
    pub(super) refused: Option<String>,
}

impl Routes {
    /// `providers` are those of the configuration, in its order.
    pub fn new(config: &Config, providers: &[Provider], targets: &Targets) -> Routes {
        let routes: Vec<Route> = config.routes.iter().map(|written| route(written, providers)).collect();
        let names = routes.iter().enumerate().map(|(at, route)| (Arc::clone(&route.name), at)).collect();
        Routes { echo: targets.of("echo/*"), routes, names }
    }

    /// The route that a call goes by which names that model: on `/v1` and below prefixes that people keep while the model is anyone's. An
    /// alias may stand for one.
    pub fn find(&self, core: &Core, prefix: Option<&str>, model: &str) -> Option<usize> {
        if self.names.is_empty() || prefix.is_some_and(|prefix| !names::is_open(prefix)) {
            return None;
        }
        self.names.get(core.alias(model).unwrap_or(model)).copied()
    }

    /// The name of the route that [`Routes::find`] finds.
    pub fn named(&self, core: &Core, prefix: Option<&str>, model: &str) -> Option<&Arc<str>> {
        self.get(self.find(core, prefix, model)?).map(|route| &route.name)
    }

    /// Every route's name, in the order of the configuration.
    pub fn all(&self) -> impl Iterator<Item = &Arc<str>> {
        self.routes.iter().map(|route| &route.name)
    }

    /// Every target that the route may lead to, those of its rules and of routes behind them included; each once.
    pub fn targets(&self, at: usize) -> Vec<Arc<str>> {
        let mut out: Vec<Arc<str>> = Vec::new();
        let (mut open, mut seen) = (vec![at], vec![false; self.routes.len()]);
        while let Some(at) = open.pop() {
            let (Some(route), Some(seen)) = (self.routes.get(at), seen.get_mut(at)) else { continue };
            if std::mem::replace(seen, true) {
                continue;
            }
            let mut add = |choices: &[Choice]| {
                for choice in choices {
                    if !out.contains(&choice.name) {
                        out.push(Arc::clone(&choice.name));
                    }
                }
            };
            add(&route.choices);
            for (_, using) in &route.rules {
                match using {
                    Use::Tiers(choices) => add(choices),
                    Use::Route(next) => open.push(*next),
                }
            }
        }
        out
    }

    pub(super) fn get(&self, at: usize) -> Option<&Route> {
        self.routes.get(at)
    }
}

impl Route {
    /// Why a provider may not serve calls of this route.
    pub(super) fn refuses(&self, core: &Core, provider: usize) -> Option<String> {
        refusal(&self.require, core.providers.get(provider)?)
    }
}

fn refusal(require: &[(String, Vec<String>)], provider: &Provider) -> Option<String> {
    let labels = &provider.config.labels;
    let fits = |(name, patterns): &&(String, Vec<String>)| {
        labels.get(name).is_some_and(|value| patterns.iter().any(|pattern| glob(pattern, value)))
    };
    let (name, patterns) = require.iter().find(|wanted| !fits(wanted))?;
    Some(format!("its label {name} is not {}", patterns.join(" or ")))
}

fn route(written: &config::Route, providers: &[Provider]) -> Route {
    let choices = |tiers: &[Vec<config::Weighted>]| -> Vec<Choice> {
        let numbered = tiers.iter().enumerate().flat_map(|(tier, targets)| targets.iter().map(move |one| (tier, one)));
        numbered.filter_map(|(tier, target)| choice(target, tier, &written.require, providers)).collect()
    };
    let rules = written.rules.iter().map(|rule| {
        let using = match &rule.using {
            config::Using::Tiers(tiers) => Use::Tiers(choices(tiers)),
            config::Using::Route(at) => Use::Route(*at),
        };
        (rule.when.clone(), using)
    });
    Route {
        name: Arc::from(written.name.as_str()),
        choices: choices(&written.tiers),
        balance: written.balance,
        affinity: written.affinity,
        policy: written.policy,
        rules: rules.collect(),
        require: written.require.clone(),
    }
}

fn choice(
    target: &config::Weighted,
    tier: usize,
    require: &[(String, Vec<String>)],
    providers: &[Provider],
) -> Option<Choice> {
    let provider = providers.get(target.provider)?;
    let model = provider.deployment(&target.model).unwrap_or(&target.model);
    Some(Choice {
        candidate: Candidate {
            provider: target.provider,
            model: Some(Arc::from(model)),
            weight: target.weight,
            tier,
            live: Arc::clone(provider.live(Some(model))),
        },
        name: format!("{}/{model}", provider.name).into(),
        known: provider.catalogued(&target.model).cloned(),
        refused: refusal(require, provider),
    })
}
