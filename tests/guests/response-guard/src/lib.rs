//! A guard that knows whole replies only: streams reach it through the operator's `streams` setting.

use sluice::search::Words;
use sluice::{Call, Denial, Fault, OnResponse, Plugin, Reply, ResponseVerdict};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    words: Vec<String>,
    #[serde(default)]
    deny: bool,
}

struct Guard {
    words: Words,
    deny: bool,
}

impl Plugin for Guard {
    type Settings = Settings;
    const SCHEMA: &'static str = r#"{"type":"object","required":["words"],"properties":{"words":{"type":"array","items":{"type":"string"}},"deny":{"type":"boolean"}}}"#;

    fn configure(settings: Settings) -> Result<Self, Fault> {
        Ok(Guard { words: Words::new(settings.words)?, deny: settings.deny })
    }
}

impl OnResponse for Guard {
    fn on_response(&self, _: &mut Call, reply: &mut Reply) -> Result<ResponseVerdict, Fault> {
        for piece in &reply.texts() {
            let Some(text) = self.words.masked(piece.text, "***") else { continue };
            if self.deny {
                return Ok(Denial::new("content_filter", "The reply was refused by a content policy.").into());
            }
            reply.set_text(piece.index, &text)?;
        }
        Ok(ResponseVerdict::Pass)
    }
}

sluice::plugin!(Guard: on_response);
