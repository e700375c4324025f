//! The server over real sockets: a small site that does what a request's body says, and clients that write raw bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::needless_pass_by_value)]

mod framing;
mod life;
mod roads;

use std::io::{Read, Write};
use std::net::{Shutdown as Side, SocketAddr, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::mpsc::{self, Receiver, Sender};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use sluice_dialect::failure::{Blame, Failure};
use tokio::sync::watch;

use super::*;
use crate::exchange::{Inbound, Operation, Pump, ReplyBody};

/// Long enough for a loaded machine; only a hung test waits so long.
const LIMIT: Duration = Duration::from_secs(30);

struct TestSite {
    options: Arc<Options>,
    events: Sender<String>,
    release: watch::Receiver<bool>,
}

/// Says that a call or its reply was dropped before its end.
struct Tell(Sender<String>, &'static str);

impl Drop for Tell {
    fn drop(&mut self) {
        let _ = self.0.send(self.1.to_owned());
    }
}

/// Sends one piece, then nothing more; or pieces without end.
struct Source {
    first: Option<Bytes>,
    endless: bool,
    _tell: Tell,
}

impl Pump for Source {
    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self.first.take() {
            Some(bytes) => Poll::Ready(Some(bytes)),
            None if self.endless => Poll::Ready(Some(Bytes::from_static(&[b'x'; 16_384]))),
            None => Poll::Pending,
        }
    }
}

impl crate::exchange::Handler for TestSite {
    type Snapshot = Arc<Options>;

    async fn handle(self: Rc<Self>, _: Arc<Options>, inbound: Inbound) -> Reply {
        self.events.send("called".to_owned()).unwrap();
        if inbound.road.operation != Operation::Chat {
            return json(StatusCode::OK, format!("{:?} {:?}", inbound.road.operation, inbound.road.provider));
        }
        let source = |endless| {
            let tell = Tell(self.events.clone(), "stream dropped");
            let pump = Source { first: Some(Bytes::from_static(b"data: 1\n\n")), endless, _tell: tell };
            Reply::new(ReplyBody::Stream(Box::pin(pump)))
        };
        match &inbound.body[..] {
            b"hang" => {
                let _tell = Tell(self.events.clone(), "call dropped");
                std::future::pending().await
            }
            b"wait" => {
                let mut release = self.release.clone();
                release.wait_for(|release| *release).await.unwrap();
                json(StatusCode::OK, "released")
            }
            b"stream" => source(false),
            b"flood" => source(true),
            _ => {
                let mut reply = json(StatusCode::OK, inbound.body);
                reply.headers_mut().insert("x-caller", format!("{}", inbound.caller.is_some()).parse().unwrap());
                reply
            }
        }
    }
}

impl Site for TestSite {
    fn snapshot(&self) -> Arc<Options> {
        Arc::clone(&self.options)
    }

    fn options(snapshot: &Arc<Options>) -> &Arc<Options> {
        snapshot
    }

    fn admit(&self, _: &Arc<Options>, headers: &HeaderMap) -> Result<Option<Caller>, Failure> {
        match headers.get("authorization").map(http::HeaderValue::as_bytes) {
            Some(b"Bearer wrong") => {
                Err(Failure::new(Blame::Client, 401, "authentication_error", "invalid_api_key", "Unknown key."))
            }
            _ => Ok(None),
        }
    }

    fn administer(&self, _: &Arc<Options>, _: &HeaderMap) -> Result<bool, Failure> {
        Ok(false)
    }

    fn turned_away(&self, _: &Arc<Options>, _: &str, _: Instant, _: Option<&Road>, _: Option<&Caller>, _: &Failure) {}

    fn cut(&self) {}

    async fn settled(&self) {}

    fn page(&self, _: &Arc<Options>, page: Page, _: Option<&str>, _: &Bytes) -> Reply {
        json(StatusCode::OK, format!("{page:?}"))
    }
}

struct Server {
    address: SocketAddr,
    events: Receiver<String>,
    release: watch::Sender<bool>,
    shutdown: Shutdown,
    running: Option<Running>,
}

impl Server {
    fn start(limits: Limits) -> Server {
        Server::start_on(2, limits)
    }

    fn start_on(threads: usize, limits: Limits) -> Server {
        let listening = Listening::open(&[SocketAddr::from(([127, 0, 0, 1], 0))], threads, Vec::new()).unwrap();
        let address = listening.addresses()[0];
        let (events, received) = mpsc::channel();
        let (release, released) = watch::channel(false);
        let shutdown = Shutdown::default();
        let options = Arc::new(Options { limits, ..Options::default() });
        let running = serve(listening, &shutdown, move |_| {
            Ok(Rc::new(TestSite { options: Arc::clone(&options), events: events.clone(), release: released.clone() }))
        });
        Server { address, events: received, release, shutdown, running: Some(running.unwrap()) }
    }

    fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.set_write_timeout(Some(LIMIT)).unwrap();
        Client { stream, buffer: Vec::new() }
    }

    fn send(&self, bytes: impl AsRef<[u8]>) -> Client {
        let mut client = self.connect();
        client.send(bytes);
        client
    }

    fn expect(&self, event: &str) {
        assert_eq!(self.events.recv_timeout(LIMIT).as_deref(), Ok(event));
    }

    fn join(&mut self) {
        self.running.take().unwrap().join().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.drain();
    }
}

struct Client {
    stream: TcpStream,
    buffer: Vec<u8>,
}

struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn has(&self, line: &str) -> bool {
        self.head.to_ascii_lowercase().contains(&format!("\r\n{line}\r\n"))
    }

    /// The error's code, after checking that it has OpenAI's four keys.
    fn code(&self) -> String {
        let value: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        let error = value["error"].as_object().unwrap_or_else(|| panic!("no error in {}", self.body));
        for key in ["message", "type", "param", "code"] {
            assert!(error.contains_key(key), "{key} is missing in {}", self.body);
        }
        assert!(self.head.to_ascii_lowercase().contains("\r\nx-request-id: "), "{}", self.head);
        error["code"].as_str().unwrap().to_owned()
    }
}

impl Client {
    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Reads more; false at the connection's end.
    fn fill(&mut self) -> bool {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(count) => {
                self.buffer.extend_from_slice(&chunk[..count]);
                count > 0
            }
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("nothing came: {error}"),
        }
    }

    fn until(&mut self, mark: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.buffer.windows(mark.len()).position(|window| window == mark) {
                return self.buffer.drain(..at + mark.len()).collect();
            }
            assert!(self.fill(), "closed before {:?}: {:?}", mark, String::from_utf8_lossy(&self.buffer));
        }
    }

    fn head(&mut self) -> (u16, String) {
        let head = String::from_utf8(self.until(b"\r\n\r\n")).unwrap();
        (head[9..12].parse().unwrap(), head)
    }

    fn answer(&mut self) -> Answer {
        let (status, head) = self.head();
        let length =
            head.to_ascii_lowercase().lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.unwrap_or(0);
        while self.buffer.len() < length {
            assert!(self.fill(), "closed within a body");
        }
        let body = String::from_utf8(self.buffer.drain(..length).collect()).unwrap();
        Answer { status, head, body }
    }

    /// Nothing more comes, and the connection ends.
    fn closed(&mut self) {
        while self.fill() {}
        assert!(self.buffer.is_empty(), "left over: {:?}", String::from_utf8_lossy(&self.buffer));
    }

    /// Closes the client's side only.
    fn finish(&self) {
        self.stream.shutdown(Side::Write).unwrap();
    }
}

fn chat(body: &str) -> String {
    chat_with("", body)
}

fn chat_with(fields: &str, body: &str) -> String {
    format!(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n{fields}content-length: {}\r\n\r\n{body}",
        body.len()
    )
}
