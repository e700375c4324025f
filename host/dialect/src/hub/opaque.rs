//! Reasoning state that only its maker understands: signatures and encrypted thoughts.
//!
//! A client of another dialect carries it in its own dialect's place for such state, wrapped, so that it comes back; the reader unwraps it,
//! and a writer sends it only to the maker. What is not wrapped was made by a provider of the client's own dialect.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use memchr::memmem::Finder;
use serde_json::{Value, json};

use crate::Dialect;

/// Begins the text that is wrapped, before it is written in base64. Its own base64 is [`MARK`].
const PLAIN: &str = "sluice:1:";

/// What every wrapped state begins with: base64 of [`PLAIN`], so that a place which wants base64 (Gemini's) takes it.
const MARK: &str = "c2x1aWNlOjE6";

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opaque {
    /// Whose form `state` has.
    pub dialect: Dialect,
    /// The provider that made it, by its name in the configuration; `None` where a client brought it in its own dialect's form.
    pub provider: Option<String>,
    pub state: State,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// Belongs to the visible text beside it.
    Signature(String),
    /// Stands for thoughts that are not shown.
    Encrypted {
        data: String,
        /// The item's id, where the maker wants it back (Responses).
        id: Option<String>,
    },
}

/// Whether a document holds wrapped state anywhere. Such a document must not be passed on as it is. Every call that is not translated asks.
pub fn is_wrapped(document: &[u8]) -> bool {
    static FINDER: LazyLock<Finder<'static>> = LazyLock::new(|| Finder::new(MARK));
    FINDER.find(document).is_some()
}

impl Opaque {
    pub fn signature(dialect: Dialect, signature: impl Into<String>) -> Opaque {
        Opaque { dialect, provider: None, state: State::Signature(signature.into()) }
    }

    pub fn encrypted(dialect: Dialect, data: impl Into<String>, id: Option<String>) -> Opaque {
        Opaque { dialect, provider: None, state: State::Encrypted { data: data.into(), id } }
    }

    /// One text for a place of another dialect; valid base64.
    pub fn wrap(&self) -> String {
        let (kind, data, id) = match &self.state {
            State::Signature(data) => ("s", data, None),
            State::Encrypted { data, id } => ("e", data, id.as_deref()),
        };
        let inner = json!([self.dialect.as_str(), self.provider, kind, data, id]);
        STANDARD.encode(format!("{PLAIN}{inner}"))
    }

    /// Reads a text of that place: what was wrapped, else state of `own`, the dialect that the place belongs to.
    pub fn read(own: Dialect, text: &str, fresh: impl FnOnce(&str) -> State) -> Opaque {
        Opaque::unwrap(text).unwrap_or_else(|| Opaque { dialect: own, provider: None, state: fresh(text) })
    }

    fn unwrap(text: &str) -> Option<Opaque> {
        text.starts_with(MARK).then_some(())?;
        // Google's SDK for Python decodes what stands in such a place, and writes it again with the other alphabet.
        let plain = STANDARD.decode(text.replace('-', "+").replace('_', "/")).ok()?;
        let inner = std::str::from_utf8(&plain).ok()?.strip_prefix(PLAIN)?;
        let Ok(Value::Array(fields)) = serde_json::from_str(inner) else { return None };
        let text = |at: usize| fields.get(at).and_then(Value::as_str).map(str::to_owned);
        let dialect = Dialect::named(fields.first()?.as_str()?)?;
        let data = text(3)?;
        let state = match fields.get(2)?.as_str()? {
            "s" => State::Signature(data),
            "e" => State::Encrypted { data, id: text(4) },
            _ => return None,
        };
        Some(Opaque { dialect, provider: text(1), state })
    }

    /// Whether a provider of this name and dialect made it, as far as anyone knows.
    pub fn fits(&self, dialect: Dialect, provider: &str) -> bool {
        self.dialect == dialect && self.provider.as_deref().is_none_or(|made| made == provider)
    }

    #[must_use]
    pub fn made_by(mut self, provider: &str) -> Opaque {
        self.provider = Some(provider.to_owned());
        self
    }
}
