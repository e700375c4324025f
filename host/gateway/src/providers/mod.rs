//! Who serves models: rows, addresses and credentials, and the one HTTP client that calls them.
//!
//! A provider is data; `table` has the built-in rows, the configuration makes more. Only `auth` touches a secret's text.

pub mod address;
pub mod again;
pub mod auth;
pub mod catalog;
pub mod client;
pub mod clients;
pub mod decode;
pub mod facts;
pub mod gate;
pub mod headers;
mod link;
pub mod listing;
mod multiplex;
pub mod pool;
pub mod proxy;
pub mod table;
pub mod tls;
pub mod token;
mod vertex;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Uri;
use serde_json::{Value, json};
use sluice_dialect::Dialect;
use sluice_dialect::failure::{Blame, Failure};
use sluice_dialect::hub::Target;

use self::address::Addresses;
use self::clients::Way;
use self::listing::{Listing, Listings};
use self::pool::{KeyNews, Pools};
use crate::config;
use crate::observe::metrics::{Metrics, ProviderMetrics};
use crate::routing::budget::Budget;
use crate::routing::health::{self, Targets};

/// A configured provider, with everything that each call would otherwise work out again.
pub struct Provider {
    pub name: Arc<str>,
    pub config: config::Provider,
    addresses: Addresses,
    pub credentials: auth::Credentials,
    /// The limit of all its calls at once.
    gate: Option<Arc<gate::Gate>>,
    /// In place of keys.
    tokens: Option<token::Tokens>,
    /// What the provider itself says it serves.
    pub listing: Listing,
    /// What its own trouble may add to its load.
    pub repeats: Budget,
    pub metrics: ProviderMetrics,
    /// How its targets do.
    live: Live,
}

impl Provider {
    /// # Errors
    /// An address or a key that cannot be sent; both are checked by the configuration before.
    pub fn new(
        config: config::Provider,
        metrics: &Metrics,
        listings: &Arc<Listings>,
        way: &Arc<Way>,
        targets: &Targets,
        pools: &Pools,
    ) -> Result<Provider, String> {
        let addresses = Addresses::new(&config)?;
        let credentials = auth::Credentials::new(config.auth, &config.name, &config.keys, pools)?;
        let listing = listings.of(&config, &credentials, way);
        let metrics = metrics.provider(&config.name);
        let tokens = config.tokens.clone().map(|source| token::Tokens::new(source, &config.name, way, pools));
        let gate = pools.gate(&config.name, None, config.calls);
        let name = Arc::from(config.name.as_str());
        let live = Live::new(&config, targets);
        Ok(Provider {
            repeats: Budget::default(),
            name,
            addresses,
            credentials,
            gate,
            tokens,
            listing,
            metrics,
            live,
            config,
        })
    }

    /// How the target of that model does: its own standing where the configuration names it, else that of all the others together, so that
    /// clients' names make none.
    pub fn live(&self, model: Option<&str>) -> &Arc<health::Target> {
        model.and_then(|model| self.live.named.get(model)).unwrap_or(&self.live.others)
    }

    /// Everything that [`Provider::live`] gives.
    pub fn targets(&self) -> impl Iterator<Item = &Arc<health::Target>> {
        self.live.named.values().chain(std::iter::once(&self.live.others))
    }

    /// Begins the checks that the configuration asks for, if it does.
    pub fn check(&self) -> Option<listing::Check> {
        let every = self.config.health.check?;
        self.listing.check(every, self.targets().cloned().collect())
    }

    /// Whether calls of that dialect pass without translation.
    pub fn speaks(&self, dialect: Dialect) -> bool {
        self.config.dialects.iter().any(|(spoken, _)| *spoken == dialect)
    }

    /// The dialect in which the provider is called for a client of `client`: the same where it is spoken, else the provider's preferred one.
    pub fn nearest(&self, client: Dialect) -> Dialect {
        if self.speaks(client) {
            return client;
        }
        self.config.dialects.first().map_or(client, |(dialect, _)| *dialect)
    }

    /// Where a call of the model goes. `query` is the client's, for a call that is not translated.
    ///
    /// # Errors
    /// A 400 for a name or a query that makes no address.
    pub fn uri(&self, dialect: Dialect, model: &str, stream: bool, query: Option<&str>) -> Result<Uri, Failure> {
        self.addresses.chat(dialect, model, stream, query).ok_or_else(unaddressable)
    }

    /// What an attempt at the model shows: a key, or a token in its place. A provider without keys gets nothing. The same session gets the
    /// same key while that is usable; keys that are out, that cool down or whose names are among `tried` are left out, at no cost.
    ///
    /// # Errors
    /// `no_provider_key`: no key may be used now, with each one's reason for the log and the time until the first comes back; 429 where
    /// nothing but rates is in the way, else 503. Or no token can be had.
    pub async fn credential(
        &self,
        model: &str,
        session: Option<u64>,
        tried: &[Arc<str>],
    ) -> Result<Option<auth::Credential>, Failure> {
        if let Some(tokens) = &self.tokens {
            return tokens.choose(&self.name, model, tried).await.map(Some);
        }
        let chosen = self.credentials.choose(model, session, tried, Instant::now());
        chosen.map(|chosen| chosen.cloned()).map_err(|none| none.failure(&self.name))
    }

    /// The provider's only key although it is out, for a call that nobody else can serve: the provider then says itself what is wrong, and a
    /// key that works again is noticed at once.
    pub fn sole_credential(&self, model: &str) -> Option<auth::Credential> {
        if self.tokens.is_some() { None } else { self.credentials.sole(model).cloned() }
    }

    /// Whether a session says which key a call gets: there are several.
    pub fn keeps_sessions(&self) -> bool {
        self.tokens.is_none() && self.credentials.several()
    }

    /// How long until a key, or a token, may be used for the model that is none of `tried`: zero where one may be now, `None` where there
    /// is none, or none that waiting would bring. It takes no key.
    pub fn key_wait(&self, model: &str, tried: &[Arc<str>]) -> Option<Duration> {
        let now = Instant::now();
        match &self.tokens {
            Some(tokens) => tokens.wait(model, tried, now),
            None => self.credentials.wait(model, tried, now),
        }
    }

    /// Notes what an attempt at the model said of the key that it carried; see [`KeyNews::of`].
    pub fn key_told(&self, key: &auth::Credential, model: &str, news: KeyNews) {
        let now = Instant::now();
        match &self.tokens {
            Some(tokens) => tokens.told(key, model, news, now),
            None => self.credentials.told(key, model, news, now),
        }
    }

    /// Takes a place among the calls that the provider and the key may have at once, waiting for one if the limits allow, at most until
    /// `deadline`. `Ok(None)`: nothing is limited.
    ///
    /// # Errors
    /// `provider_busy`, a 503: the queue is full, or no place came free in time.
    pub async fn enter(
        &self,
        key: Option<&auth::Credential>,
        deadline: Instant,
    ) -> Result<Option<gate::Permit>, Failure> {
        let of_key = key.filter(|_| self.tokens.is_none()).and_then(|key| self.credentials.gate(key));
        gate::enter(of_key, self.gate.as_deref(), deadline).await.map_err(|refused| {
            let of_key = of_key.is_some_and(|gate| std::ptr::eq(gate, refused.gate));
            refused.failure(&self.name, key.filter(|_| of_key).map(|key| &*key.name))
        })
    }

    /// For operators: the keys' names, how each stands, since when and for how long, and what limits them. Never a secret.
    pub fn keys_described(&self, now: Instant) -> Value {
        match &self.tokens {
            Some(tokens) => json!([tokens.describe(now)]),
            None => self.credentials.describe(now).into(),
        }
    }

    /// For operators: the provider's limit of calls at once and how much of it is in use; `None` where there is none.
    pub fn limit_described(&self) -> Option<Value> {
        self.gate.as_ref().map(|gate| gate.describe())
    }

    /// What is known of a model of this provider: by the configuration, else by the catalog. A deployment is its model.
    pub fn catalogued(&self, model: &str) -> Option<&catalog::Model> {
        let own = |model: &str| self.config.catalog.iter().find(|(name, _)| name == model).map(|(_, model)| model);
        let listed = |model: &str| catalog::find(self.config.row?.name, model);
        let deployed = || {
            let (model, _) = self.config.deployments.iter().find(|(_, deployment)| deployment == model)?;
            own(model).or_else(|| listed(model))
        };
        own(model).or_else(|| listed(model)).or_else(deployed)
    }

    /// A request's body in the last form before it goes out. `moved`: the client wrote it for an address with the model in it.
    pub fn dressed(&self, dialect: Dialect, body: Bytes, moved: bool) -> Bytes {
        let vertex = matches!(self.config.place, Some(config::Place::Vertex { .. }));
        if dialect == Dialect::Anthropic && (vertex || moved) { vertex::body(&body, vertex) } else { body }
    }

    /// What the provider calls a model where the configuration says so (Azure's deployments).
    pub fn deployment(&self, model: &str) -> Option<&str> {
        self.config.deployments.iter().find(|(name, _)| name == model).map(|(_, deployment)| deployment.as_str())
    }

    /// Where another method of Gemini's goes (`countTokens`).
    ///
    /// # Errors
    /// As [`Provider::uri`].
    pub fn method_uri(&self, model: &str, method: &str) -> Result<Uri, Failure> {
        self.addresses.method(model, method).ok_or_else(unaddressable)
    }

    /// Where an operation of OpenAI's format goes that names its model (`/embeddings`).
    ///
    /// # Errors
    /// As [`Provider::uri`].
    pub fn operation_uri(&self, path: &str, model: &str, query: Option<&str>) -> Result<Uri, Failure> {
        self.addresses.operation(path, model, query).ok_or_else(unaddressable)
    }

    /// Where something below a dialect's own address goes (`/count_tokens`).
    ///
    /// # Errors
    /// As [`Provider::uri`].
    pub fn below_uri(&self, dialect: Dialect, path: &str, query: Option<&str>) -> Result<Uri, Failure> {
        self.addresses.below(dialect, path, query).ok_or_else(unaddressable)
    }

    /// Where a raw request goes: the provider's address with the path and query of the client.
    ///
    /// # Errors
    /// A 400 for a path that makes no address.
    pub fn raw_uri(&self, path: &str, query: Option<&str>) -> Result<Uri, Failure> {
        self.addresses.raw(path, query).ok_or_else(unaddressable)
    }

    /// What a writer of requests must know of the model here.
    pub fn target<'a>(&'a self, dialect: Dialect, model: &'a str) -> Target<'a> {
        let known = self.catalogued(model);
        Target { policy: self.config.params, ..facts::target(&self.name, self.config.quirks, dialect, model, known) }
    }
}

struct Live {
    named: HashMap<String, Arc<health::Target>>,
    others: Arc<health::Target>,
}

impl Live {
    fn new(config: &config::Provider, targets: &Targets) -> Live {
        let target = |model: &str| targets.of(&format!("{}/{model}", config.name));
        let named = config.targets.iter().map(|model| (model.clone(), target(model))).collect();
        Live { named, others: target("*") }
    }
}

fn unaddressable() -> Failure {
    let message = "The model's name, the path or the query cannot be part of an address.";
    Failure::new(Blame::Client, 400, "invalid_request_error", "malformed_path", message)
}
