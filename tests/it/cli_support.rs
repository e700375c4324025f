//! What the tests of the command line share: one run of the built program, and its output.

use std::path::Path;
use std::process::Output;

use sluice_tests::gateway::command;

/// Runs `sluice` in `folder`, which is also its home, with these variables and nothing else of this machine's.
pub(crate) fn sluice(folder: &Path, env: &[(&str, &str)], args: &[&str]) -> Output {
    let env: Vec<(String, String)> =
        env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    command(folder, &env).args(args).output().expect("sluice runs")
}

pub(crate) fn out(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn err(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Standard output of a run that must succeed and say nothing else.
#[track_caller]
pub(crate) fn said(folder: &Path, args: &[&str]) -> String {
    let output = sluice(folder, &[], args);
    assert!(output.status.success() && output.stderr.is_empty(), "{args:?}: {}", err(&output));
    out(&output)
}
