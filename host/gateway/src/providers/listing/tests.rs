use super::*;
use crate::providers::pool::Pools;

fn list(body: &str) -> Models {
    Models::read(body.as_bytes(), "p").unwrap()
}

fn ids(models: &Models) -> Vec<&str> {
    models.iter().map(Entry::id).collect()
}

fn written(models: &Models, id: &str, name: &str) -> serde_json::Value {
    let mut out = String::new();
    models.get(id).unwrap().write(name, &mut out);
    serde_json::from_str(&out).unwrap()
}

#[test]
fn lists_come_in_several_shapes() {
    for body in [
        r#"{"object":"list","data":[{"id":"a"},{"id":"b"}]}"#,
        r#"[{"id":"a"},{"id":"b"}]"#,
        r#"  [{"id":"a"},{"id":"b"}]"#,
        r#"{"models":[{"name":"a"},{"model":"b"}]}"#,
        r#"{"models":[{"id":"x"}],"data":[{"id":"a"},{"id":"b"}]}"#,
        r#"{"data":["a","b"]}"#,
        r#"{"data":[{"id":"a"},{"id":"a","owned_by":"second"},{"id":"b"},{"id":7},{"id":""},{},null,[1],{"id":"c\n"}]}"#,
    ] {
        assert_eq!(ids(&list(body)), ["a", "b"], "{body}");
    }
    assert_eq!(ids(&list(r#"{"data":[]}"#)), [""; 0]);
    let long = format!(r#"{{"data":["{}"]}}"#, "x".repeat(513));
    assert_eq!(ids(&list(&long)), [""; 0]);
}

#[test]
fn what_is_no_list_is_an_error_that_quotes_nothing() {
    for body in ["", "secret", "{\"secret\":1}", "{\"data\":\"secret\"}", "{\"data\":null}", "[{\"id\":\"secret\"", "7"]
    {
        let Err(Trouble(why)) = Models::read(body.as_bytes(), "p") else { panic!("{body} is a list") };
        assert!(why.contains("no list of models") && !why.contains("secret"), "{why}");
    }
}

#[test]
fn an_entry_keeps_its_fields_and_gets_those_that_clients_require() {
    let models = list(
        r#"{"data":[{"created":1767220880,"id":"a","object":"thing","owned_by":"org","context_window":8192,"x":{"y":[1,null]}},{"id":"b","created":"2026","owned_by":null}]}"#,
    );
    let one = written(&models, "a", "p/a");
    assert_eq!(
        one,
        serde_json::json!({"id": "p/a", "created": 1_767_220_880, "object": "model", "owned_by": "org",
            "context_window": 8192, "x": {"y": [1, null]}})
    );
    let other = written(&models, "b", "quoted \"name\"");
    assert_eq!(other, serde_json::json!({"id": "quoted \"name\"", "created": 0, "object": "model", "owned_by": "p"}));
}

#[test]
fn more_names_than_anybody_reads_are_cut() {
    let all: Vec<String> = (0..20_500).map(|at| format!("\"m{at}\"")).collect();
    let models = list(&format!("[{}]", all.join(",")));
    assert_eq!(models.iter().count(), 20_000);
    assert!(models.get("m19999").is_some() && models.get("m20000").is_none());
    assert!(Models::read(format!("[{},", all.join(",")).as_bytes(), "p").is_err(), "the cut part is checked too");
}

fn next(state: &mut State, failed: Option<Instant>, now: Instant) -> (bool, bool) {
    let Next { ask, wait } = state.next(failed, now);
    (ask, wait)
}

#[test]
fn one_request_is_out_at_a_time_and_everybody_waits_for_the_first() {
    let (mut state, now) = (State::default(), Instant::now());
    assert_eq!(next(&mut state, None, now), (true, true));
    assert_eq!(next(&mut state, None, now), (false, true));
    state.land(Some(Models::default()), now);
    assert_eq!(next(&mut state, None, now + FRESH - Duration::from_secs(1)), (false, false));
    let old = now + FRESH;
    assert_eq!(next(&mut state, None, old), (true, false), "an aged list is given out while a new one is asked for");
    assert_eq!(next(&mut state, None, old), (false, false));
    state.land(None, old);
    assert_eq!(next(&mut state, Some(old), old + RETRY / 2), (false, false));
    assert_eq!(next(&mut state, Some(old), old + RETRY), (true, false));
    state.land(None, old + RETRY);
    assert!(state.list.is_some(), "a failure costs no list");
    assert_eq!(next(&mut state, Some(old), now + STALE), (true, false));
    assert!(state.list.is_none(), "a list of yesterday is no list");
}

#[test]
fn a_provider_that_failed_is_waited_for_no_more_but_asked_again() {
    let (mut state, now) = (State::default(), Instant::now());
    assert_eq!(next(&mut state, None, now), (true, true));
    state.land(None, now);
    assert_eq!(next(&mut state, Some(now), now + RETRY / 2), (false, false));
    assert_eq!(next(&mut state, Some(now), now + RETRY), (true, false));
    state.land(None, now + RETRY);
    assert_eq!(next(&mut state, Some(now), now + RETRY + STALE), (true, false));
}

fn provider(yaml: &str) -> config::Provider {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.yaml");
    std::fs::write(&file, format!("providers:\n  p: {yaml}\n")).unwrap();
    let env = |name: &str| ["A", "B"].contains(&name).then(|| format!("sk-{name}"));
    let config = config::load(Some(&file), &env, &config::Overrides::default()).unwrap();
    config.providers.into_iter().find(|provider| provider.name == "p").unwrap()
}

#[test]
fn a_list_belongs_to_the_provider_and_not_to_the_configuration() {
    let listings = Arc::new(Listings::default());
    let way = Way::new(&config::Network::default()).unwrap();
    let of = |yaml: &str| {
        let row = provider(yaml);
        listings.of(&row, &Credentials::new(row.auth, &row.name, &row.keys, &Pools::default()).unwrap(), &way)
    };
    let first = of("{ dialect: openai-chat, base_url: 'http://a/v1', keys: [{ name: k, value: 'env:A' }] }");
    first.slot.state().land(Some(Models::default()), Instant::now());
    let same =
        of("{ dialect: openai-chat, base_url: 'http://a/v1', models: [m], keys: [{ name: k, value: 'env:B' }] }");
    assert!(same.held().is_some(), "a rotated key and a new model change nothing");
    for other in [
        "{ dialect: openai-chat, base_url: 'http://b/v1', keys: [{ name: k, value: 'env:A' }] }",
        "{ dialect: openai-chat, base_url: 'http://a/v1', keys: [{ name: other, value: 'env:A' }] }",
        "{ dialect: openai-chat, base_url: 'http://a/v1', headers: { x-org: a }, keys: [{ name: k, value: 'env:A' }] }",
    ] {
        assert!(of(other).held().is_none(), "{other}");
    }
    drop((first, same));
    let again = of("{ dialect: openai-chat, base_url: 'http://a/v1', keys: [{ name: k, value: 'env:A' }] }");
    assert!(again.held().is_none(), "nobody had it any more");
    assert_eq!(listings.slots.lock().unwrap().len(), 1);
    let flight =
        Flight { slot: Arc::clone(&again.slot), failed: Arc::clone(&again.failed), name: "p".to_owned(), over: false };
    drop(flight);
    assert!(again.failed.lock().unwrap().is_some(), "a question that is dropped has failed");
    let mended = of("{ dialect: openai-chat, base_url: 'http://a/v1', keys: [{ name: k, value: 'env:A' }] }");
    assert!(mended.failed.lock().unwrap().is_none(), "a new configuration may have mended it");
    assert!(Arc::ptr_eq(&mended.slot, &again.slot));
}
