//! How targets and keys stand, as operators see them: the document, `sluice status`, metrics, headers, and draining.

use serde_json::{Value, json};
use sluice_tests::gateway::{Gateway, command};
use sluice_tests::mock::{Mock, Script};
use sluice_tests::wait_for;

use crate::support::{CHAT, PROVIDER_KEY, body, refused, reply, row, setup};

const TOKEN: &str = "admin-9e2d61b7f0c4583a";

fn targets(gateway: &Gateway) -> Value {
    let reply = gateway.get("/api/targets");
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(!reply.text().contains(PROVIDER_KEY), "{}", reply.text());
    reply.json()
}

fn target(gateway: &Gateway, name: &str) -> Value {
    let all = targets(gateway);
    let found = all["targets"].as_array().unwrap().iter().find(|target| target["target"] == name);
    found.cloned().unwrap_or_else(|| panic!("no {name} in {all}"))
}

/// The command's exit code, output and complaint.
fn run(gateway: &Gateway, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = command(gateway.folder(), &[]);
    let output = command.args(args).arg("--url").arg(gateway.url("")).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn metric(gateway: &Gateway, series: &str) -> Option<f64> {
    let text = gateway.get("/metrics").text();
    text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
}

#[test]
fn a_drain_is_shown_everywhere_and_ends() {
    let mock = Mock::start();
    mock.script("one", Script::json(200, reply("hi")));
    let gateway = setup(&[row(&mock, "one", "models: [m]")], "").start();
    assert_eq!(target(&gateway, "one/m")["standing"], "ready");
    let (code, out, err) = run(&gateway, &["drain", "one/m", "--for", "30m"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.starts_with("one/m: no calls for 30 min"), "{out}");
    let drained = target(&gateway, "one/m");
    assert_eq!(drained["standing"], "drained", "{drained}");
    assert!(drained["seconds_left"].as_f64().is_some_and(|left| left > 1_700.0 && left <= 1_800.0), "{drained}");
    let (code, out, _) = run(&gateway, &["status"]);
    assert_eq!(code, Some(3), "{out}");
    assert!(out.contains("target one/m is drained by an operator for 30 min"), "{out}");
    assert_eq!(metric(&gateway, "sluice_target_up{target=\"one/m\"}"), Some(0.0));
    assert_eq!(metric(&gateway, "sluice_target_up{target=\"one/*\"}"), Some(1.0));
    let (code, out, _) = run(&gateway, &["explain", "--model", "one/m"]);
    assert_eq!(code, Some(3), "{out}");
    assert!(out.contains("target_drained") && out.contains("drained for 30 min"), "{out}");
    wait_for("the drain in the log", || gateway.process.err.find("drained by an operator for 30m"));
    let error = refused(&gateway.post(CHAT, body("one/m", false)), 503);
    assert_eq!(error["code"], "target_drained", "{error}");
    assert_eq!(mock.journal().count("one"), 0, "a call went to a drained target");
    assert_eq!(gateway.post(CHAT, body("one/other", false)).status, 200, "another target of the provider");
    let (code, out, _) = run(&gateway, &["drain", "one/m", "--undo"]);
    assert_eq!((code, out.as_str()), (Some(0), "one/m: takes calls again, ready\n"));
    assert_eq!(gateway.post(CHAT, body("one/m", false)).status, 200);
    assert_eq!(run(&gateway, &["status"]).0, Some(0));
    assert_eq!(metric(&gateway, "sluice_target_up{target=\"one/m\"}"), Some(1.0));
    // A provider's name means all of its targets; the time ends by itself.
    let (_, out, _) = run(&gateway, &["drain", "one", "--for", "1s"]);
    assert_eq!(out.lines().count(), 2, "{out}");
    wait_for("the end of the drain", || (target(&gateway, "one/*")["standing"] == "ready").then_some(()));
}

#[test]
fn only_an_operator_drains() {
    let mock = Mock::start();
    let rows = [row(&mock, "one", "models: [m]")];
    let guarded = setup(&rows, &format!("server: {{ admin_token: {TOKEN} }}\n")).start();
    let bearer = format!("Bearer {TOKEN}");
    let json_type = ("content-type", "application/json");
    let question = json!({ "target": "one/m", "for": "1m" }).to_string();
    let drain =
        |gateway: &Gateway, headers: &[(&str, &str)]| gateway.call("POST", "/api/drain", headers, question.as_bytes());
    refused(&drain(&guarded, &[json_type]), 401);
    refused(&drain(&guarded, &[json_type, ("authorization", "Bearer wrong")]), 401);
    let known = ("authorization", bearer.as_str());
    refused(&drain(&guarded, &[json_type, known, ("origin", "https://evil.example")]), 403);
    refused(&drain(&guarded, &[("content-type", "text/plain"), known]), 415);
    refused(&guarded.call("GET", "/api/drain", &[known], b""), 405);
    refused(&guarded.call("GET", "/api/targets", &[], b""), 401);
    let named = [json_type, known, ("host", "sluice.corp"), ("origin", "https://sluice.corp")];
    assert_eq!(drain(&guarded, &named).status, 200, "the page under its own name");
    let open = setup(&rows, "").start();
    refused(&drain(&open, &[json_type, ("host", "evil.example")]), 403);
    refused(&drain(&open, &[json_type, ("origin", "https://evil.example")]), 403);
    refused(&drain(&open, &[("content-type", "text/plain")]), 415);
    assert_eq!(target(&open, "one/m")["standing"], "ready", "nothing was changed");
    for (wrong, status) in [
        (json!({ "target": "two/m", "for": "1m" }), 404),
        (json!({ "target": "one/m" }), 400),
        (json!({ "target": "one/m", "for": "1m", "undo": true }), 400),
        (json!({ "target": "one/m", "for": "soon" }), 400),
        (json!({ "target": "one/m", "for": "25h" }), 400),
        (json!({ "target": "one/m", "fro": "1m" }), 400),
    ] {
        refused(&open.post("/api/drain", wrong.to_string()), status);
    }
    let (code, _, err) = run(&open, &["drain", "two/m"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("no target `two/m`") && err.contains("one/m"), "{err}");
}

#[test]
fn attempts_are_counted_named_and_shown_where_wanted() {
    let mock = Mock::start();
    let shown = "server: { attempts_header: true }\n";
    let gateway = setup(&[row(&mock, "one", "models: [m]")], shown).start();
    mock.script("one", Script::json(200, reply("hi")));
    let good = gateway.post(CHAT, body("one/m", false));
    let told = good.header("x-sluice-attempts").unwrap_or_default().to_owned();
    assert!(told.starts_with("one/m key=") && told.contains(" ok ") && told.ends_with("ms"), "{told}");
    mock.script("one", Script::json(400, r#"{"error":{"message":"No such thing.","type":"invalid_request_error"}}"#));
    let bad = gateway.post(CHAT, body("one/m", false));
    assert_eq!(bad.status, 400);
    let told = bad.header("x-sluice-attempts").unwrap_or_default().to_owned();
    assert!(told.contains(" refused ") && !told.contains(PROVIDER_KEY), "{told}");
    let calls = gateway.get("/api/calls").json();
    let attempt = &calls["calls"][1]["targets"][0];
    assert_eq!((&attempt["target"], &attempt["class"]), (&json!("one/m"), &json!("refused")), "{attempt}");
    assert!(attempt["reason"].as_str().is_some_and(|reason| reason.contains("No such thing")), "{attempt}");
    for (class, count) in [("ok", 1.0), ("refused", 1.0), ("timeout", 0.0)] {
        let series = format!("sluice_attempts_total{{class=\"{class}\",target=\"one/m\"}}");
        assert_eq!(metric(&gateway, &series), Some(count), "{series}");
    }
    let quiet = setup(&[row(&mock, "one", "")], "").start();
    assert_eq!(quiet.post(CHAT, body("one/m", false)).header("x-sluice-attempts"), None);
}

#[test]
fn a_key_that_is_out_is_named_with_its_reason() {
    let mock = Mock::start();
    mock.script(
        "one",
        Script::json(401, r#"{"error":{"message":"Incorrect API key provided.","code":"invalid_api_key"}}"#),
    );
    let gateway = setup(&[row(&mock, "one", "models: [m]")], "").start();
    gateway.post(CHAT, body("one/m", false));
    let key = wait_for("the key to be out", || {
        let key = targets(&gateway)["providers"][0]["keys"][0].clone();
        (key["state"] == "out").then_some(key)
    });
    assert!(key["why"].as_str().is_some_and(|why| !why.is_empty()), "{key}");
    let name = key["name"].as_str().unwrap();
    let (code, out, _) = run(&gateway, &["status"]);
    assert_eq!(code, Some(3), "{out}");
    assert!(out.contains(&format!("key {name} of one is out:")), "{out}");
    assert_eq!(metric(&gateway, &format!("sluice_provider_key_up{{key=\"{name}\",provider=\"one\"}}")), Some(0.0));
    let (code, out, _) = run(&gateway, &["explain", "--model", "one/m"]);
    assert!(out.contains(" out for "), "{code:?} {out}");
    assert!(!out.contains(PROVIDER_KEY), "{out}");
}
