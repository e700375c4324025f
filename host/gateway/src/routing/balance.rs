//! Which of a plan's targets is tried next: tiers, health, and how a tier's calls are shared.
//!
//! It sends nothing, and what a failure means is `decide`'s. What is left out here is left out for this call alone, and never all:
//! at most half of a tier counts as ejected, and where nothing else remains an ejected target is tried after all. Only a drained target
//! gets no call whatever happens.

use std::ops::Range;
use std::time::{Duration, Instant};

use super::Balance;
use super::capability::{self, Needs};
use super::health::Standing;
use super::plan::{Candidate, Plan};
use super::weigh;
use crate::app::Core;

/// The next target to try, as an index into the plan's candidates, and its standing: of the first tier that has one which is usable and
/// not in `tried`; else one that is ejected. `None`: all were tried or are drained.
///
/// `order` is a plugin's own (indices): it goes before tiers and balance, and what it leaves out is not tried. `session` counts only in
/// a plan with affinity. With [`Standing::Probe`] the place of the one call that may try the target has been taken for this one; it is
/// lost unless the attempt begins. Whoever only wants to know what is left asks [`left`].
pub fn next(
    core: &Core,
    plan: &Plan,
    tried: &[usize],
    order: Option<&[usize]>,
    session: Option<u64>,
    now: Instant,
    needs: &dyn Fn() -> Needs,
) -> Option<(usize, Standing)> {
    let price = |candidate: &Candidate| price(core, candidate, &needs());
    let choice = Choice {
        candidates: &plan.candidates,
        balance: plan.balance,
        session: session.filter(|_| plan.affinity),
        tried,
        now,
        price: &price,
    };
    match order {
        Some(order) => choice.ordered(order),
        None => choice.next(),
    }
}

/// What [`next`] may still give, in the plan's order or the plugin's. It takes no probe's place.
pub fn left<'a>(
    plan: &'a Plan,
    tried: &'a [usize],
    order: Option<&'a [usize]>,
    now: Instant,
) -> impl Iterator<Item = usize> + 'a {
    let all = 0..if order.is_some() { 0 } else { plan.candidates.len() };
    let ordered = order.unwrap_or_default().iter().copied();
    let open = move |at: &usize| {
        let standing = plan.candidates.get(*at).map(|candidate| candidate.live.standing(now));
        !tried.contains(at) && standing.is_some_and(|standing| !matches!(standing, Standing::Drained { .. }))
    };
    all.chain(ordered).filter(open)
}

/// In nano-dollars; `None` where a price is unknown.
fn price(core: &Core, candidate: &Candidate, needs: &Needs) -> Option<u64> {
    let known = core.providers.get(candidate.provider)?.catalogued(candidate.model.as_deref()?);
    capability::price(known, needs)
}

struct Choice<'a> {
    candidates: &'a [Candidate],
    balance: Balance,
    session: Option<u64>,
    tried: &'a [usize],
    now: Instant,
    price: &'a dyn Fn(&Candidate) -> Option<u64>,
}

impl Choice<'_> {
    fn ordered(&self, order: &[usize]) -> Option<(usize, Standing)> {
        let usable = order.iter().find_map(|at| match self.standing(*at)? {
            Standing::Ready => Some((*at, Standing::Ready)),
            Standing::Probe => self.claim(*at),
            Standing::Ejected { .. } | Standing::Drained { .. } => None,
        });
        usable.or_else(|| self.ejected(order.iter().copied()))
    }

    fn next(&self) -> Option<(usize, Standing)> {
        let mut rest = 0..self.candidates.len();
        while let Some(first) = self.candidates.get(rest.start) {
            let same = |at: &usize| self.candidates.get(*at).is_some_and(|other| other.tier == first.tier);
            let end = rest.clone().find(|at| !same(at)).unwrap_or(rest.end);
            let found = self.of_tier(rest.start..end);
            if found.is_some() {
                return found;
            }
            rest.start = end;
        }
        self.ejected(0..self.candidates.len())
    }

    /// Of a target that was not tried.
    fn standing(&self, at: usize) -> Option<Standing> {
        let candidate = self.candidates.get(at).filter(|_| !self.tried.contains(&at))?;
        Some(candidate.live.standing(self.now))
    }

    fn claim(&self, at: usize) -> Option<(usize, Standing)> {
        self.candidates.get(at)?.live.claim(self.now).then_some((at, Standing::Probe))
    }

    /// Where nothing is usable: the one that is to be tried soonest anyway.
    fn ejected(&self, among: impl Iterator<Item = usize>) -> Option<(usize, Standing)> {
        let mut soonest: Option<(usize, Duration)> = None;
        for at in among {
            let left = match self.standing(at) {
                Some(Standing::Ejected { left }) => left,
                // Since it was looked at first, it has come back.
                Some(Standing::Ready | Standing::Probe) => return Some((at, Standing::Ready)),
                Some(Standing::Drained { .. }) | None => continue,
            };
            if soonest.is_none_or(|(_, least)| left < least) {
                soonest = Some((at, left));
            }
        }
        soonest.map(|(at, left)| (at, Standing::Ejected { left }))
    }

    fn of_tier(&self, tier: Range<usize>) -> Option<(usize, Standing)> {
        let spared = match self.ejections(&tier) {
            0 => None,
            ejected => {
                // A probe that is due goes first, or a strategy that avoids the target would never see it well again.
                let due = |at: &usize| self.standing(*at) == Some(Standing::Probe);
                let probe = tier.clone().filter(due).find_map(|at| self.claim(at));
                if probe.is_some() {
                    return probe;
                }
                self.spared(&tier, ejected)
            }
        };
        let usable = |at: &usize| match self.standing(*at) {
            Some(Standing::Ready) => true,
            Some(Standing::Ejected { left }) => spared.is_some_and(|most| left <= most),
            Some(Standing::Probe | Standing::Drained { .. }) | None => false,
        };
        let chosen = self.pick(tier, usable)?;
        Some((chosen, self.standing(chosen).unwrap_or(Standing::Ready)))
    }

    /// Members of a tier that are not ready, drained ones included: zero on the good way.
    fn ejections(&self, tier: &Range<usize>) -> usize {
        let all = self.candidates.get(tier.clone()).unwrap_or_default();
        all.iter().filter(|candidate| candidate.live.standing(self.now) != Standing::Ready).count()
    }

    /// Where more than half of a tier is ejected, those over the half count as usable, the ones that would return first: up to this time
    /// left. A tier of one may be ejected, as long as there are others.
    fn spared(&self, tier: &Range<usize>, unready: usize) -> Option<Duration> {
        let all = self.candidates.get(tier.clone()).unwrap_or_default();
        let mut lefts = Vec::with_capacity(unready);
        let mut members = 0;
        for candidate in all {
            match candidate.live.standing(self.now) {
                Standing::Ready => members += 1,
                Standing::Drained { .. } => {}
                Standing::Probe => {
                    members += 1;
                    lefts.push(Duration::ZERO);
                }
                Standing::Ejected { left } => {
                    members += 1;
                    lefts.push(left);
                }
            }
        }
        let over = lefts.len().checked_sub((members / 2).max(1)).filter(|over| *over > 0)?;
        lefts.sort_unstable();
        lefts.get(over - 1).copied()
    }

    /// One of the usable ones of a tier, as the plan wants it.
    fn pick(&self, tier: Range<usize>, usable: impl Fn(&usize) -> bool) -> Option<usize> {
        let mut some = tier.clone().filter(&usable);
        let first = some.next()?;
        if some.next().is_none() {
            return Some(first);
        }
        match self.balance {
            _ if self.session.is_some() => self.by_weight(tier, usable),
            Balance::Weighted => self.by_weight(tier, usable),
            Balance::LeastInFlight => self.least(tier, usable, |candidate| {
                Some(f64::from(candidate.live.in_flight().saturating_add(1)) / candidate.weight)
            }),
            Balance::Cheapest => {
                self.least(tier, usable, |candidate| (self.price)(candidate).map(|price| price as f64))
            }
            Balance::Fastest => {
                let one = self.by_weight(tier.clone(), &usable)?;
                let other = self.by_weight(tier, |at| *at != one && usable(at)).unwrap_or(one);
                Some(self.faster(one, other))
            }
        }
    }

    fn by_weight(&self, tier: Range<usize>, usable: impl Fn(&usize) -> bool) -> Option<usize> {
        let weight = |at: usize, candidate: &Candidate| if usable(&at) { candidate.weight } else { 0.0 };
        let all = tier.clone().zip(self.candidates.get(tier.clone())?);
        let items = all.map(|(at, candidate)| (candidate.live.id, weight(at, candidate)));
        Some(tier.start + weigh::pick(items, self.session)?)
    }

    /// The one with the least of something, the unknown last; among equals by weight.
    fn least(
        &self,
        tier: Range<usize>,
        usable: impl Fn(&usize) -> bool,
        of: impl Fn(&Candidate) -> Option<f64>,
    ) -> Option<usize> {
        let figures: Vec<f64> = tier
            .clone()
            .map(|at| match self.candidates.get(at) {
                Some(candidate) if usable(&at) => of(candidate).unwrap_or(f64::MAX),
                _ => f64::INFINITY,
            })
            .collect();
        let least = figures.iter().copied().min_by(f64::total_cmp).filter(|least| least.is_finite())?;
        let best = |at: &usize| figures.get(at - tier.start).is_some_and(|figure| *figure <= least);
        self.by_weight(tier.clone(), best)
    }

    /// The one whose first token comes earlier. One that nobody knows is tried by one call at a time; among those the idler.
    fn faster(&self, one: usize, other: usize) -> usize {
        let [first, second] = [one, other].map(|at| {
            let live = self.candidates.get(at).map(|candidate| &candidate.live);
            let calls = live.map_or(0, |live| live.in_flight());
            let slowness = live.and_then(|live| live.slowness(self.now));
            (slowness.unwrap_or(if calls == 0 { 0.0 } else { f32::MAX }), calls)
        });
        if second.0 < first.0 || (second.0 == first.0 && second.1 < first.1) { other } else { one }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
