//! Runs the reply hooks on a whole reply, in falling order: `on-response`, or one `on-delta` window a piece where a plugin has only that.
//!
//! Also for a streamed reply that is held for a whole-reply plugin, and for a plugin's own answer.

use std::borrow::Cow;
use std::time::Duration;

use sluice_dialect::failure::Failure;
use sluice_dialect::text;
use sluice_sandbox::{DeltaVerdict, Hook, HookError, ResponseVerdict, Window};

use super::outcome::{denied, failed};
use super::pieces;
use super::request::unwrap;
use super::run;
use super::view::CallState;
use crate::observe::record::Record;
use crate::plugins::chain::{Chain, Entry};

/// What the chain decided on a reply; its edits are in the state's reply document.
pub enum Decision {
    Pass,
    Deny(Failure),
    Fail(Failure),
    Retry(Option<String>),
}

/// How one plugin's run over a whole reply ended.
enum Step {
    Go(&'static str),
    End(&'static str, Decision),
    Error(HookError),
}

/// `answered_by`: the place of the plugin that answered, if one did. Plugins behind it whose `on-request` therefore never ran do not see
/// the reply; those that only guard replies always do.
pub async fn run(
    chain: &Chain,
    mut state: Box<CallState>,
    answered_by: Option<usize>,
    record: &mut Record,
) -> (Box<CallState>, Decision) {
    for (at, entry) in chain.entries.iter().enumerate().rev() {
        let skipped = answered_by.is_some_and(|by| at > by && entry.has(Hook::OnRequest));
        if skipped || !entry.reads_replies() {
            continue;
        }
        let hook = if entry.has(Hook::OnResponse) { Hook::OnResponse } else { Hook::OnDelta };
        state.begin(entry, hook);
        let (step, spent);
        (state, step, spent) = match hook {
            Hook::OnResponse => on_response(entry, state).await,
            _ => windows(entry, state).await,
        };
        entry.ran(hook, spent);
        match step {
            Step::Go(verdict) => {
                let passed = state.commit();
                let verdict = if hook == Hook::OnResponse { passed } else { verdict };
                record.stamp(&entry.name, &entry.digest, hook, verdict, spent);
            }
            Step::End(verdict, decision) => {
                state.commit();
                record.stamp(&entry.name, &entry.digest, hook, verdict, spent);
                return (state, decision);
            }
            Step::Error(error) => {
                state.roll_back();
                record.stamp(&entry.name, &entry.digest, hook, error.kind.as_str(), spent);
                if let Err(failure) = failed(entry, hook, &error) {
                    return (state, Decision::Fail(failure));
                }
            }
        }
    }
    (state, Decision::Pass)
}

async fn on_response(entry: &Entry, state: Box<CallState>) -> (Box<CallState>, Step, Duration) {
    let ran = run::hook(&entry.breaker, state, |view| entry.plugin.on_response(view)).await;
    let step = match ran.result {
        Ok(ResponseVerdict::Pass) => Step::Go("pass"),
        Ok(ResponseVerdict::Deny(denial)) => Step::End("deny", Decision::Deny(denied(denial))),
        Ok(ResponseVerdict::Retry(target)) => Step::End("retry", Decision::Retry(target)),
        Err(error) => Step::Error(error),
    };
    (unwrap(ran.view), step, ran.spent)
}

/// One window a piece, all of them last.
async fn windows(entry: &Entry, mut state: Box<CallState>) -> (Box<CallState>, Step, Duration) {
    let mut spent = Duration::ZERO;
    let mut verdict = "release";
    let pieces: Vec<(text::Kind, u32)> = match &mut state.reply {
        Some(reply) => reply.document.pieces().iter().map(|piece| (piece.kind, piece.choice)).collect(),
        None => Vec::new(),
    };
    let mut ended: Vec<u32> = Vec::new();
    for (at, (kind, choice)) in pieces.iter().enumerate() {
        if ended.contains(choice) {
            set_text(&mut state, at, "");
            continue;
        }
        let part = pieces.iter().take(at).filter(|(_, of)| of == choice).count() as u32;
        let Some(reply) = &mut state.reply else { break };
        let text = reply.document.text(at).unwrap_or_default().into_owned();
        let name = reply.document.tool_name(at).map(Cow::into_owned);
        let window = Window { choice: *choice, part, kind: pieces::kind(*kind), name, text, last: true };
        let ran = run::hook(&entry.breaker, state, |view| entry.plugin.on_delta(view, window)).await;
        state = unwrap(ran.view);
        spent += ran.spent;
        match ran.result {
            Ok(DeltaVerdict::Release(_)) => {}
            Ok(DeltaVerdict::Replace { text, .. }) => {
                set_text(&mut state, at, &text);
                verdict = "replace";
            }
            Ok(DeltaVerdict::Finish(text)) => {
                set_text(&mut state, at, &text);
                finish_choice(&mut state, *choice);
                ended.push(*choice);
                verdict = "finish";
            }
            Ok(DeltaVerdict::Stop(denial)) => {
                return (state, Step::End("stop", Decision::Deny(denied(denial))), spent);
            }
            Err(error) => return (state, Step::Error(error), spent),
        }
    }
    (state, Step::Go(verdict), spent)
}

fn set_text(state: &mut CallState, piece: usize, text: &str) {
    if let Some(reply) = &mut state.reply {
        // The piece is there: the list came from this document.
        let _ = reply.document.set_text(piece, text);
    }
}

fn finish_choice(state: &mut CallState, choice: u32) {
    let Some(reply) = &mut state.reply else { return };
    for at in 0..128 {
        let Some(object) = reply.document.get(&format!("/choices/{at}")) else { return };
        let index = sluice_dialect::json::field(object.as_bytes(), 0, "index")
            .and_then(|range| object.get(range)?.parse::<u32>().ok())
            .unwrap_or(at);
        if index == choice {
            let _ = reply.document.set(&format!("/choices/{at}/finish_reason"), "\"content_filter\"");
        }
    }
}
