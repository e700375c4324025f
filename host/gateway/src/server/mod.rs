//! The client side of HTTP: sockets, connections, framing, limits, routes, and who may ask at all.
//!
//! One current-thread runtime a core, each on its own OS thread with its own sockets: a call never changes threads, so nothing on its
//! way needs a lock. hyper's HTTP/1 server is used directly. A web framework would bring a router for eight paths (`route.rs` is one
//! match), and it needs futures that may change threads. This module knows no provider, no plugin and no dialect beyond how a failure
//! is spelt; what a request means is the [`Site`]'s.

mod body;
mod connection;
mod head;
mod inherit;
mod listen;
mod loopback;
mod respond;
mod route;
mod service;
mod shutdown;
#[cfg(test)]
mod tests;
mod tls;

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use sluice_dialect::failure::Failure;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, watch};

pub use inherit::{ACTIVATED, Before, FIRST_FD, HANDOVER, Inherited, LISTEN_FDS, LISTEN_PID, READY};
pub use listen::Listening;
pub use loopback::Names;
pub use respond::{failure, json, with_type};
pub use route::Page;
pub use shutdown::Shutdown;

use crate::exchange::{Handler, Reply, Road};
use crate::governance::caller::Caller;
use connection::{Guard, Shared};
use shutdown::Phase;

/// What the server serves.
pub trait Site: Handler {
    /// What a request that comes now is served by.
    fn snapshot(&self) -> Self::Snapshot;

    /// The limits and names of that snapshot. A connection keeps those it was opened under, for what concerns it and no single request.
    fn options(snapshot: &Self::Snapshot) -> &Arc<Options>;

    /// Who asks, by the request's credential. `Ok(None)` is an anonymous caller who may ask if the loopback rules let the request pass.
    ///
    /// # Errors
    /// The failure to send when the credential is wrong, or missing where one is needed.
    fn admit(&self, snapshot: &Self::Snapshot, headers: &HeaderMap) -> Result<Option<Caller>, Failure>;

    /// Whether the request carries the admin token; `Ok(false)` where none is configured, and the loopback rules then apply.
    ///
    /// # Errors
    /// The failure to send when a token is needed and is not there.
    fn administer(&self, snapshot: &Self::Snapshot, headers: &HeaderMap) -> Result<bool, Failure>;

    /// A request was refused before the site could have it: by its credential, its head, its body's size or time, for want of room, or,
    /// without a road, because it leads to none. For the records only; the reply is the server's.
    fn turned_away(
        &self,
        snapshot: &Self::Snapshot,
        id: &str,
        started: Instant,
        road: Option<&Road>,
        caller: Option<&Caller>,
        failure: &Failure,
    );

    /// The limit for stopping is over: calls of this thread that are still under way are to end at once, each in its own shape.
    fn cut(&self);

    /// Waits until what follows the thread's finished calls has been done. Asked once, before the thread ends.
    fn settled(&self) -> impl Future<Output = ()>;

    /// One of the gateway's own pages, with the query of its address and, where it takes one, the body; quick, and without waiting.
    fn page(&self, snapshot: &Self::Snapshot, page: Page, query: Option<&str>, body: &Bytes) -> Reply;
}

/// What a client may take of the server. Every one has a default that suits a gateway of language models.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From a head's first byte to its last.
    pub head: Duration,
    /// A head's size in bytes, with line ends; at least 8 KiB.
    pub head_bytes: usize,
    /// From a complete head to its body's last byte.
    pub body: Duration,
    /// A body's size in bytes.
    pub body_bytes: u64,
    /// How long a connection stays open between calls.
    pub idle: Duration,
    /// How long a client may take no byte of a reply that waits for it.
    pub stall: Duration,
    /// Calls at once, over all threads; more get 503.
    pub max_calls: usize,
    /// Connections at once, over all threads; more wait to be accepted.
    pub max_connections: usize,
    /// How long calls may go on once the server has been asked to stop.
    pub shutdown: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            head: Duration::from_secs(10),
            head_bytes: 64 * 1024,
            body: Duration::from_secs(60),
            body_bytes: 64 * 1024 * 1024,
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(60),
            max_calls: 4096,
            max_connections: 16_384,
            shutdown: Duration::from_secs(30),
        }
    }
}

/// Limits, the names that anonymous callers may use, and what clients are shown.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub limits: Limits,
    pub names: Names,
    /// For connections from now on; absent: plain HTTP.
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

/// The serving threads.
#[derive(Debug)]
pub struct Running {
    threads: Vec<JoinHandle<()>>,
    calls: Arc<AtomicUsize>,
}

impl Running {
    /// Calls under way, over all threads.
    pub fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Waits until every thread has stopped after [`Shutdown::drain`].
    ///
    /// # Errors
    /// When a serving thread panicked outside a connection.
    pub fn join(self) -> Result<(), String> {
        let mut result = Ok(());
        for thread in self.threads {
            if thread.join().is_err() {
                result = Err("a serving thread panicked".to_owned());
            }
        }
        result
    }
}

/// Starts one thread for each set of sockets in `listening`. `make` builds the site of one thread on that thread, inside its runtime.
///
/// # Errors
/// When a thread, its runtime or its site cannot be made; the threads that could are stopped again.
pub fn serve<S, F>(listening: Listening, shutdown: &Shutdown, make: F) -> Result<Running, String>
where
    S: Site,
    F: Fn(usize) -> Result<Rc<S>, String> + Send + Sync + 'static,
{
    let make = Arc::new(make);
    let calls = Arc::new(AtomicUsize::new(0));
    let count = listening.threads.len();
    let (ready, started) = mpsc::channel();
    let mut threads = Vec::with_capacity(count);
    for (index, sockets) in listening.threads.into_iter().enumerate() {
        let (make, calls, ready) = (Arc::clone(&make), Arc::clone(&calls), ready.clone());
        let phases = shutdown.phases();
        let run = move || {
            let runtime = match tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build_local(tokio::runtime::LocalOptions::default())
            {
                Ok(runtime) => runtime,
                Err(error) => {
                    let _ = ready.send(Err(format!("cannot start a serving thread: {error}")));
                    return;
                }
            };
            runtime.block_on(async {
                let site = make(index).and_then(|site| Ok((site, listeners(sockets)?)));
                match site {
                    Ok((site, listeners)) => {
                        let _ = ready.send(Ok(()));
                        drop(ready);
                        let context = Rc::new(service::Context { site, calls, threads: count });
                        serve_thread(context, listeners, phases).await;
                    }
                    Err(error) => {
                        let _ = ready.send(Err(error));
                    }
                }
            });
            // Cuts what is left of the calls. Name look-ups may still block a helper thread; nobody waits for them.
            runtime.shutdown_background();
        };
        let thread = std::thread::Builder::new().name(format!("serve-{index}")).spawn(run);
        threads.push(thread.map_err(|error| {
            shutdown.drain();
            format!("cannot start a serving thread: {error}")
        })?);
    }
    drop(ready);
    for result in started {
        if let Err(error) = result {
            shutdown.drain();
            return Err(error);
        }
    }
    Ok(Running { threads, calls })
}

fn listeners(sockets: Vec<std::net::TcpListener>) -> Result<Vec<TcpListener>, String> {
    let listener = |socket| TcpListener::from_std(socket).map_err(|error| format!("cannot listen: {error}"));
    sockets.into_iter().map(listener).collect()
}

/// What calls that are ended have for their last words, and what follows finished calls has at least.
const GRACE: Duration = Duration::from_secs(1);

/// The open connections of one thread.
#[derive(Default)]
struct Connections {
    open: RefCell<HashMap<u64, Rc<Shared>>>,
    next: Cell<u64>,
    closed: Notify,
}

impl Connections {
    /// Asks every connection to close after its current call, or now if it has none.
    fn drain(&self) {
        for shared in self.open.borrow().values() {
            shared.drain();
        }
    }

    /// `count` is asked anew whenever a connection has closed.
    async fn fewer_than(&self, count: impl Fn() -> usize) {
        loop {
            let closed = self.closed.notified();
            if self.open.borrow().len() < count() {
                return;
            }
            closed.await;
        }
    }
}

/// Removes the connection from its thread's list however its task ends.
struct Listed {
    connections: Rc<Connections>,
    number: u64,
}

impl Drop for Listed {
    fn drop(&mut self) {
        self.connections.open.borrow_mut().remove(&self.number);
        self.connections.closed.notify_waiters();
    }
}

async fn serve_thread<S: Site>(
    context: Rc<service::Context<S>>,
    listeners: Vec<TcpListener>,
    mut phases: watch::Receiver<Phase>,
) {
    let connections = Rc::new(Connections::default());
    let accepting: Vec<_> = listeners
        .into_iter()
        .map(|listener| accept(Rc::clone(&context), listener, Rc::clone(&connections), phases.clone()))
        .map(tokio::task::spawn_local)
        .collect();
    // An error means that nobody is left to ask, which stops the server as well.
    let phase = phases.wait_for(|phase| *phase > Phase::Serving).await.map_or(Phase::Draining, |phase| *phase);
    if phase == Phase::HandedOver {
        for task in &accepting {
            task.abort();
        }
        tokio::select! {
            () = see_out(&context, &connections) => return,
            _ = phases.wait_for(|phase| *phase == Phase::Draining) => {}
        }
    }
    connections.drain();
    let limit = context.options().limits.shutdown;
    let began = Instant::now();
    if tokio::time::timeout(limit, connections.fewer_than(|| 1)).await.is_err() {
        tracing::warn!(calls = connections.open.borrow().len(), "calls outlasted the limit for stopping and are ended");
        context.site.cut();
        // Calls end with an error in their own shape; who does not take it is cut off.
        if tokio::time::timeout(GRACE, connections.fewer_than(|| 1)).await.is_err() {
            tracing::warn!(connections = connections.open.borrow().len(), "connections were cut off");
        }
    }
    let left = limit.saturating_sub(began.elapsed()).max(GRACE);
    if tokio::time::timeout(left, context.site.settled()).await.is_err() {
        tracing::warn!("finished calls were not handed over to on-finish: the plugins took too long");
    }
}

/// Serves the open connections to their end while another process accepts new ones. A client that waits with its connection open may be
/// about to call: it gets its next reply here, with the notice that the connection closes.
async fn see_out<S: Site>(context: &service::Context<S>, connections: &Connections) {
    for shared in connections.open.borrow().values() {
        shared.set_last();
    }
    let limit = context.options().limits.shutdown;
    if tokio::time::timeout(limit, connections.fewer_than(|| 1)).await.is_err() {
        connections.drain();
        connections.fewer_than(|| 1).await;
    }
}

/// Accepts for as long as its thread runs. While the server drains, new connections are still answered, so that whoever asks for readiness
/// learns that it is off; they get one reply, no call is served on them, and nobody waits for them.
async fn accept<S: Site>(
    context: Rc<service::Context<S>>,
    listener: TcpListener,
    connections: Rc<Connections>,
    phases: watch::Receiver<Phase>,
) {
    loop {
        connections.fewer_than(|| context.options().limits.max_connections.div_ceil(context.threads).max(1)).await;
        match listener.accept().await {
            Ok((stream, _)) => {
                let number = connections.next.get();
                connections.next.set(number.wrapping_add(1));
                let shared = Shared::new();
                if *phases.borrow() == Phase::Draining {
                    shared.set_late();
                } else {
                    connections.open.borrow_mut().insert(number, Rc::clone(&shared));
                }
                let listed = Listed { connections: Rc::clone(&connections), number };
                tokio::task::spawn_local(serve_connection(Rc::clone(&context), stream, shared, listed));
            }
            Err(error) => {
                // Out of file descriptors, mostly: others must close first, and a tight loop would not let them.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

async fn serve_connection<S: Site>(
    context: Rc<service::Context<S>>,
    stream: TcpStream,
    shared: Rc<Shared>,
    _listed: Listed,
) {
    // Without it the end of a reply may wait 40 ms for the client's acknowledgement of its beginning.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a client connection cannot do without delay");
    }
    let options = context.options();
    match &options.tls {
        None => serve_stream(context, stream, shared, &options.limits).await,
        // Boxed, so that a plain connection's task is no larger for it.
        Some(tls) => {
            let secured = Box::pin(async {
                if let Some(stream) = tls::accept(tls, stream, options.limits.head).await {
                    serve_stream(context, stream, shared, &options.limits).await;
                }
            });
            secured.await;
        }
    }
}

async fn serve_stream<S: Site, T: AsyncRead + AsyncWrite + Unpin + 'static>(
    context: Rc<service::Context<S>>,
    stream: T,
    shared: Rc<Shared>,
    limits: &Limits,
) {
    let guard = Guard::new(stream, limits.head_bytes, Rc::clone(&shared));
    let service =
        hyper::service::service_fn(|request| service::answer(Rc::clone(&context), Rc::clone(&shared), request));
    let connection = hyper::server::conn::http1::Builder::new()
        .half_close(false)
        .header_read_timeout(None)
        .writev(true)
        .serve_connection(guard, service);
    connection::drive(connection, &shared, limits).await;
}
