//! Named routes as the program uses them: every target found, every pattern checked, every span read.

use http::HeaderName;

use crate::routing::{Balance, Policy};

/// What a name leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    pub name: String,
    /// Empty only where rules decide everything.
    pub tiers: Vec<Vec<Weighted>>,
    pub balance: Balance,
    pub affinity: bool,
    /// Labels that a target's provider must have, with patterns for [`super::glob`].
    pub require: Vec<(String, Vec<String>)>,
    pub policy: Policy,
    pub rules: Vec<Rule>,
}

/// A target beside others.
#[derive(Clone, Debug, PartialEq)]
pub struct Weighted {
    /// An index into the configuration's providers.
    pub provider: usize,
    /// As written, before the provider's own names for it.
    pub model: String,
    /// Above 0, at most 1,000,000.
    pub weight: f64,
}

/// What serves the calls that fit.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    pub when: When,
    pub using: Using,
}

#[derive(Clone, Debug, PartialEq)]
pub enum Using {
    /// Never empty.
    Tiers(Vec<Vec<Weighted>>),
    /// An index into the configuration's routes; never leads back to where it came from.
    Route(usize),
}

/// The calls that a rule is for. What is empty or `None` asks for nothing; what is asked for must all fit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct When {
    /// Patterns for [`super::glob`], as in the other fields.
    pub operation: Vec<String>,
    pub model: Vec<String>,
    pub key: Vec<String>,
    pub team: Vec<String>,
    pub label: Vec<(String, Vec<String>)>,
    pub header: Vec<(HeaderName, Vec<String>)>,
    pub stream: Option<bool>,
    pub tokens: Option<Tokens>,
    pub hours: Option<Hours>,
}

/// The estimated tokens of a prompt that fit, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    pub least: u64,
    pub most: u64,
}

/// Times of the week that fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hours {
    /// Minutes of the day, from 0 to 1440; where `from` is not before `to`, the span goes over midnight.
    pub from: u16,
    pub to: u16,
    /// Monday first. A span over midnight belongs to the day on which it begins.
    pub days: [bool; 7],
    /// East of UTC, in minutes.
    pub offset: i32,
}
