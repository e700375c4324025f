//! One plugin's circuit breaker: whether its hooks are to be run at all, after too many of them failed.
//!
//! It counts and decides; running hooks, and what a hook that is not run means for the call, are `hooks`'. The good path is one load and
//! one addition and reads no clock: time matters only once something has failed, so a window begins with a failure.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntGauge;
use sluice_sandbox::{ErrorKind, HookError};

use crate::config;

/// Parts of a window: failures leave it one part at a time.
const PARTS: u32 = 10;
/// Hooks tried one at a time that must go well before all are run again.
const GOOD_PROBES: u32 = 3;
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// Said to clients while a probe is under way, whose end nobody knows.
const SOON: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Position {
    /// Hooks run.
    Closed,
    /// None runs.
    Open,
    /// One at a time runs, to see how it goes.
    HalfOpen,
}

impl Position {
    pub fn as_str(self) -> &'static str {
        match self {
            Position::Closed => "closed",
            Position::Open => "open",
            Position::HalfOpen => "half-open",
        }
    }
}

/// Of one version of a plugin; a new version starts closed.
pub struct Breaker {
    /// `None`: never opens.
    settings: Option<config::Breaker>,
    /// Not closed. Written under the lock, read without it on the way to every hook.
    tripped: AtomicBool,
    /// Hooks that began while it was closed; wraps, and only differences count.
    begun: AtomicU64,
    inner: Mutex<Inner>,
    plugin: Arc<str>,
    /// Open breakers of this plugin; more than one only while calls still end on an earlier version.
    gauge: IntGauge,
}

struct Inner {
    position: Position,
    /// Failures in the window, oldest first.
    failures: VecDeque<Part>,
    /// When an open breaker lets the first hook through.
    until: Instant,
    pause: Duration,
    probing: bool,
    good: u32,
    /// Counts changes of position, so that a probe's end does not speak for a later time.
    term: u64,
}

/// A part of the window in which something failed.
struct Part {
    began: Instant,
    /// What `begun` was before the part's first failure.
    before: u64,
    failed: u32,
}

/// Whether a hook may run.
pub enum Admission<'a> {
    Run,
    /// It is the one that is tried now.
    Probe(Probe<'a>),
    /// It may not; ask again after that long.
    Refused(Duration),
}

/// A tried hook. Dropped without an end (its client left, or there was no room to run it), it leaves the place to another.
pub struct Probe<'a> {
    breaker: Option<&'a Breaker>,
    term: u64,
}

impl Breaker {
    pub fn new(settings: Option<config::Breaker>, plugin: Arc<str>, gauge: IntGauge) -> Breaker {
        let pause = settings.map_or(LONGEST_PAUSE, |settings| settings.pause);
        Breaker {
            settings,
            tripped: AtomicBool::new(false),
            begun: AtomicU64::new(0),
            inner: Mutex::new(Inner {
                position: Position::Closed,
                failures: VecDeque::new(),
                until: Instant::now(),
                pause,
                probing: false,
                good: 0,
                term: 0,
            }),
            plugin,
            gauge,
        }
    }

    pub fn position(&self) -> Position {
        if self.tripped.load(Ordering::Relaxed) { self.lock().position } else { Position::Closed }
    }

    /// Asked before each hook; a hook that may run is counted.
    pub fn admit(&self) -> Admission<'_> {
        if self.tripped.load(Ordering::Acquire) {
            return self.admit_tripped(Instant::now());
        }
        self.begun.fetch_add(1, Ordering::Relaxed);
        Admission::Run
    }

    /// A counted hook did not run after all, by no fault of the plugin.
    pub fn uncount(&self) {
        self.begun.fetch_sub(1, Ordering::Relaxed);
    }

    /// A hook that ran has failed.
    pub fn failed(&self) {
        if self.settings.is_some() {
            self.failed_at(Instant::now());
        }
    }

    /// As [`Breaker::failed`], unless the plugin is not to blame.
    pub fn failed_by(&self, error: &HookError) {
        if !matches!(error.kind, ErrorKind::Overload | ErrorKind::BreakerOpen) {
            self.failed();
        }
    }

    /// How long until a hook is let through again.
    pub fn retry_after(&self) -> Duration {
        let inner = self.lock();
        match inner.position {
            Position::Open => inner.until.saturating_duration_since(Instant::now()),
            Position::Closed | Position::HalfOpen => SOON,
        }
    }

    /// Closes it, whatever happened before.
    pub fn reset(&self) {
        let mut inner = self.lock();
        inner.failures.clear();
        self.turn(&mut inner, Position::Closed);
    }

    fn admit_tripped(&self, now: Instant) -> Admission<'_> {
        let mut inner = self.lock();
        match inner.position {
            Position::Closed => {
                self.begun.fetch_add(1, Ordering::Relaxed);
                return Admission::Run;
            }
            Position::Open if now < inner.until => return Admission::Refused(inner.until - now),
            Position::Open => {
                self.turn(&mut inner, Position::HalfOpen);
                inner.good = 0;
            }
            Position::HalfOpen if inner.probing => return Admission::Refused(SOON),
            Position::HalfOpen => {}
        }
        inner.probing = true;
        Admission::Probe(Probe { breaker: Some(self), term: inner.term })
    }

    fn failed_at(&self, now: Instant) {
        let Some(settings) = self.settings else { return };
        let mut inner = self.lock();
        match inner.position {
            // The end of a hook that began before it opened.
            Position::Open => {}
            Position::HalfOpen => self.reopen(&mut inner, now),
            Position::Closed => {
                let (failed, ran) = inner.book(now, self.begun.load(Ordering::Relaxed), settings.window);
                let share = u64::from(failed) * 100 > u64::from(settings.errors) * ran;
                if ran >= u64::from(settings.min) && share {
                    inner.pause = settings.pause;
                    self.open(&mut inner, now);
                    tracing::error!(
                        plugin = %self.plugin, failed, hooks = ran, pause_ms = inner.pause.as_millis() as u64,
                        "circuit breaker open: the plugin's hooks are not run until it has recovered"
                    );
                }
            }
        }
    }

    fn reopen(&self, inner: &mut Inner, now: Instant) {
        inner.pause = (inner.pause * 2).min(LONGEST_PAUSE);
        self.open(inner, now);
        tracing::warn!(
            plugin = %self.plugin, pause_ms = inner.pause.as_millis() as u64,
            "circuit breaker open again: the hook that was tried failed"
        );
    }

    fn open(&self, inner: &mut Inner, now: Instant) {
        inner.until = now.checked_add(inner.pause).unwrap_or(now);
        inner.failures.clear();
        self.turn(inner, Position::Open);
    }

    fn turn(&self, inner: &mut Inner, to: Position) {
        match (inner.position, to) {
            (Position::Closed, Position::Open) => self.gauge.inc(),
            (Position::Open | Position::HalfOpen, Position::Closed) => self.gauge.dec(),
            _ => {}
        }
        inner.position = to;
        inner.probing = false;
        inner.term += 1;
        self.tripped.store(to != Position::Closed, Ordering::Release);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Books a failure and gives what the window now holds: failed hooks, and all that began since its first failure.
    fn book(&mut self, now: Instant, begun: u64, window: Duration) -> (u32, u64) {
        let since = |part: &Part| now.saturating_duration_since(part.began);
        while self.failures.front().is_some_and(|part| since(part) >= window) {
            self.failures.pop_front();
        }
        match self.failures.back_mut().filter(|part| since(part) < window / PARTS) {
            Some(part) => part.failed = part.failed.saturating_add(1),
            None => self.failures.push_back(Part { began: now, before: begun.wrapping_sub(1), failed: 1 }),
        }
        let failed = self.failures.iter().fold(0_u32, |sum, part| sum.saturating_add(part.failed));
        let before = self.failures.front().map_or(begun, |part| part.before);
        // At least those that failed: hooks that began before the window's first failure end within it.
        (failed, begun.wrapping_sub(before).max(u64::from(failed)))
    }
}

impl Probe<'_> {
    /// The tried hook went well.
    pub fn passed(mut self) {
        self.end(|breaker, inner| {
            inner.good += 1;
            if inner.good >= GOOD_PROBES {
                breaker.turn(inner, Position::Closed);
                tracing::info!(plugin = %breaker.plugin, "circuit breaker closed: the plugin's hooks run again");
            }
        });
    }

    /// The tried hook failed.
    pub fn failed(mut self) {
        self.end(|breaker, inner| breaker.reopen(inner, Instant::now()));
    }

    /// Once, and only where nothing else has decided meanwhile.
    fn end(&mut self, then: impl FnOnce(&Breaker, &mut Inner)) {
        let Some(breaker) = self.breaker.take() else { return };
        let mut inner = breaker.lock();
        if inner.term == self.term {
            inner.probing = false;
            then(breaker, &mut inner);
        }
    }
}

impl Drop for Probe<'_> {
    fn drop(&mut self) {
        self.end(|_, _| {});
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        if *self.tripped.get_mut() {
            self.gauge.dec();
        }
    }
}

#[cfg(test)]
#[path = "breaker_tests.rs"]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
