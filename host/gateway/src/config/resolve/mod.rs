//! From the configuration as written to the configuration as used.
//!
//! Every part goes on after an error, so that one run reports all of them; what cannot be resolved is left out of a result that is then
//! never returned. What concerns a single value is `check`'s; here is what takes several values, the environment or the disk.

mod aliases;
mod catalog;
mod client_keys;
mod cloud;
mod health;
mod network;
mod plugins;
mod providers;
mod routes;
mod server;
mod targets;
mod tls;
mod when;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use super::Overrides;
use super::error::{At, Place, Report};
use super::file::{File, PluginBlock as WrittenBlock};
use super::resolved::{Config, PluginBlock};
use super::scalar::SizeText;
use super::secret::{self, Secret, Source};
use super::tree::shorten;

pub(super) use health::default_health;
pub(super) use plugins::default_block;
pub(super) use providers::{limits, timeouts};

type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// What every part needs.
struct Context<'a> {
    env: Env<'a>,
    /// Relative paths start here: the file's folder.
    dir: &'a Path,
    report: &'a mut Report,
}

/// Resolves a checked file. The result counts only if `report` has no error.
pub(super) fn config(
    file: File,
    root: At<'_>,
    path: Option<PathBuf>,
    overrides: &Overrides,
    env: Env<'_>,
    report: &mut Report,
) -> Config {
    let dir = path.as_deref().and_then(Path::parent).unwrap_or(Path::new("")).to_owned();
    let mut context = Context { env, dir: &dir, report };
    let teams = context.teams(file.teams, root.key("teams"));
    let keys = context.client_keys(file.keys, root.key("keys"), root.key("teams").names());
    let aliases = context.aliases(&file.aliases, &file.providers, root);
    let mut providers = context.providers(file.providers, root.key("providers"));
    context.catalog(file.catalog, &mut providers, root.key("catalog"));
    let routes = context.routes(file.routes, &aliases, &providers, root);
    targets::note(&mut providers, &aliases, &routes);
    let network = context.network(file.network, root.key("network"));
    let plugins = context.plugins(file.plugins, root.key("plugins"), overrides);
    let server = context.server(file.server, root.key("server"), overrides, !keys.is_empty());
    let demo = path.is_none() && providers.is_empty() && server.listen.iter().all(|at| server::is_loopback(*at));
    Config {
        server,
        network,
        providers,
        aliases,
        routes,
        keys,
        teams,
        plugins,
        demo,
        file: path,
        digest: None,
        warnings: Vec::new(),
    }
}

/// Resolves the checked content of one plugin's own file.
pub(super) fn plugin_block(block: WrittenBlock, root: At<'_>, report: &mut Report) -> PluginBlock {
    plugins::block(block, root, report)
}

impl Context<'_> {
    /// Reads a secret. Reports and answers `None` where it is missing; warns of literals.
    fn secret(&mut self, written: &str, at: At<'_>) -> Option<(Secret, Source)> {
        let place = at.place();
        let is_reference = |text: &str| text.starts_with("env:") || text.starts_with("file:");
        if let Some(raw) = at.written() {
            // What a variable expanded to is the secret itself, unless the reference is there for everyone to read.
            if !is_reference(raw) {
                return Some((Secret::new(written.to_owned()), Source::Environment(String::new())));
            }
            return match secret::read(written, self.dir, self.env, &mut self.report.inputs) {
                Ok(found) => Some(found),
                Err(_) => {
                    self.report.error(place, format!("cannot read the secret `{}`", shorten(raw)));
                    None
                }
            };
        }
        if let Some(name) = written.strip_prefix('$').filter(|name| looks_like_variable(name)) {
            self.report.suggest(place, format!("`${name}` is not expanded here"), format!("write `env:{name}`"));
            return None;
        }
        match secret::read(written, self.dir, self.env, &mut self.report.inputs) {
            Ok((secret, source)) => {
                if source == Source::Literal {
                    self.report.warn(place, "a secret is written in the file; use `env:NAME` or `file:PATH`");
                }
                Some((secret, source))
            }
            Err(message) => {
                match written.strip_prefix("env:") {
                    Some(name) => self.report.suggest(place, message, format!("set {}", shorten(name.trim()))),
                    None => self.report.error(place, message),
                }
                None
            }
        }
    }

    /// Reports the second of two equal names; `true` if `name` is new.
    fn unique(&mut self, seen: &mut HashMap<String, Place>, name: &str, what: &str, place: Place) -> bool {
        match seen.get(name) {
            Some(first) => {
                let message = format!("{what} `{}` is here twice (first on line {})", shorten(name), first.line);
                self.report.suggest(place, message, "names must be unique");
                false
            }
            None => {
                seen.insert(name.to_owned(), place);
                true
            }
        }
    }

    /// Model names and patterns: none may be empty, which would match nothing and look like everything.
    fn patterns(&mut self, patterns: &[String], at: At<'_>) {
        for (i, pattern) in patterns.iter().enumerate() {
            if pattern.trim().is_empty() {
                self.report.error(at.item(i).place(), "expected a name, found an empty text");
            }
        }
    }
}

/// Sizes reach 1 TiB, which a 32-bit machine cannot hold anyway.
fn bytes(size: SizeText) -> usize {
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

fn looks_like_variable(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}
