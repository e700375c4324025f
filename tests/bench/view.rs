//! The call that measured hooks look at: the load's 2 KB chat, its texts at hand. It keeps no edit.

use std::any::Any;

use sluice_sandbox::{CallView, Fault, Kind, Level, Piece, Role, Texts};
use sluice_tests::load;

pub(crate) struct Chat {
    request: Texts,
    reply: Texts,
    body: String,
    has_reply: bool,
}

impl Chat {
    pub(crate) fn new(has_reply: bool) -> Chat {
        let body = load::request("load", false);
        let request: serde_json::Value = serde_json::from_str(&body).expect("the load's request");
        let reply: serde_json::Value = serde_json::from_str(&load::reply()).expect("the load's reply");
        let text = |message: &serde_json::Value| message["content"].as_str().unwrap_or_default().to_owned();
        let messages: Vec<String> = request["messages"].as_array().into_iter().flatten().map(text).collect();
        let piece = |role| Piece { role, kind: Kind::Text, choice: 0 };
        Chat {
            request: Texts { pieces: vec![piece(Role::User); messages.len()], joined: messages.join("\u{1e}") },
            reply: Texts { joined: text(&reply["choices"][0]["message"]), pieces: vec![piece(Role::Assistant)] },
            body,
            has_reply,
        }
    }

    fn at(&self, pointer: &str) -> Option<String> {
        let body: serde_json::Value = serde_json::from_str(&self.body).ok()?;
        body.pointer(pointer).map(ToString::to_string)
    }
}

impl CallView for Chat {
    fn id(&self) -> String {
        "load".to_owned()
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
        "load".to_owned()
    }
    fn set_model(&mut self, _: String) -> Result<(), Fault> {
        Ok(())
    }
    fn streaming(&self) -> bool {
        false
    }
    fn attempt(&self) -> u32 {
        1
    }
    fn caller(&self, _: &str) -> Option<String> {
        None
    }
    fn header(&self, _: &str) -> Option<String> {
        None
    }
    fn set_reply_header(&mut self, _: String, _: String) -> Result<(), Fault> {
        Ok(())
    }
    fn all_text(&mut self) -> Texts {
        self.request.clone()
    }
    fn tool_name(&mut self, _: u32) -> Option<String> {
        None
    }
    fn last_user_text(&mut self) -> Option<String> {
        self.request.joined.rsplit('\u{1e}').next().map(str::to_owned)
    }
    fn set_text(&mut self, _: u32, _: String) -> Result<(), Fault> {
        Ok(())
    }
    fn get(&mut self, pointer: &str) -> Option<String> {
        self.at(pointer)
    }
    fn set(&mut self, _: &str, _: String) -> Result<(), Fault> {
        Ok(())
    }
    fn insert(&mut self, _: &str, _: String) -> Result<(), Fault> {
        Ok(())
    }
    fn remove(&mut self, _: &str) -> Result<(), Fault> {
        Ok(())
    }
    fn recall(&self, _: &str) -> Option<Vec<u8>> {
        None
    }
    fn remember(&mut self, _: String, _: Vec<u8>) -> Result<(), Fault> {
        Ok(())
    }
    fn tag(&mut self, _: String, _: String) -> Result<(), Fault> {
        Ok(())
    }
    fn tagged(&self, _: &str) -> Option<String> {
        None
    }
    fn remaining_ms(&self) -> u64 {
        600_000
    }
    fn has_reply(&self) -> bool {
        self.has_reply
    }
    fn reply_target(&self) -> String {
        "bench/load".to_owned()
    }
    fn reply_all_text(&mut self) -> Texts {
        self.reply.clone()
    }
    fn reply_tool_name(&mut self, _: u32) -> Option<String> {
        None
    }
    fn reply_set_text(&mut self, _: u32, _: String) -> Result<(), Fault> {
        Ok(())
    }
    fn reply_finish_reason(&mut self, _: u32) -> Option<String> {
        Some("stop".to_owned())
    }
    fn reply_tokens(&mut self, _: &str) -> Option<u64> {
        None
    }
    fn reply_get(&mut self, pointer: &str) -> Option<String> {
        self.at(pointer)
    }
    fn reply_set(&mut self, _: &str, _: String) -> Result<(), Fault> {
        Ok(())
    }
    fn reply_remove(&mut self, _: &str) -> Result<(), Fault> {
        Ok(())
    }
    fn reply_first_byte_ms(&self) -> u32 {
        1
    }
    fn reply_total_ms(&self) -> u32 {
        1
    }
    fn reply_outcome(&self) -> Option<String> {
        Some("ok".to_owned())
    }
    fn log(&mut self, _: Level, _: &str) {}
    fn count(&mut self, _: &str, _: u64) {}
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
