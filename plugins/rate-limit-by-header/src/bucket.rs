//! The token bucket as arithmetic: what is left, what a call takes, how long to wait. No store and no clock of its own.
//!
//! Tokens are counted in parts of `1 / per_ms`, in which a bucket refills by a whole number each millisecond: nothing is ever rounded away.

use crate::settings::Rate;

/// A bucket as it was at a time. Sixteen bytes in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Parts of a token that are left.
    parts: u64,
    /// Milliseconds since 1970.
    at: u64,
}

/// The bucket's size and flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    pub(crate) rate: Rate,
    pub(crate) burst: u32,
}

impl Limit {
    fn full(self) -> u64 {
        u64::from(self.burst) * self.rate.per_ms
    }

    /// From empty to full, milliseconds: what was not touched for longer need not be kept.
    pub(crate) fn refill_ms(self) -> u64 {
        self.full().div_ceil(u64::from(self.rate.calls))
    }
}

impl Bucket {
    pub(crate) fn full(limit: Limit, now: u64) -> Bucket {
        Bucket { parts: limit.full(), at: now }
    }

    /// The bucket after one call, and the whole tokens left in it; or how many milliseconds to wait for the next token. A clock that went
    /// back refills nothing, and takes nothing either.
    pub(crate) fn take(self, limit: Limit, now: u64) -> Result<(Bucket, u64), u64> {
        let passed = now.saturating_sub(self.at);
        let parts = self.parts.saturating_add(passed.saturating_mul(u64::from(limit.rate.calls))).min(limit.full());
        match parts.checked_sub(limit.rate.per_ms) {
            Some(parts) => Ok((Bucket { parts, at: now.max(self.at) }, parts / limit.rate.per_ms)),
            None => {
                let lacks = limit.rate.per_ms - parts;
                Err(lacks.div_ceil(u64::from(limit.rate.calls)) + self.at.saturating_sub(now))
            }
        }
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.parts) << 64 | u128::from(self.at)).to_be_bytes()
    }

    /// `None` for bytes that are no bucket.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Bucket> {
        let both = u128::from_be_bytes(bytes.try_into().ok()?);
        Some(Bucket { parts: (both >> 64) as u64, at: (both & u128::from(u64::MAX)) as u64 })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit(calls: u32, per_ms: u64, burst: u32) -> Limit {
        Limit { rate: Rate { calls, per_ms }, burst }
    }

    #[test]
    fn a_burst_then_the_rate() {
        let limit = limit(60, 60_000, 3);
        let mut bucket = Bucket::full(limit, 1_000);
        for left in [2, 1, 0] {
            let (after, tokens) = bucket.take(limit, 1_000).unwrap();
            assert_eq!(tokens, left);
            bucket = after;
        }
        assert_eq!(bucket.take(limit, 1_000), Err(1_000));
        assert_eq!(bucket.take(limit, 1_999), Err(1));
        let (bucket, left) = bucket.take(limit, 2_000).unwrap();
        assert_eq!((left, bucket.take(limit, 2_000)), (0, Err(1_000)));
        assert_eq!(bucket.take(limit, 1_000_000).unwrap().1, 2, "no more than the burst gathers");
    }

    #[test]
    fn a_clock_that_goes_back_gives_nothing_away() {
        let limit = limit(1, 1_000, 1);
        let (bucket, _) = Bucket::full(limit, 10_000).take(limit, 10_000).unwrap();
        assert_eq!(bucket.take(limit, 9_000), Err(2_000));
        assert!(bucket.take(limit, 11_000).is_ok());
    }

    #[test]
    fn a_slow_rate_refills_without_rounding() {
        // Room for a second token: what was waited too long by rounding up is kept, not spilled.
        let limit = limit(7, 86_400_000, 2);
        let (bucket, _) = Bucket::full(limit, 0).take(limit, 0).unwrap();
        let (mut bucket, _) = bucket.take(limit, 0).unwrap();
        let mut now = 0;
        for _ in 0..7 {
            now += bucket.take(limit, now).unwrap_err();
            bucket = bucket.take(limit, now).unwrap().0;
        }
        assert_eq!(now, 86_400_000);
    }

    proptest! {
        /// Over any sequence of calls no span of time lets more through than the burst and what the rate gives in it.
        #[test]
        fn never_more_than_burst_and_rate(
            calls in 1u32..50, per in prop::sample::select(vec![1_000u64, 60_000]), burst in 1u32..20,
            steps in prop::collection::vec(0u64..500, 1..200),
        ) {
            let limit = limit(calls, per, burst);
            let mut bucket = Bucket::full(limit, 0);
            let (mut now, mut taken) = (0u64, Vec::new());
            for step in steps {
                now += step;
                match bucket.take(limit, now) {
                    Ok((after, _)) => { bucket = Bucket::from_bytes(&after.to_bytes()).unwrap(); taken.push(now); }
                    Err(wait) => {
                        prop_assert!(bucket.take(limit, now + wait).is_ok());
                        prop_assert!(bucket.take(limit, now + wait - 1).is_err());
                    }
                }
            }
            for (first, from) in taken.iter().enumerate() {
                for (last, to) in taken.iter().enumerate().skip(first) {
                    let allowed = u64::from(burst) * per + (to - from) * u64::from(calls);
                    prop_assert!((last - first + 1) as u64 * per <= allowed);
                }
            }
        }
    }
}
