//! Turns as input items.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};

use serde_json::{Map, Value, json};

use super::take::foreign_name;
use crate::Dialect;
use crate::failure::Failure;
use crate::hub::{
    Call, Chat, Losses, Media, MediaKind, Part, Reasoning, Rest, Role, Source, State, Target, Text, ToolResult, Turn,
};

const OWN: Dialect = Dialect::OpenaiResponses;

/// The longest id of a call that OpenAI takes, in bytes.
const LONGEST_ID: usize = 64;

/// The instructions and the items. The first system text is the instructions; more of that turn follows as a system message, unglued.
#[allow(clippy::result_large_err, reason = "the one failure type is large, and built only for a call that is refused")]
pub(super) fn input(
    chat: &Chat,
    target: &Target<'_>,
    losses: &mut Losses,
) -> Result<(Option<String>, Vec<Value>), Failure> {
    let calls = chat.turns.iter().flat_map(|turn| &turn.parts).filter_map(|part| match part {
        Part::Call(call) if call.custom => Some(call.id.as_str()),
        _ => None,
    });
    let custom = calls.collect();
    let mut writer = Writer { target, losses, custom, unanswered: VecDeque::new(), items: Vec::new() };
    let mut turns = chat.turns.iter();
    let mut instructions = None;
    if let Some(first) = chat.turns.first()
        && first.role == Role::System
        && let Some((Part::Text(text), more)) = first.parts.split_first()
    {
        turns.next();
        instructions = Some(text.text.clone());
        writer.losses.beside(&text.rest, OWN);
        writer.message("system", more, &first.rest)?;
    }
    for turn in turns {
        writer.turn(turn)?;
    }
    Ok((instructions, writer.items))
}

struct Writer<'a> {
    target: &'a Target<'a>,
    losses: &'a mut Losses,
    /// The ids of calls of custom tools.
    custom: HashSet<&'a str>,
    /// The ids of calls whose results are to come, in their order.
    unanswered: VecDeque<String>,
    items: Vec<Value>,
}

#[allow(clippy::result_large_err, reason = "as above")]
impl Writer<'_> {
    fn turn(&mut self, turn: &Turn) -> Result<(), Failure> {
        if turn.name.is_some() {
            self.losses.hint("name");
        }
        match turn.role {
            Role::System => self.message("system", &turn.parts, &turn.rest),
            Role::Developer => self.message("developer", &turn.parts, &turn.rest),
            Role::User => self.message("user", &turn.parts, &turn.rest),
            Role::Assistant => self.assistant(turn),
            Role::Tool => turn.parts.iter().try_for_each(|part| match part {
                Part::Result(result) => self.result(result),
                _ => Ok(()),
            }),
        }
    }

    fn message(&mut self, role: &str, parts: &[Part], rest: &Rest) -> Result<(), Failure> {
        let mut content = Vec::with_capacity(parts.len());
        for part in parts {
            match part {
                // A user message that holds results is a tool turn and more.
                Part::Result(result) => self.result(result)?,
                part => content.extend(self.content(part)?),
            }
        }
        if content.is_empty() {
            return Ok(());
        }
        let mut item = json!({"type": "message", "role": role, "content": content});
        self.beside(rest, &mut item);
        self.items.push(item);
        Ok(())
    }

    /// The members that only this dialect knows, and the loss of others.
    fn beside(&mut self, rest: &Rest, item: &mut Value) {
        self.losses.beside(rest, OWN);
        if let Some(map) = item.as_object_mut() {
            for (name, value) in rest.of(OWN) {
                map.entry(name.as_str()).or_insert_with(|| value.clone());
            }
        }
    }

    /// A content of a message or of a result.
    fn content(&mut self, part: &Part) -> Result<Option<Value>, Failure> {
        Ok(match part {
            Part::Text(text) => {
                let mut item = json!({"type": "input_text", "text": text.text});
                self.beside(&text.rest, &mut item);
                Some(item)
            }
            Part::Media(media) => self.media(media)?,
            Part::Foreign(OWN, value) => Some(value.clone()),
            Part::Foreign(_, value) => {
                self.lose_foreign(value);
                None
            }
            Part::Refusal(text) => Some(json!({"type": "input_text", "text": text})),
            Part::Reasoning(_) | Part::Call(_) | Part::Result(_) => None,
        })
    }

    fn lose_foreign(&mut self, value: &Value) {
        self.losses.lose(foreign_name(value).to_owned());
    }

    fn media(&mut self, media: &Media) -> Result<Option<Value>, Failure> {
        let mime = media.mime.as_deref();
        self.losses.beside(&media.rest, OWN);
        let mut map = Map::new();
        let mut put = |name: &str, value: Value| drop(map.insert(name.to_owned(), value));
        match (media.kind, &media.source) {
            (_, Source::Text(text)) => {
                if media.name.is_some() {
                    self.losses.hint("title");
                }
                put("type", "input_text".into());
                put("text", text.as_str().into());
            }
            (MediaKind::Image, source) => {
                put("type", "input_image".into());
                put("detail", media.detail.as_deref().unwrap_or("auto").into());
                match source {
                    Source::Id(id) => put("file_id", id.as_str().into()),
                    Source::Url(url) => put("image_url", url.as_str().into()),
                    Source::Inline(data) | Source::Text(data) => {
                        put("image_url", format!("data:{};base64,{data}", mime.unwrap_or("image/png")).into());
                    }
                }
            }
            (MediaKind::File, source) => {
                put("type", "input_file".into());
                match source {
                    Source::Id(id) => put("file_id", id.as_str().into()),
                    Source::Url(url) => put("file_url", url.as_str().into()),
                    Source::Inline(data) | Source::Text(data) => {
                        let mime = mime.unwrap_or("application/pdf");
                        // OpenAI wants a name beside data.
                        put("filename", media.name.clone().unwrap_or_else(|| name_for(mime)).into());
                        put("file_data", format!("data:{mime};base64,{data}").into());
                    }
                }
            }
            (MediaKind::Audio | MediaKind::Video, _) => {
                let what = if media.kind == MediaKind::Audio { "audio" } else { "video" };
                let message = format!(
                    "The target's API (Responses) takes no {what}. Choose a model that is served with another API, or leave it out."
                );
                return Err(Failure::invalid("unsupported_media", message));
            }
        }
        let mut item = Value::Object(map);
        self.beside(&media.rest, &mut item);
        Ok(Some(item))
    }

    fn assistant(&mut self, turn: &Turn) -> Result<(), Failure> {
        let mut content: Vec<Value> = Vec::new();
        let mut thoughts: Vec<&Reasoning> = Vec::new();
        let mut rest = Some(&turn.rest);
        for part in &turn.parts {
            match part {
                Part::Text(text) => content.push(self.said(text)),
                Part::Refusal(text) => content.push(json!({"type": "refusal", "refusal": text})),
                Part::Media(_) => self.losses.lose("assistant media"),
                Part::Result(result) => self.result(result)?,
                Part::Call(call) => {
                    self.say(&mut content, &mut rest);
                    self.call(call);
                }
                Part::Reasoning(thought) => {
                    self.say(&mut content, &mut rest);
                    thoughts.push(thought);
                    self.think(&mut thoughts);
                }
                Part::Foreign(OWN, value) => {
                    self.say(&mut content, &mut rest);
                    self.items.push(value.clone());
                }
                Part::Foreign(_, value) => self.lose_foreign(value),
            }
        }
        self.say(&mut content, &mut rest);
        if !thoughts.is_empty() {
            self.losses.hint("reasoning");
        }
        self.drop_last_thought();
        Ok(())
    }

    fn said(&mut self, text: &Text) -> Value {
        let annotations = match &text.citations {
            Some((OWN, list)) => list.clone(),
            Some(_) => {
                self.losses.hint("citations");
                Vec::new()
            }
            None => Vec::new(),
        };
        let mut item = json!({"type": "output_text", "text": text.text, "annotations": annotations, "logprobs": []});
        self.beside(&text.rest, &mut item);
        item
    }

    /// Ends the message that is open.
    fn say(&mut self, content: &mut Vec<Value>, rest: &mut Option<&Rest>) {
        if content.is_empty() {
            return;
        }
        let content = std::mem::take(content);
        let mut item = json!({"type": "message", "role": "assistant", "status": "completed", "content": content});
        if let Some(rest) = rest.take() {
            self.beside(rest, &mut item);
        }
        self.items.push(item);
    }

    /// A reasoning item, once its state has come. Thoughts without state that the provider made are refused there, and left out.
    fn think(&mut self, thoughts: &mut Vec<&Reasoning>) {
        let Some(opaque) = thoughts.last().and_then(|last| last.opaque.as_ref()) else { return };
        let whole = std::mem::take(thoughts);
        let (true, State::Encrypted { data, id }) = (opaque.fits(OWN, self.target.provider), &opaque.state) else {
            return self.losses.hint("reasoning");
        };
        let texts = whole.iter().filter(|thought| !thought.text.is_empty());
        let summary: Vec<Value> = texts.map(|thought| json!({"type": "summary_text", "text": thought.text})).collect();
        let mut item = json!({"type": "reasoning"});
        if let (Some(map), Some(id)) = (item.as_object_mut(), id) {
            map.insert("id".to_owned(), id.as_str().into());
        }
        if let Some(map) = item.as_object_mut() {
            map.insert("summary".to_owned(), Value::Array(summary));
            map.insert("encrypted_content".to_owned(), data.as_str().into());
        }
        if let Some(first) = whole.first() {
            self.beside(&first.rest, &mut item);
        }
        self.items.push(item);
    }

    /// A thought that led to nothing is refused: OpenAI wants the item that followed it.
    fn drop_last_thought(&mut self) {
        while self.items.last().is_some_and(|item| item.get("type").and_then(Value::as_str) == Some("reasoning")) {
            self.items.pop();
            self.losses.hint("reasoning");
        }
    }

    fn call(&mut self, call: &Call) {
        let mut map = Map::new();
        map.insert("type".to_owned(), if call.custom { "custom_tool_call" } else { "function_call" }.into());
        let id = short(&call.id);
        self.unanswered.push_back(id.clone().into_owned());
        map.insert("call_id".to_owned(), id.into());
        if let Some(namespace) = &call.namespace {
            map.insert("namespace".to_owned(), namespace.as_str().into());
        }
        map.insert("name".to_owned(), call.name.as_str().into());
        if call.custom {
            map.insert("input".to_owned(), call.arguments.as_str().into());
        } else {
            let arguments = if call.arguments.is_empty() { "{}" } else { &call.arguments };
            map.insert("arguments".to_owned(), arguments.into());
        }
        let mut item = Value::Object(map);
        self.beside(&call.rest, &mut item);
        self.items.push(item);
    }

    /// The id of the call that a result with this id answers. One without is taken to answer the first call that has no result yet.
    fn answered(&mut self, id: &str) -> String {
        if id.is_empty() {
            return self.unanswered.pop_front().unwrap_or_else(|| "call".to_owned());
        }
        let id = short(id);
        if let Some(at) = self.unanswered.iter().position(|waiting| *waiting == id) {
            self.unanswered.remove(at);
        }
        id.into_owned()
    }

    fn result(&mut self, result: &ToolResult) -> Result<(), Failure> {
        let output = match result.parts.as_slice() {
            [] => Value::from(""),
            [Part::Text(text)] => {
                self.losses.beside(&text.rest, OWN);
                Value::from(text.text.as_str())
            }
            parts => {
                let mut list = Vec::with_capacity(parts.len());
                for part in parts {
                    list.extend(self.content(part)?);
                }
                Value::Array(list)
            }
        };
        if result.error {
            self.losses.hint("is_error");
        }
        let custom = result.custom || self.custom.contains(result.id.as_str());
        let kind = if custom { "custom_tool_call_output" } else { "function_call_output" };
        let id = self.answered(&result.id);
        let mut item = json!({"type": kind, "call_id": id, "output": output});
        self.beside(&result.rest, &mut item);
        self.items.push(item);
        Ok(())
    }
}

/// An id that is too long keeps its beginning, with a mark that differs for others of the same beginning; a call and its result get the same.
fn short(id: &str) -> Cow<'_, str> {
    if id.len() <= LONGEST_ID {
        return id.into();
    }
    // FNV-1a.
    let mark =
        id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |mark, byte| (mark ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    let head: String = id.chars().filter(char::is_ascii).take(LONGEST_ID - 17).collect();
    format!("{head}-{mark:016x}").into()
}

fn name_for(mime: &str) -> String {
    let end = match mime {
        "application/pdf" => "pdf",
        "text/plain" => "txt",
        "text/csv" => "csv",
        "text/html" => "html",
        "text/markdown" => "md",
        "application/json" => "json",
        _ => "bin",
    };
    format!("file.{end}")
}
