//! The end of patience when the gateway stops: calls that outlast the limit end at once, each in its own shape, instead of being cut off.

use std::cell::Cell;

use sluice_dialect::failure::Failure;
use tokio::sync::Notify;

/// Tells one thread's calls that the limit for stopping is over.
#[derive(Debug, Default)]
pub struct Cut {
    over: Cell<bool>,
    told: Notify,
}

impl Cut {
    pub fn now(&self) {
        self.over.set(true);
        self.told.notify_waiters();
    }

    /// Waits for that moment, mostly for ever.
    pub async fn wait(&self) {
        let told = self.told.notified();
        if !self.over.get() {
            told.await;
        }
    }
}

/// What the call comes to. The gateway's failure: the provider was still at it.
pub fn stopping() -> Failure {
    let mut failure = Failure::overloaded("The gateway is stopping; try again, another one may answer.");
    failure.code = Some("stopping".into());
    failure.with_detail("raise `server.limits.shutdown` if calls take longer than that")
}
