//! A client's Messages request, read generously.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::block;
use super::members::Members;
use crate::Dialect;
use crate::failure::Failure;
use crate::hub::{Chat, Output, Params, Part, Rest, Role, Thinking, Tool, ToolChoice, ToolKind, Turn};
use crate::json;

/// The request.
///
/// # Errors
/// A 400 for what is not JSON, has no messages, or has something else in their place.
pub fn read(body: &[u8]) -> Result<Chat, Failure> {
    let tree = json::tree(body).ok_or_else(|| {
        Failure::invalid(
            "invalid_json",
            "The request body is not JSON that can be translated, or is nested too deeply.",
        )
    })?;
    let mut members =
        Members::of(tree).map_err(|_| Failure::invalid("invalid_type", "The request body must be a JSON object."))?;
    let mut turns = Turns::default();
    if let Some(system) = members.any("system") {
        if !block::readable(&system) {
            return Err(wrong("system", "a string or a list of text blocks"));
        }
        turns.system(block::read_all(Some(system)));
    }
    if members.0.get("messages").is_none_or(Value::is_null) {
        return Err(Failure::invalid("missing_field", "The request body has no `messages`.").with_param("messages"));
    }
    for (at, message) in members.list("messages").into_iter().enumerate() {
        turns.message(message, at)?;
    }
    let mut odd = Vec::new();
    let mut chat = Chat {
        model: members.string("model").unwrap_or_default(),
        turns: turns.done,
        tools: members.list("tools").into_iter().filter_map(tool).collect(),
        stream: members.bool("stream").unwrap_or(false),
        stream_usage: true,
        ..Chat::default()
    };
    (chat.choice, chat.parallel) = choice(&mut members);
    chat.params = params(&mut members, &mut odd);
    (chat.reasoning, chat.output) = thinking(&mut members);
    chat.params.odd = odd;
    chat.rest = members.rest();
    Ok(chat)
}

fn wrong(place: &str, expected: &str) -> Failure {
    Failure::invalid("invalid_type", format!("`{place}` must be {expected}."))
}

/// The conversation so far.
#[derive(Default)]
struct Turns {
    done: Vec<Turn>,
    /// The names of the tools by the ids of their calls.
    called: HashMap<String, String>,
}

impl Turns {
    fn system(&mut self, parts: Vec<Part>) {
        if !parts.is_empty() {
            self.done.push(Turn { role: Role::System, parts, name: None, rest: Rest::default() });
        }
    }

    fn message(&mut self, message: Value, at: usize) -> Result<(), Failure> {
        let place = format!("messages[{at}]");
        let mut message = Members::of(message).map_err(|_| wrong(&place, "an object"))?;
        let role = match message.string("role").as_deref() {
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("system") => Role::System,
            Some("developer") => Role::Developer,
            _ => return Err(wrong(&format!("{place}.role"), "user, assistant or system")),
        };
        if message.0.get("content").is_some_and(|content| !block::readable(content)) {
            return Err(wrong(&format!("{place}.content"), "a string or a list of blocks"));
        }
        let parts = block::read_all(message.0.shift_remove("content"));
        self.split(role, parts, message.rest());
        Ok(())
    }

    /// Results of tools are turns of their own, in the order in which they stand.
    fn split(&mut self, role: Role, parts: Vec<Part>, mut rest: Rest) {
        let mut turn = Turn { role, parts: Vec::new(), name: None, rest: Rest::default() };
        let mut any = false;
        for mut part in parts {
            let of = match &mut part {
                Part::Result(result) => {
                    result.name = self.called.get(&result.id).cloned();
                    Role::Tool
                }
                Part::Call(call) => {
                    if call.id.is_empty() {
                        call.id = format!("call_{}", self.called.len());
                    }
                    self.called.insert(call.id.clone(), call.name.clone());
                    role
                }
                _ => role,
            };
            if of != turn.role {
                if !turn.parts.is_empty() {
                    any = true;
                    let next = Turn { role: of, parts: Vec::new(), name: None, rest: Rest::default() };
                    self.done.push(std::mem::replace(&mut turn, next));
                }
                turn.role = of;
            }
            turn.parts.push(part);
        }
        if !turn.parts.is_empty() || !any {
            turn.rest = std::mem::take(&mut rest);
            self.done.push(turn);
        }
    }
}

fn tool(tool: Value) -> Option<Tool> {
    let mut members = Members::of(tool).ok()?;
    let function = matches!(members.str("type"), None | Some("custom" | "function"));
    if !function || members.str("name").is_none() {
        let name = members.str("name").or(members.str("type")).unwrap_or_default().to_owned();
        let kind = ToolKind::Foreign(Dialect::Anthropic, Value::Object(members.0));
        return Some(Tool { name, description: None, kind, namespace: None, rest: Rest::default() });
    }
    members.0.shift_remove("type");
    let name = members.string("name")?;
    let description = members.string("description");
    let schema = ["input_schema", "parameters"].into_iter().find_map(|name| members.any(name)).unwrap_or_default();
    let strict = members.bool("strict");
    let kind = ToolKind::Function { schema, strict };
    Some(Tool { name, description, kind, namespace: None, rest: members.rest() })
}

fn choice(members: &mut Members) -> (Option<ToolChoice>, Option<bool>) {
    let mut object = match members.any("tool_choice") {
        None => return (None, None),
        Some(Value::Object(members)) => Members(members),
        Some(word) => Members(Map::from_iter([("type".to_owned(), word)])),
    };
    let parallel = object.bool("disable_parallel_tool_use").map(|off| !off);
    let choice = match object.str("type") {
        Some("auto") => ToolChoice::Auto,
        Some("any" | "required") => ToolChoice::Required,
        Some("none") => ToolChoice::None,
        Some("tool") if object.str("name").is_some() => ToolChoice::Named(object.string("name").unwrap_or_default()),
        _ => ToolChoice::Foreign(Dialect::Anthropic, Value::Object(object.0)),
    };
    (Some(choice), parallel)
}

fn params(members: &mut Members, odd: &mut Vec<std::borrow::Cow<'static, str>>) -> Params {
    let mut number = |name: &'static str| {
        let number = members.number(name);
        if number.is_none() && members.any(name).is_some() {
            odd.push(name.into());
        }
        number
    };
    let mut params = Params {
        max_tokens: number("max_tokens"),
        temperature: number("temperature"),
        top_p: number("top_p"),
        top_k: number("top_k"),
        ..Params::default()
    };
    for stop in members.list("stop_sequences") {
        match stop {
            Value::String(text) => params.stop.push(text),
            _ => odd.push("stop_sequences".into()),
        }
    }
    params.service_tier = members.string("service_tier");
    if let Some(mut metadata) = members.object("metadata") {
        params.user = metadata.string("user_id");
        if metadata.0.values().any(|value| !value.is_null()) {
            members.0.insert("metadata".to_owned(), Value::Object(metadata.0));
        }
    }
    params
}

/// How much to think, and in which form to answer: `output_config` speaks of both.
fn thinking(members: &mut Members) -> (Option<Thinking>, Option<Output>) {
    let mut thinking = Thinking::default();
    let mut said = false;
    if let Some(mut object) = members.object("thinking") {
        said = true;
        match object.string("type").as_deref() {
            Some("disabled") => thinking.off = true,
            Some("adaptive") => thinking.adaptive = true,
            _ => {}
        }
        thinking.budget = object.number("budget_tokens");
        thinking.show = match object.str("display") {
            Some("omitted") => Some(false),
            Some(_) => Some(true),
            None => None,
        };
        if matches!(object.str("display"), Some("omitted" | "summarized")) {
            object.0.shift_remove("display");
        }
        thinking.rest = object.rest();
    }
    let mut format = members.any("output_format");
    if let Some(mut config) = members.object("output_config") {
        thinking.effort = config.string("effort");
        format = config.any("format").or(format);
        if !said && thinking.effort.is_some() {
            // Effort alone switches no thinking on here, as it would elsewhere.
            thinking.rest =
                Rest::new(Dialect::Anthropic, Map::from_iter([(EFFORT_ALONE.to_owned(), Value::Bool(true))]));
            said = true;
        }
        if config.0.values().any(|value| !value.is_null()) {
            members.0.insert("output_config".to_owned(), Value::Object(config.0));
        }
    }
    let output = format.and_then(|format| match output(format) {
        Ok(output) => Some(output),
        Err(odd) => {
            members.0.insert("output_format".to_owned(), odd);
            None
        }
    });
    (said.then_some(thinking), output)
}

/// Marks a [`Thinking`] whose request spoke of effort and not of thinking; named as what gets lost elsewhere.
pub(super) const EFFORT_ALONE: &str = "output_config.effort";

fn output(format: Value) -> Result<Output, Value> {
    let mut object = Members::of(format)?;
    if object.str("type") != Some("json_schema") {
        return Err(Value::Object(object.0));
    }
    let name = object.string("name");
    let schema = object.any("schema").unwrap_or_default();
    Ok(Output::Schema { name, description: None, schema, strict: None })
}
