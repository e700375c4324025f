//! `sluice drain`: keeps calls from a target of a running gateway for a while.

use std::process::ExitCode;

use clap::Args;
use serde_json::{Value, json};

use super::ask::{Ask, Asker, put};
use super::table::{clean, span};

#[derive(Args, Debug)]
pub struct Drain {
    /// PROVIDER/MODEL as `sluice status` shows it, or PROVIDER for all of its targets.
    target: String,
    /// For how long, from 1s to 24h; it ends by itself then.
    #[arg(long = "for", default_value = "30m", value_name = "TIME")]
    lasting: String,
    /// End it now.
    #[arg(long, conflicts_with = "lasting")]
    undo: bool,
    #[command(flatten)]
    ask: Ask,
}

pub fn run(drain: &Drain) -> ExitCode {
    let question = if drain.undo {
        json!({ "target": drain.target, "undo": true })
    } else {
        json!({ "target": drain.target, "for": drain.lasting })
    };
    match Asker::new(&drain.ask).and_then(|asker| asker.post("/api/drain", &question)) {
        Ok(answer) => {
            put(&if drain.ask.json { format!("{answer}\n") } else { text(&answer) });
            ExitCode::SUCCESS
        }
        Err(trouble) => trouble.exit(),
    }
}

/// A line for each target that the answer is about.
fn text(answer: &Value) -> String {
    let mut out = String::new();
    for target in answer["targets"].as_array().into_iter().flatten() {
        let name = clean(target["target"].as_str().unwrap_or_default());
        let running = match target["in_flight"].as_u64() {
            Some(running @ 1..) => format!("; {running} calls there go on to their end"),
            _ => String::new(),
        };
        match target["seconds_left"].as_f64().filter(|_| target["standing"] == "drained") {
            Some(left) => out.push_str(&format!("{name}: no calls for {}{running}\n", span(left.ceil() as u64))),
            None => {
                out.push_str(&format!("{name}: takes calls again, {}\n", target["standing"].as_str().unwrap_or("?")));
            }
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_done() {
        let answer = json!({ "targets": [
            { "target": "a/x", "standing": "drained", "seconds_left": 1799.6, "in_flight": 2 },
            { "target": "a/*", "standing": "ready", "seconds_left": null, "in_flight": 0 },
        ] });
        assert_eq!(
            text(&answer),
            "a/x: no calls for 30 min; 2 calls there go on to their end\na/*: takes calls again, ready\n"
        );
    }
}
