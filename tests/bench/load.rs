//! One run of `wrk` against one contender, and what it says.

use std::process::Command;

use sluice_tests::load::request;

use crate::contender::Contender;
use crate::system::cpu_seconds;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Figures {
    pub(crate) cpu_us: f64,
    pub(crate) per_second: f64,
}

/// The load: the same POST again and again, and a last line that is easy to read.
fn script(contender: &Contender, stream: bool) -> String {
    let body = request(contender.model, stream);
    assert!(!body.contains("]=]"), "the body would end its own quotation");
    format!(
        "wrk.method = 'POST'\nwrk.body = [=[{body}]=]\nwrk.headers['content-type'] = 'application/json'\n\
         function done(summary, latency, requests)\n  local e = summary.errors\n\
         io.write(string.format('RESULT %d %d %d %d\\n', summary.requests, summary.duration, e.status, \
         e.connect + e.read + e.write + e.timeout))\nend\n"
    )
}

/// Panics where any call fails: figures of failing calls mean nothing.
pub(crate) fn run(contender: &Contender, connections: u32, seconds: u32, stream: bool) -> Figures {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("load.lua");
    std::fs::write(&file, script(contender, stream)).expect("the load script");
    let before = cpu_seconds(contender.pid());
    let mut wrk = Command::new("wrk");
    wrk.args(["-t", "1", "-c", &connections.to_string(), "-d", &format!("{seconds}s"), "--timeout", "30s", "-s"])
        .arg(&file);
    let output = wrk.arg(&contender.url).output().expect("wrk");
    let used = cpu_seconds(contender.pid()) - before;
    let text = String::from_utf8_lossy(&output.stdout);
    let line = text.lines().find_map(|line| line.strip_prefix("RESULT ")).unwrap_or_else(|| panic!("wrk said: {text}"));
    let numbers: Vec<f64> = line.split(' ').map(|word| word.parse().expect("a number")).collect();
    let [calls, microseconds, refused, broken] = numbers[..] else { panic!("wrk said: {text}") };
    assert!(calls > 0.0 && refused == 0.0 && broken == 0.0, "{}: calls failed: {text}", contender.name);
    Figures { cpu_us: used * 1e6 / calls, per_second: calls * 1e6 / microseconds }
}

pub(crate) fn median(figures: &[Figures]) -> Figures {
    let middle = |value: fn(&Figures) -> f64| {
        let mut values: Vec<f64> = figures.iter().map(value).collect();
        values.sort_by(f64::total_cmp);
        values.get(values.len() / 2).copied().unwrap_or(0.0)
    };
    Figures { cpu_us: middle(|figures| figures.cpu_us), per_second: middle(|figures| figures.per_second) }
}
