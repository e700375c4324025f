//! A provider that fails, beside one that works: what the client of each dialect sees, how many calls the providers got, and how long it
//! took; and the same with a guard in the chain, whom no attempt gets past.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sluice_dialect::Dialect;
use sluice_dialect::hub::Delta;
use sluice_tests::gateway::Gateway;
use sluice_tests::http::{End, Reply};
use sluice_tests::mock::{Exchange, Mock};

use crate::dialects_support::{asking, deltas, read, text_of};
use crate::faults_support::{Case, Fault, GOOD, MASK, Seen, WORD, guarded};
use crate::plugins_support::contains;
use crate::support::PROVIDER_KEY;

/// The client's dialect, the faulty provider's and the good one's: passing, translated, and a change of both.
const WAYS: [(Dialect, Dialect, Dialect); 4] = [
    (Dialect::OpenaiChat, Dialect::OpenaiChat, Dialect::Anthropic),
    (Dialect::Anthropic, Dialect::OpenaiChat, Dialect::Anthropic),
    (Dialect::OpenaiResponses, Dialect::OpenaiResponses, Dialect::OpenaiChat),
    (Dialect::Gemini, Dialect::Anthropic, Dialect::Gemini),
];

/// No fault costs a client more than this: far less than any wait that a provider asked for, far more than the deadlines here.
const SOON: Duration = Duration::from_secs(15);

/// How many clients ask at once.
const CLIENTS: usize = 6;

#[test]
fn each_fault_costs_a_call_one_more_attempt_and_nothing_else() {
    suite(false);
}

#[test]
fn no_attempt_goes_unguarded() {
    suite(true);
}

fn suite(guard: bool) {
    let mock = Mock::start();
    let (cases, setup, _held) = Case::all(&mock, &WAYS);
    let gateway = guarded(setup, guard);
    let (next, wrong) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let slowest = Mutex::new((Duration::ZERO, String::new()));
    std::thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let started = Instant::now();
                    let (path, body) = asking(case.client, &case.name, &case.question(), case.stream);
                    let reply = gateway.post(&path, body);
                    let took = started.elapsed();
                    let mut slowest = slowest.lock().unwrap();
                    if took > slowest.0 {
                        *slowest = (took, case.name.clone());
                    }
                    drop(slowest);
                    let late = (took > SOON).then(|| format!("took {took:?}"));
                    if let Some(why) = late.or_else(|| judge(&mock, case, &reply, guard).err()) {
                        wrong.lock().unwrap().push(format!("{}: {why}", case.name));
                    }
                }
            });
        }
    });
    let (wrong, slowest) = (wrong.into_inner().unwrap(), slowest.into_inner().unwrap());
    println!("{} faults, guard {guard}: slowest {} in {:?}", cases.len(), slowest.1, slowest.0);
    assert!(wrong.is_empty(), "{} of {} faults:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    no_secret(gateway);
}

fn no_secret(mut gateway: Gateway) {
    gateway.process.signal(15);
    gateway.process.wait();
    let logs = format!("{}{}", gateway.process.err.text(), gateway.process.out.text());
    assert!(!logs.contains(PROVIDER_KEY), "a secret was logged");
}

macro_rules! check {
    ($holds:expr, $($why:tt)*) => {
        if !$holds {
            return Err(format!($($why)*));
        }
    };
}

fn judge(mock: &Mock, case: &Case, reply: &Reply, guard: bool) -> Result<(), String> {
    let (tried, saved) = (case.tried(mock), case.saved(mock));
    let head = format!("{} {}", reply.status, reply.text());
    // What dies on a connection that another call has left behind is sent once more, free: nobody has looked at it.
    let dies = matches!(case.fault, Fault::ResetBeforeHead | Fault::ClosedBeforeHead);
    let asked = tried.iter().filter(|exchange| !dies || exchange.sequence == 0).count();
    check!(asked == usize::from(case.fault.reached()), "{asked} calls to the faulty provider; {head}");
    let others = usize::from(case.seen == Seen::Other);
    check!(saved.len() == others, "{} calls to the other provider; {head}", saved.len());
    for exchange in tried.iter().chain(&saved) {
        guarded_request(exchange, guard)?;
    }
    check!(!reply.text().contains(PROVIDER_KEY), "a secret: {head}");
    check!(!guard || !contains(&reply.body, WORD), "unmasked: {head}");
    match case.seen {
        Seen::Other => other(case, reply, guard),
        Seen::Refusal(status) => refusal(reply, status),
        Seen::BrokenOff => broken_off(case, reply),
    }
}

/// What a provider got is what the guard let pass.
fn guarded_request(exchange: &Exchange, guard: bool) -> Result<(), String> {
    let body = String::from_utf8_lossy(&exchange.body);
    let (want, not) = if guard { (MASK, WORD) } else { (WORD, MASK) };
    check!(body.contains(want) && !body.contains(not), "a provider got: {body}");
    Ok(())
}

/// The other provider's reply, as if nothing had been.
fn other(case: &Case, reply: &Reply, guard: bool) -> Result<(), String> {
    let head = format!("{} {:?} {}", reply.status, reply.end, reply.text());
    check!((reply.status, reply.end) == (200, End::Proper), "{head}");
    let text = text_of(&read(case.client, reply, case.stream));
    let want = if guard { GOOD.concat().replace(WORD, MASK) } else { GOOD.concat() };
    check!(text == want, "the text is {text:?}: {head}");
    check!(!reply.text().contains("Once upon"), "something of the failed attempt: {head}");
    Ok(())
}

/// The provider's own refusal, and that another try would not help.
fn refusal(reply: &Reply, status: u16) -> Result<(), String> {
    let head = format!("{} {}", reply.status, reply.text());
    check!(reply.status == status && reply.text().contains(&format!("scripted {status}")), "{head}");
    check!(reply.header("x-sluice-error-source") == Some("provider"), "{:?}", reply.head.headers);
    check!(reply.header("x-should-retry") == Some("false"), "{:?}", reply.head.headers);
    Ok(())
}

/// What had come before, an error event, and no end that nobody sent.
fn broken_off(case: &Case, reply: &Reply) -> Result<(), String> {
    let head = format!("{} {:?} {}", reply.status, reply.end, reply.text());
    check!((reply.status, reply.end) == (200, End::Proper), "{head}");
    let told = deltas(case.client, &reply.body);
    check!(matches!(told.last(), Some(Delta::Failed(_))), "no error at the end: {head}");
    check!(reply.text().contains("Once upon"), "what had come is lost: {head}");
    check!(
        !reply.text().contains("[DONE]") && !reply.text().contains("message_stop"),
        "an end that nobody sent: {head}"
    );
    Ok(())
}

/// The names of the cases are told apart by what they are, so none is left out unseen.
#[test]
fn every_fault_is_a_case_of_its_own() {
    let mut names: Vec<&str> = Fault::ALL.iter().map(|(name, ..)| *name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Fault::ALL.len());
}
