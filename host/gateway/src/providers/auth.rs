//! A provider's keys: which one a request carries, and how. The only place where a secret's text is used.

use std::sync::Arc;

use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::table::Auth;
use crate::config::{ProviderKey, allows};

/// Keys that one question for a list tries: the question as a whole has its own deadline.
const MOST_TO_LIST: usize = 3;

/// The keys of one provider as headers that are ready to send.
pub struct Credentials {
    keys: Vec<Key>,
}

struct Key {
    credential: Credential,
    weight: f64,
    models: Vec<String>,
}

/// What one attempt shows the provider. The value never prints.
#[derive(Clone, Debug)]
pub struct Credential {
    /// As the operator calls the key, for records.
    pub name: Arc<str>,
    header: HeaderName,
    value: HeaderValue,
}

impl Credential {
    /// A token, in the way that all of them travel.
    pub(super) fn token(name: &'static str, token: &str) -> Result<Credential, String> {
        let mut value =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| "the token fits into no header")?;
        value.set_sensitive(true);
        Ok(Credential { name: name.into(), header: AUTHORIZATION, value })
    }

    /// Puts it into a request's headers, in place of what the configuration's `headers:` may have put there.
    pub fn authorize(&self, headers: &mut HeaderMap) {
        headers.insert(self.header.clone(), self.value.clone());
    }
}

impl Credentials {
    pub fn new(auth: Auth, keys: &[ProviderKey]) -> Result<Credentials, String> {
        let keys = keys.iter().map(|key| Key::new(auth, key)).collect::<Result<_, _>>()?;
        Ok(Credentials { keys })
    }

    /// One key: among those that may be used for the model, by weight. A provider without keys has none.
    ///
    /// # Errors
    /// Keys there are, but none for this model.
    pub fn choose(&self, model: &str) -> Result<Option<&Credential>, String> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let fits = |key: &&Key| allows(&key.models, model);
        let total: f64 = self.keys.iter().filter(fits).map(|key| key.weight).sum();
        let mut at = if self.keys.len() == 1 { 0.0 } else { fastrand::f64() * total };
        let mut chosen = None;
        for key in self.keys.iter().filter(fits) {
            chosen = Some(&key.credential);
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
    pub fn to_list(&self) -> Vec<Credential> {
        let mut keys: Vec<&Key> = self.keys.iter().collect();
        keys.sort_by(|a, b| b.weight.total_cmp(&a.weight));
        keys.into_iter().take(MOST_TO_LIST).map(|key| key.credential.clone()).collect()
    }

    /// Whether a call for the model would find a key, or needs none.
    pub fn serve(&self, model: &str) -> bool {
        self.keys.is_empty() || self.keys.iter().any(|key| allows(&key.models, model))
    }
}

impl Key {
    fn new(auth: Auth, key: &ProviderKey) -> Result<Key, String> {
        let secret = key.secret.expose();
        let (header, value) = match auth {
            Auth::Bearer | Auth::Google => (AUTHORIZATION, HeaderValue::try_from(format!("Bearer {secret}"))),
            Auth::XApiKey => (HeaderName::from_static("x-api-key"), HeaderValue::try_from(secret)),
            Auth::XGoogApiKey => (HeaderName::from_static("x-goog-api-key"), HeaderValue::try_from(secret)),
            Auth::ApiKey => (HeaderName::from_static("api-key"), HeaderValue::try_from(secret)),
        };
        let mut value = value.map_err(|_| format!("the key `{}` cannot be sent in a header", key.name))?;
        value.set_sensitive(true);
        let credential = Credential { name: key.name.as_str().into(), header, value };
        Ok(Key { credential, weight: key.weight, models: key.models.clone() })
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
        let credentials = Credentials::new(Auth::Bearer, &keys).unwrap();
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..10_000 {
            let chosen = credentials.choose("gpt-4o").unwrap().unwrap();
            assert_eq!(chosen.value.to_str().unwrap(), format!("Bearer {}", chosen.name));
            *counts.entry(chosen.value.to_str().unwrap().to_owned()).or_insert(0) += 1;
        }
        assert_eq!(counts.keys().collect::<Vec<_>>(), ["Bearer a", "Bearer b"]);
        assert!((7000..8000).contains(&counts["Bearer a"]), "{counts:?}");
    }

    #[test]
    fn a_model_that_no_key_lists_is_an_error_and_no_key_at_all_is_none() {
        let credentials = Credentials::new(Auth::Bearer, &[key("c", 1.0, &["o3*"])]).unwrap();
        assert!(credentials.choose("gpt-4o").is_err());
        assert!(credentials.choose("o3-mini").unwrap().is_some());
        assert!(Credentials::new(Auth::Bearer, &[]).unwrap().choose("x").unwrap().is_none());
    }

    #[test]
    fn lists_are_asked_for_with_the_heaviest_keys_and_hold_what_a_key_serves() {
        let keys = [key("a", 1.0, &[]), key("b", 5.0, &["o3*"]), key("c", 2.0, &[]), key("d", 0.5, &[])];
        let credentials = Credentials::new(Auth::Bearer, &keys).unwrap();
        let listed: Vec<_> = credentials.to_list().into_iter().map(|credential| credential.value).collect();
        assert_eq!(listed, ["Bearer b", "Bearer c", "Bearer a"]);
        assert!(credentials.serve("gpt-4o"));
        let narrow = Credentials::new(Auth::Bearer, &keys[1..2]).unwrap();
        assert!(narrow.serve("o3-mini") && !narrow.serve("gpt-4o"));
        assert!(Credentials::new(Auth::Bearer, &[]).unwrap().serve("x"));
    }

    #[test]
    fn a_key_cannot_be_printed() {
        let mut hidden = key("sk-hidden", 1.0, &[]);
        hidden.name = "main".to_owned();
        let credentials = Credentials::new(Auth::Bearer, &[hidden]).unwrap();
        assert!(!format!("{:?}", credentials.choose("x").unwrap().unwrap()).contains("hidden"));
    }

    #[test]
    fn each_kind_of_key_has_its_header() {
        for (auth, name, value) in [
            (Auth::Bearer, "authorization", "Bearer k"),
            (Auth::XApiKey, "x-api-key", "k"),
            (Auth::XGoogApiKey, "x-goog-api-key", "k"),
            (Auth::ApiKey, "api-key", "k"),
        ] {
            let credentials = Credentials::new(auth, &[key("k", 1.0, &[])]).unwrap();
            let mut headers = HeaderMap::new();
            credentials.choose("m").unwrap().unwrap().authorize(&mut headers);
            assert_eq!((headers.len(), headers[name].to_str().unwrap()), (1, value));
        }
    }
}
