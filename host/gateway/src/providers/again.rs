//! When a provider wants to be asked again: all spellings of one wish, from the headers and the body of an error reply.
//!
//! Of what is junk, negative, past or further away than a week nothing is believed. It is for error replies alone: some providers send
//! `retry-after` with good ones.

use std::time::{Duration, SystemTime};

use http::{HeaderMap, StatusCode};
use serde_json::Value;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

/// Longer waits are taken for a mistake.
const MOST: f64 = 7.0 * 86_400.0;
/// A larger number of milliseconds, or of seconds, is a moment and not a delay: September 2001.
const MOMENT_MS: f64 = 1e12;
const MOMENT: f64 = 1e9;
/// Header fields of rates: the limit's name stands where `*` is, and may be missing.
const RESETS: [(&str, &str); 3] = [
    ("x-ratelimit-reset", "x-ratelimit-remaining"),
    ("ratelimit-reset", "ratelimit-remaining"),
    ("anthropic-ratelimit-", "anthropic-ratelimit-"),
];
/// In error objects, as their providers spell it; all in seconds.
const MEMBERS: [&str; 3] = ["retry_after", "retry_after_seconds", "retryAfter"];

/// How long to wait from `now`; `None` where neither says so in a way that can be believed. `retry-after-ms` and `retry-after` go before the
/// body, and with a 429 the body before limits that will be reset, of which only used up ones count where that is told.
pub fn retry_after(status: StatusCode, headers: &HeaderMap, body: &[u8], now: SystemTime) -> Option<Duration> {
    let ms = text(headers, "retry-after-ms").and_then(number).and_then(|ms| delay(ms / 1000.0));
    let plain = text(headers, "retry-after").and_then(|text| moment_or_delay(text, now));
    // Some send a rounded down 0 beside a whole second.
    ms.filter(|ms| !ms.is_zero() || plain.is_none())
        .or(plain)
        .or_else(|| told(&serde_json::from_slice(body).ok()?, now))
        .or_else(|| reset(headers, now).filter(|_| status == StatusCode::TOO_MANY_REQUESTS))
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn number(text: &str) -> Option<f64> {
    // `parse` knows words as well, such as `inf`.
    let plain = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse().ok().filter(|_| plain)
}

fn delay(seconds: f64) -> Option<Duration> {
    (0.0..=MOST).contains(&seconds).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

fn until(moment: SystemTime, now: SystemTime) -> Option<Duration> {
    delay(moment.duration_since(now).ok()?.as_secs_f64()).filter(|left| !left.is_zero())
}

/// `20`, `1.5`, `1m2.5s`, `17ms`, a moment in seconds or milliseconds since 1970, an HTTP date, or one after RFC 3339.
fn moment_or_delay(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Some(number) = number(text) {
        let since = if number >= MOMENT_MS { number / 1000.0 } else { number };
        if since < MOMENT {
            return delay(since);
        }
        return until(SystemTime::UNIX_EPOCH.checked_add(Duration::try_from_secs_f64(since).ok()?)?, now);
    }
    let parts = if text.is_empty() { None } else { parts(text) };
    parts
        .and_then(delay)
        .or_else(|| until(httpdate::parse_http_date(text).ok()?, now))
        .or_else(|| until(humantime::parse_rfc3339(text).ok()?, now))
}

/// `6m0s`, `1h2m`, `17ms`, `48.9s`: in seconds.
fn parts(mut text: &str) -> Option<f64> {
    let mut total = 0.0;
    while !text.is_empty() {
        let digits = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).filter(|at| *at > 0)?;
        let (figure, rest) = text.split_at(digits);
        let letters = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let (unit, rest) = rest.split_at(letters);
        total += number(figure)?
            * match unit {
                "ns" => 1e-9,
                "us" | "µs" => 1e-6,
                "ms" => 1e-3,
                "s" => 1.0,
                "m" => 60.0,
                "h" => 3600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        text = rest;
    }
    Some(total)
}

/// The last of the limits that will be reset: of those that say they are used up, else of a limit that says nothing of what remains.
fn reset(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let mut used_up = None;
    let mut unsaid = None;
    for (name, value) in headers {
        let name = name.as_str();
        let remaining = RESETS.iter().find_map(|(reset, remaining)| {
            let rest = name.strip_prefix(reset)?;
            if *reset != *remaining {
                return Some(format!("{remaining}{rest}"));
            }
            // Anthropic names the limit before the word.
            rest.strip_suffix("-reset").map(|limit| format!("{remaining}{limit}-remaining"))
        });
        let Some(left) = remaining else { continue };
        let Some(delay) = value.to_str().ok().and_then(|text| moment_or_delay(text, now)) else { continue };
        match text(headers, &left) {
            Some("0") => used_up = used_up.max(Some(delay)),
            Some(_) => {}
            None => unsaid = unsaid.max(Some(delay)),
        }
    }
    used_up.or(unsaid)
}

/// What an error's document says: Google's `RetryInfo`, OpenRouter's copies of headers, and plain members.
fn told(value: &Value, now: SystemTime) -> Option<Duration> {
    let value = value.as_array().map_or(value, |list| list.first().unwrap_or(&Value::Null));
    let error = value.get("error").filter(|error| error.is_object()).unwrap_or(value);
    let metadata = error.get("metadata");
    let details = error.get("details").and_then(Value::as_array).into_iter().flatten();
    details
        .filter_map(|detail| detail.get("retryDelay"))
        .find_map(|delay| said(delay, now))
        .or_else(|| {
            [Some(error), metadata].into_iter().flatten().find_map(|object| {
                MEMBERS.iter().filter_map(|name| object.get(*name)).find_map(|value| said(value, now))
            })
        })
        .or_else(|| {
            let headers = metadata?.get("headers")?.as_object()?;
            let named = |name: &str| {
                headers
                    .iter()
                    .find(|(known, _)| known.eq_ignore_ascii_case(name))
                    .and_then(|(_, value)| said(value, now))
            };
            named("retry-after").or_else(|| named("x-ratelimit-reset"))
        })
}

fn said(value: &Value, now: SystemTime) -> Option<Duration> {
    match value {
        Value::String(text) => moment_or_delay(text, now),
        Value::Number(number) => moment_or_delay(&number.to_string(), now),
        Value::Object(parts) => {
            let part = |name: &str| {
                let value = parts.get(name)?;
                value.as_f64().or_else(|| number(value.as_str()?))
            };
            delay(part("seconds")? + part("nanos").unwrap_or(0.0) / 1e9)
        }
        _ => None,
    }
}
