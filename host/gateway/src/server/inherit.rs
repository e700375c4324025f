//! Listening sockets that the process was started with: by a service manager (`LISTEN_FDS` and `LISTEN_PID`, as systemd has it) or by the
//! process that it is to replace.
//!
//! This is the receiving side; who hands over is `cli/handover.rs`. It opens nothing.

use std::net::{SocketAddr, TcpListener};

/// Says that the process before this one hands over: the file descriptor to tell it on, and its process id.
pub const HANDOVER: &str = "SLUICE_HANDOVER";
/// Set from the first process on where a service manager chose the addresses.
pub const ACTIVATED: &str = "SLUICE_ACTIVATED";
pub const LISTEN_FDS: &str = "LISTEN_FDS";
pub const LISTEN_PID: &str = "LISTEN_PID";

/// What the new process writes when it serves.
pub const READY: &[u8] = b"ready\n";

/// File descriptors of sockets begin here.
pub const FIRST_FD: i32 = 3;
/// More than any machine has use for.
const MOST: i32 = 4096;

/// See the module.
#[derive(Debug, Default)]
pub struct Inherited {
    pub sockets: Vec<TcpListener>,
    /// A service manager chose the addresses: they go before the configured ones.
    pub activated: bool,
    pub before: Option<Before>,
}

/// The process that hands over.
#[derive(Debug)]
pub struct Before {
    pub process: u32,
    /// To be told that this process serves.
    pub ready: std::fs::File,
}

impl Inherited {
    /// Takes what the environment announces. Once, and before anything is opened: what is announced is taken for granted.
    ///
    /// # Errors
    /// Something else than listening TCP sockets was handed over.
    #[cfg(unix)]
    pub fn take(env: &dyn Fn(&str) -> Option<String>) -> Result<Inherited, String> {
        let handover = env(HANDOVER).and_then(|text| {
            let (fd, process) = text.split_once(':')?;
            Some((fd.parse::<i32>().ok()?, process.parse::<u32>().ok()?))
        });
        let ours = env(LISTEN_PID).and_then(|text| text.parse().ok()) == Some(std::process::id());
        if handover.is_none() && !ours {
            return Ok(Inherited::default());
        }
        let count =
            env(LISTEN_FDS).and_then(|text| text.parse::<i32>().ok()).filter(|count| (0..=MOST).contains(count));
        let count = count.ok_or_else(|| format!("{LISTEN_FDS} is no number of sockets"))?;
        let sockets = (FIRST_FD..FIRST_FD + count).map(socket).collect::<Result<Vec<_>, _>>()?;
        let before = handover.map(|(fd, process)| {
            use std::os::fd::FromRawFd as _;
            // SAFETY: the process before this one opened it for this one alone, and nothing has taken it yet.
            #[allow(unsafe_code)]
            let ready = unsafe { std::fs::File::from_raw_fd(fd) };
            Before { process, ready }
        });
        Ok(Inherited { activated: before.is_none() || env(ACTIVATED).is_some(), sockets, before })
    }

    #[cfg(not(unix))]
    pub fn take(_: &dyn Fn(&str) -> Option<String>) -> Result<Inherited, String> {
        Ok(Inherited::default())
    }

    /// The addresses that a service manager chose, as the command line would write them.
    pub fn addresses(&self) -> Vec<String> {
        let mut addresses: Vec<SocketAddr> = Vec::new();
        for address in self.sockets.iter().filter_map(|socket| socket.local_addr().ok()) {
            if self.activated && !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        addresses.iter().map(SocketAddr::to_string).collect()
    }
}

#[cfg(unix)]
fn socket(fd: i32) -> Result<TcpListener, String> {
    use std::os::fd::FromRawFd as _;
    // SAFETY: announced by whoever started this process, and taken once, before anything else was opened.
    #[allow(unsafe_code)]
    let socket = unsafe { socket2::Socket::from_raw_fd(fd) };
    let bad = |error: std::io::Error| format!("the socket that was handed over as file descriptor {fd}: {error}");
    let address = socket.local_addr().map_err(bad)?;
    if address.as_socket().is_none() || !socket.is_listener().map_err(bad)? {
        return Err(format!("file descriptor {fd} was handed over and is no listening TCP socket"));
    }
    socket.set_cloexec(true).map_err(bad)?;
    socket.set_nonblocking(true).map_err(bad)?;
    Ok(socket.into())
}
