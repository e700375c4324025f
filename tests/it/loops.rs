//! Tool loops of two turns through Sluice, in official clients and frameworks: each on the path that its own prefix gives it, with a provider of
//! its own dialect and of each other one, whole and streamed.
//!
//! The scripted provider refuses results of calls that it did not make; and where the client brings thoughts back at all, those whose
//! sealed state is not what it gave, byte for byte. The programs in `tests/python` and `tests/node` only do and tell; this file judges.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};
use sluice_dialect::Dialect;
use sluice_dialect::Dialect::{Anthropic, Gemini, OpenaiChat, OpenaiResponses};
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::mock::Mock;
use sluice_tests::scripted::{Act, Model};
use sluice_tests::skip;

use crate::python_client::{command, python, root};
use crate::support::PROVIDER_KEY;

/// What a client brings back of thoughts.
#[derive(Clone, Copy, PartialEq)]
enum Keeps {
    All,
    /// The state, but no text of thoughts that has none (chat's).
    State,
    Nothing,
}

/// A client: its name in the program, the dialect it speaks, the prefix that is its own, and what it brings back.
type Client = (&'static str, Dialect, &'static str, Keeps);

const OFFICIAL: &[Client] = &[
    ("openai-chat", OpenaiChat, "/openai", Keeps::All),
    ("openai-responses", OpenaiResponses, "/openai", Keeps::All),
    ("anthropic", Anthropic, "/anthropic", Keeps::All),
    ("google-genai", Gemini, "/genai", Keeps::All),
];

const FRAMEWORKS: &[Client] = &[
    // In chat it knows no thoughts, neither as text nor as state.
    ("langchain-openai", OpenaiChat, "/langchain", Keeps::Nothing),
    // It leaves out thoughts that have a text only.
    ("langchain-responses", OpenaiResponses, "/langchain", Keeps::State),
    ("langchain-anthropic", Anthropic, "/langchain", Keeps::All),
    ("langchain-google", Gemini, "/langchain", Keeps::State),
    ("langgraph-openai", OpenaiChat, "/langchain", Keeps::Nothing),
    ("langgraph-anthropic", Anthropic, "/langchain", Keeps::All),
    ("pydanticai-chat", OpenaiChat, "/pydanticai", Keeps::Nothing),
    ("pydanticai-responses", OpenaiResponses, "/pydanticai", Keeps::All),
    ("pydanticai-anthropic", Anthropic, "/pydanticai", Keeps::All),
    ("pydanticai-google", Gemini, "/pydanticai", Keeps::State),
];

const LLAMA_INDEX: &[Client] = &[("llamaindex", OpenaiChat, "/litellm", Keeps::Nothing)];

const NODE: &[Client] = &[
    // Of a stream's members that it does not know it keeps the last piece, and so half a thought.
    ("openai-chat", OpenaiChat, "/openai", Keeps::Nothing),
    ("openai-responses", OpenaiResponses, "/openai", Keeps::All),
    ("anthropic", Anthropic, "/anthropic", Keeps::All),
    ("google-genai", Gemini, "/genai", Keeps::All),
    ("ai", OpenaiChat, "/litellm", Keeps::Nothing),
];

/// A provider of each dialect by the name of its maker, which is also what a prefix leads to.
fn provider(dialect: Dialect) -> &'static str {
    match dialect {
        OpenaiChat => "deepseek",
        OpenaiResponses => "openai",
        Anthropic => "anthropic",
        Gemini => "gemini",
    }
}

struct Loops {
    mock: Mock,
    gateway: Gateway,
    plan: Value,
}

/// Each client with each provider. A provider is one script a client, so that its journal is of that client alone.
fn loops(clients: &[Client]) -> Loops {
    let mock = Mock::start();
    let acts = [Act::Call("weather", json!({"city": "Paris"})), Act::Say("It is {result}.")];
    let mut rows = String::new();
    let mut runs = Vec::new();
    for dialect in Dialect::ALL {
        let name = provider(dialect);
        let (address, says) = (mock.address(), dialect.as_str());
        let version = if matches!(dialect, OpenaiChat | OpenaiResponses) { "/v1" } else { "" };
        rows.push_str(&format!(
            "  {name}: {{ dialect: {says}, base_url: \"http://{address}/{name}{version}\", keys: [\"env:MOCK_KEY\"] }}\n"
        ));
        let acts = acts.clone();
        let keepers: Vec<(String, bool)> = clients
            .iter()
            .map(|(client, _, _, keeps)| {
                let strict = *keeps == Keeps::All || (*keeps == Keeps::State && dialect != OpenaiChat);
                (format!("m-{client}"), strict)
            })
            .collect();
        mock.on(name, move |exchange| {
            let asked = format!("{} {}", exchange.target, String::from_utf8_lossy(&exchange.body));
            let strict = keepers.iter().any(|(model, strict)| *strict && asked.contains(model.as_str()));
            let model = Model::new(dialect, acts.clone());
            if strict { model.keeps() } else { model }.answer(exchange)
        });
    }
    let gateway = Setup::config(format!("providers:\n{rows}")).env("MOCK_KEY", PROVIDER_KEY).start();
    for (client, _, prefix, _) in clients {
        for dialect in Dialect::ALL {
            let name = provider(dialect);
            runs.push(json!({
                "name": format!("{client} with {name}"), "library": client, "base_url": gateway.url(prefix),
                "model": format!("{name}/m-{client}"),
            }));
        }
    }
    Loops { mock, gateway, plan: json!({"runs": runs}) }
}

fn judge(clients: &[Client], mut program: Command) {
    let loops = loops(clients);
    let file = loops.gateway.folder().join("plan.json");
    std::fs::write(&file, loops.plan.to_string()).unwrap();
    let output = program.arg(&file).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}\n{err}", output.status);
    let results: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}\n{err}"));
    let mut wrong = Vec::new();
    for run in loops.plan["runs"].as_array().unwrap() {
        let name = run["name"].as_str().unwrap();
        for way in ["whole", "streamed"] {
            let told = &results[name][way];
            // Gemini's results are objects, and arrive elsewhere as such.
            let text = told["text"].as_str().unwrap_or_default();
            if !(text.starts_with("It is ") && text.contains("21 degrees in Paris") && told["calls"] == 1) {
                let told = told["error"].as_str().map_or_else(|| told.to_string(), str::to_owned);
                wrong.push(format!("{name}, {way}: {told}"));
            }
        }
        println!("{name}: {}", results[name]);
    }
    assert!(wrong.is_empty(), "{} of {} fail:\n{}", wrong.len(), 8 * clients.len(), wrong.join("\n\n"));
    // Two turns, whole and streamed: one call of the provider each.
    for dialect in Dialect::ALL {
        let name = provider(dialect);
        assert_eq!(loops.mock.exchanges(name).len(), 4 * clients.len(), "{name}");
    }
}

/// The interpreter of an environment beside the usual one, where it has been set up.
fn environment(name: &str) -> Option<PathBuf> {
    Some(root().join(name).join("bin/python")).filter(|path| path.exists())
}

fn program(python: &std::path::Path) -> Command {
    command(python, &root().join("tests/python/loops.py"))
}

#[test]
fn official_clients_for_python() {
    let Some(python) = python() else { skip!("no .venv: make venv") };
    judge(OFFICIAL, program(&python));
}

#[test]
fn frameworks_for_python() {
    let Some(python) = environment(".venv-frameworks") else { skip!("no .venv-frameworks: make venv") };
    judge(FRAMEWORKS, program(&python));
}

#[test]
fn llama_index() {
    let Some(python) = environment(".venv-llama") else { skip!("no .venv-llama: make venv") };
    judge(LLAMA_INDEX, program(&python));
}

#[test]
fn official_clients_for_node() {
    let Some(command) = crate::sdk_matrix::node("loops.mjs") else { skip!("no Node with its packages: make node") };
    judge(NODE, command);
}
