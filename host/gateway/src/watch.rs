//! When to look at files again: on events of their folders, after those have settled, and every two seconds all the same.
//!
//! Folders are watched, never files: editors and deployments replace files, and a watch follows the old one. Events only say "look"; what
//! changed is found by looking. Without a working watch (some network and container file systems) looking alone serves.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use notify::event::{AccessKind, AccessMode};
use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

/// Quiet time before a look, so that a file is not read while it is written.
const SETTLE: Duration = Duration::from_millis(80);
/// A folder that never gets quiet is looked at all the same.
const SETTLE_AT_MOST: Duration = Duration::from_millis(400);
const RESCAN: Duration = Duration::from_secs(2);
/// Where something cannot be watched, looking alone must keep a change within a second.
const UNWATCHED: Duration = Duration::from_millis(500);

/// Why a wait is over.
#[derive(Debug, PartialEq, Eq)]
pub enum Woken<M> {
    /// Files may have changed.
    Look,
    /// Somebody sent this.
    Message(M),
}

enum Signal<M> {
    Event,
    Message(M),
}

/// Wakes the waiting thread from any other.
pub struct Post<M>(Sender<Signal<M>>);

impl<M> Clone for Post<M> {
    fn clone(&self) -> Self {
        Post(self.0.clone())
    }
}

impl<M> Post<M> {
    /// False when nobody waits any more.
    pub fn send(&self, message: M) -> bool {
        self.0.send(Signal::Message(message)).is_ok()
    }
}

/// The folders that one thread watches.
pub struct Watch<M> {
    post: Sender<Signal<M>>,
    arrived: Receiver<Signal<M>>,
    watcher: Option<RecommendedWatcher>,
    /// Which folder stood there when its watch began.
    watched: BTreeMap<PathBuf, (u64, u64)>,
    complete: bool,
    /// A message came while events were settling.
    look: bool,
}

impl<M: Send + 'static> Watch<M> {
    pub fn new() -> Watch<M> {
        let (post, arrived) = channel();
        let events = post.clone();
        // Our own looking opens files; a look that wakes the next one would never end.
        let matters =
            |kind: EventKind| !matches!(kind, EventKind::Access(kind) if kind != AccessKind::Close(AccessMode::Write));
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            if event.map_or(true, |event| matters(event.kind)) {
                let _ = events.send(Signal::Event);
            }
        });
        let watcher = watcher.map_err(|error| tracing::debug!("files are looked at without events: {error}")).ok();
        Watch { post, arrived, watcher, watched: BTreeMap::new(), complete: false, look: false }
    }

    pub fn post(&self) -> Post<M> {
        Post(self.post.clone())
    }

    /// Watches exactly these folders from now on; called again after each look, because a folder that was replaced is another one under
    /// the same name. True if a watch is new: what happened before it was not seen, so somebody has to look once more.
    pub fn folders(&mut self, wanted: &BTreeSet<PathBuf>) -> bool {
        let Some(watcher) = &mut self.watcher else { return false };
        self.watched.retain(|folder, on| {
            let stays = wanted.contains(folder) && identity(folder) == Some(*on);
            if !stays {
                // It fails where the folder is gone, and its watch with it.
                let _ = watcher.unwatch(folder);
            }
            stays
        });
        let mut new = false;
        for folder in wanted {
            let Some(on) = identity(folder).filter(|_| !self.watched.contains_key(folder)) else { continue };
            match watcher.watch(folder, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    self.watched.insert(folder.clone(), on);
                    new = true;
                }
                Err(error) => tracing::debug!("{} cannot be watched, it is looked at: {error}", folder.display()),
            }
        }
        self.complete = wanted.iter().all(|folder| self.watched.contains_key(folder));
        new
    }

    /// Waits until there is reason to look, or somebody sends something.
    pub fn wait(&mut self) -> Woken<M> {
        if std::mem::take(&mut self.look) {
            return Woken::Look;
        }
        let rescan = if self.complete { RESCAN } else { UNWATCHED };
        match self.arrived.recv_timeout(rescan) {
            Ok(Signal::Message(message)) => return Woken::Message(message),
            Ok(Signal::Event) => {}
            // It cannot be disconnected: `self.post` is one of the senders.
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Woken::Look,
        }
        let since = Instant::now();
        while since.elapsed() < SETTLE_AT_MOST {
            match self.arrived.recv_timeout(SETTLE) {
                Ok(Signal::Event) => {}
                Ok(Signal::Message(message)) => {
                    self.look = true;
                    return Woken::Message(message);
                }
                Err(_) => break,
            }
        }
        Woken::Look
    }
}

/// Which folder stands there now; `None` where none does.
fn identity(folder: &Path) -> Option<(u64, u64)> {
    #[cfg(unix)]
    use std::os::unix::fs::MetadataExt as _;
    let meta = std::fs::metadata(folder).ok().filter(std::fs::Metadata::is_dir)?;
    #[cfg(unix)]
    let on = (meta.dev(), meta.ino());
    #[cfg(not(unix))]
    let on = (0, meta.len().min(0));
    Some(on)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_and_a_look_is_not_lost_behind_them() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = Watch::new();
        let wanted = BTreeSet::from([folder.path().to_owned()]);
        if !watch.folders(&wanted) {
            assert!(!watch.complete, "no watch, so the short rescan serves");
        }
        assert!(!watch.folders(&wanted), "nothing new the second time");
        watch.post.send(Signal::Event).unwrap();
        assert!(watch.post().send(7));
        assert_eq!(watch.wait(), Woken::Message(7));
        let since = Instant::now();
        assert_eq!(watch.wait(), Woken::Look);
        assert!(since.elapsed() < RESCAN);
    }

    #[test]
    fn a_replaced_folder_is_watched_anew_and_looking_wakes_nobody() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("plugins");
        let wanted = BTreeSet::from([folder.clone()]);
        let mut watch = Watch::<()>::new();
        assert!(!watch.folders(&wanted) && !watch.complete, "there is no such folder yet");
        std::fs::create_dir(&folder).unwrap();
        if !watch.folders(&wanted) {
            // A machine without a watch to give: the rest is about events.
            return;
        }
        std::fs::write(folder.join("a"), "x").unwrap();
        assert_eq!(watch.wait(), Woken::Look);
        while watch.arrived.recv_timeout(SETTLE).is_ok() {}
        std::fs::read(folder.join("a")).unwrap();
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
        assert!(watch.arrived.recv_timeout(SETTLE).is_err(), "reading is no event");
        std::fs::rename(&folder, parent.path().join("old")).unwrap();
        std::fs::create_dir(&folder).unwrap();
        assert!(watch.folders(&wanted), "another folder under the same name");
    }
}
