//! `--help` teaches, and shells can complete: what is printed is true of the program that prints it.

use std::process::Command;

use sluice_tests::skip;

use crate::blocks::shell;
use crate::cli_support::{out, said, sluice};

/// The commands that a help text lists.
fn commands(help: &str) -> Vec<String> {
    let listed = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    listed
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            line.strip_prefix("  ")?.split(' ').next().filter(|word| !word.is_empty()).map(str::to_owned)
        })
        .collect()
}

#[test]
fn every_command_says_what_it_does_and_its_exit_codes_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let help = said(folder.path(), &["--help"]);
    for part in ["First steps:", "Files:", "Environment:", "Exit codes:", "OPENAI_API_KEY", "sluice.yaml", "SLUICE_LOG"]
    {
        assert!(help.contains(part), "{part}:\n{help}");
    }
    let commands = commands(&help);
    assert!(commands.len() > 6, "{commands:?}");
    for command in commands.iter().filter(|command| *command != "help") {
        let help = said(folder.path(), &[command, "--help"]);
        assert!(help.contains("Usage: sluice"), "{command}: {help}");
        assert!(help.lines().next().is_some_and(|line| line.len() > 10), "{command} says nothing");
    }
    // The short form stays on one screen.
    assert!(said(folder.path(), &["-h"]).lines().count() < 45);
}

/// Every `sluice COMMAND` of the help texts is one: a renamed command must not live on in an example.
#[test]
fn the_examples_name_what_exists() {
    let folder = tempfile::tempdir().unwrap();
    let help = said(folder.path(), &["--help"]);
    let commands = commands(&help);
    let mut texts = vec![help];
    texts.extend(commands.iter().filter(|name| *name != "help").map(|name| said(folder.path(), &[name, "--help"])));
    let mut seen = 0;
    for text in &texts {
        for line in text.lines() {
            let examples = line
                .replace("/sluice ", "")
                .split("sluice ")
                .skip(1)
                .map(|rest| rest.split(' ').next().unwrap_or_default().to_owned())
                .collect::<Vec<_>>();
            let word = |word: &String| !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase());
            let names = examples.into_iter().filter(|name| word(name) && line.starts_with("  "));
            for name in names.filter(|name| !["serve", "on"].contains(&name.as_str())) {
                assert!(commands.contains(&name), "`{name}` in: {line}");
                seen += 1;
            }
        }
    }
    assert!(seen > 8, "only {seen} examples");
}

#[test]
fn completions_complete() {
    let folder = tempfile::tempdir().unwrap();
    let mut scripts = Vec::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = said(folder.path(), &["completions", shell]);
        for word in ["serve", "check", "connect", "completions", "access-log"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
        std::fs::write(folder.path().join(shell), &script).unwrap();
        scripts.push(script);
    }
    assert!(scripts[0] != scripts[1] && scripts[1] != scripts[2]);
    assert_eq!(sluice(folder.path(), &[], &["completions", "cmd"]).status.code(), Some(2));
    if Command::new("bash").arg("--version").output().is_err() {
        skip!("no bash");
    }
    // As the shell asks: the words so far, and which of them is being written.
    let ask = "source ./bash\nCOMP_WORDS=(sluice conn) COMP_CWORD=1\n_sluice sluice conn sluice\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n\
               COMP_WORDS=(sluice connect cl) COMP_CWORD=2\n_sluice sluice cl connect\nprintf '%s\\n' \"${COMPREPLY[@]}\"\n";
    std::fs::write(folder.path().join("ask"), ask).unwrap();
    let answer = shell("bash ./ask", folder.path(), &[]);
    assert_eq!(answer.lines().collect::<Vec<_>>(), ["connect", "claude-code"], "{answer}");
}

#[test]
fn a_reader_that_leaves_early_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    let text = shell("sluice schema | head -n 1", folder.path(), &[]);
    assert_eq!(text, "{\n");
    let all = out(&sluice(folder.path(), &[], &["schema"]));
    assert!(all.len() > 4096, "too short to show it");
}
