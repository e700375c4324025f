//! Durations, sizes and names as people write them: `10s`, `64MiB`, `gpt-4o*`.
//!
//! Pure text to value and back; it reads no file and knows no field. The ranges here hold for every field of the kind.

use std::fmt;
use std::time::Duration;

/// The longest duration any field takes: longer ones are slips of the pen and would never fire.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// The largest size any field takes, 1 TiB.
const LARGEST: u64 = 1 << 40;

const SIZE_UNITS: [(&str, u64); 7] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("B", 1),
];

/// Reads `500ms`, `10s`, `2m` or `1h`; decimals (`1.5s`) are allowed. From 1 ms to 24 h.
///
/// # Errors
/// A sentence that says what was expected, without the value itself.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split(text);
    let scale = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        _ => return Err("expected a duration with a unit, such as `500ms`, `10s`, `2m` or `1h`".to_owned()),
    };
    let seconds = decimal(number).ok_or("expected a duration such as `500ms`, `10s`, `2m` or `1h`")? * scale;
    // To whole microseconds: 0.3s in binary fractions would otherwise be 299.99999 ms.
    let value = Duration::try_from_secs_f64((seconds * 1e6).round() / 1e6).unwrap_or(Duration::MAX);
    if value < Duration::from_millis(1) || value > LONGEST {
        return Err("expected a duration from 1ms to 24h".to_owned());
    }
    Ok(value)
}

/// Reads `64MiB`, `1MB`, `512B`: binary (`KiB`, `MiB`, `GiB`) and decimal (`kB`, `KB`, `MB`, `GB`) units. From 1 B to 1 TiB.
///
/// # Errors
/// A sentence that says what was expected, without the value itself.
pub fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let unit = if unit == "KB" { "kB" } else { unit };
    let scale = SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, scale)| *scale);
    let scale = scale.ok_or("expected a size with a unit, such as `512B`, `64KiB`, `1MB` or `2GiB`")?;
    let number = decimal(number).ok_or("expected a size such as `512B`, `64KiB`, `1MB` or `2GiB`")?;
    let bytes = (number * scale as f64).round();
    if bytes < 1.0 || bytes > LARGEST as f64 {
        return Err("expected a size from 1B to 1024GiB".to_owned());
    }
    Ok(bytes as u64)
}

/// The inverse of [`duration`], as a whole number of one unit. Parts of a millisecond are dropped.
pub fn show_duration(value: Duration) -> String {
    let ms = value.as_millis();
    // Minutes only from ten on: 60s, 75s and 120s beside each other read better than 1m, 75s and 2m.
    for (name, scale, least) in [("h", 3_600_000, 3_600_000), ("m", 60_000, 600_000), ("s", 1000, 1000)] {
        if ms >= least && ms.is_multiple_of(scale) {
            return format!("{}{name}", ms / scale);
        }
    }
    format!("{ms}ms")
}

/// The inverse of [`size`], in the largest binary unit that gives a whole number.
pub fn show_size(bytes: u64) -> String {
    for (name, scale) in [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
        if bytes > 0 && bytes.is_multiple_of(scale) {
            return format!("{}{name}", bytes / scale);
        }
    }
    format!("{bytes}B")
}

/// Whether `name` matches `pattern`, in which `*` stands for any text and everything else for itself.
/// Linear in both lengths: the leftmost place of each part is always a right one, so nothing is tried twice.
pub fn glob(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let head = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(head) else { return false };
    let Some(tail) = parts.next_back() else { return rest.is_empty() };
    let Some(middle) = rest.strip_suffix(tail) else { return false };
    rest = middle;
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    true
}

/// Whether any of `patterns` matches `name`; no patterns at all stand for every name.
pub fn allows(patterns: &[String], name: &str) -> bool {
    patterns.is_empty() || patterns.iter().any(|pattern| glob(pattern, name))
}

fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    (number, unit.trim_start())
}

/// Digits with at most one point: `f64::from_str` alone would also take `inf`, `1e9` and signs.
pub(super) fn decimal(text: &str) -> Option<f64> {
    let digits = text.starts_with(|c: char| c.is_ascii_digit()) && text.ends_with(|c: char| c.is_ascii_digit());
    if digits && text.len() <= 18 { text.parse().ok() } else { None }
}

/// Shows a list of names as `` `a`, `b` or `c` ``.
pub(super) struct Names<'a>(pub(super) &'a [&'a str]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.0.iter().enumerate() {
            let before = match i {
                0 => "",
                _ if i + 1 == self.0.len() => " or ",
                _ => ", ",
            };
            write!(f, "{before}`{name}`")?;
        }
        Ok(())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units_and_bounds() {
        for (text, ms) in
            [("10s", 10_000), ("500ms", 500), ("2m", 120_000), ("1h", 3_600_000), ("1.5s", 1500), ("10 s", 10_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
        for bad in [
            "",
            "10",
            "s",
            "-1s",
            "1e3s",
            "10sec",
            "0s",
            "0.0001ms",
            "25h",
            ".5s",
            "1.s",
            "1..2s",
            "infs",
            "99999999999999999999s",
        ] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_have_units_and_bounds() {
        for (text, bytes) in [
            ("64MiB", 64 << 20),
            ("1MB", 1_000_000),
            ("1KB", 1000),
            ("512B", 512),
            ("1.5KiB", 1536),
            ("1 GiB", 1 << 30),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "64", "MiB", "-1B", "0B", "64mib", "2000GiB", "1e3B"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn shown_values_read_back() {
        for ms in [1, 500, 1000, 1500, 90_000, 600_000, 3_600_000] {
            let value = Duration::from_millis(ms);
            assert_eq!(duration(&show_duration(value)), Ok(value));
        }
        for bytes in [1, 1000, 1024, 1536, 64 << 20, 1 << 30] {
            assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }
    }

    #[test]
    fn globs_match_like_a_reader_expects() {
        for (pattern, name) in [
            ("*", ""),
            ("*", "a"),
            ("gpt-4o*", "gpt-4o-mini"),
            ("*mini", "gpt-mini"),
            ("a*b*c", "a1b2b3c"),
            ("a", "a"),
            ("**", "x"),
            ("a*a", "aa"),
        ] {
            assert!(glob(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("", "a"),
            ("a", ""),
            ("gpt-4o", "gpt-4o-mini"),
            ("a*a", "a"),
            ("a*b*c", "abd"),
            ("*b*b*", "b"),
            ("A", "a"),
        ] {
            assert!(!glob(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn globs_are_linear_on_hostile_patterns() {
        let pattern = "*a".repeat(2000) + "b";
        assert!(!glob(&pattern, &"a".repeat(100_000)));
    }
}
