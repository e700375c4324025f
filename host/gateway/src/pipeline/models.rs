//! `GET /v1/models` and `/v1/models/{id}`: the names that can be called, from the configuration alone.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use sluice_dialect::failure::{Blame, Failure};
use sluice_dialect::openai_chat::error;

use super::reply;
use super::route::{self, Route};
use crate::app::Core;
use crate::config::glob;
use crate::exchange::{Reply, ReplyBody};
use crate::governance::keys::Caller;

/// The list, as far as the caller may use it.
pub fn list(core: &Core, prefix: Option<&str>, caller: Option<&Caller>) -> Reply {
    let data: Vec<Value> = names(core, prefix, caller).map(|name| one(core, prefix, &name)).collect();
    json_reply(StatusCode::OK, &json!({ "object": "list", "data": data }))
}

/// One model, or a 404 in the client's dialect.
pub fn get(core: &Core, prefix: Option<&str>, caller: Option<&Caller>, id: &str, call: &str) -> Reply {
    if names(core, prefix, caller).any(|name| name == id)
        || is_listed_bare(core, prefix, caller, id)
        || (core.config.demo && id.len() <= 256)
    {
        return json_reply(StatusCode::OK, &one(core, prefix, id));
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
    let allowed = move |name: &String| caller.is_none_or(|caller| admit(core, caller, prefix, Some(name)).is_ok());
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

/// On `/v1` a model that one provider lists can be called by its bare name, so it can be looked up by it.
fn is_listed_bare(core: &Core, prefix: Option<&str>, caller: Option<&Caller>, id: &str) -> bool {
    let serving = core.providers.iter().filter(|provider| provider.config.models.iter().any(|model| model == id));
    prefix.is_none()
        && serving.count() == 1
        && caller.is_none_or(|caller| admit(core, caller, prefix, Some(id)).is_ok())
}

/// Whether the caller's key may ask for this name: as the client says it, or as `provider/model` that it leads to.
///
/// # Errors
/// 403. A key with a list must also name a model: what a provider serves without a name may be any.
pub fn admit(core: &Core, caller: &Caller, prefix: Option<&str>, name: Option<&str>) -> Result<(), Failure> {
    if caller.models.is_empty() {
        return Ok(());
    }
    let refused = |message| {
        let failure = Failure::new(Blame::Client, 403, "permission_error", "model_not_allowed", message);
        Err(failure.with_param("model"))
    };
    let Some(name) = name else {
        return refused("Your key may use certain models only: name one of them in the body.".to_owned());
    };
    let lists = |name: &str| caller.models.iter().any(|pattern| glob(pattern, name));
    let full = || match route::resolve(core, prefix, Some(name)) {
        Ok(Route::Provider { at, model }) => {
            core.providers.get(at).map(|provider| format!("{}/{}", provider.name, model.unwrap_or_default()))
        }
        _ => None,
    };
    if lists(name) || full().is_some_and(|full| lists(&full)) {
        return Ok(());
    }
    refused(format!("Your key may not use the model `{}`.", name.chars().take(200).collect::<String>()))
}

fn one(core: &Core, prefix: Option<&str>, name: &str) -> Value {
    let owner = match route::resolve(core, prefix, Some(name)) {
        Ok(Route::Provider { at, .. }) => core.providers.get(at).map_or("sluice", |provider| &provider.name),
        _ => "sluice",
    };
    json!({ "id": name, "object": "model", "created": core.started, "owned_by": owner })
}

fn json_reply(status: StatusCode, value: &Value) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply::with(status, headers, ReplyBody::whole(Bytes::from(value.to_string())))
}
