//! What a store carries: the call of the running hook, the accounts of its limits, and an empty WASI.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder, WasiCtxView, WasiView};

use crate::canned::Canned;
use crate::hook::Hook;
use crate::limits::Account;
use crate::view::CallView;

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
    counted: Mutex<Vec<String>>,
}

impl Common {
    pub(crate) fn new(name: String) -> Common {
        Common { name, counted: Mutex::new(Vec::new()) }
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

    /// The call, for function `name` of interface `call`; an error outside a hook.
    pub(crate) fn call(&mut self, name: &str) -> wasmtime::Result<&mut dyn CallView> {
        if self.hook.is_none() {
            return Err(wasmtime::format_err!("`call.{name}` was called outside a hook, where there is no call"));
        }
        Ok(self.view.as_mut())
    }

    /// The call, for function `name` of interface `reply`; an error anywhere but in `on-response`.
    pub(crate) fn reply(&mut self, name: &str) -> wasmtime::Result<&mut dyn CallView> {
        if self.hook != Some(Hook::OnResponse) || !self.view.has_reply() {
            return Err(wasmtime::format_err!(
                "`reply.{name}` was called outside `on-response`, where there is no reply"
            ));
        }
        Ok(self.view.as_mut())
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
