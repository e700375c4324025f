//! Hooks on calls that are over: what they may ask, what they may not, and what a batch may be.

use std::time::Duration;

use super::guests::{PRELUDE, guest};
use super::probe::Probe;
use super::{block_on, load, spec};
use crate::{ErrorKind, Level, Limits, MAX_BATCH_BYTES, MAX_BATCH_ITEMS, Plugin, Spec};

/// `on-finish` logs the outcome and counts the reply's milliseconds; attempt 10 traps, 11 spins, 12 edits the reply, 13 grabs
/// memory. `on-complete` counts its items, and then does what the first letter of the first one says.
fn finishing() -> Vec<u8> {
    let wat = format!(
        r#"(module
          (import "sluice:plugin/call@0.1.0" "attempt" (func $attempt (result i32)))
          (import "sluice:plugin/reply@0.1.0" "outcome" (func $outcome (param i32)))
          (import "sluice:plugin/reply@0.1.0" "total-ms" (func $total_ms (result i32)))
          (import "sluice:plugin/reply@0.1.0" "set-text" (func $set_text (param i32 i32 i32 i32)))
          (import "sluice:plugin/host@0.1.0" "log" (func $log (param i32 i32 i32)))
          (import "sluice:plugin/host@0.1.0" "count" (func $count (param i32 i32 i64)))
          {PRELUDE}
          (data (i32.const 512) "items")
          (func (export "sluice:plugin/on-finish@0.1.0#on-finish") (result i32)
            (local $deed i32)
            (local.set $deed (call $attempt))
            (if (i32.eq (local.get $deed) (i32.const 10)) (then unreachable))
            (if (i32.eq (local.get $deed) (i32.const 11)) (then (loop $forever (br $forever))))
            (if (i32.eq (local.get $deed) (i32.const 12)) (then
              (call $set_text (i32.const 0) (i32.const 512) (i32.const 5) (i32.const 2048))
              (return (i32.const 2048))))
            (if (i32.eq (local.get $deed) (i32.const 13))
              (then (loop $more (drop (memory.grow (i32.const 64))) (br $more))))
            (call $outcome (i32.const 2048))
            (if (i32.load8_u (i32.const 2048))
              (then (call $log (i32.const 2) (i32.load (i32.const 2052)) (i32.load (i32.const 2056)))))
            (call $count (i32.const 512) (i32.const 5) (i64.extend_i32_u (call $total_ms)))
            (i32.const 1024))
          (func (export "sluice:plugin/on-complete@0.1.0#on-complete") (param $list i32) (param $length i32) (result i32)
            (local $letter i32)
            (call $count (i32.const 512) (i32.const 5) (i64.extend_i32_u (local.get $length)))
            (if (i32.eqz (local.get $length)) (then (return (i32.const 1024))))
            (local.set $letter (i32.load8_u (i32.load (local.get $list))))
            (if (i32.eq (local.get $letter) (i32.const 0x63)) (then (drop (call $attempt))))
            (if (i32.eq (local.get $letter) (i32.const 0x72)) (then (drop (call $total_ms))))
            (if (i32.eq (local.get $letter) (i32.const 0x6f)) (then (call $outcome (i32.const 2048))))
            (if (i32.eq (local.get $letter) (i32.const 0x74)) (then unreachable))
            (if (i32.eq (local.get $letter) (i32.const 0x73)) (then (loop $forever (br $forever))))
            (if (i32.eq (local.get $letter) (i32.const 0x6c))
              (then (call $log (i32.const 2) (i32.const 512) (i32.const 5))))
            (i32.const 1024)))"#
    );
    guest(
        "import sluice:plugin/call@0.1.0; import sluice:plugin/reply@0.1.0; import sluice:plugin/host@0.1.0;
         export sluice:plugin/on-finish@0.1.0; export sluice:plugin/on-complete@0.1.0;",
        &wat,
    )
}

async fn completed(plugin: &Plugin, first: &str) -> Result<(), crate::HookError> {
    plugin.on_complete(vec![first.to_owned(), "{}".to_owned()]).await.result
}

#[test]
fn a_finished_call_tells_its_outcome_with_and_without_a_reply() {
    block_on(async {
        let plugin = load(&finishing(), spec("finish")).await.unwrap();
        assert_eq!(plugin.hooks().names(), ["on-finish", "on-complete"]);
        for (replied, outcome, total) in [(true, "ok", 2), (false, "denied", 0)] {
            let mut view = Probe::new(0);
            view.replied = replied;
            let ran = plugin.on_finish(view).await;
            ran.result.unwrap();
            let probe = Probe::back(ran.view);
            assert_eq!(probe.logs, [(Level::Info, outcome.to_owned())]);
            assert_eq!(probe.counts, [("items".to_owned(), total)]);
        }
    });
}

#[test]
fn an_edit_where_no_reply_is_faults_and_keeps_the_instance() {
    block_on(async {
        let plugin = load(&finishing(), spec("finish")).await.unwrap();
        plugin.on_finish(Probe::new(0)).await.result.unwrap();
        let mut view = Probe::new(12);
        view.replied = false;
        let error = plugin.on_finish(view).await.result.expect_err("there is nothing to edit");
        assert_eq!(error.kind, ErrorKind::Fault, "{error}");
        assert!(error.message.contains("without a reply"), "{error}");
        assert!(!plugin.on_finish(Probe::new(0)).await.fresh);
    });
}

#[test]
fn a_finish_that_misbehaves_costs_one_instance() {
    block_on(async {
        let plugin = load(&finishing(), spec("finish")).await.unwrap();
        for (attempt, kind) in [(10, ErrorKind::Trap), (11, ErrorKind::Timeout), (13, ErrorKind::Memory)] {
            let ran = plugin.on_finish(Probe::new(attempt)).await;
            let error = ran.result.expect_err("it misbehaved");
            assert_eq!(error.kind, kind, "{error}");
            assert!(error.message.contains("`on-finish`"), "{error}");
            assert_eq!(Probe::back(ran.view).attempt, attempt);
            assert!(plugin.on_finish(Probe::new(0)).await.fresh);
        }
        assert_eq!(plugin.counters().hooks, [0, 0, 0, 0, 6, 0]);
    });
}

#[test]
fn a_batch_is_counted_and_has_no_call() {
    block_on(async {
        let plugin = load(&finishing(), spec("complete")).await.unwrap();
        let done = plugin.on_complete(vec!["{}".to_owned(); 7]).await;
        done.result.unwrap();
        assert_eq!(done.counts, [("items".to_owned(), 7)]);
        completed(&plugin, "log").await.unwrap();
        for (first, function) in [("call", "call.attempt"), ("reply", "reply.total-ms"), ("outcome", "reply.outcome")] {
            let error = completed(&plugin, first).await.expect_err("there is no call");
            assert_eq!(error.kind, ErrorKind::Trap, "{error}");
            assert!(error.message.contains(function) && error.message.contains("read its documents"), "{error}");
        }
        assert_eq!(plugin.counters().idle, 0);
        completed(&plugin, "{}").await.unwrap();
        assert_eq!(plugin.counters().idle, 1);
    });
}

#[test]
fn a_batch_that_breaks_the_plugin_keeps_what_it_counted() {
    block_on(async {
        let limits = Limits { wall: Duration::from_millis(30), ..Limits::default() };
        let plugin = load(&finishing(), Spec { limits, ..spec("complete") }).await.unwrap();
        for (first, kind) in [("trap", ErrorKind::Trap), ("spin", ErrorKind::Timeout)] {
            let done = plugin.on_complete(vec![first.to_owned()]).await;
            assert_eq!(done.result.expect_err("it misbehaved").kind, kind);
            assert_eq!(done.counts, [("items".to_owned(), 1)]);
        }
    });
}

#[test]
fn a_batch_beyond_its_bounds_reaches_no_guest() {
    block_on(async {
        let plugin = load(&finishing(), spec("complete")).await.unwrap();
        // The most that is let through, in few and in many documents; the guest's memory would be too small for the first.
        plugin.on_complete(vec![String::new(); MAX_BATCH_ITEMS]).await.result.unwrap();
        for batch in [vec![String::new(); MAX_BATCH_ITEMS + 1], vec!["x".repeat(MAX_BATCH_BYTES + 1)]] {
            let done = plugin.on_complete(batch).await;
            let error = done.result.expect_err("it is too much");
            assert_eq!(error.kind, ErrorKind::Overload);
            assert!(error.message.contains("at most 256"), "{error}");
            assert!(done.counts.is_empty());
        }
        assert_eq!(plugin.counters().hooks, [0, 0, 0, 0, 0, 1]);
    });
}

#[test]
fn the_dry_runs_document_has_the_fields_of_the_schema() {
    let schema = include_str!("../../../../wit/finished-call.schema.json");
    let schema: serde_json::Value = serde_json::from_str(schema).unwrap();
    let document: serde_json::Value = serde_json::from_str(crate::canned::COMPLETED).unwrap();
    for field in schema["required"].as_array().unwrap() {
        assert!(document.get(field.as_str().unwrap()).is_some(), "{field} is missing");
    }
    for field in document.as_object().unwrap().keys() {
        assert!(schema["properties"].get(field).is_some(), "{field} is not in the schema");
    }
}

#[test]
fn a_plugin_without_them_is_not_asked() {
    block_on(async {
        let plugin = load(&super::guests::passing(), spec("request-only")).await.unwrap();
        assert!(plugin.on_finish(Probe::new(0)).await.result.is_err());
        assert!(plugin.on_complete(Vec::new()).await.result.is_err());
    });
}
