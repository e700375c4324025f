//! The one failure type of a call.
//!
//! Whoever first knows that a call has failed says here who is to blame, whether another attempt can help, what the client may read and
//! what only the log needs. Later code reads these fields and never guesses from a message. It is not for failures of start-up or
//! configuration, which never reach a client.

use std::borrow::Cow;
use std::time::Duration;

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
            headers: Vec::new(),
        }
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
