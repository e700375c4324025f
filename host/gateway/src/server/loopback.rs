//! What an anonymous request must look like, so that a web page open in the operator's browser cannot spend the operator's keys.
//!
//! A browser sends a request anywhere a page asks for, and a page's own name may resolve to 127.0.0.1; but it always says truthfully by
//! which name it called and which page asked, and it cannot send JSON across origins without asking first. Pure functions over headers:
//! whether a caller is anonymous is decided elsewhere.

use std::net::{IpAddr, Ipv6Addr};

use http::header::{CONTENT_TYPE, HOST, HeaderMap, HeaderValue, ORIGIN};
use http::uri::Authority;
use sluice_dialect::failure::{Blame, Failure};

/// By which names, beside loopback's own, anonymous requests may call. Compared without ports and case; `*` allows every name.
#[derive(Clone, Debug, Default)]
pub struct Names(pub Vec<String>);

/// Refuses a request that may come from a foreign web page: 403 by its `Host` or `Origin`, 415 by its body's type.
/// `target` is the authority of an absolute request target, which goes before the `Host` header.
pub(super) fn check(
    names: &Names,
    target: Option<&Authority>,
    headers: &HeaderMap,
    has_body: bool,
) -> Result<(), Failure> {
    let host = match target {
        Some(authority) => names.allow(authority.as_str()),
        None => headers.get(HOST).is_none_or(|host| text(host).is_some_and(|host| names.allow(host))),
    };
    if !host {
        return Err(forbidden(
            "host_not_allowed",
            "This server answers anonymous requests only by localhost, a loopback address or a configured name.",
        ));
    }
    for origin in headers.get_all(ORIGIN) {
        if !text(origin).is_some_and(|origin| names.allow_origin(origin)) {
            return Err(forbidden(
                "origin_not_allowed",
                "Anonymous requests from web pages of other origins are refused.",
            ));
        }
    }
    if has_body { check_type(headers) } else { Ok(()) }
}

/// Refuses a request that would change something or takes a body to read, from a web page of another origin: 403 by its `Origin`, 415 by its
/// body's type. The gateway's own page may ask, under whatever name it was called.
pub(super) fn check_change(names: &Names, target: Option<&Authority>, headers: &HeaderMap) -> Result<(), Failure> {
    let called = target.map(Authority::as_str).or_else(|| headers.get(HOST).and_then(text));
    // Being reachable under any name is no reason to be changed by any page.
    let named = Names(names.0.iter().filter(|name| *name != "*").cloned().collect());
    for origin in headers.get_all(ORIGIN) {
        let own = |origin: &str| {
            let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            host.zip(called).is_some_and(|(host, called)| host.eq_ignore_ascii_case(called))
        };
        if !text(origin).is_some_and(|origin| own(origin) || named.allow_origin(origin)) {
            return Err(forbidden("origin_not_allowed", "Web pages of other origins may not ask for this."));
        }
    }
    check_type(headers)
}

/// Refuses a body that is neither JSON nor multipart: the other types are those a page can send without asking first.
fn check_type(headers: &HeaderMap) -> Result<(), Failure> {
    let kind = headers.get(CONTENT_TYPE).and_then(text).map(|kind| kind.split(';').next().unwrap_or_default().trim());
    let fits = kind.is_some_and(|kind| {
        kind.eq_ignore_ascii_case("application/json")
            || kind.eq_ignore_ascii_case("multipart/form-data")
            || ends_with_json(kind)
    });
    if fits {
        return Ok(());
    }
    Err(Failure::new(
        Blame::Client,
        415,
        "invalid_request_error",
        "unsupported_content_type",
        "Send the body as content-type: application/json (or multipart/form-data).",
    ))
}

fn ends_with_json(kind: &str) -> bool {
    let Some((class, name)) = kind.split_once('/') else { return false };
    let suffix = name.len().checked_sub(5).and_then(|at| name.get(at..));
    class.eq_ignore_ascii_case("application") && suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case("+json"))
}

impl Names {
    /// Whether `host`, with or without a port, names this machine or is configured.
    fn allow(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else { return false };
        is_loopback(name) || self.0.iter().any(|own| own == "*" || own.eq_ignore_ascii_case(name))
    }

    /// An origin is a scheme and a host; `null` (a sandboxed frame, a local file) is nobody's.
    fn allow_origin(&self, origin: &str) -> bool {
        let host = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
        host.is_some_and(|host| self.allow(host))
    }
}

/// The name or address alone; `None` for what is not `host[:port]`.
fn without_port(host: &str) -> Option<&str> {
    let (name, port) = if let Some(inner) = host.strip_prefix('[') {
        let (name, port) = inner.split_once(']')?;
        (name, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
    } else {
        match host.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (host, None),
        }
    };
    let whole = port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()));
    (whole && !name.is_empty()).then_some(name)
}

fn is_loopback(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    let under = name.len().checked_sub(10).and_then(|at| name.get(at..));
    if name.eq_ignore_ascii_case("localhost") || under.is_some_and(|end| end.eq_ignore_ascii_case(".localhost")) {
        return true;
    }
    match name.parse() {
        Ok(IpAddr::V4(address)) => address.is_loopback(),
        Ok(IpAddr::V6(address)) => {
            address == Ipv6Addr::LOCALHOST || address.to_ipv4_mapped().is_some_and(|address| address.is_loopback())
        }
        Err(_) => false,
    }
}

fn text(value: &HeaderValue) -> Option<&str> {
    value.to_str().ok()
}

fn forbidden(code: &'static str, message: &'static str) -> Failure {
    Failure::new(Blame::Client, 403, "permission_error", code, message)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn status(headers: &[(&'static str, &str)], has_body: bool) -> u16 {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let names = Names(vec!["gateway.corp".to_owned()]);
        check(&names, None, &map, has_body).map_or_else(|failure| failure.status, |()| 200)
    }

    #[test]
    fn hosts() {
        for host in [
            "localhost",
            "localhost:8080",
            "LOCALHOST",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]",
            "[::1]:8080",
            "[::ffff:127.0.0.1]:80",
            "gateway.corp",
            "Gateway.Corp:443",
        ] {
            assert_eq!(status(&[("host", host)], false), 200, "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:8080",
            "localhost.evil.example",
            "evillocalhost",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "10.0.0.1",
            "[::2]",
            "[::1",
            "[::1]x",
            "localhost:80x",
            "",
            ":80",
            "x@localhost",
            "2130706433",
            "sub.gateway.corp",
            "127.1",
        ] {
            assert_eq!(status(&[("host", host)], false), 403, "{host}");
        }
        assert_eq!(status(&[], false), 200, "HTTP/1.0 without a host is no browser");
        assert!(
            check(&Names(vec!["*".to_owned()]), None, &[(HOST, "x.y".parse().unwrap())].into_iter().collect(), false)
                .is_ok()
        );
        let target = Authority::from_static("evil.example");
        let headers = [(HOST, HeaderValue::from_static("localhost"))].into_iter().collect();
        assert_eq!(check(&Names::default(), Some(&target), &headers, false).unwrap_err().status, 403);
    }

    #[test]
    fn origins() {
        let host = ("host", "localhost:8080");
        for origin in ["http://localhost:3000", "https://127.0.0.1", "http://[::1]:5173", "https://gateway.corp"] {
            assert_eq!(status(&[host, ("origin", origin)], false), 200, "{origin}");
        }
        for origin in
            ["null", "https://evil.example", "http://localhost.evil.example", "file://", "", "chrome-extension://x"]
        {
            assert_eq!(status(&[host, ("origin", origin)], false), 403, "{origin}");
        }
        let two = [host, ("origin", "http://localhost"), ("origin", "https://evil.example")];
        assert_eq!(status(&two, false), 403, "the second origin counts too");
    }

    #[test]
    fn changes_come_from_no_foreign_page() {
        let change = |headers: &[(&'static str, &str)]| {
            let map = headers
                .iter()
                .map(|(name, value)| (http::HeaderName::from_static(name), HeaderValue::from_str(value).unwrap()));
            let map: HeaderMap = map.chain([(CONTENT_TYPE, HeaderValue::from_static("application/json"))]).collect();
            check_change(&Names(vec!["*".to_owned()]), None, &map).map_or_else(|failure| failure.status, |()| 200)
        };
        let host = ("host", "sluice.corp:8443");
        assert_eq!(change(&[host]), 200, "no browser");
        assert_eq!(change(&[host, ("origin", "https://sluice.corp:8443")]), 200, "the page itself");
        assert_eq!(change(&[host, ("origin", "http://localhost:8080")]), 200);
        for origin in ["https://sluice.corp", "https://evil.example", "null", "sluice.corp:8443", ""] {
            assert_eq!(change(&[host, ("origin", origin)]), 403, "{origin}");
        }
        let plain = [(HOST, HeaderValue::from_static("localhost"))].into_iter().collect();
        assert_eq!(check_change(&Names::default(), None, &plain).unwrap_err().status, 415);
    }

    #[test]
    fn body_types() {
        let host = ("host", "localhost");
        for kind in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "application/vnd.api+json",
            "multipart/form-data; boundary=x",
        ] {
            assert_eq!(status(&[host, ("content-type", kind)], true), 200, "{kind}");
        }
        for kind in
            ["text/plain", "application/x-www-form-urlencoded", "text/json", "text/x+json", "application/jsonx", ""]
        {
            assert_eq!(status(&[host, ("content-type", kind)], true), 415, "{kind}");
        }
        assert_eq!(status(&[host], true), 415);
        assert_eq!(status(&[host], false), 200);
    }
}
