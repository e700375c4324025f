//! The first hooks of a new version, counted: one that fails too often is taken back by the loader without anybody's doing.
//!
//! Counting happens on the way of calls and costs an addition a hook; deciding what to go back to is `load`'s.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};

use super::watch::Ask;
use crate::watch::Post;

/// A version is on probation for so many hooks.
pub const HOOKS: u32 = 1_000;
/// One more failed hook among them, and it is taken back: more than 1%.
pub const ALLOWED: u32 = HOOKS / 100;

/// How one version of a plugin does. It counts nothing until it is put on probation.
#[derive(Default)]
pub struct Probation {
    /// Tells the loader; set while something could be gone back to.
    loader: OnceLock<Post<Ask>>,
    counting: AtomicBool,
    ran: AtomicU32,
    failed: AtomicU32,
    tripped: AtomicBool,
    last: Mutex<Option<String>>,
}

/// How a probation stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is none.
    None,
    /// Hooks that ran, and those of them that failed.
    Counting(u32, u32),
    /// Passed. The loader has yet to let go of the versions before.
    Passed,
    /// Too many of its hooks failed: how many ran, how many failed, the last failure.
    Tripped(u32, u32, String),
}

impl Probation {
    /// Begins to count.
    pub fn begin(&self, loader: Post<Ask>) {
        if self.loader.set(loader).is_ok() {
            self.counting.store(true, Ordering::Release);
        }
    }

    /// A hook of the version ran, however it ended. Not called for a hook that found no room to run: that is not the version's doing.
    pub fn ran(&self) {
        if !self.counting.load(Ordering::Relaxed) {
            return;
        }
        if self.ran.fetch_add(1, Ordering::Relaxed) == HOOKS && self.end() {
            self.tell();
        }
    }

    /// That hook failed.
    pub fn failed(&self, why: &str) {
        if !self.counting.load(Ordering::Relaxed) {
            return;
        }
        if self.failed.fetch_add(1, Ordering::Relaxed) == ALLOWED && self.end() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(why.to_owned());
            self.tripped.store(true, Ordering::Release);
            self.tell();
        }
    }

    pub fn standing(&self) -> Standing {
        let (ran, failed) = (self.ran.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        if self.counting.load(Ordering::Acquire) {
            return Standing::Counting(ran.max(failed), failed);
        }
        if self.tripped.load(Ordering::Acquire) {
            let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
            return Standing::Tripped(ran.max(failed), failed, last.unwrap_or_default());
        }
        if ran > HOOKS { Standing::Passed } else { Standing::None }
    }

    /// True for the one caller that ended it.
    fn end(&self) -> bool {
        self.counting.swap(false, Ordering::AcqRel)
    }

    fn tell(&self) {
        if let Some(loader) = self.loader.get() {
            // Nobody listens only while the process ends.
            let _ = loader.send(Ask::Look);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::watch::{Watch, Woken};

    fn begun() -> (Probation, Watch<Ask>) {
        let (probation, watch) = (Probation::default(), Watch::new());
        probation.begin(watch.post());
        (probation, watch)
    }

    #[test]
    fn nothing_is_counted_without_a_probation() {
        let probation = Probation::default();
        for _ in 0..2_000 {
            probation.ran();
            probation.failed("it broke");
        }
        assert_eq!(probation.standing(), Standing::None);
    }

    #[test]
    fn ten_failures_in_a_thousand_hooks_are_allowed() {
        let (probation, mut watch) = begun();
        for hook in 0..HOOKS {
            probation.ran();
            if hook % 100 == 99 {
                probation.failed("it broke");
            }
        }
        assert_eq!(probation.standing(), Standing::Counting(1_000, 10));
        // The next hook is the first that is not among them.
        probation.ran();
        probation.failed("it broke");
        assert_eq!(probation.standing(), Standing::Passed);
        assert!(matches!(watch.wait(), Woken::Message(Ask::Look)));
    }

    #[test]
    fn the_eleventh_failure_ends_it_even_in_the_last_hook() {
        for clean in [0, 500, HOOKS - ALLOWED - 1] {
            let (probation, mut watch) = begun();
            (0..clean).for_each(|_| probation.ran());
            for failure in 0..=ALLOWED {
                probation.ran();
                probation.failed(&format!("failure {failure}"));
            }
            let ran = clean + ALLOWED + 1;
            assert_eq!(probation.standing(), Standing::Tripped(ran, ALLOWED + 1, format!("failure {ALLOWED}")));
            assert!(matches!(watch.wait(), Woken::Message(Ask::Look)));
            // Calls that end on it later change nothing.
            probation.ran();
            probation.failed("late");
            assert!(
                matches!(probation.standing(), Standing::Tripped(_, _, last) if last == format!("failure {ALLOWED}"))
            );
        }
    }
}
