//! Guests that misbehave while a call waits: each has its named outcome, soon after its limit, and costs one instance and nothing else.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::guests::{deed, echoing, passing, reading, rogue, sleeping};
use super::probe::Probe;
use super::{block_on, load, spec};
use crate::{
    DeltaVerdict, Denial, ErrorKind, HookError, Kind, Level, Limits, Plugin, Ran, RequestVerdict, Spec, Window,
};

/// Generous: it only tells working from hung.
const SOON: Duration = Duration::from_secs(5);

async fn ask(plugin: &Plugin, attempt: u32) -> (Result<RequestVerdict, HookError>, Box<Probe>) {
    let Ran { view, result, .. } = plugin.on_request(Probe::new(attempt)).await;
    (result, Probe::back(view))
}

async fn rogue_plugin() -> Arc<Plugin> {
    load(&rogue(), spec("rogue")).await.unwrap_or_else(|error| panic!("{error}"))
}

/// Does `attempt`, expects `kind` and `words`, then an ordinary hook on a fresh instance.
#[track_caller]
fn costs_one_instance(attempt: u32, kind: ErrorKind, words: &[&str]) {
    block_on(async {
        let plugin = rogue_plugin().await;
        let other = load(&passing(), spec("other")).await.unwrap();
        assert_eq!(ask(&plugin, 0).await.0.unwrap(), RequestVerdict::Pass);
        let began = Instant::now();
        let (result, probe) = ask(&plugin, attempt).await;
        let error = result.expect_err("it misbehaved");
        assert_eq!(error.kind, kind, "{error}");
        for word in words {
            assert!(error.message.contains(word), "`{word}` is not in: {error}");
        }
        assert!(began.elapsed() < SOON);
        assert_eq!(probe.attempt, attempt);
        let next = plugin.on_request(Probe::new(0)).await;
        assert_eq!(next.result.unwrap(), RequestVerdict::Pass);
        assert!(next.fresh, "the instance was dropped");
        assert_eq!(ask(&other, 0).await.0.unwrap(), RequestVerdict::Pass);
        let counters = plugin.counters();
        assert_eq!(counters.hooks, [3, 0, 0, 0, 0, 0]);
        assert_eq!(counters.errors.iter().sum::<u64>(), 1);
        assert_eq!((counters.running, counters.idle, counters.started), (0, 1, 2));
    });
}

#[test]
fn a_trap() {
    costs_one_instance(deed::TRAP, ErrorKind::Trap, &["on-request", "unreachable"]);
}

#[test]
fn a_panic_keeps_its_message() {
    costs_one_instance(deed::PANIC, ErrorKind::Trap, &["unreachable", "word 7 was not a string"]);
}

#[test]
fn an_endless_loop() {
    costs_one_instance(deed::SPIN, ErrorKind::Timeout, &["on-request", "50 ms"]);
}

#[test]
fn endless_recursion() {
    costs_one_instance(deed::RECURSE, ErrorKind::Trap, &["stack"]);
}

#[test]
fn a_memory_grab() {
    costs_one_instance(deed::GRAB, ErrorKind::Memory, &["limits.memory", "67108864"]);
}

#[test]
fn a_table_grab() {
    costs_one_instance(deed::TABLE, ErrorKind::Memory, &["table"]);
}

#[test]
fn a_huge_result() {
    costs_one_instance(deed::HUGE, ErrorKind::BadVerdict, &["on-request"]);
    costs_one_instance(deed::OUT_OF_BOUNDS, ErrorKind::BadVerdict, &["on-request"]);
}

#[test]
fn text_that_is_not_utf_8() {
    costs_one_instance(deed::BAD_TEXT, ErrorKind::BadVerdict, &["utf-8"]);
}

#[test]
fn a_verdict_that_does_not_exist() {
    costs_one_instance(deed::BAD_CASE, ErrorKind::BadVerdict, &["on-request"]);
    costs_one_instance(deed::UNALIGNED, ErrorKind::BadVerdict, &["aligned"]);
}

#[test]
fn a_denial_that_cannot_be_sent() {
    costs_one_instance(deed::BAD_STATUS, ErrorKind::BadVerdict, &["400 to 599", "200"]);
    costs_one_instance(deed::BAD_HEADER, ErrorKind::BadVerdict, &["set-cookie"]);
}

#[test]
fn functions_where_they_may_not_be_called() {
    costs_one_instance(deed::REPLY, ErrorKind::Trap, &["reply.total-ms", "outside `on-response` and `on-finish`"]);
    costs_one_instance(deed::RANDOM, ErrorKind::Trap, &["5000", "1024"]);
}

#[test]
fn a_fault_keeps_the_instance() {
    block_on(async {
        let plugin = rogue_plugin().await;
        let first = ask(&plugin, deed::FAULT).await.0.expect_err("a fault");
        assert_eq!(first.kind, ErrorKind::Fault);
        assert!(first.message.contains("(internal): word 7 was not a string"), "{first}");
        assert!(!plugin.on_request(Probe::new(0)).await.fresh);
    });
}

#[test]
fn a_denial_arrives_checked() {
    block_on(async {
        let plugin = rogue_plugin().await;
        let denial = Denial {
            status: 403,
            code: "blocked".to_owned(),
            message: "say it otherwise".to_owned(),
            headers: vec![("retry-after".to_owned(), "7".to_owned())],
        };
        assert_eq!(ask(&plugin, deed::DENY).await.0.unwrap(), RequestVerdict::Deny(denial));
    });
}

#[test]
fn logs_and_counts_are_capped() {
    block_on(async {
        let plugin = rogue_plugin().await;
        let (result, probe) = ask(&plugin, deed::FLOOD).await;
        assert_eq!(result.unwrap(), RequestVerdict::Pass);
        assert_eq!(probe.logs.len(), 64);
        assert_eq!(probe.logs[0], (Level::Info, "word 7 was not a string".to_owned()));
        let (_, again) = ask(&plugin, deed::FLOOD).await;
        assert_eq!(again.logs.len(), 64, "each hook has its own");
        let (_, probe) = ask(&plugin, deed::COUNT).await;
        let names: std::collections::BTreeSet<_> = probe.counts.iter().map(|(name, _)| name.clone()).collect();
        assert_eq!(names.len(), 32);
        let (_, again) = ask(&plugin, deed::COUNT).await;
        assert!(again.counts.iter().all(|(name, _)| names.contains(name)), "for the plugin, not for each hook");
    });
}

#[test]
fn a_sleeper_is_stopped_by_the_second_clock() {
    block_on(async {
        let plugin = load(&sleeping(), spec("sleeper")).await.unwrap_or_else(|error| panic!("{error}"));
        assert!(plugin.component().uses_wasi());
        let began = Instant::now();
        let error = ask(&plugin, 10).await.0.expect_err("it sleeps a minute");
        assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
        assert!(began.elapsed() >= Duration::from_millis(50) && began.elapsed() < SOON);
        assert_eq!(ask(&plugin, 0).await.0.unwrap(), RequestVerdict::Pass);
    });
}

#[test]
fn eight_spinners_leave_their_neighbour_alone() {
    block_on(async {
        let limits = Limits { wall: Duration::from_millis(300), ..Limits::default() };
        let spinner = load(&rogue(), Spec { limits, ..spec("spinner") }).await.unwrap();
        let neighbour = load(&passing(), spec("neighbour")).await.unwrap();
        let spinning: Vec<_> = (0..8)
            .map(|_| {
                let spinner = spinner.clone();
                tokio::spawn(async move { ask(&spinner, deed::SPIN).await.0.expect_err("it spins").kind })
            })
            .collect();
        let (mut finished, mut worst) = (0_u32, Duration::ZERO);
        while spinner.counters().errors.iter().sum::<u64>() < 8 {
            let began = Instant::now();
            assert_eq!(ask(&neighbour, 0).await.0.unwrap(), RequestVerdict::Pass);
            tokio::task::yield_now().await;
            finished += 1;
            worst = worst.max(began.elapsed());
        }
        for task in spinning {
            assert_eq!(task.await.unwrap(), ErrorKind::Timeout);
        }
        println!("beside eight spinners: {finished} hooks, the slowest turn took {worst:?}");
        assert!(finished >= 3, "the neighbour had {finished} turns in 300 ms");
        assert!(worst < SOON);
    });
}

#[test]
fn one_hook_too_many_is_refused_at_once() {
    block_on(async {
        let limits = Limits { concurrency: 2, wall: Duration::from_millis(200), ..Limits::default() };
        let plugin = load(&rogue(), Spec { limits, ..spec("narrow") }).await.unwrap();
        let results = futures_util::future::join_all((0..3).map(|_| ask(&plugin, deed::SPIN))).await;
        let mut kinds: Vec<_> = results.into_iter().map(|(result, _)| result.unwrap_err().kind).collect();
        kinds.sort_by_key(|kind| kind.as_str());
        assert_eq!(kinds, [ErrorKind::Overload, ErrorKind::Timeout, ErrorKind::Timeout]);
        assert_eq!(ask(&plugin, 0).await.0.unwrap(), RequestVerdict::Pass);
    });
}

#[test]
fn a_dropped_hook_gives_its_place_back() {
    block_on(async {
        let limits = Limits { concurrency: 1, ..Limits::default() };
        let plugin = load(&sleeping(), Spec { limits, ..spec("left") }).await.unwrap();
        let mut hook = Box::pin(plugin.on_request(Probe::new(10)));
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(hook.as_mut().poll(cx))).await.is_pending());
        assert_eq!(plugin.counters().running, 1);
        drop(hook);
        assert_eq!(plugin.counters().running, 0);
        assert_eq!(ask(&plugin, 0).await.0.unwrap(), RequestVerdict::Pass);
    });
}

#[test]
fn a_view_that_panics_costs_the_instance_and_comes_back() {
    block_on(async {
        let plugin = rogue_plugin().await;
        let mut view = Probe::new(0);
        view.panics = true;
        let ran = plugin.on_request(view).await;
        let error = ran.result.expect_err("the view broke");
        assert_eq!(error.kind, ErrorKind::Trap);
        assert!(error.message.contains("a view that breaks"), "{error}");
        assert!(Probe::back(ran.view).panics);
        assert_eq!(ask(&plugin, 0).await.0.unwrap(), RequestVerdict::Pass);
    });
}

#[test]
fn instances_are_reused_and_recycled() {
    block_on(async {
        let limits = Limits { uses: 8, ..Limits::default() };
        let plugin = load(&rogue(), Spec { limits, ..spec("recycled") }).await.unwrap();
        let mut fresh = 0;
        for _ in 0..80 {
            fresh += u32::from(plugin.on_request(Probe::new(0)).await.fresh);
        }
        assert!((10..=14).contains(&fresh), "{fresh} instances for 80 hooks of 6 to 8 each");
        let plugin = rogue_plugin().await;
        ask(&plugin, 0).await.0.unwrap();
        ask(&plugin, deed::GROW_A_LOT).await.0.unwrap();
        assert!(plugin.on_request(Probe::new(0)).await.fresh, "it had grown by 13 MB");
        assert!(!plugin.on_request(Probe::new(0)).await.fresh);
        let limits = Limits { age: Duration::ZERO, ..Limits::default() };
        let plugin = load(&rogue(), Spec { limits, ..spec("aged") }).await.unwrap();
        ask(&plugin, 0).await.0.unwrap();
        assert!(plugin.on_request(Probe::new(0)).await.fresh, "it is past its age");
        super::SANDBOX.sweep();
        assert_eq!(plugin.counters().idle, 0);
    });
}

#[test]
fn windows_and_texts_cross_whole() {
    block_on(async {
        let plugin = load(&echoing(), spec("echo")).await.unwrap();
        for text in ["", "plain", "한글 e\u{301} 🦀"] {
            let window = Window {
                choice: 1,
                part: 2,
                kind: Kind::ToolArguments,
                name: Some("tool".to_owned()),
                text: text.to_owned(),
                last: false,
            };
            let verdict = plugin.on_delta(Probe::new(0), window).await.result.unwrap();
            assert_eq!(verdict, DeltaVerdict::Replace { text: text.to_owned(), hold: 3 });
        }
        let plugin = load(&reading(), spec("reader")).await.unwrap();
        assert_eq!(ask(&plugin, 0).await.0.unwrap(), RequestVerdict::Pass);
    });
}

#[test]
fn a_hook_that_is_not_exported_is_an_error() {
    block_on(async {
        let plugin = load(&passing(), spec("request-only")).await.unwrap();
        let ran = plugin.on_response(Probe::new(0)).await;
        assert!(ran.result.expect_err("no such hook").message.contains("on-response"));
        assert_eq!(Probe::back(ran.view).attempt, 0);
    });
}

#[test]
fn threads_share_a_plugin() {
    let plugin = block_on(rogue_plugin());
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let plugin = &plugin;
            scope.spawn(move || {
                block_on(async {
                    for turn in 0..200 {
                        let traps = (turn + thread) % 9 == 0;
                        let (result, _) = ask(plugin, if traps { deed::TRAP } else { 0 }).await;
                        assert_eq!(result.is_err(), traps);
                    }
                });
            });
        }
    });
    let counters = plugin.counters();
    assert_eq!((counters.running, counters.hooks), (0, [800, 0, 0, 0, 0, 0]));
}
