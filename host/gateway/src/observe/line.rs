//! The access log's readable line: aligned columns for the eye, everything else behind them. For machines there is the call document.

use std::borrow::Cow;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use super::record::{Outcome, Record};

/// How long the date is before a time of day, with the letter between.
const DATE: usize = "2026-01-01T".len();

/// The column of the operation, with its blanks.
const OPERATION: usize = 10;

/// Writes the line of a call that took `total` and ended at `now`; no line end.
///
/// `14:03:07.512Z 200 ok             1.2s sluice   180us  chat*  fast -> openai/gpt-4o-mini  12+340 tokens ...`: the clock in UTC, status,
/// outcome, time, Sluice's own time of it, operation (`*`: streamed), model asked for and target.
pub fn write(out: &mut Vec<u8>, record: &Record, outcome: Outcome, total: Duration, now: SystemTime) {
    let start = out.len();
    // Writing to memory cannot fail.
    let _ = write!(out, "{}", humantime::format_rfc3339_millis(now));
    // Of the date only the time: `2026-01-01T` is as long for every year to come.
    out.drain(start..out.len().min(start + DATE));
    let _ = write!(out, " {} {:<14} ", record.status, outcome.as_str());
    column(out, 7, |out| short(out, total));
    out.extend_from_slice(b" sluice ");
    column(out, 7, |out| match record.overhead(total) {
        Some(overhead) => short(out, overhead),
        None => out.push(b'-'),
    });
    let star = if record.streamed { "*" } else { " " };
    let at = out.len();
    let _ = write!(out, "  {}{star} ", record.operation);
    out.resize(out.len().max(at + OPERATION), b' ');
    out.extend_from_slice(if record.model.is_empty() { "-".into() } else { clean(&record.model) }.as_bytes());
    if !record.last.provider.is_empty() {
        let _ = write!(out, " -> {}/{}", record.last.provider, clean(&record.last.model));
    }
    attempts(out, record);
    if let Some(usage) = &record.usage {
        let input = usage.input + usage.cache_read + usage.cache_write;
        let _ = write!(out, "  {input}+{} tokens", usage.output + usage.reasoning);
    }
    if let Some(caller) = &record.caller {
        let _ = write!(out, "  key {}", caller.key);
    }
    receipt(out, record);
    for (key, value) in &record.tags {
        let _ = write!(out, "  {}={}", clean(key), clean(value));
    }
    if let Some(failure) = &record.failure {
        let _ = write!(out, "  {}: {}", failure.blame.as_str(), clean(&failure.message));
        if !failure.detail.is_empty() {
            let _ = write!(out, " ({})", clean(&failure.detail));
        }
    }
    let _ = write!(out, "  {}", record.id);
}

/// The route, and the attempts that failed before the last one.
fn attempts(out: &mut Vec<u8>, record: &Record) {
    if let Some(route) = &record.route {
        let _ = write!(out, "  route {route}");
    }
    let mut before = "  after ";
    for attempt in &record.earlier {
        let key = attempt.key.as_deref().map(|key| format!(" key={key}")).unwrap_or_default();
        let (provider, model, class) = (&attempt.provider, clean(&attempt.model), attempt.class.as_str());
        let _ = write!(out, "{before}{provider}/{model}{key} {class}");
        before = ", ";
    }
}

fn receipt(out: &mut Vec<u8>, record: &Record) {
    let mut before = "  [";
    for stamp in &record.receipt {
        let us = stamp.spent.as_micros();
        let _ = write!(out, "{before}{} {}={} {us}us", stamp.plugin, stamp.hook.as_str(), stamp.verdict);
        before = ", ";
    }
    if !record.receipt.is_empty() {
        out.push(b']');
    }
}

/// What `write` writes, moved to the right end of a column.
fn column(out: &mut Vec<u8>, width: usize, write: impl FnOnce(&mut Vec<u8>)) {
    let start = out.len();
    write(out);
    let missing = width.saturating_sub(out.len() - start);
    out.resize(out.len() + missing, b' ');
    if let Some(column) = out.get_mut(start..) {
        column.rotate_right(missing);
    }
}

/// At most six characters, three digits that count.
fn short(out: &mut Vec<u8>, time: Duration) {
    let us = time.as_micros();
    // Writing to memory cannot fail.
    let _ = match us {
        0..1_000 => write!(out, "{us}us"),
        1_000..10_000 => write!(out, "{:.2}ms", us as f64 / 1e3),
        10_000..100_000 => write!(out, "{:.1}ms", us as f64 / 1e3),
        100_000..1_000_000 => write!(out, "{}ms", us / 1_000),
        1_000_000..100_000_000 => write!(out, "{:.1}s", us as f64 / 1e6),
        _ => write!(out, "{}s", us / 1_000_000),
    };
}

/// A client's words may not forge a log line or drive a terminal.
fn clean(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        Cow::Owned(text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let shown = [0, 999, 1_000, 9_990, 43_210, 432_100, 1_234_000, 99_000_000, 600_000_000].map(|us| {
            let mut out = Vec::new();
            short(&mut out, Duration::from_micros(us));
            String::from_utf8(out).unwrap()
        });
        assert_eq!(shown, ["0us", "999us", "1.00ms", "9.99ms", "43.2ms", "432ms", "1.2s", "99.0s", "600s"]);
    }

    #[test]
    fn columns_stand_in_line_and_a_model_name_cannot_forge_a_line() {
        let line = |model: &str, status: u16, outcome: Outcome, total: u64| {
            let record =
                Record { model: model.into(), status, operation: "chat", id: "id".into(), ..Record::default() };
            let mut out = Vec::new();
            write(&mut out, &record, outcome, Duration::from_micros(total), SystemTime::UNIX_EPOCH);
            String::from_utf8(out).unwrap()
        };
        let one = line("short\n\x1b[31m", 200, Outcome::Ok, 5);
        let two = line("a-longer-one", 502, Outcome::UpstreamError, 61_000_000);
        assert_eq!(one.find("short"), two.find("a-longer-one"), "\n{one}\n{two}");
        assert!(one.starts_with("00:00:00.000Z 200 ok "), "{one}");
        assert!(!one.contains(char::is_control), "{one}");
    }
}
