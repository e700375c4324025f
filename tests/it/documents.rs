//! What the documents show is run as a user would run it, or checked where running it would take over the machine (`make run`). A block
//! that no rule here knows fails the test, so nobody adds one that is never tried.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::process::Process;
use sluice_tests::{skip, sse};

use crate::blocks::{Block, Project, blocks, markdown_files, pasted, shell, sluice_folder};
use crate::python_client::{command, python, root};
use crate::support::{CHAT, body, refused};

fn read(path: &str) -> Vec<Block> {
    let found = blocks(&root().join(path));
    assert!(!found.is_empty(), "{path} shows nothing");
    found
}

/// The one block with that language and these words.
#[track_caller]
fn the(blocks: &[Block], kind: &str, word: &str) -> Block {
    let mut found = blocks.iter().filter(|block| block.kind == kind && block.text.contains(word));
    let one = found.next().unwrap_or_else(|| panic!("no {kind} block with {word:?}"));
    assert!(found.next().is_none(), "two {kind} blocks with {word:?}");
    one.clone()
}

/// For each block the words by which a test below finds it.
const RUN: [(&str, &str, &str); 20] = [
    ("README.md", "sh", "make run"),
    ("README.md", "sh", "\n  -d '{\"model\": \"openai/gpt-4o-mini\", \"messages\""),
    ("README.md", "sh", "curl -sN"),
    ("README.md", "python", "OpenAI(base_url="),
    ("README.md", "sh", "sluice tail"),
    ("README.md", "sh", "sluice connect"),
    ("README.md", "yaml", "providers:"),
    ("README.md", "sh", "sluice schema"),
    ("README.md", "sh", "sluice check --diff"),
    ("README.md", "sh", "plugin new no-secrets"),
    ("README.md", "rust", "sluice::plugin!"),
    ("README.md", "sh", "cp target/plugins/deny-words.wasm"),
    ("plugins/deny-words/README.md", "yaml", "# plugins/deny-words.yaml"),
    ("plugins/rate-limit-by-header/README.md", "yaml", "# plugins/rate-limit-by-header.yaml"),
    ("plugins/response-cache/README.md", "yaml", "# plugins/response-cache.yaml"),
    ("plugins/route-by-complexity/README.md", "yaml", "# plugins/route-by-complexity.yaml"),
    ("plugins/route-cheapest-capable/README.md", "yaml", "# plugins/route-cheapest-capable.yaml"),
    ("plugins/route-rules/README.md", "yaml", "# plugins/route-rules.yaml"),
    ("plugins/usage-log/README.md", "yaml", "# plugins/usage-log.yaml"),
    ("plugins/usage-log/README.md", "yaml", "# plugins/search-log.yaml"),
];

#[test]
fn every_block_is_run_by_a_test_here() {
    let mut files = vec![PathBuf::from("README.md")];
    for entry in std::fs::read_dir(root().join("plugins")).unwrap().flatten() {
        if entry.path().join("README.md").is_file() {
            files.push(Path::new("plugins").join(entry.file_name()).join("README.md"));
        }
    }
    assert!(files.len() > 1, "no shipped plugin has a README");
    for file in files {
        for block in blocks(&root().join(&file)) {
            let name = file.to_string_lossy();
            let known = RUN.iter().filter(|(f, k, word)| *f == name && *k == block.kind && block.text.contains(word));
            assert_eq!(known.count(), 1, "{name}:{}: not run by exactly one rule:\n{}", block.line, block.text);
        }
    }
}

#[test]
fn make_run_builds_and_serves() {
    let block = the(&read("README.md"), "sh", "make run");
    // Only what it would do: it serves on the documented port until it is stopped.
    let output = shell(&block.text.replace("make run", "make --dry-run run"), &root(), &[]);
    assert_eq!(output.trim_end().lines().last(), Some("target/release/sluice"), "{output}");
    assert!(output.contains("cargo build --release"), "{output}");
    assert!(output.contains("cp target/wasm32-wasip2") && output.contains("deny-words"), "{output}");
}

/// The documented port by this gateway's.
fn at(gateway: &Gateway, text: &str) -> String {
    assert!(text.contains("http://localhost:8080/"), "not the documented address: {text}");
    text.replace("localhost:8080", &gateway.address.to_string())
}

#[test]
fn curl_whole_and_streamed() {
    if std::process::Command::new("curl").arg("--version").output().is_err() {
        skip!("no curl");
    }
    let gateway = Setup::default().start();
    let readme = read("README.md");
    let whole = the(&readme, "sh", RUN[1].2);
    let reply: Value = serde_json::from_str(&shell(&at(&gateway, &whole.text), gateway.folder(), &[])).unwrap();
    assert!(reply["choices"][0]["message"]["content"].as_str().unwrap().contains("Hello, Sluice"), "{reply}");
    let streamed = the(&readme, "sh", "curl -sN");
    let text = shell(&at(&gateway, &streamed.text), gateway.folder(), &[]);
    let mut events = sse::data(text.as_bytes());
    assert_eq!(events.pop().unwrap(), b"[DONE]");
    let events: Vec<Value> = events.iter().map(|data| serde_json::from_slice(data).unwrap()).collect();
    let text: String = events.iter().filter_map(|event| event["choices"][0]["delta"]["content"].as_str()).collect();
    assert!(text.contains("Hello, Sluice"), "{text}");
}

#[test]
fn the_python_program() {
    let Some(python) = python() else { skip!("no .venv: make venv") };
    let gateway = Setup::default().start();
    let file = gateway.folder().join("readme.py");
    std::fs::write(&file, at(&gateway, &the(&read("README.md"), "python", "OpenAI(").text)).unwrap();
    let output = command(&python, &file).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(text.contains("Hello, Sluice"), "{text}");
}

#[test]
fn the_terminal_shows_what_the_page_shows() {
    let gateway = Setup::default().start();
    gateway.post(CHAT, body("openai/shown", false));
    let block = the(&read("README.md"), "sh", "sluice tail");
    let text = shell(&block.text, gateway.folder(), &[("SLUICE_URL", &gateway.url(""))]);
    assert!(text.contains("Sluice") && text.contains("echo") && text.contains("openai/shown"), "{text}");
}

/// `sluice check` on a text, with these variables set.
#[track_caller]
fn accepted(text: &str, env: &[(&str, &str)]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sluice.yaml"), text).unwrap();
    let said = shell("sluice check", folder.path(), env);
    assert_eq!(said.trim_end().lines().last(), Some("ok"), "{said}");
}

#[test]
fn the_providers_file_and_the_sample_pass_the_check() {
    let block = the(&read("README.md"), "yaml", "providers:");
    accepted(&block.text, &[("OPENAI_API_KEY", "sk-test")]);
    let sample = std::fs::read_to_string(root().join("docs/sluice.sample.yaml")).unwrap();
    let names = ["OPENAI_API_KEY", "OPENAI_SPARE_KEY", "NOTEBOOK_KEY", "SLUICE_ADMIN_TOKEN"];
    accepted(&sample, &names.map(|name| (name, "a-test-value-of-some-length")));
}

#[test]
fn the_provider_of_that_file_is_served() {
    let block = the(&read("README.md"), "yaml", "providers:");
    let mock = sluice_tests::mock::Mock::start();
    mock.script("llama", sluice_tests::mock::Script::json(200, crate::support::reply("from the llama")));
    assert!(block.text.contains("base_url: http://10.0.0.5:8000/v1"), "{}", block.text);
    let config = block.text.replace("http://10.0.0.5:8000/v1", &mock.base("llama"));
    let gateway = Setup::config(config).env("OPENAI_API_KEY", "sk-test").start();
    for model in ["llama/llama-3.3-70b", "llama-3.3-70b"] {
        let reply = gateway.post(CHAT, body(model, false));
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(reply.text().contains("from the llama"));
    }
    let near = refused(&gateway.post(CHAT, body("fats", false)), 404);
    assert!(near["message"].as_str().unwrap().contains("fast"), "{near}");
}

#[test]
fn the_lines_for_clients_set_the_documented_address() {
    let folder = tempfile::tempdir().unwrap();
    let block = the(&read("README.md"), "sh", "sluice connect");
    let said = shell(&format!("{}printf %s \"$OPENAI_BASE_URL $OPENAI_API_KEY\"", block.text), folder.path(), &[]);
    assert_eq!(said, "http://localhost:8080/openai/v1 dummy-key");
}

#[test]
fn the_schema_lies_where_the_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let readme = read("README.md");
    shell(&the(&readme, "sh", "sluice schema").text, folder.path(), &[]);
    let yaml = the(&readme, "yaml", "providers:").text;
    let named = yaml.lines().next().and_then(|line| line.strip_prefix("# yaml-language-server: $schema=")).unwrap();
    let schema: Value = serde_json::from_slice(&std::fs::read(folder.path().join(named)).unwrap()).unwrap();
    assert!(schema["properties"]["providers"].is_object());
}

#[test]
fn an_edit_can_be_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let yaml = the(&read("README.md"), "yaml", "providers:").text;
    std::fs::write(folder.path().join("sluice.yaml"), yaml).unwrap();
    let home = folder.path().to_str().unwrap();
    let env = [("HOME", home), ("XDG_STATE_HOME", ""), ("OPENAI_API_KEY", "sk-test")];
    let owned: Vec<(String, String)> = env.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let mut serve = sluice_tests::gateway::command(folder.path(), &owned);
    let mut process = Process::spawn(serve.args(["serve", "--listen", "127.0.0.1:0"]));
    process.wait_line("listening on http://");
    sluice_tests::wait_for("the configuration to be kept", || {
        let output = crate::cli_support::sluice(folder.path(), &env, &["check", "--diff"]);
        output.status.success().then_some(())
    });
    let said = shell(&the(&read("README.md"), "sh", "sluice check --diff").text, folder.path(), &env);
    assert!(said.contains("nothing would change") && said.contains("idle = 30s"), "{said}");
}

fn deny_words() -> Option<PathBuf> {
    Some(root().join("target/plugins/deny-words.wasm")).filter(|path| path.is_file())
}

#[test]
fn the_shipped_plugin_is_live_after_those_two_lines() {
    let Some(built) = deny_words() else { skip!("no target/plugins/deny-words.wasm: make plugins") };
    let gateway = Setup::default().start();
    let target = gateway.folder().join("target/plugins");
    std::fs::create_dir_all(&target).unwrap();
    std::fs::copy(built, target.join("deny-words.wasm")).unwrap();
    let asking = json!({"model": "openai/m", "messages": [{"role": "user", "content": "what is the Codename?"}]});
    assert_eq!(gateway.post(CHAT, asking.to_string()).status, 200);
    // The working directory of `make run`, where `plugins` is the watched directory.
    shell(&the(&read("README.md"), "sh", "cp target/plugins").text, gateway.folder(), &[]);
    gateway.wait_plugin("deny-words", |state| state["state"] == "active");
    let error = refused(&gateway.post(CHAT, asking.to_string()), 400);
    assert_eq!(error["code"], "content_filter");
    assert_eq!(gateway.post(CHAT, body("openai/m", false)).status, 200);
}

#[test]
fn the_settings_of_deny_words_do_what_they_show() {
    let block = the(&read("plugins/deny-words/README.md"), "yaml", "# plugins/deny-words.yaml");
    let folder = tempfile::tempdir().unwrap();
    pasted(folder.path(), &block);
    std::fs::write(folder.path().join("sluice.yaml"), "{}\n").unwrap();
    assert!(shell("sluice check --plugins plugins", folder.path(), &[]).contains("ok"));
    let Some(built) = deny_words() else { skip!("no target/plugins/deny-words.wasm: make plugins") };
    let setup = Setup::default().plugin("deny-words.yaml", block.text.as_bytes());
    let gateway = setup.plugin("deny-words.wasm", std::fs::read(built).unwrap()).start();
    gateway.wait_plugin("deny-words", |state| state["state"] == "active");
    let ask = |text: &str| {
        let body = json!({"model": "openai/m", "messages": [{"role": "user", "content": text}]});
        gateway.post(CHAT, body.to_string())
    };
    for text in ["CODENAME", "the Project Bluebird ships", "이것은 비밀", "pay with 1234-5678-9012-3456 please"] {
        assert_eq!(refused(&ask(text), 400)["code"], "content_filter", "{text}");
    }
    for text in ["a code name", "Bluebird", "공개", "1234-5678-9012-345"] {
        assert_eq!(ask(text).status, 200, "{text}");
    }
}

#[test]
fn the_files_that_shipped_plugins_show_make_them_live() {
    let built = root().join("target/plugins");
    let mut setup = Setup::default();
    let mut names = Vec::new();
    for (file, kind, word) in RUN.iter().filter(|(file, _, _)| file.starts_with("plugins/")) {
        let block = the(&read(file), kind, word);
        let name = word.strip_prefix("# plugins/").and_then(|name| name.strip_suffix(".yaml")).expect("a file's name");
        let component = block.text.lines().find_map(|line| line.strip_prefix("component: "));
        let wasm = component.map_or_else(|| format!("{name}.wasm"), str::to_owned);
        let Ok(bytes) = std::fs::read(built.join(&wasm)) else { skip!("no target/plugins/{wasm}: make plugins") };
        setup = setup.plugin(&wasm, bytes).plugin(&format!("{name}.yaml"), block.text.as_bytes());
        names.push(name);
    }
    let gateway = setup.start();
    for name in names {
        gateway.wait_plugin(name, |state| state["state"] == "active");
    }
}

#[test]
fn the_plugin_in_twenty_lines() {
    let readme = read("README.md");
    let new = the(&readme, "sh", "plugin new no-secrets");
    let source = the(&readme, "rust", "sluice::plugin!");
    let lines = source.text.lines().filter(|line| !line.trim().is_empty()).count();
    assert!(lines <= 26, "{lines} lines are not about twenty");
    let folder = sluice_folder();
    shell(&new.text, folder.path(), &[]);
    let project = Project::at(&folder.path().join("no-secrets"));
    // As made: what the project's own README says works before anything is changed.
    let own = blocks(&project.folder.join("README.md"));
    let built = project.folder.join("target/wasm32-wasip2/release/no_secrets.wasm");
    project.run(&the(&own, "sh", "cargo test").text);
    let template = std::fs::read(&built).unwrap();
    std::fs::write(project.folder.join("src/lib.rs"), &source.text).unwrap();
    project.run("cargo build --release --target wasm32-wasip2");
    let wasm = std::fs::read(&built).unwrap();
    assert_ne!(template, wasm, "the README's source was not built");
    let settings = the(&own, "yaml", "settings:").text;
    for wasm in [template, wasm] {
        let setup = Setup::default().plugin("no-secrets.yaml", settings.as_bytes()).plugin("no-secrets.wasm", wasm);
        let gateway = setup.start();
        gateway.wait_plugin("no-secrets", |state| state["state"] == "active");
        let asking = body("openai/m", false).replace("hello", "tell me the CodeName");
        assert_eq!(refused(&gateway.post(CHAT, asking), 400)["code"], "content_filter");
        assert_eq!(gateway.post(CHAT, body("openai/m", false)).status, 200);
    }
}

#[test]
fn links_lead_to_files() {
    let mut seen = 0;
    let mut dead = Vec::new();
    for file in markdown_files(&root()) {
        let text = std::fs::read_to_string(&file).unwrap();
        for link in links(&text) {
            let path = link.split('#').next().unwrap_or_default();
            if path.is_empty() || link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            seen += 1;
            if !file.parent().unwrap().join(path).exists() {
                dead.push(format!("{}: {link}", file.display()));
            }
        }
    }
    assert!(seen > 15, "only {seen} links were found");
    assert!(dead.is_empty(), "dead links:\n{}", dead.join("\n"));
}

/// Targets of `[text](target)`, outside of fenced blocks.
fn links(text: &str) -> Vec<String> {
    let mut out = Vec::new();
    let mut fenced = false;
    for line in text.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if !fenced {
            let ends = line.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
            out.extend(ends.map(|(target, _)| target.to_owned()));
        }
    }
    out
}

#[test]
fn the_code_map_names_what_is_there() {
    let text = std::fs::read_to_string(root().join("host/ARCHITECTURE.md")).unwrap();
    let rows = text.lines().skip_while(|line| *line != "## Code map").filter(|line| line.starts_with("| `"));
    let mut seen = 0;
    for row in rows {
        let cell = row.split('|').nth(1).unwrap();
        let mut folder = PathBuf::new();
        for name in cell.split('`').skip(1).step_by(2) {
            // Later names of a row stand beside the first.
            if name.contains('/') {
                folder = Path::new(name).parent().unwrap().to_owned();
            }
            let path = root().join("host").join(&folder).join(Path::new(name).file_name().unwrap());
            assert!(path.exists(), "{name} of the row {row:?} is not at {}", path.display());
            seen += 1;
        }
    }
    assert!(seen > 15, "only {seen} names were found");
}
