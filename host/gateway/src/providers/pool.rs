//! How the keys of providers stand: which are out, which cool down, and until when.
//!
//! A state belongs to a key's text, not to a configuration: it outlives edits, and a key whose text was changed starts clean. What is wrong
//! with one model alone (a rate that is counted by model, a model that the key may not use) leaves the key's other models alone. Nobody
//! here sees a secret beyond its digest, and nobody here chooses: that is `auth`'s.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_dialect::failure::{Blame, Class, Failure};

use super::gate::Gate;
use crate::config::CallLimits;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

/// The first pause of a rate-limited key whose provider does not say how long, and the longest, to which it is doubled.
const COOL: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The same of a key that the provider does not accept.
const OUT: (Duration, Duration) = (Duration::from_secs(600), Duration::from_secs(3600));
/// The same of a token, which is fetched anew before the first: most of them only ended early.
const RENEWED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// The longest pause that a provider is believed; a key that waits longer is tried once in between.
const LONGEST: Duration = Duration::from_secs(3600);
/// How long one call that tries a key again keeps others from it, where nothing is heard of it. Refusals come fast, good replies need not.
const PROBE: Duration = Duration::from_secs(1);
/// Models of one key about which something is remembered. Clients choose their names, so the pause that ends first gives way.
const MODELS: usize = 32;

/// What an attempt said of its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyNews {
    /// It was accepted: a reply's head came that does not speak against the key, whatever else it said.
    Good,
    /// Too fast with this model. `after`: as the provider asks for; without it, a pause that grows.
    Limited { after: Option<Duration> },
    /// Not accepted, or out of money, for any model.
    Bad { why: &'static str },
    /// Good, and not for this model.
    NotForModel { why: &'static str },
}

impl KeyNews {
    /// What a failed attempt says of its key; `None`: nothing.
    pub fn of(failure: &Failure) -> Option<KeyNews> {
        if failure.blame != Blame::Provider {
            return None;
        }
        match (failure.class(), failure.status) {
            (Class::Auth, _) => Some(KeyNews::Bad { why: "the provider does not accept it" }),
            (Class::Quota, 402) => Some(KeyNews::Bad { why: "its account is out of money" }),
            (Class::Quota, _) => Some(KeyNews::Bad { why: "its account is out of money or quota" }),
            (Class::Permission, 401 | 402) => Some(KeyNews::Bad { why: "the provider does not accept it" }),
            (Class::Permission, _) => Some(KeyNews::NotForModel { why: "it may not use this model" }),
            (Class::RateLimit, _) | (_, 429) => Some(KeyNews::Limited { after: failure.retry_after }),
            _ => None,
        }
    }
}

/// The states and gates of all providers' keys, across configurations. Those that no configuration uses any more go with the last one
/// that did, so there are as many as keys are configured.
#[derive(Default)]
pub struct Pools {
    states: Mutex<HashMap<StateId, Weak<State>>>,
    gates: Mutex<HashMap<GateId, (CallLimits, Weak<Gate>)>>,
}

/// Provider, and a key of it.
type GateId = (String, Option<String>);

/// Provider, key and the digest of its text.
type StateId = (String, String, [u8; 32]);

impl Pools {
    /// The state of a key. `renews`: it is a token, of which a new one can be had.
    pub fn state(&self, provider: &str, key: &str, digest: [u8; 32], renews: bool) -> Arc<State> {
        let mut states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        states.retain(|_, state| state.strong_count() > 0);
        let id = (provider.to_owned(), key.to_owned(), digest);
        if let Some(known) = states.get(&id).and_then(Weak::upgrade) {
            return known;
        }
        let state = Arc::new(State { renews, ..State::default() });
        states.insert(id, Arc::downgrade(&state));
        state
    }

    /// The gate of a provider, or of one of its keys, if anything limits it. It is the one of the configuration before if the limits are
    /// the same; a new one does not count the calls that run through the old one.
    pub fn gate(&self, provider: &str, key: Option<&str>, limits: Option<CallLimits>) -> Option<Arc<Gate>> {
        let limits = limits?;
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        gates.retain(|_, (_, gate)| gate.strong_count() > 0);
        let id = (provider.to_owned(), key.map(str::to_owned));
        if let Some((same, gate)) = gates.get(&id)
            && *same == limits
            && let Some(gate) = gate.upgrade()
        {
            return Some(gate);
        }
        let gate = Arc::new(Gate::new(limits));
        gates.insert(id, (limits, Arc::downgrade(&gate)));
        Some(gate)
    }
}

/// How one key stands.
#[derive(Default)]
pub struct State {
    /// There is something in `troubles`. While there is not, a call costs one load.
    troubled: AtomicBool,
    troubles: Mutex<Troubles>,
    renews: bool,
    good: AtomicU64,
    limited: AtomicU64,
    refused: AtomicU64,
}

#[derive(Default)]
struct Troubles {
    whole: Option<Pause>,
    models: Vec<(Box<str>, Pause)>,
}

#[derive(Clone, Debug)]
struct Pause {
    until: Instant,
    /// How often in a row, at least 1.
    times: u32,
    why: Why,
    /// A call tries the key; until then no other does.
    probing: Option<Instant>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    Limited,
    Refused(&'static str),
}

impl Why {
    pub fn text(self) -> &'static str {
        match self {
            Why::Limited => "rate-limited",
            Why::Refused(why) => why,
        }
    }
}

/// Why a key cannot be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Out {
    /// Until it may be tried again.
    pub left: Duration,
    pub why: Why,
}

impl Pause {
    /// Until when it keeps a call away; `None`: a call may try.
    fn blocks(&self, now: Instant) -> Option<Instant> {
        let until = self.probing.map_or(self.until, |probing| probing.max(self.until));
        (now < until).then_some(until)
    }

    /// What follows on a further failure. Those of calls that were on their way when it began do not make it longer by themselves.
    fn again(
        before: Option<&Pause>,
        why: Why,
        after: Option<Duration>,
        range: (Duration, Duration),
        now: Instant,
    ) -> Pause {
        let (times, floor) = match before {
            Some(pause) if now < pause.until => (pause.times, Some(pause.until)),
            Some(pause) => (pause.times.saturating_add(1), None),
            None => (1, None),
        };
        let grown = range.0.saturating_mul(1 << (times - 1).min(16)).min(range.1);
        let until = match (after, floor) {
            (Some(after), floor) => floor.into_iter().fold(now + after.min(LONGEST), Instant::max),
            (None, Some(floor)) => floor,
            (None, None) => now + grown,
        };
        Pause { until, times, why, probing: None }
    }
}

impl State {
    /// Why the key cannot be used for the model; `None`: it can, perhaps by one call that [`State::claim`]s it.
    pub fn out(&self, model: &str, now: Instant) -> Option<Out> {
        if !self.troubled.load(Ordering::Relaxed) {
            return None;
        }
        let troubles = self.lock();
        let of_model = troubles.models.iter().find(|(name, _)| **name == *model).map(|(_, pause)| pause);
        // What lasts longer is the reason.
        let longest = [troubles.whole.as_ref(), of_model].into_iter().flatten();
        longest
            .filter_map(|pause| Some((pause.blocks(now)?, pause.why)))
            .max_by_key(|(until, _)| *until)
            .map(|(until, why)| Out { left: until - now, why })
    }

    /// Takes the key for a call. `false`: another call has just begun to try whether it is good again.
    pub fn claim(&self, model: &str, now: Instant) -> bool {
        if !self.troubled.load(Ordering::Relaxed) {
            return true;
        }
        let mut troubles = self.lock();
        let Troubles { whole, models } = &mut *troubles;
        let pauses = || models.iter().filter(|(name, _)| **name == *model).map(|(_, pause)| pause);
        if whole.iter().chain(pauses()).any(|pause| pause.blocks(now).is_some()) {
            return false;
        }
        let of_model = models.iter_mut().filter(|(name, _)| **name == *model).map(|(_, pause)| pause);
        for pause in whole.iter_mut().chain(of_model) {
            pause.probing = Some(now + PROBE);
        }
        true
    }

    pub fn told(&self, model: &str, news: KeyNews, now: Instant) {
        let counter = match news {
            KeyNews::Good => &self.good,
            KeyNews::Limited { .. } => &self.limited,
            KeyNews::Bad { .. } | KeyNews::NotForModel { .. } => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if news == KeyNews::Good && !self.troubled.load(Ordering::Relaxed) {
            return;
        }
        let mut troubles = self.lock();
        match news {
            // A call that went out before the pause began says nothing of what came after.
            KeyNews::Good => {
                troubles.whole.take_if(|pause| pause.until <= now);
                troubles.models.retain(|(name, pause)| **name != *model || pause.until > now);
            }
            KeyNews::Bad { why } => {
                let range = if self.renews { RENEWED } else { OUT };
                let pause = Pause::again(troubles.whole.as_ref(), Why::Refused(why), None, range, now);
                troubles.whole = Some(pause);
            }
            KeyNews::NotForModel { why } => troubles.note(model, Why::Refused(why), None, OUT, now),
            KeyNews::Limited { after } => troubles.note(model, Why::Limited, after, COOL, now),
        }
        let troubled = troubles.whole.is_some() || !troubles.models.is_empty();
        self.troubled.store(troubled, Ordering::Relaxed);
    }

    /// For operators, after the key's name: state, reason, seconds left, models that it is out for, and counters.
    pub fn describe(&self, now: Instant) -> Value {
        let troubles = self.lock();
        let said = |pause: &Pause| {
            let state = match (pause.blocks(now), pause.why) {
                (None, _) => "probe",
                (Some(_), Why::Limited) => "cooling",
                (Some(_), Why::Refused(_)) => "out",
            };
            let left = pause.blocks(now).map(|until| (until - now).as_secs_f64());
            (state, pause.why.text(), left.map(|left| (left * 1000.0).round() / 1000.0))
        };
        let (state, why, left) = troubles.whole.as_ref().map_or(("ready", None, None), |pause| {
            let (state, why, left) = said(pause);
            (state, Some(why), left)
        });
        let models: Vec<Value> = troubles
            .models
            .iter()
            .map(|(name, pause)| {
                let (state, why, left) = said(pause);
                json!({ "model": name, "state": state, "why": why, "seconds_left": left })
            })
            .collect();
        json!({
            "state": state,
            "why": why,
            "seconds_left": left,
            "models": models,
            "good": self.good.load(Ordering::Relaxed),
            "limited": self.limited.load(Ordering::Relaxed),
            "refused": self.refused.load(Ordering::Relaxed),
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Troubles> {
        self.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Troubles {
    /// Something about one model; about the whole key where the call named none.
    fn note(&mut self, model: &str, why: Why, after: Option<Duration>, range: (Duration, Duration), now: Instant) {
        if model.is_empty() {
            self.whole = Some(Pause::again(self.whole.as_ref(), why, after, range, now));
            return;
        }
        if let Some((_, pause)) = self.models.iter_mut().find(|(name, _)| **name == *model) {
            *pause = Pause::again(Some(pause), why, after, range, now);
            return;
        }
        if self.models.len() >= MODELS
            && let Some(first) =
                (0..self.models.len()).min_by_key(|at| self.models.get(*at).map(|(_, pause)| pause.until))
        {
            self.models.swap_remove(first);
        }
        self.models.push((model.into(), Pause::again(None, why, after, range, now)));
    }
}
