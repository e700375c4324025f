//! `route-cheapest-capable`: the cheapest target that can do the call.
//!
//! This file is the order: by health, then by what the call would cost there. What a call needs is read in `needs`. It knows the prices
//! that the gateway knows; it does not look at how good a model's answers are: that is what the route's own list is for.

mod needs;
#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use needs::Needs;
use serde::Deserialize;
use sluice::{Call, Denial, Fault, OnRoute, Plugin, RouteVerdict, Target, Targets};

/// Where a target whose price is not known stands.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Unpriced {
    First,
    Last,
    Never,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default = "reply_tokens")]
    reply_tokens: u32,
    #[serde(default = "unpriced")]
    unpriced: Unpriced,
    #[serde(default = "error_rate")]
    error_rate: f64,
}

fn reply_tokens() -> u32 {
    500
}

fn unpriced() -> Unpriced {
    Unpriced::Last
}

fn error_rate() -> f64 {
    0.5
}

struct Router(Settings);

impl Plugin for Router {
    type Settings = Settings;
    const SCHEMA: &'static str = include_str!("../settings.schema.json");

    fn configure(settings: Settings) -> Result<Self, Fault> {
        if !(1..=1_000_000).contains(&settings.reply_tokens) {
            return Err(Fault::config("settings.reply_tokens: must be from 1 to 1000000"));
        }
        if !(settings.error_rate > 0.0 && settings.error_rate <= 1.0) {
            return Err(Fault::config("settings.error_rate: must be above 0 and at most 1"));
        }
        Ok(Router(settings))
    }
}

/// A target that can do the call.
struct Able {
    at: u32,
    name: String,
    /// Ejected, drained, or failing more often than the settings bear.
    ailing: bool,
    /// US dollars.
    cost: Option<f64>,
}

impl OnRoute for Router {
    fn on_route(&self, call: &mut Call, targets: &Targets) -> Result<RouteVerdict, Fault> {
        let needs = Needs::of(call, targets)?;
        let mut lacking: Vec<String> = Vec::new();
        let mut able: Vec<Able> = Vec::new();
        for target in targets.iter() {
            match needs.lacking(&target) {
                Some(why) => lacking.push(format!("{}: {why}", target.name())),
                None => able.push(self.able(&target, &needs)),
            }
        }
        if able.is_empty() {
            let message = format!("No model behind this name can do this call ({}).", lacking.join("; "));
            return Ok(Denial::new("no_capable_target", message).into());
        }
        if self.0.unpriced == Unpriced::Never {
            able.retain(|able| able.cost.is_some());
        }
        // What has no price costs nothing, or more than all that have one; where all is equal the route's order stays.
        let without = if self.0.unpriced == Unpriced::First { 0.0 } else { f64::INFINITY };
        let cost = |able: &Able| able.cost.unwrap_or(without);
        able.sort_by(|a, b| a.ailing.cmp(&b.ailing).then(cost(a).total_cmp(&cost(b))));
        let reason = match able.first() {
            None => "no target has a known price".to_owned(),
            Some(Able { name, cost: Some(cost), .. }) => format!("{name} for about {cost:.6} USD"),
            Some(Able { name, cost: None, .. }) => format!("{name}, whose price is unknown"),
        };
        Ok(RouteVerdict::Order { targets: able.iter().map(|able| able.at).collect(), reason })
    }
}

impl Router {
    fn able(&self, target: &Target<'_>, needs: &Needs) -> Able {
        let reply = needs.reply.map_or(f64::from(self.0.reply_tokens), |most| most.min(f64::from(self.0.reply_tokens)));
        let cost = target.input_price().zip(target.output_price());
        let cost = cost.map(|(input, output)| (target.estimated_tokens() * input + reply * output) / 1e6);
        let failing = target.error_rate().is_some_and(|rate| rate > self.0.error_rate);
        Able { at: target.index(), name: target.name(), ailing: failing || !target.is_healthy(), cost }
    }
}

sluice::plugin!(Router: on_route);
