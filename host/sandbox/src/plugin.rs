//! A loaded plugin and its hooks: take an instance, run, check the verdict, give the instance back or drop it.
//!
//! Every hook hands its view back whatever happened. A hook whose future is dropped drops its instance and view with it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::bindings::imports::types;
use crate::canned::Canned;
use crate::clock::{Failure, guarded};
use crate::component::Component;
use crate::engine::Sandbox;
use crate::error::{ErrorKind, HookError};
use crate::explain::explain;
use crate::hook::{Hook, HookSet};
use crate::instance::Instance;
use crate::limits::Limits;
use crate::manifest::Manifest;
use crate::pool::Pool;
use crate::state::Common;
use crate::verdict::{self, DeltaVerdict, RequestVerdict, ResponseVerdict, RouteVerdict, Window};
use crate::view::{CallView, Targets};

/// What a hook came to.
pub struct Ran<V> {
    /// The call, always handed back.
    pub view: Box<dyn CallView>,
    pub result: Result<V, HookError>,
    /// Everything, a fresh instance's start included.
    pub spent: Duration,
    /// Whether an instance had to be started.
    pub fresh: bool,
}

/// Documents that `on-complete` gets at once; the interface promises this number.
pub const MAX_BATCH_ITEMS: usize = 256;
/// Bytes of all documents of one batch; the interface promises this number.
pub const MAX_BATCH_BYTES: usize = 4 << 20;

/// What `on-complete` came to.
#[derive(Debug)]
pub struct Completed {
    pub result: Result<(), HookError>,
    /// What the plugin counted, with a failed hook too: there is no view that could be told. At most 32 names.
    pub counts: Vec<(String, u64)>,
    /// Everything, a fresh instance's start included.
    pub spent: Duration,
    /// Whether an instance had to be started.
    pub fresh: bool,
}

/// What a plugin has done since it was loaded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Hooks that were asked for, in the order of [`Hook::ALL`].
    pub hooks: [u64; Hook::ALL.len()],
    /// Hooks without a verdict, in the order of [`ErrorKind::ALL`].
    pub errors: [u64; ErrorKind::ALL.len()],
    /// Instances started since loading.
    pub started: u64,
    /// Hooks running now.
    pub running: u32,
    /// Instances waiting for a hook now.
    pub idle: usize,
}

#[derive(Default)]
struct Tally {
    hooks: [AtomicU64; Hook::ALL.len()],
    errors: [AtomicU64; ErrorKind::ALL.len()],
    started: AtomicU64,
    running: AtomicU32,
}

/// A component with its settings, ready for hooks. Dropping the last one frees its instances.
pub struct Plugin {
    pub(crate) sandbox: Sandbox,
    pub(crate) component: Arc<Component>,
    pub(crate) common: Arc<Common>,
    pub(crate) settings: String,
    pub(crate) limits: Limits,
    pub(crate) manifest: Manifest,
    pub(crate) hooks: HookSet,
    pub(crate) pool: Arc<Pool>,
    tally: Tally,
}

/// One of the plugin's places for a hook; given back when dropped.
struct Place<'a>(&'a AtomicU32);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A hook under way.
struct Active<'a> {
    hook: Hook,
    instance: Instance,
    started: Instant,
    wall: Duration,
    deadline: Instant,
    fresh: bool,
    _place: Place<'a>,
}

impl Plugin {
    pub(crate) fn new(
        sandbox: Sandbox,
        component: Arc<Component>,
        common: Arc<Common>,
        settings: String,
        limits: Limits,
        manifest: Manifest,
        hooks: HookSet,
    ) -> Plugin {
        let pool = Arc::new(Pool::new(limits.concurrency as usize));
        sandbox.0.register(&pool);
        Plugin { sandbox, component, common, settings, limits, manifest, hooks, pool, tally: Tally::default() }
    }

    /// As the operator named it.
    pub fn name(&self) -> &str {
        &self.common.name
    }

    pub fn component(&self) -> &Arc<Component> {
        &self.component
    }

    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The hooks to run: those exported, less those that `configure` said these settings do not need.
    pub fn hooks(&self) -> HookSet {
        self.hooks
    }

    /// Takes back all that it was granted, for good and in hooks under way too: every use is a `fault.denied` from now on. What grants it
    /// again is another load.
    pub fn withdraw_grants(&self) {
        self.common.withdraw();
    }

    /// Whether [`Plugin::withdraw_grants`] was called.
    pub fn is_withdrawn(&self) -> bool {
        self.common.is_withdrawn()
    }

    pub fn counters(&self) -> Counters {
        Counters {
            hooks: std::array::from_fn(|i| self.tally.hooks.get(i).map_or(0, |n| n.load(Ordering::Relaxed))),
            errors: std::array::from_fn(|i| self.tally.errors.get(i).map_or(0, |n| n.load(Ordering::Relaxed))),
            started: self.tally.started.load(Ordering::Relaxed),
            running: self.tally.running.load(Ordering::Relaxed),
            idle: self.pool.idle(),
        }
    }

    /// Needs a tokio runtime with timers, as every hook does. Ends within `Limits::wall` and a few ms; where an instance has to be started,
    /// within `Limits::start` more.
    pub async fn on_request(&self, view: Box<dyn CallView>) -> Ran<RequestVerdict> {
        let mut active = match self.begin(Hook::OnRequest, view, self.limits.wall).await {
            Ok(active) => active,
            Err(refused) => return refused.into(),
        };
        let instance = &mut active.instance;
        let ended = match &instance.guests.on_request {
            Some(guest) => {
                guarded(&self.sandbox.0.ticker, active.deadline, guest.call_on_request(&mut instance.store)).await
            }
            None => Err(not_exported(Hook::OnRequest)),
        };
        self.end(active, ended, verdict::request)
    }

    /// As [`Plugin::on_request`], on a view that has targets.
    pub async fn on_route(&self, view: Box<dyn CallView>) -> Ran<RouteVerdict> {
        let count = view.targets().map_or(0, Targets::count);
        let mut active = match self.begin(Hook::OnRoute, view, self.limits.wall).await {
            Ok(active) => active,
            Err(refused) => return refused.into(),
        };
        let instance = &mut active.instance;
        let ended = match &instance.guests.on_route {
            Some(guest) => {
                guarded(&self.sandbox.0.ticker, active.deadline, guest.call_on_route(&mut instance.store, count)).await
            }
            None => Err(not_exported(Hook::OnRoute)),
        };
        self.end(active, ended, |given| verdict::route(given, count))
    }

    /// As [`Plugin::on_request`].
    pub async fn on_response(&self, view: Box<dyn CallView>) -> Ran<ResponseVerdict> {
        let mut active = match self.begin(Hook::OnResponse, view, self.limits.wall).await {
            Ok(active) => active,
            Err(refused) => return refused.into(),
        };
        let instance = &mut active.instance;
        let ended = match &instance.guests.on_response {
            Some(guest) => {
                guarded(&self.sandbox.0.ticker, active.deadline, guest.call_on_response(&mut instance.store)).await
            }
            None => Err(not_exported(Hook::OnResponse)),
        };
        self.end(active, ended, verdict::response)
    }

    /// As [`Plugin::on_request`], within `Limits::delta_wall`.
    pub async fn on_delta(&self, view: Box<dyn CallView>, window: Window) -> Ran<DeltaVerdict> {
        let mut active = match self.begin(Hook::OnDelta, view, self.limits.delta_wall).await {
            Ok(active) => active,
            Err(refused) => return refused.into(),
        };
        let window = window.into();
        let instance = &mut active.instance;
        let ended = match &instance.guests.on_delta {
            Some(guest) => {
                guarded(&self.sandbox.0.ticker, active.deadline, guest.call_on_delta(&mut instance.store, &window))
                    .await
            }
            None => Err(not_exported(Hook::OnDelta)),
        };
        self.end(active, ended, verdict::delta)
    }

    /// As [`Plugin::on_request`], on a call that is over: the view refuses every edit.
    pub async fn on_finish(&self, view: Box<dyn CallView>) -> Ran<()> {
        let mut active = match self.begin(Hook::OnFinish, view, self.limits.wall).await {
            Ok(active) => active,
            Err(refused) => return refused.into(),
        };
        let instance = &mut active.instance;
        let ended = match &instance.guests.on_finish {
            Some(guest) => {
                guarded(&self.sandbox.0.ticker, active.deadline, guest.call_on_finish(&mut instance.store)).await
            }
            None => Err(not_exported(Hook::OnFinish)),
        };
        self.end(active, ended, Ok)
    }

    /// Hands finished calls over, each a JSON document; time as [`Plugin::on_request`]. A batch of more than [`MAX_BATCH_ITEMS`] or
    /// [`MAX_BATCH_BYTES`] is an `Overload` and reaches no guest.
    pub async fn on_complete(&self, batch: Vec<String>) -> Completed {
        let (items, bytes) = (batch.len(), batch.iter().map(String::len).sum::<usize>());
        if items > MAX_BATCH_ITEMS || bytes > MAX_BATCH_BYTES {
            let message = format!(
                "a batch of {items} documents and {bytes} bytes; `on-complete` gets at most {MAX_BATCH_ITEMS} and {MAX_BATCH_BYTES}"
            );
            let error = self.failed(HookError::new(ErrorKind::Overload, message));
            return Completed { result: Err(error), counts: Vec::new(), spent: Duration::ZERO, fresh: false };
        }
        let mut active = match self.begin(Hook::OnComplete, Box::new(Canned), self.limits.wall).await {
            Ok(active) => active,
            Err(Refused { error, spent, fresh, .. }) => {
                return Completed { result: Err(error), counts: Vec::new(), spent, fresh };
            }
        };
        let instance = &mut active.instance;
        let ended = match &instance.guests.on_complete {
            Some(guest) => {
                guarded(&self.sandbox.0.ticker, active.deadline, guest.call_on_complete(&mut instance.store, &batch))
                    .await
            }
            None => Err(not_exported(Hook::OnComplete)),
        };
        let counts = active.instance.store.data_mut().take_gathered();
        let Ran { result, spent, fresh, .. } = self.end(active, ended, Ok);
        Completed { result, counts, spent, fresh }
    }

    async fn begin(&self, hook: Hook, view: Box<dyn CallView>, wall: Duration) -> Result<Active<'_>, Refused> {
        let started = Instant::now();
        if let Some(count) = self.tally.hooks.get(hook as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        let refuse = |view, kind, message, fresh| {
            let error = self.failed(HookError { kind, message });
            Err(Refused { view, error, spent: started.elapsed(), fresh })
        };
        if !self.component.hooks().contains(hook) {
            // Asked for a hook that `Plugin::hooks` does not name: an error, so that no call runs unguarded.
            return refuse(view, ErrorKind::Start, format!("the component does not export `{hook}`"), false);
        }
        // Counted first and looked at after, so that two threads never both take the last place.
        let before = self.tally.running.fetch_add(1, Ordering::Relaxed);
        let place = Place(&self.tally.running);
        if before >= self.limits.concurrency {
            let message = format!("{before} hooks of the plugin run already; `limits.concurrency` allows no more");
            return refuse(view, ErrorKind::Overload, message, false);
        }
        let mut now = started;
        let mut idle = std::iter::from_fn(|| self.pool.take());
        let (mut instance, fresh) = match idle.find(|instance| !instance.is_aged(started)) {
            Some(instance) => (instance, false),
            None => match self.fresh(started).await {
                Ok(instance) => {
                    now = Instant::now();
                    (instance, true)
                }
                Err(error) => return refuse(view, error.kind, error.message, true),
            },
        };
        let deadline = now + wall;
        instance.begin(hook, view, deadline);
        Ok(Active { hook, instance, started, wall, deadline, fresh, _place: place })
    }

    /// Starts and configures an instance within `Limits::start` from `started`.
    async fn fresh(&self, started: Instant) -> Result<Instance, HookError> {
        let deadline = started + self.limits.start;
        self.tally.started.fetch_add(1, Ordering::Relaxed);
        // Boxed: rare, and its future would make that of every hook larger.
        let starting = Box::pin(async {
            let mut instance =
                Instance::start(&self.sandbox.0, &self.component, &self.common, &self.limits, deadline).await?;
            instance.configure(&self.settings, &self.limits, deadline).await?;
            Ok(instance)
        });
        starting.await.map_err(|refusal: crate::instance::Refusal| {
            let kind = if refusal.kind == ErrorKind::Overload { ErrorKind::Overload } else { ErrorKind::Start };
            HookError { kind, message: refusal.message }
        })
    }

    fn end<W, V>(
        &self,
        mut active: Active<'_>,
        ended: Result<Result<W, types::Fault>, Failure>,
        check: impl FnOnce(W) -> Result<V, String>,
    ) -> Ran<V> {
        let view = active.instance.store.data_mut().end();
        let hook = active.hook;
        let (result, keep) = match ended {
            Ok(Ok(given)) => match check(given) {
                Ok(verdict) => (Ok(verdict), true),
                Err(why) => (Err(HookError::new(ErrorKind::BadVerdict, format!("`{hook}`: {why}"))), false),
            },
            Ok(Err(fault)) => {
                let (word, text) = verdict::fault(fault);
                (Err(HookError::new(ErrorKind::Fault, format!("`{hook}` failed ({word}): {text}"))), true)
            }
            Err(failure) => {
                let doing = format!("`{hook}`");
                let (kind, message) = explain(&failure, active.instance.store.data(), &doing, active.wall);
                (Err(HookError { kind, message }), false)
            }
        };
        if keep && active.instance.used() {
            self.pool.put(active.instance);
        }
        Ran {
            view,
            result: result.map_err(|error| self.failed(error)),
            spent: active.started.elapsed(),
            fresh: active.fresh,
        }
    }

    fn failed(&self, error: HookError) -> HookError {
        if let Some(count) = self.tally.errors.get(error.kind as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        error
    }
}

/// A hook that never began.
struct Refused {
    view: Box<dyn CallView>,
    error: HookError,
    spent: Duration,
    fresh: bool,
}

impl<V> From<Refused> for Ran<V> {
    fn from(refused: Refused) -> Self {
        Ran { view: refused.view, result: Err(refused.error), spent: refused.spent, fresh: refused.fresh }
    }
}

/// Never met: `begin` looks first. An error all the same, so that no call could run unguarded.
fn not_exported(hook: Hook) -> Failure {
    Failure::Wasm(wasmtime::format_err!("the component does not export `{hook}`"))
}
