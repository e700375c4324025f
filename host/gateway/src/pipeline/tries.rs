//! The attempts of one call: which target is asked next, and what the failure of one means for the call.
//!
//! What is chosen among and why is `routing`'s; sending is `attempt`'s. Here is what one call remembers between them.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use sluice_dialect::failure::{Blame, Class, Failure};

use super::call::{Call, deadline};
use crate::app::Core;
use crate::hooks::route::{self, Chosen, Offered};
use crate::hooks::view::CallState;
use crate::providers::Provider;
use crate::routing::capability::Needs;
use crate::routing::decide::{self, Action, Failed, Phase, SoFar};
use crate::routing::plan::{self, Candidate, Plan, Wish};
use crate::routing::{Policy, Skipped, affinity, balance};

/// A failed attempt.
pub struct Fault {
    pub failure: Failure,
    pub phase: Phase,
}

impl From<Failure> for Fault {
    /// What fails where nobody says how far it had come: a reply that had begun.
    fn from(failure: Failure) -> Fault {
        Fault { failure, phase: Phase::BeforeContent }
    }
}

impl Fault {
    /// Nothing had been sent.
    pub fn unsent(failure: Failure) -> Fault {
        Fault { failure, phase: Phase::Connect }
    }
}

/// See the module.
pub struct Tries {
    plan: Plan,
    /// A plugin's.
    order: Option<Vec<usize>>,
    /// Targets that are done with.
    tried: Vec<usize>,
    /// The target that is asked, or to be asked again.
    at: Option<usize>,
    /// Attempts at it.
    here: u32,
    /// Names of the provider's keys that failed there.
    keys: Vec<Arc<str>>,
    /// Before the next attempt.
    wait: Duration,
    session: Option<u64>,
    /// The call's own deadline, known when it is first needed: it may follow from the first target.
    until: Option<Instant>,
    /// What a provider said last; it tells the client more than that nobody is left to ask.
    said: Option<Failure>,
}

impl From<Plan> for Tries {
    fn from(plan: Plan) -> Tries {
        Tries {
            plan,
            order: None,
            tried: Vec::new(),
            at: None,
            here: 0,
            keys: Vec::new(),
            wait: Duration::ZERO,
            session: None,
            until: None,
            said: None,
        }
    }
}

/// What a call needs of a target, scanned once and only if somebody asks.
struct Wants<'a> {
    call: &'a Call,
    needs: OnceCell<Needs>,
}

impl Wants<'_> {
    fn of(call: &Call) -> Wants<'_> {
        Wants { call, needs: OnceCell::new() }
    }

    fn needs(&self) -> Needs {
        *self.needs.get_or_init(|| Needs::of(self.call.dialect, &bytes(self.call)))
    }
}

/// The request as the hooks left it.
fn bytes(call: &Call) -> Bytes {
    let edited = call.settle.state.as_ref().filter(|state| state.request.edited()).map(|state| state.request.commit());
    edited.unwrap_or_else(|| call.body.clone())
}

impl Tries {
    /// Finds who may serve the call, and lets routing plugins choose among them.
    ///
    /// # Errors
    /// Nobody is called like that, or nobody of them can do it; or a plugin refused.
    pub async fn begin(core: &Core, call: &mut Call) -> Result<Tries, Failure> {
        let model = call.model();
        let mut tries = Tries::plan(core, call, call.prefix, model.as_deref())?;
        tries.ask_plugins(core, call).await?;
        Ok(tries)
    }

    /// The same for a call that no plugin reads.
    pub fn of_raw(core: &Core, call: &mut Call, model: Option<&str>) -> Result<Tries, Failure> {
        Tries::plan(core, call, call.prefix, model)
    }

    /// For a call that names no model: the provider alone.
    pub fn of_provider(core: &Core, at: usize) -> Result<Tries, Failure> {
        let provider = core.providers.get(at).ok_or_else(super::attempt::gone)?;
        Ok(Tries::from(Plan::of_provider(at, provider)))
    }

    fn plan(core: &Core, call: &mut Call, prefix: Option<&'static str>, model: Option<&str>) -> Result<Tries, Failure> {
        let plan = {
            let asked = Wants::of(call);
            let wish = Wish {
                prefix,
                model,
                fallbacks: &call.peek.fallbacks,
                operation: call.settle.record.operation,
                caller: call.settle.record.caller.as_ref(),
                headers: &call.headers,
                streamed: call.streamed(),
                now: SystemTime::now(),
                needs: &|| asked.needs(),
            };
            plan::plan(core, &wish)?
        };
        let record = &mut call.settle.record;
        record.route.clone_from(&plan.route);
        record.skipped.extend(plan.skipped.iter().cloned());
        let session = plan.session(core, || {
            let user = call.settle.record.caller.as_ref().and_then(|caller| caller.user.as_deref());
            affinity::session(&call.headers, call.dialect, &bytes(call), user)
        });
        call.settle.record.session = session.is_some();
        Ok(Tries { session, ..Tries::from(plan) })
    }

    async fn ask_plugins(&mut self, core: &Core, call: &mut Call) -> Result<(), Failure> {
        if !call.chain.has_route_hooks() {
            return Ok(());
        }
        let needs = Wants::of(call).needs();
        let now = Instant::now();
        let offered: Arc<[Offered]> =
            self.plan.candidates.iter().map(|candidate| offer(core, candidate, &needs, now)).collect();
        // Where no hook of the request or the reply is, nobody has made it yet.
        let state = call.settle.state.take().unwrap_or_else(|| Box::new(CallState::new(call.seed())));
        let record = &mut call.settle.record;
        let (state, chosen) = route::run(&call.chain, state, Arc::clone(&offered), record).await;
        record.tags.clone_from(&state.tags);
        call.settle.state = Some(state);
        let Some(Chosen { order, reason, plugin }) = chosen? else { return Ok(()) };
        let left_out = offered.iter().enumerate().filter(|(at, _)| !order.contains(at));
        call.settle.record.skipped.extend(left_out.map(|(_, offered)| Skipped {
            target: offered.name.as_str().into(),
            reason: format!("left out by {plugin}: {reason}"),
        }));
        tracing::debug!(id = %call.settle.record.id, %plugin, "a plugin ordered the call's targets: {reason}");
        self.order = Some(order);
        Ok(())
    }

    /// The target of the next attempt, after the wait that goes before it.
    ///
    /// # Errors
    /// Nobody may be asked now.
    pub async fn next(&mut self, core: &Core, call: &mut Call) -> Result<Candidate, Failure> {
        if !self.wait.is_zero() {
            tokio::time::sleep(self.wait).await;
            // The provider wished it, or was spared: it is no time of Sluice's own.
            call.settle.waited(self.wait);
            self.wait = Duration::ZERO;
        }
        if self.at.is_none() {
            let asked = Wants::of(call);
            let next = balance::next(
                core,
                &self.plan,
                &self.tried,
                self.order.as_deref(),
                self.session,
                Instant::now(),
                &|| asked.needs(),
            );
            let Some((at, _)) = next else { return Err(self.said.take().unwrap_or_else(nobody)) };
            self.at = Some(at);
            self.here = 0;
            self.keys.clear();
        }
        self.here += 1;
        self.at.and_then(|at| self.plan.candidates.get(at)).cloned().ok_or_else(nobody)
    }

    pub fn policy(&self) -> &Policy {
        &self.plan.policy
    }

    /// There never was another target.
    pub fn is_alone(&self) -> bool {
        self.plan.candidates.len() == 1
    }

    pub fn session(&self) -> Option<u64> {
        self.session
    }

    /// Keys of the present target's provider that are not to be used again.
    pub fn keys(&self) -> &[Arc<str>] {
        &self.keys
    }

    /// Until when the call may be tried, its own policy's or that of the target that is asked first.
    pub fn until(&mut self, call: &Call, first: Duration) -> Instant {
        let limit = self.plan.policy.deadline.unwrap_or(first.saturating_mul(2));
        *self.until.get_or_insert_with(|| deadline(call.settle.started, limit))
    }

    /// The attempt failed: either there is to be another, or the call fails.
    ///
    /// # Errors
    /// What the client is told.
    pub fn failed(&mut self, core: &Core, call: &mut Call, fault: Fault) -> Result<(), Failure> {
        let Fault { mut failure, phase } = fault;
        call.settle.attempt_failed(&failure);
        let so_far = self.so_far(core, call, failure.class());
        let provider = self.provider(core);
        let failed = Failed::of(&failure, phase);
        let (action, reason) = decide::decide(&failed, &so_far, &self.plan.policy, fastrand::f64());
        call.settle.record.last.decided(reason);
        match action {
            Action::GiveUp => return Err(self.given_up(failure)),
            Action::Same { wait } => {
                self.wait = wait;
                self.keys.clear();
            }
            Action::OtherKey => self.keys.extend(call.settle.record.last.key.clone()),
            Action::Next => {
                self.tried.extend(self.at.take());
            }
        }
        if !matches!(action, Action::Next)
            && let Some(provider) = provider
        {
            provider.repeats.spend();
        }
        call.settle.record.lost.clear();
        if failure.blame == Blame::Provider {
            failure.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("x-should-retry"));
            self.said = Some(failure);
        }
        Ok(())
    }

    /// A plugin wants another attempt: at a target that it names, else at the next one, else at the same.
    pub fn again(&mut self, core: &Core, call: &mut Call, target: Option<&str>) -> Result<(), Failure> {
        if call.settle.record.attempts >= self.plan.policy.attempts {
            return Err(super::out_of_attempts());
        }
        match target {
            Some(target) => {
                let until = self.until;
                *self = Tries { until, ..Tries::plan(core, call, None, Some(target))? };
            }
            None => {
                if self.others().next().is_some() {
                    self.tried.extend(self.at.take());
                }
            }
        }
        Ok(())
    }

    fn provider<'a>(&self, core: &'a Core) -> Option<&'a Provider> {
        let candidate = self.at.and_then(|at| self.plan.candidates.get(at))?;
        core.providers.get(candidate.provider)
    }

    /// Targets that may still be asked. Asking takes no probe's place from a call that would use it.
    fn others(&self) -> impl Iterator<Item = &Candidate> {
        let open = balance::left(&self.plan, &self.tried, self.order.as_deref(), Instant::now());
        open.filter(|at| Some(*at) != self.at).filter_map(|at| self.plan.candidates.get(at))
    }

    fn so_far(&self, core: &Core, call: &Call, class: Class) -> SoFar {
        let here = self.at.and_then(|at| self.plan.candidates.get(at));
        let window = |candidate: &Candidate| known(core, candidate).and_then(|known| known.window);
        let mine = here.and_then(window);
        let (mut other_target, mut abler_target) = (false, false);
        for other in self.others() {
            other_target = true;
            abler_target |= match class {
                Class::ContextLength => mine.zip(window(other)).is_some_and(|(mine, other)| other > mine),
                _ => here.is_some_and(|here| here.model != other.model) && known(core, other).is_some(),
            };
        }
        let provider = self.provider(core);
        let mut keys = self.keys.clone();
        keys.extend(call.settle.record.last.key.clone());
        let other_key = |provider: &Provider| {
            provider.key_wait(&call.settle.record.last.model, &keys).is_some_and(|wait| wait.is_zero())
        };
        SoFar {
            attempts: call.settle.record.attempts,
            here: self.here,
            left: self.until.map_or(Duration::MAX, |until| until.saturating_duration_since(Instant::now())),
            other_key: provider.is_some_and(other_key),
            other_target,
            abler_target,
            budget: provider.is_none_or(|provider| provider.repeats.has()),
            repeatable: self.plan.policy.repeat_unsafe || call.settle.record.repeatable(),
        }
    }

    /// What the client is told when nobody is asked any more.
    fn given_up(&mut self, failure: Failure) -> Failure {
        let nobody_asked = failure.blame == Blame::Gateway && failure.code.as_deref() != Some("internal");
        let mut failure = match self.said.take() {
            Some(said) if nobody_asked => said,
            _ => failure,
        };
        if failure.blame == Blame::Provider {
            // Whoever repeats behind Sluice repeats what Sluice has repeated already, unless it is told when.
            failure.headers.retain(|(name, _)| !name.eq_ignore_ascii_case("x-should-retry"));
            let again = failure.retry_after.is_some();
            failure.headers.push(("x-should-retry".to_owned(), again.to_string()));
        }
        failure
    }
}

fn known<'a>(core: &'a Core, candidate: &Candidate) -> Option<&'a crate::providers::catalog::Model> {
    core.providers.get(candidate.provider)?.catalogued(candidate.model.as_deref()?)
}

fn offer(core: &Core, candidate: &Candidate, needs: &Needs, now: Instant) -> Offered {
    let live = &candidate.live;
    let provider = core.providers.get(candidate.provider);
    Offered {
        name: plan::full_name(core, candidate).to_string(),
        labels: provider.map(|provider| Arc::clone(&provider.config.labels)).unwrap_or_default(),
        healthy: live.standing(now).is_usable(),
        in_flight: live.in_flight(),
        first_token: live.first_token(),
        tokens_per_second: live.tokens_per_second(),
        error_rate: live.error_rate(),
        weight: candidate.weight,
        known: known(core, candidate).cloned(),
        estimated_tokens: needs.tokens,
    }
}

fn nobody() -> Failure {
    let message = "No target of this model may be asked now: the operator has drained all of them.";
    let mut failure = Failure::new(Blame::Gateway, 503, "server_error", "target_drained", message);
    failure.retry_after = Some(Duration::from_secs(10));
    failure.with_class(Class::Overloaded)
}
