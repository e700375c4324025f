//! What a plugin says it is: the document that `about` returns.

use serde_json::{Map, Value};

use crate::error::{LoadError, LoadErrorKind};
use crate::host::cut;
use crate::kv::Grants;

const MAX_MANIFEST: usize = 256 << 10;
const MAX_WORD: usize = 128;
const MAX_DESCRIPTION: usize = 4 << 10;
const MAX_REASON: usize = 512;
const MAX_GRANTS: usize = 16;

/// A capability that a plugin would like to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedGrant {
    /// As in `grants:` of the plugin's block: `kv`.
    pub name: String,
    /// For the operator who decides; may be empty. One line.
    pub reason: String,
    /// It serves without, with less.
    pub optional: bool,
}

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
    /// In the document's order.
    pub grants: Vec<WantedGrant>,
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
            grants: Vec::new(),
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
        let grants = wanted_grants(raw.get("grants")).map_err(refuse)?;
        Ok(Manifest {
            name: word("name", MAX_WORD)?.filter(|own| !own.is_empty()).unwrap_or_else(|| name.to_owned()),
            version: word("version", MAX_WORD)?.unwrap_or_else(|| "0.0.0".to_owned()),
            description: word("description", MAX_DESCRIPTION)?.unwrap_or_default(),
            settings,
            grants,
            raw,
        })
    }

    /// The grants that the plugin cannot do without and does not have.
    ///
    /// # Errors
    /// `Manifest`, for one that this host cannot give.
    pub(crate) fn missing_grants(&self, given: &Grants) -> Result<Vec<&WantedGrant>, LoadError> {
        let mut missing = Vec::new();
        for grant in self.grants.iter().filter(|grant| !grant.optional) {
            match given.has(&grant.name) {
                Some(true) => {}
                Some(false) => missing.push(grant),
                None => {
                    let message = format!(
                        "needs the grant `{}`, which this host cannot give; the plugin may need a newer Sluice",
                        grant.name
                    );
                    return Err(LoadError::new(LoadErrorKind::Manifest, message));
                }
            }
        }
        Ok(missing)
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

/// The error goes after "`about.manifest`".
fn wanted_grants(given: Option<&Value>) -> Result<Vec<WantedGrant>, String> {
    let list = match given {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(list)) if list.len() <= MAX_GRANTS => list,
        Some(_) => return Err(format!("has `grants` that are not a list of at most {MAX_GRANTS}")),
    };
    let mut grants: Vec<WantedGrant> = Vec::with_capacity(list.len());
    for (at, given) in list.iter().enumerate() {
        let plain =
            |name: &&str| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        let name = given.get("name").and_then(Value::as_str).filter(plain).map(|name| printable(name, MAX_WORD));
        let Some(name) = name else { return Err(format!("has `grants[{at}]` without a `name` such as \"kv\"")) };
        if grants.iter().any(|known| known.name == name) {
            return Err(format!("has the grant `{name}` twice"));
        }
        let reason = match given.get("reason") {
            None | Some(Value::Null) => String::new(),
            Some(Value::String(text)) => printable(text, MAX_REASON),
            Some(_) => return Err(format!("has `grants[{at}].reason` that is not a string")),
        };
        let optional = match given.get("optional") {
            None | Some(Value::Null) => false,
            Some(Value::Bool(optional)) => *optional,
            Some(_) => return Err(format!("has `grants[{at}].optional` that is neither true nor false")),
        };
        grants.push(WantedGrant { name, reason, optional });
    }
    Ok(grants)
}

/// Of at most `max` bytes and without control characters: it is shown in logs and on pages.
pub(crate) fn printable(text: &str, max: usize) -> String {
    cut(text, max).chars().filter(|character| !character.is_control()).collect()
}
