//! Hooks on finished calls, keys and the clock, as a plugin's own tests see them.

use super::super::*;
use crate::*;
use serde_json::json;
use std::time::Duration;

/// Counts a team's output tokens and remembers the last reply.
struct Ledger;

impl Plugin for Ledger {
    type Settings = NoSettings;
    const GRANTS: &'static [Grant] = &[Grant::kv("to \"count\" tokens"), Grant::kv("more").optional()];
    fn configure(_: NoSettings) -> Result<Self, Fault> {
        match kv::get("at start") {
            Err(Fault::Invalid(_)) => Ok(Ledger),
            other => Err(Fault::internal(format!("kv answers in configure: {other:?}"))),
        }
    }
}

impl OnRequest for Ledger {
    fn on_request(&self, call: &mut Call) -> Result<RequestVerdict, Fault> {
        call.remember("began", &now_ms())?;
        let used = kv::get("tokens")?.map(|text| String::from_utf8_lossy(&text).into_owned());
        Ok(used.map_or(RequestVerdict::Pass, |used| RequestVerdict::answer_text(&used)))
    }
}

impl OnFinish for Ledger {
    fn on_finish(&self, call: &Call, reply: &Reply) -> Result<(), Fault> {
        let outcome = reply.outcome().ok_or_else(|| Fault::internal("a finished call without outcome"))?;
        count(&outcome, 1);
        if !reply.exists() {
            assert_eq!((reply.target(), reply.texts().len(), reply.get_json("")), (String::new(), 0, None));
            assert_eq!((reply.tokens("output"), reply.finish_reason(0), reply.total_ms()), (None, None, 0));
            return Ok(());
        }
        let began: u64 = call.recall("began")?.ok_or_else(|| Fault::internal("nothing remembered"))?;
        let key = format!("last.{}", call.prefix().unwrap_or_default());
        kv::set(&key, reply.texts().joined(), Some(Duration::from_secs(60)))?;
        kv::increment("tokens", reply.tokens("output").unwrap_or(0) as i64, None)?;
        kv::increment("ms", (now_ms() - began) as i64, Some(Duration::from_millis(1500)))?;
        Ok(())
    }
}

impl OnComplete for Ledger {
    fn on_complete(&self, batch: &[Finished]) -> Result<(), Fault> {
        for call in batch {
            let outcome: String = call.get("/outcome")?.unwrap_or_default();
            count(&format!("complete.{outcome}"), call.get("/tokens/output")?.unwrap_or(0));
        }
        Ok(())
    }
}

crate::plugin!(Ledger: on_request, on_finish, on_complete);

fn ledger() -> Ledger {
    configure("").unwrap()
}

#[test]
fn a_call_is_followed_to_its_end() {
    set_now_ms(1_000);
    let mut call = FakeCall::asking("hello").prefix("openai").replied_text("good morning");
    assert_eq!(call.on_request(&ledger()), Ok(RequestVerdict::Pass));
    advance(Duration::from_millis(250));
    call.on_finish(&ledger()).unwrap();
    assert_eq!(counts()["ok"], 1);
    let keys = kept();
    assert_eq!(keys["last.openai"], b"good morning");
    assert_eq!((keys["tokens"].as_slice(), keys["ms"].as_slice()), (b"7".as_slice(), b"250".as_slice()));
    assert!(
        matches!(FakeCall::asking("more").on_request(&ledger()), Ok(RequestVerdict::Answer(text)) if text.contains("7"))
    );
}

#[test]
fn a_call_without_a_reply_has_an_outcome() {
    FakeCall::asking("x").on_finish(&ledger()).unwrap();
    FakeCall::asking("x").outcome("client-gone").on_finish(&ledger()).unwrap();
    assert_eq!((counts()["denied"], counts()["client-gone"]), (1, 1));
    assert!(kept().is_empty());
}

/// Tries to change what is over.
struct Late;

impl Plugin for Late {
    type Settings = NoSettings;
    fn configure(_: NoSettings) -> Result<Self, Fault> {
        Ok(Late)
    }
}

impl OnFinish for Late {
    fn on_finish(&self, _: &Call, _: &Reply) -> Result<(), Fault> {
        Err(Fault::internal("no"))
    }
}

#[test]
fn a_call_that_is_over_is_closed() {
    let fake = FakeCall::asking("x").replied_text("y");
    fake.backend().0.borrow_mut().during = super::super::state::During::Finish;
    let (mut call, mut reply) = (Call::of(fake.backend()), Reply::of(fake.backend()));
    let refused = [
        call.set_model("m"),
        call.set_text(0, "t"),
        call.set("/a", &1),
        call.insert("/messages/-", &1),
        call.remove("/model"),
        call.set_reply_header("x-a", "1"),
        call.remember("k", &1),
        call.tag("k", "v"),
        reply.set_text(0, "t"),
        reply.set("/a", &1),
        reply.remove("/choices"),
    ];
    for (at, refused) in refused.into_iter().enumerate() {
        assert!(matches!(refused, Err(Fault::Invalid(_))), "{at}: {refused:?}");
    }
    assert_eq!(FakeCall::asking("x").on_finish(&Late), Err(Fault::internal("no")));
}

#[test]
fn finished_calls_come_as_documents() {
    let documents = [
        json!({ "outcome": "ok", "tokens": { "output": 5 } }),
        json!({ "outcome": "ok", "tokens": { "output": 6 }, "added later": [] }),
        json!({ "outcome": "denied", "tokens": null }),
    ];
    complete(&ledger(), &documents).unwrap();
    assert_eq!((counts()["complete.ok"], counts()["complete.denied"]), (11, 0));
    let wrong = complete(&ledger(), &[json!({ "tokens": { "output": "five" } })]);
    assert!(matches!(wrong, Err(Fault::Invalid(text)) if text.starts_with("/tokens/output")));
    let broken = Finished::new("{".to_owned());
    assert!(broken.get::<u64>("/a").is_err() && broken.read::<Value>().is_err());
    assert_eq!(broken.json(), "{");
}

#[test]
fn keys_live_as_long_as_they_are_told() {
    set_now_ms(10_000);
    kv::set("a", "1", Some(Duration::from_nanos(1))).unwrap();
    kv::increment("n", 2, Some(Duration::from_millis(100))).unwrap();
    assert_eq!(kv::get("a"), Ok(Some(b"1".to_vec())), "a short time is not none");
    advance(Duration::from_millis(60));
    assert_eq!(kv::get("a"), Ok(None));
    assert_eq!(kv::increment("n", 3, Some(Duration::from_millis(100))), Ok(5));
    advance(Duration::from_millis(60));
    assert_eq!(kv::increment("n", 1, None), Ok(1), "its time began when it was created");
    advance(Duration::from_secs(1_000_000));
    assert_eq!(kv::get("n"), Ok(Some(b"1".to_vec())));
    kv::delete("n").unwrap();
    kv::delete("n").unwrap();
    assert!(kept().is_empty());
    assert_eq!(now_ms(), 10_000 + 120 + 1_000_000_000);
}

#[test]
fn a_swap_is_only_over_what_was_read() {
    set_now_ms(0);
    let minute = Some(Duration::from_secs(60));
    assert_eq!(kv::swap("s", Some(b"1"), "2", None), Ok(false));
    assert_eq!(kv::swap("s", None, "1", minute), Ok(true));
    assert_eq!(kv::swap("s", None, "2", None), Ok(false));
    advance(Duration::from_secs(40));
    assert_eq!(kv::swap("s", Some(b"1"), "2", minute), Ok(true));
    advance(Duration::from_secs(40));
    assert_eq!(kv::get("s"), Ok(Some(b"2".to_vec())), "its time began anew");
    advance(Duration::from_secs(20));
    assert_eq!(kv::swap("s", Some(b"2"), "3", None), Ok(false), "its time is over");
    assert!(matches!(kv::swap("", None, "1", None), Err(Fault::Invalid(_))));
    assert!(matches!(kv::swap("s", None, vec![0; (1 << 20) + 1], None), Err(Fault::Invalid(_))));
}

#[test]
fn keys_have_the_gateways_bounds() {
    let long = "k".repeat(513);
    for key in ["", long.as_str()] {
        assert!(matches!(kv::get(key), Err(Fault::Invalid(_))));
        assert!(matches!(kv::delete(key), Err(Fault::Invalid(_))));
    }
    assert!(matches!(kv::set("k", vec![0; (1 << 20) + 1], None), Err(Fault::Invalid(_))));
    for ttl in [Duration::ZERO, Duration::from_secs(30 * 24 * 3600 + 1)] {
        assert!(matches!(kv::set("k", "v", Some(ttl)), Err(Fault::Invalid(_))));
        assert!(matches!(kv::increment("k", 1, Some(ttl)), Err(Fault::Invalid(_))));
    }
    kv::set("word", "seven", None).unwrap();
    assert!(matches!(kv::increment("word", 1, None), Err(Fault::Invalid(_))));
    kv::increment("much", i64::MAX, None).unwrap();
    assert!(matches!(kv::increment("much", 1, None), Err(Fault::Invalid(_))));
    assert_eq!(kv::get("much"), Ok(Some(i64::MAX.to_string().into_bytes())));
    grant_kv(false);
    let denied = FakeCall::asking("x").on_request(&Ledger);
    assert!(matches!(denied, Err(Fault::Denied(text)) if text.contains("grants: { kv: {} }")));
    grant_kv(true);
    assert_eq!(kept().len(), 2);
}

#[test]
fn wanted_grants_are_in_the_manifest() {
    let package = Package { name: "ledger", version: "1.0.0", description: "" };
    let manifest: Value = serde_json::from_str(&manifest::<Ledger>(package)).unwrap();
    assert_eq!(
        manifest["grants"],
        json!([
            { "name": "kv", "reason": "to \"count\" tokens", "optional": false },
            { "name": "kv", "reason": "more", "optional": true },
        ])
    );
}

#[test]
fn a_digest_is_sha_256() {
    let hex: String = digest("abc").iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}
