//! `keys:`: virtual keys, of which only digests remain.

use std::collections::{BTreeMap, HashMap};

use crate::config::error::At;
use crate::config::file;
use crate::config::resolved::ClientKey;

use super::Context;

impl Context<'_> {
    pub(super) fn client_keys(&mut self, written: Vec<file::ClientKey>, at: At<'_>) -> Vec<ClientKey> {
        let mut names = HashMap::new();
        let mut digests: HashMap<[u8; 32], String> = HashMap::new();
        let mut out = Vec::new();
        for (i, key) in written.into_iter().enumerate() {
            let here = at.item(i);
            self.patterns(&key.models, here.key("models"));
            let check = self.digest(&key, here);
            let Some(name) = key.name else { continue };
            if name.trim().is_empty() {
                self.report.error(here.key("name").place(), "expected a name, found an empty text");
            }
            if !self.unique(&mut names, &name, "the key", here.key("name").place()) {
                continue;
            }
            let Some(check) = check else { continue };
            if let Some(other) = digests.insert(check, name.clone()) {
                let place = here.key(if key.hash.is_some() { "hash" } else { "value" }).place();
                self.report.suggest(
                    place,
                    format!("the keys `{other}` and `{name}` are the same"),
                    "issue another one",
                );
            }
            let labels: BTreeMap<String, String> = key.labels.0.into_iter().collect();
            out.push(ClientKey { name, check, team: key.team, user: key.user, labels, models: key.models });
        }
        out
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
            (None, Some(hash)) => {
                let digest = hash.strip_prefix("sha256:").and_then(hexadecimal);
                if digest.is_none() {
                    let message = "expected `sha256:` and 64 hexadecimal digits";
                    let found =
                        if hash.starts_with("sha256:") { "another length or other digits" } else { "no `sha256:`" };
                    self.report.error(hash_at.place(), format!("{message}, found {found}"));
                }
                digest
            }
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
