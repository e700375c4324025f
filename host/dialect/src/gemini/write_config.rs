//! Everything of a request but its contents, written: tools and their choice, `generationConfig`, and what only Gemini knows.

use serde_json::{Map, Value};

use super::config::{GENERATION, TOOLS};
use crate::Dialect;
use crate::hub::{Asked, Chat, Losses, Output, Target, Thinking, Tool, ToolChoice, ToolKind};
use crate::json::build as put;

/// Token budgets that Google's own OpenAI-compatible road gives to efforts.
const BUDGETS: [(&str, u32); 6] =
    [("minimal", 1024), ("low", 1024), ("medium", 8192), ("high", 24576), ("xhigh", 24576), ("max", 24576)];

pub(super) fn tools(chat: &Chat, losses: &mut Losses, out: &mut Vec<u8>) {
    let mut some = false;
    if !chat.tools.is_empty() {
        let start = out.len();
        put::key(out, "tools");
        out.push(b'[');
        let empty = out.len();
        let mut open = false;
        for tool in &chat.tools {
            losses.beside(&tool.rest, Dialect::Gemini);
            if let ToolKind::Foreign(dialect, value) = &tool.kind {
                if *dialect != Dialect::Gemini {
                    losses.lose(format!("tools.{}", tool.name));
                    continue;
                }
                some = true;
                close_functions(&mut open, out);
                put::comma(out);
                put::value(out, value);
                continue;
            }
            if !open {
                put::comma(out);
                out.extend_from_slice(b"{\"functionDeclarations\":[");
                open = true;
            }
            some = true;
            function(tool, losses, out);
        }
        close_functions(&mut open, out);
        if out.len() == empty {
            out.truncate(start);
        } else {
            out.push(b']');
        }
    }
    choice(chat, some, losses, out);
    if chat.parallel == Some(false) {
        losses.lose("parallel_tool_calls");
    }
}

fn close_functions(open: &mut bool, out: &mut Vec<u8>) {
    if std::mem::take(open) {
        out.extend_from_slice(b"]}");
    }
}

fn function(tool: &Tool, losses: &mut Losses, out: &mut Vec<u8>) {
    put::comma(out);
    out.push(b'{');
    put::text(out, "name", &Asked::flat(tool.namespace.as_deref(), &tool.name));
    put::maybe_text(out, "description", tool.description.as_deref());
    match &tool.kind {
        ToolKind::Function { schema, strict } => {
            if !schema.is_null() {
                put::member(out, "parametersJsonSchema", schema);
            }
            if *strict == Some(true) {
                losses.hint("tools.strict");
            }
        }
        ToolKind::Custom { format } => {
            let schema = r#"{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}"#;
            put::raw(out, "parametersJsonSchema", schema);
            if format.as_ref().is_some_and(|format| format.get("type").is_none_or(|kind| kind != "text")) {
                losses.lose("tools.format");
            }
        }
        ToolKind::Foreign(..) => {}
    }
    put::members(out, tool.rest.of(Dialect::Gemini));
    out.push(b'}');
}

/// `functionCallingConfig`, and with it what else `toolConfig` had. Without tools the API refuses a choice among them.
fn choice(chat: &Chat, some: bool, losses: &mut Losses, out: &mut Vec<u8>) {
    let mut calling = Map::new();
    if some {
        let mode = |calling: &mut Map<String, Value>, mode: &str| {
            calling.insert("mode".to_owned(), Value::from(mode));
        };
        let flat = |name: &String| {
            let tool = chat.tools.iter().find(|tool| tool.name == *name);
            Value::from(Asked::flat(tool.and_then(|tool| tool.namespace.as_deref()), name))
        };
        match &chat.choice {
            None => {}
            Some(ToolChoice::Auto) => mode(&mut calling, "AUTO"),
            Some(ToolChoice::None) => mode(&mut calling, "NONE"),
            Some(ToolChoice::Required) => mode(&mut calling, "ANY"),
            Some(ToolChoice::Named(name)) => {
                mode(&mut calling, "ANY");
                calling.insert("allowedFunctionNames".to_owned(), Value::from(vec![flat(name)]));
            }
            Some(ToolChoice::Allowed { required, names }) => {
                // `AUTO` takes no names; `VALIDATED` is the same with them.
                mode(&mut calling, if *required { "ANY" } else { "VALIDATED" });
                calling.insert("allowedFunctionNames".to_owned(), names.iter().map(flat).collect());
            }
            Some(ToolChoice::Foreign(Dialect::Gemini, Value::Object(whole))) => calling.clone_from(whole),
            Some(ToolChoice::Foreign(..)) => losses.lose("tool_choice"),
        }
    } else if matches!(
        chat.choice,
        Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { .. } | ToolChoice::Foreign(..))
    ) {
        losses.lose("tool_choice");
    }
    let mut config = Map::new();
    for (path, value) in chat.rest.of(Dialect::Gemini) {
        let Some(name) = path.strip_prefix(TOOLS) else { continue };
        match name.strip_prefix("functionCallingConfig.") {
            Some(name) => calling.insert(name.to_owned(), value.clone()),
            None => config.insert(name.to_owned(), value.clone()),
        };
    }
    if !calling.is_empty() {
        config.insert("functionCallingConfig".to_owned(), Value::Object(calling));
    }
    if !config.is_empty() {
        put::member(out, "toolConfig", &Value::Object(config));
    }
}

pub(super) fn generation(chat: &Chat, target: &Target<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
    let start = out.len();
    put::key(out, "generationConfig");
    out.push(b'{');
    let empty = out.len();
    let params = &chat.params;
    for (name, spelt, value) in [
        ("temperature", "temperature", &params.temperature),
        ("topP", "top_p", &params.top_p),
        ("topK", "top_k", &params.top_k),
    ] {
        match value {
            Some(_) if target.refuses_sampling => losses.lose(spelt),
            Some(value) => put::number(out, name, value),
            None => {}
        }
    }
    for (name, value) in [
        ("candidateCount", &params.n),
        ("maxOutputTokens", &params.max_tokens),
        ("seed", &params.seed),
        ("presencePenalty", &params.presence_penalty),
        ("frequencyPenalty", &params.frequency_penalty),
    ] {
        if let Some(value) = value {
            put::number(out, name, value);
        }
    }
    if !params.stop.is_empty() {
        put::member(out, "stopSequences", &Value::from(params.stop.clone()));
    }
    if let Some(logprobs) = params.logprobs {
        put::raw(out, "responseLogprobs", if logprobs { "true" } else { "false" });
    }
    if let (Some(top), true) = (&params.top_logprobs, params.logprobs != Some(false)) {
        put::number(out, "logprobs", top);
    }
    output(chat.output.as_ref(), losses, out);
    if let Some(thinking) = &chat.reasoning {
        self::thinking(thinking, target, losses, out);
    }
    for (path, value) in chat.rest.of(Dialect::Gemini) {
        if let Some(name) = path.strip_prefix(GENERATION) {
            put::member(out, name, value);
        }
    }
    if out.len() == empty {
        out.truncate(start);
    } else {
        out.push(b'}');
    }
}

fn output(output: Option<&Output>, losses: &mut Losses, out: &mut Vec<u8>) {
    let Some(output) = output else { return };
    put::text(out, "responseMimeType", "application/json");
    if let Output::Schema { description, schema, .. } = output {
        // The name names nothing that the model or the client reads; the API is always strict.
        put::member(out, "responseJsonSchema", schema);
        if description.is_some() {
            losses.hint("response_format.description");
        }
    }
}

fn thinking(thinking: &Thinking, target: &Target<'_>, losses: &mut Losses, out: &mut Vec<u8>) {
    if target.refuses_reasoning {
        if !thinking.off && thinking.effort.as_deref() != Some("none") {
            losses.lose("reasoning_effort");
        }
        return;
    }
    let start = out.len();
    put::key(out, "thinkingConfig");
    out.push(b'{');
    let empty = out.len();
    if target.thinking_level {
        level(thinking, losses, out);
    } else {
        budget(thinking, losses, out);
    }
    if let Some(show) = thinking.show {
        put::raw(out, "includeThoughts", if show { "true" } else { "false" });
    }
    put::members(out, thinking.rest.of(Dialect::Gemini));
    losses.beside(&thinking.rest, Dialect::Gemini);
    if out.len() == empty {
        out.truncate(start);
    } else {
        out.push(b'}');
    }
}

/// All models of this kind know low and high; none can be told not to think.
fn level(thinking: &Thinking, losses: &mut Losses, out: &mut Vec<u8>) {
    let effort = if thinking.off { Some("none") } else { thinking.effort.as_deref() };
    match (effort, &thinking.budget) {
        (Some("none"), _) => {
            losses.lose("reasoning_effort");
            put::text(out, "thinkingLevel", "low");
        }
        // Some of them refuse `minimal`.
        (Some("minimal"), _) => {
            losses.hint("reasoning_effort");
            put::text(out, "thinkingLevel", "low");
        }
        (Some(known @ ("low" | "medium" | "high")), _) => put::text(out, "thinkingLevel", known),
        (Some("xhigh" | "max"), _) => {
            losses.hint("reasoning_effort");
            put::text(out, "thinkingLevel", "high");
        }
        (Some(_), _) => losses.lose("reasoning_effort"),
        // These models take a budget too, as long as no level stands beside it.
        (None, Some(budget)) => put::number(out, "thinkingBudget", budget),
        (None, None) => {}
    }
}

fn budget(thinking: &Thinking, losses: &mut Losses, out: &mut Vec<u8>) {
    let effort = thinking.effort.as_deref();
    if thinking.off || effort == Some("none") {
        put::raw(out, "thinkingBudget", "0");
    } else if let Some(budget) = &thinking.budget {
        put::number(out, "thinkingBudget", budget);
    } else if let Some(effort) = effort {
        if matches!(effort, "xhigh" | "max") {
            losses.hint("reasoning_effort");
        }
        match BUDGETS.iter().find(|(name, _)| *name == effort) {
            Some((_, budget)) => put::number(out, "thinkingBudget", budget),
            None => losses.lose("reasoning_effort"),
        }
    } else if thinking.adaptive {
        put::raw(out, "thinkingBudget", "-1");
    }
}

/// Members of the top level that only Gemini has, and what of the parameters it has no place for.
pub(super) fn beside(chat: &Chat, losses: &mut Losses, out: &mut Vec<u8>) {
    let params = &chat.params;
    match params.service_tier.as_deref() {
        Some(tier @ ("flex" | "priority")) => put::text(out, "serviceTier", tier),
        // What goes without saying; Vertex has no place for it.
        Some("auto" | "default" | "standard") | None => {}
        Some(_) => losses.hint("service_tier"),
    }
    if params.user.is_some() {
        losses.hint("user");
    }
    if params.verbosity.is_some() {
        losses.lose("verbosity");
    }
    for odd in &params.odd {
        losses.lose(odd.clone());
    }
    let top = |(path, _): &(&String, &Value)| !path.starts_with(GENERATION) && !path.starts_with(TOOLS);
    put::members(out, chat.rest.of(Dialect::Gemini).filter(top));
    losses.beside(&chat.rest, Dialect::Gemini);
}
