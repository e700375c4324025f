//! The document that says what is good: one a gateway, replaced whole, with its own checksum.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::Identity;
use super::files::{self, ASIDE, digest, is_digest};

/// A document of ten thousand plugins stays below this, bytes.
pub const LARGEST: u64 = 16 << 20;
/// Written by another format it is foreign, and left alone.
const FORMAT: u32 = 1;
/// Documents of other gateways that are kept; past it those whose configuration is gone are let go, oldest first.
const GATEWAYS: usize = 64;
/// Good versions of one plugin: the newest, and what it would go back to while it is on probation.
const VERSIONS: usize = 3;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Good {
    /// For whoever reads the file.
    #[serde(default)]
    pub gateway: Gateway,
    /// Digest of the configuration's text.
    #[serde(default)]
    pub config: Option<String>,
    #[serde(default)]
    pub plugins: BTreeMap<String, KeptPlugin>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Gateway {
    config: String,
    plugins: Option<String>,
}

impl Gateway {
    pub fn of(identity: &Identity) -> Gateway {
        Gateway {
            config: identity.config.to_string_lossy().into_owned(),
            plugins: identity.plugins.as_ref().map(|dir| dir.to_string_lossy().into_owned()),
        }
    }
}

/// What is kept of one plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptPlugin {
    /// The directory whose file it was.
    pub dir: String,
    /// Newest first. The first one is the last good one.
    #[serde(default)]
    pub good: Vec<Kept>,
    #[serde(default)]
    pub rejected: Option<Rejected>,
}

/// One accepted version: digests of the component and of the settings' text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    pub component: String,
    /// `None`: it had no settings file and no block.
    #[serde(default)]
    pub settings: Option<String>,
}

impl Kept {
    pub fn of(component: &[u8], settings: Option<&str>) -> Kept {
        Kept { component: digest(component), settings: settings.map(|text| digest(text.as_bytes())) }
    }
}

/// A version that was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    pub version: Kept,
    pub why: String,
}

impl KeptPlugin {
    /// Makes it the newest, in the place of `same` if that is kept. True if that changed anything.
    pub fn accept(&mut self, kept: Kept, same: Option<&Kept>) -> bool {
        if self.good.first() == Some(&kept) && self.rejected.is_none() {
            return false;
        }
        self.good.retain(|other| *other != kept && Some(other) != same);
        self.good.insert(0, kept);
        self.good.truncate(VERSIONS);
        self.rejected = None;
        true
    }

    pub fn prove(&mut self, kept: &Kept) -> bool {
        let alone = self.good.len() == 1 || self.good.first() != Some(kept);
        if !alone {
            self.good.truncate(1);
        }
        !alone
    }

    pub fn reject(&mut self, rejected: Rejected) -> bool {
        self.good.retain(|kept| *kept != rejected.version);
        self.rejected = Some(rejected);
        true
    }
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    sha256: String,
    good: &'a RawValue,
}

#[derive(Deserialize)]
struct Read<'a> {
    format: u32,
    #[serde(default)]
    sha256: String,
    #[serde(borrow)]
    good: &'a RawValue,
}

impl Good {
    /// The entry of a plugin of this directory; one of another directory under the same name gives way.
    pub fn plugin(&mut self, name: &str, dir: &str) -> &mut KeptPlugin {
        let entry = self.plugins.entry(name.to_owned()).or_default();
        if entry.dir != dir {
            *entry = KeptPlugin { dir: dir.to_owned(), ..KeptPlugin::default() };
        }
        entry
    }

    pub fn render(&self) -> io::Result<Vec<u8>> {
        let good = serde_json::value::to_raw_value(self)?;
        let written = Written { format: FORMAT, sha256: digest(good.get().as_bytes()), good: &good };
        Ok(serde_json::to_vec(&written)?)
    }

    /// `None` for anything but a whole, unaltered document of this format whose digests are digests.
    pub fn parse(bytes: &[u8]) -> Option<Good> {
        let read: Read<'_> = serde_json::from_slice(bytes).ok()?;
        if read.format != FORMAT || digest(read.good.get().as_bytes()) != read.sha256 {
            return None;
        }
        let good: Good = serde_json::from_str(read.good.get()).ok()?;
        good.references().iter().all(|reference| is_digest(reference)).then_some(good)
    }

    fn references(&self) -> Vec<&str> {
        let versions = self.plugins.values().flat_map(|plugin| &plugin.good);
        let objects = versions.flat_map(|kept| [Some(kept.component.as_str()), kept.settings.as_deref()]);
        objects.chain([self.config.as_deref()]).flatten().collect()
    }
}

/// Removes objects that no document names, and what killed writers left. Call it with the lock.
///
/// As long as there is a document that this version cannot read, nothing is removed: a newer Sluice may have written it.
pub fn collect(folder: &Path) -> io::Result<()> {
    let mut named = BTreeSet::new();
    let mut gateways = Vec::new();
    for entry in fs::read_dir(folder.join("good"))? {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(ASIDE) {
            fs::remove_file(entry.path())?;
            continue;
        }
        let bytes = files::read(&entry.path(), LARGEST).unwrap_or_default();
        match Good::parse(&bytes) {
            Some(good) => {
                named.extend(good.references().into_iter().map(str::to_owned));
                let used = entry.metadata().and_then(|meta| meta.modified()).unwrap_or(SystemTime::UNIX_EPOCH);
                gateways.push((used, entry.path(), good.gateway.config));
            }
            None if is_foreign(&bytes) => return Ok(()),
            // It is as good as absent; while it stays, it must not keep the rest from being collected.
            None => fs::remove_file(entry.path())?,
        }
    }
    gateways.sort();
    let spare = gateways.len().saturating_sub(GATEWAYS);
    for (_, path, _) in gateways.iter().filter(|(_, _, config)| !Path::new(config).exists()).take(spare) {
        // Its objects go with the next collection.
        fs::remove_file(path)?;
    }
    for entry in fs::read_dir(folder.join("objects"))? {
        let entry = entry?;
        let name = entry.file_name();
        if !named.contains(name.to_string_lossy().as_ref()) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// A well-formed document of another format.
fn is_foreign(bytes: &[u8]) -> bool {
    serde_json::from_slice::<Read<'_>>(bytes).is_ok_and(|read| read.format != FORMAT)
}
