//! Finding where values end. Trusts the grammar: brackets are counted, not matched, and numbers are not checked.

const ONES: u64 = 0x0101_0101_0101_0101;
const HIGH_BITS: u64 = 0x8080_8080_8080_8080;

/// Wide enough for the compiler to use vector registers.
const BLOCK: usize = 64;

/// Words tried before blocks: most strings of a request (keys, roles, types) end within them.
const SHORT_WORDS: usize = 4;

pub(super) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\n' | b'\r' | b'\t')) {
        at += 1;
    }
    at
}

/// The first quote, backslash or control character at or after `at`, or the end of the input. For text that may hold many of them.
pub(super) fn plain_end(bytes: &[u8], start: usize) -> usize {
    let mut at = match short_end(bytes, start) {
        Ok(end) => return end,
        Err(at) => at,
    };
    while let Some(block) = bytes.get(at..).and_then(|rest| rest.first_chunk::<BLOCK>()) {
        if block.iter().fold(false, |any, &byte| any | is_stop(byte)) {
            break;
        }
        at += BLOCK;
    }
    loop {
        match word_stop(bytes, at) {
            Some(8) => at += 8,
            Some(stop) => return at + stop,
            None => return tail_stop(bytes, at),
        }
    }
}

/// As [`plain_end`], for the inside of a literal, where control characters are rare: an error to whoever checks.
pub(super) fn literal_end(bytes: &[u8], start: usize) -> usize {
    let at = match short_end(bytes, start) {
        Ok(end) => return end,
        Err(at) => at,
    };
    let end = marked_end(bytes, at);
    let inner = bytes.get(at..end).unwrap_or_default();
    // The smallest byte tells whether there is any control character, several bytes at a time.
    if inner.iter().fold(u8::MAX, |least, &byte| least.min(byte)) >= 0x20 {
        return end;
    }
    at + inner.iter().position(|&byte| byte < 0x20).unwrap_or(inner.len())
}

/// The first quote or backslash at or after `at`, or the end of the input: enough where the grammar has been checked.
pub(super) fn marked_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + memchr::memchr2(b'"', b'\\', rest).unwrap_or(rest.len())
}

/// The end, if it is within the first words; else where to go on.
#[inline]
fn short_end(bytes: &[u8], start: usize) -> Result<usize, usize> {
    let mut at = start;
    for _ in 0..SHORT_WORDS {
        match word_stop(bytes, at) {
            Some(8) => at += 8,
            Some(stop) => return Ok(at + stop),
            None => return Ok(tail_stop(bytes, at)),
        }
    }
    Err(at)
}

fn is_stop(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

/// How many of the next eight bytes come before a stop; `None` where fewer than eight are left.
#[inline]
fn word_stop(bytes: &[u8], at: usize) -> Option<usize> {
    let word = u64::from_le_bytes(*bytes.get(at..)?.first_chunk::<8>()?);
    let quote = word ^ (ONES * b'"' as u64);
    let slash = word ^ (ONES * b'\\' as u64);
    // A borrow can mark a byte behind a real stop, never one before it: the lowest mark is exact.
    let marks = (quote.wrapping_sub(ONES) & !quote)
        | (slash.wrapping_sub(ONES) & !slash)
        | (word.wrapping_sub(ONES * 0x20) & !word);
    Some((marks & HIGH_BITS).trailing_zeros() as usize / 8)
}

fn tail_stop(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(|&byte| is_stop(byte)).unwrap_or(rest.len())
}

/// Behind the closing quote of the string literal at `at`; `None` if none begins there or it does not end.
pub(super) fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = at + 1;
    loop {
        at = match short_end(bytes, at) {
            Ok(end) => end,
            Err(at) => marked_end(bytes, at),
        };
        match bytes.get(at)? {
            b'"' => return Some(at + 1),
            b'\\' => at += 2,
            _ => return None,
        }
    }
}

/// Behind the value that begins at `at` (no white space before it).
pub(super) fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    match bytes.get(at)? {
        b'"' => string_end(bytes, at),
        b'{' | b'[' => container_end(bytes, at),
        b'-' | b'0'..=b'9' | b't' | b'f' | b'n' => {
            let rest = bytes.get(at..)?;
            let scalar = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
            Some(at + rest.iter().position(|byte| !scalar(byte)).unwrap_or(rest.len()))
        }
        _ => None,
    }
}

fn container_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => at = string_end(bytes, at)?,
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth = depth.checked_sub(1)?;
                at += 1;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
}
