//! Strings: decoding literals, writing them, and the tokens of a pointer.

use std::borrow::Cow;
use std::ops::Range;

use super::scan::{literal_end, plain_end};

/// The text of a string literal (with its quotes); borrowed where it has no escape. A lone surrogate becomes U+FFFD.
///
/// `None` where the range is not exactly one string literal.
pub fn string(bytes: &[u8], literal: Range<usize>) -> Option<Cow<'_, str>> {
    let inner = inner(bytes, &literal)?;
    if literal_end(inner, 0) == inner.len() {
        return std::str::from_utf8(inner).ok().map(Cow::Borrowed);
    }
    let mut text = String::with_capacity(inner.len());
    decode(inner, &mut text).map(|()| Cow::Owned(text))
}

/// Like [`string`], appended to `out`. Where it returns false, `out` is as it was.
pub fn append_string(bytes: &[u8], literal: Range<usize>, out: &mut String) -> bool {
    let before = out.len();
    let done = inner(bytes, &literal).and_then(|inner| decode(inner, out)).is_some();
    if !done {
        out.truncate(before);
    }
    done
}

/// Appends `text` as a string literal with its quotes. Only what must be escaped is: quote, backslash and control characters.
pub fn quote(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut at = 0;
    loop {
        let stop = plain_end(bytes, at);
        out.extend_from_slice(bytes.get(at..stop).unwrap_or_default());
        let Some(&byte) = bytes.get(stop) else { break };
        escape(byte, out);
        at = stop + 1;
    }
    out.push(b'"');
}

fn escape(byte: u8, out: &mut Vec<u8>) {
    let short = match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        b'"' | b'\\' => byte,
        _ => {
            let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).map_or(b'0', |digit| digit as u8);
            out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 0xf)]);
            return;
        }
    };
    out.extend_from_slice(&[b'\\', short]);
}

fn inner<'a>(bytes: &'a [u8], literal: &Range<usize>) -> Option<&'a [u8]> {
    bytes.get(literal.clone())?.strip_prefix(b"\"")?.strip_suffix(b"\"")
}

fn decode(inner: &[u8], out: &mut String) -> Option<()> {
    let mut at = 0;
    loop {
        let stop = literal_end(inner, at);
        out.push_str(std::str::from_utf8(inner.get(at..stop)?).ok()?);
        match inner.get(stop) {
            None => return Some(()),
            Some(b'\\') => at = unescape(inner, stop + 1, out)?,
            Some(_) => return None,
        }
    }
}

/// Decodes the escape whose letter stands at `at`; returns the place behind it.
fn unescape(inner: &[u8], at: usize, out: &mut String) -> Option<usize> {
    let letter = *inner.get(at)?;
    let decoded = match letter {
        b'"' | b'\\' | b'/' => char::from(letter),
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'u' => return unescape_unit(inner, at + 1, out),
        _ => return None,
    };
    out.push(decoded);
    Some(at + 1)
}

/// Decodes the UTF-16 unit whose four digits stand at `at`, with its second half where it is the first of a pair.
fn unescape_unit(inner: &[u8], at: usize, out: &mut String) -> Option<usize> {
    let unit = hex4(inner, at)?;
    let behind = at + 4;
    let low = matches!(unit, 0xd800..=0xdbff)
        .then(|| hex4_escape(inner, behind))
        .flatten()
        .filter(|low| matches!(low, 0xdc00..=0xdfff));
    if let Some(low) = low {
        let scalar = 0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
        out.push(char::from_u32(scalar).unwrap_or(char::REPLACEMENT_CHARACTER));
        return Some(behind + 6);
    }
    out.push(char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER));
    Some(behind)
}

fn hex4_escape(inner: &[u8], at: usize) -> Option<u32> {
    (inner.get(at..at + 2)? == b"\\u").then(|| hex4(inner, at + 2)).flatten()
}

pub(super) fn hex4(bytes: &[u8], at: usize) -> Option<u32> {
    let digits = bytes.get(at..)?.first_chunk::<4>()?;
    digits.iter().try_fold(0, |unit, &digit| Some(unit << 4 | char::from(digit).to_digit(16)?))
}

/// One reference token of a pointer, its `~` escapes decoded; `None` for any escape but `~0` and `~1`.
pub(super) fn pointer_token(token: &str) -> Option<Cow<'_, str>> {
    if !token.contains('~') {
        return Some(Cow::Borrowed(token));
    }
    let mut decoded = String::with_capacity(token.len());
    let mut chars = token.chars();
    while let Some(next) = chars.next() {
        decoded.push(match next {
            '~' => match chars.next()? {
                '0' => '~',
                '1' => '/',
                _ => return None,
            },
            other => other,
        });
    }
    Some(Cow::Owned(decoded))
}

/// A member's name, decoded; only one with a backslash has to be.
pub(crate) fn name<'a>(bytes: &'a [u8], key: &Range<usize>) -> Cow<'a, [u8]> {
    let raw = bytes.get(key.start + 1..key.end.saturating_sub(1)).unwrap_or_default();
    if !raw.contains(&b'\\') {
        return Cow::Borrowed(raw);
    }
    Cow::Owned(string(bytes, key.clone()).map_or(Vec::new(), |key| key.into_owned().into_bytes()))
}
