//! From one name that a client said to the provider and model that it stands for. Named routes are `plan`'s; numbers, health and keys come
//! later.

use std::borrow::Cow;

use sluice_dialect::failure::{Blame, Failure};

use crate::app::Core;
use crate::providers::Provider;
use crate::providers::table::{self, Row};

/// Near names shown in a 404.
const NEAR: usize = 3;

/// Who serves a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// An index into the configured providers and the model name to send; `None` sends the body's own, whatever it is.
    Provider { at: usize, model: Option<String> },
    /// The built-in demo provider.
    Echo,
}

/// Prefixes of libraries that people keep while the model is anyone's: below them another configured provider may stand before a name. Below
/// any other provider's prefix a name is all that provider's: many call their models `openai/...` or `meta-llama/...`.
const DROP_IN: &[&str] = &["openai", "azure", "anthropic", "gemini", "vertex"];

/// Who stands in where a prefix's own provider is not configured: the same models, elsewhere.
const KIN: &[(&str, &str)] = &[("openai", "azure"), ("azure", "openai"), ("gemini", "vertex"), ("vertex", "gemini")];

/// The one provider and model that a name stands for; a route's name stands for none. `prefix` is the provider named by the path: there every
/// name passes as it is, unless it says another provider. On `/v1` a name must resolve.
pub fn resolve(core: &Core, prefix: Option<&str>, model: Option<&str>) -> Result<Route, Failure> {
    if core.config.demo {
        return Ok(Route::Echo);
    }
    if let Some(route) = model.and_then(|model| core.routes.named(core, prefix, model)) {
        return Err(not_found(format!("`{route}` is a route, which stands for more than one model.")));
    }
    let route = match prefix {
        Some(prefix) => below(core, prefix, model)?,
        None => anywhere(core, model)?,
    };
    let Route::Provider { at, model: Some(model) } = route else { return Ok(route) };
    let deployment = core.providers.get(at).and_then(|provider| provider.deployment(&model)).map(str::to_owned);
    Ok(Route::Provider { at, model: Some(deployment.unwrap_or(model)) })
}

/// Whether names below that prefix may be anyone's.
pub(super) fn is_open(prefix: &str) -> bool {
    DROP_IN.contains(&prefix)
}

/// The provider that a path's prefix leads to.
///
/// # Errors
/// A 404 that says how to configure it.
pub fn of_prefix(core: &Core, prefix: &str) -> Result<usize, Failure> {
    let kin = || KIN.iter().find(|(name, _)| *name == prefix).and_then(|(_, kin)| core.provider_named(kin));
    core.provider_named(prefix).or_else(kin).ok_or_else(|| not_configured(prefix))
}

fn below(core: &Core, prefix: &str, model: Option<&str>) -> Result<Route, Failure> {
    let home = of_prefix(core, prefix);
    let Some(asked) = model else { return Ok(Route::Provider { at: home?, model: None }) };
    let open = DROP_IN.contains(&prefix);
    let name = if open { core.alias(asked).unwrap_or(asked) } else { asked };
    if open
        && let Some((first, rest)) = name.split_once('/')
        && !rest.is_empty()
        && let Some(at) = core.provider_named(first)
    {
        return Ok(Route::Provider { at, model: Some(rest.to_owned()) });
    }
    match home {
        Ok(at) => {
            // A provider's own name before the model is Sluice's spelling, not the provider's.
            let own = name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/'));
            Ok(Route::Provider { at, model: Some(own.unwrap_or(name).to_owned()) })
        }
        Err(failure) => {
            let served = if open { serving(core, name) } else { Vec::new() };
            match served.as_slice() {
                [only] => Ok(Route::Provider { at: *only, model: Some(name.to_owned()) }),
                _ => Err(failure),
            }
        }
    }
}

fn anywhere(core: &Core, model: Option<&str>) -> Result<Route, Failure> {
    let Some(asked) = model else {
        return Err(Failure::invalid(
            "missing_model",
            "Say which model to call: add `\"model\": \"provider/model\"` to the body.",
        )
        .with_param("model"));
    };
    let name = core.alias(asked).unwrap_or(asked);
    if let Some((first, rest)) = name.split_once('/') {
        if let Some(at) = core.provider_named(first) {
            if rest.is_empty() {
                return Err(unknown(core, asked, None));
            }
            return Ok(Route::Provider { at, model: Some(rest.to_owned()) });
        }
        if table::row(first).is_some() && serving(core, name).is_empty() {
            return Err(not_configured(first));
        }
    }
    bare(core, asked, name)
}

/// The configured providers that are known to serve a model of that name: by their `models:`, else by the catalog.
fn serving(core: &Core, name: &str) -> Vec<usize> {
    let having = |has: &dyn Fn(&Provider) -> bool| -> Vec<usize> {
        core.providers.iter().enumerate().filter(|(_, provider)| has(provider)).map(|(at, _)| at).collect()
    };
    let listed = having(&|provider| provider.config.models.iter().any(|model| model == name));
    if listed.is_empty() { having(&|provider| provider.catalogued(name).is_some()) } else { listed }
}

/// The names by which a plugin's `match` may know the model: as the client says it, its fallbacks included, and as every `provider/model`
/// that these may lead to, so that neither an alias nor a route, a fallback nor a provider's own path leads around a plugin.
pub fn names(core: &Core, prefix: Option<&str>, model: Option<&str>, fallbacks: &[String]) -> Vec<String> {
    let mut out: Vec<String> = model.map(str::to_owned).into_iter().collect();
    led_to(core, prefix, model, &mut out);
    for fallback in fallbacks {
        out.push(fallback.clone());
        led_to(core, None, Some(fallback), &mut out);
    }
    out
}

fn led_to(core: &Core, prefix: Option<&str>, model: Option<&str>, out: &mut Vec<String>) {
    if let Some(route) = model.and_then(|model| core.routes.find(core, prefix, model)) {
        out.extend(core.routes.named(core, prefix, model.unwrap_or_default()).map(ToString::to_string));
        out.extend(core.routes.targets(route).iter().map(ToString::to_string));
    } else if let Ok(Route::Provider { at, model }) = resolve(core, prefix, model) {
        let provider = core.providers.get(at);
        out.extend(provider.map(|provider| format!("{}/{}", provider.name, model.unwrap_or_default())));
    }
}

fn bare(core: &Core, asked: &str, name: &str) -> Result<Route, Failure> {
    let serving = serving(core, name);
    let at = match (serving.as_slice(), core.providers.len()) {
        ([only], _) => *only,
        ([], 1) => 0,
        ([], _) => return Err(unknown(core, asked, None)),
        (several, _) => {
            let names: Vec<String> =
                several.iter().filter_map(|at| core.providers.get(*at)).map(|p| format!("{}/{name}", p.name)).collect();
            return Err(unknown(core, asked, Some(names)));
        }
    };
    Ok(Route::Provider { at, model: Some(name.to_owned()) })
}

fn not_found(message: String) -> Failure {
    Failure::new(Blame::Client, 404, "invalid_request_error", "model_not_found", message).with_param("model")
}

/// A provider that Sluice knows but has no key for.
fn not_configured(name: &str) -> Failure {
    match table::row(name) {
        Some(Row { key_env: [env, ..], .. }) => not_found(format!(
            "The provider `{name}` is not configured: set {env} in Sluice's environment, or add to sluice.yaml: \
             `providers: {{ {name}: {{ keys: [env:{env}] }} }}`."
        )),
        _ => not_found(format!("The provider `{name}` is not configured: add it under `providers:` in sluice.yaml.")),
    }
}

pub(super) fn unknown(core: &Core, asked: &str, several: Option<Vec<String>>) -> Failure {
    let shown: Cow<'_, str> = asked.chars().take(200).collect::<String>().into();
    if let Some(names) = several {
        return not_found(format!(
            "The model `{shown}` is served by several providers; say which one: {}.",
            list(&names)
        ));
    }
    let near = near(core, asked);
    let hint = if !near.is_empty() {
        format!("Did you mean {}?", list(&near))
    } else if core.providers.is_empty() {
        "No provider is configured: add one under `providers:` in sluice.yaml, or set OPENAI_API_KEY.".to_owned()
    } else {
        let prefixes: Vec<String> = core.providers.iter().take(8).map(|p| format!("{}/{shown}", p.name)).collect();
        format!("Name a provider as well: {}.", list(&prefixes))
    };
    not_found(format!("The model `{shown}` does not exist here. {hint}"))
}

fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn near(core: &Core, asked: &str) -> Vec<String> {
    if asked.len() > 200 {
        return Vec::new();
    }
    let tail = asked.rsplit('/').next().unwrap_or(asked);
    let mut scored: Vec<(f64, String)> = core
        .known_models()
        .map(|name| {
            let whole = strsim::jaro_winkler(asked, &name);
            let last = strsim::jaro_winkler(tail, name.rsplit('/').next().unwrap_or(&name));
            (whole.max(last), name)
        })
        .filter(|(score, _)| *score > 0.8)
        .collect();
    scored.sort_by(|a, b| b.0.total_cmp(&a.0));
    scored.dedup_by(|a, b| a.1 == b.1);
    scored.into_iter().take(NEAR).map(|(_, name)| name).collect()
}
