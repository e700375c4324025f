//! `response-cache`: answers a call that was made before from its stored reply, for the same caller only.
//!
//! This file is the plugin: look up in `on-request`, store in `on-finish`. Which requests say the same is `canonical`'s business. What is
//! stored is what the client was sent, after every policy; a hit passes the reply hooks again.

mod canonical;
mod settings;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use settings::{Scope, Settings};
use sluice::{Call, Fault, Grant, OnFinish, OnRequest, Plugin, Reply, RequestVerdict, kv};

/// Remembered from `on-request` to `on-finish`: the key under which a good reply is to be stored.
const KEY: &str = "key";
const STATUS: &str = "x-sluice-cache";
const AGE: &str = "x-sluice-cache-age";
/// The form of keys and of what is stored under them. What an earlier version stored may still be there, and is not to be found.
const FORM: u8 = 2;
/// The last of the stored bytes: milliseconds since 1970 of the storing.
const STAMP: usize = 8;

struct Cache {
    settings: Settings,
}

impl Plugin for Cache {
    type Settings = Settings;
    const SCHEMA: &'static str = include_str!("../settings.schema.json");
    const GRANTS: &[Grant] = &[Grant::kv("keeps the replies")];

    fn configure(settings: Settings) -> Result<Self, Fault> {
        settings.check()?;
        Ok(Cache { settings })
    }
}

impl OnRequest for Cache {
    fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault> {
        let asked = call.header("cache-control").unwrap_or_default().to_ascii_lowercase();
        let directive = |word: &str| asked.split(',').any(|part| part.trim() == word);
        if directive("no-store") {
            return self.passed(call, "no-store");
        }
        if call.operation() != "chat" {
            return self.passed(call, "operation");
        }
        let Ok(key) = self.key(call) else { return self.passed(call, "request") };
        if !directive("no-cache") {
            // A store that cannot be read costs the hit, never the call.
            if let Ok(Some(stored)) = kv::get(&key)
                && let Some((stamp, reply)) = open(stored)
            {
                return self.hit(call, stamp, reply);
            }
        }
        call.remember_bytes(KEY, key.as_bytes())?;
        self.passed(call, "miss")
    }
}

impl OnFinish for Cache {
    fn on_finish(&self, call: &Call, reply: &Reply) -> Result<(), Fault> {
        if reply.outcome().as_deref() != Some("ok") {
            return Ok(());
        }
        let Some(key) = call.recall_bytes(KEY).and_then(|key| String::from_utf8(key).ok()) else { return Ok(()) };
        let Some(json) = reply.get_json("") else { return Ok(()) };
        if !is_complete(reply) {
            sluice::count("incomplete", 1);
            return Ok(());
        }
        if json.len() > self.settings.max_reply_kb << 10 {
            sluice::count("too-large", 1);
            return Ok(());
        }
        let mut value = json.into_bytes();
        value.extend_from_slice(&sluice::now_ms().to_le_bytes());
        kv::set(&key, &value, Some(self.settings.ttl.duration()))?;
        sluice::count("stored", 1);
        Ok(())
    }
}

impl Cache {
    /// A digest of everything that a reply depends on: who asks, under which prefix, and what.
    fn key(&self, call: &Call) -> Result<String, Fault> {
        let body = call.get_json("").ok_or_else(|| Fault::Invalid("no body".to_owned()))?;
        let mut text = Vec::with_capacity(body.len() * 2 + 256);
        text.push(FORM);
        // Each part says how long it is: no two callers' parts run together. One that is not there is not an empty one.
        let mut part = |name: u8, value: Option<String>| {
            text.push(name);
            match value {
                Some(value) => canonical::quote(&value, &mut text),
                None => text.push(b'-'),
            }
        };
        part(b'p', call.prefix());
        part(b'm', Some(call.model()));
        let team = call.caller("team");
        if self.settings.scope == Scope::Team && team.is_some() {
            part(b't', team);
        } else if self.settings.scope != Scope::Everyone {
            part(b't', team);
            part(b'k', call.caller("key"));
            part(b'u', call.caller("user"));
        }
        canonical::append(&body, &mut text).map_err(Fault::Invalid)?;
        Ok(hex(&sluice::digest(&text)))
    }

    fn hit(&self, call: &mut Call, stamp: u64, reply: String) -> Result<RequestVerdict, Fault> {
        sluice::count("hit", 1);
        call.tag("cache", "hit")?;
        if self.settings.status_header {
            call.set_reply_header(STATUS, "hit")?;
            call.set_reply_header(AGE, &(sluice::now_ms().saturating_sub(stamp) / 1000).to_string())?;
        }
        Ok(RequestVerdict::Answer(reply))
    }

    fn passed(&self, call: &mut Call, why: &str) -> Result<RequestVerdict, Fault> {
        sluice::count(why, 1);
        call.tag("cache", why)?;
        if self.settings.status_header {
            call.set_reply_header(STATUS, why)?;
        }
        Ok(RequestVerdict::Pass)
    }
}

/// When it was stored, and the reply; `None` for bytes that this version did not write.
fn open(mut stored: Vec<u8>) -> Option<(u64, String)> {
    let (reply, stamp) = stored.split_last_chunk::<STAMP>()?;
    let (length, stamp) = (reply.len(), u64::from_le_bytes(*stamp));
    stored.truncate(length);
    Some((stamp, String::from_utf8(stored).ok()?))
}

fn hex(digest: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |half: u8| DIGITS.get(usize::from(half)).map_or('0', |digit| char::from(*digit));
    let mut hex = String::with_capacity(digest.len() * 2);
    for byte in digest {
        hex.push(digit(byte >> 4));
        hex.push(digit(byte & 15));
    }
    hex
}

/// Every choice came to its own end: not cut by a limit, a filter or a policy.
fn is_complete(reply: &Reply) -> bool {
    let ended = |reason: String| matches!(reason.as_str(), "stop" | "tool_calls" | "function_call");
    let mut choices = 0..128;
    let unfinished = choices.find_map(|choice| match reply.finish_reason(choice) {
        Some(reason) if ended(reason.clone()) => None,
        other => Some((choice, other)),
    });
    // The first choice that has no reason must be one past the last, and there must be a first.
    matches!(unfinished, Some((choice, None)) if choice > 0 && reply.get_json(&format!("/choices/{choice}")).is_none())
}

sluice::plugin!(Cache: on_request, on_finish);
