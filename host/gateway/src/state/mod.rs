//! What outlives the process: the last good configuration and plugin versions, which version was taken back, and compiled components.
//!
//! One folder, that of its owner alone, because native code is loaded from it. Objects are kept by their SHA-256; one document per
//! gateway (`good`) says which of them are good. Every write is a new file, synced and renamed; whatever is torn, altered, foreign or
//! somebody else's counts as absent. It judges no configuration and no plugin: `config` and `plugins` do, and tell it.
//!
//! Secrets: it is given texts as operators wrote them, before `${NAME}` is expanded.

mod compiled;
mod files;
mod folder;
mod good;

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

pub use self::folder::default_folder;
pub use self::good::{Kept, KeptPlugin, Rejected};

use self::files::{Lock, digest};
use self::good::Good;

/// Which gateway's state: two gateways of one user share the folder and never each other's last good versions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    config: PathBuf,
    plugins: Option<PathBuf>,
}

impl Identity {
    /// The configuration file as named on the command line, or the default one of the working directory, whether or not it is there; and
    /// the plugins directory where the command line names one.
    pub fn new(config: Option<&Path>, plugins: Option<&Path>) -> Identity {
        let absolute = |path: &Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Identity {
            config: absolute(config.unwrap_or(Path::new(crate::config::DEFAULT_FILE))),
            plugins: plugins.map(absolute),
        }
    }

    /// A file name.
    fn name(&self) -> String {
        let mut text = self.config.as_os_str().as_encoded_bytes().to_vec();
        text.push(0);
        if let Some(plugins) = &self.plugins {
            text.extend_from_slice(plugins.as_os_str().as_encoded_bytes());
        }
        digest(&text)
    }
}

/// The state of one gateway. Clones share it; without a usable folder it keeps nothing and knows nothing.
#[derive(Clone, Default)]
pub struct State(Option<Arc<Inner>>);

struct Inner {
    folder: PathBuf,
    identity: String,
    gateway: Identity,
    /// Threads of this process; the lock file is for other processes.
    writing: Mutex<()>,
    /// The folder could not be written at the last try.
    failing: AtomicBool,
}

impl State {
    /// Opens `folder`, or the default one, and makes it where it is not there. What keeps it from being used is logged, with what to do,
    /// and the gateway goes on without: restarts then need good files.
    pub fn open(folder: Option<&Path>, gateway: &Identity) -> State {
        let Some(path) = folder.map(Path::to_owned).or_else(default_folder) else {
            tracing::info!(
                "no home folder: nothing is kept for a restart; `--state DIR` (or SLUICE_STATE) names a folder to keep it in"
            );
            return State(None);
        };
        match folder::prepare(&path) {
            Ok(path) => {
                let inner = Inner {
                    folder: path,
                    identity: gateway.name(),
                    gateway: gateway.clone(),
                    writing: Mutex::new(()),
                    failing: AtomicBool::new(false),
                };
                inner.touch();
                State(Some(Arc::new(inner)))
            }
            Err(why) => {
                tracing::warn!("the state folder is not used, so nothing is kept for a restart: {why}");
                State(None)
            }
        }
    }

    /// Where it is kept; `None` where nothing is.
    pub fn folder(&self) -> Option<&Path> {
        self.0.as_deref().map(|inner| inner.folder.as_path())
    }

    /// Keeps the text of an accepted configuration file, as written. The same text again costs no write.
    pub fn keep_config(&self, text: &[u8]) {
        let digest = digest(text);
        self.change(&[(&digest, text)], |good| {
            let new = good.config.as_deref() != Some(&digest);
            good.config = Some(digest.clone());
            new
        });
    }

    /// The text that was kept last.
    pub fn good_config(&self) -> Option<Vec<u8>> {
        let inner = self.0.as_deref()?;
        inner.object(&inner.good().config?)
    }

    /// What is kept of the plugins of this directory, by name.
    pub fn plugins(&self, dir: &Path) -> std::collections::BTreeMap<String, KeptPlugin> {
        let Some(inner) = self.0.as_deref() else { return Default::default() };
        let dir = place(dir);
        inner.good().plugins.into_iter().filter(|(_, kept)| kept.dir == dir).collect()
    }

    /// Keeps an accepted version as the newest good one of a plugin: its component and its settings as written. It takes the place of
    /// `same`, where it is that version with other words.
    pub fn keep_plugin(&self, dir: &Path, name: &str, component: &[u8], settings: Option<&str>, same: Option<&Kept>) {
        let kept = Kept::of(component, settings);
        let mut objects = vec![(kept.component.as_str(), component)];
        if let (Some(digest), Some(text)) = (&kept.settings, settings) {
            objects.push((digest, text.as_bytes()));
        }
        let dir = place(dir);
        self.change(&objects, |good| good.plugin(name, &dir).accept(kept.clone(), same));
    }

    /// Notes that a version is not on probation any more: those before it are let go.
    pub fn prove_plugin(&self, dir: &Path, name: &str, kept: &Kept) {
        let dir = place(dir);
        self.change(&[], |good| good.plugin(name, &dir).prove(kept));
    }

    /// Notes that a version was taken back; it is not offered as a good one again.
    pub fn reject_plugin(&self, dir: &Path, name: &str, rejected: Rejected) {
        let dir = place(dir);
        self.change(&[], |good| good.plugin(name, &dir).reject(rejected));
    }

    /// Forgets a plugin that was taken out.
    pub fn forget_plugin(&self, dir: &Path, name: &str) {
        let dir = place(dir);
        self.change(&[], |good| {
            let there = good.plugins.get(name).is_some_and(|kept| kept.dir == dir);
            if there {
                good.plugins.remove(name);
            }
            there
        });
    }

    /// An object's bytes, whole and unaltered.
    pub fn object(&self, digest: &str) -> Option<Vec<u8>> {
        self.0.as_deref()?.object(digest)
    }

    /// The compiled form of a component, as [`State::keep_native`] was given it for this engine.
    pub fn native(&self, engine: &str, component: &str) -> Option<Vec<u8>> {
        compiled::read(&self.0.as_deref()?.folder, engine, component)
    }

    /// Keeps a compiled form, and lets go of those that were used longest ago where there are too many.
    pub fn keep_native(&self, engine: &str, component: &str, native: &[u8]) {
        let Some(inner) = self.0.as_deref() else { return };
        let result = inner.locked(|| compiled::keep(&inner.folder, engine, component, native));
        inner.said(result);
    }

    /// Writes `objects` and then the changed document, if `change` says that it changed. Objects first: a document never names what is
    /// not there.
    fn change(&self, objects: &[(&str, &[u8])], change: impl FnOnce(&mut Good) -> bool) {
        let Some(inner) = self.0.as_deref() else { return };
        let result = inner.locked(|| {
            let mut good = inner.good();
            good.gateway = good::Gateway::of(&inner.gateway);
            let mut changed = change(&mut good);
            for (digest, bytes) in objects {
                changed |= inner.keep_object(digest, bytes)?;
            }
            if changed {
                files::replace(&inner.folder.join("good").join(inner.file()), &good.render()?)?;
                good::collect(&inner.folder)?;
            }
            Ok(())
        });
        inner.said(result);
    }
}

impl Inner {
    fn file(&self) -> String {
        format!("{}.json", self.identity)
    }

    /// This gateway's document; an empty one where there is none that can be trusted.
    fn good(&self) -> Good {
        let bytes = files::read(&self.folder.join("good").join(self.file()), good::LARGEST);
        bytes.and_then(|bytes| Good::parse(&bytes)).unwrap_or_default()
    }

    fn object(&self, name: &str) -> Option<Vec<u8>> {
        if !files::is_digest(name) {
            return None;
        }
        let bytes = files::read(&self.folder.join("objects").join(name), files::LARGEST_OBJECT)?;
        (digest(&bytes) == name).then_some(bytes)
    }

    /// True if it had to be written: it was not there, or not whole.
    fn keep_object(&self, digest: &str, bytes: &[u8]) -> io::Result<bool> {
        let path = self.folder.join("objects").join(digest);
        if self.object(digest).is_some() {
            return Ok(false);
        }
        files::replace(&path, bytes).map(|()| true)
    }

    /// Marks the document as in use, so that those of gateways long gone are let go first.
    fn touch(&self) {
        files::touch(&self.folder.join("good").join(self.file()));
    }

    fn locked<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let _mine = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let _lock = Lock::take(&self.folder.join("lock"))?;
        work()
    }

    /// Says once that the folder cannot be written, and once that it can again.
    fn said(&self, result: io::Result<()>) {
        let before = self.failing.swap(result.is_err(), Ordering::Relaxed);
        match result {
            Err(error) if !before => tracing::warn!(
                "{} cannot be written, so a restart would not have the versions of now: {error}",
                self.folder.display()
            ),
            Ok(()) if before => tracing::info!("{} can be written again", self.folder.display()),
            _ => {}
        }
    }
}

/// A directory as documents name it.
fn place(dir: &Path) -> String {
    std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned()).to_string_lossy().into_owned()
}
