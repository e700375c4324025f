//! What all calls share, built once from one configuration, and what one serving thread adds to it.

use std::net::SocketAddr;
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use prometheus::IntGauge;

use crate::config::{self, Clients as Who, Config};
use crate::governance::keys::Keys;
use crate::governance::rates::Rates;
use crate::hooks::complete::Outbox;
use crate::hooks::finish::Finisher;
use crate::live::Live;
use crate::observe::access_log::{AccessLog, Format};
use crate::observe::metrics::{Metrics, ProviderMetrics};
use crate::observe::recent::Recent;
use crate::observe::targets::Tries;
use crate::pipeline::cut::Cut;
use crate::plugins::Plugins;
use crate::providers::Provider;
use crate::providers::clients::{Clients, Way};
use crate::providers::listing::{Check, Listings};
use crate::providers::pool::Pools;
use crate::routing::health::Targets;
use crate::routing::ready;
use crate::routing::routes::Routes;
use crate::server::{Limits, Names, Options, Shutdown};
use crate::state::State;

/// Said by the demo provider in every reply.
pub const DEMO_NOTE: &str =
    "No provider is configured: set OPENAI_API_KEY, or add a provider to sluice.yaml, and start Sluice again.";

/// What one configuration makes, immutable and shared by all serving threads.
pub struct Core {
    pub config: Config,
    pub providers: Vec<Provider>,
    pub keys: Keys,
    /// What calls' names may lead to, prepared.
    pub routes: Routes,
    pub plugins: Plugins,
    /// The server's part of the configuration.
    pub options: Arc<Options>,
    /// How requests to providers leave the machine.
    pub way: Arc<Way>,
    /// The demo provider's name in records.
    pub echo: Arc<str>,
    no_provider: ProviderMetrics,
    /// Counters of the targets that this configuration names.
    pub tries: Tries,
    /// They end with the configuration that asked for them.
    _checks: Vec<Check>,
    lasting: Arc<Lasting>,
    _counted: Counted,
}

/// What outlives a configuration: each core has it from the one before, and shows it as its own.
pub struct Lasting {
    pub metrics: Arc<Metrics>,
    pub log: AccessLog,
    /// The last calls, for the page.
    pub recent: Recent,
    /// What providers list themselves, so that an edit costs no list.
    pub listings: Arc<Listings>,
    /// How targets do, so that an edit forgets none of it.
    pub targets: Targets,
    /// How providers' keys stand.
    pub pools: Pools,
    /// What callers have taken of their limits.
    pub rates: Rates,
    /// Finished calls on their way to `on-complete`.
    pub outbox: Outbox,
    /// What a restart finds.
    pub state: State,
    /// Seconds since 1970, shown as the age of models.
    pub started: u64,
}

impl Deref for Core {
    type Target = Lasting;

    fn deref(&self) -> &Lasting {
        &self.lasting
    }
}

/// Counts the configurations that are still alive.
struct Counted(IntGauge);

impl Counted {
    fn new(gauge: &IntGauge) -> Counted {
        gauge.inc();
        Counted(gauge.clone())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Core {
    /// Builds everything and loads the plugins.
    ///
    /// # Errors
    /// What keeps the gateway from starting, in words for the operator.
    pub fn new(config: Config, format: Format, state: State) -> Result<Core, String> {
        let metrics = Arc::new(Metrics::new().map_err(|error| format!("metrics: {error}"))?);
        let log =
            AccessLog::start(format, metrics.log_dropped.clone()).map_err(|error| format!("access log: {error}"))?;
        let way = Way::new(&config.network)?;
        let lasting = Arc::new(Lasting {
            outbox: Outbox::new(metrics.complete_dropped.clone()),
            metrics,
            log,
            recent: Recent::default(),
            listings: Arc::default(),
            targets: Targets::default(),
            pools: Pools::default(),
            rates: Rates::default(),
            state,
            started: unix_seconds(),
        });
        Core::build(config, way, &lasting, |config| Plugins::start(&config.plugins, &lasting.metrics, &lasting.state))
    }

    /// The core of another configuration. Its plugins are loaded when this returns, and not before everything else is known to work.
    /// What the configuration does not change is shared with this one.
    ///
    /// # Errors
    /// What the configuration's own check cannot see, in words for the operator. Nothing has changed then.
    pub fn next(&self, config: Config) -> Result<Core, String> {
        let same_way = config.network == self.config.network;
        let way = if same_way { Arc::clone(&self.way) } else { Way::new(&config.network)? };
        Core::build(config, way, &self.lasting, |config| {
            if config.plugins == self.config.plugins {
                return Ok(self.plugins.clone());
            }
            self.plugins.configure(&config.plugins)
        })
    }

    fn build(
        config: Config,
        way: Arc<Way>,
        lasting: &Arc<Lasting>,
        plugins: impl FnOnce(&Config) -> Result<Plugins, String>,
    ) -> Result<Core, String> {
        let metrics = &lasting.metrics;
        let Lasting { listings, targets, pools, .. } = &**lasting;
        let provider = |row: &config::Provider| Provider::new(row.clone(), metrics, listings, &way, targets, pools);
        let providers = config.providers.iter().map(provider).collect::<Result<Vec<_>, _>>()?;
        let plugins = plugins(&config)?;
        // Last: what is refused must not have changed what is in force.
        for provider in &providers {
            provider.targets().for_each(|target| target.configure(&provider.config.health));
        }
        let checks = providers.iter().filter_map(Provider::check).collect();
        lasting.rates.prune();
        Ok(Core {
            routes: Routes::new(&config, &providers, &lasting.targets),
            keys: Keys::new(&config.keys, &config.teams, &lasting.rates),
            tries: metrics.targets.tries(providers.iter().flat_map(Provider::targets).map(|target| &target.name)),
            no_provider: metrics.provider(if config.demo { "echo" } else { "" }),
            options: Arc::new(options(&config)),
            way,
            echo: Arc::from("echo"),
            providers,
            plugins,
            lasting: Arc::clone(lasting),
            _checks: checks,
            _counted: Counted::new(&metrics.config_generations),
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

    /// Every name that can be listed: routes, aliases, then `provider/model`.
    pub fn known_models(&self) -> impl Iterator<Item = String> {
        let routes = self.routes.all().map(|name| name.to_string());
        let aliases = self.config.aliases.iter().map(|(alias, _)| alias.clone());
        let models = self
            .providers
            .iter()
            .flat_map(|provider| provider.config.models.iter().map(move |model| format!("{}/{model}", provider.name)));
        routes.chain(aliases).chain(models)
    }

    /// Whether calls can be served: `None`, or why not.
    pub fn not_ready(&self) -> Option<String> {
        let chain = self.plugins.chain();
        if !chain.missing.is_empty() {
            return Some(format!("required plugins are not loaded: {}", chain.missing.join(", ")));
        }
        ready::unable(self, Instant::now())
    }
}

/// One serving thread's own part: its connections to providers, beside what all threads share.
pub struct Gateway {
    pub live: Arc<Live>,
    pub clients: Clients,
    /// Finished calls whose hooks are still to run.
    pub finisher: Rc<Finisher>,
    pub cut: Rc<Cut>,
    /// Tells the readiness page that the gateway is stopping.
    pub shutdown: Shutdown,
    /// Where it listens, with the ports that were chosen.
    pub listen: Arc<[SocketAddr]>,
}

impl Gateway {
    pub fn new(live: Arc<Live>, shutdown: Shutdown, listen: Arc<[SocketAddr]>) -> Gateway {
        let finisher = Finisher::new(live.core().metrics.finish_dropped.clone());
        Gateway { live, clients: Clients::default(), finisher, cut: Rc::default(), shutdown, listen }
    }

    /// What is in force now. A call keeps the one that it was admitted under.
    pub fn core(&self) -> Arc<Core> {
        self.live.core()
    }
}

fn options(config: &Config) -> Options {
    let server = &config.server;
    let limits = Limits {
        head: server.limits.head,
        head_bytes: server.limits.head_size,
        body: server.limits.body,
        body_bytes: server.limits.body_size as u64,
        idle: server.limits.idle,
        stall: server.limits.stall,
        max_calls: server.max_calls,
        max_connections: server.max_connections,
        shutdown: server.limits.shutdown,
    };
    let local = server.listen.iter().all(|address| address.ip().is_loopback());
    // Written as open and reachable from elsewhere: any name may lead here.
    let any = server.clients == Who::Open && !local;
    let names = if any { Names(vec!["*".into()]) } else { Names(server.names.clone()) };
    Options { limits, names, tls: server.tls.as_ref().map(|tls| Arc::clone(&tls.show)) }
}

pub fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_secs())
}
