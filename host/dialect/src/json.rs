//! Reading JSON where it lies: ranges of bytes instead of a tree.
//!
//! The road splices original bytes, so it needs to know where a value stands, not a copy of it. [`validate`] checks a whole document once;
//! everything else assumes a document that passed it and, on anything else, ends early (`None`) without panicking or looping. Nothing here
//! recurses, so depth costs no stack. It is not a deserialiser: numbers stay text, and duplicate members stay duplicates (an iterator shows
//! all of them; [`field`] and [`pointer`] take the first, where many parsers take the last).

pub(crate) mod build;
mod scan;
mod text;
mod tree;
mod validate;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]
mod tests;

use std::fmt;
use std::ops::Range;

use scan::{skip_space, string_end, value_end};

pub(crate) use text::name;
pub use text::{append_string, quote, string};
pub(crate) use tree::{object_source, tree};
pub use validate::{validate, validate_members};

/// The deepest nesting of arrays and objects that [`validate`] accepts.
pub const MAX_DEPTH: usize = 256;

/// Why a document is not JSON, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// In bytes, from 0; the length of the document where it ends too early.
    pub offset: usize,
    /// From 1; lines end with a line feed.
    pub line: usize,
    /// From 1, in characters.
    pub column: usize,
    pub what: &'static str,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at line {}, column {}", self.what, self.line, self.column)
    }
}

impl std::error::Error for SyntaxError {}

/// One member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The string literal with its quotes.
    pub key: Range<usize>,
    /// Without surrounding white space.
    pub value: Range<usize>,
}

impl Member {
    /// Whether the key, its escapes decoded, is `name`.
    pub fn is(&self, bytes: &[u8], name: &str) -> bool {
        key_is(bytes, &self.key, name)
    }
}

/// The members of an object in their order, from [`object`].
#[derive(Clone, Debug)]
pub struct Members<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Members<'_> {
    type Item = Member;

    fn next(&mut self) -> Option<Member> {
        let member = next_key(self.bytes, self.at)
            .and_then(|(key, start)| value_end(self.bytes, start).map(|end| Member { key, value: start..end }));
        self.at = member.as_ref().map_or(usize::MAX, |member| member.value.end);
        member
    }
}

impl std::iter::FusedIterator for Members<'_> {}

/// The elements of an array in their order, from [`array`].
#[derive(Clone, Debug)]
pub struct Items<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Iterator for Items<'_> {
    type Item = Range<usize>;

    fn next(&mut self) -> Option<Range<usize>> {
        let item = next_element(self.bytes, self.at)
            .and_then(|start| value_end(self.bytes, start).map(|end| Range { start, end }));
        self.at = item.as_ref().map_or(usize::MAX, |range| range.end);
        item
    }
}

impl std::iter::FusedIterator for Items<'_> {}

/// The members of the object whose `{` stands at `at` (white space before it is skipped); `None` where no object begins.
pub fn object(bytes: &[u8], at: usize) -> Option<Members<'_>> {
    opened(bytes, at, b'{').map(|at| Members { bytes, at })
}

/// The elements of the array whose `[` stands at `at` (white space before it is skipped); `None` where no array begins.
pub fn array(bytes: &[u8], at: usize) -> Option<Items<'_>> {
    opened(bytes, at, b'[').map(|at| Items { bytes, at })
}

/// The whole value that begins at `at` (white space before it is skipped).
pub fn value(bytes: &[u8], at: usize) -> Option<Range<usize>> {
    let start = skip_space(bytes, at);
    value_end(bytes, start).map(|end| start..end)
}

/// The value of the first member of that name of the object at `object_at`.
pub fn field(bytes: &[u8], object_at: usize, name: &str) -> Option<Range<usize>> {
    value(bytes, field_start(bytes, object_at, name)?)
}

/// The value that an RFC 6901 pointer names; `""` is the whole document without surrounding white space. Of members of one name it is the
/// last, as nearly every parser has it: a guard that looks by pointer must see what the provider will see.
///
/// `None` where nothing stands there and where the pointer is malformed (no leading `/`, an unknown `~` escape, an index with a leading
/// zero). `-`, the place after an array's last element, names nothing.
pub fn pointer(bytes: &[u8], pointer: &str) -> Option<Range<usize>> {
    let mut at = skip_space(bytes, 0);
    if !pointer.is_empty() {
        for token in pointer.strip_prefix('/')?.split('/') {
            let token = text::pointer_token(token)?;
            at = match bytes.get(at)? {
                b'[' => item_start(bytes, at, array_index(&token)?)?,
                _ => last_field_start(bytes, at, &token)?,
            };
        }
    }
    value(bytes, at)
}

/// Like [`field`] without looking for the value's end: on the way to something inside, everything is read once.
fn field_start(bytes: &[u8], object_at: usize, name: &str) -> Option<usize> {
    let mut at = opened(bytes, object_at, b'{')?;
    loop {
        let (key, start) = next_key(bytes, at)?;
        if key_is(bytes, &key, name) {
            return Some(start);
        }
        at = value_end(bytes, start)?;
    }
}

fn last_field_start(bytes: &[u8], object_at: usize, name: &str) -> Option<usize> {
    let mut at = opened(bytes, object_at, b'{')?;
    let mut last = None;
    while let Some((key, start)) = next_key(bytes, at) {
        if key_is(bytes, &key, name) {
            last = Some(start);
        }
        let Some(end) = value_end(bytes, start) else { break };
        at = end;
    }
    last
}

fn item_start(bytes: &[u8], array_at: usize, index: usize) -> Option<usize> {
    let mut at = opened(bytes, array_at, b'[')?;
    for _ in 0..index {
        at = value_end(bytes, next_element(bytes, at)?)?;
    }
    next_element(bytes, at)
}

fn array_index(token: &str) -> Option<usize> {
    let canonical = token == "0" || !token.starts_with('0');
    if !canonical || !token.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    token.parse().ok()
}

fn opened(bytes: &[u8], at: usize, open: u8) -> Option<usize> {
    let at = skip_space(bytes, at);
    (bytes.get(at) == Some(&open)).then_some(at + 1)
}

/// Where the next key or element starts, given the place behind the opening bracket or behind the one before. A closing bracket is no value,
/// so callers stop there by themselves.
fn next_element(bytes: &[u8], at: usize) -> Option<usize> {
    let at = skip_space(bytes, at);
    match bytes.get(at)? {
        b',' => Some(skip_space(bytes, at + 1)),
        b'}' | b']' => None,
        _ => Some(at),
    }
}

/// The next key and the start of its value, given the place behind the opening bracket or behind the value before.
fn next_key(bytes: &[u8], at: usize) -> Option<(Range<usize>, usize)> {
    let start = next_element(bytes, at)?;
    let end = string_end(bytes, start)?;
    let colon = skip_space(bytes, end);
    (bytes.get(colon) == Some(&b':')).then(|| (start..end, skip_space(bytes, colon + 1)))
}

/// The longest escape of one byte of text, as in `\u0041`.
const LONGEST_ESCAPE: usize = 6;

/// An escape is always longer than the character it stands for, so only a longer key needs decoding, and only up to a length.
fn key_is(bytes: &[u8], key: &Range<usize>, name: &str) -> bool {
    let Some(raw) = bytes.get(key.start + 1..key.end.saturating_sub(1)) else { return false };
    if raw.len() > name.len() {
        return raw.len() <= name.len().saturating_mul(LONGEST_ESCAPE)
            && raw.contains(&b'\\')
            && string(bytes, key.clone()).is_some_and(|key| key == name);
    }
    raw == name.as_bytes() && !raw.contains(&b'\\')
}
