//! From what a call asks for to the targets that may serve it, in which order they are tried, and what happens after one failed.
//!
//! `plan` reads the configuration, `capability` leaves out what cannot do the call, `balance` chooses among what is left by weight and
//! `health`, and `decide` says what a failure means. None of it sends anything: that is the pipeline's.

pub mod affinity;
pub mod balance;
pub mod budget;
pub mod capability;
pub mod decide;
pub mod health;
pub mod names;
pub mod plan;
pub mod ready;
pub mod routes;
mod rules;
pub mod weigh;

use std::sync::Arc;
use std::time::Duration;

/// How one of a tier's targets is chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Balance {
    /// By the weights as written; the same session stays where it was.
    #[default]
    Weighted,
    /// The one with the fewest calls in flight for its weight.
    LeastInFlight,
    /// The better of two random ones by the time to the first token.
    Fastest,
    /// The lowest effective price for this call.
    Cheapest,
}

impl Balance {
    /// As the configuration has it.
    pub fn as_str(self) -> &'static str {
        match self {
            Balance::Weighted => "weighted",
            Balance::LeastInFlight => "least-in-flight",
            Balance::Fastest => "fastest",
            Balance::Cheapest => "cheapest",
        }
    }
}

/// What is repeated, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Policy {
    /// Attempts of the whole call, fallbacks and other keys included: from 1 to 10.
    pub attempts: u32,
    /// For the whole call, until its first released content; `None`: twice the first attempt's own deadline for a first token.
    pub deadline: Option<Duration>,
    /// The first wait before the same target is tried again; doubled each time, and shortened at random.
    pub backoff: Duration,
    /// Repeats that a provider may get, as a share of its calls; from 0 to 1.
    pub budget: f64,
    /// Whether calls that are no conversation are repeated after the provider has taken their bytes.
    pub repeat_unsafe: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Policy { attempts: 3, deadline: None, backoff: Duration::from_millis(200), budget: 0.2, repeat_unsafe: false }
    }
}

/// A target that was not tried, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// `provider/model`.
    pub target: Arc<str>,
    /// For operators: "no images", "context 8192 is less than about 9000 tokens", "ejected for 12 s".
    pub reason: String,
}
