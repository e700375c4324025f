//! What providers say they serve: their model lists, kept for a while and asked for when somebody wants a list.
//!
//! Serving threads only read what is kept and wait for what is on its way; asking runs on one thread of its own, which starts with the
//! first question. Which names a caller may see, and how they are spelled, is the pipeline's.

mod ask;
mod check;
mod models;

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use http::HeaderName;
use http::HeaderValue;
use tokio::runtime::{Builder, Handle};
use tokio::sync::watch;

pub use self::ask::Asker;
use self::ask::{Ask, Trouble};
pub use self::check::Check;
pub use self::models::{Entry, Models};
use super::auth::Credentials;
use super::clients::Way;
use crate::config::{self, BaseUrl};

/// A list younger than this is given out without asking again.
const FRESH: Duration = Duration::from_mins(5);
/// A list older than this is forgotten; a younger one is given out while a newer one is asked for.
const STALE: Duration = Duration::from_hours(24);
/// A provider that failed is left alone for this long.
const RETRY: Duration = Duration::from_secs(30);
/// For one provider's whole answer, from the name's lookup to the last byte.
const DEADLINE: Duration = Duration::from_secs(2);
/// How much longer than [`DEADLINE`] a caller waits, for a thread that is late.
const GRACE: Duration = Duration::from_millis(250);

/// The lists of all providers. One for the process: it outlives configurations, so that an edit costs no list.
#[derive(Default)]
pub struct Listings {
    /// Dead entries are of providers that no configuration in use has any more.
    slots: Mutex<HashMap<Identity, Weak<Slot>>>,
    /// Where providers are asked; `None` inside if the thread could not be started.
    runtime: OnceLock<Option<Handle>>,
}

/// What makes two rows of two configurations the same provider. Secrets may rotate under a key's name.
#[derive(PartialEq, Eq, Hash)]
struct Identity {
    name: String,
    base: BaseUrl,
    keys: Vec<String>,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// One provider's list: what is kept of it, and how to ask for it.
pub struct Listing {
    listings: Arc<Listings>,
    slot: Arc<Slot>,
    ask: Arc<Ask>,
    /// The last failure, until a success. Not shared with other configurations: what failed under one may be mended by the next.
    failed: Arc<Mutex<Option<Instant>>>,
}

impl Listings {
    /// The place of a provider's list, shared with the same provider of an earlier configuration as long as that one is in use.
    pub fn of(self: &Arc<Self>, provider: &config::Provider, credentials: &Credentials, way: &Arc<Way>) -> Listing {
        let identity = Identity {
            name: provider.name.clone(),
            base: provider.base.clone(),
            keys: provider.keys.iter().map(|key| key.name.clone()).collect(),
            headers: provider.headers.clone(),
        };
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| slot.strong_count() > 0);
        let slot = slots.get(&identity).and_then(Weak::upgrade).unwrap_or_else(|| {
            let slot = Arc::new(Slot::default());
            slots.insert(identity, Arc::downgrade(&slot));
            slot
        });
        let ask = Arc::new(Ask::new(provider, credentials, Arc::clone(way)));
        Listing { listings: Arc::clone(self), slot, ask, failed: Arc::default() }
    }

    fn runtime(&self) -> Option<&Handle> {
        let start = || {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            let handle = runtime.handle().clone();
            let run = move || runtime.block_on(pending::<()>());
            std::thread::Builder::new().name("listing".into()).spawn(run)?;
            Ok::<_, std::io::Error>(handle)
        };
        let started = || start().inspect_err(|error| tracing::error!(%error, "no thread to ask providers on")).ok();
        self.runtime.get_or_init(started).as_ref()
    }
}

impl Listing {
    /// The provider's models as far as they are known: at once where there is a list or the provider has failed before, else after its
    /// first answer, at most about [`DEADLINE`] later. A list that has aged, and a provider that failed a while ago, are asked for anew
    /// meanwhile, by one request whoever many callers there are.
    pub async fn known(&self) -> Option<Arc<Models>> {
        let mut landed = self.slot.landed.subscribe();
        let failed = *self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.slot.state().next(failed, Instant::now());
        if next.ask {
            self.start();
        }
        if next.wait {
            // Whatever came of it, what is kept by then is the answer.
            tokio::time::timeout(DEADLINE + GRACE, landed.changed()).await.ok();
        }
        self.held()
    }

    /// What is known without asking and without waiting.
    pub fn held(&self) -> Option<Arc<Models>> {
        let state = self.slot.state();
        state.list.as_ref().filter(|(at, _)| at.elapsed() < STALE).map(|(_, models)| Arc::clone(models))
    }

    fn start(&self) {
        let (slot, failed) = (Arc::clone(&self.slot), Arc::clone(&self.failed));
        let flight = Flight { slot, failed, name: self.ask.name.clone(), over: false };
        let ask = Arc::clone(&self.ask);
        if let Some(runtime) = self.listings.runtime() {
            runtime.spawn(async move {
                let late = |_| Err(Trouble(format!("no list within {DEADLINE:?}")));
                let result = tokio::time::timeout(DEADLINE, ask.fetch()).await.unwrap_or_else(late);
                flight.land(result);
            });
        }
    }
}

/// What is kept of one provider.
struct Slot {
    state: Mutex<State>,
    /// Told at the end of every request, whatever came of it.
    landed: watch::Sender<()>,
}

impl Default for Slot {
    fn default() -> Slot {
        Slot { state: Mutex::default(), landed: watch::Sender::new(()) }
    }
}

impl Slot {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Default)]
struct State {
    list: Option<(Instant, Arc<Models>)>,
    /// A request is out.
    asking: bool,
}

/// What a caller has to do.
#[derive(Debug, PartialEq, Eq)]
struct Next {
    /// Send the request; [`State::asking`] is set already.
    ask: bool,
    /// Wait for the request that is out.
    wait: bool,
}

impl State {
    fn next(&mut self, failed: Option<Instant>, now: Instant) -> Next {
        let age = self.list.as_ref().map(|(at, _)| now.saturating_duration_since(*at));
        if age.is_some_and(|age| age < FRESH) {
            return Next { ask: false, wait: false };
        }
        if age.is_some_and(|age| age >= STALE) {
            self.list = None;
        }
        let quiet = failed.is_some_and(|at| now.saturating_duration_since(at) < RETRY);
        let ask = !self.asking && !quiet;
        self.asking |= ask;
        Next { ask, wait: self.list.is_none() && failed.is_none() }
    }

    /// Keeps what a request came to.
    fn land(&mut self, result: Option<Models>, now: Instant) {
        self.asking = false;
        if let Some(models) = result {
            self.list = Some((now, Arc::new(models)));
        }
    }
}

/// A request that is out. It lands however it ends, or nobody would ask again.
struct Flight {
    slot: Arc<Slot>,
    failed: Arc<Mutex<Option<Instant>>>,
    name: String,
    over: bool,
}

impl Flight {
    fn land(mut self, result: Result<Models, Trouble>) {
        self.finish(result);
    }

    fn finish(&mut self, result: Result<Models, Trouble>) {
        self.over = true;
        let (models, trouble) = match result {
            Ok(models) => (Some(models), None),
            Err(Trouble(why)) => (None, Some(why)),
        };
        let now = Instant::now();
        let before = {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::replace(&mut *failed, trouble.is_some().then_some(now))
        };
        self.slot.state().land(models, now);
        let provider = &self.name;
        match trouble {
            Some(why) if before.is_none() => {
                tracing::warn!(provider, "cannot list the provider's models: {why}; its calls are not affected");
            }
            Some(why) => tracing::debug!(provider, "still cannot list the provider's models: {why}"),
            None => tracing::debug!(provider, "the provider's models are listed"),
        }
        self.slot.landed.send_replace(());
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if !self.over {
            self.finish(Err(Trouble("the question was dropped".to_owned())));
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
