//! Component files that no gateway should load: each is refused by name, in the admin API and in the log, and the last good version of the
//! plugin goes on guarding.

use serde_json::Value;
use sluice_tests::gateway::{Gateway, replace};
use sluice_tests::mock::Mock;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, Resolve};

use crate::plugins_support::{PATIENT, active, asking, before, component, contains, says, start, with};
use crate::support::CHAT;

const WIT: &str = include_str!("../../wit/plugin.wit");
const TOOLS: &str = "package acme:tools@1.0.0; interface extra { ping: func(); }";
const ON_REQUEST: &str = "sluice:plugin/on-request@0.1.0";

/// A component of a world with these items, of empty code.
fn of_world(interface: &str, items: &str) -> Vec<u8> {
    encoded(interface, items, |resolve, world| dummy_module(resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync)))
}

fn encoded(interface: &str, items: &str, module: impl FnOnce(&Resolve, wit_parser::WorldId) -> Vec<u8>) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_str("tools.wit", TOOLS).unwrap();
    resolve.push_str("plugin.wit", interface).unwrap();
    let package = resolve.push_str("test.wit", &format!("package test:test; world test {{ {items} }}")).unwrap();
    let world = resolve.select_world(&[package], Some("test")).unwrap();
    let mut module = module(&resolve, world);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

/// A sound component that is no plugin.
pub(crate) fn wrong_world() -> Vec<u8> {
    of_world(WIT, "export acme:tools/extra@1.0.0;")
}

fn changed(from: &str, to: &str) -> String {
    let wit = WIT.replace(from, to);
    assert_ne!(wit, WIT, "{from:?} is not in the interface");
    wit
}

/// Never gets past its start.
fn never_starts() -> Vec<u8> {
    let wat = format!(
        r#"(module (memory (export "memory") 1) (func $begin (loop $again (br $again))) (start $begin)
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
          (func (export "{ON_REQUEST}#on-request") (result i32) (i32.const 1024)))"#
    );
    encoded(WIT, &format!("export {ON_REQUEST};"), |_, _| wat::parse_str(wat).unwrap())
}

/// What the file is, its bytes, and what the refusal must say.
fn bad_files() -> Vec<(&'static str, Vec<u8>, Vec<&'static str>)> {
    let export = format!("export {ON_REQUEST};");
    let good = component("deny-words");
    let function = "on-request: func() -> result<verdict, fault>;";
    let newer = changed("sluice:plugin@0.1.0", "sluice:plugin@0.1.7");
    let asks_more = newer.replace("attempt: func() -> u32;", "attempt: func() -> u32; mood: func() -> string;");
    let major = changed("sluice:plugin@0.1.0", "sluice:plugin@0.2.0");
    let unknown = format!("{WIT} interface on-tuesday {{ on-tuesday: func(); }}");
    let tuesday = format!("{export} export sluice:plugin/on-tuesday@0.1.0;");
    let mood = "import sluice:plugin/call@0.1.7; export sluice:plugin/on-request@0.1.7;";
    vec![
        ("wrong-world", wrong_world(), vec!["exports no hook"]),
        ("wrong-record", of_world(&changed("code: string,", ""), &export), vec![ON_REQUEST, "another shape"]),
        ("half-a-hook", of_world(&changed(function, ""), &export), vec![ON_REQUEST, "`on-request`"]),
        ("newer-minor", of_world(&asks_more, mood), vec!["`mood`", "0.1.7", "0.1.0"]),
        ("other-major", of_world(&major, "export sluice:plugin/on-request@0.2.0;"), vec!["0.2.0", "0.1.0"]),
        ("unknown-hook", of_world(&unknown, &tuesday), vec!["sluice:plugin/on-tuesday@0.1.0"]),
        (
            "foreign-import",
            of_world(WIT, &format!("import acme:tools/extra@1.0.0; {export}")),
            vec!["acme:tools/extra"],
        ),
        ("garbage", (0..9_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect(), vec![]),
        ("text", b"not a component at all".to_vec(), vec![]),
        ("empty", Vec::new(), vec![]),
        ("truncated", good[..good.len() / 2].to_vec(), vec![]),
        ("core-module", wat::parse_str("(module)").unwrap(), vec!["core module"]),
        ("always-traps", of_world(WIT, &export), vec!["on-request", "unreachable"]),
        ("never-starts", never_starts(), vec!["starting", "ms"]),
    ]
}

#[track_caller]
fn refusal(state: &Value, words: &[&str]) {
    let why = state["error"].as_str().unwrap_or_else(|| panic!("no reason in {state}"));
    assert!(!why.is_empty());
    for word in words {
        assert!(why.contains(word), "no {word:?} in: {why}");
    }
}

#[track_caller]
fn logged(gateway: &Gateway, name: &str, part: &str) {
    sluice_tests::wait_for(&format!("a log line with {name} and {part:?}"), || {
        gateway.process.err.all().iter().any(|line| line.contains(name) && line.contains(part)).then_some(())
    });
}

#[test]
fn bad_files_are_refused_by_name_and_good_ones_beside_them_serve() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let files = bad_files();
    let gateway = with(before(&mock, ""), "good", "nop", PATIENT).start();
    for (name, bytes, _) in &files {
        let limits = b"limits: { start: 300ms, wall: 300ms, delta: 300ms }\n";
        replace(&gateway.plugins().join(format!("{name}.yaml")), limits);
        replace(&gateway.plugins().join(format!("{name}.wasm")), bytes);
    }
    for (name, _, words) in &files {
        let state = gateway.wait_plugin(name, |state| state["state"] == "failed");
        refusal(&state, words);
        logged(&gateway, name, "plugin not loaded");
    }
    active(&gateway, "good");
    let reply = gateway.post(CHAT, asking("hi", false));
    assert_eq!(reply.status, 200, "{}", reply.text());
    let health = gateway.get("/health").text();
    assert!(files.iter().all(|(name, ..)| health.contains(name)), "{health}");
}

#[test]
fn the_last_good_version_goes_on_guarding() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let guard = "limits: { start: 1s, wall: 20s, delta: 20s }\nsettings: { words: [bluebird] }\n";
    let gateway = start(&mock, &[("guard", "deny-words", guard)]);
    let good = component("deny-words");
    let file = gateway.plugins().join("guard.wasm");
    let digest = active(&gateway, "guard")["digest"].clone();
    for (name, bytes, words) in bad_files() {
        replace(&file, &bytes);
        let state = gateway.wait_plugin("guard", |state| state["state"] == "stale");
        refusal(&state, &words);
        assert_eq!(state["digest"], digest, "{name}");
        assert!(gateway.get("/metrics").text().contains("\nsluice_config_stale{kind=\"plugin\"} 1"), "{name}");
        assert_eq!(gateway.post(CHAT, asking("the bluebird plan", false)).status, 400, "{name}");
        assert_eq!(gateway.post(CHAT, asking("another plan", true)).status, 200, "{name}");
        replace(&file, &good);
        gateway.wait_plugin("guard", |state| state["state"] == "active" && state["error"].is_null());
    }
    logged(&gateway, "guard", "the last good one goes on");
    assert!(gateway.get("/metrics").text().contains("\nsluice_config_stale{kind=\"plugin\"} 0"));
    assert!(!mock.exchanges("p").iter().any(|exchange| contains(&exchange.body, "bluebird")));
}

#[test]
fn bad_settings_are_refused_and_the_old_ones_go_on() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let yaml = |mode: &str, trigger: &str| {
        format!("limits: {{ start: 1s, wall: 1s, delta: 1s }}\nsettings: {{ mode: {mode}, trigger: {trigger} }}\n")
    };
    let gateway = start(&mock, &[("odd", "hostile", &yaml("fault", "\"now!\""))]);
    let file = gateway.plugins().join("odd.yaml");
    let cases = [
        (yaml("panic-in-configure", "x"), "configure"),
        (yaml("spin-in-configure", "x"), "1000 ms"),
        (yaml("fault-in-configure", "x"), "settings.mode: this one cannot be used"),
        (yaml("trap", "\"\""), "on-request"),
        (yaml("no-such-mode", "x"), "mode"),
        ("settings: { mode: trap, unheard: 1 }\n".to_owned(), "unheard"),
        ("settings: [\n".to_owned(), "odd.yaml"),
        ("setings: { mode: trap }\n".to_owned(), "settings"),
        ("{}\n".to_owned(), "mode"),
    ];
    for (text, word) in &cases {
        replace(&file, text.as_bytes());
        let state = gateway.wait_plugin("odd", |state| {
            state["state"] == "stale" && state["error"].as_str().is_some_and(|why| why.contains(word))
        });
        assert!(!state["digest"].is_null(), "{state}");
        // Still the first settings: that trigger, that mode.
        assert_eq!(gateway.post(CHAT, asking("now!", false)).status, 500, "{text}");
        assert_eq!(gateway.post(CHAT, asking("be good", false)).status, 200, "{text}");
        logged(&gateway, "odd", word);
    }
    replace(&file, yaml("fault", "later").as_bytes());
    gateway.wait_plugin("odd", |state| state["state"] == "active");
    assert_eq!(gateway.post(CHAT, asking("now!", false)).status, 200);
    assert_eq!(gateway.post(CHAT, asking("later", false)).status, 500);
}
