//! A finished call as `on_complete` gets it: one JSON document, read as far as it is asked.

use crate::types::Fault;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::cell::OnceCell;

/// The document of one finished call. Its fields are those of `wit/finished-call.schema.json`, and more may be added: ignore what you do
/// not know. It never holds the text of a prompt or reply.
#[derive(Clone, Debug)]
pub struct Finished {
    json: String,
    /// Read at the first question; `None` within where the text is not JSON.
    document: OnceCell<Option<Value>>,
}

impl Finished {
    pub(crate) fn new(json: String) -> Self {
        Finished { json, document: OnceCell::new() }
    }

    /// The whole document as it came, on one line: for those who ship it on.
    pub fn json(&self) -> &str {
        &self.json
    }

    /// The value at an RFC 6901 pointer: `/outcome`, `/tokens/output`. `None` where nothing or null is there.
    ///
    /// # Errors
    /// What is there is not a `T`, or the document is not JSON.
    pub fn get<T: DeserializeOwned>(&self, pointer: &str) -> Result<Option<T>, Fault> {
        let document = self.document.get_or_init(|| serde_json::from_str(&self.json).ok());
        let Some(document) = document else { return Err(Fault::Invalid("the document is not JSON".to_owned())) };
        match document.pointer(pointer) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => match T::deserialize(value) {
                Ok(value) => Ok(Some(value)),
                Err(error) => Err(Fault::Invalid(format!("{pointer}: {error}"))),
            },
        }
    }

    /// The whole document as a type of yours; faster than many [`Finished::get`].
    ///
    /// # Errors
    /// It is not a `T`.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, Fault> {
        Ok(serde_json::from_str(&self.json)?)
    }
}
