//! A provider that is slow, silent or endless: each deadline ends the call in time, in the right shape, and the provider's request is
//! cancelled.
//!
//! Each test shortens the one deadline that it is about; the others keep their defaults, which no test lives long enough to meet.

use std::time::{Duration, Instant};

use sluice_tests::gateway::Gateway;
use sluice_tests::mock::{Mock, Script, Step};
use sluice_tests::sse;

use crate::support::{
    CHAT, DONE, blamed, body, broken_off, event, finish_event, reply, role_event, row, setup, text_event, usage_event,
};

/// Longer than the short deadline plus any scheduling, shorter than every default.
const SOON: Duration = Duration::from_secs(10);

const APART: Duration = Duration::from_millis(20);

fn start(script: Script, more: &str) -> (Mock, Gateway) {
    let mock = Mock::start();
    mock.script("p", script);
    let gateway = setup(&[row(&mock, "p", more)], "").start();
    (mock, gateway)
}

fn timeouts(text: &str) -> String {
    format!("timeouts: {{ {text} }}")
}

/// The call ends as a 504 that blames the provider, and the provider sees the cancellation.
fn ends_in_504(script: Script, timeout: &str, stream: bool) {
    let (mock, gateway) = start(script, &timeouts(timeout));
    let started = Instant::now();
    let reply = gateway.post(CHAT, body("p/m", stream));
    assert!(started.elapsed() < SOON);
    blamed(&reply, 504, "provider");
    mock.wait_cancelled("p");
}

/// The call ends as a stream that broke off after one text, and the provider sees the cancellation.
fn breaks_off(script: Script, timeout: &str) {
    let (mock, gateway) = start(script, &timeouts(timeout));
    let started = Instant::now();
    let reply = gateway.post(CHAT, body("p/m", true));
    assert!(started.elapsed() < SOON);
    let events = broken_off(&reply);
    assert!(events.iter().any(|data| String::from_utf8_lossy(data).contains("one")), "{}", reply.text());
    mock.wait_cancelled("p");
}

#[test]
fn no_head() {
    for stream in [false, true] {
        ends_in_504(Script::new().stall(), "headers: 300ms", stream);
    }
}

#[test]
fn interim_replies_do_not_extend_the_head() {
    let early = Step::Forever("HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n".into(), APART);
    ends_in_504(Script::new().step(early), "headers: 400ms", false);
}

#[test]
fn an_interim_reply_is_not_the_reply() {
    let (_mock, gateway) =
        start(Script::new().write("HTTP/1.1 103 Early Hints\r\n\r\n").write(whole(&reply("hi"))), "");
    let got = gateway.post(CHAT, body("p/m", false));
    assert_eq!((got.status, got.text()), (200, reply("hi")));
}

fn whole(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
        .into_bytes()
}

#[test]
fn whole_body_stalls() {
    let head = [("content-type", "application/json"), ("content-length", "1000")];
    ends_in_504(Script::new().head(200, &head).write("{\"choices\": [").stall(), "reply_body: 300ms", false);
}

#[test]
fn whole_body_drips() {
    let head = [("content-type", "application/json"), ("transfer-encoding", "chunked")];
    ends_in_504(Script::new().head(200, &head).chunk("{").forever(" ", APART), "reply_body: 400ms", false);
}

#[test]
fn no_first_token() {
    ends_in_504(Script::sse_head().stall(), "first_token: 300ms", true);
    ends_in_504(Script::sse_head().chunk(role_event()).stall(), "first_token: 300ms", true);
}

#[test]
fn only_content_is_a_first_token() {
    for noise in [": ping\n\n".to_owned(), role_event(), usage_event()] {
        ends_in_504(Script::sse_head().forever(noise, APART), "first_token: 400ms", true);
    }
}

#[test]
fn silence_between_tokens() {
    breaks_off(Script::sse_head().chunk(role_event()).chunk(text_event("one")).stall(), "idle: 300ms");
}

#[test]
fn only_content_breaks_the_silence() {
    for noise in [": ping\n\n".to_owned(), role_event(), usage_event()] {
        breaks_off(Script::sse_head().chunk(text_event("one")).forever(noise, APART), "idle: 400ms");
    }
}

#[test]
fn content_that_never_ends() {
    breaks_off(Script::sse_head().forever(text_event("one"), APART), "total: 700ms");
}

#[test]
fn content_resets_the_idle_deadline() {
    let slow =
        (0..8).fold(Script::sse_head(), |script, _| script.chunk(text_event("x")).delay(Duration::from_millis(250)));
    let (_mock, gateway) = start(slow.chunk(finish_event()).chunk(DONE).end_chunks(), &timeouts("idle: 1500ms"));
    let reply = gateway.post(CHAT, body("p/m", true));
    assert_eq!(sse::data(&reply.body).len(), 10, "{}", reply.text());
}

#[test]
fn every_kind_of_content_counts() {
    let deltas = [
        serde_json::json!({"reasoning_content": "x"}),
        serde_json::json!({"reasoning": "x"}),
        serde_json::json!({"refusal": "x"}),
        serde_json::json!({"tool_calls": [{"index": 0, "function": {"arguments": "{"}}]}),
        serde_json::json!({"content": [{"type": "text", "text": "x"}]}),
    ];
    for delta in deltas {
        let script = Script::sse_head().chunk(event(delta.clone(), None)).stall();
        let (mock, gateway) = start(script, &timeouts("idle: 300ms"));
        let reply = gateway.post(CHAT, body("p/m", true));
        assert_eq!(broken_off(&reply).len(), 1, "{delta}: {}", reply.text());
        mock.wait_cancelled("p");
    }
}

#[test]
fn an_error_body_that_stalls_keeps_its_status() {
    let head = [("content-type", "application/json"), ("content-length", "1000")];
    let (mock, gateway) = start(Script::new().head(500, &head).write("{").stall(), &timeouts("error_body: 300ms"));
    let started = Instant::now();
    blamed(&gateway.post(CHAT, body("p/m", false)), 500, "provider");
    assert!(started.elapsed() < SOON);
    mock.wait_cancelled("p");
}

#[test]
fn a_connection_that_is_never_accepted() {
    // A listener whose queue is full answers no handshake.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = Vec::new();
    loop {
        match std::net::TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
            Ok(stream) => held.push(stream),
            Err(_) => break,
        }
        assert!(held.len() < 10_000, "the queue never fills");
    }
    let config =
        format!("  p: {{ dialect: openai-chat, base_url: \"http://{address}/v1\", timeouts: {{ connect: 300ms }} }}\n");
    let gateway = setup(&[config], "").start();
    let started = Instant::now();
    let reply = gateway.post(CHAT, body("p/m", false));
    assert!(started.elapsed() < SOON);
    blamed(&reply, 504, "provider");
    assert!(!reply.text().contains(&address.to_string()), "an address reached the client: {}", reply.text());
}

#[test]
fn done_ends_the_call_though_the_connection_stays_open() {
    let script = Script::sse_head().chunk(text_event("one")).chunk(finish_event()).chunk(DONE).stall();
    let (mock, gateway) = start(script, "");
    let started = Instant::now();
    let reply = gateway.post(CHAT, body("p/m", true));
    assert!(started.elapsed() < SOON);
    assert_eq!(sse::data(&reply.body).last().unwrap(), b"[DONE]");
    mock.wait_cancelled("p");
}

#[test]
fn silence_after_the_finish_is_no_error() {
    let script = Script::sse_head().chunk(text_event("one")).chunk(finish_event()).stall();
    let (mock, gateway) = start(script, &timeouts("idle: 300ms"));
    let reply = gateway.post(CHAT, body("p/m", true));
    let events = sse::data(&reply.body);
    assert_eq!(events.len(), 2, "{}", reply.text());
    assert!(!reply.text().contains("\"error\"") && !reply.text().contains("[DONE]"), "{}", reply.text());
    mock.wait_cancelled("p");
}
