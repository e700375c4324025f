//! Heads and bodies: what is served, what is refused, and in which words.

use super::*;

#[test]
fn serves_whole_chunked_and_split_bodies_on_one_connection() {
    let server = Server::start(Limits::default());
    let mut client = server.send(chat_with("x-request-id: mine-1\r\n", "{\"a\":1}"));
    let answer = client.answer();
    assert_eq!((answer.status, answer.body.as_str()), (200, "{\"a\":1}"));
    assert!(answer.has("x-request-id: mine-1") && answer.has("content-type: application/json"), "{}", answer.head);
    assert!(answer.head.contains("date: "), "{}", answer.head);

    for byte in chat("split at every byte").bytes() {
        client.send([byte]);
    }
    assert_eq!(client.answer().body, "split at every byte");

    let big = "x".repeat(3_000_000);
    client.send(chat(&big));
    assert!(client.answer().body == big, "a big body arrives as sent");

    client.send("\r\n".to_owned() + &chat("after an empty line"));
    assert_eq!(client.answer().body, "after an empty line");

    client.send(
        "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n\
         transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\nt: v\r\n\r\n",
    );
    let answer = client.answer();
    assert_eq!(answer.body, "abcde");
    assert!(answer.has("connection: close"), "{}", answer.head);
    client.closed();
}

#[test]
fn http_1_0_is_served() {
    let server = Server::start(Limits::default());
    let mut client = server.send("GET /livez HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().body, "Live");
    client.closed();
    let mut client = server.send("GET /livez HTTP/1.0\r\nconnection: keep-alive\r\n\r\n");
    assert_eq!(client.answer().body, "Live");
    client.send("GET /livez HTTP/1.0\r\n\r\n");
    assert_eq!(client.answer().body, "Live");
    client.closed();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Server::start(Limits::default());
    let mut client = server.send(chat("one") + &chat("two") + "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n");
    assert_eq!(client.answer().body, "one");
    assert_eq!(client.answer().body, "two");
    assert_eq!(client.answer().body, "Live");
}

#[test]
fn ambiguous_framing_is_refused_and_the_connection_closed() {
    let server = Server::start(Limits::default());
    let start = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    let smuggled = "GET /smuggled HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let cases = [
        (400, "content-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, "transfer-encoding: chunked\r\ncontent-length: 3\r\n\r\n0\r\n\r\n"),
        (400, "content-length: 2\r\ncontent-length: 2\r\n\r\n{}"),
        (400, "content-length: 2\r\ncontent-length: 9\r\n\r\n{}"),
        (400, "content-length: +2\r\n\r\n{}"),
        (400, "content-length : 2\r\n\r\n{}"),
        (400, "x: y\r\n folded\r\n\r\n"),
        (400, "x: a\rb\r\n\r\n"),
        (400, "x: a\0\r\n\r\n"),
        (400, "host: two\r\n\r\n"),
        (501, "transfer-encoding: gzip\r\n\r\n"),
    ];
    for (status, fields) in cases {
        let mut client = server.send(format!("{start}{fields}{smuggled}"));
        let answer = client.answer();
        assert_eq!(answer.status, status, "{fields:?}");
        answer.code();
        assert!(answer.has("connection: close"), "{}", answer.head);
        client.closed();
    }
    let mut client = server.send("GET /livez HTTP/1.1\r\n\r\n");
    assert_eq!(client.answer().status, 400, "no host");
    let mut client = server.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    assert_eq!(client.answer().status, 505);
    assert!(server.events.try_recv().is_err(), "no call was made");
}

#[test]
fn a_bad_head_behind_a_call_waits_for_its_reply() {
    let server = Server::start(Limits::default());
    let mut client = server.send(chat("wait") + "BAD\r\n\r\n");
    server.expect("called");
    server.release.send_replace(true);
    assert_eq!(client.answer().body, "released");
    assert_eq!(client.answer().status, 400);
    client.closed();
}

#[test]
fn heads_have_a_size_and_a_time() {
    let limits = Limits { head: Duration::from_millis(200), head_bytes: 9_000, ..Limits::default() };
    let server = Server::start(limits);
    let mut client = server.send(format!("GET /livez HTTP/1.1\r\nhost: x\r\nx: {}", "y".repeat(10_000)));
    let answer = client.answer();
    assert_eq!((answer.status, answer.code().as_str()), (431, "request_head_too_large"));
    client.closed();
    let mut client = server.send(format!("GET /livez HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(101)));
    assert_eq!(client.answer().status, 431);

    let mut client = server.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\nGET /livez HT");
    assert_eq!(client.answer().status, 200);
    let answer = client.answer();
    assert_eq!((answer.status, answer.code().as_str()), (408, "request_head_timeout"));
    client.closed();
}

#[test]
fn bodies_have_a_size_and_a_time() {
    let limits = Limits { body: Duration::from_millis(200), body_bytes: 1_000, ..Limits::default() };
    let server = Server::start(limits);
    let start = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";

    for expect in ["", "expect: 100-continue\r\n"] {
        let mut client = server.send(format!("{start}{expect}content-length: 1001\r\n\r\n"));
        let answer = client.answer();
        assert_eq!((answer.status, answer.code().as_str()), (413, "request_too_large"));
        assert!(answer.has("connection: close"), "{}", answer.head);
        client.finish();
        client.closed();
    }
    let mut client = server.send(format!("{start}transfer-encoding: chunked\r\n\r\n400\r\n{}\r\n", "x".repeat(1024)));
    assert_eq!(client.answer().status, 413);

    let mut client = server.send(format!("{start}content-length: 9\r\n\r\nabc"));
    let answer = client.answer();
    assert_eq!((answer.status, answer.code().as_str()), (408, "request_body_timeout"));

    let mut client = server.send(format!("{start}transfer-encoding: chunked\r\n\r\nzz\r\n"));
    assert_eq!(client.answer().status, 400);

    let mut client = server.send(format!("{start}expect: 100-continue\r\ncontent-length: 3\r\n\r\n"));
    assert_eq!(client.until(b"\r\n\r\n"), b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send("abc");
    assert_eq!(client.answer().body, "abc");
    server.expect("called");
    assert!(server.events.try_recv().is_err(), "only one body was complete");
}

#[test]
fn a_refusal_reaches_a_client_that_still_sends() {
    let server = Server::start(Limits { body_bytes: 1_000, ..Limits::default() });
    let mut client = server.connect();
    client.send("POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 4000000\r\n\r\n");
    client.send(vec![b'x'; 4_000_000]);
    assert_eq!(client.answer().status, 413);
    client.finish();
    client.closed();
}
