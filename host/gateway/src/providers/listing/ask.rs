//! One question to a provider, by a client that is not the hot path's: `GET {base}/models`, with the row's key and headers, through the
//! network's proxy.
//!
//! It follows no redirects, because they would take the key elsewhere, and keeps no connections, because minutes pass between questions.

use std::sync::{Arc, OnceLock};

use http::header::{ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING};
use http::{HeaderMap, HeaderValue, StatusCode};
use reqwest::redirect::Policy;
use reqwest::{Client, Proxy, Response, Url};
use rustls::ClientConfig;
use sluice_dialect::Dialect;

use super::DEADLINE;
use super::models::Models;
use crate::config::{self, Network};
use crate::providers::address;
use crate::providers::auth::{Credential, Credentials};
use crate::providers::client::describe;
use crate::providers::clients::Way;
use crate::providers::decode::Decoder;
use crate::providers::proxy;

/// The most of a list that is read, compressed and not.
const LARGEST: usize = 8 * 1024 * 1024;

/// Why there is no list, in words for the log: no secret and no address.
#[derive(Debug)]
pub(in crate::providers) struct Trouble(pub(in crate::providers) String);

/// The client of all questions under the same network settings. It is made with the first of them: most gateways are never asked.
#[derive(Default)]
pub struct Asker(OnceLock<Result<Client, String>>);

impl Asker {
    pub(in crate::providers) fn client(&self, way: &Way) -> Result<&Client, Trouble> {
        self.0.get_or_init(|| make(way)).as_ref().map_err(|error| Trouble(error.clone()))
    }
}

fn make(way: &Way) -> Result<Client, String> {
    let mut builder = Client::builder()
        .tls_backend_preconfigured(ClientConfig::clone(&way.trust))
        .redirect(Policy::none())
        .referer(false)
        .user_agent(concat!("sluice/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(DEADLINE)
        .pool_max_idle_per_host(0)
        // The environment's proxies are in the configuration already; what it left out must stay out.
        .no_proxy();
    for scheme in ["https", "http"] {
        if let Some(proxy) = proxy_of(scheme, &way.network) {
            builder = builder.proxy(proxy);
        }
    }
    builder.build().map_err(|error| format!("no client for model lists: {}", describe(&error)))
}

/// The proxy for addresses of one scheme, by the network's own rules.
fn proxy_of(scheme: &'static str, network: &Network) -> Option<Proxy> {
    let network = network.clone();
    let https = scheme == "https";
    let set = if https { network.https_proxy.as_ref() } else { network.http_proxy.as_ref() }?;
    let authorization = proxy::authorization(set);
    let choose = move |url: &Url| {
        let port = url.port_or_known_default()?;
        let chosen = network.proxy_for(https, url.host_str()?, port).filter(|_| url.scheme() == scheme)?;
        Some(chosen.uri.to_string())
    };
    let proxy = Proxy::custom(choose);
    Some(match authorization {
        Some(authorization) => proxy.custom_http_auth(authorization),
        None => proxy,
    })
}

/// The question to one provider.
pub(super) struct Ask {
    pub(super) name: String,
    /// `None` for a provider that has no list.
    url: Option<String>,
    headers: HeaderMap,
    /// Tried in turn, as long as the provider refuses them; empty for a provider without keys.
    keys: Vec<Credential>,
    way: Arc<Way>,
}

impl Ask {
    pub(super) fn new(provider: &config::Provider, credentials: &Credentials, way: Arc<Way>) -> Ask {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("gzip, deflate"));
        for (name, value) in &provider.headers {
            headers.insert(name.clone(), value.clone());
        }
        if provider.dialects.first().is_some_and(|(dialect, _)| *dialect == Dialect::Anthropic) {
            headers.insert("anthropic-version", HeaderValue::from_static("2023-06-01"));
        }
        let url = address::listing(provider);
        Ask { name: provider.name.clone(), url, headers, keys: credentials.to_list(), way }
    }

    pub(super) fn has_list(&self) -> bool {
        self.url.is_some()
    }

    /// Whether anybody answers there, be it that the key is not good: that is no trouble of the provider's.
    ///
    /// # Errors
    /// Nobody answers, or only with a status of 500 and above. The words have no secret and no address.
    pub(super) async fn alive(&self) -> Result<(), String> {
        let Some(url) = &self.url else { return Ok(()) };
        let client = self.way.asker.client(&self.way).map_err(|Trouble(why)| why)?;
        let mut headers = self.headers.clone();
        if let Some(key) = self.keys.first() {
            key.authorize(&mut headers);
        }
        let response = client.get(url).headers(headers).send().await;
        let response = response.map_err(|error| format!("no answer: {}", describe(&error.without_url())))?;
        let status = response.status();
        if status.is_server_error() { Err(format!("the provider answered {}", status.as_u16())) } else { Ok(()) }
    }

    /// The provider's models; none where it has no list to give.
    pub(super) async fn fetch(&self) -> Result<Models, Trouble> {
        let Some(url) = &self.url else { return Ok(Models::default()) };
        let client = self.way.asker.client(&self.way)?;
        let mut keys = self.keys.iter();
        let mut key = keys.next();
        loop {
            let mut headers = self.headers.clone();
            if let Some(key) = key {
                key.authorize(&mut headers);
            }
            let response = client
                .get(url)
                .headers(headers)
                .send()
                .await
                .map_err(|error| Trouble(format!("no answer: {}", describe(&error.without_url()))))?;
            return match response.status() {
                StatusCode::OK => Models::read(&read(response).await?, &self.name),
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                    let status = response.status().as_u16();
                    key = keys.next();
                    if key.is_some() {
                        continue;
                    }
                    Err(Trouble(format!("the provider answered {status}: its key is not accepted")))
                }
                // Plenty of servers have no such page. That is an answer, and good for as long as a list is.
                StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => {
                    Ok(Models::default())
                }
                status => Err(Trouble(format!("the provider answered {}", status.as_u16()))),
            };
        }
    }
}

/// The body, decoded.
async fn read(mut response: Response) -> Result<Vec<u8>, Trouble> {
    let mut decoder = match response.headers().get(CONTENT_ENCODING) {
        Some(encoding) if !encoding.as_bytes().eq_ignore_ascii_case(b"identity") => {
            Some(Decoder::new(encoding.as_bytes(), LARGEST).map_err(Trouble)?)
        }
        _ => None,
    };
    let mut body = Vec::new();
    let mut read = 0_usize;
    loop {
        let part = response.chunk().await;
        let part = part.map_err(|error| Trouble(format!("the list broke off: {}", describe(&error.without_url()))))?;
        let Some(part) = part else { break };
        read += part.len();
        if read > LARGEST {
            return Err(Trouble(format!("the list is longer than {LARGEST} bytes")));
        }
        match &mut decoder {
            Some(decoder) => body.extend_from_slice(&decoder.push(&part).map_err(Trouble)?),
            None => body.extend_from_slice(&part),
        }
    }
    if let Some(decoder) = decoder {
        body.extend_from_slice(&decoder.finish().map_err(Trouble)?);
    }
    Ok(body)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
