//! The fake behind [`crate::kv`] and the clock: per thread, as a test is.
//!
//! It has the gateway's bounds on keys, values and times, and no quota: nothing is ever pushed out.

use crate::types::Fault;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const MAX_KEY: usize = 512;
const MAX_VALUE: usize = 1 << 20;
const MAX_TTL_MS: u64 = 30 * 24 * 3600 * 1000;

struct Kept {
    value: Vec<u8>,
    /// Milliseconds since 1970 from which it is gone.
    until: Option<u64>,
}

thread_local! {
    static KEYS: RefCell<BTreeMap<String, Kept>> = const { RefCell::new(BTreeMap::new()) };
    static GRANTED: Cell<bool> = const { Cell::new(true) };
    static CONFIGURING: Cell<bool> = const { Cell::new(false) };
    static NOW: Cell<Option<u64>> = const { Cell::new(None) };
}

/// Sets this thread's clock, for [`crate::now_ms`] and times to live. It stands still until it is set again or [`advance`]d.
pub fn set_now_ms(now: u64) {
    NOW.set(Some(now));
}

/// Lets time pass on this thread's clock, which stands still from here on.
pub fn advance(time: Duration) {
    let passed = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    NOW.set(Some(now_ms().saturating_add(passed)));
}

pub(crate) fn now_ms() -> u64 {
    NOW.get().unwrap_or_else(|| {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        since.map_or(0, |time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
    })
}

/// Takes the grant `kv` away from plugins on this thread, or gives it back. It is given at first.
pub fn grant_kv(granted: bool) {
    GRANTED.set(granted);
}

/// What plugins on this thread keep now.
pub fn kept() -> BTreeMap<String, Vec<u8>> {
    let now = now_ms();
    KEYS.with_borrow(|keys| {
        let live = keys.iter().filter(|(_, kept)| kept.until.is_none_or(|until| now < until));
        live.map(|(key, kept)| (key.clone(), kept.value.clone())).collect()
    })
}

/// Runs `configure`, in which the gateway answers no `kv`.
pub(super) fn configuring<V>(run: impl FnOnce() -> V) -> V {
    CONFIGURING.set(true);
    let made = run();
    CONFIGURING.set(false);
    made
}

fn checked(key: &str) -> Result<(), Fault> {
    if key.is_empty() || key.len() > MAX_KEY {
        return Err(Fault::Invalid(format!("a key has 1 to {MAX_KEY} bytes, this one {}", key.len())));
    }
    if CONFIGURING.get() {
        return Err(Fault::Invalid("kv works within hooks only".to_owned()));
    }
    if !GRANTED.get() {
        return Err(Fault::Denied("`kv` is not granted; the operator adds `grants: { kv: {} }`".to_owned()));
    }
    Ok(())
}

/// When a time to live that starts now ends.
fn until(ttl_ms: Option<u64>) -> Result<Option<u64>, Fault> {
    match ttl_ms {
        Some(ms) if ms == 0 || ms > MAX_TTL_MS => {
            Err(Fault::Invalid(format!("a time to live has 1 to {MAX_TTL_MS} ms (30 days), this one {ms}")))
        }
        other => Ok(other.map(|ms| now_ms().saturating_add(ms))),
    }
}

/// With what is past its time taken out.
fn with<V>(run: impl FnOnce(&mut BTreeMap<String, Kept>) -> V) -> V {
    let now = now_ms();
    KEYS.with_borrow_mut(|keys| {
        keys.retain(|_, kept| kept.until.is_none_or(|until| now < until));
        run(keys)
    })
}

pub(crate) fn get(key: &str) -> Result<Option<Vec<u8>>, Fault> {
    checked(key)?;
    Ok(with(|keys| keys.get(key).map(|kept| kept.value.clone())))
}

pub(crate) fn set(key: &str, value: &[u8], ttl_ms: Option<u64>) -> Result<(), Fault> {
    checked(key)?;
    let until = until(ttl_ms)?;
    if value.len() > MAX_VALUE {
        return Err(Fault::Invalid(format!("a value has at most {MAX_VALUE} bytes, this one {}", value.len())));
    }
    with(|keys| keys.insert(key.to_owned(), Kept { value: value.to_vec(), until }));
    Ok(())
}

pub(crate) fn delete(key: &str) -> Result<(), Fault> {
    checked(key)?;
    with(|keys| keys.remove(key));
    Ok(())
}

pub(crate) fn swap(key: &str, expected: Option<&[u8]>, value: &[u8], ttl_ms: Option<u64>) -> Result<bool, Fault> {
    let same = get(key)?.as_deref() == expected;
    if same {
        set(key, value, ttl_ms)?;
    }
    Ok(same)
}

pub(crate) fn increment(key: &str, by: i64, ttl_ms: Option<u64>) -> Result<i64, Fault> {
    checked(key)?;
    let until = until(ttl_ms)?;
    with(|keys| {
        let kept = keys.entry(key.to_owned()).or_insert_with(|| Kept { value: b"0".to_vec(), until });
        let number = std::str::from_utf8(&kept.value).ok().and_then(|text| text.parse::<i64>().ok());
        let before = number.ok_or_else(|| Fault::Invalid(format!("the value of `{key}` is not a number")))?;
        let sum = before.checked_add(by);
        let sum = sum.ok_or_else(|| Fault::Invalid(format!("`{key}` would be beyond a 64-bit number")))?;
        kept.value = sum.to_string().into_bytes();
        Ok(sum)
    })
}
