//! Asks a provider at intervals whether it is there, for the standing of its targets: the cheap question for its models, never one that
//! a model answers. Off the serving threads, like all such questions.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;

use super::{DEADLINE, Listing};
use crate::routing::health::Target;

/// Checks go on until this is dropped.
pub struct Check(AbortHandle);

impl Drop for Check {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Listing {
    /// Checks the provider every so often, and tells all of its targets. `None` where it has no address for models, or where there is no
    /// thread to ask on.
    pub fn check(&self, every: Duration, targets: Vec<Arc<Target>>) -> Option<Check> {
        if !self.ask.has_list() {
            tracing::warn!(provider = %self.ask.name, "not checked: this provider has no list of models to ask for");
            return None;
        }
        let ask = Arc::clone(&self.ask);
        let checks = async move {
            // Several gateways that start together do not ask together.
            tokio::time::sleep(every.mul_f64(fastrand::f64())).await;
            loop {
                let late = |_| Err(format!("no answer within {DEADLINE:?}"));
                let answer = tokio::time::timeout(DEADLINE, ask.alive()).await.unwrap_or_else(late);
                let now = Instant::now();
                for target in &targets {
                    target.checked(answer.as_ref().copied().map_err(String::as_str), every, now);
                }
                tokio::time::sleep(every).await;
            }
        };
        Some(Check(self.listings.runtime()?.spawn(checks).abort_handle()))
    }
}
