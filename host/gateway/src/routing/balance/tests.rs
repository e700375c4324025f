use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::routing::Policy;
use crate::routing::health::{How, Target, Targets};

const SECOND: Duration = Duration::from_secs(1);

/// Tiers of weights. Targets are `p/0`, `p/1` and so on, through all tiers.
fn plan(tiers: &[&[f64]], balance: Balance) -> Plan {
    let targets = Targets::default();
    let weights =
        tiers.iter().enumerate().flat_map(|(tier, weights)| weights.iter().map(move |weight| (tier, *weight)));
    let candidate = |(at, (tier, weight)): (usize, (usize, f64))| Candidate {
        provider: 0,
        model: Some(at.to_string().into()),
        weight,
        tier,
        live: targets.of(&format!("p/{at}")),
    };
    let candidates = weights.enumerate().map(candidate).collect();
    let (policy, skipped) = (Policy::default(), Vec::new());
    Plan { route: None, rule: None, candidates, balance, policy, affinity: false, skipped }
}

fn choice<'a>(plan: &'a Plan, tried: &'a [usize], now: Instant) -> Choice<'a> {
    Choice { candidates: &plan.candidates, balance: plan.balance, session: None, tried, now, price: &|_| None }
}

fn live(plan: &Plan, at: usize) -> &Arc<Target> {
    &plan.candidates[at].live
}

/// Longer than any ejection of a first time, and shorter than a second.
fn later(now: Instant) -> Instant {
    now + 7 * SECOND
}

fn eject(plan: &Plan, at: &[usize]) -> Instant {
    for at in at {
        for _ in 0..5 {
            live(plan, *at).begin().ended(How::Failed { slow: false });
        }
    }
    Instant::now()
}

fn first_token(plan: &Plan, at: usize, ms: u64) {
    let first = Duration::from_millis(ms);
    live(plan, at).begin().ended(How::Ok { first: Some(first), total: first + SECOND, output: None });
}

/// How often each is chosen.
fn shares(choice: &Choice<'_>, turns: u32) -> BTreeMap<usize, u32> {
    let mut counts = BTreeMap::new();
    for _ in 0..turns {
        *counts.entry(choice.next().unwrap().0).or_insert(0) += 1;
    }
    counts
}

#[test]
fn tiers_come_in_order_and_each_target_once() {
    let plan = plan(&[&[1.0, 1.0], &[1.0], &[1.0]], Balance::Weighted);
    let now = Instant::now();
    for _ in 0..50 {
        let mut tried = Vec::new();
        while let Some((at, standing)) = choice(&plan, &tried, now).next() {
            assert_eq!(standing, Standing::Ready);
            tried.push(at);
        }
        tried[..2].sort_unstable();
        assert_eq!(tried, [0, 1, 2, 3]);
    }
    assert_eq!(left(&plan, &[1], None, now).collect::<Vec<_>>(), [0, 2, 3]);
    assert_eq!(left(&plan, &[1], Some(&[3, 1, 0]), now).collect::<Vec<_>>(), [3, 0]);
}

#[test]
fn weights_hold_among_those_that_are_usable() {
    fastrand::seed(5);
    let plan = plan(&[&[8.0, 2.0, 90.0]], Balance::Weighted);
    let now = eject(&plan, &[2]);
    let counts = shares(&choice(&plan, &[], now), 10_000);
    assert!(counts.len() == 2 && (7_800..8_200).contains(&counts[&0]), "{counts:?}");
}

#[test]
fn a_session_stays_moves_when_its_target_is_ejected_and_returns() {
    let plan = Plan { affinity: true, ..plan(&[&[1.0, 1.0, 1.0, 1.0]], Balance::LeastInFlight) };
    let chosen = |session, now| Choice { session: Some(session), ..choice(&plan, &[], now) }.next().unwrap().0;
    let now = Instant::now();
    let before: Vec<usize> = (0..100).map(|session| chosen(session, now)).collect();
    let _busy = live(&plan, 0).begin();
    assert!((0..100).all(|session| chosen(session, now) == before[session as usize]), "affinity goes before balance");
    let now = eject(&plan, &[1]);
    for (session, before) in before.iter().enumerate() {
        let after = chosen(session as u64, now);
        assert!(if *before == 1 { after != 1 } else { after == *before });
    }
    assert!(live(&plan, 1).claim(later(now)));
    live(&plan, 1).begin().ended(How::Ok { first: None, total: SECOND, output: None });
    assert!((0..100).all(|session| chosen(session, now) == before[session as usize]));
}

#[test]
fn an_ejected_target_gets_nothing_but_one_probe_when_it_is_due() {
    let plan = plan(&[&[1.0, 1.0], &[1.0]], Balance::Weighted);
    let now = eject(&plan, &[0]);
    assert_eq!(shares(&choice(&plan, &[], now), 200), BTreeMap::from([(1, 200)]));
    let now = later(now);
    assert_eq!(left(&plan, &[], None, now).count(), 3);
    assert_eq!(choice(&plan, &[], now).next(), Some((0, Standing::Probe)), "looking takes no place");
    assert_eq!(shares(&choice(&plan, &[], now), 200), BTreeMap::from([(1, 200)]));
    let probe = live(&plan, 0).begin();
    assert_eq!(shares(&choice(&plan, &[], now), 200), BTreeMap::from([(1, 200)]));
    probe.ended(How::Ok { first: None, total: SECOND, output: None });
    assert_eq!(shares(&choice(&plan, &[], now), 200).len(), 2);
}

#[test]
fn a_tier_of_one_may_be_ejected_where_another_follows() {
    let plan = plan(&[&[1.0], &[1.0]], Balance::Weighted);
    let now = eject(&plan, &[0]);
    assert_eq!(choice(&plan, &[], now).next(), Some((1, Standing::Ready)));
    assert!(matches!(choice(&plan, &[1], now).next(), Some((0, Standing::Ejected { .. }))), "better than an error");
    assert_eq!(choice(&plan, &[0, 1], now).next(), None);
}

#[test]
fn the_last_usable_target_is_never_left_out() {
    let alone = plan(&[&[1.0]], Balance::Weighted);
    let now = eject(&alone, &[0]);
    assert!(matches!(choice(&alone, &[], now).next(), Some((0, Standing::Ejected { .. }))));
    assert_eq!(choice(&alone, &[], later(now)).next(), Some((0, Standing::Probe)));
    assert!(matches!(choice(&alone, &[], later(now)).next(), Some((0, Standing::Ejected { .. }))));

    let both = plan(&[&[1.0], &[1.0]], Balance::Weighted);
    let now = eject(&both, &[1, 0]);
    let soonest = [0, 1].into_iter().min_by_key(|at| left_of(&both, *at, now)).unwrap();
    assert_eq!(choice(&both, &[], now).next().unwrap().0, soonest);
}

fn left_of(plan: &Plan, at: usize, now: Instant) -> Duration {
    match live(plan, at).standing(now) {
        Standing::Ejected { left } => left,
        other => panic!("{other:?}"),
    }
}

#[test]
fn at_most_half_of_a_tier_counts_as_ejected() {
    for (size, ejected, usable) in
        [(2, 2, 1), (3, 1, 2), (3, 2, 2), (3, 3, 2), (4, 2, 2), (4, 3, 2), (4, 4, 2), (5, 5, 3)]
    {
        let weights = vec![1.0; size];
        let plan = plan(&[&weights, &[1.0]], Balance::Weighted);
        let gone: Vec<usize> = (0..ejected).collect();
        let now = eject(&plan, &gone);
        let counts = shares(&choice(&plan, &[], now), 500);
        assert_eq!(counts.len(), usable, "{size} {ejected}: {counts:?}");
        assert!(!counts.contains_key(&size), "the next tier is not needed");
        let mut soonest: Vec<(Duration, usize)> = gone.iter().map(|at| (left_of(&plan, *at, now), *at)).collect();
        soonest.sort_unstable();
        let spared: Vec<usize> = soonest.iter().take(usable - (size - ejected)).map(|(_, at)| *at).collect();
        assert!(spared.iter().all(|at| counts.contains_key(at)), "those that return first: {counts:?} {soonest:?}");
    }
}

#[test]
fn a_drained_target_gets_no_call_at_all() {
    let plan = plan(&[&[1.0, 1.0], &[1.0]], Balance::Weighted);
    let now = Instant::now();
    live(&plan, 0).drain(Some(60 * SECOND));
    assert_eq!(shares(&choice(&plan, &[], now), 100), BTreeMap::from([(1, 100)]));
    assert_eq!(choice(&plan, &[1], now).next(), Some((2, Standing::Ready)));
    let ejected = eject(&plan, &[1]);
    assert_eq!(choice(&plan, &[], ejected).next(), Some((2, Standing::Ready)), "a tier of one, the drained one apart");
    for at in [1, 2] {
        live(&plan, at).drain(Some(60 * SECOND));
    }
    assert_eq!(choice(&plan, &[], now).next(), None);
    assert_eq!(choice(&plan, &[], now).ordered(&[2, 1, 0]), None);
    assert_eq!(left(&plan, &[], None, now).count(), 0);
    live(&plan, 2).drain(None);
    assert_eq!(choice(&plan, &[], now).next(), Some((2, Standing::Ready)));
}

#[test]
fn a_plugins_order_goes_before_tiers_and_leaves_out_what_it_leaves_out() {
    let plan = plan(&[&[1.0, 1.0], &[1.0], &[1.0]], Balance::Weighted);
    let order = [3, 0, 2];
    let now = Instant::now();
    assert_eq!(choice(&plan, &[], now).ordered(&order), Some((3, Standing::Ready)));
    assert_eq!(choice(&plan, &[3], now).ordered(&order), Some((0, Standing::Ready)));
    assert_eq!(choice(&plan, &[3, 0, 2], now).ordered(&order), None);
    assert_eq!(choice(&plan, &[], now).ordered(&[9]), None);
    let now = eject(&plan, &[3]);
    assert_eq!(choice(&plan, &[], now).ordered(&order), Some((0, Standing::Ready)));
    assert!(matches!(choice(&plan, &[0, 2], now).ordered(&order), Some((3, Standing::Ejected { .. }))));
    assert_eq!(choice(&plan, &[], later(now)).ordered(&order), Some((3, Standing::Probe)));
}

#[test]
fn least_in_flight_fills_by_weight() {
    let plan = plan(&[&[3.0, 1.0]], Balance::LeastInFlight);
    let now = Instant::now();
    let running: Vec<_> = (0..40).map(|_| live(&plan, choice(&plan, &[], now).next().unwrap().0).begin()).collect();
    assert_eq!([live(&plan, 0).in_flight(), live(&plan, 1).in_flight()], [30, 10]);
    drop(running);
    assert_eq!([live(&plan, 0).in_flight(), live(&plan, 1).in_flight()], [0, 0]);
    let even = self::plan(&[&[1.0, 1.0, 1.0]], Balance::LeastInFlight);
    assert_eq!(shares(&choice(&even, &[], now), 300).len(), 3, "equals share");
}

#[test]
fn the_fastest_gets_the_calls_and_what_nobody_knows_gets_one() {
    let plan = plan(&[&[1.0, 1.0, 1.0]], Balance::Fastest);
    first_token(&plan, 0, 900);
    first_token(&plan, 1, 100);
    let now = Instant::now();
    let counts = shares(&choice(&plan, &[], now), 3_000);
    assert!(!counts.contains_key(&0), "it loses to both: {counts:?}");
    assert!(counts[&2] > 1_500, "nobody knows it: {counts:?}");
    let _first = live(&plan, 2).begin();
    let counts = shares(&choice(&plan, &[], now), 3_000);
    assert!(!counts.contains_key(&2) && counts[&1] > 1_700, "one call is enough to know it: {counts:?}");
    first_token(&plan, 1, 2_000);
    let counts = shares(&choice(&plan, &[], now), 3_000);
    assert!(counts[&0] > 1_700, "one slow call shows at once: {counts:?}");
}

#[test]
fn an_idle_slow_target_is_tried_again_by_one_call() {
    let plan = plan(&[&[1.0, 1.0]], Balance::Fastest);
    first_token(&plan, 0, 900);
    first_token(&plan, 1, 100);
    let now = Instant::now();
    let _busy = live(&plan, 1).begin();
    assert_eq!(shares(&choice(&plan, &[], now), 100), BTreeMap::from([(1, 100)]));
    let much_later = now + 600 * SECOND;
    assert_eq!(shares(&choice(&plan, &[], much_later), 100), BTreeMap::from([(0, 100)]));
    let _trying = live(&plan, 0).begin();
    assert_eq!(shares(&choice(&plan, &[], much_later), 100), BTreeMap::from([(1, 100)]));
}

#[test]
fn the_cheapest_goes_first_the_unknown_last_and_equals_share() {
    let plan = plan(&[&[1.0, 1.0, 3.0, 1.0]], Balance::Cheapest);
    let prices = [None, Some(500), Some(500), Some(900)];
    let price = |candidate: &Candidate| prices[candidate.model.as_deref().unwrap().parse::<usize>().unwrap()];
    let now = Instant::now();
    let choice = |tried| Choice { price: &price, ..choice(&plan, tried, now) };
    let counts = shares(&choice(&[]), 4_000);
    assert!(counts.len() == 2 && (2_800..3_200).contains(&counts[&2]), "{counts:?}");
    assert_eq!(choice(&[1, 2]).next(), Some((3, Standing::Ready)));
    assert_eq!(choice(&[1, 2, 3]).next(), Some((0, Standing::Ready)));
}
