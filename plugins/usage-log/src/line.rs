//! One line out of a call's document. Absent members are left out, so that a line says only what is known.

use serde_json::{Map, Value};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Format {
    #[default]
    Json,
    Logfmt,
}

/// A member to show, by its dotted name.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    name: String,
    pointer: String,
}

impl Field {
    pub(crate) fn new(name: &str) -> Field {
        let pointer = name
            .split('.')
            .fold(String::new(), |pointer, part| format!("{pointer}/{}", part.replace('~', "~0").replace('/', "~1")));
        Field { name: name.to_owned(), pointer }
    }
}

pub(crate) fn of(call: &Value, fields: &[Field], format: Format) -> String {
    let known = fields.iter().filter_map(|field| Some((field, call.pointer(&field.pointer)?)));
    match format {
        Format::Json => {
            let line: Map<_, _> = known.map(|(field, value)| (field.name.clone(), value.clone())).collect();
            Value::Object(line).to_string()
        }
        Format::Logfmt => {
            let mut line = String::new();
            for (field, value) in known {
                pair(&mut line, &field.name, value);
            }
            line
        }
    }
}

/// `name=value`; members of an object under dotted names.
fn pair(line: &mut String, name: &str, value: &Value) {
    if let Value::Object(members) = value {
        for (member, value) in members {
            pair(line, &format!("{name}.{member}"), value);
        }
        return;
    }
    if !line.is_empty() {
        line.push(' ');
    }
    let clean = |c: char| if c.is_ascii_graphic() && c != '=' && c != '"' { c } else { '_' };
    line.extend(name.chars().map(clean));
    line.push('=');
    match value {
        Value::String(text)
            if !text.is_empty() && text.chars().all(|c| c.is_ascii_graphic() && c != '"' && c != '=') =>
        {
            line.push_str(text);
        }
        other => {
            let json = other.to_string();
            // A list is quoted as a whole, so that a pair never holds a bare space.
            let quoted = if other.is_array() { Value::String(json).to_string() } else { json };
            line.push_str(&quoted);
        }
    }
}
