//! `server.tls`: clients speak TLS to the built gateway, a renewed certificate is shown from the next connection on while an open stream
//! goes on, and a bad one changes nothing.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::Arc;

use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use rustls_pki_types::CertificateDer;
use sluice_tests::gateway::{Gateway, replace};
use sluice_tests::http::request;
use sluice_tests::mock::{Gate, Mock, Script};
use sluice_tests::{LIMIT, wait_for};

use crate::support::{CHAT, DONE, body, finish_event, four_keys, role_event, row, setup, text_event};

/// A certificate that is its own authority.
struct Identity {
    chain: String,
    key: String,
    der: CertificateDer<'static>,
}

impl Identity {
    fn new() -> Identity {
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(names).unwrap();
        Identity { chain: cert.pem(), key: signing_key.serialize_pem(), der: cert.der().clone() }
    }

    fn write(&self, folder: &Path) {
        replace(&folder.join("tls.key"), self.key.as_bytes());
        replace(&folder.join("tls.pem"), self.chain.as_bytes());
    }

    fn try_connect(&self, address: SocketAddr) -> Result<StreamOwned<ClientConnection, TcpStream>, String> {
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let connection = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let socket = TcpStream::connect_timeout(&address, LIMIT).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let mut stream = StreamOwned::new(connection, socket);
        stream.conn.complete_io(&mut stream.sock).map_err(|error| error.to_string())?;
        assert_eq!(stream.conn.alpn_protocol(), Some(&b"http/1.1"[..]));
        Ok(stream)
    }

    fn connect(&self, address: SocketAddr) -> StreamOwned<ClientConnection, TcpStream> {
        self.try_connect(address).unwrap()
    }

    /// Whether a new connection is shown this certificate.
    fn is_shown(&self, address: SocketAddr) -> bool {
        self.try_connect(address).is_ok()
    }
}

/// Reads until `end` has been read.
fn read_until(stream: &mut impl std::io::Read, end: &str) -> String {
    let mut bytes = Vec::new();
    let mut part = [0; 4096];
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if text.contains(end) {
            return text.into_owned();
        }
        let count = stream.read(&mut part).unwrap_or_else(|error| panic!("{error} after {text:?}"));
        assert!(count > 0, "the end after {text:?}");
        bytes.extend_from_slice(&part[..count]);
    }
}

fn post(address: SocketAddr, path: &str, body: &str) -> Vec<u8> {
    let headers = [("content-type", "application/json")];
    request("POST", path, &address.to_string(), &headers, body.as_bytes())
}

/// What the documentation says to write, with the files of that folder.
fn documented(folder: &Path) -> String {
    let text = include_str!("../../docs/running.md");
    let block = text.split("```yaml\n").find(|block| block.contains("  tls: {")).unwrap();
    let block = block.split("```").next().unwrap();
    let at = |name: &str| folder.join(name).display().to_string();
    assert!(block.contains("/etc/sluice/tls/tls.crt") && block.contains("/etc/sluice/tls/tls.key"), "{block}");
    block.replace("/etc/sluice/tls/tls.crt", &at("tls.pem")).replace("/etc/sluice/tls/tls.key", &at("tls.key"))
}

/// A gateway before the mock that shows `identity`; both files lie in `folder`.
fn gateway(mock: &Mock, folder: &Path, identity: &Identity) -> Gateway {
    identity.write(folder);
    setup(&[row(mock, "up", "")], &documented(folder)).start()
}

#[test]
fn calls_pass_over_tls_and_who_speaks_plainly_is_told() {
    let (mock, folder, identity) = (Mock::start(), tempfile::tempdir().unwrap(), Identity::new());
    mock.script("up", Script::json(200, crate::support::reply("over tls")));
    let gateway = gateway(&mock, folder.path(), &identity);
    assert!(gateway.process.err.find("listening on https://").is_some());
    let mut stream = identity.connect(gateway.address);
    for _ in 0..2 {
        stream.write_all(&post(gateway.address, CHAT, &body("m", false))).unwrap();
        let reply = read_until(&mut stream, "\"total_tokens\":2}}");
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
    }
    // Loopback rules are those of plain HTTP.
    stream.write_all(&request("POST", CHAT, "evil.example", &[("content-type", "application/json")], b"{}")).unwrap();
    assert!(read_until(&mut stream, "host_not_allowed").starts_with("HTTP/1.1 403"));
    let plain = gateway.post(CHAT, body("m", false));
    assert_eq!(plain.status, 400);
    assert_eq!(four_keys(&plain.body)["code"], "tls_required");
}

#[test]
fn a_renewed_certificate_is_shown_at_once_and_an_open_stream_goes_on() {
    let (mock, folder) = (Mock::start(), tempfile::tempdir().unwrap());
    let (old, new) = (Identity::new(), Identity::new());
    let gate = Gate::new();
    let script = Script::sse_head().chunk(role_event()).chunk(text_event("before"));
    let script = script.wait(&gate).chunk(text_event("after")).chunk(finish_event()).chunk(DONE).end_chunks();
    mock.script("up", script);
    let gateway = gateway(&mock, folder.path(), &old);
    let mut stream = old.connect(gateway.address);
    stream.write_all(&post(gateway.address, CHAT, &body("m", true))).unwrap();
    read_until(&mut stream, "before");
    assert!(!new.is_shown(gateway.address));
    new.write(folder.path());
    wait_for("the new certificate", || new.is_shown(gateway.address).then_some(()));
    assert!(!old.is_shown(gateway.address));
    gate.open();
    let rest = read_until(&mut stream, "[DONE]");
    assert!(rest.contains("after"), "{rest}");
}

#[test]
fn a_bad_certificate_keeps_the_good_one_and_says_so() {
    let (mock, folder) = (Mock::start(), tempfile::tempdir().unwrap());
    let (good, other) = (Identity::new(), Identity::new());
    mock.script("up", Script::json(200, crate::support::reply("still here")));
    let mut gateway = gateway(&mock, folder.path(), &good);
    replace(&folder.path().join("tls.pem"), other.chain.as_bytes());
    gateway.process.wait_line("the private key belongs to another certificate");
    let mut stream = good.connect(gateway.address);
    stream.write_all(&request("GET", "/health", &gateway.host(), &[], b"")).unwrap();
    let health = read_until(&mut stream, "another certificate");
    assert!(health.contains("degraded"), "{health}");
    stream.write_all(&request("GET", "/metrics", &gateway.host(), &[], b"")).unwrap();
    read_until(&mut stream, "sluice_config_stale{kind=\"config\"} 1");
    // The key that belongs to it ends it.
    replace(&folder.path().join("tls.key"), other.key.as_bytes());
    wait_for("the other certificate", || other.is_shown(gateway.address).then_some(()));
}

#[test]
fn commands_ask_it_with_its_certificate() {
    let (mock, folder, identity) = (Mock::start(), tempfile::tempdir().unwrap(), Identity::new());
    let gateway = gateway(&mock, folder.path(), &identity);
    let url = format!("https://{}", gateway.address);
    let ask = |more: &[&str]| {
        let mut command = sluice_tests::gateway::command(folder.path(), &[]);
        command.args(["status", "--url", &url]).args(more).output().unwrap()
    };
    let believed = ask(&["--ca", folder.path().join("tls.pem").to_str().unwrap()]);
    assert!(believed.status.success(), "{}", String::from_utf8_lossy(&believed.stderr));
    let mut connect = sluice_tests::gateway::command(gateway.folder(), &[]);
    let connect = connect.env("MOCK_KEY", "sk-test").args(["connect", "openai"]).output().unwrap();
    assert!(String::from_utf8_lossy(&connect.stdout).contains("https://localhost:8443"), "{connect:?}");
    let stranger = ask(&[]);
    assert_eq!(stranger.status.code(), Some(1));
    let said = String::from_utf8_lossy(&stranger.stderr).into_owned();
    assert!(said.contains("--ca FILE") && said.contains("certificate"), "{said}");
}

#[test]
fn a_certificate_that_is_bad_at_the_start_stops_it() {
    let folder = tempfile::tempdir().unwrap();
    let text = "server:\n  tls: { cert: none.pem, key: 'file:none.key' }\n";
    std::fs::write(folder.path().join("sluice.yaml"), text).unwrap();
    let output = sluice_tests::gateway::command(folder.path(), &[]).args(["check"]).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    assert!(said.contains("sluice.yaml:2:") && said.contains("none.pem") && said.contains("none.key"), "{said}");
}

#[test]
fn who_knocks_and_says_nothing_is_let_go() {
    let (mock, folder, identity) = (Mock::start(), tempfile::tempdir().unwrap(), Identity::new());
    identity.write(folder.path());
    let at = folder.path().display();
    let server = format!(
        "server: {{ limits: {{ head: 200ms }}, tls: {{ cert: \"{at}/tls.pem\", key: \"file:{at}/tls.key\" }} }}\n"
    );
    let gateway = setup(&[row(&mock, "up", "")], &server).start();
    for begun in [&b""[..], b"\x16\x03\x01"] {
        let mut socket = TcpStream::connect(gateway.address).unwrap();
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        socket.write_all(begun).unwrap();
        let mut rest = Vec::new();
        // An end or a reset, but no silence.
        match socket.read_to_end(&mut rest) {
            Ok(_) => {}
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}"),
        }
    }
}
