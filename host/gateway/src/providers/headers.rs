//! Which headers pass between client and provider. By allow-list both ways: what nobody listed stays where it is, so a header that is
//! invented tomorrow, or one whose meaning is a credential's, cannot leak.
//!
//! Framing, `accept-encoding`, `content-encoding` and credentials are not decided here: whoever makes the bodies and picks the key does.

use http::header::{CONNECTION, HeaderMap, HeaderName, HeaderValue};
use sluice_dialect::Dialect;

use crate::config::CREDENTIALS;

/// Headers of a client that a provider may need, whatever both speak. Not `user-agent`, `referer` or `origin`, which tell of the user and not
/// of the call.
const TO_PROVIDER: &[&str] = &["accept", "content-type", "idempotency-key"];

/// Such headers of one dialect's clients, for a provider of that dialect alone.
fn of_dialect(dialect: Dialect) -> (&'static [&'static str], &'static [&'static str]) {
    match dialect {
        Dialect::OpenaiChat => (&["openai-beta", "openai-organization", "openai-project"], &["x-stainless-"]),
        Dialect::OpenaiResponses => (
            &[
                "openai-beta",
                "openai-organization",
                "openai-project",
                "originator",
                "session-id",
                "thread-id",
                "version",
            ],
            &["x-codex-", "x-openai-", "x-stainless-"],
        ),
        Dialect::Anthropic => (
            &["anthropic-beta", "anthropic-version", "anthropic-dangerous-direct-browser-access", "x-app"],
            &["x-claude-code-", "x-stainless-"],
        ),
        Dialect::Gemini => (&["x-server-timeout"], &["x-goog-"]),
    }
}

/// What a provider is told of Anthropic's API by a request that says no version. Later ones refuse parameters that others send.
const ANTHROPIC_VERSION: (&str, HeaderValue) = ("anthropic-version", HeaderValue::from_static("2023-06-01"));

/// Headers of a provider that a client may need: rates, when to come again, and what clients of the four dialects read.
const TO_CLIENT: &[&str] =
    &["cache-control", "content-type", "request-id", "retry-after", "retry-after-ms", "x-should-retry"];

/// Beginnings of such headers.
const TO_CLIENT_PREFIXES: &[&str] = &["anthropic-ratelimit-", "openai-", "x-ratelimit-"];

/// Of a provider's reply that passes whatever it is: what a file is called.
pub const OF_FILES: &[&str] = &["content-disposition", "content-language"];

/// The provider's own request id goes under another name: `x-request-id` is the call's.
const REQUEST_ID: &str = "x-request-id";
const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-upstream-request-id");

/// Copies from `client`, the headers of a request of dialect `from`, what a provider may see that is called in dialect `to`; and adds what
/// that dialect must say. Never a credential: those have the gateway's own names and values.
pub fn to_provider(client: &HeaderMap, from: Dialect, to: Dialect, out: &mut HeaderMap) {
    let (names, prefixes) = of_dialect(from);
    let own = from == to;
    copy(client, out, |name| {
        TO_PROVIDER.contains(&name)
            || own
                && !CREDENTIALS.contains(&name)
                && (names.contains(&name) || prefixes.iter().any(|prefix| name.starts_with(prefix)))
    });
    if to == Dialect::Anthropic && !out.contains_key(ANTHROPIC_VERSION.0) {
        out.insert(ANTHROPIC_VERSION.0, ANTHROPIC_VERSION.1);
    }
}

/// Copies from `provider`, the provider's reply, what the client may see.
pub fn to_client(provider: &HeaderMap, out: &mut HeaderMap) {
    copy(provider, out, |name| {
        TO_CLIENT.contains(&name) || TO_CLIENT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    });
    if let Some(id) = provider.get(REQUEST_ID) {
        out.insert(UPSTREAM_REQUEST_ID, id.clone());
    }
}

fn copy(from: &HeaderMap, to: &mut HeaderMap, listed: impl Fn(&str) -> bool) {
    for (name, value) in from {
        let text = name.as_str();
        if listed(text) && !is_of_connection(from, text) {
            to.append(name.clone(), value.clone());
        }
    }
}

/// Whether `Connection` names the field: then it is meant for the next hop alone, whatever it is called.
fn is_of_connection(headers: &HeaderMap, name: &str) -> bool {
    headers.get_all(CONNECTION).iter().any(|value| {
        value.as_bytes().split(|byte| *byte == b',').any(|part| part.trim_ascii().eq_ignore_ascii_case(name.as_bytes()))
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    type Copy = fn(&HeaderMap, &mut HeaderMap);

    fn to_provider(client: &HeaderMap, out: &mut HeaderMap) {
        super::to_provider(client, Dialect::OpenaiChat, Dialect::OpenaiChat, out);
    }

    fn passed(copy: Copy, headers: &[(&'static str, &'static str)]) -> Vec<String> {
        let map = headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect();
        let mut out = HeaderMap::new();
        copy(&map, &mut out);
        out.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect()
    }

    #[test]
    fn secrets_and_hops_never_reach_the_provider() {
        for name in [
            "authorization",
            "cookie",
            "proxy-authorization",
            "proxy-connection",
            "x-api-key",
            "api-key",
            "x-goog-api-key",
            "host",
            "connection",
            "keep-alive",
            "te",
            "trailer",
            "transfer-encoding",
            "upgrade",
            "content-length",
            "expect",
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-real-ip",
            "x-sluice-labels",
            "user-agent",
            "referer",
            "origin",
            "x-request-id",
            "accept-encoding",
            "x-anything",
            "sec-fetch-site",
            "traceparent",
        ] {
            assert_eq!(passed(to_provider, &[(name, "v")]), [""; 0], "{name}");
        }
        let listed = passed(
            to_provider,
            &[("accept", "a"), ("openai-beta", "b"), ("openai-organization", "o"), ("x-stainless-lang", "python")],
        );
        assert_eq!(listed, ["accept: a", "openai-beta: b", "openai-organization: o", "x-stainless-lang: python"]);
    }

    #[test]
    fn each_dialects_headers_reach_its_own_providers_alone() {
        let sent: HeaderMap = [
            ("accept", "a"),
            ("anthropic-beta", "b"),
            ("anthropic-version", "2026-10-21"),
            ("openai-beta", "o"),
            ("x-goog-api-client", "g"),
            ("x-goog-api-key", "secret"),
            ("x-api-key", "secret"),
            ("api-key", "secret"),
        ]
        .into_iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
        let names = |from, to| {
            let mut out = HeaderMap::new();
            super::to_provider(&sent, from, to, &mut out);
            out.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect::<Vec<_>>().join(" ")
        };
        use Dialect::{Anthropic, Gemini, OpenaiChat};
        assert_eq!(names(Anthropic, Anthropic), "accept=a anthropic-beta=b anthropic-version=2026-10-21");
        assert_eq!(names(Anthropic, OpenaiChat), "accept=a");
        assert_eq!(names(OpenaiChat, Anthropic), "accept=a anthropic-version=2023-06-01");
        assert_eq!(names(Gemini, Gemini), "accept=a x-goog-api-client=g");
    }

    #[test]
    fn cookies_and_hops_never_reach_the_client() {
        for name in [
            "set-cookie",
            "server",
            "alt-svc",
            "strict-transport-security",
            "connection",
            "keep-alive",
            "transfer-encoding",
            "content-length",
            "date",
            "via",
            "cf-ray",
            "x-envoy-upstream-service-time",
            "access-control-allow-origin",
            "www-authenticate",
            "location",
            "x-sluice-error-source",
            "content-encoding",
            "authorization",
        ] {
            assert_eq!(passed(to_client, &[(name, "v")]), [""; 0], "{name}");
        }
        let listed = passed(
            to_client,
            &[
                ("openai-processing-ms", "5"),
                ("x-ratelimit-remaining-tokens", "9"),
                ("retry-after-ms", "7"),
                ("x-request-id", "r"),
            ],
        );
        let expected = [
            "openai-processing-ms: 5",
            "x-ratelimit-remaining-tokens: 9",
            "retry-after-ms: 7",
            "x-upstream-request-id: r",
        ];
        assert_eq!(listed, expected);
    }

    #[test]
    fn what_connection_names_stays_behind() {
        let headers = [("connection", "close, Retry-After"), ("retry-after", "3"), ("openai-version", "1")];
        assert_eq!(passed(to_client, &headers), ["openai-version: 1"]);
        let headers = [("connection", "openai-beta"), ("openai-beta", "x"), ("accept", "a")];
        assert_eq!(passed(to_provider, &headers), ["accept: a"]);
    }

    #[test]
    fn repeated_fields_keep_every_value() {
        assert_eq!(
            passed(to_provider, &[("openai-beta", "a"), ("openai-beta", "b")]),
            ["openai-beta: a", "openai-beta: b"]
        );
    }
}
