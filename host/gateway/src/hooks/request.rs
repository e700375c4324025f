//! Runs `on-request`: once a call, in rising order, before routing.

use std::time::Duration;

use sluice_dialect::failure::Failure;
use sluice_sandbox::{CallView, Hook, RequestVerdict};

use super::outcome::{denied, failed};
use super::view::CallState;
use crate::observe::record::Record;
use crate::plugins::chain::Chain;

/// What the chain decided on a request.
pub enum Decision {
    Pass,
    Deny(Failure),
    /// A plugin failed and is `on_error: closed`.
    Fail(Failure),
    /// A plugin's own reply; `by` is its place in the chain.
    Answer { reply: String, by: usize },
}

pub async fn run(chain: &Chain, mut state: Box<CallState>, record: &mut Record) -> (Box<CallState>, Decision) {
    for (by, entry) in chain.entries.iter().enumerate() {
        if !entry.has(Hook::OnRequest) {
            continue;
        }
        state.begin(entry, Hook::OnRequest);
        let ran = entry.plugin.on_request(state).await;
        state = unwrap(ran.view);
        let mut book = |verdict: &'static str, spent: Duration| {
            entry.metrics.ran(Hook::OnRequest, spent);
            record.stamp(&entry.name, &entry.digest, Hook::OnRequest, verdict, spent);
        };
        match ran.result {
            Ok(verdict) => {
                let passed = state.commit();
                match verdict {
                    RequestVerdict::Pass => book(passed, ran.spent),
                    RequestVerdict::Deny(denial) => {
                        book("deny", ran.spent);
                        return (state, Decision::Deny(denied(denial)));
                    }
                    RequestVerdict::Answer(reply) => {
                        book("answer", ran.spent);
                        return (state, Decision::Answer { reply, by });
                    }
                }
            }
            Err(error) => {
                state.roll_back();
                book(error.kind.as_str(), ran.spent);
                if let Err(failure) = failed(entry, Hook::OnRequest, &error) {
                    return (state, Decision::Fail(failure));
                }
            }
        }
    }
    (state, Decision::Pass)
}

/// The view that went into a hook, as our own type again.
#[expect(clippy::expect_used, reason = "the sandbox returns the very box that it was given")]
pub fn unwrap(view: Box<dyn CallView>) -> Box<CallState> {
    view.into_any().downcast::<CallState>().expect("the call's own view")
}
