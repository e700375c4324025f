//! One plugin's keys and values: a byte quota over a few locks, ends kept lazily, and the rule by which things go when room is short.
//!
//! What was counted or swapped is state that a plugin goes by; what was merely set can be had again. Room is made in this order: what has
//! ended; state, least recently used first, as long as it takes more than half of the quota; set values, least recently used first; then
//! the remaining state. So a flood of cached values never makes a rate limit forget, and a flood of counters never starves a cache.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sluice_sandbox::{Fault, Kv};

use super::shard::{Class, NEVER, NoCount, OVERHEAD, Shard, Value};
use crate::observe::metrics::KvMetrics;

/// Locks of one space. Few threads serve, and each holds one for a fraction of a microsecond.
const SHARDS: usize = 8;
/// Ended entries that a write frees beside its own work.
const SWEPT_BY_WRITE: usize = 4;
/// Ended entries that a sweep frees under one lock, so that no hook waits long for it.
const SWEPT_AT_ONCE: usize = 256;

/// A shard and, readable without its lock, what a search for the next victim needs of it.
struct Part {
    shard: Mutex<Shard>,
    next_end: AtomicU64,
    oldest: [AtomicU64; 2],
}

/// One plugin's own keys, shared by all its instances on all threads.
pub struct Space {
    parts: [Part; SHARDS],
    bytes: [AtomicUsize; 2],
    max: AtomicUsize,
    hasher: RandomState,
    began: Instant,
    metrics: KvMetrics,
}

impl Space {
    /// `max`: bytes of keys, values and what each entry takes besides.
    pub(super) fn new(max: usize, metrics: KvMetrics) -> Space {
        Space {
            parts: std::array::from_fn(|_| Part {
                shard: Mutex::new(Shard::new()),
                next_end: AtomicU64::new(NEVER),
                oldest: std::array::from_fn(|_| AtomicU64::new(NEVER)),
            }),
            bytes: std::array::from_fn(|_| AtomicUsize::new(0)),
            max: AtomicUsize::new(max),
            hasher: RandomState::new(),
            began: Instant::now(),
            metrics,
        }
    }

    pub(super) fn set_max(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
        self.make_room(self.now());
    }

    /// What all entries cost now.
    pub fn bytes(&self) -> usize {
        self.bytes.iter().map(|bytes| bytes.load(Ordering::Relaxed)).sum()
    }

    /// Frees what has ended, in small steps.
    pub(super) fn sweep(&self) {
        let now = self.now();
        for part in &self.parts {
            while part.next_end.load(Ordering::Relaxed) <= now {
                self.with(part, |shard| shard.expire(now, SWEPT_AT_ONCE));
            }
        }
    }

    pub(super) fn get_at(&self, key: &str, now: u64) -> Option<Vec<u8>> {
        match self.with(self.part(key), |shard| shard.get(key, now))? {
            Value::Set(bytes) | Value::Swapped(bytes) => Some(bytes.to_vec()),
            Value::Counter(number) => Some(number.to_string().into_bytes()),
        }
    }

    pub(super) fn set_at(&self, key: &str, value: Vec<u8>, ttl: Option<Duration>, now: u64) -> Result<(), Fault> {
        let value = self.fitting(key, value)?;
        self.write(key, now, |shard| shard.set(key, value, ends(ttl, now), now));
        Ok(())
    }

    pub(super) fn swap_at(
        &self,
        key: &str,
        expected: Option<&[u8]>,
        value: Vec<u8>,
        ttl: Option<Duration>,
        now: u64,
    ) -> Result<bool, Fault> {
        let value = self.fitting(key, value)?;
        Ok(self.write(key, now, |shard| shard.swap(key, expected, value, ends(ttl, now), now)))
    }

    /// No entry takes more than half of the room, so that the newest one is never what has to go.
    fn fitting(&self, key: &str, value: Vec<u8>) -> Result<Bytes, Fault> {
        let most = self.max.load(Ordering::Relaxed) / 2;
        let cost = OVERHEAD + key.len() + value.len();
        if cost > most {
            return Err(Fault::Invalid(format!(
                "the value needs {cost} bytes, and one may take half of `grants.kv.max`, {most} bytes; raise it"
            )));
        }
        Ok(Bytes::from(value.into_boxed_slice()))
    }

    pub(super) fn increment_at(&self, key: &str, by: i64, ttl: Option<Duration>, now: u64) -> Result<i64, Fault> {
        self.write(key, now, |shard| shard.increment(key, by, ends(ttl, now), now)).map_err(|why| {
            Fault::Invalid(match why {
                NoCount::NotANumber => "the key's value is not a whole number".to_owned(),
                NoCount::Overflow => "the sum is beyond 64 bits; the number stays as it was".to_owned(),
            })
        })
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.parts.iter().map(|part| part.shard.lock().unwrap_or_else(std::sync::PoisonError::into_inner).slots()).sum()
    }

    /// Nanoseconds: uses in one millisecond must have an order, or whole shards would go before the others.
    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(NEVER - 1)
    }

    fn part(&self, key: &str) -> &Part {
        let [first, ..] = &self.parts;
        let at = self.hasher.hash_one(key) as usize % SHARDS;
        self.parts.get(at).unwrap_or(first)
    }

    fn write<T>(&self, key: &str, now: u64, work: impl FnOnce(&mut Shard) -> T) -> T {
        let done = self.with(self.part(key), |shard| {
            shard.expire(now, SWEPT_BY_WRITE);
            work(shard)
        });
        self.make_room(now);
        done
    }

    /// Works on a shard under its lock and books what that changed.
    fn with<T>(&self, part: &Part, work: impl FnOnce(&mut Shard) -> T) -> T {
        let mut shard = part.shard.lock().unwrap_or_else(PoisonError::into_inner);
        let before = Class::ALL.map(|class| shard.bytes(class));
        let done = work(&mut shard);
        part.next_end.store(shard.next_end(), Ordering::Relaxed);
        let mut change = 0;
        for (i, class) in Class::ALL.into_iter().enumerate() {
            let (Some(total), Some(before)) = (self.bytes.get(i), before.get(i)) else { continue };
            if let Some(oldest) = part.oldest.get(i) {
                oldest.store(shard.oldest(class), Ordering::Relaxed);
            }
            let after = shard.bytes(class);
            // Wraps through zero and back where it shrank; the sum over all books is right.
            total.fetch_add(after.wrapping_sub(*before), Ordering::Relaxed);
            change += after as i64 - *before as i64;
        }
        if change != 0 {
            self.metrics.bytes.add(change);
        }
        done
    }

    /// Evicts until the quota holds. Several threads over it at once may each evict one entry more than needed.
    fn make_room(&self, now: u64) {
        loop {
            let max = self.max.load(Ordering::Relaxed);
            let [cached, state] = self.bytes.each_ref().map(|bytes| bytes.load(Ordering::Relaxed));
            if cached.saturating_add(state) <= max {
                return;
            }
            let ended = self.first(|part| &part.next_end).filter(|(_, end)| *end <= now);
            if let Some((part, _)) = ended {
                self.with(part, |shard| shard.expire(now, SWEPT_AT_ONCE));
                continue;
            }
            let class = if state > max / 2 || cached == 0 { Class::State } else { Class::Cached };
            let Some((part, _)) = self.first(|part| {
                let [cached, state] = &part.oldest;
                if class == Class::Cached { cached } else { state }
            }) else {
                return;
            };
            if self.with(part, |shard| shard.evict(class)) {
                self.metrics.evictions.inc();
            }
        }
    }

    /// The part with the least of that number, unless it is `NEVER` in all of them.
    fn first(&self, number: impl Fn(&Part) -> &AtomicU64) -> Option<(&Part, u64)> {
        let all = self.parts.iter().map(|part| (part, number(part).load(Ordering::Relaxed)));
        all.min_by_key(|(_, number)| *number).filter(|(_, number)| *number != NEVER)
    }
}

impl Kv for Space {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.get_at(key, self.now()))
    }

    fn set(&self, key: &str, value: Vec<u8>, ttl: Option<Duration>) -> Result<(), Fault> {
        self.set_at(key, value, ttl, self.now())
    }

    fn delete(&self, key: &str) -> Result<(), Fault> {
        self.with(self.part(key), |shard| shard.remove(key));
        Ok(())
    }

    fn increment(&self, key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, Fault> {
        self.increment_at(key, by, ttl, self.now())
    }

    fn swap(&self, key: &str, expected: Option<&[u8]>, value: Vec<u8>, ttl: Option<Duration>) -> Result<bool, Fault> {
        self.swap_at(key, expected, value, ttl, self.now())
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.metrics.bytes.sub(self.bytes() as i64);
    }
}

fn ends(ttl: Option<Duration>, now: u64) -> u64 {
    match ttl {
        Some(ttl) => now.saturating_add(u64::try_from(ttl.as_nanos()).unwrap_or(NEVER)).min(NEVER - 1),
        None => NEVER,
    }
}
