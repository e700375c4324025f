//! The command line: serve, check a configuration, make and inspect plugins.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command's output is its purpose")]

mod ask;
mod check;
mod completions;
mod connect;
mod decision;
mod drain;
mod explain;
#[cfg(unix)]
mod handover;
mod help;
mod notify;
mod plugin;
mod schema;
mod serve;
mod signals;
mod status;
mod table;
mod tail;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::config::Overrides;

/// An AI gateway: one address for every model provider, with policy as plugins.
///
/// Without a command it serves. Point an application's base URL at http://localhost:8080/v1 (or /openai) and drop plugins into plugins/.
#[derive(Debug, Parser)]
#[command(name = "sluice", version, args_conflicts_with_subcommands = true, after_long_help = help::SLUICE)]
#[command(after_help = "`sluice --help` has first steps, files, environment and exit codes.")]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve calls (also without a command).
    #[command(after_help = help::SERVE)]
    Serve(Serve),
    /// Say what is wrong with a configuration, with file, line and column; exits 2 if anything is.
    #[command(after_help = help::CHECK)]
    Check(Check),
    /// Ask about the configuration.
    #[command(subcommand)]
    Config(Asked),
    /// Print the JSON Schema of sluice.yaml, by which editors complete and explain it.
    #[command(after_help = help::SCHEMA)]
    Schema {
        /// That of plugins/NAME.yaml instead.
        #[arg(long)]
        plugin: bool,
    },
    /// Print the lines that point a client at this gateway.
    #[command(after_help = help::CONNECT)]
    Connect(connect::Connect),
    /// Say what a running gateway serves and how it is; exits 3 if it is degraded or not ready, 1 if it does not answer.
    #[command(after_help = help::STATUS)]
    Status(status::Status),
    /// Show the calls of a running gateway as they end.
    #[command(after_help = help::TAIL)]
    Tail(tail::Tail),
    /// Say what would become of a call, and why, without making it.
    #[command(after_help = help::DECISION)]
    Explain(decision::Decision),
    /// Keep calls from a target of a running gateway for a while.
    #[command(after_help = help::DRAIN)]
    Drain(drain::Drain),
    /// Make and inspect plugins.
    #[command(subcommand)]
    Plugin(Plugin),
    /// Print completions for a shell.
    #[command(after_help = help::COMPLETIONS)]
    Completions {
        #[arg(value_enum)]
        shell: completions::For,
    },
}

/// Which configuration, and what the command line says over it.
#[derive(Args, Debug)]
struct Chosen {
    /// The configuration; without it ./sluice.yaml if there is one, else the built-in defaults.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Listen here instead of where the configuration says; may be given several times. Port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Vec<String>,
    /// Another port at the configured addresses.
    #[arg(long, short, value_name = "PORT")]
    port: Option<u16>,
    /// The plugins directory.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
}

impl Chosen {
    fn overrides(&self) -> Overrides {
        Overrides { listen: self.listen.clone(), port: self.port, plugins_dir: self.plugins.clone() }
    }
}

#[derive(Args, Debug)]
struct Serve {
    #[command(flatten)]
    chosen: Chosen,
    /// Where the last good configuration and plugins are kept for a restart: a folder of this user alone. Without it
    /// $XDG_STATE_HOME/sluice, else ~/.local/state/sluice.
    #[arg(long, env = "SLUICE_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
    /// One line a call on standard output; auto is readable on a terminal and JSON elsewhere.
    #[arg(long, value_enum, default_value = "auto")]
    access_log: LogFormat,
    /// How much to tell on standard error: error, warn, info, debug, trace, or directives for single parts.
    #[arg(long, env = "SLUICE_LOG", default_value = "info", value_name = "LEVEL")]
    log: String,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Auto,
    Json,
    Text,
    Off,
}

#[derive(Args, Debug)]
struct Check {
    /// The configuration; without it ./sluice.yaml.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The plugins directory whose settings files are checked too.
    #[arg(long, value_name = "DIR")]
    plugins: Option<PathBuf>,
    /// Also say what would change, a line for each field; values of secrets and settings are not shown.
    #[arg(long)]
    diff: bool,
    /// The folder where the gateway keeps its last good configuration, with which `--diff` compares.
    #[arg(long, env = "SLUICE_STATE", value_name = "DIR")]
    state: Option<PathBuf>,
    /// Compare with this file instead of the last good configuration of the gateway.
    #[arg(long, value_name = "FILE", requires = "diff")]
    against: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Asked {
    /// Say what a field's value is, where it comes from, and what it may be. Secrets are never shown.
    #[command(after_help = help::EXPLAIN)]
    Explain(explain::Explain),
}

#[derive(Debug, Subcommand)]
enum Plugin {
    /// Write a plugin project into a new folder, with the SDK and interface of this version.
    New {
        /// The plugin's name: lower-case letters, digits and dashes.
        name: String,
    },
    /// Say what a .wasm file is: hooks, imports, size, and why it would not load.
    Check { file: PathBuf },
}

/// Does what the command line says.
pub fn run(cli: Cli) -> ExitCode {
    match cli.command {
        None => serve::run(cli.serve),
        Some(Command::Serve(serve)) => serve::run(serve),
        Some(Command::Check(check)) => check::run(&check),
        Some(Command::Config(Asked::Explain(asked))) => explain::run(&asked),
        Some(Command::Schema { plugin }) => schema::run(plugin),
        Some(Command::Connect(connect)) => connect::run(&connect),
        Some(Command::Completions { shell }) => completions::run(shell),
        Some(Command::Status(status)) => status::run(&status),
        Some(Command::Tail(tail)) => tail::run(&tail),
        Some(Command::Explain(asked)) => decision::run(&asked),
        Some(Command::Drain(drain)) => drain::run(&drain),
        Some(Command::Plugin(Plugin::New { name })) => plugin::new(&name),
        Some(Command::Plugin(Plugin::Check { file })) => plugin::check(&file),
    }
}

/// Writes a command's whole output. A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> ExitCode {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            eprintln!("standard output: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::SUCCESS,
    }
}
