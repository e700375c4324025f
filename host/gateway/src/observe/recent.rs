//! The last calls' documents, in memory: what the page and `sluice tail` show. Not a store: they are gone with the process.

use std::sync::{Arc, Mutex, PoisonError};

/// How many documents are kept.
pub const KEPT: usize = 200;

/// A document longer than this, bytes, is left out (plugins may tag a call with more): the ring's memory stays within `KEPT` times this.
const MAX_DOCUMENT: usize = 32 * 1024;

/// What a usual document needs, bytes.
const USUAL: usize = 1024;

/// A ring of the last documents. Its buffers are there from the start and used again, so a usual call allocates nothing here.
#[derive(Debug)]
pub struct Recent(Mutex<Ring>);

#[derive(Debug)]
struct Ring {
    /// Number of the newest document; the first one is 1.
    newest: u64,
    slots: Vec<Vec<u8>>,
}

impl Default for Recent {
    fn default() -> Recent {
        let slots = (0..KEPT).map(|_| Vec::with_capacity(USUAL)).collect();
        Recent(Mutex::new(Ring { newest: 0, slots }))
    }
}

impl Recent {
    /// Keeps a call's document.
    pub fn note(&self, document: &[u8]) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = (ring.newest % KEPT as u64) as usize;
        ring.newest += 1;
        let Some(slot) = ring.slots.get_mut(at) else { return };
        slot.clear();
        if document.len() <= MAX_DOCUMENT {
            slot.extend_from_slice(document);
        }
    }

    /// The documents after number `seq` that are still kept, oldest first, and the number of the newest one. A number of the future, as a
    /// reader has that saw another process, gives all that are kept.
    pub fn since(&self, seq: u64) -> (u64, Vec<Arc<str>>) {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = ring.newest.saturating_sub(ring.slots.len() as u64);
        let after = if seq > ring.newest { oldest } else { seq.max(oldest) };
        let slots = (after..ring.newest).filter_map(|number| ring.slots.get((number % KEPT as u64) as usize));
        let documents = slots.filter(|slot| !slot.is_empty()).map(|slot| String::from_utf8_lossy(slot).into());
        (ring.newest, documents.collect())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn noted(count: u64) -> Recent {
        let recent = Recent::default();
        for number in 1..=count {
            recent.note(number.to_string().as_bytes());
        }
        recent
    }

    fn numbers(documents: &[Arc<str>]) -> Vec<u64> {
        documents.iter().map(|document| document.parse().unwrap()).collect()
    }

    #[test]
    fn gives_what_is_new_oldest_first() {
        let recent = noted(5);
        let (newest, all) = recent.since(0);
        assert_eq!((newest, numbers(&all)), (5, vec![1, 2, 3, 4, 5]));
        assert_eq!(numbers(&recent.since(3).1), [4, 5]);
        assert_eq!(recent.since(5).1.len(), 0);
        assert_eq!(Recent::default().since(0), (0, Vec::new()));
    }

    #[test]
    fn keeps_the_last_ones_and_no_more() {
        let recent = noted(3 * KEPT as u64 + 7);
        let (newest, all) = recent.since(0);
        assert_eq!(newest, 3 * KEPT as u64 + 7);
        assert_eq!(numbers(&all), (newest - KEPT as u64 + 1..=newest).collect::<Vec<_>>());
        assert_eq!(numbers(&recent.since(newest - 2).1), [newest - 1, newest]);
    }

    #[test]
    fn a_reader_of_an_earlier_process_gets_everything() {
        assert_eq!(numbers(&noted(3).since(900).1), [1, 2, 3]);
    }

    #[test]
    fn a_huge_document_is_left_out_and_counted() {
        let recent = noted(1);
        recent.note(&vec![b'x'; MAX_DOCUMENT + 1]);
        recent.note(b"3");
        let (newest, all) = recent.since(0);
        assert_eq!((newest, numbers(&all)), (3, vec![1, 3]));
    }
}
