use std::sync::Barrier;
use std::sync::atomic::AtomicUsize;

use serde_json::json;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const FAILED: How = How::Failed { slow: false };

fn ok(first_ms: u64) -> How {
    let first = Duration::from_millis(first_ms);
    How::Ok { first: Some(first), total: first + SECOND, output: Some(100) }
}

/// A target and the moment its clock starts at.
fn target() -> (Targets, Arc<Target>, Instant) {
    let targets = Targets::default();
    let target = targets.of("p/m");
    let now = targets.began;
    (targets, target, now)
}

fn end(target: &Arc<Target>, how: How, now: Instant) {
    target.begin().ended_at(how, now);
}

fn eject(target: &Arc<Target>, now: Instant) {
    for _ in 0..5 {
        end(target, FAILED, now);
    }
    assert!(matches!(target.standing(now), Standing::Ejected { .. }));
}

fn left(target: &Target, now: Instant) -> Duration {
    match target.standing(now) {
        Standing::Ejected { left } => left,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_name_is_one_target_as_long_as_somebody_holds_it() {
    let (targets, target, now) = target();
    assert!(Arc::ptr_eq(&target, &targets.of("p/m")));
    eject(&target, now);
    targets.of("p/gone");
    let names: Vec<_> = targets.all().iter().map(|target| target.name.to_string()).collect();
    assert_eq!(names, ["p/m"], "nobody holds the other one");
    drop(target);
    assert_eq!(targets.of("p/m").standing(now), Standing::Ready);
    for at in 0..100 {
        targets.of(&format!("p/{at}"));
    }
    assert!(targets.known.lock().unwrap().len() <= 2, "what nobody holds takes no room");
}

#[test]
fn failures_in_a_row_eject_and_a_good_call_between_them_begins_anew() {
    let (_targets, target, now) = target();
    for how in [FAILED, FAILED, FAILED, FAILED, ok(1), FAILED, FAILED, FAILED, How::Neutral, FAILED] {
        end(&target, how, now);
        assert_eq!(target.standing(now), Standing::Ready);
    }
    end(&target, How::Failed { slow: true }, now);
    let pause = left(&target, now);
    assert!((5 * SECOND..=6 * SECOND).contains(&pause), "{pause:?}");
    assert_eq!(target.reason().as_deref(), Some("5 calls failed in a row, the last by a deadline"));
    assert_eq!((target.counts(), target.ejections()), ((1, 9, 1), 1));
}

#[test]
fn a_share_of_failures_ejects_once_there_are_enough_calls() {
    let (_targets, target, now) = target();
    for at in 0..3 {
        for how in [FAILED, FAILED, ok(1)] {
            assert_eq!(target.standing(now), Standing::Ready);
            end(&target, how, now + at * SECOND);
        }
    }
    let now = now + 3 * SECOND;
    assert_eq!(target.standing(now), Standing::Ready, "nine calls are not ten");
    end(&target, FAILED, now);
    assert!(left(&target, now) > Duration::ZERO);
    assert_eq!(target.reason().as_deref(), Some("7 of the last 10 calls failed"));
}

#[test]
fn a_share_that_has_passed_and_one_that_is_allowed_eject_nobody() {
    let (_targets, target, now) = target();
    for turn in 0..200 {
        let how = if turn % 3 == 0 { FAILED } else { ok(1) };
        end(&target, how, now + turn * SECOND / 10);
        assert_eq!(target.standing(now), Standing::Ready, "a third is not more than half");
    }
    let later = now + 60 * SECOND;
    for _ in 0..4 {
        end(&target, FAILED, later);
    }
    end(&target, ok(1), later);
    assert_eq!(target.standing(later), Standing::Ready, "the window has only five calls");
}

#[test]
fn windows_grow_while_probes_fail_and_shrink_step_by_step() {
    let (_targets, target, mut now) = target();
    eject(&target, now);
    for expected in [5, 10, 20, 40, 80, 160, 300, 300, 300] {
        let (pause, expected) = (left(&target, now), expected * SECOND);
        assert!(pause >= expected && pause <= expected.mul_f64(1.2), "{pause:?} for {expected:?}");
        assert!(!target.claim(now + pause - Duration::from_millis(1)), "it is not time yet");
        now += pause;
        assert_eq!(target.standing(now), Standing::Probe);
        assert!(target.claim(now));
        end(&target, FAILED, now);
    }
    now += left(&target, now);
    assert!(target.claim(now));
    end(&target, ok(1), now);
    assert_eq!((target.standing(now), target.reason()), (Standing::Ready, None));
    eject(&target, now);
    assert!(left(&target, now) >= 300 * SECOND, "one good call does not undo nine bad ones");
    now += left(&target, now);
    assert!(target.claim(now));
    end(&target, ok(1), now);
    now += 3600 * SECOND;
    eject(&target, now);
    assert!(left(&target, now) <= 6 * SECOND, "a calm hour does");
    assert_eq!(target.ejections(), 3, "probes that fail are no ejections of their own");
}

#[test]
fn one_call_tries_it_and_its_place_is_free_again_however_it_ends() {
    let (_targets, target, now) = target();
    eject(&target, now);
    let now = now + left(&target, now);
    assert!(target.claim(now) && !target.claim(now));
    assert_eq!(left(&target, now), Duration::ZERO, "somebody is about to try it");
    let probe = target.begin();
    let long = now + 3600 * SECOND;
    assert!(!target.claim(long), "a probe may take its time");
    drop(probe);
    assert_eq!(target.standing(long), Standing::Probe, "its client left: nothing is known");
    assert!(target.claim(long));
    end(&target, How::Neutral, long);
    assert!(target.claim(long), "neutral says nothing either");
    let late = long + Duration::from_millis(LEASE);
    assert!(!target.claim(late - Duration::from_millis(1)));
    assert!(target.claim(late), "who took the place never began");
    end(&target, ok(1), late);
    assert_eq!(target.standing(late), Standing::Ready);
    assert_eq!(target.in_flight(), 0);
}

#[test]
fn calls_of_before_do_not_speak_for_the_time_after() {
    let (_targets, target, now) = target();
    let old: Vec<Running> = (0..20).map(|_| target.begin()).collect();
    eject(&target, now);
    let mut old = old.into_iter();
    old.next().unwrap().ended_at(ok(1), now);
    assert!(left(&target, now) > Duration::ZERO, "it began before the trouble");
    let now = now + left(&target, now);
    assert!(target.claim(now));
    end(&target, ok(1), now);
    for running in old {
        running.ended_at(How::Failed { slow: true }, now);
    }
    assert_eq!((target.standing(now), target.ejections()), (Standing::Ready, 1), "deadlines of the trouble itself");
}

#[test]
fn a_call_that_had_no_other_target_may_bring_it_back_but_not_keep_it_out() {
    let (_targets, target, now) = target();
    eject(&target, now);
    let pause = left(&target, now);
    for _ in 0..10 {
        end(&target, FAILED, now);
    }
    assert_eq!(left(&target, now), pause);
    end(&target, ok(1), now + SECOND);
    assert_eq!(target.standing(now + SECOND), Standing::Ready);
}

#[test]
fn first_tokens_far_later_than_usual_eject() {
    let (_targets, target, now) = target();
    for turn in 0..40 {
        end(&target, ok(if turn % 10 == 9 { 1_900 } else { 400 }), now + turn * SECOND);
    }
    let now = now + 60 * SECOND;
    for turn in 0..9 {
        end(&target, ok(6_000), now + turn * SECOND / 10);
        assert_eq!(target.standing(now), Standing::Ready, "{turn}: too few yet");
    }
    end(&target, ok(6_000), now + SECOND);
    let why = target.reason().unwrap();
    assert_eq!(why, "10 of the last 10 calls had their first token far later than usual");
}

#[test]
fn a_target_that_is_always_slow_or_quick_either_way_is_well() {
    for usual in [20, 8_000] {
        let (_targets, target, now) = target();
        for turn in 0..200_u64 {
            let first = if turn > 100 { usual * 4 } else { usual };
            end(&target, ok(first), now + turn as u32 * SECOND / 20);
        }
        assert_eq!(target.standing(now), Standing::Ready, "{usual}");
    }
    let (_targets, target, now) = target();
    for turn in 0..60 {
        end(&target, ok(if turn < 30 { 20 } else { 1_500 }), now + turn * SECOND / 10);
    }
    assert_eq!(target.standing(now), Standing::Ready, "75 times is nothing where it is short");
}

#[test]
fn figures_jump_up_and_come_down() {
    let (_targets, target, now) = target();
    assert_eq!((target.first_token(), target.tokens_per_second(), target.error_rate()), (None, None, None));
    assert_eq!(target.slowness(now), None);
    end(&target, ok(100), now);
    assert_eq!(target.first_token(), Some(Duration::from_millis(100)));
    assert_eq!(target.tokens_per_second(), Some(100.0));
    assert_eq!(target.error_rate(), Some(0.0));
    end(&target, ok(900), now + SECOND);
    assert_eq!(target.first_token(), Some(Duration::from_millis(900)));
    for turn in 2..60 {
        end(&target, ok(100), now + turn * SECOND);
    }
    let first = target.first_token().unwrap();
    assert!(first < Duration::from_millis(110), "{first:?}");
    end(&target, FAILED, now + 60 * SECOND);
    assert!(target.error_rate().unwrap() > 0.02);
    let (soon, late) = (target.slowness(now + 60 * SECOND).unwrap(), target.slowness(now + 180 * SECOND).unwrap());
    assert!(late < soon / 5.0, "an idle target is worth a try: {soon} {late}");
    let _running = target.begin();
    assert!(target.slowness(now + 180 * SECOND).unwrap() >= soon, "but one call is enough of a try");
    let whole = Targets::default().of("p/whole");
    end(&whole, How::Ok { first: None, total: 2 * SECOND, output: Some(1) }, now + SECOND);
    assert_eq!((whole.first_token(), whole.tokens_per_second()), (None, None));
    assert!(whole.slowness(Instant::now()).unwrap() > 1_000.0);
}

#[test]
fn a_drained_target_is_not_even_tried_until_that_ends_by_itself() {
    let (_targets, target, now) = target();
    eject(&target, now);
    target.drain_at(Some(60 * SECOND), now);
    let later = now + 30 * SECOND;
    assert_eq!(target.standing(later), Standing::Drained { left: 30 * SECOND });
    assert!(!target.claim(later));
    let told = target.describe(later);
    assert_eq!((told["standing"].as_str(), told["seconds_left"].as_f64()), (Some("drained"), Some(30.0)));
    assert_eq!(target.standing(now + 60 * SECOND), Standing::Probe);
    target.drain_at(Some(3600 * SECOND), now);
    target.drain_at(None, now);
    assert_eq!(target.standing(later), Standing::Probe);
}

#[test]
fn checks_end_what_checks_began_and_only_hasten_the_rest() {
    let (_targets, target, now) = target();
    target.checked(Err("no answer"), 30 * SECOND, now);
    assert_eq!(target.standing(now), Standing::Ready, "once is nothing");
    target.checked(Ok(()), 30 * SECOND, now);
    target.checked(Err("no answer"), 30 * SECOND, now);
    assert_eq!(target.standing(now), Standing::Ready, "once again");
    target.checked(Err("no answer"), 30 * SECOND, now);
    assert!(left(&target, now) >= 5 * SECOND);
    assert_eq!(target.reason().as_deref(), Some("its check failed: no answer"));
    target.checked(Err("no answer"), 30 * SECOND, now + 4 * SECOND);
    assert_eq!(left(&target, now + 4 * SECOND), 60 * SECOND, "until after the next check");
    target.checked(Ok(()), 30 * SECOND, now + 30 * SECOND);
    assert_eq!(target.standing(now + 30 * SECOND), Standing::Ready);

    let now = now + 60 * SECOND;
    eject(&target, now);
    target.checked(Ok(()), 30 * SECOND, now + SECOND);
    assert_eq!(target.standing(now + SECOND), Standing::Probe, "a list is no reply: one call decides");
}

#[test]
fn switched_off_it_only_counts() {
    let (_targets, target, now) = target();
    target.configure(&Health { enabled: false, ..Health::default() });
    for _ in 0..100 {
        end(&target, FAILED, now);
    }
    assert_eq!((target.standing(now), target.counts().1), (Standing::Ready, 100));
    target.configure(&Health { consecutive: 200, errors: 99, ..Health::default() });
    for _ in 0..10 {
        end(&target, FAILED, now);
    }
    assert!(left(&target, now) > Duration::ZERO, "ten of ten are more than 99%");
}

#[test]
fn what_is_told_has_the_figures() {
    let (_targets, target, now) = target();
    end(&target, ok(250), now);
    eject(&target, now);
    let _running = target.begin();
    let mut told = target.describe(now + SECOND);
    let seconds = told["seconds_left"].take().as_f64().unwrap();
    assert!((4.0..=5.0).contains(&seconds), "{seconds}");
    assert!(told["error_rate"].take().as_f64().is_some_and(|rate| rate > 0.0 && rate < 1.0));
    let expected = json!({
        "target": "p/m", "standing": "ejected", "reason": "5 calls failed in a row", "seconds_left": null, "in_flight": 1,
        "ok": 1, "failed": 5, "neutral": 0, "ejections": 1, "failed_in_a_row": 5, "error_rate": null, "first_token_ms": 250.0,
        "tokens_per_second": 100.0,
    });
    assert_eq!(told, expected);
}

#[test]
fn among_many_threads_one_call_tries_it_and_nobody_is_left_in_flight() {
    const THREADS: usize = 8;
    let (_targets, target, mut now) = target();
    eject(&target, now);
    for round in 0..200 {
        now += left(&target, now);
        let (claims, tried) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let barrier = Barrier::new(THREADS);
        let good = round % 2 == 0;
        std::thread::scope(|scope| {
            for _ in 0..THREADS {
                scope.spawn(|| {
                    barrier.wait();
                    let claimed = target.claim(now);
                    tried.fetch_add(1, Ordering::SeqCst);
                    if claimed {
                        claims.fetch_add(1, Ordering::Relaxed);
                        let probe = target.begin();
                        // Under way until all others have asked.
                        while tried.load(Ordering::SeqCst) < THREADS {
                            std::thread::yield_now();
                        }
                        probe.ended_at(if good { ok(1) } else { FAILED }, now);
                    }
                });
            }
        });
        assert_eq!(claims.into_inner(), 1, "round {round}");
        assert_eq!(target.in_flight(), 0);
        if good {
            assert_eq!(target.standing(now), Standing::Ready);
            eject(&target, now);
        }
    }
}

#[test]
fn among_many_threads_nothing_is_lost() {
    const EACH: u64 = 20_000;
    let (_targets, target, now) = target();
    target.configure(&Health { consecutive: 1_000, errors: 99, ..Health::default() });
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let target = &target;
            scope.spawn(move || {
                for turn in 0..EACH {
                    end(target, if turn % 4 == thread { FAILED } else { ok(10) }, now);
                }
            });
        }
    });
    assert_eq!(target.counts(), (3 * EACH, EACH, 0));
    assert_eq!(target.ended.sum(target.ms(now), target.window()), (4 * EACH, EACH));
    assert_eq!((target.in_flight(), target.standing(now)), (0, Standing::Ready));
}
