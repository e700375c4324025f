//! The tree against the schema of the file's types: every unknown field, wrong type, bad value and missing field in one walk.
//!
//! What is wrong is reported and marked as broken in the tree, so that serde and `resolve` can go on with the rest and find further errors.
//! It knows the keywords that our own types use, not JSON Schema at large; meanings across fields are `resolve`'s.

use serde_json::{Map, Number, Value as Json};

use super::error::Report;
use super::rate;
use super::tree::{Entry, Node, Value, shorten};
use super::units::{self, Names};

/// The schema of one file type, with the definitions its references point into.
pub(super) struct Schema {
    root: Json,
}

impl Schema {
    pub(super) fn of<T: schemars::JsonSchema>() -> Self {
        Schema { root: schemars::schema_for!(T).to_value() }
    }

    pub(super) fn root(&self) -> &Json {
        &self.root
    }

    /// Follows a reference; a schema without one is its own answer.
    pub(super) fn follow<'s>(&'s self, schema: &'s Json) -> &'s Json {
        let target = schema.get("$ref").and_then(Json::as_str).and_then(|text| text.strip_prefix('#'));
        target.and_then(|pointer| self.root.pointer(pointer)).unwrap_or(schema)
    }

    /// The forms a value may take, references followed, "may be absent" left out.
    pub(super) fn forms<'s>(&'s self, schema: &'s Json) -> Vec<&'s Json> {
        let schema = self.follow(schema);
        let branches = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Json::as_array);
        let Some(branches) = branches else { return vec![schema] };
        let followed = branches.iter().flat_map(|branch| self.forms(branch));
        followed.filter(|form| form.get("type").and_then(Json::as_str) != Some("null")).collect()
    }
}

/// The words an enum takes, each with its description; empty if `forms` are no enum.
pub(super) fn words<'s>(forms: &[&'s Json]) -> Vec<(&'s str, &'s str)> {
    let mut words = Vec::new();
    for form in forms {
        if let Some(word) = form.get("const").and_then(Json::as_str) {
            words.push((word, form.get("description").and_then(Json::as_str).unwrap_or_default()));
        } else if let Some(list) = form.get("enum").and_then(Json::as_array) {
            words.extend(list.iter().filter_map(Json::as_str).map(|word| (word, "")));
        }
    }
    words
}

/// The type of a form, without "may be absent".
pub(super) fn kind(form: &Json) -> Option<&str> {
    match form.get("type")? {
        Json::String(kind) => Some(kind),
        Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).find(|kind| *kind != "null"),
        _ => None,
    }
}

pub(super) fn format(form: &Json) -> &str {
    form.get("format").and_then(Json::as_str).unwrap_or_default()
}

/// Checks `root` as a whole document.
pub(super) fn check(root: &mut Node, schema: &Schema, report: &mut Report) {
    let mut walk = Walk { schema, report };
    if !walk.node(root, schema.root()) {
        root.value = Value::Broken;
    }
}

struct Walk<'a> {
    schema: &'a Schema,
    report: &'a mut Report,
}

impl Walk<'_> {
    /// Checks a value and marks it where it is broken.
    fn mark(&mut self, node: &mut Node, schema: &Json) {
        if !self.node(node, schema) {
            node.value = Value::Broken;
        }
    }

    /// Whether the value may stay in the tree.
    fn node(&mut self, node: &mut Node, schema: &Json) -> bool {
        if node.is_broken() {
            return false;
        }
        let schema_root = self.schema;
        let forms = schema_root.forms(schema);
        let words = words(&forms);
        if !words.is_empty() {
            return self.word(node, &words);
        }
        if let [form] = forms.as_slice() {
            retype(node, form);
        }
        match forms.iter().find(|form| accepts(form, &node.value)) {
            Some(form) => match &node.value {
                Value::Map(_) => self.map(node, form),
                Value::List(_) => self.list(node, form),
                Value::Text(_) => self.text(node, form),
                Value::Number(_) => self.number(node, form),
                Value::Null | Value::Bool(_) | Value::Broken => true,
            },
            None => {
                self.mismatch(node, &forms);
                false
            }
        }
    }

    fn map(&mut self, node: &mut Node, form: &Json) -> bool {
        let place = node.place;
        let Value::Map(entries) = &mut node.value else { return false };
        let fields = form.get("properties").and_then(Json::as_object);
        let named = form.get("additionalProperties").filter(|schema| schema.is_object());
        if fields.is_none() && named.is_none() {
            return true;
        }
        // A field without a value is an absent field.
        entries.retain(|entry| {
            !matches!(entry.node.value, Value::Null) || fields.is_none_or(|fields| !fields.contains_key(&entry.key))
        });
        for entry in entries.iter_mut() {
            if let Some(field) = fields.and_then(|fields| fields.get(&entry.key)) {
                self.mark(&mut entry.node, field);
            } else if let Some(schema) = named {
                // Under free names, no value is an entry with all its defaults.
                if matches!(entry.node.value, Value::Null) && accepts_map(self.schema, schema) {
                    entry.node.value = Value::Map(Vec::new());
                }
                self.mark(&mut entry.node, schema);
            } else {
                self.unknown_field(entry, fields);
            }
        }
        let present: Vec<&str> = entries.iter().map(|entry| entry.key.as_str()).collect();
        for (name, field) in fields.into_iter().flatten() {
            if field.get("x-required").is_some() && !present.contains(&name.as_str()) {
                self.report.suggest(place, format!("`{name}` is missing"), format!("add `{name}:`"));
            }
        }
        true
    }

    fn list(&mut self, node: &mut Node, form: &Json) -> bool {
        let Value::List(items) = &mut node.value else { return false };
        if let Some(schema) = form.get("items") {
            items.iter_mut().for_each(|item| self.mark(item, schema));
        }
        true
    }

    fn unknown_field(&mut self, entry: &mut Entry, fields: Option<&Map<String, Json>>) {
        let known: Vec<&str> = fields.iter().flat_map(|fields| fields.keys()).map(String::as_str).collect();
        let message = format!("unknown field `{}`", shorten(&entry.key));
        if super::error::nearest(&entry.key, &known).is_some() {
            self.report.unknown(entry.place, message, &entry.key, &known);
        } else {
            self.report.suggest(entry.place, message, format!("expected {}", Names(&known)));
        }
        entry.node.value = Value::Broken;
    }

    fn text(&mut self, node: &Node, form: &Json) -> bool {
        let Value::Text(text) = &node.value else { return false };
        let verdict = match format(form) {
            "duration" => units::duration(text).err(),
            "size" => units::size(text).err(),
            "rate" => rate::rate(text).err(),
            "moment" => rate::moment(text).err(),
            _ => None,
        };
        let Some(expected) = verdict else { return true };
        self.report.error(node.place, format!("{expected}, found {}", node.found()));
        false
    }

    fn number(&mut self, node: &Node, form: &Json) -> bool {
        let Value::Number(number) = &node.value else { return false };
        let value = number.as_f64().unwrap_or(f64::NAN);
        let bound = |name: &str| form.get(name).and_then(Json::as_f64);
        let (least, most) = match format(form) {
            "int32" => (f64::from(i32::MIN), f64::from(i32::MAX)),
            "uint32" => (0.0, f64::from(u32::MAX)),
            _ => (f64::MIN, f64::MAX),
        };
        let (least, most) = (bound("minimum").unwrap_or(least), bound("maximum").unwrap_or(most));
        if (least..=most).contains(&value) {
            return true;
        }
        self.report.error(node.place, format!("expected a number from {least} to {most}, found {}", node.found()));
        false
    }

    fn word(&mut self, node: &mut Node, words: &[(&str, &str)]) -> bool {
        let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
        // A word of digits is written without quotes.
        if let Value::Number(number) = &node.value
            && names.contains(&number.to_string().as_str())
        {
            node.value = Value::Text(number.to_string());
        }
        if let Value::Text(text) = &node.value {
            if names.contains(&text.as_str()) {
                return true;
            }
            let message = format!("expected {}, found {}", Names(&names), node.found());
            self.report.unknown(node.place, message, text, &names);
        } else {
            self.report.error(node.place, format!("expected {}, found {}", Names(&names), node.found()));
        }
        false
    }

    fn mismatch(&mut self, node: &Node, forms: &[&Json]) {
        let expected: Vec<&str> = forms.iter().map(|form| describe(form)).collect();
        let secret = forms.iter().any(|form| format(form) == "secret");
        let found = if secret { node.found_kind() } else { node.found() };
        let message = format!("expected {}, found {found}", expected.join(" or "));
        if node.written.is_some() {
            return self.report.error(node.place, message);
        }
        match (&node.value, forms.iter().find(|form| kind(form) == Some("string"))) {
            (Value::Number(number), Some(form)) if !secret => {
                let suggestion = match format(form) {
                    "duration" => format!("did you mean `{number}s`?"),
                    "size" => format!("did you mean `{number}B`?"),
                    "rate" => format!("did you mean `{number}/min`?"),
                    _ => format!("write `\"{number}\"`"),
                };
                self.report.suggest(node.place, message, suggestion);
            }
            (Value::Number(_) | Value::Bool(_), Some(_)) => {
                self.report.suggest(node.place, message, "put it in quotes");
            }
            _ => self.report.error(node.place, message),
        }
    }
}

/// Expanded variables are texts; where the field wants a number or a truth value, theirs counts.
fn retype(node: &mut Node, form: &Json) {
    let (Value::Text(text), true) = (&node.value, node.written.is_some()) else { return };
    let value = match kind(form) {
        Some("integer") => text.parse::<i64>().ok().map(|number| Value::Number(number.into())),
        Some("number") => text.parse::<f64>().ok().and_then(Number::from_f64).map(Value::Number),
        Some("boolean") => text.parse::<bool>().ok().map(Value::Bool),
        _ => None,
    };
    if let Some(value) = value {
        node.value = value;
    }
}

fn accepts(form: &Json, value: &Value) -> bool {
    match (kind(form), value) {
        (None, _) => true,
        (Some(_), Value::Null | Value::Broken) => false,
        (Some(kind), Value::Bool(_)) => kind == "boolean",
        (Some(kind), Value::Number(number)) => kind == "number" || (kind == "integer" && !number.is_f64()),
        (Some(kind), Value::Text(_)) => kind == "string",
        (Some(kind), Value::List(_)) => kind == "array",
        (Some(kind), Value::Map(_)) => kind == "object",
    }
}

fn accepts_map(schema_root: &Schema, schema: &Json) -> bool {
    schema_root.forms(schema).iter().any(|form| kind(form) == Some("object"))
}

/// A form in words, for errors and for the reference.
pub(super) fn describe(form: &Json) -> &'static str {
    match (kind(form), format(form)) {
        (_, "duration") => "a duration such as `10s`",
        (_, "size") => "a size such as `64MiB`",
        (_, "rate") => "a rate such as `600/min`",
        (_, "moment") => "a date such as `2027-01-31`",
        (_, "secret") => "a secret (`env:NAME` or `file:PATH`)",
        (Some("string"), _) => "a text",
        (Some("integer"), _) => "a whole number",
        (Some("number"), _) => "a number",
        (Some("boolean"), _) => "`true` or `false`",
        (Some("array"), _) => "a list",
        (Some("object"), _) => "a mapping",
        _ => "any value",
    }
}
