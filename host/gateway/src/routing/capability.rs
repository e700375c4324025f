//! What a call needs of a model, read once from its request, beside what is known of the model. It decides about one target; which are
//! left of several is `plan`'s.

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

mod scan;

use std::fmt;

use sluice_dialect::Dialect;

use crate::providers::catalog::Model;

/// Tokens of a reply whose length nobody knows, for its price.
const CUSTOMARY_OUTPUT: u64 = 1_000;
const MILLION: u128 = 1_000_000;

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
    /// What the request asks for. One scan without a tree; what cannot be read needs nothing.
    pub fn of(dialect: Dialect, body: &[u8]) -> Needs {
        scan::scan(dialect, body)
    }
}

/// Why a target cannot do a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lack {
    /// It embeds and holds no conversation, or the other way round.
    Operation {
        embeds: bool,
    },
    Tools {
        certain: bool,
    },
    Images {
        certain: bool,
    },
    Audio {
        certain: bool,
    },
    JsonSchema {
        certain: bool,
    },
    Reasoning,
    Context {
        window: u64,
        tokens: u64,
    },
}

impl Lack {
    /// The operator or the catalog says so. Else nobody says that the target can: it serves where nothing better does.
    pub fn certain(self) -> bool {
        match self {
            Lack::Tools { certain }
            | Lack::Images { certain }
            | Lack::Audio { certain }
            | Lack::JsonSchema { certain } => certain,
            // An estimate of tokens errs by a tenth; what is over by more than that is over.
            Lack::Context { window, tokens } => tokens > window.saturating_add(window / 8),
            Lack::Operation { .. } | Lack::Reasoning => true,
        }
    }
}

impl fmt::Display for Lack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Lack::Operation { embeds: true } => f.write_str("it only embeds"),
            Lack::Operation { embeds: false } => f.write_str("it does not embed"),
            Lack::Tools { .. } => f.write_str("no tools"),
            Lack::Images { .. } => f.write_str("no images"),
            Lack::Audio { .. } => f.write_str("no audio"),
            Lack::JsonSchema { .. } => f.write_str("no JSON schema"),
            Lack::Reasoning => f.write_str("no reasoning"),
            Lack::Context { window, tokens } => write!(f, "context {window} is less than about {tokens} tokens"),
        }
    }
}

/// What the model lacks for the call, the certain first; `None`: nothing that is known.
pub fn lack(known: &Model, operation: &str, needs: &dyn Fn() -> Needs) -> Option<Lack> {
    match operation {
        "embeddings" => return (!known.embeds).then_some(Lack::Operation { embeds: false }),
        "chat" | "count-tokens" if known.embeds => return Some(Lack::Operation { embeds: true }),
        "chat" | "count-tokens" => {}
        // Nobody reads what passes raw.
        _ => return None,
    }
    let needs = needs();
    let reply = needs.max_output.unwrap_or(0).min(known.output.unwrap_or(0));
    let tokens = needs.tokens.saturating_add(reply);
    let denied = &known.denied;
    // The catalog lists what models have. Of one that it says nothing else of, nothing follows from what is missing.
    let described = known.tools || known.vision || known.schema || known.audio || known.reasoning;
    let missing = |needed: bool, has: bool, denied: bool| (needed && (denied || (described && !has))).then_some(denied);
    let found = [
        known.window.filter(|window| tokens > *window).map(|window| Lack::Context { window, tokens }),
        (needs.reasoning && known.refuses_reasoning).then_some(Lack::Reasoning),
        missing(needs.tools, known.tools, denied.tools).map(|certain| Lack::Tools { certain }),
        missing(needs.images, known.vision, denied.vision).map(|certain| Lack::Images { certain }),
        missing(needs.audio, known.audio, denied.audio).map(|certain| Lack::Audio { certain }),
        missing(needs.json_schema, known.schema, denied.schema).map(|certain| Lack::JsonSchema { certain }),
    ];
    let mut lacks = found.into_iter().flatten();
    let first = lacks.next()?;
    if first.certain() { Some(first) } else { Some(lacks.find(|lack| lack.certain()).unwrap_or(first)) }
}

/// What the call would cost there, in nano-dollars: the estimated prompt, and as many tokens of a reply as the client wants at most, else
/// a customary number. `None` where a price is unknown, which is not 0.
pub fn price(known: Option<&Model>, needs: &Needs) -> Option<u64> {
    let known = known?;
    let output = needs.max_output.unwrap_or(CUSTOMARY_OUTPUT).min(known.output.unwrap_or(u64::MAX));
    let of = |tokens: u64, price: Option<u64>| Some(u128::from(tokens) * u128::from(price?) / MILLION);
    let reply = if known.embeds { 0 } else { of(output, known.price.output)? };
    u64::try_from(of(needs.tokens, known.price.input)? + reply).ok()
}
