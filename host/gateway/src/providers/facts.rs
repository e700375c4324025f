//! What is known of a target beyond its dialects: the provider's quirks, and what the model's name says.

use sluice_dialect::Dialect;
use sluice_dialect::hub::{MaxTokens, Target};

use super::table::Quirk;

/// The facts of one attempt's target. A model that nobody knows is assumed to be capable of everything.
pub fn target<'a>(provider: &'a str, quirks: &[Quirk], dialect: Dialect, model: &'a str) -> Target<'a> {
    let has = |quirk: Quirk| quirks.contains(&quirk);
    Target {
        provider,
        model,
        max_tokens: if has(Quirk::CompletionTokens) { MaxTokens::Completion } else { MaxTokens::Old },
        wants_reasoning_content: has(Quirk::WantsReasoningContent),
        developer_role: has(Quirk::DeveloperRole),
        required_is_any: has(Quirk::RequiredIsAny),
        no_stream_options: has(Quirk::NoStreamOptions),
        thinking_level: dialect == Dialect::Gemini && model.contains("gemini-3"),
        ..Target::default()
    }
}
