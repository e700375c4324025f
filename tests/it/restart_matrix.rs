//! What a restart leads to, for every state in which the files may be by then. The table of `docs/restarts.md` is the table here.

use sluice_tests::gateway::replace;
use sluice_tests::mock::Mock;

use crate::plugins_support::{PATIENT, component, says};
use crate::python_client::root;
use crate::restart_support::{Running, Site, Start};
use crate::support::row;

/// A file at the restart, as an editor or a deployment left it.
#[derive(Clone, Copy, PartialEq)]
enum File {
    Good,
    Bad,
    Missing,
    /// Plugins only: the same plugin under another name.
    Renamed,
}
use File::{Bad, Good, Missing, Renamed};

impl File {
    fn word(self) -> &'static str {
        match self {
            Good => "good",
            Bad => "bad",
            Missing => "missing",
            Renamed => "renamed",
        }
    }
}

const EXIT: &str = "exit 2";

/// Configuration and plugin at the restart. What comes of it: with last good versions of both, where the plugin is required and where it
/// is not; the same without.
const TABLE: [(File, File, [&str; 4]); 12] = [
    (Good, Good, ["new, plugin new", "new, plugin new", "new, plugin new", "new, plugin new"]),
    (Good, Bad, ["new, plugin last good", "new, plugin last good", EXIT, EXIT]),
    (Good, Missing, ["new, not ready", "new, no plugin", "new, not ready", "new, no plugin"]),
    (Good, Renamed, ["new, not ready", "new, plugin renamed", "new, not ready", "new, plugin renamed"]),
    (Bad, Good, ["last good, plugin new", "last good, plugin new", EXIT, EXIT]),
    (Bad, Bad, ["last good, plugin last good", "last good, plugin last good", EXIT, EXIT]),
    (Bad, Missing, ["last good, not ready", "last good, no plugin", EXIT, EXIT]),
    (Bad, Renamed, ["last good, not ready", "last good, plugin renamed", EXIT, EXIT]),
    (Missing, Good, ["last good, plugin new", "last good, plugin new", EXIT, EXIT]),
    (Missing, Bad, ["last good, plugin last good", "last good, plugin last good", EXIT, EXIT]),
    (Missing, Missing, ["last good, not ready", "last good, no plugin", EXIT, EXIT]),
    (Missing, Renamed, ["last good, not ready", "last good, plugin renamed", EXIT, EXIT]),
];

/// `named` leads to this model.
fn config(mock: &Mock, model: &str, required: bool) -> String {
    let required = if required { "plugins: { required: [guard] }\n" } else { "" };
    format!("providers:\n{}aliases: {{ named: p/{model} }}\n{required}", row(mock, "p", ""))
}

fn settings(word: &str) -> String {
    format!("{PATIENT}\nsettings: {{ words: [{word}] }}\n")
}

/// The files of a cell, in a folder whose state knows the earlier ones where `known`.
fn prepare(mock: &Mock, files: (File, File), known: bool, required: bool) -> Site {
    let site = Site::new(&config(mock, "before", required));
    let (wasm, yaml) = (site.plugin("guard.wasm"), site.plugin("guard.yaml"));
    if known {
        replace(&yaml, settings("alpha").as_bytes());
        replace(&wasm, &component("deny-words"));
        let running = site.start();
        assert_eq!(running.chat("named", "alpha"), 400);
    }
    match files.0 {
        Good => replace(&site.config(), config(mock, "after", required).as_bytes()),
        Bad => replace(&site.config(), b"providers: { p: { dialekt: openai-chat } }\n"),
        _ => std::fs::remove_file(site.config()).unwrap(),
    }
    let name = if files.1 == Renamed { "guard-of-words" } else { "guard" };
    for file in [&wasm, &yaml] {
        let _ = std::fs::remove_file(file);
    }
    if files.1 != Missing {
        replace(&site.plugin(&format!("{name}.yaml")), settings("omega").as_bytes());
        let bytes = if files.1 == Bad { b"half a file".to_vec() } else { component("deny-words") };
        replace(&site.plugin(&format!("{name}.wasm")), &bytes);
    }
    site
}

/// What came of a start, in the words of the table; whatever the pages say of it has to agree.
#[track_caller]
fn outcome(mock: &Mock, start: Start) -> String {
    let running = match start {
        Start::Up(running) => running,
        Start::Ended(code, said) => {
            assert!(said.contains("sluice.yaml") || said.contains("guard"), "it does not say why: {said}");
            return format!("exit {}", code.unwrap_or(-1));
        }
    };
    let metrics = running.get("/metrics").text();
    let health = running.get("/health").json();
    let stale = |kind: &str| metrics.contains(&format!("\nsluice_config_stale{{kind=\"{kind}\"}} 1"));
    let config = if stale("config") { "last good" } else { "new" };
    let state = running.plugin("guard").map_or("none".to_owned(), |state| state["state"].as_str().unwrap().to_owned());
    assert_eq!(stale("plugin"), state == "stale", "{metrics}");
    let degraded = stale("config") || stale("plugin");
    if running.get("/readyz").status == 503 {
        assert_eq!(health["status"], "not ready", "{health}");
        assert_eq!(running.chat("named", "hello"), 503);
        return format!("{config}, not ready");
    }
    assert_eq!(health["status"], if degraded { "degraded" } else { "ok" }, "{health}");
    assert_eq!(running.chat("named", "hello"), 200);
    let asked: serde_json::Value = serde_json::from_slice(&mock.exchanges("p").last().unwrap().body).unwrap();
    assert_eq!(asked["model"], if stale("config") { "before" } else { "after" });
    let denied = |word: &str| running.chat("named", word) == 400;
    let plugin = match (denied("alpha"), denied("omega"), state.as_str()) {
        (true, false, "stale") => "plugin last good",
        (false, true, "active") => "plugin new",
        (false, true, "none") => {
            assert_eq!(running.plugin("guard-of-words").unwrap()["state"], "active");
            "plugin renamed"
        }
        (false, false, "none") => "no plugin",
        found => panic!("{found:?}: {}", running.plugins()),
    };
    said_in_the_log(&running, stale("config"), state == "stale");
    format!("{config}, {plugin}")
}

#[track_caller]
fn said_in_the_log(running: &Running, config: bool, plugin: bool) {
    let log = running.process.err.text();
    assert_eq!(log.contains("the configuration cannot be used, the last good one serves"), config, "{log}");
    assert_eq!(log.contains("the new version is refused, the last good one goes on"), plugin, "{log}");
}

fn column(of: File) {
    let mock = Mock::start();
    says(&mock, &["fine"]);
    let mut wrong = Vec::new();
    for (config, plugin, cells) in TABLE.iter().filter(|(config, ..)| *config == of) {
        let ways = [(true, true), (true, false), (false, true), (false, false)];
        for ((known, required), expected) in ways.into_iter().zip(cells) {
            let site = prepare(&mock, (*config, *plugin), known, required);
            let found = outcome(&mock, site.try_start());
            if found != *expected {
                let (config, plugin) = (config.word(), plugin.word());
                wrong.push(format!(
                    "config {config}, plugin {plugin}, last good {known}, required {required}: {found:?}, not {expected:?}"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn with_a_good_configuration() {
    column(Good);
}

#[test]
fn with_a_bad_configuration() {
    column(Bad);
}

#[test]
fn with_a_missing_configuration() {
    column(Missing);
}

#[test]
fn the_document_has_this_table() {
    let mut table = "| configuration | plugin | last good, required | last good, not required | none, required | none, not required |\n\
                     |---|---|---|---|---|---|\n"
        .to_owned();
    for (config, plugin, cells) in &TABLE {
        table.push_str(&format!("| {} | {} | {} |\n", config.word(), plugin.word(), cells.join(" | ")));
    }
    let document = std::fs::read_to_string(root().join("docs/restarts.md")).unwrap();
    assert!(document.contains(&table), "docs/restarts.md needs this table:\n{table}");
}
