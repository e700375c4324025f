//! A guard that knows windows of text only: whole replies reach it as one window a piece.
//!
//! It masks; with `deny` it refuses, with a header; with `finish` it ends the choice where the first word stands.

use sluice::search::Words;
use sluice::{Call, DeltaVerdict, Denial, Fault, OnDelta, Plugin, Window};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    words: Vec<String>,
    #[serde(default)]
    deny: bool,
    #[serde(default)]
    finish: bool,
}

struct Guard {
    words: Words,
    deny: bool,
    finish: bool,
}

impl Plugin for Guard {
    type Settings = Settings;
    const SCHEMA: &'static str = r#"{"type":"object","required":["words"],"properties":{"words":{"type":"array","items":{"type":"string"}},"deny":{"type":"boolean"},"finish":{"type":"boolean"}}}"#;

    fn configure(settings: Settings) -> Result<Self, Fault> {
        Ok(Guard { words: Words::new(settings.words)?, deny: settings.deny, finish: settings.finish })
    }
}

impl OnDelta for Guard {
    fn on_delta(&self, _: &mut Call, window: &Window) -> Result<DeltaVerdict, Fault> {
        if self.deny && self.words.is_match(&window.text) {
            return Ok(Denial::new("content_filter", "The reply was refused by a content policy.")
                .header("x-guard", "delta")
                .into());
        }
        if self.finish
            && let Some(word) = self.words.spans(&window.text).first()
        {
            return Ok(DeltaVerdict::Finish(window.text.get(..word.start).unwrap_or_default().to_owned()));
        }
        Ok(self.words.mask_window(window, "***"))
    }
}

sluice::plugin!(Guard: on_delta);
