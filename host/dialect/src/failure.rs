//! The one failure type of a call.
//!
//! Whoever first knows that a call has failed says here who is to blame, whether another attempt can help, what the client may read and
//! what only the log needs. Later code reads these fields and never guesses from a message. It is not for failures of start-up or
//! configuration, which never reach a client.

use std::borrow::Cow;
use std::time::Duration;

use bytes::Bytes;

use crate::Dialect;

/// Who caused the failure. Sent to the client as `x-sluice-error-source`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    Client,
    Provider,
    Gateway,
    Plugin,
}

impl Blame {
    pub fn as_str(self) -> &'static str {
        match self {
            Blame::Client => "client",
            Blame::Provider => "provider",
            Blame::Gateway => "gateway",
            Blame::Plugin => "plugin",
        }
    }
}

/// Whether another attempt may help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    No,
    SameTarget,
    NextTarget,
}

/// What kind of failure it is, whatever a dialect calls it. Each dialect has words for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The request is wrong.
    Invalid,
    /// The credentials are.
    Auth,
    /// They are good, and not for this.
    Permission,
    /// No such model, path or object.
    NotFound,
    /// The prompt does not fit into the model.
    ContextLength,
    /// The body is too large.
    TooLarge,
    /// A filter of the provider refuses the content.
    ContentFilter,
    /// The account is out of money or of its quota.
    Quota,
    /// Too fast; a later try may pass.
    RateLimit,
    /// The provider has no room.
    Overloaded,
    /// The model or the provider cannot do what was asked.
    Unsupported,
    Timeout,
    Server,
}

impl Class {
    pub const ALL: [Class; 13] = [
        Class::Invalid,
        Class::Auth,
        Class::Permission,
        Class::NotFound,
        Class::ContextLength,
        Class::TooLarge,
        Class::ContentFilter,
        Class::Quota,
        Class::RateLimit,
        Class::Overloaded,
        Class::Unsupported,
        Class::Timeout,
        Class::Server,
    ];
}

/// A provider's error reply as it came, for a client of the same dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Original {
    pub dialect: Dialect,
    /// A JSON object in that dialect's shape, without secrets, addresses and traces.
    pub body: Bytes,
}

/// A failed call: rendered by the client's dialect (`openai_chat::error::render`), logged by the gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    pub blame: Blame,
    pub retry: Retry,
    /// HTTP status, 400 to 599.
    pub status: u16,
    /// OpenAI's `type`, e.g. `invalid_request_error`.
    pub kind: Cow<'static, str>,
    /// OpenAI's `code`; `None` is sent as null.
    pub code: Option<Cow<'static, str>>,
    /// The request field at fault, where one is.
    pub param: Option<Cow<'static, str>>,
    /// For the client: what happened and what to do. Never a secret, an address or a provider's HTML.
    pub message: String,
    /// For the log alone; empty where `message` says it all.
    pub detail: String,
    /// The provider's or our own wish, sent as `retry-after` in whole seconds.
    pub retry_after: Option<Duration>,
    /// Where whoever found the failure knows; else it follows from the status.
    pub class: Option<Class>,
    /// The provider's own words, where they may pass as they are.
    pub original: Option<Box<Original>>,
    /// Headers that travel with the refusal (`retry-after` as the provider spelt it, a denial's `x-` headers).
    pub headers: Vec<(String, String)>,
}

impl Failure {
    pub fn new(
        blame: Blame,
        status: u16,
        kind: &'static str,
        code: &'static str,
        message: impl Into<String>,
    ) -> Failure {
        Failure {
            blame,
            retry: Retry::No,
            status,
            kind: Cow::Borrowed(kind),
            code: Some(Cow::Borrowed(code)),
            param: None,
            message: message.into(),
            detail: String::new(),
            retry_after: None,
            class: None,
            original: None,
            headers: Vec::new(),
        }
    }

    /// What kind of failure this is.
    pub fn class(&self) -> Class {
        self.class.unwrap_or(match self.status {
            401 => Class::Auth,
            402 => Class::Quota,
            403 => Class::Permission,
            404 => Class::NotFound,
            408 | 504 => Class::Timeout,
            413 => Class::TooLarge,
            429 => Class::RateLimit,
            503 | 529 => Class::Overloaded,
            501 => Class::Unsupported,
            500.. => Class::Server,
            _ => Class::Invalid,
        })
    }

    #[must_use]
    pub fn with_class(mut self, class: Class) -> Failure {
        self.class = Some(class);
        self
    }

    /// The client sent something that cannot be served: 400.
    pub fn invalid(code: &'static str, message: impl Into<String>) -> Failure {
        Failure::new(Blame::Client, 400, "invalid_request_error", code, message)
    }

    /// The provider answered with something that is not a reply: 502.
    pub fn bad_gateway(code: &'static str, message: impl Into<String>) -> Failure {
        Failure::new(Blame::Provider, 502, "server_error", code, message).with_retry(Retry::NextTarget)
    }

    /// A deadline of the provider's side passed: 504.
    pub fn timeout(code: &'static str, message: impl Into<String>) -> Failure {
        Failure::new(Blame::Provider, 504, "server_error", code, message).with_retry(Retry::NextTarget)
    }

    /// Sluice itself cannot serve now: 503 with a `retry-after`.
    pub fn overloaded(message: impl Into<String>) -> Failure {
        let mut failure = Failure::new(Blame::Gateway, 503, "server_error", "overloaded", message);
        failure.retry_after = Some(Duration::from_secs(1));
        failure
    }

    #[must_use]
    pub fn with_retry(mut self, retry: Retry) -> Failure {
        self.retry = retry;
        self
    }

    #[must_use]
    pub fn with_param(mut self, param: &'static str) -> Failure {
        self.param = Some(Cow::Borrowed(param));
        self
    }

    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Failure {
        self.detail = detail.into();
        self
    }
}
