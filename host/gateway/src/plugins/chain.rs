//! The chain: one immutable generation of the loaded plugins, in order, with what each call needs to run them.
//!
//! A call pins the `Arc<Chain>` it started with and keeps it to its end, so the request and the reply hooks of one call are always of one
//! generation. It does not load anything (`load`) and runs nothing (`hooks`).

use std::sync::Arc;

use sluice_sandbox::{Hook, HookSet, Plugin};

use crate::config::{OnError, Streams};
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
    pub metrics: Arc<PluginMetrics>,
}

impl Entry {
    pub fn hooks(&self) -> HookSet {
        self.plugin.hooks()
    }

    pub fn has(&self, hook: Hook) -> bool {
        self.plugin.hooks().contains(hook)
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

#[derive(Default)]
pub struct Chain {
    pub generation: u64,
    /// Rising `order`, ties by name.
    pub entries: Vec<Arc<Entry>>,
    /// Names from `plugins.required` that are not live; calls are refused while any is listed.
    pub missing: Vec<String>,
    request_hooks: bool,
    reply_hooks: bool,
    plan: Option<StreamPlan>,
}

impl Chain {
    pub fn new(generation: u64, mut entries: Vec<Arc<Entry>>, missing: Vec<String>) -> Chain {
        entries.sort_by(|a, b| a.order.cmp(&b.order).then_with(|| a.name.cmp(&b.name)));
        let request_hooks = entries.iter().any(|entry| entry.has(Hook::OnRequest));
        let reply_hooks = entries.iter().any(|entry| entry.reads_replies());
        let plan = plan(&entries);
        Chain { generation, entries, missing, request_hooks, reply_hooks, plan: Some(plan) }
    }

    pub fn has_request_hooks(&self) -> bool {
        self.request_hooks
    }

    pub fn has_reply_hooks(&self) -> bool {
        self.reply_hooks
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
