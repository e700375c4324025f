//! The access log: one line a call on standard output, JSON or readable.
//!
//! Serving threads only append to a buffer; a thread of its own writes it out every 50 ms. A reader that is too slow costs log lines,
//! counted in `sluice_log_lines_dropped_total`, never latency. A normal exit writes what is left; a kill loses at most the last 50 ms.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus::IntCounter;
use serde_json::json;
use sluice_dialect::usage::Usage;

use super::record::{Outcome, Record};

const FLUSH_EVERY: Duration = Duration::from_millis(50);
/// Unwritten log text held at most, bytes.
const MAX_BUFFER: usize = 4 << 20;

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

    pub fn write(&self, record: &Record, outcome: Outcome, total: Duration) {
        if self.format == Format::Off {
            return;
        }
        let mut buffer = self.shared.buffer.lock().unwrap_or_else(PoisonError::into_inner);
        if buffer.len() > MAX_BUFFER {
            self.dropped.inc();
            return;
        }
        match self.format {
            Format::Json => json_line(&mut buffer, record, outcome, total),
            Format::Text => text_line(&mut buffer, record, outcome, total),
            Format::Off => {}
        }
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
        }
        if stop {
            *shared.stopped.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
            shared.stopped.1.notify_all();
            return;
        }
        std::thread::sleep(FLUSH_EVERY);
    }
}

fn quoted(out: &mut Vec<u8>, name: &str, text: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    sluice_dialect::json::quote(text, out);
}

fn number(out: &mut Vec<u8>, name: &str, value: u64) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    digits(out, value);
}

fn digits(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

fn json_line(out: &mut Vec<u8>, record: &Record, outcome: Outcome, total: Duration) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    out.extend_from_slice(b"{\"ts\":");
    digits(out, now.as_secs());
    // One more digit in front keeps the zeros behind the point.
    let start = out.len();
    digits(out, 1000 + u64::from(now.subsec_millis()));
    if let Some(point) = out.get_mut(start) {
        *point = b'.';
    }
    quoted(out, "id", &record.id);
    quoted(out, "outcome", outcome.as_str());
    number(out, "status", u64::from(record.status));
    quoted(out, "operation", record.operation);
    quoted(out, "dialect", record.dialect);
    out.extend_from_slice(if record.streamed { b",\"stream\":true" } else { b",\"stream\":false" });
    quoted(out, "model", &record.model);
    if !record.provider.is_empty() {
        quoted(out, "provider", &record.provider);
        quoted(out, "upstream_model", &record.upstream_model);
    }
    if let Some(key) = &record.key {
        quoted(out, "key", key);
    }
    number(out, "attempts", u64::from(record.attempts));
    number(out, "us", total.as_micros() as u64);
    if outcome != Outcome::ClientGone {
        number(out, "overhead_us", total.saturating_sub(record.waited).as_micros() as u64);
    }
    if let Some(first) = record.first_token {
        number(out, "first_token_us", first.as_micros() as u64);
    }
    if let Some(usage) = &record.usage {
        out.extend_from_slice(b",\"tokens\":{");
        for (at, (class, count)) in Usage::CLASSES.iter().zip(usage.classes()).enumerate() {
            out.extend_from_slice(if at == 0 { b"\"" } else { b",\"" });
            out.extend_from_slice(class.as_bytes());
            out.extend_from_slice(b"\":");
            digits(out, count);
        }
        out.push(b'}');
    }
    number(out, "generation", record.generation);
    receipt(out, record);
    if !record.tags.is_empty() {
        let tags: serde_json::Map<_, _> = record.tags.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
        let _ = write!(out, ",\"tags\":{}", json!(tags));
    }
    if let Some(failure) = &record.failure {
        quoted(out, "blame", failure.blame.as_str());
        quoted(out, "error", &failure.message);
        if !failure.detail.is_empty() {
            quoted(out, "detail", &failure.detail);
        }
    }
    out.extend_from_slice(b"}\n");
}

fn receipt(out: &mut Vec<u8>, record: &Record) {
    if record.receipt.is_empty() {
        return;
    }
    out.extend_from_slice(b",\"plugins\":[");
    for (at, stamp) in record.receipt.iter().enumerate() {
        out.extend_from_slice(if at == 0 { b"{" } else { b",{" });
        out.extend_from_slice(b"\"plugin\":");
        sluice_dialect::json::quote(&stamp.plugin, out);
        quoted(out, "digest", &stamp.digest);
        quoted(out, "hook", stamp.hook.as_str());
        quoted(out, "verdict", stamp.verdict);
        number(out, "us", stamp.spent.as_micros() as u64);
        number(out, "runs", u64::from(stamp.runs));
        out.push(b'}');
    }
    out.push(b']');
}

fn text_line(out: &mut Vec<u8>, record: &Record, outcome: Outcome, total: Duration) {
    let stream = if record.streamed { " stream" } else { "" };
    let ms = total.as_secs_f64() * 1e3;
    let overhead = total.saturating_sub(record.waited).as_micros();
    let _ = write!(
        out,
        "{} {} {}{stream} {} -> {}/{} {ms:.1}ms (sluice {overhead}us) {}",
        record.status,
        outcome.as_str(),
        record.operation,
        clean(&record.model),
        record.provider,
        clean(&record.upstream_model),
        record.id
    );
    if !record.receipt.is_empty() {
        let _ = write!(out, " [{}]", record.receipt_header());
    }
    if let Some(failure) = &record.failure {
        let _ = write!(out, " {}: {} {}", failure.blame.as_str(), clean(&failure.message), clean(&failure.detail));
    }
    out.push(b'\n');
}

/// A client's words may not forge a log line or drive a terminal.
fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
