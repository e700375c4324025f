//! What the gateway tells about itself: metrics, and one document a call. It decides nothing.

pub mod access_log;
mod book;
pub mod document;
pub mod failures;
mod line;
pub mod metrics;
pub mod recent;
pub mod record;
pub mod targets;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stderr)]
mod tests;

use std::cell::RefCell;
use std::time::{Duration, SystemTime};

use self::access_log::{AccessLog, Format};
use self::recent::Recent;
use self::record::{Outcome, Record};

/// What a thread's scratch buffer may keep between calls, bytes.
const SCRATCH: usize = 16 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Tells of a finished call wherever calls are told of; gives its document to `also`. Without `recent`: of a request that was none.
pub fn tell(
    record: &Record,
    outcome: Outcome,
    total: Duration,
    log: &AccessLog,
    recent: Option<&Recent>,
    also: impl FnOnce(&[u8]),
) {
    // Taken out, so that nothing called from here can meet it borrowed.
    let mut buffer = BUFFER.take();
    buffer.clear();
    let now = SystemTime::now();
    document::write(&mut buffer, record, outcome, total, now);
    if let Some(recent) = recent {
        recent.note(&buffer);
    }
    also(&buffer);
    match log.format() {
        Format::Json => log.write(&buffer),
        Format::Text => {
            buffer.clear();
            line::write(&mut buffer, record, outcome, total, now);
            log.write(&buffer);
        }
        Format::Off => {}
    }
    if buffer.capacity() <= SCRATCH {
        BUFFER.set(buffer);
    }
}
