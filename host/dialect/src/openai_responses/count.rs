//! Token counts as a response object has them, and as they are in disjoint classes.

use serde_json::{Value, json};

use crate::usage::Usage;

/// Reads a `usage` object. `None` without a count of either side.
pub(super) fn read(value: &Value) -> Option<Usage> {
    let count = |value: &Value, names: [&str; 2]| names.iter().find_map(|name| number(value.get(*name)?));
    let input = count(value, ["input_tokens", "prompt_tokens"]);
    let output = count(value, ["output_tokens", "completion_tokens"]);
    if input.is_none() && output.is_none() {
        return None;
    }
    let (input, output) = (input.unwrap_or(0), output.unwrap_or(0));
    let detail = |of: [&str; 2], name: &str| of.iter().find_map(|of| number(value.get(*of)?.get(name)?)).unwrap_or(0);
    let inputs = ["input_tokens_details", "prompt_tokens_details"];
    let cache_read = detail(inputs, "cached_tokens");
    let cache_write = detail(inputs, "cache_write_tokens");
    let reasoning = detail(["output_tokens_details", "completion_tokens_details"], "reasoning_tokens");
    let cached = cache_read.saturating_add(cache_write);
    let total = value.get("total_tokens").and_then(number);
    let beside = reasoning > 0 && total == Some(input.saturating_add(output).saturating_add(reasoning));
    let inside = if beside { 0 } else { reasoning };
    Some(Usage {
        input: input.saturating_sub(cached),
        cache_read,
        cache_write,
        output: output.saturating_sub(inside),
        reasoning,
        overlap: cached.saturating_sub(input),
        output_overlap: inside.saturating_sub(output),
    })
}

/// A count; a fraction is dropped, and what is negative or no number is none.
fn number(value: &Value) -> Option<u64> {
    value
        .as_u64()
        .or_else(|| value.as_f64().filter(|number| (0.0..9.0e15).contains(number)).map(|number| number as u64))
}

pub(super) fn write(usage: &Usage) -> Value {
    let (input, output) = (usage.prompt(), usage.completion());
    json!({
        "input_tokens": input,
        "input_tokens_details": {"cached_tokens": usage.cache_read, "cache_write_tokens": usage.cache_write},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning},
        "total_tokens": input.saturating_add(output),
    })
}
