//! Putting edits into a body: everything between them keeps its bytes.

use bytes::Bytes;
use std::ops::Range;

/// The body with each range replaced by its text. An empty range inserts; insertions at one place follow the order given.
///
/// Ranges must be sorted and must not overlap. Where they do overlap, everything they cover is still removed and every text still stands,
/// so that a mistake never lets replaced text through. A range that reaches past the end is cut there.
pub fn splice(body: &[u8], edits: &[(Range<usize>, &[u8])]) -> Bytes {
    debug_assert!(edits.is_sorted_by(|(before, _), (after, _)| before.end <= after.start));
    let added: usize = edits.iter().map(|(_, text)| text.len()).sum();
    let removed: usize = edits.iter().map(|(range, _)| range.len()).sum();
    let mut out = Vec::with_capacity((body.len() + added).saturating_sub(removed));
    let mut at = 0;
    for (range, text) in edits {
        out.extend_from_slice(body.get(at..range.start.min(body.len())).unwrap_or_default());
        out.extend_from_slice(text);
        at = at.max(range.end).min(body.len());
    }
    out.extend_from_slice(body.get(at..).unwrap_or_default());
    Bytes::from(out)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn spliced(body: &str, edits: &[(Range<usize>, &str)]) -> String {
        let edits: Vec<_> = edits.iter().map(|(range, text)| (range.clone(), text.as_bytes())).collect();
        String::from_utf8(splice(body.as_bytes(), &edits).to_vec()).unwrap()
    }

    #[test]
    fn replaces_inserts_and_removes() {
        assert_eq!(spliced("abcdef", &[]), "abcdef");
        assert_eq!(spliced("abcdef", &[(0..0, ">"), (1..3, "X"), (3..3, "Y"), (5..6, "")]), ">aXYde");
        assert_eq!(spliced("abcdef", &[(2..2, "1"), (2..2, "2"), (2..4, "3"), (6..6, "<")]), "ab123ef<");
        assert_eq!(spliced("", &[(0..0, "x")]), "x");
        assert_eq!(spliced("abc", &[(1..9, "x"), (9..12, "y")]), "axy");
    }
}
