//! Runs `on-request`: once a call, in rising order, before routing.

use std::time::Duration;

use bytes::Bytes;
use sluice_dialect::failure::Failure;
use sluice_dialect::openai_chat::answer;
use sluice_sandbox::{CallView, ErrorKind, Hook, HookError, RequestVerdict};

use super::outcome::{denied, failed};
use super::run;
use super::view::CallState;
use crate::observe::record::Record;
use crate::plugins::chain::Chain;

/// What the chain decided on a request.
pub enum Decision {
    Pass,
    Deny(Failure),
    /// A plugin failed and is `on_error: closed`.
    Fail(Failure),
    /// A plugin's own reply, complete; `by` is its place in the chain.
    Answer {
        reply: Bytes,
        by: usize,
    },
}

/// A verdict with its answer made complete; one that is not a reply is a failure of the plugin like any other.
fn checked(state: &mut CallState, verdict: RequestVerdict) -> Result<(RequestVerdict, Bytes), HookError> {
    let RequestVerdict::Answer(reply) = &verdict else { return Ok((verdict, Bytes::new())) };
    let (id, model) = (format!("chatcmpl-{}", state.id), state.model());
    let reply = answer::complete(reply.as_bytes(), &id, &model, crate::app::unix_seconds()).map_err(|failure| {
        let message = format!("`on-request`: the answer is not a reply: {}", failure.message);
        HookError { kind: ErrorKind::BadVerdict, message }
    })?;
    Ok((verdict, reply))
}

pub async fn run(chain: &Chain, mut state: Box<CallState>, record: &mut Record) -> (Box<CallState>, Decision) {
    for (by, entry) in chain.entries.iter().enumerate() {
        if !entry.has(Hook::OnRequest) {
            continue;
        }
        state.begin(entry, Hook::OnRequest);
        let ran = run::hook(&entry.breaker, state, |view| entry.plugin.on_request(view)).await;
        state = unwrap(ran.view);
        let mut book = |verdict: &'static str, spent: Duration| {
            entry.ran(Hook::OnRequest, spent);
            record.stamp(&entry.name, &entry.digest, Hook::OnRequest, verdict, spent);
        };
        match ran.result.and_then(|verdict| checked(&mut state, verdict)) {
            Ok((verdict, reply)) => {
                let passed = state.commit();
                match verdict {
                    RequestVerdict::Pass => book(passed, ran.spent),
                    RequestVerdict::Deny(denial) => {
                        book("deny", ran.spent);
                        return (state, Decision::Deny(denied(denial)));
                    }
                    RequestVerdict::Answer(_) => {
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
