//! What a fake call holds, and the functions of the interface over it.

use super::document;
use super::targets::{CAPABILITIES, FakeTarget};
use crate::texts::Texts;
use crate::types::Fault;
use serde_json::Value;
use std::cell::{Ref, RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;

const MAX_REMEMBERED: usize = 64 * 1024;
const MAX_TAGS: usize = 64;
const CREDENTIALS: [&str; 6] =
    ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "proxy-authorization"];

/// The hook in which the call is asked; decides what may be edited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum During {
    Request,
    Route,
    Response,
    Delta,
    Finish,
}

/// What a failing hook leaves as it was.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(super) id: String,
    pub(super) dialect: String,
    pub(super) operation: String,
    pub(super) prefix: Option<String>,
    pub(super) streaming: bool,
    pub(super) attempt: u32,
    pub(super) remaining_ms: u64,
    pub(super) caller: BTreeMap<String, String>,
    pub(super) headers: BTreeMap<String, String>,
    pub(super) reply_headers: BTreeMap<String, String>,
    pub(super) remembered: BTreeMap<String, Vec<u8>>,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) target: String,
    pub(super) targets: Vec<FakeTarget>,
    pub(super) estimated_tokens: Option<u32>,
    pub(super) request: Value,
    pub(super) reply: Value,
    /// A test gave a reply; without one a call finishes without.
    pub(super) replied: bool,
    /// `ok` or `denied` where the test says nothing.
    pub(super) outcome: Option<String>,
    pub(super) during: During,
}

/// The fake behind [`crate::Call`], [`crate::Reply`] and [`crate::Targets`].
#[derive(Clone)]
pub(crate) struct Backend(pub(super) Rc<RefCell<State>>);

fn parse(json: &str) -> Result<Value, Fault> {
    serde_json::from_str(json).map_err(|error| Fault::Invalid(format!("not JSON: {error}")))
}

impl Backend {
    fn read(&self) -> Ref<'_, State> {
        self.0.borrow()
    }

    /// The reply, unless the call is over and got none.
    fn reply(&self) -> Option<Ref<'_, State>> {
        let state = self.read();
        (state.replied || state.during != During::Finish).then_some(state)
    }

    /// What a call that is over may not have changed any more.
    fn open(&self) -> Result<RefMut<'_, State>, Fault> {
        let state = self.0.borrow_mut();
        match state.during {
            During::Finish => Err(Fault::Invalid("the call is over: on-finish changes nothing".to_owned())),
            _ => Ok(state),
        }
    }

    fn edit<V>(&self, during: During, edit: impl FnOnce(&mut State) -> Result<V, String>) -> Result<V, Fault> {
        let mut state = self.0.borrow_mut();
        if state.during != during {
            let hook = if during == During::Request { "on-request" } else { "on-response" };
            return Err(Fault::Invalid(format!("only within {hook}")));
        }
        edit(&mut state).map_err(Fault::Invalid)
    }

    pub(crate) fn id(&self) -> String {
        self.read().id.clone()
    }
    pub(crate) fn operation(&self) -> String {
        self.read().operation.clone()
    }
    pub(crate) fn dialect(&self) -> String {
        self.read().dialect.clone()
    }
    pub(crate) fn prefix(&self) -> Option<String> {
        self.read().prefix.clone()
    }
    pub(crate) fn model(&self) -> String {
        self.read().request.get("model").and_then(Value::as_str).unwrap_or_default().to_owned()
    }
    pub(crate) fn set_model(&self, model: &str) -> Result<(), Fault> {
        self.edit(During::Request, |state| document::set(&mut state.request, "/model", model.into()))
    }
    pub(crate) fn streaming(&self) -> bool {
        self.read().streaming
    }
    pub(crate) fn attempt(&self) -> u32 {
        self.read().attempt
    }
    pub(crate) fn caller(&self, field: &str) -> Option<String> {
        self.read().caller.get(field).cloned()
    }
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let name = name.to_ascii_lowercase();
        if CREDENTIALS.contains(&name.as_str()) { None } else { self.read().headers.get(&name).cloned() }
    }
    pub(crate) fn set_reply_header(&self, name: &str, value: &str) -> Result<(), Fault> {
        let name = name.to_ascii_lowercase();
        let token = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
        if !name.starts_with("x-") || name.len() == 2 || !token {
            return Err(Fault::Invalid(format!("{name:?} is not an x- header")));
        }
        let cache = name == "x-sluice-cache" || name.starts_with("x-sluice-cache-");
        if name == "x-request-id" || (name.starts_with("x-sluice-") && !cache) {
            return Err(Fault::Invalid(format!("{name} is the gateway's own")));
        }
        if value.chars().any(|c| c.is_control()) {
            return Err(Fault::Invalid(format!("the value of {name} has control characters")));
        }
        self.open()?.reply_headers.insert(name, value.to_owned());
        Ok(())
    }

    pub(crate) fn texts(&self) -> Texts {
        let state = self.read();
        document::texts(&state.request, &document::of_request(&state.request))
    }
    pub(crate) fn tool_name(&self, piece: u32) -> Option<String> {
        let places = document::of_request(&self.read().request);
        places.into_iter().nth(piece as usize)?.tool
    }
    pub(crate) fn last_user_text(&self) -> Option<String> {
        let state = self.read();
        let newest = state.request.get("messages")?.as_array()?.iter().rev();
        let message = newest.into_iter().find(|m| m.get("role").and_then(Value::as_str) == Some("user"))?;
        match message.get("content")? {
            Value::String(text) => Some(text.clone()),
            Value::Array(parts) => {
                let texts: Vec<&str> = parts.iter().filter_map(|part| part.get("text")?.as_str()).collect();
                (!texts.is_empty()).then(|| texts.join("\n"))
            }
            _ => None,
        }
    }
    pub(crate) fn set_text(&self, piece: u32, text: &str) -> Result<(), Fault> {
        self.edit(During::Request, |state| {
            let places = document::of_request(&state.request);
            let place = places.get(piece as usize).ok_or_else(|| format!("no piece {piece}"))?;
            document::set(&mut state.request, &place.pointer, text.into())
        })
    }
    pub(crate) fn get(&self, pointer: &str) -> Option<String> {
        self.read().request.pointer(pointer).map(Value::to_string)
    }
    pub(crate) fn set(&self, pointer: &str, json: &str) -> Result<(), Fault> {
        not_the_clients(pointer)?;
        let value = parse(json)?;
        self.edit(During::Request, |state| document::set(&mut state.request, pointer, value))
    }
    pub(crate) fn insert(&self, pointer: &str, json: &str) -> Result<(), Fault> {
        let value = parse(json)?;
        self.edit(During::Request, |state| document::insert(&mut state.request, pointer, value))
    }
    pub(crate) fn remove(&self, pointer: &str) -> Result<(), Fault> {
        not_the_clients(pointer)?;
        self.edit(During::Request, |state| document::remove(&mut state.request, pointer))
    }

    pub(crate) fn recall(&self, key: &str) -> Option<Vec<u8>> {
        self.read().remembered.get(key).cloned()
    }
    pub(crate) fn remember(&self, key: &str, value: &[u8]) -> Result<(), Fault> {
        let mut state = self.open()?;
        let others = state.remembered.iter().filter(|(other, _)| other.as_str() != key);
        let size: usize = others.map(|(other, value)| other.len() + value.len()).sum();
        if size + key.len() + value.len() > MAX_REMEMBERED {
            return Err(Fault::Invalid("more than 64 KiB to remember".to_owned()));
        }
        state.remembered.insert(key.to_owned(), value.to_vec());
        Ok(())
    }
    pub(crate) fn tag(&self, key: &str, value: &str) -> Result<(), Fault> {
        let mut state = self.open()?;
        if state.tags.len() >= MAX_TAGS && !state.tags.contains_key(key) {
            return Err(Fault::Invalid(format!("more than {MAX_TAGS} tags")));
        }
        state.tags.insert(key.to_owned(), value.to_owned());
        Ok(())
    }
    pub(crate) fn tagged(&self, key: &str) -> Option<String> {
        self.read().tags.get(key).cloned()
    }
    pub(crate) fn remaining_ms(&self) -> u64 {
        self.read().remaining_ms
    }

    fn target<V>(&self, at: u32, ask: impl FnOnce(&FakeTarget) -> V) -> Option<V> {
        self.read().targets.get(at as usize).map(ask)
    }
    pub(crate) fn target_name(&self, at: u32) -> String {
        self.target(at, |target| target.name.clone()).unwrap_or_default()
    }
    pub(crate) fn target_number(&self, at: u32, field: &str) -> Option<f64> {
        if field == "estimated-tokens" {
            let state = self.read();
            let bytes = state.request.to_string().len();
            return Some(state.estimated_tokens.map_or((bytes / 4) as f64, f64::from));
        }
        self.target(at, |target| target.numbers.get(field).copied())?
    }
    pub(crate) fn target_label(&self, at: u32, name: &str) -> Option<String> {
        self.target(at, |target| target.labels.get(name).cloned())?
    }
    pub(crate) fn target_has(&self, at: u32, capability: &str) -> bool {
        let known = CAPABILITIES.contains(&capability);
        self.target(at, |target| known && !target.lacking.contains(capability)).unwrap_or(false)
    }
    pub(crate) fn reply_outcome(&self) -> Option<String> {
        let state = self.read();
        let usual = if state.replied { "ok" } else { "denied" };
        (state.during == During::Finish).then(|| state.outcome.clone().unwrap_or_else(|| usual.to_owned()))
    }
    pub(crate) fn reply_target(&self) -> String {
        self.reply().map(|state| state.target.clone()).unwrap_or_default()
    }
    pub(crate) fn reply_texts(&self) -> Texts {
        let Some(state) = self.reply() else { return Texts::default() };
        document::texts(&state.reply, &document::of_reply(&state.reply))
    }
    pub(crate) fn reply_tool_name(&self, piece: u32) -> Option<String> {
        document::of_reply(&self.reply()?.reply).into_iter().nth(piece as usize)?.tool
    }
    pub(crate) fn reply_set_text(&self, piece: u32, text: &str) -> Result<(), Fault> {
        self.edit(During::Response, |state| {
            let places = document::of_reply(&state.reply);
            let place = places.get(piece as usize).ok_or_else(|| format!("no piece {piece}"))?;
            document::set(&mut state.reply, &place.pointer, text.into())
        })
    }
    pub(crate) fn reply_finish_reason(&self, choice: u32) -> Option<String> {
        let reason = self.reply()?.reply.pointer(&format!("/choices/{choice}/finish_reason"))?.as_str()?.to_owned();
        Some(reason)
    }
    pub(crate) fn reply_tokens(&self, class: &str) -> Option<u64> {
        let state = self.reply()?;
        let number = |pointer: &str| state.reply.pointer(pointer).and_then(Value::as_u64);
        let cached = number("/usage/prompt_tokens_details/cached_tokens");
        let reasoning = number("/usage/completion_tokens_details/reasoning_tokens");
        match class {
            "input" => Some(number("/usage/prompt_tokens")?.saturating_sub(cached.unwrap_or(0))),
            "cache-read" => cached,
            "output" => Some(number("/usage/completion_tokens")?.saturating_sub(reasoning.unwrap_or(0))),
            "reasoning" => reasoning,
            _ => None,
        }
    }
    pub(crate) fn reply_get(&self, pointer: &str) -> Option<String> {
        self.reply()?.reply.pointer(pointer).map(Value::to_string)
    }
    pub(crate) fn reply_set(&self, pointer: &str, json: &str) -> Result<(), Fault> {
        let value = parse(json)?;
        self.edit(During::Response, |state| document::set(&mut state.reply, pointer, value))
    }
    pub(crate) fn reply_remove(&self, pointer: &str) -> Result<(), Fault> {
        self.edit(During::Response, |state| document::remove(&mut state.reply, pointer))
    }
    pub(crate) fn reply_first_byte_ms(&self) -> u32 {
        self.reply().map_or(0, |_| 1)
    }
    pub(crate) fn reply_total_ms(&self) -> u32 {
        self.reply().map_or(0, |_| 2)
    }
}

/// The client waits for the kind of reply that it asked for.
fn not_the_clients(pointer: &str) -> Result<(), Fault> {
    if pointer == "/stream" { Err(Fault::Invalid("/stream cannot be changed".to_owned())) } else { Ok(()) }
}
