//! Addresses at which no provider answers: one that refuses, one that never takes a connection, one whose TLS is none.
//!
//! Each holds its port for as long as it lives, so that no other test's provider can turn up there. For providers that answer badly there
//! is the scripted one (`mock`).

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::LIMIT;

/// What a connection that is not taken is given before it counts as that. On one machine a handshake takes microseconds.
const UNANSWERED: Duration = Duration::from_millis(250);

/// An address, and what keeps it as it is.
#[derive(Debug)]
pub struct Unreachable {
    address: SocketAddr,
    _socket: Option<Socket>,
    _held: Vec<TcpStream>,
}

impl Unreachable {
    /// Nobody listens: a connection is refused at once.
    pub fn refused() -> Unreachable {
        let (socket, address) = bound();
        Unreachable { address, _socket: Some(socket), _held: Vec::new() }
    }

    /// A listener whose queue is full: no handshake is answered, as with a host that is gone.
    pub fn blackholed() -> Unreachable {
        let (socket, address) = bound();
        socket.listen(0).expect("a listener");
        let mut held = Vec::new();
        while let Ok(stream) = TcpStream::connect_timeout(&address, UNANSWERED) {
            held.push(stream);
            assert!(held.len() < 1000, "the queue never fills");
        }
        Unreachable { address, _socket: Some(socket), _held: held }
    }

    /// Answers every handshake of TLS in plain words.
    pub fn without_tls() -> Unreachable {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a listener");
        let address = listener.local_addr().expect("the listener's address");
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                stream.set_read_timeout(Some(LIMIT)).ok();
                let mut hello = [0; 4096];
                if stream.read(&mut hello).is_ok() {
                    stream
                        .write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
                        .ok();
                }
            }
        });
        Unreachable { address, _socket: None, _held: Vec::new() }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

fn bound() -> (Socket, SocketAddr) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a port");
    let address = socket.local_addr().ok().and_then(|address| address.as_socket()).expect("the socket's address");
    (socket, address)
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use super::*;

    #[test]
    fn each_fails_in_its_own_way() {
        let refused = Unreachable::refused();
        let error = TcpStream::connect_timeout(&refused.address(), LIMIT).expect_err("refused");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        let blackholed = Unreachable::blackholed();
        let error = TcpStream::connect_timeout(&blackholed.address(), UNANSWERED).expect_err("silence");
        assert!(matches!(error.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock), "{error}");
        let plain = Unreachable::without_tls();
        let mut stream = TcpStream::connect(plain.address()).unwrap();
        stream.write_all(b"\x16\x03\x01").unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 400"));
    }
}
