//! Makes the live chain what the directory asks for. A bad file costs nothing but its own news: its last good version goes on.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use sluice_sandbox::Sandbox;

mod judge;
mod known;

use self::known::{Known, Refused, announce, from_load, refuse};
use super::Shared;
use super::chain::{Alive, Chain, Entry};
use super::dir::{self, Wanted, scan};
use super::status::{State, Table};
use super::version::{Maker, Parts, Version};
use super::watch::Ask;
use crate::config::Plugins;
use crate::observe::metrics::Metrics;
use crate::state::{self, Kept, KeptPlugin};
use crate::watch::Post;

/// Bytes read of a component: more than the sandbox takes, so that what is not much too long is refused in its words.
const LARGEST: usize = 64 << 20;
/// Versions of a plugin that are ready to be gone back to while the live one is on probation.
const BEFORE: usize = 2;

pub struct Loader {
    maker: Maker,
    config: Plugins,
    metrics: Arc<Metrics>,
    shared: Arc<Shared>,
    chain: Arc<ArcSwap<Chain>>,
    /// Wakes this loader.
    post: Post<Ask>,
    /// What lasts beyond the process.
    state: state::State,
    generation: u64,
    known: BTreeMap<String, Known>,
    /// The component file of each plugin whose block could be read.
    used: BTreeMap<String, PathBuf>,
    looked: u64,
    /// The directory could not be read at the last look.
    blind: bool,
    /// The configuration is new: its chain has yet to be made, if only to say what is missing in it.
    asked: bool,
    /// The directory is another one since the last look: what is not in it was not taken out.
    moved: bool,
}

impl Loader {
    pub(super) fn new(
        sandbox: Sandbox,
        config: Plugins,
        metrics: Arc<Metrics>,
        state: state::State,
        shared: Arc<Shared>,
        post: Post<Ask>,
    ) -> Loader {
        Loader {
            maker: Maker::new(sandbox, state.clone(), Arc::clone(&metrics)),
            config,
            metrics,
            shared,
            chain: Arc::default(),
            post,
            state,
            generation: 0,
            known: BTreeMap::new(),
            used: BTreeMap::new(),
            looked: 0,
            blind: false,
            asked: false,
            moved: false,
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
        self.moved |= config.dir != self.config.dir;
        self.config = config;
        self.chain = Arc::new(ArcSwap::new(self.chain.load_full()));
        self.asked = true;
        self.chain()
    }

    /// Looks at the directory once and swaps the chain if anything about it changed; says whether anything did.
    pub async fn reconcile(&mut self) -> bool {
        self.looked += 1;
        let before: Vec<Arc<Entry>> = self.entries();
        let mut changed = self.judge().await | (self.looked == 1) | self.asked;
        match scan(&self.config, &self.used) {
            Ok(wanted) => {
                self.blind = false;
                changed |= self.follow(wanted).await;
                self.moved = false;
            }
            Err(error) => self.blind(&error).await,
        }
        if changed {
            self.publish(&before);
            self.maker.sweep();
        }
        self.maker.tend(|name| {
            let live = self.known.get(name).and_then(|known| known.live.as_ref());
            live.is_some_and(Version::has_kv)
        });
        changed
    }

    /// Makes of each plugin what its files ask for; true if anything was new.
    async fn follow(&mut self, wanted: BTreeMap<String, Wanted>) -> bool {
        for (name, wanted) in wanted.iter().filter(|(_, wanted)| wanted.block.is_ok()) {
            self.used.insert(name.clone(), wanted.component.clone());
        }
        self.used.retain(|name, _| wanted.contains_key(name));
        let mut kept = self.kept(&wanted);
        let mut changed = false;
        let gone: Vec<String> = self.known.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in gone {
            tracing::info!(plugin = %name, "plugin removed: its file is gone");
            self.known.remove(&name);
            if !self.moved {
                self.state.forget_plugin(&self.config.dir, &name);
            }
            changed = true;
        }
        for (name, wanted) in wanted {
            if self.is_news(&name, &wanted) {
                let kept = kept.remove(&name);
                self.consider(name, wanted, kept).await;
                changed = true;
            }
        }
        changed
    }

    /// What an earlier process kept, of use at the first look only: later this process knows better. A plugin that is not in its
    /// directory any more was taken out on purpose and is forgotten, unless the whole directory is absent: a mount may be late.
    fn kept(&self, wanted: &BTreeMap<String, Wanted>) -> BTreeMap<String, KeptPlugin> {
        if self.looked > 1 {
            return BTreeMap::new();
        }
        let kept = self.state.plugins(&self.config.dir);
        if self.config.dir.is_dir() {
            for name in kept.keys().filter(|name| !wanted.contains_key(*name)) {
                self.state.forget_plugin(&self.config.dir, name);
            }
        }
        kept
    }

    /// The directory cannot be read: everything stays as it is, and is said once. At the start that is what was kept.
    async fn blind(&mut self, error: &Error) {
        let dir = self.config.dir.display();
        if !self.blind {
            tracing::error!("{dir} cannot be read, plugins stay as they are: {error}");
        }
        self.blind = true;
        if self.looked > 1 {
            return;
        }
        let why = format!("{dir} cannot be read: {error}");
        for (name, kept) in self.state.plugins(&self.config.dir) {
            let mut known = Known::new(Err(why.clone()));
            self.restore(&name, &mut known, &kept.good).await;
            if known.live.is_some() {
                refuse(&name, &mut known, Refused { state: State::Failed, why: why.clone(), passing: false });
                self.known.insert(name, known);
            }
        }
    }

    /// Why the gateway must not start, after the first look: files that are bad and of which no earlier version is known.
    pub(super) fn bad(&self) -> Vec<(String, String)> {
        let unread = (self.blind && self.known.is_empty())
            .then(|| (self.config.dir.display().to_string(), "the plugins directory cannot be read".to_owned()));
        let failed = self.known.iter().filter(|(_, known)| known.status.state == State::Failed);
        let failed = failed.map(|(name, known)| (name.clone(), known.status.error.clone().unwrap_or_default()));
        unread.into_iter().chain(failed).collect()
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

    /// Takes one plugin's files as they are now. `kept`: what an earlier process left, at the first look.
    async fn consider(&mut self, name: String, wanted: Wanted, kept: Option<KeptPlugin>) {
        let known = self.known.remove(&name);
        let mut known = known.unwrap_or_else(|| Known::new(wanted.block.clone()));
        let KeptPlugin { good, rejected, .. } = kept.unwrap_or_default();
        if rejected.is_some() {
            known.rejected = rejected;
        }
        known.looks.clone_from(&wanted.looks);
        known.block.clone_from(&wanted.block);
        let mut version = self.version(&name, &wanted, &known).await;
        if known.live.is_none() && version.as_ref().is_err_and(Refused::may_go_on) {
            self.restore(&name, &mut known, &good).await;
            // Nothing is left of what it was taken back for; or the machine was slow, and a start that fails for it helps nobody.
            let again = known.rejected.take_if(|_| known.live.is_none()).is_some()
                || self.looked == 1 && version.as_ref().is_err_and(|refused| refused.passing);
            if known.live.is_none() && again {
                version = self.version(&name, &wanted, &known).await;
            }
        }
        match version {
            Ok(version) => {
                known.retry = None;
                known.rejected = None;
                known.status.error = None;
                known.status.state = State::Active;
                if let Some(version) = version {
                    announce(&name, &version.entry);
                    self.install(&mut known, version, &good);
                }
            }
            Err(refused) => refuse(&name, &mut known, refused),
        }
        known.withdraw(&name);
        self.known.insert(name, known);
    }

    /// The version that the files ask for; `None` if it is the live one.
    async fn version(&mut self, name: &str, wanted: &Wanted, known: &Known) -> Result<Option<Version>, Refused> {
        let block = match &wanted.block {
            Ok(block) => block.clone(),
            Err(why) => return Err(Refused { state: State::Failed, why: why.clone(), passing: false }),
        };
        if !block.enabled {
            return Err(Refused { state: State::Disabled, why: "`enabled: false`".into(), passing: false });
        }
        let file = wanted.component.display();
        let component = dir::read(&wanted.component, LARGEST).map_err(|error| Refused {
            // Only a file that is gone was taken out; one that cannot be read is a bad file.
            state: if error.kind() == ErrorKind::NotFound { State::Missing } else { State::Failed },
            why: format!("{file} cannot be read: {error}"),
            passing: true,
        })?;
        let kept = Kept::of(&component, wanted.written.as_deref());
        let same = |live: &&Version| live.kept.component == kept.component && live.block == block;
        if known.live.as_ref().filter(same).is_some_and(|live| !live.entry.plugin.is_withdrawn()) {
            if known.rejected.is_some() {
                self.state.keep_plugin(&self.config.dir, name, &component, wanted.written.as_deref(), None);
            }
            return Ok(None);
        }
        if let Some(rejected) = known.rejected.as_ref().filter(|rejected| rejected.version == kept) {
            return Err(Refused { state: State::Failed, why: rejected.why.clone(), passing: false });
        }
        let parts = Parts { name, component: &component, kept, block };
        let version = self.maker.make(parts, known.live.as_ref()).await.map_err(|error| from_load(&error))?;
        let moved = known.live.as_ref().filter(|live| Arc::ptr_eq(&live.entry.plugin, &version.entry.plugin));
        let moved = moved.map(|live| &live.kept);
        self.state.keep_plugin(&self.config.dir, name, &component, wanted.written.as_deref(), moved);
        Ok(Some(version))
    }

    /// Makes an accepted version the live one, on probation if there is one to go back to: here, or in `good`, as kept.
    fn install(&self, known: &mut Known, version: Version, good: &[Kept]) {
        let moved = known.live.as_ref().is_some_and(|live| Arc::ptr_eq(&live.entry.plugin, &version.entry.plugin));
        if let Some(before) = known.live.take().filter(|_| !moved) {
            before.entry.rest();
            if !before.entry.plugin.is_withdrawn() {
                known.before.insert(0, before);
                known.before.truncate(BEFORE);
            }
        }
        if !known.before.is_empty() || good.iter().any(|kept| *kept != version.kept) {
            version.entry.probation.begin(self.post.clone());
        }
        known.go_live(version, self.generation + 1);
    }

    /// Serves the newest version of `good` that still loads.
    async fn restore(&mut self, name: &str, known: &mut Known, good: &[Kept]) {
        let rejected = known.rejected.as_ref().map(|rejected| rejected.version.clone());
        for (at, kept) in good.iter().enumerate().filter(|(_, kept)| rejected.as_ref() != Some(*kept)) {
            let Some(version) = self.maker.revive(name, kept, known.block.as_ref().ok()).await else { continue };
            // The ones before it are still there if it was on probation.
            if at + 1 < good.len() {
                version.entry.probation.begin(self.post.clone());
            }
            known.go_live(version, self.generation + 1);
            return;
        }
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
        self.metrics.stale_plugins.set(stale as i64);
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
        let alive = Alive::new(&self.metrics.generations);
        self.chain.store(Arc::new(Chain::new(self.generation, entries, missing, Some(alive))));
    }
}
