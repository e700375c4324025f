//! How much a caller may take in a time: a bucket of requests and one of tokens, for the key and for its team.
//!
//! A bucket is one number, changed without a lock: the moment at which it is full again. What is taken moves the moment away, time comes
//! nearer to it, and it may be as far ahead as the rate's time is long. Nothing here waits, writes or knows HTTP beyond headers' names; what
//! is taken is this process's own, and starts anew with it.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::HeaderMap;
use sluice_dialect::Dialect;
use sluice_dialect::failure::{Blame, Class, Failure};

use crate::config::{Rate, show_rate};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
mod told;

/// What a bucket counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum What {
    Requests,
    Tokens,
}

impl What {
    pub fn as_str(self) -> &'static str {
        match self {
            What::Requests => "requests",
            What::Tokens => "tokens",
        }
    }
}

/// Whose limit it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Whose {
    Key,
    Team,
}

/// All buckets. They outlive configurations, so that an edit of something else gives nobody a full one; a changed rate begins with one.
#[derive(Default)]
pub struct Rates {
    /// Locked only while a configuration is made.
    buckets: Mutex<HashMap<(Whose, What, String), Arc<Bucket>>>,
}

impl Rates {
    /// The limit of that key or team by its name, with what has been taken of it already.
    pub fn limit(&self, whose: Whose, what: What, name: &str, rate: Rate) -> Arc<Bucket> {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        let bucket =
            buckets.entry((whose, what, name.to_owned())).or_insert_with(|| Arc::new(Bucket::new(whose, what, rate)));
        if bucket.rate != rate {
            *bucket = Arc::new(Bucket::new(whose, what, rate));
        }
        Arc::clone(bucket)
    }

    /// Forgets the buckets that nothing but this list knows any more, once a configuration is gone.
    pub fn prune(&self) {
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        buckets.retain(|_, bucket| Arc::strong_count(bucket) > 1);
    }
}

/// One limit and what has been taken of it.
pub struct Bucket {
    whose: Whose,
    what: What,
    rate: Rate,
    /// Moments are counted in nanoseconds from here.
    base: Instant,
    /// When it is full again.
    full: AtomicU64,
}

impl Bucket {
    fn new(whose: Whose, what: What, rate: Rate) -> Bucket {
        Bucket { whose, what, rate, base: Instant::now(), full: AtomicU64::new(0) }
    }

    fn at(&self, now: Instant) -> u64 {
        nanos(now.saturating_duration_since(self.base))
    }

    /// How long it takes to get so much back, in nanoseconds, rounded up.
    fn cost(&self, amount: u64) -> u64 {
        let cost = (u128::from(amount) * self.rate.per.as_nanos()).div_ceil(u128::from(self.rate.amount.max(1)));
        u64::try_from(cost).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
    }

    /// Takes so much if it is there.
    ///
    /// # Errors
    /// How long until it is; `None` where the bucket never holds so much.
    fn take(&self, amount: u64, now: Instant) -> Result<(), Option<Duration>> {
        if amount > self.rate.amount {
            return Err(None);
        }
        let (now, cost, per) = (self.at(now), self.cost(amount), nanos(self.rate.per));
        let mut short = 0;
        let taken = self.full.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full| {
            let next = full.max(now).saturating_add(cost);
            // Rounding must not refuse the last of a full bucket.
            short = next.saturating_sub(now.saturating_add(per).saturating_add(1));
            (short == 0).then_some(next)
        });
        taken.map(|_| ()).map_err(|_| Some(Duration::from_nanos(short)))
    }

    fn give_back(&self, amount: u64) {
        let cost = self.cost(amount);
        // Never fails: the closure always answers.
        let _ = self.full.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full| Some(full.saturating_sub(cost)));
    }

    /// Takes what has been used already, whether it is there or not: what is owed delays the calls that come.
    fn owe(&self, amount: u64, now: Instant) {
        let (now, cost) = (self.at(now), self.cost(amount));
        let _ = self
            .full
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |full| Some(full.max(now).saturating_add(cost)));
    }

    /// What can be taken now, and how long until it is full.
    fn left(&self, now: Instant) -> (u64, Duration) {
        let ahead = self.full.load(Ordering::Relaxed).saturating_sub(self.at(now));
        let free = u128::from(nanos(self.rate.per).saturating_sub(ahead));
        let left = free * u128::from(self.rate.amount) / self.rate.per.as_nanos().max(1);
        (u64::try_from(left).unwrap_or(u64::MAX), Duration::from_nanos(ahead))
    }
}

impl fmt::Debug for Bucket {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:?} {:?} {}", self.whose, self.what, show_rate(self.rate))
    }
}

/// The limits of one caller, its team's included; never empty.
#[derive(Clone, Debug)]
pub struct Limits(Arc<[Arc<Bucket>]>);

impl Limits {
    pub fn new(buckets: Vec<Arc<Bucket>>) -> Option<Limits> {
        (!buckets.is_empty()).then(|| Limits(buckets.into()))
    }

    /// Takes one request, and the tokens that are expected of it, from every bucket, or nothing from any. `tokens` is asked only where
    /// tokens are limited.
    ///
    /// # Errors
    /// A 429 that says which limit, how large it is, when to come again, and in its headers what is left.
    pub fn admit(&self, dialect: Dialect, tokens: impl FnOnce() -> u64) -> Result<Admitted, Failure> {
        self.admit_at(tokens, Instant::now()).map_err(|mut failure| {
            failure.headers = self.pairs(dialect);
            if failure.retry_after.is_none() {
                failure.headers.push(("x-should-retry".to_owned(), "false".to_owned()));
            }
            failure
        })
    }

    fn admit_at(&self, tokens: impl FnOnce() -> u64, now: Instant) -> Result<Admitted, Failure> {
        let counts = self.0.iter().any(|bucket| bucket.what == What::Tokens);
        let tokens = if counts { tokens() } else { 0 };
        for (at, bucket) in self.0.iter().enumerate() {
            if let Err(wait) = bucket.take(amount(bucket.what, tokens), now) {
                for earlier in self.0.iter().take(at) {
                    earlier.give_back(amount(earlier.what, tokens));
                }
                return Err(over(bucket, tokens, wait));
            }
        }
        Ok(Admitted { limits: self.clone(), tokens })
    }

    fn of(&self, what: What) -> impl Iterator<Item = &Arc<Bucket>> {
        self.0.iter().filter(move |bucket| bucket.what == what)
    }
}

impl PartialEq for Limits {
    fn eq(&self, other: &Limits) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Limits {}

/// A call that was let in. Dropped, it gives the tokens back that were taken for it; what it really used is said by [`Admitted::settle`].
#[derive(Debug)]
#[must_use]
pub struct Admitted {
    limits: Limits,
    /// Taken from each bucket of tokens.
    tokens: u64,
}

impl Admitted {
    /// What is left, in a reply's head.
    pub fn tell(&self, dialect: Dialect, out: &mut HeaderMap) {
        self.limits.tell(dialect, out);
    }

    /// The call is over and used so many tokens.
    pub fn settle(self, used: u64) {
        self.settle_at(used, Instant::now());
    }

    fn settle_at(mut self, used: u64, now: Instant) {
        let taken = std::mem::take(&mut self.tokens);
        for bucket in self.limits.of(What::Tokens) {
            match used.checked_sub(taken) {
                Some(0) => {}
                Some(more) => bucket.owe(more, now),
                None => bucket.give_back(taken - used),
            }
        }
    }

    /// The call used what was expected, as far as anybody knows.
    pub fn keep(mut self) {
        self.tokens = 0;
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if self.tokens > 0 {
            for bucket in self.limits.of(What::Tokens) {
                bucket.give_back(self.tokens);
            }
        }
    }
}

fn amount(what: What, tokens: u64) -> u64 {
    match what {
        What::Requests => 1,
        What::Tokens => tokens,
    }
}

fn over(bucket: &Bucket, tokens: u64, wait: Option<Duration>) -> Failure {
    let whose = match bucket.whose {
        Whose::Key => "Your key",
        Whose::Team => "Your key's team",
    };
    let what = bucket.what.as_str();
    let what = if bucket.rate.amount == 1 { what.trim_end_matches('s') } else { what };
    let limit = format!("{} {what} in a {}", bucket.rate.amount, told::long(bucket.rate));
    let message = match wait {
        Some(wait) => format!("{whose} may use {limit}, and has for now. Try again in {}.", told::short(wait)),
        None => format!("This request is about {tokens} tokens long, and {} may use {limit}: send less.", lower(whose)),
    };
    let mut failure = Failure::new(Blame::Client, 429, bucket.what.as_str(), "rate_limit_exceeded", message);
    failure.retry_after = wait;
    failure.with_class(Class::RateLimit)
}

fn lower(whose: &str) -> String {
    whose.replacen('Y', "y", 1)
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
