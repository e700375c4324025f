//! `sluice schema`: the JSON Schema of the files that operators write, on standard output.

use std::process::ExitCode;

use crate::config;

/// Prints the schema of `sluice.yaml`, or of `plugins/NAME.yaml`.
pub fn run(plugin: bool) -> ExitCode {
    let schema = if plugin { config::plugin_schema() } else { config::file_schema() };
    super::print(&format!("{schema:#}\n"))
}
