//! `network:` and the environment variables that stand in for it.

use std::path::{Path, PathBuf};

use http::Uri;

use crate::config::error::At;
use crate::config::file;
use crate::config::input::Input;
use crate::config::network::base64;
use crate::config::resolved::{Network, Proxy};
use crate::config::secret::Secret;

use super::Context;

const ENVIRONMENT: &str = "environment";
/// A bundle of all public authorities has about a quarter of a MiB.
const LARGEST_CA: u64 = 8 << 20;

impl Context<'_> {
    pub(super) fn network(&mut self, network: file::Network, at: At<'_>) -> Network {
        let (https_proxy, http_proxy) = match &network.proxy {
            Some(text) => {
                let place = at.key("proxy").place();
                let proxy = proxy(text).map_err(|message| self.report.error(place, message)).ok();
                (proxy.clone(), proxy)
            }
            None => (self.proxy_of("HTTPS_PROXY"), self.proxy_of("HTTP_PROXY")),
        };
        let no_proxy = match network.no_proxy {
            Some(list) => list,
            None => {
                let list = self.variable("NO_PROXY").map(|(_, text)| text).unwrap_or_default();
                list.split([',', ' ']).map(str::to_owned).collect()
            }
        };
        let clean = |rule: String| rule.trim().to_ascii_lowercase();
        let no_proxy = no_proxy.into_iter().map(clean).filter(|rule| !rule.is_empty()).collect();
        let (ca, ca_digests) = self.authorities(network.ca, at.key("ca")).into_iter().unzip();
        Network { https_proxy, http_proxy, no_proxy, ca, ca_digests }
    }

    /// A variable in capitals or, as curl has it, in small letters. Empty ones count as absent.
    fn variable(&self, name: &str) -> Option<(String, String)> {
        let names = [name.to_owned(), name.to_ascii_lowercase()];
        names.into_iter().find_map(|name| {
            let text = (self.env)(&name)?.trim().to_owned();
            (!text.is_empty()).then_some((name, text))
        })
    }

    fn proxy_of(&mut self, name: &str) -> Option<Proxy> {
        let (name, text) = self.variable(name).or_else(|| self.variable("ALL_PROXY"))?;
        // Other programs read `proxy:3128` as HTTP, so people write it in the environment.
        let text = if text.contains("://") { text } else { format!("http://{text}") };
        proxy(&text).map_err(|message| self.report.elsewhere(ENVIRONMENT, format!("{name}: {message}"))).ok()
    }

    fn authorities(&mut self, written: Option<Vec<String>>, at: At<'_>) -> Vec<(PathBuf, [u8; 32])> {
        let mut out = Vec::new();
        let from_file = written.is_some();
        let paths =
            written.unwrap_or_else(|| self.variable("SSL_CERT_FILE").map(|(_, path)| path).into_iter().collect());
        for (i, path) in paths.iter().enumerate() {
            let place = at.item(i);
            let full = if from_file { self.dir.join(path) } else { path.into() };
            match certificates(&full, &mut self.report.inputs) {
                Ok(digest) => out.push((full, digest)),
                Err(error) if from_file => {
                    let message = format!("cannot use the certificate file `{}`: {error}", place.shown(path));
                    self.report.error(place.place(), message);
                }
                Err(error) => self.report.elsewhere(ENVIRONMENT, format!("SSL_CERT_FILE: cannot use {path}: {error}")),
            }
        }
        out
    }
}

/// A proxy's address. Errors do not quote it: it may hold a password.
fn proxy(text: &str) -> Result<Proxy, String> {
    let expected = "expected a proxy's address such as `http://proxy.corp:3128`";
    let (scheme, rest) = text.split_once("://").ok_or(expected)?;
    if scheme.starts_with("socks") {
        return Err(format!("{expected}; SOCKS proxies are not supported"));
    }
    if !["http", "https"].contains(&scheme) {
        return Err(expected.to_owned());
    }
    let authority = rest.trim_end_matches('/');
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    if place.is_empty() || place.contains(['/', '?', '#']) {
        return Err(expected.to_owned());
    }
    let uri: Uri = format!("{scheme}://{place}").parse().map_err(|_| expected)?;
    if uri.host().is_none_or(str::is_empty) {
        return Err(expected.to_owned());
    }
    let authorization = user.map(|user| {
        let decoded: Vec<u8> = percent_encoding::percent_decode_str(user).collect();
        let decoded = if user.contains(':') { decoded } else { [decoded, b":".to_vec()].concat() };
        Secret::new(format!("Basic {}", base64(&decoded)))
    });
    Ok(Proxy { uri, authorization })
}

/// The digest of a file that holds certificates.
fn certificates(path: &Path, inputs: &mut Vec<Input>) -> Result<[u8; 32], String> {
    let (input, content) = Input::read(path, LARGEST_CA);
    let digest = input.digest().unwrap_or_default();
    inputs.push(input);
    let bytes = content.map_err(|error| error.to_string())?;
    if bytes.len() as u64 > LARGEST_CA {
        return Err("larger than 8 MiB".to_owned());
    }
    let mark = b"-----BEGIN CERTIFICATE-----";
    if bytes.windows(mark.len()).any(|window| window == mark) {
        Ok(digest)
    } else {
        Err("it holds no PEM certificate".to_owned())
    }
}
