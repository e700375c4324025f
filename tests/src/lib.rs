//! What the tests and the benchmark share: a scripted provider with a journal, a harness for the built gateway, a raw HTTP client that
//! keeps the bytes it saw, and the recorded traffic of real providers.
//!
//! It is not a library for anyone else: everything here may panic with a message, because a test is the only caller and a broken set-up
//! must stop it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod fuzz;
pub mod gateway;
pub mod http;
pub mod json;
pub mod load;
pub mod mock;
pub mod process;
pub mod scripted;
pub mod skip;
pub mod sse;
pub mod unreachable;
pub mod wire;

use std::time::{Duration, Instant};

/// How long a test waits for something that should take milliseconds: long enough that only a hang gets here, even on a loaded machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Waits until `condition` gives a value, at most [`LIMIT`]; `what` is named when it never does.
///
/// For conditions of another process, which can only be asked again; inside this process the journal wakes its waiters.
pub fn wait_for<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < LIMIT, "gave up after {LIMIT:?} waiting for: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
