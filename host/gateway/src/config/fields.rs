//! Every field of a configuration by its path (`providers.openai.timeouts.idle`, `keys[search-prod].team`), with what is written for it or
//! what counts without: what `explain` and `diff` stand on.
//!
//! It walks the text as written, before `${NAME}` is expanded and secrets are read, so that it cannot show either. Whether a file can be used is
//! for `check` and `resolve` to say.

use serde_json::Value as Json;

use super::check::{Schema, describe, format, kind, words};
use super::rate;
use super::tree::{Node, Value, shorten};
use super::units;

/// One field, or a section that holds fields.
pub(super) struct Field<'a> {
    pub(super) path: String,
    /// The field's own schema, with its description and default.
    pub(super) schema: &'a Json,
    /// As written; `None` where nothing is.
    pub(super) node: Option<&'a Node>,
    /// Holds fields of its own, which follow it.
    pub(super) section: bool,
    /// Is there because somebody named it: under a free name, or in a list.
    pub(super) entry: bool,
}

/// A value that is safe to show, and what tells it from others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    /// `None`: there is no value.
    pub(super) text: Option<String>,
    /// Equal for values that mean the same (`60s`, `1m`). May be a secret: to be compared, never shown.
    sameness: String,
    /// `text` does not tell all of it.
    pub(super) hidden: bool,
}

impl Shown {
    pub(super) fn nothing() -> Shown {
        Shown { text: None, sameness: String::new(), hidden: false }
    }

    pub(super) fn same(&self, other: &Shown) -> bool {
        self.sameness == other.sameness
    }
}

/// All fields of `node` by the type that `schema` is of, in the order of the type; those of free names in the order of the file.
pub(super) fn fields<'a>(schema: &'a Schema, node: Option<&'a Node>, path: &str) -> Vec<Field<'a>> {
    let mut out = Vec::new();
    walk(schema, schema.root(), node, path.to_owned(), &mut out);
    out
}

/// As [`fields`], for the type at `pointer` of free names or fields (`["providers", ""]`: one provider).
pub(super) fn part<'s>(schema: &'s Schema, names: &[&str]) -> Option<&'s Json> {
    let mut at = schema.root();
    for name in names {
        let forms = schema.forms(at);
        at = forms.iter().find_map(|form| match form.get("properties").and_then(|fields| fields.get(name)) {
            Some(field) => Some(field),
            None => form.get("additionalProperties").filter(|inner| inner.is_object()),
        })?;
    }
    Some(at)
}

pub(super) fn walk<'a>(
    schema: &'a Schema,
    field: &'a Json,
    node: Option<&'a Node>,
    path: String,
    out: &mut Vec<Field<'a>>,
) {
    let node = node.filter(|node| !matches!(node.value, Value::Null | Value::Broken));
    let forms = schema.forms(field);
    let mapping = forms.iter().find_map(|form| form.get("properties")?.as_object());
    let inner = forms.iter().find_map(|form| form.get("additionalProperties").filter(|inner| inner.is_object()));
    let items = forms
        .iter()
        .find_map(|form| form.get("items"))
        .filter(|items| schema.forms(items).iter().any(|form| form.get("properties").is_some()));
    let at = out.len();
    out.push(Field { path: path.clone(), schema: field, node, section: true, entry: false });
    match (node.map(|node| &node.value), mapping, inner, items) {
        (Some(Value::Map(_)), Some(fields), _, _) => {
            for (name, field) in fields {
                let entry = node.and_then(|node| node.get(name));
                walk(schema, field, entry.map(|entry| &entry.node), below(&path, name), out);
            }
        }
        (Some(Value::Map(entries)), None, Some(inner), _) => {
            for entry in entries {
                named(schema, inner, &entry.node, below(&path, &entry.key), out);
            }
        }
        (Some(Value::List(list)), _, _, Some(items)) => {
            for (i, item) in list.iter().enumerate() {
                let name =
                    item.get("name").and_then(|entry| text(&entry.node)).map_or_else(|| i.to_string(), str::to_owned);
                named(schema, items, item, format!("{path}[{name}]"), out);
            }
        }
        // Sections that nobody wrote have their defaults, unless they are optional themselves.
        (None, Some(fields), _, _) if words(&forms).is_empty() && field.get("default") != Some(&Json::Null) => {
            for (name, field) in fields {
                walk(schema, field, None, below(&path, name), out);
            }
        }
        (None, _, Some(_), _) | (None, _, _, Some(_)) => {}
        _ => {
            if let Some(field) = out.get_mut(at) {
                field.section = false;
            }
        }
    }
}

fn named<'a>(schema: &'a Schema, field: &'a Json, node: &'a Node, path: String, out: &mut Vec<Field<'a>>) {
    let at = out.len();
    walk(schema, field, Some(node), path, out);
    if let Some(first) = out.get_mut(at) {
        first.entry = true;
    }
}

fn below(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

fn text(node: &Node) -> Option<&str> {
    match &node.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

/// The value of a field that is no section: as written, else by default.
pub(super) fn value(schema: &Schema, field: &Field<'_>) -> Shown {
    match field.node {
        Some(node) => written(&schema.forms(field.schema), node),
        None => default(schema, field.schema),
    }
}

/// The value that counts where nothing is written.
pub(super) fn default(schema: &Schema, field: &Json) -> Shown {
    let forms = schema.forms(field);
    let text = match field.get("default") {
        None | Some(Json::Null | Json::Object(_)) => None,
        Some(Json::Array(items)) if items.is_empty() => None,
        Some(Json::String(text)) => Some(plain(&forms, text)),
        Some(Json::Number(number)) => Some(numeral(number)),
        Some(Json::Array(items)) => {
            let items = items.iter().map(|item| item.as_str().map_or_else(|| item.to_string(), str::to_owned));
            Some(format!("[{}]", items.collect::<Vec<_>>().join(", ")))
        }
        Some(other) => Some(other.to_string()),
    };
    Shown { sameness: text.clone().unwrap_or_default(), text, hidden: false }
}

fn written(forms: &[&Json], node: &Node) -> Shown {
    let plainly = |text: String| Shown { sameness: text.clone(), text: Some(text), hidden: false };
    if forms.iter().any(|form| format(form) == "secret") {
        let text = text(node).unwrap_or_default();
        let shown = if is_reference(text) { text } else { "[secret]" };
        return Shown { text: Some(shown.to_owned()), sameness: text.to_owned(), hidden: shown != text };
    }
    // Settings of a plugin, whose author alone knows which of them are secret.
    if forms.iter().any(|form| kind(form).is_none()) {
        let names = match &node.value {
            Value::Map(entries) => {
                let names: Vec<String> = entries.iter().map(|entry| format!("{}: ...", shorten(&entry.key))).collect();
                format!("{{ {} }}", names.join(", "))
            }
            _ => "[set]".to_owned(),
        };
        return Shown { text: Some(names), sameness: node.to_json().to_string(), hidden: true };
    }
    match &node.value {
        Value::Text(text) => {
            let text_shown = without_user(&plain(forms, text));
            let many = forms.iter().any(|form| form.get("items").is_some());
            let shown = if many { format!("[{text_shown}]") } else { text_shown };
            Shown {
                hidden: !shown.contains(text.as_str()) && text.contains('@'),
                sameness: if many { shown.clone() } else { plain(forms, text) },
                text: Some(shown),
            }
        }
        Value::Number(number) => plainly(numeral(number)),
        Value::Bool(value) => plainly(value.to_string()),
        Value::List(_) | Value::Map(_) => plainly(nested(node)),
        Value::Null | Value::Broken => plainly(node.found()),
    }
}

/// Lists and mappings of plain values, such as the tiers of a route, on one line.
fn nested(node: &Node) -> String {
    match &node.value {
        Value::Text(text) => without_user(text),
        Value::Number(number) => numeral(number),
        Value::List(items) => format!("[{}]", items.iter().map(nested).collect::<Vec<_>>().join(", ")),
        Value::Map(entries) => {
            let entries = entries.iter().map(|entry| format!("{}: {}", entry.key, nested(&entry.node)));
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Bool(_) | Value::Null | Value::Broken => node.found(),
    }
}

/// One spelling for durations and sizes that are the same.
fn plain(forms: &[&Json], text: &str) -> String {
    let same = forms.iter().find_map(|form| match format(form) {
        "duration" => units::duration(text).ok().map(units::show_duration),
        "size" => units::size(text).ok().map(units::show_size),
        "rate" => rate::rate(text).ok().map(rate::show_rate),
        _ => None,
    });
    same.unwrap_or_else(|| text.to_owned())
}

fn numeral(number: &serde_json::Number) -> String {
    number.as_f64().map_or_else(|| number.to_string(), |value| value.to_string())
}

/// Whether a secret's text only says where the secret is.
pub(super) fn is_reference(text: &str) -> bool {
    let variable = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}'));
    let name = |name: &str| !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    text.starts_with("env:") || text.starts_with("file:") || variable.is_some_and(name)
}

/// A URL without the user and password it may hold.
pub(super) fn without_user(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return text.to_owned() };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest.get(..end).and_then(|authority| authority.rfind('@')) {
        Some(at) => format!("{scheme}://[secret]{}", rest.get(at..).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// What a field takes, in words.
pub(super) fn takes(schema: &Schema, field: &Json) -> String {
    let forms = schema.forms(field);
    let choices = words(&forms);
    let mut parts: Vec<String> = choices.iter().map(|(word, _)| format!("`{word}`")).collect();
    for form in forms.iter().filter(|form| words(&[form]).is_empty()) {
        let mut part = describe(form).to_owned();
        // A field with a range of its own has it in its description.
        let ranged = field
            .get("description")
            .and_then(Json::as_str)
            .is_some_and(|text| text.contains(" from ") || text.contains("at least"));
        match (format(form), form.get("minimum"), form.get("maximum")) {
            ("duration", _, _) if !ranged => part.push_str(", from 1ms to 24h"),
            ("size", _, _) if !ranged => part.push_str(", from 1B to 1024GiB"),
            (_, Some(least), Some(most)) => part = format!("{part} from {least} to {most}"),
            (_, Some(least), None) => part = format!("{part}, at least {least}"),
            _ => {}
        }
        if let Some(items) = form.get("items") {
            let inner: Vec<&str> = schema.forms(items).iter().map(|form| describe(form)).collect();
            part = format!("{part} of: {}", inner.join(" or "));
        }
        parts.push(part);
    }
    parts.join(" or ")
}
