//! The record of one call: filled while it runs, written once when it ends.

use std::sync::Arc;
use std::time::Duration;

use sluice_dialect::failure::Failure;
use sluice_dialect::usage::Usage;
use sluice_sandbox::Hook;

/// How a call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Ok,
    /// Refused by the gateway's own rules before a provider was asked.
    Refused,
    /// Refused by a plugin.
    Denied,
    /// Answered by a plugin.
    Answered,
    UpstreamError,
    /// The provider broke off after content had been sent.
    Truncated,
    ClientGone,
    /// A plugin failed and is `on_error: closed`, or Sluice itself failed.
    Failed,
}

impl Outcome {
    pub const ALL: [Outcome; 8] = [
        Outcome::Ok,
        Outcome::Refused,
        Outcome::Denied,
        Outcome::Answered,
        Outcome::UpstreamError,
        Outcome::Truncated,
        Outcome::ClientGone,
        Outcome::Failed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Refused => "refused",
            Outcome::Denied => "denied",
            Outcome::Answered => "answered",
            Outcome::UpstreamError => "upstream-error",
            Outcome::Truncated => "truncated",
            Outcome::ClientGone => "client-gone",
            Outcome::Failed => "failed",
        }
    }
}

/// One plugin's part in a call, recorded by running it. Windows of one stream are summed into one stamp.
#[derive(Clone, Debug)]
pub struct Stamp {
    pub plugin: Arc<str>,
    pub digest: Arc<str>,
    pub hook: Hook,
    pub verdict: &'static str,
    pub spent: Duration,
    pub runs: u32,
}

/// Everything that the log line says. Never a text of a request or reply, never a secret.
#[derive(Debug, Default)]
pub struct Record {
    pub id: String,
    pub dialect: &'static str,
    pub operation: &'static str,
    pub streamed: bool,
    /// As the client wrote it, capped.
    pub model: String,
    pub provider: Arc<str>,
    pub upstream_model: String,
    pub key: Option<Arc<str>>,
    pub attempts: u32,
    pub status: u16,
    pub failure: Option<Failure>,
    pub usage: Option<Usage>,
    pub receipt: Vec<Stamp>,
    pub tags: Vec<(String, String)>,
    pub generation: u64,
    /// Time that was spent waiting for the provider.
    pub waited: Duration,
    pub first_token: Option<Duration>,
}

impl Record {
    /// Adds a hook's run; windows of the same hook of the same plugin are summed, and the last verdict that was not a pass stays.
    pub fn stamp(&mut self, plugin: &Arc<str>, digest: &Arc<str>, hook: Hook, verdict: &'static str, spent: Duration) {
        if hook == Hook::OnDelta
            && let Some(stamp) = self.receipt.iter_mut().find(|stamp| stamp.hook == hook && stamp.plugin == *plugin)
        {
            stamp.spent += spent;
            stamp.runs += 1;
            if verdict != "release" {
                stamp.verdict = verdict;
            }
            return;
        }
        let (plugin, digest) = (Arc::clone(plugin), Arc::clone(digest));
        self.receipt.push(Stamp { plugin, digest, hook, verdict, spent, runs: 1 });
    }

    /// The `x-sluice-plugins` header: `name@digest hook=verdict microseconds`, comma-separated.
    pub fn receipt_header(&self) -> String {
        let mut out = String::new();
        for stamp in &self.receipt {
            if !out.is_empty() {
                out.push_str(", ");
            }
            out.push_str(&format!(
                "{}@{} {}={} {}us",
                stamp.plugin,
                stamp.digest,
                stamp.hook.as_str(),
                stamp.verdict,
                stamp.spent.as_micros()
            ));
        }
        out
    }
}
