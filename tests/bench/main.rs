//! Speed against nginx in one run: CPU per call and calls per second of nginx and of Sluice without plugins, with one and with three,
//! whole and streamed; what a hook costs; how soon a dropped plugin is live; memory.
//!
//! Figures count only as ratios within one run. It judges nothing by itself: it prints a table for people to judge.
#![allow(clippy::print_stdout, clippy::print_stderr, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod contender;
mod hooks;
mod load;
mod system;
mod translation;
mod view;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use contender::{Contender, Provider};
use load::Figures;
use sluice_tests::gateway::{self, Setup};

/// What can be set on the command line: `--seconds 3 --rounds 3 --connections 32 --threads 2`. As many threads as cores is how both are
/// deployed; with fewer, the load tool and the provider sleep between calls, and waking them is charged to the slower proxy.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options {
    seconds: u32,
    rounds: usize,
    connections: u32,
    /// Serving threads of Sluice and workers of nginx alike.
    threads: u32,
}

impl Options {
    fn read() -> Options {
        let threads = std::thread::available_parallelism().map_or(1, |cores| u32::try_from(cores.get()).unwrap_or(1));
        let mut options = Options { seconds: 3, rounds: 3, connections: 16 * threads, threads };
        let arguments: Vec<String> = std::env::args().skip(1).collect();
        for pair in arguments.chunks(2) {
            let value = pair.get(1).and_then(|value| value.parse::<u32>().ok()).filter(|value| *value > 0);
            let Some(value) = value else {
                panic!("usage: sluice-bench [--seconds N] [--rounds N] [--connections N] [--threads N]")
            };
            match pair[0].as_str() {
                "--seconds" => options.seconds = value,
                "--rounds" => options.rounds = value as usize,
                "--connections" => options.connections = value,
                "--threads" => options.threads = value,
                other => panic!("unknown option {other}"),
            }
        }
        options
    }
}

/// A built component, if there is one.
pub(crate) fn wasm(name: &str) -> Option<Vec<u8>> {
    let target = gateway::binary().parent().and_then(|folder| folder.parent().map(PathBuf::from))?;
    let file = format!("{name}.wasm");
    ["guests", "plugins"].iter().find_map(|folder| std::fs::read(target.join(folder).join(&file)).ok())
}

fn main() {
    let options = Options::read();
    if !cfg!(target_os = "linux") {
        println!("SKIPPED: the benchmark reads CPU times from /proc, which only Linux has");
        return;
    }
    println!("{}\n", system::machine());
    println!(
        "{} rounds of {} s for each row, interleaved, medians; {} connections, {} serving thread(s) each.\n",
        options.rounds, options.seconds, options.connections, options.threads
    );
    if let Some(missing) = ["nginx", "wrk"].into_iter().find(|program| !system::has(program)) {
        println!("SKIPPED: calls: {missing} is not installed\n");
    } else {
        calls(&options);
    }
    hooks::run();
    translation::run();
    drop_to_live();
    memory();
}

fn calls(options: &Options) {
    let provider = Provider::start();
    let contenders = Contender::all(options, &provider);
    println!(
        "| 2 KB call, 8 messages | CPU per call, us | of nginx | calls per second | of nginx | streamed: CPU, us | of nginx | calls per second |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    let mut figures: Vec<[Vec<Figures>; 2]> = contenders.iter().map(|_| Default::default()).collect();
    // A first round warms up pools and page caches and is not counted.
    for round in 0..=options.rounds {
        for (contender, figures) in contenders.iter().zip(&mut figures) {
            for (stream, figures) in [false, true].into_iter().zip(figures) {
                let seconds = if round == 0 { 1 } else { options.seconds };
                let measured = load::run(contender, options.connections, seconds, stream);
                if round > 0 {
                    figures.push(measured);
                }
            }
        }
    }
    let medians: Vec<[Figures; 2]> =
        figures.iter().map(|pair| [load::median(&pair[0]), load::median(&pair[1])]).collect();
    let Some([floor, floor_stream]) = medians.first().copied() else { return };
    for (contender, [whole, stream]) in contenders.iter().zip(&medians) {
        println!(
            "| {} | {:.1} | {:.2} x | {:.0} | {:.2} x | {:.1} | {:.2} x | {:.0} |",
            contender.name,
            whole.cpu_us,
            whole.cpu_us / floor.cpu_us,
            whole.per_second,
            whole.per_second / floor.per_second,
            stream.cpu_us,
            stream.cpu_us / floor_stream.cpu_us,
            stream.per_second,
        );
    }
    println!();
}

/// Components that are live after this many drops show the spread.
const DROPS: usize = 5;

fn drop_to_live() {
    let Some(wasm) = wasm("deny-words") else {
        println!("SKIPPED: drop to live: no deny-words.wasm (make plugins)\n");
        return;
    };
    let gateway =
        Setup::config("providers:\n  p: { dialect: openai-chat, base_url: \"http://127.0.0.1:1/v1\" }\n").start();
    let mut times: Vec<Duration> = (0..DROPS)
        .map(|number| {
            let name = format!("words-{number}");
            // Another custom section each time: the cache of compiled code, keyed by digest, must not help.
            let mut component = wasm.clone();
            component.extend_from_slice(&[0, 3, 1, b'n', number as u8]);
            let settings = gateway.plugins().join(format!("{name}.yaml"));
            std::fs::write(settings, "settings: { words: [codename] }\n").expect("the plugin's settings");
            let dropped = Instant::now();
            gateway::replace(&gateway.plugins().join(format!("{name}.wasm")), &component);
            gateway.wait_plugin(&name, |state| state["state"] == "active");
            dropped.elapsed()
        })
        .collect();
    times.sort();
    let milliseconds = |time: Duration| time.as_secs_f64() * 1e3;
    println!(
        "| drop of `deny-words.wasm` to live, compiled anew | median {:.0} ms | longest {:.0} ms |\n|---|---|---|",
        milliseconds(times[DROPS / 2]),
        milliseconds(times[DROPS - 1])
    );
}

fn memory() {
    let (Some(reads), Some(words)) = (wasm("reads-all"), wasm("deny-words")) else {
        println!("SKIPPED: memory: no guests (make plugins guests)\n");
        return;
    };
    let gateway = Setup::config("providers:\n  p: { dialect: openai-chat, base_url: \"http://127.0.0.1:1/v1\" }\n")
        .plugin("reads-all.wasm", reads)
        .plugin("deny-words.wasm", words)
        .plugin("deny-words.yaml", "settings: { words: [codename] }\n")
        .start();
    for name in ["reads-all", "deny-words"] {
        gateway.wait_plugin(name, |state| state["state"] == "active");
    }
    let resident = gateway.process.resident_kib().unwrap_or(0) as f64 / 1024.0;
    println!("| memory (RSS) at rest with two plugins | {resident:.1} MiB | |");
}
