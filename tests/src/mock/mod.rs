//! A scripted provider: an HTTP/1.1 server that does to the socket exactly what a test says, and keeps a journal of what arrived.
//!
//! Hand-written over a TCP stream on purpose: a server framework refuses to lie about lengths, to stall, or to send bytes nobody asked for.
//! It is not a model of any provider; what providers send is in the recorded cases.

mod connection;
mod journal;
mod script;

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

pub use journal::{Ending, Exchange, Journal};
pub use script::{Gate, Script, Step, chunk, head};

type Choose = dyn Fn(&Exchange) -> Script + Send + Sync;

#[derive(Clone)]
enum Source {
    /// One a request, the last one for all further ones.
    Queue(VecDeque<Arc<Script>>),
    Chosen(Arc<Choose>),
}

struct Shared {
    journal: Journal,
    scripts: Mutex<HashMap<String, Source>>,
    /// Opened when the provider dies.
    death: Gate,
}

impl Shared {
    fn scripts(&self) -> std::sync::MutexGuard<'_, HashMap<String, Source>> {
        self.scripts.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// The script that wants to start before the body; only the next one of a queue can.
    fn early(&self, name: &str) -> Option<Arc<Script>> {
        let mut scripts = self.scripts();
        let Some(Source::Queue(queue)) = scripts.get_mut(name) else { return None };
        if queue.front().is_some_and(|script| script.early) { next(queue) } else { None }
    }

    /// By the path's first part, else by the model that the body names.
    fn pick(&self, exchange: &mut Exchange) -> Arc<Script> {
        let mut scripts = self.scripts();
        if !scripts.contains_key(&exchange.script) {
            let model = model_of(&exchange.body);
            match model.filter(|model| scripts.contains_key(model)) {
                Some(model) => exchange.script = model,
                None => {
                    let message = format!("no script named {:?}", exchange.script);
                    return Arc::new(Script::json(404, serde_json::json!({"error": {"message": message}}).to_string()));
                }
            }
        }
        let choose = match scripts.get_mut(&exchange.script) {
            Some(Source::Queue(queue)) => return next(queue).unwrap_or_default(),
            Some(Source::Chosen(choose)) => Arc::clone(choose),
            None => return Arc::default(),
        };
        drop(scripts);
        Arc::new(choose(exchange))
    }
}

fn next(queue: &mut VecDeque<Arc<Script>>) -> Option<Arc<Script>> {
    if queue.len() > 1 { queue.pop_front() } else { queue.front().cloned() }
}

fn model_of(body: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Named {
        model: String,
    }
    serde_json::from_slice::<Named>(body).ok().map(|named| named.model)
}

/// The first part of a request target's path: the script that a base address names.
fn script_name(target: &str) -> &str {
    let path = target.strip_prefix("http://").and_then(|rest| rest.find('/').map(|at| &rest[at..])).unwrap_or(target);
    path.trim_start_matches('/').split(['/', '?']).next().unwrap_or_default()
}

/// A running mock provider. It serves until the process ends or it is told to die; tests are short and its threads idle.
#[derive(Clone)]
pub struct Mock {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl fmt::Debug for Mock {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "Mock({})", self.address)
    }
}

impl Mock {
    /// On a free port, with a journal.
    pub fn start() -> Mock {
        Mock::listen("127.0.0.1:0", true)
    }

    /// `keep`: whether to keep a journal.
    pub fn listen(address: &str, keep: bool) -> Mock {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("cannot listen on {address}: {error}"));
        listener.set_nonblocking(true).expect("non-blocking listener");
        let address = listener.local_addr().expect("the listener's address");
        let shared = Arc::new(Shared { journal: Journal::new(keep), scripts: Mutex::default(), death: Gate::new() });
        let serving = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("mock-provider".into())
            .spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
                runtime.block_on(accept(listener, serving));
                // With it go all connections, at once and in the middle of whatever they do.
                drop(runtime);
            })
            .expect("a thread for the mock provider");
        Mock { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The base address under which `script` answers.
    pub fn base(&self, script: &str) -> String {
        format!("http://{}/{script}/v1", self.address)
    }

    /// Every request to `name` gets this script.
    pub fn script(&self, name: &str, script: Script) {
        self.queue(name, vec![script]);
    }

    /// One script a request; the last one answers all further requests.
    pub fn queue(&self, name: &str, scripts: Vec<Script>) {
        let queue = scripts.into_iter().map(Arc::new).collect();
        self.shared.scripts().insert(name.to_owned(), Source::Queue(queue));
    }

    /// The script depends on the request.
    pub fn on(&self, name: &str, choose: impl Fn(&Exchange) -> Script + Send + Sync + 'static) {
        self.shared.scripts().insert(name.to_owned(), Source::Chosen(Arc::new(choose)));
    }

    /// Dies: its connections break, whatever they do, and new ones are refused. For good; the port may be another's afterwards.
    pub fn die(&self) {
        self.shared.death.open();
    }

    pub fn journal(&self) -> &Journal {
        &self.shared.journal
    }

    /// What came to `script` so far.
    pub fn exchanges(&self, script: &str) -> Vec<Exchange> {
        self.journal().all(|name| name == script)
    }

    /// Waits for the `count`th request to `script` to have arrived whole, and gives it.
    pub fn wait_request(&self, script: &str, count: usize) -> Exchange {
        let found =
            |of: &[&Exchange]| of.iter().filter(|exchange| exchange.body_complete).nth(count - 1).copied().cloned();
        self.journal().wait(script, &format!("request {count} of {script}"), found)
    }

    /// The newest request to `script`, which must have come.
    pub fn last(&self, script: &str) -> Exchange {
        let last = |of: &[&Exchange]| of.last().copied().cloned();
        self.journal().wait(script, &format!("a request to {script}"), last)
    }

    /// Waits until the newest request to `script` was cancelled by its sender.
    pub fn wait_cancelled(&self, script: &str) -> Exchange {
        let cancelled = |of: &[&Exchange]| of.last().filter(|last| last.ending == Ending::Cancelled).copied().cloned();
        self.journal().wait(script, &format!("{script} to be cancelled"), cancelled)
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let listener = tokio::net::TcpListener::from_std(listener).expect("a listener for the runtime");
    let mut death = std::pin::pin!(shared.death.opened());
    loop {
        tokio::select! {
            biased;
            () = &mut death => return,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(tokio::spawn(connection::serve(stream, Arc::clone(&shared)))),
                // Out of descriptors: those that close will make room.
                Err(_) => tokio::task::yield_now().await,
            },
        }
    }
}

#[cfg(test)]
mod tests;
