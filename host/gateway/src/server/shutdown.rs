//! How the server is asked to stop serving, from any thread.

use std::sync::Arc;

use tokio::sync::watch;

/// How far the server is on its way out. It never goes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Serving,
    /// Another process accepts on the same sockets. Open connections are served on, each to the end of its next reply.
    HandedOver,
    /// No further calls, neither on open connections nor on new ones.
    Draining,
}

/// Asks the server to stop.
#[derive(Clone, Debug)]
pub struct Shutdown(Arc<watch::Sender<Phase>>);

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown(Arc::new(watch::Sender::new(Phase::Serving)))
    }
}

impl Shutdown {
    /// No further calls, neither on open connections nor on new ones; calls under way go on for at most [`super::Limits::shutdown`].
    pub fn drain(&self) {
        self.advance(Phase::Draining);
    }

    /// Accepts no further connection, because another process does. Every open connection closes with its next reply, or after
    /// [`super::Limits::shutdown`] where its client asks for none; calls under way end by their own deadlines.
    pub fn hand_over(&self) {
        self.advance(Phase::HandedOver);
    }

    /// Whether calls are turned away.
    pub fn is_draining(&self) -> bool {
        *self.0.borrow() == Phase::Draining
    }

    pub(super) fn phases(&self) -> watch::Receiver<Phase> {
        self.0.subscribe()
    }

    fn advance(&self, to: Phase) {
        self.0.send_if_modified(|phase| {
            let on = *phase < to;
            if on {
                *phase = to;
            }
            on
        });
    }
}
