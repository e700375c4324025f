//! Which conversation a call belongs to, so that its turns meet the same key and target, where the provider's cache of the prompt is warm.
//!
//! What the client says of its session counts first; else the opening of the conversation does: system prompt, tools and the first message
//! of the user, which every later turn repeats. It reads the bytes where they lie and builds no tree. It is no identity: two clients that
//! name the same session share a key, and nothing else.

use std::hash::{BuildHasher as _, Hasher};
use std::ops::Range;

use foldhash::quality::{FixedState, FoldHasher};
use http::HeaderMap;
use sluice_dialect::{Dialect, json};

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]
mod tests;

/// Headers that name a session: anybody's, then those that known clients send (Codex, Claude Code), the widest session first.
const HEADERS: [&str; 8] = [
    "x-sluice-session",
    "x-session-id",
    "session-id",
    "session_id",
    "x-claude-code-session-id",
    "conversation-id",
    "conversation_id",
    "thread-id",
];

/// A seed of our own; it must stay, or sessions change their keys with a restart.
const SEED: FixedState = FixedState::with_seed(0x51);

/// A number for the call's session, the same in every process; `None` where nothing tells. `user`: who calls, if known: two users whose
/// conversations open alike have two.
///
/// The body must have been validated; of anything else nothing is promised but an answer.
pub fn session(headers: &HeaderMap, dialect: Dialect, body: &[u8], user: Option<&str>) -> Option<u64> {
    if let Some(name) = HEADERS.iter().filter_map(|name| headers.get(*name)).find(|value| !value.is_empty()) {
        return Some(named(name.as_bytes()));
    }
    let said = Said::of(dialect, body)?;
    if let Some(name) = said.name {
        return Some(named(body.get(name).unwrap_or_default()));
    }
    let mut opening = Opening { body, hash: SEED.build_hasher(), any: false };
    opening.put(b"user", user.unwrap_or_default().as_bytes());
    if let Some(tools) = &said.tools {
        // Its own bytes: the same client writes the same tools the same way.
        opening.put(b"tools", body.get(tools.clone()).unwrap_or_default());
    }
    if let Some(system) = &said.system {
        opening.content(b"system", system.clone());
    }
    if let Some(turns) = said.turns {
        opening.turns(&turns);
    }
    opening.any.then(|| opening.hash.finish())
}

fn named(name: &[u8]) -> u64 {
    let mut hash = SEED.build_hasher();
    hash.write(name);
    hash.finish()
}

/// What a request says at its top, as ranges of its body.
#[derive(Default)]
struct Said {
    /// What it calls its session, or its user.
    name: Option<Range<usize>>,
    system: Option<Range<usize>>,
    tools: Option<Range<usize>>,
    turns: Option<Range<usize>>,
}

impl Said {
    /// Names are tried in this order, whatever their order in the body.
    fn names(dialect: Dialect) -> &'static [&'static str] {
        match dialect {
            Dialect::OpenaiChat => &["prompt_cache_key", "session_id", "safety_identifier", "user"],
            Dialect::OpenaiResponses => &["prompt_cache_key", "conversation", "safety_identifier", "user"],
            Dialect::Anthropic => &["metadata"],
            // A cached prefix belongs to the project of the key that made it.
            Dialect::Gemini => &["cachedContent", "cached_content"],
        }
    }

    fn of(dialect: Dialect, body: &[u8]) -> Option<Said> {
        let (system, turns): (&[&str], &str) = match dialect {
            Dialect::OpenaiChat => (&[], "messages"),
            Dialect::OpenaiResponses => (&["instructions"], "input"),
            Dialect::Anthropic => (&["system"], "messages"),
            Dialect::Gemini => (&["systemInstruction", "system_instruction"], "contents"),
        };
        let names = Said::names(dialect);
        let mut best = usize::MAX;
        let mut said = Said::default();
        for member in json::object(body, 0)? {
            let value = &member.value;
            if member.is(body, turns) {
                said.turns = Some(value.clone());
            } else if member.is(body, "tools") {
                said.tools = Some(value.clone());
            } else if system.iter().any(|name| member.is(body, name)) {
                said.system = Some(value.clone());
            } else if let Some(at) = names.iter().position(|name| member.is(body, name))
                && at < best
                && let Some(name) = text_of(body, value, &["user_id", "id"])
            {
                best = at;
                said.name = Some(name);
            }
        }
        Some(said)
    }
}

/// The inside of a string, or of the member of that name of an object; not of an empty one.
fn text_of(body: &[u8], value: &Range<usize>, inner: &[&str]) -> Option<Range<usize>> {
    let value = match body.get(value.start)? {
        b'{' => json::object(body, value.start)?
            .find(|member| inner.iter().any(|name| member.is(body, name)))
            .map(|member| member.value)?,
        _ => value.clone(),
    };
    inside(body, &value).filter(|inside| !inside.is_empty())
}

/// What stands between a string's quotes.
fn inside(body: &[u8], value: &Range<usize>) -> Option<Range<usize>> {
    (body.get(value.start) == Some(&b'"')).then(|| value.start + 1..value.end.saturating_sub(1))
}

/// The opening of a conversation, hashed as it is read.
struct Opening<'a> {
    body: &'a [u8],
    hash: FoldHasher<'static>,
    /// It says something that tells conversations apart.
    any: bool,
}

impl Opening<'_> {
    /// Lengths go in as well: else two texts could be cut differently and be the same.
    fn put(&mut self, what: &[u8], text: &[u8]) {
        self.hash.write(what);
        self.hash.write_usize(text.len());
        self.hash.write(text);
    }

    /// Everything before the first turn of the user, and that turn.
    fn turns(&mut self, turns: &Range<usize>) {
        let body = self.body;
        if body.get(turns.start) != Some(&b'[') {
            return self.content(b"user", turns.clone());
        }
        for turn in json::array(body, turns.start).into_iter().flatten() {
            let mut role = None;
            let mut content = None;
            for member in json::object(body, turn.start).into_iter().flatten() {
                if member.is(body, "role") {
                    role = inside(body, &member.value);
                } else if member.is(body, "content") || member.is(body, "parts") {
                    content = Some(member.value);
                }
            }
            let role = role.and_then(|role| body.get(role));
            let system = matches!(role, Some(b"system" | b"developer"));
            if let Some(content) = content {
                self.content(if system { b"system" } else { b"user" }, content);
            }
            // Without a role it is the user's (Gemini); what is no turn of the user at all opens the conversation as well as one.
            if !system {
                return;
            }
        }
    }

    /// A text alone or in parts; of a part the text, else all of it. Marks for caches move from turn to turn and do not count.
    fn content(&mut self, what: &[u8], value: Range<usize>) {
        let body = self.body;
        self.any = true;
        match body.get(value.start) {
            Some(b'[') => {
                for part in json::array(body, value.start).into_iter().flatten() {
                    self.part(what, part);
                }
            }
            Some(b'{') => match json::object(body, value.start).into_iter().flatten().find(|m| m.is(body, "parts")) {
                Some(parts) => self.content(what, parts.value),
                None => self.part(what, value),
            },
            _ => self.text(what, value),
        }
    }

    fn part(&mut self, what: &[u8], part: Range<usize>) {
        let body = self.body;
        let Some(members) = json::object(body, part.start) else { return self.text(what, part) };
        if let Some(text) = members.clone().find(|member| member.is(body, "text")) {
            return self.text(what, text.value);
        }
        for member in members.filter(|member| !member.is(body, "cache_control")) {
            self.put(what, body.get(member.value).unwrap_or_default());
        }
    }

    /// A string is the same whether it stands alone or in a part.
    fn text(&mut self, what: &[u8], value: Range<usize>) {
        let text = inside(self.body, &value).unwrap_or(value);
        self.put(what, self.body.get(text).unwrap_or_default());
    }
}
