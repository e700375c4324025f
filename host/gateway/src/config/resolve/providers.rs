//! `providers:`, the built-in rows, and the keys that the environment brings.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Uri};
use sluice_dialect::Dialect;

use crate::config::error::At;
use crate::config::file::{self, ProviderKeyEntry, SecretText};
use crate::config::resolved::{BaseUrl, CallLimits, Provider, ProviderKey, ProviderLimits, Timeouts};
use crate::config::scalar::{DurationText, Named};
use crate::config::secret::{Secret, Source};
use crate::config::tree::shorten;
use crate::providers::table::{Auth, Quirk, ROWS, Row, row, template};

use super::{Context, bytes};

/// First parts of paths that the gateway itself answers.
const RESERVED: &[&str] = &["api", "health", "livez", "mcp", "metrics", "readyz", "ui", "v1"];

/// Headers that the gateway sets itself or that belong to one connection.
const OWN_HEADERS: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

impl Context<'_> {
    pub(super) fn providers(&mut self, written: Named<file::Provider>, at: At<'_>) -> Vec<Provider> {
        let names = at.names();
        let mut out = Vec::new();
        for (name, provider) in written.0 {
            self.provider_name(&name, at.name(&name));
            out.extend(self.provider(name, provider, at));
        }
        // A provider whose address is the customer's own is on only by an entry.
        for row in ROWS.iter().filter(|row| !names.contains(&row.name) && !row.base_url.contains('{')) {
            if let Some(key) = self.environment_key(row) {
                let provider = file::Provider { like: Some(row.name.to_owned()), ..file::Provider::default() };
                let named = self.provider(row.name.to_owned(), provider, At::nowhere());
                out.extend(named.map(|provider| Provider { keys: vec![key], ..provider }));
            }
        }
        out
    }

    fn provider_name(&mut self, name: &str, at: At<'_>) {
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        let first = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        if !name.starts_with(first) || !name.chars().all(plain) || name.len() > 64 {
            let message = format!("`{}` cannot be a provider's name", shorten(name));
            self.report.suggest(at.place(), message, "use small letters, digits, `-`, `_` and `.`");
        } else if RESERVED.contains(&name) {
            let message = format!("`{name}` cannot be a provider's name: it is a path of the gateway itself");
            self.report.suggest(at.place(), message, "choose another name");
        }
    }

    fn provider(&mut self, name: String, written: file::Provider, all: At<'_>) -> Option<Provider> {
        let (at, name_at) = (all.key(&name), all.name(&name));
        let like = written.like.as_deref().map(|like| {
            let found = row(like);
            if found.is_none() {
                let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
                let at = at.key("like");
                let message = format!("there is no built-in provider `{}`", at.shown(like));
                self.report.unknown(at.place(), message, like, &known);
            }
            found
        });
        // An error at `like` explains everything that is missing.
        let excused = matches!(like, Some(None)) || at.key("like").is_broken();
        let model_row = like.flatten().or_else(|| row(&name));
        let dialects =
            self.dialects(&name, written.dialect, model_row, name_at, excused || at.key("dialect").is_broken());
        let url_at = at.key("base_url");
        let keyed = written.keys.as_ref().is_some_and(|keys| !keys.is_empty());
        let cloud = self.cloud(written.azure, written.vertex, model_row, keyed, at);
        let built_in = match &cloud.base_url {
            Some(base) => Some(base.as_str()),
            None => model_row.map(|row| row.base_url).filter(|base| !base.contains('{')),
        };
        let base = match (&written.base_url, built_in) {
            (Some(text), _) => base_url(text).map_err(|message| self.report.error(url_at.place(), message)).ok(),
            (None, Some(text)) => base_url(text).ok(),
            (None, None) => {
                if !excused && !url_at.is_broken() {
                    let message = format!("provider `{}` has no address", shorten(&name));
                    let azure = model_row.is_some_and(|row| row.auth == Auth::ApiKey);
                    let add =
                        if azure { "add `azure: { resource: NAME }`" } else { "add `base_url: http://HOST:PORT/v1`" };
                    self.report.suggest(name_at.place(), message, add);
                }
                None
            }
        };
        let own_url = written.base_url.is_some() || url_at.is_broken();
        let keys = match written.keys {
            Some(keys) => self.provider_keys(keys, at.key("keys")),
            None if at.key("keys").is_broken() => Vec::new(),
            None if cloud.tokens.is_some() => Vec::new(),
            None => self.keys_of_row(&name, model_row, own_url, name_at),
        };
        self.patterns(&written.models, at.key("models"));
        let headers = self.headers(written.headers, at.key("headers"));
        let most = &written.limits;
        let calls = self.call_limits((most.calls, most.queue, most.wait.as_ref()), at.key("limits"));
        let dialects = dialects?;
        let auth = model_row.map_or_else(|| customary(&dialects), |row| row.auth);
        let quirks = model_row.map_or(&[][..], |row| row.quirks);
        Some(Provider {
            name,
            dialects,
            base: base?,
            auth,
            quirks,
            row: model_row,
            place: cloud.place,
            tokens: cloud.tokens,
            deployments: cloud.deployments,
            catalog: Vec::new(),
            params: written.params.into(),
            keys,
            models: written.models,
            targets: Vec::new(),
            labels: Arc::new(written.labels.0.into_iter().collect()),
            meter: written.meter && !quirks.contains(&Quirk::NoStreamOptions),
            headers,
            http: written.http.into(),
            timeouts: timeouts(&written.timeouts),
            limits: limits(&written.limits),
            calls,
            health: super::health::health(&written.health, at.key("health"), self.report),
        })
    }

    fn dialects(
        &mut self,
        name: &str,
        written: Option<file::Dialect>,
        row: Option<&'static Row>,
        at: At<'_>,
        excused: bool,
    ) -> Option<Vec<(Dialect, &'static str)>> {
        if let Some(dialect) = written.map(Dialect::from) {
            let own = row.and_then(|row| row.dialects.iter().find(|(spoken, _)| *spoken == dialect));
            return Some(vec![own.copied().unwrap_or((dialect, template(dialect)))]);
        }
        if row.is_none() && !excused {
            let known: Vec<&str> = ROWS.iter().map(|row| row.name).collect();
            let message = format!("provider `{}` is not built in and has no dialect", shorten(name));
            let suggestion = match crate::config::error::nearest(name, &known) {
                Some(near) => format!("did you mean `{near}`? Else add `dialect: openai-chat`"),
                None => "add `dialect: openai-chat`".to_owned(),
            };
            self.report.suggest(at.place(), message, suggestion);
        }
        row.map(|row| row.dialects.to_vec())
    }

    /// The keys of an entry that says nothing about keys.
    fn keys_of_row(&mut self, name: &str, row: Option<&'static Row>, own_url: bool, at: At<'_>) -> Vec<ProviderKey> {
        // The environment's key goes to the built-in address, or where the operator moved the provider of that very name: never to
        // an address that merely resembles it.
        let Some(row) = row.filter(|row| !own_url || row.name == name) else { return Vec::new() };
        // An entry that the environment turned on is given its key by the caller.
        if at.is_absent() {
            return Vec::new();
        }
        let before = self.report.errors.len();
        let key = self.environment_key(row);
        if let (None, [variable, ..]) = (&key, row.key_env)
            && !own_url
            && self.report.errors.len() == before
        {
            let message = format!("provider `{name}` has no key: environment variable {variable} is not set");
            self.report.suggest(at.place(), message, format!("set {variable} or add `keys:`"));
        }
        key.into_iter().collect()
    }

    fn environment_key(&mut self, row: &Row) -> Option<ProviderKey> {
        let set = |name: &&str| (self.env)(name).map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
        let (variable, text) = row.key_env.iter().find_map(|name| Some((*name, set(name)?)))?;
        let (name, secret) = (variable.to_owned(), Secret::new(text));
        if !secret.fits_header() {
            self.report.elsewhere("environment", format!("{variable}: {UNFIT}"));
            return None;
        }
        Some(ProviderKey { name, secret, weight: 1.0, models: Vec::new(), enabled: true, calls: None })
    }

    fn provider_keys(&mut self, written: Vec<ProviderKeyEntry>, at: At<'_>) -> Vec<ProviderKey> {
        let mut seen = HashMap::new();
        let mut out = Vec::new();
        for (i, entry) in written.into_iter().enumerate() {
            let here = at.item(i);
            let (key, value_at) = match entry {
                ProviderKeyEntry::Secret(text) => {
                    (file::ProviderKey { value: Some(text), ..file::ProviderKey::default() }, here)
                }
                ProviderKeyEntry::Full(key) => (key, here.key("value")),
            };
            self.patterns(&key.models, here.key("models"));
            if key.weight <= 0.0 {
                self.report.error(here.key("weight").place(), "expected a weight above 0");
            }
            let written = &key.limits;
            let calls = self.call_limits((written.calls, written.queue, written.wait.as_ref()), here.key("limits"));
            let found = key.value.and_then(|text| self.header_secret(&text.0, value_at));
            let source_name = match &found {
                Some((_, Source::Environment(name))) if !name.is_empty() => name.clone(),
                _ => format!("key-{}", i + 1),
            };
            let name_at = if key.name.is_some() { here.key("name") } else { here };
            let name = key.name.unwrap_or(source_name);
            let new = self.unique(&mut seen, &name, "the key", name_at.place());
            if let (Some((secret, _)), true) = (found, new) {
                let (weight, models, enabled) = (key.weight, key.models, key.enabled);
                out.push(ProviderKey { name, secret, weight, models, enabled, calls });
            }
        }
        out
    }

    fn call_limits(
        &mut self,
        (calls, queue, wait): (Option<u32>, Option<u32>, Option<&DurationText>),
        at: At<'_>,
    ) -> Option<CallLimits> {
        for (name, written) in [("queue", queue.is_some()), ("wait", wait.is_some())] {
            if written && calls.is_none() && !at.key("calls").is_broken() {
                let message = format!("`{name}` says nothing without `calls`");
                self.report.suggest(at.key(name).place(), message, "add `calls: 100`");
            }
        }
        let wait = wait.map_or(Duration::from_secs(1), |wait| wait.0);
        Some(CallLimits { calls: calls?, queue: queue.unwrap_or(64), wait })
    }

    /// A secret that has to travel in a header.
    fn header_secret(&mut self, text: &str, at: At<'_>) -> Option<(Secret, Source)> {
        let (secret, source) = self.secret(text, at)?;
        if secret.fits_header() {
            return Some((secret, source));
        }
        self.report.error(at.place(), UNFIT);
        None
    }

    fn headers(&mut self, written: Named<SecretText>, at: At<'_>) -> Vec<(HeaderName, HeaderValue)> {
        let mut out: Vec<(HeaderName, HeaderValue)> = Vec::new();
        for (name, SecretText(text)) in written.0 {
            let (name_at, value_at) = (at.name(&name), at.key(&name));
            let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
                self.report.error(name_at.place(), format!("`{}` is not a header's name", shorten(&name)));
                continue;
            };
            if OWN_HEADERS.contains(&header.as_str()) {
                self.report.suggest(name_at.place(), format!("header `{header}` is set by Sluice"), "leave it out");
                continue;
            }
            if out.iter().any(|(known, _)| *known == header) {
                self.report.error(name_at.place(), format!("header `{header}` is here twice"));
                continue;
            }
            if let Some(value) = self.header_value(&header, &text, value_at) {
                out.push((header, value));
            }
        }
        out
    }

    /// Most header values are no secrets, so literals are fine here and warn of nothing.
    fn header_value(&mut self, header: &HeaderName, text: &str, at: At<'_>) -> Option<HeaderValue> {
        let value = if text.starts_with("env:") || text.starts_with("file:") {
            self.secret(text, at)?.0.header()
        } else {
            let expanded = at.written().is_some();
            HeaderValue::from_str(text).ok().map(|mut value| {
                value.set_sensitive(expanded);
                value
            })
        };
        if value.is_none() {
            self.report.error(at.place(), format!("the value does not fit into header `{header}`"));
        }
        value
    }
}

/// How keys travel where no row says it: as the format's own clients send them.
fn customary(dialects: &[(Dialect, &'static str)]) -> Auth {
    match dialects.first().map(|(dialect, _)| *dialect) {
        Some(Dialect::Anthropic) => Auth::XApiKey,
        Some(Dialect::Gemini) => Auth::XGoogApiKey,
        _ => Auth::Bearer,
    }
}

const UNFIT: &str = "the key holds a blank, a line break or a character outside ASCII, which no provider takes";

/// Reads a provider's address. Errors do not quote it: it may hold an expanded variable.
fn base_url(text: &str) -> Result<BaseUrl, String> {
    let expected = "expected an address such as `https://llm.corp/v1`";
    let (scheme, rest) = text.split_once("://").ok_or(expected)?;
    if !["http", "https"].contains(&scheme) {
        return Err(format!("{expected}, with http or https"));
    }
    if rest.contains(['?', '#']) {
        return Err(format!("{expected}, without a query or fragment"));
    }
    if rest.split('/').next().is_some_and(|authority| authority.contains('@')) {
        return Err(format!("{expected}, without a user; keys belong under `keys:`"));
    }
    let uri: Uri = text.parse().map_err(|_| expected)?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or(expected)?;
    let https = scheme == "https";
    let has_port = uri.authority().is_some_and(|authority| authority.as_str().len() > host.len());
    let port = match uri.port_u16() {
        Some(0) => return Err(format!("{expected}, with a port above 0")),
        Some(port) => port,
        None if has_port => return Err(format!("{expected}, with a port up to 65535")),
        None if https => 443,
        None => 80,
    };
    let path = uri.path().trim_end_matches('/').to_owned();
    if path.split('/').any(|part| part == "." || part == "..") {
        return Err(format!("{expected}, without `.` and `..` in its path"));
    }
    Ok(BaseUrl { https, host: host.to_ascii_lowercase(), port, path })
}

pub(in crate::config) fn timeouts(written: &file::Timeouts) -> Timeouts {
    Timeouts {
        connect: written.connect.0,
        headers: written.headers.0,
        first_token: written.first_token.0,
        idle: written.idle.0,
        total: written.total.0,
        reply_body: written.reply_body.0,
        error_body: written.error_body.0,
    }
}

pub(in crate::config) fn limits(written: &file::ProviderLimits) -> ProviderLimits {
    ProviderLimits {
        reply_size: bytes(written.reply_size),
        event_size: bytes(written.event_size),
        error_size: bytes(written.error_size),
        hold_size: bytes(written.hold_size),
    }
}
