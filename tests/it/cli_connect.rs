//! `sluice connect`: what it prints works in the client as printed, and it prints nothing that would not.

use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::mock::{Mock, Script};
use sluice_tests::skip;

use crate::blocks::shell;
use crate::cli_support::{err, out, said, sluice};
use crate::python_client::{command, python};
use crate::support::{gateway, reply};

fn lines(gateway: &Gateway, args: &[&str]) -> String {
    let url = gateway.url("");
    let mut all = vec!["connect", args[0], "--url", &url];
    all.extend(&args[1..]);
    said(gateway.folder(), &all)
}

/// Runs a Python program in the gateway's folder; gives what it printed.
fn run(gateway: &Gateway, python: &std::path::Path, program: &str, env: &[(&str, &str)]) -> String {
    let file = gateway.folder().join("program.py");
    std::fs::write(&file, program).unwrap();
    let output = command(python, &file).envs(env.iter().copied()).output().unwrap();
    assert!(output.status.success(), "{program}\n{}", err(&output));
    out(&output)
}

#[test]
fn the_variables_lead_openais_client_here() {
    let gateway = Setup::default().start();
    let text = lines(&gateway, &["openai"]);
    let show = format!("{text}\nprintf '%s\\n%s\\n' \"$OPENAI_BASE_URL\" \"$OPENAI_API_KEY\"");
    let variables = shell(&show, gateway.folder(), &[]);
    let [url, key] = variables.lines().collect::<Vec<_>>()[..] else { panic!("{variables}") };
    assert_eq!(url, gateway.url("/openai/v1"));
    let Some(python) = python() else { skip!("no .venv: make venv") };
    let program = "from openai import OpenAI\nprint(OpenAI().chat.completions.create(model='gpt-4o-mini', \
                   messages=[{'role': 'user', 'content': 'Hello, Sluice'}]).choices[0].message.content)\n";
    let said = run(&gateway, &python, program, &[("OPENAI_BASE_URL", url), ("OPENAI_API_KEY", key)]);
    assert!(said.contains("Hello, Sluice"), "{said}");
}

#[test]
fn the_langchain_lines_are_a_program() {
    let Some(python) = python() else { skip!("no .venv: make venv") };
    let mock = Mock::start();
    mock.script("p", Script::json(200, reply("from the provider")));
    let gateway = gateway(&mock, &["p"]);
    let ask = "print(model.invoke('hello').content)\n";
    let program = lines(&gateway, &["langchain", "--model", "p/m"]);
    assert!(run(&gateway, &python, &format!("{program}{ask}"), &[]).contains("from the provider"), "{program}");
    // A key by its variable is never printed, and is read by the client.
    let program = lines(&gateway, &["langchain", "--model", "p/m", "--key", "env:MY_KEY"]);
    assert!(program.contains("MY_KEY"));
    let said = run(&gateway, &python, &format!("{program}{ask}"), &[("MY_KEY", "sk-client-key")]);
    assert!(said.contains("from the provider"), "{said}");
    assert_eq!(mock.journal().count("p"), 2);
}

#[test]
fn the_address_and_the_placeholder_come_from_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let openai = |config: &str, env: &[(&str, &str)], args: &[&str]| {
        std::fs::write(folder.path().join("sluice.yaml"), config).unwrap();
        let mut all = vec!["connect", "openai"];
        all.extend(args);
        let output = sluice(folder.path(), env, &all);
        assert!(output.status.success(), "{}", err(&output));
        out(&output)
    };
    let text = openai("server: { listen: 0.0.0.0:9011 }\nproviders: { openai: { keys: [] } }\n", &[], &[]);
    assert!(text.contains("OPENAI_BASE_URL=http://localhost:9011/openai/v1\n"), "{text}");
    assert!(text.contains("OPENAI_API_KEY=YOUR-SLUICE-KEY\n"), "{text}");
    // Without that provider its prefix leads nowhere.
    let own = "providers: { llama: { dialect: openai-chat, base_url: \"http://h/v1\" } }\n";
    let text = openai(own, &[], &[]);
    assert!(text.contains("OPENAI_BASE_URL=http://localhost:8080/v1\n"), "{text}");
    assert!(text.contains("OPENAI_API_KEY=dummy-key\n"), "{text}");
    // Secrets that the configuration knows stay there; a key that the user gives is printed, for a shell to read as it is.
    let keyed = "server: { admin_token: env:TOKEN }\nkeys: [{ name: a, value: env:KEY }]\nproviders: { openai: { keys: [env:KEY2] } }\n";
    let secrets = [("TOKEN", "secret-token-1"), ("KEY", "secret-key-2"), ("KEY2", "secret-key-3")];
    let text = openai(keyed, &secrets, &[]);
    assert!(!text.contains("secret-"), "{text}");
    let text = openai(keyed, &secrets, &["--key", "it's-$HOME", "--url", "https://llm.corp/v1/"]);
    assert!(text.contains("OPENAI_BASE_URL=https://llm.corp/openai/v1\n"), "{text}");
    let key = shell(&format!("{text}\nprintf %s \"$OPENAI_API_KEY\""), folder.path(), &[]);
    assert_eq!(key, "it's-$HOME");
}

#[test]
fn agents_get_the_lines_that_they_read() {
    let gateway = Setup::default().start();
    let codex = lines(&gateway, &["codex", "--model", "anthropic/gpt-5.5", "--key", "env:MY_KEY"]);
    let expected = [
        "model = \"anthropic/gpt-5.5\"".to_owned(),
        "wire_api = \"responses\"".to_owned(),
        format!("base_url = \"{}\"", gateway.url("/openai/v1")),
        "env_key = \"MY_KEY\"".to_owned(),
    ];
    assert!(expected.iter().all(|line| codex.lines().any(|printed| printed == line)), "{codex}");
    let own = said(gateway.folder(), &["connect", "codex", "--url", "http://h:1/anthropic/", "--key", "it's"]);
    assert!(
        own.contains("\"http://h:1/openai/v1\"") && own.contains("token = \"it's\"") && !own.contains("model ="),
        "{own}"
    );
    for (client, variables) in [
        ("claude-code", ["ANTHROPIC_BASE_URL", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_MODEL"]),
        ("gemini-cli", ["GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY", "GEMINI_MODEL"]),
    ] {
        let text = lines(&gateway, &[client, "--model", "openai/gpt-x", "--key", "it's"]);
        let names = variables.map(|name| format!("\"${name}\"")).join(" ");
        let said = shell(&format!("{text}\nprintf '%s\\n' {names}"), gateway.folder(), &[]);
        let [url, key, model] = said.lines().collect::<Vec<_>>()[..] else { panic!("{said}") };
        let path = if client == "claude-code" { "/anthropic" } else { "/genai" };
        assert_eq!((url, key, model), (gateway.url(path).as_str(), "it's", "openai/gpt-x"));
        assert!(!lines(&gateway, &[client]).contains("MODEL="), "without --model the client keeps its own");
    }
}

#[test]
fn what_cannot_be_used_is_said_and_not_printed() {
    let folder = tempfile::tempdir().unwrap();
    for wrong in [
        &["connect", "openai", "--url", "localhost:8080"][..],
        &["connect", "openai", "--url", "http://user:pw@h"],
        &["connect", "openai", "--url", "http://h/$(id)'"],
        &["connect", "openai", "--key", "env:"],
        &["connect", "openai", "--key", "two words"],
        &["connect", "openai", "--config", "nowhere.yaml"],
        &["connect", "netscape"],
    ] {
        let output = sluice(folder.path(), &[], wrong);
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", out(&output));
        assert!(out(&output).is_empty() && !err(&output).is_empty(), "{wrong:?}");
    }
}
