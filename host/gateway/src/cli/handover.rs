//! Handing over to a new process: the same command line, the program that is at its path now, the same sockets.
//!
//! The new process serves before the old one lets go, so no client sees a moment without a server; where it does not come to serve, the
//! old one goes on as if nothing had been asked. How the new one takes the sockets is `server/inherit.rs`.

use std::ffi::OsString;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use crate::server::{ACTIVATED, FIRST_FD, HANDOVER, LISTEN_FDS, LISTEN_PID, READY};

/// The new process may have many plugins to compile.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// What a new process needs, noted while the old one starts.
pub struct Handover {
    program: PathBuf,
    sockets: Vec<TcpListener>,
    /// A service manager chose the addresses.
    activated: bool,
}

/// A new process that does not serve yet. Dropped without being let go, it is ended.
pub struct Starting {
    child: Option<Child>,
    ready: pipe::Receiver,
}

impl Handover {
    /// `sockets` are duplicates: they keep the ports open until this is dropped.
    pub fn new(sockets: Vec<TcpListener>, activated: bool) -> Handover {
        Handover { program: program(), sockets, activated }
    }

    /// Starts the new process.
    ///
    /// # Errors
    /// In words for the log.
    pub fn start(&self) -> Result<Starting, String> {
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", self.program.display());
        let (ready, tell) = std::io::pipe().map_err(|error| failed(&error))?;
        let ready = pipe::Receiver::from_owned_fd(OwnedFd::from(ready)).map_err(|error| failed(&error))?;
        let count = i32::try_from(self.sockets.len()).map_err(|error| failed(&error))?;
        let mut command = Command::new(&self.program);
        command.args(std::env::args_os().skip(1));
        command.env(LISTEN_FDS, count.to_string()).env_remove(LISTEN_PID).env_remove("LISTEN_FDNAMES");
        command.env(HANDOVER, format!("{}:{}", FIRST_FD + count, std::process::id()));
        if self.activated {
            command.env(ACTIVATED, "1");
        }
        let handed = self.sockets.iter().map(AsFd::as_fd).chain([tell.as_fd()]);
        let handed = handed.map(|fd| aside(fd, FIRST_FD + count + 1)).collect::<io::Result<Vec<_>>>();
        give(&mut command, handed.map_err(|error| failed(&error))?);
        let child = command.spawn().map_err(|error| failed(&error))?;
        Ok(Starting { child: Some(child), ready })
    }
}

impl Starting {
    /// Waits until the new process serves, and lets it go.
    ///
    /// # Errors
    /// It ended, or did not come to serve in time; it is gone then.
    pub async fn serves(mut self) -> Result<u32, String> {
        let mut said = [0; READY.len()];
        let heard = tokio::time::timeout(READY_WITHIN, self.ready.read_exact(&mut said)).await;
        match heard {
            Ok(Ok(_)) if said == READY => match self.child.take() {
                Some(child) => Ok(child.id()),
                None => Err("it is gone".to_owned()),
            },
            Err(_) => Err(format!("it did not serve within {} seconds", READY_WITHIN.as_secs())),
            Ok(_) => Err(match self.child.take().map(|mut child| child.wait()) {
                Some(Ok(status)) => format!("it ended before it served ({status}); its own messages say why"),
                _ => "it ended before it served".to_owned(),
            }),
        }
    }
}

impl Drop for Starting {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // It fails where the process has ended already; waiting then takes it off the list all the same.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// A duplicate with a number from `least` up, out of the way of the numbers that the child is to see.
fn aside(fd: BorrowedFd<'_>, least: i32) -> io::Result<OwnedFd> {
    // SAFETY: duplicates an open descriptor; the result is new and nobody else's.
    #[allow(unsafe_code)]
    unsafe {
        match libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) {
            -1 => Err(io::Error::last_os_error()),
            new => Ok(OwnedFd::from_raw_fd(new)),
        }
    }
}

/// Gives the child these descriptors, numbered from [`FIRST_FD`] up.
fn give(command: &mut Command, handed: Vec<OwnedFd>) {
    let numbered = move || {
        for (number, fd) in (FIRST_FD..).zip(&handed) {
            // SAFETY: dup2 may be called between fork and exec; the numbers lie below all of `handed`, so none of them is overwritten.
            #[allow(unsafe_code)]
            let result = unsafe { libc::dup2(fd.as_raw_fd(), number) };
            if result == -1 {
                return Err(io::Error::last_os_error());
            }
        }
        Ok(())
    };
    // SAFETY: the closure makes system calls only; it takes no lock and allocates nothing.
    #[allow(unsafe_code)]
    unsafe {
        command.pre_exec(numbered);
    }
}

/// The program's path as it was called, links and all: an upgrade replaces the file or the link. The kernel's own answer would be the
/// file that was, even after it has been replaced.
fn program() -> PathBuf {
    let called: OsString = std::env::args_os().next().unwrap_or_default();
    let called = PathBuf::from(called);
    let found = if called.components().count() > 1 {
        std::path::absolute(&called).ok()
    } else {
        let folders = std::env::var_os("PATH").unwrap_or_default();
        std::env::split_paths(&folders).map(|folder| folder.join(&called)).find(|path| path.is_file())
    };
    found.filter(|path| path.is_file()).or_else(|| std::env::current_exe().ok()).unwrap_or(called)
}
