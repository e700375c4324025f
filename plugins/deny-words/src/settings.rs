//! The operator's settings and their bounds. The JSON Schema beside the sources says the same for the gateway's pages.

use sluice::{Fault, Kind};

const MAX_WORD: usize = 256;
const MAX_PATTERNS: usize = 100;
const MAX_PATTERN: usize = 1000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Action {
    Deny,
    Mask,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Side {
    Request,
    Reply,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum KindName {
    Text,
    Reasoning,
    Refusal,
    ToolArguments,
    ToolResult,
    Other,
}

impl KindName {
    const ALL: [KindName; 6] = [
        KindName::Text,
        KindName::Reasoning,
        KindName::Refusal,
        KindName::ToolArguments,
        KindName::ToolResult,
        KindName::Other,
    ];
}

impl From<KindName> for Kind {
    fn from(name: KindName) -> Kind {
        match name {
            KindName::Text => Kind::Text,
            KindName::Reasoning => Kind::Reasoning,
            KindName::Refusal => Kind::Refusal,
            KindName::ToolArguments => Kind::ToolArguments,
            KindName::ToolResult => Kind::ToolResult,
            KindName::Other => Kind::Other,
        }
    }
}

#[derive(Clone, Debug, serde::Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) words: Vec<String>,
    pub(crate) patterns: Vec<String>,
    pub(crate) action: Action,
    /// Stands in for what is masked; one character stands for each character masked.
    pub(crate) mask: String,
    pub(crate) case_sensitive: bool,
    pub(crate) whole_words: bool,
    #[serde(rename = "where")]
    pub(crate) sides: Vec<Side>,
    pub(crate) kinds: Vec<KindName>,
    /// Characters of a stream that are held back while patterns may still match; no pattern may match more.
    pub(crate) pattern_window: usize,
    pub(crate) message: String,
    pub(crate) code: String,
    pub(crate) status: u16,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            words: Vec::new(),
            patterns: Vec::new(),
            action: Action::Deny,
            mask: "***".to_owned(),
            case_sensitive: false,
            whole_words: false,
            sides: vec![Side::Request, Side::Reply],
            kinds: KindName::ALL.to_vec(),
            pattern_window: 256,
            message: "This was refused by a content policy. Rephrase it without the protected terms.".to_owned(),
            code: "content_filter".to_owned(),
            status: 400,
        }
    }
}

impl Settings {
    /// Whether the values make sense together.
    ///
    /// # Errors
    /// Names the field and what it should be.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        let wrong = |text: String| Err(Fault::config(format!("settings.{text}")));
        if self.words.is_empty() && self.patterns.is_empty() {
            return wrong("words: give at least one word here, or one pattern in `patterns`".to_owned());
        }
        for (at, word) in self.words.iter().enumerate() {
            if word.chars().count() > MAX_WORD {
                return wrong(format!("words[{at}]: longer than {MAX_WORD} characters"));
            }
            if word.chars().any(char::is_control) {
                return wrong(format!("words[{at}]: has a control character"));
            }
        }
        if self.patterns.len() > MAX_PATTERNS {
            return wrong(format!("patterns: {} are too many, at most {MAX_PATTERNS}", self.patterns.len()));
        }
        if let Some(at) = self.patterns.iter().position(|pattern| pattern.len() > MAX_PATTERN) {
            return wrong(format!("patterns[{at}]: longer than {MAX_PATTERN} bytes"));
        }
        if self.sides.is_empty() {
            return wrong("where: is empty; leave it out for both request and reply".to_owned());
        }
        if self.kinds.is_empty() {
            return wrong("kinds: is empty; leave it out for all kinds".to_owned());
        }
        if !(16..=4096).contains(&self.pattern_window) {
            return wrong(format!("pattern_window: {} is not from 16 to 4096", self.pattern_window));
        }
        if !(400..=599).contains(&self.status) {
            return wrong(format!("status: {} is not from 400 to 599", self.status));
        }
        if self.code.is_empty() || self.message.is_empty() {
            return wrong("code and message: must not be empty".to_owned());
        }
        Ok(())
    }
}
