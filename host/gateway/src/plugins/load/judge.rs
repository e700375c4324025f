//! Probation ends here: a version that failed too often is taken back, and one that did not lets go of those before it.

use std::sync::Arc;

use super::Loader;
use super::known::Known;
use crate::config::PluginBlock;
use crate::plugins::probation::Standing;
use crate::plugins::status::State;
use crate::plugins::version::Version;
use crate::state::{Kept, Rejected};

/// Of the last failure, which a plugin words; characters.
const LONGEST: usize = 300;

impl Loader {
    /// Takes back versions that failed too often, and lets go of what is before those that have proven themselves.
    pub(super) async fn judge(&mut self) -> bool {
        let mut changed = false;
        let names: Vec<String> = self.known.keys().cloned().collect();
        for name in names {
            let Some(mut known) = self.known.remove(&name) else { continue };
            // That it fails without what it was granted says nothing about the version.
            let judged = known.live.as_ref().filter(|live| !live.entry.plugin.is_withdrawn());
            match judged.map(|live| live.entry.probation.standing()) {
                Some(Standing::Tripped(ran, failed, last)) => {
                    changed |= self.take_back(&name, &mut known, (ran, failed), &last).await;
                }
                Some(Standing::Passed) if !known.proven => {
                    known.proven = true;
                    known.before.clear();
                    if let Some(live) = &known.live {
                        self.state.prove_plugin(&self.config.dir, &name, &live.kept);
                    }
                }
                _ => {}
            }
            self.known.insert(name, known);
        }
        changed
    }

    async fn take_back(&mut self, name: &str, known: &mut Known, counts: (u32, u32), last: &str) -> bool {
        let Some(bad) = known.live.as_ref().filter(|_| !known.proven) else { return false };
        let (ran, failed) = counts;
        let last: String = last.chars().take(LONGEST).collect();
        let manifest = bad.entry.plugin.manifest();
        let why = format!(
            "version {} ({}) was taken back: {failed} of its first {ran} hooks failed: {last}; it is not tried again until its file or \
             its settings change",
            manifest.version, bad.entry.digest
        );
        let rejected = Rejected { version: bad.kept.clone(), why: why.clone() };
        let to = match known.before.is_empty() {
            false => Some(known.before.remove(0)),
            true => self.before_in_state(name, &rejected.version, known.block.as_ref().ok()).await,
        };
        let Some(to) = to else {
            // Nothing is there to go back to; it is judged no more.
            known.proven = true;
            tracing::error!(plugin = %name, "the version fails and nothing is kept to go back to: {last}");
            return false;
        };
        self.state.reject_plugin(&self.config.dir, name, rejected.clone());
        known.rejected = Some(rejected);
        let digest = Arc::clone(&to.entry.digest);
        known.go_live(to, self.generation + 1);
        known.status.state = State::Stale;
        known.status.error = Some(why.clone());
        known.status.entry.iter().for_each(|entry| entry.metrics.rolled_back());
        tracing::error!(plugin = %name, "{why}; the version before ({digest}) serves again");
        true
    }

    /// What an earlier process accepted before `bad`.
    async fn before_in_state(&mut self, name: &str, bad: &Kept, now: Option<&PluginBlock>) -> Option<Version> {
        let kept = self.state.plugins(&self.config.dir).remove(name)?;
        for kept in kept.good.iter().filter(|kept| *kept != bad) {
            if let Some(version) = self.maker.revive(name, kept, now).await {
                return Some(version);
            }
        }
        None
    }
}
