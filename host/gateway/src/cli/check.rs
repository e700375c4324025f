//! `sluice check`: the whole configuration, and the settings files beside plugins, without serving; and what it would change.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use super::Check;
use crate::config::{self, Config, Overrides};
use crate::state::{self, Identity, State};

/// Exit code where something would change.
const CHANGES: u8 = 1;
/// Exit code where something is wrong.
const WRONG: u8 = 2;

pub fn run(check: &Check) -> ExitCode {
    let env = |name: &str| std::env::var(name).ok();
    let overrides = Overrides { plugins_dir: check.plugins.clone(), ..Overrides::default() };
    let mut errors = Vec::new();
    let mut dir = check.plugins.clone();
    let mut checked = None;
    match config::load(check.config.as_deref(), &env, &overrides) {
        Ok(config) => {
            for warning in &config.warnings {
                println!("warning: {warning}");
            }
            dir = Some(config.plugins.dir.clone());
            checked = Some(config);
        }
        Err(found) => errors.push(found.to_string()),
    }
    for entry in dir.iter().flat_map(fs::read_dir).flatten().flatten() {
        let path = entry.path();
        let hidden = entry.file_name().to_string_lossy().starts_with('.');
        if !hidden
            && path.extension().is_some_and(|extension| extension == "yaml")
            && let Err(found) = config::plugin_block(&path, &env)
        {
            errors.push(found.to_string());
        }
    }
    match checked {
        Some(config) if errors.is_empty() => {
            println!("ok");
            if check.diff { differences(check, &config) } else { ExitCode::SUCCESS }
        }
        _ => {
            for error in errors {
                eprintln!("{error}");
            }
            ExitCode::from(WRONG)
        }
    }
}

/// What a gateway that has the other text would change by this file.
fn differences(check: &Check, config: &Config) -> ExitCode {
    match compare(check, config) {
        Ok(changes) if changes.is_empty() => {
            println!("nothing would change");
            ExitCode::SUCCESS
        }
        Ok(changes) => {
            for change in changes {
                println!("{change}");
            }
            ExitCode::from(CHANGES)
        }
        Err(message) => {
            eprintln!("{message}");
            ExitCode::from(WRONG)
        }
    }
}

fn compare(check: &Check, config: &Config) -> Result<Vec<config::Change>, String> {
    let read =
        |path: &Path| fs::read_to_string(path).map_err(|error| format!("{}: cannot read it: {error}", path.display()));
    let (old, old_name) = match &check.against {
        Some(path) => (read(path)?, path.display().to_string()),
        None => (last_good(check)?, "the last good configuration".to_owned()),
    };
    // Without a file the defaults count, which is what an empty text says.
    let new = config.file.as_deref().map_or_else(|| Ok(String::new()), read)?;
    let new_name = config.file.as_deref().map_or_else(String::new, |path| path.display().to_string());
    config::diff(&old, &new, (&old_name, &new_name)).map_err(|errors| errors.to_string())
}

/// The text that the gateway of this configuration served with last.
fn last_good(check: &Check) -> Result<String, String> {
    let folder = check.state.clone().or_else(state::default_folder);
    // A question must not make what it asks about.
    let folder = folder.filter(|folder| folder.join("good").is_dir());
    let identity = Identity::new(check.config.as_deref(), check.plugins.as_deref());
    let kept = folder.and_then(|folder| State::open(Some(&folder), &identity).good_config());
    let text = kept.and_then(|bytes| String::from_utf8(bytes).ok());
    text.ok_or_else(|| {
        "nothing to compare with: no gateway with this `--config`, `--plugins` and `--state` has kept a configuration; name a file with \
         `--against FILE`"
            .to_owned()
    })
}
