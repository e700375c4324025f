//! A call for tests: its attempt number tells the guest what to do, and what the guest says is kept.

use std::any::Any;

use crate::canned::Canned;
use crate::{CallView, Fault, Level, Targets, Texts};

pub(crate) struct Probe {
    pub(crate) attempt: u32,
    pub(crate) logs: Vec<(Level, String)>,
    pub(crate) counts: Vec<(String, u64)>,
    pub(crate) texts: Texts,
    pub(crate) panics: bool,
    pub(crate) replied: bool,
}

impl Probe {
    pub(crate) fn new(attempt: u32) -> Box<Probe> {
        Box::new(Probe {
            attempt,
            logs: Vec::new(),
            counts: Vec::new(),
            texts: Canned.all_text(),
            panics: false,
            replied: true,
        })
    }

    pub(crate) fn back(view: Box<dyn CallView>) -> Box<Probe> {
        view.into_any().downcast().expect("the same view comes back")
    }
}

impl CallView for Probe {
    fn id(&self) -> String {
        Canned.id()
    }
    fn operation(&self) -> String {
        Canned.operation()
    }
    fn dialect(&self) -> String {
        Canned.dialect()
    }
    fn prefix(&self) -> Option<String> {
        Some("openai".to_owned())
    }
    fn model(&mut self) -> String {
        Canned.model()
    }
    fn set_model(&mut self, model: String) -> Result<(), Fault> {
        Canned.set_model(model)
    }
    fn streaming(&self) -> bool {
        Canned.streaming()
    }
    fn attempt(&self) -> u32 {
        assert!(!self.panics, "a view that breaks");
        self.attempt
    }
    fn caller(&self, field: &str) -> Option<String> {
        Canned.caller(field)
    }
    fn header(&self, name: &str) -> Option<String> {
        Canned.header(name)
    }
    fn set_reply_header(&mut self, name: String, value: String) -> Result<(), Fault> {
        Canned.set_reply_header(name, value)
    }
    fn all_text(&mut self) -> Texts {
        self.texts.clone()
    }
    fn tool_name(&mut self, piece: u32) -> Option<String> {
        Canned.tool_name(piece)
    }
    fn last_user_text(&mut self) -> Option<String> {
        Canned.last_user_text()
    }
    fn set_text(&mut self, piece: u32, text: String) -> Result<(), Fault> {
        Canned.set_text(piece, text)
    }
    fn get(&mut self, pointer: &str) -> Option<String> {
        Canned.get(pointer)
    }
    fn set(&mut self, pointer: &str, json: String) -> Result<(), Fault> {
        Canned.set(pointer, json)
    }
    fn insert(&mut self, pointer: &str, json: String) -> Result<(), Fault> {
        Canned.insert(pointer, json)
    }
    fn remove(&mut self, pointer: &str) -> Result<(), Fault> {
        Canned.remove(pointer)
    }
    fn recall(&self, key: &str) -> Option<Vec<u8>> {
        Canned.recall(key)
    }
    fn remember(&mut self, key: String, value: Vec<u8>) -> Result<(), Fault> {
        Canned.remember(key, value)
    }
    fn tag(&mut self, key: String, value: String) -> Result<(), Fault> {
        Canned.tag(key, value)
    }
    fn tagged(&self, key: &str) -> Option<String> {
        Canned.tagged(key)
    }
    fn remaining_ms(&self) -> u64 {
        Canned.remaining_ms()
    }
    fn targets(&self) -> Option<&dyn Targets> {
        Some(&Canned)
    }
    fn has_reply(&self) -> bool {
        self.replied
    }
    fn reply_target(&self) -> String {
        Canned.reply_target()
    }
    fn reply_all_text(&mut self) -> Texts {
        Canned.reply_all_text()
    }
    fn reply_tool_name(&mut self, piece: u32) -> Option<String> {
        Canned.reply_tool_name(piece)
    }
    fn reply_set_text(&mut self, piece: u32, text: String) -> Result<(), Fault> {
        Canned.reply_set_text(piece, text)
    }
    fn reply_finish_reason(&mut self, choice: u32) -> Option<String> {
        Canned.reply_finish_reason(choice)
    }
    fn reply_tokens(&mut self, class: &str) -> Option<u64> {
        Canned.reply_tokens(class)
    }
    fn reply_get(&mut self, pointer: &str) -> Option<String> {
        Canned.reply_get(pointer)
    }
    fn reply_set(&mut self, pointer: &str, json: String) -> Result<(), Fault> {
        Canned.reply_set(pointer, json)
    }
    fn reply_remove(&mut self, pointer: &str) -> Result<(), Fault> {
        Canned.reply_remove(pointer)
    }
    fn reply_first_byte_ms(&self) -> u32 {
        Canned.reply_first_byte_ms()
    }
    fn reply_total_ms(&self) -> u32 {
        Canned.reply_total_ms()
    }
    fn reply_outcome(&self) -> Option<String> {
        Some(if self.replied { "ok" } else { "denied" }.to_owned())
    }
    fn log(&mut self, level: Level, message: &str) {
        self.logs.push((level, message.to_owned()));
    }
    fn count(&mut self, name: &str, by: u64) {
        self.counts.push((name.to_owned(), by));
    }
    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
