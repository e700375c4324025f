//! The plugins directory made into a chain, and kept so: watched, loaded off the serving threads, swapped whole.
//!
//! `dir` reads files, `version` makes loaded plugins of them, `load` reconciles them with what is live, `probation` counts how new ones do,
//! `watch` says when to look again. Nothing here runs a hook for a call.

pub mod breaker;
pub mod chain;
mod dir;
mod load;
pub mod probation;
pub mod select;
pub mod status;
mod version;
mod watch;

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde_json::Value;
use sluice_sandbox::{Config, Sandbox};

use self::chain::Chain;
use self::load::Loader;
use self::status::{State, Table};
use self::watch::Ask;
use crate::config;
use crate::observe::metrics::Metrics;
use crate::state;
use crate::watch::Post;

/// The chain of one configuration, and what is known of every plugin.
#[derive(Clone)]
pub struct Plugins {
    shared: Arc<Shared>,
    /// Where the loader puts the chain until the configuration changes. Another configuration has another place, so that a call of the
    /// old one never meets a chain of the new one, nor the other way round.
    chain: Arc<ArcSwap<Chain>>,
    post: Post<Ask>,
    bad: Arc<[(String, String)]>,
}

/// What is known of every plugin, whichever configuration asks.
#[derive(Default)]
pub(crate) struct Shared {
    table: Mutex<Table>,
}

impl Plugins {
    /// Loads what is in the directory and keeps watching it from a thread of its own. Returns when the first chain is live. What `state`
    /// kept serves where files are bad now; [`Plugins::bad`] says where it could not.
    pub fn start(config: &config::Plugins, metrics: &Arc<Metrics>, state: &state::State) -> Result<Plugins, String> {
        let shared = Arc::new(Shared::default());
        let sandbox = Sandbox::new(Config::default()).map_err(|error| format!("the plugin sandbox: {error}"))?;
        let load =
            |post| Loader::new(sandbox, config.clone(), Arc::clone(metrics), state.clone(), Arc::clone(&shared), post);
        let watch::Started { post, chain, bad } = watch::start(load)?;
        Ok(Plugins { shared, chain, post, bad: bad.into() })
    }

    /// Plugins that the first look found bad and of which nothing earlier is known, with the reason: a gateway that would start without
    /// them would leave calls unguarded, and must not start.
    pub fn bad(&self) -> &[(String, String)] {
        &self.bad
    }

    /// Loads what `config` asks for; this handle keeps the chain that it has. Returns when the new chain is complete, which may take as
    /// long as compiling its plugins: not for a serving thread. A plugin that cannot be loaded is news of its own and no error here.
    ///
    /// # Errors
    /// The loader is gone.
    pub fn configure(&self, config: &config::Plugins) -> Result<Plugins, String> {
        let (answer, configured) = channel();
        self.post.send(Ask::Configure(Box::new(config.clone()), answer));
        let chain = configured.recv().map_err(|_| "the plugin loader has ended")?;
        Ok(Plugins { chain, ..self.clone() })
    }

    /// Has the directory looked at now; does not wait for it.
    pub fn look(&self) {
        self.post.send(Ask::Look);
    }

    /// The live chain; a call pins it from start to end.
    pub fn chain(&self) -> Arc<Chain> {
        self.chain.load_full()
    }

    /// The document of `GET /api/plugins`.
    pub fn render(&self) -> Value {
        let chain = self.chain();
        let table = self.shared.table.lock().unwrap_or_else(PoisonError::into_inner);
        status::render(chain.generation, &table, &chain.missing)
    }

    /// Plugins that are not as their files say, for `/health`.
    pub fn troubles(&self) -> Vec<String> {
        let table = self.shared.table.lock().unwrap_or_else(PoisonError::into_inner);
        table
            .iter()
            .filter(|(_, status)| !matches!(status.state, State::Active | State::Disabled))
            .map(|(name, status)| {
                format!("{name} is {}: {}", status.state.as_str(), status.error.as_deref().unwrap_or("no reason"))
            })
            .collect()
    }
}

impl Shared {
    fn update(&self, table: Table) {
        *self.table.lock().unwrap_or_else(PoisonError::into_inner) = table;
    }
}
