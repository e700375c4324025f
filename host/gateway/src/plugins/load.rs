//! Makes the live chain what the directory asks for. A bad file costs nothing but its own news: its last good version goes on.

use std::collections::{BTreeMap, HashMap};
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use sluice_sandbox::{Component, Grants, Hook, Limits, LoadError, LoadErrorKind, Plugin, Sandbox, Spec};

use super::Shared;
use super::chain::{Chain, Entry};
use super::dir::{self, Look, Wanted, scan};
use super::status::{State, Status, Table};
use crate::config::{OnError, PluginBlock, Plugins, Streams};
use crate::observe::metrics::Metrics;

/// Compiled components kept although no plugin uses them now, so that going back to one costs nothing.
const COMPONENTS: usize = 16;
/// Bytes read of a component: more than the sandbox takes, so that what is not much too long is refused in its words.
const LARGEST: usize = 64 << 20;
/// A load that failed for want of time or room is tried again after this, doubling up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

pub struct Loader {
    sandbox: Sandbox,
    config: Plugins,
    metrics: Arc<Metrics>,
    shared: Arc<Shared>,
    chain: Arc<ArcSwap<Chain>>,
    generation: u64,
    known: BTreeMap<String, Known>,
    components: HashMap<String, (Arc<Component>, u64)>,
    /// The component file of each plugin whose block could be read.
    used: BTreeMap<String, PathBuf>,
    looked: u64,
    /// The directory could not be read at the last look.
    blind: bool,
    /// The configuration is new: its chain has yet to be made, if only to say what is missing in it.
    asked: bool,
}

/// What happened to one plugin when its files were last looked at.
struct Known {
    looks: (Option<Look>, Option<Look>),
    block: Result<PluginBlock, String>,
    status: Status,
    /// Digest and block of the live version.
    live: Option<(String, PluginBlock)>,
    retry: Option<(Instant, Duration)>,
}

/// Why a version is not live.
struct Refused {
    state: State,
    why: String,
    /// The machine's fault, perhaps, not the file's.
    passing: bool,
}

impl Loader {
    pub(super) fn new(sandbox: Sandbox, config: Plugins, metrics: Arc<Metrics>, shared: Arc<Shared>) -> Loader {
        Loader {
            sandbox,
            config,
            metrics,
            shared,
            chain: Arc::default(),
            generation: 0,
            known: BTreeMap::new(),
            components: HashMap::new(),
            used: BTreeMap::new(),
            looked: 0,
            blind: false,
            asked: false,
        }
    }

    pub(super) fn dir(&self) -> &Path {
        &self.config.dir
    }

    /// Where the chain of this configuration is and will be.
    pub(super) fn chain(&self) -> Arc<ArcSwap<Chain>> {
        Arc::clone(&self.chain)
    }

    /// Takes another configuration, whose chain gets a place of its own; it is complete after the next look.
    pub(super) fn configure(&mut self, config: Plugins) -> Arc<ArcSwap<Chain>> {
        self.config = config;
        self.chain = Arc::new(ArcSwap::new(self.chain.load_full()));
        self.asked = true;
        self.chain()
    }

    /// Looks at the directory once and swaps the chain if anything about it changed; says whether anything did.
    pub async fn reconcile(&mut self) -> bool {
        self.looked += 1;
        let wanted = match scan(&self.config.dir, &self.config.chain, &self.used) {
            Ok(wanted) => wanted,
            Err(error) => return self.blind(&error),
        };
        self.blind = false;
        for (name, wanted) in wanted.iter().filter(|(_, wanted)| wanted.block.is_ok()) {
            self.used.insert(name.clone(), wanted.component.clone());
        }
        self.used.retain(|name, _| wanted.contains_key(name));
        let before: Vec<Arc<Entry>> = self.entries();
        let mut changed = self.looked == 1 || self.asked;
        let gone: Vec<String> = self.known.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in gone {
            tracing::info!(plugin = %name, "plugin removed: its file is gone");
            self.known.remove(&name);
            changed = true;
        }
        for (name, wanted) in wanted {
            if self.is_news(&name, &wanted) {
                self.consider(name, wanted).await;
                changed = true;
            }
        }
        if changed {
            self.publish(&before);
            self.sandbox.sweep();
        }
        changed
    }

    /// The directory cannot be read: everything stays as it is, and is said once.
    fn blind(&mut self, error: &Error) -> bool {
        if !self.blind {
            tracing::error!("{} cannot be read, plugins stay as they are: {error}", self.config.dir.display());
        }
        self.blind = true;
        let first = self.generation == 0 || self.asked;
        if first {
            self.publish(&self.entries());
        }
        first
    }

    fn is_news(&self, name: &str, wanted: &Wanted) -> bool {
        match self.known.get(name) {
            None => true,
            Some(known) => {
                known.looks != wanted.looks
                    || known.block != wanted.block
                    || known.retry.is_some_and(|(at, _)| Instant::now() >= at)
            }
        }
    }

    /// Takes one plugin's files as they are now.
    async fn consider(&mut self, name: String, wanted: Wanted) {
        let mut known = self.known.remove(&name).unwrap_or_else(|| Known {
            looks: (None, None),
            block: wanted.block.clone(),
            status: Status { state: State::Missing, entry: None, since: 0, error: None },
            live: None,
            retry: None,
        });
        known.looks.clone_from(&wanted.looks);
        known.block.clone_from(&wanted.block);
        match self.version(&name, &wanted, &known).await {
            Ok(version) => {
                known.retry = None;
                known.status.error = None;
                known.status.state = State::Active;
                if let Some((entry, digest, block)) = version {
                    announce(&name, &entry);
                    known.status.entry = Some(entry);
                    known.status.since = self.generation + 1;
                    known.live = Some((digest, block));
                }
            }
            Err(refused) => refuse(&name, &mut known, refused),
        }
        self.known.insert(name, known);
    }

    /// The version that the files ask for; `None` if it is the live one.
    async fn version(
        &mut self,
        name: &str,
        wanted: &Wanted,
        known: &Known,
    ) -> Result<Option<(Arc<Entry>, String, PluginBlock)>, Refused> {
        let block = match &wanted.block {
            Ok(block) => block.clone(),
            Err(why) => return Err(Refused { state: State::Failed, why: why.clone(), passing: false }),
        };
        if !block.enabled {
            return Err(Refused { state: State::Disabled, why: "`enabled: false`".into(), passing: false });
        }
        let file = wanted.component.display();
        let bytes = dir::read(&wanted.component, LARGEST).map_err(|error| Refused {
            // Only a file that is gone was taken out; one that cannot be read is a bad file.
            state: if error.kind() == ErrorKind::NotFound { State::Missing } else { State::Failed },
            why: format!("{file} cannot be read: {error}"),
            passing: true,
        })?;
        let digest = digest(&bytes);
        if known.live.as_ref().is_some_and(|(live, with)| *live == digest && *with == block) {
            return Ok(None);
        }
        let component = self.component(&digest, &bytes).map_err(|error| from_load(&error))?;
        let plugin = match reusable(known, &digest, &block) {
            Some(plugin) => plugin,
            None => {
                let spec = Spec {
                    name: name.to_owned(),
                    settings: block.settings.clone(),
                    limits: limits(&block),
                    grants: Grants::default(),
                };
                self.sandbox.load(component, spec).await.map_err(|error| from_load(&error))?
            }
        };
        let on_error = block.on_error.unwrap_or(OnError::Closed);
        let default = if on_error == OnError::Closed { Streams::Hold } else { Streams::Skip };
        let entry = Entry {
            name: Arc::from(name),
            digest: Arc::from(digest.trim_start_matches("sha256:").get(..12).unwrap_or(&digest)),
            order: block.order,
            on_error,
            streams: block.streams.unwrap_or(default),
            matching: (!block.matching.is_any()).then(|| block.matching.clone()),
            metrics: self.metrics.plugin(name),
            plugin,
        };
        Ok(Some((Arc::new(entry), digest, block)))
    }

    fn component(&mut self, digest: &str, bytes: &[u8]) -> Result<Arc<Component>, LoadError> {
        if let Some((component, used)) = self.components.get_mut(digest) {
            *used = self.looked;
            return Ok(Arc::clone(component));
        }
        let component = self.sandbox.compile(bytes)?;
        if self.components.len() >= COMPONENTS
            && let Some(oldest) = self.components.iter().min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone())
        {
            self.components.remove(&oldest);
        }
        self.components.insert(digest.to_owned(), (Arc::clone(&component), self.looked));
        Ok(component)
    }

    fn entries(&self) -> Vec<Arc<Entry>> {
        self.known.values().filter_map(|known| known.status.entry.clone()).collect()
    }

    /// Tells the world; a new generation only where the chain itself changed.
    fn publish(&mut self, before: &[Arc<Entry>]) {
        let table: Table = self.known.iter().map(|(name, known)| (name.clone(), known.status.clone())).collect();
        let entries = self.entries();
        let live = |name: &String| table.get(name).is_some_and(|status| status.entry.is_some());
        let missing: Vec<String> = self.config.required.iter().filter(|name| !live(name)).cloned().collect();
        let stale = table.values().filter(|status| status.state == State::Stale).count();
        self.metrics.stale.set(stale as i64);
        let same = entries.len() == before.len() && entries.iter().zip(before).all(|(a, b)| Arc::ptr_eq(a, b));
        // The table first: whoever sees the new generation finds its plugins described.
        self.shared.update(table);
        self.asked = false;
        if same && self.generation > 0 && self.chain.load().missing == missing {
            return;
        }
        self.generation += 1;
        self.metrics.generation.set(self.generation as i64);
        if !missing.is_empty() {
            tracing::error!("not ready: required plugins are not loaded: {}", missing.join(", "));
        }
        self.chain.store(Arc::new(Chain::new(self.generation, entries, missing)));
    }
}

fn refuse(name: &str, known: &mut Known, refused: Refused) {
    let Refused { state, why, passing } = refused;
    known.retry = passing.then(|| {
        let wait = known.retry.map_or(RETRY.0, |(_, wait)| (wait * 2).min(RETRY.1));
        (Instant::now() + wait, wait)
    });
    // Taking a plugin out is what the operator asked for; a bad file is not.
    let keeps = known.status.entry.is_some() && !matches!(state, State::Disabled | State::Missing);
    if keeps {
        tracing::error!(plugin = %name, "the new version is refused, the last good one goes on: {why}");
        known.status.state = State::Stale;
    } else {
        match state {
            State::Disabled => tracing::info!(plugin = %name, "plugin disabled"),
            State::Waiting => tracing::warn!(plugin = %name, "plugin waits: {why}"),
            _ => tracing::error!(plugin = %name, "plugin not loaded: {why}"),
        }
        known.status.state = state;
        known.status.entry = None;
        known.live = None;
    }
    known.status.error = Some(why);
}

fn from_load(error: &LoadError) -> Refused {
    let waits = matches!(error.kind, LoadErrorKind::NeedsSettings | LoadErrorKind::NeedsGrant);
    let state = if waits { State::Waiting } else { State::Failed };
    let passing = matches!(
        error.kind,
        LoadErrorKind::Start | LoadErrorKind::Configure | LoadErrorKind::DryRun | LoadErrorKind::Host
    );
    Refused { state, why: error.message.clone(), passing }
}

fn announce(name: &str, entry: &Entry) {
    let manifest = entry.plugin.manifest();
    let streams = match entry.has(Hook::OnResponse) && !entry.has(Hook::OnDelta) {
        true => format!(", streams: {}", format!("{:?}", entry.streams).to_lowercase()),
        false => String::new(),
    };
    tracing::info!(
        plugin = %name, version = %manifest.version, digest = %entry.digest, order = entry.order,
        on_error = if entry.on_error == OnError::Closed { "closed" } else { "open" },
        "plugin live: {}{streams}", entry.hooks()
    );
}

/// The running plugin, when only its place or its policy on errors changed.
fn reusable(known: &Known, digest: &str, block: &PluginBlock) -> Option<Arc<Plugin>> {
    let (live, with) = known.live.as_ref()?;
    let same = live == digest && with.settings == block.settings && with.limits == block.limits;
    if same { known.status.entry.as_ref().map(|entry| Arc::clone(&entry.plugin)) } else { None }
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

fn digest(bytes: &[u8]) -> String {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes);
    let mut out = String::with_capacity(71);
    out.push_str("sha256:");
    for byte in digest.as_ref() {
        out.push_str(&format!("{byte:02x}"));
    }
    out
}
