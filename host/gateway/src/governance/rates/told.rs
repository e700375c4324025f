//! How limits are told to clients: in each dialect's own headers, and in words.

use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderName, HeaderValue};
use sluice_dialect::Dialect;

use super::{Limits, What};
use crate::config::Rate;

/// The limit, what is left, and when it is whole again.
type Names = [HeaderName; 3];

static OPENAI: [Names; 2] = [
    [
        HeaderName::from_static("x-ratelimit-limit-requests"),
        HeaderName::from_static("x-ratelimit-remaining-requests"),
        HeaderName::from_static("x-ratelimit-reset-requests"),
    ],
    [
        HeaderName::from_static("x-ratelimit-limit-tokens"),
        HeaderName::from_static("x-ratelimit-remaining-tokens"),
        HeaderName::from_static("x-ratelimit-reset-tokens"),
    ],
];

static ANTHROPIC: [Names; 2] = [
    [
        HeaderName::from_static("anthropic-ratelimit-requests-limit"),
        HeaderName::from_static("anthropic-ratelimit-requests-remaining"),
        HeaderName::from_static("anthropic-ratelimit-requests-reset"),
    ],
    [
        HeaderName::from_static("anthropic-ratelimit-tokens-limit"),
        HeaderName::from_static("anthropic-ratelimit-tokens-remaining"),
        HeaderName::from_static("anthropic-ratelimit-tokens-reset"),
    ],
];

impl Limits {
    /// Puts the limits and what is left of them into a reply's head, in place of a provider's own by these names. Of a key's limit and its
    /// team's the nearer one is told. Gemini's clients know no such headers: they get OpenAI's.
    pub fn tell(&self, dialect: Dialect, out: &mut HeaderMap) {
        let now = Instant::now();
        for (what, at) in [(What::Requests, 0), (What::Tokens, 1)] {
            let buckets = self.of(what).map(|bucket| (bucket, bucket.left(now)));
            let Some((bucket, (left, reset))) = buckets.min_by_key(|(_, (left, _))| *left) else { continue };
            let names = if dialect == Dialect::Anthropic { &ANTHROPIC } else { &OPENAI };
            let Some([limit, remaining, until]) = names.get(at) else { continue };
            out.insert(limit.clone(), HeaderValue::from(bucket.rate.amount));
            out.insert(remaining.clone(), HeaderValue::from(left));
            if let Ok(reset) = HeaderValue::try_from(shown(dialect, reset)) {
                out.insert(until.clone(), reset);
            }
        }
    }

    /// As [`Limits::tell`], for a refusal's own headers.
    pub(super) fn pairs(&self, dialect: Dialect) -> Vec<(String, String)> {
        let mut out = HeaderMap::new();
        self.tell(dialect, &mut out);
        let text = |value: &HeaderValue| value.to_str().unwrap_or_default().to_owned();
        out.iter().map(|(name, value)| (name.to_string(), text(value))).collect()
    }
}

/// Anthropic's clients are told a moment, OpenAI's a time from now (`1m30s`, `250ms`).
pub(super) fn shown(dialect: Dialect, reset: Duration) -> String {
    if dialect == Dialect::Anthropic {
        let until = SystemTime::now().checked_add(reset).unwrap_or(SystemTime::UNIX_EPOCH);
        return humantime::format_rfc3339_seconds(until).to_string();
    }
    let ms = reset.as_nanos().div_ceil(1_000_000);
    let (minutes, left) = (ms / 60_000, ms % 60_000);
    match (minutes, left) {
        (0, left) if left < 1000 => format!("{left}ms"),
        (0, left) => format!("{}s", left.div_ceil(1000)),
        (minutes, left) => format!("{minutes}m{}s", left.div_ceil(1000)),
    }
}

/// A time in words, rounded up to whole seconds.
pub(super) fn short(wait: Duration) -> String {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    match seconds {
        0..=1 => "a second".to_owned(),
        2..=119 => format!("{seconds} seconds"),
        120..=7199 => format!("{} minutes", seconds.div_ceil(60)),
        _ => format!("{} hours", seconds.div_ceil(3600)),
    }
}

/// The rate's time in words.
pub(super) fn long(rate: Rate) -> &'static str {
    match rate.word() {
        "min" => "minute",
        "h" => "hour",
        "day" => "day",
        _ => "second",
    }
}
