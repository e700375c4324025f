//! One running component with its own store: started, configured, good until it has been used enough.
//!
//! After any error of the engine the store refuses everything; such an instance is dropped, never mended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::{PoolConcurrencyLimitError, Store};

use crate::bindings::hooks::{about, lifecycle, on_complete, on_delta, on_finish, on_request, on_response, on_route};
use crate::clock::{Failure, guarded, on_tick};
use crate::component::Component;
use crate::engine::Inner;
use crate::error::ErrorKind;
use crate::explain::explain;
use crate::hook::Hook;
use crate::limits::Limits;
use crate::state::{Common, State};
use crate::ticker::Ticker;
use crate::verdict;
use crate::view::CallView;

/// Bytes that strings and lists of one call from or to a guest may take in the host; also caps a verdict.
const HOSTCALL_FUEL: usize = 16 << 20;
const MAX_HANDLES: usize = 1024;
/// Growth beyond twice the memory after the first hook, plus this, is taken for a leak.
const GROWTH_ALLOWED: usize = 4 << 20;

/// The typed functions of the exports; absent where the component does not export them.
pub(crate) struct Guests {
    pub(crate) about: Option<about::Guest>,
    pub(crate) lifecycle: Option<lifecycle::Guest>,
    pub(crate) on_request: Option<on_request::Guest>,
    pub(crate) on_route: Option<on_route::Guest>,
    pub(crate) on_response: Option<on_response::Guest>,
    pub(crate) on_delta: Option<on_delta::Guest>,
    pub(crate) on_finish: Option<on_finish::Guest>,
    pub(crate) on_complete: Option<on_complete::Guest>,
}

pub(crate) struct Instance {
    pub(crate) store: Store<State>,
    pub(crate) guests: Guests,
    pub(crate) ticker: Arc<Ticker>,
    born: Instant,
    age: Duration,
    uses_left: u32,
    /// Memory after the first hook; 0 before it.
    baseline: usize,
}

/// Why an instance did not start or take its settings.
pub(crate) struct Refusal {
    pub(crate) kind: ErrorKind,
    pub(crate) message: String,
    /// The guest itself refused its settings, by a returned fault.
    pub(crate) settings: bool,
}

impl Instance {
    /// Instantiates by `deadline`. The deadline and the account stand before any guest code runs: starting runs some.
    pub(crate) async fn start(
        sandbox: &Inner,
        component: &Component,
        common: &Arc<Common>,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<Instance, Refusal> {
        match Instance::try_start(sandbox, component, common, limits, deadline).await {
            Err((failure, store)) if is_exhausted(&failure) => {
                // Idle instances, of this or other plugins, hold the slots: they are worth less than this hook.
                drop(store);
                sandbox.reclaim();
                Instance::try_start(sandbox, component, common, limits, deadline).await
            }
            other => other,
        }
        .map_err(|(failure, store)| {
            let (kind, message) = explain(&failure, store.data(), "starting the instance", limits.start);
            Refusal { kind, message, settings: false }
        })
    }

    async fn try_start(
        sandbox: &Inner,
        component: &Component,
        common: &Arc<Common>,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<Instance, (Failure, Box<Store<State>>)> {
        let mut store = Store::new(&sandbox.engine, State::new(common.clone(), limits.memory, deadline));
        store.limiter(|state| &mut state.account);
        store.set_hostcall_fuel(HOSTCALL_FUEL);
        store.set_max_component_handles(MAX_HANDLES);
        store.epoch_deadline_callback(|store| Ok(on_tick(store.data().deadline)));
        store.set_epoch_deadline(1);
        let instance = match guarded(&sandbox.ticker, deadline, component.pre.instantiate_async(&mut store)).await {
            Ok(instance) => instance,
            Err(failure) => return Err((failure, Box::new(store))),
        };
        let guests = match Guests::load(component, &mut store, &instance) {
            Ok(guests) => guests,
            Err(error) => return Err((Failure::Wasm(error), Box::new(store))),
        };
        // Up to a quarter fewer, so that the instances of a plugin do not all end at once.
        let uses_left = limits.uses.saturating_sub(fastrand::u32(0..=limits.uses / 4)).max(1);
        let ticker = Arc::clone(&sandbox.ticker);
        Ok(Instance { store, guests, ticker, born: Instant::now(), age: limits.age, uses_left, baseline: 0 })
    }

    /// Hands the settings over, if the component takes any. The names that it answers, if it answers.
    pub(crate) async fn configure(
        &mut self,
        settings: &str,
        limits: &Limits,
        deadline: Instant,
    ) -> Result<Option<Vec<String>>, Refusal> {
        let Some(guest) = &self.guests.lifecycle else { return Ok(None) };
        self.store.data_mut().deadline = deadline;
        self.store.set_epoch_deadline(1);
        match guarded(&self.ticker, deadline, guest.call_configure(&mut self.store, settings)).await {
            Ok(Ok(hooks)) => Ok(hooks),
            Ok(Err(fault)) => {
                let (word, text) = verdict::fault(fault);
                let message = format!("`lifecycle.configure` refused the settings ({word}): {text}");
                Err(Refusal { kind: ErrorKind::Start, message, settings: true })
            }
            Err(failure) => {
                let (kind, message) = explain(&failure, self.store.data(), "`lifecycle.configure`", limits.start);
                Err(Refusal { kind, message, settings: false })
            }
        }
    }

    pub(crate) fn begin(&mut self, hook: Hook, view: Box<dyn CallView>, deadline: Instant) {
        self.store.data_mut().begin(hook, view, deadline);
        self.store.set_epoch_deadline(1);
    }

    pub(crate) fn is_aged(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.born) >= self.age
    }

    /// Counts a hook; false when this instance should serve no other.
    pub(crate) fn used(&mut self) -> bool {
        let memory = self.store.data().account.memory();
        if self.baseline == 0 {
            self.baseline = memory.max(1);
        }
        self.uses_left = self.uses_left.saturating_sub(1);
        self.uses_left > 0 && memory <= self.baseline.saturating_mul(2).saturating_add(GROWTH_ALLOWED)
    }
}

fn is_exhausted(failure: &Failure) -> bool {
    matches!(failure, Failure::Wasm(error) if error.is::<PoolConcurrencyLimitError>())
}

impl Guests {
    fn load(
        component: &Component,
        store: &mut Store<State>,
        instance: &wasmtime::component::Instance,
    ) -> wasmtime::Result<Guests> {
        let indices = &component.indices;
        Ok(Guests {
            about: indices.about.as_ref().map(|found| found.load(&mut *store, instance)).transpose()?,
            lifecycle: indices.lifecycle.as_ref().map(|found| found.load(&mut *store, instance)).transpose()?,
            on_request: indices.on_request.as_ref().map(|found| found.load(&mut *store, instance)).transpose()?,
            on_route: indices.on_route.as_ref().map(|found| found.load(&mut *store, instance)).transpose()?,
            on_response: indices.on_response.as_ref().map(|found| found.load(&mut *store, instance)).transpose()?,
            on_delta: indices.on_delta.as_ref().map(|found| found.load(&mut *store, instance)).transpose()?,
            on_finish: indices.on_finish.as_ref().map(|found| found.load(&mut *store, instance)).transpose()?,
            on_complete: indices.on_complete.as_ref().map(|found| found.load(&mut *store, instance)).transpose()?,
        })
    }
}
