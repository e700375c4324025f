//! Virtual keys: a presented credential to the caller behind it, or to why there is none.
//!
//! Look-up only; it holds digests and no key. Where a credential stands in a request is `access`'s, what may be taken is `rates`'.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use aws_lc_rs::constant_time;

use super::caller::Caller;
use super::rates::{Limits, Rates, What, Whose};
use crate::config::{ClientKey, Rate, Team, sha256};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

/// What a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known<'a> {
    Caller(&'a Caller),
    /// A key that served until then. With its name.
    Expired(&'a str, SystemTime),
    /// A key that is switched off. With its name.
    Disabled(&'a str),
}

#[derive(Debug)]
struct Key {
    caller: Caller,
    expires: Option<SystemTime>,
    disabled: bool,
}

impl Key {
    fn known(&self, now: SystemTime) -> Known<'_> {
        match self.expires {
            _ if self.disabled => Known::Disabled(&self.caller.key),
            Some(expires) if expires <= now => Known::Expired(&self.caller.key, expires),
            _ => Known::Caller(&self.caller),
        }
    }
}

/// All virtual keys of one configuration.
#[derive(Debug, Default)]
pub struct Keys {
    keys: Vec<Key>,
    /// Every key's digests by their first bytes, with the key's place in `keys`. The map is one of the standard library's, whose order is
    /// drawn anew for each.
    digests: HashMap<[u8; 8], Vec<([u8; 32], usize)>>,
}

impl Keys {
    /// What has been taken of their limits is found in `rates`, and goes on.
    pub fn new(keys: &[ClientKey], teams: &[Team], rates: &Rates) -> Self {
        let mut out = Keys::default();
        for key in keys {
            let at = out.keys.len();
            for check in &key.checks {
                out.digests.entry(first(check)).or_default().push((*check, at));
            }
            let team = key.team.as_ref().and_then(|name| teams.iter().find(|team| team.name == *name));
            out.keys.push(Key { caller: caller(key, team, rates), expires: key.expires, disabled: key.disabled });
        }
        out
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What `presented` is; `None` for what is no key.
    ///
    /// It takes as long among many keys as among few, and tells nothing of a key that is not presented: where it looks follows from the
    /// SHA-256 of `presented`, and who could learn how far that agrees with a key's digest would still have to find a text with the digest.
    /// The digest as a whole is compared in a time that does not depend on it.
    pub fn find(&self, presented: &[u8], now: SystemTime) -> Option<Known<'_>> {
        let digest = sha256(presented);
        let mut found = None;
        for (check, at) in self.digests.get(&first(&digest))? {
            if constant_time::verify_slices_are_equal(check, &digest).is_ok() {
                found = self.keys.get(*at);
            }
        }
        found.map(|key| key.known(now))
    }

    /// The caller that a key of this name makes, whether it serves just now or not: for those who ask what would happen.
    pub fn named(&self, name: &str, now: SystemTime) -> Option<(&Caller, Known<'_>)> {
        self.keys.iter().find(|key| *key.caller.key == *name).map(|key| (&key.caller, key.known(now)))
    }
}

fn first(digest: &[u8; 32]) -> [u8; 8] {
    let mut out = [0; 8];
    for (to, from) in out.iter_mut().zip(digest) {
        *to = *from;
    }
    out
}

/// Without its team's part and without limits.
impl From<&ClientKey> for Caller {
    fn from(key: &ClientKey) -> Self {
        caller(key, None, &Rates::default())
    }
}

fn caller(key: &ClientKey, team: Option<&Team>, rates: &Rates) -> Caller {
    let mut labels = team.map(|team| team.labels.clone()).unwrap_or_default();
    labels.extend(key.labels.clone());
    let scopes = [Some(&key.scope), team.map(|team| &team.scope)];
    let bucket = |whose, what, name: &str, rate: Option<Rate>| Some(rates.limit(whose, what, name, rate?));
    let limits = [
        bucket(Whose::Key, What::Requests, &key.name, key.rate),
        bucket(Whose::Key, What::Tokens, &key.name, key.tokens),
        team.and_then(|team| bucket(Whose::Team, What::Requests, &team.name, team.rate)),
        team.and_then(|team| bucket(Whose::Team, What::Tokens, &team.name, team.tokens)),
    ];
    Caller {
        key: key.name.as_str().into(),
        team: key.team.as_deref().map(Arc::from),
        user: key.user.as_deref().map(Arc::from),
        labels: Arc::new(labels),
        scopes: scopes.into_iter().flatten().filter(|scope| !scope.is_all()).cloned().collect(),
        limits: Limits::new(limits.into_iter().flatten().collect()),
    }
}
