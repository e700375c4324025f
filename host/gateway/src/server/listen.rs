//! Opening the listening sockets: one of each address for every serving thread.

use std::io;
use std::net::{SocketAddr, TcpListener};

use socket2::{Domain, Protocol, Socket, Type};

const BACKLOG: i32 = 1024;

/// Sockets that listen but are not served yet, so that whoever starts the gateway learns of a taken port before anything else runs.
#[derive(Debug)]
pub struct Listening {
    pub(super) threads: Vec<Vec<TcpListener>>,
    addresses: Vec<SocketAddr>,
}

impl Listening {
    /// Opens `addresses` for `threads` serving threads. Port 0 takes a free port, the same for every thread. An IPv6 address that the
    /// machine does not have is left out if another address is open. Sockets of `inherited` that listen on one of the addresses are used
    /// for it; the others are closed.
    ///
    /// # Errors
    /// Says which address cannot be opened and, for a taken port, how to choose another.
    pub fn open(addresses: &[SocketAddr], threads: usize, inherited: Vec<TcpListener>) -> Result<Listening, String> {
        let threads = threads.max(1);
        let mut inherited: Vec<(SocketAddr, TcpListener)> =
            inherited.into_iter().filter_map(|socket| Some((socket.local_addr().ok()?, socket))).collect();
        let mut sockets: Vec<Vec<TcpListener>> = (0..threads).map(|_| Vec::new()).collect();
        let mut opened = Vec::new();
        let mut missing = Vec::new();
        for address in addresses {
            let result = match claim(*address, &mut inherited) {
                Some((actual, listeners)) => share_out(actual, threads, listeners).map(|all| (actual, all)),
                None => open_all(*address, threads),
            };
            match result {
                Ok((actual, listeners)) => {
                    opened.push(actual);
                    for (at, listener) in listeners.into_iter().enumerate() {
                        if let Some(thread) = sockets.get_mut(at % threads) {
                            thread.push(listener);
                        }
                    }
                }
                Err(error) if address.is_ipv6() && is_absent(&error) => missing.push((*address, error)),
                Err(error) => return Err(explain(*address, &error)),
            }
        }
        match missing.first() {
            Some((address, error)) if opened.is_empty() => Err(explain(*address, error)),
            None if opened.is_empty() => {
                Err("no address to listen on: name one with --listen or server.listen".to_owned())
            }
            _ => {
                for (address, error) in missing {
                    tracing::warn!(%address, %error, "not listening there: the machine has no such address");
                }
                Ok(Listening { threads: sockets, addresses: opened })
            }
        }
    }

    /// All sockets once more, to be handed to another process.
    ///
    /// # Errors
    /// Out of file descriptors.
    pub fn duplicate(&self) -> io::Result<Vec<TcpListener>> {
        self.threads.iter().flatten().map(TcpListener::try_clone).collect()
    }

    /// Where clients reach the gateway, with the ports that were chosen.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }
}

/// The inherited sockets of an address. Port 0 is whichever port the process before took for it.
fn claim(
    address: SocketAddr,
    inherited: &mut Vec<(SocketAddr, TcpListener)>,
) -> Option<(SocketAddr, Vec<TcpListener>)> {
    let fits = |found: SocketAddr| found == address || (address.port() == 0 && found.ip() == address.ip());
    let actual = inherited.iter().map(|(found, _)| *found).find(|found| fits(*found))?;
    let mut claimed = Vec::new();
    let mut rest = Vec::new();
    for (found, socket) in inherited.drain(..) {
        if found == actual { claimed.push(socket) } else { rest.push((found, socket)) }
    }
    *inherited = rest;
    Some((actual, claimed))
}

/// At least one socket for each thread. None of those that are there may be left out: the kernel gives each its share of the connections.
fn share_out(address: SocketAddr, threads: usize, mut listeners: Vec<TcpListener>) -> io::Result<Vec<TcpListener>> {
    while listeners.len() < threads {
        let next = match listeners.first() {
            Some(first) if !shares_port(first) => first.try_clone()?,
            _ => {
                let next = bind(address, true)?;
                next.listen(BACKLOG)?;
                next.into()
            }
        };
        listeners.push(next);
    }
    Ok(listeners)
}

fn shares_port(listener: &TcpListener) -> bool {
    #[cfg(target_os = "linux")]
    return socket2::SockRef::from(listener).reuse_port().unwrap_or(false);
    #[cfg(not(target_os = "linux"))]
    return listener.local_addr().is_err();
}

/// On Linux the kernel spreads new connections over sockets that share a port. Elsewhere it does not, so the threads share one socket.
fn open_all(address: SocketAddr, threads: usize) -> io::Result<(SocketAddr, Vec<TcpListener>)> {
    let share = cfg!(target_os = "linux") && threads > 1;
    if share && address.port() != 0 {
        // A shared port would silently be shared with another gateway, too: a first bind that does not share finds out.
        drop(bind(address, false)?);
    }
    let first = bind(address, share)?;
    first.listen(BACKLOG)?;
    let first: TcpListener = first.into();
    let actual = first.local_addr()?;
    Ok((actual, share_out(actual, threads, vec![first])?))
}

fn bind(address: SocketAddr, share: bool) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    // A restart must not wait for the connections of the process before.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    #[cfg(target_os = "linux")]
    socket.set_reuse_port(share)?;
    #[cfg(not(target_os = "linux"))]
    let _ = share;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

/// Whether the machine lacks the address or its whole family. A family that is switched off has no error kind of its own (EAFNOSUPPORT).
fn is_absent(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::AddrNotAvailable || matches!(error.raw_os_error(), Some(97 | 47))
}

fn explain(address: SocketAddr, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => format!(
            "cannot listen on {address}: port {} is in use; choose another with --port or server.listen",
            address.port()
        ),
        io::ErrorKind::PermissionDenied => {
            format!(
                "cannot listen on {address}: not permitted; choose a port from 1024 up with --port or server.listen"
            )
        }
        _ => format!("cannot listen on {address}: {error}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_even_by_a_second_gateway() {
        let any = [SocketAddr::from(([127, 0, 0, 1], 0))];
        let first = Listening::open(&any, 3, Vec::new()).unwrap();
        let taken = first.addresses()[0];
        assert_ne!(taken.port(), 0);
        assert!(first.threads.iter().all(|sockets| sockets[0].local_addr().unwrap() == taken));
        for threads in [1, 3] {
            let error = Listening::open(&[taken], threads, Vec::new()).unwrap_err();
            assert!(error.contains("--port") && error.contains(&taken.port().to_string()), "{error}");
        }
        drop(first);
        Listening::open(&[taken], 2, Vec::new()).unwrap();
    }

    #[test]
    fn nothing_to_listen_on_is_an_error() {
        assert!(Listening::open(&[], 1, Vec::new()).unwrap_err().contains("--listen"));
    }

    #[test]
    fn sockets_of_the_process_before_are_all_used_whatever_the_number_of_threads() {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        for (before, after) in [(1, 1), (1, 3), (3, 1), (2, 3), (3, 2)] {
            let first = Listening::open(&[any], before, Vec::new()).unwrap();
            let (address, handed) = (first.addresses()[0], first.duplicate().unwrap());
            assert_eq!(handed.len(), before);
            let elsewhere = TcpListener::bind(any).unwrap();
            let other = elsewhere.local_addr().unwrap();
            let second = Listening::open(&[any], after, handed.into_iter().chain([elsewhere]).collect()).unwrap();
            assert_eq!(second.addresses(), [address], "{before} to {after}");
            let all: Vec<usize> = second.threads.iter().map(Vec::len).collect();
            assert_eq!((all.len(), all.iter().sum::<usize>()), (after, before.max(after)), "{before} to {after}");
            assert!(all.iter().all(|count| *count > 0));
            // What nobody asked for any more is closed.
            TcpListener::bind(other).unwrap();
        }
    }
}
