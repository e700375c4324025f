//! What is given to operators beside the binary holds: units that systemd takes, a container's file that a linter takes, and a binary that
//! needs nothing but itself, as whatever user, on a file system that it cannot write.

use std::path::Path;
use std::process::{Command, Output};

use sluice_tests::gateway::{Gateway, Setup, binary, command, copy_program};
use sluice_tests::http::{Connection, request};
use sluice_tests::process::Process;
use sluice_tests::skip;

use crate::cli_support::{err, out};
use crate::python_client::root;

fn packaged(name: &str) -> String {
    std::fs::read_to_string(root().join("packaging").join(name)).unwrap()
}

/// Whether a tool can be asked for its version.
fn there(tool: &Path) -> bool {
    Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success())
}

/// The units with the built binary in the place where they expect it, and `systemd-analyze` on them.
fn analyze(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let built = binary().canonicalize().unwrap();
    let service = packaged("sluice.service");
    assert!(service.contains("ExecStart=/usr/local/bin/sluice "), "the binary is somewhere else");
    let service = service.replace("/usr/local/bin/sluice", built.to_str().unwrap());
    std::fs::write(folder.path().join("sluice.service"), service).unwrap();
    std::fs::write(folder.path().join("sluice.socket"), packaged("sluice.socket")).unwrap();
    Command::new("systemd-analyze").args(arguments).current_dir(folder.path()).env("PAGER", "").output().unwrap()
}

#[test]
fn systemd_takes_the_units() {
    if !there(Path::new("systemd-analyze")) {
        skip!("no systemd-analyze");
    }
    let output = analyze(&["verify", "./sluice.service", "./sluice.socket"]);
    let said = format!("{}{}", out(&output), err(&output));
    assert!(output.status.success() && said.is_empty(), "{said}");
}

#[test]
fn the_service_is_confined() {
    if !there(Path::new("systemd-analyze")) {
        skip!("no systemd-analyze");
    }
    // Of ten points of exposure, in tenths. 1.3 are left by sockets for the network and by memory that may be made executable.
    let output = analyze(&["security", "--offline=true", "--no-pager", "--threshold=15", "./sluice.service"]);
    let said = format!("{}{}", out(&output), err(&output));
    if said.contains("offline") && !output.status.success() {
        skip!("this systemd-analyze cannot judge a file");
    }
    assert!(output.status.success(), "{said}");
    // The one setting that the compiler forbids is off, or no plugin would ever load.
    assert!(packaged("sluice.service").contains("\nMemoryDenyWriteExecute=no\n"));
}

#[test]
fn the_arguments_in_the_units_and_the_image_exist() {
    let folder = tempfile::tempdir().unwrap();
    let help = crate::cli_support::said(folder.path(), &["serve", "--help"]);
    let mut seen = 0;
    for file in ["sluice.service", "Containerfile"] {
        for line in packaged(file).lines().filter(|line| !line.starts_with('#')) {
            let words = line.split(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c)));
            let own = line.starts_with("ExecStart=") || line.starts_with("CMD") || line.starts_with("ENTRYPOINT");
            for word in words.filter(|word| own && word.starts_with("--")) {
                assert!(help.contains(word), "{file}: {word} is no argument of serve");
                seen += 1;
            }
        }
    }
    assert!(seen > 2, "only {seen} arguments were found");
    for file in ["sluice.service", "Containerfile"] {
        assert!(packaged(file).contains("SLUICE_STATE="), "{file} does not say where the state is kept");
    }
    assert!(help.contains("SLUICE_STATE"), "serve does not read it");
}

#[test]
fn the_containers_file_is_clean() {
    let linter = root().join(".venv/bin/hadolint");
    if !there(&linter) {
        skip!("no .venv/bin/hadolint: make venv");
    }
    let output = Command::new(&linter).arg("--no-color").arg(root().join("packaging/Containerfile")).output().unwrap();
    assert!(output.status.success(), "{}{}", out(&output), err(&output));
    let text = packaged("Containerfile");
    let user = text.lines().rev().find_map(|line| line.strip_prefix("USER ")).expect("a user");
    assert!(user.split(':').all(|id| id.parse::<u32>().is_ok_and(|id| id > 0)), "{user} is no number above 0");
    // What `COPY --from` of a stage that is built brings is made by the build itself; everything else must be in the repository.
    for line in text.lines().filter(|line| line.starts_with("COPY ") && !line.contains("--from=")) {
        for path in line.split_whitespace().skip(1).filter(|word| !word.starts_with("--")).take(1) {
            assert!(root().join(path).exists(), "{line}: no {path}");
        }
    }
}

/// Without any provider a gateway is not ready.
const PROVIDER: &str = "{ own: { dialect: openai-chat, base_url: 'http://127.0.0.1:9', keys: [] } }";

/// The check that the image makes of itself, as it makes it: with the address alone.
#[test]
fn the_health_check_knows_ready_from_not() {
    let check = packaged("Containerfile").lines().find_map(|line| {
        line.split_once("CMD [").filter(|_| line.starts_with("HEALTHCHECK")).map(|(_, list)| {
            list.trim_end_matches(']').split(", ").map(|word| word.trim_matches('"').to_owned()).collect::<Vec<_>>()
        })
    });
    let check = check.expect("a health check");
    assert_eq!(check.first().map(String::as_str), Some("sluice"));
    let ask = |gateway: &Gateway| {
        let mut command = command(gateway.folder(), &[("SLUICE_URL".to_owned(), gateway.url(""))]);
        command.args(&check[1..]).output().unwrap()
    };
    let closed = format!(
        "server: {{ clients: keys, admin_token: env:T }}\nkeys: [{{ name: a, value: env:T2 }}]\nproviders: {PROVIDER}\n"
    );
    let secrets = |setup: Setup| setup.env("T", "admin-token-of-some-length").env("T2", "sk-some-client-key");
    let ready = secrets(Setup::config(closed.as_str())).start();
    let output = ask(&ready);
    assert_eq!((output.status.code(), out(&output).as_str()), (Some(0), "ready\n"), "{}", err(&output));
    let missing = secrets(Setup::config(format!("{closed}plugins: {{ required: [guard] }}\n"))).start();
    let output = ask(&missing);
    assert_eq!(output.status.code(), Some(3), "{}{}", out(&output), err(&output));
    assert!(out(&output).contains("not ready") && out(&output).contains("guard"), "{}", out(&output));
    let mut gone = missing;
    gone.process.signal(15);
    gone.process.wait();
    assert_eq!(ask(&gone).status.code(), Some(1));
}

/// Everything that `sluice` ships with is in the binary: a copy of it alone, far from the sources, still has it all.
#[test]
fn the_binary_needs_no_sources() {
    let strace = Path::new("strace");
    let folder = tempfile::tempdir().unwrap();
    let alone = folder.path().join("sluice");
    copy_program(&alone);
    let run = |arguments: &[&str]| {
        let output = Command::new(&alone).args(arguments).env_clear().current_dir(folder.path()).output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {}", err(&output));
        out(&output)
    };
    run(&["plugin", "new", "my-guard"]);
    for file in ["src/lib.rs", "vendor/wit/plugin.wit", "vendor/sdk/rust/src/lib.rs"] {
        assert!(folder.path().join("my-guard").join(file).metadata().is_ok_and(|meta| meta.len() > 100), "{file}");
    }
    assert!(run(&["schema"]).contains("properties"));
    if !Command::new(strace).arg("-V").output().is_ok_and(|output| output.status.success()) {
        return;
    }
    // And it does not even look there.
    let traced = Command::new(strace)
        .args(["-f", "-e", "trace=file", "-o", "trace"])
        .args([alone.to_str().unwrap(), "plugin", "new", "other"])
        .env_clear()
        .current_dir(folder.path())
        .output()
        .unwrap();
    let trace = std::fs::read_to_string(folder.path().join("trace")).unwrap_or_default();
    if traced.status.success() {
        assert!(trace.contains("other") && !trace.contains(root().to_str().unwrap()), "{trace}");
    }
}

/// A command for a copy of the built binary in `folder` as user 4711, who owns nothing, on a file system of which nothing can be written.
fn confined(folder: &Path, arguments: &str) -> Command {
    copy_program(&folder.join("sluice"));
    let folder = folder.display();
    let script = format!(
        "set -e\nmount --make-rprivate /\nmount --bind '{folder}' '{folder}'\nmount -o remount,bind,ro '{folder}'\nmount -o remount,bind,ro /\n\
         if touch '{folder}/probe' 2>/dev/null; then exit 99; fi\ncd '{folder}'\n\
         exec setpriv --reuid 4711 --regid 4711 --clear-groups --inh-caps=-all --bounding-set=-all ./sluice {arguments}\n"
    );
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c"]).arg(script);
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Whether this machine lets a test do so.
fn can_confine() -> bool {
    let folder = tempfile::tempdir().unwrap();
    let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open).unwrap();
    confined(folder.path(), "--version").output().is_ok_and(|output| output.status.success())
}

fn get(address: &str, path: &str) -> u16 {
    let mut connection = Connection::open(address.parse().unwrap());
    connection.send(&request("GET", path, address, &[], b""));
    connection.reply().status
}

#[test]
fn any_user_on_a_read_only_file_system() {
    if !can_confine() {
        skip!("no mount namespaces for tests here (not root, or no unshare and setpriv)");
    }
    let folder = tempfile::tempdir().unwrap();
    let open = || std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(folder.path(), open()).unwrap();
    std::fs::create_dir(folder.path().join("plugins")).unwrap();
    let text = format!("server: {{ clients: open }}\nproviders: {PROVIDER}\n");
    std::fs::write(folder.path().join("sluice.yaml"), text).unwrap();
    let guard = root().join("target/plugins/deny-words.wasm");
    if guard.is_file() {
        std::fs::copy(guard, folder.path().join("plugins/deny-words.wasm")).unwrap();
        std::fs::write(folder.path().join("plugins/deny-words.yaml"), "settings: { words: [x] }\n").unwrap();
    }
    let arguments = "serve --listen 127.0.0.1:0 --state /nowhere/at/all";
    let mut process = Process::spawn(&mut confined(folder.path(), arguments));
    let line = process.wait_line("listening on http://");
    let address = line.rsplit("http://").next().unwrap().trim().to_owned();
    assert_eq!(get(&address, "/livez"), 200);
    assert_eq!(get(&address, "/readyz"), 200);
    let said = process.err.text();
    assert!(
        said.contains("/nowhere/at/all") && said.contains("state folder"),
        "it does not say that nothing is kept: {said}"
    );
    // Nothing was written anywhere it could have been.
    let names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    assert_eq!(names.len(), 3, "{names:?}");
    process.signal(15);
    assert!(process.wait().success(), "{}", process.err.text());
}
