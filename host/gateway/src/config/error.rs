//! What is wrong with a configuration, each error with its place, and the notebook that collects them.
//!
//! Errors here are for people at a terminal; nothing of this ever reaches a client. Texts never hold a secret or an expanded value.

use std::fmt;

use super::input::Input;
use super::tree::{Node, Value};

/// Past this many, more errors help nobody and a hostile file must not fill the memory with them.
const MOST: usize = 200;

/// One thing wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError {
    /// The file's path as it was given, or `command line` or `environment`.
    pub file: String,
    /// From 1; 0 where the error has no place in a file.
    pub line: u32,
    /// From 1, in characters; 0 where the error has no place in a file.
    pub column: u32,
    /// What is wrong, as a clause without a final stop.
    pub message: String,
    /// What would help, as a clause.
    pub suggestion: Option<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file)?;
        if self.line > 0 {
            write!(f, "{}:{}:", self.line, self.column)?;
        }
        write!(f, " {}", self.message)?;
        match &self.suggestion {
            Some(suggestion) => write!(f, ", {suggestion}"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for ConfigError {}

/// All errors of one load, in the order of their places. Never empty; `Display` gives one a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(pub Vec<ConfigError>);

impl ConfigErrors {
    /// One error that has no place in a file.
    pub fn of(file: String, message: String) -> ConfigErrors {
        ConfigErrors(vec![ConfigError { file, line: 0, column: 0, message, suggestion: None }])
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            write!(f, "{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// A place in a file: from 1, or 0 for none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) line: u32,
    pub(super) column: u32,
}

/// Walks the tree beside the typed values, so that what the types cannot say still gets a place. Where a node is absent, its nearest
/// ancestor stands in.
#[derive(Clone, Copy)]
pub(super) struct At<'a> {
    node: Option<&'a Node>,
    place: Place,
}

impl<'a> At<'a> {
    pub(super) fn root(node: &'a Node) -> Self {
        At { node: Some(node), place: node.place }
    }

    /// For values that no file holds.
    pub(super) fn nowhere() -> Self {
        At { node: None, place: Place::default() }
    }

    pub(super) fn key(self, name: &str) -> Self {
        match self.node.and_then(|node| node.get(name)) {
            Some(entry) => At { node: Some(&entry.node), place: entry.node.place },
            None => At { node: None, place: self.place },
        }
    }

    /// The place of the key itself rather than of its value.
    pub(super) fn name(self, name: &str) -> Self {
        match self.node.and_then(|node| node.get(name)) {
            Some(entry) => At { node: Some(&entry.node), place: entry.place },
            None => At { node: None, place: self.place },
        }
    }

    /// An item of a list; where one value stands for a list, that value.
    pub(super) fn item(self, index: usize) -> Self {
        if !matches!(self.node.map(|node| &node.value), Some(Value::List(_))) {
            return self;
        }
        match self.node.and_then(|node| node.item(index)) {
            Some(node) => At { node: Some(node), place: node.place },
            None => At { node: None, place: self.place },
        }
    }

    pub(super) fn place(self) -> Place {
        self.place
    }

    /// What stands here as it was written, before variables were expanded, as JSON; `None` where nothing does.
    pub(super) fn as_written(self) -> Option<String> {
        self.node.map(|node| node.to_written_json().to_string())
    }

    /// Whether something was here that is reported already.
    pub(super) fn is_broken(self) -> bool {
        self.node.is_some_and(Node::is_broken)
    }

    /// Whether the file says nothing here.
    pub(super) fn is_absent(self) -> bool {
        self.node.is_none()
    }

    /// Whether a reported value is among the items here.
    pub(super) fn has_broken(self) -> bool {
        match self.node.map(|node| &node.value) {
            Some(Value::List(items)) => items.iter().any(Node::is_broken),
            Some(Value::Broken) => true,
            _ => false,
        }
    }

    /// The names of the entries here, broken ones included.
    pub(super) fn names(self) -> Vec<&'a str> {
        match self.node.map(|node| &node.value) {
            Some(Value::Map(entries)) => entries.iter().map(|entry| entry.key.as_str()).collect(),
            _ => Vec::new(),
        }
    }

    /// How the value was written where it holds an expanded variable, whose content must not be shown.
    pub(super) fn written(self) -> Option<&'a str> {
        self.node.and_then(|node| node.written.as_deref())
    }

    /// The value for an error text: as written where it was expanded.
    pub(super) fn shown(self, value: &str) -> String {
        super::tree::shorten(self.written().unwrap_or(value))
    }
}

/// The notebook of one load.
#[derive(Default)]
pub(super) struct Report {
    pub(super) file: String,
    pub(super) errors: Vec<ConfigError>,
    pub(super) warnings: Vec<String>,
    /// Further files that were read.
    pub(super) inputs: Vec<Input>,
}

impl Report {
    pub(super) fn new(file: String) -> Self {
        Report { file, ..Report::default() }
    }

    pub(super) fn error(&mut self, place: Place, message: impl Into<String>) {
        self.add(place, message.into(), None);
    }

    pub(super) fn suggest(&mut self, place: Place, message: impl Into<String>, suggestion: impl Into<String>) {
        self.add(place, message.into(), Some(suggestion.into()));
    }

    /// As [`Report::suggest`], with the known name nearest to `found`, if one is near.
    pub(super) fn unknown(&mut self, place: Place, message: impl Into<String>, found: &str, known: &[&str]) {
        let suggestion = nearest(found, known).map(|name| format!("did you mean `{name}`?"));
        self.add(place, message.into(), suggestion);
    }

    /// For what comes from outside the file.
    pub(super) fn elsewhere(&mut self, origin: &str, message: impl Into<String>) {
        let error =
            ConfigError { file: origin.to_owned(), line: 0, column: 0, message: message.into(), suggestion: None };
        self.errors.push(error);
    }

    pub(super) fn warn(&mut self, place: Place, message: &str) {
        self.warnings.push(format!("{}:{}:{}: {message}", self.file, place.line, place.column));
    }

    fn add(&mut self, place: Place, message: String, suggestion: Option<String>) {
        if self.errors.len() < MOST {
            let Place { line, column } = place;
            self.errors.push(ConfigError { file: self.file.clone(), line, column, message, suggestion });
        }
    }

    /// The errors in the order of the file, or nothing if there are none.
    pub(super) fn finish(mut self) -> Result<Vec<String>, ConfigErrors> {
        if self.errors.is_empty() {
            return Ok(self.warnings);
        }
        self.errors.sort_by_key(|error| (error.line, error.column));
        self.errors.dedup();
        Err(ConfigErrors(self.errors))
    }
}

/// The known name that `found` most likely meant, or none.
pub(super) fn nearest<'a>(found: &str, known: &[&'a str]) -> Option<&'a str> {
    // The distance is quadratic; no field name is this long.
    if found.chars().count() > 64 {
        return None;
    }
    let scored =
        known.iter().map(|name| (strsim::damerau_levenshtein(&found.to_lowercase(), &name.to_lowercase()), *name));
    let (distance, name) = scored.min_by_key(|(distance, _)| *distance)?;
    let allowed = (name.chars().count().max(found.chars().count()) / 3).max(1);
    (distance <= allowed).then_some(name)
}
