//! One piece on its way through the stages.

use std::collections::VecDeque;

use super::run::{self, Run};
use super::{BadVerdict, Effect, Verdict, Window};
use crate::json;
use crate::openai_chat::stream::{Place, Slot};
use crate::text::Kind;

/// What a stage has of a piece.
#[derive(Debug, Default)]
struct Stage {
    runs: Vec<Run>,
    /// Tool names that arrived, and that were let go.
    names: u32,
    names_passed: u32,
    /// It is to be asked.
    asks: bool,
    /// No more will arrive.
    ending: bool,
    /// Its last window was answered.
    ended: bool,
}

#[derive(Debug)]
pub(super) struct Piece {
    pub(super) choice: u32,
    pub(super) part: u32,
    pub(super) kind: Kind,
    pub(super) place: Place,
    name: Option<String>,
    id: Option<String>,
    stages: Vec<Stage>,
    /// Events that brought a name for this piece (a few providers send it in parts, or again), and how many of them may leave.
    pub(super) names: u32,
    pub(super) names_out: u32,
    /// Names that are not out never will be.
    pub(super) names_dropped: bool,
    /// Slots whose text is not decided yet, oldest first.
    pub(super) sources: VecDeque<(u64, usize)>,
    /// The slot whose text was decided last.
    pub(super) last: Option<(u64, usize)>,
    /// Released text that a stage added and that has no frame to stand in.
    pub(super) spill: String,
    /// The last stage has given its all.
    pub(super) drained: bool,
    /// What its text is remembered by, for a piece that is complete in one event.
    pub(super) key: u64,
}

/// What leaves a stage.
pub(super) struct Flow {
    pub(super) runs: Vec<Run>,
    pub(super) names: u32,
    pub(super) ended: bool,
}

pub(super) struct Outcome {
    pub(super) runs: Vec<Run>,
    pub(super) names: u32,
    pub(super) ended: bool,
    pub(super) effect: Effect,
}

impl Piece {
    pub(super) fn new(slot: &Slot, stages: usize) -> Piece {
        Piece {
            choice: slot.choice,
            part: 0,
            kind: slot.kind,
            place: slot.place,
            name: None,
            id: None,
            stages: (0..stages).map(|_| Stage::default()).collect(),
            names: 0,
            names_out: 0,
            names_dropped: false,
            sources: VecDeque::new(),
            last: None,
            spill: String::new(),
            drained: false,
            key: 0,
        }
    }

    /// It begins and ends with one event.
    pub(super) fn is_loose(&self) -> bool {
        matches!(self.place, Place::Loose { .. })
    }

    /// Notes a name that windows show and that another piece's frames bring.
    pub(super) fn show_name(&mut self, data: &[u8], slot: &Slot) {
        self.name = slot.name.clone().and_then(|name| json::string(data, name)).map(std::borrow::Cow::into_owned);
    }

    /// Whether clients would append the slot's text to this piece.
    pub(super) fn takes(&self, data: &[u8], slot: &Slot) -> bool {
        if self.choice != slot.choice || !self.same_lane(slot) {
            return false;
        }
        if let Place::Tool { indexed: false, .. } = slot.place
            && slot.name.is_some()
        {
            return false;
        }
        match (&self.id, &slot.id) {
            (Some(id), Some(literal)) => json::string(data, literal.clone()).is_some_and(|other| other == id.as_str()),
            _ => true,
        }
    }

    pub(super) fn same_lane(&self, slot: &Slot) -> bool {
        match (self.place, slot.place) {
            (Place::Tool { index, .. }, Place::Tool { index: other, .. }) => index == other,
            (Place::Member("content") | Place::Part, Place::Member("content") | Place::Part) => true,
            (Place::Detail(_), Place::Detail(_)) => true,
            (own, other) => own == other,
        }
    }

    /// Notes the slot's name and id; says which name of the piece it is, from 1, or 0.
    pub(super) fn take_name(&mut self, data: &[u8], slot: &Slot) -> u32 {
        if self.id.is_none()
            && let Some(id) = slot.id.clone()
        {
            self.id = json::string(data, id).map(std::borrow::Cow::into_owned);
        }
        let Some(more) = slot.name.clone().and_then(|name| json::string(data, name)) else { return 0 };
        match &mut self.name {
            Some(name) if *name == more => {}
            Some(name) => name.push_str(&more),
            None => self.name = Some(more.into_owned()),
        }
        self.names += 1;
        self.names
    }

    /// For a frame that may leave, with the piece's name of that number (0: with none): clients would get a call without its name.
    pub(super) fn is_unnamed(&self, name: u32) -> bool {
        self.names > 0 && self.names_out < name.max(1)
    }

    pub(super) fn window(&self, stage: usize) -> Option<Window> {
        let state = self.stages.get(stage).filter(|state| state.asks)?;
        Some(Window {
            choice: self.choice,
            part: self.part,
            kind: self.kind,
            name: self.name.clone(),
            text: run::text(&state.runs),
            last: state.ending,
        })
    }

    /// Nothing for a stage to judge: only gaps, and none of its own text that they would overtake.
    pub(super) fn passes_unasked(&self, stage: usize, runs: &[Run], names: u32, ended: bool) -> bool {
        let Some(state) = self.stages.get(stage) else { return true };
        let quiet = names == state.names && names == state.names_passed && state.runs.is_empty();
        state.ended || (!ended && quiet && run::bytes(runs) == 0)
    }

    /// Takes what the stage before released; says whether the stage has to be put on the list of those to ask.
    pub(super) fn arrive(&mut self, stage: usize, runs: &mut Vec<Run>, names: u32, ended: bool) -> bool {
        let Some(state) = self.stages.get_mut(stage) else { return false };
        let news = ended || names > state.names || run::bytes(runs) > 0;
        runs.retain(|run| run.src > 0 || !run.text.is_empty());
        run::append(&mut state.runs, std::mem::take(runs));
        state.names = names;
        state.ending |= ended;
        let list = news && !state.asks;
        state.asks |= news;
        list
    }

    pub(super) fn note_passed(&mut self, stage: usize, names: u32, ended: bool) {
        if let Some(state) = self.stages.get_mut(stage) {
            state.names = names;
            state.names_passed = names;
            state.ending |= ended;
            state.ended |= ended;
        }
    }

    /// Follows a verdict on the stage's window.
    pub(super) fn answer(&mut self, stage: usize, verdict: Verdict) -> Result<Outcome, BadVerdict> {
        let state = self.stages.get_mut(stage).filter(|state| state.asks).ok_or(BadVerdict::NoWindow)?;
        let last = state.ending;
        let (hold, effect) = match verdict {
            Verdict::Release(hold) => (hold, Effect::Kept),
            Verdict::Replace { text, hold } => {
                let characters = text.chars().count();
                if !last && usize::try_from(hold).is_ok_and(|hold| hold > characters) {
                    return Err(BadVerdict::HoldPastEnd { hold, characters });
                }
                (hold, state.rewrite(&text))
            }
            Verdict::Finish(text) => {
                let named = !text.is_empty();
                state.rewrite(&text);
                return Ok(self.finish(stage, named));
            }
        };
        let hold = if last { 0 } else { hold };
        let runs = run::release(&mut state.runs, hold);
        if hold == 0 || run::bytes(&runs) > 0 {
            state.names_passed = state.names;
        }
        state.asks = false;
        state.ended = last;
        Ok(Outcome { runs, names: state.names_passed, ended: last, effect })
    }

    /// Lets go of the stage's text, which is now the end of the piece. A name that was not out goes with the text, and not without any.
    fn finish(&mut self, stage: usize, named: bool) -> Outcome {
        let names = if named { self.names } else { self.stages.get(stage).map_or(0, |state| state.names_passed) };
        let mut flow = self.end_up_to(stage, names);
        let gap = flow.gap;
        if let Some(state) = self.stages.get_mut(stage) {
            flow.runs = std::mem::take(&mut state.runs);
        }
        if gap > 0 {
            flow.runs.push(Run::gap(gap));
        }
        self.names_dropped = true;
        Outcome { runs: flow.runs, names, ended: true, effect: Effect::Finished }
    }

    /// Drops what the stages up to this one hold, because the choice ended; `None` where there is nothing to end.
    pub(super) fn drop_up_to(&mut self, stage: usize) -> Option<Flow> {
        self.names_dropped = true;
        if self.stages.get(stage).is_none_or(|state| state.ended) {
            return None;
        }
        let names = self.stages.get(stage).map_or(0, |state| state.names_passed);
        let mut ended = self.end_up_to(stage, names);
        if let Some(state) = self.stages.get_mut(stage) {
            ended.gap += std::mem::take(&mut state.runs).iter().map(|run| run.src).sum::<usize>();
        }
        let runs = if ended.gap > 0 { vec![Run::gap(ended.gap)] } else { Vec::new() };
        Some(Flow { runs, names, ended: true })
    }

    /// Ends the stages up to this one; the text of those before it becomes a gap.
    fn end_up_to(&mut self, stage: usize, names: u32) -> Ended {
        let mut gap = 0;
        for (at, state) in self.stages.iter_mut().enumerate().take(stage + 1) {
            if at < stage {
                gap += std::mem::take(&mut state.runs).iter().map(|run| run.src).sum::<usize>();
            }
            state.asks = false;
            state.ending = true;
            state.ended = true;
            state.names_passed = names;
        }
        Ended { runs: Vec::new(), gap }
    }

    /// Empties a stage that is taken out of the chain.
    pub(super) fn drop_stage(&mut self, stage: usize) -> Option<Flow> {
        let state = self.stages.get_mut(stage).filter(|state| !state.ended)?;
        state.asks = false;
        state.ended = state.ending;
        state.names_passed = state.names;
        Some(Flow { runs: std::mem::take(&mut state.runs), names: state.names, ended: state.ending })
    }

    /// Bytes that stages have seen and not released, and the stage that holds most of them.
    pub(super) fn held(&self) -> (usize, usize) {
        let mut sum = 0;
        let mut most = (0, 0);
        for (at, state) in self.stages.iter().enumerate().filter(|(_, state)| !state.asks) {
            let held = run::bytes(&state.runs);
            sum += held;
            if held > most.1 {
                most = (at, held);
            }
        }
        (sum, most.0)
    }
}

struct Ended {
    runs: Vec<Run>,
    gap: usize,
}

impl Stage {
    fn rewrite(&mut self, text: &str) -> Effect {
        let (runs, changed) = run::replace(std::mem::take(&mut self.runs), text);
        self.runs = runs;
        if changed { Effect::Changed } else { Effect::Kept }
    }
}
