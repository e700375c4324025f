//! Runs `on-delta` on a stream: gives each plugin its windows, follows its verdicts, hands out what every plugin has released.
//!
//! The text itself is kept by `sluice_dialect::hold`, for chat's own frames, or `sluice_dialect::guard`, for streams that are read as blocks;
//! this is the part that calls plugins. It knows no provider and no deadline.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use sluice_dialect::failure::{Blame, Failure};
use sluice_dialect::guard::{Guard, Released};
use sluice_dialect::hold::{self, Effect, Hold};
use sluice_dialect::hub::Delta;
use sluice_dialect::openai_chat::stream::analyse;
use sluice_dialect::sse::Frame;
use sluice_sandbox::{DeltaVerdict, ErrorKind, Hook, HookError, Window};

use super::outcome::{denied, failed};
use super::pieces;
use super::request::unwrap;
use super::run;
use super::view::CallState;
use crate::observe::record::Record;
use crate::plugins::chain::{Chain, Entry};

/// Text held back for one piece at most, bytes; past it the plugin's `on_error` applies.
const MAX_HELD: usize = 64 * 1024;

/// How far the hooks came.
pub enum Verdict {
    Go,
    /// Plugins ended every choice: the provider is to be cancelled.
    Finished,
    /// A plugin stopped the stream, or failed and is `on_error: closed`.
    Stop(Failure),
}

/// The delta hooks of one stream. A stage is a plugin; the first one sees the provider's words first.
pub struct Deltas {
    stages: Vec<Arc<Entry>>,
    machine: Machine,
}

enum Machine {
    /// Chat in, chat out: frames keep their bytes but for what is changed in them.
    Frames(Box<Hold>),
    Blocks(Box<Guard>),
}

impl Deltas {
    /// `choices`: how many alternatives the client asked for. `blocks`: the stream comes by [`Deltas::blocks`], not by [`Deltas::event`].
    pub fn new(chain: &Chain, choices: u32, blocks: bool) -> Deltas {
        let stages: Vec<_> = chain.entries.iter().rev().filter(|entry| entry.has(Hook::OnDelta)).cloned().collect();
        let machine = if blocks {
            Machine::Blocks(Box::new(Guard::new(stages.len(), choices, MAX_HELD)))
        } else {
            Machine::Frames(Box::new(Hold::new(stages.len(), choices, MAX_HELD)))
        };
        Deltas { stages, machine }
    }

    fn hold(&mut self) -> &mut Hold {
        match &mut self.machine {
            Machine::Frames(hold) => hold,
            Machine::Blocks(guard) => &mut guard.hold,
        }
    }

    /// An event of the provider. Call `run` before the next one.
    pub fn event(&mut self, frame: Frame, data: &Bytes) -> Result<(), Failure> {
        let event = analyse(data).map_err(|error| {
            Failure::bad_gateway("invalid_stream", "The provider sent an event that is not a JSON object.")
                .with_detail(error.to_string())
        })?;
        self.hold().push(frame, event);
        Ok(())
    }

    /// Bytes of a stream of frames that no plugin looks at; they keep their place.
    pub fn pass(&mut self, raw: Bytes) {
        self.hold().push_opaque(raw);
    }

    /// What a frame of the provider tells, and its bytes where they may be sent as they are. Call `run` before the next one.
    pub fn blocks(&mut self, raw: Option<Bytes>, told: Vec<Delta>) {
        if let Machine::Blocks(guard) = &mut self.machine {
            guard.push(raw, told);
        }
    }

    /// The provider is done: every piece gets its last window.
    pub fn end(&mut self) {
        self.hold().end();
    }

    /// Whether content may have reached the client.
    pub fn released(&self) -> bool {
        match &self.machine {
            Machine::Frames(hold) => hold.released_content(),
            Machine::Blocks(guard) => guard.released_content(),
        }
    }

    /// What may leave of a stream of frames.
    pub fn take_output(&mut self, out: &mut Vec<Bytes>) {
        if let Machine::Frames(hold) = &mut self.machine {
            hold.take_output(out);
        }
    }

    /// What may leave of a stream of blocks.
    pub fn take_blocks(&mut self, out: &mut Vec<Released>) {
        if let Machine::Blocks(guard) = &mut self.machine {
            guard.take_output(out);
        }
    }

    /// Runs hooks until no plugin has anything new to see. `state` moves into each hook and comes back; it is gone only while one runs.
    pub async fn run(&mut self, state: &mut Option<Box<CallState>>, record: &mut Record) -> Verdict {
        loop {
            let (stage, window) = match self.hold().next_window() {
                Ok(Some(next)) => next,
                Ok(None) if self.hold().finished_all() => return Verdict::Finished,
                Ok(None) => return Verdict::Go,
                Err(overflow) => {
                    let message = format!("{overflow}: more than {MAX_HELD} bytes");
                    let error = HookError { kind: ErrorKind::Overload, message };
                    match self.fault(overflow.stage, &error) {
                        Ok(()) => continue,
                        Err(failure) => return Verdict::Stop(failure),
                    }
                }
            };
            if let Some(stop) = self.ask(stage, window, state, record).await {
                return stop;
            }
        }
    }

    async fn ask(
        &mut self,
        stage: usize,
        window: hold::Window,
        slot: &mut Option<Box<CallState>>,
        record: &mut Record,
    ) -> Option<Verdict> {
        let (Some(entry), Some(mut state)) = (self.stages.get(stage).map(Arc::clone), slot.take()) else {
            return Some(Verdict::Stop(lost()));
        };
        state.begin(&entry, Hook::OnDelta);
        let hold::Window { choice, part, kind, name, text, last } = window;
        let window = Window { choice, part, kind: pieces::kind(kind), name, text, last };
        let ran = run::hook(&entry.breaker, state, |view| entry.plugin.on_delta(view, window)).await;
        let mut state = unwrap(ran.view);
        let mut stamp = |verdict: &'static str, spent: Duration| {
            entry.ran(Hook::OnDelta, spent);
            record.stamp(&entry.name, &entry.digest, Hook::OnDelta, verdict, spent);
        };
        let verdict = match ran.result {
            Ok(DeltaVerdict::Release(held)) => Ok(hold::Verdict::Release(held)),
            Ok(DeltaVerdict::Replace { text, hold }) => Ok(hold::Verdict::Replace { text, hold }),
            Ok(DeltaVerdict::Finish(text)) => Ok(hold::Verdict::Finish(text)),
            Ok(DeltaVerdict::Stop(denial)) => {
                state.commit();
                stamp("stop", ran.spent);
                *slot = Some(state);
                return Some(Verdict::Stop(denied(denial)));
            }
            Err(error) => Err(error),
        };
        let followed = verdict.and_then(|verdict| {
            self.hold()
                .verdict(stage, verdict)
                .map_err(|bad| HookError { kind: ErrorKind::BadVerdict, message: bad.to_string() })
        });
        match followed {
            Ok(effect) => {
                state.commit();
                stamp(effect_name(effect), ran.spent);
                *slot = Some(state);
                None
            }
            Err(error) => {
                state.roll_back();
                stamp(error.kind.as_str(), ran.spent);
                *slot = Some(state);
                self.fault(stage, &error).err().map(Verdict::Stop)
            }
        }
    }

    /// A stage failed: with `on_error: open` the stream goes on without it.
    fn fault(&mut self, stage: usize, error: &HookError) -> Result<(), Failure> {
        if let Some(entry) = self.stages.get(stage) {
            failed(entry, Hook::OnDelta, error)?;
        }
        self.hold().skip_stage(stage);
        Ok(())
    }
}

/// Never met; refused all the same, so that no text could leave unseen.
pub fn lost() -> Failure {
    Failure::new(Blame::Gateway, 500, "server_error", "internal", "The call's state is gone.")
}

fn effect_name(effect: Effect) -> &'static str {
    match effect {
        Effect::Kept => "release",
        Effect::Changed => "replace",
        Effect::Finished => "finish",
    }
}
