//! Calls without pause while something else is tested; what should not have happened to them is kept. What the calls are is the test's business.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sluice_tests::gateway::Gateway;

use crate::plugins_support::{asking, text_of};
use crate::support::{CHAT, DONE};

/// What a guard in the chain refuses.
pub(crate) const FORBIDDEN: &str = "the forbidden word";

#[derive(Default)]
pub(crate) struct Load {
    stop: AtomicBool,
    pub(crate) served: AtomicUsize,
    pub(crate) refused: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

/// Stops the load on drop, so that a failed check does not leave it calling for ever.
pub(crate) struct Stopper<'a>(&'a AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

impl Load {
    /// Asks `model` and expects the text `shown`, whole.
    pub(crate) fn clean(
        &self,
        gateway: &Gateway,
        model: &str,
        header: Option<(&str, &str)>,
        stream: bool,
        shown: &str,
    ) {
        let body = asking("a clean question", stream).replace("\"p/m\"", &format!("\"{model}\""));
        let headers: Vec<(&str, &str)> = [("content-type", "application/json")].into_iter().chain(header).collect();
        while !self.stop.load(Ordering::SeqCst) {
            let reply = gateway.call("POST", CHAT, &headers, body.as_bytes());
            let whole = reply.status == 200 && text_of(&reply) == shown && (!stream || reply.text().ends_with(DONE));
            if !whole {
                self.fail(format!("stream {stream}, {header:?}: {} {}", reply.status, reply.text()));
            }
            self.served.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// Asks what has to be refused, whole and streamed in turn.
    pub(crate) fn forbidden(&self, gateway: &Gateway) {
        while !self.stop.load(Ordering::SeqCst) {
            let stream = self.refused.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
            let reply = gateway.post(CHAT, asking(FORBIDDEN, stream));
            if reply.status != 400 || !reply.text().contains("content_filter") {
                self.fail(format!("not refused: {} {}", reply.status, reply.text()));
            }
        }
    }

    fn fail(&self, text: String) {
        self.failures.lock().unwrap().push(text);
    }

    pub(crate) fn stopper(&self) -> Stopper<'_> {
        Stopper(&self.stop)
    }

    /// Waits for one more call than there were.
    pub(crate) fn wait_more(&self, seen: usize) {
        sluice_tests::wait_for("another call", || (self.served.load(Ordering::SeqCst) > seen).then_some(()));
    }

    #[track_caller]
    pub(crate) fn is_clean(&self) {
        let failures = self.failures.lock().unwrap();
        assert!(failures.is_empty(), "{} calls failed: {:?}", failures.len(), failures.first());
    }
}
