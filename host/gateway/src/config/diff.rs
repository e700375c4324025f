//! What changes between two texts of a configuration, field by field: `sluice check --diff`.
//!
//! It compares what is written and what counts without, not what the environment makes of it: two texts that say the same in other words do not
//! differ. No line shows a secret, a plugin's settings or what a variable holds.

use std::collections::{HashMap, HashSet};
use std::fmt;

use super::check::Schema;
use super::error::Report;
use super::fields::{self, Shown};
use super::file::File;
use super::restart::RESTART;
use super::{ConfigErrors, tree};

/// One field that changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    pub path: String,
    /// `None` for what comes or goes as a whole, and where nothing counted.
    pub old: Option<String>,
    pub new: Option<String>,
    /// It counts only after a restart; else a running gateway takes it at once.
    pub restart: bool,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An entry under a free name or of a list.
    Added,
    Removed,
    /// A value that can be shown.
    Value,
    /// A value that cannot.
    Hidden,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |value: &Option<String>| value.as_deref().unwrap_or("nothing").to_owned();
        match self.kind {
            Kind::Added => write!(f, "{}: added", self.path)?,
            Kind::Removed => write!(f, "{}: removed", self.path)?,
            Kind::Hidden => write!(f, "{}: changed", self.path)?,
            Kind::Value => write!(f, "{}: {} -> {}", self.path, shown(&self.old), shown(&self.new))?,
        }
        f.write_str(if self.restart { " (after a restart)" } else { " (live)" })
    }
}

/// The changes from `old` to `new`, in the order of the fields in `docs/config.md`; what is gone comes last.
///
/// # Errors
/// A text that is no YAML; `names` are what the errors call the two.
pub fn diff(old: &str, new: &str, names: (&str, &str)) -> Result<Vec<Change>, ConfigErrors> {
    let schema = Schema::of::<File>();
    let (old, new) = (parsed(old, names.0, &schema)?, parsed(new, names.1, &schema)?);
    let old_fields = fields::fields(&schema, Some(&old), "");
    let new_fields = fields::fields(&schema, Some(&new), "");
    let value =
        |field: &fields::Field<'_>| if field.section { Shown::nothing() } else { fields::value(&schema, field) };
    let before: HashMap<&str, Shown> = old_fields.iter().map(|field| (field.path.as_str(), value(field))).collect();
    let after: HashSet<&str> = new_fields.iter().map(|field| field.path.as_str()).collect();
    let mut out = Vec::new();
    for field in &new_fields {
        let new = value(field);
        match before.get(field.path.as_str()) {
            Some(old) if old.same(&new) => {}
            Some(old) => out.push(change(&field.path, old, &new)),
            // Below an entry that comes, what it does not write is no news.
            None if field.section && field.entry => out.push(whole(&field.path, Kind::Added)),
            None if !field.section && field.node.is_some() => out.push(change(&field.path, &Shown::nothing(), &new)),
            None => {}
        }
    }
    let mut gone: Option<&str> = None;
    for field in old_fields.iter().filter(|field| !after.contains(field.path.as_str())) {
        let inside =
            gone.is_some_and(|gone| field.path.strip_prefix(gone).is_some_and(|rest| rest.starts_with(['.', '['])));
        if !inside && (field.entry || field.node.is_some()) {
            gone = Some(&field.path);
            out.push(whole(&field.path, Kind::Removed));
        }
    }
    Ok(out)
}

fn whole(path: &str, kind: Kind) -> Change {
    Change { path: path.to_owned(), old: None, new: None, restart: needs_restart(path), kind }
}

fn change(path: &str, old: &Shown, new: &Shown) -> Change {
    // Where the two look alike, or one is a secret, the texts would tell nothing or too much.
    let hidden = old.text == new.text || old.hidden || new.hidden;
    let kind = if hidden { Kind::Hidden } else { Kind::Value };
    let kept = |shown: &Shown| shown.text.clone().filter(|_| !hidden);
    Change { path: path.to_owned(), old: kept(old), new: kept(new), restart: needs_restart(path), kind }
}

/// Whether a running gateway keeps the old value of the field at `path`.
pub(super) fn needs_restart(path: &str) -> bool {
    RESTART
        .iter()
        .any(|field| path.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '['])))
}

fn parsed(text: &str, name: &str, schema: &Schema) -> Result<tree::Node, ConfigErrors> {
    let mut report = Report::new(name.to_owned());
    let tree = tree::parse(text, &mut report);
    match (tree, report.finish()) {
        (Some(mut tree), Ok(_)) => {
            super::dotted::nest(&mut tree, schema);
            Ok(tree)
        }
        (_, Err(errors)) => Err(errors),
        (None, Ok(_)) => Err(super::unexplained(std::path::Path::new(name))),
    }
}
