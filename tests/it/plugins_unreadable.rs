//! A guard is not lost to files that cannot be read: a directory that is none, settings behind a broken link, a pipe among the plugins.

use std::fs;

use sluice_tests::gateway::{Gateway, replace};
use sluice_tests::mock::Mock;

use crate::plugins_support::{PATIENT, active, asking, component, says, start};
use crate::support::CHAT;

const WORD: &str = "settings: { words: [codename] }\n";

fn guarded() -> (Mock, Gateway) {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let gateway = start(&mock, &[("guard", "deny-words", &format!("{WORD}{PATIENT}"))]);
    (mock, gateway)
}

#[track_caller]
fn guards(gateway: &Gateway) {
    assert_eq!(gateway.post(CHAT, asking("the codename", false)).status, 400);
    assert_eq!(gateway.post(CHAT, asking("anything else", false)).status, 200);
}

#[test]
fn a_directory_that_cannot_be_read_is_not_an_empty_one() {
    let (_mock, mut gateway) = guarded();
    let (plugins, kept) = (gateway.plugins(), gateway.folder().join("kept"));
    // A look in the moment between the two would find no directory at all, and take the guard out rightly: then the test says so.
    fs::rename(&plugins, &kept).unwrap();
    fs::write(&plugins, "").unwrap();
    gateway.process.wait_line("plugins stay as they are");
    guards(&gateway);
    active(&gateway, "guard");
    fs::remove_file(&plugins).unwrap();
    fs::rename(&kept, &plugins).unwrap();
    replace(&plugins.join("guard.yaml"), format!("settings: {{ words: [bluebird] }}\n{PATIENT}").as_bytes());
    sluice_tests::wait_for("the new settings", || {
        (gateway.post(CHAT, asking("a bluebird", false)).status == 400).then_some(())
    });
}

#[test]
fn settings_behind_a_broken_link_keep_the_guard_as_it_was() {
    let (_mock, gateway) = guarded();
    let settings = gateway.plugins().join("guard.yaml");
    let aside = gateway.folder().join("aside.yaml");
    std::os::unix::fs::symlink(gateway.folder().join("nowhere"), &aside).unwrap();
    fs::rename(&aside, &settings).unwrap();
    let state = gateway.wait_plugin("guard", |state| state["state"] == "stale");
    assert!(state["error"].as_str().unwrap().contains("guard.yaml"), "{state}");
    guards(&gateway);
    replace(&settings, b"");
    let state = gateway.wait_plugin("guard", |state| state["error"].as_str().is_some_and(|why| why.contains("empty")));
    assert_eq!(state["state"], "stale");
    guards(&gateway);
    fs::remove_file(gateway.plugins().join("guard.wasm")).unwrap();
    fs::create_dir(gateway.plugins().join("guard.wasm")).unwrap();
    replace(&settings, WORD.as_bytes());
    gateway.wait_plugin("guard", |state| state["error"].as_str().is_some_and(|why| why.contains("no regular file")));
    guards(&gateway);
}

#[test]
fn a_pipe_among_the_plugins_stops_nothing() {
    let (_mock, gateway) = guarded();
    let pipe = gateway.plugins().join("pipe.wasm");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let state = gateway.wait_plugin("pipe", |state| state["state"] == "failed");
    assert!(state["error"].as_str().unwrap().contains("no regular file"), "{state}");
    replace(&gateway.plugins().join("late.wasm"), &component("nop"));
    gateway.wait_plugin("late", |state| state["state"] == "active");
    guards(&gateway);
}
