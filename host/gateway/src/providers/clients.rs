//! The clients of one serving thread: as long as the network settings stay, so does the client with its open connections.
//!
//! A call that began before the settings changed still finds the client of its own settings.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use rustls::ClientConfig;

use super::client::Client;
use super::listing::Asker;
use super::tls;
use crate::config::Network;

/// Clients kept at once: the newest settings', and those of calls that began before.
const KEPT: usize = 2;

/// How requests leave the machine: the network settings and whom they make us believe. Shared by all threads, and by every configuration
/// that does not change them.
pub struct Way {
    pub network: Network,
    pub trust: Arc<ClientConfig>,
    /// The client for what is not hot; made when it is first needed.
    pub asker: Asker,
}

impl Way {
    /// Reads the certificate authorities, which takes milliseconds.
    ///
    /// # Errors
    /// A certificate file that cannot be used.
    pub fn new(network: &Network) -> Result<Arc<Way>, String> {
        Ok(Arc::new(Way { network: network.clone(), trust: tls::trust(&network.ca)?, asker: Asker::default() }))
    }
}

/// See the module.
#[derive(Default)]
pub struct Clients {
    kept: RefCell<Vec<(Arc<Way>, Rc<Client>)>>,
}

impl Clients {
    /// The client of these settings.
    pub fn of(&self, way: &Arc<Way>) -> Rc<Client> {
        let mut kept = self.kept.borrow_mut();
        if let Some((_, client)) = kept.iter().find(|(of, _)| Arc::ptr_eq(of, way)) {
            return Rc::clone(client);
        }
        let client = Rc::new(Client::with_trust(&way.network, Arc::clone(&way.trust)));
        if kept.len() >= KEPT {
            kept.remove(0);
        }
        kept.push((Arc::clone(way), Rc::clone(&client)));
        client
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_same_settings_have_the_same_client_and_old_ones_are_let_go() {
        let ways: Vec<_> = (0..3).map(|_| Way::new(&Network::default()).unwrap()).collect();
        let clients = Clients::default();
        let first = clients.of(&ways[0]);
        assert!(Rc::ptr_eq(&first, &clients.of(&ways[0])));
        let second = clients.of(&ways[1]);
        assert!(!Rc::ptr_eq(&first, &second));
        assert!(Rc::ptr_eq(&first, &clients.of(&ways[0])), "a call of the old settings keeps its client");
        clients.of(&ways[2]);
        assert_eq!(Rc::strong_count(&first), 1, "the oldest is let go");
        assert!(Rc::ptr_eq(&second, &clients.of(&ways[1])));
    }
}
