//! The mock and the raw client judge everything else, so they are tested against each other and by hand-written bytes.

use std::time::Duration;

use super::*;
use crate::http::{Connection, End, request};

fn post(mock: &Mock, path: &str, body: &[u8]) -> Connection {
    let mut connection = Connection::open(mock.address());
    connection.send(&request("POST", path, "mock", &[("content-type", "application/json")], body));
    connection
}

#[test]
fn whole_reply_on_a_kept_connection_with_journal() {
    let mock = Mock::start();
    mock.queue("plain", vec![Script::json(200, "{\"a\":1}"), Script::json(429, "{}")]);
    let mut connection = post(&mock, "/plain/v1/chat/completions", b"{\"x\": 1}");
    let first = connection.reply();
    assert_eq!((first.status, first.text().as_str(), first.end), (200, "{\"a\":1}", End::Proper));
    connection.send(b"POST /plain/v1/x HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n");
    assert_eq!(connection.reply().status, 429);
    let second = mock.wait_request("plain", 2);
    assert_eq!((second.body.as_slice(), second.connection, second.sequence), (&b"abcd"[..], 1, 1));
    let first = &mock.exchanges("plain")[0];
    assert_eq!((first.method.as_str(), first.target.as_str()), ("POST", "/plain/v1/chat/completions"));
    assert!(first.head.raw.starts_with(b"POST /plain/v1/chat/completions HTTP/1.1\r\nhost: mock\r\n"));
    assert_eq!(first.ending, Ending::Done);
    drop(connection);
    mock.journal().wait_closed(1);
}

#[test]
fn by_model_name_by_function_and_unknown() {
    let mock = Mock::start();
    mock.script("case-7", Script::json(200, "7"));
    mock.on("echo", |exchange| Script::json(200, &exchange.body));
    assert_eq!(post(&mock, "/v1/chat/completions", b"{\"model\":\"case-7\"}").reply().text(), "7");
    assert_eq!(post(&mock, "/echo/v1/chat/completions", b"[1]").reply().text(), "[1]");
    assert_eq!(post(&mock, "/none/v1", b"{}").reply().status, 404);
}

#[test]
fn gates_hold_and_chunks_are_as_scripted() {
    let mock = Mock::start();
    let gate = Gate::new();
    mock.script("slow", Script::sse_head().chunk("data: 1\n\n").wait(&gate).chunk("data: 2\n\n").end_chunks());
    let mut connection = post(&mock, "/slow/v1", b"{}");
    assert_eq!(connection.read_head().unwrap().get("content-type"), Some("text/event-stream"));
    assert_eq!(connection.read_piece().unwrap(), b"data: 1\n\n");
    connection.read_timeout(Duration::from_millis(100));
    let silent = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| connection.read_piece()));
    assert!(silent.is_err(), "a byte came through a closed gate");
    connection.read_timeout(crate::LIMIT);
    gate.open();
    assert_eq!(connection.read_rest(), b"data: 2\n\n");
    assert_eq!(connection.end(), Some(End::Proper));
}

#[test]
fn leaving_is_journalled_while_nothing_flows() {
    let mock = Mock::start();
    mock.script("stall", Script::new().stall());
    mock.script("never", Script::sse_head().forever(": ping\n\n", Duration::from_millis(1)));
    for name in ["stall", "never"] {
        let connection = post(&mock, &format!("/{name}/v1"), b"{}");
        mock.wait_request(name, 1);
        drop(connection);
        assert_eq!(mock.wait_cancelled(name).ending, Ending::Cancelled);
    }
    // Half a request that is given up is an exchange too, without its body.
    let mut connection = Connection::open(mock.address());
    connection.send(b"POST /stall/v1 HTTP/1.1\r\ncontent-length: 10\r\n\r\nabc");
    connection.half_close();
    mock.journal().wait("stall", "the second request", |of| (of.len() == 2).then_some(()));
    assert!(!mock.wait_cancelled("stall").body_complete);
}

#[test]
fn lies_cuts_and_extra_bytes_reach_the_client_as_written() {
    let mock = Mock::start();
    mock.script("short", Script::new().head(200, &[("content-length", "10")]).write("abc").close());
    mock.script("cut", Script::sse_head().chunk("data: 1\n\n").reset());
    mock.script("close", Script::new().head(200, &[]).write("until the end").close());
    mock.script("extra", Script::json(200, "{}").write("more").close());
    mock.script("interim", Script::new().write("HTTP/1.1 103 Early\r\n\r\n").head(204, &[]));
    mock.script("early", Script::json(413, "{}").early().close());
    let end = |name: &str| {
        let mut connection = post(&mock, &format!("/{name}/v1"), b"{}");
        connection.try_reply().map(|reply| (reply.status, reply.text(), reply.end))
    };
    assert_eq!(end("short"), Some((200, "abc".into(), End::Cut)));
    assert!(end("cut").is_none_or(|(_, _, end)| end == End::Cut));
    assert_eq!(end("close"), Some((200, "until the end".into(), End::Close)));
    assert_eq!(end("extra"), Some((200, "{}".into(), End::Proper)));
    assert_eq!(end("interim"), Some((204, String::new(), End::Proper)));
    let mut connection = Connection::open(mock.address());
    connection.send(b"POST /early/v1 HTTP/1.1\r\ncontent-length: 100\r\n\r\n");
    assert_eq!(connection.reply().status, 413);
}

#[test]
fn a_dead_provider_breaks_what_it_was_doing_and_refuses_more() {
    let mock = Mock::start();
    mock.script("slow", Script::sse_head().chunk("data: 1\n\n").stall());
    let mut connection = post(&mock, "/slow/v1", b"{}");
    connection.read_head().unwrap();
    assert_eq!(connection.read_piece().unwrap(), b"data: 1\n\n");
    mock.die();
    assert_eq!(connection.read_rest(), b"");
    assert_eq!(connection.end(), Some(End::Cut));
    crate::wait_for("the listener to be gone", || Connection::try_open(mock.address()).err());
}
