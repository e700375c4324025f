//! Tokens in place of keys: Microsoft Entra's for Azure, Google's for Vertex. Fetched when first needed, kept while they are good, and
//! fetched anew before they end, once for all threads however many calls wait.
//!
//! The only module that knows how a service account signs. It knows no header beyond the one that carries the token.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RsaKeyPair};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderMap, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Client;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use serde_json::{Value, json};
use sluice_dialect::failure::{Blame, Failure, Retry};

use super::auth::{Credential, NoKey, describe as describe_key};
use super::client::describe;
use super::clients::Way;
use super::pool::{KeyNews, Pools, State};
use crate::config::{TokenSource, sha256};

/// A token with less time left is replaced; until that succeeds, it goes on being used.
const EARLY: Duration = Duration::from_secs(300);
/// For one question for a token, from the name's lookup to the last byte.
const DEADLINE: Duration = Duration::from_secs(15);
/// A token of an endpoint that does not say how long it is good.
const UNSAID: u64 = 600;
/// The longest answer that is read.
const LARGEST: usize = 256 * 1024;

/// The tokens of one provider.
pub struct Tokens {
    source: TokenSource,
    /// The source counts as one key.
    state: Arc<State>,
    way: Arc<Way>,
    held: Mutex<Option<Held>>,
    /// Taken by whoever asks for a token.
    asking: tokio::sync::Mutex<()>,
}

struct Held {
    credential: Credential,
    until: Instant,
    /// Not before then is a failed renewal tried again.
    renew: Instant,
}

impl Tokens {
    pub fn new(source: TokenSource, provider: &str, way: &Arc<Way>, pools: &Pools) -> Tokens {
        let digest = match &source {
            TokenSource::Entra { secret: text, .. } | TokenSource::ServiceAccount { key: text, .. } => text.digest(),
            TokenSource::Metadata { host } => sha256(host.as_bytes()),
        };
        let state = pools.state(provider, source.name(), digest, true);
        Tokens { source, state, way: Arc::clone(way), held: Mutex::default(), asking: tokio::sync::Mutex::default() }
    }

    /// A token for a call of the model, unless what the tokens stand for is out.
    ///
    /// # Errors
    /// None can be had, or none is of use now.
    pub async fn choose(&self, provider: &str, model: &str, tried: &[Arc<str>]) -> Result<Credential, Failure> {
        let now = Instant::now();
        let name = self.source.name();
        if tried.iter().any(|tried| **tried == *name) {
            return Err(NoKey::tried(name.into()).failure(provider));
        }
        let out = self.state.out(model, now);
        if out.is_some() || !self.state.claim(model, now) {
            return Err(NoKey::out(name.into(), out).failure(provider));
        }
        self.credential().await
    }

    /// As [`super::auth::Credentials::wait`].
    pub fn wait(&self, model: &str, tried: &[Arc<str>], now: Instant) -> Option<Duration> {
        let untried = tried.iter().all(|tried| **tried != *self.source.name());
        untried.then(|| self.state.out(model, now).map_or(Duration::ZERO, |out| out.left))
    }

    /// Notes what an attempt said of the token that it carried. One that is not accepted is not used again.
    pub fn told(&self, token: &Credential, model: &str, news: KeyNews, now: Instant) {
        if matches!(news, KeyNews::Bad { .. }) {
            self.lock().take_if(|held| held.credential.same(token));
        }
        self.state.told(model, news, now);
    }

    /// For operators: how the one key that the tokens are stands.
    pub fn describe(&self, now: Instant) -> Value {
        describe_key(self.source.name(), true, &self.state, None, now)
    }

    /// A token that has not ended.
    ///
    /// # Errors
    /// None can be had: whose fault it is, and for the log why.
    async fn credential(&self) -> Result<Credential, Failure> {
        if let Some(found) = self.held(true) {
            return Ok(found);
        }
        let _turn = self.asking.lock().await;
        if let Some(found) = self.held(true) {
            return Ok(found);
        }
        match tokio::time::timeout(DEADLINE, self.fetch()).await.unwrap_or_else(|_| Err("it took too long".to_owned()))
        {
            Ok(held) => {
                let credential = held.credential.clone();
                *self.lock() = Some(held);
                Ok(credential)
            }
            Err(why) => {
                if let Some(held) = self.lock().as_mut() {
                    held.renew = Instant::now() + Duration::from_secs(30);
                }
                tracing::warn!("no new token for a provider ({}): {why}", self.source.name());
                self.held(false).ok_or_else(|| no_token(&self.source, why))
            }
        }
    }

    /// The token in hand; `early`: only if there is no need to renew it yet.
    fn held(&self, early: bool) -> Option<Credential> {
        let now = Instant::now();
        let held = self.lock();
        let good = held.as_ref().filter(|held| now < held.until && !(early && now >= held.renew))?;
        Some(good.credential.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Held>> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn fetch(&self) -> Result<Held, String> {
        let client = self.way.asker.client(&self.way).map_err(|trouble| trouble.0)?;
        let (token, seconds) = match &self.source {
            TokenSource::Entra { authority, tenant, client_id, secret } => {
                let url = format!("{authority}/{tenant}/oauth2/v2.0/token");
                let fields = [
                    ("grant_type", "client_credentials"),
                    ("client_id", client_id.as_str()),
                    ("client_secret", secret.expose()),
                    ("scope", "https://cognitiveservices.azure.com/.default"),
                ];
                ask(client, &url, Some(form(&fields)), &HeaderMap::new()).await?
            }
            TokenSource::ServiceAccount { email, key, token_uri } => {
                let assertion = assertion(email, key.expose(), token_uri, crate::app::unix_seconds())?;
                let grant = "urn:ietf:params:oauth:grant-type:jwt-bearer";
                let fields = [("grant_type", grant), ("assertion", assertion.as_str())];
                ask(client, token_uri, Some(form(&fields)), &HeaderMap::new()).await?
            }
            TokenSource::Metadata { host } => {
                let url = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
                let mut headers = HeaderMap::new();
                headers.insert("metadata-flavor", HeaderValue::from_static("Google"));
                ask(client, &url, None, &headers).await?
            }
        };
        let now = Instant::now();
        let life = Duration::from_secs(seconds.min(86_400));
        let credential = Credential::token(self.source.name(), &token)?;
        Ok(Held { credential, until: now + life, renew: now + life.saturating_sub(EARLY.min(life / 2)) })
    }
}

fn no_token(source: &TokenSource, why: String) -> Failure {
    let message = format!("No token can be had for the provider: {}.", source.whose());
    Failure::new(Blame::Gateway, 503, "server_error", "no_provider_token", message)
        .with_retry(Retry::NextTarget)
        .with_detail(why)
}

/// The token and its life in seconds. What goes wrong is told without addresses' queries and without secrets.
async fn ask(client: &Client, url: &str, form: Option<String>, headers: &HeaderMap) -> Result<(String, u64), String> {
    let request = match form {
        Some(form) => client.post(url).header("content-type", "application/x-www-form-urlencoded").body(form),
        None => client.get(url),
    };
    let request = request.header("accept", "application/json").headers(headers.clone());
    let mut response = request.send().await.map_err(|error| describe(&error.without_url()))?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(part) = response.chunk().await.map_err(|error| describe(&error.without_url()))? {
        body.extend_from_slice(&part);
        if body.len() > LARGEST {
            return Err("the answer is too long".to_owned());
        }
    }
    let answer: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let word = |name: &str| answer.get(name).and_then(Value::as_str);
    if status != 200 {
        // The two words that OAuth defines; the rest may repeat what was sent.
        return Err(format!("status {status}, {}", word("error").unwrap_or("no reason given")));
    }
    let token = word("access_token").filter(|token| !token.is_empty()).ok_or("the answer has no access_token")?;
    // Some answer with a number in quotes.
    let seconds = answer.get("expires_in").and_then(|value| value.as_u64().or_else(|| value.as_str()?.parse().ok()));
    Ok((token.to_owned(), seconds.unwrap_or(UNSAID)))
}

fn form(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    fields.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect::<Vec<_>>().join("&")
}

/// The signed statement that a service account exchanges for a token.
fn assertion(email: &str, key: &str, audience: &str, now: u64) -> Result<String, String> {
    let unusable = "the service account's private key cannot be used";
    let der = PrivatePkcs8KeyDer::from_pem_slice(key.as_bytes()).map_err(|_| unusable)?;
    let pair = RsaKeyPair::from_pkcs8(der.secret_pkcs8_der()).map_err(|_| unusable)?;
    let claims = json!({
        "iss": email,
        "scope": "https://www.googleapis.com/auth/cloud-platform",
        "aud": audience,
        "iat": now,
        "exp": now + 3600,
    });
    let text = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256","typ":"JWT"}"#),
        URL_SAFE_NO_PAD.encode(claims.to_string())
    );
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), text.as_bytes(), &mut signature).map_err(|_| unusable)?;
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature)))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use aws_lc_rs::encoding::{AsDer as _, Pkcs8V1Der};
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
    use base64::engine::general_purpose::STANDARD;

    use super::*;

    #[test]
    fn a_service_account_signs_what_it_says() {
        let pair = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let der: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let pem =
            format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der.as_ref()));
        let signed = assertion("me@p.iam", &pem, "https://tokens", 1000).unwrap();
        let (text, signature) = signed.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, pair.public_key().as_ref());
        public.verify(text.as_bytes(), &signature).unwrap();
        let claims: Value =
            serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.split_once('.').unwrap().1).unwrap()).unwrap();
        assert_eq!(
            (&claims["iss"], &claims["aud"], &claims["exp"]),
            (&json!("me@p.iam"), &json!("https://tokens"), &json!(4600))
        );
        assert!(assertion("me", "no key", "https://tokens", 0).is_err());
    }
}
