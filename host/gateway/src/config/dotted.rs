//! `label.region: eu` for `label: { region: eu }`: the short spelling of a mapping with one name, where the types mark a field for it.
//!
//! It rewrites the tree before anybody checks or shows it, so that both spellings are the same to everyone.

use serde_json::Value as Json;

use super::check::Schema;
use super::tree::{Entry, Node, Value};

/// The mark on fields that take the short spelling.
pub(super) const MARK: &str = "x-dotted";

/// Puts every short spelling in the place of its long one.
pub(super) fn nest(node: &mut Node, schema: &Schema) {
    walk(node, schema, schema.root());
}

fn walk(node: &mut Node, schema: &Schema, written: &Json) {
    let forms = schema.forms(written);
    match &mut node.value {
        Value::Map(entries) => {
            let fields = forms.iter().find_map(|form| form.get("properties")?.as_object());
            let named =
                forms.iter().find_map(|form| form.get("additionalProperties").filter(|inner| inner.is_object()));
            if let Some(fields) = fields {
                let taken = std::mem::take(entries);
                for entry in taken {
                    let marked = |name: &str| fields.get(name).is_some_and(|field| field.get(MARK).is_some());
                    match entry.key.split_once('.') {
                        Some((field, name)) if !name.is_empty() && marked(field) => {
                            let (field, name) = (field.to_owned(), name.to_owned());
                            put(entries, field, Entry { key: name, ..entry });
                        }
                        _ => entries.push(entry),
                    }
                }
            }
            for entry in entries {
                if let Some(inner) = fields.and_then(|fields| fields.get(&entry.key)).or(named) {
                    walk(&mut entry.node, schema, inner);
                }
            }
        }
        Value::List(items) => {
            if let Some(inner) = forms.iter().find_map(|form| form.get("items")) {
                items.iter_mut().for_each(|item| walk(item, schema, inner));
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Text(_) | Value::Broken => {}
    }
}

/// Adds an entry to the mapping of that name; where something else stands under the name, the checker will say so.
fn put(entries: &mut Vec<Entry>, field: String, entry: Entry) {
    match entries.iter_mut().find(|known| known.key == field) {
        Some(Entry { node: Node { value: Value::Map(inner), .. }, .. }) => inner.push(entry),
        Some(_) => entries.push(Entry { key: format!("{field}.{}", entry.key), ..entry }),
        None => {
            let place = entry.place;
            let node = Node { value: Value::Map(vec![entry]), place, written: None };
            entries.push(Entry { key: field, place, node });
        }
    }
}
