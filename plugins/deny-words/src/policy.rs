//! What matches, and how much of a text that may go on is decided.
//!
//! The rule that keeps streams equal to whole texts: a match is decided only when the character after it is known, and nothing is released
//! that could still be part of one.

use crate::carry::{Carry, Source};
use crate::fold::{self, Folded, Form};
use crate::json::{self, Read};
use crate::settings::Settings;
use regex_lite::{Regex, RegexBuilder};
use sluice::search::{self, Words};
use sluice::{Fault, Kind};
use std::ops::Range;

/// A compiled pattern may take this many bytes.
const PATTERN_SIZE: usize = 256 * 1024;

pub(crate) struct Policy {
    words: Words,
    patterns: Vec<Regex>,
    any_case: bool,
    whole_words: bool,
    window: usize,
    mask: String,
    /// Whether any word has marks on its letters.
    marks: bool,
}

/// What was found in a text.
#[derive(Debug)]
pub(crate) struct Found {
    /// In order, apart, and all before `hold_from`.
    pub(crate) hits: Vec<Hit>,
    /// The byte from which on nothing is decided.
    pub(crate) hold_from: usize,
    /// How the text stands at `hold_from`.
    pub(crate) carry: Carry,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) range: Range<usize>,
    clusters: usize,
    /// What the mask has to be there.
    place: Place,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Text,
    JsonString,
    JsonToken,
}

impl Policy {
    pub(crate) fn new(settings: &Settings) -> Result<Self, Fault> {
        let any_case = !settings.case_sensitive;
        let form = Form { any_case, composed: false };
        let words: Vec<String> = settings.words.iter().map(|word| fold::spelled(word, form)).collect();
        if let Some(at) = words.iter().position(String::is_empty) {
            return Err(Fault::config(format!("settings.words[{at}]: has no visible character")));
        }
        if let Some(at) = words.iter().position(|word| word.starts_with(fold::extends)) {
            return Err(Fault::config(format!(
                "settings.words[{at}]: begins with a mark that needs a letter before it"
            )));
        }
        let search = if any_case { Words::new(&words)? } else { Words::exact(&words)? };
        let mut patterns = Vec::with_capacity(settings.patterns.len());
        for (at, pattern) in settings.patterns.iter().enumerate() {
            let wrong = |why: String| Fault::config(format!("settings.patterns[{at}]: {why}"));
            let regex = RegexBuilder::new(&fold_pattern(pattern, any_case))
                .case_insensitive(any_case)
                .size_limit(PATTERN_SIZE)
                .build()
                .map_err(|error| wrong(error.to_string()))?;
            if regex.is_match("") {
                return Err(wrong("matches the empty text, so it would match everywhere".to_owned()));
            }
            patterns.push(regex);
        }
        Ok(Policy {
            words: search,
            patterns,
            any_case,
            whole_words: settings.whole_words,
            window: settings.pattern_window,
            mask: settings.mask.clone(),
            marks: words.iter().any(|word| fold::has_marks(word)),
        })
    }

    pub(crate) fn mask(&self) -> &str {
        &self.mask
    }

    /// Whether a window can only be judged with the character before it.
    pub(crate) fn needs_context(&self) -> bool {
        self.whole_words || !self.patterns.is_empty()
    }

    /// Whether one search tells that there is nothing to find.
    pub(crate) fn is_clean_ascii(&self, text: &str) -> bool {
        self.patterns.is_empty() && text.is_ascii() && !self.words.is_match(text)
    }

    /// Looks through a text, or through what is known of it if it is not the `last` of it.
    pub(crate) fn find(&self, text: &str, kind: Kind, carry: &Carry, last: bool) -> Found {
        let source = if kind == Kind::ToolArguments { json::kind_of(text, carry.source) } else { Source::Plain };
        let read = matches!(source, Source::Json | Source::InString).then(|| json::read(text, source, last));
        if read.is_none() && self.patterns.is_empty() && text.is_ascii() && carry.before == [None; 2] {
            return self.judge(&Folded::as_it_is(text), None, text.len(), None, source, last);
        }
        let view = |composed| {
            let form = Form { any_case: self.any_case, composed };
            match &read {
                Some(read) => Folded::new(read.characters.iter().cloned(), carry.before, form),
                None => Folded::new(json::plain(text), carry.before, form),
            }
        };
        let for_patterns = (!self.patterns.is_empty()).then(|| view(true));
        let ready = read.as_ref().map_or(text.len(), |read| read.ready);
        self.judge(&view(false), for_patterns.as_ref(), ready, read.as_ref(), source, last)
    }

    fn judge(
        &self,
        folded: &Folded<'_>,
        for_patterns: Option<&Folded<'_>>,
        ready: usize,
        read: Option<&Read>,
        source: Source,
        last: bool,
    ) -> Found {
        let mut ranges = self.word_ranges(folded, last);
        let mut hold_from = ready;
        if !last {
            hold_from = hold_from.min(self.open_from(folded, ready));
        }
        if let Some(view) = for_patterns {
            ranges.extend(self.pattern_ranges(view, last));
            if !last {
                hold_from = hold_from.min(self.window_from(view));
            }
        }
        for (range, decided) in &ranges {
            if !decided {
                hold_from = hold_from.min(range.start);
            }
        }
        let mut hits: Vec<Range<usize>> = ranges.into_iter().map(|(range, _)| range).collect();
        for hit in &mut hits {
            if let Some(token) = read.and_then(|read| token_of(read, hit)) {
                *hit = hit.start.min(token.start)..hit.end.max(token.end);
            }
        }
        search::merge(&mut hits);
        while let Some(hit) = hits.pop_if(|hit| hit.end > hold_from) {
            hold_from = hold_from.min(hit.start);
        }
        let carry = Carry {
            before: if self.needs_context() { folded.before(hold_from) } else { [None; 2] },
            source: read.map_or(source, |read| read.source_at(hold_from)),
        };
        let hits = hits
            .into_iter()
            .map(|range| Hit {
                clusters: folded.clusters(&range),
                place: match read {
                    None => Place::Text,
                    Some(read) if token_of(read, &range).is_some() => Place::JsonToken,
                    Some(_) => Place::JsonString,
                },
                range,
            })
            .collect();
        Found { hits, hold_from, carry }
    }

    /// Words, by the bytes of the original, and whether each is decided.
    fn word_ranges(&self, folded: &Folded<'_>, last: bool) -> Vec<(Range<usize>, bool)> {
        let text = folded.text.get(folded.start..).unwrap_or_default();
        let mut found = Vec::new();
        for hit in self.words.matches(text) {
            let range = hit.range.start + folded.start..hit.range.end + folded.start;
            let next = folded.text.get(range.end..).and_then(|rest| rest.chars().next());
            if next.is_some_and(fold::extends) || (self.whole_words && !stands_alone(&folded.text, &range, next)) {
                continue;
            }
            let decided = last || folded.is_over(range.end);
            found.extend(folded.original(&range).map(|range| (range, decided)));
        }
        found
    }

    /// Matches of patterns, by the bytes of the original, and whether each is decided.
    fn pattern_ranges(&self, view: &Folded<'_>, last: bool) -> Vec<(Range<usize>, bool)> {
        let mut found = Vec::new();
        for pattern in &self.patterns {
            let mut at = view.start;
            while let Some(hit) = pattern.find_at(&view.text, at) {
                if hit.is_empty() {
                    // An assertion can make an empty match even where the empty text has none.
                    at = next_character(&view.text, hit.end());
                } else {
                    let decided = last || view.is_over(hit.end());
                    found.extend(view.original(&hit.range()).map(|range| (range, decided)));
                    at = hit.end();
                }
                if at > view.text.len() {
                    break;
                }
            }
        }
        found
    }

    /// The byte of the original from which on a pattern may still match.
    fn window_from(&self, view: &Folded<'_>) -> usize {
        let text = view.text.get(view.start..).unwrap_or_default();
        let at = text.char_indices().rev().nth(self.window - 1).map_or(0, |(at, _)| at) + view.start;
        view.original(&(at..at + 1)).map_or(0, |it| it.start)
    }

    /// The byte of the original from which on the text could be part of something that is not complete.
    fn open_from(&self, folded: &Folded<'_>, ready: usize) -> usize {
        let text = folded.text.get(folded.start..).unwrap_or_default();
        let at = folded.text.len() - self.words.unfinished(text);
        let mut from =
            folded.original(&(at..folded.text.len())).filter(|_| at < folded.text.len()).map_or(ready, |it| it.start);
        // A mark that follows goes among the marks that are there, so that what they end is open too.
        if self.marks
            && let Some((last_at, last_from)) = folded.last_cluster()
            && folded.text.get(last_at..).is_some_and(fold::has_marks)
        {
            let before = folded.text.get(folded.start..last_at).unwrap_or_default();
            let open = folded.original(&(last_at - self.words.unfinished(before)..last_at + 1));
            from = from.min(open.map_or(last_from, |it| it.start));
        }
        from
    }
}

impl Found {
    /// The text, which may end at `hold_from`, with every hit masked.
    pub(crate) fn masked(&self, text: &str, mask: &str) -> String {
        let single = mask.chars().count() == 1;
        let mut out = String::with_capacity(text.len());
        let mut at = 0;
        for hit in &self.hits {
            out.push_str(text.get(at..hit.range.start).unwrap_or_default());
            let mask = if single { mask.repeat(hit.clusters) } else { mask.to_owned() };
            match hit.place {
                Place::Text => out.push_str(&mask),
                Place::JsonString => out.push_str(&json::escaped(&mask)),
                Place::JsonToken => out.push_str(&format!("\"{}\"", json::escaped(&mask))),
            }
            at = hit.range.end;
        }
        out.push_str(text.get(at..).unwrap_or_default());
        out
    }
}

fn next_character(text: &str, at: usize) -> usize {
    text.get(at..).and_then(|rest| rest.chars().next()).map_or(text.len() + 1, |c| at + c.len_utf8())
}

fn token_of(read: &Read, hit: &Range<usize>) -> Option<Range<usize>> {
    let next = read.tokens.partition_point(|token| token.end <= hit.start);
    read.tokens.get(next).filter(|token| token.start < hit.end).cloned()
}

/// Whether neither end of the word goes on in a longer one.
fn stands_alone(text: &str, range: &Range<usize>, next: Option<char>) -> bool {
    let word = text.get(range.clone()).unwrap_or_default();
    let before = text.get(..range.start).and_then(|text| text.chars().rev().find(|c| !fold::extends(*c)));
    let joined =
        |inner: Option<char>, outer: Option<char>| inner.is_some_and(fold::is_word) && outer.is_some_and(fold::is_word);
    !joined(word.chars().next(), before) && !joined(word.chars().next_back(), next)
}

/// Letters of a pattern beyond ASCII in the spelling of the text that they are to match; its syntax is ASCII and stays.
fn fold_pattern(pattern: &str, any_case: bool) -> String {
    let form = Form { any_case, composed: true };
    let mut out = String::with_capacity(pattern.len());
    let mut run = String::new();
    for c in pattern.chars() {
        if c.is_ascii() {
            out.push_str(&fold::spelled(&run, form));
            run.clear();
            out.push(c);
        } else {
            run.push(c);
        }
    }
    out + &fold::spelled(&run, form)
}
