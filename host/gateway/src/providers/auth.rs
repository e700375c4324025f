//! A provider's keys: which one a request carries, and how. The only place where a secret's text is used.

use http::{HeaderMap, HeaderValue, header};

use crate::config::{ProviderKey, glob};

/// The keys of one provider as headers that are ready to send.
pub struct Credentials {
    keys: Vec<Key>,
}

struct Key {
    bearer: HeaderValue,
    weight: f64,
    models: Vec<String>,
}

impl Credentials {
    pub fn new(keys: &[ProviderKey]) -> Result<Credentials, String> {
        let keys = keys.iter().map(Key::new).collect::<Result<_, _>>()?;
        Ok(Credentials { keys })
    }

    /// Puts one key on the request: among those that may be used for the model, by weight. A provider without keys gets none.
    ///
    /// # Errors
    /// Keys there are, but none for this model.
    pub fn apply(&self, model: &str, headers: &mut HeaderMap) -> Result<(), String> {
        if self.keys.is_empty() {
            return Ok(());
        }
        let fits = |key: &&Key| key.models.is_empty() || key.models.iter().any(|pattern| glob(pattern, model));
        let total: f64 = self.keys.iter().filter(fits).map(|key| key.weight).sum();
        let mut at = if self.keys.len() == 1 { 0.0 } else { fastrand::f64() * total };
        let mut chosen = None;
        for key in self.keys.iter().filter(fits) {
            chosen = Some(key);
            at -= key.weight;
            if at < 0.0 {
                break;
            }
        }
        let key = chosen.ok_or_else(|| format!("no key lists `{model}` under `models:`"))?;
        headers.insert(header::AUTHORIZATION, key.bearer.clone());
        Ok(())
    }
}

impl Key {
    fn new(key: &ProviderKey) -> Result<Key, String> {
        let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.secret.expose()))
            .map_err(|_| format!("the key `{}` cannot be sent in a header", key.name))?;
        bearer.set_sensitive(true);
        Ok(Key { bearer, weight: key.weight, models: key.models.clone() })
    }
}
