//! The four programs with which people start run as written against a gateway without any key. Only the port differs.

use std::path::PathBuf;
use std::process::Command;

use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::http::{Connection, request};
use sluice_tests::process::Process;
use sluice_tests::{skip, sse};

use crate::python_client::{command, python, root};

/// The example with this gateway's address in place of the documented one.
fn example(gateway: &Gateway, name: &str) -> PathBuf {
    let text = std::fs::read_to_string(root().join("examples").join(name)).expect("the example");
    assert!(text.contains("http://localhost:8080/"), "{name} does not show the documented address");
    let text = text.replace("localhost:8080", &gateway.address.to_string()).replace("port=8000", "port=0");
    let file = gateway.folder().join(name);
    std::fs::write(&file, text).expect("a copy of the example");
    file
}

/// Standard output of a program that must succeed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
    text
}

#[test]
fn curl() {
    if Command::new("curl").arg("--version").output().is_err() {
        skip!("no curl");
    }
    let gateway = Setup::default().start();
    let text = run(Command::new("sh").arg(example(&gateway, "curl.sh")));
    let (whole, stream) = text.split_once('\n').expect("two replies");
    let whole: serde_json::Value = serde_json::from_str(whole).expect("a whole reply");
    assert!(whole["choices"][0]["message"]["content"].as_str().unwrap().contains("Say hello."));
    assert_eq!(sse::data(stream.as_bytes()).last().unwrap(), b"[DONE]");
}

#[test]
fn openai_python() {
    let Some(python) = python() else { skip!("no .venv: make venv") };
    let gateway = Setup::default().start();
    let text = run(&mut command(&python, &example(&gateway, "openai_python.py")));
    assert_eq!(text.matches("Say hello.").count(), 2, "{text}");
}

#[test]
fn langgraph_node() {
    let Some(python) = python() else { skip!("no .venv: make venv") };
    let gateway = Setup::default().start();
    let text = run(&mut command(&python, &example(&gateway, "langgraph_node.py")));
    let speakers = |who: &str| text.lines().filter(|line| line.starts_with(who)).count();
    assert_eq!((speakers("human: "), speakers("ai: ")), (2, 2), "{text}");
    // Each question once as asked and once in its answer: the second answer is to the second turn.
    for question in ["My name is Ada.", "What is my name?"] {
        assert_eq!(text.matches(question).count(), 2, "{text}");
    }
}

#[test]
fn fastapi_service() {
    let Some(python) = python() else { skip!("no .venv: make venv") };
    let gateway = Setup::default().start();
    let mut service = Process::spawn(&mut command(&python, &example(&gateway, "fastapi_service.py")));
    let line = service.wait_line("running on http://");
    let address = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next()).expect("an address");
    let get = |path: &str| {
        let mut connection = Connection::open(address.parse().expect("an address"));
        connection.send(&request("GET", path, address, &[], b""));
        connection.reply()
    };
    let reply = get("/ask?question=ping-4711");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(reply.json()["answer"].as_str().unwrap().contains("ping-4711"));
    let reply = get("/stream?question=ping-4712");
    assert_eq!(reply.status, 200);
    assert!(reply.text().contains("ping-4712"), "{}", reply.text());
}
