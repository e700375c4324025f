//! What the checks of whole replies have in common: telling a JSON document from what providers send in its place. Whether the document is a
//! reply is each dialect's to say.

use crate::failure::Failure;
use crate::json;
use crate::text::walk;
use crate::told;

/// Checks that a provider's 200 is JSON and shows its outermost members, as [`json::validate_members`] does.
///
/// # Errors
/// A 502 that says what came instead: nothing, a web page, a stream, JSON that is broken or cut.
#[allow(clippy::result_large_err, reason = "the one failure type is large, and built only for a call that failed")]
pub(crate) fn members(bytes: &[u8], found: impl FnMut(json::Member)) -> Result<(), Failure> {
    let start = bytes.trim_ascii_start();
    if start.is_empty() {
        return Err(Failure::bad_gateway("empty_reply", "The provider sent an empty reply."));
    }
    if start.starts_with(b"<") {
        let failure = Failure::bad_gateway("html_reply", "The provider sent a web page instead of a reply.");
        return Err(failure.with_detail(told::excerpt(bytes)));
    }
    if [&b"data:"[..], b"event:", b"id:", b"retry:", b":"].iter().any(|field| start.starts_with(field)) {
        let message = "The provider sent an event stream where a whole reply was asked for.";
        // Without an excerpt: it would put the model's words into the log.
        return Err(Failure::bad_gateway("unexpected_stream", message));
    }
    json::validate_members(bytes, found).map_err(|syntax| {
        let cut = syntax.offset >= bytes.trim_ascii_end().len() && start.starts_with(b"{");
        let (code, message) = if cut {
            ("truncated_reply", "The provider's reply ends in the middle.")
        } else {
            ("invalid_reply", "The provider's reply is not JSON.")
        };
        Failure::bad_gateway(code, message).with_detail(syntax.to_string())
    })
}

/// JSON that is no reply, as `message` says. The log gets the names of its members in place of an excerpt, which could hold the model's
/// words.
pub(crate) fn no_reply(bytes: &[u8], message: &str) -> Failure {
    Failure::bad_gateway("invalid_reply", message).with_detail(member_names(bytes))
}

fn member_names(bytes: &[u8]) -> String {
    const MOST: usize = 12;
    let Some(members) = json::object(bytes, walk::blank(bytes, 0)) else { return "not an object".to_owned() };
    let names: Vec<_> = members
        .take(MOST)
        .filter_map(|member| Some(json::string(bytes, member.key)?.chars().take(40).collect()))
        .collect::<Vec<String>>();
    format!("an object with the members: {}", names.join(", "))
}
