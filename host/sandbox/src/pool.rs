//! Idle instances of one plugin, by the thread that used them last. Whether one is still good is the instance's own knowledge.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Instant;

use crate::instance::Instance;

static NEXT_THREAD: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static THREAD: Cell<Option<usize>> = const { Cell::new(None) };
}

/// A number of this thread, given at first use, so that serving threads land on shards of their own.
fn thread_number() -> usize {
    THREAD.with(|cell| {
        cell.get().unwrap_or_else(|| {
            let number = NEXT_THREAD.fetch_add(1, Ordering::Relaxed);
            cell.set(Some(number));
            number
        })
    })
}

/// Last in, first out: the instance that is warm in the cache goes first, and the surplus ages until `drop_aged`.
pub(crate) struct Pool {
    shards: Box<[Mutex<Vec<Instance>>]>,
    /// Idle instances kept by one shard.
    capacity: usize,
}

impl Pool {
    pub(crate) fn new(capacity: usize) -> Pool {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = (0..threads).map(|_| Mutex::new(Vec::new())).collect();
        Pool { shards, capacity }
    }

    fn shard(&self, offset: usize) -> Option<&Mutex<Vec<Instance>>> {
        let number = thread_number().wrapping_add(offset) % self.shards.len().max(1);
        self.shards.get(number)
    }

    /// One of this thread's, or, before a fresh one would have to start, one of another's.
    pub(crate) fn take(&self) -> Option<Instance> {
        if let Some(own) = self.shard(0).and_then(|shard| locked(shard).pop()) {
            return Some(own);
        }
        (1..self.shards.len()).filter_map(|offset| self.shard(offset)).find_map(|shard| match shard.try_lock() {
            Ok(mut idle) => idle.pop(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().pop(),
            Err(TryLockError::WouldBlock) => None,
        })
    }

    pub(crate) fn put(&self, instance: Instance) {
        let Some(shard) = self.shard(0) else { return };
        let mut idle = locked(shard);
        if idle.len() < self.capacity {
            idle.push(instance);
        } else {
            // Ending an instance unmaps memory: not under the lock.
            drop(idle);
            drop(instance);
        }
    }

    pub(crate) fn idle(&self) -> usize {
        self.shards.iter().map(|shard| locked(shard).len()).sum()
    }

    pub(crate) fn drop_idle(&self) {
        for shard in &self.shards {
            let idle = std::mem::take(&mut *locked(shard));
            drop(idle);
        }
    }

    pub(crate) fn drop_aged(&self) {
        let now = Instant::now();
        for shard in &self.shards {
            let aged: Vec<Instance> = locked(shard).extract_if(.., |instance| instance.is_aged(now)).collect();
            drop(aged);
        }
    }
}

fn locked(shard: &Mutex<Vec<Instance>>) -> MutexGuard<'_, Vec<Instance>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
