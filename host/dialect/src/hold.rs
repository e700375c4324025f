//! Holding a stream back until every plugin has released it: the state machine behind `on-delta`.
//!
//! Text runs through a chain of stages, one a plugin. The machine says which [`Window`] a stage is to be asked about and takes its
//! [`Verdict`]; what the last stage releases leaves in the provider's own frames, in their order, rewritten only where a text was changed or
//! cut. It calls no plugin, waits for nothing and knows no clock; stopping a stream with an error is the caller's.
//!
//! The caller's loop, for each frame: [`Hold::push`] (or [`Hold::push_opaque`]), then [`Hold::next_window`] and [`Hold::verdict`] until
//! there is no window, then [`Hold::take_output`]. When the provider is done, [`Hold::end`] comes **before** its end mark is pushed, so that
//! text which only the end sets free still precedes the mark. Frames after it are not expected; a text in one is a piece that ends at once.
//!
//! Invariants: what a stage has not released is in no output byte; text that nobody changed keeps its bytes; every byte of the provider's text
//! is accounted for by exactly one run of text, so that each frame knows when all of its text is decided.

mod chain;
mod choice;
mod emit;
mod limits;
mod loose;
mod queue;
mod run;
mod said;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

use std::collections::VecDeque;
use std::fmt;

use bytes::Bytes;

use crate::openai_chat::stream::{Event, Place, Slot};
use crate::sse::Frame;
use crate::text::Kind;
use chain::Piece;
use choice::Choice;
use limits::MAX_PIECES;
use loose::Judged;
use queue::{Entry, Framed, Part, Queue};
use run::Run;

/// What a stage is asked about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    pub choice: u32,
    /// Counts this choice's pieces in the order they began.
    pub part: u32,
    pub kind: Kind,
    /// The tool's name, on every window of its arguments.
    pub name: Option<String>,
    /// All text that this stage has not released, the newest at its end.
    pub text: String,
    /// No more will come for this piece. True exactly once for each stage and piece.
    pub last: bool,
}

/// A stage's answer. The fourth one of the interface, to stop the stream, needs no machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Release all but the last n characters (Unicode scalar values). More than there is holds everything; a last window holds nothing.
    Release(u32),
    /// Release this text instead, but for its last `hold` characters, which begin the next window. A last window holds nothing.
    Replace { text: String, hold: u32 },
    /// Release this and end the choice.
    Finish(String),
}

/// What a verdict did, for the receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// The text is as it was.
    Kept,
    Changed,
    Finished,
}

/// A verdict that cannot be followed; the machine is as it was before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadVerdict {
    /// That stage was not asked, or a frame came after it was asked.
    NoWindow,
    /// `Replace` held more characters than its text has.
    HoldPastEnd { hold: u32, characters: usize },
}

impl fmt::Display for BadVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadVerdict::NoWindow => f.write_str("a verdict on a window that is not open"),
            BadVerdict::HoldPastEnd { hold, characters } => {
                write!(f, "the verdict holds {hold} characters of a text of {characters}")
            }
        }
    }
}

impl std::error::Error for BadVerdict {}

/// A stage holds more than may be held. Nothing goes on until [`Hold::skip_stage`], or the stream ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Overflow {
    pub stage: usize,
    pub choice: u32,
}

impl fmt::Display for Overflow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stage {} holds back too much of choice {}", self.stage, self.choice)
    }
}

impl std::error::Error for Overflow {}

/// The machine for one stream.
#[derive(Debug)]
pub struct Hold {
    skipped: Vec<bool>,
    /// What the request asked for (`n`).
    expected: u32,
    max_held: usize,
    choices: Vec<Choice>,
    pieces: Vec<Piece>,
    /// Places in `pieces` whose piece is over and which nothing names any more.
    free: Vec<usize>,
    /// Pieces that may still grow.
    open: Vec<usize>,
    judged: Judged,
    queue: Queue,
    /// Stages to ask, as (piece, stage); some may have become pointless.
    work: VecDeque<(usize, usize)>,
    /// The window for the front of `work` was given out.
    offered: bool,
    overflow: Option<Overflow>,
    /// The data of the last event with a choice: what events of our own are made from.
    template: Bytes,
    released_content: bool,
    ended: bool,
}

impl Hold {
    /// A machine for `stages` plugins and a request for `choices` answers. `max_held` is in bytes of text, for a piece over all stages.
    pub fn new(stages: usize, choices: u32, max_held: usize) -> Hold {
        Hold {
            skipped: vec![false; stages],
            expected: choices.max(1),
            max_held,
            choices: Vec::new(),
            pieces: Vec::new(),
            free: Vec::new(),
            open: Vec::new(),
            judged: Judged::new(max_held),
            queue: Queue::default(),
            work: VecDeque::new(),
            offered: false,
            overflow: None,
            template: Bytes::new(),
            released_content: false,
            ended: false,
        }
    }

    /// Takes a frame and what [`analyse`](crate::openai_chat::stream::analyse) found in its data. No window may be out.
    pub fn push(&mut self, frame: Frame, mut event: Event) {
        self.offered = false;
        let Some(data) = frame.data() else { return self.push_opaque(frame.raw) };
        if self.is_crowded(&event) {
            let parts = vec![Part::unread()];
            self.queue.push(Entry::Event(Box::new(Framed {
                frame,
                data,
                event: Event::default(),
                parts,
                gone: Vec::new(),
            })));
            return self.weigh_queue();
        }
        self.check_messages(&data, &mut event);
        let mut parts = Vec::with_capacity(event.slots.len());
        let mut pieces = Vec::with_capacity(event.slots.len());
        for slot in &event.slots {
            let (part, piece) = match slot.place {
                Place::Loose { top } => self.loose_part(&data, slot, top),
                _ => self.described_part(&data, slot),
            };
            parts.push(part);
            pieces.push(piece);
        }
        let refused = |choice: &u32| self.choices.iter().any(|state| state.index == *choice && state.refused);
        let gone: Vec<u32> = event.choices.iter().map(|choice| choice.index).filter(refused).collect();
        if !event.choices.is_empty() {
            self.template = data.clone();
        }
        let ends: Vec<u32> =
            event.choices.iter().filter(|choice| choice.finish.is_some()).map(|choice| choice.index).collect();
        let sequence = self.queue.push(Entry::Event(Box::new(Framed { frame, data, event, parts, gone })));
        for (slot, piece) in pieces.into_iter().enumerate() {
            if let Some(piece) = piece {
                self.feed(sequence, slot, piece);
            }
        }
        for choice in ends {
            let at = self.choice_at(choice);
            if let Some(choice) = self.choices.get_mut(at) {
                choice.finished = true;
            }
            self.close(|piece| piece.choice == choice);
        }
        if self.ended {
            self.close(|_| true);
        }
        self.weigh_queue();
    }

    /// Takes bytes that no stage reads (a comment, usage, the end mark): they keep their place in the stream.
    pub fn push_opaque(&mut self, raw: Bytes) {
        if !raw.is_empty() {
            self.offered = false;
            self.queue.push(Entry::Opaque(raw));
            self.weigh_queue();
        }
    }

    /// A block is over: its piece gets its last window. `raw` keeps its place in the stream, behind all of the block's text.
    pub(crate) fn push_close(&mut self, choice: u32, block: u32, raw: Bytes) {
        self.offered = false;
        self.close(|piece| piece.choice == choice && piece.place == Place::Block(block));
        self.queue.push(Entry::Close(choice, block, raw));
        self.weigh_queue();
    }

    /// Whether a text of the choice was changed so far.
    pub(crate) fn has_changed(&self, choice: u32) -> bool {
        self.choices.iter().any(|state| state.index == choice && state.changed.has(None))
    }

    /// The provider is done: every piece that is still open gets its last window.
    pub fn end(&mut self) {
        self.offered = false;
        if !self.ended {
            self.ended = true;
            self.close(|_| true);
            self.queue.push(Entry::End(Vec::new()));
        }
    }

    /// The next stage to ask; the same one again until its verdict came.
    ///
    /// # Errors
    /// [`Overflow`] until that stage is skipped.
    pub fn next_window(&mut self) -> Result<Option<(usize, Window)>, Overflow> {
        if let Some(overflow) = self.overflow {
            return Err(overflow);
        }
        while let Some(&(at, stage)) = self.work.front() {
            if let Some(window) = self.pieces.get(at).and_then(|piece| piece.window(stage)) {
                self.offered = true;
                return Ok(Some((stage, window)));
            }
            self.work.pop_front();
        }
        self.offered = false;
        Ok(None)
    }

    /// Follows the answer to the window that [`Hold::next_window`] gave last.
    ///
    /// # Errors
    /// [`BadVerdict`], and the window stays open: it can be answered again, or the stage skipped.
    pub fn verdict(&mut self, stage: usize, verdict: Verdict) -> Result<Effect, BadVerdict> {
        let asked = self.work.front().copied().filter(|(_, asked)| self.offered && *asked == stage);
        let Some((at, _)) = asked else { return Err(BadVerdict::NoWindow) };
        let Some(piece) = self.pieces.get_mut(at) else { return Err(BadVerdict::NoWindow) };
        let outcome = piece.answer(stage, verdict)?;
        let choice = piece.choice;
        self.work.pop_front();
        self.offered = false;
        self.pass(at, stage + 1, outcome.runs, outcome.names, outcome.ended);
        if outcome.effect == Effect::Finished {
            self.refuse(choice, stage);
        }
        self.weigh_piece(at);
        Ok(outcome.effect)
    }

    /// Takes a stage out of the chain from here on: what it held flows to the stages behind it.
    pub fn skip_stage(&mut self, stage: usize) {
        let Some(skipped) = self.skipped.get_mut(stage) else { return };
        *skipped = true;
        self.offered = false;
        self.judged.forget();
        for at in 0..self.pieces.len() {
            if let Some(flow) = self.pieces.get_mut(at).and_then(|piece| piece.drop_stage(stage)) {
                self.pass(at, stage + 1, flow.runs, flow.names, flow.ended);
            }
        }
        self.overflow = None;
        for at in 0..self.pieces.len() {
            self.weigh_piece(at);
        }
        self.weigh_queue();
    }

    /// Appends what may leave now, ready to be written to the client: one element a frame.
    pub fn take_output(&mut self, out: &mut Vec<Bytes>) {
        self.emit(out);
    }

    /// Whether anything that a model wrote has been given out.
    pub fn released_content(&self) -> bool {
        self.released_content
    }

    /// No choice is left, and the provider still writes at least one that a stage ended: the caller cancels it, takes the output that is left,
    /// and ends the stream. Never true where the provider ended every choice itself, so that its usage and its end mark are not cut off.
    pub fn finished_all(&self) -> bool {
        let over =
            self.choices.iter().filter(|choice| choice.index < self.expected && (choice.refused || choice.finished));
        let all = u32::try_from(over.count()).is_ok_and(|over| over >= self.expected);
        all && self.choices.iter().any(|choice| choice.refused && !choice.finished) && self.work.is_empty()
    }

    /// What waits for a verdict or for more text: about the memory that frames take which have not left, in bytes; 0 if none wait.
    pub fn waiting_bytes(&self) -> usize {
        self.queue.bytes()
    }

    /// Which piece a slot belongs to, beginning it where it is new. Text of a refused choice belongs to none.
    fn part_for(&mut self, data: &[u8], slot: &Slot) -> Part {
        let choice_at = self.choice_at(slot.choice);
        if self.choices.get(choice_at).is_none_or(|choice| choice.refused) {
            return Part::refused();
        }
        let found =
            self.open.iter().copied().find(|&at| self.pieces.get(at).is_some_and(|piece| piece.takes(data, slot)));
        if let Some(at) = found {
            return self
                .pieces
                .get_mut(at)
                .map_or_else(Part::refused, |piece| Part::of(at, piece.take_name(data, slot)));
        }
        if !slot.has_text() && slot.name.is_none() {
            return Part::empty();
        }
        if self.is_full() {
            return Part::unread();
        }
        if let Place::Tool { .. } = slot.place {
            // A call of another id at the same index: the one before is complete.
            self.close(|piece| piece.choice == slot.choice && piece.same_lane(slot));
        }
        let mut piece = Piece::new(slot, self.skipped.len());
        let name = piece.take_name(data, slot);
        let at = self.begin(piece, choice_at);
        self.open.push(at);
        Part::of(at, name)
    }

    fn described_part(&mut self, data: &[u8], slot: &Slot) -> (Part, Option<usize>) {
        let part = self.part_for(data, slot);
        let piece = part.piece;
        (part, piece)
    }

    /// No further piece is read.
    fn is_full(&self) -> bool {
        self.pieces.len() - self.free.len() >= MAX_PIECES
    }

    /// Gives the piece its number and its place.
    fn begin(&mut self, mut piece: Piece, choice_at: usize) -> usize {
        if let Some(choice) = self.choices.get_mut(choice_at) {
            piece.part = choice.parts;
            choice.parts += 1;
        }
        if let Some(at) = self.free.pop()
            && let Some(free) = self.pieces.get_mut(at)
        {
            *free = piece;
            return at;
        }
        self.pieces.push(piece);
        self.pieces.len() - 1
    }

    /// Gives a slot's text to the first stage.
    fn feed(&mut self, sequence: u64, slot: usize, at: usize) {
        let Some((text, named)) = self.queue.read(sequence, slot) else { return };
        let Some(piece) = self.pieces.get_mut(at) else { return };
        if !text.is_empty() {
            piece.sources.push_back((sequence, slot));
        }
        let names = piece.names;
        let whole = piece.is_loose();
        if !text.is_empty() || named || whole {
            let src = text.len();
            self.pass(at, 0, vec![Run { text, src, same: true }], names, whole);
        }
    }

    fn close(&mut self, which: impl Fn(&Piece) -> bool) {
        let mut at = 0;
        while let Some(&index) = self.open.get(at) {
            let Some(piece) = self.pieces.get(index).filter(|piece| which(piece)) else {
                at += 1;
                continue;
            };
            let names = piece.names;
            self.open.remove(at);
            self.pass(index, 0, Vec::new(), names, true);
        }
    }

    /// Moves text into a stage, or past the last one. `names` counts the tool names that came with it or before it.
    fn pass(&mut self, at: usize, mut stage: usize, mut runs: Vec<Run>, names: u32, ended: bool) {
        let Some(piece) = self.pieces.get_mut(at) else { return };
        while let Some(skipped) = self.skipped.get(stage) {
            if !skipped && !piece.passes_unasked(stage, &runs, names, ended) {
                if piece.arrive(stage, &mut runs, names, ended) {
                    self.work.push_back((at, stage));
                }
                return;
            }
            piece.note_passed(stage, names, ended);
            stage += 1;
        }
        piece.names_out = piece.names_out.max(names);
        let over = ended && !piece.drained && piece.is_loose();
        piece.drained |= ended;
        let Piece { choice, kind, place, .. } = *piece;
        if self.queue.deliver(piece, runs) {
            self.note_changed(choice, kind, place);
        }
        if over {
            self.retire(at);
        }
    }

    /// Ends a choice: what no later stage has yet is gone, what later stages hold gets its last window there.
    fn refuse(&mut self, choice: u32, stage: usize) {
        let index = self.choice_at(choice);
        if let Some(state) = self.choices.get_mut(index) {
            state.refused = true;
        }
        self.open.retain(|&at| self.pieces.get(at).is_some_and(|piece| piece.choice != choice));
        for at in 0..self.pieces.len() {
            let dropped = self
                .pieces
                .get_mut(at)
                .filter(|piece| piece.choice == choice)
                .and_then(|piece| piece.drop_up_to(stage));
            if let Some(dropped) = dropped {
                self.pass(at, stage + 1, dropped.runs, dropped.names, dropped.ended);
            }
        }
        self.queue.refuse(choice);
    }
}
