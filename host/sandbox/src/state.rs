//! What a store carries: the call of the running hook, the accounts of its limits, and an empty WASI.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::canned::Canned;
use crate::hook::Hook;
use crate::kv::Grants;
use crate::limits::Account;
use crate::view::{CallView, Targets};

/// Handles of WASI resources (streams, pollables) that an instance may hold.
const MAX_RESOURCES: usize = 1024;
/// Log messages of one hook; the interface promises this number.
pub(crate) const MAX_LOGS: u32 = 64;
/// Different names that one plugin may count; the interface promises this number.
pub(crate) const MAX_COUNTS: usize = 32;
/// One answer of WASI's random functions, in bytes.
const MAX_WASI_RANDOM: u64 = 64 << 10;

/// What all instances of one plugin share.
pub(crate) struct Common {
    pub(crate) name: String,
    pub(crate) grants: Grants,
    withdrawn: AtomicBool,
    counted: Mutex<Vec<String>>,
}

impl Common {
    pub(crate) fn new(name: String, grants: Grants) -> Common {
        Common { name, grants, withdrawn: AtomicBool::new(false), counted: Mutex::new(Vec::new()) }
    }

    pub(crate) fn withdraw(&self) {
        self.withdrawn.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_withdrawn(&self) -> bool {
        self.withdrawn.load(Ordering::Relaxed)
    }

    /// Whether `name` may be counted: it is among the first [`MAX_COUNTS`] names of this plugin.
    pub(crate) fn may_count(&self, name: &str) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if counted.iter().any(|known| known == name) {
            return true;
        }
        if counted.len() == MAX_COUNTS {
            return false;
        }
        counted.push(name.to_owned());
        if counted.len() == MAX_COUNTS {
            tracing::warn!(plugin = %self.name, "the plugin counts {MAX_COUNTS} names; further ones are dropped");
        }
        true
    }
}

pub(crate) struct State {
    pub(crate) common: Arc<Common>,
    pub(crate) deadline: Instant,
    pub(crate) account: Account,
    /// Between hooks the canned call stands here, so that there is always one to hand back.
    view: Box<dyn CallView>,
    hook: Option<Hook>,
    pub(crate) logs_left: u32,
    /// What `on-complete` counted, which has no call to count for.
    gathered: Vec<(String, u64)>,
    /// The last message at level error: SDKs log a panic's text just before the trap, and the trap itself carries none.
    pub(crate) last_error: Option<String>,
    table: ResourceTable,
    /// Made when first asked for: most guests never ask, and it costs more than the rest of the store.
    wasi: Option<WasiCtx>,
}

impl State {
    pub(crate) fn new(common: Arc<Common>, memory: usize, deadline: Instant) -> State {
        let mut table = ResourceTable::new();
        table.set_max_capacity(MAX_RESOURCES);
        State {
            common,
            deadline,
            account: Account::new(memory),
            view: Box::new(Canned),
            hook: None,
            logs_left: MAX_LOGS,
            gathered: Vec::new(),
            last_error: None,
            table,
            wasi: None,
        }
    }

    pub(crate) fn begin(&mut self, hook: Hook, view: Box<dyn CallView>, deadline: Instant) {
        self.view = view;
        self.hook = Some(hook);
        self.deadline = deadline;
        self.logs_left = MAX_LOGS;
        self.last_error = None;
        self.gathered.clear();
        self.account.refused = false;
    }

    /// Takes the call back and closes `call` and `reply` again.
    pub(crate) fn end(&mut self) -> Box<dyn CallView> {
        self.hook = None;
        std::mem::replace(&mut self.view, Box::new(Canned))
    }

    pub(crate) fn in_hook(&self) -> bool {
        self.hook.is_some()
    }

    /// Whether the hook under way is about one call.
    pub(crate) fn has_call(&self) -> bool {
        !matches!(self.hook, None | Some(Hook::OnComplete))
    }

    /// The call, for function `name` of interface `call`; an error where a hook has none, and outside hooks.
    pub(crate) fn call(&mut self, name: &str) -> wasmtime::Result<&mut dyn CallView> {
        match self.hook {
            None => Err(wasmtime::format_err!("`call.{name}` was called outside a hook, where there is no call")),
            Some(Hook::OnComplete) => Err(wasmtime::format_err!(
                "`call.{name}` was called in `on-complete`, which has many calls and not one; read its documents"
            )),
            Some(_) => Ok(self.view.as_mut()),
        }
    }

    /// The call, for function `name` of interface `reply`: an error where a reply cannot be, `None` where a finished call got none.
    pub(crate) fn reply(&mut self, name: &str) -> wasmtime::Result<Option<&mut dyn CallView>> {
        match self.hook {
            Some(Hook::OnResponse) if self.view.has_reply() => Ok(Some(self.view.as_mut())),
            Some(Hook::OnFinish) => Ok(self.view.has_reply().then_some(self.view.as_mut())),
            Some(Hook::OnComplete) => Err(wasmtime::format_err!(
                "`reply.{name}` was called in `on-complete`, which has many calls and not one; read its documents"
            )),
            _ => Err(wasmtime::format_err!(
                "`reply.{name}` was called outside `on-response` and `on-finish`, where there is no reply"
            )),
        }
    }

    /// What could serve the call, for function `name` of interface `targets`; an error outside `on-route`, and for a target that is not
    /// there.
    pub(crate) fn targets(&mut self, name: &str, target: u32) -> wasmtime::Result<&dyn Targets> {
        if self.hook != Some(Hook::OnRoute) {
            return Err(wasmtime::format_err!(
                "`targets.{name}` was called outside `on-route`, where there are no targets"
            ));
        }
        let targets = self.view.targets();
        let count = targets.map_or(0, Targets::count);
        targets.filter(|_| target < count).ok_or_else(|| {
            wasmtime::format_err!("`targets.{name}` was asked for target {target}; this call has {count}, from 0")
        })
    }

    /// How the call ended: known in `on-finish`, reply or not.
    pub(crate) fn outcome_of_call(&mut self) -> wasmtime::Result<Option<String>> {
        if self.hook == Some(Hook::OnFinish) {
            return Ok(self.view.reply_outcome());
        }
        self.reply("outcome").map(|_| None)
    }

    /// Counts for a hook without a call. Few names: [`Common::may_count`] has let them through.
    pub(crate) fn gather(&mut self, name: &str, by: u64) {
        match self.gathered.iter_mut().find(|(known, _)| known == name) {
            Some((_, sum)) => *sum = sum.saturating_add(by),
            None => self.gathered.push((name.to_owned(), by)),
        }
    }

    pub(crate) fn take_gathered(&mut self) -> Vec<(String, u64)> {
        std::mem::take(&mut self.gathered)
    }
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: self.wasi.get_or_insert_with(empty_wasi), table: &mut self.table }
    }
}

/// Everything that a plain guest links against and nothing behind it: no files, arguments, environment or sockets; input closed, output
/// swallowed. Clocks and randomness work.
fn empty_wasi() -> WasiCtx {
    let mut builder = WasiCtxBuilder::new();
    builder.allow_tcp(false).allow_udp(false).allow_ip_name_lookup(false).max_random_size(MAX_WASI_RANDOM);
    builder.build()
}
