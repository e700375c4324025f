//! Clients that call without pause beside whatever a test does to the gateway, and to which nothing may fail.

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sluice_tests::gateway::Gateway;
use sluice_tests::http::{Connection, Reply, request};
use sluice_tests::wait_for;

use crate::support::{CHAT, body};

/// What the loops have seen.
pub(crate) struct Loop {
    stop: AtomicBool,
    served: AtomicUsize,
    failures: Mutex<Vec<String>>,
}

impl Loop {
    /// Runs loops beside `work`: one that keeps its connection as long as the gateway does, and one with a connection for each call, whole
    /// and streamed. At the end nothing has failed, and there was something that could have, before and after.
    pub(crate) fn beside(gateway: &Gateway, model: &str, headers: &[(&str, &str)], work: impl FnOnce()) {
        struct Stop<'a>(&'a AtomicBool);
        impl Drop for Stop<'_> {
            fn drop(&mut self) {
                self.0.store(true, Ordering::SeqCst);
            }
        }
        let calls = Loop { stop: AtomicBool::new(false), served: AtomicUsize::new(0), failures: Mutex::default() };
        let (address, host) = (gateway.address, gateway.host());
        let mut headers = headers.to_vec();
        headers.push(("content-type", "application/json"));
        let message = request("POST", CHAT, &host, &headers, body(model, false).as_bytes());
        std::thread::scope(|scope| {
            let _stop = Stop(&calls.stop);
            scope.spawn(|| calls.kept(address, &message));
            scope.spawn(|| calls.single(address, &message));
            calls.more("before");
            work();
            calls.more("after");
        });
        let failures = calls.failures.into_inner().unwrap();
        assert!(failures.is_empty(), "{} of {} failed: {}", failures.len(), calls.served.into_inner(), failures[0]);
    }

    fn more(&self, when: &str) {
        let enough = self.served.load(Ordering::SeqCst) + 4;
        wait_for(&format!("calls {when} the change"), || (self.served.load(Ordering::SeqCst) > enough).then_some(()));
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }

    fn count(&self, what: &str, reply: Option<&Reply>) {
        match reply {
            Some(reply) if reply.status == 200 => drop(self.served.fetch_add(1, Ordering::SeqCst)),
            Some(reply) => self.fail(format!("{what}: {} {}", reply.status, reply.text())),
            None => self.fail(format!("{what}: no reply")),
        }
    }

    fn fail(&self, why: String) {
        self.failures.lock().unwrap().push(why);
    }

    fn open(&self, address: SocketAddr) -> Option<Connection> {
        Connection::try_open(address).map_err(|error| self.fail(format!("no connection: {error}"))).ok()
    }

    /// A well-behaved client: it opens another connection where the gateway says that this one closes, and only there.
    fn kept(&self, address: SocketAddr, message: &[u8]) {
        let mut connection = self.open(address);
        while let Some(open) = connection.as_mut().filter(|_| self.goes_on()) {
            open.send(message);
            let reply = open.try_reply();
            self.count("kept connection", reply.as_ref());
            if reply.is_none_or(|reply| reply.header("connection") == Some("close")) {
                connection = self.open(address);
            }
        }
    }

    fn single(&self, address: SocketAddr, message: &[u8]) {
        while self.goes_on() {
            if let Some(mut connection) = self.open(address) {
                connection.send(message);
                self.count("new connection", connection.try_reply().as_ref());
            }
        }
    }
}
