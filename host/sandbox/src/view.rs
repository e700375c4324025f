//! What a plugin may ask about its call: the host's side of the `call`, `reply` and `targets` interfaces.
//!
//! The gateway implements this over its call; the sandbox only forwards. A view moves into the instance's store for one hook and comes
//! back with the verdict, so it owns what it needs and is `Send`. Transactions (begin, commit, roll back) are the gateway's business and
//! happen around a hook, never inside.

use std::any::Any;

/// As in the interface: who speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
    Other,
}

/// As in the interface: what kind of text a piece is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Text,
    Reasoning,
    Refusal,
    ToolArguments,
    ToolResult,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    pub role: Role,
    pub kind: Kind,
    pub choice: u32,
}

/// All pieces of a request or reply; `joined` has U+001E between texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    pub joined: String,
    pub pieces: Vec<Piece>,
}

/// A plugin's own failure, or a host function's refusal; the same type both ways so that `?` passes it on in a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    InvalidConfig(String),
    Invalid(String),
    Denied(String),
    Unavailable(String),
    Internal(String),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// The host's side of the `targets` interface; what a function means and which names it knows is said there. Every `target` asked for is
/// below `count`.
pub trait Targets: Send + Sync {
    fn count(&self) -> u32;
    fn name(&self, target: u32) -> String;
    fn number(&self, target: u32, field: &str) -> Option<f64>;
    fn label(&self, target: u32, name: &str) -> Option<String>;
    fn has(&self, target: u32, capability: &str) -> bool;
}

/// The call that a hook speaks of. Every method must be quick and must not block; what it costs counts against the hook's time.
pub trait CallView: Send {
    fn id(&self) -> String;
    fn operation(&self) -> String;
    fn dialect(&self) -> String;
    /// The provider that the path names.
    fn prefix(&self) -> Option<String>;
    fn model(&mut self) -> String;
    fn set_model(&mut self, model: String) -> Result<(), Fault>;
    fn streaming(&self) -> bool;
    fn attempt(&self) -> u32;
    fn caller(&self, field: &str) -> Option<String>;
    fn header(&self, name: &str) -> Option<String>;
    fn set_reply_header(&mut self, name: String, value: String) -> Result<(), Fault>;

    fn all_text(&mut self) -> Texts;
    fn tool_name(&mut self, piece: u32) -> Option<String>;
    fn last_user_text(&mut self) -> Option<String>;
    fn set_text(&mut self, piece: u32, text: String) -> Result<(), Fault>;
    fn get(&mut self, pointer: &str) -> Option<String>;
    fn set(&mut self, pointer: &str, json: String) -> Result<(), Fault>;
    fn insert(&mut self, pointer: &str, json: String) -> Result<(), Fault>;
    fn remove(&mut self, pointer: &str) -> Result<(), Fault>;

    fn recall(&self, key: &str) -> Option<Vec<u8>>;
    fn remember(&mut self, key: String, value: Vec<u8>) -> Result<(), Fault>;
    fn tag(&mut self, key: String, value: String) -> Result<(), Fault>;
    fn tagged(&self, key: &str) -> Option<String>;
    fn remaining_ms(&self) -> u64;

    /// What could serve the call: asked within `on-route` only. Without any the hook runs as one that has nothing to choose from.
    fn targets(&self) -> Option<&dyn Targets> {
        None
    }

    /// Whether there is a reply to ask. Where there is none the sandbox asks no other function of the reply but its outcome: it traps in
    /// `on-response`, and in `on-finish` it answers for the view that nothing is there. In all other hooks `reply` traps anyway.
    fn has_reply(&self) -> bool;
    fn reply_target(&self) -> String;
    fn reply_all_text(&mut self) -> Texts;
    fn reply_tool_name(&mut self, piece: u32) -> Option<String>;
    fn reply_set_text(&mut self, piece: u32, text: String) -> Result<(), Fault>;
    fn reply_finish_reason(&mut self, choice: u32) -> Option<String>;
    fn reply_tokens(&mut self, class: &str) -> Option<u64>;
    fn reply_get(&mut self, pointer: &str) -> Option<String>;
    fn reply_set(&mut self, pointer: &str, json: String) -> Result<(), Fault>;
    fn reply_remove(&mut self, pointer: &str) -> Result<(), Fault>;
    fn reply_first_byte_ms(&self) -> u32;
    fn reply_total_ms(&self) -> u32;
    /// How the call ended; asked in `on-finish` only, also where there is no reply.
    fn reply_outcome(&self) -> Option<String>;

    /// `host.log`; already capped and counted by the sandbox.
    fn log(&mut self, level: Level, message: &str);
    /// `host.count`; already capped by the sandbox.
    fn count(&mut self, name: &str, by: u64);

    /// To get the gateway's own type back after a hook.
    fn into_any(self: Box<Self>) -> Box<dyn Any>;
}
