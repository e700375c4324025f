//! Which path and method mean what: where a road begins, whose it is, and which dialect it speaks. Prefixes, operations and pages are rows
//! of tables; of a request nothing is read here but its method, its address and the headers that say the dialect.
//!
//! What is not served below a provider's prefix passes raw to that provider. Without a provider only OpenAI's own operations do: there
//! the rest is a 404, so that a mistyped path is told and not sent somewhere.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri};
use sluice_dialect::Dialect;
use sluice_dialect::dialect::Said;

use crate::exchange::{Operation, Raw, Road, split_version};
use crate::providers::table;

mod gemini;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

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
    ("/api/targets", Page::Targets),
    ("/api/explain", Page::Explain),
    ("/api/drain", Page::Drain),
];

/// Prefixes with the provider that they name, and the dialect of what is not in a dialect's own place (lists, refusals). Beside them every
/// built-in provider's name is one.
const PREFIXES: &[(&str, &str, Dialect)] = &[
    ("openai", "openai", Dialect::OpenaiChat),
    ("anthropic", "anthropic", Dialect::Anthropic),
    ("genai", "gemini", Dialect::Gemini),
];

/// Prefixes of frameworks: every dialect's paths below them, and the prefixes above once more.
const FRAMEWORKS: &[&str] = &["litellm", "langchain", "pydanticai"];

/// Headers that only one dialect's clients send.
static ANTHROPIC_VERSION: HeaderName = HeaderName::from_static("anthropic-version");
static GOOGLE_KEY: HeaderName = HeaderName::from_static("x-goog-api-key");

/// What follows a prefix and perhaps a version, in one place only.
const OPERATIONS: &[(&str, Kind, Dialect)] = &[
    ("/chat/completions", Kind::Chat, Dialect::OpenaiChat),
    ("/responses", Kind::Chat, Dialect::OpenaiResponses),
    ("/messages", Kind::Chat, Dialect::Anthropic),
    ("/messages/count_tokens", Kind::CountTokens, Dialect::Anthropic),
    ("/responses/input_tokens", Kind::CountTokens, Dialect::OpenaiResponses),
    ("/embeddings", Kind::Embeddings, Dialect::OpenaiChat),
];

/// OpenAI's other operations, by the first part of their path: raw where the path names no provider.
const OPENAI_RAW: &[&str] = &[
    "assistants",
    "audio",
    "batches",
    "completions",
    "containers",
    "conversations",
    "evals",
    "files",
    "fine_tuning",
    "images",
    "moderations",
    "rerank",
    "responses",
    "threads",
    "uploads",
    "vector_stores",
    "videos",
];

#[derive(Clone, Copy)]
enum Kind {
    Chat,
    CountTokens,
    Embeddings,
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
    Targets,
    /// What would become of a call; asked by a body.
    Explain,
    /// Changes something.
    Drain,
}

impl Page {
    /// It is asked by a POST with a JSON body.
    pub fn takes_body(self) -> bool {
        matches!(self, Page::Explain | Page::Drain)
    }
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
    /// The path leads out of its prefix (`..`, an escaped slash or backslash beside it).
    Unclean,
}

const GET: &str = "GET, HEAD, OPTIONS";
const POST: &str = "POST, OPTIONS";

/// Where a path stands: below which prefix, and what is left of it.
struct Place<'a> {
    /// The provider that the prefix names.
    provider: Option<&'static str>,
    dialect: Dialect,
    /// Behind the prefix: with the version, and without.
    path: &'a str,
    tail: &'a str,
    /// Azure's deployment, which stands for the model.
    deployment: Option<&'a str>,
}

/// Finds the route of a request. One trailing slash is ignored: clients that join a base address and a path leave it there.
pub(super) fn find(method: &Method, uri: &Uri, headers: &HeaderMap) -> Result<Route, Missed> {
    let path = uri.path();
    let short = path.strip_suffix('/').unwrap_or(path);
    if let Some((_, page)) = PAGES.iter().find(|(page, _)| *page == short || *page == path) {
        let allowed = match page.takes_body() {
            true if method != Method::POST => Err(Missed::Method(POST)),
            true => Ok(()),
            false => get(method),
        };
        return allowed.map(|()| Route::Page(*page));
    }
    let place = place(path, uri.query(), headers).ok_or(Missed::Path)?;
    let said = Said { model: place.deployment.map(decode).transpose()?.map(Cow::into_owned), ..Said::default() };
    let road = Road {
        operation: Operation::Models,
        provider: place.provider,
        dialect: place.dialect,
        said,
        query: without_credentials(uri.query()),
    };
    served(method, &place, road).map(Route::Road)
}

/// The credential that a request has in its query, as the header in which it counts; nothing where the header is there already.
pub(super) fn credential(uri: &Uri, headers: &HeaderMap) -> Option<(HeaderName, HeaderValue)> {
    let key = gemini::key(uri.query())?;
    if headers.contains_key(&GOOGLE_KEY) {
        return None;
    }
    let mut value = HeaderValue::from_bytes(&key).ok()?;
    value.set_sensitive(true);
    Some((GOOGLE_KEY.clone(), value))
}

/// The dialect of a refusal to a request that leads nowhere.
pub(super) fn dialect_of(uri: &Uri, headers: &HeaderMap) -> Dialect {
    place(uri.path(), uri.query(), headers).map_or(Dialect::OpenaiChat, |place| {
        let tail = place.tail.strip_suffix('/').unwrap_or(place.tail);
        OPERATIONS.iter().find(|(path, _, _)| *path == tail).map_or(place.dialect, |(_, _, dialect)| *dialect)
    })
}

fn served(method: &Method, place: &Place<'_>, road: Road) -> Result<Road, Missed> {
    let tail = place.tail.strip_suffix('/').unwrap_or(place.tail);
    if let Some((_, kind, dialect)) = OPERATIONS.iter().find(|(path, _, _)| *path == tail) {
        if method != Method::POST {
            return passed(method, place, Road { dialect: *dialect, ..road }, POST);
        }
        let operation = match kind {
            Kind::Chat => Operation::Chat,
            Kind::CountTokens => Operation::CountTokens,
            Kind::Embeddings => Operation::Embeddings,
        };
        return Ok(Road { operation, dialect: *dialect, ..road });
    }
    if method == Method::POST
        && let Some(found) = gemini::find(place.tail, road.query.as_deref())
    {
        return gemini::road(found?, road);
    }
    if tail == "/models" {
        return if get(method).is_ok() { Ok(road) } else { passed(method, place, road, GET) };
    }
    if let Some(name) = place.tail.strip_prefix("/models/").filter(|name| !name.is_empty()) {
        if get(method).is_err() {
            return passed(method, place, road, GET);
        }
        return Ok(Road { operation: Operation::Model(decode(name)?.into_owned()), ..road });
    }
    passed(method, place, road, "")
}

/// What Sluice does not serve itself. `allow`: the methods that it does serve there.
fn passed(method: &Method, place: &Place<'_>, road: Road, allow: &'static str) -> Result<Road, Missed> {
    let missed = || if allow.is_empty() { Missed::Path } else { Missed::Method(allow) };
    let first = place.tail.trim_start_matches('/').split('/').next().unwrap_or_default();
    // Claude Code asks this once at its start, of whoever serves it; there is no such thing at any provider.
    let nowhere = first.is_empty() || place.tail == "/api/hello";
    let known = place.provider.is_some() || (allow.is_empty() && OPENAI_RAW.contains(&first));
    if nowhere || !known || method == Method::OPTIONS || method == Method::CONNECT || method == Method::TRACE {
        return Err(missed());
    }
    if !is_clean(place.path) || (method == Method::POST && is_served_elsewhere(place.tail)) {
        return Err(Missed::Unclean);
    }
    let raw = Raw { method: method.clone(), path: place.path.to_owned() };
    Ok(Road { operation: Operation::Raw(raw), ..road })
}

fn get(method: &Method) -> Result<(), Missed> {
    if method == Method::GET || method == Method::HEAD { Ok(()) } else { Err(Missed::Method(GET)) }
}

/// Reads prefix and version. `None` for a path that no road begins with.
fn place<'a>(path: &'a str, query: Option<&str>, headers: &HeaderMap) -> Option<Place<'a>> {
    let framework = first_of(path, FRAMEWORKS);
    let below = framework.unwrap_or(path);
    let (provider, dialect, rest) = match prefix(below) {
        Some((provider, dialect, rest)) => (Some(provider), Some(dialect), rest),
        None => (None, None, below),
    };
    if provider == Some("openai") || provider == Some("azure") {
        // Azure's clients put `/openai` before both of its forms.
        let inner = rest.strip_prefix("/openai").filter(|inner| inner.starts_with('/')).unwrap_or(rest);
        if let Some((deployment, tail)) = inner.strip_prefix("/deployments/").and_then(|found| found.split_once('/')) {
            let at = inner.len() - tail.len() - 1;
            let tail = inner.get(at..).unwrap_or_default();
            let deployment = Some(deployment);
            return Some(Place {
                provider: Some("azure"),
                dialect: Dialect::OpenaiChat,
                path: inner,
                tail,
                deployment,
            });
        }
        let (_, tail) = split_version(inner);
        return Some(Place { provider, dialect: Dialect::OpenaiChat, path: inner, tail, deployment: None });
    }
    let (version, tail) = split_version(rest);
    if provider.is_none() && framework.is_none() && version.is_empty() {
        return None;
    }
    let dialect = dialect.unwrap_or_else(|| spoken(version, query, headers));
    Some(Place { provider, dialect, path: rest, tail, deployment: None })
}

/// The dialect of a road that several speak: by the version, and by a header that only one dialect's clients send.
fn spoken(version: &str, query: Option<&str>, headers: &HeaderMap) -> Dialect {
    if headers.contains_key(&ANTHROPIC_VERSION) {
        Dialect::Anthropic
    } else if version.len() > 3 || headers.contains_key(&GOOGLE_KEY) || gemini::has_key(query) {
        Dialect::Gemini
    } else {
        Dialect::OpenaiChat
    }
}

/// What is left of a path whose first part is one of `names`; the rest begins with a slash.
fn first_of<'a>(path: &'a str, names: &[&str]) -> Option<&'a str> {
    let (first, rest) = split_first(path)?;
    names.contains(&first).then_some(rest)
}

fn split_first(path: &str) -> Option<(&str, &str)> {
    let inner = path.strip_prefix('/')?;
    let end = inner.find('/')?;
    inner.split_at_checked(end)
}

fn prefix(path: &str) -> Option<(&'static str, Dialect, &str)> {
    let (first, rest) = split_first(path)?;
    if let Some((_, provider, dialect)) = PREFIXES.iter().find(|(name, _, _)| *name == first) {
        return Some((provider, *dialect, rest));
    }
    let row = table::row(first)?;
    Some((row.name, row.preferred(), rest))
}

/// A query without the credential that Gemini's clients may put there.
fn without_credentials(query: Option<&str>) -> Option<String> {
    let kept: Vec<&str> = query?.split('&').filter(|pair| !gemini::is_key(pair) && !pair.is_empty()).collect();
    (!kept.is_empty()).then(|| kept.join("&"))
}

fn decode(name: &str) -> Result<Cow<'_, str>, Missed> {
    let name = percent_encoding::percent_decode_str(name).decode_utf8().map_err(|_| Missed::Name)?;
    if name.chars().any(char::is_control) { Err(Missed::Name) } else { Ok(name) }
}

/// Whether a provider may read the path as one that Sluice serves: escaped, in capitals, or with a slash too many. Plugins that run on those
/// operations alone must not be avoided by another spelling.
fn is_served_elsewhere(tail: &str) -> bool {
    let decoded = percent_encoding::percent_decode_str(tail).decode_utf8_lossy().to_ascii_lowercase();
    let parts: Vec<&str> = decoded.split('/').filter(|part| !part.is_empty()).collect();
    let plain = parts.iter().fold(String::new(), |path, part| path + "/" + part);
    OPERATIONS.iter().any(|(path, _, _)| *path == plain) || gemini::is_method(&plain)
}

/// Whether every reader of the path sees it below its prefix: no part that leads up, however it is escaped, and no backslash.
fn is_clean(path: &str) -> bool {
    path.split('/').all(|part| {
        let decoded: Vec<u8> = percent_encoding::percent_decode_str(part).collect();
        let up = |piece: &[u8]| piece == b"." || piece == b"..";
        !decoded.contains(&b'\\')
            && !decoded.iter().any(u8::is_ascii_control)
            && !decoded.split(|byte| *byte == b'/').any(up)
    })
}
