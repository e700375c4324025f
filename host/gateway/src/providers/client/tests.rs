//! The client against providers that are scripts over raw sockets: every reuse, loss, delay and proxy byte by byte.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;

use http_body_util::BodyExt as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

use super::*;
use crate::config::{Proxy, Secret};

/// Long enough for a loaded machine; only a hung test waits so long.
const LIMIT: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(150);
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A provider: `script` gets each connection with its number, counted from 0.
struct Mock {
    address: SocketAddr,
    events: UnboundedReceiver<String>,
}

impl Mock {
    fn start(script: impl Fn(usize, &mut Peer<TcpStream>) + Send + Sync + 'static) -> Mock {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, events) = mpsc::unbounded_channel();
        let script = Arc::new(script);
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let stream = stream.unwrap();
                stream.set_read_timeout(Some(LIMIT)).unwrap();
                let mut peer = Peer { stream, events: sender.clone() };
                let _ = peer.events.send(format!("connection {number}"));
                let script = Arc::clone(&script);
                std::thread::spawn(move || script(number, &mut peer));
            }
        });
        Mock { address, events }
    }

    async fn expect(&mut self, event: &str) {
        assert_eq!(self.events.recv().await.as_deref(), Some(event));
    }

    /// What happened, once the client is gone.
    fn saw(&mut self, events: &[&str]) {
        for event in events {
            run(self.expect(event));
        }
    }

    fn quiet(&mut self) {
        assert_eq!(self.events.try_recv().ok(), None);
    }

    fn url(&self) -> String {
        format!("http://{}/v1/chat/completions", self.address)
    }
}

struct Peer<S> {
    stream: S,
    events: UnboundedSender<String>,
}

impl<S: std::io::Read + std::io::Write> Peer<S> {
    /// Reads one request and tells its first line; `None` at the end.
    fn request(&mut self) -> Option<String> {
        let mut bytes = Vec::new();
        let mut byte = [0];
        while !bytes.ends_with(b"\r\n\r\n") {
            if self.stream.read(&mut byte).unwrap_or(0) == 0 {
                let _ = self.events.send("closed".to_owned());
                return None;
            }
            bytes.push(byte[0]);
        }
        let head = String::from_utf8(bytes).unwrap();
        let length =
            head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body).unwrap();
        let _ = self.events.send(head.lines().next().unwrap().to_owned());
        Some(head)
    }

    fn say(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
        self.stream.flush().unwrap();
    }
}

const LINE: &str = "POST /v1/chat/completions HTTP/1.1";

fn run<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(LIMIT, work).await.unwrap() })
}

fn client(network: &Network) -> Client {
    Client::new(network).unwrap()
}

fn request(url: &str) -> Request<Bytes> {
    Request::post(url).header("authorization", "Bearer key").body(Bytes::from("{\"a\":1}")).unwrap()
}

async fn call(client: &Client, url: &str) -> Result<(u16, Bytes), SendError> {
    let reply = client.send(|| request(url), Http::Auto, LIMIT, LIMIT).await?;
    let status = reply.status().as_u16();
    Ok((status, reply.into_body().collect().await.unwrap().to_bytes()))
}

#[test]
fn connections_are_used_again() {
    let mut mock = Mock::start(|_, peer| {
        while peer.request().is_some() {
            peer.say(OK);
        }
    });
    run(async {
        let client = client(&Network::default());
        for _ in 0..3 {
            assert_eq!(call(&client, &mock.url()).await, Ok((200, Bytes::from("ok"))));
        }
    });
    mock.saw(&["connection 0", LINE, LINE, LINE]);
}

#[test]
fn a_request_lost_on_a_reused_connection_is_repeated_once() {
    // The first connection answers once, the second (a repeat) once; all else is lost.
    let mut mock = Mock::start(|number, peer| {
        peer.request();
        if number < 2 {
            peer.say(OK);
            peer.request();
        }
    });
    run(async {
        let client = client(&Network::default());
        assert!(call(&client, &mock.url()).await.is_ok());
        assert_eq!(call(&client, &mock.url()).await, Ok((200, Bytes::from("ok"))), "repeated");
        mock.expect("connection 0").await;
        mock.expect(LINE).await;
        mock.expect(LINE).await;
        mock.expect("connection 1").await;
        mock.expect(LINE).await;
        mock.expect("closed").await;
        let lost = call(&client, &mock.url()).await.unwrap_err();
        assert!(matches!(lost, SendError::Reset { .. }), "a fresh connection's loss is not repeated: {lost:?}");
    });
    mock.saw(&["connection 2", LINE]);
    mock.quiet();
}

#[test]
fn a_repeat_is_not_repeated() {
    let mut mock = Mock::start(|number, peer| {
        peer.request();
        if number == 0 {
            peer.say(OK);
            peer.request();
        }
    });
    run(async {
        let client = client(&Network::default());
        assert!(call(&client, &mock.url()).await.is_ok());
        assert!(matches!(call(&client, &mock.url()).await, Err(SendError::Reset { .. })));
    });
    mock.saw(&["connection 0", LINE, LINE, "connection 1", LINE]);
    mock.quiet();
}

#[test]
fn nothing_is_repeated_once_a_byte_has_come() {
    for begun in ["H", "HTTP/1.1 200 OK\r\ncontent-le", "HTTP/1.1 102 Processing\r\n\r\n"] {
        let mut mock = Mock::start(move |_, peer| {
            peer.request();
            peer.say(OK);
            peer.request();
            peer.say(begun);
        });
        run(async {
            let client = client(&Network::default());
            assert!(call(&client, &mock.url()).await.is_ok());
            assert!(matches!(call(&client, &mock.url()).await, Err(SendError::Reset { .. })), "{begun:?}");
        });
        mock.saw(&["connection 0", LINE, LINE]);
        mock.quiet();
    }
}

#[test]
fn bytes_left_after_a_reply_never_reach_the_next_caller() {
    let evil = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil";
    let mock = Mock::start(move |number, peer| {
        peer.request();
        peer.say(&if number == 0 { format!("{OK}{evil}") } else { OK.to_owned() });
        peer.request();
    });
    run(async {
        let client = client(&Network::default());
        for _ in 0..2 {
            assert_eq!(call(&client, &mock.url()).await, Ok((200, Bytes::from("ok"))));
        }
    });
}

#[test]
fn a_connection_that_speaks_while_idle_is_closed() {
    let mut mock = Mock::start(|number, peer| {
        peer.request();
        peer.say(OK);
        if number == 0 {
            peer.say("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
        }
        peer.request();
    });
    run(async {
        let client = client(&Network::default());
        assert_eq!(call(&client, &mock.url()).await, Ok((200, Bytes::from("ok"))));
        mock.expect("connection 0").await;
        mock.expect(LINE).await;
        mock.expect("closed").await;
        assert_eq!(call(&client, &mock.url()).await, Ok((200, Bytes::from("ok"))));
    });
    mock.saw(&["connection 1"]);
}

#[test]
fn the_head_has_its_time_whatever_interim_replies_come() {
    let mut mock = Mock::start(|_, peer| {
        peer.request();
        while peer.stream.write_all(b"HTTP/1.1 102 Processing\r\n\r\n").is_ok() {
            std::thread::park_timeout(Duration::from_millis(5));
        }
        let _ = peer.events.send("cut".to_owned());
    });
    run(async {
        let client = client(&Network::default());
        let error = client.send(|| request(&mock.url()), Http::Auto, LIMIT, SHORT).await.unwrap_err();
        assert_eq!(error, SendError::HeadersTimeout);
        mock.expect("connection 0").await;
        mock.expect(LINE).await;
        mock.expect("cut").await;
    });
}

#[test]
fn connecting_has_its_time_with_tls() {
    let mock = Mock::start(|_, peer| {
        let mut byte = [0; 4096];
        while peer.stream.read(&mut byte).unwrap_or(0) > 0 {}
        let _ = peer.events.send("closed".to_owned());
    });
    run(async {
        let client = client(&Network::default());
        let url = format!("https://{}/", mock.address);
        let error = client.send(|| request(&url), Http::Auto, SHORT, LIMIT).await.unwrap_err();
        assert!(matches!(error, SendError::Connect { timeout: true, .. }), "{error:?}");
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = call(&client, &format!("http://{closed}/")).await.unwrap_err();
        assert!(matches!(error, SendError::Connect { timeout: false, .. }), "{error:?}");
    });
}

#[test]
fn a_reply_that_is_not_http_is_a_protocol_error() {
    let mock = Mock::start(|_, peer| {
        peer.request();
        peer.say("SSH-2.0-OpenSSH_9.9\r\n\r\n");
    });
    run(async {
        let error = call(&client(&Network::default()), &mock.url()).await.unwrap_err();
        assert!(matches!(error, SendError::Protocol { .. }), "{error:?}");
    });
}

#[test]
fn redirects_are_only_reported() {
    let mock = Mock::start(|_, peer| {
        peer.request();
        peer.say("HTTP/1.1 307 Temporary Redirect\r\nlocation: http://evil.example/\r\ncontent-length: 0\r\n\r\n");
        peer.request();
    });
    run(async {
        assert_eq!(call(&client(&Network::default()), &mock.url()).await, Ok((307, Bytes::new())));
    });
}

#[test]
fn dropping_a_request_or_a_body_closes_the_connection() {
    let mut mock = Mock::start(|number, peer| {
        peer.request();
        if number > 0 {
            peer.say("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
        }
        peer.request();
    });
    run(async {
        let client = client(&Network::default());
        let url = mock.url();
        {
            let mut sending = pin!(client.send(|| request(&url), Http::Auto, LIMIT, LIMIT));
            for event in ["connection 0", LINE] {
                tokio::select! {
                    _ = &mut sending => panic!("nobody answers"),
                    () = mock.expect(event) => {}
                }
            }
        }
        mock.expect("closed").await;
        let mut body = client.send(|| request(&mock.url()), Http::Auto, LIMIT, LIMIT).await.unwrap().into_body();
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "hello");
        drop(body);
        for event in ["connection 1", LINE, "closed"] {
            mock.expect(event).await;
        }
    });
}

#[test]
fn a_big_body_arrives_whole() {
    let mock = Mock::start(|_, peer| {
        peer.request();
        peer.say(OK);
        peer.request();
    });
    run(async {
        let body = Bytes::from(vec![b'x'; 5_000_000]);
        let request = Request::post(mock.url()).body(body).unwrap();
        let reply = client(&Network::default()).send(|| request.clone(), Http::Auto, LIMIT, LIMIT).await.unwrap();
        assert_eq!(reply.status(), 200);
    });
}

fn through(proxy: &Mock, https: bool) -> Network {
    let proxy = Proxy {
        uri: format!("http://{}", proxy.address).parse().unwrap(),
        authorization: Some(Secret::new("Basic dXNlcjpwYXNz".to_owned())),
    };
    let mut network = Network::default();
    if https {
        network.https_proxy = Some(proxy);
    } else {
        network.http_proxy = Some(proxy);
    }
    network
}

#[test]
fn a_plain_proxy_gets_the_whole_address_and_its_own_credentials() {
    let mut proxy = Mock::start(|_, peer| {
        let head = peer.request().unwrap();
        assert!(
            head.contains("proxy-authorization: Basic dXNlcjpwYXNz\r\n") && head.contains("host: provider.test\r\n")
        );
        peer.say(OK);
        peer.request();
    });
    run(async {
        let mut network = through(&proxy, false);
        assert_eq!(call(&client(&network), "http://provider.test/v1/x").await, Ok((200, Bytes::from("ok"))));
        proxy.expect("connection 0").await;
        proxy.expect("POST http://provider.test/v1/x HTTP/1.1").await;
        let mut mock = Mock::start(|_, peer| {
            assert!(!peer.request().unwrap().contains("proxy-authorization"));
            peer.say(OK);
        });
        network.no_proxy = vec!["127.0.0.1".to_owned()];
        assert!(call(&client(&network), &mock.url()).await.is_ok(), "bypassed");
        mock.expect("connection 0").await;
        mock.expect(LINE).await;
    });
}

/// A server certificate for 127.0.0.1 and the file of the authority that signed it.
pub(in crate::providers) fn certified(folder: &Path) -> (Arc<rustls::ServerConfig>, Vec<std::path::PathBuf>) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "provider.test".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    let file = folder.join("ca.pem");
    std::fs::write(&file, authority.pem()).unwrap();
    let private = rustls_pki_types::PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    (Arc::new(config), vec![file])
}

fn answer_over_tls(config: &Arc<rustls::ServerConfig>, peer: &Peer<TcpStream>) {
    let connection = rustls::ServerConnection::new(Arc::clone(config)).unwrap();
    let stream = rustls::StreamOwned::new(connection, peer.stream.try_clone().unwrap());
    let mut peer = Peer { stream, events: peer.events.clone() };
    while let Some(head) = peer.request() {
        assert!(!head.contains("proxy-authorization"), "the provider must not see the proxy's credentials");
        peer.say(OK);
    }
}

#[test]
fn tls_believes_the_operators_authority_and_no_stranger() {
    let folder = tempfile::tempdir().unwrap();
    let (config, ca) = certified(folder.path());
    let mut mock = Mock::start(move |_, peer| answer_over_tls(&config, peer));
    run(async {
        let url = format!("https://{}/v1/chat/completions", mock.address);
        let trusting = client(&Network { ca, ..Network::default() });
        for _ in 0..2 {
            assert_eq!(call(&trusting, &url).await, Ok((200, Bytes::from("ok"))));
        }
        drop(trusting);
        let error = call(&client(&Network::default()), &url).await.unwrap_err();
        assert!(
            matches!(&error, SendError::Connect { timeout: false, detail } if detail.contains("certificate")),
            "{error:?}"
        );
    });
    mock.saw(&["connection 0", LINE, LINE]);
    let missing = Network { ca: vec![folder.path().join("none.pem")], ..Network::default() };
    assert!(Client::new(&missing).err().unwrap().contains("none.pem"));
}

#[test]
fn https_goes_through_a_tunnel() {
    let folder = tempfile::tempdir().unwrap();
    let (config, ca) = certified(folder.path());
    let mut proxy = Mock::start(move |number, peer| {
        let head = peer.request().unwrap();
        assert!(head.contains("Basic dXNlcjpwYXNz\r\n") && !head.contains("Bearer key"), "{head}");
        if number == 0 {
            peer.say("HTTP/1.1 200 Connection established\r\n\r\n");
            answer_over_tls(&config, peer);
        } else {
            peer.say("HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n");
        }
    });
    run(async {
        let network = Network { ca, ..through(&proxy, true) };
        let first = client(&network);
        let url = "https://provider.test/v1/chat/completions";
        assert_eq!(call(&first, url).await, Ok((200, Bytes::from("ok"))));
        drop(first);
        for event in ["connection 0", "CONNECT provider.test:443 HTTP/1.1", LINE] {
            proxy.expect(event).await;
        }
        let error = call(&client(&network), url).await.unwrap_err();
        assert!(matches!(error, SendError::Connect { timeout: false, .. }), "{error:?}");
    });
}
