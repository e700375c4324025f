//! What an operator grants a plugin, and the host's side of `kv`: who may ask, and how large a key, value and time to live may be.
//!
//! How values are kept, evicted and shared is the gateway's business behind [`Kv`]; here is only the space of the dry run, which is
//! thrown away.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::bindings::imports::{kv, types};
use crate::host::{Edit, fault};
use crate::state::State;
use crate::view::Fault;

/// The interface promises these.
const MAX_KEY: usize = 512;
const MAX_VALUE: usize = 1 << 20;
const MAX_TTL_MS: u64 = 30 * 24 * 3600 * 1000;
/// Keys and values of one dry run.
const MAX_REHEARSED: usize = 4 << 20;

/// One plugin's own keys. Calls come from any thread, must be quick, never block on anything but a short lock, and are already checked: a
/// key of 1 to 512 bytes, a value of at most 1 MiB, a time to live of 1 ms to 30 days.
pub trait Kv: Send + Sync {
    /// # Errors
    /// `Unavailable`, where the store does not answer.
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault>;
    /// # Errors
    /// `Unavailable`, where there is no space left or the store does not answer.
    fn set(&self, key: &str, value: Vec<u8>, ttl: Option<Duration>) -> Result<(), Fault>;
    /// # Errors
    /// As [`Kv::get`]; a key that is not there is no error.
    fn delete(&self, key: &str) -> Result<(), Fault>;
    /// Atomic among all threads. An absent key counts as 0, and `ttl` starts only when the key is created. The number is kept as its decimal
    /// text, which is what `get` then answers.
    ///
    /// # Errors
    /// `Invalid`, where the value is no decimal number or the sum is beyond an `i64`, which leave it as it is; else as [`Kv::set`].
    fn increment(&self, key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, Fault>;
    /// Atomic among all threads: sets `value`, with a `ttl` that starts anew, only where the key has the `expected` value (`None`: where it
    /// is not there or has expired). Says whether it did.
    ///
    /// # Errors
    /// As [`Kv::set`].
    fn swap(&self, key: &str, expected: Option<&[u8]>, value: Vec<u8>, ttl: Option<Duration>) -> Result<bool, Fault>;
}

/// What the operator allows one plugin. Nothing by default.
#[derive(Clone, Default)]
pub struct Grants {
    pub kv: Option<Arc<dyn Kv>>,
}

impl Grants {
    /// Whether the grant of that name is given; `None` where this host has no such grant.
    pub(crate) fn has(&self, name: &str) -> Option<bool> {
        (name == "kv").then_some(self.kv.is_some())
    }

    /// The same grants with nothing real behind them.
    pub(crate) fn rehearsed(&self) -> Grants {
        Grants { kv: self.kv.as_ref().map(|_| Arc::new(Rehearsed::default()) as Arc<dyn Kv>) }
    }
}

impl fmt::Debug for Grants {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Grants").field("kv", &self.kv.is_some()).finish()
    }
}

/// The line that gives a grant, as operators write it.
pub(crate) fn line(name: &str) -> String {
    format!("grants: {{ {name}: {{}} }}")
}

/// The keys of one dry run. Without times to live: it is over before they would pass.
#[derive(Default)]
struct Rehearsed(Mutex<BTreeMap<String, Vec<u8>>>);

impl Rehearsed {
    fn keys(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kv for Rehearsed {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.keys().get(key).cloned())
    }

    fn set(&self, key: &str, value: Vec<u8>, _ttl: Option<Duration>) -> Result<(), Fault> {
        let mut keys = self.keys();
        let used: usize =
            keys.iter().filter(|(known, _)| *known != key).map(|(known, held)| known.len() + held.len()).sum();
        if used + key.len() + value.len() > MAX_REHEARSED {
            return Err(Fault::Unavailable("the key-value space is full".to_owned()));
        }
        keys.insert(key.to_owned(), value);
        Ok(())
    }

    fn delete(&self, key: &str) -> Result<(), Fault> {
        self.keys().remove(key);
        Ok(())
    }

    fn increment(&self, key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, Fault> {
        let before = match self.get(key)? {
            None => 0,
            Some(value) => std::str::from_utf8(&value)
                .ok()
                .and_then(|text| text.parse::<i64>().ok())
                .ok_or_else(|| Fault::Invalid(format!("the value of `{key}` is not a number")))?,
        };
        let sum =
            before.checked_add(by).ok_or_else(|| Fault::Invalid(format!("`{key}` would be beyond a 64-bit number")))?;
        self.set(key, sum.to_string().into_bytes(), ttl)?;
        Ok(sum)
    }

    fn swap(&self, key: &str, expected: Option<&[u8]>, value: Vec<u8>, ttl: Option<Duration>) -> Result<bool, Fault> {
        let same = self.keys().get(key).map(Vec::as_slice) == expected;
        if same {
            self.set(key, value, ttl)?;
        }
        Ok(same)
    }
}

fn checked_key(key: &str) -> Result<(), Fault> {
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(Fault::Invalid(format!("a key has 1 to {MAX_KEY} bytes, this one {}", key.len())));
    }
    Ok(())
}

fn checked_value(value: &[u8]) -> Result<(), Fault> {
    if value.len() > MAX_VALUE {
        return Err(Fault::Invalid(format!("a value has at most {MAX_VALUE} bytes, this one {}", value.len())));
    }
    Ok(())
}

fn checked_ttl(ttl_ms: Option<u64>) -> Result<Option<Duration>, Fault> {
    match ttl_ms {
        Some(ms) if ms == 0 || ms > MAX_TTL_MS => Err(Fault::Invalid(format!(
            "a time to live has 1 to {MAX_TTL_MS} ms (30 days), this one {ms}; give none for no end"
        ))),
        other => Ok(other.map(Duration::from_millis)),
    }
}

impl State {
    /// The plugin's keys, for function `kv.NAME`.
    fn keys(&self, name: &str) -> Result<&dyn Kv, Fault> {
        if !self.in_hook() {
            return Err(Fault::Invalid(format!("`kv.{name}` works within hooks only: an instance starts many times")));
        }
        self.common.grants.kv.as_deref().filter(|_| !self.common.is_withdrawn()).ok_or_else(|| {
            Fault::Denied(format!(
                "`kv` is not granted to this plugin; to allow it, add `{}` to its settings file",
                line("kv")
            ))
        })
    }

    fn kv_get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        checked_key(key)?;
        self.keys("get")?.get(key)
    }

    fn kv_set(&self, key: &str, value: Vec<u8>, ttl_ms: Option<u64>) -> Result<(), Fault> {
        checked_key(key)?;
        let ttl = checked_ttl(ttl_ms)?;
        checked_value(&value)?;
        self.keys("set")?.set(key, value, ttl)
    }

    fn kv_swap(&self, key: &str, expected: Option<&[u8]>, value: Vec<u8>, ttl_ms: Option<u64>) -> Result<bool, Fault> {
        checked_key(key)?;
        let ttl = checked_ttl(ttl_ms)?;
        checked_value(&value)?;
        self.keys("swap")?.swap(key, expected, value, ttl)
    }

    fn kv_delete(&self, key: &str) -> Result<(), Fault> {
        checked_key(key)?;
        self.keys("delete")?.delete(key)
    }

    fn kv_increment(&self, key: &str, by: i64, ttl_ms: Option<u64>) -> Result<i64, Fault> {
        checked_key(key)?;
        let ttl = checked_ttl(ttl_ms)?;
        self.keys("increment")?.increment(key, by, ttl)
    }
}

impl kv::Host for State {
    fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<Vec<u8>>, types::Fault>> {
        Ok(self.kv_get(&key).map_err(fault))
    }
    fn set(&mut self, key: String, value: Vec<u8>, ttl_ms: Option<u64>) -> Edit {
        Ok(self.kv_set(&key, value, ttl_ms).map_err(fault))
    }
    fn delete(&mut self, key: String) -> Edit {
        Ok(self.kv_delete(&key).map_err(fault))
    }
    fn increment(&mut self, key: String, by: i64, ttl_ms: Option<u64>) -> wasmtime::Result<Result<i64, types::Fault>> {
        Ok(self.kv_increment(&key, by, ttl_ms).map_err(fault))
    }
    fn swap(
        &mut self,
        key: String,
        expected: Option<Vec<u8>>,
        value: Vec<u8>,
        ttl_ms: Option<u64>,
    ) -> wasmtime::Result<Result<bool, types::Fault>> {
        Ok(self.kv_swap(&key, expected.as_deref(), value, ttl_ms).map_err(fault))
    }
}
