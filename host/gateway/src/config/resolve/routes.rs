//! `routes:`: every target to the provider that serves it, every rule to what it picks. What a call makes of them is `routing`'s.

use crate::config::error::{At, nearest};
use crate::config::file::{self, Tier, Tiers};
use crate::config::resolved::Provider;
use crate::config::route::{Route, Rule, Using, Weighted};
use crate::config::scalar::Named;
use crate::config::tree::shorten;
use crate::routing::{Balance, Policy};

use super::Context;
use super::plugins::labels;
use super::when::when;

/// Tiers of one route, and targets of one tier: more are a mistake, and every one costs each call.
const MOST: usize = 100;
const HEAVIEST: f64 = 1_000_000.0;

/// What names may mean.
struct Names<'a> {
    aliases: &'a [(String, String)],
    providers: &'a [Provider],
    /// Providers whose entries are broken included: their own errors are enough.
    known: Vec<&'a str>,
    routes: Vec<&'a str>,
}

impl Context<'_> {
    pub(super) fn routes(
        &mut self,
        written: Named<file::Route>,
        aliases: &[(String, String)],
        providers: &[Provider],
        root: At<'_>,
    ) -> Vec<Route> {
        let names: Vec<String> = written.0.iter().map(|(name, _)| name.clone()).collect();
        let mut known = root.key("providers").names();
        known.extend(providers.iter().map(|provider| provider.name.as_str()));
        let names = Names { aliases, providers, known, routes: names.iter().map(String::as_str).collect() };
        let at = root.key("routes");
        let mut routes = Vec::new();
        for (name, route) in written.0 {
            self.route_name(&name, &names, at.name(&name));
            routes.push(self.route(name, route, &names, at));
        }
        self.cycles(&routes, at);
        routes
    }

    fn route_name(&mut self, name: &str, names: &Names<'_>, at: At<'_>) {
        let taken = if names.aliases.iter().any(|(alias, _)| alias == name) {
            "an alias"
        } else if names.known.contains(&name) {
            "a provider"
        } else if name.trim().is_empty() {
            return self.report.error(at.place(), "a route needs a name");
        } else {
            return;
        };
        let message = format!("`{}` is also the name of {taken}", shorten(name));
        self.report.suggest(at.place(), message, "choose another name");
    }

    fn route(&mut self, name: String, written: file::Route, names: &Names<'_>, all: At<'_>) -> Route {
        let (at, name_at) = (all.key(&name), all.name(&name));
        let tiers_at = at.key("tiers");
        let tiers = written.tiers.map(|tiers| self.tiers(tiers, names, tiers_at)).unwrap_or_default();
        let rules_at = at.key("rules");
        let rules: Vec<Rule> = written
            .rules
            .into_iter()
            .enumerate()
            .filter_map(|(i, rule)| self.rule(rule, names, rules_at.item(i)))
            .collect();
        if tiers.is_empty() && tiers_at.is_absent() && rules.is_empty() && rules_at.is_absent() {
            let message = format!("route `{}` leads nowhere", shorten(&name));
            self.report.suggest(name_at.place(), message, "add `tiers: [PROVIDER/MODEL]`");
        }
        let retry = written.retry;
        Route {
            name,
            tiers,
            balance: match written.balance {
                file::Balance::Weighted => Balance::Weighted,
                file::Balance::LeastInFlight => Balance::LeastInFlight,
                file::Balance::Fastest => Balance::Fastest,
                file::Balance::Cheapest => Balance::Cheapest,
            },
            affinity: written.affinity,
            require: labels(written.require.label, at.key("require").key("label"), self.report),
            policy: Policy {
                attempts: retry.attempts,
                deadline: retry.deadline.map(|deadline| deadline.0),
                backoff: retry.backoff.0,
                budget: retry.budget,
                repeat_unsafe: retry.repeat_unsafe,
            },
            rules,
        }
    }

    fn rule(&mut self, written: file::Rule, names: &Names<'_>, at: At<'_>) -> Option<Rule> {
        let using_at = at.key("use");
        let when = when(written.when, at.key("when"), self.report);
        let using = match written.using? {
            Tiers::One(name) if names.routes.contains(&name.as_str()) => {
                Using::Route(names.routes.iter().position(|route| *route == name)?)
            }
            tiers => {
                let tiers = self.tiers(tiers, names, using_at);
                (!tiers.is_empty()).then_some(Using::Tiers(tiers))?
            }
        };
        Some(Rule { when, using })
    }

    fn tiers(&mut self, written: Tiers, names: &Names<'_>, at: At<'_>) -> Vec<Vec<Weighted>> {
        let tiers = match written {
            Tiers::One(target) => vec![Tier::One(target)],
            Tiers::Weighted(targets) => vec![Tier::Weighted(targets)],
            Tiers::Many(tiers) => tiers,
        };
        if tiers.is_empty() && !at.is_broken() && !at.has_broken() {
            self.report.suggest(at.place(), "expected a target, found an empty list", "write `PROVIDER/MODEL`");
        }
        if tiers.len() > MOST {
            self.report.error(at.place(), format!("expected at most {MOST} tiers"));
            return Vec::new();
        }
        let each = tiers.into_iter().enumerate();
        each.map(|(i, tier)| self.tier(tier, names, at.item(i))).filter(|tier| !tier.is_empty()).collect()
    }

    fn tier(&mut self, written: Tier, names: &Names<'_>, at: At<'_>) -> Vec<Weighted> {
        let targets: Vec<(String, f64, At<'_>)> = match written {
            Tier::One(target) => vec![(target, 1.0, at)],
            Tier::Equal(targets) => {
                targets.into_iter().enumerate().map(|(i, target)| (target, 1.0, at.item(i))).collect()
            }
            Tier::Weighted(targets) => targets
                .0
                .into_iter()
                .map(|(target, weight)| {
                    if !(weight > 0.0 && weight <= HEAVIEST) {
                        let place = at.key(&target).place();
                        self.report.error(place, "expected a weight above 0 and up to 1000000");
                    }
                    let here = at.name(&target);
                    (target, weight, here)
                })
                .collect(),
        };
        if targets.is_empty() && !at.is_broken() && !at.has_broken() {
            self.report.suggest(at.place(), "expected a target, found none", "write `PROVIDER/MODEL`");
        }
        if targets.len() > MOST {
            self.report.error(at.place(), format!("expected at most {MOST} targets in a tier"));
            return Vec::new();
        }
        let mut out: Vec<Weighted> = Vec::new();
        for (target, weight, at) in targets {
            let Some((provider, model)) = self.routed(&target, names, at) else { continue };
            if out.iter().any(|known| (known.provider, &known.model) == (provider, &model)) {
                let message = format!("`{}` is here twice", at.shown(&target));
                self.report.suggest(at.place(), message, "give it the sum of the weights");
            }
            out.push(Weighted { provider, model, weight });
        }
        out
    }

    /// The provider and model of a target as written; what names none is reported.
    fn routed(&mut self, written: &str, names: &Names<'_>, at: At<'_>) -> Option<(usize, String)> {
        let aliased = names.aliases.iter().find(|(alias, _)| alias == written).map(|(_, target)| target.as_str());
        let target = aliased.unwrap_or(written);
        let shown = at.shown(written);
        if names.routes.contains(&target) {
            let message = format!("`{shown}` is a route, which is no target");
            self.report.suggest(at.place(), message, "name its targets; `use: NAME` of a rule leads to another route");
            return None;
        }
        if let Some((first, model)) = target.split_once('/') {
            if let Some(provider) = names.providers.iter().position(|provider| provider.name == first) {
                if model.is_empty() {
                    self.report.error(at.place(), format!("`{shown}` names no model"));
                    return None;
                }
                return Some((provider, model.to_owned()));
            }
            if names.known.contains(&first) {
                return None;
            }
        }
        let lists = |provider: &Provider| provider.models.iter().any(|model| model == target);
        let serving: Vec<usize> =
            (0..names.providers.len()).filter(|at| names.providers.get(*at).is_some_and(lists)).collect();
        match (serving.as_slice(), names.known.iter().collect::<std::collections::HashSet<_>>().len()) {
            ([only], _) => return Some((*only, target.to_owned())),
            ([], 1) if !target.contains('/') && !target.trim().is_empty() && !names.providers.is_empty() => {
                return Some((0, target.to_owned()));
            }
            ([], _) => self.no_target(&shown, target, names, at),
            (several, _) => {
                let each = several.iter().filter_map(|at| names.providers.get(*at));
                let each: Vec<String> =
                    each.map(|provider| format!("`{}/{}`", provider.name, shorten(target))).collect();
                let message = format!("`{shown}` is served by several providers");
                self.report.suggest(at.place(), message, format!("write one of {}", each.join(", ")));
            }
        }
        None
    }

    fn no_target(&mut self, shown: &str, target: &str, names: &Names<'_>, at: At<'_>) {
        let Some((first, _)) = target.split_once('/') else {
            let message = format!("`{shown}` is neither an alias nor a model that a provider lists");
            let aliases: Vec<&str> = names.aliases.iter().map(|(alias, _)| alias.as_str()).collect();
            let near = nearest(target, &aliases).map(|near| format!("did you mean `{near}`?"));
            return self.report.suggest(at.place(), message, near.unwrap_or("write `PROVIDER/MODEL`".to_owned()));
        };
        let message = match at.written() {
            Some(_) => format!("`{shown}` names no configured provider"),
            None => format!("there is no provider `{}`", shorten(first)),
        };
        let suggestion = match nearest(first, &names.known) {
            Some(near) => format!("did you mean `{near}`?"),
            None => "write `PROVIDER/MODEL` with a configured provider".to_owned(),
        };
        self.report.suggest(at.place(), message, suggestion);
    }

    /// Reports each route that leads back to itself by its rules.
    fn cycles(&mut self, routes: &[Route], at: At<'_>) {
        for (start, route) in routes.iter().enumerate() {
            for (i, rule) in route.rules.iter().enumerate() {
                let Using::Route(next) = rule.using else { continue };
                if reaches(routes, next, start) {
                    let place = at.key(&route.name).key("rules").item(i).key("use").place();
                    let message = format!("route `{}` leads back to itself", shorten(&route.name));
                    self.report.suggest(place, message, "name the targets in place of the route");
                }
            }
        }
    }
}

/// Whether rules lead from one route to another, or it is that one.
fn reaches(routes: &[Route], from: usize, to: usize) -> bool {
    let mut seen = vec![false; routes.len()];
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        if at == to {
            return true;
        }
        let (Some(seen), Some(route)) = (seen.get_mut(at), routes.get(at)) else { continue };
        if !std::mem::replace(seen, true) {
            open.extend(route.rules.iter().filter_map(|rule| match rule.using {
                Using::Route(next) => Some(next),
                Using::Tiers(_) => None,
            }));
        }
    }
    false
}
