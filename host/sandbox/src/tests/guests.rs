//! Makes components: of the right shape and empty, or of hand-written core code.

use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{LiftLowerAbi, ManglingAndAbi, PackageId, Resolve};

/// The interface definition itself.
pub(crate) const WIT: &str = include_str!("../../../../wit/plugin.wit");

/// Just enough of WASI to sleep.
const WASI_IO: &str = "package wasi:io@0.2.3; interface poll { resource pollable { block: func(); } }";
const WASI_CLOCKS: &str = "package wasi:clocks@0.2.3; interface monotonic-clock { use wasi:io/poll@0.2.3.{pollable}; \
                           type duration = u64; subscribe-duration: func(when: duration) -> pollable; }";
const WASI_HTTP: &str = "package wasi:http@0.2.3; interface outgoing { send: func(url: string); }";
const FOREIGN: &str = "package acme:tools@1.0.0; interface shell { run: func(line: string); }
                       interface extra { ping: func(); }";

/// The interface under another version.
pub(crate) fn at_version(version: &str) -> String {
    WIT.replace("package sluice:plugin@0.1.0;", &format!("package sluice:plugin@{version};"))
}

/// `packages` besides WASI and a foreign one; `body` is that of the guest's world.
fn resolved(packages: &[&str], body: &str) -> (Resolve, PackageId) {
    let mut resolve = Resolve::default();
    for text in [WASI_IO, WASI_CLOCKS, WASI_HTTP, FOREIGN].iter().chain(packages) {
        resolve.push_str("package.wit", text).unwrap();
    }
    let package = resolve.push_str("guest.wit", &format!("package test:guest; world guest {{ {body} }}")).unwrap();
    (resolve, package)
}

fn encode(packages: &[&str], body: &str, module: impl FnOnce(&Resolve, wit_parser::WorldId) -> Vec<u8>) -> Vec<u8> {
    let (resolve, package) = resolved(packages, body);
    let world = resolve.select_world(&[package], Some("guest")).unwrap();
    let mut module = module(&resolve, world);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8, false).unwrap();
    ComponentEncoder::default().module(&module).unwrap().validate(true).encode().unwrap()
}

/// A component of that world whose every function traps.
pub(crate) fn dummy(packages: &[&str], body: &str) -> Vec<u8> {
    encode(packages, body, |resolve, world| dummy_module(resolve, world, ManglingAndAbi::Legacy(LiftLowerAbi::Sync)))
}

/// A component of core code; `body` names interfaces of `sluice:plugin@0.1.0` or others in full.
pub(crate) fn guest(body: &str, wat: &str) -> Vec<u8> {
    encode(&[WIT], body, |_, _| wat::parse_str(wat).unwrap())
}

/// What nearly every core module needs. Memory below 4096 is its own; from 4096 on `cabi_realloc` gives out and wraps at the end of the
/// first page; 1024 is the start of zeroes, which mean `ok(pass)` and `ok(release(0))`.
pub(crate) const PRELUDE: &str = r#"
  (memory (export "memory") 1)
  (global $heap (mut i32) (i32.const 4096))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
    (local $at i32)
    (local.set $at (i32.and (i32.add (global.get $heap) (i32.const 7)) (i32.const -8)))
    (if (i32.gt_u (i32.add (local.get $at) (local.get 3)) (i32.const 65536))
      (then (local.set $at (i32.const 4096))))
    (global.set $heap (i32.add (local.get $at) (local.get 3)))
    (local.get $at))
"#;

pub(crate) const ON_REQUEST: &str = "sluice:plugin/on-request@0.1.0";

/// Exports `on-request`, which always passes.
pub(crate) fn passing() -> Vec<u8> {
    let wat = format!(r#"(module {PRELUDE} (func (export "{ON_REQUEST}#on-request") (result i32) (i32.const 1024)))"#);
    guest(&format!("export {ON_REQUEST};"), &wat)
}

/// Reads all text of the call and passes.
pub(crate) fn reading() -> Vec<u8> {
    let wat = format!(
        r#"(module
          (import "sluice:plugin/call@0.1.0" "all-text" (func $all_text (param i32)))
          {PRELUDE}
          (func (export "{ON_REQUEST}#on-request") (result i32)
            (call $all_text (i32.const 2048))
            (i32.const 1024)))"#
    );
    guest(&format!("import sluice:plugin/call@0.1.0; export {ON_REQUEST};"), &wat)
}

/// Exports `on-delta`; replaces the window's text by itself, holding 3.
pub(crate) fn echoing() -> Vec<u8> {
    let wat = format!(
        r#"(module {PRELUDE}
          (func (export "sluice:plugin/on-delta@0.1.0#on-delta")
            (param i32 i32 i32 i32 i32 i32) (param $text i32) (param $length i32) (param i32) (result i32)
            (i32.store8 (i32.const 2052) (i32.const 1))
            (i32.store (i32.const 2056) (local.get $text))
            (i32.store (i32.const 2060) (local.get $length))
            (i32.store (i32.const 2064) (i32.const 3))
            (i32.const 2048)))"#
    );
    guest("export sluice:plugin/on-delta@0.1.0;", &wat)
}

/// Exports `lifecycle` and `on-request`; `configure` runs `configuring`, which leaves a pointer to its result.
pub(crate) fn configured(configuring: &str) -> Vec<u8> {
    let wat = format!(
        r#"(module
          (import "sluice:plugin/call@0.1.0" "attempt" (func $attempt (result i32)))
          {PRELUDE}
          (data (i32.const 512) "words: missing")
          (data (i32.const 544) "on-request")
          (data (i32.const 560) "on-delta")
          (func (export "sluice:plugin/lifecycle@0.1.0#configure") (param i32 i32) (result i32) {configuring})
          (func (export "{ON_REQUEST}#on-request") (result i32) (drop (call $attempt)) (i32.const 1024)))"#
    );
    guest(&format!("import sluice:plugin/call@0.1.0; export sluice:plugin/lifecycle@0.1.0; export {ON_REQUEST};"), &wat)
}

/// Exports `about`, returning `manifest`, and `on-request`.
pub(crate) fn described(manifest: &str) -> Vec<u8> {
    let text = manifest.replace('"', "\\22");
    let wat = format!(
        r#"(module {PRELUDE}
          (data (i32.const 8192) "{text}")
          (func (export "sluice:plugin/about@0.1.0#manifest") (result i32)
            (i32.store (i32.const 2048) (i32.const 8192))
            (i32.store (i32.const 2052) (i32.const {length}))
            (i32.const 2048))
          (func (export "{ON_REQUEST}#on-request") (result i32) (i32.const 1024)))"#,
        length = manifest.len()
    );
    guest(&format!("export sluice:plugin/about@0.1.0; export {ON_REQUEST};"), &wat)
}

/// Sleeps a minute through WASI's clock when the attempt is 10.
pub(crate) fn sleeping() -> Vec<u8> {
    let wat = format!(
        r#"(module
          (import "sluice:plugin/call@0.1.0" "attempt" (func $attempt (result i32)))
          (import "wasi:clocks/monotonic-clock@0.2.3" "subscribe-duration" (func $after (param i64) (result i32)))
          (import "wasi:io/poll@0.2.3" "[method]pollable.block" (func $block (param i32)))
          {PRELUDE}
          (func (export "{ON_REQUEST}#on-request") (result i32)
            (if (i32.eq (call $attempt) (i32.const 10))
              (then (call $block (call $after (i64.const 60000000000)))))
            (i32.const 1024)))"#
    );
    guest(
        &format!(
            "import sluice:plugin/call@0.1.0; import wasi:clocks/monotonic-clock@0.2.3; import wasi:io/poll@0.2.3; export {ON_REQUEST};"
        ),
        &wat,
    )
}

/// What a [`rogue`] does, by the call's attempt number; any other number passes.
pub(crate) mod deed {
    pub(crate) const TRAP: u32 = 10;
    pub(crate) const SPIN: u32 = 11;
    pub(crate) const RECURSE: u32 = 12;
    pub(crate) const GRAB: u32 = 13;
    pub(crate) const HUGE: u32 = 14;
    pub(crate) const BAD_TEXT: u32 = 15;
    pub(crate) const BAD_CASE: u32 = 16;
    pub(crate) const FAULT: u32 = 17;
    pub(crate) const BAD_STATUS: u32 = 18;
    pub(crate) const DENY: u32 = 19;
    pub(crate) const PANIC: u32 = 20;
    pub(crate) const REPLY: u32 = 21;
    pub(crate) const RANDOM: u32 = 22;
    pub(crate) const UNALIGNED: u32 = 23;
    pub(crate) const FLOOD: u32 = 24;
    pub(crate) const TABLE: u32 = 25;
    pub(crate) const COUNT: u32 = 26;
    pub(crate) const GROW_A_LOT: u32 = 27;
    pub(crate) const BAD_HEADER: u32 = 28;
    pub(crate) const OUT_OF_BOUNDS: u32 = 29;
}

/// Does what the attempt number says.
pub(crate) fn rogue() -> Vec<u8> {
    guest(
        &format!(
            "import sluice:plugin/call@0.1.0; import sluice:plugin/reply@0.1.0; import sluice:plugin/host@0.1.0; export {ON_REQUEST};"
        ),
        &format!(r#"(module {ROGUE_IMPORTS} {PRELUDE} {ROGUE_HELPERS} {ROGUE_HOOK})"#),
    )
}

const ROGUE_IMPORTS: &str = r#"
  (import "sluice:plugin/call@0.1.0" "attempt" (func $attempt (result i32)))
  (import "sluice:plugin/reply@0.1.0" "total-ms" (func $total_ms (result i32)))
  (import "sluice:plugin/host@0.1.0" "log" (func $log (param i32 i32 i32)))
  (import "sluice:plugin/host@0.1.0" "random" (func $random (param i32 i32)))
  (import "sluice:plugin/host@0.1.0" "count" (func $count (param i32 i32 i64)))
"#;

/// `$answer` and `$denial` write a result at 2048 and leave its address.
const ROGUE_HELPERS: &str = r#"
  (table $table 1 funcref)
  (data (i32.const 512) "word 7 was not a string")
  (data (i32.const 544) "\ff\fe\fd")
  (data (i32.const 560) "blocked")
  (data (i32.const 576) "say\0d\0a it otherwise")
  (data (i32.const 608) "Retry-After")
  (data (i32.const 624) "7")
  (data (i32.const 640) "set-cookie")
  (data (i32.const 672) "\60\02\00\00\0b\00\00\00\70\02\00\00\01\00\00\00")
  (data (i32.const 704) "\80\02\00\00\0a\00\00\00\70\02\00\00\01\00\00\00")
  (data (i32.const 736) "name AA")
  (func $recurse (param i32) (result i32)
    (i32.add (i32.const 1) (call $recurse (i32.add (local.get 0) (i32.const 1)))))
  (func $answer (param $case i32) (param $at i32) (param $length i32) (result i32)
    (i32.store (i32.const 2048) (i32.const 0))
    (i32.store (i32.const 2052) (local.get $case))
    (i32.store (i32.const 2056) (local.get $at))
    (i32.store (i32.const 2060) (local.get $length))
    (i32.const 2048))
  (func $denial (param $status i32) (param $headers i32) (result i32)
    (i32.store (i32.const 2048) (i32.const 0))
    (i32.store (i32.const 2052) (i32.const 1))
    (i32.store (i32.const 2056) (local.get $status))
    (i32.store (i32.const 2060) (i32.const 560))
    (i32.store (i32.const 2064) (i32.const 7))
    (i32.store (i32.const 2068) (i32.const 576))
    (i32.store (i32.const 2072) (i32.const 18))
    (i32.store (i32.const 2076) (local.get $headers))
    (i32.store (i32.const 2080) (i32.const 1))
    (i32.const 2048))
  (func $times (param $what i32) (param $n i32)
    (loop $again
      (if (local.get $n) (then
        (local.set $n (i32.sub (local.get $n) (i32.const 1)))
        (if (local.get $what)
          (then
            (i32.store8 (i32.const 741) (i32.add (i32.const 65) (i32.rem_u (local.get $n) (i32.const 40))))
            (call $count (i32.const 736) (i32.const 7) (i64.const 1)))
          (else (call $log (i32.const 2) (i32.const 512) (i32.const 23))))
        (br $again)))))
"#;

const ROGUE_HOOK: &str = r#"
  (func (export "sluice:plugin/on-request@0.1.0#on-request") (result i32)
    (local $deed i32)
    (local.set $deed (call $attempt))
    (if (i32.eq (local.get $deed) (i32.const 10)) (then unreachable))
    (if (i32.eq (local.get $deed) (i32.const 11)) (then (loop $forever (br $forever))))
    (if (i32.eq (local.get $deed) (i32.const 12)) (then (drop (call $recurse (i32.const 0)))))
    (if (i32.eq (local.get $deed) (i32.const 13))
      (then (loop $more (drop (memory.grow (i32.const 64))) (br $more))))
    (if (i32.eq (local.get $deed) (i32.const 14)) (then
      (drop (memory.grow (i32.const 400)))
      (return (call $answer (i32.const 2) (i32.const 8192) (i32.const 20000000)))))
    (if (i32.eq (local.get $deed) (i32.const 15))
      (then (return (call $answer (i32.const 2) (i32.const 544) (i32.const 3)))))
    (if (i32.eq (local.get $deed) (i32.const 16))
      (then (return (call $answer (i32.const 9) (i32.const 512) (i32.const 3)))))
    (if (i32.eq (local.get $deed) (i32.const 17)) (then
      (drop (call $answer (i32.const 4) (i32.const 512) (i32.const 23)))
      (i32.store (i32.const 2048) (i32.const 1))
      (return (i32.const 2048))))
    (if (i32.eq (local.get $deed) (i32.const 18))
      (then (return (call $denial (i32.const 200) (i32.const 672)))))
    (if (i32.eq (local.get $deed) (i32.const 19))
      (then (return (call $denial (i32.const 403) (i32.const 672)))))
    (if (i32.eq (local.get $deed) (i32.const 20))
      (then (call $log (i32.const 4) (i32.const 512) (i32.const 23)) unreachable))
    (if (i32.eq (local.get $deed) (i32.const 21)) (then (drop (call $total_ms))))
    (if (i32.eq (local.get $deed) (i32.const 22)) (then (call $random (i32.const 5000) (i32.const 2048))))
    (if (i32.eq (local.get $deed) (i32.const 23)) (then (return (i32.const 1025))))
    (if (i32.eq (local.get $deed) (i32.const 24)) (then (call $times (i32.const 0) (i32.const 200))))
    (if (i32.eq (local.get $deed) (i32.const 25))
      (then (drop (table.grow $table (ref.null func) (i32.const 1000000)))))
    (if (i32.eq (local.get $deed) (i32.const 26)) (then (call $times (i32.const 1) (i32.const 100))))
    (if (i32.eq (local.get $deed) (i32.const 27)) (then (drop (memory.grow (i32.const 200)))))
    (if (i32.eq (local.get $deed) (i32.const 28))
      (then (return (call $denial (i32.const 403) (i32.const 704)))))
    (if (i32.eq (local.get $deed) (i32.const 29))
      (then (return (call $answer (i32.const 2) (i32.const 60000) (i32.const 2000000000)))))
    (i32.const 1024))
"#;
