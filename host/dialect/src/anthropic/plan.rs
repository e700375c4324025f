//! What a request may ask of the model's sampling and thinking: the two depend on each other, on the limit and on the target.

use serde_json::{Number, Value};

use super::read_request::EFFORT_ALONE;
use super::write_request::is_system;
use crate::Dialect;
use crate::hub::{Chat, Losses, Output, Part, Reasoning, Role, State, Target, Thinking, ToolChoice, ToolKind};

/// The limit where neither the client nor the catalog says one.
const MAX_TOKENS: u64 = 8192;

/// The smallest budget that is accepted.
const LEAST_BUDGET: u64 = 1024;

/// How the call is to be sampled and thought about.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) max_tokens: u64,
    /// Thinking is on: with a budget, or as the model sees fit.
    pub(super) thinks: bool,
    /// Thinking is said to be off.
    pub(super) off: bool,
    /// Below `max_tokens`.
    pub(super) budget: Option<u64>,
    pub(super) effort: Option<String>,
    pub(super) temperature: Option<Number>,
    pub(super) top_p: Option<Number>,
    pub(super) top_k: Option<Number>,
}

pub(super) fn plan(chat: &Chat, target: &Target<'_>, losses: &mut Losses) -> Plan {
    let mut plan = Plan::default();
    limit_and_thinking(chat, target, &mut plan, losses);
    sampling(chat, target, &mut plan, losses);
    unsayable(chat, losses);
    plan
}

fn limit_and_thinking(chat: &Chat, target: &Target<'_>, plan: &mut Plan, losses: &mut Losses) {
    let asked = chat.params.max_tokens.as_ref().and_then(whole);
    if let (Some(_), None) = (&chat.params.max_tokens, asked) {
        losses.lose("max_tokens");
    }
    let limit = asked.map(|asked| {
        let most = target.max_output.unwrap_or(u64::MAX);
        if asked > most {
            losses.hint("max_tokens");
        }
        asked.min(most)
    });
    let wanted = chat.reasoning.as_ref().and_then(|said| wanted(said, target, plan, losses));
    plan.max_tokens = limit.or(target.max_output).unwrap_or(MAX_TOKENS);
    let Some(wanted) = wanted else { return };
    if is_forced(chat) {
        // A model that thinks may not be forced to a tool. Which tool it is matters more to the answer's form.
        losses.lose(if plan.effort.is_some() { "reasoning" } else { name_of(chat.reasoning.as_ref()) });
        return;
    }
    if matches!(wanted, Wanted::Budget(_)) && lacks_thoughts(chat, target) {
        // The provider wants the thoughts of an unfinished round of tools back, and they are not there.
        losses.lose(name_of(chat.reasoning.as_ref()));
        return;
    }
    plan.thinks = true;
    let (Wanted::Budget(room) | Wanted::Adaptive(room)) = wanted;
    if limit.is_none() && target.max_output.is_none() {
        plan.max_tokens = MAX_TOKENS.saturating_add(room);
    }
    let Wanted::Budget(budget) = wanted else { return };
    let budget = if budget < plan.max_tokens { budget } else { plan.max_tokens / 2 };
    if budget < LEAST_BUDGET && plan.max_tokens <= LEAST_BUDGET {
        losses.lose(name_of(chat.reasoning.as_ref()));
        plan.thinks = false;
        return;
    }
    plan.budget = Some(budget.max(LEAST_BUDGET));
}

/// Whether the model has to call a tool, and there is one.
fn is_forced(chat: &Chat) -> bool {
    let forced = matches!(
        chat.choice,
        Some(ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { required: true, .. })
    );
    forced
        && chat
            .tools
            .iter()
            .any(|tool| !matches!(tool.kind, ToolKind::Foreign(dialect, _) if dialect != Dialect::Anthropic))
}

enum Wanted {
    /// As the model sees fit; about so many tokens.
    Adaptive(u64),
    Budget(u64),
}

/// Which form of thinking the request asks for, in the form that the target takes. Notes effort and `off` in the plan.
fn wanted(said: &Thinking, target: &Target<'_>, plan: &mut Plan, losses: &mut Losses) -> Option<Wanted> {
    losses.beside(&said.rest, Dialect::Anthropic);
    let effort = said.effort.as_deref();
    let budget = said.budget.as_ref().and_then(whole);
    plan.off = said.off || effort == Some("none") || budget == Some(0);
    if plan.off {
        return None;
    }
    if target.refuses_reasoning {
        losses.lose(name_of(Some(said)));
        return None;
    }
    if said.rest.of(Dialect::Anthropic).any(|(name, _)| name == EFFORT_ALONE) {
        plan.effort = effort.map(str::to_owned);
        return None;
    }
    if target.adaptive_thinking {
        plan.effort = effort.map(|effort| if effort == "minimal" { "low" } else { effort }.to_owned());
        if let (None, Some(budget)) = (effort, budget) {
            plan.effort = Some(effort_of(budget).to_owned());
            losses.hint("thinking_budget");
        }
        // Only a wish to see thoughts or not: no wish to have any.
        let idle = effort.is_none() && budget.is_none() && !said.adaptive;
        return (!idle).then(|| Wanted::Adaptive(budget_of(plan.effort.as_deref().unwrap_or("medium"))));
    }
    match (budget, effort) {
        (Some(budget), _) => Some(Wanted::Budget(budget)),
        (None, Some(effort)) => Some(Wanted::Budget(budget_of(effort))),
        (None, None) if said.adaptive => Some(Wanted::Budget(budget_of("medium"))),
        (None, None) => None,
    }
}

/// What the client calls its wish for thoughts.
fn name_of(said: Option<&Thinking>) -> &'static str {
    match said {
        Some(Thinking { effort: Some(_), .. }) => "reasoning_effort",
        Some(Thinking { budget: Some(_), .. }) => "thinking_budget",
        _ => "reasoning",
    }
}

fn budget_of(effort: &str) -> u64 {
    match effort {
        "minimal" => 1024,
        "low" => 2048,
        "high" => 16_384,
        "xhigh" | "max" => 32_000,
        _ => 8192,
    }
}

fn effort_of(budget: u64) -> &'static str {
    match budget {
        0..=2048 => "low",
        2049..=12_288 => "medium",
        _ => "high",
    }
}

/// Whether the conversation ends inside a round of tools that the assistant began without thoughts which can be sent back.
fn lacks_thoughts(chat: &Chat, target: &Target<'_>) -> bool {
    let mut rounds = chat.turns.iter().rev().filter(|turn| !is_system(turn.role)).peekable();
    if rounds.peek().is_none_or(|turn| turn.role != Role::Tool) {
        return false;
    }
    let said = rounds.take_while(|turn| turn.role != Role::User).filter(|turn| turn.role == Role::Assistant);
    let fits = |part: &Part| matches!(part, Part::Reasoning(thought) if thought_fits(thought, target));
    !said.flat_map(|turn| &turn.parts).any(fits)
}

/// Whether the thought may go back to this target.
pub(super) fn thought_fits(thought: &Reasoning, target: &Target<'_>) -> bool {
    thought.opaque.as_ref().is_some_and(|opaque| {
        let whole = match &opaque.state {
            State::Signature(_) => true,
            State::Encrypted { .. } => thought.text.is_empty(),
        };
        whole && opaque.fits(Dialect::Anthropic, target.provider)
    })
}

fn sampling(chat: &Chat, target: &Target<'_>, plan: &mut Plan, losses: &mut Losses) {
    let params = &chat.params;
    let is = |number: &Number, from: f64| number.as_f64().is_some_and(|number| (from..=1.0).contains(&number));
    let thinks = plan.thinks;
    // What a model that thinks takes: the usual temperature and nearly all of the mass.
    let mut keep = |number: &Option<Number>, name: &'static str, thinking_from: Option<f64>| {
        let number = number.clone()?;
        let usual = name != "top_k" && is(&number, 1.0);
        let fits = !thinks || thinking_from.is_some_and(|from| is(&number, from));
        if !target.refuses_sampling && fits {
            return Some(number);
        }
        if usual {
            losses.hint(name);
        } else {
            losses.lose(name);
        }
        None
    };
    plan.temperature = keep(&params.temperature, "temperature", Some(1.0));
    plan.top_p = keep(&params.top_p, "top_p", Some(0.95));
    plan.top_k = keep(&params.top_k, "top_k", None);
    if plan.temperature.as_ref().and_then(Number::as_f64).is_some_and(|temperature| temperature > 1.0) {
        losses.lose("temperature");
        plan.temperature = Some(Number::from(1));
    }
    if target.one_sampling && plan.temperature.is_some() && plan.top_p.take().is_some() {
        losses.lose("top_p");
    }
}

/// Notes what no member of the dialect says.
fn unsayable(chat: &Chat, losses: &mut Losses) {
    let params = &chat.params;
    // A number that is the usual one anyway changes nothing.
    for (name, number, usual) in [
        ("n", &params.n, Some(1.0)),
        ("seed", &params.seed, None),
        ("presence_penalty", &params.presence_penalty, Some(0.0)),
        ("frequency_penalty", &params.frequency_penalty, Some(0.0)),
        ("top_logprobs", &params.top_logprobs, Some(0.0)),
    ] {
        match number {
            Some(number) if number.as_f64() != usual => losses.lose(name),
            _ => {}
        }
    }
    for (name, lost) in [
        ("logprobs", params.logprobs == Some(true)),
        ("verbosity", params.verbosity.as_deref().is_some_and(|verbosity| verbosity != "medium")),
        ("stop", params.stop.iter().any(|stop| stop.trim().is_empty())),
        ("response_format", matches!(&chat.output, Some(Output::Json | Output::Schema { schema: Value::Null, .. }))),
    ] {
        if lost {
            losses.lose(name);
        }
    }
    for name in &params.odd {
        losses.lose(name.clone());
    }
}

/// A count of tokens: above 0; some clients write `100.0`.
fn whole(number: &Number) -> Option<u64> {
    number.as_u64().or_else(|| {
        let number = number.as_f64()?;
        // The cast saturates, and the bound keeps it exact.
        (0.0..9.0e15).contains(&number).then_some(number as u64)
    })
}
