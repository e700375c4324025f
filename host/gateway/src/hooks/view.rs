//! The call as plugins see it: the `CallView` over one call's documents, edits and notes.
//!
//! Made only when the chain has a hook to run. Everything an earlier plugin changed is visible to later ones; what a failing hook changed
//! is rolled back by `begin` and `roll_back`, which the runners call around every hook.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use sluice_dialect::Dialect;
use sluice_dialect::document::{Checkpoint, Document, EditError};
use sluice_dialect::usage::Usage;
use sluice_sandbox::{CallView, Fault, Hook, Level, Targets, Texts};

use super::edit::{self, capped};
use super::pieces::texts;
use super::route::Offers;
use crate::config::CREDENTIALS;
use crate::governance::caller::Caller;
use crate::observe::record::Outcome;
use crate::plugins::chain::Entry;

/// What one plugin may `remember` for one call, keys included, bytes.
const MEMORY: usize = 64 * 1024;
const TAGS: usize = 64;
const TAG_LENGTH: usize = 1024;
const REPLY_HEADERS: usize = 32;
const REPLY_HEADER_LENGTH: usize = 4096;

/// What the view of a call is made of.
#[derive(Clone)]
pub struct Seed {
    pub id: String,
    pub operation: &'static str,
    pub dialect: Dialect,
    /// The provider that the path names.
    pub prefix: Option<&'static str>,
    pub streaming: bool,
    /// The model as the client wrote it.
    pub model: String,
    pub caller: Option<Caller>,
    pub headers: Arc<HeaderMap>,
    /// A JSON object.
    pub body: Bytes,
    /// To which size edits may grow it, in bytes.
    pub max: usize,
    pub deadline: Instant,
}

#[cfg(test)]
impl Seed {
    /// A chat of nobody's, for tests that need some call.
    pub(crate) fn sample() -> Seed {
        Seed {
            id: "id".into(),
            operation: "chat",
            dialect: Dialect::OpenaiChat,
            prefix: None,
            streaming: false,
            model: "m".into(),
            caller: None,
            headers: Arc::default(),
            body: Bytes::from_static(b"{}"),
            max: 1024,
            deadline: Instant::now(),
        }
    }
}

/// How a call ended; known to `on-finish` alone.
#[derive(Clone, Copy, Debug)]
pub struct Ended {
    pub outcome: Outcome,
    pub usage: Option<Usage>,
}

/// The reply under a hook's eyes.
pub struct ReplyView {
    pub document: Document,
    /// The reply was too long to be kept for `on-finish`: the document holds finish reasons and no more, and cannot be read.
    pub gone: bool,
    pub target: String,
    pub first_byte: Duration,
    pub total: Duration,
}

/// The part of a call's state that a failing hook must give back.
struct Before {
    request: Checkpoint,
    reply: Option<Checkpoint>,
    model: Option<String>,
    tags: Vec<(String, String)>,
    headers: Vec<(String, String)>,
    memory: Option<BTreeMap<String, Vec<u8>>>,
}

pub struct CallState {
    pub id: String,
    pub operation: &'static str,
    /// The client's dialect.
    pub dialect: Dialect,
    /// The provider that the path names.
    pub prefix: Option<&'static str>,
    pub streaming: bool,
    pub attempt: u32,
    /// The model as the client wrote it.
    pub model: String,
    /// Set by a plugin; wins over `model`.
    pub new_model: Option<String>,
    pub caller: Option<Caller>,
    pub headers: Arc<HeaderMap>,
    pub request: Document,
    pub reply: Option<ReplyView>,
    /// What could serve the call, while it is routed.
    pub targets: Option<Offers>,
    pub reply_headers: Vec<(String, String)>,
    /// The head of the reply is out: no header can be set any more.
    pub head_sent: bool,
    pub tags: Vec<(String, String)>,
    pub deadline: Instant,
    /// The call is over: nothing of it can be changed.
    pub ended: Option<Ended>,
    memory: BTreeMap<Arc<str>, BTreeMap<String, Vec<u8>>>,
    current: Option<(Arc<Entry>, Hook)>,
    before: Option<Before>,
    /// The current hook changed the request, the reply or the model.
    edited: bool,
}

impl CallState {
    pub fn new(seed: Seed) -> CallState {
        CallState {
            id: seed.id,
            operation: seed.operation,
            dialect: seed.dialect,
            prefix: seed.prefix,
            streaming: seed.streaming,
            attempt: 1,
            model: seed.model,
            new_model: None,
            caller: seed.caller,
            headers: seed.headers,
            request: seed.dialect.request_document(seed.body, seed.max),
            reply: None,
            targets: None,
            reply_headers: Vec::new(),
            head_sent: false,
            tags: Vec::new(),
            deadline: seed.deadline,
            ended: None,
            memory: BTreeMap::new(),
            current: None,
            before: None,
            edited: false,
        }
    }

    /// Before a hook: remembers what to give back if it fails.
    pub fn begin(&mut self, entry: &Arc<Entry>, hook: Hook) {
        self.before = Some(Before {
            request: self.request.checkpoint(),
            reply: self.reply.as_ref().map(|reply| reply.document.checkpoint()),
            model: self.new_model.clone(),
            tags: self.tags.clone(),
            headers: self.reply_headers.clone(),
            memory: self.memory.get(&entry.name).cloned(),
        });
        self.current = Some((Arc::clone(entry), hook));
        self.edited = false;
    }

    /// After a hook that returned ok: its word for the receipt.
    pub fn commit(&mut self) -> &'static str {
        self.before = None;
        self.current = None;
        if self.edited { "edit" } else { "pass" }
    }

    fn edit(&mut self, result: Result<(), EditError>) -> Result<(), Fault> {
        self.edited |= result.is_ok();
        result.map_err(|error| Fault::Invalid(error.0))
    }

    /// After a hook that failed: nothing of it stays.
    pub fn roll_back(&mut self) {
        let current = self.current.take();
        let Some(before) = self.before.take() else { return };
        self.request.rollback(before.request);
        if let (Some(reply), Some(checkpoint)) = (&mut self.reply, before.reply) {
            reply.document.rollback(checkpoint);
        }
        self.new_model = before.model;
        self.tags = before.tags;
        self.reply_headers = before.headers;
        if let Some((entry, _)) = current {
            match before.memory {
                Some(memory) => self.memory.insert(Arc::clone(&entry.name), memory),
                None => self.memory.remove(&entry.name),
            };
        }
    }

    fn restructure(
        &mut self,
        pointer: &str,
        edit: impl FnOnce(&mut Document) -> Result<(), EditError>,
    ) -> Result<(), Fault> {
        self.in_request()?;
        if let Some(model) = edit::restructure(&mut self.request, self.streaming, pointer, edit)? {
            self.new_model = Some(model);
        }
        self.edited = true;
        Ok(())
    }

    fn in_request(&self) -> Result<(), Fault> {
        self.open()?;
        match &self.current {
            Some((_, Hook::OnRequest)) => Ok(()),
            _ => Err(Fault::Invalid("the request can be changed only within on-request".into())),
        }
    }

    /// Guards every change that is not to the request.
    fn open(&self) -> Result<(), Fault> {
        match self.ended {
            None => Ok(()),
            Some(_) => Err(Fault::Invalid("the call is over: on-finish reads and changes nothing".into())),
        }
    }

    fn reply_mut(&mut self) -> Result<&mut ReplyView, Fault> {
        self.open()?;
        self.reply.as_mut().ok_or_else(|| Fault::Invalid("there is no reply in this hook".into()))
    }

    /// The reply's document, if it can be read.
    fn reply_document(&mut self) -> Option<&mut Document> {
        self.reply.as_mut().filter(|reply| !reply.gone).map(|reply| &mut reply.document)
    }

    fn name(&self) -> Arc<str> {
        self.current.as_ref().map_or_else(|| Arc::from(""), |(entry, _)| Arc::clone(&entry.name))
    }
}

impl CallView for CallState {
    fn id(&self) -> String {
        self.id.clone()
    }

    fn operation(&self) -> String {
        self.operation.to_owned()
    }

    fn dialect(&self) -> String {
        self.dialect.as_str().to_owned()
    }

    fn prefix(&self) -> Option<String> {
        self.prefix.map(str::to_owned)
    }

    fn model(&mut self) -> String {
        self.new_model.as_ref().unwrap_or(&self.model).clone()
    }

    fn set_model(&mut self, model: String) -> Result<(), Fault> {
        self.in_request()?;
        capped("a model name", &model, 512)?;
        self.new_model = Some(model);
        self.edited = true;
        Ok(())
    }

    fn streaming(&self) -> bool {
        self.streaming
    }

    fn attempt(&self) -> u32 {
        self.attempt
    }

    fn caller(&self, field: &str) -> Option<String> {
        let caller = self.caller.as_ref()?;
        match field {
            "key" => Some(caller.key.to_string()),
            "team" => caller.team.as_ref().map(ToString::to_string),
            "user" => caller.user.as_ref().map(ToString::to_string),
            _ => caller.label(field.strip_prefix("label.")?).map(str::to_owned),
        }
    }

    fn header(&self, name: &str) -> Option<String> {
        let name = name.to_ascii_lowercase();
        if CREDENTIALS.contains(&name.as_str()) {
            return None;
        }
        self.headers.get(&name).map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    }

    fn set_reply_header(&mut self, name: String, value: String) -> Result<(), Fault> {
        self.open()?;
        if self.head_sent {
            // A plugin that says the same in every window has been heard.
            if self.reply_headers.iter().any(|(known, said)| known.eq_ignore_ascii_case(&name) && *said == value) {
                return Ok(());
            }
            return Err(Fault::Invalid(
                "the head of this stream has been sent: set reply headers before the first text".into(),
            ));
        }
        let name = name.to_ascii_lowercase();
        // What a cache says about itself has its name from us, whoever the cache is by.
        let cache = name == "x-sluice-cache" || name.starts_with("x-sluice-cache-");
        let ours = name == "x-request-id" || (name.starts_with("x-sluice-") && !cache);
        if !name.starts_with("x-") || ours || http::HeaderName::try_from(&name).is_err() {
            return Err(Fault::Invalid(format!(
                "`{name}` cannot be set: only `x-` headers that are not x-request-id or x-sluice-* (but for x-sluice-cache and x-sluice-cache-*)"
            )));
        }
        if value.len() > REPLY_HEADER_LENGTH || http::HeaderValue::try_from(&value).is_err() {
            return Err(Fault::Invalid(format!("the value for `{name}` is not a header value of at most 4 KiB")));
        }
        self.reply_headers.retain(|(known, _)| *known != name);
        if self.reply_headers.len() >= REPLY_HEADERS {
            return Err(Fault::Invalid(format!("at most {REPLY_HEADERS} reply headers a call")));
        }
        self.reply_headers.push((name, value));
        Ok(())
    }

    fn all_text(&mut self) -> Texts {
        texts(&mut self.request)
    }

    fn tool_name(&mut self, piece: u32) -> Option<String> {
        self.request.tool_name(piece as usize).map(Cow::into_owned)
    }

    fn last_user_text(&mut self) -> Option<String> {
        self.dialect.api().last_user_text(&self.request.commit())
    }

    fn set_text(&mut self, piece: u32, text: String) -> Result<(), Fault> {
        self.in_request()?;
        let result = self.request.set_text(piece as usize, &text);
        self.edit(result)
    }

    fn get(&mut self, pointer: &str) -> Option<String> {
        match &self.new_model {
            Some(model) if pointer == "/model" => serde_json::to_string(model).ok(),
            _ => self.request.get(pointer).map(str::to_owned),
        }
    }

    fn set(&mut self, pointer: &str, json: String) -> Result<(), Fault> {
        self.restructure(pointer, |request| request.set(pointer, &json))
    }

    fn insert(&mut self, pointer: &str, json: String) -> Result<(), Fault> {
        self.restructure(pointer, |request| request.insert(pointer, &json))
    }

    fn remove(&mut self, pointer: &str) -> Result<(), Fault> {
        self.restructure(pointer, |request| request.remove(pointer))
    }

    fn recall(&self, key: &str) -> Option<Vec<u8>> {
        self.memory.get(&self.name())?.get(key).cloned()
    }

    fn remember(&mut self, key: String, value: Vec<u8>) -> Result<(), Fault> {
        self.open()?;
        let memory = self.memory.entry(self.name()).or_default();
        let others: usize = memory.iter().filter(|(k, _)| **k != key).map(|(k, v)| k.len() + v.len()).sum();
        if others + key.len() + value.len() > MEMORY {
            return Err(Fault::Invalid(format!("a plugin may remember at most {MEMORY} bytes a call")));
        }
        memory.insert(key, value);
        Ok(())
    }

    fn tag(&mut self, key: String, value: String) -> Result<(), Fault> {
        self.open()?;
        capped("a tag's key", &key, 128)?;
        if value.len() > TAG_LENGTH {
            return Err(Fault::Invalid(format!("a tag's value has at most {TAG_LENGTH} bytes")));
        }
        if let Some(known) = self.tags.iter_mut().find(|(known, _)| *known == key) {
            known.1 = value;
        } else if self.tags.len() >= TAGS {
            return Err(Fault::Invalid(format!("a call has at most {TAGS} tags")));
        } else {
            self.tags.push((key, value));
        }
        Ok(())
    }

    fn tagged(&self, key: &str) -> Option<String> {
        self.tags.iter().find(|(known, _)| known == key).map(|(_, value)| value.clone())
    }

    fn remaining_ms(&self) -> u64 {
        self.deadline.saturating_duration_since(Instant::now()).as_millis() as u64
    }

    fn targets(&self) -> Option<&dyn Targets> {
        self.targets.as_ref().map(|targets| targets as &dyn Targets)
    }

    fn has_reply(&self) -> bool {
        self.reply.is_some() && matches!(self.current, Some((_, Hook::OnResponse | Hook::OnFinish)))
    }

    fn reply_target(&self) -> String {
        self.reply.as_ref().map(|reply| reply.target.clone()).unwrap_or_default()
    }

    fn reply_all_text(&mut self) -> Texts {
        self.reply_document().map(texts).unwrap_or_default()
    }

    fn reply_tool_name(&mut self, piece: u32) -> Option<String> {
        self.reply_document()?.tool_name(piece as usize).map(Cow::into_owned)
    }

    fn reply_set_text(&mut self, piece: u32, text: String) -> Result<(), Fault> {
        let result = self.reply_mut()?.document.set_text(piece as usize, &text);
        self.edit(result)
    }

    fn reply_finish_reason(&mut self, choice: u32) -> Option<String> {
        self.reply.as_ref()?.document.finish_reason(choice)
    }

    fn reply_tokens(&mut self, class: &str) -> Option<u64> {
        let usage = match self.ended {
            // Also where the client did not see it: it was asked for on its behalf, or the reply was too long to keep.
            Some(ended) => ended.usage?,
            None => self.dialect.api().check_reply(&self.reply.as_ref()?.document.commit()).ok()??,
        };
        usage.class(class)
    }

    fn reply_get(&mut self, pointer: &str) -> Option<String> {
        self.reply_document()?.get(pointer).map(str::to_owned)
    }

    fn reply_set(&mut self, pointer: &str, json: String) -> Result<(), Fault> {
        let result = self.reply_mut()?.document.set(pointer, &json);
        self.edit(result)
    }

    fn reply_remove(&mut self, pointer: &str) -> Result<(), Fault> {
        let result = self.reply_mut()?.document.remove(pointer);
        self.edit(result)
    }

    fn reply_first_byte_ms(&self) -> u32 {
        self.reply.as_ref().map_or(0, |reply| reply.first_byte.as_millis() as u32)
    }

    fn reply_total_ms(&self) -> u32 {
        self.reply.as_ref().map_or(0, |reply| reply.total.as_millis() as u32)
    }

    fn reply_outcome(&self) -> Option<String> {
        self.ended.map(|ended| ended.outcome.as_str().to_owned())
    }

    fn log(&mut self, level: Level, message: &str) {
        let plugin = self.name();
        let id = &self.id;
        match level {
            Level::Trace => tracing::trace!(target: "sluice::plugin", %plugin, %id, "{message}"),
            Level::Debug => tracing::debug!(target: "sluice::plugin", %plugin, %id, "{message}"),
            Level::Info => tracing::info!(target: "sluice::plugin", %plugin, %id, "{message}"),
            Level::Warn => tracing::warn!(target: "sluice::plugin", %plugin, %id, "{message}"),
            Level::Error => tracing::error!(target: "sluice::plugin", %plugin, %id, "{message}"),
        }
    }

    fn count(&mut self, name: &str, by: u64) {
        if let Some((entry, _)) = &self.current {
            entry.metrics.count(name, by);
        }
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
