//! The response object for the client: complete, as the official SDKs want it, whole replies and the last event of a stream alike.

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::stream::Encoder;
use super::{count, error, write_request};
use crate::Dialect;
use crate::failure::Failure;
use crate::hub::{Asked, Chat, Finish, Losses, Part, Reply, Role, tell};
use crate::json::build;
use crate::usage::Usage;

const OWN: Dialect = Dialect::OpenaiResponses;

/// Writes the reply. The text of events and of this object is made by the same code, so a stream and a whole reply say the same.
pub fn write(reply: &Reply, asked: &Asked) -> (Bytes, Losses) {
    let mut encoder = Encoder::silent(asked);
    encoder.tier(reply.service_tier.as_deref());
    for delta in tell(reply) {
        encoder.step(&delta, &mut Vec::new());
    }
    encoder.into_reply()
}

/// What of the request the response object repeats.
pub fn echo(chat: &Chat) -> Map<String, Value> {
    let mut echo: Map<String, Value> = Map::new();
    for name in [
        "background",
        "max_tool_calls",
        "metadata",
        "previous_response_id",
        "prompt_cache_key",
        "prompt_cache_retention",
        "safety_identifier",
        "store",
        "truncation",
    ] {
        if let Some(value) = chat.rest.get(name) {
            echo.insert(name.to_owned(), value.clone());
        }
    }
    if let Some(first) = chat.turns.first().filter(|turn| turn.role == Role::System)
        && let [Part::Text(text)] = first.parts.as_slice()
    {
        echo.insert("instructions".to_owned(), Value::from(text.text.as_str()));
    }
    let mut numbers = |name: &str, number: &Option<serde_json::Number>| {
        if let Some(number) = number {
            echo.insert(name.to_owned(), Value::Number(number.clone()));
        }
    };
    let params = &chat.params;
    numbers("max_output_tokens", &params.max_tokens);
    numbers("temperature", &params.temperature);
    numbers("top_p", &params.top_p);
    numbers("top_logprobs", &params.top_logprobs);
    if let Some(user) = &params.user {
        echo.insert("user".to_owned(), Value::from(user.as_str()));
    }
    if let Some(tier) = &params.service_tier {
        echo.insert("service_tier".to_owned(), Value::from(tier.as_str()));
    }
    if let Some(parallel) = chat.parallel {
        echo.insert("parallel_tool_calls".to_owned(), Value::Bool(parallel));
    }
    let mut ignored = Losses::default();
    let tools = write_request::tools(chat, &mut ignored);
    if let Some(choice) = chat.choice.as_ref().and_then(|choice| write_request::choice(choice, chat, &mut ignored)) {
        echo.insert("tool_choice".to_owned(), choice);
    }
    echo.insert("tools".to_owned(), Value::Array(tools));
    let mut text = write_request::text(chat);
    text.entry("format").or_insert_with(|| json!({"type": "text"}));
    echo.insert("text".to_owned(), Value::Object(text));
    let thinking = chat.reasoning.as_ref();
    let summary = thinking
        .filter(|thinking| thinking.show == Some(true))
        .map(|thinking| thinking.rest.get("summary").cloned().unwrap_or_else(|| "auto".into()));
    let effort = thinking.and_then(|thinking| thinking.effort.as_deref());
    echo.insert("reasoning".to_owned(), json!({"effort": effort, "summary": summary}));
    echo
}

/// The response object of a call that failed before anyone made one.
pub(super) fn failed(failure: &Failure, asked: &Asked) -> Value {
    let mut head = Head::new(asked);
    head.id = format!("resp_{}", asked.id);
    let object = head.object(&Ending::Failed(failure), &[], None);
    serde_json::from_slice(&object).unwrap_or_default()
}

/// What all response objects of a call have in common.
pub(super) struct Head {
    pub(super) id: String,
    pub(super) model: String,
    pub(super) created: u64,
    pub(super) tier: Option<String>,
    /// The repeated members, written.
    echo: Vec<u8>,
}

/// How a response object ends.
#[derive(Clone, Copy)]
pub(super) enum Ending<'a> {
    Open,
    With(&'a Finish, bool),
    Failed(&'a Failure),
}

impl Head {
    pub(super) fn new(asked: &Asked) -> Head {
        Head {
            id: String::new(),
            model: asked.model.clone(),
            created: asked.created,
            tier: None,
            echo: echoed(&asked.echo),
        }
    }

    /// The object, with its items in their order.
    pub(super) fn object(&self, ending: &Ending<'_>, items: &[Vec<u8>], usage: Option<&Usage>) -> Vec<u8> {
        let (status, reason) = ending.status();
        let size = items.iter().map(Vec::len).sum::<usize>();
        let mut out = Vec::with_capacity(size + self.echo.len() + 512);
        out.push(b'{');
        build::text(&mut out, "id", &self.id);
        build::text(&mut out, "object", "response");
        build::number(&mut out, "created_at", self.created);
        build::text(&mut out, "status", status);
        build::raw(&mut out, "completed_at", "null");
        build::key(&mut out, "error");
        match ending {
            Ending::Failed(failure) => {
                build::value(&mut out, &json!({"code": error::response_code(failure), "message": failure.message}));
            }
            _ => out.extend_from_slice(b"null"),
        }
        build::key(&mut out, "incomplete_details");
        match reason {
            Some(reason) => build::value(&mut out, &json!({"reason": reason})),
            None => out.extend_from_slice(b"null"),
        }
        build::text(&mut out, "model", &self.model);
        build::key(&mut out, "output");
        out.push(b'[');
        for item in items {
            build::comma(&mut out);
            out.extend_from_slice(item);
        }
        out.push(b']');
        // Absent, not null, where nothing was counted: so OpenAI's schema has it.
        if let Some(usage) = usage {
            build::member(&mut out, "usage", &count::write(usage));
        }
        if let Some(tier) = &self.tier {
            build::text(&mut out, "service_tier", tier);
        }
        build::comma(&mut out);
        out.extend_from_slice(&self.echo);
        out.push(b'}');
        out
    }
}

impl Ending<'_> {
    /// The status, and why it is incomplete.
    pub(super) fn status(&self) -> (&'static str, Option<&'static str>) {
        match self {
            Ending::Open => ("in_progress", None),
            Ending::Failed(_) => ("failed", None),
            Ending::With(Finish::Length, _) => ("incomplete", Some("max_output_tokens")),
            Ending::With(Finish::ContentFilter, _) => ("incomplete", Some("content_filter")),
            // A refusal without words of its own is told as a filter's work.
            Ending::With(Finish::Refusal, refused) if !refused => ("incomplete", Some("content_filter")),
            Ending::With(Finish::Cut, _) => ("incomplete", None),
            // A response that works in the background.
            Ending::With(Finish::Other(word), _) if word == "queued" => ("queued", None),
            Ending::With(Finish::Other(word), _) if word == "in_progress" => ("in_progress", None),
            Ending::With(..) => ("completed", None),
        }
    }
}

/// The members that repeat the request, with what holds where the client said nothing.
fn echoed(echo: &Map<String, Value>) -> Vec<u8> {
    let mut out = Vec::new();
    let null = Value::Null;
    let defaults = json!({
        "background": false,
        "instructions": null,
        "max_output_tokens": null,
        "max_tool_calls": null,
        "parallel_tool_calls": true,
        "previous_response_id": null,
        "prompt_cache_key": null,
        "reasoning": {"effort": null, "summary": null},
        "safety_identifier": null,
        "store": false,
        "temperature": null,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "top_p": null,
        "truncation": "disabled",
        "metadata": {},
    });
    for (name, default) in defaults.as_object().into_iter().flatten() {
        build::member(&mut out, name, echo.get(name).unwrap_or(default));
    }
    for name in ["user", "prompt_cache_retention"] {
        let value = echo.get(name).unwrap_or(&null);
        if !value.is_null() {
            build::member(&mut out, name, value);
        }
    }
    out
}

/// Whether it is a tier of this dialect.
pub(super) fn is_tier(tier: &str) -> bool {
    matches!(tier, "auto" | "default" | "flex" | "scale" | "priority")
}

/// Citations of a text, as annotations; `length`: of the text, in characters. A citation that cannot be said is a loss.
pub(super) fn annotation(dialect: Dialect, citation: &Value, length: usize, losses: &mut Losses) -> Option<Value> {
    if dialect == OWN {
        return Some(citation.clone());
    }
    let inner = citation.get("url_citation").unwrap_or(citation);
    let Some(url) = inner.get("url").or_else(|| inner.get("uri")).and_then(Value::as_str) else {
        losses.lose("citations");
        return None;
    };
    let number = |name: &str, default: usize| inner.get(name).and_then(Value::as_u64).unwrap_or(default as u64);
    Some(json!({
        "type": "url_citation",
        "start_index": number("start_index", 0),
        "end_index": number("end_index", length),
        "url": url,
        "title": inner.get("title").and_then(Value::as_str).unwrap_or_default(),
    }))
}
