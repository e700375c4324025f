//! `sluice completions`: what a shell needs to complete this command line, on standard output.

use std::process::ExitCode;

use clap::{CommandFactory as _, ValueEnum};
use clap_complete::Shell;

use super::Cli;

/// The shells whose completions are tried by tests.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum For {
    Bash,
    Zsh,
    Fish,
}

pub fn run(shell: For) -> ExitCode {
    let shell = match shell {
        For::Bash => Shell::Bash,
        For::Zsh => Shell::Zsh,
        For::Fish => Shell::Fish,
    };
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "sluice", &mut text);
    super::print(&String::from_utf8_lossy(&text))
}
