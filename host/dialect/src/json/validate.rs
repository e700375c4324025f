//! The whole grammar, checked once, so that everything else may trust it.
//!
//! What is `inline(always)` here runs for every string; left to itself the compiler calls it, which costs a small request a fifth more.

use super::scan::{literal_end, skip_space};
use super::text::hex4;
use super::{MAX_DEPTH, Member, SyntaxError};

const EARLY_END: &str = "the document ends too early";
const WORDS: usize = MAX_DEPTH / 64;

/// Checks that `bytes` are exactly one JSON document (RFC 8259) in UTF-8, not nested deeper than [`MAX_DEPTH`].
///
/// Escaped lone surrogates are within the grammar and pass. A byte order mark does not.
///
/// # Errors
/// The first place where the document departs from the grammar; text that is not UTF-8 is reported before anything else.
pub fn validate(bytes: &[u8]) -> Result<(), SyntaxError> {
    validate_members(bytes, |_| {})
}

/// [`validate`] for who needs the outermost object's members too, at the cost of one pass instead of two.
///
/// Each member is shown once its value has passed, in order; none where the document is no object. Where the document turns out to be
/// malformed, what was shown counts for nothing.
///
/// # Errors
/// As [`validate`].
pub fn validate_members(bytes: &[u8], found: impl FnMut(Member)) -> Result<(), SyntaxError> {
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(located(bytes, error.valid_up_to(), "text that is not UTF-8"));
    }
    let nest = Nest { objects: [0; WORDS], depth: 0 };
    let mut check = Check { bytes, nest, member: Member { key: 0..0, value: 0..0 }, found };
    check.document().map_err(|(offset, what)| located(bytes, offset, what))
}

type Fault = (usize, &'static str);

/// The brackets that are open: one bit a level, set for an object. A fixed size is what keeps depth from costing memory.
struct Nest {
    objects: [u64; WORDS],
    depth: usize,
}

impl Nest {
    fn open(&mut self, object: bool, at: usize) -> Result<(), Fault> {
        let (word, bit) = (self.depth / 64, 1_u64 << (self.depth % 64));
        let Some(word) = self.objects.get_mut(word) else { return Err((at, "nesting deeper than 256 levels")) };
        *word = if object { *word | bit } else { *word & !bit };
        self.depth += 1;
        Ok(())
    }

    fn close(&mut self) {
        self.depth = self.depth.saturating_sub(1);
    }

    /// Whether the innermost open bracket is an object's; `None` outside of all.
    fn in_object(&self) -> Option<bool> {
        let level = self.depth.checked_sub(1)?;
        self.objects.get(level / 64).map(|word| (word >> (level % 64)) & 1 == 1)
    }
}

struct Check<'a, F> {
    bytes: &'a [u8],
    nest: Nest,
    /// The member of the outermost object that is being read; its end is not known yet.
    member: Member,
    found: F,
}

impl<F: FnMut(Member)> Check<'_, F> {
    fn document(&mut self) -> Result<(), Fault> {
        let mut at = skip_space(self.bytes, 0);
        loop {
            let end = match self.bytes.get(at) {
                Some(&open @ (b'{' | b'[')) => {
                    let (object, close) = if open == b'{' { (true, b'}') } else { (false, b']') };
                    self.nest.open(object, at)?;
                    let inside = skip_space(self.bytes, at + 1);
                    if self.bytes.get(inside) != Some(&close) {
                        at = if object { self.key(inside)? } else { inside };
                        continue;
                    }
                    self.nest.close();
                    inside + 1
                }
                _ => scalar(self.bytes, at)?,
            };
            match self.behind_value(end)? {
                Some(next) => at = next,
                None => return Ok(()),
            }
        }
    }

    /// Closes what closes behind a value that ends at `at`; returns the start of the next value, or `None` at the end of the document.
    #[inline(always)]
    fn behind_value(&mut self, mut at: usize) -> Result<Option<usize>, Fault> {
        loop {
            let within = self.nest.in_object();
            if self.nest.depth == 1 && within == Some(true) {
                self.member.value.end = at;
                (self.found)(self.member.clone());
            }
            at = skip_space(self.bytes, at);
            match (within, self.bytes.get(at)) {
                (None, None) => return Ok(None),
                (None, Some(_)) => return Err((at, "text after the end of the document")),
                (Some(_), None) => return Err((at, EARLY_END)),
                (Some(true), Some(b',')) => return self.key(skip_space(self.bytes, at + 1)).map(Some),
                (Some(false), Some(b',')) => return Ok(Some(skip_space(self.bytes, at + 1))),
                (Some(true), Some(b'}')) | (Some(false), Some(b']')) => {
                    self.nest.close();
                    at += 1;
                }
                (Some(true), Some(_)) => return Err((at, "expected `,` or `}`")),
                (Some(false), Some(_)) => return Err((at, "expected `,` or `]`")),
            }
        }
    }

    /// Checks a key and its colon; returns the start of the value.
    #[inline(always)]
    fn key(&mut self, at: usize) -> Result<usize, Fault> {
        let (end, start) = key(self.bytes, at)?;
        if self.nest.depth == 1 {
            self.member = Member { key: at..end, value: start..start };
        }
        Ok(start)
    }
}

/// The end of a key and the start of its value.
#[inline(always)]
fn key(bytes: &[u8], at: usize) -> Result<(usize, usize), Fault> {
    match bytes.get(at) {
        Some(b'"') => {}
        Some(_) => return Err((at, "expected a member name in double quotes")),
        None => return Err((at, EARLY_END)),
    }
    let end = string(bytes, at + 1)?;
    let colon = skip_space(bytes, end);
    match bytes.get(colon) {
        Some(b':') => Ok((end, skip_space(bytes, colon + 1))),
        Some(_) => Err((colon, "expected `:`")),
        None => Err((colon, EARLY_END)),
    }
}

#[inline(always)]
fn scalar(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match bytes.get(at) {
        Some(b'"') => string(bytes, at + 1),
        Some(b'-' | b'0'..=b'9') => number(bytes, at),
        Some(b't') => word(bytes, at, b"true"),
        Some(b'f') => word(bytes, at, b"false"),
        Some(b'n') => word(bytes, at, b"null"),
        Some(_) => Err((at, "expected a value")),
        None => Err((at, EARLY_END)),
    }
}

fn word(bytes: &[u8], at: usize, word: &'static [u8]) -> Result<usize, Fault> {
    for (offset, expected) in word.iter().enumerate() {
        match bytes.get(at + offset) {
            Some(byte) if byte == expected => {}
            Some(_) => return Err((at, "expected a value")),
            None => return Err((at + offset, EARLY_END)),
        }
    }
    Ok(at + word.len())
}

/// Checks a string from behind its opening quote; returns the place behind the closing one.
#[inline(always)]
fn string(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let mut at = at;
    loop {
        at = literal_end(bytes, at);
        match bytes.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = escape(bytes, at)?,
            Some(_) => return Err((at, "a control character inside a string (write it as an escape)")),
            None => return Err((at, EARLY_END)),
        }
    }
}

fn escape(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') if hex4(bytes, at + 2).is_some() => Ok(at + 6),
        Some(_) => Err((at, "an unknown escape inside a string")),
        None => Err((at + 1, EARLY_END)),
    }
}

fn number(bytes: &[u8], start: usize) -> Result<usize, Fault> {
    let mut at = start + usize::from(bytes.get(start) == Some(&b'-'));
    at = match bytes.get(at) {
        Some(b'0') => at + 1,
        _ => digits(bytes, at)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(bytes, at + 1)?;
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        at += 1 + usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = digits(bytes, at)?;
    }
    Ok(at)
}

fn digits(bytes: &[u8], at: usize) -> Result<usize, Fault> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len()) {
        0 if rest.is_empty() => Err((at, EARLY_END)),
        0 => Err((at, "expected a digit")),
        count => Ok(at + count),
    }
}

/// Only an error pays for counting lines. Bytes that continue a character do not count as columns.
fn located(bytes: &[u8], offset: usize, what: &'static str) -> SyntaxError {
    let before = bytes.get(..offset).unwrap_or(bytes);
    let line = 1 + memchr::memchr_iter(b'\n', before).count();
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
    let in_line = before.get(line_start..).unwrap_or_default();
    let column = 1 + in_line.iter().filter(|byte| **byte & 0xc0 != 0x80).count();
    SyntaxError { offset, line, column, what }
}
