//! The access log: one line a call on standard output, JSON or readable.
//!
//! Serving threads only append to a buffer; a thread of its own writes it out every 50 ms. A reader that is too slow costs log lines,
//! counted in `sluice_log_lines_dropped_total`, never latency. A normal exit writes what is left; a kill loses at most the last 50 ms.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use prometheus::IntCounter;

const FLUSH_EVERY: Duration = Duration::from_millis(50);
/// Unwritten log text held at most, bytes.
const MAX_BUFFER: usize = 4 << 20;
/// What a buffer keeps of its room once it is written out: a reader that stalled once must not cost memory for ever.
const KEPT_ROOM: usize = 256 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Text,
    Off,
}

#[derive(Clone)]
pub struct AccessLog {
    shared: Arc<Shared>,
    format: Format,
    dropped: IntCounter,
}

struct Shared {
    buffer: Mutex<Vec<u8>>,
    stop: AtomicBool,
    stopped: (Mutex<bool>, Condvar),
}

impl AccessLog {
    /// Starts the writing thread.
    pub fn start(format: Format, dropped: IntCounter) -> std::io::Result<AccessLog> {
        let shared = Arc::new(Shared {
            buffer: Mutex::new(Vec::with_capacity(64 * 1024)),
            stop: AtomicBool::new(false),
            stopped: (Mutex::new(false), Condvar::new()),
        });
        if format != Format::Off {
            let writer = Arc::clone(&shared);
            std::thread::Builder::new().name("access-log".into()).spawn(move || write_out(&writer))?;
        }
        Ok(AccessLog { shared, format, dropped })
    }

    /// One that nobody writes out.
    #[cfg(test)]
    pub(super) fn unwritten(format: Format, dropped: IntCounter) -> AccessLog {
        let log = AccessLog::start(Format::Off, dropped).map(|log| AccessLog { format, ..log });
        log.unwrap_or_else(|error| unreachable!("nothing was started: {error}"))
    }

    #[cfg(test)]
    pub(super) fn unread(&self) -> Vec<u8> {
        self.shared.buffer.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn format(&self) -> Format {
        self.format
    }

    /// Appends a line, to which the line end is added here.
    pub fn write(&self, line: &[u8]) {
        if self.format == Format::Off {
            return;
        }
        let mut buffer = self.shared.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() > MAX_BUFFER {
            self.dropped.inc();
            return;
        }
        buffer.extend_from_slice(line);
        buffer.push(b'\n');
    }

    /// Writes what is left and ends the thread; waits at most a second.
    pub fn finish(&self) {
        if self.format == Format::Off {
            return;
        }
        self.shared.stop.store(true, Ordering::Release);
        let (done, signal) = &self.shared.stopped;
        let done = done.lock().unwrap_or_else(PoisonError::into_inner);
        let _unused = signal.wait_timeout_while(done, Duration::from_secs(1), |done| !*done);
    }
}

fn write_out(shared: &Shared) {
    let mut spare = Vec::with_capacity(64 * 1024);
    loop {
        let stop = shared.stop.load(Ordering::Acquire);
        std::mem::swap(&mut *shared.buffer.lock().unwrap_or_else(PoisonError::into_inner), &mut spare);
        if !spare.is_empty() {
            // A closed standard output is no reason to stop serving.
            let _ = std::io::stdout().lock().write_all(&spare);
            let _ = std::io::stdout().lock().flush();
            spare.clear();
            spare.shrink_to(KEPT_ROOM);
        }
        if stop {
            *shared.stopped.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            shared.stopped.1.notify_all();
            return;
        }
        std::thread::sleep(FLUSH_EVERY);
    }
}
