//! The text map: where in a document the texts are that a model will read or has written.
//!
//! One scan of the original bytes makes it; hooks read through it, and an edit is a splice at a piece's range. It knows nothing of where a
//! dialect keeps its texts (each dialect has its own scan) and holds no text itself.

use std::ops::Range;

use crate::json;

pub(crate) mod walk;

#[cfg(test)]
mod tests;

/// Stands between two texts in [`joined`].
pub const SEPARATOR: char = '\u{1e}';

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    System,
    User,
    Assistant,
    Tool,
    Other,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Text,
    Reasoning,
    Refusal,
    ToolArguments,
    ToolResult,
    Other,
}

/// One text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub role: Role,
    pub kind: Kind,
    /// Which alternative answer; 0 in a request.
    pub choice: u32,
    /// The JSON string literal with its quotes.
    pub literal: Range<usize>,
    /// The literal with the tool's name, of tool arguments and tool results.
    pub tool_name: Option<Range<usize>>,
}

/// How a copy is kept from showing what an edit took away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mend {
    /// The value becomes `null`.
    Null,
    /// The value becomes `""`.
    Empty,
    /// The value becomes the new text of the piece with this index; untouched while that piece is.
    Repeat(usize),
}

/// A value that repeats text which a piece already shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copy {
    pub choice: u32,
    /// Of the text it repeats; `Kind::Other`: of any text of that choice.
    pub kind: Kind,
    /// The whole JSON value.
    pub range: Range<usize>,
    pub how: Mend,
}

impl Copy {
    /// Whether an edit of that piece makes this copy wrong.
    pub fn follows(&self, index: usize, piece: &Piece) -> bool {
        match self.how {
            Mend::Repeat(source) => source == index,
            Mend::Null | Mend::Empty => {
                self.choice == piece.choice && (self.kind == piece.kind || self.kind == Kind::Other)
            }
        }
    }
}

/// All texts of one document, in the order of its bytes, and the places that repeat them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextMap {
    pub pieces: Vec<Piece>,
    pub copies: Vec<Copy>,
}

impl TextMap {
    /// Adds the string literal at `literal` as a piece, unless it is empty or no string.
    pub fn push(&mut self, bytes: &[u8], role: Role, kind: Kind, choice: u32, literal: Range<usize>) -> bool {
        let text = literal.len() > 2 && bytes.get(literal.start) == Some(&b'"');
        if text {
            if self.pieces.capacity() == 0 {
                self.pieces.reserve(16);
            }
            self.pieces.push(Piece { role, kind, choice, literal, tool_name: None });
        }
        text
    }

    /// Adds every string inside the value at `range` as a piece, whatever its member is called.
    pub(crate) fn push_all(&mut self, bytes: &[u8], role: Role, kind: Kind, range: Range<usize>) {
        let all = |_: &str, _| Visit::Take;
        strings(bytes, range, true, all, |literal| {
            self.push(bytes, role, kind, 0, literal);
        });
    }
}

/// The texts of these pieces, a line each; `None` where there is no text.
pub(crate) fn lines<'a>(bytes: &[u8], pieces: impl IntoIterator<Item = &'a Piece>) -> Option<String> {
    let mut text = String::new();
    for piece in pieces {
        if !text.is_empty() {
            text.push('\n');
        }
        json::append_string(bytes, piece.literal.clone(), &mut text);
    }
    (!text.is_empty()).then_some(text)
}

/// The texts of all pieces joined by U+001E; any U+001E inside a text is shown as U+FFFD, so that the n-th part is the n-th piece.
pub fn joined(bytes: &[u8], map: &TextMap) -> String {
    let length = map.pieces.iter().map(|piece| piece.literal.len()).sum();
    let mut out = String::with_capacity(length);
    for (index, piece) in map.pieces.iter().enumerate() {
        if index > 0 {
            out.push(SEPARATOR);
        }
        let start = out.len();
        json::append_string(bytes, piece.literal.clone(), &mut out);
        hide_separators(&mut out, start);
    }
    out
}

/// Replaces every U+001E at or after `start`, which must be a character boundary.
pub(crate) fn hide_separators(out: &mut String, start: usize) {
    let Some(tail) = out.get(start..) else { return };
    if memchr::memchr(0x1e, tail.as_bytes()).is_some() {
        let clean = tail.replace(SEPARATOR, "\u{fffd}");
        out.truncate(start);
        out.push_str(&clean);
    }
}

/// What [`strings`] does with a member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit {
    /// Its strings are not text.
    Skip,
    /// Look at the strings inside.
    Enter,
    /// Its value is text if it is a string; otherwise look inside for more.
    Take,
}

/// Every string literal inside the value at `range` that `visit` (given a member's decoded key and where its value starts) does not
/// exclude, in order and in one pass whatever the nesting. `bare` says whether strings outside a taken member (array elements, entered
/// members) count.
pub fn strings(
    bytes: &[u8],
    range: Range<usize>,
    bare: bool,
    visit: impl Fn(&str, usize) -> Visit,
    mut found: impl FnMut(Range<usize>),
) {
    let mut at = range.start;
    while at < range.end {
        if bytes.get(at) != Some(&b'"') {
            at += 1;
            continue;
        }
        let Some(literal) = json::value(bytes, at) else { return };
        at = literal.end;
        let Some(start) = member_start(bytes, at) else {
            if bare {
                found(literal);
            }
            continue;
        };
        let key = json::string(bytes, literal).unwrap_or_default();
        let visit = visit(&key, start);
        at = start;
        // A value's end is only looked for where it is then jumped to: every byte is read once.
        if visit == Visit::Skip || (visit == Visit::Take && bytes.get(start) == Some(&b'"')) {
            let Some(value) = json::value(bytes, start) else { return };
            at = value.end;
            if visit == Visit::Take {
                found(value);
            }
        }
    }
}

/// Where the value starts whose member's colon follows `at`; `None` where no colon does.
fn member_start(bytes: &[u8], at: usize) -> Option<usize> {
    let colon = walk::blank(bytes, at);
    (bytes.get(colon) == Some(&b':')).then(|| walk::blank(bytes, colon + 1))
}
