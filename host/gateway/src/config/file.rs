//! The configuration as the user writes it.
//!
//! The doc comments here are the reference that users read (`docs/config.md` is made from them), and the types' schema is what the file
//! is checked against, so a field exists in one place only. Everything is optional to serde: what must be present is marked
//! `required` for the checker, which reports all that is missing at once. Nothing here is used after `resolve`.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use schemars::JsonSchema;

pub(super) use super::scalar::{DurationText, Named, OneOrMany, SecretText, SizeText};

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
    /// Virtual keys: the keys that clients present to Sluice.
    pub(super) keys: Vec<ClientKey>,
    /// Where plugins are and how they run.
    pub(super) plugins: Plugins,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Server {
    /// Addresses to listen on, one or a list: `127.0.0.1:8080`, `"[::1]:8080"`, `0.0.0.0:8080`.
    pub(super) listen: OneOrMany<String>,
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
}

impl Default for Server {
    fn default() -> Self {
        Server {
            listen: OneOrMany(vec!["127.0.0.1:8080".to_owned(), "[::1]:8080".to_owned()]),
            clients: None,
            names: Vec::new(),
            admin_token: None,
            threads: None,
            max_calls: 10_000,
            max_connections: 16_384,
            limits: ServerLimits::default(),
            plugin_header: false,
        }
    }
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
pub(super) struct Provider {
    /// The wire format it speaks. Needed, unless the name or `like` is a built-in provider's, which may speak several; written beside
    /// these, it is the only one.
    pub(super) dialect: Option<Dialect>,
    /// The built-in provider whose dialects, address, way of sending keys and other particulars are taken where this entry has none.
    pub(super) like: Option<String>,
    /// The address that calls are appended to, with or without `/v1`, just as the provider documents it:
    /// `http://10.0.0.5:8000/v1`. Needed, unless the name or `like` is a built-in provider's.
    #[schemars(regex(pattern = r"^https?://"))]
    pub(super) base_url: Option<String>,
    /// The provider's keys, each a secret or a mapping. Without it, a built-in provider takes its key from the environment; `[]`
    /// sends none.
    pub(super) keys: Option<Vec<ProviderKeyEntry>>,
    /// Models it serves, so that `/v1` finds them by their bare names and lists them even when the provider's own list cannot be had.
    pub(super) models: Vec<String>,
    /// Whether to ask for the usage of streams whose client did not ask; the client does not see it.
    pub(super) meter: bool,
    /// What happens to parameters of a translated call that the model cannot be told.
    pub(super) params: Params,
    /// Where in Azure it is, for `azure` and what is like it.
    pub(super) azure: Option<Azure>,
    /// Where in Google Cloud it is, for `vertex` and what is like it.
    pub(super) vertex: Option<Vertex>,
    /// Further headers of every request to it; values may be secrets.
    pub(super) headers: Named<SecretText>,
    /// How long to wait for it.
    pub(super) timeouts: Timeouts,
    /// Limits on what it sends.
    pub(super) limits: ProviderLimits,
}

impl Default for Provider {
    fn default() -> Self {
        Provider {
            dialect: None,
            like: None,
            base_url: None,
            keys: None,
            models: Vec::new(),
            meter: true,
            params: Params::Warn,
            azure: None,
            vertex: None,
            headers: Named::default(),
            timeouts: Timeouts::default(),
            limits: ProviderLimits::default(),
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(super) enum Params {
    /// They are left out, and named in the header `x-sluice-lost` and the log.
    Warn,
    /// They are left out, and named in the log alone.
    Drop,
    /// The call is refused, unless they are mere hints.
    Reject,
}

impl From<Params> for sluice_dialect::hub::Policy {
    fn from(params: Params) -> Self {
        match params {
            Params::Warn => sluice_dialect::hub::Policy::Warn,
            Params::Drop => sluice_dialect::hub::Policy::Drop,
            Params::Reject => sluice_dialect::hub::Policy::Reject,
        }
    }
}

/// What is not given is as the catalog has it, else unknown. Prices are dollars for a million tokens.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct CatalogEntry {
    /// Tokens that the model takes.
    pub(super) context_window: Option<u64>,
    /// The most tokens that it writes.
    pub(super) max_output: Option<u64>,
    /// Whether it takes `temperature`, `top_p` and `top_k`.
    pub(super) sampling: Option<bool>,
    /// Whether it can be asked to reason.
    pub(super) reasoning: Option<bool>,
    /// Of tokens of the prompt.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) input_price: Option<f64>,
    /// Of tokens read from the provider's cache.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) cache_read_price: Option<f64>,
    /// Of tokens written to it.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) cache_write_price: Option<f64>,
    /// Of tokens of the reply, reasoning included.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) output_price: Option<f64>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Azure {
    /// The resource's name, of which the address is made; `base_url` in its place is for other addresses.
    pub(super) resource: Option<String>,
    /// The version of the older form of addresses, with deployments in them. Without it: Azure's `v1`, which needs none.
    pub(super) api_version: Option<String>,
    /// Deployments by the model names that clients say; a name that is not here is a deployment's own.
    pub(super) deployments: Named<String>,
    /// The tenant of Microsoft Entra, for a token in place of a key. With `client_id` and `client_secret`.
    pub(super) tenant_id: Option<String>,
    /// The application's id there.
    pub(super) client_id: Option<String>,
    /// The application's secret.
    pub(super) client_secret: Option<SecretText>,
    /// Where tokens are asked for.
    #[schemars(regex(pattern = r"^https?://"))]
    pub(super) authority: String,
}

impl Default for Azure {
    fn default() -> Self {
        Azure {
            resource: None,
            api_version: None,
            deployments: Named::default(),
            tenant_id: None,
            client_id: None,
            client_secret: None,
            authority: "https://login.microsoftonline.com".to_owned(),
        }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Vertex {
    /// The project that calls are made in. Without it: the service account's own.
    pub(super) project: Option<String>,
    /// The region, or `global`.
    pub(super) location: String,
    /// The file of a service account, relative to this file. Without it: the file that `GOOGLE_APPLICATION_CREDENTIALS` of the environment
    /// names, else the identity of this machine or cluster (workload identity), which the metadata server knows.
    pub(super) credentials: Option<String>,
    /// The metadata server's name and port. Without it: Google's.
    pub(super) metadata_host: Option<String>,
}

impl Default for Vertex {
    fn default() -> Self {
        Vertex { project: None, location: "us-central1".to_owned(), credentials: None, metadata_host: None }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Dialect {
    /// OpenAI's chat completions.
    OpenaiChat,
    /// OpenAI's Responses.
    OpenaiResponses,
    /// Anthropic's Messages.
    Anthropic,
    /// Gemini's generateContent.
    Gemini,
}

impl From<Dialect> for sluice_dialect::Dialect {
    fn from(dialect: Dialect) -> Self {
        match dialect {
            Dialect::OpenaiChat => sluice_dialect::Dialect::OpenaiChat,
            Dialect::OpenaiResponses => sluice_dialect::Dialect::OpenaiResponses,
            Dialect::Anthropic => sluice_dialect::Dialect::Anthropic,
            Dialect::Gemini => sluice_dialect::Dialect::Gemini,
        }
    }
}

/// A provider's key: a secret alone or with its particulars.
#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub(super) enum ProviderKeyEntry {
    Secret(SecretText),
    Full(ProviderKey),
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ProviderKey {
    /// Its name in logs and metrics. Without it: the variable it comes from, or `key-1`, `key-2`.
    pub(super) name: Option<String>,
    /// The key.
    #[schemars(extend("x-required" = true))]
    pub(super) value: Option<SecretText>,
    /// Its share of the calls beside the other keys, above 0 and up to 1000000.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(super) weight: f64,
    /// The models it may be used for; `*` stands for any text. Without it: all.
    pub(super) models: Vec<String>,
}

impl Default for ProviderKey {
    fn default() -> Self {
        ProviderKey { name: None, value: None, weight: 1.0, models: Vec::new() }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Timeouts {
    /// Until the connection stands, TLS included.
    pub(super) connect: DurationText,
    /// Until the reply's headers. A whole reply's headers come after its last word, so this is also how long it may be generated.
    pub(super) headers: DurationText,
    /// Until a stream's first content; comments, pings and role chunks are not content.
    pub(super) first_token: DurationText,
    /// Between two pieces of a stream's content.
    pub(super) idle: DurationText,
    /// For the whole attempt.
    pub(super) total: DurationText,
    /// For the body of a whole reply, from its headers.
    pub(super) reply_body: DurationText,
    /// For the body of an error reply, from its headers.
    pub(super) error_body: DurationText,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: DurationText::seconds(5),
            headers: DurationText::seconds(300),
            first_token: DurationText::seconds(120),
            idle: DurationText::seconds(30),
            total: DurationText::seconds(600),
            reply_body: DurationText::seconds(120),
            error_body: DurationText::seconds(5),
        }
    }
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct ProviderLimits {
    /// A whole reply, decoded.
    pub(super) reply_size: SizeText,
    /// One event of a stream.
    pub(super) event_size: SizeText,
    /// How much of an error reply is read.
    pub(super) error_size: SizeText,
    /// What is held of a reply until a plugin releases it.
    pub(super) hold_size: SizeText,
}

impl Default for ProviderLimits {
    fn default() -> Self {
        ProviderLimits {
            reply_size: SizeText(64 << 20),
            event_size: SizeText(1 << 20),
            error_size: SizeText(64 << 10),
            hold_size: SizeText(1 << 20),
        }
    }
}

#[derive(Default, Serialize, Deserialize, JsonSchema)]
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
    /// The team it belongs to.
    pub(super) team: Option<String>,
    /// The user it belongs to.
    pub(super) user: Option<String>,
    /// Names and values that plugins and logs see.
    pub(super) labels: Named<String>,
    /// The model names its calls may use; `*` stands for any text. Without it: all.
    pub(super) models: Vec<String>,
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
