//! Schemas in the spelling of Gemini's `parameters` and `responseSchema` (OpenAPI's, with upper-case types) as JSON Schema.

use serde_json::{Map, Value, json};

/// Deeper than any parser here reads.
const MAX_DEPTH: usize = 128;

/// The same schema as JSON Schema. What already is JSON Schema stays as it is.
pub(super) fn to_json_schema(schema: Value) -> Value {
    convert(schema, MAX_DEPTH)
}

fn convert(schema: Value, depth: usize) -> Value {
    let Some(depth) = depth.checked_sub(1) else { return schema };
    let Value::Object(members) = schema else { return schema };
    let mut out = Map::new();
    let (mut nullable, mut ordering) = (false, None);
    for (name, value) in members {
        match name.as_str() {
            "type" | "type_" => {
                if let Some(value) = types(value) {
                    out.insert("type".to_owned(), value);
                }
            }
            "nullable" => nullable = value == Value::Bool(true),
            "propertyOrdering" | "property_ordering" => ordering = value.as_array().cloned(),
            "example" => {
                out.insert("examples".to_owned(), json!([value]));
            }
            "properties" | "$defs" | "defs" | "definitions" => {
                let properties = each(value, |schema| convert(schema, depth));
                out.insert(if name == "defs" { "$defs".to_owned() } else { name }, properties);
            }
            "items" | "not" | "additionalProperties" | "additional_properties" => {
                let value = if value.is_object() { convert(value, depth) } else { value };
                out.insert(camel(name), value);
            }
            "anyOf" | "any_of" | "oneOf" | "one_of" | "allOf" | "all_of" | "prefixItems" | "prefix_items" => {
                let value = match value {
                    Value::Array(list) => list.into_iter().map(|schema| convert(schema, depth)).collect(),
                    other => other,
                };
                out.insert(camel(name), value);
            }
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties" | "min_items"
            | "max_items" | "min_length" | "max_length" | "min_properties" | "max_properties" => {
                out.insert(camel(name), number(value));
            }
            "ref" => {
                out.insert("$ref".to_owned(), value);
            }
            _ => {
                out.insert(name, value);
            }
        }
    }
    if let (Some(order), Some(Value::Object(properties))) = (ordering, out.get_mut("properties")) {
        reorder(properties, &order);
    }
    if nullable {
        allow_null(&mut out);
    }
    Value::Object(out)
}

fn each(value: Value, convert: impl Fn(Value) -> Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().map(|(name, value)| (name, convert(value))).collect(),
        other => other,
    }
}

/// `STRING` is `string`; `TYPE_UNSPECIFIED` says nothing.
fn types(value: Value) -> Option<Value> {
    match value {
        Value::String(name) if name == "TYPE_UNSPECIFIED" => None,
        Value::String(name) => Some(Value::String(name.to_ascii_lowercase())),
        Value::Array(list) => Some(list.into_iter().filter_map(types).collect()),
        other => Some(other),
    }
}

/// The API writes 64-bit numbers as strings.
fn number(value: Value) -> Value {
    match value.as_str().and_then(|text| text.parse::<u64>().ok()) {
        Some(number) => Value::from(number),
        None => value,
    }
}

fn camel(name: String) -> String {
    if !name.contains('_') {
        return name;
    }
    let mut upper = false;
    let mut out = String::with_capacity(name.len());
    for letter in name.chars() {
        if letter == '_' {
            upper = true;
        } else {
            out.push(if upper { letter.to_ascii_uppercase() } else { letter });
            upper = false;
        }
    }
    out
}

fn reorder(properties: &mut Map<String, Value>, order: &[Value]) {
    let mut sorted = Map::new();
    for name in order.iter().filter_map(Value::as_str) {
        if let Some(value) = properties.shift_remove(name) {
            sorted.insert(name.to_owned(), value);
        }
    }
    sorted.append(properties);
    *properties = sorted;
}

fn allow_null(schema: &mut Map<String, Value>) {
    if let Some(Value::String(kind)) = schema.get("type") {
        let both = json!([kind, "null"]);
        schema.insert("type".to_owned(), both);
        if let Some(Value::Array(values)) = schema.get_mut("enum")
            && !values.contains(&Value::Null)
        {
            values.push(Value::Null);
        }
    } else if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        if !kinds.iter().any(|kind| kind == "null") {
            kinds.push(Value::from("null"));
        }
    } else if let Some(Value::Array(any)) = schema.get_mut("anyOf")
        && !any.iter().any(|schema| schema.get("type").is_some_and(|kind| kind == "null"))
    {
        any.push(json!({"type": "null"}));
    }
}
