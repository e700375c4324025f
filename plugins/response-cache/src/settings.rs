//! The operator's settings and their bounds. The JSON Schema beside the sources says the same for the gateway's pages.

use sluice::{Fault, Period};

/// A reply has to fit into one value of the store.
const LARGEST: usize = 1000 << 10;

/// Who shares stored replies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Scope {
    /// The same virtual key and user.
    Key,
    /// All keys of one team. A caller without a team stays alone.
    Team,
    /// Everyone who may call.
    Everyone,
}

#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) ttl: Period,
    pub(crate) scope: Scope,
    /// Kilobytes of one reply.
    pub(crate) max_reply_kb: usize,
    pub(crate) status_header: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings { ttl: Period::from_secs(600), scope: Scope::Key, max_reply_kb: 256, status_header: true }
    }
}

impl Settings {
    /// # Errors
    /// Names the field and what it should be.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let wrong = |text: String| Err(Fault::config(format!("settings.{text}")));
        let seconds = self.ttl.duration().as_secs();
        if !(1..=30 * 86_400).contains(&seconds) {
            return wrong(format!("ttl: {} is not from 1s to 30d", self.ttl));
        }
        if !(1..=LARGEST >> 10).contains(&self.max_reply_kb) {
            return wrong(format!("max_reply_kb: {} is not from 1 to {}", self.max_reply_kb, LARGEST >> 10));
        }
        Ok(())
    }
}
