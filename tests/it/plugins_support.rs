//! What the tests of plugins share: built guests, gateways with a chain before the mock provider, and looks at what became of a call.
//!
//! Limits of plugins are set generously wherever a test is not about a limit, so that a busy machine does not look like a slow plugin.

use std::path::PathBuf;

use serde_json::{Value, json};
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::http::Reply;
use sluice_tests::mock::{Exchange, Mock, Script};
use sluice_tests::sse;

use crate::support::{DONE, finish_event, reply, role_event, row, setup, text_event};

/// Limits for plugins that are not to be late, however busy the machine is.
pub(crate) const PATIENT: &str = "limits: { wall: 20s, delta: 20s, start: 20s }";

/// A built component: one of the guests, or a shipped plugin.
pub(crate) fn component(name: &str) -> Vec<u8> {
    let target = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target");
    let found = ["guests", "plugins"].map(|folder| target.join(folder).join(format!("{name}.wasm")));
    let file = found.iter().find(|file| file.is_file());
    let file = file.unwrap_or_else(|| panic!("no {name}.wasm in {}: make guests plugins", target.display()));
    std::fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The configuration of a gateway before `mock`, provider `p`, with receipts in a header and further top-level lines.
pub(crate) fn before(mock: &Mock, more: &str) -> Setup {
    setup(&[row(mock, "p", "")], &format!("server: {{ plugin_header: true }}\n{more}"))
}

/// Adds a plugin with its file of settings.
pub(crate) fn with(setup: Setup, name: &str, guest: &str, yaml: &str) -> Setup {
    setup.plugin(&format!("{name}.wasm"), component(guest)).plugin(&format!("{name}.yaml"), yaml)
}

/// A gateway with these plugins: name, component, settings file. All of them must be live.
pub(crate) fn start(mock: &Mock, plugins: &[(&str, &str, &str)]) -> Gateway {
    let setup = plugins.iter().fold(before(mock, ""), |setup, (name, guest, yaml)| with(setup, name, guest, yaml));
    let gateway = setup.start();
    for (name, ..) in plugins {
        active(&gateway, name);
    }
    gateway
}

/// Checks that the plugin is live, and gives its state.
#[track_caller]
pub(crate) fn active(gateway: &Gateway, name: &str) -> Value {
    let state = gateway.plugin_state(name).unwrap_or_else(|| panic!("no plugin {name} in {}", gateway.plugin_states()));
    assert_eq!(state["state"], "active", "{state}");
    state
}

/// A request with this user text; the reply's text is the mock's.
pub(crate) fn asking(text: &str, stream: bool) -> String {
    json!({"model": "p/m", "stream": stream, "messages": [{"role": "user", "content": text}]}).to_string()
}

pub(crate) fn wants_stream(exchange: &Exchange) -> bool {
    let body: Value = serde_json::from_slice(&exchange.body).unwrap_or_default();
    body["stream"] == true
}

/// A stream that says these pieces.
pub(crate) fn streaming(pieces: &[&str]) -> Script {
    let texts = pieces.iter().map(|piece| text_event(piece));
    Script::sse([role_event()].into_iter().chain(texts).chain([finish_event(), DONE.to_owned()]))
}

/// Provider `p` says these pieces: whole where the call is, else one event each.
pub(crate) fn says(mock: &Mock, pieces: &[&str]) {
    let (whole, streamed) = (Script::json(200, reply(&pieces.concat())), streaming(pieces));
    mock.on("p", move |exchange| if wants_stream(exchange) { streamed.clone() } else { whole.clone() });
}

/// The text that a client reads from a reply, whole or streamed.
pub(crate) fn text_of(reply: &Reply) -> String {
    if !is_stream(reply) {
        return reply.json()["choices"][0]["message"]["content"].as_str().unwrap_or_default().to_owned();
    }
    let events = sse::data(&reply.body);
    let part = |data: &Vec<u8>| -> String {
        let value: Value = serde_json::from_slice(data).unwrap_or_default();
        value["choices"][0]["delta"]["content"].as_str().unwrap_or_default().to_owned()
    };
    events.iter().map(part).collect()
}

pub(crate) fn is_stream(reply: &Reply) -> bool {
    reply.header("content-type").is_some_and(|kind| kind.starts_with("text/event-stream"))
}

pub(crate) fn contains(bytes: &[u8], part: &str) -> bool {
    bytes.windows(part.len()).any(|window| window == part.as_bytes())
}

/// The access log's line of the call that this reply ended.
pub(crate) fn log_line(gateway: &Gateway, reply: &Reply) -> Value {
    let id = reply.header("x-request-id").expect("a request id").to_owned();
    let line = gateway.wait_access(&id);
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("a log line that is no JSON ({error}): {line}"))
}

/// Failures of one kind, as the admin API counts them.
pub(crate) fn errors(state: &Value, kind: &str) -> u64 {
    state["counters"]["errors"][kind].as_u64().unwrap_or_else(|| panic!("no count of {kind} in {state}"))
}
