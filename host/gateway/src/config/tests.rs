//! Whole files in, errors with their exact places or a whole configuration out.

mod errors;
mod good;
mod routes;

use std::path::{Path, PathBuf};

use super::*;

/// A folder with one configuration file.
struct Folder {
    dir: tempfile::TempDir,
}

impl Folder {
    fn with(text: &str) -> Self {
        let folder = Folder { dir: tempfile::tempdir().unwrap() };
        folder.add("c.yaml", text);
        folder
    }

    fn add(&self, name: &str, text: &str) -> &Self {
        std::fs::write(self.path(name), text).unwrap();
        self
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn load(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigErrors> {
        load(Some(&self.path("c.yaml")), env, &Overrides::default())
    }

    /// The errors with the folder cut off, so that they read as `c.yaml:1:2: ...`.
    fn errors(&self, env: &dyn Fn(&str) -> Option<String>) -> String {
        let prefix = format!("{}/", self.dir.path().display());
        self.load(env).expect_err("an error").to_string().replace(&prefix, "")
    }
}

const SECRET: &str = "sk-do-not-print-5f1c";

fn no_env(_: &str) -> Option<String> {
    None
}

fn some_env(name: &str) -> Option<String> {
    match name {
        "OPENAI_API_KEY" | "OTHER_KEY" | "SLUICE_ADMIN_TOKEN" | "OPENAI_SPARE_KEY" | "NOTEBOOK_KEY" => {
            Some(format!("{SECRET}-{name}"))
        }
        "WORD" => Some(SECRET.to_owned()),
        "COUNT" => Some("3".to_owned()),
        "BLANK" => Some("  ".to_owned()),
        "LINES" => Some("a\nb".to_owned()),
        _ => None,
    }
}

fn good(text: &str) -> Config {
    Folder::with(text).load(&some_env).unwrap_or_else(|errors| panic!("{errors}"))
}

/// Each line of `expected` is an error that `text` gives, in order, and there are no others.
#[track_caller]
fn bad(text: &str, expected: &[&str]) {
    let errors = Folder::with(text).errors(&some_env);
    assert_eq!(errors.lines().collect::<Vec<_>>(), expected, "\n{text}");
    assert!(!errors.contains(SECRET));
}

/// A file of the repository.
fn repository(path: &str) -> PathBuf {
    // The crate is two folders below the root.
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}
