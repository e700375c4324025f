//! Whether this gateway can serve at all, for whoever sends it calls: load balancers, supervisors, a process that takes over.
//!
//! It says no only for what the configuration or an operator has decided. A provider that is down, or a key that it refuses, is no
//! reason: another gateway would fare no better, and one that gets no calls would never learn that the trouble is over.

use std::time::Instant;

use super::health::Standing;
use crate::app::Core;
use crate::providers::Provider;

/// Why no call can be served; `None`: some can.
pub fn unable(core: &Core, now: Instant) -> Option<String> {
    if core.config.demo {
        return None;
    }
    if core.providers.is_empty() {
        return Some(
            "no provider is configured: add one under `providers:`, or set its key in the environment".to_owned(),
        );
    }
    let mut keyed = core.providers.iter().filter(|provider| has_key(provider)).peekable();
    if keyed.peek().is_none() {
        return Some("no provider has a key that may be used: all under `keys:` are disabled".to_owned());
    }
    let drained =
        |provider: &Provider| provider.targets().all(|target| matches!(target.standing(now), Standing::Drained { .. }));
    keyed.all(drained).then(|| "all targets are drained by an operator".to_owned())
}

/// How many targets get no calls, for now.
pub fn left_out(core: &Core, now: Instant) -> usize {
    let targets = core.providers.iter().flat_map(Provider::targets);
    targets.filter(|target| target.standing(now) != Standing::Ready).count()
}

fn has_key(provider: &Provider) -> bool {
    let row = &provider.config;
    row.keys.is_empty() || row.tokens.is_some() || row.keys.iter().any(|key| key.enabled)
}
