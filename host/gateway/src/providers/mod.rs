//! Who serves models: rows, addresses and credentials, and the one HTTP client that calls them.
//!
//! A provider is data; `table` has the built-in rows, the configuration makes more. Only `auth` touches a secret's text.

pub mod auth;
pub mod client;
pub mod clients;
pub mod decode;
pub mod headers;
mod link;
pub mod listing;
pub mod proxy;
pub mod table;
pub mod tls;

use std::sync::Arc;

use http::Uri;

use self::clients::Way;
use self::listing::{Listing, Listings};
use crate::config;
use crate::observe::metrics::{Metrics, ProviderMetrics};

/// A configured provider, with everything that each call would otherwise work out again.
pub struct Provider {
    pub name: Arc<str>,
    pub config: config::Provider,
    /// Where chat completions go.
    pub chat: Uri,
    pub credentials: auth::Credentials,
    /// What the provider itself says it serves.
    pub listing: Listing,
    pub metrics: ProviderMetrics,
}

impl Provider {
    /// # Errors
    /// An address or a key that cannot be sent; both are checked by the configuration before.
    pub fn new(
        config: config::Provider,
        metrics: &Metrics,
        listings: &Arc<Listings>,
        way: &Arc<Way>,
    ) -> Result<Provider, String> {
        let chat = format!("{}/chat/completions", config.base)
            .parse()
            .map_err(|error| format!("the address of provider `{}`: {error}", config.name))?;
        let credentials = auth::Credentials::new(&config.keys)?;
        let listing = listings.of(&config, &credentials, way);
        let metrics = metrics.provider(&config.name);
        Ok(Provider { name: Arc::from(config.name.as_str()), chat, credentials, listing, metrics, config })
    }
}
