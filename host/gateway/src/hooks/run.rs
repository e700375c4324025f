//! Runs one hook of one plugin, if the plugin's circuit breaker lets it.
//!
//! Every hook with a call goes through here. Counting its failure is its caller's, so that a verdict which only the gateway can see to be
//! bad counts like any other.

use std::future::Future;
use std::time::Duration;

use sluice_sandbox::{CallView, ErrorKind, HookError, Ran};

use super::view::CallState;
use crate::plugins::breaker::{Admission, Breaker};

/// Runs `hook` on the call, or gives the call back with an error of kind `breaker_open`.
pub async fn hook<V, F>(breaker: &Breaker, state: Box<CallState>, hook: impl FnOnce(Box<dyn CallView>) -> F) -> Ran<V>
where
    F: Future<Output = Ran<V>>,
{
    let probe = match breaker.admit() {
        Admission::Run => None,
        Admission::Probe(probe) => Some(probe),
        Admission::Refused(wait) => return refused(state, wait),
    };
    let ran = hook(state).await;
    match (probe, ran.result.as_ref().map_err(|error| error.kind)) {
        // No room to run it says nothing about the plugin.
        (None, Err(ErrorKind::Overload)) => breaker.uncount(),
        (None, _) | (Some(_), Err(ErrorKind::Overload)) => {}
        (Some(probe), Ok(_)) => probe.passed(),
        (Some(probe), Err(_)) => probe.failed(),
    }
    ran
}

fn refused<V>(view: Box<CallState>, wait: Duration) -> Ran<V> {
    let message = format!("not run: its circuit breaker is open, and a hook is tried in {} ms", wait.as_millis());
    let result = Err(HookError { kind: ErrorKind::BreakerOpen, message });
    Ran { view, result, spent: Duration::ZERO, fresh: false }
}
