//! `route-by-complexity`: sends prompts that look hard to other targets than those that look easy.
//!
//! The score is a guess from what a prompt looks like, made in microseconds; it understands nothing. What a tier's patterns leave out is not
//! tried, and a tier that names no target of a call leaves that call's own order.

mod score;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use serde::Deserialize;
use sluice::{Call, Fault, OnRoute, Plugin, RouteVerdict, Targets};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    tiers: Vec<Tier>,
    #[serde(default)]
    hard_words: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Tier {
    /// The highest score that it serves; the last tier has none.
    up_to: Option<u32>,
    #[serde(rename = "use")]
    patterns: Vec<String>,
}

struct Router {
    tiers: Vec<Tier>,
    hard_words: Vec<String>,
}

impl Plugin for Router {
    type Settings = Settings;
    const SCHEMA: &'static str = include_str!("../settings.schema.json");

    fn configure(settings: Settings) -> Result<Self, Fault> {
        let wrong = |text: String| Err(Fault::config(format!("settings.{text}")));
        let Settings { tiers, mut hard_words } = settings;
        let mut before = None;
        for (at, tier) in tiers.iter().enumerate() {
            if tier.patterns.is_empty() || tier.patterns.iter().any(String::is_empty) {
                return wrong(format!("tiers[{at}].use: must name targets, as in [\"openai/gpt-4o-mini\", \"*\"]"));
            }
            let last = at + 1 == tiers.len();
            match tier.up_to {
                None if last => {}
                Some(limit) if !last && limit < 100 && before.is_none_or(|before| before < limit) => {}
                None => return wrong(format!("tiers[{at}].up_to: is missing; only the last tier has none")),
                Some(_) if last => {
                    return wrong(format!("tiers[{at}].up_to: the last tier takes all that is left; leave it out"));
                }
                Some(_) => return wrong(format!("tiers[{at}].up_to: must be below 100 and rise from tier to tier")),
            }
            before = tier.up_to;
        }
        if tiers.len() < 2 {
            return wrong("tiers: must be at least two, from easy to hard".to_owned());
        }
        if hard_words.len() > 100 || hard_words.iter().any(|word| word.trim().is_empty() || word.len() > 100) {
            return wrong("hard_words: must be at most 100 words of 1 to 100 bytes".to_owned());
        }
        hard_words.iter_mut().for_each(|word| *word = word.to_lowercase());
        Ok(Router { tiers, hard_words })
    }
}

impl OnRoute for Router {
    fn on_route(&self, call: &mut Call, targets: &Targets) -> Result<RouteVerdict, Fault> {
        let score = score::of(call, &self.hard_words);
        call.tag("complexity", &score.to_string())?;
        let tier = self.tiers.iter().find(|tier| tier.up_to.is_none_or(|limit| score <= limit));
        let order = tier.map(|tier| targets.matching(&tier.patterns)).unwrap_or_default();
        if order.is_empty() {
            return Ok(RouteVerdict::Pass);
        }
        Ok(RouteVerdict::Order { targets: order, reason: format!("complexity {score} of 100") })
    }
}

sluice::plugin!(Router: on_route);
