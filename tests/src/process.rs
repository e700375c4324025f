//! A child process whose output is collected line by line and which dies with the test.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crate::LIMIT;

/// Lines of one output, growing while the process runs.
#[derive(Clone, Debug, Default)]
pub struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn follow(from: impl Read + Send + 'static) -> Lines {
        let lines = Lines::default();
        let into = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).split(b'\n') {
                let Ok(line) = line else { return };
                into.lock().push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        lines
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub fn all(&self) -> Vec<String> {
        self.lock().clone()
    }

    pub fn text(&self) -> String {
        self.lock().join("\n")
    }

    pub fn find(&self, part: &str) -> Option<String> {
        self.lock().iter().find(|line| line.contains(part)).cloned()
    }
}

/// Killed and reaped on drop.
#[derive(Debug)]
pub struct Process {
    child: Child,
    pub out: Lines,
    pub err: Lines,
}

impl Process {
    pub fn spawn(command: &mut Command) -> Process {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot start {command:?}: {error}"));
        let out = Lines::follow(child.stdout.take().expect("piped"));
        let err = Lines::follow(child.stderr.take().expect("piped"));
        Process { child, out, err }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// KiB in memory; `None` where the system does not tell, or the process is gone.
    pub fn resident_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.id())).ok()?;
        status.lines().find(|line| line.starts_with("VmRSS:"))?.split_whitespace().nth(1)?.parse().ok()
    }

    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("wait for the child")
    }

    /// Waits for the process to end by itself.
    pub fn wait(&mut self) -> ExitStatus {
        crate::wait_for("the process to end", || self.exited())
    }

    /// Sends a signal by number: 15 to end gracefully.
    pub fn signal(&self, number: i32) {
        let sent = Command::new("kill").arg(format!("-{number}")).arg(self.id().to_string()).status();
        assert!(sent.is_ok_and(|status| status.success()), "cannot signal {}", self.id());
    }

    /// Waits for a line of standard error that contains `part`; panics with the output where the process ends first.
    pub fn wait_line(&mut self, part: &str) -> String {
        let started = Instant::now();
        loop {
            if let Some(line) = self.err.find(part) {
                return line;
            }
            let ended = self.exited();
            assert!(
                ended.is_none() && started.elapsed() < LIMIT,
                "no line with {part:?} (ended: {ended:?}); stderr:\n{}\nstdout:\n{}",
                self.err.text(),
                self.out.text()
            );
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}
