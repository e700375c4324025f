//! A provider that speaks HTTP/2 frame by frame, so that a test can say exactly what it does with one stream: refuse it, cut it, go away
//! before it. With TLS or without; by HTTP/1.1 where that is what it offers.
//!
//! One thread a connection. It knows as much of HTTP/2 as its replies need: no header of a request is decoded.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::support::{DONE, finish_event, role_event, text_event};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Between two looks at what tests have opened.
const TICK: Duration = Duration::from_millis(5);

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// What happens to one call, once its body is there.
#[derive(Clone, Debug)]
pub(crate) enum Act {
    /// A whole JSON reply.
    Reply(String),
    /// The same once the test has opened the mock.
    Held(String),
    /// The beginning of an event stream with this text, and its end once the test has opened the mock.
    Begun(String),
    /// The beginning of an event stream, then the reset of its stream.
    Cut(String),
    /// The beginning of an event stream, then no more calls and the end of the connection.
    Left(String),
    /// REFUSED_STREAM.
    Refuse,
    /// HTTP_1_1_REQUIRED.
    Downgrade,
    /// No more calls than those before this one, and the end of the connection.
    GoAway,
    /// The end of the connection without a word.
    Close,
    Nothing,
}

/// What the mock saw, in its order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Connection(usize),
    Call { connection: usize, stream: u32 },
    Reset { connection: usize, stream: u32, code: u32 },
    Closed(usize),
}

type Script = dyn Fn(usize) -> Act + Send + Sync;

struct State {
    script: Box<Script>,
    seen: Mutex<Vec<Seen>>,
    open: AtomicBool,
    /// Calls that have not ended, by connection, and the most there were.
    load: Mutex<Vec<(usize, usize)>>,
}

pub(crate) struct Frames {
    pub(crate) address: SocketAddr,
    state: Arc<State>,
}

/// An authority and what it signed for `name`; the authority's file lies in the folder.
pub(crate) fn identity(folder: &Path, name: &str, protocols: &[&str]) -> (Arc<ServerConfig>, PathBuf) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let file = folder.join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let private = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
    (Arc::new(config), file)
}

impl Frames {
    /// `script` gets the number of the call, counted from 0 over all connections.
    pub(crate) fn start(
        tls: Option<Arc<ServerConfig>>,
        script: impl Fn(usize) -> Act + Send + Sync + 'static,
    ) -> Frames {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            script: Box::new(script),
            seen: Mutex::default(),
            open: AtomicBool::new(false),
            load: Mutex::default(),
        });
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let (state, tls, stream) = (Arc::clone(&shared), tls.clone(), stream.unwrap());
                std::thread::spawn(move || {
                    stream.set_nodelay(true).unwrap();
                    serve(number, stream, tls, &state).ok();
                    state.see(Seen::Closed(number));
                });
            }
        });
        Frames { address, state }
    }

    /// What was held goes on.
    pub(crate) fn open(&self) {
        self.state.open.store(true, Ordering::SeqCst);
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }

    pub(crate) fn calls(&self) -> usize {
        self.seen().iter().filter(|seen| matches!(seen, Seen::Call { .. })).count()
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen().iter().filter(|seen| matches!(seen, Seen::Connection(_))).count()
    }

    /// The most calls at once on each connection that had any.
    pub(crate) fn most(&self) -> Vec<usize> {
        self.state.load.lock().unwrap().iter().map(|(_, most)| *most).filter(|most| *most > 0).collect()
    }
}

impl State {
    fn see(&self, seen: Seen) {
        self.seen.lock().unwrap().push(seen);
    }

    fn begin(&self, connection: usize, stream: u32) -> Act {
        let number = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(Seen::Call { connection, stream });
            seen.iter().filter(|seen| matches!(seen, Seen::Call { .. })).count() - 1
        };
        let mut load = self.load.lock().unwrap();
        if load.len() <= connection {
            load.resize(connection + 1, (0, 0));
        }
        let (now, most) = &mut load[connection];
        *now += 1;
        *most = (*most).max(*now);
        (self.script)(number)
    }

    fn end(&self, connection: usize) {
        self.load.lock().unwrap()[connection].0 -= 1;
    }
}

trait Duplex: Read + Write {}
impl<T: Read + Write> Duplex for T {}

fn serve(number: usize, stream: TcpStream, tls: Option<Arc<ServerConfig>>, state: &State) -> io::Result<()> {
    let Some(tls) = tls else {
        state.see(Seen::Connection(number));
        stream.set_read_timeout(Some(TICK))?;
        return Peer { number, stream: Box::new(stream), buffer: Vec::new(), held: Vec::new() }.frames(state);
    };
    let mut stream = StreamOwned::new(ServerConnection::new(tls).unwrap(), stream);
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock)?;
    }
    state.see(Seen::Connection(number));
    stream.sock.set_read_timeout(Some(TICK))?;
    let two = stream.conn.alpn_protocol() == Some(b"h2");
    let mut peer = Peer { number, stream: Box::new(stream), buffer: Vec::new(), held: Vec::new() };
    if two { peer.frames(state) } else { peer.lines(state) }
}

struct Peer {
    number: usize,
    stream: Box<dyn Duplex>,
    buffer: Vec<u8>,
    held: Vec<(u32, Act)>,
}

impl Peer {
    /// Reads until there are so many bytes; looks after what is held meanwhile.
    fn take(&mut self, count: usize, state: &State) -> io::Result<Vec<u8>> {
        let mut part = [0; 16 * 1024];
        while self.buffer.len() < count {
            match self.stream.read(&mut part) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(read) => self.buffer.extend_from_slice(&part[..read]),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    self.release(state)?;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(self.buffer.drain(..count).collect())
    }

    fn release(&mut self, state: &State) -> io::Result<()> {
        if !state.open.load(Ordering::SeqCst) {
            return Ok(());
        }
        for (stream, act) in std::mem::take(&mut self.held) {
            match act {
                Act::Held(body) => self.reply(stream, &body)?,
                _ => self.frame(DATA, END_STREAM, stream, format!("{}{DONE}", finish_event()).as_bytes())?,
            }
            state.end(self.number);
        }
        Ok(())
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> io::Result<()> {
        let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags];
        bytes.extend_from_slice(&stream.to_be_bytes());
        bytes.extend_from_slice(payload);
        self.stream.write_all(&bytes)?;
        self.stream.flush()
    }

    /// The head of a 200, without compression.
    fn head(&mut self, stream: u32, content_type: &str) -> io::Result<()> {
        let mut block = vec![0x88, 0x00];
        for text in ["content-type", content_type] {
            block.push(u8::try_from(text.len()).unwrap());
            block.extend_from_slice(text.as_bytes());
        }
        self.frame(HEADERS, END_HEADERS, stream, &block)
    }

    fn reply(&mut self, stream: u32, body: &str) -> io::Result<()> {
        self.head(stream, "application/json")?;
        self.frame(DATA, END_STREAM, stream, body.as_bytes())
    }

    fn begun(&mut self, stream: u32, text: &str) -> io::Result<()> {
        self.head(stream, "text/event-stream")?;
        self.frame(DATA, 0, stream, format!("{}{}", role_event(), text_event(text)).as_bytes())
    }

    fn go_away(&mut self, last: u32) -> io::Result<()> {
        self.frame(GO_AWAY, 0, 0, &[last.to_be_bytes(), [0; 4]].concat())
    }

    fn frames(&mut self, state: &State) -> io::Result<()> {
        if self.take(PREFACE.len(), state)? != PREFACE {
            return Err(io::ErrorKind::InvalidData.into());
        }
        self.frame(SETTINGS, 0, 0, &[])?;
        loop {
            let head = self.take(9, state)?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let (kind, flags) = (head[3], head[4]);
            let stream = u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]);
            let payload = self.take(length, state)?;
            match kind {
                SETTINGS if flags == 0 => self.frame(SETTINGS, 1, 0, &[])?,
                PING if flags == 0 => self.frame(PING, 1, 0, &payload)?,
                GO_AWAY => return Ok(()),
                RESET => {
                    let code = u32::from_be_bytes(payload[..4].try_into().unwrap());
                    state.see(Seen::Reset { connection: self.number, stream, code });
                    self.held.retain(|(held, _)| *held != stream);
                    state.end(self.number);
                }
                HEADERS | DATA if flags & END_STREAM != 0 => {
                    let act = state.begin(self.number, stream);
                    if !self.act(stream, act, state)? {
                        return Ok(());
                    }
                }
                _ => {}
            }
        }
    }

    /// False where the connection ends.
    fn act(&mut self, stream: u32, act: Act, state: &State) -> io::Result<bool> {
        match act {
            Act::Reply(body) => self.reply(stream, &body)?,
            Act::Begun(text) => {
                self.begun(stream, &text)?;
                self.held.push((stream, Act::Begun(text)));
                return Ok(true);
            }
            Act::Held(_) | Act::Nothing => {
                if let Act::Held(_) = act {
                    self.held.push((stream, act));
                }
                return Ok(true);
            }
            Act::Cut(text) => {
                self.begun(stream, &text)?;
                self.frame(RESET, 0, stream, &2u32.to_be_bytes())?;
            }
            Act::Left(text) => {
                self.begun(stream, &text)?;
                self.go_away(stream)?;
                return Ok(false);
            }
            Act::Refuse => self.frame(RESET, 0, stream, &7u32.to_be_bytes())?,
            Act::Downgrade => self.frame(RESET, 0, stream, &13u32.to_be_bytes())?,
            Act::GoAway => {
                self.go_away(stream.saturating_sub(2))?;
                return Ok(false);
            }
            Act::Close => return Ok(false),
        }
        state.end(self.number);
        Ok(true)
    }

    /// HTTP/1.1, whole replies only.
    fn lines(&mut self, state: &State) -> io::Result<()> {
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.extend(self.take(1, state)?);
            }
            let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            self.take(length.map_or(0, |text| text.parse().unwrap()), state)?;
            let (Act::Reply(body) | Act::Held(body)) = state.begin(self.number, 0) else { return Ok(()) };
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length:";
            write!(self.stream, "{head} {}\r\n\r\n{body}", body.len())?;
            self.stream.flush()?;
            state.end(self.number);
        }
    }
}
