//! Who makes a call: what every later step knows of it, whoever said so.
//!
//! A virtual key (`keys`) is one producer; another, such as a signed token's claims, makes the same value and nothing after it differs. It
//! holds no credential.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::rates::Limits;
use crate::config::glob;

/// Who makes a call, shared by all calls of one key. An anonymous caller has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// The key's name, never the key.
    pub key: Arc<str>,
    pub team: Option<Arc<str>>,
    pub user: Option<Arc<str>>,
    /// The team's, under those of the key itself.
    pub labels: Arc<BTreeMap<String, String>>,
    /// What may be asked for: every one of them must allow it, so none at all allows everything.
    pub scopes: Arc<[Scope]>,
    /// What is taken of the key and of its team, where either has a limit.
    pub limits: Option<Limits>,
}

impl Caller {
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.get(name).map(String::as_str)
    }

    /// Whether any name at all may be asked for.
    pub fn is_unbound(&self) -> bool {
        self.scopes.is_empty()
    }
}

/// The names that a key or a team may ask for. With no list at all: everything; with one, nothing that no list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    /// Patterns for [`glob`], of names as clients say them or of the `provider/model` that they lead to.
    pub models: Vec<String>,
    /// Patterns of routes' names.
    pub routes: Vec<String>,
}

impl Scope {
    pub fn is_all(&self) -> bool {
        self.models.is_empty() && self.routes.is_empty()
    }

    pub fn has_model(&self, name: &str) -> bool {
        self.models.iter().any(|pattern| glob(pattern, name))
    }

    pub fn has_route(&self, name: &str) -> bool {
        self.routes.iter().any(|pattern| glob(pattern, name))
    }
}
