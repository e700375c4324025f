//! A client that leaves cancels the provider's request at once, in each phase of a call, although no byte flows; one that closes only
//! its sending half counts as gone.

use std::time::{Duration, Instant};

use sluice_tests::http::request;
use sluice_tests::mock::{Ending, Mock, Script, Step, chunk};

use crate::support::{CHAT, body, finish_event, gateway, reply, role_event, stream_until, text_event};

/// Far below every default deadline: only the client's leaving can have ended the call.
const AT_ONCE: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
enum Phase {
    BeforeHead,
    BeforeContent,
    MidSilence,
    BeforeUsage,
}

const PHASES: [Phase; 4] = [Phase::BeforeHead, Phase::BeforeContent, Phase::MidSilence, Phase::BeforeUsage];

fn script(phase: Phase) -> Script {
    match phase {
        Phase::BeforeHead => Script::new().stall(),
        Phase::BeforeContent => Script::sse_head().chunk(role_event()).stall(),
        Phase::MidSilence => Script::sse_head().chunk(role_event()).chunk(text_event("one")).stall(),
        Phase::BeforeUsage => Script::sse_head().chunk(text_event("one")).chunk(finish_event()).stall(),
    }
}

fn leaves(half: bool, more: &[u8]) {
    let mock = Mock::start();
    let gateway = gateway(&mock, &["p"]);
    for phase in PHASES {
        mock.script("p", script(phase));
        let mut connection = gateway.connect();
        let mut bytes = request(
            "POST",
            CHAT,
            &gateway.host(),
            &[("content-type", "application/json")],
            body("p/m", true).as_bytes(),
        );
        bytes.extend_from_slice(more);
        let before = mock.journal().count("p");
        connection.send(&bytes);
        mock.wait_request("p", before + 1);
        match phase {
            Phase::BeforeHead | Phase::BeforeContent => {}
            Phase::MidSilence => drop(stream_until(&mut connection, "one")),
            Phase::BeforeUsage => drop(stream_until(&mut connection, "\"stop\"")),
        }
        let left = Instant::now();
        if half {
            connection.half_close();
        } else {
            drop(connection);
        }
        let exchange = mock.wait_cancelled("p");
        assert_eq!(mock.journal().count("p"), before + 1, "{phase:?}: repeated for a client that had left");
        let ended = exchange.ended.expect("an end");
        assert!(ended.saturating_duration_since(left) < AT_ONCE, "{phase:?}");
    }
}

#[test]
fn by_closing() {
    leaves(false, b"");
}

#[test]
fn by_half_closing() {
    leaves(true, b"");
}

#[test]
fn with_bytes_pipelined_behind_the_request() {
    leaves(false, b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n");
}

#[test]
fn while_a_whole_reply_is_awaited() {
    let mock = Mock::start();
    let gateway = gateway(&mock, &["p"]);
    let head = [("content-type", "application/json"), ("content-length", "1000")];
    for script in [
        Script::new().stall(),
        Script::new().head(200, &head).write("{").stall(),
        Script::new().head(500, &head).stall(),
    ] {
        mock.script("p", script);
        let before = mock.journal().count("p");
        let connection = gateway.open(CHAT, body("p/m", false));
        mock.wait_request("p", before + 1);
        drop(connection);
        mock.wait_cancelled("p");
    }
}

#[test]
fn while_the_provider_sends_without_end() {
    let mock = Mock::start();
    let gateway = gateway(&mock, &["p"]);
    // More than socket buffers hold, to a client that does not read: the pump is blocked at the client's side.
    mock.script("p", Script::sse_head().forever(text_event(&"x".repeat(60_000)), Duration::ZERO));
    let mut connection = gateway.open(CHAT, body("p/m", true));
    stream_until(&mut connection, "xxx");
    drop(connection);
    mock.wait_cancelled("p");
}

#[test]
fn a_client_that_does_not_read_does_not_fill_the_memory() {
    let mock = Mock::start();
    let gateway = gateway(&mock, &["p", "q"]);
    let piece = bytes::Bytes::from(chunk(text_event(&"x".repeat(100_000)).as_bytes()));
    mock.script("p", (0..2_000).fold(Script::sse_head(), |script, _| script.step(Step::Write(piece.clone()))));
    mock.script("q", Script::json(200, reply("hi")));
    let connection = gateway.open(CHAT, body("p/m", true));
    mock.wait_request("p", 1);
    // Other calls are the clock: while they are served, 200 MB that nobody reads must not flow into the gateway.
    for _ in 0..300 {
        assert_eq!(gateway.post(CHAT, body("q/m", false)).status, 200);
    }
    assert_eq!(mock.last("p").ending, Ending::Running);
    drop(connection);
    mock.wait_cancelled("p");
}

/// The wait that a leaving client cuts off is the provider's: it must not count as the gateway's own time.
#[test]
fn a_client_that_leaves_says_nothing_of_overhead() {
    let mock = Mock::start();
    let gateway = gateway(&mock, &["p"]);
    let counted = || {
        let text = gateway.get("/metrics").text();
        text.lines().find(|line| line.starts_with("sluice_overhead_seconds_count")).map(str::to_owned)
    };
    let before = counted();
    for phase in PHASES {
        mock.script("p", script(phase));
        let requests = mock.journal().count("p");
        let connection = gateway.open(CHAT, body("p/m", true));
        mock.wait_request("p", requests + 1);
        drop(connection);
    }
    let lines = sluice_tests::wait_for("the lines in the log", || {
        let text = gateway.process.out.text();
        let gone: Vec<String> = text.lines().filter(|line| line.contains("client-gone")).map(str::to_owned).collect();
        (gone.len() == PHASES.len()).then_some(gone)
    });
    assert!(lines.iter().all(|line| !line.contains("overhead_us")), "{lines:?}");
    assert_eq!(counted(), before);
}
