//! What is known of how targets do, by their names. It outlives configurations; it decides nothing about a call.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// All targets that a configuration has named since the start.
#[derive(Default)]
pub struct Targets(Mutex<BTreeMap<Arc<str>, Arc<Target>>>);

impl Targets {
    /// The target of that name (`provider/model`, or `provider/*`), made where it is new. For configurations: it locks.
    pub fn of(&self, name: &str) -> Arc<Target> {
        let mut targets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = targets.get(name) {
            return Arc::clone(found);
        }
        let target = Arc::new(Target { name: Arc::from(name) });
        targets.insert(Arc::clone(&target.name), Arc::clone(&target));
        target
    }

    /// In the order of their names.
    pub fn all(&self) -> Vec<Arc<Target>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().map(Arc::clone).collect()
    }
}

/// One target's standing.
#[derive(Debug)]
pub struct Target {
    /// `provider/model`, or `provider/*` for all that the configuration does not name.
    pub name: Arc<str>,
}
