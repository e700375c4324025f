//! A hundred thousand names that clients make up leave the gateway as it was: no new series, no more memory.

use std::collections::BTreeSet;

use serde_json::json;
use sluice_tests::gateway::Gateway;
use sluice_tests::http::request;

use crate::plugins_support::{PATIENT, active, with};
use crate::support::CHAT;

/// Made-up names, a third each of models, header values and paths.
const NAMES: usize = 100_000;
const CLIENTS: usize = 4;
/// Enough for every buffer, ring and cache that is meant to fill.
const WARM: usize = 6_000;

/// Series by name and labels, without their values.
fn series(gateway: &Gateway) -> BTreeSet<String> {
    let page = gateway.get("/metrics").text();
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ')).map(|(name, _)| name.to_owned()).collect()
}

/// What the process holds, in KiB.
fn resident(gateway: &Gateway) -> u64 {
    gateway.process.resident_kib().expect("VmRSS")
}

/// One request whose name nobody has seen before; gives the status that it must get.
fn made_up(number: usize, host: &str) -> (Vec<u8>, u16) {
    let body = |model: &str| json!({"model": model, "messages": [{"role": "user", "content": "hi"}]}).to_string();
    let kind = [("content-type", "application/json")];
    match number % 3 {
        0 => (request("POST", CHAT, host, &kind, body(&format!("model-{number}/x")).as_bytes()), 200),
        1 => {
            let value = format!("value-{number}");
            let headers = [kind[0], ("x-team", &*value), ("x-request-id", &*value), ("user-agent", &*value)];
            (request("POST", CHAT, host, &headers, body("m").as_bytes()), 200)
        }
        _ => (request("GET", &format!("/v1/made/up/{number}"), host, &[], b""), 404),
    }
}

fn flood(gateway: &Gateway, numbers: std::ops::Range<usize>) {
    let share = (numbers.end - numbers.start).div_ceil(CLIENTS);
    std::thread::scope(|scope| {
        for client in 0..CLIENTS {
            let from = numbers.start + client * share;
            let numbers = from..(from + share).min(numbers.end);
            scope.spawn(move || {
                let host = gateway.host();
                let mut connection = gateway.connect();
                for number in numbers {
                    let (bytes, status) = made_up(number, &host);
                    connection.send(&bytes);
                    let reply = connection.reply();
                    assert_eq!(reply.status, status, "{number}: {}", reply.text());
                }
            });
        }
    });
}

#[test]
fn made_up_names_leave_no_trace() {
    // Demo mode answers every model. One plugin runs by header and one by model, so that what calls select is as varied as it can be.
    let setup = with(
        sluice_tests::gateway::Setup::default(),
        "by-header",
        "nop",
        &format!("match: {{ header: {{ x-team: \"*7\" }} }}\n{PATIENT}\n"),
    );
    let setup = with(setup, "by-model", "nop", &format!("match: {{ model: \"*3/x\" }}\n{PATIENT}\n"));
    let gateway = with(setup, "tags", "tagger", PATIENT).start();
    for name in ["by-header", "by-model", "tags"] {
        active(&gateway, name);
    }
    flood(&gateway, 0..WARM);
    let (before, held) = (series(&gateway), resident(&gateway));
    flood(&gateway, WARM..WARM + NAMES);
    let (after, holds) = (series(&gateway), resident(&gateway));
    let new: Vec<_> = after.difference(&before).collect();
    assert!(new.is_empty(), "{} new series: {:?}", new.len(), new.iter().take(5).collect::<Vec<_>>());
    assert!(!before.is_empty() && before.len() < 1_000, "{} series", before.len());
    // A tenth, and what an allocator keeps back.
    assert!(holds <= held + held / 10 + 4 * 1024, "{held} KiB before, {holds} KiB after {NAMES} names");
    eprintln!("{} series before and after; {held} KiB before, {holds} KiB after {NAMES} made-up names", before.len());
}
