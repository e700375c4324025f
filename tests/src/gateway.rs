//! Starts the built `sluice` with a config, a plugin directory and a chosen environment, and talks to it over raw sockets.
//!
//! The program under test is the binary that users run, never a library call: what a test proves is proved for them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::http::{Connection, Reply, request};
use crate::process::Process;

/// What a gateway is started with. The environment is empty but for `PATH`, `HOME` (a temporary folder) and what is given here.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    /// The text of `sluice.yaml`; `None` starts without a config file.
    pub config: Option<String>,
    pub env: Vec<(String, String)>,
    /// File name in the plugin directory, and content.
    pub plugins: Vec<(String, Vec<u8>)>,
    /// Further arguments of `serve`.
    pub args: Vec<String>,
    /// A file of that name in the gateway's folder is the program: a link to the built one, which a test may replace.
    pub program: Option<String>,
}

impl Setup {
    pub fn config(text: impl Into<String>) -> Setup {
        Setup { config: Some(text.into()), ..Setup::default() }
    }

    pub fn env(mut self, name: &str, value: &str) -> Setup {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    pub fn plugin(mut self, file: &str, content: impl Into<Vec<u8>>) -> Setup {
        self.plugins.push((file.to_owned(), content.into()));
        self
    }

    pub fn arg(mut self, arg: &str) -> Setup {
        self.args.push(arg.to_owned());
        self
    }

    pub fn program(mut self, name: &str) -> Setup {
        self.program = Some(name.to_owned());
        self
    }

    pub fn start(self) -> Gateway {
        Gateway::start(self)
    }
}

/// The built program: `SLUICE_BIN`, else the one beside the running test's target folder.
pub fn binary() -> PathBuf {
    if let Some(path) = std::env::var_os("SLUICE_BIN") {
        return PathBuf::from(path);
    }
    let here = std::env::current_exe().expect("the test's own path");
    let found = here.ancestors().skip(1).take(2).map(|folder| folder.join("sluice")).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("no sluice binary beside {}: cargo build --release -p sluice", here.display()))
}

/// Copies the built program to `to`. By a process of its own: a descriptor open for writing here could be inherited by a program that another
/// test starts at that moment, and the copy would be too busy to run.
pub fn copy_program(to: &Path) {
    let copied = Command::new("cp").arg("-p").arg(binary()).arg(to).status();
    assert!(copied.is_ok_and(|status| status.success()), "no copy of the program at {}", to.display());
}

/// A command for the built program with an environment of its own.
pub fn command(home: &Path, env: &[(String, String)]) -> Command {
    program(&binary(), home, env)
}

fn program(path: &Path, home: &Path, env: &[(String, String)]) -> Command {
    let mut command = Command::new(path);
    command.env_clear().env("HOME", home).current_dir(home);
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.envs(env.iter().map(|(name, value)| (name, value)));
    command
}

/// A running gateway, stopped on drop.
#[derive(Debug)]
pub struct Gateway {
    pub process: Process,
    pub address: SocketAddr,
    folder: TempDir,
    env: Vec<(String, String)>,
    args: Vec<String>,
    program: PathBuf,
}

impl Gateway {
    pub fn start(setup: Setup) -> Gateway {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let plugins = folder.path().join("plugins");
        std::fs::create_dir(&plugins).expect("the plugin directory");
        for (name, content) in &setup.plugins {
            std::fs::write(plugins.join(name), content).expect("a plugin file");
        }
        let text = |path: &Path| path.to_str().expect("a path that is text").to_owned();
        let mut args = ["serve", "--listen", "127.0.0.1:0", "--plugins"].map(str::to_owned).to_vec();
        args.push(text(&plugins));
        if let Some(content) = &setup.config {
            let file = folder.path().join("sluice.yaml");
            std::fs::write(&file, content).expect("the config file");
            args.extend(["--config".to_owned(), text(&file)]);
        }
        args.extend(setup.args);
        let program = setup.program.map_or_else(binary, |name| {
            let path = folder.path().join(name);
            install(&path);
            path
        });
        let (process, address) = spawn(&program, folder.path(), &setup.env, &args);
        Gateway { process, address, folder, env: setup.env, args, program }
    }

    /// Ends it at once, and starts it again on what it left behind.
    pub fn restart(self) -> Gateway {
        let Gateway { process, folder, env, args, program, .. } = self;
        drop(process);
        let (process, address) = spawn(&program, folder.path(), &env, &args);
        Gateway { process, address, folder, env, args, program }
    }

    /// Ends it at once; the command would start it again.
    pub fn end(self) -> (TempDir, Command) {
        let Gateway { process, folder, env, args, .. } = self;
        drop(process);
        let mut command = command(folder.path(), &env);
        command.args(args);
        (folder, command)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn plugins(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub fn connect(&self) -> Connection {
        Connection::open(self.address)
    }

    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// One request on a connection of its own.
    pub fn call(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        let mut connection = self.connect();
        connection.send(&request(method, path, &self.host(), headers, body));
        connection.reply()
    }

    pub fn get(&self, path: &str) -> Reply {
        self.call("GET", path, &[], b"")
    }

    /// A JSON POST.
    pub fn post(&self, path: &str, body: impl AsRef<[u8]>) -> Reply {
        self.call("POST", path, &[("content-type", "application/json")], body.as_ref())
    }

    /// A JSON POST whose reply is to be read piece by piece.
    pub fn open(&self, path: &str, body: impl AsRef<[u8]>) -> Connection {
        let mut connection = self.connect();
        let headers = [("content-type", "application/json")];
        connection.send(&request("POST", path, &self.host(), &headers, body.as_ref()));
        connection
    }

    /// `GET /api/plugins`.
    pub fn plugin_states(&self) -> Value {
        let reply = self.get("/api/plugins");
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply.json()
    }

    /// The state of one plugin in `GET /api/plugins`, found by its name in a list or in an object keyed by name.
    pub fn plugin_state(&self, name: &str) -> Option<Value> {
        let all = self.plugin_states();
        let list = all.get("plugins").unwrap_or(&all);
        match list {
            Value::Array(items) => items.iter().find(|item| item["name"] == name).cloned(),
            _ => list.get(name).cloned(),
        }
    }

    /// Waits until that plugin's state satisfies `check`.
    pub fn wait_plugin(&self, name: &str, check: impl Fn(&Value) -> bool) -> Value {
        crate::wait_for(&format!("the state of plugin {name}"), || self.plugin_state(name).filter(|state| check(state)))
    }

    /// Waits for a line of standard output (the access log) that contains `part`.
    pub fn wait_access(&self, part: &str) -> String {
        crate::wait_for(&format!("an access log line with {part}"), || self.process.out.find(part))
    }
}

/// Puts the built program at `path` anew, whatever was there.
pub fn install(path: &Path) {
    let aside = path.with_extension("new");
    // A rename between two links to one file would leave both.
    std::fs::remove_file(path).ok();
    if std::fs::hard_link(binary(), &aside).is_err() {
        copy_program(&aside);
    }
    std::fs::rename(&aside, path).expect("rename over");
}

fn spawn(path: &Path, folder: &Path, env: &[(String, String)], args: &[String]) -> (Process, SocketAddr) {
    let mut process = Process::spawn(program(path, folder, env).args(args));
    let line = process.wait_line("listening on http");
    let address = address_in(&line).unwrap_or_else(|| panic!("no address in {line:?}"));
    (process, address)
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let rest = &line[line.find("://")? + "://".len()..];
    let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || ".:[]".contains(c))).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

/// Puts a file into a directory the way careful tools do: written aside, then renamed over.
pub fn replace(path: &Path, content: &[u8]) {
    let aside = path.with_extension("partial");
    std::fs::write(&aside, content).expect("a file beside the plugin");
    std::fs::rename(&aside, path).expect("rename over");
}
