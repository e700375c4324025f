//! The event that nearly every event of a stream is: one piece of text or of a call's arguments, and nothing else that is new.
//!
//! Read where it lies, without a tree. Whatever has anything more in it, or the same member twice, is left to the decoder's full look.

use std::ops::Range;

use crate::json;
use crate::text::walk;

/// One piece.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub choice: u32,
    pub place: Place,
    /// The string literal.
    pub literal: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Content,
    Reasoning,
    Refusal,
    /// The arguments of the call of that number.
    Arguments(u64),
}

/// The piece of a valid event; `None` where it has to be looked at in full.
pub(super) fn piece(data: &[u8]) -> Option<Piece> {
    let mut choices = None;
    let mut plain = true;
    json::validate_members(data, |member| {
        plain &= match data.get(member.key.clone()).unwrap_or_default() {
            b"\"choices\"" => choices.replace(member.value.start).is_none(),
            // Said with every event, or random.
            b"\"id\"" | b"\"object\"" | b"\"created\"" | b"\"model\"" | b"\"obfuscation\"" | b"\"p\"" => true,
            b"\"service_tier\"" | b"\"system_fingerprint\"" | b"\"provider\"" => true,
            _ => data.get(member.value) == Some(b"null"),
        };
    })
    .ok()?;
    let choices = choices.filter(|_| plain)?;
    let mut found = None;
    let mut count = 0;
    walk::items(data, choices, |at| {
        count += 1;
        choice(data, at, &mut found)
    })?;
    found.filter(|_| count == 1)
}

/// `None` ends the walk, and with it the quick look.
fn choice(data: &[u8], at: usize, found: &mut Option<Piece>) -> Option<usize> {
    let (mut index, mut piece) = (None, None);
    let end = walk::members(data, at, |key, at| {
        let value = json::value(data, at)?;
        match data.get(key)? {
            b"\"index\"" if index.is_none() => index = Some(number(data, &value)?),
            b"\"delta\"" if piece.is_none() => piece = Some(delta(data, at)?),
            _ if is_null(data, &value) => {}
            _ => return None,
        }
        Some(value.end)
    })?;
    let (place, literal) = piece?;
    *found = Some(Piece { choice: u32::try_from(index.unwrap_or(0)).ok()?, place, literal });
    Some(end)
}

fn delta(data: &[u8], at: usize) -> Option<(Place, Range<usize>)> {
    let mut found = None;
    walk::members(data, at, |key, at| {
        let value = json::value(data, at)?;
        let end = value.end;
        let empty = is_null(data, &value) || matches!(data.get(value.clone()), Some(b"\"\"" | b"[]"));
        let place = match data.get(key)? {
            b"\"role\"" | b"\"padding\"" => return Some(end),
            _ if empty => return Some(end),
            b"\"content\"" => (Place::Content, value),
            b"\"reasoning_content\"" | b"\"reasoning\"" => (Place::Reasoning, value),
            b"\"refusal\"" => (Place::Refusal, value),
            b"\"tool_calls\"" => call(data, at)?,
            _ => return None,
        };
        let text = data.get(place.1.start) == Some(&b'"');
        (found.replace(place).is_none() && text).then_some(end)
    })?;
    found
}

/// A later fragment of one call: its number and arguments.
fn call(data: &[u8], at: usize) -> Option<(Place, Range<usize>)> {
    let (mut number, mut arguments, mut count) = (None, None, 0);
    walk::items(data, at, |at| {
        count += 1;
        walk::members(data, at, |key, at| {
            let value = json::value(data, at)?;
            match data.get(key)? {
                b"\"index\"" if number.is_none() => number = Some(self::number(data, &value)?),
                b"\"type\"" => {}
                b"\"function\"" if arguments.is_none() => {
                    walk::members(data, at, |key, at| {
                        let value = json::value(data, at)?;
                        match data.get(key)? {
                            b"\"arguments\"" if arguments.is_none() => arguments = Some(value.clone()),
                            _ if is_null(data, &value) => {}
                            _ => return None,
                        }
                        Some(value.end)
                    })?;
                }
                _ if is_null(data, &value) => {}
                _ => return None,
            }
            Some(value.end)
        })
    })?;
    Some((Place::Arguments(number?), arguments.filter(|_| count == 1)?))
}

fn number(data: &[u8], value: &Range<usize>) -> Option<u64> {
    std::str::from_utf8(data.get(value.clone())?).ok()?.parse().ok()
}

fn is_null(data: &[u8], value: &Range<usize>) -> bool {
    data.get(value.clone()) == Some(b"null")
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_and_nothing_else() {
        let around = |delta: &str| {
            format!(
                r#"{{"id":"a","choices":[{{"index":1,"delta":{delta},"logprobs":null,"finish_reason":null}}],"usage":null}}"#
            )
        };
        for (delta, place, literal) in [
            (r#"{"content":"x"}"#, Place::Content, "\"x\""),
            (r#"{"role":"assistant","content":"","reasoning":"y"}"#, Place::Reasoning, "\"y\""),
            (r#"{"content":null,"refusal":"z","tool_calls":[]}"#, Place::Refusal, "\"z\""),
            (
                r#"{"tool_calls":[{"index":2,"id":null,"type":"function","function":{"arguments":"{\"a"}}]}"#,
                Place::Arguments(2),
                "\"{\\\"a\"",
            ),
        ] {
            let event = around(delta);
            let piece = piece(event.as_bytes()).unwrap();
            assert_eq!((piece.choice, piece.place, &event[piece.literal]), (1, place, literal));
        }
        for delta in [
            r#"{"content":"x","reasoning":"y"}"#,
            r#"{"content":"x","content":"y"}"#,
            r#"{"content":["x"]}"#,
            r#"{"content":""}"#,
            r#"{"content":"x","annotations":[{}]}"#,
            r#"{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"x"}}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"arguments":"x"}},{"index":1,"function":{"arguments":"x"}}]}"#,
            r#"{"tool_calls":[{"function":{"arguments":"x"}}]}"#,
        ] {
            assert_eq!(piece(around(delta).as_bytes()), None, "{delta}");
        }
        for event in [
            r#"{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"x"}},{"index":1,"delta":{"content":"x"}}]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"x"}}],"error":{"message":"x"}}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"x"}}],"usage":{"prompt_tokens":1}}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"x"}}],"choices":[]}"#,
            r#"{"choices":[{"index":0,"delta":{"content":"x"}}]"#,
            "[]",
        ] {
            assert_eq!(piece(event.as_bytes()), None, "{event}");
        }
    }
}
