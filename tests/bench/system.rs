//! What the operating system knows: CPU time and memory of processes, the machine's name. Linux only; the caller checks.

use std::process::{Command, Stdio};

/// Clock ticks a second of `/proc/PID/stat`; Linux fixes it at 100 for user space.
const TICKS: f64 = 100.0;

pub(crate) fn has(program: &str) -> bool {
    Command::new(program).arg("-v").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

/// Parent, and user and system time in seconds.
fn stat(pid: &str) -> Option<(u32, f64)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<f64>().ok()? + fields.get(12)?.parse::<f64>().ok()?;
    Some((fields.get(1)?.parse().ok()?, ticks / TICKS))
}

/// CPU seconds of a process and its children that live.
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let own = stat(&pid.to_string()).map_or(0.0, |(_, time)| time);
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = entries.filter_map(|entry| {
        let name =
            entry.file_name().into_string().ok().filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))?;
        stat(&name).filter(|(parent, _)| *parent == pid).map(|(_, time)| time)
    });
    own + children.sum::<f64>()
}

/// One line that names the machine.
pub(crate) fn machine() -> String {
    let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = text.lines().find(|line| line.starts_with("model name")).and_then(|line| line.split(": ").nth(1));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    format!(
        "Machine: {}, {cores} cores, Linux {}, load {load} at start.",
        model.unwrap_or("unknown processor"),
        kernel.trim()
    )
}
