//! Coding agents edit a file through Sluice, configured by what `sluice connect` prints and nothing else, with a provider of their own dialect
//! and of each other one. A turn of the model is one call of the provider: an agent that cannot read a reply asks again in silence, and pays twice.
//!
//! The scripted provider refuses results of calls that it did not make and thoughts whose state did not come back as it was given.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sluice_dialect::Dialect;
use sluice_tests::gateway::{Gateway, Setup, binary};
use sluice_tests::mock::Mock;
use sluice_tests::process::Process;
use sluice_tests::scripted::{Act, Model};
use sluice_tests::skip;

use crate::cli_support::said;
use crate::python_client::root;
use crate::support::PROVIDER_KEY;

/// What the file says before and after, with what an edit could spoil on its way.
const BEFORE: &str = "one\ntwo `three` ${four} \"five\"\nsechs \u{e4}\u{1f40c}\n";
const AFTER: &str = "one\n2 `drei` ${four} \\\"5\\\"\nsechs \u{e4}\u{1f40c}\n";
const OLD: &str = "two `three` ${four} \"five\"";
const NEW: &str = "2 `drei` ${four} \\\"5\\\"";

/// An agent takes seconds to start, on a machine that many tests share.
const PATIENCE: Duration = Duration::from_secs(180);

/// The name of the provider of a dialect: the built-in one's, where the dialect is its own.
fn name(dialect: Dialect) -> &'static str {
    match dialect {
        Dialect::OpenaiChat => "deepseek",
        Dialect::OpenaiResponses => "openai",
        Dialect::Anthropic => "anthropic",
        Dialect::Gemini => "gemini",
    }
}

/// A provider of each dialect, and a gateway that has them all. `keeps`: whether the agent brings thoughts back.
fn providers(acts: &[Act], keeps: impl Fn(Dialect) -> bool) -> (Mock, Gateway) {
    let mock = Mock::start();
    let mut rows = String::new();
    for dialect in Dialect::ALL {
        let (name, says) = (name(dialect), dialect.as_str());
        let address = mock.address();
        let version = if dialect == Dialect::OpenaiChat || dialect == Dialect::OpenaiResponses { "/v1" } else { "" };
        rows.push_str(&format!(
            "  {name}: {{ dialect: {says}, base_url: \"http://{address}/{name}{version}\", keys: [\"env:MOCK_KEY\"] }}\n"
        ));
        let model = Model::new(dialect, acts);
        if keeps(dialect) { model.keeps() } else { model }.serve(&mock, name);
    }
    let setup = Setup::config(format!("providers:\n{rows}")).env("MOCK_KEY", PROVIDER_KEY);
    (mock, setup.start())
}

/// A folder with a home and the file to edit.
struct Desk {
    folder: tempfile::TempDir,
}

impl Desk {
    fn new() -> Desk {
        let folder = tempfile::Builder::new().prefix("desk").tempdir().unwrap();
        for name in ["home/.codex", "home/.gemini", "tmp", "work"] {
            std::fs::create_dir_all(folder.path().join(name)).unwrap();
        }
        std::fs::write(folder.path().join("work/notes.txt"), BEFORE).unwrap();
        Desk { folder }
    }

    fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// Runs the script in the work folder; gives what it printed. The file must have been edited.
    fn edited(&self, script: &str) -> String {
        let mut command = Command::new("bash");
        command.env_clear().env("HOME", self.home());
        command.env("TMPDIR", self.folder.path().join("tmp"));
        command.env("LANG", "C.UTF-8").arg("-ec").arg(script);
        // As users have it: the agents and `sluice` are programs on the path.
        let mut folders = vec![root().join("tests/agents/node_modules/.bin"), binary().parent().unwrap().to_owned()];
        folders.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        command.env("PATH", std::env::join_paths(folders).unwrap()).current_dir(self.folder.path().join("work"));
        let mut process = Process::spawn(&mut command);
        let started = Instant::now();
        let status = loop {
            if let Some(status) = process.exited() {
                break status;
            }
            let (out, err) = (&process.out, &process.err);
            assert!(started.elapsed() < PATIENCE, "it does not end:\n{}\n{}", out.text(), err.text());
            std::thread::sleep(Duration::from_millis(50));
        };
        let told = format!("{script}\n{}\n{}", process.out.text(), process.err.text());
        assert!(status.success(), "{status}: {told}");
        let now = std::fs::read_to_string(self.folder.path().join("work/notes.txt")).unwrap();
        assert_eq!(now, AFTER, "{told}");
        told
    }
}

/// Whether the agents are here.
fn ready() -> bool {
    root().join("tests/agents/node_modules/.done").exists()
}

fn connect(gateway: &Gateway, client: &str, model: Option<&str>) -> String {
    let url = gateway.url("");
    let mut args = vec!["connect", client, "--url", &url, "--key", "sk-from-the-client"];
    args.extend(model.into_iter().flat_map(|model| ["--model", model]));
    said(gateway.folder(), &args)
}

/// Plays the whole script at each provider: `run` gets the lines that `sluice connect` prints for a model there.
fn play(client: &str, model: &str, acts: &[Act], run: impl Fn(&Desk, &str) -> String) {
    // Gemini CLI takes the text of thoughts out of its history, which is all that chat has of them.
    let (mock, gateway) = providers(acts, |dialect| client != "gemini-cli" || dialect != Dialect::OpenaiChat);
    for dialect in Dialect::ALL {
        let name = name(dialect);
        let lines = connect(&gateway, client, Some(&format!("{name}/{model}")));
        let told = run(&Desk::new(), &lines);
        assert!(told.contains("The file is edited."), "{name}: {told}");
        let turns = mock.exchanges(name);
        let paths: Vec<&str> = turns.iter().map(|exchange| exchange.target.as_str()).collect();
        assert_eq!(turns.len(), acts.len(), "{name}: each turn of the model is one call of the provider: {paths:?}");
        println!("{client} as {model} with a provider of {}: {} turns", dialect.as_str(), turns.len());
        for exchange in &turns {
            assert!(!String::from_utf8_lossy(&exchange.body).contains("sk-from-the-client"));
            let asked: Value = serde_json::from_slice(&exchange.body).unwrap();
            assert!(dialect == Dialect::Gemini || asked["model"] == *model, "{name}: {}", asked["model"]);
        }
    }
}

fn patch() -> String {
    format!("*** Begin Patch\n*** Update File: notes.txt\n@@\n one\n-{OLD}\n+{NEW}\n*** End Patch")
}

fn codex(desk: &Desk, lines: &str) -> String {
    std::fs::write(desk.home().join(".codex/sluice.config.toml"), lines).unwrap();
    // Its own sandbox needs rights of the machine that a test has not everywhere.
    desk.edited(
        "codex exec --profile sluice --skip-git-repo-check --dangerously-bypass-approvals-and-sandbox \
         -c check_for_update_on_startup=false -c analytics.enabled=false 'Edit notes.txt'",
    )
}

/// Tools of type `custom`, whose input is a text under a grammar.
#[test]
fn codex_as_a_model_with_custom_tools() {
    if !ready() {
        skip!("no coding agents: make agents");
    }
    play("codex", "gpt-5.5", &[Act::Free("apply_patch", patch()), Act::Say("The file is edited.")], codex);
}

/// Tools in an item of the input, in namespaces; the main one takes JavaScript.
#[test]
fn codex_as_a_model_with_additional_tools() {
    if !ready() {
        skip!("no coding agents: make agents");
    }
    let program = format!("text(await tools.apply_patch({}));", json!(patch()));
    play("codex", "gpt-6-sol", &[Act::Free("exec", program), Act::Say("The file is edited.")], codex);
}

/// A name that Codex does not know gets plain functions.
#[test]
fn codex_as_an_unknown_model() {
    if !ready() {
        skip!("no coding agents: make agents");
    }
    let command = format!("cat > notes.txt <<'END'\n{AFTER}END\n");
    let acts = [Act::Call("exec_command", json!({"cmd": command})), Act::Say("The file is edited.")];
    play("codex", "our-own-model", &acts, codex);
}

#[test]
fn claude_code() {
    if !ready() {
        skip!("no coding agents: make agents");
    }
    let acts = [
        Act::Call("Read", json!({"file_path": "notes.txt"})),
        Act::Call("Edit", json!({"file_path": "notes.txt", "old_string": OLD, "new_string": NEW})),
        Act::Say("The file is edited."),
    ];
    for model in ["claude-sonnet-4-5", "gpt-5.5"] {
        play("claude-code", model, &acts, |desk, lines| {
            desk.edited(&format!(
                "{lines}\nexport CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_AUTOUPDATER=1\n\
                 claude --print --permission-mode acceptEdits --allowedTools Read Edit -- 'Edit notes.txt'"
            ))
        });
    }
}

/// The settings that the printed lines ask for, besides those that keep a test from talking to others.
fn gemini_settings(lines: &str, home: &Path) {
    let line = lines.lines().find_map(|line| line.strip_prefix("# {")).expect("a line of settings");
    let mut settings: Value = serde_json::from_str(&format!("{{{line}")).expect("settings in JSON");
    settings["privacy"] = json!({"usageStatisticsEnabled": false});
    settings["general"] = json!({"disableAutoUpdate": true, "disableUpdateNag": true});
    std::fs::write(home.join(".gemini/settings.json"), settings.to_string()).unwrap();
}

#[test]
fn gemini_cli() {
    if !ready() {
        skip!("no coding agents: make agents");
    }
    let edit = json!({"file_path": "notes.txt", "instruction": "Write numbers.", "old_string": OLD, "new_string": NEW});
    let acts = [
        Act::Call("read_file", json!({"file_path": "notes.txt"})),
        Act::Call("replace", edit),
        Act::Say("The file is edited."),
    ];
    play("gemini-cli", "gemini-2.5-flash", &acts, |desk, lines| {
        gemini_settings(lines, &desk.home());
        desk.edited(&format!("{lines}\ngemini --yolo --skip-trust --prompt 'Edit notes.txt'"))
    });
}
