//! Upgrading without a pause: a new process takes the sockets over from the old one, and no client sees it. A new one that does not come to
//! serve changes nothing.
#![cfg(unix)]

use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::Command;

use sluice_tests::gateway::{Gateway, Setup, binary, install, replace};
use sluice_tests::http::request;
use sluice_tests::mock::{Gate, Mock, Script};
use sluice_tests::process::Process;
use sluice_tests::wait_for;

use crate::client_loop::Loop;
use crate::plugins_support::component;
use crate::support::{CHAT, DONE, PROVIDER_KEY, body, finish_event, reply, row, setup, stream_until, text_event};

const TERM: i32 = 15;
const USR2: i32 = 12;

/// A process that took over; nobody's child, so it is ended by its number.
pub(crate) struct Successor(pub(crate) u32);

impl Successor {
    fn signal(&self, number: i32) -> bool {
        let sent = Command::new("kill").arg(format!("-{number}")).arg(self.0.to_string()).output();
        sent.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        self.signal(9);
    }
}

/// Asks `process` to hand over and waits for the one that serves then, the `count`th of this test.
pub(crate) fn hand_over(gateway: &Gateway, process: u32, count: usize) -> Successor {
    let sent = Command::new("kill").arg(format!("-{USR2}")).arg(process.to_string()).status();
    assert!(sent.unwrap().success());
    let number = wait_for("a new process to take over", || {
        let lines = gateway.process.err.all();
        let line = lines.iter().filter(|line| line.contains("has taken over from process")).nth(count - 1)?.clone();
        line.split("process ").nth(1)?.split(' ').next()?.parse().ok()
    });
    Successor(number)
}

#[test]
fn no_client_sees_an_upgrade() {
    let mock = Mock::start();
    mock.script("p", Script::json(200, reply("fine")));
    let mut gateway = setup(&[row(&mock, "p", "")], "").program("sluice").start();
    let mut successors: Vec<Successor> = Vec::new();
    Loop::beside(&gateway, "p/m", &[], || {
        for count in 1..=3 {
            let before = successors.last().map_or(gateway.process.id(), |last| last.0);
            install(&gateway.folder().join("sluice"));
            successors.push(hand_over(&gateway, before, count));
            wait_for("the old process to end", || ended(before).then_some(()));
        }
    });
    assert!(gateway.process.wait().success());
    let last = successors.pop().unwrap();
    assert_eq!(gateway.post(CHAT, body("p/m", false)).status, 200);
    assert!(last.signal(TERM));
    wait_for("the last one to end", || ended(last.0).then_some(()));
    assert!(sluice_tests::http::Connection::try_open(gateway.address).is_err(), "a socket was left open");
}

/// Whether that process is gone, or only waits to be noticed by its parent.
pub(crate) fn ended(process: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    stat.is_empty() || stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}

#[test]
fn calls_and_open_connections_end_in_the_old_process() {
    let mock = Mock::start();
    let gate = Gate::new();
    mock.script(
        "p",
        Script::sse_head().chunk(text_event("one")).wait(&gate).chunk(finish_event()).chunk(DONE).end_chunks(),
    );
    mock.script("q", Script::json(200, reply("fine")));
    let rows = [row(&mock, "p", ""), row(&mock, "q", "")];
    let mut gateway = setup(&rows, "server: { limits: { shutdown: 1s } }").start();
    let mut stream = gateway.open(CHAT, body("p/m", true));
    let mut got = stream_until(&mut stream, "one");
    let open = || {
        let mut kept = gateway.connect();
        kept.send(&request("GET", "/livez", &gateway.host(), &[], b""));
        assert_eq!(kept.reply().status, 200);
        kept
    };
    let (mut calling, mut silent) = (open(), open());
    let _successor = hand_over(&gateway, gateway.process.id(), 1);
    gateway.process.wait_line("this one ends when its calls have ended");
    // A client with an open connection gets its next reply on it, and is told to take another one.
    let bytes = body("q/m", false);
    calling.send(&request("POST", CHAT, &gateway.host(), &[("content-type", "application/json")], bytes.as_bytes()));
    let answer = calling.reply();
    assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{}", answer.text());
    assert!(calling.closed());
    // One that asks for nothing is closed in the end. The call goes on, though the limit for stopping is over.
    assert!(silent.closed());
    assert!(gateway.process.exited().is_none(), "a call was cut");
    gate.open();
    got.extend(stream.read_rest());
    assert!(got.ends_with(DONE.as_bytes()), "{}", String::from_utf8_lossy(&got));
    assert!(gateway.process.wait().success());
    assert_eq!(gateway.post(CHAT, body("q/m", false)).status, 200);
}

/// Replaces the program by a script.
fn script(gateway: &Gateway, text: &str) {
    use std::os::unix::fs::PermissionsExt as _;
    let path: PathBuf = gateway.folder().join("sluice");
    let aside = path.with_extension("new");
    std::fs::write(&aside, text).unwrap();
    std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::fs::rename(&aside, &path).unwrap();
}

#[test]
fn a_new_program_that_does_not_serve_changes_nothing() {
    let mock = Mock::start();
    mock.script("p", Script::json(200, reply("fine")));
    let mut gateway = setup(&[row(&mock, "p", "")], "").program("sluice").start();
    Loop::beside(&gateway, "p/m", &[], || {
        let goes_on = |why: &str| {
            gateway.process.signal(USR2);
            wait_for(why, || gateway.process.err.all().into_iter().find(|line| line.contains(why)));
        };
        script(&gateway, "#!/bin/sh\nexit 3\n");
        goes_on("exit status: 3");
        std::fs::remove_file(gateway.folder().join("sluice")).unwrap();
        goes_on("cannot be started");
    });
    assert!(gateway.process.err.find("this process goes on").is_some());
    assert!(gateway.process.exited().is_none());
    // A required plugin that the new process would miss is reason enough.
    install(&gateway.folder().join("sluice"));
    let text = format!("providers:\n{}plugins: {{ required: [guard] }}\n", row(&mock, "p", ""));
    replace(&gateway.folder().join("sluice.yaml"), text.as_bytes());
    wait_for("not ready", || (gateway.get("/readyz").status == 503).then_some(()));
    gateway.process.signal(USR2);
    gateway.process.wait_line("is not taken over from");
    replace(&gateway.plugins().join("guard.wasm"), &component("nop"));
    wait_for("ready", || (gateway.get("/readyz").status == 200).then_some(()));
    wait_for("the refusal to be seen", || {
        (gateway.process.err.text().matches("this process goes on").count() > 2).then_some(())
    });
    let _successor = hand_over(&gateway, gateway.process.id(), 1);
    assert!(gateway.process.wait().success());
    assert_eq!(gateway.post(CHAT, body("p/m", false)).status, 200);
}

#[test]
fn asked_to_stop_while_the_new_one_starts_both_end() {
    let mock = Mock::start();
    let mut gateway = setup(&[row(&mock, "p", "")], "").program("sluice").start();
    script(&gateway, "#!/bin/sh\necho $$ > started\nexec sleep 1000\n");
    gateway.process.signal(USR2);
    let started = wait_for("the new one to start", || {
        std::fs::read_to_string(gateway.folder().join("started")).ok()?.trim().parse::<u32>().ok()
    });
    gateway.process.signal(TERM);
    assert!(gateway.process.wait().success());
    wait_for("the new one to be ended", || ended(started).then_some(()));
}

#[test]
fn what_needs_a_restart_is_live_after_one() {
    let mock = Mock::start();
    mock.script("p", Script::json(200, reply("fine")));
    let text = |threads: usize| format!("providers:\n{}server: {{ threads: {threads} }}\n", row(&mock, "p", ""));
    let gateway = Setup::config(text(1)).env("MOCK_KEY", PROVIDER_KEY).start();
    let mut process = gateway.process.id();
    let mut successors = Vec::new();
    for (count, threads) in [(1, 3), (2, 2), (3, 1)] {
        replace(&gateway.folder().join("sluice.yaml"), text(threads).as_bytes());
        let needed = || gateway.get("/health").json()["restart_needed"].clone();
        wait_for("a restart to be needed", || (needed() == serde_json::json!(["server.threads"])).then_some(()));
        let next = hand_over(&gateway, process, count);
        wait_for("the old process to end", || ended(process).then_some(()));
        process = next.0;
        successors.push(next);
        assert_eq!(needed(), serde_json::json!([]));
        // Every socket is accepted on, whatever the number of threads: the kernel picks one for each connection.
        for _ in 0..40 {
            assert_eq!(gateway.post(CHAT, body("p/m", false)).status, 200);
        }
    }
}

#[test]
fn a_service_manager_gives_the_sockets_and_is_told_who_serves() {
    let mock = Mock::start();
    mock.script("p", Script::json(200, reply("fine")));
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("sluice.yaml");
    // The configured address goes unused: the manager's comes first.
    let text = format!("server: {{ listen: 127.0.0.1:1 }}\nproviders:\n{}", row(&mock, "p", ""));
    std::fs::write(&config, text).unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let told = folder.path().join("notify");
    let manager = UnixDatagram::bind(&told).unwrap();
    manager.set_read_timeout(Some(sluice_tests::LIMIT)).unwrap();
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "LISTEN_PID=$$ LISTEN_FDS=1 exec \"$0\" \"$@\""]).arg(binary());
    command.args(["serve", "--config"]).arg(&config).current_dir(folder.path());
    command.env("NOTIFY_SOCKET", &told).env("HOME", folder.path()).env("MOCK_KEY", PROVIDER_KEY);
    let fd = listener.as_raw_fd();
    // SAFETY: one system call between fork and exec, on descriptors that are open.
    unsafe {
        command.pre_exec(move || if libc::dup2(fd, 3) == 3 { Ok(()) } else { Err(std::io::Error::last_os_error()) });
    }
    let mut process = Process::spawn(&mut command);
    let said = || {
        let mut text = [0; 512];
        let count = manager.recv(&mut text).unwrap();
        String::from_utf8_lossy(&text[..count]).into_owned()
    };
    let first = said();
    assert!(first.contains("READY=1") && first.contains(&format!("MAINPID={}\n", process.id())), "{first}");
    drop(listener);
    let line = process.wait_line("listening on http://");
    assert!(line.contains(&address.to_string()), "{line}");
    // It hands over as any other does.
    process.signal(USR2);
    let second = said();
    let number = second.lines().find_map(|line| line.strip_prefix("MAINPID=")).unwrap().parse().unwrap();
    let _successor = Successor(number);
    assert_ne!(number, process.id());
    assert!(process.wait().success());
    let bytes = body("p/m", false);
    let mut connection = sluice_tests::http::Connection::open(address);
    connection.send(&request(
        "POST",
        CHAT,
        &address.to_string(),
        &[("content-type", "application/json")],
        bytes.as_bytes(),
    ));
    assert_eq!(connection.reply().status, 200);
}
