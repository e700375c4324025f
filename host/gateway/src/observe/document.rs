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

/// How many targets that were left out are told of: a route may have hundreds, and a document goes to every log.
const MAX_SKIPPED: usize = 16;

/// A field's name as it stands in the document. Names are ours and need no escape.
macro_rules! field {
    ($name:literal) => {
        concat!(",\"", $name, "\":")
    };
}

/// Writes the document of a call that took `total` and ended at `now`; no line end.
pub fn write(out: &mut Vec<u8>, record: &Record, outcome: Outcome, total: Duration, now: SystemTime) {
    clock(out, now);
    quoted(out, field!("id"), &record.id);
    word(out, field!("outcome"), outcome.as_str());
    number(out, field!("status"), u64::from(record.status));
    word(out, field!("operation"), record.operation);
    word(out, field!("dialect"), record.dialect.as_str());
    out.extend_from_slice(if record.streamed { b",\"stream\":true" } else { b",\"stream\":false" });
    if let Some(prefix) = record.prefix {
        quoted(out, field!("prefix"), prefix);
    }
    quoted(out, field!("model"), &record.model);
    if !record.last.provider.is_empty() {
        quoted(out, field!("provider"), &record.last.provider);
        quoted(out, field!("upstream_model"), &record.last.model);
    }
    caller(out, record);
    if let Some(route) = &record.route {
        quoted(out, field!("route"), route);
    }
    if record.session {
        out.extend_from_slice(b",\"session\":true");
    }
    attempts(out, record);
    skipped(out, record);
    number(out, field!("us"), total.as_micros() as u64);
    if let Some(overhead) = record.overhead(total) {
        number(out, field!("overhead_us"), overhead.as_micros() as u64);
    }
    if let Some(first) = record.first_token {
        number(out, field!("first_token_us"), first.as_micros() as u64);
    }
    if let Some(usage) = &record.usage {
        tokens(out, usage);
    }
    number(out, field!("generation"), record.generation);
    receipt(out, record);
    if !record.tags.is_empty() {
        pairs(out, field!("tags"), record.tags.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    }
    lost(out, record);
    failure(out, record);
    out.push(b'}');
}

fn clock(out: &mut Vec<u8>, now: SystemTime) {
    let since = now.duration_since(UNIX_EPOCH).unwrap_or_default();
    out.extend_from_slice(b"{\"ts\":");
    thousandths(out, since.as_millis() as u64);
    // Writing to memory cannot fail.
    let _ = write!(out, ",\"time\":\"{}\"", humantime::format_rfc3339_millis(now));
}

fn caller(out: &mut Vec<u8>, record: &Record) {
    let Some(caller) = &record.caller else { return };
    quoted(out, field!("key"), &caller.key);
    if let Some(team) = &caller.team {
        quoted(out, field!("team"), team);
    }
    if let Some(user) = &caller.user {
        quoted(out, field!("user"), user);
    }
    if !caller.labels.is_empty() {
        pairs(out, field!("labels"), caller.labels.iter().map(|(label, value)| (label.as_str(), value.as_str())));
    }
}

fn attempts(out: &mut Vec<u8>, record: &Record) {
    number(out, field!("attempts"), u64::from(record.attempts));
    if record.attempts == 0 {
        return;
    }
    let mut before = ",\"targets\":[{\"provider\":";
    for attempt in record.earlier.iter().chain([&record.last]) {
        one(out, before, attempt);
        before = ",{\"provider\":";
    }
    out.push(b']');
}

fn one(out: &mut Vec<u8>, before: &str, attempt: &Attempt) {
    quoted(out, before, &attempt.provider);
    quoted(out, field!("model"), &attempt.model);
    if let Some(key) = &attempt.key {
        quoted(out, field!("key"), key);
    }
    if attempt.status != 0 {
        number(out, field!("status"), u64::from(attempt.status));
    }
    word(out, field!("class"), attempt.class.as_str());
    out.extend_from_slice(field!("ms").as_bytes());
    thousandths(out, attempt.waited.as_micros() as u64);
    if !attempt.target.is_empty() {
        quoted(out, field!("target"), &attempt.target);
    }
    if !attempt.reason.is_empty() {
        quoted(out, field!("reason"), &attempt.reason);
    }
    out.push(b'}');
}

fn skipped(out: &mut Vec<u8>, record: &Record) {
    let mut before = ",\"skipped\":[{\"target\":";
    for skipped in record.skipped.iter().take(MAX_SKIPPED) {
        quoted(out, before, &skipped.target);
        quoted(out, field!("reason"), cut(&skipped.reason, MAX_TEXT));
        out.push(b'}');
        before = ",{\"target\":";
    }
    if !record.skipped.is_empty() {
        out.push(b']');
    }
}

fn tokens(out: &mut Vec<u8>, usage: &Usage) {
    const NAMES: [&str; 5] =
        [",\"tokens\":{\"input\":", field!("cache-read"), field!("cache-write"), field!("output"), field!("reasoning")];
    for (name, count) in NAMES.iter().zip(usage.classes()) {
        number(out, name, count);
    }
    out.push(b'}');
}

fn receipt(out: &mut Vec<u8>, record: &Record) {
    if record.receipt.is_empty() {
        return;
    }
    let mut before = ",\"plugins\":[{\"plugin\":";
    for stamp in &record.receipt {
        quoted(out, before, &stamp.plugin);
        word(out, field!("digest"), &stamp.digest);
        word(out, field!("hook"), stamp.hook.as_str());
        word(out, field!("verdict"), stamp.verdict);
        number(out, field!("us"), stamp.spent.as_micros() as u64);
        number(out, field!("runs"), u64::from(stamp.runs));
        out.push(b'}');
        before = ",{\"plugin\":";
    }
    out.push(b']');
}

fn lost(out: &mut Vec<u8>, record: &Record) {
    let mut before = ",\"lost\":[";
    for what in &record.lost {
        quoted(out, before, cut(what, MAX_TEXT));
        before = ",";
    }
    if !record.lost.is_empty() {
        out.push(b']');
    }
}

fn failure(out: &mut Vec<u8>, record: &Record) {
    let Some(failure) = &record.failure else { return };
    word(out, field!("blame"), failure.blame.as_str());
    if let Some(code) = &failure.code {
        quoted(out, field!("code"), cut(code, MAX_TEXT));
    }
    quoted(out, field!("error"), cut(&failure.message, MAX_TEXT));
    if !failure.detail.is_empty() {
        quoted(out, field!("detail"), cut(&failure.detail, MAX_TEXT));
    }
}

/// The beginning of `text`, at most `max` bytes.
pub fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

fn quoted(out: &mut Vec<u8>, field: &str, text: &str) {
    out.extend_from_slice(field.as_bytes());
    quote(text, out);
}

/// A word of our own: letters, digits and dashes, which need no escape.
fn word(out: &mut Vec<u8>, field: &str, word: &str) {
    out.extend_from_slice(field.as_bytes());
    out.push(b'"');
    out.extend_from_slice(word.as_bytes());
    out.push(b'"');
}

fn number(out: &mut Vec<u8>, field: &str, value: u64) {
    out.extend_from_slice(field.as_bytes());
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
    out.extend_from_slice(field.as_bytes());
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
