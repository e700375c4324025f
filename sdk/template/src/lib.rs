//! Refuses requests that name a protected word, and masks it in what the model writes.

use sluice::search::Words;
use sluice::{Call, DeltaVerdict, Denial, Fault, OnDelta, OnRequest, Plugin, RequestVerdict, Window};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    words: Vec<String>,
}

struct Guard {
    words: Words,
}

impl Plugin for Guard {
    type Settings = Settings;
    const SCHEMA: &'static str = r#"{ "type": "object", "required": ["words"],
        "properties": { "words": { "type": "array", "items": { "type": "string" } } } }"#;

    fn configure(settings: Settings) -> Result<Self, Fault> {
        Ok(Guard { words: Words::new(settings.words)? })
    }
}

impl OnRequest for Guard {
    fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault> {
        if self.words.is_match(call.texts().joined()) {
            return Ok(Denial::new("content_filter", "This request names something that must stay here.").into());
        }
        Ok(RequestVerdict::Pass)
    }
}

impl OnDelta for Guard {
    fn on_delta(&self, _: &mut Call, window: &Window) -> Result<DeltaVerdict, Fault> {
        Ok(self.words.mask_window(window, "***"))
    }
}

sluice::plugin!(Guard: on_request, on_delta);

#[cfg(test)]
mod tests {
    use super::*;
    use sluice::testing::{self, FakeCall};

    fn guard() -> Guard {
        testing::configure(r#"{ "words": ["codename"] }"#).unwrap()
    }

    #[test]
    fn a_request_with_the_word_is_refused() {
        let verdict = FakeCall::asking("What is the CodeName?").on_request(&guard());
        assert!(matches!(verdict, Ok(RequestVerdict::Deny(denial)) if denial.code == "content_filter"));
    }

    #[test]
    fn any_other_request_passes() {
        assert_eq!(FakeCall::asking("What is the time?").on_request(&guard()), Ok(RequestVerdict::Pass));
    }

    #[test]
    fn the_word_is_masked_however_the_reply_is_cut() {
        assert_eq!(testing::stream(&guard(), &["the code", "name is x"]).text, "the *** is x");
    }
}
