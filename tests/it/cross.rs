//! What official clients see through every translation equals what they see directly, or is a loss that the repository names: every
//! recorded reply and request of the four dialects, for each of the other three.

use std::process::Command;

use sluice_tests::{gateway, skip};

use crate::python_client::{command, python, root};

fn passes(judge: &mut Command) {
    let output = judge.output().unwrap();
    let told = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success(), "{}\n{told}", output.status);
}

/// Each translation by itself: also its schemas, the order of events, and what requests ask for.
#[test]
fn official_clients_see_the_same_across_dialects() {
    let Some(python) = python() else { skip!("no .venv: make venv") };
    let mut judge = command(&python, &root().join("tests/python/judge.py"));
    judge.arg(env!("CARGO_BIN_EXE_translate")).arg(root().join("docs/translation.md"));
    if std::env::var_os("SLUICE_BLESS").is_some() {
        judge.arg("--write");
    }
    passes(&mut judge);
}

/// The same replies with the whole gateway on the way: its roads, its framing, its errors.
#[test]
fn official_clients_see_the_same_through_the_gateway() {
    let Some(python) = python() else { skip!("no .venv: make venv") };
    let mut judge = command(&python, &root().join("tests/python/gateway_judge.py"));
    passes(judge.arg(gateway::binary()));
}
