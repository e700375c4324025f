//! One of several by weight: targets of a tier, keys of a provider.
//!
//! Pure but for the thread's random numbers. Whether an item may be used at all is for the caller to decide before.

/// One of the items by weight, as its place among them: each is chosen with its weight's share of all, however far the weights lie
/// apart. An item whose weight is not a positive finite number is never chosen; `None` where no other is left.
///
/// With a session it is the same item for the same session as long as that is among the items and nobody's weight changes, and when
/// the set changes only those sessions move that must: those of an item that left, and the share that a new one takes. Over many
/// sessions the shares are those of the weights. Ids must be stable where sessions are to stay across restarts; [`id`] makes such.
pub fn pick(items: impl Iterator<Item = (u64, f64)> + Clone, session: Option<u64>) -> Option<usize> {
    let items = items.enumerate().filter(|(_, (_, weight))| weight.is_finite() && *weight > 0.0);
    // Most pools have one key, and most tiers one target: no number is drawn for these.
    let mut some = items.clone();
    let (first, _) = some.next()?;
    if some.next().is_none() {
        return Some(first);
    }
    match session {
        Some(session) => rendezvous(items, session),
        None => by_share(items),
    }
}

/// A name's number, the same in every process and every version.
pub fn id(name: &str) -> u64 {
    // FNV-1a; `mix` makes up for what it lacks in the high bits.
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    mix(name.bytes().fold(0xcbf2_9ce4_8422_2325, fnv))
}

fn by_share(items: impl Iterator<Item = (usize, (u64, f64))> + Clone) -> Option<usize> {
    let total: f64 = items.clone().map(|(_, (_, weight))| weight).sum();
    let mut point = fastrand::f64() * total;
    let mut chosen = None;
    for (at, (_, weight)) in items {
        // Rounding may leave a rest after the last weight was taken away: the last one it is then.
        chosen = Some(at);
        point -= weight;
        if point < 0.0 {
            break;
        }
    }
    chosen
}

/// Weighted rendezvous hashing. Each item waits a time that is exponentially distributed with its weight as rate and fixed by session
/// and id; the shortest wait wins. An item's wait does not depend on the others, which is why others do not move.
fn rendezvous(items: impl Iterator<Item = (usize, (u64, f64))>, session: u64) -> Option<usize> {
    let session = mix(session);
    let wait = |(at, (id, weight)): (usize, (u64, f64))| (at, -unit(mix(session ^ mix(id))).ln() / weight);
    items.map(wait).min_by(|(_, one), (_, other)| one.total_cmp(other)).map(|(at, _)| at)
}

/// Above 0 and below 1: 53 bits, and half a step so that neither end is met.
fn unit(bits: u64) -> f64 {
    ((bits >> 11) as f64 + 0.5) / (1_u64 << 53) as f64
}

/// Each bit of the result depends on each of the input (the finalizer of SplitMix64).
fn mix(bits: u64) -> u64 {
    let bits = bits.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests;
