//! What arrived at the mock provider, and how it ended: the evidence that tests judge by.
//!
//! An exchange is listed as soon as its head is complete, so that a test can wait for a request whose body or reply never ends.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::Instant;

use crate::LIMIT;
use crate::http::Head;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The script is not through.
    Running,
    /// All steps done.
    Done,
    /// The peer closed or reset before the script was through.
    Cancelled,
}

/// One request and what became of it.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Counts accepted connections from 1.
    pub connection: u64,
    /// Counts requests of its connection from 0: above 0 it was reused.
    pub sequence: u32,
    pub script: String,
    pub method: String,
    /// As on the request line.
    pub target: String,
    pub head: Head,
    /// Chunk framing removed.
    pub body: Vec<u8>,
    pub body_complete: bool,
    pub started: Instant,
    pub ended: Option<Instant>,
    pub ending: Ending,
}

#[derive(Debug, Default)]
struct State {
    exchanges: Vec<Exchange>,
    opened: u64,
    closed: Vec<u64>,
}

#[derive(Debug, Default)]
pub struct Journal {
    state: Mutex<State>,
    changed: Condvar,
    /// Keep nothing: for load runs, where the journal would grow without limit.
    off: bool,
}

impl Journal {
    pub(super) fn new(keep: bool) -> Journal {
        Journal { off: !keep, ..Journal::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let value = change(&mut self.lock());
        self.changed.notify_all();
        value
    }

    pub(super) fn opened(&self) -> u64 {
        self.change(|state| {
            state.opened += 1;
            state.opened
        })
    }

    pub(super) fn closed(&self, connection: u64) {
        if !self.off {
            self.change(|state| state.closed.push(connection));
        }
    }

    pub(super) fn begin(&self, exchange: &Exchange) -> usize {
        if self.off {
            return 0;
        }
        self.change(|state| {
            state.exchanges.push(exchange.clone());
            state.exchanges.len() - 1
        })
    }

    pub(super) fn update(&self, index: usize, update: impl FnOnce(&mut Exchange)) {
        if !self.off {
            // Gone after `clear`.
            self.change(|state| state.exchanges.get_mut(index).map(update));
        }
    }

    /// Everything so far of the scripts that `wanted` names, in order of arrival.
    pub fn all(&self, wanted: impl Fn(&str) -> bool) -> Vec<Exchange> {
        self.lock().exchanges.iter().filter(|exchange| wanted(&exchange.script)).cloned().collect()
    }

    /// How many requests came to `script`.
    pub fn count(&self, script: &str) -> usize {
        self.lock().exchanges.iter().filter(|exchange| exchange.script == script).count()
    }

    /// Forgets. Only between calls: a running exchange would write its end to another's entry.
    pub fn clear(&self) {
        self.lock().exchanges.clear();
    }

    /// How many connections were accepted, and the numbers of those that the peer or a script has ended.
    pub fn connections(&self) -> (u64, Vec<u64>) {
        let state = self.lock();
        (state.opened, state.closed.clone())
    }

    /// Waits, at most [`LIMIT`], until `check` gives a value for the exchanges of `script`.
    pub fn wait<T>(&self, script: &str, what: &str, mut check: impl FnMut(&[&Exchange]) -> Option<T>) -> T {
        self.wait_state(what, |state| {
            let of: Vec<&Exchange> = state.exchanges.iter().filter(|exchange| exchange.script == script).collect();
            check(&of)
        })
    }

    /// Waits until that connection has ended.
    pub fn wait_closed(&self, connection: u64) {
        self.wait_state("connection to be closed", |state| state.closed.contains(&connection).then_some(()));
    }

    fn wait_state<T>(&self, what: &str, mut check: impl FnMut(&State) -> Option<T>) -> T {
        let started = Instant::now();
        let mut state = self.lock();
        loop {
            if let Some(value) = check(&state) {
                return value;
            }
            let left = LIMIT.saturating_sub(started.elapsed());
            assert!(
                !left.is_zero(),
                "gave up after {LIMIT:?} waiting for the provider to see: {what}; it saw {state:#?}"
            );
            state = self.changed.wait_timeout(state, left).unwrap_or_else(|poisoned| poisoned.into_inner()).0;
        }
    }
}
