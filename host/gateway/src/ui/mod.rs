//! The page at `/` and the documents that it, `sluice status` and `sluice tail` read.
//!
//! The page is one HTML document without anything secret in it, so it is served to everybody; what it shows comes from the admin API, which
//! is not. It is put together once from three sources, and its policy lets run exactly the script and the style in it: nothing inline that
//! somebody else put there, nothing from another address, and no text of a client as markup. Nothing here decides anything.

pub mod api;
pub mod explain;
pub mod targets;

use std::sync::LazyLock;

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS};
use http::{HeaderName, HeaderValue, StatusCode};

use crate::exchange::Reply;
use crate::server;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The document and its policy, made at the first request for them.
static MADE: LazyLock<(Bytes, Option<HeaderValue>)> = LazyLock::new(|| {
    let page = PAGE.replacen("<style></style>", &format!("<style>{STYLE}</style>"), 1).replacen(
        "<script></script>",
        &format!("<script>{SCRIPT}</script>"),
        1,
    );
    (Bytes::from(page), HeaderValue::try_from(policy()).ok())
});

fn policy() -> String {
    let hash = |text: &str| STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes()));
    format!(
        "default-src 'none'; script-src 'sha256-{}'; style-src 'sha256-{}'; img-src data:; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
        hash(SCRIPT),
        hash(STYLE)
    )
}

/// The page. A browser may neither frame it, nor guess its type, nor tell others where it was, nor keep it beyond this binary's life.
pub fn page() -> Reply {
    let (page, policy) = &*MADE;
    let kind = HeaderValue::from_static("text/html; charset=utf-8");
    let mut reply = server::with_type(StatusCode::OK, kind, page.clone());
    let headers = reply.headers_mut();
    if let Some(policy) = policy {
        headers.insert(CONTENT_SECURITY_POLICY, policy.clone());
    }
    let fixed: [(HeaderName, &'static str); 6] = [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-cache"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ];
    for (name, value) in fixed {
        headers.insert(name, HeaderValue::from_static(value));
    }
    reply
}

/// A document of the admin API: never kept by a browser, never read as anything but JSON.
pub fn document(body: impl Into<Bytes>) -> Reply {
    let mut reply = server::json(StatusCode::OK, body);
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply.headers_mut().insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    reply
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_whole_and_its_policy_names_what_is_in_it() {
        let (page, policy) = &*MADE;
        let page = std::str::from_utf8(page).unwrap();
        let policy = policy.as_ref().unwrap().to_str().unwrap();
        for (open, close, source) in [("<script>", "</script>", "script-src"), ("<style>", "</style>", "style-src")] {
            let from = page.find(open).unwrap() + open.len();
            let text = &page[from..from + page[from..].find(close).unwrap()];
            assert!(text.len() > 1000, "{open} is empty");
            let hash = STANDARD.encode(digest::digest(&digest::SHA256, text.as_bytes()));
            assert!(policy.contains(&format!("{source} 'sha256-{hash}'")), "{policy}");
            assert_eq!(page.matches(open).count(), 1);
        }
        assert!(!policy.contains("unsafe"), "{policy}");
    }

    #[test]
    fn nothing_in_the_page_needs_what_the_policy_forbids() {
        for word in [" style=", " onclick=", " onload=", "javascript:", "src=", "@import", "url("] {
            assert!(!PAGE.contains(word) && !STYLE.contains(word), "{word}");
        }
        for word in ["innerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "localStorage"] {
            assert!(!SCRIPT.contains(word), "{word}");
        }
    }
}
