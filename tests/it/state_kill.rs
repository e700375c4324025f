//! Killed at any moment (while it starts, reloads, writes compiled code or state), the gateway starts again, with a whole chain of versions
//! that were accepted.
//!
//! `SLUICE_KILLS` raises the number of kills.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;
use sluice_tests::gateway::replace;
use sluice_tests::process::Process;

use crate::plugins_support::component;
use crate::restart_plugins::version;
use crate::restart_support::{Running, Site, Start};

const KILLS: usize = 1_000;
/// Each with a folder of its own, so that one of them always computes.
const TREES: usize = 3;

/// A generator that gives the same moments for the same seed; the seed is printed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// One plugin's files as the test last wrote them, and what the gateway may have accepted of them.
struct Plugin {
    name: &'static str,
    /// What shows which version is live: its digest, or its order.
    shown: fn(&Value) -> String,
    /// The version in the file; `None` while the file is bad.
    file: Option<String>,
    /// Good versions since the last one that was seen live, that one included.
    accepted: BTreeSet<String>,
}

struct Tree {
    site: Site,
    random: Random,
    nop: Vec<u8>,
    plugins: [Plugin; 2],
    number: usize,
    /// Kills by what was going on.
    starting: usize,
    running: usize,
    /// Of these, those that left a half-written file.
    writing: usize,
    stale: usize,
}

impl Tree {
    fn new(seed: u64) -> Tree {
        let site = Site::new("server: { threads: 1 }\n");
        let plugin = |name, shown| Plugin { name, shown, file: None, accepted: BTreeSet::new() };
        let plugins = [
            plugin("code", |state| state["digest"].as_str().unwrap().to_owned()),
            plugin("settings", |state| state["order"].to_string()),
        ];
        replace(&site.plugin("settings.wasm"), &component("nop"));
        let mut tree = Tree {
            site,
            random: Random(seed),
            nop: component("nop"),
            plugins,
            number: 0,
            starting: 0,
            running: 0,
            writing: 0,
            stale: 0,
        };
        tree.swap_code(true);
        tree.swap_settings(true);
        tree
    }

    /// Puts another component there: one whose code may be kept, a new one, or a bad one.
    fn swap_code(&mut self, good: bool) {
        self.number += 1;
        let number = if self.random.one_in(3) { self.number } else { self.number % 5 };
        let bytes = if good { version(&self.nop, number) } else { self.nop[..self.nop.len() / 2].to_vec() };
        let plugin = &mut self.plugins[0];
        plugin.file = good.then(|| digest(&bytes));
        plugin.accepted.extend(plugin.file.clone());
        replace(&self.site.plugin("code.wasm"), &bytes);
    }

    fn swap_settings(&mut self, good: bool) {
        self.number += 1;
        let order = self.number;
        let text = if good { format!("order: {order}\n") } else { "order: [\n".to_owned() };
        let plugin = &mut self.plugins[1];
        plugin.file = good.then(|| order.to_string());
        plugin.accepted.extend(plugin.file.clone());
        replace(&self.site.plugin("settings.yaml"), text.as_bytes());
    }

    fn swap(&mut self) {
        let good = !self.random.one_in(5);
        if self.random.one_in(2) { self.swap_code(good) } else { self.swap_settings(good) }
    }

    /// Waits for the start and checks that the chain is whole: each plugin with the version in its file or, where that is bad, with one
    /// that was accepted before.
    fn check(&mut self, process: Process) -> Running {
        let running = match Running::wait(process) {
            Start::Up(running) => running,
            Start::Ended(code, said) => panic!("it does not start again (exit {code:?}):\n{said}"),
        };
        let states = running.plugins();
        assert_eq!(states["plugins"].as_array().unwrap().len(), 2, "{states}");
        for plugin in &mut self.plugins {
            let state =
                states["plugins"].as_array().unwrap().iter().find(|state| state["name"] == plugin.name).unwrap();
            let live = (plugin.shown)(state);
            match &plugin.file {
                Some(file) => assert_eq!((state["state"].as_str(), &live), (Some("active"), file), "{state}"),
                None => {
                    assert_eq!(state["state"], "stale", "{state}");
                    assert!(plugin.accepted.contains(&live), "{live} is none of {:?}", plugin.accepted);
                    self.stale += 1;
                }
            }
            plugin.accepted = BTreeSet::from([live]);
        }
        running
    }

    fn pause(&mut self, most: Duration) {
        let moment = Duration::from_micros(self.random.below(most.as_micros() as u64));
        // Not a wait for anything: the moment of the kill.
        std::thread::sleep(moment);
    }

    /// At once, and waits for its end.
    fn kill(&mut self, process: Process) {
        drop(process);
        let mut files = Vec::new();
        if self.site.state().exists() {
            crate::restart_plugins::files(&self.site.state(), &mut files);
        }
        let half = |file: &PathBuf| file.file_name().unwrap().to_string_lossy().starts_with(".new-");
        self.writing += usize::from(files.iter().any(half));
    }

    /// A start that is checked, a change, a kill at some moment after it; and now and then one in the middle of a start.
    fn round(&mut self) {
        let process = self.site.spawn();
        let running = self.check(process);
        self.swap();
        if self.random.one_in(2) {
            self.swap();
        }
        // Reloading begins some 80 ms after the change.
        self.pause(Duration::from_millis(130));
        self.kill(running.process);
        self.running += 1;
        while self.random.one_in(2) {
            let mut process = self.site.spawn();
            self.pause(Duration::from_millis(100));
            let ended = process.exited();
            assert!(ended.is_none(), "it ended by itself ({ended:?}):\n{}", process.err.text());
            self.kill(process);
            self.starting += 1;
            self.swap();
        }
    }
}

fn digest(bytes: &[u8]) -> String {
    sluice::config::digest_text(bytes)
}

#[test]
fn killed_at_any_moment_it_starts_again_with_a_whole_chain() {
    let kills = std::env::var("SLUICE_KILLS").ok().and_then(|text| text.parse().ok()).unwrap_or(KILLS);
    let seed = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {seed}");
    let began = Instant::now();
    let trees: Vec<Tree> = std::thread::scope(|scope| {
        let run = |number: usize| {
            let mut tree = Tree::new(seed ^ (number as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
            while tree.starting + tree.running < kills / TREES + 1 {
                tree.round();
            }
            let process = tree.site.spawn();
            drop(tree.check(process));
            tree
        };
        let threads: Vec<_> = (0..TREES).map(|number| scope.spawn(move || run(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let sum = |of: fn(&Tree) -> usize| trees.iter().map(of).sum::<usize>();
    let (starting, running, stale) = (sum(|tree| tree.starting), sum(|tree| tree.running), sum(|tree| tree.stale));
    println!(
        "{} kills in {:?}: {starting} while starting, {running} while reloading, {} of them in the middle of a write; {stale} times a \
         last good version served",
        starting + running,
        began.elapsed(),
        sum(|tree| tree.writing)
    );
    assert!(starting + running >= kills);
    assert!(kills < 500 || (starting > kills / 5 && running > kills / 5 && stale > kills / 50));
}
