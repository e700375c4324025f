//! A client's request, read generously.
//!
//! Items become turns: what the model said in one go (thoughts, messages, calls) is one assistant turn, results that follow one another are
//! one tool turn. References to state that only OpenAI keeps stay beside ([`refuse_stored`]). Nothing is judged here that the provider judges.

use serde_json::{Map, Value};

use super::{read_tools, take};
use crate::Dialect;
use crate::failure::Failure;
use crate::hub::{
    Call, Chat, Media, MediaKind, Opaque, Output, Params, Part, Reasoning, Rest, Role, Source, State, Text, Thinking,
    ToolResult, Turn,
};
use crate::json;

const OWN: Dialect = Dialect::OpenaiResponses;

/// Reads the request.
///
/// # Errors
/// A 400 for what is no JSON object, and for an `input` that is neither a text nor items.
#[allow(clippy::result_large_err, reason = "the one failure type is large, and built only for a call that is refused")]
pub fn read(body: &[u8]) -> Result<Chat, Failure> {
    let Some(Value::Object(mut map)) = json::tree(body) else {
        return Err(Failure::invalid("invalid_json", "The request body must be a JSON object."));
    };
    let mut chat = Chat { model: take::string(&mut map, "model").unwrap_or_default(), ..Chat::default() };
    instructions(&mut map, &mut chat);
    for tool in take::list(&mut map, "tools") {
        read_tools::tool(tool, None, &mut chat.tools);
    }
    input(&mut map, &mut chat)?;
    chat.choice = take::any(&mut map, "tool_choice").and_then(read_tools::choice);
    chat.parallel = take::bool(&mut map, "parallel_tool_calls");
    chat.reasoning = take::object(&mut map, "reasoning").and_then(reasoning);
    text(&mut map, &mut chat);
    params(&mut map, &mut chat.params);
    include(&mut map, &mut chat.params);
    chat.stream = take::bool(&mut map, "stream").unwrap_or_default();
    chat.stream_usage = true;
    // How the stream is padded, and the default: nothing that another dialect could lack.
    map.shift_remove("stream_options");
    if map.get("truncation").and_then(Value::as_str) == Some("disabled") {
        map.shift_remove("truncation");
    }
    take::drop_empty(&mut map);
    chat.rest = Rest::new(OWN, map);
    Ok(chat)
}

/// The refusal of a request that refers to what only the provider it was made for keeps, or that wants it kept; for a target of another
/// dialect.
pub fn refuse_stored(chat: &Chat) -> Option<Failure> {
    let named = |name: &'static str| chat.rest.get(name).is_some().then_some(name);
    let told = named("previous_response_id")
        .or_else(|| named("conversation"))
        .or_else(|| named("prompt"))
        .or_else(|| (chat.rest.get("background") == Some(&Value::Bool(true))).then_some("background"));
    let parts = || chat.turns.iter().flat_map(|turn| &turn.parts);
    let reference = |part: &Part| matches!(part, Part::Foreign(OWN, item) if item.get("type").and_then(Value::as_str) == Some("item_reference"));
    let what = told.or_else(|| parts().any(reference).then_some("input"))?;
    let message = match what {
        "background" => {
            "`background` needs a provider that keeps responses and serves the Responses API; the target does not. Leave it out, or choose \
             a model of such a provider."
                .to_owned()
        }
        "prompt" => "`prompt` names a template that only OpenAI keeps; the target cannot read it. Send its text as `instructions` and \
                     `input`, or choose a model of OpenAI."
            .to_owned(),
        "input" => "`input` refers to a stored item (`item_reference`) that the target cannot read. Send the item itself, or choose a \
                    model of the provider that keeps it."
            .to_owned(),
        other => format!(
            "`{other}` refers to stored state that the target cannot read, since it does not serve the Responses API. Send the whole \
             conversation in `input`, or choose a model of the provider that keeps it."
        ),
    };
    Some(Failure::invalid("unsupported_parameter", message).with_param(what))
}

/// A text; some clients send items here too.
fn instructions(map: &mut Map<String, Value>, chat: &mut Chat) {
    match take::any(map, "instructions") {
        Some(Value::String(text)) if text.is_empty() => {}
        Some(Value::String(text)) => chat.turns.push(turn(Role::System, vec![Part::Text(Text::of(text))])),
        Some(Value::Array(items)) => items.into_iter().for_each(|one| item(one, chat)),
        _ => {}
    }
}

#[allow(clippy::result_large_err, reason = "as above")]
fn input(map: &mut Map<String, Value>, chat: &mut Chat) -> Result<(), Failure> {
    match take::any(map, "input") {
        None => {}
        Some(Value::String(text)) => chat.turns.push(turn(Role::User, vec![Part::Text(Text::of(text))])),
        Some(Value::Array(items)) => items.into_iter().for_each(|one| item(one, chat)),
        Some(one @ Value::Object(_)) => item(one, chat),
        Some(_) => {
            let message = "`input` must be a text or a list of items.";
            return Err(Failure::invalid("invalid_type", message).with_param("input"));
        }
    }
    Ok(())
}

fn turn(role: Role, parts: Vec<Part>) -> Turn {
    Turn { role, parts, name: None, rest: Rest::default() }
}

fn item(item: Value, chat: &mut Chat) {
    let Value::Object(mut map) = item else {
        if let Value::String(text) = item {
            chat.turns.push(turn(Role::User, vec![Part::Text(Text::of(text))]));
        }
        return;
    };
    let kind = map.get("type").and_then(Value::as_str).map(str::to_owned);
    match kind.as_deref() {
        None | Some("message") if map.contains_key("role") => message(map, chat),
        Some("function_call" | "custom_tool_call") => {
            let mut call = call(map);
            if call.id.is_empty() {
                let calls = chat.turns.iter().flat_map(|turn| &turn.parts).filter(|part| matches!(part, Part::Call(_)));
                call.id = format!("call_{}", calls.count());
            }
            within(Role::Assistant, chat, |turn| turn.parts.push(Part::Call(call)));
        }
        Some("function_call_output" | "custom_tool_call_output") => result(map, chat),
        Some("reasoning") => {
            let mut parts = Vec::new();
            let rest = thought(&mut map, &mut parts);
            within(Role::Assistant, chat, |turn| add_thoughts(parts, rest, turn));
        }
        Some("additional_tools") => {
            for tool in take::list(&mut map, "tools") {
                read_tools::tool(tool, None, &mut chat.tools);
            }
        }
        _ => within(Role::Assistant, chat, |turn| turn.parts.push(Part::Foreign(OWN, Value::Object(map)))),
    }
}

/// Shows the turn of that role which is last, or a new one.
fn within(role: Role, chat: &mut Chat, add: impl FnOnce(&mut Turn)) {
    if chat.turns.last().is_none_or(|turn| turn.role != role) {
        chat.turns.push(turn(role, Vec::new()));
    }
    if let Some(turn) = chat.turns.last_mut() {
        add(turn);
    }
}

fn message(mut map: Map<String, Value>, chat: &mut Chat) {
    let role = take::string(&mut map, "role").unwrap_or_default();
    let parts = content(take::any(&mut map, "content"));
    for known in ["type", "id", "status"] {
        map.shift_remove(known);
    }
    // Not of this dialect, and sent by clients that speak chat as well.
    if matches!(role.as_str(), "tool" | "function") {
        let id = ["tool_call_id", "call_id"].iter().find_map(|name| take::word(&mut map, name)).unwrap_or_default();
        return add_result(ToolResult { id, parts, ..ToolResult::default() }, chat);
    }
    let role = match role.as_str() {
        "system" => Role::System,
        "developer" => Role::Developer,
        "assistant" | "model" => Role::Assistant,
        _ => Role::User,
    };
    let name = take::word(&mut map, "name");
    take::drop_empty(&mut map);
    let rest = Rest::new(OWN, map);
    let spoke = |part: &Part| matches!(part, Part::Text(_) | Part::Refusal(_) | Part::Media(_));
    if role == Role::Assistant
        && let Some(open) = chat.turns.last_mut()
        && open.role == Role::Assistant
        && (!open.parts.iter().any(spoke) || open.parts.iter().any(|part| matches!(part, Part::Call(_))))
    {
        open.parts.extend(parts);
        if open.rest.is_empty() {
            open.rest = rest;
        }
        return;
    }
    chat.turns.push(Turn { role, parts, name, rest });
}

/// Contents of messages and results.
fn content(value: Option<Value>) -> Vec<Part> {
    match value {
        None => Vec::new(),
        Some(Value::String(text)) => vec![Part::Text(Text::of(text))],
        Some(Value::Array(list)) => list.into_iter().filter_map(part).collect(),
        Some(one) => part(one).into_iter().collect(),
    }
}

fn part(value: Value) -> Option<Part> {
    let mut map = match value {
        Value::Object(map) => map,
        Value::String(text) => return Some(Part::Text(Text::of(text))),
        _ => return None,
    };
    let kind = take::string(&mut map, "type").unwrap_or_default();
    Some(match kind.as_str() {
        "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" | "" if map.contains_key("text") => {
            let text = take::string(&mut map, "text").unwrap_or_default();
            let citations = Some((OWN, take::list(&mut map, "annotations"))).filter(|(_, list)| !list.is_empty());
            map.shift_remove("logprobs");
            take::drop_empty(&mut map);
            Part::Text(Text { text, citations, opaque: None, rest: Rest::new(OWN, map) })
        }
        "refusal" => Part::Refusal(take::string(&mut map, "refusal").unwrap_or_default()),
        "input_image" | "image_url" | "computer_screenshot" => media(MediaKind::Image, map),
        "input_file" | "file" => media(MediaKind::File, map),
        "input_audio" => audio(map),
        "input_video" | "video_url" => media(MediaKind::Video, map),
        _ => {
            map.insert("type".to_owned(), Value::String(kind));
            Part::Foreign(OWN, Value::Object(map))
        }
    })
}

fn media(kind: MediaKind, mut map: Map<String, Value>) -> Part {
    // Chat's form nests.
    for nested in ["image_url", "video_url", "file"] {
        if let Some(inner) = take::object(&mut map, nested) {
            map.extend(inner);
        }
    }
    let detail = take::word(&mut map, "detail");
    let name = take::word(&mut map, "filename");
    let id = take::word(&mut map, "file_id");
    let address = ["image_url", "file_url", "video_url", "url"].iter().find_map(|name| take::word(&mut map, name));
    let data = take::word(&mut map, "file_data");
    let (mime, source) = match (address.or(data), id) {
        (Some(text), _) => located(text, kind),
        (None, Some(id)) => (None, Source::Id(id)),
        (None, None) => (None, Source::Inline(String::new())),
    };
    take::drop_empty(&mut map);
    Part::Media(Media { kind, source, mime, name, detail, rest: Rest::new(OWN, map) })
}

/// An address, a data address, or bare base64.
fn located(text: String, kind: MediaKind) -> (Option<String>, Source) {
    if let Some(rest) = text.strip_prefix("data:")
        && let Some((head, data)) = rest.split_once(',')
    {
        let mime = head.split(';').next().unwrap_or_default();
        let mime = (!mime.is_empty()).then(|| mime.to_owned());
        if head.ends_with(";base64") {
            return (mime, Source::Inline(data.to_owned()));
        }
        return (mime, Source::Url(text));
    }
    if text.contains("://") {
        return (None, Source::Url(text));
    }
    let mime = (kind == MediaKind::File).then(|| "application/pdf".to_owned());
    (mime, Source::Inline(text))
}

fn audio(mut map: Map<String, Value>) -> Part {
    if let Some(inner) = take::object(&mut map, "input_audio") {
        map.extend(inner);
    }
    let data = take::string(&mut map, "data").unwrap_or_default();
    let mime = take::word(&mut map, "format").map(|format| match format.as_str() {
        "mp3" => "audio/mpeg".to_owned(),
        other => format!("audio/{other}"),
    });
    take::drop_empty(&mut map);
    let (kind, source, rest) = (MediaKind::Audio, Source::Inline(data), Rest::new(OWN, map));
    Part::Media(Media { kind, source, mime, name: None, detail: None, rest })
}

/// A call of a function or a custom tool, from a request or a reply. An item without `call_id` is known by its own id.
pub(super) fn call(mut map: Map<String, Value>) -> Call {
    let custom = map.get("type").and_then(Value::as_str) == Some("custom_tool_call");
    let own = take::word(&mut map, "id");
    let id = take::word(&mut map, "call_id").or(own).unwrap_or_default();
    let name = take::string(&mut map, "name").unwrap_or_default();
    let namespace = take::word(&mut map, "namespace");
    let text = if custom { "input" } else { "arguments" };
    let arguments = map.shift_remove(text).map(take::source).unwrap_or_default();
    for known in ["type", "status"] {
        map.shift_remove(known);
    }
    take::drop_empty(&mut map);
    Call { id, name, arguments, custom, namespace, opaque: None, rest: Rest::new(OWN, map) }
}

fn result(mut map: Map<String, Value>, chat: &mut Chat) {
    let custom = take::string(&mut map, "type").as_deref() == Some("custom_tool_call_output");
    let own = take::word(&mut map, "id");
    let id = take::word(&mut map, "call_id").or(own).unwrap_or_default();
    let parts = match take::any(&mut map, "output") {
        Some(Value::Object(object)) if !object.contains_key("type") => {
            vec![Part::Text(Text::of(Value::Object(object).to_string()))]
        }
        Some(value @ (Value::Bool(_) | Value::Number(_))) => vec![Part::Text(Text::of(value.to_string()))],
        other => content(other),
    };
    let name = take::word(&mut map, "name");
    map.shift_remove("status");
    map.shift_remove("namespace");
    take::drop_empty(&mut map);
    add_result(ToolResult { id, name, parts, error: false, custom, rest: Rest::new(OWN, map) }, chat);
}

fn add_result(mut result: ToolResult, chat: &mut Chat) {
    if result.name.is_none() {
        result.name = chat.tool_of(&result.id).map(str::to_owned);
    }
    within(Role::Tool, chat, |turn| turn.parts.push(Part::Result(result)));
}

/// The parts of a reasoning item: one for each summary and each text, the state on the last. Returns the members that are left.
pub(super) fn thought(map: &mut Map<String, Value>, parts: &mut Vec<Reasoning>) -> Rest {
    let id = take::word(map, "id");
    let state = take::word(map, "encrypted_content");
    for (name, summary) in [("summary", true), ("content", false)] {
        for value in take::list(map, name) {
            let text = match value {
                Value::Object(mut inner) => take::string(&mut inner, "text"),
                other => take::into_string(other),
            };
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                parts.push(Reasoning { text, summary, ..Reasoning::default() });
            }
        }
    }
    if let Some(state) = state {
        let opaque = Opaque::read(OWN, &state, |data| State::Encrypted { data: data.to_owned(), id });
        match parts.last_mut() {
            Some(part) => part.opaque = Some(opaque),
            None => parts.push(Reasoning { opaque: Some(opaque), ..Reasoning::default() }),
        }
    }
    for known in ["type", "status"] {
        map.shift_remove(known);
    }
    take::drop_empty(map);
    Rest::new(OWN, std::mem::take(map))
}

/// State without a text that belongs to what stands before it (Gemini's signatures of calls and texts come this way) goes back there.
fn add_thoughts(mut parts: Vec<Reasoning>, rest: Rest, turn: &mut Turn) {
    if let [
        Reasoning {
            text,
            opaque: opaque @ Some(Opaque { dialect: Dialect::Gemini, state: State::Signature(_), .. }),
            ..
        },
    ] = parts.as_mut_slice()
        && text.is_empty()
    {
        match turn.parts.last_mut() {
            Some(Part::Call(call)) => return call.opaque = opaque.take(),
            Some(Part::Text(text)) => return text.opaque = opaque.take(),
            _ => {}
        }
    }
    if let Some(first) = parts.first_mut() {
        first.rest = rest;
    }
    turn.parts.extend(parts.into_iter().map(Part::Reasoning));
}

fn reasoning(mut map: Map<String, Value>) -> Option<Thinking> {
    let effort = take::word(&mut map, "effort");
    let summary = ["summary", "generate_summary"].iter().find_map(|name| take::word(&mut map, name));
    take::drop_empty(&mut map);
    let off = effort.as_deref() == Some("none");
    let show = summary.as_ref().map(|how| how != "none");
    if let Some(how) = summary.filter(|how| how != "auto" && how != "none") {
        map.insert("summary".to_owned(), how.into());
    }
    let rest = Rest::new(OWN, map);
    let said = effort.is_some() || show.is_some() || !rest.is_empty();
    said.then_some(Thinking { effort, budget: None, adaptive: false, off, show, rest })
}

fn text(map: &mut Map<String, Value>, chat: &mut Chat) {
    let Some(mut text) = take::object(map, "text") else { return };
    chat.params.verbosity = take::word(&mut text, "verbosity");
    let Some(mut format) = take::object(&mut text, "format") else { return };
    chat.output = match take::string(&mut format, "type").as_deref() {
        Some("json_object") => Some(Output::Json),
        Some("json_schema") => {
            if let Some(nested) = take::object(&mut format, "json_schema") {
                format.extend(nested);
            }
            Some(Output::Schema {
                name: take::word(&mut format, "name"),
                description: take::word(&mut format, "description"),
                schema: take::any(&mut format, "schema").unwrap_or_default(),
                strict: take::bool(&mut format, "strict"),
            })
        }
        Some("grammar" | "python") => {
            chat.params.odd.push("text.format".into());
            None
        }
        _ => None,
    };
}

fn params(map: &mut Map<String, Value>, params: &mut Params) {
    params.max_tokens =
        ["max_output_tokens", "max_completion_tokens", "max_tokens"].iter().find_map(|name| take::number(map, name));
    params.temperature = take::number(map, "temperature");
    params.top_p = take::number(map, "top_p");
    params.top_k = take::number(map, "top_k");
    params.seed = take::number(map, "seed");
    params.presence_penalty = take::number(map, "presence_penalty");
    params.frequency_penalty = take::number(map, "frequency_penalty");
    params.top_logprobs = take::number(map, "top_logprobs").filter(|count| count.as_u64() != Some(0));
    params.user = take::word(map, "user");
    params.service_tier = take::word(map, "service_tier");
    params.stop = take::list(map, "stop").into_iter().filter_map(take::into_string).collect();
    for name in ["max_output_tokens", "temperature", "top_p", "top_logprobs", "user", "service_tier"] {
        if map.shift_remove(name).is_some_and(|odd| !odd.is_null()) {
            params.odd.push(name.into());
        }
    }
}

/// Encrypted reasoning is always given, and log probabilities have their own field; the rest concerns tools that the provider runs.
fn include(map: &mut Map<String, Value>, params: &mut Params) {
    let mut wanted = take::list(map, "include");
    wanted.retain(|what| match what.as_str() {
        Some("reasoning.encrypted_content") => false,
        Some("message.output_text.logprobs") => {
            params.logprobs = Some(true);
            false
        }
        _ => true,
    });
    if params.top_logprobs.is_some() {
        params.logprobs = Some(true);
    }
    if !wanted.is_empty() {
        map.insert("include".to_owned(), Value::Array(wanted));
    }
}
