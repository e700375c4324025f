//! Paths that carry the model and the method: Gemini's, and those of Vertex, where Anthropic's models are called the same way.

use sluice_dialect::Dialect;
use sluice_dialect::dialect::Said;

use super::{Missed, decode};
use crate::exchange::{Operation, Road};

/// A path of this form, read.
pub(super) struct Found {
    operation: Method,
    dialect: Dialect,
    said: Said,
    /// The path names a Google Cloud project, so it is Vertex's.
    vertex: bool,
}

enum Method {
    Chat,
    CountTokens,
    Embeddings,
}

const METHODS: &[(&str, Method, Dialect, bool)] = &[
    ("generateContent", Method::Chat, Dialect::Gemini, false),
    ("streamGenerateContent", Method::Chat, Dialect::Gemini, true),
    ("countTokens", Method::CountTokens, Dialect::Gemini, false),
    ("embedContent", Method::Embeddings, Dialect::Gemini, false),
    ("batchEmbedContents", Method::Embeddings, Dialect::Gemini, false),
    ("rawPredict", Method::Chat, Dialect::Anthropic, false),
    ("streamRawPredict", Method::Chat, Dialect::Anthropic, true),
];

/// `tail` is what follows prefix and version: `/models/NAME:METHOD`, where the name may hold slashes, or `/NAME:METHOD`, which some
/// clients make of a name with a slash. `None` where the path ends in no method of this table.
pub(super) fn find(tail: &str, query: Option<&str>) -> Option<Result<Found, Missed>> {
    let (name, method) = tail.rsplit_once(':')?;
    let (_, operation, dialect, stream) = METHODS.iter().find(|(known, ..)| *known == method)?;
    let name = name.trim_start_matches('/');
    let project = name.starts_with("projects/");
    let publisher = name.split_once("publishers/").and_then(|(_, rest)| rest.split_once('/'));
    // Without a publisher a project's path leads to an endpoint of its owner, whose name is all of it.
    let model = match publisher.filter(|_| project || name.starts_with("publishers/")) {
        Some((_, model)) => model.strip_prefix("models/").unwrap_or(model),
        None => name.strip_prefix("models/").unwrap_or(name),
    };
    if model.is_empty() {
        return Some(Err(Missed::Path));
    }
    let operation = match operation {
        Method::Chat => Method::Chat,
        Method::CountTokens => Method::CountTokens,
        Method::Embeddings => Method::Embeddings,
    };
    let sse = query.is_some_and(|query| query.split('&').any(|pair| pair.eq_ignore_ascii_case("alt=sse")));
    Some(decode(model).map(|model| {
        let said = Said { model: Some(model.into_owned()), stream: *stream, sse };
        Found { operation, dialect: *dialect, said, vertex: project }
    }))
}

/// Whether a path in small letters ends in a method of the table.
pub(super) fn is_method(path: &str) -> bool {
    let method = path.rsplit_once(':').map(|(_, method)| method.trim());
    method.is_some_and(|method| METHODS.iter().any(|(known, ..)| known.eq_ignore_ascii_case(method)))
}

pub(super) fn road(found: Found, road: Road) -> Result<Road, Missed> {
    let operation = match found.operation {
        Method::Chat => Operation::Chat,
        Method::CountTokens => Operation::CountTokens,
        Method::Embeddings => Operation::Embeddings,
    };
    let provider = if found.vertex && road.provider != Some("vertex") { Some("vertex") } else { road.provider };
    Ok(Road { operation, dialect: found.dialect, said: found.said, provider, ..road })
}

/// The key that a query carries, decoded.
pub(super) fn key(query: Option<&str>) -> Option<Vec<u8>> {
    let pair = query?.split('&').find(|pair| is_key(pair))?;
    let (_, value) = pair.split_once('=')?;
    (!value.is_empty()).then(|| percent_encoding::percent_decode_str(value).collect())
}

/// Whether the query carries a key, as Gemini's older clients send it.
pub(super) fn has_key(query: Option<&str>) -> bool {
    query.is_some_and(|query| query.split('&').any(is_key))
}

pub(super) fn is_key(pair: &str) -> bool {
    pair.split_once('=').map_or(pair, |(name, _)| name).eq_ignore_ascii_case("key")
}
