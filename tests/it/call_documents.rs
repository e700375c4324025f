//! The call document: every line of the access log keeps to the published schema, says who asked whom, and counts as the gateway's own time
//! neither the provider's nor the client's; `server-timing` tells the client the same.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sluice_tests::gateway::{Gateway, Setup};
use sluice_tests::http::{Reply, request};
use sluice_tests::mock::{Mock, Script};
use sluice_tests::{skip, wait_for};

use crate::plugins_support::{PATIENT, active, asking, says, streaming, with};
use crate::python_client::{python, root};
use crate::support::{CHAT, DONE, PROVIDER_KEY, finish_event, reply, role_event, row, setup, text_event};

const KEY: &str = "sk-client-0123456789abcdef0123456789";
const SLOW: Duration = Duration::from_millis(700);

/// Two providers and one key with everything that a key can say of its owner.
fn owned(mock: &Mock) -> Setup {
    let key = "keys:\n  - { name: search-prod, team: search, user: ann, labels: { region: eu }, value: env:CLIENT_KEY }\n\
               server: { clients: keys }\n";
    setup(&[row(mock, "p", ""), row(mock, "openai", "")], key).env("CLIENT_KEY", KEY)
}

fn call(gateway: &Gateway, id: &str, path: &str, body: &str) -> Reply {
    let bearer = format!("Bearer {KEY}");
    let headers = [("content-type", "application/json"), ("x-request-id", id), ("authorization", &bearer)];
    gateway.call("POST", path, &headers, body.as_bytes())
}

fn line(gateway: &Gateway, id: &str) -> Value {
    let line = gateway.wait_access(&format!("\"id\":\"{id}\""));
    serde_json::from_str(&line).unwrap_or_else(|error| panic!("no JSON ({error}): {line}"))
}

/// A Python that has `jsonschema`: the tests' own, else the machine's.
fn validator() -> Option<PathBuf> {
    let has = |python: &PathBuf| {
        Command::new(python).args(["-c", "import jsonschema"]).output().is_ok_and(|output| output.status.success())
    };
    python().into_iter().chain([PathBuf::from("python3")]).find(has)
}

const VALIDATE: &str = r#"
import json, sys
from jsonschema import Draft202012Validator
schema = json.load(open(sys.argv[1]))
Draft202012Validator.check_schema(schema)
# Fields may be added, but not by accident: here every one must be known.
def close(node):
    if isinstance(node, dict):
        if "properties" in node:
            node.setdefault("additionalProperties", False)
        for value in node.values():
            close(value)
close(schema)
validator = Draft202012Validator(schema)
count, bad = 0, 0
for line in open(sys.argv[2]):
    count += 1
    for error in validator.iter_errors(json.loads(line)):
        bad += 1
        print(error.json_path, error.message, line)
print("documents", count, "errors", bad)
"#;

#[test]
fn every_line_keeps_to_the_schema() {
    let Some(python) = validator() else { skip!("no Python with jsonschema: make venv") };
    let mock = Mock::start();
    let yaml = |order: u32, more: &str| format!("order: {order}\n{more}\n{PATIENT}\n");
    let mut setup = with(owned(&mock), "finisher", "finisher", &yaml(1, ""));
    setup = with(setup, "mask", "delta-guard", &yaml(2, "settings: { words: [secret] }"));
    setup = with(setup, "deny-words", "deny-words", &yaml(3, "settings: { words: [forbidden] }"));
    let mut gateway = setup.start();
    active(&gateway, "mask");
    says(&mock, &["a sec", "ret"]);
    for stream in [false, true] {
        assert_eq!(call(&gateway, "x", CHAT, &asking("well", stream)).status, 200);
        assert_eq!(call(&gateway, "x", CHAT, &asking("forbidden", stream)).status, 400);
    }
    mock.script("p", Script::json(429, r#"{"error":{"message":"slow down"}}"#));
    assert_eq!(call(&gateway, "x", CHAT, &asking("well", false)).status, 429);
    mock.script("p", Script::new().close());
    assert_eq!(call(&gateway, "x", CHAT, &asking("well", false)).status, 502);
    mock.script("p", Script::sse_head().chunk(text_event("half")).close());
    assert_eq!(call(&gateway, "x", CHAT, &asking("well", true)).status, 200);
    mock.script("openai", Script::json(200, reply("hello")));
    let bare = json!({"messages": [{"role": "user", "content": "hi"}], "model": "m\u{7}\"\\\u{2028}"}).to_string();
    assert_eq!(call(&gateway, "x", "/openai/v1/chat/completions", &bare).status, 200);
    assert_eq!(call(&gateway, "x", CHAT, &bare.replace("m\\u0007", "unknown")).status, 404);
    assert_eq!(call(&gateway, "x", CHAT, "no json").status, 400);
    // Turned away before the body was read.
    assert_eq!(gateway.post(CHAT, asking("well", false)).status, 401);
    // No calls at all, and no secret of theirs in the log either.
    assert_eq!(gateway.get("/no/such/path").status, 404);
    assert_eq!(gateway.get(CHAT).status, 405);
    let lines = wait_for("all lines", || Some(gateway.process.out.all()).filter(|lines| lines.len() >= 13));
    let strays: Vec<&String> = lines.iter().filter(|line| line.contains("\"operation\":\"none\"")).collect();
    assert_eq!(strays.len(), 2, "{strays:?}");
    gateway.process.signal(15);
    gateway.process.wait();
    let file = gateway.folder().join("documents");
    std::fs::write(&file, lines.join("\n")).unwrap();
    let schema = root().join("wit/finished-call.schema.json");
    let output = Command::new(python).args(["-c", VALIDATE]).arg(schema).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("documents 13 errors 0"), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    assert!(!lines.iter().any(|line| line.contains(PROVIDER_KEY) || line.contains(KEY)), "a secret is in the log");
    for text in ["a sec", "forbidden", "hello", "\"hi\""] {
        assert!(!lines.iter().any(|line| line.contains(text)), "a text of a call is in the log: {text}");
    }
}

#[test]
fn a_line_says_who_asked_whom() {
    let mock = Mock::start();
    let gateway = owned(&mock).start();
    mock.script("openai", Script::json(200, reply("hello")));
    let body = json!({"model": "gpt-4o", "messages": []}).to_string();
    assert_eq!(call(&gateway, "who", "/openai/v1/chat/completions", &body).status, 200);
    let told = line(&gateway, "who");
    let expected = json!({
        "outcome": "ok", "status": 200, "prefix": "openai", "model": "gpt-4o", "provider": "openai",
        "upstream_model": "gpt-4o", "key": "search-prod", "team": "search", "user": "ann",
        "labels": {"region": "eu"}, "attempts": 1,
        "tokens": {"input": 1, "cache-read": 0, "cache-write": 0, "output": 1, "reasoning": 0},
    });
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&told[name], value, "{name} in {told}");
    }
    let target = &told["targets"][0];
    assert_eq!((&target["provider"], &target["model"]), (&json!("openai"), &json!("gpt-4o")));
    assert_eq!((&target["key"], &target["status"], &target["class"]), (&json!("MOCK_KEY"), &json!(200), &json!("ok")));
    assert!(told["time"].as_str().unwrap().starts_with("20"), "{told}");
}

#[test]
fn the_class_of_an_attempt_is_the_providers_part() {
    let mock = Mock::start();
    let gateway = setup(&[row(&mock, "p", "timeouts: { headers: 300ms }")], "").start();
    let cases = [
        (Script::json(200, reply("x")), "ok"),
        (Script::json(404, "{}"), "refused"),
        (Script::json(429, "{}"), "rate-limited"),
        (Script::json(503, "{}"), "error"),
        (Script::new().stall(), "timeout"),
        (Script::new().close(), "unreachable"),
        (Script::json(200, "no json"), "broken"),
    ];
    for (number, (script, class)) in cases.into_iter().enumerate() {
        mock.script("p", script);
        let id = format!("class-{number}");
        let headers = [("content-type", "application/json"), ("x-request-id", &*id)];
        gateway.call("POST", CHAT, &headers, asking("well", false).as_bytes());
        assert_eq!(line(&gateway, &id)["targets"][0]["class"], class, "{}", line(&gateway, &id));
    }
}

/// `name;dur=` of a reply, in microseconds.
fn timing(reply: &Reply, name: &str) -> Option<u64> {
    let header = reply.header("server-timing").unwrap_or_else(|| panic!("no server-timing: {:?}", reply.head));
    let metric = header.split(", ").find_map(|metric| metric.strip_prefix(name)?.strip_prefix(";dur="))?;
    Some((metric.parse::<f64>().unwrap() * 1000.0) as u64)
}

#[test]
fn waiting_for_the_provider_is_not_the_gateways_time() {
    let mock = Mock::start();
    let gateway = setup(&[row(&mock, "p", "")], "").start();
    let slow = SLOW.as_micros() as u64;
    let whole = Script::json(200, reply("x"));
    let late = Script { steps: whole.steps.clone(), ..Script::default() };
    for stream in [false, true] {
        let said = if stream { streaming(&["x"]) } else { late.clone() };
        let mut script = Script::new().delay(SLOW);
        script.steps.extend(said.steps);
        mock.script("p", script);
        let got = gateway.post(CHAT, asking("well", stream));
        assert_eq!(got.status, 200);
        let upstream = timing(&got, "upstream").unwrap();
        assert!(upstream >= slow, "{upstream}");
        let told = line(&gateway, got.header("x-request-id").unwrap());
        let (us, own) = (told["us"].as_u64().unwrap(), told["overhead_us"].as_u64().unwrap());
        assert!(us >= slow + own, "{told}");
        assert!(told["targets"][0]["ms"].as_f64().unwrap() >= slow as f64 / 1000.0, "{told}");
    }
}

#[test]
fn waiting_for_the_client_is_not_the_gateways_time() {
    let mock = Mock::start();
    let gateway = setup(&[row(&mock, "p", "")], "").start();
    mock.script("p", Script::json(200, reply("x")));
    let body = asking("well", false);
    let bytes = request("POST", CHAT, &gateway.host(), &[("content-type", "application/json")], body.as_bytes());
    let end_of_head = bytes.len() - body.len();
    // Slow in the middle of the head, and in the middle of the body.
    for cut in [end_of_head - 10, end_of_head + 10] {
        let mut connection = gateway.connect();
        connection.send(&bytes[..cut]);
        std::thread::sleep(SLOW);
        connection.send(&bytes[cut..]);
        let got = connection.reply();
        assert_eq!(got.status, 200, "{}", got.text());
        let told = line(&gateway, got.header("x-request-id").unwrap());
        let (us, own) = (told["us"].as_u64().unwrap(), told["overhead_us"].as_u64().unwrap());
        // The first byte may be seen late on a busy machine.
        assert!(us + SLOW.as_micros() as u64 / 4 >= own + SLOW.as_micros() as u64, "{told}");
    }
    client_reads_slowly(&mock, &gateway);
}

fn client_reads_slowly(mock: &Mock, gateway: &Gateway) {
    // More than the sockets between hold.
    let text = "y".repeat(64 * 1024);
    let pieces = [role_event()].into_iter().chain((0..400).map(|_| text_event(&text)));
    mock.script("p", Script::sse(pieces.chain([finish_event(), DONE.to_owned()])));
    let mut connection = gateway.connect();
    let headers = [("content-type", "application/json"), ("x-request-id", "slow-reader")];
    connection.send(&request("POST", CHAT, &gateway.host(), &headers, asking("well", true).as_bytes()));
    assert_eq!(connection.read_head().unwrap().status(), 200);
    std::thread::sleep(SLOW);
    connection.read_rest();
    let told = line(gateway, "slow-reader");
    let (us, own) = (told["us"].as_u64().unwrap(), told["overhead_us"].as_u64().unwrap());
    assert_eq!(told["outcome"], "ok");
    assert!(us >= own + SLOW.as_micros() as u64 / 2, "{told}");
}

#[test]
fn every_reply_says_what_took_the_time() {
    let mock = Mock::start();
    let gateway = setup(&[row(&mock, "p", "")], "").start();
    mock.script("p", Script::json(500, "{}"));
    let post = |path: &str, body: &str| gateway.post(path, body);
    for got in [post(CHAT, &asking("well", false)), post(CHAT, "no json")] {
        assert!(timing(&got, "sluice").is_some() && timing(&got, "upstream").is_some(), "{:?}", got.head);
    }
    for path in ["/livez", "/metrics", "/v1/models", "/no/such/path"] {
        assert!(timing(&gateway.get(path), "sluice").is_some(), "{path}");
    }
}

#[test]
fn the_metrics_are_as_prometheus_wants_them() {
    let mock = Mock::start();
    let gateway = with(setup(&[row(&mock, "p", "")], ""), "finisher", "finisher", PATIENT).start();
    active(&gateway, "finisher");
    says(&mock, &["fine"]);
    for stream in [false, true] {
        let got = gateway.post(CHAT, asking("well", stream));
        gateway.wait_access(got.header("x-request-id").unwrap());
    }
    let page = gateway.get("/metrics").text();
    let named = |name: &str| page.lines().any(|line| line.starts_with(name));
    for name in ["sluice_requests_total{", "sluice_overhead_seconds_count", "sluice_plugin_seconds_count{"] {
        assert!(named(name), "no {name} in {page}");
    }
    let reference = std::fs::read_to_string(root().join("docs/metrics.md")).unwrap();
    for name in page.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()) {
        assert!(reference.contains(&format!("| `{name}` |")), "{name} is not in docs/metrics.md");
    }
    let mut promtool = Command::new("promtool");
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let Ok(mut promtool) = promtool.spawn() else { skip!("no promtool: apt install prometheus") };
    promtool.stdin.take().unwrap().write_all(page.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.trim().is_empty(), "{said}");
}
