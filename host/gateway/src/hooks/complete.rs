//! Runs `on-complete`: the documents of finished calls, in batches, on a thread of its own.
//!
//! Each plugin has a bounded queue by its name, so that a new version gets what the old one has not had, as soon as a call has met it. A
//! plugin that is too slow loses documents, which is counted; it never slows a call. What a plugin has been given is not given again, whether it failed or not.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus::IntCounter;
use sluice_sandbox::{ErrorKind, Hook};
use tokio::sync::Notify;

use crate::plugins::chain::{Chain, Entry};

/// A batch is handed over when it has this many documents, or when its first one has waited this long.
const BATCH: usize = 64;
const BATCH_WAIT: Duration = Duration::from_secs(1);
/// Bytes of one batch; the sandbox takes no more than four times this.
const BATCH_BYTES: usize = 1 << 20;

/// What may wait for one plugin.
const MAX_DOCUMENTS: usize = 8192;
const MAX_BYTES: usize = 8 << 20;

/// The queues of all plugins.
pub struct Outbox(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// Something to do for the thread.
    wake: Notify,
    /// The thread has nothing left.
    done: Condvar,
    dropped: IntCounter,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<Arc<str>, Queue>,
    started: bool,
    stopping: bool,
}

struct Queue {
    /// The newest version that a call has met: not the live chain's, because each configuration has a chain of its own.
    entry: Arc<Entry>,
    /// Of the chain that it was in: a call that began earlier may end later.
    generation: u64,
    documents: VecDeque<String>,
    bytes: usize,
    /// Since when the first document waits.
    since: Instant,
    /// A batch is with the plugin.
    busy: bool,
}

impl Queue {
    fn new(entry: &Arc<Entry>, generation: u64, now: Instant) -> Queue {
        Queue { entry: Arc::clone(entry), generation, documents: VecDeque::new(), bytes: 0, since: now, busy: false }
    }

    fn is_full(&self) -> bool {
        self.documents.len() >= BATCH || self.bytes >= BATCH_BYTES
    }

    /// The next batch; at least one document, since one has bounds of its own.
    fn take(&mut self) -> Vec<String> {
        let mut batch = Vec::new();
        let mut size = 0;
        while let Some(document) = self.documents.front() {
            size += document.len();
            if batch.len() == BATCH || (!batch.is_empty() && size > BATCH_BYTES) {
                break;
            }
            self.bytes -= document.len();
            batch.extend(self.documents.pop_front());
        }
        self.busy = true;
        batch
    }
}

/// A batch on its way to a plugin.
struct Due {
    name: Arc<str>,
    entry: Arc<Entry>,
    batch: Vec<String>,
}

impl Outbox {
    /// `dropped` counts documents that no plugin got.
    pub fn new(dropped: IntCounter) -> Outbox {
        Outbox(Arc::new(Shared { state: Mutex::default(), wake: Notify::new(), done: Condvar::new(), dropped }))
    }

    /// Takes the document of a call that was served by `chain`, for every plugin of it that wants one. The first call starts the thread.
    pub fn push(&self, chain: &Chain, document: &[u8]) {
        let shared = &self.0;
        let mut state = shared.lock();
        if !state.started {
            state.started = true;
            let worker = Arc::clone(shared);
            if let Err(error) = std::thread::Builder::new().name("on-complete".into()).spawn(move || work(&worker)) {
                tracing::error!(%error, "no thread for on-complete: finished calls are not handed over");
                state.started = false;
            }
        }
        let now = Instant::now();
        for entry in chain.entries.iter().filter(|entry| entry.has(Hook::OnComplete)) {
            match state.push(entry, chain.generation, document, now) {
                Pushed::Waits => {}
                Pushed::Due => shared.wake.notify_one(),
                Pushed::Full => shared.dropped.inc(),
            }
        }
    }

    /// Hands over what is left and ends the thread; waits at most `limit`.
    pub fn finish(&self, limit: Duration) {
        let mut state = self.0.lock();
        state.stopping = true;
        if !state.started {
            return;
        }
        self.0.wake.notify_one();
        let waited = self.0.done.wait_timeout_while(state, limit, |state| state.started);
        let left: usize = waited.map_or(0, |(state, _)| state.queues.values().map(|queue| queue.documents.len()).sum());
        if left > 0 {
            tracing::warn!(left, "finished calls were not handed over to on-complete: the plugins took too long");
            self.0.dropped.inc_by(left as u64);
        }
    }
}

/// What became of a document.
#[derive(Debug, PartialEq, Eq)]
enum Pushed {
    Waits,
    /// The thread has something new to look at: a first document, whose time runs, or a full batch.
    Due,
    Full,
}

impl State {
    fn push(&mut self, entry: &Arc<Entry>, generation: u64, document: &[u8], now: Instant) -> Pushed {
        let queue = self.queues.entry(Arc::clone(&entry.name)).or_insert_with(|| Queue::new(entry, generation, now));
        if generation > queue.generation {
            (queue.entry, queue.generation) = (Arc::clone(entry), generation);
        }
        if queue.documents.len() >= MAX_DOCUMENTS || queue.bytes + document.len() > MAX_BYTES {
            return Pushed::Full;
        }
        if queue.documents.is_empty() {
            queue.since = now;
        }
        queue.bytes += document.len();
        queue.documents.push_back(String::from_utf8_lossy(document).into_owned());
        let looked_for = !queue.busy && (queue.documents.len() == 1 || queue.is_full());
        if looked_for { Pushed::Due } else { Pushed::Waits }
    }

    /// Batches that are to go now, and when to look again.
    fn due(&mut self, now: Instant) -> (Vec<Due>, Option<Instant>) {
        let stopping = self.stopping;
        let mut due = Vec::new();
        let mut next: Option<Instant> = None;
        for (name, queue) in &mut self.queues {
            if queue.busy || queue.documents.is_empty() {
                continue;
            }
            if stopping || queue.is_full() || now >= queue.since + BATCH_WAIT {
                due.push(Due { name: Arc::clone(name), entry: Arc::clone(&queue.entry), batch: queue.take() });
            } else {
                let at = queue.since + BATCH_WAIT;
                next = Some(next.map_or(at, |next| next.min(at)));
            }
        }
        (due, next)
    }

    /// A batch is over: the plugin may have the next one. An empty queue goes, and with it its hold on the plugin's version.
    fn ended(&mut self, name: &str, now: Instant) {
        let Some(queue) = self.queues.get_mut(name) else { return };
        queue.busy = false;
        queue.since = now;
        if queue.documents.is_empty() {
            self.queues.remove(name);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn work(shared: &Arc<Shared>) {
    match tokio::runtime::Builder::new_current_thread().enable_time().build() {
        Ok(runtime) => tokio::task::LocalSet::new().block_on(&runtime, hand_over(shared)),
        Err(error) => tracing::error!(%error, "no runtime for on-complete: finished calls are not handed over"),
    }
    shared.lock().started = false;
    shared.done.notify_all();
}

/// Until the outbox is stopped and empty.
async fn hand_over(shared: &Arc<Shared>) {
    loop {
        let (due, next, over) = {
            let mut state = shared.lock();
            let (due, next) = state.due(Instant::now());
            (due, next, state.stopping && state.queues.is_empty())
        };
        if over {
            return;
        }
        for due in due {
            // A task each: a plugin that takes its time holds up only its own queue.
            tokio::task::spawn_local(run(Arc::clone(shared), due));
        }
        match next {
            Some(next) => {
                let _ = tokio::time::timeout_at(next.into(), shared.wake.notified()).await;
            }
            None => shared.wake.notified().await,
        }
    }
}

async fn run(shared: Arc<Shared>, due: Due) {
    let Due { name, entry, batch } = due;
    let documents = batch.len() as u64;
    let ran = entry.plugin.on_complete(batch).await;
    entry.ran(Hook::OnComplete, ran.spent);
    for (counter, by) in &ran.counts {
        entry.metrics.count(counter, *by);
    }
    if let Err(error) = &ran.result {
        super::finish::noted(&entry, Hook::OnComplete, error);
        if matches!(error.kind, ErrorKind::Overload | ErrorKind::Start) {
            // No instance has seen them.
            shared.dropped.inc_by(documents);
        }
    }
    drop(entry);
    shared.lock().ended(&name, Instant::now());
    shared.wake.notify_one();
}
