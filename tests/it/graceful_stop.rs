//! A signal lets calls in flight finish, takes the gateway out of rotation first, and a second one ends it at once.

use sluice_tests::gateway::Gateway;
use sluice_tests::http::{Connection, End, request};
use sluice_tests::mock::{Gate, Mock, Script};
use sluice_tests::{sse, wait_for};

use crate::support::{CHAT, DONE, blamed, body, finish_event, four_keys, row, setup, stream_until, text_event};

const TERM: i32 = 15;

fn held() -> (Mock, Gateway, Gate) {
    let mock = Mock::start();
    let gate = Gate::new();
    let script = Script::sse_head().chunk(text_event("one")).wait(&gate).chunk(finish_event()).chunk(DONE).end_chunks();
    mock.script("p", script);
    let gateway = setup(&[row(&mock, "p", "")], "").start();
    (mock, gateway, gate)
}

#[test]
fn calls_in_flight_finish() {
    let (_mock, mut gateway, gate) = held();
    let mut connection = gateway.open(CHAT, body("p/m", true));
    let mut got = stream_until(&mut connection, "one");
    gateway.process.signal(TERM);
    // Out of rotation: it says so to probes, and takes no new call.
    wait_for("readiness to go", || {
        let mut probe = Connection::try_open(gateway.address).ok()?;
        probe.send(&request("GET", "/readyz", &gateway.host(), &[], b""));
        (probe.try_reply()?.status == 503).then_some(())
    });
    let refused = gateway.post(CHAT, body("p/m", false));
    blamed(&refused, 503, "gateway");
    assert!(refused.header("retry-after").is_some(), "{:?}", refused.head);
    assert!(gateway.process.exited().is_none(), "a call was cut");
    gate.open();
    got.extend(connection.read_rest());
    assert_eq!(sse::data(&got).last().unwrap(), b"[DONE]");
    let status = gateway.process.wait();
    assert!(status.success(), "{status}");
}

#[test]
fn an_idle_gateway_ends_at_once_though_clients_keep_connections() {
    let (_mock, mut gateway, _gate) = held();
    let mut kept = gateway.connect();
    kept.send(&request("GET", "/livez", &gateway.host(), &[], b""));
    assert_eq!(kept.reply().status, 200);
    gateway.process.signal(TERM);
    let status = gateway.process.wait();
    assert!(status.success(), "{status}");
}

#[test]
fn the_limit_ends_calls_that_do_not() {
    let mock = Mock::start();
    mock.script("p", Script::sse_head().chunk(text_event("one")).stall());
    let mut gateway = setup(&[row(&mock, "p", "")], "server: { limits: { shutdown: 300ms } }").start();
    let mut connection = gateway.open(CHAT, body("p/m", true));
    stream_until(&mut connection, "one");
    gateway.process.signal(TERM);
    // The stream ends as a stream ends that fails, and not in the middle of nothing.
    let rest = connection.read_rest();
    let last = sse::data(&rest).pop().unwrap_or_else(|| panic!("no event: {}", String::from_utf8_lossy(&rest)));
    assert_eq!(four_keys(&last)["code"], "stopping");
    assert_eq!(connection.end(), Some(End::Proper));
    let status = gateway.process.wait();
    assert!(status.success(), "{status}");
    mock.wait_cancelled("p");
    let line = gateway.wait_access("stopping");
    assert!(line.contains("\"outcome\":\"failed\"") && !line.contains("overhead_us"), "{line}");
}

#[test]
fn the_limit_refuses_calls_that_have_no_reply_yet() {
    let mock = Mock::start();
    mock.script("p", Script::new().stall());
    let mut gateway = setup(&[row(&mock, "p", "")], "server: { limits: { shutdown: 300ms } }").start();
    let mut waiting = [false, true].map(|stream| gateway.open(CHAT, body("p/m", stream)));
    mock.wait_request("p", 2);
    gateway.process.signal(TERM);
    for connection in &mut waiting {
        assert_eq!(blamed(&connection.reply(), 503, "gateway")["code"], "stopping");
    }
    assert!(gateway.process.wait().success());
    mock.wait_cancelled("p");
}

#[test]
fn a_second_signal_ends_it() {
    let (mock, mut gateway, _gate) = held();
    let mut connection = gateway.open(CHAT, body("p/m", true));
    stream_until(&mut connection, "one");
    gateway.process.signal(TERM);
    // The first is acted on before the second counts: its log line or the refused probe would do, a repeated signal does always.
    wait_for("the process to end", || {
        if gateway.process.exited().is_none() {
            gateway.process.signal(TERM);
        }
        gateway.process.exited()
    });
    mock.wait_cancelled("p");
}
