//! Follows each call to its end and says what it saw, so that a test can count ends and read what came with them.
//!
//! A request is remembered by its newest user text and tagged. At its end a line goes to the log,
//! `finish ID OUTCOME target=T output=N question=Q reply=R` (texts cut at 200 characters, `-` for what is not there); for each finished
//! call of a batch `completed ID OUTCOME` (the host takes 64 lines a hook). Both are counted as `finish.OUTCOME` and `complete.OUTCOME`, in
//! the metrics and, where it is granted, in `kv`; batches as `batches` in the metrics. A call whose newest user text is `report` is answered
//! with the counts of `kv`, as `finish.ok=2 complete.ok=1`.

use sluice::{
    Call, Fault, Finished, Grant, Level, NoSettings, OnComplete, OnFinish, OnRequest, Plugin, Reply, RequestVerdict, kv,
};

const OUTCOMES: [&str; 8] =
    ["ok", "refused", "denied", "answered", "upstream-error", "truncated", "client-gone", "failed"];
const SHOWN: usize = 200;

struct Finisher;

impl Plugin for Finisher {
    type Settings = NoSettings;
    const GRANTS: &'static [Grant] = &[Grant::kv("to count ends where a later call can read them").optional()];

    fn configure(_: NoSettings) -> Result<Self, Fault> {
        Ok(Finisher)
    }
}

/// In the metrics always, in `kv` where it is granted.
fn counted(name: &str) -> Result<(), Fault> {
    sluice::count(name, 1);
    match kv::increment(name, 1, None) {
        Ok(_) | Err(Fault::Denied(_)) => Ok(()),
        Err(fault) => Err(fault),
    }
}

fn report() -> Result<String, Fault> {
    let mut out = Vec::new();
    for hook in ["finish", "complete"] {
        for outcome in OUTCOMES {
            let name = format!("{hook}.{outcome}");
            if let Some(count) = kv::get(&name)? {
                out.push(format!("{name}={}", String::from_utf8_lossy(&count)));
            }
        }
    }
    Ok(out.join(" "))
}

fn shown(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.chars().take(SHOWN).collect() }
}

impl OnRequest for Finisher {
    fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault> {
        let question = call.last_user_text().unwrap_or_default();
        call.remember("question", &shown(&question))?;
        call.tag("finisher", "saw")?;
        if question == "report" {
            return Ok(RequestVerdict::answer_text(&report()?));
        }
        Ok(RequestVerdict::Pass)
    }
}

impl OnFinish for Finisher {
    fn on_finish(&self, call: &Call, reply: &Reply) -> Result<(), Fault> {
        let outcome = reply.outcome().ok_or_else(|| Fault::internal("a finished call without an outcome"))?;
        counted(&format!("finish.{outcome}"))?;
        let question: Option<String> = call.recall("question")?;
        let output = reply.tokens("output").map_or_else(|| "-".to_owned(), |tokens| tokens.to_string());
        let line = format!(
            "finish {} {outcome} target={} output={output} question={} reply={}",
            call.id(),
            shown(&reply.target()),
            question.as_deref().map_or_else(|| "-".to_owned(), shown),
            shown(reply.texts().joined()),
        );
        sluice::log(Level::Info, line);
        Ok(())
    }
}

impl OnComplete for Finisher {
    fn on_complete(&self, batch: &[Finished]) -> Result<(), Fault> {
        sluice::count("batches", 1);
        for call in batch {
            let outcome: String = call.get("/outcome")?.unwrap_or_default();
            let id: String = call.get("/id")?.unwrap_or_default();
            counted(&format!("complete.{outcome}"))?;
            sluice::log(Level::Info, format!("completed {id} {outcome}"));
        }
        Ok(())
    }
}

sluice::plugin!(Finisher: on_request, on_finish, on_complete);
