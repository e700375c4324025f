//! `sdk/README.md` followed step by step, block by block, in the order of the text: from an empty folder to a guard that a running
//! gateway has picked up.

use std::time::Instant;

use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::http::Reply;
use sluice_tests::mock::{Mock, Script};
use sluice_tests::sse;

use crate::blocks::{Block, Project, blocks, pasted, place, shell};
use crate::python_client::root;
use crate::support::{CHAT, DONE, PROVIDER_KEY, body, finish_event, refused, reply, row, text_event};

const ANYONE: &str = "sk-anyone-0123456789";
const BIRDS: &str = "sk-birds-0123456789";

fn start(mock: &Mock) -> Gateway {
    mock.script("whole", Script::json(200, reply("bluebird ships in May")));
    let events = ["Blue", "bird ships ", "in May"].map(text_event);
    let script = events.into_iter().fold(Script::sse_head(), |script, event| script.chunk(event));
    mock.script("streamed", script.chunk(finish_event()).chunk(DONE).end_chunks());
    let rows = [row(mock, "whole", ""), row(mock, "streamed", "")].concat();
    let keys = "keys:\n  - { name: anyone, value: env:ANYONE }\n  - { name: birds, value: env:BIRDS, team: birds }\n";
    Setup::config(format!("server: {{ clients: keys }}\nproviders:\n{rows}{keys}"))
        .env("MOCK_KEY", PROVIDER_KEY)
        .env("ANYONE", ANYONE)
        .env("BIRDS", BIRDS)
        .start()
}

fn ask(gateway: &Gateway, key: &str, provider: &str, text: &str) -> Reply {
    let bearer = format!("Bearer {key}");
    let headers = [("content-type", "application/json"), ("authorization", bearer.as_str())];
    let body = body(&format!("{provider}/m"), provider == "streamed").replace("hello", text);
    gateway.call("POST", CHAT, &headers, body.as_bytes())
}

fn said(reply: &Reply) -> String {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let events = sse::data(&reply.body);
    assert_eq!(events.last().unwrap(), b"[DONE]", "{}", reply.text());
    let events = events.iter().filter_map(|data| serde_json::from_slice::<serde_json::Value>(data).ok());
    events.filter_map(|event| event["choices"][0]["delta"]["content"].as_str().map(str::to_owned)).collect()
}

/// Runs the tutorial's blocks but for the last, which needs the gateway. Gives that one.
fn follow(steps: &[Block], folder: &std::path::Path) -> (Project, Block) {
    let (last, steps) = steps.split_last().expect("steps");
    let mut project: Option<Project> = None;
    let mut tested = false;
    for step in steps {
        match (step.kind.as_str(), &project) {
            ("rust", Some(project)) => pasted(&project.folder, step),
            ("sh", Some(project)) => {
                let output = project.run(&step.text);
                tested |= output.contains("test result: ok. 4 passed");
                if step.text.contains("plugin check") {
                    assert!(output.contains("loads:     yes"), "{output}");
                    assert!(output.contains("on-request") && output.contains("on-delta"), "{output}");
                    assert!(!output.contains("on-response"), "{output}");
                }
            }
            // The target is there, or the workspace's own plugins could not have been built.
            ("sh", None) if step.text.starts_with("rustup target add") => {
                let installed = shell("rustc --print target-libdir --target wasm32-wasip2", folder, &[]);
                assert!(std::path::Path::new(installed.trim()).is_dir(), "no wasm32-wasip2 target: {installed}");
            }
            ("sh", None) => {
                let output = shell(&format!("{}\npwd -P", step.text), folder, &[]);
                project = Some(Project::at(std::path::Path::new(output.lines().last().expect("a folder"))));
            }
            (kind, _) => panic!("line {}: a {kind} block before there is a project", step.line),
        }
    }
    assert!(tested, "the four tests of the tutorial did not run");
    (project.expect("a project"), last.clone())
}

#[test]
fn step_by_step_to_a_live_guard() {
    let steps = blocks(&root().join("sdk/README.md"));
    let sources: Vec<&str> = steps.iter().filter(|step| step.kind == "rust").filter_map(place).collect();
    assert_eq!(sources, ["src/lib.rs", "src/tests.rs"]);
    let folder = tempfile::tempdir().unwrap();
    let (project, drop_in) = follow(&steps, folder.path());

    let mock = Mock::start();
    let gateway = start(&mock);
    assert_eq!(ask(&gateway, ANYONE, "whole", "When does Bluebird ship?").status, 200);
    // The project's plugins folder is the one that this gateway watches.
    std::os::unix::fs::symlink(gateway.plugins(), project.folder.join("plugins")).unwrap();
    project.run(&drop_in.text);
    let dropped = Instant::now();
    sluice_tests::wait_for("the guard to refuse", || {
        (ask(&gateway, ANYONE, "whole", "When does Bluebird ship?").status == 403).then_some(())
    });
    let live = dropped.elapsed();
    // A second is promised on a machine that is not busy with other tests; the benchmark measures it.
    assert!(live.as_secs() < 10, "{live:?}");

    let error = refused(&ask(&gateway, ANYONE, "streamed", "When does BLUEBIRD ship?"), 403);
    assert_eq!(error["code"], "content_filter");
    assert!(!error["message"].as_str().unwrap().to_lowercase().contains("bluebird"), "{error}");
    let trusted = ask(&gateway, BIRDS, "whole", "When does Bluebird ship?");
    assert_eq!(trusted.json()["choices"][0]["message"]["content"], "*** ships in May");
    assert_eq!(said(&ask(&gateway, BIRDS, "streamed", "When does Bluebird ship?")), "*** ships in May");
    let other = ask(&gateway, ANYONE, "streamed", "When does it ship?");
    assert_eq!(said(&other), "*** ships in May");
    assert!(!other.text().to_lowercase().contains("blue"), "{}", other.text());

    // "A wrong field is refused by name, and the plugin that served before goes on serving."
    let settings = project.folder.join("plugins/no-codenames.yaml");
    let right = std::fs::read_to_string(&settings).unwrap();
    std::fs::write(&settings, right.replace("[bluebird]", "[bluebird, 7]")).unwrap();
    let state = gateway.wait_plugin("no-codenames", |state| state["state"] != "active");
    assert_eq!(state["state"], "stale", "{state}");
    assert!(state["error"].as_str().unwrap().contains("settings.words[1]: invalid type"), "{state}");
    assert_eq!(ask(&gateway, ANYONE, "whole", "When does Bluebird ship?").status, 403);
    std::fs::write(&settings, right.replace("[bluebird]", "[redbird]")).unwrap();
    gateway.wait_plugin("no-codenames", |state| state["state"] == "active");
    assert_eq!(ask(&gateway, ANYONE, "whole", "When does Bluebird ship?").status, 200);
    assert_eq!(ask(&gateway, ANYONE, "whole", "When does Redbird ship?").status, 403);
}
