//! The words of the interface as Rust types: what hooks receive and what they answer.
//!
//! Mirrors of the generated types, so that the same plugin compiles where nothing is generated. They hold data and no behaviour.

use std::fmt;

/// Who speaks in a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Instructions by the application.
    System,
    /// The person or program that asks.
    User,
    /// The model.
    Assistant,
    /// The result of a tool.
    Tool,
    /// A role this interface has no word for.
    Other,
}

/// What kind of text a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Ordinary text.
    Text,
    /// What the model thought before it answered.
    Reasoning,
    /// The model's own refusal.
    Refusal,
    /// Arguments of one tool call, as JSON source.
    ToolArguments,
    /// What a tool returned.
    ToolResult,
    /// Any other text that a model reads, such as the description of a tool.
    Other,
}

/// Severity of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The finest detail.
    Trace,
    /// For finding faults.
    Debug,
    /// Worth knowing.
    Info,
    /// Something is not as it should be.
    Warn,
    /// Something failed.
    Error,
}

/// A refusal. The gateway renders it in the client's own dialect, streamed or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// HTTP status, 400 to 599; anything else is a fault of the plugin.
    pub status: u16,
    /// A stable machine-readable word, such as `content_filter`.
    pub code: String,
    /// For the client: says what to do, never what was matched.
    pub message: String,
    /// Sent with the refusal: `retry-after` and `x-` headers only.
    pub headers: Vec<(String, String)>,
}

impl Denial {
    /// A refusal with status 400.
    pub fn new(code: impl Into<String>, message: impl Into<String>) -> Self {
        Denial { status: 400, code: code.into(), message: message.into(), headers: Vec::new() }
    }

    /// With another status, 400 to 599.
    #[must_use]
    pub fn status(mut self, status: u16) -> Self {
        self.status = status;
        self
    }

    /// With one more header: `retry-after`, or a name that begins with `x-`.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }
}

/// The plugin could not do its work; the gateway then applies the operator's `on_error`. Also what the gateway answers where a plugin
/// asks for something impossible, so that `?` passes it on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The settings cannot be used.
    InvalidConfig(String),
    /// What was handed over cannot be used: no such piece, no such place, not JSON, not an `x-` header.
    Invalid(String),
    /// The operator did not grant it.
    Denied(String),
    /// It did not answer, or not now.
    Unavailable(String),
    /// Anything else.
    Internal(String),
}

impl Fault {
    /// Settings that cannot be used: say which field, and what it should be.
    pub fn config(message: impl Into<String>) -> Self {
        Fault::InvalidConfig(message.into())
    }

    /// The plugin's own failure.
    pub fn internal(message: impl Into<String>) -> Self {
        Fault::Internal(message.into())
    }

    /// What went wrong, without its class.
    pub fn message(&self) -> &str {
        match self {
            Fault::InvalidConfig(m)
            | Fault::Invalid(m)
            | Fault::Denied(m)
            | Fault::Unavailable(m)
            | Fault::Internal(m) => m,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = match self {
            Fault::InvalidConfig(_) => "invalid settings",
            Fault::Invalid(_) => "invalid",
            Fault::Denied(_) => "not granted",
            Fault::Unavailable(_) => "unavailable",
            Fault::Internal(_) => "internal",
        };
        write!(f, "{class}: {}", self.message())
    }
}

impl std::error::Error for Fault {}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Fault::Invalid(error.to_string())
    }
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestVerdict {
    /// Go on, with the edits made.
    Pass,
    /// Refuse the call.
    Deny(Denial),
    /// Answer without a provider: a canonical reply as JSON. Streamed if the client asked for a stream.
    Answer(String),
}

impl RequestVerdict {
    /// An answer with this text as the assistant's message.
    pub fn answer_text(text: &str) -> Self {
        let message = serde_json::json!({ "role": "assistant", "content": text });
        let reply = serde_json::json!({
            "object": "chat.completion",
            "choices": [{ "index": 0, "message": message, "finish_reason": "stop" }],
        });
        RequestVerdict::Answer(reply.to_string())
    }
}

/// Which targets may serve a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteVerdict {
    /// No opinion: the next plugin is asked, and after the last one the route's own order holds.
    Pass,
    /// These, first choice first.
    Order {
        /// Places among the targets, none twice. One that is left out is not tried, whatever happens to the others; where none is in it
        /// the call is refused with 503 and the code `no_route`.
        targets: Vec<u32>,
        /// Why, in a few words: for the operator, never for the client. At most 256 bytes.
        reason: String,
    },
    /// Refuse the call.
    Deny(Denial),
}

/// What becomes of a whole reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ResponseVerdict {
    /// Go on, with the edits made.
    Pass,
    /// Give the client this refusal in place of the reply.
    Deny(Denial),
    /// Try again, within the call's attempts: at that target (`provider/model`), or at the next one.
    Retry(Option<String>),
}

/// What becomes of a window of streamed text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeltaVerdict {
    /// Release all but the last `hold` characters (Unicode scalar values). More than there are holds everything; in the last window of
    /// a part nothing is held.
    Release {
        /// Characters to hold back.
        hold: u32,
    },
    /// Release this text in place of the window's and hold back its last `hold` characters; they come again at the start of the next
    /// window.
    Replace {
        /// The new text, held part included.
        text: String,
        /// Characters of `text` to hold back.
        hold: u32,
    },
    /// Release this, then end this choice with finish reason `content_filter`.
    Finish(String),
    /// End the stream with an error in the client's dialect.
    Stop(Denial),
}

impl DeltaVerdict {
    /// Release the whole window.
    pub const PASS: DeltaVerdict = DeltaVerdict::Release { hold: 0 };
}

impl From<Denial> for RequestVerdict {
    fn from(denial: Denial) -> Self {
        RequestVerdict::Deny(denial)
    }
}

impl From<Denial> for RouteVerdict {
    fn from(denial: Denial) -> Self {
        RouteVerdict::Deny(denial)
    }
}

impl From<Denial> for ResponseVerdict {
    fn from(denial: Denial) -> Self {
        ResponseVerdict::Deny(denial)
    }
}

impl From<Denial> for DeltaVerdict {
    fn from(denial: Denial) -> Self {
        DeltaVerdict::Stop(denial)
    }
}

/// Text of a reply that the client has not seen yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// Which alternative answer.
    pub choice: u32,
    /// Counts this choice's pieces in the order they began: a text, a reasoning block, one tool call.
    pub part: u32,
    /// What kind of text.
    pub kind: Kind,
    /// The tool's name, where the part is one tool call's arguments.
    pub name: Option<String>,
    /// All text not yet released, the newest at its end; for tool arguments this is JSON source.
    pub text: String,
    /// No more will come for this part.
    pub last: bool,
}
