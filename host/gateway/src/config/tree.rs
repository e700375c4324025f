//! A YAML (or JSON) document as a tree in which every node knows its place.
//!
//! It reads the text, refuses duplicate fields and expands `${NAME}`. It knows no field of the configuration: that is `check`.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Location, Spanned};

use super::error::{Place, Report};

/// Deeper nesting is no configuration; walking the tree recurses.
const DEEPEST: usize = 48;

/// One node. It may hold secrets: it has no `Debug`, and is dropped once the configuration is resolved.
pub(super) struct Node {
    pub(super) value: Value,
    pub(super) place: Place,
    /// The text as the user wrote it, where the value holds an expanded variable.
    pub(super) written: Option<String>,
}

pub(super) enum Value {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    Text(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
    /// Reported as wrong. It stays in its place, so that what it broke is not reported again as missing.
    Broken,
}

pub(super) struct Entry {
    pub(super) key: String,
    pub(super) place: Place,
    pub(super) node: Node,
}

impl Node {
    pub(super) fn get(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The item that [`Node::to_json`] has at `index`.
    pub(super) fn item(&self, index: usize) -> Option<&Node> {
        match &self.value {
            Value::List(items) => items.iter().filter(|item| !item.is_broken()).nth(index),
            _ => None,
        }
    }

    pub(super) fn is_broken(&self) -> bool {
        matches!(self.value, Value::Broken)
    }

    /// The values without the broken ones.
    pub(super) fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match &self.value {
            Value::Null | Value::Broken => Json::Null,
            Value::Bool(value) => Json::Bool(*value),
            Value::Number(value) => Json::Number(value.clone()),
            Value::Text(value) => Json::String(value.clone()),
            Value::List(items) => {
                Json::Array(items.iter().filter(|item| !item.is_broken()).map(Node::to_json).collect())
            }
            Value::Map(entries) => {
                let whole = entries.iter().filter(|entry| !entry.node.is_broken());
                Json::Object(whole.map(|entry| (entry.key.clone(), entry.node.to_json())).collect())
            }
        }
    }

    /// As [`Node::to_json`], with every text as the user wrote it: no variable is expanded in it.
    pub(super) fn to_written_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match (&self.written, &self.value) {
            (Some(written), _) => Json::String(written.clone()),
            (None, Value::List(items)) => Json::Array(items.iter().map(Node::to_written_json).collect()),
            (None, Value::Map(entries)) => {
                Json::Object(entries.iter().map(|entry| (entry.key.clone(), entry.node.to_written_json())).collect())
            }
            (None, _) => self.to_json(),
        }
    }

    /// What the value is, for an error text: shortened, and as it was written where a variable was expanded.
    pub(super) fn found(&self) -> String {
        if let Some(written) = &self.written {
            return format!("`{}`", shorten(written));
        }
        match &self.value {
            Value::Null | Value::Broken => "nothing".to_owned(),
            Value::Bool(value) => format!("`{value}`"),
            Value::Number(value) => format!("the number {value}"),
            Value::Text(value) => format!("`{}`", shorten(value)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    /// As [`Node::found`] for values that may be a secret.
    pub(super) fn found_kind(&self) -> String {
        match &self.value {
            Value::Bool(_) => "a true or false".to_owned(),
            Value::Number(_) => "a number".to_owned(),
            Value::Text(_) => "a text".to_owned(),
            _ => self.found(),
        }
    }
}

/// Cuts a text to what fits into an error line, on one line.
pub(super) fn shorten(text: &str) -> String {
    let mut out: String = text.chars().take(60).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if text.chars().nth(60).is_some() {
        out.push_str("...");
    }
    out
}

/// Reads `text`. On a syntax error the report has it and the answer is `None`; an empty document is an empty mapping.
pub(super) fn parse(text: &str, report: &mut Report) -> Option<Node> {
    let options = serde_saphyr::options! {
        budget: serde_saphyr::budget! { max_depth: DEEPEST },
        // Passed through, because this module reports them all with both places instead of stopping at the first.
        duplicate_keys: DuplicateKeyPolicy::PassThrough,
        // `on`, `off`, `yes` and `no` are texts: `logs: off` must not turn into false.
        strict_booleans: true,
        with_snippet: false,
    };
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    match serde_saphyr::from_str_with_options::<Option<Node>>(text, options) {
        Ok(Some(Node { value: Value::Null, .. }) | None) => Some(nothing()),
        Ok(Some(node)) => Some(node),
        Err(error) => {
            report.error(error.location().map(place).unwrap_or_default(), syntax_message(&error));
            None
        }
    }
}

/// What an empty document says.
pub(super) fn nothing() -> Node {
    Node { value: Value::Map(Vec::new()), place: Place { line: 1, column: 1 }, written: None }
}

/// The parser appends its own `line L column C` to some texts; our prefix says it already.
fn syntax_message(error: &serde_saphyr::Error) -> String {
    let text = error.without_snippet().to_string();
    let text = text.lines().next().unwrap_or_default();
    let end = text.find(" at line ").or_else(|| text.find(", line ")).unwrap_or(text.len());
    let text = text.get(..end).unwrap_or(text).trim_end_matches([':', ',', ' ', '.']);
    format!("not valid YAML: {text}")
}

fn place(location: Location) -> Place {
    Place {
        line: u32::try_from(location.line()).unwrap_or(u32::MAX),
        column: u32::try_from(location.column()).unwrap_or(u32::MAX),
    }
}

/// Drops and reports repeated fields, and expands variables in every text, keys aside.
pub(super) fn prepare(node: &mut Node, env: &dyn Fn(&str) -> Option<String>, report: &mut Report) {
    match &mut node.value {
        Value::Text(text) => match super::expand::expand(text, env) {
            Ok(None) => {}
            Ok(Some(expanded)) => node.written = Some(std::mem::replace(text, expanded)),
            Err((message, suggestion)) => {
                report.suggest(node.place, message, suggestion);
                node.value = Value::Broken;
            }
        },
        Value::List(items) => items.iter_mut().for_each(|item| prepare(item, env, report)),
        Value::Map(entries) => {
            let mut seen = std::collections::HashMap::new();
            entries.retain(|entry| match seen.get(&entry.key) {
                None => {
                    seen.insert(entry.key.clone(), entry.place.line);
                    true
                }
                Some(first) => {
                    let message = format!("`{}` is here twice (first on line {first})", shorten(&entry.key));
                    report.suggest(entry.place, message, "keep one of them");
                    false
                }
            });
            entries.iter_mut().for_each(|entry| prepare(&mut entry.node, env, report));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Broken => {}
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Value>::deserialize(deserializer)?;
        // Where an alias was used, the anchor's place is the one to edit.
        Ok(Node { value: spanned.value, place: place(spanned.defined), written: None })
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        serde_json::Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::Text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = access.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(key) = access.next_key::<Spanned<String>>()? {
            entries.push(Entry { place: place(key.defined), key: key.value, node: access.next_value()? });
        }
        Ok(Value::Map(entries))
    }
}
