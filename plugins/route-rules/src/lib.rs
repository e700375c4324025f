//! `route-rules`: rules written in CEL (the Common Expression Language) say which targets serve a call.
//!
//! This file is the plugin: the first rule that holds decides. What an expression may read is `names`' business, how a call answers it
//! `facts`', and what an expression must be `rule`'s. An expression ends: it has no loops but walks over lists that it writes itself.

mod facts;
mod names;
mod rule;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use std::sync::Arc;

use cel::{Context, Env};
use names::Names;
use rule::{Rule, Written};
use serde::Deserialize;
use sluice::{Call, Fault, OnRoute, Plugin, RouteVerdict, Targets};

const MOST_RULES: usize = 64;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    rules: Vec<Written>,
}

struct Router {
    env: Arc<Env>,
    rules: Vec<Rule>,
    /// What any of the rules reads.
    names: Names,
}

impl Plugin for Router {
    type Settings = Settings;
    const SCHEMA: &'static str = include_str!("../settings.schema.json");

    fn configure(settings: Settings) -> Result<Self, Fault> {
        if settings.rules.is_empty() || settings.rules.len() > MOST_RULES {
            return Err(Fault::config(format!("settings.rules: must be 1 to {MOST_RULES} rules")));
        }
        let env = Arc::new(Env::stdlib());
        let mut names = Names::default();
        let rules = settings.rules.into_iter().enumerate();
        let rules = rules.map(|(at, written)| Rule::new(at, written, &env, &mut names)).collect::<Result<_, _>>()?;
        Ok(Router { env, rules, names })
    }
}

impl OnRoute for Router {
    fn on_route(&self, call: &mut Call, targets: &Targets) -> Result<RouteVerdict, Fault> {
        let mut context = Context::with_env(Arc::clone(&self.env));
        facts::of_call(&mut context, &self.names, call, targets);
        for rule in &self.rules {
            if rule.holds(&context)? {
                return Ok(RouteVerdict::Order {
                    targets: targets.matching(&rule.patterns),
                    reason: rule.reason.clone(),
                });
            }
        }
        Ok(RouteVerdict::Pass)
    }
}

sluice::plugin!(Router: on_route);
