//! A whole response object as it lies: whether it is one, and its texts with every place that repeats them.

use serde_json::Value;

use super::{count, error};
use crate::failure::Failure;
use crate::json;
use crate::text::{TextMap, walk};
use crate::told;
use crate::usage::Usage;

/// Whether a provider's 200 is a response object: one with a list of `output` items that did not fail.
///
/// # Errors
/// Who failed and how; an `error` keeps its message and code, and has the status that its code names.
#[allow(clippy::result_large_err, reason = "the one failure type is large, and built only for a call that failed")]
pub fn check(bytes: &[u8]) -> Result<Option<Usage>, Failure> {
    let start = bytes.trim_ascii_start();
    if start.is_empty() {
        return Err(Failure::bad_gateway("empty_reply", "The provider sent an empty reply."));
    }
    if start.starts_with(b"<") {
        let failure = Failure::bad_gateway("html_reply", "The provider sent a web page instead of a reply.");
        return Err(failure.with_detail(told::excerpt(bytes)));
    }
    let fields = [&b"data:"[..], b"event:", b"id:", b"retry:", b":"];
    if fields.iter().any(|field| start.starts_with(field)) {
        let message = "The provider sent an event stream where a whole reply was asked for.";
        return Err(Failure::bad_gateway("unexpected_stream", message));
    }
    let (mut output, mut suspect, mut failed, mut counted) = (false, false, false, None);
    let syntax = json::validate_members(bytes, |member| {
        if member.is(bytes, "output") {
            output = bytes.get(member.value.start) == Some(&b'[');
        } else if member.is(bytes, "error") {
            suspect |= bytes.get(member.value.start) != Some(&b'n');
        } else if member.is(bytes, "status") {
            failed = bytes.get(member.value) == Some(b"\"failed\"");
        } else if member.is(bytes, "object") {
            suspect |= bytes.get(member.value) == Some(b"\"error\"");
        } else if member.is(bytes, "usage") {
            counted = Some(member.value);
        }
    });
    if let Err(syntax) = syntax {
        let cut = syntax.offset >= bytes.trim_ascii_end().len() && start.starts_with(b"{");
        let (code, message) = if cut {
            ("truncated_reply", "The provider's reply ends in the middle.")
        } else {
            ("invalid_reply", "The provider's reply is not JSON.")
        };
        return Err(Failure::bad_gateway(code, message).with_detail(syntax.to_string()));
    }
    if failed {
        return Err(error::from_response(&serde_json::from_slice::<Value>(bytes).unwrap_or_default()));
    }
    if suspect && let Some(failure) = told::inside_reply(bytes) {
        return Err(error::settle(failure));
    }
    if output {
        return Ok(counted.and_then(|range| count::read(&serde_json::from_slice(bytes.get(range)?).ok()?)));
    }
    let failure = Failure::bad_gateway("invalid_reply", "The provider's reply has no output.");
    Err(failure.with_detail(member_names(bytes)))
}

/// For the log, in place of an excerpt, which could hold the model's words.
fn member_names(bytes: &[u8]) -> String {
    const MOST: usize = 12;
    let Some(members) = json::object(bytes, walk::blank(bytes, 0)) else { return "not an object".to_owned() };
    let names: Vec<_> = members
        .take(MOST)
        .filter_map(|member| Some(json::string(bytes, member.key)?.chars().take(40).collect()))
        .collect::<Vec<String>>();
    format!("an object with the members: {}", names.join(", "))
}

pub fn text_map(_bytes: &[u8]) -> TextMap {
    TextMap::default()
}
