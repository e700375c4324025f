//! Targets for a fake call, and what the gateway checks of an order of them.

use crate::types::{Fault, RouteVerdict};
use std::collections::{BTreeMap, BTreeSet};

/// A target that is not one: healthy, with every capability, weight 1, and nothing else known of it.
#[derive(Clone, Debug)]
pub struct FakeTarget {
    pub(super) name: String,
    pub(super) numbers: BTreeMap<String, f64>,
    pub(super) labels: BTreeMap<String, String>,
    pub(super) lacking: BTreeSet<String>,
}

/// What the gateway knows by these names.
pub(super) const CAPABILITIES: [&str; 5] = ["healthy", "tools", "vision", "json-schema", "reasoning"];

impl FakeTarget {
    /// `provider/model`.
    pub fn new(name: &str) -> Self {
        let numbers = [("weight", 1.0), ("in-flight", 0.0)].map(|(name, number)| (name.to_owned(), number));
        let (labels, lacking) = (BTreeMap::new(), BTreeSet::new());
        FakeTarget { name: name.to_owned(), numbers: numbers.into(), labels, lacking }
    }

    /// With a number: `weight`, `in-flight`, `first-byte-ms`, `tokens-per-second`, `error-rate`, `input-price`, `output-price`,
    /// `context-window`, `max-output`.
    #[must_use]
    pub fn number(mut self, field: &str, number: f64) -> Self {
        self.numbers.insert(field.to_owned(), number);
        self
    }

    /// With prices, US dollars per million tokens of prompt and reply.
    #[must_use]
    pub fn prices(self, input: f64, output: f64) -> Self {
        self.number("input-price", input).number("output-price", output)
    }

    /// With a label of its provider.
    #[must_use]
    pub fn label(mut self, name: &str, value: &str) -> Self {
        self.labels.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Without a capability: `healthy`, `tools`, `vision`, `json-schema`, `reasoning`.
    #[must_use]
    pub fn lacks(mut self, capability: &str) -> Self {
        self.lacking.insert(capability.to_owned());
        self
    }
}

/// What the gateway checks of an order.
pub(super) fn checked(verdict: RouteVerdict, count: u32) -> Result<RouteVerdict, Fault> {
    if let RouteVerdict::Order { targets, .. } = &verdict {
        let mut seen = BTreeSet::new();
        for target in targets {
            if *target >= count {
                return Err(Fault::Invalid(format!("target {target} is not there: this call has {count}, from 0")));
            }
            if !seen.insert(target) {
                return Err(Fault::Invalid(format!("target {target} is named twice")));
            }
        }
    }
    Ok(verdict)
}
