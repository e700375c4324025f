//! The catalog: what is known of models by their names, for every built-in provider. Generated data (`tools/catalog.py`), checked in;
//! nothing is fetched. What a configuration says of a model goes before it.
//!
//! A model that is not here is not thereby unknown to its provider: whoever asks assumes that it can everything.

use std::collections::HashMap;
use std::sync::LazyLock;

/// One model of one provider.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Model {
    /// It embeds texts and holds no conversation.
    pub embeds: bool,
    /// Tokens of prompt and reply together, or of the prompt alone, as the provider counts it.
    pub window: Option<u64>,
    /// The most tokens of a reply.
    pub output: Option<u64>,
    /// What the data says that the model has; nothing follows from what is missing.
    pub vision: bool,
    pub tools: bool,
    /// Replies of a given JSON schema.
    pub schema: bool,
    /// It takes recordings.
    pub audio: bool,
    pub reasoning: bool,
    /// What the operator says that it lacks.
    pub denied: Denied,
    /// It is known not to reason: being asked to is an error.
    pub refuses_reasoning: bool,
    /// `temperature`, `top_p` and `top_k` are errors.
    pub refuses_sampling: bool,
    /// It reasons by effort and refuses a budget in tokens.
    pub adaptive: bool,
    /// Its reasoning is set by a level.
    pub level: bool,
    pub price: Price,
}

/// What a model certainly lacks.
#[allow(clippy::struct_excessive_bools, reason = "one bool for each thing a model may lack")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Denied {
    pub vision: bool,
    pub tools: bool,
    pub audio: bool,
    pub schema: bool,
}

/// Nano-dollars for a million tokens of each class; `None` is unknown, which is not 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Price {
    pub input: Option<u64>,
    pub cache_read: Option<u64>,
    pub cache_write: Option<u64>,
    pub output: Option<u64>,
}

/// By the built-in provider's name, then by the model's.
type Models = HashMap<&'static str, HashMap<&'static str, Model>>;

static MODELS: LazyLock<Models> = LazyLock::new(|| {
    let lines = include_str!("catalog/models.tsv").lines();
    let mut models = Models::new();
    for (row, name, model) in lines.filter(|line| !line.starts_with('#')).filter_map(read) {
        models.entry(row).or_default().insert(name, model);
    }
    models
});

/// The model of that exact name, of the built-in provider of that name.
pub fn find(row: &str, name: &str) -> Option<&'static Model> {
    MODELS.get(row)?.get(name)
}

fn read(line: &'static str) -> Option<(&'static str, &'static str, Model)> {
    let mut cells = line.split('\t');
    let (row, name) = (cells.next()?, cells.next()?);
    let embeds = cells.next()? == "embedding";
    let (window, output) = (cells.next()?.parse().ok(), cells.next()?.parse().ok());
    let flags = cells.next()?;
    let mut price = || cells.next().and_then(nano_dollars);
    let price = Price { input: price(), cache_read: price(), cache_write: price(), output: price() };
    let has = |flag: char| flags.contains(flag);
    let model = Model {
        embeds,
        window,
        output,
        vision: has('v'),
        tools: has('t'),
        schema: has('s'),
        audio: has('a'),
        denied: Denied::default(),
        reasoning: has('r'),
        refuses_reasoning: has('n'),
        refuses_sampling: has('x'),
        adaptive: has('d'),
        level: has('l'),
        price,
    };
    Some((row, name, model))
}

/// Dollars with up to nine decimal places; `None` for an empty text and for what is no amount.
pub fn nano_dollars(text: &str) -> Option<u64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    if whole.is_empty() || part.len() > 9 || !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let part: u64 = format!("{part:0<9}").parse().ok()?;
    whole.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(part)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::providers::table;

    #[test]
    fn every_line_is_a_model_of_a_built_in_provider() {
        let lines = include_str!("catalog/models.tsv").lines().filter(|line| !line.starts_with('#')).count();
        let models: usize = MODELS.values().map(HashMap::len).sum();
        assert_eq!(models, lines, "a line that cannot be read, or a model twice");
        assert!(models > 1_000);
        for row in MODELS.keys() {
            assert!(table::row(row).is_some(), "{row}");
        }
    }

    #[test]
    fn facts_and_prices_of_known_models() {
        let sonnet = find("anthropic", "claude-sonnet-4-5").unwrap();
        assert_eq!((sonnet.price.input, sonnet.price.output), (Some(3_000_000_000), Some(15_000_000_000)));
        assert_eq!(sonnet.output, Some(64_000));
        assert!(sonnet.reasoning && !sonnet.refuses_sampling && !sonnet.adaptive);
        let opus = find("anthropic", "claude-opus-4-7").unwrap();
        assert!(opus.refuses_sampling && opus.adaptive);
        assert!(find("openai", "gpt-5.5").unwrap().refuses_sampling);
        let old = find("openai", "gpt-4o").unwrap();
        assert!(old.refuses_reasoning && !old.refuses_sampling);
        assert_eq!(old.price.cache_write, None, "an unknown price is none");
        assert!(find("openai", "text-embedding-3-small").unwrap().embeds);
        assert!(find("gemini", "gemini-3.1-pro-preview").unwrap().level);
        assert!(find("openai", "no-such-model").is_none() && find("nobody", "gpt-4o").is_none());
    }

    #[test]
    fn amounts_are_read_to_the_last_digit() {
        assert_eq!(nano_dollars("2.5"), Some(2_500_000_000));
        assert_eq!(nano_dollars("0.000000001"), Some(1));
        assert_eq!(nano_dollars("0"), Some(0));
        for none in ["", ".5", "-1", "1e3", "1.0000000001", "1.2.3"] {
            assert_eq!(nano_dollars(none), None, "{none}");
        }
    }
}
