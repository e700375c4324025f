//! Grants: who gets keys of its own, what passes the host's checks, and that a dry run leaves nothing.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::guests::{ON_REQUEST, PRELUDE, described, guest};
use super::probe::Probe;
use super::{block_on, load, spec};
use crate::{ErrorKind, Fault, Grants, Kv, Limits, LoadErrorKind, Plugin, Spec};

/// What arrives, with its time to live.
type Held = (Vec<u8>, Option<Duration>);

#[derive(Default)]
struct Keys(Mutex<BTreeMap<String, Held>>);

impl Kv for Keys {
    fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Fault> {
        Ok(self.0.lock().unwrap().get(key).map(|(value, _)| value.clone()))
    }
    fn set(&self, key: &str, value: Vec<u8>, ttl: Option<Duration>) -> Result<(), Fault> {
        self.0.lock().unwrap().insert(key.to_owned(), (value, ttl));
        Ok(())
    }
    fn delete(&self, key: &str) -> Result<(), Fault> {
        self.0.lock().unwrap().remove(key);
        Ok(())
    }
    fn increment(&self, key: &str, by: i64, ttl: Option<Duration>) -> Result<i64, Fault> {
        let mut keys = self.0.lock().unwrap();
        let (value, _) = keys.entry(key.to_owned()).or_insert_with(|| (b"0".to_vec(), ttl));
        let sum = std::str::from_utf8(value).unwrap().parse::<i64>().unwrap() + by;
        *value = sum.to_string().into_bytes();
        Ok(sum)
    }
    fn swap(&self, key: &str, expected: Option<&[u8]>, value: Vec<u8>, ttl: Option<Duration>) -> Result<bool, Fault> {
        let mut keys = self.0.lock().unwrap();
        let same = keys.get(key).map(|(value, _)| value.as_slice()) == expected;
        if same {
            keys.insert(key.to_owned(), (value, ttl));
        }
        Ok(same)
    }
}

fn granted(keys: &Arc<Keys>) -> Grants {
    let kv: Arc<dyn Kv> = Arc::<Keys>::clone(keys);
    Grants { kv: Some(kv) }
}

/// Increments `visits` by the attempt with 5 s to live and counts what came back; from attempt 30 on does what its table says. A fault of
/// `kv` becomes the hook's own.
fn keeping() -> Vec<u8> {
    let wat = format!(
        r#"(module
          (import "sluice:plugin/call@0.1.0" "attempt" (func $attempt (result i32)))
          (import "sluice:plugin/host@0.1.0" "count" (func $count (param i32 i32 i64)))
          (import "sluice:plugin/host@0.1.0" "digest" (func $digest (param i32 i32 i32)))
          (import "sluice:plugin/kv@0.1.0" "get" (func $get (param i32 i32 i32)))
          (import "sluice:plugin/kv@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32 i64 i32)))
          (import "sluice:plugin/kv@0.1.0" "delete" (func $delete (param i32 i32 i32)))
          (import "sluice:plugin/kv@0.1.0" "swap" (func $swap (param i32 i32 i32 i32 i32 i32 i32 i32 i64 i32)))
          (import "sluice:plugin/kv@0.1.0" "increment" (func $increment (param i32 i32 i64 i32 i64 i32)))
          {PRELUDE}
          (data (i32.const 512) "visits")
          (func $passed_on (param $at i32) (result i32)
            (i32.store (i32.const 3072) (i32.load8_u (i32.const 2048)))
            (if (i32.eqz (i32.load8_u (i32.const 2048))) (then (return (i32.const 1024))))
            (i64.store (i32.const 3076) (i64.load (local.get $at)))
            (i32.store (i32.const 3084) (i32.load (i32.add (local.get $at) (i32.const 8))))
            (i32.const 3072))
          (func $set_it (param $key i32) (param $value i32) (param $ttl i64) (result i32)
            (call $set (i32.const 512) (local.get $key) (i32.const 8192) (local.get $value)
              (i64.ge_s (local.get $ttl) (i64.const 0)) (local.get $ttl) (i32.const 2048))
            (call $passed_on (i32.const 2052)))
          (func (export "{ON_REQUEST}#on-request") (result i32)
            (local $deed i32)
            (local.set $deed (call $attempt))
            (if (i32.gt_u (local.get $deed) (i32.const 33)) (then (drop (memory.grow (i32.const 300)))))
            (if (i32.eq (local.get $deed) (i32.const 30)) (then (return (call $set_it (i32.const 6) (i32.const 3) (i64.const -1)))))
            (if (i32.eq (local.get $deed) (i32.const 31)) (then (return (call $set_it (i32.const 0) (i32.const 3) (i64.const -1)))))
            (if (i32.eq (local.get $deed) (i32.const 32)) (then (return (call $set_it (i32.const 513) (i32.const 3) (i64.const -1)))))
            (if (i32.eq (local.get $deed) (i32.const 33)) (then (return (call $set_it (i32.const 512) (i32.const 3) (i64.const 1)))))
            (if (i32.eq (local.get $deed) (i32.const 34)) (then (return (call $set_it (i32.const 6) (i32.const 1048577) (i64.const -1)))))
            (if (i32.eq (local.get $deed) (i32.const 35)) (then (return (call $set_it (i32.const 6) (i32.const 1048576) (i64.const -1)))))
            (if (i32.eq (local.get $deed) (i32.const 36)) (then (return (call $set_it (i32.const 6) (i32.const 3) (i64.const 0)))))
            (if (i32.eq (local.get $deed) (i32.const 37)) (then (return (call $set_it (i32.const 6) (i32.const 3) (i64.const 2592000001)))))
            (if (i32.eq (local.get $deed) (i32.const 38)) (then (return (call $set_it (i32.const 6) (i32.const 3) (i64.const 2592000000)))))
            (if (i32.eq (local.get $deed) (i32.const 39)) (then
              (call $delete (i32.const 512) (i32.const 6) (i32.const 2048))
              (return (call $passed_on (i32.const 2052)))))
            (if (i32.eq (local.get $deed) (i32.const 40)) (then
              (call $get (i32.const 512) (i32.const 6) (i32.const 2048))
              (call $count (i32.const 512) (i32.const 6) (i64.extend_i32_u (i32.load (i32.const 2060))))
              (return (call $passed_on (i32.const 2052)))))
            (if (i32.le_u (i32.sub (local.get $deed) (i32.const 41)) (i32.const 3)) (then
              (call $swap (i32.const 512) (i32.const 6)
                (i32.ne (local.get $deed) (i32.const 41)) (i32.const 512) (i32.sub (local.get $deed) (i32.const 38))
                (i32.const 8192) (select (i32.const 1048577) (i32.const 4) (i32.eq (local.get $deed) (i32.const 44)))
                (i32.const 1) (i64.const 5000) (i32.const 2048))
              (if (i32.eqz (i32.load8_u (i32.const 2048)))
                (then (call $count (i32.const 512) (i32.const 6) (i64.load8_u (i32.const 2052)))))
              (return (call $passed_on (i32.const 2052)))))
            (if (i32.eq (local.get $deed) (i32.const 50)) (then
              (call $digest (i32.const 512) (i32.const 6) (i32.const 2048))
              (call $count (i32.const 512) (i32.const 6) (i64.load (i32.load (i32.const 2048))))
              (return (i32.const 1024))))
            (if (i32.eq (local.get $deed) (i32.const 51)) (then
              (call $digest (i32.const 0) (i32.const 16777216) (i32.const 2048)) (return (i32.const 1024))))
            (if (i32.eq (local.get $deed) (i32.const 52)) (then
              (call $digest (i32.const 0) (i32.const 16777217) (i32.const 2048)) (return (i32.const 1024))))
            (call $increment (i32.const 512) (i32.const 6) (i64.extend_i32_u (local.get $deed)) (i32.const 1) (i64.const 5000)
              (i32.const 2048))
            (if (i32.eqz (i32.load8_u (i32.const 2048)))
              (then (call $count (i32.const 512) (i32.const 6) (i64.load (i32.const 2056)))))
            (call $passed_on (i32.const 2056))))"#
    );
    guest(
        &format!(
            "import sluice:plugin/call@0.1.0; import sluice:plugin/host@0.1.0; import sluice:plugin/kv@0.1.0; export {ON_REQUEST};"
        ),
        &wat,
    )
}

/// What the hook counted, or the text of its fault.
async fn ask(plugin: &Plugin, attempt: u32) -> Result<Option<u64>, String> {
    let ran = plugin.on_request(Probe::new(attempt)).await;
    match ran.result {
        Ok(_) => Ok(Probe::back(ran.view).counts.first().map(|(_, by)| *by)),
        Err(error) => {
            assert_eq!(error.kind, ErrorKind::Fault, "{error}");
            Err(error.message)
        }
    }
}

#[test]
fn keys_pass_both_ways_and_outlive_the_plugin() {
    let keys = Arc::new(Keys::default());
    block_on(async {
        let plugin = load(&keeping(), Spec { grants: granted(&keys), ..spec("keeper") }).await.unwrap();
        assert_eq!(ask(&plugin, 3).await, Ok(Some(3)));
        assert_eq!(ask(&plugin, 4).await, Ok(Some(7)));
        assert_eq!(keys.0.lock().unwrap()["visits"], (b"7".to_vec(), Some(Duration::from_secs(5))));
        drop(plugin);
        let next = load(&keeping(), Spec { grants: granted(&keys), ..spec("keeper") }).await.unwrap();
        assert_eq!(ask(&next, 1).await, Ok(Some(8)));
        assert_eq!(ask(&next, 30).await, Ok(None));
        assert_eq!(keys.0.lock().unwrap()["visits"], (vec![0; 3], None));
        assert_eq!(ask(&next, 40).await, Ok(Some(3)), "three bytes come back");
        assert_eq!(ask(&next, 39).await, Ok(None));
        assert!(keys.0.lock().unwrap().is_empty());
    });
}

#[test]
fn a_swap_compares_before_it_sets() {
    let keys = Arc::new(Keys::default());
    block_on(async {
        let plugin = load(&keeping(), Spec { grants: granted(&keys), ..spec("keeper") }).await.unwrap();
        // Attempt 41 expects no key, 42 the value `visi`, 44 sets too much; each that does sets four zeroes.
        assert_eq!(ask(&plugin, 42).await, Ok(Some(0)));
        assert_eq!(ask(&plugin, 41).await, Ok(Some(1)));
        assert_eq!(ask(&plugin, 41).await, Ok(Some(0)));
        assert_eq!(keys.0.lock().unwrap()["visits"], (vec![0; 4], Some(Duration::from_secs(5))));
        keys.0.lock().unwrap().insert("visits".to_owned(), (b"visi".to_vec(), None));
        assert!(ask(&plugin, 44).await.unwrap_err().contains("1048577"));
        assert_eq!(keys.0.lock().unwrap()["visits"].0, b"visi");
        assert_eq!(ask(&plugin, 42).await, Ok(Some(1)));
        let denied = load(&keeping(), spec("keeper")).await.unwrap();
        assert!(ask(&denied, 41).await.unwrap_err().contains("grants: { kv: {} }"));
    });
}

#[test]
fn a_dry_run_leaves_no_keys() {
    let keys = Arc::new(Keys::default());
    block_on(load(&keeping(), Spec { grants: granted(&keys), ..spec("keeper") })).unwrap();
    assert!(keys.0.lock().unwrap().is_empty());
}

#[test]
fn the_keys_of_a_dry_run_are_few_and_behave_as_keys() {
    let keys = Arc::new(Keys::default());
    let rehearsed = granted(&keys).rehearsed().kv.unwrap();
    assert_eq!(rehearsed.increment("n", 2, None), Ok(2));
    assert_eq!(rehearsed.increment("n", -5, None), Ok(-3));
    assert_eq!(rehearsed.get("n"), Ok(Some(b"-3".to_vec())));
    rehearsed.set("n", b"three".to_vec(), None).unwrap();
    assert!(matches!(rehearsed.increment("n", 1, None), Err(Fault::Invalid(_))));
    rehearsed.set("n", i64::MAX.to_string().into_bytes(), None).unwrap();
    assert!(matches!(rehearsed.increment("n", 1, None), Err(Fault::Invalid(_))));
    rehearsed.delete("n").unwrap();
    assert_eq!(rehearsed.swap("n", Some(b"x"), vec![1], None), Ok(false));
    assert_eq!(rehearsed.swap("n", None, vec![1], None), Ok(true));
    assert_eq!(rehearsed.swap("n", Some(&[1]), vec![2], None), Ok(true));
    rehearsed.delete("n").unwrap();
    assert_eq!(rehearsed.get("n"), Ok(None));
    let fits = (0..100).take_while(|n| rehearsed.set(&format!("k{n}"), vec![0; 1 << 20], None).is_ok()).count();
    assert_eq!(fits, 3);
    // Replacing gives the old value's room back.
    rehearsed.set("k0", vec![1; 1 << 20], None).unwrap();
    assert!(Grants::default().rehearsed().kv.is_none() && keys.0.lock().unwrap().is_empty());
}

#[test]
fn keys_are_not_there_while_an_instance_is_configured() {
    let keys = Arc::new(Keys::default());
    let wat = format!(
        r#"(module
          (import "sluice:plugin/kv@0.1.0" "set" (func $set (param i32 i32 i32 i32 i32 i64 i32)))
          {PRELUDE}
          (data (i32.const 512) "started")
          (func (export "sluice:plugin/lifecycle@0.1.0#configure") (param i32 i32) (result i32)
            (call $set (i32.const 512) (i32.const 7) (i32.const 512) (i32.const 7) (i32.const 0) (i64.const 0) (i32.const 2048))
            (i32.const 2048))
          (func (export "{ON_REQUEST}#on-request") (result i32) (i32.const 1024)))"#
    );
    let wasm = guest(
        &format!("import sluice:plugin/kv@0.1.0; export sluice:plugin/lifecycle@0.1.0; export {ON_REQUEST};"),
        &wat,
    );
    let error =
        block_on(load(&wasm, Spec { grants: granted(&keys), ..spec("x") })).err().expect("the fault is passed on");
    assert_eq!(error.kind, LoadErrorKind::Settings, "{error}");
    assert!(error.message.contains("kv.set") && error.message.contains("within hooks only"), "{error}");
    assert!(keys.0.lock().unwrap().is_empty());
}

#[test]
fn without_the_grant_a_function_is_denied_with_the_line_to_add() {
    block_on(async {
        let plugin = load(&keeping(), spec("keeper")).await.unwrap();
        for attempt in [1, 30, 39, 40] {
            let fault = ask(&plugin, attempt).await.unwrap_err();
            assert!(fault.contains("(denied)") && fault.contains("grants: { kv: {} }"), "{fault}");
        }
    });
}

#[test]
fn keys_values_and_times_have_bounds() {
    let keys = Arc::new(Keys::default());
    block_on(async {
        let plugin = load(&keeping(), Spec { grants: granted(&keys), ..spec("keeper") }).await.unwrap();
        for (attempt, word) in
            [(31, "this one 0"), (32, "this one 513"), (34, "1048577"), (36, "1 to 2592000000"), (37, "30 days")]
        {
            let fault = ask(&plugin, attempt).await.unwrap_err();
            assert!(fault.contains("(invalid)") && fault.contains(word), "{fault}");
            assert!(keys.0.lock().unwrap().is_empty(), "{attempt}");
        }
        for attempt in [33, 35, 38] {
            ask(&plugin, attempt).await.unwrap();
        }
        let kept = keys.0.lock().unwrap();
        assert_eq!(kept["visits"].1, Some(Duration::from_secs(30 * 24 * 3600)));
        assert_eq!(kept.keys().map(String::len).max(), Some(512));
    });
}

#[test]
fn a_digest_is_sha_256_of_at_most_16_mib() {
    block_on(async {
        // A busy machine takes its time for 16 MiB.
        let limits = Limits { wall: Duration::from_secs(20), ..Limits::default() };
        let plugin = load(&keeping(), Spec { limits, ..spec("digester") }).await.unwrap();
        let whole = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, b"visits");
        let begin = u64::from_le_bytes(whole.as_ref()[..8].try_into().unwrap());
        assert_eq!(ask(&plugin, 50).await, Ok(Some(begin)));
        plugin.on_request(Probe::new(51)).await.result.unwrap();
        let error = plugin.on_request(Probe::new(52)).await.result.expect_err("too much");
        assert_eq!(error.kind, ErrorKind::Trap, "{error}");
    });
}

#[track_caller]
fn refused(manifest: &str, spec: Spec, kind: LoadErrorKind, words: &[&str]) {
    let error = block_on(load(&described(manifest), spec)).err().expect("the plugin is refused");
    assert_eq!(error.kind, kind, "{error}");
    for word in words {
        assert!(error.message.contains(word), "`{word}` is not in: {error}");
    }
}

#[test]
fn a_wanted_grant_is_waited_for() {
    let wants = r#"{"grants":[{"name":"kv","reason":"to count visits"}]}"#;
    refused(wants, spec("x"), LoadErrorKind::NeedsGrant, &["`kv`", "to count visits", "grants: { kv: {} }"]);
    let keys = Arc::new(Keys::default());
    let plugin = block_on(load(&described(wants), Spec { grants: granted(&keys), ..spec("x") })).unwrap();
    let grant = &plugin.manifest().grants[0];
    assert_eq!((grant.name.as_str(), grant.reason.as_str(), grant.optional), ("kv", "to count visits", false));
    let optional = r#"{"grants":[{"name":"kv","reason":"","optional":true},{"name":"telepathy","optional":true}]}"#;
    assert_eq!(block_on(load(&described(optional), spec("x"))).unwrap().manifest().grants.len(), 2);
    let both = r#"{"settings":{"required":["words"]},"grants":[{"name":"kv"}]}"#;
    refused(both, spec("x"), LoadErrorKind::NeedsGrant, &["needs settings: words", "grants: { kv: {} }"]);
}

#[test]
fn a_manifest_with_bad_grants_is_refused() {
    let bad = LoadErrorKind::Manifest;
    refused(r#"{"grants":{"kv":"old form"}}"#, spec("x"), bad, &["`grants`", "list"]);
    refused(r#"{"grants":["kv"]}"#, spec("x"), bad, &["grants[0]", "`name`"]);
    refused(r#"{"grants":[{"name":"K V"}]}"#, spec("x"), bad, &["grants[0]"]);
    refused(r#"{"grants":[{"name":"kv","reason":7}]}"#, spec("x"), bad, &["grants[0].reason"]);
    refused(r#"{"grants":[{"name":"kv","optional":"no"}]}"#, spec("x"), bad, &["grants[0].optional"]);
    refused(r#"{"grants":[{"name":"kv"},{"name":"kv"}]}"#, spec("x"), bad, &["`kv` twice"]);
    refused(r#"{"grants":[{"name":"telepathy"}]}"#, spec("x"), bad, &["`telepathy`", "newer Sluice"]);
}
