//! The chain: one immutable generation of the loaded plugins, in order, with what each call needs to run them.
//!
//! A call pins the `Arc<Chain>` it started with and keeps it to its end, so the request and the reply hooks of one call are always of one
//! generation. It does not load anything (`load`) and runs nothing (`hooks`).

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use sluice_sandbox::{ErrorKind, Hook, HookError, HookSet, Plugin};

use super::breaker::Breaker;
use super::probation::Probation;
use super::select::{CallFacts, Kept};
use crate::config::{Match, OnError, Streams};
use crate::observe::metrics::PluginMetrics;

/// One plugin in its place.
pub struct Entry {
    pub plugin: Arc<Plugin>,
    pub name: Arc<str>,
    /// First twelve hex digits of the component's SHA-256, as receipts show it.
    pub digest: Arc<str>,
    pub order: i32,
    pub on_error: OnError,
    /// How a plugin with `on-response` and without `on-delta` meets a stream.
    pub streams: Streams,
    /// The calls that it runs on; `None` is every call.
    pub matching: Option<Match>,
    /// Whether it is to be taken back. Lives as long as the version, whatever its place in the chain.
    pub probation: Arc<Probation>,
    /// For the hooks on a call's way; lives as long as the version, too.
    pub breaker: Arc<Breaker>,
    /// For `on-finish`, whose failures must not keep the others from running.
    pub finish_breaker: Arc<Breaker>,
    pub metrics: Arc<PluginMetrics>,
}

impl Entry {
    pub fn hooks(&self) -> HookSet {
        self.plugin.hooks()
    }

    pub fn has(&self, hook: Hook) -> bool {
        self.plugin.hooks().contains(hook)
    }

    /// The version runs no more, for now: if it ever comes back, its breakers are closed.
    pub fn rest(&self) {
        self.breaker.reset();
        self.finish_breaker.reset();
    }

    /// Counts a hook, however it ended. `spent` is zero for one that was not run, which is none.
    pub fn ran(&self, hook: Hook, spent: Duration) {
        self.metrics.ran(hook, spent);
        if !spent.is_zero() {
            self.probation.ran();
        }
    }

    /// Counts a hook's failure. That there was no room to run it, or that it was not to be run, is no fault of this version.
    pub fn failed(&self, error: &HookError) {
        if error.kind == ErrorKind::BreakerOpen {
            return self.metrics.not_run();
        }
        self.metrics.failed(error.kind, &error.message);
        self.breaker.failed_by(error);
        if error.kind != ErrorKind::Overload {
            self.probation.failed(&error.message);
        }
    }

    /// The plugin reads replies, by either hook.
    pub fn reads_replies(&self) -> bool {
        self.has(Hook::OnResponse) || self.has(Hook::OnDelta)
    }
}

/// How the chain wants to see a streamed reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StreamPlan {
    /// Nobody looks: frames pass through.
    Pass,
    /// `on-delta` windows while it streams.
    Delta,
    /// A whole-reply plugin needs it complete.
    Hold,
    /// A plugin's `streams: refuse`; its position in the chain.
    Refuse(usize),
}

/// Counts a generation while anything of it is alive: the live chain, a call, a chain selected from it.
pub struct Alive(IntGauge);

impl Alive {
    pub fn new(gauge: &IntGauge) -> Arc<Alive> {
        gauge.inc();
        Arc::new(Alive(gauge.clone()))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[derive(Default)]
pub struct Chain {
    pub generation: u64,
    /// Rising `order`, ties by name.
    pub entries: Vec<Arc<Entry>>,
    /// Names from `plugins.required` that are not live; calls are refused while any is listed.
    pub missing: Vec<String>,
    request_hooks: bool,
    route_hooks: bool,
    reply_hooks: bool,
    finish_hooks: bool,
    complete_hooks: bool,
    plan: Option<StreamPlan>,
    /// Some plugin has a `match`.
    conditional: bool,
    by_model: bool,
    /// What calls selected lately: which of the conditional plugins fit, and the chain without the others.
    selected: Kept<Chain>,
    alive: Option<Arc<Alive>>,
}

impl Chain {
    pub fn new(
        generation: u64,
        mut entries: Vec<Arc<Entry>>,
        missing: Vec<String>,
        alive: Option<Arc<Alive>>,
    ) -> Chain {
        entries.sort_by(|a, b| a.order.cmp(&b.order).then_with(|| a.name.cmp(&b.name)));
        let request_hooks = entries.iter().any(|entry| entry.has(Hook::OnRequest));
        let route_hooks = entries.iter().any(|entry| entry.has(Hook::OnRoute));
        let reply_hooks = entries.iter().any(|entry| entry.reads_replies());
        let finish_hooks = entries.iter().any(|entry| entry.has(Hook::OnFinish));
        let complete_hooks = entries.iter().any(|entry| entry.has(Hook::OnComplete));
        let plan = Some(plan(&entries));
        let conditional = entries.iter().any(|entry| entry.matching.is_some());
        let by_model = entries.iter().filter_map(|entry| entry.matching.as_ref()).any(|m| !m.model.is_empty());
        let selected = Kept::default();
        Chain {
            generation,
            entries,
            missing,
            request_hooks,
            route_hooks,
            reply_hooks,
            finish_hooks,
            complete_hooks,
            plan,
            conditional,
            by_model,
            selected,
            alive,
        }
    }

    /// Whether [`Chain::select`] looks at the call at all.
    pub fn is_conditional(&self) -> bool {
        self.conditional
    }

    /// Whether [`CallFacts::models`] decides anything.
    pub fn selects_by_model(&self) -> bool {
        self.by_model
    }

    /// The chain for one call: itself where every plugin fits, else one of the same generation without those whose `match` does not.
    /// `missing` goes with every chain: a required policy that is not there refuses calls that it would not have run on, too.
    pub fn select(self: Arc<Chain>, facts: &CallFacts<'_>) -> Arc<Chain> {
        if !self.conditional {
            return self;
        }
        let conditions = self.entries.iter().filter_map(|entry| entry.matching.as_ref());
        let fits: Vec<bool> = conditions.map(|condition| facts.fit(condition)).collect();
        if fits.iter().all(|fits| *fits) {
            return self;
        }
        self.selected.get_or_make(fits, |fits| {
            let mut next = fits.iter();
            let runs = |entry: &&Arc<Entry>| entry.matching.is_none() || next.next().is_some_and(|fits| *fits);
            let entries = self.entries.iter().filter(runs).cloned().collect();
            Chain::new(self.generation, entries, self.missing.clone(), self.alive.clone())
        })
    }

    pub fn has_request_hooks(&self) -> bool {
        self.request_hooks
    }

    /// Whether [`hooks::route`](crate::hooks::route) has anything to run.
    pub fn has_route_hooks(&self) -> bool {
        self.route_hooks
    }

    pub fn has_reply_hooks(&self) -> bool {
        self.reply_hooks
    }

    pub fn has_finish_hooks(&self) -> bool {
        self.finish_hooks
    }

    pub fn has_complete_hooks(&self) -> bool {
        self.complete_hooks
    }

    pub fn stream_plan(&self) -> StreamPlan {
        self.plan.unwrap_or(StreamPlan::Pass)
    }
}

fn plan(entries: &[Arc<Entry>]) -> StreamPlan {
    let whole_only = |entry: &Entry| entry.has(Hook::OnResponse) && !entry.has(Hook::OnDelta);
    let mut plan = StreamPlan::Pass;
    for (at, entry) in entries.iter().enumerate() {
        if whole_only(entry) {
            match entry.streams {
                Streams::Refuse => return StreamPlan::Refuse(at),
                Streams::Hold => plan = StreamPlan::Hold,
                Streams::Skip => {}
            }
        } else if entry.has(Hook::OnDelta) && plan == StreamPlan::Pass {
            plan = StreamPlan::Delta;
        }
    }
    plan
}
