//! The programs under load: nginx as the floor, and Sluice in the set-ups to compare, each started once.

use std::net::TcpListener;
use std::process::Command;

use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::http::Connection;
use sluice_tests::process::Process;
use sluice_tests::wait_for;
use tempfile::TempDir;

use crate::{Options, wasm};

/// Twenty words that the load's text does not contain.
pub(crate) const WORDS: &str = "[codename, falcon, aurora, nightfall, bluebird, redwood, onyx, paragon, quicksilver, sandstorm, tempest, \
    umbra, vanguard, whirlwind, xenon, yellowstone, zephyr, basilisk, cobalt, dragonfly]";

/// The mock provider in a process of its own, whose CPU time is nobody's.
pub(crate) struct Provider {
    _process: Process,
    address: String,
}

impl Provider {
    pub(crate) fn start() -> Provider {
        let program = std::env::current_exe().expect("this program's path").with_file_name("mock-provider");
        let process = Process::spawn(Command::new(program).arg("127.0.0.1:0"));
        let line = wait_for("the mock provider", || process.out.find("listening on http://"));
        let address = line.split("http://").nth(1).unwrap_or_default().trim().to_owned();
        Provider { _process: process, address }
    }
}

/// A plugin's name and the text of its settings file.
type Planned<'a> = (&'a str, Option<&'a str>);

enum Running {
    Nginx { process: Process, _folder: TempDir },
    Sluice(Gateway),
}

impl Drop for Running {
    /// nginx's workers outlive a killed master, so it is asked.
    fn drop(&mut self) {
        if let Running::Nginx { process, .. } = self {
            process.signal(15);
            process.wait();
        }
    }
}

pub(crate) struct Contender {
    pub(crate) name: &'static str,
    /// Where the load goes.
    pub(crate) url: String,
    pub(crate) model: &'static str,
    running: Running,
}

impl Contender {
    pub(crate) fn pid(&self) -> u32 {
        match &self.running {
            Running::Nginx { process, .. } => process.id(),
            Running::Sluice(gateway) => gateway.process.id(),
        }
    }

    /// nginx first: the others are compared with it. Set-ups whose components are not built are left out with a message.
    pub(crate) fn all(options: &Options, provider: &Provider) -> Vec<Contender> {
        let words = format!("settings: {{ words: {WORDS} }}\n");
        let reads = ("reads-all", None);
        let deny = |name| (name, Some(words.as_str()));
        let mut out = vec![
            nginx(options, provider),
            sluice("Sluice, bare", options, provider, Setup::default(), "off"),
            sluice("Sluice, bare, access log on", options, provider, Setup::default(), "json"),
        ];
        let cache = ("response-cache", Some("grants: { kv: { max: 16MiB } }\n"));
        let with: [(&str, Vec<Planned>); 4] = [
            ("Sluice, 1 plugin that reads all text", vec![reads]),
            ("Sluice, `deny-words` with 20 words", vec![deny("deny-words")]),
            ("Sluice, 3 plugins", vec![reads, deny("deny-words"), ("nop", None)]),
            ("Sluice, `response-cache`, every call a hit", vec![cache]),
        ];
        for (name, plugins) in with {
            let setup = plugins.iter().try_fold(Setup::default(), |setup, (plugin, settings)| {
                let setup = setup.plugin(&format!("{plugin}.wasm"), wasm(plugin)?);
                Some(match settings {
                    Some(text) => setup.plugin(&format!("{plugin}.yaml"), *text),
                    None => setup,
                })
            });
            let Some(setup) = setup else {
                println!("SKIPPED: {name}: not built (make plugins guests)\n");
                continue;
            };
            let contender = sluice(name, options, provider, setup, "off");
            let Running::Sluice(gateway) = &contender.running else { continue };
            for (plugin, _) in plugins {
                gateway.wait_plugin(plugin, |state| state["state"] == "active");
            }
            out.push(contender);
        }
        out
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a free port").port()
}

fn nginx(options: &Options, provider: &Provider) -> Contender {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let port = free_port();
    let config = include_str!("nginx.conf.in")
        .replace("@THREADS@", &options.threads.to_string())
        .replace("@FOLDER@", &folder.path().display().to_string())
        .replace("@UPSTREAM@", &provider.address)
        .replace("@PORT@", &port.to_string());
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, config).expect("the nginx config");
    let mut command = Command::new("nginx");
    command.arg("-c").arg(&file).arg("-p").arg(folder.path()).arg("-e").arg(folder.path().join("nginx-error.log"));
    let mut process = Process::spawn(&mut command);
    let address = ([127, 0, 0, 1], port).into();
    wait_for("nginx to listen", || {
        assert!(process.exited().is_none(), "nginx ended: {}", process.err.text());
        Connection::try_open(address).ok()
    });
    let url = format!("http://127.0.0.1:{port}/bench/v1/chat/completions");
    Contender { name: "nginx `proxy_pass`", url, model: "load", running: Running::Nginx { process, _folder: folder } }
}

fn sluice(name: &'static str, options: &Options, provider: &Provider, setup: Setup, log: &str) -> Contender {
    let config = format!(
        "server: {{ threads: {} }}\nproviders:\n  bench: {{ dialect: openai-chat, base_url: \"http://{}/bench/v1\", keys: [\"env:BENCH_KEY\"] }}\n",
        options.threads, provider.address
    );
    let setup = Setup { config: Some(config), ..setup }
        .env("BENCH_KEY", "sk-bench-0123456789")
        .env("SLUICE_LOG", "warn,sluice=info");
    let gateway = setup.arg("--access-log").arg(log).start();
    let url = gateway.url("/v1/chat/completions");
    Contender { name, url, model: "bench/load", running: Running::Sluice(gateway) }
}
