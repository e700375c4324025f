//! A document as a tree, read generously: for translation, which looks at everything anyway.

use std::borrow::Cow;

use serde_json::Value;

/// The document; `None` where it is not JSON or is nested deeper than serde_json reads. A lone surrogate, which some clients send for half
/// an emoji, becomes the replacement character.
pub(crate) fn tree(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice(bytes).ok().or_else(|| serde_json::from_slice(&mended(bytes)?).ok())
}

/// The source of a JSON object as it may stand in a document of ours: lone surrogates become the replacement character, every other byte
/// stays. `None` for anything but an object.
pub(crate) fn object_source(source: &str) -> Option<Cow<'_, [u8]>> {
    let source = source.trim_ascii();
    let object = source.starts_with('{') && super::validate(source.as_bytes()).is_ok();
    object.then(|| mended(source.as_bytes()).map_or(Cow::Borrowed(source.as_bytes()), Cow::Owned))
}

/// The document with every escape of half a surrogate pair replaced; `None` without one.
fn mended(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let (mut at, mut copied) = (0, 0);
    while let Some(found) = memchr::memchr(b'\\', bytes.get(at..)?) {
        at += found;
        match unit(bytes, at) {
            Some(0xd800..=0xdbff) if matches!(unit(bytes, at + 6), Some(0xdc00..=0xdfff)) => at += 12,
            Some(0xd800..=0xdfff) => {
                out.extend_from_slice(bytes.get(copied..at)?);
                out.extend_from_slice(b"\\ufffd");
                at += 6;
                copied = at;
            }
            Some(_) => at += 6,
            None => at += 2,
        }
    }
    if copied == 0 {
        return None;
    }
    out.extend_from_slice(bytes.get(copied..)?);
    Some(out)
}

/// The code unit of a `\u` escape at `at`.
fn unit(bytes: &[u8], at: usize) -> Option<u16> {
    let digits = bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn lone_surrogates_become_replacement_characters() {
        for (json, text) in [
            (r#""a\ud83dz""#, "a\u{fffd}z"),
            (r#""\ude00""#, "\u{fffd}"),
            (r#""\ud83d\ud83d\ude00\\ud83d""#, "\u{fffd}😀\\ud83d"),
            (r#""\ud83d\n""#, "\u{fffd}\n"),
            (r#""plain \ud83d\ude00""#, "plain 😀"),
        ] {
            assert_eq!(tree(json.as_bytes()), Some(Value::from(text)), "{json}");
        }
        for json in [&br#""\ud8"#[..], br#""\"#, b"", b"{", br#""\ud83d"#] {
            assert_eq!(tree(json), None);
        }
    }
}
