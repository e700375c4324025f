//! `sluice.yaml` and the files that it names are followed while the gateway serves: every way of editing counts, a bad edit costs nothing
//! but its news, and no call fails for a change or is served by half of one.

use std::path::{Path, PathBuf};

use serde_json::Value;
use sluice_tests::gateway::{Gateway, Setup, replace};
use sluice_tests::mock::{Gate, Mock, Script};
use sluice_tests::wait_for;

use crate::client_loop::Loop;
use crate::plugins_support::{PATIENT, active, component};
use crate::support::{
    CHAT, DONE, PROVIDER_KEY, blamed, body, finish_event, reply, row, setup, stream_until, text_event,
};

const HANGUP: i32 = 1;

/// Two providers that say their own name.
fn two() -> Mock {
    let mock = Mock::start();
    for name in ["a", "b"] {
        mock.script(name, Script::json(200, reply(name)));
    }
    mock
}

fn text(mock: &Mock, alias: &str, more: &str) -> String {
    format!("providers:\n{}{}aliases: {{ fast: {alias} }}\n{more}", row(mock, "a", ""), row(mock, "b", ""))
}

fn start(mock: &Mock) -> Gateway {
    Setup::config(text(mock, "a/m", "")).env("MOCK_KEY", PROVIDER_KEY).start()
}

fn file(gateway: &Gateway) -> PathBuf {
    gateway.folder().join("sluice.yaml")
}

/// What `fast` answers now.
fn says(gateway: &Gateway) -> String {
    let reply = gateway.post(CHAT, body("fast", false));
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned()
}

fn wait_says(gateway: &Gateway, name: &str) {
    wait_for(&format!("`fast` to be {name}"), || (says(gateway) == name).then_some(()));
}

fn health(gateway: &Gateway) -> Value {
    gateway.get("/health").json()
}

fn has_metric(gateway: &Gateway, line: &str) -> bool {
    gateway.get("/metrics").text().lines().any(|found| found == line)
}

fn wait_stale(gateway: &Gateway) -> String {
    wait_for("the configuration to be stale", || {
        has_metric(gateway, "sluice_config_stale{kind=\"config\"} 1").then_some(())
    });
    let health = health(gateway);
    assert_eq!(health["status"], "degraded", "{health}");
    health["problems"][0].as_str().unwrap().to_owned()
}

fn wait_active(gateway: &Gateway) {
    wait_for("the configuration to be good again", || {
        has_metric(gateway, "sluice_config_stale{kind=\"config\"} 0").then_some(())
    });
    assert_eq!(health(gateway)["status"], "ok");
}

#[test]
fn every_way_of_editing_counts() {
    let mock = two();
    let gateway = start(&mock);
    assert_eq!(says(&gateway), "a");
    let path = file(&gateway);
    // Renamed over, as careful editors do.
    replace(&path, text(&mock, "b/m", "").as_bytes());
    wait_says(&gateway, "b");
    // Written in place.
    std::fs::write(&path, text(&mock, "a/m", "")).unwrap();
    wait_says(&gateway, "a");
    // Truncated first, written later: the time between counts for nothing.
    let open = std::fs::File::create(&path).unwrap();
    wait_stale(&gateway);
    assert_eq!(says(&gateway), "a");
    std::io::Write::write_all(&mut &open, text(&mock, "b/m", "").as_bytes()).unwrap();
    drop(open);
    wait_says(&gateway, "b");
    wait_active(&gateway);
    // Removed and made again.
    std::fs::remove_file(&path).unwrap();
    assert!(wait_stale(&gateway).contains("is gone"), "{}", health(&gateway));
    assert_eq!(says(&gateway), "b");
    std::fs::write(&path, text(&mock, "a/m", "")).unwrap();
    wait_says(&gateway, "a");
    wait_active(&gateway);
    // The same content again is no edit.
    let generations = || gateway.process.err.text().matches("configuration is live").count();
    let before = generations();
    replace(&path, text(&mock, "a/m", "").as_bytes());
    gateway.process.signal(HANGUP);
    wait_for("SIGHUP to be seen", || gateway.process.err.find("SIGHUP"));
    std::fs::write(&path, text(&mock, "b/m", "")).unwrap();
    wait_says(&gateway, "b");
    wait_for("the log to say so", || (generations() > before).then_some(()));
    assert_eq!(generations(), before + 1, "{}", gateway.process.err.text());
}

/// `folder/..data` leads to a folder with the files, as Kubernetes mounts them; swaps it for one with this content.
#[cfg(unix)]
fn mount(folder: &Path, number: usize, files: &[(&str, &str)]) {
    let version = folder.join(format!("..version{number}"));
    std::fs::create_dir_all(&version).unwrap();
    for (name, content) in files {
        std::fs::write(version.join(name), content).unwrap();
        let link = folder.join(name);
        if std::fs::symlink_metadata(&link).is_err() {
            std::os::unix::fs::symlink(Path::new("..data").join(name), &link).unwrap();
        }
    }
    let aside = folder.join("..data_tmp");
    std::os::unix::fs::symlink(format!("..version{number}"), &aside).unwrap();
    std::fs::rename(&aside, folder.join("..data")).unwrap();
    if let Some(before) = number.checked_sub(1) {
        std::fs::remove_dir_all(folder.join(format!("..version{before}"))).ok();
    }
}

#[cfg(unix)]
#[test]
fn mounts_that_swap_a_link_count() {
    let mock = two();
    let folder = tempfile::tempdir().unwrap();
    let setup = Setup::default().env("MOCK_KEY", PROVIDER_KEY);
    mount(folder.path(), 0, &[("config.yaml", &text(&mock, "a/m", ""))]);
    let path = folder.path().join("config.yaml");
    let gateway = setup.arg("--config").arg(path.to_str().unwrap()).start();
    for (number, name) in [(1, "b"), (2, "a"), (3, "b")] {
        mount(folder.path(), number, &[("config.yaml", &text(&mock, &format!("{name}/m"), ""))]);
        wait_says(&gateway, name);
    }
}

#[test]
fn a_bad_edit_keeps_the_last_good_configuration_and_says_so_once() {
    let mock = two();
    let gateway = start(&mock);
    let path = file(&gateway);
    let bad = text(&mock, "b/m", "severs: {}\nplugins: { dri: x }\n");
    replace(&path, bad.as_bytes());
    let why = wait_stale(&gateway);
    for part in ["severs", "did you mean `server`?", "dri", "sluice.yaml:"] {
        assert!(why.contains(part), "no {part:?} in {why}");
    }
    assert_eq!(says(&gateway), "a");
    assert_eq!(gateway.get("/readyz").status, 200);
    gateway.process.signal(HANGUP);
    wait_for("SIGHUP to be seen", || gateway.process.err.find("SIGHUP"));
    // Another bad one is other news.
    replace(&path, text(&mock, "b/m", "nonsense: 1\n").as_bytes());
    wait_for("the other reason", || health(&gateway)["problems"][0].as_str()?.contains("nonsense").then_some(()));
    assert_eq!(gateway.process.err.text().matches("the configuration is refused").count(), 2);
    assert!(gateway.process.err.find("severs").is_some(), "the log says why");
    replace(&path, text(&mock, "b/m", "").as_bytes());
    wait_says(&gateway, "b");
    wait_active(&gateway);
    wait_for("the log to say so", || gateway.process.err.find("good again"));
}

#[test]
fn edits_under_load_fail_no_call_and_old_configurations_are_let_go() {
    let mock = two();
    let gateway = start(&mock);
    let path = file(&gateway);
    let opened = || mock.journal().connections().0;
    Loop::beside(&gateway, "fast", &[], || {
        for number in 0..40 {
            let name = ["b", "a"][number % 2];
            replace(
                &path,
                text(&mock, &format!("{name}/m"), &format!("server: {{ max_calls: {} }}\n", 100 + number)).as_bytes(),
            );
            if number % 4 == 0 {
                wait_says(&gateway, name);
            }
        }
    });
    // The clients' connections to providers live through edits that do not concern the network: a few for each thread, not for each edit.
    assert!(opened() < 30, "{} connections", opened());
    wait_for("old configurations to be dropped", || has_metric(&gateway, "sluice_config_generations 1").then_some(()));
}

#[test]
fn a_rotated_secret_is_live_without_a_failed_call() {
    let mock = Mock::start();
    mock.script("p", Script::json(200, reply("fine")));
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("key");
    std::fs::write(&secret, "sk-first\n").unwrap();
    let base = mock.base("p");
    let keys = format!("keys: [\"file:{}\"]", secret.display());
    let rows = format!("providers:\n  p: {{ dialect: openai-chat, base_url: \"{base}\", {keys} }}\n");
    let gateway = Setup::config(rows).start();
    let sent = |key: &str| {
        wait_for(&format!("{key} to be sent"), || {
            let last = mock.exchanges("p").last()?.head.get("authorization")?.to_owned();
            (last == format!("Bearer {key}")).then_some(())
        });
    };
    Loop::beside(&gateway, "p/m", &[], || {
        sent("sk-first");
        replace(&secret, b"sk-second\n");
        sent("sk-second");
        std::fs::write(&secret, "sk-third").unwrap();
        sent("sk-third");
    });
    // An emptied one is a bad edit; the last good key goes on.
    std::fs::write(&secret, "").unwrap();
    assert!(wait_stale(&gateway).contains("the file is empty"));
    assert_eq!(gateway.post(CHAT, body("p/m", false)).status, 200);
    sent("sk-third");
    std::fs::write(&secret, "sk-fourth").unwrap();
    wait_active(&gateway);
    gateway.post(CHAT, body("p/m", false));
    sent("sk-fourth");
    // While the configuration itself is bad, its last good version still gets its rotated secrets.
    replace(&file(&gateway), b"nonsense: 1\n");
    wait_stale(&gateway);
    replace(&secret, b"sk-fifth");
    wait_for("the key of the last good configuration", || {
        gateway.post(CHAT, body("p/m", false));
        (mock.exchanges("p").last()?.head.get("authorization")? == "Bearer sk-fifth").then_some(())
    });
    let all = format!("{}{}", gateway.process.err.text(), gateway.process.out.text());
    assert!(!all.contains("sk-f") && !all.contains("sk-second"), "a secret is in a log");
}

#[test]
fn a_call_ends_by_the_configuration_it_began_with() {
    let mock = two();
    let gate = Gate::new();
    mock.script(
        "a",
        Script::sse_head().chunk(text_event("one")).wait(&gate).chunk(finish_event()).chunk(DONE).end_chunks(),
    );
    let gateway = start(&mock);
    let mut connection = gateway.open(CHAT, body("fast", true));
    let mut got = stream_until(&mut connection, "one");
    replace(&file(&gateway), format!("providers:\n{}aliases: {{ fast: b/m }}\n", row(&mock, "b", "")).as_bytes());
    // Until then it is the other provider's, which has only a stream to give.
    wait_for("`fast` to be b", || (gateway.post(CHAT, body("fast", false)).status == 200).then_some(()));
    assert!(has_metric(&gateway, "sluice_config_generations 2"), "the call keeps its configuration");
    gate.open();
    got.extend(connection.read_rest());
    assert!(got.ends_with(DONE.as_bytes()), "{}", String::from_utf8_lossy(&got));
    wait_for("the old configuration to be dropped", || {
        has_metric(&gateway, "sluice_config_generations 1").then_some(())
    });
}

#[test]
fn what_needs_a_restart_is_named_and_the_rest_is_live() {
    let mock = two();
    let setup = Setup::config(text(&mock, "a/m", "server: { threads: 1 }\n")).env("MOCK_KEY", PROVIDER_KEY);
    let gateway = setup.start();
    replace(&file(&gateway), text(&mock, "b/m", "server: { threads: 2, plugin_header: true }\n").as_bytes());
    wait_says(&gateway, "b");
    let health = health(&gateway);
    assert_eq!((&health["status"], &health["restart_needed"]), (&"ok".into(), &serde_json::json!(["server.threads"])));
    assert!(gateway.process.err.find("restart needed for server.threads").is_some());
    replace(&file(&gateway), text(&mock, "a/m", "server: { threads: 1 }\n").as_bytes());
    wait_says(&gateway, "a");
    assert_eq!(self::health(&gateway)["restart_needed"], serde_json::json!([]));
}

#[test]
fn keys_and_the_admin_token_follow() {
    let mock = two();
    let gateway = start(&mock);
    let key = "sk-client-0123456789abcdef";
    let auth = format!("Bearer {key}");
    let with = || {
        gateway.call(
            "POST",
            CHAT,
            &[("content-type", "application/json"), ("authorization", &auth)],
            body("fast", false).as_bytes(),
        )
    };
    assert_eq!(with().status, 200);
    assert_eq!(gateway.get("/api/plugins").status, 200);
    let hash = sluice_hash(key);
    let keys =
        format!("server: {{ admin_token: admin-token-for-a-test }}\nkeys: [{{ name: app, hash: \"{hash}\" }}]\n");
    replace(&file(&gateway), text(&mock, "a/m", &keys).as_bytes());
    wait_for("anonymous calls to be refused", || (gateway.post(CHAT, body("fast", false)).status == 401).then_some(()));
    assert_eq!(with().status, 200);
    blamed(&gateway.post(CHAT, body("fast", false)), 401, "client");
    assert_eq!(gateway.get("/api/plugins").status, 401);
    replace(&file(&gateway), text(&mock, "a/m", "").as_bytes());
    wait_for("anonymous calls to be taken", || (gateway.post(CHAT, body("fast", false)).status == 200).then_some(()));
}

fn sluice_hash(key: &str) -> String {
    let digest = sluice::config::sha256(key.as_bytes());
    format!("sha256:{}", digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

#[test]
fn a_provider_and_its_guard_come_in_one_step() {
    let mock = two();
    // Two, or a name that nobody knows would be the only provider's.
    let before = [row(&mock, "a", ""), row(&mock, "c", "")];
    let gateway = setup(&before, "").start();
    // Bare, it is refused for want of words; what counts is that it is there.
    replace(&gateway.plugins().join("words.wasm"), &component("deny-words"));
    let forbidden = || gateway.post(CHAT, body("guarded", false).replace("hello", "the forbidden word"));
    assert_eq!(forbidden().status, 404);
    let guard = format!("{{ component: words.wasm, {PATIENT}, settings: {{ words: [forbidden] }} }}");
    let edit = format!(
        "providers:\n{}{}aliases: {{ guarded: b/m }}\nplugins: {{ required: [guard], chain: {{ guard: {guard} }} }}\n",
        before.concat(),
        row(&mock, "b", "")
    );
    for _ in 0..3 {
        replace(&file(&gateway), edit.as_bytes());
        wait_for("the guarded name", || {
            let status = forbidden().status;
            assert!(status == 404 || status == 400, "unguarded: {status}");
            (status == 400).then_some(())
        });
        // Both go in one step, too: the name is not served a moment longer than its guard.
        replace(&file(&gateway), format!("providers:\n{}", before.concat()).as_bytes());
        wait_for("the name to be gone", || {
            let status = forbidden().status;
            assert!(status == 404 || status == 400, "unguarded: {status}");
            (status == 404).then_some(())
        });
    }
    assert!(mock.exchanges("b").is_empty());
}

#[test]
fn a_required_plugin_that_an_edit_adds_is_waited_for() {
    let mock = two();
    let gateway = start(&mock);
    let path = file(&gateway);
    replace(&path, text(&mock, "a/m", "plugins: { required: [guard] }\n").as_bytes());
    wait_for("not ready", || (gateway.get("/readyz").status == 503).then_some(()));
    blamed(&gateway.post(CHAT, body("fast", false)), 503, "gateway");
    let yaml = format!("{PATIENT}\nsettings: {{ words: [forbidden] }}\n");
    replace(&gateway.plugins().join("guard.yaml"), yaml.as_bytes());
    replace(&gateway.plugins().join("guard.wasm"), &component("deny-words"));
    wait_for("ready", || (gateway.get("/readyz").status == 200).then_some(()));
    assert_eq!(says(&gateway), "a");
    // A block for it in the configuration as well is an error of the plugin's; the guard that is live stays.
    replace(&path, text(&mock, "b/m", "plugins: { required: [guard], chain: { guard: { order: 5 } } }\n").as_bytes());
    wait_says(&gateway, "b");
    let state = gateway.plugin_state("guard").unwrap();
    assert_eq!(state["state"], "stale", "{state}");
    assert!(has_metric(&gateway, "sluice_config_stale{kind=\"plugin\"} 1"));
    assert_eq!(gateway.post(CHAT, body("fast", false).replace("hello", "forbidden")).status, 400);
}

#[test]
fn another_order_and_other_settings_of_the_chain_are_live() {
    let mock = two();
    let block =
        |word: &str| format!("plugins: {{ chain: {{ guard: {{ {PATIENT}, settings: {{ words: [{word}] }} }} }} }}\n");
    let setup = Setup::config(text(&mock, "a/m", &block("bluebird"))).env("MOCK_KEY", PROVIDER_KEY);
    let gateway = setup.plugin("guard.wasm", component("deny-words")).start();
    let ask = |word: &str| gateway.post(CHAT, body("fast", false).replace("hello", word)).status;
    assert_eq!((ask("bluebird"), ask("redbird")), (400, 200));
    replace(&file(&gateway), text(&mock, "a/m", &block("redbird")).as_bytes());
    wait_for("the other word", || (ask("redbird") == 400).then_some(()));
    assert_eq!(ask("bluebird"), 200);
}

#[test]
fn finished_calls_go_to_the_version_that_an_edit_brought() {
    let mock = two();
    let chain = |fields: &str| {
        format!(
            "plugins: {{ chain: {{ usage-log: {{ {PATIENT}, settings: {{ format: logfmt, fields: [{fields}] }} }} }} }}\n"
        )
    };
    let config = text(&mock, "a/m", &chain("id, outcome"));
    let gateway =
        Setup::config(config).env("MOCK_KEY", PROVIDER_KEY).plugin("usage-log.wasm", component("usage-log")).start();
    active(&gateway, "usage-log");
    assert_eq!(says(&gateway), "a");
    wait_for("a line of the first version", || gateway.process.err.find(" outcome=ok"));
    replace(&file(&gateway), text(&mock, "b/m", &chain("model, status")).as_bytes());
    wait_says(&gateway, "b");
    wait_for("a line of the second version", || gateway.process.err.find("model=fast status=200"));
    // And nothing holds the first chain, or its configuration.
    for gauge in ["sluice_chain_generations 1", "sluice_config_generations 1"] {
        wait_for(gauge, || has_metric(&gateway, gauge).then_some(()));
    }
}

#[test]
fn a_gateway_without_a_file_takes_the_one_that_comes() {
    let mock = two();
    let gateway = Setup::default().env("MOCK_KEY", PROVIDER_KEY).start();
    assert_eq!(health(&gateway)["demo"], true);
    assert_eq!(gateway.post(CHAT, body("anything", false)).status, 200);
    std::fs::write(file(&gateway), text(&mock, "b/m", "")).unwrap();
    wait_for("the demo to end", || (health(&gateway)["demo"] == false).then_some(()));
    assert_eq!(says(&gateway), "b");
    blamed(&gateway.post(CHAT, body("anything", false)), 404, "client");
}

#[test]
fn a_start_with_a_bad_file_serves_the_last_good_configuration() {
    let mock = two();
    let gateway = start(&mock);
    let path = file(&gateway);
    replace(&path, text(&mock, "b/m", "").as_bytes());
    wait_says(&gateway, "b");
    replace(&path, b"nonsense: 1\n");
    wait_stale(&gateway);
    // The last one that was good, not the last one that was there nor the first one.
    let gateway = gateway.restart();
    assert!(wait_stale(&gateway).contains("nonsense"));
    assert_eq!(says(&gateway), "b");
    assert_eq!(gateway.get("/readyz").status, 200);
    assert!(gateway.process.err.find("the last good one serves").is_some());
    replace(&path, text(&mock, "a/m", "").as_bytes());
    wait_says(&gateway, "a");
    wait_active(&gateway);
    // Gone altogether.
    std::fs::remove_file(&path).unwrap();
    wait_stale(&gateway);
    let gateway = gateway.restart();
    assert!(wait_stale(&gateway).contains("--state"));
    assert_eq!(says(&gateway), "a");
    // Empty: afresh.
    std::fs::write(&path, "").unwrap();
    let gateway = gateway.restart();
    let state = health(&gateway);
    assert_eq!(state["status"], "not ready");
    assert!(state["reason"].as_str().unwrap().contains("no provider is configured"), "{state}");
    blamed(&gateway.post(CHAT, body("fast", false)), 404, "client");
}

#[test]
fn a_start_without_a_last_good_configuration_needs_a_good_file() {
    let mock = two();
    let run = |gateway: Gateway, state: Option<&str>| {
        let (_folder, mut command) = gateway.end();
        let output = command.args(state.map(|state| format!("--state={state}"))).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let gateway = start(&mock);
    std::fs::write(file(&gateway), "nonsense: 1\n").unwrap();
    let (code, text) = run(gateway, Some("elsewhere"));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("nonsense"), "{text}");
    let gateway = start(&mock);
    std::fs::remove_file(file(&gateway)).unwrap();
    let (code, text) = run(gateway, Some("elsewhere"));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("no such file"), "{text}");
    // A last good one that the environment does not carry any more is none; both reasons are told.
    let gateway = start(&mock);
    std::fs::write(file(&gateway), "nonsense: 1\n").unwrap();
    let (_folder, mut command) = gateway.end();
    let output = command.env_remove("MOCK_KEY").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("nonsense") && text.contains("last good") && text.contains("MOCK_KEY"), "{text}");
}

#[test]
fn a_default_file_that_is_gone_is_not_forgotten() {
    let mock = two();
    let gateway = Setup::default().env("MOCK_KEY", PROVIDER_KEY).start();
    std::fs::write(file(&gateway), text(&mock, "b/m", "")).unwrap();
    wait_for("the demo to end", || (health(&gateway)["demo"] == false).then_some(()));
    std::fs::remove_file(file(&gateway)).unwrap();
    wait_stale(&gateway);
    let gateway = gateway.restart();
    wait_stale(&gateway);
    assert_eq!(health(&gateway)["demo"], false);
    assert_eq!(says(&gateway), "b");
}
