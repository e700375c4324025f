//! The plugin's own keys, by the grant `kv`: shared by all its instances, lost when the gateway stops.
//!
//! Name it in [`crate::Plugin::GRANTS`], and the operator allows it with `grants: { kv: {} }` in the plugin's settings file. It works within
//! hooks, not in `configure`. Keys have 1 to 512 bytes, values at most 1 MiB. A time to live has 1 ms to 30 days; without one a key stays
//! until its space is needed. Under `cargo test` the keys are those of the test's thread: see `testing`.
//!
//! ```no_run
//! # use sluice_sdk::{self as sluice, Fault};
//! # use std::time::Duration;
//! # fn hook() -> Result<(), Fault> {
//! let visits = sluice::kv::increment("visits", 1, Some(Duration::from_secs(60)))?;
//! # Ok(())
//! # }
//! ```

use crate::types::Fault;
use std::time::Duration;

/// # Errors
/// `Denied` without the grant, `Invalid` for a key that cannot be, `Unavailable` where the store does not answer.
pub fn get(key: &str) -> Result<Option<Vec<u8>>, Fault> {
    backend::get(key)
}

/// Puts or replaces a value; `ttl` starts anew.
///
/// # Errors
/// As [`get`]; also `Invalid` for a value or time to live out of bounds, and `Unavailable` where there is no space.
pub fn set(key: &str, value: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<(), Fault> {
    backend::set(key, value.as_ref(), ttl.map(milliseconds))
}

/// # Errors
/// As [`get`]; a key that is not there is no error.
pub fn delete(key: &str) -> Result<(), Fault> {
    backend::delete(key)
}

/// Adds to a number, atomically, and answers the sum. An absent key counts as 0, and `ttl` starts only when the key is created, which makes
/// a window that ends. `get` reads the number as decimal text.
///
/// # Errors
/// As [`set`]; also `Invalid` where the value is not a number, or the sum is beyond an `i64`.
pub fn increment(key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, Fault> {
    backend::increment(key, by, ttl.map(milliseconds))
}

/// Sets a value, with a `ttl` that starts anew, only where the key still has the `expected` one (`None`: where it is not there), atomically.
/// Says whether it did: if not, someone else was first, and what was read before is old.
///
/// # Errors
/// As [`set`].
pub fn swap(key: &str, expected: Option<&[u8]>, value: impl AsRef<[u8]>, ttl: Option<Duration>) -> Result<bool, Fault> {
    backend::swap(key, expected, value.as_ref(), ttl.map(milliseconds))
}

/// Rounded up, so that a short time is not none.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

#[cfg(target_family = "wasm")]
mod backend {
    use crate::bindings::kv;
    use crate::types::Fault;

    pub(super) fn get(key: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(kv::get(key)?)
    }
    pub(super) fn set(key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), Fault> {
        Ok(kv::set(key, value, ttl_ms)?)
    }
    pub(super) fn delete(key: &str) -> Result<(), Fault> {
        Ok(kv::delete(key)?)
    }
    pub(super) fn increment(key: &str, by: i64, ttl_ms: Option<u64>) -> Result<i64, Fault> {
        Ok(kv::increment(key, by, ttl_ms)?)
    }
    pub(super) fn swap(key: &str, expected: Option<&[u8]>, value: &[u8], ttl_ms: Option<u64>) -> Result<bool, Fault> {
        Ok(kv::swap(key, expected, value, ttl_ms)?)
    }
}

#[cfg(not(target_family = "wasm"))]
use crate::testing::keys as backend;
