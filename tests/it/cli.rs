//! The command line: what it says, on which stream, and with which exit code; and the first key of a gateway that others can reach.

use std::path::Path;

use sluice_tests::gateway::{Setup, command};
use sluice_tests::http::{Connection, Reply, request};
use sluice_tests::mock::{Mock, Script};
use sluice_tests::process::Process;
use tempfile::TempDir;

use crate::cli_support::{err, out, sluice};
use crate::support::{CHAT, body, four_keys, refused, stream_until, text_event};

fn folder(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sluice.yaml"), config).unwrap();
    folder
}

const WRONG: &str = "server:\n  listn: [127.0.0.1:8080]\nproviders:\n  openai: { keys: [env:NO_SUCH_KEY_HERE] }\n  llama:\n    dialect: openai-chat\n    base_url: not a url\n";

#[test]
fn check_names_every_mistake_with_its_place() {
    let folder = folder(WRONG);
    // As `./sluice.yaml`, and by name; `serve` says the same.
    for args in [&["check"][..], &["check", "--config", "sluice.yaml"], &["serve", "--listen", "127.0.0.1:0"]] {
        let output = sluice(folder.path(), &[], args);
        let text = err(&output);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {text}");
        assert_eq!(out(&output), "", "{args:?}");
        for (place, word) in
            [("sluice.yaml:2:3", "listen"), ("sluice.yaml:4:", "NO_SUCH_KEY_HERE"), ("sluice.yaml:7:15", "address")]
        {
            let found = text.lines().any(|line| line.contains(place) && line.contains(word));
            assert!(found, "{args:?}: no line with {place} and {word}:\n{text}");
        }
    }
}

#[test]
fn check_says_ok_and_needs_no_network() {
    let folder = folder("providers:\n  openai: { keys: [env:OPENAI_API_KEY] }\n");
    let output = sluice(folder.path(), &[("OPENAI_API_KEY", "sk-secret-4711")], &["check"]);
    assert!(output.status.success(), "{}", err(&output));
    assert_eq!(out(&output).trim(), "ok");
    assert!(!format!("{}{}", out(&output), err(&output)).contains("4711"), "a secret was printed");
}

#[test]
fn check_reads_the_settings_beside_plugins() {
    let folder = folder("{}\n");
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    let file = folder.path().join("plugins/guard.yaml");
    std::fs::write(&file, "settings: { words: [x] }\n").unwrap();
    assert!(sluice(folder.path(), &[], &["check"]).status.success());
    std::fs::write(&file, "settings: {}\n\non_eror: open\n").unwrap();
    let output = sluice(folder.path(), &[], &["check"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("guard.yaml:3:1") && err(&output).contains("on_error"), "{}", err(&output));
}

#[test]
fn a_config_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for args in [&["check", "--config", "other.yaml"][..], &["serve", "--config", "other.yaml"]] {
        let output = sluice(folder.path(), &[], args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(err(&output).contains("other.yaml"), "{}", err(&output));
    }
}

#[test]
fn help_and_version_are_on_standard_output() {
    let folder = tempfile::tempdir().unwrap();
    let help = sluice(folder.path(), &[], &["--help"]);
    assert!(help.status.success() && help.stderr.is_empty(), "{}", err(&help));
    for word in ["serve", "check", "plugin", "--config", "--port", "--plugins", "--listen"] {
        assert!(out(&help).contains(word), "{word} is not in:\n{}", out(&help));
    }
    for args in [&["check", "--help"][..], &["plugin", "--help"], &["plugin", "new", "--help"], &["serve", "--help"]] {
        assert!(sluice(folder.path(), &[], args).status.success(), "{args:?}");
    }
    let version = sluice(folder.path(), &[], &["--version"]);
    assert!(
        out(&version).starts_with("sluice ") && out(&version).contains(env!("CARGO_PKG_VERSION")),
        "{}",
        out(&version)
    );
    let wrong = sluice(folder.path(), &[], &["serv"]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(err(&wrong).contains("serve"), "no suggestion: {}", err(&wrong));
}

/// A component without anything in it, by the format's own first bytes.
const EMPTY_COMPONENT: [u8; 8] = [0, b'a', b's', b'm', 0x0d, 0, 1, 0];

#[test]
fn plugin_check_on_files_that_would_not_load() {
    let folder = tempfile::tempdir().unwrap();
    let files: [(&str, &[u8], &str); 3] = [
        ("garbage.wasm", b"this is no component", "component"),
        ("module.wasm", b"\0asm\x01\0\0\0", "component"),
        ("empty.wasm", &EMPTY_COMPONENT, "no hook"),
    ];
    for (name, bytes, word) in files {
        std::fs::write(folder.path().join(name), bytes).unwrap();
        let output = sluice(folder.path(), &[], &["plugin", "check", name]);
        assert_eq!(output.status.code(), Some(1), "{name}: {}", err(&output));
        assert!(err(&output).contains(word), "{name}: {}", err(&output));
        assert!(!out(&output).contains("loads:     yes"), "{name}: {}", out(&output));
    }
    let output = sluice(folder.path(), &[], &["plugin", "check", "nowhere.wasm"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("nowhere.wasm"), "{}", err(&output));
}

#[test]
fn plugin_check_on_a_plugin_that_loads() {
    let file = crate::python_client::root().join("target/plugins/deny-words.wasm");
    if !file.is_file() {
        sluice_tests::skip!("no target/plugins/deny-words.wasm: make plugins");
    }
    let folder = tempfile::tempdir().unwrap();
    let output = sluice(folder.path(), &[], &["plugin", "check", file.to_str().unwrap()]);
    assert!(output.status.success(), "{}", err(&output));
    let text = out(&output);
    let size = format!("{} bytes", std::fs::metadata(&file).unwrap().len());
    for word in ["on-request", "on-delta", "sluice:plugin@", "imports:", "grants:", "loads:     yes", &size] {
        assert!(text.contains(word), "{word} is not in:\n{text}");
    }
}

#[test]
fn plugin_check_shows_the_grants_that_a_plugin_wants() {
    let folder = tempfile::tempdir().unwrap();
    for (name, words) in [
        ("kv-probe", ["kv (waits for it)", "to keep what requests say", "grants: { kv: {} }"]),
        ("finisher", ["on-request, on-finish, on-complete", "kv (optional)", "finisher 0.1.0"]),
    ] {
        let file = crate::python_client::root().join(format!("target/guests/{name}.wasm"));
        if !file.is_file() {
            sluice_tests::skip!("no target/guests/{name}.wasm: make guests");
        }
        let output = sluice(folder.path(), &[], &["plugin", "check", file.to_str().unwrap()]);
        assert!(output.status.success(), "{}", err(&output));
        for word in words {
            assert!(out(&output).contains(word), "{word} is not in:\n{}", out(&output));
        }
    }
}

#[test]
fn plugin_new_writes_only_where_nothing_is() {
    let folder = tempfile::tempdir().unwrap();
    let made = sluice(folder.path(), &[], &["plugin", "new", "my-guard2"]);
    assert!(made.status.success(), "{}", err(&made));
    for file in ["Cargo.toml", "src/lib.rs", ".gitignore", "vendor/wit/plugin.wit", "vendor/sdk/rust/src/lib.rs"] {
        assert!(folder.path().join("my-guard2").join(file).is_file(), "{file}");
    }
    let source = folder.path().join("my-guard2/src/lib.rs");
    std::fs::write(&source, "// mine").unwrap();
    let again = sluice(folder.path(), &[], &["plugin", "new", "my-guard2"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(err(&again).contains("my-guard2"), "{}", err(&again));
    assert_eq!(std::fs::read_to_string(&source).unwrap(), "// mine");
    // Also where a file has the name.
    std::fs::write(folder.path().join("taken"), "x").unwrap();
    assert_eq!(sluice(folder.path(), &[], &["plugin", "new", "taken"]).status.code(), Some(2));
}

#[test]
fn plugin_new_refuses_names_that_lead_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let long = "x".repeat(65);
    for name in ["", "Guard", "9lives", "-x", "../up", "a/b", "a.b", "a b", "über", long.as_str()] {
        let output = sluice(folder.path(), &[], &["plugin", "new", "--", name]);
        assert_eq!(output.status.code(), Some(2), "{name:?}: {}", err(&output));
        assert!(!err(&output).is_empty(), "{name:?}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    assert!(!folder.path().parent().unwrap().join("up").exists());
}

/// A name becomes a crate's name, so it must be one that cargo takes.
#[test]
fn plugin_new_refuses_names_that_cargo_would() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["fn", "self", "crate", "async", "test", "core", "std", "sluice", "serde"] {
        let output = sluice(folder.path(), &[], &["plugin", "new", name]);
        assert_eq!(output.status.code(), Some(2), "{name}: {}", out(&output));
        assert!(!folder.path().join(name).exists(), "{name}");
    }
}

#[test]
fn a_port_in_use_names_the_argument() {
    let gateway = Setup::default().start();
    let folder = tempfile::tempdir().unwrap();
    let port = gateway.address.port().to_string();
    for args in [&["--port", &port][..], &["serve", "--listen", &gateway.host()]] {
        let output = sluice(folder.path(), &[], args);
        let text = err(&output);
        assert_eq!(output.status.code(), Some(1), "{args:?}: {text}");
        assert!(text.contains("--port") && text.contains(&port), "{args:?}: {text}");
    }
    assert_eq!(gateway.get("/livez").status, 200);
}

/// What follows `label` on a line of standard error.
fn printed(process: &mut Process, label: &str) -> String {
    process.wait_line(label).split(label).nth(1).unwrap().trim().to_owned()
}

/// A gateway that others could reach, with `home` for its state; gives the port.
fn reachable(home: &Path) -> (Process, u16) {
    let mut command = command(home, &[]);
    let mut process = Process::spawn(command.args(["serve", "--listen", "0.0.0.0:0"]));
    let line = process.wait_line("listening on http://");
    let port = line.rsplit(':').next().and_then(|port| port.trim().parse().ok());
    (process, port.unwrap_or_else(|| panic!("no port in {line}")))
}

fn ask(port: u16, method: &str, path: &str, key: Option<&str>) -> Reply {
    let mut connection = Connection::open(([127, 0, 0, 1], port).into());
    let bearer = key.map(|key| format!("Bearer {key}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(bearer.as_deref().map(|value| ("authorization", value)));
    let body = if method == "POST" { body("m", false) } else { String::new() };
    connection.send(&request(method, path, &format!("127.0.0.1:{port}"), &headers, body.as_bytes()));
    connection.reply()
}

#[test]
fn past_loopback_a_first_key_is_made_printed_once_and_needed() {
    let home = tempfile::tempdir().unwrap();
    let (mut first, port) = reachable(home.path());
    let (key, token) = (printed(&mut first, "client key:"), printed(&mut first, "admin token:"));
    assert!(key.len() >= 32 && token.len() >= 32 && key != token, "{key} {token}");
    for wrong in [None, Some("dummy-key"), Some(token.as_str())] {
        let reply = ask(port, "POST", CHAT, wrong);
        assert_eq!(refused(&reply, 401)["code"], "invalid_api_key");
        assert!(!reply.text().contains(&key) && !reply.text().contains(&token));
    }
    // The key is known: what is missing now is a provider, and nothing echoes to strangers.
    assert_eq!(ask(port, "POST", CHAT, Some(&key)).status, 404);
    assert_eq!(ask(port, "GET", "/v1/models", Some(&key)).status, 200);
    for wrong in [None, Some(key.as_str())] {
        let reply = ask(port, "GET", "/api/plugins", wrong);
        assert_eq!(reply.status, 401);
        four_keys(&reply.body);
    }
    assert_eq!(ask(port, "GET", "/api/plugins", Some(&token)).status, 200);
    assert_eq!(ask(port, "GET", "/livez", None).status, 200);

    let file = home.path().join(".local/state/sluice/first-keys");
    let kept = std::fs::read_to_string(&file).unwrap();
    assert!(kept.contains(&key) && kept.contains(&token));
    let mode = |path: &Path| std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(path).unwrap()) & 0o777;
    assert_eq!(mode(&file), 0o600);

    first.signal(15);
    assert!(first.wait().success());
    let said = format!("{}{}", first.out.text(), first.err.text());
    assert_eq!((said.matches(&key).count(), said.matches(&token).count()), (1, 1), "{said}");
    let (mut second, port) = reachable(home.path());
    assert_eq!(ask(port, "POST", CHAT, Some(&key)).status, 404);
    assert_eq!(ask(port, "POST", CHAT, None).status, 401);
    second.signal(15);
    assert!(second.wait().success());
    let said = format!("{}{}", second.out.text(), second.err.text());
    assert!(!said.contains(&key) && !said.contains(&token), "{said}");
    assert!(said.contains("first-keys"), "it does not say where they are: {said}");
}

#[test]
fn on_loopback_no_key_is_made() {
    let gateway = Setup::default().start();
    assert_eq!(gateway.post(CHAT, body("m", false)).status, 200);
    assert!(!gateway.folder().join(".local/state/sluice/first-keys").exists());
    assert!(!gateway.process.err.text().contains("client key"), "{}", gateway.process.err.text());
}

#[test]
fn signals_of_terminals_and_supervisors_count_together() {
    let mock = Mock::start();
    mock.script("p", Script::sse_head().chunk(text_event("one")).stall());
    let mut gateway = crate::support::gateway(&mock, &["p"]);
    let mut connection = gateway.open(CHAT, body("p/m", true));
    stream_until(&mut connection, "one");
    gateway.process.signal(2);
    let line = gateway.process.wait_line("stopping");
    assert!(line.contains("second signal"), "{line}");
    // The call in flight never ends by itself, so nothing but the second signal can end the program within the limit.
    assert!(gateway.process.exited().is_none());
    gateway.process.signal(15);
    assert_eq!(gateway.process.wait().code(), Some(130));
    mock.wait_cancelled("p");
}
