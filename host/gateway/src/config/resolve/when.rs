//! `when:` of a route's rule: which calls it is for.

use crate::config::error::{At, Report};
use crate::config::file;
use crate::config::route::{Hours, Tokens, When};
use crate::config::scalar::OneOrMany;

use super::plugins::{headers, labels, patterns_of};

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];
/// The farthest that a zone is from UTC, in minutes.
const FARTHEST: i32 = 14 * 60;
/// Prompts of more tokens are no prompts.
const MOST_TOKENS: f64 = 1e12;

pub(super) fn when(written: file::When, at: At<'_>, report: &mut Report) -> When {
    let mut list = |field: &str, patterns| patterns_of(patterns, at.key(field), report);
    let (operation, model) = (list("operation", written.operation), list("model", written.model));
    let (key, team) = (list("key", written.key), list("team", written.team));
    let tokens = written.tokens.and_then(|text| {
        let read = tokens(&text);
        if read.is_none() {
            let message = format!("expected a number of tokens, found `{}`", at.key("tokens").shown(&text));
            report.suggest(
                at.key("tokens").place(),
                message,
                "write `\">8k\"`, `\">=8000\"`, `\"<2k\"` or `\"<=2000\"`",
            );
        }
        read
    });
    let hours = hours(written.time.as_deref(), written.days, written.zone.as_deref(), at, report);
    let label = labels(written.label, at.key("label"), report);
    let header = headers(written.header, at.key("header"), report);
    When { operation, model, key, team, label, header, stream: written.stream, tokens, hours }
}

fn tokens(text: &str) -> Option<Tokens> {
    let text = text.trim();
    let end = text.find(|c: char| c != '<' && c != '>' && c != '=')?;
    let (sign, number) = text.split_at(end);
    let number = number.trim();
    let (digits, scale) = match number.char_indices().last()? {
        (at, 'k' | 'K') => (number.get(..at)?, 1e3),
        (at, 'M') => (number.get(..at)?, 1e6),
        _ => (number, 1.0),
    };
    let plain = digits.starts_with(|c: char| c.is_ascii_digit())
        && digits.ends_with(|c: char| c.is_ascii_digit())
        && digits.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let value = if plain { digits.parse::<f64>().ok()? * scale } else { return None };
    if value > MOST_TOKENS {
        return None;
    }
    let value = value.round() as u64;
    match sign {
        ">" => Some(Tokens { least: value + 1, most: u64::MAX }),
        ">=" => Some(Tokens { least: value, most: u64::MAX }),
        "<" => Some(Tokens { least: 0, most: value.checked_sub(1)? }),
        "<=" => Some(Tokens { least: 0, most: value }),
        _ => None,
    }
}

fn hours(
    time: Option<&str>,
    days: Option<OneOrMany<String>>,
    zone: Option<&str>,
    at: At<'_>,
    report: &mut Report,
) -> Option<Hours> {
    let mut bad = |field: &str, found: &str, expected: &str, example: &str| {
        let at = at.key(field);
        report.suggest(at.place(), format!("expected {expected}, found `{}`", at.shown(found)), example);
    };
    let offset = zone.map_or(Some(0), offset);
    if let (None, Some(zone)) = (offset, zone) {
        bad("zone", zone, "an offset from UTC", "write `UTC` or `\"+02:00\"`");
    }
    if time.is_none() && days.is_none() {
        if let (Some(_), Some(zone)) = (offset, zone) {
            bad("zone", zone, "`time` or `days` beside it", "leave `zone` out");
        }
        return None;
    }
    let span = time.map_or(Some((0, 1440)), span);
    if let (None, Some(time)) = (span, time) {
        bad("time", time, "a time of day", "write `\"22:00-06:00\"`");
    }
    let mut wanted = [days.is_none(); 7];
    for day in days.into_iter().flat_map(|OneOrMany(days)| days) {
        match DAYS.iter().position(|known| day.eq_ignore_ascii_case(known)).and_then(|at| wanted.get_mut(at)) {
            Some(wanted) => *wanted = true,
            None => bad("days", &day, "a day of the week", "write `mon`, `tue`, `wed`, `thu`, `fri`, `sat` or `sun`"),
        }
    }
    let (from, to) = span?;
    Some(Hours { from, to, days: wanted, offset: offset? })
}

/// `22:00-06:00` in minutes of the day. A span of nothing is none.
fn span(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-')?;
    let (from, to) = (clock(from.trim())?, clock(to.trim())?);
    (from != to && from < 1440).then_some((from, to))
}

/// `22:00` in minutes; up to `24:00`.
fn clock(text: &str) -> Option<u16> {
    let (hours, minutes) = text.split_once(':')?;
    let number = |text: &str, most: u16| {
        let digits = (1..=2).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        text.parse::<u16>().ok().filter(|value| digits && *value <= most)
    };
    let minutes = if minutes.len() == 2 { number(minutes, 59)? } else { return None };
    let value = number(hours, 24)? * 60 + minutes;
    (value <= 1440).then_some(value)
}

fn offset(text: &str) -> Option<i32> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("utc") || text == "Z" {
        return Some(0);
    }
    let (sign, rest) = match text.strip_prefix('+') {
        Some(rest) => (1, rest),
        None => (-1, text.strip_prefix('-')?),
    };
    let minutes = i32::from(clock(rest)?);
    (minutes <= FARTHEST).then_some(sign * minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_people_write_them() {
        let more = |least| Some(Tokens { least, most: u64::MAX });
        let less = |most| Some(Tokens { least: 0, most });
        for (text, due) in [
            (">8k", more(8001)),
            (">= 8000", more(8000)),
            ("<2k", less(1999)),
            ("<=1.5k", less(1500)),
            (">1M", more(1_000_001)),
            ("8k", None),
            ("<0", None),
            (">", None),
            (">-1", None),
            ("=8k", None),
            ("><8k", None),
            (">1e3", None),
            (">8.", None),
            (">99999999999M", None),
        ] {
            assert_eq!(tokens(text), due, "{text}");
        }
    }

    #[test]
    fn times_and_zones_have_their_bounds() {
        assert_eq!(span("22:00-06:00"), Some((1320, 360)));
        assert_eq!(span("0:00 - 24:00"), Some((0, 1440)));
        for bad in ["", "22:00", "22-6", "22:00-22:00", "24:00-06:00", "25:00-06:00", "10:60-11:00", "1:5-2:00", "-"] {
            assert_eq!(span(bad), None, "{bad}");
        }
        assert_eq!(
            [offset("UTC"), offset("+02:00"), offset("-05:30"), offset("Z")],
            [Some(0), Some(120), Some(-330), Some(0)]
        );
        for bad in ["", "02:00", "+2", "+15:00", "Europe/Berlin"] {
            assert_eq!(offset(bad), None, "{bad}");
        }
    }
}
