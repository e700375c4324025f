//! The call being served and its reply, as an author sees them: in a component the gateway's functions, in a test the fake's.

use crate::texts::Texts;
use crate::types::Fault;
use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(target_family = "wasm")]
mod component;
#[cfg(target_family = "wasm")]
pub(crate) use component::Backend;

#[cfg(not(target_family = "wasm"))]
pub(crate) use crate::testing::Backend;

/// The call being served. Reading costs what is read and nothing else; edits apply when the hook returns `Ok`.
pub struct Call {
    backend: Backend,
}

impl Call {
    #[cfg(target_family = "wasm")]
    pub(crate) fn current() -> Self {
        Call { backend: Backend }
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn of(backend: Backend) -> Self {
        Call { backend }
    }

    /// Unique per call; the same in logs, traces and the `x-request-id` header.
    pub fn id(&self) -> String {
        self.backend.id()
    }

    /// What is asked for: `chat`, ...
    pub fn operation(&self) -> String {
        self.backend.operation()
    }

    /// The client's wire format: `openai-chat`, ...
    pub fn dialect(&self) -> String {
        self.backend.dialect()
    }

    /// The provider that the path names: `openai` for `/openai/v1/...`; `None` on the paths that name none.
    pub fn prefix(&self) -> Option<String> {
        self.backend.prefix()
    }

    /// As the client wrote it, or as an earlier plugin changed it; empty where the client named none.
    pub fn model(&self) -> String {
        self.backend.model()
    }

    /// # Errors
    /// Only within `on_request`.
    pub fn set_model(&mut self, model: &str) -> Result<(), Fault> {
        self.backend.set_model(model)
    }

    /// Whether the client asked for a stream.
    pub fn streaming(&self) -> bool {
        self.backend.streaming()
    }

    /// 1 for the first try; higher in `on_response` after a retry.
    pub fn attempt(&self) -> u32 {
        self.backend.attempt()
    }

    /// Who calls: `key` (the virtual key's name, never its secret), `team`, `user`, `label.NAME`.
    pub fn caller(&self, field: &str) -> Option<String> {
        self.backend.caller(field)
    }

    /// A client request header; credentials are never readable.
    pub fn header(&self, name: &str) -> Option<String> {
        self.backend.header(name)
    }

    /// A header for whatever the client gets.
    ///
    /// # Errors
    /// The name must begin with `x-` and be none of the gateway's own (`x-sluice-*`; `x-sluice-cache` is a cache's), the value be one line.
    pub fn set_reply_header(&mut self, name: &str, value: &str) -> Result<(), Fault> {
        self.backend.set_reply_header(name, value)
    }

    /// Every text of the request.
    pub fn texts(&self) -> Texts {
        self.backend.texts()
    }

    /// The tool's name of a tool-arguments or tool-result piece.
    pub fn tool_name(&self, piece: u32) -> Option<String> {
        self.backend.tool_name(piece)
    }

    /// Only the newest user text, the cheapest look at a prompt.
    pub fn last_user_text(&self) -> Option<String> {
        self.backend.last_user_text()
    }

    /// Replaces a piece's text in the client's own bytes; what is not edited keeps its exact bytes.
    ///
    /// # Errors
    /// Only within `on_request`, and only for a piece that exists.
    pub fn set_text(&mut self, piece: u32, text: &str) -> Result<(), Fault> {
        self.backend.set_text(piece, text)
    }

    /// The value at an RFC 6901 pointer into the canonical request; `""` is the whole document. `None` where nothing is there.
    ///
    /// # Errors
    /// What is there is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, pointer: &str) -> Result<Option<T>, Fault> {
        read(self.get_json(pointer), pointer)
    }

    /// As [`Call::get`], unread.
    pub fn get_json(&self, pointer: &str) -> Option<String> {
        self.backend.get(pointer)
    }

    /// Replaces or adds a value. `/model` is what [`Call::set_model`] sets.
    ///
    /// # Errors
    /// Only within `on_request`; the place must exist; `/stream` is the client's.
    pub fn set<T: Serialize + ?Sized>(&mut self, pointer: &str, value: &T) -> Result<(), Fault> {
        self.backend.set(pointer, &serde_json::to_string(value)?)
    }

    /// Puts a value into an array before that index; `-` appends.
    ///
    /// # Errors
    /// Only within `on_request`; the array must exist.
    pub fn insert<T: Serialize + ?Sized>(&mut self, pointer: &str, value: &T) -> Result<(), Fault> {
        self.backend.insert(pointer, &serde_json::to_string(value)?)
    }

    /// Takes a value out.
    ///
    /// # Errors
    /// Only within `on_request`; the value must exist.
    pub fn remove(&mut self, pointer: &str) -> Result<(), Fault> {
        self.backend.remove(pointer)
    }

    /// What an earlier hook of this plugin remembered for this call.
    ///
    /// # Errors
    /// What was remembered is not a `T`.
    pub fn recall<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Fault> {
        match self.recall_bytes(key) {
            Some(bytes) => Ok(Some(serde_json::from_slice(&bytes)?)),
            None => Ok(None),
        }
    }

    /// Keeps a value for later hooks of this plugin on this call.
    ///
    /// # Errors
    /// At most 64 KiB in all.
    pub fn remember<T: Serialize + ?Sized>(&mut self, key: &str, value: &T) -> Result<(), Fault> {
        let bytes = serde_json::to_vec(value)?;
        self.remember_bytes(key, &bytes)
    }

    /// As [`Call::recall`], for bytes.
    pub fn recall_bytes(&self, key: &str) -> Option<Vec<u8>> {
        self.backend.recall(key)
    }

    /// As [`Call::remember`], for bytes.
    ///
    /// # Errors
    /// At most 64 KiB in all.
    pub fn remember_bytes(&mut self, key: &str, value: &[u8]) -> Result<(), Fault> {
        self.backend.remember(key, value)
    }

    /// Public: shown in logs, and readable by later plugins.
    ///
    /// # Errors
    /// At most 64 a call.
    pub fn tag(&mut self, key: &str, value: &str) -> Result<(), Fault> {
        self.backend.tag(key, value)
    }

    /// What this or an earlier plugin tagged.
    pub fn tagged(&self, key: &str) -> Option<String> {
        self.backend.tagged(key)
    }

    /// Milliseconds left before the call's own deadline.
    pub fn remaining_ms(&self) -> u64 {
        self.backend.remaining_ms()
    }
}

/// The reply to the call, within `on_response` and, read-only, `on_finish`.
pub struct Reply {
    backend: Backend,
}

impl Reply {
    #[cfg(target_family = "wasm")]
    pub(crate) fn current() -> Self {
        Reply { backend: Backend }
    }

    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn of(backend: Backend) -> Self {
        Reply { backend }
    }

    /// Whether there is a reply. In `on_finish` there may be none: a call that was refused or failed. Nothing can be read then but the
    /// outcome.
    pub fn exists(&self) -> bool {
        !self.backend.reply_target().is_empty()
    }

    /// How the call ended: `ok`, `denied`, `answered`, `upstream-error`, `truncated`, `client-gone`, ...; only within `on_finish`.
    pub fn outcome(&self) -> Option<String> {
        self.backend.reply_outcome()
    }

    /// `provider/model` that answered; the plugin's name where an earlier plugin did.
    pub fn target(&self) -> String {
        self.backend.reply_target()
    }

    /// Every text of the reply.
    pub fn texts(&self) -> Texts {
        self.backend.reply_texts()
    }

    /// The tool's name of a tool-arguments piece.
    pub fn tool_name(&self, piece: u32) -> Option<String> {
        self.backend.reply_tool_name(piece)
    }

    /// Replaces a piece's text, and every copy of it in the reply.
    ///
    /// # Errors
    /// The piece must exist.
    pub fn set_text(&mut self, piece: u32, text: &str) -> Result<(), Fault> {
        self.backend.reply_set_text(piece, text)
    }

    /// Why that choice ended.
    pub fn finish_reason(&self, choice: u32) -> Option<String> {
        self.backend.reply_finish_reason(choice)
    }

    /// As the provider reported them, in disjoint classes: `input`, `cache-read`, `cache-write`, `output`, `reasoning`.
    pub fn tokens(&self, class: &str) -> Option<u64> {
        self.backend.reply_tokens(class)
    }

    /// The value at an RFC 6901 pointer into the canonical reply. `None` where nothing is there.
    ///
    /// # Errors
    /// What is there is not a `T`.
    pub fn get<T: DeserializeOwned>(&self, pointer: &str) -> Result<Option<T>, Fault> {
        read(self.get_json(pointer), pointer)
    }

    /// As [`Reply::get`], unread.
    pub fn get_json(&self, pointer: &str) -> Option<String> {
        self.backend.reply_get(pointer)
    }

    /// Replaces or adds a value.
    ///
    /// # Errors
    /// The place must exist.
    pub fn set<T: Serialize + ?Sized>(&mut self, pointer: &str, value: &T) -> Result<(), Fault> {
        self.backend.reply_set(pointer, &serde_json::to_string(value)?)
    }

    /// Takes a value out.
    ///
    /// # Errors
    /// The value must exist.
    pub fn remove(&mut self, pointer: &str) -> Result<(), Fault> {
        self.backend.reply_remove(pointer)
    }

    /// Milliseconds from sending to the first byte.
    pub fn first_byte_ms(&self) -> u32 {
        self.backend.reply_first_byte_ms()
    }

    /// Milliseconds from sending to the last byte.
    pub fn total_ms(&self) -> u32 {
        self.backend.reply_total_ms()
    }
}

fn read<T: DeserializeOwned>(json: Option<String>, pointer: &str) -> Result<Option<T>, Fault> {
    match json {
        Some(json) => match serde_json::from_str(&json) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(Fault::Invalid(format!("{pointer}: {error}"))),
        },
        None => Ok(None),
    }
}
