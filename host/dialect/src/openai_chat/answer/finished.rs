//! Whether an answer is a complete reply as it stands. A stored reply is one, and what a tree of it costs is most of what a call that it
//! answers costs.
//!
//! It knows no middle: where anything is missing or spelt so that readers could differ over it, `complete` makes the reply anew.

use std::ops::Range;

use crate::json;

/// Whether nothing is to be filled in or judged. `logprobs` may be absent, as in most providers' replies.
pub(super) fn is_complete(reply: &[u8]) -> bool {
    json::validate(reply).is_ok() && whole(reply).is_some()
}

fn whole(reply: &[u8]) -> Option<()> {
    let names = ["id", "object", "created", "model", "usage", "choices"];
    let [id, object, created, model, usage, choices] = members(reply, 0, names)?;
    for value in [id, created, model, usage] {
        given(reply, value)?;
    }
    (reply.get(object?) == Some(br#""chat.completion""#)).then_some(())?;
    let mut choices = json::array(reply, choices?.start)?;
    choice(reply, choices.next()?.start)?;
    choices.try_for_each(|other| choice(reply, other.start))
}

fn choice(reply: &[u8], at: usize) -> Option<()> {
    let [index, reason, message] = members(reply, at, ["index", "finish_reason", "message"])?;
    std::str::from_utf8(reply.get(index?)?).ok()?.parse::<u64>().ok()?;
    begins(reply, reason?, b"\"")?;
    let [role, content, calls] = members(reply, message?.start, ["role", "content", "tool_calls"])?;
    given(reply, role)?;
    begins(reply, content?, b"\"[n")?;
    match calls {
        Some(calls) if reply.get(calls.start) == Some(&b'n') => Some(()),
        Some(calls) => json::array(reply, calls.start)?.try_for_each(|call| begins(reply, call, b"{")),
        None => Some(()),
    }
}

/// The values of an object's members of these names; `None` where it is no object, names one of them twice, or spells any name with an
/// escape.
fn members<const N: usize>(reply: &[u8], at: usize, names: [&str; N]) -> Option<[Option<Range<usize>>; N]> {
    let mut found = [const { None }; N];
    for member in json::object(reply, at)? {
        let name = reply.get(member.key.start + 1..member.key.end.saturating_sub(1))?;
        if name.contains(&b'\\') {
            return None;
        }
        if let Some(at) = names.iter().position(|wanted| wanted.as_bytes() == name)
            && found.get_mut(at)?.replace(member.value).is_some()
        {
            return None;
        }
    }
    Some(found)
}

/// There, and not null.
fn given(reply: &[u8], value: Option<Range<usize>>) -> Option<()> {
    (reply.get(value?.start) != Some(&b'n')).then_some(())
}

fn begins(reply: &[u8], value: Range<usize>, with: &[u8]) -> Option<()> {
    with.contains(reply.get(value.start)?).then_some(())
}
