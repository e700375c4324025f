//! The official OpenAI clients of Node, Go and Python and the Vercel AI SDK: chat, streams, a tool loop of two turns, a caller who leaves,
//! errors and retries, each at the provider itself and through Sluice. What the application gets must be the same.
//!
//! The programs in `tests/node`, `tests/go` and `tests/python` only do and tell; this file judges.

use std::collections::HashMap;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;

use serde_json::{Value, json};
use sluice_tests::gateway::Gateway;
use sluice_tests::mock::{Ending, Exchange, Gate, Mock, Script};
use sluice_tests::{skip, wait_for, wire};

use crate::python_client::{self, root};
use crate::support::{DONE, event, finish_event, gateway, reply, role_event, text_event, usage_event};

/// Every status that the clients have a class of their own for, and one that they have not.
const ERRORS: [u16; 9] = [400, 401, 403, 404, 409, 422, 429, 500, 503];

/// The names of what OpenAI's Python and Node clients raise for them.
const CLASSES: [&str; 9] = [
    "BadRequestError",
    "AuthenticationError",
    "PermissionDeniedError",
    "NotFoundError",
    "ConflictError",
    "UnprocessableEntityError",
    "RateLimitError",
    "InternalServerError",
    "InternalServerError",
];

/// Differ by what Sluice adds: how a cut looks, and the names in lists.
const OWN: [&str; 3] = ["cut", "models", "model"];

/// A provider and a gateway before it, with the roads to it and what to do on them.
struct Matrix {
    mock: Mock,
    gateway: Gateway,
    plan: Value,
}

fn matrix() -> Matrix {
    let mock = Mock::start();
    let gateway = gateway(&mock, &["openai"]);
    let mut scripts = fixed();
    let mut cases = Vec::new();
    for (number, case) in wire::of("openai").into_iter().enumerate() {
        let name = format!("case-{number}");
        let request: Value = serde_json::from_slice(&case.request).expect("a recorded request");
        scripts.insert(name.clone(), case.script());
        cases.push(json!({"name": name, "stream": request["stream"] == true, "request": request}));
    }
    assert!(cases.len() > 50);
    // The first part of the path says which road a request took; what to play, its body says.
    for road in ["direct", "openai"] {
        let scripts = scripts.clone();
        let calls = Mutex::new(0_usize);
        let same = mock.clone();
        mock.on(road, move |exchange| answer(&same, exchange, &scripts, &calls));
    }
    let plan = json!({
        "roads": [
            {"name": "direct", "base_url": mock.base("direct"), "prefix": ""},
            {"name": "prefixed", "base_url": gateway.url("/openai/v1"), "prefix": ""},
            {"name": "named", "base_url": gateway.url("/v1"), "prefix": "openai/"},
        ],
        "cases": cases,
        "errors": ERRORS,
    });
    Matrix { mock, gateway, plan }
}

fn fixed() -> HashMap<String, Script> {
    let head = Script::sse_head().chunk(role_event()).chunk(text_event("one"));
    let mut scripts = HashMap::from([
        ("abort".to_owned(), head.clone().stall()),
        ("abort-whole".to_owned(), Script::new().stall()),
        ("cut".to_owned(), head.reset()),
    ]);
    for status in ERRORS {
        let error =
            json!({"message": format!("What a {status} says."), "type": "kind", "param": "field", "code": "why"});
        scripts.insert(format!("error-{status}"), Script::json(status, json!({"error": error}).to_string()));
    }
    scripts
}

fn model(exchange: &Exchange) -> String {
    let body: Value = serde_json::from_slice(&exchange.body).unwrap_or_default();
    body["model"].as_str().unwrap_or_default().to_owned()
}

fn answer(mock: &Mock, exchange: &Exchange, scripts: &HashMap<String, Script>, calls: &Mutex<usize>) -> Script {
    let listed = json!({"id": "listed", "object": "model", "created": 1, "owned_by": "openai"});
    if exchange.target.ends_with("/models") {
        return Script::json(200, json!({"object": "list", "data": [listed]}).to_string());
    }
    if exchange.target.ends_with("/models/listed") {
        return Script::json(200, listed.to_string());
    }
    let model = model(exchange);
    match model.as_str() {
        "tools" => tool_turn(&exchange.body),
        "retry" => {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            let again = json!({"error": {"message": "Too many.", "type": "kind", "param": null, "code": "why"}});
            let headers = [("content-type", "application/json"), ("retry-after-ms", "1")];
            if *calls % 2 == 1 {
                Script::whole(429, &headers, again.to_string())
            } else {
                Script::json(200, reply("at last"))
            }
        }
        "after-abort" => {
            let text = reply("gone");
            let length = text.len().to_string();
            let head = [("content-type", "application/json"), ("content-length", length.as_str())];
            Script::new().head(200, &head).wait(&everybody_left(mock, &exchange.script)).write(text)
        }
        _ => scripts.get(&model).cloned().unwrap_or_else(|| Script::json(418, "{}")),
    }
}

/// The model's half of a tool loop: it asks for the tool until a message has its result, then says what it was told.
fn tool_turn(body: &[u8]) -> Script {
    let body: Value = serde_json::from_slice(body).unwrap();
    let messages = body["messages"].as_array().unwrap();
    let told = messages.iter().find(|message| message["role"] == "tool").map(|message| &message["content"]);
    // A tool's result is a text for some clients and parts of text for others.
    let told = told.map(|told| told.as_str().or(told[0]["text"].as_str()).unwrap().to_owned());
    let streamed = body["stream"] == true;
    match told {
        Some(told) if streamed => {
            let texts = ["It is ", told.as_str(), "."].map(text_event);
            let end = [finish_event(), usage_event(), DONE.to_owned()];
            Script::sse([role_event()].into_iter().chain(texts).chain(end))
        }
        Some(told) => Script::json(200, reply(&format!("It is {told}."))),
        None if streamed => {
            let part = |part: Value| event(json!({"tool_calls": [part]}), None);
            let first = json!({"index": 0, "id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ""}});
            let more =
                ["{\"ci", "ty\":\"Pa", "ris\"}"].map(|text| part(json!({"index": 0, "function": {"arguments": text}})));
            let end = [event(json!({}), Some("tool_calls")), usage_event(), DONE.to_owned()];
            Script::sse([role_event(), part(first)].into_iter().chain(more).chain(end))
        }
        None => {
            let function = json!({"name": "weather", "arguments": "{\"city\":\"Paris\"}"});
            let calls = json!([{"id": "call_1", "type": "function", "function": function}]);
            let mut whole: Value = serde_json::from_str(&reply("")).unwrap();
            whole["choices"][0]["message"] = json!({"role": "assistant", "content": null, "tool_calls": calls});
            whole["choices"][0]["finish_reason"] = json!("tool_calls");
            Script::json(200, whole.to_string())
        }
    }
}

/// A gate that opens once everybody who left a call on that road is known to have left: a call behind it proves that leaving, and not the
/// program's end, cancelled the provider's request.
fn everybody_left(mock: &Mock, road: &str) -> Gate {
    let gate = Gate::new();
    let (mock, road, opened) = (mock.clone(), road.to_owned(), gate.clone());
    std::thread::spawn(move || {
        wait_for("everybody to have left", || {
            let all = mock.exchanges(&road);
            let running = |exchange: &&Exchange| {
                ["abort", "abort-whole"].contains(&model(exchange).as_str()) && exchange.ending == Ending::Running
            };
            all.iter().find(running).is_none().then_some(())
        });
        opened.open();
    });
    gate
}

/// Runs a client's program and gives what it tells: `{road: {scenario: outcome}}`.
fn run(matrix: &Matrix, mut command: Command) -> Value {
    let file = matrix.gateway.folder().join("plan.json");
    std::fs::write(&file, matrix.plan.to_string()).unwrap();
    let output = command.arg(&file).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{errors}", output.status);
    serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}\n{errors}", String::from_utf8_lossy(&output.stdout)))
}

/// Judges what every client must get. `classes`: what it raises for [`ERRORS`].
fn judge(matrix: &Matrix, results: &Value, classes: &[&str]) {
    let direct = results["direct"].as_object().expect("results of the direct road");
    let mut differences = Vec::new();
    for road in ["prefixed", "named"] {
        let through = results[road].as_object().unwrap();
        assert_eq!(through.len(), direct.len(), "{road}");
        for (name, want) in direct.iter().filter(|(name, _)| !OWN.contains(&name.as_str())) {
            if through[name] != *want {
                differences.push(format!("{road} {name}:\n  direct  {want}\n  through {}", through[name]));
            }
        }
        // What a cut stream looks like is each side's own matter; that it was cut must be an error for everybody.
        assert_eq!(through["cut"]["kind"], "error", "{road}: {}", through["cut"]);
    }
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
    for (status, class) in ERRORS.iter().zip(classes) {
        let error = &direct[&format!("error/{status}")];
        assert_eq!((&error["kind"], &error["status"]), (&json!("error"), &json!(status)), "{error}");
        assert_eq!(error["class"], *class, "{error}");
        assert!(error["message"].as_str().unwrap().contains(&format!("What a {status} says.")), "{error}");
    }
    assert_eq!(direct["error/stream"]["status"], 429);
    assert!(direct["retry"].to_string().contains("at last"), "{}", direct["retry"]);
    for tools in ["tools", "tools/stream"] {
        assert!(direct[tools].to_string().contains("21 degrees in Paris"), "{tools}: {}", direct[tools]);
    }
    assert!(["aborted", "error"].contains(&direct["abort"]["kind"].as_str().unwrap()), "{}", direct["abort"]);
    assert_eq!(direct["abort/whole"]["kind"], "error", "{}", direct["abort/whole"]);
    assert!(direct["after-abort"].to_string().contains("gone"), "{}", direct["after-abort"]);
    tool_requests(&matrix.mock);
    left(&matrix.mock);
}

/// The recorded cases: how many a client could make something of.
fn judge_cases(results: &Value) {
    let direct = results["direct"].as_object().unwrap();
    let of =
        |kind: &str| direct.iter().filter(|(name, result)| name.starts_with("case/") && result["kind"] == kind).count();
    let counts = [of("reply"), of("stream"), of("error")];
    assert!(counts[0] > 15 && counts[1] > 15, "{counts:?}");
    println!("recorded cases: {} replies, {} streams, {} errors", counts[0], counts[1], counts[2]);
}

/// Names in lists are those that calls take, on each road.
fn judge_names(results: &Value) {
    for (road, name) in [("direct", "listed"), ("prefixed", "listed"), ("named", "openai/listed")] {
        assert_eq!(results[road]["models"]["ids"], json!([name]), "{road}");
        assert_eq!(results[road]["model"]["id"], name, "{road}");
    }
}

/// What the provider was asked in the tool loop is the same on each road, but for the usage that Sluice asks for.
fn tool_requests(mock: &Mock) {
    let asked = |road: &str| -> Vec<Value> {
        let of_tools = mock.exchanges(road).into_iter().filter(|exchange| model(exchange) == "tools");
        of_tools
            .map(|exchange| {
                let mut body: Value = serde_json::from_slice(&exchange.body).unwrap();
                body.as_object_mut().unwrap().shift_remove("stream_options");
                body
            })
            .collect()
    };
    let direct = asked("direct");
    assert_eq!(direct.len(), 4, "two turns, whole and streamed");
    assert_eq!(direct[1]["messages"][1]["tool_calls"][0]["id"], "call_1");
    assert_eq!(asked("openai"), [direct.clone(), direct].concat());
}

/// Everybody who left was noticed by the provider.
fn left(mock: &Mock) {
    for (road, times) in [("direct", 1), ("openai", 2)] {
        for name in ["abort", "abort-whole"] {
            let of: Vec<Exchange> =
                mock.exchanges(road).into_iter().filter(|exchange| model(exchange) == name).collect();
            assert_eq!(of.len(), times, "{road} {name}");
            assert!(of.iter().all(|exchange| exchange.ending == Ending::Cancelled), "{road} {name}: {of:#?}");
        }
    }
}

/// A command that sees nothing of this machine's settings.
fn plain(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Node with a program of `tests/node`, where Node and its packages are.
pub(crate) fn node(file: &str) -> Option<Command> {
    let folder = root().join("tests/node");
    let ready = folder.join("node_modules/.done").exists()
        && plain("node").arg("--version").output().is_ok_and(|output| output.status.success());
    let mut command = plain("node");
    command.arg(folder.join(file));
    ready.then_some(command)
}

#[test]
fn openai_for_node() {
    let Some(command) = node("openai_client.mjs") else { skip!("no Node with its packages: make node") };
    let matrix = matrix();
    let results = run(&matrix, command);
    judge(&matrix, &results, &CLASSES);
    judge_cases(&results);
    judge_names(&results);
    let direct = &results["direct"];
    assert_eq!((&direct["tools"]["turns"], &direct["tools/stream"]["turns"]), (&json!(2), &json!(2)));
    assert_eq!(direct["abort"]["kind"], "aborted");
    assert_eq!(direct["abort/whole"]["class"], "APIUserAbortError");
}

#[test]
fn the_vercel_ai_sdk() {
    let Some(command) = node("ai_client.mjs") else { skip!("no Node with its packages: make node") };
    let matrix = matrix();
    let results = run(&matrix, command);
    judge(&matrix, &results, &["AI_APICallError"; 9]);
    judge_cases(&results);
    let direct = &results["direct"];
    for (status, again) in [(400, false), (401, false), (429, true), (500, true)] {
        assert_eq!(direct[&format!("error/{status}")]["retryable"], again, "{status}");
    }
    assert_eq!(direct["tools"]["steps"].as_array().map(Vec::len), Some(2));
    assert_eq!(direct["abort"]["kind"], "aborted");
}

#[test]
fn openai_for_go() {
    let program = root().join("target/go/openai-client");
    if !Path::new(&program).exists() {
        skip!("no target/go/openai-client: make go");
    }
    let matrix = matrix();
    let results = run(&matrix, plain(program));
    judge(&matrix, &results, &["Error"; 9]);
    judge_cases(&results);
    judge_names(&results);
    let direct = &results["direct"];
    assert_eq!((&direct["tools"]["turns"], &direct["tools/stream"]["turns"]), (&json!(2), &json!(2)));
    assert_eq!(direct["abort/whole"]["class"], "context");
}

/// The recorded cases are compared in `python_client`, on more roads and in more ways.
#[test]
fn openai_for_python() {
    let Some(python) = python_client::python() else { skip!("no .venv: make venv") };
    let mut matrix = matrix();
    matrix.plan["cases"] = json!([]);
    let command = python_client::command(&python, &root().join("tests/python/openai_client.py"));
    let results = run(&matrix, command);
    judge(&matrix, &results, &CLASSES);
    judge_names(&results);
    let direct = &results["direct"];
    assert_eq!((&direct["tools"]["turns"], &direct["tools/stream"]["turns"]), (&json!(2), &json!(2)));
    assert_eq!(direct["abort"]["kind"], "aborted");
}
