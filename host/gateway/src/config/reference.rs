//! The reference of the configuration in Markdown, made from the file's types, so that it cannot fall behind them.
//!
//! It formats; what a field means is said in `file`.

use std::fmt::Write;

use serde_json::Value as Json;

use super::check::{Schema, describe, format, kind, words};
use super::file::File;

const INTRODUCTION: &str = "\
# Configuration

Made from the program's own types; do not edit. [A complete sample](sluice.sample.yaml) is beside this file.

Sluice reads the file that `--config` names, else `sluice.yaml` in the working directory, else nothing: every field is optional
unless it is marked as required, and every default is below. JSON works as well as YAML. `sluice check` reports all that is wrong
with a file at once, each with its line and column; unknown fields are errors.

- **Durations** have a unit: `500ms`, `10s`, `2m`, `1h`; from 1ms to 24h.
- **Sizes** have a unit: `512B`, `64KiB`, `64MiB`, `2GiB`, or decimal `kB`, `MB`, `GB`.
- **Secrets** are `env:NAME` (a variable of the environment) or `file:PATH` (a file, without its last line break). The text itself
  works too, with a warning.
- **`${NAME}`** inside any text is replaced by that variable of the environment, `${NAME:-default}` by the default where it is not
  set; `$${` stands for a plain `${`.
- **Relative paths** start at the folder of the file.
- **Providers in the environment**: a built-in provider whose key variable is set (`OPENAI_API_KEY`) is on without an entry.
- **Editors** complete and explain the file where its first line names its schema, which `sluice schema` prints:
  `# yaml-language-server: $schema=./sluice.schema.json`. `sluice config explain PATH` says what a field's value is and where it comes from.
";

/// The whole text of `docs/config.md`.
pub fn reference() -> String {
    let schema = Schema::of::<File>();
    let mut out = INTRODUCTION.to_owned();
    section(&schema, schema.root(), "", &mut out);
    out
}

/// One table for the fields of a mapping, then one section for each mapping among them.
fn section(schema: &Schema, form: &Json, path: &str, out: &mut String) {
    let Some(fields) = form.get("properties").and_then(Json::as_object) else { return };
    if !path.is_empty() {
        let _ = write!(out, "\n## `{path}`\n");
    }
    out.push_str("\n| field | value | default | meaning |\n|---|---|---|---|\n");
    let mut below = Vec::new();
    for (name, field) in fields {
        let forms = schema.forms(field);
        let value = describe_all(schema, &forms, name, path, &mut below);
        let default = field.get("default").map(|default| shown_default(default, &forms)).unwrap_or_default();
        let required = if field.get("x-required").is_some() { "**Required.** " } else { "" };
        let meaning = description(field);
        let _ = writeln!(out, "| `{name}` | {value} | {default} | {required}{meaning} |");
        for (word, meaning) in words(&forms).iter().filter(|(_, meaning)| !meaning.is_empty()) {
            let _ = writeln!(out, "| | `{word}` | | {} |", meaning.replace('\n', " "));
        }
    }
    for (path, form) in below {
        section(schema, form, &path, out);
    }
}

fn describe_all<'s>(
    schema: &'s Schema,
    forms: &[&'s Json],
    name: &str,
    path: &str,
    below: &mut Vec<(String, &'s Json)>,
) -> String {
    let choices = words(forms);
    if !choices.is_empty() {
        return choices.iter().map(|(word, _)| format!("`{word}`")).collect::<Vec<_>>().join(" or ");
    }
    let here = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    let mut parts = Vec::new();
    for form in forms {
        let named = form.get("additionalProperties").filter(|inner| inner.is_object());
        let items = form.get("items");
        let part = if form.get("properties").is_some() {
            below.push((here.clone(), form));
            "mapping, below".to_owned()
        } else if let Some(inner) = named {
            let inner = describe_all(schema, &schema.forms(inner), "NAME", &here, below);
            format!("names, each with: {inner}")
        } else if let Some(items) = items {
            let inner = describe_all(schema, &schema.forms(items), &format!("{name}[]"), path, below);
            format!("list of: {inner}")
        } else {
            short(form).to_owned()
        };
        parts.push(part);
    }
    parts.join(", or ")
}

/// The kinds that the introduction explains by one word, others as error texts have them.
fn short(form: &Json) -> &'static str {
    match format(form) {
        "duration" => "duration",
        "size" => "size",
        "rate" => "rate",
        "moment" => "date or time",
        "secret" => "secret",
        _ => describe(form).trim_start_matches("a "),
    }
}

fn shown_default(default: &Json, forms: &[&Json]) -> String {
    match default {
        Json::Null => String::new(),
        Json::Array(items) if items.is_empty() => String::new(),
        Json::Object(_) => String::new(),
        Json::String(text) => format!("`{text}`"),
        Json::Number(number) if forms.iter().any(|form| kind(form) == Some("number") && format(form) == "double") => {
            format!("`{}`", number.as_f64().unwrap_or_default())
        }
        other => format!("`{}`", other.to_string().replace('"', "").replace(',', ", ")),
    }
}

fn description(field: &Json) -> String {
    field.get("description").and_then(Json::as_str).unwrap_or_default().replace('\n', " ").replace('|', "\\|")
}
