//! A provider with several keys, of which one is no good any more: nobody who calls notices, and the key is not tried again and again.

use std::collections::BTreeMap;

use sluice_dialect::Dialect;
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::mock::{Exchange, Mock, Script};

use crate::dialects_support::wants_stream;
use crate::faults_support::{error, routed, row};
use crate::plugins_support::streaming;
use crate::support::{CHAT, blamed, body, reply};

const KEYS: [&str; 3] = ["sk-one-3e9f1b7d5a", "sk-two-8c2d6f0e4b", "sk-three-1a7c9e5d3f"];
const BAD: &str = KEYS[1];

fn key_of(exchange: &Exchange) -> String {
    exchange.head.get("authorization").unwrap_or_default().trim_start_matches("Bearer ").to_owned()
}

/// Provider `p` with all keys, where the bad one gets `refusal`.
fn start(refusal: Script) -> (Mock, Gateway) {
    let mock = Mock::start();
    let (whole, streamed) = (Script::json(200, reply("hi")), streaming(&["hi"]));
    mock.on("p", move |exchange| {
        if key_of(exchange) == BAD {
            return refusal.clone();
        }
        if wants_stream(exchange) { streamed.clone() } else { whole.clone() }
    });
    let keys = "[{ name: one, value: env:ONE }, { name: two, value: env:TWO }, { name: three, value: env:THREE }]";
    let base = mock.base("p");
    let config = format!("providers:\n  p: {{ dialect: openai-chat, base_url: \"{base}\", keys: {keys} }}\n");
    let names = ["ONE", "TWO", "THREE"];
    let setup = names.iter().zip(KEYS).fold(Setup::config(config), |setup, (name, key)| setup.env(name, key));
    (mock, setup.start())
}

/// How many requests came with each key.
fn used(mock: &Mock) -> BTreeMap<String, usize> {
    mock.exchanges("p").iter().fold(BTreeMap::new(), |mut used, exchange| {
        *used.entry(key_of(exchange)).or_default() += 1;
        used
    })
}

/// A call of a conversation of its own: one that goes on stays with its key.
fn talk(number: usize, stream: bool) -> String {
    body("p/m", stream).replace("hello", &format!("hello {number}"))
}

#[test]
fn one_refused_key_of_three_costs_one_request_in_all() {
    const CALLS: usize = 60;
    for status in [401, 402, 403] {
        let (mock, mut gateway) = start(error(Dialect::OpenaiChat, status, None));
        for call in 0..CALLS {
            let got = gateway.post(CHAT, talk(call, call % 2 == 0));
            assert_eq!(got.status, 200, "{status}, call {call}: {}", got.text());
        }
        let used = used(&mock);
        // The bad key is met once, by a call that then takes another.
        assert_eq!(used.get(BAD), Some(&1), "{status}: {used:?}");
        assert_eq!(used.values().sum::<usize>(), CALLS + 1, "{status}: {used:?}");
        gateway.process.signal(15);
        gateway.process.wait();
        let logs = format!("{}{}", gateway.process.err.text(), gateway.process.out.text());
        assert!(KEYS.iter().all(|key| !logs.contains(key)), "a secret was logged");
    }
}

#[test]
fn a_limited_key_rests_while_the_others_work() {
    let (mock, gateway) = start(error(Dialect::OpenaiChat, 429, Some("600")));
    for call in 0..60 {
        let got = gateway.post(CHAT, talk(call, false));
        assert_eq!(got.status, 200, "call {call}: {}", got.text());
    }
    assert_eq!(used(&mock).get(BAD), Some(&1), "{:?}", used(&mock));
}

#[test]
fn a_key_that_is_the_only_one_falls_back_and_is_left_alone() {
    let mock = Mock::start();
    mock.script("p", error(Dialect::OpenaiChat, 401, None));
    mock.script("q", Script::json(200, reply("from q")));
    let rows = row("p", Dialect::OpenaiChat, &mock.base("p"), "") + &row("q", Dialect::OpenaiChat, &mock.base("q"), "");
    let gateway = routed(&rows, "  r: { tiers: [p/m, q/m] }\n", "").start();
    for _ in 0..20 {
        let got = gateway.post(CHAT, body("r", false));
        assert!(got.status == 200 && got.text().contains("from q"), "{}", got.text());
    }
    assert_eq!((mock.journal().count("p"), mock.journal().count("q")), (1, 20));
}

#[test]
fn the_last_refused_key_is_told_as_the_provider_told_it() {
    let mock = Mock::start();
    mock.script("p", error(Dialect::OpenaiChat, 401, None));
    let gateway = routed(&row("p", Dialect::OpenaiChat, &mock.base("p"), ""), "  r: { tiers: [p/m] }\n", "").start();
    blamed(&gateway.post(CHAT, body("r", false)), 401, "provider");
    assert_eq!(mock.journal().count("p"), 1);
}
