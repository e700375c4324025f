//! The configuration as the user writes it.
//!
//! The doc comments here are the reference that users read (`docs/config.md` is made from them), and the types' schema is what the file
//! is checked against, so a field exists in one place only. Everything is optional to serde: what must be present is marked
//! `required` for the checker, which reports all that is missing at once. Nothing here is used after `resolve`.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use schemars::JsonSchema;

pub(super) use super::scalar::{DurationText, MomentText, Named, OneOrMany, RateText, SecretText, SizeText};

mod health;
mod providers;
mod routes;

pub(super) use health::*;
pub(super) use providers::*;
pub(super) use routes::*;

/// The whole of `sluice.yaml`. Every section is optional.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct File {
    /// How clients reach Sluice.
    pub(super) server: Server,
    /// How Sluice reaches the network.
    pub(super) network: Network,
    /// Who serves models, by a name of your choice that models are called under: `NAME/MODEL`. A provider whose key is
    /// in the environment is on without an entry.
    pub(super) providers: Named<Provider>,
    /// What is known of models, over the built-in catalog, by `PROVIDER/MODEL`.
    pub(super) catalog: Named<CatalogEntry>,
    /// Other names for models: `fast: openai/gpt-4o-mini`. An alias may name another alias.
    pub(super) aliases: Named<String>,
    /// Names that clients call as a model, and the targets each leads to: fallbacks, shares, rules.
    pub(super) routes: Named<Route>,
    /// Virtual keys: the keys that clients present to Sluice.
    pub(super) keys: Vec<ClientKey>,
    /// Teams by name: what all keys of a team have in common. With this section, a key's `team` must be one of them.
    pub(super) teams: Named<Team>,
    /// Where plugins are and how they run.
    pub(super) plugins: Plugins,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Server {
    /// Addresses to listen on, one or a list: `127.0.0.1:8080`, `"[::1]:8080"`, `0.0.0.0:8080`.
    pub(super) listen: OneOrMany<String>,
    /// The certificate that clients are shown; every address then speaks `https` and nothing else. Without it: plain HTTP.
    pub(super) tls: Option<ServerTls>,
    /// Who may call. Without it: `keys` where `keys:` has entries or an address beyond loopback is listened on, else anonymous calls
    /// are taken on loopback.
    pub(super) clients: Option<Clients>,
    /// Further `Host` names that anonymous callers may use, beside localhost and loopback addresses.
    pub(super) names: Vec<String>,
    /// The token for the admin API.
    pub(super) admin_token: Option<SecretText>,
    /// Threads that serve calls, from 1 to 1024. Without it: one per core.
    #[schemars(range(min = 1, max = 1024))]
    pub(super) threads: Option<u32>,
    /// Calls in flight at once; further ones get a 503.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(super) max_calls: u32,
    /// Connections of clients at once; further ones wait until others close.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub(super) max_connections: u32,
    /// Limits on what a client sends.
    pub(super) limits: ServerLimits,
    /// Whether replies carry `x-sluice-plugins`, the receipt of the plugins that ran.
    pub(super) plugin_header: bool,
    /// Whether replies carry `x-sluice-attempts`: each attempt's target, name of the provider's key, ending and time.
    pub(super) attempts_header: bool,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            listen: OneOrMany(vec!["127.0.0.1:8080".to_owned(), "[::1]:8080".to_owned()]),
            tls: None,
            clients: None,
            names: Vec::new(),
            admin_token: None,
            threads: None,
            max_calls: 10_000,
            max_connections: 16_384,
            limits: ServerLimits::default(),
            plugin_header: false,
            attempts_header: false,
        }
    }
}

/// Both files are followed: a renewed certificate is shown from the next connection on, and open ones stay as they are.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServerTls {
    /// A PEM file with the certificate, then its intermediates; relative to this file.
    #[schemars(extend("x-required" = true))]
    pub(super) cert: Option<String>,
    /// The certificate's private key in PEM, not encrypted.
    #[schemars(extend("x-required" = true))]
    pub(super) key: Option<SecretText>,
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Clients {
    /// Every call needs a virtual key.
    Keys,
    /// Everyone who reaches an address may call.
    Open,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ServerLimits {
    /// Time for a request's head, from its first byte.
    pub(super) head: DurationText,
    /// Size of a request's head, at least 8KiB.
    pub(super) head_size: SizeText,
    /// Time for a request's body.
    pub(super) body: DurationText,
    /// Size of a request's body, decoded; larger ones get a 413.
    pub(super) body_size: SizeText,
    /// How long a connection without a call is kept.
    pub(super) idle: DurationText,
    /// How long a client may take no byte of a reply that waits for it.
    pub(super) stall: DurationText,
    /// How long a stop waits for calls in flight.
    pub(super) shutdown: DurationText,
}

impl Default for ServerLimits {
    fn default() -> Self {
        ServerLimits {
            head: DurationText::seconds(10),
            head_size: SizeText(64 << 10),
            body: DurationText::seconds(60),
            body_size: SizeText(64 << 20),
            idle: DurationText::seconds(75),
            stall: DurationText::seconds(60),
            shutdown: DurationText::seconds(30),
        }
    }
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Network {
    /// An `http://` or `https://` proxy for all calls to providers. Without it: `HTTPS_PROXY`, `HTTP_PROXY` or `ALL_PROXY` of the
    /// environment.
    pub(super) proxy: Option<String>,
    /// Hosts reached without the proxy: `*`, a name (its subdomains too), an address or a network such as `10.0.0.0/8`, each with an
    /// optional port. Without it: `NO_PROXY` of the environment.
    pub(super) no_proxy: Option<Vec<String>>,
    /// PEM files of certificate authorities to trust beside the system's. Without it: `SSL_CERT_FILE` of the environment.
    pub(super) ca: Option<Vec<String>>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
#[schemars(extend("x-one-of" = ["value", "hash"]))]
pub(super) struct ClientKey {
    /// Its name in logs and metrics, unique.
    #[schemars(extend("x-required" = true))]
    pub(super) name: Option<String>,
    /// The key. Either this or `hash`.
    pub(super) value: Option<SecretText>,
    /// `sha256:` and the key's SHA-256 digest in 64 hexadecimal digits, so that the file holds no secret.
    #[schemars(regex(pattern = r"^sha256:[0-9a-fA-F]{64}$"))]
    pub(super) hash: Option<String>,
    /// A second key that serves as well, while clients move from one to the other: a secret, or `sha256:` and its digest.
    pub(super) also: Option<SecretText>,
    /// The team it belongs to.
    pub(super) team: Option<String>,
    /// The user it belongs to.
    pub(super) user: Option<String>,
    /// Names and values that plugins and logs see.
    pub(super) labels: Named<String>,
    /// The model names its calls may use; `*` stands for any text. Without it and `routes`: all.
    pub(super) models: Vec<String>,
    /// The routes its calls may use, by name; `*` stands for any text. A key with `routes` and no `models` may use nothing else.
    pub(super) routes: Vec<String>,
    /// Its last day, in UTC, or the moment from which it is refused. Without it: never.
    pub(super) expires: Option<MomentText>,
    /// Whether it serves; `false` refuses its calls and keeps its place.
    pub(super) enabled: bool,
    /// Calls in a time, from 1/day: all of them at once or spread, and then as they come back.
    pub(super) rate: Option<RateText>,
    /// Tokens in a time: a call takes what its prompt is estimated at, and is set right by what was really used.
    pub(super) tokens: Option<RateText>,
}

impl Default for ClientKey {
    fn default() -> Self {
        ClientKey {
            name: None,
            value: None,
            hash: None,
            also: None,
            team: None,
            user: None,
            labels: Named::default(),
            models: Vec::new(),
            routes: Vec::new(),
            expires: None,
            enabled: true,
            rate: None,
            tokens: None,
        }
    }
}

/// What counts for all keys of a team. A call must pass the key's limits and lists and the team's.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Team {
    /// Labels of all its keys; a key's own label of the same name goes before.
    pub(super) labels: Named<String>,
    /// The model names that calls of its keys may use. Without it and `routes`: all.
    pub(super) models: Vec<String>,
    /// The routes that calls of its keys may use. A team with `routes` and no `models` may use nothing else.
    pub(super) routes: Vec<String>,
    /// Calls in a time, of all its keys together.
    pub(super) rate: Option<RateText>,
    /// Tokens in a time, of all its keys together.
    pub(super) tokens: Option<RateText>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Plugins {
    /// The watched directory of `.wasm` files, relative to this file.
    pub(super) dir: String,
    /// Plugins without which the gateway is not ready.
    pub(super) required: Vec<String>,
    /// Plugins by name. The same block may be in `NAME.yaml` beside `NAME.wasm` instead; both for one name is an error.
    pub(super) chain: Named<PluginBlock>,
}

impl Default for Plugins {
    fn default() -> Self {
        Plugins { dir: "plugins".to_owned(), required: Vec::new(), chain: Named::default() }
    }
}

/// One plugin's block.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PluginBlock {
    /// The component's file in the plugin directory. Without it: `NAME.wasm`.
    #[schemars(regex(pattern = r"^[^./\\][^/\\]*\.wasm$"))]
    pub(super) component: Option<String>,
    /// Its place in the chain: requests pass in rising order, replies in falling order, equal ones by name.
    pub(super) order: i32,
    /// Whether it runs.
    pub(super) enabled: bool,
    /// What its failure means. Without it: `closed` for a plugin that can deny or rewrite, `open` for one that observes.
    pub(super) on_error: Option<OnError>,
    /// How a plugin that reads only whole replies meets streams. Without it: `hold` where `on_error` is `closed`, else `skip`.
    pub(super) streams: Option<Streams>,
    /// The calls that it runs on: everything given must fit. Without it: every call.
    #[serde(rename = "match")]
    pub(super) matching: Match,
    /// What it may do beyond its call; it gets nothing that is not named here.
    pub(super) grants: Grants,
    /// When to stop running a plugin that keeps failing.
    pub(super) breaker: Breaker,
    /// Settings for the plugin, as it documents them.
    pub(super) settings: Option<Json>,
    /// What it may use.
    pub(super) limits: PluginLimits,
}

impl Default for PluginBlock {
    fn default() -> Self {
        PluginBlock {
            component: None,
            order: 100,
            enabled: true,
            on_error: None,
            streams: None,
            matching: Match::default(),
            grants: Grants::default(),
            breaker: Breaker::default(),
            settings: None,
            limits: PluginLimits::default(),
        }
    }
}

/// Each field is a pattern or a list of patterns, in which `*` stands for any text; one of a list is enough.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Match {
    /// The model as the client wrote it, or as the `provider/model` that this leads to, before any plugin changes it. A call that
    /// names no model fits nothing, or `PROVIDER/*` on a provider's own path.
    pub(super) model: Option<OneOrMany<String>>,
    /// What the call asks for: `chat`, `embeddings`, `count-tokens`, or of what passes raw `audio`, `batches`, `completions`, `files`,
    /// `images`, `moderations`, `rerank` and, for everything else, `raw`. A plugin that is `on_error: closed` and reads requests or replies
    /// refuses raw calls, which it cannot read, unless it runs on other operations only.
    pub(super) operation: Option<OneOrMany<String>>,
    /// The name of the caller's virtual key. An anonymous call does not fit, not even `*`.
    pub(super) key: Option<OneOrMany<String>>,
    /// The team of the caller's key.
    pub(super) team: Option<OneOrMany<String>>,
    /// Labels of the caller's key, by name.
    pub(super) label: Named<OneOrMany<String>>,
    /// The client's request headers, by name; `*` fits any that is sent. Clients choose their headers: a policy that must not be avoided
    /// goes by `key`, `team` or `label`.
    pub(super) header: Named<OneOrMany<String>>,
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Grants {
    /// A store of its own for keys and values, in memory; `kv: {}` grants it with its defaults.
    pub(super) kv: Option<KvGrant>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct KvGrant {
    /// What all keys and values together may take, from 64KiB to 1GiB, at 192 bytes an entry beside its key and value. At the limit, what
    /// has expired goes first, then the least recently used of the values that were set; what was counted or swapped is the last to go
    /// while it takes less than half.
    pub(super) max: SizeText,
}

impl Default for KvGrant {
    fn default() -> Self {
        KvGrant { max: SizeText(16 << 20) }
    }
}

/// While it is open, hooks of the plugin are not run; each counts as a failure of kind `breaker_open`, and `on_error` says what that
/// means. After a pause single hooks are tried; three good ones close it.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Breaker {
    /// Whether it is there at all.
    pub(super) enabled: bool,
    /// It opens when more than this share of the hooks failed, in percent, from 1 to 99.
    #[schemars(range(min = 1, max = 99))]
    pub(super) errors: u32,
    /// Hooks that must have run before it opens, from 1 to 100000.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) min: u32,
    /// How far back hooks count, from 100ms to 10m.
    pub(super) window: DurationText,
    /// How long it stays open before a hook is tried, from 10ms to 60s; doubles up to 60s as long as the tried one fails.
    pub(super) pause: DurationText,
}

impl Default for Breaker {
    fn default() -> Self {
        Breaker {
            enabled: true,
            errors: 50,
            min: 20,
            window: DurationText::seconds(10),
            pause: DurationText::seconds(5),
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnError {
    /// The call is refused.
    Closed,
    /// The call goes on without it.
    Open,
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Streams {
    /// The reply is held until it is whole and checked.
    Hold,
    /// Streams pass unchecked.
    Skip,
    /// Streamed calls are refused.
    Refuse,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct PluginLimits {
    /// Time for one hook.
    pub(super) wall: DurationText,
    /// Time for one `on-delta`.
    pub(super) delta: DurationText,
    /// Time to start and configure an instance.
    pub(super) start: DurationText,
    /// Memory of one instance, from 1MiB to 4GiB.
    pub(super) memory: SizeText,
    /// Hooks running at once, from 1 to 100000.
    #[schemars(range(min = 1, max = 100_000))]
    pub(super) concurrency: u32,
}

impl Default for PluginLimits {
    fn default() -> Self {
        PluginLimits {
            wall: DurationText::milliseconds(50),
            delta: DurationText::milliseconds(10),
            start: DurationText::seconds(1),
            memory: SizeText(64 << 20),
            concurrency: 64,
        }
    }
}
