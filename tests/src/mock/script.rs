//! What the mock provider does with one request, as a list of steps over raw bytes.
//!
//! The builders write the bytes of usual replies; anything unusual (a lying length, bytes after the end) is a `write`. A script knows
//! nothing of the request; where the reply depends on it, register a function (`Mock::on`).

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

/// Holds a script at a step until the test opens it, so that no test has to sleep. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<watch::Sender<bool>>);

impl Default for Gate {
    fn default() -> Gate {
        Gate(Arc::new(watch::Sender::new(false)))
    }
}

impl Gate {
    pub fn new() -> Gate {
        Gate::default()
    }

    /// For good: whoever waits or will wait goes on.
    pub fn open(&self) {
        self.0.send_replace(true);
    }

    pub(super) async fn opened(&self) {
        self.0.subscribe().wait_for(|open| *open).await.ok();
    }
}

#[derive(Clone, Debug)]
pub enum Step {
    Write(Bytes),
    /// Scripted latency of the provider.
    Delay(Duration),
    Wait(Gate),
    /// Nothing more until the peer closes.
    Stall,
    /// Writes these bytes again and again, that far apart, until the peer closes.
    Forever(Bytes, Duration),
    /// Ends the sending side only.
    HalfClose,
    /// Ends the connection with FIN.
    Close,
    /// Ends the connection with RST; what was written before may be lost, as in life.
    Reset,
}

/// What to do with one request. After the last step the connection is kept for the next request unless a step ended it.
#[derive(Clone, Debug, Default)]
pub struct Script {
    pub steps: Vec<Step>,
    /// Start before the request's body has been read.
    pub early: bool,
}

impl Script {
    pub fn new() -> Script {
        Script::default()
    }

    /// A whole JSON reply with its length.
    pub fn json(status: u16, body: impl AsRef<[u8]>) -> Script {
        Script::whole(status, &[("content-type", "application/json")], body)
    }

    /// A whole reply with its length, head and body in one write.
    pub fn whole(status: u16, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Script {
        let body = body.as_ref();
        let length = body.len().to_string();
        let mut headers = headers.to_vec();
        headers.push(("content-length", &length));
        let mut bytes = head(status, &headers);
        bytes.extend_from_slice(body);
        Script::new().write(bytes)
    }

    /// A 200 event stream in chunked framing, one chunk and one write per piece, properly ended.
    pub fn sse<P: AsRef<[u8]>>(pieces: impl IntoIterator<Item = P>) -> Script {
        pieces.into_iter().fold(Script::sse_head(), |script, piece| script.chunk(piece)).end_chunks()
    }

    /// Only the head of such a stream.
    pub fn sse_head() -> Script {
        Script::new().head(200, &[("content-type", "text/event-stream"), ("transfer-encoding", "chunked")])
    }

    pub fn head(self, status: u16, headers: &[(&str, &str)]) -> Script {
        self.write(head(status, headers))
    }

    pub fn write(mut self, bytes: impl Into<Vec<u8>>) -> Script {
        self.steps.push(Step::Write(Bytes::from(bytes.into())));
        self
    }

    /// One chunk of chunked framing; an empty one is left out, because it would end the body.
    pub fn chunk(self, data: impl AsRef<[u8]>) -> Script {
        let framed = chunk(data.as_ref());
        if framed.is_empty() { self } else { self.write(framed) }
    }

    pub fn end_chunks(self) -> Script {
        self.write(&b"0\r\n\r\n"[..])
    }

    pub fn step(mut self, step: Step) -> Script {
        self.steps.push(step);
        self
    }

    pub fn delay(self, time: Duration) -> Script {
        self.step(Step::Delay(time))
    }

    pub fn wait(self, gate: &Gate) -> Script {
        self.step(Step::Wait(gate.clone()))
    }

    pub fn stall(self) -> Script {
        self.step(Step::Stall)
    }

    pub fn forever(self, bytes: impl AsRef<[u8]>, apart: Duration) -> Script {
        let framed = chunk(bytes.as_ref());
        self.step(Step::Forever(Bytes::from(framed), apart))
    }

    pub fn close(self) -> Script {
        self.step(Step::Close)
    }

    pub fn reset(self) -> Script {
        self.step(Step::Reset)
    }

    pub fn early(mut self) -> Script {
        self.early = true;
        self
    }
}

/// A reply head with the blank line.
pub fn head(status: u16, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut out = format!("HTTP/1.1 {status} Scripted\r\n");
    for (name, value) in headers {
        out.push_str(name);
        out.push_str(": ");
        out.push_str(value);
        out.push_str("\r\n");
    }
    out.push_str("\r\n");
    out.into_bytes()
}

/// `data` in chunk framing; nothing for no data.
pub fn chunk(data: &[u8]) -> Vec<u8> {
    if data.is_empty() {
        return Vec::new();
    }
    let mut out = format!("{:x}\r\n", data.len()).into_bytes();
    out.extend_from_slice(data);
    out.extend_from_slice(b"\r\n");
    out
}
