//! What the encoder knows of a block, and the JSON of output items and their parts.

use serde_json::Value;

use crate::hub::{Called, Opaque};
use crate::json::{build, quote};

/// A block of the client's stream.
pub(super) struct Block {
    /// The number of its item.
    pub(super) item: usize,
    pub(super) open: bool,
    pub(super) text: String,
    pub(super) says: Says,
    /// State that has no place of its own on this block.
    pub(super) opaque: Option<Opaque>,
}

pub(super) enum Says {
    Text {
        content: usize,
        annotations: Vec<Value>,
        logprobs: Vec<Value>,
    },
    Refusal {
        content: usize,
    },
    Thought {
        id: String,
        begun: bool,
    },
    Call(Call),
    /// It was told whole, or cannot be told.
    Nothing,
}

pub(super) struct Call {
    pub(super) item: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) namespace: Option<String>,
    pub(super) input: Input,
    /// Text came after its end was told.
    pub(super) late: bool,
}

/// How the client gets what a tool is called with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Arguments,
    /// Free text, as it comes.
    Free,
    /// Free text, which the provider wraps in an object.
    Wrapped,
}

impl Call {
    /// A call, under the names that the client gave the tool.
    pub(super) fn new(
        item: String,
        id: &str,
        name: &str,
        custom: bool,
        namespace: Option<&str>,
        called: Option<&Called>,
    ) -> Call {
        let input = match (custom, called.is_some_and(|called| called.custom)) {
            (true, _) => Input::Free,
            (false, true) => Input::Wrapped,
            (false, false) => Input::Arguments,
        };
        Call {
            item,
            id: id.to_owned(),
            name: called.map_or(name, |called| &called.name).to_owned(),
            namespace: called.and_then(|called| called.namespace.clone()).or_else(|| namespace.map(str::to_owned)),
            input,
            late: false,
        }
    }

    /// What the item says it was called with.
    pub(super) fn input<'a>(&self, text: &'a str) -> std::borrow::Cow<'a, str> {
        match self.input {
            Input::Arguments if text.is_empty() => "{}".into(),
            Input::Wrapped => unwrapped(text),
            Input::Arguments | Input::Free => text.into(),
        }
    }

    pub(super) fn write(&self, status: &str, text: &str, out: &mut Vec<u8>) {
        out.push(b'{');
        build::text(out, "id", &self.item);
        let custom = self.input != Input::Arguments;
        build::text(out, "type", if custom { "custom_tool_call" } else { "function_call" });
        build::text(out, "status", status);
        build::text(out, "call_id", &self.id);
        build::maybe_text(out, "namespace", self.namespace.as_deref());
        build::text(out, "name", &self.name);
        build::text(out, if custom { "input" } else { "arguments" }, text);
        out.push(b'}');
    }
}

/// The free text inside `{"input": text}`; anything else is as the model wrote it.
fn unwrapped(text: &str) -> std::borrow::Cow<'_, str> {
    if let Ok(Value::Object(mut map)) = serde_json::from_str::<Value>(text)
        && map.len() == 1
        && let Some(Value::String(input)) = map.shift_remove("input")
    {
        return input.into();
    }
    text.into()
}

/// A message with its parts, which are JSON.
pub(super) fn message(id: &str, status: &str, phase: Option<&str>, parts: &[Vec<u8>], out: &mut Vec<u8>) {
    out.push(b'{');
    build::text(out, "id", id);
    build::raw(out, "type", "\"message\"");
    build::text(out, "status", status);
    build::key(out, "content");
    out.push(b'[');
    for part in parts {
        build::comma(out);
        out.extend_from_slice(part);
    }
    out.push(b']');
    build::maybe_text(out, "phase", phase);
    build::raw(out, "role", "\"assistant\"");
    out.push(b'}');
}

pub(super) fn text_part(text: &str, annotations: &[Value], logprobs: &[Value], out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"output_text\",\"annotations\":");
    list(annotations, out);
    out.extend_from_slice(b",\"logprobs\":");
    list(logprobs, out);
    out.extend_from_slice(b",\"text\":");
    quote(text, out);
    out.push(b'}');
}

pub(super) fn refusal_part(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"refusal\",\"refusal\":");
    quote(text, out);
    out.push(b'}');
}

pub(super) fn summary_part(text: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"type\":\"summary_text\",\"text\":");
    quote(text, out);
    out.push(b'}');
}

/// Members of an array, written.
pub(super) fn list(values: &[Value], out: &mut Vec<u8>) {
    out.push(b'[');
    for value in values {
        build::comma(out);
        build::value(out, value);
    }
    out.push(b']');
}

pub(super) fn thought(id: &str, text: &str, state: Option<&str>, out: &mut Vec<u8>) {
    out.push(b'{');
    build::text(out, "id", id);
    build::raw(out, "type", "\"reasoning\"");
    build::key(out, "summary");
    out.push(b'[');
    if !text.is_empty() {
        summary_part(text, out);
    }
    out.push(b']');
    build::maybe_text(out, "encrypted_content", state);
    out.push(b'}');
}
