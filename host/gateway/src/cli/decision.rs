//! `sluice explain`: what would become of a call, and why, without making it.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::ask::{Ask, Asker, Trouble, put};
use super::table::{Table, clean, span};

/// The call would be refused.
const REFUSED: u8 = 3;

#[derive(Args, Debug)]
pub struct Decision {
    /// The name of the virtual key that calls; without it: nobody in particular.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// As the client says it; without it, what the body says.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The provider that the path names, such as openai in /openai/v1/chat/completions.
    #[arg(long, value_name = "PROVIDER")]
    prefix: Option<String>,
    /// A header of the call; may be given several times.
    #[arg(long, value_name = "NAME: VALUE")]
    header: Vec<String>,
    /// The call asks for a stream.
    #[arg(long)]
    stream: bool,
    /// The request's body, for what depends on it: tools, images, length, fallbacks, sessions.
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    /// The body's wire format.
    #[arg(long, default_value = "openai-chat", value_name = "NAME")]
    dialect: String,
    /// What the call does.
    #[arg(long, default_value = "chat", value_name = "NAME")]
    operation: String,
    #[command(flatten)]
    ask: Ask,
}

pub fn run(asked: &Decision) -> ExitCode {
    let answer = question(asked).and_then(|question| Asker::new(&asked.ask)?.post("/api/explain", &question));
    match answer {
        Ok(answer) => {
            put(&if asked.ask.json { format!("{answer}\n") } else { text(&answer) });
            if answer["sent"] == true { ExitCode::SUCCESS } else { ExitCode::from(REFUSED) }
        }
        Err(trouble) => trouble.exit(),
    }
}

fn question(asked: &Decision) -> Result<Value, Trouble> {
    let mut headers = serde_json::Map::new();
    for header in &asked.header {
        let (name, value) = header
            .split_once(':')
            .ok_or_else(|| Trouble::Refused("a header is written as 'NAME: VALUE'".to_owned()))?;
        headers.insert(name.trim().to_owned(), value.trim().into());
    }
    let mut question = json!({
        "key": asked.key,
        "model": asked.model,
        "prefix": asked.prefix,
        "headers": headers,
        "dialect": asked.dialect,
        "operation": asked.operation,
    });
    if asked.stream {
        question["stream"] = true.into();
    }
    if let Some(file) = &asked.body {
        let refused = |why: String| Trouble::Refused(format!("{}: {why}", file.display()));
        let bytes = std::fs::read(file).map_err(|error| refused(error.to_string()))?;
        question["body"] = serde_json::from_slice(&bytes).map_err(|error| refused(format!("not JSON: {error}")))?;
    }
    Ok(question)
}

fn said(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text(answer: &Value) -> String {
    let mut out = String::new();
    let mut line = |name: &str, text: &str| {
        if !text.is_empty() {
            out.push_str(&format!("  {name:<9} {}\n", clean(text)));
        }
    };
    line("caller", &caller(&answer["caller"]));
    line("plugins", &plugins(answer));
    line("route", &route(answer));
    line("needs", &needs(&answer["needs"]));
    line("policy", &policy(&answer["policy"]));
    let end = match &answer["refusal"] {
        Value::Null => "The call would be sent.\n".to_owned(),
        refusal => refused(refusal),
    };
    let mut tables = String::new();
    for table in [targets(answer), keys(answer)].into_iter().flatten() {
        tables.push('\n');
        tables.push_str(&table.render());
    }
    format!("{end}{out}{tables}")
}

fn refused(refusal: &Value) -> String {
    let mut out = format!("The call would be refused with {}", refusal["status"]);
    if let Some(code) = refusal["code"].as_str() {
        out.push_str(&format!(" {}", clean(code)));
    }
    out.push_str(&format!(": {}\n", clean(said(&refusal["message"]))));
    for more in ["detail", "advice"] {
        if !said(&refusal[more]).is_empty() {
            out.push_str(&format!("  {more:<9} {}\n", clean(said(&refusal[more]))));
        }
    }
    out
}

fn caller(caller: &Value) -> String {
    let Some(key) = caller["key"].as_str() else { return "nobody in particular (no key)".to_owned() };
    let mut out = format!("key {key}");
    for (name, value) in [("team", &caller["team"]), ("user", &caller["user"])] {
        if let Some(value) = value.as_str() {
            out.push_str(&format!(", {name} {value}"));
        }
    }
    for (name, value) in caller["labels"].as_object().into_iter().flatten() {
        out.push_str(&format!(", {name}={}", said(value)));
    }
    out
}

fn plugins(answer: &Value) -> String {
    let named = |plugin: &Value| {
        let hooks: Vec<&str> = list(&plugin["hooks"]).iter().map(said).collect();
        format!("{} ({})", said(&plugin["name"]), hooks.join(", "))
    };
    list(&answer["plugins"]).iter().map(named).collect::<Vec<_>>().join(", ")
}

fn route(answer: &Value) -> String {
    let Some(balance) = answer["balance"].as_str() else { return String::new() };
    let name = answer["route"].as_str().unwrap_or("none: the model is named itself");
    let rule = answer["rule"].as_u64().map_or_else(String::new, |rule| format!(", rule {}", rule + 1));
    let session = if answer["session"] == true { ", a session keeps its place" } else { "" };
    format!("{name}{rule}; {balance}{session}")
}

fn needs(needs: &Value) -> String {
    let mut out: Vec<String> = Vec::new();
    for (name, value) in needs.as_object().into_iter().flatten() {
        match value {
            Value::Bool(true) => out.push(name.clone()),
            Value::Number(number) => out.push(format!("{name} {number}")),
            _ => {}
        }
    }
    out.join(", ")
}

fn policy(policy: &Value) -> String {
    let Some(attempts) = policy["attempts"].as_u64() else { return String::new() };
    let within =
        policy["deadline_ms"].as_u64().map_or_else(String::new, |ms| format!(" within {}", span(ms.div_ceil(1000))));
    format!("at most {attempts} attempts{within}")
}

fn targets(answer: &Value) -> Option<Table> {
    let mut table = Table::new(&["TIER", "TARGET", "WEIGHT", "STANDING", "RUNNING", "FAILED"], &[0, 2, 4, 5]);
    for target in list(&answer["targets"]) {
        table.row([
            target["tier"].as_u64().map_or_else(String::new, |tier| (tier + 1).to_string()),
            said(&target["target"]).to_owned(),
            target["weight"].to_string(),
            super::status::standing(target, "standing"),
            target["in_flight"].to_string(),
            target["failed"].to_string(),
        ]);
        if let Some(reason) = target["reason"].as_str() {
            table.note(reason);
        }
    }
    for skipped in list(&answer["skipped"]) {
        table.note(&format!("left out: {}: {}", said(&skipped["target"]), said(&skipped["reason"])));
    }
    (!list(&answer["targets"]).is_empty() || !list(&answer["skipped"]).is_empty()).then_some(table)
}

fn keys(answer: &Value) -> Option<Table> {
    let mut table = Table::new(&["PROVIDER", "KEY", "STATE", "WHY"], &[]);
    let mut some = false;
    for provider in list(&answer["providers"]) {
        for key in list(&provider["keys"]) {
            some = true;
            let name = said(&provider["name"]).to_owned();
            table.row([
                name,
                said(&key["name"]).to_owned(),
                super::status::standing(key, "state"),
                said(&key["why"]).to_owned(),
            ]);
            for model in list(&key["models"]) {
                let state = super::status::standing(model, "state");
                table.note(&format!("for {}: {state}, {}", said(&model["model"]), said(&model["why"])));
            }
        }
    }
    some.then_some(table)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn says_the_whole_decision() {
        let answer = json!({
            "sent": true, "refusal": null, "route": "smart", "rule": 1, "balance": "weighted", "session": true,
            "caller": { "key": "search-prod", "team": "search", "user": null, "labels": { "region": "eu" } },
            "plugins": [{ "name": "pii", "hooks": ["on-request", "on-delta"] }],
            "needs": { "tools": true, "images": false, "tokens": 12, "max_output": null },
            "policy": { "attempts": 3, "deadline_ms": 120_000 },
            "targets": [{ "target": "a/x", "tier": 0, "weight": 80.0, "standing": "ejected", "reason": "5 failures in a row", "seconds_left": 3.2, "in_flight": 0, "failed": 5 }],
            "skipped": [{ "target": "b/y", "reason": "no tools" }],
            "providers": [{ "name": "a", "keys": [{ "name": "main", "state": "out", "why": "not accepted", "seconds_left": 30.0, "models": [] }] }],
        });
        let text = text(&answer);
        for part in [
            "The call would be sent.\n",
            "caller    key search-prod, team search, region=eu\n",
            "plugins   pii (on-request, on-delta)\n",
            "route     smart, rule 2; weighted, a session keeps its place\n",
            "needs     tools, tokens 12\n",
            "policy    at most 3 attempts within 2 min\n",
            "   1  a/x       80.0  ejected for 4 s        0       5\n  5 failures in a row\n  left out: b/y: no tools\n",
            "a         main  out for 30 s  not accepted\n",
        ] {
            assert!(text.contains(part), "no {part:?} in\n{text}");
        }
    }

    #[test]
    fn says_why_not_and_what_to_do() {
        let answer = json!({ "sent": false, "refusal": { "status": 403, "code": "model_not_allowed", "message": "No.", "detail": "", "advice": "Ask." } });
        let text = text(&answer);
        assert!(
            text.starts_with("The call would be refused with 403 model_not_allowed: No.\n  advice    Ask.\n"),
            "{text}"
        );
    }
}
