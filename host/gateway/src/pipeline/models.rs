//! `GET /v1/models` and `/v1/models/{id}`: the names that can be called, from the configuration and from what providers list themselves.
//!
//! What a provider lists is only shown, never used to route: a bare name goes where the configuration says.

use std::cell::OnceCell;
use std::collections::HashSet;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::json;
use sluice_dialect::failure::{Blame, Failure};

use super::reply;
use crate::app::Core;
use crate::exchange::{Reply, ReplyBody, Road};
use crate::governance::caller::{Caller, Scope};
use crate::providers::Provider;
use crate::providers::listing::Models;
use crate::routing::names::{self, Route};

mod shape;

/// Names between two turns for other calls of the thread: a list may be long, and a key's patterns many.
const TURN: usize = 512;
/// Longer names are not looked up in demo mode, which knows every name.
const LONGEST: usize = 256;

/// The list, as far as the caller may use it, in the form of the client's dialect: routes and aliases first, then each provider's models, those that the
/// configuration names before those that the provider adds.
pub async fn list(core: &Core, road: &Road, caller: Option<&Caller>) -> Reply {
    // A prefix whose provider is not configured shows what can be called below it all the same.
    let prefix = road.provider.map(|prefix| names::of_prefix(core, prefix).ok().and_then(|at| core.providers.get(at)));
    let own = prefix.flatten().map(|provider| &*provider.name);
    let asked: Vec<&Provider> =
        core.providers.iter().filter(|provider| own.is_none_or(|own| *provider.name == *own)).collect();
    let known = join_all(asked.iter().map(|provider| provider.listing.known())).await;
    let mut page = Page { core, prefix: own, caller, names: HashSet::new(), list: shape::List::new(road) };
    if core.config.demo {
        page.add(&core.echo, None, None);
    }
    if own.is_none() {
        for route in core.routes.all() {
            page.alias(route);
        }
        for (alias, _) in &core.config.aliases {
            page.alias(alias);
        }
    }
    for (provider, models) in asked.iter().zip(&known) {
        let models = models.as_deref();
        for name in &provider.config.models {
            page.model(provider, name, models);
        }
        for (at, entry) in models.iter().flat_map(|models| models.iter()).enumerate() {
            if provider.credentials.serve(entry.id()) {
                page.model(provider, entry.id(), models);
            }
            if at % TURN == TURN - 1 {
                tokio::task::yield_now().await;
            }
        }
    }
    json_reply(StatusCode::OK, page.list.finish())
}

/// One model, or a 404 in the client's dialect; a 502 where only a provider that cannot be asked could know.
pub async fn get(core: &Core, road: &Road, caller: Option<&Caller>, id: &str, call: &str) -> Reply {
    let prefix = road.provider.filter(|prefix| core.config.demo || names::of_prefix(core, prefix).is_ok());
    match look_up(core, prefix, caller, id).await {
        Ok(text) => json_reply(StatusCode::OK, shape::one(road.dialect, id, text)),
        Err(failure) => {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert("x-sluice-error-source", HeaderValue::from_static(failure.blame.as_str()));
            let status = StatusCode::from_u16(failure.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            reply::with(status, headers, ReplyBody::whole(road.dialect.api().write_error(&failure, call)))
        }
    }
}

async fn look_up(core: &Core, prefix: Option<&str>, caller: Option<&Caller>, id: &str) -> Result<String, Failure> {
    let unknown = || {
        let shown: String = id.chars().take(200).collect();
        let message = format!("The model `{shown}` is not listed here. GET /v1/models lists those that are.");
        Failure::new(Blame::Client, 404, "invalid_request_error", "model_not_found", message).with_param("model")
    };
    if caller.is_some_and(|caller| admit(core, caller, prefix, Some(id)).is_err()) {
        return Err(unknown());
    }
    if core.routes.named(core, prefix, id).is_some() {
        return Ok(object(core, id, None, None));
    }
    let (provider, model) = match names::resolve(core, prefix, Some(id)) {
        Ok(Route::Echo) if id.len() <= LONGEST => return Ok(object(core, id, None, None)),
        Ok(Route::Provider { at, model: Some(model) }) => match core.providers.get(at) {
            Some(provider) => (provider, model),
            None => return Err(unknown()),
        },
        _ => return Err(unknown()),
    };
    let alias = prefix.is_none() && core.alias(id).is_some();
    if alias || provider.config.models.contains(&model) {
        return Ok(object(core, id, Some((provider, &model)), provider.listing.held().as_deref()));
    }
    let Some(models) = provider.listing.known().await else {
        let message =
            format!("The provider `{}` cannot be asked for its models just now; calls may still work.", provider.name);
        return Err(Failure::bad_gateway("models_unknown", message));
    };
    if models.get(&model).is_none() || !provider.credentials.serve(&model) {
        return Err(unknown());
    }
    Ok(object(core, id, Some((provider, &model)), Some(&models)))
}

/// A list in the making.
struct Page<'a> {
    core: &'a Core,
    prefix: Option<&'a str>,
    caller: Option<&'a Caller>,
    names: HashSet<String>,
    list: shape::List,
}

impl Page<'_> {
    fn alias(&mut self, alias: &str) {
        if self.caller.is_some_and(|caller| admit(self.core, caller, None, Some(alias)).is_err()) {
            return;
        }
        match names::resolve(self.core, None, Some(alias)) {
            Ok(Route::Provider { at, model: Some(model) }) => {
                let target = self.core.providers.get(at).map(|provider| (provider, model.as_str()));
                let models = target.and_then(|(provider, _)| provider.listing.held());
                self.add(alias, target, models.as_deref());
            }
            _ => self.add(alias, None, None),
        }
    }

    /// Under a provider's prefix a model has its bare name. On `/v1` the provider stands before it, unless the caller's key only knows
    /// the bare name, and that leads here.
    fn model(&mut self, provider: &Provider, model: &str, models: Option<&Models>) {
        let full = format!("{}/{model}", provider.name);
        let lists =
            |name: &str| self.caller.is_none_or(|caller| caller.scopes.iter().all(|scope| scope.has_model(name)));
        let name = match self.prefix {
            Some(_) if lists(model) || lists(&full) => model,
            None if lists(&full) => &full,
            None if lists(model) && leads_to(self.core, model, provider) => model,
            _ => return,
        };
        self.add(name, Some((provider, model)), models);
    }

    fn add(&mut self, name: &str, target: Option<(&Provider, &str)>, models: Option<&Models>) {
        if !self.names.insert(name.to_owned()) {
            return;
        }
        if self.list.wants(name) {
            self.list.add(name, object(self.core, name, target, models));
        }
    }
}

/// Whether the bare name is that provider's model of that name.
fn leads_to(core: &Core, name: &str, provider: &Provider) -> bool {
    let Ok(Route::Provider { at, model: Some(model) }) = names::resolve(core, None, Some(name)) else { return false };
    model == name && core.providers.get(at).is_some_and(|found| found.name == provider.name)
}

/// One model under the name that is shown: as its provider describes it, where it does.
fn object(core: &Core, name: &str, target: Option<(&Provider, &str)>, models: Option<&Models>) -> String {
    if let Some((_, model)) = target
        && let Some(entry) = models.and_then(|models| models.get(model))
    {
        let mut text = String::new();
        entry.write(name, &mut text);
        return text;
    }
    let owner = target.map_or("sluice", |(provider, _)| &*provider.name);
    let mut object = json!({ "id": name, "object": "model", "created": core.started, "owned_by": owner });
    // What the provider does not say itself, the catalog does.
    let known = target.and_then(|(provider, model)| provider.catalogued(model));
    for (member, limit) in [
        ("context_window", known.and_then(|known| known.window)),
        ("max_output_tokens", known.and_then(|known| known.output)),
    ] {
        if let (Some(limit), Some(object)) = (limit, object.as_object_mut()) {
            object.insert(member.to_owned(), limit.into());
        }
    }
    object.to_string()
}

/// Whether the caller may ask for this name: as the client says it, or as `provider/model` that it leads to. What a route leads to may be
/// used by whoever may use the route.
///
/// # Errors
/// 403. A caller with a list must also name a model: what a provider serves without a name may be any.
pub fn admit(core: &Core, caller: &Caller, prefix: Option<&str>, name: Option<&str>) -> Result<(), Failure> {
    if caller.is_unbound() {
        return Ok(());
    }
    let refused = |message| {
        let failure = Failure::new(Blame::Client, 403, "permission_error", "model_not_allowed", message);
        Err(failure.with_param("model"))
    };
    let Some(name) = name else {
        return refused("Your key may use certain models only: name one of them in the body.".to_owned());
    };
    let full = OnceCell::new();
    let leads_to = || full.get_or_init(|| full_name(core, prefix, name)).as_deref();
    let route = core.routes.named(core, prefix, name);
    let allowed = |scope: &Scope| {
        scope.has_model(name)
            || leads_to().is_some_and(|full| scope.has_model(full))
            || route.is_some_and(|route| scope.has_route(route) || scope.has_model(route))
    };
    if caller.scopes.iter().all(allowed) {
        return Ok(());
    }
    refused(format!("Your key may not use the model `{}`.", name.chars().take(200).collect::<String>()))
}

/// The `provider/model` that a name leads to.
fn full_name(core: &Core, prefix: Option<&str>, name: &str) -> Option<String> {
    let Ok(Route::Provider { at, model }) = names::resolve(core, prefix, Some(name)) else { return None };
    core.providers.get(at).map(|provider| format!("{}/{}", provider.name, model.unwrap_or_default()))
}

fn json_reply(status: StatusCode, text: String) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    reply::with(status, headers, ReplyBody::whole(Bytes::from(text)))
}
