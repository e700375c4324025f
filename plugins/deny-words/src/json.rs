//! Tool arguments: JSON source read as the characters that it means, each with the bytes that it came from.
//!
//! Lenient, because what models write is often not quite JSON: everything outside strings that is neither white space nor punctuation is
//! a token of its own. It never fails, and checks nothing.

use crate::carry::Source;
use crate::fold::BREAK;
use std::ops::Range;

/// A number or name longer than this is not held back for its end.
const MAX_TOKEN: usize = 64;

/// One character as it is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Char {
    pub(crate) value: char,
    pub(crate) from: Range<usize>,
}

/// The characters of plain text.
pub(crate) fn plain(text: &str) -> impl Iterator<Item = Char> {
    text.char_indices().map(|(at, value)| Char { value, from: at..at + value.len_utf8() })
}

/// A source, read.
#[derive(Debug, Default)]
pub(crate) struct Read {
    pub(crate) characters: Vec<Char>,
    /// Numbers and names outside strings: masked whole, or what is left would be no value.
    pub(crate) tokens: Vec<Range<usize>>,
    /// Where what cannot be read yet begins: half an escape, or a token that may go on. The end of the text where there is none.
    pub(crate) ready: usize,
    /// By position: from there on inside a string or not. In order.
    turns: Vec<(usize, Source)>,
    before: Source,
}

impl Read {
    /// How the source stands before this byte.
    pub(crate) fn source_at(&self, at: usize) -> Source {
        let next = self.turns.partition_point(|(from, _)| *from <= at);
        next.checked_sub(1).and_then(|turn| self.turns.get(turn)).map_or(self.before, |(_, source)| *source)
    }
}

/// Whether this is JSON at all; told by its first character.
pub(crate) fn kind_of(text: &str, known: Source) -> Source {
    match known {
        Source::Unknown => match text.trim_start().chars().next() {
            None => Source::Unknown,
            Some('{' | '[' | '"') => Source::Json,
            Some(_) => Source::Plain,
        },
        known => known,
    }
}

/// Reads JSON source; `source` says how it stands at its beginning, `last` that nothing follows.
pub(crate) fn read(text: &str, source: Source, last: bool) -> Read {
    let mut read = Read { before: source, ready: text.len(), ..Read::default() };
    let mut inside = source == Source::InString;
    let mut at = 0;
    while let Some(c) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let end = at + c.len_utf8();
        match c {
            '"' => {
                inside = !inside;
                read.turns.push((end, if inside { Source::InString } else { Source::Json }));
                read.characters.push(Char { value: BREAK, from: at..end });
                at = end;
            }
            '\\' if inside => match escape(text, at) {
                Some((value, end)) => {
                    read.characters.push(Char { value, from: at..end });
                    at = end;
                }
                None if last => {
                    read.characters.push(Char { value: '\\', from: at..end });
                    at = end;
                }
                None => {
                    read.ready = at;
                    return read;
                }
            },
            _ if inside => {
                read.characters.push(Char { value: c, from: at..end });
                at = end;
            }
            '{' | '}' | '[' | ']' | ':' | ',' => {
                read.characters.push(Char { value: BREAK, from: at..end });
                at = end;
            }
            _ if c.is_ascii_whitespace() => at = end,
            _ => {
                let stop = |c: char| c.is_ascii_whitespace() || "{}[]:,\"".contains(c);
                let end = text.get(at..).and_then(|rest| rest.find(stop)).map_or(text.len(), |length| at + length);
                if end == text.len() && !last && end - at < MAX_TOKEN {
                    read.ready = at;
                    return read;
                }
                let token = text.get(at..end).unwrap_or_default();
                read.characters.push(Char { value: BREAK, from: at..at });
                read.characters.extend(plain(token).map(|c| Char { from: c.from.start + at..c.from.end + at, ..c }));
                read.characters.push(Char { value: BREAK, from: end..end });
                read.tokens.push(at..end);
                at = end;
            }
        }
    }
    read
}

/// What the escape at `at` means, and where it ends; `None` where the text ends inside it.
fn escape(text: &str, at: usize) -> Option<(char, usize)> {
    let kind = text.get(at + 1..)?.chars().next()?;
    let end = at + 1 + kind.len_utf8();
    let value = match kind {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'b' => '\u{8}',
        'f' => '\u{C}',
        'u' => return unicode(text, at),
        other => other,
    };
    Some((value, end))
}

fn unicode(text: &str, at: usize) -> Option<(char, usize)> {
    let end = at + 6;
    let Some(high) = hex(text, at + 2)? else { return Some(('\u{FFFD}', at + 2)) };
    if let Some(value) = char::from_u32(high) {
        return Some((value, end));
    }
    let lone = Some(('\u{FFFD}', end));
    if high >= 0xDC00 {
        return lone;
    }
    match text.as_bytes().get(end..end + 2) {
        Some(b"\\u") => {}
        Some(_) => return lone,
        None if text.len() == end || text.as_bytes().get(end) == Some(&b'\\') => return None,
        None => return lone,
    }
    let Some(low) = hex(text, end + 2)? else { return lone };
    if !(0xDC00..0xE000).contains(&low) {
        return lone;
    }
    let value = char::from_u32(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00));
    Some((value.unwrap_or('\u{FFFD}'), end + 6))
}

/// Four hexadecimal digits: `None` where the text ends before they are complete, `Some(None)` where they are none.
fn hex(text: &str, at: usize) -> Option<Option<u32>> {
    let mut value = 0;
    for offset in 0..4 {
        let digit = char::from(*text.as_bytes().get(at + offset)?);
        let Some(digit) = digit.to_digit(16) else { return Some(None) };
        value = value * 16 + digit;
    }
    Some(Some(value))
}

/// The text as it may stand inside a JSON string.
pub(crate) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out
}
