//! What is counted of a target: a sliding window, and averages that forget. Atomics only, because every call ends here on every
//! thread.
//!
//! Times are milliseconds since a moment that all targets share. What the figures mean for the target is not decided here.

use std::sync::atomic::{AtomicU64, Ordering};

/// Parts of a window: what happened leaves it one part at a time.
const PARTS: u64 = 8;
const COUNT: u32 = 20;
const FULL: u64 = (1 << COUNT) - 1;
const NUMBERS: u64 = 1 << (64 - 2 * COUNT);

/// Calls that ended within the last while, and how many of them failed.
#[derive(Default)]
pub struct Window([AtomicU64; PARTS as usize]);

/// One part: its number, how many ended in it, how many of these failed.
#[derive(Clone, Copy)]
struct Part {
    number: u64,
    ended: u64,
    failed: u64,
}

impl Part {
    fn read(packed: u64) -> Part {
        Part { number: packed >> (2 * COUNT), ended: (packed >> COUNT) & FULL, failed: packed & FULL }
    }

    fn packed(self) -> u64 {
        (self.number << (2 * COUNT)) | (self.ended << COUNT) | self.failed
    }
}

impl Window {
    /// Counts one that ended at `now`. `length` in milliseconds, at least [`PARTS`]; a part that is full counts no further.
    pub fn count(&self, now: u64, length: u64, failed: bool) {
        let turn = now / (length / PARTS).max(1);
        let number = turn % NUMBERS;
        let Some(cell) = self.0.get((turn % PARTS) as usize) else { return };
        let add = |packed: u64| {
            let part = Some(Part::read(packed)).filter(|part| part.number == number);
            let part = part.unwrap_or(Part { number, ended: 0, failed: 0 });
            let more = Part { ended: part.ended + 1, failed: part.failed + u64::from(failed), ..part };
            (part.ended < FULL).then(|| more.packed())
        };
        cell.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok();
    }

    /// Those that ended in the window that ends now, and those of them that failed.
    pub fn sum(&self, now: u64, length: u64) -> (u64, u64) {
        let turn = now / (length / PARTS).max(1);
        let recent = |part: &Part| (turn % NUMBERS).wrapping_sub(part.number) % NUMBERS < PARTS;
        let parts = self.0.iter().map(|cell| Part::read(cell.load(Ordering::Relaxed)));
        parts.filter(recent).fold((0, 0), |(ended, failed), part| (ended + part.ended, failed + part.failed))
    }

    pub fn clear(&self) {
        for cell in &self.0 {
            cell.store(0, Ordering::Relaxed);
        }
    }
}

/// Nothing was measured yet.
const NONE: u64 = u64::MAX;
/// Milliseconds of one step of an average's clock, which has 32 bits for two years.
const STEP: u64 = 16;
/// An average that moves towards each new value, the further the longer ago the one before was.
pub struct Average(AtomicU64);

impl Default for Average {
    fn default() -> Average {
        Average(AtomicU64::new(NONE))
    }
}

/// How an average takes values.
#[derive(Clone, Copy)]
pub struct Manner {
    /// Milliseconds after which the old average has still 1/e of the say.
    pub fade: f32,
    /// A value above the average replaces it at once, so that trouble shows with the first call and passes slowly.
    pub peak: bool,
    /// The least share of one value, above 0 and at most 1: with 1/32 an average speaks of about the last 32 calls where they come fast.
    pub least: f32,
}

impl Average {
    pub fn add(&self, now: u64, value: f32, manner: Manner) {
        let step = now / STEP;
        let add = |packed: u64| {
            let Some((average, last)) = read(packed) else { return Some(pack(value, step)) };
            if manner.peak && value > average {
                return Some(pack(value, step));
            }
            let since = (step.saturating_sub(last) * STEP) as f32;
            let share = (1.0 - (-since / manner.fade).exp()).max(manner.least);
            Some(pack(average + (value - average) * share, step))
        };
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).ok();
    }

    pub fn get(&self) -> Option<f32> {
        read(self.0.load(Ordering::Relaxed)).map(|(average, _)| average)
    }

    /// The average, and how many milliseconds ago the last value came.
    pub fn aged(&self, now: u64) -> Option<(f32, u64)> {
        let (average, last) = read(self.0.load(Ordering::Relaxed))?;
        Some((average, now.saturating_sub(last * STEP)))
    }
}

fn read(packed: u64) -> Option<(f32, u64)> {
    (packed != NONE).then(|| (f32::from_bits((packed >> 32) as u32), packed & u64::from(u32::MAX)))
}

fn pack(value: f32, step: u64) -> u64 {
    (u64::from(value.to_bits()) << 32) | step.min(u64::from(u32::MAX))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_window_forgets_part_by_part_and_survives_its_numbers_coming_round() {
        let window = Window::default();
        let length = 8_000;
        for start in [0, NUMBERS * 1_000 - 3_000, NUMBERS * 5_000] {
            window.clear();
            for second in 0..8 {
                window.count(start + second * 1_000, length, second % 2 == 0);
            }
            assert_eq!(window.sum(start + 7_999, length), (8, 4), "{start}");
            assert_eq!(window.sum(start + 8_000, length), (7, 3), "the oldest part has left");
            assert_eq!(window.sum(start + 14_999, length), (1, 0));
            assert_eq!(window.sum(start + 15_000, length), (0, 0));
            window.count(start + 16_000, length, true);
            assert_eq!(window.sum(start + 16_000, length), (1, 1), "an old part begins anew");
        }
    }

    #[test]
    fn a_full_part_counts_no_further() {
        let window = Window::default();
        for _ in 0..FULL + 5 {
            window.count(0, 8_000, true);
        }
        assert_eq!(window.sum(0, 8_000), (FULL, FULL));
    }

    #[test]
    fn an_average_goes_with_time_and_a_peak_jumps() {
        let manner = Manner { fade: 10_000.0, peak: true, least: 1.0 / 32.0 };
        let average = Average::default();
        assert!(average.get().is_none() && average.aged(5).is_none());
        average.add(0, 100.0, manner);
        average.add(160, 900.0, manner);
        assert_eq!(average.get(), Some(900.0), "up at once");
        average.add(10_160, 100.0, manner);
        let after = average.get().unwrap();
        assert!((394.0..395.0).contains(&after), "1/e of the way is left: {after}");
        assert_eq!(average.aged(20_160), Some((after, 10_000)));
        let plain = Average::default();
        for at in 0..1_000 {
            plain.add(at, if at % 4 == 0 { 1.0 } else { 0.0 }, Manner { peak: false, ..manner });
        }
        let share = plain.get().unwrap();
        assert!((0.2..0.3).contains(&share), "many calls at once count alike: {share}");
    }
}
