//! `azure:` and `vertex:` of a provider: where in a cloud it is, and how it gets its tokens.

use std::path::Path;

use serde_json::Value;

use crate::config::error::At;
use crate::config::file;
use crate::config::resolved::{Place, TokenSource};
use crate::config::secret::Secret;
use crate::providers::table::{Auth, Row};

use super::Context;

/// What a cloud's section comes to.
#[derive(Default)]
pub(super) struct Cloud {
    pub(super) place: Option<Place>,
    pub(super) tokens: Option<TokenSource>,
    pub(super) deployments: Vec<(String, String)>,
    /// The address that follows from it, where none is written.
    pub(super) base_url: Option<String>,
}

/// The file that Google's own libraries read.
const GOOGLE_FILE: &str = "GOOGLE_APPLICATION_CREDENTIALS";
const GOOGLE_METADATA: &str = "metadata.google.internal";
const GOOGLE_TOKENS: &str = "https://oauth2.googleapis.com/token";

impl Context<'_> {
    /// `row`: the built-in provider that the entry is like. `keyed`: the entry has keys of its own.
    pub(super) fn cloud(
        &mut self,
        azure: Option<file::Azure>,
        vertex: Option<file::Vertex>,
        row: Option<&'static Row>,
        keyed: bool,
        at: At<'_>,
    ) -> Cloud {
        let auth = row.map(|row| row.auth);
        for (section, written, wanted) in
            [("azure", azure.is_some(), Auth::ApiKey), ("vertex", vertex.is_some(), Auth::Google)]
        {
            if written && auth != Some(wanted) {
                let message = format!("`{section}` belongs to a provider that is `{section}` or like it");
                self.report.suggest(at.name(section).place(), message, format!("add `like: {section}`"));
            }
        }
        match auth {
            Some(Auth::ApiKey) => self.azure(azure.unwrap_or_default(), at.key("azure")),
            Some(Auth::Google) => self.vertex(vertex.unwrap_or_default(), keyed, at.key("vertex")),
            _ => Cloud::default(),
        }
    }

    fn azure(&mut self, written: file::Azure, at: At<'_>) -> Cloud {
        let file::Azure { resource, api_version, deployments, tenant_id, client_id, client_secret, authority } =
            written;
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
        for (name, text) in [("resource", &resource), ("api_version", &api_version), ("tenant_id", &tenant_id)] {
            if text.as_deref().is_some_and(|text| !plain(text)) {
                self.report.error(at.key(name).place(), "expected letters, digits, `-`, `.` and `_`");
            }
        }
        let tokens = match (tenant_id, client_id, client_secret) {
            (None, None, None) => None,
            (Some(tenant), Some(client_id), Some(secret)) => {
                let secret = self.secret(&secret.0, at.key("client_secret")).map(|(secret, _)| secret);
                let authority = authority.trim_end_matches('/').to_owned();
                secret.map(|secret| TokenSource::Entra { authority, tenant, client_id, secret })
            }
            _ => {
                let message = "a token of Entra needs `tenant_id`, `client_id` and `client_secret`";
                self.report.error(at.place(), message);
                None
            }
        };
        Cloud {
            place: Some(Place::Azure { api_version }),
            tokens,
            deployments: deployments.0,
            base_url: resource.map(|resource| format!("https://{resource}.openai.azure.com")),
        }
    }

    fn vertex(&mut self, written: file::Vertex, keyed: bool, at: At<'_>) -> Cloud {
        let file::Vertex { project, location, credentials, metadata_host } = written;
        let plain =
            |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-.:_".contains(&b));
        let mut account = None;
        if let Some(path) = &credentials {
            account = self.service_account(path, at.key("credentials"));
        } else if let Some(path) = (self.env)(GOOGLE_FILE).filter(|path| !path.trim().is_empty() && !keyed) {
            account = self.service_account(path.trim(), at);
        }
        let (tokens, own) = account.map_or((None, None), |(tokens, own)| (Some(tokens), own));
        let project = project.or(own);
        let found = match project {
            Some(project) if plain(&project) && plain(&location) => Some(project),
            Some(_) => {
                self.report
                    .error(at.place(), "expected letters, digits, `-`, `.`, `:` and `_` in `project` and `location`");
                None
            }
            None => {
                let message = "Vertex needs the project that calls are made in";
                self.report.suggest(at.place(), message, "add `vertex: { project: NAME }`");
                None
            }
        };
        let host = if location == "global" {
            "aiplatform.googleapis.com".to_owned()
        } else {
            format!("{location}-aiplatform.googleapis.com")
        };
        let machine = || TokenSource::Metadata { host: metadata_host.unwrap_or_else(|| GOOGLE_METADATA.to_owned()) };
        Cloud {
            place: found.map(|project| Place::Vertex { project, location }),
            tokens: if keyed { tokens } else { Some(tokens.unwrap_or_else(machine)) },
            deployments: Vec::new(),
            base_url: Some(format!("https://{host}")),
        }
    }

    /// The account that a file of Google's describes, and its project.
    fn service_account(&mut self, path: &str, at: At<'_>) -> Option<(TokenSource, Option<String>)> {
        let path = path.strip_prefix("file:").unwrap_or(path).trim();
        let shown = self.dir.join(Path::new(path)).display().to_string();
        let (text, _) = self.secret(&format!("file:{path}"), at)?;
        let document: Value = serde_json::from_str(text.expose()).unwrap_or(Value::Null);
        let word = |name: &str| document.get(name).and_then(Value::as_str).map(str::to_owned);
        let (Some(email), Some(key)) = (word("client_email"), word("private_key")) else {
            let message = format!("{shown} is no file of a service account: it has no client_email or no private_key");
            self.report.suggest(at.place(), message, "create a key of the account in JSON");
            return None;
        };
        let token_uri = word("token_uri").unwrap_or_else(|| GOOGLE_TOKENS.to_owned());
        Some((TokenSource::ServiceAccount { email, key: Secret::new(key), token_uri }, word("project_id")))
    }
}
