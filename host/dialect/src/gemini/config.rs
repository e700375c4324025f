//! `generationConfig` and `toolConfig`, read.
//!
//! What only Gemini knows of them is kept under its path (`generationConfig.speechConfig`), which is also how a loss names it.

use serde_json::{Map, Value};

use super::fields::Fields;
use super::schema;
use crate::Dialect;
use crate::hub::{Chat, Output, Rest, Thinking, ToolChoice};

pub(super) const GENERATION: &str = "generationConfig.";
pub(super) const TOOLS: &str = "toolConfig.";

pub(super) fn read_tool_config(mut config: Fields, chat: &mut Chat, rest: &mut Map<String, Value>) {
    if let Some(mut calling) = config.fields("functionCallingConfig") {
        let names: Vec<String> =
            calling.list("allowedFunctionNames").into_iter().filter_map(|name| text(name).ok()).collect();
        let mode = calling.take("mode").map(mode).unwrap_or_default();
        chat.choice = match (mode.as_str(), names.len()) {
            ("NONE", _) => Some(ToolChoice::None),
            ("ANY", 0) => Some(ToolChoice::Required),
            ("ANY", 1) => names.into_iter().next().map(ToolChoice::Named),
            ("ANY", _) => Some(ToolChoice::Allowed { required: true, names }),
            ("AUTO" | "VALIDATED", 1..) => Some(ToolChoice::Allowed { required: false, names }),
            ("AUTO", 0) => Some(ToolChoice::Auto),
            ("VALIDATED", 0) => {
                rest.insert(format!("{TOOLS}functionCallingConfig.mode"), Value::from("VALIDATED"));
                Some(ToolChoice::Auto)
            }
            ("" | "MODE_UNSPECIFIED", _) => None,
            _ => {
                let whole = Map::from_iter([("mode".to_owned(), Value::from(mode.as_str()))]);
                Some(ToolChoice::Foreign(Dialect::Gemini, Value::Object(whole)))
            }
        };
        keep(&format!("{TOOLS}functionCallingConfig."), calling, rest);
    }
    keep(TOOLS, config, rest);
}

/// A mode by its name, or by its number in the API's protocol buffers.
fn mode(value: Value) -> String {
    let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
    match number {
        Some(number) => ["", "AUTO", "ANY", "NONE", "VALIDATED"].get(number).copied().unwrap_or_default().to_owned(),
        None => text(value).unwrap_or_default().to_ascii_uppercase(),
    }
}

fn text(value: Value) -> Result<String, Value> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(other),
    }
}

fn keep(path: &str, fields: Fields, rest: &mut Map<String, Value>) {
    rest.extend(fields.left().into_iter().map(|(name, value)| (format!("{path}{name}"), value)));
}

pub(super) fn read_generation(mut config: Fields, chat: &mut Chat, rest: &mut Map<String, Value>) {
    let params = &mut chat.params;
    params.temperature = config.number("temperature");
    params.top_p = config.number("topP");
    params.top_k = config.number("topK");
    params.n = config.number("candidateCount");
    params.max_tokens = config.number("maxOutputTokens");
    params.seed = config.number("seed");
    params.presence_penalty = config.number("presencePenalty");
    params.frequency_penalty = config.number("frequencyPenalty");
    params.logprobs = config.flag("responseLogprobs");
    params.top_logprobs = config.number("logprobs");
    params.stop = config.list("stopSequences").into_iter().filter_map(|stop| text(stop).ok()).collect();
    if let Some(thinking) = config.fields("thinkingConfig") {
        chat.reasoning = Some(read_thinking(thinking));
    }
    chat.output = read_output(&mut config);
    // What every model answers in anyway says nothing.
    if let Some(modalities) = config.take("responseModalities") {
        let texts = modalities.as_array().is_some_and(|list| list.iter().all(|one| one == "TEXT" || one == "text"));
        if !texts {
            rest.insert(format!("{GENERATION}responseModalities"), modalities);
        }
    }
    keep(GENERATION, config, rest);
}

fn read_thinking(mut config: Fields) -> Thinking {
    let mut thinking = Thinking { show: config.flag("includeThoughts"), ..Thinking::default() };
    if let Some(level) = config.text("thinkingLevel") {
        let level = level.to_ascii_lowercase();
        thinking.effort = (level != "thinking_level_unspecified").then_some(level);
    }
    match config.number("thinkingBudget") {
        Some(budget) if budget.as_i64() == Some(-1) => thinking.adaptive = true,
        Some(budget) if budget.as_i64() == Some(0) => thinking.off = true,
        budget => thinking.budget = budget,
    }
    thinking.rest = Rest::new(Dialect::Gemini, config.left());
    thinking
}

fn read_output(config: &mut Fields) -> Option<Output> {
    let mime = config.text("responseMimeType");
    if mime.as_deref().is_some_and(|mime| mime != "application/json" && mime != "text/plain") {
        // `text/x.enum` has no like elsewhere: it stays with its schema.
        config.restore("responseMimeType", mime.map(Value::String));
        return None;
    }
    let schema = match config.take("responseJsonSchema") {
        Some(schema) => Some(schema),
        None => config.take("responseSchema").map(schema::to_json_schema),
    };
    match schema {
        Some(schema) => Some(Output::Schema { name: None, description: None, schema, strict: None }),
        None if mime.as_deref() == Some("application/json") => Some(Output::Json),
        None => None,
    }
}
