//! Who serves models: rows, addresses and credentials, and the one HTTP client that calls them.
//!
//! A provider is data; `table` has the built-in rows, the configuration makes more. Only `auth` touches a secret's text.

pub mod address;
pub mod auth;
pub mod catalog;
pub mod client;
pub mod clients;
pub mod decode;
pub mod facts;
pub mod headers;
mod link;
pub mod listing;
pub mod proxy;
pub mod table;
pub mod tls;
pub mod token;
mod vertex;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use http::Uri;
use sluice_dialect::Dialect;
use sluice_dialect::failure::{Blame, Failure};
use sluice_dialect::hub::Target;

use self::address::Addresses;
use self::clients::Way;
use self::listing::{Listing, Listings};
use crate::config;
use crate::observe::metrics::{Metrics, ProviderMetrics};
use crate::routing::health::{self, Targets};

/// A configured provider, with everything that each call would otherwise work out again.
pub struct Provider {
    pub name: Arc<str>,
    pub config: config::Provider,
    addresses: Addresses,
    pub credentials: auth::Credentials,
    /// In place of keys.
    tokens: Option<token::Tokens>,
    /// What the provider itself says it serves.
    pub listing: Listing,
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
    ) -> Result<Provider, String> {
        let addresses = Addresses::new(&config)?;
        let credentials = auth::Credentials::new(config.auth, &config.keys)?;
        let listing = listings.of(&config, &credentials, way);
        let metrics = metrics.provider(&config.name);
        let tokens = config.tokens.clone().map(|source| token::Tokens::new(source, way));
        let name = Arc::from(config.name.as_str());
        let live = Live::new(&config, targets);
        Ok(Provider { name, addresses, credentials, tokens, listing, metrics, live, config })
    }

    /// How the target of that model does: its own standing where the configuration names it, else that of all the others together, so that
    /// clients' names make none.
    pub fn live(&self, model: Option<&str>) -> &Arc<health::Target> {
        model.and_then(|model| self.live.named.get(model)).unwrap_or(&self.live.others)
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

    /// What an attempt at the model shows: a key, or a token in its place. A provider without keys gets nothing.
    ///
    /// # Errors
    /// No key may be used for the model, or no token can be had.
    pub async fn credential(&self, model: &str) -> Result<Option<auth::Credential>, Failure> {
        if let Some(tokens) = &self.tokens {
            return tokens.credential().await.map(Some);
        }
        let chosen = self.credentials.choose(model).map_err(|detail| {
            let message = format!("No key of the provider `{}` may be used for this model.", self.name);
            Failure::new(Blame::Gateway, 503, "server_error", "no_provider_key", message).with_detail(detail)
        })?;
        Ok(chosen.cloned())
    }

    /// What is known of a model of this provider: by the configuration, else by the catalog.
    pub fn catalogued(&self, model: &str) -> Option<&catalog::Model> {
        let own = self.config.catalog.iter().find(|(name, _)| name == model).map(|(_, model)| model);
        own.or_else(|| catalog::find(self.config.row?.name, model))
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
