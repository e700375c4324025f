//! What a writer of requests must know of the target beyond its dialect.

use super::Policy;

/// Facts of one attempt's target. Defaults are those of an unknown model: it is assumed to be capable of everything.
#[derive(Clone, Debug, Default)]
pub struct Target<'a> {
    /// The provider's name in the configuration.
    pub provider: &'a str,
    /// The model's name, as the provider knows it.
    pub model: &'a str,
    pub policy: Policy,
    /// `temperature`, `top_p` and `top_k` are refused by this model (Anthropic's newer ones, OpenAI's reasoning models).
    pub refuses_sampling: bool,
    /// `temperature` and `top_p` are refused where both are given (Claude 4.1 to 4.6).
    pub one_sampling: bool,
    /// The most tokens that the model writes. Where a dialect must name a limit and the client did not, it is this, else 8192.
    pub max_output: Option<u64>,
    /// What chat providers call the limit.
    pub max_tokens: MaxTokens,
    /// `reasoning_content` is wanted back in the history (DeepSeek); elsewhere it is refused or ignored and left out.
    pub wants_reasoning_content: bool,
    /// The chat provider knows the role `developer`; others get `system`.
    pub developer_role: bool,
    /// `tool_choice: required` is spelt `any` (Mistral).
    pub required_is_any: bool,
    /// The seed is spelt `random_seed` (Mistral).
    pub random_seed: bool,
    /// The chat provider knows what OpenAI added of late: tools of type `custom`, `allowed_tools`, `verbosity`, the effort `none`; and it
    /// refuses more than four `stop`s (OpenAI, Azure).
    pub openai_extras: bool,
    /// The chat provider takes no `stream_options` (Mistral reports usage without).
    pub no_stream_options: bool,
    /// The model thinks by effort (`adaptive`) and refuses a budget in tokens (Anthropic's newer ones).
    pub adaptive_thinking: bool,
    /// The model's thinking is set by `thinkingLevel` instead of `thinkingBudget` (Gemini 3).
    pub thinking_level: bool,
    /// The model does not think: `reasoning_effort`, `thinking` and the like are refused.
    pub refuses_reasoning: bool,
    /// Everything is kept as it is, for plugins' eyes and not for a provider.
    pub canonical: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MaxTokens {
    /// `max_tokens`, which nearly all know.
    #[default]
    Old,
    /// `max_completion_tokens` (OpenAI, Azure).
    Completion,
}
