//! The JSON Schema of the files that operators write, for editors and other checkers: `sluice schema`.
//!
//! It is made from the types that [`super::check`] checks by, and says nothing that the check does not do. What only makes sense to us (our formats,
//! our marks) becomes what every validator knows, in the words of draft 7, which all editors read. Ranges of durations and sizes and what takes
//! several fields are left to `sluice check`.

use serde_json::{Map, Value as Json, json};

use super::check::{Schema, format, kind, words};
use super::file::{File, PluginBlock};

/// A text that a variable of the environment is part of; it takes the place of a number, a truth value or a word.
const VARIABLE: &str = r"\$\{";
const DURATION: &str = r"^\s*[0-9]+(\.[0-9]+)?\s*(ms|s|m|h)\s*$";
const RATE: &str = r"^\s*[0-9]+(\.[0-9]+)?[kKMG]?\s*/\s*(s|sec|m|min|h|hour|d|day)\s*$";
const MOMENT: &str = r"^\s*[0-9]{4}-[0-9]{2}-[0-9]{2}([Tt][0-9:.]+([Zz]|[+-][0-9]{2}:[0-9]{2}))?\s*$";
const SIZE: &str = r"^\s*[0-9]+(\.[0-9]+)?\s*(KiB|MiB|GiB|kB|KB|MB|GB|B)\s*$";

/// The schema of `sluice.yaml`.
pub fn file_schema() -> Json {
    document("sluice.yaml", &Schema::of::<File>())
}

/// The schema of `plugins/NAME.yaml`, which is also that of `plugins.chain.NAME` in `sluice.yaml`.
pub fn plugin_schema() -> Json {
    document("plugins/NAME.yaml", &Schema::of::<PluginBlock>())
}

fn document(title: &str, schema: &Schema) -> Json {
    let mut out = Map::new();
    out.insert("$schema".to_owned(), json!("http://json-schema.org/draft-07/schema#"));
    out.insert("title".to_owned(), json!(title));
    // An empty file says nothing, and may.
    if let Json::Object(root) = field(schema, schema.root(), true) {
        out.extend(root);
    }
    Json::Object(out)
}

/// A field with what its type takes. `empty`: it may be there without a value, which counts as absent.
fn field(schema: &Schema, written: &Json, empty: bool) -> Json {
    let forms = schema.forms(written);
    let mut branches: Vec<Json> = Vec::new();
    for form in &forms {
        let choices = words(&[form]);
        if choices.is_empty() {
            branches.push(shape(schema, form));
        }
        branches.extend(choices.iter().map(|(word, meaning)| {
            if meaning.is_empty() { json!({ "const": word }) } else { json!({ "const": word, "description": meaning }) }
        }));
    }
    let expands = match forms.as_slice() {
        [form] if words(&[form]).is_empty() => matches!(kind(form), Some("integer" | "number" | "boolean")),
        _ => !words(&forms).is_empty(),
    };
    if expands {
        branches.push(
            json!({ "type": "string", "pattern": VARIABLE, "description": "`${NAME}`: a variable of the environment" }),
        );
    }
    let anything = branches.iter().any(|branch| branch.as_object().is_some_and(Map::is_empty));
    if empty && !anything {
        branches.push(json!({ "type": "null" }));
    }
    let mut out = Map::new();
    if let Some(text) = written.get("description").and_then(Json::as_str) {
        out.insert("description".to_owned(), json!(text.replace('\n', " ")));
    }
    if let Some(default) = written.get("default").filter(|default| worth_saying(default)) {
        out.insert("default".to_owned(), default.clone());
    }
    out.extend(joined(branches));
    Json::Object(out)
}

/// One schema of its branches, in the plainest way: editors explain `anyOf` badly where a list of types would do.
fn joined(mut branches: Vec<Json>) -> Map<String, Json> {
    if branches.len() == 2 && branches.last().is_some_and(|last| *last == json!({ "type": "null" })) {
        branches.pop();
        if let Some(Json::Object(only)) = branches.first_mut()
            && let Some(Json::String(kind)) = only.get("type").cloned()
        {
            only.insert("type".to_owned(), json!([kind, "null"]));
            return std::mem::take(only);
        }
        branches.push(json!({ "type": "null" }));
    }
    match branches.as_mut_slice() {
        [Json::Object(only)] => std::mem::take(only),
        _ => Map::from_iter([("anyOf".to_owned(), Json::Array(branches))]),
    }
}

/// What one form takes, and nothing about the field that has it.
fn shape(schema: &Schema, form: &Json) -> Json {
    let Some(kind) = kind(form) else { return json!({}) };
    let mut out = Map::from_iter([("type".to_owned(), json!(kind))]);
    let mut say = |name: &str, value: Json| out.insert(name.to_owned(), value);
    match (kind, format(form)) {
        ("string", "duration") => {
            say("pattern", json!(format!("{DURATION}|{VARIABLE}")));
            say("examples", json!(["500ms", "10s", "2m"]));
        }
        ("string", "size") => {
            say("pattern", json!(format!("{SIZE}|{VARIABLE}")));
            say("examples", json!(["64KiB", "16MiB"]));
        }
        ("string", "rate") => {
            say("pattern", json!(format!("{RATE}|{VARIABLE}")));
            say("examples", json!(["600/min", "100k/min", "1M/day"]));
        }
        ("string", "moment") => {
            say("pattern", json!(format!("{MOMENT}|{VARIABLE}")));
            say("examples", json!(["2027-01-31", "2027-01-31T18:00:00Z"]));
        }
        ("string", "secret") => {
            say("examples", json!(["env:NAME", "file:PATH"]));
        }
        ("string", _) => {
            if let Some(pattern) = form.get("pattern").and_then(Json::as_str) {
                say("pattern", json!(format!("{pattern}|{VARIABLE}")));
            }
        }
        ("integer" | "number", _) => {
            for bound in ["minimum", "maximum"] {
                if let Some(value) = form.get(bound) {
                    say(bound, value.clone());
                }
            }
        }
        ("array", _) => {
            if let Some(items) = form.get("items") {
                say("items", field(schema, items, false));
            }
        }
        ("object", _) => mapping(schema, form, &mut out),
        _ => {}
    }
    Json::Object(out)
}

fn mapping(schema: &Schema, form: &Json, out: &mut Map<String, Json>) {
    if let Some(fields) = form.get("properties").and_then(Json::as_object) {
        let is_required = |field: &Json| field.get("x-required").is_some();
        let required: Vec<&String> =
            fields.iter().filter(|(_, field)| is_required(field)).map(|(name, _)| name).collect();
        if !required.is_empty() {
            out.insert("required".to_owned(), json!(required));
        }
        if let Some(names) = form.get("x-one-of").and_then(Json::as_array) {
            let each: Vec<Json> = names.iter().map(|name| json!({ "required": [name] })).collect();
            out.insert("oneOf".to_owned(), Json::Array(each));
        }
        let dotted = fields.iter().filter(|(_, field)| field.get(super::dotted::MARK).is_some());
        let dotted: Map<String, Json> = dotted.filter_map(|(name, field)| short(schema, name, field)).collect();
        if !dotted.is_empty() {
            out.insert("patternProperties".to_owned(), Json::Object(dotted));
        }
        let fields = fields.iter().map(|(name, written)| (name.clone(), field(schema, written, !is_required(written))));
        out.insert("properties".to_owned(), Json::Object(fields.collect()));
        out.insert("additionalProperties".to_owned(), json!(false));
    } else if let Some(inner) = form.get("additionalProperties").filter(|inner| inner.is_object()) {
        let with_fields = schema.forms(inner).iter().any(|form| kind(form) == Some("object"));
        out.insert("additionalProperties".to_owned(), field(schema, inner, with_fields));
    }
}

/// The short spelling of a mapping with one name: `label.region`.
fn short(schema: &Schema, name: &str, written: &Json) -> Option<(String, Json)> {
    let inner = schema.forms(written).into_iter().find_map(|form| form.get("additionalProperties"))?;
    Some((format!(r"^{name}\..+$"), field(schema, inner, false)))
}

/// Defaults that an editor can insert: those of whole sections are the sum of their fields', and no value is the default of the rest.
fn worth_saying(default: &Json) -> bool {
    match default {
        Json::Null | Json::Object(_) => false,
        Json::Array(items) => !items.is_empty(),
        _ => true,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// Every keyword that appears anywhere as the name of a schema's part; names of fields are not keywords.
    fn keywords(schema: &Json, out: &mut std::collections::BTreeSet<String>) {
        let Some(parts) = schema.as_object() else { return };
        for (name, value) in parts {
            out.insert(name.clone());
            match (name.as_str(), value) {
                ("properties" | "patternProperties", Json::Object(fields)) => {
                    fields.values().for_each(|field| keywords(field, out));
                }
                ("anyOf" | "oneOf", Json::Array(branches)) => branches.iter().for_each(|branch| keywords(branch, out)),
                ("items" | "additionalProperties", inner) => keywords(inner, out),
                _ => {}
            }
        }
    }

    #[test]
    fn only_keywords_that_every_validator_knows() {
        let mut found = std::collections::BTreeSet::new();
        keywords(&file_schema(), &mut found);
        keywords(&plugin_schema(), &mut found);
        let known = [
            "$schema",
            "additionalProperties",
            "anyOf",
            "const",
            "default",
            "description",
            "examples",
            "items",
            "maximum",
            "minimum",
            "oneOf",
            "pattern",
            "patternProperties",
            "properties",
            "required",
            "title",
            "type",
        ];
        let strange: Vec<&String> = found.iter().filter(|word| !known.contains(&word.as_str())).collect();
        assert!(strange.is_empty(), "{strange:?}");
        assert!(found.contains("required") && found.contains("oneOf") && found.contains("pattern"));
    }

    #[test]
    fn fields_are_closed_documented_and_have_their_defaults() {
        let schema = file_schema();
        let at = |pointer: &str| schema.pointer(pointer).unwrap_or(&Json::Null).clone();
        assert_eq!(at("/additionalProperties"), json!(false));
        assert_eq!(at("/properties/server/properties/limits/properties/head/default"), json!("10s"));
        assert_eq!(at("/properties/keys/items/required"), json!(["name"]));
        let threads = at("/properties/server/properties/threads/anyOf/0");
        assert_eq!((threads["minimum"].as_f64(), threads["maximum"].as_f64()), (Some(1.0), Some(1024.0)));
        fn documented(schema: &Json, path: &str) {
            for (name, field) in schema.get("properties").and_then(Json::as_object).into_iter().flatten() {
                let path = format!("{path}.{name}");
                assert!(field.get("description").is_some(), "{path} has no description");
                documented(field, &path);
            }
        }
        documented(&schema, "");
    }
}
