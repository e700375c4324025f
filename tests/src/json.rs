//! Finds members of a JSON object by byte range, so that tests can say which bytes of a body may differ.
//!
//! For valid documents only: the recorded cases and what tests write. It shares no code with the gateway, whose scanner it helps to judge.

use std::ops::Range;

/// The value ranges of a top-level object's members, in order.
pub fn members(bytes: &[u8]) -> Vec<(String, Range<usize>)> {
    let mut out = Vec::new();
    let mut at = space(bytes, 0);
    assert_eq!(bytes.get(at), Some(&b'{'), "not an object: {}", String::from_utf8_lossy(bytes));
    at = space(bytes, at + 1);
    while bytes[at] != b'}' {
        let key = value(bytes, at);
        let name = serde_json::from_slice(&bytes[key.clone()]).expect("a key");
        at = space(bytes, key.end);
        let found = value(bytes, space(bytes, at + 1));
        at = space(bytes, found.end);
        out.push((name, found));
        if bytes[at] == b',' {
            at = space(bytes, at + 1);
        }
    }
    out
}

/// The range of the top-level member `name`.
pub fn member(bytes: &[u8], name: &str) -> Option<Range<usize>> {
    members(bytes).into_iter().find(|(key, _)| key == name).map(|(_, range)| range)
}

/// `bytes` with `range` replaced.
pub fn splice(bytes: &[u8], range: Range<usize>, with: &[u8]) -> Vec<u8> {
    [&bytes[..range.start], with, &bytes[range.end..]].concat()
}

fn space(bytes: &[u8], at: usize) -> usize {
    at + bytes[at..].iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

fn value(bytes: &[u8], from: usize) -> Range<usize> {
    let mut depth = 0usize;
    let mut at = from;
    loop {
        match bytes[at] {
            b'"' => at = string_end(bytes, at),
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' => {
                depth -= 1;
                at += 1;
            }
            _ => at += 1,
        }
        let ended = at >= bytes.len() || bytes[from] == b'"' || matches!(bytes[at], b',' | b'}' | b']' | b':');
        let scalar = !matches!(bytes[from], b'"' | b'{' | b'[');
        if depth == 0 && (!scalar || ended || bytes[at].is_ascii_whitespace()) {
            return from..at;
        }
    }
}

fn string_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from + 1;
    while bytes[at] != b'"' {
        at += if bytes[at] == b'\\' { 2 } else { 1 };
    }
    at + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_exact() {
        let text = br#" { "a" : 1.50 , "b\"c":{"model":"x,}"} ,"d":[1,[2]],"e":null,"f":"\\" } "#;
        let found: Vec<(String, &str)> =
            members(text).into_iter().map(|(key, range)| (key, std::str::from_utf8(&text[range]).unwrap())).collect();
        let want = [("a", "1.50"), ("b\"c", r#"{"model":"x,}"}"#), ("d", "[1,[2]]"), ("e", "null"), ("f", r#""\\""#)];
        assert_eq!(found, want.map(|(key, value)| (key.to_owned(), value)));
        assert!(members(b"{}").is_empty());
    }
}
