//! Token counts, as a provider reports them, in classes that do not overlap.
//!
//! Providers differ in what includes what; here each token is counted once, so that a price per class can be applied to each. It knows no
//! prices and guesses no count that was not reported.

use std::ops::Range;

use crate::json;

/// Tokens of one call. The sum is what the provider processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Prompt tokens that were neither read from nor written to the provider's cache.
    pub input: u64,
    pub cache_read: u64,
    pub cache_write: u64,
    /// Completion tokens that were not reasoning.
    pub output: u64,
    pub reasoning: u64,
    /// Tokens that the provider reported in two classes at once (a cache count above the prompt): whoever writes a total of the prompt in a
    /// dialect takes them off again, so that the client reads what the provider said. 0 nearly always; where it is not, the log says so.
    pub overlap: u64,
    /// The same of the completion (more reasoning than completion).
    pub output_overlap: u64,
}

impl Usage {
    /// The names of the classes, in the order of [`Usage::classes`].
    pub const CLASSES: [&'static str; 5] = ["input", "cache-read", "cache-write", "output", "reasoning"];

    pub fn classes(&self) -> [u64; 5] {
        [self.input, self.cache_read, self.cache_write, self.output, self.reasoning]
    }

    /// The count of one class by its name.
    pub fn class(&self, name: &str) -> Option<u64> {
        let at = Usage::CLASSES.iter().position(|class| *class == name)?;
        self.classes().get(at).copied()
    }

    /// The prompt as the dialects that count its classes together report it.
    pub fn prompt(&self) -> u64 {
        self.input.saturating_add(self.cache_read).saturating_add(self.cache_write).saturating_sub(self.overlap)
    }

    /// The completion with its reasoning, as above.
    pub fn completion(&self) -> u64 {
        self.output.saturating_add(self.reasoning).saturating_sub(self.output_overlap)
    }

    /// This report of a stream, after an earlier one: one that says nothing of the prompt (Anthropic's older streams count only the completion
    /// at their end) leaves the prompt's counts as they were.
    #[must_use]
    pub fn after(self, earlier: Option<Usage>) -> Usage {
        match earlier {
            Some(Usage { input, cache_read, cache_write, overlap, .. }) if self.prompt() == 0 => {
                Usage { input, cache_read, cache_write, overlap, ..self }
            }
            _ => self,
        }
    }

    /// Whether the provider's figures contradicted each other.
    pub fn is_odd(&self) -> bool {
        self.overlap > 0 || self.output_overlap > 0
    }

    /// Reads the `usage` object of OpenAI's shape at `range`, with the spellings of the providers that extend it. `None` unless it is an
    /// object that has a prompt or a completion count. A part larger than its whole is kept as reported, and the excess noted as overlap.
    pub fn from_openai(bytes: &[u8], range: Range<usize>) -> Option<Usage> {
        let mut counts = Counts::default();
        for member in json::object(bytes, range.start)? {
            counts.read(bytes, &member);
        }
        counts.usage()
    }
}

#[derive(Default)]
struct Counts {
    prompt: Option<u64>,
    completion: Option<u64>,
    total: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    reasoning: Option<u64>,
}

impl Counts {
    fn read(&mut self, bytes: &[u8], member: &json::Member) {
        let key = bytes.get(member.key.start + 1..member.key.end.saturating_sub(1)).unwrap_or_default();
        let number = || number(bytes, &member.value);
        match key {
            b"prompt_tokens" => self.prompt = number(),
            b"completion_tokens" => self.completion = number(),
            b"total_tokens" => self.total = number(),
            b"prompt_tokens_details" => {
                for detail in json::object(bytes, member.value.start).into_iter().flatten() {
                    if detail.is(bytes, "cached_tokens") {
                        first(&mut self.cache_read, self::number(bytes, &detail.value));
                    } else if detail.is(bytes, "cache_write_tokens") {
                        first(&mut self.cache_write, self::number(bytes, &detail.value));
                    }
                }
            }
            b"completion_tokens_details" => {
                let range = json::field(bytes, member.value.start, "reasoning_tokens");
                first(&mut self.reasoning, range.and_then(|range| self::number(bytes, &range)));
            }
            b"prompt_cache_hit_tokens" | b"cache_read_input_tokens" | b"cached_tokens" | b"num_cached_tokens" => {
                first(&mut self.cache_read, number());
            }
            b"cache_creation_input_tokens" => first(&mut self.cache_write, number()),
            b"reasoning_tokens" => first(&mut self.reasoning, number()),
            _ => {}
        }
    }

    fn usage(self) -> Option<Usage> {
        if self.prompt.is_none() && self.completion.is_none() {
            return None;
        }
        let prompt = self.prompt.unwrap_or(0);
        let completion = self.completion.unwrap_or(0);
        let cache_read = self.cache_read.unwrap_or(0);
        let cache_write = self.cache_write.unwrap_or(0);
        let cached = cache_read.saturating_add(cache_write);
        let reasoning = self.reasoning.unwrap_or(0);
        // xAI alone counts reasoning beside the completion; only its total tells.
        let beside = reasoning > 0
            && self.total.is_some_and(|total| total == prompt.saturating_add(completion).saturating_add(reasoning));
        let inside = if beside { 0 } else { reasoning };
        Some(Usage {
            input: prompt.saturating_sub(cached),
            cache_read,
            cache_write,
            output: completion.saturating_sub(inside),
            reasoning,
            overlap: cached.saturating_sub(prompt),
            output_overlap: inside.saturating_sub(completion),
        })
    }
}

/// The same count often comes twice, once as zero by a field the provider does not use: the larger one is meant.
fn first(slot: &mut Option<u64>, value: Option<u64>) {
    *slot = (*slot).max(value);
}

/// A count; absent for null, negative or not a number. A fraction is dropped.
fn number(bytes: &[u8], range: &Range<usize>) -> Option<u64> {
    let text = std::str::from_utf8(bytes.get(range.clone())?).ok()?;
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        // The cast saturates, and the bound keeps it exact.
        (0.0..9.0e15).contains(&number).then_some(number as u64)
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn read(json: &str) -> Option<Usage> {
        Usage::from_openai(json.as_bytes(), 0..json.len())
    }

    fn classes(json: &str) -> [u64; 5] {
        let u = read(json).unwrap();
        [u.input, u.cache_read, u.cache_write, u.output, u.reasoning]
    }

    #[test]
    fn classes_do_not_overlap() {
        // Shapes as providers send them: OpenAI with cache and reasoning, DeepSeek, Venice, an xAI reply whose reasoning is beside.
        assert_eq!(
            classes(
                r#"{"prompt_tokens":1320,"completion_tokens":100,"total_tokens":1420,"prompt_tokens_details":{"cached_tokens":1000,"cache_write_tokens":217,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":64}}"#
            ),
            [103, 1000, 217, 36, 64]
        );
        assert_eq!(
            classes(
                r#"{"prompt_tokens":563,"completion_tokens":9,"total_tokens":572,"prompt_cache_hit_tokens":512,"prompt_cache_miss_tokens":51,"prompt_tokens_details":{"cached_tokens":512}}"#
            ),
            [51, 512, 0, 9, 0]
        );
        assert_eq!(
            classes(
                r#"{"cache_read_input_tokens":5280,"completion_tokens":4,"prompt_tokens":5728,"prompt_tokens_details":{"cached_tokens":5280},"total_tokens":5732}"#
            ),
            [448, 5280, 0, 4, 0]
        );
        assert_eq!(
            classes(
                r#"{"prompt_tokens":12,"completion_tokens":2,"total_tokens":334,"prompt_tokens_details":{"cached_tokens":2},"completion_tokens_details":{"reasoning_tokens":320}}"#
            ),
            [10, 2, 0, 2, 320]
        );
    }

    #[test]
    fn figures_that_contradict_each_other_stay_as_reported() {
        let odd = r#"{"prompt_tokens":3,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":9},"completion_tokens_details":{"reasoning_tokens":7}}"#;
        assert_eq!(classes(odd), [0, 9, 0, 0, 7]);
        let usage = read(odd).unwrap();
        assert_eq!((usage.prompt(), usage.completion(), usage.is_odd()), (3, 1, true));
        let even = read(r#"{"prompt_tokens":3,"completion_tokens":1}"#).unwrap();
        assert_eq!((even.prompt(), even.completion(), even.is_odd()), (3, 1, false));
    }

    #[test]
    fn a_later_report_without_a_prompt_leaves_the_earlier_one() {
        let start = Usage { input: 7, cache_read: 3, output: 1, ..Usage::default() };
        let end = Usage { output: 20, reasoning: 5, ..Usage::default() };
        assert_eq!(end.after(Some(start)), Usage { output: 20, reasoning: 5, ..start });
        assert_eq!(start.after(Some(end)), start);
        assert_eq!(end.after(None), end);
    }

    #[test]
    fn never_negative_and_never_made_up() {
        assert_eq!(
            classes(r#"{"prompt_tokens":3,"completion_tokens":-1,"prompt_tokens_details":null}"#),
            [3, 0, 0, 0, 0]
        );
        assert_eq!(classes(r#"{"completion_tokens":2.0}"#), [0, 0, 0, 2, 0]);
        assert_eq!(read(r#"{"cost":1}"#), None);
        assert_eq!(read("null"), None);
        assert_eq!(read(r#"{"prompt_tokens":18446744073709551616}"#), None);
    }
}
