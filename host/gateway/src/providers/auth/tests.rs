//! Which key a call gets.

use super::*;
use crate::config::Secret;

fn new(auth: Auth, keys: &[ProviderKey]) -> Result<Credentials, String> {
    Credentials::new(auth, "p", keys, &Pools::default())
}

fn key(secret: &str, weight: f64, models: &[&str]) -> ProviderKey {
    let models = models.iter().map(|model| (*model).to_owned()).collect();
    let secret_text = Secret::new(secret.to_owned());
    ProviderKey { name: secret.to_owned(), secret: secret_text, weight, models, enabled: true, calls: None }
}

#[test]
fn keys_share_by_weight_among_those_that_fit() {
    let keys = [key("a", 3.0, &[]), key("b", 1.0, &[]), key("c", 100.0, &["o3*"])];
    let credentials = new(Auth::Bearer, &keys).unwrap();
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..10_000 {
        let chosen = credentials.choose("gpt-4o", None, &[], Instant::now()).unwrap().unwrap();
        assert_eq!(chosen.value.to_str().unwrap(), format!("Bearer {}", chosen.name));
        *counts.entry(chosen.value.to_str().unwrap().to_owned()).or_insert(0) += 1;
    }
    assert_eq!(counts.keys().collect::<Vec<_>>(), ["Bearer a", "Bearer b"]);
    assert!((7000..8000).contains(&counts["Bearer a"]), "{counts:?}");
}

#[test]
fn a_model_that_no_key_lists_is_an_error_and_no_key_at_all_is_none() {
    let credentials = new(Auth::Bearer, &[key("c", 1.0, &["o3*"])]).unwrap();
    assert!(credentials.choose("gpt-4o", None, &[], Instant::now()).is_err());
    assert!(credentials.choose("o3-mini", None, &[], Instant::now()).unwrap().is_some());
    let none = new(Auth::Bearer, &[]).unwrap();
    assert!(none.choose("x", None, &[], Instant::now()).unwrap().is_none());
    assert_eq!(none.wait("x", &[], Instant::now()), None, "there is no other key to try");
}

#[test]
fn lists_are_asked_for_with_the_heaviest_keys_and_hold_what_a_key_serves() {
    let keys = [key("a", 1.0, &[]), key("b", 5.0, &["o3*"]), key("c", 2.0, &[]), key("d", 0.5, &[])];
    let credentials = new(Auth::Bearer, &keys).unwrap();
    let listed: Vec<_> = credentials.to_list().into_iter().map(|credential| credential.value).collect();
    assert_eq!(listed, ["Bearer b", "Bearer c", "Bearer a"]);
    assert!(credentials.serve("gpt-4o"));
    let narrow = new(Auth::Bearer, &keys[1..2]).unwrap();
    assert!(narrow.serve("o3-mini") && !narrow.serve("gpt-4o"));
    assert!(new(Auth::Bearer, &[]).unwrap().serve("x"));
}

#[test]
fn a_key_cannot_be_printed() {
    let mut hidden = key("sk-hidden", 1.0, &[]);
    hidden.name = "main".to_owned();
    let credentials = new(Auth::Bearer, &[hidden]).unwrap();
    assert!(!format!("{:?}", credentials.choose("x", None, &[], Instant::now()).unwrap().unwrap()).contains("hidden"));
}

#[test]
fn each_kind_of_key_has_its_header() {
    for (auth, name, value) in [
        (Auth::Bearer, "authorization", "Bearer k"),
        (Auth::XApiKey, "x-api-key", "k"),
        (Auth::XGoogApiKey, "x-goog-api-key", "k"),
        (Auth::ApiKey, "api-key", "k"),
    ] {
        let credentials = new(auth, &[key("k", 1.0, &[])]).unwrap();
        let mut headers = HeaderMap::new();
        credentials.choose("m", None, &[], Instant::now()).unwrap().unwrap().authorize(&mut headers);
        assert_eq!((headers.len(), headers[name].to_str().unwrap()), (1, value));
    }
}

fn pool(names: &[&str]) -> Credentials {
    let keys: Vec<_> = names.iter().map(|name| key(name, 1.0, &[])).collect();
    new(Auth::Bearer, &keys).unwrap()
}

fn name(credentials: &Credentials, session: Option<u64>, tried: &[Arc<str>], now: Instant) -> Option<Arc<str>> {
    credentials.choose("m", session, tried, now).ok().flatten().map(|key| Arc::clone(&key.name))
}

fn tell(credentials: &Credentials, key: &str, news: KeyNews, now: Instant) {
    let at = credentials.keys.iter().position(|known| *known.credential.name == *key).unwrap();
    credentials.told(&credentials.keys[at].credential.clone(), "m", news, now);
}

#[test]
fn a_session_keeps_its_key_and_moves_alone_when_that_fails() {
    let credentials = pool(&["a", "b", "c", "d"]);
    let now = Instant::now();
    let of = |session, now| name(&credentials, Some(session), &[], now).unwrap();
    let before: Vec<_> = (0..1000).map(|session| of(session, now)).collect();
    for session in 0..1000 {
        assert_eq!(of(session, now), before[session as usize]);
    }
    let counts = ["a", "b", "c", "d"].map(|key| before.iter().filter(|name| ***name == *key).count());
    assert!(counts.iter().all(|count| (180..320).contains(count)), "{counts:?}");
    tell(&credentials, "b", KeyNews::Limited { after: Some(Duration::from_secs(30)) }, now);
    for session in 0..1000 {
        let (was, is) = (&before[session as usize], of(session, now));
        assert_ne!(&*is, "b");
        assert!(**was == *"b" || *was == is, "only those of the failed key move");
    }
    // When it is back, one call tries it; good news bring all of its sessions back.
    let later = now + Duration::from_secs(30);
    tell(&credentials, "b", KeyNews::Good, later);
    assert!((0..1000).all(|session| of(session, later) == before[session as usize]));
}

#[test]
fn tried_and_disabled_keys_and_those_that_are_out_are_never_given() {
    let mut keys = ["a", "b", "c", "d"].map(|name| key(name, 1.0, &[]));
    keys[3].enabled = false;
    let credentials = new(Auth::Bearer, &keys).unwrap();
    let now = Instant::now();
    tell(&credentials, "b", KeyNews::Bad { why: "the provider does not accept it" }, now);
    let tried = [Arc::from("a")];
    for session in 0..100 {
        assert_eq!(name(&credentials, Some(session), &tried, now).as_deref(), Some("c"));
        assert_eq!(name(&credentials, None, &tried, now).as_deref(), Some("c"));
    }
    let failure = credentials.choose("m", None, &["a".into(), "c".into()], now).unwrap_err().failure("p");
    assert_eq!((failure.status, failure.code.as_deref()), (503, Some("no_provider_key")));
    assert_eq!((failure.retry, failure.retry_after), (Retry::NextTarget, Some(Duration::from_secs(600))));
    assert_eq!(
        failure.detail,
        "key `a`: this call has tried it; key `b`: the provider does not accept it, for another 10m; \
         key `c`: this call has tried it; key `d`: `enabled: false`"
    );
}

#[test]
fn all_keys_cooling_is_a_429_with_the_soonest_time() {
    for names in [&["a"][..], &["a", "b", "c"]] {
        let credentials = pool(names);
        let now = Instant::now();
        for (at, name) in names.iter().enumerate() {
            let after = Some(Duration::from_secs(20 + at as u64));
            tell(&credentials, name, KeyNews::Limited { after }, now);
        }
        let failure = credentials.choose("m", Some(1), &[], now).unwrap_err().failure("p");
        assert_eq!((failure.status, failure.class()), (429, Class::RateLimit));
        assert_eq!((failure.blame, failure.retry_after), (Blame::Gateway, Some(Duration::from_secs(20))));
        assert_eq!(credentials.wait("m", &[], now), Some(Duration::from_secs(20)));
        assert_eq!(credentials.wait("m", &["a".into()], now).is_some(), names.len() > 1);
        assert_eq!(credentials.wait("other", &[], now), Some(Duration::ZERO));
        assert!(credentials.choose("other", Some(1), &[], now).is_ok(), "another model has its own rate");
        // The first that is back is tried by one call; the others hear so at once.
        let later = now + Duration::from_secs(20);
        assert_eq!(name(&credentials, None, &[], later).as_deref(), Some("a"));
        let failure = credentials.choose("m", None, &[], later).unwrap_err().failure("p");
        assert!(failure.retry_after.unwrap() <= Duration::from_secs(1), "{failure:?}");
    }
}

#[test]
fn nothing_of_a_call_reaches_another_models_key() {
    let keys = [key("a", 1.0, &["x"]), key("b", 1.0, &["y"])];
    let credentials = new(Auth::Bearer, &keys).unwrap();
    let failure = credentials.choose("z", None, &[], Instant::now()).unwrap_err().failure("p");
    assert_eq!((failure.status, failure.retry_after), (503, None));
    assert!(failure.message.contains("may be used for this model"), "{}", failure.message);
}

#[test]
fn a_key_with_room_goes_before_one_without() {
    let mut keys = ["a", "b"].map(|name| key(name, 1.0, &[]));
    keys[0].calls = Some(crate::config::CallLimits { calls: 1, queue: 4, wait: Duration::from_secs(1) });
    let credentials = new(Auth::Bearer, &keys).unwrap();
    let now = Instant::now();
    let session = (0..).find(|session| name(&credentials, Some(*session), &[], now).as_deref() == Some("a")).unwrap();
    let key = credentials.choose("m", Some(session), &[], now).unwrap().unwrap().clone();
    let entered = super::super::gate::enter(credentials.gate(&key), None, now + Duration::from_secs(9));
    let permit = futures_util::FutureExt::now_or_never(entered).unwrap().ok().unwrap();
    assert!(permit.is_some());
    assert_eq!(name(&credentials, Some(session), &[], now).as_deref(), Some("b"));
    assert_eq!(
        name(&credentials, Some(session), &["b".into()], now).as_deref(),
        Some("a"),
        "a queue is better than no key"
    );
    drop(permit);
    assert_eq!(name(&credentials, Some(session), &[], now).as_deref(), Some("a"));
}

#[test]
fn weights_share_exactly_however_far_they_lie_apart() {
    let keys = [key("tiny", 0.001, &[]), key("one", 1.0, &[]), key("huge", 1000.0, &[])];
    let credentials = new(Auth::Bearer, &keys).unwrap();
    let now = Instant::now();
    let mut counts = [0_u32; 3];
    for _ in 0..200_000 {
        counts[credentials.choose("m", None, &[], now).unwrap().unwrap().at] += 1;
    }
    // One in a million, one in a thousand, the rest: five deviations wide.
    assert!(counts[0] <= 5 && (130..=270).contains(&counts[1]), "{counts:?}");
    assert_eq!(counts.iter().sum::<u32>(), 200_000);
}

#[test]
fn what_operators_see_holds_no_secret() {
    let mut keys = [key("sk-hidden", 1.0, &[]), key("sk-other", 1.0, &[])];
    keys[0].name = "main".to_owned();
    keys[1].name = "spare".to_owned();
    keys[1].enabled = false;
    let credentials = new(Auth::Bearer, &keys).unwrap();
    let now = Instant::now();
    tell(&credentials, "main", KeyNews::Bad { why: "the provider does not accept it" }, now);
    let said = Value::from(credentials.describe(now));
    assert_eq!((&said[0]["name"], &said[0]["state"]), (&json!("main"), &json!("out")));
    assert_eq!((&said[1]["name"], &said[1]["state"]), (&json!("spare"), &json!("disabled")));
    assert!(!said.to_string().contains("sk-"), "{said}");
}
