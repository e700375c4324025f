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
    assert!(new(Auth::Bearer, &[]).unwrap().choose("x", None, &[], Instant::now()).unwrap().is_none());
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
