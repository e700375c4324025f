//! `sluice config explain`: every kind of place that a value comes from, and no secret in any answer.

use tempfile::TempDir;

use crate::cli_support::{err, out, sluice};

const CONFIG: &str = "server:
  listen: 127.0.0.1:9000
  admin_token: env:SLUICE_ADMIN_TOKEN
providers:
  openai:
    keys:
      - { name: main, value: env:OPENAI_API_KEY, weight: 3 }
      - literal-secret-1
      - file:key.txt
    timeouts: { first_token: 60s }
  llama.cpp:
    dialect: openai-chat
    base_url: http://${LLAMA_HOST:-10.0.0.5}:8000/v1
    headers: { x-team: literal-secret-2, x-key: \"env:NOT_THERE\" }
network: { proxy: \"http://ada:literal-secret-3@proxy:3128\" }
aliases: { fast: openai/gpt-4o-mini }
keys:
  - { name: search-prod, value: literal-secret-4, team: search }
plugins:
  chain:
    words: { order: 7, settings: { token: literal-secret-5 } }
";

const ENV: [(&str, &str); 3] =
    [("SLUICE_ADMIN_TOKEN", "env-secret-1"), ("OPENAI_API_KEY", "env-secret-2"), ("LLAMA_HOST", "env-secret-3")];

fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sluice.yaml"), CONFIG).unwrap();
    std::fs::write(folder.path().join("key.txt"), "file-secret-1\n").unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    std::fs::write(folder.path().join("plugins/pii.yaml"), "\norder: 20\nsettings: { mask: [email] }\n").unwrap();
    folder
}

/// What is said of one path; never a secret.
#[track_caller]
fn explained(folder: &TempDir, args: &[&str]) -> String {
    let mut all = vec!["config", "explain"];
    all.extend(args);
    let output = sluice(folder.path(), &ENV, &all);
    let text = out(&output);
    assert!(output.status.success(), "{args:?}: {}", err(&output));
    assert!(!format!("{text}{}", err(&output)).contains("-secret-"), "{args:?}: a secret:\n{text}");
    text
}

#[test]
fn a_value_and_its_place() {
    let folder = folder();
    for (path, value, place) in [
        ("providers.openai.timeouts.first_token", "= 60s\n", "from     sluice.yaml:10:30\n"),
        ("providers.openai.timeouts.idle", "= 30s\n", "from     default\n"),
        ("providers.openai.keys[main].value", "= env:OPENAI_API_KEY (set)\n", "from     sluice.yaml:7:30\n"),
        ("providers.openai.keys.main.weight", "= 3\n", "from     sluice.yaml:7:"),
        ("providers.openai.keys[1]", "= [secret]\n", "from     sluice.yaml:8:9\n"),
        ("providers.openai.keys[2]", "= file:key.txt (there)\n", "from     sluice.yaml:9:9\n"),
        ("providers.openai.base_url", "= https://api.openai.com/v1\n", "from     built in, as openai\n"),
        ("providers.openai.dialect", "= openai-chat\n", "from     built in, as openai\n"),
        (
            "providers.llama.cpp.base_url",
            "= http://${LLAMA_HOST:-10.0.0.5}:8000/v1\n",
            "the environment's LLAMA_HOST (set)\n",
        ),
        ("providers.llama.cpp.headers.x-team", "= [secret]\n", "from     sluice.yaml:14:"),
        ("providers.llama.cpp.headers.x-key", "= env:NOT_THERE (not set)\n", "from     sluice.yaml:14:"),
        ("server.admin_token", "= env:SLUICE_ADMIN_TOKEN (set)\n", "from     sluice.yaml:3:16\n"),
        ("server.listen", "= [127.0.0.1:9000]\n", "from     sluice.yaml:2:11\n"),
        ("network.proxy", "= http://[secret]@proxy:3128\n", "from     sluice.yaml:15:"),
        ("aliases.fast", "= openai/gpt-4o-mini\n", "from     sluice.yaml:16:"),
        ("keys[search-prod].value", "= [secret]\n", "from     sluice.yaml:18:"),
        ("keys.search-prod.team", "= search\n", "from     sluice.yaml:18:"),
        ("plugins.chain.words.order", "= 7\n", "from     sluice.yaml:21:"),
        ("plugins.chain.words.settings", "= { token: ... }\n", "from     sluice.yaml:21:"),
        ("plugins.chain.pii.order", "= 20\n", "from     plugins/pii.yaml:2:8\n"),
        ("plugins.chain.pii.limits.memory", "= 64MiB\n", "from     default\n"),
    ] {
        let text = explained(&folder, &[path]);
        assert!(text.contains(value) && text.contains(place), "{path}: no {value:?} and {place:?} in:\n{text}");
    }
}

#[test]
fn the_field_is_described() {
    let text = explained(&folder(), &["providers.openai.timeouts.first_token"]);
    for part in ["default  120s\n", "takes    a duration such as `10s`, from 1ms to 24h\n", "first content"] {
        assert!(text.contains(part), "{part:?}:\n{text}");
    }
    assert!(text.contains("an edit  is live at once\n"), "{text}");
    assert!(explained(&folder(), &["server.listen"]).contains("an edit  counts after a restart\n"));
    let text = explained(&folder(), &["server.clients"]);
    assert!(text.contains("takes    `keys` or `open`\n") && text.contains("`keys:` has entries"), "{text}");
    let text = explained(&folder(), &["server.max_calls"]);
    assert!(text.contains("= 10000\n") && text.contains("from 1 to 10000000"), "{text}");
}

#[test]
fn a_section_lists_what_it_holds_and_nothing_everything() {
    let folder = folder();
    let text = explained(&folder, &["providers.openai.timeouts"]);
    assert!(text.contains("How long to wait"), "{text}");
    for line in [
        "providers.openai.timeouts.first_token = 60s  # sluice.yaml:10:30",
        "providers.openai.timeouts.total = 10m  # default",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}:\n{text}");
    }
    let all = explained(&folder, &[]);
    let paths = [
        "server.limits.head",
        "providers.llama.cpp.meter",
        "keys[search-prod].team",
        "plugins.chain.pii.order",
        "plugins.dir",
    ];
    for path in paths {
        assert!(all.lines().any(|line| line.starts_with(&format!("{path} = "))), "{path}:\n{all}");
    }
}

#[test]
fn the_command_line_and_the_environment_count() {
    let folder = folder();
    let text = explained(&folder, &["server.listen", "--port", "9001"]);
    assert!(text.contains("= [127.0.0.1:9001]\n") && text.contains("command line: --port 9001"), "{text}");
    let text = explained(&folder, &["server.listen", "--listen", "0.0.0.0:1"]);
    assert!(text.contains("= [0.0.0.0:1]\n") && text.contains("command line: --listen\n"), "{text}");
    let text = explained(&folder, &["plugins.dir", "--plugins", "elsewhere"]);
    assert!(text.contains("= elsewhere\n") && text.contains("command line: --plugins\n"), "{text}");

    let empty = tempfile::tempdir().unwrap();
    let ask = |path: &str, env: &[(&str, &str)]| {
        let output = sluice(empty.path(), env, &["config", "explain", path]);
        assert!(output.status.success(), "{}", err(&output));
        let text = out(&output);
        assert!(!text.contains("-secret-"), "{text}");
        text
    };
    let env = [
        ("OPENAI_API_KEY", "sk-secret-1"),
        ("https_proxy", "http://u:p-secret-2@proxy:1"),
        ("SSL_CERT_FILE", "/ca.pem"),
    ];
    assert!(ask("providers.openai", &env).contains("from     environment: OPENAI_API_KEY is set\n"));
    assert!(ask("providers.openai.base_url", &env).contains("= https://api.openai.com/v1\n"));
    let proxy = ask("network.proxy", &env);
    assert!(proxy.contains("= http://[secret]@proxy:1\n") && proxy.contains("environment: https_proxy\n"), "{proxy}");
    assert!(ask("network.ca", &env).contains("environment: SSL_CERT_FILE\n"));
    let listen = ask("server.listen", &[]);
    assert!(listen.contains("= [127.0.0.1:8080, [::1]:8080]\n") && listen.contains("from     default\n"), "{listen}");
    assert!(ask("server.clients", &[]).contains("= anonymous calls on loopback\n"));
}

#[test]
fn what_is_not_there_is_said_with_what_is_near() {
    let folder = folder();
    for (path, near) in [
        ("providers.openai.timeouts.first_tokn", "providers.openai.timeouts.first_token"),
        ("first_token", "providers.openai.timeouts.first_token"),
        ("providers.mistral.base_url", "providers.openai.base_url"),
        ("server.nothing.like.this", "server.listen"),
        ("keys[other]", "keys[search-prod]"),
    ] {
        let output = sluice(folder.path(), &ENV, &["config", "explain", path]);
        assert_eq!(output.status.code(), Some(2), "{path}: {}", out(&output));
        assert!(err(&output).contains(near), "{path}: {}", err(&output));
        assert!(out(&output).is_empty());
    }
    std::fs::write(folder.path().join("sluice.yaml"), "server: [\n").unwrap();
    let output = sluice(folder.path(), &ENV, &["config", "explain", "server.listen"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(err(&output).contains("sluice.yaml:"), "{}", err(&output));
}

/// A file with a mistake elsewhere still answers, because that is when one asks.
#[test]
fn a_file_that_cannot_be_used_is_explained_with_a_note() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("sluice.yaml"), "server: { listen: \"127.0.0.1:1\", nonsense: 1 }\n").unwrap();
    let output = sluice(folder.path(), &[], &["config", "explain", "server.listen"]);
    assert!(output.status.success() && out(&output).contains("= [127.0.0.1:1]"), "{}", out(&output));
    assert!(err(&output).contains("sluice check"), "{}", err(&output));
}
