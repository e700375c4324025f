//! How each target is doing: what its calls came to, whether it is to be called, and for how long not.
//!
//! Fed by the calls themselves ([`Running`]), by a provider's check where one is configured, and by operators ([`Target::drain`]). It
//! judges one target alone: how many of a tier may be left out, and what happens where nothing else is left, is `balance`'s. What is no
//! fault of the target (a refused key, a rate limit, a request that no provider would take) does not count here.
//!
//! The good path takes no lock. Changes of standing do, and are rare.

mod figures;
mod known;
mod told;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use self::figures::{Average, Manner, Window};
pub use self::known::Targets;
use super::weigh;
use crate::config::Health;

/// The longest that a target is left out at a time, but for the random part.
const LONGEST: Duration = Duration::from_mins(5);
/// Each ejection lasts up to this share longer, at random, so that many gateways do not come back at the same moment.
const JITTER: f64 = 0.2;
/// A target that was well for this long is forgiven one ejection.
const CALM: u64 = 60_000;
/// How long the place of a probe is kept for the one who took it, until it begins: getting a key or a place in a queue takes time.
const LEASE: u64 = 10_000;
/// In place of a lease's end: the probe is under way.
const RUNNING: u64 = u64::MAX;
/// A first token is late where it takes longer than this many times what is usual ...
const LATE_TIMES: f32 = 5.0;
/// ... and longer than this at all, in milliseconds.
const LATE_LEAST: f32 = 2_000.0;
/// First tokens that make up what is usual.
const USUAL: u32 = 20;

const FIRST: Manner = Manner { fade: 10_000.0, peak: true, least: 1.0 / 32.0 };
/// Not shorter, or a target that became slow would soon call that usual.
const USUALLY: Manner = Manner { fade: 600_000.0, peak: false, least: 0.001 };
const SPEED: Manner = Manner { fade: 30_000.0, peak: false, least: 1.0 / 32.0 };
/// Milliseconds of silence after which an idle target looks `e` times as fast as it last was, so that it is tried again.
const DOUBT: f32 = 60_000.0;

/// Whether a target is to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    Ready,
    /// It was ejected, and one call may try it now: see [`Target::claim`].
    Probe,
    /// `left`: until a call may try it; zero while one does.
    Ejected {
        left: Duration,
    },
    /// By an operator: it gets no call at all.
    Drained {
        left: Duration,
    },
}

impl Standing {
    /// Whether a call may go there as things are.
    pub fn is_usable(self) -> bool {
        matches!(self, Standing::Ready | Standing::Probe)
    }
}

/// What an attempt says of its target.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum How {
    /// `first`: from the attempt's begin to its first content, for streams; `output`: tokens of the reply.
    Ok { first: Option<Duration>, total: Duration, output: Option<u64> },
    /// `slow`: a deadline passed, in place of an error.
    Failed { slow: bool },
    /// The request's or the key's own fault.
    Neutral,
}

/// One target's figures and standing.
pub struct Target {
    /// `provider/model`, or `provider/*`.
    pub name: Arc<str>,
    /// The name's number, for [`weigh::pick`].
    pub id: u64,
    began: Instant,
    settings: ArcSwap<Health>,
    in_flight: AtomicU32,
    /// Ended well, failed, and said nothing.
    counts: [AtomicU64; 3],
    ejections: AtomicU64,
    in_a_row: AtomicU32,
    ended: Window,
    late: Window,
    first: Average,
    total: Average,
    usual: Average,
    usual_of: AtomicU32,
    speed: Average,
    errors: Average,
    /// When a call may try it, in milliseconds; 0: it is not ejected.
    until: AtomicU64,
    /// The probe's place: 0 is free, else taken until then, or [`RUNNING`].
    lease: AtomicU64,
    /// Counts ejections, so that calls which began before one do not speak for the time after.
    term: AtomicU32,
    /// Until when, in milliseconds; 0: it is not drained.
    drained: AtomicU64,
    cold: Mutex<Cold>,
}

/// What only changes of standing need. Held while `until` and `term` are written.
#[derive(Default)]
struct Cold {
    /// Ejections that are not forgiven yet; each doubles the next one's length.
    level: u32,
    /// Why it is ejected, or was last.
    why: String,
    /// A check ejected it, so a check may end that.
    by_check: bool,
    returned: u64,
    /// Checks that failed one after the other.
    checks: u32,
}

impl Target {
    fn new(name: &str, began: Instant) -> Target {
        Target {
            name: Arc::from(name),
            id: weigh::id(name),
            began,
            settings: ArcSwap::from_pointee(Health::default()),
            in_flight: AtomicU32::new(0),
            counts: Default::default(),
            ejections: AtomicU64::new(0),
            in_a_row: AtomicU32::new(0),
            ended: Window::default(),
            late: Window::default(),
            first: Average::default(),
            total: Average::default(),
            usual: Average::default(),
            usual_of: AtomicU32::new(0),
            speed: Average::default(),
            errors: Average::default(),
            until: AtomicU64::new(0),
            lease: AtomicU64::new(0),
            term: AtomicU32::new(0),
            drained: AtomicU64::new(0),
            cold: Mutex::default(),
        }
    }

    /// By the configuration in force. An ejection that is under way keeps its length.
    pub fn configure(&self, settings: &Health) {
        if **self.settings.load() != *settings {
            self.settings.store(Arc::new(settings.clone()));
            self.ended.clear();
            self.late.clear();
        }
    }

    /// An attempt at it begins. It is in flight until what this returns is dropped.
    pub fn begin(self: &Arc<Self>) -> Running {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        let lease = self.lease.load(Ordering::Relaxed);
        let claimed = lease != 0 && lease != RUNNING;
        let turn = |lease| self.lease.compare_exchange(lease, RUNNING, Ordering::AcqRel, Ordering::Relaxed).is_ok();
        let probe = claimed && turn(lease);
        Running { target: Arc::clone(self), term: self.term.load(Ordering::Acquire), probe }
    }

    pub fn standing(&self, now: Instant) -> Standing {
        let drained = self.drained.load(Ordering::Relaxed);
        let until = self.until.load(Ordering::Acquire);
        if drained == 0 && until == 0 {
            return Standing::Ready;
        }
        let now = self.ms(now);
        let left = |until: u64| Duration::from_millis(until.saturating_sub(now));
        if drained > now {
            return Standing::Drained { left: left(drained) };
        }
        if until == 0 {
            return Standing::Ready;
        }
        let lease = self.lease.load(Ordering::Acquire);
        if now < until || lease == RUNNING || lease > now {
            return Standing::Ejected { left: left(until) };
        }
        Standing::Probe
    }

    /// Takes the probe's place; exactly one of many gets it, and keeps it until its [`Running`] is dropped. Whoever does not begin
    /// within 10 s has lost it.
    pub fn claim(&self, now: Instant) -> bool {
        if self.standing(now) != Standing::Probe {
            return false;
        }
        let now = self.ms(now);
        let lease = self.lease.load(Ordering::Acquire);
        let free = lease != RUNNING && lease <= now;
        free && self.lease.compare_exchange(lease, now + LEASE, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    /// Attempts that run now.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Time to the first token of streams: as slow as the slowest of late, until that has passed.
    pub fn first_token(&self) -> Option<Duration> {
        self.first.get().map(milliseconds)
    }

    /// Of the replies whose tokens were counted.
    pub fn tokens_per_second(&self) -> Option<f64> {
        self.speed.get().map(f64::from)
    }

    /// The share of the last calls that failed, from 0 to 1.
    pub fn error_rate(&self) -> Option<f64> {
        self.errors.get().map(f64::from)
    }

    /// Attempts that ended well, that failed, and that said nothing of the target, since the target is known.
    pub fn counts(&self) -> (u64, u64, u64) {
        let [ok, failed, neutral] = &self.counts;
        (ok.load(Ordering::Relaxed), failed.load(Ordering::Relaxed), neutral.load(Ordering::Relaxed))
    }

    /// How often it was ejected; probes that failed do not count again.
    pub fn ejections(&self) -> u64 {
        self.ejections.load(Ordering::Relaxed)
    }

    /// What `fastest` compares, in milliseconds: the time to the first token, or that of whole replies where there are no streams. An
    /// idle target looks faster with time, so that one call tries it again; `None`: nothing is known.
    pub(super) fn slowness(&self, now: Instant) -> Option<f32> {
        let now = self.ms(now);
        let (slowness, idle) = self.first.aged(now).or_else(|| self.total.aged(now))?;
        Some(if self.in_flight() == 0 { slowness * (-(idle as f32) / DOUBT).exp() } else { slowness })
    }

    /// No call goes to it for that long, not even a probe; `None` ends this.
    pub fn drain(&self, lasting: Option<Duration>) {
        self.drain_at(lasting, Instant::now());
    }

    fn drain_at(&self, lasting: Option<Duration>, now: Instant) {
        let until = |lasting: Duration| self.ms(now).saturating_add(whole(lasting)).max(1);
        self.drained.store(lasting.map_or(0, until), Ordering::Relaxed);
    }

    /// Why it is ejected, for records and status; `None` where it is not.
    pub fn reason(&self) -> Option<String> {
        (self.until.load(Ordering::Acquire) != 0).then(|| self.cold().why.clone())
    }

    /// What a check of the provider came to; `every`: until the next one. A good one ends what checks began, and lets a call try at once
    /// what calls had begun: a list of models says little of a model. The second bad one in a row ejects, and each bad one keeps out.
    pub(crate) fn checked(&self, result: Result<(), &str>, every: Duration, now: Instant) {
        let now = self.ms(now);
        let mut cold = self.cold();
        let until = self.until.load(Ordering::Acquire);
        match result {
            Ok(()) => {
                cold.checks = 0;
                if until != 0 && cold.by_check {
                    self.back(&mut cold, now);
                } else if until > now {
                    self.until.store(now.max(1), Ordering::Release);
                }
            }
            Err(why) => {
                cold.checks = cold.checks.saturating_add(1);
                if until != 0 {
                    self.until.store(until.max(now.saturating_add(2 * whole(every))), Ordering::Release);
                } else if cold.checks >= 2 {
                    cold.by_check = true;
                    cold.why = format!("its check failed: {why}");
                    self.eject(&mut cold, now);
                }
            }
        }
    }

    fn ended(&self, how: How, term: u32, probe: bool, now: u64) {
        let [ok, failed, neutral] = &self.counts;
        match how {
            How::Neutral => drop(neutral.fetch_add(1, Ordering::Relaxed)),
            How::Ok { first, total, output } => {
                ok.fetch_add(1, Ordering::Relaxed);
                let (window, same) = (self.window(), self.term.load(Ordering::Acquire) == term);
                self.errors.add(now, 0.0, SPEED);
                self.measure(first, total, output, window, now);
                if !same {
                    return;
                }
                if self.in_a_row.load(Ordering::Relaxed) != 0 {
                    self.in_a_row.store(0, Ordering::Relaxed);
                }
                self.ended.count(now, window, false);
                if self.until.load(Ordering::Acquire) != 0 {
                    let mut cold = self.cold();
                    if self.until.load(Ordering::Acquire) != 0 {
                        cold.level = cold.level.saturating_sub(1);
                        self.back(&mut cold, now);
                    }
                } else if let Some(why) = self.too_late(now) {
                    self.leave(why, now);
                }
            }
            How::Failed { slow } => {
                failed.fetch_add(1, Ordering::Relaxed);
                self.errors.add(now, 1.0, SPEED);
                if self.term.load(Ordering::Acquire) != term {
                    return;
                }
                let in_a_row = self.in_a_row.fetch_add(1, Ordering::Relaxed).saturating_add(1);
                self.ended.count(now, self.window(), true);
                if self.until.load(Ordering::Acquire) != 0 {
                    self.failed_again(probe, now);
                } else if let Some(why) = self.too_bad(in_a_row, slow, now) {
                    self.leave(why, now);
                }
            }
        }
    }

    /// The figures of a call that went well.
    fn measure(&self, first: Option<Duration>, total: Duration, output: Option<u64>, window: u64, now: u64) {
        let ms = |duration: Duration| duration.as_secs_f32() * 1000.0;
        match first.map(ms) {
            Some(first) => {
                self.first.add(now, first, FIRST);
                let known = self.usual_of.load(Ordering::Relaxed);
                let usual = self.usual.get().unwrap_or(first);
                if known < USUAL {
                    self.usual_of.store(known + 1, Ordering::Relaxed);
                } else if first > LATE_LEAST && first > usual * LATE_TIMES {
                    self.late.count(now, window, true);
                }
                // The first ones count alike.
                let least = if known < USUAL { 1.0 / (known + 1) as f32 } else { USUALLY.least };
                self.usual.add(now, first, Manner { least, ..USUALLY });
            }
            None => self.total.add(now, ms(total), FIRST),
        }
        let writing = total.saturating_sub(first.unwrap_or_default()).as_secs_f32();
        if let Some(output) = output.filter(|output| *output > 1 && writing > 0.01) {
            self.speed.add(now, output as f32 / writing, SPEED);
        }
    }

    fn too_bad(&self, in_a_row: u32, slow: bool, now: u64) -> Option<String> {
        let settings = self.settings.load();
        if !settings.enabled {
            return None;
        }
        if in_a_row >= settings.consecutive {
            let last = if slow { ", the last by a deadline" } else { "" };
            return Some(format!("{in_a_row} calls failed in a row{last}"));
        }
        let (ended, failed) = self.ended.sum(now, whole(settings.window));
        let bad = ended >= u64::from(settings.min) && failed * 100 > u64::from(settings.errors) * ended;
        bad.then(|| format!("{failed} of the last {ended} calls failed"))
    }

    fn too_late(&self, now: u64) -> Option<String> {
        let settings = self.settings.load();
        let (late, _) = self.late.sum(now, whole(settings.window));
        if late == 0 || !settings.enabled {
            return None;
        }
        let (ended, _) = self.ended.sum(now, whole(settings.window));
        let bad = ended >= u64::from(settings.min) && late * 100 > u64::from(settings.errors) * ended;
        bad.then(|| format!("{late} of the last {ended} calls had their first token far later than usual"))
    }

    /// Ejects, unless somebody else has just done so.
    fn leave(&self, why: String, now: u64) {
        let mut cold = self.cold();
        if self.until.load(Ordering::Acquire) != 0 {
            return;
        }
        cold.by_check = false;
        cold.why = why;
        self.eject(&mut cold, now);
    }

    fn eject(&self, cold: &mut Cold, now: u64) {
        let calm = now.saturating_sub(cold.returned) / CALM;
        cold.level = cold.level.saturating_sub(u32::try_from(calm).unwrap_or(u32::MAX)).saturating_add(1);
        self.ejections.fetch_add(1, Ordering::Relaxed);
        self.term.fetch_add(1, Ordering::AcqRel);
        self.lease.store(0, Ordering::Release);
        let pause = self.pause(cold.level);
        self.until.store(now.saturating_add(pause).max(1), Ordering::Release);
        tracing::warn!(target = %self.name, reason = %cold.why, pause_ms = pause, "target ejected: calls go elsewhere where they can");
    }

    /// A call failed while it is ejected: the probe, or one that had no other target.
    fn failed_again(&self, probe: bool, now: u64) {
        let mut cold = self.cold();
        let until = self.until.load(Ordering::Acquire);
        // Calls that had no other target say nothing new until the time of a probe.
        if until == 0 || (now < until && !probe) {
            return;
        }
        cold.level = cold.level.saturating_add(1);
        cold.by_check = false;
        let pause = self.pause(cold.level);
        self.until.store(now.saturating_add(pause), Ordering::Release);
        tracing::warn!(target = %self.name, pause_ms = pause, "target stays ejected: the call that tried it failed");
    }

    fn back(&self, cold: &mut Cold, now: u64) {
        cold.returned = now;
        cold.by_check = false;
        self.in_a_row.store(0, Ordering::Relaxed);
        self.ended.clear();
        self.late.clear();
        self.until.store(0, Ordering::Release);
        tracing::info!(target = %self.name, "target is back");
    }

    /// Milliseconds of an ejection: doubled with each level.
    fn pause(&self, level: u32) -> u64 {
        let first = whole(self.settings.load().eject);
        let pause = first.saturating_mul(1 << level.saturating_sub(1).min(20)).min(whole(LONGEST).max(first));
        pause.saturating_add((pause as f64 * JITTER * fastrand::f64()) as u64)
    }

    fn window(&self) -> u64 {
        whole(self.settings.load().window)
    }

    fn ms(&self, now: Instant) -> u64 {
        whole(now.saturating_duration_since(self.began))
    }

    fn cold(&self) -> MutexGuard<'_, Cold> {
        self.cold.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An attempt that runs. Dropped without [`Running::ended`], as when its client left, it says nothing of the target.
#[must_use]
pub struct Running {
    target: Arc<Target>,
    term: u32,
    probe: bool,
}

impl Running {
    /// What the attempt came to.
    pub fn ended(self, how: How) {
        self.ended_at(how, Instant::now());
    }

    fn ended_at(self, how: How, now: Instant) {
        self.target.ended(how, self.term, self.probe, self.target.ms(now));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.target.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.probe {
            // After an ejection that another call brought about meanwhile the place is not this one's any more; freeing it then costs at
            // most a second probe.
            self.target.lease.compare_exchange(RUNNING, 0, Ordering::AcqRel, Ordering::Relaxed).ok();
        }
    }
}

fn whole(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn milliseconds(value: f32) -> Duration {
    Duration::from_micros((value * 1000.0).round() as u64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
