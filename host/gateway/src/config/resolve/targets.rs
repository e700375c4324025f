//! Which models the configuration names, provider by provider: each of them is a target whose standing is kept apart from the others'.

use std::collections::HashSet;

use crate::config::resolved::Provider;
use crate::config::route::{Route, Using, Weighted};

/// Notes on every provider the models of it that are named by itself, an alias or a route, as the provider knows them.
pub(super) fn note(providers: &mut [Provider], aliases: &[(String, String)], routes: &[Route]) {
    for (at, provider) in providers.iter_mut().enumerate() {
        let of = |target: &str| target.strip_prefix(&provider.name)?.strip_prefix('/').map(str::to_owned);
        let named = provider.models.iter().cloned().chain(aliases.iter().filter_map(|(_, target)| of(target)));
        let routed = routes.iter().flat_map(written).filter(|target| target.provider == at);
        let named = named.chain(routed.map(|target| target.model.clone()));
        let mut seen = HashSet::new();
        let known = named.map(|model| deployed(provider, model)).filter(|model| seen.insert(model.clone())).collect();
        provider.targets = known;
    }
}

/// Every target that a route or one of its rules names.
fn written(route: &Route) -> impl Iterator<Item = &Weighted> {
    let rules = route.rules.iter().filter_map(|rule| match &rule.using {
        Using::Tiers(tiers) => Some(tiers),
        Using::Route(_) => None,
    });
    std::iter::once(&route.tiers).chain(rules).flatten().flatten()
}

fn deployed(provider: &Provider, model: String) -> String {
    let found = provider.deployments.iter().find(|(name, _)| *name == model);
    found.map_or(model, |(_, deployment)| deployment.clone())
}
