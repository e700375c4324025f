//! Which path and method mean what. A dialect's prefixes and operations are rows of two tables; nothing else of a request is read here.

use std::borrow::Cow;

use http::Method;

use crate::exchange::{Operation, Road};

/// Where the roads begin, and the provider that the prefix names. A longer prefix stands before a shorter one that it begins with.
const PREFIXES: &[(&str, Option<&str>)] = &[("/v1", None), ("/openai/v1", Some("openai")), ("/openai", Some("openai"))];

/// What follows a prefix. The path after a `Prefixed` entry's is a name and may hold slashes (`meta-llama/llama-3`).
const OPERATIONS: &[(Tail, Verb, Kind)] = &[
    (Tail::Exact("/chat/completions"), Verb::Post, Kind::Chat),
    (Tail::Exact("/models"), Verb::Get, Kind::Models),
    (Tail::Prefixed("/models/"), Verb::Get, Kind::Model),
];

/// The gateway's own pages.
const PAGES: &[(&str, Page)] = &[
    ("/", Page::Home),
    ("/livez", Page::Live),
    ("/readyz", Page::Ready),
    ("/health", Page::Health),
    ("/metrics", Page::Metrics),
    ("/api/status", Page::Status),
    ("/api/plugins", Page::Plugins),
    ("/api/calls", Page::Calls),
];

#[derive(Clone, Copy)]
enum Tail {
    Exact(&'static str),
    Prefixed(&'static str),
}

#[derive(Clone, Copy)]
enum Kind {
    Chat,
    Models,
    Model,
}

#[derive(Clone, Copy)]
enum Verb {
    Get,
    Post,
}

/// What Sluice says about itself. The home page holds nothing that is not in every copy of Sluice; the next three are asked by supervisors,
/// which have no credential and call by address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    Home,
    Live,
    Ready,
    Health,
    Metrics,
    Status,
    Plugins,
    Calls,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Road(Road),
    Page(Page),
}

/// Why nothing was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Missed {
    Path,
    /// The path is known; these methods are served there.
    Method(&'static str),
    /// The model's name in the path is not UTF-8 or holds control characters.
    Name,
}

impl Verb {
    fn allow(self) -> &'static str {
        match self {
            Verb::Get => "GET, HEAD, OPTIONS",
            Verb::Post => "POST, OPTIONS",
        }
    }

    fn check(self, method: &Method) -> Result<(), Missed> {
        let fits = match self {
            Verb::Get => method == Method::GET || method == Method::HEAD,
            Verb::Post => method == Method::POST,
        };
        if fits { Ok(()) } else { Err(Missed::Method(self.allow())) }
    }
}

/// Finds the route of a path (without its query). One trailing slash is ignored: clients that join a base address and a path leave it there.
pub(super) fn find(method: &Method, path: &str) -> Result<Route, Missed> {
    let short = path.strip_suffix('/').unwrap_or(path);
    for (prefix, provider) in PREFIXES {
        let Some(rest) = path.strip_prefix(prefix) else { continue };
        let Some(short) = short.strip_prefix(prefix) else { continue };
        for (tail, verb, kind) in OPERATIONS {
            let name = match tail {
                Tail::Exact(exact) if short == *exact => "",
                Tail::Prefixed(before) => match rest.strip_prefix(before) {
                    Some(name) if !name.is_empty() => name,
                    _ => continue,
                },
                Tail::Exact(_) => continue,
            };
            verb.check(method)?;
            let operation = match kind {
                Kind::Chat => Operation::Chat,
                Kind::Models => Operation::Models,
                Kind::Model => Operation::Model(decode(name)?.into_owned()),
            };
            return Ok(Route::Road(Road { operation, provider: *provider }));
        }
    }
    match PAGES.iter().find(|(page, _)| *page == short || *page == path) {
        Some((_, page)) => Verb::Get.check(method).map(|()| Route::Page(*page)),
        None => Err(Missed::Path),
    }
}

fn decode(name: &str) -> Result<Cow<'_, str>, Missed> {
    let name = percent_encoding::percent_decode_str(name).decode_utf8().map_err(|_| Missed::Name)?;
    if name.chars().any(char::is_control) { Err(Missed::Name) } else { Ok(name) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn road(operation: Operation, provider: Option<&'static str>) -> Result<Route, Missed> {
        Ok(Route::Road(Road { operation, provider }))
    }

    #[test]
    fn finds_every_road() {
        for (prefix, provider) in [("/v1", None), ("/openai/v1", Some("openai")), ("/openai", Some("openai"))] {
            let find = |method, tail: &str| find(&method, &format!("{prefix}{tail}"));
            assert_eq!(find(Method::POST, "/chat/completions"), road(Operation::Chat, provider));
            assert_eq!(find(Method::POST, "/chat/completions/"), road(Operation::Chat, provider));
            assert_eq!(find(Method::GET, "/models"), road(Operation::Models, provider));
            assert_eq!(find(Method::GET, "/models/"), road(Operation::Models, provider));
            assert_eq!(find(Method::HEAD, "/models"), road(Operation::Models, provider));
            let model = |name: &str| road(Operation::Model(name.to_owned()), provider);
            assert_eq!(find(Method::GET, "/models/gpt-4o"), model("gpt-4o"));
            assert_eq!(find(Method::GET, "/models/meta-llama/Llama-3%3A70b"), model("meta-llama/Llama-3:70b"));
            assert_eq!(find(Method::GET, "/models/a%2Fb%20%ED%95%9C"), model("a/b \u{d55c}"));
            assert_eq!(find(Method::GET, "/models/%ff"), Err(Missed::Name));
            assert_eq!(find(Method::GET, "/models/a%0d%0ab"), Err(Missed::Name));
            assert_eq!(find(Method::GET, "/chat/completions"), Err(Missed::Method("POST, OPTIONS")));
            assert_eq!(find(Method::DELETE, "/models/x"), Err(Missed::Method("GET, HEAD, OPTIONS")));
            assert_eq!(find(Method::POST, "/chat/completions/x"), Err(Missed::Path));
            assert_eq!(find(Method::POST, ""), Err(Missed::Path));
        }
    }

    #[test]
    fn finds_pages_and_nothing_else() {
        for (path, page) in PAGES {
            assert_eq!(find(&Method::GET, path), Ok(Route::Page(*page)));
            assert_eq!(find(&Method::HEAD, path), Ok(Route::Page(*page)));
            assert_eq!(find(&Method::POST, path), Err(Missed::Method("GET, HEAD, OPTIONS")));
        }
        for path in ["", "/v1", "/v2/models", "/openai/chat", "/v1models", "/openaiv1/models", "//livez", "*"] {
            assert_eq!(find(&Method::GET, path), Err(Missed::Path), "{path}");
        }
    }
}
