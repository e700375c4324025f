//! What a failed attempt means for its call: a pure function of what failed, what was tried before, and the route's policy.
//!
//! It knows no clock, no health and no names. Who is asked next is `balance`'s; here is only whether, and after how long a wait.

use std::time::Duration;

use sluice_dialect::failure::{Blame, Class, Failure, Retry};

use super::Policy;

/// How far an attempt had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing was sent: no key, no room, no connection.
    Connect,
    /// The request was out, and no head of a reply came.
    Sent,
    /// The head said that it failed.
    Head,
    /// A reply had begun, and nothing of it had been released to the client.
    BeforeContent,
    AfterContent,
}

impl Phase {
    pub const ALL: [Phase; 5] = [Phase::Connect, Phase::Sent, Phase::Head, Phase::BeforeContent, Phase::AfterContent];

    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Connect => "connect",
            Phase::Sent => "sent",
            Phase::Head => "head",
            Phase::BeforeContent => "before content",
            Phase::AfterContent => "after content",
        }
    }
}

/// What the provider said about coming again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delay {
    Unsaid,
    After(Duration),
    /// It said something that is no number of seconds: it is waited for by nobody.
    Unusable,
}

impl Delay {
    /// As a failure tells it. A date is no wait: clocks differ, and it is mostly a quota's end.
    pub fn of(failure: &Failure) -> Delay {
        let said = failure.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("retry-after"));
        match (said, failure.retry_after) {
            (Some((_, text)), _)
                if text.trim().parse::<f64>().map_or(true, |seconds| !(0.0..1e9).contains(&seconds)) =>
            {
                Delay::Unusable
            }
            (_, Some(after)) => Delay::After(after),
            (Some((_, text)), None) => {
                text.trim().parse().map_or(Delay::Unusable, |seconds| Delay::After(Duration::from_secs_f64(seconds)))
            }
            (None, None) => Delay::Unsaid,
        }
    }
}

/// What failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed {
    pub class: Class,
    pub blame: Blame,
    /// What whoever found the failure thinks of another attempt; decides only for failures of the gateway itself.
    pub retry: Retry,
    pub phase: Phase,
    pub delay: Delay,
}

impl Failed {
    pub fn of(failure: &Failure, phase: Phase) -> Failed {
        let Failure { blame, retry, .. } = *failure;
        Failed { class: failure.class(), blame, retry, phase, delay: Delay::of(failure) }
    }
}

/// What was tried, and what is left.
#[derive(Clone, Copy, Debug)]
pub struct SoFar {
    /// Attempts, the failed one included.
    pub attempts: u32,
    /// Of these, at the target that failed now.
    pub here: u32,
    /// Until the call's own deadline.
    pub left: Duration,
    /// The provider has another key that may be used.
    pub other_key: bool,
    /// Another target may be tried.
    pub other_target: bool,
    /// One of them is known to be able to do what this one cannot.
    pub abler_target: bool,
    /// The provider's share of repeats is not used up.
    pub budget: bool,
    /// The call may be repeated although the provider has its bytes: a conversation, or so configured.
    pub repeatable: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The same target again, after a wait.
    Same {
        wait: Duration,
    },
    /// The same target with another key, at once.
    OtherKey,
    /// Another target, at once.
    Next,
    GiveUp,
}

/// An action and its reason, in words for operators.
pub type Decision = (Action, &'static str);

/// `chance`: from 0 to 1, shortens a backoff.
pub fn decide(failed: &Failed, so_far: &SoFar, policy: &Policy, chance: f64) -> Decision {
    if failed.phase == Phase::AfterContent {
        return (Action::GiveUp, "content had been sent");
    }
    match failed.blame {
        // A request that cannot be written for this target; another may take it as it is.
        Blame::Client
            if failed.phase == Phase::Connect && failed.class == Class::Unsupported && so_far.other_target =>
        {
            return (Action::Next, "the target cannot be asked this");
        }
        Blame::Client => return (Action::GiveUp, "the request is at fault"),
        Blame::Plugin => return (Action::GiveUp, "a policy ended the call"),
        // Nothing was asked, so it costs no attempt.
        Blame::Gateway if failed.retry == Retry::NextTarget => return not_asked(failed, so_far, policy),
        Blame::Gateway => return (Action::GiveUp, "the gateway cannot go on"),
        Blame::Provider => {}
    }
    let kind = Kind::of(failed.class);
    if kind == Kind::Final {
        return (Action::GiveUp, "another try would not change it");
    }
    if so_far.attempts >= policy.attempts {
        return (Action::GiveUp, "the attempts are used up");
    }
    if so_far.left.is_zero() {
        return (Action::GiveUp, "the deadline is reached");
    }
    // A head that refuses says that nothing was done; anything else leaves open what was.
    let accepted = match failed.phase {
        Phase::Connect | Phase::AfterContent => false,
        Phase::Sent | Phase::BeforeContent => true,
        Phase::Head => kind == Kind::Trouble,
    };
    if accepted && !so_far.repeatable {
        return (Action::GiveUp, "the provider may have done it already");
    }
    match kind {
        Kind::Final => (Action::GiveUp, ALONE),
        Kind::Unable if so_far.abler_target => (Action::Next, "another target can do it"),
        Kind::Unable => (Action::GiveUp, "no target is known to be able to do it"),
        Kind::Key if so_far.other_key => (Action::OtherKey, "the key is refused"),
        Kind::Key => elsewhere(so_far, "the key is refused, and it was the last"),
        Kind::Rate if so_far.other_key => (Action::OtherKey, "the key is rate-limited"),
        Kind::Rate if so_far.other_target => (Action::Next, "rate-limited"),
        Kind::Rate => again(failed, so_far, policy, chance),
        Kind::Trouble if so_far.other_target => (Action::Next, "the target is in trouble"),
        Kind::Trouble => again(failed, so_far, policy, chance),
    }
}

/// Longer delays are the client's to wait for, which is told of them: a call that hangs looks broken.
pub const LONGEST_WAIT: Duration = Duration::from_secs(5);

const ALONE: &str = "there is no other target";

/// A target without a key or room for the call. A call that waits here has asked before: one that comes new is refused at once.
fn not_asked(failed: &Failed, so_far: &SoFar, policy: &Policy) -> Decision {
    let begun = so_far.attempts > 0 && so_far.attempts < policy.attempts;
    match failed.delay {
        _ if so_far.other_target => (Action::Next, "no key or no room here"),
        Delay::After(wait) if begun && wait < so_far.left.min(LONGEST_WAIT) => {
            (Action::Same { wait }, "a key or room comes back in time")
        }
        _ => (Action::GiveUp, ALONE),
    }
}

fn elsewhere(so_far: &SoFar, reason: &'static str) -> Decision {
    if so_far.other_target { (Action::Next, reason) } else { (Action::GiveUp, reason) }
}

/// The only target once more, if the wait is worth it.
fn again(failed: &Failed, so_far: &SoFar, policy: &Policy, chance: f64) -> Decision {
    if !so_far.budget {
        return (Action::GiveUp, "the provider's share of repeats is used up");
    }
    let wait = match failed.delay {
        Delay::Unusable => return (Action::GiveUp, "the provider names no usable delay"),
        Delay::After(after) => after,
        Delay::Unsaid => backoff(policy.backoff, so_far.here, chance),
    };
    if wait >= so_far.left {
        return (Action::GiveUp, "the delay is longer than the time left");
    }
    if wait > LONGEST_WAIT {
        return (Action::GiveUp, "the delay is too long to be waited for here");
    }
    (Action::Same { wait }, "once more, after a delay")
}

/// Doubled with each try, then between half of it and all of it, so that those who failed together do not come again together.
fn backoff(first: Duration, tries: u32, chance: f64) -> Duration {
    let doubled = first.saturating_mul(1 << tries.saturating_sub(1).min(10));
    doubled.mul_f64(0.5 + chance.clamp(0.0, 1.0) / 2.0)
}

/// What a class of failure asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Final,
    /// Another model may.
    Unable,
    Key,
    Rate,
    Trouble,
}

impl Kind {
    fn of(class: Class) -> Kind {
        match class {
            Class::Invalid | Class::NotFound | Class::TooLarge | Class::ContentFilter => Kind::Final,
            Class::ContextLength | Class::Unsupported => Kind::Unable,
            Class::Auth | Class::Permission | Class::Quota => Kind::Key,
            Class::RateLimit => Kind::Rate,
            Class::Overloaded | Class::Timeout | Class::Server => Kind::Trouble,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
mod recorded_tests;

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything is left.
    pub(super) const ALL: SoFar = SoFar {
        attempts: 1,
        here: 1,
        left: Duration::from_secs(30),
        other_key: true,
        other_target: true,
        abler_target: true,
        budget: true,
        repeatable: true,
    };
    const ONE: SoFar = SoFar { other_key: false, other_target: false, abler_target: false, ..ALL };

    fn failed(class: Class, phase: Phase) -> Failed {
        Failed { class, blame: Blame::Provider, retry: Retry::No, phase, delay: Delay::Unsaid }
    }

    fn action(failed: &Failed, so_far: &SoFar) -> Action {
        decide(failed, so_far, &Policy::default(), 1.0).0
    }

    #[test]
    fn nothing_is_tried_after_content_or_for_what_is_not_the_providers_fault() {
        for class in [Class::Server, Class::RateLimit, Class::Auth] {
            assert_eq!(action(&failed(class, Phase::AfterContent), &ALL), Action::GiveUp);
        }
        for blame in [Blame::Client, Blame::Plugin, Blame::Gateway] {
            assert_eq!(action(&Failed { blame, ..failed(Class::Server, Phase::Sent) }, &ALL), Action::GiveUp);
        }
    }

    #[test]
    fn a_target_that_was_never_asked_costs_no_attempt() {
        let busy =
            Failed { blame: Blame::Gateway, retry: Retry::NextTarget, ..failed(Class::Overloaded, Phase::Connect) };
        assert_eq!(action(&busy, &SoFar { attempts: 9, ..ALL }), Action::Next);
        assert_eq!(action(&busy, &ONE), Action::GiveUp);
    }

    #[test]
    fn attempts_and_deadline_bound_everything() {
        for class in [Class::Server, Class::RateLimit, Class::Auth, Class::Timeout] {
            let failed = failed(class, Phase::Head);
            assert_eq!(action(&failed, &SoFar { attempts: 3, ..ALL }), Action::GiveUp);
            assert_eq!(action(&failed, &SoFar { left: Duration::ZERO, ..ALL }), Action::GiveUp);
        }
    }

    #[test]
    fn delays_are_waited_for_only_where_there_is_nothing_else_and_time_enough() {
        let limited = |delay| Failed { delay, ..failed(Class::RateLimit, Phase::Head) };
        let short = Delay::After(Duration::from_secs(2));
        assert_eq!(action(&limited(short), &ALL), Action::OtherKey);
        assert_eq!(action(&limited(short), &SoFar { other_key: false, ..ALL }), Action::Next);
        assert_eq!(action(&limited(short), &ONE), Action::Same { wait: Duration::from_secs(2) });
        for delay in [Delay::After(Duration::from_secs(31)), Delay::After(Duration::from_secs(6)), Delay::Unusable] {
            assert_eq!(action(&limited(delay), &ONE), Action::GiveUp);
        }
        assert_eq!(action(&limited(short), &SoFar { budget: false, ..ONE }), Action::GiveUp);
        let waits: Vec<_> =
            (1..4).map(|here| action(&failed(Class::Server, Phase::Head), &SoFar { here, ..ONE })).collect();
        let wait = |millis| Action::Same { wait: Duration::from_millis(millis) };
        assert_eq!(waits, [wait(200), wait(400), wait(800)]);
    }

    #[test]
    fn what_may_have_been_done_is_not_done_twice() {
        let once = SoFar { repeatable: false, ..ALL };
        for (class, phase, repeated) in [
            (Class::Server, Phase::Connect, true),
            (Class::Server, Phase::Sent, false),
            (Class::Server, Phase::Head, false),
            (Class::Timeout, Phase::Sent, false),
            (Class::RateLimit, Phase::Head, true),
            (Class::Auth, Phase::Head, true),
            (Class::Server, Phase::BeforeContent, false),
        ] {
            assert_eq!(action(&failed(class, phase), &once) != Action::GiveUp, repeated, "{class:?} {phase:?}");
        }
    }

    #[test]
    fn a_delay_is_a_number_of_seconds() {
        let told = |text: &str| {
            let mut failure =
                Failure::new(Blame::Provider, 429, "rate_limit_error", "rate_limit_exceeded", "slow down");
            failure.headers.push(("retry-after".to_owned(), text.to_owned()));
            Delay::of(&failure)
        };
        assert_eq!(told("3"), Delay::After(Duration::from_secs(3)));
        assert_eq!(told("0.5"), Delay::After(Duration::from_millis(500)));
        for junk in ["-1", "soon", "", "Wed, 21 Oct 2026 07:28:00 GMT", "1e30", "NaN"] {
            assert_eq!(told(junk), Delay::Unusable, "{junk}");
        }
    }
}
