//! What a plugin says it is: the document that `about` returns.

use serde_json::{Map, Value};

use crate::error::{LoadError, LoadErrorKind};
use crate::host::cut;

const MAX_MANIFEST: usize = 256 << 10;
const MAX_WORD: usize = 128;
const MAX_DESCRIPTION: usize = 4 << 10;

/// Fields are only ever added to the document, so unknown ones are kept in `raw` and are no error.
#[derive(Clone, Debug)]
pub struct Manifest {
    pub name: String,
    /// `0.0.0` where the plugin says none.
    pub version: String,
    /// May be empty.
    pub description: String,
    /// A JSON Schema of the settings.
    pub settings: Option<Value>,
    /// The whole document, an object.
    pub raw: Value,
}

impl Manifest {
    /// Of a plugin without `about`.
    pub(crate) fn absent(name: &str) -> Manifest {
        Manifest {
            name: name.to_owned(),
            version: "0.0.0".to_owned(),
            description: String::new(),
            settings: None,
            raw: Value::Object(Map::new()),
        }
    }

    /// # Errors
    /// `Manifest`, naming the field at fault.
    pub(crate) fn parse(text: &str, name: &str) -> Result<Manifest, LoadError> {
        let refuse = |why: String| LoadError::new(LoadErrorKind::Manifest, format!("`about.manifest` {why}"));
        if text.len() > MAX_MANIFEST {
            return Err(refuse(format!("returned {} bytes, more than {MAX_MANIFEST}", text.len())));
        }
        let raw: Value = serde_json::from_str(text).map_err(|error| refuse(format!("did not return JSON: {error}")))?;
        if !raw.is_object() {
            return Err(refuse("must return a JSON object".to_owned()));
        }
        let word = |field: &str, max: usize| match raw.get(field) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(printable(text, max))),
            Some(_) => Err(refuse(format!("has a `{field}` that is not a string"))),
        };
        let settings = match raw.get("settings") {
            None | Some(Value::Null) => None,
            Some(schema @ Value::Object(_)) => Some(schema.clone()),
            Some(_) => return Err(refuse("has `settings` that are not an object (a JSON Schema)".to_owned())),
        };
        Ok(Manifest {
            name: word("name", MAX_WORD)?.filter(|own| !own.is_empty()).unwrap_or_else(|| name.to_owned()),
            version: word("version", MAX_WORD)?.unwrap_or_else(|| "0.0.0".to_owned()),
            description: word("description", MAX_DESCRIPTION)?.unwrap_or_default(),
            settings,
            raw,
        })
    }

    /// The names under `required` of the settings schema, in its order.
    pub fn required_settings(&self) -> Vec<&str> {
        self.settings
            .as_ref()
            .and_then(|schema| schema.get("required"))
            .and_then(Value::as_array)
            .map(|names| names.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default()
    }
}

/// Of at most `max` bytes and without control characters: it is shown in logs and on pages.
pub(crate) fn printable(text: &str, max: usize) -> String {
    cut(text, max).chars().filter(|character| !character.is_control()).collect()
}
