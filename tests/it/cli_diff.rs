//! `sluice check --diff`: what would change, field by field, and no secret in any line.

use std::process::Output;

use sluice_tests::gateway::command;
use sluice_tests::process::Process;
use sluice_tests::wait_for;
use tempfile::TempDir;

use crate::cli_support::{err, out, sluice};

const ENV: [(&str, &str); 2] = [("OPENAI_API_KEY", "env-secret-1"), ("OTHER", "env-secret-2")];

/// Compares two texts.
fn diff(old: &str, new: &str) -> (Output, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("old.yaml"), old).unwrap();
    std::fs::write(folder.path().join("sluice.yaml"), new).unwrap();
    let output = sluice(folder.path(), &ENV, &["check", "--diff", "--against", "old.yaml"]);
    let all = format!("{}{}", out(&output), err(&output));
    assert!(!all.contains("-secret-"), "a secret was printed:\n{all}");
    (output, folder)
}

/// The lines of a comparison that finds something.
#[track_caller]
fn changes(old: &str, new: &str) -> Vec<String> {
    let (output, _) = diff(old, new);
    assert_eq!(output.status.code(), Some(1), "{}{}", out(&output), err(&output));
    let text = out(&output);
    let changes = text.lines().skip_while(|line| *line != "ok").skip(1);
    changes.map(|line| line.split(" (").next().unwrap_or(line).to_owned()).collect()
}

#[test]
fn what_means_the_same_is_no_change() {
    for (old, new) in [
        ("", "{}"),
        ("", "server: { max_calls: 10000, listen: [\"127.0.0.1:8080\", \"[::1]:8080\"] }"),
        ("server: { listen: \"127.0.0.1:1\" }", "server: { listen: [\"127.0.0.1:1\"] }"),
        (
            "server: { limits: { head: 60s, body_size: 1KiB } }",
            "server:\n  limits:\n    body_size: 1024B\n    head: 1m\n",
        ),
        (
            "providers: { openai: { keys: [env:OTHER] } }",
            "# a comment\nproviders:\n  openai:\n    keys: [ env:OTHER ]\n",
        ),
    ] {
        let (output, _) = diff(old, new);
        assert_eq!(output.status.code(), Some(0), "{old}\n{new}\n{}{}", out(&output), err(&output));
        assert_eq!(out(&output), "ok\nnothing would change\n");
    }
}

#[test]
fn one_line_for_each_field() {
    let old = "server: { max_calls: 5 }\nproviders:\n  openai: { keys: [env:OTHER], timeouts: { idle: 10s } }\n  \
               gone: { like: openai, keys: [], models: [a] }\naliases: { fast: openai/a, old: openai/b }\n";
    let new = "providers:\n  openai: { keys: [env:OPENAI_API_KEY], timeouts: { idle: 20s }, models: [x, y] }\n  \
               llama: { dialect: openai-chat, base_url: \"http://h/v1\" }\naliases: { fast: openai/c, new: fast }\n";
    assert_eq!(
        changes(old, new),
        [
            "server.max_calls: 5 -> 10000",
            "providers.openai.keys[0]: env:OTHER -> env:OPENAI_API_KEY",
            "providers.openai.models: nothing -> [x, y]",
            "providers.openai.timeouts.idle: 10s -> 20s",
            "providers.llama: added",
            "providers.llama.dialect: nothing -> openai-chat",
            "providers.llama.base_url: nothing -> http://h/v1",
            "aliases.fast: openai/a -> openai/c",
            "aliases.new: nothing -> fast",
            "providers.gone: removed",
            "aliases.old: removed",
        ]
    );
}

#[test]
fn what_waits_for_a_restart_is_said() {
    let (output, _) = diff("", "server: { listen: 127.0.0.1:1, threads: 3, max_calls: 5 }");
    for line in [
        "server.listen: [127.0.0.1:8080, [::1]:8080] -> [127.0.0.1:1] (after a restart)",
        "server.threads: nothing -> 3 (after a restart)",
        "server.max_calls: 10000 -> 5 (live)",
    ] {
        assert!(out(&output).lines().any(|found| found == line), "{line}:\n{}", out(&output));
    }
}

/// Without a file to compare with, it is the configuration that a gateway with the same arguments served with last.
#[test]
fn the_last_good_configuration_is_what_a_file_is_compared_with() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sluice.yaml");
    std::fs::write(&file, "server: { max_calls: 7 }\naliases: {}\n").unwrap();
    let mut process = Process::spawn(command(folder.path(), &[]).args(["serve", "--listen", "127.0.0.1:0"]));
    process.wait_line("listening on http://");
    let same = wait_for("the configuration to be kept", || {
        let output = sluice(folder.path(), &ENV, &["check", "--diff"]);
        output.status.success().then_some(output)
    });
    assert_eq!(out(&same), "ok\nnothing would change\n");
    process.signal(15);
    assert!(process.wait().success());
    std::fs::write(&file, "server: { max_calls: 8 }\n").unwrap();
    let output = sluice(folder.path(), &ENV, &["check", "--diff"]);
    assert_eq!(output.status.code(), Some(1), "{}", err(&output));
    assert_eq!(out(&output), "ok\nserver.max_calls: 7 -> 8 (live)\n");
    // Another gateway's is another's.
    let other = sluice(folder.path(), &ENV, &["check", "--diff", "--plugins", "elsewhere"]);
    assert_eq!(other.status.code(), Some(2), "{}", out(&other));
}

#[test]
fn secrets_and_settings_are_only_said_to_change() {
    let with = |secret: &str, settings: &str| {
        format!(
            "server: {{ admin_token: {secret} }}\nproviders: {{ openai: {{ keys: [{{ name: a, value: {secret} }}], headers: {{ x-a: {secret} }} }} }}\n\
             network: {{ proxy: \"http://u:{secret}@p:1\" }}\nkeys: [{{ name: k, value: {secret} }}]\n\
             plugins: {{ chain: {{ p: {{ settings: {{ a: {settings} }} }} }} }}\n"
        )
    };
    let lines = changes(&with("literal-secret-1", "1"), &with("literal-secret-2", "more-secret-2"));
    let expected = [
        "server.admin_token: changed",
        "network.proxy: changed",
        "providers.openai.keys[a].value: changed",
        "providers.openai.headers.x-a: changed",
        "keys[k].value: changed",
        "plugins.chain.p.settings: changed",
    ];
    assert_eq!(lines, expected);
    // Where a secret is kept is no secret, and moving it into the file shows nothing of it.
    let token = |text: &str| format!("server: {{ admin_token: {text} }}");
    assert_eq!(
        changes(&token("env:OTHER"), &token("env:OPENAI_API_KEY")),
        ["server.admin_token: env:OTHER -> env:OPENAI_API_KEY"]
    );
    assert_eq!(changes(&token("env:OTHER"), &token("literal-secret-3")), ["server.admin_token: changed"]);
}

#[test]
fn keys_are_known_by_their_names() {
    let key = |name: &str, team: &str| {
        format!(
            "  - {{ name: {name}, value: env:{}, team: {team} }}\n",
            if name == "a" { "OTHER" } else { "OPENAI_API_KEY" }
        )
    };
    let old = format!("keys:\n{}{}", key("a", "one"), key("b", "one"));
    let turned = format!("keys:\n{}{}", key("b", "one"), key("a", "one"));
    assert_eq!(diff(&old, &turned).0.status.code(), Some(0));
    let new = format!("keys:\n{}", key("b", "two"));
    assert_eq!(changes(&old, &new), ["keys[b].team: one -> two", "keys[a]: removed"]);
}

#[test]
fn what_cannot_be_compared_is_an_error() {
    let (output, folder) = diff("server: [\n", "{}");
    assert_eq!(output.status.code(), Some(2), "{}", out(&output));
    assert!(err(&output).contains("old.yaml:"), "{}", err(&output));
    let (output, _) = diff("{}", "servers: {}");
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("sluice.yaml:1:1") && !out(&output).contains("change"), "{}", err(&output));
    let missing = sluice(folder.path(), &ENV, &["check", "--diff", "--against", "nowhere.yaml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(err(&missing).contains("nowhere.yaml"), "{}", err(&missing));
    // Nothing was ever kept here.
    let nothing = sluice(folder.path(), &ENV, &["check", "--diff"]);
    assert_eq!(nothing.status.code(), Some(2));
    assert!(err(&nothing).contains("--against"), "{}", err(&nothing));
    assert_eq!(sluice(folder.path(), &ENV, &["check", "--against", "old.yaml"]).status.code(), Some(2));
}
