//! What is known of one plugin, and what a refused version does to it. Which version is asked for is the loader's business.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_sandbox::{Hook, LoadError, LoadErrorKind};

use crate::config::{OnError, PluginBlock};
use crate::plugins::chain::Entry;
use crate::plugins::dir::Look;
use crate::plugins::status::{State, Status};
use crate::plugins::version::Version;
use crate::state::Rejected;

/// A load that failed for want of time or room is tried again after this, doubling up to the second.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What happened to one plugin when its files were last looked at.
pub struct Known {
    pub looks: (Option<Look>, Option<Look>),
    pub block: Result<PluginBlock, String>,
    pub status: Status,
    pub live: Option<Version>,
    /// What to go back to if the live version, on probation, fails too often; newest first.
    pub before: Vec<Version>,
    /// The live version passed its probation, as far as this loader is concerned.
    pub proven: bool,
    /// Taken back, and not tried again while the files are the same.
    pub rejected: Option<Rejected>,
    pub retry: Option<(Instant, Duration)>,
}

/// Why a version is not live.
pub struct Refused {
    pub state: State,
    pub why: String,
    /// The machine's fault, perhaps, not the file's.
    pub passing: bool,
}

impl Known {
    pub fn new(block: Result<PluginBlock, String>) -> Known {
        Known {
            looks: (None, None),
            block,
            status: Status { state: State::Missing, entry: None, since: 0, error: None },
            live: None,
            before: Vec::new(),
            proven: false,
            rejected: None,
            retry: None,
        }
    }

    pub fn go_live(&mut self, version: Version, generation: u64) {
        self.status.entry = Some(Arc::clone(&version.entry));
        self.status.since = generation;
        self.live = Some(version);
        self.proven = false;
    }

    /// A grant that the settings do not give any more is gone, whatever else became of the edit that took it away: the version that serves
    /// goes on without it, and none that has it is gone back to.
    pub fn withdraw(&mut self, name: &str) {
        if self.block.as_ref().map_or(true, |block| block.grants.kv.is_some()) {
            return;
        }
        self.before.retain(|before| before.block.grants.kv.is_none());
        let Some(live) = self.live.as_ref().filter(|live| live.block.grants.kv.is_some()) else { return };
        if !live.entry.plugin.is_withdrawn() {
            live.entry.plugin.withdraw_grants();
            tracing::warn!(plugin = %name, digest = %live.entry.digest, "the grant `kv` is withdrawn from the version that goes on");
        }
        if let Some(error) = &mut self.status.error {
            error.push_str("; the last good version goes on without the grant `kv`");
        }
    }
}

impl Refused {
    /// An earlier version goes on: taking a plugin out is what the operator asked for, a bad file is not.
    pub fn may_go_on(&self) -> bool {
        !matches!(self.state, State::Disabled | State::Missing)
    }
}

/// Keeps the live version going, or takes the plugin out of the chain, and says which and why.
pub fn refuse(name: &str, known: &mut Known, refused: Refused) {
    let keeps = known.live.is_some() && refused.may_go_on();
    let Refused { state, why, passing } = refused;
    known.retry = passing.then(|| {
        let wait = known.retry.map_or(RETRY.0, |(_, wait)| (wait * 2).min(RETRY.1));
        (Instant::now() + wait, wait)
    });
    if let Some(live) = known.live.as_ref().filter(|_| keeps) {
        let digest = &live.entry.digest;
        tracing::error!(plugin = %name, %digest, "the new version is refused, the last good one goes on: {why}");
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
        known.before.clear();
    }
    known.status.error = Some(why);
}

pub fn from_load(error: &LoadError) -> Refused {
    let waits = matches!(error.kind, LoadErrorKind::NeedsSettings | LoadErrorKind::NeedsGrant);
    let state = if waits { State::Waiting } else { State::Failed };
    let passing = matches!(
        error.kind,
        LoadErrorKind::Start | LoadErrorKind::Configure | LoadErrorKind::DryRun | LoadErrorKind::Host
    );
    Refused { state, why: error.message.clone(), passing }
}

pub fn announce(name: &str, entry: &Entry) {
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
