//! When to look at the plugins directory again: on its events, after they have settled, and every two seconds all the same.
//!
//! The directory is watched, never a file: editors and deployments replace files, and a watch follows the old one. Events only say
//! "look"; what changed is found by looking. Without a working watch (some network and container file systems) the rescan alone serves.

use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use notify::{RecommendedWatcher, RecursiveMode, Watcher as _};

use super::load::Loader;

/// Quiet time before a look, so that a file is not read while it is written.
const SETTLE: Duration = Duration::from_millis(80);
/// A directory that never gets quiet is looked at all the same.
const SETTLE_AT_MOST: Duration = Duration::from_millis(400);
const RESCAN: Duration = Duration::from_secs(2);
/// Where nothing can be watched, looking alone must keep a drop within a second.
const UNWATCHED: Duration = Duration::from_millis(500);

/// Runs the first load, then watches for the life of the process. Returns when the first chain is live.
pub fn start(mut loader: Loader, dir: PathBuf) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .map_err(|error| format!("the plugin loader: {error}"))?;
    let (loaded, first) = channel();
    std::thread::Builder::new()
        .name("plugins".into())
        .spawn(move || {
            let (events, arrived) = channel();
            let mut watched = watch(&dir, &events);
            let mut look = || {
                if runtime.block_on(loader.reconcile()) {
                    give_back();
                }
            };
            look();
            let _ = loaded.send(());
            while wait(&arrived, if watched.is_some() { RESCAN } else { UNWATCHED }) {
                look();
                // A directory that was replaced is another one under the same name; the watch is still on the old one.
                if watched.as_ref().is_none_or(|(_, on)| identity(&dir) != Some(*on)) {
                    watched = watch(&dir, &events);
                    look();
                }
            }
        })
        .map_err(|error| format!("the plugin loader: {error}"))?;
    first.recv().map_err(|_| "the plugin loader ended before its first load".to_owned())
}

/// `None` where the directory is missing or cannot be watched; tried again at every rescan.
fn watch(dir: &Path, events: &Sender<()>) -> Option<(RecommendedWatcher, (u64, u64))> {
    let on = identity(dir)?;
    let events = events.clone();
    let mut watcher = notify::recommended_watcher(move |_event| {
        let _ = events.send(());
    })
    .ok()?;
    match watcher.watch(dir, RecursiveMode::NonRecursive) {
        Ok(()) => Some((watcher, on)),
        Err(error) => {
            tracing::debug!("{} cannot be watched, it is looked at every two seconds: {error}", dir.display());
            None
        }
    }
}

/// Which directory stands there now; `None` where none does.
fn identity(dir: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::metadata(dir).ok().filter(std::fs::Metadata::is_dir)?;
    #[cfg(unix)]
    let on = (meta.dev(), meta.ino());
    #[cfg(not(unix))]
    let on = (0, meta.len().min(0));
    Some(on)
}

/// Until there is reason to look. False when nobody can send any more.
fn wait(arrived: &Receiver<()>, rescan: Duration) -> bool {
    match arrived.recv_timeout(rescan) {
        Ok(()) => {}
        Err(RecvTimeoutError::Timeout) => return true,
        Err(RecvTimeoutError::Disconnected) => return false,
    }
    let since = Instant::now();
    while since.elapsed() < SETTLE_AT_MOST && arrived.recv_timeout(SETTLE).is_ok() {}
    true
}

/// Compiling a component takes tens of megabytes for a moment, which the allocator would keep for this thread's next compilation.
fn give_back() {
    // SAFETY: collects the calling thread's free memory; takes no pointer, and does nothing where mimalloc is not the allocator.
    #[allow(unsafe_code)]
    unsafe {
        libmimalloc_sys::mi_collect(true);
    }
}
