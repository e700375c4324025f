//! The bars for routes under faults, as figures: how many calls succeed, what that costs the providers, and what a client feels when a provider
//! dies beneath it. Figures are printed; limits on time only tell working from broken on a busy machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use sluice_dialect::Dialect;
use sluice_tests::gateway::Gateway;
use sluice_tests::http::{Connection, End, request};
use sluice_tests::load;
use sluice_tests::mock::{Mock, Script};

use crate::faults_support::{error, routed, row};
use crate::support::{CHAT, DONE};

/// One call as its client saw it.
#[derive(Clone, Debug)]
struct Seen {
    /// Since the run began.
    at: Duration,
    took: Duration,
    /// Why it is no success.
    failure: Option<String>,
    /// The failure came after content, in a stream.
    delivering: bool,
}

struct Client<'a> {
    gateway: &'a Gateway,
    connection: Connection,
}

impl<'a> Client<'a> {
    fn new(gateway: &'a Gateway) -> Client<'a> {
        Client { gateway, connection: gateway.connect() }
    }

    fn call(&mut self, began: Instant, model: &str, stream: bool) -> Seen {
        let body = load::request(model, stream);
        let headers = [("content-type", "application/json")];
        let (at, started) = (began.elapsed(), Instant::now());
        self.connection.send(&request("POST", CHAT, &self.gateway.host(), &headers, body.as_bytes()));
        let reply = self.connection.try_reply();
        let took = started.elapsed();
        let Some(reply) = reply else {
            self.connection = self.gateway.connect();
            return Seen { at, took, failure: Some("no reply".to_owned()), delivering: false };
        };
        if reply.header("connection") == Some("close") {
            self.connection = self.gateway.connect();
        }
        let text = reply.text();
        let whole = reply.status == 200 && reply.end == End::Proper;
        let good = whole && if stream { text.ends_with(DONE) } else { reply.body == load::reply().as_bytes() };
        let failure =
            (!good).then(|| format!("{} {:?} {}", reply.status, reply.end, text.chars().take(300).collect::<String>()));
        Seen { at, took, delivering: !good && whole && stream, failure }
    }
}

/// `count` calls by these clients at once, as fast as they are answered.
fn calls(gateway: &Gateway, clients: usize, count: usize) -> Vec<Seen> {
    let (began, next) = (Instant::now(), AtomicUsize::new(0));
    gather(clients, |_| {
        let (mut client, mut seen) = (Client::new(gateway), Vec::new());
        while next.fetch_add(1, Ordering::SeqCst) < count {
            seen.push(client.call(began, "r", false));
        }
        seen
    })
}

fn gather(clients: usize, work: impl Fn(usize) -> Vec<Seen> + Sync) -> Vec<Seen> {
    std::thread::scope(|scope| {
        let work = &work;
        let all: Vec<_> = (0..clients).map(|number| scope.spawn(move || work(number))).collect();
        all.into_iter().flat_map(|thread| thread.join().expect("a client")).collect()
    })
}

/// A provider under this name that counts its calls and answers what `choose` says for the number of each, else well.
fn counted(
    mock: &Mock,
    name: &str,
    choose: impl Fn(usize) -> Option<Script> + Send + Sync + 'static,
) -> Arc<AtomicUsize> {
    let calls = Arc::new(AtomicUsize::new(0));
    let (counter, whole, streamed) =
        (Arc::clone(&calls), Script::json(200, load::reply()), Script::sse(load::stream()));
    mock.on(name, move |exchange| {
        let number = counter.fetch_add(1, Ordering::SeqCst);
        let stream = exchange.body.windows(13).any(|window| window == b"\"stream\":true");
        choose(number).unwrap_or_else(|| if stream { streamed.clone() } else { whole.clone() })
    });
    calls
}

fn chat(mock: &Mock, name: &str, more: &str) -> String {
    row(name, Dialect::OpenaiChat, &mock.base(name), &format!(", meter: false{more}"))
}

fn at(mut times: Vec<Duration>, share: f64) -> Duration {
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
    let index = (last as f64 * share).round() as usize;
    times.get(index).copied().unwrap_or_default()
}

fn failures(seen: &[Seen]) -> Vec<&Seen> {
    seen.iter().filter(|seen| seen.failure.is_some()).collect()
}

#[test]
fn a_provider_that_fails_three_calls_of_ten_is_not_felt() {
    const CALLS: usize = 10_000;
    let mock = Mock::listen("127.0.0.1:0", false);
    // The same failures in every run; which call meets which is up to the clients.
    let random = std::sync::Mutex::new(fastrand::Rng::with_seed(20_261_124));
    let flaky = counted(&mock, "flaky", move |_| {
        let mut random = random.lock().unwrap();
        (random.f64() < 0.3).then(|| match random.u8(..4) {
            0 => error(Dialect::OpenaiChat, 500, None),
            1 => error(Dialect::OpenaiChat, 529, None),
            2 => Script::new().close(),
            _ => Script::new().reset(),
        })
    });
    let steady = counted(&mock, "steady", |_| None);
    let rows = chat(&mock, "flaky", "") + &chat(&mock, "steady", "");
    let gateway = routed(&rows, "  r: { tiers: [[flaky/m], [steady/m]] }\n", "").start();
    let seen = calls(&gateway, 8, CALLS);
    let (failed, upstream) = (failures(&seen), flaky.load(Ordering::SeqCst) + steady.load(Ordering::SeqCst));
    println!(
        "{} of {CALLS} calls failed; {upstream} upstream calls, {} at the flaky provider; p50 {:?}, p99 {:?}",
        failed.len(),
        flaky.load(Ordering::SeqCst),
        at(seen.iter().map(|seen| seen.took).collect(), 0.5),
        at(seen.iter().map(|seen| seen.took).collect(), 0.99),
    );
    assert_eq!(seen.len(), CALLS);
    assert!(failed.len() * 1000 <= CALLS, "{} of {CALLS} failed: {:?}", failed.len(), failed.first());
    assert!(upstream * 100 <= CALLS * 135, "{upstream} upstream calls for {CALLS}");
    assert!(flaky.load(Ordering::SeqCst) >= CALLS / 100, "the flaky provider was hardly asked: this shows nothing");
}

#[test]
fn a_failing_target_is_left_alone_but_for_probes() {
    const CALLS: usize = 5000;
    let mock = Mock::listen("127.0.0.1:0", false);
    let down = counted(&mock, "down", |_| Some(error(Dialect::OpenaiChat, 500, None)));
    let up = counted(&mock, "up", |_| None);
    let rows = chat(&mock, "down", "") + &chat(&mock, "up", "");
    let gateway = routed(&rows, "  r: { tiers: [[down/m, up/m]] }\n", "").start();
    // Until it is known to be down it is asked in its turn.
    calls(&gateway, 4, 100);
    let (known, began) = (down.load(Ordering::SeqCst), Instant::now());
    let seen = calls(&gateway, 8, CALLS);
    let asked = down.load(Ordering::SeqCst) - known;
    println!("{asked} of {CALLS} calls in {:?} asked the ejected target; {known} before", began.elapsed());
    assert!(failures(&seen).is_empty(), "{:?}", failures(&seen).first());
    assert!(known > 0, "it was never asked");
    // A window is seconds long: a probe a second is far more than there may be.
    let probes = usize::try_from(began.elapsed().as_secs()).unwrap() + 2;
    assert!(asked <= CALLS / 100 + probes, "{asked} of {CALLS} calls asked an ejected target");
    assert!(up.load(Ordering::SeqCst) >= CALLS);
}

/// Calls a second while a provider dies, and how long before and after.
const RATE: u32 = 200;
const BEFORE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(4);
/// How long each provider takes for a reply.
const LATENCY: Duration = Duration::from_millis(20);

/// Calls at a steady rate, whole and streamed in turn, and the death of a provider in their midst.
fn under_load(gateway: &Gateway, die: impl FnOnce() + Send) -> Vec<Seen> {
    const CLIENTS: u32 = 24;
    let began = Instant::now();
    let apart = Duration::from_secs(1) / RATE;
    let total = (BEFORE + AFTER).as_millis() / apart.as_millis();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            std::thread::sleep(BEFORE.saturating_sub(began.elapsed()));
            die();
        });
        gather(CLIENTS as usize, |number| {
            let (mut client, mut seen) = (Client::new(gateway), Vec::new());
            let mine = (u32::try_from(number).unwrap()..u32::try_from(total).unwrap()).step_by(CLIENTS as usize);
            for turn in mine {
                // The pace is the load, not a wait for something.
                std::thread::sleep((apart * turn).saturating_sub(began.elapsed()));
                seen.push(client.call(began, "r", turn % 2 == 0));
            }
            seen
        })
    })
}

/// Prints what the death of a provider did, and checks it.
#[track_caller]
fn survived(what: &str, seen: &[Seen], deadline: Duration) {
    let split = |from: Duration, to: Duration| -> Vec<Duration> {
        seen.iter().filter(|seen| seen.at >= from && seen.at < to).map(|seen| seen.took).collect()
    };
    let warm = Duration::from_millis(500);
    let (before, after) = (split(warm, BEFORE), split(BEFORE, BEFORE + AFTER));
    let failed = failures(seen);
    let delivering = failed.iter().filter(|seen| seen.delivering).count();
    let late = failed.iter().filter(|seen| seen.at > BEFORE + Duration::from_secs(1)).count();
    println!(
        "{what}: {} calls, {} failed before content, {delivering} streams cut, {late} after the first second; p50 {:?} -> {:?}, p99 {:?} -> {:?}",
        seen.len(),
        failed.len() - delivering,
        at(before.clone(), 0.5),
        at(after.clone(), 0.5),
        at(before.clone(), 0.99),
        at(after.clone(), 0.99),
    );
    let first = failed.iter().find(|seen| !seen.delivering);
    assert!(first.is_none(), "{what}: a call failed before content: {first:?}");
    assert_eq!(late, 0, "{what}: calls failed after the first second: {:?}", failed.last());
    // The bars are 1.5 x and one deadline; beside other tests the machine itself is slower than that at times.
    let slack = Duration::from_millis(150);
    assert!(at(after.clone(), 0.5) <= at(before.clone(), 0.5).mul_f64(1.5) + slack, "{what}: p50");
    assert!(at(after, 0.99) <= deadline + at(before, 0.99) + slack * 4, "{what}: p99");
}

/// Two providers of one tier and one beneath, of which the first can be brought down alone.
fn tier(die: impl Fn(&Mock) + Send + 'static, timeouts: &str) -> Vec<Seen> {
    let (first, others) = (Mock::listen("127.0.0.1:0", false), Mock::listen("127.0.0.1:0", false));
    let slow = |mock: &Mock, name: &str| {
        mock.on(name, |exchange| {
            let stream = exchange.body.windows(13).any(|window| window == b"\"stream\":true");
            if !stream {
                return Script {
                    steps: [Script::new().delay(LATENCY).steps, Script::json(200, load::reply()).steps].concat(),
                    early: false,
                };
            }
            let events = load::stream();
            events.iter().fold(Script::sse_head().delay(LATENCY), |script, event| script.chunk(event)).end_chunks()
        });
    };
    slow(&first, "first");
    slow(&others, "second");
    let rows = chat(&first, "first", timeouts) + &chat(&others, "second", timeouts);
    let gateway = routed(&rows, "  r: { tiers: [{ first/m: 3, second/m: 1 }] }\n", "").start();
    under_load(&gateway, move || die(&first))
}

#[test]
fn the_death_of_a_provider_under_load_fails_no_call_before_content() {
    let seen = tier(Mock::die, "");
    survived("killed", &seen, Duration::from_secs(1));
}

#[test]
fn a_provider_that_falls_silent_under_load_costs_one_deadline() {
    let hang = |mock: &Mock| mock.on("first", |_| Script::new().stall());
    let seen = tier(hang, ", timeouts: { headers: 1s, first_token: 1s }");
    survived("silent", &seen, Duration::from_secs(1));
}
