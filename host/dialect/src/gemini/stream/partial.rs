//! A call's arguments that come piece by piece, each with the path of the value that it belongs to.

use serde_json::{Map, Value};

use crate::gemini::fields::Fields;

/// How deep a path may go.
const MAX_DEPTH: usize = 64;

#[derive(Default)]
pub(super) struct Partial(Map<String, Value>);

enum Step {
    Name(String),
    Index(usize),
}

impl Partial {
    /// Puts a piece in its place; text goes on where text stands. What names no place is passed over.
    pub(super) fn add(&mut self, mut piece: Fields) {
        let Some(path) = piece.text("jsonPath").and_then(|path| steps(&path)) else { return };
        let value = match piece.take("stringValue").or_else(|| piece.take("numberValue")) {
            Some(value) => value,
            None => piece.take("boolValue").unwrap_or(Value::Null),
        };
        let mut root = Value::Object(std::mem::take(&mut self.0));
        if let Some(slot) = place(&mut root, path) {
            match (slot, value) {
                (Value::String(begun), Value::String(more)) => begun.push_str(&more),
                (slot, value) => *slot = value,
            }
        }
        if let Value::Object(members) = root {
            self.0 = members;
        }
    }

    pub(super) fn finish(self) -> String {
        Value::Object(self.0).to_string()
    }
}

/// The value at a path, with whatever is missing on the way. Lists grow by one at most, so that a path costs no more than its length.
fn place(root: &mut Value, path: Vec<Step>) -> Option<&mut Value> {
    let mut at = root;
    for step in path {
        at = match step {
            Step::Name(name) => {
                if at.is_null() {
                    *at = Value::Object(Map::new());
                }
                at.as_object_mut()?.entry(name).or_insert(Value::Null)
            }
            Step::Index(index) => {
                if at.is_null() {
                    *at = Value::Array(Vec::new());
                }
                let list = at.as_array_mut()?;
                if list.len() == index {
                    list.push(Value::Null);
                }
                list.get_mut(index)?
            }
        };
    }
    Some(at)
}

/// `$.a.b[0]['c d']`. `None` for anything else, and for `$` alone.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut rest = path.strip_prefix('$')?;
    let mut steps = Vec::new();
    while !rest.is_empty() {
        if steps.len() == MAX_DEPTH {
            return None;
        }
        if let Some(name) = rest.strip_prefix('.') {
            let end = name.find(['.', '[']).unwrap_or(name.len());
            let (name, behind) = name.split_at(end);
            steps.push(Step::Name(name.to_owned()));
            rest = behind;
            continue;
        }
        let inner = rest.strip_prefix('[')?;
        if let Some(quote) = inner.chars().next().filter(|quote| matches!(quote, '\'' | '"')) {
            let (name, behind) = inner.get(1..)?.split_once(&format!("{quote}]"))?;
            steps.push(Step::Name(name.to_owned()));
            rest = behind;
        } else {
            let (index, behind) = inner.split_once(']')?;
            steps.push(Step::Index(index.parse().ok()?));
            rest = behind;
        }
    }
    (!steps.is_empty()).then_some(steps)
}
