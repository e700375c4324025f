//! The documents of the admin API: what the gateway is, and its last calls. For the page, the command line and programs of operators.
//!
//! They name keys and never show one, and hold no text of a request or reply. Fields are only ever added.

use std::net::SocketAddr;
use std::time::Instant;

use serde_json::{Value, json};

use crate::app::{Core, DEMO_NOTE, unix_seconds};
use crate::config::{self, Clients};
use crate::live::{State, Status};
use crate::providers::Provider;
use crate::ui::targets;

/// Whether calls are served, in one word, and why they are not.
fn readiness(core: &Core, live: &Status, problems: &[String], stopping: bool) -> (&'static str, Option<String>) {
    if stopping {
        return ("not ready", Some("stopping".to_owned()));
    }
    match core.not_ready() {
        Some(reason) => ("not ready", Some(reason)),
        None if live.state == State::Active && problems.is_empty() => ("ok", None),
        None => ("degraded", None),
    }
}

/// `GET /api/status`.
pub fn status(core: &Core, live: &Status, listen: &[SocketAddr], stopping: bool) -> String {
    let config = &core.config;
    let mut problems = core.plugins.troubles();
    problems.extend(targets::troubles(core, Instant::now()));
    let (status, reason) = readiness(core, live, &problems, stopping);
    let clients = match config.server.clients {
        Clients::Keys => "keys",
        Clients::Open => "open",
        Clients::Loopback => "loopback",
    };
    let mut providers: Vec<Value> = core.providers.iter().map(provider).collect();
    if config.demo {
        let calls = core.provider_metrics(None).render();
        providers.push(json!({ "name": &*core.echo, "models": [], "keys": [], "calls": calls["calls"], "tokens": calls["tokens"] }));
    }
    let aliases: Vec<Value> =
        config.aliases.iter().map(|(name, target)| json!({ "name": name, "target": target })).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "status": status,
        "reason": reason,
        "problems": problems,
        "started": core.started,
        "uptime_s": unix_seconds().saturating_sub(core.started),
        "demo": config.demo,
        "note": config.demo.then_some(DEMO_NOTE),
        "listen": listen.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "clients": clients,
        "keys": config.keys.iter().map(|key| &key.name).collect::<Vec<_>>(),
        "config": configuration(config, live),
        "providers": providers,
        "aliases": aliases,
        "plugins_dir": config.plugins.dir.display().to_string(),
        "calls": core.metrics.in_flight.get(),
        "generation": core.plugins.chain().generation,
    })
    .to_string()
}

fn configuration(config: &config::Config, live: &Status) -> Value {
    json!({
        "file": config.file.as_ref().map(|file| file.display().to_string()),
        "state": live.state.as_str(),
        "digest": live.digest,
        "since": live.since,
        "error": live.error,
        "restart_needed": live.restart_needed,
    })
}

fn provider(provider: &Provider) -> Value {
    let row = &provider.config;
    let base = &row.base;
    let counters = provider.metrics.render();
    json!({
        "name": row.name,
        "dialects": row.dialects.iter().map(|(dialect, _)| dialect.as_str()).collect::<Vec<_>>(),
        "address": format!("{}:{}", base.host, base.port),
        "models": row.models,
        "keys": row.keys.iter().map(|key| &key.name).collect::<Vec<_>>(),
        "calls": counters["calls"],
        "tokens": counters["tokens"],
    })
}

/// `GET /api/calls`: the finished calls after number `after`, oldest first, and the number of the newest one. `started` tells one process
/// from the next, whose numbers begin again.
pub fn calls(core: &Core, after: u64) -> String {
    let (newest, documents) = core.recent.since(after);
    let mut out = format!("{{\"started\":{},\"newest\":{newest},\"calls\":[", core.started);
    for (at, document) in documents.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        out.push_str(document);
    }
    out.push_str("]}");
    out
}

/// The number in `after=NUMBER`; 0, which asks for everything, where there is none.
pub fn after(query: Option<&str>) -> u64 {
    let mut pairs = query.unwrap_or_default().split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(name, _)| *name == "after").and_then(|(_, value)| value.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn the_query_names_a_number() {
        let cases = [(None, 0), (Some(""), 0), (Some("after=7"), 7), (Some("x=1&after=12"), 12), (Some("after=-1"), 0)];
        for (query, expected) in cases {
            assert_eq!(after(query), expected, "{query:?}");
        }
    }
}
