//! `sluice explain` and `POST /api/explain`: the decision about a call, by name, with nothing sent.

use serde_json::{Value, json};
use sluice_tests::gateway::{Gateway, Setup, command};
use sluice_tests::mock::Mock;

use crate::plugins_support::component;
use crate::support::{PROVIDER_KEY, refused, row, setup};

const CLIENT_KEY: &str = "sk-client-51d07fa2c9e84b36";

fn ask(gateway: &Gateway, question: &Value) -> Value {
    let reply = gateway.post("/api/explain", question.to_string());
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert!(!reply.text().contains(PROVIDER_KEY) && !reply.text().contains(CLIENT_KEY), "{}", reply.text());
    reply.json()
}

/// The command's exit code, output and complaint.
fn run(gateway: &Gateway, args: &[&str]) -> (Option<i32>, String, String) {
    let mut command = command(gateway.folder(), &[]);
    let output = command.arg("explain").args(args).arg("--url").arg(gateway.url("")).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

fn two(mock: &Mock, more: &str) -> Setup {
    setup(&[row(mock, "one", "models: [m]"), row(mock, "two", "")], more)
}

#[test]
fn a_plain_call_is_explained_and_not_made() {
    let mock = Mock::start();
    let gateway = two(&mock, "").plugin("nop.wasm", component("nop")).start();
    gateway.wait_plugin("nop", |state| state["state"] == "active");
    let answer = ask(&gateway, &json!({ "model": "one/m" }));
    assert_eq!((&answer["sent"], &answer["refusal"]), (&json!(true), &Value::Null), "{answer}");
    let target = &answer["targets"][0];
    assert_eq!(
        (&target["target"], &target["standing"], &target["tier"]),
        (&json!("one/m"), &json!("ready"), &json!(0))
    );
    assert_eq!(answer["targets"].as_array().map(Vec::len), Some(1), "{answer}");
    assert_eq!((&answer["providers"][0]["name"], &answer["route"]), (&json!("one"), &Value::Null), "{answer}");
    assert_eq!(answer["providers"][0]["keys"][0]["state"], "ready", "{answer}");
    assert_eq!(
        (&answer["plugins"][0]["name"], &answer["plugins"][0]["hooks"][0]),
        (&json!("nop"), &json!("on-request"))
    );
    assert_eq!(answer["policy"]["attempts"], 3, "{answer}");
    let (code, out, err) = run(&gateway, &["--model", "one/m"]);
    assert_eq!((code, err.as_str()), (Some(0), ""), "{out}");
    for part in ["The call would be sent.", "one/m", "ready", "nop (on-request", "at most 3 attempts"] {
        assert!(out.contains(part), "no {part} in\n{out}");
    }
    assert_eq!(mock.journal().count("one") + mock.journal().count("two"), 0, "a provider was asked");
    assert_eq!(gateway.get("/api/calls").json()["newest"], 0, "a call was counted");
}

#[test]
fn fallbacks_and_the_body_count() {
    let mock = Mock::start();
    let gateway = two(&mock, "").start();
    let body = json!({ "model": "one/m", "stream": true, "fallbacks": ["two/x"], "messages": [] });
    let answer = ask(&gateway, &json!({ "body": body }));
    let targets: Vec<_> =
        answer["targets"].as_array().unwrap().iter().map(|one| (&one["target"], &one["tier"])).collect();
    assert_eq!(targets, [(&json!("one/m"), &json!(0)), (&json!("two/x"), &json!(1))], "{answer}");
    assert_eq!((&answer["stream"], &answer["model"]), (&json!(true), &json!("one/m")));
    std::fs::write(gateway.folder().join("body.json"), body.to_string()).unwrap();
    let (code, out, err) = run(&gateway, &["--body", "body.json", "--json"]);
    assert_eq!(code, Some(0), "{err}");
    let same: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(same["targets"].as_array().map(Vec::len), Some(2), "{out}");
}

#[test]
fn a_route_is_explained_by_tiers_rules_and_what_was_left_out() {
    let mock = Mock::start();
    let routes = "routes:\n  smart:\n    tiers:\n      - { one/m: 80, two/x: 20 }\n      - [two/y]\n    rules:\n      \
         - { when: { header: { x-tenant: eu } }, use: [two/eu] }\ncatalog:\n  two/x: { tools: false }\n";
    let gateway = two(&mock, routes).start();
    let answer = ask(&gateway, &json!({ "model": "smart" }));
    let said: Vec<_> = answer["targets"].as_array().unwrap().iter().map(|one| (&one["target"], &one["tier"])).collect();
    let expected = [("one/m", 0), ("two/x", 0), ("two/y", 1)].map(|(name, tier)| (json!(name), json!(tier)));
    assert_eq!(said, expected.iter().map(|(name, tier)| (name, tier)).collect::<Vec<_>>(), "{answer}");
    assert_eq!((&answer["route"], &answer["rule"]), (&json!("smart"), &Value::Null), "{answer}");
    assert_eq!(answer["targets"][0]["kept_under"], "one/m", "{answer}");
    let ruled = ask(&gateway, &json!({ "model": "smart", "headers": { "x-tenant": "eu" } }));
    assert_eq!((&ruled["rule"], &ruled["targets"][0]["target"]), (&json!(0), &json!("two/eu")), "{ruled}");
    let (code, out, err) = run(&gateway, &["--model", "smart", "--header", "x-tenant: eu"]);
    assert_eq!(code, Some(0), "{err}");
    assert!(out.contains("smart, rule 1; weighted") && out.contains("two/eu"), "{out}");
    let tools = json!({ "tools": [{ "type": "function", "function": { "name": "f" } }], "messages": [] });
    let left = ask(&gateway, &json!({ "model": "smart", "body": tools }));
    assert_eq!((&left["needs"]["tools"], &left["skipped"][0]["target"]), (&json!(true), &json!("two/x")), "{left}");
    assert_eq!(left["targets"].as_array().map(Vec::len), Some(2), "{left}");
    gateway.post("/api/drain", r#"{"target":"one/m","for":"1m"}"#);
    let drained = ask(&gateway, &json!({ "model": "smart" }));
    let standing = &drained["targets"][0]["standing"];
    assert_eq!((&drained["sent"], standing), (&json!(true), &json!("drained")), "{drained}");
}

#[test]
fn refusals_are_told_with_what_to_do() {
    let mock = Mock::start();
    let keys = format!("keys:\n  - {{ name: app, value: {CLIENT_KEY}, models: [one/m] }}\n");
    let gateway = two(&mock, &keys).start();
    let answer = ask(&gateway, &json!({ "key": "app", "model": "two/x" }));
    assert_eq!((&answer["sent"], &answer["refusal"]["status"]), (&json!(false), &json!(403)), "{answer}");
    assert_eq!(answer["refusal"]["code"], "model_not_allowed", "{answer}");
    assert!(answer["refusal"]["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{answer}");
    let (code, out, _) = run(&gateway, &["--key", "app", "--model", "two/x"]);
    assert_eq!(code, Some(3), "{out}");
    assert!(out.contains("refused with 403 model_not_allowed") && out.contains("advice"), "{out}");
    let allowed = ask(&gateway, &json!({ "key": "app", "model": "one/m" }));
    assert_eq!((&allowed["sent"], &allowed["caller"]["key"]), (&json!(true), &json!("app")), "{allowed}");
    let nobody = ask(&gateway, &json!({ "model": "one/m" }));
    assert_eq!((&nobody["sent"], &nobody["refusal"]["status"]), (&json!(false), &json!(401)), "{nobody}");
    let nowhere = ask(&gateway, &json!({ "key": "app", "model": "one/m", "prefix": "groq" }));
    assert_eq!(
        (&nowhere["sent"], &nowhere["refusal"]["code"]),
        (&json!(false), &json!("model_not_found")),
        "{nowhere}"
    );
    let (code, _, err) = run(&gateway, &["--key", "no-such", "--model", "one/m"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("no key of the name `no-such`"), "{err}");
}

#[test]
fn questions_that_are_none_are_refused() {
    let gateway = two(&Mock::start(), "").start();
    for wrong in [
        json!([]),
        json!({ "modle": "one/m" }),
        json!({ "model": "one/m", "dialect": "klingon" }),
        json!({ "model": "one/m", "operation": "fly" }),
        json!({ "model": "one/m", "prefix": "no-such-provider" }),
        json!({ "model": "one/m", "headers": { "a b": "c" } }),
    ] {
        let error = refused(&gateway.post("/api/explain", wrong.to_string()), 400);
        assert_eq!(error["code"], "invalid_question", "{wrong}");
    }
    refused(&gateway.post("/api/explain", "{"), 400);
    let (code, _, err) = run(&gateway, &["--model", "x", "--header", "nothing"]);
    assert_eq!(code, Some(2));
    assert!(err.contains("NAME: VALUE"), "{err}");
}
