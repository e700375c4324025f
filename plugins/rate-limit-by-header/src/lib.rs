//! `rate-limit-by-header`: limits calls by the value of a request header, with a token bucket for each.
//!
//! This file is the plugin: which bucket, and what the client is told. The arithmetic is in `bucket`. It counts calls, not tokens of models.

mod bucket;
mod settings;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use std::time::Duration;

use bucket::{Bucket, Limit};
use settings::{Settings, Without};
use sluice::{Call, Denial, Fault, Grant, OnRequest, Plugin, RequestVerdict, kv};

/// Others may take from the same bucket at the same moment; each try means that one of them got through.
const TRIES: u32 = 100;
/// Longer values stand under their digest.
const LONGEST: usize = 200;

struct RateLimit {
    header: String,
    limit: Limit,
    without: Without,
    message: String,
}

impl Plugin for RateLimit {
    type Settings = Settings;
    const SCHEMA: &'static str = include_str!("../settings.schema.json");
    const GRANTS: &[Grant] = &[Grant::kv("keeps the buckets")];

    fn configure(settings: Settings) -> Result<Self, Fault> {
        settings.check()?;
        let limit = Limit { rate: settings.rate, burst: settings.burst.unwrap_or(settings.rate.calls) };
        Ok(RateLimit { header: settings.header, limit, without: settings.without, message: settings.message })
    }
}

impl OnRequest for RateLimit {
    fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault> {
        let key = match (call.header(&self.header), self.without) {
            (Some(value), _) => key(&value),
            (None, Without::Share) => "none".to_owned(),
            (None, Without::Allow) => return Ok(RequestVerdict::Pass),
            (None, Without::Deny) => {
                sluice::count("without", 1);
                let message = format!("The header `{}` is needed: say there who calls.", self.header);
                return Ok(Denial::new("missing_header", message).status(400).into());
            }
        };
        match self.take(&key)? {
            Ok(left) => {
                call.set_reply_header("x-ratelimit-limit-requests", &self.limit.burst.to_string())?;
                call.set_reply_header("x-ratelimit-remaining-requests", &left.to_string())?;
                Ok(RequestVerdict::Pass)
            }
            Err(wait) => {
                sluice::count("limited", 1);
                let seconds = wait.div_ceil(1000).max(1).to_string();
                let denial = Denial::new("rate_limit_exceeded", self.message.as_str()).status(429);
                Ok(denial.header("retry-after", &seconds).header("x-ratelimit-remaining-requests", "0").into())
            }
        }
    }
}

impl RateLimit {
    /// Takes a token, or says how many milliseconds to wait for one. Atomic: it writes only over what it has read.
    fn take(&self, key: &str) -> Result<Result<u64, u64>, Fault> {
        let ttl = Duration::from_millis(self.limit.refill_ms().clamp(1_000, 30 * 86_400_000));
        for _ in 0..TRIES {
            let now = sluice::now_ms();
            let stored = kv::get(key)?;
            let bucket =
                stored.as_deref().and_then(Bucket::from_bytes).unwrap_or_else(|| Bucket::full(self.limit, now));
            let (after, left) = match bucket.take(self.limit, now) {
                Ok(taken) => taken,
                Err(wait) => return Ok(Err(wait)),
            };
            if kv::swap(key, stored.as_deref(), after.to_bytes(), Some(ttl))? {
                return Ok(Ok(left));
            }
        }
        Err(Fault::Unavailable("the bucket changed at every try: too many calls at once for one value".to_owned()))
    }
}

/// A bucket's name in the store.
fn key(value: &str) -> String {
    if value.len() <= LONGEST {
        return format!("v:{value}");
    }
    sluice::digest(value.as_bytes()).iter().fold("d:".to_owned(), |text, byte| text + &format!("{byte:02x}"))
}

sluice::plugin!(RateLimit: on_request);
