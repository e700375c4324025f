//! `sluice serve`: from the command line to serving threads, and from a signal back out.

use std::fmt;
use std::io::{IsTerminal as _, Write as _};
use std::net::SocketAddr;
use std::path::Path;
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context as _, Result, anyhow};
use tracing_subscriber::EnvFilter;

#[cfg(unix)]
use super::handover::Handover;
use super::{LogFormat, Serve, notify, signals};
use crate::app::{Core, DEMO_NOTE, Gateway};
use crate::config::{Clients, Config};
use crate::governance;
use crate::live::{self, First, Live, Source};
use crate::observe::access_log::Format;
use crate::server::{self, Before, Inherited, Listening, READY, Shutdown};
use crate::state::{Identity, State};

/// Exit code for a configuration, or plugin files, that cannot be used.
const BAD_CONFIG: u8 = 2;

pub fn run(serve: Serve) -> ExitCode {
    // Before anything is opened: what was handed over is known by its number only.
    let inherited = match Inherited::take(&|name| std::env::var(name).ok()) {
        Ok(inherited) => inherited,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::FAILURE;
        }
    };
    let filter = EnvFilter::try_new(&serve.log).unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .init();
    let mut overrides = serve.chosen.overrides();
    if overrides.listen.is_empty() {
        overrides.listen = inherited.addresses();
    }
    let config = serve.chosen.config.as_deref();
    let identity = Identity::new(config, overrides.plugins_dir.as_deref());
    let source = Source::new(config, overrides, Box::new(|name| std::env::var(name).ok()));
    let state = State::open(serve.state.as_deref(), &identity);
    let first = match live::first(&source, &state) {
        Ok(first) => first,
        Err(errors) => {
            eprintln!("{errors}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    let format = match serve.access_log {
        LogFormat::Auto if std::io::stdout().is_terminal() => Format::Text,
        LogFormat::Auto | LogFormat::Json => Format::Json,
        LogFormat::Text => Format::Text,
        LogFormat::Off => Format::Off,
    };
    match start(source, first, format, state, inherited) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error:#}");
            if error.is::<BadPlugins>() { ExitCode::from(BAD_CONFIG) } else { ExitCode::FAILURE }
        }
    }
}

fn start(source: Source, first: First, format: Format, state: State, inherited: Inherited) -> Result<()> {
    let First { mut config, seen, good, stale } = first;
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let folder = state.folder().map(Path::to_owned);
    let secure = move |config: &mut Config| secure(config, folder.as_deref());
    secure(&mut config).map_err(|error| anyhow!(error))?;
    let Inherited { sockets, activated, before } = inherited;
    let listening =
        Listening::open(&config.server.listen, config.server.threads, sockets).map_err(|error| anyhow!(error))?;
    let accepted = good.as_ref().filter(|_| stale.is_none()).map(|good| good.text.clone());
    let live = Live::new(Core::new(config, format, state).map_err(|error| anyhow!(error))?, stale);
    BadPlugins::none(&live.core())?;
    if let (Some(before), Some(why)) = (&before, live.core().not_ready()) {
        anyhow::bail!("process {} is not taken over from: {why}", before.process);
    }
    #[cfg(unix)]
    let handover = Handover::new(listening.duplicate().context("sockets to hand over")?, activated);
    #[cfg(not(unix))]
    let _ = activated;
    let shutdown = Shutdown::default();
    let addresses: Arc<[SocketAddr]> = listening.addresses().into();
    let shared = Arc::clone(&live);
    let draining = shutdown.clone();
    let listen = Arc::clone(&addresses);
    let running = server::serve(listening, &shutdown, move |_thread| {
        Ok(Rc::new(Gateway::new(Arc::clone(&shared), draining.clone(), Arc::clone(&listen))))
    })
    .map_err(|error| anyhow!(error))?;
    signals::handle(
        Arc::clone(&live),
        shutdown.clone(),
        #[cfg(unix)]
        handover,
    )
    .context("signals")?;
    live.follow(source, seen, good, Box::new(secure)).map_err(|error| anyhow!(error))?;
    let core = live.core();
    if let Some(text) = accepted {
        core.state.keep_config(text.as_bytes());
    }
    let scheme = if core.config.server.tls.is_some() { "https" } else { "http" };
    for address in addresses.iter() {
        tracing::info!("listening on {scheme}://{address}");
    }
    banner(&core);
    drop(core);
    if let Some(before) = before {
        take_over(before);
    }
    notify::serving();
    let stopped = running.join().map_err(|error| anyhow!(error));
    let core = live.core();
    core.outbox.finish(core.config.server.limits.shutdown.max(std::time::Duration::from_secs(1)));
    core.log.finish();
    stopped
}

/// Lets the process before know that this one serves, so that it stops to accept.
fn take_over(mut before: Before) {
    match before.ready.write_all(READY) {
        Ok(()) => {
            tracing::info!("process {} has taken over from process {}", std::process::id(), before.process);
        }
        // It has ended meanwhile, or waits no longer; its end of the sockets is no loss either way.
        Err(error) => tracing::warn!("process {} could not be told that this one serves: {error}", before.process),
    }
}

/// Plugin files that are bad at the start, without an earlier version to serve instead.
#[derive(Debug)]
struct BadPlugins(Vec<(String, String)>);

impl BadPlugins {
    fn none(core: &Core) -> Result<(), BadPlugins> {
        let bad = core.plugins.bad();
        if bad.is_empty() { Ok(()) } else { Err(BadPlugins(bad.to_vec())) }
    }
}

impl fmt::Display for BadPlugins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the gateway does not start without these plugins, and no earlier version of them is kept:")?;
        for (name, why) in &self.0 {
            write!(f, "\n  {name}: {why}")?;
        }
        f.write_str(
            "\nRepair each file, or take it out of the plugins directory, or write `enabled: false` in its NAME.yaml.",
        )
    }
}

impl std::error::Error for BadPlugins {}

/// Past loopback, anonymous use must be written: else the first start makes a key and a token.
fn secure(config: &mut Config, folder: Option<&Path>) -> Result<(), String> {
    let local = config.server.listen.iter().all(|address| address.ip().is_loopback());
    let needs_key = config.server.clients == Clients::Keys && config.keys.is_empty();
    let needs_token = !local && config.server.admin_token.is_none();
    if !needs_key && !needs_token {
        return Ok(());
    }
    let issued = governance::issue(folder)?;
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
