//! What leaves: frames as they are, frames with some values rewritten, and events of our own.

use bytes::Bytes;

use super::chain::Piece;
use super::queue::{Entry, Framed};
use super::{Choice, Hold};
use crate::openai_chat::stream::{Edits, Mend, Place, Repeat, Says, refusing_reason, synthesise};
use crate::sse::Frame;

impl Hold {
    pub(super) fn emit(&mut self, out: &mut Vec<Bytes>) {
        loop {
            let ready = match self.queue.front() {
                None => break,
                Some(Entry::Opaque(_)) => true,
                Some(Entry::Close(choice, block, _)) => self.is_closed(*choice, *block),
                Some(Entry::Refusal(choice)) => self.is_drained(*choice),
                Some(Entry::End(_)) => self.pieces.iter().all(|piece| piece.drained),
                Some(Entry::Event(framed)) => self.is_ready(framed),
            };
            if !ready {
                self.cut(out);
                return;
            }
            match self.queue.pop() {
                None => break,
                Some(Entry::Opaque(raw)) => out.push(raw),
                Some(Entry::Close(choice, block, raw)) => {
                    self.flush(out, |piece| piece.choice == choice && piece.place == Place::Block(block));
                    out.push(raw);
                }
                Some(Entry::Refusal(choice)) => {
                    self.flush_spills(Some(choice), out);
                    out.push(made(&synthesise(&self.template, choice, Says::Refused)));
                }
                Some(Entry::End(refused)) => {
                    self.flush_spills(None, out);
                    for choice in refused {
                        out.push(made(&synthesise(&self.template, choice, Says::Refused)));
                    }
                }
                Some(Entry::Event(framed)) => self.emit_event(&framed, out),
            }
        }
    }

    /// Every piece of the choice has left the last stage.
    fn is_drained(&self, choice: u32) -> bool {
        self.pieces.iter().all(|piece| piece.choice != choice || piece.drained)
    }

    /// The block's text, if it had any, has left the last stage.
    fn is_closed(&self, choice: u32, block: u32) -> bool {
        let own = |piece: &&Piece| piece.choice == choice && piece.place == Place::Block(block);
        self.pieces.iter().filter(own).all(|piece| piece.drained)
    }

    fn is_ready(&self, framed: &Framed) -> bool {
        let decided = framed.parts.iter().all(|part| {
            let named = part.name == 0
                || part
                    .piece
                    .and_then(|at| self.pieces.get(at))
                    .is_none_or(|piece| piece.names_out >= part.name || (piece.names_dropped && piece.drained));
            part.is_decided() && named && (!part.unread || !self.skipped.contains(&false))
        });
        let ends = framed
            .event
            .choices
            .iter()
            .filter(|choice| choice.finish.is_some() && !framed.gone.contains(&choice.index));
        decided && ends.map(|choice| choice.index).all(|choice| self.is_drained(choice))
    }

    /// Sends what is decided of the front frame's text ahead of the rest, where that does no harm.
    fn cut(&mut self, out: &mut Vec<Bytes>) {
        let Some(Entry::Event(framed)) = self.queue.front_mut() else { return };
        let Some(at) = framed.event.slots.iter().position(|slot| !slot.is_loose()) else { return };
        let Some(slot) = framed.event.slots.get(at).map(|slot| (slot.choice, slot.place)) else { return };
        let role_sent = self.choices.iter().any(|choice| choice.index == slot.0 && choice.role_sent);
        if !framed.gone.is_empty() || !framed.event.cuttable(role_sent) {
            return;
        }
        let text = framed.ready_text(at);
        if text.is_empty() {
            return;
        }
        if let Some(part) = framed.parts.get_mut(at) {
            part.sent += text.len();
        }
        out.push(made(&synthesise(&framed.data, slot.0, Says::Text(slot.1, &text))));
        self.released_content = true;
    }

    fn emit_event(&mut self, framed: &Framed, out: &mut Vec<Bytes>) {
        for choice in framed.event.choices.iter().filter(|choice| choice.finish.is_some()) {
            self.flush_spills(Some(choice.index), out);
        }
        let dropped = self.resay_beside_dropped_tools(framed, out);
        let gone = |choice: u32| framed.gone.contains(&choice) || dropped.contains(&choice);
        let mut edits = Edits::default();
        if framed.event.choices.iter().any(|choice| gone(choice.index)) {
            edits.remove_choices(&framed.event, gone);
            if framed.event.choices.iter().all(|choice| gone(choice.index))
                && !framed.event.usage
                && !framed.event.error
            {
                return;
            }
        }
        self.edit(framed, gone, &mut edits);
        for choice in framed.event.choices.iter().filter(|choice| choice.role && !gone(choice.index)) {
            if let Some(state) = self.choices.iter_mut().find(|state| state.index == choice.index) {
                state.role_sent = true;
            }
        }
        self.released_content |= framed.event.content && says(framed);
        out.push(if edits.is_empty() {
            framed.frame.raw.clone()
        } else {
            reframe(&framed.frame, &edits.apply(&framed.data))
        });
    }

    fn edit(&self, framed: &Framed, gone: impl Fn(u32) -> bool, edits: &mut Edits) {
        let Framed { event, parts, .. } = framed;
        for (at, slot) in event.slots.iter().enumerate() {
            if let Some(literal) = slot.literal.clone()
                && parts.get(at).is_some_and(|part| part.differs())
                && (slot.place == Place::Loose { top: true } || !gone(slot.choice))
            {
                edits.text(literal, &framed.ready_text(at));
            }
        }
        for repeat in &event.repeats {
            if !gone(repeat.choice) {
                self.mend(framed, repeat, edits);
            } else if repeat.outside {
                edits.replace(repeat.range.clone(), silence(repeat.mend));
            }
        }
        for choice in &event.choices {
            if let Some(finish) = choice.finish.clone()
                && !gone(choice.index)
                && self.state(choice.index).is_some_and(|state| state.refused)
            {
                edits.replace(finish, refusing_reason());
            }
        }
    }

    fn mend(&self, framed: &Framed, repeat: &Repeat, edits: &mut Edits) {
        let range = repeat.range.clone();
        if let Mend::Follow(slot) = repeat.mend {
            if framed.parts.get(slot).is_some_and(|part| part.differs()) {
                edits.text(range, &framed.ready_text(slot));
            }
            return;
        }
        let changed = self.state(repeat.choice).is_some_and(|state| state.changed.has(repeat.kind));
        if changed || repeat.unread {
            edits.replace(range, silence(repeat.mend));
        }
    }

    fn state(&self, index: u32) -> Option<&Choice> {
        self.choices.iter().find(|choice| choice.index == index)
    }

    /// Choices of this frame that bring a tool call which never may leave. Nothing of such a choice leaves in this frame; its other texts
    /// are said in events of their own, and so is its end.
    fn resay_beside_dropped_tools(&mut self, framed: &Framed, out: &mut Vec<Bytes>) -> Vec<u32> {
        let dropped: Vec<u32> = (framed.event.slots.iter().zip(&framed.parts))
            .filter(|(_, part)| {
                part.piece.and_then(|at| self.pieces.get(at)).is_some_and(|piece| piece.is_unnamed(part.name))
            })
            .map(|(slot, _)| slot.choice)
            .collect();
        if dropped.is_empty() {
            return dropped;
        }
        for (at, slot) in framed.event.slots.iter().enumerate().filter(|(_, slot)| dropped.contains(&slot.choice)) {
            let text = framed.ready_text(at);
            let apart = !matches!(slot.place, Place::Tool { .. } | Place::FunctionCall | Place::Loose { .. });
            if !text.is_empty() && apart {
                out.push(made(&synthesise(&framed.data, slot.choice, Says::Text(slot.place, &text))));
                self.released_content = true;
            }
        }
        for choice in
            framed.event.choices.iter().filter(|choice| choice.finish.is_some() && dropped.contains(&choice.index))
        {
            out.push(made(&synthesise(&framed.data, choice.index, Says::Refused)));
        }
        dropped
    }

    /// Says what stages added at the end of pieces whose frames had left.
    fn flush_spills(&mut self, choice: Option<u32>, out: &mut Vec<Bytes>) {
        self.flush(out, |piece| choice.is_none_or(|choice| choice == piece.choice));
    }

    fn flush(&mut self, out: &mut Vec<Bytes>, which: impl Fn(&Piece) -> bool) {
        let of_these = |piece: &&mut Piece| which(piece);
        for piece in self.pieces.iter_mut().filter(of_these).filter(|piece| piece.drained && !piece.spill.is_empty()) {
            let text = std::mem::take(&mut piece.spill);
            if !piece.is_unnamed(0) {
                out.push(made(&synthesise(&self.template, piece.choice, Says::Text(piece.place, &text))));
                self.released_content = true;
            }
        }
    }
}

/// Whether any of what a model said in the event is left, or none of it can be taken away.
fn says(framed: &Framed) -> bool {
    let mut described = framed.event.slots.iter().zip(&framed.parts).filter(|(slot, _)| !slot.is_loose()).peekable();
    described.peek().is_none() || described.any(|(_, part)| part.has_text() || part.name > 0)
}

/// What stands for a copy that may not be read.
fn silence(mend: Mend) -> &'static [u8] {
    match mend {
        Mend::Null => b"null",
        Mend::Empty | Mend::Follow(_) => b"\"\"",
        Mend::Message => b"{\"role\":\"assistant\",\"content\":\"\"}",
    }
}

/// The frame with other data. A line end in the data (white space between values) would end the line, so it becomes a space.
fn reframe(frame: &Frame, data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(frame.raw.len() + 64);
    if let Some(range) = frame.data_range() {
        out.extend_from_slice(frame.raw.get(..range.start).unwrap_or_default());
        push_line(data, &mut out);
        out.extend_from_slice(frame.raw.get(range.end..).unwrap_or_default());
        return Bytes::from(out);
    }
    out.extend_from_slice(&frame.comments());
    if let Some(event) = frame.event() {
        out.extend_from_slice(b"event: ");
        out.extend_from_slice(event);
        out.push(b'\n');
    }
    out.extend_from_slice(&made(data));
    Bytes::from(out)
}

fn made(data: &[u8]) -> Bytes {
    let mut out = Vec::with_capacity(data.len() + 8);
    out.extend_from_slice(b"data: ");
    push_line(data, &mut out);
    out.extend_from_slice(b"\n\n");
    Bytes::from(out)
}

fn push_line(data: &[u8], out: &mut Vec<u8>) {
    out.extend(data.iter().map(|&byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { byte }));
}
