//! How a key's state changes, by a clock that the tests turn.

use super::*;

const LIMITED: KeyNews = KeyNews::Limited { after: None };
const BAD: KeyNews = KeyNews::Bad { why: "revoked" };

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn left(state: &State, model: &str, now: Instant) -> Option<u64> {
    state.out(model, now).map(|out| out.left.as_secs())
}

#[test]
fn a_limited_key_cools_down_for_that_model_as_long_as_it_is_asked_to() {
    let (state, now) = (State::default(), Instant::now());
    assert!(state.out("m", now).is_none() && state.claim("m", now));
    state.told("m", KeyNews::Limited { after: Some(seconds(7)) }, now);
    assert_eq!(left(&state, "m", now), Some(7));
    assert_eq!(state.out("other", now), None);
    assert!(!state.claim("m", now + seconds(6)));
    assert_eq!(left(&state, "m", now + seconds(7)), None);
}

#[test]
fn without_a_delay_the_pause_doubles_up_to_a_minute_and_good_news_ends_it() {
    let (state, mut now) = (State::default(), Instant::now());
    for expected in [1, 2, 4, 8, 16, 32, 60, 60] {
        assert!(state.claim("m", now));
        state.told("m", LIMITED, now);
        assert_eq!(left(&state, "m", now), Some(expected));
        now += seconds(expected);
    }
    state.told("m", KeyNews::Good, now);
    state.told("m", LIMITED, now);
    assert_eq!(left(&state, "m", now), Some(1));
}

#[test]
fn calls_that_were_on_their_way_neither_lengthen_nor_end_a_pause() {
    let (state, now) = (State::default(), Instant::now());
    for _ in 0..50 {
        state.told("m", LIMITED, now);
    }
    assert_eq!(left(&state, "m", now), Some(1));
    state.told("m", KeyNews::Good, now);
    assert_eq!(left(&state, "m", now), Some(1));
    // But one that is told a longer delay knows better.
    state.told("m", KeyNews::Limited { after: Some(seconds(9)) }, now);
    state.told("m", KeyNews::Limited { after: Some(seconds(3)) }, now);
    assert_eq!(left(&state, "m", now), Some(9));
}

#[test]
fn one_call_tries_a_key_that_was_out() {
    let (state, now) = (State::default(), Instant::now());
    state.told("m", BAD, now);
    assert_eq!(left(&state, "x", now), Some(600));
    assert!(!state.claim("x", now));
    let later = now + seconds(600);
    assert_eq!(state.out("x", later), None);
    assert!(state.claim("x", later));
    assert!(!state.claim("y", later), "one call alone");
    assert!(state.out("y", later).is_some());
    // Nothing was heard of it: the next may try.
    assert!(state.claim("y", later + PROBE));
    state.told("y", BAD, later + PROBE);
    assert_eq!(left(&state, "y", later + PROBE), Some(1200));
    let mut now = later + PROBE + seconds(1200);
    for _ in 0..3 {
        assert!(state.claim("y", now));
        state.told("y", BAD, now);
        now += seconds(3600);
    }
    assert_eq!(state.out("y", now), None, "never longer than an hour");
    state.told("y", KeyNews::Good, now);
    assert!(state.claim("y", now) && state.claim("y", now));
}

#[test]
fn a_token_is_tried_again_soon_because_it_is_a_new_one() {
    let pools = Pools::default();
    let (state, now) = (pools.state("p", "entra", [0; 32], true), Instant::now());
    state.told("m", BAD, now);
    assert_eq!(left(&state, "m", now), Some(1));
    state.told("m", BAD, now + seconds(1));
    assert_eq!(left(&state, "m", now + seconds(1)), Some(2));
}

#[test]
fn what_is_wrong_with_one_model_leaves_the_others_and_is_bounded() {
    let (state, now) = (State::default(), Instant::now());
    state.told("locked", KeyNews::NotForModel { why: "no" }, now);
    assert_eq!(left(&state, "locked", now), Some(600));
    for at in 0..10_000 {
        state.told(&format!("made-up-{at}"), LIMITED, now);
    }
    assert_eq!(state.lock().models.len(), MODELS);
    assert_eq!(left(&state, "locked", now), Some(600), "short pauses give way to short ones");
    assert_eq!(state.out("else", now), None);
    // Where the model is not known it is the key.
    state.told("", LIMITED, now);
    assert_eq!(left(&state, "else", now), Some(1));
}

#[test]
fn delays_beyond_an_hour_are_tried_in_between() {
    let (state, now) = (State::default(), Instant::now());
    state.told("m", KeyNews::Limited { after: Some(seconds(86_400)) }, now);
    assert_eq!(left(&state, "m", now), Some(3600));
}

#[test]
fn a_state_outlives_configurations_and_belongs_to_the_keys_text() {
    let (pools, now) = (Pools::default(), Instant::now());
    let before = pools.state("p", "main", [1; 32], false);
    before.told("m", BAD, now);
    let after = pools.state("p", "main", [1; 32], false);
    assert!(Arc::ptr_eq(&before, &after));
    assert!(pools.state("p", "main", [2; 32], false).out("m", now).is_none());
    assert!(pools.state("q", "main", [1; 32], false).out("m", now).is_none());
    drop((before, after));
    assert!(pools.state("p", "main", [1; 32], false).out("m", now).is_none());
    assert_eq!(pools.states.lock().unwrap().len(), 1, "what nobody uses is not kept");
}

#[test]
fn a_gate_outlives_configurations_that_leave_its_limits() {
    let pools = Pools::default();
    let limits = CallLimits { calls: 3, queue: 1, wait: seconds(1) };
    assert!(pools.gate("p", None, None).is_none());
    let one = pools.gate("p", None, Some(limits)).unwrap();
    assert!(Arc::ptr_eq(&one, &pools.gate("p", None, Some(limits)).unwrap()));
    assert!(!Arc::ptr_eq(&one, &pools.gate("p", Some("main"), Some(limits)).unwrap()));
    assert!(!Arc::ptr_eq(&one, &pools.gate("p", None, Some(CallLimits { calls: 4, ..limits })).unwrap()));
}

#[test]
fn operators_see_what_is_wrong_and_for_how_long() {
    let (state, now) = (State::default(), Instant::now());
    assert_eq!(state.describe(now)["state"], "ready");
    state.told("m", KeyNews::Good, now);
    state.told("m", LIMITED, now);
    let said = state.describe(now);
    assert_eq!((&said["state"], &said["models"][0]["state"]), (&json!("ready"), &json!("cooling")));
    assert_eq!(said["models"][0]["seconds_left"], 1.0);
    state.told("m", BAD, now);
    let said = state.describe(now);
    assert_eq!(
        (&said["state"], &said["why"], &said["seconds_left"]),
        (&json!("out"), &json!("revoked"), &json!(600.0))
    );
    assert_eq!((&said["good"], &said["limited"], &said["refused"]), (&json!(1), &json!(1), &json!(1)));
    assert_eq!(state.describe(now + seconds(600))["state"], "probe");
}

#[test]
fn failures_say_of_keys_what_their_class_and_status_mean() {
    let of = |status, class: Option<Class>| {
        let mut failure = Failure::new(Blame::Provider, status, "", "", "");
        failure.class = class;
        failure.retry_after = Some(seconds(5));
        KeyNews::of(&failure)
    };
    let limited = Some(KeyNews::Limited { after: Some(seconds(5)) });
    for (status, class, bad) in [
        (401, None, true),
        (402, None, true),
        // Gemini's 400 for a key that it does not know.
        (400, Some(Class::Auth), true),
        (429, Some(Class::Quota), true),
        (403, Some(Class::Auth), true),
        (401, Some(Class::Permission), true),
        (400, None, false),
        (404, None, false),
        (413, None, false),
        (500, None, false),
        (529, None, false),
        (503, None, false),
        (504, None, false),
        (403, Some(Class::ContentFilter), false),
        (400, Some(Class::ContextLength), false),
    ] {
        let news = of(status, class);
        assert_eq!(matches!(news, Some(KeyNews::Bad { .. })), bad, "{status} {class:?} {news:?}");
        assert!(bad || news.is_none(), "{status} {class:?} {news:?}");
    }
    assert!(matches!(of(403, None), Some(KeyNews::NotForModel { .. })));
    assert_eq!(of(429, None), limited);
    assert_eq!(KeyNews::of(&Failure::new(Blame::Gateway, 429, "", "no_provider_key", "")), None, "our own word");
    assert_eq!(of(503, Some(Class::RateLimit)), limited);
}
