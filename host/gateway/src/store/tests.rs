use std::sync::atomic::{AtomicUsize, Ordering};

use prometheus::{IntCounter, IntGauge};
use sluice_sandbox::{Fault, Kv as _};

use super::shard::OVERHEAD;
use super::*;

const KIB: usize = 1024;

fn metrics() -> KvMetrics {
    KvMetrics { bytes: IntGauge::new("b", "b").unwrap(), evictions: IntCounter::new("e", "e").unwrap() }
}

fn space(max: usize) -> Space {
    Space::new(max, metrics())
}

fn set(space: &Space, key: &str, size: usize, now: u64) {
    space.set_at(key, vec![7; size], None, now).unwrap();
}

fn has(space: &Space, key: &str, now: u64) -> bool {
    space.get_at(key, now).is_some()
}

fn ns(ns: u64) -> Option<Duration> {
    Some(Duration::from_nanos(ns))
}

#[test]
fn what_is_set_is_read_until_it_is_deleted_or_ends() {
    let space = space(64 * KIB);
    assert_eq!(space.get_at("a", 0), None);
    space.set_at("a", b"one".to_vec(), None, 0).unwrap();
    space.set_at("a", b"two".to_vec(), None, 0).unwrap();
    assert_eq!(space.get_at("a", 1 << 40), Some(b"two".to_vec()));
    assert_eq!(space.bytes(), OVERHEAD + 4);
    assert_eq!((space.delete("a"), space.delete("a")), (Ok(()), Ok(())));
    assert_eq!((space.get_at("a", 0), space.bytes()), (None, 0));
    space.set_at("t", b"x".to_vec(), ns(100), 50).unwrap();
    assert!(has(&space, "t", 149) && !has(&space, "t", 150));
    assert_eq!(space.bytes(), 0, "seen ended, it is gone");
    space.set_at("t", b"x".to_vec(), ns(100), 0).unwrap();
    space.set_at("t", b"y".to_vec(), None, 10).unwrap();
    assert!(has(&space, "t", 1000), "set without an end has none, whatever it had before");
}

#[test]
fn counting_starts_at_nothing_and_keeps_the_first_end() {
    let space = space(64 * KIB);
    assert_eq!(space.increment_at("n", 5, ns(100), 0), Ok(5));
    assert_eq!(space.increment_at("n", -7, ns(100), 90), Ok(-2));
    assert_eq!(space.get_at("n", 99), Some(b"-2".to_vec()));
    assert_eq!(space.increment_at("n", 1, ns(100), 100), Ok(1), "the ttl began with the key");
    space.set_at("s", b"41".to_vec(), ns(100), 0).unwrap();
    assert_eq!(space.increment_at("s", 1, None, 50), Ok(42));
    assert!(has(&space, "s", 99) && !has(&space, "s", 100), "counting on a value keeps its end");
}

#[test]
fn what_is_no_number_or_would_pass_64_bits_is_a_fault_and_stays() {
    let space = space(64 * KIB);
    for bad in ["", "x", "1.5", " 1", "9223372036854775808"] {
        space.set_at("k", bad.as_bytes().to_vec(), None, 0).unwrap();
        assert!(matches!(space.increment_at("k", 1, None, 0), Err(Fault::Invalid(_))), "{bad:?}");
        assert_eq!(space.get_at("k", 0), Some(bad.as_bytes().to_vec()));
    }
    space.set_at("k", vec![0xFF], None, 0).unwrap();
    assert!(space.increment_at("k", 1, None, 0).is_err());
    assert_eq!(space.increment_at("n", i64::MAX, None, 0), Ok(i64::MAX));
    assert!(matches!(space.increment_at("n", 1, None, 0), Err(Fault::Invalid(_))));
    assert_eq!(space.increment_at("n", -1, None, 0), Ok(i64::MAX - 1));
}

#[test]
fn a_swap_writes_only_over_what_it_expects() {
    let space = space(64 * KIB);
    let swap = |expected: Option<&str>, value: &str, now: u64| {
        space.swap_at("k", expected.map(str::as_bytes), value.as_bytes().to_vec(), ns(100), now).unwrap()
    };
    assert!(!swap(Some("a"), "b", 0), "nothing is there");
    assert!(swap(None, "a", 0) && !swap(None, "b", 0));
    assert_eq!(space.get_at("k", 0), Some(b"a".to_vec()));
    assert!(!swap(Some(""), "b", 0) && swap(Some("a"), "b", 90));
    assert_eq!(space.get_at("k", 189), Some(b"b".to_vec()), "its time starts anew");
    assert!(swap(None, "c", 190), "ended is not there");
    space.set_at("k", b"set".to_vec(), None, 0).unwrap();
    assert!(swap(Some("set"), "7", 0));
    assert_eq!(space.increment_at("k", 1, None, 0), Ok(8));
    assert!(swap(Some("8"), "x", 0), "a count is its decimal text");
    assert!(space.swap_at("big", None, vec![0; 32 * KIB], None, 0).is_err());
}

#[test]
fn swaps_of_many_threads_lose_nothing() {
    let space = &space(64 * KIB);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..2_000 {
                    loop {
                        let old = space.get_at("n", 0);
                        let number =
                            old.as_deref().map_or(0, |text| std::str::from_utf8(text).unwrap().parse().unwrap());
                        let new = format!("{}", number + 1_u32).into_bytes();
                        if space.swap_at("n", old.as_deref(), new, None, 0).unwrap() {
                            break;
                        }
                    }
                }
            });
        }
    });
    assert_eq!(space.get_at("n", 0), Some(b"8000".to_vec()));
}

#[test]
fn ended_ones_go_first_then_the_least_recently_used() {
    let metrics = metrics();
    let space = Space::new(64 * KIB, metrics.clone());
    let size = 8 * KIB - OVERHEAD - 2;
    for number in 0..7 {
        set(&space, &format!("k{number}"), size, number);
    }
    space.set_at("t1", vec![7; size], ns(50), 10).unwrap();
    assert_eq!((space.bytes(), metrics.evictions.get()), (64 * KIB, 0));
    set(&space, "k7", size, 60);
    assert!(!has(&space, "t1", 20), "the ended one has gone");
    assert_eq!(metrics.evictions.get(), 0, "an end is no eviction");
    assert!(has(&space, "k0", 61), "used again, it is the newest");
    set(&space, "k8", size, 62);
    assert!(!has(&space, "k1", 63), "the least recently used has gone");
    for key in ["k0", "k2", "k3", "k4", "k5", "k6", "k7", "k8"] {
        assert!(has(&space, key, 64), "{key}");
    }
    assert_eq!((metrics.evictions.get(), metrics.bytes.get() as usize), (1, 64 * KIB));
}

#[test]
fn cached_values_never_push_out_what_is_counted_or_swapped() {
    let space = space(64 * KIB);
    for number in 0..100 {
        space.increment_at(&format!("count{number}"), 1, None, 0).unwrap();
    }
    assert!(space.swap_at("bucket", None, b"3".to_vec(), None, 0).unwrap());
    for number in 0..10_000 {
        set(&space, &format!("value{number}"), KIB, number + 1);
    }
    assert!(has(&space, "bucket", 20_000));
    for number in 0..100 {
        assert_eq!(space.increment_at(&format!("count{number}"), 1, None, 20_000), Ok(2));
    }
    assert!(space.bytes() <= 64 * KIB);
}

#[test]
fn counters_never_starve_a_cache() {
    let space = space(64 * KIB);
    for number in 0..10_000 {
        space.increment_at(&format!("count{number}"), 1, None, number).unwrap();
        if number % 100 == 0 {
            set(&space, "value", 30 * KIB, number);
        }
        assert!(has(&space, "value", number), "{number}");
        assert!(space.bytes() <= 64 * KIB);
    }
    assert!(has(&space, "count9999", 10_000) && !has(&space, "count0", 10_000));
}

#[test]
fn a_value_of_more_than_half_the_room_is_refused() {
    let space = space(64 * KIB);
    set(&space, "k", 32 * KIB - OVERHEAD - 1, 0);
    match space.set_at("k", vec![0; 32 * KIB - OVERHEAD], None, 0) {
        Err(Fault::Invalid(why)) => assert!(why.contains("grants.kv.max"), "{why}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(space.get_at("k", 0).map(|value| value.len()), Some(32 * KIB - OVERHEAD - 1), "the old one stays");
}

#[test]
fn a_smaller_quota_holds_at_once() {
    let space = space(1024 * KIB);
    for number in 0..100 {
        set(&space, &format!("k{number}"), 4 * KIB, number);
    }
    space.set_max(64 * KIB);
    assert!(space.bytes() <= 64 * KIB && has(&space, "k99", 100));
}

#[test]
fn a_million_distinct_keys_take_no_more_than_the_quota() {
    let space = space(1024 * KIB);
    for number in 0..1_000_000_u64 {
        match number % 3 {
            0 => set(&space, &format!("v{number}"), 100, number),
            1 => space.set_at(&format!("t{number}"), vec![1; 50], ns(number % 5000 + 1), number).unwrap(),
            _ => drop(space.increment_at(&format!("c{number}"), 1, ns(1000), number)),
        }
    }
    assert!(space.bytes() <= 1024 * KIB, "{}", space.bytes());
    let most = 1024 * KIB / OVERHEAD + 8;
    assert!(space.slots() <= most, "{} slots", space.slots());
}

#[test]
fn a_sweep_frees_what_nobody_asks_for() {
    let space = space(1024 * KIB);
    for number in 0..2000 {
        space.set_at(&format!("k{number}"), vec![1; 50], ns(1), 0).unwrap();
    }
    let until = Instant::now() + Duration::from_secs(20);
    while space.bytes() > 0 && Instant::now() < until {
        space.sweep();
        std::thread::yield_now();
    }
    assert_eq!(space.bytes(), 0);
}

#[test]
fn increments_of_many_threads_are_all_counted() {
    let space = &space(64 * KIB);
    let noise = &AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for thread in 0..8 {
            scope.spawn(move || {
                for _ in 0..20_000 {
                    space.increment_at("n", 1, None, 0).unwrap();
                    let key = noise.fetch_add(1, Ordering::Relaxed);
                    set(space, &format!("{thread}.{key}"), 200, key as u64);
                }
            });
        }
    });
    assert_eq!(space.get_at("n", 0), Some(b"160000".to_vec()));
    assert!(space.bytes() <= 64 * KIB, "{}", space.bytes());
}

#[test]
fn a_space_outlives_versions_and_goes_when_long_unused() {
    let store = Store::default();
    let metrics = metrics();
    let space = |max| store.space("p", max, &metrics);
    set(&space(64 * KIB), "k", 10, 0);
    let now = Instant::now();
    store.tend(now, |_| false);
    store.tend(now + KEPT_UNUSED / 2, |_| false);
    assert!(has(&space(64 * KIB), "k", 0), "a version that comes back finds its values");
    store.tend(now + KEPT_UNUSED, |_| false);
    assert!(has(&space(64 * KIB), "k", 0), "unused only from then on");
    assert!(!has(&store.space("q", 64 * KIB, &metrics), "k", 0), "another plugin has its own");
    store.tend(now, |plugin| plugin == "q");
    store.tend(now + KEPT_UNUSED, |plugin| plugin == "q");
    assert!(!has(&space(64 * KIB), "k", 0), "long unused, it has gone");
    assert_eq!(metrics.bytes.get(), 0);
}
