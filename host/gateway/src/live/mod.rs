//! The configuration in force, as one snapshot that is swapped whole.
//!
//! A call takes the snapshot once, when its head is read, and keeps it to its settlement: whatever is edited meanwhile, one call is served
//! by one configuration. `source` is where a configuration comes from, `first` chooses the one to start with, `reload` follows the files.

mod first;
mod reload;
mod source;
mod status;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use arc_swap::ArcSwap;

use self::reload::{Look, Reloader};
use crate::app::{Core, unix_seconds};
use crate::watch::Post;

pub use first::{First, first};
pub use reload::{Complete, Good};
pub use source::{Seen, Source};
pub use status::{State, Status};

/// What is in force now, and how it stands to its file. Shared by all threads.
pub struct Live {
    core: ArcSwap<Core>,
    status: Mutex<Status>,
    post: OnceLock<Post<Look>>,
}

impl Live {
    /// `stale` says why the configuration of `core` is not what its file says.
    pub fn new(core: Core, stale: Option<String>) -> Arc<Live> {
        let status = Status {
            state: State::Active,
            digest: core.config.digest.clone(),
            since: unix_seconds(),
            error: None,
            restart_needed: Vec::new(),
        };
        let live = Live { core: ArcSwap::from_pointee(core), status: Mutex::new(status), post: OnceLock::new() };
        if let Some(why) = stale {
            live.stale(why);
        }
        Arc::new(live)
    }

    /// The snapshot to serve a call by. Whoever keeps it keeps its whole configuration alive: never beyond a call.
    pub fn core(&self) -> Arc<Core> {
        self.core.load_full()
    }

    /// For pages: never on a call's way.
    pub fn status(&self) -> Status {
        self.status_mut().clone()
    }

    /// Follows the files from now on, on a thread of its own.
    ///
    /// # Errors
    /// The thread cannot be started.
    pub fn follow(
        self: &Arc<Live>,
        source: Source,
        seen: Seen,
        good: Option<Good>,
        complete: Complete,
    ) -> Result<(), String> {
        let post = Reloader { live: Arc::clone(self), source, seen, good, complete }.start()?;
        let _ = self.post.set(post);
        Ok(())
    }

    /// Has configuration and plugins looked at now; does not wait for it.
    pub fn look(&self) {
        if let Some(post) = self.post.get() {
            post.send(Look);
        }
        self.core().plugins.look();
    }

    fn status_mut(&self) -> MutexGuard<'_, Status> {
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
