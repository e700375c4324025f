//! The configuration as the program uses it: every default filled in, every name resolved, every secret read.
//!
//! One value of [`Config`] is one consistent whole; nothing in it refers to the file any more. All types print without secrets.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{HeaderName, HeaderValue};
use sluice_dialect::Dialect;
use sluice_dialect::hub::Policy;

use super::rate::Rate;
use super::route::Route;
use super::secret::Secret;
use crate::governance::caller::Scope;
use crate::providers::catalog::Model;
use crate::providers::table::{Auth, Quirk, Row};

pub use super::network::{Network, Proxy};

/// Credentials in client headers: no plugin reads them, and none is chosen by them.
pub const CREDENTIALS: &[&str] = &[
    "authorization",
    "proxy-authorization",
    "cookie",
    "x-api-key",
    "api-key",
    "x-goog-api-key",
    "x-sluice-key",
    "x-bf-vk",
];

/// Everything that operators declare.
#[derive(Clone, Debug)]
pub struct Config {
    pub server: Server,
    pub network: Network,
    /// In the order of the file, then those that the environment alone turned on. Names are unique.
    pub providers: Vec<Provider>,
    /// Alias and the name it finally stands for, which is no alias.
    pub aliases: Vec<(String, String)>,
    /// In the order of the file; no name is also an alias or a provider's.
    pub routes: Vec<Route>,
    /// In the order of the file; names and digests are unique.
    pub keys: Vec<ClientKey>,
    /// In the order of the file; names are unique.
    pub teams: Vec<Team>,
    pub plugins: Plugins,
    /// No file, no provider, loopback only: the built-in `echo` provider answers everything.
    pub demo: bool,
    /// The file this came from.
    pub file: Option<PathBuf>,
    /// SHA-256 (`sha256:...`) of its text.
    pub digest: Option<Arc<str>>,
    /// What works but should not stay, one line each, with its place.
    pub warnings: Vec<String>,
}

/// Who may call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clients {
    /// Calls need a virtual key. `Config::keys` may be empty: then start has to make the first one.
    Keys,
    /// Everyone who reaches an address, as the operator wrote.
    Open,
    /// Nobody said; all addresses are loopback, where anonymous calls pass under the rules for `Host` and `Origin`.
    Loopback,
}

impl Clients {
    /// Who may call where nobody said.
    pub(super) fn unwritten(keys: bool, listen: &[SocketAddr]) -> Clients {
        let local = listen.iter().all(|address| address.ip().to_canonical().is_loopback());
        if keys || !local { Clients::Keys } else { Clients::Loopback }
    }
}

#[derive(Clone, Debug)]
pub struct Server {
    /// Never empty, no duplicates.
    pub listen: Vec<SocketAddr>,
    /// Nobody chose the addresses: one of them may fail to bind (a host without IPv6) as long as another does not.
    pub default_listen: bool,
    /// Absent: plain HTTP.
    pub tls: Option<Tls>,
    pub clients: Clients,
    /// Somebody chose `clients`, so it does not follow from keys and addresses.
    pub clients_written: bool,
    /// Further names in lower case, without ports.
    pub names: Vec<String>,
    pub admin_token: Option<Secret>,
    /// From 1 to 1024.
    pub threads: usize,
    /// At least 1.
    pub max_calls: usize,
    /// At least 1.
    pub max_connections: usize,
    pub limits: ServerLimits,
    pub plugin_header: bool,
    pub attempts_header: bool,
}

/// What clients are shown on every address.
#[derive(Clone)]
pub struct Tls {
    pub show: Arc<rustls::ServerConfig>,
}

impl fmt::Debug for Tls {
    /// Neither certificate nor key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

/// Sizes in bytes.
#[derive(Clone, Copy, Debug)]
pub struct ServerLimits {
    pub head: Duration,
    /// At least 8 KiB, at most 16 MiB.
    pub head_size: usize,
    pub body: Duration,
    pub body_size: usize,
    pub idle: Duration,
    pub stall: Duration,
    pub shutdown: Duration,
}

/// Where a provider is. Operations are appended to `path`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BaseUrl {
    pub https: bool,
    /// A name or an address; IPv6 in brackets, as it stands in a URL.
    pub host: String,
    pub port: u16,
    /// Empty or beginning with a slash; never ending with one.
    pub path: String,
}

#[derive(Clone, Debug)]
pub struct Provider {
    pub name: String,
    /// What it speaks, with what follows its address for each; the preferred one first, never empty.
    pub dialects: Vec<(Dialect, &'static str)>,
    pub base: BaseUrl,
    /// How its keys travel.
    pub auth: Auth,
    /// How it differs from what its dialects say.
    pub quirks: &'static [Quirk],
    /// The built-in provider that it is, or is like.
    pub row: Option<&'static Row>,
    /// Where in a cloud it is, for those whose addresses say it.
    pub place: Option<Place>,
    /// Where its tokens come from, in place of keys.
    pub tokens: Option<TokenSource>,
    /// What the operator says of its models, complete with what the catalog says.
    pub catalog: Vec<(String, Model)>,
    /// Models and what the provider calls them.
    pub deployments: Vec<(String, String)>,
    /// What happens to parameters that it cannot be told.
    pub params: Policy,
    /// May be empty: then requests carry no credentials.
    pub keys: Vec<ProviderKey>,
    /// Models listed by the operator, for bare names and `/v1/models`.
    pub models: Vec<String>,
    /// Models that the configuration names anywhere, as the provider knows them: each is a target of its own.
    pub targets: Vec<String>,
    /// For routes: where it is, whose it is, what it may be used for.
    pub labels: Arc<BTreeMap<String, String>>,
    /// Whether usage is asked for in streams whose client did not.
    pub meter: bool,
    /// Values that came from a secret are marked sensitive.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    pub http: Http,
    pub timeouts: Timeouts,
    pub limits: ProviderLimits,
    /// `None`: any number of calls at once.
    pub calls: Option<CallLimits>,
    pub health: Health,
}

/// The version of HTTP that a provider is called by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Http {
    /// HTTP/2 where TLS finds that the provider speaks it, else HTTP/1.1.
    #[default]
    Auto,
    One,
    /// Without TLS: unasked.
    Two,
}

/// What the addresses of a cloud's provider say beside the model.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// With a version, the addresses of deployments, as Azure had them first; without, those of its `v1`.
    Azure {
        api_version: Option<String>,
    },
    Vertex {
        project: String,
        location: String,
    },
}

/// Who gives tokens, and for what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TokenSource {
    /// Microsoft Entra, to an application with a secret. `authority`: an address without a trailing slash.
    Entra { authority: String, tenant: String, client_id: String, secret: Secret },
    /// Google, to a service account that signs for itself. `key`: PEM.
    ServiceAccount { email: String, key: Secret, token_uri: String },
    /// The metadata server of a machine or a cluster of Google's.
    Metadata { host: String },
}

impl TokenSource {
    /// For records, in place of a key's name.
    pub fn name(&self) -> &'static str {
        match self {
            TokenSource::Entra { .. } => "entra",
            TokenSource::ServiceAccount { .. } => "service-account",
            TokenSource::Metadata { .. } => "metadata",
        }
    }

    /// Who does not give one, for the client.
    pub fn whose(&self) -> &'static str {
        match self {
            TokenSource::Entra { .. } => "Microsoft Entra gave none for `azure.client_id`",
            TokenSource::ServiceAccount { .. } => "Google gave none for the service account",
            TokenSource::Metadata { .. } => "this machine has no Google identity; name a service account's file",
        }
    }
}

#[derive(Clone, Debug)]
pub struct ProviderKey {
    /// Unique within the provider.
    pub name: String,
    /// Visible ASCII, so that it always makes a header value.
    pub secret: Secret,
    /// Above 0, at most 1,000,000.
    pub weight: f64,
    /// Patterns for [`super::glob`]; empty means all models.
    pub models: Vec<String>,
    /// Whether calls may use it.
    pub enabled: bool,
    /// `None`: any number of calls at once.
    pub calls: Option<CallLimits>,
}

/// Calls at once, and what happens to further ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallLimits {
    /// At least 1.
    pub calls: u32,
    /// How many more may wait.
    pub queue: u32,
    /// How long each of them may.
    pub wait: Duration,
}

#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    pub connect: Duration,
    pub headers: Duration,
    pub first_token: Duration,
    pub idle: Duration,
    pub total: Duration,
    pub reply_body: Duration,
    pub error_body: Duration,
}

/// In bytes.
#[derive(Clone, Copy, Debug)]
pub struct ProviderLimits {
    pub reply_size: usize,
    pub event_size: usize,
    pub error_size: usize,
    pub hold_size: usize,
}

/// When a target is left out, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    pub enabled: bool,
    /// At least 1.
    pub consecutive: u32,
    /// Percent, from 1 to 99: more than that is too much.
    pub errors: u32,
    /// At least 1.
    pub min: u32,
    /// From 1 s to 10 min.
    pub window: Duration,
    /// From 10 ms to 5 min.
    pub eject: Duration,
    /// At least 1 s.
    pub check: Option<Duration>,
}

/// A virtual key. Only its digest is kept.
#[derive(Clone, Debug, Default)]
pub struct ClientKey {
    pub name: String,
    /// SHA-256 of the key, and of the one that it is being changed for or from; never empty.
    pub checks: Vec<[u8; 32]>,
    /// One of [`Config::teams`], where there are any.
    pub team: Option<String>,
    pub user: Option<String>,
    /// Its own; the team's are not among them.
    pub labels: BTreeMap<String, String>,
    /// What it may ask for, its team aside.
    pub scope: Scope,
    /// From then on it is refused.
    pub expires: Option<SystemTime>,
    pub disabled: bool,
    /// Calls.
    pub rate: Option<Rate>,
    pub tokens: Option<Rate>,
}

/// What the keys of a team have in common.
#[derive(Clone, Debug, Default)]
pub struct Team {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub scope: Scope,
    /// Calls, of all keys together.
    pub rate: Option<Rate>,
    pub tokens: Option<Rate>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Plugins {
    /// May not exist.
    pub dir: PathBuf,
    pub required: Vec<String>,
    pub chain: BTreeMap<String, PluginBlock>,
    /// Each block of `chain` as it was written, in JSON: no variable is expanded, so it may be kept in a file.
    pub written: BTreeMap<String, Arc<str>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnError {
    Closed,
    Open,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    Hold,
    Skip,
    Refuse,
}

#[derive(Clone, PartialEq)]
pub struct PluginBlock {
    /// A file name ending in `.wasm`, without a directory.
    pub component: Option<String>,
    pub order: i32,
    pub enabled: bool,
    pub on_error: Option<OnError>,
    pub streams: Option<Streams>,
    pub matching: Match,
    pub grants: Grants,
    pub breaker: Option<Breaker>,
    /// JSON text. It may hold expanded variables: not for logs, and left out of `Debug`.
    pub settings: Option<String>,
    pub limits: PluginLimits,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PluginLimits {
    pub wall: Duration,
    pub delta: Duration,
    pub start: Duration,
    /// In bytes, from 1 MiB to 4 GiB.
    pub memory: usize,
    /// Hooks at once, at least 1.
    pub concurrency: usize,
}

/// The calls that a plugin runs on. Empty lists ask for nothing; what is asked for must all fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Match {
    /// Patterns for [`super::glob`], as in the other fields.
    pub model: Vec<String>,
    pub operation: Vec<String>,
    pub key: Vec<String>,
    pub team: Vec<String>,
    pub label: Vec<(String, Vec<String>)>,
    pub header: Vec<(HeaderName, Vec<String>)>,
}

impl Match {
    /// Every call fits.
    pub fn is_any(&self) -> bool {
        *self == Match::default()
    }
}

/// What an operator allows a plugin beyond its call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    pub kv: Option<KvGrant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KvGrant {
    /// In bytes, from 64 KiB to 1 GiB.
    pub max: usize,
}

/// When a plugin's circuit breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Breaker {
    /// Percent, from 1 to 99: more failed hooks than that open it.
    pub errors: u32,
    /// Hooks in the window before it may open, at least 1.
    pub min: u32,
    /// From 100 ms to 10 min.
    pub window: Duration,
    /// From 10 ms to 60 s.
    pub pause: Duration,
}

impl fmt::Debug for PluginBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PluginBlock { component, order, enabled, on_error, streams, matching, grants, breaker, settings, limits } =
            self;
        f.debug_struct("PluginBlock")
            .field("component", component)
            .field("order", order)
            .field("enabled", enabled)
            .field("on_error", on_error)
            .field("streams", streams)
            .field("match", matching)
            .field("grants", grants)
            .field("breaker", breaker)
            .field("settings", &settings.as_ref().map(|text| format!("{} bytes", text.len())))
            .field("limits", limits)
            .finish()
    }
}

impl fmt::Display for BaseUrl {
    /// As it stands before an operation's path: without a trailing slash, and without a port that the scheme implies.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BaseUrl { https, host, port, path } = self;
        let (scheme, implied) = if *https { ("https", 443) } else { ("http", 80) };
        if *port == implied {
            write!(out, "{scheme}://{host}{path}")
        } else {
            write!(out, "{scheme}://{host}:{port}{path}")
        }
    }
}

impl Default for Timeouts {
    /// What a provider gets that says nothing.
    fn default() -> Self {
        super::resolve::timeouts(&super::file::Timeouts::default())
    }
}

impl Default for ProviderLimits {
    /// What a provider gets that says nothing.
    fn default() -> Self {
        super::resolve::limits(&super::file::ProviderLimits::default())
    }
}

impl Default for Health {
    /// What a provider gets that says nothing.
    fn default() -> Self {
        super::resolve::default_health()
    }
}

impl Default for PluginBlock {
    /// What a bare `.wasm` gets.
    fn default() -> Self {
        super::resolve::default_block()
    }
}
