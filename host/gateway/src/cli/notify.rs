//! What a service manager that started Sluice is told: that it serves, and by which process. Without one nothing is sent.

/// The gateway serves, and this process is the one to watch: after a hand-over it is another than the manager started.
pub fn serving() {
    #[cfg(unix)]
    unix::send(&format!("READY=1\nMAINPID={}\nSTATUS=serving", std::process::id()));
}

/// Calls under way end, and then the process.
pub fn stopping() {
    #[cfg(unix)]
    unix::send("STOPPING=1\nSTATUS=stopping");
}

#[cfg(unix)]
mod unix {
    use std::os::unix::ffi::OsStrExt as _;
    use std::os::unix::net::{SocketAddr, UnixDatagram};

    pub(super) fn send(message: &str) {
        let Some(path) = std::env::var_os("NOTIFY_SOCKET").filter(|path| !path.is_empty()) else { return };
        let address = match path.as_bytes().strip_prefix(b"@") {
            #[cfg(target_os = "linux")]
            Some(name) => <SocketAddr as std::os::linux::net::SocketAddrExt>::from_abstract_name(name),
            _ => SocketAddr::from_pathname(&path),
        };
        let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address));
        if let Err(error) = sent {
            tracing::warn!("the service manager cannot be told at NOTIFY_SOCKET: {error}");
        }
    }
}
