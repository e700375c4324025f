//! Token counts as Messages spells them: cached tokens apart from the input, thoughts within the output.

use std::ops::Range;

use serde_json::Value;

use super::out::Object;
use crate::json;
use crate::usage::Usage;

/// The members of `usage` that are read; in a stream each later one replaces the earlier.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    input: Option<u64>,
    cache_read: Option<u64>,
    cache_write: Option<u64>,
    output: Option<u64>,
    thinking: Option<u64>,
}

impl Counts {
    pub(super) fn of(usage: &Value) -> Counts {
        let count = |name: &str| usage.get(name).and_then(Value::as_u64);
        Counts {
            input: count("input_tokens"),
            cache_read: count("cache_read_input_tokens"),
            cache_write: count("cache_creation_input_tokens"),
            output: count("output_tokens"),
            thinking: usage.pointer("/output_tokens_details/thinking_tokens").and_then(Value::as_u64),
        }
    }

    /// The same from where it lies. What stands for each iteration is not looked at: the sums beside it count.
    pub(super) fn at(bytes: &[u8], range: &Range<usize>) -> Counts {
        let mut counts = Counts::default();
        for member in json::object(bytes, range.start).into_iter().flatten() {
            let slot = match bytes.get(member.key.start + 1..member.key.end.saturating_sub(1)).unwrap_or_default() {
                b"input_tokens" => &mut counts.input,
                b"cache_read_input_tokens" => &mut counts.cache_read,
                b"cache_creation_input_tokens" => &mut counts.cache_write,
                b"output_tokens" => &mut counts.output,
                b"output_tokens_details" => {
                    let inner = json::field(bytes, member.value.start, "thinking_tokens");
                    counts.thinking = inner.and_then(|value| number(bytes, &value));
                    continue;
                }
                _ => continue,
            };
            *slot = number(bytes, &member.value);
        }
        counts
    }

    pub(super) fn update(&mut self, later: Counts) {
        self.input = later.input.or(self.input);
        self.cache_read = later.cache_read.or(self.cache_read);
        self.cache_write = later.cache_write.or(self.cache_write);
        self.output = later.output.or(self.output);
        self.thinking = later.thinking.or(self.thinking);
    }

    /// `None` where neither input nor output was counted.
    pub(super) fn usage(self) -> Option<Usage> {
        if self.input.is_none() && self.output.is_none() {
            return None;
        }
        let output = self.output.unwrap_or(0);
        let reasoning = self.thinking.unwrap_or(0).min(output);
        Some(Usage {
            input: self.input.unwrap_or(0),
            cache_read: self.cache_read.unwrap_or(0),
            cache_write: self.cache_write.unwrap_or(0),
            output: output - reasoning,
            reasoning,
            ..Usage::default()
        })
    }
}

fn number(bytes: &[u8], range: &Range<usize>) -> Option<u64> {
    std::str::from_utf8(bytes.get(range.clone())?).ok()?.parse().ok()
}

/// The `usage` object.
pub(super) fn write(usage: Usage, out: &mut Vec<u8>) {
    let mut object = Object::open(out);
    object.count("input_tokens", usage.input);
    object.count("cache_creation_input_tokens", usage.cache_write);
    object.count("cache_read_input_tokens", usage.cache_read);
    object.count("output_tokens", usage.output.saturating_add(usage.reasoning));
    if usage.reasoning > 0 {
        let mut details = Object::open(object.at("output_tokens_details"));
        details.count("thinking_tokens", usage.reasoning);
        details.close();
    }
    object.close();
}
