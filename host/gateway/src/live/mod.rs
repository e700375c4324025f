//! The configuration in force, as one snapshot that is swapped whole.
//!
//! A call takes the snapshot once, when its head is read, and keeps it to its settlement: whatever is edited meanwhile, one call is served
//! by one configuration.

mod status;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;

use crate::app::{Core, unix_seconds};

pub use status::{State, Status};

/// What is in force now, and how it stands to the file. Shared by all threads.
pub struct Live {
    core: ArcSwap<Core>,
    status: Mutex<Status>,
}

impl Live {
    pub fn new(core: Core) -> Arc<Live> {
        let status = Status {
            state: State::Active,
            digest: core.config.digest.clone(),
            since: unix_seconds(),
            error: None,
            restart_needed: Vec::new(),
        };
        Arc::new(Live { core: ArcSwap::from_pointee(core), status: Mutex::new(status) })
    }

    /// For pages: never on a call's way.
    pub fn status(&self) -> Status {
        self.status.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The snapshot to serve a call by. Whoever keeps it keeps its whole configuration alive: never beyond a call.
    pub fn core(&self) -> Arc<Core> {
        self.core.load_full()
    }
}
