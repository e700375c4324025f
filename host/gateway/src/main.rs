//! `sluice`: reads the command line and does what it says.

use std::process::ExitCode;

use clap::Parser as _;
use sluice::cli::Cli;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    sluice::cli::run(Cli::parse())
}
