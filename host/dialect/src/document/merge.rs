//! Carrying an edit from one form of a document into another: what differs between two trees is done to the bytes that the first stands for.
//!
//! `before` is the original as another form could say it, `after` the same with the edit. Where they are equal the original's bytes stay,
//! white space and unknown members included; where they differ the original takes what `after` has. It guesses where lists do not
//! correspond, so whoever calls has to look at the result.

use std::ops::Range;

use bytes::Bytes;
use serde_json::{Map, Value};

use super::splice;
use crate::json::{self, build};

type Edits = Vec<(Range<usize>, Vec<u8>)>;

/// The original with the difference between the trees. The original must be valid JSON.
pub(crate) fn carried(original: &[u8], before: &Value, after: &Value) -> Option<Bytes> {
    let whole = json::value(original, 0)?;
    let mut edits = Edits::new();
    merge(original, whole, before, after, &mut edits);
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let edits: Vec<(Range<usize>, &[u8])> = edits.iter().map(|(range, new)| (range.clone(), new.as_slice())).collect();
    Some(splice::apply(original, &edits))
}

fn merge(bytes: &[u8], range: Range<usize>, before: &Value, after: &Value, edits: &mut Edits) {
    if before == after {
        return;
    }
    match (bytes.get(range.start), before, after) {
        (Some(b'{'), Value::Object(before), Value::Object(after)) => object(bytes, range, before, after, edits),
        (Some(b'['), Value::Array(before), Value::Array(after)) => array(bytes, range, before, after, edits),
        _ => edits.push((range, text(after))),
    }
}

fn text(value: &Value) -> Vec<u8> {
    let mut out = Vec::new();
    build::value(&mut out, value);
    out
}

/// A name without what differs between spellings: `systemInstruction` and `system_instruction`.
fn plain(name: &str) -> String {
    name.chars().filter(|character| *character != '_').flat_map(char::to_lowercase).collect()
}

fn object(
    bytes: &[u8],
    range: Range<usize>,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    edits: &mut Edits,
) {
    let members: Vec<(String, json::Member)> = json::object(bytes, range.start)
        .into_iter()
        .flatten()
        .filter_map(|member| Some((json::string(bytes, member.key.clone())?.into_owned(), member)))
        .collect();
    let known = |name: &str| members.iter().any(|(known, _)| known == name);
    // What the original says under another spelling, or not at all.
    let added: Vec<(&String, &Value)> =
        after.iter().filter(|(name, value)| !known(name) && before.get(*name) != Some(*value)).collect();
    let stale = |name: &str| {
        let changed = before.get(name).is_some() && after.get(name).is_none();
        let respelt = !before.contains_key(name) && added.iter().any(|(added, _)| plain(added) == plain(name));
        changed || respelt
    };
    if !members.iter().any(|(name, _)| stale(name)) {
        for (name, member) in &members {
            if let (Some(before), Some(after)) = (before.get(name), after.get(name)) {
                merge(bytes, member.value.clone(), before, after, edits);
            } else if let Some(after) = after.get(name) {
                edits.push((member.value.clone(), text(after)));
            }
        }
        let mut new = Vec::new();
        for (name, value) in added {
            if !members.is_empty() || !new.is_empty() {
                new.push(b',');
            }
            json::quote(name, &mut new);
            new.push(b':');
            build::value(&mut new, value);
        }
        if !new.is_empty() {
            let at = members.last().map_or(range.start + 1, |(_, member)| member.value.end);
            edits.push((at..at, new));
        }
        return;
    }
    let mut out = vec![b'{'];
    for (name, member) in members.iter().filter(|(name, _)| !stale(name)) {
        build::comma(&mut out);
        out.extend_from_slice(bytes.get(member.key.clone()).unwrap_or_default());
        out.push(b':');
        match (before.get(name), after.get(name)) {
            (Some(before), Some(after)) => out.extend_from_slice(&merged(bytes, member.value.clone(), before, after)),
            (None, Some(after)) => build::value(&mut out, after),
            _ => out.extend_from_slice(bytes.get(member.value.clone()).unwrap_or_default()),
        }
    }
    build::members(&mut out, added);
    out.push(b'}');
    edits.push((range, out));
}

/// One value with its edits done.
fn merged(bytes: &[u8], range: Range<usize>, before: &Value, after: &Value) -> Vec<u8> {
    let mut edits = Edits::new();
    merge(bytes, range.clone(), before, after, &mut edits);
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let mut out = Vec::with_capacity(range.len());
    let mut at = range.start;
    for (place, new) in edits {
        out.extend_from_slice(bytes.get(at..place.start).unwrap_or_default());
        out.extend_from_slice(&new);
        at = place.end;
    }
    out.extend_from_slice(bytes.get(at..range.end).unwrap_or_default());
    out
}

/// The equal elements at both ends stay; between them, elements at the same place are merged, and others are put in or taken out.
fn array(bytes: &[u8], range: Range<usize>, before: &[Value], after: &[Value], edits: &mut Edits) {
    let items: Vec<Range<usize>> = json::array(bytes, range.start).into_iter().flatten().collect();
    let head = before.iter().zip(after).take_while(|(before, after)| before == after).count();
    let most = before.len().min(after.len()) - head;
    let tail =
        before.iter().rev().zip(after.iter().rev()).take(most).take_while(|(before, after)| before == after).count();
    let (old, new) = (before.get(head..before.len() - tail), after.get(head..after.len() - tail));
    let (Some(old), Some(new)) = (old, new) else { return };
    // Where the lists differ in length, one end of them may still correspond as far as the edit.
    let front = items.iter().zip(before).take_while(|(item, value)| alike(bytes, item, value)).count();
    let back =
        items.iter().rev().zip(before.iter().rev()).take_while(|(item, value)| alike(bytes, item, value)).count();
    let telling = before.iter().all(Value::is_object);
    let head = if (items.len() == before.len() && front == items.len()) || (telling && head + old.len() < front) {
        Some(head)
    } else if telling && tail + old.len() <= back {
        (items.len() + head).checked_sub(before.len())
    } else {
        None
    };
    let Some((head, places)) = head.and_then(|head| Some((head, items.get(head..head + old.len())?))) else {
        edits.push((range, text(&Value::Array(after.to_vec()))));
        return;
    };
    if old.len() == new.len() {
        for ((place, old), new) in places.iter().zip(old).zip(new) {
            merge(bytes, place.clone(), old, new, edits);
        }
        return;
    }
    let mut inside = Vec::new();
    for (position, value) in new.iter().enumerate() {
        if position > 0 {
            inside.push(b',');
        }
        // An element that only moved keeps its bytes.
        match old.iter().position(|old| old == value).and_then(|at| places.get(at)) {
            Some(place) => inside.extend_from_slice(bytes.get(place.clone()).unwrap_or_default()),
            None => build::value(&mut inside, value),
        }
    }
    let (last, next) = (head.checked_sub(1).and_then(|at| items.get(at)), items.get(head + old.len()));
    let place = match (places.first(), places.last()) {
        (Some(first), Some(end)) if !inside.is_empty() => first.start..end.end,
        (Some(first), Some(end)) => match (last, next) {
            (Some(last), _) => last.end..end.end,
            (None, Some(next)) => first.start..next.start,
            (None, None) => first.start..end.end,
        },
        _ => match (last, next) {
            (Some(last), _) => {
                inside.insert(0, b',');
                last.end..last.end
            }
            (None, Some(next)) => {
                inside.push(b',');
                next.start..next.start
            }
            (None, None) => range.start + 1..range.start + 1,
        },
    };
    edits.push((place, inside));
}

/// Whether an element of the original can be what the other form says there.
fn alike(bytes: &[u8], item: &Range<usize>, value: &Value) -> bool {
    let opens = bytes.get(item.start);
    match value {
        Value::Object(members) => {
            opens == Some(&b'{')
                && ["type", "role", "id", "call_id"].iter().all(|name| {
                    let here = json::field(bytes, item.start, name).and_then(|at| json::string(bytes, at));
                    match (here, members.get(*name).and_then(Value::as_str)) {
                        (Some(here), Some(there)) => here == there,
                        _ => true,
                    }
                })
        }
        Value::Array(_) => opens == Some(&b'['),
        Value::String(_) => opens == Some(&b'"'),
        _ => !matches!(opens, Some(b'{' | b'[' | b'"')),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(original: &str, before: Value, after: Value, expected: &str) {
        let result = carried(original.as_bytes(), &before, &after).unwrap();
        assert_eq!(std::str::from_utf8(&result).unwrap(), expected);
        json::validate(&result).unwrap();
    }

    #[test]
    fn what_is_equal_keeps_its_bytes() {
        let original = "{ \"a\" : [ {\"t\":\"x\", \"cache\":1} , {\"t\":\"y\"} ], \"own\" : null }";
        let before = json!({"a": [{"t": "x"}, {"t": "y"}], "z": 1});
        check(original, before.clone(), before.clone(), original);
        let after = json!({"a": [{"t": "X"}, {"t": "y"}], "z": 1});
        check(original, before.clone(), after, &original.replace("\"x\"", "\"X\""));
        let after = json!({"a": [{"t": "x"}, {"t": "y"}], "z": 2});
        check(
            original,
            before,
            after,
            "{ \"a\" : [ {\"t\":\"x\", \"cache\":1} , {\"t\":\"y\"} ], \"own\" : null,\"z\":2 }",
        );
    }

    #[test]
    fn elements_come_and_go() {
        let original = "[ 1 , 2 , 3 ]";
        let before = json!([1, 2, 3]);
        for (after, expected) in [
            (json!([1, 2, 3, 4]), "[ 1 , 2 , 3,4 ]"),
            (json!([0, 1, 2, 3]), "[ 0,1 , 2 , 3 ]"),
            (json!([1, 3]), "[ 1 , 3 ]"),
            (json!([2, 3]), "[ 2 , 3 ]"),
            (json!([1, 2]), "[ 1 , 2 ]"),
            (json!([]), "[  ]"),
            (json!([1, 9, 9, 3]), "[ 1 , 9,9 , 3 ]"),
            (json!([1, 7, 3]), "[ 1 , 7 , 3 ]"),
        ] {
            check(original, before.clone(), after, expected);
        }
        check("[]", json!([]), json!([1]), "[1]");
        check("[1]", json!([1, 2]), json!([1, 3]), "[1,3]");
        let original = "[ {\"role\":\"a\"}, {\"role\":\"b\", \"own\":1}, {\"role\":\"c\",\"n\":1} ]";
        let before = json!([{"role": "a"}, {"role": "c", "n": 1}]);
        let after = json!([{"role": "a"}, {"role": "c", "n": 2}, {"role": "d"}]);
        check(
            original,
            before.clone(),
            after,
            &original.replace("{\"role\":\"c\",\"n\":1}", "{\"role\":\"c\",\"n\":2},{\"role\":\"d\"}"),
        );
    }

    #[test]
    fn members_go_and_change_their_spelling() {
        check("{\"a\":1, \"b\":2}", json!({"a": 1, "b": 2}), json!({"b": 3}), "{\"b\":3}");
        check("{\"a_b\":1,\"c\":2}", json!({"aB": 1}), json!({"aB": 5}), "{\"c\":2,\"aB\":5}");
        check("{}", json!({}), json!({"a": 1, "b": 2}), "{\"a\":1,\"b\":2}");
        check("\"x\"", json!([1]), json!([2]), "[2]");
    }
}
