//! A provider's whole message.

use super::members::Members;
use super::usage::Counts;
use super::{block, reply};
use crate::failure::Failure;
use crate::hub::{Choice, Finish, Part, Reply, Rest};
use crate::json;

/// The reply.
///
/// # Errors
/// As [`reply::check`].
pub fn read(body: &[u8]) -> Result<Reply, Failure> {
    reply::check(body)?;
    let tree = json::tree(body).and_then(|tree| Members::of(tree).ok());
    let mut members = tree.ok_or_else(|| {
        Failure::bad_gateway("invalid_reply", "The provider's reply is nested too deeply to be translated.")
    })?;
    members.0.shift_remove("type");
    members.0.shift_remove("role");
    let parts = block::read_all(members.any("content"));
    let calls = parts.iter().any(|part| matches!(part, Part::Call(_)));
    let finish = finish(members.string("stop_reason").as_deref(), calls);
    let stop_sequence = members.string("stop_sequence");
    let usage = members.any("usage").and_then(|usage| Counts::of(&usage).usage());
    let id = members.string("id").unwrap_or_default();
    let model = members.string("model").unwrap_or_default();
    let choice = Choice { index: 0, parts, finish, stop_sequence, logprobs: None, rest: members.rest() };
    Ok(Reply { id, model, choices: vec![choice], usage, rest: Rest::default(), ..Reply::default() })
}

/// The end behind a stop reason. `calls`: there are calls for the client to run.
pub(super) fn finish(reason: Option<&str>, calls: bool) -> Finish {
    match reason {
        None | Some("" | "end_turn") if calls => Finish::ToolCalls,
        None | Some("" | "end_turn") => Finish::Stop,
        Some("tool_use") => Finish::ToolCalls,
        Some("max_tokens") => Finish::Length,
        Some("stop_sequence") => Finish::StopSequence,
        Some("pause_turn") => Finish::Pause,
        Some("refusal") => Finish::Refusal,
        Some(other) => Finish::Other(other.to_owned()),
    }
}
