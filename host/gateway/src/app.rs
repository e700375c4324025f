//! What all calls share, built once from one configuration, and what one serving thread adds to it.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::config::Config;
use crate::exchange::{Handler, Inbound, Reply};
use crate::governance::keys::Keys;
use crate::observe::access_log::{AccessLog, Format};
use crate::observe::metrics::{Metrics, ProviderMetrics};
use crate::pipeline;
use crate::plugins::Plugins;
use crate::providers::Provider;
use crate::providers::client::Client;
use crate::server::Shutdown;

/// Said by the demo provider in every reply.
pub const DEMO_NOTE: &str =
    "No provider is configured: set OPENAI_API_KEY, or add a provider to sluice.yaml, and start Sluice again.";

/// Shared by all serving threads.
pub struct Core {
    pub config: Config,
    pub providers: Vec<Provider>,
    pub keys: Keys,
    pub plugins: Plugins,
    pub metrics: Arc<Metrics>,
    pub log: AccessLog,
    /// The demo provider's name in records.
    pub echo: Arc<str>,
    /// Seconds since 1970, shown as the age of models.
    pub started: u64,
    no_provider: ProviderMetrics,
}

impl Core {
    /// Builds everything and loads the plugins.
    ///
    /// # Errors
    /// What keeps the gateway from starting, in words for the operator.
    pub fn new(config: Config, format: Format) -> Result<Core, String> {
        let metrics = Arc::new(Metrics::new().map_err(|error| format!("metrics: {error}"))?);
        let log =
            AccessLog::start(format, metrics.log_dropped.clone()).map_err(|error| format!("access log: {error}"))?;
        let providers =
            config.providers.iter().map(|p| Provider::new(p.clone(), &metrics)).collect::<Result<Vec<_>, _>>()?;
        let plugins = Plugins::start(&config.plugins, &metrics)?;
        Ok(Core {
            keys: Keys::new(&config.keys),
            no_provider: metrics.provider(if config.demo { "echo" } else { "" }),
            echo: Arc::from("echo"),
            started: unix_seconds(),
            providers,
            plugins,
            metrics,
            log,
            config,
        })
    }

    pub fn provider_named(&self, name: &str) -> Option<usize> {
        self.providers.iter().position(|provider| &*provider.name == name)
    }

    /// The counters of an attempt's provider; of no provider where none was asked.
    pub fn provider_metrics(&self, at: Option<usize>) -> &ProviderMetrics {
        at.and_then(|at| self.providers.get(at)).map_or(&self.no_provider, |provider| &provider.metrics)
    }

    pub fn alias(&self, name: &str) -> Option<&str> {
        self.config.aliases.iter().find(|(alias, _)| alias == name).map(|(_, target)| target.as_str())
    }

    /// Every name that can be listed: aliases, then `provider/model`.
    pub fn known_models(&self) -> impl Iterator<Item = String> {
        let aliases = self.config.aliases.iter().map(|(alias, _)| alias.clone());
        let models = self
            .providers
            .iter()
            .flat_map(|provider| provider.config.models.iter().map(move |model| format!("{}/{model}", provider.name)));
        aliases.chain(models)
    }

    /// Whether calls can be served: `None`, or why not.
    pub fn not_ready(&self) -> Option<String> {
        let chain = self.plugins.chain();
        (!chain.missing.is_empty()).then(|| format!("required plugins are not loaded: {}", chain.missing.join(", ")))
    }
}

/// One serving thread's own part: its connections to providers.
pub struct Gateway {
    pub core: Arc<Core>,
    pub client: Client,
    /// Tells the readiness page that the gateway is stopping.
    pub shutdown: Shutdown,
}

impl Handler for Gateway {
    async fn handle(self: Rc<Self>, inbound: Inbound) -> Reply {
        pipeline::run(self, inbound).await
    }
}

pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
