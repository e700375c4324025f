//! From a good shape to a plugin that serves: manifest, settings, start, dry run, and that nothing stays behind.

use std::time::{Duration, Instant};

use super::guests::{ON_REQUEST, PRELUDE, WIT, configured, described, dummy, guest, passing, sleeping};
use super::probe::Probe;
use super::{SANDBOX, block_on, compile, load, spec};
use crate::{Config, Limits, LoadErrorKind, RequestVerdict, Sandbox, Spec};

#[track_caller]
fn refused(wasm: &[u8], spec: Spec, kind: LoadErrorKind, words: &[&str]) {
    let error = block_on(load(wasm, spec)).err().expect("the plugin is refused");
    assert_eq!(error.kind, kind, "{error}");
    for word in words {
        assert!(error.message.contains(word), "`{word}` is not in: {error}");
    }
}

#[test]
fn a_manifest_is_read_and_one_is_made_up() {
    let full = r#"{"name":"deny","version":"1.2.3","description":"Denies.","grants":[]}"#;
    let plugin = block_on(load(&described(full), spec("words"))).unwrap();
    assert_eq!(plugin.name(), "words");
    let manifest = plugin.manifest();
    assert_eq!((manifest.name.as_str(), manifest.version.as_str()), ("deny", "1.2.3"));
    assert!(manifest.raw.get("grants").is_some());
    let plugin = block_on(load(&passing(), spec("bare"))).unwrap();
    assert_eq!((plugin.manifest().name.as_str(), plugin.manifest().version.as_str()), ("bare", "0.0.0"));
}

#[test]
fn a_bad_manifest_is_refused() {
    for (text, word) in
        [("{", "JSON"), ("[]", "object"), (r#"{"name":7}"#, "`name`"), (r#"{"settings":[]}"#, "settings")]
    {
        refused(&described(text), spec("x"), LoadErrorKind::Manifest, &["about.manifest", word]);
    }
}

#[test]
fn required_settings_are_waited_for() {
    let wasm = described(r#"{"name":"x","settings":{"required":["words","mask"]}}"#);
    refused(&wasm, spec("x"), LoadErrorKind::NeedsSettings, &["words, mask"]);
    let given = Spec { settings: Some(r#"{"words":[],"mask":true}"#.to_owned()), ..spec("x") };
    block_on(load(&wasm, given)).unwrap();
    block_on(load(&described(r#"{"settings":{"required":[]}}"#), spec("x"))).unwrap();
}

/// Writes `option<list<string>>` of the one string at `at`.
fn answering(at: u32, length: u32) -> String {
    format!(
        "(i32.store8 (i32.const 2048) (i32.const 0)) (i32.store8 (i32.const 2052) (i32.const 1))
         (i32.store (i32.const 2056) (i32.const 2080)) (i32.store (i32.const 2060) (i32.const 1))
         (i32.store (i32.const 2080) (i32.const {at})) (i32.store (i32.const 2084) (i32.const {length}))
         (i32.const 2048)"
    )
}

#[test]
fn configure_chooses_among_its_hooks() {
    let all = block_on(load(&configured("(i32.const 1024)"), spec("x"))).unwrap();
    assert_eq!(all.hooks().names(), ["on-request"]);
    let same = block_on(load(&configured(&answering(544, 10)), spec("x"))).unwrap();
    assert_eq!(same.hooks().names(), ["on-request"]);
    let none = "(i32.store8 (i32.const 2048) (i32.const 0)) (i32.store8 (i32.const 2052) (i32.const 1))
                (i32.store (i32.const 2060) (i32.const 0)) (i32.const 2048)";
    assert!(block_on(load(&configured(none), spec("x"))).unwrap().hooks().is_empty());
    refused(&configured(&answering(560, 8)), spec("x"), LoadErrorKind::Configure, &["`on-delta`", "on-request"]);
}

#[test]
fn configure_may_refuse_trap_or_hang() {
    let refusing = "(i32.store8 (i32.const 2048) (i32.const 1)) (i32.store8 (i32.const 2052) (i32.const 0))
                    (i32.store (i32.const 2056) (i32.const 512)) (i32.store (i32.const 2060) (i32.const 14))
                    (i32.const 2048)";
    refused(&configured(refusing), spec("x"), LoadErrorKind::Settings, &["configure", "words: missing"]);
    refused(&configured("unreachable"), spec("x"), LoadErrorKind::Configure, &["configure", "unreachable"]);
    let limits = Limits { start: Duration::from_millis(100), ..Limits::default() };
    let hanging = Spec { limits, ..spec("x") };
    refused(&configured("(loop $l (br $l)) unreachable"), hanging, LoadErrorKind::Configure, &["configure", "100 ms"]);
    // There is no call yet.
    refused(
        &configured("(drop (call $attempt)) (i32.const 1024)"),
        spec("x"),
        LoadErrorKind::Configure,
        &["call.attempt", "outside a hook"],
    );
}

fn starting(body: &str, memory: &str) -> Vec<u8> {
    let prelude = PRELUDE.replace("(memory (export \"memory\") 1)", memory);
    let wat = format!(
        r#"(module {prelude} (func $begin {body}) (start $begin)
          (func (export "{ON_REQUEST}#on-request") (result i32) (i32.const 1024)))"#
    );
    guest(&format!("export {ON_REQUEST};"), &wat)
}

#[test]
fn a_start_that_traps_hangs_or_needs_too_much_is_refused() {
    let page = r#"(memory (export "memory") 1)"#;
    block_on(load(&starting("", page), spec("x"))).unwrap();
    refused(&starting("unreachable", page), spec("x"), LoadErrorKind::Start, &["starting", "unreachable"]);
    let limits = Limits { start: Duration::from_millis(100), ..Limits::default() };
    let began = Instant::now();
    refused(
        &starting("(loop $l (br $l))", page),
        Spec { limits, ..spec("x") },
        LoadErrorKind::Start,
        &["starting", "100 ms"],
    );
    assert!(began.elapsed() < Duration::from_secs(5));
    refused(
        &starting("", r#"(memory (export "memory") 2000)"#),
        spec("x"),
        LoadErrorKind::Memory,
        &["limits.memory", "131072000"],
    );
    refused(
        &starting("(loop $l (drop (memory.grow (i32.const 100))) (br $l))", page),
        spec("x"),
        LoadErrorKind::Memory,
        &["limits.memory"],
    );
}

#[test]
fn a_hook_that_always_traps_fails_its_dry_run() {
    let wasm = dummy(&[WIT], &format!("export {ON_REQUEST};"));
    refused(&wasm, spec("x"), LoadErrorKind::DryRun, &["on-request", "unreachable"]);
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_of_a_plugin_stays_behind() {
    let wasm = sleeping();
    let mut base = 0;
    block_on(async {
        for turn in 0..300 {
            let plugin = load(&wasm, spec("passing-by")).await.unwrap();
            plugin.on_request(Probe::new(0)).await.result.unwrap();
            drop(plugin);
            if turn == 50 {
                base = resident();
            }
        }
    });
    let after = resident();
    println!("resident after 50 loads: {} KiB, after 300: {} KiB", base >> 10, after >> 10);
    // Other tests run beside this one; a leak of one instance or one compiled component a load would be far more.
    assert!(after < base + (150 << 20), "{base} bytes became {after}");
}

/// Bytes of this process in memory.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let text = std::fs::read_to_string("/proc/self/statm").unwrap();
    text.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

#[test]
fn a_machine_without_address_space_for_the_pool_still_runs_plugins() {
    // More than a 47-bit address space holds.
    let sandbox = Sandbox::new(Config { max_instances: 100_000, ..Config::default() }).unwrap();
    assert!(sandbox.0.engine.pooling_allocator_metrics().is_none());
    block_on(async {
        let plugin = sandbox.load(sandbox.compile(&passing()).unwrap(), spec("on-demand")).await.unwrap();
        assert_eq!(plugin.on_request(Probe::new(0)).await.result.unwrap(), RequestVerdict::Pass);
    });
}

#[test]
fn a_limit_beyond_the_pools_slots_is_that_of_the_slots() {
    let sandbox = Sandbox::new(Config { max_instances: 4, max_memory: 16 << 20, ..Config::default() }).unwrap();
    let component = sandbox.compile(&passing()).unwrap();
    let limits = Limits { memory: 1 << 30, ..Limits::default() };
    let plugin = block_on(sandbox.load(component, Spec { limits, ..spec("x") })).unwrap();
    assert_eq!(plugin.limits().memory, 16 << 20);
}

#[test]
fn idle_instances_give_way_when_the_pool_is_full() {
    let sandbox = Sandbox::new(Config { max_instances: 2, ..Config::default() }).unwrap();
    let component = sandbox.compile(&passing()).unwrap();
    block_on(async {
        let mut plugins = Vec::new();
        for name in ["a", "b", "c", "d"] {
            let plugin = sandbox.load(component.clone(), spec(name)).await.unwrap();
            assert_eq!(plugin.on_request(Probe::new(0)).await.result.unwrap(), RequestVerdict::Pass);
            plugins.push(plugin);
        }
    });
}

#[test]
fn a_component_serves_under_several_names() {
    let component = compile(&passing());
    block_on(async {
        let one = SANDBOX.load(component.clone(), spec("one")).await.unwrap();
        let two = SANDBOX.load(component.clone(), spec("two")).await.unwrap();
        assert_eq!((one.name(), two.name()), ("one", "two"));
        assert_eq!(one.component().digest(), two.component().digest());
        drop(one);
        assert_eq!(two.on_request(Probe::new(0)).await.result.unwrap(), RequestVerdict::Pass);
    });
}
