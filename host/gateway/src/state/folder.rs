//! Which folder, and whether it can be trusted: whoever can write it decides what native code the gateway runs.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::files;

/// `$XDG_STATE_HOME/sluice`, else `~/.local/state/sluice`; `None` without a home.
pub fn default_folder() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
    let state = state.or_else(|| home().map(|home| home.join(".local/state")))?;
    Some(state.join("sluice"))
}

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from).filter(|home| home.is_absolute())
}

/// Makes the folder where it is not there, and gives its real path if nobody else can write it.
///
/// # Errors
/// Why it is not used and what to do, in words for the operator.
pub fn prepare(folder: &Path) -> Result<PathBuf, String> {
    files::make_folder(folder).map_err(|error| format!("{} cannot be made: {}", folder.display(), hint(&error)))?;
    // Where links lead is what counts: the folder is used under that name from here on.
    let real = fs::canonicalize(folder).map_err(|error| format!("{} cannot be used: {error}", folder.display()))?;
    check(&real)?;
    let home = home().and_then(|home| fs::canonicalize(home).ok());
    for parent in real.ancestors().skip(1) {
        // Above the home, and outside of it, is the system's business; and every file is checked again when it is opened.
        if home.as_deref().is_none_or(|home| parent == home || !parent.starts_with(home)) {
            break;
        }
        check_parent(parent)?;
    }
    for part in ["objects", "good", "compiled"] {
        let part = real.join(part);
        files::make_folder(&part).map_err(|error| format!("{} cannot be made: {}", part.display(), hint(&error)))?;
        check(&part)?;
    }
    // A folder that can be read and not written is of use only to what was kept before.
    Ok(real)
}

fn hint(error: &io::Error) -> String {
    format!("{error}; name another one with `--state DIR`, or set SLUICE_STATE")
}

#[cfg(unix)]
fn check(folder: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::symlink_metadata(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let shown = folder.display();
    if !meta.is_dir() {
        return Err(format!("{shown} is not a folder; remove it, or name another one with `--state DIR`"));
    }
    if meta.uid() != files::me() {
        return Err(format!(
            "{shown} belongs to another user (uid {}) and Sluice runs as uid {}: `chown {} {shown}`, or name a folder inside it, which \
             Sluice makes: `--state {shown}/sluice`",
            meta.uid(),
            files::me(),
            files::me()
        ));
    }
    if meta.mode() & 0o022 != 0 {
        return Err(format!("others can write {shown}, and native code is loaded from it: `chmod 700 {shown}`"));
    }
    Ok(())
}

#[cfg(unix)]
fn check_parent(folder: &Path) -> Result<(), String> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::symlink_metadata(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let shown = folder.display();
    if meta.uid() != files::me() && meta.uid() != 0 {
        return Err(format!("{shown}, which it is in, belongs to another user (uid {}): `chown` it", meta.uid()));
    }
    // Many systems give every user a group of the same number and let it write.
    let own_group = meta.gid() == meta.uid() && meta.uid() != 0;
    let writers = if own_group { 0o002 } else { 0o022 };
    if meta.mode() & writers != 0 {
        return Err(format!("others can write {shown}, which it is in: `chmod go-w {shown}`"));
    }
    Ok(())
}

#[cfg(not(unix))]
fn check(folder: &Path) -> Result<(), String> {
    if folder.is_dir() { Ok(()) } else { Err(format!("{} is not a folder", folder.display())) }
}

#[cfg(not(unix))]
fn check_parent(_folder: &Path) -> Result<(), String> {
    Ok(())
}
