//! The hook that orders targets: what it may ask, which verdicts are refused, and what a misbehaving one costs.

use super::guests::{PRELUDE, guest};
use super::probe::Probe;
use super::{block_on, load, spec};
use crate::{ErrorKind, HookError, Plugin, Ran, RouteVerdict};

/// By the call's attempt, `on-route` passes (0), orders 1 before 0 (1), names target 2 of 2 (2), names 1 twice (3), names none (4), asks
/// for target 7 (5), traps (6) or spins (7). `on-request` asks for a target where the attempt is 5.
fn routing() -> Vec<u8> {
    let wat = format!(
        r#"(module
          (import "sluice:plugin/call@0.1.0" "attempt" (func $attempt (result i32)))
          (import "sluice:plugin/targets@0.1.0" "name" (func $name (param i32 i32)))
          (import "sluice:plugin/targets@0.1.0" "number" (func $number (param i32 i32 i32 i32)))
          (import "sluice:plugin/targets@0.1.0" "label" (func $label (param i32 i32 i32 i32)))
          (import "sluice:plugin/targets@0.1.0" "has" (func $has (param i32 i32 i32) (result i32)))
          (import "sluice:plugin/host@0.1.0" "log" (func $log (param i32 i32 i32)))
          (import "sluice:plugin/host@0.1.0" "count" (func $count (param i32 i32 i64)))
          {PRELUDE}
          (data (i32.const 512) "context-window")
          (data (i32.const 544) "tools")
          (data (i32.const 560) "in the east\n")
          (func $order (param $list i32) (param $length i32) (result i32)
            (i32.store8 (i32.const 2048) (i32.const 0))
            (i32.store8 (i32.const 2052) (i32.const 1))
            (i32.store (i32.const 2056) (local.get $list))
            (i32.store (i32.const 2060) (local.get $length))
            (i32.store (i32.const 2064) (i32.const 560))
            (i32.store (i32.const 2068) (i32.const 12))
            (i32.const 2048))
          (func (export "sluice:plugin/on-request@0.1.0#on-request") (result i32)
            (if (i32.eq (call $attempt) (i32.const 5)) (then (call $name (i32.const 0) (i32.const 3072))))
            (i32.const 1024))
          (func (export "sluice:plugin/on-route@0.1.0#on-route") (param $targets i32) (result i32)
            (local $deed i32)
            (local.set $deed (call $attempt))
            (if (i32.eq (local.get $deed) (i32.const 5)) (then (call $name (i32.const 7) (i32.const 3072))))
            (if (i32.eq (local.get $deed) (i32.const 6)) (then unreachable))
            (if (i32.eq (local.get $deed) (i32.const 7)) (then (loop $forever (br $forever))))
            (if (i32.eq (local.get $deed) (i32.const 1)) (then
              (call $name (i32.const 1) (i32.const 3072))
              (call $log (i32.const 2) (i32.load (i32.const 3072)) (i32.load (i32.const 3076)))
              (call $number (i32.const 0) (i32.const 512) (i32.const 14) (i32.const 3072))
              (call $count (i32.const 512) (i32.const 14) (i64.trunc_f64_u (f64.load (i32.const 3080))))
              (call $label (i32.const 0) (i32.const 544) (i32.const 5) (i32.const 3072))
              (if (i32.load8_u (i32.const 3072)) (then unreachable))
              (call $count (i32.const 544) (i32.const 5)
                (i64.extend_i32_u (i32.add (local.get $targets) (call $has (i32.const 1) (i32.const 544) (i32.const 5)))))
              (i32.store (i32.const 3200) (i32.const 1))
              (i32.store (i32.const 3204) (i32.const 0))
              (return (call $order (i32.const 3200) (i32.const 2)))))
            (i32.store (i32.const 3200) (local.get $deed))
            (i32.store (i32.const 3204) (i32.const 1))
            (i32.store (i32.const 3208) (i32.const 1))
            (if (i32.eq (local.get $deed) (i32.const 2)) (then (return (call $order (i32.const 3200) (i32.const 1)))))
            (if (i32.eq (local.get $deed) (i32.const 3)) (then (return (call $order (i32.const 3204) (i32.const 2)))))
            (if (i32.eq (local.get $deed) (i32.const 4)) (then (return (call $order (i32.const 3200) (i32.const 0)))))
            (i32.const 1024)))"#
    );
    guest(
        "import sluice:plugin/call@0.1.0; import sluice:plugin/targets@0.1.0; import sluice:plugin/host@0.1.0;
         export sluice:plugin/on-request@0.1.0; export sluice:plugin/on-route@0.1.0;",
        &wat,
    )
}

async fn route(plugin: &Plugin, attempt: u32) -> Result<RouteVerdict, HookError> {
    plugin.on_route(Probe::new(attempt)).await.result
}

#[test]
fn it_asks_about_targets_and_orders_them() {
    block_on(async {
        let plugin = load(&routing(), spec("route")).await.unwrap();
        assert_eq!(plugin.hooks().names(), ["on-request", "on-route"]);
        assert_eq!(route(&plugin, 0).await.unwrap(), RouteVerdict::Pass);
        let Ran { result, view, .. } = plugin.on_route(Probe::new(1)).await;
        let order = RouteVerdict::Order { targets: vec![1, 0], reason: "in the east".to_owned() };
        assert_eq!(result.unwrap(), order, "a reason is one line");
        let probe = Probe::back(view);
        assert_eq!(probe.logs.first().map(|(_, text)| text.as_str()), Some("dry-run/other"));
        assert_eq!(probe.counts, [("context-window".to_owned(), 128_000), ("tools".to_owned(), 3)]);
        let none = route(&plugin, 4).await.unwrap();
        assert!(matches!(none, RouteVerdict::Order { targets, .. } if targets.is_empty()));
    });
}

#[test]
fn an_order_that_cannot_be_followed_costs_one_instance() {
    block_on(async {
        let plugin = load(&routing(), spec("route")).await.unwrap();
        for (attempt, words) in [(2, "target 2 is not there: this call has 2"), (3, "target 1 is named twice")] {
            let error = route(&plugin, attempt).await.expect_err("no such order");
            assert_eq!(error.kind, ErrorKind::BadVerdict, "{error}");
            assert!(error.message.contains("`on-route`") && error.message.contains(words), "{error}");
            assert!(plugin.on_route(Probe::new(0)).await.fresh);
        }
    });
}

#[test]
fn targets_are_there_within_the_hook_and_as_many_as_it_is_told() {
    block_on(async {
        let plugin = load(&routing(), spec("route")).await.unwrap();
        let error = route(&plugin, 5).await.expect_err("no such target");
        assert_eq!(error.kind, ErrorKind::Trap, "{error}");
        assert!(error.message.contains("`targets.name` was asked for target 7; this call has 2"), "{error}");
        let error = plugin.on_request(Probe::new(5)).await.result.expect_err("no targets there");
        assert_eq!(error.kind, ErrorKind::Trap, "{error}");
        assert!(error.message.contains("`targets.name` was called outside `on-route`"), "{error}");
    });
}

#[test]
fn one_that_misbehaves_costs_one_instance() {
    block_on(async {
        let plugin = load(&routing(), spec("route")).await.unwrap();
        for (attempt, kind) in [(6, ErrorKind::Trap), (7, ErrorKind::Timeout)] {
            assert_eq!(route(&plugin, attempt).await.expect_err("it misbehaved").kind, kind);
            assert!(plugin.on_route(Probe::new(0)).await.fresh);
        }
        assert_eq!(plugin.counters().hooks, [0, 4, 0, 0, 0, 0]);
    });
}

#[test]
fn a_plugin_without_it_is_not_asked() {
    block_on(async {
        let plugin = load(&super::guests::passing(), spec("request-only")).await.unwrap();
        assert!(route(&plugin, 0).await.is_err());
    });
}
