//! The process's one engine: its pool, its ticking epoch, its linker. Compiles and holds; what a component may be is `shape`'s business.

use std::fmt::Write as _;
use std::hash::{Hash, Hasher};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use aws_lc_rs::digest;
use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Enabled, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::bindings::Everything;
use crate::clock::panic_text;
use crate::component::{self, Component};
use crate::error::{LoadError, LoadErrorKind};
use crate::limits::MAX_TABLE_ELEMENTS;
use crate::pool::Pool;
use crate::state::State;
use crate::ticker::Ticker;

/// Stack of a guest. Endless recursion ends here, in a trap.
const MAX_WASM_STACK: usize = 512 << 10;

/// What all plugins of a process share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// How often a computing guest is looked at, and so the precision of its wall limit. At least 1 ms.
    pub tick: Duration,
    /// Live instances of all plugins together; address space is reserved for them, about 12 GiB each.
    pub max_instances: u32,
    /// The most that any plugin's `Limits::memory` can give, in bytes for each memory.
    pub max_memory: usize,
    /// The largest `.wasm` file, in bytes.
    pub max_component: usize,
}

impl Default for Config {
    fn default() -> Self {
        Config { tick: Duration::from_millis(1), max_instances: 256, max_memory: 256 << 20, max_component: 32 << 20 }
    }
}

/// Compiles components and runs plugins. Clones share everything; the last one to go stops the ticking thread.
#[derive(Clone)]
pub struct Sandbox(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) linker: Linker<State>,
    pub(crate) config: Config,
    pub(crate) ticker: Arc<Ticker>,
    /// For taking idle instances back when the engine's pool runs out.
    pools: Mutex<Vec<Weak<Pool>>>,
}

impl Sandbox {
    /// # Errors
    /// `Host`, if the machine lacks what an engine needs. A machine with too little address space for the pool gets on-demand allocation
    /// and a warning instead.
    pub fn new(config: Config) -> Result<Sandbox, LoadError> {
        let engine = match Engine::new(&engine_config(&config, true)) {
            Ok(engine) => engine,
            Err(error) => {
                tracing::warn!("no address space for the instance pool, plugins will start slower: {error:#}");
                Engine::new(&engine_config(&config, false)).map_err(|error| host_error("the engine", &error))?
            }
        };
        let linker = linker(&engine).map_err(|error| host_error("the linker", &error))?;
        let ticker = Ticker::start(&engine, config.tick.max(Duration::from_millis(1))).map_err(|error| {
            LoadError::new(LoadErrorKind::Host, format!("no thread for the plugins' clock: {error}"))
        })?;
        Ok(Sandbox(Arc::new(Inner { engine, linker, config, ticker, pools: Mutex::new(Vec::new()) })))
    }

    /// Compiles and checks a file. Takes from milliseconds to seconds of one core: never call it on a thread that serves calls.
    ///
    /// # Errors
    /// Anything that makes the file unusable whatever its settings, by the name of the export or import at fault.
    pub fn compile(&self, wasm: &[u8]) -> Result<Arc<Component>, LoadError> {
        self.compiled(wasm).and_then(|component| Component::new(&self.0, wasm, component)).map(Arc::new)
    }

    /// A name for what this process's compiled code depends on: the engine's version and settings, and the machine's kind. Letters, digits
    /// and dashes, so that a folder can have it.
    pub fn engine_key(&self) -> String {
        key(&self.0.engine)
    }

    /// As [`Sandbox::compile`], from code that [`Component::native`] gave for the same file: a hundred times faster. Every check of
    /// `compile` runs again. Refuses, as `Invalid`, the code of another file or of an engine with another key; the caller then compiles.
    ///
    /// # Safety
    /// `native` must be, byte for byte, what `Component::native` returned, to this process or to another with the same key: it is code
    /// that will run outside the sandbox. Neither its origin nor damage inside it can be seen here, so that whoever keeps it must keep it
    /// where nobody else can write, with a checksum.
    ///
    /// # Errors
    /// As [`Sandbox::compile`].
    pub unsafe fn compile_from(&self, wasm: &[u8], native: &[u8]) -> Result<Arc<Component>, LoadError> {
        check_frame(wasm, self.0.config.max_component)?;
        let refuse =
            |why: String| LoadError::new(LoadErrorKind::Invalid, format!("kept compiled code is not used: {why}"));
        let code = native
            .strip_prefix(component::digest(wasm).as_bytes())
            .ok_or_else(|| refuse("it is of another file".to_owned()))?;
        // SAFETY: the caller promises that it is this engine's own output.
        let revived = unsafe { wasmtime::component::Component::deserialize(&self.0.engine, code) };
        let component = revived.map_err(|error| refuse(format!("{error:#}")))?;
        component.initialize_copy_on_write_image().map_err(|error| refuse(format!("{error:#}")))?;
        Component::new(&self.0, wasm, component).map(Arc::new)
    }

    /// Only compiled: nothing is said about its imports and exports yet.
    pub(crate) fn compiled(&self, wasm: &[u8]) -> Result<wasmtime::component::Component, LoadError> {
        check_frame(wasm, self.0.config.max_component)?;
        // The compiler may panic on hostile input; that costs this file only.
        let compiled = catch_unwind(AssertUnwindSafe(|| {
            let component = wasmtime::component::Component::from_binary(&self.0.engine, wasm)?;
            component.initialize_copy_on_write_image()?;
            Ok::<_, wasmtime::Error>(component)
        }));
        match compiled {
            Ok(Ok(component)) => Ok(component),
            Ok(Err(error)) => Err(LoadError::new(
                LoadErrorKind::Invalid,
                format!(
                    "not a whole, valid component: {error:#}; build it again, or copy it under another name and rename it"
                ),
            )),
            Err(payload) => Err(LoadError::new(
                LoadErrorKind::Invalid,
                format!("the compiler broke on this component: {}", panic_text(payload.as_ref())),
            )),
        }
    }

    /// Drops idle instances that are past their age. Cheap; worth calling every minute or so.
    pub fn sweep(&self) {
        for pool in self.0.live_pools() {
            pool.drop_aged();
        }
    }
}

/// Takes what the engine hashes of itself into a digest that does not change with the standard library.
struct KeyHasher(digest::Context);

impl Hasher for KeyHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// Not what is asked for: the digest is longer.
    fn finish(&self) -> u64 {
        0
    }
}

pub(crate) fn key(engine: &Engine) -> String {
    let mut hasher = KeyHasher(digest::Context::new(&digest::SHA256));
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let hash = hasher.0.finish();
    hash.as_ref().iter().take(16).fold("native-".to_owned(), |mut key, byte| {
        // Writing to a string cannot fail.
        let _ = write!(key, "{byte:02x}");
        key
    })
}

impl Inner {
    pub(crate) fn register(&self, pool: &Arc<Pool>) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|pool| pool.strong_count() > 0);
        pools.push(Arc::downgrade(pool));
    }

    fn live_pools(&self) -> Vec<Arc<Pool>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(Weak::upgrade).collect()
    }

    /// Drops every idle instance of every plugin; called when the engine has no slot left.
    pub(crate) fn reclaim(&self) {
        for pool in self.live_pools() {
            pool.drop_idle();
        }
    }
}

fn host_error(what: &str, error: &wasmtime::Error) -> LoadError {
    LoadError::new(LoadErrorKind::Host, format!("this machine cannot run plugins: {what}: {error:#}"))
}

/// Looks at what can be told from the outside, so that core modules, text and precompiled code never reach the compiler.
fn check_frame(wasm: &[u8], max: usize) -> Result<(), LoadError> {
    if wasm.len() > max {
        return Err(LoadError::new(
            LoadErrorKind::TooBig,
            format!(
                "the file has {} bytes and the limit is {max}; build it optimised and stripped, or raise the limit",
                wasm.len()
            ),
        ));
    }
    let refuse = |why: &str| Err(LoadError::new(LoadErrorKind::NotComponent, why.to_owned()));
    match wasm.get(..8) {
        Some([0, b'a', b's', b'm', 0x0d, 0, 1, 0]) => Ok(()),
        Some([0, b'a', b's', b'm', 1, 0, 0, 0]) => {
            refuse("a core module, not a component; build for a component target such as wasm32-wasip2")
        }
        Some([0, b'a', b's', b'm', ..]) => {
            refuse("a WebAssembly file of an unknown version, not a component of version 13")
        }
        _ => refuse("not a WebAssembly component: it does not begin like one"),
    }
}

fn engine_config(config: &Config, pooled: bool) -> wasmtime::Config {
    let mut out = wasmtime::Config::new();
    out.concurrency_support(false);
    out.epoch_interruption(true);
    out.max_wasm_stack(MAX_WASM_STACK);
    out.wasm_memory64(false);
    out.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(20));
    out.memory_init_cow(true);
    if pooled {
        out.allocation_strategy(InstanceAllocationStrategy::Pooling(pool_config(config)));
    }
    out
}

/// Sized by what real guests need: a Python component has 38 core instances, a JavaScript one two memories.
fn pool_config(config: &Config) -> PoolingAllocationConfig {
    let n = config.max_instances.max(1);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(n)
        .total_core_instances(n.saturating_mul(48))
        .total_memories(n.saturating_mul(3))
        .total_tables(n.saturating_mul(8))
        .total_stacks(n.saturating_mul(2))
        .max_component_instance_size(10 << 20)
        .max_core_instance_size(4 << 20)
        .max_core_instances_per_component(64)
        .max_memories_per_component(4)
        .max_tables_per_component(64)
        .max_tables_per_module(4)
        .table_elements(MAX_TABLE_ELEMENTS)
        .max_memory_size(config.max_memory)
        .max_unused_warm_slots(16)
        .linear_memory_keep_resident(512 << 10)
        .table_keep_resident(64 << 10)
        .pagemap_scan(Enabled::Auto);
    pool
}

fn linker(engine: &Engine) -> wasmtime::Result<Linker<State>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    Everything::add_to_linker::<_, HasSelf<State>>(&mut linker, |state| state)?;
    Ok(linker)
}
