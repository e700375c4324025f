//! A request for a provider of Messages: valid by its rules, and what of the client's could not be said.

use bytes::Bytes;
use serde_json::Value;

use super::out::{Object, next};
use super::plan::{Plan, plan};
use super::read_request::EFFORT_ALONE;
use super::turns;
use crate::Dialect;
use crate::failure::Failure;
use crate::hub::{Asked, Chat, Losses, Output, Role, Target, Tool, ToolChoice, ToolKind};

/// The request, with the target's model in it.
///
/// # Errors
/// A 400 for media that no block can hold and for files of another provider.
pub fn write(chat: &Chat, target: &Target<'_>) -> Result<(Bytes, Losses), Failure> {
    let mut losses = Losses::default();
    let plan = plan(chat, target, &mut losses);
    let conversation = turns::write(chat, target, &mut losses)?;
    let mut out = Vec::with_capacity(conversation.messages.len() + conversation.system.len() + 1024);
    let mut body = Object::open(&mut out);
    body.text("model", target.model);
    body.count("max_tokens", plan.max_tokens);
    if !conversation.system.is_empty() {
        list(body.at("system"), &conversation.system);
    }
    list(body.at("messages"), &conversation.messages);
    tools(chat, &mut body, &mut losses);
    sampling(chat, &plan, &mut body);
    thinking(chat, &plan, &mut body);
    output_config(chat, &plan, &mut body);
    metadata(chat, &mut body);
    if let Some(tier) = service_tier(chat, &mut losses) {
        body.text("service_tier", tier);
    }
    for (name, value) in chat.rest.of(Dialect::Anthropic) {
        if !matches!(name.as_str(), "output_config" | "metadata") {
            body.value(name, value);
        }
    }
    losses.beside(&chat.rest, Dialect::Anthropic);
    if chat.stream {
        body.bool("stream", true);
    }
    body.close();
    Ok((Bytes::from(out), losses))
}

pub(super) fn list(out: &mut Vec<u8>, items: &[u8]) {
    out.push(b'[');
    out.extend_from_slice(items);
    out.push(b']');
}

fn tools(chat: &Chat, body: &mut Object<'_>, losses: &mut Losses) {
    let allowed = match &chat.choice {
        Some(ToolChoice::Allowed { names, .. }) => Some(names),
        _ => None,
    };
    let mut list_of = Vec::new();
    for tool in &chat.tools {
        if allowed.is_none_or(|names| names.contains(&tool.name)) {
            self::tool(tool, &mut list_of, losses);
        }
    }
    if list_of.is_empty() {
        let idle = matches!(chat.choice, None | Some(ToolChoice::Auto | ToolChoice::None));
        if !idle {
            losses.lose("tool_choice");
        }
        return;
    }
    list(body.at("tools"), &list_of);
    tool_choice(chat, body, losses);
}

fn tool(tool: &Tool, out: &mut Vec<u8>, losses: &mut Losses) {
    let name = Asked::flat(tool.namespace.as_deref(), &tool.name);
    match &tool.kind {
        ToolKind::Foreign(Dialect::Anthropic, whole) => super::out::append(whole, next(out)),
        ToolKind::Foreign(_, whole) => {
            let kind = whole.get("type").and_then(Value::as_str).unwrap_or(&tool.name);
            losses.lose(format!("tools.{kind}"));
        }
        ToolKind::Function { schema, strict } => {
            let mut object = Object::open(next(out));
            object.text("name", &name);
            if let Some(description) = &tool.description {
                object.text("description", description);
            }
            input_schema(schema, object.at("input_schema"));
            if *strict == Some(true) {
                object.bool("strict", true);
            }
            object.rest(&tool.rest);
            object.close();
            losses.beside(&tool.rest, Dialect::Anthropic);
        }
        ToolKind::Custom { format } => {
            let mut object = Object::open(next(out));
            object.text("name", &name);
            if let Some(description) = &tool.description {
                object.text("description", description);
            }
            let grammar = format.as_ref().and_then(|format| {
                let inner = format.get("grammar").unwrap_or(format);
                inner.get("definition")?.as_str()
            });
            if grammar.is_some() {
                losses.lose(format!("tools.{name}.format"));
            }
            let mut schema = Object::typed(object.at("input_schema"), "object");
            let mut properties = Object::open(schema.at("properties"));
            let mut input = Object::typed(properties.at("input"), "string");
            if let Some(grammar) = grammar {
                // Nothing holds the model to it, but it can read it.
                input.text("description", grammar);
            }
            input.close();
            properties.close();
            schema.raw("required", br#"["input"]"#);
            schema.close();
            object.close();
            losses.beside(&tool.rest, Dialect::Anthropic);
        }
    }
}

/// The schema with the `type` that every tool's must have.
fn input_schema(schema: &Value, out: &mut Vec<u8>) {
    match schema {
        Value::Object(members) if members.contains_key("type") => super::out::append(schema, out),
        Value::Object(members) => {
            let mut object = Object::typed(out, "object");
            for (name, value) in members {
                object.value(name, value);
            }
            object.close();
        }
        _ => out.extend_from_slice(br#"{"type":"object","properties":{}}"#),
    }
}

fn tool_choice(chat: &Chat, body: &mut Object<'_>, losses: &mut Losses) {
    let one = chat.parallel == Some(false);
    let (kind, lost) = match &chat.choice {
        None if one => ("auto", false),
        None => return,
        Some(ToolChoice::Auto | ToolChoice::Allowed { required: false, .. }) => ("auto", false),
        Some(ToolChoice::None) => ("none", false),
        Some(ToolChoice::Required | ToolChoice::Allowed { required: true, .. }) => ("any", false),
        Some(ToolChoice::Named(_)) => ("tool", false),
        Some(ToolChoice::Foreign(Dialect::Anthropic, whole)) => {
            body.value("tool_choice", whole);
            return;
        }
        Some(ToolChoice::Foreign(..)) => ("auto", true),
    };
    if lost {
        losses.lose("tool_choice");
    }
    let mut object = Object::typed(body.at("tool_choice"), kind);
    if let (Some(ToolChoice::Named(name)), "tool") = (&chat.choice, kind) {
        let of = chat.tools.iter().find(|tool| tool.name == *name);
        object.text("name", &Asked::flat(of.and_then(|tool| tool.namespace.as_deref()), name));
    }
    if one && kind != "none" {
        object.bool("disable_parallel_tool_use", true);
    }
    object.close();
}

fn sampling(chat: &Chat, plan: &Plan, body: &mut Object<'_>) {
    if let Some(temperature) = &plan.temperature {
        body.number("temperature", temperature);
    }
    if let Some(top_p) = &plan.top_p {
        body.number("top_p", top_p);
    }
    if let Some(top_k) = &plan.top_k {
        body.number("top_k", top_k);
    }
    let mut stops = Vec::new();
    for stop in chat.params.stop.iter().filter(|stop| !stop.trim().is_empty()) {
        crate::json::quote(stop, next(&mut stops));
    }
    if !stops.is_empty() {
        list(body.at("stop_sequences"), &stops);
    }
}

fn thinking(chat: &Chat, plan: &Plan, body: &mut Object<'_>) {
    let Some(said) = &chat.reasoning else { return };
    let kind = match (plan.thinks, plan.off) {
        (true, _) if plan.budget.is_some() => "enabled",
        (true, _) => "adaptive",
        (false, true) => "disabled",
        (false, false) => return,
    };
    let mut object = Object::typed(body.at("thinking"), kind);
    if plan.thinks {
        if let Some(budget) = plan.budget {
            object.count("budget_tokens", budget);
        }
        let own = said.rest.of(Dialect::Anthropic).any(|(name, _)| name == "display");
        if let Some(show) = said.show.filter(|_| !own) {
            object.text("display", if show { "summarized" } else { "omitted" });
        }
    }
    for (name, value) in said.rest.of(Dialect::Anthropic) {
        if name != EFFORT_ALONE && (plan.thinks || name != "display") {
            object.value(name, value);
        }
    }
    object.close();
}

fn output_config(chat: &Chat, plan: &Plan, body: &mut Object<'_>) {
    let rest = chat.rest.of(Dialect::Anthropic).find(|(name, _)| *name == "output_config");
    let schema = match &chat.output {
        Some(Output::Schema { schema, .. }) if !schema.is_null() => Some(schema),
        _ => None,
    };
    if plan.effort.is_none() && schema.is_none() && rest.is_none() {
        return;
    }
    let mut object = Object::open(body.at("output_config"));
    if let Some(effort) = &plan.effort {
        object.text("effort", effort);
    }
    if let Some(schema) = schema {
        let mut format = Object::typed(object.at("format"), "json_schema");
        let mut schema = schema.clone();
        close(&mut schema);
        format.value("schema", &schema);
        format.close();
    }
    for (name, value) in rest.and_then(|(_, config)| config.as_object()).into_iter().flatten() {
        object.value(name, value);
    }
    object.close();
}

/// Says of every object with named properties that it has no others, where the schema leaves it open: the provider takes no open ones.
fn close(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    let named = members.get("properties").and_then(Value::as_object).is_some_and(|properties| !properties.is_empty());
    if named && !members.contains_key("additionalProperties") {
        members.insert("additionalProperties".to_owned(), Value::Bool(false));
    }
    for (name, value) in members {
        match (name.as_str(), value) {
            ("properties" | "$defs" | "definitions", Value::Object(schemas)) => schemas.values_mut().for_each(close),
            ("anyOf" | "allOf" | "oneOf" | "prefixItems", Value::Array(schemas)) => schemas.iter_mut().for_each(close),
            ("items", schema) => close(schema),
            _ => {}
        }
    }
}

fn metadata(chat: &Chat, body: &mut Object<'_>) {
    let rest = chat.rest.of(Dialect::Anthropic).find(|(name, _)| *name == "metadata");
    if chat.params.user.is_none() && rest.is_none() {
        return;
    }
    let mut object = Object::open(body.at("metadata"));
    if let Some(user) = &chat.params.user {
        object.text("user_id", user);
    }
    for (name, value) in rest.and_then(|(_, metadata)| metadata.as_object()).into_iter().flatten() {
        object.value(name, value);
    }
    object.close();
}

fn service_tier<'a>(chat: &'a Chat, losses: &mut Losses) -> Option<&'a str> {
    match chat.params.service_tier.as_deref()? {
        tier @ ("auto" | "standard_only") => Some(tier),
        "default" => Some("standard_only"),
        _ => {
            losses.hint("service_tier");
            None
        }
    }
}

/// Whether a turn says how the model is to behave.
pub(super) fn is_system(role: Role) -> bool {
    matches!(role, Role::System | Role::Developer)
}
