//! One version of a plugin: a component with its settings, compiled, configured and dry-run, ready for its place in a chain.
//!
//! It makes versions out of bytes and texts. Which version is asked for is `load`'s business, what is kept of it `state`'s.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use sluice_sandbox::{Component, Grants, Hook, Kv, Limits, LoadError, Sandbox, Spec};

use super::breaker::Breaker;
use super::chain::Entry;
use crate::config::{self, OnError, PluginBlock, Streams};
use crate::observe::metrics::{Metrics, PluginMetrics};
use crate::state::{Kept, State};
use crate::store::Store;

/// Compiled components kept although no plugin uses them now, so that going back to one costs nothing.
const COMPONENTS: usize = 16;

/// A version that was accepted.
#[derive(Clone)]
pub struct Version {
    pub entry: Arc<Entry>,
    pub block: PluginBlock,
    /// What it is made of, by digest: how the state folder names it.
    pub kept: Kept,
}

impl Version {
    /// Whether it may use its keys.
    pub fn has_kv(&self) -> bool {
        self.block.grants.kv.is_some() && !self.entry.plugin.is_withdrawn()
    }
}

/// What a version is to be made of.
pub struct Parts<'a> {
    pub name: &'a str,
    pub component: &'a [u8],
    pub kept: Kept,
    pub block: PluginBlock,
}

/// Makes versions; keeps compiled components, in memory and in the state folder.
pub struct Maker {
    sandbox: Sandbox,
    engine: String,
    state: State,
    metrics: Arc<Metrics>,
    /// Outlives versions.
    store: Store,
    components: HashMap<String, (Arc<Component>, u64)>,
    uses: u64,
}

impl Maker {
    pub fn new(sandbox: Sandbox, state: State, metrics: Arc<Metrics>) -> Maker {
        let (engine, store) = (sandbox.engine_key(), Store::default());
        Maker { engine, sandbox, state, metrics, store, components: HashMap::new(), uses: 0 }
    }

    /// Compiles and loads; or only moves the running plugin, where `live` differs in nothing that it would notice.
    ///
    /// # Errors
    /// Why the component or its settings are refused.
    pub async fn make(&mut self, parts: Parts<'_>, live: Option<&Version>) -> Result<Version, LoadError> {
        let Parts { name, component, kept, block } = parts;
        let component = self.component(&kept.component, component)?;
        let plugin = match live.filter(|live| is_moved(live, &kept, &block)) {
            Some(live) => Arc::clone(&live.entry.plugin),
            None => {
                let spec = Spec {
                    name: name.to_owned(),
                    settings: block.settings.clone(),
                    limits: limits(&block),
                    grants: self.grants(name, &block),
                };
                self.sandbox.load(component, spec).await?
            }
        };
        if let Some(kv) = block.grants.kv {
            self.store.set_max(name, kv.max);
        }
        let metrics = self.metrics.plugin(name);
        let observes = plugin.hooks().iter().all(|hook| matches!(hook, Hook::OnFinish | Hook::OnComplete));
        let on_error = block.on_error.unwrap_or(if observes { OnError::Open } else { OnError::Closed });
        let default = if on_error == OnError::Closed { Streams::Hold } else { Streams::Skip };
        let same = live.filter(|live| Arc::ptr_eq(&live.entry.plugin, &plugin));
        let entry = Entry {
            name: Arc::from(name),
            digest: Arc::from(short(&kept.component)),
            order: block.order,
            on_error,
            streams: block.streams.unwrap_or(default),
            matching: (!block.matching.is_any()).then(|| block.matching.clone()),
            probation: same.map_or_else(Arc::default, |live| Arc::clone(&live.entry.probation)),
            breaker: breaker(same.map(|live| (&live.block, &live.entry.breaker)), &block, name, &metrics),
            finish_breaker: breaker(same.map(|live| (&live.block, &live.entry.finish_breaker)), &block, name, &metrics),
            metrics,
            plugin,
        };
        Ok(Version { entry: Arc::new(entry), block, kept })
    }

    /// A version out of the state folder; `None` where it is not whole there any more, or does not load any more.
    ///
    /// `now`: the settings as they are, where they can be read. A grant that they do not give is not given again by older ones.
    pub async fn revive(&mut self, name: &str, kept: &Kept, now: Option<&PluginBlock>) -> Option<Version> {
        let component = self.state.object(&kept.component)?;
        let mut block = match &kept.settings {
            None => PluginBlock::default(),
            Some(digest) => {
                let text = String::from_utf8(self.state.object(digest)?).ok()?;
                let named = format!("{name}.yaml, as kept");
                let block = config::parse_plugin_block(Path::new(&named), &text, &|name| std::env::var(name).ok());
                block.map_err(|errors| tracing::warn!(plugin = %name, "a kept version is of no use: {errors}")).ok()?
            }
        };
        if now.is_some_and(|now| now.grants.kv.is_none()) {
            block.grants.kv = None;
        }
        let parts = Parts { name, component: &component, kept: kept.clone(), block };
        let made = self.make(parts, None).await;
        made.map_err(|error| tracing::warn!(plugin = %name, "a kept version is of no use: {error}")).ok()
    }

    /// Drops idle instances that are past their age.
    pub fn sweep(&self) {
        self.sandbox.sweep();
    }

    /// To be called every few seconds: frees keys and values that have ended, and those of plugins that no longer use any.
    pub fn tend(&self, uses_kv: impl Fn(&str) -> bool) {
        self.store.tend(Instant::now(), uses_kv);
    }

    fn grants(&self, name: &str, block: &PluginBlock) -> Grants {
        let space = |max| self.store.space(name, max, &self.metrics.plugin(name).kv) as Arc<dyn Kv>;
        Grants { kv: block.grants.kv.map(|kv| space(kv.max)) }
    }

    fn component(&mut self, digest: &str, bytes: &[u8]) -> Result<Arc<Component>, LoadError> {
        self.uses += 1;
        if let Some((component, used)) = self.components.get_mut(digest) {
            *used = self.uses;
            return Ok(Arc::clone(component));
        }
        let component = match self.kept_code(digest, bytes) {
            Some(component) => component,
            None => {
                let component = self.sandbox.compile(bytes)?;
                if self.state.folder().is_some() {
                    self.state.keep_native(&self.engine, digest, &component.native()?);
                }
                component
            }
        };
        if self.components.len() >= COMPONENTS
            && let Some(oldest) = self.components.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone())
        {
            self.components.remove(&oldest);
        }
        self.components.insert(digest.to_owned(), (Arc::clone(&component), self.uses));
        Ok(component)
    }

    /// Compiled earlier, perhaps by another process. A file that the sandbox refuses is refused again by compiling it, in its own words.
    fn kept_code(&self, digest: &str, bytes: &[u8]) -> Option<Arc<Component>> {
        let native = self.state.native(&self.engine, digest)?;
        // SAFETY: the state folder gives only whole files of our own that nobody else can write, checked when opened and by checksum, and
        // what was put there under this engine's key and this component's digest came from `Component::native`.
        #[allow(unsafe_code)]
        let revived = unsafe { self.sandbox.compile_from(bytes, &native) };
        revived.map_err(|error| tracing::debug!("compiled again: {error}")).ok()
    }
}

/// Whether only the plugin's place, its policy on errors or the room for its keys changed.
fn is_moved(live: &Version, kept: &Kept, block: &PluginBlock) -> bool {
    let with = &live.block;
    let granted = with.grants.kv.is_some() == block.grants.kv.is_some() && !live.entry.plugin.is_withdrawn();
    live.kept.component == kept.component && with.settings == block.settings && with.limits == block.limits && granted
}

/// The breaker of a version that only moves; else a new one, closed.
fn breaker(
    same: Option<(&PluginBlock, &Arc<Breaker>)>,
    block: &PluginBlock,
    name: &str,
    metrics: &PluginMetrics,
) -> Arc<Breaker> {
    match same.filter(|(with, _)| with.breaker == block.breaker) {
        Some((_, breaker)) => Arc::clone(breaker),
        None => Arc::new(Breaker::new(block.breaker, Arc::from(name), metrics.breaker_open.clone())),
    }
}

/// First digits of a digest, as receipts and messages show it.
pub fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn limits(block: &PluginBlock) -> Limits {
    Limits {
        wall: block.limits.wall,
        delta_wall: block.limits.delta,
        start: block.limits.start,
        memory: block.limits.memory,
        concurrency: u32::try_from(block.limits.concurrency).unwrap_or(u32::MAX),
        ..Limits::default()
    }
}
