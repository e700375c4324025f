//! The epoch's pulse: a thread of its own that ticks while guest code runs and sleeps while none does.
//!
//! On its own thread because a guest that holds a runtime's worker would hold that runtime's timers with it. Asleep between calls because a
//! gateway without traffic, or without plugins, should cost nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::Thread;
use std::time::Duration;

use wasmtime::Engine;

/// Ticks without guest code after which the thread goes to sleep. Waking it costs a system call, so it waits out the pauses of a busy
/// gateway.
const QUIET_TICKS: u32 = 50;
/// It looks by itself this often whether the engine is still there.
const LONGEST_SLEEP: Duration = Duration::from_secs(1);

/// Counts running guest code and wakes the ticking thread for it.
pub(crate) struct Ticker {
    running: AtomicU32,
    asleep: AtomicBool,
    thread: Thread,
}

/// Guest code runs while this lives.
pub(crate) struct Running<'a>(&'a Ticker);

impl Ticker {
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start(engine: &Engine, tick: Duration) -> std::io::Result<Arc<Ticker>> {
        let weak = engine.weak();
        let (send, receive) = std::sync::mpsc::channel::<Arc<Ticker>>();
        let thread = std::thread::Builder::new().name("sluice-epoch".to_owned()).spawn(move || {
            let Ok(ticker) = receive.recv() else { return };
            let mut quiet = 0;
            while let Some(engine) = weak.upgrade() {
                engine.increment_epoch();
                drop(engine);
                quiet = if ticker.running.load(Ordering::Relaxed) > 0 { 0 } else { quiet + 1 };
                if quiet < QUIET_TICKS {
                    std::thread::sleep(tick);
                    continue;
                }
                // Announced before looking once more: whoever starts now either is seen here or sees that it must wake this thread.
                ticker.asleep.store(true, Ordering::SeqCst);
                if ticker.running.load(Ordering::SeqCst) == 0 {
                    std::thread::park_timeout(LONGEST_SLEEP);
                }
                ticker.asleep.store(false, Ordering::SeqCst);
            }
        })?;
        let ticker = Arc::new(Ticker {
            running: AtomicU32::new(0),
            asleep: AtomicBool::new(false),
            thread: thread.thread().clone(),
        });
        // The thread waits for it; should it be gone, the engine has no pulse and the first guest would say so by a timeout.
        let _ = send.send(Arc::clone(&ticker));
        Ok(ticker)
    }

    pub(crate) fn run(&self) -> Running<'_> {
        self.running.fetch_add(1, Ordering::SeqCst);
        if self.asleep.load(Ordering::SeqCst) {
            self.thread.unpark();
        }
        Running(self)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}
