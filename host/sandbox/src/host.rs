//! The host's side of `call`, `reply`, `targets` and `host`: caps what a guest hands over, and forwards.
//!
//! What a function means is the view's business; here is only what protects the host from a guest.

use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::bindings::imports::{call, host, reply, targets, text, types};
use crate::state::State;
use crate::view;

const MAX_LOG: usize = 4 << 10;
const MAX_LAST_ERROR: usize = 1 << 10;
const MAX_RANDOM: u32 = 1024;
const MAX_COUNT_NAME: usize = 64;
/// Of log lines that no call is behind; the gateway gives those of calls the same.
const TARGET: &str = "sluice::plugin";

type Answer<T> = wasmtime::Result<T>;
pub(crate) type Edit = Answer<Result<(), types::Fault>>;

impl types::Host for State {}
impl text::Host for State {}

/// The longest prefix of at most `max` bytes that ends between characters.
pub(crate) fn cut(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or(text)
}

/// A message in which no line break can begin a line of the log that the plugin made up; a tab and the like are as harmful.
fn one_line(text: &str) -> Cow<'_, str> {
    if !text.contains(|character: char| character.is_control() || matches!(character, '\u{2028}' | '\u{2029}')) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '\n' => out.push_str("\\n"),
            character if character.is_control() || matches!(character, '\u{2028}' | '\u{2029}') => out.push(' '),
            character => out.push(character),
        }
    }
    Cow::Owned(out)
}

pub(crate) fn fault(fault: view::Fault) -> types::Fault {
    match fault {
        view::Fault::InvalidConfig(text) => types::Fault::InvalidConfig(text),
        view::Fault::Invalid(text) => types::Fault::Invalid(text),
        view::Fault::Denied(text) => types::Fault::Denied(text),
        view::Fault::Unavailable(text) => types::Fault::Unavailable(text),
        view::Fault::Internal(text) => types::Fault::Internal(text),
    }
}

fn texts(texts: view::Texts) -> text::Texts {
    text::Texts { joined: texts.joined, pieces: texts.pieces.into_iter().map(piece).collect() }
}

fn piece(piece: view::Piece) -> text::Piece {
    let role = match piece.role {
        view::Role::System => text::Role::System,
        view::Role::User => text::Role::User,
        view::Role::Assistant => text::Role::Assistant,
        view::Role::Tool => text::Role::Tool,
        view::Role::Other => text::Role::Other,
    };
    text::Piece { role, kind: kind(piece.kind), choice: piece.choice }
}

pub(crate) fn kind(kind: view::Kind) -> text::Kind {
    match kind {
        view::Kind::Text => text::Kind::Text,
        view::Kind::Reasoning => text::Kind::Reasoning,
        view::Kind::Refusal => text::Kind::Refusal,
        view::Kind::ToolArguments => text::Kind::ToolArguments,
        view::Kind::ToolResult => text::Kind::ToolResult,
        view::Kind::Other => text::Kind::Other,
    }
}

impl call::Host for State {
    fn id(&mut self) -> Answer<String> {
        Ok(self.call("id")?.id())
    }
    fn operation(&mut self) -> Answer<String> {
        Ok(self.call("operation")?.operation())
    }
    fn dialect(&mut self) -> Answer<String> {
        Ok(self.call("dialect")?.dialect())
    }
    fn prefix(&mut self) -> Answer<Option<String>> {
        Ok(self.call("prefix")?.prefix())
    }
    fn model(&mut self) -> Answer<String> {
        Ok(self.call("model")?.model())
    }
    fn set_model(&mut self, model: String) -> Edit {
        Ok(self.call("set-model")?.set_model(model).map_err(fault))
    }
    fn streaming(&mut self) -> Answer<bool> {
        Ok(self.call("streaming")?.streaming())
    }
    fn attempt(&mut self) -> Answer<u32> {
        Ok(self.call("attempt")?.attempt())
    }
    fn caller(&mut self, field: String) -> Answer<Option<String>> {
        Ok(self.call("caller")?.caller(&field))
    }
    fn header(&mut self, name: String) -> Answer<Option<String>> {
        Ok(self.call("header")?.header(&name))
    }
    fn set_reply_header(&mut self, name: String, value: String) -> Edit {
        Ok(self.call("set-reply-header")?.set_reply_header(name, value).map_err(fault))
    }
    fn all_text(&mut self) -> Answer<text::Texts> {
        Ok(texts(self.call("all-text")?.all_text()))
    }
    fn tool_name(&mut self, piece: u32) -> Answer<Option<String>> {
        Ok(self.call("tool-name")?.tool_name(piece))
    }
    fn last_user_text(&mut self) -> Answer<Option<String>> {
        Ok(self.call("last-user-text")?.last_user_text())
    }
    fn set_text(&mut self, piece: u32, text: String) -> Edit {
        Ok(self.call("set-text")?.set_text(piece, text).map_err(fault))
    }
    fn get(&mut self, pointer: String) -> Answer<Option<String>> {
        Ok(self.call("get")?.get(&pointer))
    }
    fn set(&mut self, pointer: String, json: String) -> Edit {
        Ok(self.call("set")?.set(&pointer, json).map_err(fault))
    }
    fn insert(&mut self, pointer: String, json: String) -> Edit {
        Ok(self.call("insert")?.insert(&pointer, json).map_err(fault))
    }
    fn remove(&mut self, pointer: String) -> Edit {
        Ok(self.call("remove")?.remove(&pointer).map_err(fault))
    }
    fn recall(&mut self, key: String) -> Answer<Option<Vec<u8>>> {
        Ok(self.call("recall")?.recall(&key))
    }
    fn remember(&mut self, key: String, value: Vec<u8>) -> Edit {
        Ok(self.call("remember")?.remember(key, value).map_err(fault))
    }
    fn tag(&mut self, key: String, value: String) -> Edit {
        Ok(self.call("tag")?.tag(key, value).map_err(fault))
    }
    fn tagged(&mut self, key: String) -> Answer<Option<String>> {
        Ok(self.call("tagged")?.tagged(&key))
    }
    fn remaining_ms(&mut self) -> Answer<u64> {
        Ok(self.call("remaining-ms")?.remaining_ms())
    }
}

fn no_reply() -> types::Fault {
    types::Fault::Invalid("this call finished without a reply".to_owned())
}

impl reply::Host for State {
    fn target(&mut self) -> Answer<String> {
        Ok(self.reply("target")?.map(|view| view.reply_target()).unwrap_or_default())
    }
    fn all_text(&mut self) -> Answer<text::Texts> {
        Ok(texts(self.reply("all-text")?.map(|view| view.reply_all_text()).unwrap_or_default()))
    }
    fn tool_name(&mut self, piece: u32) -> Answer<Option<String>> {
        Ok(self.reply("tool-name")?.and_then(|view| view.reply_tool_name(piece)))
    }
    fn set_text(&mut self, piece: u32, text: String) -> Edit {
        let Some(view) = self.reply("set-text")? else { return Ok(Err(no_reply())) };
        Ok(view.reply_set_text(piece, text).map_err(fault))
    }
    fn finish_reason(&mut self, choice: u32) -> Answer<Option<String>> {
        Ok(self.reply("finish-reason")?.and_then(|view| view.reply_finish_reason(choice)))
    }
    fn tokens(&mut self, class: String) -> Answer<Option<u64>> {
        Ok(self.reply("tokens")?.and_then(|view| view.reply_tokens(&class)))
    }
    fn get(&mut self, pointer: String) -> Answer<Option<String>> {
        Ok(self.reply("get")?.and_then(|view| view.reply_get(&pointer)))
    }
    fn set(&mut self, pointer: String, json: String) -> Edit {
        let Some(view) = self.reply("set")? else { return Ok(Err(no_reply())) };
        Ok(view.reply_set(&pointer, json).map_err(fault))
    }
    fn remove(&mut self, pointer: String) -> Edit {
        let Some(view) = self.reply("remove")? else { return Ok(Err(no_reply())) };
        Ok(view.reply_remove(&pointer).map_err(fault))
    }
    fn first_byte_ms(&mut self) -> Answer<u32> {
        Ok(self.reply("first-byte-ms")?.map_or(0, |view| view.reply_first_byte_ms()))
    }
    fn total_ms(&mut self) -> Answer<u32> {
        Ok(self.reply("total-ms")?.map_or(0, |view| view.reply_total_ms()))
    }
    fn outcome(&mut self) -> Answer<Option<String>> {
        self.outcome_of_call()
    }
}

impl targets::Host for State {
    fn name(&mut self, target: u32) -> Answer<String> {
        Ok(self.targets("name", target)?.name(target))
    }
    fn number(&mut self, target: u32, field: String) -> Answer<Option<f64>> {
        Ok(self.targets("number", target)?.number(target, &field))
    }
    fn label(&mut self, target: u32, name: String) -> Answer<Option<String>> {
        Ok(self.targets("label", target)?.label(target, &name))
    }
    fn has(&mut self, target: u32, capability: String) -> Answer<bool> {
        Ok(self.targets("has", target)?.has(target, &capability))
    }
}

impl host::Host for State {
    fn log(&mut self, level: host::Level, message: String) -> Answer<()> {
        let message = &*one_line(cut(&message, MAX_LOG));
        if level == host::Level::Error {
            // Kept even past the cap on messages: the last one may explain the trap that follows.
            self.last_error = Some(cut(message, MAX_LAST_ERROR).to_owned());
        }
        if self.logs_left == 0 {
            return Ok(());
        }
        self.logs_left -= 1;
        if self.has_call() {
            let level = match level {
                host::Level::Trace => view::Level::Trace,
                host::Level::Debug => view::Level::Debug,
                host::Level::Info => view::Level::Info,
                host::Level::Warn => view::Level::Warn,
                host::Level::Error => view::Level::Error,
            };
            self.call("log")?.log(level, message);
            return Ok(());
        }
        let plugin = self.common.name.as_str();
        match level {
            host::Level::Trace => tracing::trace!(target: TARGET, plugin, "{message}"),
            host::Level::Debug => tracing::debug!(target: TARGET, plugin, "{message}"),
            host::Level::Info => tracing::info!(target: TARGET, plugin, "{message}"),
            host::Level::Warn => tracing::warn!(target: TARGET, plugin, "{message}"),
            host::Level::Error => tracing::error!(target: TARGET, plugin, "{message}"),
        }
        Ok(())
    }

    fn now_ms(&mut self) -> Answer<u64> {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn random(&mut self, length: u32) -> Answer<Vec<u8>> {
        if length > MAX_RANDOM {
            // Fewer bytes than asked for would be taken for all of them.
            return Err(wasmtime::format_err!(
                "`host.random` was asked for {length} bytes; at most {MAX_RANDOM} are given"
            ));
        }
        let mut bytes = vec![0; length as usize];
        aws_lc_rs::rand::fill(&mut bytes).map_err(|_| wasmtime::format_err!("the system gave no randomness"))?;
        Ok(bytes)
    }

    fn count(&mut self, name: String, by: u64) -> Answer<()> {
        let name = cut(&name, MAX_COUNT_NAME);
        let shown = !name.is_empty() && !name.contains(char::is_control);
        if self.in_hook() && shown && self.common.may_count(name) {
            if self.has_call() {
                self.call("count")?.count(name, by);
            } else {
                self.gather(name, by);
            }
        }
        Ok(())
    }

    fn digest(&mut self, data: Vec<u8>) -> Answer<Vec<u8>> {
        // No larger than the engine's own cap on what one call hands over, so that no check is needed here.
        Ok(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &data).as_ref().to_vec())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line() {
        assert!(matches!(one_line("plain 한"), Cow::Borrowed("plain 한")));
        assert_eq!(one_line("a\nERROR b\r\tc\u{1b}[31m\u{2028}d"), "a\\nERROR b  c [31m d");
    }
}
