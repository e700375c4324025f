//! The record of one call: filled while it runs, told once when it ends (`document`).

use std::sync::Arc;
use std::time::Duration;

use sluice_dialect::Dialect;
use sluice_dialect::failure::{Blame, Failure};
use sluice_dialect::hub::Losses;
use sluice_dialect::usage::Usage;
use sluice_sandbox::Hook;

use super::document::cut;
use crate::governance::caller::Caller;
use crate::routing::Skipped;

/// The longest reason of an attempt, bytes.
const MAX_REASON: usize = 200;

/// The longest `x-sluice-attempts`, bytes.
const MAX_HEADER: usize = 1024;

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

/// How an attempt went, seen from the provider's side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    /// Not over, or broken off because the client left or the call failed elsewhere.
    #[default]
    Unfinished,
    /// A complete reply, whatever a plugin made of it.
    Ok,
    /// A status of 4xx other than 429: another target may answer differently, another try will not.
    Refused,
    /// 429.
    RateLimited,
    /// A status of 5xx, or an error inside a reply.
    Error,
    /// A deadline of the provider's passed.
    Timeout,
    /// No connection, or one that broke before a reply.
    Unreachable,
    /// A reply that was cut, or is none.
    Broken,
}

impl Class {
    pub const ALL: [Class; 8] = [
        Class::Unfinished,
        Class::Ok,
        Class::Refused,
        Class::RateLimited,
        Class::Error,
        Class::Timeout,
        Class::Unreachable,
        Class::Broken,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Class::Unfinished => "unfinished",
            Class::Ok => "ok",
            Class::Refused => "refused",
            Class::RateLimited => "rate-limited",
            Class::Error => "error",
            Class::Timeout => "timeout",
            Class::Unreachable => "unreachable",
            Class::Broken => "broken",
        }
    }

    /// What a failure of the provider's side makes of the attempt whose head said `status`, 0 where none came.
    fn of(failure: &Failure, status: u16) -> Class {
        match (status, failure.status) {
            (429, _) => Class::RateLimited,
            (400..500, _) => Class::Refused,
            (500.., _) => Class::Error,
            (_, 504) => Class::Timeout,
            (0, _) => Class::Unreachable,
            (_, 502) => Class::Broken,
            _ => Class::Error,
        }
    }
}

/// One try at one target.
#[derive(Debug, Default)]
pub struct Attempt {
    pub provider: Arc<str>,
    /// As the provider was asked for it, capped.
    pub model: String,
    /// The name of the provider's key, never the key.
    pub key: Option<Arc<str>>,
    /// Of the provider's reply; 0 where no head came.
    pub status: u16,
    pub class: Class,
    /// Time that was spent waiting for the provider.
    pub waited: Duration,
    /// The name under which the target's health and counters are kept; empty where nothing is (the demo provider).
    pub target: Arc<str>,
    /// Why it failed, for operators: short, never a secret; empty where it did not.
    pub reason: String,
}

impl Attempt {
    /// The provider failed it: how, and why in few words.
    pub fn failed(&mut self, failure: &Failure) {
        if failure.blame != Blame::Provider || self.class != Class::Unfinished {
            return;
        }
        self.class = Class::of(failure, self.status);
        let code = failure.code.as_deref().unwrap_or_default();
        let why = if failure.detail.is_empty() { &failure.message } else { &failure.detail };
        let why = why.lines().next().unwrap_or_default();
        self.reason = if code.is_empty() { why.to_owned() } else { format!("{code}: {why}") };
        self.reason.truncate(cut(&self.reason, MAX_REASON).len());
    }

    /// What followed from the failure.
    pub fn decided(&mut self, reason: &str) {
        if !self.reason.is_empty() && self.reason.len() + reason.len() < MAX_REASON {
            self.reason.push_str("; ");
            self.reason.push_str(reason);
        }
    }

    /// `provider/model key=name class 12ms`.
    fn tell(&self, out: &mut String) {
        let class = if self.class == Class::Unfinished { "begun" } else { self.class.as_str() };
        let key = self.key.as_deref().map(|key| format!(" key={key}")).unwrap_or_default();
        let model = if self.model.is_empty() { "" } else { "/" };
        let ms = self.waited.as_millis();
        out.push_str(&format!("{}{model}{}{key} {class} {ms}ms", self.provider, self.model));
    }
}

/// Everything that is told of a call. Never a text of a request or reply, never a secret.
#[derive(Debug, Default)]
pub struct Record {
    pub id: String,
    /// The client's.
    pub dialect: Dialect,
    pub operation: &'static str,
    /// The provider named by the path.
    pub prefix: Option<&'static str>,
    pub streamed: bool,
    /// As the client wrote it, capped.
    pub model: String,
    pub caller: Option<Caller>,
    /// Attempts, the last one included.
    pub attempts: u32,
    /// The last attempt; its provider is empty where none was made.
    pub last: Attempt,
    /// Those before it.
    pub earlier: Vec<Attempt>,
    /// The configured route by which the call went; `None` where its model is named itself.
    pub route: Option<Arc<str>>,
    /// Targets that were left out; bounded by what the configuration names.
    pub skipped: Vec<Skipped>,
    /// The call belongs to a session, which kept it on its target or key where it could.
    pub session: bool,
    pub status: u16,
    pub failure: Option<Failure>,
    pub usage: Option<Usage>,
    pub receipt: Vec<Stamp>,
    pub tags: Vec<(String, String)>,
    pub generation: u64,
    /// Time that was spent waiting for the provider, in all attempts.
    pub waited: Duration,
    /// Time that was spent waiting for the client's bytes, or for the client to take some.
    pub client_waited: Duration,
    pub first_token: Option<Duration>,
    /// What a translation could not carry over, by its name in the request or reply; bounded.
    pub lost: Vec<String>,
    /// The client is told of these in a header.
    pub tell_losses: bool,
    /// The call ended in the middle of a wait, which was therefore not measured.
    pub broken_off: bool,
}

impl Record {
    /// The call fails for good: what that says of the last attempt.
    pub fn fail(&mut self, failure: &Failure) {
        self.last.failed(failure);
        self.failure = Some(failure.clone());
    }

    /// Whether a provider may be asked the same again although it has the request: nothing is made or changed by it.
    pub fn repeatable(&self) -> bool {
        !matches!(self.operation, "batches" | "files" | "images" | "raw")
    }

    /// Notes what a translation of this attempt could not carry over.
    pub fn lose(&mut self, losses: &Losses) {
        for loss in losses.iter() {
            if self.lost.len() < Losses::MAX && !self.lost.iter().any(|known| *known == loss.what) {
                self.lost.push(loss.what.to_string());
            }
        }
    }

    /// Sluice's own time of a call that took `total`: neither the provider nor the client was waited for. `None` where that is not known.
    pub fn overhead(&self, total: Duration) -> Option<Duration> {
        (!self.broken_off).then(|| total.saturating_sub(self.waited + self.client_waited))
    }

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

    /// The `x-sluice-attempts` header: `provider/model key=name class milliseconds` of each attempt in their order, parted by `; `. The last
    /// one of a stream, whose end is not known when its head goes out, is `begun`. `None` where no provider was asked. Cut at
    /// [`MAX_HEADER`] bytes; what is no visible ASCII becomes `?`.
    pub fn attempts_header(&self) -> Option<String> {
        if self.attempts == 0 {
            return None;
        }
        let mut out = String::new();
        for attempt in self.earlier.iter().chain([&self.last]) {
            if !out.is_empty() {
                out.push_str("; ");
            }
            attempt.tell(&mut out);
        }
        out.truncate(cut(&out, MAX_HEADER).len());
        Some(out.chars().map(|letter| if letter == ' ' || letter.is_ascii_graphic() { letter } else { '?' }).collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn attempt(model: &str, class: Class) -> Attempt {
        Attempt {
            provider: "openai".into(),
            model: model.into(),
            class,
            waited: Duration::from_micros(12_700),
            ..Attempt::default()
        }
    }

    #[test]
    fn the_header_names_every_attempt_and_stays_one_short_line() {
        assert_eq!(Record::default().attempts_header(), None);
        let first = Attempt { key: Some("main".into()), ..attempt("gpt-4o", Class::RateLimited) };
        let mut record =
            Record { attempts: 2, earlier: vec![first], last: attempt("x", Class::Unfinished), ..Record::default() };
        let expected = "openai/gpt-4o key=main rate-limited 12ms; openai/x begun 12ms";
        assert_eq!(record.attempts_header().unwrap(), expected);
        record.last = attempt(&"\u{e9}\n".repeat(900), Class::Ok);
        let header = record.attempts_header().unwrap();
        assert!(header.len() <= MAX_HEADER && header.is_ascii() && !header.contains(char::is_control), "{header}");
    }

    #[test]
    fn a_reason_is_short_and_only_of_the_providers_failures() {
        let mut attempt = attempt("x", Class::Unfinished);
        attempt.failed(&Failure::invalid("bad", "No."));
        assert_eq!((attempt.class, attempt.reason.as_str()), (Class::Unfinished, ""));
        attempt.failed(&Failure::timeout("headers_timeout", "Late.").with_detail("10 s\nmore"));
        assert_eq!((attempt.class, attempt.reason.as_str()), (Class::Timeout, "headers_timeout: 10 s"));
        // What failed first is what is told.
        attempt.failed(&Failure::bad_gateway("reset", "Gone."));
        assert_eq!(attempt.class, Class::Timeout);
        attempt.class = Class::Unfinished;
        attempt.failed(&Failure::bad_gateway("reset", "\u{d55c}".repeat(500)));
        assert!(attempt.reason.len() <= MAX_REASON && attempt.reason.starts_with("reset: \u{d55c}"));
    }
}
