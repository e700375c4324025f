//! A call's life, in order. `run` is the whole road; every step is a call into a file of its own.
//!
//! It knows no sockets (the server's) and no SQL, and it decides nothing about policy: that is the chain's.

mod attempt;
mod call;
pub mod cut;
mod feed;
mod generator;
mod held;
mod kept;
mod models;
mod other;
mod outgoing;
mod reply;
mod stream;
mod translate;
mod tries;
mod upstream;
mod whole;

use std::cell::RefCell;
use std::future::Future;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use sluice_dialect::Dialect;
use sluice_dialect::failure::{Blame, Failure};
use sluice_dialect::hub::Asked;
use sluice_dialect::openai_chat::answer;

use self::attempt::Answered;
use self::call::Call;
use self::feed::Feed;
use self::generator::{First, Generator};
use self::held::Held;
use self::stream::Pump;
use self::translate::Translation;
use self::tries::{Fault, Tries};
use self::whole::Judged;
use crate::app::{Core, Gateway};
use crate::config::{ProviderLimits, Streams, Timeouts};
use crate::exchange::{Inbound, Operation, Reply, ReplyBody};
use crate::governance::caller::Caller;
use crate::hooks::delta::Deltas;
use crate::hooks::request::Decision;
use crate::hooks::view::CallState;
use crate::observe::record::Outcome;
use crate::plugins::chain::{Chain, StreamPlan};
use crate::routing::capability::Needs;

/// What the steps came to; `run` makes the reply of it.
enum Served {
    Whole { headers: HeaderMap, body: Bytes, outcome: Outcome },
    Stream(Box<Streamed>),
}

/// A stream that is to begin.
struct Streamed {
    headers: HeaderMap,
    feed: Box<Feed>,
    /// What a writer of the client's dialect must know; absent where the provider's frames pass.
    asked: Option<Box<Asked>>,
    /// The provider's.
    dialect: Dialect,
    /// Plugins see it text by text.
    deltas: bool,
    withhold_usage: bool,
}

/// One attempt's end, as the loop over attempts sees it.
enum Step {
    Served(Served),
    /// A plugin wants another attempt, on that target or on the next.
    Again(Option<String>),
}

/// How a call that may be served goes on.
enum Start {
    /// A plugin's answer, or the demo provider's.
    Served(Served),
    Targets(Box<Tries>),
}

/// Serves one call, from its read request to the head of its reply. The body of a stream goes on in `stream::Pump`.
pub async fn run(gateway: Rc<Gateway>, core: Arc<Core>, inbound: Inbound) -> Reply {
    let core = &core;
    if inbound.road.operation != Operation::Chat {
        return other::run(&gateway, core, inbound).await;
    }
    let (settle, parts) = Call::start(core, inbound);
    let mut call = match parts {
        Ok(parts) => Call::new(parts, settle),
        Err(failure) => return reply::refuse(settle, &failure),
    };
    call.keep(&gateway.finisher);
    let started = unless_cut(&gateway, pin!(start(core, &mut call))).await;
    let mut tries = match started.unwrap_or_else(|| Err(stopped(&mut call))) {
        Ok(Start::Targets(tries)) => tries,
        Ok(Start::Served(served)) => {
            let delivered = deliver(&gateway, call, served).await;
            return delivered.unwrap_or_else(|failed| reply::refuse(failed.0.settle, &failed.1));
        }
        Err(failure) => return reply::refuse(call.settle, &failure),
    };
    loop {
        let served = unless_cut(&gateway, pin!(steps(&gateway, core, &mut call, &mut tries))).await;
        let served = match served.unwrap_or_else(|| Err(stopped(&mut call))) {
            Ok(served) => served,
            Err(failure) => return reply::refuse(call.settle, &failure),
        };
        let failed = match deliver(&gateway, call, served).await {
            Ok(reply) => return reply,
            Err(failed) => failed,
        };
        // Nothing of the stream has been released, so another target may still serve the call.
        let failure;
        (call, failure) = *failed;
        if let Err(failure) = tries.failed(core, &mut call, failure.into()) {
            return reply::refuse(call.settle, &failure);
        }
    }
}

/// The step's result; `None` where the gateway stops before. The step stays where it is: it is kilobytes large, and moving it costs.
async fn unless_cut<T>(gateway: &Gateway, step: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    tokio::select! {
        biased;
        done = step => Some(done),
        () = gateway.cut.wait() => None,
    }
}

fn stopped(call: &mut Call) -> Failure {
    call.settle.record.broken_off = true;
    cut::stopping()
}

/// What happens once, however many attempts follow.
async fn start(core: &Core, call: &mut Call) -> Result<Start, Failure> {
    admit(call)?;
    if let Some(answered) = request_hooks(core, call).await? {
        return Ok(Start::Served(answered));
    }
    if core.config.demo {
        let answered = attempt::demo(core, call)?;
        return match taken(core, call, None, answered).await? {
            Step::Served(served) => Ok(Start::Served(served)),
            Step::Again(_) => Err(out_of_attempts()),
        };
    }
    Ok(Start::Targets(Box::new(Tries::begin(core, call).await?)))
}

/// Attempts, until one has a reply or there is to be none.
async fn steps(gateway: &Gateway, core: &Core, call: &mut Call, tries: &mut Tries) -> Result<Served, Failure> {
    loop {
        match attempt(gateway, core, call, tries).await {
            Ok(Step::Served(served)) => return Ok(served),
            Ok(Step::Again(target)) => tries.again(core, call, target.as_deref())?,
            Err(fault) => tries.failed(core, call, fault)?,
        }
    }
}

async fn attempt(gateway: &Gateway, core: &Core, call: &mut Call, tries: &mut Tries) -> Result<Step, Fault> {
    let answered = attempt::send(gateway, core, call, tries).await?;
    Ok(taken(core, call, call.settle.provider(), answered).await?)
}

/// What comes of a reply that has begun. `provider`: its place among the configured ones; `None` for the demo provider.
async fn taken(core: &Core, call: &mut Call, provider: Option<usize>, answered: Answered) -> Result<Step, Failure> {
    let of = settings(core, provider);
    if call.streamed() { streamed(call, &of, answered).await } else { whole_reply(call, &of, answered).await }
}

/// The reply as it leaves. `Err` gives the call back: its stream failed before anything of it was released.
async fn deliver(gateway: &Rc<Gateway>, mut call: Call, served: Served) -> Result<Reply, Box<(Call, Failure)>> {
    match served {
        Served::Whole { headers, body, outcome } => {
            call.settle.end(outcome, 200);
            Ok(reply::whole(call.settle, headers, body))
        }
        Served::Stream(streamed) => open(gateway, call, *streamed).await,
    }
}

/// What decides whether a call may be served at all, whoever asks: a client, or an operator who wants to know.
pub struct Admission<'a> {
    pub caller: Option<&'a Caller>,
    pub prefix: Option<&'static str>,
    pub model: Option<&'a str>,
    pub fallbacks: &'a [String],
    pub streamed: bool,
}

fn admit(call: &mut Call) -> Result<(), Failure> {
    let asked = Admission {
        caller: call.settle.record.caller.as_ref(),
        prefix: call.prefix,
        model: call.peek.model.as_ref().map(|model| &*model.name),
        fallbacks: &call.peek.fallbacks,
        streamed: call.streamed(),
    };
    may_be_served(call.settle.core(), &call.chain, &asked)?;
    // Last: what is refused for another reason takes nothing of the caller's limits.
    let counted = call.settle.record.operation == Operation::CountTokens.as_str();
    let (body, dialect) = (call.body.clone(), call.dialect);
    call.settle.take(|| if counted { 0 } else { Needs::of(dialect, &body).tokens })
}

/// Whether required policy is live, the caller may use all that the call names, and streams can be guarded.
///
/// # Errors
/// What the client is told.
pub fn may_be_served(core: &Core, chain: &Chain, asked: &Admission<'_>) -> Result<(), Failure> {
    required(chain)?;
    if let Some(caller) = asked.caller {
        models::admit(core, caller, asked.prefix, asked.model)?;
        for fallback in asked.fallbacks {
            models::admit(core, caller, None, Some(fallback))?;
        }
    }
    if asked.streamed
        && let StreamPlan::Refuse(at) = chain.stream_plan()
        && let Some(entry) = chain.entries.get(at)
    {
        let message = format!("The policy `{}` does not allow streams: call again without `stream`.", entry.name);
        let failure = Failure::new(Blame::Plugin, 400, "invalid_request_error", "stream_refused", message);
        return Err(failure.with_param("stream").with_detail(format!("streams: refuse in {}.yaml", entry.name)));
    }
    Ok(())
}

/// Refuses calls while a required policy is not loaded.
///
/// # Errors
/// `policy_missing`, a 503.
fn required(chain: &Chain) -> Result<(), Failure> {
    if chain.missing.is_empty() {
        return Ok(());
    }
    let missing = chain.missing.join(", ");
    let mut failure = Failure::overloaded("A required policy is not loaded, so calls are refused.");
    failure.code = Some("policy_missing".into());
    Err(failure.with_detail(format!("plugins.required: {missing}; GET /api/plugins says why")))
}

fn out_of_attempts() -> Failure {
    let message = "No reply passed the policies within the call's attempts.";
    Failure::new(Blame::Plugin, 502, "server_error", "attempts_exhausted", message)
}

/// Makes the plugins' view of the call, if any plugin has a hook, and runs `on-request`. `Some` is a plugin's own answer.
async fn request_hooks(core: &Core, call: &mut Call) -> Result<Option<Served>, Failure> {
    if !call.chain.has_request_hooks() && !call.chain.has_reply_hooks() {
        return Ok(None);
    }
    let mut state = Box::new(CallState::new(call.seed()));
    let mut decision = Decision::Pass;
    if call.chain.has_request_hooks() {
        (state, decision) = crate::hooks::request::run(&call.chain, state, &mut call.settle.record).await;
    }
    call.settle.record.tags.clone_from(&state.tags);
    call.settle.state = Some(state);
    match decision {
        Decision::Pass => Ok(None),
        Decision::Deny(failure) | Decision::Fail(failure) => Err(failure),
        Decision::Answer { reply, by } => answered(core, call, reply, by).await.map(Some),
    }
}

/// A plugin's own reply: shown to the reply hooks, streamed if the client asked for a stream.
async fn answered(core: &Core, call: &mut Call, reply: Bytes, by: usize) -> Result<Served, Failure> {
    let name = call.chain.entries.get(by).map(|entry| Arc::clone(&entry.name)).unwrap_or_default();
    let max = core.config.server.limits.body_size;
    let asked = outgoing::about_request(call)?;
    let reply = call.dialect.answer(&reply, &asked)?;
    match whole::judge(call, reply, &name, None, Some(by), max).await? {
        Judged::Retry(_) => Err(out_of_attempts()),
        Judged::Reply { body, .. } => {
            if let Some(kept) = &mut call.settle.kept {
                kept.answered(&name);
                kept.whole(&body);
            }
            let (body, kind) = if call.streamed() {
                (call.dialect.retell(&body, &asked)?, stream_type(call))
            } else {
                (body, "application/json")
            };
            let headers = reply::head(&call.settle, None, kind);
            Ok(Served::Whole { headers, body, outcome: Outcome::Answered })
        }
    }
}

/// What a stream is called in the head: Gemini's may be one list.
fn stream_type(call: &Call) -> &'static str {
    if call.dialect == Dialect::Gemini && !call.said.sse { "application/json" } else { "text/event-stream" }
}

/// The provider's settings for an attempt, and its name.
type Settings<'a> = (Timeouts, ProviderLimits, &'a str);

/// The demo provider's are the defaults.
fn settings(core: &Core, provider: Option<usize>) -> Settings<'_> {
    match provider.and_then(|at| core.providers.get(at)) {
        Some(provider) => (provider.config.timeouts, provider.config.limits, &provider.name),
        None => (Timeouts::default(), ProviderLimits::default(), &core.echo),
    }
}

async fn whole_reply(call: &mut Call, of: &Settings<'_>, mut answered: Answered) -> Result<Step, Failure> {
    let (timeouts, limits, name) = of;
    let whole = whole::read(call, &mut answered, timeouts, limits).await?;
    let upstream = &answered.upstream;
    began(call, (upstream.sent, upstream.head), limits);
    let (body, edited) =
        match whole::judge(call, whole.body, name, Some((upstream.sent, upstream.head)), None, limits.reply_size)
            .await?
        {
            Judged::Retry(target) => return Ok(Step::Again(target)),
            Judged::Reply { body, edited } => (body, edited),
        };
    if let Some(kept) = &mut call.settle.kept {
        kept.whole(&body);
    }
    let mut headers = reply::head(&call.settle, Some(&upstream.headers), "application/json");
    if let (true, false, Some(encoding)) = (whole.encoded, edited, upstream.headers.get(header::CONTENT_ENCODING)) {
        headers.insert(header::CONTENT_ENCODING, encoding.clone());
    }
    Ok(Step::Served(Served::Whole { headers, body, outcome: Outcome::Ok }))
}

async fn streamed(call: &mut Call, of: &Settings<'_>, mut answered: Answered) -> Result<Step, Failure> {
    let (timeouts, limits, name) = of;
    let dialect = answered.dialect;
    if !attempt::is_stream(&answered.upstream) {
        return Err(whole::instead_of_stream(call, &mut answered, timeouts, limits).await);
    }
    let withhold_usage = answered.withhold_usage;
    let provider = answered.upstream.headers.clone();
    let times = (answered.upstream.sent, answered.upstream.head);
    began(call, times, limits);
    let asked = answered.asked;
    let mut feed = Box::new(Feed::new(dialect, answered.upstream, limits.event_size, *timeouts));
    let mut plan = call.chain.stream_plan();
    if plan == StreamPlan::Hold {
        let held = Holding { dialect, asked: asked.as_deref(), times, max: limits.hold_size, withhold_usage };
        match hold(call, feed, name, &held, &provider).await? {
            Ok(step) => return Ok(step),
            Err(overflowed) => {
                feed = overflowed;
                let deltas = call.chain.entries.iter().any(|entry| entry.has(sluice_sandbox::Hook::OnDelta));
                plan = if deltas { StreamPlan::Delta } else { StreamPlan::Pass };
            }
        }
    }
    let headers = reply::head(&call.settle, Some(&provider), stream_type(call));
    let deltas = plan == StreamPlan::Delta;
    Ok(Step::Served(Served::Stream(Box::new(Streamed { headers, feed, asked, dialect, deltas, withhold_usage }))))
}

/// How a stream is held.
struct Holding<'a> {
    /// The provider's.
    dialect: Dialect,
    asked: Option<&'a Asked>,
    times: (Instant, Instant),
    max: usize,
    withhold_usage: bool,
}

impl Holding<'_> {
    async fn collect(&self, feed: &mut Feed, to: Dialect) -> Result<Held, Failure> {
        match self.asked {
            None => held::collect(feed, self.max, self.withhold_usage).await,
            Some(asked) => held::collect_blocks(feed, (self.dialect, to), asked, self.max).await,
        }
    }

    /// The reply as a stream again, after plugins changed it.
    fn retell(&self, to: Dialect, body: &[u8]) -> Result<Bytes, Failure> {
        match self.asked {
            None => answer::to_stream(body, !self.withhold_usage),
            Some(asked) => to.retell(body, asked),
        }
    }
}

/// Holds a stream for a whole-reply plugin. `Err` gives the feed back, to be streamed after all: the reply is larger than the cap and
/// every plugin that needed it whole is `on_error: open`.
async fn hold(
    call: &mut Call,
    mut feed: Box<Feed>,
    name: &str,
    held: &Holding<'_>,
    provider: &HeaderMap,
) -> Result<Result<Step, Box<Feed>>, Failure> {
    let (events, whole) = match held.collect(&mut feed, call.dialect).await? {
        Held::Whole { events, reply } => (events, reply),
        Held::Overflow(frames) => {
            overflow(call, held.max)?;
            feed.replay(frames);
            return Ok(Err(feed));
        }
    };
    call.settle.record.usage = feed.usage.take().or_else(|| call.dialect.api().check_reply(&whole).ok().flatten());
    call.settle.waited(feed.waited);
    call.settle.replied();
    let (body, whole) =
        match whole::judge(call, whole, name, Some(held.times), None, held.max.saturating_mul(2)).await? {
            Judged::Retry(target) => return Ok(Ok(Step::Again(target))),
            Judged::Reply { body, edited: false } => (events, body),
            Judged::Reply { body, edited: true } => (held.retell(call.dialect, &body)?, body),
        };
    if let Some(kept) = &mut call.settle.kept {
        kept.whole(&whole);
    }
    feed.release();
    call.settle.first_token();
    let headers = reply::head(&call.settle, Some(provider), stream_type(call));
    Ok(Ok(Step::Served(Served::Whole { headers, body, outcome: Outcome::Ok })))
}

/// A reply of a provider begins.
fn began(call: &mut Call, (sent, head): (Instant, Instant), limits: &ProviderLimits) {
    if let Some(kept) = &mut call.settle.kept {
        kept.began(sent, head, limits.hold_size);
    }
}

fn overflow(call: &Call, max: usize) -> Result<(), Failure> {
    use sluice_sandbox::{ErrorKind, Hook, HookError};
    for entry in &call.chain.entries {
        if entry.has(Hook::OnResponse) && !entry.has(Hook::OnDelta) && entry.streams == Streams::Hold {
            let message = format!("the reply is over {max} bytes; raise `limits.hold_size` of the provider");
            crate::hooks::outcome::failed(entry, Hook::OnResponse, &HookError { kind: ErrorKind::Overload, message })?;
        }
    }
    Ok(())
}

/// Starts the pump and waits for its first bytes: until then, an error is still a proper HTTP error, or none at all where another target
/// serves the call.
async fn open(gateway: &Rc<Gateway>, call: Call, streamed: Streamed) -> Result<Reply, Box<(Call, Failure)>> {
    let Streamed { mut headers, feed, asked, dialect, deltas, withhold_usage } = streamed;
    let to = call.dialect;
    let (call, settle) = call.part();
    let translation = asked.map(|asked| Box::new(Translation::new(dialect, to, &asked)));
    let deltas = deltas.then(|| Box::new(Deltas::new(&call.chain, call.peek.n, translation.is_some())));
    let head: Rc<RefCell<stream::Head>> = Rc::default();
    let cut = Rc::clone(&gateway.cut);
    let pump =
        Pump { feed: *feed, deltas, translation, dialect: to, settle, withhold_usage, head: Rc::clone(&head), cut };
    let mut generator = Generator::new(|outlet| pump.run(outlet));
    let first = generator.first().await;
    let said = head.take();
    reply::extend(&mut headers, &said.plugins);
    if let Some(timing) = said.timing {
        headers.insert(reply::SERVER_TIMING, timing);
    }
    match first {
        First::Bytes(bytes) => Ok(reply::with(StatusCode::OK, headers, ReplyBody::Stream(generator.into_pump(bytes)))),
        First::Empty => Ok(reply::with(StatusCode::OK, headers, ReplyBody::empty())),
        First::Failed((failure, settle)) => Err(Box::new((Call::join(call, settle), failure))),
    }
}
