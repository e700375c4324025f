//! `GET /v1/models`: what providers list themselves, merged with what the configuration names, for the key that asks; one question to a
//! provider whoever many ask, and a provider that fails costs nobody anything.

use std::io::Write;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use sluice_tests::gateway::{Gateway, Setup, replace};
use sluice_tests::mock::{Gate, Mock, Script};
use sluice_tests::{wait_for, wire};

use crate::support::{PROVIDER_KEY, blamed, row, setup};

fn data(reply: &sluice_tests::http::Reply) -> Vec<Value> {
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"));
    let list = reply.json();
    assert_eq!(list["object"], "list");
    list["data"].as_array().unwrap().clone()
}

fn ids(gateway: &Gateway, path: &str) -> Vec<String> {
    names(&data(&gateway.get(path)))
}

fn names(data: &[Value]) -> Vec<String> {
    data.iter().map(|model| model["id"].as_str().unwrap().to_owned()).collect()
}

fn list(names: &[&str]) -> Script {
    let data: Vec<Value> =
        names.iter().map(|name| json!({"id": name, "object": "model", "created": 7, "owned_by": "org"})).collect();
    Script::json(200, json!({"object": "list", "data": data}).to_string())
}

#[test]
fn providers_are_asked_and_merged_with_the_configuration() {
    let mock = Mock::start();
    mock.script("a", list(&["one", "two", "one"]));
    let described = json!({"data": [{"id": "org/three", "owned_by": "lab", "created": 5, "context_window": 8192}]});
    mock.script("openai", Script::json(200, described.to_string()));
    let rows = [row(&mock, "a", "models: [extra, two], headers: { x-team: blue }"), row(&mock, "openai", "")];
    let gateway = setup(&rows, "aliases: { fast: openai/org/three, a/one: openai/other }").start();
    let all = data(&gateway.get("/v1/models"));
    // `a/one` is an alias: calls of that name go elsewhere, so it is one name and stands where aliases do.
    assert_eq!(names(&all), ["fast", "a/one", "a/extra", "a/two", "openai/org/three"]);
    let three =
        json!({"id": "openai/org/three", "owned_by": "lab", "created": 5, "context_window": 8192, "object": "model"});
    assert_eq!(all[4], three);
    assert_eq!((&all[3]["owned_by"], &all[3]["created"]), (&json!("org"), &json!(7)));
    for model in &all {
        assert!(model["object"] == "model" && model["created"].is_u64() && model["owned_by"].is_string(), "{model}");
    }
    assert_eq!(ids(&gateway, "/openai/v1/models"), ["org/three"]);
    assert_eq!(ids(&gateway, "/openai/models"), ["org/three"]);
    let asked = mock.last("a");
    assert_eq!((asked.method.as_str(), asked.target.as_str()), ("GET", "/a/v1/models"));
    let head = |name: &str| asked.head.get(name).map(str::to_owned);
    assert_eq!(head("authorization").as_deref(), Some(&*format!("Bearer {PROVIDER_KEY}")));
    assert_eq!(head("x-team").as_deref(), Some("blue"));
    assert!(head("user-agent").is_some_and(|agent| agent.starts_with("sluice/")), "{:?}", head("user-agent"));
    assert_eq!([mock.journal().count("a"), mock.journal().count("openai")], [1, 1], "asked once and kept");
}

#[test]
fn one_model_is_found_by_any_name_that_can_be_called() {
    let mock = Mock::start();
    mock.script("openai", list(&["one", "org/two"]));
    mock.script("refuses", Script::json(500, "{}"));
    let rows = [row(&mock, "openai", "models: [mine]"), row(&mock, "refuses", "models: [known]")];
    let gateway = setup(&rows, "aliases: { fast: openai/one, blind: refuses/unlisted }").start();
    for (name, owner) in [
        ("/v1/models/openai/one", "org"),
        ("/v1/models/openai%2Forg%2Ftwo", "org"),
        ("/v1/models/fast", "org"),
        ("/v1/models/openai/mine", "openai"),
        ("/v1/models/mine", "openai"),
        ("/openai/v1/models/one", "org"),
        ("/openai/models/org/two", "org"),
        ("/v1/models/refuses/known", "refuses"),
        ("/v1/models/blind", "refuses"),
    ] {
        let one = gateway.get(name);
        assert_eq!(one.status, 200, "{name}: {}", one.text());
        let (_, id) = name.split_once("models/").unwrap();
        assert_eq!(one.json()["id"], id.replace("%2F", "/"), "{name}");
        assert_eq!(one.json()["owned_by"], owner, "{name}");
    }
    for name in ["/v1/models/openai/none", "/v1/models/one", "/v1/models/x", "/openai/models/none"] {
        assert_eq!(blamed(&gateway.get(name), 404, "client")["code"], "model_not_found", "{name}");
    }
    // Whether this one exists, only the provider knows; and it may be called.
    let error = blamed(&gateway.get("/v1/models/refuses/other"), 502, "provider");
    assert_eq!(error["code"], "models_unknown");
    let alone = setup(&[row(&mock, "openai", "")], "").start();
    assert_eq!(alone.get("/v1/models/one").status, 200, "the only provider's models have bare names too");
}

#[test]
fn recorded_lists_are_read_whole() {
    let mut read = 0;
    for case in wire::lists() {
        let mock = Mock::start();
        mock.script("p", case.script());
        let gateway = setup(&[row(&mock, "p", "")], "").start();
        let got = data(&gateway.get("/v1/models"));
        if case.status != 200 {
            assert!(got.is_empty(), "{}: {got:?}", case.name);
            continue;
        }
        let body: Value = serde_json::from_slice(&case.body).unwrap();
        let want = body.get("data").or(body.get("models")).and_then(Value::as_array).unwrap();
        let mut seen = std::collections::HashSet::new();
        let want: Vec<&Value> = want
            .iter()
            .filter(|model| seen.insert(model.get("id").or(model.get("name")).and_then(Value::as_str).unwrap()))
            .collect();
        assert_eq!(got.len(), want.len(), "{}", case.name);
        for (got, want) in got.iter().zip(want) {
            let name = want.get("id").or(want.get("name")).and_then(Value::as_str).unwrap();
            // Gemini writes its collection before every name; a model is called without.
            assert_eq!(got["id"], format!("p/{}", name.trim_start_matches("models/")), "{}", case.name);
            for (key, value) in want.as_object().unwrap() {
                let completed = ["id", "object", "created", "owned_by"].contains(&key.as_str());
                assert!(completed || got[key] == *value, "{}: {name}: {key}", case.name);
            }
        }
        read += 1;
    }
    assert!(read > 10, "only {read} lists");
}

/// What a provider may do instead of answering, and whether that is worth a warning.
fn broken() -> Vec<(&'static str, Script, bool)> {
    let mut bomb = GzEncoder::new(Vec::new(), Compression::best());
    bomb.write_all(b"{\"data\":[{\"id\":\"x\"}],\"rest\":\"").unwrap();
    bomb.write_all(&vec![b'a'; 40 * 1024 * 1024]).unwrap();
    bomb.write_all(b"\"}").unwrap();
    let bomb = bomb.finish().unwrap();
    let json = ("content-type", "application/json");
    let huge = Script::sse_head().forever(vec![b' '; 64 * 1024], Duration::ZERO);
    vec![
        ("silent", Script::new().stall(), true),
        ("slow body", Script::sse_head().chunk("{\"data\":").stall(), true),
        ("401", Script::json(401, "{\"error\":{\"message\":\"who\"}}"), true),
        ("500", Script::json(500, "{}"), true),
        ("429", Script::json(429, "{}"), true),
        ("redirect", Script::whole(302, &[("location", "http://127.0.0.1:1/elsewhere")], ""), true),
        ("garbage", Script::json(200, "<html>not for me</html>"), true),
        ("another page", Script::json(200, "{\"object\":\"chat.completion\"}"), true),
        ("huge", huge, true),
        ("bomb", Script::whole(200, &[json, ("content-encoding", "gzip")], bomb), true),
        ("unknown encoding", Script::whole(200, &[json, ("content-encoding", "br")], "x"), true),
        ("cut", Script::new().head(200, &[json, ("content-length", "100")]).write("{\"data\":[").close(), true),
        ("no list at all", Script::json(404, "{}"), false),
        ("not allowed", Script::json(405, ""), false),
    ]
}

#[test]
fn a_provider_that_fails_costs_nothing() {
    let mock = Mock::start();
    let cases = broken();
    let mut rows = Vec::new();
    let mut want = vec!["fast".to_owned()];
    for (at, (_, script, _)) in cases.iter().enumerate() {
        let name = format!("bad-{at}-");
        mock.script(&name, script.clone());
        rows.push(row(&mock, &name, "models: [known]"));
        want.push(format!("{name}/known"));
    }
    mock.script("good", list(&["one"]));
    rows.push(row(&mock, "good", ""));
    want.push("good/one".to_owned());
    let gateway = setup(&rows, "aliases: { fast: bad-0-/known }").start();
    assert_eq!(
        ids(&gateway, "/v1/models"),
        want,
        "all were asked at once, and those that fail are listed as configured"
    );
    // Each would take its whole deadline again, if anybody waited.
    let started = Instant::now();
    for _ in 0..20 {
        assert_eq!(ids(&gateway, "/v1/models"), want);
    }
    let took = started.elapsed();
    assert!(took < Duration::from_secs(20), "twenty more lists took {took:?}");
    let log = gateway.process.err.text();
    let complaints: Vec<&str> = log.lines().filter(|line| line.contains("cannot list the provider's models")).collect();
    for (at, (what, _, warns)) in cases.iter().enumerate() {
        let name = format!("bad-{at}-");
        assert_eq!(mock.journal().count(&name), 1, "{what}: asked again at once");
        let said = complaints.iter().filter(|line| line.contains(&name)).count();
        assert_eq!(said, usize::from(*warns), "{what}: {log}");
    }
    assert!(!log.contains(PROVIDER_KEY) && !log.contains("not for me"), "{log}");
}

#[test]
fn an_address_where_nobody_listens() {
    let mock = Mock::start();
    mock.script("good", list(&["one"]));
    let dead = {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        free.local_addr().unwrap()
    };
    let row_of_dead = format!("  dead: {{ dialect: openai-chat, base_url: \"http://{dead}/v1\", models: [m] }}\n");
    let gateway = setup(&[row_of_dead, row(&mock, "good", "")], "").start();
    assert_eq!(ids(&gateway, "/v1/models"), ["dead/m", "good/one"]);
    assert_eq!(gateway.get("/readyz").status, 200);
    let line = gateway.process.err.find("cannot list the provider's models").expect("a warning");
    assert!(line.contains("dead") && !line.contains(&dead.to_string()), "{line}");
}

#[test]
fn fifty_at_once_are_one_question() {
    let mock = Mock::start();
    let gate = Gate::new();
    let answer = json!({"data": [{"id": "one"}]}).to_string();
    let length = answer.len().to_string();
    let head = [("content-type", "application/json"), ("content-length", length.as_str())];
    mock.script("p", Script::new().head(200, &head).wait(&gate).write(answer));
    let gateway = setup(&[row(&mock, "p", "")], "").start();
    let mut waiting: Vec<_> = (0..50).map(|_| gateway.connect()).collect();
    let request = sluice_tests::http::request("GET", "/v1/models", &gateway.host(), &[], b"");
    for connection in &mut waiting {
        connection.send(&request);
    }
    mock.wait_request("p", 1);
    gate.open();
    for connection in &mut waiting {
        assert_eq!(names(&data(&connection.reply())), ["p/one"]);
    }
    assert_eq!(mock.journal().count("p"), 1);
}

#[test]
fn compressed_lists() {
    let mock = Mock::start();
    let mut zip = GzEncoder::new(Vec::new(), Compression::default());
    zip.write_all(br#"[{"id":"one"},{"id":"two"}]"#).unwrap();
    mock.script("p", Script::whole(200, &[("content-encoding", "gzip")], zip.finish().unwrap()));
    let gateway = setup(&[row(&mock, "p", "")], "").start();
    assert_eq!(ids(&gateway, "/v1/models"), ["p/one", "p/two"]);
    assert_eq!(mock.last("p").head.get("accept-encoding"), Some("gzip, deflate"));
}

#[test]
fn a_key_sees_what_it_may_use() {
    let mock = Mock::start();
    mock.script("openai", list(&["gpt-one", "gpt-two", "o3"]));
    let keys = "aliases: { fast: openai/o3 }\nkeys:\n\
        - { name: all, value: 'env:ALL' }\n\
        - { name: full, value: 'env:FULL', models: ['openai/gpt-*'] }\n\
        - { name: bare, value: 'env:BARE', models: ['gpt-t*'] }\n\
        - { name: target, value: 'env:TARGET', models: ['openai/o3'] }\n";
    let mut started = setup(&[row(&mock, "openai", "")], keys);
    for name in ["ALL", "FULL", "BARE", "TARGET"] {
        started = started.env(name, &format!("client-{name}"));
    }
    let gateway = started.start();
    for (key, v1, prefixed) in [
        ("ALL", &["fast", "openai/gpt-one", "openai/gpt-two", "openai/o3"][..], &["gpt-one", "gpt-two", "o3"][..]),
        ("FULL", &["openai/gpt-one", "openai/gpt-two"], &["gpt-one", "gpt-two"]),
        ("BARE", &["gpt-two"], &["gpt-two"]),
        ("TARGET", &["fast", "openai/o3"], &["o3"]),
    ] {
        let key = format!("client-{key}");
        let get = |path: &str| gateway.call("GET", path, &[("x-api-key", &key)], b"");
        for (path, want) in [("/v1/models", v1), ("/openai/v1/models", prefixed)] {
            let listed = names(&data(&get(path)));
            assert_eq!(listed, want, "{key} {path}");
            for name in listed {
                // What is listed can be looked up, and called.
                assert_eq!(get(&format!("{path}/{name}")).status, 200, "{key} {path}/{name}");
                let call = path.replace("models", "chat/completions");
                let body = crate::support::body(&name, false);
                let headers = [("x-api-key", key.as_str()), ("content-type", "application/json")];
                let status = gateway.call("POST", &call, &headers, body.as_bytes()).status;
                assert_ne!(status, 403, "{key} {call} {name}");
                assert_ne!(status, 404, "{key} {call} {name}");
            }
        }
        let hidden = get("/v1/models/openai/gpt-one");
        assert_eq!(hidden.status, if v1.contains(&"openai/gpt-one") { 200 } else { 404 }, "{key}");
    }
    assert_eq!(gateway.get("/v1/models").status, 401, "a list is not for everybody");
}

#[test]
fn a_providers_own_keys_decide_too() {
    let mock = Mock::start();
    mock.on("p", |exchange| match exchange.head.get("authorization") {
        Some("Bearer spare-key") => list(&["gpt-4o", "o3-mini"]),
        _ => Script::json(401, "{}"),
    });
    let base = mock.base("p");
    let keys = "[{ name: main, value: 'env:MAIN', weight: 3, models: [\"gpt-4o*\"] }, { name: spare, value: 'env:SPARE', models: [\"gpt-*\"] }]";
    let config = format!("providers:\n  p: {{ dialect: openai-chat, base_url: \"{base}\", keys: {keys} }}\n");
    let gateway = Setup::config(config).env("MAIN", "revoked-key").env("SPARE", "spare-key").start();
    // The heavier key is refused, the other one answers; a model that no key may be used for cannot be called.
    assert_eq!(ids(&gateway, "/v1/models"), ["p/gpt-4o"]);
    assert_eq!(gateway.get("/v1/models/p/o3-mini").status, 404);
    assert_eq!(mock.journal().count("p"), 2);
}

#[test]
fn questions_take_the_networks_proxy() {
    let proxy = Mock::start();
    proxy.script("v1", list(&["one"]));
    let config = format!(
        "network: {{ proxy: 'http://user:word@{}', no_proxy: [direct.invalid] }}\nproviders:\n  \
         far: {{ dialect: openai-chat, base_url: 'http://far.invalid/v1', keys: ['env:MOCK_KEY'] }}\n  \
         direct: {{ dialect: openai-chat, base_url: 'http://direct.invalid/v1' }}\n",
        proxy.address()
    );
    let gateway = Setup::config(config).env("MOCK_KEY", PROVIDER_KEY).start();
    assert_eq!(ids(&gateway, "/v1/models"), ["far/one"]);
    assert_eq!(proxy.journal().count("v1"), 1, "only one of them is behind the proxy");
    let asked = proxy.last("v1");
    assert_eq!(asked.target, "http://far.invalid/v1/models");
    assert_eq!(asked.head.get("proxy-authorization"), Some("Basic dXNlcjp3b3Jk"));
}

#[test]
fn an_edit_costs_no_list_that_it_does_not_touch() {
    let mock = Mock::start();
    mock.script("a", list(&["one"]));
    mock.script("b", list(&["two"]));
    mock.script("moved", list(&["three"]));
    let config = |base: &str, more: &str| {
        format!("providers:\n{}{}{more}\n", row(&mock, "a", "").replace("/a/v1", base), row(&mock, "b", ""))
    };
    let gateway = Setup::config(config("/a/v1", "")).env("MOCK_KEY", PROVIDER_KEY).start();
    assert_eq!(ids(&gateway, "/v1/models"), ["a/one", "b/two"]);
    let file = gateway.folder().join("sluice.yaml");
    let wait = |want: &[&str]| wait_for("the new list", || (ids(&gateway, "/v1/models") == want).then_some(()));
    replace(&file, config("/a/v1", "aliases: { fast: a/one }").as_bytes());
    wait(&["fast", "a/one", "b/two"]);
    replace(&file, config("/moved/v1", "").as_bytes());
    wait(&["a/three", "b/two"]);
    assert_eq!(["a", "b", "moved"].map(|name| mock.journal().count(name)), [1, 1, 1]);
}

#[test]
fn a_mended_provider_is_asked_at_once() {
    let mock = Mock::start();
    mock.on("p", |exchange| match exchange.head.get("authorization") {
        Some("Bearer good-key") => list(&["one"]),
        _ => Script::json(401, "{}"),
    });
    let base = mock.base("p");
    let config = |key: &str| {
        format!(
            "providers:\n  p: {{ dialect: openai-chat, base_url: \"{base}\", keys: [{{ name: k, value: \"env:{key}\" }}] }}\n"
        )
    };
    let gateway = Setup::config(config("BAD")).env("BAD", "bad-key").env("GOOD", "good-key").start();
    assert!(ids(&gateway, "/v1/models").is_empty());
    replace(&gateway.folder().join("sluice.yaml"), config("GOOD").as_bytes());
    wait_for("the list by the new key", || (ids(&gateway, "/v1/models") == ["p/one"]).then_some(()));
    assert_eq!(mock.journal().count("p"), 2, "no third question was needed");
}

#[test]
fn demo_mode_lists_its_echo() {
    let gateway = Setup::default().start();
    for path in ["/v1/models", "/openai/v1/models"] {
        assert_eq!(ids(&gateway, path), ["echo"], "{path}");
    }
    assert_eq!(gateway.get("/v1/models/anything/at/all").json()["id"], "anything/at/all");
}
