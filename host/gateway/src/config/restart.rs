//! What a running gateway cannot take from a new configuration: the one list of such fields.

use super::resolved::{Clients, Config};

/// Fields whose new value counts only after a restart, as paths in the file.
pub const RESTART: [&str; 2] = ["server.listen", "server.threads"];

/// Puts what is in force in place of what cannot change while running, and gives the fields that differ. Everything that follows from
/// the addresses follows from those in force: nobody is let in by an address that is not listened on yet.
pub fn keep_in_force(new: &mut Config, running: &Config) -> Vec<&'static str> {
    let [listen, threads] = RESTART;
    let mut differing = Vec::new();
    if new.server.listen != running.server.listen {
        differing.push(listen);
        new.server.listen.clone_from(&running.server.listen);
        new.server.default_listen = running.server.default_listen;
        if !new.server.clients_written {
            new.server.clients = Clients::unwritten(!new.keys.is_empty(), &new.server.listen);
        }
    }
    if new.server.threads != running.server.threads {
        differing.push(threads);
        new.server.threads = running.server.threads;
    }
    differing
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use super::*;
    use crate::config::{Overrides, parse};

    fn config(text: &str) -> Config {
        let reading = parse(std::path::Path::new("sluice.yaml"), text, &|_| None, &Overrides::default());
        reading.result.unwrap_or_else(|errors| panic!("{errors}"))
    }

    #[test]
    fn addresses_and_threads_stay_and_are_named() {
        let running = config("server: { listen: 127.0.0.1:1, threads: 2 }");
        let mut new = config("server: { listen: 127.0.0.1:2, threads: 3, max_calls: 7 }");
        assert_eq!(keep_in_force(&mut new, &running), RESTART);
        assert_eq!((new.server.listen, new.server.threads), (running.server.listen.clone(), 2));
        assert_eq!(new.server.max_calls, 7);
        let mut same = config("server: { listen: 127.0.0.1:1, threads: 2 }");
        assert!(keep_in_force(&mut same, &running).is_empty());
    }

    #[test]
    fn who_may_call_follows_from_the_addresses_in_force() {
        let (open, local) = ("server: { listen: 0.0.0.0:1 }", "server: { listen: 127.0.0.1:1 }");
        let mut new = config(local);
        assert_eq!(new.server.clients, Clients::Loopback);
        keep_in_force(&mut new, &config(open));
        assert_eq!(new.server.clients, Clients::Keys, "others still reach it");
        let mut new = config(open);
        keep_in_force(&mut new, &config(local));
        assert_eq!(new.server.clients, Clients::Loopback, "nobody else reaches it yet");
        let mut new = config("server: { listen: 0.0.0.0:1, clients: open }");
        keep_in_force(&mut new, &config(local));
        assert_eq!(new.server.clients, Clients::Open, "as it is written");
    }
}
