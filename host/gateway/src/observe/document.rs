//! The call document: one JSON object for one finished call, the same in the access log, in `on-complete` batches and in `/api/calls`.
//!
//! `wit/finished-call.schema.json` is its schema; fields are only ever added. It never holds a text of a request or reply, or a secret.

use std::io::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sluice_dialect::json::quote;
use sluice_dialect::usage::Usage;

use super::record::{Attempt, Outcome, Record};

/// The longest message or detail of a failure, bytes.
const MAX_TEXT: usize = 2048;

/// Writes the document of a call that took `total` and ended at `now`; no line end.
pub fn write(out: &mut Vec<u8>, record: &Record, outcome: Outcome, total: Duration, now: SystemTime) {
    clock(out, now);
    quoted(out, "id", &record.id);
    quoted(out, "outcome", outcome.as_str());
    number(out, "status", u64::from(record.status));
    quoted(out, "operation", record.operation);
    quoted(out, "dialect", record.dialect);
    out.extend_from_slice(if record.streamed { b",\"stream\":true" } else { b",\"stream\":false" });
    if let Some(prefix) = record.prefix {
        quoted(out, "prefix", prefix);
    }
    quoted(out, "model", &record.model);
    if !record.last.provider.is_empty() {
        quoted(out, "provider", &record.last.provider);
        quoted(out, "upstream_model", &record.last.model);
    }
    caller(out, record);
    attempts(out, record);
    number(out, "us", total.as_micros() as u64);
    if let Some(overhead) = record.overhead(total) {
        number(out, "overhead_us", overhead.as_micros() as u64);
    }
    if let Some(first) = record.first_token {
        number(out, "first_token_us", first.as_micros() as u64);
    }
    if let Some(usage) = &record.usage {
        name(out, "tokens");
        for (at, (class, count)) in Usage::CLASSES.iter().zip(usage.classes()).enumerate() {
            out.push(if at == 0 { b'{' } else { b',' });
            quote(class, out);
            out.push(b':');
            digits(out, count);
        }
        out.push(b'}');
    }
    number(out, "generation", record.generation);
    receipt(out, record);
    if !record.tags.is_empty() {
        pairs(out, "tags", record.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    }
    failure(out, record);
    out.push(b'}');
}

fn clock(out: &mut Vec<u8>, now: SystemTime) {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    out.extend_from_slice(b"{\"ts\":");
    thousandths(out, since.as_millis() as u64);
    name(out, "time");
    // Writing to memory cannot fail.
    let _ = write!(out, "\"{}\"", humantime::format_rfc3339_millis(now));
}

fn caller(out: &mut Vec<u8>, record: &Record) {
    let Some(caller) = &record.caller else { return };
    quoted(out, "key", &caller.key);
    if let Some(team) = &caller.team {
        quoted(out, "team", team);
    }
    if let Some(user) = &caller.user {
        quoted(out, "user", user);
    }
    if !caller.labels.is_empty() {
        pairs(out, "labels", caller.labels.iter().map(|(label, value)| (label.as_str(), value.as_str())));
    }
}

fn attempts(out: &mut Vec<u8>, record: &Record) {
    number(out, "attempts", u64::from(record.attempts));
    if record.attempts == 0 {
        return;
    }
    name(out, "targets");
    let mut before = b'[';
    for attempt in record.earlier.iter().chain([&record.last]) {
        out.push(before);
        one(out, attempt);
        before = b',';
    }
    out.push(b']');
}

fn one(out: &mut Vec<u8>, attempt: &Attempt) {
    out.extend_from_slice(b"{\"provider\":");
    quote(&attempt.provider, out);
    quoted(out, "model", &attempt.model);
    if let Some(key) = &attempt.key {
        quoted(out, "key", key);
    }
    if attempt.status != 0 {
        number(out, "status", u64::from(attempt.status));
    }
    quoted(out, "class", attempt.class.as_str());
    name(out, "ms");
    thousandths(out, attempt.waited.as_micros() as u64);
    out.push(b'}');
}

fn receipt(out: &mut Vec<u8>, record: &Record) {
    if record.receipt.is_empty() {
        return;
    }
    name(out, "plugins");
    let mut before = b'[';
    for stamp in &record.receipt {
        out.push(before);
        out.extend_from_slice(b"{\"plugin\":");
        quote(&stamp.plugin, out);
        quoted(out, "digest", &stamp.digest);
        quoted(out, "hook", stamp.hook.as_str());
        quoted(out, "verdict", stamp.verdict);
        number(out, "us", stamp.spent.as_micros() as u64);
        number(out, "runs", u64::from(stamp.runs));
        out.push(b'}');
        before = b',';
    }
    out.push(b']');
}

fn failure(out: &mut Vec<u8>, record: &Record) {
    let Some(failure) = &record.failure else { return };
    quoted(out, "blame", failure.blame.as_str());
    if let Some(code) = &failure.code {
        quoted(out, "code", cut(code, MAX_TEXT));
    }
    quoted(out, "error", cut(&failure.message, MAX_TEXT));
    if !failure.detail.is_empty() {
        quoted(out, "detail", cut(&failure.detail, MAX_TEXT));
    }
}

/// The beginning of `text`, at most `max` bytes.
pub fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

/// Names are ours and need no escape.
fn name(out: &mut Vec<u8>, name: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

fn quoted(out: &mut Vec<u8>, field: &str, text: &str) {
    name(out, field);
    quote(text, out);
}

fn number(out: &mut Vec<u8>, field: &str, value: u64) {
    name(out, field);
    digits(out, value);
}

fn digits(out: &mut Vec<u8>, value: u64) {
    out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
}

/// A number of thousandths as a decimal fraction with three places.
fn thousandths(out: &mut Vec<u8>, value: u64) {
    digits(out, value / 1000);
    // One more digit in front keeps the zeros behind the point.
    let point = out.len();
    digits(out, 1000 + value % 1000);
    if let Some(first) = out.get_mut(point) {
        *first = b'.';
    }
}

fn pairs<'a>(out: &mut Vec<u8>, field: &str, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
    name(out, field);
    let mut before = b'{';
    for (key, value) in pairs {
        out.push(before);
        quote(key, out);
        out.push(b':');
        quote(value, out);
        before = b',';
    }
    out.push(b'}');
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
