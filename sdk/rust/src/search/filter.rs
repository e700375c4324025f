//! A quick look over a text, sixteen bytes at a time, for places where a word could begin.
//!
//! Words are spread over eight buckets; for each of their first few bytes two small tables say by the byte's halves which buckets allow it.
//! A place that every table allows is only a candidate: the automaton decides. A place that is passed over can begin no word.

/// Of each word at most this many bytes are looked at.
const MOST: usize = 4;
/// Lanes of a block.
const LANES: usize = 16;
/// With more words nearly every place is a candidate.
const MAX_WORDS: usize = 64;

#[derive(Clone, Debug)]
pub(super) struct Filter {
    tables: [Table; MOST],
    /// How many of the tables are in use: no word is shorter.
    used: usize,
}

/// By a byte's lower and upper half: a bit for each bucket that allows it.
#[derive(Clone, Copy, Debug, Default)]
struct Table {
    low: [u8; LANES],
    high: [u8; LANES],
}

impl Filter {
    /// `None` where it would let nearly everything pass.
    pub(super) fn new(words: &[Box<str>], any_case: bool) -> Option<Self> {
        let shortest = words.iter().map(|word| word.len()).min()?;
        if shortest < 2 || words.len() > MAX_WORDS {
            return None;
        }
        let mut filter = Filter { tables: [Table::default(); MOST], used: shortest.min(MOST) };
        let mut sorted: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        // Neighbours begin alike, so that a bucket of them allows little.
        sorted.sort_unstable();
        for (index, word) in sorted.iter().enumerate() {
            let bucket = 1u8 << (index * 8 / sorted.len());
            for (table, byte) in filter.tables.iter_mut().zip(word.iter()) {
                table.allow(*byte, bucket);
                if any_case {
                    table.allow(byte.to_ascii_uppercase(), bucket);
                }
            }
        }
        Some(filter)
    }

    /// The first candidate at or after `from`.
    pub(super) fn next(&self, text: &[u8], from: usize) -> Option<usize> {
        let mut at = from;
        let ahead = LANES + self.used - 1;
        while at < text.len() {
            let mask = match text.get(at..at + ahead) {
                Some(block) => self.block(block),
                None => {
                    let rest = text.get(at..).unwrap_or_default();
                    let mut padded = [0u8; LANES + MOST];
                    for (slot, byte) in padded.iter_mut().zip(rest) {
                        *slot = *byte;
                    }
                    self.block(&padded)
                }
            };
            if mask != 0 {
                let found = at + mask.trailing_zeros() as usize;
                return (found < text.len()).then_some(found);
            }
            at += LANES;
        }
        None
    }

    /// A bit for each of the first sixteen places of the block that is a candidate.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    fn block(&self, block: &[u8]) -> u16 {
        use core::arch::wasm32::{
            i8x16_swizzle, u8x16_bitmask, u8x16_eq, u8x16_shr, u8x16_splat, v128_and, v128_any_true,
        };
        let mut buckets = u8x16_splat(0xFF);
        for (offset, table) in self.tables.iter().enumerate().take(self.used) {
            let bytes = load(block.get(offset..offset + LANES));
            let low = i8x16_swizzle(load(Some(&table.low)), v128_and(bytes, u8x16_splat(0x0F)));
            let high = i8x16_swizzle(load(Some(&table.high)), u8x16_shr(bytes, 4));
            buckets = v128_and(buckets, v128_and(low, high));
        }
        if !v128_any_true(buckets) {
            return 0;
        }
        !u8x16_bitmask(u8x16_eq(buckets, u8x16_splat(0)))
    }

    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    fn block(&self, block: &[u8]) -> u16 {
        let mut mask = 0;
        for lane in 0..LANES {
            let bytes = block.get(lane..).unwrap_or_default();
            let allowed = self.tables.iter().zip(bytes).take(self.used).fold(0xFF, |buckets, (table, byte)| {
                let low = table.low.get(usize::from(byte & 0x0F)).copied().unwrap_or(0);
                let high = table.high.get(usize::from(byte >> 4)).copied().unwrap_or(0);
                buckets & low & high
            });
            mask |= u16::from(allowed != 0) << lane;
        }
        mask
    }
}

#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
fn load(bytes: Option<&[u8]>) -> core::arch::wasm32::v128 {
    let bytes: [u8; LANES] = bytes.and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
    let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = bytes;
    core::arch::wasm32::u8x16(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p)
}

impl Table {
    fn allow(&mut self, byte: u8, bucket: u8) {
        if let Some(slot) = self.low.get_mut(usize::from(byte & 0x0F)) {
            *slot |= bucket;
        }
        if let Some(slot) = self.high.get_mut(usize::from(byte >> 4)) {
            *slot |= bucket;
        }
    }
}
