//! Tools and the choice among them, as a request has them: flat, nested as chat nests them, and grouped in namespaces.

use serde_json::{Map, Value};

use super::take;
use crate::Dialect;
use crate::hub::{Asked, Rest, Tool, ToolChoice, ToolKind};

const OWN: Dialect = Dialect::OpenaiResponses;

/// Adds the tool, or those of the namespace.
pub(super) fn tool(value: Value, namespace: Option<&Group>, tools: &mut Vec<Tool>) {
    let Value::Object(mut map) = value else { return };
    let kind = map.get("type").and_then(Value::as_str).unwrap_or("function").to_owned();
    match kind.as_str() {
        "function" | "custom" => tools.push(own(map, &kind, namespace)),
        // A namespace in a namespace is none that anyone describes; its tools are still tools.
        "namespace" if namespace.is_none() => {
            let inner = take::list(&mut map, "tools");
            let group = Group {
                name: take::string(&mut map, "name").unwrap_or_default(),
                description: take::word(&mut map, "description"),
            };
            inner.into_iter().for_each(|one| tool(one, Some(&group), tools));
        }
        _ => {
            let kind = ToolKind::Foreign(OWN, Value::Object(map));
            tools.push(Tool { name: own_name(&kind), description: None, kind, namespace: None, rest: Rest::default() });
        }
    }
}

/// A namespace that tools are grouped in.
pub(super) struct Group {
    name: String,
    description: Option<String>,
}

fn own_name(kind: &ToolKind) -> String {
    match kind {
        ToolKind::Foreign(_, value) => value.get("type").and_then(Value::as_str).unwrap_or_default().to_owned(),
        _ => String::new(),
    }
}

fn own(mut map: Map<String, Value>, kind: &str, namespace: Option<&Group>) -> Tool {
    map.shift_remove("type");
    if let Some(nested) = take::object(&mut map, kind) {
        for (name, value) in nested {
            if map.get(&name).is_none_or(Value::is_null) {
                map.insert(name, value);
            }
        }
    }
    let name = take::string(&mut map, "name").unwrap_or_default();
    let description = take::string(&mut map, "description");
    let kind = if kind == "custom" {
        ToolKind::Custom { format: take::any(&mut map, "format").map(flat_format) }
    } else {
        let schema =
            ["parameters", "input_schema", "parametersJsonSchema"].iter().find_map(|name| take::any(&mut map, name));
        ToolKind::Function { schema: schema.unwrap_or_default(), strict: take::bool(&mut map, "strict") }
    };
    take::drop_empty(&mut map);
    if let Some(description) = namespace.and_then(|group| group.description.clone()) {
        map.insert("namespace.description".to_owned(), description.into());
    }
    let namespace = namespace.map(|group| group.name.clone()).filter(|name| !name.is_empty());
    Tool { name, description, kind, namespace, rest: Rest::new(OWN, map) }
}

/// Chat nests the grammar of a custom tool; this dialect does not.
pub(super) fn flat_format(mut format: Value) -> Value {
    if let Some(map) = format.as_object_mut()
        && let Some(inner) = take::object(map, "grammar")
    {
        map.extend(inner);
    }
    format
}

pub(super) fn choice(value: Value) -> Option<ToolChoice> {
    let mut map = match value {
        Value::String(word) => {
            return Some(match word.as_str() {
                "auto" => ToolChoice::Auto,
                "none" => ToolChoice::None,
                "required" | "any" => ToolChoice::Required,
                _ => ToolChoice::Foreign(OWN, Value::String(word)),
            });
        }
        Value::Object(map) => map,
        _ => return None,
    };
    let kind = map.get("type").and_then(Value::as_str).unwrap_or("function").to_owned();
    Some(match kind.as_str() {
        "function" | "custom" if name_of(&map).is_some() => ToolChoice::Named(name_of(&map).unwrap_or_default()),
        "auto" => ToolChoice::Auto,
        "none" => ToolChoice::None,
        "required" | "any" => ToolChoice::Required,
        "allowed_tools" => {
            if let Some(nested) = take::object(&mut map, "allowed_tools") {
                map.extend(nested);
            }
            let required = map.get("mode").and_then(Value::as_str) == Some("required");
            let tools = map.get("tools").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
            let names = tools.iter().filter_map(|tool| {
                let tool = tool.as_object()?;
                name_of(tool).or_else(|| Some(tool.get("type")?.as_str()?.to_owned()))
            });
            ToolChoice::Allowed { required, names: names.collect() }
        }
        _ => ToolChoice::Foreign(OWN, Value::Object(map)),
    })
}

/// The name that the tool has in dialects without namespaces.
fn name_of(map: &Map<String, Value>) -> Option<String> {
    let nested = |name: &str| map.get(name).and_then(|inner| inner.get("name")).and_then(Value::as_str);
    let name = map.get("name").and_then(Value::as_str).or_else(|| nested("function")).or_else(|| nested("custom"))?;
    let namespace = map.get("namespace").and_then(Value::as_str);
    Some(Asked::flat(namespace, name).into_owned())
}
