//! `sluice serve`: from the command line to serving threads, and from a signal back out.

use std::io::IsTerminal as _;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, anyhow};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;
use sluice_dialect::failure::Failure;
use tracing_subscriber::EnvFilter;

use super::{LogFormat, Serve};
use crate::app::{Core, DEMO_NOTE, Gateway};
use crate::config::{self, Clients, Config, Overrides};
use crate::exchange::{Operation, Reply, Road};
use crate::governance::keys::Caller;
use crate::governance::{self, access};
use crate::observe::access_log::Format;
use crate::observe::record::{Outcome, Record};
use crate::providers::client::Client;
use crate::providers::tls;
use crate::server::{self, Limits, Listening, Names, Options, Page, Shutdown, Site};

/// Exit code for a configuration that cannot be used.
const BAD_CONFIG: u8 = 2;

pub fn run(serve: Serve) -> ExitCode {
    let overrides = Overrides { listen: serve.listen.clone(), port: serve.port, plugins_dir: serve.plugins.clone() };
    let config = match config::load(serve.config.as_deref(), &|name| std::env::var(name).ok(), &overrides) {
        Ok(config) => config,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    let filter = EnvFilter::try_new(&serve.log).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let format = match serve.access_log {
        LogFormat::Auto if std::io::stdout().is_terminal() => Format::Text,
        LogFormat::Auto | LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
        LogFormat::Off => Format::Off,
    };
    match start(config, format) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(mut config: Config, format: Format) -> Result<()> {
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    secure(&mut config)?;
    let listening = Listening::open(&config.server.listen, config.server.threads).map_err(|error| anyhow!(error))?;
    let options = options(&config);
    let core = Arc::new(Core::new(config, format).map_err(|error| anyhow!(error))?);
    let shutdown = Shutdown::default();
    let addresses = listening.addresses().to_vec();
    let shared = Arc::clone(&core);
    let draining = shutdown.clone();
    let trust = tls::trust(&core.config.network.ca).map_err(|error| anyhow!(error))?;
    let running = server::serve(listening, options, &shutdown, move |_thread| {
        let client = Client::with_trust(&shared.config.network, Arc::clone(&trust));
        let gateway = Rc::new(Gateway { core: Arc::clone(&shared), client, shutdown: draining.clone() });
        Ok(gateway)
    })
    .map_err(|error| anyhow!(error))?;
    stop_on_signals(shutdown.clone()).context("signals")?;
    for address in &addresses {
        tracing::info!("listening on http://{address}");
    }
    banner(&core);
    let stopped = running.join().map_err(|error| anyhow!(error));
    core.log.finish();
    stopped
}

/// Past loopback, anonymous use must be written: else the first start makes a key and a token.
fn secure(config: &mut Config) -> Result<()> {
    let local = config.server.listen.iter().all(|address| address.ip().is_loopback());
    let needs_key = config.server.clients == Clients::Keys && config.keys.is_empty();
    let needs_token = !local && config.server.admin_token.is_none();
    if !needs_key && !needs_token {
        return Ok(());
    }
    let issued = governance::issue(None).map_err(|error| anyhow!(error))?;
    if issued.new {
        // Printed once, to the operator's terminal or journal; never again and nowhere else.
        eprintln!("Sluice made a first client key and an admin token. They are kept in {}:", issued.file.display());
        if needs_key {
            eprintln!("  client key:  {}", issued.client_key.expose());
        }
        eprintln!("  admin token: {}", issued.admin_token.expose());
    } else {
        tracing::info!("client key and admin token: see {}", issued.file.display());
    }
    if needs_key {
        config.keys.push(issued.key());
    }
    if needs_token {
        config.server.admin_token = Some(issued.admin_token);
    }
    Ok(())
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
    let any = server.clients == Clients::Open && !local;
    let names = if any { Names(vec!["*".into()]) } else { Names(server.names.clone()) };
    Options { limits, names }
}

fn banner(core: &Core) {
    let chain = core.plugins.chain();
    if core.config.demo {
        tracing::warn!("demo mode: {DEMO_NOTE}");
    } else {
        let names: Vec<&str> = core.providers.iter().map(|provider| &*provider.name).collect();
        tracing::info!("providers: {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") });
    }
    let names: Vec<&str> = chain.entries.iter().map(|entry| &*entry.name).collect();
    let dir = core.config.plugins.dir.display();
    tracing::info!("plugins in {dir}: {}", if names.is_empty() { "none".to_owned() } else { names.join(", ") });
}

/// The first signal drains, the second exits at once. Handlers are in place when this returns, so that a supervisor which sees the
/// gateway listen can stop it.
fn stop_on_signals(shutdown: Shutdown) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut stop = {
        let _entered = runtime.enter();
        Stop::new()?
    };
    let wait = move || {
        runtime.block_on(async {
            stop.next().await;
            tracing::info!("stopping: calls in flight may finish; a second signal exits at once");
            shutdown.drain();
            stop.next().await;
            std::process::exit(130);
        });
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait)?;
    Ok(())
}

struct Stop {
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
    #[cfg(unix)]
    interrupt: tokio::signal::unix::Signal,
}

impl Stop {
    #[cfg(unix)]
    fn new() -> Result<Stop> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Stop { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    #[cfg(not(unix))]
    fn new() -> Result<Stop> {
        Ok(Stop {})
    }

    async fn next(&mut self) {
        #[cfg(unix)]
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
        #[cfg(not(unix))]
        let _ = tokio::signal::ctrl_c().await;
    }
}

impl Site for Gateway {
    fn admit(&self, headers: &HeaderMap) -> Result<Option<Caller>, Failure> {
        access::caller(&self.core.keys, self.core.config.server.clients, headers)
    }

    fn administer(&self, headers: &HeaderMap) -> Result<bool, Failure> {
        access::admin(self.core.config.server.admin_token.as_ref(), headers)
    }

    fn turned_away(&self, id: &str, started: Instant, road: &Road, caller: Option<&Caller>, failure: &Failure) {
        let record = Record {
            id: id.to_owned(),
            dialect: "openai-chat",
            operation: if road.operation == Operation::Chat { "chat" } else { "models" },
            key: caller.map(|caller| Arc::clone(&caller.key)),
            status: failure.status,
            failure: Some(failure.clone()),
            generation: self.core.plugins.chain().generation,
            ..Record::default()
        };
        self.core.provider_metrics(None).ended(Outcome::Refused, None);
        self.core.log.write(&record, Outcome::Refused, started.elapsed());
    }

    fn page(&self, page: Page) -> Reply {
        match page {
            Page::Live => server::json(StatusCode::OK, json!({ "status": "alive" }).to_string()),
            Page::Ready => self.ready(),
            Page::Health => self.health(),
            Page::Metrics => {
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                server::with_type(StatusCode::OK, kind, self.core.metrics.render())
            }
            Page::Plugins => server::json(StatusCode::OK, self.core.plugins.render().to_string()),
        }
    }
}

impl Gateway {
    fn ready(&self) -> Reply {
        let why = if self.shutdown.is_draining() { Some("stopping".to_owned()) } else { self.core.not_ready() };
        match why {
            None => server::json(StatusCode::OK, json!({ "status": "ready" }).to_string()),
            Some(reason) => {
                let body = json!({ "status": "not ready", "reason": reason }).to_string();
                let mut reply = server::json(StatusCode::SERVICE_UNAVAILABLE, body);
                reply.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
                reply
            }
        }
    }

    fn health(&self) -> Reply {
        let troubles = self.core.plugins.troubles();
        let not_ready = self.core.not_ready();
        let status = match (&not_ready, troubles.is_empty()) {
            (Some(_), _) => "not ready",
            (None, false) => "degraded",
            (None, true) => "ok",
        };
        let body = json!({
            "status": status,
            "version": env!("CARGO_PKG_VERSION"),
            "demo": self.core.config.demo,
            "calls": self.core.metrics.in_flight.get(),
            "generation": self.core.plugins.chain().generation,
            "problems": troubles,
            "reason": not_ready,
        });
        server::json(StatusCode::OK, body.to_string())
    }
}
