//! `sluice status` and `sluice tail`: the same as the page, in a terminal, and exit codes that scripts can rely on.

use std::process::{Command, Output};

use serde_json::Value;
use sluice_tests::gateway::{Gateway, Setup, binary, command};
use sluice_tests::process::Process;
use sluice_tests::wait_for;

use super::{TOKEN, calls, guarded};
use crate::plugins_support::component;
use crate::support::{CHAT, body};

fn sluice(gateway: &Gateway, args: &[&str]) -> Command {
    let mut command = command(gateway.folder(), &[]);
    command.args(args).arg("--url").arg(gateway.url("/v1"));
    command
}

fn run(gateway: &Gateway, args: &[&str]) -> (Option<i32>, String, String) {
    said(&sluice(gateway, args).output().unwrap())
}

fn said(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn status_tells_a_good_gateway_from_a_degraded_one() {
    let gateway = Setup::default().plugin("nop.wasm", component("nop")).start();
    gateway.wait_plugin("nop", |state| state["state"] == "active");
    let (code, out, err) = run(&gateway, &["status"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for part in [
        "ready",
        "demo",
        "OPENAI_API_KEY",
        "echo",
        "built in",
        "nop",
        "active",
        "on-request",
        &gateway.address.to_string(),
    ] {
        assert!(out.contains(part), "no {part} in\n{out}");
    }
    std::fs::write(gateway.plugins().join("bad.wasm"), "no component").unwrap();
    gateway.wait_plugin("bad", |state| state["state"] == "failed");
    let (code, out, _) = run(&gateway, &["status"]);
    assert_eq!(code, Some(3), "{out}");
    assert!(out.contains("degraded") && out.contains("bad") && out.contains("failed"), "{out}");
    let (code, out, _) = run(&gateway, &["status", "--json"]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &document["status"]["status"]), (Some(3), &Value::from("degraded")), "{out}");
    assert_eq!(document["plugins"]["plugins"].as_array().map(Vec::len), Some(2));
}

#[test]
fn status_tells_of_a_bad_edit() {
    let provider = "providers: { llama: { dialect: openai-chat, base_url: \"http://127.0.0.1:1/v1\" } }\n";
    let gateway = Setup::config(provider).start();
    let edit = |more: &str| {
        sluice_tests::gateway::replace(&gateway.folder().join("sluice.yaml"), format!("{provider}{more}").as_bytes());
    };
    edit("alias: {}\n");
    let out = wait_for("the bad edit to be told", || {
        let (code, out, _) = run(&gateway, &["status"]);
        (code == Some(3)).then_some(out)
    });
    assert!(out.contains("sluice.yaml, stale") && out.contains("sluice.yaml:2:1"), "{out}");
    edit("aliases: { fast: llama/y }\n");
    wait_for("that it is mended", || (run(&gateway, &["status"]).0 == Some(0)).then_some(()));
    assert!(run(&gateway, &["status"]).1.contains("fast is llama/y"));
}

#[test]
fn status_says_how_to_start_where_nothing_answers() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path(), &[]);
    let (code, out, err) = said(&command.args(["status", "--url", "http://127.0.0.1:1"]).output().unwrap());
    assert_eq!((code, out.as_str()), (Some(1), ""), "{err}");
    assert!(err.contains("`sluice`") && err.contains("--url"), "{err}");
    for wrong in ["ftp://x", "http://user:password@127.0.0.1:1"] {
        let mut command = sluice_tests::gateway::command(folder.path(), &[]);
        let (code, _, err) = said(&command.args(["status", "--url", wrong]).output().unwrap());
        assert_eq!(code, Some(2), "{err}");
    }
}

#[test]
fn the_token_comes_from_the_environment_or_a_file_and_is_never_said() {
    let gateway = guarded();
    let (code, _, err) = run(&gateway, &["status"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("SLUICE_ADMIN_TOKEN") && err.contains("--token-file"), "{err}");
    let with = |token: &str| said(&sluice(&gateway, &["status"]).env("SLUICE_ADMIN_TOKEN", token).output().unwrap());
    let (code, out, err) = with(TOKEN);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("llama") && !out.contains(TOKEN), "{out}");
    let (code, _, err) = with("another-token");
    assert_eq!(code, Some(2));
    assert!(err.contains("does not take") && !err.contains("another-token"), "{err}");
    std::fs::write(gateway.folder().join("token"), format!("{TOKEN}\n")).unwrap();
    let (code, out, err) = run(&gateway, &["status", "--token-file", "token"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("llama"), "{out}");
    let (code, _, err) = run(&gateway, &["tail", "--once", "--token-file", "nowhere"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("nowhere"), "{err}");
}

#[test]
fn tail_shows_calls_that_have_ended_and_follows() {
    let gateway = Setup::default().start();
    for number in 0..4 {
        gateway.post(CHAT, body(&format!("before-{number}"), false));
    }
    calls(&gateway, 0, 4);
    let (code, out, err) = run(&gateway, &["tail", "--once", "-n", "2"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    let lines: Vec<&str> = out.lines().collect();
    assert_eq!(lines.len(), 2, "{out}");
    assert!(lines[0].contains("ok 200") && lines[0].contains("before-2 -> echo/before-2"), "{out}");
    let mut follower = Process::spawn(&mut sluice(&gateway, &["tail", "--json", "-n", "1"]));
    wait_for("the last call", || follower.out.find("before-3"));
    gateway.post(CHAT, body("while-it-follows", true));
    let line = wait_for("the call made meanwhile", || follower.out.find("while-it-follows"));
    let document: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&document["stream"], &document["outcome"]), (&Value::Bool(true), &Value::from("ok")), "{line}");
    assert!(follower.out.find("before-2").is_none(), "{}", follower.out.text());
    assert!(follower.exited().is_none(), "it follows until it is stopped");
}

#[test]
fn tail_outlives_a_restart() {
    let first = Setup::default().start();
    let address = first.address;
    first.post(CHAT, body("first-life", false));
    let mut follower = Process::spawn(&mut sluice(&first, &["tail"]));
    wait_for("the first call", || follower.out.find("first-life"));
    drop(first);
    wait_for("its complaint", || follower.err.find("no gateway answers"));
    let folder = tempfile::tempdir().unwrap();
    let mut serve = Command::new(binary());
    serve.env_clear().env("HOME", folder.path()).current_dir(folder.path()).arg("serve");
    let mut second = Process::spawn(serve.args(["--listen", &address.to_string()]));
    second.wait_line("listening on http://");
    wait_for("that it is back", || follower.err.find("answers again"));
    let mut connection = sluice_tests::http::Connection::open(address);
    let body = body("second-life", false);
    let headers = [("content-type", "application/json")];
    connection.send(&sluice_tests::http::request("POST", CHAT, &address.to_string(), &headers, body.as_bytes()));
    assert_eq!(connection.reply().status, 200);
    wait_for("the call of the second life", || follower.out.find("second-life"));
    assert!(follower.exited().is_none());
}
