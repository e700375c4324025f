//! How blocks, items and streams end.

use super::super::error;
use super::super::write_reply::Ending;
use super::encode::{Encoder, Message, call_event, place};
use super::item::{self, Call, Input, Says};
use crate::failure::Failure;
use crate::hub::Finish;
use crate::json::build;

impl Encoder {
    pub(super) fn close(&mut self, number: u32, out: &mut Vec<u8>) {
        let Some(block) = self.blocks.get_mut(&number) else { return };
        if !std::mem::take(&mut block.open) {
            return;
        }
        let (at, says) = (block.item, std::mem::replace(&mut block.says, Says::Nothing));
        let text = std::mem::take(&mut block.text);
        let status = if self.finish == Finish::Length { "incomplete" } else { "completed" };
        let says = match says {
            Says::Text { content, annotations, logprobs } => {
                let mut part = Vec::with_capacity(text.len() + 64);
                item::text_part(&text, &annotations, &logprobs, &mut part);
                self.close_part("response.output_text.done", (at, content), part, out, |out| {
                    build::text(out, "text", &text);
                    build::key(out, "logprobs");
                    item::list(&logprobs, out);
                });
                Says::Text { content, annotations: Vec::new(), logprobs: Vec::new() }
            }
            Says::Refusal { content } => {
                let mut part = Vec::new();
                item::refusal_part(&text, &mut part);
                self.close_part("response.refusal.done", (at, content), part, out, |out| {
                    build::text(out, "refusal", &text);
                });
                Says::Refusal { content }
            }
            Says::Thought { id, begun } => {
                self.close_thought(number, (at, &id, begun), &text, out);
                Says::Thought { id, begun }
            }
            Says::Call(call) => {
                self.close_call(&call, at, &text, status, out);
                // More may come.
                if let Some(block) = self.blocks.get_mut(&number) {
                    block.text = text;
                }
                Says::Call(call)
            }
            Says::Nothing => Says::Nothing,
        };
        if let Some(block) = self.blocks.get_mut(&number) {
            block.says = says;
        }
        self.state_behind(number, out);
    }

    fn close_part(
        &mut self,
        name: &str,
        (at, content): (usize, usize),
        part: Vec<u8>,
        out: &mut Vec<u8>,
        whole: impl FnOnce(&mut Vec<u8>),
    ) {
        let Some(id) = self.message.as_ref().map(|message| message.id.clone()) else { return };
        self.event(name, out, |out| {
            place(&id, at, Some(("content_index", content)), out);
            whole(out);
        });
        self.event("response.content_part.done", out, |out| {
            place(&id, at, Some(("content_index", content)), out);
            build::key(out, "part");
            out.extend_from_slice(&part);
        });
        if let Some(slot) = self.message.as_mut().and_then(|message| message.parts.get_mut(content)) {
            *slot = part;
        }
    }

    fn close_thought(&mut self, number: u32, (at, id, begun): (usize, &str, bool), text: &str, out: &mut Vec<u8>) {
        if begun {
            self.event("response.reasoning_summary_text.done", out, |out| {
                place(id, at, Some(("summary_index", 0)), out);
                build::text(out, "text", text);
            });
            self.event("response.reasoning_summary_part.done", out, |out| {
                place(id, at, Some(("summary_index", 0)), out);
                build::key(out, "part");
                item::summary_part(text, out);
            });
        }
        let opaque = self.blocks.get_mut(&number).and_then(|block| block.opaque.take());
        let (id, state) = self.state(id, opaque);
        self.end_item(at, |json| item::thought(&id, text, state.as_deref(), json), out);
    }

    fn close_call(&mut self, call: &Call, at: usize, text: &str, status: &str, out: &mut Vec<u8>) {
        let input = call.input(text);
        let unsaid = call.input == Input::Wrapped || (call.input == Input::Arguments && text.is_empty());
        if unsaid && !input.is_empty() {
            self.event(call_event(call.input, false), out, |out| {
                place(&call.item, at, None, out);
                build::text(out, "delta", &input);
            });
        }
        self.event(call_event(call.input, true), out, |out| {
            place(&call.item, at, None, out);
            if call.input == Input::Arguments {
                build::text(out, "name", &call.name);
                build::text(out, "arguments", &input);
            } else {
                build::text(out, "input", &input);
            }
        });
        self.end_item(at, |json| call.write(status, &input, json), out);
    }

    pub(super) fn close_message(&mut self, out: &mut Vec<u8>) {
        let Some(at) = self.message.as_ref().map(|message| message.item) else { return };
        let inside = self.blocks.iter().filter(|(_, block)| block.open && block.item == at);
        let open: Vec<u32> = inside.map(|(number, _)| *number).collect();
        open.into_iter().for_each(|number| self.close(number, out));
        // Closing a text may have closed the message, for the state behind it.
        let Some(Message { item, id, phase, parts }) = self.message.take() else { return };
        let status = if self.finish == Finish::Length { "incomplete" } else { "completed" };
        self.end_item(item, |json| item::message(&id, status, phase.as_deref(), &parts, json), out);
    }

    pub(super) fn close_all(&mut self, out: &mut Vec<u8>) {
        let open: Vec<u32> = self.blocks.iter().filter(|(_, block)| block.open).map(|(number, _)| *number).collect();
        open.into_iter().for_each(|number| self.close(number, out));
        self.close_message(out);
    }

    pub(super) fn done(&mut self, out: &mut Vec<u8>) {
        self.close_all(out);
        self.ended = true;
        if self.silent {
            return;
        }
        let ending = Ending::With(&self.finish, self.refused);
        let name = if ending.status().0 == "incomplete" { "response.incomplete" } else { "response.completed" };
        let object = self.head.object(&ending, &self.items, self.usage.as_ref());
        self.event(name, out, |out| {
            build::key(out, "response");
            out.extend_from_slice(&object);
        });
    }

    /// What was not complete is in the object, and gets no end of its own: nobody is to act on it.
    pub(super) fn fail(&mut self, failure: &Failure, out: &mut Vec<u8>) {
        let silent = std::mem::replace(&mut self.silent, true);
        self.finish = Finish::Length;
        self.close_all(&mut Vec::new());
        self.silent = silent;
        self.ended = true;
        let told = error::event(failure, self.number);
        let object = self.head.object(&Ending::Failed(failure), &self.items, self.usage.as_ref());
        self.event("error", out, |out| {
            for (name, value) in told.as_object().into_iter().flatten().skip(2) {
                build::member(out, name, value);
            }
        });
        self.event("response.failed", out, |out| {
            build::key(out, "response");
            out.extend_from_slice(&object);
        });
    }
}
