//! Searching text for many words at once, fast, and knowing what a stream has to hold back.
//!
//! All words are looked for in one pass. ASCII letters can match in either case; nothing else is folded or normalised here, and words
//! match anywhere, also inside longer words. A policy that needs more prepares its text first.

mod automaton;
mod filter;

use crate::types::{DeltaVerdict, Fault, Window};
use automaton::{Automaton, Cursor};
use filter::Filter;
use std::ops::Range;

/// What a vain candidate costs beside its steps, in steps of the automaton.
const PER_CANDIDATE: usize = 8;

/// A set of words to search for.
#[derive(Clone, Debug)]
pub struct Words {
    automaton: Automaton,
    filter: Option<Filter>,
    /// Bytes of the longest word; 0 where there is none.
    longest: usize,
}

/// One place where a word stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Match {
    /// Which word, by its index in the list given.
    pub word: usize,
    /// The bytes of the text that match.
    pub range: Range<usize>,
}

impl Words {
    /// Words that match in any case of ASCII letters.
    ///
    /// # Errors
    /// An empty word, or more words than a table can hold.
    pub fn new<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> Result<Self, Fault> {
        Self::build(words, true)
    }

    /// Words that match only as they are written.
    ///
    /// # Errors
    /// As [`Words::new`].
    pub fn exact<W: AsRef<str>>(words: impl IntoIterator<Item = W>) -> Result<Self, Fault> {
        Self::build(words, false)
    }

    fn build<W: AsRef<str>>(words: impl IntoIterator<Item = W>, any_case: bool) -> Result<Self, Fault> {
        let words: Vec<Box<str>> = words
            .into_iter()
            .map(|word| if any_case { word.as_ref().to_ascii_lowercase().into() } else { word.as_ref().into() })
            .collect();
        if let Some(at) = words.iter().position(|word| word.is_empty()) {
            return Err(Fault::config(format!("words[{at}] is empty: it would match everywhere")));
        }
        let longest = words.iter().map(|word| word.len()).max().unwrap_or(0);
        let filter = Filter::new(&words, any_case);
        Ok(Words { automaton: Automaton::new(&words, any_case)?, filter, longest })
    }

    /// Whether there is nothing to search for.
    pub fn is_empty(&self) -> bool {
        self.longest == 0
    }

    /// Whether any word stands in the text.
    pub fn is_match(&self, text: &str) -> bool {
        let text = text.as_bytes();
        self.first(text).is_some_and(|at| self.automaton.is_match(text, at))
    }

    /// Every place where a word stands, overlapping ones too, by their ends.
    pub fn matches<'a>(&'a self, text: &'a str) -> impl Iterator<Item = Match> + 'a {
        let text = text.as_bytes();
        let mut cursor = self.first(text).map(Cursor::at);
        std::iter::from_fn(move || self.automaton.next(text, cursor.as_mut()?))
    }

    /// A place before which no word begins; `None` where none begins at all.
    fn first(&self, text: &[u8]) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let Some(filter) = &self.filter else { return Some(0) };
        let mut at = 0;
        let mut spent = 0;
        loop {
            at = filter.next(text, at)?;
            let (begins, steps) = self.automaton.begins(text.get(at..).unwrap_or_default());
            spent += steps + PER_CANDIDATE;
            // Many vain candidates would cost more than one pass of the automaton.
            if begins || spent > text.len() {
                return Some(at);
            }
            at += 1;
        }
    }

    /// The bytes that belong to any word, in order; words that overlap make one range.
    pub fn spans(&self, text: &str) -> Vec<Range<usize>> {
        let mut found: Vec<Range<usize>> = self.matches(text).map(|found| found.range).collect();
        merge(&mut found);
        found
    }

    /// How many bytes at the end of the text could be the beginning of a word that is not complete yet.
    pub fn unfinished(&self, text: &str) -> usize {
        let bytes = text.as_bytes();
        let from = bytes.len().saturating_sub(self.longest.saturating_sub(1));
        self.automaton.unfinished(bytes.get(from..).unwrap_or_default())
    }

    /// The text with every word replaced, or `None` where there is none.
    pub fn masked(&self, text: &str, mask: &str) -> Option<String> {
        let spans = self.spans(text);
        if spans.is_empty() { None } else { Some(replace(text, &spans, mask)) }
    }

    /// Masks the words of a streamed window, holding back what could be the beginning of one. The client reads what it would have read
    /// had the text come whole.
    pub fn mask_window(&self, window: &Window, mask: &str) -> DeltaVerdict {
        let text = window.text.as_str();
        let mut hold_from = if window.last { text.len() } else { text.len() - self.unfinished(text) };
        let mut spans = self.spans(text);
        // What overlaps the held part is not decided before that part is.
        while let Some(span) = spans.pop_if(|span| span.end > hold_from) {
            hold_from = hold_from.min(span.start);
        }
        let (ready, held) = text.split_at_checked(hold_from).unwrap_or((text, ""));
        let hold = characters(held);
        if spans.is_empty() {
            DeltaVerdict::Release { hold }
        } else {
            DeltaVerdict::Replace { text: replace(ready, &spans, mask) + held, hold }
        }
    }

    /// The verdict that holds back the beginning of a word and releases the rest, where no word is in the window.
    pub fn hold(&self, window: &Window) -> DeltaVerdict {
        let held = if window.last { 0 } else { self.unfinished(&window.text) };
        let at = window.text.len() - held;
        DeltaVerdict::Release { hold: characters(window.text.get(at..).unwrap_or_default()) }
    }
}

/// Characters as windows count them.
pub fn characters(text: &str) -> u32 {
    u32::try_from(text.chars().count()).unwrap_or(u32::MAX)
}

/// Puts ranges in order and makes one of those that overlap; ranges that only touch stay apart.
pub fn merge(ranges: &mut Vec<Range<usize>>) {
    ranges.sort_unstable_by_key(|range| (range.start, range.end));
    ranges.dedup_by(|next, kept| {
        let overlap = next.start < kept.end;
        if overlap {
            kept.end = kept.end.max(next.end);
        }
        overlap
    });
}

/// The text with each of these ranges, which must be in order, replaced. A range that is not in the text is left out.
pub fn replace(text: &str, ranges: &[Range<usize>], with: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for range in ranges {
        let Some(before) = text.get(at..range.start) else { continue };
        out.push_str(before);
        out.push_str(with);
        at = range.end;
    }
    out.push_str(text.get(at..).unwrap_or_default());
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::single_range_in_vec_init)]
mod tests;
