//! A provider's list as it is kept: names, and what the provider says of each, ready to be written under any name.
//!
//! Providers agree on little more than `id`: the list is `data`, `models` or the whole body, an entry an object or a name. What an entry
//! has beside its name is passed on as it is, and completed to what OpenAI's clients require of a model.

use std::collections::HashMap;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, SeqAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::ask::Trouble;

/// Names kept of one provider. More is no list that anybody reads.
const MOST: usize = 20_000;
/// A longer name, in bytes, is left out.
const LONGEST_NAME: usize = 512;

/// One provider's models, in the provider's order; names are unique.
#[derive(Debug, Default)]
pub struct Models {
    entries: Vec<Entry>,
    index: HashMap<Box<str>, usize>,
}

/// One model.
#[derive(Debug)]
pub struct Entry {
    id: Box<str>,
    /// The object behind its `id`: from a comma to the closing brace.
    rest: Box<str>,
}

impl Models {
    /// Reads a body; `owner` owns the models that name nobody.
    pub(super) fn read(body: &[u8], owner: &str) -> Result<Models, Trouble> {
        let garbage = |error: serde_json::Error| {
            // Where, not what: the text is the provider's.
            Trouble(format!("the answer is no list of models (line {}, column {})", error.line(), error.column()))
        };
        let listed = if body.trim_ascii_start().starts_with(b"[") {
            Some(serde_json::from_slice::<Listed<'_>>(body).map_err(garbage)?)
        } else {
            let page = serde_json::from_slice::<Page<'_>>(body).map_err(garbage)?;
            page.data.or(page.models)
        };
        let Some(listed) = listed else { return Err(Trouble("the answer is no list of models".to_owned())) };
        if listed.more {
            tracing::warn!(provider = owner, "the provider lists more than {MOST} models; the rest is left out");
        }
        let mut models = Models::default();
        for entry in listed.entries.into_iter().filter_map(|raw| Entry::read(raw, owner)) {
            if !models.index.contains_key(&entry.id) {
                models.index.insert(entry.id.clone(), models.entries.len());
                models.entries.push(entry);
            }
        }
        Ok(models)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    pub fn get(&self, id: &str) -> Option<&Entry> {
        self.entries.get(*self.index.get(id)?)
    }
}

impl Entry {
    /// The provider's own name for the model.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Writes the model as a JSON object that is called `id`.
    pub fn write(&self, id: &str, out: &mut String) {
        out.push_str("{\"id\":");
        out.push_str(&Value::from(id).to_string());
        out.push_str(&self.rest);
    }

    /// `None` for what is no model: without a name, or with one that could not be asked for.
    fn read(raw: &RawValue, owner: &str) -> Option<Entry> {
        let mut fields = match serde_json::from_str(raw.get()).ok()? {
            Value::Object(fields) => fields,
            Value::String(id) => Map::from_iter([("id".to_owned(), Value::String(id))]),
            _ => return None,
        };
        let name = ["id", "name", "model"].iter().find_map(|key| fields.get(*key)?.as_str().map(str::to_owned))?;
        // Gemini's own spelling of every name.
        let name = name.strip_prefix("models/").map_or_else(|| name.clone(), str::to_owned);
        if name.is_empty() || name.len() > LONGEST_NAME || name.chars().any(char::is_control) {
            return None;
        }
        fields.shift_remove("id");
        Some(Entry { id: name.into(), rest: rest(fields, owner) })
    }
}

/// Everything but the name, with what a client's types require.
fn rest(mut fields: Map<String, Value>, owner: &str) -> Box<str> {
    fields.insert("object".to_owned(), "model".into());
    if !fields.get("created").is_some_and(|created| created.is_u64() || created.is_i64()) {
        fields.insert("created".to_owned(), 0.into());
    }
    if !fields.get("owned_by").is_some_and(Value::is_string) {
        fields.insert("owned_by".to_owned(), owner.into());
    }
    let text = Value::Object(fields).to_string();
    format!(",{}", text.trim_start_matches('{')).into()
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow, default)]
    data: Option<Listed<'a>>,
    #[serde(borrow, default)]
    models: Option<Listed<'a>>,
}

/// The entries of an array, up to [`MOST`], unread.
struct Listed<'a> {
    entries: Vec<&'a RawValue>,
    more: bool,
}

impl<'de: 'a, 'a> Deserialize<'de> for Listed<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Items;
        impl<'de> Visitor<'de> for Items {
            type Value = Listed<'de>;

            fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
                out.write_str("a list of models")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Listed<'de>, A::Error> {
                let mut listed = Listed { entries: Vec::new(), more: false };
                while listed.entries.len() < MOST {
                    let Some(entry) = items.next_element()? else { return Ok(listed) };
                    listed.entries.push(entry);
                }
                while items.next_element::<IgnoredAny>()?.is_some() {
                    listed.more = true;
                }
                Ok(listed)
            }
        }
        deserializer.deserialize_seq(Items)
    }
}
