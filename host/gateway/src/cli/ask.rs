//! Asking a running gateway, for the commands that show what it does: its address, the admin token, and what to say where it does not answer.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderMap, StatusCode};
use reqwest::redirect::Policy;
use rustls::ClientConfig;
use serde_json::Value;

use crate::config::Secret;
use crate::providers::client::describe;
use crate::providers::tls;

/// The gateway does not answer.
const NOT_REACHABLE: u8 = 1;
/// It cannot be asked this way: a malformed address, no token or another one.
const REFUSED: u8 = 2;

const TOKEN: &str = "SLUICE_ADMIN_TOKEN";
/// A gateway that takes longer is as good as gone.
const LIMIT: Duration = Duration::from_secs(10);
/// Bytes; the last calls are at most a few megabytes.
const LARGEST: usize = 64 << 20;

#[derive(Args, Debug)]
pub struct Ask {
    /// The gateway's address.
    #[arg(long, env = "SLUICE_URL", default_value = "http://127.0.0.1:8080", value_name = "URL")]
    url: String,
    /// A file with the admin token, for a gateway that has one; else it is taken from the variable SLUICE_ADMIN_TOKEN.
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// A PEM file with the authority of the gateway's certificate, or with the certificate itself, to be believed beside the system's.
    #[arg(long, env = "SLUICE_CA", value_name = "FILE")]
    ca: Option<PathBuf>,
    /// JSON, as the admin API gives it.
    #[arg(long)]
    pub json: bool,
}

/// Why there is no answer, for the person who asked.
#[derive(Debug)]
pub enum Trouble {
    /// Nobody listens, or nothing came in time; it may be back soon.
    NotReachable(String),
    Refused(String),
}

impl Trouble {
    /// Says it on standard error.
    pub fn exit(&self) -> ExitCode {
        let (Trouble::NotReachable(text) | Trouble::Refused(text)) = self;
        eprintln!("{text}");
        ExitCode::from(if matches!(self, Trouble::NotReachable(_)) { NOT_REACHABLE } else { REFUSED })
    }
}

/// Whom the commands believe by `--ca`: the system's authorities, and those of the file.
fn believing(file: &Path) -> Result<ClientConfig, Trouble> {
    let trust = tls::trust(&[file.to_owned()]).map_err(Trouble::Refused)?;
    Ok(ClientConfig::clone(&trust))
}

/// One gateway that is asked, and the runtime it is asked on.
pub struct Asker {
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
    base: String,
    has_token: bool,
}

impl Asker {
    pub fn new(ask: &Ask) -> Result<Asker, Trouble> {
        let base = base(&ask.url)?;
        let mut headers = HeaderMap::new();
        let token = token(ask)?;
        let has_token = token.is_some();
        if let Some(token) = token {
            headers.insert(AUTHORIZATION, token);
        }
        // The token is not carried to wherever a redirect leads.
        let client = reqwest::Client::builder().default_headers(headers).redirect(Policy::none()).timeout(LIMIT);
        let client = if is_local(&base) { client.no_proxy() } else { client };
        let client = match &ask.ca {
            Some(file) => client.tls_backend_preconfigured(believing(file)?),
            None => client,
        };
        let client = client.build().map_err(|error| Trouble::Refused(format!("the HTTP client: {error}")))?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Trouble::Refused(format!("the runtime: {error}")))?;
        Ok(Asker { client, runtime, base, has_token })
    }

    pub fn base(&self) -> &str {
        &self.base
    }

    /// The JSON document at `path`.
    ///
    /// # Errors
    /// When the gateway cannot be reached, or does not want to say.
    pub fn get(&self, path: &str) -> Result<Value, Trouble> {
        self.document(path, None)
    }

    /// The JSON document with which the gateway answers this question.
    ///
    /// # Errors
    /// As [`Asker::get`].
    pub fn post(&self, path: &str, question: &Value) -> Result<Value, Trouble> {
        self.document(path, Some(question))
    }

    fn document(&self, path: &str, question: Option<&Value>) -> Result<Value, Trouble> {
        match self.answer(path, question)? {
            (StatusCode::OK, Some(document)) => Ok(document),
            (StatusCode::UNAUTHORIZED, _) if self.has_token => {
                Err(Trouble::Refused(format!("{} does not take that admin token.", self.base)))
            }
            (StatusCode::UNAUTHORIZED, _) => Err(Trouble::Refused(format!(
                "{} needs its admin token: put it into the variable {TOKEN}, or name a file with --token-file FILE.",
                self.base
            ))),
            (StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND, Some(document)) if is_told(&document) => {
                Err(Trouble::Refused(document["error"]["message"].as_str().unwrap_or_default().to_owned()))
            }
            (status, document) => Err(self.strange(path, status, document)),
        }
    }

    /// Whether it takes calls; `Some` says why not. Needs no token.
    ///
    /// # Errors
    /// When the gateway cannot be reached, or something else answers.
    pub fn why_not_ready(&self) -> Result<Option<String>, Trouble> {
        let path = "/readyz";
        match self.answer(path, None)? {
            (StatusCode::OK, Some(document)) if document["status"] == "ready" => Ok(None),
            (StatusCode::SERVICE_UNAVAILABLE, Some(document)) if document["reason"].is_string() => {
                Ok(Some(document["reason"].as_str().unwrap_or_default().to_owned()))
            }
            (status, document) => Err(self.strange(path, status, document)),
        }
    }

    fn strange(&self, path: &str, status: StatusCode, document: Option<Value>) -> Trouble {
        let said = document.and_then(|document| document["error"]["message"].as_str().map(str::to_owned));
        let said = said.unwrap_or_else(|| "is it a Sluice of this version?".to_owned());
        Trouble::Refused(format!("{}{path} answered {}: {said}", self.base, status.as_u16()))
    }

    fn answer(&self, path: &str, question: Option<&Value>) -> Result<(StatusCode, Option<Value>), Trouble> {
        let url = format!("{}{path}", self.base);
        let request = match question {
            None => self.client.get(url),
            Some(question) => self.client.post(url).header(CONTENT_TYPE, "application/json").body(question.to_string()),
        };
        let (status, body) = self.runtime.block_on(async {
            let mut reply = request.send().await.map_err(|error| self.gone(&error))?;
            let mut body = Vec::new();
            while let Some(part) = reply.chunk().await.map_err(|error| self.gone(&error))? {
                body.extend_from_slice(&part);
                if body.len() > LARGEST {
                    return Err(Trouble::Refused(format!("{} sends more than an answer: is it a Sluice?", self.base)));
                }
            }
            Ok((reply.status(), body))
        })?;
        Ok((status, serde_json::from_slice::<Value>(&body).ok()))
    }

    fn gone(&self, error: &reqwest::Error) -> Trouble {
        let why = if error.is_timeout() { "nothing came in time" } else { "no connection" };
        if self.base.starts_with("https:") && error.is_connect() {
            return Trouble::NotReachable(format!(
                "no gateway answers at {}: {}. If its certificate is not one that the system believes, name its file with --ca FILE.",
                self.base,
                describe(error)
            ));
        }
        Trouble::NotReachable(format!(
            "no gateway answers at {} ({why}). Start one with `sluice`, or name another address with --url.",
            self.base
        ))
    }
}

/// The gateway says what is wrong with the question, which is not that it knows no such page.
fn is_told(document: &Value) -> bool {
    document["error"]["message"].is_string() && document["error"]["code"] != "unknown_path"
}

/// The address without what may stand behind it: people paste the base URL that they gave to an application.
fn base(url: &str) -> Result<String, Trouble> {
    let wrong = || Trouble::Refused(format!("`{url}` is no address of a gateway: write it as http://127.0.0.1:8080"));
    let whole = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let parsed = reqwest::Url::parse(&whole).map_err(|_| wrong())?;
    let plain = parsed.username().is_empty() && parsed.password().is_none() && parsed.query().is_none();
    if !plain || !matches!(parsed.scheme(), "http" | "https") || !parsed.has_host() {
        return Err(wrong());
    }
    let base = whole.trim_end_matches('/');
    Ok(base.strip_suffix("/v1").unwrap_or(base).to_owned())
}

/// A proxy has no way to this machine's own addresses.
fn is_local(base: &str) -> bool {
    let host = reqwest::Url::parse(base).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || bare.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

fn token(ask: &Ask) -> Result<Option<http::HeaderValue>, Trouble> {
    let (text, from) = match &ask.token_file {
        Some(file) => {
            let text = std::fs::read_to_string(file)
                .map_err(|error| Trouble::Refused(format!("{} cannot be read: {error}", file.display())))?;
            (text, file.display().to_string())
        }
        None => match std::env::var(TOKEN) {
            Ok(text) => (text, TOKEN.to_owned()),
            Err(_) => return Ok(None),
        },
    };
    let text = text.trim();
    if text.is_empty() {
        return Err(Trouble::Refused(format!("{from} is empty: it should hold the admin token")));
    }
    let value = Secret::new(format!("Bearer {text}")).header();
    value.map(Some).ok_or_else(|| Trouble::Refused(format!("{from} holds what cannot be an admin token")))
}

/// Writes to standard output; false when its reader has gone, which is a reason to stop and no failure.
pub fn put(text: &str) -> bool {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn takes_addresses_as_people_write_them() {
        for (written, meant) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
            ("http://gateway:8080/v1", "http://gateway:8080"),
            ("https://sluice.example/v1/", "https://sluice.example"),
            ("localhost:8080", "http://localhost:8080"),
            ("https://corp.example/ai", "https://corp.example/ai"),
        ] {
            assert_eq!(base(written).unwrap(), meant, "{written}");
        }
        for wrong in ["", "ftp://a", "http://", "http://user:secret@host", "http://a?x=1"] {
            assert!(matches!(base(wrong), Err(Trouble::Refused(_))), "{wrong}");
        }
    }

    #[test]
    fn this_machine_is_asked_without_a_proxy() {
        for (base, local) in [
            ("http://127.0.0.1:8080", true),
            ("http://localhost", true),
            ("http://[::1]:8080", true),
            ("http://10.0.0.1:8080", false),
            ("https://localhost.example", false),
        ] {
            assert_eq!(is_local(base), local, "{base}");
        }
    }
}
