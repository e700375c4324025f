//! The gateway's functions behind [`super::Call`], [`super::Reply`] and [`crate::Targets`].

use crate::bindings::{call, reply, targets};
use crate::texts::Texts;
use crate::types::Fault;

/// The call is implicit: an instance runs one hook at a time.
pub(crate) struct Backend;

impl Backend {
    pub(super) fn id(&self) -> String {
        call::id()
    }
    pub(super) fn operation(&self) -> String {
        call::operation()
    }
    pub(super) fn dialect(&self) -> String {
        call::dialect()
    }
    pub(super) fn prefix(&self) -> Option<String> {
        call::prefix()
    }
    pub(super) fn model(&self) -> String {
        call::model()
    }
    pub(super) fn set_model(&self, model: &str) -> Result<(), Fault> {
        Ok(call::set_model(model)?)
    }
    pub(super) fn streaming(&self) -> bool {
        call::streaming()
    }
    pub(super) fn attempt(&self) -> u32 {
        call::attempt()
    }
    pub(super) fn caller(&self, field: &str) -> Option<String> {
        call::caller(field)
    }
    pub(super) fn header(&self, name: &str) -> Option<String> {
        call::header(name)
    }
    pub(super) fn set_reply_header(&self, name: &str, value: &str) -> Result<(), Fault> {
        Ok(call::set_reply_header(name, value)?)
    }
    pub(super) fn texts(&self) -> Texts {
        let texts = call::all_text();
        Texts::new(texts.joined, texts.pieces)
    }
    pub(super) fn tool_name(&self, piece: u32) -> Option<String> {
        call::tool_name(piece)
    }
    pub(super) fn last_user_text(&self) -> Option<String> {
        call::last_user_text()
    }
    pub(super) fn set_text(&self, piece: u32, text: &str) -> Result<(), Fault> {
        Ok(call::set_text(piece, text)?)
    }
    pub(super) fn get(&self, pointer: &str) -> Option<String> {
        call::get(pointer)
    }
    pub(super) fn set(&self, pointer: &str, json: &str) -> Result<(), Fault> {
        Ok(call::set(pointer, json)?)
    }
    pub(super) fn insert(&self, pointer: &str, json: &str) -> Result<(), Fault> {
        Ok(call::insert(pointer, json)?)
    }
    pub(super) fn remove(&self, pointer: &str) -> Result<(), Fault> {
        Ok(call::remove(pointer)?)
    }
    pub(super) fn recall(&self, key: &str) -> Option<Vec<u8>> {
        call::recall(key)
    }
    pub(super) fn remember(&self, key: &str, value: &[u8]) -> Result<(), Fault> {
        Ok(call::remember(key, value)?)
    }
    pub(super) fn tag(&self, key: &str, value: &str) -> Result<(), Fault> {
        Ok(call::tag(key, value)?)
    }
    pub(super) fn tagged(&self, key: &str) -> Option<String> {
        call::tagged(key)
    }
    pub(super) fn remaining_ms(&self) -> u64 {
        call::remaining_ms()
    }
    pub(crate) fn target_name(&self, target: u32) -> String {
        targets::name(target)
    }
    pub(crate) fn target_number(&self, target: u32, field: &str) -> Option<f64> {
        targets::number(target, field)
    }
    pub(crate) fn target_label(&self, target: u32, name: &str) -> Option<String> {
        targets::label(target, name)
    }
    pub(crate) fn target_has(&self, target: u32, capability: &str) -> bool {
        targets::has(target, capability)
    }
    pub(super) fn reply_outcome(&self) -> Option<String> {
        reply::outcome()
    }
    pub(super) fn reply_target(&self) -> String {
        reply::target()
    }
    pub(super) fn reply_texts(&self) -> Texts {
        let texts = reply::all_text();
        Texts::new(texts.joined, texts.pieces)
    }
    pub(super) fn reply_tool_name(&self, piece: u32) -> Option<String> {
        reply::tool_name(piece)
    }
    pub(super) fn reply_set_text(&self, piece: u32, text: &str) -> Result<(), Fault> {
        Ok(reply::set_text(piece, text)?)
    }
    pub(super) fn reply_finish_reason(&self, choice: u32) -> Option<String> {
        reply::finish_reason(choice)
    }
    pub(super) fn reply_tokens(&self, class: &str) -> Option<u64> {
        reply::tokens(class)
    }
    pub(super) fn reply_get(&self, pointer: &str) -> Option<String> {
        reply::get(pointer)
    }
    pub(super) fn reply_set(&self, pointer: &str, json: &str) -> Result<(), Fault> {
        Ok(reply::set(pointer, json)?)
    }
    pub(super) fn reply_remove(&self, pointer: &str) -> Result<(), Fault> {
        Ok(reply::remove(pointer)?)
    }
    pub(super) fn reply_first_byte_ms(&self) -> u32 {
        reply::first_byte_ms()
    }
    pub(super) fn reply_total_ms(&self) -> u32 {
        reply::total_ms()
    }
}
