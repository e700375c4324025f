use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn rate(text: &str) -> Rate {
    let (amount, per) = text.split_once('/').unwrap();
    let per = match per {
        "s" => 1,
        "min" => 60,
        _ => 86_400,
    };
    Rate { amount: amount.parse().unwrap(), per: Duration::from_secs(per) }
}

fn bucket(text: &str) -> Bucket {
    Bucket::new(Whose::Key, What::Requests, rate(text))
}

fn limits(rates: &Rates, list: &[(Whose, What, &str)]) -> Limits {
    let bucket = |(whose, what, text): &(Whose, What, &str)| rates.limit(*whose, *what, "name", rate(text));
    Limits::new(list.iter().map(bucket).collect()).unwrap()
}

fn left(limits: &Limits, what: What, now: Instant) -> Vec<u64> {
    limits.of(what).map(|bucket| bucket.left(now).0).collect()
}

#[test]
fn a_full_bucket_gives_all_it_holds_and_then_as_time_passes() {
    let bucket = bucket("3/min");
    let start = bucket.base;
    for _ in 0..3 {
        assert_eq!(bucket.take(1, start), Ok(()));
    }
    let wait = bucket.take(1, start).unwrap_err().unwrap();
    assert!(wait <= 20 * SECOND && wait > 19 * SECOND, "{wait:?}");
    assert_eq!(bucket.take(1, start + wait), Ok(()), "after the time that was told");
    assert!(bucket.take(1, start + wait).is_err());
    let later = start + 600 * SECOND;
    assert_eq!(bucket.left(later), (3, Duration::ZERO), "never more than it holds");
}

#[test]
fn what_was_refused_takes_nothing() {
    let bucket = bucket("10/min");
    let start = bucket.base;
    assert_eq!(bucket.take(8, start), Ok(()));
    for _ in 0..100 {
        assert!(bucket.take(3, start).is_err());
    }
    assert_eq!(bucket.take(2, start), Ok(()));
    assert_eq!(bucket.take(11, start + 600 * SECOND), Err(None), "it never holds so much");
}

#[test]
fn small_and_large_rates_are_exact() {
    for text in ["1/day", "7/s", "999/min", "1000000000000/day", "1000000000/s"] {
        let bucket = bucket(text);
        let start = bucket.base;
        assert_eq!(bucket.take(bucket.rate.amount, start), Ok(()), "{text}");
        assert!(bucket.take(1, start).is_err() || bucket.cost(1) <= 1, "{text}");
        assert_eq!(bucket.take(bucket.rate.amount, start + bucket.rate.per), Ok(()), "{text}");
    }
}

#[test]
fn a_call_takes_from_every_bucket_or_from_none() {
    let rates = Rates::default();
    let limits = limits(
        &rates,
        &[
            (Whose::Key, What::Requests, "5/min"),
            (Whose::Key, What::Tokens, "1000/min"),
            (Whose::Team, What::Requests, "100/min"),
            (Whose::Team, What::Tokens, "300/min"),
        ],
    );
    let now = Instant::now();
    let first = limits.admit_at(|| 200, now).unwrap();
    let refused = limits.admit_at(|| 200, now).unwrap_err();
    assert_eq!((refused.status, refused.kind.as_ref()), (429, "tokens"));
    assert!(refused.message.starts_with("Your key's team may use 300 tokens in a minute"), "{}", refused.message);
    assert!(refused.retry_after.is_some_and(|wait| wait <= 20 * SECOND && wait > 19 * SECOND));
    assert_eq!(left(&limits, What::Requests, now), [4, 99]);
    assert_eq!(left(&limits, What::Tokens, now), [800, 100]);
    first.settle_at(50, now);
    assert_eq!(left(&limits, What::Tokens, now), [950, 250]);
}

#[test]
fn tokens_are_set_right_by_what_was_used() {
    let rates = Rates::default();
    let limits = limits(&rates, &[(Whose::Key, What::Tokens, "1000/min")]);
    let now = Instant::now();
    drop(limits.admit_at(|| 400, now).unwrap());
    assert_eq!(left(&limits, What::Tokens, now), [1000], "a call that came to nothing gives all back");
    limits.admit_at(|| 400, now).unwrap().keep();
    assert_eq!(left(&limits, What::Tokens, now), [600]);
    limits.admit_at(|| 600, now).unwrap().settle_at(1600, now);
    assert_eq!(left(&limits, What::Tokens, now), [0]);
    assert!(limits.admit_at(|| 1, now + 59 * SECOND).is_err(), "what is owed is waited for");
    assert!(limits.admit_at(|| 1, now + 61 * SECOND).is_ok());
}

#[test]
fn tokens_are_not_estimated_where_they_are_not_limited() {
    let rates = Rates::default();
    let limits = limits(&rates, &[(Whose::Key, What::Requests, "2/min")]);
    let estimate = || -> u64 { panic!("nobody asked") };
    limits.admit(Dialect::OpenaiChat, estimate).unwrap().settle(7);
}

#[test]
fn a_request_above_the_limit_is_told_that_waiting_does_not_help() {
    let rates = Rates::default();
    let limits = limits(&rates, &[(Whose::Key, What::Tokens, "1000/min")]);
    let refused = limits.admit(Dialect::OpenaiChat, || 5000).unwrap_err();
    assert_eq!((refused.status, refused.retry_after), (429, None));
    assert!(refused.message.contains("about 5000 tokens long, and your key may use 1000 tokens in a minute"));
    assert!(refused.headers.contains(&("x-should-retry".to_owned(), "false".to_owned())));
}

#[test]
fn an_edit_of_something_else_gives_nobody_a_full_bucket() {
    let rates = Rates::default();
    let list = [(Whose::Key, What::Requests, "2/min")];
    let now = Instant::now();
    let (old, new) = (limits(&rates, &list), limits(&rates, &list));
    old.admit_at(|| 0, now).unwrap().keep();
    assert_eq!(left(&new, What::Requests, now), [1]);
    let changed = limits(&rates, &[(Whose::Key, What::Requests, "3/min")]);
    assert_eq!(left(&changed, What::Requests, now), [3]);
    drop((old, new));
    rates.prune();
    assert_eq!(rates.buckets.lock().unwrap().len(), 1);
    drop(changed);
    rates.prune();
    assert!(rates.buckets.lock().unwrap().is_empty());
}

#[test]
fn threads_together_take_no_more_than_there_is() {
    let bucket = bucket("1000/day");
    let now = bucket.base;
    let taken: usize = std::thread::scope(|scope| {
        let take = || (0..500).filter(|_| bucket.take(1, now).is_ok()).count();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(take)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert_eq!(taken, 1000);
}

#[test]
fn each_dialect_is_told_in_its_own_names() {
    let rates = Rates::default();
    let limits = limits(
        &rates,
        &[
            (Whose::Key, What::Requests, "60/min"),
            (Whose::Key, What::Tokens, "1000/min"),
            (Whose::Team, What::Requests, "5/min"),
        ],
    );
    limits.admit(Dialect::OpenaiChat, || 500).unwrap().keep();
    let told = |dialect| {
        let mut out = HeaderMap::new();
        out.insert("x-ratelimit-limit-requests", "1".parse().unwrap());
        limits.tell(dialect, &mut out);
        out
    };
    for dialect in [Dialect::OpenaiChat, Dialect::OpenaiResponses, Dialect::Gemini] {
        let out = told(dialect);
        assert_eq!(out["x-ratelimit-limit-requests"], "5", "the nearer limit, in place of the provider's");
        assert_eq!(
            (&out["x-ratelimit-remaining-requests"], &out["x-ratelimit-limit-tokens"]),
            (&"4".parse().unwrap(), &"1000".parse().unwrap())
        );
        let reset = out["x-ratelimit-reset-requests"].to_str().unwrap().to_owned();
        assert!(["11s", "12s"].contains(&reset.as_str()), "{reset}");
    }
    let out = told(Dialect::Anthropic);
    assert_eq!(out["anthropic-ratelimit-requests-limit"], "5");
    let reset = out["anthropic-ratelimit-tokens-reset"].to_str().unwrap().to_owned();
    assert!(humantime::parse_rfc3339(&reset).is_ok(), "{reset}");
}

#[test]
fn times_read_as_people_write_them() {
    for (ms, text) in [(0, "0ms"), (250, "250ms"), (999, "999ms"), (1001, "2s"), (60_000, "1m0s"), (90_500, "1m31s")] {
        assert_eq!(told::shown(Dialect::OpenaiChat, Duration::from_millis(ms)), text);
    }
    for (ms, text) in [(10, "a second"), (1_500, "2 seconds"), (180_000, "3 minutes"), (86_400_000, "24 hours")] {
        assert_eq!(told::short(Duration::from_millis(ms)), text);
    }
}
