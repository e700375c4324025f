//! A gateway's folder that outlives its processes: started, ended, edited and started again, on the same state.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde_json::Value;
use sluice_tests::LIMIT;
use sluice_tests::gateway::{command, replace};
use sluice_tests::http::{Connection, Reply, request};
use sluice_tests::process::Process;

use crate::support::{CHAT, PROVIDER_KEY};

pub(crate) struct Site {
    folder: tempfile::TempDir,
    args: Vec<String>,
}

/// How a start ended.
pub(crate) enum Start {
    Up(Running),
    /// By itself, with this code; what it said.
    Ended(Option<i32>, String),
}

pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) address: SocketAddr,
}

impl Site {
    pub(crate) fn new(config: &str) -> Site {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("plugins")).unwrap();
        let site = Site { folder, args: Vec::new() };
        replace(&site.config(), config.as_bytes());
        site
    }

    pub(crate) fn arg(mut self, arg: &str) -> Site {
        self.args.push(arg.to_owned());
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn config(&self) -> PathBuf {
        self.folder().join("sluice.yaml")
    }

    pub(crate) fn plugin(&self, file: &str) -> PathBuf {
        self.folder().join("plugins").join(file)
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.folder().join(".local/state/sluice")
    }

    /// A process that may not be up yet.
    pub(crate) fn spawn(&self) -> Process {
        let mut command = command(self.folder(), &[("MOCK_KEY".to_owned(), PROVIDER_KEY.to_owned())]);
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(self.config());
        command.arg("--plugins").arg(self.folder().join("plugins")).args(&self.args);
        Process::spawn(&mut command)
    }

    pub(crate) fn try_start(&self) -> Start {
        Running::wait(self.spawn())
    }

    #[track_caller]
    pub(crate) fn start(&self) -> Running {
        match self.try_start() {
            Start::Up(running) => running,
            Start::Ended(code, said) => panic!("it does not start (exit {code:?}):\n{said}"),
        }
    }

    #[track_caller]
    pub(crate) fn refused(&self) -> (Option<i32>, String) {
        match self.try_start() {
            Start::Up(_) => panic!("it starts"),
            Start::Ended(code, said) => (code, said),
        }
    }
}

impl Running {
    /// Waits until it listens, or ends.
    pub(crate) fn wait(mut process: Process) -> Start {
        let began = Instant::now();
        loop {
            let ended = process.exited();
            let listening = process.err.find("listening on http://");
            if let Some(address) = listening.and_then(|line| line.rsplit_once("http://")?.1.trim().parse().ok()) {
                return Start::Up(Running { process, address });
            }
            if let Some(status) = ended {
                // What it said last may still be on its way.
                sluice_tests::wait_for("its last words", || (!process.err.text().is_empty()).then_some(()));
                return Start::Ended(status.code(), process.err.text());
            }
            assert!(began.elapsed() < LIMIT, "neither up nor ended: {}", process.err.text());
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
    }

    fn call(&self, method: &str, path: &str, body: &[u8]) -> Reply {
        let mut connection = Connection::open(self.address);
        let headers: &[(&str, &str)] = if body.is_empty() { &[] } else { &[("content-type", "application/json")] };
        connection.send(&request(method, path, &self.address.to_string(), headers, body));
        connection.reply()
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.call("GET", path, b"")
    }

    /// The status of a chat call.
    pub(crate) fn chat(&self, model: &str, text: &str) -> u16 {
        let body = serde_json::json!({"model": model, "messages": [{"role": "user", "content": text}]});
        self.call("POST", CHAT, body.to_string().as_bytes()).status
    }

    pub(crate) fn plugins(&self) -> Value {
        self.get("/api/plugins").json()
    }

    pub(crate) fn plugin(&self, name: &str) -> Option<Value> {
        self.plugins()["plugins"].as_array()?.iter().find(|plugin| plugin["name"] == name).cloned()
    }

    #[track_caller]
    pub(crate) fn wait_plugin(&self, name: &str, check: impl Fn(&Value) -> bool) -> Value {
        sluice_tests::wait_for(&format!("the state of plugin {name}"), || {
            self.plugin(name).filter(|state| check(state))
        })
    }
}
