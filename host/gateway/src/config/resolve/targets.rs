//! Which models the configuration names, provider by provider: each of them is a target whose standing is kept apart from the others'.

use std::collections::HashSet;

use crate::config::resolved::Provider;

/// Notes on every provider the models of it that are named by itself or by an alias, as the provider knows them.
pub(super) fn note(providers: &mut [Provider], aliases: &[(String, String)]) {
    for provider in providers {
        let of = |target: &str| target.strip_prefix(&provider.name)?.strip_prefix('/').map(str::to_owned);
        let named = provider.models.iter().cloned().chain(aliases.iter().filter_map(|(_, target)| of(target)));
        let mut seen = HashSet::new();
        let known = named.map(|model| deployed(provider, model)).filter(|model| seen.insert(model.clone())).collect();
        provider.targets = known;
    }
}

fn deployed(provider: &Provider, model: String) -> String {
    let found = provider.deployments.iter().find(|(name, _)| *name == model);
    found.map_or(model, |(_, deployment)| deployment.clone())
}
