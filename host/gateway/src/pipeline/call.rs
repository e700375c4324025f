//! One call's state on its way through the pipeline, and its settlement.

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::HeaderMap;
use sluice_dialect::Dialect;
use sluice_dialect::dialect::Said;
use sluice_dialect::failure::{Blame, Class as FailureClass, Failure};
use sluice_dialect::peek::Peek;

use super::kept::Kept;
use crate::app::Core;
use crate::config::Timeouts;
use crate::exchange::{Inbound, Road};
use crate::governance::rates::Admitted;
use crate::hooks::finish::Finisher;
use crate::hooks::view::{CallState, Seed};
use crate::observe;
use crate::observe::document::cut;
use crate::observe::record::{Attempt, Class, Outcome, Record};
use crate::plugins::chain::Chain;
use crate::plugins::select::CallFacts;
use crate::providers::auth::Credential;
use crate::providers::gate::Permit;
use crate::providers::pool::KeyNews;
use crate::routing::health::{How, Running};
use crate::routing::names;

/// Model names in the log are cut here, bytes.
const MODEL_IN_LOG: usize = 200;

/// A call between its arrival and its reply.
pub struct Call {
    /// Shared with the plugins' view.
    pub headers: Arc<HeaderMap>,
    pub body: Bytes,
    pub peek: Peek,
    /// The client's.
    pub dialect: Dialect,
    /// What the path says beside the body.
    pub said: Said,
    /// The query without credentials.
    pub query: Option<String>,
    /// The provider named by the path, if any.
    pub prefix: Option<&'static str>,
    /// Pinned from start to end.
    pub chain: Arc<Chain>,
    pub settle: Settle,
}

impl Call {
    /// Reads what the road needs of the request; a body that is not a request settles the call at once.
    pub fn start(core: &Arc<Core>, mut inbound: Inbound) -> (Settle, Result<Parts, Failure>) {
        let mut settle = Settle::new(core, &mut inbound);
        let chain = core.plugins.chain();
        settle.record.generation = chain.generation;
        let Road { dialect, .. } = inbound.road;
        let Inbound { road: Road { said, .. }, body, .. } = &mut inbound;
        let api = dialect.api();
        let parts = api.peek(body, said).and_then(|peek| peek.settled(api, body, said)).map(|peek| {
            let peek = peek.said(&inbound.road.said);
            settle.record.streamed = peek.stream;
            if let Some(model) = &peek.model {
                settle.record.model = cut(&model.name, MODEL_IN_LOG).to_owned();
            }
            let Inbound { road, headers, body, .. } = inbound;
            let model = peek.model.as_ref().map(|model| &*model.name);
            let chain = select(core, chain, &settle.record, &headers, (model, &peek.fallbacks));
            Parts { headers, body, peek, dialect, said: road.said, query: road.query, prefix: road.provider, chain }
        });
        (settle, parts)
    }

    pub fn new(parts: Parts, settle: Settle) -> Call {
        let Parts { headers, body, peek, dialect, said, query, prefix, chain } = parts;
        Call { headers: Arc::new(headers), body, peek, dialect, said, query, prefix, chain, settle }
    }

    /// A call whose body is not read as a conversation.
    pub fn raw(inbound: Inbound, chain: Arc<Chain>, settle: Settle) -> Call {
        let Inbound { road, headers, body, .. } = inbound;
        let Road { provider: prefix, dialect, said, query, .. } = road;
        Call { headers: Arc::new(headers), body, peek: Peek::default(), dialect, said, query, prefix, chain, settle }
    }

    /// What the plugins' view of the call is made of.
    pub fn seed(&self) -> Seed {
        let record = &self.settle.record;
        Seed {
            id: record.id.clone(),
            operation: record.operation,
            dialect: self.dialect,
            prefix: self.prefix,
            streaming: self.streamed(),
            model: self.peek.model.as_ref().map(|model| model.name.clone()).unwrap_or_default(),
            caller: record.caller.clone(),
            headers: Arc::clone(&self.headers),
            body: self.body.clone(),
            max: self.settle.core.config.server.limits.body_size,
            deadline: deadline(self.settle.started, Timeouts::default().total),
        }
    }

    /// Notes which plugins want to know of the call's end.
    pub fn keep(&mut self, finisher: &Rc<Finisher>) {
        if self.chain.has_finish_hooks() {
            let kept = Kept::new(Arc::clone(&self.chain), Rc::clone(finisher), self.seed());
            self.settle.kept = Some(Box::new(kept));
        }
        self.settle.tell(&self.chain);
    }

    pub fn streamed(&self) -> bool {
        self.peek.stream
    }

    /// Parts the call from its settlement, which a stream carries to its end; [`Call::join`] makes it whole again.
    pub fn part(self) -> (Rest, Settle) {
        let Call { headers, body, peek, dialect, said, query, prefix, chain, settle } = self;
        (Rest { headers, body, peek, dialect, said, query, prefix, chain }, settle)
    }

    pub fn join(rest: Rest, settle: Settle) -> Call {
        let Rest { headers, body, peek, dialect, said, query, prefix, chain } = rest;
        Call { headers, body, peek, dialect, said, query, prefix, chain, settle }
    }

    /// The model asked for, as a plugin may have changed it.
    pub fn model(&self) -> Option<String> {
        let changed = self.settle.state.as_ref().and_then(|state| state.new_model.clone());
        changed.or_else(|| self.peek.model.as_ref().map(|model| model.name.clone()))
    }
}

/// What a call is beside its settlement: enough for another attempt after a stream that failed before its content.
pub struct Rest {
    headers: Arc<HeaderMap>,
    body: Bytes,
    pub peek: Peek,
    pub dialect: Dialect,
    said: Said,
    query: Option<String>,
    prefix: Option<&'static str>,
    pub chain: Arc<Chain>,
}

/// A call's request, before it has a settlement to carry.
pub struct Parts {
    headers: HeaderMap,
    body: Bytes,
    peek: Peek,
    dialect: Dialect,
    said: Said,
    query: Option<String>,
    prefix: Option<&'static str>,
    chain: Arc<Chain>,
}

/// The plugins that run on this call, decided once, by what the client sent.
pub(super) fn select(
    core: &Core,
    chain: Arc<Chain>,
    record: &Record,
    headers: &HeaderMap,
    (model, fallbacks): (Option<&str>, &[String]),
) -> Arc<Chain> {
    if !chain.is_conditional() {
        return chain;
    }
    let models =
        if chain.selects_by_model() { names::names(core, record.prefix, model, fallbacks) } else { Vec::new() };
    let caller = record.caller.as_ref();
    chain.select(&CallFacts { operation: record.operation, models: &models, caller, headers })
}

/// What an attempt holds until its end: a place at its target and its key, and who is to be told how it went.
pub struct Under {
    running: Running,
    _permit: Option<Permit>,
    pub key: Option<Credential>,
    began: Instant,
    /// Until the first content of a stream.
    first: Option<Duration>,
}

impl Under {
    pub fn new(running: Running, permit: Option<Permit>, key: Option<Credential>) -> Under {
        Under { running, _permit: permit, key, began: Instant::now(), first: None }
    }
}

/// Settles a call exactly once, however it ends: it is a drop guard, so a client that leaves (which drops the call wherever it stands)
/// is settled too. It lives outside every plugin's store.
pub struct Settle {
    pub record: Record,
    pub started: Instant,
    /// What plugins see; made only for a chain with hooks on the way, and gone while one of them runs.
    pub state: Option<Box<CallState>>,
    /// For `on-finish`, where a plugin has it.
    pub kept: Option<Box<Kept>>,
    /// What was taken of the caller's limits, where it has any.
    pub admitted: Option<Admitted>,
    /// For `on-complete`, where a plugin has it.
    told: Option<Arc<Chain>>,
    /// The attempt that runs, or whose reply is on its way.
    pub under: Option<Under>,
    core: Arc<Core>,
    provider: Option<usize>,
    outcome: Outcome,
}

impl Settle {
    pub(super) fn new(core: &Arc<Core>, inbound: &mut Inbound) -> Settle {
        core.metrics.in_flight.inc();
        let record = Record {
            id: inbound.id.clone(),
            dialect: inbound.road.dialect,
            operation: inbound.road.operation.as_str(),
            prefix: inbound.road.provider,
            caller: inbound.caller.take(),
            client_waited: inbound.waited,
            ..Record::default()
        };
        Settle {
            record,
            started: inbound.started,
            state: None,
            kept: None,
            admitted: None,
            told: None,
            under: None,
            core: Arc::clone(core),
            provider: None,
            outcome: Outcome::ClientGone,
        }
    }

    pub fn core(&self) -> &Arc<Core> {
        &self.core
    }

    /// The call's end is told to the plugins of this chain that want to know of it.
    pub(super) fn tell(&mut self, chain: &Arc<Chain>) {
        if chain.has_complete_hooks() {
            self.told = Some(Arc::clone(chain));
        }
    }

    /// Begins an attempt.
    pub fn attempt(&mut self, provider: Option<usize>, name: &Arc<str>, model: &str) {
        self.attempt_ended();
        self.provider = provider;
        let record = &mut self.record;
        let model = cut(model, MODEL_IN_LOG).to_owned();
        let last =
            std::mem::replace(&mut record.last, Attempt { provider: Arc::clone(name), model, ..Attempt::default() });
        if record.attempts > 0 {
            record.earlier.push(last);
        }
        record.attempts += 1;
    }

    /// Takes the call, and the tokens that are expected of it, from what its caller may use.
    ///
    /// # Errors
    /// The 429 of a caller that has used it up.
    pub fn take(&mut self, tokens: impl FnOnce() -> u64) -> Result<(), Failure> {
        let limits = self.record.caller.as_ref().and_then(|caller| caller.limits.as_ref());
        if let Some(limits) = limits {
            self.admitted = Some(limits.admit(self.record.dialect, tokens)?);
        }
        Ok(())
    }

    /// The place of the last attempt's provider among the configured ones.
    pub fn provider(&self) -> Option<usize> {
        self.provider
    }

    /// The provider was waited for.
    pub fn waited(&mut self, time: Duration) {
        self.record.waited += time;
        self.record.last.waited += time;
    }

    /// The attempt's reply is complete.
    pub fn replied(&mut self) {
        self.record.last.class = Class::Ok;
    }

    /// The provider failed the attempt: its key and its target are told.
    pub fn attempt_failed(&mut self, failure: &Failure) {
        self.record.last.failed(failure);
        if failure.blame != Blame::Provider {
            return;
        }
        let Some(under) = self.under.take() else { return };
        let status = self.record.last.status;
        let news = KeyNews::of(failure).or((status != 0).then_some(KeyNews::Good));
        self.key_told(&under, news);
        under.running.ended(match failure.class() {
            FailureClass::Timeout => How::Failed { slow: true },
            FailureClass::Overloaded | FailureClass::Server => How::Failed { slow: false },
            // The request's own fault, or the key's.
            _ => How::Neutral,
        });
    }

    /// Nothing more comes of the attempt. One that was broken off, because the client left or a policy ended the call, says nothing.
    fn attempt_ended(&mut self) {
        let Some(under) = self.under.take() else { return };
        if self.record.last.class != Class::Ok {
            return;
        }
        self.key_told(&under, Some(KeyNews::Good));
        let output = self.record.usage.as_ref().map(|usage| usage.output + usage.reasoning);
        under.running.ended(How::Ok { first: under.first, total: under.began.elapsed(), output });
    }

    fn key_told(&self, under: &Under, news: Option<KeyNews>) {
        let provider = self.provider.and_then(|at| self.core.providers.get(at));
        if let (Some(provider), Some(key), Some(news)) = (provider, &under.key, news) {
            provider.key_told(key, &self.record.last.model, news);
        }
    }

    pub fn first_token(&mut self) {
        if let Some(under) = &mut self.under {
            under.first.get_or_insert_with(|| under.began.elapsed());
        }
        if self.record.first_token.is_none() {
            let after = self.started.elapsed();
            self.record.first_token = Some(after);
            self.core.metrics.first_token.observe(after.as_secs_f64());
        }
    }

    pub fn end(&mut self, outcome: Outcome, status: u16) {
        self.outcome = outcome;
        self.record.status = status;
    }

    /// The call failed; the outcome follows from who is to blame.
    pub fn fail(&mut self, failure: &Failure, after_content: bool) {
        self.outcome = match failure.blame {
            Blame::Provider if after_content => Outcome::Truncated,
            Blame::Provider => Outcome::UpstreamError,
            Blame::Client => Outcome::Refused,
            Blame::Plugin if failure.code.as_deref() != Some("plugin_error") => Outcome::Denied,
            Blame::Plugin | Blame::Gateway => Outcome::Failed,
        };
        self.record.status = if after_content { 200 } else { failure.status };
        self.attempt_failed(failure);
        self.record.fail(failure);
    }
}

impl Drop for Settle {
    fn drop(&mut self) {
        let total = self.started.elapsed();
        if self.outcome == Outcome::ClientGone {
            self.record.status = 499;
            self.record.broken_off = true;
        }
        self.attempt_ended();
        let metrics = &self.core.metrics;
        metrics.in_flight.dec();
        if let Some(overhead) = self.record.overhead(total) {
            metrics.overhead.observe(overhead.as_secs_f64());
        }
        if self.record.attempts > 0 {
            let attempts = self.record.earlier.iter().chain([&self.record.last]);
            attempts.for_each(|attempt| self.core.tries.count(attempt));
        }
        self.core.provider_metrics(self.provider).ended(self.outcome, self.record.usage.as_ref());
        if let Some(admitted) = self.admitted.take() {
            settle_tokens(admitted, &self.record, self.outcome);
        }
        let core = &self.core;
        observe::tell(&self.record, self.outcome, total, &core.log, Some(&core.recent), |document| {
            if let Some(chain) = &self.told {
                core.outbox.push(chain, document);
            }
        });
        if let Some(kept) = self.kept.take() {
            kept.finish(self.state.take(), &self.record, self.outcome);
        }
    }
}

/// What the call used counts where its provider said so. Where none did and a provider was at work, the estimate stands; a call that
/// failed or was refused gives it back.
fn settle_tokens(admitted: Admitted, record: &Record, outcome: Outcome) {
    match (&record.usage, outcome) {
        (Some(usage), _) => admitted.settle(usage.prompt().saturating_add(usage.completion())),
        (None, Outcome::Ok | Outcome::Truncated | Outcome::ClientGone) if record.attempts > 0 => admitted.keep(),
        _ => drop(admitted),
    }
}

/// Time left until a deadline that counts from `since`.
pub fn deadline(since: Instant, limit: Duration) -> Instant {
    since.checked_add(limit).unwrap_or_else(|| since + Duration::from_secs(86_400))
}
