//! The request for a provider, strict by OpenAI's schema: members and item fields that the schema requires are there, others only where the
//! client said something.
//!
//! Nothing is stored at the provider, so reasoning goes back as its encrypted state or not at all.

use std::borrow::Cow;

use bytes::Bytes;
use serde_json::{Map, Value, json};

use super::{read_tools, write_input, write_reply};
use crate::Dialect;
use crate::failure::Failure;
use crate::hub::{Asked, Chat, Losses, Output, Params, Target, Thinking, Tool, ToolChoice, ToolKind};

const OWN: Dialect = Dialect::OpenaiResponses;

/// The smallest `max_output_tokens` that is not refused.
const LEAST_TOKENS: u64 = 16;

/// The longest `user`, in characters.
const LONGEST_USER: usize = 64;

/// Members that chat has under the same name and meaning.
const SHARED: [&str; 5] =
    ["metadata", "prompt_cache_key", "prompt_cache_retention", "prompt_cache_options", "safety_identifier"];

/// Writes the request.
///
/// # Errors
/// A 400 for a document or an image that cannot be sent.
#[allow(clippy::result_large_err, reason = "the one failure type is large, and built only for a call that is refused")]
pub fn write(chat: &Chat, target: &Target<'_>) -> Result<(Bytes, Losses), Failure> {
    let mut losses = Losses::default();
    let mut map = Map::new();
    map.insert("model".to_owned(), target.model.into());
    let (instructions, input) = write_input::input(chat, target, &mut losses)?;
    if let Some(instructions) = instructions {
        map.insert("instructions".to_owned(), instructions.into());
    }
    map.insert("input".to_owned(), Value::Array(input));
    let tools = tools(chat, &mut losses);
    if tools.is_empty() {
        // A choice among no tools is refused.
        if chat.choice.as_ref().is_some_and(|choice| !matches!(choice, ToolChoice::Auto | ToolChoice::None)) {
            losses.lose("tool_choice");
        }
    } else {
        map.insert("tools".to_owned(), Value::Array(tools));
        if let Some(choice) = chat.choice.as_ref().and_then(|chosen| choice(chosen, chat, &mut losses)) {
            map.insert("tool_choice".to_owned(), choice);
        }
        if let Some(parallel) = chat.parallel {
            map.insert("parallel_tool_calls".to_owned(), parallel.into());
        }
    }
    params(&chat.params, target, &mut map, &mut losses);
    if let Some(thinking) = chat.reasoning.as_ref().and_then(|thinking| reasoning(thinking, target, &mut losses)) {
        map.insert("reasoning".to_owned(), thinking);
    }
    let text = text(chat);
    if !text.is_empty() {
        map.insert("text".to_owned(), Value::Object(text));
    }
    include(chat, target, &mut map);
    rest(chat, &mut map, &mut losses);
    if chat.stream {
        map.insert("stream".to_owned(), true.into());
    }
    Ok((Bytes::from(Value::Object(map).to_string()), losses))
}

/// The tools; those of one namespace are grouped where the first of them stands.
pub(super) fn tools(chat: &Chat, losses: &mut Losses) -> Vec<Value> {
    let mut out: Vec<Value> = Vec::with_capacity(chat.tools.len());
    for tool in &chat.tools {
        let Some(written) = self::tool(tool, losses) else { continue };
        let Some(namespace) = tool.namespace.as_deref() else {
            out.push(written);
            continue;
        };
        let group = out.iter_mut().find(|group| {
            let is = |name: &str, value: &str| group.get(name).and_then(Value::as_str) == Some(value);
            is("type", "namespace") && is("name", namespace)
        });
        if let Some(list) = group.and_then(|group| group.get_mut("tools")).and_then(Value::as_array_mut) {
            list.push(written);
            continue;
        }
        let described = tool.rest.of(OWN).find(|(name, _)| *name == "namespace.description");
        let description = described.map_or_else(|| Value::from(""), |(_, text)| text.clone());
        out.push(json!({"type": "namespace", "name": namespace, "description": description, "tools": [written]}));
    }
    out
}

fn tool(tool: &Tool, losses: &mut Losses) -> Option<Value> {
    let mut map = Map::new();
    match &tool.kind {
        ToolKind::Function { schema, strict } => {
            let empty = || json!({"type": "object", "properties": {}});
            map.insert("type".to_owned(), "function".into());
            map.insert("name".to_owned(), tool.name.as_str().into());
            map.insert("parameters".to_owned(), if schema.is_object() { schema.clone() } else { empty() });
            // Absent means strict here, and not so elsewhere.
            map.insert("strict".to_owned(), strict.unwrap_or(false).into());
        }
        ToolKind::Custom { format } => {
            map.insert("type".to_owned(), "custom".into());
            map.insert("name".to_owned(), tool.name.as_str().into());
            if let Some(format) = format {
                map.insert("format".to_owned(), read_tools::flat_format(format.clone()));
            }
        }
        ToolKind::Foreign(OWN, value) => return Some(value.clone()),
        ToolKind::Foreign(..) => {
            losses.lose(format!("tools.{}", tool.name));
            return None;
        }
    }
    if let Some(description) = &tool.description {
        map.insert("description".to_owned(), description.as_str().into());
    }
    losses.beside(&tool.rest, OWN);
    for (name, value) in tool.rest.of(OWN).filter(|(name, _)| *name != "namespace.description") {
        map.insert(name.clone(), value.clone());
    }
    Some(Value::Object(map))
}

/// The choice; `None` where it is the default or cannot be said.
pub(super) fn choice(choice: &ToolChoice, chat: &Chat, losses: &mut Losses) -> Option<Value> {
    Some(match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::None => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => chosen(name, chat),
        ToolChoice::Allowed { required, names } => {
            let mode = if *required { "required" } else { "auto" };
            let tools: Vec<Value> = names.iter().map(|name| chosen(name, chat)).collect();
            json!({"type": "allowed_tools", "mode": mode, "tools": tools})
        }
        ToolChoice::Foreign(OWN, value) => value.clone(),
        ToolChoice::Foreign(..) => {
            losses.lose("tool_choice");
            return None;
        }
    })
}

fn chosen(name: &str, chat: &Chat) -> Value {
    let named = |tool: &&Tool| tool.name == name || *Asked::flat(tool.namespace.as_deref(), &tool.name) == *name;
    match chat.tools.iter().find(named) {
        Some(Tool { kind: ToolKind::Custom { .. }, name, .. }) => json!({"type": "custom", "name": name}),
        Some(Tool { kind: ToolKind::Foreign(..), .. }) => json!({"type": name}),
        Some(tool) => json!({"type": "function", "name": tool.name}),
        None => json!({"type": "function", "name": name}),
    }
}

fn params(params: &Params, target: &Target<'_>, map: &mut Map<String, Value>, losses: &mut Losses) {
    if let Some(most) = &params.max_tokens {
        let raised = most.as_u64().is_some_and(|most| most < LEAST_TOKENS);
        if raised {
            losses.lose("max_tokens");
        }
        let most = if raised { LEAST_TOKENS.into() } else { whole(most) };
        map.insert("max_output_tokens".to_owned(), most);
    }
    for (name, value) in [("temperature", &params.temperature), ("top_p", &params.top_p)] {
        match value {
            Some(_) if target.refuses_sampling => losses.lose(name),
            Some(value) => drop(map.insert(name.to_owned(), Value::Number(value.clone()))),
            None => {}
        }
    }
    if params.logprobs == Some(true)
        && let Some(count) = &params.top_logprobs
    {
        map.insert("top_logprobs".to_owned(), whole(count));
    }
    match &params.user {
        Some(user) if user.chars().count() > LONGEST_USER => losses.hint("user"),
        Some(user) => drop(map.insert("user".to_owned(), user.as_str().into())),
        None => {}
    }
    match &params.service_tier {
        Some(tier) if write_reply::is_tier(tier) => drop(map.insert("service_tier".to_owned(), tier.as_str().into())),
        Some(_) => losses.hint("service_tier"),
        None => {}
    }
    let lost = [
        ("top_k", params.top_k.is_some()),
        ("n", params.n.as_ref().is_some_and(|n| n.as_u64() != Some(1))),
        ("stop", !params.stop.is_empty()),
        ("seed", params.seed.is_some()),
    ];
    lost.into_iter().filter(|(_, lost)| *lost).for_each(|(name, _)| losses.lose(name));
    for (name, penalty) in
        [("presence_penalty", &params.presence_penalty), ("frequency_penalty", &params.frequency_penalty)]
    {
        match penalty.as_ref().map(|penalty| penalty.as_f64() == Some(0.0)) {
            Some(true) => losses.hint(name),
            Some(false) => losses.lose(name),
            None => {}
        }
    }
    params.odd.iter().for_each(|name: &Cow<'static, str>| losses.lose(name.clone()));
}

/// Some clients write whole numbers as `100.0`; OpenAI takes integers alone.
fn whole(number: &serde_json::Number) -> Value {
    let whole =
        number.as_f64().filter(|value| number.is_f64() && value.fract() == 0.0 && (0.0..9.0e15).contains(value));
    whole.map_or_else(|| Value::Number(number.clone()), |value| Value::from(value as u64))
}

fn reasoning(thinking: &Thinking, target: &Target<'_>, losses: &mut Losses) -> Option<Value> {
    if target.refuses_reasoning {
        if !thinking.off {
            losses.lose("reasoning");
        }
        return None;
    }
    let mut map = Map::new();
    // Models differ in whether they can be told not to think; who asked for it in this dialect's words knows.
    let effort =
        thinking.effort.as_deref().or_else(|| thinking.budget.as_ref().filter(|_| !thinking.off).map(effort_of));
    if let Some(effort) = effort {
        map.insert("effort".to_owned(), effort.into());
    } else if thinking.off {
        losses.hint("thinking");
    }
    if thinking.show == Some(true) {
        let own = thinking.rest.of(OWN).find(|(name, _)| *name == "summary").map(|(_, how)| how.clone());
        map.insert("summary".to_owned(), own.unwrap_or_else(|| "auto".into()));
    }
    losses.beside(&thinking.rest, OWN);
    for (name, value) in thinking.rest.of(OWN).filter(|(name, _)| *name != "summary") {
        map.insert(name.clone(), value.clone());
    }
    (!map.is_empty()).then_some(Value::Object(map))
}

/// The effort that is nearest to a budget in tokens.
fn effort_of(budget: &serde_json::Number) -> &'static str {
    match budget.as_u64().unwrap_or(u64::MAX) {
        0..=2048 => "low",
        2049..=12_288 => "medium",
        _ => "high",
    }
}

/// The form of the answer; empty where the client wants plain text.
pub(super) fn text(chat: &Chat) -> Map<String, Value> {
    let mut text = Map::new();
    match &chat.output {
        None => {}
        Some(Output::Json) => drop(text.insert("format".to_owned(), json!({"type": "json_object"}))),
        Some(Output::Schema { name, description, schema, strict }) => {
            let mut format = Map::new();
            format.insert("type".to_owned(), "json_schema".into());
            format.insert("name".to_owned(), name.as_deref().unwrap_or("response").into());
            if let Some(description) = description {
                format.insert("description".to_owned(), description.as_str().into());
            }
            format.insert("schema".to_owned(), if schema.is_null() { json!({}) } else { schema.clone() });
            if let Some(strict) = strict {
                format.insert("strict".to_owned(), (*strict).into());
            }
            text.insert("format".to_owned(), Value::Object(format));
        }
    }
    if let Some(verbosity) = &chat.params.verbosity {
        text.insert("verbosity".to_owned(), verbosity.as_str().into());
    }
    text
}

fn include(chat: &Chat, target: &Target<'_>, map: &mut Map<String, Value>) {
    let mut include = Vec::new();
    if !target.refuses_reasoning {
        include.push(Value::from("reasoning.encrypted_content"));
    }
    if chat.params.logprobs == Some(true) {
        include.push("message.output_text.logprobs".into());
    }
    let own = chat.rest.of(OWN).find(|(name, _)| *name == "include");
    include.extend(own.and_then(|(_, list)| list.as_array()).into_iter().flatten().cloned());
    if !include.is_empty() {
        map.insert("include".to_owned(), Value::Array(include));
    }
}

/// What stands beside: repeated if it is this dialect's, or if chat means the same by it. Nobody fetches a response later, so none is kept
/// unless the client said so in this dialect.
fn rest(chat: &Chat, map: &mut Map<String, Value>, losses: &mut Losses) {
    map.insert("store".to_owned(), false.into());
    for (name, value) in chat.rest.of(OWN).filter(|(name, _)| *name != "include") {
        map.insert(name.clone(), value.clone());
    }
    let mut foreign = Map::new();
    for (name, value) in chat.rest.of(Dialect::OpenaiChat) {
        if SHARED.contains(&name.as_str()) {
            map.insert(name.clone(), value.clone());
        } else {
            foreign.insert(name.clone(), value.clone());
        }
    }
    losses.beside(&crate::hub::Rest::new(Dialect::OpenaiChat, foreign), OWN);
    if chat.rest.of(Dialect::OpenaiChat).next().is_none() {
        losses.beside(&chat.rest, OWN);
    }
}
