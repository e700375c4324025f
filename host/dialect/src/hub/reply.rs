//! A whole reply.

use serde_json::Value;

use super::{Part, Rest};
use crate::usage::Usage;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// The provider's; empty where it gave none.
    pub id: String,
    /// The model that the provider says it used.
    pub model: String,
    /// Seconds since 1970.
    pub created: Option<u64>,
    /// By rising index.
    pub choices: Vec<Choice>,
    pub usage: Option<Usage>,
    pub service_tier: Option<String>,
    pub rest: Rest,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Choice {
    pub index: u32,
    pub parts: Vec<Part>,
    pub finish: Finish,
    /// The stop sequence that was hit, where the provider says it.
    pub stop_sequence: Option<String>,
    /// OpenAI chat's `logprobs` object.
    pub logprobs: Option<Value>,
    pub rest: Rest,
}

/// Why a choice ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Finish {
    /// Also a missing reason on a properly ended reply.
    #[default]
    Stop,
    Length,
    /// The client is to run tools. Readers say this wherever there is a [`Part::Call`] and the provider said `stop`.
    ToolCalls,
    /// The provider's filter cut the answer.
    ContentFilter,
    /// The model refused.
    Refusal,
    StopSequence,
    /// The provider wants to go on (Anthropic `pause_turn`).
    Pause,
    /// The stream broke off before the provider said why.
    Cut,
    /// In the provider's own words.
    Other(String),
}

impl Choice {
    /// Whether a call for the client to run is in it.
    pub fn calls(&self) -> bool {
        self.parts.iter().any(|part| matches!(part, Part::Call(_)))
    }

    /// The finish reason by the rule that a call makes a stop a call for tools.
    pub fn settled(&self) -> Finish {
        if self.finish == Finish::Stop && self.calls() { Finish::ToolCalls } else { self.finish.clone() }
    }
}
