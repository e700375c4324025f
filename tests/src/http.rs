//! A blocking HTTP/1.1 client that keeps every byte it saw, and the head parser that it shares with the mock provider.
//!
//! It exists because tests of "byte for byte" and of broken framing cannot stand on a client that repairs what it reads. It speaks no TLS
//! and follows nothing.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use crate::LIMIT;

/// A request's or reply's head: the raw bytes with the blank line, and the same split up.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub raw: Vec<u8>,
    /// Request or status line.
    pub first: String,
    /// In order, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Head {
    /// Parses `raw`, which ends with the blank line. Lines without a colon are kept with an empty value: judging is the test's job.
    pub fn parse(raw: &[u8]) -> Head {
        let text = String::from_utf8_lossy(raw);
        let mut lines = text.split("\r\n");
        let first = lines.next().unwrap_or_default().to_owned();
        let headers = lines
            .filter(|line| !line.is_empty())
            .map(|line| line.split_once(':').unwrap_or((line, "")))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        Head { raw: raw.to_vec(), first, headers }
    }

    pub fn get(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    pub fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    pub fn chunked(&self) -> bool {
        self.get("transfer-encoding").is_some_and(|value| value.to_ascii_lowercase().contains("chunked"))
    }

    pub fn length(&self) -> Option<usize> {
        self.get("content-length").and_then(|value| value.parse().ok())
    }

    /// The status of a reply; 0 where the line is not a status line.
    pub fn status(&self) -> u16 {
        self.first.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or(0)
    }
}

/// The end of the head in `bytes`, behind its blank line.
pub fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|window| window == b"\r\n\r\n").map(|at| at + 4)
}

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By its own framing: the announced length, or the last chunk.
    Proper,
    /// By the end of the connection, for a body that announces neither.
    Close,
    /// The connection ended before the framing did.
    Cut,
}

/// A whole reply.
#[derive(Clone, Debug)]
pub struct Reply {
    pub head: Head,
    pub status: u16,
    /// Chunk framing removed.
    pub body: Vec<u8>,
    /// Sizes of the chunks as framed; empty without chunked framing.
    pub chunks: Vec<usize>,
    pub end: End,
    /// Heads of interim replies that came before.
    pub interim: Vec<Head>,
}

impl Reply {
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("not JSON ({error}): {}", self.text()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.get(name)
    }
}

#[derive(Clone, Copy, Debug)]
enum Framing {
    None,
    Length(usize),
    Chunked,
    Close,
}

/// One connection. Every read waits at most [`LIMIT`].
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    framing: Framing,
    chunks: Vec<usize>,
    end: Option<End>,
}

impl Connection {
    pub fn open(address: SocketAddr) -> Connection {
        Connection::try_open(address).expect("cannot connect")
    }

    /// For a peer that may have stopped listening.
    pub fn try_open(address: SocketAddr) -> io::Result<Connection> {
        let stream = TcpStream::connect_timeout(&address, LIMIT)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LIMIT))?;
        Ok(Connection { stream, buffer: Vec::new(), framing: Framing::None, chunks: Vec::new(), end: None })
    }

    /// Bounds each later read; for tests that expect silence.
    pub fn read_timeout(&self, limit: Duration) {
        self.stream.set_read_timeout(Some(limit)).expect("read timeout");
    }

    /// Sends all of `bytes`. A peer that has closed is no failure here: its reply, already sent, is what the test wants to read.
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).ok();
    }

    /// Says "no more from me" and keeps reading.
    pub fn half_close(&self) {
        self.stream.shutdown(Shutdown::Write).ok();
    }

    fn fill(&mut self) -> io::Result<usize> {
        let mut space = [0u8; 16 * 1024];
        match self.stream.read(&mut space) {
            Ok(count) => {
                self.buffer.extend_from_slice(&space[..count]);
                Ok(count)
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                panic!(
                    "no byte for {:?}; so far: {:?}",
                    self.stream.read_timeout(),
                    String::from_utf8_lossy(&self.buffer)
                )
            }
            // A reset peer has nothing more to say, like a closed one.
            Err(_) => Ok(0),
        }
    }

    /// The next head, interim ones included; `None` where the connection ended first.
    pub fn read_head(&mut self) -> Option<Head> {
        loop {
            if let Some(end) = head_end(&self.buffer) {
                let raw: Vec<u8> = self.buffer.drain(..end).collect();
                let head = Head::parse(&raw);
                self.framing = match head.status() {
                    100..=199 | 204 | 304 => Framing::None,
                    _ if head.chunked() => Framing::Chunked,
                    _ => head.length().map_or(Framing::Close, Framing::Length),
                };
                self.chunks.clear();
                self.end = None;
                return Some(head);
            }
            if self.fill().ok()? == 0 {
                return None;
            }
        }
    }

    /// The next piece of the body: a chunk, or what has arrived. `None` at its end; [`Connection::end`] says which.
    pub fn read_piece(&mut self) -> Option<Vec<u8>> {
        if self.end.is_some() {
            return None;
        }
        match self.framing {
            Framing::None | Framing::Length(0) => self.finish(End::Proper),
            Framing::Length(left) => {
                if self.buffer.is_empty() && self.fill().unwrap_or(0) == 0 {
                    return self.finish(End::Cut);
                }
                let take = left.min(self.buffer.len());
                self.framing = Framing::Length(left - take);
                Some(self.buffer.drain(..take).collect())
            }
            Framing::Close => {
                if self.buffer.is_empty() && self.fill().unwrap_or(0) == 0 {
                    return self.finish(End::Close);
                }
                Some(std::mem::take(&mut self.buffer))
            }
            Framing::Chunked => self.read_chunk(),
        }
    }

    fn finish(&mut self, end: End) -> Option<Vec<u8>> {
        self.end = Some(end);
        None
    }

    fn read_chunk(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Some(line) = self.buffer.windows(2).position(|pair| pair == b"\r\n") {
                let word = String::from_utf8_lossy(&self.buffer[..line]).into_owned();
                let word = word.split(';').next().unwrap_or_default().trim().to_owned();
                let size = usize::from_str_radix(&word, 16).unwrap_or_else(|_| panic!("bad chunk size {word:?}"));
                if self.buffer.len() >= line + 2 + size + 2 {
                    let data = self.buffer[line + 2..line + 2 + size].to_vec();
                    assert_eq!(&self.buffer[line + 2 + size..line + 4 + size], b"\r\n", "chunk without its line end");
                    self.buffer.drain(..line + 4 + size);
                    if size == 0 {
                        return self.finish(End::Proper);
                    }
                    self.chunks.push(size);
                    return Some(data);
                }
            }
            if self.fill().unwrap_or(0) == 0 {
                return self.finish(End::Cut);
            }
        }
    }

    pub fn end(&self) -> Option<End> {
        self.end
    }

    /// Reads pieces of the body until `enough` of what has come; panics where the body ends before.
    pub fn read_until(&mut self, body: &mut Vec<u8>, enough: impl Fn(&[u8]) -> bool) {
        while !enough(body) {
            match self.read_piece() {
                Some(piece) => body.extend_from_slice(&piece),
                None => panic!("body ended ({:?}) at: {}", self.end, String::from_utf8_lossy(body)),
            }
        }
    }

    /// The rest of the body.
    pub fn read_rest(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        while let Some(piece) = self.read_piece() {
            body.extend_from_slice(&piece);
        }
        body
    }

    /// A whole reply; `None` where the connection ended without one.
    pub fn try_reply(&mut self) -> Option<Reply> {
        let mut interim = Vec::new();
        let head = loop {
            let head = self.read_head()?;
            if !(100..200).contains(&head.status()) {
                break head;
            }
            interim.push(head);
        };
        let body = self.read_rest();
        let end = self.end.unwrap_or(End::Cut);
        Some(Reply { status: head.status(), head, body, chunks: self.chunks.clone(), end, interim })
    }

    pub fn reply(&mut self) -> Reply {
        self.try_reply().expect("the connection ended without a reply")
    }

    /// Whether the peer closes, within [`LIMIT`], without another byte.
    pub fn closed(&mut self) -> bool {
        self.buffer.is_empty() && self.fill().unwrap_or(0) == 0
    }
}

/// A request as bytes. `host`, and `content-length` where there is a body, are added unless `headers` has them.
pub fn request(method: &str, path: &str, host: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut out = format!("{method} {path} HTTP/1.1\r\n").into_bytes();
    let has = |name: &str| headers.iter().any(|(key, _)| key.eq_ignore_ascii_case(name));
    if !has("host") {
        out.extend_from_slice(format!("host: {host}\r\n").as_bytes());
    }
    if !body.is_empty() && !has("content-length") && !has("transfer-encoding") {
        out.extend_from_slice(format!("content-length: {}\r\n", body.len()).as_bytes());
    }
    for (name, value) in headers {
        out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out
}
