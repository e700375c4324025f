//! HTTP/2 to providers: found out by TLS, spread over connections, repeated where nobody has looked at a call, and ended stream by stream.

use std::path::Path;
use std::thread;

use sluice_tests::gateway::Gateway;
use sluice_tests::wait_for;

use crate::frames::{Act, Frames, Seen, identity};
use crate::support::{CHAT, blamed, body, broken_off, reply, setup, stream_until};

/// The reset of a stream that its client does not want any more.
const CANCEL: u32 = 8;

/// A gateway with one thread before a provider `up`, with further settings of it and of the network.
fn gateway(base: &str, more: &str, network: &str) -> Gateway {
    let row = format!("  up: {{ dialect: openai-chat, base_url: \"{base}\", keys: [\"env:MOCK_KEY\"]{more} }}\n");
    setup(&[row], &format!("server: {{ threads: 1 }}\n{network}")).start()
}

/// Before a provider that is known to speak HTTP/2, without TLS.
fn plain(mock: &Frames, more: &str) -> Gateway {
    gateway(&format!("http://{}/v1", mock.address), &format!(", http: 2{more}"), "")
}

fn over_tls(mock: &Frames, ca: &Path, more: &str) -> Gateway {
    let network = format!("network: {{ ca: [\"{}\"] }}\n", ca.display());
    gateway(&format!("https://{}/v1", mock.address), more, &network)
}

fn call(gateway: &Gateway) -> sluice_tests::http::Reply {
    gateway.post(CHAT, body("m", false))
}

#[test]
fn three_hundred_calls_at_once_share_few_connections() {
    const CALLS: usize = 300;
    let folder = tempfile::tempdir().unwrap();
    let (tls, ca) = identity(folder.path(), "127.0.0.1", &["h2", "http/1.1"]);
    let mock = Frames::start(Some(tls), |_| Act::Held(reply("by two")));
    let gateway = over_tls(&mock, &ca, "");
    thread::scope(|scope| {
        let calls: Vec<_> = (0..CALLS).map(|_| scope.spawn(|| call(&gateway))).collect();
        wait_for("all calls at the provider", || (mock.calls() == CALLS).then_some(()));
        let most = mock.most();
        assert_eq!(most.iter().sum::<usize>(), CALLS, "{most:?}");
        assert!(most.iter().all(|most| *most <= 80), "{most:?}");
        assert_eq!((most.len(), mock.connections()), (4, 4), "no more than they need");
        mock.open();
        for call in calls {
            let reply = call.join().unwrap();
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
    });
    // What is over makes room: the connections serve on.
    for _ in 0..3 {
        assert_eq!(call(&gateway).status, 200);
    }
    assert_eq!(mock.connections(), 4);
}

#[test]
fn a_provider_says_by_tls_which_http_it_speaks() {
    for (offered, written, status) in [
        (&["h2", "http/1.1"][..], "", 200),
        (&["http/1.1"][..], "", 200),
        (&["h2", "http/1.1"][..], ", http: 1", 200),
        (&["h2"][..], ", http: 2", 200),
        (&["http/1.1"][..], ", http: 2", 502),
        (&[][..], "", 200),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let (tls, ca) = identity(folder.path(), "127.0.0.1", offered);
        let mock = Frames::start(Some(tls), |_| Act::Reply(reply("ok")));
        let gateway = over_tls(&mock, &ca, written);
        for _ in 0..3 {
            let reply = call(&gateway);
            assert_eq!(reply.status, status, "{offered:?} {written:?}: {}", reply.text());
        }
        if status == 200 {
            assert_eq!((mock.calls(), mock.connections()), (3, 1), "{offered:?} {written:?}");
            let two = mock.seen().iter().any(|seen| matches!(seen, Seen::Call { stream: 1.., .. }));
            assert_eq!(two, offered.contains(&"h2") && !written.contains('1'), "{offered:?} {written:?}");
        } else {
            assert_eq!(mock.calls(), 0);
        }
    }
}

#[test]
fn what_nobody_has_looked_at_is_repeated_once_and_free() {
    for lost in [Act::GoAway, Act::Refuse, Act::Close] {
        let act = lost.clone();
        let mock = Frames::start(None, move |number| if number == 1 { act.clone() } else { Act::Reply(reply("ok")) });
        let gateway = plain(&mock, "");
        for _ in 0..3 {
            let reply = call(&gateway);
            assert_eq!(reply.status, 200, "{lost:?}: {}", reply.text());
        }
        assert_eq!((mock.calls(), mock.connections()), (4, 2), "{lost:?}");
        let told = |attempts: &str| gateway.process.out.all().iter().filter(|line| line.contains(attempts)).count();
        wait_for("three calls of one attempt each", || (told("\"attempts\":1") == 3).then_some(()));
    }
}

#[test]
fn a_repeat_is_not_repeated() {
    for lost in [Act::GoAway, Act::Refuse] {
        let act = lost.clone();
        let mock = Frames::start(None, move |_| act.clone());
        let gateway = plain(&mock, "");
        blamed(&call(&gateway), 502, "provider");
        let attempts = gateway.wait_access("\"attempts\":");
        let attempts = (1..=3).find(|count| attempts.contains(&format!("\"attempts\":{count}"))).unwrap();
        assert_eq!(mock.calls(), 2 * attempts, "{lost:?}: two for each attempt");
    }
}

#[test]
fn who_wants_http_1_gets_it() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, ca) = identity(folder.path(), "127.0.0.1", &["h2", "http/1.1"]);
    let act = |number| if number == 0 { Act::Downgrade } else { Act::Reply(reply("by one")) };
    let mock = Frames::start(Some(tls), act);
    let gateway = over_tls(&mock, &ca, "");
    for _ in 0..2 {
        let reply = call(&gateway);
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert!(mock.seen().ends_with(&[Seen::Call { connection: 1, stream: 0 }, Seen::Call { connection: 1, stream: 0 }]));
}

#[test]
fn a_client_that_leaves_resets_its_stream_and_no_other() {
    let mock = Frames::start(None, |_| Act::Begun("begun".to_owned()));
    let gateway = plain(&mock, "");
    let mut stays = gateway.open(CHAT, body("m", true));
    let mut head = stream_until(&mut stays, "begun");
    let mut leaves = gateway.open(CHAT, body("m", true));
    stream_until(&mut leaves, "begun");
    drop(leaves);
    let reset = Seen::Reset { connection: 0, stream: 3, code: CANCEL };
    wait_for("the reset", || mock.seen().contains(&reset).then_some(()));
    mock.open();
    head.extend(stays.read_rest());
    assert!(String::from_utf8_lossy(&head).contains("[DONE]"));
    assert_eq!(mock.connections(), 1);
}

#[test]
fn a_stream_that_is_cut_after_content_ends_with_an_error() {
    for cut in [Act::Cut("begun".to_owned()), Act::Left("begun".to_owned())] {
        let act = cut.clone();
        let mock = Frames::start(None, move |_| act.clone());
        let gateway = plain(&mock, "");
        let events = broken_off(&gateway.post(CHAT, body("m", true)));
        assert!(events.iter().any(|event| String::from_utf8_lossy(event).contains("begun")), "{cut:?}");
        assert_eq!(mock.calls(), 1, "{cut:?}: content has gone out");
    }
}

#[test]
fn a_head_that_does_not_come_is_late_and_its_stream_is_reset() {
    let mock = Frames::start(None, |_| Act::Nothing);
    let gateway = plain(&mock, ", timeouts: { headers: 300ms }");
    let error = blamed(&call(&gateway), 504, "provider");
    assert_eq!(error["code"], "headers_timeout");
    wait_for("the reset", || {
        mock.seen().iter().any(|seen| matches!(seen, Seen::Reset { code: CANCEL, .. })).then_some(())
    });
}

#[test]
fn connecting_has_its_time() {
    // It takes connections, and says nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("https://{}/v1", listener.local_addr().unwrap());
    let gateway = gateway(&base, ", timeouts: { connect: 300ms }", "");
    let error = blamed(&call(&gateway), 504, "provider");
    assert_eq!(error["code"], "connect_timeout");
}

#[test]
fn tls_that_fails_says_why_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let (tls, _) = identity(folder.path(), "127.0.0.1", &["h2"]);
    let stranger = Frames::start(Some(tls), |_| Act::Nothing);
    let (tls, ca) = identity(folder.path(), "elsewhere.test", &["h2"]);
    let misnamed = Frames::start(Some(tls), |_| Act::Nothing);
    let unknown = gateway(&format!("https://{}/v1", stranger.address), "", "");
    for (gateway, expected) in [(unknown, "network.ca"), (over_tls(&misnamed, &ca, ""), "not valid for name")] {
        let error = blamed(&call(&gateway), 502, "provider");
        assert_eq!(error["code"], "connect_failed");
        gateway.wait_access(expected);
    }
}

#[test]
fn what_speaks_no_http_2_is_a_protocol_error() {
    let mock = sluice_tests::mock::Mock::start();
    let gateway = gateway(&mock.base("up"), ", http: 2", "");
    let error = blamed(&call(&gateway), 502, "provider");
    assert!(["protocol_error", "connection_reset"].contains(&error["code"].as_str().unwrap()), "{error}");
}
