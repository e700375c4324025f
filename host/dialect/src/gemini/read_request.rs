//! A client's `generateContent` request. Reads generously: either spelling of names, single objects and texts for lists, nulls.

use serde_json::Value;

use super::fields::Fields;
use super::part::{self, Ids};
use super::{config, schema};
use crate::Dialect;
use crate::dialect::Said;
use crate::failure::Failure;
use crate::hub::{Chat, Part, Rest, Role, Text, Tool, ToolKind, Turn};
use crate::json;

/// The request.
///
/// # Errors
/// A 400 for a body that is not a JSON object and for contents that are neither objects nor texts.
pub(super) fn read(body: &[u8], said: &Said) -> Result<Chat, Failure> {
    let Value::Object(members) = json::tree(body).ok_or_else(|| not_json(body))? else {
        return Err(Failure::invalid("invalid_type", "The request body must be a JSON object."));
    };
    read_members(Fields::new(members), said)
}

pub(super) fn not_json(body: &[u8]) -> Failure {
    match json::validate(body) {
        _ if body.is_empty() => {
            Failure::invalid("invalid_json", "The request body is empty; it must be a JSON object.")
        }
        Err(error) => Failure::invalid("invalid_json", format!("The request body is not valid JSON: {error}.")),
        Ok(()) => Failure::invalid("invalid_json", "The request body has numbers or a nesting past what can be read."),
    }
}

pub(super) fn read_members(mut body: Fields, said: &Said) -> Result<Chat, Failure> {
    let named = body.text("model");
    let mut chat = Chat {
        model: said.model.clone().or(named.map(plain_model)).unwrap_or_default(),
        stream: said.stream,
        stream_usage: true,
        ..Chat::default()
    };
    let mut ids = Ids::default();
    if let Some(system) = body.take("systemInstruction") {
        let parts = parts_of(system, &mut ids)?.0;
        if !parts.is_empty() {
            chat.turns.push(Turn { role: Role::System, parts, name: None, rest: Rest::default() });
        }
    }
    match body.take("contents") {
        // What the API takes for one content, and SDKs for a list of texts.
        Some(Value::Array(list)) => {
            for content in list {
                read_content(content, &mut chat, &mut ids)?;
            }
        }
        Some(single) => read_content(single, &mut chat, &mut ids)?,
        None => {}
    }
    for tool in body.list("tools") {
        read_tool(tool, &mut chat.tools);
    }
    let mut rest = serde_json::Map::new();
    if let Some(tools) = body.fields("toolConfig") {
        config::read_tool_config(tools, &mut chat, &mut rest);
    }
    if let Some(generation) = body.fields("generationConfig") {
        config::read_generation(generation, &mut chat, &mut rest);
    }
    let tier = body.text("serviceTier").map(|tier| tier.to_ascii_lowercase());
    chat.params.service_tier = tier.filter(|tier| tier != "standard");
    let mut left = body.left();
    left.append(&mut rest);
    chat.rest = Rest::new(Dialect::Gemini, left);
    Ok(chat)
}

/// A model's name without the collection that Google's names begin with.
pub(super) fn plain_model(name: String) -> String {
    match name.strip_prefix("models/") {
        Some(plain) => plain.to_owned(),
        None => name,
    }
}

/// The parts of a content, whatever its form, and what else it says.
fn parts_of(content: Value, ids: &mut Ids) -> Result<(Vec<Part>, Fields), Failure> {
    let mut parts = Vec::new();
    let mut left = Fields::of(Value::Null);
    match content {
        Value::String(text) => parts.push(Part::Text(Text::of(text))),
        Value::Array(list) => {
            for item in list {
                // A list of parts, of texts, or of whole contents.
                if item.get("parts").is_some() {
                    parts.extend(parts_of(item, ids)?.0);
                } else if let Some(part) = part::read(item, ids) {
                    part::add(part, &mut parts);
                }
            }
        }
        Value::Object(members) => {
            left = Fields::new(members);
            if left.has("text") && !left.has("parts") {
                let part = part::read(Value::Object(left.left()), ids);
                return Ok((part.into_iter().collect(), Fields::of(Value::Null)));
            }
            for item in left.list("parts") {
                if let Some(part) = part::read(item, ids) {
                    part::add(part, &mut parts);
                }
            }
        }
        Value::Null => {}
        _ => {
            let message = "A content must be an object with `role` and `parts`, or a text.";
            return Err(Failure::invalid("invalid_type", message).with_param("contents"));
        }
    }
    Ok((parts, left))
}

fn read_content(content: Value, chat: &mut Chat, ids: &mut Ids) -> Result<(), Failure> {
    let (parts, mut left) = parts_of(content, ids)?;
    let role = match left.text("role").as_deref() {
        Some("model" | "assistant") => Role::Assistant,
        Some("system") => Role::System,
        Some(_) => Role::User,
        None if parts.iter().any(|part| matches!(part, Part::Call(_))) => Role::Assistant,
        None => Role::User,
    };
    let mut rest = left.rest();
    // Clients keep each chunk of a stream as a content of its own.
    if let (Role::Assistant, Some(Turn { role: Role::Assistant, parts: before, .. })) = (role, chat.turns.last_mut())
        && !parts.iter().any(|part| matches!(part, Part::Result(_)))
    {
        for part in parts {
            part::add(part, before);
        }
        return Ok(());
    }
    // Results are turns of their own, and all else keeps its place among them.
    let mut parts = parts.into_iter().peekable();
    loop {
        let results = matches!(parts.peek(), Some(Part::Result(_)));
        let mut run = Vec::new();
        while let Some(part) = parts.next_if(|part| matches!(part, Part::Result(_)) == results) {
            run.push(part);
        }
        let role = if results { Role::Tool } else { role };
        chat.turns.push(Turn { role, parts: run, name: None, rest: std::mem::take(&mut rest) });
        if parts.peek().is_none() {
            return Ok(());
        }
    }
}

/// One object of `tools` may hold declarations of functions and several of Google's own tools.
fn read_tool(tool: Value, tools: &mut Vec<Tool>) {
    let mut members = Fields::of(tool);
    for declaration in members.list("functionDeclarations") {
        tools.extend(read_function(Fields::of(declaration)));
    }
    for (name, value) in members.left() {
        let whole = Value::Object(serde_json::Map::from_iter([(name.clone(), value)]));
        let kind = ToolKind::Foreign(Dialect::Gemini, whole);
        tools.push(Tool { name, description: None, kind, namespace: None, rest: Rest::default() });
    }
}

fn read_function(mut function: Fields) -> Option<Tool> {
    if function.is_empty() {
        return None;
    }
    let name = function.text("name").unwrap_or_default();
    let description = function.text("description");
    let schema = match function.take("parametersJsonSchema") {
        Some(schema) => schema,
        None => function.take("parameters").map_or(Value::Null, schema::to_json_schema),
    };
    let kind = ToolKind::Function { schema, strict: None };
    Some(Tool { name, description, kind, namespace: None, rest: function.rest() })
}
