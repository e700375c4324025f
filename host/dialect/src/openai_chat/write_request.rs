//! A [`Chat`] as a request for a provider of this format, or in the canonical form that plugins read.
//!
//! The order of members is fixed, so that equal requests are equal bytes. What only OpenAI itself knows goes to nobody else; what the target
//! refuses is left out and named.

use bytes::Bytes;
use serde_json::{Value, json};

use super::{OWN, media};
use crate::failure::Failure;
use crate::hub::{
    Asked, Chat, Losses, MaxTokens, Media, Output, Params, Part, Source, Target, Thinking, Tool, ToolChoice, ToolKind,
};
use crate::json::build;

mod turns;

pub(super) use turns::{foreign_type, kind_of, signature};

/// Up to how many tokens a budget is `low`, and `medium`; past them it is `high`.
const EFFORTS: [(f64, &str); 2] = [(4096.0, "low"), (16384.0, "medium")];

/// The most stop sequences that OpenAI takes.
const MAX_STOPS: usize = 4;

pub(super) fn write(chat: &Chat, target: &Target<'_>) -> Result<(Bytes, Losses), Failure> {
    let mut writer = Writer { chat, target, out: Vec::with_capacity(2048), losses: Losses::default() };
    writer.out.push(b'{');
    let model = if target.canonical { chat.model.as_str() } else { target.model };
    if !model.is_empty() {
        build::text(&mut writer.out, "model", model);
    }
    writer.turns()?;
    writer.tools();
    writer.params(&chat.params);
    writer.thinking();
    writer.output();
    writer.stream();
    if target.canonical || !chat.rest.is_empty() {
        writer.rest();
    }
    writer.out.push(b'}');
    Ok((Bytes::from(writer.out), writer.losses))
}

struct Writer<'a> {
    chat: &'a Chat,
    target: &'a Target<'a>,
    out: Vec<u8>,
    losses: Losses,
}

impl Writer<'_> {
    /// Whether the target knows what OpenAI added of late. The canonical form shows everything.
    fn extras(&self) -> bool {
        self.target.openai_extras || self.target.canonical
    }

    fn tools(&mut self) {
        let allowed = match &self.chat.choice {
            Some(ToolChoice::Allowed { names, .. }) if !self.extras() => Some(names.as_slice()),
            _ => None,
        };
        let start = self.out.len();
        build::key(&mut self.out, "tools");
        self.out.push(b'[');
        let empty = self.out.len();
        for tool in &self.chat.tools {
            // A list of allowed tools that the target does not know is kept by sending no others.
            if allowed.is_none_or(|names| names.contains(&tool.name)) {
                self.tool(tool);
            }
        }
        if self.out.len() == empty {
            // A choice without tools is refused.
            self.out.truncate(start);
            if !self.target.canonical {
                return;
            }
        } else {
            self.out.push(b']');
        }
        if let Some(choice) = &self.chat.choice {
            self.choice(choice);
        }
        if let Some(parallel) = self.chat.parallel {
            build::raw(&mut self.out, "parallel_tool_calls", if parallel { "true" } else { "false" });
        }
    }

    fn tool(&mut self, tool: &Tool) {
        let name = Asked::flat(tool.namespace.as_deref(), &tool.name);
        let described = tool.description.as_deref();
        let (kind, schema, strict) = match &tool.kind {
            ToolKind::Foreign(dialect, value) if *dialect == OWN || self.target.canonical => {
                build::comma(&mut self.out);
                build::value(&mut self.out, value);
                return;
            }
            ToolKind::Foreign(_, value) => {
                let kind = value.get("type").and_then(Value::as_str).unwrap_or(&tool.name);
                self.losses.lose(format!("tools.{kind}"));
                return;
            }
            ToolKind::Custom { format } if self.extras() => {
                return self.custom_tool(&name, described, format.as_ref(), tool);
            }
            ToolKind::Custom { format } => {
                if format.as_ref().is_some_and(|format| format.get("type") != Some(&json!("text"))) {
                    self.losses.lose(format!("tools.{}.format", tool.name));
                }
                let schema = json!({
                    "type": "object", "properties": {"input": {"type": "string"}},
                    "required": ["input"], "additionalProperties": false,
                });
                ("function", std::borrow::Cow::Owned(schema), None)
            }
            ToolKind::Function { schema, strict } => ("function", std::borrow::Cow::Borrowed(schema), *strict),
        };
        let out = &mut self.out;
        build::comma(out);
        out.push(b'{');
        build::text(out, "type", kind);
        build::key(out, "function");
        out.push(b'{');
        build::text(out, "name", &name);
        build::maybe_text(out, "description", described);
        if !schema.is_null() {
            build::member(out, "parameters", &schema);
        }
        if let Some(strict) = strict {
            build::raw(out, "strict", if strict { "true" } else { "false" });
        }
        let inner = tool.rest.of(OWN).find(|(name, _)| *name == "function").and_then(|(_, inner)| inner.as_object());
        build::members(out, inner.into_iter().flatten());
        out.push(b'}');
        self.tool_rest(tool);
    }

    fn custom_tool(&mut self, name: &str, described: Option<&str>, format: Option<&Value>, tool: &Tool) {
        let out = &mut self.out;
        build::comma(out);
        out.push(b'{');
        build::text(out, "type", "custom");
        build::key(out, "custom");
        out.push(b'{');
        build::text(out, "name", name);
        build::maybe_text(out, "description", described);
        match format {
            Some(Value::Object(format)) if format.contains_key("definition") => {
                let mut grammar = format.clone();
                grammar.shift_remove("type");
                build::member(out, "format", &json!({"type": "grammar", "grammar": grammar}));
            }
            Some(format) => build::member(out, "format", format),
            None => {}
        }
        out.push(b'}');
        self.tool_rest(tool);
    }

    fn tool_rest(&mut self, tool: &Tool) {
        build::members(&mut self.out, tool.rest.of(OWN).filter(|(name, _)| *name != "function"));
        self.out.push(b'}');
        self.losses.beside(&tool.rest, OWN);
    }

    fn choice(&mut self, choice: &ToolChoice) {
        let required = if self.target.required_is_any { "any" } else { "required" };
        let extras = self.extras();
        let word = match choice {
            ToolChoice::Auto => "auto",
            ToolChoice::None => "none",
            ToolChoice::Required => required,
            ToolChoice::Allowed { required: true, .. } if !extras => required,
            ToolChoice::Allowed { .. } if !extras => "auto",
            ToolChoice::Allowed { required, names } => {
                let tools: Vec<Value> = names.iter().map(|name| self.named(name)).collect();
                let mode = if *required { "required" } else { "auto" };
                let choice = json!({"type": "allowed_tools", "allowed_tools": {"mode": mode, "tools": tools}});
                return build::member(&mut self.out, "tool_choice", &choice);
            }
            ToolChoice::Named(name) => {
                let choice = self.named(name);
                return build::member(&mut self.out, "tool_choice", &choice);
            }
            ToolChoice::Foreign(dialect, value) if *dialect == OWN || self.target.canonical => {
                return build::member(&mut self.out, "tool_choice", value);
            }
            ToolChoice::Foreign(..) => return self.losses.lose("tool_choice"),
        };
        build::text(&mut self.out, "tool_choice", word);
    }

    /// A tool as a choice names it, by the kind and the name that it goes out with.
    fn named(&self, name: &str) -> Value {
        let tool = self.chat.tools.iter().find(|tool| tool.name == name);
        let sent = Asked::flat(tool.and_then(|tool| tool.namespace.as_deref()), name);
        let custom = tool.is_some_and(|tool| matches!(tool.kind, ToolKind::Custom { .. })) && self.extras();
        let kind = if custom { "custom" } else { "function" };
        json!({"type": kind, kind: {"name": sent}})
    }

    fn params(&mut self, params: &Params) {
        let target = self.target;
        let sampling = !target.refuses_sampling || target.canonical;
        let limit = match target.max_tokens {
            MaxTokens::Old => "max_tokens",
            MaxTokens::Completion => "max_completion_tokens",
        };
        let seed = if target.random_seed { "random_seed" } else { "seed" };
        let numbers = [
            (limit, &params.max_tokens, true),
            ("temperature", &params.temperature, sampling),
            ("top_p", &params.top_p, sampling),
            ("top_k", &params.top_k, target.canonical),
            ("n", &params.n, true),
            (seed, &params.seed, true),
            ("presence_penalty", &params.presence_penalty, sampling),
            ("frequency_penalty", &params.frequency_penalty, sampling),
            ("top_logprobs", &params.top_logprobs, true),
        ];
        for (name, number, takes) in numbers {
            match number {
                Some(number) if takes => build::number(&mut self.out, name, number),
                Some(_) => self.losses.lose(name),
                None => {}
            }
        }
        if let Some(logprobs) = params.logprobs {
            build::raw(&mut self.out, "logprobs", if logprobs { "true" } else { "false" });
        }
        self.stops(&params.stop);
        build::maybe_text(&mut self.out, "user", params.user.as_deref());
        if let Some(verbosity) = &params.verbosity {
            if self.extras() {
                build::text(&mut self.out, "verbosity", verbosity);
            } else {
                self.losses.lose("verbosity");
            }
        }
        if let Some(tier) = &params.service_tier {
            if matches!(tier.as_str(), "auto" | "default" | "flex" | "priority" | "scale") || target.canonical {
                build::text(&mut self.out, "service_tier", tier);
            } else {
                self.losses.hint("service_tier");
            }
        }
        for odd in &params.odd {
            self.losses.lose(odd.clone());
        }
    }

    fn stops(&mut self, stops: &[String]) {
        if stops.is_empty() {
            return;
        }
        let most = if self.target.openai_extras && !self.target.canonical { MAX_STOPS } else { usize::MAX };
        if stops.len() > most {
            self.losses.lose("stop");
        }
        let stops: Vec<&String> = stops.iter().take(most).collect();
        build::member(&mut self.out, "stop", &json!(stops));
    }

    fn thinking(&mut self) {
        let Some(thinking) = &self.chat.reasoning else { return };
        self.losses.beside(&thinking.rest, OWN);
        let effort = effort(thinking, self.target);
        if self.target.refuses_reasoning && !self.target.canonical {
            // What a model that does not think is not told changes nothing, unless it was to think.
            let off = thinking.off && thinking.effort.is_none();
            return if off { self.losses.hint("reasoning_effort") } else { self.losses.lose("reasoning_effort") };
        }
        match effort {
            Some(effort) => build::text(&mut self.out, "reasoning_effort", effort),
            None if thinking.off => self.losses.hint("reasoning_effort"),
            None => {}
        }
    }

    fn output(&mut self) {
        let format = match &self.chat.output {
            None => return,
            Some(Output::Json) => json!({"type": "json_object"}),
            Some(Output::Schema { name, description, schema, strict }) => {
                // The format wants a name.
                let mut inner = json!({"name": name.as_deref().unwrap_or("response")});
                if let (Some(description), Some(inner)) = (description, inner.as_object_mut()) {
                    inner.insert("description".to_owned(), json!(description));
                }
                if let Some(inner) = inner.as_object_mut() {
                    inner.insert("schema".to_owned(), schema.clone());
                    inner.extend(strict.map(|strict| ("strict".to_owned(), json!(strict))));
                }
                json!({"type": "json_schema", "json_schema": inner})
            }
        };
        build::member(&mut self.out, "response_format", &format);
    }

    fn stream(&mut self) {
        if !self.chat.stream {
            return;
        }
        build::raw(&mut self.out, "stream", "true");
        // Metering needs usage even where the client does not: its writer withholds it.
        let usage = if self.target.canonical { self.chat.stream_usage } else { !self.target.no_stream_options };
        if usage {
            build::raw(&mut self.out, "stream_options", "{\"include_usage\":true}");
        }
    }

    fn rest(&mut self) {
        build::members(&mut self.out, self.chat.rest.of(OWN).filter(|(name, _)| *name != "stream_options"));
        if !self.target.canonical {
            self.losses.beside(&self.chat.rest, OWN);
        }
    }
}

/// The word for how much to think. A budget in tokens becomes the nearest.
fn effort<'a>(thinking: &'a Thinking, target: &Target<'_>) -> Option<&'a str> {
    match thinking.effort.as_deref() {
        Some("none") if !(target.openai_extras || target.canonical) => return None,
        Some("max") if !target.canonical => return Some("xhigh"),
        Some(effort) => return Some(effort),
        None => {}
    }
    if thinking.off {
        return None;
    }
    let budget = thinking.budget.as_ref()?.as_f64().filter(|budget| *budget > 0.0)?;
    Some(EFFORTS.iter().find(|(most, _)| budget <= *most).map_or("high", |(_, word)| word))
}

/// Media that a provider of this format cannot be told; the refusal says what would help.
fn refuse(media: &Media, openai: bool) -> Option<Failure> {
    let what = match &media.source {
        _ if openai && media.kind == crate::hub::MediaKind::Video => {
            return Some(unsupported("video", "Choose a model of a provider that takes it."));
        }
        Source::Url(_) if openai && media.kind == crate::hub::MediaKind::Audio => "sound by its address",
        Source::Url(_) if media.kind == crate::hub::MediaKind::File => "a file by its address",
        Source::Id(_) if media.kind != crate::hub::MediaKind::File => {
            "an uploaded file by its id as this kind of media"
        }
        _ => return None,
    };
    Some(unsupported(what, "Send the content itself, in base64."))
}

fn unsupported(what: &str, help: &str) -> Failure {
    Failure::invalid("unsupported_media", format!("The target cannot be given {what}. {help}"))
}

/// A part as it stands in a content list.
fn content_part(part: &Part) -> Option<Value> {
    match part {
        Part::Media(media) => media::write(media),
        _ => None,
    }
}
