//! What is known of a target beyond its dialects: the provider's quirks, and what the catalog says of the model.

use sluice_dialect::Dialect;
use sluice_dialect::hub::{MaxTokens, Target};

use super::catalog::Model;
use super::table::Quirk;

/// The facts of one attempt's target. A model that nobody knows is assumed to be capable of everything.
pub fn target<'a>(
    provider: &'a str,
    quirks: &[Quirk],
    dialect: Dialect,
    model: &'a str,
    known: Option<&Model>,
) -> Target<'a> {
    let has = |quirk: Quirk| quirks.contains(&quirk);
    let fact = |fact: fn(&Model) -> bool| known.is_some_and(fact);
    // Newer names follow the same rule, so one that is not listed yet is called as its kind is.
    let level = dialect == Dialect::Gemini && known.is_none() && generation(model) >= Some(3);
    Target {
        provider,
        model,
        max_tokens: if has(Quirk::CompletionTokens) { MaxTokens::Completion } else { MaxTokens::Old },
        wants_reasoning_content: has(Quirk::WantsReasoningContent),
        developer_role: has(Quirk::DeveloperRole),
        required_is_any: has(Quirk::RequiredIsAny),
        random_seed: has(Quirk::RandomSeed),
        openai_extras: has(Quirk::OpenaiExtras),
        no_stream_options: has(Quirk::NoStreamOptions),
        one_sampling: dialect == Dialect::Anthropic && takes_one(model),
        max_output: known.and_then(|model| model.output),
        refuses_sampling: fact(|model| model.refuses_sampling),
        adaptive_thinking: fact(|model| model.adaptive),
        thinking_level: level || fact(|model| model.level),
        refuses_reasoning: fact(|model| model.refuses_reasoning),
        ..Target::default()
    }
}

/// Whether an Anthropic model refuses `temperature` beside `top_p`: the generations 4.1 to 4.6, `claude-opus-4-1` or
/// `claude-sonnet-4-5-20250929`, with a word for the cloud in front or not.
fn takes_one(model: &str) -> bool {
    let kinds = ["opus-4-", "sonnet-4-", "haiku-4-"];
    let minor = kinds.iter().find_map(|kind| model.split_once(kind)).map(|(_, rest)| rest);
    let digits = minor.and_then(|rest| rest.split(|c: char| !c.is_ascii_digit()).next());
    digits.and_then(|digits| digits.parse::<u32>().ok()).is_some_and(|minor| (1..=6).contains(&minor))
}

/// The generation in a Gemini model's name: 3 of `gemini-3.1-pro`.
fn generation(model: &str) -> Option<u32> {
    let rest = model.strip_prefix("gemini-")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::providers::{catalog, table};

    fn facts(row: &'static str, dialect: Dialect, model: &'static str) -> Target<'static> {
        let quirks = table::row(row).map_or(&[][..], |row| row.quirks);
        target(row, quirks, dialect, model, catalog::find(row, model))
    }

    #[test]
    fn what_a_model_refuses_is_known_by_its_name() {
        let opus = facts("anthropic", Dialect::Anthropic, "claude-opus-4-7");
        assert!(opus.refuses_sampling && opus.adaptive_thinking && opus.max_output == Some(128_000));
        let old = facts("openai", Dialect::OpenaiChat, "gpt-4o");
        assert!(old.refuses_reasoning && old.max_tokens == MaxTokens::Completion && old.developer_role);
        let new = facts("openai", Dialect::OpenaiChat, "gpt-77");
        assert!(!new.refuses_reasoning && !new.refuses_sampling && new.max_output.is_none());
        for (model, level) in [("gemini-2.5-pro", false), ("gemini-3.1-pro-preview", true), ("gemini-9-x", true)] {
            assert_eq!(facts("gemini", Dialect::Gemini, model).thinking_level, level, "{model}");
        }
        assert!(facts("mistral", Dialect::OpenaiChat, "x").required_is_any);
        assert!(facts("deepseek", Dialect::OpenaiChat, "x").wants_reasoning_content);
    }
}
