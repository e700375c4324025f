//! The plugins directory made into a chain, and kept so: watched, loaded off the serving threads, swapped whole.
//!
//! `dir` reads files, `load` reconciles them with what is live, `watch` says when to look again. Nothing here runs a hook for a call.

pub mod chain;
mod dir;
mod load;
pub mod select;
pub mod status;
mod watch;

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use serde_json::Value;
use sluice_sandbox::{Config, Sandbox};

use self::chain::Chain;
use self::load::Loader;
use self::status::{State, Table};
use crate::config;
use crate::observe::metrics::Metrics;

/// The live chain and what is known of every plugin.
#[derive(Clone)]
pub struct Plugins {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    chain: ArcSwap<Chain>,
    table: Mutex<Table>,
}

impl Plugins {
    /// Loads what is in the directory and keeps watching it from a thread of its own. Returns when the first chain is live.
    pub fn start(config: &config::Plugins, metrics: &Arc<Metrics>) -> Result<Plugins, String> {
        let shared =
            Arc::new(Shared { chain: ArcSwap::from_pointee(Chain::default()), table: Mutex::new(Table::new()) });
        let sandbox = Sandbox::new(Config::default()).map_err(|error| format!("the plugin sandbox: {error}"))?;
        let loader = Loader::new(sandbox, config.clone(), Arc::clone(metrics), Arc::clone(&shared));
        watch::start(loader, config.dir.clone())?;
        Ok(Plugins { shared })
    }

    /// The live chain; a call pins it from start to end.
    pub fn chain(&self) -> Arc<Chain> {
        self.shared.chain.load_full()
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
    fn publish(&self, chain: Chain, table: Table) {
        // The table first: whoever sees the new generation finds its plugins described.
        *self.table.lock().unwrap_or_else(PoisonError::into_inner) = table;
        self.chain.store(Arc::new(chain));
    }

    fn update(&self, table: Table) {
        *self.table.lock().unwrap_or_else(PoisonError::into_inner) = table;
    }
}
