//! How calls leave the machine: proxies, the hosts that bypass them, extra certificate authorities.
//!
//! It says which proxy a host needs; connecting is the provider client's.

use std::net::IpAddr;
use std::path::PathBuf;

use http::Uri;

use super::secret::Secret;

/// A proxy for calls to providers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Scheme (`http` or `https`), host and port, without credentials.
    pub uri: Uri,
    /// The value of `proxy-authorization`, where the address had a user.
    pub authorization: Option<Secret>,
}

/// What is known of the way out. Empty: straight to every host, with the system's authorities.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Network {
    /// For `https` addresses.
    pub https_proxy: Option<Proxy>,
    /// For `http` addresses.
    pub http_proxy: Option<Proxy>,
    /// Lower case, as written otherwise; see [`Network::proxy_for`].
    pub no_proxy: Vec<String>,
    /// PEM files, readable when the configuration was loaded.
    pub ca: Vec<PathBuf>,
    /// SHA-256 of each of them: another content is another network, whatever the paths say.
    pub ca_digests: Vec<[u8; 32]>,
}

impl Network {
    /// The proxy for a host (IPv6 with or without brackets), or `None` for a direct connection.
    pub fn proxy_for(&self, https: bool, host: &str, port: u16) -> Option<&Proxy> {
        let proxy = if https { self.https_proxy.as_ref() } else { self.http_proxy.as_ref() }?;
        let host = host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
        (!self.no_proxy.iter().any(|rule| bypasses(rule, &host, port))).then_some(proxy)
    }
}

/// One entry of `no_proxy` against a host in lower case without brackets.
fn bypasses(rule: &str, host: &str, port: u16) -> bool {
    let (rule, wanted) = split_port(rule);
    if wanted.is_some_and(|wanted| wanted != port) {
        return false;
    }
    if rule == "*" {
        return true;
    }
    if let Ok(address) = host.parse::<IpAddr>() {
        return in_network(rule, address);
    }
    let rule = rule.trim_start_matches("*.").trim_start_matches('.');
    !rule.is_empty() && host.strip_suffix(rule).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// `name:port`, `[v6]:port`, or no port at all; a bare IPv6 address has colons and no port.
fn split_port(rule: &str) -> (&str, Option<u16>) {
    if let Some(inner) = rule.strip_prefix('[') {
        return match inner.split_once(']') {
            Some((address, rest)) => (address, rest.strip_prefix(':').and_then(|port| port.parse().ok())),
            None => (inner, None),
        };
    }
    match rule.split_once(':') {
        Some((name, port)) if !port.contains(':') => match port.parse() {
            Ok(port) => (name, Some(port)),
            Err(_) => (rule, None),
        },
        _ => (rule, None),
    }
}

/// Whether `address` is the address or in the network (`10.0.0.0/8`) that `rule` writes.
fn in_network(rule: &str, address: IpAddr) -> bool {
    let (base, length) = match rule.split_once('/') {
        Some((base, length)) => (base, length.parse::<u32>().ok()),
        None => (rule, Some(128)),
    };
    let Some(length) = length else { return false };
    match (base.parse(), address) {
        (Ok(IpAddr::V4(base)), IpAddr::V4(address)) => {
            let shift = 32_u32.saturating_sub(length);
            u64::from(base.to_bits()) >> shift == u64::from(address.to_bits()) >> shift
        }
        (Ok(IpAddr::V6(base)), IpAddr::V6(address)) => {
            let shift = 128_u32.saturating_sub(length);
            // A shift by all 128 bits leaves nothing to compare: every address is in `::/0`.
            shift == 128 || base.to_bits() >> shift == address.to_bits() >> shift
        }
        _ => false,
    }
}

/// Base64 of a proxy's credentials; the only place that needs it.
pub(super) fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |i: usize| u32::from(chunk.get(i).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4_usize {
            let digit = (bits >> (18 - 6 * i)) & 63;
            let letter = DIGITS.get(digit as usize).copied().unwrap_or(b'=');
            out.push(if i <= chunk.len() { char::from(letter) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn network(no_proxy: &[&str]) -> Network {
        let proxy = Proxy { uri: "http://proxy.corp:3128".parse().unwrap(), authorization: None };
        let no_proxy = no_proxy.iter().map(|rule| (*rule).to_owned()).collect();
        Network { https_proxy: Some(proxy), no_proxy, ..Network::default() }
    }

    #[test]
    fn hosts_bypass_the_proxy_by_name_suffix_address_and_network() {
        for (rule, host) in [
            ("*", "api.openai.com"),
            ("openai.com", "openai.com"),
            ("openai.com", "API.openai.com."),
            (".corp", "llm.corp"),
            ("*.corp", "llm.corp"),
            ("llm.corp:443", "llm.corp"),
            ("10.0.0.0/8", "10.1.2.3"),
            ("10.1.2.3", "10.1.2.3"),
            ("0.0.0.0/0", "10.1.2.3"),
            ("::/0", "[fd00::1]"),
            ("fd00::/8", "fd00::1"),
            ("[::1]:443", "[::1]"),
            ("::1", "::1"),
        ] {
            assert!(network(&[rule]).proxy_for(true, host, 443).is_none(), "{rule} {host}");
        }
    }

    #[test]
    fn other_hosts_take_the_proxy_of_their_scheme() {
        for (rule, host) in [
            ("openai.com", "notopenai.com"),
            ("llm.corp:80", "llm.corp"),
            ("10.0.0.0/8", "11.0.0.1"),
            ("10.0.0.0/x", "10.0.0.1"),
            ("10.0.0.0/8", "fd00::1"),
            ("", "a.corp"),
            (".", "a.corp"),
        ] {
            assert!(network(&[rule]).proxy_for(true, host, 443).is_some(), "{rule} {host}");
        }
        assert!(network(&[]).proxy_for(false, "api.openai.com", 80).is_none());
    }

    #[test]
    fn base64_pads() {
        for (text, expected) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("user:pa~?>", "dXNlcjpwYX4/Pg==")]
        {
            assert_eq!(base64(text.as_bytes()), expected);
        }
    }
}
