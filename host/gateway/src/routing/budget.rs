//! How much a provider's own trouble may add to its load: repeats as a share of calls.
//!
//! Only repeats at the same provider cost; a fallback is somebody else's call.

use std::sync::atomic::{AtomicI64, Ordering};

/// What may be saved up, in thousandths of a repeat: a quiet hour must not pay for a storm.
const MOST: i64 = 10_000;

/// One provider's account.
#[derive(Debug)]
pub struct Budget(AtomicI64);

impl Default for Budget {
    fn default() -> Self {
        Budget(AtomicI64::new(MOST))
    }
}

impl Budget {
    /// A call was sent, which earns `share` of a repeat.
    pub fn earn(&self, share: f64) {
        // Full for all but troubled providers, and then nothing is written.
        if self.0.load(Ordering::Relaxed) < MOST {
            self.0.fetch_add((share.clamp(0.0, 1.0) * 1000.0) as i64, Ordering::Relaxed);
        }
    }

    /// Whether a repeat could be paid for.
    pub fn has(&self) -> bool {
        self.0.load(Ordering::Relaxed) >= 1000
    }

    /// Pays for a repeat. Calls on other threads may overdraw it by one each.
    pub fn spend(&self) {
        self.0.fetch_sub(1000, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeats_are_a_share_of_calls() {
        let budget = Budget::default();
        let mut repeats = 0;
        for _ in 0..1000 {
            budget.earn(0.2);
            if budget.has() {
                budget.spend();
                repeats += 1;
            }
        }
        assert!((200..=211).contains(&repeats), "{repeats}");
    }
}
