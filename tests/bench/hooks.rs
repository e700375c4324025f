//! What one hook costs inside the sandbox, warm and in a fresh instance, without HTTP around it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use sluice_sandbox::{CallView, Component, Hook, Kind, Limits, Plugin, Ran, Sandbox, Spec, Window};

use crate::contender::WORDS;
use crate::view::Chat;
use crate::wasm;

const WARM: u32 = 20_000;
const FRESH: u32 = 1_000;

/// Never recycled, or always.
fn limits(fresh: bool) -> Limits {
    let uses = if fresh { 1 } else { u32::MAX / 2 };
    Limits { uses, age: Duration::from_secs(3600), ..Limits::default() }
}

async fn once(plugin: &Plugin, hook: Hook, view: Box<dyn CallView>) -> Box<dyn CallView> {
    fn back<V>(ran: Ran<V>) -> Box<dyn CallView> {
        assert!(ran.result.is_ok(), "a measured hook failed: {:?}", ran.result.err());
        ran.view
    }
    let text = "quay paid them".to_owned();
    match hook {
        Hook::OnRequest => back(plugin.on_request(view).await),
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

pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let sandbox = Sandbox::new(sluice_sandbox::Config::default()).expect("a sandbox");
    println!("| plugin | hook | warm, us | in a fresh instance, configured, us |\n|---|---|---|---|");
    let words = WORDS.trim_matches(['[', ']']).split(", ").map(str::trim).collect::<Vec<_>>();
    let settings = serde_json::json!({ "words": words }).to_string();
    for (name, settings) in [("nop", None), ("delta-nop", None), ("reads-all", None), ("deny-words", Some(settings))] {
        let Some(wasm) = wasm(name) else {
            println!("| {name} | SKIPPED: not built (make plugins guests) | | |");
            continue;
        };
        let component = sandbox.compile(&wasm).expect("a shipped component compiles");
        runtime.block_on(row(&sandbox, &component, name, settings));
    }
    println!();
}
