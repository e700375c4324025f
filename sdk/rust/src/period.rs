//! Durations in settings, written as in the gateway's own configuration.

use std::fmt;
use std::time::Duration;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

/// A duration as operators write it: a number and `ms`, `s`, `m`, `h` or `d`, such as `250ms` or `10m`. At most 36,500 days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period(Duration);

const UNITS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
const MAX_MS: u64 = 36_500 * 86_400_000;

impl Period {
    /// # Panics
    /// Never; a longer duration than the largest is the largest.
    pub const fn from_secs(seconds: u64) -> Period {
        let most = MAX_MS / 1000;
        Period(Duration::from_secs(if seconds > most { most } else { seconds }))
    }

    /// As the standard library has it.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// Whole milliseconds, as the gateway's functions take them.
    pub const fn ms(self) -> u64 {
        // The largest period is far below 2^63 ms.
        self.0.as_millis() as u64
    }

    /// `None` for anything but digits and a unit.
    pub fn parse(text: &str) -> Option<Period> {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at_checked(digits)?;
        let (_, factor) = UNITS.iter().find(|(name, _)| *name == unit.trim_start())?;
        let ms = number.parse::<u64>().ok()?.checked_mul(*factor)?;
        (ms <= MAX_MS).then(|| Period(Duration::from_millis(ms)))
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.ms();
        let fits = |factor: u64| ms >= factor && ms.is_multiple_of(factor);
        let (name, factor) = UNITS.iter().rev().find(|(_, factor)| fits(*factor)).unwrap_or(&("ms", 1));
        write!(f, "{}{name}", ms / factor)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Written;
        impl Visitor<'_> for Written {
            type Value = Period;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a duration such as 250ms, 10s, 5m, 1h or 7d")
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<Period, E> {
                Period::parse(text).ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
            }
        }
        deserializer.deserialize_str(Written)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_operators_write() {
        for (text, ms) in [
            ("0s", 0),
            ("250ms", 250),
            ("10s", 10_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("7d", 604_800_000),
            ("3 s", 3_000),
        ] {
            assert_eq!(Period::parse(text).unwrap().ms(), ms, "{text}");
        }
        for text in ["", "s", "10", "-1s", "1.5s", "1w", "1s1s", "99999999999999999999s", "36501d", "٣s"] {
            assert_eq!(Period::parse(text), None, "{text}");
        }
        let wrong = serde_json::from_str::<Period>("\"soon\"").unwrap_err().to_string();
        assert!(wrong.contains("a duration such as 250ms"), "{wrong}");
    }

    #[test]
    fn shows_itself_as_it_is_read() {
        for text in ["250ms", "10s", "5m", "1h", "7d", "90s", "0ms"] {
            assert_eq!(Period::parse(text).unwrap().to_string(), text);
        }
    }
}
