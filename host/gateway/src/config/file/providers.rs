//! The part of the file that says who serves models.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{DurationText, Health, Named, SecretText, SizeText};

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Provider {
    /// The wire format it speaks. Needed, unless the name or `like` is a built-in provider's, which may speak several; written beside
    /// these, it is the only one.
    pub(in crate::config) dialect: Option<Dialect>,
    /// The built-in provider whose dialects, address, way of sending keys and other particulars are taken where this entry has none.
    pub(in crate::config) like: Option<String>,
    /// The address that calls are appended to, with or without `/v1`, just as the provider documents it:
    /// `http://10.0.0.5:8000/v1`. Needed, unless the name or `like` is a built-in provider's.
    #[schemars(regex(pattern = r"^https?://"))]
    pub(in crate::config) base_url: Option<String>,
    /// The provider's keys, each a secret or a mapping. Without it, a built-in provider takes its key from the environment; `[]`
    /// sends none.
    pub(in crate::config) keys: Option<Vec<ProviderKeyEntry>>,
    /// Models it serves, so that `/v1` finds them by their bare names and lists them even when the provider's own list cannot be had.
    pub(in crate::config) models: Vec<String>,
    /// Whether to ask for the usage of streams whose client did not ask; the client does not see it.
    pub(in crate::config) meter: bool,
    /// What happens to parameters of a translated call that the model cannot be told.
    pub(in crate::config) params: Params,
    /// Where in Azure it is, for `azure` and what is like it.
    pub(in crate::config) azure: Option<Azure>,
    /// Where in Google Cloud it is, for `vertex` and what is like it.
    pub(in crate::config) vertex: Option<Vertex>,
    /// Names and values of your choice that routes and plugins choose it by: `{ region: eu }`.
    pub(in crate::config) labels: Named<String>,
    /// Further headers of every request to it; values may be secrets.
    pub(in crate::config) headers: Named<SecretText>,
    /// The version of HTTP that it is called by.
    pub(in crate::config) http: Http,
    /// How long to wait for it.
    pub(in crate::config) timeouts: Timeouts,
    /// Limits on what it sends, and on how much it is asked at once.
    pub(in crate::config) limits: ProviderLimits,
    /// When its targets are left out because calls to them fail.
    pub(in crate::config) health: Health,
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
            labels: Named::default(),
            headers: Named::default(),
            http: Http::Auto,
            timeouts: Timeouts::default(),
            limits: ProviderLimits::default(),
            health: Health::default(),
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
pub(in crate::config) enum Http {
    /// With `https`, HTTP/2 where the provider speaks it; else HTTP/1.1.
    #[serde(rename = "auto")]
    Auto,
    /// HTTP/1.1.
    #[serde(rename = "1")]
    One,
    /// HTTP/2, also over `http://`, for servers that are known to speak it.
    #[serde(rename = "2")]
    Two,
}

impl From<Http> for crate::config::resolved::Http {
    fn from(http: Http) -> Self {
        match http {
            Http::Auto => crate::config::resolved::Http::Auto,
            Http::One => crate::config::resolved::Http::One,
            Http::Two => crate::config::resolved::Http::Two,
        }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub(in crate::config) enum Params {
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
pub(in crate::config) struct CatalogEntry {
    /// Tokens that the model takes.
    pub(in crate::config) context_window: Option<u64>,
    /// The most tokens that it writes.
    pub(in crate::config) max_output: Option<u64>,
    /// Whether it takes `temperature`, `top_p` and `top_k`.
    pub(in crate::config) sampling: Option<bool>,
    /// Whether it takes pictures. A target that lacks what a call needs is left out of its route.
    pub(in crate::config) vision: Option<bool>,
    /// Whether it takes tools.
    pub(in crate::config) tools: Option<bool>,
    /// Whether it takes recordings.
    pub(in crate::config) audio: Option<bool>,
    /// Whether it answers by a JSON schema.
    pub(in crate::config) json_schema: Option<bool>,
    /// Whether it can be asked to reason.
    pub(in crate::config) reasoning: Option<bool>,
    /// Of tokens of the prompt.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(in crate::config) input_price: Option<f64>,
    /// Of tokens read from the provider's cache.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(in crate::config) cache_read_price: Option<f64>,
    /// Of tokens written to it.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(in crate::config) cache_write_price: Option<f64>,
    /// Of tokens of the reply, reasoning included.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(in crate::config) output_price: Option<f64>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Azure {
    /// The resource's name, of which the address is made; `base_url` in its place is for other addresses.
    pub(in crate::config) resource: Option<String>,
    /// The version of the older form of addresses, with deployments in them. Without it: Azure's `v1`, which needs none.
    pub(in crate::config) api_version: Option<String>,
    /// Deployments by the model names that clients say; a name that is not here is a deployment's own.
    pub(in crate::config) deployments: Named<String>,
    /// The tenant of Microsoft Entra, for a token in place of a key. With `client_id` and `client_secret`.
    pub(in crate::config) tenant_id: Option<String>,
    /// The application's id there.
    pub(in crate::config) client_id: Option<String>,
    /// The application's secret.
    pub(in crate::config) client_secret: Option<SecretText>,
    /// Where tokens are asked for.
    #[schemars(regex(pattern = r"^https?://"))]
    pub(in crate::config) authority: String,
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
pub(in crate::config) struct Vertex {
    /// The project that calls are made in. Without it: the service account's own.
    pub(in crate::config) project: Option<String>,
    /// The region, or `global`.
    pub(in crate::config) location: String,
    /// The file of a service account, relative to this file. Without it: the file that `GOOGLE_APPLICATION_CREDENTIALS` of the environment
    /// names, else the identity of this machine or cluster (workload identity), which the metadata server knows.
    pub(in crate::config) credentials: Option<String>,
    /// The metadata server's name and port. Without it: Google's.
    pub(in crate::config) metadata_host: Option<String>,
}

impl Default for Vertex {
    fn default() -> Self {
        Vertex { project: None, location: "us-central1".to_owned(), credentials: None, metadata_host: None }
    }
}

#[derive(Clone, Copy, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(in crate::config) enum Dialect {
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
pub(in crate::config) enum ProviderKeyEntry {
    Secret(SecretText),
    Full(ProviderKey),
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct ProviderKey {
    /// Its name in logs and metrics. Without it: the variable it comes from, or `key-1`, `key-2`.
    pub(in crate::config) name: Option<String>,
    /// The key.
    #[schemars(extend("x-required" = true))]
    pub(in crate::config) value: Option<SecretText>,
    /// Its share of the calls beside the other keys, above 0 and up to 1000000.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(in crate::config) weight: f64,
    /// The models it may be used for; `*` stands for any text. Without it: all.
    pub(in crate::config) models: Vec<String>,
    /// Whether calls may use it.
    pub(in crate::config) enabled: bool,
    /// How many calls use it at once.
    pub(in crate::config) limits: KeyLimits,
}

impl Default for ProviderKey {
    fn default() -> Self {
        ProviderKey {
            name: None,
            value: None,
            weight: 1.0,
            models: Vec::new(),
            enabled: true,
            limits: KeyLimits::default(),
        }
    }
}

/// Calls of all threads together, of one process. A call counts from its request to its last byte.
#[derive(Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct KeyLimits {
    /// Calls that use it at once, from 1 to 1000000. Without it: any number.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) calls: Option<u32>,
    /// Further calls that wait for one of these to end, in their order; what comes then is refused with a 503. Needs `calls`. Without it: 64.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(in crate::config) queue: Option<u32>,
    /// How long they wait before they are refused. Needs `calls`. Without it: 1s.
    pub(in crate::config) wait: Option<DurationText>,
}

#[derive(Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(in crate::config) struct Timeouts {
    /// Until the connection stands, TLS included.
    pub(in crate::config) connect: DurationText,
    /// Until the reply's headers. A whole reply's headers come after its last word, so this is also how long it may be generated.
    pub(in crate::config) headers: DurationText,
    /// Until a stream's first content; comments, pings and role chunks are not content.
    pub(in crate::config) first_token: DurationText,
    /// Between two pieces of a stream's content.
    pub(in crate::config) idle: DurationText,
    /// For the whole attempt.
    pub(in crate::config) total: DurationText,
    /// For the body of a whole reply, from its headers.
    pub(in crate::config) reply_body: DurationText,
    /// For the body of an error reply, from its headers.
    pub(in crate::config) error_body: DurationText,
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
pub(in crate::config) struct ProviderLimits {
    /// A whole reply, decoded.
    pub(in crate::config) reply_size: SizeText,
    /// One event of a stream.
    pub(in crate::config) event_size: SizeText,
    /// How much of an error reply is read.
    pub(in crate::config) error_size: SizeText,
    /// What is held of a reply until a plugin releases it.
    pub(in crate::config) hold_size: SizeText,
    /// Calls to it at once, of all threads together, from 1 to 1000000; each counts from its request to its last byte. Without it: any
    /// number.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub(in crate::config) calls: Option<u32>,
    /// Further calls that wait for one of these to end, in their order; what comes then is refused with a 503. Needs `calls`. Without it: 64.
    #[schemars(range(min = 0, max = 1_000_000))]
    pub(in crate::config) queue: Option<u32>,
    /// How long they wait before they are refused. Needs `calls`. Without it: 1s.
    pub(in crate::config) wait: Option<DurationText>,
}

impl Default for ProviderLimits {
    fn default() -> Self {
        ProviderLimits {
            reply_size: SizeText(64 << 20),
            event_size: SizeText(1 << 20),
            error_size: SizeText(64 << 10),
            hold_size: SizeText(1 << 20),
            calls: None,
            queue: None,
            wait: None,
        }
    }
}
