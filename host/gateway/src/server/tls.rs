//! The beginning of a client's connection over TLS: one handshake, within its time.
//!
//! What is shown is the configuration's; what is said afterwards is HTTP/1.1 under the same guard as without TLS. HTTP/2 is not offered to
//! clients: the guard counts the bytes of one request at a time.

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// The type of a TLS record that holds a handshake: no HTTP request begins with it.
const HANDSHAKE: u8 = 0x16;

/// What somebody gets who speaks plain HTTP here. Closing without a word would look like a broken network.
const PLAIN: &str = "{\"error\":{\"message\":\"This address speaks TLS: call it by https:// instead of http://.\",\
                     \"type\":\"invalid_request_error\",\"param\":null,\"code\":\"tls_required\"}}\n";

/// How much of a plain request is read away, so that its sender sees the reply instead of a reset.
const READ_AWAY: usize = 64 * 1024;

/// The connection once it is secured; `None` where it never will be, which is worth no more than a debug line: anybody may knock.
/// `limit` bounds all of it.
pub(super) async fn accept(
    show: &Arc<ServerConfig>,
    stream: TcpStream,
    limit: Duration,
) -> Option<TlsStream<TcpStream>> {
    let secured = async {
        let mut first = [0];
        if stream.peek(&mut first).await.is_ok_and(|count| count > 0) && first != [HANDSHAKE] {
            refuse(stream).await;
            return None;
        }
        match TlsAcceptor::from(Arc::clone(show)).accept(stream).await {
            Ok(stream) => Some(stream),
            Err(error) => {
                tracing::debug!(%error, "no TLS with a client");
                None
            }
        }
    };
    tokio::time::timeout(limit, secured).await.unwrap_or_default()
}

async fn refuse(mut stream: TcpStream) {
    let length = PLAIN.len();
    let head = "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\nconnection: close\r\n";
    let reply = format!("{head}content-length: {length}\r\n\r\n{PLAIN}");
    if stream.write_all(reply.as_bytes()).await.is_err() || stream.shutdown().await.is_err() {
        return;
    }
    let mut bytes = [0; 4096];
    let mut left = READ_AWAY;
    while let Ok(count @ 1..) = stream.read(&mut bytes).await {
        left = left.saturating_sub(count);
        if left == 0 {
            return;
        }
    }
}
