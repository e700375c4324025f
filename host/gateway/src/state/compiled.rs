//! Compiled components, by engine and by the component's digest. Losing one costs a compilation; loading a wrong one could cost anything, so
//! each file says what it is of and carries a checksum of everything.

use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use super::files::{self, ASIDE, is_digest};
use crate::config::sha256;

/// First bytes of a file of ours; changes with its layout.
const MAGIC: &[u8; 16] = b"sluice native 1\n";
/// Magic, digest of engine and component, digest of the rest.
const HEAD: usize = 16 + 32 + 32;
/// At most so many files and bytes for one engine; those used longest ago go first.
const FILES: usize = 64;
const BYTES: u64 = 512 << 20;
/// Folders of engines that are kept: this one's, and the one used last besides (an upgrade may be taken back).
const ENGINES: usize = 2;

/// Whether it can be a folder's name.
fn is_safe(engine: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._-+".contains(c);
    !engine.is_empty() && engine.len() <= 128 && !engine.starts_with('.') && engine.chars().all(allowed)
}

fn origin(engine: &str, component: &str) -> [u8; 32] {
    sha256(format!("{engine}\n{component}").as_bytes())
}

pub fn read(folder: &Path, engine: &str, component: &str) -> Option<Vec<u8>> {
    if !is_safe(engine) || !is_digest(component) {
        return None;
    }
    let path = folder.join("compiled").join(engine).join(component);
    let mut bytes = files::read(&path, BYTES)?;
    let head = bytes.get(..HEAD)?;
    let native = bytes.get(HEAD..)?;
    let (magic, rest) = head.split_at_checked(16)?;
    let (of, sum) = rest.split_at_checked(32)?;
    if magic != MAGIC || of != origin(engine, component) || sum != sha256(native) {
        return None;
    }
    files::touch(&path);
    bytes.drain(..HEAD);
    Some(bytes)
}

/// Call it with the lock.
pub fn keep(folder: &Path, engine: &str, component: &str, native: &[u8]) -> io::Result<()> {
    if !is_safe(engine) || !is_digest(component) {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    }
    let mut bytes = Vec::with_capacity(HEAD + native.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&origin(engine, component));
    bytes.extend_from_slice(&sha256(native));
    bytes.extend_from_slice(native);
    let all = folder.join("compiled");
    let of_engine = all.join(engine);
    files::replace(&of_engine.join(component), &bytes)?;
    trim(&of_engine, component)?;
    forget_engines(&all, engine)
}

/// Lets go of leftovers and of what is too much.
fn trim(of_engine: &Path, newest: &str) -> io::Result<()> {
    let mut kept = Vec::new();
    for entry in fs::read_dir(of_engine)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.starts_with(ASIDE) {
            fs::remove_file(entry.path())?;
        } else if name != newest {
            let meta = entry.metadata()?;
            kept.push((meta.modified().unwrap_or(SystemTime::UNIX_EPOCH), meta.len(), entry.path()));
        }
    }
    kept.sort();
    let newest = fs::metadata(of_engine.join(newest))?.len();
    let mut files = kept.len() + 1;
    let mut bytes = newest + kept.iter().map(|(_, len, _)| len).sum::<u64>();
    for (_, len, path) in kept {
        if files <= FILES && bytes <= BYTES {
            break;
        }
        fs::remove_file(path)?;
        files -= 1;
        bytes = bytes.saturating_sub(len);
    }
    Ok(())
}

fn forget_engines(all: &Path, current: &str) -> io::Result<()> {
    let mut others = Vec::new();
    for entry in fs::read_dir(all)? {
        let entry = entry?;
        if entry.file_name().to_string_lossy() != current {
            let used = newest_use(&entry.path()).unwrap_or(SystemTime::UNIX_EPOCH);
            others.push((used, entry.path()));
        }
    }
    others.sort();
    let spare = (others.len() + 1).saturating_sub(ENGINES);
    for (_, path) in others.into_iter().take(spare) {
        if fs::symlink_metadata(&path)?.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    Ok(())
}

/// When any file of that engine was used last.
fn newest_use(of_engine: &Path) -> Option<SystemTime> {
    let files = fs::read_dir(of_engine).ok()?;
    files.flatten().filter_map(|file| file.metadata().ok()?.modified().ok()).max()
}
