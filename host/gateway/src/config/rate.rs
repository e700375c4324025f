//! What callers may take in a time, and until when: `600/min`, `100k/min`, `2027-01-31`.
//!
//! Pure text to value and back, like [`super::units`]; whether a caller is over its rate is governance's to say.

use std::time::{Duration, SystemTime};

/// The largest amount any rate takes.
const MOST: f64 = 1e12;

/// Words for a time, the one that is shown first.
const TIMES: [(&str, u64); 8] =
    [("s", 1), ("min", 60), ("h", 3600), ("day", 86_400), ("sec", 1), ("m", 60), ("hour", 3600), ("d", 86_400)];

const AMOUNTS: [(char, u64); 3] = [('k', 1_000), ('M', 1_000_000), ('G', 1_000_000_000)];

/// So much in a time: requests or tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// At least 1, at most 10^12.
    pub amount: u64,
    /// A second, a minute, an hour or a day.
    pub per: Duration,
}

impl Rate {
    /// The time's word.
    pub fn word(&self) -> &'static str {
        TIMES.iter().find(|(_, seconds)| *seconds == self.per.as_secs()).map_or("s", |(word, _)| word)
    }
}

/// Reads `600/min`, `100k/min`, `1.5M/day`.
///
/// # Errors
/// A sentence that says what was expected, without the value itself.
pub fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || "expected an amount in a time, such as `10/s`, `600/min`, `100k/min` or `1M/day`".to_owned();
    let (amount, time) = text.split_once('/').ok_or_else(wrong)?;
    let (amount, time) = (amount.trim(), time.trim());
    let seconds = TIMES.iter().find(|(word, _)| *word == time).map(|(_, seconds)| *seconds).ok_or_else(wrong)?;
    let last = amount.chars().next_back().map(|letter| if letter == 'K' { 'k' } else { letter });
    let scale = AMOUNTS.iter().find(|(letter, _)| Some(*letter) == last).map(|(_, scale)| *scale);
    let digits = amount.get(..amount.len() - usize::from(scale.is_some())).unwrap_or_default();
    // `decimal` reads a number's exponent, too.
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let number = super::units::decimal(digits).filter(|_| plain).ok_or_else(wrong)?;
    let amount = (number * scale.unwrap_or(1) as f64).round();
    if !(1.0..=MOST).contains(&amount) {
        return Err("expected an amount from 1 to 1000G".to_owned());
    }
    Ok(Rate { amount: amount as u64, per: Duration::from_secs(seconds) })
}

/// The inverse of [`rate`].
pub fn show_rate(rate: Rate) -> String {
    let scale = AMOUNTS.iter().rev().find(|(_, scale)| rate.amount.is_multiple_of(*scale));
    match scale {
        Some((letter, scale)) => format!("{}{letter}/{}", rate.amount / scale, rate.word()),
        None => format!("{}/{}", rate.amount, rate.word()),
    }
}

/// Reads a date, which stands for the end of that day in UTC, or a date and time with its zone (RFC 3339).
///
/// # Errors
/// A sentence that says what was expected, without the value itself.
pub fn moment(text: &str) -> Result<SystemTime, String> {
    const WRONG: &str = "expected a date or a time such as `2027-01-31` or `2027-01-31T18:00:00Z`";
    let text = text.trim();
    let wrong = |_| WRONG.to_owned();
    if text.len() == 10 {
        let begins = humantime::parse_rfc3339(&format!("{text}T00:00:00Z")).map_err(wrong)?;
        return begins.checked_add(Duration::from_secs(86_400)).ok_or_else(|| WRONG.to_owned());
    }
    let (local, zone) = match text.strip_suffix(['Z', 'z']) {
        Some(local) => (local, ""),
        None => text.len().checked_sub(6).and_then(|at| text.split_at_checked(at)).ok_or(WRONG)?,
    };
    let local = humantime::parse_rfc3339(&format!("{}Z", local.replacen('t', "T", 1))).map_err(wrong)?;
    let ahead = |sign: char| zone.strip_prefix(sign).map(|zone| offset(zone).ok_or(WRONG));
    let moved = match (ahead('+'), ahead('-')) {
        (Some(ahead), _) => local.checked_sub(ahead?),
        (_, Some(behind)) => local.checked_add(behind?),
        _ if zone.is_empty() => Some(local),
        _ => None,
    };
    moved.ok_or_else(|| WRONG.to_owned())
}

/// `hh:mm`.
fn offset(zone: &str) -> Option<Duration> {
    let (hours, minutes) = zone.split_once(':')?;
    let two = |text: &str, below: u64| {
        let digits = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u64>().ok().filter(|value| digits && *value < below)
    };
    Some(Duration::from_secs(two(hours, 24)? * 3600 + two(minutes, 60)? * 60))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_an_amount_and_a_time() {
        for (text, amount, seconds) in [
            ("600/min", 600, 60),
            ("10/s", 10, 1),
            ("100k/min", 100_000, 60),
            ("100K / m", 100_000, 60),
            ("1.5M/day", 1_500_000, 86_400),
            ("1000G/h", 1_000_000_000_000, 3600),
            ("0.5k/hour", 500, 3600),
        ] {
            assert_eq!(rate(text), Ok(Rate { amount, per: Duration::from_secs(seconds) }), "{text}");
        }
        for bad in [
            "",
            "600",
            "/min",
            "600/",
            "600/week",
            "0/min",
            "0.2/s",
            "-1/s",
            "1e3/s",
            "2000G/s",
            "k/min",
            "1kk/s",
            "k/s",
            "6/min/s",
            "\u{ff11}/s",
            "1\u{212a}/s",
        ] {
            assert!(rate(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shown_rates_read_back() {
        for text in ["1/s", "600/min", "100k/min", "1500k/day", "3G/h", "1001/min"] {
            assert_eq!(show_rate(rate(text).unwrap()), text);
        }
    }

    #[test]
    fn moments_are_days_or_times_with_a_zone() {
        let at = |text: &str| humantime::parse_rfc3339(text).unwrap();
        for (text, same) in [
            ("2027-01-31", "2027-02-01T00:00:00Z"),
            ("2027-01-31T18:00:00Z", "2027-01-31T18:00:00Z"),
            ("2027-01-31t18:00:00.5z", "2027-01-31T18:00:00.5Z"),
            ("2027-01-31T18:00:00+02:00", "2027-01-31T16:00:00Z"),
            ("2027-01-31T18:00:00-05:30", "2027-01-31T23:30:00Z"),
        ] {
            assert_eq!(moment(text), Ok(at(same)), "{text}");
        }
        for bad in [
            "",
            "soon",
            "2027-13-01",
            "2027-02-30",
            "2027-01-31T18:00:00",
            "2027-01-31 18:00",
            "31.01.2027",
            "2027-01-31T18:00:00+2:00",
            "2027-01-31T18:00:00+24:00",
            "2027-01-31T18:00:00+\u{e9}a:0",
            "1970-01-01T00:00:00+1",
        ] {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }
}
