//! Who is calling: a presented credential to the virtual key behind it.
//!
//! Look-up only. Limits, budgets and whether anonymous calls are allowed are decided elsewhere.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::constant_time;

use crate::config::{ClientKey, sha256};

/// Who makes a call: the virtual key's particulars, shared by all its calls. An anonymous caller has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The key's name, never the key.
    pub key: Arc<str>,
    pub team: Option<Arc<str>>,
    pub user: Option<Arc<str>>,
    pub labels: Arc<BTreeMap<String, String>>,
    /// Patterns for [`crate::config::glob`]; empty means all names.
    pub models: Arc<[String]>,
}

impl Caller {
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }
}

impl From<&ClientKey> for Caller {
    fn from(key: &ClientKey) -> Self {
        Caller {
            key: key.name.as_str().into(),
            team: key.team.as_deref().map(Arc::from),
            user: key.user.as_deref().map(Arc::from),
            labels: Arc::new(key.labels.clone()),
            models: key.models.as_slice().into(),
        }
    }
}

/// All virtual keys of one configuration.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    keys: Vec<(ClientKey, Caller)>,
}

impl Keys {
    pub fn new(keys: &[ClientKey]) -> Self {
        Keys { keys: keys.iter().map(|key| (key.clone(), Caller::from(key))).collect() }
    }

    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key that `presented` is.
    pub fn find(&self, presented: &[u8]) -> Option<&ClientKey> {
        self.entry(presented).map(|(key, _)| key)
    }

    /// As [`Keys::find`], ready to travel with the call.
    pub fn caller(&self, presented: &[u8]) -> Option<Caller> {
        self.entry(presented).map(|(_, caller)| caller.clone())
    }

    /// The time depends on the number of keys and the length of `presented`, never on which key matches or on how much of it does.
    fn entry(&self, presented: &[u8]) -> Option<&(ClientKey, Caller)> {
        let digest = sha256(presented);
        let mut found = None;
        for entry in &self.keys {
            // No early exit, or the time would tell where in the list the key is.
            if constant_time::verify_slices_are_equal(&entry.0.check, &digest).is_ok() {
                found = Some(entry);
            }
        }
        found
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn key(name: &str, value: &str) -> ClientKey {
        ClientKey {
            name: name.to_owned(),
            check: sha256(value.as_bytes()),
            team: Some("search".to_owned()),
            user: None,
            labels: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
            models: vec!["fast".to_owned()],
        }
    }

    #[test]
    fn every_key_is_found_by_its_whole_value_only() {
        let keys = Keys::new(&[key("a", "sk-a"), key("b", "sk-b"), key("c", "sk-c")]);
        for name in ["a", "b", "c"] {
            assert_eq!(keys.find(format!("sk-{name}").as_bytes()).unwrap().name, name);
        }
        for wrong in ["", "sk-", "sk-aa", "SK-A", "a", "sk-a\0"] {
            assert!(keys.find(wrong.as_bytes()).is_none(), "{wrong:?}");
        }
        assert!(Keys::new(&[]).is_empty() && Keys::default().find(b"").is_none());
    }

    #[test]
    fn a_digest_is_no_credential() {
        let digest = sha256(b"sk-a");
        assert!(Keys::new(&[key("a", "sk-a")]).find(&digest).is_none());
    }

    #[test]
    fn the_caller_carries_the_particulars() {
        let caller = Keys::new(&[key("a", "sk-a")]).caller(b"sk-a").unwrap();
        assert_eq!((&*caller.key, caller.team.as_deref(), caller.user.as_deref()), ("a", Some("search"), None));
        assert_eq!((caller.label("region"), caller.label("other")), (Some("eu"), None));
        assert_eq!(*caller.models, ["fast".to_owned()]);
    }
}
