//! Every text of a request or reply, read in one copy.

use crate::types::{Kind, Role};

#[cfg(target_family = "wasm")]
pub(crate) type Mark = crate::bindings::text::Piece;

/// What a piece is, without its text.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) role: Role,
    pub(crate) kind: Kind,
    pub(crate) choice: u32,
}

/// Stands between two texts in [`Texts::joined`]; never inside one.
pub const SEPARATOR: char = '\u{1E}';

/// All pieces of a request or reply, in order.
#[derive(Clone, Debug, Default)]
pub struct Texts {
    joined: String,
    marks: Vec<Mark>,
}

/// One text in a request or reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece<'a> {
    /// Names the piece for `set_text` and `tool_name`.
    pub index: u32,
    /// Who speaks.
    pub role: Role,
    /// What kind of text.
    pub kind: Kind,
    /// Which alternative answer; 0 in a request.
    pub choice: u32,
    /// The text; for tool arguments this is JSON source.
    pub text: &'a str,
}

impl Texts {
    pub(crate) fn new(joined: String, marks: Vec<Mark>) -> Self {
        Texts { joined, marks }
    }

    /// All texts with U+001E between them: one search finds whether there is anything to look at. A needle without U+001E cannot match
    /// across two pieces.
    pub fn joined(&self) -> &str {
        &self.joined
    }

    /// How many pieces.
    pub fn len(&self) -> usize {
        self.marks.len()
    }

    /// Whether there is no piece at all.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Whether any piece is of this kind.
    pub fn has(&self, kind: Kind) -> bool {
        #[allow(clippy::useless_conversion)]
        self.marks.iter().any(|mark| Kind::from(mark.kind) == kind)
    }

    /// The pieces in order.
    pub fn iter(&self) -> Iter<'_> {
        Iter { marks: self.marks.iter(), rest: Some(&self.joined), index: 0 }
    }
}

impl<'a> IntoIterator for &'a Texts {
    type Item = Piece<'a>;
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

/// Iterates over the pieces of [`Texts`].
#[derive(Clone, Debug)]
pub struct Iter<'a> {
    marks: std::slice::Iter<'a, Mark>,
    rest: Option<&'a str>,
    index: u32,
}

impl<'a> Iterator for Iter<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let mark = self.marks.next()?;
        let rest = self.rest?;
        // The separator is one byte, so both sides are whole characters.
        let end = memchr::memchr(SEPARATOR as u8, rest.as_bytes());
        let text = match end.and_then(|end| Some((rest.get(..end)?, rest.get(end + 1..)?))) {
            Some((text, rest)) => {
                self.rest = Some(rest);
                text
            }
            None => {
                self.rest = None;
                rest
            }
        };
        let index = self.index;
        self.index += 1;
        #[allow(clippy::useless_conversion)]
        let (role, kind) = (mark.role.into(), mark.kind.into());
        Some(Piece { index, role, kind, choice: mark.choice, text })
    }
}
