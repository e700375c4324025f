//! Many reloads, good and bad, and edits of the configuration, while calls of every kind go on: none fails, none passes the guard that is
//! live, memory stays, and what served before goes as soon as its last call has ended.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::Value;
use sluice_tests::gateway::{Gateway, Setup, replace};
use sluice_tests::mock::Mock;

use crate::load::Load;
use crate::plugins_support::{PATIENT, active, component, contains, says};
use crate::support::{PROVIDER_KEY, row};

/// Rounds, each with one reload of every plugin of [`PLUGINS`]; and after so many rounds one is left out of the configuration's edits.
const ROUNDS: usize = 250;
const ROUNDS_WITHOUT_EDIT: usize = 5;
/// The rounds in which the program comes to its working size: every kind of reload and edit has happened a few times.
const WARM: usize = 40;
/// Files of each plugin, beside the one it begins with.
const VERSIONS: usize = 5;
const SAID: [&str; 3] = ["fine and sec", "ret ", "words"];
const SHOWN: &str = "fine and *** words";

/// Name, component, and what it masks or refuses.
const PLUGINS: [(&str, &str, &str); 4] = [
    ("guard", "deny-words", "words: [forbidden]"),
    ("stream", "delta-guard", "words: [secret]"),
    ("whole", "response-guard", "words: [secret]"),
    ("nop", "nop", ""),
];

/// What is done to a plugin's files.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Change {
    /// Another file, as good as the one before.
    Version,
    /// Half a file.
    Cut,
    /// Another order, in its settings.
    Order,
    /// Settings that cannot be read.
    BadSettings,
}

const CHANGES: [Change; 6] =
    [Change::Version, Change::Cut, Change::Order, Change::BadSettings, Change::Order, Change::Version];

fn yaml(at: usize, order: usize) -> String {
    let (name, _, settings) = PLUGINS[at];
    // Only its own streams are held, so that the others are streamed window by window.
    let matched = if name == "whole" { "match: { header: { x-hold: '1' } }\n" } else { "" };
    let settings = if settings.is_empty() { String::new() } else { format!("settings: {{ {settings} }}\n") };
    format!("order: {order}\n{matched}{PATIENT}\n{settings}")
}

/// One of a few files that are all as good as the component: its number is in a section of its own. Few, so that the machine is busy with
/// reloads rather than with compiling.
fn version(at: usize, number: usize) -> Vec<u8> {
    let mut bytes = component(PLUGINS[at].1);
    bytes.extend([0, 3, 1, b'v', number as u8]);
    bytes
}

/// Changes a plugin's files; gives what its state has to be afterwards.
fn change(gateway: &Gateway, at: usize, round: usize) -> Change {
    let (name, ..) = PLUGINS[at];
    let change = CHANGES[(round + at) % CHANGES.len()];
    let file = |kind: &str| gateway.plugins().join(format!("{name}.{kind}"));
    let good = version(at, round % VERSIONS + 1);
    match change {
        Change::Version => {
            replace(&file("yaml"), yaml(at, at + 1).as_bytes());
            replace(&file("wasm"), &good);
        }
        Change::Cut => replace(&file("wasm"), &good[..good.len() / 2]),
        Change::Order => {
            replace(&file("yaml"), yaml(at, 100 + 4 * round + at).as_bytes());
            // Put right first where it was cut.
            replace(&file("wasm"), &version(at, 0));
        }
        Change::BadSettings => replace(&file("yaml"), b"ordr: 5\n"),
    }
    change
}

fn taken(state: &Value, change: Change, at: usize, round: usize, before: &Value) -> bool {
    let is = |name: &str| state["state"] == name;
    match change {
        Change::Version => is("active") && state["digest"] != before["digest"],
        Change::Order => is("active") && state["order"].as_u64() == Some((100 + 4 * round + at) as u64),
        Change::Cut | Change::BadSettings => {
            is("stale") && !state["error"].is_null() && state["error"] != before["error"]
        }
    }
}

/// The configuration of one edit. Every fourth is one that cannot be used.
fn config(mock: &Mock, number: usize) -> (String, bool) {
    let rows = format!("providers:\n{}", row(mock, "p", &format!("timeouts: {{ total: {}s }}", 100 + number)));
    let aliases = format!("aliases: {{ fast: p/model-{number} }}\n");
    let chain = format!(
        "plugins:\n  required: [guard]\n  chain:\n    placed: {{ component: nop.wasm, order: {}, match: {{ model: p/* }}, {PATIENT} }}\n",
        1000 + number % 7
    );
    let good = format!("server: {{ plugin_header: true }}\n{rows}{aliases}{chain}");
    match number % 12 {
        3 => (good.replace("p/model", "nobody/model"), false),
        7 => (good[..good.rfind('}').unwrap()].to_owned(), false),
        11 => (format!("{good}sever: {{}}\n"), false),
        _ => (good, true),
    }
}

fn edit(gateway: &Gateway, mock: &Mock, number: usize) {
    let (text, good) = config(mock, number);
    let before = gateway.get("/api/status").json()["config"].clone();
    let file = gateway.folder().join("sluice.yaml");
    if number.is_multiple_of(3) {
        std::fs::write(&file, text).unwrap();
    } else {
        replace(&file, text.as_bytes());
    }
    sluice_tests::wait_for(&format!("edit {number} to be taken"), || {
        let now = gateway.get("/api/status").json()["config"].clone();
        let done = match good {
            true => now["state"] == "active" && now["digest"] != before["digest"],
            false => now["state"] == "stale" && now["error"] != before["error"],
        };
        done.then_some(())
    });
}

fn metric(gateway: &Gateway, name: &str) -> u64 {
    let text = gateway.get("/metrics").text();
    let line = text.lines().find(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(' ')));
    line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

fn start(mock: &Mock) -> Gateway {
    let mut setup = Setup::config(config(mock, 0).0).env("MOCK_KEY", PROVIDER_KEY);
    for (at, (name, ..)) in PLUGINS.iter().enumerate() {
        setup = setup.plugin(&format!("{name}.wasm"), version(at, 0)).plugin(&format!("{name}.yaml"), yaml(at, at + 1));
    }
    let gateway = setup.start();
    PLUGINS.iter().for_each(|(name, ..)| drop(active(&gateway, name)));
    active(&gateway, "placed");
    gateway
}

/// One reload of each plugin and, but in every few rounds, one edit of the configuration, each awaited.
fn round(gateway: &Gateway, mock: &Mock, round: usize, edits: &mut usize) {
    let names = PLUGINS.map(|(name, ..)| name);
    let before = names.map(|name| gateway.plugin_state(name).unwrap());
    let changes: [Change; 4] = std::array::from_fn(|at| change(gateway, at, round));
    if !round.is_multiple_of(ROUNDS_WITHOUT_EDIT) {
        *edits += 1;
        edit(gateway, mock, *edits);
    }
    for (at, name) in names.iter().enumerate() {
        sluice_tests::wait_for(&format!("round {round}: {:?} of {name}", changes[at]), || {
            let state = gateway.plugin_state(name)?;
            taken(&state, changes[at], at, round, &before[at]).then_some(())
        });
    }
}

#[test]
fn a_thousand_reloads_and_two_hundred_edits_under_load() {
    let mock = Mock::start();
    says(&mock, &SAID);
    let gateway = start(&mock);
    let load = Load::default();
    let (mut edits, mut working) = (0, None);
    std::thread::scope(|scope| {
        let stop = load.stopper();
        scope.spawn(|| load.clean(&gateway, "fast", None, false, SHOWN));
        scope.spawn(|| load.clean(&gateway, "fast", None, true, SHOWN));
        scope.spawn(|| load.clean(&gateway, "fast", Some(("x-hold", "1")), true, SHOWN));
        scope.spawn(|| load.forbidden(&gateway));
        for number in 1..=ROUNDS {
            let seen = load.served.load(Ordering::SeqCst);
            round(&gateway, &mock, number, &mut edits);
            load.wait_more(seen);
            load.is_clean();
            if number == WARM {
                working = gateway.process.resident_kib();
            }
        }
        drop(stop);
    });
    load.is_clean();
    assert_eq!((edits, ROUNDS * PLUGINS.len()), (200, 1000));
    let passed = mock.exchanges("p").iter().filter(|exchange| contains(&exchange.body, "forbidden")).count();
    assert_eq!(passed, 0, "calls that the live guard should have stopped");
    let ended = Instant::now();
    for gauge in ["sluice_chain_generations", "sluice_config_generations"] {
        sluice_tests::wait_for(&format!("{gauge} to be 1"), || (metric(&gateway, gauge) == 1).then_some(()));
    }
    let drained = ended.elapsed();
    assert!(drained < Duration::from_secs(5), "{drained:?} until only the last generation was left");
    let states: Vec<Value> = PLUGINS.iter().map(|(name, ..)| gateway.plugin_state(name).unwrap()).collect();
    assert!(states.iter().all(|state| !state["digest"].is_null()), "{states:?}");
    let served = (load.served.into_inner(), load.refused.into_inner());
    println!(
        "served {} calls, refused {}; drained in {drained:?}; generation {}",
        served.0,
        served.1,
        metric(&gateway, "sluice_chain_generation")
    );
    if let Some(working) = working {
        // What the allocator has yet to give back is no leak: it gets a moment.
        let mut last = 0;
        sluice_tests::wait_for(&format!("memory within a tenth of {working} KiB"), || {
            last = gateway.process.resident_kib()?;
            (last <= working + working / 10).then_some(())
        });
        println!("resident: {working} KiB after {WARM} rounds, {last} KiB at the end");
    }
}
