//! Embeddings: `on-request` sees their texts; the reply is numbers, which no plugin reads.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, Method, Uri};
use serde_json::Value;
use sluice_dialect::failure::{Blame, Class, Failure};
use sluice_dialect::gemini::embed::{self, Form};
use sluice_dialect::openai_chat::reply as openai;
use sluice_dialect::usage::Usage;
use sluice_dialect::{Dialect, json};

use super::ask::{self, Question};
use super::renamed;
use crate::app::{Core, Gateway};
use crate::config::Place;
use crate::pipeline::call::Call;
use crate::pipeline::tries::{Fault, Tries};
use crate::pipeline::{attempt, reply, request_hooks};
use crate::providers::Provider;
use crate::providers::auth::Credential;

/// Texts in one request to Gemini and to Vertex's older models; the newer ones take one.
const GEMINI: usize = 100;
const VERTEX: usize = 100;

/// One request's reply and what its bytes are for the client.
struct Answer {
    headers: HeaderMap,
    body: Bytes,
    usage: Option<Usage>,
}

/// Whom to ask, for whom.
struct Asking<'a> {
    gateway: &'a Rc<Gateway>,
    core: &'a Arc<Core>,
    call: &'a mut Call,
    provider: &'a Provider,
    key: Option<Credential>,
    model: String,
}

pub(super) async fn run(
    gateway: &Rc<Gateway>,
    core: &Arc<Core>,
    call: &mut Call,
) -> Result<(HeaderMap, Bytes), Failure> {
    if request_hooks(core, call).await?.is_some() {
        let message = "A policy answered this call with a conversation, which no embedding is.";
        return Err(Failure::new(Blame::Plugin, 500, "server_error", "plugin_error", message));
    }
    let edited = call.settle.state.as_ref().filter(|state| state.request.edited()).map(|state| state.request.commit());
    let body = edited.unwrap_or_else(|| call.body.clone());
    if core.config.demo {
        return Err(none("The demo provider"));
    }
    let mut tries = Tries::begin(core, call).await?;
    let answer = loop {
        match once(gateway, core, call, &mut tries, &body).await {
            Ok(answer) => break answer,
            Err(fault) => tries.failed(core, call, fault)?,
        }
    };
    call.settle.record.usage = answer.usage;
    Ok((reply::head(&call.settle, Some(&answer.headers), "application/json"), answer.body))
}

async fn once(
    gateway: &Rc<Gateway>,
    core: &Arc<Core>,
    call: &mut Call,
    tries: &mut Tries,
    body: &Bytes,
) -> Result<Answer, Fault> {
    let candidate = tries.next(core, call).await.map_err(Fault::unsent)?;
    let provider = core.providers.get(candidate.provider).ok_or_else(attempt::gone).map_err(Fault::unsent)?;
    let model = candidate.model.as_deref().unwrap_or_default().to_owned();
    let dialect = call.dialect;
    let openai = provider.speaks(Dialect::OpenaiChat) || provider.speaks(Dialect::OpenaiResponses);
    let gemini = provider.speaks(Dialect::Gemini);
    if !openai && !gemini {
        return Err(Fault::unsent(none(&format!("The provider `{}`", provider.name))));
    }
    let key = attempt::place(call, tries, &candidate, provider, &model).await?;
    let mut asking = Asking { gateway, core, call, provider, key, model };
    match (dialect, openai, gemini) {
        (Dialect::Gemini, _, true) => asking.gemini_native(body).await,
        (Dialect::Gemini, _, false) => asking.gemini_to_openai(body).await,
        (_, true, _) => asking.openai_native(body).await,
        (_, false, _) => asking.openai_to_gemini(body).await,
    }
}

fn none(who: &str) -> Failure {
    Failure::invalid("unsupported_operation", format!("{who} has no embeddings; name a model of another provider."))
        .with_class(Class::Unsupported)
}

impl Asking<'_> {
    async fn post(&mut self, dialect: Dialect, uri: Uri, body: Bytes) -> Result<(HeaderMap, Bytes), Fault> {
        let headers = Arc::clone(&self.call.headers);
        let client = (&*headers, self.call.dialect);
        let (provider, key) = (self.provider, self.key.as_ref());
        let question = Question { provider, key, method: Method::POST, uri, client, dialect, body };
        let (_, headers, body) = ask::whole(self.gateway, self.core, &mut self.call.settle, &question).await?;
        Ok((headers, body))
    }

    async fn openai_native(&mut self, body: &Bytes) -> Result<Answer, Fault> {
        let peek = self.call.dialect.api().peek(body, &self.call.said)?;
        let body = if self.model.is_empty() { body.clone() } else { renamed(body, &peek, &self.model) };
        let uri = self.provider.operation_uri("/embeddings", &self.model, self.call.query.as_deref())?;
        let (headers, body) = self.post(Dialect::OpenaiChat, uri, body).await?;
        let usage = openai::usage(&body);
        Ok(Answer { headers, body, usage })
    }

    async fn gemini_to_openai(&mut self, body: &Bytes) -> Result<Answer, Fault> {
        let (sent, losses) = embed::to_openai(body, &self.model)?;
        self.call.settle.record.lose(&losses);
        let uri = self.provider.operation_uri("/embeddings", &self.model, None)?;
        let (headers, told) = self.post(Dialect::OpenaiChat, uri, sent).await?;
        let (body, usage) = embed::from_openai_reply(&told, is_batch(body))?;
        Ok(Answer { headers, body, usage })
    }

    async fn gemini_native(&mut self, body: &Bytes) -> Result<Answer, Fault> {
        let method = if is_batch(body) { "batchEmbedContents" } else { "embedContent" };
        let uri = self.provider.method_uri(&self.model, method)?;
        let sent =
            if self.call.said.model.as_deref() == Some(&self.model) { body.clone() } else { named(body, &self.model) };
        let (headers, body) = self.post(Dialect::Gemini, uri, sent).await?;
        Ok(Answer { headers, body, usage: None })
    }

    async fn openai_to_gemini(&mut self, body: &Bytes) -> Result<Answer, Fault> {
        let form = match &self.provider.config.place {
            // The newer models take one text a request.
            Some(Place::Vertex { .. }) if self.model.starts_with("gemini-") => Form::Predict { most: 1 },
            Some(Place::Vertex { .. }) => Form::Predict { most: VERTEX },
            _ => Form::Batch { most: GEMINI },
        };
        let mut wanted = embed::from_openai(body, &self.model, form)?;
        self.call.settle.record.lose(&wanted.losses);
        let bodies = std::mem::take(&mut wanted.bodies);
        let uri = self.provider.method_uri(&self.model, form.operation())?;
        let (mut headers, mut replies) = (HeaderMap::new(), Vec::with_capacity(bodies.len()));
        for body in bodies {
            let (head, reply) = self.post(Dialect::Gemini, uri.clone(), body).await?;
            headers = head;
            replies.push(reply);
        }
        let (body, usage) = wanted.reply(&replies, &self.model)?;
        Ok(Answer { headers, body, usage })
    }
}

fn is_batch(body: &[u8]) -> bool {
    json::field(body, 0, "requests").is_some()
}

/// A Gemini request for another model than the one that it names: each part of a batch says it.
fn named(body: &Bytes, model: &str) -> Bytes {
    let Ok(mut value) = serde_json::from_slice::<Value>(body) else { return body.clone() };
    let name = Value::from(format!("models/{model}"));
    let name_in = |request: &mut Value| {
        if let Some(said) = request.get_mut("model") {
            *said = name.clone();
        }
    };
    name_in(&mut value);
    value.get_mut("requests").and_then(Value::as_array_mut).into_iter().flatten().for_each(name_in);
    Bytes::from(value.to_string())
}
