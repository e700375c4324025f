//! Does what the newest user text says with its own keys, and answers what came of it.
//!
//! `kv set KEY VALUE [TTL_MS]` answers `ok`; `kv get KEY` the value or `none`; `kv delete KEY` answers `ok`; `kv increment KEY BY [TTL_MS]`
//! the sum; `kv swap KEY EXPECTED VALUE [TTL_MS]` answers `true` or `false`, with `-` for a key that is not there; `kv fill PREFIX COUNT BYTES` sets keys PREFIX0, PREFIX1, ... and answers `ok`; `kv digest TEXT` answers SHA-256 in hexadecimal.
//! A fault of the store is answered as `fault: CLASS: TEXT`. Any other text passes. It waits until it is granted `kv`.

use std::fmt::Write as _;
use std::time::Duration;

use sluice::{Call, Fault, Grant, NoSettings, OnRequest, Plugin, RequestVerdict, kv};

struct Probe;

impl Plugin for Probe {
    type Settings = NoSettings;
    const GRANTS: &'static [Grant] = &[Grant::kv("to keep what requests say")];

    fn configure(_: NoSettings) -> Result<Self, Fault> {
        Ok(Probe)
    }
}

fn number<T: std::str::FromStr>(word: &str) -> Result<T, Fault> {
    word.parse().map_err(|_| Fault::Invalid(format!("`{word}` is not a number here")))
}

fn ttl(words: &[&str]) -> Result<Option<Duration>, Fault> {
    words.first().map(|word| Ok(Duration::from_millis(number(word)?))).transpose()
}

fn done(words: &[&str]) -> Result<String, Fault> {
    match words {
        ["set", key, value, rest @ ..] => kv::set(key, value, ttl(rest)?).map(|()| "ok".to_owned()),
        ["get", key] => {
            let value = kv::get(key)?;
            Ok(value.map_or_else(|| "none".to_owned(), |value| String::from_utf8_lossy(&value).into_owned()))
        }
        ["delete", key] => kv::delete(key).map(|()| "ok".to_owned()),
        ["increment", key, by, rest @ ..] => kv::increment(key, number(by)?, ttl(rest)?).map(|sum| sum.to_string()),
        ["swap", key, expected, value, rest @ ..] => {
            let expected = (*expected != "-").then_some(expected.as_bytes());
            kv::swap(key, expected, value, ttl(rest)?).map(|done| done.to_string())
        }
        ["fill", prefix, count, bytes] => {
            let value = vec![b'x'; number(bytes)?];
            for at in 0..number::<u64>(count)? {
                kv::set(&format!("{prefix}{at}"), &value, None)?;
            }
            Ok("ok".to_owned())
        }
        ["digest", text] => Ok(sluice::digest(text).iter().fold(String::new(), |mut out, byte| {
            // Writing to a string cannot fail.
            let _ = write!(out, "{byte:02x}");
            out
        })),
        _ => Err(Fault::Invalid("set, get, delete, increment, swap, fill or digest".to_owned())),
    }
}

impl OnRequest for Probe {
    fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault> {
        let text = call.last_user_text().unwrap_or_default();
        let words: Vec<&str> = text.split_whitespace().collect();
        let Some(("kv", words)) = words.split_first().map(|(first, rest)| (*first, rest)) else {
            return Ok(RequestVerdict::Pass);
        };
        let answer = done(words).unwrap_or_else(|fault| format!("fault: {fault}"));
        Ok(RequestVerdict::answer_text(&answer))
    }
}

sluice::plugin!(Probe: on_request);
