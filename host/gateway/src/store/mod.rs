//! What plugins keep from one call to the next, in memory: a space of keys and values for each plugin that has the `kv` grant.
//!
//! Only this module knows how values are kept; plugins see the sandbox's `Kv`. Nothing here is written to disk or shared with other
//! gateways, and nothing waits: locks are held for a look-up or a handful of list operations.

pub mod kv;
mod shard;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use self::kv::Space;
use crate::observe::metrics::KvMetrics;

/// The space of a plugin that lost its grant or went away is kept so long: putting a file back, or an edit undone, loses nothing.
const KEPT_UNUSED: Duration = Duration::from_secs(600);

/// The spaces of all plugins, by plugin name; they outlive versions of plugins and configurations.
#[derive(Default)]
pub struct Store {
    spaces: Mutex<BTreeMap<String, Held>>,
}

struct Held {
    space: Arc<Space>,
    unused_since: Option<Instant>,
}

impl Store {
    /// The plugin's space, made with room for `max` bytes if it has none.
    pub fn space(&self, plugin: &str, max: usize, metrics: &KvMetrics) -> Arc<Space> {
        let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        let held = spaces
            .entry(plugin.to_owned())
            .or_insert_with(|| Held { space: Arc::new(Space::new(max, metrics.clone())), unused_since: None });
        held.unused_since = None;
        Arc::clone(&held.space)
    }

    /// Another quota, in bytes, from now on for whoever uses the plugin's space.
    pub fn set_max(&self, plugin: &str, max: usize) {
        let spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
        let space = spaces.get(plugin).map(|held| Arc::clone(&held.space));
        drop(spaces);
        if let Some(space) = space {
            space.set_max(max);
        }
    }

    /// To be called every few seconds: frees what has expired, and the spaces that no plugin has used for ten minutes.
    pub fn tend(&self, now: Instant, in_use: impl Fn(&str) -> bool) {
        let spaces: Vec<Arc<Space>> = {
            let mut spaces = self.spaces.lock().unwrap_or_else(PoisonError::into_inner);
            spaces.retain(|plugin, held| {
                held.unused_since = if in_use(plugin) { None } else { held.unused_since.or(Some(now)) };
                held.unused_since.is_none_or(|since| now.saturating_duration_since(since) < KEPT_UNUSED)
            });
            spaces.values().map(|held| Arc::clone(&held.space)).collect()
        };
        spaces.iter().for_each(|space| space.sweep());
    }
}
