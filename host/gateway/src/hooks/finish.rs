//! Runs `on-finish`: once a call, after its end, off the client's way. Plugins only read here; what they say changes nothing.
//!
//! A finished call waits in its serving thread's queue and runs there between other calls, in chain order. The queue is bounded: what does
//! not fit is dropped and counted. The receipt has been written by then, so these hooks are not in it; the metrics have them.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use prometheus::IntCounter;
use sluice_sandbox::{ErrorKind, Hook, HookError};
use tokio::sync::Notify;

use super::request::unwrap;
use super::run;
use super::view::CallState;
use crate::plugins::chain::{Chain, Entry};

/// Finished calls that may wait on one thread, and their bytes.
const MAX_WAITING: usize = 1024;
const MAX_BYTES: usize = 64 << 20;

/// Finished calls whose hooks run at the same time on one thread: few, because a plugin's places are shared with calls under way, and more
/// than one, because a plugin that hangs must not hold up the others.
const MAX_RUNNING: usize = 4;

/// A finished call.
pub struct Finished {
    pub chain: Arc<Chain>,
    /// Makes the view; off the client's way, because gathering a stream's events costs more than serving them.
    pub view: Box<dyn FnOnce() -> Box<CallState>>,
    /// Of request and reply, bytes.
    pub size: usize,
}

/// One serving thread's finished calls.
pub struct Finisher {
    waiting: RefCell<VecDeque<Finished>>,
    bytes: Cell<usize>,
    running: Cell<usize>,
    closed: Cell<bool>,
    idle: Notify,
    dropped: IntCounter,
}

impl Finisher {
    /// `dropped` counts the calls that found no room.
    pub fn new(dropped: IntCounter) -> Rc<Finisher> {
        Rc::new(Finisher {
            waiting: RefCell::default(),
            bytes: Cell::new(0),
            running: Cell::new(0),
            closed: Cell::new(false),
            idle: Notify::new(),
            dropped,
        })
    }

    /// Takes a finished call. Called from a drop guard, so it must work wherever a call can be dropped, the end of the thread's runtime
    /// included.
    pub fn push(self: &Rc<Self>, call: Finished) {
        let bytes = self.bytes.get().saturating_add(call.size);
        if self.closed.get() || self.waiting.borrow().len() >= MAX_WAITING || bytes > MAX_BYTES {
            self.dropped.inc();
            return;
        }
        self.bytes.set(bytes);
        self.waiting.borrow_mut().push_back(call);
        if self.running.get() < MAX_RUNNING {
            self.running.set(self.running.get() + 1);
            tokio::task::spawn_local(Rc::clone(self).work());
        }
    }

    async fn work(self: Rc<Self>) {
        loop {
            let next = self.waiting.borrow_mut().pop_front();
            let Some(call) = next else { break };
            let size = call.size;
            run(&call.chain, (call.view)()).await;
            self.bytes.set(self.bytes.get().saturating_sub(size));
        }
        self.running.set(self.running.get() - 1);
        self.idle.notify_waiters();
    }

    /// For the end of the thread: waits until every call's hooks have run. Calls that finish later are dropped, and counted.
    pub async fn settled(&self) {
        loop {
            let idle = self.idle.notified();
            if self.running.get() == 0 {
                self.closed.set(true);
                return;
            }
            idle.await;
        }
    }
}

async fn run(chain: &Chain, mut state: Box<CallState>) {
    for entry in chain.entries.iter().filter(|entry| entry.has(Hook::OnFinish)) {
        state.begin(entry, Hook::OnFinish);
        let ran = run::hook(&entry.finish_breaker, state, |view| entry.plugin.on_finish(view)).await;
        state = unwrap(ran.view);
        state.commit();
        entry.ran(Hook::OnFinish, ran.spent);
        if let Err(error) = ran.result {
            entry.finish_breaker.failed_by(&error);
            noted(entry, Hook::OnFinish, &error);
        }
    }
}

/// Books a failure that is no call's business: `on_error` has nothing to decide.
pub(super) fn noted(entry: &Entry, hook: Hook, error: &HookError) {
    if error.kind == ErrorKind::BreakerOpen {
        return entry.metrics.not_run();
    }
    entry.metrics.failed(error.kind, &error.message);
    if error.kind != ErrorKind::Overload {
        entry.probation.failed(&error.message);
    }
    tracing::warn!(
        plugin = %entry.name, version = %entry.plugin.manifest().version, digest = %entry.digest,
        hook = hook.as_str(), kind = error.kind.as_str(), "a plugin failed on finished calls: {}", error.message
    );
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::super::view::Seed;
    use super::*;

    fn counter() -> IntCounter {
        IntCounter::new("dropped", "Dropped.").unwrap()
    }

    fn finished(size: usize, made: &Rc<Cell<usize>>, state: impl Fn() -> Box<CallState> + 'static) -> Finished {
        let made = Rc::clone(made);
        let view = move || {
            made.set(made.get() + 1);
            state()
        };
        Finished { chain: Arc::new(Chain::default()), view: Box::new(view), size }
    }

    fn state() -> Box<CallState> {
        Box::new(CallState::new(Seed::sample()))
    }

    fn run_local(test: impl Future<Output = ()>) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio::task::LocalSet::new().block_on(&runtime, test);
    }

    #[test]
    fn every_call_that_fits_runs_once() {
        run_local(async {
            let (dropped, made) = (counter(), Rc::new(Cell::new(0)));
            let finisher = Finisher::new(dropped.clone());
            for _ in 0..100 {
                finisher.push(finished(10, &made, state));
            }
            finisher.settled().await;
            assert_eq!((made.get(), dropped.get(), finisher.bytes.get()), (100, 0, 0));
        });
    }

    #[test]
    fn what_does_not_fit_is_dropped_and_counted() {
        run_local(async {
            let (dropped, made) = (counter(), Rc::new(Cell::new(0)));
            let finisher = Finisher::new(dropped.clone());
            finisher.push(finished(MAX_BYTES, &made, state));
            finisher.push(finished(1, &made, state));
            assert_eq!(dropped.get(), 1);
            finisher.settled().await;
            assert_eq!(made.get(), 1);
            // The thread is about to end.
            finisher.push(finished(1, &made, state));
            assert_eq!((made.get(), dropped.get()), (1, 2));
        });
        run_local(async {
            let (dropped, made) = (counter(), Rc::new(Cell::new(0)));
            let finisher = Finisher::new(dropped.clone());
            for _ in 0..MAX_WAITING + 3 {
                finisher.push(finished(0, &made, state));
            }
            finisher.settled().await;
            assert_eq!((made.get(), dropped.get()), (MAX_WAITING, 3));
        });
    }
}
