//! The configuration: `sluice.yaml`, the files beside plugins, and the environment, read into one consistent [`Config`].
//!
//! Two stages. `file` is what the user writes; the text becomes a tree with places (`tree`), is checked against the schema of those
//! types (`check`) and read by serde. `resolved` is what the program uses; `resolve` leads from one to the other. All errors are
//! reported at once, each with its place. This module does not watch files and does not apply anything.

mod check;
mod diff;
mod dotted;
mod error;
mod expand;
mod explain;
mod fields;
mod file;
mod input;
mod network;
mod publish;
mod rate;
mod reference;
mod resolve;
mod resolved;
mod restart;
mod route;
mod scalar;
mod secret;
mod tree;
mod units;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use error::{At, Report};

pub use diff::{Change, diff};
pub use error::{ConfigError, ConfigErrors};
pub use explain::{Explained, Unexplained, explain};
pub use input::Input;
pub use publish::{file_schema, plugin_schema};
pub use rate::{Rate, show_rate};
pub use reference::reference;
pub use resolved::{
    BaseUrl, Breaker, CREDENTIALS, CallLimits, ClientKey, Clients, Config, Grants, Health, Http, KvGrant, Match,
    Network, OnError, Place, PluginBlock, PluginLimits, Plugins, Provider, ProviderKey, ProviderLimits, Proxy, Server,
    ServerLimits, Streams, Team, Timeouts, Tls, TokenSource,
};
pub use restart::{RESTART, keep_in_force};
pub use route::{Hours, Route, Rule, Tokens, Using, Weighted, When};
pub use secret::{Secret, hex, sha256};
pub use units::{allows, duration, glob, show_duration, show_size, size};

/// The file that is read where none is named, in the working directory.
pub const DEFAULT_FILE: &str = "sluice.yaml";

/// Ten thousand virtual keys take about a tenth of this.
const LARGEST_FILE: u64 = 16 << 20;

/// What the command line says over the file.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// Replace the file's addresses; empty: keep them.
    pub listen: Vec<String>,
    /// Replaces the port of every address.
    pub port: Option<u16>,
    /// Relative to the working directory.
    pub plugins_dir: Option<PathBuf>,
}

/// One reading of the configuration, with the further files that it depends on, whether or not it succeeded.
#[derive(Debug)]
pub struct Reading {
    pub result: Result<Config, ConfigErrors>,
    pub inputs: Vec<Input>,
}

/// Reads the configuration. Without a `path`, [`DEFAULT_FILE`] if it is there, else the defaults and the environment alone.
///
/// # Errors
/// Everything that is wrong, in the order of the file. No error holds a secret.
pub fn load(
    path: Option<&Path>,
    env: &dyn Fn(&str) -> Option<String>,
    overrides: &Overrides,
) -> Result<Config, ConfigErrors> {
    let default = Path::new(DEFAULT_FILE);
    match path.or_else(|| default.exists().then_some(default)) {
        None => defaults(env, overrides).result,
        Some(path) => parse(path, &text(path)?, env, overrides).result,
    }
}

/// The configuration of a gateway without a file.
pub fn defaults(env: &dyn Fn(&str) -> Option<String>, overrides: &Overrides) -> Reading {
    let mut report = Report::default();
    let config = resolve::config(file::File::default(), At::nowhere(), None, overrides, env, &mut report);
    finish(Some(config), report, Path::new(DEFAULT_FILE))
}

/// Reads `text` as the content of the file `path`, from whose folder relative paths start.
pub fn parse(path: &Path, text: &str, env: &dyn Fn(&str) -> Option<String>, overrides: &Overrides) -> Reading {
    let mut report = Report::new(path.display().to_string());
    let config = typed::<file::File>(text, env, &mut report).map(|(file, tree)| {
        let config = resolve::config(file, At::root(&tree), Some(path.to_owned()), overrides, env, &mut report);
        Config { digest: Some(Arc::from(digest_text(text.as_bytes()))), ..config }
    });
    finish(config, report, path)
}

fn finish(config: Option<Config>, mut report: Report, path: &Path) -> Reading {
    let inputs = std::mem::take(&mut report.inputs);
    let result = match (config, report.finish()) {
        (_, Err(errors)) => Err(errors),
        (Some(config), Ok(warnings)) => Ok(Config { warnings, ..config }),
        (None, Ok(_)) => Err(unexplained(path)),
    };
    Reading { result, inputs }
}

/// The text of a configuration file.
///
/// # Errors
/// It cannot be read, or is not text.
pub fn text(path: &Path) -> Result<String, ConfigErrors> {
    let mut report = Report::new(path.display().to_string());
    match (read(path, &mut report), report.finish()) {
        (Some(text), Ok(_)) => Ok(text),
        (_, Err(errors)) => Err(errors),
        (None, Ok(_)) => Err(unexplained(path)),
    }
}

/// Reads the block of one plugin from its own file, `plugins/NAME.yaml`, and gives the file's text with it.
///
/// # Errors
/// Everything that is wrong, in the order of the file.
pub fn plugin_block(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<(PluginBlock, String), ConfigErrors> {
    let mut report = Report::new(path.display().to_string());
    match (read(path, &mut report), report.finish()) {
        (_, Err(errors)) => Err(errors),
        (Some(text), Ok(_)) => parse_plugin_block(path, &text, env).map(|block| (block, text)),
        (None, Ok(_)) => Err(unexplained(path)),
    }
}

/// Reads `text` as the content of a plugin's file; `path` is for errors only.
///
/// # Errors
/// As [`plugin_block`].
pub fn parse_plugin_block(
    path: &Path,
    text: &str,
    env: &dyn Fn(&str) -> Option<String>,
) -> Result<PluginBlock, ConfigErrors> {
    let mut report = Report::new(path.display().to_string());
    let block = typed::<file::PluginBlock>(text, env, &mut report)
        .map(|(block, tree)| resolve::plugin_block(block, At::root(&tree), &mut report));
    match (block, report.finish()) {
        (_, Err(errors)) => Err(errors),
        (Some(block), Ok(_)) => Ok(block),
        (None, Ok(_)) => Err(unexplained(path)),
    }
}

/// `sha256:` and 64 hex digits: how texts and components are named everywhere.
pub fn digest_text(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&sha256(bytes)))
}

/// The file's text; `None` is reported.
fn read(path: &Path, report: &mut Report) -> Option<String> {
    let mut text = String::new();
    let result = std::fs::File::open(path).and_then(|file| file.take(LARGEST_FILE + 1).read_to_string(&mut text));
    match result {
        Ok(size) if size as u64 > LARGEST_FILE => {
            report.elsewhere(&path.display().to_string(), "larger than 16 MiB");
            None
        }
        Ok(_) => Some(text),
        Err(error) => {
            report.elsewhere(&path.display().to_string(), format!("cannot read it: {error}"));
            None
        }
    }
}

/// Text to typed values and the tree that knows their places; `None` is reported.
fn typed<T>(text: &str, env: &dyn Fn(&str) -> Option<String>, report: &mut Report) -> Option<(T, tree::Node)>
where
    T: serde::de::DeserializeOwned + schemars::JsonSchema + Default,
{
    let mut tree = tree::parse(text, report)?;
    let schema = check::Schema::of::<T>();
    dotted::nest(&mut tree, &schema);
    tree::prepare(&mut tree, env, report);
    check::check(&mut tree, &schema, report);
    if tree.is_broken() {
        return Some((T::default(), tree));
    }
    match serde_json::from_value(tree.to_json()) {
        Ok(value) => Some((value, tree)),
        // The check lets nothing through that the types refuse; its text is dropped because it could quote a secret.
        Err(_) => {
            report.error(tree.place, "a value does not fit its field");
            None
        }
    }
}

/// Unreachable as long as every `None` above is reported; an empty list of errors would be worse than this sentence.
fn unexplained(path: &Path) -> ConfigErrors {
    let file = path.display().to_string();
    let message = "cannot be used, for no reason that could be named".to_owned();
    ConfigErrors(vec![ConfigError { file, line: 0, column: 0, message, suggestion: None }])
}
