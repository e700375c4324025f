//! A small fixed chat: the call of the dry run, and what stands in a store between hooks, so that a view can always be handed back.
//!
//! It accepts every edit and keeps none.

use std::any::Any;

use crate::view::{CallView, Fault, Kind, Level, Piece, Role, Targets, Texts};

const REQUEST: &str = r#"{"model":"dry-run","messages":[{"role":"system","content":"Answer briefly."},{"role":"user","content":"Good morning."}]}"#;
const REPLY: &str = r#"{"id":"dry-run","object":"chat.completion","created":0,"model":"dry-run","choices":[{"index":0,"message":{"role":"assistant","content":"Good morning to you."},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":5,"total_tokens":14}}"#;
/// The finished call, as `on-complete` gets it: a document of the published schema.
pub(crate) const COMPLETED: &str = r#"{"ts":0,"time":"1970-01-01T00:00:00.000Z","id":"dry-run","outcome":"ok","status":200,"operation":"chat","dialect":"openai-chat","stream":false,"model":"dry-run","provider":"dry-run","upstream_model":"dry-run","attempts":1,"targets":[{"provider":"dry-run","model":"dry-run","status":200,"class":"ok","ms":2}],"us":2000,"tokens":{"input":9,"output":5},"generation":0}"#;
pub(crate) const REPLY_TEXT: &str = "Good morning to you.";

/// Without fields, so that boxing one allocates nothing.
pub(crate) struct Canned;

fn at(document: &str, pointer: &str) -> Option<String> {
    if pointer.is_empty() {
        return Some(document.to_owned());
    }
    let document: serde_json::Value = serde_json::from_str(document).ok()?;
    document.pointer(pointer).map(serde_json::Value::to_string)
}

/// Two targets, of which the second one is known in part.
impl Targets for Canned {
    fn count(&self) -> u32 {
        2
    }
    fn name(&self, target: u32) -> String {
        ["dry-run/dry-run", "dry-run/other"].get(target as usize).copied().unwrap_or_default().to_owned()
    }
    fn number(&self, target: u32, field: &str) -> Option<f64> {
        match (field, target) {
            ("weight", _) => Some(1.0),
            ("in-flight", _) => Some(0.0),
            ("estimated-tokens", _) => Some(9.0),
            ("input-price" | "output-price", 0) => Some(1.0),
            ("context-window", 0) => Some(128_000.0),
            _ => None,
        }
    }
    fn label(&self, _target: u32, _name: &str) -> Option<String> {
        None
    }
    fn has(&self, _target: u32, capability: &str) -> bool {
        matches!(capability, "healthy" | "tools" | "vision" | "json-schema" | "reasoning")
    }
}

impl CallView for Canned {
    fn id(&self) -> String {
        "dry-run".to_owned()
    }
    fn operation(&self) -> String {
        "chat".to_owned()
    }
    fn dialect(&self) -> String {
        "openai-chat".to_owned()
    }
    fn prefix(&self) -> Option<String> {
        None
    }
    fn model(&mut self) -> String {
        "dry-run".to_owned()
    }
    fn set_model(&mut self, _model: String) -> Result<(), Fault> {
        Ok(())
    }
    fn streaming(&self) -> bool {
        false
    }
    fn attempt(&self) -> u32 {
        1
    }
    fn caller(&self, _field: &str) -> Option<String> {
        None
    }
    fn header(&self, _name: &str) -> Option<String> {
        None
    }
    fn set_reply_header(&mut self, _name: String, _value: String) -> Result<(), Fault> {
        Ok(())
    }
    fn all_text(&mut self) -> Texts {
        let piece = |role| Piece { role, kind: Kind::Text, choice: 0 };
        Texts {
            joined: "Answer briefly.\u{1e}Good morning.".to_owned(),
            pieces: vec![piece(Role::System), piece(Role::User)],
        }
    }
    fn tool_name(&mut self, _piece: u32) -> Option<String> {
        None
    }
    fn last_user_text(&mut self) -> Option<String> {
        Some("Good morning.".to_owned())
    }
    fn set_text(&mut self, _piece: u32, _text: String) -> Result<(), Fault> {
        Ok(())
    }
    fn get(&mut self, pointer: &str) -> Option<String> {
        at(REQUEST, pointer)
    }
    fn set(&mut self, _pointer: &str, _json: String) -> Result<(), Fault> {
        Ok(())
    }
    fn insert(&mut self, _pointer: &str, _json: String) -> Result<(), Fault> {
        Ok(())
    }
    fn remove(&mut self, _pointer: &str) -> Result<(), Fault> {
        Ok(())
    }
    fn recall(&self, _key: &str) -> Option<Vec<u8>> {
        None
    }
    fn remember(&mut self, _key: String, _value: Vec<u8>) -> Result<(), Fault> {
        Ok(())
    }
    fn tag(&mut self, _key: String, _value: String) -> Result<(), Fault> {
        Ok(())
    }
    fn tagged(&self, _key: &str) -> Option<String> {
        None
    }
    fn remaining_ms(&self) -> u64 {
        60_000
    }
    fn targets(&self) -> Option<&dyn Targets> {
        Some(self)
    }
    fn has_reply(&self) -> bool {
        true
    }
    fn reply_target(&self) -> String {
        "dry-run/dry-run".to_owned()
    }
    fn reply_all_text(&mut self) -> Texts {
        Texts {
            joined: REPLY_TEXT.to_owned(),
            pieces: vec![Piece { role: Role::Assistant, kind: Kind::Text, choice: 0 }],
        }
    }
    fn reply_tool_name(&mut self, _piece: u32) -> Option<String> {
        None
    }
    fn reply_set_text(&mut self, _piece: u32, _text: String) -> Result<(), Fault> {
        Ok(())
    }
    fn reply_finish_reason(&mut self, choice: u32) -> Option<String> {
        (choice == 0).then(|| "stop".to_owned())
    }
    fn reply_tokens(&mut self, class: &str) -> Option<u64> {
        match class {
            "input" => Some(9),
            "output" => Some(5),
            _ => None,
        }
    }
    fn reply_get(&mut self, pointer: &str) -> Option<String> {
        at(REPLY, pointer)
    }
    fn reply_set(&mut self, _pointer: &str, _json: String) -> Result<(), Fault> {
        Ok(())
    }
    fn reply_remove(&mut self, _pointer: &str) -> Result<(), Fault> {
        Ok(())
    }
    fn reply_first_byte_ms(&self) -> u32 {
        1
    }
    fn reply_total_ms(&self) -> u32 {
        2
    }
    fn reply_outcome(&self) -> Option<String> {
        Some("ok".to_owned())
    }
    fn log(&mut self, _level: Level, _message: &str) {}
    fn count(&mut self, _name: &str, _by: u64) {}
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
