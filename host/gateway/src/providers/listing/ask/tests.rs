//! A question behind a proxy and TLS: whom the client believes, and who sees which credentials.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::config::{BaseUrl, Overrides, Proxy as Through, Secret};
use crate::providers::client::tests::certified;
use crate::providers::pool::Pools;

fn head(stream: &mut impl Read) -> String {
    let mut bytes = Vec::new();
    let mut byte = [0];
    while !bytes.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) > 0 {
        bytes.push(byte[0]);
    }
    String::from_utf8(bytes).unwrap()
}

/// A proxy that is also the provider behind it: answers each tunnel over TLS with a list, and tells the heads it saw.
fn start(config: Arc<rustls::ServerConfig>) -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (saw, heads) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.unwrap();
            saw.send(head(&mut stream)).ok();
            stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").unwrap();
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut tls = rustls::StreamOwned::new(connection, stream);
            let asked = head(&mut tls);
            if !asked.is_empty() {
                saw.send(asked).ok();
                let list = "HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"data\":[\"one\"]}";
                tls.write_all(list.as_bytes()).and_then(|()| tls.flush()).ok();
            }
        }
    });
    (address, heads)
}

fn ask(network: &Network) -> Result<Models, Trouble> {
    let env = |name: &str| (name == "KEY").then(|| "sk-provider".to_owned());
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.yaml");
    let row = "providers: { p: { dialect: openai-chat, base_url: 'https://provider.test/v1', keys: ['env:KEY'] } }";
    std::fs::write(&file, row).unwrap();
    let config = config::load(Some(&file), &env, &Overrides::default()).unwrap();
    let provider = &config.providers[0];
    let way = Way::new(network).unwrap();
    let ask = Ask::new(
        provider,
        &Credentials::new(provider.auth, &provider.name, &provider.keys, &Pools::default()).unwrap(),
        way,
    );
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(std::time::Duration::from_secs(30), ask.fetch()).await.unwrap() })
}

#[test]
fn the_proxy_and_the_provider_get_their_own_credentials_and_strangers_get_none() {
    let folder = tempfile::tempdir().unwrap();
    let (server, ca) = certified(folder.path());
    let (address, heads) = start(server);
    let proxy = Through {
        uri: format!("http://{address}").parse().unwrap(),
        authorization: Some(Secret::new("Basic dXNlcjpwYXNz".to_owned())),
    };
    let mut network = Network { https_proxy: Some(proxy), ca, ..Network::default() };
    let models = ask(&network).unwrap();
    assert!(models.get("one").is_some());
    let (tunnel, asked) = (heads.recv().unwrap(), heads.recv().unwrap().to_ascii_lowercase());
    assert!(tunnel.starts_with("CONNECT provider.test:443 HTTP/1.1\r\n"), "{tunnel}");
    assert!(tunnel.contains("Basic dXNlcjpwYXNz\r\n") && !tunnel.contains("sk-provider"), "{tunnel}");
    assert!(asked.starts_with("get /v1/models http/1.1\r\n"), "{asked}");
    assert!(asked.contains("authorization: bearer sk-provider\r\n") && !asked.contains("dxnlcjpwyxnz"), "{asked}");
    network.ca.clear();
    let Err(Trouble(why)) = ask(&network) else { panic!("a stranger's certificate was believed") };
    assert!(why.contains("certificate") && !why.contains("provider.test") && !why.contains("sk-"), "{why}");
    assert!(heads.recv().unwrap().starts_with("CONNECT"));
    assert!(heads.try_recv().is_err(), "the stranger was asked nothing");
}

#[test]
fn addresses_are_as_configured() {
    let base = |https, port, path: &str| BaseUrl { https, host: "h".to_owned(), port, path: path.to_owned() };
    assert_eq!(base(true, 443, "/v1").to_string(), "https://h/v1");
    assert_eq!(base(true, 80, "").to_string(), "https://h:80");
    assert_eq!(base(false, 80, "/a/b").to_string(), "http://h/a/b");
    assert_eq!(base(false, 8000, "/v1").to_string(), "http://h:8000/v1");
}
