//! Edits as functions from bytes to bytes: replacing ranges, and the structural edits that a pointer names.

use std::ops::Range;

use bytes::Bytes;

use super::EditError;
use crate::json;

/// Replaces ranges that are sorted and do not overlap.
pub(super) fn apply(base: &[u8], replacements: &[(Range<usize>, &[u8])]) -> Bytes {
    let added: usize = replacements.iter().map(|(_, new)| new.len()).sum();
    let mut out = Vec::with_capacity(base.len() + added);
    let mut at = 0;
    for (range, new) in replacements {
        out.extend_from_slice(base.get(at..range.start).unwrap_or_default());
        out.extend_from_slice(new);
        at = range.end;
    }
    out.extend_from_slice(base.get(at..).unwrap_or_default());
    Bytes::from(out)
}

/// A JSON value without the white space around it.
pub(super) fn checked(value: &str) -> Result<&[u8], EditError> {
    let value = value.trim_ascii().as_bytes();
    json::validate(value).map_err(|error| EditError(format!("the new value is not JSON: {error}")))?;
    Ok(value)
}

/// Where a pointer leads: the container that must exist, and the name or index in it.
struct Place {
    parent: Range<usize>,
    token: String,
}

fn place(bytes: &[u8], pointer: &str) -> Result<Place, EditError> {
    let Some((parent, token)) = pointer.rsplit_once('/').filter(|_| pointer.starts_with('/')) else {
        return Err(EditError(format!("{pointer:?} is no place inside the document: a pointer begins with \"/\"")));
    };
    let Some(found) = json::pointer(bytes, parent) else {
        return Err(EditError(format!("nothing stands at {parent:?}")));
    };
    let plain = token.replace("~0", "").replace("~1", "");
    if plain.contains('~') {
        return Err(EditError(format!("{pointer:?} has a \"~\" that is neither \"~0\" nor \"~1\"")));
    }
    Ok(Place { parent: found, token: token.replace("~1", "/").replace("~0", "~") })
}

fn index(token: &str, pointer: &str) -> Result<usize, EditError> {
    let canonical = token == "0" || (!token.starts_with('0') && token.bytes().all(|byte| byte.is_ascii_digit()));
    let index = if canonical { token.parse().ok() } else { None };
    index.ok_or_else(|| EditError(format!("{pointer:?} does not end in an index, and an array stands there")))
}

/// All members of that name: a repeated one must not keep its old value, for many parsers take the last.
fn named(bytes: &[u8], object: usize, name: &str) -> Vec<json::Member> {
    json::object(bytes, object).into_iter().flatten().filter(|member| member.is(bytes, name)).collect()
}

pub(super) fn set(bytes: &[u8], pointer: &str, value: &[u8]) -> Result<Vec<u8>, EditError> {
    if pointer.is_empty() {
        if value.first() != Some(&b'{') {
            return Err(EditError("the whole document can only become another object".to_owned()));
        }
        return Ok(value.to_vec());
    }
    let Place { parent, token } = place(bytes, pointer)?;
    if let Some(mut items) = json::array(bytes, parent.start) {
        let index = index(&token, pointer)?;
        let Some(item) = items.nth(index) else {
            return Err(EditError(format!("nothing stands at {pointer:?}; insert adds to an array")));
        };
        return Ok(apply(bytes, &[(item, value)]).into());
    }
    if json::object(bytes, parent.start).is_none() {
        return Err(EditError(format!("{pointer:?} leads into a value that is neither object nor array")));
    }
    let members = named(bytes, parent.start, &token);
    if members.is_empty() {
        return Ok(add_member(bytes, &parent, &token, value));
    }
    let replacements: Vec<_> = members.into_iter().map(|member| (member.value, value)).collect();
    Ok(apply(bytes, &replacements).into())
}

/// Behind the last member, so that the bytes before it stay a prefix.
fn add_member(bytes: &[u8], object: &Range<usize>, name: &str, value: &[u8]) -> Vec<u8> {
    let last = json::object(bytes, object.start).and_then(Iterator::last);
    let mut new = Vec::with_capacity(name.len() + value.len() + 4);
    let at = match &last {
        Some(member) => {
            new.push(b',');
            member.value.end
        }
        None => object.start + 1,
    };
    json::quote(name, &mut new);
    new.push(b':');
    new.extend_from_slice(value);
    apply(bytes, &[(at..at, &new)]).into()
}

pub(super) fn insert(bytes: &[u8], pointer: &str, value: &[u8]) -> Result<Vec<u8>, EditError> {
    let Place { parent, token } = place(bytes, pointer)?;
    let Some(items) = json::array(bytes, parent.start) else {
        return Err(EditError(format!("{pointer:?} is not inside an array; set adds to an object")));
    };
    let wanted = if token == "-" { usize::MAX } else { index(&token, pointer)? };
    let mut count = 0;
    let mut end = parent.start + 1;
    for item in items {
        if count == wanted {
            let new = [value, b","].concat();
            return Ok(apply(bytes, &[(item.start..item.start, &new)]).into());
        }
        count += 1;
        end = item.end;
    }
    if token != "-" && wanted != count {
        return Err(EditError(format!("{pointer:?} is past the end of an array of {count}")));
    }
    let new = if count == 0 { value.to_vec() } else { [b",", value].concat() };
    Ok(apply(bytes, &[(end..end, &new)]).into())
}

pub(super) fn remove(bytes: &[u8], pointer: &str) -> Result<Vec<u8>, EditError> {
    if pointer.is_empty() {
        return Err(EditError("the whole document cannot be removed".to_owned()));
    }
    let Place { parent, token } = place(bytes, pointer)?;
    let mut gone = Gone::default();
    if let Some(items) = json::array(bytes, parent.start) {
        let index = index(&token, pointer)?;
        for (position, item) in items.enumerate() {
            gone.element(item, position == index);
        }
    } else {
        for member in json::object(bytes, parent.start).into_iter().flatten() {
            let matches = member.is(bytes, &token);
            gone.element(member.key.start..member.value.end, matches);
        }
    }
    gone.close();
    if gone.ranges.is_empty() {
        return Err(EditError(format!("nothing stands at {pointer:?}")));
    }
    let replacements: Vec<_> = gone.ranges.into_iter().map(|range| (range, &b""[..])).collect();
    Ok(apply(bytes, &replacements).into())
}

/// Collects elements to take out, each with one comma: up to the next kept element, or from the end of the last kept one.
#[derive(Default)]
struct Gone {
    ranges: Vec<Range<usize>>,
    kept_end: Option<usize>,
    open: Option<Range<usize>>,
}

impl Gone {
    fn element(&mut self, range: Range<usize>, matches: bool) {
        if matches {
            let start = self.open.take().map_or(range.start, |open| open.start);
            self.open = Some(start..range.end);
            return;
        }
        if let Some(open) = self.open.take() {
            self.ranges.push(open.start..range.start);
        }
        self.kept_end = Some(range.end);
    }

    fn close(&mut self) {
        if let Some(open) = self.open.take() {
            self.ranges.push(self.kept_end.unwrap_or(open.start)..open.end);
        }
    }
}
