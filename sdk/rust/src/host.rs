//! What is always there: log lines, the clock, randomness, counters, digests.
//!
//! Under `cargo test` log lines and counters are kept for the test to read, and nothing is printed.

use crate::types::Level;

/// Writes a log line in the gateway's log. At most 4 KiB a line and 64 lines a hook; more is cut.
pub fn log(level: Level, message: impl AsRef<str>) {
    backend::log(level, message.as_ref());
}

/// Milliseconds since 1970. A test may set the clock: see `testing::set_now_ms`.
pub fn now_ms() -> u64 {
    backend::now_ms()
}

/// Random bytes, at most 1024.
pub fn random(length: u32) -> Vec<u8> {
    backend::random(length)
}

/// Adds to a counter, shown as `sluice_plugin_count_total{plugin,name}`; at most 32 names a plugin.
pub fn count(name: &str, by: u64) {
    backend::count(name, by);
}

/// SHA-256, taken by the gateway: many times faster than a plugin can. Of at most 16 MiB; more is a panic.
pub fn digest(data: impl AsRef<[u8]>) -> [u8; 32] {
    backend::digest(data.as_ref())
}

#[cfg(target_family = "wasm")]
mod backend {
    use crate::bindings::host;
    use crate::types::Level;

    pub(super) fn log(level: Level, message: &str) {
        let level = match level {
            Level::Trace => host::Level::Trace,
            Level::Debug => host::Level::Debug,
            Level::Info => host::Level::Info,
            Level::Warn => host::Level::Warn,
            Level::Error => host::Level::Error,
        };
        host::log(level, message);
    }

    pub(super) fn digest(data: &[u8]) -> [u8; 32] {
        // Never another length.
        host::digest(data).try_into().unwrap_or([0; 32])
    }

    pub(super) use host::{count, now_ms, random};
}

#[cfg(not(target_family = "wasm"))]
mod backend {
    use crate::types::Level;
    use std::hash::{BuildHasher, Hasher};

    pub(super) fn log(level: Level, message: &str) {
        crate::testing::record_log(level, message);
    }

    pub(super) fn count(name: &str, by: u64) {
        crate::testing::record_count(name, by);
    }

    pub(super) fn now_ms() -> u64 {
        crate::testing::keys::now_ms()
    }

    pub(super) fn digest(data: &[u8]) -> [u8; 32] {
        use sha2::Digest;
        assert!(data.len() <= 16 << 20, "the gateway takes digests of at most 16 MiB");
        sha2::Sha256::digest(data).into()
    }

    pub(super) fn random(length: u32) -> Vec<u8> {
        // Keys of a fresh hasher are the only randomness of the standard library; good enough for a test.
        let next = || std::collections::hash_map::RandomState::new().build_hasher().finish().to_le_bytes();
        std::iter::repeat_with(next).flatten().take(length.min(1024) as usize).collect()
    }
}
