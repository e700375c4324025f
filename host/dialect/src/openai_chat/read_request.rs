//! The client's request as a [`Chat`]: generous about spellings, strict about what no provider could read.

use serde_json::{Map, Value};

use super::content::{self, Calls};
use super::{OWN, take};
use crate::failure::Failure;
use crate::hub::{Chat, Output, Part, Rest, Role, Thinking, Tool, ToolChoice, ToolKind, ToolResult, Turn};
use crate::json;

pub(super) fn read(body: &[u8]) -> Result<Chat, Failure> {
    let Some(Value::Object(members)) = json::tree(body) else {
        return Err(Failure::invalid("invalid_json", "The request body must be a JSON object."));
    };
    let mut reader = Reader::default();
    for (name, value) in members {
        if !value.is_null() {
            reader.member(name, value)?;
        }
    }
    Ok(reader.finish())
}

#[derive(Default)]
struct Reader {
    chat: Chat,
    rest: Map<String, Value>,
    calls: Calls,
    /// The limit under its newer name wins.
    max_tokens: Option<serde_json::Number>,
    effort: Thinking,
}

impl Reader {
    fn member(&mut self, name: String, value: Value) -> Result<(), Failure> {
        match (name.as_str(), value) {
            ("model", Value::String(model)) => self.chat.model = model,
            ("messages", Value::Array(messages)) => {
                for (position, message) in messages.into_iter().enumerate() {
                    self.message(message, position)?;
                }
            }
            ("messages", message @ Value::Object(_)) => self.message(message, 0)?,
            ("messages", _) => {
                return Err(Failure::invalid("invalid_type", "`messages` must be a list.").with_param("messages"));
            }
            ("tools", value) => self.chat.tools.extend(take::list(value).into_iter().map(tool)),
            ("functions", value) => self.chat.tools.extend(take::list(value).into_iter().map(old_tool)),
            ("tool_choice" | "function_call", value) => self.chat.choice = Some(choice(value)),
            ("response_format", value) => self.output(name, value),
            ("stream", Value::Bool(stream)) => self.chat.stream = stream,
            ("stream_options", Value::Object(mut options)) => {
                let usage = options.shift_remove("include_usage");
                self.chat.stream_usage = usage == Some(Value::Bool(true));
                let options = take::left(options);
                if !options.is_empty() {
                    self.rest.insert(name, Value::Object(options));
                }
            }
            (_, value) => {
                if let Some(value) = self.reasoning(&name, value)
                    && let Some(value) = self.param(&name, value)
                {
                    self.rest.insert(name, value);
                }
            }
        }
        Ok(())
    }

    fn message(&mut self, message: Value, position: usize) -> Result<(), Failure> {
        let Value::Object(members) = message else {
            return Err(Failure::invalid("invalid_type", format!("`messages[{position}]` must be an object."))
                .with_param("messages"));
        };
        let mut said = content::message(members, &mut self.calls);
        let role = match said.role.as_deref() {
            Some("system") => Role::System,
            Some("developer") => Role::Developer,
            Some("user") => Role::User,
            Some("assistant") => Role::Assistant,
            Some("tool" | "function") => Role::Tool,
            _ => {
                let message = format!(
                    "`messages[{position}].role` must be one of system, developer, user, assistant, tool and function."
                );
                return Err(Failure::invalid("invalid_value", message).with_param("messages"));
            }
        };
        let mut turn = Turn { role, parts: said.parts, name: said.name, rest: Rest::default() };
        if role == Role::Tool {
            let tool = turn.name.take();
            let id = said.tool_call_id.take().filter(|id| !id.is_empty());
            let id = self.calls.answered(id, tool.as_deref()).unwrap_or_default();
            let known = self.calls.named(&id);
            let custom = known.is_some_and(|(_, custom)| custom);
            let name = known.map(|(name, _)| name.to_owned()).or(tool);
            let parts = std::mem::take(&mut turn.parts);
            let result = ToolResult { id, name, parts, error: false, custom, rest: Rest::new(OWN, said.rest) };
            turn.parts.push(Part::Result(result));
        } else {
            turn.rest = Rest::new(OWN, said.rest);
        }
        self.chat.turns.push(turn);
        Ok(())
    }

    fn output(&mut self, name: String, value: Value) {
        let Value::Object(mut format) = value else { return };
        let kind = take::text(&mut format, "type").unwrap_or_default();
        let mut inner = take::object(&mut format, "json_schema").unwrap_or_default();
        let schema = take::any(&mut inner, "schema").or_else(|| take::any(&mut format, "schema"));
        self.chat.output = match (kind.as_str(), schema) {
            ("json_schema" | "json_object", Some(schema)) => Some(Output::Schema {
                name: take::text(&mut inner, "name"),
                description: take::text(&mut inner, "description"),
                schema,
                strict: take::any(&mut inner, "strict").and_then(|strict| strict.as_bool()),
            }),
            ("json_schema" | "json_object", None) => Some(Output::Json),
            ("text" | "", _) => None,
            _ => {
                format.insert("type".to_owned(), Value::String(kind));
                self.rest.insert(name, Value::Object(format));
                None
            }
        };
    }

    /// How much to think, in the words of OpenAI, OpenRouter, DeepSeek and Z.ai, Qwen, and Groq.
    fn reasoning(&mut self, name: &str, value: Value) -> Option<Value> {
        let thinking = &mut self.effort;
        match (name, value) {
            ("reasoning_effort", Value::String(effort)) => thinking.effort = Some(effort),
            ("reasoning", Value::Object(mut own)) => {
                if let Some(effort) = take::text(&mut own, "effort") {
                    thinking.effort = Some(effort);
                }
                thinking.budget = take::any(&mut own, "max_tokens").and_then(take::number);
                thinking.adaptive |= own.get("enabled") == Some(&Value::Bool(true));
                thinking.off |= own.get("enabled") == Some(&Value::Bool(false));
                thinking.show = match own.get("exclude") {
                    Some(Value::Bool(hidden)) => Some(!hidden),
                    _ => thinking.show,
                };
                own.retain(|name, value| !value.is_null() && !matches!(name.as_str(), "enabled" | "exclude"));
                return (!own.is_empty()).then_some(Value::Object(own));
            }
            ("thinking", Value::Object(mut own)) => {
                let kind = take::text(&mut own, "type").unwrap_or_default();
                thinking.off |= kind == "disabled";
                thinking.adaptive |= matches!(kind.as_str(), "enabled" | "adaptive" | "auto");
                thinking.budget = take::any(&mut own, "budget_tokens").and_then(take::number);
                own.retain(|_, value| !value.is_null());
                return (!own.is_empty()).then_some(Value::Object(own));
            }
            ("enable_thinking", Value::Bool(on)) => {
                thinking.off |= !on;
                thinking.adaptive |= on;
            }
            ("include_reasoning", Value::Bool(show)) => thinking.show = Some(show),
            ("reasoning_format", Value::String(format)) => thinking.show = Some(format != "hidden"),
            (_, value) => return Some(value),
        }
        None
    }

    /// Takes a parameter that the hub knows; gives back any other. One of a wrong type is left out and named.
    fn param(&mut self, name: &str, value: Value) -> Option<Value> {
        let params = &mut self.chat.params;
        let (slot, value) = match (name, value) {
            ("stop", Value::String(stop)) => {
                params.stop.push(stop);
                return None;
            }
            ("stop", Value::Array(stops)) => {
                let texts =
                    stops.into_iter().filter_map(|stop| if let Value::String(stop) = stop { Some(stop) } else { None });
                params.stop.extend(texts);
                return None;
            }
            ("parallel_tool_calls", Value::Bool(parallel)) => {
                self.chat.parallel = Some(parallel);
                return None;
            }
            ("logprobs", Value::Bool(logprobs)) => {
                params.logprobs = Some(logprobs);
                return None;
            }
            ("user", Value::String(user)) => {
                params.user = Some(user);
                return None;
            }
            ("verbosity", Value::String(verbosity)) => {
                params.verbosity = Some(verbosity);
                return None;
            }
            ("service_tier", Value::String(tier)) => {
                params.service_tier = Some(tier);
                return None;
            }
            ("max_completion_tokens", value) => (&mut params.max_tokens, value),
            ("max_tokens", value) => (&mut self.max_tokens, value),
            ("temperature", value) => (&mut params.temperature, value),
            ("top_p", value) => (&mut params.top_p, value),
            ("top_k", value) => (&mut params.top_k, value),
            ("n", value) => (&mut params.n, value),
            ("seed" | "random_seed", value) => (&mut params.seed, value),
            ("presence_penalty", value) => (&mut params.presence_penalty, value),
            ("frequency_penalty", value) => (&mut params.frequency_penalty, value),
            ("top_logprobs", value) => (&mut params.top_logprobs, value),
            ("stop" | "parallel_tool_calls" | "logprobs" | "user" | "verbosity" | "service_tier", _) => {
                params.odd.push(name.to_owned().into());
                return None;
            }
            (_, value) => return Some(value),
        };
        match take::number(value) {
            Some(number) => *slot = Some(number),
            None => params.odd.push(name.to_owned().into()),
        }
        None
    }

    fn finish(self) -> Chat {
        let Reader { mut chat, rest, max_tokens, mut effort, .. } = self;
        chat.params.max_tokens = chat.params.max_tokens.or(max_tokens);
        effort.off |= effort.effort.as_deref() == Some("none");
        chat.reasoning = (effort != Thinking::default()).then_some(effort);
        chat.rest = Rest::new(OWN, rest);
        chat
    }
}

fn tool(value: Value) -> Tool {
    let Value::Object(mut outer) = value else { return foreign(value) };
    if let Some(custom) = outer.get("custom").and_then(Value::as_object).cloned()
        && outer.get("type").and_then(Value::as_str) == Some("custom")
    {
        outer.retain(|name, value| !value.is_null() && !matches!(name.as_str(), "custom" | "type"));
        return custom_tool(custom, outer);
    }
    let Some(function) = take::object(&mut outer, "function") else {
        // As the Responses API spells it, where it can be nothing else.
        if outer.get("type").and_then(Value::as_str) == Some("function")
            && outer.get("name").is_some_and(Value::is_string)
        {
            outer.shift_remove("type");
            return declared(outer, Map::new());
        }
        return foreign(Value::Object(outer));
    };
    outer.shift_remove("type");
    declared(function, take::left(outer))
}

fn old_tool(value: Value) -> Tool {
    match value {
        Value::Object(function) => declared(function, Map::new()),
        other => foreign(other),
    }
}

fn declared(mut function: Map<String, Value>, mut rest: Map<String, Value>) -> Tool {
    let name = take::text(&mut function, "name").unwrap_or_default();
    let description = take::text(&mut function, "description");
    let schema =
        ["parameters", "input_schema", "parametersJsonSchema"].iter().find_map(|name| take::any(&mut function, name));
    let strict = take::any(&mut function, "strict").and_then(|strict| strict.as_bool());
    let function = take::left(function);
    if !function.is_empty() {
        rest.insert("function".to_owned(), Value::Object(function));
    }
    let kind = ToolKind::Function { schema: schema.unwrap_or(Value::Null), strict };
    Tool { name, description, kind, namespace: None, rest: Rest::new(OWN, rest) }
}

/// The hub has a grammar in one object, as the Responses API does.
fn custom_tool(mut custom: Map<String, Value>, rest: Map<String, Value>) -> Tool {
    let name = take::text(&mut custom, "name").unwrap_or_default();
    let description = take::text(&mut custom, "description");
    let format = take::object(&mut custom, "format").map(|mut format| {
        if let Some(grammar) = take::object(&mut format, "grammar") {
            format.extend(grammar);
        }
        Value::Object(format)
    });
    Tool { name, description, kind: ToolKind::Custom { format }, namespace: None, rest: Rest::new(OWN, rest) }
}

fn foreign(value: Value) -> Tool {
    let kind = value.get("type").and_then(Value::as_str).unwrap_or_default();
    let name = value.get("name").and_then(Value::as_str).unwrap_or(kind).to_owned();
    Tool { name, description: None, kind: ToolKind::Foreign(OWN, value), namespace: None, rest: Rest::default() }
}

fn choice(value: Value) -> ToolChoice {
    match value.as_str() {
        Some("auto") => return ToolChoice::Auto,
        Some("none") => return ToolChoice::None,
        Some("required" | "any") => return ToolChoice::Required,
        _ => {}
    }
    if let Some(allowed) = value.get("allowed_tools").and_then(Value::as_object) {
        let required = allowed.get("mode").and_then(Value::as_str) == Some("required");
        let tools = allowed.get("tools").and_then(Value::as_array).into_iter().flatten();
        let names = tools.filter_map(|tool| named(tool).map(str::to_owned)).collect();
        return ToolChoice::Allowed { required, names };
    }
    if let Some(name) = named(&value) {
        return ToolChoice::Named(name.to_owned());
    }
    match value.get("type").and_then(Value::as_str) {
        Some("auto") => ToolChoice::Auto,
        Some("none") => ToolChoice::None,
        Some("required" | "any") => ToolChoice::Required,
        _ => ToolChoice::Foreign(OWN, value),
    }
}

/// The tool that a choice names: inside its `function` or `custom`, or beside its type.
fn named(value: &Value) -> Option<&str> {
    let inner = ["function", "custom"].iter().find_map(|name| value.get(*name).filter(|inner| inner.is_object()));
    inner.unwrap_or(value).get("name")?.as_str()
}
