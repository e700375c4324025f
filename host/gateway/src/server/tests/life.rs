//! Clients that leave, stall or stay, and a server that stops.

use super::*;

#[test]
fn a_client_that_leaves_drops_its_call_at_once() {
    let server = Server::start(Limits::default());
    // Half-closed, closed, with bytes of a next request behind, and with an unfinished one.
    for behind in ["", "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n", "GET /li"] {
        let client = server.send(chat("hang") + behind);
        server.expect("called");
        client.finish();
        server.expect("call dropped");
        let client = server.send(chat("hang") + behind);
        server.expect("called");
        drop(client);
        server.expect("call dropped");
    }
}

#[test]
fn bytes_that_come_during_a_call_do_not_hide_the_end() {
    let server = Server::start(Limits::default());
    let mut client = server.send(chat("hang"));
    server.expect("called");
    client.send("GET /livez HTTP/1.1\r\n");
    client.send("host: x\r\n\r\n");
    client.finish();
    server.expect("call dropped");
    client.closed();
}

#[test]
fn a_client_that_leaves_drops_an_idle_stream() {
    let server = Server::start(Limits::default());
    for behind in ["", "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n"] {
        let mut client = server.send(chat("stream") + behind);
        server.expect("called");
        client.until(b"data: 1\n\n");
        client.finish();
        server.expect("stream dropped");
    }
}

#[test]
fn a_client_that_leaves_within_its_body_makes_no_call() {
    let server = Server::start(Limits::default());
    let start = "POST /v1/chat/completions HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n";
    for rest in ["content-length: 9\r\n\r\nabc", "transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n"] {
        let mut client = server.send(format!("{start}{rest}"));
        client.finish();
        client.closed();
    }
    assert!(server.events.try_recv().is_err());
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let server = Server::start(Limits { stall: Duration::from_millis(200), ..Limits::default() });
    let _client = server.send(chat("flood"));
    server.expect("called");
    server.expect("stream dropped");
}

#[test]
fn idle_connections_close() {
    let server = Server::start(Limits { idle: Duration::from_millis(200), ..Limits::default() });
    server.connect().closed();
    let mut client = server.send(chat("{}"));
    assert_eq!(client.answer().status, 200);
    client.closed();
}

#[test]
fn more_connections_than_allowed_wait() {
    let server = Server::start(Limits { max_connections: 2, ..Limits::default() });
    let mut clients: Vec<Client> =
        (0..8).map(|_| server.send("GET /livez HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")).collect();
    for client in &mut clients {
        assert_eq!(client.answer().status, 200);
        client.closed();
    }
}

#[test]
fn a_drained_server_finishes_its_calls() {
    // One thread: once the idle connection is closed, the other knows as well.
    let mut server = Server::start_on(1, Limits::default());
    let mut idle = server.send(chat("{}"));
    assert_eq!(idle.answer().status, 200);
    server.expect("called");
    let mut waiting = server.send(chat("wait") + &chat("too late"));
    server.expect("called");
    assert_eq!(server.running.as_ref().unwrap().calls(), 1);
    server.shutdown.drain();
    assert!(server.shutdown.is_draining());
    idle.closed();
    server.release.send_replace(true);
    let answer = waiting.answer();
    assert_eq!(answer.body, "released");
    assert!(answer.has("connection: close"), "{}", answer.head);
    waiting.closed();
    server.join();
    assert!(TcpStream::connect(server.address).is_err());
    assert!(server.events.try_recv().is_err(), "no further call was made");
}

#[test]
fn calls_that_outlast_the_drain_are_cut() {
    let mut server = Server::start(Limits { shutdown: Duration::from_millis(100), ..Limits::default() });
    let mut client = server.send(chat("hang"));
    server.expect("called");
    server.shutdown.drain();
    server.expect("call dropped");
    server.join();
    client.closed();
}

#[test]
fn a_site_that_cannot_be_made_stops_the_start() {
    let listening = Listening::open(&[SocketAddr::from(([127, 0, 0, 1], 0))], 2, Vec::new()).unwrap();
    let result = serve(listening, &Shutdown::default(), |index| {
        if index == 0 { Err::<Rc<TestSite>, _>("no chain".to_owned()) } else { Err("no".to_owned()) }
    });
    assert!(result.unwrap_err().starts_with("no"));
}
