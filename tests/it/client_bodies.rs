//! Request bodies: sizes, times, JSON that is none, and what is read from JSON that is one.

use std::time::{Duration, Instant};

use serde_json::json;
use sluice_tests::gateway::Gateway;
use sluice_tests::http::request;
use sluice_tests::mock::{Mock, Script};

use crate::support::{CHAT, blamed, body, reply, row, setup};

fn start(server: &str) -> (Mock, Gateway) {
    let mock = Mock::start();
    mock.script("p", Script::json(200, reply("hi")));
    let gateway = setup(&[row(&mock, "p", "")], server).start();
    (mock, gateway)
}

const SMALL: &str = "server: { limits: { body_size: 10KiB } }";

#[test]
fn an_announced_length_over_the_cap_is_refused_unread() {
    let (mock, gateway) = start(SMALL);
    let mut connection = gateway.connect();
    let headers = [("content-type", "application/json"), ("content-length", "20000"), ("expect", "100-continue")];
    connection.send(&request("POST", CHAT, &gateway.host(), &headers, b""));
    let reply = connection.reply();
    blamed(&reply, 413, "client");
    assert!(reply.interim.is_empty(), "the client was told to go on");
    assert!(connection.try_reply().is_none());
    // The default cap.
    let (_mock, gateway) = start("");
    let mut connection = gateway.connect();
    let headers = [("content-type", "application/json"), ("content-length", "67108865")];
    connection.send(&request("POST", CHAT, &gateway.host(), &headers, b""));
    blamed(&connection.reply(), 413, "client");
    assert_eq!(mock.journal().count("p"), 0);
}

#[test]
fn a_chunked_body_over_the_cap_is_refused_while_reading() {
    let (mock, gateway) = start(SMALL);
    let mut connection = gateway.connect();
    let headers = [("content-type", "application/json"), ("transfer-encoding", "chunked")];
    connection.send(&request("POST", CHAT, &gateway.host(), &headers, b""));
    for _ in 0..4 {
        connection.send(&sluice_tests::mock::chunk(&[b' '; 5000]));
    }
    blamed(&connection.reply(), 413, "client");
    assert_eq!(mock.journal().count("p"), 0);
}

#[test]
fn one_byte_under_the_cap_passes() {
    let (mock, gateway) = start(SMALL);
    let empty = body("p/m", false);
    let full = body("p/m", false).replace("hello", &"x".repeat(10 * 1024 - empty.len() + "hello".len()));
    assert_eq!(full.len(), 10 * 1024);
    assert_eq!(gateway.post(CHAT, &full).status, 200);
    assert_eq!(mock.last("p").body.len(), full.len() - "p/".len());
    blamed(&gateway.post(CHAT, format!("{full} ")), 413, "client");
}

#[test]
fn continue_is_said_only_when_the_body_will_be_read() {
    let (_mock, gateway) = start("");
    let text = body("p/m", false);
    let mut connection = gateway.connect();
    let length = text.len().to_string();
    let headers =
        [("content-type", "application/json"), ("content-length", length.as_str()), ("expect", "100-continue")];
    connection.send(&request("POST", CHAT, &gateway.host(), &headers, b""));
    assert_eq!(connection.read_head().expect("an interim reply").status(), 100);
    connection.send(text.as_bytes());
    assert_eq!(connection.reply().text(), reply("hi"));
}

#[test]
fn a_body_that_takes_too_long() {
    let (mock, gateway) = start("server: { limits: { body: 300ms } }");
    let started = Instant::now();
    let mut connection = gateway.connect();
    let headers = [("content-type", "application/json"), ("content-length", "100")];
    connection.send(&request("POST", CHAT, &gateway.host(), &headers, b""));
    connection.send(b"{");
    blamed(&connection.reply(), 408, "client");
    assert!(started.elapsed() < Duration::from_secs(10));
    assert_eq!(mock.journal().count("p"), 0);
}

#[test]
fn a_body_cut_short_is_never_forwarded() {
    let (mock, gateway) = start("");
    let mut connection = gateway.connect();
    let text = body("p/m", false);
    let length = (text.len() + 1).to_string();
    let headers = [("content-type", "application/json"), ("content-length", length.as_str())];
    connection.send(&request("POST", CHAT, &gateway.host(), &headers, text.as_bytes()));
    connection.half_close();
    if let Some(reply) = connection.try_reply() {
        assert!((400..500).contains(&reply.status), "{}", reply.text());
    }
    assert_eq!(mock.journal().count("p"), 0);
}

#[test]
fn chunked_bodies_arrive_whole() {
    let (mock, gateway) = start("");
    let text = body("p/m", false);
    let mut connection = gateway.connect();
    let headers = [("content-type", "application/json"), ("transfer-encoding", "chunked")];
    connection.send(&request("POST", CHAT, &gateway.host(), &headers, b""));
    for piece in text.as_bytes().chunks(5) {
        connection.send(&sluice_tests::mock::chunk(piece));
    }
    connection.send(b"0\r\n\r\n");
    assert_eq!(connection.reply().status, 200);
    assert_eq!(String::from_utf8_lossy(&mock.last("p").body), text.replace("p/m", "m"));
}

#[test]
fn malformed_json_is_named_by_line_and_column() {
    let (mock, gateway) = start("");
    let cases: [(&str, usize, usize); 5] = [
        ("{\n  \"model\": \"p/m\",\n  oops\n}", 3, 3),
        ("{\"model\": \"p/m\",}", 1, 17),
        ("{\"a\": 01}", 1, 8),
        ("{\"model\": \"p/m\"} x", 1, 18),
        ("{\n\"häß\": tru }", 2, 8),
    ];
    for (text, line, column) in cases {
        let error = blamed(&gateway.post(CHAT, text), 400, "client");
        let message = error["message"].as_str().unwrap().to_lowercase();
        assert!(message.contains(&format!("line {line}")), "{text:?}: {message}");
        // Where inside a wrong word the finger points is a matter of taste.
        let near = (column.saturating_sub(1)..=column + 3).any(|column| message.contains(&format!("column {column}")));
        assert!(near, "{text:?}: {message}");
    }
    for text in ["", " ", "[]", "1", "\"x\"", "{", "{\"model\":\"p/m\"", "\u{feff}{}", "nul"] {
        blamed(&gateway.post(CHAT, text), 400, "client");
    }
    blamed(&gateway.post(CHAT, b"{\"model\":\"p/\xff\"}"), 400, "client");
    assert_eq!(mock.journal().count("p"), 0);
}

#[test]
fn deep_nesting_is_refused_not_a_crash() {
    let (_mock, gateway) = start("");
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let text = format!("{{\"model\":\"p/m\",\"x\":{}1{}}}", open.repeat(100_000), close.repeat(100_000));
        blamed(&gateway.post(CHAT, &text), 400, "client");
        blamed(&gateway.post(CHAT, open.repeat(100_000)), 400, "client");
    }
    assert_eq!(gateway.post(CHAT, body("p/m", false)).status, 200);
}

#[test]
fn duplicates_and_wrong_types_of_what_is_read() {
    let (mock, gateway) = start("");
    let cases = [
        (r#"{"model":"p/m","model":"p/m"}"#, "model"),
        (r#"{"model":"p/m","mod\u0065l":"p/other"}"#, "model"),
        (r#"{"model":"p/m","stream":true,"stream":false}"#, "stream"),
        (r#"{"model":7}"#, "model"),
        (r#"{"model":["p/m"]}"#, "model"),
        (r#"{"model":"p/m","stream":"true"}"#, "stream"),
        (r#"{"model":"p/m","stream":1}"#, "stream"),
    ];
    for (text, param) in cases {
        let error = blamed(&gateway.post(CHAT, text), 400, "client");
        assert_eq!(error["param"], param, "{text}");
    }
    assert_eq!(mock.journal().count("p"), 0);
}

#[test]
fn only_the_top_level_counts_and_escapes_are_decoded() {
    let (mock, gateway) = start("");
    let nested = r#"{"tools":[{"model":"q/x","stream":true}],"metadata":{"model":"q"},"model":"p/m"}"#;
    assert_eq!(gateway.post(CHAT, nested).status, 200);
    assert_eq!(String::from_utf8_lossy(&mock.last("p").body), nested.replace("p/m", "m"));
    let escaped = r#"{"mod\u0065l":"\u0070/m","messages":[]}"#;
    assert_eq!(gateway.post(CHAT, escaped).status, 200);
    assert_eq!(String::from_utf8_lossy(&mock.last("p").body), r#"{"mod\u0065l":"m","messages":[]}"#);
}

#[test]
fn spelling_order_and_white_space_are_kept() {
    let (mock, gateway) = start("");
    let text = " {\r\n\t\"zeta\" : 1.0e+2 , \"model\":\"p/m\",\n\"big\":123456789012345678901234567890, \"x\":\"\\u00e9\\/\", \"temperature\": 0.70 }\n";
    assert_eq!(gateway.post(CHAT, text).status, 200);
    assert_eq!(String::from_utf8_lossy(&mock.last("p").body), text.replace("p/m", "m"));
}

#[test]
fn usage_is_asked_for_where_the_client_did_not() {
    let (mock, gateway) = start("");
    for (given, asks) in [
        (json!({"model": "p/m", "stream": true}), true),
        (json!({"model": "p/m", "stream": true, "stream_options": null}), true),
        (json!({"model": "p/m", "stream": true, "stream_options": {}}), true),
        (json!({"model": "p/m", "stream": true, "stream_options": {"include_obfuscation": false}}), true),
        (json!({"model": "p/m", "stream": true, "stream_options": {"include_usage": true}}), true),
        (json!({"model": "p/m", "stream": false}), false),
        (json!({"model": "p/m"}), false),
    ] {
        gateway.post(CHAT, given.to_string());
        let got: serde_json::Value = serde_json::from_slice(&mock.last("p").body).expect("JSON arrives");
        assert_eq!(got["stream_options"]["include_usage"] == json!(true), asks, "{given} became {got}");
        if got["stream_options"].is_object() && given["stream_options"].is_object() {
            assert_eq!(got["stream_options"]["include_obfuscation"], given["stream_options"]["include_obfuscation"]);
        }
        // Everything else is as it was sent.
        let (mut rest, mut want) = (got, given);
        want["model"] = json!("m");
        for body in [&mut rest, &mut want] {
            body["stream_options"] = json!(null);
        }
        assert_eq!(rest, want);
    }
}

#[test]
fn encoded_bodies_and_other_types_are_refused() {
    let (_mock, gateway) = start("");
    let text = body("p/m", false);
    let send = |headers: &[(&str, &str)]| gateway.call("POST", CHAT, headers, text.as_bytes());
    blamed(&send(&[("content-type", "application/json"), ("content-encoding", "gzip")]), 415, "client");
    blamed(&send(&[("content-type", "text/plain")]), 415, "client");
    blamed(&send(&[("content-type", "application/x-www-form-urlencoded")]), 415, "client");
    blamed(&send(&[]), 415, "client");
    assert_eq!(send(&[("content-type", "application/json; charset=utf-8")]).status, 200);
    assert_eq!(send(&[("content-type", "application/json"), ("content-encoding", "identity")]).status, 200);
}
