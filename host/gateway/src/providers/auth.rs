//! A provider's keys: which one a request carries, and how. The only place where a secret's text is used.

use std::sync::Arc;

use http::HeaderValue;

use crate::config::{ProviderKey, allows};

/// Keys that one question for a list tries: the question as a whole has its own deadline.
const MOST_TO_LIST: usize = 3;

/// The keys of one provider as headers that are ready to send.
pub struct Credentials {
    keys: Vec<Key>,
}

struct Key {
    name: Arc<str>,
    bearer: HeaderValue,
    weight: f64,
    models: Vec<String>,
}

/// The key of one attempt.
#[derive(Clone, Copy, Debug)]
pub struct Chosen<'a> {
    /// As the operator calls it, for records.
    pub name: &'a Arc<str>,
    pub bearer: &'a HeaderValue,
}

impl Credentials {
    pub fn new(keys: &[ProviderKey]) -> Result<Credentials, String> {
        let keys = keys.iter().map(Key::new).collect::<Result<_, _>>()?;
        Ok(Credentials { keys })
    }

    /// The `authorization` of one key: among those that may be used for the model, by weight. A provider without keys has none.
    ///
    /// # Errors
    /// Keys there are, but none for this model.
    pub fn choose(&self, model: &str) -> Result<Option<Chosen<'_>>, String> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let fits = |key: &&Key| allows(&key.models, model);
        let total: f64 = self.keys.iter().filter(fits).map(|key| key.weight).sum();
        let mut at = if self.keys.len() == 1 { 0.0 } else { fastrand::f64() * total };
        let mut chosen = None;
        for key in self.keys.iter().filter(fits) {
            chosen = Some(Chosen { name: &key.name, bearer: &key.bearer });
            at -= key.weight;
            if at < 0.0 {
                break;
            }
        }
        if chosen.is_none() {
            return Err(format!("no key lists `{model}` under `models:`"));
        }
        Ok(chosen)
    }

    /// Keys to ask for a list of models with, the heaviest first: any key's list is the provider's, and one may have been revoked.
    pub fn to_list(&self) -> Vec<HeaderValue> {
        let mut keys: Vec<&Key> = self.keys.iter().collect();
        keys.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        keys.into_iter().take(MOST_TO_LIST).map(|key| key.bearer.clone()).collect()
    }

    /// Whether a call for the model would find a key, or needs none.
    pub fn serve(&self, model: &str) -> bool {
        self.keys.is_empty() || self.keys.iter().any(|key| allows(&key.models, model))
    }
}

impl Key {
    fn new(key: &ProviderKey) -> Result<Key, String> {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.secret.expose()))
            .map_err(|_| format!("the key `{}` cannot be sent in a header", key.name))?;
        bearer.set_sensitive(true);
        Ok(Key { name: key.name.as_str().into(), bearer, weight: key.weight, models: key.models.clone() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::Secret;

    fn key(secret: &str, weight: f64, models: &[&str]) -> ProviderKey {
        let models = models.iter().map(|model| (*model).to_owned()).collect();
        ProviderKey { name: secret.to_owned(), secret: Secret::new(secret.to_owned()), weight, models }
    }

    #[test]
    fn keys_share_by_weight_among_those_that_fit() {
        let keys = [key("a", 3.0, &[]), key("b", 1.0, &[]), key("c", 100.0, &["o3*"])];
        let credentials = Credentials::new(&keys).unwrap();
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..10_000 {
            let chosen = credentials.choose("gpt-4o").unwrap().unwrap();
            assert_eq!(chosen.bearer.to_str().unwrap(), format!("Bearer {}", chosen.name));
            *counts.entry(chosen.bearer.to_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        assert_eq!(counts.keys().collect::<Vec<_>>(), ["Bearer a", "Bearer b"]);
        assert!((7000..8000).contains(&counts["Bearer a"]), "{counts:?}");
    }

    #[test]
    fn a_model_that_no_key_lists_is_an_error_and_no_key_at_all_is_none() {
        let credentials = Credentials::new(&[key("c", 1.0, &["o3*"])]).unwrap();
        assert!(credentials.choose("gpt-4o").is_err());
        assert!(credentials.choose("o3-mini").unwrap().is_some());
        assert!(Credentials::new(&[]).unwrap().choose("x").unwrap().is_none());
    }

    #[test]
    fn lists_are_asked_for_with_the_heaviest_keys_and_hold_what_a_key_serves() {
        let keys = [key("a", 1.0, &[]), key("b", 5.0, &["o3*"]), key("c", 2.0, &[]), key("d", 0.5, &[])];
        let credentials = Credentials::new(&keys).unwrap();
        assert_eq!(credentials.to_list(), ["Bearer b", "Bearer c", "Bearer a"]);
        assert!(credentials.serve("gpt-4o"));
        let narrow = Credentials::new(&keys[1..2]).unwrap();
        assert!(narrow.serve("o3-mini") && !narrow.serve("gpt-4o"));
        assert!(Credentials::new(&[]).unwrap().serve("x"));
    }

    #[test]
    fn a_key_cannot_be_printed() {
        let credentials = Credentials::new(&[key("sk-hidden", 1.0, &[])]).unwrap();
        assert!(!format!("{:?}", credentials.choose("x").unwrap().unwrap().bearer).contains("hidden"));
    }
}
