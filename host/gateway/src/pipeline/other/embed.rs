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
use crate::pipeline::{reply, request_hooks, route};
use crate::providers::Provider;

/// Texts in one request to Gemini and to Vertex's older models; the newer ones take one.
const GEMINI: usize = 100;
const VERTEX: usize = 100;

/// One request's reply and what its bytes are for the client.
struct Answer {
    headers: HeaderMap,
    body: Bytes,
    usage: Option<Usage>,
}

/// Whom and how to ask.
struct Target<'a> {
    at: usize,
    provider: &'a Provider,
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
    let asked = call.model();
    let (at, model) = match route::resolve(core, call.prefix, asked.as_deref())? {
        route::Route::Provider { at, model } => (at, model.unwrap_or_default()),
        route::Route::Echo => return Err(none("The demo provider")),
    };
    let Some(provider) = core.providers.get(at) else { return Err(none("The provider")) };
    let target = Target { at, provider, model };
    let openai = provider.speaks(Dialect::OpenaiChat) || provider.speaks(Dialect::OpenaiResponses);
    let answer = match (call.dialect, openai, provider.speaks(Dialect::Gemini)) {
        (Dialect::Gemini, _, true) => gemini_native(gateway, core, call, &target, &body).await?,
        (Dialect::Gemini, true, _) => gemini_to_openai(gateway, core, call, &target, &body).await?,
        (_, true, _) => openai_native(gateway, core, call, &target, &body).await?,
        (_, false, true) => openai_to_gemini(gateway, core, call, &target, &body).await?,
        (_, false, false) => return Err(none(&format!("The provider `{}`", provider.name))),
    };
    call.settle.record.usage = answer.usage;
    Ok((reply::head(&call.settle, Some(&answer.headers), "application/json"), answer.body))
}

fn none(who: &str) -> Failure {
    Failure::invalid("unsupported_operation", format!("{who} has no embeddings; name a model of another provider."))
        .with_class(Class::Unsupported)
}

async fn post(
    gateway: &Rc<Gateway>,
    core: &Arc<Core>,
    call: &mut Call,
    target: &Target<'_>,
    (dialect, uri): (Dialect, Uri),
    body: Bytes,
) -> Result<(HeaderMap, Bytes), Failure> {
    let headers = Arc::clone(&call.headers);
    let client = (&*headers, call.dialect);
    let Target { at, provider, model } = target;
    let question = Question { at: *at, provider, model, method: Method::POST, uri, client, dialect, body };
    let (_, headers, body) = ask::whole(gateway, core, &mut call.settle, &question).await?;
    Ok((headers, body))
}

async fn openai_native(
    gateway: &Rc<Gateway>,
    core: &Arc<Core>,
    call: &mut Call,
    target: &Target<'_>,
    body: &Bytes,
) -> Result<Answer, Failure> {
    let peek = call.dialect.api().peek(body, &call.said)?;
    let body = if target.model.is_empty() { body.clone() } else { renamed(body, &peek, &target.model) };
    let uri = target.provider.operation_uri("/embeddings", &target.model, call.query.as_deref())?;
    let (headers, body) = post(gateway, core, call, target, (Dialect::OpenaiChat, uri), body).await?;
    let usage = openai::usage(&body);
    Ok(Answer { headers, body, usage })
}

async fn gemini_to_openai(
    gateway: &Rc<Gateway>,
    core: &Arc<Core>,
    call: &mut Call,
    target: &Target<'_>,
    body: &Bytes,
) -> Result<Answer, Failure> {
    let (sent, losses) = embed::to_openai(body, &target.model)?;
    call.settle.record.lose(&losses);
    let uri = target.provider.operation_uri("/embeddings", &target.model, None)?;
    let (headers, told) = post(gateway, core, call, target, (Dialect::OpenaiChat, uri), sent).await?;
    let (body, usage) = embed::from_openai_reply(&told, is_batch(body))?;
    Ok(Answer { headers, body, usage })
}

async fn gemini_native(
    gateway: &Rc<Gateway>,
    core: &Arc<Core>,
    call: &mut Call,
    target: &Target<'_>,
    body: &Bytes,
) -> Result<Answer, Failure> {
    let method = if is_batch(body) { "batchEmbedContents" } else { "embedContent" };
    let uri = target.provider.method_uri(&target.model, method)?;
    let sent =
        if call.said.model.as_deref() == Some(&target.model) { body.clone() } else { named(body, &target.model) };
    let (headers, body) = post(gateway, core, call, target, (Dialect::Gemini, uri), sent).await?;
    Ok(Answer { headers, body, usage: None })
}

async fn openai_to_gemini(
    gateway: &Rc<Gateway>,
    core: &Arc<Core>,
    call: &mut Call,
    target: &Target<'_>,
    body: &Bytes,
) -> Result<Answer, Failure> {
    let form = match &target.provider.config.place {
        // The newer models take one text a request.
        Some(Place::Vertex { .. }) if target.model.starts_with("gemini-") => Form::Predict { most: 1 },
        Some(Place::Vertex { .. }) => Form::Predict { most: VERTEX },
        _ => Form::Batch { most: GEMINI },
    };
    let mut wanted = embed::from_openai(body, &target.model, form)?;
    call.settle.record.lose(&wanted.losses);
    let bodies = std::mem::take(&mut wanted.bodies);
    let uri = target.provider.method_uri(&target.model, form.operation())?;
    let (mut headers, mut replies) = (HeaderMap::new(), Vec::with_capacity(bodies.len()));
    for body in bodies {
        let (head, reply) = post(gateway, core, call, target, (Dialect::Gemini, uri.clone()), body).await?;
        headers = head;
        replies.push(reply);
    }
    let (body, usage) = wanted.reply(&replies, &target.model)?;
    Ok(Answer { headers, body, usage })
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
