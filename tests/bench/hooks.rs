//! What one hook costs inside the sandbox, warm and in a fresh instance, without HTTP around it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_sandbox::{CallView, Component, Hook, Kind, Limits, Plugin, Ran, Sandbox, Spec, Window};

use crate::contender::WORDS;
use crate::view::Chat;
use crate::wasm;

const WARM: u32 = 20_000;
const FRESH: u32 = 1_000;

/// Recycled never, or always; with more time than a hook has, so that a busy machine shows as a figure and not as a failure.
fn limits(fresh: bool) -> Limits {
    let uses = if fresh { 1 } else { u32::MAX / 2 };
    let long = Duration::from_secs(10);
    Limits { uses, age: Duration::from_secs(3600), wall: long, delta_wall: long, ..Limits::default() }
}

async fn once(plugin: &Plugin, hook: Hook, view: Box<dyn CallView>) -> Box<dyn CallView> {
    fn back<V>(ran: Ran<V>) -> Box<dyn CallView> {
        assert!(ran.result.is_ok(), "a measured hook failed: {:?}", ran.result.err());
        ran.view
    }
    let text = "quay paid them".to_owned();
    match hook {
        Hook::OnRequest => back(plugin.on_request(view).await),
        Hook::OnRoute => back(plugin.on_route(view).await),
        Hook::OnResponse => back(plugin.on_response(view).await),
        Hook::OnDelta => {
            let window = Window { choice: 0, part: 0, kind: Kind::Text, name: None, text, last: false };
            back(plugin.on_delta(view, window).await)
        }
        Hook::OnFinish => back(plugin.on_finish(view).await),
        Hook::OnComplete => {
            let completed = plugin.on_complete(vec![r#"{"id":"load","outcome":"ok"}"#.to_owned()]).await;
            assert!(completed.result.is_ok(), "a measured hook failed: {:?}", completed.result.err());
            view
        }
    }
}

/// Microseconds a hook.
async fn cost(plugin: &Plugin, hook: Hook, times: u32) -> f64 {
    let mut view: Box<dyn CallView> = Box::new(Chat::new(matches!(hook, Hook::OnResponse | Hook::OnFinish)));
    for _ in 0..times / 10 {
        view = once(plugin, hook, view).await;
    }
    let started = Instant::now();
    for _ in 0..times {
        view = once(plugin, hook, view).await;
    }
    started.elapsed().as_secs_f64() * 1e6 / f64::from(times)
}

async fn row(sandbox: &Sandbox, component: &Arc<Component>, name: &str, settings: Option<String>) {
    let spec =
        |fresh| Spec { name: name.to_owned(), settings: settings.clone(), limits: limits(fresh), ..Spec::default() };
    let warm = sandbox.load(Arc::clone(component), spec(false)).await.expect("a shipped component loads");
    let fresh = sandbox.load(Arc::clone(component), spec(true)).await.expect("a shipped component loads");
    for hook in Hook::ALL.iter().copied().filter(|hook| warm.hooks().contains(*hook)) {
        let (warm, fresh) = (cost(&warm, hook, WARM).await, cost(&fresh, hook, FRESH).await);
        println!("| {name} | {} | {warm:.2} | {fresh:.1} |", hook.as_str());
    }
}

/// Compiling a file, and taking the same code back as it was kept: the best of a few, in milliseconds.
fn loading(sandbox: &Sandbox, name: &str, wasm: &[u8]) -> Arc<Component> {
    let best = |mut work: Box<dyn FnMut() -> Arc<Component> + '_>| {
        let timed = (0..5).map(|_| {
            let started = Instant::now();
            let component = work();
            (started.elapsed(), component)
        });
        timed.min_by_key(|(took, _)| *took).expect("five tries")
    };
    let (compile, component) = best(Box::new(|| sandbox.compile(wasm).expect("a shipped component compiles")));
    let native = component.native().expect("compiled code");
    let back = || {
        // SAFETY: what `native` returned a moment ago.
        unsafe { sandbox.compile_from(wasm, &native) }.expect("kept code comes back")
    };
    let (revive, _) = best(Box::new(back));
    let ms = |took: Duration| took.as_secs_f64() * 1e3;
    println!("| {name} | {} | {:.1} | {} | {:.2} |", wasm.len(), ms(compile), native.len(), ms(revive));
    component
}

pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let sandbox = Sandbox::new(sluice_sandbox::Config::default()).expect("a sandbox");
    let words = WORDS.trim_matches(['[', ']']).split(", ").map(str::trim).collect::<Vec<_>>();
    let settings = serde_json::json!({ "words": words }).to_string();
    let plugins =
        [("nop", None), ("delta-nop", None), ("reads-all", None), ("deny-words", Some(settings)), ("finisher", None)];
    println!("| component | bytes | compile, ms | compiled code, bytes | from kept code, ms |\n|---|---|---|---|---|");
    let mut loaded = Vec::new();
    for (name, settings) in plugins {
        match wasm(name) {
            Some(wasm) => loaded.push((name, settings, loading(&sandbox, name, &wasm))),
            None => println!("| {name} | SKIPPED: not built (make plugins guests) | | | |"),
        }
    }
    println!("\n| plugin | hook | warm, us | in a fresh instance, configured, us |\n|---|---|---|---|");
    for (name, settings, component) in loaded {
        runtime.block_on(row(&sandbox, &component, name, settings));
    }
    println!();
}
