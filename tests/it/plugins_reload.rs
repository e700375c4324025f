//! Replacing plugins while calls run: a dropped file is live at once, no replacement fails a call or lets one past the live guard, and a
//! call ends on the generation it began with.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use sluice_tests::gateway::{Gateway, replace};
use sluice_tests::mock::{Gate, Mock, Script};

use crate::load::{FORBIDDEN, Load};
use crate::plugins_support::{PATIENT, asking, before, component, contains, says, start, text_of};
use crate::support::{CHAT, DONE, finish_event, role_event, stream_until, text_event};

const REPLACEMENTS: usize = 500;

/// The same component with a description of `size` bytes at its end: another file, as good as the first.
fn version(component: &[u8], size: usize) -> Vec<u8> {
    assert!(size < 16_000);
    let section = size + 2;
    let length = [(section & 0x7F) as u8 | 0x80, (section >> 7) as u8];
    [component, &[0], &length, &[1, b'v'], &vec![0; size]].concat()
}

fn guard_yaml(order: usize) -> String {
    format!("order: {order}\n{PATIENT}\nsettings: {{ words: [forbidden, extra{order}] }}\n")
}

/// One replacement of the guard or of its neighbour. With `wait`, until the gateway has taken it or refused it.
fn replacement(gateway: &Gateway, number: usize, wait: bool) {
    let plugins = gateway.plugins();
    let good = component("deny-words");
    let (guard, neighbour) = (plugins.join("guard.wasm"), plugins.join("neighbour.wasm"));
    let live = |size: usize| {
        gateway.wait_plugin("guard", |state| state["state"] == "active" && state["size"].as_u64() == Some(size as u64));
    };
    let stale = || drop(gateway.wait_plugin("guard", |state| state["state"] == "stale" && !state["error"].is_null()));
    match number % 8 {
        0 | 4 => {
            let bytes = version(&good, number + 1);
            replace(&guard, &bytes);
            if wait {
                live(bytes.len());
            }
        }
        1 => {
            replace(&guard, &good[..good.len() * (number % 7 + 1) / 9]);
            if wait {
                stale();
            }
        }
        2 => {
            // In place: whoever looks meanwhile sees half a file.
            let bytes = version(&good, number + 1);
            std::fs::write(&guard, &bytes).unwrap();
            if wait {
                live(bytes.len());
            }
        }
        3 => {
            replace(&guard, &crate::plugins_files::wrong_world());
            if wait {
                stale();
            }
        }
        5 => {
            // Put right first, so that the new settings can show.
            replace(&guard, &good);
            replace(&plugins.join("guard.yaml"), guard_yaml(number).as_bytes());
            if wait {
                let order = number as u64;
                gateway
                    .wait_plugin("guard", |state| state["state"] == "active" && state["order"].as_u64() == Some(order));
            }
        }
        6 => {
            std::fs::remove_file(&neighbour).unwrap();
            if wait {
                sluice_tests::wait_for("the neighbour to go", || {
                    gateway.plugin_state("neighbour").is_none().then_some(())
                });
            }
        }
        _ => {
            replace(&neighbour, &version(&component("nop"), number + 1));
            if wait {
                gateway.wait_plugin("neighbour", |state| state["state"] == "active");
            }
        }
    }
}

#[test]
fn five_hundred_replacements_fail_no_call_and_open_no_gap() {
    let mock = Mock::start();
    says(&mock, &["fine ", "words"]);
    let gateway = before(&mock, "").start();
    let load = Load::default();
    std::thread::scope(|scope| {
        let stop = load.stopper();
        scope.spawn(|| load.clean(&gateway, "p/m", None, false, "fine words"));
        scope.spawn(|| load.clean(&gateway, "p/m", None, true, "fine words"));
        sluice_tests::wait_for("the load to run", || (load.served.load(Ordering::SeqCst) > 20).then_some(()));
        std::fs::write(gateway.plugins().join("guard.yaml"), guard_yaml(100)).unwrap();
        std::fs::write(gateway.plugins().join("neighbour.wasm"), component("nop")).unwrap();
        let dropped = Instant::now();
        replace(&gateway.plugins().join("guard.wasm"), &component("deny-words"));
        gateway.wait_plugin("guard", |state| state["state"] == "active");
        let live = dropped.elapsed();
        assert!(live < Duration::from_secs(10), "{live:?} from drop to live");
        gateway.wait_plugin("neighbour", |state| state["state"] == "active");
        scope.spawn(|| load.forbidden(&gateway));
        let generation = gateway.plugin_states()["generation"].as_u64().unwrap();
        let mut after_a_fifth = None;
        for number in 0..REPLACEMENTS {
            replacement(&gateway, number, number % 11 < 2);
            // Pace: the load sees each state for at least one call.
            let seen = load.served.load(Ordering::SeqCst);
            load.wait_more(seen);
            if number == REPLACEMENTS / 5 {
                after_a_fifth = gateway.process.resident_kib();
            }
            load.is_clean();
        }
        let generations = gateway.plugin_states()["generation"].as_u64().unwrap() - generation;
        assert!(generations > 30, "only {generations} generations");
        drop(stop);
        if let (Some(early), Some(late)) = (after_a_fifth, gateway.process.resident_kib()) {
            assert!(late < early + 64 * 1024, "resident: {early} KiB, then {late} KiB");
        }
    });
    load.is_clean();
    assert!(load.refused.load(Ordering::SeqCst) > 100);
    let passed = mock.exchanges("p").iter().filter(|exchange| contains(&exchange.body, "forbidden")).count();
    assert_eq!(passed, 0, "calls that the live guard should have stopped");
}

#[test]
fn a_call_ends_on_the_generation_it_began_with() {
    let mock = Mock::start();
    let gate = Gate::new();
    let events =
        |script: Script, texts: &[&str]| texts.iter().fold(script, |script, text| script.chunk(text_event(text)));
    let script = events(Script::sse_head().chunk(role_event()), &["one secret, "]).wait(&gate);
    let script = events(script, &["two sec", "ret, one mystery"]).chunk(finish_event()).chunk(DONE).end_chunks();
    mock.script("p", script);
    let yaml = |word: &str| format!("{PATIENT}\nsettings: {{ words: [{word}] }}\n");
    let gateway = start(&mock, &[("guard", "delta-guard", &yaml("secret"))]);
    let mut early = gateway.open(CHAT, asking("hi", true));
    let mut body = stream_until(&mut early, "one ***");
    let first = gateway.plugin_states()["generation"].as_u64().unwrap();
    for word in ["nothing", "mystery"] {
        let before = gateway.plugin_state("guard").unwrap()["generation"].as_u64();
        replace(&gateway.plugins().join("guard.yaml"), yaml(word).as_bytes());
        gateway.wait_plugin("guard", |state| state["generation"].as_u64() > before);
    }
    says(&mock, &["a mystery"]);
    let last = gateway.post(CHAT, asking("hi", true));
    assert_eq!(text_of(&last), "a ***");
    gate.open();
    body.extend(early.read_rest());
    let text = String::from_utf8_lossy(&body).into_owned();
    assert!(text.contains("one mystery") && !text.contains("secret") && text.ends_with(DONE), "{text}");
    let line = crate::plugins_support::log_line(&gateway, &last);
    assert!(line["generation"].as_u64() > Some(first), "{line}");
    sluice_tests::wait_for("the early call's line", || {
        let lines = gateway.process.out.all();
        lines.iter().any(|line| line.contains(&format!("\"generation\":{first},"))).then_some(())
    });
}

#[test]
fn a_plugin_directory_made_later_is_found() {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let gateway = before(&mock, "").start();
    let plugins = gateway.plugins();
    std::fs::remove_dir(&plugins).unwrap();
    assert_eq!(gateway.post(CHAT, asking(FORBIDDEN, false)).status, 200);
    make(&plugins);
    gateway.wait_plugin("guard", |state| state["state"] == "active");
    assert_eq!(gateway.post(CHAT, asking(FORBIDDEN, false)).status, 400);
}

fn make(plugins: &Path) {
    std::fs::create_dir(plugins).unwrap();
    std::fs::write(plugins.join("guard.yaml"), guard_yaml(1)).unwrap();
    replace(&plugins.join("guard.wasm"), &component("deny-words"));
}
