//! What operators are told of a target.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Instant;

use serde_json::{Value, json};

use super::{Standing, Target};

impl Target {
    /// For operators: figures and standing, with its reason.
    pub fn describe(&self, now: Instant) -> Value {
        let (ok, failed, neutral) = self.counts();
        let (standing, left) = match self.standing(now) {
            Standing::Ready => ("ready", None),
            Standing::Probe => ("probe", None),
            Standing::Ejected { left } => ("ejected", Some(left)),
            Standing::Drained { left } => ("drained", Some(left)),
        };
        let ejected = self.until.load(Ordering::Relaxed) != 0;
        let why = match standing {
            "drained" => Some("drained by an operator".to_owned()),
            _ => ejected.then(|| self.cold().why.clone()),
        };
        let round = |value: f64| (value * 1000.0).round() / 1000.0;
        json!({
            "target": &*self.name,
            "standing": standing,
            "reason": why,
            "seconds_left": left.map(|left| round(left.as_secs_f64())),
            "in_flight": self.in_flight(),
            "ok": ok,
            "failed": failed,
            "neutral": neutral,
            "ejections": self.ejections(),
            "failed_in_a_row": self.in_a_row.load(Ordering::Relaxed),
            "error_rate": self.error_rate().map(round),
            "first_token_ms": self.first.get().map(|ms| round(f64::from(ms))),
            "tokens_per_second": self.tokens_per_second().map(round),
        })
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}
