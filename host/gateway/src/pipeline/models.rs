//! `GET /v1/models` and `/v1/models/{id}`: the names that can be called, from the configuration alone.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use sluice_dialect::failure::{Blame, Failure};
use sluice_dialect::openai_chat::error;

use super::reply;
use crate::app::Core;
use crate::config::glob;
use crate::exchange::{Reply, ReplyBody};
use crate::governance::keys::Caller;

/// The list, as far as the caller may use it.
pub fn list(core: &Core, prefix: Option<&str>, caller: Option<&Caller>) -> Reply {
    let data: Vec<Value> = names(core, prefix, caller).map(|name| one(core, &name)).collect();
    json_reply(StatusCode::OK, &json!({ "object": "list", "data": data }))
}

/// One model, or a 404 in the client's dialect.
pub fn get(core: &Core, prefix: Option<&str>, caller: Option<&Caller>, id: &str, call: &str) -> Reply {
    if names(core, prefix, caller).any(|name| name == id) || (core.config.demo && id.len() <= 256) {
        return json_reply(StatusCode::OK, &one(core, id));
    }
    let shown: String = id.chars().take(200).collect();
    let failure = Failure::new(
        Blame::Client,
        404,
        "invalid_request_error",
        "model_not_found",
        format!("The model `{shown}` is not listed here. GET /v1/models lists those that are."),
    )
    .with_param("model");
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("x-sluice-error-source", HeaderValue::from_static("client"));
    reply::with(StatusCode::NOT_FOUND, headers, ReplyBody::whole(error::render(&failure, call)))
}

/// Under a provider's prefix that provider's own names, without the provider before them.
fn names<'a>(
    core: &'a Core,
    prefix: Option<&'a str>,
    caller: Option<&'a Caller>,
) -> Box<dyn Iterator<Item = String> + 'a> {
    let allowed = move |name: &String| caller.is_none_or(|caller| may_use(caller, name));
    match prefix {
        Some(prefix) => Box::new(
            core.provider_named(prefix)
                .and_then(|at| core.providers.get(at))
                .into_iter()
                .flat_map(|provider| provider.config.models.clone())
                .filter(allowed),
        ),
        None => Box::new(core.known_models().filter(allowed)),
    }
}

/// Whether the caller's key may ask for this name.
pub fn may_use(caller: &Caller, name: &str) -> bool {
    caller.models.is_empty() || caller.models.iter().any(|pattern| glob(pattern, name))
}

fn one(core: &Core, name: &str) -> Value {
    let owner = core.alias(name).unwrap_or(name).split_once('/').map_or("sluice", |(provider, _)| provider);
    json!({ "id": name, "object": "model", "created": core.started, "owned_by": owner })
}

fn json_reply(status: StatusCode, value: &Value) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply::with(status, headers, ReplyBody::whole(Bytes::from(value.to_string())))
}
