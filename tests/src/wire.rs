//! Recorded exchanges of real providers, one JSON line each under `wire/`, with their source and licence.
//!
//! `wire/copy.py` chooses and copies them. Bodies are bytes here: what a case claims is about bytes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::mock::Script;

/// One recorded exchange.
#[derive(Clone, Debug)]
pub struct Case {
    /// `provider/operation/slug`.
    pub name: String,
    pub provider: String,
    /// Whether the request asked for a stream.
    pub stream: bool,
    pub tags: Vec<String>,
    /// The path and query asked, where they were kept.
    pub path: String,
    /// The request's body as recorded; empty where the source kept only the reply.
    pub request: Vec<u8>,
    pub status: u16,
    /// Names in lower case.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
    /// Lengths of the network reads, where they were recorded; they add up to the body.
    pub chunks: Vec<usize>,
}

impl Case {
    pub fn content_type(&self) -> &str {
        let default = if self.stream && self.status == 200 { "text/event-stream" } else { "application/json" };
        self.headers.get("content-type").map_or(default, String::as_str)
    }

    /// The body in its recorded pieces; in one where none were recorded.
    pub fn pieces(&self) -> Vec<&[u8]> {
        let mut rest = self.body.as_slice();
        let mut out = Vec::new();
        for length in &self.chunks {
            let (piece, after) = rest.split_at(*length);
            out.push(piece);
            rest = after;
        }
        if !rest.is_empty() {
            out.push(rest);
        }
        out
    }

    /// The recorded reply as a script: in its recorded pieces where it is a stream, else with its length.
    pub fn script(&self) -> Script {
        if self.status == 200 && self.content_type().starts_with("text/event-stream") {
            return self.pieces().iter().fold(Script::sse_head(), |script, piece| script.chunk(piece)).end_chunks();
        }
        let mut headers = vec![("content-type", self.content_type())];
        headers.extend(self.headers.get("retry-after").map(|wish| ("retry-after", wish.as_str())));
        Script::whole(self.status, &headers, &self.body)
    }
}

#[derive(Deserialize)]
struct Row {
    name: String,
    provider: String,
    operation: String,
    #[serde(default)]
    path: String,
    #[serde(default)]
    tags: Vec<String>,
    request: Box<RawValue>,
    response: Response,
}

#[derive(Deserialize)]
struct Response {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: String,
    #[serde(default)]
    chunk_lengths: Vec<usize>,
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("wire")
}

/// All chat-completions cases, by provider and name.
pub fn load() -> Vec<Case> {
    all(folder())
}

/// The cases in one folder beside them, by provider and name: `anthropic`, `responses` and `gemini` for the dialects of those names,
/// `embeddings`, `counts`, and `replies` for chat-completions replies whose request is not known.
pub fn under(name: &str) -> Vec<Case> {
    all(folder().join(name))
}

fn all(folder: PathBuf) -> Vec<Case> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .expect("the folder of recorded cases")
        .filter_map(|entry| entry.ok().map(|entry| entry.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    files.iter().flat_map(read).collect()
}

/// The cases of one provider.
pub fn of(provider: &str) -> Vec<Case> {
    read(&folder().join(format!("{provider}.jsonl")))
}

/// Recorded answers to `GET .../models`, of several providers and shapes.
pub fn lists() -> Vec<Case> {
    read(&folder().join("lists/models.jsonl"))
}

fn read(path: &PathBuf) -> Vec<Case> {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let parse = |line: &str| -> Case {
        let row: Row = serde_json::from_str(line).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let headers =
            row.response.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
        let case = Case {
            name: row.name,
            provider: row.provider,
            stream: row.operation.ends_with("-stream"),
            tags: row.tags,
            path: row.path,
            request: Some(row.request.get()).filter(|body| *body != "null").unwrap_or_default().as_bytes().to_vec(),
            status: row.response.status,
            headers,
            body: row.response.body.into_bytes(),
            chunks: row.response.chunk_lengths,
        };
        assert!(case.chunks.iter().sum::<usize>() <= case.body.len(), "{}: chunks longer than the body", case.name);
        case
    };
    text.lines().map(parse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn at_least_twelve_providers_with_sound_cases() {
        let cases = load();
        let providers: std::collections::BTreeSet<&str> = cases.iter().map(|case| case.provider.as_str()).collect();
        assert!(providers.len() >= 12, "{providers:?}");
        assert!(cases.iter().any(|case| case.chunks.len() > 1));
        for case in &cases {
            assert_eq!(case.pieces().concat(), case.body, "{}", case.name);
            crate::json::members(&case.request);
        }
    }

    #[test]
    fn every_dialect_with_streams_and_errors() {
        for (folder, least) in
            [("anthropic", 170), ("responses", 280), ("gemini", 190), ("counts", 20), ("embeddings", 60)]
        {
            let cases = under(folder);
            assert!(cases.len() >= least, "{folder}: {}", cases.len());
            assert!(
                cases.iter().all(|case| case.path.starts_with('/') && case.pieces().concat() == case.body),
                "{folder}"
            );
        }
        for folder in ["anthropic", "responses", "gemini", "replies"] {
            assert!(under(folder).iter().any(|case| case.stream && case.status == 200), "{folder}");
        }
    }
}
