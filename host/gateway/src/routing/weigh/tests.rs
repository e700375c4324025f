use super::*;

const PICKS: usize = 100_000;

fn numbered(weights: &[f64]) -> impl Iterator<Item = (u64, f64)> + Clone {
    weights.iter().enumerate().map(|(at, weight)| (id(&format!("p/m{at}")), *weight))
}

/// The sets that picks are held against: alike, one in a million, every power of ten, many of random weight.
fn sets() -> Vec<Vec<f64>> {
    let mut numbers = fastrand::Rng::with_seed(3);
    vec![
        vec![1.0, 1.0],
        vec![0.8, 0.2],
        vec![95.0, 5.0],
        vec![0.001, 0.002, 0.003],
        vec![0.001, 1000.0],
        vec![0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0],
        vec![1000.0, 999.0, 998.0, 0.5, 250.0],
        vec![1.0; 50],
        (0..50).map(|_| 10_f64.powf(numbers.f64() * 6.0 - 3.0)).collect(),
    ]
}

/// Pearson's statistic against the weights' shares, and what it exceeds once in a thousand times. Cells that expect fewer than five
/// are counted as one, because the statistic is not chi-square distributed over them.
fn chi_square(weights: &[f64], counts: &[usize]) -> (f64, f64) {
    let (total, picks): (f64, usize) = (weights.iter().sum(), counts.iter().sum());
    let (mut statistic, mut cells, mut rare) = (0.0, 0, (0.0, 0.0));
    let mut cell = |expected: f64, seen: f64| {
        statistic += (seen - expected).powi(2) / expected;
        cells += 1;
    };
    for (weight, seen) in weights.iter().zip(counts) {
        let expected = weight / total * picks as f64;
        if expected >= 5.0 {
            cell(expected, *seen as f64);
        } else {
            rare = (rare.0 + expected, rare.1 + *seen as f64);
        }
    }
    if rare.0 >= 5.0 {
        cell(rare.0, rare.1);
    } else {
        assert!(rare.1 <= 12.0, "{} picks of what expects {}", rare.1, rare.0);
    }
    // Wilson and Hilferty's approximation, at 0.999.
    let degrees = f64::from((cells - 1).max(1));
    let critical = degrees * (1.0 - 2.0 / (9.0 * degrees) + 3.09 * (2.0 / (9.0 * degrees)).sqrt()).powi(3);
    (statistic, critical)
}

fn hold(weights: &[f64], draw: impl Fn(u64) -> Option<usize>) {
    let mut counts = vec![0; weights.len()];
    for turn in 0..PICKS as u64 {
        counts[draw(turn).unwrap()] += 1;
    }
    let (statistic, critical) = chi_square(weights, &counts);
    assert!(statistic <= critical, "{statistic:.1} > {critical:.1} for {weights:?}: {counts:?}");
}

#[test]
fn picks_are_as_the_weights_say() {
    fastrand::seed(7);
    for weights in sets() {
        hold(&weights, |_| pick(numbered(&weights), None));
    }
}

#[test]
fn sessions_are_spread_as_the_weights_say() {
    for weights in sets() {
        hold(&weights, |session| pick(numbered(&weights), Some(session)));
    }
}

#[test]
fn the_statistic_finds_a_share_that_is_off() {
    let weights = [80.0, 20.0];
    let (statistic, critical) = chi_square(&weights, &[79_000, 21_000]);
    assert!(statistic > critical, "{statistic} {critical}");
    let (statistic, critical) =
        chi_square(&[1.0; 10], &[9500, 10_500, 10_000, 10_000, 10_000, 10_000, 10_000, 10_000, 9800, 10_200]);
    assert!(statistic > critical, "{statistic} {critical}");
}

#[test]
fn a_session_stays_and_only_those_move_that_must() {
    let weights = [3.0, 1.0, 0.5, 5.0, 0.001, 1000.0, 2.0];
    let all: Vec<(u64, f64)> = numbered(&weights).collect();
    let chosen = |items: &[(u64, f64)], session| items[pick(items.iter().copied(), Some(session)).unwrap()].0;
    for left in 0..all.len() {
        let mut fewer = all.clone();
        let (gone, _) = fewer.remove(left);
        for session in 0..2_000 {
            let (before, after) = (chosen(&all, session), chosen(&fewer, session));
            assert_eq!(before, chosen(&all, session));
            if before != gone {
                assert_eq!(before, after, "its item is still there; and an item that comes back takes only its own");
            }
        }
    }
    let mut turned = all.clone();
    turned.reverse();
    assert!((0..2_000).all(|session| chosen(&all, session) == chosen(&turned, session)), "the order decides nothing");
}

#[test]
fn what_has_no_weight_is_never_chosen() {
    for session in [None, Some(5)] {
        assert_eq!(pick(std::iter::empty(), session), None);
        let none = [(1, 0.0), (2, -1.0), (3, f64::NAN), (4, f64::INFINITY)];
        assert_eq!(pick(none.into_iter(), session), None);
        let one = [(1, 0.0), (2, 0.001), (3, f64::NAN)];
        assert!((0..1_000).all(|_| pick(one.into_iter(), session) == Some(1)));
        let two = [(1, 0.0), (2, 1.0), (3, 0.0), (4, 1.0), (5, 0.0)];
        assert!((0..1_000).all(|_| matches!(pick(two.into_iter(), session), Some(1 | 3))));
    }
}

#[test]
fn ids_are_the_same_for_ever() {
    // A change here moves every session of every installation to another key.
    assert_eq!(id(""), 0xc381_7c01_6ba4_ff30);
    assert_eq!(id("openai/gpt-4o"), 0x7ecb_dc23_2ab2_6ae3);
}
