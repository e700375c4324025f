//! `sluice check`: the whole configuration, and the settings files beside plugins, without serving.

use std::fs;
use std::process::ExitCode;

use super::Check;
use crate::config::{self, Overrides};

pub fn run(check: &Check) -> ExitCode {
    let env = |name: &str| std::env::var(name).ok();
    let overrides = Overrides { plugins_dir: check.plugins.clone(), ..Overrides::default() };
    let mut errors = Vec::new();
    let mut dir = check.plugins.clone();
    match config::load(check.config.as_deref(), &env, &overrides) {
        Ok(config) => {
            for warning in &config.warnings {
                println!("warning: {warning}");
            }
            dir = Some(config.plugins.dir);
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
    if errors.is_empty() {
        println!("ok");
        return ExitCode::SUCCESS;
    }
    for error in errors {
        eprintln!("{error}");
    }
    ExitCode::from(2)
}
