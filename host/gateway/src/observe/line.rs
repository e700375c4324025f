//! The access log's readable line: aligned columns for the eye, everything else behind them. For machines there is the call document.

use std::borrow::Cow;
use std::io::Write as _;
use std::time::{Duration, SystemTime};

use super::record::{Outcome, Record};

/// Writes the line of a call that took `total` and ended at `now`; no line end.
///
/// `14:03:07.512Z 200 ok             1.2s sluice   180us  chat*  fast -> openai/gpt-4o-mini  12+340 tokens ...`: the clock in UTC, status,
/// outcome, time, Sluice's own time of it, operation (`*`: streamed), model asked for and target.
pub fn write(out: &mut Vec<u8>, record: &Record, outcome: Outcome, total: Duration, now: SystemTime) {
    let clock = humantime::format_rfc3339_millis(now).to_string();
    let clock = clock.split_once('T').map_or(clock.as_str(), |(_, time)| time);
    let own = record.overhead(total).map_or_else(|| "-".to_owned(), short);
    let operation = format!("{}{}", record.operation, if record.streamed { "*" } else { "" });
    // Writing to memory cannot fail.
    let _ = write!(
        out,
        "{clock} {} {:<14} {:>7} sluice {own:>7}  {operation:<6} ",
        record.status,
        outcome.as_str(),
        short(total)
    );
    out.extend_from_slice(if record.model.is_empty() { "-".into() } else { clean(&record.model) }.as_bytes());
    if !record.last.provider.is_empty() {
        let _ = write!(out, " -> {}/{}", record.last.provider, clean(&record.last.model));
    }
    if record.attempts > 1 {
        let _ = write!(out, "  {} attempts", record.attempts);
    }
    if let Some(usage) = &record.usage {
        let input = usage.input + usage.cache_read + usage.cache_write;
        let _ = write!(out, "  {input}+{} tokens", usage.output + usage.reasoning);
    }
    if let Some(caller) = &record.caller {
        let _ = write!(out, "  key {}", caller.key);
    }
    if !record.receipt.is_empty() {
        let _ = write!(out, "  [{}]", record.receipt_header());
    }
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

/// At most six characters, three digits that count.
fn short(time: Duration) -> String {
    let us = time.as_micros();
    match us {
        0..1_000 => format!("{us}us"),
        1_000..10_000 => format!("{:.2}ms", us as f64 / 1e3),
        10_000..100_000 => format!("{:.1}ms", us as f64 / 1e3),
        100_000..1_000_000 => format!("{}ms", us / 1_000),
        1_000_000..100_000_000 => format!("{:.1}s", us as f64 / 1e6),
        _ => format!("{}s", us / 1_000_000),
    }
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
        let shown = [0, 999, 1_000, 9_990, 43_210, 432_100, 1_234_000, 99_000_000, 600_000_000]
            .map(|us| short(Duration::from_micros(us)));
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
