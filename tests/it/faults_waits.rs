//! When Sluice waits before it asks again, when it does not, and what the client is told once it gives up.

use std::time::{Duration, Instant};

use serde_json::json;
use sluice_dialect::Dialect;
use sluice_tests::gateway::Gateway;
use sluice_tests::http::Reply;
use sluice_tests::mock::{Mock, Script};

use crate::faults_support::{error, routed, row};
use crate::support::{CHAT, blamed, body, finish_event, reply, role_event, text_event};

/// Less than any wait that is asked for here and must not be made.
const AT_ONCE: Duration = Duration::from_secs(12);

const CHAT_DIALECT: Dialect = Dialect::OpenaiChat;

fn fails(status: u16, wish: Option<&str>) -> Script {
    error(CHAT_DIALECT, status, wish)
}

fn works() -> Script {
    Script::json(200, reply("hi"))
}

/// A gateway with the route `one` to the provider `p` alone, and `two` to it and then to `q`, with this `retry:`.
fn start(retry: &str, scripts: Vec<Script>) -> (Mock, Gateway) {
    let mock = Mock::start();
    mock.queue("p", scripts);
    mock.script("q", Script::json(200, reply("from q")));
    let rows = row("p", CHAT_DIALECT, &mock.base("p"), "") + &row("q", CHAT_DIALECT, &mock.base("q"), "");
    let routes = format!("  one: {{ tiers: [p/m], {retry} }}\n  two: {{ tiers: [p/m, q/m], {retry} }}\n");
    let gateway = routed(&rows, &routes, "").start();
    (mock, gateway)
}

fn timed(gateway: &Gateway, route: &str, stream: bool) -> (Reply, Duration) {
    let started = Instant::now();
    let reply = gateway.post(CHAT, body(route, stream));
    (reply, started.elapsed())
}

#[test]
fn the_only_target_is_asked_again() {
    for (status, retries) in [(500, 1), (503, 2), (529, 2)] {
        let mut scripts = vec![fails(status, None); retries];
        scripts.push(works());
        let (mock, gateway) = start("", scripts);
        let (got, _) = timed(&gateway, "one", false);
        assert_eq!(got.status, 200, "{status}: {}", got.text());
        assert_eq!(mock.journal().count("p"), retries + 1, "{status}");
    }
}

#[test]
fn no_call_has_more_attempts_than_its_budget() {
    for (retry, attempts) in [("", 3), ("retry: { attempts: 1 }", 1), ("retry: { attempts: 2 }", 2)] {
        for stream in [false, true] {
            let (mock, gateway) = start(retry, vec![fails(500, None)]);
            let (got, took) = timed(&gateway, "one", stream);
            blamed(&got, 500, "provider");
            assert_eq!(mock.journal().count("p"), attempts, "{retry}");
            assert!(got.header("x-should-retry").is_some(), "{:?}", got.head);
            assert!(took < AT_ONCE, "{took:?}");
        }
    }
}

#[test]
fn retries_and_fallbacks_share_one_budget() {
    let (mock, gateway) = start("retry: { attempts: 2 }", vec![fails(500, None)]);
    mock.script("q", fails(503, None));
    let (got, _) = timed(&gateway, "two", false);
    assert_eq!(got.status, 503, "{}", got.text());
    assert_eq!((mock.journal().count("p"), mock.journal().count("q")), (1, 1));
}

#[test]
fn the_delay_that_a_provider_asks_for_is_kept() {
    for (name, wish, wait) in [("retry-after", "1", 1000), ("retry-after-ms", "700", 700)] {
        let refused = Script::whole(
            429,
            &[("content-type", "application/json"), (name, wish)],
            json!({"error": {"message": "slow down", "type": "rate_limit_error", "code": "rate_limit_exceeded"}})
                .to_string(),
        );
        let (mock, gateway) = start("", vec![refused, works()]);
        let (got, took) = timed(&gateway, "one", false);
        assert_eq!(got.status, 200, "{name}: {}", got.text());
        assert!(took >= Duration::from_millis(wait), "{name}: asked again after {took:?}");
        assert_eq!(mock.journal().count("p"), 2, "{name}");
    }
}

/// Longer than the time left, a date, negative, junk: nobody waits, and the next target is asked at once.
const WISHES: [&str; 5] = ["40", "Wed, 21 Oct 2093 07:28:00 GMT", "-3", "soon", "1e400"];

#[test]
fn nobody_waits_for_a_delay_that_cannot_be_kept() {
    for status in [429, 503] {
        for wish in WISHES {
            let (mock, gateway) = start("retry: { deadline: 20s }", vec![fails(status, Some(wish))]);
            let (got, took) = timed(&gateway, "two", false);
            assert!(got.status == 200 && got.text().contains("from q"), "{status} {wish}: {}", got.text());
            assert!(took < AT_ONCE, "{status} {wish}: {took:?}");
            assert_eq!((mock.journal().count("p"), mock.journal().count("q")), (1, 1), "{status} {wish}");
        }
    }
}

#[test]
fn the_client_gets_the_delay_when_there_is_nobody_else() {
    for wish in WISHES {
        let (mock, gateway) = start("retry: { deadline: 20s }", vec![fails(429, Some(wish))]);
        let (got, took) = timed(&gateway, "one", false);
        blamed(&got, 429, "provider");
        assert!(took < AT_ONCE, "{wish}: {took:?}");
        assert_eq!(mock.journal().count("p"), 1, "{wish}");
        assert_eq!(got.head.all("retry-after"), [wish], "{:?}", got.head);
        assert!(got.header("x-should-retry").is_some(), "{:?}", got.head);
    }
}

#[test]
fn what_no_other_try_would_change_is_not_tried() {
    for status in [400, 404, 413, 422] {
        let (mock, gateway) = start("", vec![fails(status, None)]);
        for route in ["one", "two"] {
            mock.journal().clear();
            let (got, _) = timed(&gateway, route, false);
            blamed(&got, status, "provider");
            assert_eq!((mock.journal().count("p"), mock.journal().count("q")), (1, 0), "{status} {route}");
            assert_eq!(got.header("x-should-retry"), Some("false"), "{status} {route}");
        }
    }
}

#[test]
fn a_deadline_bounds_the_whole_call() {
    let (mock, gateway) = start("retry: { attempts: 10, deadline: 1s, backoff: 400ms }", vec![fails(500, None)]);
    let (got, took) = timed(&gateway, "one", false);
    assert_eq!(got.status, 500, "{}", got.text());
    assert!(mock.journal().count("p") < 10 && took < AT_ONCE, "{} in {took:?}", mock.journal().count("p"));
}

#[test]
fn nobody_asks_again_for_a_client_that_left() {
    let (mock, gateway) = start("", vec![fails(429, Some("2")), works()]);
    let connection = gateway.open(CHAT, body("one", false));
    mock.wait_request("p", 1);
    drop(connection);
    // A later call's request shows that time went by and the first was not repeated.
    mock.script("p", works());
    gateway.wait_access("client-gone");
    assert_eq!(mock.journal().count("p"), 1);
}

#[test]
fn a_stream_that_has_begun_is_not_begun_again() {
    let begun = Script::sse_head().chunk(role_event()).chunk(text_event("one"));
    for end in [begun.clone().close(), begun.end_chunks()] {
        let (mock, gateway) = start("", vec![end, Script::sse([text_event("two"), finish_event()])]);
        let (got, _) = timed(&gateway, "two", true);
        crate::support::broken_off(&got);
        assert!(!got.text().contains("two"), "{}", got.text());
        assert_eq!((mock.journal().count("p"), mock.journal().count("q")), (1, 0));
    }
}

#[test]
fn a_silent_provider_cannot_outlast_the_calls_deadline() {
    for stream in [false, true] {
        let (mock, gateway) = start("retry: { deadline: 1s }", vec![Script::new().stall()]);
        let (got, took) = timed(&gateway, "one", stream);
        blamed(&got, 504, "provider");
        assert!(took < AT_ONCE, "{took:?}");
        mock.wait_cancelled("p");
        assert_eq!(mock.journal().count("p"), 1);
    }
}
