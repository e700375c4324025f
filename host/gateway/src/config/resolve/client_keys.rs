//! `keys:` and `teams:`: virtual keys, of which only digests remain, and what they have in common.

use std::collections::HashMap;
use std::time::SystemTime;

use crate::config::error::{At, nearest};
use crate::config::resolved::{ClientKey, Team};
use crate::config::tree::shorten;
use crate::config::{file, rate};
use crate::governance::caller::Scope;

use super::Context;

type Digests = HashMap<[u8; 32], String>;

impl Context<'_> {
    pub(super) fn teams(&mut self, written: file::Named<file::Team>, at: At<'_>) -> Vec<Team> {
        let mut out = Vec::new();
        for (name, team) in written.0 {
            let here = at.key(&name);
            if name.trim().is_empty() {
                self.report.error(at.name(&name).place(), "a team needs a name");
            }
            self.patterns(&team.models, here.key("models"));
            self.patterns(&team.routes, here.key("routes"));
            out.push(Team {
                name,
                labels: team.labels.0.into_iter().collect(),
                scope: Scope { models: team.models, routes: team.routes },
                rate: team.rate.map(|rate| rate.0),
                tokens: team.tokens.map(|rate| rate.0),
            });
        }
        out
    }

    /// `teams`: their names, those of broken ones included. A section without a team counts as none.
    pub(super) fn client_keys(
        &mut self,
        written: Vec<file::ClientKey>,
        at: At<'_>,
        teams: Vec<&str>,
    ) -> Vec<ClientKey> {
        let mut names = HashMap::new();
        let mut digests = Digests::new();
        let mut out = Vec::new();
        for (i, key) in written.into_iter().enumerate() {
            let here = at.item(i);
            self.patterns(&key.models, here.key("models"));
            self.patterns(&key.routes, here.key("routes"));
            if let Some(team) = &key.team {
                self.team(team, &teams, here.key("team"));
            }
            let expires = key.expires.as_ref().and_then(|text| rate::moment(&text.0).ok());
            let first = self.digest(&key, here);
            let second = key.also.as_ref().and_then(|text| self.either(&text.0, here.key("also")));
            let Some(name) = key.name else { continue };
            if name.trim().is_empty() {
                self.report.error(here.key("name").place(), "expected a name, found an empty text");
            }
            if !self.unique(&mut names, &name, "the key", here.key("name").place()) {
                continue;
            }
            let field = if key.hash.is_some() { "hash" } else { "value" };
            self.distinct(&mut digests, first, &name, here.key(field));
            self.distinct(&mut digests, second, &name, here.key("also"));
            if expires.is_some_and(|expires| expires <= SystemTime::now()) {
                self.report.warn(here.key("expires").place(), &format!("the key `{}` has expired", shorten(&name)));
            }
            let Some(first) = first else { continue };
            out.push(ClientKey {
                name,
                checks: [Some(first), second].into_iter().flatten().collect(),
                team: key.team,
                user: key.user,
                labels: key.labels.0.into_iter().collect(),
                scope: Scope { models: key.models, routes: key.routes },
                expires,
                disabled: !key.enabled,
                rate: key.rate.map(|rate| rate.0),
                tokens: key.tokens.map(|rate| rate.0),
            });
        }
        out
    }

    fn team(&mut self, team: &str, teams: &[&str], at: At<'_>) {
        if teams.is_empty() || teams.contains(&team) {
            return;
        }
        let message = match at.written() {
            Some(_) => format!("`{}` names no team of `teams:`", at.shown(team)),
            None => format!("there is no team `{}`", shorten(team)),
        };
        let near = nearest(team, teams).map(|near| format!("did you mean `{near}`?"));
        self.report.suggest(at.place(), message, near.unwrap_or_else(|| "add it to `teams:`".to_owned()));
    }

    /// Reports a key that another entry has, or the other place of this one.
    fn distinct(&mut self, digests: &mut Digests, digest: Option<[u8; 32]>, name: &str, at: At<'_>) {
        let Some(other) = digest.and_then(|digest| digests.insert(digest, name.to_owned())) else { return };
        let message = if other == name {
            format!("both keys of `{}` are the same", shorten(name))
        } else {
            format!("the keys `{}` and `{}` are the same", shorten(&other), shorten(name))
        };
        self.report.suggest(at.place(), message, "issue another one");
    }

    fn digest(&mut self, key: &file::ClientKey, at: At<'_>) -> Option<[u8; 32]> {
        let (value_at, hash_at) = (at.key("value"), at.key("hash"));
        match (&key.value, &key.hash) {
            (Some(_), Some(_)) => {
                self.report.suggest(hash_at.place(), "both `value` and `hash` are given", "keep one of them");
                None
            }
            (Some(text), None) => {
                let (secret, _) = self.secret(&text.0, value_at)?;
                Some(secret.digest())
            }
            (None, Some(hash)) => self.hash(hash, hash_at),
            (None, None) => {
                if !value_at.is_broken() && !hash_at.is_broken() {
                    self.report.suggest(
                        at.place(),
                        "`value` is missing",
                        "add `value: env:NAME` or `hash: \"sha256:...\"`",
                    );
                }
                None
            }
        }
    }

    /// A digest, or the digest of a secret.
    fn either(&mut self, text: &str, at: At<'_>) -> Option<[u8; 32]> {
        if text.starts_with("sha256:") {
            return self.hash(text, at);
        }
        self.secret(text, at).map(|(secret, _)| secret.digest())
    }

    fn hash(&mut self, hash: &str, at: At<'_>) -> Option<[u8; 32]> {
        let digest = hash.strip_prefix("sha256:").and_then(hexadecimal);
        if digest.is_none() {
            let message = "expected `sha256:` and 64 hexadecimal digits";
            let found = if hash.starts_with("sha256:") { "another length or other digits" } else { "no `sha256:`" };
            self.report.error(at.place(), format!("{message}, found {found}"));
        }
        digest
    }
}

fn hexadecimal(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut out = [0; 32];
    for (i, byte) in out.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * i..2 * i + 2)?, 16).ok()?;
    }
    Some(out)
}
