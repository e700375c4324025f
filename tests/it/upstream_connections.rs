//! Connections to the provider: reused where that is safe, closed where another caller could get bytes that are not theirs, and repeated
//! once where a kept connection turns out to be dead.

use sluice_tests::gateway::Gateway;
use sluice_tests::http::{Connection, Reply, request};
use sluice_tests::mock::{Gate, Mock, Script};

use crate::support::{CHAT, DONE, blamed, body, finish_event, reply, row, setup, text_event};

/// A client connection stays on one serving thread, and with it on one pool of provider connections.
struct Client<'a>(&'a Gateway, Connection);

impl<'a> Client<'a> {
    fn new(gateway: &'a Gateway) -> Client<'a> {
        Client(gateway, gateway.connect())
    }

    fn post(&mut self, stream: bool) -> Reply {
        let kind = [("content-type", "application/json")];
        self.1.send(&request("POST", CHAT, &self.0.host(), &kind, body("p/m", stream).as_bytes()));
        self.1.reply()
    }
}

fn start(scripts: Vec<Script>) -> (Mock, Gateway) {
    let mock = Mock::start();
    mock.queue("p", scripts);
    let gateway = setup(&[row(&mock, "p", "")], "").start();
    (mock, gateway)
}

/// Connection number and place on it, of each request.
fn places(mock: &Mock) -> Vec<(u64, u32)> {
    mock.exchanges("p").iter().map(|exchange| (exchange.connection, exchange.sequence)).collect()
}

#[test]
fn a_connection_is_reused_after_whole_and_streamed_replies() {
    let stream = Script::sse([text_event("x"), finish_event(), DONE.to_owned()]);
    let (mock, gateway) = start(vec![
        Script::json(200, reply("1")),
        stream,
        Script::json(400, "{\"error\":{}}"),
        Script::json(200, reply("2")),
    ]);
    let mut client = Client::new(&gateway);
    let statuses = [false, true, false, false].map(|stream| client.post(stream).status);
    assert_eq!(statuses, [200, 200, 400, 200]);
    // A connection may come back to the pool a moment after the client's next call.
    let places = places(&mock);
    assert!(places.iter().filter(|(_, sequence)| *sequence > 0).count() >= 2, "{places:?}");
}

#[test]
fn bytes_after_a_reply_never_reach_another_caller() {
    let stray = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n{\"choices\":[66]}";
    let mut whole = sluice_tests::mock::head(
        200,
        &[("content-type", "application/json"), ("content-length", &reply("1").len().to_string())],
    );
    whole.extend_from_slice(reply("1").as_bytes());
    whole.extend_from_slice(stray.as_bytes());
    let (mock, gateway) = start(vec![Script::new().write(whole), Script::json(200, reply("2"))]);
    let mut client = Client::new(&gateway);
    assert_eq!(client.post(false).text(), reply("1"));
    mock.journal().wait_closed(1);
    assert_eq!(client.post(false).text(), reply("2"));
    assert_eq!(places(&mock), [(1, 0), (2, 0)]);
}

#[test]
fn a_connection_that_shows_bytes_while_idle_is_closed() {
    let gate = Gate::new();
    let noisy = Script::json(200, reply("1")).wait(&gate).write("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
    let (mock, gateway) = start(vec![noisy, Script::json(200, reply("2"))]);
    let mut client = Client::new(&gateway);
    assert_eq!(client.post(false).text(), reply("1"));
    gate.open();
    mock.journal().wait_closed(1);
    assert_eq!(client.post(false).text(), reply("2"));
    assert_eq!(places(&mock), [(1, 0), (2, 0)]);
}

#[test]
fn a_request_that_dies_on_a_kept_connection_is_repeated_once() {
    for death in [Script::new().close(), Script::new().reset()] {
        let (mock, gateway) = start(vec![Script::json(200, reply("1")), death, Script::json(200, reply("2"))]);
        let mut client = Client::new(&gateway);
        assert_eq!(client.post(false).status, 200);
        assert_eq!(client.post(false).text(), reply("2"));
        assert_eq!(places(&mock), [(1, 0), (1, 1), (2, 0)]);
        let bodies = mock.exchanges("p");
        assert_eq!(bodies[1].body, bodies[2].body);
    }
}

#[test]
fn it_is_repeated_for_free_once_and_then_costs_attempts() {
    let (mock, gateway) = start(vec![Script::json(200, reply("1")), Script::new().close()]);
    let mut client = Client::new(&gateway);
    assert_eq!(client.post(false).status, 200);
    blamed(&client.post(false), 502, "provider");
    assert_eq!(places(&mock), [(1, 0), (1, 1), (2, 0), (3, 0), (4, 0)]);
}

#[test]
fn a_fresh_connection_that_dies_costs_an_attempt() {
    let (mock, gateway) = start(vec![Script::new().close()]);
    blamed(&Client::new(&gateway).post(false), 502, "provider");
    assert_eq!(places(&mock), [(1, 0), (2, 0), (3, 0)]);
}

#[test]
fn once_a_reply_byte_has_come_nothing_is_repeated_for_free() {
    let (mock, gateway) = start(vec![Script::json(200, reply("1")), Script::new().write("HTTP/1.1 200").close()]);
    let mut client = Client::new(&gateway);
    assert_eq!(client.post(false).status, 200);
    blamed(&client.post(false), 502, "provider");
    assert_eq!(places(&mock), [(1, 0), (1, 1), (2, 0), (3, 0)]);
}

#[test]
fn a_reply_that_asks_for_it_closes_the_connection() {
    let headers = [("content-type", "application/json"), ("connection", "close")];
    let (mock, gateway) = start(vec![Script::whole(200, &headers, reply("1"))]);
    let mut client = Client::new(&gateway);
    for _ in 0..2 {
        let got = client.post(false);
        assert_eq!(got.text(), reply("1"));
        // The provider's wish about its own connection is not ours to pass on.
        assert_eq!(got.header("connection"), None);
    }
    assert_eq!(places(&mock), [(1, 0), (2, 0)]);
}
