//! The canonical form of requests and replies of every dialect, for plugins: OpenAI chat, and the way back.
//!
//! An edit of the canonical form is carried into the dialect's own bytes by writing the form twice, as it was and as it is, and doing the
//! difference to the bytes. So what the form cannot show stays, and what did not change keeps its bytes. An edit that does not arrive is
//! refused, never ignored.

use bytes::Bytes;
use serde_json::Value;

use crate::Dialect;
use crate::dialect::Said;
use crate::document::{Document, Form, ScanFn, carried};
use crate::hub::{Asked, Chat, Losses, Opaque, Part, Reply, State, Target, Tool, ToolChoice, ToolKind};
use crate::json;

const CHAT: Dialect = Dialect::OpenaiChat;

/// Dialects by number, for functions that know theirs without being told.
const fn of(number: usize) -> Dialect {
    match number {
        0 => Dialect::OpenaiChat,
        1 => Dialect::OpenaiResponses,
        2 => Dialect::Anthropic,
        _ => Dialect::Gemini,
    }
}

impl Dialect {
    /// A request of this dialect for hooks. `max`: the size in bytes that edits may grow it to.
    pub fn request_document(self, base: Bytes, max: usize) -> Document {
        fn open<const D: usize>(base: Bytes, max: usize) -> Document {
            let scan: ScanFn = |bytes| of(D).api().request_texts(bytes);
            let form =
                Form { canonical: |bytes| request(of(D), bytes), restore: |was, is| restore_request(of(D), was, is) };
            Document::translated(base, scan, form, max)
        }
        match self {
            Dialect::OpenaiChat => Document::new(base, |bytes| CHAT.api().request_texts(bytes), max),
            Dialect::OpenaiResponses => open::<1>(base, max),
            Dialect::Anthropic => open::<2>(base, max),
            Dialect::Gemini => open::<3>(base, max),
        }
    }

    /// A whole reply of this dialect for hooks.
    pub fn reply_document(self, base: Bytes, max: usize) -> Document {
        fn open<const D: usize>(base: Bytes, max: usize) -> Document {
            let scan: ScanFn = |bytes| of(D).api().reply_texts(bytes);
            let form =
                Form { canonical: |bytes| reply(of(D), bytes), restore: |was, is| restore_reply(of(D), was, is) };
            Document::translated(base, scan, form, max)
        }
        match self {
            Dialect::OpenaiChat => Document::new(base, |bytes| CHAT.api().reply_texts(bytes), max),
            Dialect::OpenaiResponses => open::<1>(base, max),
            Dialect::Anthropic => open::<2>(base, max),
            Dialect::Gemini => open::<3>(base, max),
        }
    }
}

// ---- requests

/// A request in the canonical form; `None` where it cannot be read.
fn request(dialect: Dialect, body: &[u8]) -> Option<Bytes> {
    let chat = dialect.api().read_request(body, &Said::default()).ok()?;
    canonical(&chat)
}

fn canonical(chat: &Chat) -> Option<Bytes> {
    let target = Target { model: &chat.model, canonical: true, ..Target::default() };
    Some(CHAT.api().write_request(chat, &target).ok()?.0)
}

fn restore_request(dialect: Dialect, original: &[u8], edited: &[u8]) -> Option<Bytes> {
    let before = CHAT.api().read_request(&request(dialect, original)?, &Said::default()).ok()?;
    let after = CHAT.api().read_request(edited, &Said::default()).ok()?;
    let wanted = canonical(&after)?;
    if canonical(&before)? == wanted {
        // Said in other words, or in a place that nothing reads.
        return (before == after).then(|| Bytes::copy_from_slice(original));
    }
    let (was, known) = written(dialect, before)?;
    let (is, lost) = written(dialect, after)?;
    let restored = carried(original, &json::tree(&was)?, &json::tree(&is)?)?;
    settled(&wanted, (was != is && !more(&known, &lost)).then_some(is), restored, |bytes| request(dialect, bytes))
}

/// The original with the edit if each member of it says what was wanted, or what the dialect can say of it: `whole`, the edited form written
/// anew, where nothing of it was lost on the way. Else that whole.
fn settled(
    wanted: &Bytes,
    whole: Option<Bytes>,
    restored: Bytes,
    show: impl Fn(&[u8]) -> Option<Bytes>,
) -> Option<Bytes> {
    let says = show(&restored);
    if says.as_ref() == Some(wanted) {
        return Some(restored);
    }
    let whole = whole?;
    let members = |bytes: &Option<Bytes>| match json::tree(bytes.as_deref()?) {
        Some(Value::Object(members)) => Some(members),
        _ => None,
    };
    let (says, can) = (members(&says), members(&show(&whole)));
    let (Some(says), Some(can), Some(Value::Object(wanted))) = (says, can, json::tree(wanted)) else {
        return Some(whole);
    };
    let names = says.keys().chain(can.keys()).chain(wanted.keys());
    let mut fits = names.map(|name| says.get(name) == wanted.get(name) || says.get(name) == can.get(name));
    Some(if fits.all(|fits| fits) { restored } else { whole })
}

/// The chat of the canonical form, written in the dialect.
fn written(dialect: Dialect, mut chat: Chat) -> Option<(Bytes, Losses)> {
    let chat_rest = std::mem::take(&mut chat.rest);
    for turn in &mut chat.turns {
        turn.parts.iter_mut().for_each(|part| adopt(dialect, part));
    }
    for Tool { kind, .. } in &mut chat.tools {
        if let ToolKind::Foreign(whose, _) = kind {
            *whose = dialect;
        }
    }
    if let Some(ToolChoice::Foreign(whose, _)) = &mut chat.choice {
        *whose = dialect;
    }
    let target = Target { model: &chat.model, ..Target::default() };
    let (bytes, mut losses) = dialect.api().write_request(&chat, &target).ok()?;
    losses.beside(&chat_rest, dialect);
    Some((bytes, losses))
}

/// Whether something that matters was lost that was not lost before.
fn more(known: &Losses, lost: &Losses) -> bool {
    lost.iter().any(|loss| !loss.hint && !known.iter().any(|known| known == loss))
}

/// Makes a part of the canonical form one of the dialect that it is shown for: foreign parts are its own again, and state that it cannot
/// know stays wrapped in its place.
fn adopt(dialect: Dialect, part: &mut Part) {
    match part {
        Part::Foreign(whose, value) => {
            *whose = dialect;
            if dialect == Dialect::Gemini
                && let Value::Object(members) = value
            {
                members.shift_remove("type");
            }
        }
        Part::Result(result) => result.parts.iter_mut().for_each(|part| adopt(dialect, part)),
        Part::Reasoning(thought) => {
            let bare = thought.text.is_empty();
            thought.opaque = thought.opaque.take().map(|opaque| kept(dialect, opaque, bare));
        }
        Part::Text(text) => text.opaque = text.opaque.take().map(|opaque| kept(dialect, opaque, false)),
        Part::Call(call) => call.opaque = call.opaque.take().map(|opaque| kept(dialect, opaque, false)),
        Part::Media(_) | Part::Refusal(_) => {}
    }
}

fn kept(dialect: Dialect, opaque: Opaque, bare: bool) -> Opaque {
    if opaque.dialect == dialect && opaque.provider.is_none() {
        return opaque;
    }
    let encrypted = match dialect {
        Dialect::OpenaiResponses => true,
        Dialect::Anthropic => bare && matches!(opaque.state, State::Encrypted { .. }),
        Dialect::OpenaiChat | Dialect::Gemini => false,
    };
    let wrapped = opaque.wrap();
    if encrypted { Opaque::encrypted(dialect, wrapped, None) } else { Opaque::signature(dialect, wrapped) }
}

// ---- replies

fn reply(dialect: Dialect, body: &[u8]) -> Option<Bytes> {
    Some(shown(&dialect.api().read_reply(body).ok()?))
}

fn shown(reply: &Reply) -> Bytes {
    CHAT.api().write_reply(reply, &Asked::default()).0
}

fn restore_reply(dialect: Dialect, original: &[u8], edited: &[u8]) -> Option<Bytes> {
    let before = CHAT.api().read_reply(&reply(dialect, original)?).ok()?;
    let after = CHAT.api().read_reply(edited).ok()?;
    let wanted = shown(&after);
    if shown(&before) == wanted {
        return (before == after).then(|| Bytes::copy_from_slice(original));
    }
    let write = |mut reply: Reply| {
        let parts = reply.choices.iter_mut().flat_map(|choice| &mut choice.parts);
        parts.for_each(|part| adopt(dialect, part));
        dialect.api().write_reply(&reply, &Asked::default())
    };
    let ((was, known), (is, lost)) = (write(before), write(after));
    let restored = carried(original, &json::tree(&was)?, &json::tree(&is)?)?;
    settled(&wanted, (was != is && !more(&known, &lost)).then_some(is), restored, |bytes| reply(dialect, bytes))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
