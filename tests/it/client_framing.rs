//! Heads and framing from the client's side: ambiguous lengths are refused before anything is forwarded, limits hold, and every refusal
//! is JSON with the four keys.

use std::time::{Duration, Instant};

use sluice_tests::gateway::Gateway;
use sluice_tests::http::{Connection, request};
use sluice_tests::mock::{Mock, Script};

use crate::support::{CHAT, blamed, body, four_keys, refused, reply, row, setup};

fn start(server: &str) -> (Mock, Gateway) {
    let mock = Mock::start();
    mock.script("p", Script::json(200, reply("hi")));
    let gateway = setup(&[row(&mock, "p", "")], server).start();
    (mock, gateway)
}

fn head(gateway: &Gateway, lines: &[&str]) -> Vec<u8> {
    format!(
        "POST {CHAT} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n{}\r\n\r\n",
        gateway.host(),
        lines.join("\r\n")
    )
    .into_bytes()
}

/// Sends raw bytes; the reply must be this status and the connection must close.
#[track_caller]
fn refused_and_closed(gateway: &Gateway, what: &str, bytes: &[u8], statuses: &[u16]) {
    let mut connection = gateway.connect();
    connection.send(bytes);
    let reply = connection.try_reply().unwrap_or_else(|| panic!("{what}: closed without a reply"));
    assert!(statuses.contains(&reply.status), "{what}: {} {}", reply.status, reply.text());
    four_keys(&reply.body);
    assert!(connection.try_reply().is_none(), "{what}: the connection serves on");
}

#[test]
fn ambiguous_lengths() {
    let (mock, gateway) = start("");
    let body = body("p/m", false);
    let length = format!("content-length: {}", body.len());
    let chunked = format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let cases: Vec<(&str, Vec<String>, &str)> = vec![
        ("length and chunked", vec![length.clone(), "transfer-encoding: chunked".into()], &chunked),
        ("chunked and length", vec!["transfer-encoding: chunked".into(), length.clone()], &chunked),
        ("two equal lengths", vec![length.clone(), length.clone()], &body),
        ("two lengths", vec![length.clone(), "content-length: 3".into()], &body),
        ("a list of lengths", vec![format!("{length}, {}", body.len())], &body),
        ("signed", vec![format!("content-length: +{}", body.len())], &body),
        ("negative", vec!["content-length: -1".into()], &body),
        ("hexadecimal", vec!["content-length: 0x10".into()], &body),
        ("empty", vec!["content-length:".into()], &body),
        ("too large for a number", vec!["content-length: 99999999999999999999999".into()], &body),
    ];
    for (what, lines, body) in cases {
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        let bytes = [head(&gateway, &lines).as_slice(), body.as_bytes()].concat();
        let statuses: &[u16] = if what.starts_with("too large") { &[400, 413] } else { &[400] };
        refused_and_closed(&gateway, what, &bytes, statuses);
    }
    for coding in ["gzip", "chunked, gzip", "chunked, identity", "xchunked"] {
        let line = format!("transfer-encoding: {coding}");
        let bytes = [head(&gateway, &[&line]).as_slice(), chunked.as_bytes()].concat();
        refused_and_closed(&gateway, coding, &bytes, &[400, 501]);
    }
    assert_eq!(mock.journal().count("p"), 0, "something was forwarded");
}

#[test]
fn broken_heads() {
    let (mock, gateway) = start("");
    let host = gateway.host();
    let cases = [
        ("no host", "GET /livez HTTP/1.1\r\n\r\n".to_owned()),
        ("no version", format!("GET /livez\r\nhost: {host}\r\n\r\n")),
        ("a space in a name", format!("GET /livez HTTP/1.1\r\nhost: {host}\r\nx y: 1\r\n\r\n")),
        ("a NUL in a value", format!("GET /livez HTTP/1.1\r\nhost: {host}\r\nx: a\0b\r\n\r\n")),
        ("a folded line", format!("GET /livez HTTP/1.1\r\nhost: {host}\r\nx: a\r\n b\r\n\r\n")),
        ("no HTTP at all", "hello\r\n\r\n".to_owned()),
    ];
    for (what, text) in cases {
        refused_and_closed(&gateway, what, text.as_bytes(), &[400]);
    }
    let bad_chunk = [head(&gateway, &["transfer-encoding: chunked"]).as_slice(), b"zz\r\nhello\r\n"].concat();
    refused_and_closed(&gateway, "a bad chunk size", &bad_chunk, &[400]);
    assert_eq!(mock.journal().count("p"), 0, "something was forwarded");
}

#[test]
fn a_head_over_64_kib() {
    let (_mock, gateway) = start("");
    let long = format!("x-long: {}", "x".repeat(70 * 1024));
    refused_and_closed(&gateway, "one long field", &head(&gateway, &[&long]), &[431]);
    let fields: Vec<String> = (0..2000).map(|index| format!("x-field-{index}: {}", "y".repeat(40))).collect();
    let fields: Vec<&str> = fields.iter().map(String::as_str).collect();
    refused_and_closed(&gateway, "many fields", &head(&gateway, &fields), &[431]);
}

#[test]
fn a_slow_head_ends_from_its_first_byte() {
    let (_mock, gateway) = start("server: { limits: { head: 300ms } }");
    // The deadline is the head's own: a connection that has said nothing yet waits longer.
    let mut idle = gateway.connect();
    let mut connection = gateway.connect();
    connection.send(b"POST /v1/chat/completions HTTP/1.1\r\nhost:");
    let started = Instant::now();
    if let Some(reply) = connection.try_reply() {
        assert_eq!(reply.status, 408, "{}", reply.text());
    }
    let waited = started.elapsed();
    assert!((Duration::from_millis(250)..Duration::from_secs(10)).contains(&waited), "{waited:?}");
    idle.send(&request("GET", "/livez", &gateway.host(), &[], b""));
    assert_eq!(idle.reply().status, 200);
}

#[test]
fn an_idle_connection_is_closed() {
    let (_mock, gateway) = start("server: { limits: { idle: 300ms } }");
    let mut connection = gateway.connect();
    connection.send(&request("GET", "/livez", &gateway.host(), &[], b""));
    assert_eq!(connection.reply().status, 200);
    let started = Instant::now();
    assert!(connection.closed());
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn methods_paths_and_upgrades() {
    let (_mock, gateway) = start("");
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let reply = gateway.call(method, CHAT, &[], b"");
        blamed(&reply, 405, "client");
        assert!(
            reply.header("allow").is_some_and(|allow| allow.contains("POST") && !allow.contains(method)),
            "{method}"
        );
    }
    blamed(&gateway.post("/v1/models", "{}"), 405, "client");
    blamed(&gateway.post("/v1/nothing", body("p/m", false)), 404, "client");
    assert_eq!(gateway.get("/").status, 200, "the page");
    let upgrade = [
        ("connection", "Upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    for path in [CHAT, "/openai/v1/chat/completions"] {
        blamed(&gateway.call("GET", path, &upgrade, b""), 426, "client");
    }
}

#[test]
fn old_and_pipelined_requests() {
    let (_mock, gateway) = start("");
    let body = body("p/m", false);
    let mut connection = gateway.connect();
    let old = format!(
        "POST {CHAT} HTTP/1.0\r\nhost: {}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        gateway.host(),
        body.len()
    );
    connection.send(old.as_bytes());
    assert_eq!(connection.reply().text(), reply("hi"));
    assert!(connection.closed(), "HTTP/1.0 closes unless asked otherwise");
    let mut connection = gateway.connect();
    let one = request("POST", CHAT, &gateway.host(), &[("content-type", "application/json")], body.as_bytes());
    connection.send(&[one.as_slice(), &one, &one].concat());
    for _ in 0..3 {
        assert_eq!(connection.reply().text(), reply("hi"));
    }
}

#[test]
fn request_ids_are_echoed_when_sane_and_made_otherwise() {
    let (_mock, gateway) = start("");
    let ask = |id: &str| {
        let reply = gateway.call("GET", "/livez", &[("x-request-id", id)], b"");
        reply.header("x-request-id").expect("an id").to_owned()
    };
    assert_eq!(ask("abc-123_X.y"), "abc-123_X.y");
    for bad in ["", "a b", "\"", &"x".repeat(129)] {
        let made = ask(bad);
        assert!(made != bad && !made.is_empty() && made.len() <= 128, "{bad:?} became {made:?}");
    }
    assert_ne!(ask(""), ask(""));
}

#[test]
fn overload_is_a_503_with_a_wish() {
    let mock = Mock::start();
    mock.script("p", Script::new().stall());
    let gateway = setup(&[row(&mock, "p", "")], "server: { max_calls: 1 }").start();
    let held = gateway.open(CHAT, body("p/m", false));
    mock.wait_request("p", 1);
    let refusal = gateway.post(CHAT, body("p/m", false));
    refused(&refusal, 503);
    assert_eq!(refusal.header("x-sluice-error-source"), Some("gateway"));
    assert!(refusal.header("retry-after").is_some_and(|wish| wish.parse::<u32>().is_ok()));
    assert_eq!(gateway.get("/livez").status, 200, "probes must not be refused");
    drop(held);
    mock.wait_cancelled("p");
    mock.script("p", Script::json(200, reply("hi")));
    sluice_tests::wait_for("a free place", || (gateway.post(CHAT, body("p/m", false)).status == 200).then_some(()));
}

#[test]
fn a_port_in_use_names_the_option() {
    let (_mock, gateway) = start("");
    let home = tempfile::tempdir().expect("a temporary folder");
    let mut command = sluice_tests::gateway::command(home.path(), &[]);
    let output = command.args(["serve", "--listen", &gateway.address.to_string()]).output().expect("the program");
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("--port"), "{text}");
}

#[test]
fn connections_do_not_disturb_each_other() {
    let (_mock, gateway) = start("");
    let mut broken: Vec<Connection> = (0..50).map(|_| gateway.connect()).collect();
    for connection in &mut broken {
        connection.send(b"POST /v1/chat/completions HTTP/1.1\r\ncontent-le");
    }
    assert_eq!(gateway.post(CHAT, body("p/m", false)).status, 200);
}
