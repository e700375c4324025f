//! Files that are whole or absent: written aside, synced, renamed; read only where they are ours and nobody else can write them.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use crate::config::{hex, sha256};

/// More than any component and its compiled form take.
pub const LARGEST_OBJECT: u64 = 512 << 20;

/// Another process holds the lock for milliseconds; one that was stopped while it held it must not hang this one.
const PATIENCE: Duration = Duration::from_secs(5);

/// Begins the name of a file that is being written. Whoever holds the lock knows such a file to be a leftover.
pub const ASIDE: &str = ".new-";

/// SHA-256 in hexadecimal digits.
pub fn digest(bytes: &[u8]) -> String {
    hex(&sha256(bytes))
}

/// Whether it is a digest as [`digest`] writes it, and so a safe file name.
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

/// The user that this process acts as.
#[cfg(unix)]
pub fn me() -> u32 {
    // SAFETY: takes nothing, always succeeds.
    #[allow(unsafe_code)]
    unsafe {
        libc::geteuid()
    }
}

/// Reads a whole file of at most `max` bytes. `None` unless it is a regular file of our own that others cannot write; the check is made on
/// the open file, so that nothing can be swapped in between.
pub fn read(path: &Path, max: u64) -> Option<Vec<u8>> {
    let mut options = OpenOptions::new();
    options.read(true);
    // A pipe in its place must not hang the start, a link must not lead elsewhere.
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(&mut options, libc::O_NOFOLLOW | libc::O_NONBLOCK);
    let file = options.open(path).ok()?;
    let meta = file.metadata().ok()?;
    if !meta.is_file() || meta.len() > max || !is_ours(&meta) {
        return None;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(meta.len()).unwrap_or(0));
    file.take(max).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// Owned by this user, and no group or other may write.
#[cfg(unix)]
pub fn is_ours(meta: &fs::Metadata) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    meta.uid() == me() && meta.mode() & 0o022 == 0
}

#[cfg(not(unix))]
pub fn is_ours(_meta: &fs::Metadata) -> bool {
    true
}

/// Puts `bytes` at `path`, which afterwards has all of them or what it had before, whenever the machine stops. Call it with the lock.
pub fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::Error::from(io::ErrorKind::InvalidInput));
    };
    make_folder(folder)?;
    let aside = folder.join(format!("{ASIDE}{}", name.to_string_lossy()));
    // What a killed process left there, perhaps with other permissions.
    let _ = fs::remove_file(&aside);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(&aside)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&aside, path));
    if written.is_err() {
        let _ = fs::remove_file(&aside);
    }
    written?;
    sync_folder(folder)
}

/// Makes a folder that only its owner can enter, with its parents.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    #[cfg(unix)]
    File::open(folder)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = folder;
    Ok(())
}

/// Sets the time of last use to now, where the file is there.
pub fn touch(path: &Path) {
    if let Ok(file) = OpenOptions::new().append(true).open(path) {
        // Only the order in which files are let go depends on it.
        let _ = file.set_modified(SystemTime::now());
    }
}

/// Keeps other processes from writing; released on drop, and by the system when the process ends.
pub struct Lock {
    _file: File,
}

impl Lock {
    /// # Errors
    /// `TimedOut` after five seconds.
    pub fn take(path: &Path) -> io::Result<Lock> {
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt as _;
            options.mode(0o600).custom_flags(libc::O_NOFOLLOW);
        }
        let file = options.open(path)?;
        let since = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(Lock { _file: file }),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) if since.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(2));
                }
                Err(TryLockError::WouldBlock) => {
                    let message = format!("another process has held {} for {PATIENCE:?}", path.display());
                    return Err(io::Error::new(io::ErrorKind::TimedOut, message));
                }
            }
        }
    }
}
