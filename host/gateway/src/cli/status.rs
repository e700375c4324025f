//! `sluice status`: what a running gateway serves and how it is, as the page shows it.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::ask::{Ask, Asker, Trouble, put};
use super::table::{Table, clean, span, time};

/// The gateway answers, and not all is as its files say, or it does not serve.
const DEGRADED: u8 = 3;

#[derive(Args, Debug)]
pub struct Status {
    #[command(flatten)]
    ask: Ask,
    /// Say only whether it takes calls, which needs no admin token: for health checks.
    #[arg(long, conflicts_with = "json")]
    ready: bool,
}

pub fn run(status: &Status) -> ExitCode {
    if status.ready { readiness(&status.ask) } else { whole(&status.ask) }
}

fn readiness(ask: &Ask) -> ExitCode {
    match Asker::new(ask).and_then(|asker| asker.why_not_ready()) {
        Ok(None) => {
            put("ready\n");
            ExitCode::SUCCESS
        }
        Ok(Some(reason)) => {
            put(&format!("not ready: {}\n", clean(&reason)));
            ExitCode::from(DEGRADED)
        }
        Err(trouble) => trouble.exit(),
    }
}

fn whole(ask: &Ask) -> ExitCode {
    let (status, targets, plugins) = match fetch(ask) {
        Ok(found) => found,
        Err(trouble) => return trouble.exit(),
    };
    if ask.json {
        put(&format!("{}\n", json!({ "status": status, "targets": targets, "plugins": plugins })));
    } else {
        put(&render(&status, &targets, &plugins));
    }
    if status["status"] == "ok" { ExitCode::SUCCESS } else { ExitCode::from(DEGRADED) }
}

fn fetch(ask: &Ask) -> Result<(Value, Value, Value), Trouble> {
    let asker = Asker::new(ask)?;
    Ok((asker.get("/api/status")?, asker.get("/api/targets")?, asker.get("/api/plugins")?))
}

fn render(status: &Value, targets: &Value, plugins: &Value) -> String {
    let mut out = summary(status);
    out.push('\n');
    out.push_str(&providers(status));
    for table in [self::targets(targets), keys(targets)].into_iter().flatten() {
        out.push('\n');
        out.push_str(&table.render());
    }
    out.push('\n');
    out.push_str(&chain(status, plugins));
    out
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn names(value: &Value) -> String {
    let names: Vec<&str> = value.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    names.join(", ")
}

fn or(text: String, otherwise: &str) -> String {
    if text.is_empty() { otherwise.to_owned() } else { text }
}

fn summary(status: &Value) -> String {
    let mut out = format!(
        "Sluice {}: {}, up {}, {} calls under way\n",
        clean(text(&status["version"])),
        if status["status"] == "ok" { "ready" } else { text(&status["status"]) },
        span(status["uptime_s"].as_u64().unwrap_or(0)),
        status["calls"]
    );
    let mut line = |name: &str, value: &str| {
        if !value.is_empty() {
            for (at, part) in value.lines().enumerate() {
                let name = if at == 0 { name } else { "" };
                out.push_str(&format!("  {name:<9} {}\n", clean(part)));
            }
        }
    };
    let config = &status["config"];
    line("listens", &names(&status["listen"]));
    line("clients", text(&status["clients"]));
    let file = config["file"].as_str().unwrap_or("none: built-in defaults and the environment");
    line("config", &format!("{file}, {}", text(&config["state"])));
    line("", text(&config["error"]));
    line("restart", &names(&config["restart_needed"]));
    line("reason", text(&status["reason"]));
    for problem in status["problems"].as_array().into_iter().flatten() {
        line("problem", text(problem));
    }
    line("demo", text(&status["note"]));
    out
}

fn providers(status: &Value) -> String {
    let mut table = Table::new(&["PROVIDER", "ADDRESS", "MODELS", "KEYS", "CALLS", "OK"], &[4, 5]);
    for provider in status["providers"].as_array().into_iter().flatten() {
        let calls = provider["calls"].as_object();
        let all: u64 = calls.into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
        table.row([
            text(&provider["name"]).to_owned(),
            or(text(&provider["address"]).to_owned(), "built in"),
            or(names(&provider["models"]), "any"),
            or(names(&provider["keys"]), "none"),
            all.to_string(),
            provider["calls"]["ok"].as_u64().unwrap_or(0).to_string(),
        ]);
    }
    let aliases = status["aliases"].as_array().into_iter().flatten();
    for alias in aliases {
        table.note(&format!("alias {} is {}", text(&alias["name"]), text(&alias["target"])));
    }
    table.render()
}

/// Targets that were called, or are kept from it.
fn targets(document: &Value) -> Option<Table> {
    let mut table = Table::new(&["TARGET", "STANDING", "RUNNING", "OK", "FAILED", "FIRST TOKEN"], &[2, 3, 4, 5]);
    let mut some = false;
    for target in document["targets"].as_array().into_iter().flatten() {
        let count = |field: &str| target[field].as_u64().unwrap_or(0);
        if target["standing"] == "ready" && ["in_flight", "ok", "failed"].iter().all(|field| count(field) == 0) {
            continue;
        }
        some = true;
        let first = target["first_token_ms"].as_f64().map_or_else(|| "-".to_owned(), |ms| time(ms * 1000.0));
        let numbers = ["in_flight", "ok", "failed"].map(|field| count(field).to_string());
        let named = [text(&target["target"]).to_owned(), standing(target, "standing")];
        table.row(named.into_iter().chain(numbers).chain([first]));
        if let Some(reason) = target["reason"].as_str() {
            table.note(reason);
        }
    }
    some.then_some(table)
}

/// Keys of providers that are not used just now.
fn keys(document: &Value) -> Option<Table> {
    let mut table = Table::new(&["KEY", "STATE", "WHY"], &[]);
    let mut some = false;
    for provider in document["providers"].as_array().into_iter().flatten() {
        for key in provider["keys"].as_array().into_iter().flatten() {
            let name = format!("{} of {}", text(&key["name"]), text(&provider["name"]));
            let whole = (text(&key["state"]) != "ready").then(|| (name.clone(), key));
            let models = key["models"].as_array().into_iter().flatten();
            let models = models.map(|model| (format!("{name} for {}", text(&model["model"])), model));
            for (name, state) in whole.into_iter().chain(models) {
                some = true;
                table.row([name, standing(state, "state"), text(&state["why"]).to_owned()]);
            }
        }
    }
    some.then_some(table)
}

/// How it stands, and for how long.
pub(super) fn standing(of: &Value, field: &str) -> String {
    let left = of["seconds_left"].as_f64().filter(|left| *left > 0.0);
    let left = left.map_or_else(String::new, |left| format!(" for {}", span(left.ceil() as u64)));
    format!("{}{left}", text(&of[field]))
}

fn chain(status: &Value, plugins: &Value) -> String {
    let mut all: Vec<&Value> = plugins["plugins"].as_array().into_iter().flatten().collect();
    if all.is_empty() {
        return format!("No plugins: drop a .wasm into {}\n", clean(text(&status["plugins_dir"])));
    }
    all.sort_by_key(|plugin| (plugin["order"].as_i64().unwrap_or(i64::MAX), text(&plugin["name"]).to_owned()));
    let heading = ["PLUGIN", "STATE", "ORDER", "DIGEST", "HOOK", "MEAN", "RUNS", "ERRORS"];
    let mut table = Table::new(&heading, &[2, 5, 6, 7]);
    for plugin in all {
        one(&mut table, plugin);
    }
    for name in plugins["required_missing"].as_array().into_iter().flatten() {
        table.note(&format!("{} is required and not live: calls are refused", text(name)));
    }
    table.render()
}

/// A row for each hook; what is said of the whole plugin stands in the first.
fn one(table: &mut Table, plugin: &Value) {
    let counters = &plugin["counters"];
    let errors: u64 =
        counters["errors"].as_object().into_iter().flatten().filter_map(|(_, count)| count.as_u64()).sum();
    let breakers = [&plugin["breaker"], &plugin["finish_breaker"]].map(text);
    let state = match breakers.iter().find(|breaker| !matches!(**breaker, "" | "closed")) {
        Some(breaker) => format!("{}, breaker {breaker}", text(&plugin["state"])),
        None => text(&plugin["state"]).to_owned(),
    };
    let order = plugin["order"].as_i64().map_or_else(|| "-".to_owned(), |order| order.to_string());
    let digest: String = text(&plugin["digest"]).trim_start_matches("sha256:").chars().take(12).collect();
    let mut first = [text(&plugin["name"]).to_owned(), state, order, digest];
    let none = [Value::Null];
    let hooks = plugin["hooks"].as_array().filter(|hooks| !hooks.is_empty()).map_or(&none[..], Vec::as_slice);
    for (at, hook) in hooks.iter().enumerate() {
        let counts = &counters["hooks"][text(hook)];
        let runs = counts["runs"].as_u64().unwrap_or(0);
        let mean = if runs == 0 { String::new() } else { time(counts["mean_us"].as_f64().unwrap_or(0.0)) };
        let errors = if at == 0 { errors.to_string() } else { String::new() };
        let last = [text(hook).to_owned(), mean, runs.to_string(), errors];
        table.row(std::mem::take(&mut first).into_iter().chain(last));
    }
    for problem in [&plugin["error"], &counters["last_error"]] {
        if let Some(problem) = problem.as_str() {
            table.note(problem);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn shows_what_is_wrong() {
        let status = json!({
            "version": "1.2.3", "status": "degraded", "uptime_s": 65, "calls": 2, "clients": "keys", "listen": ["127.0.0.1:8080"],
            "config": { "file": "sluice.yaml", "state": "stale", "error": "sluice.yaml:1:2: one\nsluice.yaml:3:4: two", "restart_needed": [] },
            "providers": [{ "name": "openai", "address": "api.openai.com:443", "models": [], "keys": ["main"], "calls": { "ok": 3, "failed": 1 } }],
            "aliases": [{ "name": "fast", "target": "openai/x" }], "problems": ["pii is stale: bad file"], "plugins_dir": "plugins",
        });
        let plugins = json!({ "required_missing": ["audit"], "plugins": [
            { "name": "pii", "state": "stale", "order": 20, "digest": "sha256:0123456789abcdef", "hooks": ["on-request", "on-delta"], "error": "bad file",
              "breaker": "open", "counters": { "hooks": { "on-request": { "runs": 2, "mean_us": 3.25 } }, "errors": { "trap": 4 }, "last_error": null } },
            { "name": "new", "state": "failed", "error": "not a\u{1b}[2J component" },
        ] });
        let targets = json!({
            "targets": [
                { "target": "openai/x", "standing": "ejected", "reason": "5 failures in a row", "seconds_left": 11.2, "in_flight": 1, "ok": 7, "failed": 5, "first_token_ms": 812.0 },
                { "target": "openai/*", "standing": "ready", "in_flight": 0, "ok": 0, "failed": 0 },
            ],
            "providers": [{ "name": "openai", "keys": [
                { "name": "main", "state": "out", "why": "the provider does not accept it", "seconds_left": 599.5, "models": [] },
                { "name": "spare", "state": "ready", "models": [{ "model": "x", "state": "cooling", "why": "rate-limited", "seconds_left": 2.0 }] },
            ] }],
        });
        let text = render(&status, &targets, &plugins);
        assert!(!text.contains("openai/*"), "{text}");
        for part in [
            "Sluice 1.2.3: degraded, up 1 min, 2 calls under way",
            "sluice.yaml, stale",
            "            sluice.yaml:3:4: two\n",
            "openai    api.openai.com:443  any     main      4   3\n",
            "alias fast is openai/x",
            "openai/x  ejected for 12 s        1   7       5       812 ms\n  5 failures in a row\n",
            "main of openai         out for 10 min   the provider does not accept it\n",
            "spare of openai for x  cooling for 2 s  rate-limited\n",
            "stale, breaker open     20  0123456789ab  on-request  3.2 us     2       4\n",
            "  not a [2J component\n",
            "audit is required and not live",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
        assert!(!text.contains('\u{1b}'));
    }

    #[test]
    fn teaches_where_there_is_no_plugin() {
        let text = chain(&json!({ "plugins_dir": "plugins" }), &json!({ "plugins": [] }));
        assert_eq!(text, "No plugins: drop a .wasm into plugins\n");
    }
}
