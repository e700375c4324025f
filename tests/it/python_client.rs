//! What the official Python client returns through Sluice equals what it returns directly from the provider: every recorded OpenAI
//! exchange, sync, async, streamed, raw and accumulated, on each road.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use sluice_tests::gateway::Gateway;
use sluice_tests::mock::Mock;
use sluice_tests::{skip, wire};

use crate::support::gateway;

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the repository").to_owned()
}

/// The interpreter with the pinned packages, where it has been set up.
pub(crate) fn python() -> Option<PathBuf> {
    Some(root().join(".venv/bin/python")).filter(|path| path.exists())
}

/// A Python that sees nothing of this machine's settings.
pub(crate) fn command(python: &Path, file: &Path) -> Command {
    let mut command = Command::new(python);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("PYTHONDONTWRITEBYTECODE", "1");
    command.env("LANG", "C.UTF-8").arg(file);
    command
}

fn plan(mock: &Mock, gateway: &Gateway) -> Value {
    let mut cases = Vec::new();
    for (number, case) in wire::of("openai").into_iter().enumerate() {
        // The mock finds the script by the model's name, which every road passes on.
        let name = format!("case-{number}");
        let request: Value = serde_json::from_slice(&case.request).expect("a recorded request");
        mock.script(&name, case.script());
        cases.push(json!({"name": name, "stream": request["stream"] == true, "request": request, "tags": case.tags}));
    }
    let roads = [("/openai", ""), ("/openai/v1", ""), ("/v1", "openai/")];
    let roads = roads.map(|(path, prefix)| json!({"base_url": gateway.url(path), "prefix": prefix}));
    // No script is named "direct" or "openai": the model decides on both ways.
    json!({"direct": mock.base("direct"), "roads": roads, "cases": cases})
}

#[test]
fn the_official_client_sees_no_difference() {
    let Some(python) = python() else { skip!("no .venv: make venv") };
    let mock = Mock::start();
    let gateway = gateway(&mock, &["openai"]);
    let plan = plan(&mock, &gateway);
    assert!(plan["cases"].as_array().is_some_and(|cases| cases.len() > 50));
    let tools = plan["cases"].as_array().unwrap().iter().filter(|case| case["request"]["tools"].is_array()).count();
    assert!(tools > 5, "only {tools} cases with tools");
    let file = gateway.folder().join("plan.json");
    std::fs::write(&file, plan.to_string()).unwrap();
    let output = command(&python, &root().join("tests/python/openai_matrix.py")).arg(&file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("compared"), "{text}");
}
