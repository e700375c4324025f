//! What the plugins directory and the configuration ask for, read without judging any component.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use crate::config::{self, PluginBlock};

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
    pub component: PathBuf,
    /// Of the component and of the settings file; `None` where there is no file.
    pub looks: (Option<Look>, Option<Look>),
}

/// Everything asked for, by plugin name. A directory that is not there asks for nothing.
pub fn scan(dir: &Path, chain: &BTreeMap<String, PluginBlock>) -> BTreeMap<String, Wanted> {
    let mut names: BTreeSet<String> = chain.keys().cloned().collect();
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let file = entry.file_name();
        let Some((stem, extension)) = file.to_str().and_then(|name| name.rsplit_once('.')) else { continue };
        // Dot files and half-written names of editors and copy tools are nobody's plugin.
        if matches!(extension, "wasm" | "yaml") && !stem.is_empty() && !stem.starts_with('.') {
            names.insert(stem.to_owned());
        }
    }
    names.into_iter().map(|name| { let wanted = want(dir, &name, chain.get(&name)); (name, wanted) }).collect()
}

fn want(dir: &Path, name: &str, configured: Option<&PluginBlock>) -> Wanted {
    let settings = dir.join(format!("{name}.yaml"));
    let settings_look = Look::at(&settings);
    let block = match (settings_look.is_some(), configured) {
        (true, Some(_)) => Err(format!(
            "settings in two places: {name}.yaml and `plugins.chain.{name}` in the configuration; remove one of them"
        )),
        (true, None) => config::plugin_block(&settings, &|name| std::env::var(name).ok()).map_err(|errors| errors.to_string()),
        (false, Some(block)) => Ok(block.clone()),
        (false, None) => Ok(PluginBlock::default()),
    };
    let file = block.as_ref().ok().and_then(|block| block.component.clone()).unwrap_or_else(|| format!("{name}.wasm"));
    let component = dir.join(file);
    let looks = (Look::at(&component), settings_look);
    Wanted { block, component, looks }
}
