//! What is kept of plugins for a restart, and what is not: secrets, what was taken out, folders of others; and how fast it is.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use sluice_tests::gateway::replace;
use sluice_tests::mock::Mock;

use crate::plugins_support::{PATIENT, component, says};
use crate::restart_support::{Running, Site, Start};
use crate::support::row;

const ONE_THREAD: &str = "server: { threads: 1 }\n";

/// The same component with another digest.
pub(crate) fn version(wasm: &[u8], number: usize) -> Vec<u8> {
    let name = format!("version-{number}");
    let mut out = wasm.to_vec();
    out.extend([0, (name.len() + 1) as u8, name.len() as u8]);
    out.extend(name.as_bytes());
    out
}

fn guard(word: &str) -> String {
    format!("{PATIENT}\nsettings: {{ words: [{word}] }}\n")
}

/// One thread, and the provider `p`.
fn config(mock: &Mock) -> String {
    says(mock, &["fine"]);
    format!("{ONE_THREAD}providers:\n{}", row(mock, "p", ""))
}

fn guarded(word: &str) -> (Mock, Site) {
    let mock = Mock::start();
    let site = Site::new(&config(&mock));
    replace(&site.plugin("guard.yaml"), guard(word).as_bytes());
    replace(&site.plugin("guard.wasm"), &component("deny-words"));
    (mock, site)
}

#[track_caller]
fn guards(running: &Running, word: &str, otherwise: &str) {
    assert_eq!(running.chat("p/m", word), 400, "{}", running.plugins());
    assert_eq!(running.chat("p/m", otherwise), 200);
}

#[test]
fn every_bad_file_of_a_first_start_is_named_at_once() {
    let site = Site::new(ONE_THREAD);
    replace(&site.plugin("good.wasm"), &component("nop"));
    replace(&site.plugin("text.wasm"), b"not a component");
    replace(&site.plugin("words.wasm"), &component("deny-words"));
    replace(&site.plugin("words.yaml"), b"setings: {}\n");
    let (code, said) = site.refused();
    assert_eq!(code, Some(2), "{said}");
    for part in ["text: not a WebAssembly component", "setings", "did you mean `settings`", "enabled: false"] {
        assert!(said.contains(part), "no {part:?} in: {said}");
    }
    assert!(!said.contains("listening"), "{said}");
    // One that waits for settings, or is switched off, is not bad.
    for file in ["words.yaml", "words.wasm"] {
        std::fs::remove_file(site.plugin(file)).unwrap();
    }
    replace(&site.plugin("text.yaml"), b"enabled: false\n");
    replace(&site.plugin("waits.wasm"), &component("delta-guard"));
    let running = site.start();
    assert_eq!(running.plugin("waits").unwrap()["state"], "waiting");
    assert_eq!(running.plugin("text").unwrap()["state"], "disabled");
}

#[test]
fn settings_and_component_of_the_last_good_version_belong_together() {
    let (mock, site) = guarded("alpha");
    guards(&site.start(), "alpha", "beta");
    // Good settings beside a bad component: both of the last good version serve.
    replace(&site.plugin("guard.yaml"), guard("beta").as_bytes());
    replace(&site.plugin("guard.wasm"), b"garbage");
    let running = site.start();
    guards(&running, "alpha", "beta");
    let state = running.plugin("guard").unwrap();
    assert_eq!(state["state"], "stale");
    assert!(state["error"].as_str().unwrap().contains("not a WebAssembly component"), "{state}");
    // Mended while it runs, the file serves.
    replace(&site.plugin("guard.wasm"), &component("deny-words"));
    running.wait_plugin("guard", |state| state["state"] == "active" && state["error"].is_null());
    guards(&running, "beta", "alpha");
    drop(running);
    // The other way round, with the settings in the configuration.
    std::fs::remove_file(site.plugin("guard.yaml")).unwrap();
    let block =
        |text: &str| format!("{}plugins:\n  chain:\n    guard: {{ {PATIENT}, settings: {text} }}\n", config(&mock));
    replace(&site.config(), block("{ words: [gamma] }").as_bytes());
    guards(&site.start(), "gamma", "beta");
    replace(&site.config(), block("{ words: 7 }").as_bytes());
    let running = site.start();
    assert_eq!(running.plugin("guard").unwrap()["state"], "stale");
    guards(&running, "gamma", "beta");
}

#[test]
fn what_was_taken_out_does_not_come_back() {
    let (_mock, site) = guarded("alpha");
    drop(site.start());
    let wasm = site.plugin("guard.wasm");
    std::fs::remove_file(&wasm).unwrap();
    std::fs::remove_file(site.plugin("guard.yaml")).unwrap();
    let running = site.start();
    assert!(running.plugin("guard").is_none());
    drop(running);
    // It was forgotten: a bad file of that name is a new one.
    replace(&wasm, b"garbage");
    let (code, said) = site.refused();
    assert_eq!(code, Some(2), "{said}");
    // So is one that is taken out while the gateway runs.
    replace(&wasm, &component("nop"));
    let running = site.start();
    assert_eq!(running.plugin("guard").unwrap()["state"], "active");
    std::fs::remove_file(&wasm).unwrap();
    sluice_tests::wait_for("the plugin to go", || running.plugin("guard").is_none().then_some(()));
    drop(running);
    replace(&wasm, b"garbage");
    assert_eq!(site.refused().0, Some(2));
}

#[test]
fn a_directory_that_cannot_be_read_is_served_from_what_is_kept() {
    let (_mock, site) = guarded("alpha");
    let plugins = site.folder().join("plugins");
    drop(site.start());
    let aside = site.folder().join("aside");
    std::fs::rename(&plugins, &aside).unwrap();
    std::fs::write(&plugins, "").unwrap();
    let running = site.start();
    guards(&running, "alpha", "beta");
    assert_eq!(running.plugin("guard").unwrap()["state"], "stale");
    drop(running);
    // One that is not there yet forgets nothing: it may be a mount that is late.
    std::fs::remove_file(&plugins).unwrap();
    drop(site.start());
    std::fs::rename(&aside, &plugins).unwrap();
    replace(&site.plugin("guard.wasm"), b"garbage");
    guards(&site.start(), "alpha", "beta");
    let fresh = Site::new(ONE_THREAD);
    std::fs::remove_dir(fresh.folder().join("plugins")).unwrap();
    std::fs::write(fresh.folder().join("plugins"), "").unwrap();
    let (code, said) = fresh.refused();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("cannot be read"), "{said}");
}

/// Every file of a folder and those in it.
pub(crate) fn files(folder: &Path, into: &mut Vec<std::path::PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        if entry.path().is_dir() { files(&entry.path(), into) } else { into.push(entry.path()) }
    }
}

/// `MOCK_KEY` is the only variable of a test's gateway.
#[test]
fn secrets_are_kept_as_they_are_written() {
    let settings = "settings: { words: [\"${MOCK_KEY}\"] }";
    let mock = Mock::start();
    let chain = format!("plugins:\n  chain:\n    one: {{ {PATIENT}, {settings} }}\n");
    let site = Site::new(&format!("{}{chain}", config(&mock)));
    replace(&site.plugin("two.yaml"), format!("{PATIENT}\n{settings}\n").as_bytes());
    for name in ["one", "two"] {
        replace(&site.plugin(&format!("{name}.wasm")), &component("deny-words"));
    }
    let running = site.start();
    let secret = crate::support::PROVIDER_KEY;
    for name in ["one", "two"] {
        assert_eq!(running.plugin(name).unwrap()["state"], "active", "{}", running.plugins());
    }
    guards(&running, secret, "MOCK_KEY");
    drop(running);
    let mut kept = Vec::new();
    files(&site.state(), &mut kept);
    let mut written = 0;
    for file in &kept {
        let bytes = std::fs::read(file).unwrap();
        assert!(!crate::plugins_support::contains(&bytes, secret), "the secret is in {}", file.display());
        written += usize::from(crate::plugins_support::contains(&bytes, "${MOCK_KEY}"));
        assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o077, 0, "{}", file.display());
    }
    assert!(written >= 2, "{written} of {kept:?}");
    // Expanded again, it guards again.
    for name in ["one", "two"] {
        replace(&site.plugin(&format!("{name}.wasm")), b"garbage");
    }
    let running = site.start();
    assert_eq!(running.plugin("one").unwrap()["state"], "stale");
    guards(&running, secret, "MOCK_KEY");
}

#[test]
fn a_state_folder_that_others_can_write_is_not_used_and_said() {
    let (_mock, site) = guarded("alpha");
    drop(site.start());
    std::fs::set_permissions(site.state(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let running = site.start();
    let log = running.process.err.text();
    assert!(log.contains("chmod 700") && log.contains("others can write"), "{log}");
    guards(&running, "alpha", "beta");
    drop(running);
    replace(&site.plugin("guard.wasm"), b"garbage");
    assert_eq!(site.refused().0, Some(2));
    std::fs::set_permissions(site.state(), std::fs::Permissions::from_mode(0o700)).unwrap();
    guards(&site.start(), "alpha", "beta");
}

#[test]
fn the_state_folder_can_be_named() {
    let (_mock, site) = guarded("alpha");
    let site = site.arg("--state").arg("elsewhere");
    drop(site.start());
    assert!(site.folder().join("elsewhere/good").is_dir() && !site.state().exists());
    replace(&site.plugin("guard.wasm"), b"garbage");
    guards(&site.start(), "alpha", "beta");
}

/// From the start of the process to its listening, which comes after the chain is complete.
fn time_to_ready(site: &Site, plugins: usize) -> Duration {
    let began = Instant::now();
    let Start::Up(running) = site.try_start() else { panic!("it does not start") };
    let took = began.elapsed();
    let states = running.plugins();
    let active = states["plugins"].as_array().unwrap().iter().filter(|state| state["state"] == "active").count();
    assert_eq!(active, plugins, "{states}");
    took
}

#[test]
fn ten_compiled_plugins_are_ready_at_once() {
    let site = Site::new(ONE_THREAD);
    for number in 0..10 {
        replace(&site.plugin(&format!("p{number}.yaml")), guard("alpha").as_bytes());
        replace(&site.plugin(&format!("p{number}.wasm")), &version(&component("deny-words"), number));
    }
    let first = time_to_ready(&site, 10);
    let best = (0..5).map(|_| time_to_ready(&site, 10)).min().unwrap();
    println!("ready with 10 plugins: {first:?} the first time, {best:?} with their compiled code kept (bar: 150 ms)");
    assert!(best * 3 < first, "kept code saves too little: {best:?} after {first:?}");
    assert!(best < Duration::from_secs(3), "{best:?}");
    // Damaged code is never loaded: it is compiled again.
    let mut native = Vec::new();
    files(&site.state().join("compiled"), &mut native);
    assert_eq!(native.len(), 10);
    let damage = |file: &std::path::PathBuf| {
        let mut bytes = std::fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x10;
        std::fs::write(file, &bytes).unwrap();
        bytes
    };
    let damaged: Vec<_> = native.iter().map(damage).collect();
    time_to_ready(&site, 10);
    for (file, damaged) in native.iter().zip(damaged) {
        assert!(std::fs::read(file).unwrap() != damaged, "{} is still damaged", file.display());
    }
}
