//! Uses what a call offers, so that a test can see each function reach the gateway and come back.
//!
//! On a request it: tags `tagger` with the caller's team (or `nobody`), remembers the model, and says in `x-tagger` what it saw. A call
//! whose newest user text begins with `edit:` is edited through JSON too: `temperature` becomes 0.5, `user` goes, a system message comes
//! first, and the model becomes the setting `model` where there is one. In the first window of a piece it says in `x-tagger-window` what it
//! sees. On a reply it checks what it remembered, and writes the target
//! and the output tokens to `x-tagger-reply`.

use serde_json::{Value, json};
use sluice::{
    Call, DeltaVerdict, Fault, Level, OnDelta, OnRequest, OnResponse, Plugin, Reply, RequestVerdict, ResponseVerdict,
    Window,
};

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    #[serde(default)]
    model: Option<String>,
}

struct Tagger {
    model: Option<String>,
}

impl Plugin for Tagger {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, Fault> {
        Ok(Tagger { model: settings.model })
    }
}

impl Tagger {
    fn edit(&self, call: &mut Call) -> Result<(), Fault> {
        call.set("/temperature", &0.5)?;
        if call.get_json("/user").is_some() {
            call.remove("/user")?;
        }
        call.insert("/messages/0", &json!({ "role": "system", "content": "tagged" }))?;
        match call.get::<Value>("/messages/0/content")? {
            Some(Value::String(text)) if text == "tagged" => {}
            other => return Err(Fault::internal(format!("an insert reads back as {other:?}"))),
        }
        if let Some(model) = &self.model {
            call.set_model(model)?;
            if &call.model() != model {
                return Err(Fault::internal("the model reads back otherwise"));
            }
        }
        Ok(())
    }
}

impl OnRequest for Tagger {
    fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault> {
        let team = call.caller("team").unwrap_or_else(|| "nobody".to_owned());
        call.tag("tagger", &team)?;
        call.remember("model", &call.model())?;
        let seen = format!(
            "{} {} {} stream={} attempt={} texts={} header={}",
            call.operation(),
            call.dialect(),
            call.model(),
            call.streaming(),
            call.attempt(),
            call.texts().len(),
            call.header("x-probe").unwrap_or_default(),
        );
        call.set_reply_header("x-tagger", &seen)?;
        if call.header("authorization").is_some() || call.header("cookie").is_some() {
            return Err(Fault::internal("a credential is readable"));
        }
        if call.id().is_empty() || call.remaining_ms() == 0 || sluice::now_ms() == 0 || sluice::random(8).len() != 8 {
            return Err(Fault::internal("a call without id, time or randomness"));
        }
        sluice::count("requests", 1);
        sluice::log(Level::Info, format!("tagged {team}"));
        if call.last_user_text().is_some_and(|text| text.starts_with("edit:")) {
            self.edit(call)?;
        }
        Ok(RequestVerdict::Pass)
    }
}

impl OnResponse for Tagger {
    fn on_response(&self, call: &mut Call, reply: &mut Reply) -> Result<ResponseVerdict, Fault> {
        let model: Option<String> = call.recall("model")?;
        let seen = format!(
            "{} model={} tagged={} output={} finish={} texts={}",
            reply.target(),
            model.unwrap_or_default(),
            call.tagged("tagger").unwrap_or_default(),
            reply.tokens("output").map_or_else(|| "?".to_owned(), |tokens| tokens.to_string()),
            reply.finish_reason(0).unwrap_or_default(),
            reply.texts().len(),
        );
        call.set_reply_header("x-tagger-reply", &seen)?;
        Ok(ResponseVerdict::Pass)
    }
}

impl OnDelta for Tagger {
    fn on_delta(&self, call: &mut Call, window: &Window) -> Result<DeltaVerdict, Fault> {
        let key = format!("windows.{}.{}", window.choice, window.part);
        let seen: u32 = call.recall(&key)?.unwrap_or(0);
        call.remember(&key, &(seen + 1))?;
        if seen == 0 {
            call.set_reply_header("x-tagger-window", &window.text)?;
        }
        if window.last {
            call.tag(&key, &(seen + 1).to_string())?;
        }
        Ok(DeltaVerdict::PASS)
    }
}

sluice::plugin!(Tagger: on_request, on_response, on_delta);
