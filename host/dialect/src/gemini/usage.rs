//! `usageMetadata`. Thoughts stand beside the candidates' tokens, and what tools fed to the model beside the prompt's; cached tokens stand
//! inside the prompt's.

use std::ops::Range;

use crate::json::{self, build as put};
use crate::usage::Usage;

/// Reads the object at `range`. `None` where it counts nothing, as in the middle of Vertex's streams.
pub(super) fn read(bytes: &[u8], range: Range<usize>) -> Option<Usage> {
    let mut counts = Counts::default();
    for member in json::object(bytes, range.start)? {
        let slot = match bytes.get(member.key.start + 1..member.key.end.saturating_sub(1)).unwrap_or_default() {
            b"promptTokenCount" => &mut counts.prompt,
            b"candidatesTokenCount" => &mut counts.candidates,
            b"thoughtsTokenCount" => &mut counts.thoughts,
            b"cachedContentTokenCount" => &mut counts.cached,
            b"toolUsePromptTokenCount" => &mut counts.tools,
            b"totalTokenCount" => &mut counts.total,
            _ => continue,
        };
        *slot = number(bytes.get(member.value).unwrap_or_default());
    }
    counts.usage()
}

fn number(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.trim_matches('"');
    text.parse().ok().or_else(|| {
        let number: f64 = text.parse().ok()?;
        // The cast saturates, and the bound keeps it exact.
        (0.0..9.0e15).contains(&number).then_some(number as u64)
    })
}

#[derive(Default)]
struct Counts {
    prompt: Option<u64>,
    candidates: Option<u64>,
    thoughts: Option<u64>,
    cached: Option<u64>,
    tools: Option<u64>,
    total: Option<u64>,
}

impl Counts {
    fn usage(self) -> Option<Usage> {
        let Counts { prompt, candidates, thoughts, cached, tools, total } = self;
        prompt.or(candidates).or(thoughts).or(tools).or(total)?;
        let (prompt, cached) = (prompt.unwrap_or(0), cached.unwrap_or(0));
        Some(Usage {
            input: prompt.saturating_sub(cached).saturating_add(tools.unwrap_or(0)),
            cache_read: cached,
            output: candidates.unwrap_or(0),
            reasoning: thoughts.unwrap_or(0),
            overlap: cached.saturating_sub(prompt),
            ..Usage::default()
        })
    }
}

/// The member `usageMetadata`.
pub(super) fn write(usage: &Usage, out: &mut Vec<u8>) {
    let prompt = usage.prompt();
    let output = usage.output.saturating_sub(usage.output_overlap);
    put::key(out, "usageMetadata");
    out.push(b'{');
    put::number(out, "promptTokenCount", prompt);
    put::number(out, "candidatesTokenCount", output);
    put::number(out, "totalTokenCount", prompt.saturating_add(output).saturating_add(usage.reasoning));
    if usage.cache_read > 0 {
        put::number(out, "cachedContentTokenCount", usage.cache_read);
    }
    if usage.reasoning > 0 {
        put::number(out, "thoughtsTokenCount", usage.reasoning);
    }
    out.push(b'}');
}
