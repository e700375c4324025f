//! How many calls run at once at a provider, or with one of its keys: a limit, and a bounded queue before it that keeps the order of
//! arrival.
//!
//! What is full says so at once, and what waits does so for a bounded time: overload is a quick refusal and not latency. Whether another
//! target is tried then is not decided here.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_dialect::failure::{Blame, Class, Failure, Retry};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::config::{CallLimits, show_duration};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

/// What a client that was refused is told to wait: long enough for places to come free, as nobody knows when one does.
const COME_AGAIN: Duration = Duration::from_secs(1);

/// One limit, shared by all serving threads.
pub struct Gate {
    places: Arc<Semaphore>,
    waiting: AtomicU32,
    limits: CallLimits,
}

/// A call's place behind the gates that it passed; dropping it frees them.
#[must_use]
#[derive(Debug)]
pub struct Permit {
    _places: [Option<OwnedSemaphorePermit>; 2],
}

/// A gate that a call did not pass.
pub struct Refused<'a> {
    pub gate: &'a Gate,
    busy: Busy,
}

/// Why a call may not pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Busy {
    /// As many as may wait do.
    Full,
    /// It waited as long as it may.
    Late,
}

impl Refused<'_> {
    /// What the call fails with. `key`: whose limit it is, if not the provider's.
    pub fn failure(&self, provider: &str, key: Option<&str>) -> Failure {
        let CallLimits { calls, queue, wait } = self.gate.limits;
        let message = format!("The provider `{provider}` has as many calls as it may have at once; try again soon.");
        let whose = key.map_or_else(|| "of the provider".to_owned(), |key| format!("of its key `{key}`"));
        let why = match self.busy {
            Busy::Full => format!("and {queue} wait already"),
            Busy::Late => format!("and none ended within {}", show_duration(wait)),
        };
        let mut failure = Failure::new(Blame::Gateway, 503, "server_error", "provider_busy", message)
            .with_retry(Retry::NextTarget)
            .with_class(Class::Overloaded)
            .with_detail(format!("`limits.calls` {whose} allows {calls}, {why}"));
        failure.retry_after = Some(COME_AGAIN);
        failure
    }
}

/// Counts a waiting call until it is dropped, which it also is when its client leaves.
struct Waiting<'a>(&'a AtomicU32);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Gate {
    pub fn new(limits: CallLimits) -> Gate {
        let places = (limits.calls as usize).clamp(1, Semaphore::MAX_PERMITS);
        Gate { places: Arc::new(Semaphore::new(places)), waiting: AtomicU32::new(0), limits }
    }

    /// Whether a call would have to wait.
    pub fn is_full(&self) -> bool {
        self.places.available_permits() == 0
    }

    /// Calls that run behind it.
    pub fn in_flight(&self) -> u32 {
        let free = u32::try_from(self.places.available_permits()).unwrap_or(u32::MAX);
        self.limits.calls.saturating_sub(free)
    }

    /// Calls that wait before it.
    pub fn waiting(&self) -> u32 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// For operators: the limit, how much of it is in use, and who waits.
    pub fn describe(&self) -> Value {
        let CallLimits { calls, queue, .. } = self.limits;
        json!({ "calls": calls, "in_flight": self.in_flight(), "queue": queue, "waiting": self.waiting() })
    }

    async fn pass(&self, deadline: Instant) -> Result<OwnedSemaphorePermit, Busy> {
        // A free place is free only while nobody waits: places that are given back go to those who do.
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        let _waiting = Waiting(&self.waiting);
        if before >= self.limits.queue {
            return Err(Busy::Full);
        }
        let until = (Instant::now() + self.limits.wait).min(deadline);
        match tokio::time::timeout_at(until.into(), Arc::clone(&self.places).acquire_owned()).await {
            Ok(Ok(place)) => Ok(place),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(Busy::Late),
        }
    }
}

/// Passes the key's gate, then the provider's: who waits for a key keeps no place of the provider's from the other keys. `Ok(None)`: nothing
/// is limited.
///
/// # Errors
/// The gate that is busy, with why.
pub async fn enter<'a>(
    key: Option<&'a Gate>,
    provider: Option<&'a Gate>,
    deadline: Instant,
) -> Result<Option<Permit>, Refused<'a>> {
    if key.is_none() && provider.is_none() {
        return Ok(None);
    }
    let mut places = [None, None];
    for (gate, place) in [key, provider].into_iter().zip(&mut places) {
        if let Some(gate) = gate {
            *place = Some(gate.pass(deadline).await.map_err(|busy| Refused { gate, busy })?);
        }
    }
    Ok(Some(Permit { _places: places }))
}
