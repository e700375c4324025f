//! Whether a call is one that a route's rule is for. What follows from it is `plan`'s.

use std::time::{SystemTime, UNIX_EPOCH};

use super::capability::Needs;
use super::plan::Wish;
use crate::config::{Hours, When, glob};

/// 1970 began on a Thursday; days count from Monday.
const FIRST_DAY: i64 = 3;
const MINUTES: i64 = 24 * 60;

/// Everything that `when` asks for holds. What the call does not have (an anonymous caller's key, a header that was not sent) fits no
/// pattern. `needs` scans the request and is asked last.
pub(super) fn fits(when: &When, wish: &Wish<'_>, needs: &dyn Fn() -> Needs) -> bool {
    let caller = wish.caller;
    let asked = |patterns: &[String], found: Option<&str>| {
        patterns.is_empty() || found.is_some_and(|found| matches(patterns, found))
    };
    asked(&when.operation, Some(wish.operation))
        && asked(&when.model, wish.model)
        && asked(&when.key, caller.map(|caller| &*caller.key))
        && asked(&when.team, caller.and_then(|caller| caller.team.as_deref()))
        && when.stream.is_none_or(|stream| stream == wish.streamed)
        && when.label.iter().all(|(name, patterns)| {
            caller.and_then(|caller| caller.label(name)).is_some_and(|value| matches(patterns, value))
        })
        && when.header.iter().all(|(name, patterns)| {
            let mut values = wish.headers.get_all(name).iter();
            values.any(|value| matches(patterns, &String::from_utf8_lossy(value.as_bytes())))
        })
        && when.hours.is_none_or(|hours| within(hours, wish.now))
        && when.tokens.is_none_or(|tokens| (tokens.least..=tokens.most).contains(&needs().tokens))
}

fn matches(patterns: &[String], text: &str) -> bool {
    patterns.iter().any(|pattern| glob(pattern, text))
}

fn within(hours: Hours, now: SystemTime) -> bool {
    let seconds = now.duration_since(UNIX_EPOCH).map_or(0, |time| i64::try_from(time.as_secs()).unwrap_or(i64::MAX));
    let minutes = seconds.div_euclid(60).saturating_add(i64::from(hours.offset));
    let (day, minute) = (minutes.div_euclid(MINUTES) + FIRST_DAY, minutes.rem_euclid(MINUTES));
    let on = |day: i64| usize::try_from(day.rem_euclid(7)).ok().and_then(|day| hours.days.get(day)) == Some(&true);
    let (from, to) = (i64::from(hours.from), i64::from(hours.to));
    if from < to {
        return (from..to).contains(&minute) && on(day);
    }
    // Over midnight: the evening of a wanted day, or the morning after one.
    (minute >= from && on(day)) || (minute < to && on(day - 1))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// 2026-11-23 was a Monday.
    const MONDAY: u64 = 1_795_392_000;

    fn at(day: u64, hour: u64, minute: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(MONDAY + day * 86_400 + hour * 3_600 + minute * 60)
    }

    fn days(wanted: &[usize]) -> [bool; 7] {
        std::array::from_fn(|day| wanted.contains(&day))
    }

    #[test]
    fn a_span_within_a_day() {
        let office = Hours { from: 9 * 60, to: 17 * 60, days: days(&[0, 1, 2, 3, 4]), offset: 0 };
        for (time, due) in [
            (at(0, 9, 0), true),
            (at(0, 8, 59), false),
            (at(4, 16, 59), true),
            (at(4, 17, 0), false),
            (at(5, 12, 0), false),
            (at(7, 12, 0), true),
        ] {
            assert_eq!(within(office, time), due, "{time:?}");
        }
        assert!(within(Hours { offset: 120, ..office }, at(0, 7, 0)), "nine in the morning two hours east");
        assert!(!within(Hours { offset: -300, ..office }, at(0, 9, 0)), "four in the morning five hours west");
    }

    #[test]
    fn a_span_over_midnight_belongs_to_the_day_on_which_it_begins() {
        let night = Hours { from: 22 * 60, to: 6 * 60, days: days(&[4]), offset: 0 };
        for (time, due) in [
            (at(4, 22, 0), true),
            (at(5, 5, 59), true),
            (at(5, 6, 0), false),
            (at(4, 5, 0), false),
            (at(5, 22, 0), false),
        ] {
            assert_eq!(within(night, time), due, "{time:?}");
        }
    }
}
