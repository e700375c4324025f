//! Where requests to a provider go: its address with what its row says for the dialect, or with the client's own path.

use http::Uri;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use sluice_dialect::Dialect;

use super::table::Auth;
use crate::config;
use crate::config::Place;
use crate::exchange::split_version;

/// What stands in a model's name as it is. A slash or a colon would change the path's meaning.
const NAME: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@');

/// The addresses of one provider.
pub struct Addresses {
    chat: Vec<(Dialect, Chat)>,
    /// As configured, without a trailing slash.
    base: String,
    /// What stands before a raw path without a version, for providers with paths of their own.
    raw: String,
    /// The client's version counts, since the provider has several beside each other (Anthropic, Gemini); elsewhere it is part of the address.
    versions: bool,
}

/// Where one dialect is spoken.
enum Chat {
    /// The same for every call.
    Fixed(Uri),
    /// With the model, and perhaps the method, in it.
    Each(String),
}

impl Addresses {
    /// # Errors
    /// An address that is none.
    pub fn new(provider: &config::Provider) -> Result<Addresses, String> {
        let base = provider.base.to_string();
        let place = provider.place.as_ref();
        let mut chat = Vec::with_capacity(provider.dialects.len());
        for (dialect, template) in &provider.dialects {
            let text = place.map_or_else(|| join(&base, template), |place| place.chat(&base, *dialect, template));
            let one = if text.contains('{') {
                Chat::Each(text)
            } else {
                let uri =
                    text.parse().map_err(|error| format!("the address of provider `{}`: {error}", provider.name))?;
                Chat::Fixed(uri)
            };
            chat.push((*dialect, one));
        }
        let versions = matches!(provider.dialects.first(), Some((Dialect::Anthropic | Dialect::Gemini, _)));
        let raw = place.map_or_else(|| base.clone(), |place| place.raw(&base));
        Ok(Addresses { chat, base, raw, versions })
    }

    /// `None` for what is no address, and for a dialect that is not spoken.
    pub fn chat(&self, dialect: Dialect, model: &str, stream: bool, query: Option<&str>) -> Option<Uri> {
        let (_, chat) = self.chat.iter().find(|(spoken, _)| *spoken == dialect)?;
        let text = match chat {
            Chat::Fixed(uri) if query.is_none() => return Some(uri.clone()),
            Chat::Fixed(uri) => uri.to_string(),
            Chat::Each(template) => filled(template, dialect, model, stream)?,
        };
        let gemini = dialect == Dialect::Gemini;
        // Azure's version is of the address that the row makes, not of the client's.
        let kept = query
            .into_iter()
            .flat_map(|query| query.split('&'))
            .filter(|pair| !(pair.starts_with("api-version=") || (gemini && says_alt(pair))));
        let own = (gemini && stream).then_some("alt=sse");
        with_query(text, own.into_iter().chain(kept)).parse().ok()
    }

    /// Another method of a Gemini model.
    pub fn method(&self, model: &str, method: &str) -> Option<Uri> {
        let (_, Chat::Each(template)) = self.chat.iter().find(|(spoken, _)| *spoken == Dialect::Gemini)? else {
            return None;
        };
        filled(&template.replace("{method}", method), Dialect::Gemini, model, false)?.parse().ok()
    }

    /// An operation of OpenAI's format beside chat, which stands where chat does.
    pub fn operation(&self, path: &str, model: &str, query: Option<&str>) -> Option<Uri> {
        const CHAT: &str = "/chat/completions";
        let deployment = self.chat.iter().find_map(|(dialect, chat)| match chat {
            Chat::Each(template) if *dialect == Dialect::OpenaiChat => Some(template.replace(CHAT, path)),
            _ => None,
        });
        match deployment {
            Some(template) => filled(&template, Dialect::OpenaiChat, model, false)?.parse().ok(),
            None => self.raw(path, query),
        }
    }

    /// Below the address of a dialect that is the same for every call.
    pub fn below(&self, dialect: Dialect, path: &str, query: Option<&str>) -> Option<Uri> {
        let (_, Chat::Fixed(uri)) = self.chat.iter().find(|(spoken, _)| *spoken == dialect)? else { return None };
        with_query(format!("{uri}{path}"), query.into_iter().flat_map(|query| query.split('&'))).parse().ok()
    }

    /// `path` begins with a slash and perhaps a version.
    pub fn raw(&self, path: &str, query: Option<&str>) -> Option<Uri> {
        let (version, tail) = split_version(path);
        if let Some((deployment, tail)) = tail.strip_prefix("/deployments/").and_then(|rest| rest.split_once('/')) {
            // The older form of Azure's addresses, whose version is the client's; elsewhere there are no deployments.
            let text = match self.raw.strip_suffix("/openai/v1") {
                Some(root) => format!("{root}/openai/deployments/{deployment}/{tail}"),
                None => format!("{}/{tail}", self.raw),
            };
            return with_query(text, query.into_iter().flat_map(|query| query.split('&'))).parse().ok();
        }
        let text = if self.versions && !version.is_empty() {
            format!("{}{path}", without_version(&self.base))
        } else {
            format!("{}{tail}", self.raw)
        };
        with_query(text, query.into_iter().flat_map(|query| query.split('&'))).parse().ok()
    }
}

/// Where a provider lists its models; `None` where it has no such list.
pub fn listing(provider: &config::Provider) -> Option<String> {
    let base = provider.base.to_string();
    match (provider.auth, provider.dialects.first()?.0) {
        (Auth::Google, _) => None,
        (Auth::ApiKey, _) => Some(join(&base, "/openai/v1/models")),
        (_, Dialect::Anthropic) => Some(join(&base, "/v1/models?limit=1000")),
        (_, Dialect::Gemini) => Some(join(&base, "/v1beta/models?pageSize=1000")),
        _ => Some(format!("{base}/models")),
    }
}

fn filled(template: &str, dialect: Dialect, model: &str, stream: bool) -> Option<String> {
    let method = match (dialect, stream) {
        (Dialect::Gemini, false) => "generateContent",
        (Dialect::Gemini, true) => "streamGenerateContent",
        (_, false) => "rawPredict",
        (_, true) => "streamRawPredict",
    };
    if model.is_empty() || model == "." || model == ".." {
        return None;
    }
    // A tuned model's name has its collection in front, in place of `models`.
    let (template, model) = match model.strip_prefix("tunedModels/") {
        Some(tuned) => (template.replace("/models/{model}", "/tunedModels/{model}"), tuned),
        None => (template.to_owned(), model.strip_prefix("models/").unwrap_or(model)),
    };
    Some(template.replace("{method}", method).replace("{model}", &utf8_percent_encode(model, NAME).to_string()))
}

fn says_alt(pair: &str) -> bool {
    let name = pair.split('=').next().unwrap_or_default();
    name == "alt" || name == "$alt"
}

fn with_query<'a>(mut text: String, pairs: impl Iterator<Item = &'a str>) -> String {
    for pair in pairs.filter(|pair| !pair.is_empty()) {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.push_str(pair);
    }
    text
}

impl Place {
    fn chat(&self, base: &str, dialect: Dialect, template: &str) -> String {
        match self {
            Place::Azure { api_version: Some(version) } if dialect == Dialect::OpenaiChat => {
                let root = join(base, "/openai/v1").trim_end_matches("/v1").to_owned();
                format!("{root}/deployments/{{model}}/chat/completions?api-version={version}")
            }
            Place::Azure { .. } => join(base, template),
            Place::Vertex { project, location } => {
                join(base, &template.replace("{project}", project).replace("{location}", location))
            }
        }
    }

    fn raw(&self, base: &str) -> String {
        match self {
            Place::Azure { .. } => join(base, "/openai/v1"),
            Place::Vertex { project, location } => join(base, &format!("/v1/projects/{project}/locations/{location}")),
        }
    }
}

/// The address and what follows it, where either may hold what the other has: a version at the end of the address gives way to the one of
/// the template, and so does a part that both have (`/openai`, `/anthropic`).
fn join(base: &str, template: &str) -> String {
    let versioned = template.split('/').any(|part| !split_version(&format!("/{part}")).0.is_empty());
    if !versioned {
        return format!("{base}{template}");
    }
    let root = without_version(base);
    let first = template.trim_start_matches('/').split('/').next().unwrap_or_default();
    let root = root.strip_suffix(first).and_then(|root| root.strip_suffix('/')).unwrap_or(root);
    format!("{root}{template}")
}

/// An address without the version at its end.
fn without_version(base: &str) -> &str {
    base.rfind('/').map_or(base, |at| match split_version(base.get(at..).unwrap_or_default()) {
        ("", _) => base,
        _ => base.get(..at).unwrap_or(base),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
