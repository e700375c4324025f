use super::*;

const SETTINGS: config::Breaker =
    config::Breaker { errors: 50, min: 20, window: Duration::from_secs(10), pause: Duration::from_secs(5) };

fn breaker(settings: Option<config::Breaker>) -> (Breaker, IntGauge) {
    let gauge = IntGauge::new("open", "open").unwrap();
    (Breaker::new(settings, Arc::from("p"), gauge.clone()), gauge)
}

fn admitted(breaker: &Breaker) {
    assert!(matches!(breaker.admit(), Admission::Run));
}

fn good(breaker: &Breaker, hooks: u32) {
    (0..hooks).for_each(|_| admitted(breaker));
}

fn bad(breaker: &Breaker, hooks: u32, now: Instant) {
    for _ in 0..hooks {
        admitted(breaker);
        breaker.failed_at(now);
    }
}

/// Open since `now`.
fn opened(now: Instant) -> (Breaker, IntGauge) {
    let (breaker, gauge) = breaker(Some(SETTINGS));
    bad(&breaker, 20, now);
    assert_eq!((breaker.position(), gauge.get()), (Position::Open, 1));
    (breaker, gauge)
}

fn probe(breaker: &Breaker, now: Instant) -> Probe<'_> {
    match breaker.admit_tripped(now) {
        Admission::Probe(probe) => probe,
        Admission::Run => panic!("closed"),
        Admission::Refused(wait) => panic!("refused for {wait:?}"),
    }
}

fn refused(breaker: &Breaker, now: Instant) -> Duration {
    match breaker.admit_tripped(now) {
        Admission::Refused(wait) => wait,
        _ => panic!("let through"),
    }
}

#[test]
fn it_opens_at_the_least_number_and_more_than_the_share() {
    let now = Instant::now();
    let (few, _) = breaker(Some(SETTINGS));
    bad(&few, 19, now);
    assert_eq!(few.position(), Position::Closed);
    bad(&few, 1, now);
    assert_eq!(few.position(), Position::Open);

    let (half, _) = breaker(Some(SETTINGS));
    bad(&half, 1, now);
    good(&half, 1);
    for _ in 0..100 {
        good(&half, 1);
        bad(&half, 1, now);
    }
    assert_eq!(half.position(), Position::Closed, "half is not more than half");
    bad(&half, 1, now);
    assert_eq!(half.position(), Position::Open);
}

#[test]
fn good_hooks_of_long_ago_do_not_hide_what_fails_now() {
    let (breaker, _) = breaker(Some(SETTINGS));
    good(&breaker, 1_000_000);
    bad(&breaker, 20, Instant::now());
    assert_eq!(breaker.position(), Position::Open);
}

#[test]
fn failures_leave_the_window() {
    let (breaker, _) = breaker(Some(SETTINGS));
    let start = Instant::now();
    for second in 0..100 {
        bad(&breaker, 1, start + Duration::from_secs(second));
    }
    assert_eq!(breaker.position(), Position::Closed, "ten in a window are fewer than twenty");
    assert!(breaker.lock().failures.len() <= PARTS as usize + 1);
    let later = start + Duration::from_secs(200);
    bad(&breaker, 19, later);
    assert_eq!(breaker.position(), Position::Closed);
    bad(&breaker, 1, later + Duration::from_secs(9));
    assert_eq!(breaker.position(), Position::Open);
}

#[test]
fn what_had_no_room_to_run_is_not_counted() {
    let now = Instant::now();
    let (breaker, _) = breaker(Some(SETTINGS));
    for _ in 0..1000 {
        admitted(&breaker);
        breaker.uncount();
    }
    bad(&breaker, 20, now);
    assert_eq!(breaker.position(), Position::Open, "a full plugin would hide that all that runs fails");
}

#[test]
fn it_waits_then_tries_one_at_a_time_and_closes_after_three() {
    let now = Instant::now();
    let (breaker, gauge) = opened(now);
    assert!(refused(&breaker, now + Duration::from_secs(2)) <= Duration::from_secs(3));
    let late = now + Duration::from_secs(6);
    for round in 0..3 {
        let one = probe(&breaker, late);
        assert_eq!((breaker.position(), gauge.get()), (Position::HalfOpen, 1), "round {round}");
        assert_eq!(refused(&breaker, late), SOON);
        one.passed();
    }
    assert_eq!((breaker.position(), gauge.get()), (Position::Closed, 0));
    admitted(&breaker);
    bad(&breaker, 19, late);
    assert_eq!(breaker.position(), Position::Closed, "it starts anew");
}

#[test]
fn a_failed_probe_doubles_the_pause_to_the_longest() {
    let (breaker, gauge) = opened(Instant::now());
    let mut due = 10;
    for _ in 0..6 {
        let until = breaker.lock().until;
        probe(&breaker, until).failed();
        assert_eq!((breaker.position(), gauge.get()), (Position::Open, 1));
        assert_eq!(breaker.lock().pause, Duration::from_secs(due));
        due = (due * 2).min(60);
    }
    let until = breaker.lock().until;
    for _ in 0..3 {
        probe(&breaker, until).passed();
    }
    bad(&breaker, 20, Instant::now());
    assert_eq!(breaker.lock().pause, SETTINGS.pause, "recovered, so it begins with the short pause");
}

#[test]
fn a_verdict_that_only_the_gateway_finds_bad_reopens_too() {
    let (breaker, _) = opened(Instant::now());
    let until = breaker.lock().until;
    for _ in 0..2 {
        probe(&breaker, until).passed();
    }
    breaker.failed();
    assert_eq!(breaker.position(), Position::Open);
}

#[test]
fn a_probe_without_an_end_leaves_its_place() {
    let (breaker, _) = opened(Instant::now());
    let until = breaker.lock().until;
    drop(probe(&breaker, until));
    assert_eq!(breaker.position(), Position::HalfOpen);
    let old = probe(&breaker, until);
    breaker.failed();
    let later = breaker.lock().until;
    let new = probe(&breaker, later);
    old.passed();
    assert_eq!(refused(&breaker, later), SOON, "an old probe's end frees no new one's place");
    new.passed();
    assert_eq!(breaker.lock().good, 1);
}

#[test]
fn without_settings_it_never_opens() {
    let (breaker, gauge) = breaker(None);
    for _ in 0..10_000 {
        admitted(&breaker);
        breaker.failed();
    }
    assert_eq!((breaker.position(), gauge.get()), (Position::Closed, 0));
}

#[test]
fn a_reset_closes_it_and_forgets() {
    let now = Instant::now();
    let (breaker, gauge) = opened(now);
    let until = breaker.lock().until;
    let old = probe(&breaker, until);
    breaker.reset();
    breaker.reset();
    old.failed();
    assert_eq!((breaker.position(), gauge.get()), (Position::Closed, 0));
    bad(&breaker, 19, now);
    assert_eq!(breaker.position(), Position::Closed);
}

#[test]
fn an_open_one_that_goes_takes_its_mark_along() {
    let (breaker, gauge) = opened(Instant::now());
    drop(breaker);
    assert_eq!(gauge.get(), 0);
}

#[test]
fn many_threads_get_one_probe() {
    let (breaker, _) = opened(Instant::now());
    let until = breaker.lock().until;
    let (breaker, through) = (&breaker, &AtomicU64::new(0));
    let start = &std::sync::Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(move || {
                start.wait();
                if let Admission::Probe(probe) = breaker.admit_tripped(until) {
                    through.fetch_add(1, Ordering::SeqCst);
                    start.wait();
                    drop(probe);
                } else {
                    start.wait();
                }
            });
        }
    });
    assert_eq!(through.load(Ordering::SeqCst), 1);
}

/// What the good path costs, at its best: the machine may be busy. The bound only tells working from broken.
#[test]
fn the_good_path_is_cheap() {
    let (breaker, _) = breaker(Some(SETTINGS));
    let round = |_| {
        let began = Instant::now();
        (0..10_000).for_each(|_| admitted(std::hint::black_box(&breaker)));
        began.elapsed().as_nanos() as f64 / 1e4
    };
    let best = (0..100).map(round).fold(f64::INFINITY, f64::min);
    assert!(best < 500.0, "{best} ns");
}
