//! `sluice tail`: the calls of a running gateway as they end, one line each.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::ask::{Ask, Asker, Trouble, put};
use super::table::{clean, pad, time};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(500);

#[derive(Args, Debug)]
pub struct Tail {
    #[command(flatten)]
    ask: Ask,
    /// Begin with this many of the calls that have ended already; the gateway keeps 200.
    #[arg(long, short = 'n', default_value_t = 10, value_name = "COUNT")]
    lines: usize,
    /// Show those and stop.
    #[arg(long)]
    once: bool,
}

/// What has been seen of the gateway.
#[derive(Default)]
struct Seen {
    cursor: u64,
    /// Which process it was.
    started: Option<u64>,
}

pub fn run(tail: &Tail) -> ExitCode {
    let asker = match Asker::new(&tail.ask) {
        Ok(asker) => asker,
        Err(trouble) => return trouble.exit(),
    };
    let mut seen = Seen::default();
    let mut first = true;
    let mut gone = false;
    loop {
        match look(&asker, &mut seen) {
            Ok(calls) => {
                if std::mem::take(&mut gone) {
                    eprintln!("{} answers again", asker.base());
                }
                let skip = if first { calls.len().saturating_sub(tail.lines) } else { 0 };
                for call in calls.iter().skip(skip) {
                    let text = if tail.ask.json { call.to_string() } else { line(call) };
                    if !put(&format!("{text}\n")) {
                        return ExitCode::SUCCESS;
                    }
                }
            }
            // A gateway that was there is waited for: it may be restarting.
            Err(Trouble::NotReachable(text)) if !first => {
                if !std::mem::replace(&mut gone, true) {
                    eprintln!("{text}");
                }
            }
            Err(trouble) => return trouble.exit(),
        }
        if tail.once {
            return ExitCode::SUCCESS;
        }
        first = false;
        std::thread::sleep(EVERY);
    }
}

/// The calls that ended since the last look.
fn look(asker: &Asker, seen: &mut Seen) -> Result<Vec<Value>, Trouble> {
    let mut answer = asker.get(&format!("/api/calls?after={}", seen.cursor))?;
    let started = answer["started"].as_u64();
    if seen.started.is_some() && seen.started != started && seen.cursor > 0 {
        // Another process, which counts from the start again.
        answer = asker.get("/api/calls?after=0")?;
    }
    seen.started = answer["started"].as_u64();
    seen.cursor = answer["newest"].as_u64().unwrap_or(0);
    match answer.get_mut("calls").map(Value::take) {
        Some(Value::Array(calls)) => Ok(calls),
        _ => Err(Trouble::Refused(format!("{} knows no calls: is it a Sluice of this version?", asker.base()))),
    }
}

fn text<'a>(call: &'a Value, field: &str) -> &'a str {
    call[field].as_str().unwrap_or_default()
}

/// Time (UTC), ending, names, tokens, total, Sluice's own time, receipt, key, error.
fn line(call: &Value) -> String {
    let seconds = call["ts"].as_f64().unwrap_or(0.0) as u64 % 86_400;
    let clock = format!("{:02}:{:02}:{:02}Z", seconds / 3600, seconds / 60 % 60, seconds % 60);
    let ending = format!("{} {}", text(call, "outcome"), call["status"]);
    let tokens = &call["tokens"];
    let tokens = if tokens.is_object() { format!("{}>{}", tokens["input"], tokens["output"]) } else { "-".to_owned() };
    let own = call["overhead_us"].as_f64().map_or_else(|| "-".to_owned(), time);
    let mut out = format!(
        "{clock} {} {} {} {} {}",
        pad(&clean(&ending), 18, false),
        pad(&names(call), 40, false),
        pad(&tokens, 11, true),
        pad(&time(call["us"].as_f64().unwrap_or(0.0)), 8, true),
        pad(&own, 8, true)
    );
    let receipt: Vec<String> = call["plugins"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|stamp| format!("{} {}={}", text(stamp, "plugin"), text(stamp, "hook"), text(stamp, "verdict")))
        .collect();
    if !receipt.is_empty() {
        out.push_str(&format!(" [{}]", clean(&receipt.join(", "))));
    }
    if let Some(key) = call["key"].as_str() {
        out.push_str(&format!(" key {}", clean(key)));
    }
    let list = call["targets"].as_array().map(Vec::as_slice).unwrap_or_default();
    for before in list.iter().rev().skip(1).rev() {
        out.push_str(&clean(&format!(" after {}", attempt(before))));
    }
    if let Some(error) = call["error"].as_str() {
        out.push_str(&format!(" {}: {}", text(call, "blame"), clean(error)));
    }
    out
}

/// An attempt that failed before another one was made: target, key and why.
fn attempt(attempt: &Value) -> String {
    let key = attempt["key"].as_str().map_or_else(String::new, |key| format!(" key={key}"));
    let reason = attempt["reason"].as_str().map_or_else(String::new, |reason| format!(" ({reason})"));
    format!("{}/{}{key} {}{reason}", text(attempt, "provider"), text(attempt, "model"), text(attempt, "class"))
}

/// The model as asked for and, where it is another, the target.
fn names(call: &Value) -> String {
    let asked = if text(call, "model").is_empty() { text(call, "operation") } else { text(call, "model") };
    let target = format!("{}/{}", text(call, "provider"), text(call, "upstream_model"));
    let stream = if call["stream"] == true { " (stream)" } else { "" };
    if target == "/" || target == asked {
        return clean(&format!("{asked}{stream}"));
    }
    let attempts = call["attempts"].as_u64().filter(|attempts| *attempts > 1);
    let attempts = attempts.map_or_else(String::new, |attempts| format!(" (attempt {attempts})"));
    clean(&format!("{asked} -> {target}{attempts}{stream}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_has_it_all() {
        let call = json!({
            "ts": 1_795_511_391.25, "outcome": "ok", "status": 200, "operation": "chat", "stream": true, "model": "fast", "provider": "llama",
            "upstream_model": "llama-3", "attempts": 2, "us": 812_345, "overhead_us": 143, "tokens": { "input": 12, "output": 3 }, "key": "search",
            "plugins": [{ "plugin": "pii", "hook": "on-request", "verdict": "edit", "us": 3, "runs": 1 }],
        });
        assert_eq!(
            line(&call),
            "09:09:51Z ok 200             fast -> llama/llama-3 (attempt 2) (stream)        12>3   812 ms   143 us [pii on-request=edit] key search"
        );
        let targets = json!([
            { "provider": "openai", "model": "x", "key": "main", "class": "rate-limited", "ms": 1.5, "reason": "slow\ndown" },
            { "provider": "llama", "model": "y", "class": "ok", "ms": 2.0 },
        ]);
        let retried = json!({ "outcome": "ok", "status": 200, "model": "fast", "attempts": 2, "targets": targets });
        assert!(line(&retried).ends_with(" after openai/x key=main rate-limited (slow down)"), "{}", line(&retried));
        let refused = json!({ "ts": 0, "outcome": "refused", "status": 404, "model": "a\u{1b}[2J\nb", "attempts": 0, "us": 90, "blame": "client", "error": "No such model." });
        let text = line(&refused);
        assert!(text.ends_with("client: No such model.") && text.contains("a [2J b"), "{text}");
        assert!(!text.contains(char::is_control), "{text}");
    }
}
