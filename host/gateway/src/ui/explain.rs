//! `POST /api/explain`: what would become of a call, by the same functions that decide it, and nothing sent.
//!
//! It claims nothing and counts nothing: no probe, no key, no rate. Plugins are named and not run, so what they would change of the call or
//! of the order of its targets is not in it.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};
use sluice_dialect::Dialect;
use sluice_dialect::dialect::Said;
use sluice_dialect::failure::{Blame, Failure};
use sluice_sandbox::Hook;

use crate::app::Core;
use crate::config::Clients;
use crate::exchange::Operation;
use crate::governance::access;
use crate::governance::caller::Caller;
use crate::observe::failures;
use crate::pipeline::{self, Admission};
use crate::plugins::chain::Chain;
use crate::plugins::select::CallFacts;
use crate::providers::table;
use crate::routing::capability::Needs;
use crate::routing::health::Standing;
use crate::routing::plan::{Candidate, Plan, Wish, plan};
use crate::routing::{affinity, names};

/// The call that is asked about. Whatever is not said is as in a plain chat call without a key.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Question {
    /// Name of a virtual key.
    key: Option<String>,
    model: Option<String>,
    /// The provider that the path would name, as in `/openai/v1/...`.
    prefix: Option<String>,
    operation: Option<String>,
    dialect: Option<String>,
    headers: BTreeMap<String, String>,
    stream: Option<bool>,
    /// The request itself, for what depends on it: capabilities, length, fallbacks, sessions.
    body: Option<Value>,
}

/// A question that was read.
struct Asked {
    caller: Option<Caller>,
    model: Option<String>,
    fallbacks: Vec<String>,
    prefix: Option<&'static str>,
    operation: &'static str,
    dialect: Dialect,
    headers: HeaderMap,
    streamed: bool,
    body: Bytes,
}

/// # Errors
/// 400 for a question that is none, 404 for a key that is not there. That the call would be refused is an answer.
pub fn answer(core: &Core, body: &[u8], now: Instant) -> Result<Value, Failure> {
    // A list would be read as fields in their order.
    if body.trim_ascii_start().first() == Some(&b'[') {
        return Err(invalid("Send an object: {\"key\": \"NAME\", \"model\": \"NAME\"}.".to_owned()));
    }
    let question: Question = serde_json::from_slice(body).map_err(|error| {
        invalid(format!("Send {{\"key\": \"NAME\", \"model\": \"NAME\"}} and what else is known: {error}."))
    })?;
    let (asked, key) = read(core, question)?;
    let chain = selected(core, &asked);
    let mut refusal = key.or_else(|| admitted(core, &asked, &chain).err());
    let read_needs = Cell::new(false);
    let needs = || {
        read_needs.set(true);
        Needs::of(asked.dialect, &asked.body)
    };
    let wish = Wish {
        prefix: asked.prefix,
        model: asked.model.as_deref(),
        fallbacks: &asked.fallbacks,
        operation: asked.operation,
        caller: asked.caller.as_ref(),
        headers: &asked.headers,
        streamed: asked.streamed,
        now: SystemTime::now(),
        needs: &needs,
    };
    let planned = plan(core, &wish);
    let mut out = json!({
        "model": asked.model,
        "operation": asked.operation,
        "dialect": asked.dialect.as_str(),
        "stream": asked.streamed,
        "caller": asked.caller.as_ref().map(caller),
        "plugins": plugins(&chain),
    });
    match planned {
        Ok(plan) => {
            refusal = refusal.or_else(|| unusable(&plan, now));
            add(&mut out, chosen(core, &asked, &plan, now));
        }
        Err(failure) => refusal = refusal.or(Some(failure)),
    }
    if read_needs.get() {
        out["needs"] = described(&needs());
    }
    out["sent"] = refusal.is_none().into();
    out["refusal"] = refusal.as_ref().map_or(Value::Null, refused);
    Ok(out)
}

fn add(out: &mut Value, more: Value) {
    if let (Value::Object(out), Value::Object(more)) = (out, more) {
        out.extend(more);
    }
}

/// The question in the gateway's own types, and why the key would be refused whatever it asks for.
fn read(core: &Core, question: Question) -> Result<(Asked, Option<Failure>), Failure> {
    let dialect = match &question.dialect {
        None => Dialect::OpenaiChat,
        Some(name) => Dialect::ALL
            .into_iter()
            .find(|dialect| dialect.as_str() == name)
            .ok_or_else(|| invalid(format!("`dialect` is one of {}.", Dialect::ALL.map(Dialect::as_str).join(", "))))?,
    };
    let operation = match question.operation.as_deref() {
        None => Operation::Chat.as_str(),
        Some(name) => Operation::names().find(|known| *known == name).ok_or_else(|| {
            invalid(format!("`operation` is one of {}.", Operation::names().collect::<Vec<_>>().join(", ")))
        })?,
    };
    let prefix = match question.prefix.as_deref() {
        None => None,
        Some(name) => {
            let row = table::row(name).ok_or_else(|| invalid("`prefix` is a built-in provider's name.".to_owned()))?;
            Some(row.name)
        }
    };
    let mut headers = HeaderMap::new();
    for (name, value) in &question.headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
            return Err(invalid("`headers` are names with values as HTTP has them.".to_owned()));
        };
        headers.append(name, value);
    }
    let body = Bytes::from(question.body.unwrap_or_else(|| json!({})).to_string());
    let peek = dialect.api().peek(&body, &Said::default())?;
    let (caller, refusal) = called(core, question.key.as_deref())?;
    let asked = Asked {
        caller,
        model: question.model.or_else(|| peek.model.as_ref().map(|model| model.name.clone())),
        fallbacks: peek.fallbacks,
        prefix,
        operation,
        dialect,
        headers,
        streamed: question.stream.unwrap_or(peek.stream),
        body,
    };
    Ok((asked, refusal))
}

/// The caller that a key of this name makes, and why it would be refused.
fn called(core: &Core, name: Option<&str>) -> Result<(Option<Caller>, Option<Failure>), Failure> {
    let Some(name) = name else {
        let needed = core.config.server.clients == Clients::Keys;
        let refusal = if needed {
            let message = "Calls need a key here; name one.";
            Some(Failure::new(Blame::Client, 401, "authentication_error", "invalid_api_key", message))
        } else {
            None
        };
        return Ok((None, refusal));
    };
    let (caller, known) = core.keys.named(name, SystemTime::now()).ok_or_else(|| {
        let shown: String = name.chars().take(200).collect();
        let message = format!("There is no key of the name `{shown}`; `sluice status --json` lists them.");
        Failure::new(Blame::Client, 404, "invalid_request_error", "key_not_found", message)
    })?;
    Ok((Some(caller.clone()), access::accepted(known).err()))
}

/// The plugins that would run.
fn selected(core: &Core, asked: &Asked) -> std::sync::Arc<Chain> {
    let chain = core.plugins.chain();
    if !chain.is_conditional() {
        return chain;
    }
    let models = names::names(core, asked.prefix, asked.model.as_deref(), &asked.fallbacks);
    let facts = CallFacts {
        operation: asked.operation,
        models: &models,
        caller: asked.caller.as_ref(),
        headers: &asked.headers,
    };
    chain.select(&facts)
}

/// Whether the call may be made at all, by the gateway's own rules.
fn admitted(core: &Core, asked: &Asked, chain: &Chain) -> Result<(), Failure> {
    let asked = Admission {
        caller: asked.caller.as_ref(),
        prefix: asked.prefix,
        model: asked.model.as_deref(),
        fallbacks: &asked.fallbacks,
        streamed: asked.streamed,
    };
    pipeline::may_be_served(core, chain, &asked)
}

/// Why no target of the plan can be called now. An ejected one is called all the same where there is nothing else.
fn unusable(plan: &Plan, now: Instant) -> Option<Failure> {
    let drained = |candidate: &Candidate| match candidate.live.standing(now) {
        Standing::Drained { left } => Some(left),
        Standing::Ready | Standing::Probe | Standing::Ejected { .. } => None,
    };
    let shortest: Option<Vec<Duration>> = plan.candidates.iter().map(drained).collect();
    let left = shortest?.into_iter().min()?;
    let message = "Every target of this call is drained by an operator.";
    let mut failure = Failure::new(Blame::Gateway, 503, "server_error", "target_drained", message);
    failure.retry_after = Some(left);
    Some(failure)
}

fn caller(caller: &Caller) -> Value {
    json!({ "key": &*caller.key, "team": caller.team.as_deref(), "user": caller.user.as_deref(), "labels": &*caller.labels })
}

fn plugins(chain: &Chain) -> Vec<Value> {
    let hooks = |entry: &crate::plugins::chain::Entry| {
        Hook::ALL.iter().filter(|hook| entry.has(**hook)).map(|hook| hook.as_str()).collect::<Vec<_>>()
    };
    chain.entries.iter().map(|entry| json!({ "name": &*entry.name, "hooks": hooks(entry) })).collect()
}

/// The plan, and how everything in it stands.
fn chosen(core: &Core, asked: &Asked, plan: &Plan, now: Instant) -> Value {
    let user = asked.caller.as_ref().and_then(|caller| caller.user.as_deref());
    let session = plan.session(core, || affinity::session(&asked.headers, asked.dialect, &asked.body, user));
    let targets: Vec<Value> = plan.candidates.iter().map(|candidate| target(core, asked, candidate, now)).collect();
    let mut providers: Vec<usize> = plan.candidates.iter().map(|candidate| candidate.provider).collect();
    providers.sort_unstable();
    providers.dedup();
    let keys: Vec<Value> = providers
        .into_iter()
        .filter_map(|at| core.providers.get(at))
        .map(|provider| {
            json!({ "name": &*provider.name, "keys": provider.keys_described(now), "limits": provider.limit_described() })
        })
        .collect();
    let policy = &plan.policy;
    json!({
        "route": plan.route.as_deref(),
        "rule": plan.rule,
        "balance": plan.balance.as_str(),
        "session": session.is_some(),
        "targets": targets,
        "skipped": plan.skipped.iter().map(|one| json!({ "target": &*one.target, "reason": one.reason })).collect::<Vec<_>>(),
        "providers": keys,
        "policy": {
            "attempts": policy.attempts,
            "deadline_ms": policy.deadline.map(|deadline| deadline.as_millis() as u64),
            "backoff_ms": policy.backoff.as_millis() as u64,
            "budget": policy.budget,
            "repeat_unsafe": policy.repeat_unsafe,
        },
    })
}

fn target(core: &Core, asked: &Asked, candidate: &Candidate, now: Instant) -> Value {
    let provider = core.providers.get(candidate.provider).map_or(&*core.echo, |provider| &*provider.name);
    let model = candidate.model.as_deref().or(asked.model.as_deref()).unwrap_or_default();
    let mut out = candidate.live.describe(now);
    // What its figures are kept under may be all models of the provider.
    let kept_under = out["target"].take();
    out["target"] = format!("{provider}/{model}").into();
    out["kept_under"] = kept_under;
    out["tier"] = candidate.tier.into();
    out["weight"] = candidate.weight.into();
    out
}

fn described(needs: &Needs) -> Value {
    json!({
        "tools": needs.tools,
        "images": needs.images,
        "audio": needs.audio,
        "json_schema": needs.json_schema,
        "reasoning": needs.reasoning,
        "tokens": needs.tokens,
        "max_output": needs.max_output,
    })
}

fn refused(failure: &Failure) -> Value {
    let code = failure.code.as_deref();
    json!({
        "status": failure.status,
        "code": code,
        "blame": failure.blame.as_str(),
        "message": failure.message,
        "detail": failure.detail,
        "retry_after_s": failure.retry_after.map(|after| after.as_secs_f64().ceil() as u64),
        "advice": code.and_then(failures::advice),
    })
}

fn invalid(message: String) -> Failure {
    Failure::invalid("invalid_question", message)
}
