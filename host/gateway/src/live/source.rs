//! Where the configuration comes from: the file, what the command line says over it, and what was in it at the last look.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::config::{self, Config, ConfigErrors, Input, Overrides, Reading};

type Env = dyn Fn(&str) -> Option<String> + Send;

/// See the module.
pub struct Source {
    /// As the command line names it, or the default one.
    path: PathBuf,
    /// Named on the command line: then it has to be there.
    named: bool,
    overrides: Overrides,
    env: Box<Env>,
}

/// What stands at the file's path.
pub enum Found {
    Text(String),
    Absent,
    /// It is there and cannot be read.
    Bad(ConfigErrors),
}

/// What a look saw, for the next one to compare.
#[derive(Default)]
pub struct Seen {
    main: Option<String>,
    inputs: Vec<Input>,
}

impl Source {
    pub fn new(path: Option<&Path>, overrides: Overrides, env: Box<Env>) -> Source {
        Source {
            path: path.unwrap_or(Path::new(config::DEFAULT_FILE)).to_owned(),
            named: path.is_some(),
            overrides,
            env,
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn is_named(&self) -> bool {
        self.named
    }

    /// What is there now.
    pub fn find(&self) -> Found {
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Found::Absent,
            _ => match config::text(&self.path) {
                Ok(text) => Found::Text(text),
                Err(errors) => Found::Bad(errors),
            },
        }
    }

    /// Reads a text as if it stood in the file.
    pub fn parse(&self, text: &str) -> Reading {
        config::parse(&self.path, text, &*self.env, &self.overrides)
    }

    /// The configuration without a file.
    ///
    /// # Errors
    /// What the environment or the command line has wrong.
    pub fn defaults(&self) -> Result<Config, ConfigErrors> {
        config::defaults(&*self.env, &self.overrides).result
    }

    /// Whether the file can be read more than once; a pipe cannot.
    pub fn can_change(&self) -> bool {
        fs::metadata(&self.path).map_or(true, |meta| meta.is_file())
    }

    /// The folders in which a change can happen: those of the file and of `seen`'s further files, and where links lead.
    pub fn folders(&self, seen: &Seen) -> BTreeSet<PathBuf> {
        let files = std::iter::once(self.path.as_path()).chain(seen.inputs.iter().map(Input::path));
        let mut folders = BTreeSet::new();
        for file in files {
            folders.insert(folder(file));
            folders.extend(fs::canonicalize(file).ok().map(|target| folder(&target)));
        }
        folders
    }
}

fn folder(file: &Path) -> PathBuf {
    match file.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

impl Found {
    /// What of it counts for a comparison.
    fn print(&self) -> String {
        match self {
            Found::Text(text) => config::digest_text(text.as_bytes()),
            Found::Absent => "absent".to_owned(),
            Found::Bad(errors) => errors.to_string(),
        }
    }
}

impl Seen {
    pub fn new(found: &Found, inputs: Vec<Input>) -> Seen {
        Seen { main: Some(found.print()), inputs }
    }

    /// Whether something reads otherwise than before.
    pub fn differs(&self, found: &Found) -> bool {
        self.main.as_deref() != Some(found.print().as_str()) || self.inputs.iter().any(Input::has_changed)
    }
}
