use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::*;
use crate::config::sha256;
use crate::governance::caller::Scope;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn key(name: &str, value: &str) -> ClientKey {
    ClientKey {
        name: name.to_owned(),
        checks: vec![sha256(value.as_bytes())],
        team: Some("search".to_owned()),
        labels: BTreeMap::from([("region".to_owned(), "eu".to_owned())]),
        scope: Scope { models: vec!["fast".to_owned()], routes: Vec::new() },
        ..ClientKey::default()
    }
}

fn keys(keys: &[ClientKey]) -> Keys {
    Keys::new(keys, &[], &Rates::default())
}

#[track_caller]
fn name_of<'a>(keys: &'a Keys, presented: &[u8]) -> &'a str {
    match keys.find(presented, NOW) {
        Some(Known::Caller(caller)) => &caller.key,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_key_is_found_by_its_whole_value_only() {
    let keys = keys(&[key("a", "sk-a"), key("b", "sk-b"), key("c", "sk-c")]);
    for name in ["a", "b", "c"] {
        assert_eq!(name_of(&keys, format!("sk-{name}").as_bytes()), name);
    }
    for wrong in ["", "sk-", "sk-aa", "SK-A", "a", "sk-a\0"] {
        assert_eq!(keys.find(wrong.as_bytes(), NOW), None, "{wrong:?}");
    }
    assert!(Keys::default().is_empty() && Keys::default().find(b"", NOW).is_none());
}

#[test]
fn a_digest_is_no_credential() {
    assert_eq!(keys(&[key("a", "sk-a")]).find(&sha256(b"sk-a"), NOW), None);
}

#[test]
fn digests_that_begin_alike_stay_apart() {
    let (mut one, mut two) = (key("one", "sk-one"), key("two", "sk-two"));
    let mut near = sha256(b"sk-one");
    near[31] ^= 1;
    two.checks.push(near);
    one.checks.push(sha256(b"sk-one-old"));
    for keys in [keys(&[one.clone(), two.clone()]), keys(&[two, one])] {
        assert_eq!(name_of(&keys, b"sk-one"), "one");
        assert_eq!(name_of(&keys, b"sk-one-old"), "one");
        assert_eq!(name_of(&keys, b"sk-two"), "two");
    }
}

#[test]
fn the_caller_carries_the_particulars_of_key_and_team() {
    let team = Team {
        name: "search".to_owned(),
        labels: BTreeMap::from([("region".to_owned(), "us".to_owned()), ("cost".to_owned(), "7".to_owned())]),
        scope: Scope { models: Vec::new(), routes: vec!["smart".to_owned()] },
        ..Team::default()
    };
    let keys = Keys::new(&[key("a", "sk-a")], &[team], &Rates::default());
    let Some(Known::Caller(caller)) = keys.find(b"sk-a", NOW) else { panic!("not found") };
    assert_eq!((&*caller.key, caller.team.as_deref(), caller.user.as_deref()), ("a", Some("search"), None));
    assert_eq!((caller.label("region"), caller.label("cost"), caller.label("other")), (Some("eu"), Some("7"), None));
    let lists: Vec<(usize, usize)> =
        caller.scopes.iter().map(|scope| (scope.models.len(), scope.routes.len())).collect();
    assert_eq!(lists, [(1, 0), (0, 1)]);
    assert!(caller.limits.is_none());
    assert_eq!(keys.named("a", NOW).map(|(caller, _)| caller), Some(caller));
    assert_eq!(keys.named("sk-a", NOW), None);
}

#[test]
fn a_key_serves_until_it_expires_and_while_it_is_on() {
    let hour = Duration::from_secs(3600);
    let mut short = key("short", "sk-short");
    short.expires = Some(NOW + hour);
    let mut off = key("off", "sk-off");
    off.disabled = true;
    let keys = keys(&[short, off]);
    assert!(matches!(keys.find(b"sk-short", NOW + hour - Duration::from_nanos(1)), Some(Known::Caller(_))));
    assert_eq!(keys.find(b"sk-short", NOW + hour), Some(Known::Expired("short", NOW + hour)));
    assert_eq!(keys.find(b"sk-off", NOW), Some(Known::Disabled("off")));
}

/// Among 10,000 keys a look-up takes about as long as among one. The bound is far above the index's cost and far below that of looking
/// at each key (some 200 us).
#[test]
fn many_keys_are_found_as_fast_as_one() {
    let many: Vec<ClientKey> = (0..10_000).map(|i| key(&format!("k{i}"), &format!("sk-{i}"))).collect();
    let (one, many) = (keys(&many[..1]), keys(&many));
    let took = |keys: &Keys, presented: &str| {
        let began = Instant::now();
        for _ in 0..200 {
            std::hint::black_box(keys.find(std::hint::black_box(presented.as_bytes()), NOW));
        }
        began.elapsed() / 200
    };
    // The best of several: other programs only ever add to it.
    let best = |keys: &Keys, presented: &str| (0..50).map(|_| took(keys, presented)).min().unwrap_or_default();
    for presented in ["sk-0", "sk-9999", "sk-unknown"] {
        let (few, lots) = (best(&one, presented), best(&many, presented));
        let known = if presented == "sk-9999" { best(&one, "sk-0") } else { few };
        // Ten times what it may be: a search through all of them takes a thousand times as long.
        assert!(lots <= known + Duration::from_micros(10), "{presented}: {lots:?} among 10,000, {known:?} among one");
    }
}
