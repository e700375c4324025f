//! Text as it is compared: one spelling for what a reader takes for the same, with a map back to the bytes it came from.
//!
//! Characters are taken in clusters (a base and the marks on it, the letters of one Hangul syllable); a cluster is decomposed (NFKD) and
//! its case folded; characters that nobody sees are left out. It does not undo look-alikes of other scripts or letters replaced by digits.

use crate::json;
use std::borrow::Cow;
use std::ops::Range;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::{decompose_compatible, is_combining_mark};

/// Stands where tool arguments go from one JSON token to the next: no word reaches across.
pub(crate) const BREAK: char = '\u{1E}';

/// A cluster: where it begins in the folded text, and the bytes of the original that it came from.
#[derive(Clone, Debug)]
struct Unit {
    at: usize,
    from: Range<usize>,
}

#[derive(Clone, Debug)]
pub(crate) struct Folded<'a> {
    /// Begins with the character before the text, if one was given.
    pub(crate) text: Cow<'a, str>,
    /// Where the text itself begins.
    pub(crate) start: usize,
    /// None where the folded text is the original, byte for byte.
    units: Option<Vec<Unit>>,
}

impl<'a> Folded<'a> {
    /// For text of ASCII only, which needs no folding: the search itself knows both cases of its letters.
    pub(crate) fn as_it_is(text: &'a str) -> Self {
        Folded { text: Cow::Borrowed(text), start: 0, units: None }
    }

    pub(crate) fn new(characters: impl Iterator<Item = json::Char>, before: [Option<char>; 2], form: Form) -> Self {
        let mut folder = Folder { text: String::new(), units: Vec::new(), cluster: String::new(), from: 0..0, form };
        folder.text.extend(before.into_iter().flatten());
        let start = folder.text.len();
        for character in characters {
            folder.push(character);
        }
        folder.flush();
        Folded { text: Cow::Owned(folder.text), start, units: Some(folder.units) }
    }

    /// The bytes of the original from which this range of the folded text came, whole clusters; `None` for an empty range.
    pub(crate) fn original(&self, range: &Range<usize>) -> Option<Range<usize>> {
        let Some(units) = &self.units else { return Some(range.clone()) };
        let first = units.partition_point(|unit| unit.at <= range.start).checked_sub(1)?;
        let last = units.partition_point(|unit| unit.at < range.end).checked_sub(1)?;
        Some(units.get(first)?.from.start..units.get(last)?.from.end)
    }

    /// The last cluster: where it is in the folded text, and where it begins in the original.
    pub(crate) fn last_cluster(&self) -> Option<(usize, usize)> {
        match &self.units {
            Some(units) => units.last().map(|unit| (unit.at, unit.from.start)),
            None => self.text.len().checked_sub(1).map(|at| (at, at)),
        }
    }

    /// Whether the clusters before this byte of the folded text are complete: another has begun.
    pub(crate) fn is_over(&self, at: usize) -> bool {
        self.last_cluster().is_some_and(|(last, _)| at <= last)
    }

    /// What stands last before this byte of the original: see `Carry::before`.
    pub(crate) fn before(&self, original: usize) -> [Option<char>; 2] {
        let end = match &self.units {
            None => original,
            Some(units) => {
                let next = units.partition_point(|unit| unit.from.end <= original);
                units.get(next).map_or(self.text.len(), |unit| unit.at)
            }
        };
        let mut characters = self.text.get(..end).unwrap_or_default().chars().rev();
        match characters.next() {
            Some(mark) if extends(mark) => [characters.find(|c| !extends(*c)), Some(mark)],
            last => [last, None],
        }
    }

    /// How many clusters of the original these bytes are.
    pub(crate) fn clusters(&self, original: &Range<usize>) -> usize {
        match &self.units {
            None => original.len(),
            Some(units) => {
                let first = units.partition_point(|unit| unit.from.end <= original.start);
                let last = units.partition_point(|unit| unit.from.start < original.end);
                last.saturating_sub(first).max(1)
            }
        }
    }
}

/// How text is spelled for comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Form {
    pub(crate) any_case: bool,
    /// Letters and their marks in one character where there is one: what a pattern takes for one character.
    pub(crate) composed: bool,
}

struct Folder {
    text: String,
    units: Vec<Unit>,
    cluster: String,
    from: Range<usize>,
    form: Form,
}

impl Folder {
    fn push(&mut self, character: json::Char) {
        let c = character.value;
        if is_invisible(c) {
            return;
        }
        if extends(c) && !self.cluster.is_empty() {
            self.cluster.push(c);
            self.from.end = character.from.end;
            return;
        }
        self.flush();
        self.cluster.push(c);
        self.from = character.from;
    }

    fn flush(&mut self) {
        let Some(first) = self.cluster.chars().next() else { return };
        let at = self.text.len();
        if first.len_utf8() != self.cluster.len() || !self.single(first) {
            self.several();
        }
        if self.text.len() > at {
            self.units.push(Unit { at, from: self.from.clone() });
        }
        self.cluster.clear();
    }

    /// A cluster of one character, the usual case, without an allocation; false where it is not that simple.
    fn single(&mut self, c: char) -> bool {
        match c {
            '\0'..='\x7F' if self.form.any_case => self.text.push(c.to_ascii_lowercase()),
            '\0'..='\x7F' | '\u{4E00}'..='\u{9FFF}' => self.text.push(c),
            '가'..='힣' if self.form.composed => self.text.push(c),
            '가'..='힣' => decompose_compatible(c, |part| self.text.push(part)),
            _ if self.form.composed => return false,
            _ => {
                let mut parts = ['\0'; 2];
                let mut count = 0;
                decompose_compatible(c, |part| {
                    if let Some(slot) = parts.get_mut(count) {
                        *slot = part;
                    }
                    count += 1;
                });
                let Some(parts) = parts.get(..count) else { return false };
                for part in parts {
                    self.letter(*part);
                }
            }
        }
        true
    }

    fn letter(&mut self, c: char) {
        let text = &mut self.text;
        let mut push = |part: char| {
            if !is_invisible(part) {
                text.push(part);
            }
        };
        if self.form.any_case {
            for lower in c.to_uppercase().flat_map(char::to_lowercase) {
                decompose_compatible(lower, &mut push);
            }
        } else {
            push(c);
        }
    }

    fn several(&mut self) {
        let mut spelled: String = self.cluster.nfkd().collect();
        if self.form.any_case {
            // By way of the upper case, so that ß and ẞ meet ss, and ς meets σ; decomposed again because a change of case composes.
            spelled = spelled.chars().flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkd().collect();
        }
        spelled.retain(|c| !is_invisible(c));
        if self.form.composed {
            self.text.extend(spelled.nfc());
        } else {
            self.text.push_str(&spelled);
        }
    }
}

/// A word, or part of a pattern, as it is searched for.
pub(crate) fn spelled(text: &str, form: Form) -> String {
    Folded::new(json::plain(text), [None; 2], form).text.into_owned()
}

/// Whether there are marks, whose order a mark that follows can change.
pub(crate) fn has_marks(folded: &str) -> bool {
    !folded.is_ascii() && folded.chars().any(is_combining_mark)
}

/// Joins the cluster before it: marks, vowels and finals of a Hangul syllable in letters, half-width voicing marks.
pub(crate) fn extends(c: char) -> bool {
    match c {
        '\0'..='\u{2FF}' | '\u{4E00}'..='\u{9FFF}' | '가'..='힣' => false,
        '\u{1160}'..='\u{11FF}' | '\u{D7B0}'..='\u{D7FF}' | '\u{FF9E}' | '\u{FF9F}' => true,
        _ => is_combining_mark(c),
    }
}

/// What Unicode lets a reader ignore: joiners, direction marks, variation selectors, fillers, tags, the soft hyphen.
fn is_invisible(c: char) -> bool {
    c > '\x7F'
        && matches!(c,
            '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
            | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{1D173}'..='\u{1D17A}'
            | '\u{E0000}'..='\u{E0FFF}')
}

/// Whether a word that begins or ends with this character can be told from a longer one by what stands beside it: letters and digits of
/// scripts that part words by spaces, and put no endings directly after foreign words.
pub(crate) fn is_word(c: char) -> bool {
    (c.is_alphanumeric() || c == '_')
        && !matches!(c,
            '\u{0E00}'..='\u{0EFF}' | '\u{1000}'..='\u{109F}' | '\u{1100}'..='\u{11FF}' | '\u{1780}'..='\u{17FF}'
            | '\u{2E80}'..='\u{A4CF}' | '\u{A960}'..='\u{A97F}' | '\u{AC00}'..='\u{D7FF}' | '\u{F900}'..='\u{FAFF}'
            | '\u{FF66}'..='\u{FFDC}' | '\u{1B000}'..='\u{1B16F}' | '\u{20000}'..='\u{3FFFF}')
}
