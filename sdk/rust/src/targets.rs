//! What could serve a call, within `on_route`: in a component the gateway's functions, in a test the fake's.

use crate::call::Backend;

/// The targets of a call, at least one, in the order of the route as it is written. What the caller may not use is not among them.
pub struct Targets {
    count: u32,
    backend: Backend,
}

impl Targets {
    pub(crate) fn new(count: u32, backend: Backend) -> Self {
        Targets { count, backend }
    }

    /// How many there are.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// Whether there are none; the gateway never asks with none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The target at that place.
    pub fn get(&self, at: u32) -> Option<Target<'_>> {
        (at < self.count).then_some(Target { at, backend: &self.backend })
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = Target<'_>> + Clone {
        (0..self.count).map(|at| Target { at, backend: &self.backend })
    }

    /// The places of those whose names fit these patterns, in the patterns' order and none twice, for
    /// [`RouteVerdict::Order`](crate::RouteVerdict::Order). In a pattern `*` stands for any text: `anthropic/*`, or `*` for all others.
    pub fn matching<S: AsRef<str>>(&self, patterns: &[S]) -> Vec<u32> {
        let names: Vec<String> = self.iter().map(|target| target.name()).collect();
        let mut found: Vec<u32> = Vec::new();
        for pattern in patterns {
            for (at, name) in (0..).zip(&names) {
                if fits(pattern.as_ref(), name) && !found.contains(&at) {
                    found.push(at);
                }
            }
        }
        found
    }
}

/// Whether `name` is the pattern's text, with any text for each `*`.
fn fits(pattern: &str, name: &str) -> bool {
    let Some((start, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut name) = name.strip_prefix(start) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let end = parts.pop().unwrap_or("");
    for part in parts {
        // The first place is the best one: what comes after it has the most left to fit.
        let Some(at) = name.find(part) else { return false };
        name = name.get(at + part.len()..).unwrap_or("");
    }
    name.ends_with(end)
}

/// One of the targets. Every function asks the gateway: keep what is needed twice.
#[derive(Clone, Copy)]
pub struct Target<'a> {
    at: u32,
    backend: &'a Backend,
}

impl Target<'_> {
    /// Its place among the targets, which is how [`RouteVerdict::Order`](crate::RouteVerdict::Order) names it.
    pub fn index(&self) -> u32 {
        self.at
    }

    /// `provider/model`; the provider alone where the call names no model.
    pub fn name(&self) -> String {
        self.backend.target_name(self.at)
    }

    /// A number by its name; `None` where it is unknown. Those without a function of their own here, too.
    pub fn number(&self, field: &str) -> Option<f64> {
        self.backend.target_number(self.at, field)
    }

    /// A label of its provider.
    pub fn label(&self, name: &str) -> Option<String> {
        self.backend.target_label(self.at, name)
    }

    /// `tools`, `vision`, `json-schema`, `reasoning`; true for all of them where nothing is known of the model.
    pub fn has(&self, capability: &str) -> bool {
        self.backend.target_has(self.at, capability)
    }

    /// Neither ejected for its failures nor drained.
    pub fn is_healthy(&self) -> bool {
        self.has("healthy")
    }

    /// As the route says; 1 where it says none.
    pub fn weight(&self) -> f64 {
        self.number("weight").unwrap_or(1.0)
    }

    /// Calls that it serves now.
    pub fn in_flight(&self) -> f64 {
        self.number("in-flight").unwrap_or(0.0)
    }

    /// Milliseconds to the first token, a moving average.
    pub fn first_byte_ms(&self) -> Option<f64> {
        self.number("first-byte-ms")
    }

    /// A moving average.
    pub fn tokens_per_second(&self) -> Option<f64> {
        self.number("tokens-per-second")
    }

    /// From 0 to 1, a moving average.
    pub fn error_rate(&self) -> Option<f64> {
        self.number("error-rate")
    }

    /// US dollars per million tokens of the prompt.
    pub fn input_price(&self) -> Option<f64> {
        self.number("input-price")
    }

    /// US dollars per million tokens of the reply.
    pub fn output_price(&self) -> Option<f64> {
        self.number("output-price")
    }

    /// Tokens of prompt and reply together, or of the prompt alone, as its provider counts.
    pub fn context_window(&self) -> Option<f64> {
        self.number("context-window")
    }

    /// The most tokens of a reply.
    pub fn max_output(&self) -> Option<f64> {
        self.number("max-output")
    }

    /// Tokens of this call's prompt, for this target: an estimate.
    pub fn estimated_tokens(&self) -> f64 {
        self.number("estimated-tokens").unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::fits;

    #[test]
    fn a_star_stands_for_any_text() {
        for (pattern, name, expected) in [
            ("*", "a/b", true),
            ("a/*", "a/b", true),
            ("a/*", "ab/b", false),
            ("*/b", "a/b", true),
            ("a/b", "a/bc", false),
            ("a*b*c", "a1b2b3c", true),
            ("a*b*c", "a1c", false),
            ("a*a", "a", false),
            ("*mini*", "openai/gpt-4o-mini", true),
            ("", "", true),
            ("**", "", true),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
