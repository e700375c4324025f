//! Answers in a provider's place: with a text, or with a canonical reply given as JSON; for every call, or where the newest user text
//! contains `when`.

use serde_json::value::RawValue;
use sluice::{Call, Fault, OnRequest, Plugin, RequestVerdict};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    text: String,
    reply: Option<Box<RawValue>>,
    #[serde(default)]
    when: String,
}

struct Answers {
    verdict: RequestVerdict,
    when: String,
}

impl Plugin for Answers {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, Fault> {
        let verdict = match settings.reply {
            Some(reply) => RequestVerdict::Answer(reply.get().to_owned()),
            None => RequestVerdict::answer_text(&settings.text),
        };
        Ok(Answers { verdict, when: settings.when })
    }
}

impl OnRequest for Answers {
    fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault> {
        let asked = self.when.is_empty() || call.last_user_text().is_some_and(|text| text.contains(&self.when));
        Ok(if asked { self.verdict.clone() } else { RequestVerdict::Pass })
    }
}

sluice::plugin!(Answers: on_request);
