//! A provider's keys: which one a request carries, and how. The only place where a secret's text is used.
//!
//! A key is chosen among those that may be used for the model and are not out (`pool`), by weight; the calls of one session get the same
//! one while it is among them.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Value, json};
use sluice_dialect::failure::{Blame, Class, Failure, Retry};

use super::gate::Gate;
use super::pool::{KeyNews, Out, Pools, State, Why};
use super::table::Auth;
use crate::config::{ProviderKey, allows, show_duration};
use crate::routing::weigh;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

/// Keys that one question for a list tries: the question as a whole has its own deadline.
const MOST_TO_LIST: usize = 3;
/// Keys that an error names, each with its reason.
const MOST_TO_NAME: usize = 20;
/// What a client is told to wait for where only another call's probe is in the way.
const SOON: Duration = Duration::from_secs(1);

/// The keys of one provider as headers that are ready to send.
pub struct Credentials {
    keys: Vec<Key>,
}

struct Key {
    credential: Credential,
    /// The same in every process: a session finds its key again.
    id: u64,
    weight: f64,
    models: Vec<String>,
    enabled: bool,
    state: Arc<State>,
    gate: Option<Arc<Gate>>,
}

/// What one attempt shows the provider. The value never prints.
#[derive(Clone, Debug)]
pub struct Credential {
    /// As the operator calls the key, for records.
    pub name: Arc<str>,
    /// Its place among the provider's keys.
    at: usize,
    header: HeaderName,
    value: HeaderValue,
}

impl Credential {
    /// A token, in the way that all of them travel.
    pub(super) fn token(name: &'static str, token: &str) -> Result<Credential, String> {
        let mut value =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| "the token fits into no header")?;
        value.set_sensitive(true);
        Ok(Credential { name: name.into(), at: 0, header: AUTHORIZATION, value })
    }

    /// Puts it into a request's headers, in place of what the configuration's `headers:` may have put there.
    pub fn authorize(&self, headers: &mut HeaderMap) {
        headers.insert(self.header.clone(), self.value.clone());
    }

    /// Whether a header of a reply repeats it. The word `Bearer` before it is no secret.
    fn is_in(&self, value: &HeaderValue) -> bool {
        let secret = self.value.as_bytes().rsplit(|byte| *byte == b' ').next().unwrap_or_default();
        !secret.is_empty() && memchr::memmem::find(value.as_bytes(), secret).is_some()
    }

    /// Whether both show the provider the same.
    pub(super) fn same(&self, other: &Credential) -> bool {
        self.value == other.value
    }
}

/// Why there is no key for a call: each key's name and its reason.
#[derive(Debug)]
pub struct NoKey {
    reasons: Vec<(Arc<str>, Barred)>,
}

/// Why one key cannot be used for one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Barred {
    /// `enabled: false`
    Disabled,
    /// Its `models:` do not list this one.
    Unlisted,
    /// This call has tried it.
    Tried,
    Out(Out),
    /// Another call tries whether it is good again.
    Probed,
}

impl Credentials {
    /// # Errors
    /// A key that cannot be sent; the configuration has checked that.
    pub fn new(auth: Auth, provider: &str, keys: &[ProviderKey], pools: &Pools) -> Result<Credentials, String> {
        let keys = keys.iter().enumerate();
        let keys = keys.map(|(at, key)| Key::new(auth, provider, (at, key), pools)).collect::<Result<_, _>>()?;
        Ok(Credentials { keys })
    }

    /// Takes the headers away that repeat one of the keys: some providers do when they refuse one.
    pub fn hide(&self, headers: &mut HeaderMap) {
        let shown = |value: &HeaderValue| self.keys.iter().any(|key| key.credential.is_in(value));
        let names: Vec<HeaderName> =
            headers.iter().filter(|(_, value)| shown(value)).map(|(name, _)| name.clone()).collect();
        for name in names {
            headers.remove(name);
        }
    }

    /// Whether there is a choice, in which a session counts.
    pub fn several(&self) -> bool {
        self.keys.len() > 1
    }

    /// One key: among those that may be used for the model and are not out, by weight, and one that has a free place before those that have
    /// none. A provider without keys has none. `tried`: names of keys that are not wanted again.
    ///
    /// # Errors
    /// Keys there are, but none for this call.
    pub fn choose(
        &self,
        model: &str,
        session: Option<u64>,
        tried: &[Arc<str>],
        now: Instant,
    ) -> Result<Option<&Credential>, NoKey> {
        if let [only] = self.keys.as_slice() {
            return match only.barred(model, tried, now) {
                None if only.state.claim(model, now) => Ok(Some(&only.credential)),
                barred => Err(NoKey::of([(only, barred.unwrap_or(Barred::Probed))])),
            };
        }
        if self.keys.is_empty() {
            return Ok(None);
        }
        let mut usable: Vec<&Key> = self.keys.iter().filter(|key| key.barred(model, tried, now).is_none()).collect();
        if usable.iter().any(|key| key.has_room()) {
            usable.retain(|key| key.has_room());
        }
        // Whoever loses the right to try a key that was out takes another.
        while let Some(at) = weigh::pick(usable.iter().map(|key| (key.id, key.weight)), session) {
            let Some(key) = usable.get(at) else { break };
            if key.state.claim(model, now) {
                return Ok(Some(&key.credential));
            }
            usable.remove(at);
        }
        Err(NoKey::of(self.keys.iter().map(|key| (key, key.barred(model, tried, now).unwrap_or(Barred::Probed)))))
    }

    /// How long until a call would find a key: zero where it would now, `None` where there is none that it may use. Nothing is taken.
    pub fn wait(&self, model: &str, tried: &[Arc<str>], now: Instant) -> Option<Duration> {
        let left = |key: &Key| match key.barred(model, tried, now) {
            None => Some(Duration::ZERO),
            Some(Barred::Out(out)) => Some(out.left),
            Some(Barred::Disabled | Barred::Unlisted | Barred::Tried | Barred::Probed) => None,
        };
        self.keys.iter().filter_map(left).min()
    }

    /// The only key, whatever was heard of it, if it may be used for the model at all.
    pub fn sole(&self, model: &str) -> Option<&Credential> {
        let [only] = self.keys.as_slice() else { return None };
        (only.enabled && allows(&only.models, model)).then_some(&only.credential)
    }

    /// Notes what an attempt said of the key that it carried.
    pub fn told(&self, key: &Credential, model: &str, news: KeyNews, now: Instant) {
        if let Some(key) = self.keys.get(key.at) {
            key.state.told(model, news, now);
        }
    }

    /// The limit of calls with that key.
    pub fn gate(&self, key: &Credential) -> Option<&Gate> {
        self.keys.get(key.at)?.gate.as_deref()
    }

    /// Keys to ask for a list of models with, the heaviest first: any key's list is the provider's, and one may have been revoked.
    pub fn to_list(&self) -> Vec<Credential> {
        let mut keys: Vec<&Key> = self.keys.iter().filter(|key| key.enabled).collect();
        keys.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        keys.into_iter().take(MOST_TO_LIST).map(|key| key.credential.clone()).collect()
    }

    /// Whether a call for the model would find a key that may be used for it, or needs none.
    pub fn serve(&self, model: &str) -> bool {
        self.keys.is_empty() || self.keys.iter().any(|key| key.enabled && allows(&key.models, model))
    }

    /// For operators: each key's name, how it stands, and its limit. Never a secret.
    pub fn describe(&self, now: Instant) -> Vec<Value> {
        self.keys
            .iter()
            .map(|key| describe(&key.credential.name, key.enabled, &key.state, key.gate.as_deref(), now))
            .collect()
    }
}

/// One key, or what stands in its place.
pub(super) fn describe(name: &str, enabled: bool, state: &State, gate: Option<&Gate>, now: Instant) -> Value {
    let mut out = json!({ "name": name });
    if let (Value::Object(out), Value::Object(said)) = (&mut out, state.describe(now)) {
        out.extend(said);
        if !enabled {
            out.insert("state".to_owned(), "disabled".into());
        }
        if let Some(gate) = gate {
            out.insert("limits".to_owned(), gate.describe());
        }
    }
    out
}

impl NoKey {
    fn of<'a>(keys: impl IntoIterator<Item = (&'a Key, Barred)>) -> NoKey {
        NoKey::named(keys.into_iter().map(|(key, barred)| (Arc::clone(&key.credential.name), barred)))
    }

    fn named(reasons: impl IntoIterator<Item = (Arc<str>, Barred)>) -> NoKey {
        NoKey { reasons: reasons.into_iter().collect() }
    }

    /// For what stands in a key's place, under that name.
    pub(super) fn out(name: Arc<str>, out: Option<Out>) -> NoKey {
        NoKey::named([(name, out.map_or(Barred::Probed, Barred::Out))])
    }

    pub(super) fn tried(name: Arc<str>) -> NoKey {
        NoKey::named([(name, Barred::Tried)])
    }

    /// What the call fails with. Where nothing but rates is in the way it is a 429, which clients wait for.
    pub fn failure(self, provider: &str) -> Failure {
        let left = |barred: &Barred| match barred {
            Barred::Out(out) => Some(out.left),
            Barred::Probed => Some(SOON),
            Barred::Disabled | Barred::Unlisted | Barred::Tried => None,
        };
        let after = self.reasons.iter().filter_map(|(_, barred)| left(barred)).min();
        let could = || self.reasons.iter().map(|(_, barred)| barred).filter(|barred| left(barred).is_some());
        let limited =
            after.is_some() && could().all(|barred| !matches!(barred, Barred::Out(Out { why: Why::Refused(_), .. })));
        let (status, kind, what) = match (limited, after) {
            (true, _) => (429, "rate_limit_error", "is rate-limited"),
            (false, Some(_)) => (503, "server_error", "can be used now"),
            (false, None) => (503, "server_error", "may be used for this model"),
        };
        let message = if limited {
            format!("Every key of the provider `{provider}` {what}; try again later.")
        } else {
            format!("No key of the provider `{provider}` {what}.")
        };
        let mut failure = Failure::new(Blame::Gateway, status, kind, "no_provider_key", message)
            .with_retry(Retry::NextTarget)
            .with_detail(self.detail());
        if limited {
            failure = failure.with_class(Class::RateLimit);
        }
        failure.retry_after = after;
        failure
    }

    fn detail(&self) -> String {
        let mut out = String::new();
        for (name, barred) in self.reasons.iter().take(MOST_TO_NAME) {
            let lead = if out.is_empty() { "" } else { "; " };
            let _ = write!(out, "{lead}key `{name}`: {barred}");
        }
        if self.reasons.len() > MOST_TO_NAME {
            let _ = write!(out, "; and {} more", self.reasons.len() - MOST_TO_NAME);
        }
        out
    }
}

impl std::fmt::Display for Barred {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Barred::Disabled => out.write_str("`enabled: false`"),
            Barred::Unlisted => out.write_str("its `models:` do not list this model"),
            Barred::Tried => out.write_str("this call has tried it"),
            Barred::Probed => out.write_str("another call is trying it"),
            Barred::Out(Out { left, why }) => {
                write!(out, "{}, for another {}", why.text(), show_duration(*left))
            }
        }
    }
}

impl Key {
    fn new(auth: Auth, provider: &str, (at, key): (usize, &ProviderKey), pools: &Pools) -> Result<Key, String> {
        let secret = key.secret.expose();
        let (header, value) = match auth {
            Auth::Bearer | Auth::Google => (AUTHORIZATION, HeaderValue::try_from(format!("Bearer {secret}"))),
            Auth::XApiKey => (HeaderName::from_static("x-api-key"), HeaderValue::try_from(secret)),
            Auth::XGoogApiKey => (HeaderName::from_static("x-goog-api-key"), HeaderValue::try_from(secret)),
            Auth::ApiKey => (HeaderName::from_static("api-key"), HeaderValue::try_from(secret)),
        };
        let mut value = value.map_err(|_| format!("the key `{}` cannot be sent in a header", key.name))?;
        value.set_sensitive(true);
        Ok(Key {
            credential: Credential { name: key.name.as_str().into(), at, header, value },
            id: weigh::id(&format!("{provider}/{}", key.name)),
            weight: key.weight,
            models: key.models.clone(),
            enabled: key.enabled,
            state: pools.state(provider, &key.name, key.secret.digest(), false),
            gate: pools.gate(provider, Some(&key.name), key.calls),
        })
    }

    /// Why it cannot be used for a call of the model.
    fn barred(&self, model: &str, tried: &[Arc<str>], now: Instant) -> Option<Barred> {
        if !self.enabled {
            return Some(Barred::Disabled);
        }
        if !allows(&self.models, model) {
            return Some(Barred::Unlisted);
        }
        if tried.contains(&self.credential.name) {
            return Some(Barred::Tried);
        }
        self.state.out(model, now).map(Barred::Out)
    }

    fn has_room(&self) -> bool {
        self.gate.as_ref().is_none_or(|gate| !gate.is_full())
    }
}
