use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sluice_dialect::failure::Retry;

use super::*;
use crate::routing::Policy;
use crate::routing::decide::{Action, Delay, Failed, Phase, SoFar, decide};

const INTRODUCTION: &str = "\
# When a call fails

Made from the program's own tables; do not edit. Every failure has the shape of the client's dialect, with a message that says what to do.
Beside it stand these headers:

| header | meaning |
|---|---|
| `x-sluice-error-source` | who is to blame: `client`, `provider`, `gateway` or `plugin` |
| `retry-after` | seconds until another try may help, where somebody knows |
| `x-should-retry` | `false`: Sluice is done, and a try of the same request would end the same way; `true`: a later one may not |
| `x-request-id` | the call's id, for the log and for whoever helps |
| `x-sluice-attempts` | what was tried, where `server.attempts_header` is on |

A stream that has begun ends with an error event of its dialect instead, and without the mark of a good end (`[DONE]`, `message_stop`).
Nothing is tried again after the first content, or after the client has left.

";

const PROVIDERS: &str = "\
## What providers say

The provider's status and words pass to the client, by the kind that Sluice reads from them in every dialect. *Another key* and *another
target* are tried at once; *alone* is where there is neither. All of it counts against the attempts and the deadline of the call
(`retry` of a route; 3 attempts without one).

| kind | status | meaning | with another key | with another target | alone | the application should |
|---|---|---|---|---|---|---|
";

const OWN: &str = "
## Sluice's own codes

The `code` of a failure that Sluice itself found. Those of the provider's side are kinds of the table above: no connection, a broken reply
and a passed deadline go to another target, or to the same once more, before the client hears of them. Denials of a plugin carry the
plugin's own code and status.

| code | to blame | status | meaning | the application should |
|---|---|---|---|---|
";

/// What comes of a first failure of this kind, as the code decides it.
fn decided(class: Class, other_key: bool, other_target: bool) -> &'static str {
    let failed = Failed { class, blame: Blame::Provider, retry: Retry::No, phase: Phase::Head, delay: Delay::Unsaid };
    let so_far = SoFar {
        attempts: 1,
        here: 1,
        left: Duration::from_secs(60),
        other_key,
        other_target,
        abler_target: other_target,
        budget: true,
        repeatable: true,
    };
    match decide(&failed, &so_far, &Policy::default(), 1.0).0 {
        Action::Same { .. } => "once more, after a wait",
        Action::OtherKey => "the other key",
        // What another target is known to be able to do is no matter of luck.
        Action::Next if matches!(class, Class::ContextLength | Class::Unsupported) => "an abler target",
        Action::Next => "the other target",
        Action::GiveUp => "given up",
    }
}

fn page() -> String {
    let mut out = format!("{INTRODUCTION}{PROVIDERS}");
    for class in Class::ALL {
        let Kind { status, meaning, advice } = kind(class);
        let name = format!("{class:?}");
        let mut words = String::new();
        for letter in name.chars() {
            if letter.is_uppercase() && !words.is_empty() {
                words.push('-');
            }
            words.extend(letter.to_lowercase());
        }
        let [key, target, alone] =
            [(true, false), (false, true), (false, false)].map(|(key, target)| decided(class, key, target));
        writeln!(out, "| {words} | {status} | {meaning} | {key} | {target} | {alone} | {advice} |").unwrap();
    }
    out.push_str(OWN);
    for Known { code, blame, status, meaning, advice } in KNOWN {
        writeln!(out, "| `{code}` | {} | {status} | {meaning} | {advice} |", blame.as_str()).unwrap();
    }
    out
}

#[test]
fn the_page_is_up_to_date() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/failures.md");
    if std::env::var_os("SLUICE_BLESS").is_some() {
        std::fs::write(&file, page()).unwrap();
    }
    let there = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(
        there == page(),
        "docs/failures.md is out of date: run the tests once with SLUICE_BLESS=1 to write it anew"
    );
}

fn sources(folder: &Path, out: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        if path.is_dir() && name != "tests" {
            sources(&path, out);
        } else if name.ends_with(".rs") && !name.ends_with("tests.rs") && !path.ends_with("observe/failures.rs") {
            out.push(path);
        }
    }
}

/// What is made of failures in the code that is no test: how, and the first words in quotes behind it.
fn made(text: &str) -> Vec<(&str, String, Option<u16>)> {
    let code = text.split("mod tests {").next().unwrap_or_default();
    let mut found = Vec::new();
    for (at, _) in code.match_indices("Failure::") {
        let rest = &code[at + "Failure::".len()..];
        let Some((how, rest)) = rest.split_once('(') else { continue };
        let count = match how {
            "new" => 2,
            "invalid" | "bad_gateway" | "timeout" => 1,
            _ => continue,
        };
        let statement = rest.split(';').next().unwrap_or_default();
        let Some(word) = statement.split('"').nth(2 * count - 1) else { continue };
        // A variable before the first word in quotes: the code is somebody else's to name.
        let before = statement.split('"').take(2 * count - 1).collect::<String>();
        let is_code =
            |word: &str| !word.is_empty() && word.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_');
        if before.contains("code") || !is_code(word) {
            continue;
        }
        let status = before.split(|letter: char| !letter.is_ascii_digit()).find(|digits| digits.len() == 3);
        found.push((how, word.to_owned(), status.and_then(|digits| digits.parse().ok())));
    }
    found
}

#[test]
fn every_code_that_is_given_is_in_the_table_with_its_status() {
    let host = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for part in ["dialect/src", "gateway/src"] {
        sources(&host.join(part), &mut files);
    }
    assert!(files.len() > 100, "{}", files.len());
    let mut all = String::new();
    let (mut given, mut missing) = (BTreeSet::new(), Vec::new());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        for (how, code, status) in made(&text) {
            let Some(known) = KNOWN.iter().find(|known| known.code == code) else {
                missing.push(format!("`{code}` of {}", file.display()));
                continue;
            };
            let status = status.or(match how {
                "invalid" => Some(400),
                "bad_gateway" => Some(502),
                "timeout" => Some(504),
                _ => None,
            });
            assert!(status.is_none_or(|status| status == known.status), "`{code}` of {}: {status:?}", file.display());
            given.insert(code);
        }
        all.push_str(&text);
    }
    assert!(missing.is_empty(), "add them to the table, with what the application should do: {}", missing.join(", "));
    assert!(given.len() > 40, "{given:?}");
    for known in KNOWN {
        assert!(all.contains(&format!("\"{}\"", known.code)), "`{}` is given nowhere", known.code);
    }
}

#[test]
fn the_table_is_in_order() {
    for pair in KNOWN.windows(2) {
        let place = |blame: Blame| {
            [Blame::Client, Blame::Provider, Blame::Plugin, Blame::Gateway].iter().position(|one| *one == blame)
        };
        let [a, b] = [&pair[0], &pair[1]];
        assert!((place(a.blame), a.code) < (place(b.blame), b.code), "{} {}", a.code, b.code);
    }
}
