//! One lock's worth of a space: entries by key, in the order of their last use, and those with an end by that end.
//!
//! No clock and no quota: times come in as nanoseconds, and what to evict is the space's decision.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

/// What an entry takes beside its key and value: its slot, its places in the index and in the order of ends, all with the slack of
/// growing tables.
pub(super) const OVERHEAD: usize = 192;
/// The end of an entry that has none, and the age of nothing.
pub(super) const NEVER: u64 = u64::MAX;
const NONE: u32 = u32::MAX;
/// Slots of one shard at most; a quota is used up long before.
const MOST_SLOTS: usize = 1 << 24;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Set(Bytes),
    Swapped(Bytes),
    Counter(i64),
}

/// What was merely set, and what was counted or swapped, which a plugin goes by: they are evicted by different rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Cached,
    State,
}

impl Class {
    pub(super) const ALL: [Class; 2] = [Class::Cached, Class::State];
}

impl Value {
    fn class(&self) -> Class {
        match self {
            Value::Set(_) => Class::Cached,
            Value::Swapped(_) | Value::Counter(_) => Class::State,
        }
    }

    fn len(&self) -> usize {
        match self {
            Value::Set(bytes) | Value::Swapped(bytes) => bytes.len(),
            Value::Counter(_) => size_of::<i64>(),
        }
    }

    fn is(&self, expected: &[u8]) -> bool {
        match self {
            Value::Set(bytes) | Value::Swapped(bytes) => bytes == expected,
            Value::Counter(number) => number.to_string().as_bytes() == expected,
        }
    }
}

/// Why a number could not be counted on.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoCount {
    NotANumber,
    Overflow,
}

struct Slot {
    key: Arc<str>,
    value: Value,
    /// When it ends; it is gone from then on, seen or not.
    ends: u64,
    used: u64,
    newer: u32,
    older: u32,
}

impl Slot {
    fn cost(&self) -> usize {
        OVERHEAD + self.key.len() + self.value.len()
    }
}

/// A list through the slots, from the newest use to the oldest.
#[derive(Clone, Copy)]
struct List {
    newest: u32,
    oldest: u32,
    bytes: usize,
}

pub(super) struct Shard {
    slots: Vec<Option<Slot>>,
    free: Vec<u32>,
    index: HashMap<Arc<str>, u32>,
    ends: BTreeSet<(u64, u32)>,
    lists: [List; 2],
}

impl Shard {
    pub(super) fn new() -> Shard {
        let list = List { newest: NONE, oldest: NONE, bytes: 0 };
        Shard { slots: Vec::new(), free: Vec::new(), index: HashMap::new(), ends: BTreeSet::new(), lists: [list, list] }
    }

    /// What entries of that class cost.
    pub(super) fn bytes(&self, class: Class) -> usize {
        self.list(class).bytes
    }

    /// The last use of the class's least recently used entry.
    pub(super) fn oldest(&self, class: Class) -> u64 {
        self.slot(self.list(class).oldest).map_or(NEVER, |slot| slot.used)
    }

    /// The earliest end of any entry.
    pub(super) fn next_end(&self) -> u64 {
        self.ends.first().map_or(NEVER, |(end, _)| *end)
    }

    #[cfg(test)]
    pub(super) fn slots(&self) -> usize {
        self.slots.len()
    }

    pub(super) fn get(&mut self, key: &str, now: u64) -> Option<Value> {
        let at = self.live(key, now)?;
        self.touch(at, now);
        self.slot(at).map(|slot| slot.value.clone())
    }

    pub(super) fn set(&mut self, key: &str, value: Bytes, ends: u64, now: u64) {
        self.remove(key);
        self.insert(key, Value::Set(value), ends, now);
    }

    pub(super) fn remove(&mut self, key: &str) {
        if let Some(at) = self.index.get(key).copied() {
            self.take(at);
        }
    }

    /// Sets the value only where the key has the expected one; says whether it did.
    pub(super) fn swap(&mut self, key: &str, expected: Option<&[u8]>, value: Bytes, ends: u64, now: u64) -> bool {
        let found = self.live(key, now).and_then(|at| self.slot(at));
        let fits = match (found, expected) {
            (None, None) => true,
            (Some(slot), Some(expected)) => slot.value.is(expected),
            _ => false,
        };
        if fits {
            self.remove(key);
            self.insert(key, Value::Swapped(value), ends, now);
        }
        fits
    }

    /// An absent key counts as 0; `ends` is for it alone.
    pub(super) fn increment(&mut self, key: &str, by: i64, ends: u64, now: u64) -> Result<i64, NoCount> {
        let Some(at) = self.live(key, now) else {
            self.insert(key, Value::Counter(by), ends, now);
            return Ok(by);
        };
        let Some(slot) = self.slot(at) else { return Err(NoCount::NotANumber) };
        let (was, ends) = (slot.value.clone(), slot.ends);
        let number = match &was {
            Value::Counter(number) => Some(*number),
            Value::Set(text) | Value::Swapped(text) => {
                std::str::from_utf8(text).ok().and_then(|text| text.parse().ok())
            }
        };
        let sum = number.ok_or(NoCount::NotANumber)?.checked_add(by).ok_or(NoCount::Overflow)?;
        if matches!(was, Value::Counter(_)) {
            self.touch(at, now);
            if let Some(slot) = self.slot_mut(at) {
                slot.value = Value::Counter(sum);
            }
        } else {
            self.take(at);
            self.insert(key, Value::Counter(sum), ends, now);
        }
        Ok(sum)
    }

    /// Frees up to `most` entries that have ended.
    pub(super) fn expire(&mut self, now: u64, most: usize) {
        for _ in 0..most {
            match self.ends.first() {
                Some((end, at)) if *end <= now => self.take(*at),
                _ => return,
            }
        }
    }

    /// Frees the class's least recently used entry; false if it has none.
    pub(super) fn evict(&mut self, class: Class) -> bool {
        let oldest = self.list(class).oldest;
        self.take(oldest);
        oldest != NONE
    }

    fn live(&mut self, key: &str, now: u64) -> Option<u32> {
        let at = *self.index.get(key)?;
        if self.slot(at)?.ends > now {
            return Some(at);
        }
        self.take(at);
        None
    }

    fn insert(&mut self, key: &str, value: Value, ends: u64, now: u64) {
        if self.free.is_empty() && self.slots.len() >= MOST_SLOTS {
            return;
        }
        let key: Arc<str> = Arc::from(key);
        let slot = Slot { key: Arc::clone(&key), value, ends, used: now, newer: NONE, older: NONE };
        let at = match self.free.pop() {
            Some(at) => at,
            None => {
                self.slots.push(None);
                (self.slots.len() - 1) as u32
            }
        };
        if let Some(place) = self.slots.get_mut(at as usize) {
            *place = Some(slot);
        }
        self.index.insert(key, at);
        if ends != NEVER {
            self.ends.insert((ends, at));
        }
        self.link(at);
    }

    /// Frees a slot, wherever it is linked.
    fn take(&mut self, at: u32) {
        self.unlink(at);
        let Some(slot) = self.slots.get_mut(at as usize).and_then(Option::take) else { return };
        self.index.remove(&slot.key);
        self.ends.remove(&(slot.ends, at));
        self.free.push(at);
    }

    fn touch(&mut self, at: u32, now: u64) {
        self.unlink(at);
        if let Some(slot) = self.slot_mut(at) {
            slot.used = now;
        }
        self.link(at);
    }

    /// As the newest of its class.
    fn link(&mut self, at: u32) {
        let Some(slot) = self.slot(at) else { return };
        let (class, cost) = (slot.value.class(), slot.cost());
        let before = self.list(class).newest;
        if let Some(slot) = self.slot_mut(at) {
            (slot.newer, slot.older) = (NONE, before);
        }
        if let Some(slot) = self.slot_mut(before) {
            slot.newer = at;
        }
        let list = self.list_mut(class);
        list.newest = at;
        if list.oldest == NONE {
            list.oldest = at;
        }
        list.bytes += cost;
    }

    fn unlink(&mut self, at: u32) {
        let Some(slot) = self.slot(at) else { return };
        let (class, cost, newer, older) = (slot.value.class(), slot.cost(), slot.newer, slot.older);
        if let Some(slot) = self.slot_mut(newer) {
            slot.older = older;
        }
        if let Some(slot) = self.slot_mut(older) {
            slot.newer = newer;
        }
        let list = self.list_mut(class);
        if list.newest == at {
            list.newest = older;
        }
        if list.oldest == at {
            list.oldest = newer;
        }
        list.bytes = list.bytes.saturating_sub(cost);
    }

    fn slot(&self, at: u32) -> Option<&Slot> {
        self.slots.get(at as usize)?.as_ref()
    }

    fn slot_mut(&mut self, at: u32) -> Option<&mut Slot> {
        self.slots.get_mut(at as usize)?.as_mut()
    }

    fn list(&self, class: Class) -> &List {
        let [cached, state] = &self.lists;
        if class == Class::Cached { cached } else { state }
    }

    fn list_mut(&mut self, class: Class) -> &mut List {
        let [cached, state] = &mut self.lists;
        if class == Class::Cached { cached } else { state }
    }
}
