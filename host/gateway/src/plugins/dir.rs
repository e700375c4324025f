//! What the plugins directory and the configuration ask for, read without judging any component.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::config::{self, PluginBlock, Plugins};

/// A file as it looked: when nothing of this changed, it is not read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    len: u64,
    modified: Option<SystemTime>,
    #[cfg(unix)]
    unix: (u64, u64, i64, i64),
}

impl Look {
    pub fn at(path: &Path) -> Option<Look> {
        let meta = fs::metadata(path).ok()?;
        if !meta.is_file() {
            return None;
        }
        #[cfg(unix)]
        let unix = {
            use std::os::unix::fs::MetadataExt as _;
            (meta.dev(), meta.ino(), meta.ctime(), meta.ctime_nsec())
        };
        Some(Look {
            len: meta.len(),
            modified: meta.modified().ok(),
            #[cfg(unix)]
            unix,
        })
    }
}

/// One plugin that somebody asks for: by a `.wasm`, by a `.yaml`, or by a block in the configuration.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub block: Result<PluginBlock, String>,
    /// The block's text before variables were expanded; `None` where there is no block.
    pub written: Option<Arc<str>>,
    pub component: PathBuf,
    /// Of the component and of the settings file; `None` where there is no file.
    pub looks: (Option<Look>, Option<Look>),
}

/// Everything asked for, by plugin name. A directory that is not there asks for nothing.
///
/// A directory that cannot be read is an error and not an empty one: a gateway out of file descriptors must not lose its guards.
///
/// A `.wasm` that only serves as `component:` of others is not a plugin by its own name as well. `before` is what plugins had as their
/// component: a block that cannot be read now keeps it in use.
pub fn scan(config: &Plugins, before: &BTreeMap<String, PathBuf>) -> io::Result<BTreeMap<String, Wanted>> {
    let Plugins { dir, chain, .. } = config;
    let mut files = BTreeSet::new();
    let mut named: BTreeSet<String> = chain.keys().cloned().collect();
    let listing = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        listing => Some(listing?),
    };
    for entry in listing.into_iter().flatten() {
        let file = entry?.file_name();
        let Some((stem, extension)) = file.to_str().and_then(|name| name.rsplit_once('.')) else { continue };
        // Dot files and half-written names of editors and copy tools are nobody's plugin.
        if stem.is_empty() || stem.starts_with('.') {
            continue;
        }
        match extension {
            "wasm" => files.insert(stem.to_owned()),
            "yaml" => named.insert(stem.to_owned()),
            _ => false,
        };
    }
    let mut wanted: BTreeMap<String, Wanted> =
        named.into_iter().map(|name| (name.clone(), want(config, &name, chain.get(&name)))).collect();
    let used: BTreeSet<PathBuf> = wanted
        .iter()
        .flat_map(|(name, wanted)| match &wanted.block {
            Ok(_) => Some(wanted.component.clone()),
            Err(_) => before.get(name).cloned(),
        })
        .collect();
    for name in files {
        if !wanted.contains_key(&name) && !used.contains(&dir.join(format!("{name}.wasm"))) {
            let bare = want(config, &name, None);
            wanted.insert(name, bare);
        }
    }
    Ok(wanted)
}

fn want(config: &Plugins, name: &str, configured: Option<&PluginBlock>) -> Wanted {
    let dir = &config.dir;
    let mut written = None;
    let settings = dir.join(format!("{name}.yaml"));
    let settings_look = Look::at(&settings);
    let block = match (settings_look.is_some() || is_there(&settings), configured) {
        (true, Some(_)) => Err(format!(
            "settings in two places: {name}.yaml and `plugins.chain.{name}` in the configuration; remove one of them"
        )),
        // Without its settings a guard may guard nothing, so what cannot be read is never taken for "no settings".
        (true, None) if settings_look.is_none() => {
            Err(format!("{name}.yaml is there and is no file that can be read: a broken link, perhaps, or a folder"))
        }
        (true, None) if settings_look.as_ref().is_some_and(|look| look.len == 0) => {
            Err(format!("{name}.yaml is empty, as a half-written file is; remove it if there is nothing to set"))
        }
        (true, None) => config::plugin_block(&settings, &|name| std::env::var(name).ok())
            .map(|(block, text)| {
                written = Some(Arc::from(text));
                block
            })
            .map_err(|errors| errors.to_string()),
        (false, Some(block)) => {
            written = config.written.get(name).cloned();
            Ok(block.clone())
        }
        (false, None) => Ok(PluginBlock::default()),
    };
    let file = block.as_ref().ok().and_then(|block| block.component.clone()).unwrap_or_else(|| format!("{name}.wasm"));
    let component = dir.join(file);
    let looks = (Look::at(&component), settings_look);
    Wanted { block, written, component, looks }
}

/// Whether the directory has an entry of that name, whatever it is and wherever it leads. In doubt it has.
pub fn is_there(path: &Path) -> bool {
    !matches!(fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
}

/// The bytes of a component, of at most `max`. Only of regular files: opening a pipe would wait for its writer, and the loader with it.
///
/// # Errors
/// `NotFound` only where there is no such entry; a link that leads nowhere is another error.
pub fn read(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let other = |what: &str| io::Error::other(what.to_owned());
    match fs::metadata(path) {
        Ok(meta) if !meta.is_file() => return Err(other("it is no regular file")),
        Ok(meta) if meta.len() > max as u64 => {
            return Err(other(&format!("it has {} bytes, more than any component may have", meta.len())));
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound && is_there(path) => {
            return Err(other("it is a link that leads nowhere"));
        }
        _ => {}
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(max as u64).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "dir_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
