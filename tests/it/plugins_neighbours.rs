//! What others notice of a plugin that takes its whole limit, many times at once: nothing but their share of the machine.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sluice_tests::gateway::Gateway;
use sluice_tests::mock::Mock;

use crate::plugins_support::{PATIENT, active, asking, errors, says, start, text_of};
use crate::support::{CHAT, blamed};

const LIMIT: Duration = Duration::from_secs(2);
const AT_ONCE: usize = 8;

fn with_hostile(mock: &Mock, mode: &str, more: &str) -> Gateway {
    let hostile = format!(
        "limits: {{ wall: 2s, delta: 2s, start: 20s{more} }}\nsettings: {{ mode: {mode}, hook: request, trigger: \"now!\" }}\n"
    );
    let guard = format!("order: 1\n{PATIENT}\nsettings: {{ words: [secret], action: mask }}\n");
    start(mock, &[("hostile", "hostile", &hostile), ("guard", "deny-words", &guard)])
}

/// Eight calls misbehave at once; meanwhile others are served, whole and streamed, by the other plugin and past the hostile one.
fn crowd(mode: &str) {
    let mock = Mock::start();
    says(&mock, &["a secr", "et word"]);
    let gateway = with_hostile(&mock, mode, "");
    let (begun, ended) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let mut served = 0;
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                begun.fetch_add(1, Ordering::SeqCst);
                let began = Instant::now();
                let reply = gateway.post(CHAT, asking("now!", false));
                let spent = began.elapsed();
                assert_eq!(blamed(&reply, 500, "plugin")["code"], "plugin_error");
                assert!(spent > LIMIT / 2 && spent < LIMIT * 10, "{spent:?}");
                ended.fetch_add(1, Ordering::SeqCst);
            });
        }
        sluice_tests::wait_for("the crowd", || (begun.load(Ordering::SeqCst) == AT_ONCE).then_some(()));
        while ended.load(Ordering::SeqCst) == 0 {
            let reply = gateway.post(CHAT, asking("be good", served % 2 == 1));
            assert_eq!((reply.status, text_of(&reply).as_str()), (200, "a *** word"), "{}", reply.text());
            served += 1;
        }
    });
    assert!(served >= 5, "only {served} calls were served while {mode} ran");
    assert_eq!(errors(&active(&gateway, "hostile"), "timeout"), AT_ONCE as u64);
    let guard = active(&gateway, "guard");
    for (kind, count) in guard["counters"]["errors"].as_object().unwrap() {
        assert_eq!(count.as_u64(), Some(0), "the guard was booked with {kind}");
    }
    assert_eq!(gateway.post(CHAT, asking("be good", false)).status, 200);
}

#[test]
fn eight_spinning_at_once_leave_others_alone() {
    crowd("spin");
}

#[test]
fn eight_sleeping_at_once_leave_others_alone() {
    crowd("sleep");
}

#[test]
fn more_at_once_than_its_limit_is_an_overload_at_once() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let gateway = with_hostile(&mock, "sleep", ", concurrency: 1");
    std::thread::scope(|scope| {
        // Whichever of the two comes first has the only place, so the sleeper may be the one that is refused: it asks until it is let in.
        let sleeper = scope.spawn(|| {
            loop {
                let reply = gateway.post(CHAT, asking("now!", false));
                if reply.status != 503 {
                    return reply;
                }
            }
        });
        let refused = sluice_tests::wait_for("a call beside the sleeping one", || {
            assert!(!sleeper.is_finished(), "the sleeper ended before anyone was refused");
            let reply = gateway.post(CHAT, asking("be good", false));
            (reply.status != 200).then_some(reply)
        });
        assert_eq!(blamed(&refused, 503, "plugin")["code"], "plugin_error");
        assert!(refused.header("retry-after").is_some(), "{:?}", refused.head);
        let reply = sleeper.join().unwrap();
        assert_eq!(blamed(&reply, 500, "plugin")["code"], "plugin_error");
    });
    assert!(errors(&active(&gateway, "hostile"), "overload") >= 1);
    assert_eq!(gateway.post(CHAT, asking("be good", false)).status, 200);
}
