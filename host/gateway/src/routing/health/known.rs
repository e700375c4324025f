//! All targets by name. It keeps none that nobody holds, so configurations bound it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use super::Target;

/// All targets that some configuration in use names. One for the process: what is known of a target outlives an edit.
pub struct Targets {
    pub(super) began: Instant,
    pub(super) known: Mutex<HashMap<Arc<str>, Weak<Target>>>,
}

impl Default for Targets {
    fn default() -> Targets {
        Targets { began: Instant::now(), known: Mutex::default() }
    }
}

impl Targets {
    /// The target of that name, `provider/model`, or `provider/*` for all models that the configuration does not name. Not for names
    /// that clients choose: whoever holds it keeps it here.
    pub fn of(&self, name: &str) -> Arc<Target> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = known.get(name).and_then(Weak::upgrade) {
            return target;
        }
        known.retain(|_, target| target.strong_count() > 0);
        let target = Arc::new(Target::new(name, self.began));
        known.insert(Arc::clone(&target.name), Arc::downgrade(&target));
        target
    }

    /// By name. Where calls still run under an earlier configuration, its targets too.
    pub fn all(&self) -> Vec<Arc<Target>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = known.values().filter_map(Weak::upgrade).collect();
        drop(known);
        all.sort_by(|one, other| one.name.cmp(&other.name));
        all
    }
}
