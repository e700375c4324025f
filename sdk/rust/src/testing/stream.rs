//! Streams through a plugin as the gateway runs them: text is assembled, and what is held comes again.

use super::fake::{FakeCall, checked};
use super::state::During;
use crate::plugin::OnDelta;
use crate::types::{DeltaVerdict, Denial, Fault, Kind, Window};

/// As the gateway: held text beyond this is the plugin's fault.
const MAX_HELD: usize = 64 * 1024;

/// How a stream ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The provider's own end.
    Done,
    /// The plugin ended the choice with finish reason `content_filter`.
    Finished,
    /// The plugin ended the stream with an error.
    Stopped(Denial),
    /// The plugin failed; the operator's `on_error` would apply.
    Faulted(Fault),
}

/// What the client got of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// All text released.
    pub text: String,
    /// How it ended.
    pub end: End,
    /// What was released after each chunk; the last is what the end released.
    pub released: Vec<String>,
}

/// A streamed part to run through a plugin.
#[derive(Clone, Debug)]
pub struct Stream {
    choice: u32,
    part: u32,
    kind: Kind,
    name: Option<String>,
}

impl Default for Stream {
    fn default() -> Self {
        Self::new()
    }
}

impl Stream {
    /// The first text of the first choice.
    pub fn new() -> Self {
        Stream { choice: 0, part: 0, kind: Kind::Text, name: None }
    }

    /// Of another kind.
    #[must_use]
    pub fn kind(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// The arguments of a call of this tool.
    #[must_use]
    pub fn tool(mut self, name: &str) -> Self {
        self.kind = Kind::ToolArguments;
        self.name = Some(name.to_owned());
        self
    }

    /// Another choice and part.
    #[must_use]
    pub fn at(mut self, choice: u32, part: u32) -> Self {
        self.choice = choice;
        self.part = part;
        self
    }

    /// Streams these chunks through the plugin.
    pub fn run<P: OnDelta>(&self, plugin: &P, chunks: &[&str]) -> Outcome {
        self.run_on(&mut FakeCall::asking("anything"), plugin, chunks)
    }

    /// As [`Stream::run`], on a call that other hooks have seen.
    pub fn run_on<P: OnDelta>(&self, call: &mut FakeCall, plugin: &P, chunks: &[&str]) -> Outcome {
        let mut outcome = Outcome { text: String::new(), end: End::Done, released: Vec::new() };
        let mut held = String::new();
        // The end of a part is often known only after its last text, so the last window brings nothing new.
        let windows = chunks.iter().map(|chunk| (*chunk, false)).chain([("", true)]);
        for (chunk, last) in windows {
            held.push_str(chunk);
            let window = Window {
                choice: self.choice,
                part: self.part,
                kind: self.kind,
                name: self.name.clone(),
                text: held.clone(),
                last,
            };
            let verdict = call.transact(
                During::Delta,
                |call| plugin.on_delta(call, &window),
                |verdict| match verdict {
                    DeltaVerdict::Stop(denial) => Some(denial),
                    _ => None,
                },
            );
            let (text, hold, end) = match verdict {
                Ok(DeltaVerdict::Release { hold }) => (window.text, hold, None),
                Ok(DeltaVerdict::Replace { text, hold }) => (text, hold, None),
                Ok(DeltaVerdict::Finish(text)) => (text, 0, Some(End::Finished)),
                Ok(DeltaVerdict::Stop(denial)) => {
                    outcome.end = checked(&denial).map_or_else(End::Faulted, |()| End::Stopped(denial));
                    return outcome;
                }
                Err(fault) => {
                    outcome.end = End::Faulted(fault);
                    return outcome;
                }
            };
            let at = if last { text.len() } else { cut(&text, hold) };
            let (release, keep) = text.split_at(at);
            outcome.text.push_str(release);
            outcome.released.push(release.to_owned());
            keep.clone_into(&mut held);
            if let Some(end) = end {
                outcome.end = end;
                return outcome;
            }
            if held.len() > MAX_HELD {
                outcome.end = End::Faulted(Fault::Invalid("more than 64 KiB held".to_owned()));
                return outcome;
            }
        }
        outcome
    }
}

/// The byte before the last `hold` characters.
fn cut(text: &str, hold: u32) -> usize {
    match hold {
        0 => text.len(),
        _ => text.char_indices().rev().nth(hold as usize - 1).map_or(0, |(at, _)| at),
    }
}
