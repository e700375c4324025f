//! The form in which different dialects meet: a request as a [`Chat`], a whole reply as a [`Reply`], a stream as [`Delta`]s.
//!
//! Block-structured and open: what a dialect says that no other one has is kept beside (`rest`, [`Part::Foreign`], [`ToolKind::Foreign`])
//! with the dialect that it belongs to, and only that dialect's writer repeats it. A writer that cannot say something says so ([`Losses`]);
//! it never leaves a thing out in silence and never makes one up. Same dialect in and out never comes here.
//!
//! It knows no provider: what a target wants beyond its dialect are the [`Target`]'s facts.

use std::borrow::Cow;

use serde_json::{Map, Number, Value};

use crate::Dialect;

mod asked;
mod assemble;
mod delta;
mod loss;
mod opaque;
mod reply;
mod target;
mod tell;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

pub use asked::{Asked, Called};
pub use assemble::Assembler;
pub use delta::{BlockKind, Delta};
pub use loss::{Loss, Losses, Policy};
pub use opaque::{Opaque, State, is_wrapped};
pub use reply::{Choice, Finish, Reply};
pub use target::{MaxTokens, Target};
pub use tell::tell;

/// Members that only one dialect knows, with the dialect that wrote them. Empty for most things.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rest(Option<Box<(Dialect, Map<String, Value>)>>);

impl Rest {
    pub fn new(dialect: Dialect, members: Map<String, Value>) -> Rest {
        Rest((!members.is_empty()).then(|| Box::new((dialect, members))))
    }

    /// The members, for the writer of that dialect; nothing for any other.
    pub fn of(&self, dialect: Dialect) -> impl Iterator<Item = (&String, &Value)> {
        let own = self.0.as_deref().filter(|(whose, _)| *whose == dialect);
        own.into_iter().flat_map(|(_, members)| members)
    }

    /// The names of what a writer of `dialect` cannot repeat.
    pub fn foreign_to(&self, dialect: Dialect) -> impl Iterator<Item = &str> {
        let other = self.0.as_deref().filter(|(whose, _)| *whose != dialect);
        other.into_iter().flat_map(|(_, members)| members.keys().map(String::as_str))
    }

    /// One member, whoever wrote it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.as_deref()?.1.get(name)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// A request of a conversation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Chat {
    /// As the client named it; empty where it named none.
    pub model: String,
    /// In order. What stands outside the messages (`system`, `instructions`, `systemInstruction`) is the first one, of role system.
    pub turns: Vec<Turn>,
    pub tools: Vec<Tool>,
    pub choice: Option<ToolChoice>,
    /// Whether the model may make several calls at once.
    pub parallel: Option<bool>,
    pub params: Params,
    pub reasoning: Option<Thinking>,
    pub output: Option<Output>,
    pub stream: bool,
    /// Usage was asked for in a stream; dialects that always report it say true.
    pub stream_usage: bool,
    /// Top-level members that only the client's dialect has.
    pub rest: Rest,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    System,
    /// Instructions of an application, between system and user; the system's where a dialect has only that.
    Developer,
    User,
    Assistant,
    /// Holds only [`Part::Result`]s. One turn may hold several; neighbouring ones belong together.
    Tool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Turn {
    pub role: Role,
    /// May be empty: an assistant that said nothing.
    pub parts: Vec<Part>,
    /// Of a participant (`name` of chat messages).
    pub name: Option<String>,
    pub rest: Rest,
}

/// One block of a turn or of a reply.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    Text(Text),
    Media(Media),
    /// A tool call by the model for the client to run.
    Call(Call),
    /// What the client's tool gave back.
    Result(ToolResult),
    Reasoning(Reasoning),
    Refusal(String),
    /// A block that only this dialect has (a tool that the provider ran, a compaction): repeated by that dialect's writer, a loss elsewhere.
    Foreign(Dialect, Value),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Text {
    pub text: String,
    /// As the dialect that wrote them spells them.
    pub citations: Option<(Dialect, Vec<Value>)>,
    /// Gemini puts signatures on texts.
    pub opaque: Option<Opaque>,
    pub rest: Rest,
}

impl Text {
    pub fn of(text: impl Into<String>) -> Text {
        Text { text: text.into(), ..Text::default() }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    Image,
    Audio,
    Video,
    /// A document: PDF, plain text and others.
    File,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Media {
    pub kind: MediaKind,
    pub source: Source,
    /// `image/png`; absent where the client did not say (a URL).
    pub mime: Option<String>,
    pub name: Option<String>,
    /// OpenAI's `detail` of an image.
    pub detail: Option<String>,
    pub rest: Rest,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Source {
    /// Base64, as it came.
    Inline(String),
    Url(String),
    /// A file that was uploaded to the provider; only that provider knows it.
    Id(String),
    /// A document given as its text.
    Text(String),
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    /// Empty where the provider gave none (Gemini); a reader then makes one up that is unique in its document.
    pub id: String,
    pub name: String,
    /// JSON source, as the model wrote it, possibly truncated; free text where `custom`. Empty means a call without arguments: `{}`.
    pub arguments: String,
    /// A call of a tool with free text as its input.
    pub custom: bool,
    /// The namespace that the client groups the tool in.
    pub namespace: Option<String>,
    /// Gemini puts signatures on calls.
    pub opaque: Option<Opaque>,
    pub rest: Rest,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct ToolResult {
    /// The id of the call.
    pub id: String,
    /// The tool's name, where the dialect says it or the reader could look it up by the id.
    pub name: Option<String>,
    /// Texts and media; a result that is JSON is one text with its source.
    pub parts: Vec<Part>,
    pub error: bool,
    /// The result of a custom tool.
    pub custom: bool,
    pub rest: Rest,
}

/// What the model thought. Its text is portable for reading; only the provider that made it accepts the rest back.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reasoning {
    /// May be empty: only the opaque state is known.
    pub text: String,
    /// The text is a summary of the thoughts.
    pub summary: bool,
    /// Signature or encrypted state.
    pub opaque: Option<Opaque>,
    pub rest: Rest,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Tool {
    pub name: String,
    pub description: Option<String>,
    pub kind: ToolKind,
    /// The namespace that the client groups it in.
    pub namespace: Option<String>,
    pub rest: Rest,
}

#[derive(Clone, Debug, PartialEq)]
pub enum ToolKind {
    Function {
        /// JSON Schema; null where the client gave none.
        schema: Value,
        strict: Option<bool>,
    },
    /// Its input is free text, which a grammar may rule.
    Custom { format: Option<Value> },
    /// A tool that the provider runs, or another one that only this dialect has; the whole definition.
    Foreign(Dialect, Value),
}

#[derive(Clone, Debug, PartialEq)]
pub enum ToolChoice {
    Auto,
    None,
    /// Some tool.
    Required,
    Named(String),
    /// Only these; `required`: one of them.
    Allowed {
        required: bool,
        names: Vec<String>,
    },
    Foreign(Dialect, Value),
}

/// Sampling and limits. Numbers keep their spelling.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Params {
    pub max_tokens: Option<Number>,
    pub temperature: Option<Number>,
    pub top_p: Option<Number>,
    pub top_k: Option<Number>,
    pub n: Option<Number>,
    pub stop: Vec<String>,
    pub seed: Option<Number>,
    pub presence_penalty: Option<Number>,
    pub frequency_penalty: Option<Number>,
    pub logprobs: Option<bool>,
    pub top_logprobs: Option<Number>,
    pub user: Option<String>,
    pub verbosity: Option<String>,
    pub service_tier: Option<String>,
    /// The names of what the client sent as something that its dialect does not know under this type; for the loss signal.
    pub odd: Vec<Cow<'static, str>>,
}

/// How much the model is to think, and what of it is to be shown.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Thinking {
    /// `none`, `minimal`, `low`, `medium`, `high`, `xhigh`, `max`, as the client said it.
    pub effort: Option<String>,
    /// In tokens.
    pub budget: Option<Number>,
    /// The model decides (Anthropic `adaptive`, Gemini budget -1).
    pub adaptive: bool,
    /// Thinking is switched off.
    pub off: bool,
    /// Whether thoughts or summaries of them are to be shown; the dialect's default where absent.
    pub show: Option<bool>,
    pub rest: Rest,
}

/// The form of the answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Json,
    Schema { name: Option<String>, description: Option<String>, schema: Value, strict: Option<bool> },
}

impl Chat {
    /// The tool's name behind a call id, from the calls in the conversation.
    pub fn tool_of(&self, id: &str) -> Option<&str> {
        let calls = self.turns.iter().rev().flat_map(|turn| &turn.parts);
        calls.into_iter().find_map(|part| match part {
            Part::Call(call) if call.id == id => Some(call.name.as_str()),
            _ => None,
        })
    }
}
